"""Arrays that write down what is done with them: for exercises that ask how a result is computed, not only which.

A test hands them to a function, and then asks what NumPy was told to do with whole arrays, or whether the
entries were taken one by one. Whatever the function does, it gets the values that other arrays would give it.
"""

import contextlib
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

__all__ = ["multiplies_whole_arrays", "new_arrays", "numpy_calls", "takes_one_by_one"]

PRODUCTS = {"multiply", "matmul", "vecdot", "matvec", "vecmat"}  # NumPy's ufuncs
PRODUCTS |= {"dot", "inner", "vdot", "outer", "tensordot", "einsum", "kron", "convolve", "correlate", "multi_dot"}
PRODUCTS |= {"matrix_product", "contract", "dense", "conv2d"}  # operations on Tensors, of which "multiply" is one, too


class Seen(NamedTuple):
    """Something that was done: the function's name, and how many new arrays came out of it."""

    name: str
    new: int = 0


class Watched(np.ndarray):
    """An array that appends to `seen` what is done with the whole of it, or with its rows."""

    seen: list[Seen] | None = None

    def __array_finalize__(self, source):
        self.seen = getattr(source, "seen", None)

    def note(self, name: str, *new: object) -> None:
        """Write down what was done, and how many of its new results have axes."""
        if self.seen is not None:
            self.seen.append(Seen(name, sum(axes(result) > 0 for result in new)))

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        watched = next(x for x in (*inputs, *(out or ())) if isinstance(x, Watched))
        if out is not None:
            options["out"] = tuple(map(plain, out))
        result = getattr(ufunc, method)(*map(plain, inputs), **{key: plain(value) for key, value in options.items()})
        results = result if isinstance(result, tuple) else (result,)
        places = out or (None,) * len(results)
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        watched.note(name, *(new for new, old in zip(results, places) if old is None))
        results = tuple(watched.like(new) if old is None else old for new, old in zip(results, places))
        return results if isinstance(result, tuple) else results[0]

    def __array_function__(self, function, types, arguments, options):
        result = super().__array_function__(function, types, arguments, options)
        self.note(function.__name__, *([result] if isinstance(result, np.ndarray) and result.flags.owndata else []))
        return result

    def dot(self, other, out=None):
        return np.dot(self, other, *(() if out is None else (out,)))

    def like(self, result: object) -> object:
        """An array of a result as one that is watched, too."""
        if not isinstance(result, np.ndarray):
            return result
        result = result.view(Watched)
        result.seen = self.seen
        return result

    def __iter__(self):
        self.note("iteration")
        return super().__iter__()

    def __getitem__(self, index):
        if isinstance(index, int | np.integer):
            self.note("iteration")
        return super().__getitem__(index)


def plain(x: object) -> object:
    """A watched array as an ordinary one."""
    return x.view(np.ndarray) if isinstance(x, Watched) else x


def axes(x: object) -> int:
    """How many axes there are; 0 for what is no array."""
    return getattr(x, "ndim", 0)


def watch(call: Callable, arrays: tuple) -> list[Seen]:
    """What `call(*arrays)` does with the arrays, and with Tensors that it makes."""
    seen: list[Seen] = []
    inputs = [np.array(array).view(Watched) for array in arrays]
    for x in inputs:
        x.seen = seen
    with tensors_watched(seen):
        try:
            call(*inputs)
        except TypeError:  # a Tensor that is watched does not become an array; what was done before is known
            if not seen:
                raise
    return seen


@contextlib.contextmanager
def tensors_watched(seen: list[Seen]):
    """Append to `seen` the operations on Tensors, where the chapter has Tensors."""
    tensor = sys.modules.get("tinytorch.core.tensor")
    if tensor is None:
        yield
        return

    def note(lifted, out, inputs, arrays, *_):
        if any(map(axes, arrays)):
            seen.append(Seen(lifted.__name__, int(axes(out) > 0)))
        return tensor.wrap(out)

    kept, tensor.Tensor.requires_grad = tensor.Tensor.requires_grad, True
    previous = tensor.set_recorder(note)
    try:
        yield
    finally:
        tensor.set_recorder(previous)
        tensor.Tensor.requires_grad = kept


def numpy_calls(call: Callable, *arrays) -> list[str]:
    """The names of NumPy's functions, operators included, that `call(*arrays)` applies to whole arrays, in order."""
    return [name for name, _ in watch(call, arrays) if name != "iteration"]


def multiplies_whole_arrays(call: Callable, *arrays) -> bool:
    """Whether `call(*arrays)` leaves products to NumPy or to Tensors: `@`, np.dot and the like, or `*` with a row."""
    return any(name.partition(".")[0] in PRODUCTS for name in numpy_calls(call, *arrays))


def new_arrays(call: Callable, *arrays) -> int:
    """How many new arrays `call(*arrays)` makes: results that are not written into an array that was there."""
    return sum(new for _, new in watch(call, arrays))


def takes_one_by_one(call: Callable, *arrays) -> bool:
    """Whether `call(*arrays)` loops over one of the arrays, or takes its rows by their numbers."""
    return any(name == "iteration" for name, _ in watch(call, arrays))
