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
#
# XOR, the question whether exactly one of two switches is on, was out of reach for a matrix product. The activations
# chapter ended with the bend that is missing, and with objects that hold it. What is still missing is the part
# between the bends: the matrices themselves, with numbers in them that somebody chose.
#
# This chapter builds that part. A *layer* is a function with numbers inside; the numbers are its *parameters*, and
# training will choose them. That asks for little: a product and a sum, done fast; starting values of the right size;
# and a way to find every parameter of a network, however deep it sits, so that it can be trained, saved and loaded.
# At the end of the chapter a network of two layers computes XOR. Its weights are still chosen by hand.

# %%
#| default_exp core.layers

# %%
#| export
from reprlib import recursive_repr

import numpy as np

from tinytorch.core.activations import floating
from tinytorch.core.tensor import Tensor, carries_dtype, matmul, mean, operation, sqrt, to_array, var, wrap

# %%
import copy

import matplotlib.pyplot as plt

from tinytorch.core.activations import ReLU, Tanh
from tinytorch.core.tensor import randn, set_recorder
from tinytorch.testing import check, check_raises
from tinytorch.timing import seconds
from tinytorch.watched import multiplies_whole_arrays, new_arrays

# %% [markdown]
# ## One unit, then many
#
# A *unit* weighs what comes in. It has one weight for each input and an offset, the *bias*, and its answer is the
# weighted sum. With two inputs:

# %%
x, weights, bias = [3.0, -1.0], [0.5, 2.0], 1.0
print(sum(a * b for a, b in zip(x, weights)) + bias)

# %% [markdown]
# A layer is several units that look at the same inputs, and a batch is several inputs for the same units. For every
# sample and every unit there is such a sum, so the answers form a matrix: with `x (N, D)`, samples in rows, and
# `w (D, K)`, units in columns, the sums without their biases are the matrix product `x @ w (N, K)`.
#
# Before trusting `@`, write it once, with no product but those of two numbers. Three loops: over the samples, over the
# units, and over the sum.

# %% nbgrader={"grade": false, "grade_id": "matmul_naive", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def matmul_naive(x, w):
    """The matrix product of two matrices, one multiplication at a time. Outside any derivative.

    Parameters
    ----------
    x : Tensor or array, shape (N, D)
    w : Tensor or array, shape (D, K)

    Returns
    -------
    shape (N, K), a Tensor where an input is one

    Raises
    ------
    ValueError
        Where an input is no matrix, or the inner sizes differ.

    Notes
    -----
    `out[n, k]` is the sum over d of `a[n, d] * b[d, k]`, and every product is one of two numbers. So no `@`,
    `np.dot` or `np.einsum`, and no `*` between rows: three loops, the third of which may be a `sum` over d.
    """
    # asanyarray keeps the class of an array, so that a test can watch what is done with it
    a, b = (np.asanyarray(m.data if isinstance(m, Tensor) else m) for m in (x, w))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"matmul_naive: expected shapes (N, D) and (D, K), got {a.shape} and {b.shape}.")
    out = np.zeros((a.shape[0], b.shape[1]), np.result_type(a, b))
    ### BEGIN SOLUTION matmul_naive
    for n in range(a.shape[0]):
        for k in range(b.shape[1]):
            for d in range(a.shape[1]):
                out[n, k] += a[n, d] * b[d, k]
    ### END SOLUTION
    return wrap(out) if isinstance(x, Tensor) or isinstance(w, Tensor) else out


# %% [raw] tags=["exercise"]
# matmul_naive:
#   title: Three loops
#   hints:
#     - Which two loops choose an entry of the result, and what does the third do for that entry?
#     - Loop n over the rows of a and k over the columns of b. For each pair, loop d over the shared axis and add a[n, d] * b[d, k] to out[n, k], which starts at zero.
#     - "out[n, k] += a[...] * b[...], where d is the second index of the one and the first of the other"
#   misconceptions:
#     - name: keeps only the last product
#       says: >-
#         Each entry is the last product of its sum: = replaced what was there. The products have to be added up, with
#         +=.
#       code: |
#         for n in range(a.shape[0]):
#             for k in range(b.shape[1]):
#                 for d in range(a.shape[1]):
#                     out[n, k] = a[n, d] * b[d, k]
#     - name: never starts a new sum
#       says: >-
#         The running total was not set back to zero for each entry, so every entry also contains all those before it.
#       code: |
#         total = 0
#         for n in range(a.shape[0]):
#             for k in range(b.shape[1]):
#                 for d in range(a.shape[1]):
#                     total += a[n, d] * b[d, k]
#                 out[n, k] = total
#     - name: reads the weights by rows
#       says: >-
#         The second matrix was read along its rows, b[k, d]. A unit's weights stand in a column: b[d, k].
#       code: |
#         for n in range(a.shape[0]):
#             for k in range(b.shape[1]):
#                 for d in range(a.shape[1]):
#                     out[n, k] += a[n, d] * b[k, d]
#     - name: leaves the products to NumPy
#       says: >-
#         The values are right, but whole rows or matrices were multiplied at once: by @, by np.dot, np.einsum or the
#         like, or by * between rows. Here every product is one of two numbers. Loop over n, k and d, and add
#         a[n, d] * b[d, k] to out[n, k].
#       code: |
#         out[...] = a @ b

# %% nbgrader={"grade": true, "grade_id": "test_matmul_naive", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_matmul_naive():
    check(matmul_naive([[1.0, 2.0], [3.0, 4.0]], [[1.0, 10.0], [100.0, 1000.0]]), [[201.0, 2010.0], [403.0, 4030.0]])
    check(matmul_naive([[1.0, 2.0, 3.0]], [[4.0], [5.0], [6.0]]), [[32.0]])
    check(matmul_naive(Tensor([[2.0], [3.0]]), Tensor([[1.0, 4.0, 5.0]])), [[2.0, 8.0, 10.0], [3.0, 12.0, 15.0]])
    check(type(matmul_naive(Tensor([[1.0]]), Tensor([[1.0]]))) is Tensor, True)
    check(multiplies_whole_arrays(matmul_naive, [[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]), False)
    check_raises(ValueError, lambda: matmul_naive([[1.0, 2.0]], [[1.0, 2.0]]), "(N, D) and (D, K)")

test_matmul_naive()

# %% [markdown]
# Now the comparison. Both do the same multiplications and additions.

# %%
rng = np.random.default_rng(0)
print("size    three loops         @      times faster")
for n in (8, 16, 32, 64):
    a, b = (rng.standard_normal((n, n), dtype=np.float32) for _ in range(2))
    slow, fast = seconds(lambda: matmul_naive(a, b)), seconds(lambda: a @ b, number=200)
    print(f"{n:4d}  {1e3 * slow:9.2f} ms  {1e3 * fast:9.4f} ms  {slow / fast:9.0f}")

# %% [markdown]
# Doubling the size multiplies the loops' time by about eight, as three nested loops should. A small product with `@`
# costs little more than the call itself, and at the last size it is thousands of times faster: a library tuned by
# hand reads memory in blocks that fit the cache, and multiplies several numbers with one instruction. The kernels
# chapter goes part of that way on foot. From here on we use `@`.
#
# ## The dense operation
#
# A *dense* layer computes `x @ w + b`: every input reaches every unit. Written like that it makes two arrays, one for
# the product and one for the sum. The product is ours alone, so the bias may be added to it in place, and the
# operation is *fused*, as GELU was.
#
# Often `x` has more than two axes. A batch of sentences is `(N, T, D)`: N sentences of T words with D features. The
# layer treats every row of D features alike, so put all rows into one tall matrix, do one product, and restore the
# shape.

# %%
#| export
def explain_dense(x: tuple, w: tuple, b: tuple) -> str:
    """Why the shapes of input, weights and bias do not fit; empty where they do."""
    if len(w) != 2 or b != w[1:]:
        return f"dense: weights {w} and bias {b} do not belong together. Expected (D, K) and (K,)."
    if not x:
        return f"Dense({w[0]}, {w[1]}) got a single number, expected rows of {w[0]} features: (..., {w[0]})."
    if x[-1] != w[0]:
        hint = f"Did you mean Dense({x[-1]}, {w[1]})?"
        if len(x) > 2 and int(np.prod(x[1:])) == w[0]:
            hint = "Put each sample into one row first: x.reshape(len(x), -1)."
        elif len(x) == 2 and x[0] == w[0]:
            hint = "Samples belong into rows. Did you mean x.T?"
        return f"Dense({w[0]}, {w[1]}) got {x[-1]} features: the input is {x}, expected (..., {w[0]}).\n  {hint}"
    return ""


def dense_composed(x, w, b):
    """What `dense` equals, written with operations."""
    return matmul(x, w) + b


# %% nbgrader={"grade": false, "grade_id": "dense", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
@operation(explain=explain_dense)
def dense(x, w, b, /):
    """x @ w + b, one matrix product and an addition in place.

    Parameters
    ----------
    x : array, shape (..., D)
    w : array, shape (D, K)
    b : array, shape (K,)

    Returns
    -------
    array, shape (..., K)

    Raises
    ------
    ValueError
        Where the shapes do not fit.

    Notes
    -----
    Equals `dense_composed`, which makes two new arrays, one for the product and one for the sum;
    make only the first. For two axes: the product, then ``out += b``. For any other
    number: ``x.reshape(-1, x.shape[-1])`` has all rows below each other; multiply,
    add, and give the result the shape ``(*x.shape[:-1], K)``.
    """
    if x.dtype.kind != "f":
        x = floating(x)
    if w.ndim != 2 or b.shape != w.shape[1:] or x.shape[-1:] != w.shape[:1]:
        raise ValueError(explain_dense(x.shape, w.shape, b.shape))
    ### BEGIN SOLUTION dense
    if x.ndim == 2:
        out = x.dot(w)  # the same as x @ w, which also has to find out how many axes there are
        out += b
        return out
    rows = x.reshape(-1, x.shape[-1]) @ w
    rows += b
    return rows.reshape(*x.shape[:-1], w.shape[1])
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# dense:
#   title: Product and bias in one
#   hints:
#     - Begin with an x of two axes. Which array of the two steps is yours, so that you may write into it?
#     - Reshape x to two axes where it has another number of them, multiply by w, add b in place, and reshape the result back; only its last axis has changed, from D to K.
#     - "rows = x.reshape(-1, ...) @ w; rows += b; and in the end rows.reshape(...), with every axis of x but the last, and then w.shape[1]"
#   misconceptions:
#     - name: forgets the bias
#       says: >-
#         The bias is missing. x @ w is only the first half; add b to every row.
#       code: |
#         return x @ w
#     - name: adds the bias before the product
#       says: >-
#         The bias was multiplied by the weights as well: brackets, or an addition to x before the product. It is
#         added to the result.
#       code: |
#         return (x + b[:1]) @ w
#     - name: a bias for each sample
#       says: >-
#         The bias was added down the rows: sample n got b[n]. It belongs to the units, the last axis of the result,
#         and every row gets the whole of it. Broadcasting does that without a reshape of b.
#       code: |
#         rows = x.reshape(-1, x.shape[-1]) @ w
#         return (rows + np.resize(b, len(rows))[:, None]).reshape(*x.shape[:-1], w.shape[1])
#     - name: leaves the rows tall
#       says: >-
#         The values are right, but the axes in front are still joined into one. Reshape the result to (*x.shape[:-1],
#         K).
#       code: |
#         rows = x.reshape(-1, x.shape[-1]) @ w
#         rows += b
#         return rows
#     - name: a second array for the sum
#       says: >-
#         The values are right, but the sum with the bias is a second new array, as in dense_composed. The product is
#         yours alone: give it a name, and add b to it in place, with +=.
#       code: |
#         return x @ w + b

# %% nbgrader={"grade": true, "grade_id": "test_dense", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_dense():
    w, b = Tensor([[1.0, 10.0, 100.0], [2.0, 20.0, 200.0]]), Tensor([0.5, 0.25, 0.125])
    x = Tensor([[[1.0, 1.0], [0.0, 2.0]], [[3.0, 0.0], [0.0, 0.0]]])
    check(dense(Tensor([[1.0, 1.0], [3.0, 0.0]]), w, b), [[3.5, 30.25, 300.125], [3.5, 30.25, 300.125]])
    check(dense(x, w, b)[0], [[3.5, 30.25, 300.125], [4.5, 40.25, 400.125]])
    check(dense(x, w, b)[1], [[3.5, 30.25, 300.125], [0.5, 0.25, 0.125]])
    check(dense(Tensor([1.0, 1.0]), w, b), [3.5, 30.25, 300.125])
    check(dense(Tensor(np.zeros((0, 2))), w, b).shape, (0, 3))
    check(dense(Tensor(np.zeros((3, 1, 2))), w, b).shape, (3, 1, 3))
    check(b, [0.5, 0.25, 0.125])
    check(str(dense(Tensor([[1, 2]]), w, b).dtype), "float32")
    check(new_arrays(dense, [[1.0, 1.0], [3.0, 0.0]], w.data, b.data) <= 1, True)  # the product, and no other
    check(new_arrays(dense, x.data, w.data, b.data) <= 1, True)
    check_raises(ValueError, lambda: dense(Tensor([[1.0, 2.0, 3.0]]), w, b), "Dense(2, 3) got 3 features")
    check_raises(ValueError, lambda: dense(Tensor(1.0), w, b), "got a single number")

test_dense()

# %% [markdown]
# ## Parameters
#
# So far a weight is a Tensor like any other. Training has to tell them apart: it adjusts weights and leaves data
# alone. So weights get a class of their own, a Tensor with two slots more. `requires_grad` is True, and `grad` waits
# for the gradient. Nothing in this chapter computes one. The autograd chapter will, and it will find these parameters
# by what they ask for.
#
# A gradient needs numbers that can change by a little, so a parameter holds floats. Python's integers become float32;
# an array of integers was made so on purpose, and is refused.

# %%
#| export
class Parameter(Tensor):
    """A Tensor of floats that training adjusts.

    Parameters
    ----------
    data : number, nested lists of numbers, array, or Tensor
        Copied. Python's numbers become float32; an array of integers is refused.
    dtype : float dtype, optional

    Attributes
    ----------
    requires_grad : bool
        True. False freezes the parameter.
    grad : Tensor or None
        Gradient, once one has been computed. An optimizer writes its step to `data`.
    """

    __slots__ = ("grad", "requires_grad")

    def __init__(self, data, dtype=None):
        array = to_array(data.data if isinstance(data, Tensor) else data, dtype)
        if array.dtype.kind != "f":
            if dtype is not None or carries_dtype(data):
                raise TypeError(
                    f"Parameter: the entries are of type {array.dtype}, and training needs floats.\n"
                    "  Use data.astype(np.float32)."
                )
            array = array.astype(np.float32)
        self.data, self.requires_grad, self.grad = aligned(array), True, None

    def zero_grad(self):
        """Forget the gradient."""
        self.grad = None


CACHE_LINE = 64  # bytes


def aligned(array: np.ndarray | np.generic) -> np.ndarray | np.generic:
    """A copy of `array` that begins where a cache line begins; a NumPy scalar as it is."""
    if not array.ndim:
        return array
    room = np.empty(array.nbytes + CACHE_LINE, np.uint8)
    begin = -room.ctypes.data % CACHE_LINE
    copy = room[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


# %%
w = Parameter([[0.5, -1.0]])
print(repr(w))
print("a copy of it, and a product:", copy.deepcopy(w), w * 2)
try:
    Parameter(np.array([1, 2]))
except TypeError as error:
    print(error)

# %% [markdown]
# What is `aligned` for? Memory comes to a processor in *cache lines*, of 64 bytes as a rule. The routines behind `@` and
# `-=` take up to 64 bytes at a time, and what lies across two lines has to be fetched from both. NumPy begins an
# array at any multiple of 16, wherever there is room. Most arrays live for a moment and are not worth a thought.
# Weights are made once, and read and written in every step of a training, so they get a place that begins a line. What that
# saves is for your machine to say: below, the same product and the same step, with weights that begin at a line or
# some bytes behind one.

# %%
rng = np.random.default_rng(0)
x, weights = rng.standard_normal((32, 784)).astype(np.float32), rng.standard_normal((784, 128)).astype(np.float32)
room = aligned(np.zeros(weights.size + 12, np.float32))
for k in (0, 4, 8, 12):
    w = room[k : k + weights.size].reshape(weights.shape)
    w[...] = weights
    product, step = seconds(lambda w=w: x @ w, repeat=20, number=20), seconds(lambda w=w: np.subtract(w, weights, out=w), repeat=20, number=20)
    print(f"{4 * k:2d} bytes behind a line: product {1e6 * product:6.1f} us, step {1e6 * step:5.1f} us")

# %% [markdown]
# ## The first numbers
#
# What numbers should a layer start with? Not zeros: all units of the layer would compute the same, get the same
# gradient, and stay the same for ever. So random ones, but of which size? A unit adds D products. With independent
# inputs of variance 1 and weights of variance v, the variance of the sum is D times v. If that is not about 1, the
# numbers grow or shrink from layer to layer, and with many layers they do so exponentially. Two rules are in use:
#
# - **Glorot & Bengio (2010)**: the variance is 2 / (D + K), a compromise between the way forward, which wants 1 / D,
#   and the way of the gradients back, which wants 1 / K. Uniformly distributed between -limit and limit, that means
#   `limit = sqrt(6 / (D + K))`, since a uniform number has variance limit² / 3.
# - **He et al. (2015)**: behind a ReLU half of the numbers are zero, which halves the variance of the next sum. So
#   the variance is 2 / D, and the numbers are normally distributed with standard deviation `sqrt(2 / D)`.
#
# D and K are called *fan-in* and *fan-out*. `fans` finds them from the shape of the weights, also for the kernels of
# a convolution, where every unit looks at a window of pixels.

# %%
#| export
def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Inputs of a unit, and units that an input reaches, for weights of `shape` (..., inputs, outputs)."""
    if not isinstance(shape, (tuple, list)) or len(shape) < 2:
        raise ValueError(f"fans: weights have at least two axes, inputs and outputs, as in (3, 2). This shape is {shape!r:.60}.")
    if not all(isinstance(n, (int, np.integer)) and n > 0 for n in shape):
        raise ValueError(f"fans: the shape {shape} holds more than whole numbers of at least 1.")
    window = int(np.prod(shape[:-2]))
    return window * shape[-2], window * shape[-1]


# %% nbgrader={"grade": false, "grade_id": "initialisers", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def glorot_uniform(shape: tuple[int, ...], rng=None) -> np.ndarray:
    """Uniform weights of variance 2 / (fan_in + fan_out), as float32 (Glorot & Bengio 2010).

    Parameters
    ----------
    shape : tuple of int
        (D, K) for a dense layer.
    rng : Generator, seed, or None

    Returns
    -------
    float32 array of `shape`

    Notes
    -----
    `rng.uniform(low, high, shape)` draws float64; `.astype(np.float32)` converts.
    """
    rng = np.random.default_rng(rng)
    fan_in, fan_out = fans(shape)
    ### BEGIN SOLUTION glorot_uniform
    limit = np.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-limit, limit, shape).astype(np.float32)
    ### END SOLUTION


def he_normal(shape: tuple[int, ...], rng=None) -> np.ndarray:
    """Normal weights of variance 2 / fan_in, as float32, for layers before a ReLU (He et al. 2015).

    Parameters
    ----------
    shape : tuple of int
    rng : Generator, seed, or None

    Returns
    -------
    float32 array of `shape`

    Notes
    -----
    `rng.normal(0, deviation, shape)` takes the standard deviation, not the variance.
    """
    rng = np.random.default_rng(rng)
    fan_in, fan_out = fans(shape)  # noqa: RUF059
    ### BEGIN SOLUTION he_normal
    return rng.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# glorot_uniform:
#   title: Glorot's rule
#   hints:
#     - A uniform number between -a and a has variance a² / 3. Which a makes that 2 / (fan_in + fan_out)?
#     - Compute the limit from both fans, draw from rng.uniform between minus the limit and the limit, convert to float32.
#     - "limit = np.sqrt(...), such that its square over 3, which is the variance, comes to 2 / (fan_in + fan_out)"
#   misconceptions:
#     - name: forgets the square root
#       says: >-
#         The limit is 6 / (fan_in + fan_out), without its square root. That is a size for variances; limits are sizes
#         of numbers.
#       code: |
#         limit = 6 / (fan_in + fan_out)
#         return rng.uniform(-limit, limit, shape).astype(np.float32)
#     - name: the variance as the limit
#       says: >-
#         The limit is sqrt(2 / (fan_in + fan_out)), which is the standard deviation that is wanted. A uniform number
#         between -a and a has a smaller one, a / sqrt(3), so the limit has 6 where the deviation has 2.
#       code: |
#         limit = np.sqrt(2 / (fan_in + fan_out))
#         return rng.uniform(-limit, limit, shape).astype(np.float32)
#     - name: only positive weights
#       says: >-
#         No weight is negative: the interval began at 0. It goes from -limit to limit.
#       code: |
#         limit = np.sqrt(6 / (fan_in + fan_out))
#         return rng.uniform(0, limit, shape).astype(np.float32)
#     - name: looks at the inputs only
#       says: >-
#         Only fan_in was used. Glorot's rule is a compromise between fan_in and fan_out, and takes their sum.
#       code: |
#         limit = np.sqrt(3 / fan_in)
#         return rng.uniform(-limit, limit, shape).astype(np.float32)
# he_normal:
#   title: He's rule
#   hints:
#     - The variance is 2 / fan_in. What does rng.normal want to be told, the variance or its square root?
#     - Draw normal numbers of mean 0 and that deviation, in the shape, and convert them to float32.
#     - "rng.normal(0, np.sqrt(2 / fan_in), shape)"
#   misconceptions:
#     - name: the variance in place of the deviation
#       says: >-
#         The variance 2 / fan_in was given as the standard deviation, so the weights are much too small. Take the
#         square root.
#       code: |
#         return rng.normal(0, 2 / fan_in, shape).astype(np.float32)
#     - name: forgets the ReLU
#       says: >-
#         The variance is 1 / fan_in. That keeps the scale without an activation; behind a ReLU, which zeroes half of
#         the numbers, twice as much is needed.
#       code: |
#         return rng.normal(0, np.sqrt(1 / fan_in), shape).astype(np.float32)
#     - name: counts the outputs
#       says: >-
#         The number of outputs was used. What grows with a sum is the number of its terms, and these are the inputs
#         of the unit.
#       code: |
#         return rng.normal(0, np.sqrt(2 / fan_out), shape).astype(np.float32)

# %% nbgrader={"grade": true, "grade_id": "test_glorot_uniform", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_glorot_uniform():
    w = glorot_uniform((500, 100), 0)
    check(w.shape, (500, 100))
    check(w.max(), 0.1, rtol=0.01)
    check(w.min(), -0.1, rtol=0.01)
    check(w.var(), 2 / 600, rtol=0.03)
    check(str(w.dtype), "float32")
    check(glorot_uniform((3, 2), 7), glorot_uniform((3, 2), 7))
    check_raises(ValueError, lambda: glorot_uniform((3,)), "at least two axes")

test_glorot_uniform()

# %% nbgrader={"grade": true, "grade_id": "test_he_normal", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_he_normal():
    w = he_normal((200, 1000), 0)
    check(w.shape, (200, 1000))
    check(w.std(), 0.1, rtol=0.02)
    check(w.mean(), 0.0, atol=0.002)
    check(str(w.dtype), "float32")
    check(he_normal((3, 3, 8, 16), 0).shape, (3, 3, 8, 16))
    check(he_normal((3, 2), 7), he_normal((3, 2), 7))

test_he_normal()

# %% [markdown]
# Does it matter? Twenty layers of 256 units, normal data at one end, and the variance of what comes out of each
# layer.

# %%
def variances(weight_init, activation, layers=20, width=256):
    """Variance of the outputs of each of `layers` layers, for normal inputs."""
    rng = np.random.default_rng(0)
    x, measured = randn((512, width), rng), []
    for _ in range(layers):
        x = activation(x @ weight_init((width, width), rng))
        measured.append(x.var().item())
    return measured


def normal(deviation):
    """An initialiser of plain normal numbers of this standard deviation."""
    return lambda shape, rng: rng.normal(0, deviation, shape).astype(np.float32)


runs = {
    "normal 0.05, relu": variances(normal(0.05), ReLU()),
    "normal 0.2, relu": variances(normal(0.2), ReLU()),
    "Glorot, relu": variances(glorot_uniform, ReLU()),
    "He, relu": variances(he_normal, ReLU()),
    "Glorot, tanh": variances(glorot_uniform, Tanh()),
}
print("variance after layer       1         5        10        20")
for name, measured in runs.items():
    print(f"{name:20s}", *(f"{measured[i - 1]:9.1e}" for i in (1, 5, 10, 20)))

# %%
fig, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
colors, styles = ("#666666", "#CC79A7", "#D55E00", "#0072B2", "#009E73"), (":", "--", "-.", "-", (0, (5, 1)))
for (name, measured), color, style in zip(runs.items(), colors, styles):
    ax.plot(range(1, 21), measured, color=color, linestyle=style)
    ax.annotate(name, (20, measured[-1]), xytext=(6, 0), textcoords="offset points", va="center", color=color)
ax.set(title="Only weights of the right size carry a signal through twenty layers", xlabel="layer", ylabel="variance")
ax.set(yscale="log", xlim=(1, 27), xticks=range(5, 21, 5))
plt.show()

# %% [markdown]
# The axis is logarithmic, so a straight line is exponential growth or decay. Weights that are four times as large
# turn a signal that vanishes into one that explodes. Glorot's rule loses half of the variance at every ReLU, as the
# factor of two between the two rules says it must. He's rule nearly keeps it. With tanh, Glorot's rule decays slowly,
# no longer exponentially: the smaller the numbers, the less tanh bends them.
#
# ## Finding every parameter
#
# A network has layers as attributes, or a list of layers, or layers that hold layers. Training wants one flat list of
# all parameters; saving wants a name for each. So we walk: into the attributes of every module, into lists, tuples
# and dictionaries, to any depth. A parameter that two layers share is one parameter; it is found once, under its
# first name.
#
# `contents` gives what is directly inside something. The walk over it is yours. It needs the class `Module`, which
# comes next, and so its test stands after that.

# %%
#| export
def is_parameter(value) -> bool:
    """Whether `value` is a Parameter, or another Tensor that requires a gradient and was not computed."""
    if isinstance(value, Parameter):
        return True
    return isinstance(value, Tensor) and value.requires_grad and value._node is None


def contents(value):
    """Pairs of a name or number and what stands there: a Module's attributes, a list's entries."""
    if isinstance(value, Module):
        return vars(value).items()
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, (list, tuple)) else ()


# %% nbgrader={"grade": false, "grade_id": "parts", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def parts(value, name: str = "", seen: set | None = None):
    """Every Module and parameter in `value`, itself included, from the outside in.

    Parameters
    ----------
    value : anything
    name : str
        Name of `value`; empty for the whole.
    seen : set of int, optional
        Ids of everything the walk has been to.

    Yields
    ------
    name : str
        The way to it, joined by dots: "layers.0.weights".
    part : Module or Tensor

    Notes
    -----
    A generator that calls itself: `yield name, value` hands out one pair, and
    `yield from parts(...)` all pairs of another call. What stands in `seen` is passed over: so
    what is shared comes once, and a module that refers to its owner does not send the
    walk round for ever. Only a Module or what `is_parameter` is handed out; look for `contents` in
    everything.
    """
    seen = set() if seen is None else seen
    ### BEGIN SOLUTION parts
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Module) or is_parameter(value):
        yield name, value
    for key, inner in contents(value):
        yield from parts(inner, f"{name}.{key}" if name else str(key), seen)
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# parts:
#   title: The walk
#   hints:
#     - What is to be done with one value, before anything inside it is looked at? When is there nothing to do at all?
#     - Return if id(value) is in seen, else add it. Yield the pair if value is a Module or a parameter. Then go through contents(value), and for each entry yield from parts with the longer name and the same seen.
#     - "for key, inner in contents(value): yield from parts(inner, ..., seen), the name being f'{name}.{key}', or str(key) where name is empty"
#   misconceptions:
#     - name: finds a shared part twice
#       says: >-
#         A layer that stands in two places was listed twice, and an optimizer would adjust it twice. Pass the same
#         `seen` on to every call, and pass over what is in it.
#       code: |
#         if isinstance(value, Module) or is_parameter(value):
#             yield name, value
#         for key, inner in contents(value):
#             yield from parts(inner, f"{name}.{key}" if name else str(key))
#     - name: does not look into lists
#       says: >-
#         Layers in a list were not found. Look for contents in every value, not only in Modules.
#       code: |
#         if id(value) in seen:
#             return
#         seen.add(id(value))
#         if isinstance(value, Module) or is_parameter(value):
#             yield name, value
#         if isinstance(value, Module):
#             for key, inner in contents(value):
#                 yield from parts(inner, f"{name}.{key}" if name else str(key), seen)
#     - name: looks one level deep
#       says: >-
#         What lies deeper than one level was not found. Call parts for what is inside, and yield from it.
#       code: |
#         yield name, value
#         for key, inner in contents(value):
#             if isinstance(inner, Module) or is_parameter(inner):
#                 yield f"{name}.{key}" if name else str(key), inner
#     - name: loses the way
#       says: >-
#         The names have only their last part, so the weights of all layers are called the same. Put the name of the
#         whole in front of the key, with a dot.
#       code: |
#         if id(value) in seen:
#             return
#         seen.add(id(value))
#         if isinstance(value, Module) or is_parameter(value):
#             yield name, value
#         for key, inner in contents(value):
#             yield from parts(inner, str(key), seen)

# %% [markdown]
# ## Module: what layers have in common
#
# A `Module` is anything with a `forward`. Calling the object calls `forward`. The rest it gets from the walk: its
# parameters, saving and loading, and a switch. Some layers compute differently while training (dropout, below, is
# one), and `train()` and `eval()` set the switch `training` in the module and everything inside it.
#
# There is nothing to register and no constructor to call; a layer keeps parameters and other layers as attributes,
# and the walk finds them. A running mean, say, belongs to the saved state too although nothing trains it. A class
# names such attributes in `buffers`.
#
# Loading is where care pays. A state that does not fit, with a name missing or a wrong shape, must be refused with
# all that is wrong with it, and must leave the model as it was. Half a model loaded is worse than none. So: look at
# everything first, then write.

# %% nbgrader={"grade": false, "grade_id": "module", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
class Module:
    """A function with parameters inside. Write `forward`; the rest is here.

    Attributes
    ----------
    training : bool
        Whether layers that distinguish the two compute as in training. True at first.
    buffers : tuple of str
        Names of attributes, each a Tensor, that are saved with the parameters but not trained.

    Examples
    --------
    >>> class Scale(Module):
    ...     def __init__(self):
    ...         self.factor = Parameter(3.0)
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> [name for name, parameter in Scale().named_parameters()]
    ['factor']
    """

    training = True
    buffers: tuple[str, ...] = ()

    def forward(self, *inputs):
        """The result for some inputs; every module writes its own."""
        raise NotImplementedError(f"{type(self).__name__} needs a method forward(self, x).")

    def __call__(self, *inputs, **options):
        if len(inputs) == 1 and not options:  # the usual call; spelled out, Python makes it faster
            return self.forward(inputs[0])
        return self.forward(*inputs, **options)

    def named_modules(self):
        """Pairs of name and Module, this one first, under the empty name."""
        return ((name, part) for name, part in parts(self) if isinstance(part, Module))

    def named_parameters(self):
        """Pairs of name and parameter, each parameter once."""
        return ((name, part) for name, part in parts(self) if not isinstance(part, Module))

    def parameters(self):
        """All parameters, each once."""
        return (parameter for _, parameter in self.named_parameters())

    def zero_grad(self):
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    def train(self, mode: bool = True) -> "Module":
        """Set `training` to `mode`, here and in every module inside. Returns self."""
        ### BEGIN SOLUTION train
        for _, module in self.named_modules():
            module.training = mode
        return self
        ### END SOLUTION

    def eval(self) -> "Module":
        """Compute as in use, not as in training. Returns self."""
        return self.train(False)

    def named_state(self) -> dict:
        """Parameters and buffers by name."""
        state = dict(self.named_parameters())
        for name, module in self.named_modules():
            state |= {f"{name}.{b}" if name else b: getattr(module, b) for b in module.buffers}
        return state

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of every parameter and buffer, by name."""
        return {name: np.array(tensor.data) for name, tensor in self.named_state().items()}

    def load_state_dict(self, state: dict):
        """Take over the values that `state_dict` gave, all of them or none.

        Parameters
        ----------
        state : dict of name to array
            Exactly the names and shapes of this module's own state. Values are copied, and
            take the dtype of what they replace.

        Raises
        ------
        ValueError
            Where a name is missing or unknown, or a shape differs. Then nothing was loaded.

        Notes
        -----
        `misfits(own, state)`, given below, lists what is wrong, one text each; empty where all
        fits. `fresh_copy(value, dtype)` is a copy of one value. A tensor takes new
        values by an assignment to its `data`.
        """
        own = self.named_state()
        ### BEGIN SOLUTION load_state_dict
        problems = misfits(own, state)
        if problems:
            raise ValueError("load_state_dict: the state does not fit, nothing was loaded.\n  " + "\n  ".join(problems))
        for name, tensor in own.items():
            tensor.data = fresh_copy(state[name], tensor.dtype)
        ### END SOLUTION

    @recursive_repr("...")
    def __repr__(self):
        inside = "".join(f"\n{name}: {part!r}".replace("\n", "\n  ") for name, part in callables(self))
        return f"{type(self).__name__}({inside}{chr(10) if inside else ''})"


def callables(value, name: str = ""):
    """Names and objects with a `forward` directly inside `value`, or in its lists."""
    for key, inner in contents(value):
        path = f"{name}.{key}" if name else str(key)
        if hasattr(inner, "forward"):
            yield path, inner
        else:
            yield from callables(inner, path)


def fresh_copy(value, dtype) -> np.ndarray | np.generic:
    """The entries of `value`, an array or a Tensor, in an array of their own."""
    return aligned(to_array(value.data if isinstance(value, Tensor) else value).astype(dtype)[()])


def misfits(own: dict, state: dict) -> list[str]:
    """What keeps `state` from being loaded into tensors named as in `own`, one text each."""
    if not isinstance(state, dict):
        return [f"it is a {type(state).__name__}, expected a dictionary as state_dict() returns it"]
    found = [f"missing: {name}" for name in own if name not in state]
    found += [f"not in this model: {name}" for name in state if name not in own]
    for name, tensor in own.items():
        if name not in state:
            continue
        try:
            shape = fresh_copy(state[name], tensor.dtype).shape
        except (TypeError, ValueError):
            found.append(f"{name}: not an array of numbers")
            continue
        if shape != tensor.shape:
            found.append(f"{name}: the shape is {shape}, this model has {tensor.shape}")
    return found


# %% [raw] tags=["exercise"]
# train:
#   title: A switch for everything inside
#   hints:
#     - Who else has to hear of it when a network is told to train?
#     - Go through named_modules(), which includes the module itself, set training in each, and return self so that calls can be chained.
#     - "module.training = ..., for every module among self.named_modules(), whose first is this one"
#   misconceptions:
#     - name: tells only the outermost module
#       says: >-
#         The modules inside did not hear of it. A dropout in the middle of the network would go on dropping. Set the
#         switch in every module that named_modules() finds.
#       code: |
#         self.training = mode
#         return self
#     - name: ignores the mode
#       says: >-
#         eval() calls train(False), and training was set to True all the same. Set it to `mode`.
#       code: |
#         for _, module in self.named_modules():
#             module.training = True
#         return self
#     - name: returns nothing
#       says: >-
#         The method returned None, so model = model.eval() would lose the model. Return self.
#       code: |
#         for _, module in self.named_modules():
#             module.training = mode
# load_state_dict:
#   title: All or nothing
#   hints:
#     - What has to be known about the whole state before the first value is written?
#     - Ask misfits(own, state). Raise a ValueError that holds all of its texts, if there are any. Only then go through own and give every tensor a copy.
#     - "tensor.data = fresh_copy(..., tensor.dtype), with the state's array of that name in the gap"
#   misconceptions:
#     - name: loads until something is wrong
#       says: >-
#         The state did not fit, and the model was changed all the same: the values before the bad one were already
#         written. Look at everything first, then write.
#       code: |
#         for name, tensor in own.items():
#             if name not in state:
#                 raise ValueError(f"missing: {name}")
#             value = fresh_copy(state[name], tensor.dtype)
#             if value.shape != tensor.shape:
#                 raise ValueError(f"{name}: the shape is {value.shape}, this model has {tensor.shape}")
#             tensor.data = value
#         for problem in misfits(own, state):
#             raise ValueError(problem)
#     - name: takes what happens to fit
#       says: >-
#         A state with a name missing was accepted. The model is then half old, half new, and nobody knows. Raise
#         where misfits finds anything.
#       code: |
#         for name, tensor in own.items():
#             if name in state and np.shape(state[name]) == tensor.shape:
#                 tensor.data = fresh_copy(state[name], tensor.dtype)
#     - name: shares the arrays
#       says: >-
#         The model now holds the very arrays of the state. The next training step would change the saved state too,
#         or the other way round. Take a fresh copy.
#       code: |
#         problems = misfits(own, state)
#         if problems:
#             raise ValueError("load_state_dict: nothing was loaded.\n  " + "\n  ".join(problems))
#         for name, tensor in own.items():
#             tensor.data = state[name]

# %% nbgrader={"grade": true, "grade_id": "test_parts", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_parts():
    class Block(Module):
        def __init__(self, value):
            self.weights = Parameter([value])
    class Net(Module):
        def __init__(self):
            self.first, self.scale, self.note = Block(1.0), Parameter(4.0), "no parameter"
            self.rest = [Block(2.0), (Block(3.0), {"last": Block(5.0)})]
            self.tied = self.first
            self.data = Tensor([9.0])
    net = Net()
    names = ["first.weights", "scale", "rest.0.weights", "rest.1.0.weights", "rest.1.1.last.weights"]
    check([name for name, _ in net.named_parameters()], names)
    check([parameter.data.sum().item() for parameter in net.parameters()], [1.0, 4.0, 2.0, 3.0, 5.0])
    check([name for name, _ in net.named_modules()], ["", "first", "rest.0", "rest.1.0", "rest.1.1.last"])
    net.first.owner = net
    check(len(list(net.parameters())), 5)
    check([name for name, _ in parts([Block(6.0)], "", set())], ["0", "0.weights"])

test_parts()

# %% nbgrader={"grade": true, "grade_id": "test_train", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_train():
    outer, inner = Module(), Module()
    outer.layers = [inner]
    check(outer.training, True)
    check(outer.eval() is outer, True)
    check(outer.training, False)
    check(inner.training, False)
    check(outer.train() is outer, True)
    check(inner.training, True)

test_train()

# %% nbgrader={"grade": true, "grade_id": "test_load_state_dict", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_load_state_dict():
    net = Module()
    net.a, net.b = Parameter([1.0, 2.0]), Parameter(3.0)
    saved = net.state_dict()
    check(saved, {"a": saved["a"], "b": saved["b"]})
    net.a.data[:] = 7.0
    check(saved["a"], [1.0, 2.0])
    check_raises(ValueError, lambda: net.load_state_dict({"a": [5.0, 5.0]}), "missing: b")
    check_raises(ValueError, lambda: net.load_state_dict({"a": [5.0, 5.0], "b": [1.0, 1.0]}), "the shape is (2,)")
    check_raises(ValueError, lambda: net.load_state_dict({**saved, "c": 1.0}), "not in this model: c")
    check(net.a, [7.0, 7.0])
    net.load_state_dict(saved)
    check(net.a, [1.0, 2.0])
    check(net.b, 3.0)
    saved["a"][0] = 99.0
    check(net.a, [1.0, 2.0])
    check(str(net.a.dtype), "float32")

test_load_state_dict()

# %% [markdown]
# ## The dense layer
#
# Everything is there: an operation, parameters, starting values, a base class. `Dense(input_size, output_size)` puts
# them together. Sizes are checked when the layer is made, which is where a mistake can still be seen, and not ten
# calls later.

# %%
#| export
def checked_size(value, layer: str, name: str) -> int:
    """`value` as an int, once it is seen to be an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        hint = ""
        if isinstance(value, (list, tuple)):
            hint = f"\n  A layer has one {name}; for several layers, make one {layer} for each."
        raise ValueError(f"{layer}: {name} is {value!r:.60}, expected an integer of at least 1.{hint}")
    return int(value)


# %% nbgrader={"grade": false, "grade_id": "dense_layer", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
class Dense(Module):
    """x @ weights + bias: every input reaches every unit.

    Parameters
    ----------
    input_size, output_size : int, at least 1
        Features of a row before and after.
    use_bias : bool
    weight_init : callable ``(shape, rng) -> array``
        Starting values of the weights: `glorot_uniform`, `he_normal`, or a function of
        your own.
    rng : Generator, seed, or None
        Where the starting values come from; None for others every time.

    Attributes
    ----------
    weights : Parameter, shape (input_size, output_size)
    bias : Parameter, shape (output_size,), zeros at first; or None
    """

    def __init__(self, input_size: int, output_size: int, use_bias: bool = True, weight_init=glorot_uniform, rng=None):
        self.input_size = checked_size(input_size, "Dense", "input_size")
        self.output_size = checked_size(output_size, "Dense", "output_size")
        if not callable(weight_init):
            raise TypeError(f"Dense: weight_init is {weight_init!r:.60}, expected a function such as he_normal.")
        shape, rng = (self.input_size, self.output_size), np.random.default_rng(rng)
        ### BEGIN SOLUTION dense_init
        self.weights = Parameter(weight_init(shape, rng), dtype=np.float32)
        self.bias = Parameter(np.zeros(self.output_size), dtype=np.float32) if use_bias else None
        ### END SOLUTION
        if self.weights.shape != shape:
            raise ValueError(f"Dense: weight_init returned the shape {self.weights.shape}, expected {shape}.")

    def forward(self, x):
        """Rows of `output_size` features for rows of `input_size`.

        Parameters
        ----------
        x : Tensor or array, shape (..., input_size)

        Returns
        -------
        Tensor, shape (..., output_size)
        """
        if self.bias is None:
            return matmul(checked_features(x, self.input_size, repr(self)), self.weights)
        ### BEGIN SOLUTION dense_forward
        return dense(x, self.weights, self.bias)
        ### END SOLUTION

    def __repr__(self):
        without = "" if self.bias is not None else ", use_bias=False"
        return f"Dense({self.input_size}, {self.output_size}{without})"


Linear = Dense  # the name in PyTorch


def checked_features(x, size: int, layer: str):
    """x as a Tensor or array of floats, once its last axis is seen to have `size` entries."""
    x = x if isinstance(x, (Tensor, np.ndarray)) else Tensor(x)
    if x.shape[-1:] != (size,):
        got = f"{x.shape[-1]} features" if x.shape else "a single number"
        raise ValueError(f"{layer} got {got}: the input is {x.shape}, expected (..., {size}).")
    return x if x.dtype.kind == "f" else x.astype(np.float32)


# %% [raw] tags=["exercise"]
# dense_init:
#   title: What a dense layer holds
#   hints:
#     - Which two things does training adjust, and of which class do they have to be so that the walk finds them?
#     - The weights are a Parameter made from weight_init(shape, rng), in float32 whatever that returns. The bias is a Parameter of output_size zeros, or None.
#     - "self.weights = Parameter(..., dtype=np.float32), with what weight_init makes of the shape and rng in the gap"
#   misconceptions:
#     - name: a Tensor in place of a Parameter
#       says: >-
#         The layer has no parameters: a plain Tensor does not ask for a gradient, and the walk passes it over. Make
#         weights and bias Parameters.
#       code: |
#         self.weights = Tensor(weight_init(shape, rng), dtype=np.float32)
#         self.bias = Tensor(np.zeros(self.output_size), dtype=np.float32) if use_bias else None
#     - name: one bias for the whole layer
#       says: >-
#         The bias has a single entry. Every unit has its own: the shape is (output_size,).
#       code: |
#         self.weights = Parameter(weight_init(shape, rng), dtype=np.float32)
#         self.bias = Parameter(np.zeros(1), dtype=np.float32) if use_bias else None
#     - name: always a bias
#       says: >-
#         With use_bias=False the layer still has a bias. It has to be None then.
#       code: |
#         self.weights = Parameter(weight_init(shape, rng), dtype=np.float32)
#         self.bias = Parameter(np.zeros(self.output_size), dtype=np.float32)
#     - name: leaves the dtype to the initialiser
#       says: >-
#         An initialiser such as np.zeros returns float64, and the weights kept it. Ask for float32.
#       code: |
#         self.weights = Parameter(weight_init(shape, rng))
#         self.bias = Parameter(np.zeros(self.output_size), dtype=np.float32) if use_bias else None
# dense_forward:
#   title: The forward pass of a dense layer
#   hints:
#     - Which operation of this chapter does all of it?
#     - Call dense with the input and the two parameters.
#     - "return dense(x, ...), with the layer's own two Parameters in the gap"
#   misconceptions:
#     - name: drops the bias
#       says: >-
#         The bias made no difference. It is added to every row.
#       code: |
#         return matmul(x, self.weights)
#     - name: computes with the bare arrays
#       says: >-
#         The operation was handed bare arrays (.data), so the result is no Tensor. What works on arrays leaves no
#         trace, and no gradient would ever reach the weights. Hand the parameters themselves to the operation.
#       code: |
#         return dense(np.asarray(x), self.weights.data, self.bias.data)
#     - name: wraps what bare arrays gave
#       says: >-
#         The numbers are right, but they were computed from bare arrays (.data) and wrapped afterwards. Such a Tensor does not know how it came
#         to be, and no gradient will ever reach the weights. Hand the parameters themselves to the operation.
#       code: |
#         return wrap(dense(np.asarray(x), self.weights.data, self.bias.data))

# %% nbgrader={"grade": true, "grade_id": "test_dense_init", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_dense_init():
    layer = Dense(3, 2, rng=0)
    check([name for name, _ in layer.named_parameters()], ["weights", "bias"])
    check(layer.weights.data, glorot_uniform((3, 2), 0))
    check(layer.bias.data, [0.0, 0.0])
    check(str(layer.bias.dtype), "float32")
    check(Dense(3, 2, use_bias=False).bias, None)
    check(str(Dense(3, 2, weight_init=lambda shape, rng: np.zeros(shape)).weights.dtype), "float32")
    check(Dense(2, 2, weight_init=lambda shape, rng: np.eye(2)).weights.data, [[1.0, 0.0], [0.0, 1.0]])
    check_raises(ValueError, lambda: Dense(0, 2), "input_size is 0")
    check_raises(ValueError, lambda: Dense(3, [4, 2]), "output_size is [4, 2]")
    check_raises(ValueError, lambda: Dense(3, 2, weight_init=lambda shape, rng: np.zeros((2, 3))), "expected (3, 2)")

test_dense_init()

# %% nbgrader={"grade": true, "grade_id": "test_dense_forward", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_dense_forward():
    layer = Dense(2, 3)
    layer.load_state_dict({"weights": [[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]], "bias": [0.5, 0.5, -0.5]})
    check(layer(Tensor([[1.0, 1.0]])), [[11.5, 22.5, 32.5]])
    check(isinstance(layer(np.array([[1.0, 1.0]])), Tensor), True)
    check(layer(Tensor([0.0, 0.0])), [0.5, 0.5, -0.5])
    check(layer(Tensor(np.zeros((4, 5, 2)))).shape, (4, 5, 3))

    def recorded(call):  # what is computed with operations is recorded; what reaches into .data is not
        previous = set_recorder(lambda lifted, out, *_: Parameter(out))
        try:
            return type(call()).__name__
        finally:
            set_recorder(previous)

    check(recorded(lambda: layer(Tensor([[1.0, 1.0]]))), "Parameter")
    check(repr(Dense(2, 3, use_bias=False)), "Dense(2, 3, use_bias=False)")
    check_raises(ValueError, lambda: layer(Tensor([[1.0, 2.0, 3.0]])), "Dense(2, 3) got 3 features")
    check_raises(ValueError, lambda: Dense(2, 3, use_bias=False)(Tensor([[1.0]])), "got 1 features")

test_dense_forward()

# %% [markdown]
# ## Two layers compute XOR
#
# Now the promise from the beginning. Let `s` be the number of switches that are on. XOR of `s` is 0, 1, 0 for `s` =
# 0, 1, 2: up, then down again, which is the tent from the activations chapter. Two ReLUs make its two relevant
# corners: `relu(s)` and `relu(s - 1)`, and the answer is `relu(s) - 2 relu(s - 1)`. The first layer computes the two
# arguments, the second joins what the ReLUs leave.

# %%
class XOR(Module):
    """Two dense layers with a ReLU in between, the weights set by hand."""

    def __init__(self):
        self.hidden, self.activation, self.output = Dense(2, 2), ReLU(), Dense(2, 1)
        self.load_state_dict({
            "hidden.weights": [[1.0, 1.0], [1.0, 1.0]], "hidden.bias": [0.0, -1.0],
            "output.weights": [[1.0], [-2.0]], "output.bias": [0.0],
        })  # fmt: skip

    def forward(self, x):
        return self.output(self.activation(self.hidden(x)))


network = XOR()
print(network)
switches = Tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
for row, answer in zip(switches.tolist(), network(switches).tolist()):
    print(row, "->", answer)
print(sum(p.size for p in network.parameters()), "parameters:", [name for name, _ in network.named_parameters()])

# %%
side = np.linspace(-0.3, 1.3, 81)
plane = np.stack(np.meshgrid(side, side), axis=-1)  # (81, 81, 2): a layer takes any axes in front
height = network(plane).data[..., 0]
fig, ax = plt.subplots(figsize=(4.6, 3.8), layout="constrained")
surface = ax.contourf(side, side, height, levels=np.linspace(-0.8, 1.0, 10), cmap="cividis")
ax.contour(side, side, height, levels=[0.5], colors="white", linestyles="--")
for (a, b), on in zip(switches.tolist(), (0, 1, 1, 0)):
    ax.plot(a, b, "o" if on else "s", color="white", markeredgecolor="black", markersize=9)
    ax.annotate(str(on), (a, b), xytext=(8, 5), textcoords="offset points", color="black" if on else "white")
fig.colorbar(surface, ax=ax, label="output of the network")
ax.set(title="One ridge separates what no line can", xlabel="first switch", ylabel="second switch")
plt.show()

# %% [markdown]
# The output rises to a ridge that runs through the two corners with the answer 1 (circles) and falls off on both
# sides, where the other two are (squares). The dashed lines are where it passes one half. There are two of them: one
# line could not do it.
#
# How does one find such weights without looking at the problem for an hour? That is what the gradient is for, and the
# autograd chapter.
#
# ## Dropout
#
# A network with more parameters than it needs can learn its training data by heart. *Dropout* (Srivastava et al.
# 2014) makes that harder: at every training step each number is set to zero with probability `rate`, so that no unit
# can rely on a particular other one. In use nothing is dropped.
#
# Dropping half of the terms halves the expected sum of the next layer, and that layer would see other sizes in
# training than in use. So what remains is divided by `1 - rate`, in training, and the expectation stays the same.
# This is called *inverted* dropout. Older texts scale in use instead.

# %% nbgrader={"grade": false, "grade_id": "dropout", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
class Dropout(Module):
    """Sets entries to zero at random while training, and scales the others up (Srivastava et al. 2014).

    Parameters
    ----------
    rate : float, from 0 up to but not including 1
        Probability that an entry is dropped.
    rng : Generator, seed, or None
        Where the choice comes from; a seed makes a run repeatable.
    """

    def __init__(self, rate: float = 0.5, rng=None):
        if isinstance(rate, bool) or not isinstance(rate, (int, float, np.number)) or not 0 <= rate < 1:
            raise ValueError(
                f"Dropout: rate is {rate!r:.60}, expected a number from 0 up to but not including 1.\n"
                "  It is the share that is dropped: 0.1 drops one entry in ten."
            )
        self.rate, self.rng = float(rate), np.random.default_rng(rng)

    def forward(self, x):
        """x with some entries dropped while training; x itself otherwise.

        Parameters
        ----------
        x : Tensor or array, any shape

        Notes
        -----
        `self.rng.random(x.shape)` draws a number between 0 and 1 for each entry. A product
        with a `mask` of zeros and 1 / (1 - rate) drops and scales at once. The mask needs
        the dtype of x.
        """
        if not self.training or self.rate == 0:
            return x
        x = x if isinstance(x, (Tensor, np.ndarray)) else Tensor(x)
        ### BEGIN SOLUTION dropout
        keep = self.rng.random(x.shape, dtype=np.float32) >= self.rate
        return x * (keep * x.dtype.type(1 / (1 - self.rate)))
        ### END SOLUTION

    def __repr__(self):
        return f"Dropout(rate={self.rate})"


# %% [raw] tags=["exercise"]
# dropout:
#   title: Drop and scale
#   hints:
#     - Draw a number between 0 and 1 for every entry. With which comparison is it true with probability 1 - rate?
#     - Keep where the draw is at least rate. Turn that into a mask of zeros and 1 / (1 - rate), in the dtype of x, and multiply.
#     - "keep = self.rng.random(x.shape) >= self.rate"
#   misconceptions:
#     - name: does not scale
#       says: >-
#         What remained was not scaled up, so the mean sank. Divide by 1 - rate while training; then use and training
#         agree on average.
#       code: |
#         keep = self.rng.random(x.shape, dtype=np.float32) >= self.rate
#         return x * keep.astype(x.dtype)
#     - name: keeps what it should drop
#       says: >-
#         The share that was dropped is 1 - rate. `rate` is the probability of being dropped, so an entry stays where
#         its draw is at least `rate`.
#       code: |
#         keep = self.rng.random(x.shape, dtype=np.float32) < self.rate
#         return x * (keep * x.dtype.type(1 / (1 - self.rate)))
#     - name: one choice for the whole batch
#       says: >-
#         All rows lost the same entries: the draw had the shape of one row. Each entry of each row is chosen by
#         itself, so draw x.shape numbers.
#       code: |
#         keep = self.rng.random(x.shape[-1:], dtype=np.float32) >= self.rate
#         return x * (keep * x.dtype.type(1 / (1 - self.rate)))
#     - name: divides by the rate
#       says: >-
#         What remained was divided by rate. A share of 1 - rate remains, so that is what to divide by.
#       code: |
#         keep = self.rng.random(x.shape, dtype=np.float32) >= self.rate
#         return x * (keep * x.dtype.type(1 / self.rate))
#     - name: drops on the bare array
#       says: >-
#         The numbers are right, but they were computed from the bare array (.data). The product with the mask was not recorded, and no gradient
#         will ever reach the layers before this one. Multiply x itself.
#       code: |
#         keep = self.rng.random(x.shape, dtype=np.float32) >= self.rate
#         return wrap(x.data * (keep * x.dtype.type(1 / (1 - self.rate))))

# %% nbgrader={"grade": true, "grade_id": "test_dropout", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_dropout():
    ones = Tensor(np.ones((1000, 100), dtype=np.float32))
    out = Dropout(0.2, rng=0)(ones).numpy()
    check(out.mean(), 1.0, atol=0.01)
    check((out == 0).mean(), 0.2, atol=0.01)
    check(np.unique(out), [0.0, 1.25])
    check((out == 0).all(axis=0).any(), False)
    check(str(out.dtype), "float32")
    check(Dropout(0.2, rng=3)(ones), Dropout(0.2, rng=3)(ones).numpy())
    check(Dropout(0.9).eval()(ones) is ones, True)
    check(Dropout(0.0)(ones) is ones, True)

    def recorded(call):  # what is computed with operations is recorded; what reaches into .data is not
        previous = set_recorder(lambda lifted, out, *_: Parameter(out))
        try:
            return type(call()).__name__
        finally:
            set_recorder(previous)

    check(recorded(lambda: Dropout(0.5)(Parameter(np.ones((2, 3))))), "Parameter")
    check_raises(ValueError, lambda: Dropout(1.0), "rate is 1.0")
    check_raises(ValueError, lambda: Dropout(-0.1), "rate is -0.1")

test_dropout()

# %%
dropout, x = Dropout(0.5, rng=0), Tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
print("training ", dropout(x), dropout(x))
print("in use   ", dropout.eval()(x))
average = sum(dropout.train()(x).numpy() for _ in range(2000)) / 2000
print("average  ", np.round(average, 1))

# %% [markdown]
# ## Layer normalisation
#
# Good starting values keep the numbers at a healthy size, but training moves the weights. *Layer normalisation* (Ba
# et al. 2016) restores the size at every step: take each row, subtract its mean, divide by its standard deviation.
# Then let the network have its say after all, with a factor (`gain`) and an offset (`bias`) for each feature, which
# training adjusts. A small `epsilon` beside the variance keeps a row of equal numbers from being divided by zero.
#
# $$\hat{x} = \frac{x - \mathrm{mean}(x)}{\sqrt{\mathrm{var}(x) + \epsilon}}, \qquad
# \mathrm{out} = \hat{x} \cdot \mathrm{gain} + \mathrm{bias}$$

# %%
#| export
def layer_norm_composed(x, gain, bias, epsilon=1e-5):
    """What `layer_norm` equals, written with operations."""
    distance = x - mean(x, axis=-1, keepdims=True)
    return distance / sqrt(var(x, axis=-1, keepdims=True) + epsilon) * gain + bias


# %% [markdown]
# The composed version computes the mean twice, once for itself and once inside `var`. The fused one subtracts it
# once, and normalises in place. It also returns a pair: the result, and two arrays that its derivative will want. An
# operation may do that; who calls it sees only the result.

# %% nbgrader={"grade": false, "grade_id": "layer_norm", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def explain_layer_norm(x: tuple, gain: tuple, bias: tuple, epsilon=None) -> str:
    """Why the shapes of a layer normalisation do not fit; empty where they do."""
    if len(gain) != 1 or bias != gain:
        return f"layer_norm: gain {gain} and bias {bias} do not belong together. Expected (D,) and (D,)."
    if x[-1:] != gain:
        got = f"{x[-1]} features" if x else "a single number"
        return f"LayerNorm({gain[0]}) got {got}: the input is {x}, expected (..., {gain[0]})."
    return ""


@operation(explain=explain_layer_norm, keeps=True)
def layer_norm(x, gain, bias, /, epsilon=1e-5):
    """Each row with mean 0 and variance 1, then times `gain` plus `bias` (Ba et al. 2016).

    Parameters
    ----------
    x : array, shape (..., D)
    gain, bias : array, shape (D,)
    epsilon : float
        Added to the variance.

    Returns
    -------
    out : array, shape (..., D)
    kept : tuple
        ``x_hat (..., D)``, the rows before gain and bias, and ``inverse_std (..., 1)``, one over the
        standard deviation. Callers get `out` alone.

    Notes
    -----
    Equals `layer_norm_composed`. The variance is the mean of the squared distances from the mean;
    `np.vecdot(a, a)` is the sum of squares along the last axis, which then is gone:
    ``[..., None]`` gives it back. ``x_hat *= inverse_std`` works in place.
    """
    x, size = floating(x), x.shape[-1:]
    if gain.shape != size or bias.shape != size or not size:
        raise ValueError(explain_layer_norm(x.shape, gain.shape, bias.shape))
    ### BEGIN SOLUTION layer_norm
    x_hat = x - x.sum(axis=-1, keepdims=True) / x.shape[-1]
    variance = np.vecdot(x_hat, x_hat)[..., None] / x.shape[-1]
    inverse_std = 1 / np.sqrt(variance + float(epsilon))
    x_hat *= inverse_std
    ### END SOLUTION
    out = x_hat * gain
    out += bias
    return out, (x_hat, inverse_std)


class LayerNorm(Module):
    """Rows of mean 0 and variance 1, scaled and shifted by what training finds.

    Parameters
    ----------
    size : int, at least 1
        Features of a row.
    epsilon : float, positive

    Attributes
    ----------
    gain : Parameter, shape (size,), ones at first
    bias : Parameter, shape (size,), zeros at first
    """

    def __init__(self, size: int, epsilon: float = 1e-5):
        self.size = checked_size(size, "LayerNorm", "size")
        if not isinstance(epsilon, (int, float, np.number)) or not epsilon > 0:
            raise ValueError(f"LayerNorm: epsilon is {epsilon!r:.60}, expected a small positive number such as 1e-5.")
        self.epsilon = float(epsilon)
        self.gain = Parameter(np.ones(self.size), dtype=np.float32)
        self.bias = Parameter(np.zeros(self.size), dtype=np.float32)

    def forward(self, x):
        """x (..., size), row by row with mean 0 and variance 1, times gain plus bias."""
        return layer_norm(x, self.gain, self.bias, self.epsilon)

    def __repr__(self):
        return f"LayerNorm({self.size})"


# %% [raw] tags=["exercise"]
# layer_norm:
#   title: Layer normalisation in one go
#   hints:
#     - The composed version computes the mean twice. Once you have the distances from it, what is left to do for the variance?
#     - Subtract the row means (keepdims). The variance is the sum of the squared distances over D. Take one over the root of variance plus epsilon, and multiply in place.
#     - "np.vecdot of x_hat with itself is a sum of squares: with a last axis of 1 put back by [..., None], and over x.shape[-1], it is the variance"
#   misconceptions:
#     - name: normalises the columns
#       says: >-
#         The mean was taken over the batch, column by column. That is batch normalisation. Here every row is
#         normalised by itself, along the last axis.
#       code: |
#         x_hat = x - x.mean(axis=0, keepdims=True)
#         inverse_std = 1 / np.sqrt((x_hat * x_hat).mean(axis=0, keepdims=True) + epsilon)
#         x_hat *= inverse_std
#     - name: divides by the variance
#       says: >-
#         The rows were divided by their variance, not by its square root. Their spread is 1 only with the standard
#         deviation.
#       code: |
#         x_hat = x - x.mean(axis=-1, keepdims=True)
#         inverse_std = 1 / ((x_hat * x_hat).mean(axis=-1, keepdims=True) + epsilon)
#         x_hat *= inverse_std
#     - name: divides by n - 1
#       says: >-
#         The variance was divided by D - 1. A row is all there is, not a sample from something larger, so divide by
#         D.
#       code: |
#         x_hat = x - x.mean(axis=-1, keepdims=True)
#         inverse_std = 1 / np.sqrt(x.var(axis=-1, ddof=1, keepdims=True) + epsilon)
#         x_hat *= inverse_std
#     - name: leaves out epsilon
#       says: >-
#         A row of equal numbers has variance 0, and was divided by zero. Add epsilon to the variance before the root.
#       code: |
#         x_hat = x - x.mean(axis=-1, keepdims=True)
#         inverse_std = 1 / np.sqrt((x_hat * x_hat).mean(axis=-1, keepdims=True))
#         x_hat *= inverse_std
#     - name: keeps the mean
#       says: >-
#         The size of the rows is right, their mean is not 0: it was subtracted for the variance only. Normalise the
#         distances, not x.
#       code: |
#         inverse_std = 1 / np.sqrt(x.var(axis=-1, keepdims=True) + epsilon)
#         x_hat = x * inverse_std

# %% nbgrader={"grade": true, "grade_id": "test_layer_norm", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_layer_norm():
    x = Tensor([[1.0, 3.0], [100.0, 300.0], [5.0, 5.0]])
    one, zero = Tensor([1.0, 1.0]), Tensor([0.0, 0.0])
    check(layer_norm(x, one, zero), [[-1.0, 1.0], [-1.0, 1.0], [0.0, 0.0]], rtol=1e-4)
    check(layer_norm(x, Tensor([2.0, 3.0]), Tensor([10.0, 20.0])), [[8.0, 23.0], [8.0, 23.0], [10.0, 20.0]], rtol=1e-4)
    check(layer_norm(Tensor([0.0, 2.0]), one, zero, epsilon=3.0), [-0.5, 0.5])
    many = Tensor(np.random.default_rng(0).normal(5, 3, (4, 5, 8)))
    gain, bias = Tensor(np.arange(8.0)), Tensor(np.ones(8))
    check(layer_norm(many, gain, bias), layer_norm_composed(many, gain, bias).numpy())
    kept = layer_norm.__wrapped__(x.data, one.data, zero.data, epsilon=3.0)[1]  # what the derivative will want
    check(kept, ([[-0.5, 0.5], [-1.0, 1.0], [0.0, 0.0]], [[0.5], [0.01], [0.57735]]), rtol=1e-3)
    check(str(LayerNorm(2)(x).dtype), "float32")
    check([name for name, _ in LayerNorm(2).named_parameters()], ["gain", "bias"])
    check_raises(ValueError, lambda: LayerNorm(3)(x), "LayerNorm(3) got 2 features")

test_layer_norm()

# %% [markdown]
# The experiment with twenty layers again, with weights that are too large and too small, and a layer normalisation
# behind each product. The scale of the weights no longer matters for what comes out.

# %%
def normalised(weight_init):
    """An initialiser's variances through twenty layers, each product layer-normalised before its ReLU."""
    norm = LayerNorm(256)
    return variances(weight_init, lambda x: ReLU()(norm(x)))


print("variance after layer             1         5        10        20")
for deviation in (0.05, 0.2):
    measured = normalised(normal(deviation))
    print(f"normal {deviation:4}, normalised  ", *(f"{measured[i - 1]:9.1e}" for i in (1, 5, 10, 20)))

# %% [markdown]
# ## Against the real thing
#
# PyTorch calls the dense layer `Linear` and stores its weights the other way round, (out, in). Where it is installed,
# the cell gives both libraries the same numbers and prints the largest difference.

# %%
x = randn((4, 5, 16), rng)
layer, norm = Dense(16, 8, weight_init=he_normal, rng=rng), LayerNorm(8)
try:
    import torch
except ImportError:
    print("PyTorch is not installed: nothing was compared")
else:
    theirs, their_norm = torch.nn.Linear(16, 8), torch.nn.LayerNorm(8)
    theirs.load_state_dict({"weight": torch.tensor(layer.weights.data.T), "bias": torch.tensor(layer.bias.data)})
    a, b = layer(x), theirs(torch.tensor(x.numpy()))
    print(f"dense       {abs(a.data - b.detach().numpy()).max():.1e}")
    print(f"layer norm  {abs(norm(a).data - their_norm(b).detach().numpy()).max():.1e}")

# %% [markdown]
# ## What fusing is worth
#
# The fused operations exist for speed, so here is the speed, against the compositions that they equal. The inputs are
# those of a small network and of a batch of sentences.

# %%
print("                              composed      fused")
for shape, size in (((32, 784), 128), ((256, 784), 128), ((32, 64, 64), 64)):
    x = randn(shape, rng)
    w, b = Tensor(he_normal((shape[-1], size), rng)), Tensor(np.zeros(size, dtype=np.float32))
    times = [1e6 * seconds(lambda f=f: f(x, w, b), repeat=20, number=20) for f in (dense_composed, dense)]
    print(f"dense       {shape!s:>13} -> {size:3d}  {times[0]:7.0f} us {times[1]:7.0f} us")
    gain, bias = Tensor(np.ones(shape[-1], dtype=np.float32)), Tensor(np.zeros(shape[-1], dtype=np.float32))
    norms = (layer_norm_composed, layer_norm)
    times = [1e6 * seconds(lambda f=f: f(x, gain, bias), repeat=20, number=20) for f in norms]
    print(f"layer norm  {shape!s:>13}         {times[0]:7.0f} us {times[1]:7.0f} us")

# %% [markdown]
# For two axes the product is nearly all of the dense layer, and the two hardly differ. What fusing will save there is
# one of two steps to record. With three axes there is more to gain: NumPy multiplies a stack of matrices one after
# the other, and one tall matrix suits it better. Layer normalisation has no product to hide behind, and gains most.
#
# ## Where next
#
# - *A bottleneck.* Give a layer `Dense(256, 256)` as two layers, `Dense(256, 16)` and `Dense(16, 256)`. Count the
#   parameters of both. What can the two not compute that the one can?
# - *Orthogonal weights.* `np.linalg.qr` of a random matrix has an orthogonal factor. Write an initialiser with it and
#   send it through the twenty layers, with ReLU and with no activation at all.
# - *Majority of three.* Set the weights of a two-layer network by hand so that it says whether at least two of three
#   switches are on. Do you need the hidden layer?
# - *Root-mean-square normalisation.* Leave out the mean and the bias (Zhang & Sennrich 2019). What is left of
#   `layer_norm`, and how much faster is it?
#
# PyTorch's `Module` does more: it intercepts every assignment of an attribute, so that a walk is not needed, and has
# hooks, devices and several kinds of buffers. What it is at heart is here.
