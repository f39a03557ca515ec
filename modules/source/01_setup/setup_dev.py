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
# # Setup
#
# In this course you write a deep-learning framework: tensors, layers, derivatives, training. Each chapter ends with
# code that works, and the next chapter imports it. So before the first Tensor there is one thing to be sure of:
# that a function written in a notebook can be tested, and imported from anywhere. This chapter takes a few small
# functions the whole way, and every later chapter goes the same way.
#
# The functions are small, but they are not only for show. Relative errors, arrays in the place of loops, and the
# precision of a float will be met again and again. If you know some Python and have met NumPy's arrays, an hour is
# enough.

# %%
#| default_exp core.setup

# %% [markdown]
# ## A chapter is a file
#
# What you are reading is `setup_dev.py`, in the directory of this chapter under `modules/source`. It is a plain
# Python file, and JupyterLab opens it as a notebook. A line that begins with `# %%` starts a *cell*. There are
# cells of prose, such as this one, and cells of code. The simplest cell of code is there to show something:

# %%
print("1 + 1 is", 1 + 1)

# %% [markdown]
# A cell whose first line says `#| export` is different. The code of all such cells together becomes a Python
# module: `setup_dev.py` becomes `tinytorch/core/setup.py`, and that is imported as `tinytorch.core.setup`. The name
# is set by the line `#| default_exp core.setup` above. The module holds what was exported and nothing else: no
# prose, no demonstrations, no tests.
#
# The first exported cell imports what the functions below need.

# %%
#| export
import os
import platform
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

# %% [markdown]
# The next cell is not exported. It imports what the demonstrations and the tests use, and so the library does not
# depend on it.

# %%
import math
import time

from tinytorch.testing import check, check_raises
from tinytorch.watched import takes_one_by_one

# %% [markdown]
# ## The round of work
#
# A command called `tito` does what would otherwise be done by hand. The round is the same in every chapter:
#
# | you type | what happens |
# |---|---|
# | `tito start setup` | the answers to the exercises of this chapter are taken out of the file; a copy of the file is kept |
# | `tito jupyter` | opens JupyterLab, where you fill the exercises in; any editor will do as well |
# | `tito test setup` | runs the chapter's tests on your code; when all pass, your code becomes part of the package |
# | `tito export setup` | puts a chapter into the package on request, before it is finished |
# | `tito status` | shows which exercises of which chapters are done |
#
# Until you start a chapter, its answers stand in the file and the package holds them. So a later chapter works even
# if you have not done an earlier one, and you may begin wherever you like. When you start one, the file is yours:
# an *exercise* is a function, or a part of one, between two marks, and what stands between them is
#
# ```python
# # YOUR CODE HERE
# raise NotImplementedError("exercise relative_error")
# ```
#
# Put your code in the place of these two lines, and leave the marks where they are, for `tito` finds the exercise
# by them.

# %% [markdown]
# ## The first exercise
#
# How wrong is 9.5 if 10 is right? The difference is 0.5. That is much for a height in metres, and little for a
# distance in kilometres, so one divides by the size of the right value: an error of 0.5 in 10 is 0.05, or five in a
# hundred. This is the *relative error*, and all through the course it will tell us whether two computations agree.
#
# The text in triple quotes is the *contract*. It says what goes in, what comes out and what is refused, and it is
# enough to do the exercise. Read all of it before you write: each of its sentences has a test.

# %% nbgrader={"grade": false, "grade_id": "relative_error", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def relative_error(measured: float, exact: float) -> float:
    """Size of the error of `measured`, as a fraction of the size of `exact`.

    Parameters
    ----------
    measured, exact : float

    Returns
    -------
    float
        ``|measured - exact| / |exact|``: never negative, whatever the signs.

    Raises
    ------
    ValueError
        Where `exact` is 0. The message holds "exact is 0".
    """
    ### BEGIN SOLUTION relative_error
    if exact == 0:
        raise ValueError(
            "relative_error: exact is 0, and there is no fraction of 0.\n"
            "  Expected any other number. Compare with 0 by abs(measured)."
        )
    return abs(measured - exact) / abs(exact)
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# relative_error:
#   title: How wrong is it?
#   hints:
#     - Which values of measured and exact would make the formula negative, or fail? Begin with those.
#     - First refuse exact == 0 by raising ValueError with a message. Then return the formula. Python's abs gives the size of a number.
#     - "return abs(...) / abs(exact), with the difference of the two in the gap"
#   misconceptions:
#     - name: divides by exact, sign and all
#       says: >-
#         The error came out negative. The difference was taken without its sign, the divisor was not: divide by
#         abs(exact).
#       code: |
#         if exact == 0:
#             raise ValueError("exact is 0")
#         return abs(measured - exact) / exact
#     - name: divides by the measured value
#       says: >-
#         The difference was divided by the measured value. An error is a fraction of what is right, so divide by
#         the size of exact.
#       code: |
#         if exact == 0:
#             raise ValueError("exact is 0")
#         return abs(measured - exact) / abs(measured)
#     - name: lets Python complain
#       says: >-
#         The formula is right, but exact = 0 gives Python's ZeroDivisionError. The contract promises a ValueError
#         that says what was wrong: check exact before you divide, and raise it yourself.
#       code: |
#         return abs(measured - exact) / abs(exact)
#     - name: prints the error
#       says: >-
#         Nothing was raised for exact = 0. A function that prints a complaint and returns something lets its caller
#         go on with a wrong value. Use raise ValueError("...").
#       code: |
#         if exact == 0:
#             print("exact is 0")
#             return 0.0
#         return abs(measured - exact) / abs(exact)
#     - name: forgets to return
#       says: >-
#         The function returned None. A value that is computed and not returned is lost: put return in front of it.
#       code: |
#         if exact == 0:
#             raise ValueError("exact is 0")
#         abs(measured - exact) / abs(exact)

# %% [markdown]
# A *test* follows each exercise. `check` takes a call and the value it should have, worked out by hand;
# `check_raises` takes an error and a call that should end with it. (`lambda:` keeps the call from being made before
# `check_raises` is ready to catch the error.) Run the cell. If nothing happens, it passed.

# %% nbgrader={"grade": true, "grade_id": "test_relative_error", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_relative_error():
    check(relative_error(9.5, 10.0), 0.05)
    check(relative_error(12.0, 10.0), 0.2)
    check(relative_error(-9.0, -10.0), 0.1)
    check(relative_error(1.0, -4.0), 1.25)
    check(relative_error(10.0, 10.0), 0.0)
    check_raises(ValueError, lambda: relative_error(1.0, 0.0), "exact is 0")

test_relative_error()

# %% [markdown]
# ### Reading a failure
#
# Sooner or later a test fails, and then the failure is the best information you have. Here is one on purpose. The
# function below forgot that `exact` may be negative:

# %%
def careless(measured, exact):
    return abs(measured - exact) / exact


try:
    check(careless(9.5, 10.0), 0.05)
    check(careless(-9.0, -10.0), 0.1)
except AssertionError as failure:
    print(failure)

# %% [markdown]
# Three lines: the call, what it gave, and what was expected. The first check passed, or it would have been reported
# in place of the second. Read such a failure in this order. *Which call?* Type it into a cell of your own and see
# the same. *What differs?* Here only the sign. *Which line of the code could do that?* There is only one division.
#
# A failure of the other kind, where an error is expected and another one comes:

# %%
try:
    check_raises(ValueError, lambda: careless(1.0, 0.0), "exact is 0")
except AssertionError as failure:
    print(failure)

# %% [markdown]
# `tito test setup` shows the same lines for your code, with the file and the line to look at, and
# `tito test setup -k relative_error` runs the tests of one exercise only.
#
# ### When you are stuck
#
# Nothing you type is lost, so it costs nothing to look, or to begin again:
#
# - `tito solution setup relative_error` puts the course's answer in the place of yours.
# - `tito reset setup relative_error` brings the empty exercise back.
#
# Both keep what you had written and tell you where. With the name of an exercise they touch that exercise alone.
# Before you look at an answer, read the contract once more, and the first check that fails: together they nearly
# always say what is missing.

# %% [markdown]
# ## Refuse what is wrong, where it is wrong
#
# In a framework the value that is wrong and the line that fails can lie far apart: a size typed wrongly today is a
# strange error after an hour of training. So functions here check what they are given, at once, and their errors
# say what was wrong, what was expected, and what to do. Practise it on a record of yourself. It is for you alone:
# nothing in the course stores it or sends it anywhere.
#
# A `dataclass` writes the dull part of a class (`__init__`, `==`, printing), and `frozen=True` makes its objects
# unchangeable, so that what was checked once stays true.

# %% nbgrader={"grade": false, "grade_id": "personal_info", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
@dataclass(frozen=True)
class PersonalInfo:
    """Who works here.

    Attributes
    ----------
    name, email : str
    institution : str or None
        None where none was given.
    """

    name: str
    email: str
    institution: str | None = None


def personal_info(name: str, email: str, institution: str | None = None) -> PersonalInfo:
    """A checked `PersonalInfo`.

    Parameters
    ----------
    name : str
        Not empty.
    email : str
        With exactly one "@", something on either side of it, and no white space within.
    institution : str, optional

    Returns
    -------
    PersonalInfo
        White space around each text is taken off.

    Raises
    ------
    TypeError
        Where `name` or `email` is no text. The message holds "name has to be text", or
        "email has to be text".
    ValueError
        Where nothing is left of `name` ("name is empty"), or `email` is not of the form
        above ("email 'example.org'", with the text that was given: ``f"email {email!r}"``).

    Notes
    -----
    `text.strip()` gives the text without white space around it. `text.split("@")` gives
    the list of the parts between the "@"s, and `text.split()` the parts between white space.
    """
    ### BEGIN SOLUTION personal_info
    for field, value in (("name", name), ("email", email)):
        if not isinstance(value, str):
            raise TypeError(f"personal_info: {field} has to be text, not {value!r}. Put it in quotes.")
    name, email = name.strip(), email.strip()
    if not name:
        raise ValueError('personal_info: name is empty. Expected at least one letter, as in "Ada Lovelace".')
    parts = email.split("@")
    if len(parts) != 2 or not all(parts) or len(email.split()) != 1:
        raise ValueError(f'personal_info: email {email!r} is no address. Expected one such as "ada@example.org".')
    return PersonalInfo(name, email, institution.strip() if institution else None)
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# personal_info:
#   title: A record with a contract
#   hints:
#     - Write down one wrong argument for each sentence of the contract. Which of them would go through unnoticed if you checked nothing?
#     - Check the types of name and email first (isinstance), then strip both, then check that name is not empty and that email has two non-empty parts around its one "@" and no white space. Then build the record.
#     - "parts = email.split('@'), and the address is wrong if len(parts) != 2 or not all(parts) or len(email.split()) != 1"
#   misconceptions:
#     - name: strips without keeping the result
#       says: >-
#         The white space is still there. Python's texts cannot be changed: name.strip() makes a new text and leaves
#         name as it was. Write name = name.strip().
#       code: |
#         for field, value in (("name", name), ("email", email)):
#             if not isinstance(value, str):
#                 raise TypeError(f"{field} has to be text")
#         name.strip()
#         email.strip()
#         if not name.strip():
#             raise ValueError("name is empty")
#         parts = email.strip().split("@")
#         if len(parts) != 2 or not all(parts) or len(email.split()) != 1:
#             raise ValueError(f"email {email!r} is no address")
#         return PersonalInfo(name, email, institution.strip() if institution else None)
#     - name: any "@" will do
#       says: >-
#         An address without anything in front of its "@" was accepted. `"@" in email` asks only whether there is
#         one. Split at the "@" and look at the parts.
#       code: |
#         for field, value in (("name", name), ("email", email)):
#             if not isinstance(value, str):
#                 raise TypeError(f"{field} has to be text")
#         name, email = name.strip(), email.strip()
#         if not name:
#             raise ValueError("name is empty")
#         if "@" not in email or " " in email:
#             raise ValueError(f"email {email!r} is no address")
#         return PersonalInfo(name, email, institution.strip() if institution else None)
#     - name: no check of types
#       says: >-
#         A number as an argument failed with an AttributeError about strip, which says nothing to whoever called
#         the function. Ask isinstance(value, str) first and raise a TypeError.
#       code: |
#         name, email = name.strip(), email.strip()
#         if not name:
#             raise ValueError("name is empty")
#         parts = email.split("@")
#         if len(parts) != 2 or not all(parts) or len(email.split()) != 1:
#             raise ValueError(f"email {email!r} is no address")
#         return PersonalInfo(name, email, institution.strip() if institution else None)
#     - name: checks the name before stripping it
#       says: >-
#         A name of nothing but spaces was accepted. Strip first, then ask whether anything is left.
#       code: |
#         for field, value in (("name", name), ("email", email)):
#             if not isinstance(value, str):
#                 raise TypeError(f"{field} has to be text")
#         if not name:
#             raise ValueError("name is empty")
#         name, email = name.strip(), email.strip()
#         parts = email.split("@")
#         if len(parts) != 2 or not all(parts) or len(email.split()) != 1:
#             raise ValueError(f"email {email!r} is no address")
#         return PersonalInfo(name, email, institution.strip() if institution else None)

# %% nbgrader={"grade": true, "grade_id": "test_personal_info", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_personal_info():
    check(personal_info("Ada", "ada@example.org"), PersonalInfo("Ada", "ada@example.org", None))
    check(personal_info("Ada", "ada@example.org", "Turin").institution, "Turin")
    check(personal_info("  Grace Hopper ", "grace@example.org").name, "Grace Hopper")
    check(personal_info("Ada", " ada@example.org\n", " Turin ").email, "ada@example.org")
    check(personal_info("Ada", "ada@example.org", " Turin ").institution, "Turin")
    check_raises(ValueError, lambda: personal_info("", "ada@example.org"), "name is empty")
    check_raises(ValueError, lambda: personal_info("   ", "ada@example.org"), "name is empty")
    check_raises(ValueError, lambda: personal_info("Ada", "example.org"), "email 'example.org'")
    check_raises(ValueError, lambda: personal_info("Ada", "@example.org"), "email '@example.org'")
    check_raises(ValueError, lambda: personal_info("Ada", "ada@"), "email 'ada@'")
    check_raises(ValueError, lambda: personal_info("Ada", "ada@home@example.org"), "email")
    check_raises(ValueError, lambda: personal_info("Ada", "ada love@example.org"), "email")
    check_raises(TypeError, lambda: personal_info(1815, "ada@example.org"), "name has to be text")
    check_raises(TypeError, lambda: personal_info("Ada", None), "email has to be text")

test_personal_info()

# %% [markdown]
# ## Facts about this machine
#
# Every chapter measures something, and a time in milliseconds means little without the machine it was measured on.
# So the next function collects the facts. Its one principle is worth more than the facts: **what is not known is
# `None`.** An invented number looks just like a measured one, and whoever reads it later cannot tell them apart.
#
# One of the facts needs a helper. On Linux and macOS the system tells how many pages of memory the machine has and
# how large a page is; elsewhere Python's standard library has no function for it.

# %% nbgrader={"grade": false, "grade_id": "system_info", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
class SystemInfo(TypedDict):
    """What `system_info` returns; None stands for what is not known."""

    python_version: str
    numpy_version: str
    platform: str | None
    machine: str | None
    cpu_count: int | None
    memory_bytes: int | None


def physical_memory() -> int | None:
    """Bytes of main memory in this machine, None where the standard library cannot tell."""
    try:
        page, pages = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # no such function, no such name
        return None
    return page * pages if page > 0 and pages > 0 else None


def system_info() -> SystemInfo:
    """Facts about this machine and the Python that runs on it.

    Returns
    -------
    dict
        - "python_version": from `platform.python_version`, such as "3.12.1"
        - "numpy_version": from `np.__version__`
        - "platform": the operating system, from `platform.system`
        - "machine": the kind of processor, from `platform.machine`
        - "cpu_count": logical processors, from `os.cpu_count`
        - "memory_bytes": from `physical_memory`

        What is not known is None.

    Notes
    -----
    `platform.system` and `platform.machine` return "" for what they do not know. The other
    functions return None.
    """
    ### BEGIN SOLUTION system_info
    return {
        "python_version": platform.python_version(),
        "numpy_version": np.__version__,
        "platform": platform.system() or None,
        "machine": platform.machine() or None,
        "cpu_count": os.cpu_count(),
        "memory_bytes": physical_memory(),
    }
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# system_info:
#   title: Nothing invented
#   hints:
#     - A dictionary with six entries. Which of the functions named in the contract have a way of their own to say "unknown"?
#     - Build the dictionary with its keys in the order of the contract. For platform and machine turn an empty text into None; leave the rest as it comes.
#     - "platform.machine() or ..., with what stands for unknown in the gap: an empty text counts as false"
#   misconceptions:
#     - name: invents one processor
#       says: >-
#         Where the number of processors is unknown the result said 1. That looks like a fact. Leave None as it is,
#         and let whoever uses the number decide.
#       code: |
#         return {
#             "python_version": platform.python_version(),
#             "numpy_version": np.__version__,
#             "platform": platform.system() or None,
#             "machine": platform.machine() or None,
#             "cpu_count": os.cpu_count() or 1,
#             "memory_bytes": physical_memory(),
#         }
#     - name: passes the empty text on
#       says: >-
#         Where the kind of processor is unknown the result held an empty text. The contract has one word for
#         "unknown", None.
#       code: |
#         return {
#             "python_version": platform.python_version(),
#             "numpy_version": np.__version__,
#             "platform": platform.system(),
#             "machine": platform.machine(),
#             "cpu_count": os.cpu_count(),
#             "memory_bytes": physical_memory(),
#         }
#     - name: stores the function, not its result
#       says: >-
#         The entry holds a function, not a text. A function's name stands for the function itself; parentheses call
#         it.
#       code: |
#         return {
#             "python_version": platform.python_version,
#             "numpy_version": np.__version__,
#             "platform": platform.system,
#             "machine": platform.machine,
#             "cpu_count": os.cpu_count,
#             "memory_bytes": physical_memory,
#         }

# %% nbgrader={"grade": true, "grade_id": "test_system_info", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_system_info():
    check(system_info()["python_version"], platform.python_version())
    check(system_info()["numpy_version"], np.__version__)
    check(system_info()["machine"], platform.machine() or None)
    check(system_info()["memory_bytes"], physical_memory())
    check(sorted(system_info()), ["cpu_count", "machine", "memory_bytes", "numpy_version", "platform", "python_version"])

test_system_info()

# %% [markdown]
# How does one test what happens on a machine one does not have? By putting another function in the place of the one
# that asks the system, for as long as the test runs, and putting it back whatever happens.

# %% nbgrader={"grade": true, "grade_id": "test_system_info__unknown", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_system_info__unknown():
    def info_where_nothing_is_known():
        kept = os.cpu_count, platform.machine, platform.system
        os.cpu_count, platform.machine, platform.system = lambda: None, lambda: "", lambda: "Plan 9"
        try:
            return system_info()
        finally:
            os.cpu_count, platform.machine, platform.system = kept
    check(info_where_nothing_is_known()["platform"], "Plan 9")
    check(info_where_nothing_is_known()["machine"], None)
    check(info_where_nothing_is_known()["cpu_count"], None)

test_system_info__unknown()

# %%
for name, value in system_info().items():
    print(f"{name:15} {value}")

# %% [markdown]
# These are facts about the *machine*. A container, or a batch system, may let a program use less than all of it,
# and `os.cpu_count` does not know.
#
# ## A loop, and the same without a loop
#
# Given a thousand points, how far is each of them from a given one? In Python one writes a loop. Each round of it
# looks up names, makes objects and adds two numbers, and the adding is the smallest part of the work.

# %%
def distances_loop(points, centre):
    out = []
    for point in points:
        total = 0.0
        for p, c in zip(point, centre):
            total += (p - c) ** 2
        out.append(math.sqrt(total))
    return np.array(out)


print(distances_loop(np.array([[3.0, 4.0], [0.0, 0.0], [1.0, 0.0]]), np.array([0.0, 0.0])))

# %% [markdown]
# NumPy does the same for whole arrays: one call, and the loop runs in compiled code. The shapes tell the story.
# `points` is `(N, D)`, N points with D coordinates each, and `centre` is `(D,)`. In `points - centre`, NumPy lines
# the shapes up at the right and subtracts `centre` from every row; that is called *broadcasting*. The sum then has
# to go over the axis of the coordinates, and of that axis only.
#
# Broadcasting is also a trap. A `centre` of length 1 fits any number of coordinates, as NumPy sees it, and the
# result is a number for a question that made no sense. So the contract has a check.

# %% nbgrader={"grade": false, "grade_id": "distances", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def distances(points: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Euclidean distance of each point from `centre`, without a loop.

    Parameters
    ----------
    points : array, shape (N, D)
    centre : array, shape (D,)

    Returns
    -------
    array, shape (N,)
        The square root of the summed squares of the coordinates' differences.

    Raises
    ------
    ValueError
        Where the shape of `centre` is not (D,), with the D of `points`. The message holds
        both shapes.

    Notes
    -----
    `np.sum(x, axis=0)` sums over the rows of `x`, and `np.sum(x, axis=1)` over its columns.
    """
    ### BEGIN SOLUTION distances
    if points.shape[1:] != centre.shape:
        raise ValueError(
            f"distances: the points are {points.shape}, the centre is {centre.shape}.\n"
            "  Expected (N, D) and (D,): as many coordinates in the centre as in a point."
        )
    return np.sqrt(np.sum((points - centre) ** 2, axis=1))
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# distances:
#   title: Distances without a loop
#   hints:
#     - points is (N, D) and the result is (N,). Which axis has to go, and which function makes an axis go?
#     - Compare points.shape[1:] with centre.shape and refuse if they differ. Subtract, square, sum over the axis of the coordinates, take the root.
#     - "return np.sqrt(np.sum(..., axis=1)), with the squares of what is left when the centre is taken from every point"
#   misconceptions:
#     - name: sums over the points
#       says: >-
#         There is one number for each coordinate in place of one for each point: the sum went over axis 0, which
#         runs from point to point. The coordinates lie along axis 1.
#       code: |
#         if points.shape[1:] != centre.shape:
#             raise ValueError(f"points {points.shape}, centre {centre.shape}")
#         return np.sqrt(np.sum((points - centre) ** 2, axis=0))
#     - name: sums everything
#       says: >-
#         The result is a single number. Without an axis np.sum adds up all entries of the array. Say which axis.
#       code: |
#         if points.shape[1:] != centre.shape:
#             raise ValueError(f"points {points.shape}, centre {centre.shape}")
#         return np.sqrt(np.sum((points - centre) ** 2))
#     - name: forgets the root
#       says: >-
#         These are the squares of the distances: 25 where the distance is 5. Take the square root of the sum.
#       code: |
#         if points.shape[1:] != centre.shape:
#             raise ValueError(f"points {points.shape}, centre {centre.shape}")
#         return np.sum((points - centre) ** 2, axis=1)
#     - name: trusts broadcasting
#       says: >-
#         A centre of length 1 was accepted for points with more coordinates: NumPy stretched it. Compare the shapes
#         before you subtract.
#       code: |
#         return np.sqrt(np.sum((points - centre) ** 2, axis=1))
#     - name: a loop after all
#       says: >-
#         The values are right, but they were computed in a loop, one point or coordinate after the other. Subtract, square and
#         sum whole arrays: points - centre has all differences at once.
#       code: |
#         if points.shape[1:] != centre.shape:
#             raise ValueError(f"points {points.shape}, centre {centre.shape}")
#         return np.array([np.sqrt(np.sum((point - centre) ** 2)) for point in points])

# %% nbgrader={"grade": true, "grade_id": "test_distances", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_distances():
    points = np.array([[3.0, 4.0], [0.0, 0.0], [1.0, 0.0]])
    check(distances(points, np.array([0.0, 0.0])), [5.0, 0.0, 1.0])
    check(distances(points, np.array([0.0, 4.0])), [3.0, 4.0, math.sqrt(17.0)])
    check(distances(np.array([[1.0, 2.0, 2.0]]), np.zeros(3)), [3.0])
    check(distances(np.zeros((0, 2)), np.zeros(2)).shape, (0,))
    check_raises(ValueError, lambda: distances(points, np.zeros(1)), "(1,)")
    check_raises(ValueError, lambda: distances(points, np.zeros(3)), "(3, 2)")
    check_raises(ValueError, lambda: distances(points, np.zeros((1, 2))), "(1, 2)")
    check_raises(ValueError, lambda: distances(points, np.array(0.0)), "()")
    check(takes_one_by_one(distances, points, np.zeros(2)), False)

test_distances()

# %% [markdown]
# Do the two agree, and is it worth it? Both questions have an answer that a cell can print. We take the shortest of
# several times, because everything else that runs on the machine can only make it longer.

# %%
def seconds(call, repeat=5):
    """The shortest of `repeat` timings of `call`."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


rng = np.random.default_rng(0)
centre = rng.normal(size=8)
print(" points      loop     NumPy   ratio   largest difference")
for n in (1, 10, 1000, 20000):
    points = rng.normal(size=(n, 8))
    slow, fast = (seconds(lambda f=f, points=points: f(points, centre)) for f in (distances_loop, distances))
    difference = np.max(np.abs(distances_loop(points, centre) - distances(points, centre)))
    print(f"{n:7d} {1e6 * slow:7.0f} us {1e6 * fast:6.0f} us {slow / fast:6.1f}   {difference:.1e}")

# %% [markdown]
# A few calls of NumPy functions cost some microseconds whatever they do, so for a single point there is little to
# win, if anything. For many points the loop is left far behind, and it is the same computation. This is why the
# whole course works on batches: many examples in one call.
#
# ## Numbers with an end
#
# The last column was tiny, but not always zero, and neither function is wrong. A float has a fixed number of bits,
# and most numbers do not fit:

# %%
print("0.1 + 0.2 == 0.3 is", 0.1 + 0.2 == 0.3)
print(f"0.1 + 0.2 is {0.1 + 0.2!r}, a relative error of {relative_error(0.1 + 0.2, 0.3):.1e}")

# %% [markdown]
# As 1/3 has no end in decimal digits, 0.1 has none in binary ones, and it is cut off. So floats are compared within
# a tolerance, as `check` does, and never by `==`.
#
# Deep learning computes in `float32`, with half the bits of Python's floats: half the memory to move, and still
# enough precision, for a reason that the next chapter gives. How precise is that? The *machine epsilon* answers. It
# is the distance from 1 to the next larger number of the type. Below it, adding to 1 changes nothing:

# %%
one = np.float32(1)
for step in (1e-6, 1e-7, 1e-8):
    print(f"1 + {step:.0e} > 1 in float32: {one + np.float32(step) > one}")

# %% nbgrader={"grade": false, "grade_id": "machine_epsilon", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def machine_epsilon(dtype: type) -> float:
    """Distance from 1 to the next larger number of a floating-point type.

    Parameters
    ----------
    dtype : NumPy type
        Such as ``np.float32``.

    Returns
    -------
    float
        The smallest power of two e for which ``1 + e > 1`` in that type.

    Raises
    ------
    TypeError
        Where `dtype` is no floating-point type.

    Notes
    -----
    Begin with 1 and halve. `dtype(1)` is the number 1 of the type; what is computed of numbers of
    one type stays in that type. NumPy has functions that know the answer, such as `np.finfo`; they are
    asked afterwards, to see whether the loop was right.
    """
    dtype = np.dtype(dtype).type
    if not issubclass(dtype, np.floating):
        raise TypeError(f"machine_epsilon: {dtype.__name__} is no floating-point type. Try np.float32.")
    ### BEGIN SOLUTION machine_epsilon
    one, epsilon = dtype(1), dtype(1)
    while one + epsilon / dtype(2) > one:
        epsilon = epsilon / dtype(2)
    return float(epsilon)
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# machine_epsilon:
#   title: The step after one
#   hints:
#     - When you have an epsilon for which 1 + epsilon > 1 still holds, how do you know that it is the smallest?
#     - Begin with epsilon = dtype(1). As long as one half of it still makes a difference to 1, halve it. All numbers that take part have to be of the type.
#     - "while one + ... > one, with half of epsilon in the gap; in the loop that half becomes epsilon"
#   misconceptions:
#     - name: halves once too often
#       says: >-
#         The result is half of what it should be: the loop stopped after the first epsilon that no longer made a
#         difference, and returned that. Ask about epsilon / 2 before you halve.
#       code: |
#         one, epsilon = dtype(1), dtype(1)
#         while one + epsilon > one:
#             epsilon = epsilon / dtype(2)
#         return float(epsilon)
#     - name: computes in Python's floats
#       says: >-
#         Every type gave the same result, about 2e-16. That is the epsilon of Python's own 64-bit floats, in which
#         this was computed. Make the numbers with dtype(...).
#       code: |
#         epsilon = 1.0
#         while 1.0 + epsilon / 2 > 1.0:
#             epsilon = epsilon / 2
#         return epsilon
#     - name: asks NumPy
#       says: >-
#         The values are right, but NumPy was asked for them. Here you find out for yourself, so that the next cell can compare the
#         two: begin with dtype(1), and halve as long as the half still makes a difference to 1.
#       code: |
#         return float(np.finfo(dtype).eps)

# %% nbgrader={"grade": true, "grade_id": "test_machine_epsilon", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_machine_epsilon():
    check(machine_epsilon(np.float16), 2.0**-10, atol=0)
    check(machine_epsilon(np.float32), 2.0**-23, atol=0)
    check(machine_epsilon(np.float64), 2.0**-52, atol=0)
    check(type(machine_epsilon(np.float32)) is float, True)
    check_raises(TypeError, lambda: machine_epsilon(np.int32), "int32")

    def asks_numpy(dtype):
        """Whether NumPy is asked what there is to find out."""
        asked, kept = [], (np.finfo, np.nextafter, np.spacing)
        np.finfo, np.nextafter, np.spacing = (lambda *a, f=f, **o: asked.append(f) or f(*a, **o) for f in kept)
        try:
            machine_epsilon(dtype)
        finally:
            np.finfo, np.nextafter, np.spacing = kept
        return bool(asked)

    check(asks_numpy(np.float32), False)

test_machine_epsilon()

# %% [markdown]
# NumPy knows these constants, in `np.finfo`, and gives us the right to trust the loop:

# %%
for dtype in (np.float16, np.float32, np.float64):
    ours, theirs = machine_epsilon(dtype), np.finfo(dtype).eps
    print(f"{dtype.__name__}  epsilon {ours:.2e}  NumPy {theirs:.2e}  about {-math.log10(ours):.0f} decimal digits")

# %% [markdown]
# Epsilon is the gap at 1. Floats keep a fixed number of *digits*, not of decimal places, so further out the gap is
# wider in proportion. A picture shows it over the whole range:

# %%
import matplotlib.pyplot as plt

_, ax = plt.subplots(figsize=(7, 4))
for dtype, style, top in ((np.float16, "o-", 4), (np.float32, "s--", 12), (np.float64, "^:", 12)):
    sizes = 10.0 ** np.arange(-4, top + 1)
    gaps = np.spacing(sizes.astype(dtype)).astype(np.float64)
    ax.loglog(sizes, gaps, style, markersize=4)
    ax.annotate(dtype.__name__, (sizes[-1], gaps[-1]), textcoords="offset points", xytext=(6, -3))
ax.axhline(1.0, color="0.6", linewidth=1)
ax.text(2e14, 0.4, "above this line,\nadding 1 is rounded", ha="right", va="top", color="0.35")
ax.set(xlabel="a number", ylabel="distance to the next larger number", xlim=(5e-5, 3e14))
ax.set_title("The gap between neighbouring floats grows with the number")
plt.show()

# %% [markdown]
# Where a line crosses the grey one, whole numbers begin to be lost. For `float32` that happens between ten and a
# hundred million, and it is easily met, by a counter, or by a long sum. The next cell adds ten million times 0.1.
# `np.cumsum` adds one after the other, as a loop would; `np.sum` adds in blocks and then the blocks, so that the
# numbers it adds are of like size.

# %%
print("16777216 + 1 in float32 is", int(np.float32(16777216) + np.float32(1)))

tenths = np.full(10_000_000, 0.1, dtype=np.float32)
exact = tenths.size * float(tenths[0])
for name, total in (
    ("one after the other, float32", np.cumsum(tenths)[-1]),
    ("in blocks, float32", np.sum(tenths)),
    ("in blocks, float64", np.sum(tenths, dtype=np.float64)),
):
    print(f"{name:30} {total:12.1f}   relative error {relative_error(float(total), exact):.0e}")

# %% [markdown]
# The same ten million numbers, and one of the sums is off by several percent: once the total is large, the gap
# around it is no longer small beside 0.1, and each addition is rounded, always in the same direction. No line of
# code is wrong there. Keep it in mind when two computations that *should* agree do not: first look at the relative
# error, then at the type, and only then for a mistake.
#
# ## Where next
#
# You have gone the whole round: a contract, code, a test, a failure read, and a module that
# `import tinytorch.core.setup` finds. The tensor chapter is next. It builds the array that everything else stands
# on.
#
# Some things to try, in cells of your own (they do not disturb `tito`):
#
# - Write `relative_error` for arrays: the largest relative error of any entry. What should it say of entries where
#   `exact` is 0? Look at how `check` in `tinytorch/testing.py` solves that with two tolerances.
# - Add the numbers of `tenths` in `float32` in pairs, then the pairs in pairs, until one is left. How far off is
#   it?
# - `distances` makes an array of shape `(N, D)` on its way. Can you avoid it, from `(p - c)² = p² - 2pc + c²`?
#   Compare the results in `float32` for points that lie close together and far from the origin, and say which of
#   the two you would ship.
