"""`tito status`."""

from __future__ import annotations

import click

from tito.commands.options import json_option, verbose_option
from tito.course import Course


@click.command()
@click.argument("module", required=False)
@json_option
@verbose_option
def command(module, as_json, verbose):
    """Show progress in every chapter.

    \b
      tito status               every chapter, a line each
      tito status 07_autograd   one chapter, its exercises a line each
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
    if row.state == "not started":
        return f"not started   {len(row.exercises)} exercises, {row.points_possible:g} points"
    done = f"{row.count('passing')} of {len(row.exercises)} exercises, {row.points:g} of {row.points_possible:g} points"
    changed = ", changed since its last test" if row.changed else ""
    return f"{row.state:<13} {done}{changed}"


def _one(row) -> None:
    click.echo(f"{row.module}  {row.title}: {row.state}")
    for name, state in row.exercises.items():
        click.echo(f"  {state if row.state != 'not started' else 'not started':<12} {name}")
