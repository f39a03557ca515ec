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

The TinyTorch code takes its names from the chapters, as in `from tinytorch.core.layers import Dense`. Before the PyTorch
code stand `import torch` and `from torch import nn`, and `np` is NumPy in both.
"""


def page(course: Course, page_of: Callable[[str], str]) -> str:
    """The rows as MyST, a table for each part."""
    return INTRODUCTION + "".join(f"\n## {part}\n\n{table(found)}" for part, found in rows(course).items())


def rows(course: Course) -> dict[str, list[dict]]:
    """The rows of each part, in order."""
    import yaml

    return yaml.safe_load((course.root / "book" / "pytorch.yaml").read_text(encoding="utf-8"))


def table(found: list[dict]) -> str:
    lines = ["`````{list-table}", ":header-rows: 1", ":widths: 26 37 37", "", "* - ", "  - TinyTorch", "  - PyTorch"]
    for row in found:
        lines += cell("* - ", f"**{row['topic']}.** {row['why']}")
        lines += cell("  - ", side(row["tinytorch"])) + cell("  - ", side(row["pytorch"]))
    return "\n".join([*lines, "`````", ""])


def cell(mark: str, text: str) -> list[str]:
    """A cell of the table: its first line behind the mark, the others below it."""
    first, *others = text.splitlines()
    return [mark + first, *(f"    {line}".rstrip() for line in others)]


def side(half: dict) -> str:
    """Code, and what came of it."""
    came = half.get("prints") or half["raises"]
    return f"```python\n{half['code'].rstrip()}\n```\n```text\n{came.rstrip()}\n```"
