"""The stopwatch of the chapters. What may be said after a measurement is a chapter of its own: benchmarking."""

import time
from collections.abc import Callable, Hashable

__all__ = ["seconds", "side_by_side"]


def side_by_side(
    calls: dict[Hashable, Callable[[], object]], repeat: int = 5, number: int = 1, clock: Callable = time.perf_counter
) -> dict[Hashable, float]:
    """The fastest of `repeat` timings of each contestant; in each round every one has its turn.

    Parameters
    ----------
    calls : dict of name to callable without arguments
    repeat : int, at least 1
        Rounds.
    number : int, at least 1
        Calls in each timing.
    clock : callable
        Gives the time in seconds. Tests of a measurement hand in one whose outcome is known.

    Returns
    -------
    dict of name to seconds a call

    Raises
    ------
    ValueError
        Where repeat or number is no whole number of at least 1.
    """
    for name, value in (("repeat", repeat), ("number", number)):
        if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
            raise ValueError(f"side_by_side: {name} is {value!r:.60}, expected an integer of at least 1.")
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(repeat):
        for name, call in calls.items():
            start = clock()
            for _ in range(number):
                call()
            best[name] = min(best[name], (clock() - start) / number)
    return best


def seconds(call: Callable[[], object], repeat: int = 5, number: int = 1, clock: Callable = time.perf_counter) -> float:
    """The fastest of `repeat` timings of `number` calls each, in seconds a call."""
    return side_by_side({"": call}, repeat, number, clock)[""]
