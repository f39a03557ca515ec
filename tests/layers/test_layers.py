"""Layers: what the chapter's own tests leave out."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.core.activations import ReLU
from tinytorch.core.layers import (
    Dense,
    Dropout,
    LayerNorm,
    Module,
    Parameter,
    dense,
    dense_composed,
    fans,
    glorot_uniform,
    he_normal,
    layer_norm,
    layer_norm_composed,
    matmul_naive,
)
from tinytorch.core.tensor import Tensor, from_numpy

FRONT = [(), (5,), (0,), (2, 3), (2, 0, 3), (1, 1, 1)]


class Block(Module):
    def __init__(self, rng=None):
        last = (Dropout(0.5, rng=0), Dense(4, 2, rng=rng))
        self.layers = [Dense(3, 4, rng=rng), ReLU(), {"norm": LayerNorm(4)}, last]

    def forward(self, x):
        first, activation, inside, (dropout, last) = self.layers
        return last(dropout(inside["norm"](activation(first(x)))))


@pytest.mark.parametrize("front", FRONT)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dense_equals_its_composition(front, dtype):
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(s).astype(dtype) for s in ((*front, 3), (3, 2), (2,)))
    out, composed = dense(x, w, b), x @ w + b
    assert out.dtype == dtype and out.shape == (*front, 2)
    np.testing.assert_allclose(out, composed, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dense_composed(Tensor(x), Tensor(w), Tensor(b)).data, composed, rtol=1e-5, atol=1e-6)


def test_dense_takes_views_and_leaves_its_inputs_alone():
    rng = np.random.default_rng(1)
    x, w, b = rng.standard_normal((3, 4, 5)), rng.standard_normal((4, 2)).T[:, :2], rng.standard_normal(2)
    x = x.transpose(2, 1, 0)[..., :2]
    before = x.copy(), w.copy(), b.copy()
    np.testing.assert_allclose(dense(x, w, b), x @ w + b)
    assert all(np.array_equal(a, c) for a, c in zip((x, w, b), before))


@pytest.mark.parametrize(
    "shapes, words",
    [
        (((5, 3), (4, 2), (2,)), ["Dense(4, 2) got 3 features", "(5, 3)", "expected (..., 4)"]),
        (((5, 2, 2), (4, 2), (2,)), ["Dense(4, 2) got 2 features", "x.reshape(len(x), -1)"]),
        (((4, 9), (4, 2), (2,)), ["Did you mean x.T?"]),
        (((), (4, 2), (2,)), ["a single number"]),
        (((5, 4), (4, 2), (3,)), ["do not belong together"]),
        (((5, 4), (4, 2), (1,)), ["do not belong together"]),
        (((5, 4), (4,), ()), ["do not belong together"]),
    ],
)
@pytest.mark.parametrize("make", [Tensor, lambda a: a])
def test_dense_explains_shapes(shapes, words, make):
    with pytest.raises(ValueError) as error:
        dense(*(make(np.zeros(s)[()]) for s in shapes))
    for word in words:
        assert word in str(error.value)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32))  # a list of no rows is 1-d
def test_naive_product_is_the_product(n, d, k, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((n, d)), rng.standard_normal((d, k))
    np.testing.assert_allclose(matmul_naive(a, b), a @ b, atol=1e-12)
    assert isinstance(matmul_naive(Tensor(a), Parameter(b)), Tensor)


def test_naive_product_keeps_the_dtype():
    x = np.ones((2, 2), np.float32)
    assert matmul_naive(x, x).dtype == np.float32
    assert matmul_naive([[1, 2]], [[3], [4]]).dtype == np.int64


def test_parameter_keeps_an_array_of_its_own():
    array = np.ones(2, np.float32)
    for source in (array, from_numpy(array), Parameter(array)):
        parameter = Parameter(source)
        parameter.data += 1.0
        assert array.tolist() == [1.0, 1.0]
        assert parameter.data.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("data", [3, [1, 2], [[1, 2], [3, 4]], 2.5, [1.0]])
def test_python_numbers_become_float32_parameters(data):
    parameter = Parameter(data)
    assert parameter.dtype == np.float32
    assert parameter.requires_grad is True and parameter.grad is None and parameter._node is None
    assert isinstance(Parameter(3).data, np.float32)


@pytest.mark.parametrize("bad", [np.array([1, 2]), Tensor([1, 2]), np.int64(3), np.array([True]), [np.int32(1)]])
def test_integer_arrays_are_refused(bad):
    with pytest.raises(TypeError, match="training needs floats"):
        Parameter(bad)


def test_other_bad_parameters():
    with pytest.raises(TypeError, match="training needs floats"):
        Parameter([1.0], dtype=np.int32)
    with pytest.raises(TypeError, match="not made of numbers"):
        Parameter("weights")
    with pytest.raises(ValueError, match="row 1"):
        Parameter([[1.0, 2.0], [3.0]])
    with pytest.raises(AttributeError):
        Parameter([1.0]).name = "w"


def test_parameter_refuses_changes_that_a_derivative_would_miss():
    parameter = Parameter([1.0, 2.0])
    with pytest.raises(RuntimeError, match=r"x\.data"):
        parameter += 1.0
    with pytest.raises(RuntimeError, match=r"x\.data"):
        parameter[0] = 1.0
    with pytest.raises(TypeError, match="detach"):
        np.asarray(parameter)
    parameter.data -= 0.5
    assert parameter.data.tolist() == [0.5, 1.5]


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_of_parameters_and_modules(clone):
    parameter = Parameter([1.0, 2.0])
    parameter.requires_grad, parameter.grad = False, Tensor([5.0, 6.0])
    other = clone(parameter)
    assert type(other) is Parameter and other.requires_grad is False
    other.data += 1.0
    other.grad.data += 1.0
    assert parameter.data.tolist() == [1.0, 2.0] and parameter.grad.data.tolist() == [5.0, 6.0]

    block = Block(rng=0)
    twin = clone(block)
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(twin(x).data, block(x).data)
    twin.layers[0].weights.data += 1.0
    assert not np.array_equal(twin.layers[0].weights.data, block.layers[0].weights.data)


def test_a_copied_module_still_shares_what_it_shared():
    net = Module()
    net.encode, net.decode = Dense(2, 2), Dense(2, 2)
    net.decode.weights = net.encode.weights
    twin = copy.deepcopy(net)
    assert twin.decode.weights is twin.encode.weights
    assert [n for n, _ in twin.named_parameters()] == ["encode.weights", "encode.bias", "decode.bias"]


def test_fans_of_dense_and_convolution_weights():
    assert fans((5, 7)) == (5, 7)
    assert fans((3, 3, 8, 16)) == (72, 144)
    with pytest.raises(ValueError, match="at least two axes"):
        fans((5,))


@pytest.mark.parametrize("init", [glorot_uniform, he_normal])
def test_initialisers(init):
    assert init((3, 4), 1).dtype == np.float32
    assert np.array_equal(init((3, 4), 1), init((3, 4), 1))
    assert not np.array_equal(init((3, 4)), init((3, 4)))
    rng = np.random.default_rng(1)
    assert not np.array_equal(init((3, 4), rng), init((3, 4), rng))
    fan_in, fan_out = fans((30, 40, 50))
    expected = 2 / (fan_in + fan_out) if init is glorot_uniform else 2 / fan_in
    np.testing.assert_allclose(init((30, 40, 50), 0).var(), expected, rtol=0.03)


@pytest.mark.parametrize("size", [0, -3, 2.0, "4", None, True, [4], (4, 2)])
def test_sizes_are_checked(size):
    for make in (lambda: Dense(size, 2), lambda: Dense(2, size), lambda: LayerNorm(size)):
        with pytest.raises(ValueError, match="expected an integer of at least 1"):
            make()


def test_sizes_may_be_numpy_integers():
    assert Dense(np.int64(3), np.int32(2)).weights.shape == (3, 2)


def test_bad_initialisers_are_named():
    with pytest.raises(TypeError, match="weight_init is 'he'"):
        Dense(3, 2, weight_init="he")
    with pytest.raises(ValueError, match=r"returned the shape \(2, 3\)"):
        Dense(3, 2, weight_init=lambda shape, rng: np.zeros((2, 3)))
    with pytest.raises(TypeError, match="not made of numbers"):
        Dense(3, 2, weight_init=lambda shape, rng: "zeros")


@pytest.mark.parametrize("use_bias", [True, False])
def test_dense_layer_accepts_what_students_have(use_bias):
    layer = Dense(2, 3, use_bias=use_bias, rng=0)
    expected = np.array([[1.0, 2.0]]) @ layer.weights.data
    for x in ([[1.0, 2.0]], [[1, 2]], np.array([[1, 2]]), Tensor([[1, 2]]), Tensor([[1.0, 2.0]])):
        out = layer(x)
        assert isinstance(out, Tensor) and out.dtype == np.float32
        np.testing.assert_allclose(out.data, expected, rtol=1e-6)
    assert layer(np.ones((4, 5, 2))).dtype == np.float64
    assert layer([1.0, 2.0]).shape == (3,)
    assert layer(np.zeros((0, 2), np.float32)).shape == (0, 3)
    with pytest.raises(ValueError, match="got 3 features"):
        layer(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="a single number"):
        layer(1.0)


def test_dense_layers_repeat_with_a_seed():
    assert np.array_equal(Dense(3, 2, rng=5).weights.data, Dense(3, 2, rng=5).weights.data)
    assert not np.array_equal(Dense(3, 2).weights.data, Dense(3, 2).weights.data)


def test_frozen_parameters_stay_in_the_state():
    layer = Dense(2, 2)
    layer.weights.requires_grad = False
    assert [n for n, _ in layer.named_parameters()] == ["weights", "bias"]
    assert set(layer.state_dict()) == {"weights", "bias"}


def test_modules_find_each_other():
    block = Block()
    names = ["layers.0.weights", "layers.0.bias", "layers.2.norm.gain", "layers.2.norm.bias", "layers.3.1.weights"]
    assert [n for n, _ in block.named_parameters()] == [*names, "layers.3.1.bias"]
    block.owner = block
    block.layers.append(block.layers)
    assert len(list(block.parameters())) == 6
    assert "Dense(3, 4)" in repr(Block()) and "layers.1: ReLU()" in repr(Block())
    assert repr(Module()) == "Module()"


def test_a_module_in_itself_can_be_shown():
    net = Module()
    net.itself = net
    assert repr(net) == "Module(\n  itself: ...\n)"


def test_modes_reach_everything_and_need_no_constructor():
    block = Block(rng=0)  # with other weights every unit may be dead
    assert block.training and "training" not in vars(block)
    assert block.eval() is block
    assert not any(m.training for _, m in block.named_modules())
    x = np.ones((4, 3), np.float32)
    np.testing.assert_array_equal(block(x).data, block(x).data)
    assert block.train() is block and block.layers[3][0].training
    assert not np.array_equal(block(x).data, block(x).data)


def test_what_was_computed_is_no_parameter():
    class Leaf(Tensor):
        requires_grad = True

    class Result(Leaf):
        _node = object()

    net = Module()
    net.leaf, net.last_output, net.data = Leaf([1.0]), Result([2.0]), Tensor([3.0])
    assert [n for n, _ in net.named_parameters()] == ["leaf"]


def test_zero_grad_forgets():
    block = Block()
    for p in block.parameters():
        p.grad = Tensor(1.0)
    block.zero_grad()
    assert all(p.grad is None for p in block.parameters())
    p.grad = Tensor(1.0)
    p.zero_grad()
    assert p.grad is None


def test_state_goes_round_and_is_a_copy():
    block, other = Block(rng=1), Block(rng=2)
    state = block.state_dict()
    assert all(type(a) is np.ndarray for a in state.values())
    other.load_state_dict(state)
    for p, q in zip(block.parameters(), other.parameters()):
        assert np.array_equal(p.data, q.data) and not np.shares_memory(p.data, q.data)
    before = block.layers[0].weights.data.copy()
    state["layers.0.weights"][:] = 0.0
    assert np.array_equal(block.layers[0].weights.data, before)
    assert np.array_equal(other.layers[0].weights.data, before)


def test_state_keeps_the_dtype_of_the_model_and_numbers_stay_numbers():
    net = Module()
    net.scale, net.wide = Parameter(2.0), Parameter(np.ones(2))
    state = net.state_dict()
    net.load_state_dict({"scale": np.array(3.0), "wide": Tensor([5, 6])})
    assert type(net.scale.data) is np.float32 and net.wide.dtype == np.float64
    net.load_state_dict(state)
    assert net.scale.item() == 2.0


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda s: s.pop("bias"), ["missing: bias"]),
        (lambda s: s.update(extra=np.ones(1)), ["not in this model: extra"]),
        (lambda s: s.update(bias=np.ones(4)), ["bias: the shape is (4,), this model has (3,)"]),
        (lambda s: s.update(bias=np.ones((1, 3))), ["bias: the shape is (1, 3)"]),
        (lambda s: s.update(bias="zeros"), ["bias: not an array of numbers"]),
        (lambda s: s.update(bias=None), ["bias: not an array of numbers"]),
        (lambda s: (s.pop("weights"), s.update(w=1.0, bias=np.ones(4))), ["missing: weights", ": w", "bias: the"]),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, words):
    layer = Dense(2, 3, rng=0)
    before = layer.state_dict()
    state = {name: array + 1 for name, array in before.items()}
    change(state)
    with pytest.raises(ValueError, match="nothing was loaded") as error:
        layer.load_state_dict(state)
    for word in words:
        assert word in str(error.value)
    assert all(np.array_equal(before[name], array) for name, array in layer.state_dict().items())


def test_a_state_has_to_be_a_dictionary():
    with pytest.raises(ValueError, match="it is a list"):
        Dense(2, 3).load_state_dict([1, 2])


def test_buffers_are_saved_and_not_trained():
    class Mean(Module):
        buffers = ("running",)

        def __init__(self):
            self.running = Tensor([0.0, 0.0])

    net = Module()
    net.mean = Mean()
    net.load_state_dict({"mean.running": np.array([1.0, 2.0])})
    assert net.mean.running.tolist() == [1.0, 2.0]
    assert list(net.parameters()) == [] and list(net.state_dict()) == ["mean.running"]


def test_a_module_needs_forward():
    with pytest.raises(NotImplementedError, match="Module needs a method forward"):
        Module()(Tensor([1.0]))


@pytest.mark.parametrize("rate", [1, 1.0, -0.1, 2, float("nan"), "half", None, True])
def test_dropout_rates_are_checked(rate):
    with pytest.raises(ValueError, match="rate is"):
        Dropout(rate)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (0, 3), (4, 3)])
def test_dropout_keeps_shape_and_dtype(dtype, shape):
    out = Dropout(0.5, rng=0)(Tensor(np.ones(shape, dtype)))
    assert out.shape == shape and out.dtype == dtype
    assert set(np.unique(out.data)) <= {0.0, 2.0}


def test_dropout_draws_anew_at_every_call_and_repeats_with_a_seed():
    x = Tensor(np.ones(100, np.float32))
    one, other = Dropout(0.5, rng=1), Dropout(0.5, rng=1)
    first, second = one(x), one(x)
    assert not np.array_equal(first.data, second.data)
    assert np.array_equal(other(x).data, first.data) and np.array_equal(other(x).data, second.data)
    rng = np.random.default_rng(1)
    assert Dropout(0.5, rng=rng).rng is rng


@pytest.mark.parametrize("front", [(), (5,), (2, 3), (0,)])
@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-4), (np.float64, 1e-12)])
def test_layer_norm_equals_its_composition(front, dtype, tolerance):
    rng = np.random.default_rng(0)
    x, gain, bias = (rng.normal(3, 5, s).astype(dtype) for s in ((*front, 6), (6,), (6,)))
    before = x.copy()
    out = layer_norm(Tensor(x), Tensor(gain), Tensor(bias), epsilon=1e-3)
    composed = layer_norm_composed(Tensor(x), Tensor(gain), Tensor(bias), epsilon=1e-3)
    assert out.dtype == dtype and out.shape == x.shape and np.array_equal(x, before)
    np.testing.assert_allclose(out.data, composed.data, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(layer_norm(x, gain, bias, np.float64(1e-3)), out.data)
    assert layer_norm(x, gain, bias, np.float64(1e-3)).dtype == dtype


def test_layer_norm_keeps_what_its_derivative_needs():
    x = np.random.default_rng(0).normal(3, 5, (4, 6))
    out, (x_hat, inverse_std) = layer_norm.__wrapped__(x, np.full(6, 2.0), np.ones(6))
    np.testing.assert_allclose(out, 2 * x_hat + 1)
    np.testing.assert_allclose(inverse_std, 1 / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5))


def test_layer_norm_explains_shapes():
    for x in (np.zeros((2, 4)), np.zeros((2, 1)), 3.0):
        with pytest.raises(ValueError, match=r"LayerNorm\(3\) got"):
            LayerNorm(3)(x)
    with pytest.raises(ValueError, match="do not belong together"):
        layer_norm(Tensor(np.ones((2, 3))), Tensor(np.ones(3)), Tensor(np.ones(1)))
    np.testing.assert_allclose(LayerNorm(2, epsilon=3.0)(Tensor([0.0, 2.0])).data, [-0.5, 0.5])
    for epsilon in (0, -1.0):
        with pytest.raises(ValueError, match="small positive number"):
            LayerNorm(3, epsilon)


def test_like_pytorch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x = rng.normal(0, 3, (4, 5, 6)).astype(np.float32)
    layer, norm = Dense(6, 3, weight_init=he_normal, rng=rng), LayerNorm(6)
    linear, layer_norm_ = torch.nn.Linear(6, 3), torch.nn.LayerNorm(6)
    linear.load_state_dict({"weight": torch.tensor(layer.weights.data.T), "bias": torch.tensor(layer.bias.data)})
    np.testing.assert_allclose(layer(x).data, linear(torch.tensor(x)).detach().numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(norm(x).data, layer_norm_(torch.tensor(x)).detach().numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(-3, 2), (0, 2), (2.5, 2), ("a", 2)])
@pytest.mark.parametrize("init", [glorot_uniform, he_normal])
def test_shapes_that_hold_no_weights(init, shape):
    with pytest.raises(ValueError, match="fans"):
        init(shape)
