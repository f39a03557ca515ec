"""Two changed versions of a chapter, merged with the one they came from."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tito.chapter import Chapter
from tito.merge import REST, Conflict, beside, merge
from tito.workspace import blanked

TOY = Path(__file__).resolve().parents[1] / "toy" / "modules" / "source" / "01_first" / "first_dev.py"
BASE = blanked(Chapter.read(TOY))
BLANK = '    # YOUR CODE HERE\n    raise NotImplementedError("exercise double")\n'
TEXT_BLANK = '        # YOUR CODE HERE\n        raise NotImplementedError("exercise Box_text")\n'
CELL = "# %%\nmine = 1\n"
CHANGES = {
    "an exercise": (BLANK, "    return x + x\n"),
    "another exercise": (TEXT_BLANK, "        return 'text'\n"),
    "prose": ("# Doubling adds", "# Doubling, which is not squaring, adds"),
    "a docstring": ('"""The value as text."""', '"""The value as a text."""'),
    "a test": ("check(double(3), 6)", "check(double(4), 8)"),
    "a cell of one's own": ("# %% [markdown]\n# Doubling", f"{CELL}\n# %% [markdown]\n# Doubling"),
    "a cell at the end": (BASE[-20:], BASE[-20:] + "\n# %%\nlast = 1\n"),
    "a cell less": ("# %%\nprint(double(double(1)))\n\n", ""),
    "imports": ("import numpy as np\n", "import numpy as np\nimport math\n"),
}


def change(text, *names):
    for name in names:
        old, new = CHANGES[name]
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


@given(mine=st.sets(st.sampled_from(sorted(CHANGES))), theirs=st.sets(st.sampled_from(sorted(CHANGES))))
def test_changes_of_both_sides_are_there(mine, theirs):
    """Whoever made them, and also where both made the same."""
    merged, conflicts = merge(BASE, change(BASE, *sorted(mine)), change(BASE, *sorted(theirs)))
    assert not conflicts and merged == change(BASE, *sorted(mine | theirs))


@pytest.mark.parametrize("old, new, name", [(BLANK, "    return {}\n", "double"), ("adds a thing", "adds {}", REST)])
def test_both_changed_the_same(old, new, name):
    ours, theirs = (BASE.replace(old, new.format(value)) for value in (1, 2))
    merged, [conflict] = merge(BASE, ours, theirs)
    assert merged == ours and conflict.name == name and "1" in conflict.ours and "2" in conflict.theirs
    for side, text in (("ours", ours), ("theirs", theirs)):
        assert merge(BASE, ours, theirs, lambda n, side=side: side if n == name else "") == (text, [])


def test_one_conflict_leaves_the_rest_merged():
    ours = change(BASE.replace(BLANK, "    return 1\n"), "prose")
    theirs = change(BASE.replace(BLANK, "    return 2\n"), "another exercise", "a test")
    merged, [conflict] = merge(BASE, ours, theirs)
    assert conflict == Conflict(
        "double", "".join(line[4:] for line in BLANK.splitlines(True)), "return 1\n", "return 2\n"
    )
    assert merged == change(BASE.replace(BLANK, "    return 1\n"), "prose", "another exercise", "a test")


def test_both_add_cells_at_one_place():
    at = "# %% [markdown]\n# Doubling"
    merged, conflicts = merge(
        BASE, BASE.replace(at, f"# %%\none = 1\n\n{at}"), BASE.replace(at, f"# %%\ntwo = 2\n\n{at}")
    )
    assert not conflicts and merged == BASE.replace(at, f"# %%\ntwo = 2\n\n# %%\none = 1\n\n{at}")


def test_an_exercise_that_is_indented_anew():
    theirs = BASE.replace("    ### BEGIN SOLUTION double\n" + BLANK + "    ### END SOLUTION", "    if True:\n        "
                          "### BEGIN SOLUTION double\n        pass\n        ### END SOLUTION")  # fmt: skip
    merged, conflicts = merge(BASE, change(BASE, "an exercise"), theirs, pick=lambda name, b, o, t: o)
    assert not conflicts and "        ### BEGIN SOLUTION double\n        return x + x\n" in merged


def test_an_exercise_that_one_side_took_away():
    """What was written there is shown, not dropped."""
    cell = BASE[
        BASE.index('# %% nbgrader={"grade": false, "grade_id": "double"') : BASE.index('# %% nbgrader={"grade": true')
    ]
    merged, conflicts = merge(BASE, change(BASE, "an exercise"), BASE.replace(cell, ""))
    assert "return x + x" in merged and [c.name for c in conflicts] == [REST]


def test_an_exercise_copied_by_the_student():
    ours = (
        change(BASE, "an exercise")
        + "\n# %%\ndef double2(x):\n    ### BEGIN SOLUTION double\n    return 7\n    ### END SOLUTION\n"
    )
    merged, conflicts = merge(BASE, ours, change(BASE, "prose"))
    assert not conflicts and merged == change(ours, "prose")


def test_side_by_side():
    shown = beside("same\nmine, a line that is too long for it\n", "same\n", ("yours", "theirs"), 43)
    assert shown.splitlines() == [
        "yours                  theirs",
        "--------------------   --------------------",
        "same                   same",
        "mine, a line that is |",
        " too long for it     |",
    ]
