"""Runs chapters in kernels, cell by cell, so that what a page shows is what the chapter printed."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from importlib.metadata import version
from pathlib import Path

from tito.book.cells import Page
from tito.course import Course
from tito.environment import ONE_THREAD
from tito.errors import CourseError
from tito.files import read, write_atomically

SECONDS = 300  # for one cell
FIRST = "import sys; sys.path.extend({packages}); from tito.book import figures; figures.describe()"


def outputs(course: Course, pages: list[Page], say) -> dict[str, list[list[dict]]]:
    """What each code cell of each page gives, by the page's name, kept under all that it depends on.

    As many pages at once as the machine has cores; after them, one by one, those that need it to themselves.
    """
    given = {page.name: kept for page in pages if (kept := _kept(course, page)) is not None}
    return given | asyncio.run(_run_all(course, [page for page in pages if page.name not in given], say))


def peers(course: Course) -> list[str]:
    """Where the other frameworks are, if they are installed for this Python: behind all else on a kernel's path."""
    place = sysconfig.get_path("purelib", "venv", {"base": str(course.root / ".venv-peers")})
    return [place] if Path(place).exists() else []


async def _run_all(course: Course, pages: list[Page], say) -> dict[str, list[list[dict]]]:
    made, places = {}, asyncio.Semaphore(os.cpu_count() or 1)

    async def one(page):
        async with places:
            say(page.path)
            made[page.name] = await run(course, page)
            write_atomically(_place(course, page), json.dumps({"key": _key(course, page), "outputs": made[page.name]}))

    try:
        async with asyncio.TaskGroup() as group:
            for page in pages:
                if not page.alone:
                    group.create_task(one(page))
    except* CourseError as failed:
        raise failed.exceptions[0] from None
    for page in pages:
        if page.alone:
            await one(page)
    return made


def _kept(course: Course, page: Page) -> list[list[dict]] | None:
    """What the page gave when it ran last; None where that is not there, or what it depends on has changed."""
    try:
        found = json.loads(read(_place(course, page)))
        return found["outputs"] if found["key"] == _key(course, page) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _place(course: Course, page: Page) -> Path:
    return course.private / "cache" / "book" / f"{page.name}.json"


async def run(course: Course, page: Page) -> list[list[dict]]:
    """Run the code cells of a page in a kernel of their own, in an empty directory."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    sources = [FIRST.format(packages=peers(course)), *(cell.source for cell in page.code)]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    with tempfile.TemporaryDirectory() as folder:
        where = {"metadata": {"path": folder}}
        begun = []
        client = NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=where)
        client.on_cell_start = lambda cell, cell_index: begun.append(cell_index)
        try:
            # What cells write comes by message, so the kernel's own stderr is not shown.
            await client.async_execute(env=_environment(course), stderr=subprocess.DEVNULL)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            line = page.code[begun[-1] - 1].first if begun[1:] else 1
            raise CourseError(f"{page.path}:{line}: this cell failed while the book was made:\n{error}") from error
    return [json.loads(json.dumps(cell.outputs)) for cell in notebook.cells[1:]]


def _environment(course: Course) -> dict[str, str]:
    """Of the kernel: the checkout's package first, one thread, colours off."""
    changed = {"PYTHONPATH": str(course.root), "PYTHONUTF8": "1", "NO_COLOR": "1"}
    kept = {k: v for k, v in os.environ.items() if k != "MPLBACKEND"}  # the kernel shows figures by itself
    return {**kept, **changed, **dict.fromkeys(ONE_THREAD, "1")}


def _key(course: Course, page: Page) -> str:
    """Of the page's code, of how it runs, and of all that runs it."""
    code = "\0".join(cell.source for cell in page.code)
    return hashlib.sha256(f"{code}\0{page.alone}\0{_what_runs(course)}".encode()).hexdigest()


@functools.cache
def _what_runs(course: Course) -> str:
    """A digest of the package, of what prepares the kernel, and of the versions beneath."""
    digest = hashlib.sha256()
    for file in (*course.package_files(), Path(__file__).with_name("figures.py")):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    versions = [sys.version, *(version(name) for name in ("numpy", "matplotlib", "ipykernel"))]
    versions += [found.name for place in peers(course) for found in Path(place).glob("torch-*.dist-info")]
    digest.update(" ".join(versions).encode())
    return digest.hexdigest()
