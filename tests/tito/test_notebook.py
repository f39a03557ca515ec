"""A chapter as a notebook and back: edited, mangled, foreign, damaged, and paired by jupytext."""

import json

import pytest

FIRST = "modules/source/01_first/first_dev.py"
BLANK = '    # YOUR CODE HERE\n    raise NotImplementedError("exercise double")\n'
IMPORT = ("notebook", "first", "--import", "first.ipynb")


class Notebook:
    """The notebook of the toy's first chapter, as JSON."""

    def __init__(self, checkout):
        self.checkout = checkout
        checkout.tito("notebook", "first", "--force")
        self.data = json.loads(checkout.read("first.ipynb"))

    def edit(self, old, new):
        cells = [c for c in self.data["cells"] if old in "".join(c["source"])]
        assert len(cells) == 1
        cells[0]["source"] = "".join(cells[0]["source"]).replace(old, new).splitlines(True)
        return self

    def save(self):
        self.checkout.write("first.ipynb", json.dumps(self.data))


@pytest.fixture
def begun(toy):
    toy.tito("start", "first")
    return toy


def edited(checkout, answer="return x + x"):
    return Notebook(checkout).edit(BLANK, f"    {answer}\n")


def test_there_and_back(begun):
    before = begun.read(FIRST)
    edited(begun).save()
    output = begun.tito(*IMPORT)
    assert "from first.ipynb came double, into" in output and "tito undo 01_first" in output
    assert begun.read(FIRST) == before.replace(BLANK, "    return x + x\n")
    begun.tito("undo", "first")
    assert begun.read(FIRST) == before


def test_nothing_new(begun):
    Notebook(begun).save()
    before = begun.files()
    assert "holds nothing new" in begun.tito(*IMPORT)
    assert begun.files() == before


def test_both_sides_changed_different_exercises(begun):
    edited(begun).save()
    begun.tito("solution", "first", "Box_text")
    begun.tito(*IMPORT)
    assert "return x + x" in begun.read(FIRST) and "return str(self.value)" in begun.read(FIRST)


def test_a_conflict_is_shown_and_chosen(begun):
    edited(begun, "return 2 * x").edit("print(double(double(1)))", "print(1)").save()
    begun.edit(FIRST, BLANK, "    return x + x\n")
    begun.edit(FIRST, "# A chapter", "# My chapter")
    before = begun.files()
    output = begun.tito(*IMPORT, status=1)
    shown = next(line for line in output.splitlines() if "return 2 * x" in line)
    assert "return x + x" in shown and "|" in shown and "--take" in output
    assert begun.files() == before
    begun.tito(*IMPORT, "--take", "double=chapter")
    text = begun.read(FIRST)
    assert "return x + x" in text and "print(1)" in text and "# My chapter" in text
    begun.tito("undo", "first")
    begun.tito(*IMPORT, "--take", "notebook")
    assert begun.read(FIRST) == text.replace("return x + x", "return 2 * x")
    begun.tito("undo", "first", "double")
    assert begun.read(FIRST) == text
    assert "it takes chapter or notebook" in begun.tito(*IMPORT, "--take", "mine", status=2)
    said = begun.tito(*IMPORT, "--take", "nosuch=chapter", status=2)
    assert "nothing is called 'nosuch'. There are: double, Box_doubled, Box_text, cells." in said


def test_a_cell_changed_in_both(begun):
    Notebook(begun).edit("print(double(double(1)))", "print(double(2))").save()
    begun.edit(FIRST, "print(double(double(1)))", "print(double(3))")
    assert "outside the exercises, both changed" in begun.tito(*IMPORT, status=1)
    begun.tito(*IMPORT, "--take", "cells=notebook")
    assert "print(double(2))" in begun.read(FIRST)


def mangle(notebook):
    """What Colab and others do: outputs, other metadata and ids, cells of one's own, another newline."""
    data = notebook.data
    data["metadata"] = {"colab": {"provenance": []}, "kernelspec": {"name": "python3", "display_name": "Python 3"}}
    for number, cell in enumerate(data["cells"]):
        cell["metadata"] = {"id": f"x{number}", "colab": {"base_uri": "https://localhost:8080/"}, "outputId": "o"}
        cell["source"] = "".join(cell["source"]).replace("\n", "\r\n")
        cell.pop("id", None)
        if cell["cell_type"] == "code":
            cell["execution_count"] = number
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["4\n"]}]
    own = {"cell_type": "code", "source": ["%time double(2)"], "metadata": {}, "outputs": [], "execution_count": None}
    data["cells"].insert(0, own)
    data["nbformat_minor"] = 0


def test_mangled_by_another_editor(begun):
    before = begun.read(FIRST)
    notebook = edited(begun)
    mangle(notebook)
    notebook.save()
    begun.tito(*IMPORT)
    first = before.index("# %%")
    own = "# %%\n# %time double(2)\n\n"
    assert begun.read(FIRST) == (before[:first] + own + before[first:]).replace(BLANK, "    return x + x\n")


def test_cells_that_were_deleted(begun):
    """Prose may go; an exercise or a test does not."""
    before = begun.read(FIRST)
    notebook = edited(begun)
    gone = ("class Box", "def test_double_text", "Doubling adds")
    notebook.data["cells"] = [c for c in notebook.data["cells"] if not any(g in "".join(c["source"]) for g in gone)]
    notebook.save()
    output = begun.tito(*IMPORT)
    assert "no longer holds Box_doubled" in output and "no longer holds test_double__text" in output
    prose = "# %% [markdown]\n# Doubling adds a thing to itself: `double(2)` is 4.\n\n"
    assert begun.read(FIRST) == before.replace(BLANK, "    return x + x\n").replace(prose, "")


def test_cells_that_were_moved(begun):
    notebook = edited(begun)
    cells = notebook.data["cells"]
    place = next(i for i, c in enumerate(cells) if "class Box" in "".join(c["source"]))
    cells.append(cells.pop(place))
    notebook.save()
    begun.tito(*IMPORT)
    text = begun.read(FIRST)
    assert text.count("class Box") == 1 and text.count("return x + x") == 1
    assert text.index("class Box") > text.index("def test_first")


def test_without_its_base(begun):
    """Another machine: the notebook is merged on the blank chapter, and newer work is not taken for older."""
    edited(begun, "return 1").save()
    begun.edit(FIRST, BLANK, "    return 2\n")
    for name in begun.files():
        if name.startswith(".tito/notebooks"):
            begun.file(name).unlink()
    assert "double changed in both" in begun.tito(*IMPORT, status=1)
    begun.tito("reset", "first", "double")
    begun.tito(*IMPORT)
    assert "return 1" in begun.read(FIRST)


WRONG = {
    "empty": "",
    "cut off": '{"cells": [{"cell_type": "code", "sou',
    "no notebook": '{"a": 1}',
    "a list": "[1, 2]",
    "a page": "<!DOCTYPE html><html></html>",
    "cells that are none": '{"cells": [1, {"x": 2}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_damaged(begun, text):
    begun.write("first.ipynb", text)
    before = begun.files()
    output = begun.tito(*IMPORT, status=1)
    assert "Nothing was changed" in output and "Traceback" not in output
    assert begun.files() == before


def test_foreign(begun):
    begun.tito("notebook", "second")
    assert "holds no exercise of 01_first" in begun.tito("notebook", "first", "--import", "second.ipynb", status=1)
    assert "It is of 02_second" in begun.tito("notebook", "first", "--import", "second.ipynb", status=1)
    assert "is not there" in begun.tito("notebook", "first", "--import", status=1)
    assert "not in progress" in begun.tito("notebook", "second", "--import", "second.ipynb", status=1)
    assert "--take chooses" in begun.tito("notebook", "first", "--take", "chapter", status=2)


def test_a_chapter_paired_with_a_notebook(begun):
    """JupyterLab's "pair notebook with" writes a header that names both formats; everything goes on working."""
    begun.edit(FIRST, "#   jupytext:\n", "#   jupytext:\n#     formats: ipynb,py:percent\n")
    begun.edit(FIRST, BLANK, "    return x + x\n")
    begun.tito("reset", "first", "double")
    begun.tito("undo", "first", "double")
    begun.tito("solution", "first")
    assert "formats: ipynb,py:percent" in begun.read(FIRST)
    begun.tito("test", "first")
    begun.tito("reset", "first")
    assert "formats: ipynb,py:percent" in begun.read(FIRST) and begun.read(FIRST).count("NotImplementedError") == 3
    edited(begun).save()
    assert "formats" not in begun.read("first.ipynb")
    begun.tito(*IMPORT)
    assert "formats: ipynb,py:percent" in begun.read(FIRST) and "return x + x" in begun.read(FIRST)
