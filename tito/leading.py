"""The statements of a test that lead to a check: a backward slice of its source.

A test goes on with the same objects from check to check, so what a check says depends on more than the names in it:
on what was called before with those objects, and with what was made of them. Assignments are told apart by number,
so that a name that is bound again brings nothing along from before.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

READING = {"str", "len", "float", "int", "bool", "list", "tuple", "dict", "set", "sorted", "isinstance", "type", "id"}
READING_METHODS = {"item", "tolist", "keys", "values", "items"}
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
Name = tuple[str, int]  # a name, and which of its assignments


@dataclass(frozen=True)
class Step:
    """A statement, the names it reads and those it binds."""

    text: str
    reads: frozenset[Name]
    binds: frozenset[Name]
    checks: bool  # whether it is a check, of which the call is the text
    acts: bool  # whether it calls what may change an object
    hands: frozenset[Name]  # names in a function that it gives to another, which may call it at any later time
    surrounds: bool = False  # whether it is the head of a `with` that the check stands in


def leading_to(call: ast.AST, body: list[ast.stmt], line: int) -> list[str]:
    """The statements of a function's body, up to a line, that a call there depends on, in order."""
    steps, versions = [], {}
    for node in _before(body, line):
        steps.append(_step(node, versions, line))
    target = _versions(free(call), versions)
    looks = not _acts(call)  # then what was done before is what counts
    touched = target | _ancestors(target, steps) | _descendants(target, steps)
    handed = next((i for i, step in enumerate(steps) if step.hands & touched), len(steps))
    needed, found = set(target), []
    for place, step in reversed(list(enumerate(steps))):
        if step.checks:
            weighs = step.acts and (looks or step.text == ast.unparse(call))
        else:
            weighs = not step.binds or looks and step.acts
        reached = step.reads & touched or place > handed and not (step.checks or step.binds)
        if step.surrounds or step.binds & needed or weighs and reached:
            found.append(step.text)
            needed |= step.reads
            touched |= step.reads | _ancestors(step.reads, steps)
    return [text for text in found[::-1] if text]


def asked(statement: ast.AST) -> ast.AST | None:
    """The call that a check makes; None of a statement that is no check."""
    call = getattr(statement, "value", None)
    name = getattr(getattr(call, "func", None), "id", "")
    if name not in ("check", "check_raises") or len(call.args) < 2:
        return None
    tried = call.args[0 if name == "check" else 1]
    return tried.body if isinstance(tried, ast.Lambda) else tried


def free(node: ast.AST) -> set[str]:
    """The names that are read and not bound within: no argument of a lambda, no variable of a comprehension."""
    if isinstance(node, ast.Name):
        return {node.id} if isinstance(node.ctx, ast.Load) else set()
    inside = set().union(*map(free, ast.iter_child_nodes(node)))
    if isinstance(node, ast.AugAssign):
        inside |= bound(node.target)
    if isinstance(node, ast.Lambda):
        inside -= {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}
    if isinstance(node, COMPREHENSIONS):
        inside -= set().union(*(bound(part.target) for part in node.generators))
    return inside


def bound(node: ast.AST) -> set[str]:
    """The names that are bound, those of comprehensions left out."""
    if isinstance(node, ast.Name):
        return {node.id} if isinstance(node.ctx, ast.Store) else set()
    if isinstance(node, COMPREHENSIONS + DEFINITIONS):
        return set()
    return set().union(*map(bound, ast.iter_child_nodes(node)))


def _before(body: list[ast.stmt], line: int) -> Iterator[ast.stmt]:
    """The statements before a line in the order they run, also those of the blocks that the line stands in."""
    for node in body:
        around = node.lineno <= line <= node.end_lineno
        if node.lineno > line or around and not hasattr(node, "body"):
            continue
        if around and isinstance(node, ast.With):
            yield node
        if (around or isinstance(node, ast.Try)) and not isinstance(node, DEFINITIONS):
            for block in ("body", "orelse", "finalbody"):
                yield from _before(getattr(node, block, []), line)
        else:
            yield node


def _step(node: ast.stmt, versions: dict[str, int], line: int) -> Step:
    surrounds = isinstance(node, ast.With) and node.lineno <= line <= node.end_lineno
    whole = ast.Module(node.items, []) if surrounds else node
    reads = _versions(free(whole), versions)
    names = bound(whole)
    if isinstance(node, DEFINITIONS) and reads:  # what it closes over can change by it; others change nothing
        names = {node.name}
    versions |= {name: versions.get(name, 0) + 1 for name in names}
    call = asked(node)
    text = _head(node).rstrip(":") if surrounds else _in_a_line(node)
    binds, hands = _versions(names, versions), _versions(_handed(whole), versions)
    return Step(text, reads, binds, call is not None, _acts(call or whole), hands, surrounds)


def _handed(node: ast.AST) -> set[str]:
    """The names that the functions in a call's arguments read."""
    given = [argument for call in ast.walk(node) if isinstance(call, ast.Call) for argument in call.args]
    return set().union(*(free(argument) for argument in given if isinstance(argument, ast.Lambda)))


def _versions(names: set[str], versions: dict[str, int]) -> frozenset[Name]:
    return frozenset((name, versions[name]) for name in names if name in versions)


def _acts(node: ast.AST) -> bool:
    """Whether there is a call in it that may do more than read."""
    return any(isinstance(inner, ast.Call) and not _reads(inner.func) for inner in ast.walk(node))


def _reads(function: ast.AST) -> bool:
    return getattr(function, "id", "") in READING or getattr(function, "attr", "") in READING_METHODS


def _ancestors(names: frozenset[Name], steps: list[Step]) -> frozenset[Name]:
    """What these were made of."""
    found = set(names)
    for step in reversed(steps):
        if step.binds & found:
            found |= step.reads
    return frozenset(found)


def _descendants(names: frozenset[Name], steps: list[Step]) -> frozenset[Name]:
    """What was made of these, and may hold them."""
    found = set(names)
    for step in steps:
        if step.reads & found:
            found |= step.binds
    return frozenset(found)


def _head(node: ast.stmt) -> str:
    return ast.unparse(node).splitlines()[0]


def _in_a_line(node: ast.stmt) -> str:
    """A statement as text, one with a block in a line, too; of a check, its call; of a definition, nothing."""
    if isinstance(node, DEFINITIONS):
        return ""
    if not hasattr(node, "body"):
        return ast.unparse(asked(node) or node)
    inner = [_in_a_line(statement) for statement in node.body]
    return f"{_head(node)} {'; '.join(inner) if not any(hasattr(s, 'body') for s in node.body) else '...'}"
