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
#
# With Tensors and a matrix product one can already write down something that looks like a network: multiply the data
# by a matrix, multiply the result by another matrix, and so on. It would be a disappointment. However many matrices
# are stacked, the whole stack can do no more than a single one, and a single one cannot even tell whether exactly one
# of two switches is on.
#
# What is missing costs one line: between two products, bend every number through a function that is not a straight
# line. Such a function is called an *activation*. This chapter builds the ones in use, and there are three things to
# say about each: what it does to a number, how steep it is (training will live on that slope), and whether it still
# works when its input is ten thousand. The last is where the textbook formulas fail.

# %%
#| default_exp core.activations

# %%
#| export
import numpy as np

from tinytorch.core.tensor import Tensor, exp, log, operation, reduce_max, reduce_sum, tanh

# %%
import math

import matplotlib.pyplot as plt

from tinytorch.core.tensor import maximum, randn
from tinytorch.memory import peak_bytes
from tinytorch.testing import check, check_raises
from tinytorch.timing import seconds
from tinytorch.watched import new_arrays

# %% [markdown]
# ## Two straight lines make a straight line
#
# First the disappointment, on screen. Five rows of data go through a (4, 8) matrix and then through an (8, 3) matrix.
# Since `(x @ w1) @ w2` is `x @ (w1 @ w2)`, one (4, 3) matrix gives the same numbers; what is left of the difference
# is rounding.

# %%
rng = np.random.default_rng(0)
x, w1, w2 = randn((5, 4), rng), randn((4, 8), rng), randn((8, 3), rng)
two_layers, one_layer = (x @ w1) @ w2, x @ (w1 @ w2)
print(f"largest difference without anything in between    {abs(two_layers - one_layer).max():.7f}")
print(f"the same with the negative numbers set to zero    {abs(maximum(x @ w1, 0) @ w2 - one_layer).max():.7f}")

# %% [markdown]
# The second line already holds the cure. Setting negative numbers to zero between the two products gives results that
# this one matrix does not give.
#
# What a straight line cannot do shows on the smallest problem there is. Two switches; the answer is 1 if exactly one
# of them is on (*XOR*). Take any matrix and any offset, and add up the answers at opposite corners of the square:

# %%
corners = Tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
for _ in range(3):
    both_off, both_on, second, first = corners @ randn(2, rng) + randn((), rng)
    print(f"f(0,0) + f(1,1) = {both_off + both_on:7.4f}     f(0,1) + f(1,0) = {second + first:7.4f}")
print("XOR has 0 + 0 = 0           and needs 1 + 1 = 2")

# %% [markdown]
# The two sums agree for every straight function, and XOR needs them to differ. No amount of training gets around
# that. The layers chapter solves XOR with two layers and the function we build now.
#
# ## ReLU: the smallest bend
#
# The *rectified linear unit* keeps what is positive and replaces the rest by zero: `max(x, 0)`. It has one corner,
# and corners can be put together: `|x|` is `relu(x) + relu(-x)`, and any zigzag is a sum of shifted and scaled ReLUs.
#
# All functions of this chapter have the same form. The decorator `operation`, from the tensor chapter, takes care of
# Tensors: inside the function, `x` is always a NumPy array or, where there are no axes, a NumPy number. What you
# write has to work for both, and return the same kind of thing in the same dtype.

# %% nbgrader={"grade": false, "grade_id": "relu", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
@operation
def relu(x, /):
    """max(x, 0), entry by entry (Nair & Hinton 2010).

    Parameters
    ----------
    x : array or number, any shape

    Returns
    -------
    like x

    Notes
    -----
    NaN stays NaN. `np.maximum(a, b)` is the larger of each pair of entries.

    Examples
    --------
    >>> relu(Tensor([-2.0, 0.0, 3.0]))
    Tensor([0., 0., 3.])
    """
    ### BEGIN SOLUTION relu
    return np.maximum(x, 0)
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# relu:
#   title: The smallest bend
#   hints:
#     - For each entry, which of two numbers do you want? NumPy has a function for the larger of two.
#     - Compare x with 0, entry by entry, and keep the larger. One call does it, for arrays of any shape and for single numbers.
#     - "return np.maximum(x, ...), with the number in the gap below which nothing comes out"
#   misconceptions:
#     - name: the maximum of the whole array
#       says: >-
#         np.max looks for the largest entry of an array, and its second argument is an axis. The larger of two, entry
#         by entry, is np.maximum.
#       code: |
#         return np.max(x, 0)
#     - name: returns the mask
#       says: >-
#         x > 0 says which entries are positive; it is true or false. The entries themselves are wanted: what is
#         positive passes unchanged.
#       code: |
#         return x > 0
#     - name: folds the negative side up
#       says: >-
#         Negative numbers came out positive. That is the absolute value; a ReLU makes them zero.
#       code: |
#         return abs(x)
#     - name: keeps the wrong side
#       says: >-
#         The negative numbers passed and the positive ones became zero. The larger of x and 0 is wanted, not the
#         smaller.
#       code: |
#         return np.minimum(x, 0)

# %% nbgrader={"grade": true, "grade_id": "test_relu", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_relu():
    check(relu(Tensor([-2.0, -0.5, 0.0, 0.5, 3.0])), [0.0, 0.0, 0.0, 0.5, 3.0])
    check(relu(Tensor([[1.0, -1.0], [-4.0, 4.0]])), [[1.0, 0.0], [0.0, 4.0]])
    check(relu(Tensor(-7.0)), 0.0)
    check(relu(Tensor([-10000.0, 10000.0])), [0.0, 10000.0])
    check(str(relu(Tensor([-1.5, 1.5])).dtype), "float32")
    check(isinstance(relu(np.float64(2.5)), np.float64), True)
    check(relu(Tensor([math.nan])), [math.nan])

test_relu()

# %% [markdown]
# Three ReLUs make a tent. Each dashed line is straight but for one corner; their sum is zero on both sides and peaks
# in the middle. Rows of tents of different heights follow any curve as closely as one likes, which is the idea behind
# the theorem that one hidden layer suffices to approximate every continuous function (Cybenko 1989 for the sigmoid;
# Leshno et al. 1993 for anything that is no polynomial).

# %%
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666"

t = np.linspace(-1, 3, 401)
parts = [relu(t), -2 * relu(t - 1), relu(t - 2)]
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
for part, label in zip(parts, ("relu(x)", "-2 relu(x - 1)", "relu(x - 2)")):
    ax.plot(t, part, "--", color=GREY, linewidth=1)
    ax.annotate(label, (t[-1], part[-1]), xytext=(4, 0), textcoords="offset points", va="center", color=GREY)
ax.plot(t, sum(parts), color=BLUE, linewidth=2.5)
ax.annotate("their sum", (1.0, 1.0), xytext=(-6, 4), textcoords="offset points", ha="right", color=BLUE)
ax.set(title="Three ReLUs make a tent", xlabel="x", ylabel="value", xlim=(-1, 4.4))
plt.show()

# %% [markdown]
# ## Slopes, and units that die
#
# Training asks of every number in the network: if it is nudged, how does the result move? The answer for one function
# is its slope. The autograd chapter will compute slopes exactly. Until then a *finite difference* does: nudge the
# input by a little both ways, and divide the change of the output by the change of the input.

# %%
def slope(f, x, h=1e-5):
    """Slope of `f` at `x`, from the values a step `h` to either side, in float64."""
    x = np.float64(x)
    return (f(x + h) - f(x - h)) / (2 * h)


for value in (-2.0, 3.0, 0.0):
    print(f"slope of relu at {value:4.1f}: {slope(relu, value):.2f}")

# %% [markdown]
# Zero on the left, one on the right. At the corner itself there is no slope; the finite difference reports the
# average of the two sides. Frameworks have to pick a number for that single point, and they pick 0. So shall we.
#
# The slope 1 is what made ReLU popular: a nudge passes through at full strength. The slope 0 is its weakness. Call
# one column of weights, with its offset, a *unit*: it makes one number of each sample. A unit whose number is
# negative for *every* sample passes on no nudge at all, so nothing in training can tell it how to come back. It is
# *dead*. The cell counts such units among a thousand random ones, as their offset is pushed down.

# %%
samples, weights = randn((500, 10), rng), randn((10, 1000), rng)
for offset in (0.0, -4.0, -8.0, -12.0):
    out = relu(samples @ weights + offset)
    dead = (out.max(axis=0) == 0).numpy().mean()
    silent = (out == 0).numpy().mean()
    print(f"offset {offset:5.1f}   {silent:6.1%} of all outputs are zero   {dead:6.1%} of the units are dead")

# %% [markdown]
# At offset zero half of the outputs are zero and hardly a unit is dead: each still answers to some of the samples.
# Training moves the offsets, and one step that is far too large is enough to change that.
#
# The *leaky* ReLU (Maas et al. 2013) lets a little through on the left: the slope there is 0.01 in place of 0.
# Nothing dies.
#
# From here on a helper stands at the top of each function: `floating` turns integers into float32, so that
# `sigmoid(Tensor([1, 2]))` does not become float64 behind your back.

# %%
#| export
def floating(x):
    """x in a float dtype: floats stay as they are, all else becomes float32."""
    dtype = getattr(x, "dtype", None)
    return x if dtype is not None and dtype.kind == "f" else np.asarray(x).astype(np.float32)[()]


# %% nbgrader={"grade": false, "grade_id": "leaky_relu", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
@operation
def leaky_relu(x, /, slope=0.01):
    """x where it is positive, slope * x elsewhere (Maas et al. 2013).

    Parameters
    ----------
    x : array or number, any shape
    slope : float, at most 1
        Of the left side.

    Returns
    -------
    like x

    Raises
    ------
    ValueError
        Where the slope is greater than 1.

    Notes
    -----
    For x > 0, which of x and slope * x is the larger? And for x < 0?

    Examples
    --------
    >>> leaky_relu(Tensor([-2.0, 3.0]), slope=0.5)
    Tensor([-1.,  3.])
    """
    if not isinstance(slope, (int, float, np.number, Tensor)) or not float(slope) <= 1:
        raise ValueError(f"the slope is {slope!r:.60}, expected a number of at most 1, such as 0.01")
    x, slope = floating(x), float(slope)
    ### BEGIN SOLUTION leaky_relu
    return np.maximum(x, slope * x)
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# leaky_relu:
#   title: A ReLU that leaks
#   hints:
#     - The slope is at most 1. Draw the lines y = x and y = slope * x into one picture. Which of the two is on top, where?
#     - On either side of zero the line on top is the one you want. So a single maximum of two arrays is enough, with no case distinction.
#     - "return np.maximum(x, ...), for below zero the flatter of the two lines is the higher one"
#   misconceptions:
#     - name: the slope in place of slope times x
#       says: >-
#         Every negative entry became the same number, the slope itself. The left side is a line of that slope: slope
#         * x.
#       code: |
#         return np.where(x > 0, x, slope)
#     - name: the lower line
#       says: >-
#         The sides are exchanged: positive numbers were scaled down and negative ones kept. For x > 0, x is the
#         larger of x and slope * x; for x < 0 it is slope * x. Take the larger on both sides.
#       code: |
#         return np.minimum(x, slope * x)
#     - name: the leak added to a full line
#       says: >-
#         The leak was added on both sides: positive numbers came out too large. They pass unchanged; only the
#         negative part is scaled.
#       code: |
#         return np.maximum(x, 0) + slope * x

# %% nbgrader={"grade": true, "grade_id": "test_leaky_relu", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_leaky_relu():
    check(leaky_relu(Tensor([-2.0, -1.0, 0.0, 4.0]), slope=0.5), [-1.0, -0.5, 0.0, 4.0])
    check(leaky_relu(Tensor([[-100.0], [100.0]])), [[-1.0], [100.0]])
    check(leaky_relu(Tensor([-3.0, 3.0]), slope=0), [0.0, 3.0])
    check(leaky_relu(Tensor([-10000.0, 10000.0])), [-100.0, 10000.0])
    check(str(leaky_relu(Tensor([-1.0, 1.0]), slope=np.float64(0.1)).dtype), "float32")
    check(str(leaky_relu(Tensor([-10, 10])).dtype), "float32")
    check_raises(ValueError, lambda: leaky_relu(Tensor([1.0]), slope=2.0), "at most 1")

test_leaky_relu()

# %% [markdown]
# ## Sigmoid: a number becomes a probability
#
# The *sigmoid* squeezes any number into the interval from 0 to 1: `1 / (1 + exp(-x))`. At 0 it is one half. It turns
# a score for "spam" into a probability of spam, and it is the gate inside many larger constructions.
#
# The formula is right, and as code it is wrong: float32 has a largest number, and `exp` passes it soon.

# %%
def naive_sigmoid(x):
    """The formula from the textbook."""
    return 1 / (1 + np.exp(-x))


end = np.finfo(np.float32).max
print(f"the largest float32 is {end:.1e}, which exp(x) passes at x = {np.log(end):.1f}")
with np.errstate(over="raise"):
    for value in (-20, -80, -100):
        try:
            print(f"{value:5d}  {naive_sigmoid(np.float32(value)):.7g}")
        except FloatingPointError as error:
            print(f"{value:5d}  {error}")

# %% [markdown]
# Without `over="raise"` NumPy goes on: `1 / inf` happens to end in 0, near the true value, and only a warning is left.
# A program that prints such warnings on every step soon has them switched off, together with those that matter.
#
# The way out is to choose the formula by the sign. Multiply numerator and denominator by `exp(x)`, and the sigmoid
# reads
#
# $$\sigma(x) = \frac{1}{1 + e^{-x}} = \frac{e^{x}}{1 + e^{x}}.$$
#
# Both hold for every x. For positive x the left one only computes `exp` of negative numbers, for negative x the right
# one. In both cases the exponential is that of `-|x|`. It lies between 0 and 1, and is the `e` that the exercise
# gives you.

# %% nbgrader={"grade": false, "grade_id": "sigmoid", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
@operation
def sigmoid(x, /):
    """1 / (1 + exp(-x)), between 0 and 1, without overflow.

    Parameters
    ----------
    x : array or number, any shape

    Returns
    -------
    like x, in [0, 1]

    Notes
    -----
    With ``e = exp(-|x|)`` the value is ``1 / (1 + e)`` where x >= 0 and ``e / (1 + e)``
    elsewhere. A single number (``x.ndim == 0``) can choose between the two. For an
    array, ``np.where(condition, a, b)`` chooses entry by entry; so does a maximum, since a
    comparison counts as 1 where it holds and as 0 where it does not.

    Small values keep their digits: sigmoid(-20) is 2.0611537e-09, not 0.

    Examples
    --------
    >>> sigmoid(Tensor([-1000.0, 0.0, 1000.0]))
    Tensor([0. , 0.5, 1. ])
    """
    x = floating(x)
    e = np.exp(-abs(x))
    ### BEGIN SOLUTION sigmoid
    if x.ndim == 0:
        return (1 if x >= 0 else e) / (1 + e)
    return np.maximum(e, x >= 0) / (1 + e)
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# sigmoid:
#   title: A sigmoid that never overflows
#   hints:
#     - The denominator is 1 + e on both sides. What is the numerator for x >= 0, and what for x < 0?
#     - For a single number write an ordinary condition. For an array, choose the numerator entry by entry. e is at most 1, so the larger of e and (x >= 0) is 1 where x >= 0, and e elsewhere.
#     - "return np.maximum(e, ...) / (1 + e), with a comparison in the gap: True counts as 1, False as 0"
#   misconceptions:
#     - name: the textbook formula
#       says: >-
#         For large negative x, exp(-x) is larger than the largest float32. The value 1 / inf is right only by luck,
#         and NumPy warns. Use e, the exponential of -|x|, which is never larger than 1.
#       code: |
#         return 1 / (1 + np.exp(-x))
#     - name: forgets the sign
#       says: >-
#         Negative numbers gave the same as positive ones: |x| threw the sign away. For negative x the numerator is e.
#       code: |
#         return 1 / (1 + e)
#     - name: mirrors by subtracting from one
#       says: >-
#         1 - 1/(1 + e) is right on paper. In float32 it subtracts two numbers that agree in their first seven digits,
#         and for x = -20 nothing is left. e / (1 + e) is the same value without a subtraction.
#       code: |
#         right = 1 / (1 + e)
#         return np.where(x >= 0, right, 1 - right)[()]
#     - name: an array without axes
#       says: >-
#         For a single number the result is an array without axes: np.where always returns an array. Take the number
#         out of it with [()], or choose with an ordinary condition.
#       code: |
#         return np.where(x >= 0, 1, e) / (1 + e) if x.ndim else np.where(x >= 0, 1 / (1 + e), e / (1 + e))

# %% nbgrader={"grade": true, "grade_id": "test_sigmoid", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_sigmoid():
    check(sigmoid(Tensor([0.0])), [0.5])
    check(sigmoid(Tensor(np.log([1.0, 2.0, 0.5]))), [0.5, 2 / 3, 1 / 3])
    check(sigmoid(Tensor([[2.0, -2.0]])), [[0.8807971, 0.1192029]])
    check(sigmoid(Tensor(np.log(2.0))), 2 / 3)
    check(sigmoid(Tensor(-np.log(2.0))), 1 / 3)
    check(sigmoid(Tensor([-20.0])), [2.0611537e-09], atol=0)
    check(isinstance(sigmoid(np.float32(0.5)), np.float32), True)
    check(str(sigmoid(Tensor([0.5, 1.5])).dtype), "float32")
    check(str(sigmoid(Tensor([1, 2])).dtype), "float32")
    with np.errstate(over="raise", invalid="raise"):
        check(sigmoid(Tensor([-10000.0, 10000.0])), [0.0, 1.0])
        check(sigmoid(Tensor(-10000.0)), 0.0)

test_sigmoid()

# %% [markdown]
# The hyperbolic tangent, `tanh`, came with the tensor chapter. It is a sigmoid stretched to the interval from -1 to
# 1, so that its outputs are centred on zero: `tanh(x) = 2 sigmoid(2x) - 1`.

# %%
t = np.linspace(-8, 8, 401)
print(f"largest difference between tanh(x) and 2 sigmoid(2x) - 1: {abs(tanh(t) - (2 * sigmoid(2 * t) - 1)).max():.1e}")

# %% [markdown]
# ## Saturation
#
# What do the two do to a nudge? The left panel shows the functions, the right one their slopes, by finite
# differences.

# %%
def draw_with_slopes(functions, title, width=6):
    """Functions in the left panel, their slopes in the right one."""
    t = np.linspace(-width, width, 401)
    fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.2), layout="constrained")
    styles = zip((BLUE, ORANGE, GREEN), ("-", "--", "-."))
    for (name, f), (color, style) in zip(functions.items(), styles):
        axes[0].plot(t, f(t), style, color=color, label=name)
        axes[1].plot(t, slope(f, t), style, color=color, label=name)
    axes[0].set(xlabel="x", ylabel="value")
    axes[1].set(xlabel="x", ylabel="slope")
    axes[0].legend(frameon=False)
    fig.suptitle(title)
    return axes


draw_with_slopes({"sigmoid": sigmoid, "tanh": tanh, "relu": relu}, "Away from zero, sigmoid and tanh go flat")
plt.show()

# %% [markdown]
# Away from zero both are flat; one says they *saturate*. There a nudge is lost, much as in a dead ReLU, only more
# gradually. And even at its steepest the sigmoid divides every nudge by four. In a network with many layers the
# slopes multiply, so we send a number through the same function several times over and measure how much of a nudge
# arrives:

# %%
def repeated(f, times):
    """f applied `times` times, one after the other."""
    def chain(x):
        for _ in range(times):
            x = f(x)
        return x
    return chain


print(f"steepest slope of the sigmoid: {slope(sigmoid, 0.0):.3f}")
print("layers   sigmoid      tanh      relu")
for times in (1, 2, 5, 10):
    row = [slope(repeated(f, times), 1.0, h=1e-3) for f in (sigmoid, tanh, relu)]
    print(f"{times:6d}  {row[0]:.2e}  {row[1]:.2e}  {row[2]:.2e}")

# %% [markdown]
# Ten sigmoids leave less than a millionth of the nudge. This is the *vanishing gradient* (Hochreiter 1991), the
# reason why deep networks of sigmoids were hard to train, and why ReLU, with its slope of exactly one, changed that.
# Sigmoids remain where a number between 0 and 1 is the point: as gates, and at the very end.
#
# ## Softplus: the logarithm next door
#
# `log(1 + exp(x))` is a ReLU with its corner rounded off, and it is what appears whenever one takes the logarithm of
# a sigmoid: `log(sigmoid(x)) = -softplus(-x)`. It has two problems, one at each end: on the right the exponential
# overflows, on the left `1 + exp(x)` is rounded to 1, whose logarithm is 0. The first is cured by pulling the large
# part out,
#
# $$\log(1 + e^{x}) = \max(x, 0) + \log(1 + e^{-|x|}),$$
#
# the second by `np.log1p(e)`, which is log(1 + e) computed without ever forming 1 + e.

# %% nbgrader={"grade": false, "grade_id": "softplus", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
@operation
def softplus(x, /):
    """log(1 + exp(x)), a ReLU without the corner, without overflow.

    Parameters
    ----------
    x : array or number, any shape

    Returns
    -------
    like x, positive

    Notes
    -----
    The identity and the function that it takes stand in the text above.
    """
    x = floating(x)
    ### BEGIN SOLUTION softplus
    return np.maximum(x, 0) + np.log1p(np.exp(-abs(x)))
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# softplus:
#   title: Softplus at both ends
#   hints:
#     - For x = 10000 the answer is 10000 and a tiny rest. Which part of the identity gives the 10000?
#     - Add two terms, the larger of x and 0, and the logarithm of 1 plus the exponential of -|x|. For the second NumPy has a function that keeps small numbers.
#     - "np.log1p(np.exp(-abs(x)))"
#   misconceptions:
#     - name: the textbook formula
#       says: >-
#         For large x the exponential is infinite, and so is its logarithm. Pull the large part out: max(x, 0) plus a
#         term that only needs the exponential of -|x|.
#       code: |
#         return np.log(1 + np.exp(x))
#     - name: log of one plus something tiny
#       says: >-
#         1 + exp(-20) is exactly 1 in float32, so the logarithm came out as 0. np.log1p(e) computes log(1 + e)
#         without adding first.
#       code: |
#         return np.maximum(x, 0) + np.log(1 + np.exp(-abs(x)))
#     - name: leaves out the absolute value
#       says: >-
#         Inside the second term the exponent has to be -|x|. With -x the identity holds for positive x only, and with
#         a negative x the result is too large by |x|.
#       code: |
#         return np.maximum(x, 0) + np.log1p(np.exp(-x))

# %% nbgrader={"grade": true, "grade_id": "test_softplus", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_softplus():
    check(softplus(Tensor([0.0, 2.0])), [0.6931472, 2.126928])
    check(softplus(Tensor(np.log([1.0, 3.0, 9.0]))), np.log([2.0, 4.0, 10.0]))
    check(softplus(Tensor([-2.0])), [0.126928])
    check(softplus(Tensor([-10000.0, 10000.0])), [0.0, 10000.0])
    check(softplus(Tensor([-20.0])), [2.0611537e-09], atol=0)
    check(isinstance(softplus(np.float32(1.0)), np.float32), True)
    check(str(softplus(Tensor([1, 2])).dtype), "float32")

test_softplus()

# %% [markdown]
# ## GELU: a ReLU that is not sure
#
# ReLU multiplies x by 1 or by 0, and decides by the sign. The *Gaussian error linear unit* (Hendrycks & Gimpel 2016)
# multiplies x by a probability, that of a standard normal number being below x. For large x that is 1, for large
# negative x it is 0, and near zero it changes over smoothly. It is the activation of most transformers.
#
# The probability is written with the function `erf`, which NumPy does not have. The same paper gives a form with
# `tanh`, and that is what we build:
#
# $$\mathrm{gelu}(x) = \tfrac{1}{2}\, x \left(1 + \tanh\!\big(\sqrt{2/\pi}\,(x + 0.044715\,x^3)\big)\right).$$
#
# The first version is for reading: the formula, written with operations of the tensor chapter.

# %%
#| export
GELU_SCALE = 0.7978845608028654  # sqrt(2 / pi)


def gelu_composed(x):
    """What `gelu` equals, written with operations."""
    return 0.5 * x * (1 + tanh(GELU_SCALE * (x + 0.044715 * x * x * x)))


# %% [markdown]
# Read as a program, it makes a new array for every operation in it, and each is written to memory and read back. A
# *fused* operation is one function of arrays that computes the same in fewer of them: it makes an array of its own
# and goes on in place, `u *= x` where the formula would have `u = u * x`. There is a second reason. The autograd
# chapter records operations one by one, and what is fused is recorded, and undone, as one.

# %% nbgrader={"grade": false, "grade_id": "gelu", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
@operation
def gelu(x, /):
    """x times the probability that a standard normal number is below x, in the tanh form.

    Parameters
    ----------
    x : array or number, any shape

    Returns
    -------
    like x

    Notes
    -----
    Equals `gelu_composed`, which makes nine new arrays, with at most four. Never write into
    `x`: it belongs to the caller. ``u = x * x`` is an array of our own, and from there on ``u *= c``,
    ``u += c`` and ``u *= x`` cost no further one. Factor first:
    ``x + c * x**3 = x * (1 + c * x**2)``.

    References
    ----------
    Hendrycks & Gimpel (2016), Gaussian Error Linear Units.
    """
    x = floating(x)
    ### BEGIN SOLUTION gelu
    u = x * x
    u *= 0.044715 * GELU_SCALE
    u += GELU_SCALE
    u *= x
    u = np.tanh(u)
    u += 1
    u *= x
    u *= 0.5
    return u
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# gelu:
#   title: GELU in few arrays
#   hints:
#     - Get the values right first, in as many arrays as you like. Then ask of each operation whether its left side is an array that you made yourself.
#     - Start with u = x * x. Scale and add until u is the argument of tanh; take tanh; add 1; multiply by x and by one half.
#     - "u = x * x; u *= 0.044715; u += 1; u *= x; u *= GELU_SCALE; u = np.tanh(u); u += 1; then what stands in front of the bracket"
#   misconceptions:
#     - name: writes into the input
#       says: >-
#         The caller's array was changed. u = x gives the same array a second name, and u *= x then writes into it.
#         Begin with an operation that makes a new array, such as u = x * x.
#       code: |
#         u = x
#         u *= 0.044715 * x * x + 1
#         u *= GELU_SCALE
#         return 0.5 * x * (1 + np.tanh(u))
#     - name: the gate alone
#       says: >-
#         This is the probability by which x is multiplied, not the product. Multiply by x at the end.
#       code: |
#         return 0.5 * (1 + np.tanh(GELU_SCALE * (x + 0.044715 * x * x * x)))
#     - name: the sigmoid form
#       says: >-
#         x * sigmoid(1.702 x) is the other approximation of the same paper, a coarser one. The tanh form is asked
#         for.
#       code: |
#         return x * sigmoid(1.702 * x)
#     - name: leaves out the cube
#       says: >-
#         The argument of tanh has a second term, 0.044715 times the cube of x. Without it the values near 2 are off
#         in the second digit.
#       code: |
#         return 0.5 * x * (1 + np.tanh(GELU_SCALE * x))
#     - name: a new array for every step
#       says: >-
#         The values are right, but they took more than four new arrays. Give the first one a name, u = x * x, and go
#         on in it: u *= ..., u += ... and np.tanh(u, out=u) write into the array that is there.
#       code: |
#         return gelu_composed(x)

# %% nbgrader={"grade": true, "grade_id": "test_gelu", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_gelu():
    x = np.array([-1.0, 2.0])
    check(gelu(x), [-0.1588080, 1.9545977])
    check(x, [-1.0, 2.0])
    check(gelu(Tensor([[0.0, 1.0, 3.0]])), [[0.0, 0.8411920, 2.9963627]])
    check(gelu(Tensor(1.0)), 0.8411920)
    check(gelu(Tensor([-10000.0, 10000.0])), [0.0, 10000.0])
    check(gelu(np.linspace(-4, 4, 50)), gelu_composed(np.linspace(-4, 4, 50)))
    check(new_arrays(gelu, [1.0, 2.0, 3.0]) <= 4, True)
    check(isinstance(gelu(np.float32(1.0)), np.float32), True)
    check(str(gelu(Tensor([1, 2])).dtype), "float32")

test_gelu()

# %% [markdown]
# Two questions are left about that formula. How far is it from the exact one? `math.erf` takes one number at a time,
# which is slow and good enough for a check. And what does fusing save?

# %%
t = np.linspace(-6, 6, 1201)
exact = np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in t])
print(f"largest distance between the tanh form and the exact GELU: {abs(gelu(t) - exact).max():.5f}")

big = randn((1000, 1000), rng)
for f in (gelu_composed, gelu):
    time_taken, peak = seconds(lambda f=f: f(big)), peak_bytes(lambda f=f: f(big)) / 1e6
    print(f"{f.__name__:14s} {1e3 * time_taken:6.2f} ms   {peak:5.1f} MB at its peak")

# %% [markdown]
# Neither version holds all of its arrays at once, since an array that nobody needs any more is freed immediately. At
# the peak the composed one holds three of 4 MB and the fused one two: `u`, and the result of `np.tanh`. The time goes
# into writing and reading them all.

# %%
smooth = {"relu": relu, "gelu": gelu, "softplus": softplus}
draw_with_slopes(smooth, "GELU and softplus round off the corner of ReLU", width=4)
plt.show()

# %% [markdown]
# GELU's slope dips below zero on the left and rises a little above one on the right. There is no corner and no dead
# half.
#
# ## Softmax: scores become shares
#
# A classifier of ten digits ends in ten scores. They may be anything; what one wants is ten probabilities: positive,
# with sum 1, larger for a larger score. Raise e to each score, and divide by the sum:
#
# $$\mathrm{softmax}(x)_i = \frac{e^{x_i}}{\sum_j e^{x_j}}.$$
#
# The textbook formula again, and this time it ends in more than a warning:

# %%
scores = np.array([1.0, 2.0, 1000.0], dtype=np.float32)
with np.errstate(over="ignore", invalid="ignore"):
    print(np.exp(scores) / np.exp(scores).sum())

# %% [markdown]
# NaN, *not a number*, where infinity was divided by infinity. Left alone, it spreads to every number that is computed
# from it, and a training run is over.
#
# What saves us is that softmax does not change when the same number is added to all scores: the factor `exp(c)`
# appears above and below, and cancels. So subtract the largest score. Then the largest exponent is 0, every
# exponential is at most 1, and the sum is at least 1. Nothing can overflow, and nothing is divided by zero.
#
# The function works along an axis. In a batch `scores (N, K)` each *row* is a question of its own: axis -1, the
# default. Two helpers come with it. `largest` is a maximum that explains itself when the axis is not there or has no
# entries. `softmax_composed` is the formula for reading.

# %%
#| export
def largest(x, axis):
    """The largest entry along `axis`, which stays with length 1.

    Raises
    ------
    ValueError
        Where there is no such axis, or it has no entries.
    """
    try:
        return x.max(axis=axis, keepdims=True)
    except TypeError as error:
        raise ValueError(f"the axis is {axis!r}, expected an int, a tuple of them, or None for all") from error
    except ValueError as error:
        if "zero-size" in str(error):
            problem = f"axis {axis} has no entries to choose from: the shape is {x.shape}"
        else:
            problem = f"there is no axis {axis}: the shape {x.shape} has {x.ndim}, counted from 0 or back from -1"
        raise ValueError(problem) from error


def softmax_composed(x, axis=-1):
    """What `softmax` equals, written with operations."""
    e = exp(x - reduce_max(x, axis, keepdims=True))
    return e / reduce_sum(e, axis, keepdims=True)


# %% nbgrader={"grade": false, "grade_id": "softmax", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
@operation
def softmax(x, /, axis=-1):
    """exp(x) / sum(exp(x)) along `axis`: positive numbers with sum 1.

    Parameters
    ----------
    x : array or number, any shape
    axis : int, tuple of int, or None
        Along which the results sum to 1; None for all entries together.

    Returns
    -------
    like x

    Raises
    ------
    ValueError
        Where `axis` does not exist or has no entries.

    Notes
    -----
    Equals `softmax_composed`. `largest(x, axis)` is the maximum along the axis, kept with
    length 1 so that it broadcasts against x. The sum has to be kept in the same way.

    Examples
    --------
    >>> softmax(Tensor([1000.0, 1000.0]))
    Tensor([0.5, 0.5])
    """
    x = floating(x)
    ### BEGIN SOLUTION softmax
    e = np.exp(x - largest(x, axis))
    e /= e.sum(axis=axis, keepdims=True)
    return e
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# softmax:
#   title: Scores become shares
#   hints:
#     - Which number can you subtract from all scores of a row so that no exponential is larger than 1?
#     - Subtract largest(x, axis), take the exponential, divide by the sum along the same axis. The sum needs keepdims=True to broadcast.
#     - "e = np.exp(x - ...), with the largest entry along the axis in the gap, and then e / e.sum(axis=axis, keepdims=True)"
#   misconceptions:
#     - name: the textbook formula
#       says: >-
#         Large scores gave NaN: their exponentials are infinite, and infinity divided by infinity is not a number.
#         Subtract the largest score along the axis first; that changes nothing else.
#       code: |
#         e = np.exp(x)
#         return e / e.sum(axis=axis, keepdims=True)
#     - name: the maximum of the whole array
#       says: >-
#         One maximum for the whole array does not protect every row. In a row whose scores all lie far below it, all
#         exponentials are 0, and 0 / 0 is not a number. Take the maximum along the axis.
#       code: |
#         e = np.exp(x - x.max())
#         return e / e.sum(axis=axis, keepdims=True)
#     - name: sums over everything
#       says: >-
#         All entries together sum to 1, not each row. Sum along the axis, with keepdims=True.
#       code: |
#         e = np.exp(x - largest(x, axis))
#         return e / e.sum()
#     - name: loses the axis
#       says: >-
#         The sum lost its axis, so it no longer lines up with the rows it came from: either the shapes do not
#         broadcast, or each entry is divided by the sum of another row. Use keepdims=True.
#       code: |
#         e = np.exp(x - largest(x, axis))
#         return e / e.sum(axis=axis)
#     - name: always the last axis
#       says: >-
#         The axis that was asked for made no difference. Pass `axis` on to the sum as well.
#       code: |
#         e = np.exp(x - largest(x, axis))
#         return e / e.sum(axis=-1, keepdims=True)

# %% nbgrader={"grade": true, "grade_id": "test_softmax", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_softmax():
    rows = Tensor(np.log([[1.0, 3.0], [4.0, 1.0]]))
    check(softmax(Tensor(np.log([1.0, 2.0, 5.0]))), [0.125, 0.25, 0.625])
    check(softmax(rows), [[0.25, 0.75], [0.8, 0.2]])
    check(softmax(rows, axis=0), [[0.2, 0.75], [0.8, 0.25]])
    check(softmax(Tensor([10000.0, 10000.0, -10000.0])), [0.5, 0.5, 0.0])
    check(softmax(Tensor([[10000.0, 10000.0, 10000.0], [0.0, 0.0, 0.0]])), [[1 / 3] * 3, [1 / 3] * 3])
    check(softmax(Tensor(3.0)), 1.0)
    check(str(softmax(Tensor([1.0, 2.0])).dtype), "float32")
    check(str(softmax(Tensor([1, 2])).dtype), "float32")
    check(softmax(Tensor(np.zeros((0, 3)))).shape, (0, 3))
    check_raises(ValueError, lambda: softmax(rows, axis=2), "there is no axis 2")
    check_raises(ValueError, lambda: softmax(Tensor(np.zeros((3, 0)))), "has no entries")

test_softmax()

# %% [markdown]
# What does the size of the scores mean? Multiply three scores by a growing factor and watch the shares. Around zero
# they are all alike; far out the largest takes everything. That factor is one over the *temperature* of language
# models.

# %%
scores = np.array([1.0, 2.0, 3.0])
factors = np.linspace(0, 5, 101)
shares = softmax(scores * factors[:, None])
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
for k, (color, style, lift) in enumerate(zip((BLUE, ORANGE, GREEN), (":", "--", "-"), (-8, 0, -3))):
    ax.plot(factors, shares[:, k], style, color=color)
    end = (factors[-1], shares[-1, k])
    ax.annotate(f"score {scores[k]:.0f}", end, xytext=(4, lift), textcoords="offset points", color=color)
ax.set(title="The larger the scores, the surer the softmax", xlabel="factor on all scores", ylabel="share")
ax.set_xlim(0, 5.8)
plt.show()

# %% [markdown]
# ## Log-softmax: when even the probability is too small
#
# A loss looks at the *logarithm* of the probability that the right class was given. Taking `log(softmax(x))` loses
# that number exactly when it matters most, when the network is very wrong: a probability too small for a float32
# becomes 0, and its logarithm minus infinity.

# %%
print(f"the smallest float32 above zero is {np.finfo(np.float32).smallest_subnormal:.1e}")
with np.errstate(divide="ignore"):
    print(np.log(softmax(np.array([0.0, -200.0], dtype=np.float32))), "should be -200 for the second")

# %% [markdown]
# Take the logarithm on paper instead. With m the largest score,
#
# $$\log \mathrm{softmax}(x)_i = (x_i - m) - \log \sum_j e^{x_j - m},$$
#
# and the small number is never formed.

# %%
#| export
def log_softmax_composed(x, axis=-1):
    """What `log_softmax` equals, written with operations."""
    shifted = x - reduce_max(x, axis, keepdims=True)
    return shifted - log(reduce_sum(exp(shifted), axis, keepdims=True))


# %% nbgrader={"grade": false, "grade_id": "log_softmax", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
@operation
def log_softmax(x, /, axis=-1):
    """log(softmax(x)) along `axis`, also where the softmax is too small for a float.

    Parameters
    ----------
    x : array or number, any shape
    axis : int, tuple of int, or None

    Returns
    -------
    like x, at most 0

    Raises
    ------
    ValueError
        Where `axis` does not exist or has no entries.

    Notes
    -----
    Equals `log_softmax_composed`. ``out = x - largest(x, axis)`` is a new array; subtract the
    logarithm of the sum in place.
    """
    x = floating(x)
    ### BEGIN SOLUTION log_softmax
    out = x - largest(x, axis)
    out -= np.log(np.exp(out).sum(axis=axis, keepdims=True))
    return out
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# log_softmax:
#   title: The logarithm, taken on paper
#   hints:
#     - The logarithm of a quotient is a difference. Of which two things?
#     - Subtract the largest score. Then subtract the logarithm of the sum of the exponentials of what you have, along the axis and with keepdims=True.
#     - "out -= np.log(...), with the sum by which softmax divides in the gap, its axis kept"
#   misconceptions:
#     - name: the logarithm of the softmax
#       says: >-
#         For a score far below the others the softmax is 0 and its logarithm minus infinity, where -10000 was
#         expected. Take the logarithm on paper, so that the small number never arises.
#       code: |
#         return np.log(softmax(x, axis))
#     - name: does not shift
#       says: >-
#         Without subtracting the largest score the exponentials overflow, and the result is minus infinity or NaN.
#       code: |
#         return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))
#     - name: shifts only the sum
#       says: >-
#         The largest score was subtracted inside the sum but not from x itself, so the result is too large by that
#         score. Both terms use the shifted scores.
#       code: |
#         shifted = x - largest(x, axis)
#         return x - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
#     - name: sums over everything
#       says: >-
#         The sum ran over all entries. Each row has its own: sum along the axis, with keepdims=True.
#       code: |
#         out = x - largest(x, axis)
#         return out - np.log(np.exp(out).sum())

# %% nbgrader={"grade": true, "grade_id": "test_log_softmax", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_log_softmax():
    rows = Tensor(np.log([[1.0, 3.0], [4.0, 1.0]]))
    check(log_softmax(Tensor(np.log([1.0, 2.0, 5.0]))), np.log([0.125, 0.25, 0.625]))
    check(log_softmax(rows), np.log([[0.25, 0.75], [0.8, 0.2]]))
    check(log_softmax(rows, axis=0), np.log([[0.2, 0.75], [0.8, 0.25]]))
    check(log_softmax(Tensor([10000.0, 0.0])), [0.0, -10000.0])
    check(log_softmax(Tensor([0.0, -10000.0])), [0.0, -10000.0])
    check(log_softmax(Tensor(-5.0)), 0.0)
    check(str(log_softmax(Tensor([1, 2])).dtype), "float32")
    check_raises(ValueError, lambda: log_softmax(rows, axis=-3), "there is no axis -3")

test_log_softmax()

# %% [markdown]
# ## Activations as objects
#
# A network will be a list of things to apply one after the other. Layers are objects with parameters inside, and it
# is convenient when an activation in such a list is an object too. So each function gets a small class whose objects
# are called like functions. They hold options, such as an axis, and nothing that is trained.
#
# A frequent slip is `ReLU(x)`. That would *make* an activation; applying one is `ReLU()(x)`. The base class says so.

# %%
#| export
class Activation:
    """A function as an object: call it on a Tensor. It has options, no parameters."""

    def __init__(self, *args):
        if args:
            name = type(self).__name__
            raise TypeError(
                f"{name}: {name}() makes the activation and takes no input.\n  To apply it, write {name}()(x)."
            )

    def forward(self, x):
        """The activation of x, entry by entry or along an axis."""
        raise NotImplementedError(f"{type(self).__name__} needs a method forward(self, x).")

    def __call__(self, x):
        return self.forward(x)

    def __repr__(self):
        options = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({options})"


class ReLU(Activation):
    """max(x, 0): `relu` as an object."""

    def forward(self, x):
        return relu(x)


class LeakyReLU(Activation):
    """x or slope * x: `leaky_relu` as an object.

    Parameters
    ----------
    slope : float, at most 1
        Of the left side.
    """

    def __init__(self, slope: float = 0.01):
        if isinstance(slope, bool) or not isinstance(slope, (int, float, np.number)) or not slope <= 1:
            raise ValueError(
                f"LeakyReLU: the slope is {slope!r:.60}, expected a number of at most 1, such as 0.01.\n"
                "  To apply the activation, write LeakyReLU()(x)."
            )
        self.slope = float(slope)

    def forward(self, x):
        return leaky_relu(x, self.slope)


class Sigmoid(Activation):
    """1 / (1 + exp(-x)): `sigmoid` as an object."""

    def forward(self, x):
        return sigmoid(x)


class Tanh(Activation):
    """Hyperbolic tangent: `tanh` as an object."""

    def forward(self, x):
        return tanh(x)


class GELU(Activation):
    """x times a probability: `gelu` as an object."""

    def forward(self, x):
        return gelu(x)


class Softmax(Activation):
    """Shares along an axis: `softmax` as an object.

    Parameters
    ----------
    axis : int, tuple of int, or None
        Along which the results sum to 1; None for all entries together.
    """

    def __init__(self, axis: int | tuple[int, ...] | None = -1):
        entries = axis if isinstance(axis, tuple) else (axis,)
        if axis is not None and not all(isinstance(a, (int, np.integer)) and not isinstance(a, bool) for a in entries):
            raise TypeError(
                f"Softmax: the axis is {axis!r:.60}, expected an int, a tuple of them, or None.\n"
                "  To apply the activation, write Softmax()(x)."
            )
        self.axis = axis

    def forward(self, x):
        return softmax(x, self.axis)


# %% nbgrader={"grade": true, "grade_id": "test_classes", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_classes():
    x = Tensor([[-1.0, 0.0, 2.0]])
    check(ReLU()(x), [[0.0, 0.0, 2.0]])
    check(LeakyReLU(0.5)(x), [[-0.5, 0.0, 2.0]])
    check(Sigmoid()(x), [[0.2689414, 0.5, 0.8807971]])
    check(Tanh()(x), [[-0.7615942, 0.0, 0.9640276]])
    check(GELU()(x), [[-0.1588080, 0.0, 1.9545977]])
    check(Softmax()(Tensor(np.log([[1.0, 3.0]]))), [[0.25, 0.75]])
    check(Softmax(axis=0)(x), [[1.0, 1.0, 1.0]])
    check(repr([ReLU(), LeakyReLU(), Softmax(axis=0)]), "[ReLU(), LeakyReLU(slope=0.01), Softmax(axis=0)]")
    check_raises(TypeError, lambda: ReLU(x), "write ReLU()(x)")

test_classes()

# %%
for activation in (ReLU(), LeakyReLU(0.1), Sigmoid(), Tanh(), GELU(), Softmax()):
    print(f"{activation!r:22}", np.round(activation(Tensor([-2.0, 0.0, 2.0])).tolist(), 3))

# %% [markdown]
# ## Against the real thing
#
# PyTorch has all of them. Where it is installed, the cell compares on a grid from -10,000 to 10,000, in float32, with
# NumPy set to raise at the first overflow. Distances are relative to the value where that is larger than one.

# %%
grid = np.concatenate([-np.logspace(4, -4, 200), [0.0], np.logspace(-4, 4, 200)]).astype(np.float32).reshape(1, -1)
try:
    import torch
    import torch.nn.functional as F
except ImportError:
    print("PyTorch is not installed: nothing was compared")
else:
    pairs = [
        (relu, F.relu), (leaky_relu, F.leaky_relu), (sigmoid, torch.sigmoid), (softplus, F.softplus),
        (gelu, lambda x: F.gelu(x, approximate="tanh")), (softmax, lambda x: F.softmax(x, -1)),
        (log_softmax, lambda x: F.log_softmax(x, -1)),
    ]  # fmt: skip
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for ours, theirs in pairs:
            a, b = ours(grid), theirs(torch.tensor(grid)).numpy()
            distance = (abs(a - b) / np.maximum(abs(b), 1)).max()
            print(f"{ours.__name__:12s} {distance:.1e}  {a.dtype}")

# %% [markdown]
# ## What they cost
#
# Per entry of a large array, and for a single number, where nearly all of it is the way through Python. The last line
# is there to compare with: for every entry of its result, a product of two (1000, 1000) matrices does a thousand
# multiplications and additions.

# %%
number = Tensor(0.5)
print("              large array     one number")
for f in (relu, leaky_relu, tanh, sigmoid, gelu, softplus, softmax, log_softmax):
    per_entry = 1e9 * seconds(lambda f=f: f(big)) / big.size
    alone = 1e6 * seconds(lambda f=f: f(number), number=2000)
    print(f"{f.__name__:12s} {per_entry:6.2f} ns/entry  {alone:6.2f} us")
print(f"{'big @ big':12s} {1e9 * seconds(lambda: big @ big) / big.size:6.2f} ns/entry")

# %% [markdown]
# A thousand multiplications and additions cost about as much as a few exponentials. Matrix products are the
# best-tuned code on the machine, and what works entry by entry mostly waits for memory. So activations are not as
# cheap as their formulas look, and it pays to write them in few passes.

# %% [markdown]
# ## Where next
#
# - *Swish.* `x * sigmoid(x)` is one line with the operations at hand. Draw it beside GELU. Where do the two differ
#   most?
# - *A stable logarithm of a sum.* Write `logsumexp(x, axis)` by the trick of log-softmax, and then log-softmax in
#   terms of it.
# - *Exact GELU.* Put a polynomial for erf (Abramowitz & Stegun, formula 7.1.26) in the place of the tanh form. Is it
#   closer? Is it slower?
# - *Dead units, revived.* Repeat the count of dead units with `leaky_relu`, and define "dead" by the slope.
#
# PyTorch has many more activations, in-place versions, and an exact GELU as its default. What is here is what the
# networks of this course use. The next chapter puts weights in front of them.
