"""A chapter as the notebook that nbdev exports.

jupytext, which reads the percent format in full, takes longer to import and to read a chapter than all else that an
export does. A file in which it sees nothing but what `tito.chapter` sees is therefore read by that; a test proves on
every chapter, and on odd files, that both make the same of it.
"""

from __future__ import annotations

import ast
import re

from tito.chapter import Cell, split_lines

THEIR_MARK = re.compile(r"\s*#\s*(%%|<codecell>|In\[)")
OUR_MARK = re.compile(r"# %%( \[(markdown|md|raw)\])?( (nbgrader|tags)=(?!.*\b(active|language|cell_type)\b).*)?")
FENCE = re.compile(r"#\s*(```|~~~)")
BLANK_LINES = re.compile(r"^# %%.*\n[ \t]*\n|\n[ \t]*\n[ \t]*\n[ \t]*\n", re.M)  # jupytext keeps some, and removes some
COMMANDS = "cat|cd|cp|mv|rm|rmdir|mkdir|copy|ddir|echo|ls|ldir|ren"
ODD_ENDS = "\v\f\x1c\x1d\x1e\x85\u2028\u2029"  # jupytext ends a line there, Python does not
HIDE = {ord(end): chr(0xE000 + number) for number, end in enumerate(ODD_ENDS)}  # characters of private use
SHOW = {ord(hidden): chr(end) for end, hidden in HIDE.items()}
MAGIC = re.compile(rf"\s*#[#\s]*([%!?]|({COMMANDS})\b|\w+\s*=\s*[%!]|.*\?\s*$)")  # jupytext would uncomment it


def notebook(text: str, cells: list[Cell]) -> dict:
    """The notebook, as nbformat has it; `cells` are those of `tito.chapter`."""
    if not is_plain(text, cells):
        import jupytext

        read = jupytext.reads(text.translate(HIDE), fmt="py:percent")
        for cell in read.cells:
            cell.source = cell.source.translate(SHOW)
        return read
    read = [{"cell_type": cell.kind, "metadata": {}, "source": cell.source} for cell in cells]
    return {"cells": read, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def is_plain(text: str, cells: list[Cell]) -> bool:
    """Whether jupytext cannot read the file in another way than we do."""
    lines = split_lines(text)
    marks = [line for line in lines if THEIR_MARK.match(line)]
    if not all(map(OUR_MARK.fullmatch, marks)) or BLANK_LINES.search(text):
        return False
    ends = [cell.line - 1 for cell in cells[1:]] + [len(lines)]
    bodies = zip(cells, (lines[cell.line : end] for cell, end in zip(cells, ends)))
    return all(_is_plain_code(body) if cell.kind == "code" else _is_plain_prose(body) for cell, body in bodies)


def _is_plain_prose(lines: list[str]) -> bool:
    """Whether all of it is commented, and no fenced block reaches beyond the cell."""
    fences = sum(bool(FENCE.match(line)) for line in lines)
    return fences % 2 == 0 and all(line.startswith("#") for line in lines if line.strip())


def _is_plain_code(lines: list[str]) -> bool:
    """Whether no comment looks like a magic, and no text between three quotes reaches beyond the cell."""
    code = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    closed = all(code.count(quotes) % 2 == 0 for quotes in ('"""', "'''")) or _is_python(lines)
    return closed and not any(map(MAGIC.match, lines))


def _is_python(lines: list[str]) -> bool:
    try:
        ast.parse("\n".join(lines))
    except SyntaxError:
        return False
    return True
