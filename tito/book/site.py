"""Builds the site: the source is put together apart, and what Sphinx makes takes the old site's place."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tito import leaks, release
from tito.book import execute, links, play, stage
from tito.course import Course
from tito.errors import CourseError


def build(course: Course, target: Path, solutions: bool, quick: bool = False, say=print) -> None:
    """Make the site in `target`; an error leaves the site that was there.

    If it has to be `quick`, chapters that measure run beside others, too.
    """
    secret = None if solutions else release.secrets(course)
    kept = course.private / "cache" / "book"
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept, prefix="making-") as scratch:
        source, made = Path(scratch) / "source", Path(scratch) / "site"
        source.mkdir()
        stage.write(course, source, secret, quick, say)
        _sphinx(course, source, made, Path(scratch) / "doctrees")
        if solutions and (why := play.fetch(course, made / "_static" / "pyodide")):
            say(f"book/play.md: without Python for the browser. {why}")
        if solutions and not execute.peers(course):
            say("chapters: without their comparisons with PyTorch, which tito bench --install-peers makes possible.")
        if wrong := [*links.dead(made), *(map(str, leaks.find(made, secret)) if secret else ())]:
            raise CourseError("the book was not replaced, since in the new one\n  " + "\n  ".join(wrong))
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            shutil.rmtree(target)
        shutil.move(made, target)


def _sphinx(course: Course, source: Path, made: Path, doctrees: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-j", "auto"]
    command += ["-c", str(course.root / "book"), "-d", str(doctrees), str(source), str(made)]
    environment = {**os.environ, "PYTHONPATH": str(course.root)}
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        lines = (done.stderr or done.stdout).replace(str(source) + os.sep, "").strip()
        raise CourseError(f"Sphinx found fault with the book:\n{lines}")
