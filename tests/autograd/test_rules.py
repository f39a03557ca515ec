"""Every row of the table of derivatives, first and second order, against central differences and PyTorch.

A new operation needs a row in CASES; `test_every_operation_has_a_case` says so where one is missing.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinytorch.core import activations, autograd, layers, tensor
from tinytorch.core.activations import gelu, leaky_relu, log_softmax, relu, sigmoid, softmax, softplus
from tinytorch.core.autograd import (
    GradientError,
    Variable,
    check_gradients,
    gradient,
    gradients,
    identity,
    put,
    trace,
)
from tinytorch.core.layers import dense, layer_norm
from tinytorch.core.tensor import (
    Tensor,
    broadcast_to,
    clip,
    concatenate,
    einsum,
    expand_dims,
    maximum,
    minimum,
    power,
    squeeze,
    stack,
    std,
    subtract,
    where,
    wrap,
)

MASK = np.array([[True, False, True], [False, False, True]])
SIGNED, POSITIVE = (-2.0, 2.0), (0.5, 2.0)


def case(name, f, *shapes, like=SIGNED, torch=None, exact=True):
    """One use of an operation. `torch` is a function of (torch, *tensors), or None where f itself will do."""
    return pytest.param(f, shapes, like, torch, id=name)


A, B = (2, 3), (3,)
CASES = [
    case("add", lambda x, y: x + y, A, A),
    case("add_row", lambda x, y: x + y, A, B),
    case("add_stretched", lambda x, y: x + y, (2, 1), (1, 3)),
    case("add_number", lambda x: 3 + x + 2.5, A),
    case("add_0d", lambda x, y: x + y, A, ()),
    case("add_two_0d", lambda x, y: x + y, (), ()),
    case("subtract", lambda x, y: x - y, A, A),
    case("subtract_column", lambda x, y: x - y, (2, 1), A),
    case("subtract_0d", lambda x, y: x - y, (), A),
    case("subtract_number", lambda x: (1 - x) - 2, A),
    case("multiply", lambda x, y: x * y, A, A),
    case("multiply_row", lambda x, y: x * y, B, A),
    case("multiply_both", lambda x, y: x * y, (4, 1, 3), (2, 1)),
    case("multiply_0d", lambda x, y: x * y, (), (2, 2)),
    case("multiply_itself", lambda x: x * x * x, A),
    case("multiply_number", lambda x: 2 * x * 0.5, A),
    case("divide", lambda x, y: x / y, A, A, like=POSITIVE),
    case("divide_row", lambda x, y: x / y, A, B, like=POSITIVE),
    case("divide_0d", lambda x, y: x / y, (), A, like=POSITIVE),
    case("divide_number", lambda x: x / 4 + 3 / x, A, like=POSITIVE),
    case("negative", lambda x: -x, A),
    case("exp", np.exp, A, torch=lambda t, x: t.exp(x)),
    case("exp_0d", np.exp, (), torch=lambda t, x: t.exp(x)),
    case("log", np.log, A, like=POSITIVE, torch=lambda t, x: t.log(x)),
    case("sqrt", np.sqrt, A, like=POSITIVE, torch=lambda t, x: t.sqrt(x)),
    case("square", np.square, A, torch=lambda t, x: x * x),
    case("tanh", np.tanh, A, torch=lambda t, x: t.tanh(x)),
    case("sin", np.sin, A, torch=lambda t, x: t.sin(x)),
    case("cos", np.cos, A, torch=lambda t, x: t.cos(x)),
    case("absolute", abs, A),
    case("power_2", lambda x: x**2, A),
    case("power_3", lambda x: x**3, A),
    case("power_half", lambda x: x**0.5, A, like=POSITIVE),
    case("power_minus_2", lambda x: x**-2, A, like=POSITIVE),
    case("power_1", lambda x: x**1, A),
    case("power_0", lambda x: x**0, A),
    case("power_tensor", lambda x, y: x**y, A, A, like=POSITIVE),
    case("power_broadcast", lambda x, y: x**y, A, B, like=POSITIVE),
    case("power_of_number", lambda y: 2.5**y, A),
    case("power_0d", lambda x, y: x**y, (), (), like=POSITIVE),
    case("maximum", np.maximum, A, A, torch=lambda t, x, y: t.maximum(x, y)),
    case("maximum_row", np.maximum, A, B, torch=lambda t, x, y: t.maximum(x, y)),
    case("minimum", np.minimum, A, A, torch=lambda t, x, y: t.minimum(x, y)),
    case("minimum_number", lambda x: minimum(x, 0.25), A, torch=lambda t, x: x.clamp(max=0.25)),
    case("where", lambda x, y: where(MASK, x, y), A, A, torch=lambda t, x, y: t.where(t.tensor(MASK), x, y)),
    case("where_0d", lambda x, y: where(MASK, x, y), (), A, torch=lambda t, x, y: t.where(t.tensor(MASK), x, y)),
    case("where_row", lambda x: where(MASK, x * x, 0), B, torch=lambda t, x: t.where(t.tensor(MASK), x * x, 0.0)),
    case("clip", lambda x: clip(x, -1.0, 0.5), A, torch=lambda t, x: x.clamp(-1.0, 0.5)),
    case("clip_low", lambda x: x.clip(-0.5, None), A, torch=lambda t, x: x.clamp(min=-0.5)),
    case("clip_high", lambda x: x.clip(None, 0.5), A, torch=lambda t, x: x.clamp(max=0.5)),
    case("sum", lambda x: x.sum(), A),
    case("sum_0", lambda x: x.sum(axis=0), A),
    case("sum_last", lambda x: x.sum(axis=-1, keepdims=True), A),
    case("sum_two", lambda x: x.sum(axis=(0, -1)), (2, 3, 4)),
    case("sum_0d", lambda x: x.sum(), ()),
    case("mean", lambda x: x.mean(), A),
    case("mean_axis", lambda x: x.mean(axis=1), A),
    case("mean_two", lambda x: x.mean(axis=(0, 2), keepdims=True), (2, 3, 4)),
    case("var", lambda x: x.var(), A, torch=lambda t, x: x.var(correction=0)),
    case("var_axis", lambda x: x.var(axis=0, ddof=1), (4, 3), torch=lambda t, x: x.var(dim=0, correction=1)),
    case("std", lambda x: std(x, axis=1), A, torch=lambda t, x: x.std(dim=1, correction=0)),
    case("max", lambda x: x.max(), A),
    case("max_axis", lambda x: x.max(axis=1), A, torch=lambda t, x: x.amax(1)),
    case("max_keep", lambda x: x.max(axis=(0, 2), keepdims=True), (2, 3, 4), torch=lambda t, x: x.amax((0, 2), True)),
    case("min", lambda x: x.min(), A),
    case("min_axis", lambda x: x.min(axis=-2), A, torch=lambda t, x: x.amin(-2)),
    case("reshape", lambda x: x.reshape(3, -1), A),
    case("reshape_to_0d", lambda x: x.reshape(()), (1, 1)),
    case("expand_dims", lambda x: expand_dims(x, 1), A, torch=lambda t, x: x[:, None]),
    case("squeeze", squeeze, (2, 1, 3), torch=lambda t, x: x.squeeze()),
    case("transpose", lambda x: x.T, A),
    case("transpose_axes", lambda x: x.transpose(2, 0, 1), (2, 3, 4), torch=lambda t, x: x.permute(2, 0, 1)),
    case("transpose_negative", lambda x: x.transpose(-1, 0, 1), (2, 3, 4), torch=lambda t, x: x.permute(-1, 0, 1)),
    case("swapaxes", lambda x: x.swapaxes(0, -1), (2, 3, 4)),
    case("mT", lambda x: x.mT, (2, 3, 4)),
    case("broadcast_to", lambda x: broadcast_to(x, (4, 2, 3)), (2, 1), torch=lambda t, x: x.broadcast_to((4, 2, 3))),
    case("broadcast_0d", lambda x: broadcast_to(x, (2, 3)), (), torch=lambda t, x: x.broadcast_to((2, 3))),
    case("index", lambda x: x[1], A),
    case("index_entry", lambda x: x[1, -1], A),
    case("slice", lambda x: x[:, ::2], A),
    case("slice_back", lambda x: x[..., ::-1], A, torch=lambda t, x: x.flip(-1)),
    case("index_none", lambda x: x[None, :, None, 1:], A),
    case("index_repeated", lambda x: x[[0, 0, 1, 0]], A),
    case("index_pairs", lambda x: x[[0, 1, 1], [2, 0, 2]], A),
    case("index_mask", lambda x: x[MASK], A, torch=lambda t, x: x[t.tensor(MASK)]),
    case("index_tensor", lambda x: x[Tensor([1, 1])], A, torch=lambda t, x: x[t.tensor([1, 1])]),
    case("put", lambda x: put(x, (slice(None), [0, 0, 1]), (2, 4)), A,
         torch=lambda t, x: t.stack([x[:, 0] + x[:, 1], x[:, 2], 0 * x[:, 0], 0 * x[:, 0]], 1)),
    case("concatenate", lambda x, y: concatenate([x, y]), A, (1, 3), torch=lambda t, x, y: t.cat([x, y])),
    case("concatenate_last", lambda x, y: concatenate([x, y, x], axis=-1), A, (2, 1), torch=lambda t, x, y: t.cat([x, y, x], -1)),
    case("concatenate_flat", lambda x, y: concatenate([x, y], axis=None), A, (), torch=lambda t, x, y: t.cat([x.ravel(), y.ravel()])),
    case("stack", lambda x, y: stack([x, y], axis=1), A, A, torch=lambda t, x, y: t.stack([x, y], 1)),
    case("stack_0d", lambda x, y: stack([x, y, x]), (), (), torch=lambda t, x, y: t.stack([x, y, x])),
    case("matmul", lambda x, y: x @ y, A, (3, 4)),
    case("matmul_batch", lambda x, y: x @ y, (5, 2, 3), (5, 3, 4)),
    case("matmul_left", lambda x, y: x @ y, (5, 2, 3), (3, 4)),
    case("matmul_right", lambda x, y: x @ y, (2, 3), (5, 1, 3, 4)),
    case("matmul_stretched", lambda x, y: x @ y, (5, 1, 2, 3), (4, 3, 2)),
    case("matmul_vector_matrix", lambda x, y: x @ y, (3,), (3, 4)),
    case("matmul_matrix_vector", lambda x, y: x @ y, A, (3,)),
    case("matmul_vectors", lambda x, y: x @ y, (3,), (3,)),
    case("matmul_batch_vector", lambda x, y: x @ y, (5, 2, 3), (3,)),
    case("matmul_vector_batch", lambda x, y: x @ y, (3,), (5, 3, 4)),
    case("einsum_product", lambda x, y: einsum("ij,jk->ik", x, y), A, (3, 4), torch=lambda t, x, y: x @ y),
    case("einsum_sum", lambda x: einsum("ij->", x), A, torch=lambda t, x: x.sum()),
    case("einsum_lonely", lambda x, y: einsum("ij,k->k", x, y), A, (4,), torch=lambda t, x, y: x.sum() * y),
    case("einsum_swap", lambda x: einsum("ij->ji", x), A, torch=lambda t, x: x.T),
    case("einsum_implicit", lambda x, y: einsum("ba,ac", x, y), A, (3, 4), torch=lambda t, x, y: t.einsum("ba,ac", x, y)),
    case("einsum_diagonal", lambda x: einsum("ii->i", x), (3, 3), torch=lambda t, x: x.diagonal()),
    case("einsum_trace", lambda x: einsum("ii", x), (3, 3), torch=lambda t, x: x.trace()),
    case("einsum_dots", lambda x, y: einsum("...ij,j->...i", x, y), (4, 2, 3), (3,), torch=lambda t, x, y: x @ y),
    case("einsum_three", lambda x, y, z: einsum("i,ij,j->", x, y, z), (2,), A, (3,), torch=lambda t, x, y, z: x @ y @ z),
    case("einsum_itself", lambda x: einsum("ij,ij->i", x, x), A, torch=lambda t, x: (x * x).sum(1)),
    case("einsum_stretched", lambda x, y: einsum("ij,jk->ik", x, y), (2, 1), (3, 4), torch=lambda t, x, y: x.expand(2, 3) @ y),
    case("einsum_dots_stretched", lambda x, y: einsum("...i,...i->i", x, y), (1, 3), A,
         torch=lambda t, x, y: (x * y).sum(0)),
    case("relu", relu, A, torch=lambda t, x: t.relu(x)),
    case("leaky_relu", lambda x: leaky_relu(x, 0.1), A, torch=lambda t, x: t.nn.functional.leaky_relu(x, 0.1)),
    case("sigmoid", sigmoid, A, torch=lambda t, x: t.sigmoid(x)),
    case("sigmoid_0d", sigmoid, (), torch=lambda t, x: t.sigmoid(x)),
    case("softplus", softplus, A, torch=lambda t, x: t.nn.functional.softplus(x)),
    case("gelu", gelu, A, torch=lambda t, x: t.nn.functional.gelu(x, approximate="tanh")),
    case("softmax", softmax, A, torch=lambda t, x: t.softmax(x, -1)),
    case("softmax_0", lambda x: softmax(x, axis=0), A, torch=lambda t, x: t.softmax(x, 0)),
    case("softmax_all", lambda x: softmax(x, axis=None), A, torch=lambda t, x: t.softmax(x.ravel(), 0).reshape(x.shape)),
    case("log_softmax", log_softmax, A, torch=lambda t, x: t.log_softmax(x, -1)),
    case("log_softmax_0", lambda x: log_softmax(x, axis=0), A, torch=lambda t, x: t.log_softmax(x, 0)),
    case("dense", dense, A, (3, 4), (4,), torch=lambda t, x, w, b: x @ w + b),
    case("dense_3d", dense, (5, 2, 3), (3, 4), (4,), torch=lambda t, x, w, b: x @ w + b),
    case("dense_vector", dense, (3,), (3, 4), (4,), torch=lambda t, x, w, b: x @ w + b),
    case("layer_norm", layer_norm, (4, 3), (3,), (3,), torch=lambda t, x, g, b: t.nn.functional.layer_norm(x, (3,), g, b)),
    case("layer_norm_3d", lambda x, g, b: layer_norm(x, g, b, 0.1), (2, 2, 3), (3,), (3,),
         torch=lambda t, x, g, b: t.nn.functional.layer_norm(x, (3,), g, b, 0.1)),
    case("identity", identity, A, torch=lambda t, x: x.clone()),
]  # fmt: skip
each_case = pytest.mark.parametrize("f, shapes, like, torch", CASES)


def operations():
    """Every operation that the chapters up to this one define, by name."""
    found = {}
    for module in (tensor, activations, layers, autograd):
        found.update({v.__name__: v for v in vars(module).values() if hasattr(v, "plans") and hasattr(v, "inputs")})
    return found


def point(shapes, like, seed=0):
    """Inputs away from corners: no two entries closer than 1e-3, none near the bounds that the cases use."""
    rng = np.random.default_rng(seed)
    while True:
        arrays = [rng.uniform(*like, s) for s in shapes]
        joined = np.concatenate([a.ravel() for a in arrays] + [[0.0, -1.0, 0.5, -0.5, 0.25]])
        if np.diff(np.sort(joined)).min() > 2e-3:
            return [a[()] for a in arrays]


def weights(out):
    return np.asarray(np.random.default_rng(1).standard_normal(out.shape))[()]


def loss(out):
    """A number with a gradient that depends on the result, so that the rules' incoming gradients are recorded too."""
    return (out * (1 + 0.5 * out) * weights(out)).sum()


def first_order(f, arrays):
    """Gradients of the loss of f."""
    inputs = [Variable(a) for a in arrays]
    return [g.data for g in gradients(loss(f(*inputs)), inputs)]


def directed(f, arrays, direction):
    """Gradients of the loss's slope along `direction`: its Hessian's product with it."""
    inputs = [Variable(a) for a in arrays]
    found = gradients(loss(f(*inputs)), inputs, create_graph=True)
    slope = sum((g * v).sum() for g, v in zip(found, direction))
    if not (isinstance(slope, Tensor) and slope.requires_grad):
        return [np.zeros_like(a) for a in arrays]
    return [np.zeros_like(a) if g is None else g.data for a, g in zip(arrays, gradients(slope, inputs))]


def slope_of(f, arrays, direction, h=1e-5):
    """Central difference of the arrays f(*arrays) along `direction`."""
    above = f(*[np.asarray(a + h * v)[()] for a, v in zip(arrays, direction)])
    below = f(*[np.asarray(a - h * v)[()] for a, v in zip(arrays, direction)])
    return [(np.asarray(a) - b) / (2 * h) for a, b in zip(above, below)]


@each_case
def test_first_order_against_central_differences(f, shapes, like, torch):
    arrays = point(shapes, like)
    found = first_order(f, arrays)

    def value(*xs):
        return [loss(f(*(wrap(x) for x in xs))).data]

    for i, g in enumerate(found):
        assert g.shape == np.shape(arrays[i]) and g.dtype == np.float64
        for entry in np.ndindex(g.shape):
            direction = [np.zeros(np.shape(a)) for a in arrays]
            direction[i][entry] = 1.0
            (slope,) = slope_of(value, arrays, direction)
            np.testing.assert_allclose(g[entry], slope, rtol=1e-6, atol=1e-8)


@each_case
def test_second_order_against_central_differences(f, shapes, like, torch):
    arrays = point(shapes, like)
    rng = np.random.default_rng(2)
    direction = [np.asarray(rng.standard_normal(s))[()] for s in shapes]
    found = directed(f, arrays, direction)
    slopes = slope_of(lambda *xs: first_order(f, xs), arrays, direction)
    for g, slope in zip(found, slopes):
        assert g.shape == slope.shape
        np.testing.assert_allclose(g, slope, rtol=1e-6, atol=1e-7)


@each_case
def test_float32_stays_float32(f, shapes, like, torch):
    exact, arrays = first_order(f, point(shapes, like)), [np.float32(a) for a in point(shapes, like)]
    inputs = [Variable(a) for a in arrays]
    out = f(*inputs)
    assert out.dtype == np.float32
    loss(out).backward()
    for x, g in zip(inputs, exact):
        assert x.grad.dtype == np.float32 and x.grad.shape == x.shape
        np.testing.assert_allclose(x.grad.data, g, rtol=5e-4, atol=1e-4)


@each_case
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_against_pytorch(f, shapes, like, torch, dtype):
    pt = pytest.importorskip("torch")
    arrays = [np.asarray(a).astype(dtype)[()] for a in point(shapes, like)]
    ours = [Variable(a) for a in arrays]
    theirs = [pt.tensor(a, requires_grad=True) for a in arrays]
    out, expected = f(*ours), torch(pt, *theirs) if torch else f(*theirs)
    rtol, atol = (1e-9, 1e-10) if dtype == "float64" else (2e-4, 2e-5)
    w = pt.tensor(np.asarray(weights(out)).astype(dtype))
    np.testing.assert_allclose(out.data, expected.detach().numpy(), rtol=rtol, atol=atol)
    found = gradients((out * out * Tensor(w.numpy())).sum(), ours, create_graph=True)
    wanted = pt.autograd.grad((expected * expected * w).sum(), theirs, create_graph=True)
    for g, e in zip(found, wanted):
        assert str(g.dtype) == dtype
        np.testing.assert_allclose(g.data, e.detach().numpy(), rtol=rtol, atol=atol)
    slope, expected_slope = sum((g * g).sum() for g in found), sum((g * g).sum() for g in wanted)
    if not expected_slope.requires_grad:
        return
    second = gradients(slope, ours) if slope.requires_grad else [None] * len(ours)
    wanted = pt.autograd.grad(expected_slope, theirs, allow_unused=True)
    for g, e in zip(second, wanted):
        zero = np.zeros(1, dtype)
        g, e = (zero if g is None else g.data), (zero if e is None else e.numpy(force=True))
        np.testing.assert_allclose(*np.broadcast_arrays(g, e), rtol=10 * rtol, atol=10 * atol)


def used_by(f, shapes, like):
    with trace() as t:
        f(*(Variable(a) for a in point(shapes, like)))
    return {step.operation.__name__ for step in t.steps}


def test_every_operation_has_a_case():
    everything = operations()
    assert len(everything) > 35
    assert not [name for name, operation in everything.items() if operation.rules is None]
    covered = set().union(*(used_by(*param.values[:3]) for param in CASES))
    assert covered == set(everything)


def rows():
    return [(name, x) for name, operation in operations().items() for x in operation.rules]


def wrong(rule):
    """`rule` with its sign flipped, asking for the same things."""
    import types

    negate = lambda g: [negate(p) for p in g] if isinstance(g, (list, tuple)) else -g
    names = ", ".join(rule.__code__.co_varnames[: rule.__code__.co_argcount])
    scope = {"rule": rule, "negate": negate}
    return types.FunctionType(eval(f"lambda {names}: negate(rule({names}))", scope).__code__, scope)


@pytest.mark.parametrize("name, x", rows())
def test_a_wrong_sign_is_found_and_named(name, x, monkeypatch):
    operation = operations()[name]
    users = [p.values for p in CASES if name in used_by(*p.values[:3])]
    monkeypatch.setattr(operation, "rules", {**operation.rules, x: wrong(operation.rules[x])})
    monkeypatch.setattr(operation, "plans", {})
    found = []
    for f, shapes, like, _ in users:
        try:
            check_gradients(f, *point(shapes, like), h=1e-6)
        except GradientError as error:
            found.append(str(error))
    assert found, "check_gradients let a wrong sign pass"
    assert any(f"The row of {name} is wrong for its input {x}" in message for message in found), found[0]


def test_correct_rows_pass_check_gradients():
    for param in CASES:
        f, shapes, like, _ = param.values
        assert check_gradients(f, *point(shapes, like)) < 1e-4


# Shapes drawn at random: two inputs that broadcast, zero axes and no entries included.
PAIRS = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0, max_side=3)
TWO = [np.add, subtract, np.multiply, np.divide, power, maximum, minimum, lambda x, y: where(x > y, x * x, y)]


@given(PAIRS, st.sampled_from(TWO), st.sampled_from([np.float32, np.float64]))
def test_broadcasting_of_any_shapes(pair, f, dtype):
    arrays = [np.asarray(a).astype(dtype)[()] for a in point_or_empty(pair.input_shapes)]
    inputs = [Variable(a) for a in arrays]
    out = f(*inputs)
    assert out.shape == pair.result_shape and out.dtype == dtype
    out.backward(np.ones(out.shape, dtype))
    for x in inputs:
        assert x.grad.shape == x.shape and x.grad.dtype == dtype
    if dtype == np.float64 and out.size:
        check_gradients(f, *arrays)


def point_or_empty(shapes):
    if all(np.prod(s, dtype=int) for s in shapes):
        return point(shapes, POSITIVE)
    return [np.random.default_rng(0).uniform(0.5, 2, s) for s in shapes]


@given(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3), st.data())
def test_reductions_of_any_shape(shape, data):
    axes = data.draw(st.none() | st.sets(st.integers(0, max(0, len(shape) - 1)), max_size=len(shape)).map(tuple))
    keep = data.draw(st.booleans())
    x = Variable(np.random.default_rng(0).standard_normal(shape))
    for name in ("sum", "mean", "max", "min"):
        if name != "sum" and x.size == 0:
            continue
        if axes == () and not shape:
            axes = None
        expected = getattr(np, name)(x.data, axis=axes, keepdims=keep)
        out = getattr(x, name)(axis=axes, keepdims=keep)
        np.testing.assert_allclose(out.data, expected)
        x.zero_grad()
        out.backward(np.ones(out.shape))
        assert x.grad.shape == shape
        total = {"sum": x.size, "mean": out.size, "max": out.size, "min": out.size}[name]
        np.testing.assert_allclose(x.grad.data.sum(), total)


@given(st.data())
def test_indexing_of_any_kind(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
    basic = hnp.basic_indices(shape, allow_ellipsis=True, allow_newaxis=True)
    integers = hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=4))
    masks = hnp.arrays(np.bool_, shape)
    index = data.draw(st.one_of(basic, integers, masks))
    array = np.random.default_rng(0).standard_normal(shape)
    x = Variable(array)
    out = x[index]
    np.testing.assert_array_equal(out.data, array[index])
    assert isinstance(out.data, np.ndarray) == bool(out.ndim)
    g = np.asarray(np.random.default_rng(1).standard_normal(out.shape))[()]
    out.backward(g)
    expected = np.zeros(shape)
    np.add.at(expected, index, g)
    np.testing.assert_allclose(x.grad.data, expected)


EINSUMS = ["ij,jk->ik", "ij,ij->", "ij,kj->ki", "...i,...i->...", "ij...,j->i...", "ab,bc,cd->ad",
           "ii,ij->j", "ij,j", "...ij->...ji",
           "ij,k->k", "ij->", "ij,ji"]  # fmt: skip


@pytest.mark.parametrize("subscripts", EINSUMS)
@pytest.mark.parametrize("n", [1, 3])
def test_einsum_of_any_form(subscripts, n):
    terms = subscripts.partition("->")[0].split(",")
    shapes = [tuple([2] * ("..." in t) + [n] * len(t.replace("...", ""))) for t in terms]
    if subscripts == "ij...,j->i...":
        shapes[0] = (n, n, 2)
    arrays = point(shapes, SIGNED)
    np.testing.assert_allclose(einsum(subscripts, *map(wrap, arrays)).data, np.einsum(subscripts, *arrays))
    check_gradients(lambda *xs: einsum(subscripts, *xs), *arrays)


EMPTY = [
    ("add", lambda x: (x + 1) * x / 2, (0, 3)),
    ("sum", lambda x: x.sum(axis=0), (0, 3)),
    ("sum_all", lambda x: x.sum(), (0,)),
    ("max_other_axis", lambda x: x.max(axis=1), (0, 3)),
    ("matmul", lambda x: x @ np.ones((3, 2)), (0, 3)),
    ("matmul_inner", lambda x: x @ x.mT, (2, 0)),
    ("concatenate", lambda x: concatenate([x, x, np.ones((1, 3))]), (0, 3)),
    ("stack", lambda x: stack([x, x]), (0,)),
    ("index", lambda x: x[:, [0, 0]], (0, 3)),
    ("mask", lambda x: x[x > 5], (2, 3)),
    ("no_rows", lambda x: x[:0], (2, 3)),
    ("no_integers", lambda x: x[np.zeros(0, int)], (2, 3)),
    ("softmax", softmax, (0, 3)),
    ("log_softmax", log_softmax, (0, 3)),
    ("dense", lambda x: dense(x, np.ones((3, 2)), np.ones(2)), (0, 3)),
    ("dense_no_features", lambda x: dense(x, np.ones((0, 2)), np.ones(2)), (4, 0)),
    ("einsum", lambda x: einsum("ij,ij->i", x, x), (3, 0)),
    ("reshape", lambda x: x.reshape(3, 0), (0, 3)),
    ("relu", relu, (0,)),
    ("where", lambda x: where(x > 0, x, 0), (0, 3)),
]


@pytest.mark.parametrize("f, shape", [pytest.param(*c[1:], id=c[0]) for c in EMPTY])
def test_empty_arrays(f, shape):
    x = Variable(np.ones(shape))
    out = f(x)
    out.backward(np.ones(out.shape))
    assert x.grad.shape == shape and x.grad.dtype == np.float64
    inputs = Variable(np.ones(shape))
    (g,) = gradients((f(inputs) * 1.5).sum(), [inputs], create_graph=True)
    assert g.shape == shape


# At a corner a rule answers with a number between the slopes of the two sides: PyTorch's, where it is installed.
CORNERS = [
    ("relu", relu, [0.0], [0.0], lambda t, x: t.relu(x)),
    ("leaky_relu", lambda x: leaky_relu(x, 0.1), [0.0], [0.1], lambda t, x: t.nn.functional.leaky_relu(x, 0.1)),
    ("absolute", abs, [0.0], [0.0], lambda t, x: t.abs(x)),
    ("maximum", lambda x: maximum(x, 1.0), [1.0, 2.0], [0.5, 1.0], lambda t, x: t.maximum(x, t.ones(()))),
    ("minimum", lambda x: minimum(x, 1.0), [1.0, 2.0], [0.5, 0.0], lambda t, x: t.minimum(x, t.ones(()))),
    ("max", lambda x: x.max(), [3.0, 1.0, 3.0], [0.5, 0.0, 0.5], lambda t, x: x.amax()),
    ("min", lambda x: x.min(), [1.0, 1.0, 1.0, 2.0], [1 / 3, 1 / 3, 1 / 3, 0.0], lambda t, x: x.amin()),
    ("clip", lambda x: clip(x, -1.0, 1.0), [-1.0, 1.0, 1.5, 0.0], [1.0, 1.0, 0.0, 1.0], lambda t, x: t.clamp(x, -1, 1)),
    ("power_0", lambda x: x**0, [0.0, 2.0], [0.0, 0.0], lambda t, x: x**0),
    ("power_1", lambda x: x**1, [0.0, 2.0], [1.0, 1.0], lambda t, x: x**1),
    ("power_2", lambda x: x**2, [0.0, -2.0], [0.0, -4.0], lambda t, x: x**2),
    ("power_tensor_0", lambda x: power(x, Tensor([0.0, 2.0])), [0.0, 0.0], [0.0, 0.0], lambda t, x: x ** t.tensor([0.0, 2.0])),
    ("power_of_0", lambda y: Tensor([0.0, 0.0]) ** y, [2.0, 1.0], [0.0, 0.0], lambda t, y: t.zeros(2) ** y),
    ("negative_base", lambda x: x ** Tensor([3.0, 2.0]), [-2.0, -1.0], [12.0, -2.0], lambda t, x: x ** t.tensor([3.0, 2.0])),
]


@pytest.mark.parametrize("f, x, expected, torch", [pytest.param(*c[1:], id=c[0]) for c in CORNERS])
@pytest.mark.filterwarnings("error")
def test_corners(f, x, expected, torch):
    v = Variable(x)
    f(v).backward(np.ones(f(v).shape, np.float32))
    np.testing.assert_allclose(v.grad.data, expected, rtol=1e-6)


@pytest.mark.parametrize("f, x, expected, torch", [pytest.param(*c[1:], id=c[0]) for c in CORNERS])
def test_corners_are_pytorch_s(f, x, expected, torch):
    pt = pytest.importorskip("torch")
    v = pt.tensor(x, requires_grad=True)
    torch(pt, v).sum().backward()
    np.testing.assert_allclose(v.grad.numpy(), expected, rtol=1e-6)


def test_powers_at_zero_have_second_derivatives():
    for exponent, expected in [(0, 0.0), (1, 0.0), (2, 2.0), (3, 0.0)]:
        x = Variable(0.0)
        (g,) = gradients(x**exponent, [x], create_graph=True)
        second = gradients(g, [x])[0] if g.requires_grad else None
        assert (0.0 if second is None else second.item()) == expected, exponent


STABLE = [
    ("sigmoid", sigmoid, [-1e4, 0.0, 1e4], [0.0, 0.25, 0.0]),
    ("softplus", softplus, [-1e4, 0.0, 1e4], [0.0, 0.5, 1.0]),
    ("tanh", np.tanh, [-1e4, 0.0, 1e4], [0.0, 1.0, 0.0]),
    ("softmax", lambda x: softmax(x)[0], [1e4, -1e4, 0.0], [0.0, 0.0, 0.0]),
    ("log_softmax", lambda x: log_softmax(x)[1], [1e4, -1e4, 0.0], [-1.0, 1.0, 0.0]),
    ("gelu", gelu, [-1e3, 0.0, 1e3], [0.0, 0.5, 1.0]),
]


@pytest.mark.parametrize("f, x, expected", [pytest.param(*c[1:], id=c[0]) for c in STABLE])
@pytest.mark.filterwarnings("error")
def test_stable_far_out(f, x, expected):
    v = Variable(x)
    out = f(v)
    assert np.isfinite(out.data).all()
    out.sum().backward()
    np.testing.assert_allclose(v.grad.data, expected, atol=1e-6)


NUMPY = [
    (np.exp, (A,)), (np.log, (A,)), (np.sqrt, (A,)), (np.tanh, (A,)), (np.sin, (A,)), (np.cos, (A,)), (np.abs, (A,)),
    (np.square, (A,)), (np.negative, (A,)), (np.add, (A, B)), (np.subtract, (A, B)), (np.multiply, (A, B)),
    (np.divide, (A, B)), (np.true_divide, (A, B)), (np.power, (A, B)), (np.maximum, (A, B)), (np.minimum, (A, B)),
    (np.matmul, (A, (3, 2))), (np.dot, (A, B)), (np.sum, (A,)), (np.mean, (A,)), (np.var, (A,)), (np.std, (A,)),
    (np.max, (A,)), (np.min, (A,)), (np.amax, (A,)), (np.ravel, (A,)), (np.transpose, (A,)), (np.squeeze, ((1, 3),)),
]  # fmt: skip


@pytest.mark.parametrize("f, shapes", NUMPY, ids=lambda v: getattr(v, "__name__", ""))
def test_numpy_functions_are_recorded(f, shapes):
    arrays = point(shapes, POSITIVE)
    for which in itertools.product([0, 1], repeat=len(shapes)):
        if any(which):
            inputs = [Variable(a) if v else a for v, a in zip(which, arrays)]
            out = f(*inputs)
            assert type(out) is Variable and out.requires_grad
            np.testing.assert_allclose(out.data, f(*arrays))
    check_gradients(f, *arrays)


LISTS = [
    (lambda x: np.concatenate([x, x]), (4, 3)),
    (lambda x: np.stack([x, np.ones(A)]), (2, 2, 3)),
    (lambda x: np.where(MASK, x, 0), A),
    (lambda x: np.clip(x, 0, 1), A),
    (lambda x: np.reshape(x, (3, 2)), (3, 2)),
    (lambda x: np.expand_dims(x, 0), (1, 2, 3)),
    (lambda x: np.swapaxes(x, 0, 1), (3, 2)),
    (lambda x: np.broadcast_to(x, (4, 2, 3)), (4, 2, 3)),
    (lambda x: np.einsum("ij->j", x), B),
    (lambda x: np.sum(x, axis=0), B),
    (lambda x: np.max(x, axis=1, keepdims=True), (2, 1)),
]


@pytest.mark.parametrize("f, shape", LISTS)
def test_numpy_functions_with_options_are_recorded(f, shape):
    x = Variable(point([A], POSITIVE)[0])
    out = f(x)
    assert type(out) is Variable and out.shape == shape
    check_gradients(f, x)


def test_custom_row_names_are_checked():
    double = tensor.operation(lambda x: 2 * x)
    with pytest.raises(TypeError, match="it has no 'z'"):
        gradient(double, z=lambda g: g)
    with pytest.raises(TypeError, match="it has no 'w'"):
        gradient(double, x=lambda g, w: g)
    with pytest.raises(TypeError, match="no operation"):
        gradient(np.exp, x=lambda g: g)
