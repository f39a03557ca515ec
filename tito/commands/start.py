"""`tito start`."""

from __future__ import annotations

import click

from tito.commands.options import module_argument, verbose_option
from tito.course import Course


@click.command()
@module_argument
@verbose_option
def command(module, verbose):
    """Begin a chapter: blank its exercises, or go on where you were.

    \b
      tito start 02_tensor

    The exercises of the chapter's file are blanked in place; the reference is kept
    in .tito/. A chapter in progress is left as it is.
    """
    from tito import export, log, workspace
    from tito.errors import CourseError
    from tito.files import read

    course = Course.find()
    chosen = course.module(module)
    if not workspace.is_started(course, chosen):
        export.check(course, [chosen])
        target = export.target(course, chosen)
        if not target.exists() or read(target) != export.generate(course, chosen):
            raise CourseError(
                f"{chosen.dev_path} was changed after it was last exported, so it cannot serve as the reference.\n"
                f"  If the change is a part of the course: tito export {chosen.id}, then start.\n"
                f"  If it is your own work on an exercise: keep a copy of it, bring back the course's file, then start."
            )
    begun = workspace.start(course, chosen)
    chapter = chosen.chapter if not begun else course.find(course.root).module(chosen.id).chapter
    todo = workspace.unsolved(chapter, workspace.reference_chapter(course, chosen))
    if begun:
        log.record(course, "start", module=chosen.id)
        click.echo(f"{chosen.id}: {len(todo)} exercises are blank now, in {chosen.dev_path}")
    else:
        click.echo(f"{chosen.id} is in progress, {len(todo)} exercises to do; nothing was changed.")
    click.echo(f"  write them:  tito jupyter --module {chosen.id}   (or in any editor)")
    click.echo(f"  test them:   tito test --module {chosen.id}")
    if begun:
        click.echo(f"  as it was:   tito undo {chosen.id}   (what stood there is the reference now, in .tito/)")
