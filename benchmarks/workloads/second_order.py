"""Gradients of gradients: f(x) = sum(exp(x/10) tanh(x)) + (sum x^2)^2 / 100 in 50 variables."""

import numpy as np

from benchmarks.workloads.base import Workload

X = np.linspace(-1.0, 1.0, 50)
V = np.cos(np.arange(50.0))


def function(exp, tanh):
    return lambda x: (exp(x / 10) * tanh(x)).sum() + (x * x).sum() ** 2 / 100


def parts(x):
    """Second derivative of each term of the first sum, and the sum of squares."""
    e, t = np.exp(x / 10), np.tanh(x)
    d = 1 - t * t
    return e * (t / 100 + 0.2 * d - 2 * t * d), (x * x).sum()


def hvp_numpy():
    def run():
        diagonal, s = parts(X)
        return diagonal * V + 0.04 * s * V + 0.08 * X * (X * V).sum()

    return run


def hessian_numpy():
    def run():
        columns = []
        for i in range(50):  # one product with a unit vector after the other
            v = np.zeros(50)
            v[i] = 1.0
            diagonal, s = parts(X)
            columns.append(diagonal * v + 0.04 * s * v + 0.08 * X * (X * v).sum())
        return np.stack(columns)

    return run


def tinytorch(which):
    def prepare():
        from tinytorch.core import autograd
        from tinytorch.core.tensor import exp, tanh

        f = function(exp, tanh)
        return (lambda: autograd.hvp(f, X, V)) if which == "hvp" else (lambda: autograd.hessian(f, X))

    return prepare


def torch(which):
    def prepare():
        import torch

        torch.set_num_threads(1)
        f, x, v = function(torch.exp, torch.tanh), torch.tensor(X), torch.tensor(V)
        if which == "hvp":
            return lambda: torch.autograd.functional.hvp(f, x, v)
        return lambda: torch.autograd.functional.hessian(f, x)

    return prepare


def autograd(which):
    def prepare():
        import autograd.numpy as anp
        from autograd import hessian, hessian_vector_product

        f = lambda x: anp.sum(anp.exp(x / 10) * anp.tanh(x)) + anp.sum(x * x) ** 2 / 100
        if which == "hvp":
            product = hessian_vector_product(f)
            return lambda: product(X, V)
        whole = hessian(f)
        return lambda: whole(X)

    return prepare


WORKLOADS = [
    Workload("hvp", "Hessian-vector product, 50 variables", {
        "numpy": hvp_numpy, "tinytorch": tinytorch("hvp"), "torch": torch("hvp"), "autograd": autograd("hvp"),
    }, 20, 12),
    Workload("hessian", "Hessian, 50 variables", {
        "numpy": hessian_numpy, "tinytorch": tinytorch("hessian"), "torch": torch("hessian"),
        "autograd": autograd("hessian"),
    }, 8, 4),
]  # fmt: skip
