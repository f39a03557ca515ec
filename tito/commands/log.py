"""`tito log`."""

from __future__ import annotations

import click

from tito.commands.options import complete_module, json_option, verbose_option
from tito.course import Course


@click.command()
@click.argument("module", required=False, shell_complete=complete_module)
@click.option("--delete", is_flag=True, help="Say what the log holds, and delete it.")
@json_option
@verbose_option
def command(module, delete, as_json, verbose):
    """Show what was tried, asked and passed; or delete it.

    \b
      tito log               all of it, the oldest first
      tito log 07_autograd   of one chapter
      tito log --delete      delete it: nothing else needs it but `tito hint`,
                             which begins anew

    The log is .tito/log.jsonl. It never leaves this machine by itself.
    """
    from tito import log

    course = Course.find()
    if delete and (module or as_json):
        raise click.UsageError("--delete deletes the whole log, and stands alone.")
    chosen = course.module(module) if module else None
    events = [e for e in log.events(course) if chosen is None or log.is_of(e, chosen)]
    if as_json:
        import json

        click.echo(json.dumps({"events": events}, indent=1, ensure_ascii=False))
        return
    if delete:
        return _delete(course, events)
    for event in events:
        click.echo(_line(event))
    if events:
        click.echo("The log is .tito/log.jsonl, on this machine alone; tito log --delete deletes it.", err=True)
    else:
        click.echo("Nothing is logged yet." if chosen is None else f"Nothing is logged of {chosen.id}.")


def _delete(course, events: list[dict]) -> None:
    from tito import log

    if not log.file(course).exists():
        click.echo("There is no log: nothing was deleted.")
        return
    log.file(course).unlink()
    times = [str(e.get("time", ""))[:10] for e in events]
    span = f", {times[0]} to {times[-1]}" if times else ""
    click.echo(f"Deleted the log: {len(events)} {'event' if len(events) == 1 else 'events'}{span}.")
    click.echo("  Your chapters, attempts and results are untouched; hints begin anew.")


def _line(event: dict) -> str:
    """An event in a line."""
    when = str(event.get("time", ""))[:16].replace("T", " ")
    kind = str(event.get("event", ""))
    said = _test(event) if kind == "test" else _other(event)
    return f"{when:<16}  {event.get('module', '')!s:<16} {kind:<9} {said}".rstrip()


def _other(event: dict) -> str:
    from tito.hints import STEPS

    level = event.get("level")
    step = f", {STEPS[level - 1]}" if isinstance(level, int) and 0 < level <= len(STEPS) else ""
    return f"{event.get('exercise', '')}{step}"


def _test(event: dict) -> str:
    states = event.get("exercises")
    if event.get("problems") or not isinstance(states, dict):
        return "could not be run"
    passing = f"{sum(state == 'passing' for state in states.values())} of {len(states)} exercises pass"
    mistakes = event.get("mistakes") or {}
    failing = [name for name, state in states.items() if state == "failing"]
    named = ", ".join(f"{name} ({mistakes[name]})" if name in mistakes else name for name in failing)
    return ("passed" if event.get("passed") else passing) + (f"; failing: {named}" if named else "")
