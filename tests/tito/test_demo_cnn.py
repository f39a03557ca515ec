"""`tito demo cnn` and `tito demo fashion`: what they print is what they measured, and not converging is said."""

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest

from tito.demos import cnn, digits, fashion
from tito.errors import CourseError

ROOT = Path(__file__).resolve().parents[2]


def run(demo, *arguments):
    """A demo in a process of its own, where it chooses how many threads there are."""
    command = [sys.executable, "-P", "-m", "tito", "demo", demo, *map(str, arguments)]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, encoding="utf-8", timeout=600)


def test_reads_digits_beside_the_dense_network(tmp_path):
    """Few epochs; `tito demo cnn --seeds 5` is what the demo is judged by."""
    picture = tmp_path / "a folder" / "cnn.png"
    done = run("cnn", "--epochs", 6, "--seeds", 2, "--picture", picture)
    assert done.returncode == 0 and picture.read_bytes().startswith(b"\x89PNG") and str(picture) in done.stdout
    measured = [float(a) for a in re.findall(r"test accuracy (0\.\d+) \(", done.stdout)]
    kinds = {"convolutions": measured[::2], "dense": measured[1::2]}
    assert len(measured) == 4 and min(kinds["convolutions"]) > 0.95
    for name, found in kinds.items():
        row = rf"^{name} +([\d,]+) +(0\.\d+) +(\S+)-([01]\.\d+) +([01]\.\d+) +([01]\.\d+)"
        told = re.search(row, done.stdout, re.M)
        parameters, mean, low, high, least, most = (float(text.replace(",", "")) for text in told.groups())
        assert parameters < 60_000 and mean == pytest.approx(np.mean(found), abs=1e-4)
        assert (least, most) == (min(found), max(found))
        half = 12.706 * np.std(found, ddof=1) / np.sqrt(2)
        assert (low, high) == pytest.approx((mean - half, mean + half), abs=2e-3)
    better = float(re.search(r"above dense, seed by seed: (\S+),", done.stdout)[1])
    assert better == pytest.approx(np.mean(kinds["convolutions"]) - np.mean(kinds["dense"]), abs=2e-4)
    assert "epoch 6 of 6" in done.stderr and f"epoch {digits.EPOCHS} of {digits.EPOCHS}" in done.stderr


def test_a_seed_gives_the_same_numbers(tmp_path):
    choices = ("--seed", 3, "--epochs", 2, "--picture", tmp_path / "x.png")
    without_time = [re.sub(r"\d+\.\d s", "", run("cnn", *choices).stdout) for _ in range(2)]
    assert without_time[0] == without_time[1] and "one seed only" in without_time[0]


@pytest.mark.parametrize("rate", [1e-9, 1e30])
def test_not_converging_is_said(tmp_path, rate):
    done = run("cnn", "--learning-rate", rate, "--epochs", 1, "--picture", tmp_path / "x.png")
    assert done.returncode == 1 and "convolutions did not converge: seed 0" in done.stdout, done.stderr


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


def test_learns_from_the_files_in_a_folder(tmp_path):
    picture = tmp_path / "fashion.png"
    done = run("fashion", "--folder", clothes(tmp_path), "--epochs", 2, "--samples", 1100, "--picture", picture)
    assert done.returncode == 0 and "1,100 pictures to train on, 200 to test on" in done.stdout, done.stderr
    accuracy, wrong = re.search(r"test accuracy (\S+) \((\d+) of 200", done.stdout).groups()
    assert float(accuracy) > 0.9 and float(accuracy) == pytest.approx(1 - int(wrong) / 200, abs=1e-4)
    rows = re.findall(r"^(T-shirt|trousers|ankle boot) +(\d+\.\d)%", done.stdout, re.M)
    assert len(rows) == 3 and picture.read_bytes().startswith(b"\x89PNG")


def test_no_pictures_are_said(tmp_path):
    with pytest.raises(CourseError, match="apt-get install dataset-fashion-mnist"):
        fashion.command.main(["--folder", str(tmp_path)], standalone_mode=False)
