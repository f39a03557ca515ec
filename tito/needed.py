"""Which exercises of a chapter an exercise rests on, read from the code: what it and its tests call, and so on.

Followed are the chapter's functions and tables by their names, and a table's rows by the function they are about; of
a class that is named, and of those it is made from, what making an object runs, the methods asked for by name, and
those that calls and operators stand for; methods that are set from outside the class, by their names alone. In a test,
an operator also stands for the function that it is in the tensor chapter. What is reached by a name put together as a
text, or through an object of an unnamed class, is not.
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
FUNCTIONS = {
    ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide", ast.USub: "negative",
    ast.MatMult: "matrix_product", ast.Pow: "power_number",
}  # fmt: skip


def by_each(chapter: Chapter, reference: Chapter) -> dict[str, list[str]]:
    """For each exercise, the earlier ones it rests on, in order; the tests are the reference's.

    Nothing is known of a chapter that is no Python.
    """
    try:
        tree = ast.parse(_with_a_statement_each(chapter, exported_text(chapter)))
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


def _with_a_statement_each(chapter: Chapter, text: str) -> str:
    """The text, where an exercise in which nothing stands can be seen to be run: it holds a `pass`."""
    lines = text.split("\n")
    for region in chapter.exercises.values():
        if all(line.lstrip().startswith("#") for line in region.text.split("\n") if line.strip()):
            lines[region.begin] = f"{region.indent}pass"
    return "\n".join(lines)


def _reached(tree: ast.Module, begun: list[ast.AST], regions: list[Region]) -> list[str]:
    """Those exercises of whose code some is run when the code that was `begun` is."""
    reached = Reached(tree)
    reached.follow(begun)
    return [r.name for r in regions if any(r.begin <= line <= r.end for line in reached.lines)]


def _stands_for(node: ast.stmt) -> set[str]:
    """The names by which a statement of the chapter is asked for; with a point before it, one of an attribute."""
    if isinstance(node, Named):
        return {node.name}
    if isinstance(node, Table):
        stored = [n for n in ast.walk(node) if isinstance(getattr(n, "ctx", None), ast.Store)]
        names = {n.id for n in stored if isinstance(n, ast.Name)}
        return names | {f".{n.attr}" for n in stored if isinstance(n, ast.Attribute)}
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):  # a row: what is entered comes first
        return {part.id for part in node.value.args[:1] if isinstance(part, ast.Name)}
    return set()


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
        standing = [(name, node) for node in self.tree.body for name in _stands_for(node)]
        waiting, seen = list(nodes), set()
        while waiting:
            for node in waiting:
                self._read(node)
            wanted = self.names | {f".{attribute}" for attribute in self.attributes}
            asked = [node for name, node in standing if name in wanted]
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
                if isinstance(node, ast.Module) and (name := FUNCTIONS.get(type(kind))):
                    self.names.add(name)  # only in a test: elsewhere the operator is most often one of numbers
            if isinstance(node, ast.stmt) and isinstance(part, ast.stmt):
                self.lines.update(range(part.lineno, part.end_lineno + 1))
