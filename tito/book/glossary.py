"""The glossary: the course's key concepts, each with the chapter that defines it, from book/glossary.yaml."""

from __future__ import annotations

from collections.abc import Callable

from tito.course import Course


def page(course: Course, page_of: Callable[[str], str]) -> str:
    """The glossary as MyST; `page_of` gives the path of a chapter's page.

    Terms of chapters that this course does not hold are left out.
    """
    known = terms(course)
    names = {entry["term"] for entry in known}
    titles = {module.name: module.title for module in course.modules}
    lines = ["# Glossary", "", "The words of the course, each with the chapter that builds what it names.", ""]
    lines += ["```{glossary}"]
    for entry in known:
        see = [f"{{term}}`{other}`" for other in entry.get("see", ()) if other in names]
        beside = f" See also {', '.join(see)}." if see else ""
        chapter = f"[{titles[entry['chapter']]}]({page_of(entry['chapter'])})"
        lines += [entry["term"], f"  {entry['means']}{beside} {chapter}", ""]
    return "\n".join([*lines[:-1], "```", ""])


def terms(course: Course) -> list[dict]:
    """The terms of the chapters that are there, in order."""
    import yaml

    found = yaml.safe_load((course.root / "book" / "glossary.yaml").read_text(encoding="utf-8"))
    names = {module.name for module in course.modules}
    return [entry for entry in found if entry["chapter"] in names]
