"""`tito grade`: fair to right and wrong solutions, steady, and at home with what learning platforms hand over."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import jupytext
import pytest

from tito import feedback, workspace
from tito.chapter import Chapter
from tito.course import Course
from tito.grading import cells, pages, wire
from tito.grading.judge import Exam
from tito.grading.supervise import Allowance

ROOT = Path(__file__).resolve().parents[2]
FIRST = "modules/source/01_first/first_dev.py"
SECOND = "modules/source/02_second/second_dev.py"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux grades protected")


@pytest.fixture
def solved(toy):
    return workspace.without_notes(Chapter.read(toy.file(FIRST), FIRST))


@pytest.fixture
def hand_in(toy):
    def hand_in(path, text):
        toy.write(f"../handed in/{path}", text)

    return hand_in


def grade(toy, *options, status=0, out="../results"):
    return toy.tito("grade", "../handed in", "--out", out, *options, status=status)


def marks(toy, out="../results"):
    return {s["id"]: s for s in json.loads(toy.read(f"{out}/grades.json"))["students"]}


def exercise(student, name):
    return next(e for module in student["modules"] for e in module["exercises"] if e["name"] == name)


def test_a_right_a_wrong_and_a_blank_one(toy, solved, hand_in):
    hand_in("ada/first_dev.py", solved)
    hand_in("bea/first_dev.py", solved.replace("return x + x", "return x * x"))
    hand_in("cem/first_dev.py", workspace.blanked(Chapter.read(toy.file(FIRST), FIRST)))
    output = grade(toy)
    assert "3 graded: mean 3.3 of 6 points" in output
    assert {name: s["points"] for name, s in marks(toy).items()} == {"ada": 6, "bea": 4, "cem": 0}
    wrong = exercise(marks(toy)["bea"], "double")
    assert (wrong["points"], wrong["possible"], wrong["state"], wrong["mistake"]) == (1, 3, "failing", "squares")
    assert (wrong["failure"]["call"], wrong["failure"]["actual"], wrong["failure"]["expected"]) == (
        "double(3)",
        "9",
        "6",
    )
    assert exercise(marks(toy)["bea"], "Box_doubled")["points"] == 2  # 2 * 2 is 4 as well
    assert [e["state"] for e in marks(toy)["cem"]["modules"][0]["exercises"][:3]] == ["to do"] * 3


def test_the_feedback_says_what_tito_test_says(toy, solved, hand_in):
    hand_in("bea/first_dev.py", solved.replace("return x + x", "return x * x"))
    grade(toy)
    page = toy.read("../results/feedback/bea.html")
    assert "tried     double(3)\ngave      9\nexpected  6" in page and "You multiplied x by itself." in page
    toy.tito("start", "first")
    toy.write(FIRST, solved.replace("return x + x", "return x * x"))
    shown = json.loads(toy.tito("test", "first", "--json", status=1))["exercises"][0]["failure"]
    own = exercise(marks(toy)["bea"], "double")
    for key in ("call", "actual", "expected", "reason", "type"):
        assert shown[key] == own["failure"][key]
    assert (shown["mistake"], shown["says"]) == (own["mistake"], own["says"])


def test_what_cannot_be_run_says_where(toy, solved, hand_in):
    hand_in("ada/first_dev.py", solved.replace("import numpy as np", "import numpy as np\nraise OSError('oh')", 1))
    grade(toy)
    line = solved.splitlines().index("import numpy as np") + 2
    page = toy.read("../results/feedback/ada.html")
    assert f"line {line}:</p>\n<pre>OSError: oh</pre>" in page and marks(toy)["ada"]["points"] == 0


def test_notebooks_and_files_without_marks(toy, solved, hand_in):
    notebook = jupytext.reads(solved, fmt="py:percent")
    notebook.cells[3].source += "\n%matplotlib inline"
    hand_in("notebook/01_first (2).ipynb", jupytext.writes(notebook, fmt="ipynb"))
    hand_in("package/first.py", toy.read("tinytorch/core/first.py"))
    bare = "\n".join(line for line in solved.splitlines() if "SOLUTION" not in line)
    hand_in("bare/first_dev.py", bare)
    hand_in("file.py", solved)
    grade(toy)
    assert {name: s["points"] for name, s in marks(toy).items()} == dict.fromkeys(
        ("notebook", "package", "bare", "file"), 6
    )
    assert "the whole file was run" in marks(toy)["package"]["modules"][0]["remarks"][0]


def test_several_chapters_and_the_references_earlier_ones(toy, solved, hand_in):
    """The second chapter is graded on the reference's first, not on the student's."""
    hand_in("ada/deep/er/first_dev.py", solved.replace("return x + x", "return None"))
    hand_in("ada/second_dev.py", toy.read(SECOND))
    hand_in("bea/first_dev.py", solved)
    grade(toy)
    found = marks(toy)
    assert [m["points"] == m["possible"] for m in found["ada"]["modules"]] == [False, True]
    assert [e["state"] for e in found["bea"]["modules"][1]["exercises"]] == ["not handed in"] * 1
    assert found["bea"]["possible"] == found["ada"]["possible"] > 6
    assert "nothing to grade: bea" in grade(toy, "--module", "second", out="../other", status=1)
    assert marks(toy, "../other")["bea"]["points"] == 0
    assert "01_first was handed in too, and is not graded here" in marks(toy, "../other")["ada"]["remarks"]
    assert "01_first was handed in, and is not graded here" in marks(toy, "../other")["bea"]["remarks"]


def test_names_of_learning_platforms(toy, solved, hand_in):
    hand_in("Ada Lovelace_1234_assignsubmission_file/first_dev.py", solved)
    hand_in("Ünal Çelik_77_assignsubmission_file_/first_dev.py", solved.replace("x + x", "x"))
    grade(toy)
    rows = list(csv.reader(toy.read("../results/moodle.csv").splitlines()))
    assert rows[0][:4] == ["Identifier", "Full name", "Grade", "Maximum Grade"]
    assert rows[0][4] == "Last modified (grade)" and {row[4] for row in rows[1:]} == {""}
    assert rows[1][:4] == ["Participant 1234", "Ada Lovelace", "6", "6"] and rows[2][:3] == [
        "Participant 77",
        "Ünal Çelik",
        "2",
    ]
    shutil.rmtree(toy.file("../handed in"))
    hand_in("lovelaceada_1234_999_first_dev-1.py", solved)
    hand_in("celikunal_LATE_77_1000_first_dev.py", solved)
    grade(toy)
    rows = list(csv.reader(toy.read("../results/canvas.csv").splitlines()))
    assert rows[0] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "01_first"]
    assert rows[1] == ["Points Possible", "", "", "", "", "6"]
    assert rows[2:] == [["lovelaceada", "1234", "", "", "", "6"], ["celikunal", "77", "", "", "", "6"]]
    assert sorted(p.name for p in toy.file("../results/feedback").iterdir()) == ["1234.html", "77.html"]


def test_handed_in_twice_the_better_counts(toy, solved, hand_in):
    hand_in("ada/first_dev.py", solved.replace("x + x", "x"))
    hand_in("ada/late/first_dev.py", solved)
    hand_in("ada/copy/first_dev.py", solved)
    hand_in("ada.py", solved + "\n")
    grade(toy)
    assert marks(toy)["ada"]["points"] == 6
    assert "handed in more than once: ada.py counts" in marks(toy)["ada"]["modules"][0]["remarks"][0]


def test_again_is_the_same_to_the_byte(toy, solved, hand_in):
    hand_in("ada/first_dev.py", solved)
    hand_in("bea/first_dev.py", solved.replace("return x + x", "return object()"))
    grade(toy)
    grade(toy, "--jobs", 1, out="../other")
    one, other = ({p.relative_to(d): p.read_bytes() for p in d.rglob("*") if p.is_file()} for d in
                  (toy.file("../results"), toy.file("../other")))  # fmt: skip
    assert one == other and len(one) == 9
    assert "2 graded, 2 of them as before" in grade(toy)
    assert {
        p.relative_to(toy.file("../results")): p.read_bytes() for p in toy.file("../results").rglob("*") if p.is_file()
    } == one


def test_a_corrected_test_regrades_and_says_who_moved(toy, solved, hand_in):
    hand_in("ada/first_dev.py", solved)
    hand_in("bea/first_dev.py", solved.replace("return str(self.value)", "return f'<{self.value}>'"))
    grade(toy)
    toy.edit(FIRST, 'check(Box(2).text(), "2")', 'check("2" in Box(2).text(), True)')
    output = grade(toy)
    assert (
        "moved: bea, 01_first Box_text: 0 -> 1" in output and "moved: ada" not in output and "as before" not in output
    )
    assert toy.read("../results/changes.csv").splitlines()[1:] == ["bea,01_first,Box_text,0,1"]
    hand_in("ada/first_dev.py", solved.replace("x + x", "x"))
    output = grade(toy)
    assert "moved: ada, 01_first double: 3 -> 1" in output and "1 of them as before" in output


def test_late_submissions_alone_leave_the_others_their_marks(toy, solved, hand_in):
    hand_in("ada/first_dev.py", solved)
    hand_in("bea/first_dev.py", solved.replace("return str(self.value)", "return f'<{self.value}>'"))
    grade(toy)
    before = {name: toy.read(f"../results/{name}") for name in ("feedback/bea.html", "students/bea.json")}
    for name in ("ada", "bea"):
        shutil.rmtree(toy.file(f"../handed in/{name}"))
    hand_in("cem/first_dev.py", solved)
    hand_in("b,ea/first_dev.py", solved)
    output = grade(toy)
    assert "4 graded, 2 of them not in this folder and kept: mean 5.8 of 6" in output
    assert "  not in this folder, kept: ada, bea" in output and "moved" not in output
    assert {name: s["points"] for name, s in marks(toy).items()} == {"ada": 6, "b,ea": 6, "bea": 5, "cem": 6}
    assert before == {name: toy.read(f"../results/{name}") for name in before}
    assert json.loads(toy.read("../results/grades.json"))["not_in_this_folder"] == ["ada", "bea"]
    output = grade(toy, "-m", "first,second")
    assert "not in this folder, in no table, graded for other chapters or points: ada, bea" in output
    assert list(marks(toy)) == ["b,ea", "cem"]
    assert before["students/bea.json"] == toy.read("../results/students/bea.json")


def test_killed_it_goes_on_where_it_was(toy, solved, hand_in):
    for number in range(40):
        hand_in(f"{number:02}/first_dev.py", solved + f"# {number}\n")
    process = toy.begin("grade", "../handed in", "--out", "../results")
    students = toy.file("../results/students")
    while not students.is_dir() or len(list(students.glob("*.json"))) < 8:
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    done = len(list(students.glob("*.json")))
    left = list(Path(tempfile.gettempdir()).glob(f"tito-grade-*-{process.pid}-*"))
    assert done < 40 and left and not toy.file("../results/grades.json").exists()
    assert f"40 graded, {done} of them as before: mean 6.0 of 6 points" in grade(toy)
    assert not any(folder.exists() for folder in left)


def test_the_class_report(toy, solved, hand_in):
    log = [{"event": "test", "module": "01_first", "exercises": {"double": "failing"}}] * 3
    log += [{"event": "hint", "module": "01_first", "exercise": "double"}, ["damaged"]]
    hand_in("ada/first_dev.py", solved)
    hand_in("ada/.tito/log.jsonl", "\n".join(map(json.dumps, log)) + "\n{")
    hand_in("bea/first_dev.py", solved.replace("return x + x", "return x * x"))
    hand_in("cem/first_dev.py", solved.replace("return x + x", "return x * x"))
    hand_in("dan/first_dev.py", solved.replace("return str(self.value)", "return self.value"))
    output = grade(toy, "--report")
    assert "01_first: 4 of 4 handed in, mean 4.75 of 6 points" in output
    lines = {
        line.split()[0]: line.split()[1:] for line in output.splitlines() if line.startswith("  ") and line.split()
    }
    assert lines["double"] == ["2", "(50%)", "2", "0", "2"] and lines["Box_text"] == ["3", "(75%)", "1", "0", "1"]
    assert "   2  double: squares" in output and "   1  Box_text: Box(2).text()" in output
    assert "from the log of 1 student, tests" in output and "   3     1  double" in output
    hand_in("ada/.tito/log.jsonl", "{}\n")
    assert "from the log" not in grade(toy, "--report")
    page = toy.read("../results/report.html")
    assert "<td>squares</td>" in page and "http" not in page.replace("http-equiv", "")


def test_json(toy, solved, hand_in):
    hand_in("ada/first_dev.py", solved)
    process = toy.run("grade", "../handed in", "--out", "../results", "--json")
    data = json.loads(process.stdout)
    assert data["students"][0]["points"] == 6 and data["moved"] == [] and data["protections"]["calls"] is True


def test_wrong_use(toy, solved, hand_in):
    assert "is no folder" in grade(toy, status=2)
    toy.file("../handed in").mkdir()
    assert "holds no submissions" in grade(toy, status=2)
    hand_in("ada/first_dev.py", solved)
    assert "lie in one another" in grade(toy, out="../handed in/results", status=2)
    assert "holds no results of tito grade" in grade(toy, out=".", status=2)
    assert "no module is called 'ninth'" in grade(toy, "-m", "ninth", status=2)
    shutil.rmtree(toy.file("../handed in"))
    hand_in("ada/notes.py", "x = 1\n")
    assert "holds a chapter of this course" in grade(toy, status=1)


def test_without_protection_nothing_is_run(toy, solved, hand_in, monkeypatch):
    hand_in("ada/first_dev.py", f"{solved}\n# %%\n#| export\nopen({str(toy.file('ran'))!r}, 'w')\n")
    monkeypatch.setattr("tito.grading.judge.interpreter_folders", lambda: [sys.prefix, sys.base_prefix, str(toy.root)])
    output = grade(toy, out="../other", status=1)
    assert "students' code is not run" in output and "lies where Python's own files are" in output
    assert not toy.file("ran").exists() and not toy.file("../other/grades.json").exists()


def test_a_test_that_its_own_reference_fails_is_the_courses_mistake(toy, solved, hand_in):
    hand_in("ada/first_dev.py", solved)
    toy.edit(FIRST, "check(double(3), 6)", "check(double(3), 7)")
    assert "the reference does not pass its own test_double: double(3)\n  gave 6, expected 7" in grade(toy, status=1)
    toy.edit(FIRST, "check(double(3), 7)", "list(map(check, [6], [6]))")
    assert "have to be called by their names" in grade(toy, status=1)


# What the student's process is given.


def test_expected_values_stay_with_the_judge():
    source = "def test_f():\n    wanted = [1.0]\n    check(f(2), 12345, rtol=1e-9)\n    check(f(1), wanted)\n"
    source += "    check(f(0), g(0))\n    y = f(3)\n    check(f(4), y)\n"
    source += "    check_raises(ValueError, lambda: f(''), 'secret')\n"
    found = cells.split(source, {"f", "g"})
    assert [c.own for c in found.checks] == [False, False, True, True, False]
    assert [c.call for c in found.checks] == ["f(2)", "f(1)", "f(0)", "f(4)", "f('')"]
    assert not any(secret in found.student for secret in ("12345", "1e-09", "secret", "ValueError"))
    assert "check(2, f(0), g(0))" in found.student and "check_raises(4, lambda: f(''))" in found.student
    assert "check(0, f(2), 12345, rtol=1e-09)" in found.reference


def test_no_real_test_cell_rests_on_the_students_word_alone():
    """Checks between two values of the student's own are few, and never all of a cell."""
    found = [
        cells.split(test.cell.source, cells.defined_names(module.chapter)).checks
        for module in Course(ROOT).every_module
        for test in module.chapter.tests
    ]
    assert all(not all(check.own for check in checks) for checks in found)
    every = [check.own for checks in found for check in checks]
    assert 0 < sum(every) < 0.05 * len(every)


@pytest.mark.parametrize("source", ["check(*pair)", "check(f(1))", "also = check", "check(check(1, 1), None)"])
def test_checks_that_cannot_be_taken_apart_are_refused(source):
    with pytest.raises(cells.NotSeparable):
        cells.split(source, {"f"})


def test_values_arrive_as_they_were():
    import numpy as np

    values = [None, True, 3, 2.5, float("inf"), "text", b"bytes", 1j, [1, (2, "x")], {"a": [1]}, {1, 2}, frozenset("a")]
    for value in values:
        arrived = wire.decode(json.loads(json.dumps(wire.encode(value))))
        assert type(arrived) is type(value) and arrived == value
    for value in (
        np.arange(6.0).reshape(2, 3).T,
        np.zeros((0, 2), "f4"),
        np.array(True),
        np.float16(1),
        np.array(["a", "bc"]),
    ):
        arrived = wire.decode(json.loads(json.dumps(wire.encode(value))))
        assert type(arrived) is type(value) and arrived.dtype == value.dtype and np.array_equal(arrived, value)
    assert wire.decode(wire.encode(dict)) == wire.decode(wire.encode(dict)) != wire.decode(wire.encode(list))
    assert wire.decode(wire.encode(object())) != wire.decode(wire.encode(object()))


def test_numbers_longer_than_others_are_graded_as_tested(grading):
    """NumPy's long double has no form that is the same on every machine."""
    import numpy as np

    for value in (np.ones(2, np.longdouble) / 3, np.clongdouble(1j), np.longdouble(0.5)):
        arrived = wire.decode(json.loads(json.dumps(wire.encode(value))))
        assert type(arrived) is type(value.astype(arrived.dtype)) and arrived.dtype.str in ("<f8", "<c16")
        assert np.allclose(arrived, value)
    toy, long = grading.toy, grading.solved.replace("return x + x", "return np.asarray(x + x, dtype=np.longdouble)")
    grading.hand_in("ada/first_dev.py", long)
    grading.grade()
    toy.tito("start", "first")
    toy.write(FIRST, long)
    assert json.loads(toy.tito("test", "first", "--json"))["points"] == grading.points()["ada"] == 6


BAD = [
    {}, [], [1], {"list": 1}, {"list": [{}]}, {"dict": [[[], 1]]}, {"dict": [1]}, {"set": [{"list": []}]},
    {"a": 1, "b": 2},
    {"array": []}, {"array": ["<f8", [2], ""]}, {"array": ["|O", [0], ""]}, {"array": ["<f8", [-1], ""]},
    {"array": ["<f8", ["1"], "AAAAAAAAAAA="]}, {"array": ["<f8", [True], "AAAAAAAAAAA="]},
    {"array": ["<f8,<f8", [0], ""]},
    {"array": ["<f8", [1], "AAAAAAAAAAA"]}, {"array": ["<f8", [1], 5]}, {"array": ["<U99999999", [0], ""]},
    {"array": ["<f8", [0] * 40, ""]}, {"array": ["<f8", None, ""]}, {"array": ["<f8", [10**30, 0], ""]},
    {"scalar": ["<f8", [1], "AAAAAAAAAAA="]}, {"complex": [1]}, {"complex": ["x", 1]}, {"bytes": "!"}, {"class": 1},
    {"record": ["x"]}, {"record": ["x", []]}, {"tensor": {}}, {"other": 1}, {"unknown": 1}, "x" * 30_000, 10**400,
]  # fmt: skip


@pytest.mark.parametrize("coded", BAD)
def test_the_judge_believes_nothing(coded):
    with pytest.raises(wire.BadMessage):
        wire.decode(coded)


@pytest.mark.parametrize(
    "line", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"1" * 10_000, b"null"]
)
def test_messages_that_are_none(line):
    with pytest.raises(wire.BadMessage):
        wire.parse(line)


def test_the_second_rung_holds_without_namespaces(tmp_path):
    """Where no view of one's own is granted, Landlock and seccomp do without it, modes and owners included."""
    (tmp_path / "work").mkdir()
    (tmp_path / "secret").write_text("secret")
    code = """
        import os, socket, sys
        from tito.grading import sandbox
        work, secret = sys.argv[1:]
        sandbox.restrict_files(work, [sys.prefix, sys.base_prefix], read_only=False)
        sandbox.restrict_calls(read_only=False)
        for attempt in (lambda: open(secret), lambda: os.chmod(secret, 0), lambda: os.utime(secret), os.fork,
                        lambda: os.truncate(secret, 0), socket.socket, lambda: os.kill(os.getppid(), 0),
                        lambda: os.listdir("/proc"), lambda: open(secret + "2", "w"), lambda: os.unlink(secret)):
            try:
                attempt()
            except OSError:
                continue
            sys.exit("something worked that must not")
        open(os.path.join(work, "mine"), "w").write("mine")
        import numpy, threading
        thread = threading.Thread(target=print)
        thread.start()
        thread.join()
        print("held")
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "work"), str(tmp_path / "secret")]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.stdout.strip() == "held", done.stderr
    assert (tmp_path / "secret").read_text() == "secret" and (tmp_path / "work" / "mine").read_text() == "mine"


# The real chapters: the grader and the plain tests agree, cell by cell, on every recorded mistake.

PLAIN = """
import json, os, sys, types
from tito.grading import worker
job = json.load(sys.stdin)
for content in job["contents"]:
    reading, writing = os.pipe()
    if os.fork() == 0:
        module = types.ModuleType(job["module"])
        module.__package__ = "tinytorch.core"
        sys.modules[job["module"]] = module
        exec(worker.compiled(worker.exported_cells(content.encode(), False), "x", False), vars(module))
        from tinytorch.testing import check, check_raises
        passed = []
        for test in job["tests"]:
            names = dict(vars(module))
            for source in job["imports"]:
                exec(source, names)
            try:
                exec(test["source"], names | {"check": check, "check_raises": check_raises})
                passed.append(test["name"])
            except Exception:
                pass
        os.write(writing, json.dumps(passed).encode())
        os._exit(0)
    os.close(writing)
    print(os.read(reading, 100_000).decode(), flush=True)
    os.wait()
"""


def wrong_chapters(course, module):
    """The chapter with each recorded mistake put in place, right otherwise."""
    chapter = workspace.reference_chapter(course, module)
    plain = Chapter(chapter.path, workspace.without_notes(chapter))
    for name, note in chapter.notes().items():
        for wrong in note.get("misconceptions") or ():
            region = plain.exercises[name]
            code = textwrap.indent(wrong["code"].rstrip() + "\n", region.indent)
            yield name, workspace.with_region(plain, region, code)


@pytest.mark.parametrize("name", ["setup", "tensor", "activations", "layers", "networks", "dataloader", "autograd",
                                  "training", "optimizers"])  # fmt: skip
def test_the_grader_and_the_plain_tests_agree(name, tmp_path, request):
    if name != "setup" and not request.config.getoption("--slow"):
        pytest.skip("pass --slow")
    course = Course(ROOT)
    module = course.module(name)
    exam = Exam.prepare(course, module, tmp_path, threading.Event())
    wrong = list(wrong_chapters(course, module))
    texts = [exam.chapter.text, *(text for _, text in wrong)]
    tests = [{"name": t.name, "source": t.cell.source} for t in exam.chapter.tests]
    job = {"contents": texts, "tests": tests, "module": f"tinytorch.core.{name}"}
    job["imports"] = exam._imports(exam.questions)
    command, paths = [sys.executable, "-c", PLAIN], {**os.environ, "PYTHONPATH": str(exam.stage), "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, input=json.dumps(job), env=paths, capture_output=True, text=True, timeout=300)
    plain = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(plain) == len(texts), done.stderr
    for exercise, text, passed in zip(["", *(exercise for exercise, _ in wrong)], texts, plain):
        verdicts = exam.mark(text.encode(), f"{name}_dev.py", Allowance(300))["verdicts"]
        assert [test for test, verdict in verdicts.items() if verdict["passed"]] == passed
        failures = [verdicts[t.name]["failure"] for t in exam.chapter.tests if t.exercise == exercise]
        assert not exercise or feedback.diagnose(course, module, exercise, next(filter(None, failures)))
    assert plain[0] == [t["name"] for t in tests] and all(len(p) < len(tests) for p in plain[1:])


def test_a_helper_in_an_earlier_chapter_is_no_help_when_graded(grading):
    """At home it works: `tito test` says beforehand what the grader will lack, and the page what to do."""
    toy, helper = grading.toy, "\n# %%\n#| export\ndef thrice(x):\n    return x + double(x)\n"
    solved, sentence = toy.read(SECOND), "graded, 02_second stands on the course's own 01_first, which has no thrice"
    toy.tito("start", "first")
    toy.write(FIRST, grading.solved + helper)
    toy.tito("test", "first")
    toy.tito("start", "second")
    toy.write(SECOND, solved.replace("import double", "import double, thrice"))
    line = next(n for n, text in enumerate(toy.read(SECOND).splitlines(), 1) if "import double, thrice" in text)
    output = toy.tito("test", "second")
    assert f"{SECOND}:{line}: {sentence}: define thrice in 02_second itself" in output and "passed" in output
    assert len(json.loads(toy.tito("test", "second", "--json"))["graded_without"]) == 1
    grading.hand_in("ada/second_dev.py", toy.read(SECOND))
    grading.hand_in("bea/second_dev.py", solved + helper)
    toy.write(SECOND, solved)
    assert sentence not in toy.tito("test", "second") and sentence not in toy.tito("test", "first")
    grading.grade()
    assert f"Note: {pages.safe(sentence)}: define thrice in 02_second itself" in grading.page("ada")
    assert "which has no" not in grading.page("bea") and grading.points() == {"ada": 0, "bea": 3}
