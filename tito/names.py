"""Names that an exported cell uses and nobody defines: such code fails only when it is called, or imported."""

from __future__ import annotations

import ast
import builtins
import difflib
import dis
import functools
import re
from collections.abc import Iterator
from types import CodeType

from tito import workspace
from tito.chapter import Chapter, split_lines
from tito.course import Course, Module
from tito.errors import Problem

LOADS = {"LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"}
STORES = {"STORE_NAME", "STORE_GLOBAL"}
ALWAYS = set(dir(builtins))
EVERYTHING = "*"


def name_problems(course: Course, module: Module) -> list[Problem]:
    """Undefined names in a chapter's exported cells, and imports of what an earlier chapter does not have."""
    chapter = module.chapter
    try:
        text = exported_text(chapter)
        code, tree = compile(text, chapter.path, "exec", dont_inherit=True), ast.parse(text)
    except SyntaxError:
        return []  # `checks` says so
    return sorted({*_undefined(chapter, code, tree), *_unknown_imports(course, module, tree)})


def exported_text(chapter: Chapter) -> str:
    """The exported cells, each at its lines of the chapter."""
    lines = [""] * len(split_lines(chapter.text))
    for cell in chapter.cells:
        if cell.exported:
            own = split_lines(cell.source)
            lines[cell.first - 1 : cell.first - 1 + len(own)] = own
    return "\n".join(lines) + "\n"


def _undefined(chapter: Chapter, code: CodeType, tree: ast.Module) -> Iterator[Problem]:
    if any(alias.name == EVERYTHING for node in _froms(tree) for alias in node.names):
        return  # what such an import brings is not known
    defined = {name for inner in _codes(code) for name, _ in _names(inner, STORES)}
    for inner in _codes(code):
        for name, line in _names(inner, LOADS):
            if name not in defined | ALWAYS and not re.fullmatch(r"__\w+__", name):  # the compiler's own names
                close = difflib.get_close_matches(name, defined, n=1)
                hint = f" Did you mean {close[0]}?" if close else ""
                message = f"the name {name} is defined in no exported cell.{hint}"
                yield Problem(chapter.path, line, message)


def _unknown_imports(course: Course, module: Module, tree: ast.Module) -> Iterator[Problem]:
    for line, other, name in _earlier_names(course, module, tree):
        known = _defines(other.chapter.text) | _defines(_held(course, other), whole=True)
        if not {name, EVERYTHING} & known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            source = f"{course.package.name}.core.{other.name}"
            message = f"{source} has no {name} ({other.id} does not define it).{hint}"
            yield Problem(module.chapter.path, line, message)


def graded_without(course: Course, module: Module) -> list[str]:
    """What a chapter imports from the student's earlier chapters that the course's own lack: grading has only these."""
    try:
        tree = ast.parse(exported_text(module.chapter))
    except SyntaxError:
        return []  # `checks` says so
    found = []
    for line, other, name in _earlier_names(course, module, tree):
        if not {name, EVERYTHING} & _defines(workspace.reference_chapter(course, other).text):
            found.append(f"{module.dev_path}:{line}: {graded_without_sentence(module, other, name)}")
    return found


def graded_without_sentence(module: Module, other: Module, name: str) -> str:
    own = f"graded, {module.id} stands on the course's own {other.id}, which has no {name}"
    return f"{own}: define {name} in {module.id} itself, in place of the import"


def _earlier_names(course: Course, module: Module, tree: ast.Module) -> Iterator[tuple[int, Module, str]]:
    """Each name that is imported from an earlier chapter: the line, the chapter, the name."""
    earlier = {f"{course.package.name}.core.{m.name}": m for m in course.before(module)}
    for node in _froms(tree):
        source = (f"{course.package.name}.core." if node.level == 1 else "") + (node.module or "")
        if node.level < 2 and source in earlier:
            yield from ((node.lineno, earlier[source], a.name) for a in node.names if a.name != EVERYTHING)


def _held(course: Course, module: Module) -> str:
    """What the package holds of a chapter, which may be an older text of it."""
    file = course.package / "core" / f"{module.name}.py"
    return file.read_text(encoding="utf-8") if file.exists() else ""


@functools.lru_cache(maxsize=64)
def _defines(text: str, whole: bool = False) -> set[str]:
    """The names that a chapter's exported cells, or a `whole` file, bind at the top level."""
    try:
        text = text if whole else exported_text(Chapter("", text))
        code = compile(text, "<chapter>", "exec", dont_inherit=True)
    except SyntaxError:
        return {EVERYTHING}
    everything = {EVERYTHING} if "import *" in text else set()
    return {name for name, _ in _names(code, STORES)} | everything


def _froms(tree: ast.Module) -> list[ast.ImportFrom]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A code object and all that are defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _names(code: CodeType, operations: set[str]) -> Iterator[tuple[str, int]]:
    for step in dis.get_instructions(code):
        if step.opname in operations:
            yield step.argval, (step.positions.lineno if step.positions else None) or code.co_firstlineno
