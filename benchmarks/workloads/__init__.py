"""What is measured. A workload says for each contestant how to make a callable that runs it once."""

from benchmarks.workloads import arrays, commands, compression, networks, pictures, scalars, second_order, serving
from benchmarks.workloads.base import Workload

IMPORT = Workload(
    "import", "import of the package", {"numpy": "numpy", "tinytorch": "tinytorch.core.autograd", "torch": "torch",
    "autograd": "autograd", "mygrad": "mygrad", "micrograd": "micrograd.engine"}, gate=1.10, aim=1.04, kind="import",
)  # fmt: skip

ENGINE = (
    *scalars.WORKLOADS, *networks.WORKLOADS, *pictures.WORKLOADS, *arrays.WORKLOADS, *second_order.WORKLOADS, IMPORT,
)  # fmt: skip
WORKLOADS = {w.name: w for w in (*ENGINE, *compression.WORKLOADS, *commands.WORKLOADS, *serving.WORKLOADS)}
