"""The optimizers chapter: against PyTorch step for step, schedules, the learning-rate finder, bad input."""

import gc
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.core.activations import ReLU
from tinytorch.core.autograd import Variable
from tinytorch.core.dataloader import ArrayDataset, DataLoader
from tinytorch.core.layers import Dense, Dropout, Parameter
from tinytorch.core.networks import Sequential
from tinytorch.core.optimizers import (
    SGD,
    Adam,
    AdamW,
    CosineLR,
    Optimizer,
    RMSProp,
    Schedule,
    StepLR,
    WarmupLR,
    find_learning_rate,
    smoothed,
)
from tinytorch.core.tensor import Tensor
from tinytorch.core.training import CrossEntropyLoss, GradientDescent, Trainer, snapshot, train_step

EVERY = {
    "sgd": lambda ps: SGD(ps, 0.05),
    "momentum": lambda ps: SGD(ps, 0.01, momentum=0.9),
    "nesterov": lambda ps: SGD(ps, 0.01, momentum=0.9, weight_decay=0.01, nesterov=True),
    "rmsprop": lambda ps: RMSProp(ps, 0.01),
    "adam": lambda ps: Adam(ps, 0.05),
    "adamw": lambda ps: AdamW(ps, 0.05, weight_decay=0.1),
}
TWINS = [
    (lambda ps: SGD(ps, 0.02), lambda t, ps: t.SGD(ps, 0.02)),
    (lambda ps: SGD(ps, 0.02, weight_decay=0.1), lambda t, ps: t.SGD(ps, 0.02, weight_decay=0.1)),
    (lambda ps: SGD(ps, 0.02, 0.9), lambda t, ps: t.SGD(ps, 0.02, 0.9)),
    (lambda ps: SGD(ps, 0.02, 0.9, 0.1, True), lambda t, ps: t.SGD(ps, 0.02, 0.9, weight_decay=0.1, nesterov=True)),
    (lambda ps: RMSProp(ps), lambda t, ps: t.RMSprop(ps)),
    (lambda ps: RMSProp(ps, 0.003, 0.9, 1e-3, 0.1), lambda t, ps: t.RMSprop(ps, 0.003, 0.9, 1e-3, 0.1)),
    (lambda ps: Adam(ps), lambda t, ps: t.Adam(ps)),
    (lambda ps: Adam(ps, 0.05, 0.8, 0.99, 1e-4, 0.1), lambda t, ps: t.Adam(ps, 0.05, (0.8, 0.99), 1e-4, 0.1)),
    (lambda ps: AdamW(ps), lambda t, ps: t.AdamW(ps)),
    (lambda ps: AdamW(ps, 0.05, 0.8, 0.99, 1e-4, 0.3), lambda t, ps: t.AdamW(ps, 0.05, (0.8, 0.99), 1e-4, 0.3)),
]


@pytest.mark.parametrize("ours, theirs", TWINS)
def test_equals_pytorch_step_for_step(ours, theirs):
    """A hundred steps on a small network, in float64; one parameter has a gradient only every third time."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 4)), rng.standard_normal((20, 2))
    start = [0.5 * rng.standard_normal(shape) for shape in ((4, 5), (5, 2), (2,))]
    a, b = [Variable(s) for s in start], [torch.tensor(s, requires_grad=True) for s in start]
    first, second = ours(a), theirs(torch.optim, b)
    twins = ((a, Tensor(x), Tensor(y), np.tanh), (b, torch.tensor(x), torch.tensor(y), torch.tanh))
    for step in range(100):
        first.zero_grad()
        second.zero_grad()
        for (w1, w2, bias), features, targets, tanh in twins:
            d = tanh(features @ w1) @ w2 + (bias if step % 3 == 0 else 0.0) - targets
            (d * d).mean().backward()
        first.step()
        second.step()
        for p, q in zip(a, b):
            np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("ours, theirs", TWINS)
def test_equals_pytorch_in_float32(ours, theirs):
    """A hundred steps with the very same gradients. What differs is rounding, some of it the same way at every step:
    PyTorch decays by a product with 1 - 1e-5, which float32 holds to three digits of the decay."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    start = rng.standard_normal((10, 10)).astype(np.float32)
    p, q = Parameter(start), torch.tensor(start, requires_grad=True)
    first, second = ours([p]), theirs(torch.optim, [q])
    for _ in range(100):
        g = rng.standard_normal((10, 10)).astype(np.float32)
        p.grad, q.grad = Tensor(g), torch.tensor(g)
        first.step()
        second.step()
        assert p.dtype == np.float32
        np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-5, atol=3e-6)


def test_schedules_equal_pytorch():
    torch = pytest.importorskip("torch")
    schedules = torch.optim.lr_scheduler

    def warm(o):
        parts = [schedules.LinearLR(o, 1 / 5, 1.0, total_iters=4), schedules.CosineAnnealingLR(o, 20, 0.01)]
        return schedules.SequentialLR(o, parts, milestones=[5])

    pairs = [
        (lambda o: StepLR(o, 7, 0.3), lambda o: schedules.StepLR(o, 7, 0.3), 30),
        (lambda o: CosineLR(o, 25, 0.02), lambda o: schedules.CosineAnnealingLR(o, 25, 0.02), 25),
        (lambda o: WarmupLR(o, 5), lambda o: schedules.LinearLR(o, 1 / 5, 1.0, total_iters=4), 30),
        (lambda o: WarmupLR(o, 5, after=CosineLR(o, 20, 0.01)), warm, 25),
    ]
    for ours, theirs, steps in pairs:
        a = SGD([Parameter([1.0])], 0.4)
        b = torch.optim.SGD([torch.ones(1, requires_grad=True)], 0.4)
        first, second = ours(a), theirs(b)
        for _ in range(steps):
            assert a.learning_rate == pytest.approx(b.param_groups[0]["lr"], rel=1e-9)
            b.step()
            first.step()
            second.step()


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_and_shape_stay(name, shape, dtype):
    p = Variable(np.ones(shape, dtype=dtype)[()])
    optimizer = EVERY[name]([p])
    for _ in range(3):
        optimizer.zero_grad()
        (p * p).sum().backward()
        optimizer.step()
    assert p.dtype == np.dtype(dtype) and p.shape == shape and (p.data < 1).all()


@pytest.mark.parametrize("name", EVERY)
def test_works_in_place_and_leaves_gradients_alone(name):
    p = Parameter(np.ones((4, 4)))
    array, g = p.data, np.full((4, 4), 0.5)
    p.grad = Tensor(g)
    optimizer = EVERY[name]([p])
    optimizer.step()
    optimizer.step()
    assert p.data is array and np.array_equal(p.grad.data, g)


def test_a_numpy_learning_rate_does_not_promote():
    p = Parameter([1.0, 2.0])
    p.grad = Tensor([1.0, 1.0])
    optimizer = SGD([p], np.float64(0.1))
    optimizer.learning_rate = np.float64(0.2)
    optimizer.step()
    assert type(optimizer.learning_rate) is float and optimizer.update(p.data, p.grad.data, {}).dtype == np.float32


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(EVERY)), st.lists(st.floats(-3, 3), min_size=1, max_size=5), st.integers(1, 6))
def test_state_goes_over(name, start, steps):
    """After load_state_dict another optimizer goes on exactly as the first one."""
    p = Variable(np.array(start))
    optimizer = EVERY[name]([p])

    def go(p, optimizer):
        optimizer.zero_grad()
        (p * p * p * p).sum().backward()
        optimizer.step()

    for _ in range(steps):
        go(p, optimizer)
    q = Variable(p.data.copy())
    other = EVERY[name]([q])
    state = optimizer.state_dict()
    other.load_state_dict(state)
    go(p, optimizer)
    go(q, other)
    assert np.array_equal(p.data, q.data)
    third = Variable(np.array(start))
    EVERY[name]([third]).load_state_dict(state)  # the state is a copy: the steps above have not touched it


def test_foreign_states_are_refused():
    p, q = Parameter([1.0, 2.0]), Parameter([1.0])
    adam = Adam([p])
    for other in (SGD([p]), Adam([q]), GradientDescent([p]), Adam([p, q])):
        state = other.state_dict()
        with pytest.raises(ValueError, match=r"does not fit|another optimizer"):
            adam.load_state_dict(state)


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda p: SGD([p], momentum=1.5), "momentum is 1.5"),
        (lambda p: SGD([p], momentum=-0.1), "momentum"),
        (lambda p: SGD([p], weight_decay=-1), "weight_decay is -1"),
        (lambda p: SGD([p], nesterov=True), "needs momentum"),
        (lambda p: RMSProp([p], alpha=1), "alpha is 1"),
        (lambda p: Adam([p], beta1="0.9"), "beta1 is '0.9'"),
        (lambda p: Adam([p], epsilon=-1), "epsilon"),
        (lambda p: AdamW([p], learning_rate=math.nan), "learning_rate is nan"),
        (lambda p: Adam([]), "no parameters"),
        (lambda p: StepLR(SGD([p]), 2.5), "step_size is 2.5"),
        (lambda p: CosineLR(SGD([p]), 0), "total is 0"),
        (lambda p: WarmupLR(SGD([p]), -1), "steps is -1"),
        (lambda p: WarmupLR(SGD([p]), 2, after=StepLR(SGD([p]), 1)), "another optimizer"),
    ],
)
def test_bad_settings_are_explained(make, said):
    with pytest.raises(ValueError, match=said):
        make(Parameter([1.0]))


def test_what_a_subclass_has_to_define():
    p = Parameter([1.0])
    p.grad = Tensor([1.0])
    with pytest.raises(TypeError, match="define update"):
        Optimizer([p], 0.1).step()
    with pytest.raises(TypeError, match="define rate"):
        Schedule(SGD([p]))


def data():
    x = np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32)
    return ArrayDataset(x, (x[:, 0] > x[:, 1]).astype(np.int64))


def network(seed=0):
    rng = np.random.default_rng(seed)
    return Sequential([Dense(3, 8, rng=rng), ReLU(), Dropout(0.3, rng=rng), Dense(8, 2, rng=rng)])


@pytest.mark.parametrize("name", EVERY)
def test_resumed_equals_uninterrupted(tmp_path, name):
    def run(epochs, seed, **options):
        model = network(seed)
        optimizer = EVERY[name](model.parameters())
        schedule = WarmupLR(optimizer, 2, after=CosineLR(optimizer, 4))
        trainer = Trainer(model, optimizer, CrossEntropyLoss())
        trainer.fit(DataLoader(data(), 16, seed=seed), epochs=epochs, schedule=schedule, quiet=True, **options)
        return np.concatenate([a.ravel() for a in snapshot(model).values()]), trainer.history.values

    run(2, 0, checkpoint=tmp_path / "run.npz")
    resumed, whole = run(5, 7, checkpoint=tmp_path / "run.npz", resume=True), run(5, 0)
    assert np.array_equal(resumed[0], whole[0]) and resumed[1] == whole[1]


def test_resuming_with_another_optimizer_is_refused(tmp_path):
    for make in (EVERY["adam"], EVERY["sgd"]):
        model = network()
        trainer = Trainer(model, make(model.parameters()), CrossEntropyLoss())
        options = {"checkpoint": tmp_path / "x", "resume": True, "quiet": True}
        fit = lambda: trainer.fit(DataLoader(data(), seed=0), epochs=1, **options)  # noqa: B023
        if make is EVERY["adam"]:
            fit()
        else:
            with pytest.raises(ValueError, match="does not fit"):
                fit()


def test_the_finder_leaves_no_trace():
    model = network()
    optimizer, loader = Adam(model.parameters(), 0.01), DataLoader(data(), 16, seed=3)
    train_step(model, optimizer, CrossEntropyLoss(), *next(iter(loader)))
    model.eval()
    epoch, state = loader.epoch, optimizer.state_dict()
    before, random = snapshot(model), model.layers[2].rng.bit_generator.state
    found = find_learning_rate(model, optimizer, CrossEntropyLoss(), loader, steps=40)
    assert all(np.array_equal(before[name], value) for name, value in snapshot(model).items())
    assert model.layers[2].rng.bit_generator.state == random and loader.epoch == epoch and not model.training
    after = optimizer.state_dict()
    assert after["learning_rate"] == 0.01
    for a, b in zip(state["memory"], after["memory"]):
        assert all(np.array_equal(a[name], b[name]) for name in a)
    assert 1e-5 < found.suggestion < 1 and len(found.rates) == len(found.losses)


def test_the_finder_survives_overflow_and_refuses_nonsense():
    model = network()
    loader, loss = DataLoader(data(), 16, seed=0), CrossEntropyLoss()
    found = find_learning_rate(model, SGD(model.parameters()), loss, loader, low=1, high=1e30, steps=30)
    assert len(found.rates) < 30 and math.isfinite(found.suggestion)
    assert np.isfinite(snapshot(model)["layers.0.weights"]).all()
    with pytest.raises(ValueError, match="low < high"):
        find_learning_rate(model, SGD(model.parameters()), loss, loader, low=1, high=0.1)
    with pytest.raises(ValueError, match="no batches"):
        find_learning_rate(model, SGD(model.parameters()), loss, [])


@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_memory_stays_flat(name):
    """Ten thousand steps, the second half of them measured, with the garbage collector off."""
    p = Parameter(np.ones((4, 4)))
    optimizer = EVERY[name]([p])
    gc.collect()
    gc.disable()
    try:
        tracemalloc.start()
        for step in range(10_000):
            optimizer.zero_grad()
            (p * p).sum().backward()
            optimizer.step()
            if step == 5000:
                early, _ = tracemalloc.get_traced_memory()
        late, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert late - early < 10_000


ONE_STEP = [  # with p = 2, gradient 1 and weight decay 0.5 the gradient is 2
    (SGD, {}, 2.0 - 0.1 * 2.0),
    (lambda ps, rate, weight_decay: SGD(ps, rate, 0.9, weight_decay, True), {}, 2.0 - 0.1 * (2.0 + 0.9 * 2.0)),
    (RMSProp, {"epsilon": 1.0}, 2.0 - 0.1 * 2.0 / (math.sqrt(0.01 * 4.0) + 1.0)),
    (Adam, {"epsilon": 1.0}, 2.0 - 0.1 * 2.0 / (2.0 + 1.0)),
    (AdamW, {"epsilon": 1.0}, 2.0 - 0.1 * (1.0 / (1.0 + 1.0) + 0.5 * 2.0)),
]


@pytest.mark.parametrize("make, more, expected", ONE_STEP)
def test_one_step_with_weight_decay_by_hand(make, more, expected):
    p = Variable(np.array([2.0]))
    p.grad = Tensor(np.array([1.0]))
    make([p], 0.1, weight_decay=0.5, **more).step()
    assert p.data[0] == pytest.approx(expected, rel=1e-9)


def test_a_state_does_not_follow_later_steps():
    p = Variable(np.array([2.0]))
    p.grad = Tensor(np.array([1.0]))
    optimizer = Adam([p])
    optimizer.step()
    state = optimizer.state_dict()
    mean = state["memory"][0]["mean"].copy()
    optimizer.step()
    assert np.array_equal(state["memory"][0]["mean"], mean)


def test_smoothing_a_constant_changes_nothing():
    np.testing.assert_allclose(smoothed(np.full(9, 3.0)), 3.0)
    np.testing.assert_allclose(smoothed(np.array([1.0, 2.0]), keep=0.5), [1.0, (0.5 * 0.5 * 1 + 0.5 * 2) / 0.75])


def test_a_state_without_a_rate_is_refused():
    p = Variable(np.array([2.0]))
    with pytest.raises(ValueError, match="another optimizer"):
        SGD([p]).load_state_dict({"memory": SGD([p]).state_dict()["memory"]})
