"""`tito test`: one chapter, or all of them and tests/."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import click

from tito import checks, export, log, show, tested, workspace
from tito.course import Course, Module
from tito.derived import current
from tito.errors import CourseError
from tito.files import write_atomically
from tito.process import Listener
from tito.progress import to_keep
from tito.runner import NOTHING_COLLECTED, Report, run


def one_module(course: Course, module: Module, select: str, as_json: bool, detail: int, exercise: str = "") -> int:
    """Test one chapter, or an exercise of it, and say what came of it."""
    report = run(course, module, select, listener=Listener(slow=still_running), exercise=exercise or "")
    conclude(course, report)
    if as_json:
        click.echo(json.dumps(show.as_data(report), indent=1))
    else:
        show.report(course, report, detail)
    return 0 if report.passed else 1


def every_module(course: Course, select: str, as_json: bool, detail: int) -> int:
    """Test every chapter in order, then tests/."""
    begun = time.perf_counter()
    if not course.modules:
        raise CourseError("the course has no modules yet: nothing was tested.")
    reports = []
    for report in _reports(course, select):
        if select and not report.selected:
            continue
        conclude(course, report)
        reports.append(report)
        if not as_json:
            show.report(course, report, detail)
    failed = [r.module for r in reports if not r.passed and not workspace.unreadable(course, r.module)]
    waiting = [module for module in failed if not workspace.has_solutions(course, module)]
    status = whole_tests(course, select, as_json, waiting)
    ran = bool(reports) or status == 0
    passed = ran and all(r.passed for r in reports) and status in (0, NOTHING_COLLECTED)
    seconds = time.perf_counter() - begun
    if as_json:
        data = {"passed": passed, "modules": [show.as_data(r) for r in reports], "tests": {"status": status}}
        click.echo(json.dumps(data | {"seconds": round(seconds, 2)}, indent=1))
    else:
        show.summary(course, reports, status, passed, seconds, select)
    return 0 if passed else 1


def _reports(course: Course, select: str) -> Iterator[Report]:
    """Each chapter's report, in order. Side by side, unless one may change the package for those after it.

    One that does has to pass its own tests/NAME before; the others' run with the rest of tests/.
    """
    test = functools.partial(run, course, select=select, listener=Listener(slow=still_running))
    changes = [_changes_package(course, module) for module in course.modules]
    if any(changes):
        yield from map(lambda module, changed: test(module, extra=changed), course.modules, changes)
        return
    test = functools.partial(test, extra=False)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(test, course.modules)


def _changes_package(course: Course, module: Module) -> bool:
    begun = workspace.is_started(course, module)
    if workspace.unreadable(course, module) or checks.export_problems(course, module, begun):
        return False
    return workspace.cached_export(course, module, module.chapter) != current(export.target(course, module))


FEW = 10  # files of tests, for which starting a process for each core would take longer than it saves


def whole_tests(course: Course, select: str, as_json: bool, without: Sequence[Module] = ()) -> int:
    """Run tests/ with pytest, its output as it comes; pytest's exit status. Some chapters' tests may be left out."""
    left_out = [course.tests / module.name for module in without]
    files = [file for file in course.tests.rglob("test_*.py") if file.parent not in left_out]
    if not files:
        return NOTHING_COLLECTED
    command = [sys.executable, "-m", "pytest", "--no-header", str(course.tests)] + (["-k", select] if select else [])
    command += [f"--ignore={directory}" for directory in left_out]
    if len(files) > FEW and find_spec("xdist"):
        command += ["-n", "auto"]
    sys.stdout.flush()
    stream = sys.stderr if as_json else None
    return subprocess.run(command, cwd=course.root, stdout=stream, stdin=subprocess.DEVNULL).returncode


def still_running(test: str, seconds: int) -> None:
    """Said once of a test that takes long, so that nobody takes it for dead."""
    click.echo(f"tito: {test} is still running (stops after {seconds} s)", err=True)


def conclude(course: Course, report: Report) -> None:
    """Install a chapter that passed, and remember what came of it."""
    if report.started:
        log.record_test(course, show.as_data(report), report.partial)
        if not workspace.unreadable(course, report.module):
            tested.keep(course, report.module, report.passed and not report.partial)
    if report.partial or workspace.unreadable(course, report.module):
        return
    target = export.target(course, report.module)
    installed = workspace.result(course, report.module).get("installed", "")
    if report.passed and current(target) != report.export:
        try:
            write_atomically(target, report.export)
            report.installed = True
        except OSError as error:
            click.echo(f"tito: {target.name} passed but could not be put into the package: {error.strerror}.", err=True)
    if report.passed and current(target) == report.export:
        installed = workspace.fingerprint(report.export)
    if report.started:  # a test of the course's own work is no result of a student's
        data = to_keep(course, report.module, show.as_data(report)) | {"installed": installed}
        workspace.keep_result(course, report.module, data)
