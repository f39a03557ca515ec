"""Arguments that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import click

from tito.course import Course, Module
from tito.errors import UsageError


def complete_module(context, parameter, incomplete):
    """Shell completion: the modules' names."""
    try:
        modules = Course.find().modules
    except Exception:  # completion must never print an error
        return []
    names = [n for m in modules for n in (m.id, m.name)]
    return [n for n in names if n.startswith(incomplete)]


def complete_exercise(context, parameter, incomplete):
    """Shell completion: the exercises of the module that stands before."""
    try:
        chapter = Course.find().module(context.params["module"]).chapter
    except Exception:
        return []
    return [n for n in chapter.exercises if n.startswith(incomplete)]


module_argument = click.argument("module", shell_complete=complete_module)
exercise_argument = click.argument("exercise", required=False, shell_complete=complete_exercise)
verbose_option = click.option("--verbose", is_flag=True, help="Show everything: pytest's output, whole tracebacks.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def one_module(course: Course, positional: str | None, option: str | None) -> Module | None:
    """A module named either way; naming two is a mistake."""
    if positional and option and course.module(positional) != course.module(option):
        raise UsageError(f"two modules are named, {positional} and {option}: name one.")
    name = positional or option
    return course.module(name) if name else None


def at_hand(course: Course, otherwise: Exception) -> Module:
    """The chapter that was edited last, where none is named."""
    from tito.progress import latest

    module = latest(course)
    if module is None:
        raise otherwise
    return module


def say_kept(course: Course, module: Module, kept: Path, exercise: str | None = "") -> None:
    """What every command says that has replaced text in a chapter."""
    from tito import attempts

    if kept == attempts.NOTHING:
        click.echo("  nothing stood there, so nothing more is kept")
        return
    again = f"tito undo {module.id}{f' {exercise}' if exercise else ''}"
    click.echo(f"  what stood there is kept: {kept.relative_to(course.root).as_posix()}")
    click.echo(f"  bring it back: {again}")
    click.echo("  a notebook that is open on it: File > Reload Notebook from Disk")


def sides(given: tuple[str, ...], ours: str, theirs: str, known: Collection[str] | None = None) -> Callable[..., str]:
    """What `--take` says of the first name it knows: one of the two words for everything, or `name=word`.

    Where the `known` names are given, it takes no other. Those of one chapter begin with its name and a colon.
    """
    words = {ours: "ours", theirs: "theirs"}
    chosen = {}
    for choice in given:
        name, _, word = choice.rpartition("=")
        if word not in words:
            raise UsageError(f"--take {choice}: it takes {ours} or {theirs}, or NAME={ours} for one thing.")
        if name and known is not None and name not in known:
            there = [k for k in known if k.startswith(f"{name.partition(':')[0]}:")]
            there = ", ".join(there or [k for k in known if ":" not in k]) or "none"
            raise UsageError(f"--take {choice}: nothing is called {name!r}. There are: {there}.")
        chosen[name] = words[word]
    return lambda *names: next((chosen[name] for name in names if name in chosen), chosen.get("", ""))


def show_conflicts(conflicts: list, titles: tuple[str, str]) -> None:
    """Both versions, side by side."""
    import shutil

    from tito.merge import REST, beside

    for conflict in conflicts:
        what = "outside the exercises, both changed" if conflict.name == REST else f"{conflict.name}: both changed it"
        click.echo(f"{what}\n")
        click.echo(beside(conflict.ours, conflict.theirs, titles, shutil.get_terminal_size((120, 24)).columns - 1))
