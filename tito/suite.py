"""`tito test`: one chapter, or all of them and tests/."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import click

from tito import export, show, workspace
from tito.course import Course, Module
from tito.derived import current
from tito.files import write_atomically
from tito.runner import Report, run

NOTHING_COLLECTED = 5


def one_module(course: Course, module: Module, select: str, as_json: bool, verbose: bool) -> int:
    """Test one chapter and say what came of it."""
    report = run(course, module, select)
    conclude(course, report)
    if as_json:
        click.echo(json.dumps(show.as_data(report), indent=1))
    else:
        show.report(course, report, verbose)
    return 0 if report.passed else 1


def every_module(course: Course, select: str, as_json: bool, verbose: bool) -> int:
    """Test every chapter in order, then tests/."""
    begun = time.perf_counter()
    if not course.modules:
        raise click.ClickException("the course has no modules yet: nothing was tested.")
    reports = []
    with ThreadPoolExecutor(workers()) as pool:
        for report in pool.map(lambda module: run(course, module, select, extra=False), course.modules):
            if select and not report.selected:
                continue
            conclude(course, report)
            reports.append(report)
            if not as_json:
                show.report(course, report, verbose)
    status = whole_tests(course, select, as_json)
    passed = bool(reports) and all(r.passed for r in reports) or bool(select) and not reports and status == 0
    passed = passed and status in (0, NOTHING_COLLECTED)
    seconds = time.perf_counter() - begun
    if as_json:
        data = {"passed": passed, "modules": [show.as_data(r) for r in reports], "tests": {"status": status}}
        click.echo(json.dumps(data | {"seconds": round(seconds, 2)}, indent=1))
    else:
        show.summary(course, reports, status, passed, seconds, select)
    return 0 if passed else 1


def workers() -> int:
    return max(1, min(os.cpu_count() or 1, 8))


def whole_tests(course: Course, select: str, as_json: bool) -> int:
    """Run tests/ with pytest, its output as it comes; pytest's exit status."""
    if not any(course.tests.rglob("test_*.py")):
        return NOTHING_COLLECTED
    command = [sys.executable, "-m", "pytest", "-q", str(course.tests)] + (["-k", select] if select else [])
    sys.stdout.flush()
    stream = sys.stderr if as_json else None
    return subprocess.run(command, cwd=course.root, stdout=stream, stdin=subprocess.DEVNULL).returncode


def conclude(course: Course, report: Report) -> None:
    """Install a chapter that passed, and remember what came of it."""
    if report.partial:
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
    workspace.keep_result(course, report.module, show.as_data(report) | {"installed": installed, "source": workspace.fingerprint(report.module.chapter.text)})
