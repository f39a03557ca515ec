"""Convolutional networks: what the chapter's own tests leave out."""

import copy

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tinytorch.core.activations import ReLU
from tinytorch.core.autograd import Variable, check_gradients, grad, no_grad
from tinytorch.core.cnn import (
    AvgPool2D,
    AvgPool2d,
    BatchNorm,
    BatchNorm2d,
    Conv2D,
    Conv2d,
    Dropout2D,
    Flatten,
    MaxPool2D,
    MaxPool2d,
    avg_pool2d,
    batch_norm,
    batch_norm_composed,
    channel_statistics,
    conv2d,
    conv2d_composed,
    conv2d_naive,
    fold,
    lenet,
    max_pool2d,
    output_length,
    random_rotation,
    receptive_field,
    rotated,
    spread_largest,
    take_largest,
    unfold,
    windows,
    with_channels,
)
from tinytorch.core.dataloader import ArrayDataset, DataLoader, Transformed, digits_split, random_shift
from tinytorch.core.layers import Dense
from tinytorch.core.networks import Sequential, count_parameters, load, save, summary
from tinytorch.core.optimizers import AdamW, find_learning_rate
from tinytorch.core.tensor import Tensor
from tinytorch.core.training import Accuracy, CrossEntropyLoss, Trainer, dead_units

small = st.integers(1, 3)
settings = st.fixed_dictionaries({
    "kernel": st.tuples(small, small), "stride": st.tuples(small, small), "dilation": st.tuples(small, small),
    "padding": st.tuples(st.integers(0, 2), st.integers(0, 2)), "size": st.tuples(st.integers(1, 7), st.integers(1, 7)),
    "groups": small, "inside": st.integers(1, 2), "outside": st.integers(1, 2), "n": st.integers(1, 3),
})  # fmt: skip


def arrays(s, seed=0):
    """Pictures, kernels and bias for drawn settings, and the settings of the convolution."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((s["n"], s["groups"] * s["inside"], *s["size"]))
    w = rng.standard_normal((s["groups"] * s["outside"], s["inside"], *s["kernel"]))
    how = {name: s[name] for name in ("stride", "padding", "dilation", "groups")}
    for axis in (0, 1):
        span = s["dilation"][axis] * (s["kernel"][axis] - 1) + 1
        assume(s["size"][axis] + 2 * s["padding"][axis] >= span)
    return x, w, rng.standard_normal(len(w)), how


def by_loops(x, w, b, stride, padding, dilation, groups):
    """A convolution as its formula says it, entry by entry."""
    (ph, pw), (sh, sw), (dh, dw) = padding, stride, dilation
    x = np.pad(x, [(0, 0), (0, 0), (ph, ph), (pw, pw)])
    per_group, kernels = x.shape[1] // groups, len(w) // groups
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, w.shape[2:])]
    oh, ow = ((size - span) // s + 1 for size, span, s in zip(x.shape[2:], spans, stride))
    out = np.empty((len(x), len(w), oh, ow))
    for n, o, i, j in np.ndindex(*out.shape):
        first = o // kernels * per_group
        seen = x[n, first : first + per_group, i * sh : i * sh + spans[0] : dh, j * sw : j * sw + spans[1] : dw]
        out[n, o, i, j] = (seen * w[o]).sum() + b[o]
    return out


@given(settings)
def test_a_convolution_is_its_formula(s):
    x, w, b, how = arrays(s)
    expected = by_loops(x, w, b, **how)
    np.testing.assert_allclose(conv2d(x, w, b, **how), expected, atol=1e-12)
    np.testing.assert_allclose(conv2d_composed(*map(Tensor, (x, w, b)), **how).numpy(), expected, atol=1e-12)


@given(settings)
def test_fold_is_the_transpose_of_unfold(s):
    """The product of unfold(x) with columns is that of x with fold(columns)."""
    x, w, _, how = arrays(s)
    how.pop("groups")
    columns = unfold(x, w.shape[2:], **how)
    other = np.random.default_rng(1).standard_normal(columns.shape)
    assert (columns * other).sum() == pytest.approx((x * fold(other, x.shape, w.shape[2:], **how)).sum(), abs=1e-9)


@given(settings)
def test_gradients_of_the_fused_operation_are_those_of_the_composition(s):
    found = []
    for f in (conv2d, conv2d_composed):
        x, w, b, how = arrays(s)
        inputs = [Variable(a) for a in (x, w, b)]
        out = f(*inputs, **how)
        (out * out * out).sum().backward()
        found.append([v.grad.numpy() for v in inputs])
    for fused, composed in zip(*found):
        np.testing.assert_allclose(fused, composed, atol=1e-9)


@given(st.tuples(small, small), st.tuples(small, small), st.integers(0, 1), st.integers(0, 10_000))
def test_pooling_takes_the_first_largest_and_gives_the_gradient_to_it(kernel, stride, padding, seed):
    x = np.random.default_rng(seed).integers(0, 3, (2, 2, 5, 6)).astype(np.float64)  # many ties
    assume(all(2 * padding <= k for k in kernel))
    v = Variable(x)
    out = max_pool2d(v, kernel, stride, padding)
    g = np.random.default_rng(1).standard_normal(out.shape)
    out.backward(g)
    framed = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)], constant_values=-np.inf)
    slope = np.zeros_like(framed)
    for n, c, i, j in np.ndindex(*out.shape):
        seen = framed[n, c, i * stride[0] : i * stride[0] + kernel[0], j * stride[1] : j * stride[1] + kernel[1]]
        assert out.data[n, c, i, j] == seen.max()
        row, column = divmod(int(seen.argmax()), kernel[1])
        slope[n, c, i * stride[0] + row, j * stride[1] + column] += g[n, c, i, j]
    np.testing.assert_allclose(v.grad.numpy(), slope[:, :, padding : 5 + padding, padding : 6 + padding])


def away_from_ties(shape, seed=0):
    count = int(np.prod(shape))
    return (np.random.default_rng(seed).permutation(count).reshape(shape) - count / 2) / count


SMOOTH = {
    "conv2d": lambda x: conv2d(x, np.linspace(-1, 1, 24).reshape(4, 1, 2, 3), np.zeros(4), (1, 2), 1, 1, groups=2),
    "unfold": lambda x: unfold(x, 2, 2, 1),
    "fold": lambda x: fold(x.reshape(2, 8, 5), (2, 2, 2, 6), (2, 2)),
    "max_pool2d": lambda x: max_pool2d(x, 2, 1, 1),
    "spread_largest": lambda x: spread_largest(x, np.arange(80).reshape(2, 2, 4, 5) % 4, (2, 2, 5, 6), 2, 1),
    "take_largest": lambda x: take_largest(x, np.arange(48).reshape(2, 2, 3, 4) % 4, 2, 1),
    "avg_pool2d": lambda x: avg_pool2d(x, 2, 1, 1),
    "batch_norm": lambda x: batch_norm(x, np.array([0.5, 2.0]), np.ones(2), *channel_statistics(x.detach().numpy())),
    "batch_norm in use": BatchNorm(2).eval(),
}  # fmt: skip


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_and_their_gradients_match_measured_slopes(name):
    f, x = SMOOTH[name], away_from_ties((2, 2, 4, 5))
    check_gradients(lambda x: (f(x) ** 3).sum(), x, entries=40)
    check_gradients(lambda x: (grad(lambda x: (f(x) ** 3).sum())(x) ** 2).sum(), x, entries=20, rtol=1e-4, atol=1e-5)


def test_gradients_of_gradients_with_respect_to_kernels_and_gain():
    rng = np.random.default_rng(0)
    x, w, b = rng.standard_normal((2, 2, 4, 4)), rng.standard_normal((4, 1, 3, 3)), rng.standard_normal(4)

    def network(w, b):
        out = conv2d(Tensor(x), w, b, padding=1, groups=2)
        return (batch_norm_composed(out, b, w[:, 0, 0, 0]) ** 3).sum()

    check_gradients(lambda w, b: sum((g * g).sum() for g in grad(network, (0, 1))(w, b)), w, b, entries=20, rtol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_stay(dtype):
    x = np.ones((2, 2, 4, 4), dtype)
    for f in (lambda x: conv2d(x, np.ones((2, 2, 1, 1), dtype), np.zeros(2, dtype)), lambda x: max_pool2d(x, 2),
              lambda x: avg_pool2d(x, 2), lambda x: unfold(x, 2), Dropout2D(0.5, rng=0)):
        v = Variable(x)
        out = f(v)
        assert out.dtype == dtype
        out.sum().backward()
        assert v.grad.dtype == dtype and v.grad.shape == x.shape
    layers = Sequential([Conv2D(2, 3, 3, padding=1), BatchNorm(3), ReLU(), MaxPool2D(2), Flatten(), Dense(12, 2)])
    v = Variable(x)
    layers(v).sum().backward()
    assert v.grad.dtype == dtype and layers[1].running_mean.dtype == np.float32
    assert all(p.grad.dtype == np.float32 and p.grad.shape == p.shape for p in layers.parameters())
    for channels in (x, x[:, :, 0, 0]):
        assert BatchNorm(2).eval()(channels).dtype == dtype


def test_views_are_taken_and_inputs_left_alone():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 6, 2, 3)).transpose(3, 2, 0, 1)[:, :, ::-1]
    w, b = rng.standard_normal((3, 2, 3, 2))[:, :, ::-1], rng.standard_normal(3)
    before = x.copy(), w.copy(), b.copy()
    out = conv2d(x, w, b, padding=1)
    np.testing.assert_allclose(out, conv2d(*before, padding=1))
    v, same = Variable(before[0]), Variable(before[0])
    max_pool2d(v, 2).sum().backward()
    max_pool2d(same * 1.0, 2).sum().backward()
    np.testing.assert_array_equal(v.grad.numpy(), same.grad.numpy())
    assert all(np.array_equal(a, c) for a, c in zip((x, w, b), before))


def test_windows_are_read_only_and_stay_inside():
    x = np.zeros((1, 1, 4, 4))
    with pytest.raises(ValueError, match="read-only"):
        windows(x, (2, 2))[...] = 1
    with pytest.raises(ValueError, match="does not fit"):
        windows(x, (5, 1))


@pytest.mark.parametrize(
    "kernel, stride, dilation", [((2, 2), (1, 1), (1, 1)), ((1, 3), (2, 1), (1, 1)), ((2, 2), (1, 2), (2, 1))]
)
def test_windows_are_those_of_numpy(kernel, stride, dilation):
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 7))
    span = [d * (k - 1) + 1 for d, k in zip(dilation, kernel)]
    theirs = np.lib.stride_tricks.sliding_window_view(x, span, axis=(2, 3))
    theirs = theirs[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]].transpose(0, 1, 4, 5, 2, 3)
    np.testing.assert_array_equal(windows(x, kernel, stride, dilation), theirs)


def test_naive_and_fused_agree():
    rng = np.random.default_rng(0)
    image, kernel = rng.standard_normal((7, 9)), rng.standard_normal((3, 4))
    fused = conv2d(image[None, None], kernel[None, None], np.zeros(1))[0, 0]
    np.testing.assert_allclose(fused, conv2d_naive(image, kernel))


def test_a_moved_picture_gives_moved_feature_maps():
    rng = np.random.default_rng(0)
    x = np.pad(rng.standard_normal((1, 2, 6, 6)), [(0, 0), (0, 0), (4, 4), (4, 4)]).astype(np.float32)
    layer = Conv2D(2, 5, 3, rng=0)
    moved = layer(np.roll(x, (2, 1), axis=(2, 3))).data
    np.testing.assert_allclose(moved, np.roll(layer(x).data, (2, 1), axis=(2, 3)), atol=1e-6)


# Layers among the others


def test_layers_in_a_network_with_everything_around_it(tmp_path):
    training, test = map(with_channels, digits_split())
    training = training.subset(range(300))
    rng = np.random.default_rng(0)

    def network():
        return Sequential([
            Conv2D(1, 8, 3, padding=1, use_bias=False, rng=rng), BatchNorm(8), ReLU(), MaxPool2D(2),
            Dropout2D(0.1, rng=0), Conv2D(8, 8, 3, groups=2, rng=rng), ReLU(), AvgPool2D(2),
            Flatten(), Dense(8, 10, rng=rng),
        ])  # fmt: skip

    model, drawing = network(), np.random.default_rng(0)
    trainer = Trainer(model, AdamW(model.parameters(), 0.01), CrossEntropyLoss(), [Accuracy()])
    moving = Transformed(training, lambda pictures: random_rotation(random_shift(pictures, 1, drawing), 5, drawing))
    history = trainer.fit(DataLoader(moving, batch_size=50, seed=0), epochs=12, quiet=True)
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    table = summary(model, (1, 8, 8), batch_size=3)
    assert "Conv2D(1, 8, kernel_size=3, padding=1, use_bias=False)" in table and "(3, 8, 4, 4)" in table
    assert count_parameters(model) == 72 + 16 + 8 * 4 * 9 + 8 + 90
    save(model, tmp_path / "model.npz")
    other = load(network(), tmp_path / "model.npz")
    again = Trainer(other, AdamW(other.parameters()), CrossEntropyLoss())
    np.testing.assert_array_equal(trainer.predict(test.features).numpy(), again.predict(test.features).numpy())
    assert sorted(model.state_dict())[:2] == ["layers.0.weights", "layers.1.bias"]
    assert {"layers.1.running_mean", "layers.1.running_var"} <= set(model.state_dict())
    assert [0 <= share <= 1 for share in dead_units(model, test.features[:50])] == [True, True]


def test_a_resumed_run_goes_on_where_it_was_running_statistics_included(tmp_path):
    training = with_channels(digits_split()[0]).subset(range(200))

    def run(epochs, resume):
        before = [Conv2D(1, 4, 3, rng=0), BatchNorm(4), Dropout2D(0.2, rng=1)]
        model = Sequential([*before, Flatten(), Dense(144, 10, rng=0)])
        trainer = Trainer(model, AdamW(model.parameters(), 0.01), CrossEntropyLoss())
        loader = DataLoader(training, batch_size=40, seed=0)
        trainer.fit(loader, epochs=epochs, checkpoint=tmp_path / f"{resume}.npz", resume=resume, quiet=True)
        return model.state_dict()

    whole = run(4, False)
    run(2, True)
    halves = run(4, True)
    for name, array in whole.items():
        np.testing.assert_array_equal(array, halves[name])


def test_dead_channels_are_counted():
    """A unit of a feature map is its channel, wherever it looks."""
    layer = Conv2D(1, 4, 3, rng=0)
    layer.bias.data[:] = [-1e6, 1e6, 1e6, 1e6]
    assert dead_units(Sequential([layer, ReLU()]), np.ones((2, 1, 6, 5), np.float32)) == [0.25]


def test_batch_norm_in_two_modes():
    rng = np.random.default_rng(0)
    x = (3 + 2 * rng.standard_normal((64, 3, 5, 5))).astype(np.float32)
    norm = BatchNorm(3, momentum=0.2)
    for _ in range(60):
        norm(x)
    np.testing.assert_allclose(norm.running_mean.data, x.mean(axis=(0, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(norm.running_var.data, x.var(axis=(0, 2, 3), ddof=1), rtol=1e-4)
    norm.eval()
    before = norm.state_dict()
    one = norm(x[:1]).data
    np.testing.assert_allclose(one, norm(x).data[:1], rtol=1e-5)
    assert all(np.array_equal(before[name], array) for name, array in norm.state_dict().items())
    copied = copy.deepcopy(norm)
    np.testing.assert_array_equal(copied(x[:1]).data, one)
    with no_grad():
        assert not norm(x).requires_grad


def test_batch_norm_of_equal_entries_is_its_bias():
    norm = BatchNorm(2)
    norm.bias.data[:] = [1.0, -1.0]
    out = norm(np.full((4, 2, 3, 3), 7.0, np.float32)).data
    np.testing.assert_allclose(out, np.broadcast_to(np.array([1.0, -1.0])[:, None, None], out.shape), atol=1e-4)


def test_rotation():
    rng = np.random.default_rng(0)
    x = rng.random((6, 2, 9, 7)).astype(np.float32)
    np.testing.assert_allclose(random_rotation(x, 0, 0), x, atol=1e-6)
    assert np.array_equal(random_rotation(x, 30, 5), random_rotation(x, 30, 5))
    assert random_rotation(x, 30, 5).dtype == np.float32
    assert not np.array_equal(random_rotation(x, 30, 5), random_rotation(x, 30, 6))
    np.testing.assert_allclose(random_rotation(x[:, 0], 30, 5), random_rotation(x, 30, 5)[:, 0], atol=1e-6)

    square = rng.random((3, 1, 5, 5))
    np.testing.assert_allclose(rotated(square, 90), np.rot90(square, axes=(2, 3)), atol=1e-9)
    np.testing.assert_allclose(rotated(square, 180), square[..., ::-1, ::-1], atol=1e-9)
    np.testing.assert_allclose(rotated(square, [0, -90, 180])[1], np.rot90(square[1], -1, axes=(1, 2)), atol=1e-9)
    drawn = np.random.default_rng(5).uniform(-30, 30, 6)
    assert np.array_equal(random_rotation(x, 30, 5), rotated(x, drawn))


def test_a_rotation_invents_no_ink():
    images = digits_split()[1].images
    for degrees in (3, 20, 45, 133):
        turned = rotated(images, degrees)
        assert turned.min() >= 0 and turned.max() <= images.max() + 1e-6 and turned.shape == images.shape
        assert turned.sum() < 1.02 * images.sum()


def test_aliases_and_reprs():
    assert (Conv2d, MaxPool2d, AvgPool2d, BatchNorm2d) == (Conv2D, MaxPool2D, AvgPool2D, BatchNorm)
    pools = [MaxPool2D(2), MaxPool2D(3, 2, 1), AvgPool2D((2, 1))]
    told = [Conv2D(1, 2, (3, 5)), *pools, BatchNorm(4), Flatten(), Dropout2D(0.3)]
    assert [repr(layer) for layer in told] == [
        "Conv2D(1, 2, kernel_size=(3, 5))", "MaxPool2D(2)", "MaxPool2D(3, 2, padding=1)", "AvgPool2D((2, 1))",
        "BatchNorm(4)", "Flatten()", "Dropout2D(rate=0.3)",
    ]  # fmt: skip
    assert lenet(rng=0)(np.zeros((2, 1, 28, 28), np.float32)).shape == (2, 10) and count_parameters(lenet()) == 61_706


def test_flatten_keeps_samples():
    assert Flatten()(np.zeros((3, 2, 4, 5))).shape == (3, 40) and Flatten()(np.zeros((0, 2, 4))).shape == (0, 8)
    assert Flatten()(np.zeros(3)).shape == (3, 1)


def test_with_channels_shares_the_pixels():
    digits = digits_split()[1]
    pictures = with_channels(digits)
    assert pictures.features.shape == (360, 1, 8, 8) and np.shares_memory(pictures.features, digits.features)
    assert with_channels(pictures).features.shape == (360, 1, 8, 8) and pictures.images.shape == (360, 8, 8)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 2)), max_size=4))
def test_a_receptive_field_is_what_has_a_slope(layers):
    size = 1
    for k, step in reversed(layers):
        size = (size - 1) * step + k
    x = Variable(np.zeros((1, 1, size, 1)))
    out = x * 1.0
    for k, step in layers:
        out = conv2d(out, np.ones((1, 1, k, 1)), np.zeros(1), stride=(step, 1))
    assert out.shape == (1, 1, 1, 1)
    out.sum().backward()
    reached = np.flatnonzero(x.grad.numpy())
    assert receptive_field(layers) == reached[-1] - reached[0] + 1 == size


@pytest.mark.parametrize("offset", [0, 1e3, -1e5])
def test_channel_statistics_keep_their_digits_whatever_the_mean(offset):
    x = (np.random.default_rng(0).integers(-8, 9, (5, 3, 4, 4)) + offset).astype(np.float32)  # whole numbers: exact
    mean, variance = channel_statistics(x)
    np.testing.assert_allclose(mean, x.astype(np.float64).mean(axis=(0, 2, 3)), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(variance, x.astype(np.float64).var(axis=(0, 2, 3)), rtol=1e-4)
    assert mean.dtype == variance.dtype == np.float32


def test_running_statistics_stay_in_their_arrays_and_keep_their_dtype():
    norm = BatchNorm(3)
    held = norm.running_mean.data, norm.running_var.data
    norm(np.random.default_rng(0).standard_normal((8, 3, 2, 2)))
    assert norm.running_mean.data is held[0] and norm.running_var.data is held[1]
    assert held[0].dtype == held[1].dtype == np.float32 and held[0].any()


@pytest.mark.parametrize("arguments, expected", [((8, 3, 1, 1), 8), ((7, 2, 2), 3), ((1, 1), 1), ((5, 2, 3, 0, 4), 1)])
def test_output_lengths(arguments, expected):
    assert output_length(*arguments) == expected


# Beside PyTorch


@pytest.mark.parametrize("how", [
    {}, {"stride": 2, "padding": 1}, {"dilation": (2, 1), "padding": (2, 0)}, {"groups": 2, "stride": (2, 3)},
    {"groups": 4, "padding": (0, 2), "dilation": 2},
])  # fmt: skip
def test_convolution_equals_pytorch(how):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((3, 4, 9, 8)), rng.standard_normal((8, 4 // how.get("groups", 1), 3, 2))
    b = rng.standard_normal(8)
    ours, theirs = [Variable(a) for a in (x, w, b)], [torch.tensor(a, requires_grad=True) for a in (x, w, b)]
    a, t = conv2d(*ours, **how), torch.nn.functional.conv2d(*theirs, **how)
    np.testing.assert_allclose(a.data, t.detach().numpy(), atol=1e-12)
    (a**3).sum().backward(), (t**3).sum().backward()
    for o, s in zip(ours, theirs):
        np.testing.assert_allclose(o.grad.numpy(), s.grad.numpy(), rtol=1e-10, atol=1e-8)


@pytest.mark.parametrize("how", [(2,), (3, 2, 1), ((2, 3), (1, 2)), ((3, 1), 1, (1, 0)), (2, 3)])
def test_pooling_equals_pytorch_ties_included(how):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).integers(0, 3, (2, 3, 8, 7)).astype(np.float64)
    for ours, theirs in ((MaxPool2D, torch.nn.MaxPool2d), (AvgPool2D, torch.nn.AvgPool2d)):
        v, u = Variable(x), torch.tensor(x, requires_grad=True)
        a, t = ours(*how)(v), theirs(*how)(u)
        np.testing.assert_allclose(a.data, t.detach().numpy())
        g = np.random.default_rng(1).standard_normal(a.shape)
        a.backward(g), t.backward(torch.tensor(g))
        np.testing.assert_allclose(v.grad.numpy(), u.grad.numpy(), atol=1e-12)


def test_unfold_equals_pytorch():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 8))
    how = {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)}
    columns = unfold(x, **how)
    np.testing.assert_array_equal(columns, torch.nn.functional.unfold(torch.tensor(x), **how).numpy())
    back = torch.nn.functional.fold(torch.tensor(columns), x.shape[2:], **how).numpy()
    np.testing.assert_allclose(fold(columns, x.shape, **how), back, atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 2, 6)])
def test_batch_normalisation_equals_pytorch(shape):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    norm = BatchNorm(3, momentum=0.3)
    theirs = (torch.nn.BatchNorm1d if len(shape) == 2 else torch.nn.BatchNorm2d)(3, momentum=0.3).double()
    gain, bias = rng.uniform(0.5, 2, 3), rng.standard_normal(3)
    norm.gain.data, norm.bias.data = gain.copy(), bias.copy()
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(gain)), theirs.bias.copy_(torch.tensor(bias))
    for mode in (True, True, False):
        norm.train(mode), theirs.train(mode)
        x = 1 + 2 * rng.standard_normal(shape)
        v, u = Variable(x), torch.tensor(x, requires_grad=True)
        norm.zero_grad(), theirs.zero_grad()
        a, t = norm(v), theirs(u)
        np.testing.assert_allclose(a.data, t.detach().numpy(), rtol=1e-6, atol=1e-6)
        (a**3).sum().backward(), (t**3).sum().backward()
        np.testing.assert_allclose(v.grad.numpy(), u.grad.numpy(), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(norm.gain.grad.numpy(), theirs.weight.grad.numpy(), rtol=1e-5)
        np.testing.assert_allclose(norm.bias.grad.numpy(), theirs.bias.grad.numpy(), rtol=1e-5)
        np.testing.assert_allclose(norm.running_mean.data, theirs.running_mean.numpy(), rtol=1e-5)
        np.testing.assert_allclose(norm.running_var.data, theirs.running_var.numpy(), rtol=1e-5)


def test_a_second_gradient_equals_pytorch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 2, 6, 6)), rng.standard_normal((3, 2, 3, 3))

    def ours(x):
        out = max_pool2d(conv2d(x, w, np.zeros(3), padding=1), 2)
        return (out**3).sum()

    v = Variable(x)
    (grad(ours)(v) ** 2).sum().backward()
    u = torch.tensor(x, requires_grad=True)
    out = torch.nn.functional.max_pool2d(torch.nn.functional.conv2d(u, torch.tensor(w), padding=1), 2)
    (slope,) = torch.autograd.grad((out**3).sum(), u, create_graph=True)
    (slope**2).sum().backward()
    np.testing.assert_allclose(v.grad.numpy(), u.grad.numpy(), rtol=1e-9, atol=1e-9)


def test_training_on_a_last_batch_of_one_is_explained():
    model = Sequential([Flatten(), BatchNorm(64), Dense(64, 10, rng=0)])
    data = ArrayDataset(np.ones((5, 1, 8, 8), np.float32), np.arange(5))
    trainer = Trainer(model, AdamW(model.parameters()), CrossEntropyLoss())
    with pytest.raises(ValueError, match="drop_last=True"):
        trainer.fit(DataLoader(data, batch_size=4), epochs=1, quiet=True)
    trainer.fit(DataLoader(data, batch_size=4, drop_last=True), epochs=1, quiet=True)


def test_a_search_for_the_learning_rate_puts_running_statistics_back():
    training = with_channels(digits_split()[0]).subset(range(80))
    model = Sequential([Conv2D(1, 4, 3, rng=0), BatchNorm(4), Flatten(), Dense(144, 10, rng=0)])
    before = model.state_dict()
    loader = DataLoader(training, batch_size=40, seed=0)
    find_learning_rate(model, AdamW(model.parameters()), CrossEntropyLoss(), loader, steps=5)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
