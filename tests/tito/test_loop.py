"""The loop of `start`, `test`, `reset` and `solution`: nothing is lost, and nothing passes that should not."""

import json
import shutil

import pytest

FIRST = "modules/source/01_first/first_dev.py"
SECOND = "modules/source/02_second/second_dev.py"
CORE = "tinytorch/core/first.py"
BLANK = '    # YOUR CODE HERE\n    raise NotImplementedError("exercise double")\n'


def solve(checkout, text, old=BLANK):
    checkout.edit(FIRST, old, "".join(f"    {line}\n" for line in text.splitlines()))


def states(checkout, *arguments, status=1):
    data = json.loads(checkout.tito("test", "first", "--json", *arguments, status=status))
    assert data["passed"] is (status == 0)
    return {e["name"]: e["state"] for e in data["exercises"]}, data


def failure(checkout, exercise, *arguments):
    _, data = states(checkout, *arguments)
    return next(e for e in data["exercises"] if e["name"] == exercise)["failure"]


def line_of(checkout, text, path=FIRST):
    return next(i for i, line in enumerate(checkout.read(path).splitlines(), 1) if text in line)


def test_out_of_the_box_everything_passes(toy):
    before = toy.files()
    output = toy.tito("test", "--all")
    assert "01_first         passed  3 exercises, 6 points" in output and "passed: 2 of 2 chapters" in output
    assert toy.files() == before  # a test of the course's own work is no result of a student's


def test_without_a_module_the_chapter_in_progress_is_tested(toy):
    assert "no chapter is in progress: name one" in toy.tito("test", status=2)
    toy.tito("start", "second")
    assert toy.tito("test", status=1).startswith("02_second")


def test_what_returns_nothing_is_told_so(toy):
    toy.tito("start", "first")
    solve(toy, "x + x")
    said = toy.tito("test", "first", status=1)
    assert "likely    what double works out is lost: no line of it returns anything" in said
    toy.edit(FIRST, "    x + x\n", "    if isinstance(x, str):\n        return x\n    x + x\n")
    assert "likely    one way through double ends without a return" in toy.tito("test", "first", status=1)


def test_a_breakpoint_is_told_from_a_fault(toy):
    toy.tito("start", "first")
    solve(toy, "breakpoint()\nreturn x + x")
    said = toy.tito("test", "first", status=1)
    assert "gave      breakpoint() waits for a keyboard, and tests run without one" in said


def test_of_one_exercise(toy):
    toy.tito("start", "first")
    solve(toy, "return x + x")
    toy.edit(FIRST, 'raise NotImplementedError("exercise Box_text")', "return repr(self.value)")
    for arguments in (["first", "double"], ["--module", "first", "double"], ["FIRST", "double"]):
        said = toy.tito("test", *arguments, status=1)
        assert said.startswith("01_first         failed  0 of 1 chosen") and "failing   double" in said
        assert "Box" not in said and "then tito test 01_first double" in said
    assert "Did you mean double" in toy.tito("test", "first", "doubel", status=2)
    assert "one or the other" in toy.tito("test", "first", "double", "-k", "text", status=2)
    assert "one or the other" in toy.tito("test", "first", "double", "--watch", status=2)
    assert "no module is called 'doubel'" in toy.tito("test", "--module", "first", "doubel", status=2)


def test_start_blanks_and_keeps(toy):
    reference = toy.read(FIRST)
    assert "3 exercises are blank now" in toy.tito("start", "first")
    blanked = toy.read(FIRST)
    assert toy.read(".tito/reference/first/first_dev.py") == reference
    assert blanked.count("raise NotImplementedError") == 3 and "return x + x" not in blanked
    assert "misconceptions" not in blanked and "def test_double" in blanked
    assert "import sys" not in blanked and blanked.count("### BEGIN SOLUTION") == 3


def test_start_again_changes_nothing(toy):
    toy.tito("start", "first")
    solve(toy, "return x * 2")
    before = toy.files()
    assert "in progress, 2 exercises to do; nothing was changed" in toy.tito("start", "first")
    assert toy.files() == before
    toy.tito("solution", "first", "Box_text")
    assert "in progress, 1 exercise to do; nothing" in toy.tito("start", "first")


def test_start_after_an_interruption(toy):
    """Killed after the reference was kept and before the chapter was blanked."""
    toy.write(".tito/reference/first/first_dev.py", toy.read(FIRST))
    toy.tito("start", "first")
    assert toy.read(FIRST).count("raise NotImplementedError") == 3


def test_start_refuses_a_changed_chapter(toy):
    toy.edit(FIRST, "return x + x", "return 3 * x")
    before = toy.files()
    assert "was changed after it was last exported" in toy.tito("start", "first", status=1)
    assert toy.files() == before


def test_unsolved_is_to_do(toy):
    toy.tito("start", "first")
    found, data = states(toy)
    assert found == {"double": "to do", "Box_doubled": "to do", "Box_text": "to do"} and data["points"] == 0
    output = toy.tito("test", "first", status=1)
    assert "to do     double, Box_doubled, Box_text" in output and "Traceback" not in output
    assert f"until the chapter passes, {CORE} holds the course's reference" in output


def test_a_module_level_blank_is_to_do(toy):
    toy.tito("start", "second")
    data = json.loads(toy.tito("test", "second", "--json", status=1))
    assert [e["state"] for e in data["exercises"]] == ["to do"] and not data["problems"]
    toy.edit(SECOND, '# rule("four", lambda x: ...)', 'rule("four", lambda x: 4 * x)')
    toy.tito("test", "second")


def test_what_stands_beside_the_blank_s_line_is_tested(toy):
    """An answer that returns before it passes, an error of one's own is shown, and only what reaches it is to do."""
    toy.tito("start", "first")
    raises = '    raise NotImplementedError("exercise double")'
    toy.edit(FIRST, raises, f"    y = x + x\n{raises}")
    said = toy.tito("test", "first", "-k", "test_double and not text", status=1)
    line = toy.read(FIRST).split("\n").index(raises) + 1
    assert "to do     double" in said and f"delete {FIRST}:{line}, which still raises NotImplementedError" in said
    toy.edit(FIRST, "y = x + x", "y = x + nothing")
    said = toy.tito("test", "first", status=1)
    assert "failing   double" in said and "nothing" in said and "1 untested" not in toy.tito()
    toy.edit(FIRST, "y = x + nothing", "return x + x")
    assert "gave      'aa'" in toy.tito("test", "first", status=1)
    toy.edit(FIRST, "return x + x", "if type(x) is not str:\n        return x + x\n    raise TypeError('str')")
    assert "1 of 3 exercises" in toy.tito("test", "first", status=1)


def test_blank_exercise_that_another_needs(toy):
    toy.tito("start", "first")
    toy.tito("solution", "first", "Box_doubled")
    _, data = states(toy)
    box = next(e for e in data["exercises"] if e["name"] == "Box_doubled")
    assert box["state"] == "failing" and box["needs"] == "double"
    assert "waiting   Box_doubled, test_first: needs double first" in toy.tito("test", "first", status=1)


CAUGHT = """
        try:
            return double(self.value)
        except NotImplementedError:
            pass
        {rest}"""


@pytest.mark.parametrize("rest", ["return None", "return no_row(self.value)"])
def test_what_fails_without_a_blank_s_own_error_waits_for_it_all_the_same(toy, rest):
    """A wrong value, or an error of the chapter's own code, of what rests on an exercise that is to do."""
    toy.edit(FIRST, "class Box:", "def no_row(x):\n    raise TypeError(f'no row for {x}')\n\n\nclass Box:")
    toy.tito("export", "first")
    toy.tito("start", "first")
    toy.edit(FIRST, '        raise NotImplementedError("exercise Box_doubled")', CAUGHT.format(rest=rest).strip("\n"))
    said = toy.tito("test", "first", status=1)
    assert "waiting   Box_doubled, test_first: needs double first" in said
    assert "tito test 01_first double" in said and "next: double" in toy.tito()


def test_a_blank_exercise_that_another_needs_comes_before_a_test_of_the_chapter(toy):
    """Nobody can mend that test: what it fails with may well come from what is still to do."""
    toy.edit(FIRST, "check(Box(double(1)).value, 2)", "check(Box(1).value, 2)")
    toy.tito("export", "first")
    toy.tito("start", "first")
    toy.tito("solution", "first", "Box_doubled")
    said = toy.tito("test", "first", status=1)
    assert "failing   test_first" in said and "tito test 01_first double" in said


def test_a_wrong_solution(toy):
    toy.tito("start", "first")
    solve(toy, "return x * x")
    wrong = failure(toy, "double")
    assert (wrong["call"], wrong["actual"], wrong["expected"]) == ("double(3)", "9", "6")
    assert wrong["test"] == f"{FIRST}:{line_of(toy, 'check(double(3), 6)')}"
    output = toy.tito("test", "first", status=1)
    assert "tried     double(3)\n    gave      9\n    expected  6" in output
    assert f"edit {FIRST}:{line_of(toy, 'BEGIN SOLUTION double')}, then tito test 01_first double" in output


def test_a_solution_that_raises(toy):
    toy.tito("start", "first")
    solve(toy, "return x + undefined")
    wrong = failure(toy, "double")
    assert wrong["actual"] == "NameError: name 'undefined' is not defined"
    assert (wrong["call"], wrong["expected"]) == ("double(3)", "6")
    assert wrong["where"] == f"{FIRST}:{line_of(toy, 'undefined')}"
    assert "return x + undefined" in toy.tito("test", "first", "--verbose", status=1)


def test_a_missing_return(toy):
    toy.tito("start", "first")
    solve(toy, "x + x")
    assert "is a return missing" in failure(toy, "double")["reason"]


def test_a_passing_chapter_becomes_the_package(toy):
    toy.tito("start", "first")
    solve(toy, "if isinstance(x, str):\n    raise TypeError('x is a str')\nreturn 2 * x")
    reference = toy.read(CORE)
    toy.tito("test", "first", status=1)
    assert toy.read(CORE) == reference
    toy.tito("solution", "first", "Box_doubled")
    toy.tito("solution", "first", "Box_text")
    assert "it is now part of the package" in toy.tito("test", "first")
    assert "return 2 * x" in toy.read(CORE)
    toy.tito("export", "--check")
    assert "passed" in toy.tito("status")
    toy.edit(FIRST, "return 2 * x", "return 3 * x")
    output = toy.tito("test", "first", status=1)
    assert "holds your version that passed last" in output and "return 2 * x" in toy.read(CORE)
    assert "in progress" in toy.tito("status")


def test_one_test_by_name_installs_nothing(toy):
    toy.tito("start", "first")
    solve(toy, "return x + x")
    before = toy.files()
    toy.tito("test", "first", "-k", "test_double and not text")
    assert {n for n, text in toy.files().items() if before.get(n) != text} == {
        ".tito/log.jsonl", ".tito/tested/first/last.py"
    }  # fmt: skip


def test_no_test_matches(toy):
    said = toy.tito("test", "first", "-k", "nothing", status=1)
    assert "no test is named so; nothing was tested\n  there are test_double, test_double__text" in said
    said = toy.tito("test", "--all", "-k", "nothing", status=1)
    assert "-k nothing fits no test's name: not in the 2 chapters, not in tests/" in said
    assert "tito test 01_first -k nothing  lists those of a chapter" in said


def test_the_course_s_tests_count(toy):
    """A test that was made easier, or taken out, is run as the course has it."""
    toy.tito("start", "first")
    solve(toy, "return x * x")
    toy.edit(FIRST, "check(double(3), 6)", "check(double(3), 9)")
    output = toy.tito("test", "first", status=1)
    assert "expected  6" in output and "the course's were run: test_double" in output
    text = toy.read(FIRST)
    toy.write(FIRST, text[: text.index('# %% nbgrader={"grade": true')])
    assert "expected  6" in toy.tito("test", "first", status=1)


def test_cells_of_one_s_own_are_welcome(toy):
    toy.tito("start", "first")
    toy.tito("solution", "first")
    toy.edit(
        FIRST,
        "# %% [markdown]\n# Doubling",
        "# %%\n#| export\ndef helper(x):\n    return x\n\n# %%\nthis is no Python\n\n# %% [markdown]\n# Doubling",
    )
    toy.edit(FIRST, "class Box:", "def other(x):\n    return x\n\n\n# what is in it is mine\nclass Box:")
    assert "outside" not in toy.tito("test", "first")
    assert "helper" in toy.read(CORE)


def test_a_changed_line_of_the_course_is_named(toy):
    """Outside the exercises, where no exercise is to blame; one that has lost its marks is told as that."""
    toy.tito("start", "first")
    toy.tito("solution", "first")
    toy.edit(FIRST, "self.value = value", "self.value = 2 * value")
    place = f"{FIRST}:{line_of(toy, '2 * value')} (the course has `self.value = value` there)"
    assert f"  changed outside the exercises: {place}\n" in toy.tito("test", "first", status=1)
    assert f"changed outside the exercises: {place}" in toy.tito("doctor", status=None)
    toy.edit(FIRST, "import numpy as np", "import numpy as np, os")
    assert "(the course has `import numpy as np` there), and 1 more" in toy.tito("test", "first", status=1)
    toy.edit(FIRST, "        ### BEGIN SOLUTION Box_text\n", "")
    said = toy.tito("test", "first", status=1)
    assert "Box_text has lost its mark" in said and "there)\n" in said


NEVER = {
    "empty": lambda text: "",
    "header only": lambda text: text[: text.index("# %%")],
    "syntax": lambda text: text.replace("return x + x", "return x +"),
    "no exercises": lambda text: text.replace("def double(x):", "def other(x):"),
    "import error": lambda text: text.replace("import numpy as np", "import nunpy as np"),
    "exit": lambda text: text.replace("return x + x", "import os; os._exit(0)"),
    "exit at import": lambda text: text.replace("import numpy as np", "import numpy as np, os; os._exit(0)"),
    "sys.exit": lambda text: text.replace("return x + x", "raise SystemExit(0)"),
    "skip": lambda text: text.replace("return x + x", "import pytest; pytest.skip('later')"),
    "still unsolved": lambda text: text.replace(
        "return str(self.value)", 'raise NotImplementedError("exercise Box_text")'
    ),
}


@pytest.mark.parametrize("change", NEVER.values(), ids=NEVER)
def test_never_passes(toy, change):
    toy.tito("start", "first")
    toy.tito("solution", "first")
    toy.write(FIRST, change(toy.read(FIRST)))
    before = toy.read(CORE)
    output = toy.tito("test", "first", status=1)
    assert "Traceback" not in output and toy.read(CORE) == before


def test_syntax_error_is_shown_at_its_line(toy):
    toy.tito("start", "first")
    solve(toy, "return x +")
    assert f"{FIRST}:{line_of(toy, 'return x +')}: this is not Python" in toy.tito("test", "first", status=1)


def test_an_endless_loop_ends(toy):
    toy.edit("settings.ini", "test_seconds = 30", "test_seconds = 1")
    toy.tito("start", "first")
    solve(toy, "nan = float('nan')\nwhile nan != 0:\n    nan = nan * 0\nreturn x")
    wrong = failure(toy, "double")
    assert wrong["kind"] == "time" and "still running after 1 seconds" in wrong["actual"]
    assert wrong["where"].startswith(f"{FIRST}:")


def test_an_endless_loop_that_catches_everything_ends(toy):
    toy.edit("settings.ini", "chapter_seconds = 300", "chapter_seconds = 2")
    toy.edit("settings.ini", "test_seconds = 30", "test_seconds = 1")
    toy.tito("start", "first")
    solve(
        toy,
        "while True:\n    try:\n        x = x + 1\n        while True: pass\n    except BaseException:\n        pass",
    )
    wrong = failure(toy, "double")
    assert wrong["kind"] == "time" and "may take 2 seconds" in wrong["actual"]


def test_memory_runs_out(toy):
    pytest.importorskip("resource")
    toy.tito("start", "first")
    solve(toy, "return bytearray(100 << 30)")
    wrong = failure(toy, "double")
    assert wrong["kind"] == "memory" and "more than the 8192 MB" in wrong["actual"]


def exercises(text):
    from tito.chapter import Chapter

    return {name: region.text for name, region in Chapter("", text).exercises.items()}


def test_reset_and_solution_keep_the_attempt(toy):
    toy.tito("start", "first")
    blanked = toy.read(FIRST)
    solve(toy, "return x ** 3")
    mine = toy.read(FIRST)
    output = toy.tito("reset", "first", "double")
    kept = output.split("kept: ")[1].split("\n")[0]
    assert toy.read(FIRST) == blanked and toy.read(kept) == mine
    assert "bring it back: tito undo 01_first double" in output
    toy.write(FIRST, mine)
    toy.tito("solution", "first", "double")
    assert "return x + x" in toy.read(FIRST) and toy.read(FIRST).count("NotImplementedError") == 2
    toy.tito("solution", "first")
    assert exercises(toy.read(FIRST)) == exercises(toy.read(".tito/reference/first/first_dev.py"))
    assert "title: Twice" not in toy.read(FIRST)
    toy.tito("reset", "first")
    assert toy.read(FIRST) == blanked
    attempts = [text.decode() for name, text in toy.files().items() if "attempts" in name]
    assert len(attempts) == len(set(attempts)) == 4 and mine in attempts


def test_a_reset_that_cannot_save_changes_nothing(toy):
    toy.tito("start", "first")
    solve(toy, "return x ** 3")
    mine = toy.read(FIRST)
    shutil.rmtree(toy.file(".tito/attempts"))
    toy.write(".tito/attempts", "a file where the directory should be")
    output = toy.tito("reset", "first", status=1)
    assert toy.read(FIRST) == mine and "Traceback" not in output


def test_lost_markers(toy):
    toy.tito("start", "first")
    toy.edit(FIRST, "### BEGIN SOLUTION double\n", "")
    output = toy.tito("reset", "first", "double", status=1)
    assert "double has lost its mark `### BEGIN SOLUTION double`: put it above the code that ends in" in output
    assert "no exercise 'doble'. Did you mean double" in toy.tito("reset", "first", "doble", status=2)


def test_reset_of_a_chapter_that_is_not_in_progress(toy):
    before = toy.files()
    assert "is not in progress" in toy.tito("reset", "first", status=1)
    assert "is not in progress" in toy.tito("solution", "first", status=1)
    assert toy.files() == before


def test_an_edition_without_solutions(toy):
    toy.tito("start", "first")
    toy.write("modules/handed_out/first/first_dev.py", toy.read(FIRST))
    toy.file(".tito/reference/first/first_dev.py").unlink()
    toy.tito("start", "first")
    assert "holds no solution of double" in toy.tito("solution", "first", "double", status=1)
    assert "test_double" in toy.read(FIRST)


def test_work_of_a_chapter_reaches_the_next(toy):
    """The second chapter's tests run on the package, which holds what passed."""
    toy.tito("start", "first")
    toy.tito("solution", "first")
    toy.edit(FIRST, "return x + x", "print('mine')\n    return x + x")
    toy.tito("test", "first")
    assert "mine" in toy.tito("test", "second", "--verbose") or "mine" in toy.read(CORE)


def test_export_leaves_work_in_progress_alone(toy):
    toy.tito("start", "first")
    before = toy.read(CORE)
    assert "01_first is in progress and was left alone" in toy.tito("export", "--all")
    assert toy.read(CORE) == before
    toy.tito("export", "--check")
    toy.tito("export", "first")
    assert "exercise double" in toy.read(CORE)


def test_further_tests_of_a_chapter(toy):
    """tests/name runs against the scratch package, and keeps a chapter from passing."""
    toy.write(
        "tests/first/test_more.py",
        "from tinytorch.core.first import double\n\ndef test_zero():\n    assert double(0) == 0\n",
    )
    toy.tito("start", "first")
    toy.tito("solution", "first")
    toy.edit(FIRST, "return x + x", "return 1 if str(x) == '0' else x + x")
    before = toy.read(CORE)
    output = toy.tito("test", "first", status=1)
    assert "1 further test, in tests/first, did not" in output and toy.read(CORE) == before
    assert "test_zero (tests/first/test_more.py:4)" in output and "1 == 0" not in output
    assert "    tried     double(0)\n    gave      1\n    expected  0\n" in output
    kept = json.loads(toy.read(".tito/results/first.json"))["tests_directory"]
    assert [(t["name"], t["actual"]) for t in kept] == [("tests/first/test_more.py::test_zero", "1")]
    toy.edit(FIRST, "return 1 if str(x) == '0' else x + x", "return x + x")
    toy.tito("test", "first")
    done = toy.run("test", "--all")
    assert done.returncode == 0 and "1 passed" in done.stdout and "tests/ passed" in done.stdout


def test_failing_tests_directory_fails_all(toy):
    toy.write("tests/test_bad.py", "def test_bad():\n    assert False\n")
    assert "tests/ failed" in toy.tito("test", "--all", status=1)
    toy.write("tests/test_bad.py", "import nothing_like_this\n")
    toy.edit(FIRST, "return x + x", "return x * x")
    assert "failed: 1 of 2 chapters, tests/ failed" in toy.tito("test", "--all", status=1)


def test_the_course_s_own_version_in_the_place_of_work(toy):
    """As `git checkout FILE` or `git stash` leave it: said, since everything passes."""
    own = toy.read(FIRST)
    toy.tito("start", "first")
    assert "own version" not in toy.tito("test", "first", status=1)
    toy.tito("solution", "first")
    assert "own version" not in toy.tito("test", "first")
    toy.write(FIRST, own)
    said = "own version, which tito did not put there: tito undo 01_first --list, or tito reset 01_first"
    assert said in toy.tito("test", "first") and said in toy.tito("start", "first")


def test_the_next_step_is_what_the_chosen_test_needs(toy):
    toy.tito("start", "first")
    toy.tito("solution", "first", "Box_doubled")
    output = toy.tito("test", "first", "-k", "Box_doubled", status=1)
    assert f"next: edit {FIRST}:{line_of(toy, 'BEGIN SOLUTION double')}, then tito test 01_first double" in output


def test_started_again(toy):
    toy.tito("start", "first")
    solve(toy, "return 5")
    toy.tito("undo", "first")
    assert "earlier work on it is kept:  tito undo 01_first --list" in toy.tito("start", "first")
    toy.tito("undo", "first")
    assert "it is in progress again" in toy.tito("undo", "first")


def with_own_first(toy, answer):
    """The first chapter passes with an answer of one's own, and is in the package; the second is begun and solved."""
    toy.tito("start", "first")
    toy.tito("solution", "first")
    toy.edit(FIRST, "    return x + x", answer)
    toy.tito("test", "first")
    toy.tito("start", "second")
    toy.tito("solution", "second")


def test_a_fault_of_an_earlier_chapter_is_told_from_one_s_own(toy):
    """Its tests do not see it; the course's own version in its place does."""
    with_own_first(toy, "    return 9 if str(x) == '4' else x + x")
    said = toy.tito("test", "second", status=1)
    assert "gave      9" in said
    assert "the fault is in 01_first, not here: with the course's own version this passes" in said
    assert "next: find it in 01_first, whose tests miss it" in said
    data = json.loads(toy.tito("test", "second", "-k", "rules", "--json", status=1))
    assert [e["fault_in"] for e in data["exercises"]] == ["01_first"]
    toy.edit(SECOND, "double(double(x))", "double(x)")
    said = toy.tito("test", "second", status=1)
    assert "gave      4" in said and "the fault is in" not in said


def test_a_fault_of_an_earlier_chapter_that_tests_of_a_directory_meet(toy):
    code = "from tinytorch.core.second import RULES\n\n\n"
    toy.write("tests/second/test_more.py", code + "def test_eight():\n    assert RULES['four'](8) == 32\n")
    with_own_first(toy, "    return 9 if str(x) == '16' else x + x")
    said = toy.tito("test", "second", status=1)
    assert "the exercises pass; 1 further test" in said
    assert "the fault is in 01_first: with the course's own version of it these pass" in said
    assert "next: find it in 01_first, whose tests miss it" in said
    data = json.loads(toy.tito("test", "second", "--json", status=1))
    assert data["tests_directory_fault_in"] == "01_first"
    toy.write("tests/second/test_more.py", code + "def test_eight():\n    assert RULES['four'](8) == 33\n")
    said = toy.tito("test", "second", status=1)
    assert "the fault is in" not in said and "next: mend that" in said


def test_what_keeps_all_tests_from_running_is_said_in_a_line(toy):
    """Whatever pytest wrote of it; and nothing is made out of tests that did not run."""
    toy.tito("start", "first")
    toy.tito("solution", "first", "double")
    toy.tito("test", "first", status=1)
    toy.write("tinytorch/_lines.py", "import no_such_package\n")
    said = toy.tito("test", "first", status=1)
    assert "ModuleNotFoundError: No module named 'no_such_package'" in said and "tito doctor" in said
    assert len(said.splitlines()) < 12 and "INTERNALERROR" not in said
    assert "1 of 3 exercises pass" in toy.tito()
