"""`tito grade` is bounded: what a submission takes, what the judge does for a message, how a run is ended."""

import json
import os
import queue
import signal
import subprocess
import threading
import time

import numpy as np
import pytest

from tito.grading import supervise, wire
from tito.grading.judge import Exam, first_of
from tito.grading.supervise import Allowance, Listener, Stop

EQUAL_HASHES = [number * (2**61 - 1) for number in range(3000)]
ENDLESS = "while True: pass"


@pytest.mark.parametrize(
    "coded",
    [
        {"set": EQUAL_HASHES},
        {"frozenset": EQUAL_HASHES},
        {"dict": [[number, 1] for number in EQUAL_HASHES]},
        {"list": [{"set": EQUAL_HASHES[first : first + 150]} for first in range(0, 3000, 150)]},
        {"dict": [[{"tuple": [number, "x"]}, 1] for number in EQUAL_HASHES]},
        {"record": ["x.X", {str(number): 1 for number in range(3000)}]},
        {"array": ["<f16", [1], "A" * 20 + "AA=="]},  # more bits than any arithmetic has, and slow to print
        {"array": ["<U1", [1], "/////w=="]},  # beyond Unicode
        {"array": ["|V8", [1], "AAAAAAAAAAA="]},
        {"array": ["<U0", [10**9], ""]},
        {"array": ["<f8", [2**62, 2**62, 0], ""]},
        {"complex": [10**400, 0]},
    ],
)
def test_values_that_would_take_long(coded):
    with pytest.raises(wire.BadMessage):
        wire.decode(coded)


@pytest.mark.parametrize(
    "line", [b'{"a": [' + b"[]," * 100_000 + b"1]}", b'{"a": {' + b'"a":1,' * 100_000 + b'"a":1}}', b"[" * 200_000]
)
def test_messages_of_too_many_values(line):
    with pytest.raises(wire.BadMessage, match="more values than"):
        wire.parse(line)


def test_of_a_large_value_no_more_is_looked_at_than_is_shown():
    """And the text is that of the whole value."""
    from tinytorch.testing import shown

    looked_at = []

    class Counted:
        def __repr__(self):
            looked_at.append(self)
            return "x"

    large = [[Counted() for _ in range(50)] for _ in range(1000)]
    assert shown(first_of(large, [400])) == shown(large)
    looked_at.clear()
    shown(first_of(large, [400]))
    assert len(looked_at) <= 400
    for value in (1, "text", [1, (2,), {"a": [np.ones(2)]}], {}, (), [[]], {"k": set()}, {3, 1, 2}, frozenset({1})):
        assert shown(first_of(value, [400])) == shown(value)
    assert repr(first_of({"b", "a"}, [400])) == "{'a', 'b'}"


class Kept(queue.Queue):
    """A queue from which something comes only after the whole process was kept from its work for a while."""

    def get(self, timeout):
        time.sleep(10 * timeout)
        return b"at last"


def test_only_waiting_for_a_worker_is_its_time(monkeypatch):
    monkeypatch.setattr(supervise, "SLICE", 0.01)
    allowance = Allowance(0.05)
    listener = Listener({"tests": []}, 1, allowance)
    listener.transcript.lacks, listener.left = {"limits": ""}, 0.05
    assert supervise.next_chunk(Kept(), listener) == b"at last" and allowance.left > 0.02
    with pytest.raises(Stop, match="time that a chapter's tests may take is over"):
        supervise.next_chunk(queue.Queue(), listener)


def test_one_students_values_are_no_other_students_time(grading):
    """Values that would keep the judge busy for a minute; the honest are graded beside them."""
    code = """import json, os
        items = [{"tuple": ["x" * 300, n * (2**61 - 1)]} for n in range(20_000)]
        message = json.dumps({"event": "check", "number": 0, "actual": {"set": items}}).encode()
        for fd in range(3, 20):
            try: os.write(fd, message + bytes([10]))
            except OSError: pass
        return "3" """
    grading.toy.edit("settings.ini", "test_seconds = 30", "test_seconds = 5")
    for number in range(3):
        grading.hand_in(f"slow{number}/first_dev.py", grading.right_but(code) + f"# {number}\n")
        grading.hand_in(f"honest{number}/first_dev.py", grading.right_but("import time; time.sleep(2); return '2'"))
    grading.grade("--jobs", 6)
    assert grading.points() == {f"{name}{n}": p for name, p in (("slow", 5), ("honest", 6)) for n in range(3)}


def test_all_copies_of_a_chapter_share_its_time(grading, monkeypatch):
    grading.toy.edit("settings.ini", "test_seconds = 30", "test_seconds = 1")
    grading.toy.edit("settings.ini", "chapter_seconds = 300", "chapter_seconds = 6")
    endless = grading.right_but(ENDLESS).replace("return x + x", ENDLESS)
    for copy in range(3):
        grading.hand_in(f"endless/{copy}/first_dev.py", endless + f"# {copy}")
        grading.hand_in(f"lucky/{copy}/first_dev.py", endless + f"# {copy} as well")
    grading.hand_in("lucky/last/first_dev.py", grading.solved)
    spent, mark = {False: 0.0, True: 0.0}, Exam.mark

    def counted(exam, content, name, allowance):
        before = allowance.left
        result = mark(exam, content, name, allowance)
        spent[content.endswith(b"well") or b"while True" not in content] += before - allowance.left
        return result

    monkeypatch.setattr(Exam, "mark", counted)
    grading.grade()
    assert grading.points() == {"endless": 1, "lucky": 6}  # 1 for what raises before the loop
    assert 3 < spent[False] < 8 and 2 < spent[True] < 8
    assert "last/first_dev.py counts, not 0/first_dev.py" in grading.page("lucky")


def test_of_many_copies_the_first_are_graded(grading):
    for copy in range(15):
        grading.hand_in(f"ada/{copy:02}/first_dev.py", grading.blank + f"# {copy}\n")
    grading.grade()
    assert "only the first 10 of 15 copies were graded" in grading.page("ada")


def workers(folder):
    found = subprocess.run(["ps", "-ww", "-eo", "pid,args"], capture_output=True, text=True).stdout.splitlines()
    return [line for line in found if str(folder) in line]


@pytest.fixture(params=["SIGINT", "SIGTERM", "SIGHUP"])
def number(request):
    """A signal that is not ignored. Under nohup, say, one is, and what `tito grade` inherits it leaves alone."""
    number = getattr(signal, request.param)
    before = signal.getsignal(number)
    if before == signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
    yield number
    signal.signal(number, before)


def test_a_run_that_is_ended_ends_at_once_and_leaves_nothing(grading, number, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    for student in range(2):
        grading.hand_in(f"a{student}/first_dev.py", grading.solved)
    for student in range(8):
        grading.hand_in(f"b{student}/first_dev.py", grading.right_but("import time; time.sleep(10_000)"))
    process = grading.begin("--jobs", 2, TMPDIR=str(temporary))
    students = grading.results / "students"
    while len(list(students.glob("*.json"))) < 2 or len(workers(temporary)) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=15)  # the limits would let it go on for minutes
    assert process.returncode == 130 and "the same command goes on from there." in errors
    assert "Traceback" not in errors and len(errors.strip().splitlines()[-1]) < 120
    assert workers(temporary) == [] and list(temporary.iterdir()) == []
    for student in range(8):
        grading.hand_in(f"b{student}/first_dev.py", grading.solved)
    assert "10 graded, 2 of them as before: mean 6.0" in grading.grade()


def test_a_run_that_is_killed_leaves_no_worker(grading, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    grading.hand_in("a/first_dev.py", grading.right_but("import time; time.sleep(10_000)"))
    process = grading.begin(TMPDIR=str(temporary))
    while not workers(temporary):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.communicate()
    while workers(temporary):  # the system ends them
        time.sleep(0.05)


def test_two_runs_make_the_same_bytes_whatever_the_hashes(grading, tmp_path):
    grading.hand_in("a/first_dev.py", grading.right_but('return set("determined")'))
    grading.hand_in("b/first_dev.py", grading.right_but('raise ValueError(set("determined"), object())'))
    many = "raise ValueError(' ' * %d, *[bytearray(10).__init__] * 60)"
    for number in range(14):
        grading.hand_in(f"d{number}/first_dev.py", grading.right_but(many % number))
        grading.hand_in(f"e{number}/first_dev.py", grading.right_but(f"return [' ' * {number}, *[object()] * 60]"))
        shows = f"type('X', (), {{'__repr__': lambda self: ' ' * {number} + 60 * object.__repr__(self)}})()"
        grading.hand_in(f"f{number}/first_dev.py", grading.right_but(f"return {shows}"))
    grading.hand_in("c/first_dev.py", grading.right_but('return {"k": [frozenset("abcdef"), object()]}'))
    found = []
    for seed in ("1", "2", "3"):
        process = grading.toy.begin("grade", grading.folder, "--out", tmp_path / seed, PYTHONHASHSEED=seed)
        process.communicate()
        files = (p for p in (tmp_path / seed).rglob("*") if p.is_file())
        found.append({p.relative_to(tmp_path / seed): p.read_bytes() for p in files})
    assert found[0] == found[1] == found[2] and len(found[0]) > 6


def test_a_worker_that_is_not_locked_up_as_it_should_be_runs_nothing(grading, tmp_path):
    """It looks at what holds by itself, before any of the student's code."""
    from tito.course import Course

    course = Course(grading.toy.root)
    exam = Exam.prepare(course, course.module("first"), tmp_path, threading.Event())
    job = exam._job(exam.questions, grading.solved.encode(), notebook=False, reference=False)
    assert supervise.supervise(job, 10, Allowance(10)).imported
    transcript = supervise.supervise(job | {"lacks": dict.fromkeys(exam.lacks, "other")}, 10, Allowance(10))
    assert transcript.lacks == exam.lacks and not transcript.imported and not transcript.tests


def test_a_log_as_large_as_it_may_be(grading):
    event = json.dumps({"event": "hint", "module": "01_first", "exercise": "double"})
    grading.hand_in("ada/first_dev.py", grading.solved)
    many = '{"event": "test", "module": "01_first", "exercises": {' + '"a": "failing",' * 100_000 + '"b": 1}}'
    grading.hand_in("ada/log.jsonl", f"{event}\n{many}\n")
    grading.hand_in("ada/2/log.jsonl", "[" * 1_000_000 + "\n" + "9" * 1_000_000 + "\n")
    grading.grade()
    assert grading.marks()["ada"]["log"] == {"failed": {}, "hints": {"01_first double": 1}}
    assert os.path.getsize(grading.results / "students" / "ada.json") < 10_000
