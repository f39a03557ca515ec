"""Mutation testing, tried on the toy course: which mutants live depends on the toy's tests alone."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("mutmut", reason="needs the dev extra")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="starts its processes with fork")

FIRST = "modules/source/01_first/first_dev.py"
EXPLAINED = """\
Box_text:
  - why: A text is its own text.
    changes:
      - |
        - return str(self.value)
        + return (self.value)
"""


def mutation(checkout, *arguments, status=0):
    """Run the tool in the checkout; what it printed."""
    python_path = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-m", "tito.mutation", *arguments], cwd=checkout.root, capture_output=True,
        env={**os.environ, "PYTHONPATH": python_path, "PYTHONSAFEPATH": "1"}, encoding="utf-8", timeout=120,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout if done.stdout else done.stderr


def result(checkout, *arguments, status=0):
    (data,) = json.loads(mutation(checkout, "first", "--json", *arguments, status=status))["modules"]
    return data


def weaken(checkout):
    """A test that cannot tell text from what it was made of."""
    checkout.edit(FIRST, 'check(Box(2).text(), "2")', 'check(Box("2").text(), "2")')


def changes(checkout):
    from tito.chapter import Chapter
    from tito.mutation.mutants import mutants

    return {(m.exercise, m.change): m for m in mutants(Chapter.read(checkout.file(FIRST)))}


def test_the_toy_s_tests_notice_everything(toy):
    data = result(toy)
    assert data["mutants"] == len(changes(toy)) > 10
    assert data["killed"] == {"own cells": data["mutants"], "other cells": 0, "tests/": 0}
    assert data["good"] and data["score"] == 1.0 and data["survivors"] == []


def test_a_survivor_is_shown_where_it_stands_and_has_to_be_explained(toy):
    weaken(toy)
    line = toy.read(FIRST).splitlines().index("        return str(self.value)") + 1
    output = mutation(toy, "first", status=1)
    assert f"{FIRST}:{line}: Box_text survives\n- return str(self.value)\n+ return (self.value)\n" in output
    toy.write("tests/mutants/first.yaml", EXPLAINED)
    data = result(toy)
    assert [s["why"] for s in data["survivors"]] == ["A text is its own text."]


def test_an_explanation_of_what_is_killed_or_gone_is_stale(toy):
    toy.write("tests/mutants/first.yaml", EXPLAINED + "      - |\n        - return 1\n        + return 2\n")
    killed, gone = result(toy, status=1)["stale"]
    assert "Box_text: the tests kill it now" in killed
    assert "Box_text: there is no such mutant" in gone and "+ return 2" in gone


def test_an_explanation_that_cannot_be_read_is_named(toy):
    toy.write("tests/mutants/first.yaml", "Box_text:\n  - why: no changes\n")
    assert "tests/mutants/first.yaml cannot be read" in mutation(toy, "first", status=1)


def test_layers_are_tried_one_after_the_other(toy):
    toy.edit(FIRST, "check(double(3), 6)\n    check(double(np.ones(2)), [2.0, 2.0])", "check(double(0), 0)")
    assert result(toy)["killed"]["other cells"] == 3  # x - x and twice x, which doubling a box tells from x + x
    weaken(toy)
    toy.write("tests/first/test_first.py", "def test_text():\n    from tinytorch.core.first import Box\n\n"
              "    assert Box(2).text() == '2'\n")  # fmt: skip
    assert result(toy)["killed"]["tests/"] == 1


def test_a_mutant_without_end_is_stopped(toy):
    loop = "    out = 0 * x\n    while np.any(out < 2 * x):\n        out = out + x\n    return out\n"
    toy.edit(FIRST, "    return x + x\n    ### END", loop + "    ### END")
    data = result(toy, status=1)  # where the loop begins, no test of the toy asks
    assert data["timed_out"] > 0
    assert not any("while True" in s["change"] for s in data["survivors"])


def test_a_sample_is_the_seed_s(toy):
    from tito.mutation.__main__ import chosen

    every = list(changes(toy).values())
    one, again, another = (chosen(every, 8, seed) for seed in (0, 0, 1))
    assert one == again != another and len(one) == 8
    without_text = [m for m in every if m.exercise != "Box_text"]
    assert [m for m in one if m in without_text] == chosen(without_text, 8, 0)[: len(set(one) & set(without_text))]
    assert result(toy, "--sample", "8")["mutants"] == 8


def test_one_exercise_alone(toy):
    weaken(toy)
    toy.write("tests/mutants/first.yaml", EXPLAINED + "double:\n  - why: Not asked.\n    changes: [gone]\n")
    data = result(toy, "--exercise", "Box_text")
    assert data["mutants"] == sum(exercise == "Box_text" for exercise, _ in changes(toy)) and data["stale"] == []
    assert "There are: double, Box_doubled, Box_text" in mutation(toy, "first", "--exercise", "box", status=2)


def test_solutions_that_fail_are_no_measure(toy):
    toy.edit(FIRST, "check(double(3), 6)", "check(double(3), 7)")
    assert "the own cells of double fail on the solution itself" in mutation(toy, status=1)


def test_words_are_left_alone(toy):
    toy.edit(FIRST, "    return x + x\n    ### END", '    """Said."""\n    y: int = 1\n    return x + x\n    ### END')
    changed = changes(toy)
    assert not [c for _, c in changed if '"double: x' in c.partition("+")[2] or "- y: int = 1\n+ y: None" in c]
    assert ("double", '- raise TypeError("double: x is a str, a number was expected.")\n+ pass\n') in changed
    assert not [c for _, c in changed if "Said" in c]


def test_a_mutant_is_one_change_between_the_markers(toy):
    for (exercise, change), mutant in changes(toy).items():
        old, new = (line for line in change.splitlines())
        lines = toy.read(FIRST).splitlines()
        assert lines[mutant.line - 1].strip() == old.removeprefix("- ")
        assert new.removeprefix("+ ") in mutant.code and exercise == mutant.exercise
