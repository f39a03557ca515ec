"""A large network in int8: the memory of an answer, its weights included, and its time."""

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.workloads.base import Workload

SIZES, BATCH = (784, 2048, 2048, 10), 256


def weights_and_inputs():
    rng = np.random.default_rng(0)
    shapes = zip(SIZES, SIZES[1:])
    weights = [rng.standard_normal(shape, dtype=np.float32) / np.float32(shape[0] ** 0.5) for shape in shapes]
    return weights, rng.random((BATCH, SIZES[0]), dtype=np.float32)


def float_answer(layers, x):
    """x through a network, by hand."""
    for i, (w, b) in enumerate(layers):
        x = x @ w
        x += b
        if i < len(layers) - 1:
            np.maximum(x, 0, out=x)
    return x


def integers():
    """The same network in integers, of the compression chapter."""
    from tinytorch.core.compression import quantize_model
    from tinytorch.core.networks import create_mlp

    weights, x = weights_and_inputs()
    model = create_mlp(SIZES[0], list(SIZES[1:-1]), SIZES[-1])
    for layer, w in zip(model[::2], weights):
        layer.weights.data[...] = w
    return quantize_model(model, x), x


def numpy():
    weights, x = weights_and_inputs()
    layers = [(w, np.zeros(w.shape[1], np.float32)) for w in weights]
    return lambda: float_answer(layers, x)


def tinytorch():
    network, x = integers()
    return lambda: network(x)


def read_numpy():
    """Read a file of floats, and answer."""
    weights, x = weights_and_inputs()
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name, "network.npz")
    np.savez(path, *weights)

    def run(kept=folder):
        with np.load(path) as archive:
            layers = [(archive[name], np.float32(0)) for name in archive.files]
        return float_answer(layers, x)

    return run


def read_tinytorch():
    """Read a file of bytes, and answer."""
    from tinytorch.core.compression import load_compressed, save_compressed

    network, x = integers()
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name, "network.npz")
    save_compressed(network, path)

    def run(kept=folder):
        return load_compressed(path)(x)

    return run


def float_megabytes() -> float:
    """Weights and what flows, in float32: both layers' outputs live at once, and the input belongs to the caller."""
    weights, flow = sum(a * b + b for a, b in zip(SIZES, SIZES[1:])), BATCH * sum(SIZES[1:3])
    return 4 * (weights + flow) / 1e6


WORKLOADS = [
    Workload("int8", "784-2048-2048-10 in int8 beside float32, batch 256", {"numpy": numpy, "tinytorch": tinytorch}),
    Workload(
        "int8-memory", "read from its file and asked: peak memory", {"numpy": read_numpy, "tinytorch": read_tinytorch},
        0.3 * float_megabytes(), 0.26 * float_megabytes(), "memory",
    ),
]  # fmt: skip
