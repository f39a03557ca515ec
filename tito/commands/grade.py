"""`tito grade`."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from pathlib import Path

import click

from tito.commands.options import complete_module, json_option, verbose_option
from tito.course import Course
from tito.feedback import one_line


@click.command()
@click.argument("submissions", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder for the results.")
@click.option("--module", "-m", "modules", metavar="M,M-M", multiple=True, shell_complete=complete_module,
              help="Grade these chapters alone; may be repeated. Otherwise all that somebody handed in.")  # fmt: skip
@click.option("--report", is_flag=True, help="Print the class report: pass rates, mistakes met, where people stall.")
@click.option("--jobs", type=click.IntRange(min=1), help="How many at a time; otherwise one a core.")
@click.option("--unprotected", is_flag=True, help="Run students' code without a sandbox.")
@json_option
@verbose_option
def command(submissions, out, modules, report, jobs, unprotected, as_json, verbose):
    """Grade submissions, each in a sandbox.

    \b
      tito grade submissions/ --out results/            every folder, .zip, .py or .ipynb a student
      tito grade submissions/ --out results/ -m tensor  one chapter alone
      tito grade submissions/ --out results/ -m 07-09   several
      tito grade submissions/ --out results/ --report   and how the class did

    Called again, it grades what is new or changed, be it a submission or a test of the
    course, and says whose points moved. results/ holds grades.csv, grades.json, report.html,
    and a page for each student in feedback/.

    Exit status: 0 graded, 1 a submission holds nothing to grade or could not be graded, or
    none could, 2 the command was wrong, 130 the run was interrupted; it goes on where it was.
    """
    from tito.grading import report as class_report
    from tito.grading import run, sandbox

    course = Course.find()
    request = run.Request(submissions, out, ",".join(modules), jobs or 0, unprotected)
    try:
        with (
            ended_by_signals(),
            click.progressbar(length=run.count(submissions), label="grading", file=sys.stderr) as bar,
        ):
            result = run.grade(course, request, lambda: bar.update(1))
    except KeyboardInterrupt:
        click.echo("tito: interrupted. Who is graded stays graded: the same command goes on from there.", err=True)
        return 130
    if as_json:
        click.echo(json.dumps(run.as_data(result), indent=1, ensure_ascii=False))
    else:
        _say(result, out, run, sandbox)
        if report:
            click.echo("\n" + class_report.text(course, result.grades), nl=False)
    return 1 if result.without_chapter or result.not_graded else 0


@contextlib.contextmanager
def ended_by_signals():
    """Let what ends a program from outside end it as Ctrl-C does, so that nothing is left behind."""

    def interrupt(number, frame):
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(result, out, run, sandbox) -> None:
    """What was done, under which protection, and whose points moved."""
    students, possible = [s for s in result.grades["students"] if not s["error"]], result.grades["possible"]
    mean = sum(s["points"] for s in students) / len(students)
    known = f", {result.reused} of them as before" if result.reused else ""
    absent = result.grades["not_in_this_folder"]
    known += f", {len(absent)} of them not in this folder and kept" if absent else ""
    click.echo(f"{len(students)} graded{known}: mean {mean:.1f} of {possible:g} points")
    for name, what in sandbox.PROTECTIONS.items():
        lack = result.lacks[name]
        click.echo(f"  {'WITHOUT' if lack else 'with'}: {what}{f' ({lack})' if lack else ''}")
    for name in result.others:
        click.echo(f"  passed over, being no student's folder, .zip, .py or .ipynb: {name}")
    for name in result.without_chapter:
        click.echo(f"  nothing to grade: {name}")
    for name, claims in result.claimed.items():
        click.echo(f"  several are filed under {name}, and the better one counts: {', '.join(claims)}")
    for name, module, copies in result.too_many_copies:
        click.echo(f"  too many copies: {name}, {module}: of {copies}, the first {run.MOST_COPIES} were graded")
    for title, names in (("kept", absent), ("in no table, graded for other chapters or points", result.set_aside)):
        if names:
            click.echo(f"  not in this folder, {title}: {', '.join(names)}")
    for name, file, why in result.not_run:
        click.echo(f"  could not be run: {name}, {file}: {one_line(why)}")
    for name, why in result.not_graded.items():
        click.echo(f"  NOT GRADED: {name}: {one_line(why)}")
    for change in result.changes:
        place = f"{change['module']} {change['exercise']}"
        click.echo(f"  moved: {change['student']}, {place}: {change['before']:g} -> {change['now']:g}")
    click.echo(f"  results: {out / 'grades.csv'}, {out / 'report.html'}, {out / 'feedback'}")
