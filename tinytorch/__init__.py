"""TinyTorch: a small deep-learning framework that its students write themselves."""

__version__ = "0.1.0"

from tinytorch import _lines

_lines.name_chapters_in_tracebacks()
