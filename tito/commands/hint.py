"""`tito hint`."""

from __future__ import annotations

import click

from tito.commands.options import at_hand, complete_module, exercise_argument, json_option, verbose_option
from tito.course import Course
from tito.errors import CourseError

NONE = "no chapter is in progress: tito start M begins one, tito hint M EXERCISE names one."


@click.command()
@click.argument("module", required=False, shell_complete=complete_module)
@exercise_argument
@click.option("--again", is_flag=True, help="Only the steps that were shown already.")
@click.option("--all", "everything", is_flag=True, help="All three steps, whatever the exercise's state.")
@json_option
@verbose_option
def command(module, exercise, again, everything, as_json, verbose):
    """Get a hint, one step more each time.

    \b
      tito hint                        for the exercise that needs work first
      tito hint 07_autograd            ... of this chapter
      tito hint 07_autograd backward   for one exercise
      tito hint 07_autograd backward --again   what was shown already, no step more

    How far you went is read from the log (tito log); without it, hints begin anew.
    """
    from tito import hints, progress

    if again and everything:
        raise click.UsageError("--again or --all, not both.")
    course = Course.find()
    chosen = course.module(module) if module else at_hand(course, CourseError(NONE))
    row = progress.progress(course, chosen)
    name = exercise or row.stuck
    if not everything:
        if row.unreadable:
            raise CourseError(row.unreadable)
        _begun(chosen, row)
        if not name:
            return _nothing_to_ask(row, "", as_json)
    found = hints.ladder(course, chosen, name or next(iter(row.exercises)))
    passes = row.exercises[found.exercise] == "passing" and found.exercise not in row.changed_exercises
    if passes and not (everything or again):
        return _nothing_to_ask(row, found.exercise, as_json)
    if everything or not again and not found.at_the_top:
        found = hints.climb(course, found, len(found.hints) if everything else 0)
    _show(course, row, found, everything, as_json)


def _begun(module, row):
    if row.state == "not started" and "to do" not in row.exercises.values():
        raise CourseError(
            f"{module.id} is not in progress: its solutions stand in {module.dev_path}.\n"
            f"  tito start {module.id} blanks them; tito hint {module.id} EXERCISE --all shows hints all the same."
        )


def _nothing_to_ask(row, exercise: str, as_json: bool) -> None:
    if as_json:
        _json(row, exercise, 0, [], [])
        return
    if exercise:
        click.echo(f"{exercise} passes already. tito hint {row.module} {exercise} --all shows its hints.")
    else:
        click.echo(f"{row.module}: every exercise passes, there is nothing to hint at.")


def _show(course, row, found, everything: bool, as_json: bool) -> None:
    from tito import hints

    if as_json:
        _json(row, found.exercise, found.shown, found.hints[: found.shown], found.hints)
        return
    click.echo(f"{found.exercise}  {found.title}".rstrip())
    if found.exercise in row.needs:
        needed = row.needs[found.exercise]  # of an earlier chapter: with that chapter's name before it
        click.echo(f"  It needs {needed} first: tito hint {needed if ' ' in needed else f'{row.module} {needed}'}")
    for line in hints.lines(found, everything):
        click.echo(line)
    if not found.shown:
        click.echo("  No hint was shown yet.")
    for line in hints.next_step(course, found):
        click.echo(line)


def _json(row, exercise: str, step: int, shown: list[str], steps: list[str]) -> None:
    import json

    state = row.exercises.get(exercise, "")
    data = {"module": row.module, "exercise": exercise, "state": state, "step": step, "steps": len(steps)}
    click.echo(json.dumps(data | {"hints": shown}, indent=1, ensure_ascii=False))
