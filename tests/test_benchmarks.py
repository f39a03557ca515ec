"""`python -m benchmarks` measures what it says: ratios of times, and megabytes."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_a_ratio_and_a_memory(tmp_path):
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "scalar", "chain-memory", "--seconds", "0.01", "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = json.loads(file.read_text(encoding="utf-8"))["results"]
    assert results["scalar"]["unit"] == "x" and results["scalar"]["figures"]["tinytorch"] > 1
    memory = results["chain-memory"]
    assert memory["unit"] == "MB" and 1 < memory["figures"]["tinytorch"] < memory["gate"]


def test_a_workload_keeps_up_with_another_contestant_where_it_is_installed():
    from benchmarks.__main__ import beside, row, verdict

    result = {"unit": "x", "gate": 1.0, "aim": 0.8, "figures": {"numpy": 1.0, "tinytorch": 0.75, "torch": 0.5}}
    assert verdict(result) == "aim"
    assert verdict(result | {"beside": beside(result["figures"], {"torch": 1.6})}) == "aim"
    late = result | {"beside": beside(result["figures"], {"torch": 1.2})}
    assert verdict(late) == "MISSED" and "MISSED, 1.50 of torch (gate 1.2)" in row("lenet", late, ["torch"])
    assert beside({"numpy": 1.0, "tinytorch": 0.75}, {"torch": 1.2}) == {}


def test_lenet_computes_what_numpy_computes():
    from benchmarks.workloads.pictures import lenet_numpy, lenet_tinytorch

    ours, theirs = lenet_tinytorch(), lenet_numpy()
    losses = [(ours().item(), float(theirs())) for _ in range(5)]
    assert all(abs(a - b) < 1e-4 for a, b in losses) and losses[-1][0] < losses[0][0]
