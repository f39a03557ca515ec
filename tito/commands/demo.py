"""`tito demo`."""

from __future__ import annotations

import ast
from pathlib import Path

import click

from tito.errors import CourseError, UsageError

DEMOS = Path(__file__).resolve().parent.parent / "demos"


def demos() -> dict[str, Path]:
    """The demos there are, by name."""
    return {file.stem: file for file in sorted(DEMOS.glob("[a-z]*.py"))}


def complete_demo(context, parameter, incomplete):
    """Shell completion: the demos' names."""
    return [name for name in demos() if name.startswith(incomplete)]


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("name", required=False, shell_complete=complete_demo)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(name, arguments):
    """Train a network on real data with the package.

    \b
      tito demo                 the demos there are
      tito demo digits          run one
      tito demo digits --help   what can be chosen in it
    """
    import importlib

    known = demos()
    if name is None:
        for demo, file in known.items():
            click.echo(f"{demo:<12} {_first_line(file)}")
        if not known:
            click.echo("tito: this course has no demos yet.", err=True)
        return 0
    if name not in known:
        raise UsageError(f"there is no demo {name!r}. There are: {', '.join(known) or 'none yet'}.")
    try:
        import tinytorch  # noqa: F401
    except ImportError as error:  # without NumPy, or with an old one
        raise CourseError(f"{error}\n  tito doctor says what the course needs.") from error
    try:
        return importlib.import_module(f"tito.demos.{name}").main(list(arguments))
    except (NotImplementedError, ModuleNotFoundError) as error:
        if said := _unfinished(error):
            raise said from error
        raise


def _unfinished(error: Exception) -> CourseError | None:
    """What a demo says of an exercise that is not solved, or of a chapter that this edition does not hold."""
    missing = (getattr(error, "name", None) or "").removeprefix("tinytorch.core.")
    if isinstance(error, ModuleNotFoundError) and missing != error.name:
        return CourseError(f"the demo needs the chapter {missing}, which this edition of the course does not hold.")
    if isinstance(error, NotImplementedError) and str(error).startswith("exercise "):
        return CourseError(f"the demo needs what is still to do: {error}.\n  tito status shows every chapter.")
    return None


def _first_line(file: Path) -> str:
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0]
