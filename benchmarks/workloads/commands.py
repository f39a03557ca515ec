"""The command line: what `tito` takes beside a bare Python, and its tests beside pytest alone.

All of it happens in a copy of the checkout where every chapter is in progress, the one that is tested solved.
"""

import atexit
import functools
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.workloads.base import Workload

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = "tensor"
LEFT_OUT = (".*", "__pycache__", "*.ipynb", "runs", "book", "benchmarks")

PREPARE = """
from tito import workspace
from tito.course import Course
course = Course.find()
for module in course.modules:
    if not workspace.is_started(course, module):
        workspace.start(course, module)
workspace.solution(course, Course.find().module({chapter!r}))
"""

# The chapter's test cells for pytest alone: no process of their own, no export, no limits.
CELLS = """
import pytest
from tito.course import Course
from tinytorch.core import {chapter} as module
from tinytorch.testing import check, check_raises
chapter = Course.find().module({chapter!r}).chapter
names = dict(vars(module), check=check, check_raises=check_raises)
for cell in chapter.import_cells:
    exec(cell.source, names)

@pytest.mark.parametrize("test", chapter.tests, ids=lambda test: test.name)
def test_cell(test):
    exec(test.cell.source, dict(names))
"""


def python() -> str:
    """The course's interpreter, also where the peers' runs us."""
    return os.environ.get("TINYTORCH_PYTHON", sys.executable)


def run(*command: str) -> None:
    """Run a command in the copy, its output thrown away; it has to succeed."""
    variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "PYTEST_ADDOPTS")}
    variables["PYTHONPATH"] = str(copy())
    done = subprocess.run(
        command, cwd=copy(), env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout.decode(errors='replace')}")


@functools.cache
def copy() -> Path:
    """A copy of the checkout to work in, removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="tinytorch-bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(ROOT, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    return folder


@functools.cache
def prepare() -> None:
    """Begin every chapter, and solve the one that is tested."""
    run(python(), "-c", PREPARE.format(chapter=CHAPTER))
    (copy() / "test_cells.py").write_text(CELLS.format(chapter=CHAPTER), encoding="utf-8")


def command(*arguments: str):
    def prepared():
        prepare()
        return lambda: run(python(), *arguments)

    return prepared


def changed_chapter():
    """Test the chapter after a change that nothing kept knows of."""
    prepare()
    file = next(copy().glob(f"modules/source/*_{CHAPTER}/{CHAPTER}_dev.py"))
    numbers = itertools.count()

    def change_and_test():
        text = file.read_text(encoding="utf-8")
        file.write_text(f"{text}\n# %%\n# change {next(numbers)}\n", encoding="utf-8")
        run(python(), *TEST)

    return change_and_test


BARE = command("-c", "pass")
TEST = ("-m", "tito", "test", CHAPTER)
PYTEST = command("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_cells.py", f"tests/{CHAPTER}")

WORKLOADS = [
    Workload("tito", "tito beside python -c pass", {"base": BARE, "tito": command("-m", "tito")},
             gate=3, allowance=0.1, kind="command"),
    Workload("status", "tito status beside python -c pass", {"base": BARE, "tito": command("-m", "tito", "status")},
             gate=3, allowance=0.1, kind="command"),
    Workload("help", "tito --help beside python -c pass", {"base": BARE, "tito": command("-m", "tito", "--help")},
             gate=3, allowance=0.1, kind="command"),
    Workload("test", f"tito test {CHAPTER}, passing, beside pytest alone", {"base": PYTEST, "tito": command(*TEST)},
             gate=1.5, allowance=0.5, kind="command"),
    Workload("test-changed", "the same after a change of the chapter", {"base": PYTEST, "tito": changed_chapter},
             gate=1.5, allowance=2.0, kind="command"),
]  # fmt: skip
