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
# # Compression
#
# A trained network is a file of numbers. Somebody wants to put it into a telephone, a web page or a doorbell, and asks
# for a file a tenth as large that gives the same answers. It sounds like too much to ask. But training needed all those
# weights to find its way; to *answer*, a network may need far fewer, and hardly ever all 32 bits of each.
#
# There are four ways to make it smaller. Leave weights out, one by one or in whole units. Write them shorter, as
# integers of eight bits, and compute with these. Train a small network to imitate a large one. Or write a large matrix
# as a product of two thin ones. This chapter builds all four, and puts them into one table: the bytes of the file on
# disk, the accuracy, and the time of an answer. The last two columns are there because the first one alone is easy. A
# file can be made smaller without making anything faster, and this happens more often than one would think.

# %%
#| default_exp core.compression

# %%
#| export
import json
import math
import os
import tempfile
import zipfile
from copy import deepcopy
from pathlib import Path

import numpy as np

from tinytorch.checked import checked_number, checked_part
from tinytorch.core.activations import GELU, LeakyReLU, ReLU, Sigmoid, Softmax, Tanh, log_softmax
from tinytorch.core.autograd import gradient, no_grad, plain
from tinytorch.core.cnn import AvgPool2D, BatchNorm, Conv2D, Dropout2D, Flatten, MaxPool2D, conv2d, padded, windows
from tinytorch.core.dataloader import DataLoader, checked_array
from tinytorch.core.layers import Dense, Dropout, LayerNorm, Module, Parameter, dense
from tinytorch.core.networks import MLP, Sequential, count_parameters, short
from tinytorch.core.optimizers import AdamW, CosineLR
from tinytorch.core.tensor import Tensor, as_tensor, operation, reduce_sum, wrap
from tinytorch.core.training import Accuracy, CrossEntropyLoss, Trainer, evaluating, pyplot, train_step
from tinytorch.threads import blas_threads
from tinytorch.timing import seconds

# %%
from tinytorch.core.autograd import Variable
from tinytorch.core.cnn import with_channels
from tinytorch.core.dataloader import digits_split, train_test_split
from tinytorch.core.networks import create_mlp, dense_with, save
from tinytorch.core.optimizers import SGD
from tinytorch.memory import peak_bytes
from tinytorch.testing import check, check_raises

# %% [markdown]
# ## A network that knows too much
#
# First a network to be compressed. It reads the shipped digits, and is trained as in the optimizers chapter, with AdamW
# and a learning rate that follows half a cosine. `fit` is the whole recipe in a function, because this chapter needs it
# a dozen times: after every operation the patient is trained a little more, which is called *fine-tuning*.

# %%
#| export
def fit(model, dataset, epochs: int, learning_rate: float = 0.003, masks=(), seed: int = 0, batch_size: int = 32) -> float:
    """Train a classifier with AdamW and a cosine schedule; returns the loss of the last epoch.

    Parameters
    ----------
    model : Module
    dataset : ArrayDataset
        Features and class numbers.
    epochs : int
    learning_rate : float
        Of the first epoch.
    masks : list of pairs (parameter, mask)
        What `prune` returned: these weights stay zero.
    seed : int
        Of the order of the batches.
    """
    optimizer = AdamW(model.parameters(), learning_rate)
    optimizer = MaskedOptimizer(optimizer, masks) if masks else optimizer
    trainer = Trainer(model, optimizer, CrossEntropyLoss())
    loader = DataLoader(dataset, batch_size=batch_size, seed=seed)
    return trainer.fit(loader, epochs=epochs, schedule=CosineLR(optimizer, epochs), quiet=True)["loss"][-1]


def accuracy_of(model, dataset) -> float:
    """The fraction of a data set's samples that a model reads correctly, in evaluation mode."""
    with evaluating(model):
        return Accuracy()(model(as_tensor(dataset.features)), dataset.targets)


# %%
train, test = digits_split()
train, validation = train_test_split(train, test_size=237, seed=1, stratify=True)
teacher = create_mlp(64, [128, 64], 10, rng=0)
fit(teacher, train, epochs=30)
print(f"{count_parameters(teacher):,} parameters, validation accuracy {accuracy_of(teacher, validation):.4f}")

# %% [markdown]
# How much of that is needed? The simplest way to find out is to destroy some of it. Below, the half of all weights that
# is closest to zero is set to zero, in every layer, and then more.

# %%
for fraction in (0.0, 0.5, 0.8, 0.9, 0.95):
    damaged = deepcopy(teacher)
    for layer in damaged:
        if isinstance(layer, Dense):
            w = layer.weights.data
            w[abs(w) < np.quantile(abs(w), fraction)] = 0
    print(f"{fraction:4.0%} of the weights are zero: validation accuracy {accuracy_of(damaged, validation):.4f}")

# %% [markdown]
# With half of its weights gone the network reads nearly as well as before, although nobody has trained it to do without
# them. That is the observation this chapter lives on. (Choices are made on the validation part. The test part of the digits waits for the table at the end.)
#
# ## Pruning
#
# To *prune* is to remove weights (LeCun et al. 1990). Which ones? A weight close to zero changes its unit's sum the
# least, so the smallest go first; that is all there is to *magnitude pruning* (Han et al. 2015). What is needed later
# is not the zeros themselves but a note of where they are: a *mask*, True where a weight is kept. And the number of
# zeros should be exactly what was asked for, also where many weights are equally large. A threshold cannot promise
# that, an order can.

# %% nbgrader={"grade": false, "grade_id": "magnitude_mask", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def magnitude_mask(weights: np.ndarray, sparsity: float) -> np.ndarray:
    """Which weights to keep, so that the smallest ones go.

    Parameters
    ----------
    weights : array, any shape
    sparsity : float, 0 to 1
        The fraction that goes: ``round(sparsity * weights.size)`` weights.

    Returns
    -------
    array of bool, the shape of `weights`
        False for the weights of smallest magnitude. Of equally large ones those go first that come first.

    Raises
    ------
    ValueError
        For a sparsity outside 0 to 1.

    Notes
    -----
    ``np.argsort(values, axis=None, kind="stable")`` lists the positions of all entries, those of the smallest first; equal
    ones stay in their order. Positions count through the whole array: ``mask.reshape(-1)`` is a view with a single axis.
    """
    count = round(checked_part("magnitude_mask", "sparsity", sparsity, with_ends=True) * weights.size)
    mask = np.ones(weights.shape, bool)
    ### BEGIN SOLUTION magnitude_mask
    order = np.argsort(abs(weights), axis=None, kind="stable")
    mask.reshape(-1)[order[:count]] = False
    return mask
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# magnitude_mask:
#   title: Which weights go
#   hints:
#     - A large negative weight matters as much as a large positive one. What has to be sorted, then?
#     - Sort the magnitudes, take the positions of the first `count`, and set the mask to False there.
#     - "mask.reshape(-1)[order[...]] = False, where order = np.argsort(abs(...), ...)"
#   misconceptions:
#     - name: sorts without the sign removed
#       says: >-
#         The most negative weights went, not the smallest. A weight of -5 changes a sum as much as one of 5: sort abs(weights).
#       code: |
#         order = np.argsort(weights, axis=None, kind="stable")
#         mask.reshape(-1)[order[:count]] = False
#         return mask
#     - name: keeps the small ones
#       says: >-
#         The largest weights went. argsort puts the smallest first, and these are the ones to leave out.
#       code: |
#         order = np.argsort(-abs(weights), axis=None, kind="stable")
#         mask.reshape(-1)[order[:count]] = False
#         return mask
#     - name: prunes by a threshold
#       says: >-
#         Weights of equal size went together, so more are gone than were asked for, or fewer. Choose positions in the sorted order, not a
#         threshold.
#       code: |
#         size = abs(weights)
#         threshold = np.sort(size, axis=None)[count - 1] if count else -1.0
#         return size > threshold
#     - name: writes into a copy
#       says: >-
#         Nothing went: the mask is True everywhere. flatten gives a copy, and so the zeros were written into an array that nobody looks at
#         again. mask.reshape(-1) is a view of the mask itself.
#       code: |
#         order = np.argsort(abs(weights), axis=None, kind="stable")
#         mask.flatten()[order[:count]] = False
#         return mask
#     - name: exchanges kept and pruned
#       says: >-
#         The mask is True where a weight goes. It should be True where one is kept, so that weights times mask is the pruned layer.
#       code: |
#         order = np.argsort(abs(weights), axis=None, kind="stable")
#         mask.reshape(-1)[order[count:]] = False
#         return mask
#     - name: prunes every row by itself
#       says: >-
#         The order was taken within each row. The smallest weights of the whole matrix are wanted, wherever they are: axis=None.
#       code: |
#         order = np.argsort(abs(weights), axis=-1, kind="stable")
#         rows = max(weights.size // weights.shape[-1], 1)
#         np.put_along_axis(mask, order[..., : count // rows], False, axis=-1)
#         return mask

# %% nbgrader={"grade": true, "grade_id": "test_magnitude_mask", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_magnitude_mask():
    w = np.array([[0.1, 3.0, 0.2], [-0.3, -2.0, 1.0]])
    check(magnitude_mask(w, 1 / 3), [[False, True, False], [True, True, True]])
    check(magnitude_mask(w, 0.5), [[False, True, False], [False, True, True]])
    check(magnitude_mask(w, 1 / 6), [[False, True, True], [True, True, True]])
    check(magnitude_mask(w, 0.0), [[True, True, True], [True, True, True]])
    check(magnitude_mask(w, 1.0), [[False, False, False], [False, False, False]])
    check(magnitude_mask(np.array([2.0, -2.0, 2.0, 2.0]), 0.5), [False, False, True, True])
    check(magnitude_mask(np.array([1.0, 4.0, 3.0, 2.0]), 0.3), [False, True, True, True])
    check(magnitude_mask(np.array([2.0, 1.0] * 30), 0.05), [True, False] * 3 + [True] * 54)
    check(str(magnitude_mask(w, 0.5).dtype), "bool")
    check(w, [[0.1, 3.0, 0.2], [-0.3, -2.0, 1.0]])
    check_raises(ValueError, lambda: magnitude_mask(w, 1.5), "sparsity is 1.5, but it has to be a number from 0 to 1")
    check_raises(ValueError, lambda: magnitude_mask(w, 90), "90% is 0.9")

test_magnitude_mask()

# %% [markdown]
# For a whole network: a mask for every matrix of weights. Biases are few and stay. `prune` sets the zeros, and returns
# each mask together with the parameter that it belongs to.

# %%
#| export
def prunable(model) -> list[Parameter]:
    """The parameters of a model that have at least two axes: weights, and no biases."""
    if not isinstance(model, Module):
        raise TypeError(f"prune: {short(model)} is no network. Expected a Module such as Sequential([...]).")
    found = [p for p in model.parameters() if p.ndim >= 2]
    if not found:
        raise ValueError(f"prune: {short(model)} has no matrix of weights.")
    return found


def prune(model, sparsity: float) -> list[tuple[Parameter, np.ndarray]]:
    """Set the smallest weights of every layer to zero (Han et al. 2015).

    Parameters
    ----------
    model : Module
        Changed.
    sparsity : float, 0 to 1
        The fraction of each layer's weights that goes.

    Returns
    -------
    list of pairs (parameter, mask)
        To be handed to a `MaskedOptimizer`.
    """
    masks = [(p, magnitude_mask(p.data, sparsity)) for p in prunable(model)]
    for p, mask in masks:
        p.data[~mask] = 0
    return masks


def sparsity_of(model) -> float:
    """The fraction of a model's weights, biases not counted, that is zero."""
    weights = prunable(model)
    return 1 - sum(np.count_nonzero(p.data) for p in weights) / sum(p.size for p in weights)


# %%
pruned = deepcopy(teacher)
masks = prune(pruned, 0.95)
print(f"after pruning:       {sparsity_of(pruned):6.1%} zeros   validation accuracy {accuracy_of(pruned, validation):.4f}")
fit(pruned, train, epochs=1)
print(f"after an epoch more: {sparsity_of(pruned):6.1%} zeros   validation accuracy {accuracy_of(pruned, validation):.4f}")
pruned.zero_grad()
CrossEntropyLoss()(pruned(as_tensor(train.features)), train.targets).backward()
gradients = np.concatenate([p.grad.data[p.data == 0] for p, _ in masks])
print(f"of the zeros that are left, {(gradients == 0).mean():.0%} have no gradient on any digit")

# %% [markdown]
# Most of the accuracy came back, and most of the zeros are gone. Of course: a weight of zero has a gradient like any
# other, and the optimizer moved it. (Nearly all that are left belong to units that pruning has silenced, which give 0 for
# every digit, or to pixels that are 0 in every digit: no gradient reaches them.) The mask has to be applied again after
# every step.
#
# Could one set the gradients of pruned weights to zero instead? With plain gradient descent, yes. But an optimizer with
# memory also moves weights whose gradient is zero: momentum goes on rolling. So let it step, and put the zeros back
# afterwards, whatever the rule was. This takes an optimizer and gives one, so a `Trainer` or a schedule does not
# notice.

# %% nbgrader={"grade": false, "grade_id": "masked_step", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
class MaskedOptimizer:
    """An optimizer after whose every step the pruned weights are zero again.

    Parameters
    ----------
    optimizer : Optimizer
        Does the stepping.
    masks : list of pairs (parameter, mask)
        As `prune` returns them. Parameters without a mask are moved freely.
    """

    def __init__(self, optimizer, masks):
        if not all(hasattr(optimizer, name) for name in ("step", "zero_grad", "parameters", "learning_rate")):
            raise TypeError(f"MaskedOptimizer: {optimizer!r:.60} is no optimizer. Expected one such as SGD(model.parameters()).")
        self.optimizer, self.masks = optimizer, [checked_mask(optimizer, pair) for pair in masks]

    parameters = property(lambda self: self.optimizer.parameters)
    learning_rate = property(lambda self: self.optimizer.learning_rate, lambda self, rate: setattr(self.optimizer, "learning_rate", rate))

    def step(self) -> None:
        """Move all parameters, and set those entries to zero whose mask is False. A parameter keeps its array."""
        ### BEGIN SOLUTION masked_step
        self.optimizer.step()
        for p, mask in self.masks:
            p.data[~mask] = 0
        ### END SOLUTION

    def zero_grad(self) -> None:
        """Forget all gradients."""
        self.optimizer.zero_grad()

    def state_dict(self) -> dict:
        """What a resumed run needs to know."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` gave."""
        self.optimizer.load_state_dict(state)

    def __repr__(self):
        return f"MaskedOptimizer({self.optimizer!r}, {len(self.masks)} masks)"


def checked_mask(optimizer, pair) -> tuple:
    """A parameter and its mask, once the two are seen to belong to each other and to the optimizer."""
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(f"MaskedOptimizer: {pair!r:.60} is no pair (parameter, mask). Expected what prune(model, sparsity) returns.")
    p, mask = pair[0], np.asarray(pair[1])
    if not any(p is q for q in optimizer.parameters):
        raise ValueError("MaskedOptimizer: a mask belongs to a parameter that the optimizer does not move. Are both of the same model?")
    if mask.dtype != bool or mask.shape != p.shape:
        raise ValueError(f"MaskedOptimizer: a parameter of shape {p.shape} has a mask of shape {mask.shape} {mask.dtype}. Expected bools of one shape.")
    return p, mask


# %% [raw] tags=["exercise"]
# masked_step:
#   title: Zeros that stay
#   hints:
#     - Who moves the weights, and at what moment is it certain that nobody moves them any more until the next batch?
#     - Let the optimizer step. Then, for each pair, write zeros into the parameter's array where the mask is False.
#     - "p.data[...] = 0 for each p and mask, after the optimizer's step; ~mask is True where mask is False"
#   misconceptions:
#     - name: masks the gradient only
#       says: >-
#         The gradients were set to zero and the weights moved all the same: the optimizer remembers earlier gradients (momentum) and goes on
#         using them. Put the zeros back after the step.
#       code: |
#         for p, mask in self.masks:
#             if p.grad is not None:
#                 p.grad.data[~mask] = 0
#         self.optimizer.step()
#     - name: masks before the step
#       says: >-
#         The zeros were written, and then the optimizer moved them. The step comes first.
#       code: |
#         for p, mask in self.masks:
#             p.data[~mask] = 0
#         self.optimizer.step()
#     - name: does not step
#       says: >-
#         The zeros are in their places, but no weight was moved: the optimizer's own step is missing.
#       code: |
#         for p, mask in self.masks:
#             p.data[~mask] = 0
#     - name: sets the kept ones to zero
#       says: >-
#         The mask is True where a weight is kept. The zeros belong where it is False.
#       code: |
#         self.optimizer.step()
#         for p, mask in self.masks:
#             p.data[mask] = 0
#     - name: gives the parameter a new array
#       says: >-
#         The values are right, but the parameter has got another array. What shares its memory, such as a view, no longer sees it
#         change: write into p.data.
#       code: |
#         self.optimizer.step()
#         for p, mask in self.masks:
#             p.data = p.data * mask
#     - name: steps once for each mask
#       says: >-
#         The optimizer stepped once for each mask, so the weights moved several times. Its step moves all parameters: once, before the loop.
#       code: |
#         for p, mask in self.masks:
#             self.optimizer.step()
#             p.data[~mask] = 0

# %% nbgrader={"grade": true, "grade_id": "test_masked_step", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_masked_step():
    p, q, r = Parameter([1.0, 4.0, 0.0]), Parameter([1.0]), Parameter([0.0, 4.0])
    array, mask = p.data, np.array([True, True, False])
    optimizer = MaskedOptimizer(SGD([p, q, r], learning_rate=0.5), [(p, mask), (r, np.array([False, True]))])
    p.grad, q.grad, r.grad = Tensor([1.0, 2.0, 4.0]), Tensor([2.0]), Tensor([2.0, 2.0])
    optimizer.step()
    check(p, [0.5, 3.0, 0.0])
    check(q, [0.0])
    check(r, [0.0, 3.0])
    check(p.data is array, True)
    p, mask = Parameter([1.0, 2.0]), np.array([True, False])
    rolling = SGD([p], learning_rate=1.0, momentum=0.5)
    p.grad = Tensor([4.0, 4.0])
    rolling.step()  # before pruning: the velocity of both weights is 4
    p.data[1] = 0
    p.grad = Tensor([0.0, 0.0])
    MaskedOptimizer(rolling, [(p, mask)]).step()
    check(p, [-5.0, 0.0])
    optimizer.learning_rate = 0.25
    check(optimizer.optimizer.learning_rate, 0.25)
    check_raises(ValueError, lambda: MaskedOptimizer(rolling, [(Parameter([1.0]), mask)]), "does not move")
    check_raises(ValueError, lambda: MaskedOptimizer(rolling, [(p, np.array([True]))]), "has a mask of shape (1,)")
    check_raises(TypeError, lambda: MaskedOptimizer(p, []), "is no optimizer")

test_masked_step()

# %% [markdown]
# How far can one go? For each sparsity below, the same trained network is pruned, and then trained eight epochs more
# with its masks. The picture has one question: up to where does fine-tuning give back what pruning took?

# %%
import matplotlib.pyplot as plt

sparsities, before, after = [0.5, 0.8, 0.9, 0.95, 0.98], [], []
for sparsity in sparsities:
    pruned = deepcopy(teacher)
    masks = prune(pruned, sparsity)
    before.append(accuracy_of(pruned, validation))
    fit(pruned, train, epochs=8, masks=masks)
    after.append(accuracy_of(pruned, validation))
    assert abs(sparsity_of(pruned) - sparsity) < 0.001  # the zeros stayed
    print(f"{sparsity:4.0%} zeros   accuracy {before[-1]:.4f} after pruning, {after[-1]:.4f} after fine-tuning")

figure, axes = plt.subplots(figsize=(6, 3.2))
kept = [100 * (1 - s) for s in sparsities]
axes.plot(kept, before, "--", color="#d55e00", marker="o")
axes.plot(kept, after, "-", color="#0072b2", marker="o")
axes.annotate(" pruned", (kept[2], before[2]), color="#d55e00", va="top")
axes.annotate(" and fine-tuned", (kept[2], after[2]), color="#0072b2", va="top")
axes.set(xscale="log", xlabel="weights kept, %", ylabel="validation accuracy", title="Fine-tuning gives back what pruning took, up to a point")
axes.set_xticks(kept, [f"{k:.0f}" for k in kept], minor=False)
axes.minorticks_off()
figure.tight_layout()
plt.show()

# %% [markdown]
# ### Is it faster?
#
# Nine weights in ten are gone. A product with that matrix should take a tenth of the time, shouldn't it? Both are timed
# on one thread: `blas_threads(1)` keeps the library behind `@` from sharing a product out among the processors.

# %%
rng = np.random.default_rng(0)
x, w = rng.standard_normal((256, 512), dtype=np.float32), rng.standard_normal((512, 512), dtype=np.float32)
sparse = np.where(magnitude_mask(w, 0.9), w, np.float32(0))
with blas_threads(1):
    for name, matrix in (("dense", w), ("90% zeros", sparse)):
        print(f"{name:12s} {1e3 * seconds(lambda: x @ matrix, repeat=20):7.3f} ms")

# %% [markdown]
# It takes as long as before. The product multiplies by zero just as carefully as by anything else. A kernel that skips
# zeros has to look up where the others are, and reading scattered numbers is so much slower than reading neighbours
# that it pays only for matrices that are very sparse, or on hardware that was made for it. So: these zeros make a
# *file* smaller, because they need not be written. They make nothing faster. What does is to remove what is zero in
# whole rows and columns, so that a smaller dense matrix remains.
#
# ## Pruning whole units
#
# A hidden unit owns one column of the weights before it, one bias, and one row of the weights after it. Take all three
# out, and the network has one unit less; nothing is zero, the matrices are smaller. This is *structured* pruning (Li et
# al. 2017). With `units` the numbers of the ones that stay:
#
# | array | shape before | stays |
# |---|---|---|
# | `before.weights` | (D, H) | the columns `units` |
# | `before.bias` | (H,) | the entries `units` |
# | `after.weights` | (H, K) | the rows `units` |
# | `after.bias` | (K,) | all |

# %% nbgrader={"grade": false, "grade_id": "keep_units", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def keep_units(before: Dense, after: Dense, units) -> tuple[Dense, Dense]:
    """Two neighbouring layers with some of the units between them.

    Parameters
    ----------
    before, after : Dense
        The outputs of the first are the inputs of the second. Neither is changed.
    units : array of int
        Numbers of the units that stay.

    Returns
    -------
    before, after : Dense
        New layers with as many units between them as `units` has entries.

    Notes
    -----
    `with_arrays(weights, bias)`, given below, makes a layer of two arrays, of which the second may be None.
    """
    units = checked_units(units, before.output_size)
    if before.output_size != after.input_size:
        raise ValueError(f"keep_units: the first layer gives {before.output_size} features, the second takes {after.input_size}. They are no neighbours.")
    w, b = before.weights.data, None if before.bias is None else before.bias.data
    v, c = after.weights.data, None if after.bias is None else after.bias.data
    ### BEGIN SOLUTION keep_units
    return with_arrays(w[:, units], None if b is None else b[units]), with_arrays(v[units], c)
    ### END SOLUTION


def with_arrays(weights: np.ndarray, bias: np.ndarray | None) -> Dense:
    """A Dense with copies of these arrays."""
    layer = Dense(*weights.shape, use_bias=bias is not None, weight_init=lambda shape, rng: weights)
    if bias is not None:
        layer.bias.data[...] = bias
    return layer


def checked_units(units, count: int) -> np.ndarray:
    """`units` as an array, once they are seen to be different numbers of units, at least one."""
    units = np.asarray(units)
    if units.ndim != 1 or units.size == 0 or units.dtype.kind not in "iu":
        raise ValueError(f"keep_units: units is {units!r:.60}, expected the numbers of at least one unit, such as [0, 2]: a layer without units gives nothing on.")
    if units.min() < 0 or units.max() >= count or len(set(units.tolist())) < len(units):
        raise ValueError(f"keep_units: units are numbered 0 to {count - 1} here, each at most once; got {units.tolist()!r:.60}.")
    return units


# %% [raw] tags=["exercise"]
# keep_units:
#   title: Fewer units
#   hints:
#     - A unit's weights stand in a column of one matrix and in a row of another. Which is which?
#     - Index the columns of w and the entries of b, and the rows of v. c belongs to the units after, which all stay.
#     - "with_arrays(w[:, units], ...), with_arrays(v[...], c); b may be None"
#   misconceptions:
#     - name: takes rows of both
#       says: >-
#         Rows of the first matrix belong to its inputs, not to its units. A unit's own weights are a column, w[:, units].
#       code: |
#         return with_arrays(w[units], b), with_arrays(v[units], c)
#     - name: forgets the bias
#       says: >-
#         The units that stay lost their biases. A bias goes with its unit: b[units].
#       code: |
#         return with_arrays(w[:, units], None if b is None else np.zeros(len(units))), with_arrays(v[units], c)
#     - name: zeros in place of removing
#       says: >-
#         The other units were set to zero, and the matrices are as large as before. Choose the columns and rows that stay.
#       code: |
#         stays = np.isin(np.arange(w.shape[1]), units)
#         return with_arrays(w * stays, None if b is None else b * stays), with_arrays(v * stays[:, None], c)
#     - name: takes the first units
#       says: >-
#         As many units stayed as should, but the first ones, not those that were named.
#       code: |
#         n = len(units)
#         return with_arrays(w[:, :n], None if b is None else b[:n]), with_arrays(v[:n], c)
#     - name: removes the named units
#       says: >-
#         The units that were named went. They are the ones to keep.
#       code: |
#         rest = np.setdiff1d(np.arange(w.shape[1]), units)
#         return with_arrays(w[:, rest], None if b is None else b[rest]), with_arrays(v[rest], c)

# %% nbgrader={"grade": true, "grade_id": "test_keep_units", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_keep_units():
    before = dense_with([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]], [10.0, 20.0, 30.0])
    after = dense_with([[1.0, -1.0], [2.0, -2.0], [3.0, -3.0]], [0.5, 0.25])
    first, second = keep_units(before, after, [0, 2])
    check(first.weights, [[1.0, 3.0], [4.0, 6.0], [7.0, 9.0]])
    check(first.bias, [10.0, 30.0])
    check(second.weights, [[1.0, -1.0], [3.0, -3.0]])
    check(second.bias, [0.5, 0.25])
    check((first.output_size, second.input_size), (2, 2))
    check(second(first(Tensor([[1.0, 1.0, 1.0]]))), [[166.5, -165.75]])
    check(keep_units(before, after, np.array([2, 1]))[1].weights, [[3.0, -3.0], [2.0, -2.0]])
    check(keep_units(Dense(2, 3, use_bias=False), Dense(3, 1, use_bias=False), [1])[0].bias, None)
    check(before.weights.shape, (3, 3))
    check_raises(ValueError, lambda: keep_units(before, after, []), "at least one unit")
    check_raises(ValueError, lambda: keep_units(before, after, [0, 3]), "numbered 0 to 2")
    check_raises(ValueError, lambda: keep_units(before, Dense(2, 2), [0]), "no neighbours")

test_keep_units()

# %% [markdown]
# Which units stay? One whose incoming weights are small says little, and one whose outgoing weights are small is not
# listened to. The product of the two lengths is a fair measure of both.
#
# A channel of a convolution is a unit too: it owns a kernel, a bias, and its part of every kernel in the next layer,
# or, behind a `Flatten`, a row of the dense weights for each of its places. If the weights of both kinds of layers are
# looked at as a matrix, inputs times outputs, the two are treated alike. A `BatchNorm` in between would have to lose a
# channel as well, so it is taken out of the way first. In use it is a factor and an offset for each channel, and these
# can be worked into the weights and the bias of the layer before it: it is *folded in*.

# %%
#| export
WEIGHTED = (Dense, Conv2D)
KNOWN = (*WEIGHTED, BatchNorm, ReLU, LeakyReLU, Sigmoid, Tanh, GELU, Dropout, MaxPool2D, Flatten)


def checked_network(name: str, model, known=KNOWN) -> Sequential:
    """`model` itself, once it is seen to be a Sequential of layers that the function called `name` knows."""
    if not isinstance(model, Sequential):
        raise TypeError(f"{name}: {short(model)} is no Sequential. Expected one, such as create_mlp(64, [32], 10).")
    for place, layer in enumerate(model):
        if not isinstance(layer, known) or getattr(layer, "groups", 1) != 1:
            raise TypeError(f"{name}: layer {place} is {short(layer)}. Expected one of {', '.join(k.__name__ for k in known)}, without groups.")
    if not any(isinstance(layer, WEIGHTED) for layer in model):
        raise ValueError(f"{name}: the network has no layer with weights.")
    return model


def as_matrix(layer) -> np.ndarray:
    """The weights of a Dense or a Conv2D as a matrix, inputs times outputs."""
    w = layer.weights.data
    return w if isinstance(layer, Dense) else w.reshape(len(w), -1).T


def with_weights(layer, weights: np.ndarray, bias: np.ndarray | None):
    """A layer like this Dense or Conv2D, with copies of these arrays, whose number of units may be another."""
    if isinstance(layer, Dense):
        return with_arrays(weights, bias)
    layer = deepcopy(layer)
    layer.weights, layer.bias = Parameter(weights), None if bias is None else Parameter(bias)
    layer.out_channels, layer.in_channels = weights.shape[:2]
    return layer


def bias_of(layer) -> np.ndarray:
    """The bias of a layer; zeros where it has none."""
    return np.zeros(as_matrix(layer).shape[1], np.float32) if layer.bias is None else layer.bias.data


def fold_batch_norm(model: Sequential) -> Sequential:
    """A copy of a network in which the layer before each BatchNorm does its work. The answers are those of evaluation mode."""
    layers = []
    for layer in deepcopy(checked_network("fold_batch_norm", model)):
        if not isinstance(layer, BatchNorm):
            layers.append(layer)
            continue
        if not layers or not isinstance(layers[-1], WEIGHTED):
            raise TypeError(f"fold_batch_norm: {short(layer)} does not follow a Dense or a Conv2D, so there are no weights to fold it into.")
        before, factor = layers[-1], layer.gain.data / np.sqrt(layer.running_var.data + np.float32(layer.epsilon))
        shaped = factor if isinstance(before, Dense) else factor[:, None, None, None]
        bias = (bias_of(before) - layer.running_mean.data) * factor + layer.bias.data
        layers[-1] = with_weights(before, before.weights.data * shaped, bias)
    return Sequential(layers)


def unit_scores(before, after) -> np.ndarray:
    """How much each unit between two layers matters: length of its weights in, times length of its weights out."""
    into = np.linalg.norm(as_matrix(before), axis=0)
    return into * np.linalg.norm(as_matrix(after).reshape(len(into), -1), axis=1)


def keep_channels(before: Conv2D, after, units: np.ndarray) -> tuple:
    """A convolution and the layer after it, with some of the channels between them; what `keep_units` is for Dense layers."""
    count = before.out_channels
    first = with_weights(before, before.weights.data[units], None if before.bias is None else before.bias.data[units])
    if isinstance(after, Conv2D):
        return first, with_weights(after, after.weights.data[:, units], None if after.bias is None else after.bias.data)
    places = after.input_size // count
    rows = (units[:, None] * places + np.arange(places)).reshape(-1)
    return first, with_arrays(after.weights.data[rows], None if after.bias is None else after.bias.data)


def strongest(scores: np.ndarray, keep: float) -> np.ndarray:
    """The positions, in order, of the largest scores: the fraction `keep` of them, rounded."""
    count = round(checked_part("shrink", "keep", keep, with_ends=True) * len(scores))
    if count == 0:
        raise ValueError(
            f"shrink: keep={keep} leaves none of {len(scores)} units, and nothing would reach the layers after them.\n"
            f"  Keep at least {1 / len(scores):.2g}."
        )
    return np.sort(np.argsort(-scores, kind="stable")[:count])


def shrink(model: Sequential, keep: float) -> Sequential:
    """A smaller copy of a network: in every hidden layer the fraction `keep` of the units, those that matter most.

    Parameters
    ----------
    model : Sequential
        Of Dense, Conv2D, and layers without weights. A BatchNorm is folded in. Not changed.
    keep : float
        Above 0, up to 1.
    """
    layers = list(fold_batch_norm(checked_network("shrink", model)))
    places = [i for i, layer in enumerate(layers) if isinstance(layer, WEIGHTED)]
    for i, j in zip(places, places[1:]):
        units = strongest(unit_scores(layers[i], layers[j]), keep)
        keeping = keep_units if isinstance(layers[i], Dense) else keep_channels
        layers[i], layers[j] = keeping(layers[i], layers[j], units)
    return Sequential(layers)


# %% nbgrader={"grade": true, "grade_id": "test_shrink", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_shrink():
    model = Sequential([dense_with([[3.0, 0.0, 1.0], [4.0, 2.0, 0.0]], [1.0, 2.0, 3.0]), ReLU(), dense_with([[1.0], [9.0], [4.0]], [0.5])])
    check(unit_scores(model[0], model[2]), [5.0, 18.0, 4.0])
    small = shrink(model, 2 / 3)
    check(small[0].weights, [[3.0, 0.0], [4.0, 2.0]])
    check(small[2].weights, [[1.0], [9.0]])
    check(model[0].weights.shape, (2, 3))
    check_raises(ValueError, lambda: shrink(model, 0.1), "leaves none of 3 units")
    check_raises(TypeError, lambda: shrink(model[0], 0.5), "is no Sequential")
    layer, norm = dense_with([[1.0, 2.0]], [3.0, 4.0]), BatchNorm(2, epsilon=1.0)
    norm.gain.data[...], norm.bias.data[...] = [1.0, 3.0], [10.0, 20.0]
    norm.running_mean.data[...], norm.running_var.data[...] = [1.0, 2.0], [3.0, 8.0]
    folded = fold_batch_norm(Sequential([layer, norm]))
    check((len(folded), folded[0].weights.tolist(), folded[0].bias.tolist()), (1, [[0.5, 2.0]], [11.0, 22.0]))

test_shrink()

# %%
x = Tensor(validation.features)
for keep in (1.0, 0.5, 0.25, 0.1):
    small = shrink(teacher, keep)
    cut = accuracy_of(small, validation)
    fit(small, train, epochs=8)
    with no_grad(), blas_threads(1):
        duration = seconds(lambda: small(x), repeat=20)
    print(f"{keep:4.0%} of the units: {count_parameters(small):6,} parameters   accuracy {cut:.4f}, fine-tuned {accuracy_of(small, validation):.4f}   {1e6 * duration:5.0f} us")

# %% [markdown]
# These networks *are* faster, by themselves, on any machine: their matrices are smaller. Fine-tuning needs no masks,
# since there is nothing left that could come back. One would think that a unit is a blunt tool: compare the accuracies
# with those of single weights above, at the same number of parameters.
#
# ## Shorter numbers
#
# A float32 tells apart more than four billion values. Does a weight need them? Take 256 equally spaced values and write
# each number as the nearest of them: one byte. The spacing is called the *scale* $s$, and the integer that stands for 0
# is the *zero point* $z$:
#
# $$q = \mathrm{round}(x / s) + z, \qquad x \approx s\,(q - z).$$
#
# An int8 holds $-128$ to $127$. Given the range that the numbers come from, its lower end shall become $-128$ and its
# upper end $127$. Zero is something special: it is what `relu` gives and what padding is made of, and it should be
# represented exactly. So the range is stretched until it holds 0, if it does not, and $z$ is a whole number (Jacob et
# al. 2018).

# %% nbgrader={"grade": false, "grade_id": "affine_parameters", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def integer_range(bits: int) -> tuple[int, int]:
    """The smallest and the largest integer of so many bits, 2 to 8, with a sign: (-128, 127) for 8."""
    if isinstance(bits, bool) or not isinstance(bits, (int, np.integer)) or not 2 <= bits <= 8:
        raise ValueError(
            f"bits: {bits!r:.60} bits were asked for. Expected a whole number from 2 to 8.\n"
            "  Integers are kept as int8 here; 16 and 32 bits are float16's and float32's business."
        )
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def affine_parameters(low: float, high: float, bits: int = 8) -> tuple[float, int]:
    """Scale and zero point for numbers from `low` to `high`.

    Parameters
    ----------
    low, high : float
        Stretched so as to hold 0, where they do not.
    bits : int, 2 to 8

    Returns
    -------
    scale : float, above 0
        The width of the range, divided by the number of steps between the smallest integer and the largest.
    zero_point : int
        The integer for 0, so chosen that `low` becomes the smallest integer. Rounded.

    Raises
    ------
    ValueError
        For bounds that are not finite or exchanged, and for a range without width, from 0 to 0.
    """
    smallest, largest = integer_range(bits)
    low, high = checked_range(low, high)
    ### BEGIN SOLUTION affine_parameters
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / (largest - smallest)
    return scale, round(smallest - low / scale)
    ### END SOLUTION


def checked_range(low, high) -> tuple[float, float]:
    """The bounds of a range as floats, once they are seen to be finite, in order, and not both 0."""
    low, high = float(low), float(high)
    if not (math.isfinite(low) and math.isfinite(high)) or low > high:
        raise ValueError(f"affine_parameters: the range is {low} to {high}. Expected two finite numbers, the smaller one first.")
    if low == high == 0:
        raise ValueError(
            "affine_parameters: the range is 0 to 0, so the scale would be 0.\n"
            "  All values are 0: a layer before is dead, or the calibration data is empty of signal. Calibrate with real inputs."
        )
    return low, high


# %% [raw] tags=["exercise"]
# affine_parameters:
#   title: Scale and zero point
#   hints:
#     - How many steps lie between -128 and 127? And if low is to become -128, which integer does 0 become?
#     - Stretch the range to hold 0. The scale is its width over the steps. The zero point is the smallest integer minus low / scale, rounded.
#     - "scale = (high - low) / (...), and the zero point is round(smallest - ... / scale)"
#   misconceptions:
#     - name: counts values in place of steps
#       says: >-
#         The width was divided by the number of integers. Between 256 of them lie 255 steps, as between five fingers lie four gaps.
#       code: |
#         low, high = min(low, 0.0), max(high, 0.0)
#         scale = (high - low) / (largest - smallest + 1)
#         return scale, round(smallest - low / scale)
#     - name: does not stretch
#       says: >-
#         The range does not hold 0, so no integer stands for 0. Take min(low, 0) and max(high, 0) first.
#       code: |
#         scale = (high - low) / (largest - smallest) if high > low else abs(high)
#         return scale, round(smallest - low / scale)
#     - name: zero point with the wrong sign
#       says: >-
#         low / scale was added. low should become the smallest integer: smallest = low / scale + zero_point.
#       code: |
#         low, high = min(low, 0.0), max(high, 0.0)
#         scale = (high - low) / (largest - smallest)
#         return scale, round(smallest + low / scale)
#     - name: unsigned integers
#       says: >-
#         The zero point is that of integers from 0 to 255. Here the smallest integer is -128.
#       code: |
#         low, high = min(low, 0.0), max(high, 0.0)
#         scale = (high - low) / (largest - smallest)
#         return scale, round(-low / scale)
#     - name: truncates the zero point
#       says: >-
#         The zero point was cut off, not rounded: int(-57.7) is -57. The range is then moved by nearly a whole step.
#       code: |
#         low, high = min(low, 0.0), max(high, 0.0)
#         scale = (high - low) / (largest - smallest)
#         return scale, int(smallest - low / scale)
#     - name: rounds the zero point down
#       says: >-
#         The zero point was rounded down, not to the nearest: -57.3 became -58. Python's round gives the nearest whole number.
#       code: |
#         low, high = min(low, 0.0), max(high, 0.0)
#         scale = (high - low) / (largest - smallest)
#         return scale, math.floor(smallest - low / scale)

# %% nbgrader={"grade": true, "grade_id": "test_affine_parameters", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_affine_parameters():
    check(affine_parameters(0.0, 25.5), (0.1, -128))
    check(affine_parameters(-25.5, 0.0), (0.1, 127))
    check(affine_parameters(-1.0, 1.55), (0.01, -28))
    check(affine_parameters(1.0, 2.55), (0.01, -128))
    check(affine_parameters(-5.1, -1.0), (0.02, 127))
    check(affine_parameters(3.0, 3.0), (3 / 255, -128))
    check(affine_parameters(-1.0, 2.0, bits=2), (1.0, -1))
    check(affine_parameters(-0.703, 1.847), (0.01, -58))
    check(affine_parameters(-0.707, 1.843), (0.01, -57))
    check_raises(ValueError, lambda: affine_parameters(0.0, 0.0), "the scale would be 0")
    check_raises(ValueError, lambda: affine_parameters(2.0, 1.0), "the smaller one first")
    check_raises(ValueError, lambda: affine_parameters(float("nan"), 1.0), "finite")
    check_raises(ValueError, lambda: affine_parameters(0.0, 1.0, bits=16), "from 2 to 8")

test_affine_parameters()

# %% [markdown]
# Then the numbers themselves. What lies outside the range becomes the nearest integer there is: an integer that is too
# large for int8 would otherwise come out at the other end, `np.int64(130).astype(np.int8)` is $-126$, and nobody would
# be told.

# %% nbgrader={"grade": false, "grade_id": "quantize", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def quantize(x: np.ndarray, scale, zero_point: int = 0, bits: int = 8) -> np.ndarray:
    """Real numbers as int8: round(x / scale) + zero_point, and at the ends of the range what lies outside.

    Parameters
    ----------
    x : array of floats
    scale : float, or array that broadcasts with x
    zero_point : int
    bits : int, 2 to 8

    Returns
    -------
    array of int8, the shape of x

    Notes
    -----
    ``np.rint`` rounds to the nearest whole number, still a float (a half to the even one). ``np.clip(a, low, high)``.
    """
    smallest, largest = integer_range(bits)
    ### BEGIN SOLUTION quantize
    return np.clip(np.rint(x / scale) + zero_point, smallest, largest).astype(np.int8)
    ### END SOLUTION


def dequantize(q: np.ndarray, scale, zero_point: int = 0) -> np.ndarray:
    """The real numbers that integers stand for, as float32: scale * (q - zero_point), the difference in int32."""
    return (q.astype(np.int32) - zero_point).astype(np.float32) * np.float32(scale)


# %% [raw] tags=["exercise"]
# quantize:
#   title: A real number as a byte
#   hints:
#     - Four steps, divide, round, shift, and one more before the number may become an int8. What happens to 300 without it?
#     - Divide by the scale, round with np.rint, add the zero point, clip to the integers there are, and convert.
#     - "np.clip(np.rint(...) + ..., smallest, largest).astype(np.int8)"
#   misconceptions:
#     - name: converts before clipping
#       says: >-
#         A number above the range came out far below it: as an int8, 227 wraps round to -29. Clip while the numbers are still floats, then
#         convert.
#       code: |
#         q = (np.rint(x / scale) + zero_point).astype(np.int64).astype(np.int8)
#         return np.clip(q, smallest, largest)
#     - name: truncates
#       says: >-
#         The digits after the point were cut off. That is wrong by half a step on average, and always towards zero: round with np.rint.
#       code: |
#         return np.clip(np.trunc(x / scale) + zero_point, smallest, largest).astype(np.int8)
#     - name: subtracts the zero point
#       says: >-
#         The zero point is added on the way in and subtracted on the way back. 0.0 has to become the zero point.
#       code: |
#         return np.clip(np.rint(x / scale) - zero_point, smallest, largest).astype(np.int8)
#     - name: clips before the shift
#       says: >-
#         The numbers were brought into the range and then moved by the zero point, out of it again. Clip last.
#       code: |
#         return (np.clip(np.rint(x / scale), smallest, largest) + zero_point).astype(np.int64).astype(np.int8)
#     - name: multiplies by the scale
#       says: >-
#         x was multiplied by the scale. The scale is the width of a step, and the number of steps is x / scale.
#       code: |
#         return np.clip(np.rint(x * scale) + zero_point, smallest, largest).astype(np.int8)

# %% nbgrader={"grade": true, "grade_id": "test_quantize", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_quantize():
    x = np.array([0.0, 0.1, 0.26, -0.26, -0.4])
    check(quantize(x, 0.1), [0, 1, 3, -3, -4])
    check(quantize(x, 0.1, zero_point=-28), [-28, -27, -25, -31, -32])
    check(quantize(np.array([20.0, -20.0]), 0.1, zero_point=27), [127, -128])
    check(quantize(np.array([-12.0]), 0.1, zero_point=-20), [-128])
    check(quantize(np.array([5.0, 0.6, -0.4, -9.0]), 1.0, bits=3), [3, 1, 0, -4])
    check(quantize(np.array([[1.0, 1.0], [2.0, -3.0]]), np.array([0.5, 1.0])), [[2, 1], [4, -3]])
    check(str(quantize(x, 0.1).dtype), "int8")
    check(dequantize(np.array([127, -128], np.int8), 0.5, zero_point=-100), [113.5, -14.0])
    check(str(dequantize(quantize(x, 0.1), 0.1).dtype), "float32")
    check_raises(ValueError, lambda: quantize(x, 0.1, bits=1), "bits: 1 bits")

test_quantize()

# %% [markdown]
# Weights lie about zero on both sides, so their zero point may as well be 0, which saves work later: the scale is then
# the largest magnitude over 127. One scale may serve a whole matrix, or every unit gets one of its own. The second
# keeps a number more for each unit. It helps where units differ much in size, since a small unit would otherwise have to live on
# the few integers that a large one leaves it.

# %%
#| export
def weight_scales(weights: np.ndarray, bits: int = 8, per_channel: bool = True) -> np.ndarray:
    """Scales for weights of shape (..., K), with zero point 0: shape (K,), or () for a single one.

    A unit all of whose weights are 0 gets the scale 1. Raises ValueError where every weight is 0.
    """
    if not np.isfinite(weights).all():
        raise ValueError("weight_scales: the weights hold NaN or an infinity. Was the training stable?")
    if weights.size == 0 or not weights.any():
        raise ValueError("weight_scales: all weights are 0, so the scale would be 0. A layer of zeros gives nothing on: leave it out.")
    axes = tuple(range(weights.ndim - 1)) if per_channel else None
    largest = abs(weights).max(axis=axes)
    return np.where(largest > 0, largest / integer_range(bits)[1], 1).astype(np.float32)[()]


# %%
w = teacher[0].weights.data.copy()
uneven = w * np.geomspace(0.01, 1, w.shape[1], dtype=np.float32)  # units of very different size
for name, matrix in (("as trained", w), ("uneven units", uneven)):
    for per_channel in (False, True):
        scales = weight_scales(matrix, per_channel=per_channel)
        error = abs(dequantize(quantize(matrix, scales), scales) - matrix)
        unit = np.median(np.linalg.norm(error, axis=0) / np.linalg.norm(matrix, axis=0))
        print(f"{name:13s} {'a scale for each unit' if per_channel else 'one scale':22s} relative error of a unit, median: {unit:.4f}")

# %% [markdown]
# ### Which range? Calibration
#
# Weights are known. What flows between the layers is not: it depends on the input. So a few hundred training samples
# are sent through the network, and the ranges are read off. That is *calibration*. The obvious range is from the
# smallest value to the largest. But a single outlier then stretches the steps for all others, and it may be better to
# cut it off. How much better can be computed: quantise, go back, and take the mean square of what was lost.

# %% nbgrader={"grade": false, "grade_id": "mse_range", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def minmax_range(values: np.ndarray, bits: int = 8) -> tuple[float, float]:
    """From the smallest value to the largest."""
    values = checked_array(values, "minmax_range")
    return float(values.min()), float(values.max())


def percentile_range(values: np.ndarray, bits: int = 8, percent: float = 99.9) -> tuple[float, float]:
    """The range in which `percent` of the values lie, with as many above as below."""
    values = checked_array(values, "percentile_range")
    if not isinstance(percent, (int, float, np.number)) or not 50 < percent <= 100:
        raise ValueError(f"percentile_range: percent is {percent!r:.40}, expected a number above 50, at most 100, such as 99.9.")
    low, high = np.percentile(values, [(100 - percent) / 2, (100 + percent) / 2])
    return float(low), float(high)


FACTORS = tuple(np.linspace(1.0, 0.2, 41))


def mse_range(values: np.ndarray, bits: int = 8, factors=FACTORS) -> tuple[float, float]:
    """The range, from the full one inwards, that loses least: with the smallest mean square of what quantising changes.

    Parameters
    ----------
    values : array
    bits : int, 2 to 8
    factors : sequence of numbers above 0
        The ranges to be tried are the full one, ``minmax_range(values)``, with both ends multiplied by each of these.

    Returns
    -------
    low, high : float
        Of the best range. Of equally good ones, the first that was tried.

    Notes
    -----
    `affine_parameters`, `quantize` and `dequantize` do the rest.
    """
    values = checked_array(values, "mse_range")
    low, high = minmax_range(values)
    best, best_error = (low, high), math.inf
    ### BEGIN SOLUTION mse_range
    for factor in factors:
        scale, zero_point = affine_parameters(factor * low, factor * high, bits)
        lost = dequantize(quantize(values, scale, zero_point, bits), scale, zero_point) - values
        error = float(np.mean(lost * lost))
        if error < best_error:
            best, best_error = (float(factor * low), float(factor * high)), error
    return best
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# mse_range:
#   title: The range that loses least
#   hints:
#     - What does a value become when it is quantised and brought back? What is lost is the difference to what it was.
#     - For every factor, make scale and zero point for the scaled range, quantise, dequantise, take the mean of the squared differences; keep the range with the smallest.
#     - "lost = dequantize(quantize(values, ...), ...) - values, for each factor; compare np.mean(lost * lost)"
#   misconceptions:
#     - name: keeps the last range
#       says: >-
#         The last range came out, whatever it lost. Keep a range, and its error, only where that error is smaller than the best so far.
#       code: |
#         for factor in factors:
#             best = (float(factor * low), float(factor * high))
#         return best
#     - name: lets errors cancel
#       says: >-
#         Errors upwards and downwards cancelled in the mean. Square them before they are averaged.
#       code: |
#         for factor in factors:
#             scale, zero_point = affine_parameters(factor * low, factor * high, bits)
#             lost = dequantize(quantize(values, scale, zero_point, bits), scale, zero_point) - values
#             error = abs(float(np.mean(lost)))
#             if error < best_error:
#                 best, best_error = (float(factor * low), float(factor * high)), error
#         return best
#     - name: takes absolute values
#       says: >-
#         The mean of the absolute values was taken. It lets one value lose much where many gain a little each; the mean *square* is asked for,
#         to which a large loss counts for more than its size.
#       code: |
#         for factor in factors:
#             scale, zero_point = affine_parameters(factor * low, factor * high, bits)
#             lost = dequantize(quantize(values, scale, zero_point, bits), scale, zero_point) - values
#             error = float(np.mean(abs(lost)))
#             if error < best_error:
#                 best, best_error = (float(factor * low), float(factor * high)), error
#         return best
#     - name: stops at the first that is worse
#       says: >-
#         The search ended where the error grew for the first time. A better range may come later: try every factor.
#       code: |
#         for factor in factors:
#             scale, zero_point = affine_parameters(factor * low, factor * high, bits)
#             lost = dequantize(quantize(values, scale, zero_point, bits), scale, zero_point) - values
#             error = float(np.mean(lost * lost))
#             if error >= best_error:
#                 break
#             best, best_error = (float(factor * low), float(factor * high)), error
#         return best
#     - name: narrows the range again and again
#       says: >-
#         Each factor was applied to the range before it, not to the full one, so most of the ranges that were to be tried never were.
#       code: |
#         for factor in factors:
#             low, high = factor * low, factor * high
#             scale, zero_point = affine_parameters(low, high, bits)
#             lost = dequantize(quantize(values, scale, zero_point, bits), scale, zero_point) - values
#             error = float(np.mean(lost * lost))
#             if error < best_error:
#                 best, best_error = (float(low), float(high)), error
#         return best
#     - name: forgets the bits
#       says: >-
#         The ranges were compared at eight bits. With fewer bits the steps are longer, and cutting off pays earlier: hand `bits` on.
#       code: |
#         for factor in factors:
#             scale, zero_point = affine_parameters(factor * low, factor * high)
#             lost = dequantize(quantize(values, scale, zero_point), scale, zero_point) - values
#             error = float(np.mean(lost * lost))
#             if error < best_error:
#                 best, best_error = (float(factor * low), float(factor * high)), error
#         return best

# %% nbgrader={"grade": true, "grade_id": "test_mse_range", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_mse_range():
    ones = np.array([0.0] * 100 + [1.0] * 100 + [2.0] * 100 + [3.0] * 100 + [12.0])
    # with two bits: steps of 4 lose 1 + 4 + 1 for each of 100; steps of 3 and 2 lose 1 + 1; steps of 1.5 lose 1/4 + 1/4;
    # steps of 1 lose nothing there, and 81 once. (With eight bits 12.75 would be best: all are whole steps of 0.05.)
    check(mse_range(ones, bits=2, factors=(1.0, 0.75, 0.375, 1.0625, 0.25, 0.125, 0.5)), (0.0, 3.0))
    check(mse_range(ones, bits=2, factors=(1.0, 0.5)), (0.0, 6.0))
    check(mse_range(ones, bits=2, factors=(0.25, 0.1, 0.5)), (0.0, 3.0))
    few = np.array([0.0, 1.0, 2.0, 3.0, 12.0])
    # steps of 4 lose 1 + 4 + 1 = 6; steps of 2 lose 1 + 1 + 36; steps of 1 lose 81
    check(mse_range(few, bits=2, factors=(1.0, 0.5, 0.25)), (0.0, 12.0))
    check(mse_range(-few, bits=2, factors=(0.5, 1.0)), (-12.0, 0.0))
    five_each = np.array([0.0, 1.0, 2.0, 3.0] * 5 + [12.0])
    # steps of 4 lose 5 * 6 = 30, steps of 1 lose 81; without the squares, 20 and 9
    check(mse_range(five_each, bits=2, factors=(1.0, 0.25)), (0.0, 12.0))
    check(mse_range(-ones, bits=2, factors=(1.0, 0.25)), (-3.0, 0.0))
    check(mse_range(np.array([0.0, 6.0]), bits=2, factors=(1.0, 1.5)), (0.0, 6.0))  # steps of 2 or of 3, nothing is lost
    check_raises(ValueError, lambda: mse_range(np.array([])), "holds no samples")
    check_raises(ValueError, lambda: mse_range(np.array([1.0, np.nan])), "entry [1] is nan")

test_mse_range()

# %% [markdown]
# Every layer with weights gets the range of what arrives at it. Here are the three rules, on what the trained network's
# layers really see. Then once more, after a mishap that is common enough: the pixels of one single digit came in from 0
# to 255, because somebody forgot to divide.

# %%
#| export
CALIBRATIONS = {"minmax": minmax_range, "percentile": percentile_range, "mse": mse_range}


def calibrate(model: Sequential, x, method: str = "minmax") -> list[tuple[float, float]]:
    """The range of what arrives at every layer with weights, measured on inputs x.

    Parameters
    ----------
    model : Sequential
    x : Tensor or array
        Inputs like those to come: some of the training data.
    method : "minmax", "percentile" or "mse"
    """
    if method not in CALIBRATIONS:
        raise ValueError(f"calibrate: method is {method!r:.40}, expected one of {', '.join(CALIBRATIONS)}.")
    x, ranges = as_tensor(x), []
    checked_array(plain(x), "calibrate")
    with evaluating(checked_network("calibrate", model)):
        for layer in model:
            if isinstance(layer, WEIGHTED):
                ranges.append(CALIBRATIONS[method](plain(x)))
            x = layer(x)
    return ranges


# %%
careless = train.features.copy()
careless[0] *= 255
for name, x in ((f"{len(train):,} digits", train.features), ("one of them from 0 to 255", careless)):
    for method in CALIBRATIONS:
        print(f"{name:26s} {method:11s}", "   ".join(f"{low:.0f} to {high:7.2f}" for low, high in calibrate(teacher, x, method)))

# %% [markdown]
# As long as nothing is amiss, the three rules differ by a little, and only where there is a tail to be cut. One strange
# digit among all of them, and the ranges of `minmax` are more than a hundred times as wide: for the input a step is now
# as wide as the whole range of an honest pixel, which is left with two integers. `percentile` counts values, and those
# of one digit are few; of the pixels none is seen. `mse` is led astray nearly as far as `minmax`: it squares what is
# lost, and cutting off a value of 255 loses more than coarse steps do for all the others. What these ranges do to the
# answers will be seen as soon as there is a network in integers.
#
# ## Computing with integers
#
# So far the bytes are a way to store numbers. Turning them back into floats before the product would work; and be no
# faster, and need the memory of floats again. The point is to compute *with* the integers. For one output, with input
# $x_d = s_x (q_d - z)$ and weight $w_d = s_w v_d$:
#
# $$\sum_d x_d w_d + b = s_x s_w \Big( \sum_d q_d v_d \;-\; z \sum_d v_d \;+\; \frac{b}{s_x s_w} \Big).$$
#
# Everything in the large bracket is a whole number, if the bias is rounded to one. The first sum is a product of two
# int8 matrices. It needs more room than its factors: a single product of two bytes can reach $2^{14}$, and an int8 ends
# at 127. So it is *accumulated* in int32, which has room for a hundred thousand such products. The second sum depends
# on the weights alone.
#
# NumPy's `@` would keep the type of its inputs and overflow without a word. `np.einsum` takes the type to add up in,
# and converts its inputs on the way, a small buffer at a time. This is the only place where the integer network
# multiplies matrices, and it refuses anything but bytes.

# %%
q, v = np.array([[100, 100]], np.int8), np.array([[100, 100]], np.int8)
print("int8 @ int8:", (q @ v.T).item(), f"({(q @ v.T).dtype}), accumulated in int32:", np.einsum("nd,kd->nk", q, v, dtype=np.int32).item())

# %% nbgrader={"grade": false, "grade_id": "integer_dense", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def integer_product(q: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The product of bytes (N, D) with bytes (K, D), along D, as int32 (N, K). No float takes part.

    The weights lie transposed, a row for each output, so that both factors are read from end to end.
    """
    for name, a in (("q", q), ("weights", weights)):
        if a.dtype != np.int8 or a.ndim != 2:
            raise TypeError(f"integer_product: {name} is {a.shape} {a.dtype}, expected a matrix of int8. quantize(x, scale, zero_point) makes one.")
    if q.shape[1] != weights.shape[1]:
        raise ValueError(f"integer_product: rows of {q.shape[1]} features meet weights for {weights.shape[1]}. Expected (N, D) and (K, D).")
    return np.einsum("nd,kd->nk", q, weights, dtype=np.int32)


def integer_dense(q: np.ndarray, weights: np.ndarray, bias: np.ndarray, zero_point: int) -> np.ndarray:
    """A dense layer in integers: the large bracket above.

    Parameters
    ----------
    q : int8 array, shape (N, D)
        Inputs, of which `zero_point` stands for 0.
    weights : int8 array, shape (K, D)
        A row for each output; here 0 stands for 0.
    bias : int32 array, shape (K,)
        In units of the product.
    zero_point : int

    Returns
    -------
    int32 array, shape (N, K)

    Raises
    ------
    TypeError
        Where q or weights are anything but int8: no float is to slip in, and no wider integer.
    ValueError
        Where their rows differ in length.

    Notes
    -----
    `integer_product(q, weights)` is the first sum, and refuses what has to be refused. ``a.sum(axis=..., dtype=np.int32)`` adds up in int32.
    """
    ### BEGIN SOLUTION integer_dense
    return integer_product(q, weights) + (bias - zero_point * weights.sum(axis=1, dtype=np.int32))
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# integer_dense:
#   title: A dense layer in integers
#   hints:
#     - Of the three terms in the bracket, only one depends on the input. Which axis of the weights is d?
#     - Take the integer product, subtract the zero point times the sum of each output's weights (in int32), add the bias.
#     - "integer_product(q, weights) + (bias - zero_point * weights.sum(axis=..., dtype=...))"
#   misconceptions:
#     - name: forgets the zero point
#       says: >-
#         The inputs were taken as if the integer 0 stood for 0. Each is too large by the zero point, which adds zero_point times the sum of the weights.
#       code: |
#         return integer_product(q, weights) + bias
#     - name: shifts the bytes
#       says: >-
#         q - zero_point was computed in int8 and wrapped round: 100 - (-100) is 200, and that is no int8. Take the product of q as it is, and correct the
#         sum.
#       code: |
#         return integer_product((q.astype(np.int64) - zero_point).astype(np.int8), weights) + bias
#     - name: adds the correction
#       says: >-
#         The correction has the wrong sign: the inputs are q - zero_point, so zero_point times the sum of the weights is subtracted.
#       code: |
#         return integer_product(q, weights) + bias + zero_point * weights.sum(axis=1, dtype=np.int32)
#     - name: sums the weights in bytes
#       says: >-
#         The sum of the weights wrapped round, because it was taken in int8. Ask for dtype=np.int32.
#       code: |
#         return integer_product(q, weights) + (bias - zero_point * weights.sum(axis=1, dtype=np.int8).astype(np.int32))
#     - name: one correction for all outputs
#       says: >-
#         The weights of all outputs were added up together. Each output has its own sum: along axis 1, the inputs.
#       code: |
#         return integer_product(q, weights) + (bias - zero_point * weights.sum(dtype=np.int32))
#     - name: widens the bytes first
#       says: >-
#         The numbers are right, but both matrices were made four times as large before they were multiplied, and floats would be taken without
#         a word. integer_product widens a few bytes at a time, and refuses anything else.
#       code: |
#         return (q.astype(np.int32) - zero_point) @ weights.astype(np.int32).T + bias
#     - name: a float product in disguise
#       says: >-
#         The numbers are right, but floats were multiplied. Half the point of quantising is gone then: the memory and the arithmetic are those of floats.
#       code: |
#         return ((q.astype(np.float32) - zero_point) @ weights.astype(np.float32).T + bias)

# %% nbgrader={"grade": true, "grade_id": "test_integer_dense", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_integer_dense():
    q, v = np.array([[1, 2], [-3, 100]], np.int8), np.array([[10, 20], [0, -1], [127, 127]], np.int8)
    b = np.array([5, 6, 7], np.int32)
    check(integer_dense(q, v, b, 0), [[55, 4, 388], [1975, -94, 12326]])
    check(integer_dense(q, v, b, -100), [[3055, -96, 25788], [4975, -194, 37726]])
    check(integer_dense(np.full((1, 2), 3, np.int8), v, b, 3), [[5, 6, 7]])
    check(str(integer_dense(q, v, b, 1).dtype), "int32")
    many = np.full((1, 1000), 127, np.int8)
    check(integer_dense(many, many, np.zeros(1, np.int32), 0), [[16129000]])
    check_raises(TypeError, lambda: integer_dense(q.astype(np.float32), v, b, 0), "expected a matrix of int8")
    check_raises(ValueError, lambda: integer_dense(np.zeros((1, 3), np.int8), v, b, 0), "rows of 3 features")

test_integer_dense()

# %% [markdown]
# ### Back to bytes
#
# The int32 sums have the scale $s_x s_w$. The next layer wants bytes of its own scale $s_y$, so each sum has to be
# multiplied by $M = s_x s_w / s_y$, a real number. The chips that all this is made for often have no floats at all. But
# any real number is nearly a whole number divided by a power of two: $M \approx m / 2^n$ with $m$ of 31 bits. So
# multiply by $m$ in 64 bits, add half of $2^n$ so that the shift rounds, shift right by $n$ bits, and add the zero
# point. A `relu` costs nothing at all: what is below the zero point becomes the zero point, and bytes have to be
# clipped at some lower end anyway.

# %%
#| export
def fixed_point(real) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers m (int32, 30 to 31 bits) and n (int8) with m / 2**n close to each of the positive numbers `real`."""
    fraction, exponent = np.frexp(np.asarray(real, np.float64))  # real = fraction * 2**exponent, fraction from 1/2 to 1
    m = np.minimum(np.rint(fraction * 2.0**31), 2**31 - 1)
    n = 31 - exponent
    if np.any(np.asarray(real) <= 0) or np.any(n < 1):
        raise ValueError(f"fixed_point: {real!r:.60} has to be above 0 and below 2**30. Are the scales in order?")
    m, n = np.where(n > 62, 0, m), np.minimum(n, 62)  # so small a factor makes 0 of any int32
    return m.astype(np.int32), n.astype(np.int8)


def requantize(total: np.ndarray, m: np.ndarray, n: np.ndarray, zero_point: int, floor: int = -128) -> np.ndarray:
    """int32 sums as bytes: total * m / 2**n, rounded, plus the zero point, clipped to `floor` .. 127. In integers throughout."""
    q = total.astype(np.int64)
    q *= m
    q += np.int64(1) << (n.astype(np.int64) - 1)
    q >>= n
    q += zero_point
    return np.clip(q, floor, 127, out=q).astype(np.int8)


# %% nbgrader={"grade": true, "grade_id": "test_requantize", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_requantize():
    m, n = fixed_point([0.75, 0.01, 3.0])
    check(m.tolist(), [1610612736, 1374389535, 1610612736])
    check(n.tolist(), [31, 37, 29])
    totals = np.array([[100, 100, 10], [-10, 1250, -10], [1000, -50, 1]], np.int32)
    check(requantize(totals, m, n, 5), [[80, 6, 35], [-2, 18, -25], [127, 4, 8]])
    check(requantize(totals, m, n, 5, floor=5), [[80, 6, 35], [5, 18, 5], [127, 5, 8]])
    check(str(requantize(totals, m, n, 5).dtype), "int8")
    check_raises(ValueError, lambda: fixed_point(0.0), "above 0")

test_requantize()

# %% [markdown]
# A layer, then, is bytes in, bytes out. The correction for the zero point depends on nothing that arrives, so it is
# worked out once and put into the bias. (How? It is what the layer gives for a row of zeros: the product is 0, and what
# remains is the bias, corrected.) Rows are taken a few at a time, because a sum needs eight bytes for a moment: only
# some thousand sums exist at once.
#
# `integer_layer` makes such a layer of one with floats. It has to know what the integers stand for on both sides, scale
# and zero point of what arrives and of what leaves: two *edges*, each from a calibrated range. The weights bring scales
# of their own. The product of the two scales before the sum, divided by the one behind it, is $M$. And where a `relu`
# follows, bytes below the zero point are lifted to it.

# %%
#| export
SUMS = 8192  # at a time


class IntegerDense:
    """A dense layer from bytes to bytes.

    Attributes
    ----------
    weights : int8 array, shape (K, D)
    bias : int32 array, shape (K,)
        With the zero point of the inputs worked in.
    m, n : int32 and int8 arrays, shape (K,); or None
        m / 2**n takes a sum to the scale of the output. None for the last layer, whose sums are the result.
    zero_point, floor : int
        Of the output: the integer for 0, and the smallest that occurs (the zero point after a `relu`).
    """

    def __init__(self, weights, bias, input_zero_point: int, rescale=None, zero_point: int = 0, floor: int = -128):
        self.weights = weights
        self.bias = integer_dense(np.zeros((1, weights.shape[1]), np.int8), weights, bias, input_zero_point)[0]
        self.m, self.n = (None, None) if rescale is None else fixed_point(rescale)
        self.zero_point, self.floor = zero_point, floor

    def __call__(self, q: np.ndarray) -> np.ndarray:
        """Rows of bytes (N, D) to bytes (N, K); to int32 sums for the last layer."""
        out = np.empty((len(q), len(self.weights)), np.int32 if self.m is None else np.int8)
        step = max(1, SUMS // len(self.weights))
        for i in range(0, len(q), step):
            total = integer_product(q[i : i + step], self.weights)
            total += self.bias
            out[i : i + step] = total if self.m is None else requantize(total, self.m, self.n, self.zero_point, self.floor)
        return out


def integer_layer(layer, edges: list, bits: int, per_channel: bool, relu: bool) -> IntegerDense:
    """A layer's weights in integers; `edges` holds scale and zero point of what arrives and, where there is a next layer, of what leaves."""
    w = as_matrix(layer)
    scales = weight_scales(w, bits, per_channel)
    (scale, zero_point), following = edges[0], edges[1:]
    unit = np.broadcast_to(scale * scales.astype(np.float64), w.shape[1])  # what a unit of each sum is worth
    bias = np.clip(np.rint(bias_of(layer) / unit), -(2**30), 2**30).astype(np.int32)
    weights = np.ascontiguousarray(quantize(w, scales, bits=bits).T)
    if not following:
        return IntegerDense(weights, bias, zero_point)
    scale_out, zero_out = following[0]
    return IntegerDense(weights, bias, zero_point, unit / scale_out, zero_out, max(-128, zero_out) if relu else -128)


# %% [markdown]
# One layer by itself, before there is a network: the first of the teacher and its `relu`, on digits that took no part
# in calibrating.

# %%
edges = [affine_parameters(low, high) for low, high in calibrate(teacher, train.features)]
layer = integer_layer(teacher[0], edges[:2], bits=8, per_channel=True, relu=True)
q = layer(quantize(validation.features, *edges[0]))
with no_grad():
    floats = np.maximum(plain(teacher[0](as_tensor(validation.features))), 0)
print("the integer for 0 is", edges[1][1], "and a step is", f"{edges[1][0]:.4f}")
print("bytes          ", *(f"{v:6d}" for v in q[0, :8]))
print("they stand for ", *(f"{v:6.3f}" for v in dequantize(q, *edges[1])[0, :8]))
print("in floats it is", *(f"{v:6.3f}" for v in floats[0, :8]))
print(f"largest difference of all {q.size:,}: {abs(dequantize(q, *edges[1]) - floats).max() / edges[1][0]:.1f} steps")

# %% [markdown]
# That is more than the half step which a single rounding can cost: the inputs and the weights had been rounded before.
#
# A network is that, layer by layer. What leaves one layer arrives at the next, so each edge is used twice, behind one
# layer and before another: `edges[place : place + 2]` below. The first edge quantises the input. The last layer has no
# edge behind it; its int32 sums are the scores, in units of the two scales before it. A `relu` vanishes into the layer
# before it, and `Dropout`, which does nothing in use, vanishes altogether. The rest is for pictures: windows of bytes as
# rows, and the largest of a few bytes.

# %%
#| export
class IntegerNetwork:
    """A network that computes in integers, from the first layer to the last.

    Attributes
    ----------
    scale, zero_point : float and int
        Of the input, which is quantised when it arrives.
    layers : list
        Each takes bytes; all but the last give bytes, the last one int32 sums.
    output_scale : float32 array
        What a unit of each sum is worth.
    """

    def __init__(self, scale: float, zero_point: int, layers: list, output_scale: np.ndarray):
        self.scale, self.zero_point, self.layers, self.output_scale = scale, zero_point, layers, output_scale

    def __call__(self, x) -> Tensor:
        """Scores for rows of floats."""
        x = plain(as_tensor(x))
        if x.ndim < 2 or x.size == 0:
            raise ValueError(f"IntegerNetwork: the input has the shape {x.shape}. Expected a batch of samples, (N, D) or (N, C, H, W), and at least one.")
        q, step = np.empty(x.shape, np.int8), max(1, SUMS * len(x) // x.size)
        for i in range(0, len(x), step):
            if not np.isfinite(x[i : i + step]).all():
                raise ValueError("IntegerNetwork: the input holds NaN or an infinity, and no integer stands for these.")
            q[i : i + step] = quantize(x[i : i + step], self.scale, self.zero_point)
        for layer in self.layers:
            q = layer(q)
        return wrap(q.astype(np.float32) * self.output_scale)


PICTURES = 32  # at a time, since a pixel stands in many windows


class IntegerConv2D:
    """A convolution from bytes to bytes: the windows as rows, and an `IntegerDense` that sees them."""

    def __init__(self, rows: IntegerDense, layer: Conv2D, zero_point: int):
        self.rows, self.pad_with = rows, zero_point  # the integer for 0
        self.kernel_size, self.stride, self.padding, self.dilation = layer.kernel_size, layer.stride, layer.padding, layer.dilation

    def __call__(self, q: np.ndarray) -> np.ndarray:
        """Pictures of bytes (N, C, H, W) to bytes (N, O, OH, OW)."""
        parts = []
        for i in range(0, len(q), PICTURES):
            view = windows(padded(q[i : i + PICTURES], self.padding, self.pad_with), self.kernel_size, self.stride, self.dilation)
            n, c, kh, kw, height, width = view.shape
            out = self.rows(view.transpose(0, 4, 5, 1, 2, 3).reshape(n * height * width, c * kh * kw))
            parts.append(out.reshape(n, height, width, -1).transpose(0, 3, 1, 2))
        return np.concatenate(parts)


class IntegerMaxPool2D:
    """The largest byte of every window. Quantising keeps the order of numbers, so the largest stays the largest."""

    def __init__(self, layer: MaxPool2D):
        self.kernel_size, self.stride, self.padding = layer.kernel_size, layer.stride, layer.padding

    def __call__(self, q: np.ndarray) -> np.ndarray:
        """Pictures of bytes, made smaller."""
        return windows(padded(q, self.padding, -128), self.kernel_size, self.stride).max(axis=(2, 3))


class IntegerFlatten:
    """Each sample in one row."""

    def __call__(self, q: np.ndarray) -> np.ndarray:
        """q (N, ...) as (N, D)."""
        return q.reshape(len(q), -1)


def quantize_model(model: Sequential, x=None, method: str = "minmax", bits: int = 8, per_channel: bool = True, ranges=None) -> IntegerNetwork:
    """A trained network in integers: post-training quantisation (Jacob et al. 2018).

    Parameters
    ----------
    model : Sequential
        Of Dense, Conv2D, BatchNorm (which is folded in), ReLU, MaxPool2D, Flatten and Dropout, with weights in the last layer. Not changed.
    x : Tensor or array
        Inputs to calibrate with.
    method : "minmax", "percentile" or "mse"
    bits : int, 2 to 8
        Of the weights; what flows between the layers has eight.
    per_channel : bool
        Whether every unit has a scale of its own, or one serves the matrix.
    ranges : list of pairs, optional
        What `calibrate` returned, in the place of x.
    """
    if x is None and ranges is None:
        raise ValueError("quantize_model: there is nothing to calibrate with. Give x, a few hundred inputs of the training data.")
    integer_range(bits)
    steps = [layer for layer in fold_batch_norm(checked_integers(model)) if not isinstance(layer, Dropout)]
    ranges = calibrate(model, x, method) if ranges is None else ranges
    edges = [affine_parameters(low, high) for low, high in checked_ranges(steps, ranges)]
    layers, place = [], 0
    for i, layer in enumerate(steps):
        if isinstance(layer, WEIGHTED):
            rows = integer_layer(layer, edges[place : place + 2], bits, per_channel, relu_follows(steps[i + 1 :]))
            layers.append(rows if isinstance(layer, Dense) else IntegerConv2D(rows, layer, edges[place][1]))
            place += 1
        elif not isinstance(layer, ReLU):
            layers.append(IntegerFlatten() if isinstance(layer, Flatten) else IntegerMaxPool2D(layer))
    last = as_matrix(steps[-1])
    output_scale = np.float32(edges[-1][0]) * np.broadcast_to(weight_scales(last, bits, per_channel), last.shape[1])
    return IntegerNetwork(*edges[0], layers, output_scale)


def checked_integers(model) -> Sequential:
    """`model` itself, once it is seen to have integers for all its layers."""
    checked_network("quantize_model", model, (*WEIGHTED, BatchNorm, ReLU, MaxPool2D, Flatten, Dropout))
    steps = [layer for layer in model if not isinstance(layer, Dropout)]
    if any(isinstance(layer, AvgPool2D) for layer in steps):
        raise TypeError("quantize_model: an AvgPool2D has no integers here. Use MaxPool2D.")
    if not isinstance(steps[-1], Dense) or isinstance(steps[0], (ReLU, BatchNorm)):
        raise TypeError("quantize_model: the network has to end with a Dense, and not to begin with a ReLU. Apply what stands before or after it outside.")
    return model


def checked_ranges(steps, ranges) -> list:
    """`ranges`, once there are as many as layers with weights."""
    count = sum(isinstance(layer, WEIGHTED) for layer in steps)
    if len(ranges) != count:
        raise ValueError(f"ranges: there are {len(ranges)} for {count} layers with weights. Expected what calibrate(model, x) returns for this network.")
    return ranges


def relu_follows(steps) -> bool:
    """Whether there is a ReLU before the next layer with weights. Pooling takes the largest, so it does not matter which of the two comes first."""
    for layer in steps:
        if isinstance(layer, (ReLU, *WEIGHTED)):
            return isinstance(layer, ReLU)
    return False


# %%
scores = plain(teacher(as_tensor(validation.features)))
print(f"float32: validation accuracy {accuracy_of(teacher, validation):.4f}, scores from {scores.min():.1f} to {scores.max():.1f}")
for name, x in ((f"{len(train):,} digits", train.features), ("one of them from 0 to 255", careless)):
    for method in CALIBRATIONS:
        for per_channel in (False, True):
            network = quantize_model(teacher, x, method, per_channel=per_channel)
            difference = abs(plain(network(validation.features)) - scores).mean()
            told = f"{name:26s} {method:11s} {'a scale for each unit' if per_channel else 'one scale a matrix':22s}"
            print(f"{told} accuracy {accuracy_of(network, validation):.4f}   scores differ by {difference:.3f} on average")

# %% [markdown]
# Calibrated with digits as they are, eight bits are nearly free: the scores are not the same as before, and the accuracy
# hardly moves. A scale for each unit comes closer than one for the matrix; which rule found the ranges makes less of a
# difference. The digit that nobody divided makes more than both. Of the three rules only the one that counts has
# forgiven it, for the most part. None is a substitute for looking at the data.
#
# What flowed between the layers was bytes and int32 sums; to see it, send the validation digits through and look at what
# each layer was given.

# %%
network = quantize_model(teacher, train.features)
q = quantize(validation.features, network.scale, network.zero_point)
for layer in network.layers:
    told = f"{q.dtype} {q.shape} @ {layer.weights.dtype} {layer.weights.T.shape}"
    q = layer(q)
    print(f"{told:34s} -> {q.dtype} {q.shape}")

# %% [markdown]
# ### What it saves, and what it does not
#
# Memory: a byte in the place of four, for weights and for what flows between layers. Time is another matter. On a processor with instructions for
# products of bytes, and with a library that uses them, int8 is several times faster than float32. NumPy has no such
# library. Its float product is made by hand, by people who know the caches of every processor; its integer product is a
# plain loop.

# %%
wide = create_mlp(784, [1024, 1024], 10, rng=0)
x = np.random.default_rng(0).random((256, 784), dtype=np.float32)
wide_int8 = quantize_model(wide, x)
weights = sum(p.data.nbytes for p in wide.parameters())
weights_int8 = sum(a.nbytes for layer in wide_int8.layers for a in (layer.weights, layer.bias, layer.m, layer.n) if a is not None)
with no_grad():
    flow, flow_int8 = peak_bytes(lambda: wide(as_tensor(x))), peak_bytes(lambda: wide_int8(x))
    print(f"weights                        float32 {weights:10,} bytes   int8 {weights_int8:10,} bytes   ratio {weights_int8 / weights:.2f}")
    print(f"what flows, a batch of 256     float32 {flow:10,} bytes   int8 {flow_int8:10,} bytes   ratio {flow_int8 / flow:.2f}")
    print(f"both                           float32 {weights + flow:10,} bytes   int8 {weights_int8 + flow_int8:10,} bytes   ratio {(weights_int8 + flow_int8) / (weights + flow):.2f}")
    for rows in (1, 256):
        some = x[:rows]
        with blas_threads(1):
            times = [1e3 * seconds(lambda: network(some), repeat=3) for network in (wide, wide_int8)]
        print(f"batch of {rows:3d}   float32 {times[0]:8.3f} ms   int8 {times[1]:8.3f} ms")

# %% [markdown]
# So here, quantising makes a network smaller, and for large batches slower. (What flows is a third rather than a
# quarter, because the input is copied to bytes first, and the sums of a few rows need their eight bytes for a moment.)
# Whoever reports a speed-up by int8 has to say on which machine, with which kernels, and beside what else. (All timings
# of this chapter are taken on one thread, as on a small device. Left to itself the library shares out large float
# products among the processors, and the loop of the integers stays on one.)
#
# ## Training for few bits
#
# How far does it go? The weights with fewer and fewer bits:

# %%
for bits in (8, 6, 4, 3, 2):
    print(f"{bits} bits: validation accuracy {accuracy_of(quantize_model(teacher, train.features, bits=bits), validation):.4f}")

# %% [markdown]
# With two bits a weight is $-s$, 0 or $s$, and the network never learned to live with that. It could: let it feel the
# rounding while it trains. In the forward pass weights and inputs are quantised and brought back at once, floats again,
# but only those that integers can stand for. This is called *fake quantisation*, and training with it
# *quantisation-aware*.
#
# One difficulty stands in the way. Rounding is a staircase: its slope is 0 almost everywhere, so every gradient would
# die at it. The remedy is bold, and works: behave on the way back as if the staircase were the straight line that it
# follows, and hand the gradient through (the *straight-through estimator*; Bengio et al. 2013). Where the value was
# clipped there is no staircase, only a wall, and there the gradient is 0.

# %% nbgrader={"grade": false, "grade_id": "straight_through", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
@operation
def fake_quantize(x, /, scale, zero_point=0, bits=8):
    """What is left of x once it has been quantised: floats, but only those that `bits` bits can stand for.

    Parameters
    ----------
    x : array of floats
    scale : float, or array that broadcasts with x
    zero_point : int
    bits : int, 2 to 8

    Returns
    -------
    array of the shape and dtype of x
    """
    return dequantize(quantize(x, scale, zero_point, bits), scale, zero_point).astype(x.dtype)


def straight_through(g, x, scale, zero_point=0, bits=8):
    """The gradient of `fake_quantize`: g where x / scale rounds to an integer that exists, 0 where it was clipped.

    Parameters
    ----------
    g : gradient with respect to the result, the shape of x
    x, scale, zero_point, bits
        As for `fake_quantize`. x may be a Variable, and ``np.rint`` of one is a constant.

    Returns
    -------
    the shape of x
    """
    smallest, largest = integer_range(bits)
    ### BEGIN SOLUTION straight_through
    q = np.rint(x / scale) + zero_point
    return g * ((q >= smallest) & (q <= largest))
    ### END SOLUTION


gradient(fake_quantize, x=straight_through)

# %% [raw] tags=["exercise"]
# straight_through:
#   title: Straight through the staircase
#   hints:
#     - For which x did fake_quantize change nothing but the digits after the point, and for which did it cut off more?
#     - Compute the integer before clipping. Where it lies between smallest and largest, ends included, the gradient passes.
#     - "g * ((q >= ...) & (q <= ...)), where q = np.rint(x / scale) + ..."
#   misconceptions:
#     - name: lets everything through
#       says: >-
#         Where x was clipped, moving it changes nothing, and yet the gradient passed. Such weights would run away without ever being felt.
#       code: |
#         return g
#     - name: the true slope
#       says: >-
#         The slope of a staircase is 0 nearly everywhere, so nothing would ever be learned. Hand the gradient through where nothing was
#         clipped.
#       code: |
#         return g * np.zeros(x.shape)
#     - name: stops at the ends
#       says: >-
#         The smallest and the largest integer are integers like the others: what rounds to them was not clipped.
#       code: |
#         q = np.rint(x / scale) + zero_point
#         return g * ((q > smallest) & (q < largest))
#     - name: forgets the zero point
#       says: >-
#         The integer is x / scale plus the zero point. Without it, the wrong end of the range is taken for clipped.
#       code: |
#         q = np.rint(x / scale)
#         return g * ((q >= smallest) & (q <= largest))
#     - name: divides by the scale
#       says: >-
#         The gradient was divided by the scale. Quantising divides by it, but bringing back multiplies by it: the line that the staircase
#         follows has slope 1.
#       code: |
#         q = np.rint(x / scale) + zero_point
#         return g * ((q >= smallest) & (q <= largest)) / scale

# %% nbgrader={"grade": true, "grade_id": "test_straight_through", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_straight_through():
    x, g = np.array([0.3, 1.0, -1.0, -1.2, 0.8, -2.0]), np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    # with three bits and steps of 1/4, x / scale rounds to 1, 4, -4, -5, 3, -8, of which -4 to 3 exist
    check(straight_through(g, x, 0.25, bits=3), [1.0, 0.0, 3.0, 0.0, 5.0, 0.0])
    check(straight_through(g, x, 0.25, zero_point=-1, bits=3), [1.0, 2.0, 0.0, 0.0, 5.0, 0.0])
    check(straight_through(g, x, 0.25, zero_point=4, bits=3), [0.0, 0.0, 3.0, 4.0, 0.0, 6.0])
    check(straight_through(g, x, np.array([1.0, 0.25, 1.0, 0.25, 1.0, 0.25]), bits=3), [1.0, 0.0, 3.0, 0.0, 5.0, 0.0])
    v = Variable(x)
    check(straight_through(g, v, 0.25, bits=3), [1.0, 0.0, 3.0, 0.0, 5.0, 0.0])
    fake_quantize(v, 0.25, 0, 3).sum().backward()
    check(v.grad, [1.0, 0.0, 1.0, 0.0, 1.0, 0.0])
    check(fake_quantize(x, 0.25, 0, 3), [0.25, 0.75, -1.0, -1.0, 0.75, -1.0])

test_straight_through()

# %% [markdown]
# A layer that trains this way shares its parameters with an ordinary one. The scale of the weights follows the weights,
# step by step; the range of the input is the one that was calibrated. After training, the ordinary network has become
# used to being quantised, and `quantize_model` makes integers of it.

# %%
#| export
class QuantizationAware(Module):
    """A Dense or Conv2D that computes with what its weights and inputs will be once they are quantised.

    Parameters
    ----------
    layer : Dense or Conv2D
        Its parameters are used, and trained.
    low, high : float
        Range of the inputs.
    bits : int, 2 to 8
        Of the weights; the inputs have eight.
    per_channel : bool
    """

    def __init__(self, layer, low: float, high: float, bits: int = 8, per_channel: bool = True):
        integer_range(bits)
        self.layer, self.bits, self.per_channel = layer, bits, per_channel
        self.scale, self.zero_point = affine_parameters(low, high)

    def forward(self, x):
        """What the quantised layer would give."""
        layer, x = self.layer, fake_quantize(as_tensor(x), self.scale, self.zero_point)
        scales = weight_scales(as_matrix(layer), self.bits, self.per_channel)
        b = bias_of(layer) if layer.bias is None else layer.bias
        if isinstance(layer, Dense):
            return dense(x, fake_quantize(layer.weights, scales, 0, self.bits), b)
        scales = scales.reshape(-1, 1, 1, 1)  # the outputs come first in a kernel
        return conv2d(x, fake_quantize(layer.weights, scales, 0, self.bits), b, layer.stride, layer.padding, layer.dilation)

    def __repr__(self):
        return f"QuantizationAware({self.layer!r}, bits={self.bits})"


def quantization_aware(model: Sequential, ranges: list, bits: int = 8, per_channel: bool = True) -> Sequential:
    """A network on the same parameters that feels the quantisation.

    Parameters
    ----------
    model : Sequential
        Without BatchNorm: fold it in first.
    ranges : list of pairs
        What `calibrate` returned.
    bits, per_channel
        As for `quantize_model`.
    """
    checked_network("quantization_aware", model, tuple(kind for kind in KNOWN if kind is not BatchNorm))
    following = iter(checked_ranges(model, ranges))
    return Sequential([QuantizationAware(layer, *next(following), bits, per_channel) if isinstance(layer, WEIGHTED) else layer for layer in model])


# %%
ranges = calibrate(teacher, train.features)
for bits in (3, 2):
    student = deepcopy(teacher)
    aware = quantization_aware(student, ranges, bits)
    fit(aware, train, epochs=8, learning_rate=0.001)
    integers = quantize_model(student, ranges=ranges, bits=bits)
    agree = (plain(aware(as_tensor(validation.features))).argmax(axis=1) == plain(integers(validation.features)).argmax(axis=1)).mean()
    print(f"{bits} bits, trained for them: validation accuracy {accuracy_of(integers, validation):.4f} in integers   same answers as in training {agree:.1%}")

# %% [markdown]
# What the network felt in training is what the integers do: all their answers are the same, or nearly all. (The
# training rounds floats and the integers round sums, so a value halfway between two steps can fall either way.) Below
# eight bits, nothing is faster or smaller *here*: an int8 is the shortest integer NumPy has. Files can do better.
#
# ## A small network that imitates a large one
#
# A small network, trained on the labels, is told one thing about each digit: its class. The large one knows more. Of a
# sloppy seven it says *seven, perhaps a one, surely no eight*. *Distillation* (Hinton et al. 2015) trains the small
# network, the *student*, on what the large one, the *teacher*, says. A confident teacher says almost nothing beside the
# class, so both soften their scores: they are divided by a *temperature* $T$ before the softmax.

# %%
scores = plain(teacher(as_tensor(train.features[:200])))
row = scores[np.argmin(np.sort(scores)[:, -1] - np.sort(scores)[:, -2])]  # the digit it is least sure of
for temperature in (1, 4, 20):
    p = np.exp(log_softmax(row / temperature))
    print(f"T = {temperature:2d}   " + "  ".join(f"{k}: {v:.3f}" for k, v in enumerate(p)))

# %% [markdown]
# The loss has two parts. The *soft* part asks how far the student's softened probabilities $q$ are from the teacher's
# $p$: the Kullback–Leibler divergence $\sum_k p_k (\log p_k - \log q_k)$, averaged over the batch, which is 0 where
# they agree. Its slope shrinks with $1/T^2$, so it is multiplied by $T^2$ to stay comparable. The *hard* part is the
# usual cross-entropy with the labels, at $T = 1$. A weight $\alpha$ joins them:
# $\alpha\, T^2\, \mathrm{soft} + (1 - \alpha)\, \mathrm{hard}$. Everything is computed from the scores, through
# `log_softmax`, for the reason that the training chapter gives.

# %% nbgrader={"grade": false, "grade_id": "distillation_loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def distillation_loss(logits, teacher_logits, targets, temperature: float = 4.0, alpha: float = 0.9) -> Tensor:
    """How far a student is from its teacher and from the labels (Hinton et al. 2015).

    Parameters
    ----------
    logits, teacher_logits : Tensor or array, shape (N, K)
        Scores of the student and of the teacher.
    targets : class numbers, shape (N,)
    temperature : float, above 0
    alpha : float, 0 to 1
        The weight of the teacher.

    Returns
    -------
    Tensor of a single number

    Raises
    ------
    ValueError
        For a temperature that is not above 0, an alpha outside 0 to 1, and scores of different shapes.

    Notes
    -----
    `log_softmax(z)` works along the last axis. The teacher is a constant: below, `t` holds its scores as an array, while `logits`
    is a Tensor that backward goes through. `reduce_sum(x)` sums all entries, and `CrossEntropyLoss()(logits, targets)` is the hard part.
    """
    alpha = checked_part("distillation_loss", "alpha", alpha, with_ends=True)
    temperature = checked_number("distillation_loss", "temperature", temperature, "\n  Scores are divided by it: 1 leaves them as they are, 2 to 20 soften them.")
    logits, t = as_tensor(logits), plain(as_tensor(teacher_logits))
    if logits.shape != t.shape or logits.ndim != 2:
        raise ValueError(f"distillation_loss: the student's scores are {logits.shape}, the teacher's {t.shape}. Expected one shape (N, K).")
    ### BEGIN SOLUTION distillation_loss
    log_p, log_q = log_softmax(t / temperature), log_softmax(logits / temperature)
    soft = reduce_sum(np.exp(log_p) * (log_p - log_q)) / len(t)
    hard = CrossEntropyLoss()(logits, targets)
    return alpha * temperature**2 * soft + (1 - alpha) * hard
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# distillation_loss:
#   title: Learning from a teacher
#   hints:
#     - Two questions are asked of the student, each at a temperature of its own. Which of the two divides the scores by T?
#     - Take log_softmax of both scores over T. Sum p (log p - log q) over everything, divide by the number of rows. Add the parts with their weights, and T squared.
#     - "soft = reduce_sum(np.exp(log_p) * (... - ...)) / len(t), and the result is alpha * temperature**2 * soft + ..."
#   misconceptions:
#     - name: forgets the square of the temperature
#       says: >-
#         The soft part was not multiplied by T squared. Its slope is then smaller by that factor, and with T = 4 the teacher counts a sixteenth.
#       code: |
#         log_p, log_q = log_softmax(t / temperature), log_softmax(logits / temperature)
#         soft = reduce_sum(np.exp(log_p) * (log_p - log_q)) / len(t)
#         return alpha * soft + (1 - alpha) * CrossEntropyLoss()(logits, targets)
#     - name: softens the student only
#       says: >-
#         The teacher's scores were not divided by T. A student that gives the very same scores would still be told that it is wrong.
#       code: |
#         log_p, log_q = log_softmax(t), log_softmax(logits / temperature)
#         soft = reduce_sum(np.exp(log_p) * (log_p - log_q)) / len(t)
#         return alpha * temperature**2 * soft + (1 - alpha) * CrossEntropyLoss()(logits, targets)
#     - name: exchanges teacher and student
#       says: >-
#         The divergence was taken the other way round: weighted with the student's probabilities. What the teacher thinks likely should count most.
#       code: |
#         log_p, log_q = log_softmax(t / temperature), log_softmax(logits / temperature)
#         soft = reduce_sum(np.exp(log_q) * (log_q - log_p)) / len(t)
#         return alpha * temperature**2 * soft + (1 - alpha) * CrossEntropyLoss()(logits, targets)
#     - name: softens the labels' part
#       says: >-
#         The cross-entropy with the labels was taken at temperature T. The hard part is asked of the scores as they are.
#       code: |
#         log_p, log_q = log_softmax(t / temperature), log_softmax(logits / temperature)
#         soft = reduce_sum(np.exp(log_p) * (log_p - log_q)) / len(t)
#         return alpha * temperature**2 * soft + (1 - alpha) * CrossEntropyLoss()(logits / temperature, targets)
#     - name: averages over the classes too
#       says: >-
#         The mean was taken over all entries. The divergence of a row is a sum over its classes; only the rows are averaged.
#       code: |
#         log_p, log_q = log_softmax(t / temperature), log_softmax(logits / temperature)
#         soft = (np.exp(log_p) * (log_p - log_q)).mean()
#         return alpha * temperature**2 * soft + (1 - alpha) * CrossEntropyLoss()(logits, targets)

# %% nbgrader={"grade": true, "grade_id": "test_distillation_loss", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
def test_distillation_loss():
    even, sure = np.zeros((1, 2)), np.log([[9.0, 1.0]])
    # at T = 3 the teacher's odds of 27 to 1 become 3 to 1: p = 3/4 and 1/4, and 9 (3/4 log 3/2 + 1/4 log 1/2) = 1.1773081
    check(distillation_loss(even, np.log([[27.0, 1.0]]), [0], temperature=3.0, alpha=1.0), 1.1773081)
    # so do odds of 9 to 1 at T = 2
    check(distillation_loss(even, sure, [0], temperature=2.0, alpha=1.0), 0.5232481)
    check(distillation_loss(even, sure, [0], temperature=2.0, alpha=0.5), 0.6081976)
    check(distillation_loss(sure, sure, [0], temperature=2.0, alpha=1.0), 0.0)
    check(distillation_loss(sure, sure, [0], temperature=2.0, alpha=0.0), 0.1053605)
    check(distillation_loss(np.vstack([even, even]), np.vstack([sure, even]), [0, 1], temperature=2.0, alpha=1.0), 0.2616240)
    check(distillation_loss(sure, even, [0], temperature=2.0, alpha=1.0), 0.5753641)
    z = Variable([[0.0, 0.0]])
    distillation_loss(z, sure, [0], temperature=2.0, alpha=1.0).backward()
    check(z.grad, [[-0.5, 0.5]])  # T (q - p)
    check_raises(ValueError, lambda: distillation_loss(even, sure, [0], temperature=0), "temperature is 0")
    check_raises(ValueError, lambda: distillation_loss(even, sure, [0], alpha=2), "alpha is 2")
    check_raises(ValueError, lambda: distillation_loss(even, np.zeros((1, 3)), [0]), "the teacher's (1, 3)")

test_distillation_loss()

# %% [markdown]
# The teacher is asked about every batch, and the student takes a step towards its answers.

# %%
#| export
def distil(student, teacher, dataset, epochs: int, learning_rate: float = 0.003, temperature: float = 4.0, alpha: float = 0.9,
           seed: int = 0, batch_size: int = 32) -> float:  # fmt: skip
    """Train a student on what a teacher says; returns the mean loss of the last epoch.

    Parameters
    ----------
    student, teacher : Module
        The teacher is in evaluation mode while it is asked, and is not changed.
    dataset : ArrayDataset
    epochs, learning_rate, seed, batch_size
        As for `fit`.
    temperature, alpha
        As for `distillation_loss`; with alpha = 0 the student learns from the labels alone.
    """
    optimizer, losses = AdamW(student.parameters(), learning_rate), []
    schedule, loader = CosineLR(optimizer, epochs), DataLoader(dataset, batch_size=batch_size, seed=seed)
    student.train()
    for _ in range(epochs):
        losses = []
        for x, y in loader:
            with evaluating(teacher):
                said = teacher(x)
            loss, _ = train_step(student, optimizer, lambda y_pred, y_true: distillation_loss(y_pred, said, y_true, temperature, alpha), x, y)
            losses.append(loss)
        schedule.step()
    return float(np.mean(losses))


# %%
for name, alpha in (("from the labels", 0.0), ("from the teacher", 1.0)):
    found = []
    for seed in range(2):
        student = create_mlp(64, [16], 10, rng=seed)
        distil(student, teacher, train, epochs=15, learning_rate=0.01, alpha=alpha, seed=seed)
        found.append(accuracy_of(student, validation))
    print(f"a student of {count_parameters(student):,} parameters, {name:17s} validation accuracy {min(found):.4f} and {max(found):.4f} (two seeds)")

# %% [markdown]
# With all labels at hand, and digits as easy as these, the teacher has little to add; two seeds of each tell no more
# than that. To see what is hidden in its scores, take something away. The students below never
# see a three. One learns from the labels of all other digits; the other is told what the teacher says about the very
# same pictures, and no labels at all (Hinton et al. 2015 did this with MNIST).

# %%
no_threes = train.subset(np.flatnonzero(train.targets != 3))
threes, others = (validation.subset(np.flatnonzero(mask)) for mask in (validation.targets == 3, validation.targets != 3))
for name, alpha in (("labels", 0.0), ("teacher", 1.0)):
    student = create_mlp(64, [32], 10, rng=0)
    distil(student, teacher, no_threes, epochs=30, learning_rate=0.01, alpha=alpha)
    print(f"from the {name:8s} without a three: reads {accuracy_of(student, threes):.3f} of the threes, {accuracy_of(student, others):.3f} of the others")

# %% [markdown]
# It reads threes, and has not seen one. All it knows of them is how much like a three the teacher found every eight,
# nine and five. That is what the soft scores carry beyond the class.
#
# ## Two thin matrices for a large one
#
# A matrix $W$ of shape $(D, K)$ of *rank* $r$ is a product $A B$ of shapes $(D, r)$ and $(r, K)$: $r (D + K)$ numbers
# in the place of $D K$. A trained matrix has full rank, but some of its directions matter more than others. The
# singular value decomposition $W = U\, \mathrm{diag}(s)\, V^T$ sorts them: $s_1 \ge s_2 \ge \dots \ge 0$. Keep the
# first $r$, and what is lost, measured as the sum of the squares of all entries, is $s_{r+1}^2 + s_{r+2}^2 + \dots$,
# and no other matrix of rank $r$ loses less (Eckart & Young 1936). The sum of all $s_i^2$ is called the *energy*.

# %%
for place in (0, 2, 4):
    s = np.linalg.svd(teacher[place].weights.data, compute_uv=False)
    part = np.cumsum(s**2) / np.sum(s**2)
    print(f"layer {place} {teacher[place].weights.shape}: half the energy in {1 + np.argmax(part >= 0.5):2d} directions, nine tenths in {1 + np.argmax(part >= 0.9):2d} of {len(s)}")

# %% nbgrader={"grade": false, "grade_id": "low_rank", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def low_rank(layer: Dense, rank: int) -> list[Dense]:
    """A layer as two thin ones whose product is the closest of that rank.

    Parameters
    ----------
    layer : Dense, from D to K features
        Not changed.
    rank : int, 1 to the smaller of D and K

    Returns
    -------
    list of two Dense
        From D to `rank` without a bias, and from `rank` to K with the layer's bias. Each takes the square roots of the singular
        values, so that their weights are of one size.

    Notes
    -----
    ``u, s, vt = np.linalg.svd(w, full_matrices=False)`` with ``w == (u * s) @ vt``, s in falling order. `with_arrays(weights,
    bias)` makes a layer.
    """
    w, bias = layer.weights.data, None if layer.bias is None else layer.bias.data
    if isinstance(rank, bool) or not isinstance(rank, (int, np.integer)) or not 1 <= rank <= min(w.shape):
        raise ValueError(f"low_rank: rank is {rank!r:.60}, expected a whole number from 1 to {min(w.shape)}, the smaller side of {w.shape}.")
    ### BEGIN SOLUTION low_rank
    u, s, vt = np.linalg.svd(w, full_matrices=False)
    root = np.sqrt(s[:rank])
    return [with_arrays(u[:, :rank] * root, None), with_arrays(root[:, None] * vt[:rank], bias)]
    ### END SOLUTION


def rank_for_energy(singular_values: np.ndarray, energy: float) -> int:
    """The smallest rank that keeps the fraction `energy` of the sum of the squares."""
    energy = checked_part("rank_for_energy", "energy", energy, with_ends=True)
    kept = np.cumsum(np.square(singular_values, dtype=np.float64))
    return min(int(np.searchsorted(kept, energy * kept[-1] * (1 - 1e-12))) + 1, len(kept))


# %% [raw] tags=["exercise"]
# low_rank:
#   title: Two thin matrices
#   hints:
#     - Which columns of u and which rows of vt belong to the largest singular values, and where can the square roots go so that their product is s?
#     - Decompose w, keep the first `rank` columns, values and rows, and multiply both by the square roots.
#     - "u[:, :rank] * root and root[:, None] * vt[...], where root = np.sqrt(...); the bias goes with the second"
#   misconceptions:
#     - name: takes rows of u
#       says: >-
#         u[:rank] takes rows. A direction is a column of u, u[:, :rank].
#       code: |
#         u, s, vt = np.linalg.svd(w, full_matrices=False)
#         root = np.sqrt(s[:rank])
#         return [with_arrays(u[:rank].T * root[0], None), with_arrays(root[:, None] * vt[:rank], bias)]
#     - name: all of s on one side
#       says: >-
#         The product is right, but one factor holds all of the size. Their gradients then differ by as much, and one learning rate does not suit both: give each a
#         square root.
#       code: |
#         u, s, vt = np.linalg.svd(w, full_matrices=False)
#         return [with_arrays(u[:, :rank] * s[:rank], None), with_arrays(vt[:rank], bias)]
#     - name: s on both sides
#       says: >-
#         Both factors were multiplied by s, so the product holds its square.
#       code: |
#         u, s, vt = np.linalg.svd(w, full_matrices=False)
#         return [with_arrays(u[:, :rank] * s[:rank], None), with_arrays(s[:rank, None] * vt[:rank], bias)]
#     - name: keeps the last directions
#       says: >-
#         The smallest singular values were kept. They come in falling order: the first are the largest.
#       code: |
#         u, s, vt = np.linalg.svd(w, full_matrices=False)
#         root = np.sqrt(s[-rank:])
#         return [with_arrays(u[:, -rank:] * root, None), with_arrays(root[:, None] * vt[-rank:], bias)]
#     - name: loses the bias
#       says: >-
#         The layer's bias is gone. It is added after both products, so it belongs to the second layer.
#       code: |
#         u, s, vt = np.linalg.svd(w, full_matrices=False)
#         root = np.sqrt(s[:rank])
#         return [with_arrays(u[:, :rank] * root, None), with_arrays(root[:, None] * vt[:rank], None)]

# %% nbgrader={"grade": true, "grade_id": "test_low_rank", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_low_rank():
    layer = dense_with([[0.0, 0.0, 4.0], [1.0, 0.0, 0.0]], [5.0, 6.0, 7.0])
    first, second = low_rank(layer, 1)
    check((first.weights.shape, second.weights.shape), ((2, 1), (1, 3)))
    check(first.weights.data @ second.weights.data, [[0.0, 0.0, 4.0], [0.0, 0.0, 0.0]])
    check(abs(first.weights.data), [[2.0], [0.0]])
    check(first.bias, None)
    check(second.bias, [5.0, 6.0, 7.0])
    first, second = low_rank(layer, 2)
    check(second(first(Tensor([[1.0, 10.0]]))), [[15.0, 6.0, 11.0]])
    check(low_rank(Dense(3, 2, use_bias=False), 1)[1].bias, None)
    check(rank_for_energy(np.array([3.0, 1.0]), 0.9), 1)
    check(rank_for_energy(np.array([3.0, 1.0]), 0.91), 2)
    check_raises(ValueError, lambda: low_rank(layer, 3), "from 1 to 2")
    check_raises(ValueError, lambda: low_rank(layer, 0), "rank is 0")

test_low_rank()

# %% [markdown]
# For a network: each layer gets the rank that keeps the wanted energy, unless the two thin matrices would hold more
# numbers than the one they replace.

# %%
#| export
def factorize(model: Sequential, energy: float) -> Sequential:
    """A copy of a network in which thin pairs of layers stand for those where that saves numbers."""
    layers = []
    for layer in fold_batch_norm(checked_network("factorize", model)):
        if isinstance(layer, Dense):
            d, k = layer.weights.shape
            rank = rank_for_energy(np.linalg.svd(layer.weights.data, compute_uv=False), energy)
            layers += low_rank(layer, rank) if rank * (d + k) < d * k else [layer]
        else:
            layers.append(layer)
    return Sequential(layers)


# %%
for energy in (0.9, 0.7, 0.5, 0.3):
    thin = factorize(teacher, energy)
    cut = accuracy_of(thin, validation)
    ranks = [layer.output_size for layer in thin if isinstance(layer, Dense) and layer.bias is None]
    fit(thin, train, epochs=10, learning_rate=0.001)
    print(f"energy {energy:.1f}: ranks {ranks!s:12s} {count_parameters(thin):6,} parameters   accuracy {cut:.4f}, fine-tuned {accuracy_of(thin, validation):.4f}")

# %% [markdown]
# ## A file that is really smaller
#
# An array of zeros and other numbers is as long in memory as any other array, and just as long in an `.npz` file. To
# write a pruned layer in less, say where its weights are, a bit for each place, and then only the weights that are
# there. At 90% zeros that is a bit and a tenth of 32, for each weight, in the place of 32.

# %% nbgrader={"grade": false, "grade_id": "pack_sparse", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def pack_sparse(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An array as a bit for each entry and the entries that are not zero.

    Parameters
    ----------
    array : array, any shape and dtype

    Returns
    -------
    bits : array of uint8, shape (ceil(array.size / 8),)
        A bit for each entry, in order: 1 where it is not zero. Eight to a byte, the first in the highest place.
    values : array of the dtype of `array`, with one axis
        The entries that are not zero, in order.

    Notes
    -----
    ``np.packbits(mask)`` packs bools, and lays an array of several axes out along one first. So does an index: ``array[mask]``.
    """
    ### BEGIN SOLUTION pack_sparse
    return np.packbits(array != 0), array[array != 0]
    ### END SOLUTION


def unpack_sparse(bits: np.ndarray, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The array that `pack_sparse` was given."""
    mask = np.unpackbits(bits, count=math.prod(shape)).astype(bool)
    if np.count_nonzero(mask) != len(values):
        raise ValueError(f"unpack_sparse: the bits tell of {np.count_nonzero(mask)} values, and there are {len(values)}.")
    array = np.zeros(shape, values.dtype)
    array.reshape(-1)[mask] = values
    return array


# %% [raw] tags=["exercise"]
# pack_sparse:
#   title: A bit for each weight
#   hints:
#     - What has to be known to put the weights that are there back into their places?
#     - Pack the mask of what is not zero, and take the entries where it is true.
#     - "np.packbits(array != ...), array[...]"
#   misconceptions:
#     - name: a byte for each bit
#       says: >-
#         The mask was kept as it is, and a bool takes a whole byte. np.packbits puts eight of them into one.
#       code: |
#         flat = array.reshape(-1)
#         return (flat != 0).astype(np.uint8), flat[flat != 0]
#     - name: drops negative numbers
#       says: >-
#         Entries below zero were lost. What counts is whether an entry is zero, not whether it is positive.
#       code: |
#         flat = array.reshape(-1)
#         return np.packbits(flat > 0), flat[flat > 0]
#     - name: marks the zeros
#       says: >-
#         The bits are 1 where the entries are zero. They should be 1 where there is a value to put.
#       code: |
#         flat = array.reshape(-1)
#         return np.packbits(flat == 0), flat[flat != 0]
#     - name: keeps all values
#       says: >-
#         The zeros were written too, so nothing is saved: take the entries that are not zero.
#       code: |
#         flat = array.reshape(-1)
#         return np.packbits(flat != 0), flat
#     - name: packs every row by itself
#       says: >-
#         Each row was packed and filled up to whole bytes by itself. Lay the array out along a single axis first.
#       code: |
#         return np.packbits(array != 0, axis=-1).reshape(-1), array[array != 0]

# %% nbgrader={"grade": true, "grade_id": "test_pack_sparse", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_pack_sparse():
    a = np.array([[0.0, 5.0, 0.0], [-1.0, 0.0, 0.0]], np.float32)
    bits, values = pack_sparse(a)
    check(bits, [80])  # 01010000
    check(values, [5.0, -1.0])
    check((str(bits.dtype), str(values.dtype)), ("uint8", "float32"))
    check(unpack_sparse(bits, values, (2, 3)), a)
    bits, values = pack_sparse(np.array([0, 0, 0, 7, 0, 0, 0, 0, 3], np.int8))
    check((bits.tolist(), values.tolist()), ([16, 128], [7, 3]))
    check(str(values.dtype), "int8")
    check(pack_sparse(np.zeros((2, 2)))[1].shape, (0,))
    check_raises(ValueError, lambda: unpack_sparse(np.array([255], np.uint8), np.array([1.0]), (8,)), "there are 1")

test_pack_sparse()

# %% [markdown]
# The file describes the network as well, so that it can be built again from the file alone: its shape is no longer the
# one it was trained with. That is where file formats become dangerous. Pickle describes objects by saying which
# function is to be called with which arguments, and a pickle file from a stranger can call any function there is. Ours
# says the *name* of each kind of layer, and the reader looks it up in a table of those it knows. All arrays of one
# dtype stand one after the other in a single array, because each array in an `.npz` file comes with labels that are as
# long as a small layer.

# %%
#| export
FORMAT = "TinyTorch compressed network, version 1"
KINDS = {kind.__name__: kind for kind in (
    Sequential, MLP, Dense, Conv2D, BatchNorm, LayerNorm, Dropout, Dropout2D, MaxPool2D, AvgPool2D, Flatten,
    ReLU, LeakyReLU, GELU, Sigmoid, Tanh, Softmax,
    IntegerNetwork, IntegerDense, IntegerConv2D, IntegerMaxPool2D, IntegerFlatten,
)}  # fmt: skip


def described(value, store: dict):
    """`value` in words that JSON knows; its arrays are put into `store`."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return array_described(np.asarray(value), store)
    if isinstance(value, Tensor):
        return {"tensor": "Parameter" if isinstance(value, Parameter) else "Tensor", "is": array_described(np.asarray(value.data), store)}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [described(v, store) for v in value]}
    if isinstance(value, np.random.Generator):
        return {"generator": None}  # of a Dropout, which does nothing in use
    if KINDS.get(type(value).__name__) is type(value):
        return {"kind": type(value).__name__, "parts": {name: described(part, store) for name, part in vars(value).items()}}
    raise TypeError(f"save_compressed: {short(value)} cannot be described in a file. Known are: {', '.join(KINDS)}.")


def array_described(array: np.ndarray, store: dict) -> dict:
    """Where an array stands in the store; packed as sparse where that is shorter."""
    bits, values = pack_sparse(array)
    sparse = bits.nbytes + values.nbytes < array.nbytes
    told = {"array": str(array.dtype), "shape": list(array.shape), "values": stored(values if sparse else array.reshape(-1), store)}
    return told | {"bits": stored(bits, store)} if sparse else told


def stored(array: np.ndarray, store: dict) -> list[int]:
    """Where an array begins and ends among those of its dtype."""
    parts = store.setdefault(str(array.dtype), [])
    begin = sum(map(len, parts))
    parts.append(array)
    return [begin, begin + len(array)]


def restored(told, store: dict):
    """What `described` was given."""
    if not isinstance(told, dict):
        return told
    if "array" in told:
        values, shape = taken(told["values"], store[told["array"]]), tuple(told["shape"])
        return unpack_sparse(taken(told["bits"], store["uint8"]), values, shape) if "bits" in told else values.reshape(shape)
    if "tensor" in told:
        return (Parameter if told["tensor"] == "Parameter" else Tensor)(restored(told["is"], store))
    if "kind" in told:
        kind, thing = KINDS[told["kind"]], object.__new__(KINDS[told["kind"]])
        for name, part in told["parts"].items():
            if callable(getattr(kind, name, None)):
                raise ValueError(f"{name} is a method of {told['kind']}, and no part of it")
            setattr(thing, name, restored(part, store))
        return thing
    if "generator" in told:
        return np.random.default_rng()
    (name, items), = told.items()
    return {"list": list, "tuple": tuple}[name](restored(item, store) for item in items)


def taken(span: list[int], array: np.ndarray) -> np.ndarray:
    """A span of an array, as a view."""
    begin, end = span
    if not 0 <= begin <= end <= len(array):
        raise ValueError(f"entries {begin} to {end} are not there")
    return array[begin:end]


def save_compressed(network, path) -> int:
    """Write a network to a file as short as it is: sparse where it is sparse, in bytes where it is made of bytes.

    Parameters
    ----------
    network : Sequential or IntegerNetwork
    path : str or Path
        Name of the file, used as it is. A file that is there is replaced, at once and whole.

    Returns
    -------
    int
        Bytes of the file.
    """
    store, path = {}, checked_file("save_compressed", path)
    text = json.dumps({"format": FORMAT, "network": described(network, store)}, separators=(",", ":"))
    arrays = {name: np.concatenate(parts) for name, parts in store.items()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            np.savez(file, text=np.frombuffer(text.encode(), np.uint8), **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path.stat().st_size


def load_compressed(path):
    """The network that `save_compressed` wrote: it gives the same outputs, to the last bit.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    ValueError
        Where the file is damaged or is something else. Nothing in a file is ever executed.
    """
    path = checked_file("load_compressed", path)
    if not path.exists():
        raise FileNotFoundError(f"load_compressed: there is no file {path}.")
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no .npz file, or not all of one")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        told = json.loads(arrays.pop("text").tobytes()) if "text" in arrays else {}
        if not isinstance(told, dict) or told.get("format") != FORMAT:
            raise ValueError("it does not say that it holds a compressed network")
        network = restored(told["network"], arrays)
        if not isinstance(network, (Module, IntegerNetwork)):
            raise ValueError("it holds no network")
        return network
    except Exception as error:  # whatever a damaged file makes its reader stumble over
        raise ValueError(
            f"load_compressed: {path} is damaged, or no file that save_compressed wrote: {error}.\n"
            "  Files of networks.save hold weights alone: build the network and use load(model, path)."
        ) from error


def checked_file(function: str, path) -> Path:
    """`path` as a Path in a directory that exists."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{function}: {path!r:.60} is no name of a file.")
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{function}: there is no directory {path.parent}. Make it first, or correct the path.")
    if path.is_dir():
        raise IsADirectoryError(f'{function}: {path} is a directory. Name a file in it, such as "{path / "small.npz"}".')
    return path


# %% nbgrader={"grade": true, "grade_id": "test_saving", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_saving():
    model = Sequential([dense_with(np.eye(40, 30), np.arange(30.0)), ReLU(), dense_with(np.ones((30, 2)), [1.0, 2.0])])
    x = Tensor(np.arange(80.0).reshape(2, 40) / 80)
    integers = quantize_model(model, x)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "net.npz")
        check(save_compressed(model, file) < 2500, True)  # of 1,290 weights and biases in 5,160 bytes
        check(load_compressed(file)(x).data, model(x).data, rtol=0, atol=0)
        check(save_compressed(integers, file) == file.stat().st_size, True)
        check(load_compressed(file)(x).data, integers(x).data, rtol=0, atol=0)
        check([p.name for p in Path(folder).iterdir()], ["net.npz"])
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        check_raises(ValueError, lambda: load_compressed(file), "damaged")
        np.savez(file, weights=np.ones(3))
        check_raises(ValueError, lambda: load_compressed(file), "does not say that it holds a compressed network")
        check_raises(FileNotFoundError, lambda: load_compressed(Path(folder, "other.npz")), "no file")
    check_raises(TypeError, lambda: save_compressed(Sequential([np.tanh]), "net.npz"), "cannot be described")

test_saving()

# %%
pruned = deepcopy(teacher)
masks = prune(pruned, 0.9)
fit(pruned, train, epochs=10, masks=masks)
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder, "network.npz")
    save(teacher, file)
    print(f"float32, by the networks chapter's save: {file.stat().st_size:8,} bytes")
    for name, model in (("float32", teacher), ("90% zeros", pruned), ("int8", quantize_model(teacher, train.features)), ("int8, 90% zeros", quantize_model(pruned, train.features))):
        size = save_compressed(model, file)
        same = np.array_equal(plain(load_compressed(file)(validation.features)), plain(model(validation.features)))
        print(f"{name:15s}, by save_compressed:       {size:8,} bytes   same outputs when loaded: {same}")

# %% [markdown]
# ## The same with convolutions
#
# Nothing here was made for dense layers alone. A small network with convolutions, batch normalisation and pooling goes
# the same ways. In integers, a convolution is the dense layer from above, applied to every window. Around the picture
# it meets padding, which stands for 0, and so has to be filled with the zero point; pooling takes the largest integer,
# because quantising keeps the order.

# %%
pictures, pictures_validation, pictures_test = (with_channels(part) for part in (train, validation, test))
rng = np.random.default_rng(0)
cnn = Sequential([
    Conv2D(1, 16, 3, padding=1, rng=rng), BatchNorm(16), ReLU(), MaxPool2D(2),
    Conv2D(16, 32, 3, padding=1, rng=rng), BatchNorm(32), ReLU(), MaxPool2D(2),
    Flatten(), Dense(128, 10, rng=rng),
])  # fmt: skip
fit(cnn, pictures, epochs=10)
cnn.eval()
cnn_int8 = quantize_model(cnn, pictures.features)
print(f"{count_parameters(cnn):,} parameters: validation accuracy {accuracy_of(cnn, pictures_validation):.4f} in floats, {accuracy_of(cnn_int8, pictures_validation):.4f} in integers")
folded = fold_batch_norm(cnn)
with evaluating(cnn):
    difference = abs(plain(folded(as_tensor(pictures_validation.features))) - plain(cnn(as_tensor(pictures_validation.features)))).max()
print(f"with the batch normalisation folded in: {len(folded)} layers in the place of {len(cnn)}, scores differ by at most {difference:.1e}")
q = quantize(pictures_validation.features, cnn_int8.scale, cnn_int8.zero_point)
for layer in cnn_int8.layers:
    shape, dtype = q.shape, q.dtype
    q = layer(q)
    print(f"{type(layer).__name__:17s} {dtype} {shape!s:18s} -> {q.dtype} {q.shape}")

# %% [markdown]
# ## The table
#
# Now all of it, once, on the test digits, which took part in no choice. Each row is a network that was made from the
# same trained one. *Bytes* is the length of the file on disk, *one* and *all* the time for a single digit and for all
# test digits at once.

# %%
#| export
def assess(model, dataset) -> dict:
    """Bytes of a network's file, its accuracy, and the time of an answer.

    Parameters
    ----------
    model : Sequential or IntegerNetwork
    dataset : ArrayDataset

    Returns
    -------
    dict
        "bytes"; "accuracy", from 0 to 1; "one" and "all": seconds for the first sample, and for all.
    """
    with tempfile.TemporaryDirectory() as folder:
        size = save_compressed(model, Path(folder, "network.npz"))
    x = as_tensor(dataset.features)
    first = wrap(x.data[:1])
    with evaluating(model), blas_threads(1):
        times = {"one": seconds(lambda: model(first), number=20), "all": seconds(lambda: model(x))}
    return {"bytes": size, "accuracy": accuracy_of(model, dataset), **times}


def table_row(name: str, row: dict, base: dict) -> str:
    """A row of the table: what `assess` found, beside what it found for the network to begin with."""
    return (
        f"{name:34s} {row['bytes']:9,} bytes  {base['bytes'] / row['bytes']:5.1f} times smaller   accuracy {row['accuracy']:.4f}"
        f"   one {1e6 * row['one']:7.0f} us   all {1e3 * row['all']:8.3f} ms"
    )


def compressed(teacher: Sequential, dataset, epochs: int = 10, seed: int = 0):
    """Networks made smaller in every way of this chapter, one after the other.

    Parameters
    ----------
    teacher : Sequential
        Trained. Not changed.
    dataset : ArrayDataset
        To fine-tune on, and to calibrate with its first thousand samples.
    epochs : int
        Of each fine-tuning.
    seed : int
        Of the order of the batches.

    Yields
    ------
    name : str
    network : Sequential or IntegerNetwork
    """
    some = dataset.features[:1000]
    tuning = {"epochs": epochs, "learning_rate": 0.002, "seed": seed}
    yield "float32", teacher
    for sparsity in (0.5, 0.9):
        pruned = fold_batch_norm(teacher)
        masks = prune(pruned, sparsity)
        fit(pruned, dataset, masks=masks, **tuning)
        yield f"{sparsity:.0%} zeros, fine-tuned", pruned
    small = shrink(teacher, 0.5)
    fit(small, dataset, **tuning)
    yield "half of the units, fine-tuned", small
    thin = factorize(teacher, 0.7)
    if count_parameters(thin) < 0.75 * count_parameters(teacher):  # a small network has nothing to gain
        fit(thin, dataset, **tuning)
        yield "low rank, energy 0.7, fine-tuned", thin
    yield "int8, one scale a matrix", quantize_model(teacher, some, per_channel=False)
    yield "int8, a scale for each unit", quantize_model(teacher, some)
    student = fold_batch_norm(teacher)
    ranges = calibrate(student, some)
    fit(quantization_aware(student, ranges, bits=2), dataset, **tuning)
    yield "2 bits, trained for them", quantize_model(student, ranges=ranges, bits=2)
    small = deepcopy(small)  # the one above belongs to the caller
    masks = prune(small, 0.6)
    fit(small, dataset, masks=masks, **tuning)
    yield "half the units, 60% zeros, int8", quantize_model(small, some)


# %%
found = {}
for title, model, data, unseen in (("dense", teacher, train, test), ("convolutions", cnn, pictures, pictures_test)):
    print(f"{title}: {count_parameters(model):,} parameters")
    rows = found[title] = {}
    for name, network in compressed(model, data, epochs=6):
        rows[name] = assess(network, unseen)
        print(table_row(name, rows[name], rows["float32"]))
    if title == "dense":
        student = create_mlp(64, [32], 10, rng=0)
        distil(student, teacher, train, epochs=30, learning_rate=0.01, temperature=2.0, alpha=0.5)
        for name, network in (("distilled, 32 units", student), ("distilled, 32 units, int8", quantize_model(student, train.features))):
            rows[name] = assess(network, test)
            print(table_row(name, rows[name], rows["float32"]))

# %% [markdown]
# Some readings. Single weights save bytes and no time, and a network that has few of them, like the convolutions, cannot
# spare nine in ten. Whole units save both, as soon as the time is that of products: for all digits at once, while for a
# single one it is mostly Python's. Eight bits save most of three quarters for next to nothing in accuracy; their time is
# NumPy's, not theirs. The techniques add up, because they remove different things: the last of the common rows is
# smaller than any of its parts. And a small network that was trained well from the start is hard to beat.
#
# Which of these would you take? The picture asks how much accuracy a byte is worth.

# %%
#| export
def plot_sizes(rows: dict, ax=None):
    """Draw what share is misread against the bytes of the file; returns the axes.

    Parameters
    ----------
    rows : dict
        Names of networks, each with what `assess` found.
    ax : matplotlib axes, optional
    """
    ax = pyplot("plot_sizes").subplots(figsize=(7, 3.6), layout="constrained")[1] if ax is None else ax
    sizes, misread = [row["bytes"] / 1000 for row in rows.values()], [100 * max(1 - row["accuracy"], 0.001) for row in rows.values()]
    for number, (name, x, y) in enumerate(zip(rows, sizes, misread), 1):
        mark, colour = ("o", "#0072b2") if "int8" in name or "bits" in name else ("s", "#d55e00")
        ax.plot(x, y, mark, color=colour, label=f"{number}  {name}")
        ax.annotate(str(number), (x, y), xytext=(4, 4 if number % 2 else -11), textcoords="offset points", fontsize=8)
    ax.set(xscale="log", yscale="log", xlabel="file, kB", ylabel="misread, %")
    for set_ticks, values in ((ax.set_xticks, sizes), (ax.set_yticks, misread)):
        ticks = [n * 10.0**k for k in range(-1, 5) for n in (1, 2, 5) if min(values) / 1.5 < n * 10.0**k < max(values) * 1.5]
        set_ticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, title="circles: integers", title_fontsize=7)
    return ax


# %%
for title, rows in found.items():
    plot_sizes(rows).figure.suptitle(f"{title.capitalize()}: the smallest file comes from several techniques together", fontsize=11)
    plt.show()

# %% [markdown]
# ## Against the real thing
#
# PyTorch's quantisation, its straight-through gradient, its magnitude pruning and its Kullback–Leibler divergence,
# where it is installed, on the same numbers.

# %%
try:
    import torch
    import torch.nn.utils.prune
except ImportError:
    print("PyTorch is not installed: the comparison was not made")
else:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 40)).astype(np.float32)
    scale, zero_point = affine_parameters(-2.0, 1.5)
    v, t = Variable(x), torch.tensor(x, requires_grad=True)
    ours, theirs = fake_quantize(v, scale, zero_point), torch.fake_quantize_per_tensor_affine(t, scale, zero_point, -128, 127)
    ours.sum().backward(), theirs.sum().backward()
    steps = np.rint(abs(ours.data - theirs.detach().numpy()) / scale)
    print(f"quantised and brought back: {np.count_nonzero(steps)} of {steps.size} entries differ, by at most {steps.max():.0f} step (PyTorch multiplies by 1 / scale)")
    print("straight-through gradients equal:", np.array_equal(v.grad.data, t.grad.numpy()))
    layer = torch.nn.Linear(40, 50)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(x))
    torch.nn.utils.prune.l1_unstructured(layer, "weight", amount=0.7)
    print("masks equal:", np.array_equal(magnitude_mask(x, 0.7), layer.weight_mask.numpy() != 0))
    said, labels = rng.standard_normal((50, 40)).astype(np.float32), rng.integers(0, 40, 50)
    z, their_z = torch.tensor(x), torch.tensor(said)
    soft = torch.nn.functional.kl_div(torch.log_softmax(z / 3, 1), torch.softmax(their_z / 3, 1), reduction="batchmean")
    both = 0.7 * 9 * soft + 0.3 * torch.nn.functional.cross_entropy(z, torch.tensor(labels))
    print(f"distillation losses differ by {abs(both.item() - distillation_loss(x, said, labels, 3.0, 0.7).item()):.1e}")

# %% [markdown]
# ## Where next
#
# - *One threshold for all layers.* `prune` takes the same fraction from every layer. Take the smallest weights of the
#   whole network, wherever they are. Which layers lose most? Does it read better at 95% zeros?
# - *Prune a little, tune a little.* Go to 98% zeros in ten rounds, with an epoch of fine-tuning after each (Zhu & Gupta
#   2018). How much of what one single cut loses comes back? Then start the survivors from the values they had before
#   training: the *lottery ticket* (Frankle & Carbin 2019).
# - *Fewer bits in the file.* A network with two bits still spends eight on each weight. Pack four of them into a byte.
#   Then look at how often each value occurs, and give the frequent ones shorter codes (Huffman coding; Han et al.
#   2016). `np.savez_compressed` does the last part blindly: how far does it get?
#
# Left out here, and present in the real ones: kernels for products of bytes, quantised activations of fewer bits, sums
# and joins of branches with different scales, softmax and layer normalisation in integers, ranges that are learned
# (Esser et al. 2020), and formats that other programs read, such as ONNX.
