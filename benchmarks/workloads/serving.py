"""A digit over HTTP, beside calling the network: what `python -m tinytorch.serve` adds to a request.

The network is called in this process, the server runs in one of its own. Only where the course's interpreter has
the extra `serve`.
"""

import atexit
import contextlib
import functools
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec

from benchmarks.workloads.base import Workload
from benchmarks.workloads.commands import ROOT, python

NEEDED = "from importlib.util import find_spec as f; import sys; sys.exit(not (f('fastapi') and f('uvicorn')))"


def available() -> bool:
    """Whether the course's interpreter can serve."""
    if python() == sys.executable:
        return bool(find_spec("fastapi") and find_spec("uvicorn"))
    return subprocess.run([python(), "-c", NEEDED], capture_output=True).returncode == 0


@functools.cache
def served():
    """A registry with a version in use, and that version."""
    from tinytorch.core.dataloader import digits_split
    from tinytorch.core.mlops import Registry
    from tinytorch.core.networks import create_mlp

    folder = tempfile.mkdtemp(prefix="tinytorch-bench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    registry = Registry(folder)
    registry.promote(registry.register(create_mlp(64, [32], 10, rng=0), digits_split()[1].features))
    return registry, registry.current()


def called():
    """The network itself."""
    from tinytorch.core.mlops import class_probabilities

    version = served()[1]
    digit = version.reference[:1]
    return lambda: class_probabilities(version.model, digit)


def over_http():
    """The same digit, asked of a server; the connection is kept."""
    registry, version = served()
    command = [python(), "-m", "tinytorch.serve", str(registry.folder), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, encoding="utf-8")
    atexit.register(server.kill)
    connection = http.client.HTTPConnection(server.stdout.readline().split()[-1].removeprefix("http://"), timeout=20)
    body = json.dumps({"inputs": version.reference[:1].tolist()})

    def ask():
        connection.request("POST", "/predict", body)
        with contextlib.closing(connection.getresponse()) as response:
            if response.status != 200:
                raise RuntimeError(response.read().decode())
            return response.read()

    return ask


SERVING = Workload(
    "serve", "a digit over HTTP beside calling the network",
    {"base": called, "tito": over_http}, gate=1, allowance=0.002, kind="command",
)  # fmt: skip
WORKLOADS = [SERVING] if available() else []
