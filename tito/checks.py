"""What has to hold of a chapter before it is exported, and what of one that is written for others."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator

from tito.chapter import BEGIN, END, Cell, Chapter, Region, split_lines
from tito.course import Course, Module
from tito.errors import Problem

KEYS = ("title", "subtitle", "difficulty", "time", "prerequisites", "next")
DIRECTIVES = {"default_exp", "export", "exporti", "exports", "hide"}
EXERCISE_NAME = re.compile(r"[A-Za-z0-9_]+")


def export_problems(course: Course, module: Module, in_progress: bool = False) -> list[Problem]:
    """What keeps the chapter from becoming a part of the package.

    Of a chapter `in_progress` only the cells that are exported count: the others are the student's own desk.
    """
    chapter = module.chapter
    if not module.dev.exists():
        return [Problem(module.dev_path, 0, f"the chapter's file is missing: {module.id} needs {module.name}_dev.py.")]
    if not chapter.text.strip():
        return [Problem(module.dev_path, 0, "the chapter's file is empty.")]
    cells = [c for c in chapter.cells if c.kind == "code" and (c.exported or not in_progress)]
    problems = [*_before_first_cell(chapter), *_exports(module), *_low_directives(chapter)]
    problems += () if in_progress else _pairs(chapter)
    for cell in cells:
        problems += syntax_problems(chapter, cell) or _imports(course, module, cell)
    return sorted(problems)


def author_problems(course: Course, module: Module) -> list[Problem]:
    """What the course's format asks of a chapter besides."""
    chapter = module.chapter
    return sorted(
        [
            *_exercise_cells(chapter),
            *_blanks(chapter),
            *_notes(chapter),
            *_test_cells(chapter),
            *_grade_ids(chapter),
            *_yaml(course, module),
        ]
    )


def _before_first_cell(chapter: Chapter) -> Iterator[Problem]:
    lines = split_lines(chapter.text)
    first = chapter.cells[0].line if chapter.cells else len(lines) + 1
    for number, line in enumerate(lines[: first - 1], 1):
        if line.strip() and not line.startswith("#"):
            yield Problem(chapter.path, number, "code stands before the first cell: put a line `# %%` above it.")
            return


def _exports(module: Module) -> Iterator[Problem]:
    chapter, wanted = module.chapter, f"core.{module.name}"
    named = [(cell, cell.directives["default_exp"]) for cell in chapter.cells if "default_exp" in cell.directives]
    if not named:
        yield Problem(chapter.path, 0, f"no cell says where to export to: add a cell with `#| default_exp {wanted}`.")
    for cell, target in named:
        if target != wanted:
            message = f"`#| default_exp {target}` does not fit the directory {module.id}: it has to be {wanted}."
            yield Problem(chapter.path, cell.first, message)
    if not any(cell.exported for cell in chapter.cells):
        yield Problem(chapter.path, 0, "the chapter exports nothing: no cell starts with `#| export`.")


def _low_directives(chapter: Chapter) -> Iterator[Problem]:
    """A directive that nbdev would not see: misspelled, or written below code."""
    for cell in chapter.cells:
        for name in sorted(set(cell.directives) - DIRECTIVES):
            close = difflib.get_close_matches(name, DIRECTIVES, n=1)
            hint = f" Did you mean `#| {close[0]}`?" if close else ""
            yield Problem(chapter.path, cell.first, f"there is no directive `#| {name}`.{hint}")
        for offset, line in enumerate(split_lines(cell.source) if cell.kind == "code" else ()):
            if re.match(r"#\|\s*(export|default_exp)", line) and cell.first + offset >= cell.code_line > cell.first:
                yield Problem(chapter.path, cell.first + offset, "a `#|` line counts only at the top of its cell.")


def syntax_problems(chapter: Chapter, cell: Cell) -> list[Problem]:
    """Where a cell is no Python."""
    try:
        ast.parse(cell.source)
    except SyntaxError as error:
        line = cell.first + (error.lineno or 1) - 1
        text = (error.text or "").rstrip()
        shown = f".\n    {text}\n    {' ' * max((error.offset or 1) - 1, 0)}^" if text.strip() else "."
        return [Problem(chapter.path, line, f"this is not Python: {error.msg}{shown}")]
    return []


def _imports(course: Course, module: Module, cell: Cell) -> Iterator[Problem]:
    """A chapter stands on the chapters before it."""
    earlier = {m.name for m in course.before(module)}
    every = {m.name: m for m in course.every_module}
    package = f"{course.package.name}.core"
    for node in ast.walk(ast.parse(cell.source)):
        for name in _imported_chapters(node, package):
            line = cell.first + node.lineno - 1
            if name == module.name:
                message = f"the chapter imports itself ({package}.{name}): use its names, they are defined here."
            elif name not in every:
                close = difflib.get_close_matches(name, every, n=1)
                hint = f" Did you mean {package}.{close[0]}?" if close else ""
                message = f"{package}.{name} is imported, but no chapter is called {name}.{hint}"
            elif name not in earlier:
                later = every[name].id
                message = f"{package}.{name} comes later in the course ({later}): a chapter imports only earlier ones."
            else:
                continue
            yield Problem(module.chapter.path, line, message)


def _imported_chapters(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.level < 2:
        source = ".".join(filter(None, [package if node.level else "", node.module]))
        names = [f"{package}.{alias.name}" for alias in node.names] if source == package else [source]
    else:
        return
    for name in names:
        if name.startswith(f"{package}."):
            yield name.removeprefix(f"{package}.").partition(".")[0]


def _pairs(chapter: Chapter) -> Iterator[Problem]:
    """Marks that do not come in pairs: an exercise whose end is missing would be nobody's."""
    for cell in chapter.cells:
        opened = 0
        for number, line in enumerate(split_lines(cell.source) if cell.kind == "code" else (), cell.first):
            if BEGIN.match(line):
                if opened:
                    yield Problem(chapter.path, number, f"BEGIN SOLUTION inside the one opened in line {opened}.")
                opened = number
            elif END.match(line):
                if not opened:
                    yield Problem(chapter.path, number, "END SOLUTION without a BEGIN SOLUTION before it in this cell.")
                opened = 0
        if opened:
            yield Problem(chapter.path, opened, "BEGIN SOLUTION without an END SOLUTION in the same cell.")


def _exercise_cells(chapter: Chapter) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for cell in chapter.cells:
        lines = enumerate(split_lines(cell.source) if cell.kind == "code" else (), cell.first)
        begun = [(number, begin[2]) for number, line in lines if (begin := BEGIN.match(line))]
        for number, name in begun:
            yield from _name(chapter, name, number, seen)
        if begun and not cell.exported:
            yield Problem(chapter.path, cell.line, "an exercise cell has to be exported: `#| export` is missing.")
        if begun and cell.grader.get("solution") is not True:
            yield Problem(chapter.path, cell.line, 'an exercise cell needs nbgrader metadata with "solution": true.')


def _blanks(chapter: Chapter) -> Iterator[Problem]:
    """A blanked chapter has to import: a region lies in a function, or its notes say what stands there."""
    try:
        notes = chapter.notes()
    except Exception:
        return  # `_notes` says what is wrong with them
    for region in chapter.regions:
        inside = _in_function(region)
        note = notes.get(region.name)
        own = note.get("blank") if isinstance(note, dict) else None
        if inside is False and (region.indent or not own):
            message = (
                f"the exercise {region.name} is in no function: it needs `blank:` in its notes, and no indentation."
            )
            yield Problem(chapter.path, region.begin, message)
        elif inside is False and own.rstrip() != chapter.blanks().get(region.name, "").rstrip():
            message = f"the blank of {region.name} has to be written as `blank: |`, its lines indented by four spaces."
            yield Problem(chapter.path, region.begin, message)
        elif inside and own:
            yield Problem(
                chapter.path, region.begin, f"the exercise {region.name} is in a function: its blank is not used."
            )


def _in_function(region: Region) -> bool | None:
    """Whether a region is part of a function's body; None where the cell does not parse."""
    try:
        tree = ast.parse(region.cell.source)
    except SyntaxError:
        return None
    line = region.begin - region.cell.first + 1
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return any(f.body[0].lineno - 1 <= line <= f.end_lineno + 1 and _deeper(f, region) for f in functions)


def _deeper(function: ast.FunctionDef, region: Region) -> bool:
    return len(region.indent) > function.col_offset


def _name(chapter: Chapter, name: str, line: int, seen: dict[str, int]) -> Iterator[Problem]:
    if not EXERCISE_NAME.fullmatch(name):
        wanted = "letters, digits and underscores, as in `### BEGIN SOLUTION unbroadcast`"
        yield Problem(chapter.path, line, f"the exercise's name is {name!r}: it needs one, of {wanted}.")
    elif name in seen:
        yield Problem(chapter.path, line, f"the exercise {name} stands already in line {seen[name]}: names are unique.")
    seen.setdefault(name, line)


def _notes(chapter: Chapter) -> Iterator[Problem]:
    import yaml

    for cell in chapter.cells:
        if not cell.is_notes:
            continue
        try:
            notes = yaml.safe_load(cell.source)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = cell.first + (mark.line if mark else 0)
            yield Problem(chapter.path, line, f"the notes are not YAML: {getattr(error, 'problem', error)}.")
            continue
        if not isinstance(notes, dict):
            yield Problem(chapter.path, cell.first, "the notes have to be YAML keyed by the exercise's name.")
            continue
        for name, note in notes.items():
            yield from _note(chapter, cell, str(name), note)


def _note(chapter: Chapter, cell: Cell, name: str, note: object) -> Iterator[Problem]:
    line = next((n for n, t in enumerate(split_lines(cell.source), cell.first) if t.startswith(name)), cell.first)
    if name not in chapter.exercises:
        close = difflib.get_close_matches(name, chapter.exercises, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        yield Problem(chapter.path, line, f"the notes are about {name}, but no exercise has that name.{hint}")
        return
    if not isinstance(note, dict):
        yield Problem(chapter.path, line, f"the notes on {name} need keys: title, hints, misconceptions.")
        return
    for unknown in sorted(set(note) - {"title", "hints", "misconceptions", "blank"}):
        yield Problem(chapter.path, line, f"the notes on {name} have an unknown key {unknown}.")
    if not isinstance(note.get("title"), str):
        yield Problem(chapter.path, line, f"the notes on {name} have no title.")
    hints = note.get("hints", [])
    if not isinstance(hints, list) or len(hints) not in (0, 3) or not all(isinstance(h, str) for h in hints):
        yield Problem(chapter.path, line, f"the notes on {name}: hints are three texts (quote one that holds a colon).")
    for wrong in note.get("misconceptions") or ():
        if not isinstance(wrong, dict) or {"name", "says", "code"} - set(wrong):
            yield Problem(chapter.path, line, f"the notes on {name}: a misconception has name, says and code.")
        elif _broken(wrong["code"]):
            yield Problem(chapter.path, line, f"the notes on {name}: the code of {wrong['name']!r} is not Python.")


def _broken(code: str) -> bool:
    """Whether the lines could not be a function's body."""
    try:
        ast.parse("def f():\n" + "".join(f"    {line}\n" for line in split_lines(str(code))))
    except SyntaxError:
        return True
    return False


def _test_cells(chapter: Chapter) -> Iterator[Problem]:
    for cell in chapter.cells:
        if cell.kind != "code" or cell.exported:
            continue
        defines = re.search(r"^def (test_\w+)", cell.source, re.M)
        if defines and not (cell.is_test and cell.grader.get("grade_id")):
            message = f'{defines[1]} is a test without a grade_id: the cell needs nbgrader metadata with "grade": true.'
            yield Problem(chapter.path, cell.line, message)
        if not cell.is_test:
            continue
        name, points = cell.grader.get("grade_id"), cell.grader.get("points")
        if name and not str(name).startswith("test_"):
            yield Problem(chapter.path, cell.line, f"grade_id {name} of a test has to begin with test_.")
        if not isinstance(points, int | float) or isinstance(points, bool) or points < 0:
            yield Problem(chapter.path, cell.line, f"the test {name} needs points, a number of 0 or more.")


def _grade_ids(chapter: Chapter) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for cell in chapter.cells:
        if not (name := cell.grader.get("grade_id")):
            continue
        if name in seen:
            yield Problem(chapter.path, cell.line, f"grade_id {name} stands already in line {seen[name]}.")
        seen.setdefault(name, cell.line)
    tested = {test.exercise for test in chapter.tests}
    for region in chapter.regions:
        if EXERCISE_NAME.fullmatch(region.name) and region.name not in tested:
            message = (
                f"no test checks the exercise {region.name}: a test cell with grade_id test_{region.name} is needed."
            )
            yield Problem(chapter.path, region.begin, message)


def _yaml(course: Course, module: Module) -> Iterator[Problem]:
    import yaml

    file = module.directory / "module.yaml"
    path = file.relative_to(course.root).as_posix()
    if not file.exists():
        yield Problem(path, 0, f"the file is missing; it holds {', '.join(KEYS)}.")
        return
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        yield Problem(path, mark.line + 1 if mark else 0, f"this is not YAML: {getattr(error, 'problem', error)}.")
        return
    if not isinstance(content, dict):
        yield Problem(path, 1, f"the file has to hold {', '.join(KEYS)}.")
        return
    for key in KEYS:
        if content.get(key) in (None, ""):
            yield Problem(path, 0, f"the key {key} is missing.")
    names = {m.name for m in course.every_module}
    for key in ("prerequisites", "next"):
        for name in content.get(key) or ():
            if re.match(r"\d", str(name)):
                yield Problem(path, 0, f"{key}: {name} has a number; a chapter is named by its name alone.")
            elif key == "prerequisites" and name in names - {m.name for m in course.before(module)}:
                yield Problem(path, 0, f"prerequisites: {name} does not come before {module.id}.")
    if "difficulty" in content and content["difficulty"] not in range(1, 6):
        yield Problem(path, 0, f"difficulty is {content['difficulty']!r}, but it has to be 1 to 5 stars.")
    if not isinstance(content.get("measures", False), bool):
        yield Problem(path, 0, f"measures is {content['measures']!r}, but it has to be true or false.")
