"""How a chapter's cells are shown."""

import json
from dataclasses import replace

import pytest

from tito import release
from tito.book import contents, links, stage
from tito.book.cells import Page, dressed
from tito.chapter import Chapter
from tito.course import Course
from tito.files import read

COURSE = Course.find()
CONTENTS = read(COURSE.root / "_toc.yml")
TEXT = '''# %% [markdown]
# # Toy

# %%
#| default_exp core.toy

# %%
#| export
import math

# %% nbgrader={"grade": false, "grade_id": "double", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def double(x):
    """Twice x."""
    ### BEGIN SOLUTION double
    return 2 * x
    ### END SOLUTION

# %% [raw] tags=["exercise"]
# double:
#   title: Twice
#   hints: [How often?, Plan., Line.]
#   misconceptions: []

# %% nbgrader={"grade": true, "grade_id": "test_double", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_double():
    assert double(2) == 4
    ### BEGIN HIDDEN TESTS
    assert double(7) == 14
    ### END HIDDEN TESTS

test_double()

# %%
double(3)
'''


def page(solutions=True):
    chapter = Chapter("toy_dev.py", TEXT)
    return Page("toy", "toy_dev.py", chapter, chapter.notes(), solutions)


def test_an_exercise_is_blank_and_its_hints_and_solution_follow():
    cells = page().notebook(None)["cells"]
    sources = [cell["source"] for cell in cells]
    assert [s.partition("\n")[0] for s in sources if "dropdown" in s] == [f":::::{{dropdown}} Hint {i}" for i in (1, 2, 3)]
    exercise = next(i for i, cell in enumerate(cells) if "exercise" in cell["metadata"].get("tags", []))
    assert "Exercise: Twice" in sources[exercise - 1] and "2 points" in sources[exercise - 1]
    assert "YOUR CODE HERE" in sources[exercise] and "return 2 * x" not in sources[exercise]
    solution = next(cell for cell in cells if cell["source"] == "return 2 * x")
    assert solution["metadata"]["tags"] == ["hide-input"]
    assert solution["metadata"]["mystnb"]["code_prompt_show"] == "A solution of Twice"


def test_a_chapters_number_is_its_directorys():
    cells = replace(page(), number=7).notebook(None)["cells"]
    assert cells[0]["source"] == "# 7. Toy"
    assert page().notebook(None)["cells"][0]["source"] == "# Toy"


def test_what_a_chapter_asks_for_stands_below_its_title():
    cells = replace(page(), number=7, facts="One hour.").notebook(None)["cells"]
    assert cells[0]["source"] == "# 7. Toy\n\nOne hour."


@pytest.mark.parametrize(
    "hint, shown",
    [
        ("Which number is it?", "Which number is it?"),
        ("np.log1p(np.exp(-abs(x)))", "`np.log1p(np.exp(-abs(x)))`"),
        ("x=lambda g, y: g @ mT(y)", "`x=lambda g, y: g @ mT(y)`"),
        ("f(x, axis=...), with the axis in the gap", "`f(x, axis=...)`, with the axis in the gap"),
        ("Sum over the axes, then reshape.", "Sum over the axes, then reshape."),
        ("for a, b in zip(...), with both in the gap", "`for a, b in zip(...)`, with both in the gap"),
        ("u = x * x; u *= 2; then add", "`u = x * x; u *= 2`; then add"),
    ],
)
def test_the_code_of_a_hint_is_set_as_code(hint, shown):
    assert dressed(hint) == shown


def test_the_students_book_holds_no_solution():
    assert "2 * x" not in json.dumps(page(solutions=False).notebook(None))


def test_the_students_book_has_no_page_of_the_instructor():
    students = contents.pages(release.pages_for_students(CONTENTS))
    gone = {name.rpartition(".")[0] for name in release.NOT_FOR_STUDENTS}
    assert gone < set(contents.pages(CONTENTS)) and students == [n for n in contents.pages(CONTENTS) if n not in gone]
    text = "as [the guide](instructors.md) says, and [the glossary](glossary.md)"
    assert stage.relinked(COURSE, students, "book/intro", text) == "as the guide says, and [the glossary](glossary.md)"


def test_marks_directives_notes_and_held_back_checks_are_not_shown():
    text = json.dumps(page().notebook(None))
    assert not [mark for mark in ("#|", "BEGIN", "misconceptions", "nbgrader", "double(7)") if mark in text]


def test_tests_are_folded_and_outputs_stand_where_they_were_given():
    given = [[], [], [], [], [{"output_type": "execute_result", "data": {"image/svg+xml": "<svg/>"}, "metadata": {}}]]
    shown = page()
    assert len(given) == len(shown.code)
    cells = shown.notebook(given)["cells"]
    assert cells[-1]["outputs"][0]["data"] == {"text/html": '<div class="drawing"><svg/></div>'}
    assert cells[-2]["metadata"]["mystnb"]["code_prompt_show"] == "Check yourself: Twice (2 points)"


def test_links_lead_to_pages():
    module = COURSE.module("autograd")
    readme = f"{module.directory.relative_to(COURSE.root).as_posix()}/README"
    names = contents.pages(CONTENTS)
    text = f"[a](../{COURSE.module('training').id}/) [b](../../../LICENSE) [c](#here) [d](https://a.example) `[e](../f)`"
    changed = stage.relinked(COURSE, names, readme, text)
    way = COURSE.module("training").dev_path.removeprefix("modules/source/").replace(".py", ".ipynb")
    assert changed.startswith(f"[a](../{way}) b [c](#here) [d](https://a.example)")


def test_contents_name_every_page():
    assert contents.missing(COURSE) == []
    names = contents.pages(CONTENTS)
    assert [m.dev_path.removesuffix(".py") for m in COURSE.modules] == [n for n in names if n.endswith("_dev")]


def test_dead_links_and_foreign_files_are_found(tmp_path):
    (tmp_path / "b.html").write_text('<p id="here"></p>')
    (tmp_path / "a.html").write_text(
        '<a href="b.html#here">1</a><a href="b.html#gone">2</a><a href="c.html">3</a><img src="d.png" alt="x">'
        '<script src="https://cdn.example/x.js"></script><img src="data:image/png;base64,AA" alt=""><a href="https://a.example">4</a>'
    )
    wrong = links.dead(tmp_path)
    assert len(wrong) == 5, wrong
    for part in ("b.html#gone", "c.html", "d.png, which", "cdn.example/x.js from elsewhere", "without words"):
        assert sum(part in line for line in wrong) == 1, part
