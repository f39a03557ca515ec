"""The real Chromium that the tests of this folder drive.

`tito` finds Chromium through TITO_CHROMIUM or on the path.
"""

import contextlib
import os
import shutil
import threading

import pytest

from tito.book import server

CHROMIUM = os.environ.get("TITO_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
UNUSED = ("gpu", "background-networking", "component-update", "sync")
QUIET = ["--no-sandbox", *(f"--disable-{what}" for what in UNUSED)]


def pytest_collection_modifyitems(items):
    for item in items:
        if not CHROMIUM and item.path.parent.name == "browser":
            item.add_marker(pytest.mark.skip(reason="no Chromium here"))


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def serving():
    """A context in which a folder is served as the book is; gives the address."""

    @contextlib.contextmanager
    def served(folder):
        with server.make(folder, 0) as site:
            threading.Thread(target=site.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{site.server_port}/"
            site.shutdown()

    return served
