"""The glossary is in order, and its terms are the chapters' own."""

import re

import pytest
import yaml

from tito.book import glossary
from tito.course import Course

COURSE = Course.find()
TERMS = yaml.safe_load((COURSE.root / "book" / "glossary.yaml").read_text(encoding="utf-8"))
NAMES = [entry["term"] for entry in TERMS]
TEXTS = {
    m.name: re.sub(r"\s*\n\s*#? ?", " ", m.chapter.text + (m.directory / "README.md").read_text(encoding="utf-8"))
    for m in COURSE.modules
}
MEASURED = re.compile(r"\d+(?:\.\d+)?\s*(?:%|[munk]?s\b|seconds|minutes|[KMG]B|bytes|times|[GM]?flops)|\d{2,}")


def test_sorted_and_each_once():
    assert sorted(set(NAMES), key=str.lower) == NAMES
    assert 60 <= len(NAMES) <= 100


def test_entries_are_whole():
    for entry in TERMS:
        assert {"term", "chapter", "means"} <= set(entry) <= {"term", "chapter", "means", "see"}, entry["term"]
        assert entry["means"].endswith(".") and "  " not in entry["means"], entry["term"]
        assert entry["means"].count(". ") <= 1, f"{entry['term']}: more than two sentences"
        assert set(entry.get("see", ())) <= set(NAMES) - {entry["term"]}, entry["term"]


@pytest.mark.parametrize("entry", TERMS, ids=NAMES)
def test_the_chapter_uses_the_term(entry):
    assert re.search(rf"\b{stem(entry['term'])}", TEXTS[entry["chapter"]], re.I)


def stem(term):
    """The term as a pattern, without an ending in which chapters may write it otherwise."""
    words = [re.escape(re.sub(r"(?:ing|ation|s)$", "", word)) for word in term.split()]
    return r"[\w-]* ".join(words)


def test_no_definition_tells_what_a_machine_measured():
    assert [entry["term"] for entry in TERMS if MEASURED.search(entry["means"])] == []
    assert MEASURED.search("takes 3 ms") and MEASURED.search("98% of them") and MEASURED.search("1437 digits")


def test_the_page():
    page = glossary.page(COURSE, lambda name: f"to/{name}.html")
    assert page.count("](to/") == len(TERMS)
    assert "\nleaf\n  A value in a graph" in page and "See also {term}`node`. [Autograd](to/autograd.html)" in page
