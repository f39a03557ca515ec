"""Runs tests/NAME on the scratch package, in a process of its own: `python -m tito.further JOB`.

These tests are pytest's, written for whoever keeps the course. What came of each is written down as for the
chapter's own test cells, so that one that fails reads the same.
"""

from __future__ import annotations

import ast
import json
import linecache
import re
import sys
import textwrap
import traceback
from pathlib import Path

import pytest

from tito import inside
from tito.process import untold

ARRAYS = re.compile(  # as NumPy shows two that differ
    r"^ *(?:ACTUAL|x): (.*?)^ *(?:DESIRED|y): (array\(.*?\)|.*?)\s*(?:^\S|\Z)", re.S | re.M
)


class Plugin(inside.Events):
    """Bounds each test's time, and writes down what came of it."""

    def __init__(self, job):
        super().__init__(job)
        self.compared = None

    def name(self, nodeid):
        return nodeid

    def pytest_collection_modifyitems(self, config, items):
        only = self.job.get("only")
        left = [i for i in items if i.nodeid not in self.job["done"] and (only is None or i.nodeid in only)]
        config.hook.pytest_deselected(items=[item for item in items if item not in left])
        items[:] = left

    def pytest_collection_finish(self, session):
        self.write(event="imported")

    def pytest_collectreport(self, report):
        if report.failed:
            said = str(report.longrepr).strip()
            failure = untold("error", said.splitlines()[-1].removeprefix("E").strip(), said)
            self.write(event="end", name=report.nodeid, outcome="failed", seconds=0, failure=failure)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        self.compared = None
        try:
            with inside.time_limit(self.job["seconds"]):
                return (yield)
        except (KeyboardInterrupt, SystemExit, pytest.exit.Exception) as error:
            raise inside.ended_by(error) from None

    def pytest_assertrepr_compare(self, op, left, right):
        """Keep the two sides of the comparison that does not hold."""
        from tinytorch.testing import shown

        self.compared = (op, shown(left), shown(right))

    def harmless(self, call, report):
        return report.skipped

    def describe(self, item, call):
        error = call.excinfo.value
        while isinstance(error, BaseExceptionGroup):  # Hypothesis found several: one at a time
            error, self.compared = error.exceptions[0], None
        path = str(item.path)
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
        named = [f for f in frames if f.name == getattr(item, "originalname", item.name)] or frames
        asked = statement(path, named[-1].lineno) if named else {}
        own = inside.all_frames(error, self.job)
        text = inside.whole_text(error, self.job, path)
        failure = untold(inside.kind(error), inside.told(error, self.job), text)
        failure |= {"type": type(error).__name__, "message": inside.cut(str(error))} | inside.blank_met(error, self.job)
        failure |= {"test": {"path": path, "line": named[-1].lineno, "name": item.name} if named else None}
        failure |= {"where": own[-1] if own else None, "frames": own[-inside.MOST_FRAMES :]} | asked
        failure["reason"] = "; ".join(getattr(error, "__notes__", ()))
        if hasattr(error, "call"):
            failure |= {key: getattr(error, key) for key in ("call", "actual", "expected", "reason")}
        elif isinstance(error, AssertionError):
            failure |= self.assertion(error)
        return failure

    def assertion(self, error):
        """What an `assert` of pytest, or one of NumPy's, found."""
        if arrays := ARRAYS.search(str(error)):
            return {"kind": "check", "actual": arrays[1].strip(), "expected": arrays[2].strip()}
        if self.compared:
            op, left, right = self.compared
            if op in ("in", "not in"):  # assert message in str(error)
                return {"kind": "check", "actual": right, "expected": f"{left} {op} it"}
            return {"kind": "check", "actual": left, "expected": right if op == "==" else f"{op} {right}"}
        said = [line.strip() for line in str(error).splitlines() if line.strip()]
        return {"kind": "check", "actual": " ".join(said[:3])}


def statement(path, line):
    """What the statement in this line of a test calls, and what it expects where it says so."""
    try:
        tree = ast.parse("".join(linecache.getlines(path)))
    except SyntaxError:
        return {}
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and not hasattr(node, "body") and node.lineno <= line <= node.end_lineno:
            return _parts(node)
        if isinstance(node, ast.With) and node.lineno == line:
            body = "; ".join(map(ast.unparse, node.body))
            return {"call": textwrap.shorten(body, 300), "expected": ast.unparse(node.items[0].context_expr)}
    return {}


def _parts(node):
    if isinstance(node, ast.Assert) and isinstance(node.test, ast.Compare) and len(node.test.ops) == 1:
        right = ast.unparse(node.test.comparators[0])
        equal = isinstance(node.test.ops[0], ast.Eq)
        return {"call": ast.unparse(node.test.left if equal else node.test), "expected": right if equal else ""}
    if isinstance(node, ast.Assert):
        return {"call": ast.unparse(node.test)}
    call = getattr(node, "value", None)
    checks = isinstance(call, ast.Call) and ast.unparse(call.func).startswith(("np.testing.", "check"))
    if checks and len(call.args) > 1:
        return {"call": ast.unparse(call.args[0]), "expected": ast.unparse(call.args[1])}
    return {"call": ast.unparse(node)}


def main(path):
    job = json.loads(Path(path).read_text(encoding="utf-8"))
    inside.limit_resources(job)
    inside.run(Plugin(job), ["--no-header", job["directory"]])


if __name__ == "__main__":
    main(sys.argv[1])
