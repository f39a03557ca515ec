"""The solutions of a chapter, given later to students whose edition holds none."""

from __future__ import annotations

from pathlib import Path

from tito import derived, export, workspace
from tito.chapter import Chapter
from tito.course import Course, Module
from tito.errors import CourseError
from tito.files import replace_all
from tito.release import without_hidden_tests


def unlock(course: Course, module: Module, file: Path) -> bool:
    """Keep a chapter with its solutions as the reference; whether the package holds them now.

    `file` is the chapter, or another edition of the course. What the student wrote stays as it is. The package
    takes the solutions unless it holds what the student has put there.
    """
    sent = _sent(module, file)
    with workspace.alone(course):
        mine = workspace.reference_chapter(course, module)
        if workspace.blanked(sent) != workspace.blanked(mine):
            raise CourseError(
                f"{file}: this is not the chapter {module.id} as you have it, or it is of another release.\n"
                "  Nothing was changed. Ask for the file of your release, or bring the course up to date first."
            )
        target, solved = export.target(course, module), export.generate(course, module, sent.text)
        held = derived.current(target) in (workspace.cached_export(course, module, mine), solved)
        replace_all({workspace.reference(course, module): sent.text} | ({target: solved} if held else {}))
        return held


def _sent(module: Module, file: Path) -> Chapter:
    """The chapter in a file, or in another edition, as students get it."""
    found = file / module.dev.relative_to(module.root) if file.is_dir() else file
    if not found.is_file():
        raise CourseError(f"{found} is no file: name the {module.dev.name} that you were sent, or the new edition.")
    sent = Chapter.read(found)
    if not sent.exercises or workspace.unsolved(sent):
        raise CourseError(f"{found} holds no solutions of {module.id}: some of its exercises are blank.")
    return Chapter(module.dev_path, without_hidden_tests(sent))
