"""What is measured. A workload says for each contestant how to make a callable that runs it once."""

from benchmarks.workloads import arrays, commands, networks, scalars, second_order, serving
from benchmarks.workloads.base import Workload

IMPORT = Workload(
    "import", "import of the package", {"numpy": "numpy", "tinytorch": "tinytorch.core.autograd", "torch": "torch",
    "autograd": "autograd", "mygrad": "mygrad", "micrograd": "micrograd.engine"}, gate=1.10, aim=1.04, kind="import",
)  # fmt: skip

ENGINE = (*scalars.WORKLOADS, *networks.WORKLOADS, *arrays.WORKLOADS, *second_order.WORKLOADS, IMPORT)
WORKLOADS = {w.name: w for w in (*ENGINE, *commands.WORKLOADS, *serving.WORKLOADS)}
