"""`tito book`."""

from __future__ import annotations

from pathlib import Path

import click

from tito.course import Course
from tito.errors import CourseError

SITE = Path("_build") / "html"
EXTRAS = ("book", "serve", "onnx", "numba")  # the chapters show what they can where these are installed


@click.group(invoke_without_command=True)
@click.option("--check", is_flag=True, help="Only see whether the book's contents are what the chapters say.")
@click.pass_context
def command(context, check):
    """Make the course into a site, and show it.

    \b
      tito book build      run every chapter, and write the site to _build/html
      tito book serve      show it
      tito book --check    see whether _toc.yml and the overviews are up to date
    """
    if check:
        context.exit(_check(Course.find()))
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@command.command()
@click.option("--students", is_flag=True, help="Without the reference solutions.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Where to; otherwise _build/html.")
@click.option("--quick", is_flag=True, help="Run chapters that measure beside others, too: they measure less exactly.")
def build(students, out, quick):
    """Run every chapter, and write the site.

    Installs what makes it into .venv-book on first use. A chapter that did not change since the last time is not run
    again.
    """
    import subprocess

    from tito.environment import Environment, SetupError
    from tito.jupyter import environment

    course = Course.find()
    if code := _check(course, quiet=True):
        raise click.exceptions.Exit(code)
    target = (out or course.root / SITE).absolute()
    if target.exists() and any(target.iterdir()) and not (target / "objects.inv").exists():
        raise CourseError(f"{target} holds other things than a book: name a directory that is new or empty.")
    own = Environment(course.root, ".venv-book")
    try:
        own.prepare(*EXTRAS)
    except SetupError as error:
        raise CourseError(str(error)) from error
    options = [name for name, chosen in (("--students", students), ("--quick", quick)) if chosen]
    line = [str(own.python), "-P", "-m", "tito.book", str(target), *options]
    if code := subprocess.call(line, cwd=course.root, env=environment(course)):
        raise click.exceptions.Exit(code)
    click.echo(f"the book: {target / 'index.html'}; tito book serve shows it.")


@command.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option("--dir", "folder", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Of the site.")
def serve(port, folder):
    """Show the site on this machine, until Ctrl-C."""
    from tito.book import server

    site = folder or Course.find().root / SITE
    if not (site / "index.html").exists():
        raise CourseError(f"there is no book in {site}: tito book build makes it.")
    try:
        server.serve(site, port, lambda address: click.echo(f"the book: {address}  (Ctrl-C ends it)"))
    except OSError as error:
        raise CourseError(f"port {port} cannot be had ({error.strerror}): --port 0 takes a free one.") from error


def _check(course: Course, quiet: bool = False) -> int:
    """1 where the contents or an overview are not what the chapters say, each named."""
    from tito import derived
    from tito.book import contents

    wrong = [*derived.stale_documents(course), *contents.missing(course)]
    for line in wrong:
        click.echo(line)
    if wrong:
        click.echo("tito: the book is out of date: tito export --all brings the generated parts up to date.", err=True)
        return 1
    if not quiet:
        click.echo("_toc.yml and the overviews are what the chapters say.")
    return 0
