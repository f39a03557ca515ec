"""Hints: a ladder of three, one step more each time. How far a student went up is read from the log."""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import dataclass, replace

import click

from tito import log, lost, notes, workspace
from tito.course import Course, Module
from tito.errors import CourseError

STEPS = ("the idea", "the plan", "the key line")
WIDTH = 100
LABEL = max(map(len, STEPS)) + 5


@dataclass(frozen=True)
class Ladder:
    """An exercise's hints, and how many of them were shown."""

    module: Module
    exercise: str
    title: str
    hints: list[str]
    shown: int

    @property
    def at_the_top(self) -> bool:
        return self.shown >= len(self.hints)


def ladder(course: Course, module: Module, exercise: str) -> Ladder:
    """The hints of an exercise, as far as they were asked for."""
    workspace.reference_exercise(course, module, exercise)
    note = notes.notes(course, module).get(exercise, {})
    hints = list(map(str, note.get("hints", ())))
    if not hints:
        if lost.way_back(course, module):
            raise CourseError(lost.explanation(course, module))
        raise CourseError(f"{module.id} has no hints for {exercise}.")
    return Ladder(module, exercise, note["title"], hints, min(_asked(course, module, exercise), len(hints)))


def climb(course: Course, ladder: Ladder, to: int = 0) -> Ladder:
    """One step more, or up to a step; said in the log."""
    step = min(to or ladder.shown + 1, len(ladder.hints))
    log.record(course, "hint", module=ladder.module.id, exercise=ladder.exercise, level=step)
    return replace(ladder, shown=step)


def _asked(course: Course, module: Module, exercise: str) -> int:
    """The highest step in the log."""
    asked = [e for e in log.events(course, "hint") if e.get("exercise") == exercise and log.is_of(e, module)]
    return max((e["level"] for e in asked if isinstance(e.get("level"), int)), default=0)


def lines(ladder: Ladder, all_alike: bool = False) -> list[str]:
    """The steps so far, those before the last one dimmed."""
    width = min(shutil.get_terminal_size((WIDTH, 24)).columns, WIDTH) - LABEL - 2
    found = []
    for number, hint in enumerate(ladder.hints[: ladder.shown], 1):
        label = f"  {number}  {STEPS[number - 1]}" if number <= len(STEPS) else f"  {number}"
        rows = [row for line in hint.strip().splitlines() for row in textwrap.wrap(line, max(width, 20)) or [""]]
        text = [f"{'' if i else label:<{LABEL}}  {row}" for i, row in enumerate(rows)]
        earlier = number < ladder.shown and not all_alike
        found += [dimmed(row) if earlier else row for row in text]
    return found


def next_step(course: Course, ladder: Ladder) -> list[str]:
    """What to type after these steps."""
    command = f"{ladder.module.id} {ladder.exercise}"
    if not ladder.at_the_top:
        return [f"  one step more, {STEPS[ladder.shown]}:  tito hint {command}"]
    if ladder.exercise in workspace.unsolved(workspace.reference_chapter(course, ladder.module)):
        return ["  That was the last hint, and this edition holds no solution: ask whoever gave it to you."]
    return [f"  That was the last hint. What is left is the solution; what you wrote is kept:  tito solution {command}"]


def dimmed(text: str) -> str:
    """Dim on a terminal, plain elsewhere and under NO_COLOR."""
    import os

    return text if os.environ.get("NO_COLOR") else click.style(text, dim=True)
