"""trace, draw_graph, explain_backward and first_nonfinite."""

import ast
import linecache
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from tinytorch.core.activations import relu, sigmoid, softmax
from tinytorch.core.autograd import Variable, draw_graph, explain_backward, first_nonfinite, gradient, no_grad, trace
from tinytorch.core.layers import Dense, Parameter
from tinytorch.core.tensor import Tensor, concatenate, operation, where
from tinytorch.viz.steps import returned

SVG = "{http://www.w3.org/2000/svg}"


def texts(drawing):
    """All text of a picture, once it is seen to be well-formed."""
    root = ET.fromstring(drawing.svg)
    assert root.tag == SVG + "svg"
    numbers = [float(v) for v in root.attrib["viewBox"].split()]
    assert len(numbers) == 4 and min(numbers[2:]) > 0
    return [e.text for e in root.iter(SVG + "text")]


def difference_of_squares(x, y):
    return (x + y) * (x - y)


def test_explain_backward_as_one_would_write_it():
    """Of the inputs of a product, either may be gone back to first; the sums follow that order."""
    lines = explain_backward(difference_of_squares, 2.0, 3.0).splitlines()
    if lines.index("df/da = df/df * b = 1 * (-1) = -1") == 7:
        first, second = "df/da - df/db", "df/da + df/db"
        assert lines[9:] == [f"df/dx = {second} = -1 + 5 = 4", f"df/dy = {first} = -1 - 5 = -6"]
        lines[7:] = [lines[8], lines[7], "df/dx = df/db + df/da = 5 - 1 = 4", "df/dy = -df/db + df/da = -5 - 1 = -6"]
    assert lines == [
        "x = 2",
        "y = 3",
        "a = x + y = 5",
        "b = x - y = -1",
        "f = a * b = -5",
        "",
        "df/df = 1",
        "df/db = df/df * a = 1 * 5 = 5",
        "df/da = df/df * b = 1 * (-1) = -1",
        "df/dx = df/db + df/da = 5 - 1 = 4",
        "df/dy = -df/db + df/da = -5 - 1 = -6",
    ]


EXPLAINED = [
    (lambda x: x**2, (3.0,), ["f = x ** 2 = 9", "df/dx = df/df * 2 * x = 1 * 2 * 3 = 6"]),
    (lambda x: np.exp(x), (0.0,), ["f = exp(x) = 1", "df/dx = df/df * f = 1 * 1 = 1"]),
    (lambda x, y: x / y, (6.0, 2.0), ["f = x / y = 3", "df/dx = df/df / y = 1 / 2 = 0.5", "= -1.5"]),
    (lambda x: 3 * x + 1, (2.0,), ["a = 3 * x = 6", "f = a + 1 = 7", "df/dx = df/da * 3 = 1 * 3 = 3"]),
    (lambda x: -x, (2.0,), ["f = -x = -2", "df/dx = -df/df = -1"]),
    (lambda x: -(0 - x) * 3, (2.0,), ["df/dx = -df/da = -(-3) = 3"]),
    (lambda x, y: x * y - y, (2.0, -4.0), ["f = a - y = -4", "df/dx = df/da * y = 1 * (-4) = -4"]),
    (lambda x: x**-1, (2.0,), ["df/dx = df/df * (-1) * x ** (-1 - 1)"]),
    (lambda x: np.sqrt(x), (4.0,), ["f = sqrt(x) = 2", "= 0.25"]),
    (lambda x: np.tanh(x), (0.0,), ["f = tanh(x) = 0", "= 1"]),
    (lambda x: x * x, (3.0,), ["f = x * x = 9", "df/dx = df/df * x + df/df * x = 1 * 3 + 1 * 3 = 6"]),
    (lambda x: x - 1e9, (1 / 3,), ["f = x - 1e+09"]),
    (lambda x: (x * np.ones(3)).sum(), (2.0,), ["array (3,)", "df/dx = sum(df/db * a) = 3"]),
    (lambda x: np.ones((3, 2)) * x, (np.ones(2),), ["in each entry", "df/dx = sum(df/df * a, axis=0) = array (2,)"]),
    (lambda x: -(x + np.ones((2, 3, 4))), (np.ones((3, 1)),), ["sum(df/db, axis=(0, 2)) = array (3, 1)"]),
    (lambda x, w: x @ w, (np.ones(2), np.ones(2)), ["array (2,)", "df/dw"]),
    (lambda x: concatenate([x, x]).sum(), (np.ones(2),), ["df/dx"]),
    (lambda x: where(Tensor([True, False]), x, 0).sum(), (np.ones(2),), ["df/dx"]),
]


@pytest.mark.parametrize("f, values, expected", EXPLAINED)
def test_explain_backward_of_other_functions(f, values, expected):
    text = explain_backward(f, *values)
    for part in expected:
        assert part in text, text
    assert "lambda" not in text and "rule_" not in text and "<" not in text


def test_explain_backward_names_what_a_function_brings_along_and_says_what_is_summed():
    """The gradient of a number that met three others is a sum, and each of the three is a constant of the derivative."""
    assert explain_backward(lambda x: x * np.array([1.0, 10.0, 100.0]), 2.0).splitlines() == [
        "x = 2",
        "a = array (3,), a constant",
        "f = x * a = array (3,)",
        "",
        "df/df = 1 in each entry",
        "df/dx = sum(df/df * a) = 111",
    ]
    w = Variable(3.0)
    doubled = w * 2
    assert explain_backward(lambda x: x * w * doubled, 2.0).splitlines() == [
        "x = 2",
        "a = 3",
        "b = x * a = 6",
        "c = 6",
        "f = b * c = 36",
        "",
        "df/df = 1",
        "df/db = df/df * c = 1 * 6 = 6",
        "df/dx = df/db * a = 6 * 3 = 18",
        "df/da = df/db * x = 6 * 2 = 12",
        "df/dc = df/df * b = 1 * 6 = 6",
    ]


def test_numbers_are_computed_exactly_and_written_with_six_digits():
    assert "(0.880797 * 0.119203) = 0.104994" in explain_backward(sigmoid, 2.0)
    for x, factor in ((12.0, "6.14417e-06"), (15.0, "3.05902e-07")):  # 1 - 0.999994 would be 6e-06
        assert f"* {factor})" in explain_backward(sigmoid, np.float64(x))


def test_a_rule_is_read_from_the_text_as_it_is_now(monkeypatch):
    for text in ("rule = lambda g, x: g * x", "rule = lambda g, x: g + x", "rule = lambda g, x: g * x"):
        monkeypatch.setitem(linecache.cache, "<cell>", (len(text), None, [text], "<cell>"))
        scope = {}
        exec(compile(text, "<cell>", "exec"), scope)
        assert ast.unparse(returned(scope["rule"])) == text.partition(": ")[2]


def test_explain_backward_gives_true_numbers():
    f = lambda x, y: (x * y + x**3) / (1 + np.exp(-y)) - np.log(x) * sigmoid(x)
    text = explain_backward(f, Variable(np.float64(1.5)), Variable(np.float64(0.5)))
    x, y = Variable(np.float64(1.5)), Variable(np.float64(0.5))
    f(x, y).backward()
    shown = {line.split(" = ")[0]: float(line.split(" = ")[-1]) for line in text.splitlines() if line.startswith("df/d")}
    assert shown["df/dx"] == pytest.approx(x.grad.item(), rel=1e-5)
    assert shown["df/dy"] == pytest.approx(y.grad.item(), rel=1e-5)


def test_draw_graph_shows_values_gradients_and_visits():
    drawing = draw_graph(difference_of_squares, 2.0, 3.0)
    shown = texts(drawing)
    for text in ("x", "y", "+", "-", "*", "2", "3", "5", "-1", "-5", "grad 4", "grad -6", "grad 5", "grad -1", "grad 1"):
        assert text in shown, text
    assert [t for t in shown if t.startswith("visit")].__len__() == 3 and "visit 1" in shown
    assert drawing._repr_svg_() == drawing.svg and drawing._repr_mimebundle_()["image/svg+xml"] == drawing.svg
    assert "visited 1" in drawing.text and repr(drawing) == drawing.text


def test_draw_graph_of_arrays_constants_and_parameters():
    layer, p = Dense(3, 2, rng=0), Parameter(2.0)
    shown = texts(draw_graph(lambda x: (softmax(relu(layer(x))) * p + np.ones(2)).sum(), np.ones((4, 3))))
    for text in ("dense", "relu", "softmax", "sum", "shape (4, 3)", "shape (3, 2)", "constant", "shape (2,)"):
        assert text in shown, text
    assert any(t.startswith("grad array (3, 2)") for t in shown)
    assert layer.weights.grad is None and p.grad is None


def test_draw_graph_leaves_gradients_as_they_were():
    w = Parameter([1.0, 2.0])
    (w * 3).sum().backward()
    draw_graph(lambda x: (x * w).sum(), np.ones(2))
    first_nonfinite(lambda x: (x * w).sum(), np.ones(2))
    explain_backward(lambda x: (x * w).sum(), np.ones(2))
    assert w.grad.tolist() == [3.0, 3.0]


def test_draw_graph_escapes_names():
    odd = operation(lambda x: x * 1)
    odd.__name__ = "<odd> & \"co\""
    gradient(odd, x=lambda g: g)
    drawing = draw_graph(odd, 2.0)
    assert odd.__name__ in texts(drawing) and "<odd>" not in drawing.svg
    assert odd.__name__ in texts(draw_graph(odd(Variable(2.0))))


def test_draw_live_graphs():
    x, w = Variable(2.0), Variable([1.0, 2.0])
    y = (x * w).sum() + x
    drawing = draw_graph(y)
    shown = texts(drawing)
    for text in ("*", "sum", "+", "saves x_shape, axis"):
        assert any(text in t for t in shown), shown
    y.backward()
    assert x.grad.item() == 4.0
    texts(draw_graph(x))
    made = Variable(4.0, grad_fn=lambda g: g * 4, inputs=[x])
    assert any("closure" in t for t in texts(draw_graph(made * 2)))
    with pytest.raises(RuntimeError, match="freed"):
        draw_graph(y)


def test_draw_graph_of_many_operations_says_what_it_leaves_out():
    def long(x):
        for _ in range(400):
            x = x * 1.01
        return x

    assert any("of 400 operations" in t for t in texts(draw_graph(long, 1.0)))
    assert any("of 400 operations" in t for t in texts(draw_graph(long(Variable(1.0)))))


def test_draw_graph_of_what_records_nothing():
    texts(draw_graph(lambda x: x.detach() * 2, 2.0))
    texts(draw_graph(lambda x: x, 2.0))
    with pytest.raises(TypeError, match="returned NoneType"):
        draw_graph(lambda x: None, 2.0)


def test_trace_keeps_values_sites_and_visits():
    x, y = Variable(2.0), Variable(3.0)
    with trace() as t:
        out = difference_of_squares(x, y)
        out.backward()
    assert [s.operation.__name__ for s in t.steps] == ["add", "subtract", "multiply"]
    assert [s.out.item() for s in t.steps] == [5.0, -1.0, -5.0]
    visits = [(s.operation.__name__, float(s.gradient)) for s in t.visits]
    assert visits[0] == ("multiply", 1.0) and sorted(visits[1:]) == [("add", -1.0), ("subtract", 5.0)]
    assert t.steps[0].site[0][0].endswith("test_looking.py")
    assert (x.grad.item(), y.grad.item()) == (4.0, -6.0)
    before = len(t.steps)
    x * y
    assert len(t.steps) == before


def test_trace_ends_with_an_error_and_knows_no_grad():
    x = Variable(2.0)
    with pytest.raises(ValueError), trace():
        raise ValueError
    with trace() as t:
        with no_grad():
            x * 2
        y = x * 3
    assert len(t.steps) == 1
    y.backward()
    assert x.grad.item() == 3.0


NONFINITE = [
    (lambda x: np.log(x) * 2, [1.0, 0.0], ["log (forward): -inf at [1]", "x: shape (2,), between 0 and 1"]),
    (lambda x: (np.sqrt(x) + 1).sum(), [4.0, -1.0], ["sqrt (forward): nan at [1]"]),
    (lambda x: np.exp(x * 100), [1.0, 8.0], ["exp (forward): inf"]),
    (lambda x: 1 / x, 0.0, ["divide (forward): inf"]),
    (lambda x: np.sqrt(x).sum(), [0.0, 1.0], ["sqrt (backward, in the gradient of x): inf at [0]"]),
    (lambda x: (x**0.5).sum(), [0.0, 1.0], ["power_number (backward"]),
]


@pytest.mark.parametrize("f, x, expected", NONFINITE)
@pytest.mark.filterwarnings("error")
def test_first_nonfinite(f, x, expected):
    message = first_nonfinite(f, np.array(x))
    for part in expected:
        assert part in message, message
    assert "test_looking.py, line" in message


def test_first_nonfinite_is_none_where_all_is_finite():
    assert first_nonfinite(lambda x: np.exp(x).sum(), np.ones(3)) is None
    assert first_nonfinite(lambda x: concatenate([x, x]).sum(), np.ones(3)) is None
    assert first_nonfinite(lambda x: x[[0, 0]].max(), np.ones(3)) is None
    assert first_nonfinite(lambda x: (x @ x) * 1.0, np.zeros(0)) is None
