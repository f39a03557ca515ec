"""Statistics against other ways to compute them, and against their own false alarms."""

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.core.activations import Softmax
from tinytorch.core.cnn import rotated
from tinytorch.core.dataloader import ArrayDataset, digits_split
from tinytorch.core.layers import Dense
from tinytorch.core.mlops import (
    Alarm,
    Monitor,
    PromotionConflict,
    Registry,
    any_drift,
    binned,
    binomial_tail,
    class_probabilities,
    decide,
    domain_classifier_p_value,
    fisher_test,
    ks_p_value,
    ks_p_values,
    ks_statistic,
    psi,
    resampled,
    retrain,
    rights,
    routed,
    sign_test,
)
from tinytorch.core.networks import Sequential, create_mlp

grey = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=12)


@given(grey, grey)
def test_ks_is_the_largest_distance_of_two_counts(x, y):
    x, y = np.array(x), np.array(y)
    expected = max(abs((x <= t).mean() - (y <= t).mean()) for t in [*x, *y])
    assert math.isclose(ks_statistic(x, y), expected, abs_tol=1e-12)
    assert ks_statistic(x, y) == ks_statistic(y, x) and ks_statistic(x, x) == 0
    assert math.isclose(ks_statistic(np.exp(x), np.exp(y)), expected, abs_tol=1e-12)


def exact_ks_p_value(d, n, m):
    """All orders of n and m different values are equally probable; count those whose staircases stay closer than d."""
    ways = [0] * (m + 1)
    for i in range(n + 1):
        for j in range(m + 1):
            come = 1 if i == j == 0 else (ways[j] if i else 0) + (ways[j - 1] if j else 0)
            ways[j] = come if abs(i / n - j / m) < d - 1e-12 else 0
    return 1 - ways[m] / math.comb(n + m, n)


@pytest.mark.parametrize("n, m", [(50, 50), (200, 100), (200, 40), (100, 25)])
def test_ks_p_values_against_exact_counting(n, m):
    assert exact_ks_p_value(1.0, 3, 3) == pytest.approx(2 / 20)
    for d in (0.1, 0.15, 0.2, 0.25, 0.3, 0.4):
        exact = exact_ks_p_value(d, n, m)
        assert abs(ks_p_value(d, n, m) - exact) < (0.05 if exact > 0.2 else 0.02)


def test_ks_p_values_fall_with_the_distance_and_keep_their_level():
    p = [ks_p_value(d, 200, 100) for d in np.linspace(0, 1, 101)]
    assert p[0] == 1 and all(a >= b - 1e-9 for a, b in zip(p, p[1:])) and all(0 <= v <= 1 for v in p)
    rng = np.random.default_rng(0)
    alarms = [ks_p_value(ks_statistic(rng.random(200), rng.random(100)), 200, 100) < 0.05 for _ in range(1000)]
    assert 0.03 < np.mean(alarms) < 0.07  # three standard errors on each side


counts = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=8)


@given(counts)
def test_psi_is_symmetric_and_never_negative(pairs):
    p, q = zip(*pairs)
    assert psi(p, q) >= -1e-12 and math.isclose(psi(p, q), psi(q, p), abs_tol=1e-12) and abs(psi(p, p)) < 1e-12


def test_bins_hold_equal_parts_and_every_value():
    rng = np.random.default_rng(0)
    reference, window = binned(rng.random(1000), rng.random(300) * 3 - 1)
    assert reference.sum() == 1000 and window.sum() == 300 and len(reference) == 10 and abs(reference - 100).max() <= 1
    tied, _ = binned(np.zeros(50), np.ones(5))
    assert tied.sum() == 50


@given(st.integers(0, 30), st.integers(0, 30))
def test_the_binomial_tail_is_exact(k, extra):
    n = k + extra
    expected = sum(Fraction(math.comb(n, i), 2**n) for i in range(k, n + 1))
    assert binomial_tail(k, n) == float(expected)
    assert math.isclose(binomial_tail(k, n) + (binomial_tail(n - k + 1, n) if k else 0), 1)


def test_the_binomial_tail_counts_numpy_s_numbers_too():
    """2**70 is 0 in 64 bits."""
    new, old = np.repeat([True, False], 35), np.repeat([False, True], 35)
    found = binomial_tail(np.count_nonzero(new & ~old), np.sum(new != old))
    assert found == binomial_tail(35, 70) == (1 + math.comb(70, 35) / 2**70) / 2


def test_the_binomial_tail_of_many_tosses():
    assert 0.2 < binomial_tail(510, 1000) < 0.3 and binomial_tail(1100, 1100) == 0.0  # below the least float


@pytest.mark.parametrize("k, n", [(-1, 3), (4, 3)])
def test_the_binomial_tail_of_what_cannot_be(k, n):
    with pytest.raises(ValueError, match="cannot be"):
        binomial_tail(k, n)


def test_fisher_counts_the_ways():
    """All ways to give the right answers to people, and those with at least so many in the first group."""
    for a, n, b, m in ((3, 4, 1, 4), (2, 2, 2, 3), (0, 3, 3, 3), (4, 4, 4, 4)):
        ways = [sum(i < n for i in who) for who in combinations(range(n + m), a + b)]
        assert math.isclose(fisher_test(a, n, b, m), np.mean([w >= a for w in ways]))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_the_sign_test_looks_at_differences_only(answers):
    new, old = (np.array(side) for side in zip(*answers))
    differ = new != old
    assert sign_test(new, old) == sign_test(new[differ], old[differ])
    assert sign_test(new, old) + sign_test(old, new) >= 1


def test_the_sign_test_keeps_its_level():
    rng = np.random.default_rng(0)
    p = [sign_test(rng.random(200) < 0.9, rng.random(200) < 0.9) for _ in range(1000)]
    assert 0.01 < np.mean(np.array(p) < 0.05) < 0.06


# Windows


def test_resampled_pairs_share_nothing():
    x = np.arange(50.0)[:, None]
    for reference, window in resampled(x, 30, 20, times=5):
        assert sorted([*reference[:, 0], *window[:, 0]]) == list(range(50))
    with pytest.raises(ValueError, match="30 and 21 inputs were asked for, without overlap, of 50"):
        next(resampled(x, 30, 21, times=1))


@pytest.fixture(scope="module")
def digits():
    return digits_split()[0].features


def test_pixels_keep_their_level_and_see_a_turn(digits):
    pairs = list(resampled(digits, 300, 100, times=60))
    assert np.mean([any_drift(*pair) for pair in pairs]) < 0.15  # four standard errors above 0.05
    turn = lambda window: rotated(window.reshape(-1, 8, 8), 15).reshape(-1, 64)
    assert all(any_drift(reference, turn(window)) for reference, window in pairs[:20])


def test_the_domain_classifier_keeps_its_level_and_sees_a_turn(digits):
    pairs = list(resampled(digits, 300, 100, times=60))
    assert np.mean([domain_classifier_p_value(*pair, seed=i) < 0.05 for i, pair in enumerate(pairs)]) < 0.15
    turn = lambda window: rotated(window.reshape(-1, 8, 8), 15).reshape(-1, 64)
    assert all(domain_classifier_p_value(reference, turn(window)) < 0.05 for reference, window in pairs[:10])
    with pytest.raises(ValueError, match="too small"):
        domain_classifier_p_value(digits[:1], digits[:5])


def test_a_constant_feature_raises_no_alarm():
    assert ks_p_values(np.zeros((30, 2)), np.zeros((10, 2))).tolist() == [1.0, 1.0]


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 4), st.integers(1, 4))
def test_an_alarm_changes_only_after_enough_in_a_row(windows, patience, calm):
    alarm, states = Alarm(patience, calm), [False]
    for suspicious in windows:
        states.append(alarm.update(suspicious))
    for i in range(1, len(states)):
        if states[i] != states[i - 1]:
            n = patience if states[i] else calm
            assert windows[i - n : i] == [states[i]] * n
    for i in range(len(windows)):
        run = windows[i : i + max(patience, calm)]
        if len(run) == max(patience, calm) and len(set(run)) == 1:
            assert states[i + len(run)] == run[0]


def test_a_monitor_does_not_care_how_its_inputs_are_cut():
    rng = np.random.default_rng(0)
    x, outputs = rng.random((230, 2, 2)), rng.random((230, 3))
    ends = []
    for size in (1, 7, 100, 230):
        monitor = Monitor(x[:50], outputs[:50], window=40)
        for start in range(0, 230, size):
            monitor.add(x[start : start + size], outputs[start : start + size])
        ends.append((monitor.windows, len(monitor.waiting["inputs"]), monitor.p_values))
    assert ends[0][:2] == (5, 30) and all(end == ends[0] for end in ends)


def test_probabilities_are_not_squashed_twice():
    x = np.eye(3, dtype=np.float32)
    with_softmax, without = create_mlp(3, [4], 2, output_activation=Softmax, rng=0), create_mlp(3, [4], 2, rng=0)
    np.testing.assert_allclose(class_probabilities(with_softmax, x), class_probabilities(without, x), rtol=1e-6)
    assert class_probabilities(Dense(3, 2), x).sum() == pytest.approx(3)


# Decisions


@pytest.mark.parametrize("new, old, before, promoted", [
    ((90, 10), (70, 30), None, True),
    ((72, 28), (70, 30), None, False),
    ((70, 30), (90, 10), None, False),
    ((90, 10), (70, 30), ((90, 10), (90, 10)), True),
    ((90, 10), (70, 30), ((60, 40), (90, 10)), False),
])  # fmt: skip
def test_decisions(new, old, before, promoted):
    answers = lambda counts: np.repeat([True, False], counts)
    found = decide(answers(new), answers(old), *(map(answers, before) if before else ()))
    assert found[0] is promoted and found[1]


def test_retraining_is_real_and_names_its_parent(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 3)).astype(np.float32)
    y = (x @ np.float32([1, -2, 0.5]) > 0).astype(np.int64)
    data, now = ArrayDataset(x[:400], y[:400]), ArrayDataset(x[400:], y[400:])
    registry = Registry(tmp_path)
    untrained = create_mlp(3, [8], 2, rng=0)
    registry.promote(registry.register(untrained, x[400:], bounds=(-6, 6)))
    decision = retrain(registry, data, now, epochs=15, learning_rate=0.01)
    assert decision.promoted and registry.promoted() == decision.candidate == "v2"
    version = registry.current()
    assert version.record["parent"] == "v1" and version.record["inputs"]["low"] == -6
    assert version.record["metrics"]["accuracy now"] == pytest.approx(rights(version.model, now).mean())
    assert rights(version.model, now).mean() > 0.9 > rights(untrained, now).mean()
    again = retrain(registry, data, now, epochs=1, learning_rate=1e-6)
    assert not again.promoted and registry.promoted() == "v2" and again.candidate in registry.names()
    assert again.reason.startswith("not shown to be better")


def test_a_retraining_that_was_overtaken_is_told(tmp_path, monkeypatch):
    """Somebody promotes another version while the candidate is being trained."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 3)).astype(np.float32)
    data = ArrayDataset(x, (x[:, 0] > 0).astype(np.int64))
    registry = Registry(tmp_path)
    for seed in (0, 1):
        registry.register(create_mlp(3, [8], 2, rng=seed), x)
    registry.promote("v1")

    class Overtaken(Registry):
        def register(self, *arguments, **options):
            Registry(self.folder).promote("v2")
            return super().register(*arguments, **options)

    with pytest.raises(PromotionConflict):
        retrain(Overtaken(tmp_path), data, data, epochs=20, learning_rate=0.02)
    assert registry.promoted() == "v2" and registry.names() == ["v1", "v2", "v3"]


@given(st.text(max_size=8), st.floats(0, 1), st.floats(0, 1))
def test_whoever_is_in_a_small_part_is_in_a_larger_one(key, one, other):
    small, large = sorted((one, other))
    assert routed(key, "v2", large) >= routed(key, "v2", small)
    assert not routed(key, "v2", 0) and routed(key, "v2", 1)


def test_a_nested_network_answers_too():
    model = Sequential([Sequential([Dense(3, 4)]), Dense(4, 2)])
    assert class_probabilities(model, np.eye(3)).shape == (3, 2)
