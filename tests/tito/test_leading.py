"""Of the statements of a test, those that lead to a check."""

import ast
import textwrap

import pytest

from tito import leading
from tito.feedback import led_to


def slice_of(source):
    """The slice for the last statement of a test function's body."""
    body = ast.parse(textwrap.dedent(source)).body
    last = max(
        (n for n in ast.walk(ast.Module(body, [])) if isinstance(n, ast.stmt) and not hasattr(n, "body")),
        key=lambda n: n.lineno,
    )
    return leading.leading_to(leading.asked(last) or last, body, last.lineno)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = 1\ny = 2\ncheck(f(x), 3)", ["x = 1"]),
        ("x = 1\nx = 2\ncheck(f(x), 3)", ["x = 2"]),
        ("x = 1\ny = g(x)\nz = h()\ncheck(f(y), 3)", ["x = 1", "y = g(x)"]),
        ("x = [1]\nx[0] = 2\ncheck(f(x), 3)", ["x = [1]", "x[0] = 2"]),
        ("x = 1\nx += 2\ncheck(x, 3)", ["x = 1", "x += 2"]),
        ("y_pred = 1\nw = 2\ncheck(f(lambda y_pred: y_pred * w), 3)", ["w = 2"]),
        ("n = 1\nw = 2\ncheck([n * w for n in range(3)], 3)", ["w = 2"]),
    ],
)
def test_names(source, expected):
    assert slice_of(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        # what was made of it may change it
        ("w = V(1)\nopt = SGD([w])\nopt.step()\ncheck(w, 0)", ["w = V(1)", "opt = SGD([w])", "opt.step()"]),
        (
            "net = M()\nsaved = net.state()\nnet.load(saved)\nsaved['a'] = 9\ncheck(net.a, 1)",
            ["net = M()", "saved = net.state()", "net.load(saved)", "saved['a'] = 9"],
        ),
        # a call within a check counts where the check itself only looks, or makes the same call again
        ("w = V(1)\ncheck(step(w), 1)\ncheck(w, 2)", ["w = V(1)", "step(w)"]),
        ("w = V(1)\ncheck(step(w), 1)\ncheck(step(w), 2)", ["w = V(1)", "step(w)"]),
        ("w = V(1)\ncheck(other(w), 1)\ncheck(step(w), 2)", ["w = V(1)"]),
        ("w = V(1)\ncheck(w.item(), 1)\ncheck(str(w.dtype), 2)", ["w = V(1)"]),
        ("norm = B()\ny = norm(x)\ncheck(norm.mean, 1)", ["norm = B()", "y = norm(x)"]),
        ("a = V(1)\nb = V(2)\nb.backward()\ncheck(a.grad, 1)", ["a = V(1)"]),
    ],
)
def test_what_was_done(source, expected):
    assert slice_of(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("n = 1\nfor _ in range(60):\n    n = f(n)\ncheck(g(n), 1)", ["n = 1", "for _ in range(60): n = f(n)"]),
        ("with no_grad():\n    y = f()\ncheck(g(y), 1)", ["with no_grad(): y = f()"]),
        ("with errstate(over='raise'):\n    check(g(1), 1)", ["with errstate(over='raise')"]),
        ("x = 1\ntry:\n    f(x)\nfinally:\n    g()\ncheck(x, 1)", ["x = 1", "f(x)"]),
        # a function that was handed over may be called at any later time
        (
            "seen = []\nold = record(lambda a: seen.append(a))\nrun()\ncheck(seen, 1)",
            ["seen = []", "old = record(lambda a: seen.append(a))", "run()"],
        ),
        ("seen = []\ndef watched(a):\n    seen.append(a)\nf(watched)\ncheck(seen, 1)", ["seen = []", "f(watched)"]),
        ("p = V(1)\ndef moved(o):\n    return o\nmoved(2)\ncheck(p, 1)", ["p = V(1)"]),
    ],
)
def test_blocks_and_functions(source, expected):
    assert slice_of(source) == expected


def test_what_there_is_no_room_for_is_said():
    setup = ["a = first()", "b = second(a)", "third(b)"]
    assert led_to(setup, "b.data", 60) == ["a = first(); b = second(a); third(b); b.data"]
    assert led_to(setup, "b.data", 30) == ["...; third(b); b.data"]
    assert led_to(setup, "b.data", 30, 2) == ["a = first(); b = second(a);", "third(b); b.data"]
    assert led_to(setup, "b.data", 8) == ["b.data"]
    assert led_to([], "f(1111, 2222, 3333)", 12) == ["f(1111, ..."]
