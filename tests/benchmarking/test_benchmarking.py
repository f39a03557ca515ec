"""The benchmarking chapter: against SciPy, on machines whose noise is known, bad input. Nothing here is decided by real time."""

# ruff: noqa: E501 (a row of a table is a line)

import gc
import math
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinytorch.core.benchmarking as benchmarking
from tinytorch.core.benchmarking import (
    Comparison,
    Measurement,
    NoisyMachine,
    Report,
    ScenarioResult,
    SimulatedClock,
    Timer,
    binomial_cumulative,
    bootstrap_interval,
    clock_step,
    compare,
    compare_times,
    duration,
    effect_in_words,
    effect_size,
    groupings,
    holm,
    measure,
    multi_stream,
    offline,
    paired_timings,
    pairs_needed,
    percentile,
    percentile_interval,
    permutation_test,
    poisson_arrivals,
    power,
    query_call,
    ranks,
    self_test,
    serve,
    server,
    server_run,
    shift_interval,
    sign_flip_test,
    sign_patterns,
    single_stream,
    timings,
    wait_until,
)
from tinytorch.core.dataloader import ArrayDataset
from tinytorch.core.layers import Dense, Dropout
from tinytorch.core.networks import Sequential

ROOT = Path(__file__).resolve().parents[2]
numbers = st.lists(st.integers(-50, 50).map(lambda n: n / 8), min_size=2, max_size=12)


@given(numbers, st.one_of(st.integers(0, 100), st.sampled_from([12.5, 33.3, 99.9])))
def test_percentile_is_numpy_s_inverted_cdf(values, q):
    assert percentile(values, q) == np.percentile(values, q, method="inverted_cdf")
    assert percentile(values, q) in values


@given(numbers, st.floats(0, 100))
def test_percentile_keeps_its_words(values, q):
    """At least q percent are not above it, and for no smaller sample is that so."""
    found, values = percentile(values, q), np.array(values)
    assert (values <= found).mean() * 100 >= q - 1e-6
    smaller = values[values < found]
    assert not len(smaller) or (values <= smaller.max()).mean() * 100 < q + 1e-6


def test_percentiles_that_do_not_divide_evenly():
    for n in (1000, 10_000, 99_999):
        values = np.arange(1, n + 1)
        for q in (0.1, 29.0, 57.0, 99.9, 99.99):
            assert percentile(values, q) == math.ceil(round(q * n / 100, 6))


def test_binomial_cumulative_adds_up():
    for n, p in ((1, 0.5), (10, 0.5), (7, 0.9), (50, 0.99)):
        exact = np.cumsum([math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)])
        np.testing.assert_allclose(binomial_cumulative(n, p), exact, rtol=1e-10)
    assert binomial_cumulative(300_000, 0.99)[-1] == pytest.approx(1, abs=1e-6)


@given(numbers, st.sampled_from([10, 50, 90]), st.sampled_from([0.5, 0.9, 0.99]))
def test_interval_of_a_percentile_mirrors(values, q, confidence):
    """What holds of the q-th percentile of x holds of the (100 - q)-th of -x, turned round."""
    low, high = percentile_interval(values, q, confidence)
    mirrored = percentile_interval([-v for v in values], 100 - q, confidence)
    assert low <= high and mirrored == (-high, -low)


@pytest.mark.parametrize("q, n", [(50, 20), (90, 60), (99, 600)])
def test_interval_of_a_percentile_holds_it(q, n):
    rng, truth = np.random.default_rng(0), -math.log(1 - q / 100)
    found = [percentile_interval(rng.exponential(size=n), q) for _ in range(1000)]
    assert np.mean([low <= truth <= high for low, high in found]) >= 0.94


def test_how_many_samples_a_p99_needs():
    """An upper limit at 95% exists from the first n on for which 0.99**n is at most 0.025: 367 is too few."""
    assert percentile_interval(np.arange(367), 99)[1] == math.inf and percentile_interval(np.arange(368), 99)[1] == 367


@pytest.mark.parametrize("statistic, truth", [(np.median, 1.0), (np.mean, math.exp(0.125))])
def test_bootstrap_interval_holds_the_truth(statistic, truth):
    rng = np.random.default_rng(0)
    found = [bootstrap_interval(rng.lognormal(0, 0.5, 60), statistic, resamples=400, rng=rng) for _ in range(400)]
    assert np.mean([low <= truth <= high for low, high in found]) >= 0.90


@given(numbers, st.floats(0.1, 0.99))
def test_bootstrap_interval_lies_within_the_samples(values, confidence):
    low, high = bootstrap_interval(values, np.mean, confidence, resamples=50)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


def test_bootstrap_draws_every_value_equally_often():
    seen = np.zeros(5)

    def look(drawn, axis):
        seen[:] += [(drawn == v).sum() for v in range(5)]
        return drawn.mean(axis=axis)

    bootstrap_interval(np.arange(5.0), look, resamples=4000)
    assert abs(seen / seen.sum() - 0.2).max() < 0.02


@given(numbers, numbers, st.sampled_from([np.median, np.mean]))
@settings(deadline=None)
def test_permutation_test_looks_both_ways(a, b, statistic):
    p = permutation_test(a, b, statistic, resamples=200)
    assert 0 < p <= 1
    if len(a) == len(b) and math.comb(2 * len(a), len(a)) <= 200:
        assert permutation_test(b, a, statistic, resamples=200) == p
    doubled = [[2 * v + 1 for v in values] for values in (a, b)]
    assert permutation_test(*doubled, statistic, resamples=200) == p


def test_groupings_are_all_or_drawn():
    rng = np.random.default_rng(0)
    for n_a, n_b, resamples in ((2, 3, 10), (2, 3, 9), (8, 8, 300)):
        first, second = groupings(n_a, n_b, resamples, rng)
        assert first.shape == (len(first), n_a) and second.shape == (len(first), n_b) and len(first) <= resamples
        assert (np.sort(np.concatenate([first, second], axis=1), axis=1) == np.arange(n_a + n_b)).all()
        assert first[0].tolist() == list(range(n_a)) and second[0].tolist() == list(range(n_a, n_a + n_b))
    assert len({tuple(row) for row in groupings(2, 3, 10, rng)[0].tolist()}) == 10


def test_sign_patterns_are_all_or_drawn():
    rng = np.random.default_rng(0)
    every = sign_patterns(3, 8, rng)
    assert len({tuple(row) for row in every}) == 8 and (every[0] == 1).all()
    drawn = sign_patterns(100, 500, rng)
    assert drawn.shape == (500, 100) and set(np.unique(drawn)) == {-1.0, 1.0} and (drawn[0] == 1).all()
    assert abs(drawn.mean()) < 0.02


@pytest.mark.parametrize("test", ["permutation", "signs"])
def test_p_values_are_fair(test):
    """Where there is no difference, a p-value of at most x comes up in at most the part x of all experiments."""
    rng, found = np.random.default_rng(0), []
    for _ in range(1000):
        x = rng.lognormal(0, 1, 16)
        found.append(permutation_test(x[:8], x[8:], resamples=199, rng=rng) if test == "permutation" else sign_flip_test(x[:8] - x[8:], rng=rng))
    for level in (0.01, 0.05, 0.2, 0.5):
        assert np.mean(np.array(found) <= level) <= level + 3 * math.sqrt(level * (1 - level) / 1000)


@given(numbers, numbers)
def test_effect_size_turns_round_and_knows_no_units(a, b):
    delta = effect_size(a, b)
    assert -1 <= delta <= 1 and effect_size(b, a) == pytest.approx(-delta) and effect_size(a, a) == 0
    assert effect_size(np.exp(a), np.exp(b)) == pytest.approx(delta)


def test_effects_in_words():
    deltas = (0.1, -0.2, 0.4, -0.9)
    assert [effect_in_words(d) for d in deltas] == ["negligible", "small", "medium", "large"]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_nothing_and_bonferroni(p):
    adjusted, p = holm(p), np.array(p)
    assert (adjusted >= p - 1e-12).all() and (adjusted <= np.minimum(p * len(p), 1) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()


def test_holm_keeps_its_promise():
    rng = np.random.default_rng(0)
    assert np.mean([holm(rng.uniform(size=20)).min() <= 0.05 for _ in range(2000)]) <= 0.065


class TestScipy:
    @pytest.fixture
    def stats(self):
        return pytest.importorskip("scipy.stats")

    def test_permutation_test(self, stats):
        rng = np.random.default_rng(0)
        for n_a, n_b, statistic in ((5, 6, np.median), (6, 6, np.mean), (3, 9, np.median)):
            a, b = rng.lognormal(size=n_a), rng.lognormal(0.8, size=n_b)
            apart = lambda x, y, axis, f=statistic: abs(f(x, axis=axis) - f(y, axis=axis))
            theirs = stats.permutation_test((a, b), apart, alternative="greater", vectorized=True, n_resamples=np.inf)
            assert permutation_test(a, b, statistic) == pytest.approx(theirs.pvalue)

    def test_signed_ranks_without_ties(self, stats):
        rng = np.random.default_rng(0)
        for n in (4, 8, 11):
            d = rng.normal(0.4, size=n)
            assert sign_flip_test(d, resamples=2**n) == pytest.approx(stats.wilcoxon(d, method="exact").pvalue)

    def test_signed_ranks_with_ties_and_zeros(self, stats):
        d = np.array([0.0, 1.0, 1.0, -1.0, 2.0, 2.0, 3.0, 0.0, 2.5])
        theirs = stats.permutation_test(
            (benchmarking.signed_ranks(d),), lambda x, axis: abs(x.sum(axis=axis)), permutation_type="samples", alternative="greater",
            vectorized=True, n_resamples=np.inf,
        )  # fmt: skip
        assert sign_flip_test(d) == pytest.approx(theirs.pvalue)

    def test_signed_ranks_drawn_at_random(self, stats):
        d = np.random.default_rng(1).normal(0.25, size=60)
        assert sign_flip_test(d, resamples=20_000) == pytest.approx(stats.wilcoxon(d).pvalue, abs=0.01)

    def test_ranks(self, stats):
        values = np.array([3.0, 1.0, 3.0, 2.0, 1.0, 3.0, -5.0])
        np.testing.assert_array_equal(ranks(values), stats.rankdata(values))

    def test_cliff_s_delta_is_mann_whitney_s_u(self, stats):
        rng = np.random.default_rng(0)
        a, b = rng.integers(0, 9, 15), rng.integers(2, 12, 11)
        assert effect_size(a, b) == pytest.approx(2 * stats.mannwhitneyu(b, a).statistic / (15 * 11) - 1)

    def test_interval_of_a_percentile(self, stats):
        rng = np.random.default_rng(0)
        for n, q, confidence in ((11, 50, 0.95), (100, 90, 0.99), (1000, 99, 0.95), (30, 99, 0.95)):
            x = rng.lognormal(size=n)
            theirs = stats.quantile_test(x, p=q / 100).confidence_interval(confidence)
            ours = percentile_interval(x, q, confidence)
            for mine, other in zip(ours, (theirs.low, theirs.high)):
                assert mine == other or (math.isinf(mine) and math.isnan(other))

    def test_bootstrap(self, stats):
        x = np.random.default_rng(0).lognormal(size=200)
        theirs = stats.bootstrap((x,), np.mean, method="percentile", rng=1, n_resamples=20_000).confidence_interval
        assert bootstrap_interval(x, np.mean, resamples=20_000) == pytest.approx((theirs.low, theirs.high), rel=0.01)


MACHINES = {
    "quiet": {"noise": 0.001, "drift": 0.0, "outliers": 0.0},
    "drifts": {"noise": 0.01, "drift": 0.3, "outliers": 0.0},
    "outliers": {"noise": 0.02, "drift": 0.0, "outliers": 0.2},
    "all of it": {"noise": 0.05, "drift": 0.2, "outliers": 0.05},
}


@pytest.mark.parametrize("name", MACHINES)
def test_two_promises(name):
    """A against A is called different in at most 5% of 200 comparisons, and 5% more work is found, with pairs chosen by power."""
    machine = NoisyMachine(seed=3, **MACHINES[name])
    task = machine.work(0.001)
    trial = paired_timings(task, task, 500, clock=machine)
    pairs = max(30, pairs_needed(np.log(trial[:, 1] / trial[:, 0]), 0.05))
    found = self_test(task, machine.work(0.00105), others=40, pairs=pairs, clock=machine)
    assert found.false_alarms <= 10 and found.found >= 30
    assert "A against A: called different in" in str(found)


def test_blocks_are_fooled_by_drift_and_pairs_are_not():
    by_blocks, by_pairs = 0, 0
    for seed in range(60):
        machine = NoisyMachine(seed)
        machine.advance(seed / 60)
        task = machine.work(0.001)
        by_blocks += permutation_test(timings(task, 30, clock=machine), timings(task, 30, clock=machine), resamples=500) <= 0.01
        by_pairs += compare(task, task, pairs=30, clock=machine, rng=seed).different
    assert by_blocks > 12 and by_pairs <= 3


def test_the_coin_takes_the_places_out():
    """Whatever is called second in a pair takes 3% longer. In a fixed order that would be found to be b's fault."""
    clock, rng, turn = SimulatedClock(), np.random.default_rng(0), count()
    task = lambda: clock.advance(0.001 * (1 + 0.03 * (next(turn) % 2)) * math.exp(0.01 * rng.standard_normal()))
    fixed = np.array([[timings(task, 1, clock=clock)[0] for _ in "ab"] for _ in range(60)])
    assert compare_times(*fixed.T).different
    found = [compare(task, task, pairs=60, warmup=0, clock=clock, rng=seed).different for seed in range(50)]
    assert sum(found) <= 3


def test_power_grows_with_pairs_and_size_and_tells_the_truth():
    machine = NoisyMachine(seed=5, noise=0.05)
    task, more = machine.work(0.001), machine.work(0.00103)
    trial = paired_timings(task, task, 300, clock=machine)
    noise = np.log(trial[:, 1] / trial[:, 0])
    powers = [power(noise, 0.03, pairs) for pairs in (10, 40, 120)]
    assert powers[0] < powers[1] < powers[2] and power(noise, 0.10, 40) > powers[1] and power(noise, 0.0, 40) <= 0.04
    assert power(noise, -0.03, 40) == pytest.approx(powers[1], abs=0.12)
    found = [sign_flip_test(np.log(t[:, 1] / t[:, 0])) <= 0.01 for t in (paired_timings(task, more, 40, clock=machine, rng=i) for i in range(200))]
    assert np.mean(found) == pytest.approx(powers[1], abs=0.12)


def test_a_comparison_in_words():
    clock = SimulatedClock()
    faster = compare(clock.work(2.0), clock.work(1.0), pairs=20, warmup=0, clock=clock, names=("old", "new"))
    assert faster.different and faster.verdict().startswith("different: new takes 50.0% less than old (ratio 0.500, 99% interval 0.500 to 0.500")
    assert faster.effect == -1 and [m.name for m in faster.measurements] == ["old", "new"]
    same = compare_times([1.0, 1.1] * 10, [1.1, 1.0] * 10)
    assert repr(same).startswith("no difference found between a and b") and "is not ruled out" in repr(same) and "equal" not in repr(same)


@pytest.mark.parametrize("n, alpha", [(6, 0.05), (9, 0.01), (10, 0.2)])
def test_the_interval_holds_what_the_test_does_not_rule_out(n, alpha):
    rng = np.random.default_rng(n)
    for _ in range(20):
        d = rng.standard_t(2, size=n)
        middle, low, high = shift_interval(d, alpha)
        assert low < middle < high
        for end, out in ((low, -1e-9), (high, 1e-9)):
            assert sign_flip_test(d - (end + out)) <= alpha < sign_flip_test(d - (end - out))


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=12, unique_by=abs))
def test_the_sum_of_positive_ranks_counts_means(d):
    """Tukey 1949; for differences without ties, and without a 0, which belongs to neither side."""
    d = np.array([2.0 * n + 0.5 for n in d])
    scores = benchmarking.signed_ranks(d)
    assert scores[scores > 0].sum() == (benchmarking.pairwise_means(d) > 0).sum()


def test_an_interval_of_too_few():
    assert shift_interval([1.0, 2.0, 4.0]) == (2.25, -math.inf, math.inf)
    assert shift_interval([1.0] * 8) == (1.0, 1.0, 1.0) and shift_interval([0.0] * 8) == (0.0, 0.0, 0.0)


def test_verdict_and_interval_agree():
    machine = NoisyMachine(seed=4)
    for i in range(60):
        found = compare(machine.work(0.001), machine.work(0.001 * (1 + 0.0005 * i)), pairs=40, clock=machine, rng=i)
        assert found.different == (not found.interval[0] <= 1 <= found.interval[1])


def test_names_are_those_of_the_functions():
    def first():
        clock.advance(1.0)

    def second():
        clock.advance(2.0)

    clock = SimulatedClock()
    assert compare(first, second, pairs=10, clock=clock).names == ("first", "second")
    assert compare(first, first, pairs=10, clock=clock).names == ("a", "b")
    assert measure(first, clock=clock).name == "first" and measure(Dense(2, 2).eval, runs=1, clock=clock).name == "eval"


def test_the_number_of_calls_and_the_warm_up():
    calls = {"a": 0, "b": 0}
    clock = SimulatedClock()

    def make(name):
        def call():
            calls[name] += 1
            clock.advance(1.0)

        return call

    found = compare(make("a"), make("b"), pairs=12, warmup=3, number=5, clock=clock, names=("a", "b"))
    assert calls == {"a": 5 * 15, "b": 5 * 15} and (found.times == 1).all()


def test_the_smallest_number_of_pairs_depends_on_the_level():
    for alpha, needed in ((0.01, 8), (0.05, 6), (0.001, 11), (0.0625, 5), (0.5, 2)):
        compare_times([1.0] * needed, [2.0] * needed, alpha)
        with pytest.raises(ValueError, match=f"at least {needed} pairs"):
            compare_times([1.0] * (needed - 1), [2.0] * (needed - 1), alpha)


class TestCollector:
    def look(self, **options):
        seen = set()
        measure(lambda: seen.add(gc.isenabled()), runs=3, **options)
        return seen

    def test_it_is_off_while_measuring_and_on_again(self):
        assert gc.isenabled() and self.look() == {False} and gc.isenabled()

    def test_it_stays_on_where_it_is_wanted(self):
        assert self.look(collector=True) == {True}

    def test_it_is_on_again_after_an_error(self):
        with pytest.raises(RuntimeError):
            measure(lambda: 1 / 0)
        assert gc.isenabled()

    def test_who_had_switched_it_off_finds_it_off(self):
        gc.disable()
        try:
            assert self.look(collector=True) == self.look() == {False} and not gc.isenabled()
        finally:
            gc.enable()

    def test_comparing_too(self):
        seen, ticks = set(), count()
        compare(lambda: seen.add(gc.isenabled()), lambda: None, pairs=8, clock=lambda: float(next(ticks)))
        assert seen == {False} and gc.isenabled()


def test_what_a_call_raises_is_the_cause_and_an_unsolved_exercise_stays_one():
    def fails():
        raise KeyError("weights")

    with pytest.raises(RuntimeError, match=r"measure: the call 'fails' raised KeyError: 'weights'") as caught:
        measure(fails)
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(RuntimeError, match="compare: the call 'b'"):
        compare(lambda: None, fails, names=("a", "b"))
    with pytest.raises(RuntimeError, match="server_run: the call 'fails'"):
        server_run(fails, rate=1e6, queries=3)

    def unsolved():
        raise NotImplementedError("exercise timings")

    with pytest.raises(NotImplementedError, match="exercise timings"):
        measure(unsolved)


def test_measurement_says_what_may_be_wrong():
    clock = SimulatedClock()
    slowing = measure(clock.work(*[1.0] * 20, *[1.5] * 10), runs=30, warmup=0, clock=clock)
    assert slowing.doubts == ("the last third of the runs took 50% longer than the first: the machine changed, or the warm-up was too short.",)
    assert "  but the last third" in repr(slowing)
    single = measure(clock.work(1.0), runs=1, warmup=0, clock=clock)
    assert single.doubts == ("1 run is too few to say how much the times vary: give runs=100 or so.",) and "1 run\n" in repr(single)
    assert single.interval() == (-math.inf, math.inf) and measure(clock.work(1.0), runs=30, clock=clock).doubts == ()
    ticks = count()
    coarse = measure(lambda: None, runs=20, clock=lambda: next(ticks) * 0.01)
    assert any("50 steps of the clock (10 ms each)" in doubt for doubt in coarse.doubts)


def test_measurement_by_hand():
    m = Measurement([4.0, 1.0, 2.0, 3.0, 40.0], "task")
    assert (m.minimum, m.median, m.mean, m.outliers, m.percentile(80)) == (1.0, 3.0, 10.0, 1, 4.0)
    assert m.throughput(20) == 2.0 and Measurement([0.0]).throughput() == math.inf
    assert percentile(m, 50) == 3.0 and effect_size(m, m) == 0.0
    given_times = np.array([1.0, 2.0])
    kept = Measurement(given_times)
    given_times[0] = 99.0
    assert kept.times.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
def test_every_kind_of_number(dtype):
    values = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], dtype=dtype)
    assert percentile(values, 50) == 5.0 and effect_size(values, values[::-1]) == 0.0 and holm(np.array([1, 0], dtype=dtype)).tolist() == [1.0, 0.0]
    assert permutation_test(values[:3], values[7:], np.mean) == 0.1 and sign_flip_test(values) == 2 / 1024
    assert Measurement(values).times.dtype == np.float64


def test_timer_and_clocks():
    clock = SimulatedClock(5.0)
    with pytest.raises(ZeroDivisionError), Timer(clock) as timer:
        clock.advance(2.0)
        raise ZeroDivisionError
    assert timer.seconds == 2.0
    clock.wait_until(6.0)
    assert clock() == 7.0
    clock.wait_until(9.5)
    assert clock() == 9.5
    ticks = count()
    assert clock_step(lambda: next(ticks) // 3 * 0.5) == 0.5 and clock_step(clock) == 0.0
    with Timer() as timer:
        pass
    assert timer.seconds >= 0


def test_wait_until_never_comes_back_early():
    for ahead in (-1.0, 0.0, 0.001, 0.005):
        moment = time.perf_counter() + ahead
        wait_until(moment)
        assert time.perf_counter() >= moment


def test_durations():
    pairs = {0.0: "0 ns", 5e-9: "5 ns", 1.2345e-6: "1.23 us", 9.996e-4: "1 ms", 0.25: "250 ms", 2.5: "2.5 s", 1234.5: "1234 s"}
    assert {seconds: duration(seconds) for seconds in pairs} == pairs
    assert duration(math.inf) == duration(math.nan) == "unknown"


@given(st.lists(st.floats(0, 4), min_size=1, max_size=30), st.lists(st.floats(0.01, 2), min_size=1, max_size=5))
def test_serving_is_lindley_s_recursion(gaps, seconds):
    """Each query starts when it has come and the one before it is done (Lindley 1952)."""
    arrivals, clock = np.cumsum(gaps), SimulatedClock(1000.0)
    latency, service = serve(clock.work(*seconds), arrivals, clock, clock.wait_until)
    free = 0.0
    for i, moment in enumerate(arrivals):
        free = max(free, moment) + seconds[i % len(seconds)]
        assert latency[i] == pytest.approx(free - moment, abs=1e-9) and service[i] == pytest.approx(seconds[i % len(seconds)], abs=1e-9)


@pytest.mark.parametrize("seconds", [(0.001,), (0.0002, 0.0018)])
@pytest.mark.parametrize("load", [0.3, 0.8])
def test_the_formula_of_the_queue(load, seconds):
    clock, mean, mean_square = SimulatedClock(), np.mean(seconds), np.mean(np.square(seconds))
    rng = np.random.default_rng(2)
    call = lambda: clock.advance(rng.choice(seconds))
    run = server_run(call, load / mean, 60_000, clock, clock.wait_until)
    assert run.latency.mean() == pytest.approx(mean + load / mean * mean_square / (2 * (1 - load)), rel=0.06)
    assert run.load == pytest.approx(load, rel=0.02)


def test_little_s_law():
    clock = SimulatedClock()
    run = server_run(clock.work(0.001, 0.003), 350, 5000, clock, clock.wait_until)
    end = (run.arrivals + run.latency).max()
    counted = run.in_system(np.random.default_rng(0).uniform(0, end, 20_000)).mean()
    assert counted == pytest.approx(run.latency.sum() / end, rel=0.05)
    assert run.in_system([-1.0, end + 1.0]).tolist() == [0, 0] and "queries/s, load 0.70" in repr(run)


def test_coordinated_omission():
    """Tene's example: a second of standstill, a query every ten milliseconds. Of the two columns only one knows of it."""
    clock = SimulatedClock()
    latency, service = serve(clock.work(*[0.001] * 500, 1.0, *[0.001] * 9499), 0.01 * np.arange(10_000), clock, clock.wait_until)
    assert percentile(service, 99.9) == pytest.approx(0.001) and percentile(latency, 99.9) > 0.9
    assert (latency > 0.002).sum() == 111 and (service > 0.002).sum() == 1


def test_poisson_arrivals():
    gaps = np.diff(poisson_arrivals(200.0, 50_000), prepend=0.0)
    assert (gaps >= 0).all() and gaps.mean() == pytest.approx(1 / 200, rel=0.02) and gaps.std() == pytest.approx(1 / 200, rel=0.02)
    assert np.array_equal(poisson_arrivals(5, 10, rng=3), poisson_arrivals(5, 10, rng=3))


class TestScenarios:
    samples = np.arange(20.0, dtype=np.float32).reshape(10, 2)

    def model(self, clock, fixed=0.001, each=0.0005):
        return lambda x: clock.advance(fixed + each * len(x))

    def test_what_each_reports(self):
        clock = SimulatedClock()
        model, options = self.model(clock), {"clock": clock, "name": "m"}
        single = single_stream(model, self.samples, queries=100, **options)
        assert (single.value, single.metric, single.unit) == (pytest.approx(0.0015), "p90 latency", "s") and single.latencies.shape == (100,)
        multi = multi_stream(model, self.samples, streams=4, queries=500, **options)
        assert multi.value == pytest.approx(0.003) and multi.metric == "p99 latency" and multi.doubts == ()
        few = multi_stream(model, self.samples, queries=50, **options)
        assert few.interval[1] == math.inf and few.doubts == ("50 queries set no upper limit to a p99: send more.",) and "unknown" in repr(few)
        whole = offline(model, self.samples, count=95, batch_size=10, **options)
        assert whole.value == pytest.approx(100 / 0.06) and whole.unit == "samples/s" and whole.latencies.shape == (6,)
        assert whole.interval == pytest.approx((whole.value, whole.value)) and "1,667 samples/s" in repr(whole)

    def test_server_finds_the_rate(self):
        """With constant service the p99 at each rate can be found by the same queue, so the rate found is right within a step."""
        clock = SimulatedClock()
        model = self.model(clock)
        found = server(model, self.samples, bound=0.01, queries=4000, steps=7, clock=clock, wait=clock.wait_until, name="m")
        assert 0.6 / 0.0015 < found.value < 0.95 / 0.0015 and found.interval[0] == found.value < found.interval[1]
        assert percentile(found.latencies, 99) <= 0.01 and "did not hold" in repr(found)
        tighter = server(model, self.samples, bound=0.003, queries=4000, steps=7, clock=clock, wait=clock.wait_until)
        assert 0 < tighter.value < found.value

    def test_server_without_hope(self):
        clock = SimulatedClock()
        found = server(self.model(clock), self.samples, bound=0.001, queries=50, clock=clock, wait=clock.wait_until)
        assert found.value == 0 and len(found.latencies) == 0 and "no rate can hold: p99 of a query alone is 1.5 ms" in found.doubts[0]

    def test_server_that_was_not_tried_at_low_rates(self):
        clock = SimulatedClock()
        found = server(self.model(clock), self.samples, bound=0.0016, queries=500, steps=2, clock=clock, wait=clock.wait_until)
        assert found.value == 0 and found.doubts == ("no rate was seen to hold, and none below 167 queries/s was tried: give more steps.",)

    def test_server_with_few_queries_says_so(self):
        clock = SimulatedClock()
        found = server(self.model(clock), self.samples, bound=0.1, queries=50, clock=clock, wait=clock.wait_until)
        assert found.value > 0 and "50 queries do not prove that p99 stays within" in found.doubts[0]

    def test_queries_are_drawn_from_the_samples(self):
        seen = []
        call = query_call(lambda x: seen.append(x), self.samples, 3, queries=40)
        for _ in range(80):
            call()
        assert all(x.shape == (3, 2) and x.dtype == np.float32 for x in seen) and {row[0] for x in seen for row in x} == set(self.samples[:, 0])
        assert np.array_equal(np.array(seen[:40]), np.array(seen[40:]))

    def test_models_are_asked_in_evaluation_mode_and_nothing_is_recorded(self):
        model = Sequential([Dense(2, 4, rng=0), Dropout(0.5, rng=0), Dense(4, 1, rng=0)])
        data = ArrayDataset(self.samples, np.arange(10) % 2)
        out = query_call(model, data, 5)()
        assert not model.training and not out.requires_grad and out.shape == (5, 1)

    def test_in_real_time(self):
        """Nothing is said of how long it took, only that all of it was there."""
        model = Sequential([Dense(2, 4, rng=0)])
        assert single_stream(model, self.samples, queries=30).value > 0 and offline(model, self.samples, count=64, batch_size=32).value > 0
        run = server_run(query_call(model, self.samples, 1), rate=2000, queries=40)
        assert len(run.latency) == 40 and (run.latency >= run.service - 1e-9).all() and (run.service >= 0).all()


class TestReport:
    def report(self):
        clock = SimulatedClock()
        rng = np.random.default_rng(0)
        noisy = rng.lognormal(0, 0.01, 40)
        results = [compare_times(noisy, noisy * rng.lognormal(0, 0.01, 40) * factor, names=("base", f"variant {i}")) for i, factor in enumerate((1.0, 1.1, 1.006))]
        few = Measurement([0.001, 0.002], "few", doubts=("it is only two.",))
        stream = single_stream(lambda x: clock.advance(0.004), np.ones((3, 2)), queries=50, clock=clock, name="base")
        served = ScenarioResult("server", "base", "rate with p99 within 1 ms", 100.0, "queries/s", (100.0, 200.0), np.ones(3))
        return Report("A title").add("a note", Measurement(0.001 * noisy, "base"), few, *results, stream, served)

    def test_text(self):
        text = str(self.report())
        assert text.startswith("A title\n=======\na note\nPython ") and "but it is only two." in text and "processors" in text
        for words in ("all 3 together (Holm)", "different: variant 1", "no difference found between base and variant 0", "single-stream base: p90 latency 4 ms", "200 queries/s did not hold"):
            assert words in text

    def test_comparisons_are_corrected_for_their_number(self):
        report = self.report()
        before, after = [[c.p_value for c in kind] for kind in (report.comparisons, report.adjusted())]
        np.testing.assert_allclose(after, holm(before))
        assert max(after) > max(before[1:]) and after[1] == pytest.approx(3 * before[1])
        borderline = Comparison(("a", "b"), np.ones((10, 2)), 1.1, (1.05, 1.15), 0.004, 0.5)
        assert borderline.different and not any(c.different for c in Report("t").add(*[borderline] * 3).adjusted())

    def test_empty(self):
        report = Report("Nothing yet")
        assert "Nothing yet" in report.text() and report.adjusted() == []
        with pytest.raises(ValueError, match="nothing to draw yet"):
            report.plot()

    def test_pictures_are_drawn_on_the_axes_given(self, tmp_path):
        pyplot = pytest.importorskip("matplotlib.pyplot")
        axes = pyplot.subplots()[1]
        report = self.report()
        assert report.plot(axes) is axes and axes.get_title().startswith("One in a hundred takes 1.0 to ") and len(axes.lines) == 3
        x, y = axes.lines[1].get_data()
        assert x.tolist() == [1.0, 2.0] and y.tolist() == [1.0, 2.0]
        assert report.measurements[0].plot(pyplot.subplots()[1]).get_xlabel() == "run"
        drawn = report.comparisons[1].plot(pyplot.subplots()[1])
        assert drawn.get_title().startswith("Different: ratio 1.10") and drawn.get_ylim()[0] < 1 < 1.1 < drawn.get_ylim()[1]
        far = compare_times(np.ones(20), np.r_[np.full(18, 1.01), 50.0, 0.1])
        assert far.plot(pyplot.subplots()[1]).get_xlabel() == "pair (2 of 20 lie outside)"
        pyplot.close("all")

    def test_saved(self, tmp_path):
        pyplot = pytest.importorskip("matplotlib.pyplot")
        open_before = pyplot.get_fignums()
        text, picture = self.report().save(tmp_path / "new" / "folder")
        assert text.read_text(encoding="utf-8") == str(self.report()) + "\n" and picture.read_bytes().startswith(b"\x89PNG")
        assert pyplot.get_fignums() == open_before


MESSAGES = """
percentile([], 50)                          percentile: values holds no sample, and at least 1 is needed. Measure more often
percentile("abc", 50)                       percentile: values is 'abc', not numbers
percentile(["1", "2"], 50)                  percentile: values is ['1', '2'], not numbers
percentile([[1, 2], [3]], 50)               percentile: values is [[1, 2], [3]], not numbers
percentile([[1, 2], [3, 4]], 50)            percentile: values has the shape (2, 2). Expected one axis
percentile(None, 50)                        percentile: values is None, not numbers
percentile([1, np.nan], 50)                 percentile: entry 1 of values is nan. Expected finite numbers
percentile([np.inf], 50)                    entry 0 of values is inf
percentile([1, 2], -1)                      percentile: q is -1, but it has to be a number from 0 to 100: 99 for p99
percentile([1, 2], "99")                    percentile: q is '99'
percentile([1, 2], True)                    percentile: q is True
percentile([1, 2], np.nan)                  percentile: q is nan
percentile_interval([1, 2], 0)              percentile_interval: q is 0, but it has to be a number between 0 and 100
percentile_interval([1, 2], 50, 1.0)        percentile_interval: confidence is 1.0, but it has to be a number between 0 and 1
percentile_interval([1, 2], 50, 95)         such as 0.9 or 0.01. 95% is 0.95
bootstrap_interval([1])                     bootstrap_interval: values holds 1 sample, and at least 2 are needed
bootstrap_interval([1, 2], resamples=0)     bootstrap_interval: resamples is 0; it has to be an integer of at least 1
bootstrap_interval([1, 2], rng="a")         bootstrap_interval: rng is 'a'; it has to be an integer of at least 0
bootstrap_interval([1, 2], confidence="a")  bootstrap_interval: confidence is 'a'
permutation_test([1, 2], [3])               permutation_test: b holds 1 sample
permutation_test([1, 2], [3, None])         permutation_test: b is [3, None], not numbers
bootstrap_interval([1, 2], "median")        bootstrap_interval: statistic is 'median', which cannot be called. Give one such as np.median
bootstrap_interval([1, 2], min)             bootstrap_interval: the statistic takes no axis ... as np.median(array, axis=1) is
permutation_test([1, 2], [3, 4], lambda x, axis: 3)  permutation_test: the statistic gave the shape () for 2 rows
effect_size([], [1])                        effect_size: a holds no sample
sign_flip_test([1, 2], resamples=1.5)       sign_flip_test: resamples is 1.5
holm([0.1, -0.1])                           holm: the p-values reach from -0.1 to 0.1, but a p-value is a number from 0 to 1
holm([])                                    holm: p_values holds no sample
power([1, 2], np.nan, 8)                    power: difference is nan, but it has to be a number above -1
power([1], 0.1, 8)                          power: noise holds 1 sample
power([1, 2], 0.1, 0)                       power: pairs is 0
pairs_needed([1, 2], 0.1, wanted=1)         pairs_needed: wanted is 1, but it has to be a number between 0 and 1
pairs_needed([-3, 3], 0.01, most=15)        pairs_needed: with 15 pairs ... 90% are wanted ... Allow more pairs
compare_times([1, 2], [1])                  compare: 2 times of a, but 1 of b. Pairs need as many of each
compare_times([1] * 8, [0] * 8)             compare: a time of b is 0 ... give a larger number of calls
compare_times([1] * 8, [-1] * 8)            compare: entry 0 of times of b is -1 seconds, and no time is negative ... Did the clock go backwards?
compare_times([1] * 3, [1] * 3)             compare: 3 pairs cannot show anything at alpha = 0.01: the smallest p-value there is would be 0.25 ... Expected at least 8 pairs
compare_times([1], [1])                     compare: 1 pair cannot show anything
compare_times([1] * 9, [1] * 9, alpha=0)    compare: alpha is 0
compare(3, task)                            compare: a is 3, which cannot be called. Give a function without arguments
compare(task, task, names="ab")             compare: names is 'ab'. Expected two texts
compare(task, task, clock=3)                compare: clock is 3, which cannot be called. Give one such as time.perf_counter
measure(task, clock=None)                   measure: clock is None, which cannot be called
measure(task, name=3)                       measure: name is 3, not a text
query_call(model, [[1], [1, 2]], 1)         query_call: samples of shape (0,) hold no samples
compare(task, task, pairs=True)             compare: pairs is True
measure(model(x))                           measure: call is Variable( ... cannot be called ... lambda: model(x)
measure(task, runs=0)                       measure: runs is 0; it has to be an integer of at least 1
measure(task, warmup=-1)                    measure: warmup is -1
measure(task, number=0)                     measure: number is 0
measure(task, clock=backwards)              Measurement: entry 0 of ... no time is negative
clock_step(readings=1)                      clock_step: readings is 1
Measurement([0.1, None])                    Measurement: times is [0.1, None], not numbers
poisson_arrivals(0, 3)                      poisson_arrivals: rate is 0 ... at a rate of 0 none would ever come
poisson_arrivals(-1, 3)                     poisson_arrivals: rate is -1
poisson_arrivals(5, 0)                      poisson_arrivals: queries is 0
serve(task, [])                             serve: arrivals holds no sample
serve(task, [2, 1])                         serve: the arrivals are not in ascending order. Sort them: np.sort(arrivals)
serve(task, [-1, 1])                        serve: entry 0 of arrivals is -1 seconds
server_run(3, 1)                            server_run: call is 3, which cannot be called
query_call(3, x, 1)                         query_call: model is 3, which cannot be called
query_call(model, [1.0, 2.0], 1)            query_call: samples of shape (2,) hold no samples. Expected rows of features
query_call(model, np.ones((0, 3)), 1)       query_call: samples of shape (0, 3) hold no samples
query_call(model, x, 0)                     query_call: size is 0
multi_stream(model, x, streams=0)           multi_stream: streams is 0
offline(model, x, count=0)                  offline: count is 0
server(model, x, bound=0)                   server: bound is 0, but it has to be a number above 0. It is in seconds
server(model, x, bound="1 ms")              server: bound is '1 ms'
server(model, x, 1.0, clock=still, wait=still.wait_until)  server: the model takes no time by this clock
self_test(task, task, comparisons=0)        self_test: comparisons is 0
Report("t", alpha=5)                        Report: alpha is 5
Report("t").add(3)                          Report.add: 3 is no result. Expected a Measurement, a Comparison, a ScenarioResult or a note
"""


def rows(table):
    """Call and words of each row of a table; two spaces part the two."""
    for line in table.strip().splitlines():
        call, _, words = line.partition("  ")
        yield pytest.param(call.strip(), words.strip(), id=call.strip())


@pytest.mark.parametrize("call, words", [*rows(MESSAGES)])
def test_messages(call, words):
    """What is said of bad input, in the reader's words; parts between dots stand in the message in that order."""
    names = vars(benchmarking) | {"x": np.ones((4, 3), np.float32), "model": Dense(3, 2, rng=0), "task": lambda: None, "still": SimulatedClock()}
    falling = count(0, -1)
    names["backwards"] = lambda: float(next(falling))
    with pytest.raises((TypeError, ValueError)) as caught:
        eval(call, names)
    place, said = 0, str(caught.value)
    for part in words.split(" ... "):
        assert part in said[place:], said
        place = said.index(part, place) + len(part)


NO_EXTRAS = """
import sys
sys.modules["matplotlib"] = sys.modules["scipy"] = None  # as if they were not installed
from tinytorch.core.benchmarking import Measurement, Report, compare_times
m = Measurement([0.1, 0.2])
report = Report("t").add(m)
for plot in (m.plot, compare_times([1.0] * 8, [2.0] * 8).plot, report.plot):
    try:
        plot()
    except ImportError as error:
        print(error)
print(report)
"""


def test_neither_scipy_nor_matplotlib_is_needed():
    done = subprocess.run([sys.executable, "-c", NO_EXTRAS], cwd=ROOT, capture_output=True, encoding="utf-8", timeout=60, check=True)
    for name in ("Measurement.plot", "Comparison.plot", "Report.plot"):
        assert f"{name}: drawing needs matplotlib" in done.stdout
    assert "median" in done.stdout
