"""A switch for how many threads the library behind NumPy's matrix product may use.

NumPy hands matrix products to a BLAS, which starts threads of its own. Whoever measures one core, or runs products in
threads of their own, wants it held to one. The environment variable OPENBLAS_NUM_THREADS does that before NumPy is
imported; this does it afterwards, by calling the library.
"""

import ctypes
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

__all__ = ["blas_threads"]

# How a library's own functions are called: to set the number of threads, and to ask for it.
PAIRS = [
    (f"{before}openblas_set_num_threads{after}", f"{before}openblas_get_num_threads{after}")
    for before in ("scipy_", "")
    for after in ("64_", "", "_64", "64")
] + [("MKL_Set_Num_Threads", "MKL_Get_Max_Threads")]


@contextmanager
def blas_threads(count: int):
    """Hold NumPy's BLAS to `count` threads inside the `with`, for the whole process.

    Parameters
    ----------
    count : int, at least 1

    Yields
    ------
    bool
        Whether the library could be told. OpenBLAS and MKL can; Apple's Accelerate has no such call.

    Raises
    ------
    ValueError
        Where `count` is no whole number of at least 1.
    """
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
        raise ValueError(f"blas_threads: {count!r:.60} threads were asked for. Expected a whole number of at least 1.")
    controls = blas_controls()
    if controls is None:
        yield False
        return
    tell, ask = controls
    before = ask()
    tell(int(count))
    try:
        yield True
    finally:
        tell(before)


def blas_controls():
    """The two functions of the BLAS that NumPy has loaded, or None where there are none."""
    for library in loaded_libraries():
        for names in PAIRS:
            with suppress(AttributeError):
                return tuple(getattr(library, name) for name in names)
    return None


def loaded_libraries():
    """NumPy's core, through which Linux and macOS also find what it was linked with; then what lies beside NumPy."""
    folder = Path(np.__file__).parent
    beside = [*folder.parent.glob("numpy.libs/*openblas*"), *folder.glob(".dylibs/*openblas*")]
    for path in (np._core._multiarray_umath.__file__, *beside):
        with suppress(OSError):
            yield ctypes.CDLL(str(path))
