"""Tests a chapter: the student's code, the reference's tests, a process of their own.

The student's file is exported into a scratch copy of the package. `tito.inside` runs the test cells there,
and what came of them is put together here, one state for each exercise.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tito import checks, earlier, feedback, lost, marks, names, needed, notes, outside, returns, workspace
from tito.chapter import Cell, Chapter, split_lines
from tito.course import Course, Module
from tito.errors import UsageError
from tito.files import write_atomically
from tito.process import NOBODY, Listener, Run, untold, watch

NOTHING_COLLECTED = 5
INTERNAL_ERRORS = (2, 3)  # pytest was interrupted, or failed itself
WRONG_USE = 4
MOST_ENDS = 8  # tests that may end their process before the rest is given up
SECONDS_AFTER_ONE_RAN_OUT = 2


@dataclass
class Outcome:
    """What came of an exercise, or of a test that belongs to none."""

    name: str
    state: str  # passing, failing, to do
    points: float
    line: int
    tests: list[str] = field(default_factory=list)
    title: str = ""
    failure: dict | None = None  # with `mistake` and `says` where it is a known one
    needs: str = ""  # another exercise that has to be solved first
    perhaps: str = ""  # another that fails, and that this one rests on: its fault may be all there is
    fault_in: str = ""  # the earlier chapter without whose fault it would pass


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
    lost_marks: list[marks.Lost] = field(default_factory=list)  # exercises whose marks are gone or doubled
    graded_without: list[str] = field(default_factory=list)  # imports of what only the student's chapters have
    outside: str = ""  # what was changed of the course's own code
    given: frozenset[str] = frozenset()  # the lines of the chapter as it was handed out
    go_on: str = ""  # the command that finds the reference, where it is lost: the file's own tests were run
    put_back: list[str] = field(default_factory=list)  # files of the course that the code removed
    further: dict[str, dict] = field(default_factory=dict)  # failures in tests/name
    further_fault_in: str = ""  # the earlier chapter without whose fault these would pass
    installed: bool = False

    @property
    def everything(self) -> list[Outcome]:
        return self.outcomes + self.chapter_tests

    @property
    def passed(self) -> bool:
        ran = bool(self.everything) and all(o.state == "passing" for o in self.everything)
        return ran and not self.broken and not self.further

    @property
    def points(self) -> tuple[float, float]:
        """Points reached, and points there are."""
        return sum(o.points for o in self.everything if o.state == "passing"), sum(o.points for o in self.everything)

    def count(self, state: str) -> int:
        return sum(o.state == state for o in self.outcomes)

    @property
    def waiting(self) -> list[Outcome]:
        """What does not pass, as it should be gone about.

        What fails by itself comes first, what may fail by another's fault after it, then what is to do. Last comes what
        nobody can mend as it is: a test of the chapter, and what needs another exercise.
        """
        return sorted((o for o in self.everything if o.state != "passing"), key=self._turn)

    def _turn(self, outcome: Outcome) -> tuple:
        its_own = not outcome.needs and outcome in self.outcomes
        return bool(outcome.needs), not its_own, outcome.state == "to do", bool(outcome.perhaps)


def run(
    course: Course, module: Module, select: str = "", extra: bool = True,
    listener: Listener = NOBODY, exercise: str = "",
) -> Report:  # fmt: skip
    """Test one chapter; of its tests, those that `select` chooses, or those of one exercise."""
    report = Report(module, workspace.is_started(course, module), partial=bool(select or exercise))
    if said := workspace.unreadable(course, module):
        report.broken = [said]
        return report
    report.broken = list(map(str, checks.export_problems(course, module, report.started)))
    if report.broken:
        return report
    report.go_on = lost.way_back(course, module)
    report.export = workspace.cached_export(course, module, module.chapter)
    reference = workspace.reference_chapter(course, module)
    report.given = frozenset(map(str.strip, split_lines(reference.text)))
    report.lost_marks = marks.lost(module.chapter, reference)
    if report.started:
        report.outside = outside.told(module.chapter, reference)
        report.graded_without = names.graded_without(course, module)
    with _scratch(course, {module: report.export}) as scratch:
        _run_cells(course, report, reference, scratch, select, listener, exercise)
        if extra and not report.partial and report.passed:
            further = _run_further(course, report, scratch, listener)
            report.further = {name: e["failure"] for name, e in further.items() if e["outcome"] == "failed"}
    if extra:
        earlier.blame(course, report, functools.partial(_passing, course, report, reference, listener))
    _explain(course, report, reference)
    report.put_back = _put_back(course, {module.dev_path: module.chapter.text, reference.path: reference.text})
    return report


@contextlib.contextmanager
def _scratch(course: Course, exports: dict[Module, str]) -> Iterator[Path]:
    """A copy of the package with other exports of some chapters, in a directory that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tito-", ignore_cleanup_errors=True) as directory:
        scratch = Path(directory)
        copy_package(course, scratch)
        for module, text in exports.items():
            (scratch / course.package.name / "core" / f"{module.name}.py").write_text(text, encoding="utf-8")
        yield scratch


def _passing(
    course: Course, report: Report, reference: Chapter, listener: Listener,
    chapters: list[Module], tests: Collection[str], seconds: float,
) -> set[str]:  # fmt: skip
    """Which of some tests pass with the course's own version of some earlier chapters."""
    exports = {m: earlier.reference_export(course, m) for m in chapters} | {report.module: report.export}
    with _scratch(course, exports) as scratch:
        if report.further:
            ended = _run_further(course, report, scratch, listener, list(tests), seconds)
            return {name for name, event in ended.items() if event["outcome"] == "passed"}
        job = _job(course, report, reference, scratch, "", tests)
        job["chapter_seconds"] = min(job["chapter_seconds"], int(seconds))
        ended = _run_job(course, report, job, scratch, listener).ended
    return {name for name, event in ended.items() if event["outcome"] == "passed"}


def _run_job(course: Course, report: Report, job: dict, scratch: Path, listener: Listener) -> Run:
    module = report.module.name  # -k sees the job's name
    return _run(course, "tito.inside", module, job, scratch, {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}, listener)


def _explain(course: Course, report: Report, reference: Chapter) -> None:
    """Give what fails its exercise's title, and its known mistake, or say that nothing is returned."""
    failing = [o for o in report.outcomes if o.state == "failing" and not o.needs]
    known = notes.notes(course, report.module) if failing else {}
    for outcome in failing:
        outcome.title = known.get(outcome.name, {}).get("title", "")
        mistake = feedback.diagnose(course, report.module, outcome.name, outcome.failure)
        if mistake and not outcome.fault_in and not outcome.perhaps:
            outcome.failure |= {"mistake": mistake["name"], "says": mistake["says"]}
        elif handed_out := reference.exercises.get(outcome.name):
            mine = report.module.chapter.exercises.get(outcome.name)
            outcome.failure |= {"says": returns.missing(outcome.name, mine, handed_out, outcome.failure)}


def _put_back(course: Course, texts: dict[str, str]) -> list[str]:
    """Write again what the tested code removed from the course."""
    gone = {path: text for path, text in texts.items() if not (course.root / path).exists()}
    for path, text in gone.items():
        write_atomically(course.root / path, text)
    return list(gone)


def copy_package(course: Course, scratch: Path) -> None:
    """A copy of the package that the tests may do with as they like."""
    for file in course.package_files():
        copy = scratch / file.relative_to(course.package.parent)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)  # the text alone: the checkout may be read-only


def environment(course: Course, scratch: Path) -> dict[str, str]:
    """Environment of a process that imports the scratch package, and `tito` from where we have it."""
    tito_home = str(Path(__file__).resolve().parent.parent)
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTEST_ADDOPTS", "PYTHONSTARTUP", "PYTHONHOME")}
    paths = os.pathsep.join([str(scratch), tito_home])
    more = {"PYTHONPATH": paths, "PYTHONSAFEPATH": "1", "MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8"}
    temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch / "tmp")) if scratch != course.root else {}
    return kept | more | temporary | {"PYTHONDONTWRITEBYTECODE": "1"}


def _run_cells(
    course: Course, report: Report, reference: Chapter, scratch: Path, select: str, listener: Listener, exercise: str
) -> None:
    only = {test.name for test in reference.tests if test.exercise == exercise} if exercise else None
    job = _job(course, report, reference, scratch, select, only)
    run = _run_job(course, report, job, scratch, listener)
    report.output, report.seconds = run.output, sum(e["seconds"] for e in run.ended.values())
    report.selected = run.status != NOTHING_COLLECTED
    _collect(report, reference, run.ended, report.partial)
    report.broken += _import_failures(report)
    if run.status == WRONG_USE and select:
        raise UsageError(f"-k takes names joined by and, or, not, as in pytest; this is none: {select}")
    crashed = run.finished and run.status in INTERNAL_ERRORS
    if crashed or not run.ended and report.selected:
        report.outcomes, report.chapter_tests = [], []  # of none it is known what it would have done
        report.broken.append(f"the tests could not be run{_last_words(report.output)}\ntito doctor finds out why")
    if not reference.tests:
        report.broken.append(f"{reference.path}: the chapter has no test cells, so nothing shows that it works.")


def _last_words(output: str) -> str:
    """What a crash of pytest came to, of all that it wrote: the last line that names an error."""
    lines = [line.removeprefix("INTERNALERROR>").strip() for line in output.splitlines()]
    named = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Interrupt|Exit)\b", line)]
    return f": {(named or [line for line in lines if line] or ['nothing was said'])[-1]}"


def _run_further(
    course: Course, report: Report, scratch: Path, listener: Listener, only: list[str] | None = None, seconds: float = 0
) -> dict[str, dict]:
    """Run tests/name, or `only` some of them, against the scratch package; what came of each."""
    directory = course.tests / report.module.name
    if not directory.is_dir() or not any(directory.rglob("test_*.py")):
        return {}
    job = _limits(course, scratch) | {"directory": str(directory), "only": only}
    if seconds:
        job["chapter_seconds"] = min(job["chapter_seconds"], int(seconds))
    run = _run(course, "tito.further", "further", job, scratch, {}, listener)
    failed = any(event["outcome"] == "failed" for event in run.ended.values())
    if not failed and run.status not in (0, NOTHING_COLLECTED):
        failure = untold("error", f"pytest ended with status {run.status}", run.output)
        return run.ended | {directory.name: {"outcome": "failed", "failure": failure}}
    return run.ended


def _run(
    course: Course, program: str, name: str, job: dict, scratch: Path, more: dict[str, str], listener: Listener
) -> Run:
    """Run a job; where a test ends the process, the rest in another one."""
    keep = scratch / "keep"
    file = keep / f"{name}.json"
    command = [sys.executable, "-m", program, str(file)]
    variables = environment(course, scratch) | more
    over = time.monotonic() + job["chapter_seconds"]
    ended: dict[str, dict] = {}
    for _ in range(MOST_ENDS):
        for folder in (keep, scratch / "tmp"):  # each time: the tested code may have removed them
            folder.mkdir(parents=True, exist_ok=True)
        Path(job["results"]).unlink(missing_ok=True)
        Path(job["config"]).write_text("[pytest]\n", encoding="utf-8")
        file.write_text(json.dumps(job | {"done": list(ended)}), encoding="utf-8")
        run = watch(command, job, keep, scratch / "work", variables, listener)
        ended |= run.ended
        if run.finished or not run.running:
            break
        ended.setdefault(run.running, {"outcome": "failed", "seconds": 0, "failure": _died(run)})
        left = int(over - time.monotonic())
        if not run.imported or left < 1:
            break
        job["chapter_seconds"] = left
        if run.stopped:
            job["seconds"] = min(job["seconds"], SECONDS_AFTER_ONE_RAN_OUT)
    run.ended = ended
    return run


def _died(run: Run) -> dict:
    """The failure of a test whose process did not come back."""
    kind = "time" if run.stopped.startswith("still") or "seconds" in run.stopped else "error"
    how = f"by signal {-run.status}" if run.status < 0 else f"with status {run.status}"
    failure = untold(kind, run.stopped or f"the whole process ended, {how}")
    return failure if run.imported else failure | {"kind": "import"}


def _job(
    course: Course, report: Report, reference: Chapter, scratch: Path, select: str, only: Collection[str] | None
) -> dict:
    """What the process is told: the tests are all, or `only` those, of which `select` chooses."""
    module = report.module
    own = {cell.grader.get("grade_id"): cell for cell in module.chapter.cells if cell.is_test}
    tests, report.changed_tests = [], []
    for test in reference.tests:
        mine = own.get(test.name)
        same = mine is not None and mine.source == test.cell.source
        if report.started and not same:
            report.changed_tests.append(test.name)
        path, cell = (module.dev_path, mine) if same else (reference.path, test.cell)
        tests.append(cell_job(course, path, cell) | {"name": test.name})
    return _limits(course, scratch) | {
        "module": f"{course.package.name}.core.{module.name}",
        "imports": [cell_job(course, reference.path, cell) for cell in reference.import_cells],
        "tests": [cell for cell in tests if only is None or cell["name"] in only],
        "select": select,
    }


def _limits(course: Course, scratch: Path) -> dict:
    return {
        "root": str(course.root),
        "seconds": course.number("limits", "test_seconds"),
        "chapter_seconds": course.number("limits", "chapter_seconds"),
        "memory_mb": course.number("limits", "memory_mb"),
        "results": str(scratch / "keep" / "results.jsonl"),
        "config": str(scratch / "keep" / "pytest.ini"),
        "work": str(scratch / "work"),
    }


def cell_job(course: Course, path: str, cell: Cell) -> dict:
    last = cell.first + cell.source.count("\n")
    return {"path": str(course.root / path), "line": cell.first, "last": last, "source": cell.source}


def _collect(report: Report, reference: Chapter, ended: dict[str, dict], partial: bool) -> None:
    """One outcome an exercise, from what came of its tests."""
    exercises = {name: [t for t in reference.tests if t.exercise == name] for name in reference.exercises}
    blank = workspace.untouched(report.module.chapter, reference)
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
    _blame(report, reference)


def _outcome(report: Report, name: str, tests: list, ended: dict[str, dict], partial: bool) -> Outcome:
    line = _line(report, name, tests)
    outcome = Outcome(name, "passing", sum(t.points for t in tests), line, [t.name for t in tests])
    outcome.failure = _first_failure([t.name for t in tests], ended, partial)
    if outcome.failure:
        outcome.needs = _blank_needed(report.module, outcome.failure)
        outcome.state = "to do" if outcome.needs == name else "failing"
        outcome.needs = "" if outcome.needs == name else outcome.needs
    return outcome


def _line(report: Report, name: str, tests: list) -> int:
    """Where to look in the student's file: at the exercise, at the marks it has lost, or at the test."""
    chapter = report.module.chapter
    places = {mark.exercise: mark.line for mark in report.lost_marks}
    places |= {region.name: region.begin for region in chapter.regions}
    own = {cell.grader.get("grade_id"): cell.line for cell in chapter.cells if cell.is_test}
    return places.get(name) or (own.get(tests[0].name, 0) if tests else 0)


def _blank_needed(module: Module, failure: dict) -> str:
    """The unsolved exercise that raised; one of an earlier chapter with the chapter's name before it."""
    elsewhere = failure["needs_in"] not in ("", module.id, module.name)  # the kept reference lies in a directory `name`
    return f"{failure['needs_in']} {failure['needs']}" if elsewhere else failure["needs"]


def _first_failure(tests: list[str], ended: dict[str, dict], partial: bool) -> dict | None:
    if not tests:
        return untold("error", "no test checks this exercise")
    for name in tests:
        if ended.get(name, {}).get("outcome") == "failed":
            return ended[name]["failure"]
        if name not in ended and not partial:
            return untold("error", "the test was not run: earlier ones ended the process")
    return None


def _blame(report: Report, reference: Chapter) -> None:
    """Failures that come from inside another failing exercise, or that are another's to the letter, wait for it.

    So does what fails elsewhere than in its own lines and rests on another that is to do, and what rests on one whose
    blank raises nothing. Of what rests on another that fails, it cannot be said whether that is all.
    """
    failing = {o.name: o for o in report.everything if o.state == "failing" and not o.needs}
    to_do = {o.name for o in report.outcomes if o.state == "to do"}
    chapter = report.module.chapter
    silent = {name for name in to_do if not workspace.raises(chapter, name)}
    told: dict[tuple, str] = {}
    rests = needed.by_each(chapter, reference) if failing and len(to_do) + len(failing) > 1 else {}
    for name, outcome in failing.items():
        failure, rests_on = outcome.failure, rests.get(name, ())
        frames = failure["frames"] if failure["kind"] != "check" else []
        cause, its_own = _region_of(report.module, failing, frames), _region_of(report.module, [name], frames[-1:])
        cause = "" if cause == name else cause
        if not (cause or its_own) and failure["type"] and failure["kind"] == "error":
            first = told.setdefault((failure["type"], failure["message"], str(failure["where"])), name)
            cause = first if first in chapter.exercises and first != name else ""
        fails = [other for other in rests_on if other in failing and other != name and not its_own]
        missing = silent if its_own else to_do if name in chapter.exercises else to_do | set(fails)
        cause = cause or next((other for other in rests_on if other in missing), "")
        if cause and not _waits_for(failing, cause, name):
            outcome.needs = cause
        elif fails and not _waits_for(failing, fails[0], name):
            outcome.perhaps = fails[0]
    for outcome in failing.values():
        while (other := failing.get(outcome.needs)) and other.needs:
            outcome.needs = other.needs


def _waits_for(failing: dict[str, Outcome], name: str, other: str) -> bool:
    """Whether one failing exercise waits, directly or not, for another."""
    while name in failing and name != other:
        name = failing[name].needs
    return name == other


def _region_of(module: Module, names: Collection[str], frames: list[dict]) -> str:
    """Of these exercises the one in whose marks an exception began: the innermost frame that lies in any."""
    regions = {name: r for name, r in module.chapter.exercises.items() if name in names}
    for place in reversed(frames):
        for name, region in regions.items():
            if Path(place["path"]) == module.dev and region.begin <= place["line"] <= region.end:
                return name
    return ""


def _import_failures(report: Report) -> list[str]:
    """The error that keeps the module from being imported, told once."""
    failures = [o.failure for o in report.everything if o.failure and o.failure["kind"] == "import"]
    for failure in failures[:1]:
        place = failure["where"] or {"path": report.module.dev_path, "line": 0}
        return [f"{feedback.located(report.module, place)}: importing the chapter fails: {failure['actual']}"]
    return []
