"""Whatever the code under test does, the run ends within its limits, names the exercise, and judges the others."""

import json
import os
import sys
import time

import pytest

FIRST = "modules/source/01_first/first_dev.py"
BLANK = '    # YOUR CODE HERE\n    raise NotImplementedError("exercise double")\n'
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")


@pytest.fixture
def solved(toy):
    """The first chapter in progress, all of it solved until a test puts something else into an exercise."""
    toy.edit("settings.ini", "test_seconds = 30", "test_seconds = 1")
    toy.tito("start", "first")
    toy.tito("solution", "first")
    return toy


def result(checkout, code, region="return str(self.value)"):
    """`tito test` with other lines in a region: the exercises by name, and what was printed beside."""
    indent = "        "
    checkout.edit(FIRST, indent + region, "".join(f"{indent}{line}\n" for line in code.splitlines()).rstrip("\n"))
    begun = time.monotonic()
    done = checkout.run("test", "first", "--json")
    assert time.monotonic() - begun < 25 and done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return {e["name"]: e for e in json.loads(done.stdout)["exercises"]}, done.stderr


ENDS = {
    "os._exit": ("import os; os._exit(0)", "the whole process ended, with status 0"),
    "sys.exit": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "exit": ("exit()", "SystemExit"),
    "interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "skip": ("import pytest; pytest.skip('later')", "Skipped: later"),
    "pytest.exit": ("import pytest; pytest.exit('enough')", "Exit: enough"),
    "flood": ("while True: print('x' * 100000)", "File too large" if sys.platform == "linux" else ""),
    "memory": ("return bytearray(100 << 30)", "MemoryError"),
    "loop": ("while True: pass", "still running after 1 seconds"),
    "loop that catches errors": (
        "while True:\n    try:\n        while True: pass\n    except Exception: pass",
        "still running after 1 seconds",
    ),
    "loop that catches all": (
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "still running after 1 seconds",
    ),
    "alarm taken away": (
        "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass",
        "still running after 1 seconds",
    ),
    "killed": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "the whole process ended, by signal 9"),
    "recursion": ("return self.text()", "RecursionError"),
}


@posix
@pytest.mark.parametrize("code, said", ENDS.values(), ids=ENDS)
def test_one_exercise_fails_and_the_others_pass(solved, code, said):
    found, _ = result(solved, code)
    assert said in found["Box_text"]["failure"]["actual"] and found["Box_text"]["state"] == "failing"
    assert found["double"]["state"] == found["Box_doubled"]["state"] == "passing"


@posix
def test_tests_after_the_one_that_ended_the_process_are_run(solved):
    found, _ = result(solved, "import os; os._exit(0)", region="return double(self.value)")
    assert {name: e["state"] for name, e in found.items()} == {
        "double": "passing",
        "Box_doubled": "failing",
        "Box_text": "passing",
    }


@posix
def test_a_process_that_ends_while_importing(solved):
    solved.edit(FIRST, "import numpy as np\n", "import numpy as np, os; os._exit(0)\n")
    output = solved.tito("test", "first", status=1)
    assert "importing the chapter fails: the whole process ended, with status 0" in output


@posix
@pytest.mark.parametrize("folder", [".", ".."])
def test_files_removed_around_the_working_directory(solved, folder):
    """The course lies elsewhere; the other tests go on, or at least nothing passes that should not."""
    before = solved.files()
    found, _ = result(solved, f"import shutil; shutil.rmtree(__import__('os').path.abspath({folder!r}))\nreturn 'gone'")
    assert found["Box_text"]["state"] == "failing"
    after = solved.files()
    assert {name for name in before if name not in after} == set()


@posix
def test_a_chapter_that_removes_itself_is_put_back(solved):
    solved.edit(FIRST, "return str(self.value)", f"import os; os.remove({str(solved.file(FIRST))!r}); return ''")
    text = solved.read(FIRST)
    output = solved.tito("test", "first", status=1)
    assert solved.read(FIRST) == text and f"your code removed {FIRST}; it is there again" in output


@posix
def test_what_was_left_running_is_ended(solved, tmp_path):
    """A child process, and a thread that would keep the process alive."""
    noted = tmp_path / "pid"
    code = (
        f"import subprocess, threading, time\nchild = subprocess.Popen(['sleep', '300'])\n"
        f"open({str(noted)!r}, 'w').write(str(child.pid))\n"
        "threading.Thread(target=time.sleep, args=(300,)).start()\nreturn 'wrong'"
    )
    found, _ = result(solved, code)
    assert found["Box_text"]["failure"]["actual"] == "'wrong'"
    assert _ended([int(noted.read_text())])


@pytest.mark.skipif(sys.platform != "linux", reason="what has left the process's group is found in /proc")
@pytest.mark.parametrize("end", ["return 'wrong'", "os._exit(1)", "while True: pass"])
def test_what_left_for_a_session_of_its_own_is_ended(solved, tmp_path, end):
    noted = tmp_path / "pids"
    code = (
        "import os, subprocess\nchild = subprocess.Popen(['setsid', 'sleep', '300'])\n"
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        f"        open({str(noted)!r}, 'a').write(f'{{os.getpid()}} ')\n        os.execvp('sleep', ['sleep', '300'])\n"
        "    os._exit(0)\nos.wait()\n"
        f"while not os.path.exists({str(noted)!r}): pass\n"
        f"open({str(noted)!r}, 'a').write(f'{{child.pid}} ')\n{end}"
    )
    result(solved, code)
    pids = list(map(int, noted.read_text().split()))
    assert len(pids) >= 2 and _ended(pids)


def _ended(pids):
    """Whether all of them end, as who was killed does a moment later."""
    deadline = time.monotonic() + 5
    while any(map(_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(_alive, pids))


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="processes are counted in /proc")
def test_a_fork_bomb_is_ended(solved):
    found, _ = result(solved, "import os, time\nwhile True:\n    os.fork()\n    time.sleep(0.02)")
    assert found["Box_text"]["state"] == "failing" and found["double"]["state"] == "passing"


@posix
def test_silence_is_explained_once(solved):
    solved.edit("settings.ini", "test_seconds = 1", "test_seconds = 7")
    found, told = result(solved, "import time; time.sleep(60)")
    assert told.count("test_Box_text is still running (stops after 7 s)") == 1
    assert "still running after 7 seconds" in found["Box_text"]["failure"]["actual"]


def test_what_was_printed_is_shown_on_request(solved):
    solved.edit(FIRST, "return str(self.value)", "print('here I am'); return ''")
    assert "here I am" not in solved.tito("test", "first", status=1)
    assert "here I am" in solved.tito("test", "first", "--verbose", status=1)
