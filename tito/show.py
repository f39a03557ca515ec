"""How a test's result reads."""

from __future__ import annotations

import click

from tito import derived, export, workspace
from tito.course import Course
from tito.runner import NOTHING_COLLECTED, Outcome, Report, located


def report(course: Course, report: Report, verbose: bool = False) -> None:
    """One line for a chapter that passes; what failed, and what to do, for one that does not."""
    click.echo(headline(report))
    if report.passed:
        if report.installed:
            click.echo(f"  it is now part of the package: {course.package.name}/core/{report.module.name}.py")
        if verbose:
            click.echo(report.output)
        return
    for line in report.broken:
        click.echo(indent(line, "  "))
    if not report.broken:
        for outcome in report.everything:
            if _fails(outcome):
                _outcome(report, outcome, verbose)
        _waiting(report)
    if report.extra:
        click.echo(f"  the exercises pass, tests/{report.module.name} does not:\n{indent(report.extra, '  ')}")
    if report.changed_tests:
        names = ", ".join(report.changed_tests)
        click.echo(f"  some tests in your file differ from the course's; the course's were run: {names}")
    if verbose and report.output:
        click.echo(indent(report.output, "  "))
    _package(course, report)
    click.echo(f"  next: {next_step(report)}")


def headline(report: Report) -> str:
    """The chapter, what came of it, and in numbers."""
    word, hue = "failed", "red"
    if report.passed:
        word, hue = "passed", "green"
    elif not (report.broken or report.extra or report.partial) and not any(_fails(o) for o in report.everything):
        word, hue = "to do", "yellow"
    return f"{report.module.id:<16} {colour(f'{word:<6}', hue)}  {_numbers(report)}"


def _fails(outcome: Outcome) -> bool:
    return outcome.state == "failing" and not outcome.needs


def _numbers(report: Report) -> str:
    if not report.selected:
        return "no test matches"
    if report.broken:
        return "the tests could not be run"
    if report.partial:
        return f"{sum(o.state == 'passing' for o in report.everything)} of {len(report.everything)} chosen"
    got, total = report.points
    if report.passed:
        return f"{len(report.outcomes)} exercises, {total:g} points, {report.seconds:.1f} s"
    return f"{report.count('passing')} of {len(report.outcomes)} exercises, {got:g} of {total:g} points"


def _outcome(report: Report, outcome: Outcome, verbose: bool) -> None:
    failure = outcome.failure
    click.echo(f"\n  {colour('failing', 'red')}  {outcome.name}  (0 of {outcome.points:g} points)")
    for label, text in (("tried", failure["call"]), ("gave", failure["actual"]), ("expected", failure["expected"])):
        if text:
            click.echo(f"    {label:<9} {indent(text, ' ' * 14).lstrip()}")
    if failure["reason"]:
        click.echo(f"    {'':9} {failure['reason']}")
    for label, place in (("raised at", failure["where"]), ("test at", failure["test"])):
        if place and (label == "test at" or failure["kind"] != "check"):
            click.echo(f"    {label:<9} {located(report.module, place)}")
    region = report.module.chapter.exercises.get(outcome.name)
    if region and not (failure["where"] and failure["kind"] != "check" and _within(region, report, failure["where"])):
        click.echo(f"    {'your code':<9} {report.module.dev_path}:{region.begin}")
    if verbose:
        click.echo(indent(failure["text"], "    "))


def _within(region, report: Report, place: dict) -> bool:
    """Whether a place lies between an exercise's marks."""
    here = located(report.module, place).startswith(f"{report.module.dev_path}:")
    return here and region.begin <= place["line"] <= region.end


def _waiting(report: Report) -> None:
    """What is still to do, and what cannot pass before it is done."""
    todo = [o.name for o in report.outcomes if o.state == "to do"]
    later = [f"{o.name} ({o.needs})" for o in report.everything if o.needs]
    if todo:
        click.echo(f"\n  {colour('to do', 'yellow')}    {', '.join(todo)}")
    if later:
        click.echo(f"  {colour('needs', 'yellow')}    {', '.join(later)}")


def _package(course: Course, report: Report) -> None:
    """What the package holds while the chapter does not pass."""
    click.echo("")
    if not report.started or report.partial:
        return
    module = report.module
    held = derived.current(export.target(course, module))
    if held == workspace.cached_export(course, module, workspace.reference_chapter(course, module)):
        what = "the course's reference"
    elif workspace.fingerprint(held) == workspace.result(course, module).get("installed"):
        what = "your version that passed last"
    else:
        what = "what tito export put there"
    click.echo(f"  until the chapter passes, {course.package.name}/core/{module.name}.py holds {what}.")


def next_step(report: Report) -> str:
    """What to type next."""
    test = f"tito test {report.module.id}"
    if report.broken:
        return f"mend that, then {test}"
    if report.partial and not report.selected:
        return f"{test} runs all of them"
    if report.extra:
        return f"mend that, then {test}"
    first = next((o for o in report.everything if _fails(o)), None)
    first = first or next(o for o in report.everything if o.state != "passing")
    place = f"{report.module.dev_path}:{first.line}" if first.line else report.module.dev_path
    return f"edit {place}, then {test} -k {first.tests[0] if first.tests else first.name}"


def summary(course: Course, reports: list[Report], status: int, passed: bool, seconds: float, select: str) -> None:
    """The closing line of `tito test --all`."""
    if select and not reports and status == NOTHING_COLLECTED:
        click.echo(f"{colour('failed', 'red')}: no test matches {select}")
        return
    good = sum(r.passed for r in reports)
    tests = {0: "tests/ passed", NOTHING_COLLECTED: "tests/ had nothing to run"}.get(status, "tests/ failed")
    word = colour("passed", "green") if passed else colour("failed", "red")
    click.echo(f"\n{word}: {good} of {len(reports)} chapters, {tests}, {seconds:.1f} s")
    bad = next((r for r in reports if not r.passed), None)
    if bad:
        click.echo(f"next: tito test {bad.module.id}")


def as_data(report: Report) -> dict:
    """The report as JSON has it."""
    got, total = report.points
    return {
        "module": report.module.id,
        "passed": report.passed,
        "in_progress": report.started,
        "points": got,
        "points_possible": total,
        "seconds": round(report.seconds, 3),
        "problems": report.broken,
        "exercises": [_outcome_data(report, o) for o in report.outcomes],
        "chapter_tests": [_outcome_data(report, o) for o in report.chapter_tests],
        "changed_tests": report.changed_tests,
        "tests_directory": report.extra,
    }


def _outcome_data(report: Report, outcome: Outcome) -> dict:
    data = {"name": outcome.name, "state": outcome.state, "points": outcome.points, "line": outcome.line}
    data |= {"tests": outcome.tests, "needs": outcome.needs}
    if outcome.failure and outcome.state == "failing":
        keys = ("kind", "type", "message", "call", "actual", "expected", "reason")
        data["failure"] = {key: outcome.failure[key] for key in keys}
        for key in ("test", "where"):
            place = outcome.failure[key]
            data["failure"][key] = located(report.module, place) if place else ""
    return data


def colour(text: str, name: str) -> str:
    """Coloured on a terminal, plain elsewhere and under NO_COLOR."""
    import os

    return text if os.environ.get("NO_COLOR") else click.style(text, fg=name)


def indent(text: str, by: str) -> str:
    return "\n".join(by + line for line in text.rstrip().splitlines())
