"""`tito export`."""

from __future__ import annotations

import click

from tito.commands.options import complete_module, verbose_option
from tito.course import Course


@click.command()
@click.argument("modules", nargs=-1, shell_complete=complete_module)
@click.option("--all", "everything", is_flag=True, help="Every chapter (also what `tito export` alone does).")
@click.option("--check", is_flag=True, help="Change nothing; fail where the package is not what the chapters say.")
@verbose_option
def command(modules, everything, check, verbose):
    """Rebuild the package from the chapters.

    \b
      tito export 07_autograd   one chapter, finished or not
      tito export --all         every chapter but those in progress
      tito export --check       prove that the package is what the chapters say

    All files are written, or none. Exit status: 0 done, 1 a chapter cannot be
    exported or the check failed, 2 the command was wrong.
    """
    from tito import derived

    if modules and everything:
        raise click.UsageError("name modules or --all, not both.")
    course = Course.find()
    named = [course.module(name) for name in modules]
    return derived.check(course, named) if check else derived.export(course, named)
