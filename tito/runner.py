"""Tests a chapter: the student's code, the reference's tests, a process of their own.

The student's file is exported into a scratch copy of the package. `tito.inside` runs the test cells there,
and what came of them is put together here, one state for each exercise.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tito import checks, workspace
from tito.chapter import Cell, Chapter
from tito.course import Course, Module
from tito.errors import UsageError

NOTHING_COLLECTED = 5
INTERNAL_ERRORS = (2, 3)  # pytest was interrupted, or failed itself
WRONG_USE = 4


@dataclass
class Outcome:
    """What came of an exercise, or of a test that belongs to none."""

    name: str
    state: str  # passing, failing, to do
    points: float
    line: int
    tests: list[str] = field(default_factory=list)
    failure: dict | None = None
    needs: str = ""


@dataclass
class Report:
    """What came of a chapter."""

    module: Module
    started: bool
    outcomes: list[Outcome] = field(default_factory=list)
    chapter_tests: list[Outcome] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)  # what kept the tests from running
    seconds: float = 0.0
    output: str = ""  # pytest's own words
    export: str = ""  # what the student's file exports
    selected: bool = True  # False where -k left nothing
    partial: bool = False  # True under -k
    changed_tests: list[str] = field(default_factory=list)
    extra: str = ""  # output of tests/name where it failed
    installed: bool = False

    @property
    def everything(self) -> list[Outcome]:
        return self.outcomes + self.chapter_tests

    @property
    def passed(self) -> bool:
        ran = bool(self.everything) and all(o.state == "passing" for o in self.everything)
        return ran and not self.broken and not self.extra

    @property
    def points(self) -> tuple[float, float]:
        """Points reached, and points there are."""
        return sum(o.points for o in self.everything if o.state == "passing"), sum(o.points for o in self.everything)

    def count(self, state: str) -> int:
        return sum(o.state == state for o in self.outcomes)


def run(course: Course, module: Module, select: str = "", extra: bool = True) -> Report:
    """Test one chapter."""
    report = Report(module, workspace.is_started(course, module), partial=bool(select))
    report.broken = list(map(str, checks.export_problems(course, module, report.started)))
    if report.broken:
        return report
    report.export = workspace.cached_export(course, module, module.chapter)
    with tempfile.TemporaryDirectory(prefix="tito-") as directory:
        scratch = Path(directory)
        copy_package(course, scratch)
        (scratch / course.package.name / "core" / f"{module.name}.py").write_text(report.export, encoding="utf-8")
        _run_cells(course, report, scratch, select)
        if extra and not select and report.passed:
            report.extra = _run_extra(course, module, scratch)
    return report


def copy_package(course: Course, scratch: Path) -> None:
    """A copy of the package that the tests may do with as they like."""
    for file in course.package.rglob("*"):
        parts = file.relative_to(course.package.parent).parts
        if file.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in parts):
            copy = scratch.joinpath(*parts)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)  # the text alone: the checkout may be read-only


def environment(course: Course, scratch: Path) -> dict[str, str]:
    """Environment of a process that imports the scratch package, and `tito` from where we have it."""
    tito_home = str(Path(__file__).resolve().parent.parent)
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTEST_ADDOPTS", "PYTHONSTARTUP", "PYTHONHOME")}
    paths = os.pathsep.join([str(scratch), tito_home])
    more = {"PYTHONPATH": paths, "PYTHONSAFEPATH": "1", "MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8"}
    return kept | more | {"PYTHONDONTWRITEBYTECODE": "1"}


def _run_cells(course: Course, report: Report, scratch: Path, select: str) -> None:
    reference = workspace.reference_chapter(course, report.module)
    job, job_file = (
        _job(course, report, reference, scratch, select),
        scratch / f"{report.module.name}.json",
    )  # -k sees this name
    job_file.write_text(json.dumps(job), encoding="utf-8")
    (scratch / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    status, report.output, stopped = _python(course, scratch, job_file, job["chapter_seconds"])
    events = _events(Path(job["results"]))
    ended = {e["name"]: e for e in events if e["event"] == "end" and e["outcome"] == "failed"}
    ended = {e["name"]: e for e in events if e["event"] == "end"} | ended
    report.seconds = sum(e["seconds"] for e in ended.values())
    report.selected = status != NOTHING_COLLECTED
    running = [e["name"] for e in events if e["event"] == "start" and e["name"] not in ended]
    if running:
        ended[running[-1]] = {"outcome": "failed", "failure": _died(status, stopped, job)}
    _collect(report, reference, ended, bool(select))
    report.broken += _import_failures(report)
    if status == WRONG_USE and select:
        raise UsageError(f"-k takes names joined by and, or, not, as in pytest; this is none: {select}")
    if status in INTERNAL_ERRORS:
        report.broken.append(f"the tests could not be run: pytest ended with status {status}.\n{report.output}")
    if not reference.tests:
        report.broken.append(f"{reference.path}: the chapter has no test cells, so nothing shows that it works.")


def _job(course: Course, report: Report, reference: Chapter, scratch: Path, select: str) -> dict:
    module = report.module
    own = {cell.grader.get("grade_id"): cell for cell in module.chapter.cells if cell.is_test}
    tests = []
    for test in reference.tests:
        mine = own.get(test.name)
        same = mine is not None and mine.source == test.cell.source
        if report.started and mine is not None and not same:
            report.changed_tests.append(test.name)
        path, cell = (module.dev_path, mine) if same else (reference.path, test.cell)
        tests.append(cell_job(course, path, cell) | {"name": test.name})
    return {
        "root": str(course.root),
        "module": f"{course.package.name}.core.{module.name}",
        "imports": [cell_job(course, reference.path, cell) for cell in reference.import_cells],
        "tests": tests,
        "select": select,
        "seconds": course.number("limits", "test_seconds"),
        "chapter_seconds": course.number("limits", "chapter_seconds"),
        "memory_mb": course.number("limits", "memory_mb"),
        "results": str(scratch / "results.jsonl"),
        "config": str(scratch / "pytest.ini"),
    }


def cell_job(course: Course, path: str, cell: Cell) -> dict:
    last = cell.first + cell.source.count("\n")
    return {"path": str(course.root / path), "line": cell.first, "last": last, "source": cell.source}


def _python(course: Course, scratch: Path, job_file: Path, seconds: int) -> tuple[int, str, bool]:
    """Run `tito.inside`; its exit status, its output, and whether it was stopped."""
    plain = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    work = scratch / "work"
    work.mkdir()
    with open(scratch / "output.txt", "w+b") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tito.inside", str(job_file)],
            cwd=work, env=environment(course, scratch) | plain, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            status, stopped = process.wait(seconds), False
        except subprocess.TimeoutExpired:
            process.kill()
            status, stopped = process.wait(), True
        except BaseException:
            process.kill()
            process.wait()
            raise
        output.seek(0)
        return status, output.read(1_000_000).decode("utf-8", "replace"), stopped


def _events(file: Path) -> list[dict]:
    events = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue  # the line that was being written when the process died
    return events


def _died(status: int, stopped: bool, job: dict) -> dict:
    """The failure of a test whose process did not come back."""
    if stopped:
        return _untold("time", f"it was stopped: the chapter's tests may take {job['chapter_seconds']} seconds")
    return _untold("error", f"the process that ran the test ended, with status {status}")


def _untold(kind: str, said: str) -> dict:
    """The failure of a test that could not tell its own."""
    failure = dict.fromkeys(("type", "call", "expected", "reason", "needs"), "")
    return failure | {"kind": kind, "message": said, "actual": said, "test": None, "where": None, "text": said}


def _collect(report: Report, reference: Chapter, ended: dict[str, dict], partial: bool) -> None:
    """One outcome an exercise, from what came of its tests."""
    exercises = {name: [t for t in reference.tests if t.exercise == name] for name in reference.exercises}
    blank = workspace.unsolved(report.module.chapter, reference)
    for name, tests in exercises.items():
        if partial and not any(t.name in ended for t in tests):
            continue
        outcome = _outcome(report, name, tests, ended, partial)
        if name in blank:
            outcome.state, outcome.needs = "to do", ""
        report.outcomes.append(outcome)
    for test in reference.tests:
        if not test.exercise and (not partial or test.name in ended):
            report.chapter_tests.append(_outcome(report, test.name, [test], ended, partial))


def _outcome(report: Report, name: str, tests: list, ended: dict[str, dict], partial: bool) -> Outcome:
    region = report.module.chapter.exercises.get(name)
    line = region.begin if region else tests[0].cell.line if tests else 0
    outcome = Outcome(name, "passing", sum(t.points for t in tests), line, [t.name for t in tests])
    outcome.failure = _first_failure([t.name for t in tests], ended, partial)
    if outcome.failure:
        needs = outcome.failure["needs"]
        outcome.state, outcome.needs = ("to do", "") if needs == name else ("failing", needs)
    return outcome


def _first_failure(tests: list[str], ended: dict[str, dict], partial: bool) -> dict | None:
    if not tests:
        return _untold("error", "no test checks this exercise")
    for name in tests:
        if name not in ended and not partial:
            return _untold("error", "the test was not run: an earlier one ended the process")
        if ended.get(name, {}).get("outcome") == "failed":
            return ended[name]["failure"]
    return None


def _import_failures(report: Report) -> list[str]:
    """The error that keeps the module from being imported, told once."""
    failures = [o.failure for o in report.everything if o.failure and o.failure["kind"] == "import"]
    for failure in failures[:1]:
        place = failure["where"] or {"path": report.module.dev_path, "line": 0}
        return [f"{located(report.module, place)}: importing the chapter fails: {failure['actual']}"]
    return []


def located(module: Module, place: dict) -> str:
    """A place as `path:line`, the path from the course's root."""
    path = Path(place["path"])
    path = path.relative_to(module.root) if path.is_relative_to(module.root) else path
    return f"{path.as_posix()}:{place['line']}" if place["line"] else path.as_posix()


def _run_extra(course: Course, module: Module, scratch: Path) -> str:
    """Run tests/name against the scratch package; pytest's output where they fail, else nothing."""
    directory = course.tests / module.name
    if not directory.is_dir() or not any(directory.rglob("test_*.py")):
        return ""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", str(directory)]
    done = subprocess.run(
        command, cwd=course.root, env=environment(course, scratch), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace",
    )  # fmt: skip
    return "" if done.returncode in (0, NOTHING_COLLECTED) else done.stdout
