"""A chapter as a notebook, and an edited notebook back into the chapter.

What was written to a notebook is kept in `.tito/notebooks`, under its fingerprint, which the notebook carries along:
it is the base on which the chapter and the notebook are merged. A notebook that has lost it is merged on the blank
chapter, which shows more conflicts but never takes old work for new.
"""

from __future__ import annotations

import contextlib
import copy
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path

from tito import workspace
from tito.chapter import Chapter
from tito.course import Course, Module
from tito.errors import CourseError
from tito.files import read, write_atomically
from tito.merge import Conflict, merge

FORMAT = "py:percent"
SIMILAR = 0.6  # from here on a cell counts as the edited version of another


@dataclass
class Edited:
    """A notebook as a chapter's text."""

    text: str
    base: str
    missing: list[str] = field(default_factory=list)  # exercises and tests it no longer holds


def write(course: Course, module: Module, text: str, file: Path) -> None:
    """Write a chapter's text, without the notes, as a notebook."""
    import jupytext

    text = workspace.without_notes(Chapter(module.dev_path, text))
    key = workspace.fingerprint(text)
    with contextlib.suppress(OSError):  # a read-only checkout: the notebook is merged on the blank chapter
        write_atomically(_base(course, module, key), text)
    notebook = jupytext.reads(text, fmt=FORMAT)
    for number, cell in enumerate(notebook.cells, 1):
        cell["id"] = f"cell-{number}"  # random ones would make each notebook differ from the last
    notebook.metadata.get("jupytext", {}).pop("formats", None)  # this one is no pair of the chapter's
    notebook.metadata["tinytorch"] = {"chapter": module.name, "base": key}
    write_atomically(file, jupytext.writes(notebook, fmt="ipynb"))


def merged(course: Course, module: Module, file: Path, take) -> tuple[str, list[Conflict], Edited]:
    """The chapter with what was edited in the notebook, the conflicts left, and the notebook's text."""
    edited = _edited(course, module, file)
    text, conflicts = merge(edited.base, module.chapter.text, edited.text, take)
    return text, conflicts, edited


def _base(course: Course, module: Module, key: str) -> Path:
    return course.private / "notebooks" / module.name / f"{key}.py"


def _edited(course: Course, module: Module, file: Path) -> Edited:
    import jupytext

    notebook = _read(file)
    handed_out = workspace.reference_chapter(course, module)
    _of_this_chapter(course, module, handed_out, notebook, file)
    known = notebook.metadata.get("tinytorch")
    key = str(known.get("base", "")) if isinstance(known, dict) else ""
    kept = _base(course, module, key) if key.isalnum() else None
    base = read(kept) if kept and kept.exists() else workspace.blanked(handed_out)
    as_written = jupytext.reads(base, fmt=FORMAT)
    cells, missing = _matched(as_written.cells, notebook.cells)
    as_written.cells = cells
    return Edited(jupytext.writes(as_written, fmt=FORMAT), base, missing)


def _read(file: Path):
    """The notebook in a file, with newlines as the course writes them."""
    import warnings

    import jupytext

    try:
        with warnings.catch_warnings(action="ignore"):
            notebook = jupytext.reads(file.read_text(encoding="utf-8-sig"), fmt="ipynb")
        for cell in notebook.cells:
            cell.source = cell.source.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
    except FileNotFoundError as error:
        raise CourseError(f"{file} is not there: name the notebook, as in --import Downloads/x.ipynb.") from error
    except IsADirectoryError as error:
        raise CourseError(f"{file} is a directory: name the notebook in it.") from error
    except PermissionError as error:
        raise CourseError(f"{file} cannot be read: {error.strerror}.") from error
    except Exception as error:  # whatever nbformat meets in a damaged file
        raise CourseError(
            f"{file} is no Jupyter notebook, or a damaged one ({type(error).__name__}). Nothing was changed.\n"
            "  Download it again: in Colab, File > Download > Download .ipynb."
        ) from error
    return notebook


def _of_this_chapter(course: Course, module: Module, handed_out: Chapter, notebook, file: Path) -> None:
    held = {name for cell in notebook.cells for name in _exercises(cell)}
    if held & set(handed_out.exercises):
        return
    others = [m.id for m in course.modules if held & set(m.chapter.exercises)]
    hint = f" It is of {others[0]}: tito notebook {others[0]} --import {file}" if others else ""
    raise CourseError(f"{file} holds no exercise of {module.id}. Nothing was changed.{hint}")


def _exercises(cell) -> tuple[str, ...]:
    if cell.cell_type != "code":
        return ()
    return tuple(region.name for region in Chapter("", f"# %%\n{cell.source}").regions)


def _key(cell) -> tuple:
    """What a cell is known by: its exercises, or what it says."""
    return _exercises(cell) or (cell.cell_type, cell.source.strip())


def _matched(written: list, edited: list) -> tuple[list, list[str]]:
    """The edited cells with the metadata they were written with; exercises and tests that are missing, put back."""
    left = list(written)
    origin: list = [_take(left, lambda w, cell=cell: _key(w) == _key(cell)) for cell in edited]
    origin = [o or _take(left, lambda w, cell=cell: _is_edited(w, cell)) for o, cell in zip(origin, edited)]
    cells = []
    for cell, own in zip(edited, origin):
        new = copy.copy(own) if own else cell
        new.source = cell.source
        new.metadata = own.metadata if own else type(cell.metadata)()
        cells.append(new)
    held = {name for cell in edited for name in _exercises(cell)}
    missing = []
    for cell in left:
        name = next((n for n in _exercises(cell) if n not in held), "") or _test_name(cell)
        if name:
            missing.append(name)
            before = written[: written.index(cell)]
            places = [i for i, own in enumerate(origin) if any(own is w for w in before)]
            cells.insert(max(places, default=-1) + 1, cell)
            origin.insert(max(places, default=-1) + 1, cell)
    return cells, missing


def _take(cells: list, fits):
    """Take the first cell that fits out of the list."""
    for number, cell in enumerate(cells):
        if fits(cell):
            return cells.pop(number)
    return None


def _is_edited(written, edited) -> bool:
    if written.cell_type != edited.cell_type or _exercises(edited):
        return False
    matcher = SequenceMatcher(None, written.source, edited.source, autojunk=False)
    return matcher.real_quick_ratio() >= SIMILAR and matcher.quick_ratio() >= SIMILAR and matcher.ratio() >= SIMILAR


def _test_name(cell) -> str:
    grader = cell.metadata.get("nbgrader") or {}
    return str(grader.get("grade_id", "")) if grader.get("grade") else ""
