"""The book in a real Chromium: nothing from elsewhere, no barrier, small to begin with, and its folds and steps work.

Reads the site in _build/html (or in TITO_BOOK), which `tito book build` makes, and axe-core from the npm registry.
"""

import io
import json
import os
import tarfile
import urllib.request
from pathlib import Path

import pytest

from tito.course import Course

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

COURSE = Course.find()
SITE = Path(os.environ.get("TITO_BOOK") or COURSE.root / "_build" / "html")
REGISTRY = os.environ.get("NPM_CONFIG_REGISTRY", "https://registry.npmjs.org").rstrip("/")
AXE = "4.10.3"
FIRST_SCREEN = 300_000  # bytes
SERIOUS = {"serious", "critical"}
pytestmark = pytest.mark.skipif(
    not (SITE / "objects.inv").exists(), reason="the book is not built: tito book build"
)
FILES = sorted(p for p in SITE.rglob("*.html") if "_static" not in p.parts)
LEADS_ON = 'http-equiv="refresh"'  # index.html: it shows nothing, and is gone before it can be looked at
PAGES = [p.relative_to(SITE).as_posix() for p in FILES if LEADS_ON not in p.read_text(encoding="utf-8").lower()]
CHAPTER = COURSE.module("autograd").dev_path.replace(".py", ".html")


@pytest.fixture(scope="module")
def address(serving):
    with serving(SITE) as address:
        yield address


@pytest.fixture
def open_page(browser, address):
    """Opens a page in a fresh context; the requests that it makes are kept as `page.asked`."""
    contexts = []

    def opened(path, **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(address + path)
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def axe():
    """The source of axe-core, an accessibility checker."""
    kept = COURSE.private / "cache" / f"axe-core-{AXE}.js"
    if not kept.exists():
        with urllib.request.urlopen(f"{REGISTRY}/axe-core/-/axe-core-{AXE}.tgz", timeout=60) as answer:
            packed = io.BytesIO(answer.read())
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=packed) as files:
            kept.write_bytes(files.extractfile("package/axe.min.js").read())
    return kept.read_text(encoding="utf-8")


def barriers(page, axe):
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [
        f"{v['id']} ({v['impact']}): {json.dumps([n['html'][:120] for n in v['nodes'][:3]])}"
        for v in found
        if v["impact"] in SERIOUS
    ]


@pytest.mark.parametrize("path", PAGES)
def test_no_page_has_a_barrier_or_asks_elsewhere(path, open_page, address, axe):
    page = open_page(path)
    assert not barriers(page, axe)
    assert not [url for url in page.asked if not url.startswith((address, "data:"))]


@pytest.mark.parametrize("path", [CHAPTER, "book/intro.html", "book/api/autograd.html"])
def test_nor_by_night(path, open_page, axe):
    assert not barriers(open_page(path, color_scheme="dark"), axe)


@pytest.mark.parametrize("path", [page for page in PAGES if page.endswith("_dev.html") or page == "book/intro.html"])
def test_first_screen_is_small(path, browser, address):
    """What goes over the wire until the page is still, compressed as it is served."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page, sizes = context.new_page(), []
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    network.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto(address + path, wait_until="networkidle")
    context.close()
    assert 10_000 < sum(sizes) < FIRST_SCREEN


@pytest.mark.parametrize("path", [CHAPTER, "book/intro.html", "book/api/tensor.html"])
def test_a_phone_needs_no_scrolling_sideways(path, open_page):
    page = open_page(path, viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_hints_and_solutions_are_folded_and_opened_by_keyboard(open_page):
    page = open_page(CHAPTER)
    hint = page.locator("details.sd-dropdown").first
    assert hint.get_attribute("open") is None
    hint.locator("summary").focus()
    page.keyboard.press("Enter")
    assert hint.get_attribute("open") is not None
    solution = page.locator("details.hide", has_text="A solution of").first
    assert solution.get_attribute("open") is None


def test_backward_is_stepped_through_in_the_drawing(open_page):
    page = open_page(CHAPTER)
    drawing = page.locator(".drawing:has([data-visit])").first
    steps = drawing.locator("xpath=following-sibling::div[contains(@class, 'steps')]").first
    boxes = drawing.locator("[data-visit]").count()
    steps.get_by_text("From the start").click()
    assert drawing.locator(".later").count() == boxes
    steps.get_by_text("Next visit").click()
    assert drawing.locator(".now").count() == 1 and "Visit 1 of" in steps.inner_text()
    assert drawing.locator("title").count() == 1 and drawing.locator("desc").count() == 1


def test_the_first_address_leads_to_the_introduction(open_page, address):
    page = open_page("")
    page.wait_for_url(f"{address}book/intro.html")


def test_search_finds(open_page):
    page = open_page("search.html?q=unbroadcast")
    page.wait_for_selector("#search-results li", timeout=20_000)
    assert "Autograd" in page.locator("#search-results").inner_text()


def test_formulas_are_drawn(open_page):
    page = open_page(COURSE.module("activations").dev_path.replace(".py", ".html"))
    box = page.locator("div.math math").first.bounding_box()
    assert box["width"] > 50 and box["height"] > 20
