"""Peak memory of one workload for one contestant: ``python -m benchmarks.memory WORKLOAD CONTESTANT``."""

import ctypes
import sys
from contextlib import suppress

from benchmarks.timing import one_thread


def peak_megabytes() -> float:
    """The most memory this process has held so far."""
    try:
        with open("/proc/self/status") as status:
            line = next(line for line in status if line.startswith("VmHWM"))
        return float(line.split()[1]) * 1024 / 1e6
    except OSError:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def forget_peak() -> None:
    """Give freed memory back and start the count of the peak anew, where the system can (Linux)."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError), open("/proc/self/clear_refs", "w") as control:
        control.write("5")


def main() -> None:
    one_thread()
    from benchmarks.workloads import WORKLOADS

    workload, contestant = sys.argv[1:]
    run = WORKLOADS[workload].runs[contestant]()
    forget_peak()
    before = peak_megabytes()
    run()
    print(peak_megabytes() - before)


if __name__ == "__main__":
    main()
