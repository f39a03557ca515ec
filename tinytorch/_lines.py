"""Where in the chapters a line of `tinytorch/core` comes from.

Above each cell's code the exporter leaves a line such as
`# %% ../../modules/source/07_autograd/autograd_dev.py #L120`: the code below it
begins at line 120 of that chapter.
"""

import functools
import os
import re
import sys

__all__ = ["chapter_line", "name_chapters_in_tracebacks", "named_places", "places"]

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_CELL = re.compile(r"<(ipython-input|timed )|.*[/\\](ipykernel|xpython)_\d+[/\\][^/\\]+$")  # files of notebooks' cells
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
    if os.path.basename(os.path.dirname(path)) != "core":
        return None
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
            lines = file.readlines()  # not `str.splitlines`, which ends one at a form feed, too
    except (OSError, UnicodeDecodeError):
        return []
    cells = []
    for number, text in enumerate(lines, 1):
        if match := _MARKER.match(text):
            cells.append((number, match[1], int(match[2])))
        elif text.startswith("# %% auto"):
            cells.append((number, None, 0))
    return cells


def places(trace):
    """The chapters' lines that a traceback passes through, outermost first.

    Parameters
    ----------
    trace : traceback or None

    Returns
    -------
    list of (str, int, str)
        File, line and name of the function.
    """
    found = []
    while trace is not None:
        code = trace.tb_frame.f_code
        if place := chapter_line(code.co_filename, trace.tb_lineno):
            found.append((os.path.join(_ROOT, *place[0].split("/")), place[1], code.co_name))
        trace = trace.tb_next
    return found


def named_places(site):
    """How a reader would name the lines that led to a call.

    Parameters
    ----------
    site : list of (str, int)
        Files and lines, the innermost first. The last is where the program began, in a notebook the cell that runs.

    Returns
    -------
    list of str
        Each once: "this cell, line 2", "cell In[5], line 1", a chapter's line, or the file's.
    """
    named = []
    for file, line in site:
        if cell := _cell_name(file):
            file = "this cell" if file == site[-1][0] else cell
        else:
            file, line = chapter_line(file, line) or (file, line)
        named.append(f"{file}, line {line}")
    return list(dict.fromkeys(named))


def _cell_name(file):
    """What a notebook calls the cell that was compiled as `file`; None for a file that is no cell."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and (label := shell.compile.format_code_name(file)):
        return f"cell {label[1]}"
    return "a notebook cell" if _CELL.match(file) else None


def name_chapters_in_tracebacks():
    """Let an uncaught exception end with the chapters' lines that it came through.

    Does nothing outside a checkout of the course, or where another hook is in place.
    The traceback itself stays as Python prints it.
    """
    if not os.path.isdir(os.path.join(_ROOT, "modules", "source")):
        return
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _excepthook
    if "IPython" in sys.modules and (shell := sys.modules["IPython"].get_ipython()) and not shell.custom_exceptions:
        from tinytorch import _notebook

        _notebook.install(shell)
        shell.set_custom_exc((Exception,), _in_notebook)


def _excepthook(kind, error, trace):
    _explain(error, trace)
    sys.__excepthook__(kind, error, trace)
    _print_places(trace)


def _in_notebook(shell, kind, error, trace, tb_offset=None):
    from tinytorch._notebook import explained

    _explain(error, trace)
    if lines := explained(shell, error):
        error._render_traceback_ = lambda: lines
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset)
        del error._render_traceback_  # from now on %tb shows the whole
        return
    shell.showtraceback((kind, error, trace), tb_offset=tb_offset)
    _print_places(trace)


def _explain(error, trace):
    from tinytorch._habits import explain

    explain(error, bool(places(trace)))


def _print_places(trace):
    if found := places(trace):
        print("In the chapters:", file=sys.stderr)
    for file, line, name in found:
        print(f'  File "{file}", line {line}, in {name}', file=sys.stderr)
