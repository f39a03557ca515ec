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
# # Convolutional networks
#
# The network that reads digits sees a picture as a row of 64 numbers. Which of them are neighbours it was never told.
# Nothing in a dense layer knows: exchange the columns of its input in any way, and its weights can be exchanged with
# them. And since every pixel has weights of its own, what was learned about a stroke in one place is no help where
# the same stroke stands a pixel further to the right. The network would have to see it there as well.
#
# A picture is more than its pixels. What is worth seeing in it, an edge, a corner, the end of a stroke, is small, and
# can be anywhere. So let a unit look at a small window only, and let the same few weights look at every window. That
# is a *convolution*. This chapter builds it: the operation, its gradient, and what stands around it in a network. At
# the end such a network reads digits, with weights that one can look at, and `tito demo cnn` sets it beside a dense one.

# %%
#| default_exp core.cnn

# %%
#| export
import numpy as np
from numpy.lib.stride_tricks import as_strided

from tinytorch.core.activations import ReLU
from tinytorch.core.autograd import gradient, plain
from tinytorch.core.dataloader import ArrayDataset, number_array
from tinytorch.core.layers import Dense, Dropout, Module, Parameter, checked_size, he_normal
from tinytorch.core.networks import Sequential
from tinytorch.core.tensor import Tensor, as_tensor, matmul, mean, operation, reshape, sqrt, wrap

# %%
import time

import matplotlib.pyplot as plt

from tinytorch.core.autograd import Variable, check_gradients, grad, no_grad
from tinytorch.core.dataloader import DataLoader, Transformed, digits_split, random_shift, train_test_split
from tinytorch.core.networks import count_parameters, create_mlp, summary
from tinytorch.core.optimizers import AdamW, CosineLR
from tinytorch.core.training import Accuracy, CrossEntropyLoss, Trainer
from tinytorch.memory import keep_memory, peak_bytes
from tinytorch.testing import check, check_raises
from tinytorch.timing import seconds
from tinytorch.watched import multiplies_whole_arrays, new_arrays

# %% [markdown]
# ## What a dense layer does not know
#
# First the complaint, measured. One network learns the digits; another learns them with their pixels shuffled, always
# in the same way, so that no human could read them. Then the first network is shown its validation pictures again,
# moved by one pixel to the right.

# %%
training, test = digits_split()
training, validation = train_test_split(training, test_size=137, seed=1, stratify=True)


def train(model, data, epochs=12, learning_rate=0.003, seed=0):
    """Train on a data set, and return the trainer."""
    optimizer = AdamW(model.parameters(), learning_rate)
    trainer = Trainer(model, optimizer, CrossEntropyLoss(), [Accuracy()])
    trainer.fit(DataLoader(data, batch_size=32, seed=seed), epochs=epochs, schedule=CosineLR(optimizer, epochs), quiet=True)
    return trainer


def accuracy(trainer, features, targets):
    return Accuracy()(trainer.predict(features), targets)


shuffled = np.random.default_rng(0).permutation(64)
mlp = train(create_mlp(64, [128], 10, rng=0), training)
blind = train(create_mlp(64, [128], 10, rng=0), training.like(training.features[:, shuffled], training.targets))
right = np.roll(validation.images, 1, axis=2)  # what comes in on the left is the last column, all but empty here
print(f"validation digits                        {accuracy(mlp, validation.features, validation.targets):.3f}")
print(f"the same, all pixels shuffled throughout {accuracy(blind, validation.features[:, shuffled], validation.targets):.3f}")
print(f"moved one pixel to the right             {accuracy(mlp, right.reshape(-1, 64), validation.targets):.3f}")

# %% [markdown]
# Shuffling does not trouble the network, which says how little it makes of what we call a picture. Moving everything
# by one pixel, which a reader hardly notices, ruins it. And then there is the price of a weight for every pixel and
# unit:

# %%
for name, pixels in (("digit, 8 x 8", 64), ("digit, 28 x 28", 28 * 28), ("photograph, 224 x 224, colour", 224 * 224 * 3)):
    print(f"{name:30s} {(pixels + 1) * 128:12,} parameters in a dense layer with 128 units")

# %% [markdown]
# ## A kernel, by hand
#
# Take a small array of weights, the *kernel*. Lay it on the picture, multiply each weight by the pixel below it, and
# add up. That is one number. It answers: how much does this place look like the kernel? Then move the kernel by a
# pixel. With weights of -1 in the left column and 1 in the right one, the answer is large where it gets darker from
# left to right, negative where it gets lighter, and 0 where nothing changes: a detector for upright edges.

# %%
digit = training.images[training.targets == 0][3]
edge = np.array([[-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]])
print("at row 2, column 0:", (digit[2:5, 0:3] * edge).sum(), "   at row 2, column 5:", (digit[2:5, 5:8] * edge).sum())

# %% [markdown]
# Now for all places. Call the picture `image (H, W)` and the kernel `(kh, kw)`. The kernel fits in `H - kh + 1`
# places down and `W - kw + 1` across. Write it with loops first, two over the places and two over the kernel, and no
# product but those of two numbers.

# %% nbgrader={"grade": false, "grade_id": "conv2d_naive", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def conv2d_naive(image, kernel):
    """A picture seen through a kernel at every place, one multiplication at a time. Outside any derivative.

    Parameters
    ----------
    image : array or Tensor, shape (H, W)
    kernel : array or Tensor, shape (kh, kw), not larger than the picture

    Returns
    -------
    array, shape (H - kh + 1, W - kw + 1); a Tensor where an input is one

    Raises
    ------
    ValueError
        Where an input has not two axes, or the kernel is larger than the picture.

    Notes
    -----
    Entry (y, x) is the sum over i and j of ``a[y + i, x + j] * k[i, j]``, and every product is one of two
    numbers: four loops, with no `*` between slices, no `@` and no `np.einsum`. `out` below is there already, full
    of zeros.
    """
    # asanyarray keeps the class of an array, so that a test can watch what is done with it
    a, k = (np.asanyarray(plain(as_tensor(m))) for m in (image, kernel))
    if a.ndim != 2 or k.ndim != 2 or k.shape[0] > a.shape[0] or k.shape[1] > a.shape[1]:
        raise ValueError(f"conv2d_naive: expected a picture (H, W) and a kernel that fits into it, got {a.shape} and {k.shape}.")
    (height, width), (kh, kw) = a.shape, k.shape
    out = np.zeros((height - kh + 1, width - kw + 1), np.result_type(a, k))
    ### BEGIN SOLUTION conv2d_naive
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            for i in range(kh):
                for j in range(kw):
                    out[y, x] += a[y + i, x + j] * k[i, j]
    ### END SOLUTION
    return wrap(out) if isinstance(image, Tensor) or isinstance(kernel, Tensor) else out


# %% [raw] tags=["exercise"]
# conv2d_naive:
#   title: Four loops
#   hints:
#     - Which two loops choose a place of the kernel, and what do the other two do there?
#     - Loop y and x over the shape of out. For each place, loop i and j over the kernel, and add up the products of a weight and the pixel below it.
#     - "out[y, x] += a[...] * k[i, j], where the pixel is i below and j right of the place"
#   misconceptions:
#     - name: keeps only the last product
#       says: >-
#         Each entry is a single product: = replaced what was there. The products of one place are added up, with +=.
#       code: |
#         for y in range(out.shape[0]):
#             for x in range(out.shape[1]):
#                 for i in range(kh):
#                     for j in range(kw):
#                         out[y, x] = a[y + i, x + j] * k[i, j]
#     - name: turns the kernel round
#       says: >-
#         The kernel was read from its last entry to its first. That is a convolution as mathematicians define it; networks leave
#         the kernel as it is (a cross-correlation, they would say), since it is learned anyway.
#       code: |
#         for y in range(out.shape[0]):
#             for x in range(out.shape[1]):
#                 for i in range(kh):
#                     for j in range(kw):
#                         out[y, x] += a[y + i, x + j] * k[kh - 1 - i, kw - 1 - j]
#     - name: the kernel stays in the corner
#       says: >-
#         The pixels below the kernel were a[i, j] at every place, so that all entries are the same. At place (y, x) they begin at row y and
#         column x.
#       code: |
#         for y in range(out.shape[0]):
#             for x in range(out.shape[1]):
#                 for i in range(kh):
#                     for j in range(kw):
#                         out[y, x] += a[i, j] * k[i, j]
#     - name: leaves the products to NumPy
#       says: >-
#         The values are right, but whole slices or arrays were multiplied at once, by * or @, or by np.einsum or the
#         like. Here every product is one of two numbers. Loop over i and j too, and add a[y + i, x + j] * k[i, j] to out[y, x].
#       code: |
#         for y in range(out.shape[0]):
#             for x in range(out.shape[1]):
#                 out[y, x] = (a[y : y + kh, x : x + kw] * k).sum()

# %% nbgrader={"grade": true, "grade_id": "test_conv2d_naive", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_conv2d_naive():
    image = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 10.0]]
    check(conv2d_naive(image, [[1.0, 10.0], [100.0, 1000.0]]), [[5421.0, 6532.0], [8754.0, 10865.0]])
    check(conv2d_naive(image, [[1.0, -1.0]]), [[-1.0, -1.0], [-1.0, -1.0], [-1.0, -2.0]])
    check(conv2d_naive(image, [[1.0], [0.0], [2.0]]), [[15.0, 18.0, 23.0]])
    check(type(conv2d_naive(Tensor(image), [[1.0]])) is Tensor, True)
    check(multiplies_whole_arrays(conv2d_naive, image, [[1.0, 10.0], [100.0, 1000.0]]), False)
    check_raises(ValueError, lambda: conv2d_naive([[1.0, 2.0]], [[1.0], [1.0]]), "a kernel that fits into it")

test_conv2d_naive()

# %% [markdown]
# The detector on a whole digit, and its transpose, which looks for lying edges:

# %%
upright, lying = conv2d_naive(digit, edge), conv2d_naive(digit, edge.T)
fig, axes = plt.subplots(1, 3, figsize=(7.5, 2.8), layout="constrained")
axes[0].imshow(digit, cmap="gray_r")
axes[0].set_title("a digit", fontsize=10)
for ax, seen, name in ((axes[1], upright, "upright edges"), (axes[2], lying, "lying edges")):
    shown = ax.imshow(seen, cmap="PuOr", vmin=-3, vmax=3)
    ax.set_title(name, fontsize=10)
for ax in axes:
    ax.set(xticks=[], yticks=[])
fig.colorbar(shown, ax=axes, label="answer of the kernel", shrink=0.9)
fig.suptitle("Nine weights find every upright edge, and nine others every lying one")
plt.show()

# %% [markdown]
# What answers a kernel gives is called a *feature map*. It is a picture again, a little smaller, and its pixels mean
# something else. What about a digit that was moved? The same weights meet the same strokes, only elsewhere. So the
# feature map has to move too. That is called *equivariance*, and the claim is quickly checked:

# %%
framed = np.pad(digit, 3)  # room to move in
moved = np.roll(framed, (1, 2), axis=(0, 1))
first, second = conv2d_naive(framed, edge), conv2d_naive(moved, edge)
print("largest difference after moving back:", abs(np.roll(second, (-1, -2), axis=(0, 1)) - first).max())

# %% [markdown]
# ## How many places there are
#
# Three settings change where the kernel is laid.
#
# - *Padding* puts a frame of zeros around the picture. With a frame of 1, a kernel of 3 fits in as many places as the
#   picture has pixels.
# - With a *stride* of 2 the kernel moves by two pixels at a time, and the result is half as high and wide.
# - With a *dilation* of 2 the kernel's own entries lie two pixels apart: it spans five pixels with three weights (Yu
#   & Koltun 2016).
#
# How many places are there along an axis? Think of where the kernel's first entry can be.

# %% nbgrader={"grade": false, "grade_id": "output_length", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def output_length(size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """In how many places a kernel is laid along one axis.

    Parameters
    ----------
    size : int
        Pixels along the axis.
    kernel : int
        Entries of the kernel, `dilation` pixels apart from one to the next.
    stride : int
        Pixels from a place to the next.
    padding : int
        Zeros at each end of the axis.

    Returns
    -------
    int, at least 1

    Raises
    ------
    ValueError
        Where the kernel is longer than the padded axis.

    Notes
    -----
    A place counts only if the whole kernel lies on pixels or padding.
    """
    ### BEGIN SOLUTION output_length
    span = dilation * (kernel - 1) + 1
    places = (size + 2 * padding - span) // stride + 1
    ### END SOLUTION
    if places < 1:
        frame = f" and {padding} of padding at each end" if padding else ""
        raise ValueError(f"a kernel of {kernel} with dilation {dilation} does not fit on {size} pixels{frame}.")
    return places


# %% [raw] tags=["exercise"]
# output_length:
#   title: How many places
#   hints:
#     - How many pixels lie from the kernel's first entry to its last, both included? What is left over of the padded axis is how far it can move.
#     - The kernel spans dilation * (kernel - 1) + 1 pixels. Subtract that from the padded length, count the whole strides in the rest, and do not forget the place where it begins.
#     - "places = (size + 2 * padding - span) // ..., and one more"
#   misconceptions:
#     - name: forgets the first place
#       says: >-
#         There is one place too few. A kernel as long as the axis fits in one place, and can be moved by 0 pixels from there.
#       code: |
#         span = dilation * (kernel - 1) + 1
#         places = (size + 2 * padding - span) // stride + (size == kernel)
#     - name: pads one end
#       says: >-
#         The padding was counted once. There is a frame on both ends of the axis.
#       code: |
#         span = dilation * (kernel - 1) + 1
#         places = (size + padding - span) // stride + 1
#     - name: multiplies the kernel by its dilation
#       says: >-
#         A kernel of 3 with dilation 2 spans 5 pixels, not 6: only the two gaps between its entries are stretched.
#       code: |
#         places = (size + 2 * padding - dilation * kernel) // stride + 1
#     - name: rounds towards zero
#       says: >-
#         A kernel that is a pixel too long found a place. int(-0.5) is 0, while -1 // 2 is -1: count the strides with //, which rounds down.
#       code: |
#         span = dilation * (kernel - 1) + 1
#         places = int((size + 2 * padding - span) / stride) + 1

# %% nbgrader={"grade": true, "grade_id": "test_output_length", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_output_length():
    check(output_length(8, 3), 6)
    check(output_length(5, 5), 1)
    check(output_length(8, 3, padding=1), 8)
    check(output_length(8, 2, stride=2), 4)
    check(output_length(9, 2, stride=3), 3)
    check(output_length(10, 3, dilation=2), 6)
    check(output_length(28, 5, stride=2, padding=2, dilation=3), 10)
    check_raises(ValueError, lambda: output_length(4, 5), "a kernel of 5")
    check_raises(ValueError, lambda: output_length(4, 3, dilation=2), "does not fit on 4 pixels")
    check_raises(ValueError, lambda: output_length(4, 5, stride=2), "a kernel of 5")
    check(output_length(4, 3, padding=1, dilation=2), 2)

test_output_length()

# %% [markdown]
# Settings come as one number or as a pair, down and across. They are checked once, where a layer is made or an
# operation begins, and are pairs from then on.

# %%
#| export
def pair(layer: str, name: str, value, least: int = 1) -> tuple[int, int]:
    """`value` as a pair (down, across), once it is seen to be made of whole numbers of at least `least`."""
    both = value if isinstance(value, (tuple, list)) else (value, value)
    for n in both:
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < least:
            raise ValueError(
                f"{layer}: {name} is {value!r:.60}, expected a whole number of at least {least}, or a pair of them."
            )
    if len(both) != 2:
        raise ValueError(f"{layer}: {name} is {value!r:.60}, expected one number, or two: down and across.")
    return int(both[0]), int(both[1])


# %%
print(pair("Conv2D", "stride", 2), pair("Conv2D", "kernel_size", (3, 5)))
try:
    pair("Conv2D", "stride", 0)
except ValueError as error:
    print(error)

# %% [markdown]
# ## Channels
#
# A colour picture has three numbers a pixel, one for each *channel*; a layer with sixteen kernels gives sixteen
# feature maps, and the next layer sees all of them. So a batch of pictures has four axes, `x (N, C, H, W)`: pictures,
# channels, rows, columns. A kernel looks at all channels in its window, and there are O kernels: `w (O, C, kh, kw)`.
# Each gives a channel of the result:
#
# $$\mathrm{out}[n, o, y, x] = b[o] + \sum_{c, i, j} x[n, c, y + i, x + j] \; w[o, c, i, j]$$
#
# The digits come as rows. `with_channels` makes them pictures with one channel.

# %%
#| export
def with_channels(dataset: ArrayDataset) -> ArrayDataset:
    """A data set of pictures with features of shape (N, 1, height, width), as convolutions want them; the pixels are shared."""
    if not isinstance(dataset, ArrayDataset):
        raise TypeError(
            f"with_channels: {dataset!r:.60} is no ArrayDataset.\n  An array of pictures (N, H, W) becomes (N, 1, H, W) by x[:, None]."
        )
    pictures = dataset.images
    return dataset.like(pictures.reshape(len(pictures), -1, *pictures.shape[-2:]), dataset.targets)


# %%
training, validation, test = map(with_channels, (training, validation, test))
print(training)

# %% [markdown]
# Seven nested loops would do it now. But look at the sum: for each place it is a product of two rows of C x kh x kw
# numbers, the pixels in the window and the weights. All places and all kernels together are a matrix product, if only
# the windows stood side by side as the columns of a matrix. That is how it is done (Chellapilla et al. 2006).
#
# ## A view of all windows
#
# The tensor chapter took arrays apart into memory, a shape, and *strides*: how far it is to the next entry along each
# axis. Transposing changed the strides and moved no byte. Here is what else can be done with them. The windows of a
# picture are an array with six axes, `(N, C, kh, kw, OH, OW)`: kernel row i and column j, at place (y, x). The entry
# at (n, c, i, j, y, x) is a pixel that is in memory already. So the array of all windows exists without being made:
# it is a *view* in which most pixels appear several times. All it takes is six strides.
#
# One axis first. On a row of six pixels a kernel of 3 fits in four places. So its windows are an array of three rows, one
# for each entry of the kernel, and four columns, one for each place. An entry further in the kernel is a pixel further
# in the row, and so is a place further. With a stride of 2, a place further is two pixels further.

# %%
row = np.arange(6.0)
print("bytes from a pixel to the next:", row.strides[0])
print(as_strided(row, shape=(3, 4), strides=(8, 8)))
print("with a stride of 2:")
print(as_strided(row, shape=(3, 2), strides=(8, 16)))

# %% [markdown]
# A picture has two such axes, and pictures and channels in front.
#
# `as_strided` believes whatever it is told, and wrong strides would read memory that belongs to somebody else. So
# `strided_view` asks first whether the farthest entries still lie in the array.

# %% nbgrader={"grade": false, "grade_id": "windows", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def strided_view(x: np.ndarray, shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
    """A read-only view of x with this shape and these strides in bytes, once it is seen to stay inside x."""
    for sign in (1, -1):
        reach, limit = (
            sum((n - 1) * step for n, step in zip(lengths, steps) if step * sign > 0)
            for lengths, steps in ((shape, strides), (x.shape, x.strides))
        )
        if reach * sign > limit * sign:
            raise ValueError(f"strides {strides} lead {abs(reach - limit)} bytes outside an array of shape {x.shape}.")
    return as_strided(x, shape, strides, writeable=False)


def windows(x: np.ndarray, kernel_size, stride=(1, 1), dilation=(1, 1)) -> np.ndarray:
    """All windows of a batch of pictures, as a view.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
    kernel_size, stride, dilation : pairs of int
        Down and across.

    Returns
    -------
    array, shape (N, C, kh, kw, OH, OW), read-only
        Entry (n, c, i, j, y, x) is the pixel below entry (i, j) of the kernel at place (y, x).
        No pixel is copied.

    Notes
    -----
    ``image, channel, down, across`` are the strides of x: bytes to the next picture, channel, row and
    column. How far is it from one kernel row to the next? How far from one place to the next?
    """
    (n, c, h, w), (kh, kw), (sh, sw), (dh, dw) = x.shape, kernel_size, stride, dilation
    shape = (n, c, kh, kw, output_length(h, kh, sh, 0, dh), output_length(w, kw, sw, 0, dw))
    image, channel, down, across = x.strides
    ### BEGIN SOLUTION windows
    strides = (image, channel, dh * down, dw * across, sh * down, sw * across)
    ### END SOLUTION
    return strided_view(x, shape, strides)


# %% [raw] tags=["exercise"]
# windows:
#   title: Six strides
#   hints:
#     - One row down in the kernel is how many rows down in the picture? And one place down?
#     - Pictures and channels keep their strides. An entry of the kernel is dilation pixels from the next, a place is stride pixels from the next; multiply by the bytes of a pixel step.
#     - "strides = (image, channel, dh * down, dw * across, ..., ...)"
#   misconceptions:
#     - name: exchanges stride and dilation
#       says: >-
#         Stride and dilation were exchanged. Inside the kernel it is `dilation` pixels from entry to entry; from place to place it
#         is `stride`.
#       code: |
#         strides = (image, channel, sh * down, sw * across, dh * down, dw * across)
#     - name: exchanges the kernel and the places
#       says: >-
#         The strides of the kernel's axes and of the places lie in the wrong order for the shape, or down and across were exchanged. The
#         shape is (N, C, kh, kw, OH, OW).
#       code: |
#         strides = (image, channel, dw * across, dh * down, sw * across, sh * down)
#     - name: windows side by side
#       says: >-
#         The windows do not overlap: from place to place the view went a whole kernel further. The next place is `stride` pixels away.
#       code: |
#         strides = (image, channel, dh * down, dw * across, kh * down, kw * across)
#     - name: forgets the stride
#       says: >-
#         The places are one pixel apart whatever the stride is. Multiply the step from place to place by it.
#       code: |
#         strides = (image, channel, dh * down, dw * across, down, across)

# %% nbgrader={"grade": true, "grade_id": "test_windows", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_windows():
    x = np.arange(16.0).reshape(1, 1, 4, 4)
    check(windows(x, (2, 2))[0, 0, :, :, 0, 0], [[0.0, 1.0], [4.0, 5.0]])
    check(windows(x, (2, 2))[0, 0, :, :, 2, 1], [[9.0, 10.0], [13.0, 14.0]])
    check(windows(x, (2, 2), stride=(2, 2))[0, 0, :, :, 1, 0], [[8.0, 9.0], [12.0, 13.0]])
    check(windows(x, (2, 2), dilation=(2, 2))[0, 0, :, :, 0, 1], [[1.0, 3.0], [9.0, 11.0]])
    check(windows(x, (1, 3), stride=(2, 1))[0, 0, :, :, 1, 1], [[9.0, 10.0, 11.0]])
    check(windows(x, (3, 1), stride=(1, 2), dilation=(1, 3))[0, 0, :, :, 1, 1], [[6.0], [10.0], [14.0]])
    two = np.arange(36.0).reshape(2, 2, 3, 3)
    check(windows(two, (2, 2)).shape, (2, 2, 2, 2, 2, 2))
    check(windows(two, (2, 2))[1, 0, :, :, 1, 0], [[21.0, 22.0], [24.0, 25.0]])
    check(windows(two.swapaxes(2, 3), (2, 2))[0, 1, :, :, 1, 0], [[10.0, 13.0], [11.0, 14.0]])
    check(np.shares_memory(windows(x, (2, 2)), x), True)

test_windows()

# %% [markdown]
# The view costs nothing. But a matrix product wants its numbers as a matrix, and to flatten six axes into a matrix
# the pixels have to be copied after all, each as often as it appears. `unfold` does that: padding, the view, one
# copy. The result has a row for each entry of the kernel and a column for each place, `(N, C kh kw, OH OW)`.

# %%
#| export
def padded(x: np.ndarray, padding: tuple[int, int], value=0) -> np.ndarray:
    """x (N, C, H, W) with a frame of `value` around every picture; x itself where the frame is empty."""
    down, across = padding
    if not down and not across:
        return x
    n, c, h, w = x.shape
    out = np.full((n, c, h + 2 * down, w + 2 * across), value, x.dtype)
    out[:, :, down : down + h, across : across + w] = x
    return out


def checked_images(x: np.ndarray, layer: str) -> np.ndarray:
    """x, once it is seen to be a batch of pictures (N, C, H, W) made of floats."""
    problem = wrong_images(x.shape)
    if problem:
        raise ValueError(f"{layer} {problem}")
    if x.dtype.kind != "f":
        raise TypeError(f"{layer} got pixels of type {x.dtype}, expected floats. Bytes from 0 to 255 become x.astype(np.float32) / 255.")
    return x


def wrong_images(shape: tuple[int, ...]) -> str:
    """What keeps an array of this shape from being a batch of pictures; empty where it is one."""
    hint = {
        2: "  Rows of pixels become pictures with x.reshape(len(x), 1, height, width), data sets by with_channels(dataset).",
        3: "  Pictures (N, H, W) get a channel with x[:, None]; one picture (C, H, W) becomes a batch with x[None].",
    }
    if len(shape) != 4:
        axes = "no axes" if not shape else f"{len(shape)} {'axis' if len(shape) == 1 else 'axes'}"
        return f"got an input with {axes}, {shape}, expected pictures: (N, C, H, W).\n{hint.get(len(shape), '')}".rstrip()
    if shape[0] == 0:
        return f"got an empty batch, {shape}, expected at least one picture: (N, C, H, W)."
    return f"got pictures without pixels: the input is {shape}." if 0 in shape else ""


@operation
def unfold(x, /, kernel_size, stride=1, padding=0, dilation=1):
    """The windows of pictures as the columns of matrices.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
    kernel_size, stride, padding, dilation : int, or pair of int

    Returns
    -------
    array, shape (N, C * kh * kw, OH * OW)
        A column for each place, top left to bottom right; in it the pixels of its window, channel by channel.
    """
    kernel_size, stride = pair("unfold", "kernel_size", kernel_size), pair("unfold", "stride", stride)
    padding, dilation = pair("unfold", "padding", padding, 0), pair("unfold", "dilation", dilation)
    view = windows(padded(checked_images(x, "unfold"), padding), kernel_size, stride, dilation)
    n, c, kh, kw, oh, ow = view.shape
    return view.reshape(n, c * kh * kw, oh * ow)


# %%
x = np.arange(9.0, dtype=np.float32).reshape(1, 1, 3, 3)
print(x[0, 0])
print("as columns:")
print(unfold(x, 2)[0])

# %% [markdown]
# The copies are the price of this way to convolve. How high is it? For 32 pictures with 16 channels:

# %%
pictures = np.zeros((32, 16, 28, 28), np.float32)
for kernel in (1, 3, 5):
    columns = unfold(pictures, kernel, padding=kernel // 2)
    print(f"kernel {kernel} x {kernel}: pictures {pictures.nbytes / 1e6:5.1f} MB, columns {columns.nbytes / 1e6:5.1f} MB")

# %% [markdown]
# As many times the memory as the kernel has entries, near enough. Libraries for large pictures avoid the copy by
# cutting it into pieces that stay in the cache. For ours the matrix product earns it back, as the timings below will
# show.
#
# ## The operation
#
# With the columns at hand a convolution is a product. `w.reshape(O, C kh kw)` has a kernel in each row; times the
# columns it gives `(N, O, OH OW)`; the bias goes to each channel. For the small picture above, and two kernels:

# %%
two = np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [-1.0, 0.0]]])
rows = two.reshape(2, 4)
print("kernels in rows", rows.shape, "times columns", unfold(x, 2)[0].shape, "gives", (rows @ unfold(x, 2)[0]).shape)
print((rows @ unfold(x, 2)[0]).reshape(2, 2, 2).tolist())
print([conv2d_naive(x[0, 0], kernel).tolist() for kernel in two], "with loops")

# %% [markdown]
# One more setting: with *groups* the channels are divided into G equal parts, and each kernel sees the channels of
# one part only (Krizhevsky et al. 2012). With as many groups as channels, each channel has kernels of its own, and
# the weights shrink by that factor. In the formulas that is an axis more, which `@` treats as a batch: weights `(G,
# O/G, C/G kh kw)`, columns `(N, G, C/G kh kw, OH OW)`.

# %%
#| export
def places(shape, kernel_size, stride, padding, dilation) -> tuple[int, int]:
    """Rows and columns of places where a kernel is laid on pictures of this shape, (N, C, H, W)."""
    kernel_size, stride = pair("conv2d", "kernel_size", kernel_size), pair("conv2d", "stride", stride)
    padding, dilation = pair("conv2d", "padding", padding, 0), pair("conv2d", "dilation", dilation)
    return tuple(output_length(*axis) for axis in zip(shape[2:], kernel_size, stride, padding, dilation))


def explain_conv2d(x: tuple, w: tuple, b: tuple, stride=1, padding=0, dilation=1, groups=1) -> str:
    """Why pictures, kernels, bias and settings do not fit; empty where they do."""
    if len(w) != 4 or b != w[:1] or 0 in w:
        return f"conv2d: weights {w} and bias {b} do not belong together. Expected (O, C, kh, kw) and (O,)."
    if isinstance(groups, bool) or not isinstance(groups, (int, np.integer)) or groups < 1 or w[0] % groups:
        return f"conv2d: groups is {groups!r:.60}, expected a whole number that divides the {w[0]} kernels."
    channels = w[1] * groups
    name = f"Conv2D({channels}, {w[0]}, kernel_size={w[2] if w[2] == w[3] else w[2:]})"
    if problem := wrong_images(x):
        return f"{name} {problem}"
    if x[1] != channels:
        hint = f"Did you mean Conv2D({x[1]}, {w[0]}, ...)?"
        if x[3] == channels:
            hint = "The channels stand last. x.transpose(0, 3, 1, 2) puts them where they are expected."
        return f"{name} got {x[1]} channels: the input is {x}, expected (N, {channels}, H, W).\n  {hint}"
    try:
        places(x, w[2:], stride, padding, dilation)
    except ValueError as error:
        if str(error).startswith("conv2d"):  # the settings themselves are wrong
            return str(error)
        hint = "Use a smaller kernel, padding, or fewer layers that shrink the pictures."
        return f"{name} got pictures of {x[2]} x {x[3]}: {error}\n  {hint}"
    return ""


def conv2d_composed(x, w, b, stride=1, padding=0, dilation=1, groups=1):
    """What `conv2d` equals, written with operations."""
    n, o, size = len(x), len(w), places(x.shape, w.shape[2:], stride, padding, dilation)
    columns = unfold(x, w.shape[2:], stride, padding, dilation)
    columns = reshape(columns, (n, groups, -1, columns.shape[-1]))
    out = matmul(reshape(w, (groups, o // groups, -1)), columns)
    return reshape(out, (n, o, *size)) + reshape(b, (-1, 1, 1))


# %% [markdown]
# The composed version is made of operations that have their rows already, all but `unfold`, whose row comes below. So it
# is the definition that everything else is held to. The fused one adds the bias in place, and keeps the columns, which the gradient of the
# kernels will want.

# %% nbgrader={"grade": false, "grade_id": "conv2d", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
@operation(explain=explain_conv2d, keeps=True)
def conv2d(x, w, b, /, stride=1, padding=0, dilation=1, groups=1):
    """Every window of every picture, weighted by every kernel (LeCun et al. 1989).

    Parameters
    ----------
    x : array, shape (N, C, H, W)
    w : array, shape (O, C / groups, kh, kw)
    b : array, shape (O,)
    stride, padding, dilation : int, or pair of int
    groups : int
        Parts that the channels are divided into; it divides C and O.

    Returns
    -------
    out : array, shape (N, O, OH, OW)
    kept : array, shape (N, groups, C / groups * kh * kw, OH * OW)
        The columns. Callers get `out` alone.

    Raises
    ------
    ValueError, TypeError
        Where the shapes do not fit, or the pixels are no floats.

    Notes
    -----
    Equals `conv2d_composed`, but makes no new array for the sum. Below, `columns` are there already, ``n`` is the number of pictures, ``o`` of
    kernels, and `size` is (OH, OW). The weights need the shape (groups, o // groups, ...) for the product.
    ``b[:, None, None]`` stands at the right axis to be added in place.
    """
    if problem := explain_conv2d(x.shape, w.shape, b.shape, stride, padding, dilation, groups):
        raise ValueError(problem)
    n, o, size = len(x), len(w), places(x.shape, w.shape[2:], stride, padding, dilation)
    columns = unfold(x, w.shape[2:], stride, padding, dilation)
    columns = columns.reshape(n, groups, -1, columns.shape[-1])
    ### BEGIN SOLUTION conv2d
    out = (w.reshape(groups, o // groups, -1) @ columns).reshape(n, o, *size)
    out += b[:, None, None]
    ### END SOLUTION
    return out, columns


# %% [raw] tags=["exercise"]
# conv2d:
#   title: One product for all windows
#   hints:
#     - Forget groups for a moment (groups is 1). Which matrix of weights times columns of shape (C kh kw, places) gives a row for each kernel?
#     - Reshape w to (groups, o // groups, -1) and multiply with @; the pictures and groups in front are a batch. Reshape the product to (n, o, height, width) with size, and add the bias to each channel in place.
#     - "out = (w.reshape(groups, o // groups, -1) @ ...).reshape(n, o, *size), then the bias"
#   misconceptions:
#     - name: forgets the bias
#       says: >-
#         The bias is missing. Each kernel has one, which is added to its whole feature map.
#       code: |
#         out = (w.reshape(groups, o // groups, -1) @ columns).reshape(n, o, *size)
#     - name: a bias for each column of pixels
#       says: >-
#         The bias was added along the last axis, the pixels of a row. It belongs to the channels, axis 1: b[:, None, None].
#       code: |
#         out = (w.reshape(groups, o // groups, -1) @ columns).reshape(n, o, *size)
#         out += np.resize(b, size[1])
#     - name: mixes pixels and pictures
#       says: >-
#         The product was reshaped as if the kernels stood last. Its axes are pictures, groups, kernels, places: reshape to (n, o, height, width), no
#         transposing.
#       code: |
#         out = (columns.mT @ w.reshape(groups, o // groups, -1).mT).reshape(n, o, *size)
#         out += b[:, None, None]
#     - name: the kernels in another order
#       says: >-
#         The weights were flattened in another order than the columns. Both go channel by channel, row by row; a plain reshape does that.
#       code: |
#         out = (w.swapaxes(2, 3).reshape(groups, o // groups, -1) @ columns).reshape(n, o, *size)
#         out += b[:, None, None]
#     - name: a second array for the sum
#       says: >-
#         The values are right, but the sum with the bias is a second new array, as in conv2d_composed. The product is yours alone, so
#         add b[:, None, None] to it in place, with +=.
#       code: |
#         out = (w.reshape(groups, o // groups, -1) @ columns).reshape(n, o, *size) + b[:, None, None]

# %% nbgrader={"grade": true, "grade_id": "test_conv2d", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
def test_conv2d():
    x = np.array([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 10.0]]]])
    w = np.array([[[[1.0, 10.0], [100.0, 1000.0]]]])
    check(conv2d(x, w, np.array([0.5])), [[[[5421.5, 6532.5], [8754.5, 10865.5]]]])
    check(conv2d(Tensor(x), Tensor(w), Tensor([0.5]), stride=2), [[[[5421.5]]]])
    check(conv2d(x, w, np.array([0.0]), padding=1, stride=2), [[[[1000.0, 3200.0], [7040.0, 10865.0]]]])
    check(conv2d(x, w, np.array([0.0]), dilation=2), [[[[10731.0]]]])
    both, kernels = np.array([[[[1.0]], [[2.0]]], [[[3.0]], [[4.0]]]]), np.array([[[[1.0]], [[10.0]]], [[[2.0]], [[0.0]]], [[[0.0]], [[5.0]]]])
    check(conv2d(both, kernels, np.array([0.0, 0.5, 0.0])), [[[[21.0]], [[2.5]], [[10.0]]], [[[43.0]], [[6.5]], [[20.0]]]])
    check(conv2d(both, np.array([[[[10.0]]], [[[100.0]]]]), np.zeros(2), groups=2), [[[[10.0]], [[200.0]]], [[[30.0]], [[400.0]]]])
    many, several = np.arange(96.0).reshape(2, 4, 4, 3) % 7, np.arange(48.0).reshape(4, 2, 2, 3) % 5
    expected = conv2d_composed(Tensor(many), Tensor(several), Tensor(np.arange(4.0)), 1, 1, 1, 2).numpy()
    check(conv2d(many, several, np.arange(4.0), padding=1, groups=2), expected)
    check(new_arrays(conv2d, x, w, np.array([0.5])) <= 1, True)  # the product, and no other
    check_raises(ValueError, lambda: conv2d(x, np.ones((1, 2, 2, 2)), np.zeros(1)), "got 1 channels")
    check_raises(ValueError, lambda: conv2d(x[0], w, np.zeros(1)), "x[None]")
    check_raises(ValueError, lambda: conv2d(x, np.ones((1, 1, 4, 4)), np.zeros(1)), "does not fit")

test_conv2d()

# %% [markdown]
# Was it worth the copies? The same pictures through the same kernels, in three ways: with loops, as a sum over the view
# of all windows, which copies nothing, and as a product of copied columns.

# %%
pictures = np.random.default_rng(0).standard_normal((4, 1, 28, 28)).astype(np.float32)
for kernels in (np.random.default_rng(1).standard_normal((count, 1, 5, 5)).astype(np.float32) for count in (1, 16)):
    ways = {
        "loops": lambda: np.array([[conv2d_naive(picture[0], kernel[0]) for kernel in kernels] for picture in pictures]),
        "view": lambda: np.einsum("ocij,ncijyx->noyx", kernels, windows(pictures, (5, 5))),
        "columns": lambda: conv2d(pictures, kernels, np.zeros(len(kernels), np.float32)),
    }
    took = {name: seconds(way, repeat=1 if name == "loops" else 5) for name, way in ways.items()}
    print(f"kernels: {len(kernels):2d}  ", "   ".join(f"{name} {1e3 * t:8.2f} ms" for name, t in took.items()))
    print("             allocated", "   ".join(f"{name} {peak_bytes(ways[name]) / 1e6:8.2f} MB" for name in ("view", "columns")))
    print(f"             largest difference {max(abs(ways[name]() - ways['columns']()).max() for name in ('loops', 'view')):.0e}")

# %% [markdown]
# The view leaves the loops far behind, and saves the memory of the columns. But its sum goes through every window again
# for every kernel. The columns are made once for all kernels, and then BLAS, the library behind `@`, has large products
# to work on. So the more kernels there are, the more the copies are worth.
#
# ## Going back
#
# A gradient arrives for every entry of the result, `g (N, O, OH, OW)`. For the kernels it is the matrix product's own
# rule: the product was weights times columns, so the gradient of the weights is `g` times the columns turned, summed
# over the pictures. For the columns it is the weights turned, times `g`. With E = C kh kw entries of a kernel and L = OH
# OW places, for one picture:
#
# | | shape | product |
# |---|---|---|
# | out, forward | `(O, L)` | weights `(O, E)` times columns `(E, L)` |
# | gradient of the weights | `(O, E)` | g `(O, L)` times columns turned `(L, E)` |
# | gradient of the columns | `(E, L)` | weights turned `(E, O)` times g `(O, L)` |
#
# What remains is the way from the columns back to the pictures.
#
# `unfold` copied each pixel into several columns. The gradient of a copy is a sum: each pixel gets the sum over all
# places in the columns where it appears. That is `fold`, and it is to `unfold` what a transpose is to a matrix.
#
# Adding entry by entry would take for ever. But entry (i, j) of the kernel meets, over all places, a whole regular
# grid of pixels, which is a slice. On one axis, with seven pixels, a kernel of 3 and a stride of 2, where each entry of
# the columns is 1:

# %%
row = np.zeros(7)
for i in range(3):
    pixels = slice(i, i + 5, 2)  # entry i of the kernel, at the three places
    row[pixels] += 1
    print(f"entry {i} meets pixels {np.arange(7)[pixels]}; the sums so far are {row}")

# %% [markdown]
# So kh times kw additions of slices do it; and adding up the kernel's rows first, and then its columns, makes it kh plus
# kw.

# %% nbgrader={"grade": false, "grade_id": "fold", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def met(i: int, count: int, stride: int, dilation: int) -> slice:
    """The pixels along an axis that entry i of a kernel meets in `count` places."""
    return slice(i * dilation, i * dilation + stride * count, stride)


@operation
def fold(columns, /, shape, kernel_size, stride=1, padding=0, dilation=1):
    """Pictures in which every pixel is the sum of the places that `unfold` copied it to.

    Parameters
    ----------
    columns : array, shape (N, C * kh * kw, OH * OW)
        As `unfold` gives them for pictures of `shape`. Groups may have an axis of their own before the rows.
    shape : tuple of int
        (N, C, H, W)
    kernel_size, stride, padding, dilation : int, or pair of int
        As for `unfold`.

    Returns
    -------
    array of `shape`

    Notes
    -----
    ``columns[:, :, i, j]`` (N, C, OH, OW) is what belongs to entry (i, j) of the kernel. `rows`
    has the height of the padded picture already, and the width of the places: add up in it what comes from
    all kernel rows i. Then add up in `out`, the padded picture, what comes from all kernel columns j.
    ``met(i, oh, sh, dh)`` is the slice of pixels that kernel row i meets, ``met(j, ow, sw, dw)`` that of column j.
    """
    n, c, h, w = shape
    (kh, kw), (sh, sw) = pair("fold", "kernel_size", kernel_size), pair("fold", "stride", stride)
    (ph, pw), (dh, dw) = pair("fold", "padding", padding, 0), pair("fold", "dilation", dilation)
    oh, ow = output_length(h, kh, sh, ph, dh), output_length(w, kw, sw, pw, dw)
    columns = columns.reshape(n, c, kh, kw, oh, ow)
    rows = np.zeros((n, c, kw, h + 2 * ph, ow), columns.dtype)
    out = np.zeros((n, c, h + 2 * ph, w + 2 * pw), columns.dtype)
    ### BEGIN SOLUTION fold
    for i in range(kh):
        rows[:, :, :, met(i, oh, sh, dh)] += columns[:, :, i]
    for j in range(kw):
        out[:, :, :, met(j, ow, sw, dw)] += rows[:, :, j]
    ### END SOLUTION
    return out[:, :, ph : ph + h, pw : pw + w]


# fmt: off
gradient(unfold, x=lambda g, x_shape, kernel_size, stride, padding, dilation:
         fold(g, x_shape, kernel_size, stride, padding, dilation))
gradient(fold, columns=lambda g, kernel_size, stride, padding, dilation:
         unfold(g, kernel_size, stride, padding, dilation))
# fmt: on

# %% [raw] tags=["exercise"]
# fold:
#   title: From columns back to pictures
#   hints:
#     - A pixel was copied into several columns. What is done with the gradients of copies?
#     - Two loops, one after the other. In the first, for each kernel row i, add columns[:, :, i] to the slice of rows that it meets. In the second, for each kernel column j, add rows[:, :, j] to the slice of out that it meets.
#     - "rows[:, :, :, met(i, oh, sh, dh)] += ...; then the same for out, with j and the last axis"
#   misconceptions:
#     - name: overwrites where windows overlap
#       says: >-
#         Where windows overlap, the last one replaced the others. A pixel that was copied several times gets the sum: +=.
#       code: |
#         for i in range(kh):
#             for j in range(kw):
#                 out[:, :, met(i, oh, sh, dh), met(j, ow, sw, dw)] = columns[:, :, i, j]
#     - name: exchanges rows and columns
#       says: >-
#         Down and across were exchanged: kernel row i moves things down, along the axis before the last, kernel column j to the right.
#       code: |
#         for i in range(kh):
#             for j in range(kw):
#                 out[:, :, met(j, oh, sh, dh), met(i, ow, sw, dw)] += columns[:, :, i, j]
#     - name: ignores where the entry is
#       says: >-
#         All entries of the kernel were added to the same pixels. Entry i meets pixels that begin i times the dilation further down.
#       code: |
#         for i in range(kh):
#             for j in range(kw):
#                 out[:, :, met(0, oh, sh, dh), met(0, ow, sw, dw)] += columns[:, :, i, j]
#     - name: averages the copies
#       says: >-
#         The copies were averaged. The gradient of a copy is a sum, without dividing.
#       code: |
#         count = np.zeros_like(out)
#         for i in range(kh):
#             for j in range(kw):
#                 out[:, :, met(i, oh, sh, dh), met(j, ow, sw, dw)] += columns[:, :, i, j]
#                 count[:, :, met(i, oh, sh, dh), met(j, ow, sw, dw)] += 1
#         out /= np.maximum(count, 1)

# %% nbgrader={"grade": true, "grade_id": "test_fold", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
def test_fold():
    check(fold(np.arange(4.0).reshape(1, 4, 1), (1, 1, 2, 2), 2)[0, 0], [[0.0, 1.0], [2.0, 3.0]])
    check(fold(np.arange(6.0).reshape(1, 2, 3), (1, 1, 1, 4), (1, 2))[0, 0], [[0.0, 4.0, 6.0, 5.0]])
    counted = [[1.0, 2.0, 2.0, 1.0], [2.0, 4.0, 4.0, 2.0], [2.0, 4.0, 4.0, 2.0], [1.0, 2.0, 2.0, 1.0]]
    check(fold(np.ones((1, 4, 9)), (1, 1, 4, 4), 2)[0, 0], counted)
    check(fold(np.ones((1, 4, 9)), (1, 1, 2, 2), 2, padding=1)[0, 0], [[4.0, 4.0], [4.0, 4.0]])
    check(fold(np.arange(6.0).reshape(1, 2, 3), (1, 1, 4, 1), (2, 1))[0, 0], [[0.0], [4.0], [6.0], [5.0]])
    apart = [[0.0, 4.0, 1.0, 5.0], [8.0, 12.0, 9.0, 13.0], [2.0, 6.0, 3.0, 7.0], [10.0, 14.0, 11.0, 15.0]]
    check(fold(np.arange(16.0).reshape(1, 4, 4), (1, 1, 4, 4), 2, stride=2)[0, 0], apart)
    spread = [[0.0, 1.0, 4.0, 5.0], [2.0, 3.0, 6.0, 7.0], [8.0, 9.0, 12.0, 13.0], [10.0, 11.0, 14.0, 15.0]]
    check(fold(np.arange(16.0).reshape(1, 4, 4), (1, 1, 4, 4), 2, dilation=2)[0, 0], spread)
    check(fold(np.ones((2, 12, 2)), (2, 3, 2, 3), 2)[1, 2], [[1.0, 2.0, 1.0], [1.0, 2.0, 1.0]])
    four = np.arange(1.0, 5.0).reshape(1, 2, 2)  # the first entry of the kernel at two places, then the second
    check(fold(four, (1, 1, 1, 8), (1, 2), (2, 3), 0, (3, 4))[0, 0], [[1.0, 0.0, 0.0, 2.0, 3.0, 0.0, 0.0, 4.0]])
    check(fold(four, (1, 1, 8, 1), (2, 1), (3, 2), 0, (4, 3))[0, 0, :, 0], [1.0, 0.0, 0.0, 2.0, 3.0, 0.0, 0.0, 4.0])

test_fold()

# %% [markdown]
# With `fold` the two rules of the convolution are short.

# %% nbgrader={"grade": false, "grade_id": "slopes_of_conv2d", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def kernel_slope(g: np.ndarray, columns: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The gradient of the kernels of a convolution.

    Parameters
    ----------
    g : array, shape (N, O, OH, OW)
        Gradient of the result.
    columns : array, shape (N, G, C / G * kh * kw, OH * OW)
        What `conv2d` kept.
    shape : tuple of int
        That of the kernels, (O, C / G, kh, kw).

    Notes
    -----
    `g` is given the shape (N, G, O / G, OH * OW) below. A matrix product for each picture and group, the sum over
    the pictures, a reshape. ``a.mT`` has the last two axes of a exchanged.
    """
    g = g.reshape(len(g), columns.shape[1], -1, columns.shape[-1])
    ### BEGIN SOLUTION kernel_slope
    return (columns @ g.mT).sum(axis=0).mT.reshape(shape)  # g @ columns.mT is the same, turned, and slower
    ### END SOLUTION


def input_slope(g: np.ndarray, w: np.ndarray, shape: tuple, stride=1, padding=0, dilation=1, groups=1) -> np.ndarray:
    """The gradient of the pictures of a convolution.

    Parameters
    ----------
    g : array, shape (N, O, OH, OW)
        Gradient of the result.
    w : array, shape (O, C / groups, kh, kw)
        The kernels.
    shape : tuple of int
        That of the pictures, (N, C, H, W).
    stride, padding, dilation, groups : as for `conv2d`

    Notes
    -----
    `g` is given the shape (N, groups, O / groups, OH * OW) and `w` the shape (groups, O / groups, ...) below. The
    gradient of the columns is a product of the two, (N, groups, C / groups * kh * kw, OH * OW), which `fold` takes.
    """
    n, o, oh, ow = g.shape
    kernel_size, g, w = w.shape[2:], g.reshape(n, groups, o // groups, oh * ow), w.reshape(groups, o // groups, -1)
    ### BEGIN SOLUTION input_slope
    return fold(w.mT @ g, shape, kernel_size, stride, padding, dilation)
    ### END SOLUTION


gradient(
    conv2d,
    composition=conv2d_composed,
    broadcasts=False,
    x=lambda g, w, x_shape, stride, padding, dilation, groups: input_slope(g, w, x_shape, stride, padding, dilation, groups),
    w=lambda g, kept, w_shape: kernel_slope(g, kept, w_shape),
    b=lambda g: g.sum(axis=(0, 2, 3)),
)

# %% [raw] tags=["exercise"]
# kernel_slope:
#   title: The gradient of the kernels
#   hints:
#     - For one picture the result was weights @ columns. What is the gradient of the first factor of a matrix product?
#     - Multiply g (…, kernels, places) by the columns turned (…, places, entries). Every picture used the same kernels, so sum over axis 0. Then reshape.
#     - "the product of g and columns, one of them with .mT, then .sum(axis=0) and .reshape(...)"
#   misconceptions:
#     - name: averages over the pictures
#       says: >-
#         The gradients of the pictures were averaged. All of them used the same kernel, so they are added; the loss has divided by the size of the
#         batch already.
#       code: |
#         return (g @ columns.mT).mean(axis=0).reshape(shape)
#     - name: looks at the first picture
#       says: >-
#         Only one picture counted. The kernels were used on every one: sum over axis 0.
#       code: |
#         return (g @ columns.mT)[0].reshape(shape)
#     - name: reshapes without turning
#       says: >-
#         columns @ g.mT has the kernels last. They come first in the weights: turn the sum with .mT before the reshape, or multiply g @ columns.mT.
#       code: |
#         return (columns @ g.mT).sum(axis=0).reshape(shape)
# input_slope:
#   title: The gradient of the pictures
#   hints:
#     - For one picture the result was weights @ columns. What is the gradient of the second factor? And how do columns become pictures?
#     - Multiply the weights, turned, by g. That is the gradient of the columns. Fold it with the settings of the convolution.
#     - "fold(w.mT @ ..., shape, kernel_size, ...)"
#   misconceptions:
#     - name: folds with other settings
#       says: >-
#         Stride, padding or dilation did not reach fold, so the gradient lands on the wrong pixels, or does not fit. It takes the settings of the
#         convolution.
#       code: |
#         return fold(w.mT @ g, shape, kernel_size)
#     - name: a gradient for the absolute values
#       says: >-
#         The sign of the weights was lost. The slope with respect to a pixel is the weight it was multiplied by, negative ones included.
#       code: |
#         return fold(abs(w).mT @ g, shape, kernel_size, stride, padding, dilation)
#     - name: forgets the weights
#       says: >-
#         The gradient was handed to the pixels without the weights. A pixel's slope is the sum of the weights it met, each times the gradient of its place.
#       code: |
#         return fold(np.ones_like(w).mT @ g, shape, kernel_size, stride, padding, dilation)

# %% nbgrader={"grade": true, "grade_id": "test_kernel_slope", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_kernel_slope():
    x = np.array([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 10.0]]]])
    columns = unfold(x, 2).reshape(1, 1, 4, 4)
    check(kernel_slope(np.ones((1, 1, 2, 2)), columns, (1, 1, 2, 2)), [[[[12.0, 16.0], [24.0, 29.0]]]])
    check(kernel_slope(np.array([[[[1.0, 10.0], [100.0, 0.0]]]]), columns, (1, 1, 2, 2)), [[[[421.0, 532.0], [754.0, 865.0]]]])
    two = np.array([[[[1.0, 2.0]]], [[[10.0, 20.0]]]])
    g = np.array([[[[1.0]], [[-3.0]]], [[[1.0]], [[0.0]]]])
    check(kernel_slope(g, unfold(two, (1, 2)).reshape(2, 1, 2, 1), (2, 1, 1, 2)), [[[[11.0, 22.0]]], [[[-3.0, -6.0]]]])
    parts = np.array([[[[2.0]], [[5.0]]]])
    check(kernel_slope(g[:1], parts.reshape(1, 2, 1, 1), (2, 1, 1, 1)), [[[[2.0]]], [[[-15.0]]]])

test_kernel_slope()

# %% nbgrader={"grade": true, "grade_id": "test_input_slope", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_input_slope():
    w = np.array([[[[1.0, -2.0], [3.0, 4.0]]]])
    check(input_slope(np.ones((1, 1, 2, 2)), w, (1, 1, 3, 3))[0, 0], [[1.0, -1.0, -2.0], [4.0, 6.0, 2.0], [3.0, 7.0, 4.0]])
    g = np.array([[[[1.0, 10.0], [100.0, 1000.0]]]])
    check(input_slope(g, w, (1, 1, 2, 2), 2, 1)[0, 0], [[4.0, 30.0], [-200.0, 1000.0]])
    check(input_slope(g[:, :, :1, :1], w, (1, 1, 3, 3), 1, 0, 2)[0, 0], [[1.0, 0.0, -2.0], [0.0, 0.0, 0.0], [3.0, 0.0, 4.0]])
    mixed = np.array([[[[1.0]], [[2.0]]], [[[10.0]], [[20.0]]]])
    check(input_slope(np.array([[[[1.0]], [[3.0]]]]), mixed, (1, 2, 1, 1)), [[[[31.0]], [[62.0]]]])
    check(input_slope(np.array([[[[1.0]], [[3.0]]]]), mixed[:, :1], (1, 2, 1, 1), 1, 0, 1, 2), [[[[1.0]], [[30.0]]]])

test_input_slope()

# %% [markdown]
# The rules against measured slopes, with all settings at once. The second line differentiates twice: it goes through
# the composition, and so through the rows of `unfold` and `fold`, each of which is the other's.

# %%
rng = np.random.default_rng(0)
x, w, b = rng.standard_normal((2, 4, 5, 6)), rng.standard_normal((6, 2, 3, 2)), rng.standard_normal(6)


def convolved(x, w, b):
    return conv2d(x, w, b, stride=(2, 1), padding=1, dilation=(1, 2), groups=2)


print("largest relative error of the rules        ", check_gradients(lambda x, w, b: (convolved(x, w, b) ** 2).sum(), x, w, b))


def squared_slopes(x, w):
    """The sum of squares of a convolution's gradients, itself to be differentiated."""
    slopes = grad(lambda x, w: (convolved(x, w, b) ** 2).sum(), (0, 1))(x, w)
    return sum((g * g).sum() for g in slopes)


print("... of the gradients of their gradients    ", check_gradients(squared_slopes, x, w, entries=30))

# %% [markdown]
# ### The gradient of a convolution is a convolution
#
# Products and folds are how the gradients are computed. What they *are* can be said more simply. A pixel of the
# picture was met by entry (i, j) of the kernel when the kernel lay i rows above it. Seen from the pixel, the kernel
# is turned round. So the gradient of the pictures is the incoming gradient, framed by zeros, seen through the turned
# kernels, with kernels and channels exchanged. And the gradient of the kernels is the pictures seen through the
# incoming gradient, as if that were a kernel, a large one. (So it is for a stride of 1. A larger one leaves gaps between
# the entries of the incoming gradient: zeros for the first claim, a dilation for the second.) Both claims checked:

# %%
x, w = rng.standard_normal((2, 3, 7, 7)), rng.standard_normal((4, 3, 3, 3))
g = rng.standard_normal((2, 4, 5, 5))
turned = w[:, :, ::-1, ::-1].swapaxes(0, 1)
_, columns = conv2d.__wrapped__(x, w, np.zeros(4))  # the function as it was written, which gives the columns too
print("pictures", abs(conv2d(g, turned, np.zeros(3), padding=2) - input_slope(g, w, x.shape)).max())
seen = conv2d(x.swapaxes(0, 1), g.swapaxes(0, 1), np.zeros(4)).swapaxes(0, 1)
print("kernels ", abs(seen - kernel_slope(g, columns, w.shape)).max())

# %% [markdown]
# ## The layer
#
# `Conv2D` holds kernels and a bias, and checks its settings. The starting values are He's, since a ReLU usually
# follows. A unit adds `C kh kw` products here, and `fans` from the layers chapter counts that if the window's axes
# stand in front; so the initialiser is asked for `(kh, kw, C, O)`, and the axes are put where the operation wants
# them.

# %%
#| export
class Conv2D(Module):
    """Kernels that see every window of a picture.

    Parameters
    ----------
    in_channels, out_channels : int, at least 1
        Channels of the pictures, and number of kernels.
    kernel_size, stride, padding, dilation : int, or pair of int
        Down and across.
    groups : int
        Parts that the channels are divided into; each kernel sees one part.
    use_bias : bool
    weight_init : callable ``(shape, rng) -> array``
        Starting values, asked for in the shape (kh, kw, in_channels / groups, out_channels).
    rng : Generator, seed, or None

    Attributes
    ----------
    weights : Parameter, shape (out_channels, in_channels / groups, kh, kw)
    bias : Parameter, shape (out_channels,), zeros at first; or None
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size, stride=1, padding=0, dilation=1, groups: int = 1,
                 use_bias: bool = True, weight_init=he_normal, rng=None):
        self.in_channels = checked_size(in_channels, "Conv2D", "in_channels")
        self.out_channels = checked_size(out_channels, "Conv2D", "out_channels")
        self.kernel_size, self.stride = pair("Conv2D", "kernel_size", kernel_size), pair("Conv2D", "stride", stride)
        self.padding, self.dilation = pair("Conv2D", "padding", padding, 0), pair("Conv2D", "dilation", dilation)
        self.groups = checked_size(groups, "Conv2D", "groups")
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                f"Conv2D: {self.groups} groups do not divide {self.in_channels} input and {self.out_channels} output channels\n"
                "  into equal parts. groups has to divide both numbers."
            )
        if not callable(weight_init):
            raise TypeError(f"Conv2D: weight_init is {weight_init!r:.60}, expected a function such as he_normal.")
        shape = (*self.kernel_size, self.in_channels // self.groups, self.out_channels)
        weights = np.asarray(weight_init(shape, np.random.default_rng(rng)))
        if weights.shape != shape:
            raise ValueError(f"Conv2D: weight_init returned the shape {weights.shape}, expected {shape}.")
        self.weights = Parameter(weights.transpose(3, 2, 0, 1), dtype=np.float32)
        self.bias = Parameter(np.zeros(self.out_channels), dtype=np.float32) if use_bias else None

    def forward(self, x):
        """Feature maps (N, out_channels, OH, OW) of pictures (N, in_channels, H, W)."""
        bias = np.zeros(self.out_channels, np.float32) if self.bias is None else self.bias
        return conv2d(as_tensor(x), self.weights, bias, self.stride, self.padding, self.dilation, self.groups)

    def __repr__(self):
        usual = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
        values = {"kernel_size": self.kernel_size, **{k: getattr(self, k) for k in usual if getattr(self, k) != usual[k]}}
        told = [f"{k}={v[0] if isinstance(v, tuple) and v[0] == v[1] else v}" for k, v in values.items()]
        without = ["use_bias=False"] if self.bias is None else []
        return f"Conv2D({', '.join([str(self.in_channels), str(self.out_channels), *told, *without])})"


Conv2d = Conv2D  # the name in PyTorch


# %% nbgrader={"grade": true, "grade_id": "test_layer__conv2d", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_conv2d_layer():
    layer = Conv2D(2, 6, (3, 1), padding=(1, 0), rng=0)
    check(layer.weights.shape, (6, 2, 3, 1))
    check([name for name, _ in layer.named_parameters()], ["weights", "bias"])
    check(layer(np.ones((5, 2, 4, 4), np.float32)).shape, (5, 6, 4, 4))
    check(Conv2D(16, 64, 5, rng=0).weights.data.std(), np.sqrt(2 / 400), rtol=0.02)
    check(repr(Conv2D(4, 8, 3, stride=2, groups=4, use_bias=False)), "Conv2D(4, 8, kernel_size=3, stride=2, groups=4, use_bias=False)")
    check_raises(ValueError, lambda: Conv2D(3, 4, 3, groups=2), "2 groups do not divide 3")
    check_raises(ValueError, lambda: layer(np.ones((5, 3, 4, 4), np.float32)), "Conv2D(2, 6, kernel_size=(3, 1)) got 3 channels")
    check_raises(TypeError, lambda: layer(np.ones((5, 2, 4, 4), np.uint8)), "uint8")

test_conv2d_layer()

# %%
layer = Conv2D(1, 8, 3, padding=1, rng=0)
out = layer(training.features[:4])
print(layer, ":", training.features[:4].shape, "->", out.shape, " parameters:", count_parameters(layer))

# %% [markdown]
# ## Pooling
#
# That a corner is in the picture matters; where exactly, to the pixel, does not. *Max pooling* keeps the largest
# entry of every window and drops the others, usually with a window of 2 and a stride of 2. The picture shrinks to a
# quarter, small shifts matter less, and the layers behind it have less to do.
#
# Going back, only the largest entry of a window gets the gradient: a little change to any other would change nothing.
# And where two are equally large? Behind a ReLU that is no rare thing, since many entries are 0. `reduce_max` shared
# the gradient among them. Here we do as PyTorch does, and give it to the first one, reading row by row. So the
# forward pass remembers for each window which entry it was.
#
# All windows go through the loop together: first entry 0 of every window, as one array, then entry 1 of every window, and
# so on. For a single window with the entries 3, 5, 2, 5, what is kept should be:
#
# | entry | its value | largest so far | which it was |
# |---|---|---|---|
# | 0 | 3 | 3 | 0 |
# | 1 | 5 | 5 | 1 |
# | 2 | 2 | 5 | 1 |
# | 3 | 5 | 5 | 1: as large, but not the first |

# %% nbgrader={"grade": false, "grade_id": "max_pool2d", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def explain_pool(x: tuple, kernel_size, stride=None, padding=0) -> str:
    """Why pictures and settings of a pooling do not fit; empty where they do."""
    try:
        kernel_size, stride, padding = pool_settings("pooling", kernel_size, stride, padding)
        if problem := wrong_images(x):
            return f"pooling {problem}"
        places(x, kernel_size, stride, padding, 1)
    except ValueError as error:
        return str(error) if str(error).startswith("pooling") else f"pooling got pictures of {x[2]} x {x[3]}: {error}"
    return ""


def pool_settings(layer: str, kernel_size, stride=None, padding=0):
    """The settings of a pooling as pairs; without a stride, window beside window."""
    kernel_size, padding = pair(layer, "kernel_size", kernel_size), pair(layer, "padding", padding, 0)
    if any(2 * p > k for p, k in zip(padding, kernel_size)):
        raise ValueError(
            f"{layer}: padding is {padding}, more than half of the window, {kernel_size}.\n"
            "  Some windows would see nothing but padding."
        )
    return kernel_size, kernel_size if stride is None else pair(layer, "stride", stride), padding


@operation(explain=explain_pool, keeps=True)
def max_pool2d(x, /, kernel_size, stride=None, padding=0):
    """The largest entry of every window.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
    kernel_size, stride, padding : int, or pair of int
        Without a stride it is the size of the window. Padding is never the largest.

    Returns
    -------
    out : array, shape (N, C, OH, OW)
    which : array of small integers, the same shape
        The number of the entry that was largest, counted row by row; the first of several. Callers get `out` alone.

    Notes
    -----
    `out` begins as entry 0 of all windows, and the loop goes through the others; `number` is k as an integer as small
    as those in `which`. ``entry > out`` is where the next one is larger. ``np.copyto(a, k, where=mask)`` writes k
    where a mask is true; for numbers that grow, ``np.maximum(a, mask * number, out=a)`` does the same, several times
    faster.
    """
    kernel_size, stride, padding = pool_settings("pooling", kernel_size, stride, padding)
    view = windows(padded(checked_images(x, "pooling"), padding, -np.inf), kernel_size, stride)
    entries = [view[:, :, i, j] for i in range(kernel_size[0]) for j in range(kernel_size[1])]
    out, which = entries[0].copy(), np.zeros(entries[0].shape, np.min_scalar_type(len(entries)))
    for k, entry in enumerate(entries[1:], 1):
        number = which.dtype.type(k)
        ### BEGIN SOLUTION max_pool2d
        np.maximum(which, (entry > out) * number, out=which)  # numbers grow: the maximum writes this one over any before
        np.maximum(out, entry, out=out)
        ### END SOLUTION
    return out, which


# %% [raw] tags=["exercise"]
# max_pool2d:
#   title: The largest of every window
#   hints:
#     - Somebody reads you numbers one by one, and in the end you have to say the largest one and when it came. What do you keep in mind?
#     - Where the entry is larger than what out holds so far, write k into which. After that, let out hold the larger of the two. The order matters.
#     - "np.maximum(which, (...) * number, out=which), and then the same for out, with the entry itself"
#   misconceptions:
#     - name: the last of several
#       says: >-
#         Of equally large entries the last one was remembered. The first one counts: write k only where the entry is larger, not where it is as large.
#       code: |
#         np.maximum(which, (entry >= out) * number, out=which)
#         np.maximum(out, entry, out=out)
#     - name: looks after it has updated
#       says: >-
#         Every gradient went to entry 0 of its window: which was never written. Was out updated before it was compared? Then no entry is larger than
#         out. Compare first, and write k where the entry is larger.
#       code: |
#         np.maximum(out, entry, out=out)
#         np.maximum(which, (entry > out) * number, out=which)
#     - name: adds up
#       says: >-
#         The entries were added up. Pooling keeps the largest one.
#       code: |
#         np.maximum(which, (entry > out) * number, out=which)
#         out += entry
#     - name: keeps the last entry
#       says: >-
#         out was replaced by every entry, also by smaller ones. Keep the larger of the two.
#       code: |
#         np.maximum(which, (entry > out) * number, out=which)
#         out[...] = entry

# %% [markdown]
# The way back puts each gradient where the largest entry was, `spread_largest`. Its own way back collects from these
# places, `take_largest`, and the two are each other's rows, as `fold` and `unfold` are. So pooling, too, can be
# differentiated as often as one likes.

# %%
#| export
@operation
def spread_largest(g, /, which, shape, kernel_size, stride=None, padding=0):
    """Zeros of `shape` with each entry of g (N, C, OH, OW) added at entry `which` of its window."""
    (kh, kw), (sh, sw), (ph, pw) = pool_settings("pooling", kernel_size, stride, padding)
    n, c, h, w = shape
    oh, ow = g.shape[2:]
    out = np.zeros((n, c, h + 2 * ph, w + 2 * pw), g.dtype)
    apart = sh >= kh and sw >= kw  # then no pixel is in two windows, and nothing has to be added up
    for k in range(kh * kw):
        pixels = out[:, :, met(k // kw, oh, sh, 1), met(k % kw, ow, sw, 1)]
        pixels[...] = g * (which == k) if apart else pixels + g * (which == k)
    return out[:, :, ph : ph + h, pw : pw + w]


@operation
def take_largest(x, /, which, kernel_size, stride=None, padding=0):
    """Of every window of x (N, C, H, W) the entry `which` (N, C, OH, OW)."""
    kernel_size, stride, padding = pool_settings("pooling", kernel_size, stride, padding)
    view = windows(padded(x, padding), kernel_size, stride)
    kh, kw = kernel_size
    return sum(view[:, :, k // kw, k % kw] * (which == k) for k in range(kh * kw))


# fmt: off
gradient(max_pool2d, x=lambda g, kept, x_shape, kernel_size, stride, padding:
         spread_largest(g, kept, x_shape, kernel_size, stride, padding))
gradient(spread_largest, g=lambda g, which, kernel_size, stride, padding:
         take_largest(g, which, kernel_size, stride, padding))
gradient(take_largest, x=lambda g, which, x_shape, kernel_size, stride, padding:
         spread_largest(g, which, x_shape, kernel_size, stride, padding))
# fmt: on

# %% nbgrader={"grade": true, "grade_id": "test_max_pool2d", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_max_pool2d():
    x = [[[[1.0, 3.0, 0.0, 0.0], [2.0, -1.0, 0.0, 0.0], [5.0, 4.0, -8.0, -6.0], [4.0, 6.0, -7.0, -9.0]]]]
    check(max_pool2d(Tensor(x), 2), [[[[3.0, 0.0], [6.0, -6.0]]]])
    check(max_pool2d(Tensor(x), (1, 2), stride=(2, 1)), [[[[3.0, 3.0, 0.0], [5.0, 4.0, -6.0]]]])
    check(max_pool2d(Tensor(x), 3, 2, padding=1), [[[[3.0, 3.0], [6.0, 6.0]]]])
    v = Variable(x)
    max_pool2d(v, 2).backward([[[[1.0, 10.0], [100.0, 1000.0]]]])
    check(v.grad[0, 0], [[0.0, 1.0, 10.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1000.0], [0.0, 100.0, 0.0, 0.0]])
    v = Variable(x)
    max_pool2d(v, 3, stride=1).sum().backward()
    check(v.grad[0, 0], [[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]])
    check_raises(ValueError, lambda: max_pool2d(Tensor(x), 2, padding=2), "more than half of the window")
    check_raises(ValueError, lambda: max_pool2d(Tensor(x), 5), "does not fit on 4 pixels")

test_max_pool2d()

# %% [markdown]
# *Average pooling* takes the mean of each window. It is a composition of what is there: the windows as columns, and a
# mean. `Flatten` makes rows of the feature maps for the dense layers at the end of a network.

# %%
#| export
def avg_pool2d(x, kernel_size, stride=None, padding=0):
    """The mean of every window, zeros of the padding included.

    Parameters
    ----------
    x : Tensor or array, shape (N, C, H, W)
    kernel_size, stride, padding : int, or pair of int
        Without a stride it is the size of the window.

    Returns
    -------
    shape (N, C, OH, OW)
    """
    if problem := explain_pool(np.shape(x), kernel_size, stride, padding):
        raise ValueError(problem)
    kernel_size, stride, padding = pool_settings("pooling", kernel_size, stride, padding)
    n, c = x.shape[:2]
    columns = reshape(unfold(x, kernel_size, stride, padding), (n, c, kernel_size[0] * kernel_size[1], -1))
    return reshape(mean(columns, axis=2), (n, c, *places(x.shape, kernel_size, stride, padding, 1)))


class MaxPool2D(Module):
    """The largest entry of every window of every channel.

    Parameters
    ----------
    kernel_size : int, or pair of int
    stride : int, or pair of int, optional
        The size of the window without it.
    padding : int, or pair of int
        At most half of the window.
    """

    def __init__(self, kernel_size, stride=None, padding=0):
        self.kernel_size, self.stride, self.padding = pool_settings(type(self).__name__, kernel_size, stride, padding)

    def forward(self, x):
        """Pictures (N, C, H, W), made smaller."""
        return max_pool2d(as_tensor(x), self.kernel_size, self.stride, self.padding)

    def __repr__(self):
        settings = [self.kernel_size, *([self.stride] if self.stride != self.kernel_size or any(self.padding) else [])]
        told = [str(v[0] if v[0] == v[1] else v) for v in settings]
        down, across = self.padding
        frame = [f"padding={down if down == across else self.padding}"] if down or across else []
        return f"{type(self).__name__}({', '.join(told + frame)})"


class AvgPool2D(MaxPool2D):
    """The mean of every window of every channel. Takes what `MaxPool2D` takes."""

    def forward(self, x):
        """Pictures (N, C, H, W), made smaller."""
        return avg_pool2d(as_tensor(x), self.kernel_size, self.stride, self.padding)


class Flatten(Module):
    """Each sample in one row: (N, ...) becomes (N, D)."""

    def forward(self, x):
        """x in two axes."""
        x = as_tensor(x)
        if x.ndim == 0:
            raise ValueError("Flatten got a single number, expected samples: (N, ...).")
        return reshape(x, (len(x), int(np.prod(x.shape[1:]))))

    def __repr__(self):
        return "Flatten()"


MaxPool2d, AvgPool2d = MaxPool2D, AvgPool2D  # the names in PyTorch


# %%
seen, later = (Tensor(conv2d_naive(picture, edge)[None, None]) for picture in (framed, np.roll(framed, 1, axis=1)))
for name, pool in (("feature map", lambda x: x), ("largest of 2 x 2", MaxPool2D(2)), ("mean of 2 x 2", AvgPool2D(2))):
    before, after = pool(seen).numpy(), pool(later).numpy()
    change = np.linalg.norm(after - before) / np.linalg.norm(before)
    print(f"{name:18s} {before.shape[2:]!s:9s} change when the digit moves by a pixel: {change:.2f}")

# %% [markdown]
# Relative to its size the pooled map changes less than the map itself. It is not blind to the shift, only more
# tolerant.
#
# ## How far a unit sees
#
# A unit in the second layer sees a window of units that see windows of pixels. The pixels that can reach it are its
# *receptive field*. How large is it? Go through the layers and keep two numbers: the `field`, and the `jump`, how
# many pixels lie between neighbouring units. At the picture itself both are 1. A kernel of k adds k - 1 steps, each
# of them a jump; a stride multiplies the jump for what comes after. (One can also walk back, from a unit of the last
# layer to the pixels, and count how many units of each layer it needs. Both ways lead to the same number.)
#
# Take a kernel of 2 with a stride of 2, and then a kernel of 3. The first layer widens the field to 2, and its units lie 2
# pixels apart. The second layer sees three of these units: two steps more, of 2 pixels each.

# %% nbgrader={"grade": false, "grade_id": "receptive_field", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def receptive_field(layers: list[tuple[int, int]]) -> int:
    """How many pixels, along one axis, can reach a unit of the last layer.

    Parameters
    ----------
    layers : list of pairs (kernel, stride)
        Convolutions and poolings, from the picture on.

    Returns
    -------
    int
        1 without any layer.
    """
    field, jump = 1, 1
    ### BEGIN SOLUTION receptive_field
    for kernel, stride in layers:
        field += (kernel - 1) * jump
        jump *= stride
    ### END SOLUTION
    return field


# %% [raw] tags=["exercise"]
# receptive_field:
#   title: How far a unit sees
#   hints:
#     - Two kernels of 3, one after the other. How many pixels does the second one see? And if the first one had a stride of 2?
#     - For each layer, first widen the field by (kernel - 1) steps of the current jump, then multiply the jump by the stride.
#     - "field += (kernel - 1) * ..., and after that the jump grows"
#   misconceptions:
#     - name: forgets the jumps
#       says: >-
#         The field grew by kernel - 1 pixels in every layer. Behind a stride, neighbouring units lie several pixels apart, and so a kernel spans more.
#       code: |
#         for kernel, stride in layers:
#             field += kernel - 1
#     - name: jumps before it looks
#       says: >-
#         The stride of a layer was counted for its own kernel. It moves the kernel; it does not stretch it. It counts from the next layer on.
#       code: |
#         for kernel, stride in layers:
#             jump *= stride
#             field += (kernel - 1) * jump
#     - name: walks back in the wrong direction
#       says: >-
#         field = (field - 1) * stride + kernel is the rule for walking back: so many units of the layer before are needed for `field` units of this
#         one. It begins with one unit of the last layer, so it has to take the layers in reverse.
#       code: |
#         for kernel, stride in layers:
#             field = (field - 1) * stride + kernel
#     - name: adds whole kernels
#       says: >-
#         The field grew by the whole kernel. One entry of it lies where the field was already: kernel - 1 are new.
#       code: |
#         for kernel, stride in layers:
#             field += kernel * jump
#             jump *= stride

# %% nbgrader={"grade": true, "grade_id": "test_receptive_field", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_receptive_field():
    check(receptive_field([]), 1)
    check(receptive_field([(3, 1)]), 3)
    check(receptive_field([(3, 1), (3, 1)]), 5)
    check(receptive_field([(3, 1), (5, 2)]), 7)
    check(receptive_field([(3, 2), (3, 1)]), 7)
    check(receptive_field([(5, 1), (2, 2), (5, 1), (2, 2)]), 16)
    check(receptive_field([(1, 4), (3, 3), (2, 1)]), 21)

test_receptive_field()

# %% [markdown]
# A formula is a claim, and here the gradient can check it: the pixels that reach a unit are those with a slope. One
# unit in the middle, all weights positive, and the gradient of the pictures:

# %%
def positive(shape, rng):
    """Weights that hide nobody: all of them 1."""
    return np.ones(shape)


stacks = {
    "two kernels of 3": [Conv2D(1, 1, 3, weight_init=positive), Conv2D(1, 1, 3, weight_init=positive)],
    "two kernels of 5, each pooled": [Conv2D(1, 1, 5, weight_init=positive), AvgPool2D(2), Conv2D(1, 1, 5, weight_init=positive), AvgPool2D(2)],
}
fig, axes = plt.subplots(1, 2, figsize=(6.5, 3.2), layout="constrained")
for ax, (name, layers) in zip(axes, stacks.items()):
    x = Variable(np.zeros((1, 1, 28, 28), np.float32))
    out = Sequential(layers)(x)
    out[0, 0, out.shape[2] // 2, out.shape[3] // 2].backward()
    reached = x.grad.numpy()[0, 0]
    formula = receptive_field([(layer.kernel_size[0], layer.stride[0]) for layer in layers])
    rows = int((reached != 0).any(axis=1).sum())
    print(f"{name:30s} by the formula {formula:2d} pixels, by the gradient {rows:2d}")
    ax.imshow(reached, cmap="cividis")
    ax.set_title(f"{name}: {rows} x {rows}", fontsize=10)
    ax.set(xlabel="pixel", ylabel="pixel")
fig.suptitle("Two poolings let a unit see more than half of the width")
plt.show()

# %% [markdown]
# ## Batch normalisation
#
# He's starting values give the numbers in a network a healthy size, once. Layer normalisation restored it at every
# step, row by row. For pictures another direction suits better: a channel is one question asked everywhere, so its
# answers over all places and all pictures of the batch are measured with one yardstick. *Batch normalisation* (Ioffe
# & Szegedy 2015) gives each channel mean 0 and variance 1 over the batch, and then a factor `gain` and an offset
# `bias` that training finds.
#
# First the two statistics. The channels are axis 1, whether pictures `(N, C, H, W)` or rows `(N, C)` come.

# %% nbgrader={"grade": false, "grade_id": "channel_statistics", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def channel_statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of every channel, over the batch and all places.

    Parameters
    ----------
    x : array, shape (N, C, ...)

    Returns
    -------
    mean, variance : arrays, shape (C,)
        The variance is the mean squared distance from the mean, divided by the number of entries.

    Notes
    -----
    `flat` is x with all places in one axis, (N, C, L). ``mean[:, None]`` (C, 1) broadcasts against it.
    Sums along the last axis first are the fastest: ``np.vecdot(a, a)`` is the sum of squares along it.
    """
    flat = x.reshape(len(x), x.shape[1], -1)
    count = flat.shape[0] * flat.shape[2]
    ### BEGIN SOLUTION channel_statistics
    mean = flat.sum(axis=2).sum(axis=0) / count
    distance = flat - mean[:, None]
    return mean, np.vecdot(distance, distance).sum(axis=0) / count
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# channel_statistics:
#   title: One yardstick for each channel
#   hints:
#     - Which axes of flat (N, C, L) have to disappear, and what is divided by how many?
#     - Sum over places and pictures and divide by count, for the mean. Subtract it from every entry of its channel, square, and do the same again.
#     - "mean[:, None] subtracted from flat; the variance is the mean of the squares of that, over ..."
#   misconceptions:
#     - name: over the batch only
#       says: >-
#         Every place got statistics of its own. A kernel asks the same question everywhere, so all places of a channel count together.
#       code: |
#         mean = flat.mean(axis=0)
#         return mean, flat.var(axis=0)
#     - name: over each picture
#       says: >-
#         Pictures were measured one by one, and the results averaged. The variance of the batch also counts how much the pictures differ from each other.
#       code: |
#         return flat.mean(axis=2).mean(axis=0), flat.var(axis=2).mean(axis=0)
#     - name: one yardstick for all channels
#       says: >-
#         All channels were thrown together. Each channel has a mean and a variance of its own; axis 1 stays.
#       code: |
#         return np.full(flat.shape[1], flat.mean()), np.full(flat.shape[1], flat.var())
#     - name: the mean of the squares less the square of the mean
#       says: >-
#         On paper that is the variance. But the two numbers are large and nearly equal where the mean is large against the deviation, and the digits in
#         which they differ were rounded away. Subtract the mean first, then square.
#       code: |
#         mean = flat.mean(axis=(0, 2))
#         return mean, (flat * flat).mean(axis=(0, 2)) - mean * mean
#     - name: divides by n - 1
#       says: >-
#         The variance was divided by the number of entries less one. The batch is normalised by its own variance: divide by all entries.
#       code: |
#         return flat.mean(axis=(0, 2)), flat.var(axis=(0, 2), ddof=1)

# %% nbgrader={"grade": true, "grade_id": "test_channel_statistics", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_channel_statistics():
    check(channel_statistics(np.array([[1.0, 10.0], [3.0, 40.0]])), (np.array([2.0, 25.0]), np.array([1.0, 225.0])))
    x = np.array([[[[1.0, 3.0]], [[0.0, 0.0]]], [[[5.0, 7.0]], [[2.0, -2.0]]]])
    check(channel_statistics(x), (np.array([4.0, 0.0]), np.array([5.0, 2.0])))
    bright = np.array([[9999.0], [10001.0]], np.float32)  # a mean of 10,000, and both one away from it
    check(channel_statistics(bright)[1], [1.0])
    check(channel_statistics(np.array([[99999999.0], [100000001.0]]))[1], [1.0])
    check(str(channel_statistics(np.ones((2, 3, 4), np.float32))[1].dtype), "float32")

test_channel_statistics()

# %% [markdown]
# The operation takes them, normalises, scales and shifts. Its gradient has to know that mean and variance depend on
# every entry: moving one moves them all. That is the same formula as for layer normalisation, with other axes.

# %%
#| export
def explain_batch_norm(x: tuple, gain: tuple, bias: tuple, mean=None, variance=None, epsilon=None) -> str:
    """Why the shapes of a batch normalisation do not fit; empty where they do."""
    if len(gain) != 1 or bias != gain:
        return f"batch_norm: gain {gain} and bias {bias} do not belong together. Expected (C,) and (C,)."
    if len(x) < 2 or x[1:2] != gain:
        got = f"{x[1]} channels" if len(x) > 1 else f"an input of shape {x}"
        return f"BatchNorm({gain[0]}) got {got}: the input is {x}, expected (N, {gain[0]}) or (N, {gain[0]}, H, W)."
    return f"BatchNorm({gain[0]}) got an empty batch, {x}." if 0 in x else ""


def batch_norm_composed(x, gain, bias, mean=None, variance=None, epsilon=1e-5):
    """What `batch_norm` equals, written with operations; mean and variance are computed again."""
    axes, channels = (0, *range(2, x.ndim)), (1, -1, *[1] * (x.ndim - 2))
    distance = x - x.mean(axis=axes, keepdims=True)
    normal = distance / sqrt((distance * distance).mean(axis=axes, keepdims=True) + epsilon)
    return normal * reshape(gain, channels) + reshape(bias, channels)


@operation(explain=explain_batch_norm, keeps=True)
def batch_norm(x, gain, bias, /, mean, variance, epsilon=1e-5):
    """Each channel with mean 0 and variance 1 over the batch, then times `gain` plus `bias`.

    Parameters
    ----------
    x : array, shape (N, C, ...)
    gain, bias : array, shape (C,)
    mean, variance : array, shape (C,)
        The statistics of this very x, from `channel_statistics`. The derivative counts on that.
    epsilon : float
        Added to the variance.

    Returns
    -------
    out : array like x
    kept : tuple
        ``normal (N, C, L)``, the channels before gain and bias, and ``inverse_std (C, 1)``. Callers get `out` alone.
    """
    flat = x.reshape(len(x), x.shape[1], -1)
    inverse_std = 1 / np.sqrt(variance + float(epsilon))[:, None]
    normal = flat - mean[:, None]
    normal *= inverse_std
    out = normal * gain[:, None]
    out += bias[:, None]
    return out.reshape(x.shape), (normal, inverse_std)


def batch_norm_slope(g: np.ndarray, kept, gain: np.ndarray) -> np.ndarray:
    """Gradient of the input of a batch normalisation (Ioffe & Szegedy 2015)."""
    normal, inverse_std = kept
    flat = g.reshape(normal.shape)
    count = normal.shape[0] * normal.shape[2]
    along, across = flat.sum(axis=2).sum(axis=0) / count, np.vecdot(flat, normal).sum(axis=0) / count
    slope = flat - along[:, None]
    slope -= normal * across[:, None]
    slope *= gain[:, None] * inverse_std
    return slope.reshape(g.shape)


gradient(
    batch_norm,
    composition=batch_norm_composed,
    broadcasts=False,
    x=lambda g, kept, gain: batch_norm_slope(g, kept, gain),
    gain=lambda g, kept: np.vecdot(g.reshape(kept[0].shape), kept[0]).sum(axis=0),
    bias=lambda g: g.sum(axis=(0, *range(2, g.ndim))),
)

# %% [markdown]
# In use there may be a single picture, and its answer should not depend on who else is in the batch. So the layer has
# two modes. While training it normalises by the batch, and keeps a *running* mean and variance: each batch moves them
# by a fraction, `momentum`, towards its own. In use it normalises by these.
#
# A batch is a sample of all the pictures there are, and the variance of a sample, measured from its own mean, comes
# out too small on average, by a factor of (n - 1) / n. For the running variance that is put right; `count` is the
# number of entries in a channel.

# %% nbgrader={"grade": false, "grade_id": "running_statistics", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
class BatchNorm(Module):
    """Channels of mean 0 and variance 1, scaled and shifted by what training finds (Ioffe & Szegedy 2015).

    Parameters
    ----------
    size : int, at least 1
        Channels of pictures (N, C, H, W), or features of rows (N, C).
    momentum : float, 0 to 1
        How far a batch moves the running statistics towards its own.
    epsilon : float, positive

    Attributes
    ----------
    gain, bias : Parameters, shape (size,), ones and zeros at first
    running_mean, running_var : Tensors, shape (size,), zeros and ones at first
        Saved with the parameters; used in place of the batch's after `eval()`.
    """

    buffers = ("running_mean", "running_var")

    def __init__(self, size: int, momentum: float = 0.1, epsilon: float = 1e-5):
        self.size = checked_size(size, "BatchNorm", "size")
        if isinstance(momentum, bool) or not isinstance(momentum, (int, float, np.number)) or not 0 <= momentum <= 1:
            raise ValueError(f"BatchNorm: momentum is {momentum!r:.60}, expected a number from 0 to 1, such as 0.1.")
        if isinstance(epsilon, bool) or not isinstance(epsilon, (int, float, np.number)) or not epsilon > 0:
            raise ValueError(f"BatchNorm: epsilon is {epsilon!r:.60}, expected a small positive number such as 1e-5.")
        self.momentum, self.epsilon = float(momentum), float(epsilon)
        self.gain, self.bias = Parameter(np.ones(self.size, np.float32)), Parameter(np.zeros(self.size, np.float32))
        self.running_mean, self.running_var = Tensor(np.zeros(self.size, np.float32)), Tensor(np.ones(self.size, np.float32))

    def remember(self, mean: np.ndarray, variance: np.ndarray, count: int) -> None:
        """Move the running statistics towards those of a batch.

        Parameters
        ----------
        mean, variance : array, shape (size,)
        count : int, at least 2
            Entries of a channel that they were taken over.

        Notes
        -----
        Both move by ``self.momentum``: of the old value ``1 - self.momentum`` is kept. The variance counts
        as an estimate for all pictures, ``variance * count / (count - 1)``. The arrays are ``self.running_mean.data`` and
        ``self.running_var.data``; change them in place, so that whoever holds them sees the change, and their dtype stays.
        """
        ### BEGIN SOLUTION running_statistics
        for running, new in ((self.running_mean, mean), (self.running_var, variance * (count / (count - 1)))):
            running.data *= 1 - self.momentum
            running.data += self.momentum * new
        ### END SOLUTION

    def forward(self, x):
        """x (N, size, ...) with normalised channels."""
        x = as_tensor(x)
        if problem := explain_batch_norm(x.shape, self.gain.shape, self.bias.shape):
            raise ValueError(problem)
        if x.dtype.kind != "f":
            raise TypeError(f"BatchNorm({self.size}) got entries of type {x.dtype}, expected floats: x.astype(np.float32).")
        if not self.training:
            return self.in_use(x)
        count = x.size // self.size
        if count < 2:
            raise ValueError(
                f"BatchNorm({self.size}) got a single entry for each channel, of shape {x.shape}: its variance says nothing.\n"
                "  Train on larger batches (DataLoader(..., drop_last=True) leaves out a last one of 1),\n"
                "  or call model.eval() to use the running statistics."
            )
        mean, variance = channel_statistics(x.data)
        self.remember(mean, variance, count)
        return batch_norm(x, self.gain, self.bias, mean, variance, self.epsilon)

    def in_use(self, x):
        """x normalised by the running statistics: a factor and an offset for each channel."""
        channels = (-1, *[1] * (x.ndim - 2))
        scale = self.gain / np.sqrt(self.running_var.data + self.epsilon)
        return x * reshape(scale, channels) + reshape(self.bias - self.running_mean.data * scale, channels)

    def __repr__(self):
        return f"BatchNorm({self.size})"


BatchNorm1d = BatchNorm2d = BatchNorm  # the names in PyTorch

# %% [raw] tags=["exercise"]
# running_statistics:
#   title: A memory of all batches
#   hints:
#     - After a very long time of equal batches, what should the running mean be? And right after the first batch?
#     - Multiply the running array by 1 - momentum and add momentum times the new value, both in place. For the variance the new value is variance * count / (count - 1).
#     - "running.data *= ...; then add to it, in place, self.momentum times ..."
#   misconceptions:
#     - name: exchanges the two weights
#       says: >-
#         Old and new were exchanged: with a momentum of 0.1 the batch moves the memory by a tenth of the way, and nine tenths of the old value stay.
#       code: |
#         for running, new in ((self.running_mean, mean), (self.running_var, variance * (count / (count - 1)))):
#             running.data *= self.momentum
#             running.data += (1 - self.momentum) * new
#     - name: forgets nothing
#       says: >-
#         The new statistics were added, but nothing of the old ones was taken away, so the memory grows without end. Keep 1 - momentum of it.
#       code: |
#         self.running_mean.data += self.momentum * mean
#         self.running_var.data += self.momentum * variance * (count / (count - 1))
#     - name: the variance of the sample
#       says: >-
#         The batch's own variance was remembered. As an estimate for all pictures it is too small: multiply by count / (count - 1).
#       code: |
#         for running, new in ((self.running_mean, mean), (self.running_var, variance)):
#             running.data *= 1 - self.momentum
#             running.data += self.momentum * new
#     - name: new arrays
#       says: >-
#         The values are right, but they lie in new arrays, and whoever holds the old ones does not see the batch. A new array can also come in
#         another dtype. Change the arrays that are there: *=, += or [...] =.
#       code: |
#         self.running_mean.data = ((1 - self.momentum) * self.running_mean.data + self.momentum * mean).astype(np.float32)
#         self.running_var.data = ((1 - self.momentum) * self.running_var.data + self.momentum * variance * (count / (count - 1))).astype(np.float32)
#     - name: a name for the result
#       says: >-
#         Nothing moved. running = ... in a loop only gives the name running to a new array; the running statistics stay as they were. Change the arrays
#         themselves: running.data *= ..., then +=.
#       code: |
#         for running, new in ((self.running_mean.data, mean), (self.running_var.data, variance * (count / (count - 1)))):
#             running = (1 - self.momentum) * running + self.momentum * new
#     - name: remembers only the last batch
#       says: >-
#         The last batch replaced everything before it. The memory moves towards the batch by `momentum` only.
#       code: |
#         self.running_mean.data[...] = mean
#         self.running_var.data[...] = variance * (count / (count - 1))

# %% nbgrader={"grade": true, "grade_id": "test_running_statistics", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_running_statistics():
    norm = BatchNorm(2, momentum=0.1)
    held_mean, held_var = norm.running_mean.data, norm.running_var.data  # arrays, as somebody else may hold them
    norm.remember(np.array([2.0, 20.0]), np.array([3.0, 50.0]), 4)
    check(norm.running_mean, [0.2, 2.0])
    check(norm.running_var, [1.3, 7.566667])
    check(held_mean, [0.2, 2.0])
    check(held_var, [1.3, 7.566667])
    norm.remember(np.array([2.0, 20.0]), np.array([3.0, 50.0]), 4)
    check(norm.running_mean, [0.38, 3.8])
    check(str(norm.running_var.dtype), "float32")
    norm = BatchNorm(2, momentum=0.5)
    rows = Tensor([[1.0, 10.0], [3.0, 40.0]])
    check(norm(rows), [[-1.0, -1.0], [1.0, 1.0]], rtol=1e-4)
    check(norm.running_mean, [1.0, 12.5])
    check(norm.running_var, [1.5, 225.5])
    check(norm.eval()(rows)[0], [0.0, -0.166481])
    check(norm.running_mean, [1.0, 12.5])
    check(sorted(norm.state_dict()), ["bias", "gain", "running_mean", "running_var"])
    check_raises(ValueError, lambda: BatchNorm(2)(Tensor([[1.0, 2.0]])), "a single entry for each channel")

test_running_statistics()

# %% [markdown]
# The rules of the operation against measured slopes, for pictures, and gradients of gradients for rows:

# %%
def normalised(x, gain, bias):
    return batch_norm(x, gain, bias, *channel_statistics(np.asarray(x.detach())))


x, gain, bias = rng.standard_normal((3, 2, 2, 2)), rng.uniform(0.5, 2, 2), rng.standard_normal(2)
print("largest relative error ", check_gradients(lambda *inputs: (normalised(*inputs) ** 3).sum(), x, gain, bias))
twice = lambda x: (grad(lambda x: (normalised(x, gain, bias) ** 3).sum())(x) ** 2).sum()
print("... of a second gradient", check_gradients(twice, rng.standard_normal((5, 2)), rtol=1e-4))

# %% [markdown]
# *Dropout* for pictures drops whole feature maps. Neighbouring pixels of a map say nearly the same; with one of them
# dropped, the others tell (Tompson et al. 2015).

# %%
#| export
class Dropout2D(Dropout):
    """Sets whole channels of a picture to zero at random while training, and scales the others up (Tompson et al. 2015).

    Takes what `Dropout` takes: `rate`, the probability that a channel is dropped, and `rng`.
    """

    def forward(self, x):
        """Pictures (N, C, H, W) with some channels dropped while training; x itself otherwise."""
        x = as_tensor(x)
        if problem := wrong_images(x.shape):
            raise ValueError(f"{self!r} {problem}")
        if not self.training or self.rate == 0:
            return x
        keep = self.rng.random((*x.shape[:2], 1, 1), dtype=np.float32) >= self.rate
        return x * (keep * x.dtype.type(1 / (1 - self.rate)))

    def __repr__(self):
        return f"Dropout2D(rate={self.rate})"


# %% nbgrader={"grade": true, "grade_id": "test_layer__dropout2d", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_dropout2d():
    ones = Tensor(np.ones((200, 50, 2, 3), dtype=np.float32))
    out = Dropout2D(0.2, rng=0)(ones).numpy()
    check(np.unique(out), [0.0, 1.25])
    check((out == 0).mean(), 0.2, atol=0.01)
    check((out == out[:, :, :1, :1]).all(), True)
    check(Dropout2D(0.2).eval()(ones) is ones, True)

test_dropout2d()

# %% [markdown]
# ### The switch that is forgotten
#
# Two modes mean a switch, and a switch can be forgotten. Here is what that looks like, on a small network with batch
# normalisation: trained, and then asked about validation digits without `eval()`, in batches of various sizes. The
# last column sorts the digits by class first, so that each batch holds little else than one class, and its mean is no
# longer that of all digits.

# %%
def small_network(rng):
    rng = np.random.default_rng(rng)
    return Sequential([
        Conv2D(1, 8, 3, padding=1, rng=rng), BatchNorm(8), ReLU(), MaxPool2D(2),
        Conv2D(8, 16, 3, padding=1, rng=rng), BatchNorm(16), ReLU(), MaxPool2D(2),
        Flatten(), Dense(64, 10, rng=rng),
    ])  # fmt: skip


small = train(small_network(0), training, epochs=6)
in_order = validation.subset(np.argsort(validation.targets, kind="stable"))
print("with eval():", accuracy(small, validation.features, validation.targets))
print("without:   batch   accuracy   sorted by class")
for batch_size in (64, 16, 4, 1):
    found = []
    for data in (validation, in_order):
        copied = small_network(0)
        copied.load_state_dict(small.model.state_dict())  # a copy: asking in training mode moves the running statistics
        with no_grad():
            guesses = [copied(data.features[i : i + batch_size]).argmax(axis=1).numpy() for i in range(0, len(data), batch_size)]
        found.append((np.concatenate(guesses) == data.targets).mean())
    print(f"        {batch_size:7d}  {found[0]:9.3f}  {found[1]:16.3f}")

# %% [markdown]
# In large mixed batches hardly anything is lost, and so the mistake goes unnoticed until the pictures come one by
# one, or sorted. The `Trainer` sets the switch by itself, for `evaluate` and `predict`. Who calls the model directly
# has to do it: `model.eval()`.
#
# ## More pictures than there are
#
# A digit that was moved or turned a little is the same digit. So training can see it in a new position every time.
# The data chapter has `random_shift`; turning needs a little more, because a turned pixel grid does not fall on the
# old one. Go through the pixels of the *new* picture and ask where each comes from; then take the mean of the four
# pixels around, weighted by how near they are (*bilinear* interpolation).

# %%
#| export
def rotated(images: np.ndarray, degrees) -> np.ndarray:
    """Pictures turned about their middles, counter-clockwise.

    Parameters
    ----------
    images : array of floats, shape (N, height, width) or (N, channels, height, width)
    degrees : number, or array of N of them

    Returns
    -------
    array, same shape and dtype
        A copy, interpolated bilinearly. The pixels that come in are 0.
    """
    images, degrees = checked_pictures(images, "rotated"), number_array(degrees, "degrees of rotated")
    if degrees.shape not in ((), (len(images),)) or not np.isfinite(degrees).all():
        raise ValueError(f"rotated: degrees is {degrees!r:.60}. Expected a finite number, or one for each of the {len(images)} pictures.")
    angles = np.radians(np.broadcast_to(degrees, len(images)))[:, None, None]
    height, width = images.shape[-2:]
    down, across = np.meshgrid(np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2, indexing="ij")
    y = np.cos(angles) * down + np.sin(angles) * across + (height - 1) / 2
    x = np.cos(angles) * across - np.sin(angles) * down + (width - 1) / 2
    return interpolated(images, y, x).astype(images.dtype)


def random_rotation(images: np.ndarray, max_degrees: float = 10.0, rng: "np.random.Generator | int | None" = None) -> np.ndarray:
    """Turn every picture about its middle by up to `max_degrees` either way, each by chance its own.

    Parameters
    ----------
    images : array of floats, shape (N, height, width) or (N, channels, height, width)
    max_degrees : float
        Angles from -max_degrees to max_degrees are equally likely.
    rng : Generator, seed, or None
        Where the angles come from; None for angles that no run repeats.

    Returns
    -------
    array, same shape and dtype
        What `rotated` gives.
    """
    images, rng = checked_pictures(images, "random_rotation"), np.random.default_rng(rng)
    if isinstance(max_degrees, bool) or not isinstance(max_degrees, (int, float, np.number)) or not 0 <= max_degrees <= 180:
        raise ValueError(f"random_rotation: max_degrees is {max_degrees!r:.40}; it has to be a number from 0 to 180.")
    return rotated(images, rng.uniform(-max_degrees, max_degrees, len(images)))


def checked_pictures(images, function: str) -> np.ndarray:
    """`images` as an array, once it is seen to hold pictures of floats."""
    images = number_array(images, function)
    if images.ndim not in (3, 4) or images.dtype.kind != "f":
        raise ValueError(
            f"{function}: pictures of floats, (N, height, width) or (N, channels, height, width), are needed, "
            f"not {images.dtype} {images.shape}."
        )
    return images


def interpolated(images: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The pixels at the places (y, x) between pixels, each (N, height, width); outside the pictures they are 0."""
    height, width = images.shape[-2:]
    framed = np.pad(images, [(0, 0)] * (images.ndim - 2) + [(1, 1)] * 2)
    y, x = np.clip(y + 1, 0, height + 0.999), np.clip(x + 1, 0, width + 0.999)
    top, left = y.astype(int), x.astype(int)
    below, beside = y - top, x - left
    result, each = 0, np.arange(len(images))[:, None, None]
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = (below if i else 1 - below) * (beside if j else 1 - beside)
        pixels = framed[each, ..., top + i, left + j]  # the places first, then the channels where there are any
        result = result + pixels * (share if images.ndim == 3 else share[..., None])
    return result if images.ndim == 3 else np.moveaxis(result, -1, 1)


# %%
drawing = np.random.default_rng(0)
fig, axes = plt.subplots(1, 8, figsize=(8, 1.5), layout="constrained")
for i, ax in enumerate(axes):
    picture = training.features[3:4] if i == 0 else random_shift(random_rotation(training.features[3:4], 15, drawing), 1, drawing)
    ax.imshow(picture[0, 0], cmap="gray_r")
    ax.set(xticks=[], yticks=[])
fig.suptitle("The first one was written by hand, the others are the same turned and moved")
plt.show()

# %% [markdown]
# ## A network that reads digits
#
# Everything is there. The classic of the field is LeNet (LeCun et al. 1998): two convolutions with pooling, then
# three dense layers. It was made for digits of 28 by 28 pixels. (Ours has ReLU and max pooling, as one would build it
# today.)

# %%
#| export
def lenet(classes: int = 10, rng: "np.random.Generator | int | None" = None) -> Sequential:
    """LeNet-5 for pictures (N, 1, 28, 28), with ReLU and max pooling (LeCun et al. 1998)."""
    rng = np.random.default_rng(rng)
    return Sequential([
        Conv2D(1, 6, 5, padding=2, rng=rng), ReLU(), MaxPool2D(2),
        Conv2D(6, 16, 5, rng=rng), ReLU(), MaxPool2D(2), Flatten(),
        Dense(400, 120, weight_init=he_normal, rng=rng), ReLU(),
        Dense(120, 84, weight_init=he_normal, rng=rng), ReLU(), Dense(84, classes, rng=rng),
    ])  # fmt: skip


# %%
print(summary(lenet(rng=0), (1, 28, 28)))
convolutions = {"first": (28 * 28, 6 * 25), "second": (10 * 10, 16 * 150)}  # places, and weights that are used at each
for name, (laid, weights) in convolutions.items():
    print(f"{name + ' convolution':20s} {laid * weights:8,} multiplications, {laid} for each weight")
print(f"{'dense layers':20s} {400 * 120 + 120 * 84 + 84 * 10:8,} multiplications, 1 for each weight")

# %% [markdown]
# Most of its parameters sit in the first dense layer, and most of its work is done in the convolutions. That is
# typical: a convolution uses each of its weights at every place.
#
# Our digits are smaller, and so the network for them is `small_network` from above, somewhat wider. It learns twice:
# from the digits as they are, and from digits that are turned and moved anew each time. Then both, and the dense
# network from the beginning of the chapter, read validation digits as they are, and moved by a pixel.

# %%
def network(rng):
    rng = np.random.default_rng(rng)
    return Sequential([
        Conv2D(1, 16, 3, padding=1, rng=rng), BatchNorm(16), ReLU(), MaxPool2D(2),
        Conv2D(16, 32, 3, padding=1, rng=rng), BatchNorm(32), ReLU(), MaxPool2D(2),
        Flatten(), Dense(128, 10, rng=rng),
    ])  # fmt: skip


drawing = np.random.default_rng(0)
augmented = Transformed(training, lambda pictures: random_shift(random_rotation(pictures, 10, drawing), 1, drawing))
start = time.perf_counter()
plain_cnn, augmented_cnn = train(network(0), training), train(network(0), augmented)
print(f"{count_parameters(network(0)):,} parameters, {time.perf_counter() - start:.1f} s for both;   the dense one has {count_parameters(mlp.model):,}")
moved = np.roll(validation.features, 1, axis=3)
for name, trainer, shape in (("dense", mlp, (-1, 64)), ("convolutions", plain_cnn, (-1, 1, 8, 8)), ("..., turned and moved", augmented_cnn, (-1, 1, 8, 8))):
    found = [accuracy(trainer, features.reshape(shape), validation.targets) for features in (validation.features, moved)]
    print(f"{name:22s} validation {found[0]:.3f}   moved by a pixel {found[1]:.3f}")

# %% [markdown]
# The convolutions suffer less from the shift, although nobody showed them one; and with shifted pictures in training
# hardly anything is left of the problem. Note the order of ideas: equivariance is built in, and what is not built in
# (that a moved digit is the same digit, for the last dense layer too) is learned from examples.
#
# A single run on so few digits leaves a wide margin of chance. `tito demo cnn` trains longer, with several seeds,
# beside the dense network of `tito demo digits`, and is the only one to look at the test digits.
#
# ### Which digits are mistaken
#
# A fraction does not say what goes wrong. So look at the validation digits that the last network misreads, and read
# them yourself, before you look at the two numbers above each: what was meant, and what it was read as.

# %%
guesses = augmented_cnn.predict(validation.features).argmax(axis=1).numpy()
wrong = np.flatnonzero(guesses != validation.targets)
fig, axes = plt.subplots(1, 8, figsize=(8, 1.7), layout="constrained")
for ax in axes:
    ax.axis("off")
for ax, i in zip(axes, wrong):
    ax.imshow(validation.features[i, 0], cmap="gray_r")
    ax.set_title(f"{validation.targets[i]}, read as {guesses[i]}", fontsize=9)
fig.suptitle(f"{len(wrong)} of {len(validation)} validation digits are mistaken" + (", eight of them here" if len(wrong) > 8 else ""))
plt.show()

# %% [markdown]
# ### What the kernels have learned
#
# The first layer's weights can be looked at, since they weigh pixels. So can the feature maps they make.

# %%
first, model = augmented_cnn.model[0], augmented_cnn.model.eval()
picture = validation.features[validation.targets == 4][:1]
with no_grad():
    maps = model[2](model[1](first(picture))).numpy()[0]
fig, axes = plt.subplots(3, 9, figsize=(9, 3.3), layout="constrained", width_ratios=[1.0, *[1.0] * 8])
limit = abs(first.weights.data).max()
for ax in axes.ravel():
    ax.axis("off")
axes[1, 0].imshow(picture[0, 0], cmap="gray_r")
axes[1, 0].set_title("seen", fontsize=9)
order = np.argsort(-maps.sum(axis=(1, 2)))[:12]
for k, channel in enumerate(order):
    row, column = divmod(k, 4)
    axes[row, 1 + 2 * column].imshow(first.weights.data[channel, 0], cmap="PuOr", vmin=-limit, vmax=limit)
    axes[row, 2 + 2 * column].imshow(maps[channel], cmap="cividis")
fig.suptitle("Each kernel answers another question about the same digit")
plt.show()

# %% [markdown]
# Left a kernel, right the feature map that it makes of the digit, behind the ReLU. Some look for an edge of one
# direction, some for a spot, and nobody told them to.
#
# ## Against the real thing
#
# PyTorch has all of these layers, with the same axes. Where it is installed, the cell gives both libraries the same
# numbers, forward and back, and prints the largest difference.

# %%
try:
    import torch
except ImportError:
    print("PyTorch is not installed: nothing was compared")
else:
    x, w, b = rng.standard_normal((2, 4, 9, 8)), rng.standard_normal((6, 2, 3, 2)), rng.standard_normal(6)
    settings = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2}
    ours, theirs = [Variable(a) for a in (x, w, b)], [torch.tensor(a, requires_grad=True) for a in (x, w, b)]
    a, t = conv2d(*ours, **settings), torch.nn.functional.conv2d(*theirs, **settings)
    (a * a).sum().backward(), (t * t).sum().backward()
    differences = [abs(a.data - t.detach().numpy()).max(), *(abs(o.grad.numpy() - s.grad.numpy()).max() for o, s in zip(ours, theirs))]
    print("convolution, and its three gradients ", *(f"{d:.1e}" for d in differences))
    norm, their_norm = BatchNorm(4), torch.nn.BatchNorm2d(4).double()
    for name, our, their in (
        ("batch normalisation", norm, their_norm), ("max pooling", MaxPool2D(3, 2, 1), torch.nn.MaxPool2d(3, 2, 1)), ("average pooling", AvgPool2D(2), torch.nn.AvgPool2d(2)),
    ):
        v, u = Variable(x), torch.tensor(x, requires_grad=True)
        a, t = our(v), their(u)
        (a * a * a).sum().backward(), (t * t * t).sum().backward()
        print(f"{name:20s}", f"{abs(a.data - t.detach().numpy()).max():.1e}", f"{abs(v.grad.numpy() - u.grad.numpy()).max():.1e}")
    print("running statistics  ", f"{abs(norm.running_mean.data - their_norm.running_mean.numpy()).max():.1e}", f"{abs(norm.running_var.data - their_norm.running_var.numpy()).max():.1e}")

# %% [markdown]
# ## Where the time goes
#
# One step of LeNet on 32 pictures, taken apart. Columns are large arrays that live for a moment, and where the system
# takes freed memory back at once (Linux does), asking for it again can cost more than the arithmetic. `keep_memory`
# keeps it in the process; the kernels chapter has more to say on that.

# %%
model, loss_function = lenet(rng=0), CrossEntropyLoss()
x, y = Tensor(rng.standard_normal((32, 1, 28, 28)).astype(np.float32)), Tensor(rng.integers(0, 10, 32))
maps = np.maximum(rng.standard_normal((32, 6, 28, 28)).astype(np.float32), 0)
pooled = max_pool2d(Tensor(maps), 2).numpy()
kernels, offsets = model[3].weights.data, model[3].bias.data
g = rng.standard_normal((32, 16, 10, 10)).astype(np.float32)
columns = unfold(pooled, 5)


def step():
    model.zero_grad()
    loss_function(model(x), y).backward()


print(f"forward and backward of the network {1e3 * seconds(step, repeat=20):5.2f} ms")
keep_memory()
print(f"the same, memory kept               {1e3 * seconds(step, repeat=20):5.2f} ms, and of that in the second convolution")
for name, call in (
    ("windows into columns", lambda: unfold(pooled, 5)),
    ("all of the forward pass", lambda: conv2d(pooled, kernels, offsets)),
    ("gradient of the kernels", lambda: kernel_slope(g, columns[:, None], kernels.shape)),
    ("gradient of the pictures", lambda: input_slope(g, kernels, pooled.shape)),
    ("... of that, the fold", lambda: fold(columns, pooled.shape, 5)),
):
    print(f"  {name:26s} {1e3 * seconds(call, repeat=20):5.2f} ms")

# %% [markdown]
# Much of the time in both directions is spent on columns, making them and folding them back, and not on the products
# that they are made for. A library in a compiled language can do without and multiply out of the picture directly. With
# NumPy the columns are what makes one large product of many small ones.
#
# ## Where next
#
# - *A residual network.* Let a block compute `x + f(x)`, where f is two convolutions with batch normalisation (He et
#   al. 2016). Write it as a Module, stack ten of them, and compare their training with ten blocks that compute `f(x)`
#   alone.
# - *Depthwise separable convolutions.* Replace a 3 x 3 convolution by one with as many groups as channels, and a 1 x
#   1 convolution behind it (Howard et al. 2017). How many parameters, how much accuracy, how much time? Is the time
#   what the number of products would suggest?
# - *A transposed convolution* makes pictures larger: it is `input_slope` used as a forward pass. Write it as an
#   operation and give it a row.
# - *Where does it look?* The gradient of a class score with respect to the picture says which pixels matter (Simonyan
#   et al. 2014). Draw it for a digit that is mistaken.
#
# Left out here: three-dimensional and transposed convolutions, other paddings (reflection, wrapping round), kernels
# computed by Fourier transforms or Winograd's method, and the many compiled kernels among which a library such as
# PyTorch chooses for every size.
