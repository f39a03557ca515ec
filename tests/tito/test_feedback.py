"""What `tito test` says of a failing exercise: short, in the student's words, the first one first."""

import json
import re

from tito import asked, feedback
from tito.process import untold

FIRST = "modules/source/01_first/first_dev.py"
CHECK = untold("check", "") | {"type": "CheckFailed"}


def line_of(checkout, text, path=FIRST):
    return next(i for i, line in enumerate(checkout.read(path).splitlines(), 1) if text in line)


def solved(checkout, *edits):
    """The first chapter in progress and solved, but for some edits."""
    checkout.tito("start", "first")
    checkout.tito("solution", "first")
    for old, new in edits:
        checkout.edit(FIRST, old, new)


def shown(output):
    """The lines on the first failure."""
    lines = output.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("  failing"))
    last = next(i for i, line in enumerate(lines) if i > first and not line.startswith("    "))
    return lines[first:last]


def test_a_known_mistake_is_named(toy):
    solved(toy, ("return x + x", "return x * x"))
    output = toy.tito("test", "first", status=1)
    assert shown(output) == [
        "  failing   double: Twice (0 of 3 points)",
        "    tried     double(3)",
        "    gave      9",
        "    expected  6",
        "    likely    You multiplied x by itself.",
    ]
    assert "or tito hint 01_first double" in output.splitlines()[-1]
    kept = json.loads(toy.read(".tito/results/first.json"))["exercises"][0]["failure"]
    assert (kept["mistake"], kept["says"]) == ("squares", "You multiplied x by itself.")


def test_another_wrong_value_is_not_called_by_its_name(toy):
    solved(toy, ("return x + x", "return x * x + 1"))
    assert "likely" not in toy.tito("test", "first", status=1)


def test_the_lines_before_a_check_are_shown(toy):
    solved(toy, ("return double(self.value)", "return self.value"))
    output = toy.tito("test", "first", status=1)
    assert "    tried     box = Box(2); box.doubled()\n    gave      2\n    expected  4" in output


def test_an_exception_is_shown_at_the_student_s_line(toy):
    solved(toy, ("return x + x", "return twice(x)"))
    output = toy.tito("test", "first", status=1)
    assert f"    in        {FIRST}:{line_of(toy, 'twice(x)')}: return twice(x)" in shown(output)
    assert len(shown(output)) <= 6 and "Traceback" not in output
    output = toy.tito("test", "first", "--traceback", status=1)
    assert "Traceback" in output and "return twice(x)" in output and "site-packages" not in output


def test_a_keyboard_is_not_there(toy):
    """pytest's own advice is none for a student."""
    solved(toy, ("return x + x", "return x + float(input())"))
    output = toy.tito("test", "first", status=1)
    assert "tests run without a keyboard" in output and "`-s`" not in output


def test_what_fails_inside_another_failing_exercise_waits_for_it(toy):
    solved(toy, ("return x + x", "return twice(x)"))
    output = toy.tito("test", "first", status=1)
    assert output.count("twice") == 2 and output.count("  failing") == 1
    assert "  waiting   Box_doubled, test_first: needs double first" in output
    states = {e["name"]: e["needs"] for e in json.loads(toy.tito("test", "first", "--json", status=1))["exercises"]}
    assert states == {"double": "", "Box_doubled": "double", "Box_text": ""}


def test_one_error_of_a_helper_is_told_once(toy):
    """The helper lies in no exercise: the first that met it tells it."""
    helper = "#| export\ndef helper(x):\n    return x.no_such_name\n\ndef double(x):"
    edits = [("return x + x", "return helper(x)"), ("return str(self.value)", "return helper(self.value)")]
    solved(toy, ("#| export\ndef double(x):", helper), *edits)
    output = toy.tito("test", "first", status=1)
    assert output.count("no_such_name") == 2 and "Box_text, test_first: needs double first" in output


def test_a_fault_that_may_be_another_s_is_shown_all_the_same(toy):
    """Of two that fail, one of which rests on the other, nobody can say whether the second has a fault of its own."""
    solved(toy, ("return x + x", "return x * x"), ("return double(self.value)", "return double(self.value) + 1"))
    output = toy.tito("test", "first", status=1)
    line = next(line for line in output.splitlines() if "Box_doubled" in line)
    assert line.startswith("  also      Box_doubled: box.doubled() gave 5, expected 4")
    assert line.endswith("(may come from double)")
    output = toy.tito("test", "first", "--traceback", status=1)
    assert "it rests on double, which fails, too: the fault may be there" in output


def test_a_blank_that_raises_nothing_is_to_do_and_waited_for(toy):
    """Somebody took the line that raises away, and wrote nothing yet; who calls it fails in lines of their own."""
    blank = '    # YOUR CODE HERE\n    raise NotImplementedError("exercise double")\n'
    toy.tito("start", "first")
    toy.tito("solution", "first", "Box_doubled")
    toy.edit(FIRST, blank, "    # my idea: add\n")
    toy.edit(FIRST, "return double(self.value)", "return double(self.value) + 0")
    output = toy.tito("test", "first", status=1)
    assert "waiting   Box_doubled, test_first: needs double first" in output and "failing" not in output


def test_the_line_named_is_the_student_s(toy):
    """Not the course's, where an error of theirs comes out of it, and not one that was raised from theirs."""
    helper = '#| export\ndef lifted(f, x):\n    try:\n        return f(x)\n    except TypeError as error:\n'
    helper += '        raise ValueError("lifted: no") from error\n\ndef double(x):'
    toy.edit(FIRST, "#| export\ndef double(x):", helper)
    toy.tito("export", "first")
    solved(toy, ("    return x + x", '    add = lambda y: y + "a"\n    return lifted(add, x)'))
    output = toy.tito("test", "first", status=1)
    assert "gave      ValueError: lifted: no" in output
    assert re.search(rf'in        {FIRST}:\d+: add = lambda y: y \+ "a"', output), output


def test_the_first_failure_in_full_and_the_others_in_a_line(toy):
    solved(toy, ("return x + x", "return x * x"), ("return str(self.value)", "return 'wrong'"))
    output = toy.tito("test", "first", status=1)
    assert output.count("  failing") == 1 and "Box_text: Box(2).text() gave 'wrong', expected '2'" in output
    assert "waiting   test_first: needs double first" in output
    assert toy.tito("test", "first", "--traceback", status=1).count("  failing") == 2


def test_a_blank_of_an_earlier_chapter_is_named(toy):
    """As in an edition without solutions: the package holds the earlier chapter's blanks."""
    toy.tito("start", "first")
    toy.tito("export", "first")
    output = toy.tito("test", "second", status=1)
    assert "waiting   rules: needs 01_first double first" in output
    assert "next: solve double in 01_first, then tito test 02_second" in output
    assert "failing" not in output


def test_failures_of_further_tests(toy):
    """The same form, a handful of them, in full on request."""
    toy.write(
        "tests/first/test_more.py",
        "import numpy as np\nimport pytest\nfrom tinytorch.core.first import Box, double\n\n"
        "def test_equal():\n    assert double(0) == 0\n\n"
        "def test_close():\n    np.testing.assert_allclose(double(np.zeros(2)), [0.0, 0.0])\n\n"
        "def test_raises():\n    with pytest.raises(ValueError):\n        double(0)\n\n"
        "def test_other():\n    assert double(0) < 0.5\n\n"
        "def test_loops():\n    while double(0): pass\n\n"
        "def test_ends():\n    import os\n    os._exit(double(0) - 1)\n\n"
        "@pytest.mark.skip\ndef test_skipped():\n    pass\n\n"
        "def test_fine():\n    assert Box(1).doubled() == 2\n",
    )
    toy.edit("settings.ini", "test_seconds = 30", "test_seconds = 1")
    solved(toy, ("return x + x", "return x + x + 1 - np.sign(np.abs(x))"))
    output = toy.tito("test", "first", status=1)
    assert "6 further tests, in tests/first, did not:" in output
    assert "  failing   test_equal (tests/first/test_more.py:6)\n    tried     double(0)\n    gave      1" in output
    assert "    tried     double(np.zeros(2))\n    gave      [1., 1.]" in output.replace("array([1., 1.])", "[1., 1.]")
    assert "    tried     double(0)\n    gave      Failed: DID NOT RAISE" in output
    assert "and 3 more: tito test 01_first --traceback" in output and "test_loops" not in output
    output = toy.tito("test", "first", "--traceback", status=1)
    assert "still running after 1 seconds" in output and "the whole process ended, with status 0" in output
    failed = json.loads(toy.tito("test", "first", "--json", status=1))["tests_directory"]
    names = ["test_equal", "test_close", "test_raises", "test_other", "test_loops", "test_ends"]
    assert sorted(f["name"].rpartition("::")[2] for f in failed) == sorted(names)


def test_a_further_test_with_drawn_examples(toy):
    """Hypothesis's group of failures: the first, with its example, from the test's line on."""
    toy.write(
        "tests/first/test_more.py",
        "import numpy as np\nfrom hypothesis import given, strategies as st\n"
        "from tinytorch.core.first import double\n\n"
        "def same(x, expected):\n    np.testing.assert_allclose(x, expected)\n\n"
        "@given(st.integers(0, 9))\ndef test_drawn(n):\n    same(double(np.array([n, 2 * n])), [2 * n, 4 * n])\n",
    )
    solved(toy, ("return x + x", "return x + x + np.any(x > 6)"))
    output = toy.tito("test", "first", status=1)
    assert "    tried     same(double(np.array([n, 2 * n])), [2 * n, 4 * n])\n    gave      array([ 9, 17])" in output
    assert "    expected  array([ 8, 16])\n" in output and "n=4" in output
    assert "pluggy" not in toy.tito("test", "first", "--traceback", status=1)


def test_all_installs_nothing_that_fails_further_tests(toy):
    further = "from tinytorch.core.first import double\n\ndef test_zero():\n    assert double(0) == 0\n"
    toy.write("tests/first/test_more.py", further)
    solved(toy, ("return x + x", "return x + x if np.any(x) else 1"))
    before = toy.read("tinytorch/core/first.py")
    done = toy.run("test", "--all")
    assert done.returncode == 1 and "1 further test, in tests/first, did not" in done.stdout
    assert toy.read("tinytorch/core/first.py") == before


def test_further_tests_that_cannot_be_collected(toy):
    toy.write("tests/first/test_more.py", "import no_such_module\n")
    solved(toy)
    output = toy.tito("test", "first", status=1)
    assert "No module named 'no_such_module'" in output


def test_a_check_inside_a_helper_of_the_test(toy):
    """The call of the helper is shown beside the check that does not hold."""
    easier = "def test_double():\n    def agrees(x):\n        check(double(x), 2 * x)\n    agrees(3)\n"
    toy.edit(FIRST, "def test_double():\n    check(double(3), 6)\n", easier)
    toy.tito("export", "first")
    solved(toy, ("return x + x", "return x * x"))
    assert "    tried     double(x) in agrees(3)\n" in toy.tito("test", "first", status=1)


def test_six_lines_whatever_the_values():
    long = CHECK | {"call": "f(" + "x, " * 90 + ")", "actual": "[1.0 " * 99, "expected": "[2.0 " * 99}
    long |= {"reason": "the first at [3]: 1, expected 2", "says": "A sentence of some length. " * 30}
    lines = feedback.lines("name: title", long, place="modules/source/01_first/first_dev.py:3: " + "x" * 200)
    assert len(lines) == feedback.LINES and all(len(line) <= feedback.WIDTH for line in lines)
    assert any(line.strip().startswith("likely") for line in lines)


def test_an_array_on_one_line():
    assert feedback.one_line("[[ 1.   2.5]\n [10.   3. ]]") == "[[1. 2.5] [10. 3.]]"


def test_values_that_are_the_same_but_for_the_machine():
    assert feedback.same("<function f at 0x7f01>", "<function f at 0x55aa>")
    assert feedback.same("20.00001000013185", "20.00001000013190") and feedback.same("[ 0.5  1.]", "[0.5 1. ]")
    assert feedback.same("(np.float64(2.0), 1)", "(2.0, 1)") and feedback.same("[1.387779e-17, 1.0]", "[0.0, 1.0]")
    assert not feedback.same("2.220446e-16", "0.0") and feedback.same("2.220446e-16", "2.2204460492503131e-16")
    assert not feedback.same("2", "3") and not feedback.same("2.0", "2.1") and not feedback.same("'a'", "'b'")
    assert not feedback.same("[1 2]", "[1 2 3]") and not feedback.same("True", "False")


LEADS = """
def test_slice():
    x = Variable(5.0)
    check(x.data, 5.0)
    z = x * x
    z.backward()
    check(x.grad, 10.0)
    x, other = Variable(2.0), 3
    p = np.ones(2)
    (x * x).backward()
    check(x.grad, 4.0)
    check(f(p), 1.0)
    check(p, [1.0, 1.0])
    check(f(3), 3)
    for i in range(3):
        check(f(i), p)
        t = i + 1
        check(t, 1)
"""


def test_the_statements_that_a_check_depends_on():
    cell = {"path": "cell", "line": 1, "source": LEADS}
    at = {text: asked.before(cell, LEADS.splitlines().index(f"    {text}") + 1) for text in CHECKS}
    assert at == CHECKS


CHECKS = {
    "check(x.data, 5.0)": ["x = Variable(5.0)"],
    "check(x.grad, 10.0)": ["x = Variable(5.0)", "z = x * x", "z.backward()"],
    "check(x.grad, 4.0)": ["x, other = (Variable(2.0), 3)", "(x * x).backward()"],
    "check(f(p), 1.0)": ["p = np.ones(2)"],
    "check(p, [1.0, 1.0])": ["p = np.ones(2)", "f(p)"],
    "check(f(3), 3)": [],
    "    check(f(i), p)": [],
    "    check(t, 1)": ["t = i + 1"],
}
