"""`tito demo cnn` and `tito demo fashion`: what they print is what they measured, and not converging is said."""

import re
import struct

import click
import numpy as np
import pytest

from tito.demos import cnn, digits, fashion
from tito.errors import CourseError


def run(demo, capsys, *arguments):
    status = demo.command.main(list(map(str, arguments)), standalone_mode=False)
    return status, capsys.readouterr()


@pytest.fixture
def dense_quickly(monkeypatch):
    """The dense network of `tito demo digits` after three epochs."""
    monkeypatch.setattr(digits, "EPOCHS", 3)


def test_reads_digits_beside_the_dense_network(tmp_path, capsys, dense_quickly):
    """Few epochs; `tito demo cnn --seeds 5` is what the demo is judged by."""
    picture = tmp_path / "a folder" / "cnn.png"
    status, output = run(cnn, capsys, "--epochs", 6, "--seeds", 2, "--picture", picture)
    assert status == 0 and picture.read_bytes().startswith(b"\x89PNG") and str(picture) in output.out
    measured = [float(a) for a in re.findall(r"test accuracy (0\.\d+) \(", output.out)]
    kinds = {"convolutions": measured[::2], "dense": measured[1::2]}
    assert len(measured) == 4 and min(kinds["convolutions"]) > 0.95
    for name, found in kinds.items():
        told = re.search(rf"^{name} +([\d,]+) +(0\.\d+) +(\S+)-([01]\.\d+) +([01]\.\d+) +([01]\.\d+)", output.out, re.M)
        parameters, mean, low, high, least, most = (float(text.replace(",", "")) for text in told.groups())
        assert parameters < 60_000 and mean == pytest.approx(np.mean(found), abs=1e-4)
        assert (least, most) == (min(found), max(found))
        half = 12.706 * np.std(found, ddof=1) / np.sqrt(2)
        assert (low, high) == pytest.approx((mean - half, mean + half), abs=2e-3)
    better = float(re.search(r"above dense, seed by seed: (\S+),", output.out)[1])
    assert better == pytest.approx(np.mean(kinds["convolutions"]) - np.mean(kinds["dense"]), abs=2e-4)
    assert "epoch 6 of 6" in output.err and "epoch 3 of 3" in output.err


def test_a_seed_gives_the_same_numbers(tmp_path, capsys, dense_quickly):
    choices = ("--seed", 3, "--epochs", 2, "--picture", tmp_path / "x.png")
    without_time = [re.sub(r"\d+\.\d s", "", run(cnn, capsys, *choices)[1].out) for _ in range(2)]
    assert without_time[0] == without_time[1] and "one seed only" in without_time[0]


@pytest.mark.parametrize("rate", [1e-9, 1e30])
def test_not_converging_is_said(tmp_path, capsys, dense_quickly, rate):
    choices = ("--learning-rate", rate, "--epochs", 1, "--seeds", 2, "--picture", tmp_path / "x.png")
    status, output = run(cnn, capsys, *choices)
    assert status == 1 and "convolutions did not converge: seed 0, 1" in output.out


@pytest.mark.parametrize("wrong", [("--seed", "-1"), ("--epochs", "many"), ("--learning-rate", "nan")])
@pytest.mark.parametrize("demo", [cnn, fashion])
def test_wrong_use(demo, wrong):
    with pytest.raises(click.UsageError) as caught:
        demo.command.main(list(wrong), standalone_mode=False)
    assert caught.value.exit_code == 2 and wrong[0] in caught.value.format_message()


@pytest.mark.parametrize("freedom, factor", [(1, 12.706), (4, 2.776), (10, 2.228), (11, 2.201), (30, 2.042)])
def test_student_s_factors_are_those_of_the_tables(freedom, factor):
    assert cnn.student(freedom) == pytest.approx(factor, abs=3e-3)


def test_intervals():
    assert cnn.interval([0.5]) == (0.5, None)
    mean, half = cnn.interval([1.0, 2.0, 3.0])
    assert (mean, half) == (2.0, pytest.approx(4.303 / np.sqrt(3)))


def clothes(folder, training=1200, test=200):
    """Four idx files of pictures that can be told apart: class k has a bright bar at its own height."""
    rng = np.random.default_rng(0)
    for name, n in (("train", training), ("t10k", test)):
        labels = rng.permutation(np.arange(n) % 10).astype(np.uint8)
        pictures = rng.integers(0, 60, (n, 28, 28)).astype(np.uint8)
        for picture, label in zip(pictures, labels):
            picture[2 * label + 2 : 2 * label + 6] += 190
        for kind, array in (("images-idx3", pictures), ("labels-idx1", labels)):
            header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            (folder / f"{name}-{kind}-ubyte").write_bytes(header + array.tobytes())
    return folder


def test_learns_from_the_files_in_a_folder(tmp_path, capsys):
    picture = tmp_path / "fashion.png"
    choices = ("--folder", clothes(tmp_path), "--epochs", 2, "--samples", 1100, "--picture", picture)
    status, output = run(fashion, capsys, *choices)
    assert status == 0 and "1,100 pictures to train on, 200 to test on" in output.out
    accuracy, wrong = re.search(r"test accuracy (\S+) \((\d+) of 200", output.out).groups()
    assert float(accuracy) > 0.9 and float(accuracy) == pytest.approx(1 - int(wrong) / 200, abs=1e-4)
    rows = re.findall(r"^(T-shirt|trousers|ankle boot) +(\d+\.\d)%", output.out, re.M)
    assert len(rows) == 3 and picture.read_bytes().startswith(b"\x89PNG")


def test_no_pictures_are_said(tmp_path):
    with pytest.raises(CourseError, match="apt-get install dataset-fashion-mnist"):
        fashion.command.main(["--folder", str(tmp_path)], standalone_mode=False)
