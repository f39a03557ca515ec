"""Which exercises of a chapter an exercise rests on, read from the code: what it and its tests call, and so on.

Followed are the chapter's functions and tables by their names; of a class that is named, and of those it is made
from, what making an object runs, the methods asked for by name, and those that calls and operators stand for. What
is reached by a name put together as a text, or through an object of an unnamed class, is not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tito.chapter import Chapter, Region
from tito.names import exported_text

Table = ast.Assign | ast.AnnAssign
Named = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
IMPLICIT = ("__init__", "__new__", "__post_init__")  # what making an object runs
OPERATORS = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "truediv", ast.MatMult: "matmul", ast.Pow: "pow",
    ast.FloorDiv: "floordiv", ast.Mod: "mod", ast.USub: "neg", ast.Eq: "eq", ast.Lt: "lt", ast.Gt: "gt",
    ast.In: "contains", ast.Subscript: "getitem", ast.For: "iter", ast.comprehension: "iter", ast.With: "enter",
}  # fmt: skip


def by_each(chapter: Chapter, reference: Chapter) -> dict[str, list[str]]:
    """For each exercise, the earlier ones it rests on, in order; the tests are the reference's.

    Nothing is known of a chapter that is no Python.
    """
    try:
        tree = ast.parse(exported_text(chapter))
        cells = [(test.exercise, ast.parse(test.cell.source)) for test in reference.tests]
    except (SyntaxError, ValueError):
        return {}
    regions, found = list(chapter.exercises.values()), {}
    for region in regions:
        own = range(region.begin, region.end + 1)
        begun = [node for node in _outermost(tree) if node.lineno in own]
        begun += [cell for exercise, cell in cells if exercise == region.name]
        earlier = [r for r in regions if r.begin < region.begin and r.name != region.name]
        found[region.name] = _reached(tree, begun, earlier)
    for test, (_, cell) in zip(reference.tests, cells):
        if not test.exercise:  # it rests on all that it calls
            found[test.name] = _reached(tree, [cell], regions)
    return found


def _reached(tree: ast.Module, begun: list[ast.AST], regions: list[Region]) -> list[str]:
    """Those exercises of whose code some is run when the code that was `begun` is."""
    reached = Reached(tree)
    reached.follow(begun)
    return [r.name for r in regions if any(r.begin <= line <= r.end for line in reached.lines)]


def _set_in(node: ast.stmt) -> list[ast.Name]:
    return [n for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]


def _outermost(tree: ast.AST) -> Iterator[ast.stmt]:
    """Every statement, a block's before those in it."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.stmt))


@dataclass
class Reached:
    """The lines that are run when some code is: those of the functions it names, and so on."""

    tree: ast.Module
    lines: set[int] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)

    def follow(self, nodes: Iterable[ast.AST]) -> None:
        defined = {node.name: node for node in self.tree.body if isinstance(node, Named)}
        defined |= {n.id: node for node in self.tree.body if isinstance(node, Table) for n in _set_in(node)}
        waiting, seen = list(nodes), set()
        while waiting:
            for node in waiting:
                self._read(node)
            asked = [defined[name] for name in self.names if name in defined]
            methods = [m for node in asked if isinstance(node, ast.ClassDef) for m in self._asked_of(node)]
            functions = [node for node in asked if not isinstance(node, ast.ClassDef)]
            waiting = [node for node in functions + methods if id(node) not in seen]
            seen.update(map(id, waiting))

    def _asked_of(self, cls: ast.ClassDef) -> list[ast.AST]:
        wanted = self.attributes | set(IMPLICIT)
        return [*cls.bases, *(node for node in cls.body if not isinstance(node, Named) or node.name in wanted)]

    def _read(self, node: ast.AST) -> None:
        """Take in a statement of the chapter, or a test cell, whose lines are none of the chapter's."""
        for part in ast.walk(node):
            if isinstance(part, ast.Name):
                self.names.add(part.id)
            elif isinstance(part, ast.Attribute):
                self.attributes.add(part.attr)
            elif isinstance(part, ast.Call):
                self.attributes |= {"__call__", "forward"}  # a layer's, which another chapter's `__call__` calls
            for kind in (part, getattr(part, "op", None), *getattr(part, "ops", ())):
                if name := OPERATORS.get(type(kind)):
                    self.attributes |= {f"__{name}__", f"__r{name}__"}
            if isinstance(node, ast.stmt) and isinstance(part, ast.stmt):
                self.lines.update(range(part.lineno, part.end_lineno + 1))
