"""`tito hint` and `tito log`: one step more each time, and what is remembered of it."""

import json
import shutil

import pytest

FIRST = "modules/source/01_first/first_dev.py"
LOG = ".tito/log.jsonl"


@pytest.fixture
def begun(toy):
    toy.tito("start", "first")
    return toy


def test_one_step_more_each_time(begun):
    first = begun.tito("hint", "first", "double")
    assert "What do you get" in first and "Refuse text" not in first and "the plan:  tito hint 01_first double" in first
    second = begun.tito("hint", "first", "double")
    assert "What do you get" in second and "Refuse text" in second and "return x + x" not in second
    third = begun.tito("hint", "first", "double")
    assert "return x + x" in third and "tito solution 01_first double" in third and "is kept" in third
    assert begun.tito("hint", "first", "double") == third
    assert [e["level"] for e in json.loads(begun.tito("log", "--json"))["events"] if e["event"] == "hint"] == [1, 2, 3]


def test_again_is_no_step_more(begun):
    assert "No hint was shown yet" in begun.tito("hint", "first", "double", "--again")
    once = begun.tito("hint", "first", "double")
    assert begun.tito("hint", "first", "double", "--again") == once


def test_all_steps_at_once_and_as_json(begun):
    assert "1  the idea" in begun.tito("hint", "1", "double", "--all")
    data = json.loads(begun.tito("hint", "first", "double", "--json"))
    assert data["step"] == data["steps"] == 3 and data["state"] == "to do" and len(data["hints"]) == 3


def test_without_a_name_it_is_the_exercise_at_hand(begun):
    assert begun.tito("hint").startswith("double  Twice")
    begun.tito("solution", "first", "double")
    begun.tito("solution", "first", "Box_doubled")
    begun.edit(FIRST, 'raise NotImplementedError("exercise Box_text")', "return 'wrong'")
    begun.tito("test", "first", status=1)
    assert "01_first has no hints for Box_text" in begun.tito("hint", status=1)


def test_an_exercise_that_passes_asks_for_nothing(begun):
    begun.tito("solution", "first")
    begun.tito("test", "first")
    assert "double passes already" in begun.tito("hint", "first", "double")
    assert "every exercise passes" in begun.tito("hint", "first")
    assert "hint" not in {e["event"] for e in json.loads(begun.tito("log", "--json"))["events"]}
    assert "return x + x" in begun.tito("hint", "first", "double", "--all")
    begun.edit(FIRST, "return x + x", "return x + 1")
    assert "the key line" in begun.tito("hint", "first", "double")


def test_a_chapter_that_is_not_begun(toy):
    assert "no chapter is in progress" in toy.tito("hint", status=1)
    output = toy.tito("hint", "first", "double", status=1)
    assert "01_first is not in progress" in output and "tito start 01_first" in output
    assert "return x + x" in toy.tito("hint", "first", "double", "--all")


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["first", "doubel"], "no exercise 'doubel'. Did you mean double"),
        (["nothing"], "no module is called"),
        (["first", "double", "--again", "--all"], "not both"),
    ],
)
def test_wrong_use(begun, arguments, said):
    assert said in begun.tito("hint", *arguments, status=2)


def test_without_the_reference(begun):
    """The hints are in the reference: it is said where that one is, as every command does."""
    shutil.rmtree(begun.file(".tito"))
    said = begun.tito("hint", "first", "double", status=1)
    assert "its reference is not in .tito" in said and "tito start 01_first --from" in said


def test_a_renumbered_chapter_keeps_its_steps(begun):
    begun.tito("hint", "first", "double")
    begun.file("modules/source/01_first").rename(begun.file("modules/source/05_first"))
    assert "the plan" in begun.tito("hint", "first", "double")


def test_an_edition_without_solutions(begun):
    notes = {"double": {"title": "Twice", "hints": ["a", "b", "c"], "misconceptions": []}}
    begun.write("modules/source/01_first/notes.json", json.dumps(notes))
    begun.write(".tito/reference/first/first_dev.py", begun.read(FIRST))
    assert "this edition holds no solution" in begun.tito("hint", "first", "double", "--all")


def test_the_log_tells_what_was_tried_asked_and_passed(begun):
    begun.edit(FIRST, 'raise NotImplementedError("exercise double")', "return x * x")
    begun.tito("test", "first", status=1)
    begun.tito("hint", "first")
    begun.tito("reset", "first", "double")
    begun.tito("solution", "first")
    begun.tito("test", "first")
    lines = [line.split(maxsplit=3) for line in begun.tito("log").splitlines()[:6]]
    assert [line[3].split()[0] for line in lines] == ["start", "test", "hint", "reset", "solution", "test"]
    output = begun.tito("log", "first")
    assert "0 of 3 exercises pass; failing: double" in output and "double, the idea" in output
    events = json.loads(begun.tito("log", "first", "--json"))["events"]
    assert events[1]["exercises"]["double"] == "failing" and events[-1]["passed"] is True
    assert "Nothing is logged of 02_second" in begun.tito("log", "second")


def test_deleting_the_log(begun):
    begun.tito("hint", "first", "double")
    before = begun.files()
    assert "Deleted the log: 2 events" in begun.tito("log", "--delete")
    assert {n for n, text in before.items() if begun.files().get(n) != text} == {LOG}
    assert "There is no log" in begun.tito("log", "--delete")
    assert "the plan:" in begun.tito("hint", "first", "double")
    assert "stands alone" in begun.tito("log", "--delete", "--json", status=2)


def test_a_damaged_log(begun):
    begun.tito("hint", "first", "double")
    with open(begun.file(LOG), "ab") as log:
        log.write(b'{"event": "hint", "lev\n[]\n\xff\n{"event": "hint", "level": "x", "exercise": "double"}\n')
    assert "the plan" in begun.tito("hint", "first", "double")
    begun.tito("log")
    begun.file(LOG).unlink()
    begun.file(LOG).mkdir()
    assert "the idea" in begun.tito("hint", "first", "double")


def test_a_reader_s_tests_are_not_logged(toy):
    toy.tito("test", "first")
    assert not toy.file(LOG).exists()
