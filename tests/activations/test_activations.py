"""Activations: what the chapter's own tests leave out."""

import copy
import math
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinytorch.core.activations import (
    GELU,
    LeakyReLU,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
    gelu,
    gelu_composed,
    leaky_relu,
    log_softmax,
    log_softmax_composed,
    relu,
    sigmoid,
    softmax,
    softmax_composed,
    softplus,
)
from tinytorch.core.tensor import Tensor

ENTRYWISE = [relu, leaky_relu, sigmoid, softplus, gelu]
ALONG_AXIS = [softmax, log_softmax]
ALL = ENTRYWISE + ALONG_AXIS
SMOOTH = [leaky_relu, sigmoid, softplus, gelu, softmax, log_softmax]
LARGE = np.array([[-1e4, -100.0, -1.0, -0.0], [0.0, 1.0, 100.0, 1e4]])


def arrays(dtype=np.float64, bound=1e4, min_side=1):
    shapes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=min_side, max_side=4)
    width = 8 * np.dtype(dtype).itemsize
    return hnp.arrays(dtype, shapes, elements=st.floats(-bound, bound, width=width))


@pytest.mark.parametrize("f", ALL)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_inputs_give_finite_results_without_a_warning(f, dtype):
    x = LARGE.astype(dtype)
    before = x.copy()
    with warnings.catch_warnings(), np.errstate(over="raise", divide="raise", invalid="raise"):
        warnings.simplefilter("error")
        out = f(Tensor(x))
        for entry in x.flat:
            assert np.isfinite(f(entry))
    assert out.dtype == dtype
    assert np.isfinite(out.data).all()
    assert np.array_equal(x, before)


@pytest.mark.parametrize("f", ALL)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_stay_numpy_numbers(f, dtype):
    for value in (-2.5, 0.0, 3.0):
        assert type(f(dtype(value))) is dtype
        assert type(f(Tensor(dtype(value))).data) is dtype
        np.testing.assert_allclose(f(dtype(value)), f(np.array([value], dtype))[0], rtol=1e-6)


@pytest.mark.parametrize("f", SMOOTH)
def test_integers_become_float32(f):
    assert f(Tensor([1, 2, 3])).dtype == np.float32
    np.testing.assert_array_equal(f(Tensor([1, 2, 3])).data, f(Tensor([1.0, 2.0, 3.0])).data)
    assert type(f(np.int64(3))) is np.float32


def test_the_largest_slope_is_one():
    x = np.array([-2.0, 3.0])
    assert np.array_equal(leaky_relu(x, slope=1), x) and np.array_equal(LeakyReLU(1)(x), x)


@pytest.mark.parametrize("f", ALL)
@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0, 3)])
def test_empty_batches_pass(f, shape):
    if shape == (0,) and f in ALONG_AXIS:
        pytest.skip("no entries along the axis: an error, tested below")
    assert f(Tensor(np.zeros(shape), np.float32)).shape == shape


@pytest.mark.parametrize("f", ALL)
def test_lists_and_plain_arrays(f):
    rows = [[1.0, -2.0], [0.5, 3.0]]
    assert isinstance(f(rows), Tensor)
    assert type(f(np.array(rows))) is np.ndarray
    np.testing.assert_allclose(f(rows).data, f(np.array(rows)), rtol=1e-5)


@pytest.mark.parametrize("f", [relu, leaky_relu, sigmoid, softplus])
def test_infinities_reach_their_limits(f):
    limits = {relu: (0, np.inf), leaky_relu: (-np.inf, np.inf), sigmoid: (0, 1), softplus: (0, np.inf)}
    np.testing.assert_array_equal(f(np.array([-np.inf, np.inf])), limits[f])
    assert (f(np.float32(-np.inf)), f(np.float32(np.inf))) == limits[f]


@pytest.mark.parametrize("f", ALL)
def test_nan_is_not_hidden(f):
    assert np.isnan(f(np.array([np.nan]))).all()
    assert np.isnan(f(np.float64(np.nan)))


@given(arrays())
def test_sigmoid_is_symmetric_and_the_slope_of_softplus_is_bounded(x):
    np.testing.assert_allclose(sigmoid(x) + sigmoid(-x), 1.0, rtol=1e-12)
    np.testing.assert_allclose(softplus(x) - softplus(-x), x, rtol=1e-12, atol=1e-12)
    assert (softplus(x) >= relu(x)).all()


@given(arrays(bound=700))
def test_log_of_sigmoid_is_minus_softplus(x):
    np.testing.assert_allclose(np.log(sigmoid(x)), -softplus(-x), rtol=1e-9, atol=1e-15)


@given(arrays())
def test_relu_splits_a_number_into_its_two_sides(x):
    np.testing.assert_array_equal(relu(x) - relu(-x), x)
    np.testing.assert_array_equal(relu(x) + relu(-x), abs(x))
    np.testing.assert_allclose(leaky_relu(x, 0.1), relu(x) - 0.1 * relu(-x))


@given(arrays(), st.floats(-100, 100), st.data())
def test_softmax_sums_to_one_and_ignores_a_shift(x, shift, data):
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    shares = softmax(x, axis)
    np.testing.assert_allclose(shares.sum(axis=axis), 1.0)
    assert (shares >= 0).all()
    np.testing.assert_allclose(softmax(x + shift, axis), shares, rtol=1e-9, atol=1e-300)
    np.testing.assert_allclose(np.exp(log_softmax(x, axis)), shares, rtol=1e-9, atol=1e-300)


@given(arrays(bound=50), st.data())
def test_fused_operations_equal_their_compositions(x, data):
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    np.testing.assert_allclose(gelu(x), gelu_composed(Tensor(x)).data, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(softmax(x, axis), softmax_composed(Tensor(x), axis).data, rtol=1e-12)
    np.testing.assert_allclose(log_softmax(x, axis), log_softmax_composed(Tensor(x), axis).data, rtol=1e-12, atol=1e-12)


def test_softmax_over_several_axes_or_all():
    x = np.arange(12.0).reshape(2, 3, 2)
    np.testing.assert_allclose(softmax(x, (1, 2)).sum(axis=(1, 2)), [1.0, 1.0])
    np.testing.assert_allclose(softmax(x, None).sum(), 1.0)
    np.testing.assert_allclose(log_softmax(x, None), np.log(softmax(x, None)))


def test_gelu_is_near_the_exact_form():
    x = np.linspace(-8, 8, 401)
    exact = [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x]
    np.testing.assert_allclose(gelu(x), exact, atol=5e-4)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda x: softmax(x, axis=2), ["softmax", "no axis 2", "(2, 3)"]),
        (lambda x: softmax(x, axis=-3), ["softmax", "no axis -3"]),
        (lambda x: log_softmax(x, axis=(0, 5)), ["log_softmax", "no axis (0, 5)"]),
        (lambda x: softmax(x, axis=1.5), ["softmax", "1.5", "expected an int"]),
        (lambda x: softmax(Tensor(np.zeros((4, 0)))), ["softmax", "axis -1 has no entries", "(4, 0)"]),
        (lambda x: leaky_relu(x, slope=3), ["leaky_relu", "3", "at most 1"]),
        (lambda x: LeakyReLU(slope=3), ["LeakyReLU", "at most 1"]),
        (lambda x: LeakyReLU(slope=float("nan")), ["LeakyReLU", "nan"]),
        (lambda x: LeakyReLU(x), ["LeakyReLU()(x)"]),
        (lambda x: LeakyReLU("steep"), ["'steep'"]),
    ],
)
def test_bad_options_are_explained(call, words):
    with pytest.raises(ValueError) as error:
        call(Tensor(np.zeros((2, 3), np.float32)))
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("make", [ReLU, Sigmoid, Tanh, GELU, Softmax])
def test_applying_the_class_is_explained(make):
    with pytest.raises(TypeError, match=rf"write {make.__name__}\(\)\(x\)"):
        make(Tensor([1.0]))


def test_softmax_axis_has_to_be_an_integer():
    with pytest.raises(TypeError, match="the axis is 'rows'"):
        Softmax(axis="rows")


@pytest.mark.parametrize("activation", [ReLU(), LeakyReLU(0.2), Sigmoid(), Tanh(), GELU(), Softmax(axis=0)])
def test_objects_copy_pickle_and_show_themselves(activation):
    x = np.array([[-1.0, 2.0], [0.5, -3.0]])
    for other in (copy.deepcopy(activation), pickle.loads(pickle.dumps(activation)), eval(repr(activation))):
        assert repr(other) == repr(activation)
        np.testing.assert_array_equal(other(x), activation(x))
    np.testing.assert_array_equal(activation.forward(Tensor(x)).data, activation(x))


def test_like_pytorch():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    pairs = [
        (relu, functional.relu), (leaky_relu, functional.leaky_relu), (sigmoid, torch.sigmoid),
        (softplus, functional.softplus), (gelu, lambda x: functional.gelu(x, approximate="tanh")),
        (softmax, lambda x: torch.softmax(x, -1)), (log_softmax, lambda x: torch.log_softmax(x, -1)),
    ]  # fmt: skip
    rng = np.random.default_rng(0)
    for scale in (0.1, 3.0, 15.0):
        x = rng.normal(0, scale, (50, 7))
        for ours, theirs in pairs:
            np.testing.assert_allclose(ours(x), theirs(torch.tensor(x)).numpy(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("fused, composed", [(softmax, softmax_composed), (log_softmax, log_softmax_composed)])
def test_compositions_are_as_stable(fused, composed):
    x = np.array([[1000.0, 1001.0, -1000.0], [-1e4, -1e4, -1e4]], np.float32)
    np.testing.assert_allclose(composed(Tensor(x)).data, fused(x), rtol=1e-6)
