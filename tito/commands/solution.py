"""`tito solution`."""

from __future__ import annotations

from pathlib import Path

import click

from tito.commands.options import exercise_argument, module_argument, say_kept, verbose_option
from tito.course import Course, Module
from tito.errors import CourseError


@click.command()
@module_argument
@exercise_argument
@click.option("--from", "file", metavar="FILE", type=click.Path(path_type=Path), help="Solutions that you were sent.")
@verbose_option
def command(module, exercise, file, verbose):
    """Put the reference solution in; what you wrote is kept.

    \b
      tito solution 07_autograd backward   of one exercise
      tito solution 07_autograd            of the whole chapter

    \b
      tito solution 02_tensor --from tensor_dev.py   in an edition without solutions

    --from keeps the chapter's solutions, sent by your instructor, and puts them into the
    package, so that later chapters work. Your own file changes only where you name an
    exercise.
    """
    from tito import log, workspace

    course = Course.find()
    chosen = course.module(module)
    if file:
        _unlock(course, chosen, file)
        if not exercise:
            return
    what = exercise or "every exercise"
    kept = workspace.solution(course, chosen, exercise or "")
    if kept is None:
        click.echo(f"{chosen.id}: {what} holds the reference solution already; nothing was changed.")
        return
    log.record(course, "solution", module=chosen.id, exercise=exercise or "")
    click.echo(f"{chosen.id}: {what} holds the reference solution, in {chosen.dev_path}")
    say_kept(course, chosen, kept, exercise)


def _unlock(course: Course, module: Module, file: Path) -> None:
    from tito import unlock, workspace

    if not workspace.is_started(course, module):
        raise CourseError(f"{module.id} holds the course's own solutions already.")
    package = f"{course.package.name}/core/{module.name}.py"
    if unlock.unlock(course, module, file):
        click.echo(f"{module.id}: {package} holds the solutions now, so later chapters work; your file is as it was.")
    else:
        click.echo(f"{module.id}: the solutions are here now; {package} still holds what you put there.")
    click.echo(f"  to put one into your file: tito solution {module.id} EXERCISE")
