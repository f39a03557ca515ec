"""`tito status`."""

from __future__ import annotations

import click

from tito.commands.options import complete_module, json_option, verbose_option
from tito.course import Course


@click.command()
@click.argument("module", required=False, shell_complete=complete_module)
@json_option
@verbose_option
def command(module, as_json, verbose):
    """Show progress in every chapter.

    \b
      tito status               every chapter, a line each
      tito status 07_autograd   one chapter, its exercises a line each

    What a test said of an exercise holds until the exercise is changed; then it is
    shown as from before the change, until the next test.
    """
    from tito.progress import progress

    course = Course.find()
    modules = [course.module(module)] if module else course.modules
    rows = [progress(course, m) for m in modules]
    if as_json:
        import json

        click.echo(json.dumps({"modules": [row.as_data() for row in rows]}, indent=1))
        return
    if module:
        _one(rows[0])
        return
    width = max((len(row.title) for row in rows), default=0)
    for row in rows:
        click.echo(f"{row.module:<16} {row.title:<{width}}  {_state(row)}")


def _state(row) -> str:
    if row.unreadable:
        return f"{row.state:<13} {row.unreadable}"
    if row.state == "not started":
        return f"not started   {len(row.exercises)} exercises, {row.points_possible:g} points"
    if row.go_on:
        return f"{row.state:<13} its reference is not in .tito: {row.go_on}"
    done = f"{row.count('passing')} of {len(row.exercises)} exercises, {row.points:g} of {row.points_possible:g} points"
    changed = ["changed since its last test"] if row.changed else []
    untested = [f"{row.count('untested')} untested"] if row.count("untested") else []
    return f"{row.state:<13} {', '.join([done, *untested, *changed, *row.beside, *_unwell(row)])}"


def _unwell(row) -> list[str]:
    problems = ["the tests could not be run"] if row.problems else []
    return problems + (["not in the package"] if row.state == "passed" and not row.installed else [])


def _one(row) -> None:
    click.echo(f"{row.module}  {row.title}: {row.state}, {row.points:g} of {row.points_possible:g} points")
    for name, state in row.exercises.items():
        shown = "not started" if row.state == "not started" else state
        possible = row.exercise_points[name]
        reached = possible if shown == "passing" else 0
        remark = ", before it was changed" if name in row.changed_exercises else ""
        remark += f", needs {row.needs[name]}" if name in row.needs else ""
        click.echo(f"  {shown:<12} {name}  ({reached:g} of {possible:g} points{remark})")
    for line in [*row.beside, *row.problems, *([f"its reference is not in .tito: {row.go_on}"] if row.go_on else [])]:
        click.echo(f"  {line}")
