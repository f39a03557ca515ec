"""The process in which a student's chapter runs, locked up: `main` reads a job from stdin and writes to stdout.

The same process, with the reference's chapter and the other edition of the test cells, says what is expected.
Everything that a student's code could turn to its advantage is decided elsewhere: here values are computed and
sent, and nothing is compared.
"""

from __future__ import annotations

import ast
import base64
import importlib
import json
import os
import re
import sys
import traceback
import types

from tito.chapter import Cell, split_cells, split_lines
from tito.grading import sandbox

UNSOLVED = re.compile(r"exercise (\w+)$")
LONGEST_MESSAGE = 2_000
MAGICS_OF_PYTHON = ("time", "timeit", "capture", "prun")  # others hold another language


def main() -> None:
    job = json.load(sys.stdin.buffer)
    channel = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)  # the job cannot be read again
    os.dup2(nowhere, 1)
    send = sender(channel)
    sys.path.insert(0, job["stage"])
    if job["locked"]:
        lacks = sandbox.lock_up(job["work"], job["readable"], job["memory_mb"], job["cpu_seconds"])
    else:
        lacks = dict.fromkeys(sandbox.PROTECTIONS, "switched off")
    status = 1
    try:
        from tito.grading import wire  # and NumPy with it: the first that has to work under lock

        send(event="locked", lacks=lacks)
        if job["lacks"] in (None, lacks):  # locked up as the reference was, or nothing is run
            run(job, send, wire)
            status = 0
    finally:
        os._exit(status)  # threads and exit handlers of the student's code end here


def sender(channel):
    def send(**message):
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(channel, data) :]

    return send


def run(job: dict, send, wire) -> None:
    path = job["path"]
    module = types.ModuleType(job["module"])
    module.__file__, module.__package__ = path, job["module"].rpartition(".")[0]
    try:
        importlib.import_module(module.__package__)
        sys.modules[job["module"]] = module
        setattr(sys.modules[module.__package__], job["module"].rpartition(".")[2], module)
        cells = exported_cells(base64.b64decode(job["content"]), job["notebook"])
        exec(compiled(cells, path, job["notebook"]), vars(module))
    except BaseException as error:
        send(event="broken", failure=told(error, path, ""))
        return
    send(event="imported", everything=cells.everything)
    for test in job["tests"]:
        send(event="begin", test=test["name"])
        failure = run_test(test, job, module, send, wire)
        send(event="end", test=test["name"], failure=failure)


def run_test(test: dict, job: dict, module, send, wire) -> dict | None:
    """Run a test cell in a copy of the module's namespace; what it raised."""
    import numpy as np

    np.random.seed(0)
    try:
        names = dict(vars(module)) | {"__name__": f"tests of {job['module']}"}
        for source in job["imports"]:
            exec(source, names)
        names |= probes(send, wire, job["reference"])
        exec(compile(test["source"], "<test>", "exec", dont_inherit=True), names)
    except BaseException as error:
        return told(error, job["path"], "<test>")
    return None


def probes(send, wire, reference: bool) -> dict:
    """What stands for `check` and `check_raises` in the cells: they send values, and compare nothing."""

    def check(number, actual, expected=None, rtol=1e-5, atol=1e-7):
        tolerance = {"rtol": float(rtol), "atol": float(atol)} if reference else {}
        send(event="check", number=number, actual=wire.encode(actual), expected=wire.encode(expected), **tolerance)

    def check_raises(number, call, error=(), match=""):
        classes = error if isinstance(error, tuple) else (error,)
        wanted = {"errors": [wire.name_of(e) for e in classes], "match": match} if reference else {}
        try:
            raised = {"value": wire.encode(call())}
        except Exception as e:
            if unsolved(e):
                raise
            kinds = [wire.name_of(cls) for cls in type(e).__mro__]
            raised = {"kinds": kinds[:20], "message": str(e)[:LONGEST_MESSAGE]}
        send(event="raises", number=number, raised=raised, **wanted)

    return {"check": check, "check_raises": check_raises}


class Cells(list):
    """The cells that make the module; `everything` where none was marked for it and all were taken."""

    everything = False


def exported_cells(content: bytes, notebook: bool) -> Cells:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"the file is not text in UTF-8 (byte {error.start}): save it as UTF-8") from None
    cells = notebook_cells(text) if notebook else split_cells(text)
    chosen = Cells(c for c in cells if c.kind == "code" and c.exported)
    if not chosen:
        chosen.everything = True
        chosen.extend([c for c in cells if c.kind == "code"] if notebook else [Cell("code", 1, 1, text)])
    return chosen


def notebook_cells(text: str) -> list[Cell]:
    """The cells of a notebook, as those of the file that jupytext would make of it; their lines are their numbers."""
    try:
        cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise ValueError("the file is not a Jupyter notebook of version 4") from None
    return [Cell(kind, number, number, without_magics(source)) for number, (kind, source) in enumerate(cells, 1)]


def without_magics(source: str) -> str:
    """Lines that IPython alone understands become comments, and the line that runs a cell otherwise is left out."""
    magic, _, rest = source.partition("\n")
    if match := re.match(r"%%(\w+)", magic):
        if match[1] not in MAGICS_OF_PYTHON:
            return "\n".join(f"# {line}" for line in split_lines(source))
        source = rest
    kept: list[str] = []
    for line in source.split("\n"):
        magic = line.startswith(("%", "!")) and not _goes_on(kept)
        kept.append("# " + line if magic else line)
    return "\n".join(kept)


def _goes_on(lines: list[str]) -> bool:
    """Whether the last statement does, in the line after these."""
    try:
        ast.parse("\n".join(lines))
    except (SyntaxError, ValueError) as error:
        return any(said in str(error) for said in ("was never closed", "triple-quoted", "unexpected EOF"))
    return False


def compiled(cells: Cells, path: str, notebook: bool):
    """The cells as one module, so that what the first says of the future holds for all."""
    body = []
    for cell in cells:
        tree = parsed(cell, f"cell {cell.line}" if notebook else path)
        if not notebook:
            ast.increment_lineno(tree, cell.first - 1)
        body += tree.body
    body.sort(key=lambda node: not (isinstance(node, ast.ImportFrom) and node.module == "__future__"))
    name = "a notebook" if notebook else path
    return compile(ast.Module(body, type_ignores=[]), name, "exec", dont_inherit=True)


def parsed(cell: Cell, path: str) -> ast.Module:
    try:
        return ast.parse(cell.source, path)
    except SyntaxError as error:
        if not path.startswith("cell") and error.lineno:
            error.lineno += cell.first - 1
        raise


def told(error: BaseException, path: str, test: str) -> dict:
    """What the judge wants to know of an exception."""
    line, test_lines = 0, []
    for frame in traceback.extract_tb(error.__traceback__):
        line = frame.lineno or 0 if frame.filename == path else line
        test_lines += [frame.lineno or 0] if frame.filename == test else []
    if isinstance(error, SyntaxError) and error.filename == path:
        line = error.lineno or 0
    message = str(error)[:LONGEST_MESSAGE]
    return {
        "type": type(error).__name__,
        "message": message,
        "line": line,
        "test_lines": test_lines[:20],
        "needs": unsolved(error),
        "memory": isinstance(error, MemoryError),
    }


def unsolved(error) -> str:
    """The exercise whose blank raised, somewhere in the chain of causes."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, NotImplementedError) and (match := UNSOLVED.match(str(error))):
            return match[1]
        error = error.__cause__ or error.__context__
    return ""
