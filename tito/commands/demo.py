"""`tito demo`."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import click

from tito.errors import CourseError, UsageError

DEMOS = Path(__file__).resolve().parent.parent / "demos"


def demos() -> dict[str, Path]:
    """The demos there are, by name."""
    return {file.stem: file for file in sorted(DEMOS.glob("[a-z]*.py"))}


class Demos(click.Group):
    """The demos, each a command of its own that is imported when it is asked for."""

    def list_commands(self, context):
        return list(demos())

    def get_command(self, context, name):
        return importlib.import_module(f"tito.demos.{name}").command if name in demos() else None

    def resolve_command(self, context, arguments):
        if arguments[0] not in demos():
            raise UsageError(f"there is no demo {arguments[0]!r}. There are: {', '.join(demos()) or 'none yet'}.")
        return super().resolve_command(context, arguments)

    def invoke(self, context):
        try:
            return super().invoke(context)
        except (NotImplementedError, ImportError) as error:
            if said := _unfinished(error):
                raise said from error
            raise


@click.group(cls=Demos, invoke_without_command=True)
@click.pass_context
def command(context):
    """Train a network on real data with the package.

    \b
      tito demo                 the demos there are
      tito demo digits          run one
      tito demo digits --help   what can be chosen in it
    """
    if context.invoked_subcommand is not None:
        return
    for demo, file in demos().items():
        click.echo(f"{demo:<12} {_first_line(file)}")
    if not demos():
        click.echo("tito: this course has no demos yet.", err=True)


def _unfinished(error: Exception) -> CourseError | None:
    """What a demo says of an unsolved exercise, a chapter this edition does not hold, or a library that is missing."""
    missing = (getattr(error, "name", None) or "").removeprefix("tinytorch.core.")
    if isinstance(error, ModuleNotFoundError) and missing != error.name:
        return CourseError(f"the demo needs the chapter {missing}, which this edition of the course does not hold.")
    if isinstance(error, NotImplementedError) and str(error).startswith("exercise "):
        return CourseError(f"the demo needs what is still to do: {error}.\n  tito status shows every chapter.")
    if isinstance(error, ImportError) and missing.partition(".")[0] in ("", "numpy", "matplotlib"):  # "": too old
        return CourseError(f"{error}\n  tito doctor says what the course needs.")
    return None


def _first_line(file: Path) -> str:
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0]
