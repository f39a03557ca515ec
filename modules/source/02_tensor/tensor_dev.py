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
# # Tensor
#
# A network is a long expression over arrays: pictures in, class scores out, and a few hundred thousand numbers in
# between that training adjusts. NumPy computes such an expression well, and then forgets how. It returns the result and
# nothing else, so the question that training asks, *how does this result change when I nudge that number?*, can no
# longer be answered.
#
# A `Tensor` is an array in a class of our own. It computes nothing that NumPy does not compute. What it adds is one
# place through which every operation passes. In this chapter that place only unwraps arrays and wraps results. In the
# autograd chapter it will also remember, and then everything built on top of it learns to differentiate without a
# changed line. So the class is small, and the care goes into that one place, and into what a reader expects of an
# array: types, shapes, broadcasting, indexing, and good errors.

# %%
#| default_exp core.tensor

# %%
#| export
from functools import update_wrapper

import numpy as np

# %%
from tinytorch.testing import check, check_raises
from tinytorch.timing import seconds

# %% [markdown]
# ## What goes in: numbers become arrays
#
# `Tensor(3.0)`, `Tensor([[1, 2], [3, 4]])` and `Tensor(np.eye(3))` should all work, and each has to choose a *dtype*,
# the type that all entries of an array share. NumPy would make `3.0` a 64-bit float, because Python's floats have 64
# bits. Deep learning computes in 32 bits: half the memory, twice the arithmetic per instruction, and more precision
# than noisy gradients can use. So the rule, the same as PyTorch's, is:
#
# - whatever carries a dtype already (an array, a NumPy number, a Tensor) keeps it;
# - Python floats, and lists of them, become `float32`, also next to Tensors in one list, unless one of these is float64;
# - Python integers and booleans become what NumPy makes of them, `int64` and `bool`.
#
# A single number is kept as a NumPy scalar, not as an array without axes. The two look alike, but arithmetic on the
# scalar is several times faster. (`seconds` is the course's stopwatch: the fastest of five timings of a call.)

# %%
scalar, zero_dim = np.float32(2), np.array(2, dtype=np.float32)
print(f"scalar * scalar        {1e9 * seconds(lambda: scalar * scalar, number=2000):5.0f} ns")
print(f"0-d array * 0-d array  {1e9 * seconds(lambda: zero_dim * zero_dim, number=2000):5.0f} ns")

# %% [markdown]
# Some helpers come with the exercise. `carries_dtype` looks for a dtype among the entries of nested lists, `unboxed`
# makes a scalar of an array without axes, and `explain_data` turns NumPy's complaint about lists of unequal length into
# a sentence that names the row.

# %%
#| export
def carries_dtype(data, dtype=None) -> bool:
    """Whether `data`, or an entry of nested lists, has a dtype of its own; where `dtype` is given, this one."""
    if isinstance(data, (list, tuple)):
        return not {*map(type, data)} <= PYTHON and any(carries_dtype(x, dtype) for x in data)
    return hasattr(data, "dtype") and (dtype is None or np.asarray(data).dtype == dtype)


PYTHON = {bool, int, float}


def unboxed(array: np.ndarray | np.generic) -> np.ndarray | np.generic:
    """A NumPy scalar in the place of an array without axes; any other array itself."""
    return array if array.ndim else array[()]


def explain_data(data) -> Exception:
    """The error for data that is no array of numbers."""
    if any(x.requires_grad for x in tensors_in(data)):
        return TypeError(
            "Tensor: an entry requires a gradient, and a new Tensor would forget how it was computed.\n"
            "  Use stack([a, b]) or concatenate([a, b]), which remember, or a.detach()."
        )
    uneven = uneven_rows(data)
    if uneven:
        return ValueError(
            f"Tensor: the rows differ: {uneven}.\n"
            "  Every row of a Tensor needs the same length. Pad the short rows or drop them."
        )
    return TypeError(
        f"Tensor: {data!r:.60} is not made of numbers.\n"
        "  Expected a number, nested lists of numbers, or a NumPy array of bools, integers or floats."
    )


def uneven_rows(data, place: str = "row ") -> str:
    """Which two rows of nested lists differ in length, as in "row 0 has 3 entries, row 1 has 2 entries"; or nothing."""
    if not isinstance(data, (list, tuple)):
        return ""
    lengths = [len(row) if isinstance(row, (list, tuple)) or getattr(row, "ndim", 0) else None for row in data]
    for i, n in enumerate(lengths):
        if n != lengths[0]:
            this, first = (f"{k} entries" if k is not None else "a single number" for k in (n, lengths[0]))
            return f"{place}0 has {first}, {place}{i} has {this}"
    return next(filter(None, (uneven_rows(row, f"{place}{i}, ") for i, row in enumerate(data))), "")


def checked_dtype(dtype) -> np.dtype:
    """`dtype` as NumPy's dtype, once it is seen to be one of bools, integers or floats."""
    try:
        known = np.dtype(dtype)
    except TypeError:
        known = None
    if known is None or known.kind not in "biuf":
        hint = "\n  Several sizes go into one tuple, as in zeros((2, 3))." if isinstance(dtype, int) else ""
        raise TypeError(f"dtype: {dtype!r:.60} is no type of numbers. Expected one such as np.float32.{hint}")
    return known


def only_numbers(data) -> bool:
    """Whether nested lists are free of texts and None, which NumPy would turn into numbers of a dtype that it is given."""
    if isinstance(data, (list, tuple)):
        return {*map(type, data)} <= PYTHON or all(map(only_numbers, data))
    return data is not None and not isinstance(data, (str, bytes)) and getattr(data, "dtype", np.dtype(int)).kind in "biuf"


def tensors_in(value):
    """All Tensors in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [t for v in value for t in tensors_in(v)] if isinstance(value, (list, tuple)) else []


# %% nbgrader={"grade": false, "grade_id": "to_array", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def to_array(data, dtype=None) -> np.ndarray | np.generic:
    """A new array (a NumPy scalar where there are no axes) with the entries of `data`.

    Parameters
    ----------
    data : number, nested lists of numbers, array, or Tensor
    dtype : NumPy dtype, optional
        Type of the result. Without it, the result is NumPy's choice, except that a float64 that comes of Python's
        floats becomes float32: one for which `carries_dtype(data, np.float64)` is False.

    Returns
    -------
    ndarray or NumPy scalar
        Never shares memory with `data`.

    Raises
    ------
    ValueError
        Where rows differ in length (`explain_data` writes the message).
    TypeError
        Where an entry is no number.

    Notes
    -----
    `np.array(data)` copies, and raises ValueError for rows of unequal length.
    `array.dtype.kind` is one of "b", "i", "u", "f" for bools, integers, unsigned
    integers and floats. `unboxed(array)` is a scalar for an array without axes, and the
    array itself for any other.
    """
    if isinstance(data, Tensor):
        data = data.numpy()
    dtype = None if dtype is None else checked_dtype(dtype)
    if dtype is not None and not only_numbers(data):
        raise explain_data(data)
    ### BEGIN SOLUTION to_array
    try:
        array = np.array(data, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise explain_data(data) from error
    if array.dtype.kind not in "biuf":
        raise explain_data(data)
    if dtype is None and array.dtype == np.float64 and not carries_dtype(data, np.float64):
        array = array.astype(np.float32)
    return unboxed(array)
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# to_array:
#   title: From numbers to an array
#   hints:
#     - Let NumPy do the work first. Which cases of its answer do you then have to correct, and which to refuse?
#     - Call np.array inside a try. Refuse a result whose dtype.kind is not one of "biuf". If no dtype was asked for and the result is float64 although the data carried no float64, convert to float32. Return a scalar for zero axes.
#     - "if dtype is None and array.dtype == np.float64 and not ..., with what carries_dtype says of the data in the gap: array.astype(np.float32)"
#   misconceptions:
#     - name: keeps NumPy's float64
#       says: >-
#         Python floats came out as float64. That is NumPy's default; ours is float32, because training computes in 32
#         bits. Convert where the data had no dtype of its own.
#       code: |
#         try:
#             array = np.array(data, dtype=dtype)
#         except (TypeError, ValueError) as error:
#             raise explain_data(data) from error
#         if array.dtype.kind not in "biuf":
#             raise explain_data(data)
#         return unboxed(array)
#     - name: everything becomes float32
#       says: >-
#         A float64 array lost half its bits. Only data without a dtype (Python floats, lists) takes the default; an array
#         that carries float64 was given it on purpose, for gradient checks for example.
#       code: |
#         try:
#             array = np.array(data, dtype=dtype)
#         except (TypeError, ValueError) as error:
#             raise explain_data(data) from error
#         if array.dtype.kind not in "biuf":
#             raise explain_data(data)
#         if dtype is None and array.dtype == np.float64:
#             array = array.astype(np.float32)
#         return unboxed(array)
#     - name: shares the caller's array
#       says: >-
#         Changing the array that was passed in changed the result too. np.asarray shares memory with its argument;
#         np.array copies.
#       code: |
#         try:
#             array = np.asarray(data, dtype=dtype)
#         except (TypeError, ValueError) as error:
#             raise explain_data(data) from error
#         if array.dtype.kind not in "biuf":
#             raise explain_data(data)
#         if dtype is None and array.dtype == np.float64 and not carries_dtype(data, np.float64):
#             array = array.astype(np.float32)
#         return unboxed(array)

# %% [markdown]
# The class itself is short. `__slots__` tells Python that a Tensor has exactly these attributes, which makes it smaller
# and faster than an object with a dictionary. `requires_grad`, `grad` and `_node` are defaults for all Tensors; the
# classes that really carry a gradient, `Parameter` and `Variable`, come later and give them slots of their own.

# %%
#| export
class Tensor:
    """An array whose every operation passes through one place.

    Parameters
    ----------
    data : number, nested lists of numbers, array, or Tensor
        Copied. Use `from_numpy` to share memory with an array.
    dtype : NumPy dtype, optional
        Without it, Python floats become float32 and arrays keep their dtype.
    requires_grad : bool
        False: what requires a gradient is a `Variable`, or a `Parameter`.

    Attributes
    ----------
    data : ndarray, or NumPy scalar where there are no axes
    requires_grad : bool
        False: a plain Tensor takes part in no derivative.
    grad : None
    """

    __slots__ = ("data",)
    requires_grad = False
    grad = None
    _node = None

    def __init__(self, data, dtype=None, requires_grad=False):
        if requires_grad:
            raise TypeError("Tensor: a plain Tensor takes part in no derivative. Expected Variable(data), of the autograd chapter.")
        self.data = to_array(data, dtype)

    shape = property(lambda self: self.data.shape, doc="Length of each axis, a tuple.")
    ndim = property(lambda self: self.data.ndim, doc="Number of axes.")
    size = property(lambda self: self.data.size, doc="Number of entries.")
    dtype = property(lambda self: self.data.dtype, doc="Type of the entries.")

    def numpy(self) -> np.ndarray | np.generic:
        """The array itself, not a copy. Raises TypeError where a gradient is required."""
        if self.requires_grad:
            raise TypeError(
                "numpy: this Tensor requires a gradient, and what NumPy computes cannot be differentiated.\n"
                "  Use x.detach().numpy() for the values, or x.item() for a single number."
            )
        return self.data

    def item(self) -> bool | int | float:
        """The only entry, as a Python number. Raises ValueError where there are several."""
        if self.data.size != 1:
            raise ValueError(
                f"item: a Tensor of shape {self.shape} has {self.size} entries, not one.\n"
                "  Reduce it first (x.sum(), x.mean()), or use x.tolist()."
            )
        return self.data.item()

    def tolist(self):
        """The entries as nested lists of Python numbers."""
        return self.data.tolist()

    def detach(self) -> "Tensor":
        """A plain Tensor on the same array, without a gradient."""
        return wrap(self.data)

    def __repr__(self):
        name = type(self).__name__
        entries = np.array2string(self.data, separator=", ", prefix=name + "(")
        dtype = "" if self.dtype in (np.float32, np.int64, np.bool_) else f", dtype={self.dtype}"
        return f"{name}({entries}{dtype}{', requires_grad=True' if self.requires_grad else ''})"

    def __str__(self):
        return str(self.data)

    def __format__(self, spec):
        return format(self.item(), spec) if spec else str(self)

    def __len__(self):
        if not self.shape:
            raise TypeError("len: this Tensor is a single number and has no length.")
        return self.shape[0]

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __bool__(self):
        return bool(self.item())

    def __float__(self):
        return float(self.numpy().item() if self.size == 1 else self.item())

    def __int__(self):
        return int(self.numpy().item() if self.size == 1 else self.item())

    def __index__(self):
        if self.dtype.kind not in "iu":
            raise TypeError(f"index: this Tensor holds {self.dtype}. Expected a single integer.")
        return int(self)

    __hash__ = object.__hash__


def wrap(array: np.ndarray | np.generic) -> Tensor:
    """A Tensor on `array` itself: no copy, no check. For results that an operation just made."""
    tensor = object.__new__(Tensor)
    tensor.data = array
    return tensor


def from_numpy(array: np.ndarray) -> Tensor:
    """A Tensor that shares memory with `array`. Raises TypeError for what is no array of numbers."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise explain_data(array)
    return wrap(unboxed(array))


# %% nbgrader={"grade": true, "grade_id": "test_to_array", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_to_array():
    check(to_array([[1, 2], [3, 4]]), [[1, 2], [3, 4]])
    check(str(to_array(3.0).dtype), "float32")
    check(str(to_array([1.0, 2.5]).dtype), "float32")
    check(str(to_array(np.array([1.0, 2.0])).dtype), "float64")
    check(str(to_array([1.0, 2.0], dtype=np.float64).dtype), "float64")
    check(str(to_array([1, 2], dtype=np.float32).dtype), "float32")
    check(str(to_array([1, 2, 3]).dtype), "int64")
    check(str(to_array([np.float32(2.0), 1.0]).dtype), "float32")
    check(str(to_array([1.0, np.float64(2.0)]).dtype), "float64")
    check(isinstance(to_array(3.0), np.float32), True)
    original = np.array([1.0, 2.0])
    copy = to_array(original)
    original[0] = 99.0
    check(copy, [1.0, 2.0])
    check(to_array([]).shape, (0,))
    check_raises(ValueError, lambda: to_array([[1, 2, 3], [4, 5]]), "row 1 has 2 entries")
    check_raises(TypeError, lambda: to_array("three"), "not made of numbers")
    check_raises(TypeError, lambda: to_array("1.5", dtype=np.float32), "not made of numbers")
    check_raises(TypeError, lambda: to_array([1.0, None]), "not made of numbers")

    class Unreadable:
        def __array__(self, *_, **__):
            raise TypeError("this cannot be read")

    check_raises(TypeError, lambda: to_array(Unreadable()), "not made of numbers")

test_to_array()

# %%
print(repr(Tensor([[1, 2], [3, 4]])))
print(repr(Tensor([0.1, 0.2])))
print(repr(Tensor(np.linspace(0, 1, 3))))
print(Tensor(10.0), f"{Tensor(3.14159):.2f}", Tensor([[1.0, 2.0]]).shape)

# %% [markdown]
# ## One place for every operation
#
# `Tensor + Tensor` should be a Tensor, and so should `exp(Tensor)`. One could write a method for each: take the arrays
# out, compute, wrap the result. There will be some forty operations, and each such method would repeat the same three
# steps, so the steps become a function of their own. It takes a function of arrays and returns the same function for
# Tensors; that is called *lifting* it.
#
# `lift_one` is for functions of one array. Handed a Tensor it unwraps, computes and wraps; handed a plain array it is
# the plain function. Its third line is the hook that this book turns on. `recorder` is empty, and stays empty until the
# autograd chapter fills it; from then on, results that depend on something with `requires_grad` go through it.

# %%
#| export
recorder = None


def set_recorder(function):
    """Make `function` the one that operations hand their results to; return the previous one.

    Parameters
    ----------
    function : callable ``(operation, out, inputs, arrays, options, kept) -> Tensor``, or None
        Called where an input requires a gradient. With None nothing is recorded.
    """
    global recorder
    previous, recorder = recorder, function
    return previous


def lift_one(function):
    """`function` of one array, for Tensors."""
    def lifted(x, /):
        if not isinstance(x, Tensor):
            return function(x) if isinstance(x, ARRAYS) else lifted(Tensor(x))
        out = function(x.data)
        if recorder is not None and x.requires_grad:
            return recorder(lifted, out, (x,), (x.data,))
        return wrap(out)

    return lifted


ARRAYS = (np.ndarray, np.generic)

# %%
square_root = lift_one(np.sqrt)
print(repr(square_root(Tensor([1.0, 4.0, 9.0]))), square_root(np.float64(16.0)))

# %% [markdown]
# ### Two inputs, and which dtype wins
#
# With two inputs there is a question of types. What should `float32_array * 0.5` be, or an array times a 0-d Tensor? A
# learning rate must not turn every float32 weight it touches into float64, so the rule is: **a number takes the dtype
# of the array it meets.** That holds for Python numbers and for 0-d Tensors alike. The one exception is a float that
# meets integers, which cannot hold it; there the integers become float32.
#
# NumPy follows the same rule for Python's own numbers next to floats, so the commonest case, `x * 0.5`, needs no
# conversion at all: `unwrap_two` passes the number on as it is.

# %%
#| export
def agree(a, b):
    """The two values of an operation, a number taking the dtype of the array it meets.

    Parameters
    ----------
    a, b : ndarray, NumPy scalar, or Python number

    Returns
    -------
    a, b : ndarray or NumPy scalar
    """
    if isinstance(b, np.ndarray) and not isinstance(a, np.ndarray) or not isinstance(a, ARRAYS):
        b, a = agree_number(b, a)
        return a, b
    if isinstance(a, np.ndarray) and not isinstance(b, np.ndarray) or not isinstance(b, ARRAYS):
        return agree_number(a, b)
    return a, b


def agree_number(array, number):
    """`array` and `number` with the dtype they compute in."""
    kind, other = array.dtype.kind, np.asarray(number).dtype.kind
    if kind == "f" and other in "biuf":
        return array, array.dtype.type(number)
    if kind in "biu" and other == "f":
        return array.astype(np.float32)[()], np.float32(number)
    if kind in "iu" and other in "biu":
        return array, array.dtype.type(number)
    if other not in "biuf":
        raise explain_data(number)
    return array, np.asarray(number)[()]


def as_operand(x):
    """x as something with axes: Tensors and arrays as they are, lists as Tensors."""
    return x if isinstance(x, (Tensor, *ARRAYS)) else Tensor(x)


def unwrap_two(x, y):
    """Two inputs of which at least one is a Tensor, as Tensors and as the values that agree."""
    if type(y) in NUMBERS and x.data.dtype.kind == "f":
        return x, NUMBER, x.data, y
    if type(x) in NUMBERS and y.data.dtype.kind == "f":
        return NUMBER, y, x, y.data
    x = x if isinstance(x, Tensor) else wrap(x) if type(x) in NUMBERS else as_tensor(x)
    y = y if isinstance(y, Tensor) else wrap(y) if type(y) in NUMBERS else as_tensor(y)
    a, b = agree(x.data, y.data)
    return x, y, a, b


NUMBERS = {int, float}
NUMBER = wrap(np.float32("nan"))  # stands for a Python number, which no gradient is wanted for


# %% [markdown]
# Shapes that do not fit are the commonest mistake in deep learning, so they deserve a sentence and not just a refusal.
# Write the rule of *broadcasting* once yourself, then it explains every such error. Line the two shapes up at the
# right. Two sizes fit where they are equal or where one of them is 1; the 1 is stretched. A missing size counts as 1:
#
# ```
#  (4, 1, 3)        (2, 3)
#  (   5, 3)          (3,)
#  ---------        ------
#  (4, 5, 3)        (2, 3)
# ```

# %% nbgrader={"grade": false, "grade_id": "broadcast_shape", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def broadcast_shape(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """The shape to which arrays of shapes `a` and `b` broadcast.

    Parameters
    ----------
    a, b : tuple of int

    Returns
    -------
    tuple of int

    Raises
    ------
    ValueError
        Where two sizes fit neither way. The message names both shapes, and the axis
        counted from the right: "shapes (2, 3) and (2, 4) do not broadcast: axis -1 has 3 and 4".
    """
    ### BEGIN SOLUTION broadcast_shape
    ndim = max(len(a), len(b))
    left, right = (1,) * (ndim - len(a)) + a, (1,) * (ndim - len(b)) + b
    for axis in range(-1, -ndim - 1, -1):
        if left[axis] != right[axis] and 1 not in (left[axis], right[axis]):
            raise ValueError(
                f"shapes {a} and {b} do not broadcast: axis {axis} has {left[axis]} and {right[axis]}.\n"
                "  From the right, sizes have to be equal, or one of them 1."
            )
    return tuple(n if m == 1 else m for m, n in zip(left, right))
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# broadcast_shape:
#   title: Where two shapes meet
#   hints:
#     - What changes if you first make both shapes equally long?
#     - Put ones in front of the shorter shape. Go through the pairs; a pair fits if its sizes are equal or one of them is 1. The result has the size that is not 1.
#     - "left = (1,) * (ndim - len(a)) + a, and in the end tuple(n if m == 1 else m for m, n in zip(left, right))"
#   misconceptions:
#     - name: lines the shapes up at the left
#       says: >-
#         The shapes were lined up at the left. Broadcasting lines them up at the right: a bias of shape (3,) belongs to the
#         last axis of a (2, 3) batch. Put the ones in front.
#       code: |
#         ndim = max(len(a), len(b))
#         left, right = a + (1,) * (ndim - len(a)), b + (1,) * (ndim - len(b))
#         for axis in range(-1, -ndim - 1, -1):
#             if left[axis] != right[axis] and 1 not in (left[axis], right[axis]):
#                 raise ValueError(f"shapes {a} and {b} do not broadcast: axis {axis} has {left[axis]} and {right[axis]}")
#         return tuple(n if m == 1 else m for m, n in zip(left, right))
#     - name: takes the larger size
#       says: >-
#         The larger of the two sizes was taken. For an empty axis that is wrong: 1 against 0 gives 0, because the 1 is
#         stretched (here, shrunk) to the other size. Take the size that is not 1.
#       code: |
#         ndim = max(len(a), len(b))
#         left, right = (1,) * (ndim - len(a)) + a, (1,) * (ndim - len(b)) + b
#         for axis in range(-1, -ndim - 1, -1):
#             if left[axis] != right[axis] and 1 not in (left[axis], right[axis]):
#                 raise ValueError(f"shapes {a} and {b} do not broadcast: axis {axis} has {left[axis]} and {right[axis]}")
#         return tuple(max(m, n) for m, n in zip(left, right))
#     - name: cuts to the shorter shape
#       says: >-
#         Axes were lost: zip stops at the shorter of its arguments. Make both shapes equally long first.
#       code: |
#         out = []
#         for m, n in zip(a[::-1], b[::-1]):
#             if m != n and 1 not in (m, n):
#                 raise ValueError(f"shapes {a} and {b} do not broadcast: axis {-len(out) - 1} has {m} and {n}")
#             out.append(n if m == 1 else m)
#         return tuple(out[::-1])

# %% nbgrader={"grade": true, "grade_id": "test_broadcast_shape", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_broadcast_shape():
    check(broadcast_shape((2, 3), (2, 3)), (2, 3))
    check(broadcast_shape((2, 3), (3,)), (2, 3))
    check(broadcast_shape((3,), (4, 3)), (4, 3))
    check(broadcast_shape((4, 1, 3), (5, 3)), (4, 5, 3))
    check(broadcast_shape((), (2,)), (2,))
    check(broadcast_shape((1, 2), (0, 1)), (0, 2))
    check_raises(ValueError, lambda: broadcast_shape((2, 3), (2, 4)), "axis -1 has 3 and 4")
    check_raises(ValueError, lambda: broadcast_shape((2, 1, 3), (3, 5)), "axis -1 has 3 and 5")
    check_raises(ValueError, lambda: broadcast_shape((2, 3), (2,)), "axis -1 has 3 and 2")
    check_raises(ValueError, lambda: broadcast_shape((2, 3), (4, 3)), "axis -2 has 2 and 4")
    check_raises(ValueError, lambda: broadcast_shape((2, 3), (2,)), "shapes (2, 3) and (2,) do not broadcast")

test_broadcast_shape()

# %% [markdown]
# When an operation fails, its shapes are compared with that rule, and the error speaks of the operation by the name that
# the reader typed. A matrix product has a rule of its own, a sum can be given an axis that is not there, and `operation`
# (below) lets each say so.

# %%
#| export
SPOKEN = {
    "reduce_sum": "sum", "reduce_max": "max", "reduce_min": "min", "power_number": "power", "power_tensor": "power",
    "getitem": "x[index]", "join": "concatenate", "contract": "einsum", "bitwise_and": "x & y", "bitwise_or": "x | y",
}  # fmt: skip


def spoken(function) -> str:
    """What a reader types to call a function."""
    return SPOKEN.get(function.__name__, function.__name__)


def explain(lifted, error: Exception, arrays, options=()) -> Exception:
    """The error that a failed operation raises: its name, what does not fit, and what to do."""
    name, shapes = spoken(lifted), [np.shape(a) for a in arrays]
    kind = next(k for k in (TypeError, ValueError, IndexError) if isinstance(error, k))
    if lifted.explain is not None:
        message = lifted.explain(*shapes, **dict(zip(lifted.options, options)))
        if message:
            return kind(message)
    elif kind is ValueError and len(shapes) > 1:
        try:
            shape = shapes[0]
            for other in shapes[1:]:
                shape = broadcast_shape(shape, other)
        except ValueError as misfit:
            return ValueError(f"{name}: {misfit}")
    given = ", ".join(f"{s} {np.asarray(a).dtype}" for s, a in zip(shapes, arrays))
    return kind(f"{name}: {error} (given {given})") if kind is type(error) else error


def wrong_axis(name: str, axis, ndim: int, several=False, of="x") -> str:
    """What is wrong with `axis` where there are `ndim` axes, of which it may name `several`; empty where nothing is."""
    axes = axis if several and isinstance(axis, tuple) else (axis,)
    if not all(isinstance(a, (int, np.integer)) and not isinstance(a, bool) for a in axes):
        more = ", or a tuple of them" if several else ""
        return f"{name}: the axis is {axis!r:.60}. Expected a whole number{more}, as in axis=0."
    missing = [a for a in axes if not -ndim <= a < ndim]
    if missing:
        return f"{name}: there is no axis {missing[0]}: the ndim of {of} is {ndim}. Axes are counted from 0, or back from -1."
    return f"{name}: axis={axis} names an axis twice." if len({a % ndim for a in axes}) < len(axes) else ""


def check_axis(name: str, axis, ndim: int, several=False, of="x") -> None:
    """Raise where `wrong_axis` finds something."""
    message = wrong_axis(name, axis, ndim, several, of)
    if message:
        raise (ValueError if isinstance(axis, (int, np.integer, tuple)) else TypeError)(message)


# %% nbgrader={"grade": false, "grade_id": "lift_two", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def lift_two(function):
    """`function` of two arrays, for Tensors.

    The lifted function takes two inputs, each a Tensor, an array or a number.

    - Where neither is a Tensor, it is `function` itself.
    - Where both are, and their arrays are of one class, no type has to be settled;
      for all else `unwrap_two(x, y)` gives ``x, y, a, b``: the inputs as Tensors,
      and the values to compute with.
    - Where `recorder` is set and an input requires a gradient, the result is what
      ``recorder(lifted, out, (x, y), (a, b))`` returns; otherwise, ``wrap(out)``.
    - An error of `function` is raised as ``explain(lifted, error, (a, b))``.
    """
    def lifted(x, y, /):
        ### BEGIN SOLUTION lift_two
        if isinstance(x, Tensor) and isinstance(y, Tensor) and type(x.data) is type(y.data):
            a, b = x.data, y.data
        elif isinstance(x, Tensor) or isinstance(y, Tensor):
            x, y, a, b = unwrap_two(x, y)
        else:
            return function(x, y)
        try:
            out = function(a, b)
        except (TypeError, ValueError) as error:
            raise explain(lifted, error, (a, b)) from error
        if recorder is not None and (x.requires_grad or y.requires_grad):
            return recorder(lifted, out, (x, y), (a, b))
        return wrap(out)
        ### END SOLUTION

    return lifted


# %% [raw] tags=["exercise"]
# lift_two:
#   title: Lift a function of two arrays
#   hints:
#     - Read lift_one again. What is the same for two inputs, and where do you need unwrap_two?
#     - Three cases for the inputs (both Tensors, one, none); compute inside try; then the recorder; then wrap.
#     - "if recorder is not None and (...): return recorder(lifted, out, ...), where one input that requires a gradient is enough, and the inputs go before their arrays, each as a pair"
#   misconceptions:
#     - name: asks only the first input
#       says: >-
#         Only the first input was asked whether it requires a gradient. In data @ weights it is the second one that does.
#       code: |
#         if not isinstance(x, Tensor) and not isinstance(y, Tensor):
#             return function(x, y)
#         x, y, a, b = unwrap_two(x, y)
#         try:
#             out = function(a, b)
#         except (TypeError, ValueError) as error:
#             raise explain(lifted, error, (a, b)) from error
#         if recorder is not None and x.requires_grad:
#             return recorder(lifted, out, (x, y), (a, b))
#         return wrap(out)
#     - name: lets NumPy choose the dtype
#       says: >-
#         A float64 number next to a float32 array made the result float64. Let unwrap_two settle the types before you compute.
#       code: |
#         if not isinstance(x, Tensor) and not isinstance(y, Tensor):
#             return function(x, y)
#         a = x.data if isinstance(x, Tensor) else np.asarray(x)[()]
#         b = y.data if isinstance(y, Tensor) else np.asarray(y)[()]
#         x, y = (t if isinstance(t, Tensor) else wrap(t) for t in (x, y))
#         try:
#             out = function(a, b)
#         except (TypeError, ValueError) as error:
#             raise explain(lifted, error, (a, b)) from error
#         if recorder is not None and (x.requires_grad or y.requires_grad):
#             return recorder(lifted, out, (x, y), (a, b))
#         return wrap(out)
#     - name: swaps the inputs
#       says: >-
#         The two inputs arrived in the wrong order. It does not show in a sum, but it does in a difference.
#       code: |
#         if not isinstance(x, Tensor) and not isinstance(y, Tensor):
#             return function(x, y)
#         y, x, b, a = unwrap_two(x, y)
#         try:
#             out = function(a, b)
#         except (TypeError, ValueError) as error:
#             raise explain(lifted, error, (a, b)) from error
#         if recorder is not None and (x.requires_grad or y.requires_grad):
#             return recorder(lifted, out, (x, y), (a, b))
#         return wrap(out)

# %% [markdown]
# The third kind of function has more inputs, or *options* that are no arrays: the `axis` of a sum, the `shape` of a
# reshape. In a signature the arrays come before the slash and the options after it, `reduce_sum(x, /, axis, keepdims)`,
# which is how NumPy's own functions write it. Functions of any number of arrays write `*xs`. A function may also return
# a pair: its result, and something that it computed on the way and that its derivative can use again (a mask, a
# normalised copy). `lift_many` pays a little for being general, and the two short ways above exist because an
# expression of scalars is nothing but such small operations.
#
# `operation` looks at the signature and picks the way. It also enters the operation in `NUMPY`, the table from which
# `np.exp(tensor)` will find our `exp`.

# %%
#| export
NUMPY = {}
REQUIRED = object()


def signature(function) -> tuple[list[str], dict, bool]:
    """Names of the array inputs; the options with their defaults; whether the inputs are ``*xs``."""
    code, defaults = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount]
    if code.co_flags & 0x04:  # *xs
        keywords = code.co_varnames[len(names) : len(names) + code.co_kwonlyargcount]
        kept = function.__kwdefaults__ or {}
        return [code.co_varnames[len(names) + len(keywords)]], {k: kept.get(k, REQUIRED) for k in keywords}, True
    count = code.co_posonlyargcount or len(names) - len(defaults)
    given = dict(zip(names[len(names) - len(defaults) :], defaults))
    return list(names[:count]), {name: given.get(name, REQUIRED) for name in names[count:]}, False


def lift_many(function, keeps=False):
    """`function` of any number of arrays, with options, for Tensors."""
    inputs, defaults, any_number = signature(function)
    count, usual = len(inputs), tuple(defaults.values())
    whole, optional = count + len(defaults), REQUIRED not in usual

    def lifted(*args, **named):
        if not named and optional and (any_number or len(args) == count):
            xs, options = args, usual
        elif not named and not any_number and len(args) == whole:
            xs, options = args[:count], args[count:]
        else:
            xs, options = split(function, inputs, defaults, any_number, args, named)
        arrays, recorded, alike = [], False, True
        for x in xs:
            if not isinstance(x, Tensor):
                return mixed(xs, options)
            arrays.append(x.data)
            if x.requires_grad:
                recorded = True
            if type(x.data) is not np.ndarray:
                alike = False
        if not alike and len(xs) > 1:
            arrays = agree_all(arrays)
        try:
            out = call(function, arrays, options) if any_number else function(*arrays, *options)
        except (TypeError, ValueError, IndexError) as error:
            raise explain(lifted, error, arrays, options) from error
        out, kept = out if keeps else (out, None)
        if isinstance(out, Tensor):
            raise TypeError(f"{function.__name__}: {', '.join(defaults)} cannot be a Tensor here; it would not be differentiated.")
        out = unboxed(out)
        if recorded and recorder is not None:
            return recorder(lifted, out, xs, arrays, options, kept)
        return wrap(out)

    def mixed(xs, options):
        if not all([isinstance(x, (*ARRAYS, int, float)) for x in xs]):
            return call(lifted, map(as_tensor, xs), options)
        out = call(function, xs, options)
        return out[0] if keeps else out

    def call(f, xs, options):
        return f(*xs, **dict(zip(defaults, options))) if any_number else f(*xs, *options)

    return lifted


def split(function, inputs, defaults, any_number, args, named):
    """Arrays and options of a call, in the order of the signature."""
    count = len(args) if any_number else len(inputs)
    options = {**defaults, **dict(zip(defaults, args[count:])), **named}
    unknown = [k for k in named if k not in defaults] or ["so many"] * (len(args) - count > len(defaults))
    missing = len(args) < count or any(value is REQUIRED for value in options.values())
    if unknown or missing:
        problem = f"does not take {unknown[0]}" if unknown else "is given too little"
        raise TypeError(f"{spoken(function)}: {problem}. It takes {', '.join([*inputs, *defaults])}.")
    return args[:count], tuple(options.values())


def as_tensor(x) -> Tensor:
    """x as a Tensor: an array is wrapped, a number or list converted."""
    return x if isinstance(x, Tensor) else wrap(unboxed(x)) if isinstance(x, ARRAYS) else Tensor(x)


def agree_all(arrays):
    """`arrays` with every number in the dtype of the first array that holds floats; bools, which are conditions, stay."""
    if all([type(a) is np.ndarray for a in arrays]):
        return arrays
    floats = [a for a in arrays if a.dtype.kind == "f"]
    main = next((a for a in floats if a.ndim), None)
    if main is None and floats:  # a single float beside integers
        return tuple(a.astype(floats[0].dtype) if a.dtype.kind in "iu" else a for a in arrays)
    return tuple(a if a.ndim or a.dtype.kind == "b" else main.dtype.type(a) for a in arrays) if floats else arrays


def operation(function=None, *, numpy=(), explain=None, keeps=False):
    """Lift a function of arrays to Tensors.

    Parameters
    ----------
    function : callable
        Takes arrays (before the slash, or without a default) and options (after it),
        and returns an array.
    numpy : NumPy function or tuple of these, optional
        NumPy's functions that mean this operation when they are given a Tensor.
    explain : callable ``(*shapes, **options) -> str``, optional
        Writes the error message for shapes or options that do not fit; empty where it knows none.
    keeps : bool
        Whether `function` returns a pair: the result, and what its derivative wants kept.

    Returns
    -------
    callable
        Takes Tensors, arrays and numbers. It carries ``inputs`` and ``options``, the names
        that a derivative rule may ask for, and ``any_number``.

    Examples
    --------
    >>> @operation
    ... def cube(x, /):
    ...     return x * x * x
    >>> cube(Tensor([1.0, 2.0]))
    Tensor([1., 8.])
    """
    if function is None:
        return lambda f: operation(f, numpy=numpy, explain=explain, keeps=keeps)
    if not hasattr(function, "__code__"):
        raise TypeError(f"operation: {function!r:.60} is no function written in Python. Write one: operation(lambda x: ...).")
    inputs, options, any_number = signature(function)
    short = None if options or any_number or keeps else {1: lift_one, 2: lift_two}.get(len(inputs))
    lifted = short(function) if short else lift_many(function, keeps)
    update_wrapper(lifted, function)
    lifted.inputs, lifted.options, lifted.any_number = inputs, list(options), any_number
    lifted.explain, lifted.rules, lifted.composition, lifted.broadcasts, lifted.plans = explain, None, None, True, {}
    for name in numpy if isinstance(numpy, tuple) else (numpy,):
        NUMPY[name] = lifted
    return lifted


# %% nbgrader={"grade": true, "grade_id": "test_lift_two", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
def test_lift_two():
    difference = operation(lambda x, y: x - y)
    check(difference(Tensor([5.0, 7.0]), Tensor([1.0, 2.0])), [4.0, 5.0])
    check(difference(Tensor([5.0, 7.0]), 1), [4.0, 6.0])
    check(difference(10.0, Tensor([1.0, 2.0])), [9.0, 8.0])
    check(difference(7, 3), 4)
    check(isinstance(difference(Tensor([5.0]), 1), Tensor), True)
    check(str(difference(Tensor([1.0]), Tensor(np.float64(0.5))).dtype), "float32")
    check(str(difference(Tensor([1, 2]), 0.5).dtype), "float32")
    check_raises(ValueError, lambda: difference(Tensor([1.0, 2.0]), Tensor([1.0, 2.0, 3.0])), "axis -1 has 2 and 3")
    class Weight(Tensor):
        requires_grad = True
    x, w, seen = Tensor([3.0]), Weight([1.0]), []
    previous = set_recorder(lambda lifted, out, inputs, arrays: seen.append((lifted, out, inputs, arrays)) or wrap(out))
    try:
        difference(x, w), difference(w, x), difference(x, x)
        set_recorder(None)
        difference(x, w)
    finally:
        set_recorder(previous)
    check(len(seen), 2)
    lifted, out, inputs, arrays = seen[0]
    check(arrays, ([3.0], [1.0]))
    check((out, inputs), ([2.0], (x, w)))
    check((lifted is difference, inputs[1] is w), (True, True))

test_lift_two()

# %% [markdown]
# ## Arithmetic
#
# With the lifting done, an operation is its formula. The decorator names the NumPy function that means the same, and
# the methods that Python calls for `x + y` and the like are set from the operations.

# %%
#| export
# fmt: off
@operation(numpy=np.add)
def add(x, y, /):
    """x + y, entry by entry."""
    return x + y

@operation(numpy=np.subtract)
def subtract(x, y, /):
    """x - y, entry by entry."""
    return x - y

@operation(numpy=np.multiply)
def multiply(x, y, /):
    """x * y, entry by entry."""
    return x * y

@operation(numpy=np.divide)
def divide(x, y, /):
    """x / y, entry by entry. Division by zero gives an infinity and NumPy's warning."""
    return x / y

@operation(numpy=np.negative)
def negative(x, /):
    """-x."""
    return -x

@operation
def power_number(x, /, exponent):
    """x to the power of a number."""
    return x ** exponent

@operation
def power_tensor(x, y, /):
    """x to the power y, entry by entry."""
    return x ** y
# fmt: on

def power(x, y):
    """x to the power y, a Tensor or a number. A number costs less, and x may then be negative."""
    integers = isinstance(x, Tensor) and x.data.dtype.kind != "f"
    return power_number(x, y) if type(y) is int or type(y) is float and not integers else power_tensor(x, y)

NUMPY[np.power] = power

Tensor.__add__ = add
Tensor.__sub__ = subtract
Tensor.__mul__ = multiply
Tensor.__truediv__ = divide
Tensor.__pow__ = power
Tensor.__neg__ = negative
Tensor.__radd__ = lambda self, other: add(other, self)
Tensor.__rsub__ = lambda self, other: subtract(other, self)
Tensor.__rmul__ = lambda self, other: multiply(other, self)
Tensor.__rtruediv__ = lambda self, other: divide(other, self)
Tensor.__rpow__ = lambda self, other: power_tensor(as_operand(other), self)

# %%
x = Tensor([1.0, 2.0, 3.0])
print(x + 10, 10 - x, 2 ** x, (x * x - 1) / (x + 1))

# %% [markdown]
# `2 ** x` needed the *reflected* method `__rpow__`: Python asks the left operand first, the number 2 knows nothing of
# Tensors, and so Python asks the right one. For `-` and `/` the order matters, which is why the reflected ones are not
# simply the same.
#
# The elementary functions are one line each.

# %%
#| export
# fmt: off
@operation(numpy=np.exp)
def exp(x, /):
    """e to the power x."""
    return np.exp(x)

@operation(numpy=np.log)
def log(x, /):
    """Natural logarithm. NaN for negative x, -inf at 0."""
    return np.log(x)

@operation(numpy=np.sqrt)
def sqrt(x, /):
    """Square root. NaN for negative x."""
    return np.sqrt(x)

@operation(numpy=np.absolute)
def absolute(x, /):
    """|x|."""
    return abs(x)

@operation(numpy=np.tanh)
def tanh(x, /):
    """Hyperbolic tangent, between -1 and 1."""
    return np.tanh(x)

@operation(numpy=np.sin)
def sin(x, /):
    """Sine of x in radians."""
    return np.sin(x)

@operation(numpy=np.cos)
def cos(x, /):
    """Cosine of x in radians."""
    return np.cos(x)

@operation(numpy=np.maximum)
def maximum(x, y, /):
    """The larger of x and y, entry by entry."""
    return np.maximum(x, y)

@operation(numpy=np.minimum)
def minimum(x, y, /):
    """The smaller of x and y, entry by entry."""
    return np.minimum(x, y)

@operation(numpy=np.where)
def where(condition, x, y, /):
    """x where the condition holds, y elsewhere."""
    return np.where(condition, x, y)

@operation(numpy=np.clip)
def clip(x, /, low, high):
    """x, but at least `low` and at most `high`; None for no bound."""
    return np.clip(x, bound(low, x), bound(high, x))
# fmt: on

def bound(value, x):
    """A bound of `clip` as an array, or as a number in the dtype of floats x. Derivatives pass it by."""
    if isinstance(value, Tensor):
        value = value.numpy()
    elif value is not None and not isinstance(value, (int, float, *ARRAYS)):
        value = to_array(value)
    return x.dtype.type(value) if x.dtype.kind == "f" and isinstance(value, (float, *ARRAYS)) and not np.ndim(value) else value

def square(x):
    """x * x, entry by entry."""
    return x * x

NUMPY[np.square] = square
Tensor.__abs__ = absolute
Tensor.clip = clip

# %% [markdown]
# Comparisons give a Tensor of booleans. They have no derivative, so they are not lifted: nothing about them will ever
# be recorded. `==` compares entries, as in NumPy; to ask whether two names stand for the same Tensor, use `is`.
# Booleans combine with `&`, `|` and `~`, since Python keeps `and`, `or` and `not` for single truth values.

# %%
#| export
def comparison(function):
    """The method that compares a Tensor with a Tensor, an array or a number."""
    def compare(self, other):
        if not isinstance(other, (Tensor, *ARRAYS, int, float, list, tuple)):
            return NotImplemented
        other = other if isinstance(other, (Tensor, *ARRAYS, int, float)) else Tensor(other)
        _, _, a, b = unwrap_two(self, other)
        try:
            return wrap(function(a, b))
        except TypeError as error:
            raise TypeError(f"{spoken(function)}: {MASKS}") from error
        except ValueError as error:
            raise ValueError(f"{spoken(function)}: {broadcast_error(a, b) or error}") from error

    return compare


MASKS = "these are no masks. Compare first, as in (x > 0) & (y > 0); the parentheses are needed."


def broadcast_error(a, b) -> str:
    """Why two arrays do not broadcast; empty where they do."""
    try:
        broadcast_shape(np.shape(a), np.shape(b))
    except ValueError as misfit:
        return str(misfit)
    return ""


Tensor.__eq__ = comparison(np.equal)
Tensor.__ne__ = comparison(np.not_equal)
Tensor.__lt__ = comparison(np.less)
Tensor.__le__ = comparison(np.less_equal)
Tensor.__gt__ = comparison(np.greater)
Tensor.__ge__ = comparison(np.greater_equal)
Tensor.__and__ = Tensor.__rand__ = comparison(np.bitwise_and)
Tensor.__or__ = Tensor.__ror__ = comparison(np.bitwise_or)


def invert(self):
    """The method for ~x, of booleans or integers."""
    if self.dtype.kind == "f":
        raise TypeError(f"~x: {MASKS}")
    return wrap(~self.data)


Tensor.__invert__ = invert

# %% nbgrader={"grade": true, "grade_id": "test_arithmetic", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_arithmetic():
    x, y = Tensor([[1.0, 2.0], [3.0, 4.0]]), Tensor([10.0, 20.0])
    check(x + y, [[11.0, 22.0], [13.0, 24.0]])
    check(x - y, [[-9.0, -18.0], [-7.0, -16.0]])
    check(y - x, [[9.0, 18.0], [7.0, 16.0]])
    check(x * y, [[10.0, 40.0], [30.0, 80.0]])
    check(x / y, [[0.1, 0.1], [0.3, 0.2]])
    check(-x ** 2, [[-1.0, -4.0], [-9.0, -16.0]])
    check(1 / Tensor([2.0, 4.0]), [0.5, 0.25])
    check(1 - Tensor([2.0, 4.0]), [-1.0, -3.0])
    check(2.0 ** Tensor([1.0, 3.0]), [2.0, 8.0])
    check(Tensor([4.0, 9.0]) ** Tensor([0.5, 2.0]), [2.0, 81.0])
    check(abs(Tensor([-1.5, 2.0])), [1.5, 2.0])
    check((x > 2).tolist(), [[False, False], [True, True]])
    check(x == "two", False)
    check(str((x * 0.5).dtype), "float32")
    check(str((Tensor([1, 2]) / 2).dtype), "float64")
    check(str((Tensor([1, 2]) / 2.0).dtype), "float32")
    check_raises(ValueError, lambda: x + Tensor([1.0, 2.0, 3.0]), "add: shapes (2, 2) and (3,) do not broadcast")
    check_raises(TypeError, lambda: x + "one", "not made of numbers")

test_arithmetic()

# %% [markdown]
# All rules for dtypes together: a number takes the dtype of the array it meets, a float that meets integers makes them
# float32, and for two arrays NumPy's own rules hold.

# %%
floats, doubles, integers = Tensor([1.0, 2.0]), Tensor(np.array([1.0, 2.0])), Tensor([1, 2])
for text, result in {
    "float32 array * 0.5": floats * 0.5,
    "float32 array * float64 number": floats * np.float64(0.5),
    "float32 array * float64 array": floats * doubles,
    "int64 array * float32 array": integers * floats,
    "int64 array * 2": integers * 2,
    "int64 array * 0.5": integers * 0.5,
    "int64 array / 2.0": integers / 2.0,
    "int64 array / 2": integers / 2,
    "exp(int64 array)": exp(integers),
}.items():
    print(f"{text:31} {result.dtype}")

# %% [markdown]
# Where only integers went in and no float came near, NumPy answers with float64, which holds more of them exactly;
# PyTorch says float32 there. In a network that costs twice the memory and time, so pictures of whole numbers are
# converted first, `x.astype(np.float32) / 255`, or divided by a float, `x / 255.0`.
#
# ## Indexing
#
# `x[0]`, `x[:, 1]`, `x[mask]` and `x[[2, 0]]` are one operation with the index as its option. A slice of a NumPy array
# is a *view* of the same memory, and so is a slice of a Tensor; an integer list or a mask makes a copy. Setting entries
# changes a plain Tensor in place. A Tensor that requires a gradient refuses: its old value may be needed to compute
# derivatives, and an operation that overwrites it cannot be undone.

# %%
#| export
def explain_index(shape, index) -> str:
    """What is wrong with x[index] for x of this shape; empty where NumPy's own sentence says it."""
    entries = index if isinstance(index, tuple) else (index,)
    for i in entries:
        if isinstance(i, (str, float, dict, set)):
            return f"x[index]: {i!r:.60} is no index. Expected integers, slices, or lists of integers or of booleans."
    named = [i for i in entries if i is not None and i is not ...]
    if named and not shape:
        return "x[index]: x is a single number and has no entries to choose from. x.item() is its value."
    if len(named) > len(shape):
        return f"x[index]: {len(named)} indices, but x has the shape {shape}, and so {len(shape)} axes."
    return ""


@operation(explain=explain_index)
def getitem(x, /, index):
    """x[index]: a view for slices and integers, a copy for masks and lists of integers."""
    return x[index]


def plain_index(index):
    """`index` with arrays in the place of Tensors."""
    if isinstance(index, tuple):
        return tuple(plain_index(i) for i in index)
    return index.detach().numpy() if isinstance(index, Tensor) else index


def refuse_change(tensor, what):
    """Raise where `tensor` requires a gradient and must not be changed in place."""
    if tensor.requires_grad:
        raise RuntimeError(
            f"{what}: this Tensor requires a gradient and cannot be changed in place.\n"
            "  Write y = y + x in place of y += x, and where(mask, a, b) in place of an assignment.\n"
            "  To overwrite values outside any derivative (an optimizer's step), write to x.data."
        )


def set_entries(self, index, value):
    """self[index] = value, for a Tensor without a gradient."""
    refuse_change(self, "x[index] = value")
    if isinstance(value, Tensor):
        refuse_change(value, "x[index] = value")
        value = value.data
    elif not isinstance(value, (int, float, *ARRAYS)):
        value = to_array(value, self.dtype)
    array = np.array(self.data) if self.ndim == 0 else self.data
    try:
        array[plain_index(index)] = value
    except (TypeError, ValueError, IndexError) as error:
        raise type(error)(explain_index(self.shape, index) or f"x[index] = value: {error}") from error
    self.data = unboxed(array)


def in_place(function, symbol):
    """The method for `+=` and its kin: a plain Tensor is changed, anything with a gradient refuses."""
    def change(self, other):
        refuse_change(self, f"x {symbol} y")
        if isinstance(other, Tensor):
            refuse_change(other, f"x {symbol} y")
        result = function(self, other)
        if result.shape != self.shape or not np.can_cast(result.dtype, self.dtype, "same_kind"):
            raise ValueError(
                f"x {symbol} y: the result is {result.shape} {result.dtype} and does not fit into x, {self.shape} {self.dtype}.\n"
                f"  Write x = x {symbol[:-1]} y for a new Tensor."
            )
        set_entries(self, ..., result)
        return self

    return change


Tensor.__getitem__ = lambda self, index: getitem(self, plain_index(index))
Tensor.__setitem__ = set_entries
Tensor.__iadd__ = in_place(add, "+=")
Tensor.__isub__ = in_place(subtract, "-=")
Tensor.__imul__ = in_place(multiply, "*=")
Tensor.__itruediv__ = in_place(divide, "/=")
Tensor.__ipow__ = in_place(power, "**=")
Tensor.__imatmul__ = in_place(lambda x, y: x @ y, "@=")

# %% [markdown]
# ## Shapes, and the memory behind them
#
# An array is a block of memory plus two tuples: its *shape*, and its *strides*, how many bytes to go from an entry to
# the next along each axis. Rows of a (2, 3) array of 4-byte floats lie one after the other: 12 bytes to the next row, 4
# to the next column. Transposing swaps the two tuples and moves no byte.

# %%
x = Tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
print("shape  ", x.data.shape, "strides", x.data.strides)
print("shape  ", x.data.T.shape, "strides", x.data.T.strides, " same memory:", np.shares_memory(x.data, x.data.T))

# %% nbgrader={"grade": false, "grade_id": "contiguous_strides", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def contiguous_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Strides of a new array of `shape`, in bytes: the last axis is the densest.

    Parameters
    ----------
    shape : tuple of int
    itemsize : int
        Bytes of one entry.

    Returns
    -------
    tuple of int
        As long as `shape`. A step along an axis passes over one whole block of all
        the axes after it. Computed from the lengths alone: no array has to be made for it.
    """
    ### BEGIN SOLUTION contiguous_strides
    strides, step = [], itemsize
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# contiguous_strides:
#   title: How far to the next entry
#   hints:
#     - Along the last axis the next entry is `itemsize` bytes away. And along the one before it?
#     - Go through the shape from the right. Keep the size of a step, which starts at itemsize and grows by each length you pass.
#     - "step *= n, for each n from the right; the step goes onto the list before it grows"
#   misconceptions:
#     - name: the first axis is the densest
#       says: >-
#         The strides are those of an array whose first axis is the densest (Fortran's order). NumPy's default is C's order:
#         the last axis is the densest, so go through the shape from the right.
#       code: |
#         strides, step = [], itemsize
#         for n in shape:
#             strides.append(step)
#             step *= n
#         return tuple(strides)
#     - name: counts entries, not bytes
#       says: >-
#         The strides count entries. NumPy's strides are bytes: begin with itemsize, not with 1.
#       code: |
#         strides, step = [], 1
#         for n in reversed(shape):
#             strides.append(step)
#             step *= n
#         return tuple(reversed(strides))
#     - name: asks an array that NumPy makes
#       says: >-
#         An array was made in order to ask it for its strides, and this one would be too large for any memory. The strides follow from
#         the lengths alone: go through the shape from the right, and multiply.
#       code: |
#         return np.empty(shape, f"V{itemsize}").strides

# %% nbgrader={"grade": true, "grade_id": "test_contiguous_strides", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_contiguous_strides():
    check(contiguous_strides((2, 3), 4), (12, 4))
    check(contiguous_strides((5,), 8), (8,))
    check(contiguous_strides((2, 3, 4), 8), (96, 32, 8))
    check(contiguous_strides((), 4), ())
    check(contiguous_strides((5, 10**9, 10**9), 8), (8 * 10**18, 8 * 10**9, 8))  # no memory holds such an array

test_contiguous_strides()

# %% [markdown]
# Strides explain a cost that no formula shows. Summing the rows of a large array reads memory in order. Summing its
# columns one at a time jumps from row to row, and each jump fetches a whole line of the cache to use 4 bytes of it.

# %%
big = np.ones((2000, 2000), dtype=np.float32)
along = seconds(lambda: [big[i].sum() for i in range(0, 2000, 20)], number=5)
across = seconds(lambda: [big[:, i].sum() for i in range(0, 2000, 20)], number=5)
print(f"100 rows     {1e6 * along:7.0f} us   next entry {big[0].strides[0]} bytes away")
print(f"100 columns  {1e6 * across:7.0f} us   next entry {big[:, 0].strides[0]} bytes away")
print(f"the same numbers, {across / along:.1f} times the time")

# %% [markdown]
# The operations that change shapes follow. All are views where NumPy's are.

# %%
#| export
def explain_reshape(x, shape):
    sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
    if not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in sizes):
        return f"reshape: {shape!r:.60} is no shape. Expected whole numbers, as in x.reshape(2, 3)."
    n = int(np.prod(x, dtype=np.int64))
    return (
        f"reshape: the {n} entries of the shape {x} do not fill the shape {tuple(sizes)}.\n"
        f"  The sizes have to multiply to {n}; one of them may be -1, for what is left."
    )


def explain_transpose(x, axes):
    return (
        f"transpose: the axes are {axes!r:.60}. Expected every axis of the shape {x} once, such as "
        f"{tuple(reversed(range(len(x))))}.\n  x.swapaxes(0, 1) exchanges two."
    )


def explain_swapaxes(x, axis1, axis2):
    return wrong_axis("swapaxes", axis1, len(x)) or wrong_axis("swapaxes", axis2, len(x))


def explain_broadcast_to(x, shape):
    return f"broadcast_to: {x} does not stretch to {shape!r:.60}. From the right, sizes have to be equal, or 1 in {x}."


@operation(numpy=np.reshape, explain=explain_reshape)
def reshape(x, /, shape):
    """The same entries in another shape; one size may be -1, for what is left."""
    if (min(shape, default=0) if isinstance(shape, (tuple, list)) else shape) < -1:
        raise ValueError(shape)
    return x.reshape(shape)


@operation(numpy=np.transpose, explain=explain_transpose)
def transpose(x, /, axes=None):
    """The axes in another order, reversed without `axes`."""
    return np.transpose(x, axes)


@operation(numpy=np.swapaxes, explain=explain_swapaxes)
def swapaxes(x, /, axis1, axis2):
    """Two axes exchanged."""
    return np.swapaxes(x, axis1, axis2)


@operation(numpy=np.broadcast_to, explain=explain_broadcast_to)
def broadcast_to(x, /, shape):
    """x stretched to `shape` without copying; not to be written to."""
    return np.broadcast_to(x, shape)


def expand_dims(x, axis: int):
    """x with a new axis of length 1 at `axis`."""
    check_axis("expand_dims", axis, np.ndim(x) + 1, several=True, of="the result")
    return reshape(as_operand(x), np.expand_dims(np.empty(np.shape(x), bool), axis).shape)


def squeeze(x, axis: int | tuple[int, ...] | None = None):
    """x without its axes of length 1, or without those named."""
    x = as_operand(x)
    if axis is not None:
        check_axis("squeeze", axis, x.ndim, several=True)
        for a in axis if isinstance(axis, tuple) else (axis,):
            if x.shape[a] != 1:
                raise ValueError(
                    f"squeeze: axis {a} of the shape {x.shape} has {x.shape[a]} entries, and only an axis of length 1 can go.\n"
                    "  x.sum(axis=...) or x[0] make one of several."
                )
    return reshape(x, np.empty(np.shape(x), bool).squeeze(axis).shape)


def ravel(x):
    """x with a single axis."""
    return reshape(x, -1)


NUMPY[np.expand_dims], NUMPY[np.squeeze], NUMPY[np.ravel] = expand_dims, squeeze, ravel

Tensor.reshape = lambda self, *shape: reshape(self, shape[0] if len(shape) == 1 else shape)
Tensor.transpose = lambda self, *axes: transpose(self, axes[0] if len(axes) == 1 else axes or None)
Tensor.reshape.__doc__ = "The same entries in another shape, given as a tuple or as its sizes; one of them may be -1."
Tensor.transpose.__doc__ = "The axes in another order, given as a tuple or one by one; reversed without any."
Tensor.swapaxes = swapaxes
Tensor.flatten = ravel
Tensor.squeeze = squeeze
Tensor.T = property(transpose, doc="The axes in reverse order.")
Tensor.mT = property(lambda self: swapaxes(self, -1, -2), doc="The last two axes exchanged.")

# %%
x = Tensor(np.arange(6.0).reshape(2, 3))
print(x.T.shape, x.reshape(3, -1).shape, x.reshape(-1).shape, x[1], x[:, 0], x[x > 3])

# %% [markdown]
# ## Reductions
#
# A sum over `axis` removes that axis; with `keepdims=True` it stays, with length 1, so that the result broadcasts
# against what it came from. The names are `reduce_sum`, `reduce_max` and `reduce_min` because `sum` is Python's own; as
# methods they are `x.sum()`, `x.max()` and `x.min()`.

# %%
#| export
def explain_reduction(name):
    def message(shape, axis, keepdims):
        wrong = "" if axis is None else wrong_axis(name, axis, len(shape), several=True)
        empty = f"{name}: a Tensor of shape {shape} has an axis without entries, and so no {name}imum."
        return wrong or (empty if 0 in shape and name != "sum" else "")
    return message


@operation(numpy=np.sum, explain=explain_reduction("sum"))
def reduce_sum(x, /, axis=None, keepdims=False):
    """Sum over `axis` (an int, a tuple, or None for all)."""
    return x.sum(axis=axis, keepdims=keepdims)


@operation(numpy=(np.max, np.amax), explain=explain_reduction("max"))
def reduce_max(x, /, axis=None, keepdims=False):
    """Largest entry along `axis` (an int, a tuple, or None for all)."""
    return x.max(axis=axis, keepdims=keepdims)


@operation(numpy=(np.min, np.amin), explain=explain_reduction("min"))
def reduce_min(x, /, axis=None, keepdims=False):
    """Smallest entry along `axis` (an int, a tuple, or None for all)."""
    return x.min(axis=axis, keepdims=keepdims)


def count(shape: tuple[int, ...], axis=None) -> int:
    """Number of entries that a reduction over `axis` joins into one."""
    axes = range(len(shape)) if axis is None or not shape else axis if isinstance(axis, tuple) else (axis,)
    return int(np.prod([shape[i] for i in axes], dtype=np.int64))


def reducible(name: str, x, axis):
    """x as a Tensor or array, once it is seen to have `axis`; as in NumPy, a single number may be asked along 0 and -1."""
    x = as_operand(x)
    if axis is not None:
        check_axis(name, axis, max(x.ndim, 1), several=True)
    return x


# %% [markdown]
# `mean` and `var` need no operation of their own. They are *compositions*: written with operations that exist, they
# inherit everything those will learn, derivatives included.

# %% nbgrader={"grade": false, "grade_id": "mean_var", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def mean(x, axis=None, keepdims=False):
    """Mean over `axis`.

    Parameters
    ----------
    x : Tensor
    axis : int, tuple of int, or None
        The axes to average over; None for all.
    keepdims : bool
        Whether those axes stay, with length 1.

    Notes
    -----
    `count(x.shape, axis)` is the number of entries that are averaged.
    """
    x = reducible("mean", x, axis)
    ### BEGIN SOLUTION mean
    return reduce_sum(x, axis, keepdims) / count(x.shape, axis)
    ### END SOLUTION


def var(x, axis=None, ddof=0, keepdims=False):
    """Variance over `axis`: the mean squared distance from the mean.

    Parameters
    ----------
    x : Tensor
    axis : int, tuple of int, or None
    ddof : int
        Taken off the number of entries that the squares are divided by: 0 for the
        variance of these numbers, 1 for an estimate of the variance of what they were drawn
        from.
    keepdims : bool
    """
    x = reducible("var", x, axis)
    ### BEGIN SOLUTION var
    distance = x - mean(x, axis, keepdims=True)
    return reduce_sum(distance * distance, axis, keepdims) / (count(x.shape, axis) - ddof)
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# mean:
#   title: The mean as a composition
#   hints:
#     - A mean is a sum divided by something. What, when only one axis is averaged?
#     - Sum with the same axis and keepdims, and divide by the number of entries that each sum joins.
#     - "return reduce_sum(...) / count(...), the second of x.shape and the axis"
#   misconceptions:
#     - name: NumPy's mean of the bare array
#       says: >-
#         The numbers are right, but NumPy computed them from the bare array (.data). Only operations on Tensors can be recorded; the derivatives
#         of a later chapter need that record. Compose it of reduce_sum and a division.
#       code: |
#         return wrap(np.mean(x.data, axis=axis, keepdims=keepdims))
#     - name: divides by all entries
#       says: >-
#         The sum was divided by the number of all entries. A mean over one axis divides by the length of that axis only.
#       code: |
#         return reduce_sum(x, axis, keepdims) / x.size
#     - name: divides by the first axis
#       says: >-
#         The sum was divided by len(x), the length of the first axis, whatever axis was averaged.
#       code: |
#         return reduce_sum(x, axis, keepdims) / len(x)
#     - name: forgets keepdims
#       says: >-
#         keepdims was not passed on, so the axis is gone and the result no longer broadcasts against x.
#       code: |
#         return reduce_sum(x, axis) / count(x.shape, axis)
# var:
#   title: The variance as a composition
#   hints:
#     - The variance is the mean of something squared. What has to keep its axes for the subtraction to broadcast?
#     - Subtract the mean (keepdims=True), square, sum over the axis, and divide by the count less ddof.
#     - "distance = x - mean(...), with the axis kept, so that each mean stands over the entries that it belongs to"
#   misconceptions:
#     - name: NumPy's variance of the bare array
#       says: >-
#         The numbers are right, but NumPy computed them from the bare array (.data). Only operations on Tensors can be recorded; the derivatives
#         of a later chapter need that record. Compose it of mean, reduce_sum and arithmetic.
#       code: |
#         return wrap(np.var(x.data, axis=axis, ddof=ddof, keepdims=keepdims))
#     - name: divides by n - 1
#       says: >-
#         The squares were divided by n - 1 although ddof is 0. NumPy's default, and ours, divides by n; PyTorch's divides
#         by n - 1. Subtract ddof, whatever it is.
#       code: |
#         distance = x - mean(x, axis, keepdims=True)
#         return reduce_sum(distance * distance, axis, keepdims) / (count(x.shape, axis) - 1)
#     - name: ignores ddof
#       says: >-
#         ddof made no difference. It is taken off the number that the sum of squares is divided by.
#       code: |
#         distance = x - mean(x, axis, keepdims=True)
#         return mean(distance * distance, axis, keepdims)
#     - name: subtracts a mean that lost its axis
#       says: >-
#         The mean was subtracted without keepdims=True. Over the last axis its shape no longer lines up with x; where the
#         sizes happen to fit, the wrong numbers are subtracted.
#       code: |
#         distance = x - mean(x, axis)
#         return reduce_sum(distance * distance, axis, keepdims) / (count(x.shape, axis) - ddof)
#     - name: mean of squares less square of the mean, in float32
#       says: >-
#         The formula "mean of squares minus square of the mean" subtracts two large, nearly equal numbers, and in float32
#         hardly a digit is left. Subtract the mean first, then square.
#       code: |
#         n = count(x.shape, axis)
#         square_of_mean = mean(x, axis, keepdims) * mean(x, axis, keepdims)
#         return (mean(x * x, axis, keepdims) - square_of_mean) * (n / (n - ddof))

# %% nbgrader={"grade": true, "grade_id": "test_mean", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_mean():
    x = Tensor([[1.0, 2.0, 3.0], [5.0, 7.0, 9.0]])
    check(mean(x), 4.5)
    check(mean(x, axis=0), [3.0, 4.5, 6.0])
    check(mean(x, axis=1), [2.0, 7.0])
    check(mean(x, axis=-1, keepdims=True), [[2.0], [7.0]])
    check(mean(x, axis=(0, 1)), 4.5)
    check(str(mean(x).dtype), "float32")

    class Weight(Tensor):
        requires_grad = True

    def recorded(call):  # what is computed with operations is recorded; what reaches into .data is not
        previous = set_recorder(lambda lifted, out, *_: Weight(out))
        try:
            return type(call(Weight([[1.0, 3.0]]))).__name__
        finally:
            set_recorder(previous)

    check(recorded(mean), "Weight")
    check(recorded(lambda x: mean(x, axis=0, keepdims=True)), "Weight")

test_mean()

# %% nbgrader={"grade": true, "grade_id": "test_var", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_var():
    x = Tensor([[1.0, 2.0, 3.0], [5.0, 7.0, 9.0], [0.0, 0.0, 3.0]])
    check(var(Tensor([1.0, 2.0, 3.0, 6.0])), 3.5)
    check(var(Tensor([1.0, 2.0, 6.0]), ddof=1), 7.0)
    check(var(x, axis=1), [2 / 3, 8 / 3, 2.0])
    check(var(x, axis=0, keepdims=True), [[14 / 3, 26 / 3, 8.0]])
    check(var(Tensor([10000.0, 10001.0, 10002.0])), 2 / 3)

    class Weight(Tensor):
        requires_grad = True

    def recorded(call):  # what is computed with operations is recorded; what reaches into .data is not
        previous = set_recorder(lambda lifted, out, *_: Weight(out))
        try:
            return type(call(Weight([[1.0, 3.0]]))).__name__
        finally:
            set_recorder(previous)

    check(recorded(var), "Weight")

test_var()

# %%
#| export
NUMPY[np.mean], NUMPY[np.var] = mean, var


def std(x, axis=None, ddof=0, keepdims=False):
    """Standard deviation over `axis`: the square root of the variance."""
    return sqrt(var(x, axis, ddof, keepdims))


def searched(name: str, x, axis) -> np.ndarray | np.generic:
    """The array of x, once it is seen to have entries along `axis`, a single one."""
    x = as_tensor(x)
    if axis is not None:
        check_axis(name, axis, max(x.ndim, 1))
    if x.size == 0 and (axis is None or x.shape[axis] == 0):
        raise ValueError(f"{name}: a Tensor of shape {x.shape} has no entries there to choose from.")
    return x.data


def argmax(x, axis: int | None = None) -> Tensor:
    """Index of the largest entry along `axis`; of the flattened Tensor without it. No derivative."""
    return wrap(searched("argmax", x, axis).argmax(axis))


def argmin(x, axis: int | None = None) -> Tensor:
    """Index of the smallest entry along `axis`; of the flattened Tensor without it. No derivative."""
    return wrap(searched("argmin", x, axis).argmin(axis))


def astype(x, dtype) -> Tensor:
    """A copy with entries of another dtype; outside any derivative, so x must not require one."""
    return wrap(as_tensor(x).numpy().astype(checked_dtype(dtype)))


def copy(x) -> Tensor:
    """A copy that shares no memory; outside any derivative, so x must not require one."""
    return wrap(as_tensor(x).numpy().copy())


NUMPY[np.std] = std
Tensor.sum, Tensor.max, Tensor.min = reduce_sum, reduce_max, reduce_min
Tensor.mean, Tensor.var, Tensor.std = mean, var, std
Tensor.argmax, Tensor.argmin, Tensor.astype, Tensor.copy = argmax, argmin, astype, copy

# %% [markdown]
# ## The matrix product
#
# `x (N, D) @ w (D, K) -> (N, K)`: every entry of the result is a sum over the shared axis `D`. With more axes in front
# the product is taken matrix by matrix, the axes in front broadcasting. The lifted operation handles these cases, and
# its error names the two sizes that differ.
#
# What remains is vectors. By convention `v (D,)` on the left is a row `(1, D)`, on the right a column `(D, 1)`, and the
# axis that was added is removed from the result. Done by reshaping, this too is a composition, so that no derivative
# rule will have to know about vectors.

# %%
#| export
def explain_matmul(x, w):
    if len(x) == 1 or len(w) == 1:
        return (
            f"matmul: inner sizes differ: x is {x}, w is {w}.\n"
            f"  x @ w multiplies the last axis of x, {x[-1]} here, with {'the' if len(w) == 1 else 'the last but one'} axis of w, "
            f"{w[max(-2, -len(w))]} here."
        )
    if len(x) > 1 and len(w) > 1 and x[-1] != w[-2]:
        hint = "Did you store the weights as (out, in)? Try x @ w.mT." if x[-1] == w[-1] else (
            f"Reshape one of them so that both sizes are {x[-1]} or both {w[-2]}."
        )
        return (
            f"matmul: inner sizes differ: x is {x}, w is {w}.\n"
            f"  x @ w needs x.shape[-1] == w.shape[-2], here {x[-1]} and {w[-2]}.\n  {hint}"
        )
    return f"matmul: the axes in front do not broadcast: x is {x}, w is {w}."


@operation(explain=explain_matmul)
def matrix_product(x, y, /):
    """x @ y for arrays with at least two axes."""
    return x @ y


# %% nbgrader={"grade": false, "grade_id": "matmul", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def matmul(x, y):
    """Matrix product over the last axis of x and the last but one of y.

    Parameters
    ----------
    x : Tensor or array, shape (..., N, D) or (D,)
    y : Tensor or array, shape (..., D, K) or (D,)

    Returns
    -------
    shape (..., N, K)
        Without N where x is a vector, without K where y is one; a number where both are.

    Raises
    ------
    ValueError
        Where the inner sizes differ, or an input is a single number.

    Notes
    -----
    Make a vector x a row and a vector y a column by `reshape`, call `matrix_product`, and remove by
    `reshape` the axis that was added. All must work for batches too: (D,) @ (B, D, K)
    is (B, K).
    """
    x, y = as_operand(x), as_operand(y)
    if x.ndim == 0 or y.ndim == 0:
        raise ValueError("matmul: an input is a single number. Use * to scale.")
    if (x.ndim == 1 or y.ndim == 1) and x.shape[-1] != y.shape[max(-2, -y.ndim)]:
        raise ValueError(explain_matmul(x.shape, y.shape))
    ### BEGIN SOLUTION matmul
    if x.ndim > 1 and y.ndim > 1:
        return matrix_product(x, y)
    row = reshape(x, (1, -1)) if x.ndim == 1 else x
    column = reshape(y, (-1, 1)) if y.ndim == 1 else y
    out = matrix_product(row, column)
    front = out.shape[:-2] + out.shape[-2:-1] * (x.ndim > 1) + out.shape[-1:] * (y.ndim > 1)
    return reshape(out, front)
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# matmul:
#   title: Matrix products with vectors
#   hints:
#     - Which two shapes would make a vector work with matrix_product, and what is then too much in the result?
#     - Reshape a vector x to (1, -1), a vector y to (-1, 1). Multiply. Rebuild the shape of the result without the axes that you added, keeping any batch axes in front.
#     - "front = out.shape[:-2] + out.shape[-2:-1] * (...) + ..., where a tuple times True is itself, and times False it is empty"
#   misconceptions:
#     - name: leaves the added axis
#       says: >-
#         The result still has the axis that was added to make the vector a matrix. Reshape it away.
#       code: |
#         row = reshape(x, (1, -1)) if x.ndim == 1 else x
#         column = reshape(y, (-1, 1)) if y.ndim == 1 else y
#         return matrix_product(row, column)
#     - name: squeezes every axis of length 1
#       says: >-
#         squeeze() removed an axis of length 1 that was there from the start. Remove only what you added.
#       code: |
#         if x.ndim > 1 and y.ndim > 1:
#             return matrix_product(x, y)
#         row = reshape(x, (1, -1)) if x.ndim == 1 else x
#         column = reshape(y, (-1, 1)) if y.ndim == 1 else y
#         return squeeze(matrix_product(row, column))
#     - name: forgets the batch axes
#       says: >-
#         With batches in front the result lost its batch axes. Keep out.shape[:-2].
#       code: |
#         if x.ndim > 1 and y.ndim > 1:
#             return matrix_product(x, y)
#         row = reshape(x, (1, -1)) if x.ndim == 1 else x
#         column = reshape(y, (-1, 1)) if y.ndim == 1 else y
#         out = matrix_product(row, column)
#         return reshape(out, () if x.ndim == y.ndim == 1 else -1)

# %% nbgrader={"grade": true, "grade_id": "test_matmul", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_matmul():
    m, v = Tensor([[1.0, 2.0], [3.0, 4.0]]), Tensor([10.0, 100.0])
    check(matmul(m, m), [[7.0, 10.0], [15.0, 22.0]])
    check(matmul(m, v), [210.0, 430.0])
    check(matmul(v, m), [310.0, 420.0])
    check(matmul(v, v), 10100.0)
    check(matmul(Tensor(np.ones((1, 3))), Tensor([1.0, 2.0, 3.0])), [6.0])
    check(matmul(Tensor(np.ones((5, 2, 3))), Tensor(np.ones((3, 4)))).shape, (5, 2, 4))
    check(matmul(Tensor(np.ones(3)), Tensor(np.ones((5, 3, 4)))).shape, (5, 4))
    check(matmul(Tensor(np.ones((5, 2, 3))), Tensor(np.ones(3))).shape, (5, 2))
    check_raises(ValueError, lambda: matmul(Tensor(np.ones((32, 784))), Tensor(np.ones((128, 784)))), "Try x @ w.mT")
    check_raises(ValueError, lambda: matmul(m, Tensor(3.0)), "single number")

test_matmul()

# %% [markdown]
# NumPy's own `@` takes vectors too, so the values alone do not show whether the operation only ever saw matrices. What
# is recorded does.

# %% nbgrader={"grade": true, "grade_id": "test_matmul__recorded", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_matmul_recorded():
    class Weight(Tensor):
        requires_grad = True

    def multiplied(x, y):
        seen = []
        previous = set_recorder(lambda lifted, out, inputs, arrays, *_: seen.append((lifted, arrays)) or Weight(out))
        try:
            matmul(Weight(x), Weight(y))
        finally:
            set_recorder(previous)
        return [[a.shape for a in arrays] for lifted, arrays in seen if lifted is matrix_product]

    m, v = np.ones((2, 2)), np.ones(2)
    check(multiplied(m, m), [[(2, 2), (2, 2)]])
    check(multiplied(v, m), [[(1, 2), (2, 2)]])
    check(multiplied(m, v), [[(2, 2), (2, 1)]])
    check(multiplied(v, v), [[(1, 2), (2, 1)]])

test_matmul_recorded()

# %%
#| export
def dot(x, y):
    """np.dot where it is a product with a number, a vector or a matrix."""
    x, y = as_operand(x), as_operand(y)
    if y.ndim > 2:
        raise ValueError(f"np.dot: y has shape {y.shape}. Use x @ y for batches of matrices, or einsum.")
    return matmul(x, y) if x.ndim and y.ndim else multiply(x, y)


NUMPY[np.matmul], NUMPY[np.dot] = matmul, dot


Tensor.__matmul__ = matmul
Tensor.__rmatmul__ = lambda self, other: matmul(other, self)

# %% [markdown]
# ## Joining Tensors
#
# `concatenate` puts Tensors one after the other along an axis that exists. `stack` puts them side by side along a new
# one; it is `concatenate` after giving each of them that axis.

# %%
#| export
def operands(name: str, xs) -> list:
    """`xs` as a list of Tensors and arrays, once it is seen to be one that is not empty."""
    if isinstance(xs, str) or not hasattr(xs, "__iter__"):
        raise TypeError(f"{name}: {xs!r:.60} is no list of Tensors. Expected one, as in {name}([x, y]).")
    xs = [as_operand(x) for x in xs]
    if not xs:
        raise ValueError(f"{name}: the list is empty. Give it at least one Tensor.")
    return xs


def explain_join(*shapes, axis):
    return wrong_axis("concatenate", axis, len(shapes[0])) or (
        f"concatenate: the shapes {', '.join(map(str, shapes))} do not fit together.\n"
        "  All need the same number of axes, and the same sizes except along the axis that is joined."
    )


@operation(explain=explain_join)
def join(*xs, axis=0):
    """Arrays one after the other along `axis`."""
    return np.concatenate(xs, axis)


def concatenate(xs, axis: int = 0):
    """Tensors one after the other along an existing axis.

    Parameters
    ----------
    xs : sequence of Tensors, at least one, equal in every size but that of `axis`
    axis : int
    """
    xs = operands("concatenate", xs)
    if axis is None:
        xs, axis = [reshape(x, -1) for x in xs], 0
    if not all(x.ndim for x in xs):
        raise ValueError("concatenate: a single number has no axis to join along. Use stack.")
    return join(*xs, axis=axis)


# %% nbgrader={"grade": false, "grade_id": "stack", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def stack(xs, axis: int = 0):
    """Tensors of one shape side by side along a new axis.

    Parameters
    ----------
    xs : sequence of Tensors of one shape, at least one
    axis : int
        Where the new axis stands in the result.

    Raises
    ------
    ValueError
        Where the shapes differ. The message holds "same shape".
    """
    xs = operands("stack", xs)
    check_axis("stack", axis, xs[0].ndim + 1, of="the result")
    ### BEGIN SOLUTION stack
    shapes = [np.shape(x) for x in xs]
    if len(set(shapes)) > 1:
        raise ValueError(f"stack: all Tensors need the same shape, these have {', '.join(map(str, shapes))}.")
    return concatenate([expand_dims(x, axis) for x in xs], axis)
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# stack:
#   title: Side by side
#   hints:
#     - Which operation of this chapter gives a Tensor one more axis, of length 1?
#     - Refuse differing shapes, then expand_dims each Tensor at `axis`, then concatenate along it.
#     - "return concatenate([... for x in xs], axis), with each x given its new axis first"
#   misconceptions:
#     - name: NumPy's stack of the bare arrays
#       says: >-
#         The numbers are right, but NumPy computed them from the bare arrays (.data). Only operations on Tensors can be recorded; the derivatives
#         of a later chapter need that record. Compose it of expand_dims and concatenate.
#       code: |
#         if len({np.shape(x) for x in xs}) > 1:
#             raise ValueError("stack: all Tensors need the same shape")
#         return wrap(np.stack([x.data for x in xs], axis))
#     - name: joins along an existing axis
#       says: >-
#         The Tensors were joined end to end, without a new axis. Give each an axis of length 1 first.
#       code: |
#         if len({np.shape(x) for x in xs}) > 1:
#             raise ValueError("stack: all Tensors need the same shape")
#         return concatenate(xs, axis)
#     - name: puts the new axis always in front
#       says: >-
#         The new axis came first although another place was asked for. expand_dims takes the axis too.
#       code: |
#         if len({np.shape(x) for x in xs}) > 1:
#             raise ValueError("stack: all Tensors need the same shape")
#         return concatenate([expand_dims(x, 0) for x in xs], 0)

# %% nbgrader={"grade": true, "grade_id": "test_stack", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_stack():
    a, b = Tensor([1.0, 2.0]), Tensor([3.0, 4.0])
    check(stack([a, b]), [[1.0, 2.0], [3.0, 4.0]])
    check(stack([a, b], axis=1), [[1.0, 3.0], [2.0, 4.0]])
    check(stack([a, b], axis=-1), [[1.0, 3.0], [2.0, 4.0]])
    check(stack([Tensor(1.0), Tensor(2.0)]), [1.0, 2.0])
    check(concatenate([a, b]), [1.0, 2.0, 3.0, 4.0])
    check_raises(ValueError, lambda: stack([a, Tensor([1.0])]), "same shape")
    check_raises(ValueError, lambda: concatenate([a, Tensor([[1.0, 2.0]])]), "do not fit together")

    class Weight(Tensor):
        requires_grad = True

    def recorded(call):  # what is computed with operations is recorded; what reaches into .data is not
        previous = set_recorder(lambda lifted, out, *_: Weight(out))
        try:
            return type(call(Weight([[1.0, 3.0]]))).__name__
        finally:
            set_recorder(previous)

    check(recorded(lambda x: stack([x, x])), "Weight")

test_stack()

# %% [markdown]
# ## Einsum: a product in the language of indices
#
# `einsum("nd,dk->nk", x, w)` is the matrix product, spelled out: multiply over all of n, d, k and sum over the index
# that the result does not name. Traces, outer products, attention scores and batched products are all one string away.
# The function normalises the string first (the dots for "any axes", the result left out, an index used twice in one
# input), so that the operation itself sees only the plain form.

# %%
#| export
@operation
def contract(*xs, subscripts):
    """np.einsum with explicit subscripts: no dots, a result, no index twice in one input."""
    return np.einsum(subscripts, *xs, optimize=len(xs) > 1)


def einsum(subscripts: str, *xs):
    """Sum of products, the indices named by letters.

    Parameters
    ----------
    subscripts : str
        One letter an axis, inputs separated by commas, then "->" and the axes of the result:
        "nd,dk->nk" is a matrix product. Letters that the result leaves out are summed over.
        Without "->" the result has the letters that occur once, in alphabetical
        order. "..." stands for any axes in front.
    *xs : Tensors or arrays

    Raises
    ------
    ValueError
        Where subscripts and inputs do not fit together.
    """
    if not isinstance(subscripts, str):
        raise TypeError(f"einsum: the first argument is a string such as 'ij,jk->ik', not {subscripts!r:.60}.")
    xs = [as_operand(x) for x in xs]
    terms, result = parse_subscripts(subscripts, [x.ndim for x in xs])
    sizes = {}
    for c, n in ((c, n) for term, x in zip(terms, xs) for c, n in zip(term, x.shape)):
        if sizes.setdefault(c, n) != n and 1 not in (n, sizes[c]):
            raise ValueError(f"einsum: in {subscripts!r} index {c!r} has the sizes {sizes[c]} and {n}.")
        sizes[c] = max(n, sizes[c]) if n else 0
    for i, x in enumerate(list(xs)):
        while len(set(terms[i])) < len(terms[i]):  # x_ii is x_ij times the identity
            twice = next(c for c in terms[i] if terms[i].count(c) > 1)
            fresh = next(c for c in LETTERS if c not in "".join(terms) + result)
            n = x.shape[terms[i].index(twice)]
            if x.shape[terms[i].rindex(twice)] != n:
                raise ValueError(f"einsum: {subscripts!r} takes a diagonal along {twice!r}, and {x.shape} has none there.")
            terms[i] = terms[i].replace(twice, fresh, 1)
            terms.append(twice + fresh)
            xs.append(np.eye(n, dtype=x.dtype))
    return contract(*xs, subscripts=",".join(terms) + "->" + result)


LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def parse_subscripts(subscripts: str, ndims: list[int]) -> tuple[list[str], str]:
    """The terms and the result of an einsum string, dots replaced by letters."""
    left, arrow, result = subscripts.replace(" ", "").partition("->")
    for c in left.replace("...", "").replace(",", "") + result.replace("...", ""):
        if c not in LETTERS:
            raise ValueError(f"einsum: {c!r} in {subscripts!r} is no letter. Each axis is named by one, any axes by '...'.")
    terms = left.split(",")
    if len(terms) != len(ndims):
        raise ValueError(f"einsum: {subscripts!r} describes {len(terms)} inputs, {len(ndims)} are given.")
    free = [c for c in LETTERS if c not in subscripts]
    widths = [n - len(t.replace("...", "")) for t, n in zip(terms, ndims)]
    for t, n, width in zip(terms, ndims, widths):
        if width < 0 or (width > 0 and "..." not in t):
            raise ValueError(f"einsum: {t!r} names {len(t.replace('...', ''))} axes, its input has {n}.")
    most = max([w for t, w in zip(terms, widths) if "..." in t], default=0)
    dots = "".join(free[:most])
    terms = [t.replace("...", dots[most - w :]) for t, w in zip(terms, widths)]
    if not arrow:
        letters = "".join(terms)
        once = sorted(c for c in set(letters) if letters.count(c) == 1 and c not in dots)
        return terms, dots + "".join(once)
    result = result.replace("...", dots)
    if len(set(result)) < len(result) or not set(result) <= set("".join(terms)):
        raise ValueError(f"einsum: the result of {subscripts!r} repeats an index, or names one that no input has.")
    return terms, result


NUMPY[np.concatenate], NUMPY[np.stack], NUMPY[np.einsum] = concatenate, stack, einsum

# %%
x, w = Tensor([[1.0, 2.0], [3.0, 4.0]]), Tensor([[1.0, 0.0], [1.0, 1.0]])
print(einsum("nd,dk->nk", x, w).tolist(), (x @ w).tolist())
print("trace", einsum("ii->", x), " outer product", einsum("i,j->ij", x[0], x[1]).tolist())

# %% [markdown]
# ## NumPy's functions on Tensors
#
# `np.exp(tensor)` should be a Tensor. NumPy asks its arguments before it computes: an object with the method
# `__array_ufunc__` (for functions that work entry by entry) or `__array_function__` (for the others) is given the call
# to answer. We answer from the table `NUMPY`.
#
# What is not in the table is where frameworks go quietly wrong. For a plain Tensor there is no harm in unwrapping,
# letting NumPy compute, and wrapping the result. For a Tensor that requires a gradient, that would cut it off from its
# history, and the gradient would be zero without a word. So that is an error, and it names the way out.

# %%
#| export
CONSTANT = {
    np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal, np.sign, np.isnan, np.isinf,
    np.isfinite, np.argmax, np.argmin, np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, np.allclose,
    np.isclose, np.array_equal, np.floor, np.ceil, np.rint, np.array_repr, np.array_str, np.array2string,
}  # fmt: skip


REDUCTIONS = {np.sum, np.max, np.amax, np.min, np.amin, np.mean, np.var, np.std}  # NumPy's third argument is not ours


def numpy_function(function, args, named):
    """Answer a call of a NumPy function in which a Tensor takes part."""
    for option in ("out", "where"):
        if named.get(option) is not None and named[option] is not True:
            raise TypeError(f"np.{function.__name__}: {option}= is not supported for Tensors.")
    if function in NUMPY:
        return NUMPY[function](*args, **named)
    if function not in CONSTANT and any(x.requires_grad for x in tensors_in((args, named))):
        raise TypeError(
            f"np.{function.__name__} has no derivative rule, and this Tensor requires a gradient.\n"
            "  Use x.detach() if none should flow through it, or write an @operation and its row in the\n"
            "  table of derivatives."
        )
    return wrapped(function(*unwrapped(args), **unwrapped(named)))


def unwrapped(value):
    """`value` with arrays in the place of Tensors."""
    if isinstance(value, (list, tuple)):
        return type(value)(unwrapped(v) for v in value)
    if isinstance(value, dict):
        return {k: unwrapped(v) for k, v in value.items()}
    return value.data if isinstance(value, Tensor) else value


def wrapped(value):
    """`value` with Tensors in the place of arrays."""
    if isinstance(value, (list, tuple)) and any(isinstance(v, ARRAYS) for v in value):
        return tuple(wrapped(v) for v in value)
    return wrap(unboxed(value)) if isinstance(value, ARRAYS) and value.dtype.kind in "biuf" else value


def array_ufunc(self, ufunc, method, *args, **named):
    """Answer for the functions that work entry by entry."""
    if method != "__call__":
        raise TypeError(f"np.{ufunc.__name__}.{method} is not supported for Tensors; use a method such as x.sum().")
    return numpy_function(ufunc, args, named)


def array_function(self, function, types, args, named):
    """Answer for all other NumPy functions."""
    if len(args) > 2 and function in REDUCTIONS:
        raise TypeError(f"np.{function.__name__}: give what comes after the axis by name, as in keepdims=True.")
    return numpy_function(function, args, named)


def as_array(self, dtype=None, copy=None):
    """Answer for np.asarray; raises where a gradient is required."""
    return np.array(self.numpy(), dtype=dtype, copy=copy)


Tensor.__array_ufunc__ = array_ufunc
Tensor.__array_function__ = array_function
Tensor.__array__ = as_array

# %% nbgrader={"grade": true, "grade_id": "test_numpy", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_numpy():
    x = Tensor([[1.0, 4.0], [9.0, 16.0]])
    check(np.sqrt(x), [[1.0, 2.0], [3.0, 4.0]])
    check(type(np.sqrt(x)) is Tensor, True)
    check(np.array([1.0, 2.0]) * x, [[1.0, 8.0], [9.0, 32.0]])
    check(np.float64(2.0) * x, [[2.0, 8.0], [18.0, 32.0]])
    check(np.sum(x, axis=0), [10.0, 20.0])
    check(np.concatenate([x, x], axis=1).shape, (2, 4))
    check(np.where(x > 4, x, 0.0), [[0.0, 0.0], [9.0, 16.0]])
    check(np.asarray(x).sum(), 30.0)
    check(np.median(x), 6.5)
    check(np.einsum("ii->", x), 17.0)
    check(np.isclose(x[0, 0], 1.0), True)
    check_raises(TypeError, lambda: np.exp(x, out=np.empty((2, 2))), "out= is not supported")
    class Weight(Tensor):
        requires_grad = True
    check_raises(TypeError, lambda: np.median(Weight([1.0, 2.0])), "np.median has no derivative rule")
    check_raises(TypeError, lambda: np.asarray(Weight([1.0, 2.0])), "x.detach().numpy()")

test_numpy()

# %% [markdown]
# ## Names from elsewhere
#
# A reader who comes from PyTorch will type `x.view(3, 2)` or `x.exp()`. Python calls `__getattr__` for a name that it
# did not find, so there we can answer with ours.

# %%
#| export
ELSEWHERE = {
    "view": "x.reshape(2, 3)", "permute": "x.transpose(1, 0)", "unsqueeze": "expand_dims(x, axis)", "clamp": "x.clip(low, high)",
    "numel": "x.size", "dim": "x.ndim", "t": "x.T", "norm": "sqrt((x * x).sum())", "clone": "x.copy()", "pow": "x ** y",
    "float": "x.astype(np.float32)", "double": "x.astype(np.float64)", "long": "x.astype(np.int64)", "abs": "abs(x)",
    "requires_grad_": "Variable(x), from the autograd chapter", "expand": "broadcast_to(x, shape)", "mm": "x @ y",
    "zero_": "x.zero_grad(), or x.grad = None, to forget a gradient", **{name: f"np.{name}(x)" for name in ("any", "all", "cumsum", "prod")},
    **dict.fromkeys(("to", "cpu", "cuda", "device"), "x itself: every Tensor is in main memory, and astype changes its dtype"),
    **{name: f"{name}(x)" for name in ("exp", "log", "sqrt", "sin", "cos", "tanh", "relu", "sigmoid", "softmax", "square")},
}  # fmt: skip


def missing_name(self, name):
    """Raise for an attribute that Tensors do not have, naming ours where another library calls it so."""
    hint = f" Write {ELSEWHERE[name]}." if name in ELSEWHERE else ""
    raise AttributeError(f"{type(self).__name__} has no attribute {name!r}.{hint}", name=name, obj=self)


Tensor.__getattr__ = missing_name

# %% nbgrader={"grade": true, "grade_id": "test_elsewhere", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_elsewhere():
    x = Tensor([1.0, 2.0])
    check_raises(AttributeError, lambda: x.view(2, 1), "Write x.reshape(2, 3)")
    check_raises(AttributeError, lambda: x.exp(), "Write exp(x)")
    check(hasattr(x, "colour"), False)

test_elsewhere()

# %% [markdown]
# ## Making Tensors
#
# A few constructors that every program wants. Random ones take a generator, so that a run can be repeated.

# %%
#| export
def checked_shape(shape, name: str) -> tuple[int, ...]:
    """`shape` as a tuple, once its sizes are seen to be integers of at least 0."""
    sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
    if not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n >= 0 for n in sizes):
        raise ValueError(f"{name}: {shape!r:.60} is no shape. Expected integers of at least 0, such as (2, 3).")
    return tuple(int(n) for n in sizes)


def zeros(shape, dtype=np.float32) -> Tensor:
    """A Tensor of zeros."""
    return wrap(unboxed(np.zeros(checked_shape(shape, "zeros"), checked_dtype(dtype))))


def ones(shape, dtype=np.float32) -> Tensor:
    """A Tensor of ones."""
    return wrap(unboxed(np.ones(checked_shape(shape, "ones"), checked_dtype(dtype))))


def full(shape, value: float, dtype=np.float32) -> Tensor:
    """A Tensor of which every entry is `value`."""
    shape, value = checked_shape(shape, "full"), to_array(value)
    if value.ndim:
        raise ValueError(f"full: the value has the shape {value.shape}. Expected a single number; broadcast_to stretches an array.")
    return wrap(unboxed(np.full(shape, value, checked_dtype(dtype))))


def arange(*args, dtype=None) -> Tensor:
    """The numbers 0, 1, ... up to `stop`, or from `start` to `stop` by `step`, as np.arange counts them."""
    if not 1 <= len(args) <= 3 or not all(isinstance(a, (int, float, np.number, Tensor)) for a in args):
        raise TypeError(f"arange: {args!r:.60} was given. Expected arange(stop), arange(start, stop) or arange(start, stop, step).")
    try:
        return Tensor(np.arange(*args).tolist(), dtype)
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"arange: {args!r:.60} can not be counted: {error}. Expected finite numbers, and a step other than 0.") from error


def randn(shape, rng: "np.random.Generator | int | None" = None, dtype=np.float32) -> Tensor:
    """Normally distributed entries, mean 0 and variance 1.

    Parameters
    ----------
    shape : int or tuple of int
    rng : Generator, seed, or None
        Where the numbers come from; None for numbers that no run repeats.
    dtype : float32 or float64

    Raises
    ------
    TypeError
        For two plain integers: ``randn(2, 3)`` could mean a shape, or a seed.
    """
    if isinstance(shape, int) and isinstance(rng, int):
        raise TypeError(f"randn: is {rng} a size or a seed? Write randn(({shape}, {rng})) or randn(({shape},), {rng}).")
    if checked_dtype(dtype) not in (np.float32, np.float64):
        raise TypeError(f"randn: the dtype is {np.dtype(dtype)}. Expected float32 or float64.")
    return wrap(unboxed(np.random.default_rng(rng).standard_normal(checked_shape(shape, "randn"), dtype)))


# %% [markdown]
# ## Against the real thing
#
# NumPy is the reference. Random shapes, random values, every operator, including shapes that broadcast: the Tensor's
# answer has to be NumPy's, entry for entry. Where PyTorch is installed, the cell also compares the dtype rule.

# %%
rng = np.random.default_rng(0)
shapes = [((2, 3), (3,)), ((2, 1), (1, 4)), ((), (3, 2)), ((5, 2, 3), (2, 3)), ((0, 3), (3,))]
compared = 0
for a_shape, b_shape in shapes:
    a, b = rng.uniform(0.5, 2.0, a_shape), rng.uniform(0.5, 2.0, b_shape)
    for f in (np.add, np.subtract, np.multiply, np.divide, np.power, np.maximum):
        assert np.array_equal(f(Tensor(a), Tensor(b)).numpy(), f(a, b))
        compared += 1
print(compared, "results equal NumPy's to the last bit")

try:
    import torch
except ImportError:
    print("PyTorch is not installed: the dtype rule was not compared")
else:
    for make in (lambda m: m(1.5), lambda m: m([1.0]) * 0.5, lambda m: m([1, 2]) * 0.5, lambda m: m([1, 2]) * 2):
        assert str(make(Tensor).dtype) == str(make(torch.tensor).dtype).removeprefix("torch.")
    print("dtypes as in PyTorch", torch.__version__)

# %% [markdown]
# ## What the class costs
#
# A layer of Python around NumPy is not free. The measurement says when that matters: the cost of passing through the
# one place is about the same for an array of one entry and of a million, so it is large next to a single addition and
# vanishes beside real work.

# %%
print("entries      NumPy        Tensor      ratio")
for n in (1, 100, 10_000, 1_000_000):
    a = np.ones(n, dtype=np.float32)
    t, number = from_numpy(a), max(10, 20_000 // n)
    plain, ours = seconds(lambda: a + a, number=number), seconds(lambda: t + t, number=number)
    print(f"{n:7d}  {1e6 * plain:8.2f} us  {1e6 * ours:8.2f} us  {ours / plain:6.2f}")

# %% [markdown]
# ## Where next
#
# - *Three ways to the same sum.* `x.sum(axis=0)`, `ones @ x` and `einsum("nd->d", x)` give the same numbers. Measure
#   them on a (1000, 1000) Tensor, then on its transpose, and explain the order from the strides.
# - *A missing operation.* Add `log1p` with `@operation(numpy=np.log1p)`, and check that `np.log1p(Tensor([1e-10]))`
#   keeps the digits that `log(1 + x)` loses.
# - *Views.* Write a function that says whether `x[index]` is a view, without looking at the index. (`np.shares_memory`
#   is one way, `.base` another.)
#
# Left out here, and present in PyTorch: devices other than the CPU, half precision, and tensors whose strides are
# managed by the framework itself; NumPy manages ours.
