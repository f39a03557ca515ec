"""Writing files so that a reader, or a power cut, meets either the old text or the new."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


def write_atomically(path: Path, text: str | bytes) -> None:
    """Replace the contents of `path`, in one step, by `text`."""
    replace_all({path: text})


def replace_all(texts: dict[Path, str | bytes]) -> None:
    """Write every text beside its file first; only when all are on disk, put them in place."""
    waiting: list[tuple[str, Path]] = []
    try:
        for path, text in texts.items():
            waiting.append((_write_beside(path, text), path))
        for temporary, path in waiting:
            os.replace(temporary, path)
    finally:
        for temporary, _ in waiting:
            Path(temporary).unlink(missing_ok=True)


def read(path: Path) -> str:
    """The text of a file, with newlines as the course writes them."""
    return path.read_text(encoding="utf-8")


@contextlib.contextmanager
def locked(path: Path, waiting: str):
    """Hold the lock `path`; `waiting` is said where somebody else holds it.

    The system lets go of it when we end, however we end.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        _lock(lock, waiting)
        yield


def _lock(file, waiting: str) -> None:
    if os.name == "nt":
        import msvcrt
        import time

        while True:
            try:
                return msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
            except OSError:
                time.sleep(1)
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(waiting, file=sys.stderr, flush=True)
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        return  # a file system without locks: whoever works there is alone


def _write_beside(path: Path, text: str | bytes) -> str:
    import tempfile

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".new")
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode() if isinstance(text, str) else text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, path.stat().st_mode & 0o777 if path.exists() else 0o644)
    except OSError as error:  # a full disk
        Path(name).unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
    return name
