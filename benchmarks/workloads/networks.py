"""Networks: a training step of a small classifier, and a deep stack of wide layers."""

import numpy as np

from benchmarks.workloads.base import Workload

RATE = np.float32(0.01)


def mlp_data(batch):
    rng = np.random.default_rng(0)
    sizes = (784, 128, 10)
    x = rng.standard_normal((batch, 784)).astype(np.float32)
    labels = rng.integers(0, 10, batch)
    weights = [
        (rng.standard_normal((n, k)) * np.sqrt(2 / n)).astype(np.float32) for n, k in zip(sizes, sizes[1:])
    ]
    return x, labels, weights


def mlp_numpy(batch):
    def prepare():
        x, labels, (w1, w2) = mlp_data(batch)
        b1, b2 = np.zeros(128, np.float32), np.zeros(10, np.float32)
        rows = np.arange(batch)

        def run():
            nonlocal w1, b1, w2, b2
            h = np.maximum(x @ w1 + b1, 0)
            z = h @ w2 + b2
            z -= z.max(axis=1, keepdims=True)
            p = np.exp(z)
            s = p.sum(axis=1, keepdims=True)
            loss = (np.log(s[:, 0]) - z[rows, labels]).mean()
            p /= s
            p[rows, labels] -= 1
            p /= batch
            g_w2, g_b2 = h.T @ p, p.sum(axis=0)
            g_h = (p @ w2.T) * (h > 0)
            g_w1, g_b1 = x.T @ g_h, g_h.sum(axis=0)
            w1 -= RATE * g_w1
            b1 -= RATE * g_b1
            w2 -= RATE * g_w2
            b2 -= RATE * g_b2
            return loss

        return run

    return prepare


def mlp_tinytorch(batch):
    def prepare():
        from tinytorch.core.activations import ReLU
        from tinytorch.core.layers import Dense
        from tinytorch.core.networks import Sequential
        from tinytorch.core.optimizers import SGD
        from tinytorch.core.tensor import Tensor
        from tinytorch.core.training import CrossEntropyLoss

        x, labels, weights = mlp_data(batch)
        layers = [Dense(784, 128), ReLU(), Dense(128, 10)]
        layers[0].weights.data[...], layers[2].weights.data[...] = weights
        model, loss_function = Sequential(layers), CrossEntropyLoss()
        optimizer = SGD(model.parameters(), learning_rate=0.01)
        x, labels = Tensor(x), Tensor(labels)

        def run():
            optimizer.zero_grad()
            loss = loss_function(model(x), labels)
            loss.backward()
            optimizer.step()
            return loss

        return run

    return prepare


def mlp_torch(batch):
    def prepare():
        import torch

        torch.set_num_threads(1)
        x, labels, weights = mlp_data(batch)
        model = torch.nn.Sequential(torch.nn.Linear(784, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
        with torch.no_grad():
            for layer, w in zip((model[0], model[2]), weights):
                layer.weight.copy_(torch.tensor(w.T))
                layer.bias.zero_()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        loss_function = torch.nn.CrossEntropyLoss()
        x, labels = torch.tensor(x), torch.tensor(labels)

        def run():
            optimizer.zero_grad()
            loss = loss_function(model(x), labels)
            loss.backward()
            optimizer.step()
            return loss

        return run

    return prepare


def mlp_mygrad(batch):
    def prepare():
        import mygrad
        from mygrad.nnet.activations import relu
        from mygrad.nnet.losses import softmax_crossentropy

        x, labels, (w1, w2) = mlp_data(batch)
        b1, b2 = np.zeros(128, np.float32), np.zeros(10, np.float32)
        parameters = [mygrad.tensor(p) for p in (w1, b1, w2, b2)]

        def run():
            w1, b1, w2, b2 = parameters
            loss = softmax_crossentropy(relu(x @ w1 + b1) @ w2 + b2, labels)
            loss.backward()
            for p in parameters:
                p.data -= RATE * p.grad
            return loss

        return run

    return prepare


def mlp_autograd(batch):
    def prepare():
        import autograd.numpy as anp
        from autograd import grad

        x, labels, (w1, w2) = mlp_data(batch)
        parameters = [w1, np.zeros(128, np.float32), w2, np.zeros(10, np.float32)]
        rows = np.arange(batch)

        def loss(parameters):
            w1, b1, w2, b2 = parameters
            z = anp.maximum(x @ w1 + b1, 0) @ w2 + b2
            z = z - anp.max(z, axis=1, keepdims=True)
            return anp.mean(anp.log(anp.sum(anp.exp(z), axis=1)) - z[rows, labels])

        slope = grad(loss)

        def run():
            for p, g in zip(parameters, slope(parameters)):
                p -= RATE * g

        return run

    return prepare


def mlp(batch):
    return {
        "numpy": mlp_numpy(batch), "tinytorch": mlp_tinytorch(batch), "torch": mlp_torch(batch),
        "mygrad": mlp_mygrad(batch), "autograd": mlp_autograd(batch),
    }  # fmt: skip


DEPTH, WIDTH = 64, 512


def deep_data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((WIDTH, WIDTH)).astype(np.float32)
    return x, [(rng.standard_normal((WIDTH, WIDTH)) * np.sqrt(2 / WIDTH)).astype(np.float32) for _ in range(DEPTH)]


def deep_numpy():
    x, weights = deep_data()

    def run():
        values = [x]
        for w in weights:
            h = values[-1] @ w
            np.maximum(h, 0, out=h)
            values.append(h)
        loss = values[-1].sum()
        g = np.ones_like(values[-1])
        for w in reversed(weights):
            g *= values.pop() > 0
            g_w = values[-1].T @ g
            if len(values) > 1:
                g = g @ w.T
            g_w *= RATE * np.float32(1e-6)
            w -= g_w
        return loss

    return run


def deep_tinytorch():
    from tinytorch.core.activations import relu
    from tinytorch.core.autograd import Variable
    from tinytorch.core.tensor import Tensor

    x, weights = deep_data()
    x, weights = Tensor(x), [Variable(w) for w in weights]

    def run():
        h = x
        for w in weights:
            h = relu(h @ w)
        loss = h.sum()
        del h
        loss.backward()
        for w in weights:
            w.grad.data *= RATE * np.float32(1e-6)
            w.data -= w.grad.data
            w.zero_grad()
        return loss

    return run


def deep_torch():
    import torch

    torch.set_num_threads(1)
    x, weights = deep_data()
    x, weights = torch.tensor(x), [torch.tensor(w, requires_grad=True) for w in weights]

    def run():
        h = x
        for w in weights:
            h = torch.relu(h @ w)
        loss = h.sum()
        del h
        loss.backward()
        with torch.no_grad():
            for w in weights:
                w -= float(RATE) * 1e-6 * w.grad
                w.grad = None
        return loss

    return run


DEEP = {"numpy": deep_numpy, "tinytorch": deep_tinytorch, "torch": deep_torch}

WORKLOADS = [
    Workload("mlp", "784-128-10, batch 32, softmax cross-entropy, SGD", mlp(32), 1.15, 1.05),
    Workload("mlp-256", "the same, batch 256", mlp(256), 1.06, 1.02),
    Workload("deep", "64 layers of 512, batch 512", DEEP, 1.06, 1.02),
    Workload("deep-memory", "its extra peak memory", DEEP, 95, 70, "memory"),
]
