"""`tito demo digits`: what it prints is what it measured, and not converging is said."""

import re

import click
import pytest

from tito.demos import digits
from tito.errors import CourseError


def run(capsys, *arguments):
    status = digits.command.main(list(map(str, arguments)), standalone_mode=False)
    return status, capsys.readouterr()


def test_reads_digits(tmp_path, capsys):
    """One seed of the five that the demo is judged by; `tito demo digits --seeds 5` runs them all."""
    picture = tmp_path / "a folder" / "digits.png"
    status, output = run(capsys, "--picture", picture)
    accuracy, wrong = re.search(r"test accuracy (\S+) \((\d+) of 360", output.out).groups()
    assert status == 0 and float(accuracy) >= 0.96
    assert float(accuracy) == pytest.approx(1 - int(wrong) / 360, abs=1e-4)
    rows = re.findall(r"^ +\d  ((?: *(?:\d+|\.)){10})$", output.out, re.M)
    counts = [[0 if c == "." else int(c) for c in row.split()] for row in rows]
    assert len(counts) == 10 and sum(map(sum, counts)) == 360
    assert sum(counts[i][i] for i in range(10)) == 360 - int(wrong)
    assert int(re.search(r"([\d,]+) parameters", output.out)[1].replace(",", "")) <= 100_000
    assert picture.read_bytes().startswith(b"\x89PNG") and str(picture) in output.out
    assert "epoch 60 of 60" in output.err


def test_a_seed_gives_the_same_numbers(tmp_path, capsys):
    choices = ("--seed", 3, "--epochs", 3, "--picture", tmp_path / "x.png")
    without_time = [re.sub(r"in \S+ s", "", run(capsys, *choices)[1].out) for _ in range(2)]
    assert without_time[0] == without_time[1]


@pytest.mark.parametrize("rate", [1e-7, 1e9])
def test_not_converging_is_said(tmp_path, capsys, rate):
    status, output = run(capsys, "--learning-rate", rate, "--epochs", 2, "--seeds", 2, "--picture", tmp_path / "x.png")
    assert status == 1 and output.out.count("did not converge") == 3
    assert "did not converge: seed 0, 1" in output.out


def test_picture_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    status, output = run(capsys, "--epochs", 2, "--picture", tmp_path / "file" / "x.png")
    assert status == 1 and "Choose another place" in output.err and "test accuracy" in output.out


WRONG = [("--seed", "-1"), ("--seeds", "0"), ("--epochs", "many"), ("--learning-rate", "nan")]


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_use(wrong):
    with pytest.raises(click.UsageError) as caught:
        digits.command.main(list(wrong), standalone_mode=False)
    assert caught.value.exit_code == 2 and wrong[0] in caught.value.format_message()


def test_damaged_digits_are_said(monkeypatch):
    import tinytorch.core.dataloader

    def damaged():
        raise ValueError("digits.npz is damaged")

    monkeypatch.setattr(tinytorch.core.dataloader, "digits_split", damaged)
    with pytest.raises(CourseError, match="is damaged"):
        digits.command.main(["--epochs", "1"], standalone_mode=False)
