"""``tito bench``: the table, and JSON where it is asked for."""

import argparse
import json
import os
import platform
import sys
from pathlib import Path

from benchmarks import peers
from benchmarks.timing import import_seconds, one_thread, peak_memory, side_by_side

ROOT = Path(__file__).resolve().parent.parent


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tito bench",
        description="Forward, backward and update, one thread each, side by side, as ratios to hand-written NumPy; "
        "then the command line, beside a bare Python and beside pytest alone.",
    )
    parser.add_argument("names", nargs="*", help="workloads to run; all without it")
    parser.add_argument("--list", action="store_true", help="say what workloads there are")
    parser.add_argument("--seconds", type=float, default=1.5, help="time spent on each contestant of a workload")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, - for standard output")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a gate is missed")
    parser.add_argument("--install-peers", action="store_true", help="first make .venv-peers with PyTorch and others")
    return parser.parse_args()


QUICK = 0.01  # seconds; of a run as short, where arrays happen to lie in memory makes some per cent of difference,
MORE_PREPARATIONS = 3  # so that it is prepared anew, and the best counts


def measure(workload, seconds: float) -> dict:
    """Ratios (or figures) of one workload."""
    if workload.kind == "command":
        return measure_command(workload, seconds)
    names = [name for name in peers.installed() if name in workload.runs]
    if workload.kind == "memory":
        figures = {name: peak_memory(workload.name, name) for name in names}
        return {"figures": figures, "unit": "MB", "gate": workload.gate, "aim": workload.aim}
    if workload.kind == "import":
        times = {name: import_seconds(module) for name, module in workload.runs.items() if name in names}
    else:
        prepared = [{name: workload.runs[name]() for name in names}]
        times = side_by_side(prepared[0], seconds)
        quick = [name for name, t in times.items() if t < QUICK]
        for _ in range(MORE_PREPARATIONS):
            prepared.append({name: workload.runs[name]() for name in quick})  # beside the earlier ones, so elsewhere
            again = side_by_side(prepared[-1], seconds / MORE_PREPARATIONS)
            times |= {name: min(t, times[name]) for name, t in again.items()}
    ratios = {name: t / times["numpy"] for name, t in times.items()}
    gates = {"gate": workload.gate, "aim": workload.aim, "beside": beside(ratios, workload.peer_gates)}
    return {"figures": ratios, "unit": "x", "numpy_seconds": times["numpy"]} | gates


def beside(ratios: dict, peer_gates: dict) -> dict:
    """TinyTorch's ratio to other contestants that are here and that it has to keep up with, and how large it may be."""
    return {peer: [ratios["tinytorch"] / ratios[peer], gate] for peer, gate in peer_gates.items() if peer in ratios}


def measure_command(workload, seconds: float) -> dict:
    """Ratio of a command of `tito` to its base; in the gate, the allowance has become a ratio too."""
    times = side_by_side({name: prepare() for name, prepare in workload.runs.items()}, seconds / 3)
    gate = workload.gate + workload.allowance / times["base"]
    figures = {"tito": times["tito"] / times["base"]}
    return {"figures": figures, "unit": "x", "base_seconds": times["base"], "gate": gate, "aim": None}


def verdict(result) -> str:
    ours = result["figures"].get("tinytorch", result["figures"].get("tito"))
    if ours is None or result["gate"] is None:
        return ""
    if any(ratio > gate for ratio, gate in result.get("beside", {}).values()):
        return "MISSED"
    if result["aim"] is not None and ours <= result["aim"]:
        return "aim"
    return "gate" if ours <= result["gate"] else "MISSED"


def row(name, result, contestants) -> str:
    base = " " * 13
    if "numpy_seconds" in result:
        base = f"{1e6 * result['numpy_seconds']:10.1f} us"
    elif "base_seconds" in result:
        base = f"{1e3 * result['base_seconds']:10.1f} ms"
    cells = []
    for c in contestants:
        value = result["figures"].get(c)
        figure = "-" if value is None else f"{value:.2f}" if result["unit"] == "x" else f"{value:.1f} MB"
        cells.append(f"{figure:>10}")
    gate = " ".join(f"{'' if bound is None else f'{bound:.3g}':>6}" for bound in (result["gate"], result["aim"]))
    compared = result.get("beside", {}).items()
    peers_told = "".join(f", {ratio:.2f} of {peer} (gate {bound:.3g})" for peer, (ratio, bound) in compared)
    return f"{name:14}{base}{''.join(cells)}  {gate}  {verdict(result)}{peers_told}"


def main() -> int:
    options = arguments()
    if options.install_peers:
        peers.install()
        sys.argv.remove("--install-peers")
    code = peers.run_there(sys.argv[1:])
    if code is not None:
        return code
    one_thread()
    from benchmarks.workloads import WORKLOADS

    if options.list:
        print("\n".join(f"{w.name:14}{w.title}" for w in WORKLOADS.values()))
        return 0
    unknown = [name for name in options.names if name not in WORKLOADS]
    if unknown:
        print(f"tito bench: there is no workload {unknown[0]!r}. There are: {', '.join(WORKLOADS)}.", file=sys.stderr)
        return 2
    contestants = peers.installed()
    print(f"{'':14}{'NumPy':>13}{''.join(f'{c:>10}' for c in contestants)}    gate    aim  tinytorch", flush=True)
    results = {}
    for name in options.names or WORKLOADS:
        command = WORKLOADS[name].kind == "command"
        if command and not any(WORKLOADS[earlier].kind == "command" for earlier in results):
            print(f"{'the command line':14}{'base':>11}{'tito':>10}    gate", flush=True)
        results[name] = measure(WORKLOADS[name], options.seconds)
        print(row(name, results[name], ["tito"] if command else contestants), flush=True)
    missing = [p for p in ("torch", "autograd", "mygrad", "micrograd") if p not in contestants]
    if missing:
        print(f"not installed: {', '.join(missing)}; tito bench --install-peers adds them", file=sys.stderr)
    if options.json:
        write_json(options.json, results)
    missed = [name for name, result in results.items() if verdict(result) == "MISSED"]
    return 1 if options.check and missed else 0


def write_json(target, results) -> None:
    system = {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}
    text = json.dumps({**system, "results": results}, indent=1)
    if target == "-":
        print(text)
    else:
        Path(target).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
