"""The chain rule written out for one function and its inputs.

The text is made from the operations' own source: `multiply` returns ``x * y`` and its row in the
table of derivatives says ``g * y``, so with names in their places the lines read as one
would write them by hand.
"""

import ast
import functools
import linecache

import numpy as np


def backward_lines(trace, inputs: dict, out) -> list[str]:
    """Lines for the forward pass, an empty one, and lines for the backward pass.

    Parameters
    ----------
    trace : Trace of a forward and a backward pass
    inputs : dict of name to Variable
    out : Tensor
        The result; it is called f.
    """
    names = name_values(trace, inputs, out)
    return [*forward_lines(trace, names, inputs), "", *gradient_lines(trace, names, out)]


def forward_lines(trace, names, inputs) -> list[str]:
    """The inputs, and each operation below what it uses besides: constants, parameters, values made before."""
    lines = [f"{name} = {show(x.data)}" for name, x in inputs.items()]
    known = {id(x) for x in inputs.values()}
    for step in trace.steps:
        for x in step.inputs:
            if id(x) in names and id(x) not in known:
                known.add(id(x))
                lines.append(f"{names[id(x)]} = {show(x.data)}{'' if x.requires_grad else ', a constant'}")
        known.add(id(step.out))
        lines.append(forward_line(step, names))
    return lines


def name_values(trace, inputs, out) -> dict[int, str]:
    """Names by identity: the inputs' own, f for the result, a, b, c, ... for what lies between."""
    names = {id(x): name for name, x in inputs.items()}
    names[id(out)] = "f"
    free = (c for c in letters() if c not in {*inputs, "f"})
    for step in trace.steps:
        for x in (*step.inputs, step.out):
            if id(x) not in names and (x.requires_grad or x.data.ndim):
                names[id(x)] = next(free)
    return names


def letters():
    """a to z without those that mislead, then a1, b1, ..."""
    n = 0
    while True:
        yield from (c + (str(n) if n else "") for c in "abcdehijklmnpqrstuvw")
        n += 1


def show(value) -> str:
    """A number, or the shape of an array."""
    value = np.asarray(value)
    return f"{value.item():.6g}" if value.size == 1 else f"array {value.shape}"


def exact(value) -> str:
    """A number with all its digits, to compute with; `Short` rounds it where it is written."""
    return repr(float(np.asarray(value).item()))


class Short(float):
    """A number that is written with six digits."""

    def __repr__(self):
        return f"{self:.6g}"


def forward_line(step, names) -> str:
    """One operation with its result."""
    return f"{names[id(step.out)]} = {formula(step, names)} = {show(step.out.data)}"


def gradient_lines(trace, names, out) -> list[str]:
    """For every value its gradient: a sum over the paths, in symbols and in numbers."""
    arrived, lines, written = {}, [], {id(out)}
    if trace.visits:
        lines.append("df/df = 1" if out.size == 1 else "df/df = 1 in each entry")

    def write(x):
        if id(x) in written or id(x) not in arrived:
            return
        written.add(id(x))
        lines.append(sum_line(f"df/d{names[id(x)]}", arrived[id(x)]))

    for step in trace.visits:
        write(step.out)
        for name, x, piece in zip(input_names(step), step.inputs, step.pieces):
            if piece is not None and x.requires_grad:
                arrived.setdefault(id(x), []).append(contribution(step, name, names, piece, x.shape))
    for step in trace.steps:
        for x in step.inputs:
            if x.requires_grad:
                write(x)
    return lines


def sum_line(name, paths) -> str:
    """df/dx = symbols = numbers = value."""
    total = sum(np.asarray(value) for _, _, value in paths)
    parts = [name, joined([symbols for symbols, _, _ in paths])]
    numbers = [n for _, n, _ in paths]
    if all(n is not None for n in numbers):
        parts.append(joined(numbers))
    if parts[-1] != show(total):
        parts.append(show(total))
    return " = ".join(parts)


def joined(terms) -> str:
    """Terms as a sum, with a minus where a term has one."""
    text = terms[0]
    for term in terms[1:]:
        text += f" - {term[1:]}" if term.startswith("-") else f" + {term}"
    return text


def input_names(step) -> list[str]:
    operation = step.operation
    return operation.inputs * len(step.inputs) if operation.any_number else operation.inputs


def contribution(step, name, names, piece, shape):
    """What one path adds to the gradient of an input: in symbols, in numbers (None for arrays), and its value."""
    upstream = f"df/d{names[id(step.out)]}"
    numbers = None
    single = np.size(piece) == 1 and all(np.size(a) == 1 for a in step.arrays)
    if single:
        values = {n: exact(a) for n, a in zip(step.operation.inputs, step.arrays)}
        numbers = rule_text(step, name, {**values, "out": exact(step.out.data), "g": exact(step.gradient)})
    text = rule_text(step, name, {**symbols(step, names), "g": upstream})
    if axes := copied_axes(np.shape(piece), shape):
        axis = axes[0] if len(axes) == 1 else axes
        text = f"sum({text})" if len(axes) == np.ndim(piece) else f"sum({text}, axis={axis})"
        piece = np.sum(piece, axis=axes)
    return text, numbers, np.reshape(piece, shape)


def copied_axes(shape, original) -> tuple[int, ...]:
    """The axes of `shape` along which an input of shape `original` was copied: a gradient is summed over them."""
    before = (1,) * (len(shape) - len(original)) + original
    return tuple(i for i, (n, m) in enumerate(zip(shape, before)) if n != m)


def symbols(step, names) -> dict[str, str]:
    """What to write for the inputs and the result of a step."""
    known = {n: names.get(id(x), show(a)) for n, x, a in zip(step.operation.inputs, step.inputs, step.arrays)}
    return {**known, "out": names[id(step.out)]}


def formula(step, names) -> str:
    """The operation with names in the places of its inputs."""
    operation = step.operation
    arguments = [names.get(id(x), show(a)) for x, a in zip(step.inputs, step.arrays)]
    called = f"{operation.__name__.removeprefix('reduce_')}({', '.join(arguments)})"
    body = returned(operation.__wrapped__)
    if operation.any_number or not isinstance(body, ast.BinOp | ast.UnaryOp):
        return called
    return written(body, {**symbols(step, names), **option_texts(step)}) or called


def rule_text(step, name, texts) -> str:
    """The rule for one input with texts in the places of its parameters."""
    body = returned(step.operation.rules[name])
    text = None if body is None else written(body, {**option_texts(step), **texts})
    return text if text is not None else f"({step.operation.__name__} row of {name})({texts['g']})"


def option_texts(step) -> dict[str, str]:
    texts = {name: f"{v:g}" if type(v) in (int, float) else repr(v) for name, v in step.options.items()}
    shapes = {f"{name}_shape": str(np.shape(a)) for name, a in zip(step.operation.inputs, step.arrays)}
    return texts | shapes


def returned(function):
    """The expression that a lambda, or a function of one return, gives: its syntax tree, or None without source."""
    code = function.__code__
    return found(code, "".join(linecache.getlines(code.co_filename)))


@functools.lru_cache(maxsize=256)
def found(code, source):
    """The expression that `code` returns, in the text of its file. A large file takes long to parse and to search."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    spots = [(p[0], p[2]) for p in code.co_positions() if p[0] is not None and p[2] is not None and p[2] != p[3]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda) and code.co_name == "<lambda>":
            body = node.body
            if any((body.lineno, body.col_offset) <= spot <= (body.end_lineno, body.end_col_offset) for spot in spots):
                return body
        elif isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            statements = [s for s in node.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
            if node.body[-1].lineno in {line for line, _ in spots} and len(statements) == 1:
                return getattr(statements[0], "value", None)
    return None


class Filled(ast.NodeTransformer):
    """Puts texts in the places of names, and tidies what a person would not write."""

    def __init__(self, texts):
        self.texts = texts

    def visit_Name(self, node):
        text = self.texts.get(node.id, node.id)
        try:
            tree = ast.parse(text, mode="eval").body if not text.startswith("df/") else ast.Name(text)
        except SyntaxError:
            return ast.Name(text)
        for part in ast.walk(tree):
            if isinstance(part, ast.Constant) and type(part.value) is float:
                part.value = Short(part.value)
        return tree

    def visit_IfExp(self, node):
        test = self.visit(node.test)
        chosen = node.body if not isinstance(test, ast.Constant) or test.value else node.orelse
        return self.visit(chosen)

    def visit_Call(self, node):
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "np":
            node.func = ast.Name(node.func.attr)
        if getattr(node.func, "id", "") == "plain":
            return node.args[0]
        return node

    def visit_BinOp(self, node):
        self.generic_visit(node)
        if not isinstance(node.op, ast.Pow):
            node.right = bracketed(node.right)
        left, right = node.left, node.right
        if isinstance(node.op, ast.Pow) and getattr(right, "value", None) == 1:
            return left
        if isinstance(left, ast.Constant) and isinstance(right, ast.Constant) and isinstance(node.op, ast.Sub):
            difference = left.value - right.value
            return ast.Constant(Short(difference) if isinstance(difference, float) else difference)
        return node

    def visit_UnaryOp(self, node):
        self.generic_visit(node)
        node.operand = bracketed(node.operand)
        return node


def bracketed(node):
    """What begins with a minus, in brackets: it stands behind another sign."""
    minus = isinstance(node, ast.UnaryOp) or (isinstance(node, ast.Constant) and ast.unparse(node).startswith("-"))
    return ast.Name(f"({ast.unparse(node)})") if minus else node


def written(body, texts) -> str | None:
    """An expression as text, the names replaced."""
    try:
        copied = ast.parse(ast.unparse(body), mode="eval").body
        return ast.unparse(Filled(texts).visit(copied))
    except (SyntaxError, AttributeError):
        return None
