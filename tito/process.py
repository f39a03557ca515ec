"""Runs tests in a process of their own, and watches it from outside.

The process writes down, line by line, which test begins and what came of it. What it may take is bounded twice:
by itself, where the system has such bounds, and from here, where a clock runs for each test and everything that
the process started is ended with it: its group, and on Linux also what has left that for a session of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tito.plain import plain, plain_data

GRACE = 2  # seconds that a test has to end by itself after its time is up
SILENCE = 5  # seconds of one test before somebody waiting is told
MOST_PROCESSES = 200
MARK = "TITO_RUN"  # in the environment of everything that a run starts
ROUNDS = 5  # of looking for what was left running: it may start more while we look
POLL = 0.02


class Abandoned(Exception):
    """Whoever waited for the run has given it up."""


@dataclass(frozen=True)
class Listener:
    """Whoever waits for a run: is told of a test that takes long, and may give the run up."""

    slow: Callable[[str, int], None] = lambda test, seconds: None
    gives_up: Callable[[], bool] = lambda: False


NOBODY = Listener()


@dataclass
class Run:
    """What a process told of its tests, and how it ended."""

    status: int = 0
    stopped: str = ""  # why it was ended from outside
    output: str = ""
    imported: bool = False  # the module that is tested could be imported
    finished: bool = False  # all tests were run
    running: str = ""  # the test that was on when the process ended
    ended: dict[str, dict] = field(default_factory=dict)

    def hear(self, event: dict) -> None:
        """Take in an event: a test that failed once, while it was torn down say, has failed."""
        kind, name = event.get("event"), event.get("name", "")
        if kind == "start":
            self.running = name
        elif kind == "end":
            if self.ended.get(name, {}).get("outcome") != "failed":
                self.ended[name] = event
        elif kind == "stop":
            self.running = ""
        elif kind == "imported":
            self.imported = True
        elif kind == "finished":
            self.finished, self.status = True, event["status"]


def watch(
    command: list[str], job: dict, folder: Path, cwd: Path, env: dict[str, str], listener: Listener = NOBODY
) -> Run:
    """Run a command to its end, or to the end of its limits."""
    run = Run()
    cwd.mkdir(parents=True, exist_ok=True)
    with open(folder / "output.txt", "w+b") as output:
        process = subprocess.Popen(
            command, cwd=cwd, env=env | {MARK: str(folder)}, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            run.stopped = _until_the_end(process, run, job, Path(job["results"]), listener)
        finally:
            _end_all(process)
            _end_strays(f"{MARK}={folder}".encode())
        run.status = run.status if run.finished else process.returncode
        output.seek(0)
        run.output = plain(output.read(100_000).decode("utf-8", "replace"))
    return run


def untold(kind: str, said: str, text: str = "") -> dict:
    """The failure of a test that could not tell its own."""
    failure = dict.fromkeys(("type", "call", "expected", "reason", "needs", "needs_in", "printed"), "")
    places = {"test": None, "where": None, "frames": [], "setup": []}
    return failure | places | {"kind": kind, "message": said, "actual": said, "text": text or said}


def _until_the_end(process: subprocess.Popen, run: Run, job: dict, results: Path, listener: Listener) -> str:
    """Follow the process; why it has to be stopped, or "" where it came to its end."""
    begun = test_begun = time.monotonic()
    others, read, told, running = len(_pids()), 0, False, None
    while True:
        over = process.poll() is not None
        read = _listen(results, read, run)
        if over or run.finished:
            return ""
        if listener.gives_up():
            raise Abandoned
        now = time.monotonic()
        if run.running != running:
            running, test_begun, told = run.running, now, False
        if now - begun > job["chapter_seconds"]:
            return f"it was stopped: the chapter's tests may take {job['chapter_seconds']} seconds"
        if running and now - test_begun > job["seconds"] + GRACE:
            return f"still running after {job['seconds']} seconds"
        if running and not told and now - test_begun > SILENCE:
            listener.slow(running, job["seconds"])
            told = True
        if len(_pids()) > others + MOST_PROCESSES and _of_group(process.pid) > MOST_PROCESSES:
            return f"it was stopped: it started more than {MOST_PROCESSES} processes"
        time.sleep(POLL if now - begun < SILENCE else 5 * POLL)  # of a long run, seldom enough to cost nothing


def _listen(results: Path, read: int, run: Run) -> int:
    """Take in what was written since the last time; how far that reaches."""
    try:
        with open(results, "rb") as file:
            file.seek(read)
            lines = file.read().rpartition(b"\n")[0]
    except OSError:
        return read
    for line in lines.splitlines():
        with contextlib.suppress(ValueError):
            run.hear(plain_data(json.loads(line)))
    return read + len(lines) + bool(lines)


def _end_all(process: subprocess.Popen) -> None:
    """End the process, and what it has left running."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        tree = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
        subprocess.run(tree, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    process.wait()


def _end_strays(mark: bytes) -> None:
    """End what has left the process's group for a session of its own, where the system shows environments as files."""
    for _ in range(ROUNDS):
        if not (found := [pid for pid in _pids() if mark in _environment(pid)]):
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _environment(pid: int) -> list[bytes]:
    try:
        return Path("/proc", str(pid), "environ").read_bytes().split(b"\0")
    except OSError:
        return []  # it has ended, or is somebody else's


def _pids() -> list[int]:
    """The processes that there are, where the system lists them as files."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _of_group(group: int) -> int:
    count = 0
    for pid in _pids():
        with contextlib.suppress(OSError):
            count += os.getpgid(pid) == group
    return count
