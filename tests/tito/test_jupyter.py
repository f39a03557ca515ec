"""A notebook stays open in JupyterLab while `tito` or an editor writes the chapter. A real server, over HTTP."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.conftest import ROOT
from tito import jupyter
from tito.attempts import is_work
from tito.course import Course

pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")

FIRST = "modules/source/01_first/first_dev.py"
BLANK = '    # YOUR CODE HERE\n    raise NotImplementedError("exercise double")\n'


class Server:
    """JupyterLab as `tito jupyter` starts it, and what a browser asks of it."""

    def __init__(self, checkout):
        course = Course(checkout.root)
        self.port = jupyter.free_port(18888, exact=False)
        line = jupyter.command_line(course, None, self.port, no_browser=True)
        more = ["--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True"]
        variables = jupyter.environment(course) | {"PYTHONPATH": str(ROOT)}
        self.said = checkout.root.parent / "server.log"
        with open(self.said, "w") as log:
            command = [sys.executable, *line, *more]
            self.process = subprocess.Popen(command, cwd=checkout.root, env=variables, stdout=log, stderr=log)
        over = time.monotonic() + 90
        while True:
            try:
                return self.ask("GET", "") and None
            except (urllib.error.URLError, ConnectionError):
                assert self.process.poll() is None and time.monotonic() < over, self.said.read_text()
                time.sleep(0.2)

    def ask(self, method, path, query="", model=None):
        address = f"http://127.0.0.1:{self.port}/api/contents/{quote(path)}{query}"
        data = json.dumps(model).encode() if model else None
        with urllib.request.urlopen(urllib.request.Request(address, data, method=method), timeout=60) as answer:
            return json.load(answer)

    def open(self, path=FIRST):
        return self.ask("GET", path, "?content=1&type=notebook")["content"]

    def save(self, notebook, path=FIRST):
        return self.ask("PUT", path, model={"type": "notebook", "format": "json", "content": notebook})

    def close(self):
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture
def begun(toy):
    shutil.copytree(ROOT / "etc", toy.root / "etc")
    toy.tito("start", "first")
    return toy


@pytest.fixture
def server(begun):
    server = Server(begun)
    yield server
    server.close()


def write_answer(notebook, answer):
    for cell in notebook["cells"]:
        cell["source"] = cell["source"].replace(BLANK, f"    {answer}\n")


def kept(checkout):
    """The work that is kept: all but the course's own text, as it was before `tito start`."""
    attempts = {Path(name): text for name, text in checkout.files().items() if name.startswith(".tito/attempts")}
    return [text.decode() for name, text in attempts.items() if is_work(name)]


def test_a_stale_notebook_destroys_nothing(begun, server):
    blanked = begun.read(FIRST)
    notebook = server.open()
    write_answer(notebook, "return x ** 3")
    server.save(notebook)
    mine = begun.read(FIRST)
    assert mine == blanked.replace(BLANK, "    return x ** 3\n") and not kept(begun)
    begun.tito("solution", "first")
    solved = begun.read(FIRST)
    write_answer(notebook, "")
    server.save(notebook)  # the browser knows nothing of the solution
    assert begun.read(FIRST) == mine and sorted(kept(begun)) == sorted([mine, solved])
    assert "tito undo 01_first brings it back" in server.said.read_text()
    assert "before save of an open notebook" in begun.tito("undo", "first", "--list")
    begun.tito("undo", "first")
    assert begun.read(FIRST) == solved


def test_saves_of_one_notebook_keep_nothing(begun, server):
    notebook = server.open()
    for answer in ("return 1", "return 2"):
        server.save(notebook)
        notebook = server.open()
        write_answer(notebook, answer)
    assert not kept(begun)
    begun.tito("reset", "first")
    server.save(server.open())
    assert len(kept(begun)) == 1  # by reset


def test_an_editor_and_a_notebook(begun, server):
    notebook = server.open()
    begun.edit(FIRST, BLANK, "    return 'from an editor'\n")
    edited = begun.read(FIRST)
    server.save(notebook)
    assert kept(begun) == [edited]


def test_a_notebook_that_outlived_its_server(begun, server):
    """After a restart the server has loaded nothing: what is on disk is kept, whoever wrote it."""
    notebook = server.open()
    server.close()
    begun.edit(FIRST, BLANK, "    return 3\n")
    edited = begun.read(FIRST)
    second = Server(begun)
    try:
        second.save(notebook)
    finally:
        second.close()
    assert kept(begun) == [edited]


def test_a_paired_notebook(begun, server):
    """"Pair notebook with py:percent": the .ipynb and the .py are saved together, and tito works on the .py."""
    path = FIRST.replace(".py", ".ipynb")
    notebook = server.open()
    notebook["metadata"].setdefault("jupytext", {})["formats"] = "ipynb,py:percent"
    server.save(notebook)
    assert begun.file(path).exists() and "formats: ipynb,py:percent" in begun.read(FIRST)
    notebook = server.open(path)
    write_answer(notebook, "return x + x")
    server.save(notebook, path)
    paired = begun.read(FIRST)
    assert "return x + x" in paired
    time.sleep(1.1)  # jupytext refuses a .py that seems to be as old as its notebook
    begun.tito("reset", "first")
    server.save(notebook, path)
    assert begun.read(FIRST) == paired and any(BLANK in text for text in kept(begun))
    time.sleep(1.1)
    begun.tito("undo", "first")
    assert BLANK in "".join(cell["source"] + "\n" for cell in server.open(path)["cells"])
    begun.tito("undo", "first")
    begun.tito("test", "first", status=1)
    begun.tito("export", "first")
    assert "return x + x" in begun.read("tinytorch/core/first.py")


def test_other_files_are_none_of_its_business(begun, server):
    for path in ("notes.txt", "other_dev.py", "modules/source/01_first/my_dev.py"):
        server.ask("PUT", path, model={"type": "file", "format": "text", "content": "one\n"})
        os.utime(begun.file(path))
        server.ask("PUT", path, model={"type": "file", "format": "text", "content": "two\n"})
        assert begun.read(path) == "two\n"
    assert not kept(begun)
