# Use the course's environment in this PowerShell:
#
#   . bin/activate-tinytorch.ps1
#
# `python` is then the one that has tinytorch, `tito` works from any directory, and `deactivate` ends it.
# The first time, this makes the environment.

$root = Split-Path -Parent $PSScriptRoot
python (Join-Path $root "bin/tito") --version | Out-Null
if ($LASTEXITCODE -ne 0) { return }

$scripts = if (Test-Path (Join-Path $root ".venv/Scripts")) { "Scripts" } else { "bin" }
. (Join-Path $root ".venv/$scripts/Activate.ps1")

$env:JUPYTER_CONFIG_PATH = Join-Path $root "etc/jupyter"
$global:TinyTorchRoot = $root
function global:tito { python (Join-Path $global:TinyTorchRoot "bin/tito") @args }
