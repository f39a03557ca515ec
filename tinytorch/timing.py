"""The stopwatch of the chapters. What may be said after a measurement is a chapter of its own: benchmarking."""

import time
from collections.abc import Callable

__all__ = ["seconds"]


def seconds(call: Callable[[], object], repeat: int = 5, number: int = 1) -> float:
    """The fastest of `repeat` timings of `number` calls each, in seconds a call."""
    best = float("inf")
    for _ in range(repeat):
        start = time.perf_counter()
        for _ in range(number):
            call()
        best = min(best, (time.perf_counter() - start) / number)
    return best
