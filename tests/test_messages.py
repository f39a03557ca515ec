"""What a library says of bad input: each row is a call, and words that its error has to hold.

Every one is raised on purpose: it names what the reader typed, what was wrong with it and what was expected, and does not hand on
what NumPy or Python said. Words parted by " ... " stand in the message in any order.
"""

# ruff: noqa: E501 (a row of a table is a line)

import numpy as np
import pytest

import tinytorch.core.activations
import tinytorch.core.autograd
import tinytorch.core.dataloader
import tinytorch.core.layers
import tinytorch.core.networks
import tinytorch.core.optimizers
import tinytorch.core.tensor
import tinytorch.core.training

CORE = tinytorch.core
NOT_OURS = ("object has no attribute", "object is not", "could not convert", "interpreted as an integer", "did not contain a loop", "for the input types", "unsupported operand",
            "not supported between", "out of bounds for array", "has no len()", "inhomogeneous", "list index out of range")  # fmt: skip


def names():
    """Everything that the chapters export, and a few values to try it on."""
    found = {"np": np}
    for module in (CORE.tensor, CORE.activations, CORE.layers, CORE.networks, CORE.dataloader, CORE.training, CORE.optimizers, CORE.autograd):
        found |= {name: value for name, value in vars(module).items() if not name.startswith("__")}
    found |= {"x": found["Tensor"]([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), "whole": found["Tensor"]([1, 2, 3])}
    found |= {"empty": found["zeros"]((0, 3)), "v": found["Variable"]([[1.0, 2.0], [3.0, 4.0]]), "s": found["Variable"](2.0)}
    found["model"] = found["create_mlp"](3, [4], 2, rng=0)
    found["optimizer"] = found["SGD"](found["model"].parameters())
    found["data"] = found["ArrayDataset"](np.ones((6, 3), np.float32), np.array([0, 1] * 3))
    found["loader"] = found["DataLoader"](found["data"], batch_size=2, seed=0)
    found["loss"] = found["CrossEntropyLoss"]()
    return found


TENSOR = """
Tensor("1.5", dtype=np.float32)           not made of numbers
Tensor(["1", "2"], dtype=np.float32)      not made of numbers
Tensor([[1.0, None]], dtype=np.float64)   not made of numbers
Tensor([Tensor([1.0]), Tensor([1.0, 2.0])])  rows differ: row 0 has 1 entries, row 1 has 2
Tensor([np.array(1.0), [1.0, 2.0]])       rows differ: row 0 has a single number
Tensor([1.0], requires_grad=True)         Tensor: a plain Tensor takes part in no derivative. Expected Variable(data)
x & x                                     x & y: these are no masks. Compare first
x | True                                  x | y: these are no masks
~x                                        ~x: these are no masks
x.clip("a", 2)                            'a' is not made of numbers
x.clip(dim=2)                             clip: does not take dim. It takes x, low, high
x[5]                                      x[index]: index 5 is out of bounds for axis 0 with size 2
x["a"]                                    x[index]: 'a' is no index. Expected integers, slices
x[1.5]                                    x[index]: 1.5 is no index
x[0, 0, 0]                                x[index]: 3 indices, but x has the shape (2, 3), and so 2 axes
s[0]                                      x[index]: x is a single number ... x.item() is its value
v[2]                                      x[index]: index 2 is out of bounds
x.__setitem__(0, "a")                     'a' is not made of numbers
x.__setitem__(0, None)                    None is not made of numbers
x.__setitem__(0, [1, [2]])                rows differ
x.__setitem__(0, [1.0, 2.0])              x[index] = value: ... (2,) ... (3,)
x.__setitem__(9, 1.0)                     x[index] = value: index 9 is out of bounds
x.__setitem__("a", 1.0)                   'a' is no index
x.reshape(7)                              reshape: the 6 entries of the shape (2, 3) do not fill the shape (7,) ... multiply to 6
x.reshape("a")                            reshape: 'a' is no shape. Expected whole numbers
x.reshape(None)                           reshape: None is no shape
x.reshape(2.0, 3)                         reshape: (2.0, 3) is no shape
x.reshape(-1, -1)                         one of them may be -1
x.transpose(0, 5)                         transpose: the axes are (0, 5). Expected every axis of the shape (2, 3) once, such as (1, 0) ... swapaxes
x.transpose("a")                          transpose: the axes are 'a'
x.swapaxes(0, 5)                          swapaxes: there is no axis 5: the ndim of x is 2
x.swapaxes("a", 0)                        swapaxes: the axis is 'a'. Expected a whole number
broadcast_to(x, (2, 2))                   broadcast_to: (2, 3) does not stretch to (2, 2)
broadcast_to(x, "a")                      broadcast_to: (2, 3) does not stretch to 'a'
expand_dims(x, 5)                         expand_dims: there is no axis 5: the ndim of the result is 3
expand_dims(x, "a")                       expand_dims: the axis is 'a'
expand_dims(x, None)                      expand_dims: the axis is None
squeeze(x, 0)                             squeeze: axis 0 of the shape (2, 3) has 2 entries, and only an axis of length 1 can go
x.squeeze(5)                              squeeze: there is no axis 5
x.squeeze("a")                            squeeze: the axis is 'a'
x.sum(axis=5)                             sum: there is no axis 5: the ndim of x is 2. ... counted from 0, or back from -1
x.sum(axis="a")                           sum: the axis is 'a'. Expected a whole number, or a tuple of them
x.sum(axis=True)                          sum: the axis is True
x.sum(axis=[0, 1])                        sum: the axis is [0, 1]. ... tuple
x.sum(axis=(0, 0))                        sum: axis=(0, 0) names an axis twice
x.sum(dim=0)                              sum: does not take dim. It takes x, axis, keepdims
x.max(axis=5)                             max: there is no axis 5
x.min(axis=1.5)                           min: the axis is 1.5
empty.max()                               max: ... (0, 3) ... no maximum
x.mean(axis=5)                            mean: there is no axis 5
x.mean(axis="a")                          mean: the axis is 'a'
x.var(axis=2)                             var: there is no axis 2
x.std(axis=-3)                            var: there is no axis -3
empty.argmax()                            argmax: a Tensor of shape (0, 3) has no entries
empty.argmin(0)                           argmin: a Tensor of shape (0, 3) has no entries
x.argmax(5)                               argmax: there is no axis 5
x.argmax("a")                             argmax: the axis is 'a'. Expected a whole number
x.argmax((0, 1))                          argmax: the axis is (0, 1)
argmax("a")                               'a' is not made of numbers
x.astype("banana")                        dtype: 'banana' is no type of numbers
matmul("a", x)                            'a' is not made of numbers
matmul(x, None)                           None is not made of numbers
matmul([1.0], [1.0, 2.0])                 matmul: inner sizes differ
concatenate(None)                         concatenate: None is no list of Tensors. Expected one, as in concatenate([x, y])
concatenate("ab")                         concatenate: 'ab' is no list
concatenate([])                           concatenate: the list is empty
concatenate([x, x], axis=2)               concatenate: there is no axis 2
concatenate([x, x], axis="a")             concatenate: the axis is 'a'
concatenate(x, x)                         concatenate: the axis is Tensor
stack(3)                                  stack: 3 is no list of Tensors
stack([])                                 stack: the list is empty
stack([x, x], axis=9)                     stack: there is no axis 9: the ndim of the result is 3
stack([x, x], axis=None)                  stack: the axis is None
stack([x, "a"])                           'a' is not made of numbers
einsum("i1->i", x)                        einsum: '1' in 'i1->i' is no letter
zeros(True)                               zeros: True is no shape
ones((2, -1))                             ones: (2, -1) is no shape
full(2, [1, 2])                           full: the value has the shape (2,). Expected a single number
arange("a")                               arange: ('a',) was given. Expected arange(stop), arange(start, stop)
arange()                                  arange: () was given
arange(1, 2, 0)                           arange: (1, 2, 0) ... a step other than 0
arange(float("inf"))                      arange: (inf,) ... Expected finite numbers
randn(2, dtype=int)                       randn: the dtype is int64. Expected float32 or float64
randn(2, 3)                               randn: is 3 a size or a seed?
operation(np.exp)                         operation: <ufunc 'exp'> is no function written in Python. ... operation(lambda x: ...)
x.view(3, 2)                              Tensor has no attribute 'view'. Write x.reshape(2, 3)
x.cuda()                                  'cuda'. Write x itself: every Tensor is in main memory
v.exp()                                   Variable has no attribute 'exp'. Write exp(x)
"""


def rows(table):
    """Call and words of each row of a table; two spaces part the two."""
    for line in table.strip().splitlines():
        call, _, words = line.partition("  ")
        yield pytest.param(call.strip(), words.strip(), id=call.strip())


def complaint(call):
    """What is raised by a call, given as text."""
    with pytest.raises((TypeError, ValueError, IndexError, AttributeError, RuntimeError)) as caught:
        eval(call, names())
    return str(caught.value)


def check(call, words):
    said = complaint(call)
    for part in words.split(" ... "):
        assert part in said, said
    assert not any(text in said for text in NOT_OURS), said


@pytest.mark.parametrize("call, words", [*rows(TENSOR)])
def test_tensor(call, words):
    check(call, words)
