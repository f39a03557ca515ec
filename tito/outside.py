"""What a student changed in the course's own code: lines outside the exercises, in cells that are exported.

Cells and helpers of one's own are welcome, and are none of it. Tests are compared elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from tito import marks
from tito.chapter import Cell, Chapter, split_lines

SIMILAR = 0.5  # from here on a cell counts as the changed version of another


@dataclass(frozen=True)
class Changed:
    """A line of the course that another one stands for, or none."""

    line: int  # where it is, or would be, in the student's file
    own: str  # as the course has it

    def sentence(self, path: str, more: int = 0) -> str:
        others = f", and {more} more" if more else ""
        return f"changed outside the exercises: {path}:{self.line} (the course has `{self.own}` there){others}"


def told(chapter: Chapter, reference: Chapter) -> str:
    """The first of the changed lines, and how many more there are; "" where there is none."""
    found = changed(chapter, reference)
    return found[0].sentence(chapter.path, len(found) - 1) if found else ""


def changed(chapter: Chapter, reference: Chapter) -> list[Changed]:
    """The changed lines, in order; of a run of lines, the first."""
    unmarked = {mark.exercise for mark in marks.lost(chapter, reference)}
    untold = {region.cell.line for region in reference.regions if region.name in unmarked}
    cells, theirs, mine = _code(reference), _code_lines(reference), _code_lines(chapter)
    texts = [["\n".join(text for _, text in lines) for lines in side] for side in (theirs, mine)]
    found = []
    for one, other in _pairs(*texts):
        if cells[one].line not in untold:  # without its marks, an exercise cannot be told from what is around it
            found += _lines(theirs[one], mine[other])
    return sorted(found, key=lambda place: place.line)


def _pairs(theirs: list[str], mine: list[str]) -> Iterator[tuple[int, int]]:
    """The cells that differ, each with the one that was made of it."""
    for tag, a, b, c, d in SequenceMatcher(None, theirs, mine, autojunk=False).get_opcodes():
        left = list(range(c, d))
        for one in range(a, b) if tag == "replace" else ():
            ratios = {j: SequenceMatcher(None, theirs[one], mine[j], autojunk=False).ratio() for j in left}
            best = max(ratios, key=ratios.get, default=None)
            if best is not None and ratios[best] >= SIMILAR:
                left.remove(best)
                yield one, best


def _code(chapter: Chapter) -> list[Cell]:
    return [cell for cell in chapter.cells if cell.exported and not cell.is_test]


def _code_lines(chapter: Chapter) -> list[list[tuple[int, str]]]:
    """Of each cell the lines outside the exercises that do something, numbered as in the file."""
    inside = {line for r in chapter.regions for line in range(r.begin, r.end + 1)}
    return [[(n, text) for n, text in _numbered(cell) if n not in inside] for cell in _code(chapter)]


def _numbered(cell: Cell) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(split_lines(cell.source), cell.first):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.rstrip()


def _lines(theirs: list[tuple[int, str]], mine: list[tuple[int, str]]) -> Iterator[Changed]:
    """Where two versions of a cell differ; lines that were only added do not count."""
    texts = ([text for _, text in lines] for lines in (theirs, mine))
    for tag, a, _, c, _ in SequenceMatcher(None, *texts, autojunk=False).get_opcodes():
        if tag in ("replace", "delete"):
            place = mine[min(c, len(mine) - 1)][0] if mine else 0
            yield Changed(place, theirs[a][1].strip())
