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
# # Kernels
#
# The layers chapter multiplied two matrices with three loops, saw that `@` does the same thousands of times faster, and
# has used `@` ever since. Everything built since then stands on that sign. Nearly all the time of a training step is
# spent inside a few such functions: a matrix product, a sum over windows, a chain of elementwise steps. They are called
# *kernels*, and this chapter opens them.
#
# Two questions lead through it. How fast could this machine do it at best? And what, of all that lies between the three
# loops and that limit, can be won from Python? The answer is rarely fewer multiplications. Both programs multiply
# equally often. What differs is how numbers travel: from memory to the caches, from there to the registers, and back.
# So this chapter counts bytes as carefully as it counts arithmetic, and before each measurement it asks you what you
# expect.

# %%
#| default_exp core.kernels

# %%
#| export
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from tinytorch.core.activations import GELU, GELU_SCALE, floating, gelu_composed
from tinytorch.core.autograd import gradient, unsolved  # noqa: F401 (`unsolved` stands in the row until it is written)
from tinytorch.core.layers import checked_size
from tinytorch.core.tensor import operation, unboxed
from tinytorch.core.training import pyplot
from tinytorch.memory import peak_bytes
from tinytorch.threads import blas_threads
from tinytorch.timing import seconds, side_by_side

# %%
import os
import subprocess
import sys
from itertools import count

import matplotlib.pyplot as plt

from tinytorch.core.activations import gelu
from tinytorch.core.autograd import Variable, check_gradients, gradients
from tinytorch.core.cnn import max_pool2d, windows
from tinytorch.core.dataloader import DataLoader, digits_split
from tinytorch.core.layers import aligned, matmul_naive
from tinytorch.core.networks import create_mlp
from tinytorch.core.tensor import Tensor
from tinytorch.core.training import Accuracy, CrossEntropyLoss, GradientDescent, Trainer, train_step
from tinytorch.testing import check, check_raises

# %% [markdown]
# ## The same product twice
#
# A clock first. A program on a shared machine is now and then interrupted, so a single timing says little; the fastest
# of several says what the work itself takes. Where two are compared they take turns, so that a slow moment meets them
# alike: `side_by_side(calls)` takes a dict of calls and gives the seconds of each, and `seconds(call)` is the stopwatch of
# the other chapters. And tests of a measurement need one whose outcome is known, so the clock is an argument of both.

# %%
rng = np.random.default_rng(0)
a, b = (rng.standard_normal((48, 48), dtype=np.float32) for _ in range(2))
for name, product, number in (("three loops", matmul_naive, 1), ("@", np.matmul, 200)):
    elapsed = seconds(lambda: product(a, b), number=number)
    print(f"{name:12s} {1e6 * elapsed:10.1f} us   {1e9 * elapsed / 48**3:8.3f} ns for each multiplication and addition")

# %% [markdown]
# A processor's clock ticks a few times in a nanosecond. So in the loops, one multiplication and addition takes hundreds
# of ticks, nearly all of which the interpreter spends on finding out what to do. With `@`, a tick is enough for many of
# them. The rest of the chapter is about that second line.
#
# ## A guess first
#
# Measurements teach most where they surprise, and they surprise only those who expected something. So write a range
# down before each. `prediction(name, low, high)` keeps it, and `against` puts it next to what was measured. It counts
# for nothing else. Who leaves the two `None` is told the number alone.

# %%
#| export
class Prediction:
    """A range written down before a measurement.

    Attributes
    ----------
    name : str
        What is about to be measured.
    low, high : float, or both None where nothing was guessed
    """

    def __init__(self, name: str, low: float | None, high: float | None):
        self.name, self.low, self.high = name, low, high

    def against(self, measured: float, unit: str = "times") -> str:
        """The guess and what was measured, in a sentence."""
        if self.low is None:
            return f"{self.name}: no guess was written down; it was {spoken_number(measured)} {unit}"
        joined = ", and" if self.low <= measured <= self.high else ","
        return (
            f"{self.name}: you said {spoken_number(self.low)} to {spoken_number(self.high)} {unit}{joined} "
            f"it was {spoken_number(measured)}"
        )


def prediction(name: str, low: float | None = None, high: float | None = None) -> Prediction:
    """Write down what a measurement will give, before it is made.

    Parameters
    ----------
    name : str
        What is about to be measured.
    low, high : number
        It will be at least, and at most, this. Leave both None for no guess.

    Raises
    ------
    ValueError
        Where only one of the two is given, or low is above high.
    """
    given = [x for x in (low, high) if x is not None]
    if not all(isinstance(x, (int, float, np.number)) for x in given) or len(given) == 1 or given != sorted(given):
        raise ValueError(
            f"prediction: the range is from {low!r:.60} to {high!r:.60}. Expected two numbers, the smaller one first, "
            "as in prediction(name, 2, 4), or none."
        )
    return Prediction(name, low, high)


def spoken_number(x: float) -> str:
    """x with two digits, or as many as it has before the point."""
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.2g}"


# %%
print(prediction("the number of legs of a table", 3, 4).against(4, "legs"))
print(prediction("ticks of the clock between two heartbeats", 1e6, 2e6).against(3e9, "ticks"))
print(prediction("the weight of a cloud").against(500, "tonnes"))

# %% [markdown]
# ## Counting the work
#
# Two numbers describe a kernel before anybody runs it. One is how many additions and multiplications it makes: *flops*,
# for floating-point operations. The other is how many bytes have to move between memory and the processor, at the very
# least. Their quotient, flops for each byte, is the *arithmetic intensity*. A kernel with a low one waits for memory,
# and no cleverness with the arithmetic will help it.
#
# For a product `x (N, D) @ w (D, K) -> (N, K)`, count as the field does. Each of the sums has `D` multiplications and
# `D` additions (the first of which is to zero). And if the caches were large enough, each of the three arrays would
# move once.

# %% nbgrader={"grade": false, "grade_id": "matmul_cost", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
class Cost(NamedTuple):
    """What a kernel has to do.

    Attributes
    ----------
    flops : int
        Additions, multiplications and the like.
    bytes : int
        What has to move between memory and the processor at least.
    """

    flops: int
    bytes: int

    @property
    def intensity(self) -> float:
        """Arithmetic intensity, in flops for each byte."""
        if not self.bytes:
            raise ValueError("intensity: no byte is moved, and flops for each byte are no number. Is an array empty?")
        return self.flops / self.bytes


def matmul_cost(n: int, d: int, k: int, itemsize: int = 4) -> Cost:
    """Flops and bytes of a matrix product (N, D) @ (D, K).

    Parameters
    ----------
    n, d, k : int
        Sizes, at least 0.
    itemsize : int
        Bytes of an entry; 4 for float32.

    Returns
    -------
    Cost
        ``Cost(flops, bytes)``. For each entry of the result, d multiplications and d additions. Each of
        the two inputs is read once, and the result written once.
    """
    for name, size in (("n", n), ("d", d), ("k", k), ("itemsize", itemsize)):
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 0:
            raise ValueError(f"matmul_cost: {name} is {size!r:.60}, but it has to be a whole number of at least 0.")
    ### BEGIN SOLUTION matmul_cost
    return Cost(2 * n * d * k, itemsize * (n * d + d * k + n * k))
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# matmul_cost:
#   title: Flops and bytes
#   hints:
#     - How many entries does the result have, and how many flops does one of them take? How many entries do the three arrays have together?
#     - The result has n * k entries, each a sum of d products. The bytes are the sizes of the three arrays, times itemsize.
#     - "Cost(2 * n * ..., itemsize * (n * d + ...))"
#   misconceptions:
#     - name: counts multiplications alone
#       says: >-
#         Half of the work is missing: each product is also added to a sum. The field counts both.
#       code: |
#         return Cost(n * d * k, itemsize * (n * d + d * k + n * k))
#     - name: forgets the result
#       says: >-
#         The two inputs were counted and the result was not. Writing moves bytes as reading does.
#       code: |
#         return Cost(2 * n * d * k, itemsize * (n * d + d * k))
#     - name: counts entries in place of bytes
#       says: >-
#         These are entries, not bytes. An entry of float32 has 4 bytes: multiply by itemsize.
#       code: |
#         return Cost(2 * n * d * k, n * d + d * k + n * k)
#     - name: reads from memory for every multiplication
#       says: >-
#         Two entries were read for each multiplication. That is what the loops do without a cache. What is asked for is the least that
#         has to move: each array once.
#       code: |
#         return Cost(2 * n * d * k, itemsize * (2 * n * d * k + n * k))

# %% nbgrader={"grade": true, "grade_id": "test_matmul_cost", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_matmul_cost():
    check(matmul_cost(2, 3, 5).flops, 60)
    check(matmul_cost(2, 3, 5).bytes, 124)
    check(matmul_cost(2, 3, 5, itemsize=8).bytes, 248)
    check(matmul_cost(6, 6, 6).intensity, 1.0)
    check(matmul_cost(600, 600, 600).intensity, 100.0)
    check(matmul_cost(0, 3, 5).flops, 0)
    check_raises(ValueError, lambda: matmul_cost(0, 0, 5).intensity, "no byte is moved")
    check_raises(ValueError, lambda: matmul_cost(2, -3, 5), "d is -3")

test_matmul_cost()

# %%
for n in (8, 64, 512, 4096):
    cost = matmul_cost(n, n, n)
    print(f"({n:4d}, {n:4d}) @ ({n:4d}, {n:4d})   {cost.flops:15,d} flops   {cost.bytes:12,d} bytes   {cost.intensity:7.1f} flops a byte")
row = matmul_cost(1, 4096, 4096)
print(f"one sample through Dense(4096, 4096): {row.intensity:.2f} flops a byte")
print(f"x + b, then the larger of that and 0: {2 / 8:.2f} flops a byte")

# %% [markdown]
# The work of a square product grows with the cube of its size, its data with the square. So the larger the matrices,
# the more often each number can be used once it is there. A single sample through a large layer is another matter. It
# has as many weights as the product of a whole batch, and uses each of them once. An elementwise step has the same
# intensity at every size, and a low one.
#
# ## What this machine can do
#
# Intensity says what a kernel asks for. Now to what the machine offers, again two numbers. For the *peak*, the most
# flops a second, we take the best product that there is. NumPy hands `@` to a library called BLAS, which its authors
# have tuned for each processor; a large product spends its time on arithmetic and little else. BLAS also starts
# threads, so that it would measure several cores at once. We want one, and `blas_threads(1)` tells it so.

# %%
#| export
def measured_peak(size: int = 512, dtype=np.float32, repeat: int = 30, clock=time.perf_counter) -> float:
    """Flops a second of a large matrix product by BLAS on one thread.

    Parameters
    ----------
    size : int, at least 1
        Of the two square matrices.
    """
    a = np.ones((checked_size(size, "measured_peak", "size"),) * 2, dtype)
    with blas_threads(1):
        return matmul_cost(size, size, size).flops / seconds(lambda: a @ a, repeat, clock=clock)


# %% [markdown]
# How many times as fast will a product of 32-bit floats be as one of 64-bit floats? Write your guess down: replace the two
# `None`, here and in each cell like it.

# %%
precision_guess = prediction("float32 against float64, a large product", None, None)

# %%
with blas_threads(1) as held:
    print("BLAS is held to one thread" if held else "This BLAS cannot be told. Start Python with VECLIB_MAXIMUM_THREADS=1.")
peak, peak_64 = measured_peak(), measured_peak(dtype=np.float64)
print(f"float32 {peak / 1e9:6.1f} Gflops a second   float64 {peak_64 / 1e9:6.1f}")
print(precision_guess.against(peak / peak_64))

# %% [markdown]
# The other number is the *bandwidth*: bytes a second between memory and the processor. Its classical measure is a loop
# called the *triad*, `a = b + scale * c` on arrays too large for any cache (McCalpin 1995). It does next to no
# arithmetic.
#
# In NumPy the obvious line makes new arrays, and each of its steps passes over whole arrays: what the first wrote has
# left the cache before the second reads it. So work in *chunks*. Take a piece that fits into the cache, do all steps to
# it in place, then take the next one. `peak_bytes` measures what a call allocates, so that the test can see that
# nothing is. Here are both tools, on a chain of two steps: `out=`, which says where a result goes, and slices, which are
# pieces of the array itself. The last slice is shorter, since a slice ends where its array does.

# %%
x = np.ones(100_000)
print(f"100,000 entries take {x.nbytes:,d} bytes")
print(f"(x + 1) * 3 allocates       {peak_bytes(lambda: (x + 1) * 3):9,d}")
print(f"both steps with out=x       {peak_bytes(lambda: np.multiply(np.add(x, 1, out=x), 3, out=x)):9,d}")

x = np.zeros(10)
for start in range(0, 10, 4):
    piece = x[start : start + 4]
    np.add(piece, 1, out=piece)
    piece *= 10
    print(f"from {start}: {len(piece)} entries, and x is now {x}")

# %%
#| export
CHUNK = 2**16  # entries; 256 KB of float32, which the second cache of most processors holds


# %% nbgrader={"grade": false, "grade_id": "triad", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def triad(a: np.ndarray, b: np.ndarray, c: np.ndarray, scale: float, chunk: int = CHUNK) -> np.ndarray:
    """Write b + scale * c into a, chunk by chunk, without a new array.

    Parameters
    ----------
    a, b, c : arrays of floats, shape (N,)
    scale : float
    chunk : int, at least 1
        How many entries are finished before the next ones are begun. The last chunk may be shorter.

    Returns
    -------
    a itself

    Raises
    ------
    ValueError
        Where the shapes differ, or chunk is below 1.
    TypeError
        Where an array holds no floats.

    Notes
    -----
    ``np.multiply(x, y, out=z)`` writes the product into z. ``z += y`` adds in place. A slice of an
    array is a view: writing into it writes into the array.

    References
    ----------
    McCalpin (1995), Memory Bandwidth and Machine Balance in Current High Performance Computers.
    """
    chunk = checked_size(chunk, "triad", "chunk")
    check_floats("triad", a, b, c)
    if a.ndim != 1 or a.shape != b.shape or a.shape != c.shape:
        raise ValueError(f"triad: expected three arrays of one shape (N,), got {a.shape}, {b.shape} and {c.shape}.")
    ### BEGIN SOLUTION triad
    for start in range(0, len(a), chunk):
        part = a[start : start + chunk]
        np.multiply(c[start : start + chunk], scale, out=part)
        part += b[start : start + chunk]
    return a
    ### END SOLUTION


def check_floats(name: str, *arrays) -> None:
    """Raise TypeError for what is no array, or holds no floats."""
    for x in arrays:
        if not isinstance(x, np.ndarray):
            raise TypeError(f"{name}: {x!r:.60} is no array. Expected an array of floats, such as np.ones(3).")
        if x.dtype.kind != "f":
            raise TypeError(f"{name}: an array holds {x.dtype}. Expected floats.\n  Convert it: x.astype(np.float32).")


# %% [raw] tags=["exercise"]
# triad:
#   title: The triad in chunks
#   hints:
#     - Which two steps make b + scale * c, and where can the first one put its result if no new array is allowed?
#     - Go from start = 0 in steps of chunk. Take the slice of a that begins there and is chunk long; write scale times c's slice into it, then add b's slice in place.
#     - "part = a[start : ...], then np.multiply(..., scale, out=part), then part += ..."
#   misconceptions:
#     - name: makes new arrays
#       says: >-
#         The values are right, but at least one new array as large as a itself was made on the way, for scale * c or for the sum. Multiply into a
#         slice of a with out=, and add in place.
#       code: |
#         a[:] = b + scale * c
#         return a
#     - name: a new array for each chunk
#       says: >-
#         It goes chunk by chunk, and that is what keeps the numbers in the cache. But room for a whole chunk was made on the way, as b + scale * c
#         of two slices makes it. Let np.multiply write into the slice of a with out=, and add b's slice in place.
#       code: |
#         for start in range(0, len(a), chunk):
#             a[start : start + chunk] = b[start : start + chunk] + scale * c[start : start + chunk]
#         return a
#     - name: entry by entry
#       says: >-
#         Each entry was finished on its own, whatever chunk is. That is a loop of Python for every number, hundreds of times slower than
#         NumPy's. Finish a whole slice of chunk entries with each call.
#       code: |
#         for i in range(len(a)):
#             a[i] = b[i] + scale * c[i]
#         return a
#     - name: gives a the name of the result
#       says: >-
#         a = ... inside a function only gives the name a to another array; the caller's array was not changed. Write into it:
#         out=, += or a[...] =.
#       code: |
#         a = b + scale * c
#         return a
#     - name: all at once
#       says: >-
#         Nothing is allocated, and yet each step passed over the whole array before the next began. Finish one chunk before you begin the
#         next.
#       code: |
#         np.multiply(c, scale, out=a)
#         a += b
#         return a
#     - name: loses the rest
#       says: >-
#         The last entries were not written: the number of chunks was rounded down. A slice may reach over the end of its array; it is
#         shorter then.
#       code: |
#         for i in range(len(a) // chunk):
#             part = a[i * chunk : (i + 1) * chunk]
#             np.multiply(c[i * chunk : (i + 1) * chunk], scale, out=part)
#             part += b[i * chunk : (i + 1) * chunk]
#         return a

# %% nbgrader={"grade": true, "grade_id": "test_triad", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_triad():
    a, b, c = np.zeros(5), np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([10.0, 20.0, 30.0, 40.0, 50.0])
    check(triad(a, b, c, 0.5, chunk=2), [6.0, 12.0, 18.0, 24.0, 30.0])
    check(a, [6.0, 12.0, 18.0, 24.0, 30.0])
    check(triad(a, b, c, 2.0) is a, True)
    check(a, [21.0, 42.0, 63.0, 84.0, 105.0])  # and nothing of what was in a before
    check(c, [10.0, 20.0, 30.0, 40.0, 50.0])
    large = np.ones((3, 100_000), np.float32)
    check(peak_bytes(lambda: triad(*large, 3.0, chunk=20_000)) < 400_000, True)  # no new array of 100,000 entries
    check(peak_bytes(lambda: triad(*large, 3.0, chunk=20_000)) < 80_000, True)  # and none of 20,000
    check(large[0].max(), 4.0)
    row = np.array([1.0, 0.0, 0.0, 0.0, 0.0])  # c is a, an entry earlier: a chunk reads what the one before it wrote
    check(triad(row[1:], np.ones(4), row[:4], 2.0, chunk=2), [3.0, 1.0, 3.0, 1.0])
    check(triad(np.ones(0), np.ones(0), np.ones(0), 1.0).shape, (0,))
    check_raises(ValueError, lambda: triad(np.ones(2), np.ones(3), np.ones(2), 1.0), "(2,), (3,) and (2,)")
    check_raises(ValueError, lambda: triad(a, b, c, 1.0, chunk=0), "chunk is 0")
    check_raises(TypeError, lambda: triad(np.arange(5), b, c, 1.0), "holds int64")

test_triad()

# %% [markdown]
# From the triad to the bandwidth it is one division. The arrays hold ones and not `np.zeros`: the system hands out
# zeros as a promise, and pages that nobody has written to cost nothing to read.

# %% nbgrader={"grade": false, "grade_id": "bandwidth", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def bandwidth(n: int, repeat: int = 5, number: int = 1, clock=time.perf_counter) -> float:
    """Bytes a second that a triad on three float32 arrays of n entries moves.

    Parameters
    ----------
    n : int, at least 1
        Entries of each array. For memory, far more than the caches hold.
    repeat, number, clock
        As for `seconds`.

    Returns
    -------
    float
        Each array that the triad reads or writes counts once, as STREAM counts them. (Many processors also read
        what is about to be overwritten; that is not counted.)
    """
    n = checked_size(n, "bandwidth", "n")
    a, b, c = (np.ones(n, dtype=np.float32) for _ in range(3))
    ### BEGIN SOLUTION bandwidth
    moved = a.nbytes + b.nbytes + c.nbytes
    return moved / seconds(lambda: triad(a, b, c, 0.5), repeat, number, clock)
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# bandwidth:
#   title: Bytes a second
#   hints:
#     - Which arrays does a triad read, which does it write, and how many bytes are these?
#     - Add up the nbytes of the arrays that are touched. Divide them by the seconds that one triad takes, measured with seconds and the caller's clock.
#     - "moved / seconds(lambda: triad(...), repeat, ..., clock)"
#   misconceptions:
#     - name: counts what is read
#       says: >-
#         Two arrays were counted: those that are read. The third is written, and its bytes travel too.
#       code: |
#         return 2 * a.nbytes / seconds(lambda: triad(a, b, c, 0.5), repeat, number, clock)
#     - name: counts entries
#       says: >-
#         Entries were counted, not bytes. a.nbytes is size times itemsize.
#       code: |
#         return 3 * a.size / seconds(lambda: triad(a, b, c, 0.5), repeat, number, clock)
#     - name: measures nothing
#       says: >-
#         The triad ran before the clock did, or not at all: what was measured is an empty call. Hand seconds a function that makes the
#         triad, lambda: triad(...), not its result.
#       code: |
#         triad(a, b, c, 0.5)
#         return (a.nbytes + b.nbytes + c.nbytes) / seconds(lambda: a, repeat, number, clock)
#     - name: another line than the triad
#       says: >-
#         The measured call made an array of its own, as b + 0.5 * c does. Then more bytes move than are counted, and the time is partly that of
#         asking for memory. Measure triad(a, b, c, 0.5).
#       code: |
#         moved = a.nbytes + b.nbytes + c.nbytes
#         return moved / seconds(lambda: b + 0.5 * c, repeat, number, clock)
#     - name: leaves the number out
#       says: >-
#         number was not handed on, so each timing covered a single call. For small arrays that is mostly the clock itself.
#       code: |
#         moved = a.nbytes + b.nbytes + c.nbytes
#         return moved / seconds(lambda: triad(a, b, c, 0.5), repeat, clock=clock)

# %% nbgrader={"grade": true, "grade_id": "test_bandwidth", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_bandwidth():
    check(bandwidth(1000, clock=count(0, 2).__next__), 6000.0)
    check(bandwidth(1000, repeat=3, number=4, clock=count(0, 2).__next__), 24000.0)
    check(bandwidth(500, repeat=3, clock=iter([0, 8, 10, 12, 20, 29]).__next__), 3000.0)
    check(bandwidth(2**20) < 1e13, True)  # no processor moves ten terabytes a second: is the triad inside the measured call?
    check(peak_bytes(lambda: bandwidth(100_000)) < 1_400_000, True)  # three arrays of 400,000 bytes, and no fourth
    check_raises(ValueError, lambda: bandwidth(0), "n is 0")

test_bandwidth()

# %% [markdown]
# The curve to come shows this number for arrays from kilobytes to hundreds of megabytes. How many times as fast do bytes
# move at its highest point as at its last one?

# %%
cache_guess = prediction("bytes from a cache against bytes from memory", None, None)

# %%
entries = [2**k for k in range(12, 25)]
reached = [bandwidth(n, repeat=5, number=max(1, 2**20 // n)) for n in entries]
memory_bandwidth = reached[-1]
for n, rate in zip(entries[::2], reached[::2]):
    print(f"three arrays, {12 * n / 2**20:8.2f} MB together   {rate / 1e9:6.1f} GB a second")
print(cache_guess.against(max(reached) / memory_bandwidth))

fig, ax = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
ax.plot([12 * n / 2**20 for n in entries], [rate / 1e9 for rate in reached], "o-", color="#0072b2")
ax.set(xscale="log", xlabel="megabytes of the three arrays", ylabel="gigabytes a second", ylim=(0, None))
ax.set(title="How fast bytes move depends on how many there are")
plt.show()

# %% [markdown]
# On the left the arrays are so small that calling NumPy takes longer than moving bytes. Then comes a height, where they
# fit into a cache. Where they have outgrown the last one, the curve has come down to what memory itself delivers. How
# many caches there are, how large, and how deep the fall is, differs from machine to machine. The last value is the one
# that counts below.
#
# ## The roofline
#
# A kernel of intensity $I$ makes $I$ flops with each byte. If memory delivers $B$ bytes a second, it can make at most
# $B \cdot I$ flops a second, and never more than the peak $P$. That is the whole model (Williams, Waterman & Patterson
# 2009): the smaller of the two. Drawn over the intensity it looks like a roof, a slope and a flat part.

# %% nbgrader={"grade": false, "grade_id": "attainable", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def attainable(intensity, peak: float, bandwidth: float):
    """The most flops a second that a kernel can reach, by the roofline model.

    Parameters
    ----------
    intensity : float or array
        Flops for each byte, at least 0.
    peak : float
        Flops a second that the machine makes at best.
    bandwidth : float
        Bytes a second that it moves at best.

    Returns
    -------
    float or array like `intensity`

    References
    ----------
    Williams, Waterman & Patterson (2009), Roofline: An Insightful Visual Performance Model.
    """
    for name, value in (("peak", peak), ("bandwidth", bandwidth)):
        if not isinstance(value, (int, float, np.number)) or not value > 0:
            raise ValueError(f"attainable: {name} is {value!r:.60}, but it has to be a number above 0.")
    if np.any(np.asarray(intensity) < 0):
        raise ValueError("attainable: an intensity is below 0. Expected flops for each byte.")
    ### BEGIN SOLUTION attainable
    return np.minimum(peak, bandwidth * np.asarray(intensity))
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# attainable:
#   title: The roof over a kernel
#   hints:
#     - Two things limit a kernel, the arithmetic and the memory. How many flops a second does memory allow?
#     - Multiply the bandwidth by the intensity, and take the smaller of that and the peak. np.minimum does so for arrays as well.
#     - "np.minimum(peak, ...)"
#   misconceptions:
#     - name: takes the larger limit
#       says: >-
#         The larger of the two limits was taken. A kernel has to respect both, so the smaller one decides.
#       code: |
#         return np.maximum(peak, bandwidth * np.asarray(intensity))
#     - name: divides by the intensity
#       says: >-
#         The bandwidth was divided by the intensity. Bytes a second times flops for each byte are flops a second.
#       code: |
#         with np.errstate(divide="ignore"):
#             return np.minimum(peak, bandwidth / np.asarray(intensity))
#     - name: one number for all
#       says: >-
#         Python's min compares whole arrays, or gives one number for all of them. np.minimum works entry by entry.
#       code: |
#         return min(peak, bandwidth * np.asarray(intensity).max())

# %% nbgrader={"grade": true, "grade_id": "test_attainable", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_attainable():
    check(attainable(0.5, peak=100.0, bandwidth=10.0), 5.0)
    check(attainable(50.0, peak=100.0, bandwidth=10.0), 100.0)
    check(attainable(np.array([0.0, 1.0, 10.0, 11.0]), peak=100.0, bandwidth=10.0), [0.0, 10.0, 100.0, 100.0])
    check_raises(ValueError, lambda: attainable(1.0, peak=0.0, bandwidth=10.0), "peak is 0.0")
    check_raises(ValueError, lambda: attainable(-1.0, peak=1.0, bandwidth=10.0), "below 0")

test_attainable()

# %%
#| export
def plot_roofline(points: dict, peak: float, bandwidth: float, ax=None):
    """Draw the roof of a machine, and kernels below it.

    Parameters
    ----------
    points : dict
        Name to a pair: flops for each byte, and flops a second that were measured.
    peak, bandwidth : float
        In flops and bytes a second.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    ax = pyplot("plot_roofline").subplots(figsize=(7.5, 4.6), layout="constrained")[1] if ax is None else ax
    ridge, intensities = peak / bandwidth, [intensity for intensity, _ in points.values()]
    x = np.geomspace(min([ridge / 10, *intensities]) / 2, max([ridge * 10, *intensities]) * 6, 200)
    ax.plot(x, attainable(x, peak, bandwidth), color="#0072b2")
    ax.axvline(ridge, color="#666666", linestyle=":")
    for place, text in ((np.sqrt(x[0] * ridge), f"{bandwidth / 1e9:.0f} GB a second"), (x[-1], f"{peak / 1e9:.0f} Gflops a second")):
        ax.annotate(text, (place, attainable(place, peak, bandwidth)), xytext=(-4, 5), textcoords="offset points", ha="right", color="#0072b2", fontsize=9)
    for intensity, rate in points.values():
        ax.plot(intensity, rate, "o", color="#d55e00", markersize=5)
    ax.set(xscale="log", yscale="log", xlabel="flops for each byte", ylabel="flops a second")
    ax.margins(y=0.1)
    name_points(ax, points, [*zip(x, attainable(x, peak, bandwidth)), *points.values()])
    return ax


PLACES = ((6, -3), (6, -12), (-6, -3), (-6, -12), (6, 5), (-6, 5), (6, -22), (-6, -22), (6, -32))  # right and up, in points


def name_points(ax, points: dict, marks: list) -> None:
    """Write the name of each point beside it, in the first of PLACES where it covers no mark and no other text."""
    ax.figure.canvas.figure.draw_without_rendering()  # settles where everything lies
    marks, taken = ax.transData.transform(marks), [text.get_window_extent() for text in ax.texts]
    for name, point in sorted(points.items(), key=lambda item: -item[1][1]):
        for right, up in PLACES:
            label = ax.annotate(name, point, xytext=(right, up), textcoords="offset points", ha="left" if right > 0 else "right", fontsize=9)
            box = label.get_window_extent()
            if not box.count_contains(marks) and not box.count_overlaps(taken):
                break
            label.remove()
        else:
            ax.add_artist(label)  # the last place, since none is free
        label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.5})
        taken.append(box)


# %%
points = {"triad": (2 / 12, memory_bandwidth * 2 / 12)}  # for each entry 2 flops, and 12 bytes of float32
size = matmul_cost(48, 48, 48)
points["three loops"] = size.intensity, size.flops / seconds(lambda: matmul_naive(a, b))
plot_roofline(points, peak, memory_bandwidth).set_title(f"Below {peak / memory_bandwidth:.0f} flops a byte, memory is the limit")
plt.show()
print(f"the three loops reach {100 * points['three loops'][1] / attainable(size.intensity, peak, memory_bandwidth):.4f}% of what the roof allows them")

# %% [markdown]
# To the left of the dotted line, more arithmetic would cost nothing, because it waits for bytes anyway. To the right,
# bytes wait for arithmetic. And the three loops lie so far below the roof that neither counts: the interpreter does.
#
# ## Whole rows at once
#
# The interpreter takes its time for every call, whatever the call does. So let each do more. `np.vecdot(x, y)` gives
# the sum of products along the last axis. With one row of `a`, and all columns of `b` laid out as rows, one call
# computes a whole row of the result.
#
# Why laid out as rows? Strides, in the tensor chapter, said how far it is from one entry to the next. Along a row it is
# 4 bytes, along a column of a wide matrix it is thousands. Memory comes in *cache lines*, mostly of 64 bytes, that is
# sixteen entries of float32. Walking down a column uses one entry of each line that is fetched. So copy `b.T` into an
# array of its own once, and every dot product runs along rows. Kernels call that *packing*. In small:

# %%
b = np.array([[1.0, 10.0, 0.0], [100.0, 1000.0, 1.0]])
columns = np.ascontiguousarray(b.T)
print("strides in bytes: b", b.strides, "  b.T", b.T.strides, "  packed", columns.strides)
print("[1, 2] with each column of b:", np.vecdot([1.0, 2.0], columns).tolist(), "  by @:", ([1.0, 2.0] @ b).tolist())

# %% [markdown]
# `b.T` by itself is a view: its rows still lie as columns in memory. The exercise makes the copy once and uses it for
# every row. The function that takes the dot products is an argument, `np.vecdot` unless another is given, so that the
# test can watch what it is handed.

# %%
#| export
def checked_matrices(name: str, a, b) -> tuple[np.ndarray, np.ndarray]:
    """Two matrices of floats that can be multiplied, in one dtype."""
    a, b = np.asarray(a), np.asarray(b)
    check_floats(name, a, b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"{name}: expected shapes (N, D) and (D, K), got {a.shape} and {b.shape}.")
    dtype = np.result_type(a, b)
    return a.astype(dtype, copy=False), b.astype(dtype, copy=False)


# %% nbgrader={"grade": false, "grade_id": "matmul_rows", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def matmul_rows(a, b, dots=np.vecdot) -> np.ndarray:
    """The matrix product, one row of the result a call.

    Parameters
    ----------
    a : array of floats, shape (N, D)
    b : array of floats, shape (D, K)
    dots : callable ``(row, rows, out=None) -> array``
        The dot products of a row (D,) with each of several rows (K, D), shape (K,). It is called once for each row of a, always
        with the same packed copy of b.

    Returns
    -------
    array, shape (N, K)

    Raises
    ------
    ValueError
        Where the shapes do not fit.
    TypeError
        Where an array holds no floats.

    Notes
    -----
    ``np.ascontiguousarray(b.T)`` is the packed copy: column k of b is its row k. ``dots(row, packed)`` is the sum of
    products of `row` with each row of `packed`. No ``@``: that one is what we want to understand.
    """
    a, b = checked_matrices("matmul_rows", a, b)
    out = np.empty((a.shape[0], b.shape[1]), a.dtype)
    ### BEGIN SOLUTION matmul_rows
    packed = np.ascontiguousarray(b.T)
    for n, row in enumerate(a):
        dots(row, packed, out=out[n])
    ### END SOLUTION
    return out


# %% [raw] tags=["exercise"]
# matmul_rows:
#   title: A row at a time
#   hints:
#     - Row n of the result consists of dot products. Of which row with which columns?
#     - Pack the columns of b once, before the loop. Then go through the rows of a, and let dots fill a row of out with each.
#     - "dots(row, ..., out=out[n])"
#   misconceptions:
#     - name: dots with the rows of b
#       says: >-
#         The dot products were taken with the rows of b, which have another length. Each entry of the result needs a column of b: transpose it
#         first.
#       code: |
#         for n, row in enumerate(a):
#             out[n] = dots(row, b)
#     - name: one number for the row
#       says: >-
#         All products of the row were added into one number. dots sums along the last axis only, and leaves one sum for each column.
#       code: |
#         packed = np.ascontiguousarray(b.T)
#         for n, row in enumerate(a):
#             out[n] = (row * packed).sum()
#     - name: reshapes in place of transposing
#       says: >-
#         reshape(K, D) cuts the same sequence of numbers into other rows; it does not turn columns into rows. b.T does.
#       code: |
#         packed = b.reshape(b.shape[1], b.shape[0])
#         for n, row in enumerate(a):
#             out[n] = dots(row, packed)
#     - name: repeats the first row
#       says: >-
#         Every row of the result is the same: the loop went on, but the same row of a was used each time.
#       code: |
#         packed = np.ascontiguousarray(b.T)
#         for n in range(len(a)):
#             out[n] = dots(a[0], packed)
#     - name: hands it to another product
#       says: >-
#         dots was never called: the rows came from another product, such as @ on the whole matrices or np.vecdot by its own name. Here it is
#         one call of dots(row, packed) for each row of a.
#       code: |
#         out[:] = a @ b
#     - name: all rows in one call
#       says: >-
#         dots was handed all rows of a at a time. Go through the rows, and hand over one at a time; a row has the shape (D,).
#       code: |
#         packed = np.ascontiguousarray(b.T)
#         out[:] = dots(a[:, None], packed)
#     - name: does not pack
#       says: >-
#         The values are right, but b.T is a view: its rows still lie as columns in memory, and each dot product walks down one of them.
#         np.ascontiguousarray(b.T) is a copy in which they lie as rows.
#       code: |
#         for n, row in enumerate(a):
#             dots(row, b.T, out=out[n])
#     - name: packs for every row
#       says: >-
#         b was copied anew for every row of a, and each copy costs about as much as the dot products that it serves. Pack once, before the loop.
#       code: |
#         for n, row in enumerate(a):
#             dots(row, np.ascontiguousarray(b.T), out=out[n])

# %% nbgrader={"grade": true, "grade_id": "test_matmul_rows", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_matmul_rows():
    a, b = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 10.0, 0.0], [100.0, 1000.0, 1.0]])
    check(matmul_rows(a, b), [[201.0, 2010.0, 2.0], [403.0, 4030.0, 4.0]])
    check(matmul_rows(b.T, a.T), [[201.0, 403.0], [2010.0, 4030.0], [2.0, 4.0]])
    calls = []
    def watched(row, rows, **where):
        calls.append((row, rows))
        return np.vecdot(row, rows, **where)
    check(matmul_rows(a, b, watched), [[201.0, 2010.0, 2.0], [403.0, 4030.0, 4.0]])
    check(len(calls), 2)  # dots was called once for each row of a
    check([row for row, rows in calls], [[1.0, 2.0], [3.0, 4.0]])
    check([rows.shape for row, rows in calls], [(3, 2), (3, 2)])
    check([rows.strides for row, rows in calls], [(16, 8), (16, 8)])  # packed: bytes to the next row, and along it
    check(len({rows.ctypes.data for row, rows in calls}), 1)  # one packed copy, used for both rows
    check(matmul_rows(np.array([[2.0]]), np.array([[3.0]])), [[6.0]])
    check(matmul_rows(np.ones((2, 0)), np.ones((0, 3))), [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    check(matmul_rows(np.ones((0, 2)), np.ones((2, 3))).shape, (0, 3))
    check(str(matmul_rows(a.astype(np.float32), b.astype(np.float32)).dtype), "float32")
    check_raises(ValueError, lambda: matmul_rows(a, b.T), "(2, 2) and (3, 2)")
    check_raises(TypeError, lambda: matmul_rows(a, np.ones((2, 2), int)), "holds int64")

test_matmul_rows()

# %% [markdown]
# Now what packing is worth. One row of the result is computed twice: along packed rows, and down the columns of `b`
# where they lie. How many times as long will the columns take?

# %%
columns_guess = prediction("columns against packed rows", None, None)

# %%
a, b = (rng.standard_normal((512, 512), dtype=np.float32) for _ in range(2))
size, row, packed = matmul_cost(512, 512, 512), a[0], np.ascontiguousarray(b.T)
with blas_threads(1):
    took = side_by_side({"columns": lambda: np.vecdot(row, b.T), "packed": lambda: np.vecdot(row, packed)}, repeat=30)
    print(f"a row of the result: down the columns {1e6 * took['columns']:.0f} us, along packed rows {1e6 * took['packed']:.0f} us")
    print(columns_guess.against(took["columns"] / took["packed"]))
    took = side_by_side({"rows": lambda: matmul_rows(a, b), "@": lambda: a @ b}, repeat=15)
for name, t in took.items():
    points[name] = size.intensity, size.flops / t
    print(f"{name:6s} {1e3 * t:8.2f} ms   {size.flops / t / 1e9:7.2f} Gflops a second   {100 * size.flops / t / peak:5.1f}% of the peak")

# %% [markdown]
# Both ways to the row make the same multiplications in a single call. Only the places differ where the numbers lie. And
# 512 calls now stand in the place of millions of turns of a loop: compare the percentage with that of the three loops.
#
# ## What layout costs
#
# Three smaller experiments with the same cause. The first sums entries that lie further and further apart, always the
# same number of them. The second copies numbers in order, then in an order drawn by lot: a *gather*. The third adds two
# arrays that begin where a cache line begins, and two that begin 4 bytes later.

# %%
stride_guess = prediction("an entry in a line of its own against its neighbour", None, None)
gather_guess = prediction("a random order against the given one", None, None)

# %%
large = np.ones(2**23, dtype=np.float32)
apart = [2**k for k in range(7)]
took = side_by_side({step: lambda some=large[::step][: 2**17]: some.sum() for step in apart}, repeat=20)
for step, t in took.items():
    print(f"an entry every {4 * step:4d} bytes   {1e9 * t / 2**17:6.2f} ns an entry")
print(stride_guess.against(took[16] / took[1]))

in_order, by_lot = np.arange(2**22), rng.permutation(2**22)
took = side_by_side({"in order": lambda: large[in_order], "by lot": lambda: large[by_lot]})
print(f"gather of {2**22:,d} entries   in order {1e3 * took['in order']:6.1f} ms   by lot {1e3 * took['by lot']:6.1f} ms")
print(gather_guess.against(took["by lot"] / took["in order"]))

x, y = (aligned(np.ones(50_016, dtype=np.float32)) for _ in range(2))
shifted = {begin: lambda p=x[begin : begin + 50_000], q=y[begin : begin + 50_000]: np.add(p, q, out=p) for begin in (0, 1)}
even, odd = side_by_side(shifted, repeat=40, number=20).values()
print(f"a sum of 50,000 entries      on a line {1e6 * even:6.2f} us   4 bytes off {1e6 * odd:6.2f} us, {odd / even:.2f} times")

# %% [markdown]
# In the first table the price of an entry rises with the distance until each has a cache line of its own. Beyond that
# the number of lines stays the same, and what still rises is what it takes to find them: they are spread over more
# pages, and the hardware's guess at what will be wanted next gets worse. A gather by lot gives that guess nothing to
# work with. And an array that begins in the middle of a line has pieces that lie on two, each of which takes two
# fetches; whether that is felt at all depends on the processor, and the last line says what it does on this one. It is
# the reason for `aligned` in the layers chapter: training goes over its parameters often.
#
# ## Windows without a copy
#
# Strides can also save work. The convolution chapter laid *windows* over pictures: small rectangles that slide, and
# share most of their pixels with their neighbours. Copying each into a row would multiply the memory. A window one step
# to the right begins a few pixels later *in the same memory*, and so `windows` is only another shape and other strides
# on the picture: no pixel moves.
#
# The view is free. Computing with it is not, and how one goes through it matters. Take the largest entry of each
# window. Reducing the view along its two window axes handles tiny windows, one after the other: four numbers at a time,
# with the cost of starting and ending each time. Turned inside out, the same work is a few passes over large arrays.
# Pixel `(0, 0)` of all windows is one array, pixel `(0, 1)` of all windows another, and the largest of each window is
# the entrywise maximum of these. That is how `max_pool2d` does it.

# %%
pooling_guess = prediction("reducing each window against maxima of whole arrays", None, None)

# %%
pictures = rng.standard_normal((16, 1, 64, 64), dtype=np.float32)


def max_loops(x, size):
    """A window at a time, by Python."""
    out = np.empty((*x.shape[:2], x.shape[2] // size, x.shape[3] // size), x.dtype)
    for n, c, i, j in np.ndindex(out.shape):
        out[n, c, i, j] = x[n, c, i * size : (i + 1) * size, j * size : (j + 1) * size].max()
    return out


def max_arrays(x, size):
    """Maxima of whole arrays, one for each pixel of a window."""
    view = windows(x, (size, size), (size, size))
    out = view[:, :, 0, 0].copy()
    for i, j in np.ndindex(size, size):
        np.maximum(out, view[:, :, i, j], out=out)
    return out


ways = {
    "a window at a time": lambda: max_loops(pictures, 2),
    "reducing the view": lambda: windows(pictures, (2, 2), (2, 2)).max(axis=(2, 3)),
    "maxima of arrays": lambda: max_arrays(pictures, 2),
    "max_pool2d": lambda: max_pool2d(pictures, 2),
}
assert all(np.array_equal(way(), max_loops(pictures, 2)) for way in ways.values())
took = side_by_side(ways)
for name, t in took.items():
    print(f"{name:20s} {1e3 * t:8.3f} ms")
print(pooling_guess.against(took["reducing the view"] / took["maxima of arrays"]))

# %% [markdown]
# The last line also keeps which pixel was the largest, since backward will ask for it.
#
# ## Blocks
#
# Back to the product, and to what `matmul_rows` leaves lying. For each row of `a` it goes over the whole of `b`, and
# comes back to a number of `b` only after it has seen all others. If `b` is larger than the cache, it comes from memory
# again for every row. The remedy is *blocking*: cut all three matrices into square blocks, and multiply block by block.
# A product of two blocks is a small matrix product, and its result is added to a block of `out`:
#
# $$\mathrm{out}_{ij} \mathrel{+}= a_{id} \, b_{dj}.$$
#
# While it runs, three blocks have to be at hand, so a block must not be too large for three of them to fit into a
# cache. Why may one calculate with blocks as if they were numbers? An entry of the result is a sum over `d`, and a sum
# may be taken in parts. One block of the result, by hand, from matrices with four rows and columns in blocks of two:

# %%
a, b = rng.integers(0, 9, (2, 4, 4)).astype(float)
top, bottom = a[:2, :2] @ b[:2, 2:], a[:2, 2:] @ b[2:, 2:]  # the left and the right block of a, each with its block of b
print("top right block of the result", (top + bottom).tolist(), "  by @ on the whole", (a @ b)[:2, 2:].tolist())

# %% [markdown]
# The loops of the exercise go through all such blocks. The function that multiplies two blocks is an argument, so that several can be compared.

# %% nbgrader={"grade": false, "grade_id": "matmul_blocked", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def matmul_blocked(a, b, block: int = 128, product=matmul_rows) -> np.ndarray:
    """The matrix product, block by block.

    Parameters
    ----------
    a : array of floats, shape (N, D)
    b : array of floats, shape (D, K)
    block : int, at least 1
        Rows and columns of a block. Those at the edges may be smaller.
    product : callable ``(a, b) -> array``
        Multiplies two blocks.

    Returns
    -------
    array, shape (N, K)

    Raises
    ------
    ValueError
        Where the shapes do not fit, or block is below 1.
    TypeError
        Where an array holds no floats.

    Notes
    -----
    Three loops in steps of `block`: over the rows of the result, over its columns, and over the axis that is
    summed. A slice of `out` is a view, and ``+=`` adds to it in place.
    """
    a, b = checked_matrices("matmul_blocked", a, b)
    block = checked_size(block, "matmul_blocked", "block")
    out = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    ### BEGIN SOLUTION matmul_blocked
    for n in range(0, a.shape[0], block):
        for k in range(0, b.shape[1], block):
            part = out[n : n + block, k : k + block]
            for d in range(0, a.shape[1], block):
                part += product(a[n : n + block, d : d + block], b[d : d + block, k : k + block])
    ### END SOLUTION
    return out


# %% [raw] tags=["exercise"]
# matmul_blocked:
#   title: Block by block
#   hints:
#     - Write the three loops of the layers chapter again. What stands for a[n, d], b[d, k] and out[n, k] if n, d and k go in steps of block?
#     - Loop n, k and d in steps of block. The slice of a begins at (n, d), that of b at (d, k), that of out at (n, k). Add the product of the first two to the third.
#     - "part += product(a[n : n + block, ...], b[..., k : k + block])"
#   misconceptions:
#     - name: keeps the last product
#       says: >-
#         Each block of the result is the product of the last pair of blocks: = replaced the earlier ones. The products along d have to be added up.
#       code: |
#         for n in range(0, a.shape[0], block):
#             for k in range(0, b.shape[1], block):
#                 for d in range(0, a.shape[1], block):
#                     out[n : n + block, k : k + block] = product(a[n : n + block, d : d + block], b[d : d + block, k : k + block])
#     - name: leaves out the edges
#       says: >-
#         What does not fill a whole block was left out. Let the loops run to the end of each axis; a slice that reaches over the edge is
#         shorter.
#       code: |
#         for n in range(0, a.shape[0] - block + 1, block):
#             for k in range(0, b.shape[1] - block + 1, block):
#                 for d in range(0, a.shape[1] - block + 1, block):
#                     out[n : n + block, k : k + block] += product(a[n : n + block, d : d + block], b[d : d + block, k : k + block])
#     - name: stripes in place of blocks
#       says: >-
#         Whole rows of a were multiplied by whole columns of b. The sum along d has to be cut as well, or the pieces do not fit into a cache.
#       code: |
#         for n in range(0, a.shape[0], block):
#             for k in range(0, b.shape[1], block):
#                 out[n : n + block, k : k + block] = product(a[n : n + block], b[:, k : k + block])
#     - name: whole columns of a
#       says: >-
#         The rows of the result were not cut: a block of a reached from its first row to its last. Three loops in steps of block, over n, k and d.
#       code: |
#         for k in range(0, b.shape[1], block):
#             for d in range(0, a.shape[1], block):
#                 out[:, k : k + block] += product(a[:, d : d + block], b[d : d + block, k : k + block])
#     - name: multiplies blocks entry by entry
#       says: >-
#         Blocks were multiplied entry by entry. Two blocks meet in a matrix product, the same as the whole matrices: product(x, y).
#       code: |
#         for n in range(a.shape[0]):
#             for k in range(b.shape[1]):
#                 for d in range(0, a.shape[1], block):
#                     out[n, k] += (a[n, d] * b[d : d + block, k]).sum()

# %% nbgrader={"grade": true, "grade_id": "test_matmul_blocked", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
def test_matmul_blocked():
    a, b = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), np.array([[1.0, 0.0], [10.0, 1.0], [100.0, 0.0]])
    check(matmul_blocked(a, b, block=1), [[321.0, 2.0], [654.0, 5.0]])
    check(matmul_blocked(a, b, block=2), [[321.0, 2.0], [654.0, 5.0]])
    check(matmul_blocked(a, b, block=50), [[321.0, 2.0], [654.0, 5.0]])
    check(matmul_blocked(b.T, a.T, block=2), [[321.0, 654.0], [2.0, 5.0]])
    seen = []
    def counted(x, y):
        seen.append((x.shape, y.shape))
        return matmul_naive(x, y)
    check(matmul_blocked(a, b, 2, counted), [[321.0, 2.0], [654.0, 5.0]])
    check(sorted(seen), [((2, 1), (1, 2)), ((2, 2), (2, 2))])
    seen.clear()
    check(matmul_blocked(a, b, 1, counted), [[321.0, 2.0], [654.0, 5.0]])
    check(seen, [((1, 1), (1, 1))] * 12)  # 2 rows, 2 columns, 3 products for each
    check(matmul_blocked(a[:1, :1], a[:1], block=1), [[1.0, 2.0, 3.0]])
    check(matmul_blocked(b[:, :1], np.ones((1, 1)), block=1), [[1.0], [10.0], [100.0]])
    check(matmul_blocked(np.ones((5, 7)), np.ones((7, 4)), 3), np.full((5, 4), 7.0))
    check(matmul_blocked(np.ones((2, 0)), np.ones((0, 1)), 3), [[0.0], [0.0]])
    check(str(matmul_blocked(a.astype(np.float32), b.astype(np.float32)).dtype), "float32")
    check_raises(ValueError, lambda: matmul_blocked(a, b, block=0), "block is 0")
    check_raises(ValueError, lambda: matmul_blocked(a, a), "(2, 3) and (2, 3)")
    check_raises(TypeError, lambda: matmul_blocked(a, np.ones((3, 2), int)), "holds int64")

test_matmul_blocked()

# %% [markdown]
# A batch of 64 samples through a layer of 2000 by 4000 weights. In the table below, the blocks are multiplied once by
# your own `matmul_rows` and once by BLAS, and the last line is each of the two on the whole matrices. Your guesses: how
# many times as fast as `matmul_rows` alone are the best blocks of the first column? And what part of the speed of `@`,
# in percent, do the best of the second reach?

# %%
own_guess = prediction("our rows in blocks against our rows", None, None)
pieces_guess = prediction("blocks by BLAS, of the speed of @", None, None)

# %%
a, b = rng.standard_normal((64, 2000), dtype=np.float32), rng.standard_normal((2000, 4000), dtype=np.float32)
size, products = matmul_cost(64, 2000, 4000), (matmul_rows, np.matmul)
ways = {(block, p): lambda block=block, p=p: matmul_blocked(a, b, block, p) for block in (64, 128, 256, 512) for p in products}
ways |= {("whole", p): lambda p=p: p(a, b) for p in products}
with blas_threads(1):
    took = side_by_side(ways, repeat=4)
print(f"{b.nbytes / 1e6:.0f} MB of weights; three blocks of 128 rows and columns take {3 * 4 * 128**2 / 1e3:.0f} KB")
print(f"block   {'matmul_rows':>14s} {'by BLAS':>14s}     (Gflops a second)")
for block in (64, 128, 256, 512, "whole"):
    print(f"{block!s:5s}   {size.flops / took[block, matmul_rows] / 1e9:14.1f} {size.flops / took[block, np.matmul] / 1e9:14.1f}")
blocks_of_rows, blocks_by_blas = (min(took[block, p] for block in (64, 128, 256, 512)) for p in products)
points["blocks of rows"], points["blocks by BLAS"] = ((size.intensity, size.flops / t) for t in (blocks_of_rows, blocks_by_blas))
print(own_guess.against(took["whole", matmul_rows] / blocks_of_rows))
print(pieces_guess.against(100 * took["whole", np.matmul] / blocks_by_blas, "percent"))

# %% [markdown]
# Small blocks cost: each is a few calls, and there are many. As they grow, the second column comes near the whole
# product, or even passes it, because a number that was fetched for a block is used as many times as the block is wide.
# (BLAS cuts the whole product into blocks by itself; whether its choice or ours suits these shapes better, the last line
# says.) In the first column, larger blocks overtake the rows of the whole matrices if those had to
# come from memory again and again. (Where a cache holds all of the weights, there is little to overtake.) But compare
# the best of the first column with the best of the second. Something is missing that no block can bring.
#
# ## Why BLAS wins
#
# Follow one multiplication of `matmul_rows`. A dot product reads two numbers, from the nearest cache at best, and does
# two flops with them. In a tick, a processor can multiply and add about as many numbers as it can read from that cache,
# where a dot product would need twice as many; and the other caches, and memory, hand over fewer still. BLAS does not
# multiply a row with a column. Its innermost kernel holds a small *tile* of the result, a few rows by a few columns, in
# the processor's registers. It reads a column of `a`'s tile and a row of `b`'s, and multiplies each number of one by
# each of the other. The intensity is counted as before, only that bytes now move between cache and registers:

# %%
for rows, columns in ((1, 1), (2, 2), (4, 8), (6, 16), (12, 32)):
    read, flops = rows + columns, 2 * rows * columns
    print(f"a tile of {rows:2d} x {columns:2d}: {read:2d} numbers read for {flops:3d} flops, {flops / (4 * read):5.2f} flops a byte")

# %% [markdown]
# The first line is the dot product. Tiles like the last ones are what kernels for real processors use. From Python, a
# register cannot be held from one instruction to the next, so this step is out of reach here.
#
# Around that tile lie loops like ours. Goto & van de Geijn (2008) described how they go together: a block of `a` is
# packed so that it stays in the second cache, a panel of `b` so that it stays in the third, slices of it pass through
# the first, and the tile works in the registers. At each level the same thing happens as in `matmul_blocked`. Each is
# as large as its store allows. And packing is what you did in `matmul_rows`, for the same reason.
#
# ## Fewer passes
#
# A product has intensity to spare; an elementwise chain has none. What can be saved there is passes over memory. Four
# versions of GELU, which the activations chapter wrote twice: as a formula of operations, and in place on an array of
# its own. The third also reuses the memory of its result, which is handed to it, and the fourth does all of that in
# chunks.

# %%
passes_guess = prediction("the formula against chunks, GELU", None, None)

# %%
def gelu_into(x, out):
    """GELU without any new array: `out` holds every step."""
    np.multiply(x, x, out=out)
    out *= 0.044715 * GELU_SCALE
    out += GELU_SCALE
    out *= x
    np.tanh(out, out=out)
    out += 1
    out *= x
    out *= 0.5


def gelu_in_chunks(x, out):
    for start in range(0, x.size, CHUNK):
        gelu_into(x[start : start + CHUNK], out[start : start + CHUNK])


def gelu_formula(x):
    return 0.5 * x * (1 + np.tanh(GELU_SCALE * (x + 0.044715 * x * x * x)))


print("entries         formula   in place   into out   in chunks    (ns an entry)")
for n in (2**16, 2**20, 2**24):
    x, out = rng.standard_normal(n, dtype=np.float32), np.ones(n, dtype=np.float32)
    versions = (lambda: gelu_formula(x), lambda: gelu(x), lambda: gelu_into(x, out), lambda: gelu_in_chunks(x, out))
    times = [*side_by_side(dict(enumerate(versions)), repeat=4, number=max(1, 2**18 // n)).values()]
    print(f"{n:10,d}   {''.join(f'{1e9 * t / n:11.2f}' for t in times)}")
points["GELU, formula"], points["GELU, chunks"] = ((8 / 8, 8 * n / t) for t in (times[0], times[3]))  # 8 steps, 8 bytes
print(passes_guess.against(times[0] / times[3]))
assert np.allclose(out, gelu_formula(x), atol=1e-6)

# %% [markdown]
# In the first row everything fits into a cache, and what the later versions save there is a few multiplications and
# calls. As the arrays grow, each pass over them costs a trip to memory, and each new array costs more than that (a
# later section finds out why). Chunks make one trip of all passes. Where the caches are large they gain the least over
# the third version, and where memory is slow the most. Too small a chunk would lose again, since every chunk pays for
# its calls.
#
# ### An operation for the library
#
# A kernel like that is worth having in a network, and there it can save more. The derivative of GELU needs the same
# `tanh` again:
#
# $$t = \tanh\!\big(x\,(c + c\,k\,x^2)\big), \qquad \mathrm{gelu}(x) = \tfrac{1}{2}\,x\,(1 + t),$$
#
# $$\mathrm{gelu}'(x) = \tfrac{1}{2}(1 + t) + \tfrac{1}{2}\,x\,(1 - t^2)\,(c + 3\,c\,k\,x^2),$$
#
# with $c = \sqrt{2/\pi}$ and $k = 0.044715$. `gelu` throws $t$ away, and its row in the table of derivatives computes
# it anew. Where a chunk lies in the cache anyway, the slope costs a few more steps and no trip to memory for its
# ingredients. So compute both at once, and keep the slope: backward is then a single product.
#
# First the two formulas as they stand, with a new array for each step, against a measured slope. The exercise computes
# the same numbers and makes no new arrays on the way.

# %%
x, c, k = np.array([-2.0, -0.5, 0.0, 1.0]), GELU_SCALE, 0.044715
t = np.tanh(x * (c + c * k * x**2))
print("value         ", 0.5 * x * (1 + t))
print("slope         ", 0.5 * (1 + t) + 0.5 * x * (1 - t**2) * (c + 3 * c * k * x**2))
print("slope measured", (gelu(x + 1e-5) - gelu(x - 1e-5)) / 2e-5)

# %% nbgrader={"grade": false, "grade_id": "gelu_with_slope", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
CUBE = 0.044715  # k in the formulas


def gelu_with_slope(x, chunk: int = CHUNK) -> tuple:
    """GELU in its tanh form and its derivative, in one go over cache-sized chunks.

    Parameters
    ----------
    x : array of floats, any shape
        Left as it is.
    chunk : int, at least 1
        Entries that are finished before the next ones are begun.

    Returns
    -------
    value, slope : arrays of the shape and dtype of x

    Raises
    ------
    TypeError
        Where x holds no floats.
    ValueError
        Where chunk is below 1.

    Notes
    -----
    Below, all arrays have one axis. `value` and `slope` are filled chunk by chunk. `scratch` has room for one chunk
    and holds what lies between: for a last chunk that is shorter, use its beginning. Besides these three, make no array as large
    as x. ``np.multiply``, ``np.add``, ``np.subtract`` and ``np.tanh`` take ``out=``. `GELU_SCALE` is c, and `CUBE` is k.

    One order that works: c k x^2 + c into scratch; times x, tanh; half of 1 + t into value, which is the first part of the slope;
    1 - t^2 in scratch; c + 3 c k x^2 into slope; their product times x / 2, plus value; last, value times x.

    References
    ----------
    Hendrycks & Gimpel (2016), Gaussian Error Linear Units.
    """
    x, chunk = np.asarray(x), checked_size(chunk, "gelu_with_slope", "chunk")
    check_floats("gelu_with_slope", x)
    flat = x.reshape(-1)
    value, slope, scratch = np.empty_like(flat), np.empty_like(flat), np.empty(min(chunk, flat.size), flat.dtype)
    ### BEGIN SOLUTION gelu_with_slope
    for start in range(0, flat.size, chunk):
        part, v, s = (array[start : start + chunk] for array in (flat, value, slope))
        t = scratch[: part.size]
        np.multiply(part, part, out=s)
        s *= GELU_SCALE * CUBE
        np.add(s, GELU_SCALE, out=t)
        t *= part
        np.tanh(t, out=t)
        np.add(t, 1, out=v)
        v *= 0.5
        t *= t
        np.subtract(1, t, out=t)
        s *= 3
        s += GELU_SCALE
        s *= t
        s *= part
        s *= 0.5
        s += v
        v *= part
    ### END SOLUTION
    return unboxed(value.reshape(x.shape)), unboxed(slope.reshape(x.shape))


# %% [raw] tags=["exercise"]
# gelu_with_slope:
#   title: Value and slope in one go
#   hints:
#     - Which parts do the two formulas share, and in which of your three arrays can each part wait until it is used for the last time?
#     - For each start in steps of chunk, take slices of flat, value and slope, and the beginning of scratch. Follow the order in the notes, every step with out= or in place.
#     - "np.tanh(t, out=t), then np.add(t, 1, out=v), v *= 0.5, and so on; the last step is v *= ..."
#   misconceptions:
#     - name: the gate alone
#       says: >-
#         The value is (1 + t) / 2, the factor by which x is multiplied. The last step is missing: times x.
#       code: |
#         for start in range(0, flat.size, chunk):
#             part, v, s = (array[start : start + chunk] for array in (flat, value, slope))
#             t = np.tanh(part * (GELU_SCALE + GELU_SCALE * CUBE * part * part))
#             v[:] = 0.5 * (1 + t)
#             s[:] = v + 0.5 * part * (1 - t * t) * (GELU_SCALE + 3 * GELU_SCALE * CUBE * part * part)
#     - name: drops the second part of the slope
#       says: >-
#         The slope is a sum of two parts, since x stands in front of the bracket and inside the tanh. The part through the tanh is missing.
#       code: |
#         for start in range(0, flat.size, chunk):
#             part, v, s = (array[start : start + chunk] for array in (flat, value, slope))
#             t = np.tanh(part * (GELU_SCALE + GELU_SCALE * CUBE * part * part))
#             s[:] = 0.5 * (1 + t)
#             v[:] = s * part
#     - name: forgets the three
#       says: >-
#         The derivative of x + k x^3 is 1 + 3 k x^2. The 3 is missing.
#       code: |
#         for start in range(0, flat.size, chunk):
#             part, v, s = (array[start : start + chunk] for array in (flat, value, slope))
#             t = np.tanh(part * (GELU_SCALE + GELU_SCALE * CUBE * part * part))
#             v[:] = 0.5 * (1 + t) * part
#             s[:] = 0.5 * (1 + t) + 0.5 * part * (1 - t * t) * (GELU_SCALE + GELU_SCALE * CUBE * part * part)
#     - name: whole arrays
#       says: >-
#         The values are right, and each step made an array as large as x. Take slices of chunk entries, and let out= and in-place operators write into
#         value, slope and scratch.
#       code: |
#         t = np.tanh(flat * (GELU_SCALE + GELU_SCALE * CUBE * flat * flat))
#         value[:] = 0.5 * (1 + t) * flat
#         slope[:] = 0.5 * (1 + t) + 0.5 * flat * (1 - t * t) * (GELU_SCALE + 3 * GELU_SCALE * CUBE * flat * flat)
#     - name: loses the rest
#       says: >-
#         The entries behind the last whole chunk were never computed. A slice that reaches over the end is shorter; use only as much of scratch.
#       code: |
#         value[:], slope[:] = 0, 0
#         for i in range(flat.size // chunk):
#             part, v, s = (array[i * chunk : (i + 1) * chunk] for array in (flat, value, slope))
#             t = np.tanh(part * (GELU_SCALE + GELU_SCALE * CUBE * part * part))
#             v[:] = 0.5 * (1 + t) * part
#             s[:] = 0.5 * (1 + t) + 0.5 * part * (1 - t * t) * (GELU_SCALE + 3 * GELU_SCALE * CUBE * part * part)

# %% nbgrader={"grade": true, "grade_id": "test_gelu_with_slope", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
def test_gelu_with_slope():
    x = np.array([-1.0, 2.0, 0.0, 1.0, 3.0])
    check(gelu_with_slope(x)[0], [-0.1588080, 1.9545977, 0.0, 0.8411920, 2.9963627])
    check(gelu_with_slope(x)[1], [-0.0829641, 1.0860993, 0.5, 1.0829641, 1.0115842])
    check(gelu_with_slope(x, chunk=2)[0], [-0.1588080, 1.9545977, 0.0, 0.8411920, 2.9963627])
    check(gelu_with_slope(x, chunk=2)[1], [-0.0829641, 1.0860993, 0.5, 1.0829641, 1.0115842])
    check(x, [-1.0, 2.0, 0.0, 1.0, 3.0])
    check(gelu_with_slope(np.array([[1.0, -1.0], [0.0, 2.0]]).T)[0], [[0.8411920, 0.0], [-0.1588080, 1.9545977]])
    check(gelu_with_slope(np.array([-1e4, 1e4])), ([0.0, 1e4], [0.0, 1.0]))
    large = np.ones(100_000, np.float32)
    check(peak_bytes(lambda: gelu_with_slope(large, 1000)) < 900_000, True)
    check([str(part.dtype) for part in gelu_with_slope(large)], ["float32", "float32"])
    check(gelu_with_slope(np.float64(1.0)), (0.8411920, 1.0829641))
    check(gelu_with_slope(np.ones((0, 3)))[1].shape, (0, 3))
    check_raises(ValueError, lambda: gelu_with_slope(x, chunk=0), "chunk is 0")
    check_raises(TypeError, lambda: gelu_with_slope(np.arange(3)), "holds int64")

test_gelu_with_slope()

# %% [markdown]
# To the library it is an operation like any other: a function of arrays, which returns a result and what its derivative
# wants kept, and a row in the table. The row is yours. The rule gets the gradient `g` of the result, and `kept`, which
# here is the slope. The composition is what gradients of gradients are taken through.

# %%
#| export
@operation(keeps=True)
def fused_gelu(x, /):
    """GELU whose slope is computed along with its value, and kept for backward."""
    return gelu_with_slope(floating(x))


# %% nbgrader={"grade": false, "grade_id": "fused_gelu_row", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
### BEGIN SOLUTION fused_gelu_row
gradient(fused_gelu, composition=gelu_composed, x=lambda g, kept: g * kept)
### END SOLUTION

# %% [raw] tags=["exercise"]
# fused_gelu_row:
#   title: The fused operation's row
#   blank: |
#     gradient(fused_gelu, composition=gelu_composed, x=lambda g: unsolved("fused_gelu_row"))
#   hints:
#     - How fast does the result change with x, and where has that been computed already?
#     - The rule for x takes g and kept. The slope of each entry was kept; the chain rule says what to do with g and the slope.
#     - "gradient(fused_gelu, composition=gelu_composed, x=lambda g, kept: ...)"
#   misconceptions:
#     - name: the slope alone
#       says: >-
#         The rule gives the local slope and leaves out g, how fast the loss changes with the result. The chain rule multiplies them.
#       code: |
#         gradient(fused_gelu, composition=gelu_composed, x=lambda g, kept: kept)
#     - name: the value in place of the slope
#       says: >-
#         g was multiplied by the result. What belongs there is the slope, which the operation kept.
#       code: |
#         gradient(fused_gelu, composition=gelu_composed, x=lambda g, out: g * out)
#     - name: hands g on
#       says: >-
#         The gradient was handed on as it came, as if the slope were 1 everywhere.
#       code: |
#         gradient(fused_gelu, composition=gelu_composed, x=lambda g: g)
#     - name: without a composition
#       says: >-
#         The first derivative is right. For gradients of gradients the library needs to know what the operation equals: composition=gelu_composed.
#       code: |
#         gradient(fused_gelu, x=lambda g, kept: g * kept)

# %% nbgrader={"grade": true, "grade_id": "test_fused_gelu_row", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_fused_gelu_row():
    x = Variable(np.array([-1.0, 0.0, 1.0]))
    out = fused_gelu(x)
    check(out, [-0.1588080, 0.0, 0.8411920])
    (out * Tensor(np.array([1.0, 10.0, 100.0]))).sum().backward()
    check(x.grad, [-0.0829641, 5.0, 108.2964116])
    z = Variable(np.float64(0.0))
    (slope,) = gradients(fused_gelu(z), [z], create_graph=True)
    check(slope, 0.5)
    check(gradients(slope, [z])[0], 0.7978846)
    check(str(fused_gelu(Tensor([1, 2])).dtype), "float32")

test_fused_gelu_row()

# %%
#| export
class FusedGELU(GELU):
    """`fused_gelu` as an object. A GELU, so that `create_mlp` draws the same starting values for both."""

    def forward(self, x):
        """GELU of x, entry by entry."""
        return fused_gelu(x)


# %% [markdown]
# Now in a training. Two networks with the same weights see the same batches of digits, one with the library's GELU and
# one with ours. The gradients are checked against differences first. Then both train, and in the end a step of each is
# timed, for the small batches of this course and for a wide layer.

# %%
step_guess = prediction("a training step with GELU against the fused one, wide layer", None, None)

# %%
train, test = digits_split()
loss_function = CrossEntropyLoss()
pair = [create_mlp(64, [64], 10, activation=activation, rng=0) for activation in (GELU, FusedGELU)]
x, y = next(iter(DataLoader(train, batch_size=8, seed=0)))
print(f"gradients against differences: {check_gradients(lambda x: loss_function(pair[1](x), y), x.data):.0e}")
for model in pair:
    trainer = Trainer(model, GradientDescent(model.parameters(), 0.1), loss_function, [Accuracy()])
    trainer.fit(DataLoader(train, batch_size=32, seed=0), epochs=5, quiet=True)
    accuracy = trainer.evaluate(DataLoader(test, batch_size=360, shuffle=False))["accuracy"]
    print(f"{model[1]!r:12s} test accuracy {accuracy:.3f}")
difference = max(abs(p.data - q.data).max() for p, q in zip(*(model.parameters() for model in pair)))
print(f"after {5 * len(DataLoader(train, batch_size=32))} steps the weights differ by at most {difference:.0e}")

with blas_threads(1):
    for hidden, batch_size in ((64, 32), (2048, 256)):
        x, y = next(iter(DataLoader(train, batch_size=batch_size, seed=0)))
        steps = {}
        for activation in (GELU, FusedGELU):
            model = create_mlp(64, [hidden], 10, activation=activation, rng=0)
            optimizer = GradientDescent(model.parameters(), 0.01)
            steps[activation] = lambda model=model, optimizer=optimizer: train_step(model, optimizer, loss_function, x, y)
        times = [*side_by_side(steps, repeat=20, number=2).values()]
        print(f"{hidden:5d} hidden units, batch of {batch_size:3d}:  GELU {1e3 * times[0]:6.2f} ms   fused {1e3 * times[1]:6.2f} ms")
print(step_guess.against(times[0] / times[1]))

# %% [markdown]
# The two agree up to rounding, so the step is the same and only its price differs. The slope has a price of its own: it
# is computed even if no backward follows, when the network is only used. A kernel that is best for training need not be
# best for everything.
#
# ## What a new array costs
#
# One column of the GELU table is still unexplained: for large arrays, writing into memory that is there already is
# faster than making a new array, by more than a pass. Memory from the system comes in *pages*, and comes as a promise: a
# page is only looked for when it is first touched. Each first touch is a *page fault*; the system stops the program, finds a page, fills it
# with zeros, and lets it go on. The C library gives large blocks back to the system as soon as they are freed. So a
# program that makes and drops large arrays pays for the same pages again and again.
#
# `tinytorch.memory.keep_memory` asks the library (glibc, on Linux) to keep freed blocks of up to 32 MB. That cannot be
# taken back, so the experiment runs in processes of its own: one as it is, one with the switch.

# %%
faults_guess = prediction("the same arithmetic, memory given back against kept", None, None)

# %%
PROGRAM = """
import sys, time
import numpy as np
from tinytorch.memory import keep_memory

if sys.argv[1] == "kept":
    keep_memory()
x = np.ones(2**21, dtype=np.float32)  # 8 MB

def faults():
    try:
        import resource
    except ImportError:  # Windows does not count them for us
        return float("nan")
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

best, before = float("inf"), faults()
for _ in range(20):
    start = time.perf_counter()
    np.sqrt(x * x + x) * x
    best = min(best, time.perf_counter() - start)
print(best, (faults() - before) / 20)
"""
surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
took = {}
for way in ("given back", "kept"):
    command = [sys.executable, "-c", PROGRAM, way]
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=True)
    took[way], faults = map(float, done.stdout.split())
    print(f"memory {way:12s} {1e3 * took[way]:7.2f} ms   {faults:7.0f} page faults a round")
print(faults_guess.against(took["given back"] / took["kept"]))

# %% [markdown]
# If the second line shows far fewer faults, the difference in time is theirs: the arithmetic is the same. (On macOS and
# Windows the switch does nothing, and the lines should agree.) There are two ways out, and they go together. Keep the
# memory; or do not ask for it, with `out=` and in place. The fused layers of this library do the second.
#
# ## Several cores
#
# A machine has several cores, and rows of a product do not depend on each other. So give each of several threads a
# block of rows. In Python, only one thread at a time runs Python code: the interpreter has a lock. But NumPy lets go of
# it inside large kernels, so that threads whose work lies in there can run side by side. BLAS could do the same by
# itself, and usually does; held to one thread, it leaves the cores to ours.
#
# A *pool* keeps the threads and hands them work: `pool.map` calls a function once for each set of arguments. And a
# number of rows has to be cut into parts even where it does not divide:

# %%
with ThreadPoolExecutor(max_workers=2) as pool:
    print("differences, each found in a thread:", list(pool.map(lambda start, stop: stop - start, [0, 3, 5], [3, 5, 9])))
print("7 rows for 3 threads, cut at", np.linspace(0, 7, 4).astype(int))

# %% nbgrader={"grade": false, "grade_id": "matmul_parallel", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def matmul_parallel(a, b, threads: int = 2, product=np.matmul) -> np.ndarray:
    """The matrix product, a block of rows for each thread.

    Parameters
    ----------
    a : array of floats, shape (N, D)
    b : array of floats, shape (D, K)
    threads : int, at least 1
        As many blocks, of which none has more than a row more than another. May be more than there are rows.
    product : callable ``(a, b) -> array``
        Multiplies a block of rows by b.

    Returns
    -------
    array, shape (N, K)

    Raises
    ------
    ValueError
        Where the shapes do not fit, or threads is below 1.
    TypeError
        Where an array holds no floats.

    Notes
    -----
    ``pool.map(f, xs, ys)`` calls ``f(x, y)`` for each pair in the pool's threads. What f raises is raised where
    the results are taken from it, so take them: ``list(pool.map(...))``. The boundaries of `threads` blocks that differ by one row
    at most are ``np.linspace(0, N, threads + 1).astype(int)``.
    """
    a, b = checked_matrices("matmul_parallel", a, b)
    threads = checked_size(threads, "matmul_parallel", "threads")
    out = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    with blas_threads(1), ThreadPoolExecutor(max_workers=threads) as pool:
        ### BEGIN SOLUTION matmul_parallel
        def fill(start, stop):
            out[start:stop] = product(a[start:stop], b)

        edges = np.linspace(0, len(a), threads + 1).astype(int)
        list(pool.map(fill, edges[:-1], edges[1:]))
        ### END SOLUTION
    return out


# %% [raw] tags=["exercise"]
# matmul_parallel:
#   title: A block of rows for each thread
#   hints:
#     - Which rows of a are needed for rows start to stop of the result, and does any other thread write there?
#     - Write a function of start and stop that fills these rows of out. Cut 0 to N into as many pieces as there are threads. Map the function over the beginnings and the ends.
#     - "list(pool.map(fill, edges[:-1], ...))"
#   misconceptions:
#     - name: loses the rest
#       says: >-
#         Some rows were never computed: N // threads rows for each thread do not add up to N. Take boundaries that begin at 0 and end at N.
#       code: |
#         rows = len(a) // threads
#         def fill(i):
#             out[i * rows : (i + 1) * rows] = product(a[i * rows : (i + 1) * rows], b)
#         list(pool.map(fill, range(threads)))
#     - name: one after the other
#       says: >-
#         No two blocks were computed at the same time. Waiting for a result, as in submit(...).result(), before the next block is handed over
#         leaves one thread working.
#       code: |
#         def fill(start, stop):
#             out[start:stop] = product(a[start:stop], b)
#         edges = np.linspace(0, len(a), threads + 1).astype(int)
#         for start, stop in zip(edges[:-1], edges[1:]):
#             pool.submit(fill, start, stop).result()
#     - name: everything in each thread
#       says: >-
#         Each thread was given all rows: the whole product was computed several times over, or it was cut by the columns of b. A thread gets its own
#         rows alone.
#       code: |
#         def fill(i):
#             out[:] = product(a, b)
#         list(pool.map(fill, range(threads)))
#     - name: the last one takes the rest
#       says: >-
#         The blocks differ by more than a row. The longest one decides when all is done: spread the rest over the threads, as np.linspace does.
#       code: |
#         rows = len(a) // threads
#         def fill(i):
#             stop = (i + 1) * rows if i < threads - 1 else len(a)
#             out[i * rows : stop] = product(a[i * rows : stop], b)
#         list(pool.map(fill, range(threads)))
#     - name: errors get lost
#       says: >-
#         An error in a thread went unnoticed, and what came back was never computed. Take the results of pool.map, with list, so that it is raised.
#       code: |
#         def fill(start, stop):
#             out[start:stop] = product(a[start:stop], b)
#         edges = np.linspace(0, len(a), threads + 1).astype(int)
#         pool.map(fill, edges[:-1], edges[1:])

# %% nbgrader={"grade": true, "grade_id": "test_matmul_parallel", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_matmul_parallel():
    a, b = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([[1.0, 10.0], [100.0, 0.0]])
    check(matmul_parallel(a, b, threads=1), [[201.0, 10.0], [403.0, 30.0], [605.0, 50.0]])
    check(matmul_parallel(a, b, threads=2), [[201.0, 10.0], [403.0, 30.0], [605.0, 50.0]])
    check(matmul_parallel(a, b, threads=7), [[201.0, 10.0], [403.0, 30.0], [605.0, 50.0]])
    check(matmul_parallel(np.ones((0, 2)), b).shape, (0, 2))
    rows, barrier = [], threading.Barrier(2)
    def together(x, y):
        barrier.wait(timeout=5)  # passed by two threads at a time
        rows.append(len(x))
        return x @ y
    check(matmul_parallel(np.ones((4, 3)), np.ones((3, 1)), 2, together), [[3.0], [3.0], [3.0], [3.0]])
    check(sum(rows), 4)
    sizes = []
    def measured(x, y):
        sizes.append(len(x))
        return x @ y
    check(matmul_parallel(np.ones((8, 2)), np.ones((2, 1)), 3, measured), np.full((8, 1), 2.0))
    check(sorted(sizes), [2, 3, 3])  # eight rows for three threads
    def failing(x, y):
        raise RuntimeError("the block failed")
    check_raises(RuntimeError, lambda: matmul_parallel(a, b, 2, failing), "the block failed")
    check_raises(ValueError, lambda: matmul_parallel(a, b, threads=0), "threads is 0")
    check_raises(ValueError, lambda: matmul_parallel(a, a), "(3, 2) and (3, 2)")

test_matmul_parallel()

# %% [markdown]
# Your guess for two threads on large matrices: how many times as fast as one? And for the three loops, which are Python
# throughout?

# %%
large_guess = prediction("two threads against one, size 1024", None, None)
loops_guess = prediction("two threads against one, the three loops", None, None)

# %%
lock = getattr(sys, "_is_gil_enabled", lambda: True)()
print("only one thread at a time runs Python:", lock)
print("cores that this process may use:", len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
print("size     one thread    two threads    times as fast")
for n, product in ((32, np.matmul), (128, np.matmul), (512, np.matmul), (1024, np.matmul), (32, matmul_naive)):
    a, b = (rng.standard_normal((n, n), dtype=np.float32) for _ in range(2))
    with blas_threads(1):
        one, two = side_by_side({1: lambda: product(a, b), 2: lambda: matmul_parallel(a, b, 2, product)}, repeat=15).values()
    print(f"{n:4d}  {1e3 * one:10.3f} ms  {1e3 * two:10.3f} ms  {one / two:12.2f}   {product.__name__}")
    if n == 1024:
        print(large_guess.against(one / two))
print(loops_guess.against(one / two))

# %% [markdown]
# Starting threads and handing them work takes a fixed time, which a small product does not last. So where the last
# column is below 1, two threads were slower than one. They pay from the size at which it passes 1, if it does, and it
# need not: there has to be a second core, and cores that are shared with other programs, as on most servers, are not
# ours alone. Two that share their insides (*hyperthreads*) add little to each other. And where memory is the limit, a
# second core waits for the same memory as the first.
#
# The loops in the last line are another case. Where the first line says True, they hold the interpreter's lock all along,
# and two threads only take turns: whatever that line shows around 1 is chance and the price of the threads. Where it says
# False, Python was built without that lock, and they can gain as a product does.
#
# ## Compiling the loops
#
# The interpreter was the problem of the three loops, not the loops. A *just-in-time compiler* translates a Python
# function into machine code when it is first called, for the types that it is called with. numba is one (Lam, Pitrou &
# Seibert 2015). The library does not need it, so it is imported where it is used, and without it this section says what
# to install, and the chapter goes on.

# %%
#| export
def compiled(function):
    """`function` as machine code, made by numba at its first call for each combination of types.

    Parameters
    ----------
    function : callable
        Loops over arrays and numbers; no Tensors.

    Returns
    -------
    callable
        Does not hold the interpreter's lock while it runs, so that threads may run it side by side.

    Raises
    ------
    ImportError
        Where numba is not installed.
    """
    try:
        import numba
    except ImportError as error:
        raise ImportError("compiled: numba is not installed. It is the extra numba: python -m pip install -e '.[numba]'") from error
    return numba.njit(nogil=True)(function)


# %% [markdown]
# Two versions of the three loops. They differ in the order of the two inner ones, and in nothing else. Which is faster,
# and how many times? Think of strides.

# %%
order_guess = prediction("sum innermost against columns innermost, compiled", None, None)

# %%
def sum_innermost(a, b, out):
    for n in range(a.shape[0]):
        for k in range(b.shape[1]):
            for d in range(a.shape[1]):
                out[n, k] += a[n, d] * b[d, k]


def columns_innermost(a, b, out):
    for n in range(a.shape[0]):
        for d in range(a.shape[1]):
            for k in range(b.shape[1]):
                out[n, k] += a[n, d] * b[d, k]


def bias_relu(x, bias, out):
    for n in range(x.shape[0]):
        for k in range(x.shape[1]):
            out[n, k] = max(x[n, k] + bias[k], np.float32(0))


def compiled_product(kernel):
    """A kernel that adds into `out`, as a function of two matrices."""
    def product(a, b):
        out = np.zeros((a.shape[0], b.shape[1]), a.dtype)
        kernel(a, b, out)
        return out

    return product


try:
    kernels = {f.__name__: compiled(f) for f in (sum_innermost, columns_innermost)}
except ImportError as error:
    print(error)
else:
    a, b = (rng.standard_normal((512, 512), dtype=np.float32) for _ in range(2))
    size, took = matmul_cost(512, 512, 512), {}
    for name, kernel in kernels.items():
        product = compiled_product(kernel)
        first = seconds(lambda: product(a[:4, :4].copy(), b[:4, :4].copy()), repeat=1)
        assert np.allclose(product(a, b), a @ b, atol=1e-3)
        took[name] = seconds(lambda: product(a, b), repeat=3 if name == "sum_innermost" else 10)
        points[name.replace("_", " ")] = size.intensity, size.flops / took[name]
        print(f"{name:18s} {1e3 * took[name]:7.1f} ms   {size.flops / took[name] / 1e9:6.2f} Gflops a second   (first call {first:.2f} s: compiling)")
    print(order_guess.against(took["sum_innermost"] / took["columns_innermost"]))
    one, two = side_by_side({1: lambda: product(a, b), 2: lambda: matmul_parallel(a, b, 2, product)}, repeat=10).values()
    print(f"columns innermost in two threads: {one / two:.2f} times as fast as in one")

    x, bias = rng.standard_normal((8192, 1024), dtype=np.float32), rng.standard_normal(1024, dtype=np.float32)
    out, loop = np.empty_like(x), compiled(bias_relu)
    loop(x[:1], bias, out[:1])
    fused = {"one pass": lambda: loop(x, bias, out), "two passes": lambda: np.maximum(np.add(x, bias, out=out), 0, out=out)}
    one_pass, two_passes = side_by_side(fused).values()
    print(f"bias and ReLU on {x.size:,d} entries: NumPy, two passes {1e3 * two_passes:.1f} ms   compiled, one pass {1e3 * one_pass:.1f} ms")

# %% [markdown]
# With numba, the interpreter is gone from both versions, and the order of the loops alone decides between walking down
# columns and walking along rows, between one number at a time and many with one instruction. It is the lesson of the
# packed rows once more. Where the better order stands beside `matmul_rows` and BLAS, the last picture shows. What it
# lacks for BLAS is the tile in the registers.
#
# Compiled loops are also the simplest way to fuse: `bias_relu` is one pass, without chunks and without buffers. Whether
# it beats two good passes of NumPy is not settled by that. NumPy's own loops are compiled as well, and its `tanh` works
# on many numbers at once, which a plain loop does not.
#
# ## All of it under one roof

# %%
peak, memory_bandwidth = max(peak, measured_peak()), max(memory_bandwidth, bandwidth(2**24))  # the machine may have been busy before
points["triad"] = 2 / 12, memory_bandwidth * 2 / 12
plot_roofline(points, peak, memory_bandwidth).set_title("Between the loops and the roof lie the caches, the registers and the interpreter")
plt.show()
for name, (intensity, rate) in sorted(points.items(), key=lambda item: item[1][1]):
    print(f"{name:20s} {rate / 1e9:10.4f} Gflops a second   {100 * rate / attainable(intensity, peak, memory_bandwidth):8.3f}% of what its roof allows")

# %% [markdown]
# The intensity here is that of the work: it counts every array once, however often a version really moves it. So two
# versions of one kernel stand above each other, and the distance between them is what the better one saves. The triad
# touches the slope, since the slope was measured with it. A kernel
# can come out above the slope on the left. Then its arrays, or part of them, were still in a cache, and the cache has a
# roof of its own. (A `tanh` is counted as one flop, which is modest: it takes a dozen or more, all of them in the
# cache.)
#
# ## Against the real thing
#
# The kernels against NumPy, for shapes that fit no block, single rows and columns, empty matrices, and matrices that
# are views with odd strides. And the fused operation against PyTorch, where it is installed.

# %%
compared = 0
for n, d, k in ((1, 1, 1), (5, 7, 3), (64, 65, 63), (1, 40, 1), (0, 3, 2), (3, 0, 2), (33, 20, 130)):
    x, w = rng.standard_normal((2 * n, d)), rng.standard_normal((k, d))
    for a, b in ((x[:n], w.T), (x[::2], w.T.copy()), (x[::-2], w[:, ::-1].T)):
        for product in (matmul_rows, lambda a, b: matmul_blocked(a, b, 16), lambda a, b: matmul_parallel(a, b, 3)):
            assert np.allclose(product(a, b), a @ b, rtol=1e-10, atol=1e-12)
            compared += 1
print(compared, "results agree with NumPy")

try:
    import torch
except ImportError:
    print("PyTorch is not installed: the fused operation was not compared")
else:
    values = rng.standard_normal((50, 20))
    ours, theirs = Variable(values), torch.tensor(values, requires_grad=True)
    out, reference = fused_gelu(ours), torch.nn.functional.gelu(theirs, approximate="tanh")
    (out * out).sum().backward()
    (reference * reference).sum().backward()
    assert np.allclose(out.data, reference.detach().numpy()) and np.allclose(ours.grad.data, theirs.grad.numpy())
    print("fused_gelu and its gradient agree with PyTorch", torch.__version__)

# %% [markdown]
# ## Where next
#
# - *The best block.* `CHUNK` and `block=128` are guesses about a machine that nobody asked. Write `best_block(sizes)`
#   that measures and chooses; libraries such as ATLAS were built that way (Whaley & Dongarra 1998). How much does it
#   gain over the guess, and is it the same tomorrow?
# - *Softmax in one pass.* A stable softmax goes over a row three times: for the maximum, for the sum, for the quotient.
#   The first two can be one, if the sum is corrected whenever a new maximum turns up (Milakov & Gimelshein 2018). Write
#   it with chunks, and count the bytes.
# - *A tile.* With numba, hold two rows by two columns of the result in four plain variables, in the loop over `d`. How
#   many flops for each number read is that, and how much of it can be measured?
#
# Left out here, and present in real libraries: instructions written by hand for each processor, prefetching, the choice
# between kernels by shape, half precision, and all that a graphics processor does differently. The roofline holds there
# too; only its numbers are larger.
#
# One thing was done lightly in this chapter. A ratio of two minima stood for "faster", on a machine where other
# programs run as well. How sure can one be of such a number, and what does a user notice who waits for the slowest
# answer, not for the fastest?
