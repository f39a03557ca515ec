"""Which exercises of a chapter an exercise rests on, read from the code: what it and its tests call, and so on."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tito.chapter import Chapter
from tito.names import exported_text

Named = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
IMPLICIT = ("__init__", "__new__", "__post_init__")  # what making an object runs


def by_each(chapter: Chapter, reference: Chapter) -> dict[str, list[str]]:
    """For each exercise, the earlier ones it rests on, in order; the tests are the reference's.

    Nothing is known of a chapter that is no Python.
    """
    try:
        tree = ast.parse(exported_text(chapter))
        cells = [(test.exercise, ast.parse(test.cell.source)) for test in reference.tests]
    except (SyntaxError, ValueError):
        return {}
    found = {}
    for name, region in chapter.exercises.items():
        own = range(region.begin, region.end + 1)
        tests = [cell for exercise, cell in cells if exercise == name]
        reached = Reached(tree)
        reached.follow([node for node in _outermost(tree) if node.lineno in own] + tests)
        others = [r for r in chapter.exercises.values() if r.begin < region.begin and r.name != name]
        found[name] = [r.name for r in others if any(r.begin <= line <= r.end for line in reached.lines)]
    return found


def _outermost(tree: ast.AST) -> Iterator[ast.stmt]:
    """Every statement, a block's before those in it."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.stmt))


@dataclass
class Reached:
    """The lines that are run when some code is: those of the functions it names, and so on.

    Of a class these are what making an object runs, and the methods that are asked for by name.
    """

    tree: ast.Module
    lines: set[int] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)

    def follow(self, nodes: Iterable[ast.AST]) -> None:
        defined = {node.name: node for node in self.tree.body if isinstance(node, Named)}
        waiting, seen = list(nodes), set()
        while waiting:
            for node in waiting:
                self._read(node)
            asked = [defined[name] for name in self.names if name in defined]
            methods = [m for node in asked if isinstance(node, ast.ClassDef) for m in self._asked_of(node)]
            functions = [node for node in asked if not isinstance(node, ast.ClassDef)]
            waiting = [node for node in functions + methods if id(node) not in seen]
            seen.update(map(id, waiting))

    def _asked_of(self, cls: ast.ClassDef) -> list[ast.stmt]:
        wanted = self.attributes | set(IMPLICIT)
        return [node for node in cls.body if not isinstance(node, Named) or node.name in wanted]

    def _read(self, node: ast.AST) -> None:
        """Take in a statement of the chapter, or a test cell, whose lines are none of the chapter's."""
        for part in ast.walk(node):
            if isinstance(part, ast.Name):
                self.names.add(part.id)
            elif isinstance(part, ast.Attribute):
                self.attributes.add(part.attr)
            if isinstance(node, ast.stmt) and isinstance(part, ast.stmt):
                self.lines.update(range(part.lineno, part.end_lineno + 1))
