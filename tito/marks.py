"""The marks of an exercise, `### BEGIN SOLUTION name` and `### END SOLUTION`: which are lost, and where they belong.

Without them the code is tested as ever, but nobody can say which lines are the exercise: it cannot be blanked, solved
or merged.
"""

from __future__ import annotations

from dataclasses import dataclass

from tito.chapter import BEGIN, END, Cell, Chapter, split_lines


@dataclass(frozen=True)
class Lost:
    """An exercise whose marks do not stand there once, as a pair."""

    exercise: str
    line: int  # where to look; 0 where even the cell is gone
    said: str

    def sentence(self, path: str) -> str:
        where = f" {path}:{self.line}" if self.line else f", {path}"
        return f"{self.said}{where}"


def lost(chapter: Chapter, handed_out: Chapter) -> list[Lost]:
    """The exercises of the chapter that was handed out whose marks this text does not hold once."""
    held = [region.name for region in chapter.regions]
    return [_lost(chapter, handed_out, name) for name in handed_out.exercises if held.count(name) != 1]


def _lost(chapter: Chapter, handed_out: Chapter, name: str) -> Lost:
    lines = [(n, m[2]) for cell in _code(chapter) for n, line in _numbered(cell) if (m := BEGIN.match(line))]
    begun = [line for line, found in lines if found == name]
    if len(begun) > 1:
        said = f"{name} is marked {len(begun)} times: keep one pair of its marks, and see"
        return Lost(name, begun[1], said)
    if begun:
        said = f"{name} has lost its mark `### END SOLUTION`: put it below the code that begins in"
        return Lost(name, begun[0], said)
    cell = _cell(chapter, handed_out, name)
    if cell is None:
        return Lost(name, 0, f"{name} is gone, with the cell that it stood in, from the chapter's file")
    for region in chapter.regions:
        if region.cell is cell and region.name not in handed_out.exercises:
            return Lost(name, region.begin, f"{name} is named {region.name or 'nothing'} in its mark: mend the name in")
    if ends := _without_begin(cell):
        said = f"{name} has lost its mark `### BEGIN SOLUTION {name}`: put it above the code that ends in"
        return Lost(name, ends[0], said)
    said = f"{name} has lost its marks `### BEGIN SOLUTION {name}` and `### END SOLUTION`: put them around its code in"
    return Lost(name, cell.line, said)


def _cell(chapter: Chapter, handed_out: Chapter, name: str) -> Cell | None:
    """The cell that held the exercise, known by its grade_id."""
    wanted = handed_out.exercises[name].cell.grader.get("grade_id")
    return next((c for c in _code(chapter) if wanted and c.grader.get("grade_id") == wanted), None)


def _without_begin(cell: Cell) -> list[int]:
    """The lines of `### END SOLUTION` that close nothing."""
    found, opened = [], False
    for number, line in _numbered(cell):
        if BEGIN.match(line):
            opened = True
        elif END.match(line):
            found += [] if opened else [number]
            opened = False
    return found


def _code(chapter: Chapter) -> list[Cell]:
    return [cell for cell in chapter.cells if cell.kind == "code"]


def _numbered(cell: Cell) -> list[tuple[int, str]]:
    return list(enumerate(split_lines(cell.source), cell.first))
