"""`tito start`."""

from __future__ import annotations

import click

from tito.commands.options import module_argument, verbose_option
from tito.course import Course
from tito.errors import CourseError, UsageError


@click.command()
@module_argument
@click.option("--from", "source", metavar="WHERE", help="Work whose reference is lost: where the course's version is.")
@verbose_option
def command(module, source, verbose):
    """Begin a chapter: blank its exercises, or go on where you were.

    \b
      tito start 02_tensor
      tito start 02_tensor --from tinytorch.zip   go on, where .tito was lost

    The exercises of the chapter's file are blanked in place; the reference is kept
    in .tito/. A chapter in progress is left as it is.

    --from takes the reference from a release (a folder, a zip file or a git revision) and
    leaves your file as it is.
    """
    from tito import log, update, workspace

    course = Course.find()
    chosen = course.module(module)
    if not workspace.is_started(course, chosen):
        if source:
            return _go_on(course, chosen, source)
        _check(course, chosen)
    elif source:
        raise UsageError(f"{chosen.id} is in progress, and its reference is kept: --from is not needed.")
    update.remember(course)
    begun = workspace.start(course, chosen)
    chapter = chosen.chapter if not begun else course.find(course.root).module(chosen.id).chapter
    todo = workspace.unsolved(chapter, workspace.reference_chapter(course, chosen))
    if begun:
        log.record(course, "start", module=chosen.id)
        click.echo(f"{chosen.id}: {len(todo)} exercises are blank now, in {chosen.dev_path}")
    else:
        click.echo(f"{chosen.id} is in progress, {len(todo)} exercises to do; nothing was changed.")
    click.echo(f"  write them:  tito jupyter --module {chosen.id}   (or in any editor)")
    click.echo(f"  test them:   tito test --module {chosen.id}   (with --watch: again on every save)")
    if begun:
        click.echo(f"  as it was:   tito undo {chosen.id}   (what stood there is the reference now, in .tito/)")


def _check(course, module):
    """Only the course's own version can serve as the reference."""
    from tito import export, workspace
    from tito.derived import current

    if not workspace.is_handed_out(module.chapter):
        raise CourseError(
            f"{module.dev_path} holds work, but its reference is not in .tito any more, so nothing was changed.\n"
            f"  Say where the course's own version is, and go on with your work:\n"
            f"  tito start {module.id} --from FOLDER_OR_ZIP   the release that you began with\n"
            f"  tito start {module.id} --from origin/main     in a git clone"
        )
    export.check(course, [module])
    if current(export.target(course, module)) != export.generate(course, module):
        raise CourseError(
            f"{module.dev_path} was changed after it was last exported, so it cannot serve as the reference.\n"
            f"  If the change is a part of the course: tito export {module.id}, then start.\n"
            f"  If it is your own work: tito start {module.id} --from WHERE, with the release that you began with."
        )


def _go_on(course, module, source):
    """Keep the release's chapter as the reference of work that has lost its own."""
    from tito import sources, workspace

    with sources.opened(course, source) as release:
        theirs = next((m for m in release.every_module if m.name == module.name), None)
        reference = workspace.reference_chapter(release, theirs) if theirs else None
    if reference is None or not set(reference.exercises) & set(module.chapter.exercises):
        raise CourseError(f"{source} holds no chapter with the exercises of {module.dev_path}. Nothing was changed.")
    workspace.start(course, module, reference.text)
    todo = workspace.unsolved(module.chapter, reference)
    click.echo(f"{module.id} is in progress again, {len(todo)} exercises to do; your file was not changed.")
