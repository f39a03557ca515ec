"""What the page on PyTorch says of each row is what its code prints or raises, in TinyTorch and in PyTorch."""

import contextlib
import io
import warnings

import pytest

from tito.book import pytorch
from tito.course import Course

COURSE = Course.find()
ROWS = [row for rows in pytorch.rows(COURSE).values() for row in rows]
each_row = pytest.mark.parametrize("row", ROWS, ids=[row["topic"] for row in ROWS])


@each_row
def test_tinytorch(row, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check("tinytorch", row["tinytorch"])


@each_row
def test_pytorch(row, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    check("pytorch", row["pytorch"])


def check(library, half):
    printed, raised = outcome(pytorch.BEFORE[library], half["code"])
    if "prints" in half:
        assert (printed.rstrip(), raised) == (str(half["prints"]).rstrip(), "")
    else:
        start, _, rest = half["raises"].partition(" ...")
        assert printed == rest == "" and (raised.startswith(start) if start != half["raises"] else raised == start), (
            raised
        )


def outcome(before, code):
    """What code prints, and the first line of what it raises."""
    names, output = {}, io.StringIO()
    exec(before, names)
    with warnings.catch_warnings(), contextlib.redirect_stdout(output):
        warnings.simplefilter("ignore")  # PyTorch warns of what some rows show
        try:
            exec(code, names)
        except Exception as error:
            return output.getvalue(), f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return output.getvalue(), ""


def test_every_row_is_whole():
    for row in ROWS:
        assert set(row) == {"topic", "tinytorch", "pytorch", "why"}, row["topic"]
        for half in (row["tinytorch"], row["pytorch"]):
            assert set(half) in ({"code", "prints"}, {"code", "raises"}), row["topic"]
    assert len(ROWS) >= 25 and len({row["topic"] for row in ROWS}) == len(ROWS)


def test_the_page():
    page = pytorch.page(COURSE, lambda name: name)
    assert page.count("\n### ") == len(ROWS) and page.count("```python") == 2 * len(ROWS)


def test_the_check_itself():
    check("tinytorch", {"code": "print(Tensor([1.0]) + 1)", "prints": "[2.]"})
    check("tinytorch", {"code": "Tensor([1.0]).exp()", "raises": "AttributeError: Tensor has ..."})
    for wrong in ({"prints": "[3.]"}, {"raises": "ValueError: no"}, {"raises": "ValueError: ..."}):
        with pytest.raises(AssertionError):
            check("tinytorch", {"code": "print(Tensor([1.0]) + 1)"} | wrong)
