"""The book's page on serious development, walked through: what it shows is what its commands print."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "book" / "serious_development.md"
BLOCK = re.compile(r"^```(console|diff)\n(.*?)^```$", re.M | re.S)
LEFT_OUT = shutil.ignore_patterns(".git", ".venv*", ".tito", "__pycache__", ".pytest_cache")


def test_the_page(tmp_path):
    course = tmp_path / "tinytorch"
    shutil.copytree(ROOT, course, ignore=LEFT_OUT)
    steps = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert {kind for kind, _ in steps} == {"console", "diff"}
    for kind, text in steps:
        if kind == "diff":
            edit(course, text)
        else:
            for command, shown in commands(text):
                assert plain(run(course, command)) == plain(shown), command


def commands(text):
    """Pairs of a command and what it shows."""
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


def run(course, command):
    """What a command prints; `tito` is this checkout's, as it is after activating the environment."""
    folder = course.parent / "bin"
    folder.mkdir(exist_ok=True)
    for name, module in (("tito", "-m tito "), ("python", "")):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {module}"$@"\n', encoding="utf-8")
        (folder / name).chmod(0o755)
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(course), "NO_COLOR": "1", "COLUMNS": "118"}
    done = subprocess.run(command, shell=True, cwd=course, env=environment, capture_output=True, text=True)
    return done.stdout + done.stderr


def edit(course, text):
    """Make the change that a diff shows, in the file that it names."""
    name, *lines = text.splitlines()
    file = course / name.removeprefix("--- ")
    before = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
    after = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
    source = file.read_text(encoding="utf-8")
    assert source.count(before) == 1, text
    file.write_text(source.replace(before, after), encoding="utf-8")


def plain(text):
    """Without what differs from run to run: times, and the names of kept versions."""
    text = re.sub(r"\d+\.\d+ s\b", "0.0 s", text)
    text = re.sub(r"\d{4}-\d\d-\d\d-\d{6}-\d+", "TIME", text)
    return [line.rstrip() for line in text.splitlines() if line.strip()]


pytestmark = pytest.mark.skipif(os.name == "nt", reason="the page's shell is a POSIX one")
