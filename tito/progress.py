"""How far each chapter is, from its file and its last test."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from tito import lost, workspace
from tito.chapter import Chapter
from tito.course import Course, Module
from tito.files import read

CARRIED = ("exercises", "chapter_tests", "points", "points_possible", "regions")


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
    exercise_points: dict[str, float]  # name -> points there are
    changed_exercises: list[str]  # whose state is from before a change
    needs: dict[str, str]  # failing exercise -> the unsolved one it needs
    chapter_tests: dict[str, str]  # tests that belong to no exercise -> failing, passing
    problems: list[str]  # what kept the last test from running
    unreadable: str  # why nothing can be read in the chapter's file, and what brings it back
    tests_directory: bool  # whether tests/name failed
    installed: bool  # whether the package holds what passed
    go_on: str  # the command that finds the lost reference of a chapter that holds work

    def count(self, state: str) -> int:
        return sum(s == state for s in self.exercises.values())

    @property
    def next(self) -> str:
        """The exercise that needs work first: one that fails, then one to test, then one to do."""
        return self._first(("failing", "untested", "to do"))

    @property
    def stuck(self) -> str:
        """The exercise that a hint is for: of one that was not tested, nobody knows whether it needs any."""
        return self._first(("failing", "to do", "untested"))

    def _first(self, turns: tuple[str, ...]) -> str:
        open_ones = [(name, state) for name, state in self.exercises.items() if state != "passing"]
        return min(open_ones, key=lambda one: (one[0] in self.needs, turns.index(one[1])), default=("",))[0]

    @property
    def beside(self) -> list[str]:
        """What keeps a chapter whose exercises all pass from passing."""
        name = self.module.partition("_")[2]
        failing = [test for test, state in self.chapter_tests.items() if state != "passing"]
        said = [f"{', '.join(failing)} {'does' if len(failing) == 1 else 'do'} not pass"] if failing else []
        return said + ([f"tests/{name} does not pass"] if self.tests_directory else [])

    def as_data(self) -> dict:
        return asdict(self)


def progress(course: Course, module: Module) -> Progress:
    """Read off the student's file and the result of its last test; nothing is run."""
    unreadable = workspace.unreadable(course, module)
    chapter = Chapter(module.dev_path, "") if unreadable else module.chapter
    handed_out = workspace.reference_chapter(course, module) if workspace.is_started(course, module) else chapter
    kept = workspace.result(course, module)
    changed = bool(kept) and kept.get("source") != workspace.fingerprint(chapter.text)
    begun = workspace.is_begun(course, module)
    states, stale = _states(chapter, handed_out, kept)
    tests = {t["name"]: t for t in kept.get("chapter_tests", ())}
    points = {name: sum(t.points for t in handed_out.tests if t.exercise == name) for name in handed_out.exercises}
    reached = sum(points[name] for name, state in states.items() if state == "passing")
    reached += sum(t["points"] for t in tests.values() if t["state"] == "passing")
    passed = kept.get("passed") is True and not changed
    go_on = lost.way_back(course, module)
    return Progress(
        module=module.id,
        title=module.title,
        state=("passed" if passed else "in progress") if begun else "in progress" if go_on else "not started",
        exercises=states,
        points=reached if begun else 0,
        points_possible=sum(t.points for t in handed_out.tests),
        changed=changed,
        exercise_points=points,
        changed_exercises=stale,
        needs={e["name"]: e["needs"] for e in kept.get("exercises", ()) if e.get("needs") and e["name"] not in stale},
        chapter_tests={name: t["state"] for name, t in tests.items()},
        problems=[unreadable] if unreadable else [] if changed else kept.get("problems", []),
        unreadable=unreadable,
        tests_directory=bool(kept.get("tests_directory")),
        go_on=go_on,
        installed=bool(kept.get("installed")) and kept["installed"] == _package(course, module),
    )


def _states(chapter: Chapter, handed_out: Chapter, kept: dict) -> tuple[dict[str, str], list[str]]:
    """The state of each exercise, and the names of those that were changed after the test that says so."""
    blank = workspace.untouched(chapter, handed_out)
    tested = {e["name"]: e["state"] for e in kept.get("exercises", ())} if chapter.text.strip() else {}
    prints = kept.get("regions", {})
    states, stale = {}, []
    for name in handed_out.exercises:
        state = tested.get(name, "untested")
        same = name in chapter.exercises and prints.get(name) == workspace.fingerprint(chapter.exercises[name].text)
        if name in blank:
            state = "to do"
        elif not same and state == "to do":
            state = "untested"
        elif not same and state != "untested":
            stale.append(name)
        states[name] = state
    return states, stale


def _package(course: Course, module: Module) -> str:
    file = course.package / "core" / f"{module.name}.py"
    return workspace.fingerprint(read(file)) if file.exists() else ""


def to_keep(course: Course, module: Module, data: dict) -> dict:
    """What is remembered of a test's result; where the tests could not run, what was known of the exercises before."""
    prints = {name: workspace.fingerprint(region.text) for name, region in module.chapter.exercises.items()}
    if data["problems"] and not data["exercises"]:
        before = workspace.result(course, module)
        data, prints = data | {key: before[key] for key in CARRIED if key in before}, before.get("regions", {})
    return data | {"source": workspace.fingerprint(module.chapter.text), "regions": prints}


def latest(course: Course) -> Module | None:
    """The chapter in progress that was edited last; one whose file is gone comes before all."""
    begun = [m for m in course.modules if workspace.is_begun(course, m)]
    return max(begun, key=lambda m: m.dev.stat().st_mtime if m.dev.exists() else float("inf"), default=None)


def after(course: Course, module: Module) -> Progress | None:
    """The chapter to go on with: the first in progress, else the next that is not begun; None where all are passed."""
    others = [m for m in course.modules if m != module]
    rows = [progress(course, m) for m in others if workspace.is_begun(course, m)]
    open_ones = [row for row in rows if row.state == "in progress" or not row.installed]
    fresh = [m for m in others if not workspace.is_begun(course, m)]
    fresh.sort(key=lambda m: m.number < module.number)  # those that come later, then those that were left out
    return next(iter(open_ones), None) or next((progress(course, m) for m in fresh), None)
