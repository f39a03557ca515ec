"""What a library says of bad input: each row is a call, and words that its error has to hold.

Every one is raised on purpose: it names what the reader typed, what was wrong with it and what was expected, and does not hand on
what NumPy or Python said. Words parted by " ... " stand in the message in any order.
"""

# ruff: noqa: E501 (a row of a table is a line)

import subprocess
import sys
from pathlib import Path

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

CORE, ROOT = tinytorch.core, Path(__file__).resolve().parents[1]
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


LAYERS = """
leaky_relu(x, "a")                        leaky_relu: the slope is 'a', expected a number of at most 1
leaky_relu(x, None)                       leaky_relu: the slope is None
softmax(x, 5)                             softmax: there is no axis 5
softmax(x, "a")                           softmax: the axis is 'a', expected an int
Softmax(True)                             Softmax: the axis is True, expected an int
ReLU(3)                                   ReLU: ReLU() makes the activation ... ReLU()(x)
fans(3)                                   fans: weights have at least two axes ... This shape is 3
glorot_uniform(None)                      fans: ... This shape is None
he_normal((0, 3))                         fans: the shape (0, 3)
Dense("a", 3)                             Dense: input_size is 'a', expected an integer of at least 1
Dense(3, True)                            Dense: output_size is True
Dense(3, 2)(Tensor([1.0]))                Dense(3, 2) got 1 features ... Did you mean Dense(1, 2)?
LayerNorm(3, "a")                         LayerNorm: epsilon is 'a', expected a small positive number
LayerNorm(3, float("nan"))                LayerNorm: epsilon is nan
LayerNorm(3)(Tensor([1.0]))               LayerNorm(3) got 1 features
Dropout("a")                              Dropout: rate is 'a', expected a number from 0
model["a"]                                Sequential: there is no layer 'a'; the network has 3 layers
model[9]                                  Sequential: there is no layer 9; the network has 3 layers
MLP(3, 4, 2)                              MLP: hidden_sizes is 4, expected a list
create_mlp(3, [4], "a")                   create_mlp: output_size is 'a', expected a whole number
mlp_parameter_count(3, 4, 2)              mlp_parameter_count: hidden_sizes is 4, expected a list
count_parameters(3)                       count_parameters: 3 is no Module
dense_with("a", [1.0])                    'a' is not made of numbers
dense_with([[1], [1, 2]], [1])            rows differ
relu_interpolation([0, 1], ["a", "b"])    not made of numbers
parity_network(True)                      parity_network: there are True switches
summary(model, "a")                       summary: input_shape is 'a'
"""

DATA = """
ArrayDataset("ab", "cd")                  features: these are not numbers
ArrayDataset([[1.0], [float("nan")]], [0, 1])  features: entry [1, 0] is nan
data["a"]                                 a sample is named by one integer, not by 'a'
data[9]                                   sample 9 was asked for, but the samples are 0 to 5
data.subset([99])                         subset: the samples [99] were asked for, but there are 0 to 5
data.subset("a")                          subset: the samples 'a' were asked for
collate([])                               collate: [] holds no samples. Expected a list of pairs
collate(None)                             collate: None holds no samples
DataLoader(data, batch_size=True)         DataLoader: batch_size is True; it has to be an integer of at least 1
DataLoader(data, seed=-1)                 DataLoader: seed is -1
train_test_split(data, seed="a")          train_test_split: seed is 'a'; it has to be an integer of at least 0
train_test_split(data, test_size=1.0)     train_test_split: test_size=1.0 does not split 6 samples
standardize("a")                          Normalizer.fit: these are not numbers
Normalizer().fit(np.ones((3, 2))).transform([["a", "b"]])  Normalizer.transform: these are not numbers
random_shift("a")                         random_shift: these are not numbers
random_flip("a")                          random_flip: these are not numbers
random_flip(np.ones(3))                   random_flip: pictures of shape (N, height, width) are needed, not (3,)
random_noise(np.ones(3), scale=-1)        random_noise: scale is -1; it has to be a number of at least 0
random_noise("a")                         random_noise: these are not numbers
Transformed(data, 3)                      Transformed: a data set and a function are needed, not ... and 3
Transformed(data, lambda f: f[:1]).batch([0, 1])  Transformed: the function made (1, 3) of features (2, 3)
"""

AUTOGRAD = """
Variable(2.0, grad_fn=3, inputs=(s,))     Variable: grad_fn is a function and inputs are Tensors, not 3
Variable(2.0, grad_fn=lambda g: g, inputs=3)  Variable: grad_fn is a function and inputs are Tensors ... and 3
Variable(np.array([1, 2]))                Variable: entries of type int64 have no derivative
gradient(relu, x=3)                       gradient of relu: the rule for x is 3. Expected a function
gradient(relu, z=lambda g: g)             gradient of relu: it has no 'z'
v.backward()                              backward: the result has shape (2, 2)
v.backward("a")                           'a' is not made of numbers
gradients(3, [s])                         gradients: out is 3. Expected a Tensor
gradients(s * s, s)                       gradients: Tensors come as a list, gradients(out, [x])
gradients(s * s, 3)                       gradients: 3 is no list of Tensors
gradients(s * s, [s, "a"])                gradients: entry 1 is 'a', not a Tensor
grad(3)                                   grad: 3 is no function. The function comes first, as in grad(f)
grad(lambda x: x * x)()                   grad: the derivative by argument 0 was asked for, and 0 arguments are given
grad(lambda x: x * x, "a")(2.0)           grad: the derivative by argument 'a'
grad(lambda x: 3)(2.0)                    grad: the function returned int
jacobian(3, 2.0)                          jacobian: 3 is no function
hessian(3, 2.0)                           hessian: 3 is no function
hessian(lambda x: 3, 2.0)                 hessian: the function returned int
hvp(3, [1.0], [1.0])                      hvp: 3 is no function
checkpoint(3, s)                          checkpoint: 3 is no function
checkpoint(lambda x: x * x, s).backward(create_graph=True)  create_graph: checkpoint(f, x) runs f again ... write f(x) in its place
grad(grad(lambda x: checkpoint(lambda y: y * y, x)))(2.0)   create_graph: checkpoint(f, x)
check_gradients(3, 2.0)                   check_gradients: 3 is no function
check_gradients(lambda x: x, "a")         'a' is not made of numbers
check_gradients(lambda x: x, None)        None is not made of numbers
check_gradients(lambda x: x, [1, [2]])    rows differ
check_gradients(lambda x: 3, 2.0)         check_gradients: the function returned int
draw_graph(3)                             draw_graph: 3 is no function
explain_backward(3)                       explain_backward: 3 is no function
first_nonfinite(3, 2.0)                   first_nonfinite: 3 is no function
clip_gradients(s)                         clip_gradients: Tensors come as a list, clip_gradients([x])
clip_gradients([s], max_norm=-1)          clip_gradients: max_norm is -1, but it has to be a number of at least 0, or None
clip_gradients([s], max_norm="a")         clip_gradients: max_norm is 'a'
clip_gradients([s], max_value=-0.5)       clip_gradients: max_value is -0.5
clip_gradients([3])                       clip_gradients: entry 0 is 3, not a Tensor
clip_gradients(model)                     clip_gradients: entry 0 is Dense(3, 4), not a Tensor. A model's are model.parameters()
clip_gradients(Dense(3, 2))               clip_gradients: Dense(3, 2) is no list of Tensors
"""

TRAINING = """
loss(x, [0, 3])                           CrossEntropyLoss: target 3 (sample 1) is out of range
loss(x, [0.0, 1.0])                       CrossEntropyLoss: the targets are of type float32
MeanSquaredError()(x, [1.0])              mean_squared_error: predictions have shape (2, 3), targets (1,)
Accuracy()(x, "a")                        Accuracy: the targets are 'a', not numbers
Accuracy()("a", [0])                      the predictions are 'a', not numbers
confusion_matrix(x, "a")                  confusion_matrix: the targets are 'a', not numbers
confusion_matrix(x, [0, 1], classes="a")  confusion_matrix: classes is 'a', but it has to be a whole number
GradientDescent(model)                    GradientDescent: this is a Sequential, not its parameters
GradientDescent(model.parameters()).load_state_dict({})  GradientDescent: {} is no state of an optimizer
EarlyStopping(2, "a")                     EarlyStopping: min_delta is 'a'
EarlyStopping(2, -1)                      EarlyStopping: min_delta is -1, but it has to be a number of at least 0
Trainer(model, optimizer, loss).fit(x)    fit: Tensor gives no batches. Write DataLoader(dataset, batch_size=32)
Trainer(model, optimizer, loss).fit(loader, schedule=3)  fit: schedule is 3, which has no step()
Trainer(model, optimizer, loss).fit(loader, epochs=True)  fit: epochs is True
Trainer(model, optimizer, loss).evaluate(3)  evaluate: int gives no batches
Trainer(model, optimizer, loss).predict(3)   predict: x of shape () holds no samples. Expected rows of features
Trainer(model, optimizer, loss).predict(x, batch_size="a")  predict: batch_size is 'a'
SGD(model.parameters(), learning_rate="a")  SGD: learning_rate is 'a'
SGD(model.parameters(), momentum=True)    SGD: momentum is True
StepLR(3, 1)                              StepLR: 3 is no optimizer. Expected one such as SGD(model.parameters())
StepLR(optimizer, True)                   StepLR: step_size is True
StepLR(optimizer, 1).load_state_dict({})  StepLR: {} is no state of a schedule
WarmupLR(optimizer, 3, after=3)           WarmupLR: after is 3, no schedule
find_learning_rate(model, optimizer, loss, loader, steps=1)  find_learning_rate: steps is 1, but it has to be at least 2
find_learning_rate(model, optimizer, loss, loader, low="a")  find_learning_rate: low is 'a', but it has to be a number
find_learning_rate(model, optimizer, loss, loader, high=float("inf"))  find_learning_rate: high is inf
find_learning_rate(model, optimizer, loss, 3)  find_learning_rate: int gives no batches
find_learning_rate(model, 3, loss, loader)  find_learning_rate: 3 is no optimizer
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


@pytest.mark.parametrize("call, words", [*rows(LAYERS)])
def test_activations_layers_networks(call, words):
    check(call, words)


@pytest.mark.parametrize("call, words", [*rows(DATA)])
def test_dataloader(call, words):
    check(call, words)


@pytest.mark.parametrize("call, words", [*rows(AUTOGRAD)])
def test_autograd(call, words):
    check(call, words)


@pytest.mark.parametrize("call, words", [*rows(TRAINING)])
def test_training_and_optimizers(call, words):
    check(call, words)


NO_MATPLOTLIB = """
import sys
sys.modules["matplotlib"] = None  # as if it were not installed
from tinytorch.core.training import History
from tinytorch.core.optimizers import RateSearch
for plot in (History().plot, RateSearch([0.1, 1.0], [2.0, 1.0]).plot):
    try:
        plot()
    except ImportError as error:
        print(error)
"""


def test_pictures_without_matplotlib():
    done = subprocess.run([sys.executable, "-c", NO_MATPLOTLIB], cwd=ROOT, capture_output=True, encoding="utf-8", timeout=60, check=True)
    for name in ("History.plot", "RateSearch.plot"):
        assert f"{name}: drawing needs matplotlib" in done.stdout
    assert done.stdout.count("Install it: python -m pip install matplotlib") == 2
