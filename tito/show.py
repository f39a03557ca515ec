"""How a test's result reads."""

from __future__ import annotations

import textwrap

import click

from tito import derived, export, feedback, notes, workspace
from tito.course import Course, Module
from tito.feedback import located
from tito.runner import NOTHING_COLLECTED, Outcome, Report

FURTHER_SHOWN = 3


def report(course: Course, report: Report, detail: int = 0) -> None:
    """One line for a chapter that passes; what failed, and what to do, for one that does not.

    With `detail` 1 every failure is shown in full, with 2 pytest's output as well.
    """
    click.echo(headline(report))
    if report.passed and report.installed:
        click.echo(f"  it is now part of the package: {course.package.name}/core/{report.module.name}.py")
    if not report.selected:
        names = [test.name for test in workspace.reference_chapter(course, report.module).tests]
        click.echo(_listed("there are", names))
    for line in report.broken:
        click.echo(indent(line, "  "))
    if not (report.passed or report.broken):
        _failures(report, bool(detail))
        _waiting(report)
        further(report, bool(detail))
    remarks(report)
    if detail > 1 and report.output:
        click.echo(indent(report.output, "  "))
    if not report.passed:
        _package(course, report)
        click.echo(f"  next: {next_step(course, report)}")


def remarks(report: Report) -> None:
    """What is no failure, and ought to be known."""
    if report.changed_tests:
        names = ", ".join(report.changed_tests)
        click.echo(f"  some tests in your file differ from the course's; the course's were run: {names}")
    if report.outside:
        click.echo(f"  {report.outside}")
    for line in report.graded_without:
        click.echo(f"  {line}")
    for mark in report.lost_marks:
        click.echo(f"  {mark.sentence(report.module.dev_path)}")
    if report.started and not report.broken and workspace.is_own(report.module.chapter):
        back = ways_back(report.module)
        click.echo(f"  your file holds the course's own version, which tito did not put there: {back}")
    if report.go_on:
        click.echo(f"  the reference is not in .tito, so the tests in your file were run: {report.go_on}")
    for path in report.put_back:
        click.echo(f"  your code removed {path}; it is there again, as it was")


def ways_back(module: Module) -> str:
    """What to type where something else, git say, has put the course's own version in the place of work."""
    return f"tito undo {module.id} --list, or tito reset {module.id}"


def headline(report: Report) -> str:
    """The chapter, what came of it, and in numbers."""
    if not report.selected:
        return f"{report.module.id:<16} no test is named so; nothing was tested"
    word, hue = "failed", "red"
    if report.passed:
        word, hue = "passed", "green"
    elif not (report.broken or report.further or report.partial) and not any(fails(o) for o in report.everything):
        word, hue = "to do", "yellow"
    return f"{report.module.id:<16} {colour(f'{word:<6}', hue)}  {_numbers(report)}"


def fails(outcome: Outcome) -> bool:
    """Whether it fails, and needs no other first."""
    return outcome.state == "failing" and not outcome.needs


def _numbers(report: Report) -> str:
    if report.broken:
        return "the tests could not be run"
    if report.partial:
        return f"{sum(o.state == 'passing' for o in report.everything)} of {len(report.everything)} chosen"
    got, total = report.points
    if report.passed:
        return f"{len(report.outcomes)} exercises, {total:g} points, {report.seconds:.1f} s"
    return f"{report.count('passing')} of {len(report.outcomes)} exercises, {got:g} of {total:g} points"


def _failures(report: Report, verbose: bool) -> None:
    """The first failure in full, the others in a line each: one thing at a time."""
    failing = [o for o in report.waiting if fails(o)]
    for outcome in failing if verbose else failing[:1]:
        exercise(report, outcome, verbose)
    for i, outcome in enumerate([] if verbose else failing[1:]):
        also = colour("also", "red") if i == 0 else "    "
        blamed = f"   (may come from {outcome.perhaps})" if outcome.perhaps else ""
        blamed = f"   (the fault is in {outcome.fault_in})" if outcome.fault_in else blamed
        brief = feedback.brief(outcome.name, outcome.failure, feedback.WIDTH - 12 - len(blamed))
        click.echo(f"  {also}      {brief}{blamed}")


def exercise(report: Report, outcome: Outcome, verbose: bool = False) -> None:
    """A failing exercise, in full."""
    place = feedback.raised_in(report.module, outcome.failure, report.given)
    _failure(report, heading(outcome), outcome.failure, place, verbose)
    if outcome.fault_in:
        click.echo(f"    the fault is in {outcome.fault_in}, not here: with the course's own version this passes")
    elif outcome.perhaps:
        click.echo(f"    it rests on {outcome.perhaps}, which fails, too: the fault may be there")


def heading(outcome: Outcome) -> str:
    title = f": {outcome.title}" if outcome.title else ""
    return f"{outcome.name}{title} (0 of {outcome.points:g} points)"


def _failure(report: Report, heading: str, failure: dict, place: str, verbose: bool) -> None:
    first, *rest = feedback.lines(heading, failure, place, feedback.WIDTH - 2)
    click.echo(f"\n  {colour('failing', 'red')}   {first}")
    for line in rest:
        click.echo(f"  {line}")
    if verbose:
        click.echo(indent(failure["text"], "      "))
        if failure["printed"]:
            click.echo(f"    printed:\n{indent(failure['printed'], '      ')}")


def further(report: Report, verbose: bool = False) -> None:
    """What failed in tests/name, which runs when the exercises pass."""
    failed = list(report.further.items())
    if failed:
        s = "" if len(failed) == 1 else "s"
        click.echo(f"  the exercises pass; {len(failed)} further test{s}, in tests/{report.module.name}, did not:")
    for name, failure in failed if verbose else failed[:FURTHER_SHOWN]:
        test = failure["test"]
        place = feedback.raised_in(report.module, failure, report.given) if failure["where"] else ""
        where = f" ({located(report.module, test)})" if test else ""
        _failure(report, f"{name.rpartition('::')[2]}{where}", failure, place, verbose)
    if len(failed) > FURTHER_SHOWN and not verbose:
        click.echo(f"\n  and {len(failed) - FURTHER_SHOWN} more: tito test {report.module.id} --traceback")
    if report.further_fault_in:
        click.echo(f"\n  the fault is in {report.further_fault_in}: with the course's own version of it these pass")


def _waiting(report: Report) -> None:
    """What is still to do, and what cannot pass before it is done."""
    todo = [o.name for o in report.outcomes if o.state == "to do"]
    causes = dict.fromkeys(o.needs for o in report.everything if o.needs)
    if todo:
        click.echo(_listed("to do", todo, "\n"))
    for cause in causes:
        waiting = [o.name for o in report.everything if o.needs == cause]
        click.echo(_listed("waiting", [f"{', '.join(waiting)}: needs {cause} first"]))


def _listed(word: str, texts: list[str], above: str = "") -> str:
    """A word and a list after it, in as many lines as it takes."""
    room = feedback.WIDTH - 12
    lines = textwrap.wrap(", ".join(texts), room, break_on_hyphens=False)
    return f"{above}  {colour(f'{word:<9}', 'yellow')} " + f"\n{'':12}".join(lines)


def _package(course: Course, report: Report) -> None:
    """What the package holds while the chapter does not pass."""
    click.echo("")
    if not report.started or report.partial:
        return
    module = report.module
    held = derived.current(export.target(course, module))
    if held == workspace.cached_export(course, module, workspace.reference_chapter(course, module)):
        what = "the course's reference" if workspace.has_solutions(course, module) else "the blank chapter"
    elif workspace.fingerprint(held) == workspace.result(course, module).get("installed"):
        what = "your version that passed last"
    else:
        what = "what tito export put there"
    click.echo(f"  until the chapter passes, {course.package.name}/core/{module.name}.py holds {what}.")


def next_step(course: Course, report: Report) -> str:
    """What to type next."""
    test = f"tito test {report.module.id}"
    if report.further_fault_in:
        return f"find it in {report.further_fault_in}, whose tests miss it; then {test}"
    if report.broken or report.further:
        return f"mend that, then {test}"
    if report.partial and not report.selected:
        return f"{test} runs all of them"
    first = report.waiting[0]
    elsewhere = first.needs.partition(" ")[0] if " " in first.needs else ""
    if elsewhere:
        return f"solve {first.needs.partition(' ')[2]} in {elsewhere}, then {test}"
    if first.fault_in:
        return f"find it in {first.fault_in}, whose tests miss it: what was tried is above; then {test}"
    exercises = report.module.chapter.exercises
    name, line = first.name, first.line
    if first.needs in exercises:
        name, line = first.needs, exercises[first.needs].begin
    place = f"{report.module.dev_path}:{line}" if line else report.module.dev_path
    test += f" {name}" if first in report.outcomes or name != first.name else f" -k {name}"
    step = f"edit {place}, then {test}"
    if first.state == "to do" and (left := workspace.line_that_raises(report.module.chapter, name)):
        step = f"delete {report.module.dev_path}:{left}, which still raises NotImplementedError"
        step += f"; then {test}"
    hint = name in exercises and notes.notes(course, report.module).get(name)
    return f"{step}\n        or tito hint {report.module.id} {name}" if hint and hint["hints"] else step


def summary(course: Course, reports: list[Report], status: int, passed: bool, seconds: float, select: str) -> None:
    """The closing line of `tito test --all`."""
    if select and not reports and status == NOTHING_COLLECTED:
        count, first = len(course.modules), course.modules[0].id
        where = f"not in the {count} chapters, not in {course.tests.name}/"
        click.echo(f"{colour('failed', 'red')}: -k {select} fits no test's name: {where}. Nothing was tested.")
        click.echo(f"  tito test {first} -k {select}  lists those of a chapter; -k takes a part of a name")
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
        "changed_outside": report.outside,
        "graded_without": report.graded_without,
        "lost_marks": [mark.exercise for mark in report.lost_marks],
        "tests_directory_fault_in": report.further_fault_in,
        "tests_directory": [{"name": name} | _failure_data(report, f) for name, f in report.further.items()],
    }


def _outcome_data(report: Report, outcome: Outcome) -> dict:
    data = {"name": outcome.name, "state": outcome.state, "points": outcome.points, "line": outcome.line}
    data |= {"title": outcome.title, "tests": outcome.tests, "needs": outcome.needs}
    data |= {"perhaps": outcome.perhaps, "fault_in": outcome.fault_in}
    if outcome.failure and outcome.state == "failing":
        data["failure"] = _failure_data(report, outcome.failure)
    return data


def _failure_data(report: Report, failure: dict) -> dict:
    keys = ("kind", "type", "message", "call", "actual", "expected", "reason", "mistake", "says")
    data = {key: failure.get(key, "") for key in keys}
    for key in ("test", "where"):
        place = failure[key]
        data[key] = located(report.module, place) if place else ""
    return data


def colour(text: str, name: str) -> str:
    """Coloured on a terminal, plain elsewhere and under NO_COLOR."""
    import os

    return text if os.environ.get("NO_COLOR") else click.style(text, fg=name)


def indent(text: str, by: str) -> str:
    return "\n".join(by + line for line in text.rstrip().splitlines())
