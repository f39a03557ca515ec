"""`tito` and `tito status`: what they say is so, and the next command is the right one."""

import json

import pytest

FIRST = "modules/source/01_first/first_dev.py"


@pytest.fixture
def begun(toy):
    toy.tito("start", "first")
    return toy


def row(checkout):
    return json.loads(checkout.tito("status", "first", "--json"))["modules"][0]


def write(checkout, exercise, code):
    indent = "    " if exercise == "double" else "        "
    checkout.edit(FIRST, f'{indent}raise NotImplementedError("exercise {exercise}")', f"{indent}{code}")


def test_an_exercise_is_named_first_when_it_fails_then_when_it_is_to_do(begun):
    """`tito test` says the same."""
    assert f"next: double in {FIRST}:" in begun.tito()
    write(begun, "Box_text", "return 'wrong'")
    assert "1 untested, 2 to do" in begun.tito() and "next: Box_text" in begun.tito()
    said = begun.tito("test", "first", status=1)
    assert "failing   Box_text" in said and "tito test 01_first Box_text" in said
    output = begun.tito()
    assert "1 failing, 2 to do" in output and "next: Box_text" in output


def test_what_was_not_tested_is_said_and_needs_no_hint(begun):
    begun.tito("solution", "first", "double")
    begun.tito("test", "first", status=1)
    (begun.root / ".tito/results/first.json").unlink()
    assert "0 of 3 exercises, 0 of 6 points, 1 untested" in begun.tito("status")
    assert "next: double" in begun.tito()
    assert "no hints for Box_doubled" in begun.tito("hint", "first", status=1)  # the toy has them for double alone


def test_where_the_file_is_no_python_the_line_is_named(begun):
    write(begun, "double", "return (x")
    line = begun.read(FIRST).splitlines().index("    return (x") + 1
    said = begun.tito()
    assert f"{FIRST}:{line}: this is not Python: '(' was never closed." in said and "next: mend that" in said


def test_a_passed_chapter_is_not_started_again(begun):
    begun.tito("solution", "first")
    begun.tito("test", "first")
    said = begun.tito("start", "first")
    assert "01_first is passed (tito reset 01_first blanks it again); nothing was changed" in said


def test_an_exercise_that_waits_for_another_is_not_next(begun):
    begun.tito("solution", "first", "Box_doubled")
    begun.tito("test", "first", status=1)
    assert row(begun)["needs"] == {"Box_doubled": "double"}
    assert "next: double" in begun.tito()
    assert "failing      Box_doubled  (0 of 2 points, needs double)" in begun.tito("status", "first")


def test_an_edit_leaves_what_is_known_of_the_others(begun):
    begun.tito("solution", "first", "double")
    begun.tito("solution", "first", "Box_text")
    begun.tito("test", "first", status=1)
    begun.edit(FIRST, "return str(self.value)", "return repr(self.value)")
    found = row(begun)
    assert found["exercises"] == {"double": "passing", "Box_doubled": "to do", "Box_text": "passing"}
    assert found["changed"] and found["changed_exercises"] == ["Box_text"]
    assert "Box_text  (1 of 1 points, before it was changed)" in begun.tito("status", "first")
    assert "The file was changed after that test" in begun.tito()


def test_a_change_outside_the_exercises_changes_none_of_them(begun):
    begun.tito("solution", "first")
    begun.tito("test", "first")
    begun.edit(FIRST, "# A chapter for the tests of the pipeline.", "# My own words.")
    found = row(begun)
    assert found["changed"] and not found["changed_exercises"] and found["state"] == "in progress"
    output = begun.tito()
    assert "3 of 3 exercises pass" in output and "next: tito test --module 01_first" in output


def test_a_syntax_error_keeps_what_was_known(begun):
    begun.tito("solution", "first", "double")
    begun.tito("test", "first", status=1)
    write(begun, "Box_text", "return (")
    begun.tito("test", "first", status=1)
    found = row(begun)
    assert found["exercises"]["double"] == "passing" and found["points"] == 3
    assert f"{FIRST}:85: this is not Python" in begun.tito()
    assert "the tests could not be run" in begun.tito("status")
    begun.edit(FIRST, "return (", "return 1")
    assert "could not be run" not in begun.tito()


def test_failing_further_tests_are_seen(begun):
    begun.write("tests/first/test_more.py", "def test_no():\n    assert False\n")
    begun.tito("solution", "first")
    begun.tito("test", "first", status=1)
    for output in (begun.tito(), begun.tito("status"), begun.tito("status", "first")):
        assert "tests/first does not pass" in output
    assert "3 of 3 exercises pass" in begun.tito() and "next: tito test --module 01_first" in begun.tito()


def test_a_package_that_lost_what_passed(begun):
    begun.tito("solution", "first")
    begun.tito("test", "first")
    assert "next: tito start 02_second" in begun.tito()
    begun.edit("tinytorch/core/first.py", "return x + x", "return 2 * x")
    output = begun.tito()
    assert "does not hold what passed" in output and "next: tito test --module 01_first" in output
    assert "not in the package" in begun.tito("status")
    begun.tito("test", "first")
    assert "next: tito start 02_second" in begun.tito()


def test_a_chapter_whose_file_is_gone(begun):
    begun.tito("start", "second")
    begun.file(FIRST).unlink()
    output = begun.tito()
    assert f"{FIRST} is missing: tito doctor --fix brings it back" in output
    assert f"{FIRST} is missing" in begun.tito("status", "first") and f"{FIRST} is missing" in begun.tito("status")
    begun.tito("doctor", "--fix", status=None)
    assert "next: double" in begun.tito()


def test_a_chapter_in_progress_comes_before_one_that_is_not_begun(begun):
    begun.tito("start", "second")
    begun.tito("solution", "first")
    begun.tito("test", "first")
    assert "You are in 01_first" in begun.tito() and "next: tito test --module 02_second" in begun.tito()
    begun.tito("solution", "second")
    begun.tito("test", "second")
    assert "every chapter is passed" in begun.tito()


def test_a_chapter_that_was_left_out_comes_at_last(toy):
    toy.tito("start", "second")
    toy.tito("solution", "second")
    toy.tito("test", "second")
    assert "next: tito start 01_first" in toy.tito()
