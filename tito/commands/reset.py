"""`tito reset`."""

from __future__ import annotations

import click

from tito.commands.options import exercise_argument, module_argument, verbose_option
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
    kept = workspace.reset(course, chosen, exercise or "")
    log.record(course, "reset", module=chosen.id, exercise=exercise or "")
    click.echo(f"{chosen.id}: {exercise or 'every exercise'} is blank again, in {chosen.dev_path}")
    click.echo(f"  what stood there is kept: {kept.relative_to(course.root).as_posix()}")
    click.echo("  a notebook that is open on it: File > Reload Notebook from Disk")
