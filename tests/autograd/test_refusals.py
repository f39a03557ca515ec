"""No silent detour: what would lose a derivative raises, and says what to do."""

import copy
import math
import operator
import pickle

import numpy as np
import pytest

from tinytorch.core.activations import leaky_relu
from tinytorch.core.autograd import Variable, draw_graph, explain_backward
from tinytorch.core.layers import Parameter
from tinytorch.core.tensor import (
    Tensor,
    clip,
    concatenate,
    from_numpy,
    full,
    maximum,
    power_number,
    reduce_sum,
    stack,
    to_array,
    where,
)


def v():
    return Variable([[1.0, 2.0], [3.0, 4.0]])


def s():
    return Variable(2.0)


def filled(array, value):
    array[:] = value


NUMBERS = [
    ("asarray", lambda: np.asarray(v())),
    ("array", lambda: np.array(v())),
    ("array_of_list", lambda: np.array([v(), v()])),
    ("numpy", lambda: v().numpy()),
    ("float", lambda: float(s())),
    ("int", lambda: int(s())),
    ("complex", lambda: complex(s())),
    ("math", lambda: math.exp(s())),
    ("floor", lambda: math.floor(s())),
    ("isnan", lambda: math.isnan(s())),
    ("float32", lambda: np.float32(s())),
    ("fill", lambda: filled(np.zeros((2, 2)), v())),
    ("np_full", lambda: np.full((2,), s())),
    ("random", lambda: np.random.default_rng(0).normal(s())),
    ("testing", lambda: np.testing.assert_allclose(v(), 1)),
    ("astype", lambda: v().astype(np.float64)),
    ("copy", lambda: v().copy()),
    ("Tensor", lambda: Tensor(v())),
    ("to_array", lambda: to_array(v())),
    ("full", lambda: full((2,), s())),
    ("clip_bound", lambda: v().clip(s(), 3)),
    ("clip_of_array", lambda: np.clip(np.ones((2, 2)), v(), 2.0)),
    ("parameter", lambda: np.asarray(Parameter([1.0]))),
    ("recorded", lambda: np.asarray(v() * 2)),
    ("slope", lambda: leaky_relu(v(), s())),
]


@pytest.mark.parametrize("call", [pytest.param(c, id=n) for n, c in NUMBERS])
def test_values_leave_the_graph_only_by_name(call):
    with pytest.raises(TypeError, match=r"requires a gradient[\s\S]*x.detach\(\).numpy\(\)[\s\S]*x.item\(\)"):
        call()


WITHOUT_A_ROW = [
    np.sort, np.cumsum, np.prod, np.linalg.norm, np.linalg.det, np.log1p, np.expm1, np.sinh, np.arctan, np.round, np.trace,
    np.diag, np.outer, np.inner, np.kron, np.positive, np.reciprocal, np.median, np.ptp, np.nan_to_num, np.diff, np.flip,
    np.roll, np.tile, np.atleast_2d, np.copy, np.hypot, np.mod, np.floor_divide, np.save, np.moveaxis, np.vstack,
]  # fmt: skip


@pytest.mark.parametrize("f", WITHOUT_A_ROW, ids=lambda f: f.__name__)
def test_numpy_functions_without_a_row(f, tmp_path):
    x = v()
    arguments = {np.save: (tmp_path / "x.npy", x), np.tile: (x, 2), np.roll: (x, 1), np.vstack: ([x, x],)}.get(f)
    if arguments is None:
        pairs = {np.outer, np.inner, np.kron, np.hypot, np.mod, np.floor_divide}
        arguments = (x, np.ones((2, 2))) if f in pairs else (x, 0, 1) if f is np.moveaxis else (x,)
    with pytest.raises(TypeError, match="has no derivative rule"):
        f(*arguments)
    assert not list(tmp_path.iterdir())


OUT = [
    lambda: np.add(v(), 1, out=np.zeros((2, 2))),
    lambda: np.add(np.ones((2, 2)), 1, out=v()),
    lambda: np.add(v(), 1, np.zeros((2, 2))),
    lambda: np.exp(v(), where=np.eye(2) > 0),
    lambda: np.sum(v(), out=np.zeros(())),
    lambda: np.sum(v(), where=np.eye(2) > 0),
    lambda: np.sum(v(), 0, None, np.zeros(2)),
    lambda: np.mean(v(), 0, np.float64),
    lambda: np.max(v(), 0, np.zeros(2)),
    lambda: np.clip(v(), 0, 1, np.zeros((2, 2))),
    lambda: np.concatenate([v(), v()], 0, np.zeros((4, 2))),
    lambda: np.sum(v(), dtype=np.float64),
    lambda: np.add(v(), 1, dtype=np.float64),
    lambda: np.add.reduce(v()),
    lambda: np.add.accumulate(v()),
    lambda: np.multiply.outer(v(), v()),
    lambda: np.add.at(np.zeros((2, 2)), 0, v()),
    lambda: np.copyto(np.zeros((2, 2)), v()),
]


@pytest.mark.parametrize("call", OUT)
def test_options_that_write_elsewhere(call):
    with pytest.raises(TypeError):
        call()


def in_place(x, symbol, y):
    if symbol == "+=":
        x += y
    elif symbol == "-=":
        x -= y
    elif symbol == "*=":
        x *= y
    elif symbol == "/=":
        x /= y
    elif symbol == "**=":
        x **= y
    elif symbol == "@=":
        x @= y
    return x


@pytest.mark.parametrize("symbol", ["+=", "-=", "*=", "/=", "**=", "@="])
def test_in_place_operators(symbol):
    other = np.ones((2, 2))
    for x in (v(), v() * 2, Parameter(np.ones((2, 2)))):
        before = x.data.copy()
        with pytest.raises(RuntimeError, match=r"cannot be changed in place.*\n.*y = y \+ x"):
            in_place(x, symbol, other)
        np.testing.assert_array_equal(x.data, before)
    t = Tensor(other)
    with pytest.raises(RuntimeError, match="requires a gradient"):
        in_place(t, symbol, v())
    with pytest.raises(TypeError):
        in_place(np.ones((2, 2)), symbol, v())


def test_item_assignment():
    for x in (v(), v() * 2, Parameter(np.ones((2, 2)))):
        with pytest.raises(RuntimeError, match=r"where\(mask, a, b\)"):
            x[0] = 1.0
    t = Tensor([1.0, 2.0])
    with pytest.raises(RuntimeError, match="requires a gradient"):
        t[0] = s()
    array = np.zeros(2)
    with pytest.raises((TypeError, ValueError)):
        array[0] = s()
    x = v()
    x.data[0, 0] = 9.0  # the caller's responsibility
    assert x.tolist()[0][0] == 9.0


LISTS = [
    lambda: Tensor([s(), s()]),
    lambda: Tensor([1.0, s()]),
    lambda: Variable([s(), s()]),
    lambda: Variable([[s(), 1.0], [2.0, s()]]),
    lambda: Tensor([v(), v()]),
    lambda: operator.add(v(), [s(), s()]),
]


@pytest.mark.parametrize("call", LISTS)
def test_lists_of_variables_ask_for_stack(call):
    with pytest.raises(TypeError, match=r"stack\(\[a, b\]\)"):
        call()


def test_lists_that_are_recorded():
    a, b = s(), s()
    (stack([a, b, 1.0]).sum() + concatenate([v()[0], [1.0, 2.0]]).sum()).backward()
    assert a.grad.item() == b.grad.item() == 1.0


BAD = [
    (lambda: Variable(v()), TypeError, "Variable already"),
    (lambda: Variable(Parameter([1.0])), TypeError, "already"),
    (lambda: Variable(np.arange(3)), TypeError, r"int64 have no derivative[\s\S]*astype"),
    (lambda: Variable(Tensor([1, 2])), TypeError, "no derivative"),
    (lambda: Variable(np.int64(3)), TypeError, "no derivative"),
    (lambda: Variable(True), TypeError, "bool"),
    (lambda: Variable("two"), TypeError, "not made of numbers"),
    (lambda: Variable(None), TypeError, "None is not made of numbers"),
    (lambda: Variable(1j), TypeError, "not made of numbers"),
    (lambda: Variable(object()), TypeError, "not made of numbers"),
    (lambda: Variable([[1.0], [2.0, 3.0]]), ValueError, "row 0 has 1 entries, row 1 has 2"),
    (lambda: v() + np.ones(3), ValueError, r"add: shapes \(2, 2\) and \(3,\) do not broadcast: axis -1 has 2 and 3"),
    (lambda: v() @ np.ones((3, 2)), ValueError, "matmul: inner sizes differ"),
    (lambda: v() + "one", TypeError, "'one' is not made of numbers"),
    (lambda: v() + None, TypeError, "None is not made of numbers"),
    (lambda: v()[5], IndexError, "out of bounds"),
    (lambda: v()[0, 0, 0], IndexError, "3 indices, but x has the shape"),
    (lambda: v()[s()], IndexError, "integers"),
    (lambda: v().sum(axis=4), ValueError, "axis 4"),
    (lambda: v().reshape(3), ValueError, r"reshape: the 4 entries.*\(3,\)"),
    (lambda: v().item(), ValueError, "4 entries, not one"),
    (lambda: from_numpy(v()), TypeError, "requires a gradient"),
    (lambda: power_number(v(), s()), TypeError, "cannot be a Tensor"),
    (lambda: np.where(v() > 1), TypeError, "too little"),
    (lambda: pickle.dumps(v() * 2), TypeError, "detach"),
    (lambda: copy.deepcopy(v() * 2), TypeError, "detach"),
]


@pytest.mark.parametrize("call, error, message", BAD)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_python_ints_are_floats_here():
    for data in (3, [1, 2], [[1], [2]]):
        assert Variable(data).dtype == np.float32
    assert Variable(np.float64(2)).dtype == np.float64 and Variable(np.float16([1])).dtype == np.float16
    x = Variable(np.array(2.0))
    assert isinstance(x.data, np.float64)


def test_what_looks_but_does_not_compute():
    x, y = v(), s()
    assert repr(x).startswith("Variable([[1., 2.]") and str(y) == "2.0" and f"{y:.1f}" == "2.0"
    assert y > 1 and bool(y) and (x == x).data.all() and not (x != x).data.any()
    assert type(x > 1) is Tensor and not (x > 1).requires_grad
    assert len({x, y, x}) == 2 and x in [x]
    assert np.argmax(x).item() == 3 and np.isfinite(x).data.all() and np.shape(x) == (2, 2) and len(x) == 2
    assert np.allclose(x, x) and np.array_equal(x, x) and np.sign(y).item() == 1.0
    assert x.tolist() == [[1, 2], [3, 4]] and y.item() == 2.0
    assert not any(f(x).requires_grad for f in (np.floor, np.ceil, np.zeros_like, np.ones_like))


def test_what_python_builds_from_operators_is_recorded():
    a, b = s(), Variable(3.0)
    total = sum([a, b]) + max([a, b]) + abs(-a) + pow(a, 2)
    total.backward()
    assert (a.grad.item(), b.grad.item()) == (1 + 1 + 4, 2.0)
    rows = list(v())
    assert all(r.requires_grad for r in rows)
    x = v()
    first, second = x
    (first * second).sum().backward()
    assert x.grad.tolist() == [[3, 4], [1, 2]]


def test_arrays_and_numbers_on_either_side_are_recorded():
    for f in (
        lambda x: np.ones((2, 2)) + x, lambda x: np.float64(2) * x, lambda x: 2 - x, lambda x: np.ones((2, 2)) @ x,
        lambda x: [1.0, 2.0] * x, lambda x: 2**x, lambda x: np.ones(2) / x, lambda x: Tensor([1.0, 2.0]) - x,
        lambda x: x**np.float64(2), lambda x: x @ [[1.0], [2.0]], lambda x: np.ones(2) ** x, lambda x: [[1.0, 2.0]] @ x,
    ):  # fmt: skip
        x = v()
        out = f(x)
        assert type(out) is Variable
        out.sum().backward()
        assert x.grad.shape == (2, 2) and x.grad.dtype == np.float32


def test_numbers_never_promote():
    x = v()
    for f in (
        lambda x: x * 0.5, lambda x: x + np.float64(1), lambda x: x ** np.float64(2), lambda x: where(x > 1, x, 0),
        lambda x: where(x > 1, 0.0, x), lambda x: where(x > 1, x, np.float64(0)), lambda x: maximum(x, 0),
        lambda x: maximum(np.float64(0), x), lambda x: x.clip(np.float64(0), 1), lambda x: clip(x, 0, np.float64(1)),
        lambda x: x * Tensor(np.float64(2)), lambda x: x.mean(), lambda x: x.var(), lambda x: x / np.float64(3),
        lambda x: where(x.sum() > 1, x.sum(), 0), lambda x: reduce_sum(x) * 2,
    ):  # fmt: skip
        out = f(x)
        assert out.dtype == np.float32, out
        out.sum().backward()
    assert x.grad.dtype == np.float32


def test_copies_of_leaves():
    x = v()
    x.sum().backward()
    for y in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert type(y) is Variable and y.requires_grad and y.is_leaf and y.tolist() == x.tolist()
    y = copy.deepcopy(x)
    assert not np.shares_memory(x.data, y.data) and not np.shares_memory(x.grad.data, y.grad.data)
    y.zero_grad()
    (y * 2).sum().backward()
    assert y.grad.tolist() == [[2, 2], [2, 2]] and x.grad.tolist() == [[1, 1], [1, 1]]


def test_pictures_leave_the_graph_alone():
    x = s()
    x.grad = Tensor(5.0)
    draw_graph(lambda a: a * x, x)
    explain_backward(lambda a: a * x, x)
    assert x.grad.item() == 5.0
