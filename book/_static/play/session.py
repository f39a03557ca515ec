"""What the page "Try autograd now" asks of Python: an expression with its gradients, and a network trained on digits.

The page runs it in the browser, on the package that is installed there; any other Python can import it as well.
"""

import ast
import builtins
import contextlib
import io
import traceback
from types import SimpleNamespace

import numpy as np

from tinytorch.core import autograd
from tinytorch.core.activations import softmax
from tinytorch.core.autograd import first_nonfinite, traced_run
from tinytorch.core.tensor import Tensor
from tinytorch.viz.graph import draw_trace
from tinytorch.viz.steps import backward_lines
from tito import digits

FILE = "your expression"
PUBLIC = {name: found for name, found in vars(autograd).items() if callable(found) and not name.startswith("_")}
KNOWN = {"np": np, **PUBLIC}


class Mistake(Exception):
    """An expression that cannot be computed; the message says why."""


def inputs(source: str) -> list[str]:
    """The names that an expression reads and does not define, in their order; none where it is broken."""
    try:
        statements = ast.parse(source).body
    except (SyntaxError, ValueError):
        return []
    return list(dict.fromkeys(_needed(statements, {*KNOWN, *dir(builtins)})))


def evaluate(source: str, values: dict) -> dict:
    """The result of an expression, its gradients, the recorded graph and the chain rule written out.

    Parameters
    ----------
    source : str
        Lines of Python; the last one is an assignment or an expression.
    values : dict of name to number

    Returns
    -------
    dict
        ``error``, words, where it cannot be computed. Otherwise ``value``, ``gradients``, ``svg`` and ``words`` of the
        graph, ``forward`` and ``backward`` lines, and a ``note``. With both, what it ``printed``.
    """
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), np.errstate(all="ignore"):
            result = _computed(source, values)
    except (Exception, SystemExit) as error:
        result = {"error": _words(error)}
    return {**result, "printed": printed.getvalue()}


def _computed(source, values) -> dict:
    names = inputs(source)
    numbers = [_number(name, values.get(name)) for name in names]
    function = _function(source, names)
    trace, given, out = traced_run(function, *numbers)
    named = dict(zip(names, given))
    drawing = draw_trace(trace, named, out)
    lines = backward_lines(trace, named, out)
    middle = lines.index("")
    gradients = {name: trace.gradients.get(id(x), x.grad) for name, x in named.items()}
    return {
        "value": _shown(out),
        "gradients": {name: "0" if g is None else _shown(g) for name, g in gradients.items()},
        "svg": drawing.svg if trace.steps else "",
        "words": drawing.text,
        "forward": lines[:middle],
        "backward": lines[middle + 1 :],
        "note": _note(function, numbers, trace, out, gradients),
    }


def _function(source: str, names: list[str]):
    """The expression as a function of its inputs, which returns what its last line gives."""
    body = ast.parse(source, FILE).body
    if not body:
        raise Mistake("There is nothing to compute. Write an expression, such as z = x*y.")
    body[-1:] = _returned(body[-1])
    arguments = ast.arguments([], [ast.arg(name) for name in names], kwonlyargs=[], kw_defaults=[], defaults=[])
    definition = ast.FunctionDef("expression", arguments, body, decorator_list=[], lineno=1, col_offset=0)
    if "type_params" in ast.FunctionDef._fields:
        definition.type_params = []
    space = dict(KNOWN)
    exec(compile(ast.fix_missing_locations(ast.Module([definition], [])), FILE, "exec"), space)
    function = space["expression"]

    def checked(*given):
        out = function(*given)
        if not isinstance(out, Tensor) or not out.requires_grad:
            raise Mistake(f"The result, {out!r:.60}, was not computed from an input: it has no gradients.")
        return out

    return checked


def _returned(last: ast.stmt) -> list[ast.stmt]:
    """The last statement, with its value returned."""
    target = last.targets[0] if isinstance(last, ast.Assign) else getattr(last, "target", None)
    if isinstance(last, ast.Return):
        return [last]
    if isinstance(last, ast.Expr):
        return [ast.copy_location(ast.Return(last.value), last)]
    if isinstance(last, ast.Assign | ast.AnnAssign | ast.AugAssign) and isinstance(target, ast.Name):
        return [last, ast.copy_location(ast.Return(ast.Name(target.id, ast.Load())), last)]
    raise Mistake(f"Line {last.lineno} comes last and gives no single value. End with one: z = x*y, or z alone.")


def _needed(statements: list[ast.stmt], bound: set[str]) -> list[str]:
    """The names that are read before they are bound; what the statements bind is added to `bound`."""
    found = []
    for statement in statements:
        inner = [child for child in ast.iter_child_nodes(statement) if isinstance(child, ast.stmt)]
        if inner and not isinstance(statement, ast.FunctionDef | ast.ClassDef):
            heads = [child for child in ast.iter_child_nodes(statement) if not isinstance(child, ast.stmt)]
        else:
            heads, inner = [statement], []
        for head in heads:
            assigns = isinstance(head, ast.Assign | ast.AnnAssign | ast.AugAssign)
            before = (head.value or ast.Pass()) if assigns else head  # x = x + 1 reads x before it binds it
            found += [name for name in _read(head) if name not in bound | _bound(before)]
            bound |= _bound(head)
        found += _needed(inner, bound)
    return found


def _bound(node: ast.AST) -> set[str]:
    """The names that a piece of code defines, parameters included."""
    found = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            found.add(part.id)
        elif isinstance(part, ast.arg):
            found.add(part.arg)
        elif isinstance(part, ast.FunctionDef | ast.ClassDef):
            found.add(part.name)
        elif isinstance(part, ast.alias):
            found.add((part.asname or part.name).partition(".")[0])
        elif isinstance(part, ast.ExceptHandler) and part.name:
            found.add(part.name)
    return found


def _read(statement: ast.AST) -> list[str]:
    """The names that a statement reads, in the order of the text, without those that are called."""
    called = {id(part.func) for part in ast.walk(statement) if isinstance(part, ast.Call)}
    names = [part for part in ast.walk(statement) if isinstance(part, ast.Name) and id(part) not in called]
    changed = {id(part.target) for part in ast.walk(statement) if isinstance(part, ast.AugAssign)}
    read = [name for name in names if isinstance(name.ctx, ast.Load) or id(name) in changed]
    return [name.id for name in sorted(read, key=lambda name: (name.lineno, name.col_offset))]


def _number(name: str, value) -> np.float64:
    if value is None:
        raise Mistake(f"{name} needs a number.")
    return np.float64(value)


def _shown(x) -> str:
    """Ten digits of a number; an array as NumPy shows it."""
    data = np.asarray(x.detach().numpy())
    return f"{data.item():.10g}" if data.ndim == 0 else np.array2string(data, precision=6, separator=", ")


def _note(function, numbers, trace, out, gradients) -> str:
    """What is worth knowing of a result: where it stopped being a number, or what its gradients are those of."""
    tensors = [out, *(g for g in gradients.values() if g is not None)]
    if not all(np.isfinite(x.detach().numpy()).all() for x in tensors):
        lines = (first_nonfinite(function, *numbers) or "").splitlines()
        return "\n".join(line for line in lines if __file__ not in line)
    if not trace.steps:
        return "The result is an input itself: no operation was recorded."
    if out.ndim:
        return f"The result has shape {out.shape}. The gradients are those of the sum of its entries."
    return ""


def _words(error: BaseException) -> str:
    """What went wrong, and in which line of the expression."""
    if isinstance(error, Mistake):
        return str(error)
    if isinstance(error, SyntaxError):
        return f"Line {error.lineno or 1}: this is not Python: {error.msg}."
    if isinstance(error, NameError) and error.name and not isinstance(error, UnboundLocalError):
        said = f"{error.name} is neither an input nor a function that the course exports."
    else:
        said = f"{type(error).__name__}: {error}"
    said = "\n".join([said, *getattr(error, "__notes__", [])])
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == FILE]
    return f"Line {lines[-1]}: {said}" if lines else said


def begin(seed: int = 0) -> SimpleNamespace:
    """A training of the network of `tito demo digits`, before its first epoch."""
    training, watched, test = digits.parts()
    model, optimizer = digits.network(seed)
    made = digits.training_of(model, optimizer, training, watched, digits.EPOCHS, seed)
    trainer, batches, watching, schedule = made
    facts = {"parameters": sum(p.size for p in model.parameters()), "epochs": digits.EPOCHS}
    facts |= {"training": len(training), "watched": len(watched), "test": len(test)}
    return SimpleNamespace(
        trainer=trainer, batches=batches, watching=watching, schedule=schedule, test=test, facts=facts, done=0
    )


def epoch(run: SimpleNamespace) -> dict:
    """Go once through the training digits: loss and accuracy there, and on the digits that are watched."""
    run.done += 1
    numbers = run.trainer.train_epoch(run.batches, run.done)
    numbers |= {f"val_{name}": value for name, value in run.trainer.evaluate(run.watching).items()}
    run.schedule.step()
    return {"epoch": run.done, **{name: float(value) for name, value in numbers.items()}}


def answers(run: SimpleNamespace, most: int = 10) -> dict:
    """What the network, as it is now, takes the test digits for: one digit of each class, and those it mistakes."""
    test = run.test
    scores = run.trainer.predict(test.features)
    taken, sure = scores.numpy().argmax(axis=1), softmax(scores).numpy().max(axis=1)
    wrong = np.flatnonzero(taken != test.targets)

    def told(i):
        pixels = test.images[i] / test.images.max()
        named = {"truth": test.target_names[test.targets[i]], "answer": test.target_names[taken[i]]}
        return {**named, "sure": float(sure[i]), "rows": pixels.tolist()}

    first = [told(np.flatnonzero(test.targets == k)[0]) for k in range(len(test.target_names))]
    return {
        "accuracy": float((taken == test.targets).mean()),
        "mistaken": len(wrong),
        "first": first,
        "wrong": [told(i) for i in wrong[:most]],
    }
