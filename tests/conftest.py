"""A small course to try things on, in a directory of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


class Checkout:
    """A copy of a course, and `tito` run in it."""

    def __init__(self, root):
        self.root = root

    def tito(self, *arguments, status=0, **environment):
        """Run `tito`; what it wrote. `status` is what it has to end with."""
        done = self.run(*arguments, **environment)
        assert done.returncode == status, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def run(self, *arguments, **environment):
        """Run `tito`; the process that ended, with stdout and stderr apart."""
        command = [sys.executable, "-m", "tito", *map(str, arguments)]
        variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", **environment}
        return subprocess.run(command, cwd=self.root, env=variables, capture_output=True, encoding="utf-8", timeout=120)

    def python(self, code):
        """Run Python with the checkout's package."""
        variables = {**os.environ, "PYTHONPATH": str(self.root)}
        command = [sys.executable, "-P", "-c", code]
        return subprocess.run(command, cwd=self.root, env=variables, capture_output=True, encoding="utf-8", timeout=120)

    def file(self, path):
        return self.root / path

    def read(self, path):
        return self.file(path).read_text(encoding="utf-8")

    def write(self, path, text):
        self.file(path).parent.mkdir(parents=True, exist_ok=True)
        self.file(path).write_text(text, encoding="utf-8")

    def edit(self, path, old, new):
        """Replace text that has to be there."""
        text = self.read(path)
        assert old in text
        self.write(path, text.replace(old, new))

    def files(self):
        """Every file and what it holds, but for the caches."""
        found = (p for p in sorted(self.root.rglob("*")) if p.is_file() and "__pycache__" not in p.parts)
        return {p.relative_to(self.root).as_posix(): p.read_bytes() for p in found if "cache" not in p.parts}


@pytest.fixture
def bare_toy(tmp_path):
    """The toy course without its package, at a path with a space and letters beyond ASCII."""
    root = tmp_path / "toy côurse"
    shutil.copytree(ROOT / "tests" / "toy", root)
    for name in ("pyproject.toml", "settings.ini"):
        shutil.copy(ROOT / name, root)
    for name in ("__init__.py", "_lines.py", "testing.py", "core/__init__.py"):
        (root / "tinytorch" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "tinytorch" / name, root / "tinytorch" / name)
    shutil.copy(ROOT / "_toc.yml", root)
    return Checkout(root)


@pytest.fixture
def toy(bare_toy):
    """The toy course, exported."""
    from tito import derived
    from tito.course import Course

    derived.export(Course(bare_toy.root), [])
    return bare_toy
