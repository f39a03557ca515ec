"""What a call allocates, and a switch for how the C library treats large blocks of memory.

glibc asks the system for every block above a threshold and gives it back as soon as it is freed, so each
new array of a training step has its pages faulted in again. On large arrays that can cost more than the
arithmetic. Freeing one block just below 32 MiB raises the threshold to that size for the rest of the process.
"""

import tracemalloc
from collections.abc import Callable

import numpy as np

__all__ = ["keep_memory", "peak_bytes"]


def keep_memory() -> None:
    """Keep freed blocks of up to 32 MiB in the process. Has an effect with glibc (Linux) and none elsewhere."""
    block = np.empty(32 * 2**20 - 2**16, dtype=np.uint8)
    del block


def peak_bytes(call: Callable[[], object]) -> int:
    """The most memory that `call` had allocated at one time, beyond what was there before."""
    running = tracemalloc.is_tracing()
    if not running:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not running:
            tracemalloc.stop()
