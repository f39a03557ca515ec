"""`tito demo compression`: the table of what it measured, a picture, and what is missing is said."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tito.demos import compression
from tito.errors import CourseError

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(
    r"^(.{34}) +([\d,]+) bytes +([\d.]+) times smaller +accuracy ([\d.]+) +one +\d+ us +all +[\d.]+ ms$", re.M
)


def run(*arguments):
    """The demo in a process of its own, where it chooses how many threads there are."""
    command = [sys.executable, "-P", "-m", "tito", "demo", "compression", *map(str, arguments)]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, encoding="utf-8", timeout=600)


@pytest.mark.parametrize("network, epochs", [("dense", 10), ("convolutions", 4)])
def test_a_table_and_a_picture(tmp_path, network, epochs):
    picture = tmp_path / "a folder" / "c.png"
    done = run("--network", network, "--epochs", epochs, "--tuning", 2, "--picture", picture)
    assert done.returncode == 0 and picture.read_bytes().startswith(b"\x89PNG"), done.stderr
    assert str(picture) in done.stdout
    found = ROW.findall(done.stdout)
    rows = {name.strip(): (int(size.replace(",", "")), *map(float, numbers)) for name, size, *numbers in found}
    whole, _, accuracy = rows["float32"]
    assert len(rows) >= 8 and accuracy > 0.93
    for name, (size, times, _) in rows.items():
        assert times == pytest.approx(whole / size, abs=0.06) and (size < whole or name == "float32")
    assert abs(rows["int8, a scale for each unit"][2] - accuracy) < 0.012
    student, both = (rows[f"a quarter as wide, distilled{kind}"] for kind in ("", ", int8"))
    assert both[0] < student[0] < whole / 2 and min(student[2], both[2]) > 0.8


def test_data_that_is_not_there(monkeypatch):
    import tinytorch.core.dataloader

    def missing():
        raise FileNotFoundError("load_fashion_mnist: there is no file")

    monkeypatch.setattr(tinytorch.core.dataloader, "load_fashion_mnist", missing)
    with pytest.raises(CourseError, match="there is no file"):
        compression.command.main(["--data", "fashion-mnist"], standalone_mode=False)


@pytest.mark.parametrize("wrong", [("--data", "cats"), ("--network", "deep"), ("--epochs", "0"), ("--seed", "-1")])
def test_wrong_use(wrong):
    with pytest.raises(click.UsageError) as caught:
        compression.command.main(list(wrong), standalone_mode=False)
    assert caught.value.exit_code == 2 and wrong[0] in caught.value.format_message()


def test_picture_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    rows = {"float32": {"bytes": 100, "accuracy": 0.9}, "int8": {"bytes": 30, "accuracy": 0.9}}
    assert not compression.draw(rows, tmp_path / "file" / "x.png")
    assert "Choose another place" in capsys.readouterr().err
