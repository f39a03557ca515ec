"""Import everything that the installed wheel holds, and see that it holds nothing else."""

import importlib
import importlib.metadata
import pkgutil

import tinytorch
import tinytorch.core

for module in pkgutil.iter_modules(tinytorch.core.__path__, "tinytorch.core."):
    importlib.import_module(module.name)
    print("imports", module.name)

installed = {distribution.name.lower() for distribution in importlib.metadata.distributions()}
assert installed <= {"tinytorch", "numpy", "pip", "setuptools"}, installed
top = {path.parts[0] for path in importlib.metadata.files("tinytorch")}
assert {name for name in top if not name.endswith(".dist-info")} == {"tinytorch"}, top
