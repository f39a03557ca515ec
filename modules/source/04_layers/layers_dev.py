# ---
# jupyter:
#   jupytext:
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Layers

# %%
#| default_exp core.layers

# %%
#| export
import numpy as np

from tinytorch.core.activations import floating
from tinytorch.core.tensor import Tensor, matmul, mean, operation, sqrt, var

# %%
#| export
def explain_dense(x, w, b):
    """Why the shapes of a layer's input, weights and bias do not fit; empty where they do."""
    if len(w) != 2 or b != w[1:]:
        return f"dense: weights {w} and bias {b} do not belong together. Expected (D, K) and (K,)."
    if not x:
        return f"dense: the input is a single number. Dense({w[0]}, {w[1]}) takes rows of {w[0]} features."
    if x[-1] != w[0]:
        return f"Dense({w[0]}, {w[1]}) got {x[-1]} features: the input is {x}, expected (..., {w[0]})."
    return ""


@operation(explain=explain_dense)
def dense(x, w, b, /):
    """x @ w + b, in one product and an addition in place."""
    x = floating(x)
    if x.ndim == 2:
        out = x @ w
        out += b
        return out
    if x.ndim == 0:
        raise ValueError("the input has no axes")
    rows = x.reshape(-1, x.shape[-1]) @ w
    rows += b
    return rows.reshape(*x.shape[:-1], w.shape[1])


def dense_composed(x, w, b):
    """What `dense` equals: a matrix product and an addition."""
    return matmul(x, w) + b


@operation
def layer_norm(x, gain, bias, /, epsilon=1e-5):
    """Normalise along the last axis, then scale and shift. Keeps (x_hat, inverse_std)."""
    x = floating(x)
    x_hat = x - x.mean(axis=-1, keepdims=True)
    inverse_std = 1 / np.sqrt((x_hat * x_hat).mean(axis=-1, keepdims=True) + epsilon)
    x_hat *= inverse_std
    out = x_hat * gain
    out += bias
    return out, (x_hat, inverse_std)


def layer_norm_composed(x, gain, bias, epsilon=1e-5):
    """What `layer_norm` equals: mean, variance, and arithmetic."""
    return (x - mean(x, -1, keepdims=True)) / sqrt(var(x, -1, keepdims=True) + epsilon) * gain + bias


# %%
#| export
class Parameter(Tensor):
    """A Tensor that training adjusts."""

    __slots__ = ("requires_grad", "grad")

    def __init__(self, data, dtype=None):
        super().__init__(data, dtype)
        self.requires_grad = True
        self.grad = None
