"""Fair timings: contestants take turns, the fastest of many runs counts, one thread each."""

import os
import subprocess
import sys
import time

from tito.environment import ONE_THREAD


def one_thread() -> None:
    """Hold every library to one thread. Before NumPy is imported."""
    for name in ONE_THREAD:
        os.environ[name] = "1"


def side_by_side(runs: dict, seconds: float) -> dict[str, float]:
    """Fastest time of each contestant, in seconds.

    Parameters
    ----------
    runs : dict of contestant to callable
    seconds : float
        About how long each contestant is measured in all. They take turns, so that a slow
        moment of the machine meets them alike. One that needs five times as long for a single
        run is run once only.
    """
    best, counts = {}, {}
    for name, run in runs.items():
        start = time.perf_counter()
        run()
        best[name] = first = time.perf_counter() - start
        counts[name] = max(1, min(1000, int(0.02 / max(first, 1e-7))))
    slow = {name for name, first in best.items() if first > 5 * seconds}
    spent, rounds = {name: 0.0 for name in runs if name not in slow}, 0
    while spent and (rounds < 3 or min(spent.values()) < seconds and rounds < 400):
        for name in spent:
            if spent[name] > 3 * seconds and rounds >= 3:
                continue
            start = time.perf_counter()
            for _ in range(counts[name]):
                runs[name]()
            elapsed = time.perf_counter() - start
            spent[name] += elapsed
            best[name] = min(best[name], elapsed / counts[name])
        rounds += 1
    return best


def peak_memory(workload: str, contestant: str) -> float | None:
    """Megabytes that a workload needs beyond what its imports and inputs take, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", workload, contestant]
    done = subprocess.run(command, capture_output=True, text=True)
    return float(done.stdout) if done.returncode == 0 and done.stdout.strip() else None


def import_seconds(module: str, runs: int = 7) -> float:
    """Fastest of some imports of a module by a fresh interpreter, less the interpreter's own start."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    code = f"import time; s = time.perf_counter(); import {module}; print(time.perf_counter() - s)"
    command = [sys.executable, "-c", code]
    times = [subprocess.run(command, capture_output=True, text=True, env=env).stdout for _ in range(runs)]
    return min(float(t) for t in times if t)
