"""Where in the chapters a line of `tinytorch/core` comes from.

Above each cell's code the exporter leaves a line such as
`# %% ../../modules/source/07_autograd/autograd_dev.py #L120`: the code below it
begins at line 120 of that chapter.
"""

import functools
import re

__all__ = ["chapter_line"]

_MARKER = re.compile(r"# %% (?:\.\./)*(\S.*) #L(\d+)$")


def chapter_line(path, line):
    """The chapter and its line for a line of a file in `tinytorch/core`.

    Parameters
    ----------
    path : str
        A generated file.
    line : int
        A line of it, from 1.

    Returns
    -------
    tuple (str, int) or None
        The chapter's path from the course's root, and the line there; None for lines
        that come from no chapter, and for files that are not generated.
    """
    cell = next((c for c in reversed(_cells(path)) if c[0] < line), None)
    if cell is None or cell[1] is None:
        return None
    marker, chapter, first = cell
    return chapter, first + line - marker - 1


@functools.lru_cache(maxsize=64)
def _cells(path):
    """(line of the marker, chapter, first line there) of each generated cell; chapter None for nbdev's own."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    cells = []
    for number, text in enumerate(lines, 1):
        if match := _MARKER.match(text):
            cells.append((number, match[1], int(match[2])))
        elif text.startswith("# %% auto"):
            cells.append((number, None, 0))
    return cells
