"""The bibliography: who is cited, and where, from book/references.yaml and the texts that cite."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tito.course import Course
from tito.derived import current

# Before a citation's year stands a name or "et al.", unlike before other numbers, or the year stands in brackets.
YEAR = r"(?:1[89]|20)\d\d(?![\d,.]\d|\d)"
SUSPECT = re.compile(rf"(?:\b[A-Z][\w’'-]+,?|\bal\.,?) \(?(?P<year>{YEAR})|\w \((?P<bracketed>{YEAR})[),]")
FAR = 250  # characters from the first author to the year, at most


def page(course: Course, page_of: Callable[[str], str]) -> str:
    """The bibliography as MyST; `page_of` gives the path of a chapter's page.

    An entry that nothing in this course cites, as in an edition without some chapters, is left out.
    """
    cites = citations(course)
    lines = ["# Bibliography", "", "What the chapters cite, and where.", ""]
    for entry in entries(course):
        places = [
            f"[{module.title}]({page_of(module.name)})"
            for module in course.modules
            if shown_as(entry) in cites.get(module.name, ())
        ]
        places += [f"`tito demo {name}`" for name in demos(course) if shown_as(entry) in cites[f"demo {name}"]]
        if places:
            lines.append(f"- {line(entry)}\n  {', '.join(places)}")
    return "\n".join(lines) + "\n"


def entries(course: Course) -> list[dict]:
    """By author and year."""
    import yaml

    found = yaml.safe_load(current(course.root / "book" / "references.yaml"))
    return sorted(found, key=lambda entry: ([surname(a).lower() for a in entry["authors"]], entry["year"]))


def line(entry: dict) -> str:
    """An entry as it is printed, without the places that cite it."""
    who = listed(entry["authors"], "and")
    return f"{who} ({entry['year']}). *{escaped(entry['title'])}*. {escaped(entry['where'])}."


def shown_as(entry: dict) -> str:
    """How an entry is cited, in its longest form: `Ba, Kiros & Hinton 2016`."""
    return f"{forms(entry)[-1]} {entry['year']}"


def forms(entry: dict) -> list[str]:
    """The authors as a text may name them; with three or more, the first one and "et al." too."""
    names = [surname(author) for author in entry["authors"] if author != "others"]
    short = [f"{names[0]} et al."] if len(entry["authors"]) > 2 or "others" in entry["authors"] else []
    return short + ([listed(names, "&")] if "others" not in entry["authors"] else [])


def surname(author: str) -> str:
    """Without the initials: `R. A. van de Geijn` is van de Geijn."""
    return re.sub(r"^(?:[\w-]+\. ?)+", "", author)


def listed(names: list[str], word: str) -> str:
    return f" {word} ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def citations(course: Course) -> dict[str, set[str]]:
    """For every chapter and demo, the entries that it cites, as `shown_as` writes them."""
    known = entries(course)
    return {name: {shown_as(e) for e in cited(text, known).values()} for name, text in sources(course).items()}


def cited(text: str, known: list[dict]) -> dict[int, dict]:
    """Where the year of a citation stands, and the entry that is meant."""
    found = {}
    for year in re.finditer(rf"\b{YEAR}", text):
        before = text[max(0, year.start() - FAR) : year.end()]
        for entry in known:
            if str(entry["year"]) == year[0] and re.search(pattern(entry), before):
                found[year.start()] = entry
    return found


def pattern(entry: dict) -> str:
    """The end of a text that cites an entry.

    `Holm 1979`, `Smith (2017)`, `McNemar's (1947)`, or with the title, `Sculley et al., Hidden Technical Debt (2015)`.
    """
    title = re.escape(entry["title"].split(":")[0])
    who = "|".join(re.escape(form) for form in forms(entry))
    return rf"(?<![\w-])(?:{who})(?:[’']s(?: [a-z]+)?|, {title})? \(?{entry['year']}$"


def unknown(text: str, known: list[dict]) -> list[str]:
    """What looks like a citation and is of no known entry."""
    places = cited(text, known)
    return [
        text[max(0, m.start() - 40) : m.end()] for m in SUSPECT.finditer(text) if m.start(m.lastgroup) not in places
    ]


def sources(course: Course) -> dict[str, str]:
    """The texts that cite, each in one line: a chapter with its README, a demo."""
    found = {m.name: m.chapter.text + current(m.directory / "README.md") for m in course.modules}
    found |= {f"demo {name}": current(demo) for name, demo in demos(course).items()}
    return {name: re.sub(r"\s*\n\s*(?:# )?\s*", " ", text) for name, text in found.items()}


def demos(course: Course) -> dict[str, Path]:
    files = sorted((course.root / "tito" / "demos").glob("*.py"))
    return {file.stem: file for file in files if file.stem != "__init__"}


def escaped(text: str) -> str:
    """Plain text, with what MyST would take for marks written out."""
    return re.sub(r"([\\`*_\[\]<>])", r"\\\1", text)
