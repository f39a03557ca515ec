"""The pages of book/: every message that they quote is in the sources, every cell runs, and no link misses."""

import ast
import os
import re
import subprocess
import sys
from functools import cache

import pytest

from tito.chapter import Chapter
from tito.course import Course

COURSE = Course.find()
BOOK = COURSE.root / "book"
TROUBLE = (BOOK / "troubleshooting.md").read_text(encoding="utf-8")
MESSAGES = [line for block in re.findall(r"^```text\n(.*?)^```", TROUBLE, re.M | re.S) for line in block.splitlines()]
TOUR = Chapter.read(BOOK / "tour.py", "book/tour.py")
WORDS_A_MINUTE = 130  # prose, code and what it prints, read with attention


@cache
def said():
    """Every text in the sources; what an f-string fills in is a NUL."""
    files = [COURSE.root / "bin" / "tito", *(COURSE.root / "tito").rglob("*.py"), *COURSE.package.rglob("*.py")]
    texts = []
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                texts.append("".join(v.value if isinstance(v, ast.Constant) else "\0" for v in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(re.sub(r"%[sd](?:\.%d)?", "\0", node.value))
    return texts


def is_said(message):
    """Whether a text of the sources holds the message; three points in it stand for what is filled in."""
    parts = [part.strip() for part in message.split("...") if part.strip(" .()")]
    pattern = ".*?".join(map(re.escape, parts))
    return bool(parts) and any(re.search(pattern, text, re.S) for text in said())


@pytest.mark.parametrize("message", MESSAGES)
def test_quoted_messages_are_in_the_sources(message):
    assert is_said(message)


def test_the_check_itself():
    assert len(MESSAGES) >= 20
    assert is_said("no course here: neither ... nor a directory above it") and is_said(
        "still running after ... seconds"
    )
    for wrong in ("the moon is in the way", "no course here: neither ... nor a directory below it", "...", ""):
        assert not is_said(wrong)


def test_the_tour_runs(tmp_path):
    variables = {**os.environ, "PYTHONPATH": str(COURSE.root), "MPLBACKEND": "Agg", "PYTHONUTF8": "1"}
    command = [sys.executable, "-W", "error::SyntaxWarning", str(BOOK / "tour.py")]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, done.stderr
    assert "dz/dx = 13.0\ndz/dy = 5.0\n" in done.stdout  # as by hand, in the prose
    assert "answers: [0 1 1 0]   right ones: [0, 1, 1, 0]" in done.stdout
    losses = [float(line.split()[-1]) for line in done.stdout.splitlines() if line.startswith("step")]
    assert losses == sorted(losses, reverse=True)
    seen, unseen = (float(n) for n in re.findall(r"^right on the \w+ digits: ([\d.]+)%", done.stdout, re.M))
    assert 90 < unseen < seen  # what the prose says of them
    assert re.search(r"^\d+ of 360 are mistaken", done.stdout, re.M)


def test_the_tour_takes_the_package_as_it_is():
    imported = {
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(ast.parse("\n".join(c.source for c in TOUR.cells if c.kind == "code")))
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert {name for name in imported if not name.startswith("tinytorch.core.")} == {"matplotlib.pyplot"}
    assert not TOUR.exercises and not TOUR.tests
    header = (COURSE.modules[0].dev).read_text(encoding="utf-8").partition("# %%")[0]
    assert TOUR.text.startswith(header)


def test_the_tour_is_read_in_twelve_minutes():
    assert "twelve minutes" in TOUR.text
    assert sum(len(cell.source.split()) for cell in TOUR.cells) <= 12 * WORDS_A_MINUTE


def test_the_tour_links_the_chapters_that_it_imports():
    linked = set(re.findall(r"\]\(\.\./modules/source/\d+_(\w+)/\)", TOUR.text))
    imported = set(re.findall(r"from tinytorch\.core\.(\w+) import", TOUR.text))
    assert imported <= linked
    assert all((BOOK / place).exists() for place in re.findall(r"\]\(([^)#:]+)\)", TOUR.text))
