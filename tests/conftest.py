"""A small course to try things on, in a directory of its own."""

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also what takes long, and thirty times the random examples")


def pytest_configure(config):
    from hypothesis import settings

    settings.register_profile("usual", deadline=None, derandomize=True)
    settings.register_profile("slow", deadline=None, max_examples=3000)
    settings.load_profile("slow" if config.getoption("--slow") else "usual")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # begun with `&` in a script, and inherited by every process
        signal.signal(signal.SIGINT, signal.default_int_handler)


KILLED = """
import os, signal, sys

writes = {"open", "os.rename", "os.remove", "os.chmod", "os.mkdir", "os.link"}
left = int(sys.argv.pop(1))

def watch(event, arguments):
    global left
    if event in writes and not (event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR)):
        if str(arguments[0]).startswith(os.getcwd()):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

sys.dont_write_bytecode = True
from tito.cli import main
sys.addaudithook(watch)
main()
"""


class Checkout:
    """A copy of a course, and `tito` run in it."""

    def __init__(self, root):
        self.root = root

    def tito(self, *arguments, status=0):
        """Call `tito` in this process; what it wrote. `status` is what it has to end with (None: anything)."""
        from tito import cli

        output = io.StringIO()
        with (
            contextlib.chdir(self.root),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(output),
            pytest.MonkeyPatch.context() as patch,
            pytest.raises(SystemExit) as end,
        ):
            patch.setattr(sys, "argv", ["tito", *map(str, arguments)])
            cli.main()
        assert status in (end.value.code or 0, None), f"status {end.value.code}\n{output.getvalue()}"
        return output.getvalue()

    def run(self, *arguments, **environment):
        """Run `tito` in a process of its own, which comes back with stdout and stderr apart."""
        process = self.begin(*arguments, **environment)
        texts = process.communicate(timeout=120)
        return subprocess.CompletedProcess(arguments, process.returncode, *texts)

    def begin(self, *arguments, largest_file=None, **environment):
        """The same, without waiting for it; writing more than `largest_file` bytes fails as on a full disk."""
        code = "import runpy; runpy.run_module('tito', run_name='__main__', alter_sys=True)"
        if largest_file is not None:
            code = f"import resource as r; r.setrlimit(r.RLIMIT_FSIZE, ({largest_file}, {largest_file})); {code}"
        command = [sys.executable, "-c", code, *map(str, arguments)]
        variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", **environment}
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=self.root, env=variables, encoding="utf-8", **pipes)

    def killed(self, moment, *arguments):
        """Run `tito`, killed (-9) just before its write number `moment` in the checkout; whether it came to that."""
        if os.name == "nt":
            pytest.skip("Windows has no kill -9")
        command = [sys.executable, "-c", KILLED, str(moment), *map(str, arguments)]
        variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
        done = subprocess.run(command, cwd=self.root, env=variables, capture_output=True, encoding="utf-8", timeout=120)
        assert done.returncode in (-9, 0), done.stderr
        return done.returncode == -9

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
        """Every file and what it holds, but for caches and locks."""
        found = (p for p in sorted(self.root.rglob("*")) if p.is_file() and "__pycache__" not in p.parts)
        kept = (p for p in found if "cache" not in p.parts and p.suffix != ".lock")
        return {p.relative_to(self.root).as_posix(): p.read_bytes() for p in kept}


@pytest.fixture
def bare_toy(tmp_path):
    """The toy course without its package, at a path with a space and letters beyond ASCII."""
    root = tmp_path / "toy côurse"
    shutil.copytree(ROOT / "tests" / "toy", root)
    for name in ("pyproject.toml", "settings.ini"):
        shutil.copy(ROOT / name, root)
    for name in ("__init__.py", "_habits.py", "_lines.py", "_notebook.py", "testing.py", "core/__init__.py"):
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
