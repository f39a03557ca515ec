"""gradients, grad, jacobian, hessian, hvp, checkpoint, clip_gradients and check_gradients."""

import numpy as np
import pytest

from tinytorch.core.activations import relu, sigmoid
from tinytorch.core.autograd import (
    GradientError,
    Variable,
    check_gradients,
    checkpoint,
    clip_gradients,
    grad,
    gradient,
    gradients,
    hessian,
    hvp,
    jacobian,
    no_grad,
)
from tinytorch.core.layers import Dense, LayerNorm, Parameter, layer_norm, layer_norm_composed
from tinytorch.core.tensor import Tensor, einsum, operation

W = np.random.default_rng(0).standard_normal((3, 3))
X = np.array([0.3, -0.8, 1.2])


def quartic(x):
    return (np.tanh(x @ W) ** 2).sum() + (x**4).sum()


def differences(f, x, h=1e-5):
    """The derivative of an array-valued f by central differences; the axes of x come last."""
    columns = []
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = h
        columns.append((f(x + step) - f(x - step)) / (2 * h))
    return np.stack(columns, axis=-1).reshape(np.shape(f(x)) + x.shape)


def test_grad_of_powers():
    cube = lambda x: x**3
    values = [cube(2.0), grad(cube)(2.0), grad(grad(cube))(2.0), grad(grad(grad(cube)))(2.0)]
    assert [float(v) for v in values] == [8.0, 12.0, 12.0, 6.0]
    fourth = grad(grad(grad(grad(cube))))(Variable(2.0))
    assert fourth.item() == 0.0


@pytest.mark.parametrize("x", [2.0, 2, np.float64(2), Tensor(2.0), np.array(2.0), Variable(2.0)])
def test_what_grad_takes(x):
    assert grad(lambda x: x * x)(x).item() == 4.0


def test_grad_of_chosen_arguments():
    f = lambda x, y, z: x * y**2 + z
    assert grad(f)(2.0, 3.0, 5.0).item() == 9.0
    assert grad(f, 1)(2.0, 3.0, 5.0).item() == 12.0
    assert [g.item() for g in grad(f, (2, 0, 1))(2.0, 3.0, 5.0)] == [1.0, 9.0, 12.0]
    ignored = grad(lambda x, y: x * 3, (0, 1))(2.0, np.ones(3))
    assert ignored[0].item() == 3.0 and ignored[1].tolist() == [0.0, 0.0, 0.0]


def test_mixed_partial_derivatives():
    f = lambda x, y: x**3 * y**2
    assert grad(grad(f, 0), 1)(2.0, 5.0).item() == 3 * 4 * 2 * 5
    assert grad(grad(f, 1), 0)(2.0, 5.0).item() == 3 * 4 * 2 * 5
    assert grad(grad(f, 0), 0)(2.0, 5.0).item() == 6 * 2 * 25


def test_nested_grads_do_not_mix_up_variables():
    assert grad(lambda x: x * grad(lambda y: x * y)(1.0))(3.0).item() == 6.0
    assert grad(lambda x: x * grad(lambda y: x * y * y)(x))(3.0).item() == 2 * 3 * 9
    assert grad(lambda w: w * grad(lambda x: w * x * x)(3.0))(2.0).item() == 24.0
    assert hvp(lambda w: w * w * grad(lambda x: w * x)(1.0), 2.0, 1.0).item() == 12.0


def test_closures_over_variables_stay_untouched():
    w, x = Variable([2.0, 3.0]), np.array([1.0, 1.0], np.float32)
    f = lambda x: (w * x * x).sum()
    assert grad(f)(x).tolist() == [4.0, 6.0]
    assert hvp(f, x, np.ones(2)).tolist() == [4.0, 6.0]
    assert hessian(f, x).tolist() == [[4.0, 0.0], [0.0, 6.0]]
    assert jacobian(lambda x: w * x, x).tolist() == [[2.0, 0.0], [0.0, 3.0]]
    assert w.grad is None
    point = Variable(x)
    hvp(f, point, np.ones(2))
    hessian(f, point)
    jacobian(lambda x: x * x, point)
    grad(f)(point)
    assert point.grad is None and w.grad is None
    layer = Dense(2, 1, rng=0)
    grad(lambda x: layer(x).sum())(x)
    assert layer.weights.grad is None


def test_grad_can_be_part_of_a_loss():
    x, w = Variable(2.0), Variable(3.0)
    penalty = grad(lambda x: w * x**3)(x) ** 2
    penalty.backward()
    assert w.grad.item() == 2 * 36 * 12 and x.grad.item() == 2 * 36 * 36


def test_second_order_through_backward():
    x = Variable(3.0)
    (x**3).backward(create_graph=True)
    assert x.grad.item() == 27.0 and x.grad.requires_grad
    first = x.grad
    x.zero_grad()
    first.backward()
    assert x.grad.item() == 18.0
    x.grad = None


def test_create_graph_keeps_the_graph_and_adds_up():
    x = Variable(3.0)
    y = x**3
    y.backward(create_graph=True)
    y.backward(create_graph=True)
    assert x.grad.item() == 54.0
    assert gradients(x.grad, [x])[0].item() == 36.0
    x.zero_grad()
    y.backward()
    with pytest.raises(RuntimeError, match="freed"):
        y.backward()
    z = x**3
    z.backward(create_graph=True, retain_graph=False)
    with pytest.raises(RuntimeError, match="freed"):
        z.backward()
    x.grad = None


def test_gradients_of_leaves_and_values_between():
    x, y, z = Variable(2.0), Variable(3.0), Variable(1.0)
    mid = x * y
    out = mid**2 + y
    found = gradients(out, [x, mid, y, z], retain_graph=True)
    assert [None if g is None else g.item() for g in found] == [36.0, 12.0, 25.0, None]
    assert gradients(out, [out])[0].item() == 1.0
    assert gradients(x, [x, y])[0].item() == 1.0
    assert x.grad is y.grad is mid.grad is None
    (g,) = gradients(mid * 2, [x], gradient=5.0)
    assert g.item() == 30.0


def test_gradients_with_a_recorded_gradient():
    x, seed = Variable([1.0, 2.0]), Variable([3.0, 4.0])
    (g,) = gradients(x * x, [x], seed, create_graph=True)
    back = gradients(g.sum(), [x, seed])
    assert back[0].tolist() == [6.0, 8.0] and back[1].tolist() == [2.0, 4.0]


def test_jacobian_hessian_hvp_against_differences():
    f = lambda x: np.tanh(x @ W) * x
    np.testing.assert_allclose(jacobian(f, X).data, differences(lambda x: f(Tensor(x)).data, X), rtol=1e-7, atol=1e-9)
    exact = differences(lambda x: grad(quartic)(x).data, X)
    np.testing.assert_allclose(hessian(quartic, X).data, exact, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(hvp(quartic, X, X + 1).data, exact @ (X + 1), rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(jacobian(grad(quartic), X).data, exact, rtol=1e-7, atol=1e-8)


def test_their_shapes_and_dtypes():
    x = np.ones((2, 3), np.float32)
    assert jacobian(lambda x: x.sum(axis=0), x).shape == (3, 2, 3)
    assert hessian(lambda x: (x * x).sum(), x).shape == (2, 3, 2, 3)
    assert hvp(lambda x: (x**3).sum(), x, x).shape == (2, 3)
    assert {f.dtype for f in (jacobian(relu, x), hvp(quartic_sum, x, x), hessian(quartic_sum, x))} == {np.dtype("f4")}
    for value in (jacobian(lambda x: x * x, 3.0), hessian(lambda x: x**3, 3.0), hvp(lambda x: x**3, 3.0, 1.0)):
        assert isinstance(value.data, np.float32)
    assert jacobian(lambda x: x, np.zeros((0,))).shape == (0, 0)


def quartic_sum(x):
    return (x**4).sum()


def test_functions_that_are_linear_or_constant():
    assert hessian(lambda x: x.sum() * 2, X).data.sum() == 0
    assert hvp(lambda x: x.sum() * 2, X, X).tolist() == [0, 0, 0]
    assert jacobian(lambda x: Tensor([1.0, 2.0]), X).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert jacobian(lambda x: x.detach(), X).data.sum() == 0
    w = Variable(X)
    assert hvp(lambda x: (w * w * x).sum(), X, X).tolist() == [0, 0, 0]
    assert hessian(lambda x: (w * w * x).sum(), X).data.sum() == 0


REFUSED = [
    (lambda: grad(lambda x: x * x)(X), ValueError, "single number"),
    (lambda: grad(lambda x: None)(1.0), TypeError, "returned NoneType.*return missing"),
    (lambda: grad(lambda x: 3.0)(1.0), TypeError, "returned float"),
    (lambda: grad(lambda x: Tensor(3.0))(1.0), RuntimeError, "requires no gradient"),
    (lambda: grad(lambda x: x)(np.array([1, 2])), TypeError, "int64 have no derivative"),
    (lambda: grad(lambda x: x)("two"), TypeError, "not made of numbers"),
    (lambda: jacobian(lambda x: None, X), TypeError, "returned NoneType"),
    (lambda: checkpoint(lambda x: [x], Variable(1.0)), TypeError, "returned list"),
    (lambda: gradients(Tensor(1.0), [Variable(1.0)]), RuntimeError, "requires no gradient"),
    (lambda: gradients((x := Variable(X)).sum(), x), TypeError, r"gradients\(out, \[x\]\)"),
    (lambda: clip_gradients(Variable(X)), TypeError, r"clip_gradients\(\[x\]\)"),
    (lambda: hvp(quartic, X, np.ones(1)), ValueError, r"v has shape \(1,\), x has \(3,\)"),
    (lambda: hessian(lambda x: x * x, X), ValueError, "single number"),
]


@pytest.mark.parametrize("call, error, message", REFUSED)
def test_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
    assert grad(lambda x: x * x)(3.0).item() == 6.0  # and the engine is as before


def test_derivatives_work_inside_no_grad():
    with no_grad():
        assert grad(lambda x: x**2)(3.0).item() == 6.0
        assert hvp(lambda x: x**2, 3.0, 1.0).item() == 2.0
        assert not (Variable(1.0) * 2).requires_grad


def test_composition_shares_the_graph_with_other_paths():
    def with_(norm):
        def f(x):
            z = np.sin(x)
            h, k = z * 2 + x, z[0]
            return (norm(h, k, k) * np.array([1.0, 5.0, 2.0])).sum() + (z * z * h).sum()

        return f

    x = X.reshape(1, 3)
    fused, composed = with_(layer_norm), with_(layer_norm_composed)
    (g,) = gradients(fused(v := Variable(x)), [v], create_graph=True)
    np.testing.assert_allclose(g.data, grad(composed)(x).data, rtol=1e-9)
    np.testing.assert_allclose(hessian(fused, x).data, hessian(composed, x).data, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(hvp(fused, x, x).data, hvp(composed, x, x).data, rtol=1e-7, atol=1e-9)
    third = lambda f: grad(lambda x: hvp_by_grad(f, x))(Variable(x)).data
    np.testing.assert_allclose(third(fused), third(composed), rtol=1e-7, atol=1e-9)


def hvp_by_grad(f, x):
    return (grad(f)(x) * np.array([1.0, 2.0, 3.0])).sum()


def test_third_derivatives():
    f = lambda x: (sigmoid(x) * np.exp(x)).sum()
    third = grad(lambda x: grad(lambda x: grad(f)(x).sum())(x).sum())
    second = lambda x: grad(lambda x: grad(f)(x).sum())(x).data
    np.testing.assert_allclose(third(X).data, np.diag(differences(second, X)), rtol=1e-7)


def test_second_order_of_hand_made_operations_is_refused_by_name():
    x = Variable(2.0)
    made = Variable(4.0, grad_fn=lambda g: g * 4, inputs=[x])
    with pytest.raises(RuntimeError, match="differentiated once only"):
        gradients(made, [x], create_graph=True)
    assert gradients(Variable(4.0, grad_fn=lambda g: g * 4, inputs=[x]), [x])[0].item() == 4.0


# Checkpoints


def block(x, layers):
    for layer in layers:
        x = np.tanh(layer(x)) + x
    return x


def test_checkpoint_equals_plain_with_parameters():
    layers = [Dense(3, 3, rng=0), LayerNorm(3), Dense(3, 3, rng=1)]
    parameters = [p for layer in layers for p in layer.parameters()]
    results = []
    for run in (
        lambda x: block(x, layers),
        lambda x: checkpoint(lambda x: block(x, layers), x),
        lambda x: checkpoint(lambda x: checkpoint(lambda x: block(x, layers[:2]), x) + 0.0, x) * 1.0,
    ):
        for p in parameters:
            p.zero_grad()
        x = Variable(np.float32(X))
        out = run(x * 2)
        if len(results) == 2:
            out = checkpoint(lambda x: block(x, layers[2:]), out)
        (out**2).sum().backward()
        results.append([out.data, x.grad.data, *(p.grad.data for p in parameters)])
    for other in results[1:]:
        for a, b in zip(results[0], other):
            np.testing.assert_allclose(a, b, rtol=1e-6)


def test_checkpoint_of_what_was_computed_before():
    w, x, c = Variable(3.0), Variable(2.0), Variable(5.0)
    y = w * w
    out = checkpoint(lambda x: x * y + c, x) + y
    out.backward()
    assert (x.grad.item(), w.grad.item(), c.grad.item()) == (9.0, 2 * 3 * 2 + 6, 1.0)


def test_checkpoint_of_several_and_repeated_inputs():
    x, k = Variable(2.0), Tensor(4.0)
    out = checkpoint(lambda a, b, c: a * b * c, x, x, k)
    out.backward()
    assert x.grad.item() == 16.0
    p = Parameter(3.0)
    checkpoint(lambda a: a * p, k).backward()
    assert p.grad.item() == 4.0
    assert not checkpoint(lambda a: a * 2, k).requires_grad
    assert not checkpoint(lambda a: a.detach(), x).requires_grad
    x.zero_grad()
    checkpoint(lambda a: a, x).backward()
    assert x.grad.item() == 1.0


def test_checkpoint_inside_no_grad_and_after_an_error():
    x = Variable(2.0)
    with no_grad():
        assert not checkpoint(lambda x: x * x, x).requires_grad
    with pytest.raises(ZeroDivisionError):
        checkpoint(lambda x: x / 0 if 1 / 0 else x, x)
    out = x * x
    out.backward()
    assert x.grad.item() == 4.0


def test_checkpoint_runs_again_in_backward_and_keeps_only_inputs():
    runs = []

    def f(x):
        runs.append(1)
        return np.exp(np.exp(x))

    x = Variable(0.0)
    out = checkpoint(f, x)
    assert len(runs) == 1 and out._node.saved is None
    out.backward()
    assert len(runs) == 2
    np.testing.assert_allclose(x.grad.item(), np.e, rtol=1e-6)


def test_checkpoint_with_random_numbers_that_are_reset():
    x = Variable(np.ones(100))

    def dropped(x):
        return x * (np.random.default_rng(7).random(100) > 0.5)

    out = checkpoint(dropped, x)
    out.sum().backward()
    np.testing.assert_array_equal(x.grad.data, out.data)


def test_checkpoint_refuses_second_order():
    x = Variable(2.0)
    with pytest.raises(RuntimeError, match="once only"):
        gradients(checkpoint(lambda x: x * x, x), [x], create_graph=True)


# Clipping


def with_gradients(*values):
    tensors = [Variable(np.zeros_like(v)) for v in values]
    for t, v in zip(tensors, values):
        t.backward(v)
    return tensors


def test_clip_by_norm():
    a, b = with_gradients(np.array([3.0, 0.0]), np.array([[4.0]]))
    assert clip_gradients([a, b, Variable(1.0)], max_norm=1.0) == 5.0
    np.testing.assert_allclose(a.grad.data, [0.6, 0.0])
    np.testing.assert_allclose(b.grad.data, [[0.8]])
    assert clip_gradients([a, b], max_norm=1.5) == pytest.approx(1.0)
    np.testing.assert_allclose(a.grad.data, [0.6, 0.0])
    assert clip_gradients(iter([a, b]), max_norm=None) == pytest.approx(1.0)
    assert clip_gradients([], max_norm=1.0) == 0.0


def test_clip_by_value_and_both():
    (a,) = with_gradients(np.array([3.0, -0.5, -4.0], np.float32))
    assert clip_gradients([a], max_norm=None, max_value=1.0) == 1.5
    assert a.grad.tolist() == [1.0, -0.5, -1.0] and a.grad.dtype == np.float32
    clip_gradients([a], max_norm=0.75, max_value=1.0)
    assert a.grad.tolist() == [0.5, -0.25, -0.5]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_clip_leaves_bad_gradients_to_be_seen(bad):
    a, b = with_gradients(np.array([bad, 1.0]), np.array([7.0]))
    assert not np.isfinite(clip_gradients([a, b]))
    assert b.grad.tolist() == [7.0]


def test_clip_of_large_float32_gradients_does_not_overflow():
    (a,) = with_gradients(np.full(4, 1e30, np.float32))
    assert clip_gradients([a], max_norm=1.0) == pytest.approx(2e30, rel=1e-6)
    np.testing.assert_allclose(a.grad.data, 0.5, rtol=1e-5)


# The checker


def test_check_gradients_passes_functions_and_layers():
    assert check_gradients(quartic, X) < 1e-6
    assert check_gradients(lambda x, y: einsum("i,j->", x, y), X, X + 1) < 1e-6
    layer = Dense(3, 2, rng=0)
    before = [p.data.copy() for p in layer.parameters()]
    assert check_gradients(layer, np.float32(X)) < 1e-6
    for p, data in zip(layer.parameters(), before):
        assert p.data.dtype == np.float32 and p.grad is None
        np.testing.assert_array_equal(p.data, data)
    assert check_gradients(LayerNorm(3), X.reshape(1, 3)) < 1e-4
    x = Variable(X)
    check_gradients(quartic, x)
    assert x.grad is None and x.data.dtype == np.float64
    assert check_gradients(quartic, Tensor(np.float32(X))) < 1e-6
    assert check_gradients(lambda x: x * 2, 3) < 1e-6


def test_check_gradients_computes_in_float64():
    class Watched(Dense):
        def forward(self, x):
            seen.add((x.dtype.name, self.weights.dtype.name, self.bias.dtype.name))
            return super().forward(x)

    seen = set()
    check_gradients(Watched(3, 2, rng=0), np.float32(X))
    assert seen == {("float64", "float64", "float64")}


def test_check_gradients_names_entry_operation_and_line():
    bad = operation(lambda x: x * x)
    bad.__name__ = "bad_square"
    gradient(bad, x=lambda g, x: 2 * g * x * np.array([1.0, 1.0, 1.01]))
    with pytest.raises(GradientError, match=r"input 0, entry \[2\]") as e:
        check_gradients(lambda x: np.exp(x) + bad(x) * 3, X)
    message = str(e.value)
    assert "The row of bad_square is wrong for its input x: at entry [2]" in message
    assert "test_derivatives.py, line" in message


def test_check_gradients_sees_a_cut():
    with pytest.raises(GradientError, match="leave the graph"):
        check_gradients(lambda x: x * x.detach(), X)


def test_check_gradients_puts_parameters_back_after_an_error():
    layer = Dense(3, 2, rng=0)
    with pytest.raises(ValueError):
        check_gradients(layer, np.ones(4))
    assert layer.weights.dtype == np.float32
    assert (Variable(1.0) * 2).requires_grad


def test_check_gradients_looks_at_a_sample_of_many_entries():
    calls = []

    def f(x):
        calls.append(1)
        return (x * x).sum()

    check_gradients(f, np.ones(1000), entries=10)
    assert len(calls) == 1 + 2 * 10
