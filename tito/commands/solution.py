"""`tito solution`."""

from __future__ import annotations

import click

from tito.commands.options import exercise_argument, module_argument, verbose_option
from tito.course import Course


@click.command()
@module_argument
@exercise_argument
@verbose_option
def command(module, exercise, verbose):
    """Put the reference solution in; what you wrote is kept.

    \b
      tito solution 07_autograd backward   of one exercise
      tito solution 07_autograd            of the whole chapter
    """
    from tito import log, workspace

    course = Course.find()
    chosen = course.module(module)
    kept = workspace.solution(course, chosen, exercise or "")
    log.record(course, "solution", module=chosen.id, exercise=exercise or "")
    click.echo(f"{chosen.id}: {exercise or 'every exercise'} holds the reference solution, in {chosen.dev_path}")
    click.echo(f"  what stood there is kept: {kept.relative_to(course.root).as_posix()}")
    click.echo("  a notebook that is open on it: File > Reload Notebook from Disk")
