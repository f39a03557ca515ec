"""Lines of the package, traced back to the chapters."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch._lines import chapter_line
from tito import export, percent, workspace
from tito.chapter import Chapter, split_cells, split_lines
from tito.course import Course

COURSE = Course.find()
MODULES = [module for module in COURSE.modules if not workspace.is_started(COURSE, module)]


@pytest.mark.parametrize("module", MODULES, ids=[m.id for m in MODULES])
def test_every_exported_line_is_traced(module, tmp_path):
    """Each line of the package is the chapter's line that it is traced to; imports alone are rewritten."""
    file = tmp_path / "core" / f"{module.name}.py"
    file.parent.mkdir()
    file.write_text(export.generate(COURSE, module), encoding="utf-8")
    chapter = module.chapter.text.splitlines()
    generated = file.read_text(encoding="utf-8").splitlines()
    traced = set()
    for number, line in enumerate(generated, 1):
        place = chapter_line(str(file), number)
        if place is None or not line.strip() or line.startswith("# %%"):
            continue
        assert place[0] == module.dev_path
        original = chapter[place[1] - 1].rstrip()
        assert line == original or line.startswith("from .") and original.startswith("from tinytorch."), (number, place)
        traced.add(place[1])
    assert traced == code_lines(module.chapter)


def code_lines(chapter):
    """Lines of the exported cells, directives and blank ones aside."""
    exported = [cell for cell in chapter.cells if cell.exported]
    lines = [(cell.first + i, text) for cell in exported for i, text in enumerate(cell.source.splitlines())]
    return {number for number, text in lines if text.strip() and not text.startswith("#|")}


def test_lines_of_no_chapter(toy):
    generated = str(toy.file("tinytorch/core/first.py"))
    assert chapter_line(generated, 1) is None
    header = 1 + toy.read("tinytorch/core/first.py").splitlines().index("# %% auto #0")
    assert chapter_line(generated, header + 1) is None
    assert chapter_line(str(toy.file("tinytorch/testing.py")), 30) is None
    assert chapter_line(str(toy.file("core/missing.py")), 1) is None


def test_uncaught_exception_names_the_chapter(toy):
    done = toy.python("from tinytorch.core.first import Box\nBox('a').doubled()")
    lines = toy.read("modules/source/01_first/first_dev.py").splitlines()
    chapter = toy.file("modules/source/01_first/first_dev.py")
    raising = next(i for i, text in enumerate(lines, 1) if "raise TypeError" in text)
    calling = next(i for i, text in enumerate(lines, 1) if "return double(self.value)" in text)
    assert done.stderr.splitlines()[-3:] == [
        "In the chapters:",
        f'  File "{chapter}", line {calling}, in doubled',
        f'  File "{chapter}", line {raising}, in double',
    ]


def test_other_hooks_are_left_alone(toy):
    code = "import sys\nsys.excepthook = print\nimport tinytorch\nassert sys.excepthook is print"
    assert toy.python(code).returncode == 0


def test_outside_a_checkout_nothing_is_hooked(toy):
    toy.file("modules").rename(toy.file("elsewhere"))
    code = "import sys, tinytorch\nassert sys.excepthook is sys.__excepthook__"
    assert toy.python(code).returncode == 0


@pytest.mark.parametrize("module", MODULES, ids=[m.id for m in MODULES])
def test_our_reader_agrees_with_jupytext(module):
    agree(module.chapter.text)


def test_our_reader_agrees_on_the_toy(toy):
    for module in Course(toy.root).modules:
        agree(module.chapter.text)


def agree(text):
    import jupytext

    theirs, ours = jupytext.reads(text, fmt="py:percent").cells, split_cells(text)
    assert [(c.cell_type, c.source) for c in theirs] == [(c.kind, c.source) for c in ours]
    assert [c.metadata.get("nbgrader", {}) for c in theirs] == [c.grader for c in ours]
    assert [list(c.metadata.get("tags", [])) for c in theirs] == [list(c.meta.get("tags", [])) for c in ours]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.id)
def test_every_chapter_is_exported_without_jupytext(module):
    for text in (module.chapter.text, workspace.blanked(module.chapter)):
        assert percent.is_plain(text, split_cells(text))


CELLS = [
    "#| export\ndef f(x):\n    return x", "#| export\n\n\n\nx = 1", "\n#| export\nx = 1", "x = 1\n\n\n", "",
    "#| export\n# %timeit f(1)\nx = 1", "#| export\n# !ls\n# ls -l\n# y = %who\nx = 1", "#| export\n# why?\nx = 1",
    "#| export\n# cd is a command, and copy(x) a call\nx = copy(1)", "#| export\n#cat\n# x?\nx = 1", "# x: 1",
    "%%time\nx = 1", '#| export\nx = """\n# a text\n"""', '#| export\nx = """',
    "#| export\nx = \"f''' of x\"", '# """ in a comment',
    "# # Prose\n#\n# and more", "# ```\n# %%\n# ```", '"""\nProse\n"""', "x = 1  # it's\ny = '\\'",
]  # fmt: skip
MARKS = [
    "# %%", "# %% [markdown]", "# %% [md]", "# %% [raw]", '# %% [raw] tags=["exercise"]', "#%%", "  # %%", "# %%%",
    '# %% nbgrader={"grade": true, "grade_id": "test_x"}', '# %% active="py"', '# %% tags=["x"] active="ipynb"',
    '# %% language="bash"', "# %% a title", "# %% [sql]", "# %% tags=[x", "# In[3]:", "# <codecell>", "# %%x",
    '# %% tags=["x"] z=1',
]  # fmt: skip
ENDS = ["\n", "\n\n", "\n\n\n"]


@settings(max_examples=5 * settings().max_examples)
@given(st.lists(st.tuples(st.sampled_from(MARKS), st.sampled_from(CELLS), st.sampled_from(ENDS)), max_size=5))
def test_odd_files_are_read_as_jupytext_reads_them(parts):
    """What we call plain, jupytext reads the same; all else it reads itself."""
    import jupytext

    text = "".join(f"{mark}\n{cell}{end}" for mark, cell, end in parts)
    cells = split_cells(text)
    if percent.is_plain(text, cells):
        theirs = jupytext.reads(text, fmt="py:percent").cells
        assert [(c.cell_type, c.source) for c in theirs] == [(c.kind, c.source) for c in cells]


@pytest.mark.parametrize("end", percent.ODD_ENDS, ids=ascii)
@pytest.mark.parametrize("blank", ["", "\n\n\n"], ids=["plain", "read by jupytext"])
def test_a_line_ends_where_python_ends_it(toy, end, blank):
    """Pasted text may hold a form feed or U+2028: no line of the chapter ends there, and the code is as it was."""
    path = "modules/source/01_first/first_dev.py"
    body = f'    # pasted{end}text\n    s = "a{end}b"\n{blank}    raise ValueError(ascii(s))\n'
    toy.tito("start", "first")
    toy.edit(path, "    ### BEGIN SOLUTION double\n", f"    ### BEGIN SOLUTION double\n{body}")
    module = Course(toy.root).module("first")
    assert percent.is_plain(module.chapter.text, module.chapter.cells) == (not blank)
    lines = toy.read(path).split("\n")
    assert lines == [*split_lines(module.chapter.text), ""] and lines[module.chapter.exercises["double"].begin] in body
    failure = next(e for e in json.loads(toy.tito("test", "first", "--json", status=1))["exercises"])["failure"]
    assert failure["message"] == ascii(f"a{end}b")
    assert failure["where"] == f"{path}:{1 + lines.index('    raise ValueError(ascii(s))')}"


def test_the_ends_of_lines():
    text = "a\x0cb\r\n\u2028c\rd\x85\n\n"
    assert split_lines(text) == ["a\x0cb", "\u2028c", "d\x85", ""] and "".join(split_lines(text, True)) == text
    assert split_lines("") == [] and split_lines("a") == ["a"]


def test_jupyter_saves_what_it_read(toy):
    """Opened as a notebook and saved, a chapter is the same to the byte."""
    import jupytext

    for module in [*MODULES, *Course(toy.root).modules]:
        assert (
            jupytext.writes(jupytext.reads(module.chapter.text, fmt="py:percent"), fmt="py:percent")
            == module.chapter.text
        )


def test_regions_and_tests(toy):
    chapter = Course(toy.root).module("first").chapter
    assert list(chapter.exercises) == ["double", "Box_doubled", "Box_text"]
    assert [(t.name, t.exercise, t.points) for t in chapter.tests] == [
        ("test_double", "double", 2),
        ("test_double__text", "double", 1),
        ("test_Box_doubled", "Box_doubled", 2),
        ("test_Box_text", "Box_text", 1),
        ("test_first", "", 0),
    ]
    region = chapter.exercises["Box_text"]
    lines = chapter.text.splitlines()
    assert "BEGIN SOLUTION Box_text" in lines[region.begin - 1] and "END SOLUTION" in lines[region.end - 1]
    assert region.text == "        return str(self.value)\n" and region.indent == " " * 8
    assert chapter.notes()["double"]["hints"][2] == "return x + x"


def test_cells_of_odd_files():
    assert split_cells("") == []
    assert split_cells("x = 1\n") == []
    assert [c.source for c in split_cells("# %%\n\n\nx = 1\n\n# %% [markdown]\n# a\n#\n# b\n")] == ["x = 1", "a\n\nb"]
    assert Chapter("x_dev.py", "# %%\n### BEGIN SOLUTION a\n").regions == []
