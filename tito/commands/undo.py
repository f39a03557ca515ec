"""`tito undo`."""

from __future__ import annotations

import click

from tito.commands.options import complete_exercise, module_argument, say_kept, verbose_option
from tito.course import Course


@click.command()
@module_argument
@click.argument("what", nargs=-1, metavar="[EXERCISE] [VERSION]", shell_complete=complete_exercise)
@click.option("--list", "listed", is_flag=True, help="Show what is kept.")
@verbose_option
def command(module, what, listed, verbose):
    """Put back what a command replaced, in a chapter or an exercise.

    \b
      tito undo 02_tensor           what stood there before the last command that replaced it
      tito undo 02_tensor matmul    of one exercise
      tito undo 02_tensor --list    what is kept, the newest first
      tito undo 02_tensor 3         the third of that list
      tito undo 02_tensor matmul 3  one exercise, as it stands in the third

    What undo replaces is kept too: a second `tito undo` brings it back. Back to before
    `tito start`, the chapter is not in progress any more; the work on it is kept.
    """
    from tito import log, workspace

    course = Course.find()
    chosen = course.module(module)
    if listed:
        _list(course, chosen)
        return
    version, exercise = _parse(course, chosen, what)
    begun = workspace.is_started(course, chosen)
    if begun and not what and workspace.is_gone(chosen):
        click.echo(workspace.restore(course, chosen))
        return
    undone, kept = workspace.undo(course, chosen, version, exercise)
    if kept is None:
        click.echo(f"{chosen.id}: that is what stands there; nothing was changed.")
        return
    log.record(course, "undo", module=chosen.id, exercise=exercise)
    click.echo(f"{chosen.id}: {exercise or chosen.dev_path} is as it was {undone}.")
    if not workspace.is_started(course, chosen):
        click.echo("  it is not in progress any more: it and the package hold the course's own solutions")
    elif not begun:
        click.echo("  it is in progress again")
    say_kept(course, chosen, kept, exercise)


def _parse(course, module, what):
    """The version and the exercise that were named, in either order."""
    from tito import attempts
    from tito.errors import UsageError

    versions, exercises = [], []
    for name in what:
        version = attempts.named(course, module, name)
        (versions if version else exercises).append(version or name)
    if len(versions) > 1 or len(exercises) > 1:
        raise UsageError("name one exercise and one version at most: as in `tito undo 02_tensor matmul 3`.")
    return (versions or [None])[0], (exercises or [""])[0]


def _list(course, module):
    from tito import attempts, tested, workspace

    if workspace.is_gone(module):
        tested.adopt(course, module)
    found = attempts.kept(course, module)
    if not found:
        click.echo(f"{module.id}: nothing is kept, since no command has replaced it yet.")
        return
    now = attempts.stands_there(module).decode("utf-8", "replace")
    width = max(len(attempts.why(f)) for f in found)
    for number, file in enumerate(found, 1):
        apart = attempts.lines_apart(file.read_text(encoding="utf-8", errors="replace"), now)
        when = attempts.when(file).strftime("%Y-%m-%d %H:%M:%S")
        differs = f"lines that differ from now: {apart}" if apart else "what stands there"
        click.echo(f"{number:3}  {when}  {attempts.why(file):<{width}}  {differs}")
    click.echo(f"The files are in {found[0].parent.relative_to(course.root).as_posix()}.", err=True)
