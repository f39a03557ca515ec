"""The engine: the numbers of the course's examples, visits, ownership, freed graphs, errors, memory."""

import gc
import os
import subprocess
import sys
import tracemalloc
import weakref

import numpy as np
import pytest

from tinytorch.core import autograd
from tinytorch.core.activations import ReLU, relu
from tinytorch.core.autograd import Node, Variable, gradient, gradients, no_grad, topological_order, walk
from tinytorch.core.layers import Dense, Parameter
from tinytorch.core.tensor import Tensor, add, concatenate, operation, stack, where, wrap

EXAMPLES = [
    ("product_and_square", lambda x, y: x * y + x**2, (5.0, 3.0), (13.0, 5.0)),
    ("square_of_sum", lambda x, y: x**2 + 2 * x * y + y**2, (2.0, 3.0), (10.0, 10.0)),
    ("quadratic", lambda x: x**2 + 3 * x + 1, (2.0,), (7.0,)),
    ("two_paths", lambda x, y: x * y + x, (2.0, 3.0), (4.0, 2.0)),
    ("difference_of_squares", lambda x, y: (x + y) * (x - y), (2.0, 3.0), (4.0, -6.0)),
]


@pytest.mark.parametrize("f, values, expected", [pytest.param(*e[1:], id=e[0]) for e in EXAMPLES])
@pytest.mark.parametrize("make", [float, int, np.float32, np.float64, lambda v: [v], lambda v: [[v]]])
def test_examples_to_the_digit(f, values, expected, make):
    inputs = [Variable(make(v)) for v in values]
    f(*inputs).backward()
    assert tuple(x.grad.item() for x in inputs) == expected


def test_the_value_and_how_it_prints():
    x, y = Variable(2.0), Variable(3.0)
    assert ((x + y) * (x - y)).item() == -5.0
    (x**2 + 2 * x * y + y**2).backward()
    assert f"{x.grad}" == "10.0" and str(y.grad) == "10.0" and f"{x.grad:.2f}" == "10.00"
    assert repr(x) == "Variable(2., requires_grad=True)"


@pytest.mark.parametrize("kind", [Variable, Tensor])
def test_layers_are_filled(kind):
    x, layer = kind([[1.0, 2.0, 3.0]]), Dense(3, 2, rng=0)
    layer.weights.data[:] = [[1, -1], [1, -1], [1, -1]]
    ReLU()(layer(x)).sum().backward()
    np.testing.assert_array_equal(layer.weights.grad.data, [[1, 0], [2, 0], [3, 0]])
    np.testing.assert_array_equal(layer.bias.grad.data, [1, 0])
    if kind is Variable:
        np.testing.assert_array_equal(x.grad.data, [[1, 1, 1]])


@pytest.mark.parametrize("kind", [Variable, Tensor])
def test_two_layers_are_filled(kind):
    x, first, second = kind([[1.0, 2.0, 3.0]]), Dense(3, 4, rng=0), Dense(4, 2, rng=1)
    hidden = ReLU()(first(x))
    second(hidden).sum().backward()
    h = hidden.detach().numpy()
    g = (h > 0) * second.weights.data.sum(axis=1)
    np.testing.assert_allclose(second.weights.grad.data, np.repeat(h.T, 2, axis=1), rtol=1e-6)
    np.testing.assert_array_equal(second.bias.grad.data, [1, 1])
    np.testing.assert_allclose(first.weights.grad.data, x.data.T @ g, rtol=1e-6)
    np.testing.assert_allclose(first.bias.grad.data, g[0], rtol=1e-6)


ORDERS = {
    "layers first": "from tinytorch.core.layers import Dense; m = Dense(3, 2); import tinytorch.core.autograd",
    "autograd first": "import tinytorch.core.autograd; from tinytorch.core.layers import Dense; m = Dense(3, 2)",
    "imported twice": "import tinytorch.core.autograd as a, importlib; from tinytorch.core.layers import Dense; "
    "m = Dense(3, 2); from tinytorch.core.autograd import Variable; import tinytorch.core.autograd",
}


def fresh(code):
    """Run code in a process of its own."""
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=variables, timeout=60)


@pytest.mark.parametrize("order", ORDERS)
def test_import_order(order):
    code = f"""{ORDERS[order]}
from tinytorch.core.tensor import Tensor
m(Tensor([[1.0, 2.0, 3.0]])).sum().backward()
assert m.weights.grad.tolist() == [[1, 1], [2, 2], [3, 3]] and m.bias.grad.tolist() == [1, 1]
"""
    fresh(code)


def test_nothing_is_recorded_before_autograd_is_imported():
    code = """
from tinytorch.core.tensor import Tensor
from tinytorch.core.layers import Dense
import sys
m = Dense(3, 2)
out = m(Tensor([[1.0, 2.0, 3.0]]))
assert not out.requires_grad and "tinytorch.core.autograd" not in sys.modules
import tinytorch.core.autograd
assert m(Tensor([[1.0, 2.0, 3.0]])).requires_grad and not out.requires_grad
"""
    fresh(code)


# Visits


def counting(monkeypatch, *names):
    """Count how often the rules of operations run."""
    calls = []
    for operation_ in names:
        rules = {k: (lambda rule: lambda g: calls.append(1) or rule(g))(r) for k, r in operation_.rules.items()}
        monkeypatch.setattr(operation_, "rules", rules)
        monkeypatch.setattr(operation_, "plans", {})
    return calls


def test_sixty_doublings_are_sixty_nodes(monkeypatch):
    calls = counting(monkeypatch, add)
    x = y = Variable(1.0)
    for _ in range(60):
        y = y + y
    assert len(topological_order(y._node)) == 60
    y.backward()
    assert len(calls) == 120 and x.grad.item() == 2.0**60


@pytest.mark.parametrize("n", [10, 100, 1000])
def test_visits_grow_with_the_graph(monkeypatch, n):
    calls = counting(monkeypatch, add)
    x, y = Variable(1.0), Variable(2.0)
    for _ in range(n):
        x, y = x + y, y + 1.0
    (x + y).backward()
    assert len(calls) == 2 * n + n + 2


def test_used_ten_thousand_times(monkeypatch):
    calls = counting(monkeypatch, add)
    x, total = Variable(np.ones(3)), 0.0
    for _ in range(10_000):
        total = total + x
    assert len(topological_order(total._node)) == 10_000
    total.sum().backward()
    assert len(calls) == 2 * 10_000 - 1
    np.testing.assert_array_equal(x.grad.data, [10_000] * 3)


def test_wide_then_joined():
    x = Variable(np.ones(4))
    stack([x * k for k in range(1000)]).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [499_500.0] * 4)


def test_a_chain_of_a_hundred_thousand():
    x = y = Variable(np.float64(1.0))
    for _ in range(100_000):
        y = y * 1.0 + 0.0
    assert len(topological_order(y._node)) == 200_000
    y.backward()
    assert x.grad.item() == 1.0
    x = y = Variable(1.0)
    for _ in range(100_000):
        y = -y
    del y  # taken apart without recursion too


@pytest.mark.skipif("not config.getoption('--slow')", reason="pass --slow")
def test_a_chain_of_a_million():
    x = y = Variable(np.float64(1.0))
    for _ in range(1_000_000):
        y = y + 1.0
    y.backward()
    assert x.grad.item() == 1.0


def test_second_order_of_a_long_chain():
    x = y = Variable(np.float64(1.0))
    for _ in range(3000):
        y = y * 1.0
    (g,) = gradients(y * y, [x], create_graph=True)
    assert gradients(g, [x])[0].item() == 2.0


def test_order_is_newest_first_and_complete():
    x, y = Variable(2.0), Variable(3.0)
    a, b = x * y, x + y
    c = a * b + a
    order = topological_order(c._node)
    assert len(order) == 4 and order[0] is c._node
    place = {node: i for i, node in enumerate(order)}
    for node in order:
        for edge in node.edges:
            assert type(edge) is not Node or place[edge] > place[node]


def test_only_needed_rules_run():
    product = operation(lambda x, y: x * y)
    product.__name__ = "product"
    ran = []
    gradient(product, x=lambda g, y: ran.append("x") or g * y, y=lambda g, x: ran.append("y") or g * x)
    w = Variable([1.0, 2.0])
    product(Tensor([3.0, 4.0]), w).sum().backward()
    assert ran == ["y"]
    ran.clear()
    a, b = Variable([1.0]), Variable([2.0])
    out = product(a, 3.0) + product(b, 2.0)
    assert [g.item() for g in gradients(out.sum(), [b])] == [2.0] and len(ran) == 1


def test_nodes_keep_only_what_is_asked_for():
    x, y = Variable([1.0, 2.0]), Variable([3.0, 4.0])
    assert (x + y)._node.saved is None and (-x)._node.saved is None
    assert (x * Tensor([1.0, 1.0]))._node.plan.names == ("y",)
    out = np.exp(x)
    assert out._node.saved is out.data
    assert x.sum()._node.plan.names == ("x_shape", "axis")


# Whose gradient it is


def test_each_gradient_is_its_own():
    constant = np.full(3, 2.0)
    kept = operation(lambda x: x * 2.0)
    gradient(kept, x=lambda g: constant)
    cases = [
        lambda x, y, s: x + y,
        lambda x, y, s: x - y,
        lambda x, y, s: kept(x) + kept(y),
        lambda x, y, s: x.sum() + y.sum(),
        lambda x, y, s: concatenate([x, y]),
        lambda x, y, s: stack([x, y]),
        lambda x, y, s: (x.reshape(3, 1) + y.reshape(3, 1)).T,
        lambda x, y, s: np.broadcast_to(x, (2, 3)) + y,
        lambda x, y, s: where(Tensor([True, False, True]), x, y),
        lambda x, y, s: x[::-1] + y[:],
        lambda x, y, s: x * s + y * s,
        lambda x, y, s: np.exp(x) * 1.0 + y,
        lambda x, y, s: x.mean() * y,
        lambda x, y, s: x @ y,
    ]
    for f in cases:
        x, y, s = (Variable(np.array([1.0, 2.0, 3.0])) for _ in range(3))
        out = f(x, y, s)
        seed = np.ones(out.shape) if out.ndim else np.float64(1)
        arrays = [seed, constant, x.data, y.data, s.data, out.data]
        out.backward(seed)
        grads = [v.grad for v in (x, y, s) if v.grad is not None]
        for i, g in enumerate(grads):
            assert type(g) is Tensor and not g.requires_grad
            assert g.shape == (3,) and g.dtype == np.float64 and g.data.flags.writeable and g.data.base is None
            for other in [*arrays, *(h.data for h in grads[:i])]:
                assert not np.shares_memory(g.data, np.asarray(other))
            g.data[:] = -99.0
        assert np.all(seed == 1) and np.all(constant == 2)


def test_backward_on_a_leaf_does_not_share_the_seed():
    x, seed = Variable(np.zeros(3)), np.ones(3)
    x.backward(seed)
    assert not np.shares_memory(x.grad.data, seed)
    x.backward(Tensor(seed))
    np.testing.assert_array_equal(x.grad.data, [2, 2, 2])
    s = Variable(2.0)
    s.backward()
    assert s.grad.item() == 1.0


def test_gradient_of_the_seed_as_a_tensor_is_not_shared():
    x, seed = Variable(np.zeros(3)), Tensor(np.ones(3))
    (x + 0.0).backward(seed)
    x.grad.data[:] = 7
    np.testing.assert_array_equal(seed.data, [1, 1, 1])


def test_gradients_called_by_hand_do_not_share():
    x, y = Variable(np.ones(3)), Variable(np.ones(3))
    seed = np.ones(3)
    a, b = gradients(x + y, [x, y], seed)
    a.data[:] = 5
    assert b.tolist() == [1, 1, 1] and seed.tolist() == [1, 1, 1]
    a, b = gradients(x + y, [x, x], np.ones(3))
    assert not np.shares_memory(a.data, b.data)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_gradient_has_the_leaf_s_dtype(dtype):
    x, y = Variable(np.ones(2, dtype)), Variable(np.ones((), np.float64))
    (x * Tensor(np.ones(2, np.float64)) * y).sum().backward()
    assert x.grad.dtype == dtype and y.grad.dtype == np.float64 and isinstance(y.grad.data, np.float64)
    s = Variable(np.ones((), dtype))
    (Tensor(np.ones(2, np.float64)) * s).sum().backward()
    assert s.grad.item() == 2.0 and isinstance(s.grad.data, dtype)


def test_a_seed_takes_the_result_s_dtype():
    seen = []
    watch = operation(lambda x: x * 1)
    gradient(watch, x=lambda g: seen.append(g.dtype) or g)
    watch(Variable([1.0, 2.0])).backward(np.ones(2))
    watch(Variable([1.0, 2.0])).backward([1, 1])
    assert seen == [np.float32, np.float32]


def test_gradients_add_up_over_calls_in_new_arrays():
    x = Variable([1.0, 2.0])
    (x * 3).sum().backward()
    first = x.grad
    (x * 4).sum().backward()
    assert x.grad.tolist() == [7.0, 7.0] and first.tolist() == [3.0, 3.0]
    x.zero_grad()
    assert x.grad is None
    x.zero_grad()
    (x * 5).sum().backward()
    assert x.grad.tolist() == [5.0, 5.0]


def test_intermediate_values_get_no_gradient():
    x = Variable(2.0)
    y = x * x
    (y * y).backward()
    assert y.grad is None and x.grad.item() == 32.0
    assert x.is_leaf and not y.is_leaf and x.grad_fn is None and y.grad_fn is None  # freed
    y = x * x
    assert y.grad_fn(np.float32(1)) == (2.0, 2.0)


def test_a_frozen_parameter_gets_none():
    p, q = Parameter([1.0]), Parameter([2.0])
    q.requires_grad = False
    (p * q).sum().backward()
    assert p.grad.tolist() == [2.0] and q.grad is None
    v = Variable([1.0], requires_grad=False)
    assert not (v * 2).requires_grad


# Freed, kept, refused


def test_second_backward_raises_and_says_what_to_do():
    x = Variable(2.0)
    y = x * x
    y.backward()
    with pytest.raises(RuntimeError, match=r"freed by an earlier backward.*\n.*retain_graph=True"):
        y.backward()
    assert x.grad.item() == 4.0


def test_retain_graph():
    x = Variable(2.0)
    y = x * x
    for k in range(3):
        y.backward(retain_graph=True)
        assert x.grad.item() == 4.0 * (k + 1)
    y.backward()
    with pytest.raises(RuntimeError, match="freed"):
        y.backward()


def test_freed_node_met_in_a_later_walk():
    x = Variable(2.0)
    shared = np.exp(x)
    a, b = shared * 2, shared * 3
    a.backward()
    before = x.grad.item()
    with pytest.raises(RuntimeError, match="met at 'exp'"):
        b.backward()
    assert x.grad.item() == before
    with pytest.raises(RuntimeError, match="freed"):
        gradients(b + x, [x])


def test_a_walk_that_met_a_freed_node_changed_nothing():
    x, y = Variable(2.0), Variable(3.0)
    old = x * y
    old.backward()
    fresh = y * 4
    with pytest.raises(RuntimeError):
        (fresh + old).backward()
    y.zero_grad()
    fresh.backward()
    assert y.grad.item() == 4.0


def test_an_error_in_a_rule_leaves_the_engine_clean():
    fail = [True]

    def rule(g):
        if fail[0]:
            raise ZeroDivisionError("in a rule")
        return g

    fragile = operation(lambda x: x + 0)
    gradient(fragile, x=rule)
    x = Variable(2.0)
    a = x * 3
    y = fragile(a) + a * 2 + x
    with pytest.raises(ZeroDivisionError):
        y.backward(retain_graph=True)
    assert x.grad is None and all(node.gradient is None for node in topological_order(y._node))
    fail[0] = False
    y.backward()
    assert x.grad.item() == 10.0


def test_a_rule_of_a_wrong_shape_is_named():
    bad = operation(lambda x: x * 1)
    bad.__name__ = "bad"
    gradient(bad, x=lambda g: np.ones(5))
    with pytest.raises(ValueError, match=r"shape \(5,\) for an input of shape \(3,\)"):
        bad(Variable([1.0, 2.0, 3.0])).backward(np.ones(3))


NO_BACKWARD = [
    (lambda: Tensor([1.0]).backward(), RuntimeError, "requires no gradient"),
    (lambda: Variable(1.0, requires_grad=False).backward(), RuntimeError, "requires no gradient"),
    (lambda: (Tensor(1.0) * 2).backward(), RuntimeError, "Variables"),
    (lambda: (Variable([1.0, 2.0]) * 2).backward(), ValueError, r"shape \(2,\).*single number"),
    (lambda: Variable([1.0, 2.0]).backward(), ValueError, "single number"),
    (lambda: (Variable([1.0, 2.0]) * 2).backward(np.ones(3)), ValueError, r"\(3,\), the result has \(2,\)"),
    (lambda: (Variable([1.0, 2.0]) * 2).backward(1.0), ValueError, r"\(\)"),
    (lambda: (Variable([1.0, 2.0]) * 2).backward(np.ones((1, 2))), ValueError, "must be the same"),
    (lambda: (Variable([1.0, 2.0]) * 2).backward("ones"), TypeError, "not made of numbers"),
    (lambda: (Variable([1.0, 2.0]) * 2).backward([[1.0], [1.0, 2.0]]), ValueError, "rows differ"),
    (lambda: Variable(np.zeros((0, 2))).backward(), ValueError, "single number"),
]


@pytest.mark.parametrize("call, error, message", NO_BACKWARD)
def test_backward_refuses(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_what_backward_takes_as_a_gradient():
    for seed in ([1.0, 2.0], [1, 2], np.array([1.0, 2.0]), np.array([1, 2]), Tensor([1.0, 2.0]), Variable([1.0, 2.0])):
        x = Variable([3.0, 4.0])
        (x * x).backward(seed)
        assert x.grad.tolist() == [6.0, 16.0] and x.grad.dtype == np.float32
    x = Variable([[3.0]])
    (x * x).backward()
    assert x.grad.tolist() == [[6.0]]


def test_no_grad_nests_and_comes_back_after_an_error():
    x = Variable(2.0)
    with no_grad():
        assert not (x * 2).requires_grad
        with no_grad():
            assert not (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad
    with pytest.raises(ValueError), no_grad():
        raise ValueError
    y = x * 2
    with no_grad():
        z = y * 3
    assert y.requires_grad and not z.requires_grad
    with pytest.raises(RuntimeError, match="no_grad"):
        z.backward()
    y.backward()
    assert x.grad.item() == 2.0


def test_backward_inside_no_grad():
    x = Variable(2.0)
    y = x * x
    with no_grad():
        y.backward()
    assert x.grad.item() == 4.0


def test_detach_cuts():
    x = Variable(2.0)
    y = x * x
    z = y.detach() * x
    assert type(y.detach()) is Tensor and y.detach().data is y.data
    z.backward()
    assert x.grad.item() == 4.0


def test_hand_made_variables():
    x, y = Variable(3.0), Variable(4.0)
    z = Variable(x.data * y.data, grad_fn=lambda g: (g * y.data, g * x.data), inputs=(x, y))
    assert z.requires_grad and not z.is_leaf
    (z * 2).backward()
    assert x.grad.item() == 8.0 and y.grad.item() == 6.0
    w = Variable(np.ones(3), grad_fn=lambda g: g * 2, inputs=x)
    x.zero_grad()
    w.sum().backward()
    assert x.grad.item() == 6.0  # undone like any broadcast
    with pytest.raises(ValueError, match=r"inputs=\(x, ...\).*\n.*one|needs inputs"):
        Variable(1.0, grad_fn=lambda g: g)
    bad = Variable(1.0, grad_fn=lambda g: (g, g, g), inputs=(x, y))
    with pytest.raises(ValueError, match="3 gradients for 2 inputs"):
        bad.backward()
    with pytest.raises(RuntimeError, match="once only"):
        gradients(Variable(1.0, grad_fn=lambda g: g, inputs=[x]), [x], create_graph=True)


def test_hand_made_with_none_and_a_constant_input():
    x, c = Variable(3.0), Tensor(4.0)
    z = Variable(12.0, grad_fn=lambda g: (g * 4, None), inputs=(x, c))
    z.backward()
    assert x.grad.item() == 4.0 and c.grad is None


def test_an_operation_of_one_s_own():
    @operation
    def cube(x, /):
        """x to the third."""
        return x * x * x

    x = Variable([1.0, 2.0])
    with pytest.raises(TypeError, match="cube has no row"):
        cube(x)
    assert cube(Tensor([2.0])).tolist() == [8.0] and cube(np.array([2.0])).tolist() == [8.0]
    gradient(cube, x=lambda g, x: 3 * g * x * x)
    cube(x).sum().backward()
    assert x.grad.tolist() == [3.0, 12.0]
    (g,) = gradients(cube(x).sum(), [x], create_graph=True)
    assert gradients(g.sum(), [x])[0].tolist() == [6.0, 12.0]


def test_an_operation_with_kept_options_and_a_missing_rule():
    @operation(keeps=True)
    def scaled(x, y, /, factor=2.0):
        out = x * factor
        return out + y, factor

    gradient(scaled, x=lambda g, kept: g * kept)
    x = Variable([1.0, 2.0])
    scaled(x, Tensor([1.0, 1.0]), factor=5.0).sum().backward()
    assert x.grad.tolist() == [5.0, 5.0]
    with pytest.raises(TypeError, match="no derivative rule for its input 'y'"):
        scaled(Tensor([1.0, 1.0]), x)


def test_kept_of_one_input_and_of_two():
    one = operation(lambda x: (np.exp(x), "kept"), keeps=True)
    gradient(one, x=lambda g, out, kept: g * out if kept == "kept" else None)
    two = operation(lambda x, y: (x * y, (x, y)), keeps=True)
    gradient(two, x=lambda g, kept: g * kept[1], y=lambda g, kept: g * kept[0])
    x, y = Variable([0.0]), Variable([3.0])
    two(one(x), y).sum().backward()
    assert x.grad.tolist() == [3.0] and y.grad.tolist() == [1.0]


# Memory


def test_memory_is_flat_with_the_collector_off():
    rng = np.random.default_rng(0)
    x, first, second = Tensor(rng.standard_normal((4, 3))), Dense(3, 5, rng=0), Dense(5, 2, rng=1)
    parameters = [*first.parameters(), *second.parameters()]

    def step():
        out = second(relu(first(x)))
        loss = ((out - 1.0) ** 2).mean() + concatenate([out, out]).sum() * 1e-6 + out[:, [0, 0]].var() * 1e-6
        loss.backward()
        for p in parameters:
            p.data = p.data - 1e-3 * p.grad.data
            p.zero_grad()

    gc.collect()
    gc.disable()
    try:
        for _ in range(2500):  # Python keeps up to 2,000 small tuples of each length for later
            step()
        tracemalloc.start()
        for _ in range(100):
            step()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(1000):
            step()
        after = tracemalloc.get_traced_memory()[0]
        assert after - before < 5_000
        assert gc.collect() == 0
    finally:
        tracemalloc.stop()
        gc.enable()


def test_ten_thousand_steps_leave_no_garbage():
    w = Parameter(np.ones(3))
    gc.collect()
    gc.disable()
    try:
        for _ in range(10_000):
            loss = (w * w).sum()
            loss.backward()
            w.data = w.data - 1e-4 * w.grad.data
            w.zero_grad()
        del loss
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_values_in_between_are_freed_at_once():
    x = Variable(np.ones(1000))
    gc.disable()
    try:
        a = x + 1.0
        alive = weakref.ref(a.data)
        b = a + 1.0  # an addition needs nothing of a
        del a
        assert alive() is None
        c = np.exp(b)
        alive = weakref.ref(c.data)
        d = c * 2.0
        del c
        assert alive() is not None  # exp needs its own result
        d.sum().backward()
        assert alive() is None
    finally:
        gc.enable()


def test_the_walk_frees_as_it_goes():
    alive, seen = [], []

    def rule(g):
        seen.append([ref() is not None for ref in alive])
        return g

    watch = operation(lambda x: x + 0)
    gradient(watch, x=rule)
    x = Variable(np.ones(100))
    early = np.exp(x)
    alive.append(weakref.ref(early.data))
    y = watch(early)
    late = np.exp(y)
    alive.append(weakref.ref(late.data))
    del early, y
    out = late.sum()
    del late
    out.backward()
    assert seen == [[True, False]]


def test_no_cycles_from_second_order():
    gc.collect()
    gc.disable()
    try:
        w = np.random.default_rng(0).standard_normal((3, 3))

        def f(x):
            return (np.tanh(x @ w) ** 2).sum() + (relu(x) * x).sum()

        autograd.grad(f)(np.ones(3))
        autograd.hvp(f, np.ones(3), np.ones(3))
        autograd.hessian(f, np.ones(3))
        autograd.jacobian(lambda x: np.tanh(x @ w), np.ones(3))
        autograd.grad(lambda x: autograd.grad(f)(x).sum())(np.ones(3))
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_walk_of_targets_leaves_leaves_alone():
    x, y = Variable(2.0), Variable(3.0)
    mid = x * y
    collected = walk((mid * mid)._node, np.float32(1), targets={mid._node})
    assert list(collected.values()) == [12.0] and x.grad is None
    (g,) = gradients(mid * mid, [mid])  # in two halves: what came before mid is still there
    mid.backward(g)
    assert (x.grad.item(), y.grad.item()) == (36.0, 24.0)


def test_wrap_of_a_leaf_value_keeps_identity():
    x = Variable([1.0])
    assert wrap(x.data).data is x.data and {x: 1}[x] == 1 and x in [x] and len({x, Variable([1.0])}) == 2
