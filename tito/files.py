"""Writing files so that a reader, or a power cut, meets either the old text or the new."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Replace the contents of `path`, in one step, by `text`."""
    replace_all({path: text})


def replace_all(texts: dict[Path, str]) -> None:
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


def _write_beside(path: Path, text: str) -> str:
    import tempfile

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".new")
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from error
    with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(name, path.stat().st_mode & 0o777 if path.exists() else 0o644)
    return name
