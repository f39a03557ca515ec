"""Which pages the book has: those that `_toc.yml` names."""

from __future__ import annotations

from pathlib import Path

import yaml

from tito.book import api, glossary, pytorch, references
from tito.course import Course
from tito.files import read

# Pages that stand in no file: what makes each, given the course and the way to a chapter's page.
MADE = {
    "book/api": api.index,
    "book/pytorch": pytorch.page,
    "book/glossary": glossary.page,
    "book/bibliography": references.page,
}


def pages(text: str) -> list[str]:
    """The pages that the text of a `_toc.yml` names, without suffix, in order."""
    contents = yaml.safe_load(text)
    found = [contents["root"]]

    def collect(part):
        for entry in part if isinstance(part, list) else [part]:
            if "file" in entry:
                found.append(entry["file"])
            for key in ("parts", "chapters", "sections"):
                collect(entry.get(key, []))

    collect(contents)
    return found


def missing(course: Course) -> list[str]:
    """What `_toc.yml` and the pages that are there do not agree on."""
    names = pages(read(course.root / "_toc.yml"))
    there = [f"book/{file.stem}" for file in sorted((course.root / "book").glob("*.md"))]
    lost = [f"{name} is named and not there" for name in names if name not in MADE and not _files(course, name)]
    return lost + [f"{name}.md is there and not named" for name in there if name not in names]


def _files(course: Course, name: str) -> list[Path]:
    return [file for suffix in (".md", ".py") if (file := course.root / f"{name}{suffix}").exists()]
