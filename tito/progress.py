"""How far each chapter is, from its file and its last test."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from tito import workspace
from tito.course import Course, Module


@dataclass(frozen=True)
class Progress:
    """Where a chapter stands."""

    module: str
    title: str
    state: str  # not started, in progress, passed
    exercises: dict[str, str]  # name -> to do, failing, passing, untested
    points: float
    points_possible: float
    changed: bool  # since the last test

    def count(self, state: str) -> int:
        return sum(s == state for s in self.exercises.values())

    def as_data(self) -> dict:
        return asdict(self)


def progress(course: Course, module: Module) -> Progress:
    """Read off the student's file and the result of its last test; nothing is run."""
    handed_out = workspace.reference_chapter(course, module)
    kept = workspace.result(course, module)
    current = kept.get("source") == workspace.fingerprint(module.chapter.text)
    tested = {e["name"]: e["state"] for e in kept.get("exercises", ())} if current else {}
    blank = workspace.unsolved(module.chapter, handed_out)
    states = {name: "to do" if name in blank else tested.get(name, "untested") for name in handed_out.exercises}
    possible = sum(t.points for t in handed_out.tests)
    points = kept.get("points", 0) if current else 0
    begun = workspace.is_started(course, module)
    passed = current and kept.get("passed") is True
    state = ("passed" if passed else "in progress") if begun else "not started"
    return Progress(
        module.id, module.title, state, states, points if begun else 0, possible, bool(kept) and not current
    )


def latest(course: Course) -> Module | None:
    """The chapter in progress that was edited last."""
    begun = [m for m in course.modules if workspace.is_started(course, m)]
    return max(begun, key=lambda m: m.dev.stat().st_mtime, default=None)
