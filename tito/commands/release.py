"""`tito release`."""

from __future__ import annotations

from pathlib import Path

import click

from tito.commands.options import verbose_option
from tito.course import Course


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--modules", metavar="M,M-M", default="", help="The chapters to hand out, if not those of settings.ini.")
@click.option("--solutions", metavar="M,M-M", default="", help="Chapters among these that keep their solutions.")
@click.option("--without-tests", is_flag=True, help="Hold back tests/; the chapters' own tests are always there.")
@verbose_option
def command(directory, modules, solutions, without_tests, verbose):
    """Write the students' edition: the course without its solutions.

    \b
      tito release ../students                           every chapter, blank
      tito release ../students --modules 02-07           01 given solved, 02 to 07 blank
      tito release ../students --solutions 02_tensor     02 keeps its solutions
      tito release ../students.zip                       as a zip file

    Chapters before the first that is handed out are given with their solutions, later
    ones are left out. DIR has to be new or empty. Nothing is put there unless no file
    of the edition holds a line of a solution.
    """
    from tito import release

    course = Course.find()
    edition = release.choose(course, modules, solutions)
    done = release.write(edition, directory, tests=not without_tests)
    click.echo(f"{directory}: {len(edition.blank)} chapters to solve, {', '.join(m.id for m in edition.blank)}")
    if edition.solved:
        click.echo(f"  with solutions: {', '.join(m.id for m in edition.solved)}")
    if done.shortened:
        click.echo(f"  {len(done.shortened)} exercises have a hint that quotes the solution: it shows half the line")
    click.echo(f"  none of its {done.files} files holds any of {done.lines} lines of the solutions")
    if verbose:
        _list("exercises with such a hint", done.shortened)
        count = f"{len(done.left_out)} recorded mistakes that only held-back checks meet, and so are left out"
        _list(count, done.left_out)
        _list("lines of solutions that are usage, since other code holds them too", done.usage)


def _list(title: str, lines: list[str]) -> None:
    if lines:
        click.echo("\n    ".join([f"  {title}:", *lines]))
