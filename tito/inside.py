"""Runs one chapter's test cells, in a process of its own: `python -m tito.inside JOB`.

JOB is a JSON file that `runner` wrote. The chapter's module is the student's export in a scratch copy of
the package, the test cells are the kept reference's, and pytest collects and runs them. What came of each
cell is appended to a file, line by line, so that a process that dies half-way still says where.
"""

from __future__ import annotations

import ast
import bdb
import contextlib
import importlib
import json
import linecache
import os
import re
import signal
import sys
import traceback
from pathlib import Path

import pytest

from tito import asked

UNSOLVED = re.compile(r"exercise (\w+)$")
SECONDS_AFTER_ONE_RAN_OUT = 2
FILE_MB = 128  # what is printed goes through a file, too
MOST_TEXT = 4000
MOST_FRAMES, MOST_CAUSES = 40, 8


class OutOfTime(BaseException):
    """A test ran longer than the course allows. `except Exception` does not catch it."""


class ProgramEnded(Exception):
    """The code asked for the end of the program, or of pytest."""


class ChapterTests(pytest.File):
    """The test cells of a chapter."""

    def collect(self):
        job = self.config.job
        for cell in job["tests"]:
            if cell["name"] not in job["done"]:
                yield TestCell.from_parent(self, name=cell["name"], cell=cell)


class TestCell(pytest.Item):
    """A test cell, run in a copy of the module's namespace."""

    def __init__(self, *, cell, **keywords):
        super().__init__(**keywords)
        self.cell = cell

    def setup(self):
        config = self.config
        if config.import_error is not None:
            raise config.import_error
        try:
            config.namespace = config.namespace or namespace(config.job)
        except BaseException as error:
            config.import_error = error if isinstance(error, Exception | OutOfTime) else ended_by(error)
            raise config.import_error from error
        config.events.write(event="imported")

    def runtest(self):
        code = compile_cell(self.cell)
        try:
            with time_limit(self.config.job["seconds"]):
                exec(code, dict(self.config.namespace))
        except (KeyboardInterrupt, SystemExit, pytest.exit.Exception, pytest.skip.Exception) as error:
            raise ended_by(error) from None

    def reportinfo(self):
        return self.path, None, self.name

    def repr_failure(self, excinfo, style=None):
        return ""  # pytest's own reads the whole chapter for each line of a traceback; `Events` writes another


class Events:
    """Writes down which test begins and what came of it, for `process` to read."""

    def __init__(self, job):
        self.job = job
        self.results = open(job["results"], "a", encoding="utf-8")  # noqa: SIM115 (open until the process ends)

    def pytest_runtest_logstart(self, nodeid):
        back_to_work(self.job)
        self.write(event="start", name=self.name(nodeid))

    def pytest_runtest_logfinish(self, nodeid):
        self.write(event="stop", name=self.name(nodeid))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        name = self.name(item.nodeid)
        if call.excinfo is not None and not self.harmless(call, report):
            failure = self.describe(item, call)
            if failure["kind"] == "time":  # what the others wait for is most often the same loop
                self.job["seconds"] = min(self.job["seconds"], SECONDS_AFTER_ONE_RAN_OUT)
            failure["printed"] = cut(report.capstdout + report.capstderr)
            self.write(event="end", name=name, outcome="failed", seconds=call.duration, failure=failure)
            report.longrepr = failure["text"]
        elif call.when == "call":
            self.write(event="end", name=name, outcome="passed", seconds=call.duration)
        return report

    def write(self, **event):
        self.results.write(json.dumps(event) + "\n")
        self.results.flush()


class Plugin(Events):
    """Collects the chapter's test cells."""

    def __init__(self, job, path):
        super().__init__(job)
        self.path = path

    def pytest_configure(self, config):
        config.job, config.namespace, config.import_error, config.events = self.job, None, None, self

    def pytest_collect_file(self, file_path, parent):
        if file_path == self.path:
            return ChapterTests.from_parent(parent, path=file_path)

    def name(self, nodeid):
        return nodeid.rpartition("::")[2]

    def harmless(self, call, report):
        return False  # a test of the course is never skipped

    def describe(self, item, call):
        failure = describe(call.excinfo.value, item.cell, self.job)
        if call.when == "setup" and failure["kind"] != "to do":
            failure["kind"] = "import"
        return failure


def back_to_work(job):
    """Stand in the working directory again, whatever the test before did to it."""
    os.makedirs(job["work"], exist_ok=True)
    os.chdir(job["work"])


def ended_by(error):
    """What would end the program, as an exception like any other."""
    said = f": {error}" if str(error) else ""
    return ProgramEnded(f"{type(error).__name__}{said}").with_traceback(error.__traceback__)


def namespace(job):
    """What a test cell may use: the module's names, the checks, and the chapter's imports."""
    with time_limit(job["seconds"]):
        module = importlib.import_module(job["module"])
        names = dict(vars(module))
        from tinytorch.testing import check, check_raises

        names.update(check=check, check_raises=check_raises, __name__=f"tests of {job['module']}")
        used = {node.id for cell in job["tests"] for node in ast.walk(asked.parse(cell)) if isinstance(node, ast.Name)}
        for cell in job["imports"]:
            exec(compile_cell(cell, used), names)
    return names


def compile_cell(cell, used=None):
    """Compile a cell; of imports, those alone that bind a name in `used`."""
    linecache.checkcache(cell["path"])
    tree = asked.parse(cell)
    if used is not None:
        tree.body = [node for node in tree.body if bound(node) & (used | {"*"})]
    return compile(tree, cell["path"], "exec", dont_inherit=True)


def bound(node):
    """The names that an import binds."""
    return {alias.asname or alias.name.partition(".")[0] for alias in node.names}


@contextlib.contextmanager
def time_limit(seconds):
    """Raise `OutOfTime` in the running code after some seconds, where the system has alarms."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def ring(number, frame):
        signal.setitimer(signal.ITIMER_REAL, 1)  # once more, should someone have caught this one
        raise OutOfTime(f"still running after {seconds} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def describe(error, cell, job, cells=()):
    """What a student wants to know of an exception that a test cell raised. `cells` are files of a notebook's."""
    frames = all_frames(error, job, cells)
    in_test = [f for f in frames if f["path"] == cell["path"] and cell["line"] <= f["line"] <= cell["last"]]
    checked = asked.tried(error, cell, in_test)
    own = [f for f in frames if f not in in_test]
    failure = {
        "kind": kind(error),
        "type": type(error).__name__,
        "message": cut(str(error)),
        "setup": asked.before(cell, checked["line"]) if checked else [],
        "call": checked.get("call", ""),
        "actual": cut(getattr(error, "actual", "") or told(error, job)),
        "expected": getattr(error, "expected", "") or checked.get("expected", ""),
        "reason": getattr(error, "reason", ""),
        **blank_met(error, job),
        "test": in_test[-1] if in_test else None,
        "where": own[-1] if own else None,
        "frames": own[-MOST_FRAMES:],
        "text": whole_text(error, job),
    }
    if isinstance(error, SyntaxError) and error.filename:
        failure["where"] = frame(error.filename, error.lineno or 0, "", job)
    return failure


def whole_text(error, job, first=""):
    """The whole traceback, as the chapters have the lines, from the `first` file on where one is named."""
    trace = in_chapters(traceback.TracebackException.from_exception(error), job, first)
    return cut("".join(trace.format()), 10 * MOST_TEXT)


def cut(text, most=MOST_TEXT):
    """Text of a length that can be kept: of a long one, the end is what tells most of a traceback."""
    return text if len(text) <= most else f"{text[: most // 2]}\n[...]\n{text[-most // 2 :]}"


def kind(error):
    if unsolved(error) is not None:
        return "to do"
    if isinstance(error, OutOfTime):
        return "time"
    if isinstance(error, MemoryError):
        return "memory"
    return "check" if hasattr(error, "call") and isinstance(error, AssertionError) else "error"


def told(error, job):
    """The exception in a line or two."""
    if isinstance(error, OutOfTime | ProgramEnded):
        return str(error)
    if isinstance(error, OSError) and str(error).startswith("pytest: reading from stdin"):
        return "OSError: tests run without a keyboard, so input() has nothing to read: work on the arguments alone"
    if isinstance(error, bdb.BdbQuit):
        return "breakpoint() waits for a keyboard, and tests run without one; print() shows with --traceback"
    if isinstance(error, MemoryError):
        return f"MemoryError: it asked for more than the {job['memory_mb']} MB that a chapter's tests may take"
    return f"{type(error).__name__}: {error}".rstrip(": ")


def unsolved(error):
    """The exception that a blank exercise raised, somewhere in the chain of causes."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, NotImplementedError) and UNSOLVED.match(str(error)):
            return error
        error = error.__cause__ or error.__context__
    return None


def blank_met(error, job):
    """The exercise whose blank raised, and its chapter's directory; both empty where none did."""
    blank = unsolved(error)
    if blank is None:
        return {"needs": "", "needs_in": ""}
    frames = chapter_frames(blank, job)
    return {"needs": UNSOLVED.match(str(blank))[1], "needs_in": Path(frames[-1]["path"]).parent.name if frames else ""}


def all_frames(error, job, cells=()):
    """The chapters' frames of an exception, and after them those of what it was raised from: where it began."""
    frames, seen = [], set()
    while error is not None and id(error) not in seen and len(seen) < MOST_CAUSES:
        seen.add(id(error))
        frames = [*frames, *chapter_frames(error, job, cells)]
        error = error.__cause__
    return frames


def chapter_frames(error, job, cells=()):
    """The traceback's frames that lie in a chapter, or in a cell of a notebook, outermost first."""
    frames = [frame(f.filename, f.lineno or 0, f.name, job) for f in traceback.extract_tb(error.__traceback__)]
    return [f for f in frames if f["path"].endswith("_dev.py") or f["path"] in cells]


def in_chapters(trace, job, first=""):
    """The traceback with the package's lines named as the chapters', and without our own machinery."""
    frames = list(trace.stack)
    last = max((i for i, f in enumerate(frames) if f.filename == __file__), default=-1)
    last = next((i - 1 for i, f in enumerate(frames) if f.filename == first), last)
    shown = [(f, frame(f.filename, f.lineno or 0, f.name, job)) for f in frames[last + 1 :]]
    listed = [traceback.FrameSummary(p["path"], p["line"], f.name, line=f.line) for f, p in shown]
    trace.stack = traceback.StackSummary.from_list(listed)
    for other in (trace.__cause__, trace.__context__):
        if other is not None:
            in_chapters(other, job, first)
    return trace


def frame(path, line, name, job):
    """A place in the chapters for a place in the scratch package."""
    from tinytorch._lines import chapter_line

    if found := chapter_line(path, line):
        path, line = str(Path(job["root"], found[0])), found[1]
    return {"path": path, "line": line, "name": name, "source": linecache.getline(path, line).strip()}


def limit_resources(job):
    """Bound what the process may take, where the system has such bounds."""
    try:
        import resource
    except ImportError:
        return
    megabyte = 1024 * 1024
    limits = [
        (resource.RLIMIT_AS, job["memory_mb"] * megabyte),
        (resource.RLIMIT_CPU, 4 * job["chapter_seconds"]),
        (resource.RLIMIT_FSIZE, FILE_MB * megabyte),
        (resource.RLIMIT_CORE, 0),
    ]
    for kind_of_limit, amount in limits:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind_of_limit, (amount, resource.getrlimit(kind_of_limit)[1]))


def run(plugin, arguments):
    """Run pytest, say that it came to its end, and end: no thread and no `atexit` of the code's keeps us."""
    keep = ["-q", "-p", "no:cacheprovider", "--show-capture=no", "--tb=native"]
    status = int(pytest.main([*keep, *arguments], plugins=[plugin]))
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    plugin.write(event="finished", status=status)
    os._exit(status)


def main(path):
    job = json.loads(Path(path).read_text(encoding="utf-8"))
    limit_resources(job)
    arguments = ["--rootdir", str(Path(path).parent), "-c", job["config"], path]
    arguments += ["-k", job["select"]] if job["select"] else []
    run(Plugin(job, Path(path)), arguments)


if __name__ == "__main__":
    main(sys.argv[1])
