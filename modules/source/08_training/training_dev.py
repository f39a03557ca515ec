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
# # Training
#
# There is a network, there are batches of real digits, and there is `backward`, which finds for every weight the
# direction in which a number falls. Two things are missing. One is the number: something that says how wrong the
# network's answers are, as a single value with a useful slope. The other is the loop that walks downhill, a few hundred
# times, and knows when to stop.
#
# Neither is long. But a training loop is the part of a program where a mistake is least likely to raise an error. A
# loss that was averaged over the wrong axis, a gradient that was not forgotten, an evaluation with dropout still on:
# the program runs, numbers come out, and they are a little worse than they should be. So this chapter builds each piece
# so that it can be checked alone. It ends with a lab in which five networks refuse to learn, and you find out why from
# what they leave behind.

# %%
#| default_exp core.training

# %%
#| export
import json
import math
import os
import shutil
import sys
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tinytorch.core.activations import log_softmax, sigmoid, softplus
from tinytorch.core.autograd import clip_gradients, first_nonfinite, gradient, gradients, no_grad, plain, trace
from tinytorch.core.layers import Module
from tinytorch.core.tensor import Tensor, mean, operation, wrap

# %%
from tinytorch.core.activations import ReLU
from tinytorch.core.autograd import Variable, check_gradients
from tinytorch.core.dataloader import ArrayDataset, DataLoader, digits_split, train_test_split
from tinytorch.core.layers import Dense, Dropout, Parameter
from tinytorch.core.networks import Sequential, create_mlp
from tinytorch.testing import check, check_raises
from tinytorch.timing import seconds
from tinytorch.watched import numpy_calls

# %% [markdown]
# ## The smallest training there is
#
# One weight, three points on the line $y = 3x$, and the wish that $w x$ be close to $y$. Start with $w = 0$; measure
# how wrong that is, by the mean of the squared distances; ask for the slope; take a step against it. Then again.

# %%
xs, ys = Tensor([1.0, 2.0, 3.0]), Tensor([3.0, 6.0, 9.0])
w = Variable(0.0)
for step in range(5):
    d = w * xs - ys
    loss = (d * d).mean()
    loss.backward()
    print(f"step {step}   w = {w.item():7.4f}   loss = {loss.item():8.4f}   slope = {w.grad.item():9.4f}")
    w.data -= 0.1 * w.grad.data
    w.zero_grad()

# %% [markdown]
# Every training run is these lines, with more weights. The `0.1` is the *learning rate*: how far to go along the slope.
# What follows replaces the lines one after the other by something that can be trusted with a network: the loss, the
# step, the round through all batches.
#
# ## How far off: the mean squared error
#
# For answers that are numbers, the squared distance above is a good measure. It is zero where the answer is right, it
# grows with the error, and its slope shrinks as the error does, so that steps get smaller near the goal.
#
# One trap is so common that the function checks for it before it computes. Predictions of a network have shape `(N,
# 1)`, targets are often stored as `(N,)`, and the difference of the two broadcasts. Nothing fails:

# %%
column, row = np.array([[1.0], [2.0], [3.0]]), np.array([1.0, 2.0, 3.0])
print("all three are right, and yet the mean square is", ((column - row) ** 2).mean(), "over a difference of shape", (column - row).shape)

# %% nbgrader={"grade": false, "grade_id": "mean_squared_error", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def same_shapes(name: str, y_pred, y_true) -> None:
    """Raise ValueError where predictions and targets differ in shape, or there are none."""
    if y_pred.shape != y_true.shape:
        raise ValueError(
            f"{name}: predictions have shape {y_pred.shape}, targets {y_true.shape}. They have to be the same.\n"
            "  Otherwise they would broadcast, and each prediction be compared with every target. "
            f"Try targets.reshape{y_pred.shape}."
        )
    if y_true.size == 0:
        raise ValueError(f"{name}: the batch is empty, and the mean over nothing is no number.")


def mean_squared_error(y_pred, y_true) -> Tensor:
    """The mean of (y_pred - y_true)^2 over all entries.

    Parameters
    ----------
    y_pred, y_true : Tensor or array, of one shape

    Returns
    -------
    Tensor of a single number

    Raises
    ------
    ValueError
        Where the shapes differ, or there are no entries.

    Notes
    -----
    `mean` of the tensor chapter takes the mean over all entries. It and the arithmetic operators are operations, so
    backward works through them.
    """
    y_pred, y_true = as_tensor(y_pred), as_tensor(y_true)
    same_shapes("mean_squared_error", y_pred, y_true)
    ### BEGIN SOLUTION mean_squared_error
    d = y_pred - y_true
    return mean(d * d)
    ### END SOLUTION


def as_tensor(x) -> Tensor:
    """x itself where it is a Tensor; an array or nested lists as one."""
    return x if isinstance(x, Tensor) else Tensor(x)


# %% [raw] tags=["exercise"]
# mean_squared_error:
#   title: How far off
#   hints:
#     - Three words, three operations. In which order does "the mean of the square of the difference" have to be computed?
#     - Take the difference, multiply it by itself, take the mean over all entries.
#     - "d = y_pred - y_true, then mean(d * d)"
#   misconceptions:
#     - name: sums in place of averaging
#       says: >-
#         The squares were added, not averaged. A batch twice as large would then have a gradient twice as large, and the
#         learning rate would mean something else for every batch size.
#       code: |
#         d = y_pred - y_true
#         return (d * d).sum()
#     - name: square of the mean
#       says: >-
#         The mean was taken before the square. Errors of opposite sign then cancel: being 1 too high and 1 too low would count as
#         perfect.
#       code: |
#         d = mean(y_pred - y_true)
#         return d * d
#     - name: absolute value in place of the square
#       says: >-
#         The distances were averaged without squaring. That is another loss, the mean absolute error, whose slope
#         does not shrink near the goal.
#       code: |
#         return mean(abs(y_pred - y_true))
#     - name: leaves the graph
#       says: >-
#         The value is right, but backward finds nothing: the arrays were taken out of the Tensors, and what NumPy computes on them is
#         not recorded. Use the Tensors themselves.
#       code: |
#         d = y_pred.data - y_true.data
#         return Tensor((d * d).mean())

# %% nbgrader={"grade": true, "grade_id": "test_mean_squared_error", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_mean_squared_error():
    check(mean_squared_error(Tensor([1.0, 2.0]), Tensor([1.0, 5.0])), 4.5)
    check(mean_squared_error(Tensor([[1.0], [-1.0]]), Tensor([[0.0], [0.0]])), 1.0)
    check(mean_squared_error([[1.0, 2.0], [3.0, 4.0]], np.zeros((2, 2))), 7.5)
    x = Variable([2.0, 0.0])
    loss = mean_squared_error(x, Tensor([0.0, 3.0]))
    check(loss.requires_grad, True)
    loss.backward()
    check(x.grad, [2.0, -3.0])
    check_raises(ValueError, lambda: mean_squared_error(Tensor([[1.0], [2.0]]), Tensor([1.0, 2.0])), "targets (2,)")
    check_raises(ValueError, lambda: mean_squared_error(Tensor(np.zeros((0, 1))), Tensor(np.zeros((0, 1)))), "empty")

test_mean_squared_error()

# %% [markdown]
# ## Which class: cross-entropy
#
# A classifier gives one score for each class, any number at all; these are the *logits*. Softmax makes probabilities of
# them. Suppose the right class got the probability $p$. A good answer has $p$ near 1, and the loss should punish
# confidence in a wrong class more than doubt. The negative logarithm does: it is 0 for certainty, $\log 10$ for a blind
# guess among ten classes, and it grows without bound as $p$ approaches 0.

# %%
for p in (1.0, 0.9, 0.5, 0.1, 0.001):
    print(f"p = {p:5.3f}   -log p = {0 - np.log(p):.4f}")

# %% [markdown]
# The mean of this over a batch is the *cross-entropy*. For the scores $z$ of one sample with class $t$, it is worth
# writing out:
#
# $$-\log \frac{e^{z_t}}{\sum_k e^{z_k}} = \log \sum_k e^{z_k} - z_t$$
#
# The right side has no quotient, and no probability that could round to 0 before its logarithm is taken. What is left
# to fear is $e^{z_k}$ for large scores. Subtracting the largest score from all of them changes nothing on paper, and
# then the largest exponential is $e^0$. In code, the two ways differ as soon as scores do:

# %%
scores = np.array([0.0, 200.0], dtype=np.float32)
with np.errstate(all="ignore"):
    p = np.exp(scores) / np.exp(scores).sum()
    print("probability first, then log:", -np.log(p[0]))
shifted = scores - scores.max()
print("on the right side, shifted: ", np.log(np.exp(shifted).sum()) - shifted[0])

# %% [markdown]
# One function of arrays computes it whole: a *fused* operation. What it equals is a composition of operations that
# exist already, and stands beside it. The two are tested against each other, and gradients of gradients are taken
# through the composition.

# %%
#| export
def softmax_cross_entropy_composed(logits, targets) -> Tensor:
    """What `softmax_cross_entropy` equals, written with operations."""
    return -mean(log_softmax(logits)[np.arange(len(targets)), plain(targets)])


# %% nbgrader={"grade": false, "grade_id": "softmax_cross_entropy", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
@operation(keeps=True)
def softmax_cross_entropy(logits, targets, /):
    """The mean of -log softmax(logits)[target] over a batch, in one go.

    Parameters
    ----------
    logits : array of floats, shape (N, K)
        One score for each class.
    targets : array of integers, shape (N,)
        The right classes, 0 to K - 1. Not checked here; `CrossEntropyLoss` does that.

    Returns
    -------
    loss : number of the dtype of `logits`
    p : array, shape (N, K)
        The softmax of each row. It is kept for the slope; who calls the operation gets the loss alone.

    Notes
    -----
    Below, ``z`` are the scores, each row's largest subtracted from the whole row, ``p`` their exponentials, and ``t`` the
    classes. For each row the loss is ``log(sum(exp(z))) - z[t]``; ``z[np.arange(len(t)), t]``
    takes one score from each row. Divide ``p`` in place by the sums, after they have been used. No exponential is computed
    a second time: those in ``p`` are all it takes. `CrossEntropyLoss` takes scores up
    to 1e4.
    """
    z, t = logits - logits.max(axis=1, keepdims=True), targets
    p = np.exp(z)
    ### BEGIN SOLUTION softmax_cross_entropy
    total = p.sum(axis=1, keepdims=True)
    loss = (np.log(total[:, 0]) - z[np.arange(len(t)), t]).sum() / len(t)
    p /= total
    return loss, p
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# softmax_cross_entropy:
#   title: Cross-entropy from scores
#   hints:
#     - Three quantities for each row, the sum of its exponentials, the logarithm of that sum, and the score of the right class. Which of them is p still needed for?
#     - Sum p along each row, with keepdims=True so that the sums can divide p later. Take the logarithm of the sums without their second axis, subtract the score of the right class, average. Then divide p by the sums.
#     - "loss = (np.log(total[:, 0]) - z[np.arange(len(t)), t]).mean()"
#   misconceptions:
#     - name: logarithm of the softmax
#       says: >-
#         A probability rounded to 0 before its logarithm was taken, and the loss became infinite. The logarithm of the quotient is a
#         difference: log of the sum, minus the score.
#       code: |
#         p /= p.sum(axis=1, keepdims=True)
#         with np.errstate(divide="ignore"):
#             return -np.log(p[np.arange(len(t)), t]).mean(), p
#     - name: mixes shifted and unshifted scores
#       says: >-
#         The sum was taken over shifted scores, but the score of the right class was not shifted. The shift cancels only where it is
#         applied to both.
#       code: |
#         total = p.sum(axis=1, keepdims=True)
#         loss = (np.log(total[:, 0]) - logits[np.arange(len(t)), t]).mean()
#         return loss, p / total
#     - name: takes whole columns
#       says: >-
#         z[:, t] takes the columns t from every row, N times too many scores. One score from each row is
#         z[np.arange(len(t)), t].
#       code: |
#         total = p.sum(axis=1, keepdims=True)
#         loss = (np.log(total) - z[:, t]).mean()
#         return loss, p / total
#     - name: sums over the batch
#       says: >-
#         The losses of the batch were added. With a mean, the size of a gradient does not depend on the size of the
#         batch.
#       code: |
#         total = p.sum(axis=1, keepdims=True)
#         loss = (np.log(total[:, 0]) - z[np.arange(len(t)), t]).sum()
#         return loss, p / total
#     - name: keeps the exponentials
#       says: >-
#         The loss is right, but what is kept for the slope are the exponentials, whose rows do not add up to 1. Divide p by the sums.
#       code: |
#         total = p.sum(axis=1, keepdims=True)
#         loss = (np.log(total[:, 0]) - z[np.arange(len(t)), t]).mean()
#         return loss, p
#     - name: all exponentials twice
#       says: >-
#         The values are right, but the exponentials were computed again, by log_softmax for example. They stand in p already: take its
#         row sums for the loss, and then divide p by them.
#       code: |
#         loss = -log_softmax(logits)[np.arange(len(t)), t].mean()
#         return loss, p / p.sum(axis=1, keepdims=True)

# %% nbgrader={"grade": true, "grade_id": "test_softmax_cross_entropy", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
def test_softmax_cross_entropy():
    check(softmax_cross_entropy(np.zeros((1, 4)), np.array([2])), 1.3862944)
    check(softmax_cross_entropy(np.log([[1.0, 3.0]]), np.array([1])), 0.2876821)
    check(softmax_cross_entropy(np.log([[1.0, 3.0]]), np.array([0])), 1.3862944)
    check(softmax_cross_entropy(np.log([[1.0, 3.0], [1.0, 1.0]]), np.array([1, 0])), 0.4904146)
    with np.errstate(over="raise", invalid="raise"):
        check(softmax_cross_entropy(np.array([[-1e4, -1e4]], dtype=np.float32), np.array([1])), 0.6931472)
        check(softmax_cross_entropy(np.array([[1e4, 0.0]], dtype=np.float32), np.array([1])), 10000.0)
    check(str(softmax_cross_entropy(np.zeros((2, 3), dtype=np.float32), np.array([0, 1])).dtype), "float32")
    check(softmax_cross_entropy.__wrapped__(np.log([[1.0, 3.0]]), np.array([0]))[1], [[0.25, 0.75]])
    check(numpy_calls(softmax_cross_entropy, [[1.0, 3.0]], [0]).count("exp"), 1)

test_softmax_cross_entropy()

# %% [markdown]
# ### Its slope
#
# Differentiate $\log \sum_k e^{z_k} - z_t$ with respect to $z_j$. The first part gives $e^{z_j} / \sum_k e^{z_k}$,
# which is the softmax $p_j$. The second gives $-1$ for $j = t$ and nothing elsewhere. So the slope is *probability
# minus truth*, where the truth is 1 for the right class and 0 for the others, and the mean over the batch divides it by
# $N$. It never explodes, whatever the scores: each entry lies between $-1/N$ and $1/N$.

# %% nbgrader={"grade": false, "grade_id": "cross_entropy_slope", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def cross_entropy_slope(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The slope of `softmax_cross_entropy` with respect to the logits.

    Parameters
    ----------
    p : array, shape (N, K)
        The softmax of each row. Not changed: a graph may be walked twice.
    t : array of integers, shape (N,)
        The right classes.

    Returns
    -------
    array, shape (N, K)
    """
    ### BEGIN SOLUTION cross_entropy_slope
    slope = p / len(t)
    slope[np.arange(len(t)), t] -= 1 / len(t)
    return slope
    ### END SOLUTION


gradient(
    softmax_cross_entropy,
    composition=softmax_cross_entropy_composed,
    broadcasts=False,
    logits=lambda g, kept, targets: g * cross_entropy_slope(kept, targets),
)

# %% [raw] tags=["exercise"]
# cross_entropy_slope:
#   title: Probability minus truth
#   hints:
#     - In which single entry of each row does the slope differ from the softmax, and by how much?
#     - Divide p by the number of rows, which makes a new array, and subtract the same share of 1 at the right class of each row.
#     - "slope[rows, t] -= 1 / len(t), where rows counts the rows, one for each entry of t"
#   misconceptions:
#     - name: forgets the mean
#       says: >-
#         The slope is that of a sum over the batch. The loss is a mean, so each row counts one N-th: divide by the number of
#         rows.
#       code: |
#         slope = p.copy()
#         slope[np.arange(len(t)), t] -= 1
#         return slope
#     - name: truth minus probability
#       says: >-
#         The sign is turned. Raising the score of the right class makes the loss smaller, so its slope has to be negative; with this one
#         every step would go uphill.
#       code: |
#         slope = -p / len(t)
#         slope[np.arange(len(t)), t] += 1 / len(t)
#         return slope
#     - name: subtracts from whole columns
#       says: >-
#         slope[:, t] changes the columns t in every row. Only the right class of each row is to be changed.
#       code: |
#         slope = p / len(t)
#         slope[:, t] -= 1 / len(t)
#         return slope
#     - name: divides by all entries
#       says: >-
#         The slope was divided by the number of all scores. The mean is over the samples, of which there are as many as
#         targets.
#       code: |
#         slope = p / p.size
#         slope[np.arange(len(t)), t] -= 1 / p.size
#         return slope
#     - name: changes what was kept
#       says: >-
#         p itself was changed. The node still holds it, and a second walk through the same graph would start from a wrong softmax. Make a
#         new array.
#       code: |
#         p /= len(t)
#         p[np.arange(len(t)), t] -= 1 / len(t)
#         return p

# %% nbgrader={"grade": true, "grade_id": "test_cross_entropy_slope", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_cross_entropy_slope():
    p = np.array([[0.25, 0.75], [0.75, 0.25]])
    check(cross_entropy_slope(np.array([[0.5, 0.5]]), np.array([0])), [[-0.5, 0.5]])
    check(cross_entropy_slope(p, np.array([0, 0])), [[-0.375, 0.375], [-0.125, 0.125]])
    check(p, [[0.25, 0.75], [0.75, 0.25]])
    check(cross_entropy_slope(np.full((2, 2), 0.5), np.array([1, 0])), [[0.25, -0.25], [-0.25, 0.25]])
    x = Variable(np.log([[1.0, 3.0]]))
    softmax_cross_entropy(x, Tensor([1])).backward()
    check(x.grad, [[0.25, -0.25]])

test_cross_entropy_slope()

# %% [markdown]
# Is it the same as the composition, in value and slope, and is it worth having? The checker of the autograd chapter
# judges the row, and a clock the rest.

# %%
rng = np.random.default_rng(0)
z, t = rng.standard_normal((32, 10)), Tensor(rng.integers(0, 10, 32))
found = []
for f in (softmax_cross_entropy, softmax_cross_entropy_composed):
    x = Variable(z)
    loss = f(x, t)
    loss.backward()
    found.append((loss.item(), x.grad.data))
(value, slope), (value_composed, slope_composed) = found
print(f"values differ by {abs(value - value_composed):.1e}, slopes by at most {abs(slope - slope_composed).max():.1e}")
print(f"against central differences: {check_gradients(lambda x: softmax_cross_entropy(x, t), z):.1e}")


z32 = z.astype(np.float32)
for name, f in (("fused", softmax_cross_entropy), ("composed", softmax_cross_entropy_composed)):
    print(f"{name:9s} forward and backward, batch of 32: {1e6 * seconds(lambda: f(Variable(z32), t).backward(), number=300):6.1f} us")

# %% [markdown]
# ## Yes or no: binary cross-entropy
#
# With two classes a single score is enough: the sigmoid of $x$ is the probability of *yes*. With the target $y$ being 1
# for yes and 0 for no, the loss $-y \log \sigma(x) - (1 - y) \log(1 - \sigma(x))$ becomes, with the same care as
# before,
#
# $$\max(x, 0) - x y + \log(1 + e^{-|x|}).$$
#
# The exponent is never positive, so nothing overflows. And for a confident right answer the first two terms cancel
# exactly, which leaves the small last one with all its digits.

# %% nbgrader={"grade": false, "grade_id": "binary_cross_entropy", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def binary_cross_entropy_composed(logits, targets) -> Tensor:
    """What `binary_cross_entropy_with_logits` equals, up to rounding, written with operations."""
    return mean(softplus(logits) - logits * plain(targets).astype(logits.dtype))


@operation
def binary_cross_entropy_with_logits(logits, targets, /):
    """The mean of -log of the probability that sigmoid(logits) gives to the right answer.

    Parameters
    ----------
    logits : array of floats, any shape
    targets : array of the same shape, numbers from 0 (no) to 1 (yes)

    Returns
    -------
    number of the dtype of `logits`

    Notes
    -----
    The formula stands in the text above. ``np.log1p(e)`` is log(1 + e), exact for small e.
    """
    x, y = logits, targets.astype(logits.dtype)
    ### BEGIN SOLUTION binary_cross_entropy
    return (np.maximum(x, 0) - x * y + np.log1p(np.exp(-abs(x)))).mean()
    ### END SOLUTION


gradient(binary_cross_entropy_with_logits, composition=binary_cross_entropy_composed,
         logits=lambda g, logits, targets: g * (sigmoid(logits) - targets).astype(logits.dtype) / logits.size)  # fmt: skip

# %% [raw] tags=["exercise"]
# binary_cross_entropy:
#   title: Yes or no
#   hints:
#     - The formula has three terms. Which NumPy function keeps the digits of the last one?
#     - Add the three terms entry by entry, and take the mean over all entries.
#     - "np.maximum(x, 0) - x * y + np.log1p(np.exp(-abs(x)))"
#   misconceptions:
#     - name: logarithm of the sigmoid
#       says: >-
#         The sigmoid rounded to 0 or 1, and its logarithm or that of its complement became infinite. Use the form in which no
#         probability appears.
#       code: |
#         with np.errstate(all="ignore"):
#             p = 1 / (1 + np.exp(-x))
#             return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
#     - name: clips the probability
#       says: >-
#         Probabilities were kept away from 0 and 1, so the loss of a confident wrong answer stops growing, and its slope is 0
#         where it should be largest. The stable form needs no clipping.
#       code: |
#         with np.errstate(all="ignore"):
#             p = np.clip(1 / (1 + np.exp(-x)), 1e-7, 1 - 1e-7)
#         return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
#     - name: loses small losses
#       says: >-
#         For a confident right answer the loss came out as 0. The small number was added to a large one and then the large one
#         subtracted. Let the large terms cancel first, and use log1p.
#       code: |
#         return (np.maximum(x, 0) + np.log1p(np.exp(-abs(x))) - x * y).mean()
#     - name: without log1p
#       says: >-
#         1 + e was rounded to 1 before its logarithm was taken, and small losses came out as 0. np.log1p(e) keeps
#         their digits.
#       code: |
#         return (np.maximum(x, 0) - x * y + np.log(1 + np.exp(-abs(x)))).mean()
#     - name: exchanges yes and no
#       says: >-
#         A target of 1 was treated as no. The term with the target is subtracted, which makes the loss small for large x and y = 1.
#       code: |
#         return (np.maximum(x, 0) - x * (1 - y) + np.log1p(np.exp(-abs(x)))).mean()

# %% nbgrader={"grade": true, "grade_id": "test_binary_cross_entropy", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_binary_cross_entropy():
    check(binary_cross_entropy_with_logits(np.array([0.0]), np.array([1])), 0.6931472)
    check(binary_cross_entropy_with_logits(np.log([3.0]), np.array([1])), 0.2876821)
    check(binary_cross_entropy_with_logits(np.log([3.0, 3.0]), np.array([0, 1])), 0.8369882)
    with np.errstate(over="raise", invalid="raise"):
        check(binary_cross_entropy_with_logits(np.float32([-1e4]), np.array([1])), 10000.0)
        check(binary_cross_entropy_with_logits(np.float32([1e4]), np.array([0])), 10000.0)
        check(binary_cross_entropy_with_logits(np.float32([1e4, -1e4]), np.array([1, 0])), 0.0)
    check(1e9 * binary_cross_entropy_with_logits(np.float32([-20.0]), np.array([0])), 2.0611537)
    check(1e9 * binary_cross_entropy_with_logits(np.float32([20.0]), np.array([1])), 2.0611537)
    x = Variable(np.log([3.0, 1.0]))
    binary_cross_entropy_with_logits(x, Tensor([1, 0])).backward()
    check(x.grad, [-0.125, 0.25])

test_binary_cross_entropy()

# %% [markdown]
# ## Losses as objects
#
# A trainer is handed a loss and calls it as `loss_function(y_pred, y_true)`. These objects are also where targets are
# looked at: a class number out of range would otherwise be read from the wrong end of a row (`z[-1]` is no error in
# Python), and one-hot rows or float targets would end in a message from deep inside NumPy. And a NaN stops here, with
# its place, before it has made every weight a NaN.

# %%
#| export
class NotFiniteError(ArithmeticError):
    """A loss, a prediction or a gradient is NaN or infinite, and training cannot go on."""


def checked_loss(name: str, loss: Tensor, y_pred: Tensor, y_true: Tensor) -> Tensor:
    """The loss itself. Raises NotFiniteError, naming the first bad entry, where it is NaN."""
    if loss.data == loss.data:  # NaN alone differs from itself
        return loss
    for what, values in (("predictions", y_pred.data), ("targets", y_true.data)):
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            place = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
            raise NotFiniteError(
                f"{name}: the {what} hold {values[place]} at {list(place)}, so the loss is no number.\n"
                "  first_nonfinite(lambda x: model(x), x) of the autograd chapter finds the operation that made it."
            )
    raise NotFiniteError(f"{name}: the loss is no number although predictions and targets are finite: an overflow?")


def explain_classes(y_pred, y_true) -> Exception:
    """The error for targets that are no class numbers for these logits."""
    shape, given, kind = y_pred.shape, y_true.shape, y_true.dtype.kind
    name = "CrossEntropyLoss"
    if y_pred.dtype.kind in "iu" and kind == "f" and y_true.ndim == y_pred.ndim + 1:
        return TypeError(f"{name}: the arguments look exchanged. Call it as loss_function(y_pred, y_true): scores first.")
    if len(shape) == 0 or 0 in shape:
        return ValueError(f"{name}: the logits have shape {shape}. Expected (N, K): N samples, at least one, and K scores each.")
    if given == shape:
        return ValueError(
            f"{name}: targets of shape {given} look one-hot, one entry for each class. Expected class numbers of shape {shape[:-1]}.\n"
            "  Convert with targets.argmax(axis=-1)."
        )
    if given != shape[:-1]:
        return ValueError(
            f"{name}: logits of shape {shape} need targets of shape {shape[:-1]}, one class number for each sample; these have {given}.\n"
            "  A column (N, 1) becomes (N,) with targets.reshape(-1)."
        )
    if kind not in "iu":
        return TypeError(
            f"{name}: the targets are of type {y_true.dtype}. Class numbers are integers from 0 to {shape[-1] - 1}.\n"
            "  Convert with targets.astype(np.int64); for numbers to be predicted, use MeanSquaredError."
        )
    wrong = int(np.argmax((y_true < 0) | (y_true >= shape[-1])))
    return ValueError(
        f"{name}: target {y_true.reshape(-1)[wrong]} (sample {wrong}) is out of range: {shape[-1]} scores a sample are the classes 0 to {shape[-1] - 1}.\n"
        "  Count classes from 0, and give the last layer one output for each class."
    )


def are_classes(y_true: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether targets are class numbers for logits of this shape."""
    if not shape or y_true.shape != shape[:-1] or y_true.dtype.kind not in "iu" or y_true.size == 0:
        return False
    unsigned = y_true.view(UNSIGNED[y_true.itemsize])  # -1 read without a sign is larger than any class
    return unsigned.item(unsigned.argmax()) < shape[-1]


UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


class CrossEntropyLoss:
    """Cross-entropy of class scores, averaged over the batch.

    Called as ``loss_function(y_pred, y_true)`` with logits of shape (..., K), not
    probabilities, and class numbers of shape (...).

    Raises
    ------
    ValueError, TypeError
        For targets out of range, of another shape, one-hot, or not integers.
    NotFiniteError
        Where the loss is NaN, with the place of the first bad entry.
    """

    name = "loss"

    def __call__(self, y_pred, y_true) -> Tensor:
        y_pred, y_true = as_tensor(y_pred), as_tensor(y_true)
        if not are_classes(y_true.data, y_pred.data.shape):
            raise explain_classes(y_pred, y_true.data)
        scores, classes = y_pred, y_true
        if y_pred.data.ndim != 2:  # one sample is a batch of one; of more axes, each row of scores is a sample
            scores, classes = y_pred.reshape(-1, y_pred.shape[-1]), y_true.reshape(-1)
        return checked_loss("CrossEntropyLoss", softmax_cross_entropy(scores, classes), y_pred, y_true)


class BinaryCrossEntropyLoss:
    """Cross-entropy of yes-or-no scores, averaged over all entries.

    Called as ``loss_function(y_pred, y_true)`` with logits, not probabilities, and targets from 0 to 1 of the same shape.
    """

    name = "loss"

    def __call__(self, y_pred, y_true) -> Tensor:
        y_pred, y_true = as_tensor(y_pred), as_tensor(y_true)
        same_shapes("BinaryCrossEntropyLoss", y_pred, y_true)
        if not (y_true.data.min() >= 0 and y_true.data.max() <= 1):
            raise ValueError(
                f"BinaryCrossEntropyLoss: targets reach from {y_true.data.min()} to {y_true.data.max()}. Expected 0 (no) to 1 (yes).\n"
                "  Labels -1 and 1 become 0 and 1 with (labels + 1) / 2; for more than two classes use CrossEntropyLoss."
            )
        return checked_loss("BinaryCrossEntropyLoss", binary_cross_entropy_with_logits(y_pred, y_true), y_pred, y_true)


class MeanSquaredError:
    """Mean squared error over all entries, called as ``loss_function(y_pred, y_true)`` with one shape for both."""

    name = "loss"

    def __call__(self, y_pred, y_true) -> Tensor:
        y_pred, y_true = as_tensor(y_pred), as_tensor(y_true)
        return checked_loss("MeanSquaredError", mean_squared_error(y_pred, y_true), y_pred, y_true)


# %% nbgrader={"grade": true, "grade_id": "test_losses", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_losses():
    loss_function, logits = CrossEntropyLoss(), Tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    check(loss_function(logits, Tensor([0, 2])), 1.0986123)
    check(loss_function(np.zeros((2, 3)), [0, 2]), 1.0986123)
    check(loss_function(np.zeros((2, 3, 4)), np.zeros((2, 3), dtype=int)), 1.3862944)
    check_raises(ValueError, lambda: loss_function(logits, Tensor([0, 3])), "target 3 (sample 1) is out of range")
    check_raises(ValueError, lambda: loss_function(logits, Tensor([-1, 0])), "target -1 (sample 0)")
    check_raises(TypeError, lambda: loss_function(logits, Tensor([0.0, 1.0])), "float32")
    check_raises(ValueError, lambda: loss_function(logits, Tensor([[1, 0, 0], [0, 1, 0]])), "one-hot")
    check_raises(ValueError, lambda: loss_function(logits, Tensor([[0], [1]])), "targets.reshape(-1)")
    check_raises(TypeError, lambda: loss_function(Tensor([0, 1]), logits), "exchanged")
    check_raises(NotFiniteError, lambda: loss_function(Tensor([[0.0, np.nan]]), Tensor([0])), "nan at [0, 1]")
    check_raises(ValueError, lambda: BinaryCrossEntropyLoss()(Tensor([0.5]), Tensor([-1])), "Expected 0 (no) to 1 (yes)")
    check_raises(NotFiniteError, lambda: MeanSquaredError()(Tensor([np.nan]), Tensor([1.0])), "predictions hold nan")

test_losses()

# %% [markdown]
# ## What people want to know: accuracy
#
# The loss is for the optimizer. People ask how many digits were read correctly, a number without a useful slope: nudge
# a weight, and most of the time not a single answer changes. Such numbers, which are only looked at, are called
# *metrics*. They have the same two arguments.

# %%
#| export
def predicted_classes(y_pred, y_true) -> np.ndarray:
    """Class numbers from scores (..., K), from yes-or-no scores, or as they are where they are integers."""
    y_pred = values_of("the predictions", y_pred)
    if y_pred.ndim == np.ndim(y_true) + 1:
        return y_pred.argmax(axis=-1)
    return y_pred if y_pred.dtype.kind in "iub" else (y_pred > 0).astype(np.int64)


def values_of(what: str, x) -> np.ndarray:
    """The array of a Tensor, an array or nested lists, once it is seen to hold numbers."""
    array = plain(x) if isinstance(x, Tensor) else np.asarray(x)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{what} are {x!r:.60}, not numbers. Expected scores or class numbers.")
    return array


class Accuracy:
    """The fraction of right answers, from 0 to 1.

    Called as ``accuracy(y_pred, y_true)`` with scores of shape (..., K) and class numbers (...), with yes-or-no scores
    and targets of one shape (a positive score is a yes), or with class numbers on both sides.
    """

    name = "accuracy"

    def __call__(self, y_pred, y_true) -> float:
        y_true = values_of("Accuracy: the targets", y_true)
        classes = predicted_classes(y_pred, y_true)
        if classes.shape != y_true.shape:
            raise ValueError(f"Accuracy: predictions for {classes.shape} samples, but targets of shape {y_true.shape}.")
        if y_true.size == 0:
            raise ValueError("Accuracy: there are no samples.")
        return float((classes == y_true).mean())


# %% [markdown]
# A single number does not say *which* mistakes are made. The *confusion matrix* does: entry `[i, j]` counts the samples
# of class `i` that were taken for class `j`. Right answers lie on the diagonal.

# %% nbgrader={"grade": false, "grade_id": "confusion_matrix", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def confusion_matrix(y_pred, y_true, classes: int | None = None) -> np.ndarray:
    """How many samples of each class were taken for which.

    Parameters
    ----------
    y_pred : scores of shape (N, K), or class numbers of shape (N,)
    y_true : class numbers, shape (N,)
    classes : int, optional
        Number of classes. Without it, one more than the largest that occurs, or K.

    Returns
    -------
    array of int, shape (classes, classes)
        Row: the true class. Column: the predicted one.

    Notes
    -----
    ``true`` and ``predicted`` below are class numbers. The same pair can occur many times, and each time counts: either loop over the pairs,
    or use ``np.add.at(array, indices, 1)``, which adds once for every index given.
    """
    true = values_of("confusion_matrix: the targets", y_true)
    if classes is not None and (isinstance(classes, bool) or not isinstance(classes, (int, np.integer)) or classes < 1):
        raise ValueError(f"confusion_matrix: classes is {classes!r:.40}, but it has to be a whole number of at least 1.")
    predicted = predicted_classes(y_pred, true)
    if predicted.shape != true.shape:
        raise ValueError(f"confusion_matrix: {predicted.shape} predictions, but targets of shape {true.shape}.")
    if true.size == 0:
        raise ValueError("confusion_matrix: there are no samples.")
    low, high = min(true.min(), predicted.min()), max(true.max(), predicted.max())
    if classes is None:
        classes = np.shape(y_pred)[-1] if np.ndim(y_pred) == true.ndim + 1 else int(high) + 1
    if true.dtype.kind not in "biu" or low < 0 or high >= classes:
        raise ValueError(f"confusion_matrix: classes are numbered 0 to {classes - 1} here, these reach from {low} to {high}.")
    matrix = np.zeros((classes, classes), dtype=np.int64)
    ### BEGIN SOLUTION confusion_matrix
    np.add.at(matrix, (true, predicted), 1)
    return matrix
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# confusion_matrix:
#   title: Which mistakes
#   hints:
#     - Each sample adds 1 to one entry of the matrix. To which?
#     - For every pair (t, p) of a true and a predicted class add 1 to matrix[t, p]. Return the matrix.
#     - "np.add.at(matrix, ..., 1), with the pair of index arrays in the gap: += would count a pair that comes twice only once"
#   misconceptions:
#     - name: counts each pair once
#       says: >-
#         matrix[true, predicted] += 1 looks up all entries, adds 1, and writes them back: a pair that occurs three times is written three
#         times with the same value. np.add.at adds for each.
#       code: |
#         matrix[true, predicted] += 1
#         return matrix
#     - name: rows and columns exchanged
#       says: >-
#         Rows are the true classes, columns the predicted ones; here it is the other way round. The diagonal looks right in both cases.
#       code: |
#         np.add.at(matrix, (predicted, true), 1)
#         return matrix
#     - name: counts right answers only
#       says: >-
#         Only the diagonal was filled. The mistakes are what the matrix is for.
#       code: |
#         for t, p in zip(true, predicted):
#             matrix[t, t] += t == p
#         return matrix

# %% nbgrader={"grade": true, "grade_id": "test_confusion_matrix", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_confusion_matrix():
    check(confusion_matrix([0, 1, 1], [0, 1, 1]), [[1, 0], [0, 2]])
    check(confusion_matrix([1, 1, 2], [0, 0, 2]), [[0, 2, 0], [0, 0, 0], [0, 0, 1]])
    check(confusion_matrix(Tensor([[5.0, 1.0], [2.0, 3.0], [0.0, 4.0]]), Tensor([0, 0, 1])), [[1, 1], [0, 1]])
    check(confusion_matrix([0], [0], classes=2), [[1, 0], [0, 0]])
    check(Accuracy()(Tensor([[5.0, 1.0], [2.0, 3.0], [0.0, 4.0]]), Tensor([0, 0, 1])), 0.6666667)
    check(Accuracy()(Tensor([-1.0, 2.0]), Tensor([0.0, 1.0])), 1.0)
    check_raises(ValueError, lambda: Accuracy()([0, 1], [0, 1, 1]), "(3,)")

test_confusion_matrix()

# %% [markdown]
# ## The step
#
# Gradient descent moves every parameter against its gradient: $w \leftarrow w - \eta\, g$, with the learning rate
# $\eta$. Two words of caution. What is moved has to be the *array inside* the parameter: the network holds the
# Parameter, and a new one in a variable of our own would change nothing in it. And the subtraction must not be
# recorded, so it is done on the arrays.
#
# The constructor checks the list it is given. The mistakes there are of a quiet kind too: `parameters()` may be a
# generator, which is empty the second time it is gone through, and an optimizer with no parameters does its work very
# fast.

# %%
#| export
def checked_parameters(name: str, parameters) -> list[Tensor]:
    """`parameters` as a list of distinct Tensors that require a gradient."""
    if isinstance(parameters, Tensor):
        raise TypeError(f"{name}: a list of parameters is needed, this is a single one. Write [{type(parameters).__name__.lower()}].")
    if hasattr(parameters, "parameters"):
        raise TypeError(f"{name}: this is a {type(parameters).__name__}, not its parameters. Give model.parameters().")
    try:
        found = list(parameters)
    except TypeError as error:
        raise TypeError(f"{name}: {parameters!r:.60} is no list of parameters. Give model.parameters().") from error
    if not found:
        raise ValueError(
            f"{name}: there are no parameters, so there is nothing to train.\n"
            "  Does the network have any? If this was a generator, it may have been used up: call model.parameters() again."
        )
    for i, p in enumerate(found):
        if isinstance(p, tuple) and len(p) == 2:
            raise TypeError(f"{name}: entry {i} is a pair. Give model.parameters(), not named_parameters().")
        if not isinstance(p, Tensor):
            raise TypeError(f"{name}: entry {i} is {p!r:.60}, not a Parameter or Variable.")
        if not p.requires_grad:
            raise ValueError(
                f"{name}: entry {i}, of shape {p.shape}, requires no gradient, so backward will never give it one.\n"
                "  Make it a Parameter, or leave it out."
            )
    if len({id(p) for p in found}) < len(found):
        raise ValueError(f"{name}: a parameter is in the list twice, and would take every step twice. Give each once.")
    return found


def checked_rate(name: str, learning_rate) -> float:
    """`learning_rate` as a float, once it is seen to be a finite number that is not negative."""
    try:
        rate = float(learning_rate)
    except (TypeError, ValueError):
        rate = math.nan
    if not 0 <= rate < math.inf:
        raise ValueError(f"{name}: learning_rate is {learning_rate!r}, but it has to be a number of at least 0, such as 0.01.")
    return rate


# %% nbgrader={"grade": false, "grade_id": "gradient_descent_step", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
class GradientDescent:
    """Moves parameters against their gradients.

    Parameters
    ----------
    parameters : list of Parameters or Variables
    learning_rate : float
    """

    def __init__(self, parameters, learning_rate: float = 0.01):
        self.parameters = checked_parameters("GradientDescent", parameters)
        self.learning_rate = checked_rate("GradientDescent", learning_rate)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self.parameters:
            p.grad = None

    def step(self) -> None:
        """Subtract from each parameter the learning rate times its gradient.

        Notes
        -----
        `p.data` is the array of a parameter and `p.grad.data` that of its gradient. `p.grad` is None where the last backward did not
        reach the parameter; it then stays as it is. Change the array, not the variable.
        """
        ### BEGIN SOLUTION gradient_descent_step
        for p in self.parameters:
            if p.grad is not None:
                p.data -= self.learning_rate * p.grad.data
        ### END SOLUTION

    def state_dict(self) -> dict:
        """What a resumed run needs to know."""
        return {"learning_rate": self.learning_rate}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` gave."""
        if not isinstance(state, dict) or "learning_rate" not in state:
            raise ValueError(f"GradientDescent: {state!r:.60} is no state of an optimizer. Expected what state_dict() gave.")
        self.learning_rate = checked_rate("GradientDescent", state["learning_rate"])


# %% [raw] tags=["exercise"]
# gradient_descent_step:
#   title: A step downhill
#   hints:
#     - In which direction does the loss fall, if the gradient says in which it rises? And what has to change so that the network notices?
#     - Go through the parameters, pass over those without a gradient, and subtract learning_rate times the gradient's array from the parameter's array, in place.
#     - "p.data -= ..., with the learning rate times the array of the gradient in the gap"
#   misconceptions:
#     - name: goes uphill
#       says: >-
#         The gradient was added. It points to where the loss grows; the step goes the other way.
#       code: |
#         for p in self.parameters:
#             if p.grad is not None:
#                 p.data += self.learning_rate * p.grad.data
#     - name: changes the variable only
#       says: >-
#         p = p - ... makes a new Tensor and gives it the name p inside the loop. The network still holds the old one. Change the array
#         that the parameter holds: p.data.
#       code: |
#         for p in self.parameters:
#             if p.grad is not None:
#                 p = p - self.learning_rate * p.grad
#     - name: puts a Tensor into data
#       says: >-
#         p.data became a Tensor, because p.grad is one. From now on every operation unwraps p and finds something that is still
#         wrapped. Use the array of the gradient, p.grad.data.
#       code: |
#         for p in self.parameters:
#             if p.grad is not None:
#                 p.data = p.data - self.learning_rate * p.grad
#     - name: forgets the learning rate
#       says: >-
#         The whole gradient was subtracted. How far to go is said by the learning rate.
#       code: |
#         for p in self.parameters:
#             if p.grad is not None:
#                 p.data -= p.grad.data
#     - name: stops at the first without a gradient
#       says: >-
#         A parameter without a gradient ended the loop, and those after it were not moved. Pass over it, and go on.
#       code: |
#         for p in self.parameters:
#             if p.grad is None:
#                 break
#             p.data -= self.learning_rate * p.grad.data

# %% nbgrader={"grade": true, "grade_id": "test_gradient_descent_step", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_gradient_descent_step():
    p = Parameter([1.0, 2.0])
    p.grad = Tensor([10.0, -20.0])
    GradientDescent([p], learning_rate=0.1).step()
    check(p, [0.0, 4.0])
    check(type(p.data).__name__, "ndarray")
    check(str(p.dtype), "float32")
    check(p.grad, [10.0, -20.0])
    a, b, c = Variable(3.0), Variable(5.0), Variable(7.0)
    optimizer = GradientDescent([a, b, c], learning_rate=0.5)
    (a * 2 + c * 4).backward()
    optimizer.step()
    check([a.item(), b.item(), c.item()], [2.0, 5.0, 5.0])
    check(str(a.dtype), "float32")
    optimizer.zero_grad()
    check(a.grad, None)
    used_up = (v for v in [a])
    list(used_up)
    check_raises(ValueError, lambda: GradientDescent(used_up), "used up")
    check_raises(ValueError, lambda: GradientDescent([Tensor([1.0])]), "requires no gradient")
    check_raises(TypeError, lambda: GradientDescent(a), "a single one")

test_gradient_descent_step()

# %% [markdown]
# ## One batch
#
# Forget the old gradients, predict, measure, go back, step. The order matters, and each of the five is a line.
#
# `clip_gradients` from the autograd chapter has its place here as well: where `max_norm` is given, the gradients are
# shortened after they have been found and before they are used.

# %% nbgrader={"grade": false, "grade_id": "train_step", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def train_step(model, optimizer, loss_function, x, y, max_norm: float | None = None) -> tuple[float, Tensor]:
    """One step of training on one batch.

    Parameters
    ----------
    model : callable
    optimizer : object with ``zero_grad()``, ``step()`` and ``parameters``
    loss_function : callable ``(y_pred, y_true) -> Tensor``
    x, y : features and targets of the batch
    max_norm : float, optional
        Where given, ``clip_gradients(optimizer.parameters, max_norm)`` limits the step.

    Returns
    -------
    loss : float
        Before the step.
    y_pred : Tensor
        What the model said before the step, without its history (`detach`).
    """
    ### BEGIN SOLUTION train_step
    optimizer.zero_grad()
    y_pred = model(x)
    loss = loss_function(y_pred, y)
    loss.backward()
    if max_norm is not None:
        clip_gradients(optimizer.parameters, max_norm)
    optimizer.step()
    return loss.item(), y_pred.detach()
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# train_step:
#   title: One batch
#   hints:
#     - The sentence above names five things in their order. Where does the sixth, clipping, have to stand?
#     - zero_grad, predict, loss, backward, clip if asked, step. Return loss.item() and the prediction detached.
#     - "loss = loss_function(model(x), y); loss.backward(); optimizer.step(), with zero_grad before all of it"
#   misconceptions:
#     - name: never forgets gradients
#       says: >-
#         The step was too long: backward adds to the gradients that are there, and nobody had cleared them. Call optimizer.zero_grad() before
#         backward.
#       code: |
#         y_pred = model(x)
#         loss = loss_function(y_pred, y)
#         loss.backward()
#         if max_norm is not None:
#             clip_gradients(optimizer.parameters, max_norm)
#         optimizer.step()
#         return loss.item(), y_pred.detach()
#     - name: forgets them too early
#       says: >-
#         Nothing moved: the gradients were cleared after backward had found them and before the step used them.
#       code: |
#         y_pred = model(x)
#         loss = loss_function(y_pred, y)
#         loss.backward()
#         optimizer.zero_grad()
#         optimizer.step()
#         return loss.item(), y_pred.detach()
#     - name: steps before going back
#       says: >-
#         The step came before backward, and used the gradient of something earlier. Go back first, then step.
#       code: |
#         y_pred = model(x)
#         loss = loss_function(y_pred, y)
#         optimizer.step()
#         optimizer.zero_grad()
#         loss.backward()
#         return loss.item(), y_pred.detach()
#     - name: exchanges the arguments of the loss
#       says: >-
#         The loss was called with the targets first. For a symmetric loss it does not show; for others it does. The order is
#         (y_pred, y_true).
#       code: |
#         optimizer.zero_grad()
#         y_pred = model(x)
#         loss = loss_function(y, y_pred)
#         loss.backward()
#         if max_norm is not None:
#             clip_gradients(optimizer.parameters, max_norm)
#         optimizer.step()
#         return loss.item(), y_pred.detach()
#     - name: clips after the step
#       says: >-
#         The step was taken with the whole gradient, and clipped only then. Clip between backward and step.
#       code: |
#         optimizer.zero_grad()
#         y_pred = model(x)
#         loss = loss_function(y_pred, y)
#         loss.backward()
#         optimizer.step()
#         if max_norm is not None:
#             clip_gradients(optimizer.parameters, max_norm)
#         return loss.item(), y_pred.detach()

# %% nbgrader={"grade": true, "grade_id": "test_train_step", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
def test_train_step():
    w = Variable([1.0])
    w.grad = Tensor([5.0])  # left over from something else
    optimizer = GradientDescent([w], learning_rate=0.1)
    steps = lambda: train_step(lambda x: w * x, optimizer, lambda y_pred, y_true: (y_pred - 3 * y_true).sum(), Tensor([2.0]), Tensor([1.0]))
    check(steps()[0], -1.0)
    check(w, [0.8])
    check(steps()[0], -1.4)
    check(w, [0.6])
    loss, y_pred = steps()
    check(isinstance(loss, float), True)
    check(y_pred, [1.2])
    check(y_pred.requires_grad, False)
    w = Variable([1.0])
    optimizer = GradientDescent([w], learning_rate=0.1)
    train_step(lambda x: w * x, optimizer, lambda y_pred, y_true: y_pred.sum(), Tensor([50.0]), Tensor([1.0]), max_norm=2.0)
    check(w, [0.8])

test_train_step()

# %% [markdown]
# Eight lines, and digits are being read. The data set's fixed test part is left alone until the end of this chapter;
# choices are made on a validation part that is cut from the training part.

# %%
train, test = digits_split()
train, validation = train_test_split(train, test_size=237, seed=1, stratify=True)
model = create_mlp(64, [32], 10, rng=0)
optimizer, loss_function = GradientDescent(model.parameters(), learning_rate=0.5), CrossEntropyLoss()
loader = DataLoader(train, batch_size=32, seed=0)
for epoch in range(5):
    losses = [train_step(model, optimizer, loss_function, x, y)[0] for x, y in loader]
    print(f"epoch {epoch + 1}   first batch {losses[0]:.4f}   last batch {losses[-1]:.4f}   batches {len(losses)}")

# %% [markdown]
# ## Measuring without disturbing
#
# How good is the network now, on digits that it has not been trained on? That needs a round through the other batches
# in which nothing is learned. Three things have to hold during that round, and one has to hold after it:
#
# - nothing is recorded (`no_grad`);
# - layers that behave differently in training, such as `Dropout`, are in evaluation mode;
# - every *sample* counts the same, and the last batch is often shorter than the others;
# - afterwards every layer is in the mode it was in before, whatever happened in between.
#
# The first two and the last are the work of a context, `evaluating`. The third is yours.

# %%
#| export
def parts_of(model) -> list:
    """The modules in a model and the random generators that they own, each once, in a fixed order."""
    found, waiting = {}, [model]
    for thing in waiting:  # grows while it is gone through
        if isinstance(thing, (list, tuple)):
            waiting.extend(thing)
        elif isinstance(thing, dict):
            waiting.extend(thing.values())
        elif isinstance(thing, (Module, np.random.Generator)) and id(thing) not in found:
            found[id(thing)] = thing
            if isinstance(thing, Module):
                waiting.extend(vars(thing).values())
    return list(found.values())


@contextmanager
def evaluating(model):
    """The model in evaluation mode and nothing recorded; afterwards each layer as it was."""
    modes = [(part, part.training) for part in parts_of(model) if isinstance(part, Module)]
    try:
        if isinstance(model, Module):
            model.eval()
        with no_grad():
            yield model
    finally:
        for part, mode in modes:
            part.training = mode


def number(value) -> float:
    """A Python float from a number or a Tensor of one entry."""
    return value.item() if isinstance(value, Tensor) else float(value)


# %% nbgrader={"grade": false, "grade_id": "evaluate", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def evaluate(model, dataloader, functions: dict) -> dict[str, float]:
    """Mean of each function over all samples of a dataloader.

    Parameters
    ----------
    model : callable
    dataloader : iterable of pairs (x, y)
        Batches, not all of which need to be equally large.
    functions : dict
        Name to ``function(y_pred, y_true)``, which gives the mean over the samples of a batch.

    Returns
    -------
    dict
        Name to mean, a float.

    Notes
    -----
    Use ``with evaluating(model):`` around the loop. `number` makes a float of what a function returns, and ``len(y)`` is the number of samples
    in a batch. The mean over all samples is the sum over all samples, divided by their number.
    """
    totals, count = dict.fromkeys(functions, 0.0), 0
    ### BEGIN SOLUTION evaluate
    with evaluating(model):
        for x, y in dataloader:
            y_pred = model(x)
            for name, function in functions.items():
                totals[name] += number(function(y_pred, y)) * len(y)
            count += len(y)
    ### END SOLUTION
    if count == 0:
        raise ValueError("evaluate: the dataloader gave no samples. A generator is used up after one round; use a DataLoader.")
    return {name: total / count for name, total in totals.items()}


# %% [raw] tags=["exercise"]
# evaluate:
#   title: Measure without disturbing
#   hints:
#     - A function gives the mean over a batch. What do you multiply it by to get the sum over that batch?
#     - Inside `with evaluating(model)`, go through the batches, predict once, add mean times len(y) to each total, and add len(y) to the count.
#     - "totals[name] += ... * len(y), for what a function gives is the mean of its batch, and the last batch may be smaller"
#   misconceptions:
#     - name: mean of the batches' means
#       says: >-
#         Every batch counted the same, so the samples of a short last batch counted more than the others. Weight each batch by its number
#         of samples.
#       code: |
#         with evaluating(model):
#             for x, y in dataloader:
#                 y_pred = model(x)
#                 for name, function in functions.items():
#                     totals[name] += number(function(y_pred, y))
#                 count += 1
#     - name: evaluates in training mode
#       says: >-
#         The network was in training mode: dropout was still throwing units away. Put the loop inside `with evaluating(model):`.
#       code: |
#         for x, y in dataloader:
#             y_pred = model(x)
#             for name, function in functions.items():
#                 totals[name] += number(function(y_pred, y)) * len(y)
#             count += len(y)
#     - name: stays in evaluation mode
#       says: >-
#         The network was left in evaluation mode. Training that goes on after this would go on without dropout. `with evaluating(model):` restores
#         the modes.
#       code: |
#         model.eval()
#         with no_grad():
#             for x, y in dataloader:
#                 y_pred = model(x)
#                 for name, function in functions.items():
#                     totals[name] += number(function(y_pred, y)) * len(y)
#                 count += len(y)
#     - name: keeps the last batch only
#       says: >-
#         Each batch replaced the one before it: only the last was counted. Add up.
#       code: |
#         with evaluating(model):
#             for x, y in dataloader:
#                 y_pred = model(x)
#                 for name, function in functions.items():
#                     totals[name] = number(function(y_pred, y)) * len(y)
#                 count = len(y)

# %% nbgrader={"grade": true, "grade_id": "test_evaluate", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
class Scripted(Module):
    def forward(self, x):
        return x * (100.0 if self.training else 2.0)

def test_evaluate():
    model = Scripted()
    batches = [(Tensor([1.0, 1.0, 1.0]), Tensor([0.0, 0.0, 0.0])), (Tensor([5.0]), Tensor([0.0]))]
    means = {"mean": lambda y_pred, y_true: (y_pred - y_true).data.mean()}
    check(evaluate(model, batches, means), {"mean": 4.0})
    check(model.training, True)
    model.eval()
    evaluate(model, batches, means)
    check(model.training, False)
    w = Variable([3.0])
    seen = []
    found = evaluate(lambda x: x * w, batches, {"loss": lambda y_pred, y_true: seen.append(y_pred.requires_grad) or y_pred.sum()})
    check(seen, [False, False])
    check(isinstance(found["loss"], float), True)
    check_raises(ValueError, lambda: evaluate(model, [], means), "no samples")

test_evaluate()

# %%
functions = {"loss": loss_function, "accuracy": Accuracy()}
print("validation part:", evaluate(model, DataLoader(validation, batch_size=50, shuffle=False), functions))

# %% [markdown]
# ## When to stop
#
# The loss on the training part falls as long as one trains. The loss on digits that are not trained on falls too, and
# then at some point does not, or rises: from there on the network learns its training samples by heart. *Early
# stopping* watches the second number, keeps a copy of the weights from its best epoch, and gives up when it has not
# become better for a number of epochs, the *patience*.
#
# The copy has to be a copy. Steps change arrays in place, so a list of the parameters would always hold the weights of
# today.

# %%
#| export
def snapshot(model) -> dict[str, np.ndarray]:
    """A copy of everything that `model.state_dict()` names."""
    return {name: np.array(plain(value)) for name, value in model.state_dict().items()}


# %% nbgrader={"grade": false, "grade_id": "early_stopping", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
class EarlyStopping:
    """Says when a number has not become smaller for some time, and keeps the weights from its best epoch.

    Parameters
    ----------
    patience : int, at least 1
        How many epochs without a new best are too many.
    min_delta : float
        By how much a value has to be below the best one to count as better.

    Attributes
    ----------
    best : float
    best_epoch : int
        0 before the first.
    best_state : dict or None
        The model's weights after that epoch.
    """

    def __init__(self, patience: int, min_delta: float = 0.0):
        if isinstance(patience, bool) or not isinstance(patience, (int, np.integer)) or patience < 1:
            raise ValueError(f"EarlyStopping: patience is {patience!r}, but it has to be a whole number of at least 1.")
        if not isinstance(min_delta, (int, float, np.number)) or not min_delta >= 0:
            raise ValueError(f"EarlyStopping: min_delta is {min_delta!r:.60}, but it has to be a number of at least 0.")
        self.patience, self.min_delta = int(patience), float(min_delta)
        self.best, self.best_epoch, self.best_state = math.inf, 0, None

    def update(self, value: float, epoch: int, model) -> bool:
        """Take note of an epoch, and say whether to stop.

        Parameters
        ----------
        value : float
            What is watched: smaller is better.
        epoch : int
            Counted from 1.
        model : Module

        Returns
        -------
        bool
            True where the best epoch lies `patience` epochs back.

        Notes
        -----
        Where `value` is below `best` by more than `min_delta`, it is the new best: keep the value, the epoch, and
        ``snapshot(model)``, a copy of the weights.
        """
        ### BEGIN SOLUTION early_stopping
        if value < self.best - self.min_delta:
            self.best, self.best_epoch, self.best_state = value, epoch, snapshot(model)
        return epoch - self.best_epoch >= self.patience
        ### END SOLUTION

    def state_dict(self) -> dict:
        """What a resumed run needs to know."""
        return {"best": self.best, "best_epoch": self.best_epoch, "best_state": self.best_state}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` gave."""
        self.best, self.best_epoch, self.best_state = state["best"], state["best_epoch"], state["best_state"]


# %% [raw] tags=["exercise"]
# early_stopping:
#   title: When to stop
#   hints:
#     - Two questions for every epoch. Is this the best so far? And how long ago was the best?
#     - If the value is below best - min_delta, store value, epoch and a snapshot. Then compare epoch - best_epoch with the patience.
#     - "return ... >= self.patience, with the epochs since the best one in the gap"
#   misconceptions:
#     - name: compares with the epoch before
#       says: >-
#         A value that was better than the one before it, but not than the best, counted as progress. Compare with the best so far.
#       code: |
#         better = value < getattr(self, "last", math.inf) - self.min_delta
#         self.last = value
#         if better:
#             self.best, self.best_epoch, self.best_state = value, epoch, snapshot(model)
#         return epoch - self.best_epoch >= self.patience
#     - name: keeps no copy
#       says: >-
#         The best weights changed after they had been stored: what was kept were the arrays that training goes on changing.
#         snapshot(model) copies.
#       code: |
#         if value < self.best - self.min_delta:
#             self.best, self.best_epoch = value, epoch
#             self.best_state = {name: p.data for name, p in model.named_parameters()}
#         return epoch - self.best_epoch >= self.patience
#     - name: counts bad epochs altogether
#       says: >-
#         Epochs without progress were counted since the beginning. A new best starts the count again.
#       code: |
#         if value < self.best - self.min_delta:
#             self.best, self.best_epoch, self.best_state = value, epoch, snapshot(model)
#         else:
#             self.bad = getattr(self, "bad", 0) + 1
#         return getattr(self, "bad", 0) >= self.patience
#     - name: waits one epoch too long
#       says: >-
#         Training went on although the best epoch lay `patience` epochs back. At exactly that distance it is time to stop: >=.
#       code: |
#         if value < self.best - self.min_delta:
#             self.best, self.best_epoch, self.best_state = value, epoch, snapshot(model)
#         return epoch - self.best_epoch > self.patience
#     - name: stops at the first bad epoch
#       says: >-
#         A single epoch without progress ended the training. Validation losses are noisy; that is what the patience is for.
#       code: |
#         if value < self.best - self.min_delta:
#             self.best, self.best_epoch, self.best_state = value, epoch, snapshot(model)
#             return False
#         return True

# %% nbgrader={"grade": true, "grade_id": "test_early_stopping", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_early_stopping():
    def run(values, patience, min_delta=0.0):
        stopper, layer = EarlyStopping(patience, min_delta), Dense(1, 1, rng=0)
        answers = [stopper.update(value, epoch, layer) for epoch, value in enumerate(values, 1)]
        return answers, stopper.best_epoch
    check(run([5.0, 4.0, 3.0], 2), ([False, False, False], 3))
    check(run([5.0, 4.0, 4.5, 4.2], 2), ([False, False, False, True], 2))
    check(run([2.0, 2.0, 2.0], 2), ([False, False, True], 1))
    check(run([3.0, 4.0, 2.0, 5.0, 1.0], 2), ([False, False, False, False, False], 5))
    check(run([3.0, 2.95, 2.0], 2, min_delta=0.1), ([False, False, False], 3))
    check(run([3.0, 2.95, 2.91], 2, min_delta=0.1), ([False, False, True], 1))
    stopper, layer = EarlyStopping(3), Dense(1, 1, rng=0)
    layer.weights.data[...] = 7.0
    stopper.update(1.0, 1, layer)
    layer.weights.data[...] = 9.0
    check(stopper.best_state["weights"], [[7.0]])
    check_raises(ValueError, lambda: EarlyStopping(0), "patience is 0")

test_early_stopping()

# %% [markdown]
# ## What a run leaves behind
#
# A history: for every epoch the loss and the metrics, on the training part and, with the prefix `val_`, on the
# validation part. It can be asked whether the loss has fallen at all, since a program that trains for an hour and
# prints a final number without saying that nothing was learned is of little help.

# %%
#| export
class History:
    """The numbers of every epoch of a training run.

    Attributes
    ----------
    values : dict
        Name to list, one entry an epoch: "loss", the metrics' names, and the same with "val_" in front.
    stopped : str
        Why training ended before its last epoch; empty where it did not.
    """

    def __init__(self):
        self.values, self.stopped = {}, ""

    def add(self, numbers: dict[str, float]) -> None:
        """Append the numbers of an epoch."""
        for name, value in numbers.items():
            self.values.setdefault(name, []).append(value)

    def __len__(self) -> int:
        return len(self.values.get("loss", ()))

    def __getitem__(self, name: str) -> list[float]:
        if name not in self.values:
            raise KeyError(f"the history has no {name!r}; it has {', '.join(self.values) or 'nothing yet'}.")
        return self.values[name]

    @property
    def converging(self) -> bool | None:
        """Whether the training loss fell, by at least a hundredth, from the first epoch to the last; None before two epochs."""
        if len(self) < 2:
            return None
        first, last = self["loss"][0], self["loss"][-1]
        return math.isfinite(last) and first - last > 0.01 * abs(first)

    def verdict(self) -> str:
        """How it went, in a sentence."""
        if not len(self):
            return "no epoch was completed"
        epochs, first, last = len(self), self["loss"][0], self["loss"][-1]
        told = f"loss {first:.4g} in the first epoch, {last:.4g} in the last of {epochs}"
        told = f"{told}; {self.stopped}" if self.stopped else told
        return f"not converging: {told}" if self.converging is False else told

    def plot(self, ax=None):
        """Draw the losses against the epochs; returns the axes."""
        ax = pyplot("History.plot").subplots(figsize=(6, 3.5))[1] if ax is None else ax
        styles = {"loss": ("#0072b2", "-", "training"), "val_loss": ("#d55e00", "--", "validation")}
        for name, (colour, style, label) in styles.items():
            if name in self.values:
                ax.plot(range(1, len(self) + 1), self[name], style, color=colour)
                ax.annotate(f" {label}", (len(self), self[name][-1]), color=colour, va="center")
        ax.set(xlabel="epoch", ylabel="loss", yscale="log", xlim=(0, 1.25 * len(self)))
        return ax


# %% [markdown]
# While a run lasts, one wants to see that it lives. On a terminal that is a bar in a single line, which is rewritten a
# few times a second; everywhere else, in a notebook, a file, a pipe, one line an epoch. Both go to the error stream, so
# that a program's real output can be piped on.

# %%
#| export
def pyplot(name: str):
    """matplotlib.pyplot, for the function called `name`."""
    try:
        import matplotlib.pyplot
    except ImportError as error:
        raise ImportError(
            f"{name}: drawing needs matplotlib, and it cannot be imported ({error}).\n  Install it: python -m pip install matplotlib"
        ) from error
    return matplotlib.pyplot


class Progress:
    """What is shown while training: a bar on a terminal, one line an epoch elsewhere.

    Parameters
    ----------
    epochs : int
    batches : int or None
        In an epoch, where it is known.
    quiet : bool
    begun : int
        Epochs that an earlier run has completed.
    stream : file, optional
        The error stream by default.
    """

    def __init__(self, epochs: int, batches: int | None, quiet: bool = False, begun: int = 0, stream=None):
        self.epochs, self.batches, self.quiet, self.begun = epochs, batches, quiet, begun
        self.stream = sys.stderr if stream is None else stream
        self.live = not quiet and self.stream.isatty()
        self.start = self.epoch_start = time.perf_counter()
        self.drawn, self.numbers = 0.0, {}

    def batch(self, epoch: int, done: int, loss: float) -> None:
        """Redraw the bar, at most ten times a second."""
        if self.live and time.perf_counter() - self.drawn > 0.1:
            self.bar(epoch, epoch - 1 + (done / self.batches if self.batches else 0), {"loss": loss} | self.numbers)

    def epoch(self, epoch: int, numbers: dict[str, float]) -> None:
        """Show the numbers of a finished epoch: in the bar, or as a line."""
        now = time.perf_counter()
        self.numbers = {name: value for name, value in numbers.items() if name != "loss"}
        if self.live and now - self.drawn > 0.1:
            self.bar(epoch, epoch, numbers)
        elif not self.live:
            self.line(f"epoch {epoch:{len(str(self.epochs))}d} of {self.epochs}   {self.told(numbers)}   {now - self.epoch_start:.2f} s")
        self.epoch_start = now

    def bar(self, epoch: int, done: float, numbers: dict[str, float]) -> None:
        """How much of all epochs is done, and how long the rest will take."""
        self.drawn = time.perf_counter()
        left = (self.drawn - self.start) * (self.epochs - done) / max(done - self.begun, 1e-9)
        filled = "#" * int(20 * done / self.epochs)
        self.show(f"epoch {epoch} of {self.epochs} [{filled:20s}] {left:3.0f} s left   {self.told(numbers)}")

    def told(self, numbers: dict[str, float]) -> str:
        """Names and numbers in a line."""
        return "   ".join(f"{name} {value:.4f}" for name, value in numbers.items())

    def line(self, text: str) -> None:
        """A line that stays."""
        if not self.quiet:
            self.show("")
            print(text, file=self.stream, flush=True)

    def show(self, text: str) -> None:
        """A line that the next one overwrites."""
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            self.stream.write("\r" + text[:width].ljust(width) + ("" if text else "\r"))
            self.stream.flush()


# %% [markdown]
# ## Interrupted, and resumed
#
# Machines restart. A run that is resumed should give the very numbers that it would have given undisturbed, to the last
# bit; otherwise nobody can say later what was trained. What has to be written down for that? The weights, of course.
# But also:
#
# - what the optimizer remembers (for gradient descent its learning rate; the optimizers of the next chapter remember
#   much more);
# - which epoch it was, and the seed of the order of the batches;
# - the state of every random generator in the network, for dropout goes on drawing where it stopped;
# - the best weights so far, if early stopping watches, and the history.
#
# All of it is arrays, numbers and texts in dictionaries. The arrays go into an `.npz` file, and so does the rest, as
# text in JSON. Pickle would be shorter to write, but a pickle file can run any program when it is loaded, and
# checkpoints get passed around. The file is written under another name beside its place and then renamed, which the
# system does as a whole or not at all: whenever the power fails, there is a complete checkpoint.

# %%
#| export
CHECKPOINT = "TinyTorch checkpoint, version 1"


def save_checkpoint(path, state: dict) -> None:
    """Write nested dictionaries and lists of arrays, numbers and texts to an .npz file, whole or not at all."""
    arrays = []

    def described(value):
        if isinstance(value, dict):
            return {str(k): described(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [described(v) for v in value]
        if isinstance(value, (np.ndarray, np.generic)):
            arrays.append(np.asarray(value))
            return {"array": len(arrays) - 1}
        return value

    text = json.dumps(described(state))
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f'save_checkpoint: {path} is a directory. Name a file in it, such as "{path / "run.npz"}".')
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            np.savez(file, kind=CHECKPOINT, text=text, **{f"array_{i}": a for i, a in enumerate(arrays)})
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def load_checkpoint(path) -> dict:
    """Read what `save_checkpoint` wrote.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    ValueError
        Where the file is damaged or is something else.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"load_checkpoint: there is no file {path}.")
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no .npz file, or not all of one")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if "kind" not in archive or str(archive["kind"]) != CHECKPOINT:
                raise ValueError("it says nothing of a Trainer")
            arrays = {name: archive[name] for name in archive.files}
        return restored(json.loads(str(arrays["text"])), arrays)
    except Exception as error:  # whatever a damaged file makes its reader stumble over
        raise ValueError(
            f"load_checkpoint: {path} is damaged, or no checkpoint of a Trainer: {error}.\n"
            "  Start without resume=True, or give the file that an earlier run wrote."
        ) from error


def restored(described, arrays: dict):
    """The nested dictionaries again, with the arrays in their places."""
    if isinstance(described, dict):
        if set(described) == {"array"}:
            return arrays[f"array_{described['array']}"]
        return {k: restored(v, arrays) for k, v in described.items()}
    if isinstance(described, list):
        return [restored(v, arrays) for v in described]
    return described


# %% [markdown]
# ## The Trainer
#
# What is left is to put the pieces together. `fit` runs the epochs, `evaluate` measures, `predict` answers. It has
# three more duties, each of which is a few lines: to stop with an explanation where the loss is no longer a number, to
# notice that the optimizer holds the parameters of some other network, and to leave the modes as they were.

# %%
#| export
def check_loader(name: str, loader) -> None:
    """Raise where something gives no batches; None is no loader and passes."""
    if loader is not None and (isinstance(loader, (Tensor, np.ndarray, str)) or not hasattr(loader, "__iter__")):
        raise TypeError(f"{name}: {type(loader).__name__} gives no batches. Write DataLoader(dataset, batch_size=32).")


class Trainer:
    """Trains a model, and measures it.

    Parameters
    ----------
    model : Module
    optimizer : object with ``zero_grad()``, ``step()``, ``parameters``, ``state_dict()`` and ``load_state_dict(state)``
    loss_function : callable ``(y_pred, y_true) -> Tensor``, a mean over the batch
    metrics : list of callables, or dict from names to them, optional
        Each ``(y_pred, y_true) -> number``, a mean over the batch.
    max_norm : float, optional
        Limit of the gradient's norm (`clip_gradients`).

    Attributes
    ----------
    history : History
        Of the last `fit`.

    Examples
    --------
    >>> trainer = Trainer(model, GradientDescent(model.parameters(), 0.5), CrossEntropyLoss(), [Accuracy()])
    >>> history = trainer.fit(train_loader, val_loader, epochs=20, patience=5)
    >>> trainer.evaluate(test_loader)["accuracy"]
    """

    def __init__(self, model, optimizer, loss_function, metrics=None, max_norm: float | None = None):
        for name, thing in (("model", model), ("loss_function", loss_function)):
            if not callable(thing) or isinstance(thing, type):
                hint = f" Write {thing.__name__}() with parentheses." if isinstance(thing, type) else ""
                raise TypeError(f"Trainer: {name} is {thing!r:.60}, which cannot be called with data.{hint}")
        if not all(hasattr(optimizer, name) for name in ("step", "zero_grad", "parameters")):
            raise TypeError(f"Trainer: {optimizer!r:.60} is no optimizer. Give one such as GradientDescent(model.parameters()).")
        if max_norm is not None and (not isinstance(max_norm, (int, float, np.number)) or not max_norm > 0):
            raise ValueError(f"Trainer: max_norm is {max_norm!r:.60}, but it has to be a number above 0, such as 1.0, or None for no limit.")
        self.model, self.optimizer, self.loss_function, self.max_norm = model, optimizer, loss_function, max_norm
        self.metrics = named_metrics(metrics)
        self.history = History()

    def fit(self, train_dataloader, val_dataloader=None, epochs: int = 10, *, patience: int | None = None,
            min_delta: float = 0.0, schedule=None, checkpoint=None, resume: bool = False, quiet: bool = False) -> History:
        """Train.

        Parameters
        ----------
        train_dataloader, val_dataloader : DataLoader
            Or anything that can be gone through again and again and gives pairs (x, y). The second one is measured after every epoch.
        epochs : int
            How many there shall be in all, those before a resumption included.
        patience, min_delta : int, float, optional
            Stop early, as `EarlyStopping` does, by the validation loss, and go back to the best epoch's weights.
        schedule : object with ``step()``, optional
            Called after every epoch; changes the learning rate.
        checkpoint : path, optional
            File that is replaced after every epoch.
        resume : bool
            Whether to go on from `checkpoint` where that file exists.
        quiet : bool
            Whether to show nothing.

        Returns
        -------
        History

        Raises
        ------
        NotFiniteError
            Where the loss is not finite: says in which epoch and batch, and which operation made it so.
        """
        if isinstance(epochs, bool) or not isinstance(epochs, (int, np.integer)) or epochs < 1:
            raise ValueError(f"fit: epochs is {epochs!r}, but it has to be a whole number of at least 1.")
        if patience is not None and val_dataloader is None:
            raise ValueError("fit: early stopping watches the validation loss. Give val_dataloader, or leave patience out.")
        if resume and checkpoint is None:
            raise ValueError("fit: resume=True needs to know from which file: checkpoint=...")
        for loader in (train_dataloader, val_dataloader):
            check_loader("fit", loader)
        if schedule is not None and not callable(getattr(schedule, "step", None)):
            raise TypeError(f"fit: schedule is {schedule!r:.60}, which has no step(). Expected one such as StepLR(optimizer, 10).")
        stopper = None if patience is None else EarlyStopping(patience, min_delta)
        keepers = {"schedule": schedule, "early_stopping": stopper}
        loaders = [train_dataloader, val_dataloader]
        self.history = history = History()
        if resume and Path(checkpoint).exists():
            self.load_state(load_checkpoint(checkpoint), loaders, keepers)
        elif checkpoint is not None:
            save_checkpoint(checkpoint, self.state(loaders, keepers))
        progress = Progress(epochs, batch_count(train_dataloader), quiet, len(history))
        for epoch in range(len(history) + 1, 0 if history.stopped else epochs + 1):
            numbers = self.train_epoch(train_dataloader, epoch, progress)
            if val_dataloader is not None:
                numbers |= {f"val_{name}": value for name, value in self.evaluate(val_dataloader).items()}
            history.add(numbers)
            if schedule is not None:
                schedule.step()
            if stopper is not None and stopper.update(numbers["val_loss"], epoch, self.model):
                history.stopped = f"stopped early, best validation loss in epoch {stopper.best_epoch}"
            if checkpoint is not None:
                save_checkpoint(checkpoint, self.state(loaders, keepers))
            progress.epoch(epoch, numbers)
            if history.stopped:
                break
        if stopper is not None and stopper.best_state is not None:
            self.model.load_state_dict(stopper.best_state)
        progress.line(history.verdict())
        return history

    def train_epoch(self, dataloader, epoch: int = 1, progress: Progress | None = None) -> dict[str, float]:
        """One round through the batches, with a step for each; the means of loss and metrics as they were met."""
        totals, count = dict.fromkeys(["loss", *self.metrics], 0.0), 0
        modes = [(part, part.training) for part in parts_of(self.model) if isinstance(part, Module)]
        try:
            if isinstance(self.model, Module):
                self.model.train()
            for done, (x, y) in enumerate(dataloader, 1):
                loss, y_pred = self.checked_step(x, y, epoch, done)
                totals["loss"] += loss * len(y)
                for name, metric in self.metrics.items():
                    totals[name] += number(metric(y_pred, y)) * len(y)
                count += len(y)
                if progress is not None:
                    progress.batch(epoch, done, loss)
        finally:
            for part, mode in modes:
                part.training = mode
        if count == 0:
            raise ValueError(f"fit: no batches in epoch {epoch}. A generator is used up after one round; use a DataLoader.")
        return {name: total / count for name, total in totals.items()}

    def checked_step(self, x, y, epoch: int, batch: int) -> tuple[float, Tensor]:
        """`train_step`, with an explanation where it cannot go on."""
        cause = None
        try:
            loss, y_pred = train_step(self.model, self.optimizer, self.loss_function, x, y, self.max_norm)
        except NotFiniteError as error:
            cause, loss = error, math.nan
        if not math.isfinite(loss):
            raise NotFiniteError(self.explain_not_finite(loss, x, epoch, batch)) from cause
        if batch == 1 and all(p.grad is None for p in self.optimizer.parameters):
            raise RuntimeError(
                "fit: none of the optimizer's parameters got a gradient, so nothing can be learned.\n"
                "  Was the optimizer made with the parameters of this very model?"
            )
        return loss, y_pred

    def explain_not_finite(self, loss: float, x, epoch: int, batch: int) -> str:
        """Where a loss that is not finite comes from, and what to do."""
        lines = [f"training stopped in epoch {epoch}, batch {batch}: the loss is {loss}."]
        bad = [name for name, p in named(self.model) if not np.isfinite(p.data).all()]
        if isinstance(x, Tensor) and x.dtype.kind == "f" and not np.isfinite(x.data).all():
            lines.append("  The features of this batch are not all finite: look at the data.")
        elif bad:
            lines.append(f"  These weights are no longer finite, so the step before was too long: {', '.join(bad)}.")
        found = first_nonfinite(lambda: self.model(x)) if named(self.model) else None
        if found:
            lines.append("  " + found.replace("\n", "\n  "))
        lines.append("  Most often the learning rate is too large: divide it by 10, or limit the gradient with Trainer(max_norm=1.0).")
        return "\n".join(lines)

    def evaluate(self, dataloader) -> dict[str, float]:
        """Loss and metrics over all samples of a dataloader, in evaluation mode; nothing is changed."""
        check_loader("evaluate", dataloader)
        return evaluate(self.model, dataloader, {"loss": self.loss_function, **self.metrics})

    def predict(self, x, batch_size: int = 1024) -> Tensor:
        """The model's output for all rows of x, in evaluation mode."""
        x = as_tensor(x)
        if x.dtype.kind == "f" and x.dtype != np.float32:
            x = wrap(x.data.astype(np.float32))
        if x.ndim == 0 or len(x) == 0:
            raise ValueError(f"predict: x of shape {x.shape} holds no samples. Expected rows of features, (N, D).")
        if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise ValueError(f"predict: batch_size is {batch_size!r}, but it has to be a whole number of at least 1.")
        with evaluating(self.model):
            parts = [plain(self.model(wrap(x.data[i : i + batch_size]))) for i in range(0, len(x), batch_size)]
        return wrap(np.concatenate(parts))

    def state(self, loaders=(), keepers=None) -> dict:
        """Everything that the next epoch depends on."""
        return {
            "model": snapshot(self.model),
            "optimizer": self.optimizer.state_dict(),
            "generators": [g.bit_generator.state for g in generators(self.model)],
            "loaders": [loader_state(loader) for loader in loaders],
            "history": {"values": self.history.values, "stopped": self.history.stopped},
            "keepers": {name: k.state_dict() for name, k in (keepers or {}).items() if hasattr(k, "state_dict")},
        }

    def load_state(self, state: dict, loaders=(), keepers=None) -> None:
        """Take over what `state` gave. Raises ValueError, before anything is changed, where it belongs to another model."""
        missing = {"model", "optimizer", "generators", "loaders", "history", "keepers"} - set(state if isinstance(state, dict) else ())
        if missing:
            raise ValueError(f"resume: this is no state of a Trainer, it lacks {', '.join(sorted(missing))}.")
        here = {name: a.shape for name, a in snapshot(self.model).items()}
        there = {name: a.shape for name, a in state["model"].items()}
        for name in [*here, *there]:
            if here.get(name) != there.get(name):
                raise ValueError(
                    f"resume: {name} has shape {there.get(name, 'none')} in the checkpoint and {here.get(name, 'none')} in the model.\n"
                    "  The checkpoint belongs to another network: build the one it was made with."
                )
        random = generators(self.model)
        if len(random) != len(state["generators"]):
            raise ValueError(f"resume: the checkpoint knows {len(state['generators'])} random generators, the model has {len(random)}.")
        self.optimizer.load_state_dict(state["optimizer"])
        self.model.load_state_dict(state["model"])
        for g, kept in zip(random, state["generators"]):
            g.bit_generator.state = kept
        for loader, kept in zip(loaders, state["loaders"]):
            for name, value in (kept or {}).items():
                setattr(loader, name, value)
        self.history.values, self.history.stopped = state["history"]["values"], state["history"]["stopped"]
        for name, kept in state["keepers"].items():
            if (keepers or {}).get(name) is not None:
                keepers[name].load_state_dict(kept)


def named_metrics(metrics) -> dict:
    """Metrics by name."""
    if metrics is None or isinstance(metrics, dict):
        return dict(metrics or {})
    if callable(metrics):
        metrics = [metrics]
    if not isinstance(metrics, (list, tuple)):
        raise TypeError(f"Trainer: metrics are {metrics!r:.60}. Give a list, such as [Accuracy()], or a dictionary from names to functions.")
    found = {}
    for metric in metrics:
        if not callable(metric) or isinstance(metric, type):
            raise TypeError(f"Trainer: the metric {metric!r:.60} cannot be called with data. Write Accuracy() with parentheses.")
        found[getattr(metric, "name", None) or getattr(metric, "__name__", type(metric).__name__.lower())] = metric
    return found


def named(model) -> list:
    """Names and parameters of a model; nothing for what has none."""
    return list(model.named_parameters()) if hasattr(model, "named_parameters") else []


def generators(model) -> list[np.random.Generator]:
    """The random generators in a model."""
    return [part for part in parts_of(model) if isinstance(part, np.random.Generator)]


def loader_state(loader) -> dict | None:
    """Seed and epoch of a loader that has them."""
    return {name: getattr(loader, name) for name in ("seed", "epoch") if hasattr(loader, name)} if loader is not None else None


def batch_count(dataloader) -> int | None:
    """Number of batches, where it is known."""
    return len(dataloader) if hasattr(dataloader, "__len__") else None


# %% nbgrader={"grade": true, "grade_id": "test_trainer", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_trainer():
    x = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    data = ArrayDataset(x, (x @ np.float32([1.0, -2.0, 0.5]) > 0).astype(np.int64))
    model = create_mlp(3, [8], 2, rng=0)
    trainer = Trainer(model, GradientDescent(model.parameters(), 0.5), CrossEntropyLoss(), [Accuracy()])
    history = trainer.fit(DataLoader(data, batch_size=16, seed=0), DataLoader(data, batch_size=7), epochs=15, quiet=True)
    check(len(history), 15)
    check(list(history.values), ["loss", "accuracy", "val_loss", "val_accuracy"])
    check(history.converging, True)
    check(trainer.evaluate(DataLoader(data, batch_size=50))["accuracy"] > 0.9, True)
    check(trainer.predict(data.features).shape, (50, 2))
    other = create_mlp(3, [8], 2, rng=1)
    stray = Trainer(model, GradientDescent(other.parameters(), 0.5), CrossEntropyLoss())
    check_raises(RuntimeError, lambda: stray.fit(DataLoader(data), epochs=1, quiet=True), "this very model")
    check_raises(ValueError, lambda: trainer.fit(DataLoader(data), epochs=0), "epochs is 0")
    check_raises(TypeError, lambda: Trainer(model, GradientDescent(model.parameters()), CrossEntropyLoss), "with parentheses")

test_trainer()

# %% [markdown]
# ## Digits
#
# The whole thing on the digits, with a validation part for early stopping. The test part is used once, at the end.

# %%
def digits_trainer(seed=0, learning_rate=0.5, hidden=64, dropout=0.0):
    rng = np.random.default_rng(seed)
    model = Sequential([Dense(64, hidden, rng=rng), ReLU(), Dropout(dropout, rng=rng), Dense(hidden, 10, rng=rng)])
    return Trainer(model, GradientDescent(model.parameters(), learning_rate), CrossEntropyLoss(), [Accuracy()])


trainer = digits_trainer()
start = time.perf_counter()
history = trainer.fit(
    DataLoader(train, batch_size=32, seed=0), DataLoader(validation, batch_size=100, shuffle=False), epochs=60, patience=8, quiet=True
)
print(f"{history.verdict()}, {time.perf_counter() - start:.1f} s")
print("test part:", trainer.evaluate(DataLoader(test, batch_size=100, shuffle=False)))

# %%
axes = history.plot()
_ = axes.set_title("On digits it was not trained on, the loss levels off")

# %%
matrix = confusion_matrix(trainer.predict(test.features), test.targets)
print(matrix)
mistakes = matrix - np.diag(np.diag(matrix))
i, j = np.unravel_index(mistakes.argmax(), mistakes.shape)
print(f"{mistakes.sum()} of {len(test)} mistaken; most often a {i} was taken for a {j} ({mistakes[i, j]} times)")

# %% [markdown]
# The same run twice gives the same numbers, because every source of chance has a seed: the weights, dropout, the order
# of the batches. And a run that breaks off can be resumed. The next cell trains for six epochs; then for three, writing
# a checkpoint; and then, with new objects made from *other* seeds, resumes from the file for the remaining three. The
# weights are compared to the bit.

# %%
import tempfile


def run(epochs, seed=0, **options):
    trainer = digits_trainer(seed=seed, dropout=0.2)
    trainer.fit(DataLoader(train, batch_size=32, seed=seed), epochs=epochs, quiet=True, **options)
    return trainer


with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "digits.npz"
    whole = run(6)
    run(3, checkpoint=path)
    resumed = run(6, seed=99, checkpoint=path, resume=True)
    print(f"the checkpoint has {path.stat().st_size} bytes")
same = [np.array_equal(a, b) for a, b in zip(snapshot(whole.model).values(), snapshot(resumed.model).values())]
print("weights equal to the bit:", same)
print("losses:", whole.history["loss"] == resumed.history["loss"], [round(loss, 4) for loss in whole.history["loss"]])

# %% nbgrader={"grade": true, "grade_id": "test_resume", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_resume():
    import tempfile
    x = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    data = ArrayDataset(x, (x @ np.float32([1.0, -2.0, 0.5]) > 0).astype(np.int64))
    def run(epochs, seed, **options):
        rng = np.random.default_rng(seed)
        model = Sequential([Dense(3, 8, rng=rng), ReLU(), Dropout(0.3, rng=rng), Dense(8, 2, rng=rng)])
        trainer = Trainer(model, GradientDescent(model.parameters(), 0.1), CrossEntropyLoss())
        trainer.fit(DataLoader(data, batch_size=16, seed=seed), epochs=epochs, quiet=True, **options)
        return np.concatenate([a.ravel() for a in snapshot(model).values()])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.npz"
        run(2, 0, checkpoint=path)
        check(np.array_equal(run(5, 1, checkpoint=path, resume=True), run(5, 0)), True)
        path.write_text("not a checkpoint")
        check_raises(ValueError, lambda: run(5, 0, checkpoint=path, resume=True), "no checkpoint of a Trainer")

test_resume()

# %% [markdown]
# ## A lab: why won't my network train?
#
# Five networks for the same digits, each with one fault. What one sees first is only the loss, and it looks much the
# same in all of them: it does not fall. What tells the faults apart is what the autograd chapter can show: gradients
# with respect to anything, without disturbing `.grad`; a trace with every value that was computed; the first operation
# that gave something infinite.
#
# Three small tools make that handy. `gradient_norms` finds the gradient of the loss afresh, and gives its length for
# every parameter. `dead_units` traces the forward pass and counts, for every `relu`, the units that are zero for *all*
# samples of a batch. `alignment` is the cosine of the angle between the gradients on two batches: near 1, if both ask
# for the same change.

# %%
#| export
def loss_gradients(model, loss_function, x, y) -> dict[str, np.ndarray]:
    """The gradient of the loss on a batch for every parameter, by name, computed afresh; `.grad` is left alone."""
    names, parameters = zip(*model.named_parameters())
    found = gradients(loss_function(model(x), y), parameters)
    return {n: np.zeros_like(p.data) if g is None else g.data for n, p, g in zip(names, parameters, found)}


def gradient_norms(model, loss_function, x, y) -> dict[str, float]:
    """The length of the loss's gradient for every parameter, by name."""
    return {name: float(np.linalg.norm(g)) for name, g in loss_gradients(model, loss_function, x, y).items()}


def dead_units(model, x) -> list[float]:
    """For every `relu` in the forward pass, the fraction of its units that are 0 for all samples of x.

    A unit is an entry of the last axis; of pictures, (N, C, H, W), a channel.
    """
    with trace() as t:
        model(x)
    outputs = [step.out.data for step in t.steps if step.operation.__name__ == "relu"]
    outputs = [out.swapaxes(1, -1) if out.ndim == 4 else out for out in outputs]
    return [float((out.reshape(-1, out.shape[-1]) == 0).all(axis=0).mean()) for out in outputs]


def alignment(model, loss_function, first, second) -> float:
    """Cosine of the angle between the loss's gradients on two batches, each a pair (x, y)."""
    a, b = (np.concatenate([g.ravel() for g in loss_gradients(model, loss_function, *batch).values()]) for batch in (first, second))
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-30))


# %% [markdown]
# ### How a healthy one looks
#
# First the patient's healthy brother, so that there is something to compare with: a network with three hidden layers,
# before training and after ten epochs. The last column is how far a step moves the weights of a layer, relative to
# their own length.

# %%
def two_batches(data):
    """The first two hundred samples, and the next two hundred."""
    batches = iter(DataLoader(data, batch_size=200, shuffle=False))
    return next(batches), next(batches)


def examine(model, learning_rate, data=train):
    """What the tools say about a network, layer by layer."""
    batch, other_batch = two_batches(data)
    norms, weights = gradient_norms(model, loss_function, *batch), dict(model.named_parameters())
    for name, norm in norms.items():
        if name.endswith("weights"):
            size = float(np.linalg.norm(weights[name].data))
            print(f"    {name:18s} gradient {norm:9.2e}   weights {size:9.2e}   step/weights {learning_rate * norm / size:8.1e}")
    print(f"    dead units {[round(d, 2) for d in dead_units(model, batch[0])]}", end="   ")
    print(f"alignment {alignment(model, loss_function, batch, other_batch):.2f}")


def attempt(model, learning_rate, data=train, epochs=10):
    """Train, and say in a line what came of it."""
    trainer = Trainer(model, GradientDescent(model.parameters(), learning_rate), loss_function, [Accuracy()])
    with np.errstate(over="ignore", invalid="ignore"):  # the trainer says it better
        history = trainer.fit(DataLoader(data, batch_size=32, seed=0), epochs=epochs, quiet=True)
    accuracy = trainer.evaluate(DataLoader(validation, batch_size=237))["accuracy"]
    print(f"{history.verdict()}; validation accuracy {accuracy:.3f}")
    return history


healthy = create_mlp(64, [32, 32, 32], 10, rng=0)
print("before"), examine(healthy, 0.1)
attempt(healthy, 0.1)
print("after"), examine(healthy, 0.1)

# %% [markdown]
# Gradients of the same order in every layer, steps of a few thousandths of the weights, few dead units, and at the
# start two batches that agree.
#
# ### Patient one

# %%
patient = create_mlp(64, [32, 32, 32], 10, rng=0)
patient[2].bias.data -= 8.0  # somebody's idea of a starting value
attempt(patient, 0.1)
examine(patient, 0.1)

# %% [markdown]
# The loss is that of guessing, $\log 10 \approx 2.30$, and does not move. The gradients are not small, they are exactly
# zero, and the trace says why: all units of the second `relu` are dead. They give 0 for every sample. The slope of
# `relu` there is 0, so no gradient reaches the layers before; and the layers after it are fed with zeros, so their
# weights get none either. Nothing will ever bring these units back. Only the last biases still learn, and what they
# learn is how frequent each digit is. Starting values are one cause; another is a single step that was far too long.
# What helps: sound starting values (the layers chapter), a smaller learning rate, or an activation with a slope
# everywhere, such as `LeakyReLU`.
#
# ### Patient two

# %%
patient = create_mlp(64, [32] * 8, 10, rng=0)
for name, p in patient.named_parameters():
    if name.endswith("weights"):
        p.data *= 3.0
examine(patient, 0.1)
try:
    attempt(patient, 0.1)
except NotFiniteError as error:
    print(error)

# %% [markdown]
# Weights three times too large, in nine layers: every layer multiplies what comes through by about three, forward and
# backward. The steps are a multiple of the weights themselves, and within a few batches the numbers leave the range of
# floats. The trainer's message comes from `first_nonfinite`, and it names the operation, the line and the range of its
# inputs. Against exploding gradients help, again, sound starting values, normalisation, and limiting the norm. The last
# one treats the symptom: numbers stay finite and the loss falls, but from far above guessing. The first treats the
# cause.

# %%
patient = create_mlp(64, [32] * 8, 10, rng=0)
for name, p in patient.named_parameters():
    if name.endswith("weights"):
        p.data *= 3.0
trainer = Trainer(patient, GradientDescent(patient.parameters(), 0.1), loss_function, [Accuracy()], max_norm=1.0)
print("limited:", trainer.fit(DataLoader(train, batch_size=32, seed=0), epochs=20, quiet=True).verdict())
print("with sound starting values: ", end="")
_ = attempt(create_mlp(64, [32] * 8, 10, rng=0), 0.1, epochs=20)

# %% [markdown]
# ### Patient three

# %%
from itertools import combinations

shuffled = ArrayDataset(train.features, np.random.default_rng(0).permutation(train.targets))
patient = create_mlp(64, [32, 32, 32], 10, rng=0)
attempt(patient, 0.1, data=shuffled)
examine(patient, 0.1, data=shuffled)

fresh = create_mlp(64, [32, 32, 32], 10, rng=0)
fresh[-1].weights.data *= 0.01  # so that at first it says the same of every digit
for labels, data in (("right", train), ("these", shuffled)):
    pairs = combinations(DataLoader(data, batch_size=200, shuffle=False), 2)
    cosines = [alignment(fresh, loss_function, first, second) for first, second in pairs]
    print(f"a fresh network, {labels} labels: mean alignment of {len(cosines)} pairs of batches {np.mean(cosines):.2f}")

# %% [markdown]
# Here every layer looks healthy: gradients of one order, units alive, steps of a sensible length. And the loss barely
# leaves that of guessing. What is missing is agreement. A fresh network that still says the same of every digit is
# pulled by the labels alone. With the right ones, two batches ask for much the same change. With these, they have
# nothing in common (slightly less than nothing: what is frequent in one batch is missing from the others), and what a
# step gains on one batch, it loses on the next. The labels had been shuffled against the pictures, as happens when
# features and targets are sorted or filtered apart. A network large enough would even drive this training loss to zero
# by learning every sample by heart, and only the validation accuracy would tell.
#
# ### Patient four

# %%
class NeverForgets(GradientDescent):
    def zero_grad(self):
        """Somebody meant to write this later."""


patient = create_mlp(64, [32, 32, 32], 10, rng=0)
optimizer = NeverForgets(patient.parameters(), 0.1)
steps = 0
for epoch in range(10):
    losses = []
    for x, y in DataLoader(train, batch_size=32, seed=epoch):
        losses.append(train_step(patient, optimizer, loss_function, x, y)[0])
        steps += 1
        if steps in (1, 2, 5, 10, 20):
            stored = np.sqrt(sum((p.grad.data**2).sum() for p in patient.parameters()))
            fresh_norm = np.sqrt(sum(n**2 for n in gradient_norms(patient, loss_function, x, y).values()))
            print(f"after step {steps:3d}   loss {losses[-1]:.3f}   length of .grad {stored:7.3f}   of the gradient {fresh_norm:6.3f}")
print(f"mean loss of the last epoch {np.mean(losses):.3f}")

# %% [markdown]
# `.grad` should be the gradient of this batch, up to the one step that was taken since. It is not: it grows with every
# step, because `backward` adds to what is there and nobody cleared it. Comparing what is stored with a gradient that
# was found afresh is a test that takes two lines, and it is the only one that shows this fault directly. (Odd as it is,
# this is not always fatal. A sum of all earlier gradients is something like momentum without a brake, and some networks
# limp along with it.)
#
# ### Patient five

# %%
for learning_rate in (1e-5, 0.1, 30.0):
    patient = create_mlp(64, [32, 32, 32], 10, rng=0)
    print(f"learning rate {learning_rate:g}: ", end="")
    try:
        attempt(patient, learning_rate)
        examine(patient, learning_rate)
    except NotFiniteError as error:
        print(error)

# %% [markdown]
# The learning rate has no right value in itself; the column *step/weights* has. At a few thousandths, training goes
# well. Below a millionth, the gradients are in order and simply nothing is done with them. And with steps longer than
# the weights, the first ones throw the network so far that its units die or its numbers overflow. So a learning rate is
# looked for by powers of ten. The next chapter has a method that does it in one run.
#
# | what one sees | where to look | what it is |
# |---|---|---|
# | loss stands still at that of guessing | gradients exactly 0 up to some layer, dead units near 1 | dead units |
# | loss grows, then NaN | gradients and steps larger than the weights, `first_nonfinite` | exploding gradients, or the learning rate too large |
# | loss barely falls, all numbers look healthy | alignment of two batches on a fresh network low, validation at chance | labels that do not belong to the samples |
# | loss jumps about, steps grow | stored `.grad` longer than a fresh gradient | `zero_grad` missing |
# | loss falls, but hardly | step/weights far below a thousandth | learning rate too small |
#
# And before all of these, the cheapest test there is. Take ten samples and train on nothing else. Any network that is
# put together correctly learns ten samples by heart; one that does not has a fault in the code, and no learning rate
# will mend it.

# %%
few = train.subset(range(10))
model = create_mlp(64, [32, 32, 32], 10, rng=0)
tiny = Trainer(model, GradientDescent(model.parameters(), 0.1), loss_function, [Accuracy()])
print(tiny.fit(DataLoader(few, batch_size=10, seed=0), epochs=200, quiet=True).verdict(), tiny.evaluate(DataLoader(few)))

# %% [markdown]
# ## Against the real thing
#
# The same network, weights and batches in PyTorch, where it is installed: after an epoch of gradient descent all
# weights have to agree, up to the rounding of a few hundred float32 operations.

# %%
try:
    import torch
except ImportError:
    print("PyTorch is not installed: the comparison was not made")
else:
    model = create_mlp(64, [32], 10, rng=0)
    twin = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    with torch.no_grad():
        for ours, theirs in ((model[0], twin[0]), (model[2], twin[2])):
            theirs.weight.copy_(torch.tensor(ours.weights.data.T.copy()))
            theirs.bias.copy_(torch.tensor(ours.bias.data))
    ours, theirs = GradientDescent(model.parameters(), 0.1), torch.optim.SGD(twin.parameters(), lr=0.1)
    for x, y in DataLoader(train, batch_size=32, seed=0):
        train_step(model, ours, loss_function, x, y)
        theirs.zero_grad()
        torch.nn.functional.cross_entropy(twin(torch.tensor(x.data)), torch.tensor(y.data)).backward()
        theirs.step()
    difference = abs(model[0].weights.data - twin[0].weight.detach().numpy().T).max()
    assert difference < 1e-5
    print(f"after {len(DataLoader(train, batch_size=32))} steps the weights differ from PyTorch {torch.__version__} by at most {difference:.1e}")

# %% [markdown]
# ## What it costs
#
# A training step of our framework and the same step written out by hand in NumPy, on the same machine in the same
# minute. What lies between the two is the price of everything that this course has built: Tensors, the record, the
# walk, the checks of the loss.

# %%
def numpy_step(w1, b1, w2, b2, x, t, learning_rate):
    """A step for a network with one hidden layer, by hand."""
    h = np.maximum(x @ w1 + b1, 0)
    z = h @ w2 + b2
    loss, p = softmax_cross_entropy.__wrapped__(z, t)
    g = cross_entropy_slope(p, t)
    g_h = (g @ w2.T) * (h > 0)
    for w, slope in ((w1, x.T @ g_h), (b1, g_h.sum(axis=0)), (w2, h.T @ g), (b2, g.sum(axis=0))):
        w -= learning_rate * slope
    return loss


x, y = next(iter(DataLoader(train, batch_size=32, seed=0)))
for hidden in (32, 4096):
    model = create_mlp(64, [hidden], 10, rng=0)
    arrays = [p.data.copy() for p in model.parameters()]
    optimizer = GradientDescent(model.parameters(), 0.01)
    ours = seconds(lambda: train_step(model, optimizer, loss_function, x, y), repeat=30, number=20)
    by_hand = seconds(lambda: numpy_step(*arrays, x.data, y.data, 0.01), repeat=30, number=20)
    print(f"{hidden:5d} hidden units   ours {1e6 * ours:6.0f} us   by hand {1e6 * by_hand:6.0f} us   ratio {ours / by_hand:.2f}")

# %% [markdown]
# The price is per operation, not per number, so it counts for the smallest networks and hardly for large ones.
#
# ## Where next
#
# - *Label smoothing.* Let the truth be 0.9 for the right class and spread the remaining 0.1 over all classes (Szegedy
#   et al. 2016). What does the slope become? Write the operation and its row, and let `check_gradients` judge.
# - *Learning by heart.* Train a wide network on the shuffled labels until the training accuracy is 1. How many epochs
#   more does it need than with the right labels?
# - *Gradient accumulation.* Write a `train_step` that takes four small batches, adds their gradients, and steps once.
#   When is it the same as one batch four times as large, and what has to be divided by what?
#
# Left out here, and present in larger frameworks: training on several devices, half precision with scaled losses, hooks
# that are called at every stage of the loop, checkpoints written in the background, and logs for a hundred runs at
# once.
#
# One thing stood still all along: the rule by which weights are moved. Plain gradient descent needed a learning rate
# that was found by trying, and took the same one for every weight. The optimizers chapter does better.
