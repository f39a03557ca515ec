"""What a reader brings along from PyTorch and NumPy means here what it means there."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinytorch.core.autograd import Variable, no_grad
from tinytorch.core.layers import Dense, Linear, Module, Parameter
from tinytorch.core.networks import create_mlp
from tinytorch.core.optimizers import SGD
from tinytorch.core.tensor import Tensor
from tinytorch.core.training import CrossEntropyLoss

ROOT = Path(__file__).resolve().parents[1]


def test_no_grad_decorates_a_function_that_is_called_twice():
    @no_grad()
    def twice(x):
        return x * 2

    x = Variable([1.0])
    assert [twice(x).requires_grad for _ in range(2)] == [False, False] and (x * 2).requires_grad


def test_an_integer_tensor_is_an_index():
    x = Tensor([2, 1])
    assert [10, 20, 30][x[0]] == 30 and list(range(x[1])) == [0]
    for wrong in (Tensor(2.0), x):
        with pytest.raises((TypeError, ValueError), match=r"Expected a single integer|2 entries, not one"):
            range(wrong)


def test_iteration_unpacking_and_python_s_own_functions():
    x = Variable([3.0, 1.0])
    a, b = x
    (a * b + sum(x)).backward()
    assert x.grad.tolist() == [2.0, 4.0]
    assert max(x).item() == 3.0 and [t.item() for t in sorted(x)] == [1.0, 3.0] and len(x) == 2


def test_masks_read_and_write():
    x = Tensor([1.0, -2.0, 3.0])
    x[x < 0] = 0
    assert x.tolist() == [1.0, 0.0, 3.0] and x[(x > 0) & (x < 2)].tolist() == [1.0] and np.any(x > 2)


@pytest.mark.parametrize("make", [Variable, Parameter])
def test_a_step_by_hand_writes_to_data(make):
    w = make([2.0])
    with no_grad():
        with pytest.raises(RuntimeError, match=r"write to x\.data"):
            w -= 0.5
        w.data -= 0.5
    assert w.data.tolist() == [1.5]


def test_a_loop_as_everybody_writes_it():
    model = create_mlp(3, [8], 2, rng=0)
    optimizer, loss_function = SGD(model.parameters(), 0.5), CrossEntropyLoss()
    features, targets = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32), np.arange(20) % 2
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = loss_function(model(features), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    copy = create_mlp(3, [8], 2, rng=1)
    copy.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(copy(features).detach().numpy(), model(features).detach().numpy())


ROWS = [[[1, 2, 3]], [[1.0, 2.0, 3.0]], np.ones((1, 3), int), np.ones((1, 3), np.float32), Tensor([[1, 2, 3]])]


@pytest.mark.parametrize("rows", ROWS)
def test_a_model_takes_lists_arrays_and_integers(rows):
    out = create_mlp(3, [4], 2, rng=0)(rows)
    assert out.shape == (1, 2) and out.dtype == np.float32


def test_a_module_written_as_in_pytorch():
    class Net(Module):
        def __init__(self):
            super().__init__()
            self.first, self.others = Linear(3, 4), [Dense(4, 4), Dense(4, 1)]

        def forward(self, x):
            x = self.first(x)
            for layer in self.others:
                x = layer(x)
            return x

    net = Net()
    assert net(np.ones((2, 3), np.float32)).shape == (2, 1) and len(list(net.parameters())) == 6
    assert next(name for name, _ in net.named_parameters()) == "first.weights"


WORDS = [
    ("SGD([], lr=0.1)", "What is lr elsewhere is learning_rate here."),
    ("Adam([], betas=(0.9, 0.99))", "What is betas elsewhere is beta1 and beta2 here."),
    ("Tensor([[1.0]]).mean(dim=0)", "What is dim elsewhere is axis here."),
    ("concatenate([Tensor([1.0])], dim=0)", "What is dim elsewhere is axis here."),
    ("Dense(3, 2, bias=False)", "What is bias elsewhere is use_bias here."),
    ("Dense(3, 2, rng='a')", "rng is a seed, an integer of at least 0; or a generator"),
    ("Dense(3, 2, mode='fast')", ""),
    ("dict(**{1: 2})", ""),
]


@pytest.mark.parametrize("call, said", WORDS)
def test_a_word_from_elsewhere_is_explained_where_nobody_catches_it(call, said):
    names = {"layers": "Dense", "optimizers": "SGD, Adam", "tensor": "Tensor, concatenate"}
    code = "".join(f"from tinytorch.core.{module} import {name}\n" for module, name in names.items()) + call
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "TypeError: " in done.stderr and said in done.stderr
    assert said or "elsewhere" not in done.stderr
