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
