"""What `tito grade` tells students: why they failed, and nothing that they are not to know."""

import html
import json
import textwrap

import pytest

from tito import leaks, needed, release
from tito.chapter import Chapter
from tito.course import Course
from tito.grading import cells, judge

FIRST = "modules/source/01_first/first_dev.py"
SECOND = "modules/source/02_second/second_dev.py"
MARK = "    ### {} HIDDEN TESTS\n"


def held_back(toy, test, more):
    """Let a test of the first chapter hold more than students are given."""
    toy.edit(FIRST, test, test + MARK.format("BEGIN") + more + MARK.format("END"))


def on_pages(grading):
    """The lines of solutions that the pages hold, however they are escaped."""
    secret, _ = release.secret_lines(release.choose(Course(grading.toy.root)))
    text = "".join(html.unescape(page.read_text()) for page in (grading.results / "feedback").iterdir())
    found = {line for line in secret if any(line in reading for reading in leaks.readings(text.encode()))}
    return found, secret


READS = """
import glob, inspect, linecache, os, sys
import tinytorch.core.first as first
found = [text for text in (linecache.getlines(first.__file__), linecache.getlines("tinytorch/core/first.py")) if text]
for folder in sys.path:
    for path in glob.glob(os.path.join(glob.escape(folder), "tinytorch", "core", "first*")):
        found.append(open(path, errors="replace").read())
try:
    found.append(inspect.getsource(first.double))
except OSError:
    pass
raise ValueError("".join(map(str, found)))
"""


def test_earlier_chapters_are_no_text_to_read(grading):
    """What the worker computes with is compiled; a line of a solution that is written out is cut all the same."""
    grading.hand_in("reads/second_dev.py", grading.toy.read(SECOND) + f"\n# %%\n#| export\n{READS}")
    line = 'raise TypeError("double: x is a str, a number was expected.")'
    grading.hand_in("quotes/first_dev.py", grading.right_but(f"raise ValueError({line!r})"))
    grading.hand_in("shows/first_dev.py", grading.right_but(f"return {line!r}"))
    grading.hand_in("breaks/first_dev.py", grading.solved + f"\n# %%\n#| export\nraise OSError({line!r})\n")
    grading.grade()
    found, secret = on_pages(grading)
    assert found == set() and len(secret) >= 2
    assert "ValueError" in grading.page("reads") and "isinstance" not in grading.page("reads")
    for name in ("quotes", "shows", "breaks"):
        assert "TypeError" in grading.page(name) and "number was expected" not in grading.page(name)


def test_an_exception_carries_little_out(grading):
    grading.hand_in("ada/first_dev.py", grading.right_but("raise ValueError('a b ' * 10_000)"))
    grading.hand_in("bea/first_dev.py", grading.solved + "\n# %%\n#| export\nraise OSError('a b ' * 10_000)\n")
    grading.hand_in("cem/first_dev.py", grading.solved.replace("raise TypeError(", "raise TypeError('a b ' * 9000 + "))
    grading.hand_in("dan/first_dev.py", grading.solved.replace("raise TypeError(", "raise ValueError('a b ' * 9000 + "))
    grading.grade()
    assert grading.points() == {"ada": 5, "bea": 0, "cem": 5, "dan": 5}
    assert all(grading.page(name).count("a b ") <= 100 for name in ("ada", "bea", "cem", "dan"))


def test_held_back_checks_count_and_stay_hidden(grading):
    """Whatever a submission does with what it was called with."""
    held_back(grading.toy, "    check(double(3), 6)\n", "    check(double(4321), 8642)\n")
    grading.hand_in("right/first_dev.py", grading.solved)
    coded = grading.solved.replace("return x + x", "return x + x if np.all(x < 9) else 0")
    grading.hand_in("coded/first_dev.py", coded)
    seen = 'SEEN = []\n\n\ndef double(x):\n    """Keeps what it meets."""\n    SEEN.append(str(x))'
    keeps = grading.solved.replace('def double(x):\n    """Twice `x`, a number or an array."""', seen)
    told = "raise ValueError(' '.join(SEEN))"
    grading.hand_in("tells/first_dev.py", keeps.replace("return str(self.value)", told))
    raises = keeps.replace("return x + x", f"if str(x) == '4321': {told}\n    return x + x")
    grading.hand_in("raises/first_dev.py", raises)
    reads = "import gc; return str([d for d in gc.get_objects() if isinstance(d, dict) and 'tests' in d])[-3000:]"
    grading.hand_in("reads/first_dev.py", grading.right_but(reads))
    grading.grade()
    assert grading.points() == {"right": 6, "coded": 4, "tells": 5, "raises": 4, "reads": 5}
    for file in (grading.results / "feedback").iterdir():
        assert "4321" not in file.read_text() and "8642" not in file.read_text()
    for name in ("coded", "raises"):
        assert "a check that is held back did not hold" in grading.page(name)
    assert "a check that is held back" not in grading.page("tells") + grading.page("right")
    kept = grading.exercise("raises", "double")["held_back"]
    assert (kept["call"], kept["type"]) == ("double(4321)", "ValueError")


def test_a_test_of_hidden_checks_alone_is_refused(grading):
    grading.hand_in("ada/first_dev.py", grading.solved)
    line = '    check(Box(2).text(), "2")\n'
    for left in ("", "    box = Box(2)\n"):
        text = grading.toy.read(FIRST)
        grading.toy.edit(FIRST, line, left + MARK.format("BEGIN") + line + MARK.format("END"))
        assert "without its hidden lines, test_Box_text is no test" in grading.grade(status=1)
        grading.toy.write(FIRST, text)
    grading.toy.edit(FIRST, line, line + MARK.format("BEGIN") + line)
    assert "have to stand in pairs" in grading.grade(status=1)


@pytest.mark.parametrize(
    "more",
    [
        "    for x, expected in [(4, 8)]:\n        check(double(x), expected)\n",
        "    rows = [4, 8]\n    check(double(rows[0]), rows[1])\n",
        "    def twice(x):\n        return 2 * x\n    check(double(4), twice(4))\n",
    ],
)
def test_held_back_values_that_a_process_would_hold_are_refused(grading, more):
    grading.hand_in("ada/first_dev.py", grading.solved)
    held_back(grading.toy, "    check(double(3), 6)\n", more)
    line = grading.toy.read(FIRST).splitlines().index(more.splitlines()[-1]) + 1
    output = grading.grade(status=1)
    assert f"first_dev.py:{line}: test_double: " in output and "Write out the check" in output


CASE = "def case(a, want):\n    check(f(a), want)\ncase(2, 3)\n"
LOOP = "for a, want in rows:\n    check(f(a), want)\n"


@pytest.mark.parametrize(
    "before, hidden, after",
    [
        (CASE, "case(5, 7)\n", ""),
        (CASE, "list(map(case, [5], [7]))\n", ""),
        ("case = lambda a, want: check(f(a), want)\ncase(2, 3)\n", "case(5, 7)\n", ""),
        ("def case(a, want):\n    assert f(a) == want\n", "case(5, 7)\n", "check(f(1), 2)\n"),
        ("def case():\n    check(f(1), want)\n", "want = 2\ncase()\n", ""),
        ("for a, want in [(1, 2),\n", "    (5, 7),\n", "]:\n    check(f(a), want)\n"),
        ("rows = [(1, 2)]\n", "rows += [(5, 7)]\n", LOOP),
        ("rows = [(1, 2)]\n", "rows.append((5, 7))\n", LOOP),
        ("", "case = Namespace(a=5, want=7)\ncheck(f(case.a), case.want)\n", ""),
        ("", "case = (5, 7)\ncheck(f(*case[:1]), case[1])\n", ""),
        ("", "case = Namespace(a=f(5), want=7)\ncheck(case.a, case.want)\n", ""),
        ("", "a, want = f(5), 7\npair = (f(2), want)\ncheck(a, pair[1])\n", ""),
        ("", "class Case:\n    want = 7\ncheck(f(5), Case.want)\n", ""),
        ("", "def test(want=7):\n    check(f(5), want)\ntest()\n", ""),
        ("def test(want=7):\n    check(f(1), 2)\n", "    check(f(5), want)\n", ""),
        ("", "(lambda want: check(f(5), want))(7)\n", ""),
        ("", "[check(f(a), want) for a, want in [(5, 7)]]\n", ""),
        ("", "check(f(5), 7) or check(f(6), 8)\n", ""),
        ("", 'said = "no"\ncheck_raises(ValueError, lambda: f(5), said)\n', ""),
        ("", "assert f(5) == 7\n", ""),
        ("", "if f(5) != 7:\n    raise ValueError\n", ""),
        ("", "np.testing.assert_allclose(f(5), 7)\n", ""),
    ],
)
def test_forms_in_which_a_process_would_hold_what_is_expected(before, hidden, after):
    """Also where the check itself, or another part of the statement, is not held back."""
    with pytest.raises(cells.NotSeparable, match="Write out the check"):
        cells.refuse_given_away(marked(before, hidden, after), {"f"})
    cells.refuse_given_away(before + hidden + after, {"f"})  # students have such a cell anyway


@pytest.mark.parametrize(
    "before, hidden, after",
    [
        ("check(f(1), 2)\n", 'check(f(5), 7)\ncheck_raises(ValueError, lambda: f(6), "no")\n', ""),
        ("", "check(f(5), 7)\n", "check(f(1), 2)\n"),
        (CASE, "check(f(5), 7)\n", "case(4, 5)\n"),
        ("", 'case = {"a": 5, "b": 6}\ncheck(f(**case), 7)\n', ""),
        ("", "x = np.ones((2, 3))\ncheck(f(x).shape, x.shape)\ncheck(f(x.T), x.T + 1)\n", ""),
        ("x = np.ones(3)\ny = x * 2\n", "layer = f(3)\nz = layer(x)\ncheck(z, np.exp(x) * z)\n", "check(f(x), y)\n"),
        ("y = np.ones(3)\n", "np.random.seed(0)\ncheck(f(2), 4)\n", "check(f(1), y)\n"),
        ("a = f(3)\n", "before = a.copy()\na.step()\ncheck(a, before * 2)\n", ""),
        ("", "for n in (1, 2):\n    check(f(n), n + 1)\n", ""),
        ("def test(\n    a=1,\n):\n    # a note\n", "    check(f(5), 7)\n", "    check(f(a), 2)\n"),
        ("check(f(1), 2)\n", "def test_more():\n    check(f(5), 7)\n\ntest_more()\n", ""),
    ],
)
def test_forms_in_which_checks_may_be_held_back(before, hidden, after):
    cells.refuse_given_away(marked(before, hidden, after), {"f"})


def marked(before, hidden, after):
    return f"{before}### BEGIN HIDDEN TESTS\n{hidden}### END HIDDEN TESTS\n{after}"


def test_held_back_values_made_of_what_is_called_with(grading):
    """A check may compute what it expects, and visible ones may take it from wherever they like."""
    grading.hand_in("ada/first_dev.py", grading.solved)
    x = "    x = 5\n    check(double(x), x * 2)\n    check(double(4), sum(i for i in [4, 4]))\n"
    held_back(grading.toy, "    check(double(3), 6)\n", x)
    grading.toy.edit(FIRST, "check(double(3), 6)", "six = 6; check(double(3), six)")
    grading.grade()
    assert grading.points() == {"ada": 6}


def test_held_back_checks_come_last_and_leave_no_trace(grading, monkeypatch):
    """All that a page may tell of is run before them, in time of its own."""
    order, supervise = [], judge.supervise

    def noted(job, seconds, allowance, **more):
        before = allowance.left
        transcript = supervise(job, seconds, allowance, **more)
        if not job["reference"]:
            hidden = any("4321" in test["source"] for test in job["tests"])
            order.append((job["module"].rpartition(".")[2], hidden, before, job["cpu_seconds"]))
        return transcript

    monkeypatch.setattr(judge, "supervise", noted)
    held_back(grading.toy, "    check(double(3), 6)\n", "    check(double(4321), 8642)\n")
    grading.hand_in("ada/1/first_dev.py", grading.solved)
    grading.hand_in("ada/2/first_dev.py", grading.solved + "# 2\n")
    grading.hand_in("ada/second_dev.py", grading.toy.read(SECOND))
    grading.grade()
    assert [run[:2] for run in order] == [*[("first", False)] * 2, ("second", False), *[("first", True)] * 2]
    assert order[0][2] == order[2][2] / 2 == order[3][2] and len({seconds for *_, seconds in order}) == 1


# A failure that is another exercise's.

TRIPLES = """
# %% [raw] tags=["exercise"]
# Box_doubled:
#   title: Twice the value
#   misconceptions:
#     - name: triples
#       says: You took the value three times.
#       code: return self.value * 3

# %% nbgrader={"grade": true, "grade_id": "test_Box_doubled","""


@pytest.fixture
def with_triples(grading):
    """A recorded mistake of `Box_doubled` that a wrong `double` looks like."""
    marker = '\n# %% nbgrader={"grade": true, "grade_id": "test_Box_doubled",'
    grading.toy.edit(FIRST, marker, TRIPLES)
    return grading


def test_a_wrong_exercise_is_not_blamed_on_those_that_rest_on_it(with_triples):
    grading = with_triples
    grading.hand_in("double/first_dev.py", grading.solved.replace("return x + x", "return x * 3"))
    grading.hand_in("box/first_dev.py", grading.solved.replace("return double(self.value)", "return self.value * 3"))
    grading.grade()
    box = grading.exercise("double", "Box_doubled")
    assert (box["state"], box["mistake"], box["rests_on"], box["failure"]["actual"]) == ("failing", "", "double", "6")
    page = grading.page("double")
    assert "It rests on double, which fails" in page and "three times" not in page
    assert grading.exercise("box", "Box_doubled")["mistake"] == "triples" and "three times" in grading.page("box")
    assert grading.exercise("double", "Box_text")["state"] == "passing"


def test_tito_test_says_the_same(with_triples):
    toy = with_triples.toy
    toy.tito("start", "first")
    toy.write(FIRST, with_triples.solved.replace("return x + x", "return x * 3"))
    output = toy.tito("test", "first", status=1)
    assert "waiting   test_first: needs double first" in output and "(may come from double)" in output
    assert "three times" not in output
    toy.write(FIRST, with_triples.solved.replace("return double(self.value)", "return self.value * 3"))
    assert "three times" in " ".join(toy.tito("test", "first", status=1).split())


def test_what_an_exercise_rests_on():
    source = textwrap.dedent('''
        # %%
        #| export
        def one():
            ### BEGIN SOLUTION one
            return 1
            ### END SOLUTION

        def helper():
            return one()

        class Thing:
            def __init__(self):
                ### BEGIN SOLUTION init
                self.x = 1
                ### END SOLUTION

            def used(self):
                ### BEGIN SOLUTION used
                return 2
                ### END SOLUTION

            def unused(self):
                ### BEGIN SOLUTION unused
                return 2
                ### END SOLUTION

        def two():
            ### BEGIN SOLUTION two
            return helper() + Thing().used() + later()
            ### END SOLUTION

        def later():
            ### BEGIN SOLUTION later
            return 3
            ### END SOLUTION

        # %% nbgrader={"grade": true, "grade_id": "test_later", "points": 1}
        check(later(), one() + 2)
    ''')
    chapter = Chapter("x_dev.py", source)
    assert needed.by_each(chapter, chapter) == {
        "one": [], "init": [], "used": [], "unused": [], "two": ["one", "init", "used"], "later": ["one"],
    }  # fmt: skip
    assert needed.by_each(Chapter("x_dev.py", source.replace("return 1", "return (")), chapter) == {}


def test_what_is_called_without_its_name():
    """By operators, by calling an object, by inheritance and by a table; and a test of no exercise rests on all."""
    source = textwrap.dedent("""
        # %%
        #| export
        class Base:
            def __call__(self, x):
                return self.forward(x)

            def __add__(self, other):
                ### BEGIN SOLUTION plus
                return 1
                ### END SOLUTION

            def unused(self):
                ### BEGIN SOLUTION unused
                return 1
                ### END SOLUTION

        class Layer(Base):
            def forward(self, x):
                ### BEGIN SOLUTION forward
                return x
                ### END SOLUTION

        def row(x):
            ### BEGIN SOLUTION row
            return x
            ### END SOLUTION

        TABLE = {"row": row}

        def last(name):
            ### BEGIN SOLUTION last
            layer = Layer()
            return layer(TABLE[name](2))
            ### END SOLUTION

        def added(a, b):
            ### BEGIN SOLUTION added
            return Layer() + Layer()
            ### END SOLUTION

        # %% nbgrader={"grade": true, "grade_id": "test_all", "points": 0}
        check(added(1, 2), 1)
    """)
    chapter = Chapter("x_dev.py", source)
    found = needed.by_each(chapter, chapter)
    assert found["last"] == ["forward", "row"] and found["test_all"] == ["plus", "forward", "added"]
    assert set(found["added"]) == {"plus", "forward"} and not any("unused" in names for names in found.values())


def test_what_is_set_from_outside_or_entered_in_a_table():
    source = textwrap.dedent("""
        # %%
        #| export
        def walk(x):
            ### BEGIN SOLUTION walk
            return x
            ### END SOLUTION

        def go_back(self):
            return walk(self)

        Tensor.go_back = go_back

        def slope(x):
            ### BEGIN SOLUTION slope
            return x
            ### END SOLUTION

        ### BEGIN SOLUTION rows
        rule(loss, x=lambda g: g * slope(g))
        rule(multiply, x=lambda g: g)
        ### END SOLUTION

        def counts(x):
            ### BEGIN SOLUTION counts
            return 2 * x
            ### END SOLUTION

        # %% nbgrader={"grade": true, "grade_id": "test_walk_all", "points": 1}
        check(Tensor(1).go_back(), 1)

        # %% nbgrader={"grade": true, "grade_id": "test_loss", "points": 1}
        check(loss(1), 1)

        # %% nbgrader={"grade": true, "grade_id": "test_product", "points": 1}
        check((Tensor(1) * 2).x, 1)

        # %% nbgrader={"grade": true, "grade_id": "test_counts", "points": 1}
        check(counts(1), 2)
    """)
    chapter = Chapter("x_dev.py", source)
    found = needed.by_each(chapter, chapter)
    assert found["test_walk_all"] == ["walk"] and found["test_loss"] == ["slope", "rows"]
    assert found["test_product"] == ["rows"] and found["counts"] == []


def test_the_real_chapters_have_exercises_that_rest_on_others(request):
    course = Course(request.config.rootpath)
    autograd = course.module("autograd").chapter
    found = needed.by_each(autograd, autograd)
    assert found["elementary_rows"] == ["arithmetic_rows", "topological_order", "unbroadcast", "pass_on"]
    assert "cross_entropy_slope" in needed.by_each(*[course.module("training").chapter] * 2)["test_trainer"]
    tensor = course.module("tensor").chapter
    assert needed.by_each(tensor, tensor)["lift_two"] == ["to_array", "broadcast_shape"]
    activations = course.module("activations").chapter
    found = needed.by_each(activations, activations)
    assert not any(found[name] for name in activations.exercises) and "relu" in found["test_classes"]
    assert json.dumps(needed.by_each(tensor, tensor)["to_array"]) == "[]"
