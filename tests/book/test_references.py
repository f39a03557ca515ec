"""The bibliography holds what the chapters cite, and nothing else."""

import re

import pytest

from tito.book import references
from tito.course import Course

COURSE = Course.find()
ENTRIES = references.entries(COURSE)


@pytest.mark.parametrize("name, text", references.sources(COURSE).items(), ids=list(references.sources(COURSE)))
def test_every_citation_has_its_entry(name, text):
    assert references.unknown(text, ENTRIES) == []


def test_every_entry_is_cited():
    cited = set().union(*references.citations(COURSE).values())
    assert [references.shown_as(e) for e in ENTRIES if references.shown_as(e) not in cited] == []


def test_no_citation_means_two_entries():
    forms = [f"{form} {entry['year']}" for entry in ENTRIES for form in references.forms(entry)]
    assert sorted(set(forms)) == sorted(forms)


def test_the_facts_have_their_form():
    for entry in ENTRIES:
        assert set(entry) == {"authors", "year", "title", "where"}, entry
        assert all(re.fullmatch(r"(?:[A-Z][\w-]*\. )+\w[\w' -]+|others|Student", a) for a in entry["authors"]), entry
        assert 1900 <= entry["year"] <= 2026 and not re.search(r"\bet al\b|\.$", entry["title"] + entry["where"])


CITED = [
    ("averages (Kingma & Ba 2015) the", "Kingma & Ba 2015"),
    ("Smith (2017) does it in one", "Smith 2017"),
    ("is McNemar's (1947), in its", "McNemar 1947"),
    ("Rosenblatt's perceptron (1958). It", "Rosenblatt 1958"),
    ("(Ba, Kiros & Hinton 2016)", "Ba, Kiros & Hinton 2016"),
    ("(Ba et al. 2016)", "Ba, Kiros & Hinton 2016"),
    ("Goto & van de Geijn (2008) described", "Goto & van de Geijn 2008"),
    ("Sculley et al., Hidden Technical Debt in Machine Learning Systems (2015).", "Sculley et al. 2015"),
    ("Günnemann & Lipton, Failing Loudly (2019)", None),  # only with all of its authors
    ("Rabanser, Günnemann & Lipton, Failing Loudly (2019)", "Rabanser, Günnemann & Lipton 2019"),
    ("(Smith & Topin 2018)", "Smith & Topin 2018"),
]


@pytest.mark.parametrize("text, entry", CITED)
def test_the_check_itself(text, entry):
    found = [references.shown_as(e) for e in ENTRIES if references.cited(text, [e])]
    assert found == ([entry] if entry else [])
    assert bool(references.unknown(text, ENTRIES)) == (entry is None)
    assert references.unknown("(Nobody & Noone 2019), then Somebody et al. (2020)", ENTRIES)
    assert references.unknown("features (1797, 64), range(10, 2000), 1,797 digits, about 2000 steps", ENTRIES) == []


def test_the_page():
    page = references.page(COURSE, lambda name: f"to/{name}.html")
    assert len(re.findall(r"^- ", page, re.M)) == len(ENTRIES)
    assert re.search(
        r"^- D\. P\. Kingma and J\. Ba \(2015\)\. .*\n  \[Optimizers\]\(to/optimizers\.html\)$", page, re.M
    )
    assert "`tito demo cnn`" in page
