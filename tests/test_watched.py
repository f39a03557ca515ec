"""Arrays that write down what is done with them: they see every shortcut, and take no right way for one."""

import operator

import numpy as np
import pytest

from tinytorch.core.activations import gelu_composed
from tinytorch.core.layers import Parameter, dense_composed, matmul_naive
from tinytorch.core.tensor import Tensor, einsum, matmul, multiply, set_recorder
from tinytorch.watched import multiplies_whole_arrays, new_arrays, numpy_calls, takes_one_by_one

X, W = np.arange(1.0, 7.0).reshape(2, 3), np.arange(1.0, 13.0).reshape(3, 4)


def three_loops(a, b):
    out = np.zeros((a.shape[0], b.shape[1]))
    for n in range(a.shape[0]):
        for k in range(b.shape[1]):
            for d in range(a.shape[1]):
                out[n, k] += a[n, d] * b[d, k]
    return out


def row_after_row(a, b):
    out = np.zeros((len(a), b.shape[1]), np.result_type(a, b))
    for n in range(len(a)):
        row, new = a[n], []
        for k in range(b.shape[1]):
            column, total = b[:, k].copy(), 0.0
            for d, x in enumerate(row):
                total = total + np.multiply(x, column[d])
            new.append(total)
        out[n] = new
    return out


def every_index(a, b):
    out = np.zeros((a.shape[0], b.shape[1]))
    for n, k, d in np.ndindex(*a.shape[:1], b.shape[1], len(b)):
        out[n][k] = out[n][k] + a[n][d] * b[d][k]
    return out


BY_HAND = {
    "three loops": three_loops,
    "rows and lists": row_after_row,
    "every index": every_index,
    "the course's own": matmul_naive,
    "zip": lambda a, b: [[sum(x * y for x, y in zip(row, column)) for column in zip(*b)] for row in a],
    "zip, turned": lambda a, b: np.array([[sum(x * y for x, y in zip(row, column)) for column in b.T] for row in a]),
    "np.transpose": lambda a, b: [[sum(map(operator.mul, row, column)) for column in np.transpose(b)] for row in a],
    "lists": lambda a, b: [[sum(x * y for x, y in zip(row, column)) for column in b.T.tolist()] for row in a.tolist()],
    "np.sum of a list": lambda a, b: [
        [np.sum([a[n, d] * b[d, k] for d in range(len(b))]) for k in range(b.shape[1])] for n in range(len(a))
    ],
    "item": lambda a, b: [
        [sum(a.item(n, d) * float(b[d, k]) for d in range(len(b))) for k in range(b.shape[1])] for n in range(len(a))
    ],
    "np.ndenumerate": lambda a, b: [
        [sum(x * b[d, k] for (d,), x in np.ndenumerate(row)) for k in range(b.shape[1])] for row in a
    ],
}
LEFT_TO_OTHERS = {
    "@": lambda a, b: a @ b,
    "@ of arrays made from them": lambda a, b: np.transpose(a).T @ b[:],
    "np.matmul into": lambda a, b: np.matmul(a, b, out=np.empty((2, 4))),
    "np.dot": np.dot,
    "a.dot": lambda a, b: a.dot(b),
    "np.inner": lambda a, b: np.inner(a, b.T),
    "np.vdot": lambda a, b: [[np.vdot(row, column) for column in b.T] for row in a],
    "np.vecdot": lambda a, b: [[np.vecdot(row, column) for column in b.T] for row in a],
    "np.einsum": lambda a, b: np.einsum("nd,dk->nk", a, b),
    "np.tensordot": lambda a, b: np.tensordot(a, b, 1),
    "np.linalg.multi_dot": lambda a, b: np.linalg.multi_dot([a, b]),
    "np.linalg.matmul": lambda a, b: np.linalg.matmul(a, b),
    "* of rows": lambda a, b: [[(row * column).sum() for column in b.T] for row in a],
    "a number times a row": lambda a, b: [sum(a[n, d] * b[d] for d in range(len(b))) for n in range(len(a))],
    "outer products": lambda a, b: sum(np.multiply.outer(a[:, d], b[d]) for d in range(len(b))),
    "broadcasting": lambda a, b: (a[:, :, None] * b).sum(axis=1),
    "Tensors": lambda a, b: (Tensor(a) @ Tensor(b)).data,
    "Tensors, and numpy()": lambda a, b: (Tensor(a) @ Tensor(b)).numpy(),
    "matmul": matmul,
    "matmul of a Tensor": lambda a, b: matmul(Tensor(a), b).data,
    "einsum of Tensors": lambda a, b: einsum("nd,dk->nk", Tensor(a), b).data,
    "* of Tensors": lambda a, b: multiply(Tensor(a[:, :, None]), Tensor(b)).sum(axis=1).data,
    "a composition": lambda a, b: dense_composed(a, b, np.zeros(4)),
}


@pytest.mark.parametrize("way", BY_HAND)
def test_a_product_by_hand(way):
    np.testing.assert_allclose(BY_HAND[way](X, W), X @ W)
    assert not multiplies_whole_arrays(BY_HAND[way], X, W)


@pytest.mark.parametrize("way", LEFT_TO_OTHERS)
def test_a_product_that_is_left_to_others(way):
    np.testing.assert_allclose(LEFT_TO_OTHERS[way](X, W), X @ W)
    assert multiplies_whole_arrays(LEFT_TO_OTHERS[way], X, W)


def in_one(x):
    u = x * x
    u *= 0.5
    np.tanh(u, out=u)
    u += x
    return u


IN_HOW_MANY = [
    (in_one, 1),
    (lambda x: x * x * 0.5 + x, 3),
    (lambda x: np.add(x, 1, out=np.empty(3)), 0),
    (lambda x: np.add(x, 1, out=np.empty_like(x)), 1),
    (lambda x: np.where(x > 0, x, 0), 2),
    (lambda x: np.copy(x), 1),
    (lambda x: x.reshape(3, 1).T[:, 1:], 0),
    (lambda x: x.sum() + x.max(), 0),
    (lambda x: np.dot(x, x), 0),
    (lambda x: np.modf(x, np.empty(3), None)[1], 1),
    (lambda x: sum(np.modf(x)), 4),
    (gelu_composed, 9),
    (lambda x: gelu_composed(Tensor(x)).data, 9),
]


@pytest.mark.parametrize("call, count", IN_HOW_MANY)
def test_new_arrays_are_counted(call, count):
    assert new_arrays(call, [1.0, -2.0, 3.0]) == count


def test_numpy_calls_are_named_in_order():
    names = numpy_calls(lambda x: np.log(np.exp(x - x.max()).sum()), [1.0, 2.0])
    assert names == ["maximum.reduce", "subtract", "exp", "add.reduce"]


CENTRE = np.array([1.0, 1.0])
LOOPS = [
    lambda p, c: np.array([np.sqrt(((point - c) ** 2).sum()) for point in p]),
    lambda p, c: np.array([np.sqrt(((p[i] - c) ** 2).sum()) for i in range(len(p))]),
    lambda p, c: np.sqrt(sum((x - y) ** 2 for x, y in zip(p.T, c))),
    lambda p, c: list(map(np.linalg.norm, p - c)),
]
NO_LOOP = [
    lambda p, c: np.sqrt(np.sum((p - c) ** 2, axis=1)),
    lambda p, c: np.linalg.norm(p - c, axis=1),
    lambda p, c: np.sqrt(np.einsum("nd,nd->n", p - c, p - c)),
    lambda p, c: np.sqrt(np.square(p - c[None]).sum(-1)),
    lambda p, c: np.hypot(p[:, 0] - c[0:1], p[:, 1] - c[1:]),
]


@pytest.mark.parametrize("call, loops", [*((call, True) for call in LOOPS), *((call, False) for call in NO_LOOP)])
def test_loops_are_told_from_arrays(call, loops):
    points = np.array([[4.0, 5.0], [1.0, 1.0], [1.0, 3.0]])
    np.testing.assert_allclose(call(points, CENTRE), [5.0, 0.0, 2.0])
    assert takes_one_by_one(call, points, CENTRE) is loops


def test_everything_is_as_before():
    previous = set_recorder(recorder := lambda lifted, out, *_: Parameter(out))
    try:
        with pytest.raises(ZeroDivisionError):
            multiplies_whole_arrays(lambda a, b: 1 / 0, X, W)
        with pytest.raises(TypeError):
            numpy_calls(lambda a: a[0, 0] + "one", X)
        assert Tensor.requires_grad is False and set_recorder(recorder) is recorder
    finally:
        set_recorder(previous)
    assert X.tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
