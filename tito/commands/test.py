"""`tito test`."""

from __future__ import annotations

import click

from tito.commands.options import at_hand, complete_module, exercise_argument, json_option, one_module, verbose_option
from tito.course import Course


@click.command()
@click.argument("module", required=False, shell_complete=complete_module)
@exercise_argument
@click.option("--module", "-m", "option", metavar="M", shell_complete=complete_module, help="The chapter to test.")
@click.option("--all", "everything", is_flag=True, help="Every chapter in order, then tests/.")
@click.option("-k", "select", metavar="EXPR", default="", help="Only tests whose names match, as in pytest.")
@click.option("--watch", "-w", "watched", is_flag=True, help="Again on every save, an exercise at a time.")
@click.option("--poll", is_flag=True, help="With --watch: look at the file again and again, as network drives need it.")
@click.option("--traceback", is_flag=True, help="Every failure in full: the whole traceback, and what was printed.")
@json_option
@verbose_option
def command(module, exercise, option, everything, select, watched, poll, traceback, as_json, verbose):
    """Run a chapter's tests against your code.

    \b
      tito test --module 07_autograd            one chapter
      tito test 07_autograd backward            one exercise
      tito test --module 07_autograd -k chain   only tests named like "chain"
      tito test                                 the chapter that you edited last
      tito test --module 07_autograd --watch    again on every save, until it passes
      tito test --module 07_autograd --traceback   every failure in full, with its traceback
      tito test --all                           every chapter, in order

    Your file is exported into a scratch copy of the package and tested there.
    When all of it passes, it becomes part of tinytorch/core.

    Exit status: 0 all passed, 1 a test failed, 2 the command was wrong.
    """
    from tito import suite, workspace

    course = Course.find()
    if module and option and module in workspace.reference_chapter(course, course.module(option)).exercises:
        module, exercise = None, module
    chosen = one_module(course, module, option)
    if chosen and everything:
        raise click.UsageError("name one module, or --all: as in `tito test --module 02_tensor`.")
    if poll and not watched:
        raise click.UsageError("--poll belongs to --watch.")
    if exercise and (select or watched):
        raise click.UsageError(f"{exercise} and {'-k' if select else '--watch'}: one or the other.")
    if watched and (everything or select or as_json):
        raise click.UsageError("--watch goes through one chapter, an exercise at a time: without --all, -k, --json.")
    if not (chosen or everything):
        said = "no chapter is in progress: name one, or --all, as in `tito test --module 02_tensor`."
        chosen = at_hand(course, click.UsageError(said))
    if exercise:
        workspace.reference_exercise(course, chosen, exercise)
    if watched:
        from tito import watch

        return watch.watch(course, chosen, poll)
    detail = 2 if verbose else int(traceback)
    if everything:
        return suite.every_module(course, select, as_json, detail)
    return suite.one_module(course, chosen, select, as_json, detail, exercise)
