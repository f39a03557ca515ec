"""Finds lines of solutions where none may stand.

A line of a solution is a line between an exercise's markers, without its comment and without any white space.
One shorter than `TELLING` characters says too little alone (`return out`) and is taken together with the lines
after it, or at a region's end before it, until they are that long; a whole solution that is shorter cannot be told
from other code and is not looked for. What students are given anyway is usage, not a solution: a line that stands
in a chapter outside the exercises, and one shorter than `IDIOM` characters that stands in the tools' code (not in
their comments and texts, where it would be quoted).
"""

from __future__ import annotations

import ast
import bz2
import gzip
import html
import io
import lzma
import re
import tokenize
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tito.chapter import HIDDEN, Chapter, Region, split_lines

TELLING, IDIOM = 20, 40
A_CALL = 10  # characters of a held-back check's call that say what it is
COMMENT = re.compile(r"(?:^|[ \t])#[^\"'\n]*$", re.M)
PACKED = {b"\x1f\x8b": gzip.decompress, b"BZh": bz2.decompress, b"\xfd7zXZ": lzma.decompress}
COMPILED = (".pyc", ".pyo")


@dataclass(frozen=True, order=True)
class Leak:
    """A line of a solution, and the file that holds it."""

    path: str
    exercise: str
    line: str

    def __str__(self) -> str:
        return f"{self.path}: {self.exercise}: {self.line}"


def lines_of(region: Region) -> list[str]:
    """The region's lines as they are looked for."""
    lines = [line for line in map(squeezed, split_lines(COMMENT.sub("", region.text))) if line]
    found = dict.fromkeys(_long_enough(lines, i) for i in range(len(lines)))
    return [line for line in found if len(line) >= TELLING]


def _long_enough(lines: list[str], first: int) -> str:
    last = first + 1
    while last < len(lines) and len("".join(lines[first:last])) < TELLING:
        last += 1
    while first and len("".join(lines[first:last])) < TELLING:
        first -= 1
    return "".join(lines[first:last])


def solutions(chapters: Iterable[tuple[str, Chapter]]) -> dict[str, str]:
    """Every line of these chapters' solutions, with the exercise it belongs to."""
    regions = [(name, region) for name, chapter in chapters for region in chapter.regions]
    return {line: f"{name} {region.name}" for name, region in reversed(regions) for line in lines_of(region)}


def held_back(chapters: Iterable[Chapter]) -> dict[str, str]:
    """What must not be found of held-back checks, their lines and their calls, with the test that holds them."""
    chapters, found = list(chapters), {}
    for chapter in chapters:
        for test in chapter.tests:
            for hidden in HIDDEN.findall(test.cell.source):
                lines = list(filter(None, map(squeezed, split_lines(COMMENT.sub("", hidden)))))
                told = [line for line in lines if len(line) >= TELLING] + _calls(test.cell.source, hidden)
                found |= dict.fromkeys(told, f"{test.name}, held back")
    given = "\0".join(squeezed(HIDDEN.sub("", chapter.text)) for chapter in chapters)
    return {line: test for line, test in found.items() if line not in given}


def _calls(source: str, hidden: str) -> list[str]:
    """What the checks of some hidden lines call."""
    first = source[: source.index(hidden)].count("\n") + 1
    lines = range(first, first + hidden.count("\n") + 1)
    checks = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call) and n.lineno in lines]
    checks = [n for n in checks if getattr(n.func, "id", "") in ("check", "check_raises")]
    calls = [squeezed(ast.get_source_segment(source, part) or "") for n in checks for part in n.args[:2]]
    return [call for call in calls if len(call) >= A_CALL and "(" in call]


def outside_exercises(chapter: Chapter) -> str:
    """The code of a chapter that is no solution, squeezed."""
    solved = {line for region in chapter.regions for line in range(region.begin + 1, region.end)}
    cells = (cell for cell in chapter.cells if cell.kind == "code")
    code = (t for cell in cells for n, t in enumerate(split_lines(cell.source), cell.first) if n not in solved)
    return squeezed("\n".join(code))


def spoken(source: str) -> str:
    """Python source without comments and long texts, squeezed."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    quoted = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    kept = (
        t.string for t in tokens if t.type != tokenize.COMMENT and not (t.type in quoted and len(t.string) >= TELLING)
    )
    return squeezed("".join(kept))


def telling(lines: dict[str, str], chapters: Iterable[str], tools: Iterable[str]) -> dict[str, str]:
    """The lines that are no mere usage, given the squeezed code of chapters and of tools."""
    chapters, tools = "\0".join(chapters), "\0".join(tools)
    return {n: e for n, e in lines.items() if n not in chapters and (len(n) >= IDIOM or n not in tools)}


def find(root: Path, lines: dict[str, str]) -> list[Leak]:
    """Every line that some file below `root` holds, packed files unpacked; compiled code is always reported."""
    found = []
    for file in sorted(p for p in root.rglob("*") if p.is_file()):
        path = file.relative_to(root).as_posix()
        if file.suffix in COMPILED:
            found.append(Leak(path, "compiled code", "a solution could stand in it unseen"))
        for name, data in unpacked(path, file.read_bytes()):
            text = "\0".join(readings(data))
            found += [Leak(name, exercise, line) for line, exercise in lines.items() if line in text]
    return sorted(found)


def unpacked(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """A file's bytes, and those of what is packed in it."""
    yield name, data
    for magic, unpack in PACKED.items():
        if data.startswith(magic):
            yield from unpacked(f"{name}, unpacked", unpack(data))
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.namelist():
                yield from unpacked(f"{name}, in it {member}", archive.read(member))


def readings(data: bytes) -> Iterator[str]:
    """Squeezed text of some bytes: as it is, without comments, escapes of JSON and Python, or tags."""
    text = data.replace(b"\0", b"").decode("utf-8", "replace")  # without NULs, wide characters read as plain ones
    yield squeezed(text)
    yield squeezed(COMMENT.sub("", text))
    yield squeezed(re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), text))
    if "</" in text:
        yield squeezed(html.unescape(re.sub(r"<[^<>]*>", "", text)))


def squeezed(text: str) -> str:
    return "".join(text.split())


def shortened(text: str, lines: Iterable[str]) -> str:
    """The text with each line of a solution cut off after half of it."""
    plain = squeezed(text)
    for line in lines:
        if line in plain:
            text = re.sub(r"\s*".join(map(re.escape, line)), lambda m: _half(m[0]), text)
    return text


def _half(line: str) -> str:
    """The first half, up to the end of the word that it ends in."""
    return re.match(rf".{{{len(line) // 2}}}\w*", line, re.S)[0].rstrip() + " ..."
