"""A test cell in two editions: the judge's, with the expected values, and the student's, without them.

`check(f(x), [1.0])` becomes `check(3, f(x))` for the student's process and `check(3, f(x), [1.0])` for the
reference's: 3 is the check's number in its cell, and `check` sends the values away instead of comparing them.
Where what is expected is made with the student's own code, as in `check(f(x), g(x))` with an exercise `g`, only
the student's process can say what it is: both values are sent from there.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from tito.chapter import HIDDEN, Chapter

CHECKS = ("check", "check_raises")


class NotSeparable(ValueError):
    """A test cell uses `check` in a way that cannot be taken apart."""

    def __init__(self, message: str, line: int = 1):
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Check:
    """One check of a cell, as it stands there."""

    raises: bool
    call: str
    expected: str
    own: bool  # what is expected is made with the student's code


@dataclass(frozen=True)
class Split:
    """A cell's two editions."""

    student: str
    reference: str
    checks: tuple[Check, ...]


def split(source: str, own_names: set[str]) -> Split:
    """Take a test cell apart; `own_names` are those that the chapter itself defines."""
    used = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name) and n.id in CHECKS]
    own = depending(ast.parse(source), own_names)
    editions = [Edition(for_student, own) for for_student in (True, False)]
    trees = [edition.visit(ast.parse(source)) for edition in editions]
    if len(used) != len(editions[0].checks):
        raise NotSeparable("`check` and `check_raises` have to be called by their names, and not one in another.")
    return Split(*(ast.unparse(ast.fix_missing_locations(tree)) for tree in trees), tuple(editions[0].checks))


class Edition(ast.NodeTransformer):
    """Rewrites the checks of a cell."""

    def __init__(self, for_student: bool, own: set[str]):
        self.for_student, self.own, self.checks = for_student, own, []

    def visit_Call(self, node):
        name = getattr(node.func, "id", "")
        if name not in CHECKS:
            return self.generic_visit(node)
        if len(node.args) < 2 or any(isinstance(a, ast.Starred) for a in node.args):
            raise NotSeparable(f"line {node.lineno}: {name} needs its two values in their places.")
        raises = name == "check_raises"
        first, second, *rest = node.args
        tried, wanted = (second, first) if raises else (first, second)
        shown = tried.body if raises and isinstance(tried, ast.Lambda) else tried
        own = not raises and bool(names(wanted) & self.own)
        number = len(self.checks)
        self.checks.append(Check(raises, ast.unparse(shown), ast.unparse(wanted), own))
        if self.for_student:
            kept, keywords = [tried, wanted] if own else [tried], []
        else:
            kept, keywords = [tried, wanted, *rest], node.keywords
        return ast.Call(node.func, [ast.Constant(number), *kept], keywords)


def refuse_given_away(source: str, own_names: set[str]) -> None:
    """Raise `NotSeparable` where the student's process would hold what a held-back check expects.

    It runs the cell but for what stands in `check` itself, so a name that the cell sets has its value there. Only what
    a check is called with has to.
    """
    tree = ast.parse(source)
    own, hidden = depending(tree, own_names), _hidden_lines(source)
    local = stored(tree) | {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "check" and node.lineno in hidden:
            tried, wanted = node.args[:2]
            if told := sorted((names(wanted) & local) - own - stored(wanted) - _whole_names(tried)):
                raise NotSeparable(
                    f"{told[0]} stands in what a held-back check expects and is set in the cell, so students' code "
                    "could read it: write out what is expected, or compute it in the check itself.",
                    node.lineno,
                )


def _hidden_lines(source: str) -> set[int]:
    found: set[int] = set()
    for match in HIDDEN.finditer(source):
        first = source.count("\n", 0, match.start()) + 1
        found.update(range(first, first + match[0].count("\n")))
    return found


def _whole_names(tree: ast.AST) -> set[str]:
    """The names that stand there whole, and not with one of their items alone."""
    parts = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Subscript)}
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in parts}


def stored(tree: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def names(tree: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}


def depending(tree: ast.Module, own: set[str]) -> set[str]:
    """`own`, and every name of the cell whose value the student's code may have had a hand in.

    A statement that mentions such a name passes it on to all it names, functions and modules from elsewhere
    apart. A check passes nothing on.
    """
    local = stored(tree) | {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    found = set(own)
    while True:
        more = set()
        for statement in ast.walk(tree):
            if isinstance(statement, ast.stmt) and not _is_check(statement):
                mentioned = names(_without_body(statement))
                defined = {statement.name} if isinstance(statement, ast.FunctionDef | ast.ClassDef) else set()
                inner = names(statement) if defined and not _is_test(statement) else mentioned
                if inner & found:
                    more |= (mentioned | defined) & (local | defined)
        if more <= found:
            return found
        found |= more


def _is_check(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and getattr(getattr(statement.value, "func", None), "id", "") in CHECKS


def _is_test(statement: ast.stmt) -> bool:
    return statement.name.startswith("test_")


def _without_body(statement: ast.stmt) -> ast.AST:
    """The statement's own line: of a loop or a `with`, its head."""
    heads = [getattr(statement, name, None) for name in ("target", "iter", "test")]
    if isinstance(statement, ast.With):
        heads = list(statement.items)
    if not hasattr(statement, "body"):
        return statement
    return ast.Tuple([h for h in heads if h is not None], ast.Load())


def defined_names(chapter: Chapter) -> set[str]:
    """The names that a chapter's exported cells define, imports apart."""
    found = set()
    for cell in chapter.cells:
        if cell.kind == "code" and cell.exported:
            for node in ast.parse(cell.source).body:
                stored = [n for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
                found |= {node.name} if hasattr(node, "name") else {n.id for n in stored}
    return found
