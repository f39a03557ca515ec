"""The compression chapter: masks that stay, integers all the way, files that come back, bad input."""

import json
import math
import os
import pickle
import zipfile
from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinytorch.core.compression as compression
from tinytorch.core.activations import GELU, ReLU, Tanh
from tinytorch.core.autograd import Variable, check_gradients, gradients
from tinytorch.core.cnn import AvgPool2D, BatchNorm, Conv2D, Dropout2D, Flatten, MaxPool2D, with_channels
from tinytorch.core.compression import (
    MaskedOptimizer,
    accuracy_of,
    affine_parameters,
    assess,
    calibrate,
    compressed,
    dequantize,
    distil,
    distillation_loss,
    factorize,
    fake_quantize,
    fit,
    fixed_point,
    fold_batch_norm,
    integer_dense,
    integer_product,
    keep_units,
    load_compressed,
    low_rank,
    magnitude_mask,
    mse_range,
    pack_sparse,
    percentile_range,
    prune,
    quantization_aware,
    quantize,
    quantize_model,
    rank_for_energy,
    requantize,
    save_compressed,
    shrink,
    sparsity_of,
    straight_through,
    table_row,
    unpack_sparse,
    weight_scales,
)
from tinytorch.core.dataloader import ArrayDataset, digits_split
from tinytorch.core.layers import Dense, Dropout, LayerNorm, Parameter
from tinytorch.core.networks import Sequential, create_mlp, dense_with, save
from tinytorch.core.optimizers import SGD, Adam, AdamW, CosineLR, RMSProp
from tinytorch.core.tensor import Tensor
from tinytorch.core.training import CrossEntropyLoss, Trainer, evaluating, train_step
from tinytorch.memory import peak_bytes

RNG = np.random.default_rng(0)
ROWS = RNG.random((20, 6), dtype=np.float32)
PICTURES = RNG.random((6, 2, 8, 8), dtype=np.float32)
INTEGERS = st.integers(-128, 127)


def mlp():
    return create_mlp(6, [8, 5], 3, rng=1)


def small_cnn(rng=2):
    rng = np.random.default_rng(rng)
    model = Sequential([
        Conv2D(2, 4, 3, padding=1, rng=rng), BatchNorm(4), ReLU(), MaxPool2D(2),
        Conv2D(4, 6, (3, 2), stride=(1, 2), rng=rng), ReLU(), Dropout2D(0.5, rng=rng), MaxPool2D(2, padding=1), Flatten(),
        Dropout(0.5, rng=rng), Dense(6 * 2 * 2, 5, rng=rng), BatchNorm(5), ReLU(), Dense(5, 3, use_bias=False, rng=rng),
    ])  # fmt: skip
    for layer in model:  # statistics and offsets as after training
        if isinstance(layer, BatchNorm):
            for name, low in (("gain", 0.5), ("bias", -0.5), ("running_mean", -0.2), ("running_var", 0.5)):
                getattr(layer, name).data[...] = rng.uniform(low, low + 1, layer.size)
    return model.eval()


@pytest.fixture(scope="module")
def digits():
    return digits_split()


@pytest.fixture(scope="module")
def teacher(digits):
    model = create_mlp(64, [64, 32], 10, rng=0)
    fit(model, digits[0], epochs=12)
    return model


# ---- pruning

@given(st.integers(0, 40), st.floats(0, 1), st.integers(0, 2**31))
def test_a_mask_has_the_number_of_zeros_that_was_asked_for(n, sparsity, seed):
    w = np.random.default_rng(seed).integers(-3, 4, n).astype(float)  # many are equal
    mask = magnitude_mask(w, sparsity)
    assert mask.shape == w.shape and np.count_nonzero(~mask) == round(sparsity * n)
    assert not n or mask.all() or not mask.any() or abs(w[~mask]).max() <= abs(w[mask]).min()


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 2, 2), (5,), (0, 3)])
def test_masks_of_any_shape(shape):
    w = RNG.standard_normal(shape)
    assert magnitude_mask(w, 0.5).shape == shape


OPTIMIZERS = [
    lambda ps: SGD(ps, 0.1, momentum=0.9, weight_decay=0.01), lambda ps: SGD(ps, 0.1, 0.9, nesterov=True),
    lambda ps: RMSProp(ps, 0.01), lambda ps: Adam(ps, 0.01), lambda ps: AdamW(ps, 0.01, weight_decay=0.1),
]  # fmt: skip


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_zeros_stay_whatever_the_optimizer_remembers(make):
    model, loss = mlp(), CrossEntropyLoss()
    optimizer, y = make(model.parameters()), Tensor(np.arange(20) % 3)
    for _ in range(5):
        train_step(model, optimizer, loss, Tensor(ROWS), y)  # so that there is something to remember
    masks = prune(model, 0.7)
    arrays, before = [p.data for p, _ in masks], [p.data.copy() for p, _ in masks]
    masked = MaskedOptimizer(optimizer, masks)
    for _ in range(20):
        train_step(model, masked, loss, Tensor(ROWS), y)
        assert all(not p.data[~mask].any() for p, mask in masks)
    assert all(p.data is a for (p, _), a in zip(masks, arrays))
    assert all((p.data != b)[mask].any() for (p, mask), b in zip(masks, before))


def test_a_masked_optimizer_in_a_trainer_with_schedule_and_resumption(tmp_path):
    def parts():
        model = mlp()
        masked = MaskedOptimizer(AdamW(model.parameters(), 0.01), prune(model, 0.5))
        return model, Trainer(model, masked, CrossEntropyLoss()), CosineLR(masked, 4)

    data = [(Tensor(ROWS), Tensor(np.arange(20) % 3))]
    model, trainer, schedule = parts()
    trainer.fit(data, epochs=4, schedule=schedule, quiet=True)
    again, second, schedule = parts()
    second.fit(data, epochs=2, schedule=schedule, checkpoint=tmp_path / "c.npz", quiet=True)
    again, second, schedule = parts()
    second.fit(data, epochs=4, schedule=schedule, checkpoint=tmp_path / "c.npz", resume=True, quiet=True)
    assert trainer.optimizer.learning_rate == pytest.approx(0) and "MaskedOptimizer(AdamW" in repr(trainer.optimizer)
    for p, q in zip(model.parameters(), again.parameters()):
        np.testing.assert_array_equal(p.data, q.data)
    assert sparsity_of(model) == pytest.approx(0.5, abs=0.03)


def test_pruning_leaves_biases_and_counts_kernels():
    model = small_cnn()
    masks = prune(model, 1.0)
    assert [m.ndim for _, m in masks] == [4, 4, 2, 2] and sparsity_of(model) == 1.0
    assert model[1].gain.data.all() and model[10].bias is not None


@pytest.mark.parametrize("make, x", [(mlp, ROWS), (small_cnn, PICTURES)])
@pytest.mark.parametrize("keep", [0.5, 0.34])
def test_a_shrunk_network_is_the_one_whose_other_units_are_not_heard(make, x, keep):
    model = make()
    small, whole = shrink(model, keep), fold_batch_norm(model).eval()
    small.eval()
    layers = [layer for layer in whole if isinstance(layer, (Dense, Conv2D))]
    for before, after in zip(layers, layers[1:]):
        w = compression.as_matrix(before)
        units = compression.strongest(compression.unit_scores(before, after), keep)
        gone = np.setdiff1d(np.arange(w.shape[1]), units)
        axis = 1 if isinstance(after, Conv2D) else 0
        array = after.weights.data
        if isinstance(before, Conv2D) and isinstance(after, Dense):
            array.reshape(w.shape[1], -1, array.shape[1])[gone] = 0
        else:
            array[(slice(None),) * axis + (gone,)] = 0
        # scores of the later layers are to be those of a network that has shrunk so far
        array = before.weights.data
        array[(slice(None), gone) if isinstance(before, Dense) else gone] = 0
    np.testing.assert_allclose(small(Tensor(x)).data, whole(Tensor(x)).data, atol=1e-5)
    assert sum(p.size for p in small.parameters()) < sum(p.size for p in model.parameters())


def test_shrinking_changes_nothing_of_the_original_and_works_in_training():
    model = mlp()
    before = model.state_dict()
    small = shrink(model, 0.5)
    fit(small, ArrayDataset(ROWS, np.arange(20) % 3), epochs=2)
    assert all(np.array_equal(before[name], value) for name, value in model.state_dict().items())
    assert [layer.output_size for layer in small if isinstance(layer, Dense)] == [4, 2, 3]


def test_batch_norm_folded_in_gives_the_same_answers():
    for model, x in ((small_cnn(), PICTURES), (Sequential([Dense(6, 4, use_bias=False), BatchNorm(4), Tanh(), Dense(4, 2)]).eval(), ROWS)):
        folded = fold_batch_norm(model)
        assert not any(isinstance(layer, BatchNorm) for layer in folded)
        with evaluating(folded):
            np.testing.assert_allclose(folded(Tensor(x)).data, model(Tensor(x)).data, atol=1e-5)


# ---- numbers as integers

@given(st.floats(-1e3, 1e3), st.floats(0, 1e3), st.integers(2, 8))
def test_zero_is_exact_and_nothing_moves_by_more_than_half_a_step(low, width, bits):
    high = low + width
    if max(abs(low), abs(high)) < 1e-3:
        return
    scale, zero_point = affine_parameters(low, high, bits)
    smallest, largest = compression.integer_range(bits)
    assert smallest <= zero_point <= largest and dequantize(quantize(np.zeros(1), scale, zero_point, bits), scale, zero_point) == 0
    x = np.linspace(min(low, 0), max(high, 0), 50)
    q = quantize(x, scale, zero_point, bits)
    assert q.dtype == np.int8 and q.min() >= smallest and q.max() <= largest
    assert abs(dequantize(q, scale, zero_point) - x).max() <= scale * 1.001  # the ends: the zero point was rounded too
    assert abs(dequantize(q, scale, zero_point) - x)[5:-5].max(initial=0) <= scale * (1.001 if bits < 5 else 0.501)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 2), (2, 3, 4)])
def test_quantizing_keeps_shapes(dtype, shape):
    q = quantize(np.zeros(shape, dtype), 0.1, 5)
    assert q.shape == shape and q.dtype == np.int8 and dequantize(np.asarray(q), 0.1, 5).dtype == np.float32


def test_scales_of_weights():
    w = np.array([[1.0, 0.0, -254.0], [-127.0, 0.0, 1.0]], np.float32)
    assert weight_scales(w).tolist() == [1.0, 1.0, 2.0]  # a unit of zeros keeps the scale 1
    assert weight_scales(w, per_channel=False) == 2.0 and weight_scales(w, per_channel=False).dtype == np.float32
    assert weight_scales(w, bits=2).tolist() == [127.0, 1.0, 254.0]
    q = quantize(w, weight_scales(w, 3), bits=3)
    assert q.min() == -3 and q.max() == 0  # -4 is left alone: the range is as wide on both sides


def test_percentile_and_mse_cut_an_outlier_off():
    values = np.append(RNG.random(10_000), 1000.0)
    assert percentile_range(values)[1] < 1 and compression.minmax_range(values)[1] == 1000
    low, high = mse_range(np.append(RNG.random(1000), 1.5), bits=2)
    assert high < 1.5 and low >= 0


def test_one_strange_digit_and_the_three_rules(digits, teacher):
    """As the chapter says: the rule that counts values forgives it, the two that look at sizes do not."""
    careless = digits[0].features.copy()
    careless[0] *= 255
    (_, minmax), (_, percentile), (_, mse) = (calibrate(teacher, careless, m)[0] for m in ("minmax", "percentile", "mse"))
    assert minmax == 255 and percentile == 1 and mse > 200
    assert accuracy_of(quantize_model(teacher, careless, "percentile"), digits[1]) > accuracy_of(quantize_model(teacher, careless), digits[1]) + 0.03


def test_a_layer_by_itself_is_the_first_of_its_network():
    model = mlp()
    edges = [affine_parameters(low, high) for low, high in calibrate(model, ROWS)]
    layer, network = compression.integer_layer(model[0], edges[:2], 8, True, relu=True), quantize_model(model, ROWS)
    q = quantize(ROWS, *edges[0])
    assert np.array_equal(layer(q), network.layers[0](q)) and layer(q).min() == edges[1][1]
    floats = np.maximum(ROWS @ model[0].weights.data + model[0].bias.data, 0)
    np.testing.assert_allclose(dequantize(layer(q), *edges[1]), floats, atol=4 * edges[1][0])


def test_calibration_measures_what_arrives():
    model = Sequential([dense_with([[1.0, -2.0]], [0.0, 0.0]), ReLU(), dense_with([[1.0], [1.0]], [0.0])])
    assert calibrate(model, [[3.0], [-4.0]]) == [(-4.0, 3.0), (0.0, 8.0)]
    model = small_cnn().train()
    running = model[1].running_mean.data.copy()
    assert len(calibrate(model, PICTURES, "mse")) == 4
    assert model.training and np.array_equal(model[1].running_mean.data, running)  # it was in evaluation mode


# ---- arithmetic in integers

@given(st.integers(0, 5), st.integers(0, 60), st.integers(1, 5), INTEGERS, st.integers(0, 2**31))
@settings(max_examples=60)
def test_the_integer_layer_is_exact(n, d, k, zero_point, seed):
    rng = np.random.default_rng(seed)
    q, v = (rng.integers(-128, 128, shape).astype(np.int8) for shape in ((n, d), (k, d)))
    bias = rng.integers(-(2**20), 2**20, k).astype(np.int32)
    out = integer_dense(q, v, bias, zero_point)
    assert out.dtype == np.int32
    np.testing.assert_array_equal(out, (q.astype(np.int64) - zero_point) @ v.astype(np.int64).T + bias)


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=8), st.floats(1e-9, 1e3), INTEGERS, INTEGERS)
def test_requantizing_rounds_exactly(totals, real, zero_point, floor):
    m, n = fixed_point([real])
    assert m.dtype == np.int32 and n.dtype == np.int8
    assert abs(Fraction(int(m[0]), 2 ** int(n[0])) / Fraction(real) - 1) < Fraction(1, 2**29)
    exact = [math.floor(Fraction(t * int(m[0]), 2 ** int(n[0])) + Fraction(1, 2)) + zero_point for t in totals]
    got = requantize(np.array(totals, np.int32)[:, None], m, n, zero_point, floor)
    assert got.dtype == np.int8 and got[:, 0].tolist() == [max(floor, min(127, e)) for e in exact]


def test_factors_at_the_edges():
    m, n = fixed_point([1 - 1e-17, 1e-30, 2.0**-31])
    assert (m >= 0).all() and requantize(np.array([[2**31 - 1] * 3], np.int32), m, n, 0).tolist() == [[127, 0, 1]]
    with pytest.raises(ValueError, match="below"):
        fixed_point(2.0**31)


def test_a_network_worked_out_by_hand():
    """Inputs -1 to 1.55 have the scale 0.01 and the zero point -28, hidden values 0 to 2.55 the scale 0.01 and -128."""
    model = Sequential([dense_with([[1.27, -0.635], [0.0, 1.27]], [0.1, 0.0]), ReLU(), dense_with([[1.0], [-2.0]], [0.5])])
    network = quantize_model(model, ranges=[(-1.0, 1.55), (0.0, 2.55)], per_channel=False)
    first, second = network.layers
    assert first.weights.tolist() == [[127, 0], [-64, 127]]  # in steps of 0.01: -63.5 rounds to the even -64
    assert first.bias.tolist() == [1000 + 28 * 127, 28 * (127 - 64)]  # 0.1 in steps of 0.0001, and the zero point
    assert second.weights.tolist() == [[64, -127]]  # in steps of 2/127: 63.5 rounds to 64
    q = quantize(np.array([[1.0, 0.5]]), network.scale, network.zero_point)
    assert q.tolist() == [[72, 22]]  # 100 - 28, 50 - 28
    total = integer_product(q, first.weights) + first.bias
    assert total.tolist() == [[13700, -50]]  # 127 * 100 + 1000, -64 * 100 + 127 * 50: 1.37 and -0.005
    assert first(q).tolist() == [[9, -128]]  # 137 - 128, and the relu
    sums = second(first(q))
    assert sums.dtype == np.int32 and sums.tolist() == [[64 * 137 + 3175]]  # 0.5 in steps of 0.01 * 2 / 127
    assert network(np.array([[1.0, 0.5]], np.float32)).item() == pytest.approx((64 * 137 + 3175) * 0.02 / 127, rel=1e-6)
    assert model(Tensor([[1.0, 0.5]])).item() == pytest.approx(1.87, abs=1e-5)


class Watched(np.ndarray):
    """An array that writes down the dtype of everything that it takes part in."""

    seen: ClassVar[list] = []

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        bare = [np.asarray(x) for x in inputs]
        into = {} if out is None else {"out": tuple(np.asarray(o) for o in out)}
        result = getattr(ufunc, method)(*bare, **into, **options)
        self.seen.extend([ufunc.__name__, *(x.dtype.kind for x in bare), np.asarray(result).dtype.kind])
        return result if out is not None or not isinstance(result, np.ndarray) else result.view(Watched)

    def __array_function__(self, function, types, args, options):
        bare = [np.asarray(x) if isinstance(x, np.ndarray) else x for x in args]
        result = function(*bare, **options)
        dtypes = [x.dtype for x in bare if isinstance(x, np.ndarray)]
        self.seen.extend([function.__name__, *(d.kind for d in dtypes), result.dtype.kind])
        if function is np.einsum:
            assert dtypes == [np.int8, np.int8] and options["dtype"] == np.int32 and result.dtype == np.int32
        return result.view(Watched)


@pytest.mark.parametrize("make, x", [(mlp, ROWS), (small_cnn, PICTURES)])
def test_no_float_takes_part_between_the_first_byte_and_the_last_sum(make, x):
    network = quantize_model(make(), x)
    q = quantize(x, network.scale, network.zero_point)
    for layer in network.layers:
        rows = getattr(layer, "rows", layer)
        for name in ("weights", "bias", "m", "n"):
            if getattr(rows, name, None) is not None:
                assert getattr(rows, name).dtype.kind == "i"
                setattr(rows, name, getattr(rows, name).view(Watched))
        Watched.seen = []
        plain_out = np.asarray(layer(np.asarray(q)))
        q = layer(q.view(Watched))
        np.testing.assert_array_equal(q, plain_out)
        assert q.dtype == (np.int32 if layer is network.layers[-1] else np.int8)
        assert "f" not in Watched.seen
        assert not hasattr(layer, "weights") or "einsum" in Watched.seen


def test_einsum_is_where_the_products_are_taken(monkeypatch):
    """The whole network, called as anybody calls it: every product gets bytes and adds up in int32, and no `@` is used."""
    network, met, real = quantize_model(mlp(), ROWS), [], np.einsum

    def spy(subscripts, *arrays, **options):
        out = real(subscripts, *arrays, **options)
        met.append((*(a.dtype for a in arrays), options["dtype"], out.dtype))
        return out

    monkeypatch.setattr(np, "einsum", spy)
    monkeypatch.setattr(np, "matmul", None)
    monkeypatch.setattr(np, "dot", None)
    network(ROWS)
    assert len(met) >= 3 and set(met) == {(np.dtype("int8"), np.dtype("int8"), np.int32, np.dtype("int32"))}


@pytest.mark.parametrize("make, x", [(mlp, ROWS), (small_cnn, PICTURES)])
@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("method", ["minmax", "percentile", "mse"])
def test_integers_follow_the_floats(make, x, per_channel, method):
    model = make()
    scores, close = model(Tensor(x)).data, quantize_model(model, x, method, per_channel=per_channel)(x).data
    assert close.dtype == np.float32 and close.shape == scores.shape
    assert abs(close - scores).max() < (0.05 if method == "minmax" else 0.15) * abs(scores).max()


@pytest.mark.parametrize("make, x", [(mlp, ROWS), (small_cnn, PICTURES)])
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_what_training_feels_is_what_the_integers_do(make, x, bits):
    """They differ where a value lies halfway between two steps, and by the rounding of biases: a step or two of the last sums."""
    model = fold_batch_norm(make()).eval()
    ranges = calibrate(model, x)
    aware, integers = quantization_aware(model, ranges, bits).eval(), quantize_model(model, ranges=ranges, bits=bits)
    felt, done = aware(Tensor(x)).data, integers(x).data
    assert abs(felt - done).max() < 0.03 * abs(felt).max()


def test_where_the_relu_stands_does_not_matter_beside_pooling():
    rng = np.random.default_rng(0)
    conv, dense = Conv2D(2, 3, 3, rng=rng), Dense(3 * 9, 2, rng=rng)
    orders = ([conv, ReLU(), MaxPool2D(2), Flatten(), dense], [conv, MaxPool2D(2), ReLU(), Flatten(), dense])
    first, second = (quantize_model(Sequential(order), PICTURES)(PICTURES).data for order in orders)
    np.testing.assert_array_equal(first, second)


def test_without_a_relu_negative_numbers_pass():
    model = Sequential([Dense(6, 4, rng=0), Dense(4, 3, rng=1)])
    np.testing.assert_allclose(quantize_model(model, ROWS)(ROWS).data, model(Tensor(ROWS)).data, atol=0.03)


def test_integers_need_a_fraction_of_the_memory():
    """Weights, and the most that lives beside them, the integers' own copy of the input included."""
    model = create_mlp(784, [1024, 1024], 10, rng=0)
    x = Tensor(np.random.default_rng(0).random((512, 784), dtype=np.float32))
    integers = quantize_model(model, x.data[:50])

    arrays = [a for layer in integers.layers for a in (layer.weights, layer.bias, layer.m, layer.n) if a is not None]
    weights, weights_int8 = sum(p.data.nbytes for p in model.parameters()), sum(a.nbytes for a in arrays)
    with evaluating(model):
        flow, flow_int8 = peak_bytes(lambda: model(x)), peak_bytes(lambda: integers(x))
    assert weights_int8 + flow_int8 <= 0.3 * (weights + flow), (weights_int8, flow_int8, weights, flow)
    assert weights_int8 <= 0.26 * weights


# ---- training for few bits

def test_straight_through_is_g_inside_and_nothing_outside():
    x = np.linspace(-2, 2, 401)
    scale, zero_point = affine_parameters(-1.0, 0.5, 4)
    g = straight_through(np.ones_like(x), x, scale, zero_point, 4)
    inside = [-8 <= round(v / scale) + zero_point <= 7 for v in x.tolist()]
    assert np.array_equal(g, np.array(inside, float)) and 0 < g.sum() < len(g)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fake_quantize_keeps_dtypes_and_records(dtype):
    v = Variable(np.array([[0.1, -0.7], [3.0, 0.2]], dtype))
    out = fake_quantize(v, np.array([0.1, 0.5], np.float32), 0, 3)
    assert out.dtype == dtype and out.requires_grad
    (out * out).sum().backward()
    np.testing.assert_allclose(v.grad.data, [[0.2, -1.0], [0.0, 0.0]], atol=1e-6)  # 2 * out, but 3.0 was clipped
    slope, = gradients((fake_quantize(v, 0.25) ** 2).sum(), [v], create_graph=True)
    assert slope.shape == v.shape


@pytest.mark.parametrize("make, x", [(mlp, ROWS), (small_cnn, PICTURES)])
def test_training_with_fake_integers_trains_the_shared_parameters(make, x):
    model = fold_batch_norm(make())
    aware = quantization_aware(model, calibrate(model, x), bits=3)
    assert [id(p) for p in aware.parameters()] == [id(p) for p in model.parameters()]
    assert "QuantizationAware(Dense(" in repr(aware)
    before, y = model.state_dict(), np.arange(len(x)) % 3
    losses = [fit(aware, ArrayDataset(x, y), epochs=n, learning_rate=0.02) for n in (1, 40)]
    after = model.state_dict()
    assert losses[1] < losses[0] and all((before[name] != after[name]).any() for name in before)


# ---- teachers

@pytest.mark.parametrize("temperature, alpha", [(1.0, 1.0), (4.0, 0.9), (0.5, 0.3), (20.0, 0.0)])
def test_the_slope_of_distillation(temperature, alpha):
    z, t, y = RNG.standard_normal((4, 5)), RNG.standard_normal((4, 5)), np.array([0, 4, 2, 2])
    check_gradients(lambda z: distillation_loss(z, t, y, temperature, alpha), z)


def test_distillation_is_stable_and_the_teacher_is_a_constant():
    z, t = Variable([[1e4, -1e4, 0.0]]), Variable([[-1e4, 1e4, 0.0]])
    with np.errstate(over="raise", invalid="raise"):
        loss = distillation_loss(z, t, [0], 1.0, 1.0)
        loss.backward()
    assert loss.item() == pytest.approx(2e4) and np.isfinite(z.grad.data).all() and t.grad is None


def test_a_student_learns_a_class_that_it_never_saw(digits):
    """Hinton et al. (2015), section 3, on small digits."""
    teacher = create_mlp(64, [64, 32], 10, rng=0)
    fit(teacher, digits[0], epochs=15)
    before, training = teacher.state_dict(), digits[0]
    unseen = training.subset(np.flatnonzero(training.targets != 3))
    threes = digits[1].subset(np.flatnonzero(digits[1].targets == 3))
    read = {}
    for alpha in (0.0, 1.0):
        student = create_mlp(64, [32], 10, rng=0)
        distil(student, teacher, unseen, epochs=25, learning_rate=0.01, alpha=alpha)
        read[alpha] = accuracy_of(student, threes)
    assert read[0.0] == 0 and read[1.0] > 0.3
    assert teacher.training and all(np.array_equal(before[k], v) for k, v in teacher.state_dict().items())


# ---- low rank

@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (1, 3), (5, 5)])
def test_low_rank_loses_what_eckart_and_young_say(shape):
    layer = Dense(*shape, rng=0)
    s = np.linalg.svd(layer.weights.data.astype(np.float64), compute_uv=False)
    for rank in range(1, min(shape) + 1):
        first, second = low_rank(layer, rank)
        lost = layer.weights.data - first.weights.data @ second.weights.data
        assert (lost**2).sum() == pytest.approx((s[rank:] ** 2).sum(), abs=1e-5)
        assert np.linalg.norm(first.weights.data) == pytest.approx(np.linalg.norm(second.weights.data), rel=1e-4)
        kept = (s[:rank] ** 2).sum() / (s**2).sum()
        assert rank_for_energy(s, kept) == rank


def test_rank_for_energy_at_its_ends():
    assert rank_for_energy(np.array([2.0, 1.0, 0.0]), 1.0) == 2 and rank_for_energy(np.array([2.0, 1.0]), 0.0) == 1
    assert rank_for_energy(np.zeros(3), 0.9) == 1


def test_factorize_replaces_only_where_it_saves():
    model = Sequential([Conv2D(1, 2, 3, rng=0), BatchNorm(2), Flatten(), Dense(72, 40, rng=0), ReLU(), Dense(40, 3, rng=1)])
    u, s, vt = np.linalg.svd(model[3].weights.data, full_matrices=False)
    model[3].weights.data[...] = (u[:, :2] * s[:2]) @ vt[:2]  # rank 2
    thin = factorize(model, 0.999)
    assert [layer.output_size for layer in thin if isinstance(layer, Dense)] == [2, 40, 3]
    x = RNG.random((3, 1, 8, 8), dtype=np.float32)
    np.testing.assert_allclose(thin.eval()(Tensor(x)).data, model.eval()(Tensor(x)).data, atol=1e-3)


# ---- files

@given(st.lists(st.integers(-2, 2), max_size=40), st.sampled_from(["int8", "float32", "float64", "int32"]))
def test_sparse_arrays_come_back(entries, dtype):
    array = np.array(entries, dtype)
    bits, values = pack_sparse(array)
    assert bits.nbytes == -(-len(array) // 8) and np.count_nonzero(array) == len(values)
    back = unpack_sparse(bits, values, array.shape)
    assert back.dtype == array.dtype and np.array_equal(back, array)


def everything():
    rng = np.random.default_rng(0)
    rows = [Dense(6, 8, rng=rng), LayerNorm(8), GELU(), Dropout(0.5, rng=rng), Sequential([Dense(8, 4, use_bias=False, rng=rng), Tanh()])]
    pictures = [Conv2D(2, 3, (2, 3), stride=2, padding=1, rng=rng), BatchNorm(3), AvgPool2D(2), Flatten(), Dense(12, 2, rng=rng)]
    pruned = mlp()
    prune(pruned, 0.8)
    return [
        (Sequential(rows).eval(), ROWS), (Sequential(pictures).eval(), PICTURES), (small_cnn(), PICTURES), (pruned, ROWS),
        (quantize_model(mlp(), ROWS), ROWS), (quantize_model(small_cnn(), PICTURES, bits=2), PICTURES),
        (factorize(create_mlp(6, [40], 3, rng=0), 0.5), ROWS),
    ]  # fmt: skip


@pytest.mark.parametrize("model, x", everything())
def test_a_loaded_network_gives_the_same_outputs_to_the_last_bit(model, x, tmp_path):
    size = save_compressed(model, tmp_path / "a file without ending")
    assert size == (tmp_path / "a file without ending").stat().st_size and os.listdir(tmp_path) == ["a file without ending"]
    back = load_compressed(tmp_path / "a file without ending")
    assert type(back) is type(model)
    np.testing.assert_array_equal(back(Tensor(x)).data, model(Tensor(x)).data)


def test_a_loaded_network_can_be_trained_further(tmp_path):
    model = small_cnn().train()
    save_compressed(model, tmp_path / "f")
    back = load_compressed(tmp_path / "f")
    fit(back, ArrayDataset(PICTURES, np.arange(6) % 3), epochs=2)
    assert back.state_dict().keys() == model.state_dict().keys() and back.training


def test_files_are_as_short_as_what_is_in_them(tmp_path):
    model = create_mlp(256, [256], 10, rng=0)
    save(model, tmp_path / "whole")
    whole, small = (tmp_path / "whole").stat().st_size, {}
    for sparsity in (0.0, 0.5, 0.9):
        prune(model, sparsity)
        small[sparsity] = save_compressed(model, tmp_path / "f")
    assert small[0.0] <= whole and small[0.5] < 0.55 * whole and small[0.9] < 0.16 * whole
    assert save_compressed(quantize_model(model, np.eye(256, dtype=np.float32)), tmp_path / "f") < 0.09 * whole
    model = create_mlp(256, [256], 10, rng=0)
    assert save_compressed(quantize_model(model, np.eye(256, dtype=np.float32)), tmp_path / "f") < 0.3 * whole


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    save_compressed(mlp(), tmp_path / "f")
    old = (tmp_path / "f").read_bytes()

    def full(*arguments, **arrays):
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="no space"):
        save_compressed(create_mlp(6, [2], 3), tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == old and os.listdir(tmp_path) == ["f"]


class Evil:
    def __reduce__(self):
        return (os.mkdir, ("executed",))


def with_text(told, **arrays):
    """What a stranger's file might hold."""
    return lambda file: np.savez(file, text=np.frombuffer(json.dumps(told).encode(), np.uint8), **arrays)


def network(parts):
    return {"format": compression.FORMAT, "network": parts}


FOREIGN = {
    "text": lambda file: file.write(b"not a network"),
    "empty": lambda file: None,
    "pickle": lambda file: pickle.dump(Evil(), file),
    "objects": lambda file: np.savez(file, text=np.array([Evil()], dtype=object)),
    "other zip": lambda file: zipfile.ZipFile(file, "w").writestr("a.txt", "x"),
    "weights alone": lambda file: np.savez(file, weights=np.ones(2)),
    "other format": with_text({"format": "something"}),
    "no object": with_text([1, 2]),
    "unknown kind": with_text(network({"kind": "Evil", "parts": {}})),
    "a method": with_text(network({"kind": "Dense", "parts": {"forward": 3}})),
    "a private method": with_text(network({"kind": "Dense", "parts": {"__call__": 3}})),
    "no such array": with_text(network({"array": "float32", "shape": [2], "values": [0, 2]})),
    "outside": with_text(network({"array": "float32", "shape": [9], "values": [0, 9]}), float32=np.ones(3, np.float32)),
    "backwards": with_text(network({"array": "float32", "shape": [0], "values": [2, 1]}), float32=np.ones(3, np.float32)),
    "other shape": with_text(network({"array": "float32", "shape": [2], "values": [0, 3]}), float32=np.ones(3, np.float32)),
    "too many bits": with_text(network({"array": "int8", "shape": [8], "values": [0, 1], "bits": [0, 1]}),
                               int8=np.ones(1, np.int8), uint8=np.array([255], np.uint8)),
    "deep": lambda file: np.savez(file, text=np.frombuffer((b'{"format":"%s","network":' % compression.FORMAT.encode()) + b"[" * 100_000, np.uint8)),
    "not a network": with_text(network(3)),
}  # fmt: skip


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_files_are_refused_and_nothing_is_executed(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open("f.npz", "wb") as file:
        FOREIGN[kind](file)
    with pytest.raises(ValueError, match="is damaged, or no file that save_compressed wrote"):
        load_compressed("f.npz")
    assert os.listdir() == ["f.npz"]


def test_damage_anywhere_is_noticed(tmp_path):
    """A byte turned in the middle of what is stored, or the end cut off."""
    save_compressed(mlp(), tmp_path / "f")
    whole = (tmp_path / "f").read_bytes()
    with zipfile.ZipFile(tmp_path / "f") as archive:
        inside = [i.header_offset + 200 for i in archive.infolist()]
    for place in inside:
        (tmp_path / "f").write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        with pytest.raises(ValueError, match="is damaged"):
            load_compressed(tmp_path / "f")
    for end in (0, 10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "f").write_bytes(whole[:end])
        with pytest.raises(ValueError, match="is damaged"):
            load_compressed(tmp_path / "f")


# ---- the whole way

def test_every_technique_reads_digits(digits, teacher):
    training, test = digits
    base = assess(teacher, test)
    assert base["accuracy"] > 0.94
    found = {name: assess(network, test) for name, network in compressed(teacher, training, epochs=4)}
    whole = found["float32"]
    for name, row in found.items():
        assert row["bytes"] < whole["bytes"] or name == "float32", name
        least = {"90% zeros, fine-tuned": 0.5, "2 bits, trained for them": 0.85}.get(name, 0.9)
        assert row["accuracy"] >= least, (name, row)
        assert row["one"] > 0 and "times smaller" in table_row(name, row, whole)
    for name in ("int8, one scale a matrix", "int8, a scale for each unit"):
        assert abs(found[name]["accuracy"] - whole["accuracy"]) <= 0.011
        assert found[name]["bytes"] < 0.36 * whole["bytes"]
    assert found["half the units, 60% zeros, int8"]["bytes"] < 0.17 * whole["bytes"]


def test_a_convolutional_network_reads_digits_in_integers(digits):
    training, test = (with_channels(part) for part in digits)
    rng = np.random.default_rng(0)
    model = Sequential([
        Conv2D(1, 8, 3, padding=1, rng=rng), BatchNorm(8), ReLU(), MaxPool2D(2), Flatten(), Dense(128, 10, rng=rng),
    ])  # fmt: skip
    fit(model, training, epochs=6)
    integers = quantize_model(model, training.features[:300])
    floats, ours = accuracy_of(model, test), accuracy_of(integers, test)
    assert floats > 0.9 and abs(floats - ours) <= 0.011


def test_sizes_are_drawn():
    figure = pytest.importorskip("matplotlib.figure").Figure()
    rows = {"float32": {"bytes": 100_000, "accuracy": 0.98}, "int8": {"bytes": 26_000, "accuracy": 1.0}}
    ax = compression.plot_sizes(rows, figure.subplots())
    assert [(line.get_xdata()[0], round(line.get_ydata()[0], 9)) for line in ax.lines] == [(100.0, 2.0), (26.0, 0.1)]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["1  float32", "2  int8"]


# ---- PyTorch

def test_equals_pytorch():
    torch = pytest.importorskip("torch")
    x = RNG.standard_normal((30, 20)).astype(np.float32)
    for low, high in ((-2.0, 1.5), (0.0, 3.0), (-0.1, 5.0)):
        scale, zero_point = affine_parameters(low, high)
        v, t = Variable(x), torch.tensor(x, requires_grad=True)
        ours, theirs = fake_quantize(v, scale, zero_point), torch.fake_quantize_per_tensor_affine(t, scale, zero_point, -128, 127)
        steps = abs(ours.data - theirs.detach().numpy()) / scale  # they multiply by 1 / scale, which rounds otherwise at halves
        assert steps.max() < 1.001 and (steps > 0.001).mean() < 0.01
        ours.sum().backward()
        theirs.sum().backward()
        np.testing.assert_array_equal(v.grad.data, t.grad.numpy())
    for bits in (8, 4):
        scales, (low, high) = weight_scales(x, bits), compression.integer_range(bits)
        zeros = torch.zeros(20, dtype=torch.int32)
        theirs = torch.fake_quantize_per_channel_affine(torch.tensor(x), torch.tensor(scales), zeros, 1, low, high)
        steps = abs(dequantize(quantize(x, scales, bits=bits), scales) - theirs.numpy()) / scales
        assert steps.max() < 1.001 and (steps > 0.001).mean() < 0.01


def test_equals_pytorch_s_pruning_and_divergence():
    torch = pytest.importorskip("torch")
    pytest.importorskip("torch.nn.utils.prune")
    x = RNG.standard_normal((30, 20)).astype(np.float32)
    layer = torch.nn.Linear(20, 30)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(x))
    torch.nn.utils.prune.l1_unstructured(layer, "weight", amount=0.7)
    np.testing.assert_array_equal(magnitude_mask(x, 0.7), layer.weight_mask.numpy() != 0)
    t, y = RNG.standard_normal((30, 20)).astype(np.float32), RNG.integers(0, 20, 30)
    v, z = Variable(x), torch.tensor(x, requires_grad=True)
    distillation_loss(v, t, y, 3.0, 0.7).backward()
    soft = torch.nn.functional.kl_div(torch.log_softmax(z / 3, 1), torch.softmax(torch.tensor(t) / 3, 1), reduction="batchmean")
    (0.7 * 9 * soft + 0.3 * torch.nn.functional.cross_entropy(z, torch.tensor(y))).backward()
    np.testing.assert_allclose(v.grad.data, z.grad.numpy(), atol=1e-6)


# ---- bad input

NAN = np.array([[np.nan, 1.0]])
REFUSED = [
    (lambda: magnitude_mask(np.ones(3), -0.1), ValueError, "sparsity is -0.1, but it has to be a number from 0 to 1"),
    (lambda: magnitude_mask(np.ones(3), "half"), ValueError, "sparsity is 'half'"),
    (lambda: magnitude_mask(np.ones(3), True), ValueError, "sparsity is True"),
    (lambda: magnitude_mask(np.ones(3), float("nan")), ValueError, "sparsity is nan"),
    (lambda: prune(mlp(), 90), ValueError, "90% is 0.9"),
    (lambda: prune(mlp(), 100), ValueError, "100% is 1."),
    (lambda: prune(mlp(), 1000), ValueError, "such as 0.9 or 0.01."),
    (lambda: prune(ROWS, 0.5), TypeError, "is no network"),
    (lambda: prune(Sequential([ReLU()]), 0.5), ValueError, "no matrix of weights"),
    (lambda: MaskedOptimizer(SGD([Parameter([1.0])]), [1]), TypeError, "is no pair (parameter, mask)"),
    (lambda: shrink(mlp(), 0.0), ValueError, "leaves none of 8 units"),
    (lambda: shrink(mlp(), 1.5), ValueError, "keep is 1.5"),
    (lambda: shrink(small_cnn(), 0.1), ValueError, "Keep at least 0.25"),
    (lambda: shrink(Sequential([LayerNorm(3)]), 0.5), TypeError, "layer 0 is LayerNorm(3). Expected one of Dense, Conv2D"),
    (lambda: shrink(Sequential([ReLU()]), 0.5), ValueError, "no layer with weights"),
    (lambda: shrink(Sequential([Conv2D(2, 2, 3, groups=2)]), 0.5), TypeError, "without groups"),
    (lambda: fold_batch_norm(Sequential([BatchNorm(2), Dense(2, 2)])), TypeError, "does not follow a Dense or a Conv2D"),
    (lambda: keep_units(Dense(2, 3), Dense(3, 1), [0, 0]), ValueError, "each at most once"),
    (lambda: keep_units(Dense(2, 3), Dense(3, 1), [0.5]), ValueError, "numbers of at least one unit"),
    (lambda: keep_units(Dense(2, 3), Dense(3, 1), [-1]), ValueError, "numbered 0 to 2"),
    (lambda: quantize(ROWS, 0.1, bits=9), ValueError, "9 bits were asked for. Expected a whole number from 2 to 8"),
    (lambda: quantize(ROWS, 0.1, bits=4.0), ValueError, "4.0 bits"),
    (lambda: affine_parameters(0, 0), ValueError, "the scale would be 0"),
    (lambda: affine_parameters(0, math.inf), ValueError, "two finite numbers"),
    (lambda: weight_scales(np.zeros((2, 2))), ValueError, "all weights are 0"),
    (lambda: weight_scales(NAN), ValueError, "NaN"),
    (lambda: mse_range([]), ValueError, "holds no samples"),
    (lambda: percentile_range(NAN), ValueError, "percentile_range: entry"),
    (lambda: percentile_range(ROWS, percent=10), ValueError, "percent is 10"),
    (lambda: calibrate(mlp(), ROWS, "guess"), ValueError, "expected one of minmax, percentile, mse"),
    (lambda: calibrate(mlp(), ROWS[:0]), ValueError, "holds no samples"),
    (lambda: calibrate(mlp(), np.full((2, 6), np.nan)), ValueError, "calibrate: entry [0, 0] is nan"),
    (lambda: quantize_model(mlp()), ValueError, "nothing to calibrate with"),
    (lambda: quantize_model(mlp(), ROWS[:0]), ValueError, "holds no samples"),
    (lambda: quantize_model(mlp(), np.zeros((5, 6), np.float32)), ValueError, "the scale would be 0"),
    (lambda: quantize_model(mlp(), ROWS, bits=16), ValueError, "16 bits"),
    (lambda: quantize_model(mlp(), ranges=[(0, 1)]), ValueError, "there are 1 for 3 layers"),
    (lambda: quantize_model(create_mlp(6, [4], 3, activation=Tanh), ROWS), TypeError, "layer 1 is Tanh"),
    (lambda: quantize_model(create_mlp(6, [4], 3, output_activation=ReLU), ROWS), TypeError, "has to end with a Dense"),
    (lambda: quantize_model(Sequential([Conv2D(2, 2, 3), AvgPool2D(2), Flatten(), Dense(18, 2)]), PICTURES), TypeError, "AvgPool2D"),
    (lambda: quantize_model(Dense(6, 2), ROWS), TypeError, "is no Sequential"),
    (lambda: quantize_model(mlp(), ROWS)(np.full((1, 6), np.nan)), ValueError, "no integer stands for these"),
    (lambda: quantize_model(mlp(), ROWS)(ROWS[0]), ValueError, "Expected a batch of samples"),
    (lambda: quantize_model(mlp(), ROWS)(ROWS[:0]), ValueError, "at least one"),
    (lambda: quantize_model(mlp(), ROWS)(ROWS[:, :5]), ValueError, "rows of 5 features meet weights for 6"),
    (lambda: integer_product(ROWS, ROWS), TypeError, "float32, expected a matrix of int8"),
    (lambda: quantization_aware(small_cnn(), [(0, 1)] * 4), TypeError, "BatchNorm"),
    (lambda: quantization_aware(mlp(), [(0, 1)] * 3, bits=1), ValueError, "1 bits"),
    (lambda: distillation_loss(ROWS, ROWS, [0] * 20, temperature=0), ValueError, "temperature is 0, but it has to be a number above 0"),
    (lambda: distillation_loss(ROWS, ROWS, [0] * 20, temperature=-1), ValueError, "temperature is -1"),
    (lambda: distillation_loss(ROWS, ROWS, [0] * 20, temperature=math.inf), ValueError, "temperature is inf"),
    (lambda: distillation_loss(ROWS, ROWS, [0] * 20, alpha=-1), ValueError, "alpha is -1"),
    (lambda: distillation_loss(ROWS, ROWS[:3], [0] * 20), ValueError, "the teacher's (3, 6)"),
    (lambda: low_rank(Dense(4, 3), 0), ValueError, "from 1 to 3"),
    (lambda: low_rank(Dense(4, 3), 4), ValueError, "from 1 to 3"),
    (lambda: low_rank(Dense(4, 3), 2.0), ValueError, "rank is 2.0"),
    (lambda: factorize(mlp(), 1.1), ValueError, "energy is 1.1"),
    (lambda: save_compressed(Sequential([np.tanh]), "f"), TypeError, "cannot be described"),
    (lambda: save_compressed(mlp(), 3), TypeError, "is no name of a file"),
    (lambda: save_compressed(mlp(), "no such folder/f"), FileNotFoundError, "no directory"),
    (lambda: load_compressed("no such file"), FileNotFoundError, "no file"),
    (lambda: load_compressed("."), IsADirectoryError, "is a directory"),
]  # fmt: skip


@pytest.mark.parametrize("call, error, words", REFUSED, ids=[words for _, _, words in REFUSED])
def test_bad_input_is_told_in_words(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)
