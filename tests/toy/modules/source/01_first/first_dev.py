# ---
# jupyter:
#   jupytext:
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # First
#
# A chapter for the tests of the pipeline.

# %%
#| default_exp core.first

# %%
#| export
from __future__ import annotations

import numpy as np

# %%
from tinytorch.testing import check, check_raises

# %% [markdown]
# Doubling adds a thing to itself: `double(2)` is 4.

# %% nbgrader={"grade": false, "grade_id": "double", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def double(x):
    """Twice `x`, a number or an array."""
    ### BEGIN SOLUTION double
    if isinstance(x, str):
        raise TypeError("double: x is a str, a number was expected.")
    return x + x
    ### END SOLUTION

# %% [raw] tags=["exercise"]
# double:
#   title: Twice
#   hints:
#     - What do you get when you add a thing to itself?
#     - Refuse text first, then add.
#     - return x + x
#   misconceptions:
#     - name: squares
#       says: >-
#         You multiplied x by itself.
#       code: |
#         if isinstance(x, str):
#             raise TypeError("double: x is a str, a number was expected.")
#         return x * x

# %% nbgrader={"grade": true, "grade_id": "test_double", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_double():
    check(double(3), 6)
    check(double(np.ones(2)), [2.0, 2.0])

test_double()

# %% nbgrader={"grade": true, "grade_id": "test_double__text", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_double_text():
    check_raises(TypeError, lambda: double("a"), "str")

test_double_text()

# %% [markdown]
# It works on what it made, too:

# %%
print(double(double(1)))

# %% nbgrader={"grade": false, "grade_id": "Box", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export


class Box:
    """Holds a value."""

    def __init__(self, value):
        self.value = value

    def doubled(self):
        """Twice the value."""
        ### BEGIN SOLUTION Box_doubled
        return double(self.value)
        ### END SOLUTION

    def text(self):
        """The value as text."""
        ### BEGIN SOLUTION Box_text
        return str(self.value)
        ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "test_Box_doubled", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_box_doubled():
    box = Box(2)
    check(box.doubled(), 4)

test_box_doubled()

# %% nbgrader={"grade": true, "grade_id": "test_Box_text", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_box_text():
    check(Box(2).text(), "2")

test_box_text()

# %% nbgrader={"grade": true, "grade_id": "test_first", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_first():
    check(Box(double(1)).value, 2)

test_first()
