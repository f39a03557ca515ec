"""What export_onnx writes, read by programs that share no line with it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinytorch.core.cnn as cnn
from tinytorch.core.activations import GELU, LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from tinytorch.core.layers import Dense, Dropout, LayerNorm
from tinytorch.core.mlops import ONNX_RULES, architecture, export_onnx, field, varint
from tinytorch.core.networks import MLP, Sequential, create_mlp
from tinytorch.core.tensor import Tensor


@given(st.integers(0, 2**64 - 1))
def test_a_varint_reads_back(n):
    raw = varint(n)
    assert sum((byte & 127) << 7 * i for i, byte in enumerate(raw)) == n
    assert all(byte >= 128 for byte in raw[:-1]) and raw[-1] < 128 and (len(raw) == 1 or raw[-1] > 0)


def outputs_of(path, x):
    """What onnxruntime computes, after onnx has checked the file."""
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path.read_bytes())
    return session.run(None, {"inputs": x})[0]


NETWORKS = {
    "mlp": lambda: create_mlp(6, [8, 7], 3, rng=0),
    "no bias": lambda: Sequential([Dense(6, 3, use_bias=False, rng=0)]),
    "one layer": lambda: Dense(6, 3, rng=0),
    "activations": lambda: Sequential(
        [Dense(6, 5, rng=0), LeakyReLU(0.2), Dense(5, 5, rng=1), GELU(), Sigmoid(), Tanh(), Softmax()]
    ),
    "norm and dropout": lambda: Sequential([Dense(6, 5, rng=0), LayerNorm(5, 1e-3), Dropout(0.5), ReLU(), Softmax(1)]),
    "nested": lambda: Sequential([create_mlp(6, [4], 5, rng=0), Sequential([ReLU(), Sequential([Dense(5, 2)])])]),
    "class MLP": lambda: MLP(6, [4], 2, rng=0),
    "nothing but an activation": lambda: Sequential([Dropout(0.1)]),
}  # fmt: skip


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("rows", [1, 5])
def test_the_same_answers(make, rows, tmp_path):
    model, path = make(), tmp_path / "net ü.onnx"
    for p in model.parameters():
        p.data += np.random.default_rng(3).standard_normal(p.shape).astype(np.float32) / 10
    export_onnx(model, path, (6,))
    x = np.random.default_rng(1).standard_normal((rows, 6)).astype(np.float32)
    theirs, ours = outputs_of(path, x), model.eval()(Tensor(x)).detach().numpy()
    assert theirs.shape == ours.shape and theirs.dtype == np.float32
    np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-5)


def test_more_axes(tmp_path):
    model, path = Sequential([Dense(4, 3, rng=0), ReLU()]), tmp_path / "net.onnx"
    export_onnx(model, path, (2, 4))
    x = np.random.default_rng(1).standard_normal((5, 2, 4)).astype(np.float32)
    np.testing.assert_allclose(outputs_of(path, x), model(x).detach().data, rtol=1e-4, atol=1e-6)


def test_the_network_is_left_as_it_was(tmp_path):
    model = Sequential([Dense(3, 2), Dropout(0.5)])
    export_onnx(model, tmp_path / "net.onnx", (3,))
    assert model.training and all(p.requires_grad for p in model.parameters())


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "net.onnx"
    export_onnx(Dense(3, 2), path, (3,))
    before = path.read_bytes()
    with pytest.raises(TypeError, match=r"no rule for .*abs"):
        export_onnx(Sequential([Dense(3, 2), abs]), path, (3,))
    with pytest.raises(TypeError, match=r"Softmax.*setting that the rule for Softmax cannot write down"):
        export_onnx(Sequential([Dense(3, 2), Softmax((0, 1))]), path, (3,))
    with pytest.raises(ValueError, match="Dense"):
        export_onnx(Dense(3, 2), path, (4,))
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["net.onnx"]


def test_a_class_that_does_more_is_not_taken_for_its_layers(tmp_path):
    class Residual(Sequential):
        def forward(self, x):
            return x + super().forward(x)

    with pytest.raises(TypeError, match="no rule for Residual"):
        export_onnx(Residual([Dense(3, 3)]), tmp_path / "net.onnx", (3,))
    with pytest.raises(TypeError, match="no layer that can be written down"):
        architecture(Sequential([Residual([Dense(3, 3)])]))


def test_a_rule_of_your_own(tmp_path, monkeypatch):
    class Half(ReLU):
        def __call__(self, x):
            return x * 0.5

    monkeypatch.setitem(
        ONNX_RULES, "Half", lambda graph, layer, x: graph.add("Mul", x, graph.constant(np.float32(0.5)))
    )
    path = tmp_path / "net.onnx"
    export_onnx(Sequential([Half()]), path, (3,))
    x = np.float32([[1.0, -2.0, 3.0]])
    np.testing.assert_array_equal(outputs_of(path, x), x / 2)


def test_a_field_of_every_kind():
    assert field(1, True) == b"\x08\x01" and field(3, -1).hex() == "18" + "ff" * 9 + "01"
    assert field(1, "ü") == b"\x0a\x02\xc3\xbc" and field(16, b"") == b"\x82\x01\x00"


@pytest.mark.parametrize(
    "stride, padding, dilation, groups, bias",
    [(1, 0, 1, 1, True), (2, 1, 1, 2, False), ((2, 1), (0, 2), (1, 2), 1, True)],
)
def test_convolutions(stride, padding, dilation, groups, bias, tmp_path):
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "use_bias": bias}
    smaller = [cnn.MaxPool2D(2), cnn.AvgPool2D(2), cnn.Dropout2D(0.1), cnn.Flatten()]
    layers = [cnn.Conv2D(2, 4, 3, rng=0, **settings), cnn.BatchNorm(4), ReLU(), *smaller]
    model, path = Sequential(layers), tmp_path / "net.onnx"
    rng = np.random.default_rng(0)
    model.train()(rng.standard_normal((8, 2, 16, 17)).astype(np.float32))  # so that the running statistics are some
    export_onnx(model, path, (2, 16, 17))
    x = rng.standard_normal((3, 2, 16, 17)).astype(np.float32)
    np.testing.assert_allclose(outputs_of(path, x), model.eval()(x).detach().data, rtol=1e-4, atol=1e-5)
