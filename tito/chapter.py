"""A chapter's file, read into cells, exercises, notes and tests.

This reader knows the percent format as the course writes it, and no more; jupytext, which takes long to import,
reads what is written in another way (`tito.percent`), and a test proves that both see the same cells.
"""

from __future__ import annotations

import io
import json
import re
import textwrap
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tito.errors import CourseError

MARKER = re.compile(r"# %%(?!%)(.*)")
BEGIN = re.compile(r"(\s*)### BEGIN SOLUTION\b[ \t]*(.*?)\s*$")
END = re.compile(r"\s*### END SOLUTION\b")
HIDDEN = re.compile(r"^[ \t]*### BEGIN HIDDEN TESTS.*?^[ \t]*### END HIDDEN TESTS[^\n]*\n?", re.M | re.S)
DIRECTIVE = re.compile(r"#\|\s*(\w+)\s*(.*?)\s*$")
COMMENT = re.compile(r"^# ?", re.M)
KIND = re.compile(r"\[(markdown|md|raw)\]")
PAIR = re.compile(r"(?<!\S)([\w.-]+)=")
BLANK = re.compile(r"^(\w+):\n(?:(?:  .*)?\n)*?  blank: \|\n((?:    .*\n|\s*\n)+)", re.M)


@dataclass(frozen=True)
class Cell:
    """A cell: its kind, where it stands and what it holds."""

    kind: str  # code, markdown or raw
    line: int  # of its `# %%`
    first: int  # line of the first line of `source`
    source: str
    meta: dict = field(default_factory=dict)

    @cached_property
    def directives(self) -> dict[str, str]:
        """The `#|` lines at the head of a code cell."""
        found = {}
        for line in split_lines(self.source) if self.kind == "code" else ():
            if not (match := DIRECTIVE.match(line)):
                break
            found[match[1]] = match[2]
        return found

    @property
    def exported(self) -> bool:
        return any(name in self.directives for name in ("export", "exporti", "exports"))

    @property
    def code_line(self) -> int:
        """Line of the first line after the directives."""
        lines = split_lines(self.source)
        skipped = next((i for i, text in enumerate(lines) if text.strip() and not DIRECTIVE.match(text)), 0)
        return self.first + skipped

    @property
    def grader(self) -> dict:
        """nbgrader's metadata."""
        return self.meta.get("nbgrader") or {}

    @property
    def is_notes(self) -> bool:
        return self.kind == "raw" and "exercise" in self.meta.get("tags", ())

    @property
    def is_test(self) -> bool:
        return self.kind == "code" and self.grader.get("grade") is True


@dataclass(frozen=True)
class Region:
    """What stands between `### BEGIN SOLUTION name` and `### END SOLUTION`."""

    name: str
    cell: Cell
    begin: int  # line of BEGIN
    end: int  # line of END
    indent: str
    text: str  # the lines between, as they stand


@dataclass(frozen=True)
class Test:
    """A test cell and the exercise it checks ("" where it checks the chapter as a whole)."""

    name: str
    exercise: str
    points: float
    cell: Cell


@dataclass(frozen=True)
class Chapter:
    """A chapter's text and what it is made of."""

    path: str
    text: str

    @classmethod
    def read(cls, file: Path, path: str = "") -> Chapter:
        try:
            text = file.read_text(encoding="utf-8-sig") if file.exists() else ""
        except UnicodeDecodeError as error:
            raise CourseError(
                f"{path or file} is not text in UTF-8 (byte {error.start}).\n"
                "  Save it as UTF-8 in your editor, or bring back an earlier version."
            ) from error
        return cls(path or str(file), text)

    @cached_property
    def cells(self) -> list[Cell]:
        return split_cells(self.text)

    @cached_property
    def regions(self) -> list[Region]:
        """The exercises' regions, in order. Unbalanced markers are left to `checks`."""
        return [r for c in self.cells if c.kind == "code" and "### BEGIN" in c.source for r in _regions(c)]

    @cached_property
    def exercises(self) -> dict[str, Region]:
        return {region.name: region for region in self.regions}

    @cached_property
    def tests(self) -> list[Test]:
        return [self._test(cell) for cell in self.cells if cell.is_test]

    @property
    def has_notes(self) -> bool:
        """Whether it is as its author has it: what students get holds no notes cell."""
        return any(cell.is_notes for cell in self.cells)

    @cached_property
    def import_cells(self) -> list[Cell]:
        """The cells, not exported, that consist of imports only."""
        return [cell for cell in self.cells if cell.kind == "code" and not cell.exported and imports_only(cell.source)]

    def notes(self) -> dict[str, dict]:
        """Title, hints, misconceptions and blank of each exercise, from the notes cells."""
        import yaml

        notes: dict[str, dict] = {}
        for cell in self.cells:
            if cell.is_notes:
                notes.update(yaml.load(cell.source, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {})
        return notes

    def blanks(self) -> dict[str, str]:
        """The `blank: |` of exercises outside of functions, read without a YAML parser: `tito` alone asks for them."""
        sources = [f"{cell.source}\n" for cell in self.cells if cell.is_notes]
        return {match[1]: textwrap.dedent(match[2]) for source in sources for match in BLANK.finditer(source)}

    def _test(self, cell: Cell) -> Test:
        name = str(cell.grader.get("grade_id", ""))
        exercise = name.removeprefix("test_")
        while exercise not in self.exercises and "__" in exercise:
            exercise = exercise.rpartition("__")[0]
        points = cell.grader.get("points", 0)
        return Test(name, exercise if exercise in self.exercises else "", points, cell)


def split_lines(text: str, keepends: bool = False) -> list[str]:
    """The lines of a text as Python counts them: `str.splitlines` ends one at a form feed or at U+2028, too."""
    if keepends:
        return list(io.StringIO(text, newline=""))
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def split_cells(text: str) -> list[Cell]:
    """The cells of a jupytext percent file."""
    lines = split_lines(text)
    starts = [i for i, line in enumerate(lines) if line[:4] == "# %%" and MARKER.match(line)]
    ends = [*starts[1:], len(lines)]
    return [_cell(lines, start, end) for start, end in zip(starts, ends)]


def _cell(lines: list[str], start: int, end: int) -> Cell:
    title = MARKER.match(lines[start])[1]
    kind = KIND.search(title.partition("=")[0])
    first = start + 1
    while first < end and not lines[end - 1].strip():
        end -= 1
    while first < end and not lines[first].strip():
        first += 1
    source = "\n".join(lines[first:end])
    if kind:
        source = COMMENT.sub("", source)
    name = {"md": "markdown"}.get(kind[1], kind[1]) if kind else "code"
    return Cell(name, start + 1, first + 1, source, _metadata(title))


def _metadata(title: str) -> dict:
    """The `key=value` pairs of a marker line; the values are JSON."""
    meta, position = {}, 0
    while match := PAIR.search(title, position):
        try:
            meta[match[1]], position = json.JSONDecoder().raw_decode(title, match.end())
        except ValueError:
            position = match.end()
    return meta


def _regions(cell: Cell) -> list[Region]:
    found, opened = [], None
    lines = split_lines(cell.source)
    for number, line in enumerate(lines):
        if match := BEGIN.match(line):
            opened = (number, match)
        elif END.match(line) and opened:
            begin, match = opened
            text = "".join(f"{inner}\n" for inner in lines[begin + 1 : number])
            found.append(Region(match[2], cell, cell.first + begin, cell.first + number, match[1], text))
            opened = None
    return found


def imports_only(source: str) -> bool:
    """Whether code consists of imports."""
    import ast

    try:
        body = ast.parse(source).body
    except SyntaxError:
        return False
    return bool(body) and all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in body)


def without_hidden(source: str, name: str) -> str:
    """A test cell without what stands between nbgrader's marks; it has to be a test still."""
    left = HIDDEN.sub("", source)
    if "HIDDEN TESTS" in left:
        raise CourseError(f"{name}: ### BEGIN HIDDEN TESTS and ### END HIDDEN TESTS have to stand in pairs.")
    if left != source and not _tests_something(left):
        raise CourseError(f"without its hidden lines, {name} is no test: leave a check in it.")
    return left


def _tests_something(source: str) -> bool:
    import ast

    try:
        nodes = list(ast.walk(ast.parse(source)))
    except SyntaxError:
        return False
    called = {getattr(node.func, "id", "") for node in nodes if isinstance(node, ast.Call)}
    return bool(called & {"check", "check_raises"}) or any(isinstance(node, ast.Assert) for node in nodes)
