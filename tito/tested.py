"""The texts of a chapter that were tested last and passed last, in `.tito/tested`, should its file be lost.

They are no earlier versions as `tito undo` has them: no command has replaced them.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from tito import attempts
from tito.course import Course, Module
from tito.files import read, replace_all

KEPT = {"last": "when tested last", "passed": "when it passed last"}


def keep(course: Course, module: Module, passed: bool) -> None:
    """Keep the text that was tested, in the place of the one before."""
    try:
        replace_all({_file(course, module, name): module.chapter.text for name in KEPT if passed or name == "last"})
    except OSError:
        return  # a read-only checkout, or a full disk: the result has been shown all the same


def versions(course: Course, module: Module) -> list[tuple[datetime, str, str]]:
    """When, what, and how that reads."""
    files = {_file(course, module, name): why for name, why in KEPT.items()}
    return [(datetime.fromtimestamp(f.stat().st_mtime), read(f), why) for f, why in files.items() if f.exists()]


def adopt(course: Course, module: Module) -> None:
    """Put them among the earlier versions, where they are not there already and stand nowhere else."""
    there = {attempts.stands_there(module), *(f.read_bytes() for f in attempts.kept(course, module))}
    for moment, text, why in reversed(versions(course, module)):  # of one text, that it passed is said
        if text.encode() not in there:
            attempts.save(course, module, why.replace(" ", "-"), text.encode(), moment)
            there.add(text.encode())


def _file(course: Course, module: Module, name: str) -> Path:
    return course.private / "tested" / module.name / f"{name}.py"
