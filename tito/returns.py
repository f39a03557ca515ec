"""A value that is worked out and never returned."""

from __future__ import annotations

import ast
import textwrap

from tito.chapter import Region

FORGOTTEN = "what {name} works out is lost: no line of it returns anything"
ONE_WAY = "one way through {name} ends without a return, and a function that ends so gives None"


def missing(name: str, mine: Region | None, handed_out: Region, failure: dict) -> str:
    """What is said where an exercise, or one of the functions in it, returns nothing and ought to."""
    values, expected = _returns(mine.text if mine else ""), _returns(handed_out.text)
    lost = [function for function in expected if function in values and expected[function] and not values[function]]
    if lost:
        return FORGOTTEN.format(name=lost[0] or name)
    if values and failure["actual"] == "None" != failure["expected"] and _calls(failure["call"], name):
        return (ONE_WAY if values.get(name, values[""]) else FORGOTTEN).format(name=name)
    return ""


def _returns(code: str) -> dict[str, int]:
    """How many values each function returns or yields; "" is the one that the code stands in."""
    try:
        body = ast.parse(textwrap.dedent(code)).body
    except SyntaxError:
        return {}
    found: dict[str, int] = {}
    _count(body, "", found)
    return found


def _count(body: list[ast.AST], function: str, found: dict[str, int]) -> None:
    found.setdefault(function, 0)
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            _count(node.body, node.name, found)
        else:
            giving = isinstance(node, ast.Return | ast.Yield | ast.YieldFrom) and node.value is not None
            found[function] += giving
            _count(list(ast.iter_child_nodes(node)), function, found)


def _calls(call: str, name: str) -> bool:
    """Whether what was tried is a call of this very function, and nothing around it."""
    try:
        node = ast.parse(call, mode="eval").body
    except SyntaxError:
        return False
    return isinstance(node, ast.Call) and name in (getattr(node.func, "id", ""), getattr(node.func, "attr", ""))
