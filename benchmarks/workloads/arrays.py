"""Large arrays: ten elementwise operations on a million float32 entries, memory kept by the allocator."""

import numpy as np

from benchmarks.workloads.base import Workload

N = 1_000_000


def data():
    rng = np.random.default_rng(0)
    return [rng.uniform(0.5, 2.0, N).astype(np.float32) for _ in range(2)]


def keep_memory():
    from tinytorch.memory import keep_memory

    keep_memory()


def numpy():
    keep_memory()
    x, y = data()

    def run():
        a = x * y
        b = np.exp(a)
        c = b + x
        d = np.log(c)
        e = d * y
        f = np.tanh(e)
        g = f - x
        h = g * g
        i = h / y
        i.sum()
        g_h = 1 / y
        g_y = -i * g_h
        g_g = g_h * g
        g_g *= 2
        g_x = -g_g
        g_f = g_g
        g_e = 1 - f * f
        g_e *= g_f
        g_y += g_e * d
        g_e *= y
        g_e /= c
        g_x += g_e
        g_e *= b
        g_x += g_e * y
        g_e *= x
        g_y += g_e
        return g_x, g_y

    return run


def steps(x, y, exp, log, tanh):
    g = tanh(log(exp(x * y) + x) * y) - x
    return (g * g / y).sum()


def recorded(variable, exp, log, tanh):
    def run():
        x, y = variable
        x.grad = y.grad = None
        steps(x, y, exp, log, tanh).backward()
        return x.grad, y.grad

    return run


def tinytorch():
    from tinytorch.core.autograd import Variable
    from tinytorch.core.tensor import exp, log, tanh

    keep_memory()
    return recorded([Variable(a) for a in data()], exp, log, tanh)


def torch():
    import torch

    keep_memory()
    torch.set_num_threads(1)
    return recorded([torch.tensor(a, requires_grad=True) for a in data()], torch.exp, torch.log, torch.tanh)


def mygrad():
    import mygrad

    keep_memory()
    variables = [mygrad.tensor(a) for a in data()]

    def run():
        x, y = variables
        steps(x, y, mygrad.exp, mygrad.log, mygrad.tanh).backward()
        return x.grad, y.grad

    return run


def autograd():
    import autograd.numpy as anp
    from autograd import grad

    keep_memory()
    both = grad(lambda x, y: anp.sum((anp.tanh(anp.log(anp.exp(x * y) + x) * y) - x) ** 2 / y), (0, 1))
    x, y = data()
    return lambda: both(x, y)


WORKLOADS = [
    Workload("elementwise", "10 operations on 1,000,000 float32, memory kept", {
        "numpy": numpy, "tinytorch": tinytorch, "torch": torch, "mygrad": mygrad, "autograd": autograd,
    }, 2.0, 1.3),
]  # fmt: skip
