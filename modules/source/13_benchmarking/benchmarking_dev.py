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
# # Benchmarking
#
# Earlier chapters ended with a measurement: ours so many microseconds, by hand so many, the fused operation faster than
# the composed one. Each time a loop ran a few dozen times and the smallest number was kept. You have changed something
# in your network since, and want to know whether it is faster now. You run the loop before and after, and the second
# number is 3% smaller. Is it faster? Run the loop a third time without changing anything, and the number will be
# another one again.
#
# This chapter is about what may be said after a measurement. A time is a sample from a distribution, and the machine
# that it is drawn from changes while we look at it. So we need samples in the right order, a question that fits the
# number we compute from them, an interval around it, and a test that is seldom fooled: one that, handed the same
# program twice, finds a difference no more often than we allow. All of this can itself be tested, because the
# clock is an argument. With a clock that shows what we tell it to, the truth is known.

# %%
#| default_exp core.benchmarking

# %%
#| export
import gc
import math
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations, cycle, product
from pathlib import Path

import numpy as np

from tinytorch.checked import checked_number, checked_part
from tinytorch.core.autograd import no_grad
from tinytorch.core.dataloader import checked_count
from tinytorch.core.layers import Module
from tinytorch.core.setup import system_info
from tinytorch.core.training import pyplot

# %%
from tinytorch.core.dataloader import DataLoader, digits_split
from tinytorch.core.networks import count_parameters, create_mlp
from tinytorch.core.optimizers import Adam
from tinytorch.core.training import Accuracy, CrossEntropyLoss, Trainer
from tinytorch.testing import check, check_raises

# %% [markdown]
# ## Ten timings of the same thing
#
# A network, a batch of 32 digits, and the same call ten times. Nothing differs between the ten but the moment.

# %%
train, test = digits_split()
network, digits = create_mlp(64, [64, 64], 10, rng=0), test.features[:32]
microseconds = []
for _ in range(10):
    start = time.perf_counter()
    with no_grad():
        network(digits)
    microseconds.append(1e6 * (time.perf_counter() - start))
print("us:", " ".join(f"{t:.0f}" for t in microseconds))
print(f"the slowest took {max(microseconds) / min(microseconds):.1f} times as long as the fastest")

# %% [markdown]
# Whoever compares two programs by one timing each draws two numbers from a list like this one, and compares luck.
#
# ## The clock
#
# Before the program, look at the instrument. A clock moves in steps, and reading it takes time. `time.perf_counter` is
# the one to use: it never goes backwards, and it has the finest steps that Python can offer. `time.time` is the time of
# day, and somebody may set it.

# %%
#| export
def clock_step(clock: Callable[[], float] = time.perf_counter, readings: int = 200) -> float:
    """The smallest step, in seconds, that was seen between two readings of a clock; 0 where it never moved."""
    readings = checked_count(readings, "readings", 2, "clock_step")
    steps = np.diff([clock() for _ in range(readings)])
    return float(min(steps[steps > 0], default=0.0))


def duration(seconds: float) -> str:
    """A time with three digits, in the unit that suits it."""
    if not math.isfinite(seconds):
        return "unknown"
    size = abs(seconds)
    for unit, factor in (("ns", 1e9), ("us", 1e6), ("ms", 1e3)):
        if size < 999.5 / factor:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s" if size < 999.5 else f"{seconds:.0f} s"


# %%
readings = [time.perf_counter_ns() for _ in range(10_000)]
steps = np.diff(readings)
print(f"10,000 readings: the smallest step {steps[steps > 0].min()} ns, half of them at most {np.median(steps):.0f} ns, the largest {steps.max()} ns")


def nothing():
    pass


alone = np.empty(1000)
for i in range(1000):
    start = time.perf_counter()
    nothing()
    alone[i] = time.perf_counter() - start
print(f"a call of a function that does nothing, timed alone: {duration(np.median(alone))}")

# %% [markdown]
# Half of the steps are at most so long: that is about what a reading costs. The largest is the machine's doing: for so
# long it did something else. A good part of the last line is the clock, not the call. What takes only a few of these
# steps cannot be timed alone; run it a number of times between two readings, and divide.
#
# ## A clock that we set ourselves
#
# How does one test a program that measures time? Not with time, which is never the same twice. The clock is an argument
# of everything below, as a seed is. In the tests it is this one, which stands still until it is told to move on, and
# whose `work` makes a function that takes exactly so long.

# %%
#| export
class SimulatedClock:
    """A clock that moves only when it is told to. Reading it is calling it.

    Parameters
    ----------
    now : float
        What it shows at first, in seconds.

    Examples
    --------
    >>> clock = SimulatedClock()
    >>> task = clock.work(0.5, 0.25)
    >>> task(), task(), clock()
    (None, None, 0.75)
    """

    def __init__(self, now: float = 0.0):
        self.now = float(now)

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let so much time pass."""
        self.now += seconds

    def wait_until(self, moment: float) -> None:
        """Let time pass up to a moment; one that has passed already changes nothing."""
        self.now = max(self.now, moment)

    def work(self, *seconds: float) -> Callable[[], None]:
        """A function that takes so long: the first duration at its first call, and so on, round and round."""
        turns = cycle(seconds)
        return lambda: self.advance(next(turns))


# %%
clock = SimulatedClock()
task = clock.work(0.5, 0.25)
for _ in range(3):
    task()
    print(clock())

# %% [markdown]
# ## Repetition
#
# Now the loop that every measurement consists of: read the clock, call, read the clock again. One decision is hidden in
# it. Where several calls lie between two readings, the timing is a mean over them, and a mean hides what a single call
# did. So `number` is 1 unless the clock is too coarse.

# %% nbgrader={"grade": false, "grade_id": "timings", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def timings(call: Callable[[], object], runs: int, number: int = 1, clock: Callable[[], float] = time.perf_counter) -> np.ndarray:
    """Time a call again and again.

    Parameters
    ----------
    call : callable without arguments
    runs : int, at least 0
        How many timings.
    number : int, at least 1
        How many calls lie between the two readings of a timing.
    clock : callable
        Gives the time in seconds.

    Returns
    -------
    array of float64, shape (runs,)
        Seconds a call, in the order in which they were taken.
    """
    times = np.empty(runs)
    ### BEGIN SOLUTION timings
    for i in range(runs):
        start = clock()
        for _ in range(number):
            call()
        times[i] = (clock() - start) / number
    ### END SOLUTION
    return times


# %% [raw] tags=["exercise"]
# timings:
#   title: Repetition
#   hints:
#     - What has to happen anew for each timing, and what inside of it number times?
#     - For every run read the clock, call number times, read the clock again, and store the difference divided by number.
#     - "for each i a fresh start = clock(), and after the calls times[i] = (clock() - ...) / ..."
#   misconceptions:
#     - name: starts the watch once
#       says: >-
#         The timings grow from one to the next: the clock was read once, before all runs, so each timing holds those before it. Read it anew for every run.
#       code: |
#         start = clock()
#         for i in range(runs):
#             for _ in range(number):
#                 call()
#             times[i] = (clock() - start) / number
#     - name: forgets to divide
#       says: >-
#         A timing is the time of all calls between two readings. What is asked for is seconds a call: divide by number.
#       code: |
#         for i in range(runs):
#             start = clock()
#             for _ in range(number):
#                 call()
#             times[i] = clock() - start
#     - name: calls once whatever the number
#       says: >-
#         The call was made once in each run, and its time was divided by number. It has to be made number times.
#       code: |
#         for i in range(runs):
#             start = clock()
#             call()
#             times[i] = (clock() - start) / number
#     - name: measures the last call of each run
#       says: >-
#         The clock was read anew before every single call, so only the last one of a run was timed. Read it before the inner loop.
#       code: |
#         for i in range(runs):
#             for _ in range(number):
#                 start = clock()
#                 call()
#             times[i] = clock() - start
#     - name: reads the clock around every call
#       says: >-
#         The clock was read before and after every single call. A reading takes time too, and here each call pays for its own: number is there
#         so that many calls share two readings.
#       code: |
#         for i in range(runs):
#             total = 0.0
#             for _ in range(number):
#                 start = clock()
#                 call()
#                 total += clock() - start
#             times[i] = total / number

# %% nbgrader={"grade": true, "grade_id": "test_timings", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_timings():
    clock = SimulatedClock(100.0)
    check(timings(clock.work(0.5), 3, clock=clock), [0.5, 0.5, 0.5])
    check(clock(), 101.5)
    check(timings(clock.work(1.0, 2.0, 3.0), 4, clock=clock), [1.0, 2.0, 3.0, 1.0])
    check(timings(clock.work(1.0, 2.0, 3.0, 4.0), 2, number=2, clock=clock), [1.5, 3.5])
    check(timings(clock.work(1.0), 0, clock=clock).shape, (0,))
    calls = []
    timings(lambda: calls.append(1), 3, number=4, clock=clock)
    check(len(calls), 12)
    readings = iter(range(100))  # a clock that moves by a second whenever it is read
    check(timings(lambda: None, 3, number=4, clock=lambda: next(readings)), [0.25, 0.25, 0.25])
    timings(clock.work(0.1), 2)
    check(clock(), 118.7)

test_timings()

# %% [markdown]
# ## Warm-up
#
# The first calls of anything are special. Memory is asked for and handed over page by page, caches are cold, a library
# starts its threads, Python specialises the bytecode that it meets often. What a fresh network does in its first sixty
# calls:

# %%
def reads(model, x):
    """A call that reads the batch x with a model, in evaluation mode and without recording."""
    model.eval()

    def read():
        with no_grad():
            return model(x)

    return read


import matplotlib.pyplot as plt

fresh = create_mlp(64, [128] * 12, 10, rng=0)
first = timings(reads(fresh, digits[:8]), 60)
settled = np.median(first[30:])
axes = plt.subplots(figsize=(6, 3))[1]
axes.plot(1e6 * first, ".-", color="#0072b2", linewidth=0.8)
axes.axhline(1e6 * settled, color="0.6", linewidth=0.8)
axes.annotate("median of the last thirty", (59, 0.95e6 * settled), ha="right", va="top", color="0.4")
axes.set(xlabel="run", ylabel="us", yscale="log", ylim=(0.8e6 * settled, 1.1e6 * first.max()))
_ = axes.set_title(f"The first run took {first[0] / settled:.1f} times as long as the later ones do")

# %% [markdown]
# These runs are not wrong. Somebody who starts a program for a single digit waits for the first of them. But they
# answer another question than the later ones, so they are measured apart: run the call a few times, keep those timings
# under the name *warm-up*, and start after them.
#
# `measure` below does this, and makes two more decisions that it is honest to name. *The garbage collector is off*
# while it measures, as in Python's own `timeit`: where the collector runs depends on what was allocated long before, so
# it strikes some runs for what others did. Give `collector=True` where its pauses belong to the thing that you measure;
# the server below does. And *nothing is thrown away*: an outlier is a run that really took so long. What may be wrong
# with the measurement is said in words, in `doubts`.

# %%
#| export
def checked_values(function: str, what: str, values, least: int = 1) -> np.ndarray:
    """Numbers as a new float64 array of one axis, once they are seen to be finite and at least so many."""
    values = getattr(values, "times", values)  # a Measurement stands for its times
    try:
        array = np.asarray(values)
    except ValueError:
        array = np.array("ragged")
    if array.dtype.kind not in "iuf" and array.size:
        raise TypeError(f"{function}: {what} is {values!r:.60}, not numbers. Expected a list such as [0.21, 0.19, 0.20].")
    if array.ndim != 1:
        raise ValueError(f"{function}: {what} has the shape {array.shape}. Expected one axis: a list of numbers.")
    if len(array) < least:
        many = "no sample" if len(array) == 0 else "1 sample" if len(array) == 1 else f"{len(array)} samples"
        raise ValueError(f"{function}: {what} holds {many}, and at least {least} {'is' if least == 1 else 'are'} needed. Measure more often.")
    if not np.isfinite(array).all():
        wrong = int(np.argmin(np.isfinite(array)))
        raise ValueError(f"{function}: entry {wrong} of {what} is {array[wrong]}. Expected finite numbers; what failed has no time.")
    return array.astype(np.float64)


def checked_times(function: str, what: str, values, least: int = 1) -> np.ndarray:
    """The same for times, which are not negative either."""
    array = checked_values(function, what, values, least)
    if (array < 0).any():
        wrong = int(np.argmax(array < 0))
        raise ValueError(
            f"{function}: entry {wrong} of {what} is {array[wrong]:g} seconds, and no time is negative.\n"
            "  Did the clock go backwards? time.time may; time.perf_counter does not."
        )
    return array


def checked_call(function: str, what: str, call, such_as: str = "a function without arguments: lambda: model(x)") -> Callable:
    """`call` itself, once it is seen to be callable."""
    if not callable(call):
        raise TypeError(f"{function}: {what} is {call!r:.60}, which cannot be called. Give {such_as}.")
    return call


def checked_statistic(function: str, statistic) -> Callable:
    """`statistic` itself, once it is seen to give a number for each row of an array."""
    checked_call(function, "statistic", statistic, "one such as np.median or np.mean")
    try:
        shape = np.shape(statistic(np.ones((2, 3)), axis=1))
    except TypeError as error:
        raise TypeError(f"{function}: the statistic takes no axis ({error}). Expected one that is called as np.median(array, axis=1) is.") from error
    if shape != (2,):
        raise ValueError(f"{function}: the statistic gave the shape {shape} for 2 rows. Expected a number for each row, as np.median(array, axis=1) gives.")
    return statistic


def checked_name(function: str, name, call) -> str:
    """The name given, or that of the function where none is."""
    if not isinstance(name, str):
        raise TypeError(f"{function}: name is {name!r:.60}, not a text. Leave it out, or give one such as \"256 wide\".")
    return name or called(call)


def random_generator(function: str, rng) -> np.random.Generator:
    """A Generator as it is, or one with the seed."""
    if isinstance(rng, np.random.Generator):
        return rng
    return np.random.default_rng(checked_count(rng, "rng", 0, function))


def called(call) -> str:
    """The name of a function, for reports."""
    return getattr(call, "__name__", type(call).__name__)


# %%
#| export
@contextmanager
def measuring(function: str, name: str, collector: bool):
    """Without the garbage collector, if it was on and is not wanted; and what is raised inside names the call."""
    pause = gc.isenabled() and not collector
    if pause:
        gc.disable()
    try:
        yield
    except NotImplementedError:  # an exercise that is still to do
        raise
    except Exception as error:
        raise RuntimeError(
            f"{function}: the call {name!r} raised {type(error).__name__}: {error}\n"
            "  Call it once by itself, and measure it when it works: the time of a failure is not the time of the work."
        ) from error
    finally:
        if pause:
            gc.enable()


@dataclass(frozen=True, eq=False, repr=False)
class Measurement:
    """Timings of one call, and what they say.

    Attributes
    ----------
    times : array of float64, shape (runs,)
        Seconds a call, in the order in which they were taken.
    name : str
    warmup : array
        The timings before these, kept apart.
    number : int
        Calls in a timing; each timing is their mean.
    doubts : tuple of str
        What may be wrong with the measurement, in sentences.
    """

    times: np.ndarray
    name: str = "call"
    warmup: np.ndarray = ()
    number: int = 1
    doubts: tuple[str, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "times", checked_times("Measurement", "times", self.times))
        object.__setattr__(self, "warmup", checked_times("Measurement", "warmup", self.warmup, least=0))

    @property
    def minimum(self) -> float:
        """The fastest: what the machine can do when nothing disturbs it."""
        return float(self.times.min())

    @property
    def median(self) -> float:
        """What half of the runs do not exceed: a typical run."""
        return float(np.median(self.times))

    @property
    def mean(self) -> float:
        """What a run costs on average: a thousand take a thousand times as long."""
        return float(self.times.mean())

    @property
    def outliers(self) -> int:
        """How many runs lie more than 1.5 interquartile ranges above the upper quartile (Tukey 1977)."""
        low, high = np.quantile(self.times, (0.25, 0.75))
        return int((self.times > high + 1.5 * (high - low)).sum())

    def percentile(self, q: float) -> float:
        """The time that q percent of the runs do not exceed; see `percentile`."""
        return percentile(self.times, q)

    def interval(self, q: float = 50, confidence: float = 0.95) -> tuple[float, float]:
        """Where the true percentile lies, with this confidence; see `percentile_interval`."""
        return percentile_interval(self.times, q, confidence)

    def throughput(self, samples: int = 1) -> float:
        """Samples a second, on average, where a call takes in so many."""
        return samples / self.mean if self.mean else math.inf

    def __repr__(self):
        many = f"{len(self.times)} run{'s' if len(self.times) > 1 else ''}"
        told = f"{self.name}: median {duration(self.median)}, minimum {duration(self.minimum)}, mean {duration(self.mean)}, {many}"
        return "\n".join([told, *(f"  but {doubt}" for doubt in self.doubts)])

    def plot(self, ax=None):
        """Draw the timings in their order; returns the axes."""
        ax = pyplot("Measurement.plot").subplots(figsize=(6, 3))[1] if ax is None else ax
        ax.plot(np.arange(-len(self.warmup), 0), 1e6 * self.warmup, "x", color="#d55e00", label="warm-up")
        ax.plot(1e6 * self.times, ".", color="#0072b2", label="measured")
        ax.axhline(1e6 * self.median, color="0.6", linewidth=0.8)
        ax.set(xlabel="run", ylabel="us", title=f"{self.name}: half of the runs took at most {duration(self.median)}")
        ax.legend(frameon=False)
        return ax


def find_doubts(times: np.ndarray, number: int, step: float) -> tuple[str, ...]:
    """What may be wrong with a measurement, in sentences."""
    doubts, median, third = [], float(np.median(times)), len(times) // 3
    if median * number < 50 * step:
        doubts.append(f"a timing is shorter than 50 steps of the clock ({duration(step)} each): give a larger number of calls.")
    if len(times) < 10:
        doubts.append(f"{len(times)} run{'s are' if len(times) > 1 else ' is'} too few to say how much the times vary: give runs=100 or so.")
    elif (early := float(np.median(times[:third]))) > 0 and abs(np.median(times[-third:]) / early - 1) > 0.1:
        change = np.median(times[-third:]) / early - 1
        doubts.append(f"the last third of the runs took {abs(change):.0%} {'longer' if change > 0 else 'less'} than the first: the machine changed, or the warm-up was too short.")
    return tuple(doubts)


def measure(call: Callable[[], object], runs: int = 100, warmup: int = 10, number: int = 1,
            clock: Callable[[], float] = time.perf_counter, name: str = "", collector: bool = False) -> Measurement:
    """Time a call, after a warm-up.

    Parameters
    ----------
    call : callable without arguments
    runs, warmup : int
        How many timings, and how many before them that are kept apart.
    number : int
        Calls in a timing; more than 1 only where the clock is too coarse for one.
    clock : callable
        Gives the time in seconds.
    name : str
        For reports; without it, the function's own.
    collector : bool
        Whether the garbage collector may run meanwhile.

    Raises
    ------
    RuntimeError
        Where the call raises; it is named, and its exception is the cause.
    """
    call, name = checked_call("measure", "call", call), checked_name("measure", name, call)
    checked_call("measure", "clock", clock, "one such as time.perf_counter")
    runs, warmup = checked_count(runs, "runs", 1, "measure"), checked_count(warmup, "warmup", 0, "measure")
    number = checked_count(number, "number", 1, "measure")
    with measuring("measure", name, collector):
        first, times = timings(call, warmup, number, clock), timings(call, runs, number, clock)
    return Measurement(times, name, first, number, find_doubts(times, number, clock_step(clock)))


class Timer:
    """The time that a block takes.

    Examples
    --------
    >>> with Timer() as timer:
    ...     model(x)
    >>> timer.seconds
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        self.clock, self.seconds = clock, math.nan

    def __enter__(self):
        self.start = self.clock()
        return self

    def __exit__(self, *exception):
        self.seconds = self.clock() - self.start


# %%
measured = measure(reads(network, digits), runs=2000, name="32 digits")
print(measured)
print(measure(lambda: None, runs=20, name="nothing at all"))
for collector in (False, True):
    kept = []
    found = measure(lambda: kept.extend([] for _ in range(1000)), runs=300, collector=collector, name="a thousand lists")
    print(f"collector {'on ' if collector else 'off'}   {found}, the longest {duration(found.times.max())}")

# %% [markdown]
# The second measurement has doubts, and says them. The last two make the same lists, which all stay in memory; a
# collector that is on goes through them now and then, and the mean and the longest run are where that shows.

# %% nbgrader={"grade": true, "grade_id": "test_measure", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_measure():
    clock = SimulatedClock()
    found = measure(clock.work(8.0, 4.0, 1.0, 2.0, 3.0), runs=3, warmup=2, clock=clock, name="task")
    check(found.warmup, [8.0, 4.0])
    check(found.times, [1.0, 2.0, 3.0])
    check((found.minimum, found.median, found.mean), (1.0, 2.0, 2.0))
    check(found.doubts, ("3 runs are too few to say how much the times vary: give runs=100 or so.",))
    check_raises(RuntimeError, lambda: measure(lambda: 1 / 0, name="task"), "the call 'task' raised ZeroDivisionError")
    check_raises(ValueError, lambda: measure(lambda: None, runs=0), "runs is 0")
    check_raises(ValueError, lambda: Measurement([]), "no sample")
    check_raises(ValueError, lambda: Measurement([0.1, np.nan]), "entry 1 of times is nan")
    check_raises(ValueError, lambda: Measurement([0.1, -0.2]), "no time is negative")
    with Timer(clock) as timer:
        clock.advance(0.25)
    check(timer.seconds, 0.25)

test_measure()

# %% [markdown]
# ## Minimum, median, mean
#
# Three numbers for one list, and they answer three questions. The *minimum* says how fast the machine can do it when
# nothing disturbs. That is a property of the program more than of the day, so it suits the question whether a change of
# code saves work. The *median* says what a typical run takes. The *mean* says what a million runs will take together,
# because a million means are a sum. Nobody who waits for a single answer has met a mean, and nobody's bill is made of
# minima.

# %%
axes = plt.subplots(figsize=(6, 3))[1]
shown = measured.times[measured.times < np.quantile(measured.times, 0.99)]
axes.hist(1e6 * shown, bins=80, color="0.8")
for height, (name, value, colour) in zip((0.88, 0.75, 0.62), (("minimum", measured.minimum, "#009e73"), ("median", measured.median, "#0072b2"), ("mean", measured.mean, "#d55e00"))):
    axes.axvline(1e6 * value, color=colour, linewidth=1)
    axes.annotate(f" {name} {duration(value)}", (1e6 * value, height), xycoords=("data", "axes fraction"), color=colour)
axes.set_xlim(right=1.2e6 * max(shown.max(), measured.mean))
axes.set(xlabel="us", ylabel="runs", title="Times have a wall on the left and a long tail on the right")
longest = np.sort(measured.times)[::-1]
print(f"{measured.outliers} of {len(longest)} runs are outliers by Tukey's rule; the longest took {longest[0] / measured.median:.1f} times the median")
print(f"without the ten longest of all runs the mean would be {1 - longest[10:].mean() / measured.mean:.1%} smaller, the median {1 - np.median(longest[10:]) / measured.median:.2%}")

# %% [markdown]
# No run is faster than the work takes, and there is hardly a limit to what can come in between. So the distribution is
# skewed, and formulas that were made for the normal one say little about its tail. The last line is the reason why we
# do not delete outliers. It would change the mean, and the reader would never know what the users of this network meet
# once in two hundred times.
#
# ## Percentiles
#
# The *q-th percentile* is the time that q percent of the runs do not exceed; p50 is the median, p99 what the unlucky
# hundredth gets to see. That sentence leaves open what to do between two samples, and there are nine definitions in use
# (Hyndman & Fan 1996). On ten timings they can be far apart:

# %%
ten = np.arange(1.0, 11.0)
ten[-1] = 100.0
for method in ("inverted_cdf", "linear", "weibull"):
    print(f"{method:13s}" + "".join(f"   p{q} {np.percentile(ten, q, method=method):7.2f}" for q in (50, 90, 95, 99)))

# %% [markdown]
# We take the first, the *nearest rank*: the smallest sample such that at least q percent of all samples are not above
# it. It is a time that really occurred, and it is easy to say. Sorted and counted from 1, its place is $\lceil q n /
# 100 \rceil$.

# %% nbgrader={"grade": false, "grade_id": "percentile", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def percentile(values, q: float) -> float:
    """The smallest of the values such that at least q percent of them are not above it (nearest rank).

    Parameters
    ----------
    values : list or array of numbers, or Measurement
    q : float, 0 to 100
        0 gives the smallest value.

    Notes
    -----
    ``ordered`` below are the values from the smallest to the largest, ``n`` is how many, and ``exact`` is q * n / 100. It need not be
    whole; ``math.ceil`` rounds up. The answer is ``value``.
    """
    ordered = np.sort(checked_values("percentile", "values", values))
    if isinstance(q, bool) or not isinstance(q, (int, float, np.number)) or not 0 <= q <= 100:
        raise ValueError(f"percentile: q is {q!r:.60}, but it has to be a number from 0 to 100: 99 for p99.")
    n = len(ordered)
    exact = round(q * n / 100, 9)  # 99.9 percent of 1000 is 999, not 999.0000000000001
    ### BEGIN SOLUTION percentile
    rank = max(math.ceil(exact), 1)
    value = ordered[rank - 1]
    ### END SOLUTION
    return float(value)


# %% [raw] tags=["exercise"]
# percentile:
#   title: Nearest rank
#   hints:
#     - Of ten values, which one has at least 75 percent of them not above it? The seventh has 70.
#     - Round the exact rank up, but take at least the first. Ranks count from 1, Python's indices from 0.
#     - "rank = max(math.ceil(...), 1), and then the value at that rank, counted from 1"
#   misconceptions:
#     - name: counts from zero
#       says: >-
#         The rank counts from 1 and was used as an index, which counts from 0. That gives the next larger value, and none at all for q = 100.
#       code: |
#         rank = max(math.ceil(exact), 1)
#         return float(ordered[min(rank, n - 1)])
#     - name: rounds to the nearest
#       says: >-
#         The rank was rounded to the nearest whole number. Where it is rounded down, fewer than q percent of the values are not above the answer. Round up.
#       code: |
#         rank = max(round(exact), 1)
#         return float(ordered[rank - 1])
#     - name: rounds down
#       says: >-
#         The rank was rounded down, so fewer than q percent of the values are not above the answer. Round up.
#       code: |
#         rank = max(math.floor(exact), 1)
#         return float(ordered[rank - 1])
#     - name: interpolates
#       says: >-
#         The answer lies between two values. That is NumPy's default and another definition; the nearest rank is a value that occurred.
#       code: |
#         return float(np.percentile(ordered, q))
#     - name: wraps round at 0
#       says: >-
#         For q = 0 the rank is 0, and index -1 is the largest value. The smallest has rank 1.
#       code: |
#         return float(ordered[math.ceil(exact) - 1])

# %% nbgrader={"grade": true, "grade_id": "test_percentile", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_percentile():
    check(percentile([30.0, 20.0, 50.0, 70.0, 10.0, 60.0, 40.0], 50), 40.0)
    check(percentile([4.0, 1.0, 3.0, 2.0], 50), 2.0)
    check(percentile([10.0, 20.0, 30.0, 40.0, 50.0], 90), 50.0)
    check(percentile([10.0, 20.0, 30.0, 40.0, 50.0], 60), 30.0)
    check(percentile([10.0, 20.0, 30.0, 40.0, 50.0], 62), 40.0)
    check(percentile([10.0, 20.0, 30.0, 40.0, 50.0], 100), 50.0)
    check(percentile([10.0, 20.0, 30.0, 40.0, 50.0], 0), 10.0)
    check(percentile(np.arange(1, 1001), 99.9), 999.0)
    check(percentile([7.0], 99), 7.0)
    check_raises(ValueError, lambda: percentile([1.0], 101), "q is 101")
    check_raises(ValueError, lambda: percentile([], 50), "no sample")

test_percentile()

# %% [markdown]
# ### Why p99 of fifty samples means little
#
# Suppose the true p99 of a server is 20 ms: one answer in a hundred takes longer. You take fifty samples. How likely is
# it that *not one* of them lies above 20 ms, so that the largest of your fifty, which is your p99, is below the true
# one?

# %%
for n in (50, 100, 500, 1000):
    print(f"{n:5d} samples   none of them above the true p99: in {0.99**n:6.1%} of all experiments")

# %% [markdown]
# So a percentile needs an interval as well, and it can be had without any assumption about the distribution. The samples
# only have to be independent of each other. Then the number of those that are not above the true q-th percentile is
# binomial: each of the $n$ is so with probability $p = q / 100$. Let $K$ be this number. The true percentile lies below the $l$-th smallest sample only if $K < l$, and lies
# above or at the $u$-th only if $K \ge u$. Choose the largest $l$ and the smallest $u$ for which either happens with
# at most half of the probability of error, $\alpha / 2$:
#
# $$P(K \le l - 1) \le \alpha / 2, \qquad P(K \le u - 1) \ge 1 - \alpha / 2.$$
#
# Where there is no such $l \ge 1$ or $u \le n$, the samples set no limit on that side. The answer is then infinite, and
# that is the right answer: with fifty samples the true p99 may be anything above one of the largest few.

# %% nbgrader={"grade": false, "grade_id": "percentile_interval", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def binomial_cumulative(n: int, p: float) -> np.ndarray:
    """P(K <= k) for k = 0, ..., n, where K counts the successes among n tries that succeed with probability p."""
    k = np.arange(n + 1)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    log_p = log_factorial[n] - log_factorial - log_factorial[::-1] + k * math.log(p) + (n - k) * math.log1p(-p)
    return np.minimum(np.cumsum(np.exp(log_p)), 1.0)


def percentile_interval(values, q: float, confidence: float = 0.95) -> tuple[float, float]:
    """Between which of the samples the true percentile lies, whatever the distribution.

    Parameters
    ----------
    values : list or array of numbers, or Measurement
        Independent samples.
    q : float, between 0 and 100
    confidence : float, between 0 and 1

    Returns
    -------
    low, high : float
        ``-math.inf`` or ``math.inf`` where there are too few samples for a limit on that side.

    Notes
    -----
    Below, ``ordered`` are the n samples in order, ``below[k]`` is P(K <= k) for k from 0 to n, and ``tail`` is half of the probability of error.
    l is the number of k with ``below[k] <= tail``: either none, or the rank of the lower end. u - 1 is the first k with ``below[k] >= 1 - tail``; it
    exists, since ``below[n]`` is 1, but u may be n + 1. Ranks count from 1.
    """
    ordered = np.sort(checked_values("percentile_interval", "values", values))
    if isinstance(q, bool) or not isinstance(q, (int, float, np.number)) or not 0 < q < 100:
        raise ValueError(f"percentile_interval: q is {q!r:.60}, but it has to be a number between 0 and 100: 99 for p99.")
    n, tail = len(ordered), (1 - checked_part("percentile_interval", "confidence", confidence)) / 2
    below = binomial_cumulative(n, q / 100)
    below[n] = 1.0
    ### BEGIN SOLUTION percentile_interval
    lower = (below <= tail).sum()
    upper = np.argmax(below >= 1 - tail) + 1
    low = ordered[lower - 1] if lower >= 1 else -math.inf
    high = ordered[upper - 1] if upper <= n else math.inf
    ### END SOLUTION
    return float(low), float(high)


# %% [raw] tags=["exercise"]
# percentile_interval:
#   title: The interval of a percentile
#   hints:
#     - Which two ranks are you looking for, and what do they mean when they are 0 or n + 1?
#     - Count the entries of below that are at most tail, that is l. Find the first entry that is at least 1 - tail, its index plus 1 is u. Look both up in ordered, or answer with an infinity.
#     - "lower = (below <= ...).sum() and upper = np.argmax(below >= ...) + 1"
#   misconceptions:
#     - name: the whole error on either side
#       says: >-
#         The interval is too narrow: the whole probability of error was allowed on each side, so it can miss twice as often. Each side gets half, which is tail.
#       code: |
#         lower = int((below <= 2 * tail).sum())
#         upper = int(np.argmax(below >= 1 - 2 * tail)) + 1
#         low = float(ordered[lower - 1]) if lower >= 1 else -math.inf
#         high = float(ordered[upper - 1]) if upper <= n else math.inf
#         return low, high
#     - name: the largest sample as a limit
#       says: >-
#         Where the samples set no limit, the largest (or smallest) sample was given as one. The true percentile may well lie beyond it: the limit is infinite.
#       code: |
#         lower = int((below <= tail).sum())
#         upper = int(np.argmax(below >= 1 - tail)) + 1
#         return float(ordered[max(lower - 1, 0)]), float(ordered[min(upper - 1, n - 1)])
#     - name: ranks used as indices
#       says: >-
#         Ranks count from 1 and indices from 0. Both ends were taken one sample too high.
#       code: |
#         lower = int((below <= tail).sum())
#         upper = int(np.argmax(below >= 1 - tail)) + 1
#         low = float(ordered[lower]) if lower >= 1 else -math.inf
#         high = float(ordered[upper]) if upper < n else math.inf
#         return low, high
#     - name: one rank short above
#       says: >-
#         The first k with below[k] >= 1 - tail is u - 1, not u. The upper end was taken one sample too low.
#       code: |
#         lower = int((below <= tail).sum())
#         upper = int(np.argmax(below >= 1 - tail))
#         low = float(ordered[lower - 1]) if lower >= 1 else -math.inf
#         high = float(ordered[upper - 1]) if upper >= 1 else math.inf
#         return low, high

# %% nbgrader={"grade": true, "grade_id": "test_percentile_interval", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
def test_percentile_interval():
    # of 10 samples: P(K <= 1) = 11/1024, P(K <= 2) = 56/1024; of 4: P(K <= 0) = 1/16
    check(percentile_interval(10.0 * np.arange(1, 11), 50), (20.0, 90.0))
    check(percentile_interval(10.0 * np.arange(10, 0, -1), 50), (20.0, 90.0))
    check(percentile_interval(10.0 * np.arange(1, 11), 50, confidence=0.5), (40.0, 70.0))
    check(percentile_interval([1.0, 2.0, 3.0, 4.0], 50, confidence=0.8), (1.0, 4.0))
    check(percentile_interval([1.0, 2.0, 3.0, 4.0], 50, confidence=0.95), (-math.inf, math.inf))
    check(percentile_interval([1.0, 2.0, 3.0, 4.0], 90, confidence=0.8), (3.0, math.inf))
    check(percentile_interval([1.0, 2.0, 3.0, 4.0], 10, confidence=0.8), (-math.inf, 2.0))
    check(percentile_interval(np.arange(1, 51), 99)[1], math.inf)
    check(percentile_interval([5.0], 50), (-math.inf, math.inf))
    check_raises(ValueError, lambda: percentile_interval([1.0, 2.0], 100), "q is 100")
    check_raises(ValueError, lambda: percentile_interval([1.0, 2.0], 50, confidence=95), "confidence is 95")

test_percentile_interval()

# %% [markdown]
# Does the interval keep its promise? Draw samples whose true p99 is known, many times, and count how often the interval
# holds it. Then the timings from above: the first fifty of them, and more and more.

# %%
rng, truth = np.random.default_rng(0), -math.log(0.01)  # the p99 of an exponential distribution
for n in (50, 500, 2000):
    found = [percentile_interval(rng.exponential(size=n), 99) for _ in range(500)]
    print(f"{n:5d} samples   true p99 inside: {np.mean([low <= truth <= high for low, high in found]):6.1%}   no upper limit: {np.mean([high == math.inf for _, high in found]):4.0%}")
for n in (50, 500, 2000):
    low, high = percentile_interval(measured.times[:n], 99)
    print(f"{n:5d} timings   p99 {duration(percentile(measured.times[:n], 99)):8s} 95% interval {duration(low)} to {duration(high)}")

# %% [markdown]
# The first column of percentages should be 95% or somewhat more (more, because ranks are whole; five hundred experiments
# show it to a percent or two). For the timings it holds as far as they are independent: where pauses come in bunches, a
# thousand timings say less than a thousand that do not know of each other. The rules of MLPerf
# Inference (Reddi et al. 2020) ask for a tail estimate with a margin of a twentieth of the tail, with 99% confidence;
# their numbers of queries come from the same binomial distribution:

# %%
from statistics import NormalDist

z = NormalDist().inv_cdf(0.995)
for tail in (0.90, 0.95, 0.97, 0.99):
    margin = (1 - tail) / 20
    queries = z**2 * tail * (1 - tail) / margin**2
    print(f"p{100 * tail:.0f}   margin {margin:.2%}   queries {queries:9,.0f}   rounded up {2**13 * math.ceil(queries / 2**13):9,d}")

# %% [markdown]
# The last column, multiples of $2^{13}$, is what the rules of the first edition ask for. So much does a p99 cost if
# others are to rely on it.

# %% [markdown]
# ## How sure is a median, or a mean?
#
# For percentiles the binomial distribution gave an interval. What about the mean, a ratio of two medians, or any other
# number that one computes from samples? If we could repeat the whole experiment a thousand times, we would see how much
# the number varies. We cannot. But the samples are the best picture of the distribution that we have, so draw from
# *them*: as many as there are, with replacement, again and again, and compute the number each time. This is the
# *bootstrap* (Efron 1979). The middle 95% of the results are the interval.
#
# It needs no normal distribution, and no formula for each number. It does need independent samples, and enough of them:
# what never occurred is never drawn, so for p99 it promises too much and the interval above is the better one.

# %% nbgrader={"grade": false, "grade_id": "bootstrap_interval", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def bootstrap_interval(values, statistic: Callable = np.median, confidence: float = 0.95, resamples: int = 2000,
                       rng: "np.random.Generator | int" = 0) -> tuple[float, float]:
    """An interval for a number that is computed from samples, by drawing from the samples (Efron 1979).

    Parameters
    ----------
    values : list or array of n numbers, or Measurement
        At least two.
    statistic : callable
        ``statistic(array, axis=1)`` computes the number for each row, as np.median and np.mean do.
    confidence : float, between 0 and 1
    resamples : int
    rng : Generator or seed

    Returns
    -------
    low, high : float
        The quantiles of the resampled numbers that leave out half of the probability of error, ``tail``, on each side.

    Notes
    -----
    Draw an array of indices of shape (resamples, n) with ``rng.integers``, and look the values up with it. ``np.quantile(numbers, part)`` is
    the quantile, and its default will do here.
    """
    values = checked_values("bootstrap_interval", "values", values, least=2)
    tail = (1 - checked_part("bootstrap_interval", "confidence", confidence)) / 2
    resamples = checked_count(resamples, "resamples", 1, "bootstrap_interval")
    statistic = checked_statistic("bootstrap_interval", statistic)
    rng, n = random_generator("bootstrap_interval", rng), len(values)
    ### BEGIN SOLUTION bootstrap_interval
    drawn = values[rng.integers(n, size=(resamples, n))]
    numbers = statistic(drawn, axis=1)
    low, high = np.quantile(numbers, tail), np.quantile(numbers, 1 - tail)
    ### END SOLUTION
    return float(low), float(high)


# %% [raw] tags=["exercise"]
# bootstrap_interval:
#   title: The bootstrap
#   hints:
#     - Each row is a new experiment, drawn from the one you have made. How large is it, and may a value occur twice in it?
#     - Draw resamples times n indices below n, take the values there, compute the statistic of each row, and return the two quantiles.
#     - "numbers = statistic(values[rng.integers(...)], axis=1), then np.quantile of numbers at tail and at ..."
#   misconceptions:
#     - name: draws without replacement
#       says: >-
#         Every row held all values once, in another order, so every row gave the same number and the interval has no width. Draw with replacement.
#       code: |
#         drawn = np.array([rng.permutation(values) for _ in range(resamples)])
#         numbers = statistic(drawn, axis=1)
#         return float(np.quantile(numbers, tail)), float(np.quantile(numbers, 1 - tail))
#     - name: the spread of the samples
#       says: >-
#         These are quantiles of the samples: how much single runs vary. The question is how much the statistic varies, which is computed from n of them.
#       code: |
#         return float(np.quantile(values, tail)), float(np.quantile(values, 1 - tail))
#     - name: the whole error on either side
#       says: >-
#         The interval is too narrow: the probability of error is shared by the two sides, tail for each.
#       code: |
#         numbers = statistic(values[rng.integers(n, size=(resamples, n))], axis=1)
#         return float(np.quantile(numbers, 2 * tail)), float(np.quantile(numbers, 1 - 2 * tail))
#     - name: leaves the statistic out
#       says: >-
#         The median was computed whatever the statistic. It is an argument: statistic(drawn, axis=1).
#       code: |
#         numbers = np.median(values[rng.integers(n, size=(resamples, n))], axis=1)
#         return float(np.quantile(numbers, tail)), float(np.quantile(numbers, 1 - tail))
#     - name: always two thousand
#       says: >-
#         One experiment was asked for, and the interval has a width: other than `resamples` rows were drawn.
#       code: |
#         numbers = statistic(values[rng.integers(n, size=(2000, n))], axis=1)
#         return float(np.quantile(numbers, tail)), float(np.quantile(numbers, 1 - tail))
#     - name: draws from a generator of its own
#       says: >-
#         The same seed gave another interval. The draws have to come from rng, or nobody can repeat the computation.
#       code: |
#         numbers = statistic(values[np.random.randint(n, size=(resamples, n))], axis=1)
#         return float(np.quantile(numbers, tail)), float(np.quantile(numbers, 1 - tail))
#     - name: the same draws for every seed
#       says: >-
#         Another seed gave the same interval. The draws have to come from rng, as it was handed in.
#       code: |
#         numbers = statistic(values[np.random.default_rng(0).integers(n, size=(resamples, n))], axis=1)
#         return float(np.quantile(numbers, tail)), float(np.quantile(numbers, 1 - tail))
#     - name: never draws the last value
#       says: >-
#         The last value was never drawn. rng.integers(n) gives 0 to n - 1 as it is.
#       code: |
#         numbers = statistic(values[rng.integers(n - 1, size=(resamples, n))], axis=1)
#         return float(np.quantile(numbers, tail)), float(np.quantile(numbers, 1 - tail))

# %% nbgrader={"grade": true, "grade_id": "test_bootstrap_interval", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_bootstrap_interval():
    # the mean of two drawn from 0 and 1 is 0, 1/2 and 1 with probabilities 1/4, 1/2, 1/4
    check(bootstrap_interval([0.0, 1.0], np.mean, confidence=0.4), (0.5, 0.5))
    check(bootstrap_interval([0.0, 1.0], np.mean, confidence=0.95), (0.0, 1.0))
    # the largest of three drawn from 1, 2, 4 is 4 with probability 19/27 = 0.70, 2 with 7/27 = 0.26, 1 with 1/27 = 0.037
    check(bootstrap_interval([1.0, 2.0, 4.0], np.max, confidence=0.9), (2.0, 4.0))
    check(bootstrap_interval([1.0, 2.0, 4.0], np.max, confidence=0.96), (1.0, 4.0))
    check(bootstrap_interval([1.0, 2.0, 4.0], np.max, confidence=0.2), (4.0, 4.0))
    check(bootstrap_interval([3.0, 3.0, 3.0, 3.0]), (3.0, 3.0))
    low, high = bootstrap_interval(np.arange(100.0), np.mean, resamples=1)
    check(low == high, True)  # a single number has no width
    mean_of = lambda seed: bootstrap_interval(np.arange(100.0), np.mean, resamples=50, rng=seed)
    check(mean_of(7) == mean_of(7), True)
    check(mean_of(7) == mean_of(8), False)
    check_raises(ValueError, lambda: bootstrap_interval([1.0]), "1 sample")
    check_raises(ValueError, lambda: bootstrap_interval([1.0, math.nan]), "entry 1")

test_bootstrap_interval()

# %%
for n in (20, 200, 2000):
    for name, statistic in (("median", np.median), ("mean", np.mean)):
        low, high = bootstrap_interval(measured.times[:n], statistic)
        print(f"{n:5d} runs   {name:6s} 95% interval {duration(low):>8s} to {duration(high):>8s}   width {(high - low) / measured.median:6.2%} of the median")

# %% [markdown]
# ## Could chance alone have done it?
#
# Two lists of times, `a` and `b`, and the median of `b` is larger. Suppose that the two programs were the same. Then
# the labels would mean nothing: any other way of calling some of these times `a` and the rest `b` would have been as
# likely. So try the other ways, and count in what part of them the difference is at least as large, in either
# direction, as the one that was found. That part is the *p-value* of the *permutation test* (Fisher 1935; Pitman 1937).
# If it is small, either a rare thing has happened or the programs are not the same.
#
# For a few samples all ways can be tried; for more, two thousand drawn at random. The way that really occurred is one
# of them. So no p-value is 0, and that is as it should be (Phipson & Smyth 2010).

# %%
#| export
def groupings(n_a: int, n_b: int, resamples: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Ways to part n_a + n_b entries into two groups, as two arrays of indices, a row for each way.

    All ways, where there are at most `resamples`; else so many drawn at random. The first row is the way they came in.
    """
    n = n_a + n_b
    if math.comb(n, n_a) <= resamples:
        first = np.array(list(combinations(range(n), n_a)))
        second = np.array([np.delete(np.arange(n), row) for row in first])
        return first, second
    order = rng.permuted(np.tile(np.arange(n), (resamples, 1)), axis=1)
    order[0] = np.arange(n)
    return order[:, :n_a], order[:, n_a:]


# %% nbgrader={"grade": false, "grade_id": "permutation_test", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def permutation_test(a, b, statistic: Callable = np.median, resamples: int = 2000, rng: "np.random.Generator | int" = 0) -> float:
    """The p-value of a difference between two lists of independent samples, by exchanging labels (Fisher 1935; Pitman 1937).

    Parameters
    ----------
    a, b : lists or arrays of numbers, or Measurements
        At least two each; their lengths may differ.
    statistic : callable
        ``statistic(array, axis=1)``, as np.median or np.mean.
    resamples : int
    rng : Generator or seed

    Returns
    -------
    float, above 0 and at most 1
        The part of all groupings in which the statistics of the two groups differ, in absolute value, by at least as
        much as they do in the grouping that was found.

    Notes
    -----
    ``pooled`` holds the values of a and then those of b. Row r of ``first`` and of ``second`` holds the places of those that
    are called a and b in grouping r; grouping 0 is the one that was found. ``at_least(x, y)`` is ``x >= y`` for each entry of x, with room for
    rounding. The p-value is ``p``.
    """
    a, b = (checked_values("permutation_test", name, values, least=2) for name, values in (("a", a), ("b", b)))
    resamples, statistic = checked_count(resamples, "resamples", 1, "permutation_test"), checked_statistic("permutation_test", statistic)
    pooled = np.concatenate([a, b])
    first, second = groupings(len(a), len(b), resamples, random_generator("permutation_test", rng))
    ### BEGIN SOLUTION permutation_test
    differences = abs(statistic(pooled[second], axis=1) - statistic(pooled[first], axis=1))
    p = at_least(differences, differences[0]).mean()
    ### END SOLUTION
    return float(p)


def at_least(x: np.ndarray, y: float) -> np.ndarray:
    """Where x >= y, or would be but for rounding."""
    return x >= y - 1e-12 * abs(y)


# %% [raw] tags=["exercise"]
# permutation_test:
#   title: Exchanging labels
#   hints:
#     - What would the difference have been if grouping r had been the true one, and how does it compare with the one that was found?
#     - Compute the statistic of pooled[first] and of pooled[second] for all rows, take the absolute difference, and return the part of the rows that are at least as large as row 0.
#     - "differences = abs(... - ...), then at_least(differences, differences[0]) and its mean"
#   misconceptions:
#     - name: one direction only
#       says: >-
#         Only differences in the direction that was found were counted. Had it been the other direction you would have reported that one, so both count: take the absolute value.
#       code: |
#         differences = statistic(pooled[second], axis=1) - statistic(pooled[first], axis=1)
#         return float((np.sign(differences[0]) * differences >= abs(differences[0]) - 1e-12).mean())
#     - name: strictly larger only
#       says: >-
#         Groupings with exactly the difference that was found were not counted, not even the one that was found itself. At least as large is the question.
#       code: |
#         differences = abs(statistic(pooled[second], axis=1) - statistic(pooled[first], axis=1))
#         return float((differences > differences[0] + 1e-12).mean())
#     - name: leaves no room for rounding
#       says: >-
#         Two groupings have the same difference, and computed it is not quite the same, so one of them was not counted.
#         at_least leaves room for that.
#       code: |
#         differences = abs(statistic(pooled[second], axis=1) - statistic(pooled[first], axis=1))
#         return float((differences >= differences[0]).mean())
#     - name: the part that is smaller
#       says: >-
#         This is the part of the groupings with a smaller difference. A large difference should have a small p-value.
#       code: |
#         differences = abs(statistic(pooled[second], axis=1) - statistic(pooled[first], axis=1))
#         return float((differences <= differences[0] + 1e-12).mean())
#     - name: leaves the statistic out
#       says: >-
#         Means were compared whatever the statistic. It is an argument, and it makes a difference where there are outliers.
#       code: |
#         differences = abs(pooled[second].mean(axis=1) - pooled[first].mean(axis=1))
#         return float(at_least(differences, differences[0]).mean())

# %% nbgrader={"grade": true, "grade_id": "test_permutation_test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_permutation_test():
    # 6 ways to part four values in two and two, 20 for three and three
    check(permutation_test([1.0, 2.0], [3.0, 4.0]), 2 / 6)
    check(permutation_test([3.0, 4.0], [1.0, 2.0]), 2 / 6)
    check(permutation_test([1.0, 2.0, 3.0], [10.0, 20.0, 30.0], statistic=np.mean), 2 / 20)
    check(permutation_test([1.0, 2.0, 3.0], [10.0, 20.0, 30.0]), 4 / 20)
    check(permutation_test([1.0, 3.0], [2.0, 4.0]), 4 / 6)
    check(permutation_test([1.0, 4.0], [2.0, 3.0]), 1.0)
    check(permutation_test([5.0, 5.0, 5.0], [5.0, 5.0]), 1.0)
    # the means differ by 1/3, and so they do, but for rounding, where 0.6 and 0.8 are called b
    check(permutation_test([0.6, 0.8, 0.5], [0.3, 0.3], statistic=np.mean), 2 / 10)
    check(permutation_test([1.0, 2.0, 3.0], [0.0, 2.0, 40.0], statistic=np.mean), 18 / 20)
    check(permutation_test([1.0, 2.0, 3.0], [0.0, 2.0, 40.0]), 1.0)
    check(permutation_test(np.arange(20.0), 100 + np.arange(20.0), np.mean, resamples=500), 1 / 500)
    check_raises(ValueError, lambda: permutation_test([1.0], [2.0, 3.0]), "a holds 1 sample")

test_permutation_test()

# %% [markdown]
# To see it: two networks, 64 and 80 wide, thirty runs each, and the differences that exchanged labels give.

# %%
narrow, wide = (create_mlp(64, [width, width], 10, rng=0) for width in (64, 80))
a, b = (measure(reads(model, digits), runs=30).times for model in (narrow, wide))
first, second = groupings(30, 30, 2000, np.random.default_rng(0))
pooled = np.concatenate([a, b])
shuffled = np.median(pooled[second], axis=1) - np.median(pooled[first], axis=1)
axes = plt.subplots(figsize=(6, 3))[1]
axes.hist(1e6 * shuffled[1:], bins=40, color="0.8")
axes.axvline(1e6 * shuffled[0], color="#d55e00")
axes.annotate(" found ", (1e6 * shuffled[0], 0.9), xycoords=("data", "axes fraction"), color="#d55e00", ha="right" if shuffled[0] > 0 else "left")
axes.set(xlabel="difference of the medians, us", ylabel="groupings")
_ = axes.set_title(f"Exchanged labels differ as much in {permutation_test(a, b):.2%} of all cases")

# %% [markdown]
# ### How large is it?
#
# A small p-value does not mean a large difference. With enough samples a tenth of a percent is found, and nobody should
# care. So a size is reported as well. The ratio of the medians is one. Another one, which needs no unit and does not
# mind outliers, asks how often a run of `b` takes longer than a run of `a`. *Cliff's delta* (Cliff 1993) takes all
# pairs of one from each list: the part of them in which `b` is larger, minus the part in which it is smaller. It is 1
# where every run of `b` is slower than all of `a`, 0 where neither is favoured, and $-1$ at the other end.

# %% nbgrader={"grade": false, "grade_id": "effect_size", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def effect_size(a, b) -> float:
    """Cliff's delta: P(b > a) - P(b < a) over all pairs of a sample of `a` and one of `b` (Cliff 1993).

    Parameters
    ----------
    a, b : lists or arrays of numbers, or Measurements

    Returns
    -------
    float, -1 to 1
        ``delta`` below: positive where samples of `b` tend to be larger. Pairs of equal ones count for neither side.
    """
    a, b = (checked_values("effect_size", name, values) for name, values in (("a", a), ("b", b)))
    ### BEGIN SOLUTION effect_size
    delta = np.sign(b[:, None] - a).mean()
    ### END SOLUTION
    return float(delta)


def effect_in_words(delta: float) -> str:
    """The usual words for a Cliff's delta (Romano et al. 2006)."""
    size = abs(delta)
    return "negligible" if size < 0.147 else "small" if size < 0.33 else "medium" if size < 0.474 else "large"


# %% [raw] tags=["exercise"]
# effect_size:
#   title: Cliff's delta
#   hints:
#     - How do you get a table with an entry for every pair of a sample of a and one of b, without a loop?
#     - Subtract a from b as a column, which gives a table of differences. Their signs are 1, 0 and -1; what is the mean of the signs?
#     - "the mean of np.sign(b[:, None] - ...)"
#   misconceptions:
#     - name: a minus b
#       says: >-
#         The sign is turned: the answer is positive where samples of b are larger.
#       code: |
#         return float(np.sign(a[:, None] - b).mean())
#     - name: only how often b is larger
#       says: >-
#         This is the part of the pairs in which b is larger, which is one half where neither is favoured. The part in which it is smaller has to be subtracted.
#       code: |
#         return float((b[:, None] > a).mean())
#     - name: how much larger
#       says: >-
#         The differences themselves were averaged, so one outlier decides. Only their signs count.
#       code: |
#         return float((b[:, None] - a).mean() / abs(b[:, None] - a).max()) if abs(b[:, None] - a).max() else 0.0
#     - name: pairs by place
#       says: >-
#         The first of b was compared with the first of a only, and so on. All pairs count, which also makes lists of different lengths possible.
#       code: |
#         n = min(len(a), len(b))
#         return float(np.sign(b[:n] - a[:n]).mean())

# %% nbgrader={"grade": true, "grade_id": "test_effect_size", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_effect_size():
    check(effect_size([1.0, 4.0], [2.0, 3.0]), 0.0)
    check(effect_size([1.0, 2.0, 3.0], [2.0, 3.0, 4.0]), 5 / 9)
    check(effect_size([1.0, 2.0], [3.0, 4.0]), 1.0)
    check(effect_size([3.0, 4.0], [1.0, 2.0]), -1.0)
    check(effect_size([1.0], [1.0, 1.0, 1.0]), 0.0)
    check(effect_size([1.0, 2.0, 3.0, 4.0], [2.0, 100.0]), 3 / 8)
    check_raises(ValueError, lambda: effect_size([1.0], []), "b holds no sample")

test_effect_size()

# %%
print(f"width 80 against 64: ratio of medians {np.median(b) / np.median(a):.2f}, Cliff's delta {effect_size(a, b):.2f} ({effect_in_words(effect_size(a, b))})")

# %% [markdown]
# ## The trap of many comparisons
#
# Where two programs are the same, a test at the level 0.05 still finds a difference in one comparison out of twenty;
# that is what the level means. Compare twenty variants with the old version, and one or another will look faster or
# slower, quite without being so. A p-value without a difference behind it is as likely to lie below 0.05 as 0.05 says,
# below 0.3 as 0.3 says, and so on: it is uniform between 0 and 1. Here are twenty of that kind, a thousand times over:

# %%
rng = np.random.default_rng(0)
uniform = rng.uniform(size=(1000, 20))  # the p-values of 20 comparisons without a difference
print(f"at least one of 20 p-values at most 0.05: in {(uniform.min(axis=1) <= 0.05).mean():.0%} of 1000 studies")
print(f"at least one of 20 at most 0.05 / 20:     in {(uniform.min(axis=1) <= 0.05 / 20).mean():.0%}")

# %% [markdown]
# Dividing the level by the number of comparisons (or, the same, multiplying each p-value by it) is *Bonferroni's*
# correction. *Holm's* (Holm 1979) gives the same promise and finds more. Sort the $m$ p-values. Multiply the smallest
# by $m$, the next by $m - 1$, and so on, the largest by 1. An adjusted p-value is never smaller than one before it in
# that order: where no difference is found, none is found behind it either. And none is above 1.

# %% nbgrader={"grade": false, "grade_id": "holm", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def holm(p_values) -> np.ndarray:
    """P-values adjusted for their number (Holm 1979).

    Parameters
    ----------
    p_values : list or array of m numbers from 0 to 1

    Returns
    -------
    array of float64, shape (m,)
        In the order in which they were given. Where none of the m differences is real, at least one of these is at most
        alpha with a probability of at most alpha.

    Notes
    -----
    ``order`` below are the places of the p-values from the smallest to the largest. ``np.maximum.accumulate`` gives for each entry the
    largest so far. ``adjusted[order] = ...`` writes sorted entries back to their places.
    """
    p = checked_values("holm", "p_values", p_values)
    if ((p < 0) | (p > 1)).any():
        raise ValueError(f"holm: the p-values reach from {p.min():g} to {p.max():g}, but a p-value is a number from 0 to 1.")
    order, m, adjusted = np.argsort(p), len(p), np.empty(len(p))
    ### BEGIN SOLUTION holm
    scaled = p[order] * np.arange(m, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    ### END SOLUTION
    return adjusted


# %% [raw] tags=["exercise"]
# holm:
#   title: Many comparisons
#   hints:
#     - Three steps in sorted order, and then a fourth that undoes the sorting. Which?
#     - Multiply the sorted p-values by m, m - 1, ..., 1, take the largest so far, limit to 1, and write the result to the places named by order.
#     - "scaled = p[order] * np.arange(...), and adjusted[order] is np.minimum of ... and 1.0"
#   misconceptions:
#     - name: Bonferroni for all
#       says: >-
#         Every p-value was multiplied by m. That is Bonferroni's correction, which is right but finds less. In Holm's only the smallest is multiplied by m.
#       code: |
#         adjusted[:] = np.minimum(p * m, 1.0)
#     - name: in sorted order
#       says: >-
#         The adjusted p-values came out in sorted order, so that they belong to other comparisons. Write them back to their places.
#       code: |
#         adjusted[:] = np.minimum(np.maximum.accumulate(p[order] * np.arange(m, 0, -1)), 1.0)
#     - name: without the largest so far
#       says: >-
#         An adjusted p-value is smaller than one before it in the order. Where no difference is found, none may be found behind it: take the
#         largest so far, of the products.
#       code: |
#         adjusted[order] = np.minimum(p[order] * np.arange(m, 0, -1), 1.0)
#     - name: factors from 1 upwards
#       says: >-
#         The smallest p-value was multiplied by 1 and the largest by m. It is the other way round.
#       code: |
#         adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(1, m + 1)), 1.0)
#     - name: above one
#       says: >-
#         A product came out above 1, and there is no such probability. Limit it.
#       code: |
#         adjusted[order] = np.maximum.accumulate(p[order] * np.arange(m, 0, -1))

# %% nbgrader={"grade": true, "grade_id": "test_holm", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_holm():
    check(holm([0.03]), [0.03])
    check(holm([0.01, 0.03]), [0.02, 0.03])
    check(holm([0.03, 0.01]), [0.03, 0.02])
    check(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    check(holm([0.5, 0.9, 0.6]), [1.0, 1.0, 1.0])
    check(holm([0.001, 0.2, 0.01, 0.02]), [0.004, 0.2, 0.03, 0.04])
    check_raises(ValueError, lambda: holm([0.5, 1.5]), "reach from 0.5 to 1.5")

test_holm()

# %% [markdown]
# ## Drift
#
# The permutation test rests on one sentence: if the programs are the same, any other labelling was as likely. Was it?
# First thirty runs of `a`, then thirty of `b`. In between the processor has become warmer and its frequency lower, a
# browser in the background has started to work, the cloud has given our neighbour a larger share. Then `b` is slower
# although it is the same program, and the labels do mean something: early and late.
#
# A machine of that kind can be built, with a known truth. Its clock is the simulated one, but whatever is done on it
# takes longer or shorter, by a slow wave, by a little noise, and now and then by an outlier.

# %%
#| export
class NoisyMachine(SimulatedClock):
    """A simulated clock on which work takes longer or shorter than it should: a test bed with a known truth.

    Parameters
    ----------
    seed : int
    noise : float
        Standard deviation of the logarithm of each duration.
    drift, period : float
        Durations swing like a sine, up and down by the part `drift`, once in `period` seconds.
    outliers : float
        The part of all durations that are made longer, by a factor between 1 and 10 or so.
    """

    def __init__(self, seed: int = 0, noise: float = 0.02, drift: float = 0.1, period: float = 1.0, outliers: float = 0.02):
        super().__init__()
        self.rng, self.noise, self.drift, self.period, self.outliers = np.random.default_rng(seed), noise, drift, period, outliers

    def advance(self, seconds: float) -> None:
        """Let the time pass that so much work takes at this moment."""
        factor = math.exp(self.noise * self.rng.standard_normal()) * (1 + self.drift * math.sin(2 * math.pi * self.now / self.period))
        if self.rng.random() < self.outliers:
            factor *= 1 + 2 * self.rng.exponential()
        self.now += seconds * factor


# %%
def blocks(machine, a, b, runs=30):
    """First all runs of a, then all of b: A A B B."""
    return timings(a, runs, clock=machine), timings(b, runs, clock=machine)


found = []
for seed in range(100):
    machine = NoisyMachine(seed)
    machine.advance(seed / 100)  # somewhere in the wave
    task = machine.work(0.001)
    found.append(permutation_test(*blocks(machine, task, task), resamples=1000) <= 0.05)
print(f"the same program against itself, A A B B: a difference is found in {sum(found)} of {len(found)} comparisons")

# %% [markdown]
# It should have been five or so. The remedy is as old as agricultural trials, where the field is better at one end:
# *pairs*. Time `a` and `b` one right after the other, so that both meet the same machine, and then look only at
# differences within pairs. One thing is left. The second of a pair may have an advantage (what the first has brought
# into the cache) or a disadvantage. So a coin decides, for each pair anew, which goes first.

# %% nbgrader={"grade": false, "grade_id": "paired_timings", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def paired_timings(a: Callable[[], object], b: Callable[[], object], pairs: int, number: int = 1,
                   clock: Callable[[], float] = time.perf_counter, rng: "np.random.Generator | int" = 0) -> np.ndarray:
    """Time two calls in pairs, one right after the other, in an order that a coin decides for each pair.

    Parameters
    ----------
    a, b : callables without arguments
    pairs : int
    number : int
        Calls in a timing.
    clock : callable
    rng : Generator or seed
        Throws the coin.

    Returns
    -------
    array of float64, shape (pairs, 2)
        Column 0 are the timings of `a`, column 1 those of `b`, whichever came first.

    Notes
    -----
    ``timings(call, 1, number, clock)`` is an array with a single timing. ``rng.random() < 0.5`` is a coin.
    """
    rng, times = random_generator("paired_timings", rng), np.empty((pairs, 2))
    ### BEGIN SOLUTION paired_timings
    for pair in times:
        order = (0, 1) if rng.random() < 0.5 else (1, 0)
        for which in order:
            pair[which] = timings((a, b)[which], 1, number, clock)[0]
    ### END SOLUTION
    return times


# %% [raw] tags=["exercise"]
# paired_timings:
#   title: A B, B A, B A, A B
#   hints:
#     - What is decided anew for each pair, and what does not depend on it, where a time is stored?
#     - For each pair throw the coin. Time the two calls in the order it says, and store the timing of a in column 0 and that of b in column 1.
#     - "order = (0, 1) or (1, 0) by the coin; for which in order, times[i, which] = ..."
#   misconceptions:
#     - name: always a first
#       says: >-
#         a went first in every pair. Whatever the second place brings, an advantage or a disadvantage, would be counted as a property of b. Throw a coin for each pair.
#       code: |
#         for i in range(pairs):
#             times[i] = timings(a, 1, number, clock)[0], timings(b, 1, number, clock)[0]
#     - name: takes turns
#       says: >-
#         a and b went first by turns, and no coin was thrown. The plan is fair, but the test below rests on the coin: it counts how else the coins
#         could have fallen. And a machine that has a rhythm of its own may keep step with the turns.
#       code: |
#         for i in range(pairs):
#             order = (0, 1) if i % 2 == 0 else (1, 0)
#             for which in order:
#                 times[i, which] = timings((a, b)[which], 1, number, clock)[0]
#     - name: the same coins for every seed
#       says: >-
#         Another seed gave the same order. The coin has to come from rng, as it was handed in.
#       code: |
#         rng = np.random.default_rng(0)
#         for i in range(pairs):
#             order = (0, 1) if rng.random() < 0.5 else (1, 0)
#             for which in order:
#                 times[i, which] = timings((a, b)[which], 1, number, clock)[0]
#     - name: a coin of its own
#       says: >-
#         The coin came from another generator than rng. The same seed has to give the same order again, or nobody can repeat the measurement.
#       code: |
#         for i in range(pairs):
#             order = (0, 1) if np.random.random() < 0.5 else (1, 0)
#             for which in order:
#                 times[i, which] = timings((a, b)[which], 1, number, clock)[0]
#     - name: stored by place
#       says: >-
#         The columns are the first and the second of each pair, not a and b. Whichever came first, column 0 is for a.
#       code: |
#         for i in range(pairs):
#             order = (a, b) if rng.random() < 0.5 else (b, a)
#             times[i] = [timings(call, 1, number, clock)[0] for call in order]
#     - name: one coin for all
#       says: >-
#         The coin was thrown once, so one of the two goes first in all pairs. Throw it for each pair.
#       code: |
#         order = (0, 1) if rng.random() < 0.5 else (1, 0)
#         for i in range(pairs):
#             for which in order:
#                 times[i, which] = timings((a, b)[which], 1, number, clock)[0]
#     - name: all of a, then all of b
#       says: >-
#         All runs of a came before all runs of b. Those of a pair have to stand next to each other, so that both meet the same machine.
#       code: |
#         times[:, 0] = timings(a, pairs, number, clock)
#         times[:, 1] = timings(b, pairs, number, clock)

# %% nbgrader={"grade": true, "grade_id": "test_paired_timings", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_paired_timings():
    clock, order = SimulatedClock(), []
    a, b = clock.work(1.0), clock.work(2.0)
    found = paired_timings(lambda: (order.append("a"), a()), lambda: (order.append("b"), b()), 40, clock=clock)
    check(found.shape, (40, 2))
    check(found.min(axis=0), [1.0, 2.0])
    check(found.max(axis=0), [1.0, 2.0])
    pairs = {"".join(order[i : i + 2]) for i in range(0, 80, 2)}
    check(sorted(pairs), ["ab", "ba"])
    check(5 < sum(order[i] == "a" for i in range(0, 80, 2)) < 35, True)

    def heard(seed):
        calls = []
        paired_timings(lambda: calls.append("a"), lambda: calls.append("b"), 40, clock=SimulatedClock(), rng=seed)
        return "".join(calls)

    check("abab" in heard(1), True)  # a coin falls the same way twice in a row now and then
    check(heard(1) == heard(2), False)  # other seeds, another order
    check(heard(1) == heard(1), True)
    clock = SimulatedClock()
    check(paired_timings(clock.work(1.0, 2.0), clock.work(4.0, 6.0), 2, number=2, clock=clock), [[1.5, 5.0], [1.5, 5.0]])
    check(clock(), 26.0)

test_paired_timings()

# %% [markdown]
# For pairs the test becomes even simpler. If the programs are the same, the coin alone decided which of the two times
# is called `a`. Exchanging the two turns the sign of their difference, so each sign could as well have been the other
# one. Here lies the beauty of the coin: *we* threw it, so this sentence is true by construction, whatever the machine
# did meanwhile. Drift, waves, neighbours, none of it can make the test find differences too often.
#
# What to sum up? The mean of the differences would be ruled by outliers. *Wilcoxon's signed ranks* (Wilcoxon 1945) are
# not: rank the differences by their absolute value, the smallest 1, and give each rank the sign of its difference. If
# neither program is favoured, positive and negative ranks balance.

# %%
#| export
def ranks(values: np.ndarray) -> np.ndarray:
    """The rank of each value, from 1; equal values share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place]


def signed_ranks(differences: np.ndarray) -> np.ndarray:
    """Wilcoxon's signed ranks: the ranks of the absolute differences, with the differences' signs; 0 for a difference of 0."""
    return np.sign(differences) * ranks(abs(differences))


def sign_patterns(n: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Ways to turn n signs, an array of 1 and -1 with a row for each way. The first row turns none.

    All ways, where there are at most `resamples`; else so many drawn at random.
    """
    if n < 60 and 2**n <= resamples:
        return np.array(list(product((1.0, -1.0), repeat=n)))
    signs = 1.0 - 2.0 * rng.integers(2, size=(resamples, n), dtype=np.int8)
    signs[0] = 1.0
    return signs


# %%
scores = signed_ranks(np.array([0.3, -0.1, 0.2, 50.0]))
print("signed ranks of 0.3, -0.1, 0.2 and 50:", *scores, "  their sum", scores.sum())
print("all sixteen sums there could have been:", *sorted(sign_patterns(4, 2000, rng) @ abs(scores)))

# %% nbgrader={"grade": false, "grade_id": "sign_flip_test", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def sign_flip_test(differences, resamples: int = 2000, rng: "np.random.Generator | int" = 0) -> float:
    """The p-value of paired differences, by turning the signs of their signed ranks (Fisher 1935; Wilcoxon 1945).

    Parameters
    ----------
    differences : list or array of n numbers
        b - a for each pair, or log(b / a).
    resamples : int
    rng : Generator or seed

    Returns
    -------
    float, above 0 and at most 1
        The part of all sign patterns for which the sum of the ranks is, in absolute value, at least as large as the sum
        that was found.

    Notes
    -----
    ``scores`` below are the signed ranks. Row 0 of ``patterns``, an array of shape (patterns, n), turns no sign, so that it gives the sum that
    was found. A product of a matrix and a vector gives all sums at once. They are exact, with no rounding to think of. The p-value is ``p``.
    """
    differences = checked_values("sign_flip_test", "differences", differences)
    resamples = checked_count(resamples, "resamples", 1, "sign_flip_test")
    scores = signed_ranks(differences)
    patterns = sign_patterns(len(scores), resamples, random_generator("sign_flip_test", rng))
    ### BEGIN SOLUTION sign_flip_test
    sums = abs(patterns @ scores)
    p = (sums >= sums[0]).mean()
    ### END SOLUTION
    return float(p)


# %% [raw] tags=["exercise"]
# sign_flip_test:
#   title: Turning signs
#   hints:
#     - What would the sum of the scores have been, had the coins fallen as in row r of patterns?
#     - Multiply patterns with the scores, take absolute values, and return the part of them that is at least as large as the first.
#     - "sums = abs(patterns @ ...), compared with sums[0]"
#   misconceptions:
#     - name: one direction only
#       says: >-
#         Only sums in the direction that was found were counted. The other direction would have been reported as well, so both count: take absolute values.
#       code: |
#         sums = patterns @ scores
#         return float((np.sign(sums[0]) * sums >= abs(sums[0])).mean())
#     - name: the differences in place of the ranks
#       says: >-
#         The differences themselves were summed, so a single outlier decides the sign of the sum. The scores are their signed ranks.
#       code: |
#         sums = abs(patterns @ differences)
#         return float((sums >= sums[0] - 1e-9).mean())
#     - name: strictly larger only
#       says: >-
#         Patterns with exactly the sum that was found were not counted, not even that which was found itself. At least as large is the question.
#       code: |
#         sums = abs(patterns @ scores)
#         return float((sums > sums[0]).mean())
#     - name: counts signs only
#       says: >-
#         Only the number of positive and negative differences was compared, which is another test (the sign test). It forgets that the small differences may be the negative ones.
#       code: |
#         sums = abs(patterns @ np.sign(scores))
#         return float((sums >= sums[0]).mean())

# %% nbgrader={"grade": true, "grade_id": "test_sign_flip_test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_sign_flip_test():
    # three ranks: the sums are 6, 4, 2, 0 and their negatives, with 0 twice
    check(sign_flip_test([0.1, 0.2, 0.3]), 2 / 8)
    check(sign_flip_test([-0.1, -0.2, -0.3]), 2 / 8)
    check(sign_flip_test([-0.1, 0.2, 0.3]), 4 / 8)
    check(sign_flip_test([0.1, 0.2, -0.3]), 1.0)
    check(sign_flip_test([5.0, 5.0, 5.0, 5.0, 5.0]), 2 / 32)
    check(sign_flip_test([0.0, 0.0]), 1.0)
    # ranks 1 to 6, the largest negative: 21 - 2 T with T the sum of the negative ones; 14 subsets have T <= 6
    check(sign_flip_test([1.0, 1.1, 1.2, 1.3, 1.4, -100.0]), 28 / 64)
    check(sign_flip_test(np.arange(1.0, 31.0), resamples=1000), 1 / 1000)
    check_raises(ValueError, lambda: sign_flip_test([]), "no sample")

test_sign_flip_test()

# %% [markdown]
# ## Comparing two programs
#
# One piece is missing: how large is the difference, and between which limits? The test can say that as well. Suppose
# that `b - a` is 0.05 in truth. Subtract 0.05 from every difference, and what remains favours neither side; whether the
# test agrees is its p-value. So try one *shift* after the other. The interval holds those that the test does *not* rule
# out.
#
# Below are eight differences, one of them an outlier, and a few shifts. Beside the sum that the test uses stands
# something that seems to have nothing to do with it: of the means of all two differences (and of each with itself, 36
# in all), the number of those above the shift.

# %%
#| export
def pairwise_means(d: np.ndarray) -> np.ndarray:
    """The means of all two entries, and of each with itself, in ascending order."""
    i, j = np.triu_indices(len(d))
    return np.sort((d[i] + d[j]) / 2)


# %%
eight = np.array([0.02, 0.03, 0.05, 0.06, 0.07, 0.09, 0.12, 0.42])
means = pairwise_means(eight)
for shift in (0.001, 0.031, 0.041, 0.061, 0.101, 0.221, 0.271):
    scores = signed_ranks(eight - shift)
    print(f"shift {shift:.3f}   sum of the positive ranks {scores[scores > 0].sum():4.1f}   means above it {(means > shift).sum():2d}   p {sign_flip_test(eight - shift):.3f}")

# %% [markdown]
# The two columns are the same, whatever the shift: the sum of the positive ranks *is* the number of these means above
# it (Tukey 1949). So it can only change where the shift passes one of them, and no shift has to be tried. Sort the
# means. Find out how many on one side are too few for chance, and count off so many from either end: the interval
# reaches from there to there. The estimate is the mean in the middle, which has as many above as below (Hodges &
# Lehmann 1963).

# %%
#| export
def shift_interval(differences, alpha: float = 0.01, resamples: int = 2000, rng: "np.random.Generator | int" = 0) -> tuple[float, float, float]:
    """The middle of paired differences, and between which values `sign_flip_test` would not rule it out (Hodges & Lehmann 1963).

    Returns
    -------
    middle, low, high : float
        Infinite ends where there are too few differences for this level.
    """
    d = checked_values("shift_interval", "differences", differences)
    alpha, resamples = checked_part("shift_interval", "alpha", alpha), checked_count(resamples, "resamples", 1, "shift_interval")
    means = pairwise_means(d)
    scores = np.where(d < 0, -1, 1) * ranks(abs(d))
    sums = np.sort(abs(sign_patterns(len(d), resamples, random_generator("shift_interval", rng)) @ scores))
    at_least_so_many = len(sums) - np.searchsorted(sums, sums)
    ruled_out = sums[at_least_so_many <= alpha * len(sums)]
    if not len(ruled_out):
        return float(np.median(means)), -math.inf, math.inf
    # positive and negative ranks add up to len(means), and differ by what was ruled out: the smaller of the two is c
    c = int((len(means) - ruled_out[0]) / 2)  # so many means on one side, or fewer, are too few
    return float(np.median(means)), float(means[c]), float(means[-1 - c])


# %%
for alpha in (0.05, 0.01):
    middle, low, high = shift_interval(eight, alpha)
    print(f"level {alpha}: middle {middle:.3f}, interval {low:.3f} to {high:.3f}; p just inside {sign_flip_test(eight - low - 1e-6):.3f}, just outside {sign_flip_test(eight - low + 1e-6):.3f}")

# %% [markdown]
# The middle lies among the seven, whatever the outlier says; only the upper end has followed it. And what lies just
# outside of the interval is ruled out at that level, what lies just inside is not.
#
# For `compare` the differences are the logarithms of each pair's ratio, so that twice as long and half as long are
# equally far from 0; a difference is then found exactly where the interval leaves out a ratio of 1. The rest is put
# together: warm up both, time pairs, then the p-value, a ratio with its interval, and Cliff's delta.
#
# What is the verdict? Either *different*, and by how much. Or *no difference found*, and how large a one could have
# been overlooked. Never *equal*: fewer samples make it easier to find nothing, and nobody should be able to prove two
# programs equal by measuring badly. The level is 0.01 rather than the usual 0.05: a wrong *faster* costs more than
# another minute of measuring.

# %%
#| export
@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """How two calls compare, measured in pairs.

    Attributes
    ----------
    names : tuple of two str
    times : array of float64, shape (pairs, 2)
    ratio : float
        The time of the second call, divided by that of the first.
    interval : tuple of two float
        For the ratio, with the confidence 1 - alpha: what the test does not rule out.
    p_value : float
    effect : float
        Cliff's delta; positive where the second call tends to take longer.
    alpha : float
        How often, at most, two equal programs may be called different.
    """

    names: tuple[str, str]
    times: np.ndarray
    ratio: float
    interval: tuple[float, float]
    p_value: float
    effect: float
    alpha: float = 0.01

    @property
    def different(self) -> bool:
        """Whether a difference was found: the p-value is at most alpha."""
        return self.p_value <= self.alpha

    @property
    def measurements(self) -> tuple[Measurement, Measurement]:
        """The timings of each call by itself."""
        return tuple(Measurement(times, name) for times, name in zip(self.times.T, self.names))

    def verdict(self) -> str:
        """What was found, in words and numbers."""
        (a, b), (low, high) = self.names, self.interval
        numbers = f"ratio {self.ratio:.3f}, {1 - self.alpha:.0%} interval {low:.3f} to {high:.3f}, p = {self.p_value:.2g}, {len(self.times)} pairs"
        if self.different:
            more = f"{b} takes {abs(self.ratio - 1):.1%} {'longer' if self.ratio > 1 else 'less'} than {a}"
            return f"different: {more} ({numbers}; effect {self.effect:+.2f}, {effect_in_words(self.effect)})"
        missed = max(abs(low - 1), abs(high - 1))
        return f"no difference found between {a} and {b} ({numbers}); one of up to {missed:.1%} is not ruled out"

    def __repr__(self):
        return self.verdict()

    def plot(self, ax=None):
        """Draw the ratio of every pair, in the order in which they were measured; returns the axes."""
        ax = pyplot("Comparison.plot").subplots(figsize=(6, 3))[1] if ax is None else ax
        ratios = self.times[:, 1] / np.maximum(self.times[:, 0], 1e-300)
        low, high = min(0.8, self.interval[0] - 0.1), max(1.25, self.interval[1] + 0.1)
        outside = np.sum((ratios < low) | (ratios > high))
        ax.plot(ratios, ".", color="#0072b2", markersize=3)
        ax.axhspan(*self.interval, color="#d55e00", alpha=0.3, linewidth=0)
        ax.axhline(1, color="0.6", linewidth=0.8)
        ax.set(xlabel=f"pair ({outside} of {len(ratios)} lie outside)", ylabel=f"{self.names[1]} / {self.names[0]}", ylim=(low, high))
        ax.set_title(f"{'Different' if self.different else 'No difference found'}: ratio {self.ratio:.3f}, {self.interval[0]:.3f} to {self.interval[1]:.3f}")
        return ax


def checked_names(names) -> tuple[str, str]:
    """Two names, once they are seen to be texts."""
    if not isinstance(names, (tuple, list)) or len(names) != 2 or not all(isinstance(name, str) for name in names):
        raise TypeError(f"compare: names is {names!r:.60}. Expected two texts, such as (\"old\", \"new\").")
    return tuple(names)


def compare_times(a, b, alpha: float = 0.01, names: tuple[str, str] = ("a", "b"), rng: "np.random.Generator | int" = 0) -> Comparison:
    """Compare times that were taken in pairs, in an order that chance decided.

    Raises ValueError where the lengths differ, a time is 0 or less, or there are too few pairs to find anything at this level.
    """
    names = checked_names(names)
    a, b = (checked_times("compare", f"times of {name}", times) for name, times in zip(names, (a, b)))
    alpha, rng = checked_part("compare", "alpha", alpha), random_generator("compare", rng)
    if len(a) != len(b):
        raise ValueError(
            f"compare: {len(a)} times of {names[0]}, but {len(b)} of {names[1]}. Pairs need as many of each, taken side by side.\n"
            "  For lists that were taken apart there is permutation_test, which drift can fool."
        )
    needed = math.floor(1 - math.log2(alpha)) + (2.0 ** (1 - math.floor(1 - math.log2(alpha))) > alpha)
    if len(a) < needed:
        raise ValueError(
            f"compare: {len(a)} pair{'s' if len(a) > 1 else ''} cannot show anything at alpha = {alpha:g}: the smallest p-value there is would be {min(1.0, 2.0 ** (1 - len(a))):.2g}.\n"
            f"  Expected at least {needed} pairs, and better 100."
        )
    for name, times in zip(names, (a, b)):
        if (times == 0).any():
            raise ValueError(f"compare: a time of {name} is 0, and there is no ratio to it. The clock is too coarse: give a larger number of calls.")
    logs, resamples, seed = np.log(b) - np.log(a), max(2000, math.ceil(10 / alpha)), int(rng.integers(2**32))
    p = sign_flip_test(logs, resamples, seed)
    ratio, low, high = np.exp(shift_interval(logs, alpha, resamples, seed)).tolist()  # with the same signs, so that the two agree
    return Comparison(names, np.stack([a, b], axis=1), ratio, (low, high), p, effect_size(a, b), alpha)


def compare(a: Callable[[], object], b: Callable[[], object], pairs: int = 100, warmup: int = 10, number: int = 1, alpha: float = 0.01,
            clock: Callable[[], float] = time.perf_counter, names: tuple[str, str] | None = None,
            rng: "np.random.Generator | int" = 0, collector: bool = False) -> Comparison:
    """Measure two calls in pairs, and say whether they differ.

    Parameters
    ----------
    a, b : callables without arguments
    pairs, warmup, number : int
        As for `paired_timings` and `measure`.
    alpha : float
        How often, at most, two equal programs may be called different.
    clock : callable
    names : tuple of two str, optional
        Without them, the functions' own, or "a" and "b".
    rng : Generator or seed
    collector : bool
        Whether the garbage collector may run meanwhile.
    """
    a, b = checked_call("compare", "a", a), checked_call("compare", "b", b)
    pairs, warmup = checked_count(pairs, "pairs", 1, "compare"), checked_count(warmup, "warmup", 0, "compare")
    number, rng = checked_count(number, "number", 1, "compare"), random_generator("compare", rng)
    checked_call("compare", "clock", clock, "one such as time.perf_counter")
    if names is None:
        names = (called(a), called(b)) if called(a) != called(b) else ("a", "b")
    names = checked_names(names)
    for call, name in zip((a, b), names):
        with measuring("compare", name, collector):
            timings(call, warmup, number, clock)
    with measuring("compare", f"{names[0]} or {names[1]}", collector):
        times = paired_timings(a, b, pairs, number, clock, rng)
    return compare_times(*times.T, alpha, names, rng)


# %% nbgrader={"grade": true, "grade_id": "test_compare", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_compare():
    clock = SimulatedClock()
    found = compare(clock.work(2.0, 2.0, 4.0), clock.work(3.0, 3.0, 6.0), pairs=30, warmup=0, clock=clock, names=("old", "new"))
    check(found.ratio, 1.5)
    check(found.interval, (1.5, 1.5))
    check(found.different, True)
    check("new takes 50.0% longer than old" in found.verdict(), True)
    same = compare(clock.work(1.0), clock.work(1.0), pairs=30, clock=clock)
    check(same.different, False)
    check((same.ratio, same.p_value, same.effect), (1.0, 1.0, 0.0))
    check(same.interval, (1.0, 1.0))
    check("no difference found between a and b" in same.verdict(), True)
    check_raises(ValueError, lambda: compare_times([1.0, 2.0], [1.0, 2.0, 3.0]), "2 times of a, but 3 of b")
    check_raises(ValueError, lambda: compare_times([1.0] * 7, [2.0] * 7), "at least 8 pairs")
    check_raises(RuntimeError, lambda: compare(lambda: 1 / 0, lambda: None), "ZeroDivisionError")

test_compare()

# %% [markdown]
# The noisy machine again, with blocks and with pairs, at the level 0.05, the same program against itself. Then with a
# program that takes 2% longer, which each of the two ways has the same number of runs to find.

# %%
for extra in (0.0, 0.02):
    by_blocks, by_pairs = [], []
    for seed in range(100):
        for found, way in ((by_blocks, blocks), (by_pairs, None)):
            machine = NoisyMachine(seed)
            machine.advance(seed / 100)
            a, b = machine.work(0.001), machine.work(0.001 * (1 + extra))
            if way is not None:
                found.append(permutation_test(*blocks(machine, a, b), resamples=1000) <= 0.05)
            else:
                times = paired_timings(a, b, 30, clock=machine, rng=seed)
                found.append(sign_flip_test(np.log(times[:, 1] / times[:, 0])) <= 0.05)
    print(f"b takes {extra:.0%} longer: A A B B finds a difference in {sum(by_blocks):3d} of 100 comparisons, pairs in {sum(by_pairs):3d}")

# %% [markdown]
# Blocks cry wolf, and pairs do not; and where there is something to find, pairs find it, since the drift cancels within
# each. And on this machine, now? Whether blocks go wrong here depends on what else the machine does meanwhile.

# %%
call = reads(network, digits)
by_blocks, by_pairs = [], []
for seed in range(60):
    by_blocks.append(permutation_test(timings(call, 30), timings(call, 30), resamples=1000) <= 0.05)
    times = paired_timings(call, call, 30, rng=seed)
    by_pairs.append(sign_flip_test(np.log(times[:, 1] / times[:, 0]), resamples=1000) <= 0.05)
print(f"the network against itself, 60 times: A A B B finds a difference in {sum(by_blocks)}, pairs in {sum(by_pairs)}; about 3 are to be expected at 0.05")

# %% [markdown]
# ## How many pairs?
#
# A test that finds nothing has either met nothing or looked too short. Its *power* is the probability of finding a
# difference of a given size if it is there. It depends on the size, on the number of pairs, on the level, and on how
# much the ratios vary on this machine. The last of these can be measured beforehand, by timing a program against
# itself. Each of those log ratios could as well have had the other sign, so take both. Draw as many as there would be
# pairs, add the logarithm of the difference, and run the test. Do that two hundred times, and count.

# %% nbgrader={"grade": false, "grade_id": "power", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def power(noise, difference: float, pairs: int, alpha: float = 0.01, trials: int = 200, rng: "np.random.Generator | int" = 0) -> float:
    """In what part of all experiments `sign_flip_test` would find a difference of a given size.

    Parameters
    ----------
    noise : list or array of numbers
        Log ratios of pairs between which there is no difference, from a trial of a program against itself.
    difference : float
        0.05 where the second program takes 5% longer.
    pairs : int
        In each experiment.
    alpha : float
        A difference is found where the p-value is at most that.
    trials : int
        How many experiments are simulated.
    rng : Generator or seed

    Returns
    -------
    float, 0 to 1

    Notes
    -----
    ``balanced`` below holds the noise and its negatives, and ``shift`` is the logarithm of the ratio. ``rng.choice(balanced, pairs)``
    draws with replacement. Hand ``rng`` on to the test, so that every trial turns other signs.
    """
    noise = checked_values("power", "noise", noise, least=2)
    pairs, trials = checked_count(pairs, "pairs", 1, "power"), checked_count(trials, "trials", 1, "power")
    alpha, rng = checked_part("power", "alpha", alpha), random_generator("power", rng)
    if isinstance(difference, bool) or not isinstance(difference, (int, float, np.number)) or not -1 < difference < math.inf:
        raise ValueError(f"power: difference is {difference!r:.60}, but it has to be a number above -1: 0.05 for 5% longer.")
    balanced, shift = np.concatenate([noise, -noise]), math.log1p(difference)
    ### BEGIN SOLUTION power
    found = 0
    for _ in range(trials):
        differences = rng.choice(balanced, pairs) + shift
        found += sign_flip_test(differences, rng=rng) <= alpha
    ### END SOLUTION
    return found / trials


def pairs_needed(noise, difference: float, wanted: float = 0.9, alpha: float = 0.01, most: int = 2000, rng: "np.random.Generator | int" = 0) -> int:
    """A number of pairs with which a difference of this size is found with the power that is wanted.

    Tries 10 pairs and half as many again each time. Raises ValueError where `most` pairs are too few.
    """
    wanted, most = checked_part("pairs_needed", "wanted", wanted), checked_count(most, "most", 1, "pairs_needed")
    rng, pairs, reached = random_generator("pairs_needed", rng), 10, 0.0
    while True:
        pairs = min(pairs, most)
        reached = power(noise, difference, pairs, alpha, rng=rng)
        if reached >= wanted:
            return pairs
        if pairs == most:
            raise ValueError(
                f"pairs_needed: with {most} pairs a difference of {difference:.2%} is found in {reached:.0%} of all experiments, and {wanted:.0%} are wanted.\n"
                "  Allow more pairs, put more calls into each timing, quieten the machine, or look for a larger difference."
            )
        pairs += (pairs + 1) // 2


# %% [raw] tags=["exercise"]
# power:
#   title: How often would it be found?
#   hints:
#     - What does one simulated experiment consist of, and when has it found the difference?
#     - In every trial draw so many from the balanced noise, add the shift, and test. Count the p-values that are at most alpha, and divide by the number of trials.
#     - "differences = rng.choice(...) + ..., and found += sign_flip_test(...) <= ..."
#   misconceptions:
#     - name: no difference in it
#       says: >-
#         The shift was never added, so the experiments had nothing to find. That measures false alarms, not power.
#       code: |
#         found = sum(sign_flip_test(rng.choice(balanced, pairs), rng=rng) <= alpha for _ in range(trials))
#         return float(found / trials)
#     - name: counts what is not found
#       says: >-
#         The p-values above alpha were counted: these are the experiments that missed the difference.
#       code: |
#         found = sum(sign_flip_test(rng.choice(balanced, pairs) + shift, rng=rng) > alpha for _ in range(trials))
#         return float(found / trials)
#     - name: the noise as it was
#       says: >-
#         The noise was taken as it was, without its negatives. Whatever difference the trial happened to show is then found again in every experiment.
#       code: |
#         found = sum(sign_flip_test(rng.choice(noise, pairs) + shift, rng=rng) <= alpha for _ in range(trials))
#         return float(found / trials)
#     - name: adds the difference itself
#       says: >-
#         The difference was added to log ratios. A time that is 50% longer has the log ratio log(1.5), which is 0.41 and not 0.5: add shift.
#       code: |
#         found = sum(sign_flip_test(rng.choice(balanced, pairs) + difference, rng=rng) <= alpha for _ in range(trials))
#         return float(found / trials)
#     - name: the same signs in every trial
#       says: >-
#         The test did not get rng, so it began with the same seed each time and turned the same signs in every trial. Its chance is then that
#         of one draw, however many trials there are: hand rng on.
#       code: |
#         found = sum(sign_flip_test(rng.choice(balanced, pairs) + shift) <= alpha for _ in range(trials))
#         return float(found / trials)
#     - name: always all of the noise
#       says: >-
#         Every experiment took all of the noise, whatever the number of pairs. Draw as many as there would be pairs.
#       code: |
#         found = sum(sign_flip_test(rng.choice(balanced, len(balanced)) + shift, rng=rng) <= alpha for _ in range(trials))
#         return float(found / trials)

# %% nbgrader={"grade": true, "grade_id": "test_power", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_power():
    # without noise, n pairs have the p-value 2 / 2**n: 2/256 is below 0.01, 2/128 is not
    check(power([0.0, 0.0], 0.05, pairs=7), 0.0)
    check(power(np.zeros(20), 0.05, pairs=8), 1.0)
    check(power([0.0, 0.0], 0.05, pairs=8), 1.0)
    check(power([0.0, 0.0], 0.05, pairs=7, alpha=0.02), 1.0)
    check(power([0.0, 0.0], 0.05, pairs=8, alpha=2 / 256), 1.0)
    check(power([0.0, 0.0], 0.0, pairs=8), 0.0)
    check(power([3.0, 3.0, 3.0], 0.0, pairs=8) < 0.1, True)
    check(power([-0.01, 0.0, 0.01], 0.05, pairs=10), 1.0)
    # half of the pairs say +2, half -2: eight of a sign come up in 2 of 256 experiments
    check(power([-2.0, 2.0], 0.0001, pairs=8, trials=100) < 0.1, True)
    # log 1.5 is 0.41, less than the noise, whose sign decides then; log 0.5 is -0.69, and all differences are negative
    check(power([0.45, 0.45], 0.5, pairs=8) < 0.1, True)
    check(power([0.6, 0.6], -0.5, pairs=8), 1.0)
    # every trial draws 2000 of the 4096 patterns anew, so how many of them turn all twelve signs or none is chance
    check(0.0 < power([0.0, 0.0], 0.05, pairs=12, alpha=0.001, trials=40) < 1.0, True)
    check(pairs_needed([0.0, 0.0], 0.05), 10)
    check_raises(ValueError, lambda: pairs_needed([-2.0, 2.0], 0.001, most=20), "with 20 pairs a difference of 0.10%")
    check_raises(ValueError, lambda: power([0.0, 0.0], -1.0, pairs=8), "difference is -1.0")

test_power()

# %% [markdown]
# Here is a difference whose truth is known on a real machine: a network that reads a digit twenty times, and one that
# reads it twenty-one times. That is exactly 5% more arithmetic. First a trial of the twenty against themselves, a long
# one, for a short one may miss the outliers and promise too much; from it the number of pairs; then the comparison.

# %%
small, one = create_mlp(64, [], 10, rng=0), digits[:1]


def repeated(count):
    """A call that reads the same digit `count` times."""

    def read_again():
        with no_grad():
            for _ in range(count):
                small(one)

    return read_again


twenty, twenty_one = repeated(20), repeated(21)
trial = paired_timings(twenty, twenty, 400)
noise = np.log(trial[:, 1] / trial[:, 0])
for n in (10, 20, 40, 80):
    print(f"{n:3d} pairs find 5% with the power {power(noise, 0.05, n):.2f}, and 1% with {power(noise, 0.01, n):.2f}")
pairs = max(pairs_needed(noise, 0.05), 30)
print(f"{pairs} pairs are taken")
result = compare(twenty, twenty_one, pairs=pairs, names=("twenty", "twenty-one"))
print(result)

# %%
_ = result.plot()

# %% [markdown]
# ### Two promises, tested
#
# Now the promise that the chapter began with. `self_test` compares a program with itself two hundred times and counts
# how often it is called different, and then with one that does a known amount of more work and counts how often that is
# found. At the level 0.01 there should be about two false alarms; more than ten, 5%, would be a rare thing indeed. (At
# the level 0.05, ten would be the expectation, and nearly one study out of two would have more.)

# %%
#| export
@dataclass(frozen=True)
class SelfTest:
    """How often `compare` was wrong and right, in comparisons whose truth is known."""

    comparisons: int
    false_alarms: int
    others: int
    found: int
    pairs: int
    ratios: tuple[float, float]

    def __str__(self):
        return (
            f"A against A: called different in {self.false_alarms} of {self.comparisons} comparisons ({self.false_alarms / self.comparisons:.1%})\n"
            f"A against B: called different in {self.found} of {self.others} comparisons ({self.found / self.others:.1%}), "
            f"ratios {self.ratios[0]:.3f} to {self.ratios[1]:.3f}; {self.pairs} pairs each"
        )


def self_test(a: Callable[[], object], b: Callable[[], object], comparisons: int = 200, others: int = 50, pairs: int = 30,
              alpha: float = 0.01, clock: Callable[[], float] = time.perf_counter, rng: "np.random.Generator | int" = 0) -> SelfTest:
    """Compare `a` with itself, and with a `b` that is known to differ, so many times each.

    The two kinds of comparison are mixed, so that both meet the same machine.
    """
    comparisons, others = checked_count(comparisons, "comparisons", 1, "self_test"), checked_count(others, "others", 1, "self_test")
    rng, found = random_generator("self_test", rng), ([], [])
    for kind in rng.permutation([0] * comparisons + [1] * others):
        found[kind].append(compare(a, (a, b)[kind], pairs, 1, 1, alpha, clock, ("a", "b"), rng, collector=True))
    alarms, hits = (sum(c.different for c in kind) for kind in found)
    ratios = [c.ratio for c in found[1]]
    return SelfTest(comparisons, alarms, others, hits, pairs, (min(ratios), max(ratios)))


# %% [markdown]
# On the simulated machine first, with its drift, noise and outliers; then here, with real time.

# %%
machine = NoisyMachine(seed=1)
print("simulated, 5% more work")
print(self_test(machine.work(0.001), machine.work(0.00105), clock=machine))
with Timer() as timer:
    real = self_test(twenty, twenty_one, pairs=pairs)
print(f"real, twenty readings against twenty-one, 5% more work, in {timer.seconds:.1f} s")
print(real)

# %% [markdown]
# What these tests cannot see: something that is the same for all runs of `a` in this process and would be another thing
# in the next. Where in memory the weights of a network happen to lie is of this kind, and it can be worth several
# percent (Mytkowicz et al. 2009). Whoever wants to be sure makes the objects anew, in new processes, and counts each as
# one sample.
#
# ## Latency and throughput
#
# So far one number was asked for: how long a call takes. Those who use a model ask different questions. A phone reads
# one digit at a time. A car has eight cameras, and goes on when all eight pictures are read. A website has thousands of
# visitors who come when they please. An archive has a million letters to sort by tomorrow. MLPerf Inference (Reddi et
# al. 2020), the benchmark that makers of hardware are compared by, calls them *scenarios*:
#
# | scenario | queries | what is reported |
# |---|---|---|
# | single-stream | one sample each; the next is sent when the last is answered | 90th percentile of the latency |
# | multi-stream | N samples each; the next is sent when the last is answered | 99th percentile of the latency of a query |
# | server | one sample each, at random moments (a Poisson process) | queries a second, such that a percentile of the latency (p99) stays within a bound |
# | offline | all samples at once, at least 24,576 | samples a second |
#
# (The first edition of the rules sent multi-stream queries at fixed intervals and reported the largest N that kept up;
# later ones report as in the table.) *Latency* is the time from when a query *should have been sent* to its answer. The
# samples are drawn at random from the test set, with replacement, and drawn before the clock starts.
#
# First a network to be asked, which has learned its digits:

# %%
def trained(hidden, epochs=5):
    """A network for digits, trained for a few epochs, and its accuracy on the test part."""
    model = create_mlp(64, hidden, 10, rng=0)
    trainer = Trainer(model, Adam(model.parameters(), 0.001), CrossEntropyLoss(), [Accuracy()])
    trainer.fit(DataLoader(train, batch_size=16, seed=0), epochs=epochs, quiet=True)
    return model, trainer.evaluate(DataLoader(test, batch_size=360, shuffle=False))["accuracy"]


model, accuracy = trained([128] * 6)
print(f"{count_parameters(model):,} parameters, {accuracy:.1%} of the test digits read correctly")

# %% [markdown]
# Three of the scenarios are short, given what we have.

# %%
#| export
@dataclass(frozen=True, eq=False, repr=False)
class ScenarioResult:
    """What a scenario reports.

    Attributes
    ----------
    scenario, name : str
        Which scenario, and of which model.
    metric : str
        What the value is.
    value : float
    unit : str
        "s", "queries/s" or "samples/s".
    interval : tuple of two float
        95% confidence; infinite on a side on which the samples set no limit. For the server the largest rate that held
        and the smallest that did not.
    latencies : array of float64
        Seconds, a query each; for offline, a run each.
    doubts : tuple of str
    """

    scenario: str
    name: str
    metric: str
    value: float
    unit: str
    interval: tuple[float, float]
    latencies: np.ndarray
    doubts: tuple[str, ...] = ()

    def __repr__(self):
        show = duration if self.unit == "s" else lambda value: f"{value:,.0f} {self.unit}" if math.isfinite(value) else "unknown"
        between = f"95% interval {show(max(self.interval[0], 0.0))} to {show(self.interval[1])}"
        if self.scenario == "server":
            between = f"{show(self.interval[1])} did not hold"
        told = f"{self.scenario:13s} {self.name}: {self.metric} {show(self.value)}, {between}"
        return "\n".join([told, *(f"  but {doubt}" for doubt in self.doubts)])


def query_call(model, samples, size: int, rng: "np.random.Generator | int" = 0, queries: int = 256) -> Callable[[], object]:
    """A call that answers the next query: `size` samples, drawn beforehand at random with replacement.

    The model is put into evaluation mode, and nothing is recorded. After `queries` queries they begin again.
    """
    model, samples = checked_call("query_call", "model", model, "one such as create_mlp(64, [32], 10)"), getattr(samples, "features", samples)
    try:
        samples = np.asarray(samples)
    except ValueError:
        samples = np.empty(0)
    if samples.ndim < 2 or len(samples) == 0:
        raise ValueError(f"query_call: samples of shape {samples.shape} hold no samples. Expected rows of features, (N, D), or a data set.")
    size, queries = checked_count(size, "size", 1, "query_call"), checked_count(queries, "queries", 1, "query_call")
    drawn = random_generator("query_call", rng).integers(len(samples), size=(queries, size))
    waiting = cycle([samples[row] for row in drawn])
    if isinstance(model, Module):
        model.eval()

    def answer():
        with no_grad():
            return model(next(waiting))

    return answer


def closed_loop(scenario: str, model, samples, size: int, q: float, queries: int, warmup: int, clock, rng, name: str) -> ScenarioResult:
    """Queries of `size` samples, each sent when the last is answered; the q-th percentile of their latency."""
    call = query_call(model, samples, size, rng)
    found = measure(call, queries, warmup, 1, clock, name or called(model), collector=True)
    doubts = [d for d in found.doubts if "runs" not in d or "third" in d]
    low, high = found.interval(q)
    if high == math.inf:
        doubts.append(f"{queries} queries set no upper limit to a p{q:g}: send more.")
    return ScenarioResult(scenario, found.name, f"p{q:g} latency", found.percentile(q), "s", (low, high), found.times, tuple(doubts))


def single_stream(model, samples, queries: int = 2000, warmup: int = 50, clock=time.perf_counter, rng=0, name: str = "") -> ScenarioResult:
    """One sample a query, one query at a time: the 90th percentile of the latency (Reddi et al. 2020)."""
    return closed_loop("single-stream", model, samples, 1, 90, queries, warmup, clock, rng, name)


def multi_stream(model, samples, streams: int = 8, queries: int = 2000, warmup: int = 50, clock=time.perf_counter, rng=0, name: str = "") -> ScenarioResult:
    """`streams` samples a query, one query at a time: the 99th percentile of the query's latency."""
    return closed_loop("multi-stream", model, samples, checked_count(streams, "streams", 1, "multi_stream"), 99, queries, warmup, clock, rng, name)


def offline(model, samples, count: int = 24_576, batch_size: int = 1024, runs: int = 6, clock=time.perf_counter, rng=0, name: str = "") -> ScenarioResult:
    """All samples at once, in batches as one likes: samples a second, in the median of a few runs."""
    count, batch_size = checked_count(count, "count", 1, "offline"), checked_count(batch_size, "batch_size", 1, "offline")
    batches = -(-count // batch_size)
    call = query_call(model, samples, batch_size, rng, batches)
    found = measure(lambda: [call() for _ in range(batches)], runs, 1, 1, clock, name or called(model), collector=True)
    low, high = found.interval(50)
    rates = [batches * batch_size / t if t > 0 else math.inf for t in (found.median, high, max(low, 0.0))]
    return ScenarioResult("offline", found.name, "throughput", rates[0], "samples/s", (rates[1], rates[2]), found.times)


# %%
for result in (single_stream(model, test), multi_stream(model, test), offline(model, test, batch_size=16)):
    print(result)

# %% [markdown]
# Throughput is not one divided by latency. Offline, the network may read many digits with one matrix product: what
# Python and NumPy need for each operation is paid once for all of them, and a weight that was fetched from memory is
# used for all of them.

# %%
for size in (1, 2, 4, 8, 16):
    found = measure(query_call(model, test, size), runs=300)
    print(f"batches of {size:2d}   latency of a batch {duration(found.median):>8s}   samples a second {size / found.median:10,.0f}")

# %% [markdown]
# (The table ends at sixteen on purpose. NumPy's library shares out larger products among the processors, and a product
# that is shared waits for its slowest part. Where the processors have other things to do, it has a tail of its own.)
#
# ## The server: visitors do not wait for each other
#
# Now the visitors who come when they please. On average `rate` of them come in a second, and independently of each
# other; then the times between arrivals are exponentially distributed, and the arrivals are a *Poisson process*.
# Whoever comes while the server is busy waits in line.
#
# The decisive thing is that arrivals do not depend on the server. A loop that sends a query when the last one is
# answered cannot show what happens here: while the server is slow, the loop sends nothing, so nobody suffers. Real
# visitors keep coming. Gil Tene (2013) gave the mistake its name, *coordinated omission*: the measurement leaves out,
# in coordination with the server, the very moments in which it is bad. So the moments are fixed beforehand. The server
# takes the queries in their order, each not before its moment, and the *latency counts from that moment*, whenever its
# turn comes.

# %%
#| export
def poisson_arrivals(rate: float, queries: int, rng: "np.random.Generator | int" = 0) -> np.ndarray:
    """Moments, in seconds from the start, at which queries come: on average `rate` in a second, independently of each other."""
    rate = checked_number("poisson_arrivals", "rate", rate, " It is queries a second; at a rate of 0 none would ever come.")
    queries = checked_count(queries, "queries", 1, "poisson_arrivals")
    return np.cumsum(random_generator("poisson_arrivals", rng).exponential(1 / rate, queries))


def wait_until(moment: float, clock: Callable[[], float] = time.perf_counter) -> None:
    """Come back when the clock shows `moment`. The last two milliseconds are watched, because sleeping is not that exact."""
    while (left := moment - clock()) > 0:
        if left > 0.003:
            time.sleep(left - 0.002)


# %% nbgrader={"grade": false, "grade_id": "serve", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def serve(call: Callable[[], object], arrivals, clock: Callable[[], float] = time.perf_counter,
          wait: Callable[[float], None] = wait_until) -> tuple[np.ndarray, np.ndarray]:
    """Answer queries that come at given moments, one after the other.

    Parameters
    ----------
    call : callable without arguments
        Answers a query.
    arrivals : array of n numbers
        When each query comes, in seconds from the start; in ascending order.
    clock : callable
        Gives the time in seconds.
    wait : callable
        ``wait(moment)`` returns when the clock shows at least `moment`; at once, where that has passed.

    Returns
    -------
    latency : array, shape (n,)
        From the moment at which a query *came* to its answer, in seconds.
    service : array, shape (n,)
        From the moment at which the server turned to it to its answer.

    Notes
    -----
    ``begin``, the start, is what the clock shows before the first query. A query that comes at ``arrivals[i]`` comes when the clock shows
    ``begin + arrivals[i]``.
    """
    arrivals = checked_times("serve", "arrivals", arrivals)
    if (np.diff(arrivals) < 0).any():
        raise ValueError("serve: the arrivals are not in ascending order. Sort them: np.sort(arrivals).")
    latency, service = np.empty(len(arrivals)), np.empty(len(arrivals))
    begin = clock()
    ### BEGIN SOLUTION serve
    for i, moment in enumerate(begin + arrivals):
        wait(moment)
        start = clock()
        call()
        end = clock()
        latency[i], service[i] = end - moment, end - start
    ### END SOLUTION
    return latency, service


# %% [raw] tags=["exercise"]
# serve:
#   title: The server
#   hints:
#     - A visitor comes while the server is busy with another. From which moment does that visitor count the time?
#     - For each arrival compute its moment on the clock and wait for it. Read the clock, call, read it again. The latency reaches from the moment to the end, the service from the start to the end.
#     - "latency[i] = end - ..., which is not the start, and service[i] = end - start"
#   misconceptions:
#     - name: counts from its turn
#       says: >-
#         The latency was counted from when the server turned to the query. The time in the line is left out, and with it all that the visitors complain about. Count from the moment at which the query came.
#       code: |
#         for i, moment in enumerate(begin + arrivals):
#             wait(moment)
#             start = clock()
#             call()
#             end = clock()
#             latency[i], service[i] = end - start, end - start
#     - name: waits for nobody
#       says: >-
#         Queries were answered before they had come. Wait for the moment of each.
#       code: |
#         for i, moment in enumerate(begin + arrivals):
#             start = clock()
#             call()
#             end = clock()
#             latency[i], service[i] = end - moment, end - start
#     - name: next after the last
#       says: >-
#         Each query was made to come so long after the last one was answered. Arrivals depend on nothing but the plan: begin + arrivals[i].
#       code: |
#         gaps = np.diff(arrivals, prepend=0.0)
#         for i, gap in enumerate(gaps):
#             moment = clock() + gap
#             wait(moment)
#             start = clock()
#             call()
#             end = clock()
#             latency[i], service[i] = end - moment, end - start
#     - name: moments without the start
#       says: >-
#         The arrivals were taken for times of the clock. They count from the start, and the clock did not begin at 0: add begin.
#       code: |
#         for i, moment in enumerate(arrivals):
#             wait(moment)
#             start = clock()
#             call()
#             end = clock()
#             latency[i], service[i] = end - moment, end - start
#     - name: the whole latency as service
#       says: >-
#         The service time was counted from the arrival. It is what the server itself needs: from when it turned to the query.
#       code: |
#         for i, moment in enumerate(begin + arrivals):
#             wait(moment)
#             call()
#             end = clock()
#             latency[i], service[i] = end - moment, end - moment

# %% nbgrader={"grade": true, "grade_id": "test_serve", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
def test_serve():
    def served(arrivals, *seconds, now=100.0):
        clock = SimulatedClock(now)
        return serve(clock.work(*seconds), arrivals, clock, clock.wait_until)
    check(served([0.0, 1.0, 2.0], 0.5), ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]))
    clock = SimulatedClock(100.0)
    serve(clock.work(0.5), [0.0, 1.0, 2.0], clock, clock.wait_until)
    check(clock(), 102.5)
    check(served([0.0, 1.0, 2.0], 2.0), ([2.0, 3.0, 4.0], [2.0, 2.0, 2.0]))
    check(served([0.0, 1.0, 2.0, 3.0], 1.5, 0.5, 0.5, 0.5), ([1.5, 1.0, 0.5, 0.5], [1.5, 0.5, 0.5, 0.5]))
    check(served([0.25], 0.5, now=0.0)[0], [0.5])
    check(served([2.0, 2.0, 2.0], 1.0)[0], [1.0, 2.0, 3.0])
    check_raises(ValueError, lambda: served([1.0, 0.5], 1.0), "ascending order")
    check_raises(ValueError, lambda: served([], 1.0), "no sample")
    check_raises(ValueError, lambda: poisson_arrivals(0, 10), "rate is 0")

test_serve()

# %% [markdown]
# Tene's example, on the simulated clock: a query every ten milliseconds for a hundred seconds, each answered in one,
# and once in that time the server stands still for a second.

# %%
clock = SimulatedClock()
durations = [0.001] * 10_000
durations[5000] = 1.0
latency, service = serve(clock.work(*durations), 0.01 * np.arange(10_000), clock, clock.wait_until)
for q in (50, 90, 99, 99.9, 100):
    print(f"p{q:<5}  counted from the server's turn {duration(percentile(service, q)):>7s}   from the arrival {duration(percentile(latency, q)):>7s}")

# %% [markdown]
# By the left column this is a server with one slow answer in ten thousand. By the right one, more than a hundred
# visitors waited, many of them for most of a second. Both describe the same run.
#
# ### What happens as the load grows
#
# The *load* is the part of the time in which the server is busy: the rate times the mean service time. Nothing speaks
# against a load of 0.95, one would think, for the server still keeps up.

# %%
#| export
@dataclass(frozen=True, eq=False, repr=False)
class ServerRun:
    """A server at one rate of arrivals.

    Attributes
    ----------
    rate : float
        Queries a second, on average, that came.
    arrivals, latency, service : arrays of n numbers, in seconds
        As in `serve`.
    """

    rate: float
    arrivals: np.ndarray
    latency: np.ndarray
    service: np.ndarray

    @property
    def load(self) -> float:
        """The part of the time in which the server would be busy at this rate; above 1 it does not keep up."""
        return self.rate * float(self.service.mean())

    def in_system(self, moments) -> np.ndarray:
        """How many queries had come and were not yet answered at each of these moments, seconds from the start."""
        finished = np.sort(self.arrivals + self.latency)
        return np.searchsorted(self.arrivals, moments, side="right") - np.searchsorted(finished, moments, side="right")

    def __repr__(self):
        low, high = percentile_interval(self.latency, 99)
        return (
            f"{self.rate:,.0f} queries/s, load {self.load:.2f}: latency mean {duration(self.latency.mean())}, "
            f"p99 {duration(percentile(self.latency, 99))} (95% interval {duration(low)} to {duration(high)}), {len(self.latency)} queries"
        )


def server_run(call: Callable[[], object], rate: float, queries: int = 2000, clock: Callable[[], float] = time.perf_counter,
               wait: Callable[[float], None] = wait_until, rng: "np.random.Generator | int" = 0) -> ServerRun:
    """Let queries come as a Poisson process and answer them. The garbage collector stays on: its pauses belong to a server."""
    call, arrivals = checked_call("server_run", "call", call), poisson_arrivals(rate, queries, rng)
    with measuring("server_run", called(call), collector=True):
        return ServerRun(float(rate), arrivals, *serve(call, arrivals, clock, wait))


# %% [markdown]
# Our network as a server, with real time and real waiting, at growing rates. Each rate is a part of the *capacity*,
# which is how many queries of median length fit into a second. It was measured beforehand, with one query right after
# the other; the load is computed from what happened in the run.

# %%
answer = query_call(model, test, 1)
capacity = 1 / measure(answer, runs=3000, collector=True).median
parts = (0.3, 0.6, 0.8, 0.9, 1.1)
runs = [server_run(answer, part * capacity, queries=2000) for part in parts]
for part, run in zip(parts, runs):
    print(f"{part:.1f} of the capacity: {run}")

# %% [markdown]
# How far is each load from the part of the capacity that was asked for? A pause lengthens a mean and leaves a median
# as it was, and a server that has slept until the next query finds other things in its caches; so the load is rarely
# just that part, and on a busy machine it can be far from it. What counts for the visitors is the load. Above 1 more
# queries come than are answered, and the line grows for as long as they come: the latency says how long the run was,
# and another run of twice as many queries would show twice as much.
#
# For one server in front of one line, the mean latency can be computed. With the rate $\lambda$, the service time $S$
# and the load $\rho = \lambda \overline{S}$, the Pollaczek-Khinchine formula says
#
# $$\overline{W} = \overline{S} + \frac{\lambda\, \overline{S^2}}{2 (1 - \rho)}.$$
#
# The $1 - \rho$ below the line is all one has to remember: halfway from any load to the full one, the time in the line
# more than doubles. And the mean of the *squares* stands above it, so a server whose service times vary makes its
# visitors wait longer than one of the same mean that does not. On the left a simulated server that always takes a
# millisecond, on the right the runs from above, with a formula that takes its two means from what was measured.

# %%
def hockey_stick(axes, runs):
    """Mean and p99 of the latency against the load, and what the formula says of the mean."""
    times = np.concatenate([run.service for run in runs])
    runs, loads = sorted((run for run in runs if run.load < 1), key=lambda run: run.load), np.linspace(0.02, 0.985, 100)
    mean, mean_square = times.mean(), (times**2).mean()
    axes.plot(loads, 1e3 * (mean + loads / mean * mean_square / (2 * (1 - loads))), color="0.6", linewidth=1, label="formula, for the mean")
    axes.plot([run.load for run in runs], [1e3 * run.latency.mean() for run in runs], "o", color="#0072b2", label="mean")
    axes.plot([run.load for run in runs], [1e3 * percentile(run.latency, 99) for run in runs], "s--", color="#d55e00", label="p99")
    axes.set(xlabel="load", ylabel="latency, ms", yscale="log", xlim=(0, 1))
    axes.legend(frameon=False, fontsize=8)


clock = SimulatedClock()
simulated = [server_run(clock.work(0.001), 1000 * load, 20_000, clock, clock.wait_until) for load in (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5))
hockey_stick(left, simulated), hockey_stick(right, runs)
left.set_title("a simulated server"), right.set_title("this machine")
figure.suptitle(f"From load {simulated[3].load:.2f} to {simulated[-1].load:.2f} the mean latency grew {simulated[-1].latency.mean() / simulated[3].latency.mean():.0f}-fold on the left")
figure.tight_layout()

# %% [markdown]
# This is the *hockey stick*. On the left the formula is exact, and the points lie on it but for chance. On the right
# they need not: two thousand queries are few near full load, where one long line decides, and on a machine that does
# other things as well the pauses come in bunches, while the formula takes service times for independent. How far the
# points are from the line says how bad it is. (Runs with a load of 1 or more are not drawn: there the formula has nothing
# to say.)
#
# Another law needs no assumption about how queries come or how long they take. *Little's law* (Little 1961): the mean
# number of queries in the system, in line or being answered, is the rate times the mean latency, $L = \lambda W$. Look
# into the runs at two thousand random moments, and count:

# %%
for run in runs:
    end = (run.arrivals + run.latency).max()
    moments, rate = np.random.default_rng(0).uniform(0, end, 2000), len(run.arrivals) / end
    print(f"load {run.load:.2f}   counted in the system {run.in_system(moments).mean():7.2f}   rate times latency {rate * run.latency.mean():7.2f}")

# %% [markdown]
# ### Queries a second, within a bound
#
# The result of the server scenario is the largest rate at which the p99 of the latency stays within a bound, which is
# the promise made to the visitors. It is found by halving, between nothing and the rate at which the load would be 1.
# Each step is a run like those above, so it has its noise; what is reported is a rate that *was seen to hold*. Here the
# promise is five milliseconds.

# %%
#| export
def server(model, samples, bound: float, q: float = 99, queries: int = 2000, steps: int = 6, clock: Callable[[], float] = time.perf_counter,
           wait: Callable[[float], None] = wait_until, rng: "np.random.Generator | int" = 0, name: str = "") -> ScenarioResult:
    """The largest rate of Poisson arrivals at which a percentile of the latency stays within a bound (Reddi et al. 2020).

    Parameters
    ----------
    model : callable
    samples : array of shape (N, D) or data set
        One is drawn for each query.
    bound : float
        Seconds.
    q : float
        Which percentile has to stay within it.
    queries : int
        In each run.
    steps : int
        How often the range of rates is halved.

    Returns
    -------
    ScenarioResult
        `value` is the largest rate that was seen to hold, 0 where none was; `interval` holds it and the smallest rate
        seen to fail (that of load 1, where none was tried), and `latencies` are those of its run.
    """
    bound, steps = checked_number("server", "bound", bound, " It is in seconds."), checked_count(steps, "steps", 1, "server")
    rng, name, call = random_generator("server", rng), name or called(model), query_call(model, samples, 1, rng)
    found = measure(call, queries, 50, 1, clock, name, collector=True)
    if found.mean == 0:
        raise ValueError("server: the model takes no time by this clock, so every rate would hold. Measure with a finer clock.")
    low, high, best = 0.0, 1 / found.mean, np.empty(0)
    hopeless = found.percentile(q) > bound  # without any line the latency is the service time
    for _ in range(0 if hopeless else steps):
        rate = (low + high) / 2
        run = server_run(call, rate, queries, clock, wait, rng)
        if percentile(run.latency, q) <= bound:
            low, best = rate, run.latency
        else:
            high = rate
    doubts = []
    if hopeless:
        doubts.append(f"no rate can hold: p{q:g} of a query alone is {duration(found.percentile(q))}, and the bound is {duration(bound)}.")
    elif not low:
        doubts.append(f"no rate was seen to hold, and none below {high:,.0f} queries/s was tried: give more steps.")
    if low and percentile_interval(best, q)[1] > bound:
        doubts.append(f"{queries} queries do not prove that p{q:g} stays within the bound at this rate; they do not speak against it.")
    return ScenarioResult("server", name, f"rate with p{q:g} within {duration(bound)}", low, "queries/s", (low, high), best, tuple(doubts))


# %%
print(server(model, test, bound=0.005, queries=1000, steps=4, name="digits"))
print(f"for comparison, the capacity: {capacity:,.0f} queries/s")

# %% nbgrader={"grade": true, "grade_id": "test_scenarios", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_scenarios():
    clock, samples = SimulatedClock(), np.zeros((4, 2))
    model = lambda x: clock.advance(0.001 * len(x))
    result = single_stream(model, samples, queries=50, warmup=0, clock=clock, name="m")
    check((result.value, result.unit, result.metric), (0.001, "s", "p90 latency"))
    check(multi_stream(model, samples, streams=4, queries=50, warmup=0, clock=clock).value, 0.004)
    check(offline(model, samples, count=100, batch_size=10, clock=clock).value, 1000.0)
    run = server_run(clock.work(0.001), rate=500, queries=4000, clock=clock, wait=clock.wait_until)
    check(run.load, 0.5)
    check(run.latency.mean(), 0.0015, rtol=0.1)  # the formula: 0.001 + 500 * 0.001**2 / (2 * 0.5)
    result = server(model, samples, bound=0.002, clock=clock, wait=clock.wait_until)
    check(100 < result.value < 500, True)
    check(percentile(result.latencies, 99) <= 0.002, True)
    check(server(model, samples, bound=0.0005, clock=clock, wait=clock.wait_until).value, 0.0)
    check_raises(ValueError, lambda: server(model, samples, bound=0), "bound is 0")
    check_raises(ValueError, lambda: server_run(lambda: None, rate=0), "rate is 0")

test_scenarios()

# %% [markdown]
# ## A report
#
# What is left is to put results on a page that others can judge: the machine, what was measured with how many runs and
# with which intervals, the comparisons *corrected for their number*, and a picture. Three networks for the digits, of
# which the middle one is in use:

# %%
#| export
class Report:
    """Results on a page: a table in text, and a picture.

    Parameters
    ----------
    title : str
    alpha : float
        How often, at most, any of the comparisons may call equal programs different, all taken together (Holm).
    """

    def __init__(self, title: str, alpha: float = 0.01):
        self.title, self.alpha = str(title), checked_part("Report", "alpha", alpha)
        self.measurements, self.comparisons, self.scenarios, self.notes = [], [], [], []

    def add(self, *results) -> "Report":
        """Put in Measurements, Comparisons, ScenarioResults, and notes in words."""
        for result in results:
            for kind, place in ((Measurement, self.measurements), (Comparison, self.comparisons), (ScenarioResult, self.scenarios), (str, self.notes)):
                if isinstance(result, kind):
                    place.append(result)
                    break
            else:
                raise TypeError(f"Report.add: {result!r:.60} is no result. Expected a Measurement, a Comparison, a ScenarioResult or a note in words.")
        return self

    def adjusted(self) -> list[Comparison]:
        """The comparisons with p-values adjusted for their number, and judged at the report's level."""
        p_values = holm([c.p_value for c in self.comparisons]) if self.comparisons else []
        return [Comparison(c.names, c.times, c.ratio, c.interval, float(p), c.effect, self.alpha) for c, p in zip(self.comparisons, p_values)]

    def text(self) -> str:
        """The report as text."""
        facts = system_info()
        lines = [self.title, "=" * len(self.title), *self.notes]
        lines.append(f"Python {facts['python_version']}, NumPy {facts['numpy_version']}, {facts['platform']} on {facts['machine']}, {facts['cpu_count']} processors")
        if self.measurements:
            wide = max(4, *(len(m.name) for m in self.measurements))
            lines += ["", f"{'':{wide}}  {'minimum':>8}  {'median':>8}  {'95% interval':>20}  {'mean':>8}  {'p99':>8}  {'runs':>6}"]
        for m in self.measurements:
            numbers = "  ".join(f"{duration(value):>8}" for value in (m.minimum, m.median))
            low, high = m.interval()
            between = f"{duration(max(low, 0.0))} to {duration(high)}"
            lines.append(f"{m.name:{wide}}  {numbers}  {between:>20}  {duration(m.mean):>8}  {duration(m.percentile(99)):>8}  {len(m.times):6d}")
            lines += [f"{'':{wide}}  but {doubt}" for doubt in m.doubts]
        if self.comparisons:
            lines += ["", f"compared in pairs, at most {self.alpha:.0%} wrong for all {len(self.comparisons)} together (Holm)"]
            lines += [f"  {c.verdict()}" for c in self.adjusted()]
        if self.scenarios:
            lines += ["", "scenarios (Reddi et al. 2020)", *(f"  {line}" for s in self.scenarios for line in repr(s).splitlines())]
        return "\n".join(lines)

    __str__ = text

    def plot(self, ax=None):
        """Draw, for every measurement and scenario, the latency against the percentile; returns the axes."""
        curves = [(m.name, m.times) for m in self.measurements]
        curves += [(f"{s.name}, {s.scenario}", s.latencies) for s in self.scenarios if s.unit == "s" and len(s.latencies)]
        if not curves:
            raise ValueError("Report.plot: there is nothing to draw yet. Add a Measurement or a scenario first.")
        ax = pyplot("Report.plot").subplots(figsize=(7, 4))[1] if ax is None else ax
        for i, (name, times) in enumerate(curves):
            part_above = 1 - np.arange(len(times)) / len(times)
            ax.plot(1 / part_above, 1e3 * np.sort(times), ("-", "--", ":", "-.")[i % 4], color=COLOURS[i % len(COLOURS)], label=name)
        ticks = [1, 2, 10, 100, 1000, 10_000]
        ax.set(xscale="log", yscale="log", xlabel="percentile", ylabel="latency, ms")
        ax.set_xticks(ticks, ["p0", "p50", "p90", "p99", "p99.9", "p99.99"])
        ax.set_xlim(1, max(len(times) for _, times in curves))
        tails = sorted(percentile(times, 99) / max(np.median(times), 1e-300) for _, times in curves)
        ax.set_title(f"One in a hundred takes {tails[0]:.1f} to {tails[-1]:.1f} times the median")
        ax.legend(frameon=False, fontsize=8)
        return ax

    def save(self, folder) -> tuple[Path, Path]:
        """Write report.txt and report.png into a folder, which is made if need be; returns their paths."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        text, picture = folder / "report.txt", folder / "report.png"
        text.write_text(self.text() + "\n", encoding="utf-8")
        axes = self.plot()
        axes.figure.savefig(picture, dpi=110, bbox_inches="tight")
        pyplot("Report.save").close(axes.figure)
        return text, picture


COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")

# %%
report = Report("Three networks for the digits")
networks = {f"{hidden[0]} wide": trained(hidden) for hidden in ([240], [256], [512])}
calls = {name: query_call(net, test, 1) for name, (net, _) in networks.items()}
for name, (net, accuracy) in networks.items():
    report.add(f"{name}: {count_parameters(net):,} parameters, accuracy {accuracy:.3f}", measure(calls[name], runs=2000, name=name))
for name in ("240 wide", "512 wide"):
    report.add(compare(calls["256 wide"], calls[name], pairs=200, names=("256 wide", name)))
report.add(compare(calls["256 wide"], calls["256 wide"], pairs=200, names=("256 wide", "itself")))
report.add(single_stream(networks["256 wide"][0], test, name="256 wide"))
print(report)

# %%
import tempfile

with tempfile.TemporaryDirectory() as folder:
    for path in report.save(folder):
        print(path.name, path.stat().st_size, "bytes")
_ = report.plot()

# %% [markdown]
# The axis is drawn such that p90, p99 and p99.9 are equally far apart, because that is where users live. Two curves may
# agree up to p90 and part ways beyond, or differ by a factor throughout; a median shows only the second.
#
# ## Against the real thing
#
# SciPy has most of this, where it is installed. The bootstrap differs by its random numbers; everything else has to
# agree to the last digit.

# %%
try:
    from scipy import stats
except ImportError:
    print("SciPy is not installed: the comparison was not made")
else:
    rng = np.random.default_rng(0)
    a, b = rng.lognormal(size=7), rng.lognormal(0.4, size=6)
    apart = lambda x, y, axis: abs(np.median(x, axis=axis) - np.median(y, axis=axis))
    theirs = stats.permutation_test((a, b), apart, permutation_type="independent", alternative="greater", vectorized=True, n_resamples=np.inf).pvalue
    print(f"permutation test   ours {permutation_test(a, b):.6f}   SciPy {theirs:.6f}")
    d = rng.normal(0.3, size=11)
    print(f"signed ranks       ours {sign_flip_test(d, resamples=5000):.6f}   SciPy {stats.wilcoxon(d, method='exact').pvalue:.6f}")
    u = stats.mannwhitneyu(b, a).statistic
    print(f"Cliff's delta      ours {effect_size(a, b):.6f}   SciPy {2 * u / (len(a) * len(b)) - 1:.6f}  (from Mann-Whitney's U)")
    x = rng.lognormal(size=400)
    found = stats.quantile_test(x, p=0.9).confidence_interval(0.95)
    print(f"interval of p90    ours {percentile_interval(x, 90)[0]:.4f} to {percentile_interval(x, 90)[1]:.4f}   SciPy {found.low:.4f} to {found.high:.4f}")
    found = stats.bootstrap((x,), np.mean, method="percentile", rng=0).confidence_interval
    ours = bootstrap_interval(x, np.mean)
    print(f"interval of a mean ours {ours[0]:.4f} to {ours[1]:.4f}   SciPy {found.low:.4f} to {found.high:.4f}")

# %% [markdown]
# ## What a faster part is worth
#
# A last question before any work is done. *Amdahl's law* (Amdahl 1967): if a part $f$ of the time is made $s$ times as
# fast, the whole becomes $1 / (1 - f + f / s)$ times as fast. Suppose that somebody sells a processor with infinitely
# fast matrix products. How much faster does it read a digit?

# %%
for size in (1, 16):
    x = test.features[:size]
    weights = [p.data for p in model.parameters() if p.data.ndim == 2]
    inputs = [np.ones((size, w.shape[0]), np.float32) for w in weights]
    products = measure(lambda: [i @ w for i, w in zip(inputs, weights)], runs=300, name="products")
    whole = measure(reads(model, x), runs=300, name="whole")
    f = min(products.median / whole.median, 1.0)
    print(f"batches of {size:3d}: the products are {f:.0%} of the time; twice as fast, {1 / (1 - f + f / 2):.2f} times; infinitely fast, {1 / max(1 - f, 1e-9):.1f} times")

# %% [markdown]
# ## Where next
#
# - *Batches at the server.* Let the server take all queries that wait, up to sixteen, and read them at once. How does
#   the hockey stick change, at low loads and at high ones? MLPerf allows it, and every real server does it.
# - *New processes.* Write a `compare` whose pairs are pairs of processes, each of which builds its network, warms up
#   and reports one median. How much wider is the interval than that of pairs within a process?
# - *Stop when sure.* Looking at the p-value after every ten pairs and stopping as soon as it is small finds differences
#   that are not there. Show it with `NoisyMachine`: in how many of a hundred comparisons of a program with itself? Then
#   look up how sequential tests pay for looking (Wald 1945).
#
# Left out here, and present in the real ones: counters of the processor (cycles, cache misses), which say *why*
# something is slower; fixing the processor's frequency and the core that a program runs on; several clients on several
# machines; and energy, which MLPerf reports beside speed.
