"""A chapter in a real kernel: a failing test cell says what `tito test` says, and a re-export asks for a restart."""

import os
import sys
from pathlib import Path

import pytest

from tito.chapter import Chapter

pytest.importorskip("ipykernel")
client = pytest.importorskip("jupyter_client")

FIRST = "modules/source/01_first"
ROOT = Path(__file__).resolve().parents[2]


class Kernel:
    """A kernel in a chapter's directory."""

    def __init__(self, checkout):
        variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(checkout.root), str(ROOT)])}
        self.manager = client.KernelManager()
        self.manager.kernel_spec.argv[0] = sys.executable
        self.manager.start_kernel(cwd=str(checkout.file(FIRST)), env=variables)
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, code):
        """Run a cell: what it printed, and its traceback."""
        said = []

        def hear(message):
            content = message["content"]
            if message["msg_type"] == "stream":
                said.append(content["text"])
            elif message["msg_type"] == "error":
                said.append("\n".join(content["traceback"]))

        self.client.execute_interactive(code, output_hook=hear, timeout=60)
        return "\n".join(said)

    def stop(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(toy):
    kernel = Kernel(toy)
    yield kernel
    kernel.stop()


@pytest.fixture
def cells(toy):
    """The code cells of the first chapter, by the first line that says what they are."""
    return [c.source for c in Chapter.read(toy.file(FIRST) / "first_dev.py").cells if c.kind == "code"]


def cell(cells, text):
    return next(source for source in cells if text in source)


def begin(kernel, cells):
    for text in ("import numpy", "from tinytorch.testing"):
        assert kernel.run(cell(cells, text)) == ""


def test_a_wrong_solution_a_raising_one_and_a_right_one(kernel, cells):
    begin(kernel, cells)
    right, test = cell(cells, "def double"), cell(cells, "def test_double()")
    assert "return x + x" in right
    kernel.run(right.replace("return x + x", "return x * x"))
    said = kernel.run(test)
    assert said.splitlines() == [
        "failing: double, Twice",
        "  tried     double(3)",
        "  gave      9",
        "  expected  6",
        "  likely    You multiplied x by itself.",
        "  next: mend it, run it and this cell again; or tito hint 01_first double",
        "  (%tb shows the whole traceback)",
    ]
    assert "Traceback" in kernel.run("%tb") and "CheckFailed" in kernel.run("%tb")
    kernel.run(right.replace("return x + x", "return x + undefined"))
    said = kernel.run(test)
    assert "  gave      NameError: name 'undefined' is not defined" in said and len(said.splitlines()) <= 8
    assert "line 7: return x + undefined" in said and "in        cell In[" in said
    kernel.run(right.replace("return x + x", 'raise NotImplementedError("exercise double")'))
    assert kernel.run(test).startswith("to do: double")
    kernel.run(right)
    assert kernel.run(test) == "passing: double, Twice\n"
    assert kernel.run(test.replace("check(", "0 and check(")) == ""  # another test says nothing about the exercise


def test_errors_elsewhere_are_shown_as_ever(kernel, cells):
    begin(kernel, cells)
    said = kernel.run("def helper():\n    return 1 / 0\n\nhelper()")
    assert "ZeroDivisionError" in said and "Traceback" in said and "tito" not in said


def test_a_re_export_under_a_running_notebook(kernel, cells, toy):
    begin(kernel, cells)
    restart = "tinytorch.core.first has changed since this notebook imported it: restart the kernel"
    assert kernel.run("from tinytorch.core.first import double\nimport os") == ""
    os.utime(toy.file("tinytorch/core/first.py"))  # touched, and the same
    assert kernel.run("double(1)") == ""
    toy.edit(f"{FIRST}/first_dev.py", "return x + x", "return 2 * x")
    toy.tito("export", "first")
    assert restart in kernel.run("double(1)")
    assert kernel.run("double(1)") == ""  # said once
    kernel.run("double = lambda x: x * x")
    assert restart in kernel.run(cell(cells, "def test_double()"))
