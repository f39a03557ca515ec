"""Puts the book's source together: pages as they stand, chapters as they ran, and what is made from the course."""

from __future__ import annotations

import hashlib
import json
import os
import re
from base64 import b64decode
from pathlib import Path, PurePosixPath

from tito import derived, leaks, notes, release, workspace
from tito.book import api, contents, execute
from tito.book.cells import Page
from tito.chapter import Chapter
from tito.course import Course
from tito.errors import CourseError
from tito.files import read

LINK = re.compile(r"(?<!!)\[([^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*)\]\(([^)\s]+)\)")
OPEN = re.compile(r"^( *)(```+|~~~+).*?^ *\2 *$", re.M | re.S)
UNSOLVED = (
    "> The exercises that this page needs are left to you, so that its cells were not run here.\n"
    "> In your notebook they show what they print."
)


def write(course: Course, folder: Path, secret: dict[str, str] | None, quick: bool, say) -> None:
    """Write the source of every page that `_toc.yml` names into `folder`.

    A book without solutions is given the lines that are `secret`; it has no page that is not for students.
    """
    if wrong := contents.missing(course):
        raise CourseError("_toc.yml: " + "; ".join(wrong))
    listed = read(course.root / "_toc.yml")
    listed = listed if secret is None else release.pages_for_students(listed)
    (folder / "_toc.yml").write_text(listed, encoding="utf-8")
    names = contents.pages(listed)
    executed = {}
    for name in names:
        target = folder / f"{name}.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        if name in contents.MADE:
            text = contents.MADE[name](course, lambda chapter, page=name: page_of(course, page, chapter))
            target.write_text(text, encoding="utf-8")
        elif (file := course.root / f"{name}.md").exists():
            text = relinked(course, names, name, _edition(read(file), secret is None))
            target.write_text(_overview(text) if file.name == "README.md" else text, encoding="utf-8")
        else:
            executed[name] = _page(course, name, secret, quick)
    words = _write_executed(course, folder, names, executed, say)
    for module in course.modules:
        target = folder / "book" / "api" / f"{module.name}.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(api.page(course, module), encoding="utf-8")
    (folder / "words.json").write_text(json.dumps(words), encoding="utf-8")


def page_of(course: Course, page: str, chapter: str) -> str:
    """The way from one page to a chapter's, by the chapter's name."""
    module = next(m for m in course.modules if m.name == chapter)
    return _way(page, module.dev_path.removesuffix(".py")) + ".ipynb"


def _page(course: Course, name: str, secret: dict[str, str] | None, quick: bool) -> Page:
    """A file with cells as the page that it becomes."""
    file = course.root / f"{name}.py"
    module = next((m for m in course.modules if m.dev == file), None)
    runs = all(workspace.has_solutions(course, m) for m in ([module] if module else course.modules))
    if not module:
        return Page(file.stem, f"{name}.py", Chapter.read(file), runs=runs)
    told = notes.notes(course, module)
    for note in told.values():
        note["hints"] = [leaks.shortened(hint, secret or ()) for hint in note["hints"]]
    alone = not quick and derived.facts_of(module).get("measures", False)
    chapter = workspace.reference_chapter(course, module)
    facts = f"{derived.in_short(module)} [What it needs, and what you can do after it](README.md)"
    shown = secret is None and runs
    return Page(module.name, module.dev_path, chapter, told, shown, runs, alone, module.number, facts)


def _write_executed(course, folder, names, pages: dict[str, Page], say) -> dict[str, str]:
    """Write the pages that have cells, with what these gave; the descriptions of their pictures, by `_keep_words`."""
    for page in pages.values():
        if not page.runs:
            say(f"{page.path}: not run, exercises that it needs are not solved")
    given = execute.outputs(course, [page for page in pages.values() if page.runs], say)
    words: dict[str, str] = {}
    for name, page in pages.items():
        outputs = given.get(page.name)
        notebook = page.notebook(outputs, lambda text, name=name: relinked(course, names, name, text))
        if not page.runs:
            notebook["cells"].insert(1, {"cell_type": "markdown", "metadata": {}, "source": UNSOLVED})
        for output in (output for outs in outputs or [] for output in outs):
            _keep_words(output, words)
        (folder / f"{name}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    return words


def _keep_words(output: dict, words: dict[str, str]) -> None:
    """A picture's description, under the name that its file will have."""
    picture = output.get("data", {}).get("image/png")
    if picture:
        digest = hashlib.sha256(b64decode(picture)).hexdigest()
        words[digest] = output["metadata"].get("image/png", {}).get("alt", "")


def _overview(text: str) -> str:
    """A module's README, with a title that tells it from the chapter's page."""
    return re.sub(r"^# (.*)$", r"# \1: overview", text, count=1, flags=re.M)


def _edition(text: str, solutions: bool) -> str:
    """A page of the book without the marks of what is for whom."""
    return text if solutions else release.STUDENTS_PART.sub(r"\1", release.OWNERS_PART.sub("", text))


def relinked(course: Course, names: list[str], page: str, text: str) -> str:
    """Links to files of the course as links to pages; a file that is no page is named without a link."""
    code = {match.span() for match in OPEN.finditer(text)}

    def changed(match):
        if any(begin <= match.start() < end for begin, end in code) or re.match(r"[a-z]+:|#", match[2]):
            return match[0]
        path, mark, anchor = match[2].partition("#")
        target = PurePosixPath(os.path.normpath(PurePosixPath(page).parent / path)).as_posix()
        found = _page_at(course, names, target)
        return f"[{match[1]}]({_way(page, found)}{mark}{anchor})" if found else match[1]

    return LINK.sub(changed, text)


def _page_at(course: Course, names: list[str], target: str) -> str:
    """The page that a path in the course leads to, with its suffix; "" where there is none."""
    for module in course.modules:
        if target == module.directory.relative_to(course.root).as_posix():
            target = module.dev_path
    name, _, suffix = target.rpartition(".")
    if name not in names:
        return ""
    return f"{name}.ipynb" if suffix == "py" else target


def _way(page: str, target: str) -> str:
    return PurePosixPath(os.path.relpath(target, PurePosixPath(page).parent)).as_posix()
