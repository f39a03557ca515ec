"""The kernels chapter: values for every shape, counted bytes, a known clock, threads, numba or none, bad input."""

import sys
import threading
import tracemalloc
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.core.activations import GELU, gelu, gelu_composed
from tinytorch.core.autograd import Variable, check_gradients, gelu_slope, gradients, hessian
from tinytorch.core.dataloader import DataLoader, digits_split
from tinytorch.core.kernels import (
    Cost,
    FusedGELU,
    attainable,
    bandwidth,
    compiled,
    fused_gelu,
    gelu_with_slope,
    matmul_blocked,
    matmul_cost,
    matmul_parallel,
    matmul_rows,
    measured_peak,
    peak_bytes,
    plot_roofline,
    prediction,
    triad,
)
from tinytorch.core.layers import matmul_naive
from tinytorch.core.networks import create_mlp
from tinytorch.core.tensor import Tensor
from tinytorch.core.training import CrossEntropyLoss, GradientDescent, train_step
from tinytorch.threads import blas_controls, blas_threads
from tinytorch.timing import seconds, side_by_side

PRODUCTS = {
    "rows": lambda a, b, n: matmul_rows(a, b),
    "blocked": lambda a, b, n: matmul_blocked(a, b, n),
    "blocked by BLAS": lambda a, b, n: matmul_blocked(a, b, n, np.matmul),
    "parallel": lambda a, b, n: matmul_parallel(a, b, n),
    "blocked in threads": lambda a, b, n: matmul_parallel(a, b, 2, lambda x, y: matmul_blocked(x, y, n)),
}
SIZE = st.integers(0, 12)
VIEWS = {
    "as it is": lambda m: m,
    "transposed in memory": lambda m: np.asfortranarray(m),
    "every other": lambda m: np.repeat(np.repeat(m, 2, 0), 2, 1)[::2, ::2],
    "backwards": lambda m: m[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": lambda m: np.frombuffer(m.tobytes(), m.dtype).reshape(m.shape),
}


@pytest.mark.parametrize("name", PRODUCTS)
@given(SIZE, SIZE, SIZE, st.integers(1, 15), st.sampled_from([*VIEWS]), st.sampled_from([np.float32, np.float64]))
@settings(max_examples=60, deadline=None)
def test_products_equal_numpy(name, n, d, k, parts, view, dtype):
    rng = np.random.default_rng(n + 13 * d + 169 * k)
    a, b = rng.standard_normal((n, d)).astype(dtype), rng.standard_normal((d, k)).astype(dtype)
    out = PRODUCTS[name](VIEWS[view](a), VIEWS[view](b), parts)
    assert out.dtype == dtype and out.shape == (n, k)
    np.testing.assert_allclose(out, a @ b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_of_mixed_dtypes_lists_and_tensors(name):
    a, b = np.array([[1.0, 2.0]], np.float32), np.array([[3.0], [0.1]])
    assert PRODUCTS[name](a, b, 2).dtype == np.float64
    np.testing.assert_array_equal(PRODUCTS[name](a, b, 2), a.astype(np.float64) @ b)
    assert PRODUCTS[name]([[1.0, 2.0]], [[3.0], [4.0]], 2).tolist() == [[11.0]]
    assert PRODUCTS[name](Tensor(a), Tensor([[3.0], [4.0]]), 2).tolist() == [[11.0]]
    with pytest.raises(TypeError, match=r"detach\(\)"):
        PRODUCTS[name](Variable(a), b, 2)


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize(
    "shapes", [((2, 3), (2, 3)), ((3,), (3, 2)), ((2, 3), (3,)), ((2, 2, 3), (3, 2)), ((), (1, 1))]
)
def test_products_refuse_shapes_that_do_not_fit(name, shapes):
    with pytest.raises(ValueError, match=r"expected shapes \(N, D\) and \(D, K\), got") as error:
        PRODUCTS[name](*(np.ones(s) for s in shapes), 2)
    assert all(str(s) in str(error.value) for s in shapes)


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("dtype", [int, bool, complex, object])
def test_products_refuse_what_is_no_float(name, dtype):
    with pytest.raises(TypeError, match=r"Expected floats") as error:
        PRODUCTS[name](np.ones((2, 2)), np.ones((2, 2), dtype), 2)
    assert str(np.dtype(dtype)) in str(error.value) and "astype(np.float32)" in str(error.value)


@pytest.mark.parametrize("wrong", [0, -3, 1.5, "4", None, True, (2, 2)])
def test_numbers_that_count_something_are_at_least_one(wrong):
    a, x = np.ones((2, 2)), np.ones(4)
    calls = {
        "block": lambda: matmul_blocked(a, a, wrong),
        "threads": lambda: matmul_parallel(a, a, wrong),
        "chunk": lambda: triad(x, x, x, 1.0, wrong),
        "n": lambda: bandwidth(wrong),
        "size": lambda: measured_peak(wrong),
        "repeat": lambda: seconds(lambda: None, wrong),
        "number": lambda: seconds(lambda: None, 1, wrong),
    }
    for name, call in calls.items():
        with pytest.raises(ValueError, match=rf"{name} is .*expected an integer of at least 1"):
            call()
    with pytest.raises(ValueError, match="chunk is"):
        gelu_with_slope(x, wrong)
    with pytest.raises(ValueError, match="whole number of at least 1"), blas_threads(wrong):
        pass


@pytest.mark.parametrize("view", VIEWS)
def test_rows_are_packed_once_and_handed_over_one_at_a_time(view):
    calls = []

    def watched(row, rows, **where):
        calls.append((row, rows))
        return np.vecdot(row, rows, **where)

    a, b = np.random.default_rng(0).standard_normal((2, 6, 6))
    np.testing.assert_allclose(matmul_rows(a[:4], VIEWS[view](b[:, :5]), watched), a[:4] @ b[:, :5])
    assert [(row.shape, rows.shape) for row, rows in calls] == [((6,), (5, 6))] * 4
    assert all(rows.flags.c_contiguous and rows is calls[0][1] for _, rows in calls)


def test_blocks_are_no_larger_than_asked_for_and_do_every_multiplication_once():
    seen = []

    def counted(x, y):
        seen.append((*x.shape, y.shape[1]))
        return matmul_naive(x, y)

    a, b = np.random.default_rng(0).standard_normal((2, 9, 9))
    np.testing.assert_allclose(matmul_blocked(a[:7], b[:, :5], 4, counted), a[:7] @ b[:, :5])
    assert max(map(max, seen)) == 4 and sum(n * d * k for n, d, k in seen) == 7 * 9 * 5 and len(seen) == 2 * 3 * 2


def test_the_inputs_are_left_alone():
    a, b = np.random.default_rng(0).standard_normal((2, 5, 5))
    before = a.copy(), b.copy()
    for product in PRODUCTS.values():
        product(a, b, 2)
    gelu_with_slope(a)
    assert np.array_equal(a, before[0]) and np.array_equal(b, before[1])


def test_threads_run_side_by_side_and_share_the_rows_evenly():
    barrier, rows, names = threading.Barrier(3), [], set()

    def together(x, y):
        barrier.wait(timeout=20)
        rows.append(len(x))
        names.add(threading.get_ident())
        return x @ y

    a = np.arange(24.0).reshape(8, 3)
    np.testing.assert_array_equal(matmul_parallel(a, a[:3], 3, together), a @ a[:3])
    assert sorted(rows) == [2, 3, 3] and len(names) == 3


def test_an_error_in_a_thread_is_raised_and_blas_gets_its_threads_back():
    controls = blas_controls()
    before = controls and controls[1]()

    def failing(x, y):
        assert controls is None or controls[1]() == 1
        raise RuntimeError("the block failed")

    with pytest.raises(RuntimeError, match="the block failed"):
        matmul_parallel(np.ones((4, 4)), np.ones((4, 4)), 2, failing)
    assert controls is None or controls[1]() == before


def test_blas_is_held_and_let_go():
    controls = blas_controls()
    if controls is None:
        pytest.skip("this BLAS has no call for its threads")
    before = controls[1]()
    with blas_threads(1) as told:
        assert told is True and controls[1]() == 1
        with blas_threads(2):
            pass
        assert controls[1]() == 1
    assert controls[1]() == before


def test_a_blas_that_cannot_be_told_is_no_error(monkeypatch):
    monkeypatch.setattr("tinytorch.threads.loaded_libraries", list)
    with blas_threads(1) as told:
        assert told is False
    a = np.ones((3, 3))
    assert matmul_parallel(a, a, 2).tolist() == (a @ a).tolist() and measured_peak(4, repeat=1) > 0


@given(st.integers(0, 40), st.integers(1, 50), st.sampled_from([np.float32, np.float64]), st.integers(1, 3))
@settings(deadline=None)
def test_triad(n, chunk, dtype, step):
    rng = np.random.default_rng(n)
    a, b, c = rng.standard_normal((3, n * step)).astype(dtype)[:, ::step]
    expected, kept = b + dtype(0.5) * c, (b.copy(), c.copy())
    assert triad(a, b, c, 0.5, chunk) is a and a.dtype == dtype
    np.testing.assert_allclose(a, expected, rtol=1e-6)
    assert np.array_equal(b, kept[0]) and np.array_equal(c, kept[1])


def test_triad_refuses():
    x = np.ones(3)
    for wrong in ([1.0, 2.0, 3.0], 1.0, Tensor(x)):
        with pytest.raises(TypeError, match="is no array"):
            triad(wrong, x, x, 1.0)
    with pytest.raises(TypeError, match="holds int64"):
        triad(x, x, np.arange(3), 1.0)
    for wrong in (np.ones(2), np.ones((3, 1)), np.ones((1, 3))):
        with pytest.raises(ValueError, match="three arrays of one shape"):
            triad(x, wrong, x, 1.0)
    with pytest.raises(ValueError, match="three arrays of one shape"):
        triad(np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2)), 1.0)


@pytest.mark.parametrize("n, d, k", [(1, 1, 1), (3, 4, 5), (0, 2, 2), (7, 0, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cost_counts_what_the_loops_do(n, d, k, dtype):
    a, b = np.ones((n, d), dtype), np.ones((d, k), dtype)
    flops = sum(2 for _ in range(n) for _ in range(k) for _ in range(d))
    assert matmul_cost(n, d, k, a.itemsize) == Cost(flops, a.nbytes + b.nbytes + (a @ b).nbytes)


@pytest.mark.parametrize(
    "sizes, name", [((-1, 2, 2), "n"), ((2, 1.0, 2), "d"), ((2, 2, True), "k"), ((2, 2, 2, -4), "itemsize")]
)
def test_cost_refuses(sizes, name):
    with pytest.raises(ValueError, match=f"matmul_cost: {name} is .*at least 0"):
        matmul_cost(*sizes)


def test_nothing_moved_has_no_intensity():
    with pytest.raises(ValueError, match="Is an array empty"):
        _ = matmul_cost(0, 0, 0).intensity


@given(st.floats(0, 1e6), st.floats(1e-3, 1e12), st.floats(1e-3, 1e12))
def test_attainable_is_below_both_roofs_and_touches_one(intensity, peak, width):
    roof = float(attainable(intensity, peak, width))
    assert roof <= peak and roof <= width * intensity and roof in (peak, width * intensity)


@pytest.mark.parametrize("peak, width", [(0, 1.0), (1.0, -1.0), (float("nan"), 1.0), ("1", 1.0), (1.0, None)])
def test_attainable_refuses(peak, width):
    with pytest.raises(ValueError, match="a number above 0"):
        attainable(1.0, peak, width)


def test_contestants_take_turns_and_the_fastest_round_counts():
    turns, ticks = [], iter([0, 4, 10, 11, 20, 22, 30, 37])  # rounds of (4, 1), then (2, 7)
    calls = {name: lambda name=name: turns.append(name) for name in "ab"}
    assert side_by_side(calls, repeat=2, number=1, clock=ticks.__next__) == {"a": 2, "b": 1}
    assert turns == ["a", "b", "a", "b"]
    assert seconds(lambda: turns.append("c"), repeat=3, number=5, clock=count(0, 10).__next__) == 2.0
    assert turns[4:] == ["c"] * 15


def test_peak_and_bandwidth_by_a_known_clock():
    assert measured_peak(10, repeat=2, clock=count(0, 2).__next__) == 1000.0
    assert bandwidth(7, clock=count(0, 3).__next__) == 28.0


def test_peak_bytes_counts_what_is_new_and_leaves_a_running_trace_running():
    kept = []
    assert 80_000 <= peak_bytes(lambda: np.ones(10_000)) < 90_000
    assert not tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        kept.append(np.ones(1_000_000))
        _ = kept[0] + 1
        assert 80_000 <= peak_bytes(lambda: np.ones(10_000)) < 90_000
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()
    with pytest.raises(ZeroDivisionError):
        peak_bytes(lambda: 1 / 0)
    assert not tracemalloc.is_tracing()


@given(st.integers(0, 50), st.integers(1, 60), st.sampled_from([np.float32, np.float64]))
@settings(deadline=None)
def test_gelu_and_its_slope(n, chunk, dtype):
    x = (4 * np.random.default_rng(n).standard_normal(2 * n)).astype(dtype)
    for view in (x, x[::-2], x.reshape(2, n).T):
        value, slope = gelu_with_slope(view, chunk)
        assert value.dtype == slope.dtype == dtype and value.shape == slope.shape == view.shape
        np.testing.assert_allclose(value, gelu(view), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(slope, gelu_slope(view.astype(np.float64)), rtol=1e-5, atol=1e-5)


def test_gelu_with_slope_far_out_and_as_a_number():
    with np.errstate(over="raise", invalid="raise"):
        value, slope = gelu_with_slope(np.array([-1e4, 0.0, 1e4], np.float32))
    assert value.tolist() == [0.0, 0.0, 1e4] and slope.tolist() == [0.0, 0.5, 1.0]
    assert all(type(part) is np.float32 for part in gelu_with_slope(np.float32(0.3)))
    with pytest.raises(TypeError, match="holds int64"):
        gelu_with_slope(np.arange(3))


def test_gelu_with_slope_needs_no_room_but_its_results_and_chunks():
    x = np.ones(200_000, np.float32)
    assert peak_bytes(lambda: gelu_with_slope(x, 10_000)) < 2 * x.nbytes + 10 * 4 * 10_000


def test_fused_gelu_is_gelu_with_every_derivative():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 4))
    assert check_gradients(lambda x: fused_gelu(x), x) < 1e-5
    assert check_gradients(lambda x, w: (fused_gelu(x @ w) * 2).sum(), x, rng.standard_normal((4, 2))) < 1e-5
    fused, composed = (hessian(lambda x, f=f: (f(x) * x).sum(), x[0]) for f in (fused_gelu, gelu_composed))
    np.testing.assert_allclose(fused.data, composed.data, atol=1e-10)
    v = Variable(x)
    (first,) = gradients(fused_gelu(v).sum(), [v], create_graph=True)
    np.testing.assert_allclose(first.data, gelu_slope(x))


def test_fused_gelu_takes_what_other_operations_take():
    assert fused_gelu(Tensor([1, 2])).dtype == np.float32
    assert fused_gelu(Tensor(1.0)).shape == () and isinstance(fused_gelu(np.float64(1.0)), np.float64)
    assert fused_gelu(Tensor(np.ones((0, 3)))).shape == (0, 3)
    x = Variable(np.float32(1.0))
    fused_gelu(x).backward()
    assert x.grad.item() == pytest.approx(1.0829641, rel=1e-6) and x.grad.dtype == np.float32


def test_fused_gelu_equals_pytorch():
    torch = pytest.importorskip("torch")
    values = 3 * np.random.default_rng(0).standard_normal((40, 5))
    ours, theirs = Variable(values), torch.tensor(values, requires_grad=True)
    out, reference = fused_gelu(ours), torch.nn.functional.gelu(theirs, approximate="tanh")
    (out * out).sum().backward()
    (reference * reference).sum().backward()
    np.testing.assert_allclose(out.data, reference.detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ours.grad.data, theirs.grad.numpy(), rtol=1e-10, atol=1e-12)


def test_a_network_learns_the_same_with_either_gelu():
    train, _ = digits_split()
    pair = [create_mlp(64, [16], 10, activation=activation, rng=0) for activation in (GELU, FusedGELU)]
    optimizers = [GradientDescent(model.parameters(), 0.1) for model in pair]
    for x, y in DataLoader(train, batch_size=100, seed=0):
        losses = [train_step(m, o, CrossEntropyLoss(), x, y)[0] for m, o in zip(pair, optimizers)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for p, q in zip(*(model.parameters() for model in pair)):
        np.testing.assert_allclose(p.data, q.data, atol=1e-5)


@pytest.mark.parametrize(
    "low, high, measured, sentence",
    [
        (2, 4, 7.3, "rows: you said 2 to 4 times, it was 7.3"),
        (2, 4, 3.14, "rows: you said 2 to 4 times, and it was 3.1"),
        (2, 4, 4, "rows: you said 2 to 4 times, and it was 4"),
        (2, 4, 0.031, "rows: you said 2 to 4 times, it was 0.031"),
        (1000, 2000, 12345.6, "rows: you said 1,000 to 2,000 times, it was 12,346"),
        (3, 3, 99, "rows: you said 3 to 3 times, it was 99"),
        (None, None, 7.3, "rows: no guess was written down; it was 7.3 times"),
    ],
)
def test_a_prediction_is_told_as_it_was(low, high, measured, sentence):
    assert prediction("rows", low, high).against(measured) == sentence
    assert prediction("rows", low, high).against(measured, "percent") == sentence.replace("times", "percent")


@pytest.mark.parametrize("low, high", [(4, 2), (2, None), (None, 2), ("2", "4")])
def test_a_prediction_needs_a_range(low, high):
    with pytest.raises(ValueError, match="the smaller one first"):
        prediction("rows", low, high)


def test_the_roof_is_drawn_with_the_points_below_it():
    figure = pytest.importorskip("matplotlib.figure")
    ax = figure.Figure().subplots()
    assert plot_roofline({"ours": (0.5, 4.0), "theirs": (50.0, 90.0), "between": (10.0, 80.0)}, 100.0, 10.0, ax) is ax
    roof = ax.lines[0]
    np.testing.assert_allclose(roof.get_ydata(), np.minimum(100.0, 10.0 * roof.get_xdata()))
    assert {"ours", "theirs", "between"} <= {text.get_text() for text in ax.texts}
    assert ax.get_xscale() == ax.get_yscale() == "log" and "byte" in ax.get_xlabel() and "second" in ax.get_ylabel()
    assert plot_roofline({}, 100.0, 10.0, figure.Figure().subplots()).lines


@pytest.mark.parametrize("ridge", [4, 12, 40])
@pytest.mark.parametrize("blocks, loops", [(0.45, 0.3), (0.9, 0.17), (1.0, 0.12)])
def test_labels_of_the_roofline_stand_clear_of_each_other_and_of_the_slope(ridge, blocks, loops):
    figure = pytest.importorskip("matplotlib.figure")
    peak, slope = 1e11, 1e11 / ridge
    points = {
        "triad": (1 / 6, slope / 6), "three loops": (8, 3e-5 * peak), "rows": (85, 0.2 * peak), "@": (85, 0.93 * peak),
        "blocks of rows": (30, 0.1 * peak), "blocks by BLAS": (30, blocks * peak),
        "columns innermost": (85, loops * peak), "sum innermost": (85, 0.005 * peak),
        "GELU, formula": (1, 0.05 * slope), "GELU, chunks": (1, 0.3 * slope),
    }  # fmt: skip
    points = {name: (i, min(rate, attainable(i, peak, slope))) for name, (i, rate) in points.items()}
    picture = figure.Figure(figsize=(7.5, 4.6), layout="constrained")
    ax = plot_roofline(points, peak, slope, picture.subplots())
    picture.draw_without_rendering()
    boxes = {text.get_text(): text.get_window_extent() for text in ax.texts}
    roof = ax.transData.transform(np.c_[ax.lines[0].get_xdata(), ax.lines[0].get_ydata()])
    for name, box in boxes.items():
        assert not box.count_contains(roof), name
        assert not [other for other in boxes if other != name and box.overlaps(boxes[other])], name


def test_without_numba_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(ImportError, match=r"numba is not installed.*\.\[numba\]"):
        compiled(lambda x: x)


def test_with_numba_loops_are_compiled_and_run_in_threads():
    pytest.importorskip("numba")

    def multiply_into(a, b, out):
        for n in range(a.shape[0]):
            for d in range(a.shape[1]):
                for k in range(b.shape[1]):
                    out[n, k] += a[n, d] * b[d, k]

    kernel = compiled(multiply_into)
    assert kernel.py_func is multiply_into

    def product(a, b):
        out = np.zeros((a.shape[0], b.shape[1]), a.dtype)
        kernel(a, b, out)
        return out

    a, b = np.random.default_rng(0).standard_normal((2, 7, 7))
    for out in (product(a, b), matmul_parallel(a, b, 3, product), matmul_blocked(a, b, 3, product)):
        np.testing.assert_allclose(out, a @ b)
    barrier = threading.Barrier(2)

    def wait(x, y):
        barrier.wait(timeout=20)
        return product(x, y)

    np.testing.assert_allclose(matmul_parallel(a, b, 2, wait), a @ b)
