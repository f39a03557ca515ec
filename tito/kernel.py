"""What a failing test cell says in a notebook: the lines that `tito test` would print."""

from __future__ import annotations

import linecache
import re
import traceback
from pathlib import Path

from tito import feedback, inside, notes, workspace
from tito.chapter import Test
from tito.course import Course, Module


def explain(shell, error: Exception) -> list[str] | None:
    """The lines on an error that came out of a test cell; None where no test cell of a chapter was running."""
    course = Course.find()
    for name in dict.fromkeys(f.filename for f in traceback.extract_tb(error.__traceback__)):
        source = "".join(linecache.getlines(name)) if _cell(shell, name) else ""
        found = _test(course, source)
        if found:
            return _lines(shell, course, *found, name, source, error)
    return None


def passed(source: str) -> str:
    """The line on a test cell that ran to its end; empty for any other cell, and for a test that was changed."""
    if "def test_" not in source:
        return ""
    course = Course.find()
    found = _test(course, source)
    if not found or found[1].cell.source.strip() != source.strip():
        return ""
    module, test = found
    title = notes.title(course, module, test.exercise)
    return f"passing: {test.exercise or test.name}{f', {title}' if title else ''}\n"


def _cell(shell, file: str) -> str:
    """What the notebook calls a cell, `In[5]`; empty where the file is none."""
    label = shell.compile.format_code_name(file)
    return label[1] if label else ""


def _test(course: Course, source: str) -> tuple[Module, Test] | None:
    """The chapter's test that a cell holds."""
    defined = re.search(r"^def (test_\w+)\(", source, re.M)
    if not defined:
        return None
    here = Path.cwd()
    modules = [m for m in course.modules if m.directory in (here, *here.parents)] or course.modules
    for module in modules:
        for test in workspace.reference_chapter(course, module).tests:
            if re.search(rf"^def {defined[1]}\(", test.cell.source, re.M):
                return module, test
    return None


def _lines(shell, course: Course, module: Module, test: Test, name: str, source: str, error: Exception) -> list[str]:
    job = {"root": str(course.root), "memory_mb": course.number("limits", "memory_mb")}
    cell = {"path": name, "line": 1, "last": source.count("\n") + 1, "source": source}
    cells = {f.filename for f in traceback.extract_tb(error.__traceback__) if _cell(shell, f.filename)}
    failure = inside.describe(error, cell, job, cells)
    again = f"run it and this cell again; or tito hint {module.id} {test.exercise}"
    if failure["needs"] == test.exercise:
        return [f"to do: {test.exercise}", f"  next: write it, {again}"]
    if failure["needs"]:
        return [f"{test.exercise} needs {failure['needs']}, which is to do", f"  next: write that, {again}"]
    mistake = feedback.diagnose(course, module, test.exercise, failure)
    failure |= {"says": mistake["says"]} if mistake else {}
    title = notes.title(course, module, test.exercise)
    heading = f"failing: {test.exercise or test.name}{f', {title}' if title else ''}"
    shown = feedback.lines(heading, failure, _raised_in(shell, module, failure))
    return [*shown, f"  next: mend it, {again}", "  (%tb shows the whole traceback)"]


def _raised_in(shell, module: Module, failure: dict) -> str:
    """The student's line that raised: in a cell, or in a chapter."""
    if failure["kind"] == "check" or failure["where"] is None:
        return ""
    here = [frame for frame in failure["frames"] if _cell(shell, frame["path"])]
    place = here[-1] if here else failure["where"]
    label = _cell(shell, place["path"])
    where = f"cell {label}, line {place['line']}" if label else feedback.located(module, place)
    return f"{where}: {place['source']}"
