"""The other frameworks, in an environment of their own.

PyTorch alone is as large as everything else together, so the peers live in `.venv-peers` beside the
course's own environment. `pip` is used on purpose: it finds PyTorch's small CPU build where one is offered.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv-peers"
PACKAGES = ["torch==2.13.0", "autograd", "mygrad", "micrograd", "numpy>=2"]


def python_of(folder: Path) -> Path:
    """The interpreter of a virtual environment."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def install() -> None:
    """Make `.venv-peers` with PyTorch, HIPS autograd, MyGrad and micrograd."""
    if not python_of(FOLDER).exists():
        subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True)
    print("Installing the peers into .venv-peers; PyTorch is large.", file=sys.stderr, flush=True)
    subprocess.run([str(python_of(FOLDER)), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)


def run_there(arguments: list[str]) -> int | None:
    """Run the benchmarks by the peers' interpreter where there is one; None where this is it, or there is none."""
    interpreter = python_of(FOLDER)
    if not interpreter.exists() or Path(sys.prefix).resolve() == FOLDER.resolve():
        return None
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TINYTORCH_PYTHON": sys.executable}
    return subprocess.call([str(interpreter), "-m", "benchmarks", *arguments], cwd=ROOT, env=env)


def installed() -> list[str]:
    """Contestants that can run here."""
    return ["numpy", "tinytorch", *(name for name in ("torch", "autograd", "mygrad", "micrograd") if find_spec(name))]
