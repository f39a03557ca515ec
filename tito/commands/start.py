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

    --from takes the reference from a release (a folder, a zip file or a git revision) or
    from a chapter's file, and leaves your file as it is.
    """
    from tito import attempts, log, lost, show, update, workspace

    course = Course.find()
    chosen = course.module(module)
    if source:
        if workspace.is_started(course, chosen) and not lost.is_damaged(course, chosen):
            raise UsageError(f"{chosen.id} is in progress, and its reference is kept: --from is not needed.")
        return _go_on(course, chosen, source)
    if said := workspace.unreadable(course, chosen):
        raise CourseError(said)
    if not workspace.is_started(course, chosen):
        _check(course, chosen)
    before = chosen.chapter.text
    update.remember(course)
    begun = workspace.start(course, chosen)
    chapter = chosen.chapter if not begun else course.find(course.root).module(chosen.id).chapter
    todo = workspace.untouched(chapter, workspace.reference_chapter(course, chosen))
    if begun:
        log.record(course, "start", module=chosen.id)
        what = "exercise is" if len(todo) == 1 else "exercises are"
        click.echo(f"{chosen.id}: {len(todo)} {what} blank now, in {chosen.dev_path}")
    else:
        click.echo(f"{chosen.id} is {_how_far(course, chosen, todo)}; nothing was changed.")
        if workspace.is_own(chapter):
            click.echo(f"  it holds the course's own version, which tito did not put there: {show.ways_back(chosen)}")
    click.echo(f"  write them:  tito jupyter --module {chosen.id}   (or in any editor)")
    click.echo(f"  test them:   tito test --module {chosen.id}   (with --watch: again on every save)")
    if chapter.text != before:
        click.echo(f"  as it was:   tito undo {chosen.id}   (what stood there is the reference now, in .tito/)")
    if begun and any(map(attempts.is_work, attempts.kept(course, chosen))):
        click.echo(f"  earlier work on it is kept:  tito undo {chosen.id} --list")


def _check(course, module):
    """Only the course's own version can serve as the reference."""
    from tito import export, lost, transaction
    from tito.derived import current

    transaction.refuse(course)
    if lost.is_lost(course, module):
        raise CourseError(lost.explanation(course, module))
    export.check(course, [module])
    if current(export.target(course, module)) != export.generate(course, module):
        where = lost.found(course, module)
        release = "" if where else ", the release that you began with"
        raise CourseError(
            f"{module.dev_path} was changed after it was last exported, so it cannot serve as the reference.\n"
            f"  If the change is a part of the course: tito export {module.id}, then start.\n"
            f"  If it is your own work: tito start {module.id} --from {where or lost.UNKNOWN}{release}."
        )


def _how_far(course, module, todo):
    from tito.progress import progress

    passed = progress(course, module).state == "passed"
    return f"passed (tito reset {module.id} blanks it again)" if passed else f"in progress, {_to_do(todo)}"


def _to_do(names):
    return f"{len(names)} exercise{'' if len(names) == 1 else 's'} to do"


def _go_on(course, module, source):
    """Keep the course's own version of a chapter as the reference of work that has lost it."""
    from tito import lost, workspace

    workspace.start(course, module, lost.reference(course, module, source))
    todo = workspace.untouched(module.chapter, workspace.reference_chapter(course, module))
    click.echo(f"{module.id} is in progress again, {_to_do(todo)}; your file was not changed.")
