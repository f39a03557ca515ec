"""`tito solution`."""

from __future__ import annotations

import click

from tito.commands.options import exercise_argument, module_argument, say_kept, verbose_option
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
    what = exercise or "every exercise"
    kept = workspace.solution(course, chosen, exercise or "")
    if kept is None:
        click.echo(f"{chosen.id}: {what} holds the reference solution already; nothing was changed.")
        return
    log.record(course, "solution", module=chosen.id, exercise=exercise or "")
    click.echo(f"{chosen.id}: {what} holds the reference solution, in {chosen.dev_path}")
    say_kept(course, chosen, kept, exercise)
