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
HOLDING = ("body", "orelse", "finalbody", "handlers")  # fields of a statement that hold others


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

    It runs the cell but for what stands in `check` itself. Held-back lines are therefore whole statements, their
    checks are written out as statements, and what is expected there is made of names from elsewhere, of what the
    check is called with anyway, or of what students' code made without a literal of these lines. So is what a check
    of the other lines expects, where held-back ones have a hand in it.
    """
    tree, hidden = ast.parse(source), _hidden_lines(source)
    if not hidden:
        return
    statements = [n for n in ast.walk(tree) if isinstance(n, ast.stmt)]
    held_back = [n for n in statements if _head(n) & hidden]
    for statement in held_back:
        if not _head(statement) <= hidden:
            _refuse("of a statement, a part alone stands in held-back lines", statement)
        if isinstance(statement, ast.Assert | ast.Raise):
            _refuse("`assert` and `raise` are run in the student's process", statement)
    _refuse_other_ways(tree, hidden)
    influenced = _influenced(tree, held_back)
    own = depending(tree, own_names) - _influenced(tree, [n for n in held_back if _has_literals(n)])
    checks = [n.value for n in statements if _is_check(n) and (n in held_back or names(_wanted(n.value)) & influenced)]
    for check in checks:
        if told := sorted(_told(check, _local(tree)) - own):
            _refuse(f"{told[0]} stands in what the check expects and has its value in the student's process", check)


def _refuse(why: str, node: ast.AST) -> None:
    remedy = "Write out the check in held-back lines, check(f(x), value), and what is expected in the check itself."
    raise NotSeparable(f"students' code could read what is held back: {why}. {remedy}", node.lineno)


def _head(statement: ast.stmt) -> set[int]:
    """The lines of a statement; of one that holds others, its own."""
    if not hasattr(statement, "body"):
        return set(range(statement.lineno, statement.end_lineno + 1))
    fields = [value for name, value in ast.iter_fields(statement) if name not in HOLDING]
    parts = [part for value in fields for part in (value if isinstance(value, list) else [value])]
    nodes = [n for part in parts if isinstance(part, ast.AST) for n in ast.walk(part) if hasattr(n, "lineno")]
    lines = [statement.lineno, *(n.lineno for n in nodes), *(n.end_lineno for n in nodes)]
    return set(range(min(lines), max(lines) + 1))


def _refuse_other_ways(tree: ast.Module, hidden: set[int]) -> None:
    """Checks that are no statements, and what is handed to a function that checks or asserts."""
    statements = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.stmt) and _is_check(n)}
    checking = _checking(tree)
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
    harmless = {id(n.func) for n in calls if id(n) in statements or not (n.args or n.keywords)}
    for node in ast.walk(tree):
        name = getattr(node, "id", getattr(node, "attr", ""))
        checks = name in checking or name.startswith("assert")
        if checks and node.lineno in hidden and isinstance(node.ctx, ast.Load) and id(node) not in harmless:
            _refuse(f"here, {name} is given what is expected in the student's process", node)


def _checking(tree: ast.Module) -> set[str]:
    """The names of functions that check, by themselves or by others."""
    found = set(CHECKS)
    while True:
        nodes = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef | ast.Assign)]
        more = {name for n in nodes if names(n) & found or _asserts(n) for name in _changed(n)}
        if more <= found:
            return found
        found |= more


def _has_literals(statement: ast.stmt) -> bool:
    return any(isinstance(n, ast.Constant) for n in ast.walk(_without_body(statement)))


def _asserts(tree: ast.AST) -> bool:
    return any(isinstance(n, ast.Assert) for n in ast.walk(tree))


def _influenced(tree: ast.Module, held_back: list[ast.stmt]) -> set[str]:
    """The names of the cell that some statements set or change, and those that are made of these."""
    local = _local(tree)
    found = {name for statement in held_back if not _is_check(statement) for name in _changed(statement)} & local
    while True:
        others = [n for n in ast.walk(tree) if isinstance(n, ast.stmt) and not _is_check(n)]
        more = {name for n in others if names(_without_body(n)) & found for name in _changed(n)} & local
        if more <= found:
            return found
        found |= more


def _changed(statement: ast.stmt) -> set[str]:
    """What a statement sets, whole or in part; a call may change all that it names."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    head = _without_body(statement)
    if isinstance(statement, ast.Expr):
        return names(head)
    parts = [n for n in ast.walk(head) if isinstance(n, ast.Attribute | ast.Subscript) and isinstance(n.ctx, ast.Store)]
    return stored(head) | {name for part in parts for name in names(part.value)}


def _wanted(check: ast.Call) -> ast.AST:
    """What a check is given besides the call that it tries."""
    first, second, *rest = check.args
    wanted = first if check.func.id == "check_raises" else second
    return ast.Tuple([wanted, *rest, *(k.value for k in check.keywords)], ast.Load())


def _told(check: ast.Call, local: set[str]) -> set[str]:
    """The cell's own names in what a check expects, but for those that it is called with."""
    tried, wanted = _uses(check.args[check.func.id == "check_raises"]), _wanted(check)
    used = {name for name, text in _uses(wanted) if not {(name, name), (name, text)} & tried}
    return used & local - stored(wanted)


def _uses(tree: ast.AST) -> set[tuple[str, str]]:
    """Each name, and what is taken of it: `x` of x, `case.want` and `rows[0]` of case and rows."""
    taken_of = (ast.Attribute, ast.Subscript)
    inner = {id(n.value) for n in ast.walk(tree) if isinstance(n, taken_of)}
    found = set()
    for node in ast.walk(tree):
        base = node if id(node) not in inner else None
        while isinstance(base, taken_of):
            base = base.value
        if isinstance(base, ast.Name):
            found.add((base.id, ast.unparse(node)))
    return found


def _local(tree: ast.Module) -> set[str]:
    """The names that a cell sets: variables, functions, classes and arguments."""
    defined = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    return stored(tree) | defined | {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}


def _hidden_lines(source: str) -> set[int]:
    found: set[int] = set()
    for match in HIDDEN.finditer(source):
        first = source.count("\n", 0, match.start()) + 1
        found.update(range(first, first + match[0].count("\n")))
    return found


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
