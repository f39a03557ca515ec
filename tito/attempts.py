"""Earlier versions of a chapter, kept in `.tito/attempts`: each text once, under the last time it was replaced."""

from __future__ import annotations

import os
import re
from datetime import datetime, timedelta
from pathlib import Path

from tito.chapter import split_lines
from tito.course import Course, Module
from tito.errors import UsageError
from tito.files import write_atomically

BEFORE_START = "before-start"  # the reason of the one kind that is not work, but the course's own text
NOTHING = Path()  # where nothing stood, nothing is kept
STAMP = "%Y-%m-%d-%H%M%S-%f"
NAME = re.compile(r"(\d{4}-\d\d-\d\d-\d{6}-\d{6})-(.+)")


def kept(course: Course, module: Module) -> list[Path]:
    """What is kept of the chapter, the newest first."""
    files = (course.private / "attempts" / module.name).glob("*.py")
    return sorted((f for f in files if NAME.fullmatch(f.stem)), reverse=True)


def when(attempt: Path) -> datetime:
    return datetime.strptime(NAME.fullmatch(attempt.stem)[1], STAMP)


def why(attempt: Path) -> str:
    """What replaced it, as in "before reset of matmul"."""
    return NAME.fullmatch(attempt.stem)[2].replace("-", " ")


def is_work(attempt: Path) -> bool:
    """Whether it was in progress, and not the chapter as it was before `tito start`."""
    return NAME.fullmatch(attempt.stem)[2] != BEFORE_START


def save(
    course: Course, module: Module, reason: str, text: bytes | None = None, moment: datetime | None = None
) -> Path:
    """Keep what stands in the chapter's file, or another text of it, from an earlier moment.

    A text that is kept already becomes the newest one; only as work and as the course's own is one kept twice.
    Of a file that is missing or empty nothing is kept.
    """
    if text is None:
        text = stands_there(module)
    if not text:
        return NOTHING
    earlier = kept(course, module)
    now = moment or datetime.now()
    if earlier and not moment:
        now = max(now, when(earlier[0]) + timedelta(microseconds=1))  # whatever a clock does in autumn
    file = course.private / "attempts" / module.name / f"{now.strftime(STAMP)}-{reason}.py"
    alike = [f for f in earlier if is_work(f) == is_work(file)]
    same = [f for f in alike if f.stat().st_size == len(text) and f.read_bytes() == text]
    if same:
        os.replace(same[0], file)
    else:
        write_atomically(file, text)
    return file


def stands_there(module: Module) -> bytes:
    return module.dev.read_bytes() if module.dev.exists() else b""


def different(course: Course, module: Module) -> list[Path]:
    """What is kept and differs from what stands in the chapter's file, the newest first."""
    now = stands_there(module)
    return [f for f in kept(course, module) if f.read_bytes() not in (now, b"")]


def named(course: Course, module: Module, name: str) -> Path | None:
    """The version with a number of `tito undo --list`, or with a file's name; None where `name` is neither."""
    found = kept(course, module)
    if name.isdigit():
        if not 1 <= int(name) <= len(found):
            raise UsageError(f"there is no version {name} of {module.id}: tito undo {module.id} --list shows them.")
        return found[int(name) - 1]
    wanted = Path(name).name.removesuffix(".py")
    return next((f for f in found if f.stem == wanted), None)


def lines_apart(one: str, other: str) -> int:
    """How many lines would have to be written to make one text of the other."""
    import difflib

    matcher = difflib.SequenceMatcher(None, split_lines(one), split_lines(other), autojunk=False)
    return sum(max(b - a, d - c) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal")
