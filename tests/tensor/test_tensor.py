"""Tensor against NumPy, and bad input in the student's words."""

import copy
import operator
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinytorch.core import tensor as core
from tinytorch.core.tensor import (
    Tensor,
    arange,
    broadcast_shape,
    clip,
    concatenate,
    contiguous_strides,
    einsum,
    expand_dims,
    from_numpy,
    full,
    matmul,
    maximum,
    minimum,
    ones,
    operation,
    power,
    randn,
    square,
    squeeze,
    stack,
    std,
    to_array,
    where,
    zeros,
)

FLOATS = st.floats(-8, 8, width=16)
DTYPES = [np.float32, np.float64, np.int64, np.bool_]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
PAIRS = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0, max_side=3)


def entries(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, 2, shape) if dtype == np.bool_ else rng.uniform(1, 4, shape)
    return np.asarray(drawn).astype(dtype)


def same(ours, expected, dtype=True):
    """Same values, shape and dtype; a NumPy scalar where there are no axes."""
    assert type(ours) is Tensor
    assert isinstance(ours.data, np.ndarray if np.ndim(expected) else np.generic), type(ours.data)
    assert ours.shape == np.shape(expected)
    if dtype:
        assert ours.dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(ours.data, expected, rtol=1e-6, equal_nan=True)


# Creation and dtypes

CREATED = [
    (3.0, "float32"), ([1.0, 2.0], "float32"), ([[1.0], [2.0]], "float32"), (3, "int64"), ([1, 2], "int64"),
    (True, "bool"), ([True, False], "bool"), ([1, 2.5], "float32"), ([], "float32"), ([[], []], "float32"),
    (np.float64(3), "float64"),
    (np.float32(3), "float32"), (np.array(3.0), "float64"), (np.ones((2, 2)), "float64"),
    (np.ones(2, np.float16), "float16"),
    (np.arange(3), "int64"), (np.ones(2, np.uint8), "uint8"), (range(3), "int64"), ((1.0, 2.0), "float32"),
    ([Tensor(2.0), 1.0], "float32"), ([1.0, np.float32(2)], "float32"),
    ([np.float64(1), 2.0], "float64"), ([1.0, np.float64(2)], "float64"),
    ([np.float64(1), np.float64(2)], "float64"), ([np.ones(2), np.zeros(2)], "float64"),
]  # fmt: skip


@pytest.mark.parametrize("data, dtype", CREATED)
def test_created_dtypes(data, dtype):
    t = Tensor(data)
    assert str(t.dtype) == dtype and t.shape == np.shape(data)
    np.testing.assert_array_equal(t.data, data)
    assert isinstance(t.data, np.generic) == (np.ndim(data) == 0)
    assert Tensor(t).dtype == t.dtype and Tensor(data, dtype=np.float64).dtype == np.float64
    assert Tensor(data, dtype="float32").dtype == np.float32


@pytest.mark.parametrize("data", [3.0, [1.0, 2.0], 3, [1, 2], True, [True, False], np.ones(2), np.ones(2, np.float32)])
def test_created_dtypes_are_pytorch_s(data):
    torch = pytest.importorskip("torch")
    assert str(torch.tensor(data).dtype) == f"torch.{Tensor(data).dtype}"


@given(SHAPES, st.sampled_from(DTYPES))
def test_creation_copies_and_from_numpy_shares(shape, dtype):
    array = entries(shape, dtype)
    copied, shared = Tensor(array), from_numpy(array)
    same(copied, array[()])
    same(shared, array[()])
    assert not np.shares_memory(copied.data, array)
    if array.size and array.ndim:
        assert np.shares_memory(shared.data, array) and shared.data is array
    assert copied.tolist() == array.tolist()
    assert not np.shares_memory(Tensor(shared).data, array)


def test_makers():
    same(zeros((2, 3)), np.zeros((2, 3), np.float32))
    same(ones(3, np.float64), np.ones(3))
    same(full((2,), 7.0), np.full(2, 7, np.float32))
    same(full((2,), Tensor(7.0)), np.full(2, 7, np.float32))
    same(arange(3), np.arange(3))
    same(arange(0.0, 1.0, 0.25), np.arange(0, 1, 0.25, np.float32))
    same(zeros(()), np.float32(0))
    same(full((), 2), np.float32(2))
    same(randn((), 0), randn((1,), 0).data[0])
    same(zeros((2, 0)), np.zeros((2, 0), np.float32))
    assert randn((2, 3), 0).tolist() == randn((2, 3), 0).tolist() != randn((2, 3), 1).tolist()
    assert randn(2, dtype=np.float64).dtype == np.float64


# Operators

TWO = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
COMPARED = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]


@given(PAIRS, st.sampled_from(TWO + COMPARED), st.sampled_from([np.float32, np.float64]))
def test_operators_broadcast(pair, f, dtype):
    x, y = (entries(s, dtype, seed) for seed, s in enumerate(pair.input_shapes))
    expected = f(x, y)
    same(f(Tensor(x), Tensor(y)), expected)
    if x.ndim and y.ndim:
        same(f(Tensor(x), y), expected)
        same(f(x, Tensor(y)), expected)
    assert broadcast_shape(*pair.input_shapes) == pair.result_shape


@given(SHAPES, st.sampled_from(TWO + COMPARED), st.sampled_from([2, 3.5, np.float64(1.5), np.float32(2), True]))
def test_operators_with_numbers(shape, f, number):
    for dtype in (np.float32, np.float64):
        x = entries(shape, dtype)
        same(f(Tensor(x), number), f(x, dtype(number)), dtype=bool(shape))
        same(f(number, Tensor(x)), f(dtype(number), x), dtype=bool(shape))


ARRAY_RULES = [
    (np.float32, np.float32, np.float32), (np.float32, np.float64, np.float64), (np.int64, np.float32, np.float64),
    (np.int64, np.int64, np.int64), (np.bool_, np.float32, np.float32), (np.bool_, np.int64, np.int64),
    (np.float16, np.float32, np.float32),
]  # fmt: skip


@pytest.mark.parametrize("a, b, expected", ARRAY_RULES)
def test_dtypes_of_two_arrays_are_numpy_s(a, b, expected):
    x, y = np.ones(3, a), np.ones(3, b)
    for f in (operator.add, operator.mul):
        assert f(Tensor(x), Tensor(y)).dtype == f(Tensor(y), Tensor(x)).dtype == f(x, y).dtype == expected


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("number", [2, 2.5, True, np.float64(2.5), np.float32(2.5), np.int64(2), Tensor(2.5), Tensor(2),
                                    Tensor(np.float64(2.5)), np.array(2.5)])  # fmt: skip
def test_a_number_never_promotes_an_array(dtype, number):
    x = Tensor(np.ones(3, dtype))
    results = [
        x + number, number + x, x - number, number - x, x * number, x / number, number / x, x**number, number**x,
        maximum(x, number), minimum(number, x), where(x > 0, x, number), where(x > 0, number, x), x.clip(0, number),
    ]  # fmt: skip
    assert {t.dtype for t in results} == {np.dtype(dtype)}


def test_a_float_makes_integers_float32():
    i = Tensor([1, 2, 3])
    for t in (i * 0.5, 0.5 + i, i - Tensor(0.5), i / 0.5, where(i > 1, i, 0.5)):
        assert t.dtype == np.float32
    assert (i * 2).dtype == np.int64 and (i**2).dtype == np.int64 and (i / 2).dtype == np.float64
    assert (Tensor([True]) + 1).dtype == np.int64 and (Tensor([True]) * 0.5).dtype == np.float32
    assert (Tensor(np.uint8([200])) + 1).dtype == np.uint8


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
@pytest.mark.parametrize("number", [2, 2.5])
def test_numbers_do_as_in_pytorch(dtype, number):
    torch = pytest.importorskip("torch")
    x = np.ones(3).astype(dtype)
    for f in (operator.add, operator.mul):
        assert str(f(torch.tensor(x), number).dtype) == f"torch.{f(Tensor(x), number).dtype}"
        assert str(f(number, torch.tensor(x)).dtype) == f"torch.{f(number, Tensor(x)).dtype}"


ONE = [
    (np.exp, np.exp), (np.log, np.log), (np.sqrt, np.sqrt), (np.abs, np.abs), (np.tanh, np.tanh), (np.sin, np.sin),
    (np.cos, np.cos), (np.square, np.square), (operator.neg, np.negative), (abs, np.abs), (square, np.square),
    (np.sign, np.sign), (np.floor, np.floor), (np.isnan, np.isnan), (np.log1p, np.log1p), (np.cumsum, np.cumsum),
    (np.zeros_like, np.zeros_like), (np.ravel, np.ravel),
]  # fmt: skip


@given(SHAPES, st.sampled_from(ONE), st.sampled_from([np.float32, np.float64]))
def test_functions_of_one_array(shape, pair, dtype):
    x = entries(shape, dtype)
    same(pair[0](Tensor(x)), pair[1](x))


@given(SHAPES, st.sampled_from([np.exp, np.tanh, np.sqrt, core.reduce_sum, core.negative]))
def test_an_operation_on_arrays_is_the_plain_function(shape, f):
    lifted = core.NUMPY.get(f, f)
    x = entries(shape, np.float64)
    assert not isinstance(lifted(x), Tensor)


def test_logic_of_masks():
    x = Tensor([1.0, 2.0, 3.0])
    assert ((x > 1) & (x < 3)).tolist() == [False, True, False]
    assert ((x < 2) | (x > 2)).tolist() == [True, False, True]
    assert (~(x > 1)).tolist() == [True, False, False]
    assert x[(x > 1) & (x < 3)].tolist() == [2.0]
    assert (np.array([True, False, True]) & (x > 1)).tolist() == [False, False, True]


# In place


@pytest.mark.parametrize("f", [operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow])
@pytest.mark.parametrize(
    "other", [2.0, 2, [1.0, 2.0, 3.0], np.ones(3), Tensor(3.0), Tensor([[1.0], [2.0]]), np.float64(3)]
)
def test_in_place_changes_the_same_array(f, other):
    t = Tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    alias, array = t, t.data
    expected = f(t.data.copy(), np.asarray(other.data if isinstance(other, Tensor) else other, np.float32))
    t = f(t, other)
    assert t is alias and t.data is array
    same(t, expected)


def test_in_place_on_scalars_views_and_matrices():
    s = Tensor(1.0)
    s += 2
    same(s, np.float32(3))
    base = np.zeros((2, 2))
    view = from_numpy(base)[0]
    view += 1
    assert base.tolist() == [[1, 1], [0, 0]]
    m = Tensor([[1.0, 1.0], [0.0, 1.0]])
    m @= m
    assert m.tolist() == [[1, 2], [0, 1]]


UNFIT = [
    (lambda: operator.iadd(Tensor(1.0), np.ones(2)), r"\(2,\).*does not fit into x, \(\)"),
    (lambda: operator.iadd(Tensor([1.0, 2.0]), np.ones((2, 2))), "does not fit"),
    (lambda: operator.iadd(Tensor([1, 2]), 0.5), "float32 and does not fit into x.*int64"),
    (lambda: operator.itruediv(Tensor([1, 2]), 2), "does not fit"),
    (lambda: operator.iadd(Tensor([True]), 1), "does not fit"),
    (lambda: operator.iadd(Tensor([1.0, 2.0]), [1.0, 2.0, 3.0]), "axis -1 has 2 and 3"),
]


@pytest.mark.parametrize("call, message", UNFIT)
def test_in_place_refuses_what_does_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@given(st.data())
def test_item_assignment(data):
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=4))
    index = data.draw(hnp.basic_indices(shape, allow_ellipsis=True, allow_newaxis=True) | hnp.arrays(np.bool_, shape))
    array = entries(shape, np.float32)
    t = Tensor(array)
    t[Tensor(index) if isinstance(index, np.ndarray) else index] = 9.0
    array[index] = 9.0
    same(t, array)


def test_item_assignment_of_scalars_and_tensors():
    s = Tensor(1.0)
    s[()] = 3
    s[...] = Tensor(4)
    same(s, np.float32(4))
    t = Tensor([[1.0, 2.0], [3.0, 4.0]])
    t[0] = Tensor([7, 8])
    t[t > 7] = 0
    assert t.tolist() == [[7, 0], [3, 4]]


# Indexing


@given(st.data())
def test_indexing_is_numpy_s(data):
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=4))
    kinds = [
        hnp.basic_indices(shape, allow_ellipsis=True, allow_newaxis=True),
        hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=3)),
        hnp.arrays(np.bool_, shape),
        st.lists(st.integers(-shape[0], shape[0] - 1), max_size=4).map(lambda i: np.array(i, int)),
    ]
    index = data.draw(st.one_of(kinds))
    array = entries(shape, np.float32)
    same(Tensor(array)[index], array[index])
    wrapped = Tensor(index) if isinstance(index, np.ndarray) else index
    if isinstance(index, tuple):
        wrapped = tuple(Tensor(i) if isinstance(i, np.ndarray) else i for i in index)
    same(Tensor(array)[wrapped], array[index])


def test_slices_are_views_and_masks_copies():
    array = np.arange(6.0).reshape(2, 3)
    t = from_numpy(array)
    for view in (t[0], t[:, 1:], t.T, t.reshape(3, 2), t[None], t.swapaxes(0, 1), t.mT, np.broadcast_to(t, (4, 2, 3))):
        assert np.shares_memory(view.data, array)
    for made in (t[t > 1], t[[0, 1]], t + 0, t.copy(), t.astype(np.float64), concatenate([t])):
        assert not np.shares_memory(made.data, array)
    assert t.detach().data is array and t.numpy() is array and np.asarray(t) is array


# Shapes


@given(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3), st.data())
def test_transposes_and_strides(shape, data):
    x = entries(shape, np.float32)
    axes = tuple(data.draw(st.permutations(range(len(shape)))))
    same(Tensor(x).transpose(axes), x.transpose(axes))
    same(Tensor(x).T, x.T)
    if len(shape) > 1:
        same(Tensor(x).transpose(*axes), x.transpose(axes))
        same(Tensor(x).mT, x.mT)
        same(Tensor(x).swapaxes(0, -1), x.swapaxes(0, -1))
    if x.size:
        assert contiguous_strides(shape, 4) == x.strides
    same(Tensor(x).reshape(-1), x.reshape(-1)) if x.size else None
    same(Tensor(x).flatten(), x.ravel())
    axis = data.draw(st.integers(-len(shape) - 1, len(shape)))
    same(expand_dims(Tensor(x), axis), np.expand_dims(x, axis))
    same(squeeze(Tensor(x)), x.squeeze())
    same(np.broadcast_to(Tensor(x), (2, *shape)), np.broadcast_to(x, (2, *shape)))


def test_ways_to_say_a_shape():
    t = Tensor(np.arange(6.0))
    for r in (t.reshape(2, 3), t.reshape((2, 3)), t.reshape([2, 3]), t.reshape(-1, 3), np.reshape(t, (2, 3))):
        assert r.shape == (2, 3)
    same(t[:1].reshape(()), np.float64(0))
    assert squeeze(Tensor(np.ones((1, 2, 1))), -1).shape == Tensor(np.ones((1, 2, 1))).squeeze(2).shape == (1, 2)


# Reductions


@given(hnp.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=3), st.data())
def test_reductions(shape, data):
    some = st.sets(st.integers(-len(shape), -1), max_size=len(shape)).map(tuple)
    axis = data.draw(st.none() | some) if shape else None
    keep = data.draw(st.booleans())
    dtype = data.draw(st.sampled_from([np.float32, np.float64, np.int64]))
    x = entries(shape, dtype)
    axes = [axis, *(a for a in (axis or ()))]
    for a in axes:
        for name in ("sum", "max", "min", "mean", "var", "std"):
            expected = getattr(np, name)(x, axis=a, keepdims=keep)
            exact = name in ("sum", "max", "min")
            same(getattr(Tensor(x), name)(axis=a, keepdims=keep), expected, exact)
            same(getattr(np, name)(Tensor(x), axis=a, keepdims=keep), expected, exact)
    same(Tensor(x).argmax(), x.argmax())
    if shape:
        same(Tensor(x).argmin(axis=-1), x.argmin(axis=-1))


def test_reductions_by_hand():
    t = Tensor([[1.0, 2.0], [3.0, 6.0]])
    assert t.sum().item() == 12 and t.mean(0).tolist() == [2, 4] and t.max(axis=1).tolist() == [2, 6]
    assert t.sum(0, True).shape == (1, 2) and t.var(ddof=1).item() == pytest.approx(np.var([1, 2, 3, 6], ddof=1))
    assert std(t, axis=(0, 1)).item() == pytest.approx(np.std([1, 2, 3, 6]))
    assert Tensor(2.0).mean(axis=0).item() == 2.0 and Tensor(2.0).sum(axis=-1).item() == 2.0
    assert t.mean().dtype == t.var().dtype == np.float32
    assert (t > 2).sum().item() == 2 and (t > 2).mean().item() == 0.5
    assert zeros((0, 3)).sum(axis=0).tolist() == [0, 0, 0] and zeros((0, 3)).max(axis=1).shape == (0,)


# Joins, choices, products


@given(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3), st.data())
def test_concatenate_and_stack(shape, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    lengths = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=3))
    before, after = shape[: axis % len(shape)], shape[axis % len(shape) :][1:]
    arrays = [entries((*before, n, *after), np.float32, n) for n in lengths]
    for f in (concatenate, np.concatenate):
        same(f([Tensor(a) for a in arrays], axis=axis), np.concatenate(arrays, axis=axis))
    same(concatenate(tuple(Tensor(a) for a in arrays), axis=None), np.concatenate(arrays, axis=None))
    where_ = data.draw(st.integers(-len(shape) - 1, len(shape)))
    equal = [entries(shape, np.float32, k) for k in range(3)]
    for f in (stack, np.stack):
        same(f([Tensor(equal[0]), *equal[1:]], axis=where_), np.stack(equal, axis=where_))


def test_joins_of_numbers_lists_and_generators():
    assert stack([1.0, Tensor(2.0), 3]).tolist() == [1, 2, 3]
    assert stack(Tensor(k) for k in range(3)).tolist() == [0, 1, 2]
    assert concatenate(Tensor([k]) for k in range(3)).tolist() == [0, 1, 2]
    assert concatenate([[1.0, 2.0], Tensor([3.0])]).tolist() == [1, 2, 3]
    assert concatenate(Tensor([[1.0], [2.0]])).tolist() == [1, 2]


@given(hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, min_side=0, max_side=3))
def test_where_and_bounds(shapes):
    kinds = [np.bool_, np.float32, np.float32]
    c, x, y = (entries(s, d, k) for k, (s, d) in enumerate(zip(shapes.input_shapes, kinds)))
    same(where(Tensor(c), Tensor(x), Tensor(y)), np.where(c, x, y))
    same(np.where(Tensor(c), x, Tensor(y)), np.where(c, x, y))
    same(maximum(Tensor(x), Tensor(y)), np.maximum(x, y))
    same(np.minimum(Tensor(x), y), np.minimum(x, y)) if x.ndim and y.ndim else None
    same(clip(Tensor(x), 2, 3.0), np.clip(x, 2, 3))
    same(np.clip(Tensor(x), Tensor(2.0), None), np.clip(x, 2, None))


DIMENSIONS = [
    ((2, 3), (3, 4)), ((3,), (3, 4)), ((2, 3), (3,)), ((3,), (3,)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)), ((5, 1, 2, 3), (4, 3, 2)), ((5, 2, 3), (3,)), ((3,), (5, 3, 4)), ((0, 3), (3, 2)),
    ((2, 0), (0, 3)), ((0,), (0,)), ((1, 1), (1, 1)), ((4, 0, 3), (4, 3, 2)),
]  # fmt: skip


@pytest.mark.parametrize("a, b", DIMENSIONS)
def test_matmul_of_all_dimensions(a, b):
    x, y = entries(a, np.float32), entries(b, np.float32, 1)
    for f in (operator.matmul, matmul, np.matmul):
        same(f(Tensor(x), Tensor(y)), x @ y)
        same(f(Tensor(x), y), x @ y)
        same(f(x, Tensor(y)), x @ y)
    if y.ndim <= 2:
        same(np.dot(Tensor(x), Tensor(y)), np.dot(x, y))
    same(Tensor(x) @ y.tolist(), x @ y) if y.size and y.ndim == 2 else None


EINSUMS = [
    "ij->", "ij->i", "ij->j", "ij->ji", "ij", "ji", "ba", "ii->i", "ii->", "ii", "...ij->...ji",
    "...->...", "...i->...",
    "i...->...i", "i...", "ij,jk->ik", "ij,jk", "ij,kj->ik", "ij,ij->", "ij,ij", "ij,jk,kl->il", "ij,k->ijk", "ij,kl->",
    "...ij,...jk->...ik", "...ij,jk->...ik", "i,ij,j->", "ii,ij->j", "iii->i", "iij->j", "bij,bjk->bik", "a,b,c->cab",
    "...i,...i->...", "ij...,jk...->ik...", " i j , j k -> i k ", "...,...", "i,i",
]  # fmt: skip


@pytest.mark.parametrize("subscripts", EINSUMS)
def test_einsum_is_numpy_s(subscripts):
    terms = subscripts.replace(" ", "").partition("->")[0].split(",")
    for extra in ((), (2,), (4, 2)):
        shapes = []
        for t in terms:
            before, dots, after = t.partition("...")
            shapes.append((3,) * len(before) + (extra if dots else ()) + (3,) * len(after))
        arrays = [entries(s, np.float64, k) for k, s in enumerate(shapes)]
        expected = np.einsum(subscripts, *arrays)
        same(einsum(subscripts, *map(Tensor, arrays)), expected)
        same(np.einsum(subscripts, *map(Tensor, arrays)), expected)


def test_einsum_stretches_dots_and_takes_empty_arrays():
    x, y = entries((1, 2, 3), np.float32), entries((5, 3, 4), np.float32)
    same(einsum("...ij,...jk->...ik", Tensor(x), Tensor(y)), np.einsum("...ij,...jk->...ik", x, y))
    x, y = entries((5, 4, 2, 3), np.float32), entries((4, 3, 2), np.float32)
    same(einsum("...ij,...jk->...ik", Tensor(x), Tensor(y)), x @ y)
    same(einsum("ij,jk->ik", zeros((2, 0)), zeros((0, 3))), np.zeros((2, 3), np.float32))
    same(einsum("i->", zeros(0)), np.float32(0))


# NumPy's protocols


def test_numpy_functions_without_an_operation_give_tensors():
    t = Tensor([[3.0, 1.0], [2.0, 4.0]])
    same(np.sort(t), np.sort(t.data))
    same(np.linalg.norm(t), np.linalg.norm(t.data))
    values, counts = np.unique(t, return_counts=True)
    assert type(values) is type(counts) is Tensor
    assert all(type(p) is Tensor for p in np.split(t, 2))
    assert np.allclose(t, t) is True and np.shape(t) == (2, 2) and np.ndim(t) == 2 and np.size(t) == 4
    np.testing.assert_array_equal(t, t.data)
    same(np.vstack([t, t]), np.vstack([t.data, t.data]))
    same(np.hypot(t, t), np.hypot(t.data, t.data))
    assert all(type(part) is Tensor for part in np.divmod(t, 2))
    assert np.float32(Tensor(2.0)) == 2.0 and np.array([Tensor(1.0), Tensor(2.0)]).tolist() == [1, 2]


def test_arrays_defer_to_tensors():
    t, a = Tensor([1.0, 2.0]), np.array([3.0, 4.0])
    for f in (*TWO, *COMPARED, operator.matmul):
        assert type(f(a, t)) is Tensor
        np.testing.assert_allclose(f(a, t).data, f(a, t.data.astype(np.float64)))
    assert type(np.float64(2) * t) is Tensor and (np.float64(2) * t).dtype == np.float32


PROTOCOL = [
    (lambda t: np.add(t, 1, out=np.zeros(2)), "out="),
    (lambda t: np.add(np.ones(2), 1, out=t), "out="),
    (lambda t: np.exp(t, where=np.array([True, False])), "where="),
    (lambda t: np.sum(t, out=np.zeros(())), "out="),
    (lambda t: np.add.reduce(t), "np.add.reduce is not supported"),
    (lambda t: np.add.outer(t, t), "np.add.outer"),
    (lambda t: np.multiply.accumulate(t), "accumulate"),
    (lambda t: np.add.at(t, 0, 1), "np.add.at"),
    (lambda t: np.sum(t, 0, np.float64), "by name"),
    (lambda t: np.mean(t, 0, None, None, True), "by name"),
    (lambda t: operator.iadd(np.ones(2), t), "out="),
]


@pytest.mark.parametrize("call, message", PROTOCOL)
def test_options_of_numpy_that_are_refused(call, message):
    with pytest.raises(TypeError, match=message):
        call(Tensor([1.0, 2.0]))


# Printing, comparing, copying


PRINTED = [
    (Tensor(2.0), "Tensor(2.)", "2.0"), (Tensor([1, 2]), "Tensor([1, 2])", "[1 2]"),
    (Tensor(True), "Tensor(True)", "True"),
    (Tensor(np.array([0.5])), "Tensor([0.5], dtype=float64)", "[0.5]"), (Tensor([]), "Tensor([])", "[]"),
    (Tensor([[1.0], [2.0]]), "Tensor([[1.],\n        [2.]])", "[[1.]\n [2.]]"),
]  # fmt: skip


@pytest.mark.parametrize("t, representation, text", PRINTED)
def test_printing(t, representation, text):
    assert repr(t) == representation and str(t) == text and f"{t}" == text


def test_formats_and_python_numbers():
    s = Tensor(3.14159)
    assert f"{s:.2f} {s:8.3e}" == "3.14 3.142e+00"
    assert float(s) == s.item() and int(s) == 3 and bool(Tensor(0.0)) is False
    assert Tensor([[2.5]]).item() == 2.5 and float(Tensor([2.5])) == 2.5 and len(Tensor([1, 2])) == 2
    assert repr(Tensor(np.zeros(5000))).count("\n") < 3
    assert isinstance(Tensor(3).item(), int) and isinstance(Tensor(True).item(), bool)
    assert [t.item() for t in Tensor([1.0, 2.0])] == [1, 2]
    assert sum(Tensor([1.0, 2.0])).item() == 3.0 and max(Tensor([1.0, 2.0])).item() == 2.0


def test_equality_hash_and_membership():
    a, b = Tensor([1.0, 2.0]), Tensor([1.0, 2.0])
    assert hash(a) == hash(a) and len({a, b, a}) == 2 and {a: 1}[a] == 1 and a in [a]
    assert (a == b).tolist() == [True, True] and (a != None) is True and (a == "a") is False  # noqa: E711


@pytest.mark.parametrize("data", [2.0, [1.0, 2.0], [[1, 2], [3, 4]], [True], []])
@pytest.mark.parametrize("make", [lambda t: pickle.loads(pickle.dumps(t)), copy.deepcopy, lambda t: t.copy()])
def test_copies_are_equal_and_apart(data, make):
    t = Tensor(data)
    u = make(t)
    same(u, t.data)
    assert not np.shares_memory(u.data, t.data) and type(u.data) is type(t.data)


# Bad input: what was wrong, what was expected, what to do

t22, s0 = Tensor([[1.0, 2.0], [3.0, 4.0]]), Tensor(2.0)
BAD = [
    (lambda: Tensor("three"), TypeError, "'three' is not made of numbers.\n  Expected a number"),
    (lambda: Tensor(None), TypeError, "None is not made of numbers"),
    (lambda: Tensor([1.0, None]), TypeError, "not made of numbers"),
    (lambda: Tensor([object()]), TypeError, "not made of numbers"),
    (lambda: Tensor({"a": 1}), TypeError, "not made of numbers"),
    (lambda: Tensor(1j), TypeError, "not made of numbers"),
    (lambda: Tensor(np.ones(2, complex)), TypeError, "not made of numbers"),
    (lambda: Tensor(np.array(["a"])), TypeError, "not made of numbers"),
    (lambda: Tensor(x for x in [1]), TypeError, "not made of numbers"),
    (lambda: Tensor([[1, 2, 3], [4, 5]]), ValueError, "row 0 has 3 entries, row 1 has 2 entries.\n"),
    (lambda: Tensor([1, [2, 3]]), ValueError, "row 0 has a single number, row 1 has 2 entries"),
    (lambda: Tensor([[[1, 2], [3]], [[1, 2], [3, 4]]]), ValueError, "row 0, 0 has 2 entries, row 0, 1 has 1 entries"),
    (lambda: Tensor([1], dtype="foo"), TypeError, "dtype: 'foo' is no type of numbers"),
    (lambda: Tensor([1], dtype=complex), TypeError, "dtype: "),
    (lambda: Tensor([1], dtype=object), TypeError, "dtype: "),
    (lambda: from_numpy([1.0]), TypeError, "not made of numbers"),
    (lambda: from_numpy(np.array(["a"])), TypeError, "not made of numbers"),
    (lambda: t22.astype(complex), TypeError, "dtype"),
    (lambda: t22.astype("words"), TypeError, "'words' is no type of numbers"),
    (lambda: t22 + "a", TypeError, "'a' is not made of numbers"),
    (lambda: None + t22, TypeError, "None is not made of numbers"),
    (lambda: t22 * 1j, TypeError, "not made of numbers"),
    (lambda: operator.add(t22, [[1], [2, 3]]), ValueError, "rows differ"),
    (lambda: t22 < None, TypeError, "NoneType"),
    (lambda: t22 + Tensor([1.0, 2.0, 3.0]), ValueError, "add: shapes (2, 2) and (3,) do not broadcast: axis -1"),
    (lambda: t22 == Tensor([1.0, 2.0, 3.0]), ValueError, "equal: shapes (2, 2) and (3,)"),
    (lambda: where(t22 > 1, t22, [1.0, 2.0, 3.0]), ValueError, "where: shapes (2, 2) and (3,)"),
    (lambda: t22 @ Tensor([1.0, 2.0, 3.0]), ValueError, "x is (2, 2), w is (3,)"),
    (lambda: Tensor([1.0, 2.0, 3.0]) @ t22, ValueError, "x is (3,), w is (2, 2)"),
    (lambda: Tensor([1.0]) @ Tensor([1.0, 2.0]), ValueError, "x is (1,), w is (2,)"),
    (lambda: t22 @ np.ones((3, 2)), ValueError, "Did you store the weights as (out, in)? Try x @ w.mT."),
    (lambda: t22 @ np.ones((3, 4)), ValueError, "x @ w needs x.shape[-1] == w.shape[-2], here 2 and 3"),
    (lambda: Tensor(np.ones((2, 3, 4))) @ np.ones((3, 4, 5)), ValueError, "axes in front do not broadcast"),
    (lambda: s0 @ t22, ValueError, "a single number. Use * to scale"),
    (lambda: 2 @ t22, ValueError, "Use * to scale"),
    (lambda: np.dot(t22, np.ones((2, 2, 2))), ValueError, "np.dot"),
    (lambda: t22[2], IndexError, "index 2 is out of bounds for axis 0 with size 2"),
    (lambda: t22[0, 0, 0], IndexError, "x[index]: 3 indices, but x has the shape (2, 2), and so 2 axes"),
    (lambda: t22[1.0], IndexError, "x[index]: 1.0 is no index. Expected integers, slices, or lists"),
    (lambda: t22["a"], IndexError, "x[index]: 'a' is no index"),
    (lambda: t22[[0, 5]], IndexError, "index 5 is out of bounds"),
    (lambda: t22[np.array([True, False, True])], IndexError, "boolean"),
    (lambda: s0[0], IndexError, "x[index]: x is a single number and has no entries to choose from"),
    (lambda: t22.__setitem__(5, 1.0), IndexError, "out of bounds"),
    (lambda: t22.__setitem__(0, None), TypeError, "None is not made of numbers"),
    (lambda: t22.__setitem__(0, [1.0, 2.0, 3.0]), ValueError, "(3,)"),
    (lambda: t22.__setitem__(0, "a"), TypeError, "'a' is not made of numbers"),
    (lambda: s0.__setitem__(0, 1.0), IndexError, "x is a single number"),
    (lambda: s0.__setitem__((), [1.0, 2.0]), ValueError, ""),
    (lambda: t22.reshape(3), ValueError, "reshape: the 4 entries of the shape (2, 2) do not fill the shape (3,)"),
    (lambda: t22.reshape(-1, -1), ValueError, "reshape"),
    (lambda: t22.reshape("a"), TypeError, "reshape"),
    (lambda: t22.reshape(2.0, 2), TypeError, "reshape"),
    (lambda: t22.transpose(0, 2), ValueError, "Expected every axis of the shape (2, 2) once, such as (1, 0)"),
    (lambda: t22.transpose(0, 0), ValueError, "transpose: the axes are (0, 0)"),
    (lambda: t22.swapaxes(0, 2), ValueError, "swapaxes: "),
    (lambda: np.broadcast_to(t22, (3, 3)), ValueError, "broadcast_to"),
    (lambda: squeeze(t22, 0), ValueError, "squeeze"),
    (lambda: expand_dims(t22, 5), ValueError, "axis 5"),
    (lambda: t22.sum(axis=2), ValueError, "sum: there is no axis 2: the ndim of x is 2. Axes are counted from 0"),
    (lambda: t22.sum(axis="rows"), TypeError, "sum: "),
    (lambda: t22.sum(axis=(0, 0)), ValueError, "sum: axis=(0, 0) names an axis twice"),
    (lambda: t22.mean(axis=-3), ValueError, "axis -3"),
    (lambda: t22.max(axis=5), ValueError, "max: there is no axis 5"),
    (lambda: t22.sum(axes=0), TypeError, "does not take axes. It takes x, axis, keepdims"),
    (lambda: t22.argmax(5), ValueError, "axis 5"),
    (lambda: zeros((0, 3)).max(), ValueError, "max: a Tensor of shape (0, 3) has an axis without entries"),
    (lambda: zeros((0, 3)).min(axis=0), ValueError, "no minimum"),
    (lambda: concatenate([]), ValueError, "concatenate: the list is empty"),
    (lambda: stack([]), ValueError, "empty"),
    (lambda: concatenate([t22, zeros(2)]), ValueError, "concatenate: the shapes (2, 2), (2,) do not fit"),
    (lambda: concatenate([t22, zeros((2, 3))]), ValueError, "do not fit together"),
    (lambda: concatenate([t22, t22], axis=2), ValueError, "concatenate: there is no axis 2: the ndim of x is 2"),
    (lambda: concatenate([s0, s0]), ValueError, "Use stack"),
    (lambda: concatenate([t22, "a"]), TypeError, "not made of numbers"),
    (lambda: stack([t22, s0]), ValueError, "same shape"),
    (lambda: stack([t22, t22], axis=5), ValueError, "axis 5"),
    (lambda: zeros((-1, 2)), ValueError, "zeros: (-1, 2) is no shape. Expected integers of at least 0"),
    (lambda: ones(2.5), ValueError, "ones: 2.5 is no shape"),
    (lambda: full(None, 1), ValueError, "full: None is no shape"),
    (lambda: randn("ab"), ValueError, "randn: 'ab' is no shape"),
    (lambda: zeros(2, 3), TypeError, "Several sizes go into one tuple, as in zeros((2, 3))"),
    (lambda: zeros(2, dtype=complex), TypeError, "no type of numbers"),
    (lambda: full(2, "a"), TypeError, "not made of numbers"),
    (lambda: t22.item(), ValueError, "item: a Tensor of shape (2, 2) has 4 entries, not one.\n  Reduce it first"),
    (lambda: bool(t22), ValueError, "4 entries"),
    (lambda: float(t22), ValueError, "4 entries"),
    (lambda: f"{t22:.2f}", ValueError, "4 entries"),
    (lambda: len(s0), TypeError, "single number and has no length"),
    (lambda: list(s0), TypeError, "no length"),
    (lambda: setattr(t22, "label", 1), AttributeError, "label"),
    (lambda: where(t22 > 1, t22), TypeError, "where: is given too little. It takes condition, x, y"),
    (lambda: t22.clip(2), TypeError, "clip: is given too little"),
    (lambda: t22.clip("a", 1), TypeError, "clip"),
    (lambda: einsum("ij,jk->ik", t22, zeros((3, 2))), ValueError, "index 'j' has the sizes 2 and 3"),
    (lambda: einsum("ij,jk->ik", t22), ValueError, "describes 2 inputs, 1 are given"),
    (lambda: einsum("ijk->i", t22), ValueError, "'ijk' names 3 axes, its input has 2"),
    (lambda: einsum("ij->ik", t22), ValueError, "names one that no input has"),
    (lambda: einsum("ij->ii", t22), ValueError, "repeats an index"),
    (lambda: einsum("ii->i", zeros((2, 3))), ValueError, "index 'i' has the sizes 2 and 3"),
    (lambda: einsum("ii->i", zeros((1, 3))), ValueError, "diagonal"),
    (lambda: einsum("i1->", t22), ValueError, ""),
    (lambda: einsum(t22, "ij->"), TypeError, "the first argument is a string"),
    (lambda: broadcast_shape((2, 3), (4,)), ValueError, "axis -1 has 3 and 4"),
    (lambda: Tensor([1, 2]) ** -1, ValueError, "negative integer powers"),
    (lambda: to_array([[1.0], 2.0]), ValueError, "rows differ"),
]


@pytest.mark.parametrize("call, error, message", BAD)
def test_bad_input(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)


def test_division_by_zero_is_numpy_s():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert (Tensor([1.0, -1.0, 0.0]) / 0).tolist()[:2] == [np.inf, -np.inf]
        assert np.isnan(np.log(Tensor([-1.0])).data).all()


def test_an_operation_with_options_and_arrays():
    @operation
    def scaled(x, y, /, factor=2.0):
        """x * factor + y."""
        return x * factor + y

    assert scaled.inputs == ["x", "y"] and scaled.options == ["factor"] and scaled.__doc__ == "x * factor + y."
    assert scaled(Tensor([1.0]), 1).tolist() == [3.0] and scaled(Tensor([1.0]), 1, factor=3).tolist() == [4.0]
    assert scaled(np.ones(1), np.ones(1)).tolist() == [3.0] and not isinstance(scaled(np.ones(1), np.ones(1)), Tensor)
    with pytest.raises(TypeError, match="scaled: does not take power"):
        scaled(Tensor([1.0]), 1, power=2)
    with pytest.raises(TypeError, match="too little"):
        scaled(Tensor([1.0]))
    with pytest.raises(ValueError, match=r"scaled: shapes \(2,\) and \(3,\)"):
        scaled(Tensor([1.0, 2.0]), Tensor([1.0, 2.0, 3.0]))
    assert power(Tensor([2.0]), Tensor([3.0])).tolist() == [8.0]


@pytest.mark.parametrize("shape", [(-5,), -5, (3, -2), [-2]])
def test_negative_sizes_are_no_shape(shape):
    """NumPy takes every negative number for -1."""
    with pytest.raises(ValueError, match=r"reshape: the 3 entries of the shape \(3,\) do not fill"):
        Tensor([1.0, 2.0, 3.0]).reshape(shape)
