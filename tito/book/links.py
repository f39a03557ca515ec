"""Looks through a site that was built: every link and picture has to be there, and nothing comes from elsewhere."""

from __future__ import annotations

import os
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {("img", "src"), ("script", "src"), ("link", "href"), ("iframe", "src"), ("source", "src"), ("video", "src")}
NOT_LOADED = {"canonical", "next", "prev", "index", "search", "author", "license"}


class Reader(HTMLParser):
    """The names that a page can be entered by, what it leads to, and what it loads."""

    def __init__(self):
        super().__init__()
        self.anchors, self.links, self.loads, self.silent = set(), [], [], []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors |= {given[key] for key in ("id", "name") if given.get(key)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag == "img" and not (given.get("alt") or "").strip() and given.get("role") != "presentation":
            self.silent.append(given.get("src", ""))
        for key in ("src", "href"):
            if given.get(key) and (tag, key) in LOADED and given.get("rel") not in NOT_LOADED:
                self.loads.append(given[key])


def read(site: Path) -> dict[Path, Reader]:
    pages = {}
    for file in sorted(site.rglob("*.html")):
        if "_static" not in file.relative_to(site).parts:
            pages[file] = Reader()
            pages[file].feed(file.read_text(encoding="utf-8"))
    return pages


def dead(site: Path) -> list[str]:
    """What is wrong in a site, one line each: links that lead nowhere, files that are missing or foreign."""
    site = site.resolve()
    pages, wrong = read(site), []
    for file, page in pages.items():
        name = file.relative_to(site).as_posix()
        wrong += [f"{name} loads {target} from elsewhere" for target in page.loads if _foreign(target)]
        wrong += [f"{name} shows a picture without words: {target}" for target in page.silent]
        for target in dict.fromkeys(page.links + page.loads):
            if not _foreign(target) and not _found(file, target, pages):
                wrong.append(f"{name} leads to {target}, which is not there")
    return list(dict.fromkeys(wrong))


def _foreign(target: str) -> bool:
    parts = urlsplit(target)
    return bool(parts.scheme and parts.scheme != "data") or target.startswith("//")


def _found(file: Path, target: str, pages: dict[Path, Reader]) -> bool:
    parts = urlsplit(target)
    if parts.scheme == "data":
        return True
    place = Path(os.path.normpath(file.parent / unquote(parts.path))) if parts.path else file
    page = pages.get(place) or pages.get(place / "index.html")
    if page is None:
        return place.is_file()
    return not parts.fragment or unquote(parts.fragment) in page.anchors
