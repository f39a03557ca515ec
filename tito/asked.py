"""What a test asks, read from its source: the call it makes, the value it expects, the lines that lead there."""

from __future__ import annotations

import ast

from tito import leading


def parse(cell):
    """A cell's syntax tree, its lines those of the chapter."""
    return ast.parse("\n" * (cell["line"] - 1) + cell["source"], cell["path"])


def tried(error, cell, in_test):
    """What was called and expected, by the test itself where a helper of the test stands between, and in which line."""
    places = [call_at(cell, f["line"]) | {"line": f["line"]} for f in in_test]
    checks = [place for place in places if "expected" in place]
    call = getattr(error, "call", "")
    if not call:
        return next(iter(checks + places[::-1]), {})
    functions = [place for place, f in zip(places, in_test) if f["name"] != "<module>"]
    if len(functions) > 1 and "expected" not in functions[0]:
        return functions[0] | {"call": f"{call} in {functions[0].get('call', '')}"}
    return {"call": call, "line": in_test[-1]["line"] if in_test else 0}


def call_at(cell, line):
    """What the check in this line of a test cell calls and expects."""
    statement = _statement(cell, line)
    return _parts(statement) if statement else {}


def before(cell, line):
    """The statements that a check's call depends on, in order."""
    checked = _statement(cell, line)
    inner = [node for node in ast.walk(parse(cell)) if isinstance(node, ast.FunctionDef)]
    bodies = [node.body for node in inner if node.lineno <= line <= node.end_lineno]
    if not bodies or checked is None:
        return []
    return leading.leading_to(leading.asked(checked) or checked, bodies[0], line)


def _statement(cell, line):
    for node in ast.walk(parse(cell)):
        if isinstance(node, ast.stmt) and not hasattr(node, "body") and node.lineno <= line <= node.end_lineno:
            return node
    return None


def _parts(statement):
    asked = leading.asked(statement)
    if asked is None:
        return {"call": ast.unparse(statement)}
    call = statement.value
    expected = call.args[1 if call.func.id == "check" else 0]
    return {"call": ast.unparse(asked), "expected": ast.unparse(expected)}
