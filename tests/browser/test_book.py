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
SHORT = COURSE.module("setup").dev_path.replace(".py", ".html")
OVERVIEW = f"modules/source/{COURSE.module('setup').id}/README.html"
WRITTEN = [f"book/{name}.html" for name in ("intro", "play", "tour", "api/autograd")]
OF_EACH_KIND = [CHAPTER, OVERVIEW, "genindex.html", *WRITTEN]


@pytest.fixture(scope="module")
def address(serving):
    with serving(SITE) as address:
        yield address


def watched(context):
    """A page that keeps what it asks for as `asked`, and the bytes that come for it as `sizes`."""
    page = context.new_page()
    page.asked, page.sizes = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    network.send("Network.setCacheDisabled", {"cacheDisabled": True})
    network.on("Network.loadingFinished", lambda event: page.sizes.append(event["encodedDataLength"]))
    return page


@pytest.fixture
def open_page(browser, address):
    """Opens a page in a fresh context."""
    contexts = []

    def opened(path, **options):
        contexts.append(browser.new_context(**options))
        page = watched(contexts[-1])
        page.goto(address + path)
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def visitor(browser, axe):
    """A page that goes through the site, and brings axe along."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.add_init_script(axe)
    yield watched(context)
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


# Looking at colours takes most of the time, and a chapter has ten thousand words of code in a few of them: of the texts
# that are alike in their element, their colours, their size and their place, one is looked at. Code in which there is
# none of these becomes plain text. "region" is never serious.
LOOK = """async () => {
  const ground = (element) => {
    while (element && getComputedStyle(element).backgroundColor === "rgba(0, 0, 0, 0)") element = element.parentElement;
    return element ? getComputedStyle(element).backgroundColor : "";
  };
  const place = (element) => element && `${element.tagName}.${element.className}`;
  const kind = (element) => {
    const { color, fontSize, fontWeight, opacity, textDecorationLine } = getComputedStyle(element);
    const style = [color, fontSize, fontWeight, opacity, textDecorationLine, ground(element)];
    return [place(element), place(element.parentElement), ...style].join();
  };
  const kinds = new Map();
  for (const element of document.body.querySelectorAll("*")) {
    const hasText = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (hasText && element.checkVisibility() && !kinds.has(kind(element))) kinds.set(kind(element), element);
  }
  const looked = [...kinds.values()];
  for (const code of document.querySelectorAll(".highlight pre")) {
    if (!looked.some((element) => code.contains(element))) code.textContent = code.textContent;
  }
  const colours = ["color-contrast", "link-in-text-block"];
  const others = Object.fromEntries([...colours, "region"].map((rule) => [rule, { enabled: false }]));
  const found = [
    await axe.run(document, { resultTypes: ["violations"], rules: others }),
    await axe.run({ include: looked }, { resultTypes: ["violations"], runOnly: colours }),
  ];
  return found.flatMap((part) => part.violations);
}"""


def barriers(page):
    return [
        f"{v['id']} ({v['impact']}): {json.dumps([n['html'][:120] for n in v['nodes'][:3]])}"
        for v in page.evaluate(LOOK)
        if v["impact"] in SERIOUS
    ]


def test_nothing_compiled_is_in_the_site():
    assert not [*SITE.rglob("*.pyc")]


@pytest.mark.parametrize("path", PAGES)
def test_no_page_has_a_barrier_or_asks_elsewhere_or_is_large(path, visitor, address):
    """What goes over the wire until the page is still and has been looked at, compressed as it is served."""
    visitor.asked.clear()
    visitor.sizes.clear()
    visitor.goto(address + path)
    assert not barriers(visitor)
    visitor.wait_for_load_state("networkidle")
    assert not [url for url in visitor.asked if not url.startswith((address, "data:"))]
    assert 10_000 < sum(visitor.sizes) < FIRST_SCREEN


@pytest.mark.parametrize("path", OF_EACH_KIND)
def test_nor_by_night(path, visitor, address):
    visitor.goto(address + path)
    visitor.emulate_media(color_scheme="dark")
    found = barriers(visitor)
    visitor.emulate_media(color_scheme="light")
    assert not found


@pytest.mark.parametrize("where", ["#furo-main-content p", ".highlight .k", ".cell_output pre", "aside.toc-drawer a"])
def test_a_pale_word_would_be_found(where, visitor, address):
    visitor.goto(address + SHORT)
    visitor.add_style_tag(content=f"{where} {{ color: #888 !important; background: #999 !important }}")
    assert [found.partition(" (")[0] for found in barriers(visitor)] == ["color-contrast"]


@pytest.mark.parametrize("path", [CHAPTER, "book/intro.html", "book/api/tensor.html", "book/pytorch.html"])
def test_no_window_needs_scrolling_sideways(path, open_page):
    page = open_page(path)
    for width in (390, 800, 1100, 1320, 1440, 1920):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_hints_and_solutions_are_folded_and_opened_by_keyboard(open_page):
    page = open_page(CHAPTER)
    hint = page.locator("details.sd-dropdown").first
    assert hint.get_attribute("open") is None
    hint.locator("summary").focus()
    page.keyboard.press("Enter")
    assert hint.get_attribute("open") is not None
    solution = page.locator("details.hide", has_text="A solution of").first
    assert solution.get_attribute("open") is None


@pytest.mark.parametrize("path", [CHAPTER, "book/intro.html"])
def test_backward_is_stepped_through_in_the_drawing(path, open_page):
    page = open_page(path)
    drawing = page.locator(".drawing:has([data-visit])").first
    steps = drawing.locator("xpath=following-sibling::div[contains(@class, 'steps')]").first
    boxes = drawing.locator("[data-visit]").count()
    known = drawing.locator("[data-gradient]:not(.unknown)")
    everything = known.count()
    steps.get_by_text("Next visit").click()
    assert "Visit 1 of" in steps.inner_text() and known.count() < everything
    steps.get_by_role("button", name="Back").click()
    assert drawing.locator(".later").count() == boxes and known.count() == 0
    assert steps.get_by_role("button", name="Back").get_attribute("aria-disabled") == "true"
    steps.get_by_text("Next visit").click()
    assert drawing.locator(".now").count() == 1 and "Visit 1 of" in steps.inner_text()
    for _ in range(boxes - 1):
        steps.get_by_text("Next visit").click()
    assert known.count() == everything and "Complete:" in steps.inner_text()
    assert drawing.locator("title").count() == 1 and drawing.locator("desc").count() == 1


@pytest.mark.parametrize("width", [390, 1366])
def test_plots_keep_their_proportions(width, open_page):
    page = open_page("book/tour.html", viewport={"width": width, "height": 844})
    pictures = page.locator(".cell_output img")
    for i in range(pictures.count()):
        pictures.nth(i).scroll_into_view_if_needed()
        page.wait_for_function("i => document.querySelectorAll('.cell_output img')[i].complete", arg=i)
        shown = pictures.nth(i).evaluate("p => (p.clientWidth - 8) / (p.clientHeight - 8)")  # without the padding
        assert abs(shown / pictures.nth(i).evaluate("p => p.naturalWidth / p.naturalHeight") - 1) < 0.05


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
