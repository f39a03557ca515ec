"""What `tito test --watch` shows: redrawn on a terminal, lines one after the other elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tito import hints, notes, show
from tito.runner import Outcome, Report

if TYPE_CHECKING:
    from tito.watch import Watch

BAR = 30
KEYS = "h hint   n next exercise   l list   r run again   q quit"
HUES = {"passing": "green", "failing": "red", "to do": "yellow"}


def testing(watch: Watch, passing: Report | None = None) -> None:
    """Shown while the tests run; `passing` is the report where the exercises pass and tests/name is what runs."""
    if watch.drawn:
        click.clear()
        click.echo(f"{watch.module.id}  {watch.module.title}\n")
    if passing:
        click.echo(f"  every exercise passes; tests/{watch.module.name} is running ...")
    elif watch.drawn:
        click.echo("  testing ...")


def draw(watch: Watch) -> None:
    """The exercise at hand, or what keeps the tests from running; or that all passes."""
    report = watch.report
    if watch.drawn:
        click.clear()
    if watch.solved:
        click.echo(f"{show.colour('passed', 'green')}  {', '.join(watch.solved)}")
    if watch.failed:
        names, fail = ", ".join(watch.failed), "fails" if len(watch.failed) == 1 else "fail"
        click.echo(f"{show.colour('broken', 'red')}  {names} passed before this save, and {fail} now")
    if watch.error:
        click.echo(watch.error)
    elif report.passed:
        _passed(watch, report)
        return
    elif watch.listing:
        _list(watch, report)
    else:
        _body(watch, report)
    _foot(watch, report)


def _passed(watch: Watch, report: Report) -> None:
    show.report(watch.course, report)
    if not watch.saves:
        click.echo("  it passes as it is, so there is nothing to watch.")
    if not report.started:
        click.echo(f"  it holds the course's own solutions: tito start {report.module.id} blanks them.")
        return
    from tito.commands.where import go_on

    go_on(watch.course, report.module)


def _body(watch: Watch, report: Report) -> None:
    click.echo(show.headline(report))
    for line in report.broken:
        click.echo(show.indent(line, "  "))
    if not report.broken and watch.at_hand:
        _exercise(watch, report, watch.at_hand)
        others = [o.name for o in report.outcomes if show.fails(o) and o is not watch.at_hand]
        if others:
            click.echo(f"    also failing {', '.join(others)}")
    show.further(report)
    show.remarks(report)
    if watch.hints:
        click.echo("")
        for line in hints.lines(watch.hints) + (_solution(watch) if watch.hints.at_the_top else []):
            click.echo(line)
    if watch.remark:
        click.echo(f"\n  {watch.remark}")


def _exercise(watch: Watch, report: Report, outcome: Outcome) -> None:
    if outcome.needs:
        click.echo(f"\n  {show.colour('failing', 'red')}   {outcome.name} needs {outcome.needs} first")
    elif outcome.state == "failing":
        show.exercise(report, outcome)
    else:
        title = notes.title(watch.course, report.module, outcome.name)
        heading = f"{outcome.name}: {title}" if title else outcome.name
        click.echo(f"\n  {show.colour('to do', 'yellow')}     {heading} ({outcome.points:g} points)")
    where = f"{report.module.dev_path}:{outcome.line}" if outcome.line else report.module.dev_path
    click.echo(f"    {'write it in' if outcome.state == 'to do' else 'your code':<11}  {where}")


def _solution(watch: Watch) -> list[str]:
    return hints.next_step(watch.course, watch.hints)


def _list(watch: Watch, report: Report) -> None:
    click.echo(show.headline(report))
    for outcome in report.everything:
        mark = ">" if watch.at_hand and outcome.name == watch.at_hand.name else " "
        state = show.colour(f"{outcome.state:<8}", HUES[outcome.state])
        needs = f", needs {outcome.needs}" if outcome.needs else ""
        click.echo(f"{mark} {state} {outcome.name}  ({outcome.points:g} points{needs})")


def _foot(watch: Watch, report: Report | None) -> None:
    if not watch.drawn:
        click.echo(f"  tested again when {watch.module.dev_path} is saved")
        return
    click.echo("")
    if report and report.outcomes:
        click.echo(progress_line(report))
    click.echo(hints.dimmed(KEYS))


def progress_line(report: Report) -> str:
    passing, (reached, possible) = report.count("passing"), report.points
    full = BAR * passing // len(report.outcomes)
    bar = "#" * full + "-" * (BAR - full)
    return f"[{bar}]  {passing} of {len(report.outcomes)} exercises, {reached:g} of {possible:g} points"
