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
# # Activations

# %%
#| default_exp core.activations

# %%
#| export
import numpy as np

from tinytorch.core.tensor import Tensor, operation, tanh

# %%
#| export
def floating(x):
    """x in a float dtype: what holds floats stays as it is, all else becomes float32."""
    kind = getattr(getattr(x, "dtype", None), "kind", "")
    return x if kind == "f" else np.asarray(x).astype(np.float32)[()]


def largest(x, axis):
    """The largest entry along `axis`, which stays with length 1. Says what is wrong with an axis that has none."""
    try:
        return x.max(axis=axis, keepdims=True)
    except ValueError as error:
        empty = "zero-size" in str(error)
        problem = f"axis {axis} has no entries to share out" if empty else f"there is no axis {axis}"
        raise ValueError(f"{problem} in the shape {np.shape(x)}") from error


@operation
def relu(x, /):
    """max(x, 0), entry by entry."""
    return np.maximum(x, 0)


@operation
def leaky_relu(x, /, slope=0.01):
    """x where it is positive, slope * x elsewhere. The slope is at most 1."""
    x, slope = floating(x), float(slope)
    if not slope <= 1:
        raise ValueError(f"slope is {slope}, expected a number of at most 1")
    return np.maximum(x, slope * x)


@operation
def sigmoid(x, /):
    """1 / (1 + exp(-x)), between 0 and 1, without overflow."""
    x = floating(x)
    e = np.exp(-abs(x))
    if x.ndim == 0:
        return (1 if x >= 0 else e) / (1 + e)
    return np.maximum(e, x >= 0) / (1 + e)


@operation
def softplus(x, /):
    """log(1 + exp(x)), a smooth max(x, 0), without overflow."""
    x = floating(x)
    return np.maximum(x, 0) + np.log1p(np.exp(-abs(x)))


@operation
def gelu(x, /):
    """x * P(Z < x) for a normal Z, in the tanh form of Hendrycks & Gimpel (2016)."""
    x = floating(x)
    u = x * x
    u *= 0.044715
    u += 1
    u *= x
    u *= 0.7978845608028654
    u = np.tanh(u)
    u += 1
    u *= x
    u *= 0.5
    return u


@operation
def softmax(x, /, axis=-1):
    """exp(x) / sum(exp(x)) along `axis`: positive numbers that sum to 1."""
    x = floating(x)
    e = np.exp(x - largest(x, axis))
    e /= e.sum(axis=axis, keepdims=True)
    return e


@operation
def log_softmax(x, /, axis=-1):
    """log(softmax(x)) along `axis`, also where the softmax itself is too small for a float."""
    x = floating(x)
    out = x - largest(x, axis)
    out -= np.log(np.exp(out).sum(axis=axis, keepdims=True))
    return out
