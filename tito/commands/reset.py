"""`tito reset`."""

from __future__ import annotations

import click

from tito.commands.options import exercise_argument, module_argument, say_kept, verbose_option
from tito.course import Course


@click.command()
@module_argument
@exercise_argument
@verbose_option
def command(module, exercise, verbose):
    """Blank an exercise, or all of a chapter; what you wrote is kept.

    \b
      tito reset 07_autograd backward   one exercise
      tito reset 07_autograd            the whole chapter, as `tito start` gave it
    """
    from tito import log, workspace

    course = Course.find()
    chosen = course.module(module)
    what = exercise or "every exercise"
    kept = workspace.reset(course, chosen, exercise or "")
    if kept is None:
        click.echo(f"{chosen.id}: {what} is blank already; nothing was changed.")
        return
    log.record(course, "reset", module=chosen.id, exercise=exercise or "")
    click.echo(f"{chosen.id}: {what} is blank again, in {chosen.dev_path}")
    say_kept(course, chosen, kept, exercise)
