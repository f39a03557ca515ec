"""What `tito` keeps in `.tito/`: references, attempts and results. Chapters are kept by name, not by number."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tito.chapter import Chapter
from tito.course import Course, Module
from tito.files import write_atomically


def reference(course: Course, module: Module) -> Path:
    """Where the chapter is kept as it was handed out."""
    return course.private / "reference" / module.name / f"{module.name}_dev.py"


def is_started(course: Course, module: Module) -> bool:
    return reference(course, module).exists()


def started(course: Course) -> set[str]:
    """Names of the chapters in progress."""
    return {module.name for module in course.modules if is_started(course, module)}


def reference_chapter(course: Course, module: Module) -> Chapter:
    """The chapter whose tests count: the kept one, or the one that stands there."""
    kept = reference(course, module)
    if not kept.exists():
        return module.chapter
    return Chapter.read(kept, kept.relative_to(course.root).as_posix())


def fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def result(course: Course, module: Module) -> dict:
    """What came of the chapter's last complete test; empty where there was none."""
    try:
        found = json.loads(_result_file(course, module).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def keep_result(course: Course, module: Module, outcome: dict) -> None:
    try:
        write_atomically(_result_file(course, module), json.dumps(outcome, indent=1) + "\n")
    except OSError:
        return  # a read-only checkout: the result has been shown, it is not remembered


def _result_file(course: Course, module: Module) -> Path:
    return course.private / "results" / f"{module.name}.json"


def cached_export(course: Course, text: str, make) -> str:
    """The export of a chapter's text, made once and then kept."""
    key = fingerprint(f"1 {text}")
    file = course.private / "cache" / f"{key}.py"
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        made = make()
    try:
        write_atomically(file, made)
    except OSError:
        return made
    return made
