"""The book's page "Try autograd now" in a real Chromium, with the real package on the browser's Python.

The page is the raw block of book/play.md with the files that it loads, behind a static server.
Screenshots go to TITO_SCREENSHOTS where that is set.
"""

import contextlib
import os
import re
import shutil
import sys
import time
from pathlib import Path

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

from tito import digits  # noqa: E402
from tito.book import play  # noqa: E402
from tito.course import Course  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
STARTED = 120_000  # milliseconds that a slow machine may take
WIDE = {"width": 1000, "height": 900}

sys.path.insert(0, str(ROOT / "book" / "_static" / "play"))
import session  # noqa: E402


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The page and what it loads, as they lie in the site."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "book" / "_static", folder / "_static")
    why = play.fetch(Course.find(ROOT), folder / "_static" / "pyodide")
    if why:
        pytest.skip(why)
    block = re.search(r"```\{raw\} html\n(.*?)```", (ROOT / "book" / "play.md").read_text(encoding="utf-8"), re.S)[1]
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += '<link rel="stylesheet" href="../_static/book.css">'
    (folder / "book").mkdir()
    (folder / "book" / "play.html").write_text(f"{head}<title>Try autograd now</title><body>{block}", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def address(site, serving):
    with serving(site) as address:
        yield address


@contextlib.contextmanager
def opened(browser, address):
    """The page before anything was pressed; what it asks for and complains of is looked at in the end."""
    page = browser.new_page(viewport=WIDE)
    page.set_default_timeout(30_000)
    page.asked, page.complaints = [], []
    page.context.on("request", lambda request: page.asked.append(request.url))
    page.on("console", lambda said: said.type == "error" and page.complaints.append(said.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(f"{address}book/play.html")
    sync_api.expect(page.locator("#play-start")).to_have_attribute("aria-disabled", "false")
    yield page
    own = [url for url in page.asked if "favicon" not in url]
    assert own and all(url.startswith((address, "blob:", "data:")) for url in own), own
    assert [said for said in page.complaints if "favicon" not in said and "404" not in said] == []
    page.close()


@pytest.fixture
def page(browser, address):
    with opened(browser, address) as page:
        yield page


@pytest.fixture(scope="module")
def with_python(browser, address):
    """A page on which Python was started once, since that takes seconds."""
    with opened(browser, address) as page:
        page.locator("#play-start").click()
        running(page)
        yield page


@pytest.fixture
def started(with_python):
    """That page with the first example computed, as it is after the start."""
    yield with_python
    with_python.set_viewport_size(WIDE)
    with_python.locator("#play-example").select_option(index=0)
    running(with_python)


def running(page):
    sync_api.expect(page.locator("#play-state")).to_contain_text("Python is running", timeout=STARTED)
    sync_api.expect(page.locator("#play-run")).to_have_attribute("aria-disabled", "false")


def figures(page):
    """The result and the gradients that the page shows, by name."""
    names = page.locator("#play-figures dt").all_inner_texts()
    return dict(zip(names, map(float, page.locator("#play-figures dd").all_inner_texts())))


def picture(page, name):
    if directory := os.environ.get("TITO_SCREENSHOTS"):
        Path(directory).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(directory) / f"{name}.png"), full_page=True)


def test_nothing_of_python_is_loaded_before_start(page, site):
    assert not [url for url in page.asked if "pyodide" in url and not url.endswith("available.json")]
    parts = [site / url.split("/", 3)[3] for url in page.asked if "favicon" not in url]
    assert sum(part.stat().st_size for part in parts) < 100_000


def test_the_expression_that_stands_there(started):
    sync_api.expect(started.locator("#play-figures dd").first).to_have_text("40")
    assert figures(started) == {"result": 40, "gradient of x": 13, "gradient of y": 5}
    assert "df/dx" in started.locator("#play-backward").inner_text()
    assert "visited" in started.locator("#play-graph svg").get_attribute("aria-label")
    picture(started, "expression")


SOURCE = "r = sqrt(x**2 + k*y**2)\nfor _ in range(3):\n    r = tanh(r) * y\nz = r + log(k)"
VALUES = {"x": 1.25, "k": 0.7, "y": -2.5}


def test_an_expression_that_is_typed(started):
    """Value and gradients are those of the Python that runs this test."""
    started.locator("#play-source").fill(SOURCE)
    sync_api.expect(started.locator("#play-input-k")).to_be_visible()
    for name, value in VALUES.items():
        started.locator(f"#play-input-{name}").fill(str(value))
    started.locator("#play-run").click()
    here = session.evaluate(SOURCE, VALUES)
    sync_api.expect(started.locator("#play-figures dt")).to_have_count(4)
    sync_api.expect(started.locator("#play-figures dd").first).to_have_text(re.compile(here["value"][:5]))
    wanted = {"result": float(here["value"])} | {f"gradient of {n}": float(g) for n, g in here["gradients"].items()}
    assert figures(started) == pytest.approx(wanted, rel=1e-6)
    assert started.locator("#play-backward").inner_text().splitlines() == here["backward"]


def test_every_example_gives_what_it_gives_here(started):
    options = started.locator("#play-example option")
    for i in range(options.count()):
        option = options.nth(i)
        values = dict(pair.split("=") for pair in option.get_attribute("data-values").split())
        here = session.evaluate(option.get_attribute("data-source"), {n: float(v) for n, v in values.items()})
        assert "error" not in here and list(here["gradients"]) == list(values)
        started.locator("#play-example").select_option(index=i)
        lines = started.locator("#play-backward")
        sync_api.expect(lines).to_have_text("\n".join(here["backward"]))
        assert started.locator("#play-figures dd").first.inner_text() == here["value"]


def test_the_steps_of_backward(started):
    told = started.locator(".steps span")
    started.get_by_role("button", name="From the start").click()
    sync_api.expect(told).to_have_text("Before backward")
    assert started.locator("#play-graph .later").count() == 3
    started.get_by_role("button", name="Next visit").click()
    sync_api.expect(told).to_contain_text("Visit 1 of 3: +")
    started.keyboard.press("ArrowRight")
    sync_api.expect(told).to_contain_text("Visit 2 of 3: ** 2")
    started.keyboard.press("ArrowLeft")
    sync_api.expect(told).to_contain_text("Visit 1 of 3")
    assert started.locator("#play-graph .later").count() == 2
    picture(started, "steps")


MISTAKES = [
    ("z = (x", "Line 1: this is not Python: '(' was never closed."),
    ("y = 2*x\nz = foo(y)", "Line 2: foo is neither an input nor a function that the course exports."),
    ("z = x @ x", "Line 1: ValueError: matmul: an input is a single number."),
]


def test_mistakes_are_told_in_words(started):
    for source, words in MISTAKES:
        started.locator("#play-source").fill(source)
        started.locator("#play-source").press("Control+Enter")
        sync_api.expect(started.locator("#play-error")).to_contain_text(words)
        assert not started.locator("#play-figures").is_visible()
    picture(started, "mistake")


def test_an_endless_loop_is_stopped(started):
    started.locator("#play-source").fill("while True:\n    x = x + 1\nz = x")
    started.locator("#play-source").press("Control+Enter")
    stop = started.locator("#play-stop")
    sync_api.expect(stop).to_have_attribute("aria-disabled", "false")
    stop.click()
    sync_api.expect(started.locator("#play-error")).to_contain_text("It was stopped")
    running(started)
    started.locator("#play-source").fill("z = x * 3")
    started.locator("#play-run").click()
    sync_api.expect(started.locator("#play-error")).to_be_hidden()
    assert figures(started)["gradient of x"] == 3


def test_a_training(started):
    """Its numbers are those of the same training here, up to rounding that grows over the epochs."""
    begun = time.perf_counter()
    run = session.begin()
    history = [session.epoch(run) for _ in range(digits.EPOCHS)]
    here, seconds = session.answers(run)["accuracy"], time.perf_counter() - begun
    started.locator("#play-train").click()
    sync_api.expect(started.locator("#play-curve polyline")).to_have_count(2)
    progress = started.locator("#play-progress")
    sync_api.expect(progress).to_contain_text("Finished after 60 epochs", timeout=STARTED)
    told = progress.inner_text()
    print(f"native {seconds:.1f} s, {here:.4f}; browser: {told}")
    assert float(re.search(r"([\d.]+)% correctly", told)[1]) / 100 == pytest.approx(here, abs=0.015)
    words = started.locator("#play-curve").get_attribute("aria-label")
    first, last = re.search(r"training digits from ([\d.]+) to ([\d.]+) in 60 epochs", words).groups()
    assert float(first) == pytest.approx(history[0]["loss"], abs=2e-3)
    assert float(last) == pytest.approx(history[-1]["loss"], rel=0.5)
    assert started.locator("#play-first canvas").count() == 10
    assert started.locator("#play-first canvas").nth(3).get_attribute("aria-label") == "A handwritten 3"
    picture(started, "training")


def test_a_training_is_stopped(started):
    started.locator("#play-train").click()
    sync_api.expect(started.locator("#play-curve polyline")).to_have_count(2)
    started.locator("#play-halt").click()
    progress = started.locator("#play-progress")
    sync_api.expect(progress).to_contain_text("Stopped after", timeout=STARTED)
    assert int(re.search(r"after (\d+) epochs", progress.inner_text())[1]) < 60
    assert started.locator("#play-answers").is_visible()
    sync_api.expect(started.locator("#play-train")).to_have_attribute("aria-disabled", "false")


def test_with_the_keyboard_alone(page):
    """Start, another example, another number, the steps, and a training, without the mouse."""

    def to(selector):
        for _ in range(30):
            if page.evaluate("selector => document.activeElement?.matches(selector)", selector):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not reach {selector}")

    to("#play-start")
    page.keyboard.press("Enter")
    running(page)
    to("#play-example")
    page.keyboard.press("ArrowDown")
    sync_api.expect(page.locator("#play-figures dt")).to_have_count(5)
    to("#play-input-w")
    page.keyboard.press("Control+a")
    page.keyboard.type("1.5")
    page.keyboard.press("Enter")
    sync_api.expect(page.locator("#play-figures dd").first).to_have_text("6.25")
    to(".steps button")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    sync_api.expect(page.locator(".steps span")).to_contain_text("Visit 1 of")
    to("#play-train")
    page.keyboard.press("Space")
    sync_api.expect(page.locator("#play-curve polyline")).to_have_count(2)
    to("#play-halt")
    page.keyboard.press("Space")
    sync_api.expect(page.locator("#play-progress")).to_contain_text(re.compile("Stopped|Finished"), timeout=STARTED)


def test_on_a_narrow_screen(started):
    started.set_viewport_size({"width": 360, "height": 740})
    sync_api.expect(started.locator("#play-graph svg")).to_be_visible()
    assert started.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_site_without_the_browsers_python(browser, address, site, tmp_path):
    page = browser.new_page()
    told = '{"missing": "There was no network."}'
    page.route("**/available.json", lambda route: route.fulfill(body=told, content_type="application/json"))
    page.goto(f"{address}book/play.html")
    sync_api.expect(page.locator("#play-note")).to_contain_text("There was no network.")
    assert page.locator("#play-start").get_attribute("aria-disabled") == "true"
    page.close()
