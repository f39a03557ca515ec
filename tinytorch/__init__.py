"""TinyTorch: a small deep-learning framework that its students write themselves."""

__version__ = "0.1.0"

import numpy

from tinytorch import _lines

if int(numpy.__version__.partition(".")[0]) < 2:
    raise ImportError(
        f"tinytorch needs NumPy 2.0 or newer, this is NumPy {numpy.__version__}.\n"
        "  Install it with: python -m pip install --upgrade numpy"
    )
_lines.name_chapters_in_tracebacks()
