"""Runs one worker, and watches it: time, the amount it sends, the order in which it says what it must."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tito.environment import ONE_THREAD
from tito.grading import wire
from tito.plain import plain

BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from tito.grading.worker import main; main()"
START_SECONDS = 60  # until the worker is locked up; no student's code runs before that
IMPORT_SECONDS = 5  # for the earlier chapters, besides what a test may take
LARGEST_TRANSCRIPT = 32_000_000
SPARE_MESSAGES = 5
SLICE = 0.2  # seconds that are waited for a message at a time
LONGEST_MESSAGE = 300  # characters of an exception's message, which could carry out what the process may read


@dataclass
class TestRun:
    """What a worker sent while it ran a test."""

    messages: list[dict] = field(default_factory=list)
    failure: dict | None = None
    stopped: str = ""  # why it did not come to the test's end
    kind: str = "error"  # of that end


@dataclass
class Transcript:
    """What a worker sent."""

    lacks: dict[str, str] = field(default_factory=dict)
    imported: bool = False
    everything: bool = False
    broken: dict | None = None  # what importing the chapter raised
    tests: dict[str, TestRun] = field(default_factory=dict)
    stopped: str = ""
    kind: str = "error"
    errors: str = ""  # the worker's own, where they are kept


class Abandoned(Exception):
    """The whole run is over: the worker is ended, and what it did is forgotten."""


@dataclass
class Allowance:
    """The seconds that a student's chapter still has, and whether the whole run is over.

    Only waiting for a worker counts, and of a wait no more than was asked for: should this process itself be kept
    from its work, that is nobody's time.
    """

    left: float
    over: threading.Event = field(default_factory=threading.Event)


class Stop(Exception):
    """The worker is to be ended."""

    def __init__(self, reason: str, kind: str = "error"):
        super().__init__(reason)
        self.kind = kind


def supervise(job: dict, seconds: float, allowance: Allowance, keep_errors: bool = False) -> Transcript:
    """Run a worker to its end. `seconds` are for the import and for each test, `allowance` is for all of it."""
    with scratch() as work, tempfile.TemporaryFile() as order, tempfile.TemporaryFile() as errors:
        order.write(json.dumps(job | {"work": str(work)}).encode())
        order.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-s", "-P", "-B", "-X", "utf8", "-c", BOOT, job["stage"]],
            stdin=order, stdout=subprocess.PIPE, stderr=errors if keep_errors else subprocess.DEVNULL,
            cwd=work, env=environment(work), start_new_session=True,
        )  # fmt: skip
        listener = Listener(job, seconds, allowance)
        try:
            listen(process, listener)
        except (Stop, wire.BadMessage) as stop:
            listener.end(str(stop), getattr(stop, "kind", "error"))
        finally:
            end(process)
        listener.end(how_it_ended(process.returncode))
        errors.seek(0)
        listener.transcript.errors = errors.read(4000).decode("utf-8", "replace")
        return listener.transcript


class Listener:
    """Takes a worker's messages in the only order they can have."""

    def __init__(self, job: dict, seconds: float, allowance: Allowance):
        self.transcript = Transcript()
        self.waiting = [test["name"] for test in job["tests"]]
        self.most = {test["name"]: test["messages"] for test in job["tests"]}
        self.seconds, self.allowance = seconds, allowance
        self.left: float = START_SECONDS  # for what is going on
        self.running = ""

    def waited(self, seconds: float) -> None:
        """Take off what was waited; it is the student's time from when the worker is locked up."""
        self.left -= seconds
        if self.transcript.lacks:
            self.allowance.left -= seconds
        if self.allowance.over.is_set():
            raise Abandoned
        if self.allowance.left <= 0:
            raise Stop("it was stopped: the time that a chapter's tests may take is over", "time")
        if self.left <= 0:
            raise Stop(f"still running after {self.seconds:g} seconds", "time")

    def hear(self, message: dict) -> None:
        event, name, transcript = message.get("event"), message.get("test"), self.transcript
        if event == "locked" and not transcript.lacks and isinstance(message.get("lacks"), dict):
            transcript.lacks = {plain(str(k)): plain(str(v)) for k, v in message["lacks"].items()}
            self.left = self.seconds + IMPORT_SECONDS
            return
        elif event == "broken" and transcript.lacks and not transcript.imported:
            transcript.broken, self.waiting = told(message.get("failure")), []
        elif event == "imported" and transcript.lacks and not transcript.imported:
            transcript.imported, transcript.everything = True, message.get("everything") is True
        elif event == "begin" and transcript.imported and not self.running and self.waiting[:1] == [name]:
            self.running = self.waiting.pop(0)
            transcript.tests[name] = TestRun()
        elif event == "end" and self.running and name == self.running:
            failure = message.get("failure")
            transcript.tests[name].failure = None if failure is None else told(failure)
            self.running = ""
        elif event in ("check", "raises") and self.running:
            self._keep(message)
            return
        else:
            raise Stop("its process sent what no test sends")
        self.left = self.seconds

    def _keep(self, message: dict) -> None:
        kept = self.transcript.tests[self.running].messages
        kept.append(message)
        if len(kept) > self.most[self.running] + SPARE_MESSAGES:
            raise Stop("its process sent more values than the test has checks")

    def end(self, reason: str, kind: str = "error") -> None:
        """Note why the worker ended before its time; the first reason counts."""
        transcript = self.transcript
        if self.running and not transcript.tests[self.running].stopped:
            run = transcript.tests[self.running]
            run.stopped, run.kind = reason, kind
        if (self.waiting or not transcript.lacks) and not transcript.stopped:
            transcript.stopped, transcript.kind = reason, kind


def listen(process: subprocess.Popen, listener: Listener) -> None:
    """Pass on the messages, line by line, until the worker closes the pipe."""
    chunks: queue.Queue[bytes] = queue.Queue(maxsize=16)
    deaf = threading.Event()
    threading.Thread(target=read, args=(process.stdout, chunks, deaf), daemon=True).start()
    try:
        take(chunks, listener)
    finally:
        deaf.set()


def take(chunks: queue.Queue[bytes], listener: Listener) -> None:
    rest, received = bytearray(), 0
    while listener.waiting or listener.running:
        chunk = next_chunk(chunks, listener)
        if not chunk:
            return
        received += len(chunk)
        rest += chunk
        if received > LARGEST_TRANSCRIPT or len(rest) > wire.LARGEST_MESSAGE:
            raise Stop("its process sent more than a test may send", "memory")
        if b"\n" in chunk:
            *lines, rest = rest.split(b"\n")
            for line in lines:
                listener.hear(wire.parse(line))


def next_chunk(chunks: queue.Queue[bytes], listener: Listener) -> bytes:
    """Wait for what comes next, a slice at a time."""
    while True:
        chunk, begun = None, time.monotonic()
        with contextlib.suppress(queue.Empty):
            chunk = chunks.get(timeout=SLICE)
        listener.waited(min(time.monotonic() - begun, 2 * SLICE))
        if chunk is not None:
            return chunk


def read(pipe, chunks: queue.Queue, deaf: threading.Event) -> None:
    """Put what comes through a pipe into a queue, and nothing at its end, for as long as somebody listens.

    It runs in a thread: every system can wait for a queue, not every one for a pipe.
    """
    with pipe:
        chunk = b"-"
        while chunk and not deaf.is_set():
            chunk = pipe.read1(1 << 16)
            while not deaf.is_set():
                with contextlib.suppress(queue.Full):
                    chunks.put(chunk, timeout=0.1)
                    break


def told(failure: object) -> dict:
    """What a worker says of an exception, as texts and numbers of bounded size."""
    failure = failure if isinstance(failure, dict) else {}
    texts = {key: short(failure.get(key)) for key in ("type", "message", "needs")}
    listed = failure.get("test_lines")
    lines = {"line": line_number(failure.get("line")), "test_lines": []}
    if isinstance(listed, list):
        lines["test_lines"] = list(map(line_number, listed[:20]))
    return texts | lines | {"memory": failure.get("memory") is True}


def short(said: object) -> str:
    """As much of a text as is shown; first of all the same in each run, since half an address would not be."""
    text = wire.steady(plain(said[: 10 * LONGEST_MESSAGE])) if isinstance(said, str) else ""
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 3] + "..."


def line_number(value: object) -> int:
    return value if type(value) is int and 0 <= value < 1_000_000 else 0


def how_it_ended(status: int) -> str:
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"the process that ran the test was ended by {signal.Signals(-status).name}"
    return f"the process that ran the test ended, with status {status}"


def end(process: subprocess.Popen) -> None:
    """End the worker, and where it could start others, all that it started."""
    if process.poll() is None and hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        process.kill()
    process.wait()


@contextlib.contextmanager
def scratch():
    """A directory that is gone afterwards, whatever was done to it."""
    work = Path(tempfile.mkdtemp(prefix=own_prefix())).resolve()
    try:
        yield work
    finally:
        remove(work)


def remove(folder: Path) -> None:
    def allow_and_retry(function, path, error):
        with contextlib.suppress(OSError):
            for closed in (os.path.dirname(path), path):
                if not os.path.islink(closed):
                    os.chmod(closed, 0o700)
            function(path)

    shutil.rmtree(folder, **{"onexc" if sys.version_info >= (3, 12) else "onerror": allow_and_retry})


def own_prefix() -> str:
    """What this process's directories are called: whose they are, among the processes that it can see."""
    return f"tito-grade-{_processes()}-{os.getpid()}-"


def _processes() -> int:
    """The number of this container's list of processes, whose ids say nothing elsewhere."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def remove_what_killed_runs_left() -> None:
    """Remove the directories of runs that nothing is left of; where that cannot be known, none."""
    if os.name != "posix":
        return
    for folder in Path(tempfile.gettempdir()).glob(f"tito-grade-{_processes()}-*"):
        with contextlib.suppress(OSError):
            owner = folder.name.split("-")[3]
            own = not folder.is_symlink() and folder.stat().st_uid == os.getuid()
            if own and owner.isdecimal() and not _lives(int(owner)):
                remove(folder)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def environment(work: Path) -> dict[str, str]:
    """Nothing of the grader's own environment, but what the system needs."""
    needed = {key: os.environ[key] for key in ("SYSTEMROOT", "PATH") if os.name == "nt" and key in os.environ}
    homes = {key: str(work) for key in ("HOME", "TMPDIR", "TMP", "TEMP", "MPLCONFIGDIR")}
    plain = {"PYTHONHASHSEED": "0", "LANG": "C.UTF-8", "MPLBACKEND": "Agg", "PYTHONWARNINGS": "ignore"}
    return {"PATH": os.defpath} | needed | homes | plain | dict.fromkeys(ONE_THREAD, "1")
