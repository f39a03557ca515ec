"""Small changes to a solution, one at a time: mutmut's operators, and ours, on what stands between its markers.

Many of mutmut's put None where a value was, and any test falls over that. Ours leave something out, as people do: an
operand, a call around a value, a statement, a case. What is only said is left alone: docstrings, annotations and what
a `raise` raises, whose words the tests ask for in part.
"""

from __future__ import annotations

import ast
import difflib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst
from libcst import matchers
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

from tito.chapter import END, Chapter, Region, split_lines

WORDS = cst.Annotation | cst.Raise
DOCSTRING = matchers.SimpleStatementLine([matchers.Expr(matchers.SimpleString() | matchers.ConcatenatedString())])
NUMPY = matchers.Name("np")


def operands(node: cst.BinaryOperation | cst.BooleanOperation) -> Iterator[cst.BaseExpression]:
    """x + y as x, and as y."""
    for side in (node.left, node.right):
        yield side.with_changes(lpar=[cst.LeftParen(), *side.lpar], rpar=[*side.rpar, cst.RightParen()])


def unwrapped(node: cst.Call) -> Iterator[cst.BaseExpression]:
    """f(x, y) as x, and x.f(y) as x."""
    if isinstance(node.func, cst.Attribute) and not matchers.matches(node.func.value, NUMPY):
        yield node.func.value
    if node.args and not node.args[0].star:
        yield node.args[0].value.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])


def one_less(node: cst.Integer) -> Iterator[cst.BaseExpression]:
    """n as n - 1; mutmut has n + 1."""
    yield cst.parse_expression(f"({node.evaluated_value - 1})")


def left_out(node: cst.SimpleStatementLine) -> Iterator[cst.SimpleStatementLine]:
    """A statement as pass."""
    yield node.with_changes(body=[cst.Pass()])


def decided(node: cst.If) -> Iterator[cst.If]:
    """A condition as one that always holds, and as one that never does."""
    for answer in ("True", "False"):
        yield node.with_changes(test=cst.Name(answer))


OURS = [
    (cst.BinaryOperation, operands),
    (cst.BooleanOperation, operands),
    (cst.Call, unwrapped),
    (cst.Integer, one_less),
    (cst.SimpleStatementLine, left_out),
    (cst.If, decided),
]


@dataclass(frozen=True)
class Mutant:
    """A solution with one small change."""

    exercise: str
    change: str  # the lines that differ, as `- old` and `+ new`, without their indentation
    occurrence: int  # among the exercise's mutants with this very change, from 1
    line: int  # of the change, in the chapter
    code: str  # the region's lines

    @property
    def key(self) -> tuple[str, str, int]:
        """What the mutant is known by, wherever its lines move to."""
        return self.exercise, self.change, self.occurrence


def mutants(chapter: Chapter) -> list[Mutant]:
    """Every mutant of every exercise, in the order of the chapter."""
    return [mutant for region in chapter.regions for mutant in _mutants(region)]


def _mutants(region: Region) -> Iterator[Mutant]:
    before = split_lines(region.text, keepends=True)
    seen = {_meaning(region.cell.source)}
    changes: Counter[str] = Counter()
    for source in _changed(region):
        meaning = _meaning(source)
        if meaning is None or meaning in seen:
            continue
        seen.add(meaning)
        after = _between_markers(source, region)
        edits = [edit for edit in difflib.SequenceMatcher(None, before, after).get_opcodes() if edit[0] != "equal"]
        change = "".join(_shown(before[a:b], "-") + _shown(after[c:d], "+") for _, a, b, c, d in edits)
        changes[change] += 1
        yield Mutant(region.name, change, changes[change], region.begin + 1 + edits[0][1], "".join(after))


def _changed(region: Region) -> Iterator[str]:
    """The exercise's cell with each change that an operator makes between the markers."""
    wrapper = MetadataWrapper(cst.parse_module(region.cell.source))
    inside = _Inside(wrapper.resolve(PositionProvider), region)
    wrapper.module.visit(inside)
    for node in inside.nodes:
        for kind, operator in [*mutation_operators, *OURS]:
            if isinstance(node, kind):
                for new in operator(node):
                    yield wrapper.module.deep_replace(node, new).code


class _Inside(cst.CSTVisitor):
    """Collects the nodes that stand between a region's markers."""

    def __init__(self, positions: dict[cst.CSTNode, CodeRange], region: Region):
        self.nodes: list[cst.CSTNode] = []
        self.positions = positions
        self.first, self.last = region.begin - region.cell.first + 2, region.end - region.cell.first

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, WORDS) or matchers.matches(node, DOCSTRING):
            return False
        place = self.positions.get(node)
        if place and self.first <= place.start.line and place.end.line <= self.last:
            self.nodes.append(node)
        return True


def _between_markers(source: str, region: Region) -> list[str]:
    lines = split_lines(source, keepends=True)[region.begin - region.cell.first + 1 :]
    return lines[: next(i for i, line in enumerate(lines) if END.match(line))]


def _meaning(source: str) -> str | None:
    """The same for two texts that differ in their writing alone; None for one that is no Python."""
    try:
        return ast.dump(ast.parse(source))
    except SyntaxError:
        return None


def _shown(lines: list[str], sign: str) -> str:
    return "".join(f"{sign} {line.strip()}\n" for line in lines if line.strip())
