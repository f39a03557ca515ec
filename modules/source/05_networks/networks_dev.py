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
# # Networks
#
# With layers and activations one can write a network as a line of code, `output(relu(hidden(x)))`, and it computes.
# But the line is all there is. Ask how many numbers it holds, make it twice as deep, save it and load it tomorrow:
# for each of these someone has to open the file and write another line, because the network exists only as program
# text.
#
# In this chapter a network becomes an object: a list of layers that is itself a layer. From that one idea follow a
# builder that takes sizes, a table of what a network costs, and files that hold it. Then we set weights by hand,
# without any training, and see what networks can represent at all, what depth adds, and how far one gets by trying
# weights at random. Not far enough, and that is where the rest of the course begins.

# %%
#| default_exp core.networks

# %%
#| export
import os
import zipfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np

from tinytorch.core.activations import GELU, LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from tinytorch.core.layers import Dense, Dropout, LayerNorm, Module, glorot_uniform, he_normal
from tinytorch.core.tensor import Tensor, from_numpy, to_array

# %%
import contextlib
import tempfile

from tinytorch.testing import check, check_raises

# %% [markdown]
# ## A list of layers
#
# Two layers and an activation, and a loop that hands each one's output to the next. That is a network, whole:

# %%
rng = np.random.default_rng(0)
layers = [Dense(3, 4, rng=rng), ReLU(), Dense(4, 2, rng=rng)]
x = Tensor([[1.0, 2.0, 3.0]])
for layer in layers:
    x = layer(x)
    print(f"{layer!r:12} -> {x.shape}")

# %% [markdown]
# `Sequential` keeps the list and does the loop. It is a `Module`, so it has `parameters()`, `train()`, `eval()` and
# `state_dict()` like any layer; and because a Sequential is a layer, it can stand in the list of another one.
#
# Most mistakes with such a list can be seen before any data comes: an empty list, the class `ReLU` in the place of
# an instance `ReLU()`, a `Dense` whose input size is not the output size of the one before. The functions below
# refuse these, and name the layer. A misfit that only data can show is explained by `misfit` when it happens.

# %%
#| export
KEEPS_SIZE = (ReLU, Sigmoid, Tanh, Softmax, LeakyReLU, GELU, Dropout, LayerNorm)


def checked_layers(layers) -> list:
    """`layers` as a list, once each of them is seen to be a layer that takes what comes before."""
    if not isinstance(layers, (list, tuple)):
        raise TypeError(
            f"Sequential: {layers!r:.60} is no list of layers.\n"
            "  Put the layers in brackets: Sequential([Dense(2, 3), ReLU()])."
        )
    if not layers:
        raise ValueError("Sequential: the list of layers is empty. Expected at least one, as in Sequential([Dense(2, 3)]).")
    for place, layer in enumerate(layers):
        if isinstance(layer, type):
            raise TypeError(
                f"Sequential: layer {place} is the class {layer.__name__}, not an instance of it.\n"
                f"  Write {layer.__name__}(...) with parentheses."
            )
        if not callable(layer):
            raise TypeError(
                f"Sequential: layer {place} is {layer!r:.60}, which cannot be called.\n"
                "  Expected layers and activations, such as Dense(2, 3) and ReLU()."
            )
    check_sizes(layers)
    return list(layers)


def check_sizes(layers) -> None:
    """Raise ValueError where a layer gives a size that the next one with an `input_size` does not take."""
    before = None  # position of the layer whose output size is known to arrive here
    for place, layer in enumerate(layers):
        taken = getattr(layer, "input_size", None)
        if before is not None and taken not in (None, layers[before].output_size):
            raise ValueError(
                f"Sequential: layer {before}, {short(layers[before])}, gives {layers[before].output_size} features, but "
                f"layer {place}, {short(layer)}, takes {taken}.\n  Make the two sizes equal."
            )
        if getattr(layer, "output_size", None) is not None:
            before = place
        elif not isinstance(layer, KEEPS_SIZE):
            before = None  # it may change the size, and does not say how


def short(layer) -> str:
    """A layer in one line."""
    if isinstance(layer, Sequential):
        return f"{type(layer).__name__} of {len(layer)} layers"
    name = getattr(layer, "__name__", None) or repr(layer)
    return " ".join(name.split())[:60]


def misfit(layers, place: int, x, error: ValueError) -> ValueError:
    """The error for an input `x` that layer number `place` did not take."""
    source = f"what layer {place - 1}, {short(layers[place - 1])}, gives" if place else "the network's input"
    return ValueError(
        f"Sequential: layer {place}, {short(layers[place])}, does not take {source}, of shape {np.shape(x)}.\n  {error}"
    )


# %% nbgrader={"grade": false, "grade_id": "forward", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
class Sequential(Module):
    """Layers applied one after the other.

    Parameters
    ----------
    layers : list of layers, at least one
        Anything that takes a Tensor and returns one: modules, activations, functions,
        other Sequentials. The list is copied, the layers are not.

    Raises
    ------
    TypeError
        For what is no list, or holds a class or something that cannot be called.
    ValueError
        For an empty list, and for sizes that do not fit; the message names both layers.

    Examples
    --------
    >>> model = Sequential([Dense(3, 4), ReLU(), Dense(4, 2)])
    >>> model(Tensor([[1.0, 2.0, 3.0]])).shape
    (1, 2)
    """

    def __init__(self, layers: list, *more):
        if more:
            raise TypeError("Sequential: give the layers as one list, Sequential([first, second]), not one by one.")
        self.layers = checked_layers(layers)

    def forward(self, x):
        """Output of the last layer. Every layer is called with the output of the one before it.

        Parameters
        ----------
        x : Tensor or array
            Input of the first layer.

        Returns
        -------
        Tensor
            Output of the last layer.

        Notes
        -----
        Keep the output of each layer in `x`, and in `place` the position of the layer that is being
        called: if it raises a ValueError, `misfit` makes a message from the two.
        """
        place = 0
        try:
            ### BEGIN SOLUTION forward
            for place, layer in enumerate(self.layers):  # noqa: B007 (misfit wants it)
                x = layer(x)
            return x
            ### END SOLUTION
        except ValueError as error:
            raise misfit(self.layers, place, x, error) from error

    def append(self, layer) -> "Sequential":
        """Add a layer at the end, and return the network."""
        self.layers = checked_layers([*self.layers, layer])
        return self

    def __getitem__(self, index):
        """Layer number `index`; for a slice, a Sequential of these very layers."""
        if isinstance(index, slice):
            return Sequential(self.layers[index])
        try:
            return self.layers[index]
        except (IndexError, TypeError) as error:
            kind = type(error)
            raise kind(f"Sequential: there is no layer {index!r:.40}; the network has {len(self)} layers, counted from 0.") from None

    def __len__(self):
        return len(self.layers)

    def __iter__(self):
        return iter(self.layers)

    def __repr__(self):
        lines = "\n".join(f"{layer!r}," for layer in self.layers)
        return f"{type(self).__name__}([\n  " + lines.replace("\n", "\n  ") + "\n])"


# %% [raw] tags=["exercise"]
# forward:
#   title: One after the other
#   hints:
#     - The loop is the one on top of this page. What has to be the same variable from round to round?
#     - Go through enumerate(self.layers), so that `place` is set too. Call each layer with x, keep its output in x, and return x after the loop.
#     - "x = layer(x), for each place and layer that enumerate gives: what comes out of one goes into the next"
#   misconceptions:
#     - name: every layer gets the first input
#       says: >-
#         Every layer was called with the network's input, and only the last output was kept. Each layer takes what
#         the one before it gave: store the output in x again.
#       code: |
#         for place, layer in enumerate(self.layers):
#             out = layer(x)
#         return out
#     - name: returns inside the loop
#       says: >-
#         The return stands inside the loop, so only the first layer was applied. Move it one step to the left.
#       code: |
#         for place, layer in enumerate(self.layers):
#             x = layer(x)
#             return x
#     - name: applies the layers backwards
#       says: >-
#         The last layer was applied first. In the mathematics f(g(x)) is written from the outside; the list runs
#         from the input to the output.
#       code: |
#         for place, layer in reversed(list(enumerate(self.layers))):
#             x = layer(x)
#         return x
#     - name: does not keep the place
#       says: >-
#         The network computes, but when a layer refuses its input the message names layer 0. Let the loop set
#         `place`: for place, layer in enumerate(self.layers).
#       code: |
#         for layer in self.layers:
#             x = layer(x)
#         return x

# %% nbgrader={"grade": true, "grade_id": "test_forward", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_forward():
    double, plus_one = lambda x: x * 2, lambda x: x + 1
    check(Sequential([double])(Tensor([3.0])), [6.0])
    check(Sequential([double, plus_one])(Tensor([3.0])), [7.0])
    check(Sequential([plus_one, double, double])(Tensor([3.0])), [16.0])
    check(Sequential([double, Sequential([plus_one, double]), plus_one])(Tensor([3.0])), [15.0])
    model = Sequential([Dense(3, 4), ReLU(), Dense(4, 2)])
    check(model(Tensor(np.ones((5, 3)))).shape, (5, 2))
    check_raises(ValueError, lambda: model(Tensor(np.ones((5, 7)))), "layer 0, Dense(3, 4)")
    model = Sequential([Dense(3, 4), lambda x: x.reshape(2, -1), Dense(4, 2)])
    check_raises(ValueError, lambda: model(Tensor(np.ones((1, 3)))), "layer 2, Dense(4, 2)")

test_forward()

# %% nbgrader={"grade": true, "grade_id": "test_sequential", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_sequential():
    first, last = Dense(3, 4), Dense(4, 2)
    model = Sequential([first, ReLU(), last])
    check(len(model), 3)
    check(model[0] is first, True)
    check(model[-1] is last, True)
    check([layer is model[i] for i, layer in enumerate(model)], [True, True, True])
    check(len(model[:2]), 2)
    check(len(list(model.parameters())), 4)
    check(len(Sequential([first]).append(ReLU())), 2)
    check_raises(ValueError, lambda: Sequential([]), "empty")
    check_raises(TypeError, lambda: Sequential([Dense(3, 4), ReLU]), "layer 1 is the class ReLU")
    check_raises(TypeError, lambda: Sequential(Dense(3, 4)), "in brackets")
    check_raises(TypeError, lambda: Sequential([Dense(3, 4), "relu"]), "layer 1 is 'relu'")
    check_raises(ValueError, lambda: Sequential([Dense(3, 4), ReLU(), Dense(5, 2)]), "layer 0, Dense(3, 4), gives 4 features")
    check_raises(ValueError, lambda: Sequential([Dense(3, 4)]).append(Dense(5, 2)), "layer 1, Dense(5, 2), takes 5")
    check_raises(IndexError, lambda: model[3], "3 layers")

test_sequential()

# %% [markdown]
# The sizes are compared when the network is built. The mistake stands in that line, and that is where the error
# should be:

# %%
try:
    Sequential([Dense(784, 128), ReLU(), Dense(100, 10)])
except ValueError as error:
    print(error)

# %% [markdown]
# ## From sizes to a network
#
# Most networks of this kind are one pattern: a `Dense`, an activation, a `Dense`, an activation, and a last `Dense`
# whose outputs are the answer. It is called a *multilayer perceptron*, and its sizes are all there is to say about
# it. After the last `Dense` there is no activation unless one is asked for, because most losses want the plain
# outputs (the *logits*).
#
# The starting weights are random, of the size that suits the activation behind them (the layers chapter measured
# why), so two networks of the same sizes differ. With the generator `rng` given, or a number to seed one, they are
# the same in every run.

# %%
#| export
def checked_sizes(input_size, hidden_sizes, output_size, function="create_mlp") -> list[int]:
    """All sizes of a multilayer perceptron in one list, once each is seen to be a whole number of at least 1."""
    if not isinstance(hidden_sizes, (list, tuple)):
        raise TypeError(
            f"{function}: hidden_sizes is {hidden_sizes!r:.60}, expected a list.\n"
            "  One hidden layer of 128 units is [128], no hidden layer is []."
        )
    named = [("input_size", input_size), *((f"hidden_sizes[{i}]", n) for i, n in enumerate(hidden_sizes))]
    for name, size in [*named, ("output_size", output_size)]:
        if not isinstance(size, (int, np.integer)) or isinstance(size, bool):
            raise TypeError(f"{function}: {name} is {size!r:.60}, expected a whole number.")
        if size < 1:
            raise ValueError(f"{function}: {name} is {size}, expected at least 1.")
    return [int(n) for n in (input_size, *hidden_sizes, output_size)]


def make_activation(activation):
    """A new layer from a class such as ReLU, or from a function that makes one; None from None."""
    if activation is None:
        return None
    cause = layer = None
    try:
        layer = activation()
    except TypeError as error:
        cause = error
    if not callable(layer) or isinstance(layer, type):
        raise TypeError(
            f"create_mlp: {activation!r:.60} makes no activation when it is called without arguments.\n"
            "  Give the class, activation=ReLU (not ReLU(), not relu), or a function: lambda: LeakyReLU(0.2)."
        ) from cause
    return layer


def init_before(activation) -> Callable:
    """The starting weights for a Dense that this layer follows: He's for the family of ReLU, else Glorot's."""
    return he_normal if isinstance(activation, (ReLU, LeakyReLU, GELU)) else glorot_uniform


# %% nbgrader={"grade": false, "grade_id": "mlp_layers", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def mlp_layers(sizes: list[int], activation, output_activation, rng: "np.random.Generator") -> list:
    """The layers of a multilayer perceptron.

    Parameters
    ----------
    sizes : list of int, at least two
        Size of the input, of each hidden layer, and of the output.
    activation : class, or function that makes a layer, or None
        After each `Dense` but the last; None for nothing there.
    output_activation : the same
        After the last `Dense`.
    rng : Generator
        Draws the weights of all layers.

    Returns
    -------
    list of layers
        As many `Dense` as there are pairs of neighbours in `sizes`.

    Notes
    -----
    `make_activation(activation)` makes a new layer, or None from None; each place gets a layer of its own.
    `Dense(a, b, weight_init=init_before(layer), rng=rng)` starts as suits the layer after it, and draws from `rng`.
    """
    ### BEGIN SOLUTION mlp_layers
    layers = []
    for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
        after = make_activation(output_activation if i == len(sizes) - 2 else activation)
        layers.append(Dense(a, b, weight_init=init_before(after), rng=rng))
        if after is not None:
            layers.append(after)
    return layers
    ### END SOLUTION


def create_mlp(
    input_size: int,
    hidden_sizes: list[int],
    output_size: int,
    activation: Callable = ReLU,
    output_activation: Callable | None = None,
    rng: "np.random.Generator | int | None" = None,
) -> Sequential:
    """A multilayer perceptron: Dense, activation, ..., Dense.

    Parameters
    ----------
    input_size, output_size : int, at least 1
        Features of an example, and numbers in an answer.
    hidden_sizes : list of int
        Units of each hidden layer; [] for none.
    activation : class, or function that makes a layer, or None
        After each Dense but the last.
    output_activation : the same
        After the last Dense. Most losses want none.
    rng : Generator or int, optional
        Draws the weights, or seeds a generator that does.

    Returns
    -------
    Sequential

    Raises
    ------
    TypeError, ValueError
        For sizes that are no whole numbers of at least 1, hidden_sizes that is no list, and
        an activation that is no class.

    Examples
    --------
    >>> create_mlp(784, [128, 64], 10)(Tensor(np.zeros((32, 784)))).shape
    (32, 10)
    """
    sizes = checked_sizes(input_size, hidden_sizes, output_size)
    return Sequential(mlp_layers(sizes, activation, output_activation, np.random.default_rng(rng)))


class MLP(Sequential):
    """A multilayer perceptron as a class, to derive your own from. Takes what `create_mlp` takes."""

    def __init__(self, input_size, hidden_sizes, output_size, activation=ReLU, output_activation=None, rng=None):
        sizes = checked_sizes(input_size, hidden_sizes, output_size, "MLP")
        super().__init__(mlp_layers(sizes, activation, output_activation, np.random.default_rng(rng)))
        self.input_size, self.output_size = sizes[0], sizes[-1]


# %% [raw] tags=["exercise"]
# mlp_layers:
#   title: From sizes to layers
#   hints:
#     - Four sizes, three Dense. Which list of pairs do you need, and what is different about the last of them?
#     - Go through zip(sizes, sizes[1:]). For each pair make the layer that comes after it (for the last pair from output_activation), then append the Dense, then that layer unless it is None.
#     - "after = make_activation(... if i == len(sizes) - 2 else ...), with i counting the pairs from 0"
#   misconceptions:
#     - name: activation after the last layer too
#       says: >-
#         The network ends with its hidden activation. A ReLU there would cut off every negative answer. After the
#         last Dense comes output_activation, or nothing.
#       code: |
#         layers = []
#         for a, b in zip(sizes, sizes[1:]):
#             after = make_activation(activation)
#             layers.append(Dense(a, b, weight_init=init_before(after), rng=rng))
#             if after is not None:
#                 layers.append(after)
#         if output_activation is not None:
#             layers.append(make_activation(output_activation))
#         return layers
#     - name: forgets the output activation
#       says: >-
#         output_activation was asked for and is not there. It follows the last Dense.
#       code: |
#         layers = []
#         for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
#             after = make_activation(activation) if i < len(sizes) - 2 else None
#             layers.append(Dense(a, b, weight_init=init_before(after), rng=rng))
#             if after is not None:
#                 layers.append(after)
#         return layers
#     - name: every layer starts at the input size
#       says: >-
#         Every Dense was given the size of the network's input. A layer takes what the layer before it gives: go
#         through the pairs of neighbours.
#       code: |
#         layers = []
#         for i, b in enumerate(sizes[1:]):
#             after = make_activation(output_activation if i == len(sizes) - 2 else activation)
#             layers.append(Dense(sizes[0], b, weight_init=init_before(after), rng=rng))
#             if after is not None:
#                 layers.append(after)
#         return layers
#     - name: does not pass the generator on
#       says: >-
#         Two networks with the same seed came out different: the layers did not draw from rng. Pass it to each
#         Dense.
#       code: |
#         layers = []
#         for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
#             after = make_activation(output_activation if i == len(sizes) - 2 else activation)
#             layers.append(Dense(a, b, weight_init=init_before(after)))
#             if after is not None:
#                 layers.append(after)
#         return layers
#     - name: one activation for all places
#       says: >-
#         One activation object stands in all places. For ReLU that does no harm; for a layer that remembers
#         something it does. Make a new one for each place.
#       code: |
#         layers, shared, end = [], make_activation(activation), make_activation(output_activation)
#         for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
#             after = end if i == len(sizes) - 2 else shared
#             layers.append(Dense(a, b, weight_init=init_before(after), rng=rng))
#             if after is not None:
#                 layers.append(after)
#         return layers
#     - name: starts every layer alike
#       says: >-
#         The structure is right, and the weights in front of a ReLU started as for Tanh. A ReLU sets half of its
#         inputs to zero, which He's initialiser makes up for: pass weight_init=init_before(after).
#       code: |
#         layers = []
#         for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
#             after = make_activation(output_activation if i == len(sizes) - 2 else activation)
#             layers.append(Dense(a, b, rng=rng))
#             if after is not None:
#                 layers.append(after)
#         return layers

# %% nbgrader={"grade": true, "grade_id": "test_mlp_layers", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
def test_mlp_layers():
    names = lambda model: [type(layer).__name__ for layer in model]
    check(names(create_mlp(4, [8], 3)), ["Dense", "ReLU", "Dense"])
    check(names(create_mlp(4, [8, 6], 3, activation=Tanh)), ["Dense", "Tanh", "Dense", "Tanh", "Dense"])
    check(names(create_mlp(4, [8], 1, output_activation=Sigmoid)), ["Dense", "ReLU", "Dense", "Sigmoid"])
    check(names(create_mlp(4, [], 3)), ["Dense"])
    check(names(create_mlp(4, [8], 3, activation=None)), ["Dense", "Dense"])
    check([layer.weights.shape for layer in create_mlp(4, [8, 6], 3, activation=None)], [(4, 8), (8, 6), (6, 3)])
    model = create_mlp(4, [8, 6], 3)
    check(model[1] is model[3], False)
    one, same = create_mlp(8, [8], 8, rng=1), create_mlp(8, [8], 8, rng=1)
    check(np.array_equal(one[2].weights.data, same[2].weights.data), True)
    check(np.array_equal(one[0].weights.data, one[2].weights.data), False)
    check(one[0].weights, he_normal((8, 8), np.random.default_rng(1)))
    check(create_mlp(8, [8], 8, Tanh, rng=1)[0].weights, glorot_uniform((8, 8), np.random.default_rng(1)))
    check(MLP(4, [8, 6], 3, rng=1)(Tensor(np.ones((2, 4)))), create_mlp(4, [8, 6], 3, rng=1)(Tensor(np.ones((2, 4)))))
    check_raises(TypeError, lambda: create_mlp(4, 8, 3), "hidden_sizes is 8, expected a list")
    check_raises(ValueError, lambda: create_mlp(4, [8, -1], 3), "hidden_sizes[1] is -1")
    check_raises(ValueError, lambda: create_mlp(0, [8], 3), "input_size is 0")
    check_raises(TypeError, lambda: create_mlp(4, [8], 3, activation=ReLU()), "Give the class, activation=ReLU")

test_mlp_layers()

# %%
print(create_mlp(784, [128, 64], 10))

# %% [markdown]
# ## How many numbers
#
# A `Dense` from `a` to `b` features has a weight for every pair and a bias for every output:
# `a * b + b = (a + 1) * b`. Before building a network one wants to know what it will cost, and that is arithmetic
# on its sizes.

# %% nbgrader={"grade": false, "grade_id": "mlp_parameter_count", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def mlp_parameter_count(input_size: int, hidden_sizes: list[int], output_size: int) -> int:
    """Number of weights and biases of `create_mlp(input_size, hidden_sizes, output_size)`, by formula.

    Parameters
    ----------
    input_size, output_size : int
    hidden_sizes : list of int

    Returns
    -------
    int
        The sum of ``(a + 1) * b`` over the layers from `a` to `b` features. No network is built for it, which might be
        too large for any memory.
    """
    checked_sizes(input_size, hidden_sizes, output_size, "mlp_parameter_count")
    ### BEGIN SOLUTION mlp_parameter_count
    sizes = [input_size, *hidden_sizes, output_size]
    return sum((a + 1) * b for a, b in zip(sizes, sizes[1:]))
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# mlp_parameter_count:
#   title: Counting by formula
#   hints:
#     - How many Dense layers are there for two hidden sizes, and from which size to which does each of them go?
#     - Put all sizes in one list, go through its pairs of neighbours, and add up.
#     - "sum((a + 1) * b for a, b in zip(sizes, sizes[1:]))"
#   misconceptions:
#     - name: forgets the biases
#       says: >-
#         Only the weights were counted. Each output of a layer has a bias too.
#       code: |
#         sizes = [input_size, *hidden_sizes, output_size]
#         return sum(a * b for a, b in zip(sizes, sizes[1:]))
#     - name: a bias for every input
#       says: >-
#         A bias was counted for each input of a layer. It belongs to the outputs: x @ w + b has as many entries as
#         b.
#       code: |
#         sizes = [input_size, *hidden_sizes, output_size]
#         return sum(a * b + a for a, b in zip(sizes, sizes[1:]))
#     - name: leaves the last layer out
#       says: >-
#         The layer to the outputs is missing: the pairs have to run to output_size.
#       code: |
#         sizes = [input_size, *hidden_sizes]
#         return sum((a + 1) * b for a, b in zip(sizes, sizes[1:]))
#     - name: builds the network and counts
#       says: >-
#         The network was built in order to count its parameters, and this one fits into no memory. The number follows
#         from the sizes alone: add up (a + 1) * b over the pairs of neighbours.
#       code: |
#         return sum(p.size for p in create_mlp(input_size, hidden_sizes, output_size).parameters())

# %% nbgrader={"grade": true, "grade_id": "test_mlp_parameter_count", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_mlp_parameter_count():
    check(mlp_parameter_count(2, [], 3), 9)
    check(mlp_parameter_count(2, [4], 3), 27)
    check(mlp_parameter_count(10, [5, 2], 1), 70)
    check(mlp_parameter_count(784, [128], 10), 101770)
    check(mlp_parameter_count(10**9, [10**9], 1), 10**18 + 2 * 10**9 + 1)  # no memory holds such a network

test_mlp_parameter_count()

# %% [markdown]
# A formula speaks of the network one meant to build. To know about the one that was built, count. The count works
# for any module, and it shows when the two differ: a layer without a bias, a layer that was forgotten, or one layer
# that stands in two places. In that last case there is one set of weights, and it counts once.

# %% nbgrader={"grade": false, "grade_id": "count_parameters", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def count_parameters(model: Module) -> int:
    """Number of entries in all parameters of a module, each parameter counted once.

    Parameters
    ----------
    model : Module

    Returns
    -------
    int

    Notes
    -----
    `model.parameters()` gives the parameters, each once, and `p.size` is the number of entries of one.
    """
    if not isinstance(model, Module):
        raise TypeError(f"count_parameters: {short(model)} is no Module. Put it into one: Sequential([...]).")
    ### BEGIN SOLUTION count_parameters
    return sum(p.size for p in model.parameters())
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# count_parameters:
#   title: Counting what is there
#   hints:
#     - A parameter is a Tensor. Which of its attributes says how many numbers it holds?
#     - Go through model.parameters() and add up their sizes.
#     - "sum(p.size for p in model.parameters())"
#   misconceptions:
#     - name: counts the Tensors
#       says: >-
#         The number of parameter Tensors was returned: two for a Dense, whatever its size. Add up p.size.
#       code: |
#         return len(list(model.parameters()))
#     - name: counts the rows
#       says: >-
#         len(p) is the length of the first axis only. All entries of p are p.size.
#       code: |
#         return sum(len(p) for p in model.parameters())
#     - name: looks only at the first level
#       says: >-
#         The layers of a Sequential inside the network were left out. model.parameters() goes through all levels; a
#         loop over the layers does not.
#       code: |
#         layers = model if isinstance(model, Sequential) else [model]
#         return sum(p.size for layer in layers if isinstance(layer, Dense) for p in layer.parameters())

# %% nbgrader={"grade": true, "grade_id": "test_count_parameters", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_count_parameters():
    check(count_parameters(Dense(4, 3)), 15)
    check(count_parameters(Dense(4, 3, use_bias=False)), 12)
    check(count_parameters(create_mlp(2, [4], 3)), 27)
    check(count_parameters(Sequential([ReLU()])), 0)
    check(count_parameters(Sequential([Dense(2, 2), Sequential([Dense(2, 2), ReLU()])])), 12)
    shared = Dense(2, 2)
    check(count_parameters(Sequential([shared, ReLU(), shared])), 6)

test_count_parameters()

# %%
for hidden in ([], [32], [128], [128, 128], [512]):
    counted, formula = count_parameters(create_mlp(784, hidden, 10)), mlp_parameter_count(784, hidden, 10)
    print(f"784 -> {hidden!s:10} -> 10   counted {counted:7d}   by formula {formula:7d}")

# %% [markdown]
# Compare the lines for `[128]` and `[128, 128]`: the second hidden layer costs far less than the first. The first
# one is large because the *data* is wide, and there most of the weights are.
#
# ## Looking inside
#
# What does each layer make of its input? To see it, run the layers one by one and keep every output. A Sequential
# inside a Sequential is opened, and its layers get names such as `1.0`, "layer 0 of layer 1".

# %% nbgrader={"grade": false, "grade_id": "layer_outputs", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def layer_outputs(model, x, name: str = "") -> list[tuple]:
    """Every layer of a network with its output, in the order in which they are called.

    Parameters
    ----------
    model : layer or Sequential
    x : Tensor or array
        Input of the network.
    name : str
        Name of `model` in the network that it is a part of; "" for the whole network.

    Returns
    -------
    list of (str, layer, Tensor)
        For a Sequential, one entry for each layer in it, Sequentials opened to any depth.
        Names are positions joined by dots: "0", "1.0", "1.1". For any other layer, the
        single entry ``(name, model, model(x))``.

    Notes
    -----
    The function may call itself, with a part of the network and the name of that part. The output of a part is the
    last output in its list.
    """
    ### BEGIN SOLUTION layer_outputs
    if not isinstance(model, Sequential):
        return [(name, model, model(x))]
    entries = []
    for place, layer in enumerate(model):
        entries += layer_outputs(layer, x, f"{name}.{place}" if name else str(place))
        x = entries[-1][2]
    return entries
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# layer_outputs:
#   title: Every layer's output
#   hints:
#     - What is the list for a single layer? And if you had the lists of a network's layers, how would you make the network's list of them?
#     - If model is no Sequential, return its one entry. If it is, call layer_outputs for each layer with the current x and the longer name, join the lists, and let x be the output of the last entry.
#     - "entries += layer_outputs(layer, x, ...), with name, dot and place in the gap, or the place alone; then x = entries[-1][2]"
#   misconceptions:
#     - name: every layer gets the first input
#       says: >-
#         Every layer was run on the network's input. The output of one layer is the input of the next: set x to the
#         last output.
#       code: |
#         if not isinstance(model, Sequential):
#             return [(name, model, model(x))]
#         entries = []
#         for place, layer in enumerate(model):
#             entries += layer_outputs(layer, x, f"{name}.{place}" if name else str(place))
#         return entries
#     - name: does not open inner networks
#       says: >-
#         A Sequential inside the network came as one entry. Open it: call layer_outputs for it too.
#       code: |
#         if not isinstance(model, Sequential):
#             return [(name, model, model(x))]
#         entries = []
#         for place, layer in enumerate(model):
#             x = layer(x)
#             entries.append((f"{name}.{place}" if name else str(place), layer, x))
#         return entries
#     - name: forgets where it is
#       says: >-
#         Layers of different parts have the same name: the name of the part was not put in front. Pass it on when
#         the function calls itself.
#       code: |
#         if not isinstance(model, Sequential):
#             return [(name, model, model(x))]
#         entries = []
#         for place, layer in enumerate(model):
#             entries += layer_outputs(layer, x, str(place))
#             x = entries[-1][2]
#         return entries

# %% nbgrader={"grade": true, "grade_id": "test_layer_outputs", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_layer_outputs():
    double, plus_one = lambda x: x * 2, lambda x: x + 1
    x = Tensor([3.0])
    check([out.tolist() for _, _, out in layer_outputs(Sequential([double, plus_one]), x)], [[6.0], [7.0]])
    model = Sequential([double, Sequential([plus_one, Sequential([double])]), plus_one])
    check([name for name, _, _ in layer_outputs(model, x)], ["0", "1.0", "1.1.0", "2"])
    check([out.item() for _, _, out in layer_outputs(model, x)], [6.0, 7.0, 14.0, 15.0])
    check(layer_outputs(model, x)[2][1] is double, True)
    check([(name, out.item()) for name, _, out in layer_outputs(double, x)], [("", 6.0)])

test_layer_outputs()

# %% [markdown]
# With that, a table of a network is a matter of formatting. `summary` really runs the network, on zeros, so its
# shapes are observed and not derived. It runs a *copy*, in evaluation mode: whatever a layer keeps, its mode, its
# random generator, its statistics, stays as it was in the network you have.

# %%
#| export
def summary(model: Module, input_shape: tuple[int, ...], batch_size: int = 1) -> str:
    """A table of a network: each layer, its output, its parameters and their bytes.

    Parameters
    ----------
    model : Module
        Copied, and the copy is run once in evaluation mode on zeros. Nothing in `model` changes.
    input_shape : tuple of int
        Shape of one example, without the batch axis: (784,).
    batch_size : int
        Examples in the batch that is run.

    Returns
    -------
    str
        Print it. The last lines hold the totals, and the bytes of all outputs for that batch.
    """
    if not isinstance(model, Module):
        raise TypeError(f"summary: {short(model)} is no Module. Put it into one: Sequential([...]).")
    shape = (batch_size, *input_shape) if isinstance(input_shape, (tuple, list)) else (batch_size, input_shape)
    if not all(isinstance(n, (int, np.integer)) and n > 0 for n in shape):
        raise ValueError(
            f"summary: input_shape is {input_shape!r} and batch_size {batch_size!r}.\n"
            "  Expected the shape of one example, such as (784,) or (3, 32, 32), and a whole number of at least 1."
        )
    copied = deepcopy(model)
    copied.eval()
    entries = layer_outputs(copied, from_numpy(np.zeros(shape, np.float32)))
    seen, rows = set(), [("layer", "", "output shape", "parameters", "bytes")]
    for name, layer, out in entries:
        new = [p for p in parameters_of(layer) if id(p) not in seen]
        again = bool(parameters_of(layer)) and not new
        seen.update(map(id, new))
        count, size = sum(p.size for p in new), sum(p.data.nbytes for p in new)
        rows.append((name, short(layer), str(np.shape(out)), "shared" if again else f"{count:,}", f"{size:,}"))
    return format_table(rows) + totals(model, output_bytes(entries), batch_size)


def parameters_of(layer) -> list:
    """The parameters of a layer; none for an activation or a function."""
    return list(layer.parameters()) if isinstance(layer, Module) else []


def format_table(rows: list[tuple[str, ...]]) -> str:
    """Rows of text as lines: the last two columns to the right, the others to the left."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    aligned = [
        "  ".join(f"{c:>{w}}" if i >= len(row) - 2 else f"{c:<{w}}" for i, (c, w) in enumerate(zip(row, widths)))
        for row in rows
    ]
    return "\n".join([aligned[0], "-" * len(aligned[0]), *aligned[1:], "-" * len(aligned[0])])


def output_bytes(entries) -> int:
    """Bytes of all outputs; an array that a layer only handed on, or a view of it, counts once."""
    arrays = [np.asarray(out.data) for _, _, out in entries]
    owners = [array if array.base is None else array.base for array in arrays]
    return sum({id(owner): array.nbytes for owner, array in zip(owners, arrays)}.values())


def totals(model: Module, outputs: int, batch_size: int) -> str:
    """The closing lines of a summary."""
    size = sum(p.data.nbytes for p in model.parameters())
    batch = f"{batch_size} example" + "s" * (batch_size != 1)
    return f"\n{count_parameters(model):,} parameters, {size:,} bytes\n{outputs:,} bytes of outputs for {batch}"


# %%
model = Sequential([create_mlp(784, [128, 64], 32, rng=0), Dropout(0.1), Dense(32, 10, rng=0)])
print(summary(model, (784,)))

# %% nbgrader={"grade": true, "grade_id": "test_summary", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_summary():
    model = Sequential([Dense(4, 8), ReLU(), Dropout(0.5), Dense(8, 2)])
    lines = summary(model, (4,), batch_size=3).splitlines()
    check([line.split()[0] for line in lines[2:6]], ["0", "1", "2", "3"])
    check("(3, 8)" in lines[2] and "40" in lines[2] and "160" in lines[2], True)
    check(lines[-2], "58 parameters, 232 bytes")
    check(lines[-1], "216 bytes of outputs for 3 examples")
    shared = Dense(2, 2)
    check("shared" in summary(Sequential([shared, shared]), (2,)), True)
    check(summary(Sequential([shared, shared]), (2,)).splitlines()[-2], "6 parameters, 24 bytes")
    check_raises(ValueError, lambda: summary(model, (5,)), "Dense(4, 8)")
    check_raises(ValueError, lambda: summary(model, (-4,)), "input_shape")

test_summary()

# %% [markdown]
# ### What takes the memory
#
# The table lists two kinds of bytes. Parameters are there once. Outputs are made anew for every batch, and in
# training they have to be kept until the gradient has come back to them. Python can tell how much memory a piece of
# code asked for, so here are both, observed and not computed:

# %%
import tracemalloc


def bytes_held(make):
    """What `make()` returns, and the bytes that were allocated on the way and are still held."""
    tracemalloc.start()
    kept = make()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return kept, held


model, held = bytes_held(lambda: create_mlp(784, [128, 64], 10, rng=0))
print(f"parameters        {held:12,} bytes held, {4 * count_parameters(model):12,} in the arrays")
for batch in (1, 32, 1024, 8192):
    x = from_numpy(np.zeros((batch, 784), np.float32))
    outputs, held = bytes_held(lambda x=x: layer_outputs(model, x))
    print(f"outputs of {batch:6d} {held:12,} bytes held, {output_bytes(outputs):12,} in the arrays")
outputs = None

# %% [markdown]
# The parameters stay what they are; the outputs grow with the batch, and well before the last line they have
# overtaken the parameters. When a training run is out of memory, a smaller batch is therefore the first thing to
# try, and a smaller network the second. What is held beyond the arrays is the Python objects around them.
#
# ## What can a network represent?
#
# So far the weights were random. Let us choose them, and find out which functions these networks can be. A helper
# makes a `Dense` with given weights:

# %%
#| export
def dense_with(weights, bias) -> Dense:
    """A Dense with these numbers.

    Parameters
    ----------
    weights : nested lists or array, shape (input_size, output_size)
    bias : list or array, shape (output_size,)

    Returns
    -------
    Dense
        With copies of the numbers, as float32.
    """
    weights, bias = to_array(weights, np.float32), to_array(bias, np.float32)
    if weights.ndim != 2 or bias.shape != weights.shape[1:]:
        raise ValueError(
            f"dense_with: weights are {weights.shape} and bias is {bias.shape}.\n"
            "  Expected (input_size, output_size) and (output_size,)."
        )
    layer = Dense(*weights.shape)
    layer.weights.data[...], layer.bias.data[...] = weights, bias
    return layer


# %% [markdown]
# A ReLU unit `relu(x - k)` is zero up to `k` and then rises with slope 1. Add several of them with weights, and the
# sum is a line that changes its slope at each `k`, by the weight of that unit. Three units make a bump, up at 1,
# down at 2, flat at 3:

# %%
bump = Sequential([dense_with([[1.0, 1.0, 1.0]], [-1.0, -2.0, -3.0]), ReLU(), dense_with([[1.0], [-2.0], [1.0]], [0.0])])
for value in (0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 9.0):
    print(f"bump({value}) = {bump(Tensor([[value]])).item():.1f}")

# %% [markdown]
# So one hidden layer can draw any line through any points: begin at the first value, and at each point, its *knot*,
# change the slope to the one that the next piece needs. Write it down. The weights of the second layer are the
# **changes** of slope.

# %% nbgrader={"grade": false, "grade_id": "relu_interpolation", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def relu_interpolation(knots, values) -> Sequential:
    """A network with one hidden layer of ReLUs that joins points by straight lines.

    Parameters
    ----------
    knots : sequence of K + 1 numbers, increasing, K at least 1
    values : sequence of K + 1 numbers

    Returns
    -------
    Sequential of Dense(1, K), ReLU, Dense(K, 1)
        f(x) is values[i] at knots[i] and straight between neighbours. Left of the first
        knot it is constant, right of the last one the last piece goes on.

    Raises
    ------
    ValueError
        For fewer than two knots, knots that do not increase, and lengths that differ.

    Notes
    -----
    ``f(x) = values[0] + sum over i of change[i] * relu(x - knots[i])``, where change[i] is the slope of
    piece i less the slope of the piece before it (0 before the first). `np.diff(a)` gives the differences of neighbours, and
    `np.diff(a, prepend=0)` begins with a[0] - 0. `dense_with(weights, bias)` makes the layers.
    """
    knots, values = to_array(knots, np.float64), to_array(values, np.float64)
    if knots.ndim != 1 or knots.shape != values.shape or len(knots) < 2 or not (np.diff(knots) > 0).all():
        raise ValueError(
            f"relu_interpolation: knots {knots.shape} and values {values.shape} make no curve.\n"
            "  Expected two lists of one length, at least two points, and knots that increase."
        )
    ### BEGIN SOLUTION relu_interpolation
    slopes = np.diff(values) / np.diff(knots)
    changes = np.diff(slopes, prepend=0)
    hidden = dense_with(np.ones((1, len(slopes))), -knots[:-1])
    return Sequential([hidden, ReLU(), dense_with(changes[:, None], values[:1])])
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# relu_interpolation:
#   title: A curve from corners
#   hints:
#     - For K pieces there are K + 1 points. At which of them does the slope change, and by how much?
#     - Slopes are differences of values over differences of knots. The first layer computes x - knots[i] for all but the last knot, the second one multiplies by the changes of slope and adds values[0].
#     - "hidden = dense_with(np.ones(...), ...), whose biases make each unit bend at its knot; the weights of the last layer are changes[:, None]"
#   misconceptions:
#     - name: slopes in place of changes
#       says: >-
#         The line gets steeper from piece to piece. A ReLU that is switched on stays on, so all earlier units go on
#         adding their slope. The weight of a unit is the change of slope at its knot, not the slope.
#       code: |
#         slopes = np.diff(values) / np.diff(knots)
#         hidden = dense_with(np.ones((1, len(slopes))), -knots[:-1])
#         return Sequential([hidden, ReLU(), dense_with(slopes[:, None], values[:1])])
#     - name: knots with the wrong sign
#       says: >-
#         The corners are on the wrong side of zero. The unit is relu(x - knot), so the bias of the first layer is
#         minus the knot.
#       code: |
#         slopes = np.diff(values) / np.diff(knots)
#         changes = np.diff(slopes, prepend=0)
#         hidden = dense_with(np.ones((1, len(slopes))), knots[:-1])
#         return Sequential([hidden, ReLU(), dense_with(changes[:, None], values[:1])])
#     - name: begins at zero
#       says: >-
#         The curve has the right form and the wrong height: it begins at 0 and not at values[0]. That number is the
#         bias of the last layer.
#       code: |
#         slopes = np.diff(values) / np.diff(knots)
#         changes = np.diff(slopes, prepend=0)
#         hidden = dense_with(np.ones((1, len(slopes))), -knots[:-1])
#         return Sequential([hidden, ReLU(), dense_with(changes[:, None], [0.0])])
#     - name: takes all knots to be one apart
#       says: >-
#         The slopes are right only where the knots are 1 apart. A slope is the difference of values divided by the
#         difference of knots.
#       code: |
#         slopes = np.diff(values)
#         changes = np.diff(slopes, prepend=0)
#         hidden = dense_with(np.ones((1, len(slopes))), -knots[:-1])
#         return Sequential([hidden, ReLU(), dense_with(changes[:, None], values[:1])])
#     - name: the corner comes one knot late
#       says: >-
#         Each corner is one knot too far to the right. Piece i begins at knots[i]: use all knots but the last.
#       code: |
#         slopes = np.diff(values) / np.diff(knots)
#         changes = np.diff(slopes, prepend=0)
#         hidden = dense_with(np.ones((1, len(slopes))), -knots[1:])
#         return Sequential([hidden, ReLU(), dense_with(changes[:, None], values[:1])])

# %% nbgrader={"grade": true, "grade_id": "test_relu_interpolation", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
def test_relu_interpolation():
    column = lambda *numbers: Tensor(np.array(numbers, np.float32)[:, None])
    line = relu_interpolation([0.0, 2.0], [0.0, 6.0])
    check(line(column(0.0, 1.0, 2.0)), [[0.0], [3.0], [6.0]])
    hat = relu_interpolation([0.0, 1.0, 2.0], [0.0, 1.0, 0.0])
    check(hat(column(0.0, 0.5, 1.0, 1.5, 2.0)), [[0.0], [0.5], [1.0], [0.5], [0.0]])
    check(hat(column(-1.0, 3.0)), [[0.0], [-1.0]])
    curve = relu_interpolation([-2.0, 0.0, 1.0, 5.0], [5.0, 1.0, 4.0, 4.0])
    check(curve(column(-2.0, 0.0, 1.0, 5.0)), [[5.0], [1.0], [4.0], [4.0]])
    check(curve(column(-1.0, 0.5, 3.0)), [[3.0], [2.5], [4.0]])
    check([layer.weights.shape for layer in (curve[0], curve[2])], [(1, 3), (3, 1)])
    check_raises(ValueError, lambda: relu_interpolation([0.0, 0.0], [1.0, 2.0]), "knots that increase")
    check_raises(ValueError, lambda: relu_interpolation([0.0, 1.0], [1.0]), "of one length")

test_relu_interpolation()

# %% [markdown]
# Any smooth function can be followed as closely as one likes: take enough knots. This is a small form of the
# *universal approximation theorem* (Cybenko 1989; Hornik, Stinchcombe & White 1989), with the weights in our hands
# in the place of a proof that they exist. What does a digit of accuracy cost? For straight pieces of width `h`,
# calculus bounds the error by `h² / 8` times the largest second derivative, which for the sine is 1:

# %%
import matplotlib.pyplot as plt

grid = np.linspace(0, 2 * np.pi, 20001)
for units in (4, 8, 16, 32, 64, 128):
    knots = np.linspace(0, 2 * np.pi, units + 1)
    network = relu_interpolation(knots, np.sin(knots))
    error = np.abs(network(from_numpy(grid[:, None])).data[:, 0] - np.sin(grid)).max()
    print(f"{units:4d} units  largest error {error:.6f}   bound {knots[1] ** 2 / 8:.6f}")

_, ax = plt.subplots(figsize=(7, 3.6))
ax.plot(grid, np.sin(grid), color="0.6", linewidth=5, alpha=0.6)
ax.annotate("sin x", (2.0, 1.0), color="0.4")
for units, style, place in ((4, "C0--", (3.65, -0.2)), (8, "C1-", (5.65, -0.75))):
    knots = np.linspace(0, 2 * np.pi, units + 1)
    curve = relu_interpolation(knots, np.sin(knots))(from_numpy(grid[:, None])).data
    ax.plot(grid, curve, style)
    ax.annotate(f"{units} units", place, color=style[:2])
ax.set(xlabel="x", ylabel="output of the network", title="Four units cut the sine's corners, eight nearly follow it")
plt.show()

# %% [markdown]
# Twice the units, about a quarter of the error, and the more units the more exactly so: the bound explains it. It
# also shows the price. Another two digits cost ten times the units, in *one* dimension. With two inputs one would
# need a grid of knots, with ten inputs a grid in ten dimensions, and no memory holds that. That a network *can*
# represent a function says little about how large it has to be.
#
# ### Building with networks
#
# Because a Sequential is a layer, networks are building blocks. The layers chapter met XOR: is exactly one of two
# switches on? For any number of switches the question becomes *parity*: is the number of those that are on odd?
# First count, with a `Dense` whose weights are all 1. Then apply a function of one number that is 0 at 0, 1 at 1, 0
# at 2, and so on; that one you have built already.

# %% nbgrader={"grade": false, "grade_id": "parity_network", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def parity_network(switches: int) -> Sequential:
    """A network that says whether an odd number of switches is on.

    Parameters
    ----------
    switches : int, at least 1

    Returns
    -------
    Sequential of two layers
        A Dense(switches, 1) that counts, and a `relu_interpolation`. For inputs of shape (N, switches), each
        entry 0 or 1, the output is (N, 1): 1 where an odd number of entries is 1, and 0 elsewhere.
    """
    if isinstance(switches, bool) or not isinstance(switches, (int, np.integer)) or switches < 1:
        raise ValueError(f"parity_network: there are {switches!r:.40} switches, expected a whole number of at least 1.")
    ### BEGIN SOLUTION parity_network
    count = dense_with(np.ones((switches, 1)), [0.0])
    knots = np.arange(switches + 1)
    return Sequential([count, relu_interpolation(knots, knots % 2)])
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# parity_network:
#   title: Odd or even
#   hints:
#     - How many different counts are there for three switches? A table from count to answer is all that the second part has to be.
#     - The first layer has weights of shape (switches, 1), all 1, and bias 0. The second is relu_interpolation through the points (0, 0), (1, 1), (2, 0), ...
#     - "relu_interpolation(knots, knots % 2), where the knots are all the counts that there can be, from 0 on"
#   misconceptions:
#     - name: stops before all are on
#       says: >-
#         With every switch on the answer is wrong: the counts run from 0 to the number of switches, and that is one
#         more point than there are switches.
#       code: |
#         count = dense_with(np.ones((switches, 1)), [0.0])
#         knots = np.arange(switches + (switches == 1))
#         return Sequential([count, relu_interpolation(knots, knots % 2)])
#     - name: even in place of odd
#       says: >-
#         The answers are the wrong way round: the network says 1 for an even number. The function has to be 0 at 0.
#       code: |
#         count = dense_with(np.ones((switches, 1)), [0.0])
#         knots = np.arange(switches + 1)
#         return Sequential([count, relu_interpolation(knots, 1 - knots % 2)])
#     - name: solves XOR only
#       says: >-
#         The network answers "is exactly one on?". With three switches on, an odd number is on too: the function
#         has to come back to 1 at 3.
#       code: |
#         count = dense_with(np.ones((switches, 1)), [0.0])
#         knots = np.arange(switches + 1)
#         return Sequential([count, relu_interpolation(knots, knots == 1)])

# %% nbgrader={"grade": true, "grade_id": "test_parity_network", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_parity_network():
    check(parity_network(2)(Tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])), [[0.0], [1.0], [1.0], [0.0]])
    check(parity_network(3)(Tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])), [[0.0], [1.0]])
    check(parity_network(1)(Tensor([[0.0], [1.0]])), [[0.0], [1.0]])
    check(parity_network(5)(Tensor([[0.0, 1.0, 1.0, 1.0, 1.0]])), [[0.0]])
    check(count_parameters(parity_network(2)), 10)

test_parity_network()

# %%
print(summary(parity_network(4), (4,)))

# %% [markdown]
# ## What depth does
#
# Take the hat that rises from 0 to 1 and falls to 0 again, and apply it to its own output. Where the inner hat
# rises, from 0 to 1, the outer one goes up *and* down, and where the inner one falls it does so once more. Every
# further layer doubles the number of pieces (Telgarsky 2016). We count them as they are: along a line of inputs, a
# new piece begins where some ReLU switches on or off.

# %%
tent = relu_interpolation([0.0, 0.5, 1.0], [0.0, 1.0, 0.0])


def count_pieces(model, x):
    """Straight pieces of a ReLU network along the inputs `x`, one after the other on a line."""
    on = [out.data > 0 for _, layer, out in layer_outputs(model, x) if isinstance(layer, ReLU)]
    pattern = np.concatenate(on, axis=1)
    return 1 + int((pattern[1:] != pattern[:-1]).any(axis=1).sum())


line = (np.arange(4096) + 0.5) / 4096
print("hats   hidden units   pieces   units that one hidden layer would need, at least")
for depth in (1, 2, 4, 6):
    pieces = count_pieces(Sequential([tent] * depth), from_numpy(line[:, None]))
    print(f"{depth:4d} {2 * depth:14d} {pieces:8d} {pieces - 1:24d}")

_, axes = plt.subplots(1, 3, figsize=(9, 2.6), sharey=True, layout="constrained")
for ax, depth in zip(axes, (1, 2, 4)):
    ax.plot(line, Sequential([tent] * depth)(from_numpy(line[:, None])).data, linewidth=1.2)
    ax.set(xlabel="x", title=f"{depth} deep, {2 * depth} units")
axes[0].set(ylabel="output")
plt.suptitle("Composing the same hat doubles the pieces with every layer")
plt.show()

# %% [markdown]
# (A hidden layer of `K` units bends the line at `K` places at most, and so makes at most `K + 1` pieces.)
#
# That is what depth can do. Is it what depth does? The weights of the hat are very special. Here are networks as
# they come, random and of different depths, but with 64 hidden units each, and the mean number of pieces over ten
# of them:

# %%
def random_network(input_size, hidden_sizes, rng):
    """A ReLU network with random weights and, so that its corners do not all lie at zero, random biases."""
    model = create_mlp(input_size, hidden_sizes, 1, rng=rng)
    for layer in model:
        if isinstance(layer, Dense):
            layer.bias.data[...] = rng.normal(size=layer.bias.shape)
    return model


rng = np.random.default_rng(0)
wide_line = from_numpy(np.linspace(-4, 4, 20001)[:, None])
for depth in (1, 2, 4, 8):
    hidden = [64 // depth] * depth
    pieces = [count_pieces(random_network(1, hidden, rng), wide_line) for _ in range(10)]
    print(f"{depth} hidden layers of {hidden[0]:2d} units   {np.mean(pieces):5.1f} pieces")

# %% [markdown]
# Somewhat fewer pieces than units, whatever the depth, and nothing like the doubling that composition would allow
# (Hanin & Rolnick 2019 prove it for the mean). Random weights do not use what depth offers; the right weights have
# to be found.
#
# What depth does change is the *shape* of the pieces. With two inputs, each unit folds the plane along the line
# where it switches. Draw these lines:

# %%
side = np.linspace(-3, 3, 241)
plane = from_numpy(np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2))
_, axes = plt.subplots(1, 3, figsize=(9, 3.3), sharey=True, layout="constrained")
for ax, depth in zip(axes, (1, 2, 3)):
    model = random_network(2, [18 // depth] * depth, np.random.default_rng(3))
    inputs_of_relu = [out.data for _, layer, out in layer_outputs(model, plane) if isinstance(layer, Dense)][:-1]
    for number, (before, style) in enumerate(zip(inputs_of_relu, ("solid", "dashed", "dotted"))):
        for unit in before.T:
            if unit.min() < 0 < unit.max():
                ax.contour(side, side, unit.reshape(241, 241), [0], colors=f"C{number}", linestyles=style, linewidths=1.3)
        ax.plot([], [], color=f"C{number}", linestyle=style, label=f"layer {number + 1}")
    ax.set(xlabel="first input", title=f"{depth} x {18 // depth} units", aspect="equal")
    ax.legend(loc="lower right", fontsize=7)
axes[0].set(ylabel="second input")
plt.suptitle("The first layer folds along straight lines, the later ones along lines that are folded already")
plt.show()

# %% [markdown]
# ## Looking for weights in the dark
#
# For a hat the weights could be set by hand. For real data nobody knows them. Here are two moons of a hundred
# points each, and a network with two hidden layers; the sign of its output says which moon. Without any idea how to
# find weights, draw them at random, again and again, and keep the best:

# %%
rng = np.random.default_rng(0)
angle = rng.uniform(0, np.pi, 100)
upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
points = np.concatenate([upper, [1.0, 0.5] - upper]) + rng.normal(scale=0.1, size=(200, 2))
moon = np.arange(200) >= 100


def accuracy(model):
    """Fraction of the points whose moon the network names."""
    return np.mean((model(from_numpy(points)).data[:, 0] > 0) == moon)


model, best, best_accuracy = create_mlp(2, [8, 8], 1, rng=rng), None, 0.0
for attempt in range(1, 5001):
    for p in model.parameters():
        p.data[...] = rng.normal(size=p.shape)
    if accuracy(model) > best_accuracy:
        best, best_accuracy = deepcopy(model), accuracy(model)
        print(f"attempt {attempt:5d}   {best_accuracy:.1%} of the points")

# %%
_, ax = plt.subplots(figsize=(5.2, 3.6))
across, up = np.linspace(-1.6, 2.6, 200), np.linspace(-1.2, 1.7, 200)
plane = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
ax.contourf(across, up, best(from_numpy(plane)).data.reshape(200, 200) > 0, levels=[-0.5, 0.5, 1.5], colors=["C0", "C1"], alpha=0.25)
for chosen, colour, marker in ((~moon, "C0", "o"), (moon, "C1", "^")):
    ax.scatter(*points[chosen].T, color=colour, marker=marker, s=14)
ax.set(xlabel="first feature", ylabel="second feature", title="The best of 5,000 random networks does not separate the moons")
plt.show()

# %% [markdown]
# The first improvements come at once, the later ones further and further apart: each is a piece of luck, and the
# next one has to be rarer. And this is a network of about a hundred weights, in two dimensions. What is missing is
# a direction. At any weights one would like to know, for each of them, whether a little more or a little less makes
# the answers better. The autograd chapter computes exactly that, for all weights at once.
#
# ## Saving what was found
#
# The luck should not be lost when the notebook is closed. `state_dict()` gives the parameters by name, and NumPy's
# `.npz` files hold named arrays, so saving is nearly one call. Nearly: what if the program is stopped half-way
# through, or the disk is full? Then the old file is gone and the new one is no file. So one writes a temporary file
# *beside* the real one and then renames it. A rename within a directory is atomic: at every moment the name stands
# for the old file or the new one, never for half of one.

# %% nbgrader={"grade": false, "grade_id": "save", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def save(model: Module, path: str | os.PathLike) -> None:
    """Write a module's `state_dict` to an .npz file, all of it or nothing.

    Parameters
    ----------
    model : Module
    path : str or Path
        Name of the file, used as it is. A file that is there is replaced.

    Raises
    ------
    OSError
        Where the file cannot be written. What was there is then unchanged, and no other
        file is left behind.

    Notes
    -----
    - `state` holds the arrays by name. `np.savez(file, **state)` writes them to an open file. Given a name in place of an
      open file, it would add ".npz" to it.
    - `open(temporary, "wb")` opens a file for writing bytes.
    - `os.replace(old, new)` renames, and replaces what is called `new`.
    - `temporary.unlink(missing_ok=True)` removes the temporary file if it is there. A `finally:` block runs
      whatever happened before.
    """
    path, state = checked_path("save", model, path), model.state_dict()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    ### BEGIN SOLUTION save
    try:
        with open(temporary, "wb") as file:
            np.savez(file, **state)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    ### END SOLUTION


def checked_path(function: str, model, path) -> Path:
    """`path` as a Path, once the arguments of `save` or `load` are seen to be in order."""
    if not isinstance(model, Module) or not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f"{function}: expected {function}(model, path), a Module and the name of a file; "
            f"got {type(model).__name__} and {type(path).__name__}."
        )
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{function}: there is no directory {path.parent}. Make it first, or correct the path.")
    if path.is_dir():
        raise IsADirectoryError(f'{function}: {path} is a directory. Name a file in it, such as "{path / "model.npz"}".')
    return path


# %% [raw] tags=["exercise"]
# save:
#   title: All of it or nothing
#   hints:
#     - Which of your lines may fail, and what does the directory look like if it does?
#     - Inside try, open the temporary file, write the arrays into it, close it, then rename it to path. In finally, remove the temporary file if it is still there.
#     - "with open(temporary, 'wb') as file: np.savez(file, **state) and, after the with block, os.replace(temporary, path)"
#   misconceptions:
#     - name: writes straight into the file
#       says: >-
#         When writing failed half-way, the old file was already gone. Write into `temporary` and rename it at the
#         end.
#       code: |
#         with open(path, "wb") as file:
#             np.savez(file, **state)
#     - name: leaves the temporary file behind
#       says: >-
#         When writing failed, the temporary file stayed in the directory. Remove it in a finally block.
#       code: |
#         with open(temporary, "wb") as file:
#             np.savez(file, **state)
#         os.replace(temporary, path)
#     - name: gives savez a name
#       says: >-
#         np.savez adds ".npz" to a name that does not end so, and then there is no file called `temporary` to
#         rename. Give it an open file.
#       code: |
#         try:
#             np.savez(temporary, **state)
#             os.replace(temporary, path)
#         finally:
#             temporary.unlink(missing_ok=True)
#     - name: removes the old file first
#       says: >-
#         The old file was removed before the new one was complete, and then writing failed: now there is neither.
#         os.replace replaces; nothing has to be removed before.
#       code: |
#         path.unlink(missing_ok=True)
#         try:
#             with open(temporary, "wb") as file:
#                 np.savez(file, **state)
#             os.replace(temporary, path)
#         finally:
#             temporary.unlink(missing_ok=True)

# %% [markdown]
# Loading has to distrust the file. It may be missing, cut short, or something else altogether, and NumPy's format
# can even carry Python objects, which would run code when they are read. So: no pickles (`allow_pickle=False`),
# everything is read before anything is changed, and `load_state_dict` compares names and shapes before it copies.

# %%
#| export
def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz file. Raises ValueError where it is none, or is damaged."""
    with open(path, "rb") as file:
        try:
            if not zipfile.is_zipfile(file):
                raise ValueError("it is no .npz file, or not all of one")
            file.seek(0)
            with np.load(file, allow_pickle=False) as content:
                return {name: content[name] for name in content.files}
        except Exception as error:  # whatever a damaged file makes its reader stumble over
            raise ValueError(
                f"load: {path} is not a file that save wrote, or it is damaged ({error}).\n"
                "  Nothing was loaded. Expected an .npz file of plain arrays."
            ) from error


def load(model: Module, path: str | os.PathLike) -> Module:
    """Read into a module what `save` wrote, all of it or nothing.

    Parameters
    ----------
    model : Module
        Built like the one that was saved: with the same names and shapes of parameters.
    path : str or Path

    Returns
    -------
    Module
        `model`.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    ValueError
        Where the file is damaged, holds something else, or belongs to another network. The
        model is then unchanged.
    """
    path = checked_path("load", model, path)
    if not path.exists():
        there = ", ".join(sorted(p.name for p in path.parent.glob("*.npz"))[:5]) or "no .npz file"
        raise FileNotFoundError(f"load: there is no file {path}. In its directory there is: {there}.")
    arrays = read_arrays(path)
    try:
        model.load_state_dict(arrays)
    except ValueError as error:
        raise ValueError(f"load: {path} does not belong to this network.\n  {error}") from error
    return model


# %% nbgrader={"grade": true, "grade_id": "test_save", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
def test_save():
    model, x = create_mlp(3, [4], 2, rng=0), Tensor([[1.0, 2.0, 3.0]])
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "my model ü")
        with contextlib.suppress(FileNotFoundError):
            save(model, path)
        check(path.exists(), True)
        check(len(os.listdir(directory)), 1)
        check(load(create_mlp(3, [4], 2, rng=1), path)(x), model(x))
        save(create_mlp(3, [4], 2, rng=2), path)
        check(load(create_mlp(3, [4], 2), path)(x), create_mlp(3, [4], 2, rng=2)(x))

test_save()

# %% nbgrader={"grade": true, "grade_id": "test_save__failing", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_save__failing():
    def disk_full(file, **arrays):
        file.write(b"half of it")
        raise OSError("the disk is full")
    savez = np.savez
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "model.npz")
        save(create_mlp(3, [4], 2, rng=0), path)
        before = path.read_bytes()
        np.savez = disk_full
        try:
            check_raises(OSError, lambda: save(create_mlp(3, [4], 2, rng=1), path), "the disk is full")
        finally:
            np.savez = savez
        check(path.is_file(), True)
        check(path.read_bytes() == before, True)
        check(len(os.listdir(directory)), 1)

test_save__failing()

# %% nbgrader={"grade": true, "grade_id": "test_load", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_load():
    model, x = create_mlp(3, [4], 2, rng=0), Tensor([[1.0, 2.0, 3.0]])
    before = model(x).data
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "model.npz")
        check_raises(FileNotFoundError, lambda: load(model, path), "there is no file")
        save(create_mlp(3, [5], 2, rng=1), path)
        check_raises(ValueError, lambda: load(model, path), "does not belong to this network")
        save(create_mlp(3, [4], 2, rng=1), path)
        path.write_bytes(path.read_bytes()[:-100])
        check_raises(ValueError, lambda: load(model, path), "damaged")
        path.write_text("not an array")
        check_raises(ValueError, lambda: load(model, path), "damaged")
    check(model(x), before)
    check_raises(TypeError, lambda: load("model.npz", model), "load(model, path)")

test_load()

# %% [markdown]
# The best of the random networks, saved, and loaded into a new one that knows only the sizes:

# %%
with tempfile.TemporaryDirectory() as directory:
    path = Path(directory, "moons.npz")
    save(best, path)
    print(f"{path.stat().st_size} bytes in the file, {sum(p.data.nbytes for p in best.parameters())} in the parameters")
    with np.load(path, allow_pickle=False) as content:
        for name in content.files:
            print(f"  {name:20} {content[name].shape}")
    again = load(create_mlp(2, [8, 8], 1), path)
print(f"{accuracy(best):.1%} of the points before, {accuracy(again):.1%} after")

# %% [markdown]
# A file holds names and numbers, not the program: to load one, build the network first. The bytes beyond the
# numbers are headers, some hundreds for each array, which for a network of useful size no longer count.
#
# ## The real thing
#
# Does our network compute what its weights say? NumPy alone can tell, in one line. Where PyTorch is installed, a
# network with the same weights is built there too, and the two have to agree.

# %%
model = create_mlp(20, [32, 16], 5, rng=0)
x = np.random.default_rng(1).normal(size=(64, 20)).astype(np.float32)
(w1, b1), (w2, b2), (w3, b3) = ((layer.weights.data, layer.bias.data) for layer in model[::2])
by_hand = np.maximum(np.maximum(x @ w1 + b1, 0) @ w2 + b2, 0) @ w3 + b3
print(f"largest difference from NumPy    {np.abs(model(x).data - by_hand).max():.1e}")

try:
    import torch
except ImportError:
    print("PyTorch is not installed here, so it was not asked.")
else:
    theirs = torch.nn.Sequential(
        torch.nn.Linear(20, 32), torch.nn.ReLU(), torch.nn.Linear(32, 16), torch.nn.ReLU(), torch.nn.Linear(16, 5)
    )
    with torch.no_grad():
        for linear, layer in zip(list(theirs)[::2], model[::2]):
            linear.weight.copy_(torch.from_numpy(layer.weights.data.T.copy()))
            linear.bias.copy_(torch.from_numpy(layer.bias.data))
        difference = np.abs(model(x).data - theirs(torch.from_numpy(x)).numpy()).max()
    print(f"largest difference from PyTorch  {difference:.1e}")
    print(f"parameters: ours {count_parameters(model)}, theirs {sum(p.numel() for p in theirs.parameters())}")

# %% [markdown]
# ## Where next
#
# A network is now a thing that can be built from sizes, looked into, counted, saved and loaded. The dataloader
# chapter brings it data; the autograd chapter brings the direction that the random search lacked.
#
# Some things to try:
#
# - In the search over moons, do not draw new weights each time; add a small random change to the best so far, and
#   keep it if it helps. How many attempts does 100% take now? Then try a network of ten times the weights.
# - `relu_interpolation` puts its knots at equal distances. For `sin(x²)`, where would you put them? Compare the
#   largest error at equal numbers of units.
# - Write a `Residual(layer)` module with `forward(x) = x + layer(x)`, and draw the folds of a network made of ten
#   of them.
#
# What our version leaves out: PyTorch's Sequential can name its layers, and `torch.save` writes any Python object,
# the optimizer's state for one. It does so by pickle, so its files deserve even more distrust than ours. What a
# training run needs in order to go on where it stopped is a matter for the training chapter.
