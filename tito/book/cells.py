"""A chapter as its page shows it: exercises with folded hints, tests to check oneself, no marks of the machinery."""

from __future__ import annotations

import ast
import contextlib
import re
import textwrap
from dataclasses import dataclass, field
from functools import cached_property

from tito import workspace
from tito.chapter import DIRECTIVE, HIDDEN, Cell, Chapter, imports_only, split_lines

WORDS_FOLLOW = re.compile(r"$|[,;] (?:and|each|for|in|its|of|so|such|that|the|then|where|which|whose|with)\b")
MARK = re.compile(r"\s*(###? (BEGIN|END) SOLUTION\b|# fmt: (on|off)\b|# ruff: noqa\b)")


@dataclass(frozen=True)
class Page:
    """A percent file that becomes a page.

    Attributes
    ----------
    name : what its outputs are kept under
    path : the file as it is named to people, from the course's root
    chapter : the file's cells
    notes : title and hints of each exercise
    solutions : whether the reference solutions are shown
    runs : whether what it needs is solved, so that its cells can run
    alone : whether it measures, and runs while nothing else does
    number : the chapter's, which stands before its title
    facts : what is said below the title
    """

    name: str
    path: str
    chapter: Chapter
    notes: dict[str, dict] = field(default_factory=dict)
    solutions: bool = True
    runs: bool = True
    alone: bool = False
    number: int | None = None
    facts: str = ""

    @cached_property
    def code(self) -> list[Cell]:
        """The cells that run."""
        return [cell for cell in self.chapter.cells if cell.kind == "code"]

    @cached_property
    def blank(self) -> dict[int, Cell]:
        """Each cell by its line, with its exercises blank."""
        blanked = Chapter(self.path, workspace.blanked(self.chapter))
        kept = [cell for cell in self.chapter.cells if not cell.is_notes]
        return {cell.line: blank for cell, blank in zip(kept, blanked.cells, strict=True)}

    def notebook(self, outputs: list[list[dict]] | None, prose=lambda text: text) -> dict:
        """The page as a notebook: nbformat's dict, with the outputs that the code cells gave.

        Parameters
        ----------
        outputs : for each of `code`; None where the page was not run
        prose : what is done to the text of each prose cell
        """
        given = dict(zip([id(cell) for cell in self.code], outputs or []))
        cells = []
        for cell in self.chapter.cells:
            if cell.kind == "markdown":
                cells.append(_text(prose(self._titled(cell.source))))
            elif cell.kind == "code":
                cells += self._code(cell, [_shown(output) for output in given.get(id(cell), [])])
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
        return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}

    def _titled(self, text: str) -> str:
        if not self.number:
            return text
        return re.sub(r"\A# (.*)", lambda title: f"# {self.number}. {title[1]}\n\n{self.facts}".rstrip(), text)

    def _code(self, cell: Cell, outputs: list[dict]) -> list[dict]:
        regions = [r for r in self.chapter.regions if r.cell is cell]
        if regions:
            return self._exercise(cell, regions, outputs)
        source = clean(HIDDEN.sub("", cell.source))
        if cell.is_test:
            return [_folded(self._check_title(cell), source, outputs)]
        if not source:
            return []
        tags = ["exported"] if cell.exported else []
        if imports_only(source):
            title = "Imports" if cell.exported else "Imports for this notebook alone"
            return [_folded(title, source, outputs, tags)]
        return [_cell(source, outputs, tags)]

    def _exercise(self, cell: Cell, regions: list, outputs: list[dict]) -> list[dict]:
        """The cell with its exercises blank; below it the hints, and the solutions where they are shown."""
        cells = [_text(self._announced(region.name)) for region in regions]
        cells.append(_cell(clean(self.blank[cell.line].source), outputs, ["exported", "exercise"]))
        for region in regions:
            name = self._title(region.name)
            hints = self.notes.get(region.name, {}).get("hints", [])
            several = f" for {name}" if len(regions) > 1 else ""
            cells += [_text(dropdown(f"Hint {i}{several}", dressed(hint))) for i, hint in enumerate(hints, 1)]
            if self.solutions:
                cells.append(_folded(f"A solution of {name}", textwrap.dedent(clean(region.text))))
        return cells

    def _announced(self, exercise: str) -> str:
        points = sum(test.points for test in self.chapter.tests if test.exercise == exercise)
        worth = f", {points:g} {'point' if points == 1 else 'points'}" if points else ""
        title = f":::::{{admonition}} Exercise: {self._title(exercise)}\n:class: exercise\n"
        return f"(exercise-{exercise})=\n{title}`{exercise}`{worth}\n:::::"

    def _title(self, exercise: str) -> str:
        return self.notes.get(exercise, {}).get("title") or exercise

    def _check_title(self, cell: Cell) -> str:
        test = next(test for test in self.chapter.tests if test.cell is cell)
        points = f" ({test.points:g} {'point' if test.points == 1 else 'points'})" if test.points else ""
        what = self._title(test.exercise) if test.exercise else test.name.removeprefix("test_").replace("_", " ")
        return f"Check yourself: {what}{points}"


def clean(source: str) -> str:
    """A cell's code without directives and marks."""
    lines = split_lines(source)
    while lines and (DIRECTIVE.match(lines[0]) or not lines[0].strip()):
        lines.pop(0)
    return "\n".join(line for line in lines if not MARK.match(line)).strip("\n")


def dressed(hint: str) -> str:
    """A hint, the code of which is set as code: the last one is a line of code and, after it, words about its gaps."""
    depth = 0
    for i, character in enumerate(hint + "\n"):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0 and WORDS_FOLLOW.match(hint, i):
            return f"`{hint[:i]}`{hint[i:]}" if _is_python(hint[:i]) else hint
    return hint


def _is_python(text: str) -> bool:
    for end in ("", ": pass"):
        with contextlib.suppress(SyntaxError):
            ast.parse(text + end)
            return True
    return False


def dropdown(title: str, text: str) -> str:
    """A folded paragraph."""
    return f":::::{{dropdown}} {title}\n{text.strip()}\n:::::"


def _text(source: str) -> dict:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def _cell(source: str, outputs: list[dict], tags: list[str], settings: dict | None = None) -> dict:
    metadata = {"tags": tags} | ({"mystnb": settings} if settings else {})
    return {
        "cell_type": "code",
        "metadata": metadata,
        "source": source,
        "outputs": outputs,
        "execution_count": None,
    }


def _folded(title: str, source: str, outputs: list[dict] | None = None, tags: list[str] | None = None) -> dict:
    settings = {"code_prompt_show": title, "code_prompt_hide": title}
    return _cell(source, outputs or [], ["hide-input", *(tags or [])], settings)


def _shown(output: dict) -> dict:
    """An output as the page has it: a drawing as part of the page, so that its words can be read out."""
    output = dict(output)
    data = output.get("data", {})
    if "image/svg+xml" in data:
        output["data"] = {"text/html": f'<div class="drawing">{data["image/svg+xml"]}</div>'}
    if "execution_count" in output:
        output["execution_count"] = None
    return output
