"""`tito update`."""

from __future__ import annotations

from pathlib import Path

import click

from tito.commands.options import show_conflicts, sides, verbose_option
from tito.course import Course


@click.command()
@click.argument("where", required=False, default="", metavar="[FOLDER_OR_ZIP]")
@click.option("--check", is_flag=True, help="Show what would happen, and change nothing.")
@click.option("--take", multiple=True, metavar="SIDE", help="Where both changed: mine or release.")
@click.option("--undo", "take_back", is_flag=True, help="Take the last update back.")
@verbose_option
def command(where, check, take, take_back, verbose):
    """Bring a new release of the course into your work.

    \b
      tito update tinytorch-2.zip           from a download, packed or unpacked
      tito update                           in a git clone: fetch the course, and merge what is new
      tito update tinytorch-2.zip --check   what would happen
      tito update --undo                    the course as it was before

    A chapter in progress gets the release's prose and tests, and keeps your exercises and
    cells. What you and the release both changed is shown, and nothing is written until
    --take chooses. Interrupted, the same command carries on.
    """
    from tito import log, sources, transaction, update

    course = Course.find()
    if transaction.interrupted(course) and not check:
        click.echo("An update was interrupted; it is carried on.", err=True)
        return _finish(course, update)
    if take_back:
        if take:
            raise click.UsageError("--take chooses what a release brings; --undo has nothing to choose.")
        planned, source = update.undo(course), ""
    else:
        source = where or sources.upstream(course)
        chosen = sides(take, "mine", "release", update.names(course))
        with sources.opened(course, source) as release:
            planned = update.plan(course, release, source, lambda m, name: chosen(f"{m.name}:{name}", m.name))
    for line in planned.said:
        click.echo(line)
    if planned.conflicts:
        for module, conflict in planned.conflicts:
            show_conflicts([conflict], (f"yours, {module.dev_path}", "the release's"))
        raise update.conflict_error(planned, f"tito update {where}".rstrip())
    if not planned.change.write and not planned.change.remove:
        click.echo("Nothing is new: the course here is that release.")
    elif check:
        click.echo("Nothing was changed: this was --check.")
    else:
        update.apply(course, planned)
        log.record(course, "update", source=planned.change.source)
        _finish(course, update)
        if source and not Path(source).expanduser().exists():
            click.echo(RECORD.format(source=source))
    return 0


RECORD = """To record it in git, so that later pulls know of it:
  git merge --no-commit --strategy ours {source}
  git add --all
  git commit"""


def _finish(course, update):
    for line in update.finish(course):
        click.echo(line)
    click.echo("  a notebook that is open: File > Reload Notebook from Disk")
    return 0
