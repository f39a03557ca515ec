# ---
# jupyter:
#   jupytext:
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Autograd
#
# A network with its weights drawn at random is a function that computes nonsense. Training makes it compute something
# else by moving every weight a little, in the direction that makes the error smaller, many times over. The direction is
# the *gradient*: for each weight, how fast the error changes when that weight changes. The small network that reads
# digits later in this course has thousands of weights, so there are thousands of such numbers to find for every step.
#
# They could be found by trying: nudge one weight, run the network, see what changed; then the next. That is one run per
# weight. This chapter finds all of them in one pass back, which costs no more than a few runs, and measures how many in
# the end. The method is the chain rule, applied from the result backwards. It was described (Linnainmaa 1970) sixteen
# years before the paper that made it the usual way to train networks (Rumelhart, Hinton & Williams 1986). What you
# build here is what PyTorch and JAX are at heart: operations that leave a record, a table of derivatives, and one walk
# back through the record.

# %%
#| default_exp core.autograd

# %%
#| export
import sys
from contextlib import contextmanager
from itertools import count as counter
from operator import attrgetter

import numpy as np

from tinytorch._lines import named_places

# All operations are imported, used here or not, so that they can be had from this module beside Variable.
# ruff: noqa: F401
from tinytorch.core.activations import gelu, leaky_relu, log_softmax, relu, sigmoid, softmax, softplus
from tinytorch.core.layers import dense, layer_norm, layer_norm_composed
from tinytorch.core.tensor import (
    Tensor, absolute, add, as_tensor, broadcast_to, carries_dtype, clip, concatenate, contract, cos, divide, einsum, exp, explain_data,
    expand_dims, getitem, join, log, matmul, matrix_product, maximum, mean, minimum, multiply, negative, operation, power,
    power_number, power_tensor, reduce_max, reduce_min, reduce_sum, reshape, set_recorder, sin, sqrt, square, squeeze,
    stack, std, subtract, swapaxes, tanh, to_array, transpose, var, where, wrap,
)  # fmt: skip

# %%
from tinytorch.memory import peak_bytes
from tinytorch.testing import check, check_raises
from tinytorch.timing import seconds

# %% [markdown]
# ## By hand first
#
# Take $z = xy + x^2$ at $x = 5$, $y = 3$. How fast does $z$ change with each? The honest experiment first: nudge, and
# look.

# %%
def f(x, y):
    return x * y + x**2


h = 1e-6
print("z        ", f(5.0, 3.0))
print("dz/dx  ~ ", (f(5.0 + h, 3.0) - f(5.0 - h, 3.0)) / (2 * h))
print("dz/dy  ~ ", (f(5.0, 3.0 + h) - f(5.0, 3.0 - h)) / (2 * h))

# %% [markdown]
# Calculus says $\partial z/\partial x = y + 2x = 13$ and $\partial z/\partial y = x = 5$. To get there without a
# formula for the whole, cut the expression into operations so small that each one's derivative is known, and let each
# leave behind a function: *given how fast the result changes with my output, how fast does it change with my inputs?*
# In Python such a function is a *closure*: it remembers the values it was made with.

# %%
def times(x, y):
    return x * y, lambda g: (g * y, g * x)


def plus(x, y):
    return x + y, lambda g: (g, g)


x, y = 5.0, 3.0
a, a_backward = times(x, y)  # a = xy
b, b_backward = times(x, x)  # b = x^2, written as x times x
z, z_backward = plus(a, b)

g_a, g_b = z_backward(1.0)  # dz/dz = 1
g_x_from_a, g_y = a_backward(g_a)
g_x_from_b, g_x_from_b_again = b_backward(g_b)
print("dz/dx =", g_x_from_a, "+", g_x_from_b, "+", g_x_from_b_again, "=", g_x_from_a + g_x_from_b + g_x_from_b_again)
print("dz/dy =", g_y)

# %% [markdown]
# Everything is in these few lines. Three things in them are worth a second look, because the rest of the chapter makes
# a machine of them:
#
# 1. The closures ran in the *reverse* of the order in which they were made. When `a_backward` runs, `g_a` has to be
#    complete.
# 2. `x` was used three times, so three gradients arrived, and they were *added*. Every path from `x` to `z` counts.
# 3. Nothing was computed twice, and nothing was asked for each input separately. One backward pass gave both
#    derivatives, and would have given a million.
#
# ## What an operation leaves behind
#
# The machine needs a record of each operation: which operation it was, where its inputs came from, and what its
# derivative needs to remember. Such a record is a *node*. Together the nodes form a graph, which we walk from the
# result back to where it began.
#
# A closure would do for a node's memory, and `grad_fn` below is one. But a closure is two things in one, code and
# remembered values, and a graph may have a million nodes with the same code. So a node keeps the two apart: `plan` is
# the code, shared by all nodes of its kind, and `saved` holds the values. Nodes are not Variables: a node does not hold
# the value of its result, so an intermediate value that no derivative asks for is freed as soon as the program lets go
# of it.

# %%
#| export
class Node:
    """The record of one operation.

    Attributes
    ----------
    operation : callable
        What was computed.
    edges : tuple
        For each input where it came from: a Node, a leaf (a Tensor that requires a gradient and
        was not computed), or None for an input without a gradient. None once freed.
    plan : Plan
        What to save, and how to go back.
    saved : the values that the plan asked for
    shapes : tuple of shapes, or None
        The inputs' shapes where broadcasting may have to be undone.
    number : int
        Nodes are numbered as they are made.
    gradient : the gradient that has arrived so far; None outside a walk
    """

    __slots__ = ("operation", "edges", "plan", "saved", "shapes", "number", "gradient")

    def __reduce__(self):
        raise TypeError("A value that was computed cannot be pickled or deep-copied with its graph. Use x.detach().")


class Plan:
    """What a node of one kind saves, and how it goes back.

    Attributes
    ----------
    save : callable ``(arrays, options, out, kept) -> saved``
    back : callable ``(g, saved) -> tuple``
        One gradient per input, None for those that want none.
    names : tuple of str, or None
        What the entries of `saved` are; None for a hand-made node.
    """

    __slots__ = ("save", "back", "names")

    def __init__(self, save, back, names):
        self.save, self.back, self.names = save, back, names


NUMBER = counter()
by_number = attrgetter("number")


def make_node(operation, edges, plan, saved, shapes=None) -> Node:
    """A new Node with the next number."""
    node = Node()
    node.operation, node.edges, node.plan, node.saved, node.shapes = operation, edges, plan, saved, shapes
    node.number, node.gradient = next(NUMBER), None
    return node


# %% [markdown]
# A `Variable` is a Tensor that remembers how it came to be: it has the slots that a plain Tensor lacks, and a node. One
# that the reader makes has no node; it is a *leaf*, and leaves are where gradients are kept. One can also be built by
# hand, with a closure and the inputs that its gradients belong to. That is how the graph above would look:

# %%
#| export
class Variable(Tensor):
    """A Tensor that records how it was computed.

    Parameters
    ----------
    data : number, nested lists, array or Tensor of floats
        Python numbers become float32; an array keeps its dtype and must hold floats.
    requires_grad : bool
        Whether `backward` shall find a gradient for it.
    grad_fn : callable, optional
        For a Variable built by hand: takes the gradient with respect to this value and returns one
        gradient for each of `inputs`.
    inputs : sequence of Tensors
        What `grad_fn` gives gradients for.

    Attributes
    ----------
    data : ndarray, or NumPy scalar where there are no axes
        Writing to it is not recorded; between a forward and its backward that gives wrong gradients.
    grad : Tensor or None
        The gradient, for leaves; filled by `backward`, added to by the next one.
    """

    __slots__ = ("requires_grad", "grad", "_node")

    def __init__(self, data, requires_grad=True, grad_fn=None, inputs=()):
        self.data = float_array(data)
        self.requires_grad, self.grad, self._node = bool(requires_grad), None, None
        if grad_fn is not None:
            self._node = hand_made_node(grad_fn, inputs)
            self.requires_grad = True

    @property
    def is_leaf(self) -> bool:
        """Whether this value was given, not computed."""
        return self._node is None

    @property
    def grad_fn(self):
        """The closure that carries a gradient to the inputs; None for a leaf or where the graph was freed."""
        node = self._node
        if node is None or node.plan is None:
            return None
        plan, saved = node.plan, node.saved
        return lambda g: plan.back(g, saved)


def float_array(data) -> np.ndarray | np.generic:
    """A new array of floats for a Variable; Python integers become float32."""
    if isinstance(data, np.floating):
        return data
    if isinstance(data, Tensor) and data.requires_grad:
        raise TypeError(
            "Variable: this is a Variable already. A new one would forget how it was computed.\n"
            "  Use it as it is, or x.detach() to leave its history behind on purpose."
        )
    array = to_array(data)
    if array.dtype.kind == "f":
        return array
    if carries_dtype(data) or array.dtype.kind == "b":
        raise TypeError(
            f"Variable: entries of type {array.dtype} have no derivative. Expected floats.\n"
            "  Convert first: Variable(array.astype(np.float32))."
        )
    return array.astype(np.float32)


def hand_made_node(grad_fn, inputs) -> Node:
    """The node of a Variable that was built with a `grad_fn`."""
    inputs = (inputs,) if isinstance(inputs, Tensor) else inputs
    if not callable(grad_fn) or not isinstance(inputs, (tuple, list)) or not all(isinstance(x, Tensor) for x in inputs):
        raise TypeError(f"Variable: grad_fn is a function and inputs are Tensors, not {grad_fn!r:.40} and {inputs!r:.40}.")
    if not inputs:
        raise ValueError(
            "Variable: grad_fn needs inputs=(x, ...), so that its gradients have somewhere to go.\n"
            "  An operation of your own is shorter as a function and a row in the table:\n"
            "    cube = operation(lambda x: x ** 3)\n"
            "    gradient(cube, x=lambda g, x: 3 * g * x ** 2)"
        )

    def back(g, saved):
        pieces = grad_fn(g)
        pieces = pieces if isinstance(pieces, (tuple, list)) else (pieces,)
        if len(pieces) != len(inputs):
            raise ValueError(f"grad_fn returned {len(pieces)} gradients for {len(inputs)} inputs.")
        return pieces

    inputs = tuple(inputs)
    shapes = tuple(x.shape for x in inputs)
    return make_node(grad_fn, tuple(edge_of(x) for x in inputs), Plan(None, back, None), None, shapes)


def edge_of(x):
    """Where the gradient of x goes: its node, x itself where it is a leaf, or None."""
    return (x._node or x) if x.requires_grad else None


# %%
x, y = Variable(5.0), Variable(3.0)
a = Variable(x.data * y.data, grad_fn=lambda g: (g * y.data, g * x.data), inputs=(x, y))
print(repr(x), " leaf:", x.is_leaf)
print(repr(a), " leaf:", a.is_leaf, " gradients of its inputs:", a.grad_fn(1.0))

# %% [markdown]
# ## The table of derivatives
#
# Writing a closure into every operation would bury the mathematics under bookkeeping. In this library an operation's
# derivative is one row, which reads as the formula does in a calculus book. Those of the square root of x² + y², and of
# x³, would be:
#
# ```python
# gradient(hypotenuse, x=lambda g, x, out: g * x / out,  y=lambda g, y, out: g * y / out)
# gradient(cube,       x=lambda g, x: 3 * g * x * x)
# ```
#
# The keyword is the input whose gradient the rule gives. The rule's first parameter is `g`, the gradient with respect
# to the operation's result. Its other parameters say what else it needs: an input or an option by its name, the result
# as `out`, an input's shape as `x_shape`, or what a fused operation kept, as `kept`.
#
# That the parameters *name* what the rule needs is worth more than it seems. From the names the engine knows what a
# node has to save, and saves nothing else. `add` names nothing, so a thousand additions hold no array. `exp` names its
# result and not its input. `Plan` turns the rules for those inputs that want a gradient into two small functions, by
# writing their source, as Python's own `dataclass` does:

# %%
#| export
def plan_source(operation, wanted) -> tuple[str, tuple[str, ...]]:
    """Source of `save` and `back` for an operation of which some inputs want a gradient.

    Parameters
    ----------
    operation : callable with ``inputs``, ``options`` and ``rules``
    wanted : tuple of bool, one per input

    Returns
    -------
    source : str
    names : tuple of str
        What is saved.
    """
    rules = [operation.rules[name] if want else None for name, want in zip(operation.inputs, wanted)]
    names = [name for rule in rules if rule for name in needs(rule)]
    if operation.composition is not None:
        names += [*operation.inputs, *operation.options]
    names = tuple(dict.fromkeys(names))
    values = [value_source(name, operation) for name in names]
    calls = [
        f"rule_{name}({', '.join(['g', *needs(rule)])})" if rule else "None"
        for name, rule in zip(operation.inputs, rules)
    ]
    pack = ", ".join(values) if len(values) != 1 else values[0]
    unpack = f"{', '.join(names)} = saved; " if names else ""
    result = calls[0] if operation.any_number else f"({', '.join(calls)},)"
    return (
        f"def save(arrays, options, out, kept): return {pack or None}\ndef back(g, saved): {unpack}return {result}\n"
    ), names


def needs(rule) -> tuple[str, ...]:
    """Names of what `rule` needs besides the incoming gradient."""
    return rule.__code__.co_varnames[1 : rule.__code__.co_argcount]


def value_source(name, operation) -> str:
    """Where `save` finds the value of a name: among the inputs' arrays or the options, or as itself (out, kept)."""
    if name.endswith("_shape"):
        return "tuple(x.shape for x in arrays)" if operation.any_number else f"arrays[{operation.inputs.index(name.removesuffix('_shape'))}].shape"
    if name in operation.inputs:
        return "arrays" if operation.any_number else f"arrays[{operation.inputs.index(name)}]"
    return f"options[{operation.options.index(name)}]" if name in operation.options else name


# %% [markdown]
# `gradient` registers a row. It checks the names at once, where the mistake is made, and forgets plans that were made
# from an older row. `plan_for` makes a plan the first time it is asked for one.

# %%
#| export
def gradient(operation, composition=None, broadcasts=True, **rules):
    """Register the derivative rules of an operation: one row of the table.

    Parameters
    ----------
    operation : callable made by `tinytorch.core.tensor.operation`
    composition : callable, optional
        For a fused operation: the composition of other operations that it equals. It takes the operation's inputs
        and options, and is what gradients of gradients are computed from.
    broadcasts : bool
        Whether inputs may be stretched to each other's shape, which the walk has to undo. False for an
        operation whose rules give every gradient in its input's shape.
    **rules : callable ``(g, ...) -> gradient``
        The keyword is the input whose gradient the rule gives; the parameters after `g` name what the
        rule needs: inputs, options, ``out``, ``kept``, or an input's shape as ``x_shape``. An input without
        a rule is constant.

    Raises
    ------
    TypeError
        Where `operation` is none, or a rule names what the operation does not have.

    Examples
    --------
    >>> cube = operation(lambda x: x ** 3)
    >>> gradient(cube, x=lambda g, x: 3 * g * x ** 2)
    """
    if not hasattr(operation, "inputs"):
        raise TypeError("gradient: the first argument is no operation. Make it one with @operation.")
    known = {*operation.inputs, *operation.options, "out", "kept", *(f"{x}_shape" for x in operation.inputs)}
    for name, rule in rules.items():
        if not hasattr(rule, "__code__"):
            raise TypeError(f"gradient of {operation.__name__}: the rule for {name} is {rule!r:.60}. Expected a function, lambda g: ...")
        for need in (name, *needs(rule)):
            if need not in known or (need == name and name not in operation.inputs):
                raise TypeError(
                    f"gradient of {operation.__name__}: it has no {need!r}.\n"
                    f"  Its inputs are {', '.join(operation.inputs)}; a rule may name {', '.join(sorted(known))}."
                )
    operation.rules, operation.composition, operation.plans = rules, composition, {}
    operation.broadcasts = broadcasts


def plan_for(operation, bits: int) -> Plan:
    """The Plan of `operation` for the inputs whose bit is set (1 for the first, 2, 4, ...), made and kept."""
    if operation.rules is None:
        raise TypeError(
            f"{operation.__name__} has no row in the table of derivatives, and an input requires a gradient.\n"
            f"  Add one: gradient({operation.__name__}, {operation.inputs[0]}=lambda g, ...: ...), or detach() the input."
        )
    wanted = (True,) if operation.any_number else tuple(bool(bits >> i & 1) for i in range(len(operation.inputs)))
    lacking = [name for name, want in zip(operation.inputs, wanted) if want and name not in operation.rules]
    if lacking:
        raise TypeError(f"{operation.__name__} has no derivative rule for its input {lacking[0]!r}; detach() it.")
    source, saved = plan_source(operation, wanted)
    scope = {f"rule_{name}": rule for name, rule in operation.rules.items()}
    exec(source, scope)
    plan = operation.plans[bits] = Plan(scope["save"], scope["back"], saved)
    return plan


# %% [markdown]
# The first rows are yours. Each rule answers: the result changes `g` times as fast as this operation's output; how many
# times as fast as this input? That is `g` times the derivative of the output with respect to the input.

# %% nbgrader={"grade": false, "grade_id": "arithmetic_rows", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def unsolved(exercise: str):
    """Raise for a row that is still to be written."""
    raise NotImplementedError(f"exercise {exercise}")


# fmt: off
### BEGIN SOLUTION arithmetic_rows
gradient(add,      x=lambda g: g,        y=lambda g: g)
gradient(subtract, x=lambda g: g,        y=lambda g: -g)
gradient(multiply, x=lambda g, y: g * y, y=lambda g, x: g * x)
gradient(divide,   x=lambda g, y: g / y, y=lambda g, out, y: -g * out / y)
gradient(negative, x=lambda g: -g)
### END SOLUTION
# fmt: on

# %% [raw] tags=["exercise"]
# arithmetic_rows:
#   title: The first rows of the table
#   blank: |
#     gradient(add,      x=lambda g: unsolved("arithmetic_rows"), y=lambda g: unsolved("arithmetic_rows"))
#     gradient(subtract, x=lambda g: unsolved("arithmetic_rows"), y=lambda g: unsolved("arithmetic_rows"))
#     gradient(multiply, x=lambda g: unsolved("arithmetic_rows"), y=lambda g: unsolved("arithmetic_rows"))
#     gradient(divide,   x=lambda g: unsolved("arithmetic_rows"), y=lambda g: unsolved("arithmetic_rows"))
#     gradient(negative, x=lambda g: unsolved("arithmetic_rows"))
#   hints:
#     - For each operation write down the derivative of its result with respect to each input, then multiply by g.
#     - The rule for x in x * y is g * y, so the lambda needs y, and names it as its second parameter. For x / y, the derivative with respect to y is -x / y**2; with the result at hand that is -out / y.
#     - "gradient(divide, x=lambda g, y: ..., y=lambda g, out, y: ...), where the slope of x / y in y is minus the quotient, out, over y"
#   misconceptions:
#     - name: sign of the subtrahend
#       says: >-
#         The gradient of the second input of a subtraction has the wrong sign: when y grows, x - y shrinks.
#       code: |
#         gradient(add,      x=lambda g: g,        y=lambda g: g)
#         gradient(subtract, x=lambda g: g,        y=lambda g: g)
#         gradient(multiply, x=lambda g, y: g * y, y=lambda g, x: g * x)
#         gradient(divide,   x=lambda g, y: g / y, y=lambda g, out, y: -g * out / y)
#         gradient(negative, x=lambda g: -g)
#     - name: multiplies by its own value
#       says: >-
#         In x * y, the slope with respect to x is y, the other factor, and not x itself.
#       code: |
#         gradient(add,      x=lambda g: g,        y=lambda g: g)
#         gradient(subtract, x=lambda g: g,        y=lambda g: -g)
#         gradient(multiply, x=lambda g, x: g * x, y=lambda g, y: g * y)
#         gradient(divide,   x=lambda g, y: g / y, y=lambda g, out, y: -g * out / y)
#         gradient(negative, x=lambda g: -g)
#     - name: forgets the incoming gradient
#       says: >-
#         The rule for multiply gives the local slope alone. The chain rule multiplies it by g, the slope of everything that comes
#         after.
#       code: |
#         gradient(add,      x=lambda g: g,        y=lambda g: g)
#         gradient(subtract, x=lambda g: g,        y=lambda g: -g)
#         gradient(multiply, x=lambda g, y: y, y=lambda g, x: x)
#         gradient(divide,   x=lambda g, y: g / y, y=lambda g, out, y: -g * out / y)
#         gradient(negative, x=lambda g: -g)
#     - name: divides once
#       says: >-
#         The slope of x / y with respect to y is -x / y**2. One of the two divisions by y is missing: out is x / y already,
#         and it has to be divided by y once more.
#       code: |
#         gradient(add,      x=lambda g: g,        y=lambda g: g)
#         gradient(subtract, x=lambda g: g,        y=lambda g: -g)
#         gradient(multiply, x=lambda g, y: g * y, y=lambda g, x: g * x)
#         gradient(divide,   x=lambda g, y: g / y, y=lambda g, out: -g * out)
#         gradient(negative, x=lambda g: -g)

# %% [markdown]
# The tests look at a row by itself, as `plan_for` turns it into a function: `slopes(operation, g, *inputs)` gives the
# gradient of each input.

# %%
#| export
def slopes(operation, g, *inputs):
    """Gradients of the inputs by the operation's row, for a gradient `g` of its result. For looking at rows."""
    plan = plan_for(operation, 2 ** len(inputs) - 1)
    return plan.back(g, plan.save(inputs, (), operation(*inputs), None))


# %% nbgrader={"grade": true, "grade_id": "test_arithmetic_rows", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
def test_arithmetic_rows():
    x, y = np.float64(6.0), np.float64(2.0)
    check(slopes(add, 10.0, x, y), (10.0, 10.0))
    check(slopes(subtract, 10.0, x, y), (10.0, -10.0))
    check(slopes(multiply, 10.0, x, y), (20.0, 60.0))
    check(slopes(divide, 10.0, x, y), (5.0, -15.0))
    check(slopes(negative, 10.0, x), (-10.0,))

test_arithmetic_rows()

# %% [markdown]
# The source that a row was turned into is there to be read. For a product whose inputs both want a gradient, and for
# one whose second input is a constant:

# %%
print(plan_source(multiply, (True, True))[0])
print(plan_source(multiply, (True, False))[0])

# %% [markdown]
# In the second case `back` computes one product less, and `x` is not saved. A network's first layer never computes the
# gradient of its data.
#
# ## Recording
#
# The tensor chapter left a hook, `recorder`, which every operation calls with its result when an input requires a
# gradient. What it was waiting for is this function: it makes a node, with edges to where the inputs came from, and
# wraps the result in a Variable that knows the node. It runs once for every operation of every forward pass, so one and
# two inputs have short ways of their own. `shapes` is set only where an input's shape differs from the result's: where
# nothing was broadcast, there will be nothing to undo.

# %%
#| export
def record(operation, out, inputs, arrays, options=(), kept=None):
    """The result of an operation as a Variable with a node: what `set_recorder` is given."""
    node = Node()
    node.operation, node.number = operation, next(NUMBER)
    node.shapes = node.gradient = None
    if len(inputs) == 2:
        x, y = inputs
        if not x.requires_grad:
            wanted, node.edges = 2, (None, y._node or y)
        elif not y.requires_grad:
            wanted, node.edges = 1, (x._node or x, None)
        else:
            wanted, node.edges = 3, (x._node or x, y._node or y)
        if type(out) is ndarray:
            node.shapes = stretched_shapes(arrays, out.shape)
    elif len(inputs) == 1:
        wanted, node.edges = 1, (inputs[0]._node or inputs[0],)
    else:
        wanted, bit, edges = 0, 1, []
        for x in inputs:
            if x.requires_grad:
                wanted += bit
                edges.append(x._node or x)
            else:
                edges.append(None)
            bit += bit
        wanted, node.edges = 1 if operation.any_number else wanted, edges
        if operation.broadcasts:
            node.shapes = stretched_shapes(arrays, out.shape)
    try:
        plan = node.plan = operation.plans[wanted]
    except KeyError:
        plan = node.plan = plan_for(operation, wanted)
    node.saved = plan.save(arrays, options, out, kept)
    variable = new(Variable)
    variable.data, variable.requires_grad, variable.grad, variable._node = out, True, None, node
    return variable


def stretched_shapes(arrays, shape):
    """The inputs' shapes where one of them differs from the result's; None where there is nothing to undo."""
    for a in arrays:
        if type(a) is not ndarray or a.shape != shape:
            return tuple([a.shape if type(a) is ndarray else () for a in arrays])
    return None


new, ndarray = object.__new__, np.ndarray
set_recorder(record)

# %%
x, y = Variable(5.0), Variable(3.0)
z = x * y + x * x
print(repr(z))
print("z came from", z._node.operation.__name__, "of", [edge.operation.__name__ for edge in z._node.edges])

# %% [markdown]
# ## In which order to go back
#
# When a node runs, its gradient must be complete: everything that used its result has to have run before. So a node
# comes after all nodes that used it. Such an order is called *topological*.
#
# The usual way to find one is a recursive search, and Python gives up on recursion at a depth of a thousand. But here
# the work is done already. An operation can only use values that exist, so a node's number is larger than the numbers
# of the nodes that it used. Collect what can be reached, and sort by number.

# %% nbgrader={"grade": false, "grade_id": "topological_order", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def topological_order(root: Node) -> list[Node]:
    """All nodes that `root` came from, and itself, each after every node that used its result.

    Parameters
    ----------
    root : Node

    Returns
    -------
    list of Node
        `root` first. Each node once, however often it was used. Leaves are no Nodes and
        are left out.

    Raises
    ------
    RuntimeError
        Where a node was freed by an earlier backward: `freed_error(node)` makes the error.

    Notes
    -----
    `node.edges` is a tuple of Nodes, leaves and None, or None where the node was freed.
    Keep a list of what is still to be looked at; do not recurse. A set of the nodes
    seen so far keeps a shared value from being walked twice. `by_number(node)` is a node's number, for sorting.
    """
    ### BEGIN SOLUTION topological_order
    nodes, seen = [root], {root}
    for node in nodes:
        if node.edges is None:
            raise freed_error(node)
        for edge in node.edges:
            if type(edge) is Node and edge not in seen:
                seen.add(edge)
                nodes.append(edge)
    return sorted(nodes, key=by_number, reverse=True)
    ### END SOLUTION


def freed_error(node) -> RuntimeError:
    """The error for a walk that meets a node which an earlier walk has freed."""
    return RuntimeError(
        f"backward: this part of the graph was freed by an earlier backward (met at {node.operation.__name__!r}).\n"
        "  Compute the forward pass again, or keep the graph: backward(retain_graph=True)."
    )


# %% [raw] tags=["exercise"]
# topological_order:
#   title: In which order to go back
#   hints:
#     - Which number does a node have, compared with the nodes that it used? What is then left to do?
#     - Collect all nodes that can be reached from the root with a list that you go through while it grows, and a set of those seen. Then sort by number, largest first.
#     - "return sorted(nodes, key=by_number, ...), with the node that was made last coming first"
#   misconceptions:
#     - name: order of discovery
#       says: >-
#         The nodes came in the order in which they were found. A value that was used both early and late is found early,
#         before everything that used it has run. Sort by number.
#       code: |
#         nodes, seen = [root], {root}
#         for node in nodes:
#             if node.edges is None:
#                 raise freed_error(node)
#             for edge in node.edges:
#                 if type(edge) is Node and edge not in seen:
#                     seen.add(edge)
#                     nodes.append(edge)
#         return nodes
#     - name: a value used twice is visited twice
#       says: >-
#         A node appears more than once. Where each of sixty nodes uses the one before it twice, that makes two to the power of sixty
#         visits. Remember which nodes you have seen.
#       code: |
#         nodes = [root]
#         for node in nodes:
#             if node.edges is None:
#                 raise freed_error(node)
#             if len(nodes) > 1000:
#                 break
#             nodes += [edge for edge in node.edges if type(edge) is Node]
#         return sorted(nodes, key=lambda node: node.number, reverse=True)
#     - name: from the beginning
#       says: >-
#         The list starts with the oldest node. Going back starts at the result: largest number first.
#       code: |
#         nodes, seen = [root], {root}
#         for node in nodes:
#             if node.edges is None:
#                 raise freed_error(node)
#             for edge in node.edges:
#                 if type(edge) is Node and edge not in seen:
#                     seen.add(edge)
#                     nodes.append(edge)
#         return sorted(nodes, key=lambda node: node.number)

# %% nbgrader={"grade": true, "grade_id": "test_topological_order", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
def test_topological_order():
    def node(*edges):
        return make_node(add, edges, None, None)
    first = node()
    second = node(first, first)
    third = node(first, None)
    last = node(first, third, second)
    names = {id(first): "first", id(second): "second", id(third): "third", id(last): "last"}
    order = [names[id(n)] for n in topological_order(last)]
    check(order[:1] + order[-1:], ["last", "first"])
    check(sorted(order), ["first", "last", "second", "third"])
    check([names[id(n)] for n in topological_order(first)], ["first"])
    doubled = first
    for _ in range(60):
        doubled = node(doubled, doubled)
    check(len(topological_order(doubled)), 61)
    for _ in range(5000):
        doubled = node(doubled)
    check(len(topological_order(doubled)), 5061)
    second.edges = None
    check_raises(RuntimeError, lambda: topological_order(last), "freed by an earlier backward")

test_topological_order()

# %% [markdown]
# ## Undoing what broadcasting did
#
# In `x + b` with `x (32, 10)` and `b (10,)`, every row of `x` met the same `b`. The gradient arrives with the shape of
# the result, `(32, 10)`: one row for each time `b` was used. All of them count, so `b`'s gradient is their sum. That is
# no matter of the operation; it happens to any input that was stretched, and so it is undone in one place, in the walk,
# and no rule can forget it.

# %% nbgrader={"grade": false, "grade_id": "unbroadcast", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def unbroadcast(g, shape: tuple[int, ...]):
    """Sum `g` over the axes along which an input of shape `shape` was broadcast.

    Parameters
    ----------
    g : array or Tensor
        Gradient with respect to the broadcast value.
    shape : tuple of int
        Shape of the input before broadcasting; it broadcasts to `g.shape`.

    Returns
    -------
    array or Tensor of shape `shape`

    Notes
    -----
    Broadcasting copies, and the gradient of a copy is a sum. There are two ways to be
    copied: a new axis in front, (2,) to (3, 2), and an axis of length 1 that is stretched,
    (3, 1) to (3, 2). Use the methods `g.sum(axis=...)` and `g.reshape(shape)`, which arrays and Tensors share.
    """
    ### BEGIN SOLUTION unbroadcast
    extra = g.ndim - len(shape)
    stretched = tuple(i + extra for i, n in enumerate(shape) if n == 1)
    return g.sum(axis=(*range(extra), *stretched)).reshape(shape)
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# unbroadcast:
#   title: Undo broadcasting
#   hints:
#     - Broadcasting copies values along axes. If you change the original, all copies change; what does that say about its gradient?
#     - Find the axes in front that `shape` does not have, and the axes where `shape` has a 1. Sum over all of them at once, then reshape to `shape`.
#     - "stretched = tuple(... for i, n in enumerate(shape) if n == 1), each axis as it is counted in g, which has `extra` more in front"
#   misconceptions:
#     - name: sums only the new axes
#       says: >-
#         Only the axes in front were summed. An axis of length 1 that was stretched is a copy too: (3, 1) against (3, 2) sums
#         over the last axis.
#       code: |
#         return g.sum(axis=tuple(range(g.ndim - len(shape)))) if g.ndim > len(shape) else g
#     - name: sums only the stretched axes
#       says: >-
#         Only the axes of length 1 were summed. Where the input has fewer axes than the gradient, the axes in front are
#         copies as well.
#       code: |
#         stretched = tuple(i for i, n in enumerate(shape) if n == 1)
#         return g.sum(axis=stretched, keepdims=True) if stretched else g
#     - name: averages
#       says: >-
#         The copies' gradients were averaged. Each copy contributes in full, so they are added.
#       code: |
#         extra = g.ndim - len(shape)
#         stretched = tuple(i + extra for i, n in enumerate(shape) if n == 1)
#         return g.mean(axis=(*range(extra), *stretched)).reshape(shape)
#     - name: takes the first copy
#       says: >-
#         One copy's gradient was kept and the others were dropped. Sum over the copies.
#       code: |
#         extra = g.ndim - len(shape)
#         g = g[(0,) * extra]
#         return g[tuple(slice(0, 1) if n == 1 else slice(None) for n in shape)]

# %% nbgrader={"grade": true, "grade_id": "test_unbroadcast", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_unbroadcast():
    check(unbroadcast(np.arange(12.0).reshape(2, 3, 2), (3, 1)), [[14.0], [22.0], [30.0]])
    g = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    check(unbroadcast(g, (2,)), [9.0, 12.0])
    check(unbroadcast(g, (3, 1)), [[3.0], [7.0], [11.0]])
    check(unbroadcast(g, (1, 2)), [[9.0, 12.0]])
    check(unbroadcast(g, ()), 21.0)
    check(unbroadcast(np.ones((2, 0)), (1, 1)), [[0.0]])

test_unbroadcast()

# %% [markdown]
# ## The walk
#
# Now the machine goes backwards by itself. The walk visits each node once. It asks the node's plan for the gradients of
# the inputs, undoes broadcasting, and passes each gradient on: to a node it is added to what has arrived there before,
# and what belongs to a leaf is collected in a dictionary. Then the node is freed, so that memory shrinks as the walk
# proceeds, unless the graph is to be walked again.
#
# With `create_graph` the very same rules are given Variables in place of arrays. Then they do not compute a gradient,
# they *record* one, and it can be differentiated again. `revive` prepares that: what a node saved as arrays becomes
# Variables, linked to where they came from.

# %% nbgrader={"grade": false, "grade_id": "pass_on", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def walk(root: Node, g, retain=False, create=False, targets=None) -> dict:
    """Carry the gradient `g` of the root's result back through the graph.

    Parameters
    ----------
    root : Node
    g : array, or Tensor where `create`
    retain : bool
        Whether the nodes keep what they saved, for another walk.
    create : bool
        Whether the gradients shall be recorded themselves.
    targets : set of Nodes and leaves, optional
        What gradients are wanted for; without it, all leaves.

    Returns
    -------
    dict
        For each leaf (or target) that was reached, its gradient.
    """
    order, needed, collected = topological_order(root), None, {}
    if targets is not None:
        needed = needed_for(targets, order)
        order = [node for node in order if node in needed or node in targets]
        if not order:
            return collected
    root.gradient = g
    try:
        for node in order:
            g, node.gradient = node.gradient, None
            if g is None:
                continue
            edges, shapes = node.edges, node.shapes
            if needed is not None:
                if node in targets:
                    collected[node] = g
                if node not in needed:
                    continue
                edges = [edge if edge in needed or edge in targets else None for edge in edges]
            pieces = again(node, g) if create else node.plan.back(g, node.saved)
            if not retain:
                node.edges = node.plan = node.saved = None
            if shapes is not None:
                pieces = fitted(pieces, shapes, node)
            for edge, piece in zip(edges, pieces):
                if edge is None or piece is None:
                    continue
                ### BEGIN SOLUTION pass_on
                if type(edge) is Node:
                    edge.gradient = piece if edge.gradient is None else edge.gradient + piece
                else:
                    collected[edge] = collected[edge] + piece if edge in collected else piece
                ### END SOLUTION
    except BaseException:
        for node in order:
            node.gradient = None
        raise
    return collected if targets is None else {key: g for key, g in collected.items() if key in targets}


def fitted(pieces, shapes, node):
    """The gradients of a node's inputs, each summed down to its input's shape."""
    fits = []
    for piece, shape in zip(pieces, shapes):
        if piece is not None and piece.shape != shape:
            try:
                piece = unbroadcast(piece, shape)
            except ValueError as error:
                raise ValueError(
                    f"The rule of {node.operation.__name__} gave a gradient of shape {piece.shape} for an input of shape {shape}."
                ) from error
        fits.append(piece)
    return fits


def needed_for(targets, order) -> set[Node]:
    """The nodes of `order` that lie on the way to a target; what comes before a target stays as it is."""
    needed = set()
    for node in reversed(order):
        for edge in node.edges:
            if edge in targets or edge in needed:
                needed.add(node)
                break
    return needed


# %% [raw] tags=["exercise"]
# pass_on:
#   title: Pass a gradient on
#   hints:
#     - Two kinds of edges, and for both the same question. What if a gradient from another path has arrived before this one?
#     - If the edge is a Node, add to its `gradient` (None at first). Otherwise add to `collected[edge]` (missing at first).
#     - "edge.gradient = piece if ... else edge.gradient + piece, for the first piece has nothing to be added to"
#   misconceptions:
#     - name: the second path overwrites the first
#       says: >-
#         The gradient of the last path replaced those of the others. A value that is used twice influences the result in two
#         ways, and the two gradients add up: accumulate.
#       code: |
#         if type(edge) is Node:
#             edge.gradient = piece
#         else:
#             collected[edge] = piece
#     - name: accumulates at leaves only
#       says: >-
#         Gradients were added at leaves, but overwritten at a value in between. A computed value can be used twice as well.
#       code: |
#         if type(edge) is Node:
#             edge.gradient = piece
#         else:
#             collected[edge] = collected[edge] + piece if edge in collected else piece
#     - name: keeps the first gradient only
#       says: >-
#         Only the first gradient that arrived was kept. Later paths count just as much: add them.
#       code: |
#         if type(edge) is Node:
#             edge.gradient = piece if edge.gradient is None else edge.gradient
#         else:
#             collected.setdefault(edge, piece)
#     - name: adds in place
#       says: >-
#         += changed an array that belongs to somebody else: add's rule hands the same gradient to both of its inputs. Make a new
#         sum with edge.gradient + piece.
#       code: |
#         if type(edge) is Node:
#             if edge.gradient is None:
#                 edge.gradient = piece
#             else:
#                 edge.gradient += piece
#         elif edge in collected:
#             collected[edge] += piece
#         else:
#             collected[edge] = piece

# %% [markdown]
# What remains is the front door. `backward` starts with the gradient of the result with respect to itself, which is 1.
# That is only natural for a single number; for anything else the caller has to say which combination of the entries is
# meant.
#
# When the walk ends, every leaf has to *own* its gradient: an array of its own shape and type that nobody else can
# change. A gradient that only the walk holds is given away as it is. One that is shared (`add` passes the same array to
# both inputs) or is a view of something is copied. `sys.getrefcount` tells the two apart; it counts who holds an
# object.

# %%
#| export
def backward(self, gradient=None, retain_graph=None, create_graph=False):
    """Add to the `grad` of every leaf its gradient of this Tensor.

    Parameters
    ----------
    gradient : number, list, array or Tensor of this Tensor's shape, optional
        The gradient of some final result with respect to this Tensor. For a single number it may be left out, and is 1.
    retain_graph : bool, optional
        Whether the graph is kept for another backward. By default as `create_graph`.
    create_graph : bool
        Whether the gradients are recorded and can be differentiated again. Stored in `.grad`, such a
        gradient and its leaf refer to each other, which Python's garbage collector has to find;
        `grad`, `hvp` and `hessian` avoid that.

    Raises
    ------
    RuntimeError
        Where nothing was recorded, or the graph was freed by an earlier backward.
    ValueError
        Where `gradient` is missing for more than one number, or has another shape.
    """
    retain = create_graph if retain_graph is None else retain_graph
    g = first_gradient(self, gradient, create_graph)
    if self._node is None:
        collected = {self: g}
    else:
        collected = walk(self._node, g, retain, create_graph)
    del g, gradient
    for leaf in list(collected):
        if create_graph:
            g = collected[leaf]
            leaf.grad = g if leaf.grad is None else leaf.grad + g
        else:
            g = owned(collected, leaf, leaf.data)
            leaf.grad = wrap(g if leaf.grad is None else leaf.grad.data + g)


def first_gradient(self, gradient, create_graph=False):
    """The gradient that a walk starts with, once it is seen to fit."""
    if not self.requires_grad:
        raise RuntimeError(
            "backward: this Tensor requires no gradient; nothing that led to it was recorded.\n"
            "  Make the inputs Variables (or Parameters), and compute outside no_grad()."
        )
    if gradient is None:
        if type(self.data) is not ndarray:
            g = type(self.data)(1)
            return wrap(g) if create_graph else g
        if self.data.size != 1:
            raise ValueError(
                f"backward: the result has shape {self.shape}; without a gradient it must be a single number.\n"
                "  Reduce it (loss.mean().backward()), or pass gradient= with that shape."
            )
        g = np.ones_like(self.data)
        return wrap(g) if create_graph else g
    g = gradient.data if isinstance(gradient, Tensor) else to_array(gradient, self.dtype)
    if g.shape != self.shape:
        raise ValueError(f"backward: gradient has shape {g.shape}, the result has {self.shape}. They must be the same.")
    if g.dtype != self.dtype:
        g = g.astype(self.dtype)
    if create_graph:
        return gradient if isinstance(gradient, Tensor) and gradient.requires_grad else wrap(g)
    return g


def owned(collected, edge, like):
    """The gradient collected for `edge`, in the shape and dtype of the array `like`, held by nobody else."""
    g = collected[edge]
    if type(g) is type(like) and type(g) is not ndarray:
        return g
    if g.shape != like.shape:
        raise ValueError(f"backward: a rule gave a gradient of shape {g.shape} for an input of shape {like.shape}.")
    if type(like) is not ndarray:
        return like.dtype.type(g)
    if g.base is None and g.dtype is like.dtype and sys.getrefcount(g) <= ALONE:
        return g
    return np.array(g, dtype=like.dtype)


def count_alone() -> int:
    """What `sys.getrefcount` counts, as `owned` asks it, for an array that nobody else holds."""
    collected = {0: np.zeros(1)}
    g = collected[0]
    return sys.getrefcount(g)


ALONE = count_alone()


@contextmanager
def recording(on: bool):
    """Record operations inside the block, or do not."""
    previous = set_recorder(record if on else None)
    try:
        yield
    finally:
        set_recorder(previous)


def zero_grad(self):
    """Forget the gradient, before the next backward adds to it."""
    if self.requires_grad:
        self.grad = None


Tensor.backward = backward
Tensor.zero_grad = zero_grad

# %% [markdown]
# `revive` and `again` are for gradients of gradients. Read them when you come to that section; until then, what matters
# is that they call the same rules.

# %%
#| export
def again(node, g):
    """The gradients of a node's inputs as Variables, recorded by the rules as they compute."""
    plan, edges = node.plan, node.edges
    if plan.names is None and getattr(node.operation, "__name__", "") == "checkpoint":
        raise RuntimeError(
            "create_graph: checkpoint(f, x) runs f again in the backward pass and keeps no record of that,\n"
            "  so it can be differentiated once only. Where gradients of gradients are wanted, write f(x) in its place."
        )
    if plan.names is None:
        raise RuntimeError(
            "create_graph: a Variable built by hand with a grad_fn can be differentiated once only.\n"
            "  Write it as an operation and a row in the table."
        )
    values = revive(node)
    composition = node.operation.composition
    if composition is None:
        values = tuple(values[name] for name in plan.names)
        return plan.back(g, values[0] if len(values) == 1 else values)
    inputs = [  # each with a node of its own, so that the walk below ends there and touches nothing of the walk it is part of
        values[name] if edge is None else identity(values[name]) for name, edge in zip(node.operation.inputs, edges)
    ]
    out = composition(*inputs, *(values[name] for name in node.operation.options))
    wanted = [x for x, edge in zip(inputs, edges) if edge is not None]
    found = iter(gradients(out, wanted, g, create_graph=True))
    return [next(found) if edge is not None else None for edge in edges]


def revive(node) -> dict:
    """What a node saved, by name, with Variables in the place of inputs and result."""
    names, edges, operation = node.plan.names, node.edges, node.operation
    values = dict(zip(names, (node.saved,) if len(names) == 1 else node.saved or ()))
    for i, name in enumerate(operation.inputs):
        if name in values and operation.any_number:
            values[name] = tuple(linked(x, edge) for x, edge in zip(values[name], edges))
        elif name in values:
            values[name] = linked(values[name], edges[i])
    if "out" in values:
        values["out"] = linked(values["out"], node)
    return values


def linked(array, edge):
    """`array` as a Variable that came from `edge`; a plain Tensor where there is none."""
    if edge is None:
        return wrap(array) if isinstance(array, (np.ndarray, np.generic)) else array
    if type(edge) is not Node and edge.data is array:
        return edge
    node = edge if type(edge) is Node else make_node(identity, (edge,), plan_for(identity, 1), None, None)
    variable = new(Variable)
    variable.data, variable.requires_grad, variable.grad, variable._node = array, True, None, node
    return variable


@operation
def identity(x, /):
    """x itself, as a new node of the graph."""
    return x


gradient(identity, x=lambda g: g)

# %% nbgrader={"grade": true, "grade_id": "test_pass_on", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
def test_pass_on():
    x, y = Variable(5.0), Variable(3.0)
    z = x * y + x * x
    z.backward()
    check(z, 40.0)
    check(x.grad, 13.0)
    check(y.grad, 5.0)
    x = Variable(2.0)
    a = x * 3.0
    b = a * a + a
    b.backward()
    check(x.grad, 39.0)
    x, y = Variable([1.0, 2.0]), Variable([3.0, 4.0])
    total = x + y
    (total * 2.0 + total * 3.0 + x).backward([1.0, 1.0])
    check(x.grad, [6.0, 6.0])
    check(y.grad, [5.0, 5.0])
    x = Variable([1.0, 2.0])
    twice, thrice = x * 2.0, x * 3.0
    (twice + x + thrice).backward([1.0, 1.0])
    check(x.grad, [6.0, 6.0])

test_pass_on()

# %% [markdown]
# The numbers from the beginning of the chapter, from the machine:

# %%
x, y = Variable(5.0), Variable(3.0)
z = x * y + x * x
z.backward()
print(f"dz/dx = {x.grad}   dz/dy = {y.grad}")

# %% [markdown]
# Gradients are *added* to `grad`, and stay until `zero_grad`. That is useful (a batch too large for memory can go
# through in two halves), and it is the commonest slip in training loops: without `zero_grad`, every step also repeats
# all the steps before it.

# %%
w = Variable(2.0)
for step in range(3):
    (w * 10.0).backward()
    print(f"backward number {step + 1}: w.grad = {w.grad}")

# %% [markdown]
# ## More rows
#
# With the machine running, differentiating a function is a matter of one row. Write those of the elementary functions.
# Where the derivative can be said with the result (`out`), say it so: the result exists anyway, and often the input
# then need not be kept. The exponent of `power_number` is an option, `exponent`. Where it is 0 the power is a constant
# and the slope 0, also at 0, where `x ** (exponent - 1)` has no value.

# %% nbgrader={"grade": false, "grade_id": "elementary_rows", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
# fmt: off
### BEGIN SOLUTION elementary_rows
gradient(exp,          x=lambda g, out: g * out)
gradient(log,          x=lambda g, x: g / x)
gradient(sqrt,         x=lambda g, out: 0.5 * g / out)
gradient(tanh,         x=lambda g, out: g * (1 - out * out))
gradient(sin,          x=lambda g, x: g * np.cos(x))
gradient(cos,          x=lambda g, x: -g * np.sin(x))
gradient(power_number, x=lambda g, x, exponent: g * exponent * x ** (exponent - 1) if exponent else 0 * g)
### END SOLUTION
# fmt: on

# %% [raw] tags=["exercise"]
# elementary_rows:
#   title: Rows for the elementary functions
#   blank: |
#     for function in (exp, log, sqrt, tanh, sin, cos, power_number):
#         gradient(function, x=lambda g: unsolved("elementary_rows"))
#   hints:
#     - You know these derivatives. Which of them can be written with the result of the function in place of its input?
#     - exp is its own derivative; sqrt has 1 / (2 out); tanh has 1 - out**2; the power has exponent * x ** (exponent - 1), and for the exponent 0 the derivative is 0 even at x = 0.
#     - "gradient(tanh, x=lambda g, out: g * (...)), where the slope of tanh is 1 minus its own square"
#   misconceptions:
#     - name: tanh of the input squared
#       says: >-
#         The derivative of tanh is 1 - tanh(x)**2, with the result squared. Here the input was squared.
#       code: |
#         gradient(exp,          x=lambda g, out: g * out)
#         gradient(log,          x=lambda g, x: g / x)
#         gradient(sqrt,         x=lambda g, out: 0.5 * g / out)
#         gradient(tanh,         x=lambda g, x: g * (1 - x * x))
#         gradient(sin,          x=lambda g, x: g * np.cos(x))
#         gradient(cos,          x=lambda g, x: -g * np.sin(x))
#         gradient(power_number, x=lambda g, x, exponent: g * exponent * x ** (exponent - 1) if exponent else 0 * g)
#     - name: sign of the cosine
#       says: >-
#         The derivative of cos is minus sin: just to the right of 0 the cosine falls.
#       code: |
#         gradient(exp,          x=lambda g, out: g * out)
#         gradient(log,          x=lambda g, x: g / x)
#         gradient(sqrt,         x=lambda g, out: 0.5 * g / out)
#         gradient(tanh,         x=lambda g, out: g * (1 - out * out))
#         gradient(sin,          x=lambda g, x: g * np.cos(x))
#         gradient(cos,          x=lambda g, x: g * np.sin(x))
#         gradient(power_number, x=lambda g, x, exponent: g * exponent * x ** (exponent - 1) if exponent else 0 * g)
#     - name: the exponent is not lowered
#       says: >-
#         The derivative of x**n is n * x**(n - 1). The factor n is there, but the exponent was not lowered.
#       code: |
#         gradient(exp,          x=lambda g, out: g * out)
#         gradient(log,          x=lambda g, x: g / x)
#         gradient(sqrt,         x=lambda g, out: 0.5 * g / out)
#         gradient(tanh,         x=lambda g, out: g * (1 - out * out))
#         gradient(sin,          x=lambda g, x: g * np.cos(x))
#         gradient(cos,          x=lambda g, x: -g * np.sin(x))
#         gradient(power_number, x=lambda g, out, exponent: g * exponent * out)
#     - name: fails at zero to the power zero
#       says: >-
#         x**0 is the constant 1, and its slope is 0 everywhere. The formula asks for 0 * x**-1, which at x = 0 is no number.
#       code: |
#         gradient(exp,          x=lambda g, out: g * out)
#         gradient(log,          x=lambda g, x: g / x)
#         gradient(sqrt,         x=lambda g, out: 0.5 * g / out)
#         gradient(tanh,         x=lambda g, out: g * (1 - out * out))
#         gradient(sin,          x=lambda g, x: g * np.cos(x))
#         gradient(cos,          x=lambda g, x: -g * np.sin(x))
#         gradient(power_number, x=lambda g, x, exponent: g * exponent * x ** float(exponent - 1))

# %% nbgrader={"grade": true, "grade_id": "test_elementary_rows", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
def slope_at(f, x):
    x = Variable(np.float64(x))
    f(x).backward()
    return x.grad

def test_elementary_rows():
    check(slope_at(exp, 0.0), 1.0)
    check(slope_at(lambda x: exp(x) * 3.0, 1.0), 8.154845)
    check(slope_at(log, 4.0), 0.25)
    check(slope_at(lambda x: log(x) * 3.0, 4.0), 0.75)
    check(slope_at(sqrt, 16.0), 0.125)
    check(slope_at(lambda x: sqrt(x) * 3.0, 16.0), 0.375)
    check(slope_at(tanh, 0.0), 1.0)
    check(slope_at(lambda x: tanh(x) * 2.0, 1.0), 0.83994868)
    check(slope_at(lambda x: sin(x) * 2.0, 0.5), 1.75516512)
    check(slope_at(lambda x: cos(x) * 2.0, 0.5), -0.95885108)
    check(slope_at(lambda x: x**3, 2.0), 12.0)
    check(slope_at(lambda x: x**3 * 2.0, 2.0), 24.0)
    check(slope_at(lambda x: x**-1, 2.0), -0.25)
    with np.errstate(all="raise"):
        check(slope_at(lambda x: x**0, 0.0), 0.0)

test_elementary_rows()

# %% [markdown]
# Some functions have corners, and at a corner there is no slope. A rule has to answer all the same, with something
# between the slopes on the two sides (a *subgradient*). Ours are PyTorch's: `relu` and `absolute` say 0 at zero;
# `maximum` and `minimum` give each of two equal inputs half; `reduce_max` and `reduce_min` share equally among all
# entries that attain the extremum, as `amax` and `amin` do there (while `max` along one axis gives all to the entry
# whose index it returns); `clip`, there `clamp`, lets the gradient through at its bounds.
#
# Selections pass the gradient to whoever was selected, and nothing to the others.

# %%
#| export
def share(x, y):
    """1 where x > y, a half where they are equal, 0 elsewhere, in x's dtype. A constant of the derivative."""
    x, y = plain(x), plain(y)
    return ((x > y) + 0.5 * (x == y)).astype(x.dtype)


def plain(x):
    """The array of a Tensor, or an array as it is."""
    return x.data if isinstance(x, Tensor) else x


def between(x, low, high):
    """1 where low <= x <= high, 0 elsewhere."""
    x = plain(x)
    inside = np.ones(x.shape, x.dtype)[()]
    inside = inside if low is None else inside * (x >= plain(low))
    return inside if high is None else inside * (x <= plain(high))


def log_or_zero(x, y):
    """log x, and 0 where x is 0 and the power x ** y does not depend on y."""
    return np.log(np.where((plain(x) == 0) & (plain(y) >= 0), 1, x))


def power_slope(x, y):
    """y * x ** (y - 1), and 0 where y is 0."""
    return y * x ** np.where(plain(y) == 0, 1, y - 1)


# fmt: off
gradient(absolute,     x=lambda g, x: g * np.sign(plain(x)))
gradient(maximum,      x=lambda g, x, y: g * share(x, y), y=lambda g, x, y: g * share(y, x))
gradient(minimum,      x=lambda g, x, y: g * (1 - share(x, y)), y=lambda g, x, y: g * (1 - share(y, x)))
gradient(where,        x=lambda g, condition: np.where(condition, g, 0), y=lambda g, condition: np.where(condition, 0, g))
gradient(clip,         x=lambda g, x, low, high: g * between(x, low, high))
gradient(power_tensor, x=lambda g, x, y: g * power_slope(x, y), y=lambda g, x, y, out: g * out * log_or_zero(x, y))
# fmt: on

# %% [markdown]
# ### Shapes
#
# An operation that only rearranges has a derivative that arranges back. A sum hands its gradient to every entry that
# was summed. Taking out entries is undone by putting the gradient in their places in an array of zeros; where the same
# entry was taken twice (`x[[0, 0]]`) both gradients arrive there and are added, which `np.add.at` does and plain
# assignment does not.

# %%
#| export
@operation
def put(g, /, index, shape):
    """Zeros of `shape` with g added at `index`: what indexing is undone by."""
    out = np.zeros(shape, g.dtype)
    if is_basic(index):
        out[index] = g
    else:
        np.add.at(out, index, g)
    return out


def is_basic(index) -> bool:
    """Whether an index takes every entry at most once: integers, slices, None and dots."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(isinstance(i, (int, np.integer, slice, type(None), type(Ellipsis))) for i in parts)


def kept_shape(shape, axis):
    """`shape` with length 1 at the axes that were reduced."""
    if axis is None:
        return (1,) * len(shape)
    axes = {a % len(shape) for a in (axis if isinstance(axis, tuple) else (axis,))} if shape else ()
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def spread(g, shape, axis):
    """The gradient of a reduction, back to the shape that was reduced."""
    return np.broadcast_to(g if g.ndim in (0, len(shape)) else g.reshape(kept_shape(shape, axis)), shape)


def extremum_share(x, out, axis):
    """For each entry its share of the gradient of a maximum or minimum: equal among those that attain it."""
    x, out = plain(x), plain(out)
    hit = x == out.reshape(kept_shape(x.shape, axis))
    return (hit / hit.sum(axis=axis, keepdims=True)).astype(x.dtype)


def inverse_axes(axes):
    """The order of axes that undoes the order `axes`."""
    if axes is None:
        return None
    axes = np.atleast_1d(axes)
    return tuple(int(i) for i in np.argsort(axes % len(axes)))


def split(g, shapes, axis):
    """g cut into pieces as long as `shapes` are along `axis`."""
    pieces, start = [], 0
    for shape in shapes:
        index = [slice(None)] * len(shape)
        index[axis] = slice(start, start + shape[axis])
        pieces.append(g[tuple(index)])
        start += shape[axis]
    return pieces


def contract_pieces(g, xs, subscripts):
    """For each input of an einsum, the einsum of the gradient with all other inputs."""
    left, result = subscripts.split("->")
    terms = left.split(",")
    pieces = []
    for i, (term, x) in enumerate(zip(terms, xs)):
        others = [(t, o) for j, (t, o) in enumerate(zip(terms, xs)) if j != i] + [(result, g)]
        known = {}
        for c, n in ((c, n) for t, o in others for c, n in zip(t, o.shape)):
            known[c] = max(n, known.get(c, 0))
        lonely = {c: n for c, n in zip(term, x.shape) if known.get(c) != n}  # summed over in this input alone
        others.append(("".join(lonely), np.ones(tuple(lonely.values()), plain(x).dtype)))
        pieces.append(einsum(",".join(t for t, _ in others) + "->" + term, *(o for _, o in others)))
    return pieces


# fmt: off
gradient(reduce_sum,   x=lambda g, x_shape, axis: spread(g, x_shape, axis))
gradient(reduce_max,   x=lambda g, x, out, axis: spread(g, x.shape, axis) * extremum_share(x, out, axis))
gradient(reduce_min,   x=lambda g, x, out, axis: spread(g, x.shape, axis) * extremum_share(x, out, axis))
gradient(reshape,      x=lambda g, x_shape: g.reshape(x_shape))
gradient(transpose,    x=lambda g, axes: np.transpose(g, inverse_axes(axes)))
gradient(swapaxes,     x=lambda g, axis1, axis2: np.swapaxes(g, axis1, axis2))
gradient(broadcast_to, x=lambda g, x_shape: unbroadcast(g, x_shape))
gradient(getitem,      x=lambda g, index, x_shape: put(g, index, x_shape))
gradient(put,          g=lambda g, index: g[index])
gradient(join,         xs=lambda g, xs_shape, axis: split(g, xs_shape, axis))
gradient(contract,     xs=lambda g, xs, subscripts: contract_pieces(g, xs, subscripts))
# fmt: on

# %% [markdown]
# ### Matrices and layers
#
# The row that training spends its time in. For `out = x @ y` with `x (N, D)` and `y (D, K)`, the gradient `g` has shape
# `(N, K)`. The shapes alone nearly force the answer: an `(N, D)` from `g (N, K)` and `y (D, K)`, a `(D, K)` from `x (N,
# D)` and `g (N, K)`.

# %% nbgrader={"grade": false, "grade_id": "matrix_row", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def mT(x):
    """The last two axes exchanged."""
    return x.mT


### BEGIN SOLUTION matrix_row
gradient(matrix_product, x=lambda g, y: g @ mT(y), y=lambda g, x: mT(x) @ g)
### END SOLUTION

# %% [raw] tags=["exercise"]
# matrix_row:
#   title: The row of the matrix product
#   blank: |
#     gradient(matrix_product, x=lambda g: unsolved("matrix_row"), y=lambda g: unsolved("matrix_row"))
#   hints:
#     - Each entry of the result is a sum of products. What is the slope of out[n, k] with respect to x[n, d]?
#     - The gradient of x[n, d] sums g[n, k] * y[d, k] over k. Write that sum as a matrix product. Then do the same for y.
#     - "x=lambda g, y: g @ mT(y)"
#   misconceptions:
#     - name: forgets to transpose
#       says: >-
#         A factor was not transposed. With g (N, K) and y (D, K) the shared axis is K, so y has to be turned: g @ mT(y).
#       code: |
#         gradient(matrix_product, x=lambda g, y: g @ y, y=lambda g, x: x @ g)
#     - name: factors in the wrong order
#       says: >-
#         Matrix products do not commute. The gradient of y is mT(x) @ g, with x in front; the other order gives another matrix.
#       code: |
#         gradient(matrix_product, x=lambda g, y: g @ mT(y), y=lambda g, x: g @ mT(x))
#     - name: reverses all axes
#       says: >-
#         .T reverses all axes, the batch axes too. Only the last two are to be exchanged: mT.
#       code: |
#         gradient(matrix_product, x=lambda g, y: g @ y.T, y=lambda g, x: x.T @ g)

# %% nbgrader={"grade": true, "grade_id": "test_matrix_row", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_matrix_row():
    x, y = Variable([[1.0, 2.0], [3.0, 5.0]]), Variable([[1.0, 0.0], [2.0, 4.0]])
    (x @ y).backward([[1.0, 10.0], [0.0, 1.0]])
    check(x.grad, [[1.0, 42.0], [0.0, 4.0]])
    check(y.grad, [[1.0, 13.0], [2.0, 25.0]])
    x, y = Variable(np.ones((5, 2, 3))), Variable(np.ones((3, 4)))
    (x @ y).sum().backward()
    check(x.grad, np.full((5, 2, 3), 4.0))
    check(y.grad, np.full((3, 4), 10.0))
    v, m = Variable([1.0, 2.0]), Variable([[3.0, 4.0], [5.0, 6.0]])
    (v @ m).backward([1.0, 10.0])
    check(v.grad, [43.0, 65.0])
    check(m.grad, [[1.0, 10.0], [2.0, 20.0]])
    a, b = Variable([1.0, 2.0]), Variable([3.0, 4.0])
    (a @ b).backward()
    check(a.grad, [3.0, 4.0])
    batch = Variable(np.ones((5, 3, 4)))
    (Tensor([1.0, 2.0, 3.0]) @ batch).sum().backward()
    check(batch.grad[0], [[1.0] * 4, [2.0] * 4, [3.0] * 4])

test_matrix_row()

# %% [markdown]
# The activations and the two fused layers complete the table. The rows from `relu` to `gelu` go entry by entry; those
# from `softmax` on mix entries, as the functions do: raising one score lowers all other probabilities. `layer_norm`
# kept its normalised input on the way; for gradients of gradients it names the composition that it equals.

# %%
#| export
def flat(x):
    """x as a matrix: all axes but the last in one."""
    return x if x.ndim == 2 else x.reshape((-1, x.shape[-1]))


def gelu_slope(x):
    """Derivative of the tanh form of GELU (Hendrycks & Gimpel 2016)."""
    c = 0.7978845608028654  # sqrt(2 / pi)
    t = np.tanh(c * (x + 0.044715 * x * x * x))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x)


def layer_norm_slope(g, kept, gain):
    """Gradient of the input of a layer normalisation (Ba, Kiros & Hinton 2016)."""
    normal, inverse_std = kept
    g = g * gain
    along = g.mean(axis=-1, keepdims=True)
    return (g - along - normal * (g * normal).mean(axis=-1, keepdims=True)) * inverse_std


# fmt: off
gradient(relu,        x=lambda g, out: g * (plain(out) > 0))
gradient(leaky_relu,  x=lambda g, x, slope: g * np.where(plain(x) > 0, 1, plain(x).dtype.type(slope)))
gradient(sigmoid,     x=lambda g, out: g * (out * (1 - out)))
gradient(softplus,    x=lambda g, x: g * sigmoid(x))
gradient(gelu,        x=lambda g, x: g * gelu_slope(x))
gradient(softmax,     x=lambda g, out, axis: out * (g - (g * out).sum(axis=axis, keepdims=True)))
gradient(log_softmax, x=lambda g, out, axis: g - np.exp(out) * g.sum(axis=axis, keepdims=True))
gradient(dense,       x=lambda g, w: g @ w.mT,
                      w=lambda g, x: flat(x).mT @ flat(g),
                      b=lambda g: flat(g).sum(axis=0),
                      broadcasts=False)
gradient(layer_norm,  x=lambda g, kept, gain: layer_norm_slope(g, kept, gain),
                      gain=lambda g, kept: (flat(g) * flat(kept[0])).sum(axis=0),
                      bias=lambda g: flat(g).sum(axis=0),
                      composition=layer_norm_composed, broadcasts=False)
# fmt: on

# %% nbgrader={"grade": true, "grade_id": "test_by_hand", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def grads(f, *values):
    inputs = [Variable(v) for v in values]
    out = f(*inputs)
    out.backward()
    return [out.item()] + [x.grad.item() for x in inputs]

def test_by_hand():
    check(grads(lambda x, y: x * y + x**2, 5.0, 3.0), [40.0, 13.0, 5.0])
    check(grads(lambda x, y: x**2 + 2 * x * y + y**2, 2.0, 3.0), [25.0, 10.0, 10.0])
    check(grads(lambda x: x**2 + 3 * x + 1, 2.0), [11.0, 7.0])
    check(grads(lambda x, y: x * y + x, 2.0, 3.0), [8.0, 4.0, 2.0])
    check(grads(lambda x, y: (x + y) * (x - y), 2.0, 3.0), [-5.0, 4.0, -6.0])
    x, y = Variable(2.0), Variable(3.0)
    (x**2 + 2 * x * y + y**2).backward()
    check(f"{x.grad}", "10.0")

test_by_hand()

# %% [markdown]
# And now what the design was for. `Dense` was written in the layers chapter, when no derivative existed. It is
# differentiable because its parameters ask for a gradient, and because the operation it calls has a row by now.

# %%
from tinytorch.core.activations import ReLU
from tinytorch.core.layers import Dense

layer = Dense(3, 2, rng=0)
ReLU()(layer(Variable([[1.0, 2.0, 3.0]]))).sum().backward()
print("weights.grad", layer.weights.grad.tolist(), " bias.grad", layer.bias.grad.tolist())

# %% [markdown]
# ## Computing without a record
#
# Using a trained network needs no gradients, and an optimizer's step must not become part of the graph. Inside
# `no_grad()` the hook is empty, and operations cost what they cost in the tensor chapter. `x.detach()` is for a single
# value: the same array, without its history.

# %%
#| export
def no_grad():
    """A context in which nothing is recorded.

    It switches the one hook that all operations share, for every thread of the program.

    Examples
    --------
    >>> with no_grad():
    ...     prediction = model(x)
    """
    return recording(False)


# %%
x = Variable([1.0, 2.0])
with no_grad():
    silent = x * 2
print("inside no_grad:", repr(silent), "  detached:", repr((x * 2).detach()))

# %% [markdown]
# ## Gradients as values
#
# `backward` stores gradients in leaves. Often one wants them as values, or with respect to something in the middle of
# the graph. `gradients` returns them and stores nothing.

# %%
#| export
def gradients(out, inputs, gradient=None, create_graph=False, retain_graph=None) -> list:
    """Gradients of `out` with respect to each of `inputs`, as a list; no `.grad` is touched.

    Parameters
    ----------
    out : Tensor that requires a gradient
    inputs : sequence of Tensors
        Leaves, or values that were computed on the way to `out`.
    gradient : array or Tensor, optional
        As for `backward`.
    create_graph, retain_graph : bool
        As for `backward`.

    Returns
    -------
    list of Tensor or None
        None for an input that `out` does not depend on.
    """
    retain = create_graph if retain_graph is None else retain_graph
    if not isinstance(out, Tensor):
        raise TypeError(f"gradients: out is {out!r:.60}. Expected a Tensor that was computed from the inputs.")
    inputs = tensor_list("gradients", inputs, "gradients(out, [x])")
    g = first_gradient(out, gradient, create_graph)
    edges = [edge_of(x) for x in inputs]
    if out._node is None:
        collected = {out: g}
    else:
        collected = walk(out._node, g, retain, create_graph, {edge for edge in edges if edge is not None})
    if create_graph:
        return [collected.get(edge) for edge in edges]
    del g, gradient
    return [wrap(owned(collected, edge, x.data)) if edge in collected else None for edge, x in zip(edges, inputs)]


def tensor_list(name: str, tensors, usage: str) -> list[Tensor]:
    """`tensors` as a list, once it is seen to be one of Tensors."""
    if isinstance(tensors, Tensor):
        raise TypeError(f"{name}: Tensors come as a list, {usage}, also where there is only one.")
    if isinstance(tensors, str) or not hasattr(tensors, "__iter__"):
        raise TypeError(f"{name}: {tensors!r:.60} is no list of Tensors. Expected one, as in {usage}.")
    tensors = list(tensors)
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: entry {i} is {x!r:.60}, not a Tensor. A model's are model.parameters().")
    return tensors


def checked_function(name: str, f, usage="f, x"):
    """f, once it is seen to be a function."""
    if not callable(f):
        raise TypeError(f"{name}: {f!r:.60} is no function. The function comes first, as in {name}({usage}).")
    return f


def single_result(out, name: str) -> Tensor:
    """`out`, once it is seen to be a Tensor."""
    if not isinstance(out, Tensor):
        raise TypeError(f"{name}: the function returned {type(out).__name__}, expected a Tensor. Is a return missing?")
    return out


# %%
x = Variable([1.0, 2.0])
middle = x * 3
print("with respect to the middle and to x:", gradients((middle * middle).sum(), [middle, x]), " x.grad:", x.grad)

# %% [markdown]
# ## See it
#
# `trace()` keeps what the engine itself throws away: every operation's values, the line of code it came from, and
# during backward the order of the visits and the gradients. It replaces the hook by one that records and also writes
# down, so the engine pays nothing for it when it is not used.

# %%
#| export
class Step:
    """One traced operation: its `operation`, `inputs`, `arrays`, `options`, `out`, `site`, and from backward `gradient`, `pieces`."""

    __slots__ = ("node", "operation", "inputs", "arrays", "options", "out", "site", "gradient", "pieces", "visit")


class Trace:
    """What happened inside `trace()`.

    Attributes
    ----------
    steps : list of Step
        In the order of the forward pass.
    visits : list of Step
        In the order of the backward pass.
    gradients : dict
        By identity, the gradients that leaves were given.
    """

    def __init__(self):
        self.steps, self.visits, self.gradients = [], [], {}

    def record(self, operation, out, inputs, arrays, options=(), kept=None):
        """Record an operation, and write it down."""
        variable = record(operation, out, inputs, arrays, options, kept)
        step = Step()
        step.node, step.operation, step.inputs, step.arrays = variable._node, operation, inputs, arrays
        step.options, step.out, step.site = dict(zip(operation.options, options)), variable, call_site()
        step.gradient = step.pieces = step.visit = None
        plan = variable._node.plan
        variable._node.plan = Plan(plan.save, self.watched(plan.back, step), plan.names)
        self.steps.append(step)
        return variable

    def watched(self, back, step):
        """`back`, writing down when it runs and what goes in and out."""
        def watched_back(g, saved):
            step.gradient, step.visit = g, len(self.visits)
            self.visits.append(step)
            step.pieces = back(g, saved)
            return step.pieces

        return watched_back


@contextmanager
def trace():
    """A context that keeps values, call sites and visits.

    Examples
    --------
    >>> with trace() as t:
    ...     f(x).backward()
    >>> [step.operation.__name__ for step in t.visits]
    """
    t = Trace()
    previous = set_recorder(t.record)
    try:
        yield t
    finally:
        set_recorder(previous)


ENGINE = {"record", "traced_run", "first_nonfinite", "check_gradients", "draw_graph", "explain_backward"}


def call_site() -> list[tuple[str, int]]:
    """Files and lines that led to an operation from a cell or script, the innermost first, without the engine's own."""
    frame, site = sys._getframe(2), []
    while frame is not None and len(site) < 20:
        name, code = frame.f_globals.get("__name__", ""), frame.f_code
        if name not in ("tinytorch.core.tensor", "tinytorch.core.autograd") and code.co_name not in ENGINE:
            site.append((code.co_filename, frame.f_lineno))
        if code.co_name.startswith(("<module>", "<cell line")):  # what called a cell is IPython's
            break
        frame = frame.f_back
    return site


# %% [markdown]
# With a trace, the graph can be drawn and the backward pass written out as one would do it by hand. Both functions work
# on a function and its inputs, and both leave the inputs' own `.grad` alone: they compute on copies.

# %%
#| export
def traced_run(f, *inputs, backward=True) -> tuple[Trace, list[Variable], Tensor]:
    """Run f, and backward from its result, on copies of the inputs."""
    copies = [Variable(x.detach() if isinstance(x, Tensor) else x) for x in inputs]
    with trace() as t:
        out = f(*copies)
        if not isinstance(out, Tensor):
            raise TypeError(f"trace: the function returned {type(out).__name__}, not a Tensor.")
        if backward and out.requires_grad:
            kept = [(p, p.grad) for p in parameters_in(t)]
            for p, _ in kept:
                p.grad = None
            try:
                out.backward(np.ones_like(out.data))
            finally:
                for p, grad in kept:
                    t.gradients[id(p)], p.grad = p.grad, grad
    return t, copies, out


def parameters_in(t: Trace) -> list[Tensor]:
    """Leaves that took part in a trace, each once."""
    leaves = {id(x): x for step in t.steps for x in step.inputs if x.requires_grad and x._node is None}
    return list(leaves.values())


def input_names(f, inputs) -> list[str]:
    """What the parameters of f are called."""
    code = getattr(f, "__code__", None)
    names = list(code.co_varnames[: code.co_argcount]) if code is not None else []
    return (names + [f"x{i + 1}" for i in range(len(names), len(inputs))])[: len(inputs)]


def draw_graph(f, *inputs):
    """The graph of f at these inputs, or of a Variable that was computed, as a picture for a notebook.

    Parameters
    ----------
    f : callable, or Variable
        A function is run on copies of the inputs, forward and backward. A Variable's graph is drawn as
        it stands; it shows operations and shapes, since a live graph keeps no values in between.
    *inputs : numbers, arrays or Tensors

    Returns
    -------
    tinytorch.viz.graph.Drawing
        Shows itself in a notebook; `.svg` is the source of the picture, `.text` says the same in words.
    """
    from tinytorch.viz.graph import draw_live, draw_trace

    if isinstance(f, Tensor):
        return draw_live(f, topological_order(f._node) if f._node is not None else [])
    t, copies, out = traced_run(checked_function("draw_graph", f), *inputs)
    return draw_trace(t, dict(zip(input_names(f, inputs), copies)), out)


def explain_backward(f, *inputs) -> str:
    """The chain rule for f at these inputs, line by line with the numbers, as text.

    Parameters
    ----------
    f : callable
        Of single numbers; larger inputs are shown by their shapes.
    *inputs : numbers, arrays or Tensors
    """
    from tinytorch.viz.steps import backward_lines

    t, copies, out = traced_run(checked_function("explain_backward", f), *inputs)
    return "\n".join(backward_lines(t, dict(zip(input_names(f, inputs), copies)), out))


# %%
def product(x, y):
    return (x + y) * (x - y)


print(explain_backward(product, 2.0, 3.0))

# %%
draw_graph(product, 2.0, 3.0)

# %% [markdown]
# ### Where did the NaN come from?
#
# A loss that turns `nan` is usually noticed a thousand operations after its cause. The trace knows the first operation
# that gave a value which is not finite although its inputs were, forward or backward.

# %%
#| export
def first_nonfinite(f, *inputs) -> str | None:
    """The first operation of f, forward or backward, that made a NaN or an infinity out of finite numbers.

    Returns
    -------
    str or None
        The operation, the line it was called from, and its inputs' ranges; None where all is finite.
    """
    with np.errstate(all="ignore"):
        t, _, _ = traced_run(checked_function("first_nonfinite", f), *inputs)
    for step in t.steps:
        if not np.isfinite(step.out.data).all():
            return describe(step, "forward", step.out.data, dict(zip(step.operation.inputs, step.arrays)))
    for step in t.visits:
        for name, piece in zip(step.operation.inputs, step.pieces):
            if piece is not None and not np.isfinite(piece).all():
                return describe(step, f"backward, in the gradient of {name}", piece, {"g": step.gradient})
    return None


def describe(step, where, bad, given) -> str:
    """A few lines on an operation that went wrong."""
    first = tuple(int(i) for i in np.argwhere(~np.isfinite(bad))[0]) if np.ndim(bad) else ()
    place = f" at {list(first)}" if first else ""
    lines = [f"{step.operation.__name__} ({where}): {np.asarray(bad)[first]}{place}"]
    lines += [f"  called from {place}" for place in named_places(step.site)[:3]]
    for name, value in given.items():
        value = np.asarray(value)
        span = f"between {value.min():.6g} and {value.max():.6g}" if value.size else "empty"
        lines.append(f"  {name}: shape {value.shape}, {span}")
    return "\n".join(lines)


# %%
print(first_nonfinite(lambda x: (log(x * x - 4.0) * 2.0).sum(), [3.0, 2.0]))

# %% [markdown]
# ## Are the rules right?
#
# A wrong rule does not crash. It trains a little worse, and one looks for the fault everywhere else. So every rule is
# compared with what it claims to be, the slope of its function, measured by *central differences*: $(f(x + h) - f(x -
# h)) / 2h$. The error of this formula shrinks with $h^2$, and the rounding error grows as $h$ shrinks, which in float32
# leaves hardly three digits. So the check computes in float64.

# %% nbgrader={"grade": false, "grade_id": "central_difference", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def central_difference(f, arrays, i: int, entry: tuple[int, ...], h: float = 1e-6) -> float:
    """Slope of f along one entry of one of its inputs.

    Parameters
    ----------
    f : callable ``(*arrays) -> float``
    arrays : list of float64 arrays
        The point; the same values when the function returns.
    i : int
        Which of the arrays is moved.
    entry : tuple of int
        Which entry of it; () for an array without axes.
    h : float
        The step, multiplied by the entry's size where that is larger than 1.

    Returns
    -------
    float
    """
    arrays = [np.array(a, dtype=np.float64) for a in arrays]
    ### BEGIN SOLUTION central_difference
    middle = arrays[i][entry]
    step = h * max(1.0, abs(middle))
    arrays[i][entry] = middle + step
    above = f(*arrays)
    arrays[i][entry] = middle - step
    below = f(*arrays)
    return float((above - below) / (2 * step))
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# central_difference:
#   title: Measure a slope
#   hints:
#     - You did this at the very start of the chapter, for a function of two numbers.
#     - Remember the entry. Set it a step higher, run f, set it a step lower, run f. The slope is the difference over twice the step.
#     - "step = h * max(...), the larger of 1 and the size of the entry; and in the end (above - below) / (2 * step)"
#   misconceptions:
#     - name: a one-sided difference
#       says: >-
#         The difference was taken on one side only. Its error shrinks with h, that of the central difference with h squared,
#         which is the difference between six digits and ten.
#       code: |
#         middle = arrays[i][entry]
#         step = h * max(1.0, abs(middle))
#         here = f(*arrays)
#         arrays[i][entry] = middle + step
#         return float((f(*arrays) - here) / step)
#     - name: divides by one step
#       says: >-
#         The two points are two steps apart: divide by 2 * step.
#       code: |
#         middle = arrays[i][entry]
#         step = h * max(1.0, abs(middle))
#         arrays[i][entry] = middle + step
#         above = f(*arrays)
#         arrays[i][entry] = middle - step
#         return float((above - f(*arrays)) / step)
#     - name: the second step starts from the first
#       says: >-
#         The entry was not put back before the step down, so both points lie on the same side. Step down from the middle.
#       code: |
#         middle = arrays[i][entry]
#         step = h * max(1.0, abs(middle))
#         arrays[i][entry] += step
#         above = f(*arrays)
#         arrays[i][entry] -= step
#         return float((above - f(*arrays)) / (2 * step))

# %% nbgrader={"grade": true, "grade_id": "test_central_difference", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_central_difference():
    def f(x, y):
        return (x[0] ** 2 * x[1] + 3.0 * y).item()
    point = [np.array([2.0, 5.0]), np.array(7.0)]
    check(central_difference(f, point, 0, (0,)), 20.0, rtol=1e-9)
    check(central_difference(f, point, 0, (1,)), 4.0, rtol=1e-9)
    check(central_difference(f, point, 1, ()), 3.0, rtol=1e-9)
    check(central_difference(lambda x: (x**3).item(), [np.array(1.0)], 0, (), h=0.1), 3.01, rtol=1e-9)
    check(central_difference(lambda x: (x**2).item(), [np.array(5e6)], 0, ()), 1e7, rtol=1e-8)
    check(central_difference(lambda x: (x**2).item(), [np.array(-5e6)], 0, ()), -1e7, rtol=1e-8)

test_central_difference()

# %% [markdown]
# `check_gradients` compares every entry of every input. When an entry is wrong, it goes through the operations of the
# trace one at a time, and says which row is to blame.

# %%
#| export
class GradientError(AssertionError):
    """A gradient that differs from the measured slope."""


def check_gradients(f, *inputs, rtol=1e-5, atol=1e-7, h=1e-6, entries=200, seed=0) -> float:
    """Compare the gradients of f with central differences, in float64.

    Parameters
    ----------
    f : callable ``(*Variables) -> Tensor``, of any shape
        A layer or network may be given too: its parameters are checked as well, in float64.
    *inputs : numbers, arrays or Tensors
        The point. Keep away from corners (relu at 0, equal entries of a maximum).
    rtol, atol : float
        Two slopes agree where they differ by at most ``atol + rtol * size``.
    h : float
        Step of the differences.
    entries : int
        At most so many entries of each input are looked at, drawn at random where there are more.
    seed : int
        For that draw, and for the combination of the result's entries that is differentiated.

    Returns
    -------
    float
        The largest difference that was met, relative to the size of the slope.

    Raises
    ------
    GradientError
        Names the input, the entry, both slopes, and the operation whose row is wrong.
    """
    checked_function("check_gradients", f)
    rng = np.random.default_rng(seed)
    arrays = [to_array(plain(x), np.float64) for x in inputs]
    parameters = list(f.parameters()) if hasattr(f, "parameters") else []
    with in_float64(parameters):
        leaves = [Variable(a) for a in arrays] + parameters
        arrays += [np.array(p.data) for p in parameters]
        with recording(True), trace() as t:
            out = single_result(f(*leaves[: len(inputs)]), "check_gradients")
        weights = rng.standard_normal(out.shape)
        found = gradients(out, leaves, weights, retain_graph=True)

        def combined(*values):
            for p, value in zip(parameters, values[len(inputs) :]):
                p.data = value[()]
            with no_grad():
                result = f(*(wrap(v[()]) for v in values[: len(inputs)]))
            return float((result.data * weights).sum())

        worst = 0.0
        for i, (a, g) in enumerate(zip(arrays, found)):
            for entry in drawn(a.shape, entries, rng):
                slope = central_difference(combined, arrays, i, entry, h)
                ours = float(np.asarray(plain(g))[entry]) if g is not None else 0.0
                size = max(abs(slope), abs(ours))
                if not abs(slope - ours) <= atol + rtol * size:
                    raise GradientError(
                        f"check_gradients: input {i}, entry {list(entry)}: backward says {ours:.8g}, "
                        f"central differences say {slope:.8g}.\n  {blame(t, rtol, h, rng)}"
                    )
                worst = max(worst, abs(slope - ours) / size if size else 0.0)
    return worst


@contextmanager
def in_float64(parameters):
    """Parameters in float64 inside the block, and as they were after it."""
    kept = [p.data for p in parameters]
    try:
        for p in parameters:
            p.data = p.data.astype(np.float64)
        yield
    finally:
        for p, data in zip(parameters, kept):
            p.data = data


def drawn(shape, entries, rng):
    """All entries of an array of `shape`, or so many at random."""
    size = int(np.prod(shape, dtype=np.int64))
    chosen = range(size) if size <= entries else rng.choice(size, entries, replace=False)
    return [tuple(int(k) for k in np.unravel_index(n, shape)) for n in chosen]


def blame(t: Trace, rtol, h, rng) -> str:
    """Which of the traced operations has a wrong row, in a sentence."""
    for step in t.steps:
        operation, options = step.operation, tuple(step.options.values())
        names = operation.inputs * len(step.arrays) if operation.any_number else operation.inputs
        weights = rng.standard_normal(step.out.shape)
        pieces = step.node.plan.back(weights, step.node.saved)
        def combined(*values):
            result = operation(*(v[()] for v in values), **dict(zip(operation.options, options)))
            return float((result * weights).sum())
        for i, (name, x, piece) in enumerate(zip(names, step.arrays, pieces)):
            if piece is None or np.asarray(x).dtype.kind != "f" or not step.inputs[i].requires_grad:
                continue
            piece = np.asarray(*fitted([piece], [np.shape(x)], step.node))
            for entry in drawn(np.shape(x), 50, rng):
                slope = central_difference(combined, list(step.arrays), i, entry, h)
                if not abs(slope - piece[entry]) <= 1e-6 + 10 * rtol * max(abs(slope), abs(piece[entry])):
                    return (
                        f"The row of {operation.__name__} is wrong for its input {name}: at entry {list(entry)} the rule gives "
                        f"{piece[entry]:.8g}, the slope is {slope:.8g} (called from {named_places(step.site)[0]})."
                    )
    return "Each operation's row is right by itself: does the function leave the graph (detach, .data) or draw at random?"


# %% [markdown]
# A rule with a wrong sign, to see that it is caught:

# %%
@operation
def squareplus(x, /):
    """A smooth relu without an exponential: (x + sqrt(x^2 + 4)) / 2."""
    return (x + np.sqrt(x * x + 4)) / 2


gradient(squareplus, x=lambda g, x: g * (1 - x / np.sqrt(x * x + 4)) / 2)
try:
    check_gradients(lambda x, w: squareplus(x * w).sum(), [0.5, -1.0], [2.0, 3.0])
except GradientError as error:
    print(error)

gradient(squareplus, x=lambda g, x: g * (1 + x / np.sqrt(x * x + 4)) / 2)
mended = check_gradients(lambda x, w: squareplus(x * w), [0.5, -1.0], [2.0, 3.0])
print(f"mended: the largest relative difference is {mended:.0e}")

# %% [markdown]
# `squareplus` was a new operation in one function and one row, and from then on as good as the built-in ones. The whole
# table, checked in the same way, in one cell. A second run of each function, with a trace, notes the rules that were
# put to the test: an operation counts with each input that asked for a gradient. None of the table may be missing.

# %%
rng = np.random.default_rng(0)
a, b = rng.uniform(0.5, 2.0, (3, 4)), rng.uniform(2.5, 4.0, (4,))
m = rng.standard_normal((4, 2))
cases = {
    "add": lambda x, y: x + y, "subtract": lambda x, y: x - y, "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y, "power": lambda x, y: x**y, "maximum": maximum, "minimum": minimum,
    "negative": lambda x, y: -x, "cube": lambda x, y: x**3, "identity": lambda x, y: identity(x),
    "exp": lambda x, y: exp(x), "log": lambda x, y: log(x), "sqrt": lambda x, y: sqrt(x), "tanh": lambda x, y: tanh(x),
    "sin": lambda x, y: sin(x), "cos": lambda x, y: cos(x), "sigmoid": lambda x, y: sigmoid(x),
    "softplus": lambda x, y: softplus(x), "relu": lambda x, y: relu(x - 1), "leaky_relu": lambda x, y: leaky_relu(x - 1),
    "gelu": lambda x, y: gelu(x), "squareplus": lambda x, y: squareplus(x), "abs": lambda x, y: abs(x - 1),
    "softmax": lambda x, y: softmax(x), "log_softmax": lambda x, y: log_softmax(x),
    "sum": lambda x, y: x.sum(axis=0), "mean": lambda x, y: x.mean(axis=1), "var": lambda x, y: x.var(axis=0),
    "max": lambda x, y: x.max(axis=1), "min": lambda x, y: x.min(), "where": lambda x, y: where(a > 1, x, y),
    "clip": lambda x, y: clip(x, 0.8, 1.7), "reshape": lambda x, y: x.reshape(2, 6), "transpose": lambda x, y: x.T,
    "swapaxes": lambda x, y: swapaxes(x, 0, 1), "broadcast_to": lambda x, y: broadcast_to(y, (3, 4)),
    "slice": lambda x, y: x[1:, ::2], "take": lambda x, y: x[[0, 0, 2]], "put": lambda x, y: put(x, [0, 0, 2], (4, 4)),
    "stack": lambda x, y: stack([x[0], y]), "concatenate": lambda x, y: concatenate([x[0], y]),
    "matmul": lambda x, y: x @ m, "vector": lambda x, y: x @ y, "einsum": lambda x, y: einsum("nd,d->n", x, y),
    "dense": lambda x, y: dense(x.T, x[:, :2], y[:2]), "layer_norm": lambda x, y: layer_norm(x, y, y),
}  # fmt: skip
worst, tested = {}, set()
for name, f in cases.items():
    worst[name] = check_gradients(f, a, b)
    with trace() as t:
        f(Variable(a), Variable(b))
    tested |= {(s.operation.__name__, i) for s in t.steps for i, x in zip(s.operation.inputs, s.inputs) if x.requires_grad}

operations = [f for f in list(globals().values()) if getattr(f, "rules", None)]
table = {(f.__name__, i) for f in operations for i in f.rules}
assert table <= tested, f"rules without a case: {sorted(table - tested)}"
name = max(worst, key=worst.get)
print(f"{len(worst)} functions agree with central differences; the largest relative difference is {worst[name]:.1e} ({name})")
print(f"all {len(table)} rules of {len({f for f, i in table})} operations were used")

# %% [markdown]
# ## Gradients of gradients
#
# With `create_graph=True` the result of `gradients` has a history of its own, and can be differentiated again.

# %%
#| export
def grad(f, argument: int | tuple[int, ...] = 0):
    """The function that computes the gradient of f.

    Parameters
    ----------
    f : callable ``(*inputs) -> Tensor`` of a single number
    argument : int or tuple of int
        With respect to which of its arguments; a tuple gives a tuple.

    Returns
    -------
    callable
        Takes what f takes. Where an input requires a gradient, or inside another derivative, the result can be
        differentiated again, so ``grad(grad(f))`` is the second derivative.

    Examples
    --------
    >>> grad(lambda x: x ** 3)(2.0)
    Tensor(12.)
    """
    checked_function("grad", f, "f")
    positions = argument if isinstance(argument, tuple) else (argument,)

    def df(*inputs):
        inputs = list(inputs)
        if not all(i in range(len(inputs)) for i in positions):
            raise IndexError(f"grad: the derivative by argument {argument!r:.40} was asked for, and {len(inputs)} arguments are given.")
        with recording(True), differentiating() as inside:
            again = inside or any(isinstance(x, Tensor) and x.requires_grad for x in inputs)
            for i in positions:
                x = inputs[i]
                inputs[i] = identity(x) if isinstance(x, Tensor) and x.requires_grad else Variable(x)
            out = single_result(f(*inputs), "grad")
            found = gradients(out, [inputs[i] for i in positions], create_graph=again)
        found = tuple(zeros_like(inputs[i]) if g is None else g for i, g in zip(positions, found))
        return found if isinstance(argument, tuple) else found[0]

    return df


DEPTH = [0]


@contextmanager
def differentiating():
    """A context in which functions are differentiated; says whether it stands inside another one."""
    DEPTH[0] += 1
    try:
        yield DEPTH[0] > 1
    finally:
        DEPTH[0] -= 1


@contextmanager
def outermost(name: str):
    """`differentiating`, for what may not stand inside another derivative."""
    with differentiating() as inside:
        if inside:
            raise RuntimeError(
                f"{name}: inside another derivative its result would count as a constant.\n"
                "  Nest grad instead: grad(grad(f)) is recorded all the way."
            )
        yield


def zeros_like(x) -> Tensor:
    """Zeros of x's shape and dtype: the gradient of something that does not depend on x."""
    return wrap(np.zeros_like(x.data)[()])


# %%
cube = lambda x: x**3
print("f, f', f'', f''' at 2:", cube(2.0), grad(cube)(2.0), grad(grad(cube))(2.0), grad(grad(grad(cube)))(2.0))

# %% [markdown]
# From `gradients` the other derivatives follow. The *Jacobian* of a function with several results has one gradient in
# each row. The *Hessian* is the Jacobian of the gradient. Often a Hessian is only wanted in a product with a vector,
# and then it need not be built: $Hv$ is the gradient of the number $g \cdot v$, where $g$ is the gradient and $v$ is
# held fixed (Pearlmutter 1994). That costs two walks, whatever the number of variables.

# %% nbgrader={"grade": false, "grade_id": "hvp", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def hvp(f, x, v) -> Tensor:
    """The product of the Hessian of f at x with v, without building the Hessian.

    Parameters
    ----------
    f : callable ``(x) -> Tensor`` of a single number
    x : number, array or Tensor
    v : array or Tensor of the shape of x

    Returns
    -------
    Tensor of the shape of x

    Notes
    -----
    `gradients(out, [x], create_graph=True)` gives a list with the gradient of `out`, as something that can be
    differentiated again. Where a function is linear its gradient does not depend on x: `gradients` then gives None for it, or
    the gradient does not require a gradient itself, and the product is `zeros_like(x)`.
    """
    checked_function("hvp", f, "f, x, v")
    x = Variable(x.detach() if isinstance(x, Tensor) else x)
    v = to_array(v, x.dtype)
    if v.shape != x.shape:
        raise ValueError(f"hvp: v has shape {v.shape}, x has {x.shape}. They must be the same.")
    with recording(True), outermost("hvp"):
        ### BEGIN SOLUTION hvp
        (g,) = gradients(f(x), [x], create_graph=True)
        if g is None or not g.requires_grad:
            return zeros_like(x)
        (product,) = gradients((g * v).sum(), [x])
        return zeros_like(x) if product is None else product
        ### END SOLUTION


# %% [raw] tags=["exercise"]
# hvp:
#   title: A Hessian times a vector
#   hints:
#     - If you had the gradient g as a Variable, of which single number would the gradient be the product of the Hessian with v?
#     - "Two calls of gradients: the first on f(x) with create_graph=True, the second on (g * v).sum(). In between, answer zeros where the gradient is constant."
#     - "(product,) = gradients(..., [x]), of the number that g and v make together"
#   misconceptions:
#     - name: differentiates the sum of the gradient
#       says: >-
#         v was left out, or multiplied in at the end. The number to differentiate is g times v, summed; v belongs inside.
#       code: |
#         (g,) = gradients(f(x), [x], create_graph=True)
#         if g is None or not g.requires_grad:
#             return zeros_like(x)
#         (product,) = gradients(g.sum(), [x])
#         return zeros_like(x) if product is None else product * v
#     - name: forgets create_graph
#       says: >-
#         The gradient was computed but not recorded, so it looked like a constant and its derivative like zero.
#         Ask for create_graph=True.
#       code: |
#         (g,) = gradients(f(x), [x])
#         if g is None or not g.requires_grad:
#             return zeros_like(x)
#         (product,) = gradients((g * v).sum(), [x])
#         return zeros_like(x) if product is None else product
#     - name: the gradient times v
#       says: >-
#         This is the gradient times v, a first derivative. The Hessian holds second derivatives: differentiate once more.
#       code: |
#         (g,) = gradients(f(x), [x])
#         return zeros_like(x) if g is None else g * v
#     - name: builds the Hessian
#       says: >-
#         The values are right, but all rows of the Hessian were computed, a walk for each, and kept. One more walk is enough: from
#         the single number (g * v).sum(), whose gradient is the product.
#       code: |
#         (g,) = gradients(f(x), [x], create_graph=True)
#         if g is None or not g.requires_grad:
#             return zeros_like(x)
#         rows = [gradients(g[i], [x], retain_graph=True)[0] for i in range(len(x))]
#         return zeros_like(x) if rows[0] is None else stack(rows) @ v

# %% nbgrader={"grade": true, "grade_id": "test_gradients", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_gradients():
    def cube(x):
        return x**3
    check(grad(cube)(2.0), 12.0)
    check(grad(grad(cube))(2.0), 12.0)
    check(grad(grad(grad(cube)))(2.0), 6.0)
    check(grad(lambda x, y: x * y * y, argument=(0, 1))(2.0, 3.0), (9.0, 12.0))
    x = Variable([1.0, 2.0])
    middle = x * 3.0
    out = (middle * middle).sum()
    check(gradients(out, [middle, x], retain_graph=True), [[6.0, 12.0], [18.0, 36.0]])
    check(gradients(out, [middle, Variable(1.0)]), [[6.0, 12.0], None])
    check(x.grad, None)

test_gradients()

# %% nbgrader={"grade": true, "grade_id": "test_hvp", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
def test_hvp():
    def f(x):
        return x[0] ** 2 * x[1] + x[1] ** 3
    check(hvp(f, [1.0, 2.0], [1.0, 0.0]), [4.0, 2.0])
    check(hvp(f, [1.0, 2.0], [3.0, 5.0]), [22.0, 66.0])
    check(hvp(lambda x: (x * x * x).sum(), [1.0, 2.0], [1.0, 1.0]), [6.0, 12.0])
    check(hvp(lambda x: (x * 3.0).sum(), [1.0, 2.0], [1.0, 1.0]), [0.0, 0.0])
    check(hvp(lambda x: Variable(3.0) * 2.0, [1.0, 2.0], [1.0, 1.0]), [0.0, 0.0])
    check(hvp(lambda x: (x * Variable([3.0, 4.0])).sum(), [1.0, 2.0], [1.0, 1.0]), [0.0, 0.0])
    many = np.ones(1000)  # their Hessian takes 8,000,000 bytes
    check(peak_bytes(lambda: hvp(lambda x: (x * x * x).sum(), many, many)) < 1_000_000, True)

test_hvp()

# %%
#| export
def jacobian(f, x) -> Tensor:
    """All derivatives of f at x.

    Parameters
    ----------
    f : callable ``(x) -> Tensor`` of any shape
    x : number, array or Tensor

    Returns
    -------
    Tensor of shape ``f(x).shape + x.shape``
    """
    checked_function("jacobian", f)
    x = Variable(x.detach() if isinstance(x, Tensor) else x)
    with recording(True), outermost("jacobian"):
        return rows_of_derivatives(single_result(f(x), "jacobian"), x)


def hessian(f, x) -> Tensor:
    """All second derivatives of f at x.

    Parameters
    ----------
    f : callable ``(x) -> Tensor`` of a single number
    x : number, array or Tensor

    Returns
    -------
    Tensor of shape ``x.shape + x.shape``
    """
    checked_function("hessian", f)
    x = Variable(x.detach() if isinstance(x, Tensor) else x)
    with recording(True), outermost("hessian"):
        (g,) = gradients(single_result(f(x), "hessian"), [x], create_graph=True)
        return rows_of_derivatives(zeros_like(x) if g is None else g, x)


def rows_of_derivatives(out, x) -> Tensor:
    """The gradients of all entries of `out` with respect to x, one walk for each entry."""
    rows = np.zeros((out.size, x.size), x.dtype)
    if out.requires_grad:
        one = np.zeros(out.size, out.dtype)
        for i in range(out.size):
            one[i] = 1
            (row,) = gradients(out, [x], wrap(one.reshape(out.shape)[()]), retain_graph=True)
            one[i] = 0
            if row is not None:
                rows[i] = row.data.reshape(-1)
    return wrap(rows.reshape(out.shape + x.shape)[()])


# %%
def bowl(x):
    return x[0] ** 2 * x[1] + x[1] ** 3


print("gradient", grad(bowl)([1.0, 2.0]).tolist(), " Hessian", hessian(bowl, [1.0, 2.0]).tolist())

# %% [markdown]
# ## Memory against time
#
# Backward needs what forward saved, so a deep network holds the values of all its layers at once. *Checkpointing* (Chen
# et al. 2016) gives up some of them: inside `checkpoint(f, x)` nothing is saved but `x`, and when backward arrives
# there, `f` runs once more. The parameters that `f` uses must get their gradients too. They are found by running `f`
# with a hook that makes no graph and only notes which leaves take part.

# %%
#| export
def checkpoint(f, *inputs):
    """f(*inputs), saving only the inputs: backward runs f again.

    Parameters
    ----------
    f : callable
        Must compute the same again: random numbers it draws (dropout) have to come from a generator that it
        resets itself.
    *inputs : Tensors

    Returns
    -------
    Tensor
    """
    checked_function("checkpoint", f)
    captured = {}  # what f uses besides its inputs: parameters, and values computed before

    def note(operation, out, arguments, arrays, options=(), kept=None):
        captured.update({id(x): x for x in arguments if x.requires_grad and x._node is not PLACEHOLDER})
        result = new(Variable)
        result.data, result.requires_grad, result.grad, result._node = out, True, None, PLACEHOLDER
        return result

    inputs = [as_tensor(x) for x in inputs]
    entries = [Variable(x.detach()) if x.requires_grad else x for x in inputs]
    previous = set_recorder(note)
    try:
        if getattr(previous, "__name__", "") == "note":  # inside another checkpoint, which notes what f uses
            set_recorder(previous)
            return f(*inputs)
        out = single_result(f(*entries), "checkpoint")
    finally:
        set_recorder(previous)
    for x in entries:
        captured.pop(id(x), None)
    sources = [*(x for x in inputs if x.requires_grad), *captured.values()]
    if previous is None or not out.requires_grad:
        return out.detach()

    def back(g, saved):
        fresh = [Variable(x.detach()) if x.requires_grad else x for x in inputs]
        with recording(True):
            out = f(*fresh)
        wanted = [x for x, original in zip(fresh, inputs) if original.requires_grad]
        return [None if g is None else g.data for g in gradients(out, [*wanted, *captured.values()], g)]

    result = new(Variable)
    result.data, result.requires_grad, result.grad = out.data, True, None
    result._node = make_node(checkpoint, tuple(edge_of(x) for x in sources), Plan(None, back, None), None)
    return result


PLACEHOLDER = make_node(checkpoint, (), Plan(None, None, None), None)

# %%
blocks = [[Dense(256, 256, rng=8 * i + j) for j in range(8)] for i in range(8)]
batch = Variable(np.random.default_rng(0).standard_normal((512, 256)).astype(np.float32))


def run_block(layers):
    def run(x):
        for layer in layers:
            x = relu(layer(x))
        return x

    return run


def whole(with_checkpoints):
    x = batch
    for layers in blocks:
        x = checkpoint(run_block(layers), x) if with_checkpoints else run_block(layers)(x)
    x.sum().backward()
    found = blocks[0][0].weights.grad.data.copy()
    for layers in blocks:
        for layer in layers:
            layer.weights.zero_grad()
            layer.bias.zero_grad()
    return found


assert np.allclose(whole(False), whole(True))
for name, with_checkpoints in (("all saved", False), ("checkpoints", True)):
    megabytes = peak_bytes(lambda: whole(with_checkpoints)) / 1e6
    elapsed = seconds(lambda: whole(with_checkpoints), repeat=3)
    print(f"64 layers, {name:12s} peak {megabytes:6.1f} MB   {1e3 * elapsed:6.0f} ms")

# %% [markdown]
# ## Keeping steps small
#
# Deep and recurrent networks now and then meet a gradient a thousand times longer than usual, and one step along it
# undoes an hour of training. Clipping by norm (Pascanu et al. 2013) shortens the whole gradient, all parameters
# together, and keeps its direction. Clipping by value cuts off single entries, which bends it.

# %% nbgrader={"grade": false, "grade_id": "clip_gradients", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def clip_gradients(variables, max_norm: float | None = 1.0, max_value: float | None = None) -> float:
    """Limit the gradients of `variables`, in place.

    Parameters
    ----------
    variables : iterable of Tensors
        Those without a gradient are passed over.
    max_norm : float or None
        Where the norm of all gradients together, as one long vector, is larger, all are multiplied by the same
        number to make it this.
    max_value : float or None
        Each entry is brought into ``[-max_value, max_value]``, before the norm is taken.

    Returns
    -------
    float
        The norm before it was limited; NaN or infinite where a gradient is, and then nothing is
        scaled.
    """
    variables = tensor_list("clip_gradients", variables, "clip_gradients([x])")
    for name, limit in (("max_norm", max_norm), ("max_value", max_value)):
        if limit is not None and not (isinstance(limit, (int, float, np.number)) and limit >= 0):
            raise ValueError(f"clip_gradients: {name} is {limit!r:.60}, but it has to be a number of at least 0, or None.")
    tensors = [v.grad for v in variables if v.grad is not None]
    ### BEGIN SOLUTION clip_gradients
    if max_value is not None:
        for g in tensors:
            g.data = np.clip(g.data, -max_value, max_value)
    norm = float(np.sqrt(sum(float((g.data.astype(np.float64) ** 2).sum()) for g in tensors)))
    if max_norm is not None and max_norm < norm < np.inf:
        for g in tensors:
            g.data = g.data * g.dtype.type(max_norm / norm)
    return norm
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# clip_gradients:
#   title: Keep steps small
#   hints:
#     - All gradients together are one long vector. What is its length, in terms of the entries of each?
#     - Clip the values first if asked. Add up the squares over all gradients and take the root. If that is more than max_norm, multiply each gradient by max_norm / norm.
#     - "norm = float(np.sqrt(sum(... for g in tensors))), with the sum of the squares of one, taken in float64, in the gap"
#   misconceptions:
#     - name: clips each gradient by itself
#       says: >-
#         Each gradient was scaled by its own norm. That changes their sizes relative to each other, and so the direction of
#         the step. There is one norm, of all together.
#       code: |
#         if max_value is not None:
#             for g in tensors:
#                 g.data = np.clip(g.data, -max_value, max_value)
#         norms = [float(np.sqrt((g.data**2).sum())) for g in tensors]
#         for g, norm in zip(tensors, norms):
#             if max_norm is not None and norm > max_norm:
#                 g.data = g.data * g.dtype.type(max_norm / norm)
#         return float(np.sqrt(sum(n * n for n in norms)))
#     - name: scales small gradients up
#       says: >-
#         A gradient shorter than max_norm was made longer. Clipping only ever shortens: scale where the norm is larger than max_norm.
#       code: |
#         if max_value is not None:
#             for g in tensors:
#                 g.data = np.clip(g.data, -max_value, max_value)
#         norm = float(np.sqrt(sum(float((g.data.astype(np.float64) ** 2).sum()) for g in tensors)))
#         if max_norm is not None:
#             for g in tensors:
#                 g.data = g.data * g.dtype.type(max_norm / norm)
#         return norm
#     - name: adds norms in place of squares
#       says: >-
#         The norms of the gradients were added. Lengths of perpendicular pieces add as squares: sum the squares of all entries, then take one root.
#       code: |
#         if max_value is not None:
#             for g in tensors:
#                 g.data = np.clip(g.data, -max_value, max_value)
#         norm = float(sum(np.sqrt((g.data**2).sum()) for g in tensors))
#         if max_norm is not None and norm > max_norm:
#             for g in tensors:
#                 g.data = g.data * g.dtype.type(max_norm / norm)
#         return norm

# %% nbgrader={"grade": true, "grade_id": "test_clip_gradients", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_clip_gradients():
    def with_gradients(*values):
        variables = [Variable(np.zeros_like(v)) for v in values]
        for variable, v in zip(variables, values):
            variable.grad = Tensor(v)
        return variables
    a, b = with_gradients(np.array([3.0, 0.0]), np.array([4.0]))
    check(clip_gradients([a, b], max_norm=1.0), 5.0)
    check(a.grad, [0.6, 0.0])
    check(b.grad, [0.8])
    check(clip_gradients([a, b], max_norm=10.0), 1.0)
    check(a.grad, [0.6, 0.0])
    (c,) = with_gradients(np.array([-3.0, 0.5, 2.0]))
    clip_gradients([c], max_norm=None, max_value=1.0)
    check(c.grad, [-1.0, 0.5, 1.0])
    check(clip_gradients([Variable(1.0)]), 0.0)
    d, e = with_gradients(np.array([np.inf]), np.array([2.0]))
    check(clip_gradients([d, e], max_norm=1.0), np.inf)
    check(e.grad, [2.0])

test_clip_gradients()

# %% [markdown]
# ## What it costs
#
# First what the beginning of the chapter promised: all gradients of a network with several hundred thousand weights,
# against running it once, and against nudging each weight in turn.

# %%
stack_of_layers = [Dense(256, 256, rng=i) for i in range(8)]
weights = sum(p.size for layer in stack_of_layers for p in layer.parameters())
rows = Tensor(np.random.default_rng(1).standard_normal((64, 256)).astype(np.float32))


def run_once():
    x = rows
    for layer in stack_of_layers:
        x = relu(layer(x))
    return x.sum()


def run_and_back():
    run_once().backward()
    for layer in stack_of_layers:
        layer.zero_grad()


with no_grad():
    once = seconds(run_once, repeat=20)
back = seconds(run_and_back, repeat=20)
print(f"{weights} weights; one run {1e3 * once:.2f} ms; one run and all gradients {1e3 * back:.2f} ms, {back / once:.1f} runs")
print(f"nudging every weight up and down: {2 * weights} runs")

# %% [markdown]
# Each operation leaves one node, and backward visits each once. Both are seen from the outside: the number of nodes is
# that of the additions, and the time for one node hardly depends on how many there are. It is the fastest of five
# walks, since a machine has other things to do; a busy one may still make one line two or three times as slow as
# another. If each node were visited once for every node after it, the last column would grow about a thousandfold from
# the first line to the last. And a chain of a hundred thousand works at all because nothing recurses.

# %%
def count_nodes(variable):
    """Nodes in the graph of a Variable."""
    return len(topological_order(variable._node))


def timed_backward(y, x):
    """Seconds that backward takes from y to x: the fastest of five walks through the same graph."""
    def once_more():
        x.zero_grad()
        y.backward(retain_graph=True)

    return seconds(once_more)


for n in (100, 1000, 10_000, 100_000):
    x = y = Variable(1.0)
    for _ in range(n):
        y = y + x
    nodes, elapsed = count_nodes(y), timed_backward(y, x)
    print(f"{n:7d} additions  {nodes:7d} nodes  {1e3 * elapsed:8.2f} ms  {1e6 * elapsed / nodes:5.2f} us per node  x.grad = {x.grad}")

# %% [markdown]
# The other half of the measurement is growth by sharing. `y = y + y`, sixty times, has $2^{60}$ paths from the result
# to `x`. A walk that followed paths would never return. Visiting nodes, it takes sixty visits.

# %%
x = y = Variable(np.float64(1.0))
for _ in range(60):
    y = y + y
print(f"{count_nodes(y)} nodes, {1e3 * timed_backward(y, x):.2f} ms, x.grad = {x.grad}, 2**60 = {2.0**60}")

# %% [markdown]
# ## Against the real thing
#
# The same expression in PyTorch, where it is installed: values and all gradients have to agree.

# %%
def expression(x, w, softmax, tanh):
    return (softmax(tanh(x @ w)) * x[:, :2]).sum()


x_values, w_values = rng.standard_normal((4, 3)), rng.standard_normal((3, 2))
x, w = Variable(x_values), Variable(w_values)
expression(x, w, softmax, tanh).backward()
try:
    import torch
except ImportError:
    print("PyTorch is not installed: the comparison was not made")
else:
    p, q = (torch.tensor(v, requires_grad=True) for v in (x_values, w_values))
    expression(p, q, lambda s: torch.softmax(s, -1), torch.tanh).backward()
    assert np.allclose(x.grad.data, p.grad.numpy(), rtol=1e-10) and np.allclose(w.grad.data, q.grad.numpy(), rtol=1e-10)
    print("gradients agree with PyTorch", torch.__version__)

# %% [markdown]
# ## Where next
#
# - *A row of your own.* Write `log1p` as an operation with a row, and let `check_gradients` judge it, at 1e-8 too.
# - *Newton's method.* With `hessian` and `np.linalg.solve`, find the minimum of `x[0]**4 + x[1]**2 + x[0]*x[1]` from
#   (1, 1). How many steps does it take, and how many does gradient descent take?
# - *What is saved?* For a two-layer network, list for each node the bytes in `saved`, from
#   `topological_order(loss._node)`. Which operation holds the most, and what would a checkpoint there save?
#
# Left out here, and present in PyTorch: changing values in place under the eye of version counters, gradients across
# devices and threads, hooks, forward-mode derivatives, and compiling the graph. The real ones record the same kind of
# graph and walk it in the same order.
