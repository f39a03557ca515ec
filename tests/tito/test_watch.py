"""`tito test --watch`: on a terminal, in a pipe, and with editors of all kinds."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.tito.terminal import Terminal
from tito.course import Course

pytestmark = pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
ROOT = Course.find().root
FIRST = "modules/source/01_first/first_dev.py"
CORE = "tinytorch/core/first.py"


@pytest.fixture
def begun(toy):
    toy.tito("start", "first")
    return toy


@pytest.fixture
def terminal(begun):
    with Terminal(begun, ROOT, "test", "first", "--watch") as terminal:
        yield terminal


def with_code(text, exercise, code):
    indent = "    " if exercise == "double" else "        "
    return text.replace(f'{indent}raise NotImplementedError("exercise {exercise}")', f"{indent}{code}")


def solve(checkout, exercise, code, save=None):
    text = with_code(checkout.read(FIRST), exercise, code)
    assert text != checkout.read(FIRST)
    (save or in_place)(checkout.file(FIRST), text)


def in_place(file, text):
    file.write_text(text, encoding="utf-8")


def new_file_in_the_old_one_s_place(file, text):
    beside = file.with_name(".~" + file.name)
    beside.write_text(text, encoding="utf-8")
    beside.replace(file)


def backup_then_new_file(file, text):
    file.rename(file.with_name(file.name + "~"))
    time.sleep(0.05)
    file.write_text(text, encoding="utf-8")


def removed_then_written_in_pieces(file, text):
    file.unlink()
    with open(file, "w", encoding="utf-8") as new:
        for line in text.splitlines(keepends=True):
            new.write(line)
            new.flush()


def test_from_the_first_exercise_to_the_package(begun, terminal):
    terminal.expect("double: Twice (3 points)")
    terminal.expect("0 of 3 exercises, 0 of 6 points")
    solve(begun, "double", "return x * x")
    terminal.expect("gave      9")
    assert "expected" in terminal.expect("q quit")
    begun.edit(FIRST, "return x * x", "if isinstance(x, str):\n        raise TypeError('a str')\n    return x + x")
    terminal.expect("passed\x1b[0m  double")
    terminal.expect("Box_doubled")
    assert "1 of 3 exercises, 3 of 6 points" in terminal.expect("q quit")
    solve(begun, "Box_doubled", "return double(self.value)")
    terminal.expect("2 of 3 exercises")
    assert CORE not in terminal.text
    solve(begun, "Box_text", "return str(self.value)")
    terminal.expect(f"it is now part of the package: {CORE}")
    terminal.expect("next: tito start 02_second")
    assert terminal.end() == 0 and terminal.restored
    assert "raise TypeError('a str')" in begun.read(CORE)


def test_what_a_save_breaks(begun):
    """Said of an exercise that passed before, also where another is at hand; not of those that only wait for it."""
    begun.tito("solution", "first", "double")
    begun.tito("solution", "first", "Box_doubled")
    with Terminal(begun, ROOT, "test", "first", "--watch") as terminal:
        assert "passed before" not in terminal.expect("q quit")
        begun.edit(FIRST, "return x + x", "return x +")
        terminal.expect("this is not Python")
        assert "passed before" not in terminal.expect("q quit")
        begun.edit(FIRST, "return x +", "return x * x")
        terminal.expect("broken\x1b[0m  double passed before this save, and fails now")
        assert "passed\x1b[0m  " not in terminal.screen
        begun.edit(FIRST, "return x * x", "return x + x")
        terminal.expect("passed\x1b[0m  double")
        assert "and fails now" not in terminal.expect("q quit")


def test_a_chapter_that_passes_already(begun):
    begun.tito("solution", "first")
    done = begun.run("test", "first", "--watch")
    assert "  it passes as it is, so there is nothing to watch.\n  next: tito start" in done.stdout
    assert done.returncode == 0
    begun.edit(FIRST, "return x + x", "return x * x")
    with Terminal(begun, ROOT, "test", "first", "--watch") as terminal:
        terminal.expect("q quit")
        begun.edit(FIRST, "return x * x", "return x + x")
        assert "nothing to watch" not in terminal.expect("next: tito start 02_second")


def test_keys(begun, terminal):
    terminal.expect("q quit")
    terminal.press("h")
    terminal.expect("What do you get when you add a thing to itself?")
    terminal.press("hh")
    terminal.expect("tito solution 01_first double")
    terminal.press("n")
    terminal.expect("Box_doubled (2 points)")
    assert "What do you get" not in terminal.expect("q quit")
    terminal.press("h")
    terminal.expect("01_first has no hints for Box_doubled")
    terminal.press("nn")
    terminal.expect("double: Twice")
    terminal.expect("q quit")
    terminal.press("l")
    assert "Box_text  (1 points)" in terminal.expect("q quit")
    terminal.press("\x1b[D")  # an arrow, which is no d and no h
    terminal.press("l")
    terminal.expect("write it in")
    terminal.press("r")
    terminal.expect("testing ...")
    terminal.expect("q quit")
    terminal.press("q")
    assert terminal.end() == 1 and terminal.restored
    levels = [e["level"] for e in json.loads(begun.tito("log", "--json"))["events"] if e["event"] == "hint"]
    assert levels == [1, 2, 3]


def test_hints_stay_while_the_exercise_does(begun, terminal):
    terminal.expect("q quit")
    terminal.press("h")
    terminal.expect("What do you get")
    solve(begun, "double", "return x * x")
    terminal.expect("gave      9")
    terminal.expect("What do you get")
    begun.tito("solution", "first", "double")
    terminal.expect("passed\x1b[0m  double")
    assert "What do you get" not in terminal.expect("q quit")


@pytest.mark.parametrize(
    "save", [in_place, new_file_in_the_old_one_s_place, backup_then_new_file, removed_then_written_in_pieces]
)
def test_editors(begun, terminal, save):
    terminal.expect("q quit")
    solve(begun, "double", "return x * x", save)
    terminal.expect("gave      9")


def test_polling(begun):
    with Terminal(begun, ROOT, "test", "first", "--watch", "--poll") as terminal:
        terminal.expect("q quit")
        solve(begun, "double", "return x * x")
        terminal.expect("gave      9")


def test_a_save_gives_up_the_run_that_is_going(begun, terminal):
    """An endless loop is tested; the next save does not wait for it, and nothing of it is shown or left behind."""
    terminal.expect("q quit")
    marker = begun.file("still here")
    solve(
        begun,
        "double",
        f"import time, pathlib\n    while True: pathlib.Path({str(marker)!r}).touch(); time.sleep(0.05)",
    )
    wait_for(marker.exists)
    terminal.expect("test_double is still running (stops after 30 s)")
    saved = time.monotonic()
    begun.tito("solution", "first", "double")
    terminal.expect("1 of 3 exercises")
    assert time.monotonic() - saved < 15  # the loop's own limit is 30 seconds
    assert "gave" not in terminal.text
    marker.unlink()
    time.sleep(0.3)
    assert not marker.exists()


def test_nothing_stale_is_shown(begun, terminal):
    terminal.expect("q quit")
    solve(begun, "double", "return 1000")
    for number in range(1001, 1012):
        begun.edit(FIRST, f"return {number - 1}", f"return {number}")
        time.sleep(0.07 * (number % 4))
    terminal.expect("gave      1011")
    terminal.expect("q quit")
    assert "gave      1011" in terminal.screen


def test_a_broken_file_and_back(begun, terminal):
    terminal.expect("q quit")
    solve(begun, "double", "return (")
    terminal.expect("this is not Python")
    begun.edit(FIRST, "return (", "return x")
    terminal.expect("gave      3")
    text = begun.read(FIRST)
    begun.file(FIRST).write_bytes(b"\xff\xfe\x00")
    terminal.expect("is not text in UTF-8")
    begun.write(FIRST, text)
    terminal.expect("gave      3")


def test_what_else_fails_is_named_beside_the_exercise_at_hand(begun, terminal):
    terminal.expect("q quit")
    terminal.press("n")
    terminal.expect("Box_doubled (2 points)")
    solve(begun, "Box_text", "return 'wrong'")
    terminal.expect("also failing Box_text")


def test_the_file_is_gone(begun, terminal):
    terminal.expect("q quit")
    text = begun.read(FIRST)
    begun.file(FIRST).unlink()
    terminal.expect("is not there any more")
    begun.write(FIRST, text)
    terminal.expect("testing ...")


def test_interrupted(begun, terminal):
    terminal.expect("q quit")
    terminal.press("\x03")
    assert terminal.end() == 1 and terminal.restored
    assert "Traceback" not in terminal.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ended_from_outside(begun, terminal, number):
    terminal.expect("q quit")
    terminal.process.send_signal(number)
    terminal.end()
    assert terminal.restored and "Traceback" not in terminal.text


def test_stopped_and_continued(begun, terminal):
    terminal.expect("q quit")
    terminal.process.send_signal(signal.SIGSTOP)
    terminal.process.send_signal(signal.SIGCONT)
    terminal.expect("q quit")
    terminal.press("q")
    assert terminal.end() == 1 and terminal.restored


def test_a_crash_puts_the_terminal_back(begun):
    begun.write("crash/sitecustomize.py", CRASH)
    begun.tito("solution", "first")
    paths = f"{ROOT}{os.pathsep}{begun.file('crash')}"
    with Terminal(begun, ROOT, "test", "first", "--watch", PYTHONPATH=paths) as terminal:
        assert terminal.end() == 1 and terminal.restored
        assert "ZeroDivisionError" in terminal.text


CRASH = """
import sys
class Finder:
    def find_spec(name, path, target=None):
        if name == "tito.commands.where":
            1 / 0
sys.meta_path.insert(0, Finder)
"""


def test_in_a_pipe(begun):
    """Plain lines; it ends with its input, after the run that is going, with the status of the last one."""
    with piped(begun) as process:
        assert "to do   0 of 3 exercises" in until(process, "tested again when")
        begun.tito("solution", "first", "double")
        assert "passed  double" in until(process, "tested again when")
        begun.tito("solution", "first")
        process.stdin.close()
        rest = process.stdout.read()
        assert "\x1b" not in rest
        assert process.wait(60) in (0, 1)


def test_in_a_pipe_it_ends_when_the_chapter_passes(begun):
    with piped(begun) as process:
        until(process, "tested again when")
        begun.tito("solution", "first")
        assert "next: tito start 02_second" in process.stdout.read()
        assert process.wait(60) == 0


def test_interrupted_in_a_pipe(begun):
    with piped(begun) as process:
        until(process, "tested again when")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 1 and "Traceback" not in process.stdout.read()


def test_tests_beside_the_chapter_count(begun):
    begun.write("tests/first/test_more.py", "def test_no():\n    assert 1 == 2\n")
    begun.tito("solution", "first")
    with piped(begun) as process:
        said = until(process, "tested again when")
        assert "tests/first is running" in said and "test_no" in said
        begun.write("tests/first/test_more.py", "def test_yes():\n    assert 1 == 1\n")
        begun.file(FIRST).touch()
        process.stdout.read()
        assert process.wait(60) == 0


@pytest.mark.parametrize("arguments", [("--all",), ("first", "-k", "x"), ("first", "--json")])
def test_wrong_use(toy, arguments):
    assert "--watch goes through one chapter" in toy.tito("test", "--watch", *arguments, status=2)


def test_poll_alone_is_wrong_use(toy):
    assert "--poll belongs to --watch" in toy.tito("test", "first", "--poll", status=2)


def test_a_chapter_that_is_not_begun(toy):
    output = toy.run("test", "first", "--watch")
    assert output.returncode == 0 and "tito start 01_first blanks them" in output.stdout


def piped(checkout):
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "tito", "test", "first", "--watch"], cwd=checkout.root, env=variables,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
    )  # fmt: skip


def until(process, said):
    """Read lines up to one that says this."""
    text = ""
    for line in process.stdout:
        text += line
        if said in line:
            return text
    raise AssertionError(f"it ended, and had said: {text}")


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
