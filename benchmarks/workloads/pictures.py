"""Pictures: a training step of LeNet.

The hand-written NumPy is written as one writes it well without a framework: channels last, windows copied once from a
strided view into columns, one matrix product for a whole batch, pooling and its gradient by slices, the gradient of the
pictures by one addition of a slice for each entry of the kernel, in float32 and in place where nobody else needs the
array. It computes what the others do; only where a window of the pooling has several largest entries does it give the
gradient to all of them, which is less work. (Behind a ReLU these are zeros, and the gradient ends there anyway.) The
chapter works channels first and folds its columns in two steps, which suits NumPy better: the ratio can be below 1.
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided

from benchmarks.workloads.base import Workload
from tinytorch.memory import keep_memory

BATCH, RATE = 32, np.float32(0.01)
KERNELS, SIZES = ((6, 1, 5, 5), (16, 6, 5, 5)), (400, 120, 84, 10)


def data():
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((BATCH, 1, 28, 28)).astype(np.float32), rng.integers(0, 10, BATCH)
    kernels = [(rng.standard_normal(s) * np.sqrt(2 / np.prod(s[1:]))).astype(np.float32) for s in KERNELS]
    weights = [(rng.standard_normal((n, k)) * np.sqrt(2 / n)).astype(np.float32) for n, k in zip(SIZES, SIZES[1:])]
    return x, labels, kernels, weights


def columns_of(x, size):
    """Windows of size x size as rows, (N OH OW, size size C), of pictures (N, H, W, C)."""
    n, h, w, c = x.shape
    shape = (n, h - size + 1, w - size + 1, size, size * c)
    return as_strided(x, shape, (*x.strides[:3], *x.strides[1:2], x.itemsize)).reshape(-1, size * size * c)


def pooled(x):
    down = np.maximum(x[:, ::2], x[:, 1::2])
    return np.maximum(down[:, :, ::2], down[:, :, 1::2])


def pooled_back(g, x, out):
    slope = np.empty_like(x)
    for i in (0, 1):
        for j in (0, 1):
            np.multiply(g, x[:, i::2, j::2] == out, out=slope[:, i::2, j::2])
    return slope


def columns_back(g, shape, size):
    n, h, w, c = shape
    oh, ow = h - size + 1, w - size + 1
    g, slope = g.reshape(n, oh, ow, size, size, c), np.zeros(shape, np.float32)
    for i in range(size):
        for j in range(size):
            slope[:, i : i + oh, j : j + ow] += g[:, :, :, i, j]
    return slope


def lenet_numpy():
    keep_memory()
    x, labels, kernels, (w3, w4, w5) = data()
    x = np.pad(x.transpose(0, 2, 3, 1), [(0, 0), (2, 2), (2, 2), (0, 0)])
    w1, w2 = (np.ascontiguousarray(k.transpose(2, 3, 1, 0)).reshape(-1, len(k)) for k in kernels)
    w3 = np.ascontiguousarray(w3.reshape(16, 5, 5, 120).transpose(1, 2, 0, 3)).reshape(400, 120)
    b1, b2, b3, b4, b5 = (np.zeros(n, np.float32) for n in (6, 16, 120, 84, 10))
    rows = np.arange(BATCH)

    def run():
        c1 = columns_of(x, 5)
        h1 = c1 @ w1
        h1 += b1
        np.maximum(h1, 0, out=h1)
        h1 = h1.reshape(BATCH, 28, 28, 6)
        p1 = pooled(h1)
        c2 = columns_of(p1, 5)
        h2 = c2 @ w2
        h2 += b2
        np.maximum(h2, 0, out=h2)
        h2 = h2.reshape(BATCH, 10, 10, 16)
        p2 = pooled(h2)
        flat = p2.reshape(BATCH, 400)
        h3 = np.maximum(flat @ w3 + b3, 0)
        h4 = np.maximum(h3 @ w4 + b4, 0)
        z = h4 @ w5 + b5
        z -= z.max(axis=1, keepdims=True)
        p = np.exp(z)
        s = p.sum(axis=1, keepdims=True)
        loss = (np.log(s[:, 0]) - z[rows, labels]).mean()
        p /= s
        p[rows, labels] -= 1
        p /= BATCH
        g_w5, g_b5 = h4.T @ p, p.sum(axis=0)
        g4 = (p @ w5.T) * (h4 > 0)
        g_w4, g_b4 = h3.T @ g4, g4.sum(axis=0)
        g3 = (g4 @ w4.T) * (h3 > 0)
        g_w3, g_b3 = flat.T @ g3, g3.sum(axis=0)
        g2 = pooled_back((g3 @ w3.T).reshape(p2.shape), h2, p2)
        g2 *= h2 > 0
        g2 = g2.reshape(-1, 16)
        g_w2, g_b2 = c2.T @ g2, g2.sum(axis=0)
        g1 = pooled_back(columns_back(g2 @ w2.T, p1.shape, 5), h1, p1)
        g1 *= h1 > 0
        g1 = g1.reshape(-1, 6)
        g_w1, g_b1 = c1.T @ g1, g1.sum(axis=0)
        for w, g in (
            (w1, g_w1), (b1, g_b1), (w2, g_w2), (b2, g_b2), (w3, g_w3), (b3, g_b3), (w4, g_w4), (b4, g_b4),
            (w5, g_w5), (b5, g_b5),
        ):  # fmt: skip
            w -= RATE * g
        return loss

    return run


def lenet_tinytorch():
    from tinytorch.core.cnn import lenet
    from tinytorch.core.optimizers import SGD
    from tinytorch.core.tensor import Tensor
    from tinytorch.core.training import CrossEntropyLoss

    keep_memory()
    x, labels, kernels, weights = data()
    model, loss_function = lenet(rng=0), CrossEntropyLoss()
    for place, w in zip((0, 3, 7, 9, 11), (*kernels, *weights)):
        model[place].weights.data[...] = w
    optimizer = SGD(model.parameters(), learning_rate=0.01)
    x, labels = Tensor(x), Tensor(labels)

    def run():
        optimizer.zero_grad()
        loss = loss_function(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss

    return run


def lenet_torch():
    import torch
    from torch import nn

    keep_memory()
    torch.set_num_threads(1)
    x, labels, kernels, weights = data()
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    with torch.no_grad():
        for place, w in zip((0, 3, 7, 9, 11), (*kernels, *(w.T for w in weights))):
            model[place].weight.copy_(torch.tensor(w))
            model[place].bias.zero_()
    optimizer, loss_function = torch.optim.SGD(model.parameters(), lr=0.01), nn.CrossEntropyLoss()
    x, labels = torch.tensor(x), torch.tensor(labels)

    def run():
        optimizer.zero_grad()
        loss = loss_function(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss

    return run


WORKLOADS = [
    Workload("lenet", "LeNet, 28x28, batch 32, SGD, memory kept", {
        "numpy": lenet_numpy, "tinytorch": lenet_tinytorch, "torch": lenet_torch,
    }, gate=1.0, aim=0.8, peer_gates={"torch": 1.2}),
]  # fmt: skip
