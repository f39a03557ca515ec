"""How chapters run for the book: what fails is named by its line, what is known is kept, who measures is alone."""

import asyncio
import json
import sys

import pytest

pytest.importorskip("nbclient", reason="nbclient is in the environment of the book")

from tito.book import execute
from tito.book.cells import Page
from tito.chapter import Chapter
from tito.course import Course
from tito.errors import CourseError

# Comes into a room, waits there for a second one, and says how many there were.
MEET = """
import time
from pathlib import Path
room, until = Path({room!r}), time.monotonic() + 60
(room / {name!r}).touch()
while len(list(room.iterdir())) < 2 and time.monotonic() < until:
    time.sleep(0.05)
print(len(list(room.iterdir())))
(room.parent / "left" / {name!r}).touch()
"""
LOOK = "from pathlib import Path\nprint(*sorted(file.name for file in Path({left!r}).iterdir()))"


@pytest.fixture
def course(tmp_path):
    (tmp_path / "tinytorch").mkdir()
    (tmp_path / "tinytorch" / "__init__.py").write_text("", encoding="utf-8")
    return Course(tmp_path)


def page(name, *cells, **options):
    text = "".join(f"# %%\n{cell}\n\n" for cell in cells)
    return Page(name, f"{name}_dev.py", Chapter(f"{name}_dev.py", text), **options)


def printed(outputs):
    return "".join(output.get("text", "") for outs in outputs for output in outs)


def test_a_cell_that_fails_is_named_by_its_line(course):
    with pytest.raises(CourseError, match=r"(?s)toy_dev\.py:5: this cell failed.*ZeroDivisionError"):
        asyncio.run(execute.run(course, page("toy", "x = 0", "print(1 / x)", "print(x)")))


def test_a_kernel_that_dies_is_told(course):
    with pytest.raises(CourseError, match=r"toy_dev\.py:2: this cell failed"):
        asyncio.run(execute.run(course, page("toy", "import os\nos._exit(1)")))


def test_what_did_not_change_is_not_run_again(course):
    said = []
    first = execute.outputs(course, [page("toy", "import time\nprint(time.time_ns())")], said.append)
    assert execute.outputs(course, [page("toy", "import time\nprint(time.time_ns())")], said.append) == first
    assert said == ["toy_dev.py"] and printed(first["toy"]).strip().isdigit()
    assert printed(execute.outputs(course, [page("toy", "print('new')")], said.append)["toy"]) == "new\n"
    kept = course.private / "cache" / "book" / "toy.json"
    kept.write_text(json.dumps({"key": ""}), encoding="utf-8")
    assert printed(execute.outputs(course, [page("toy", "print('new')")], said.append)["toy"]) == "new\n"
    assert said == ["toy_dev.py"] * 3


def test_other_frameworks_are_found_where_the_benchmarks_install_them_behind_all_else(course):
    asks = page("toy", "try:\n    import peer, numpy\n    print(peer.NAME, numpy.__name__)\nexcept ImportError:\n    print(None)")
    assert execute.peers(course) == []
    assert printed(asyncio.run(execute.run(course, asks))) == "None\n"
    packages = course.root / ".venv-peers" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "peer.py").write_text("NAME = 'theirs'", encoding="utf-8")
    (packages / "numpy.py").write_text("raise SystemExit('not the one of the book')", encoding="utf-8")
    assert printed(asyncio.run(execute.run(course, asks))) == "theirs numpy\n"


def test_chapters_run_side_by_side_and_who_measures_alone(course, monkeypatch):
    """One and two meet, whichever is faster; who measures finds that both have left."""
    monkeypatch.setattr(execute.os, "cpu_count", lambda: 2)
    room, left = course.root / "room", course.root / "left"
    room.mkdir()
    left.mkdir()
    others = [page(name, MEET.format(room=str(room), name=name)) for name in ("one", "two")]
    pages = [page("measuring", LOOK.format(left=str(left)), alone=True), *others]
    given = execute.outputs(course, pages, lambda line: None)
    said = {name: printed(outputs).split() for name, outputs in given.items()}
    assert said == {"one": ["2"], "two": ["2"], "measuring": ["one", "two"]}
