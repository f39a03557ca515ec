"""Runs a chapter's tests on mutants, each in a forked process of its own."""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import os
import signal
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterable, Iterator

from tito import inside, misconceptions, runner, workspace
from tito.chapter import Chapter
from tito.course import Course, Module
from tito.errors import CourseError
from tito.mutation.mutants import Mutant

LAYERS = ("own cells", "other cells", "tests/")
PATIENCE = 10  # a mutant may take this many times the tests' usual time, and a second


class Trials:
    """Runs a chapter's tests on mutants, each in a process of its own."""

    def __init__(self, course: Course, module: Module, chapter: Chapter, processes: int):
        self.course, self.module, self.chapter, self.processes = course, module, chapter, processes
        self.source = workspace.cached_export(course, module, chapter)
        self.file = course.package / "core" / f"{module.name}.py"
        self.name = f"{course.package.name}.core.{module.name}"
        self.usual: dict[tuple[str, str], float] = {}
        package = self.name.rpartition(".")[0]
        for name in ("", *(f".{earlier.name}" for earlier in course.before(module))):  # here, not in each process
            importlib.import_module(package + name)

    def run(self, layer: str, found: list[Mutant]) -> Iterator[str]:
        """How the layer's tests end on each mutant: passed, failed or timed out."""
        if layer == "tests/" and not any((self.course.tests / self.module.name).glob("test_*.py")):
            return iter(["passed"] * len(found))
        for mutant in found:
            self._time(layer, mutant.exercise)
        calls = [
            (self._trial(layer, mutant.exercise, self._with(mutant)), self._time(layer, mutant.exercise))
            for mutant in found
        ]
        return in_processes(calls, self.processes)

    def _time(self, layer: str, exercise: str) -> float:
        """Processor time that the layer's tests take on the solution itself, which they have to pass."""
        which = (layer, exercise if layer == "own cells" else "")
        if which not in self.usual:
            limit = self.course.number("limits", "chapter_seconds")
            end, self.usual[which] = measured(self._trial(layer, exercise, self.source), limit)
            if end != "passed":
                tests = f"{layer} of {exercise}" if which[1] else f"{layer} of {self.module.id}"
                raise CourseError(
                    f"{self.chapter.path}: the {tests} fail on the solution itself.\n"
                    f"  tito test {self.module.id} shows how."
                )
        return self.usual[which]

    def _with(self, mutant: Mutant) -> str:
        region = self.chapter.exercises[mutant.exercise]
        return misconceptions.with_code(self.source, region, textwrap.dedent(mutant.code))

    def _trial(self, layer: str, exercise: str, source: str) -> Callable[[], bool]:
        def trial() -> bool:
            self._install(source)
            return self._pytest() if layer == "tests/" else self._cells(exercise if layer == "own cells" else "")

        return trial

    def _install(self, source: str) -> None:
        """Put a source in the module's place."""
        loader = _Loader(self.name, str(self.file), source)
        spec = importlib.util.spec_from_file_location(self.name, self.file, loader=loader)
        module = importlib.util.module_from_spec(spec)
        sys.modules[self.name] = module
        loader.exec_module(module)
        setattr(sys.modules[self.name.rpartition(".")[0]], self.module.name, module)

    def _cells(self, exercise: str) -> bool:
        """Run the test cells of an exercise, or all of them; what fails raises."""
        tests = [t for t in self.chapter.tests if exercise in ("", t.exercise)]
        job = {
            "module": self.name,
            "imports": [runner.cell_job(self.course, self.chapter.path, cell) for cell in self.chapter.import_cells],
            "tests": [runner.cell_job(self.course, self.chapter.path, test.cell) for test in tests],
            "seconds": self.course.number("limits", "test_seconds"),
        }
        names = inside.namespace(job)
        with tempfile.TemporaryDirectory(prefix="tito-") as scratch, contextlib.chdir(scratch):
            for cell in job["tests"]:
                exec(inside.compile_cell(cell), dict(names))
        return True

    def _pytest(self) -> bool:
        import pytest

        os.chdir(self.course.root)
        tests = str(self.course.tests / self.module.name)
        return pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--tb=no", tests]) == pytest.ExitCode.OK


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module's file as if it held another text."""

    def __init__(self, name: str, path: str, source: str):
        super().__init__(name, path)
        self.source = source

    def get_code(self, fullname):
        return compile(self.source, self.path, "exec", dont_inherit=True)


def measured(trial: Callable[[], bool], seconds: float) -> tuple[str, float]:
    """How a trial ends in a process of its own, and the processor time that it took."""
    _, status, usage = os.wait4(fork(trial, seconds), 0)
    return ended(status), usage.ru_utime + usage.ru_stime


def in_processes(calls: Iterable[tuple[Callable[[], bool], float]], processes: int) -> Iterator[str]:
    """How each trial ends, some at a time; each is allowed a multiple of its usual time."""
    running: dict[int, int] = {}
    ends: dict[int, str] = {}
    for number, (trial, usual) in enumerate(calls):
        if len(running) >= processes:
            _reap(running, ends)
        running[fork(trial, PATIENCE * usual + 1)] = number
    while running:
        _reap(running, ends)
    return iter([ends[number] for number in sorted(ends)])


def _reap(running: dict[int, int], ends: dict[int, str]) -> None:
    process, status = os.wait()
    ends[running.pop(process)] = ended(status)


def fork(trial: Callable[[], bool], seconds: float) -> int:
    """Begin a trial in a process of its own, which ends after so many seconds of processor time."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(quiet, stream)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE * seconds)  # for one that waits for ever
        status = 0 if trial() else 1
    finally:
        os._exit(status)


def ended(status: int) -> str:
    """What a process's status says of the trial in it."""
    if os.WIFSIGNALED(status):
        return "timed out" if os.WTERMSIG(status) in (signal.SIGPROF, signal.SIGALRM) else "failed"
    return "failed" if os.WEXITSTATUS(status) else "passed"
