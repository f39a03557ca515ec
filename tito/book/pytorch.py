"""How TinyTorch differs from PyTorch: rows of code that say the same in both, from book/pytorch.yaml."""

from __future__ import annotations

from collections.abc import Callable

from tito.course import Course

# What a row's code may use; the TinyTorch half uses everything that these chapters export.
CHAPTERS = ("tensor", "activations", "layers", "networks", "dataloader", "autograd", "training", "optimizers", "cnn")
BEFORE = {
    "tinytorch": "import numpy as np\n" + "".join(f"from tinytorch.core.{name} import *\n" for name in CHAPTERS),
    "pytorch": "import numpy as np\nimport torch\nfrom torch import nn\n",
}
INTRODUCTION = """\
# How TinyTorch differs from PyTorch

What you know of TinyTorch is true of PyTorch in most places. This page is for the others, and for those where one may
well doubt. Each row was run in both, and shows what was printed or raised, of an error the first line.

The TinyTorch code takes its names from the chapters, as in `from tinytorch.core.layers import Dense`. Before PyTorch's
code stand `import torch` and `from torch import nn`, and `np` is NumPy in both.
"""


def page(course: Course, page_of: Callable[[str], str]) -> str:
    """The rows as MyST, side by side where there is room."""
    parts = [f"## {part}\n\n" + "\n".join(map(shown, found)) for part, found in rows(course).items()]
    return "\n".join([INTRODUCTION, *parts])


def rows(course: Course) -> dict[str, list[dict]]:
    """The rows of each part, in order."""
    import yaml

    return yaml.safe_load((course.root / "book" / "pytorch.yaml").read_text(encoding="utf-8"))


def shown(row: dict) -> str:
    """A row: what it is about, the two halves, and why."""
    halves = "\n".join(half(title, row[title.lower()]) for title in ("TinyTorch", "PyTorch"))
    return f"### {row['topic']}\n\n{row['why']}\n\n`````{{grid}} 1 1 2 2\n:gutter: 2\n\n{halves}`````\n"


def half(title: str, code: dict) -> str:
    """Code, and what came of it."""
    came = code.get("prints") or code["raises"]
    blocks = f"```python\n{code['code'].rstrip()}\n```\n```text\n{came.rstrip()}\n```"
    return f"````{{grid-item}}\n**{title}**\n{blocks}\n````\n"
