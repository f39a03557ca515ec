"""Merges two versions of a chapter with the one that both came from.

Git does this too, but a student may have no git, and knows nothing of exercises; the libraries that do it are under
licences stricter than the course's. Exercises are merged by name; all else cell by cell, and line by line where
both sides changed the same cell.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from tito.chapter import Chapter, split_lines

REST = "cells"  # the name of what both changed outside the exercises
CELL = re.compile(r"^(?=# %%(?!%))", re.M)


@dataclass(frozen=True)
class Conflict:
    """What both sides changed, each in its own way."""

    name: str  # the exercise, or `REST`
    base: str
    ours: str
    theirs: str


def changed_side(name: str, base: str, ours: str, theirs: str) -> str | None:
    """The side that changed; None where both did, and differ."""
    if theirs in (base, ours):
        return ours
    return theirs if ours == base else None


def merge(
    base: str,
    ours: str,
    theirs: str,
    take: Callable[[str], str] = lambda name: "",
    pick: Callable[[str, str, str, str], str | None] = changed_side,
) -> tuple[str, list[Conflict]]:
    """The merged text, and the conflicts that `take(name)` does not settle by "ours" or "theirs".

    Where a conflict is left, ours stands in the text. `pick(name, base, ours, theirs)` merges an exercise.
    """
    conflicts: list[Conflict] = []

    def settle(*conflict: str) -> str:
        if (side := take(conflict[0])) == "":
            conflicts.append(Conflict(*conflict))
        return conflict[3] if side == "theirs" else conflict[2]

    texts = base, ours, theirs
    names = _in_all(texts)
    chosen = {}
    for name in names:
        sides = [textwrap.dedent(Chapter("", text).exercises[name].text) for text in texts]
        picked = pick(name, *sides)
        chosen[name] = settle(name, *sides) if picked is None else picked
    frames = [with_regions(text, dict.fromkeys(names, "")) for text in texts]
    frame = _merge_cells(*(CELL.split(text) for text in frames), settle)
    if any(count[name] != 1 for count in [_count(frame)] for name in names):
        return settle(REST, *texts), conflicts  # exercises were moved about: the chapter as a whole
    return with_regions(frame, chosen), conflicts


def _count(text: str) -> Counter:
    return Counter(region.name for region in Chapter("", text).regions)


def _in_all(texts: tuple[str, ...]) -> list[str]:
    """Names of the exercises that each text holds once."""
    counts = [_count(text) for text in texts]
    return [name for name in counts[0] if all(count[name] == 1 for count in counts)]


def with_regions(text: str, regions: dict[str, str]) -> str:
    """The text with what stands in some exercises replaced."""
    lines = split_lines(text, keepends=True)
    for region in reversed(Chapter("", text).regions):
        if region.name in regions:
            lines[region.begin : region.end - 1] = [textwrap.indent(regions[region.name], region.indent)]
    return "".join(lines)


def _merge_cells(base: list[str], ours: list[str], theirs: list[str], settle: Callable) -> str:
    cells: list[str] = []
    for b, o, t in _pieces(base, ours, theirs, str.rstrip):
        picked = changed_side("", *(["".join(cells).rstrip() for cells in (b, o, t)]))
        if picked is not None:
            cells += t if picked == "".join(t).rstrip() and picked != "".join(o).rstrip() else o
        elif not b:
            cells += t + o  # each added cells of its own
        else:
            lines = (split_lines("".join(cells), keepends=True) for cells in (b, o, t))
            cells.append(_merge_lines(*lines, settle))
    apart = [cell if cell.endswith("\n\n") else cell.rstrip("\n") + "\n\n" for cell in cells[:-1] if cell]
    return "".join(apart + cells[-1:])


def _merge_lines(base: list[str], ours: list[str], theirs: list[str], settle: Callable) -> str:
    lines = []
    for piece in _pieces(base, ours, theirs, str):
        sides = ["".join(side) for side in piece]
        picked = changed_side("", *sides)
        lines.append(settle(REST, *sides) if picked is None else picked)
    return "".join(lines)


def _pieces(base: list[str], ours: list[str], theirs: list[str], key: Callable) -> Iterator[tuple[list[str], ...]]:
    """The three cut at the same places: by turns what may differ, and what is the same in all."""
    at = (0, 0, 0)
    for *start, length in _common([key(x) for x in base], [key(x) for x in ours], [key(x) for x in theirs]):
        end = [n + length for n in start]
        for begin, stop in ((at, start), (start, end)):
            piece = tuple(side[a:b] for side, a, b in zip((base, ours, theirs), begin, stop))
            if any(piece):
                yield piece
        at = end


def _common(base: list[str], ours: list[str], theirs: list[str]) -> Iterator[tuple[int, int, int, int]]:
    """Runs that all three share: where they begin in each, and how long they are; the last one is empty."""
    one, other = (SequenceMatcher(None, base, side, autojunk=False).get_matching_blocks() for side in (ours, theirs))
    i = j = 0
    while i < len(one) and j < len(other):
        begin = max(one[i].a, other[j].a)
        end = min(one[i].a + one[i].size, other[j].a + other[j].size)
        if begin < end:
            yield begin, begin - one[i].a + one[i].b, begin - other[j].a + other[j].b, end - begin
        if one[i].a + one[i].size < other[j].a + other[j].size:
            i += 1
        else:
            j += 1
    yield len(base), len(ours), len(theirs), 0


def beside(ours: str, theirs: str, titles: tuple[str, str], width: int) -> str:
    """Two texts in two columns, with a mark between them where they differ."""
    column = max((width - 3) // 2, 20)
    rows = [(titles[0], " ", titles[1]), ("-" * column, " ", "-" * column)]
    one, other = ([line.expandtabs() for line in split_lines(text)] for text in (ours, theirs))
    for tag, a, b, c, d in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        for n in range(max(b - a, d - c)):
            lines = (one[a + n] if a + n < b else "", other[c + n] if c + n < d else "")
            parts = [[line[i : i + column] for i in range(0, len(line), column)] or [""] for line in lines]
            for k in range(max(map(len, parts))):
                cut = [part[k] if k < len(part) else "" for part in parts]
                rows.append((cut[0], " " if tag == "equal" else "|", cut[1]))
    return "".join(f"{left:<{column}} {mark} {right}".rstrip() + "\n" for left, mark, right in rows)
