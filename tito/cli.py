"""The command line: one verb a command, one file a verb, imported when it is called."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
from pathlib import Path

import click

from tito.errors import CourseError

GROUPS = {
    "Work on a chapter": ("start", "jupyter", "test", "hint", "status", "reset", "solution", "undo"),
    "Use the library": ("demo", "bench", "notebook", "book"),
    "Keep the course in order": ("update", "export", "doctor", "log", "completion"),
    "Teach a class": ("release", "grade"),
}
COMMANDS = {name: f"tito.commands.{name}" for names in GROUPS.values() for name in names}

# What people type who have used other tools.
MEANT = {
    "answer": "solution",
    "begin": "start",
    "check": "test",
    "clean": "reset",
    "continue": "`tito` alone",
    "fix": "doctor --fix",
    "install": "doctor --fix",
    "lab": "jupyter",
    "list": "status",
    "next": "`tito` alone",
    "open": "jupyter",
    "progress": "status",
    "pull": "update",
    "redo": "undo",
    "restore": "undo",
    "revert": "undo",
    "run": "test",
    "solve": "solution",
    "upgrade": "update",
    "verify": "test",
    "watch": "test --watch",
}
HAND_IN = "What you hand in is a chapter's file, and `tito` sends it nowhere: `tito status` says how far it is."


class Lazy(click.Group):
    """A group that imports a command when it is asked for."""

    def list_commands(self, context):
        return list(COMMANDS)

    def get_command(self, context, name):
        if name not in COMMANDS:
            return None
        return importlib.import_module(COMMANDS[name]).command

    def resolve_command(self, context, arguments):
        try:
            return super().resolve_command(context, arguments)
        except click.UsageError as error:
            import difflib

            asked = arguments[0].lower()
            close = [MEANT[asked]] if asked in MEANT else difflib.get_close_matches(asked, COMMANDS, n=2)
            hint = f"Did you mean {' or '.join(close)}?" if close else "`tito --help` lists the commands."
            hint = HAND_IN if asked in ("submit", "turnin") else hint
            raise click.UsageError(f"there is no command {arguments[0]!r}. {hint}", context) from error

    def format_commands(self, context, formatter):
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name, SUMMARIES[name]) for name in names])


# Beside the commands, so that --help need not import them; a test compares these with their docstrings.
SUMMARIES = {
    "start": "Begin a chapter: blank its exercises, or go on where you were.",
    "jupyter": "Open JupyterLab, where a chapter opens as a notebook.",
    "test": "Run a chapter's tests against your code.",
    "hint": "Get a hint, one step more each time.",
    "status": "Show progress in every chapter.",
    "reset": "Blank an exercise, or all of a chapter; what you wrote is kept.",
    "solution": "Put the reference solution in; what you wrote is kept.",
    "undo": "Put back what a command replaced, in a chapter or an exercise.",
    "demo": "Train a network on real data with the package.",
    "bench": "Measure speed and memory beside other frameworks.",
    "notebook": "Write a chapter as a Jupyter notebook, or bring an edited one back.",
    "book": "Make the course into a site, and show it.",
    "export": "Rebuild the package from the chapters.",
    "update": "Bring a new release of the course into your work.",
    "doctor": "Check the environment, and repair what can be.",
    "log": "Show what was tried, asked and passed; or delete it.",
    "completion": "Print the line that switches on shell completion.",
    "release": "Write the students' edition: the course without its solutions.",
    "grade": "Grade submissions, each in a sandbox.",
}


@click.group(cls=Lazy, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=None, version="0.1.0", prog_name="tito", message="%(prog)s %(version)s")
@click.pass_context
def cli(context):
    """Build a deep-learning framework, one chapter at a time.

    \b
      tito                             where you are, and what to type next
      tito start 02_tensor             begin a chapter
      tito jupyter --module 02_tensor  write it, as a notebook
      tito test --module 02_tensor     test what you wrote
      tito test --all                  test everything, in order

    A module is named by directory, name or number: 07_autograd, autograd, 7.
    """
    if context.invoked_subcommand is None:
        from tito.commands.where import show

        show()


def main() -> None:
    """Run the command; errors of the course in the student's words, all others as they are."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")
    verbose = "--verbose" in sys.argv
    try:
        status = cli.main(prog_name="tito", standalone_mode=False) or 0
    except click.exceptions.Abort:
        fail("interrupted.", 130)
    except click.ClickException as error:
        show_usage(error)
    except CourseError as error:
        if verbose:
            raise
        fail(str(error), error.status)
    except KeyboardInterrupt:
        fail("interrupted.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if verbose:
            raise
        fail(explain(error), 1)
    sys.exit(status)


def show_usage(error: click.ClickException) -> None:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "tito"
    click.echo(f"tito: {error.format_message()}", err=True)
    if isinstance(error, click.UsageError):
        click.echo(f"  {command} --help shows how it is used.", err=True)
    sys.exit(error.exit_code)


def fail(message: str, status: int) -> None:
    click.echo(f"tito: {message}", err=True)
    sys.exit(status)


def explain(error: OSError) -> str:
    """A file that cannot be read or written, in a sentence."""
    name = Path(error.filename).name if error.filename else "a file"
    full = f" ({error.filename})" if error.filename else ""
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return f"{name} cannot be written here{full}: the directory is read-only for you. Nothing was changed."
    if error.errno in (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return f"{name} cannot be written{full}: {error.strerror}. Nothing was changed; make room and try again."
    return f"{name}: {error.strerror or error}{full}."
