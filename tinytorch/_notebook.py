"""What a notebook's kernel is told: that a module changed on disk, and what a failing test cell means."""

import contextlib
import hashlib
import os
import sys

__all__ = ["changed", "explained", "install", "remember", "restart"]

_loaded = {}  # module's name -> (time of the file, digest of the file) when it was imported
_told = set()


def install(shell):
    """Watch the package's files, and look at every cell that was run.

    Parameters
    ----------
    shell : IPython.core.interactiveshell.InteractiveShell
    """
    shell.events.register("post_run_cell", lambda result=None: _ran(shell, result))
    shell.events.register("pre_run_cell", lambda *_: _remind())


def remember():
    """Note the files of the chapters' modules that were imported since the last time."""
    for name, module in list(sys.modules.items()):
        if name.startswith("tinytorch.core.") and name not in _loaded and getattr(module, "__file__", None):
            with contextlib.suppress(OSError):
                _loaded[name] = _state(module.__file__)


def changed():
    """The modules whose file is not what was imported.

    Returns
    -------
    list of str
    """
    return [name for name, (time, digest) in _loaded.items() if _differs(sys.modules.get(name), time, digest)]


def restart(names):
    """What to do about modules that changed; empty where none did.

    Parameters
    ----------
    names : list of str

    Returns
    -------
    str
    """
    if not names:
        return ""
    have = "has" if len(names) == 1 else "have"
    return f"{', '.join(names)} {have} changed since this notebook imported it: restart the kernel (Kernel > Restart)."


def explained(shell, error):
    """A few lines on an error that a chapter's test cell met, or None where it is another's.

    Parameters
    ----------
    shell : IPython.core.interactiveshell.InteractiveShell
    error : Exception

    Returns
    -------
    list of str or None
    """
    try:
        from tito.kernel import explain

        lines = explain(shell, error)
    except Exception:  # no course around, or no notes in it: then the traceback as it is
        return None
    stale = restart(changed())
    return [*lines, stale] if lines and stale else lines


def _ran(shell, result):
    """After a cell: a chapter's test cell that ended without an error is said to pass."""
    remember()
    if result is None or not result.success:
        return
    with contextlib.suppress(Exception):  # no course around: then nothing is said
        from tito.kernel import passed

        print(passed(result.info.raw_cell), end="")


def _remind():
    names = [name for name in changed() if name not in _told]
    _told.update(names)
    if names:
        print(restart(names), file=sys.stderr)


def _differs(module, time, digest):
    try:
        return os.stat(module.__file__).st_mtime_ns != time and _state(module.__file__)[1] != digest
    except (OSError, AttributeError):
        return False


def _state(file):
    with open(file, "rb") as opened:
        return os.stat(file).st_mtime_ns, hashlib.sha256(opened.read()).digest()
