"""Replacing many files as one: staged, decided in one step, carried out, and carried on after a kill.

`.tito/update` holds a change under way: `old/` what stands there now, `new/` what will, and `plan.json`, whose
appearance decides that the change happens. Carried out, the directory moves to `.tito/updates`, from where the change
can be undone.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from tito.course import Course
from tito.errors import CourseError
from tito.files import read, write_atomically
from tito.merge import merge


@dataclass
class Change:
    """Files to write and to remove, by their paths in the course."""

    source: str = ""
    write: dict[str, bytes] = field(default_factory=dict)
    remove: list[str] = field(default_factory=list)
    executable: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)  # chapters in progress, as the change writes them
    moved: dict[str, str] = field(default_factory=dict)  # where the change writes a chapter that stood elsewhere
    retest: list[str] = field(default_factory=list)  # chapters whose own version was in the package
    undoes: str = ""  # the change that this one takes back


def stage(course: Course) -> Path:
    return course.private / "update"


def interrupted(course: Course) -> bool:
    """Whether a change was decided and not carried out to its end."""
    return (stage(course) / "plan.json").exists()


def refuse(course: Course) -> None:
    """Raise where a change was decided and not carried out: one file may be the old one, and the next the new."""
    if interrupted(course):
        raise CourseError("an update of the course was interrupted: tito update carries it on. Nothing was changed.")


def decide(course: Course, change: Change) -> None:
    """Put everything on disk that the change needs, and then decide it."""
    directory = stage(course)
    shutil.rmtree(directory, ignore_errors=True)  # left by a change that was never decided
    paths = [*change.write, *change.remove]
    if closed := sorted({d for d in (_directory(course.root / path) for path in paths) if not os.access(d, os.W_OK)}):
        names = ", ".join(d.relative_to(course.root).as_posix() for d in closed)
        raise CourseError(f"{names} cannot be written: read-only for you. Nothing was changed.")
    fresh = [path for path in paths if not (course.root / path).exists()]
    for path in set(paths) - set(fresh):
        _copy(course.root / path, directory / "old" / path)
    for path, data in change.write.items():
        file = directory / "new" / path
        write_atomically(file, data)
        if path in change.executable:
            file.chmod(0o755)
    plan = asdict(change) | {"write": sorted(change.write), "fresh": fresh}
    write_atomically(directory / "plan.json", json.dumps(plan, indent=1))


def carry_out(course: Course, keep) -> dict:
    """Do what was decided, from wherever it stopped; the plan. `keep(path)` saves a chapter that was edited since."""
    directory = stage(course)
    plan = json.loads(read(directory / "plan.json"))
    for path in plan["write"]:
        if (directory / "new" / path).exists():  # else it was put in place before a kill
            _put(course, directory, path, keep)
    for path in plan["remove"]:
        (course.root / path).unlink(missing_ok=True)
        _remove_empty(course.root / path)
    return plan


def close(course: Course) -> Path:
    """The change is done: keep what can undo it."""
    done = course.private / "updates" / datetime.now().strftime("%Y-%m-%d-%H%M%S-%f")
    done.parent.mkdir(parents=True, exist_ok=True)
    os.replace(stage(course), done)
    return done


def last(course: Course) -> Path | None:
    """The newest change that was not undone."""
    done = sorted((course.private / "updates").glob("*/plan.json"), reverse=True)
    undone = {json.loads(read(file))["undoes"] for file in done}
    return next((f.parent for f in done if f.parent.name not in undone and not json.loads(read(f))["undoes"]), None)


def _directory(file: Path) -> Path:
    """The innermost directory around a file that is there already."""
    return next(d for d in file.parents if d.exists())


def _put(course: Course, directory: Path, path: str, keep) -> None:
    target, new, old = course.root / path, directory / "new" / path, directory / "old" / path
    found = target.read_bytes() if target.exists() else b""
    if found != (old.read_bytes() if old.exists() else b"") and found != new.read_bytes():
        _edited(path, target, new, old, keep)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(new, target)


def _edited(path: str, target: Path, new: Path, old: Path, keep) -> None:
    """The file was edited after the change was decided: merge the edit in, and keep it as it was."""
    if not keep(path) or not old.exists():
        _copy(target, old)
        return
    write_atomically(new, merge(*(read(file) for file in (old, target, new)), lambda name: "ours")[0])


def _copy(file: Path, copy: Path) -> None:
    write_atomically(copy, file.read_bytes())
    copy.chmod(file.stat().st_mode & 0o777)


def _remove_empty(file: Path) -> None:
    """Remove the directories that a removed file leaves empty."""
    for directory in file.parents:
        try:
            directory.rmdir()
        except OSError:
            return
