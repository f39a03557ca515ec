"""Where a NaN came from is said as a line of the chapter or of a cell, not of a generated file."""

import re

import numpy as np
import pytest

from tinytorch._lines import named_places
from tinytorch.core.autograd import GradientError, Variable, check_gradients, first_nonfinite, gradient, trace
from tinytorch.core.layers import dense_composed
from tinytorch.core.tensor import operation
from tito.course import Course

ROOT = Course.find().root


def test_first_nonfinite_names_the_chapters_line():
    text = first_nonfinite(lambda x: dense_composed(x, x.mT, x[0, :1]), [[1e30, 1e30]])
    found = re.search(r"called from (modules/source/\S+_layers/layers_dev\.py), line (\d+)", text)
    line = (ROOT / found[1]).read_text(encoding="utf-8").splitlines()[int(found[2]) - 1]
    assert "matmul(x, w)" in line


# What a notebook calls the file of a cell; ipykernel and xeus, ipykernel on macOS and on Windows, IPython, %%time.
FILES = [
    "/tmp/ipykernel_868/1110709918.py",
    "/tmp/xpython_42/77.py",
    "/var/folders/h8/x/T/ipykernel_868/1110709918.py",
    "C:\\Users\\Ada\\AppData\\Local\\Temp\\ipykernel_868\\1110709918.py",
    "<ipython-input-3-0123456789ab>",
    "<timed exec>",
]
KNOWN = {"first_nonfinite": first_nonfinite, "log": np.log}


def run(file, text, name="<module>", **names):
    """Run `text` as a notebook runs a cell that it calls `file`."""
    exec(compile(text, file, "exec").replace(co_name=name), names)
    return names


@pytest.mark.parametrize("name", ["<module>", "<cell line: 2>"])
@pytest.mark.parametrize("file", FILES)
def test_a_line_of_a_cell_is_named_as_one(file, name):
    text = "\ntext = first_nonfinite(lambda x: (log(x) * 2.0).sum(),\n  [0.0, 1.0])"
    message = run(file, text, name, **KNOWN)["text"]
    assert re.findall("called from (.*)", message) == ["this cell, line 2"], message


@pytest.mark.parametrize("file", FILES)
def test_a_function_of_another_cell(file):
    names = run("/tmp/ipykernel_868/5.py", "def f(x):\n    return log(x)", **KNOWN)
    message = run(file, "text = first_nonfinite(lambda x: f(x) * 2, 0.0)", **names)["text"]
    assert re.findall("called from (.*)", message) == ["a notebook cell, line 2", "this cell, line 1"], message


def test_the_search_for_a_call_ends_at_the_cell():
    names = run("cell.py", "with trace() as t:\n  x * 2", x=Variable(2.0), trace=trace)
    assert names["t"].steps[0].site == [("cell.py", 2)]
    assert named_places([("cell.py", 2), ("cell.py", 2)]) == ["cell.py, line 2"]


def test_a_wrong_row_is_said_to_be_used_in_the_cell():
    wrong = operation(lambda x: x * x)
    gradient(wrong, x=lambda g, x: g * x)
    text = "\n\ncheck(lambda x: wrong(x), 3.0)"
    with pytest.raises(GradientError, match=r"\(called from this cell, line 3\)"):
        run(FILES[0], text, check=check_gradients, wrong=wrong)


def test_in_a_real_notebook_shell(tmp_path, monkeypatch):
    """A cell's number is what IPython's tracebacks say, and no file of its own is named."""
    ipython = pytest.importorskip("IPython")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    shell = ipython.core.interactiveshell.InteractiveShell(user_ns=dict(KNOWN))
    monkeypatch.setattr(ipython, "get_ipython", lambda: shell)
    try:
        shell.run_cell("def f(x):\n    return log(x)", store_history=True)
        shell.run_cell("text = first_nonfinite(\n  lambda x: f(x) * 2, [1.0, 0.0])", store_history=True)
    finally:
        shell.history_manager.end_session()
    found = re.findall("called from (.*)", shell.user_ns["text"])
    assert found == ["cell In[1], line 2", "this cell, line 2", "this cell, line 1"]
