"""A chapter in a real JupyterLab in a real Chromium: opened by double click, an exercise solved wrong, then right.

Runs where Chromium and Playwright are. Screenshots go to TITO_SCREENSHOTS where that is set.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "for-the-test"
MODULE = "03_activations"
DEV = f"modules/source/{MODULE}/activations_dev.py"
DIRECTORIES = ("_CONFIG", "_DATA", "_RUNTIME", "LAB_WORKSPACES", "LAB_SETTINGS")  # not those of whoever runs the tests


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A copy of the course, in a directory with a space, with the chapter begun."""
    copy = tmp_path_factory.mktemp("a course") / "tinytorch"
    left_out = shutil.ignore_patterns(".git", ".venv*", ".tito", "__pycache__", ".ipynb_checkpoints")
    shutil.copytree(ROOT, copy, ignore=left_out)
    assert tito(copy, "start", MODULE).returncode == 0
    return copy


def tito(course, *arguments):
    environment = os.environ | {"PYTHONPATH": str(course)}
    return subprocess.run(
        [sys.executable, "-m", "tito", *arguments], cwd=course, env=environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def address(course):
    """JupyterLab as `tito jupyter` starts it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {f"JUPYTER{name}_DIR": str(course.parent / f"jupyter{name}") for name in DIRECTORIES}
    environment = os.environ | own | {"PYTHONPATH": str(course), "JUPYTER_TOKEN": TOKEN}
    command = [sys.executable, "-m", "tito", "jupyter", "--no-browser", "--port", str(port)]
    with open(course / "jupyter.log", "w") as log:
        server = subprocess.Popen(command, cwd=course, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/api/status?token={TOKEN}", server, course / "jupyter.log")
        yield address
    finally:
        server.terminate()
        server.wait(20)
        with pytest.raises(OSError):  # the server has gone with the command that started it
            urllib.request.urlopen(f"{address}/api/status?token={TOKEN}", timeout=2)


def wait_for(url, server, log):
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            return urllib.request.urlopen(url, timeout=2)
        except OSError:
            assert server.poll() is None, log.read_text()
            time.sleep(0.2)
    raise AssertionError(f"JupyterLab does not answer.\n{log.read_text()}")


@pytest.fixture
def page(browser, address):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(30_000)
    page.goto(f"{address}/lab?token={TOKEN}")
    yield page
    page.close()


class Notebook:
    """The notebook that is open, as a student uses it: scroll, click, type, press."""

    def __init__(self, page):
        self.page = page

    def cell(self, text):
        """The cell that holds a text, scrolled into view."""
        cell = self.page.locator(".jp-Notebook .jp-Cell", has_text=text).first
        scroller = self.page.locator(".jp-WindowedPanel-outer").first
        scroller.evaluate("panel => panel.scrollTop = 0")
        for _ in range(200):
            if cell.count():
                cell.scroll_into_view_if_needed()
                return cell
            scroller.evaluate("panel => panel.scrollTop += panel.clientHeight / 2")
            self.page.wait_for_timeout(60)
        raise AssertionError(f"no cell holds {text!r}")

    def replace_line(self, cell, line, with_text):
        """Click at the end of a line, delete the line, type another."""
        cell.locator(".cm-line", has_text=line).last.click()
        self.page.keyboard.press("End")
        self.page.keyboard.press("Shift+Home")
        self.page.keyboard.type(with_text)

    def run(self, cell):
        prompt = cell.locator(".jp-InputPrompt")
        before = prompt.inner_text()
        cell.locator(".cm-content").first.click()
        self.page.keyboard.press("Control+Enter")
        sync_api.expect(prompt).not_to_have_text(before)
        sync_api.expect(prompt).not_to_have_text("[*]:", timeout=60_000)

    def output(self, cell):
        self.page.wait_for_timeout(500)  # an output follows the number of its cell
        shown = cell.locator(".jp-Cell-outputArea .jp-OutputArea-output")
        return "\n".join(shown.all_inner_texts())


def picture(page, name):
    if directory := os.environ.get("TITO_SCREENSHOTS"):
        Path(directory).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(directory) / f"{name}.png"))


def test_an_exercise_solved_wrong_and_then_right(course, page):
    before = (course / DEV).read_text(encoding="utf-8")
    open_by_double_click(page)
    notebook = Notebook(page)
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    picture(page, "opened")
    run_above(page, notebook)

    exercise = notebook.cell("def relu(x, /)")
    notebook.replace_line(exercise, "raise NotImplementedError", "return abs(x)")
    notebook.run(exercise)
    test = notebook.cell("def test_relu()")
    notebook.run(test)
    told = notebook.output(test)
    picture(page, "wrong")
    assert "absolute value" in told, told
    assert "expected" in told and "Traceback" not in told, told

    exercise = notebook.cell("def relu(x, /)")
    notebook.replace_line(exercise, "return abs(x)", "return np.maximum(x, 0)")
    notebook.run(exercise)
    test = notebook.cell("def test_relu()")
    notebook.run(test)
    picture(page, "right")
    assert notebook.output(test).strip() == "passing: relu, The smallest bend"

    page.keyboard.press("Control+s")
    wanted = before.replace('raise NotImplementedError("exercise relu")', "return np.maximum(x, 0)")
    until = time.monotonic() + 20
    while (course / DEV).read_text(encoding="utf-8") != wanted and time.monotonic() < until:
        time.sleep(0.2)
    assert (course / DEV).read_text(encoding="utf-8") == wanted
    done = tito(course, "test", MODULE, "-k", "test_relu")
    assert done.returncode == 0, done.stdout + done.stderr


def open_by_double_click(page):
    page.locator(".jp-Launcher").wait_for()
    for part in DEV.split("/"):
        picture(page, f"opening {part}")
        page.locator(".jp-DirListing-item", has=page.get_by_text(part, exact=True)).dblclick()


def run_above(page, notebook):
    """Run > Run All Above Selected Cell, with the first exercise selected."""
    notebook.cell("def relu(x, /)").locator(".cm-content").first.click()
    page.locator(".lm-MenuBar-item", has_text="Run").first.click()
    page.locator(".lm-Menu-item", has_text="Run All Above Selected Cell").click()
    prompt = notebook.cell("import numpy as np").locator(".jp-InputPrompt")
    sync_api.expect(prompt).to_have_text(re.compile(r"\[\d+\]:"), timeout=120_000)
