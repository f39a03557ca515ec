"""Marks of an exercise that are lost, doubled or renamed: told once, with their line, and the code tested as ever."""

import re

import pytest

FIRST = "modules/source/01_first/first_dev.py"
NAMES = ("double", "Box_doubled", "Box_text")  # the first, and two in one cell


def numbered(checkout):
    return list(enumerate(checkout.read(FIRST).splitlines(), 1))


def region(checkout, name):
    """The lines of an exercise's two marks."""
    begin = next(n for n, line in numbered(checkout) if line.strip() == f"### BEGIN SOLUTION {name}")
    return begin, next(n for n, line in numbered(checkout) if n > begin and "### END SOLUTION" in line)


def without(checkout, *gone):
    checkout.write(FIRST, "".join(f"{line}\n" for n, line in numbered(checkout) if n not in gone))


def said(checkout, name):
    """What `tito test` says of an exercise's marks; `tito doctor` and `tito reset` say the same."""
    output = checkout.tito("test", "first", status=None)
    lines = [line.strip() for line in output.splitlines() if re.match(rf"  {name} (has lost|is named) ", line)]
    assert len(lines) == 1, output
    assert lines[0] in checkout.tito("doctor", status=1)
    assert lines[0] in checkout.tito("reset", "first", name, status=1)
    return lines[0]


@pytest.mark.parametrize("solved", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_mark_is_lost(toy, name, solved):
    toy.tito("start", "first")
    if solved:
        toy.tito("solution", "first")
    whole, (begin, end) = toy.read(FIRST), region(toy, name)
    without(toy, begin)
    told = said(toy, name)
    assert told.startswith(f"{name} has lost its mark `### BEGIN SOLUTION {name}`: put it above the code that ends in ")
    assert told.endswith(f" {FIRST}:{end - 1}")
    toy.write(FIRST, whole)
    without(toy, end)
    told = said(toy, name)
    assert told.startswith(f"{name} has lost its mark `### END SOLUTION`: put it below the code that begins in ")
    assert told.endswith(f" {FIRST}:{begin}")
    toy.write(FIRST, whole)
    without(toy, begin, end)
    assert "put them around its code in" in said(toy, name)
    toy.tito("test", "first", status=0 if solved else 1)


def test_a_mark_is_doubled_or_renamed(toy):
    toy.tito("start", "first")
    whole = toy.read(FIRST)
    begin, _ = region(toy, "double")
    toy.edit(FIRST, "### BEGIN SOLUTION double", "### BEGIN SOLUTION dubble")
    assert said(toy, "double") == f"double is named dubble in its mark: mend the name in {FIRST}:{begin}"
    toy.write(FIRST, whole)
    toy.edit(FIRST, "### BEGIN SOLUTION Box_text", "### BEGIN SOLUTION Box_doubled")
    assert "Box_doubled is marked 2 times: keep one pair" in toy.tito("test", "first", status=1)
    cell = whole.index("# %% nbgrader")
    toy.write(FIRST, whole[:cell] + whole[whole.index("# %% nbgrader", cell + 1) :])
    assert "double is gone, with the cell that it stood in" in toy.tito("test", "first", status=1)


def test_the_next_step_names_a_line_of_the_student_s_file(toy):
    toy.tito("start", "first")
    begin, end = region(toy, "double")
    without(toy, end)
    assert f"next: edit {FIRST}:{begin}, then" in toy.tito("test", "first", status=1)
    toy.tito("reset", "first")
    toy.tito("solution", "first")
    toy.edit(FIRST, "return x + x", "return 0 if str(x) == '1' else x + x")
    line = next(n for n, text in numbered(toy) if '"grade_id": "test_first"' in text)
    assert f"next: edit {FIRST}:{line}, then tito test 01_first -k test_first" in toy.tito("test", "first", status=1)


def test_lost_in_a_notebook(toy):
    toy.tito("start", "first")
    toy.tito("notebook", "first")
    notebook = toy.read("first.ipynb")
    toy.write("first.ipynb", notebook.replace('"    ### END SOLUTION', '"    # no end', 1))
    toy.tito("notebook", "first", "--import", "first.ipynb")
    begin = next(n for n, line in numbered(toy) if "BEGIN SOLUTION double" in line)
    assert said(toy, "double").endswith(f"begins in {FIRST}:{begin}")
