"""JupyterLab, set up for the course."""

from __future__ import annotations

import os
import socket
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from tito.course import Course, Module
from tito.environment import Environment, SetupError
from tito.errors import CourseError


def need_jupyterlab(course: Course) -> None:
    """Install JupyterLab where it is missing and the environment is the course's own."""
    if find_spec("jupyterlab") and find_spec("ipykernel"):
        return
    own = Environment(course.root)
    if not own.entered:
        raise CourseError(
            f"JupyterLab is not installed for {sys.executable}.\n"
            "  bin/tito jupyter installs it in the course's own environment; "
            "or here: python -m pip install jupyterlab ipykernel"
        )
    try:
        own.prepare("jupyter")
    except SetupError as error:
        raise CourseError(str(error)) from error


def free_port(wanted: int, exact: bool) -> int:
    """The port, or, unless it was asked for exactly, the next free one."""
    for port in range(wanted, min(wanted + (1 if exact else 20), 65536)):
        if is_free(port):
            if port != wanted:
                click.echo(f"tito: port {wanted} is in use, so this is port {port}.", err=True)
            return port
    if exact:
        raise CourseError(
            f"port {wanted} is in use. Is JupyterLab running already? Or choose another: --port {wanted + 1}"
        )
    raise CourseError(f"ports {wanted} to {wanted + 19} are all in use: choose another with --port.")


def is_free(port: int) -> bool:
    """Whether a server could listen there on this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if os.name != "nt":  # on Windows this option would let two servers share a port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def command_line(course: Course, module: Module | None, port: int, no_browser: bool) -> list[str]:
    """The arguments for `python`."""
    line = ["-m", "jupyterlab", f"--ServerApp.root_dir={course.root}", f"--ServerApp.port={port}"]
    line += ["--ServerApp.port_retries=0"] + (["--no-browser"] if no_browser else [])
    if getattr(os, "geteuid", lambda: 1)() == 0:
        line.append("--allow-root")  # as in a container; it listens on this machine alone
    if module is not None:
        line.append(f"--LabApp.default_url=/lab/tree/{module.dev_path}")
    return line


def environment(course: Course) -> dict[str, str]:
    """The server's environment: the course's configuration, and the checkout on the path."""
    paths = {"JUPYTER_CONFIG_PATH": course.root / "etc" / "jupyter", "PYTHONPATH": course.root}
    return os.environ | {name: _first(path, os.environ.get(name)) for name, path in paths.items()}


def _first(path: Path, others: str | None) -> str:
    return os.pathsep.join([str(path), *filter(None, [others])])
