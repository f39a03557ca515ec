"""Submissions that mean harm cost their authors points, and nobody else anything."""

import json
import os
import re
import runpy
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from tito import workspace
from tito.chapter import Chapter

CORPUS = runpy.run_path(str(Path(__file__).with_name("hostile.py")))
CHEATS, HARMS, SOLVE = CORPUS["CHEATS"], CORPUS["HARMS"], CORPUS["SOLVE"]
FIRST = "modules/source/01_first/first_dev.py"
WHOLE, LAST = 6, 1  # points of the toy chapter, and of its last exercise
SETTINGS = {"test_seconds = 30": "test_seconds = 1", "chapter_seconds = 300": "chapter_seconds = 20"}
SETTINGS |= {"grading_memory_mb = 2048": "grading_memory_mb = 600"}


@pytest.fixture(scope="module")
def sandboxed(tmp_path_factory):
    """Whether this system has what the sandbox is made of, asked in a process of its own."""
    code = "import sys, json; from tito.grading import sandbox as s; work = sys.argv[1];"
    code += "lacks = s.lock_up(work, [sys.prefix, sys.base_prefix], 2048, 30); print(json.dumps(lacks))"
    command = [sys.executable, "-c", code, str(tmp_path_factory.mktemp("work"))]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True)
    lacks = json.loads(done.stdout)
    if any(lacks[name] for name in ("limits", "files", "calls")):
        pytest.skip(f"this system has no sandbox: {lacks}")


class Class:
    """A class that hands in, beside files that are none of its business."""

    def __init__(self, toy, folder):
        self.toy, self.folder, self.results = toy, folder / "handed in", folder / "results"
        self.outside, self.home, self.temporary = (folder / name for name in ("outside", "home", "tmp"))
        for directory in (self.folder, self.outside, self.home, self.temporary):
            directory.mkdir()
            (directory / "kept").write_text("kept")
        (self.folder / "kept").unlink()
        for old, new in SETTINGS.items():
            toy.edit("settings.ini", old, new)
        chapter = Chapter.read(toy.file(FIRST), FIRST)
        self.solved, self.blank = workspace.without_notes(chapter), workspace.blanked(chapter)
        self.hand_in("honest", self.solved)
        self.hand_in("blank", self.blank)
        self.hand_in("partly", self.solved.replace("return str(self.value)", "return repr(self)"))

    def hand_in(self, name, text, file="first_dev.py"):
        path = self.folder / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def cheat(self, code):
        """A blank chapter with code of one's own at its end."""
        return f"{self.blank}\n# %%\n#| export\n{SOLVE}\n{self.with_paths(code)}\n"

    def harm(self, code):
        """A chapter that is right but for its last exercise."""
        body = textwrap.indent(self.with_paths(code).strip(), " " * 8)
        return self.solved.replace("        return str(self.value)", body)

    def with_paths(self, code):
        paths = {"course": self.toy.root, "neighbour": self.folder / "honest", "results": self.results}
        for name, path in (paths | {"outside": self.outside}).items():
            code = code.replace(f"{{{name}}}", str(path))
        return code

    def everything(self):
        """All files there are, and what they hold, but for the results and the course's caches."""
        roots = (self.folder, self.outside, self.home, self.temporary)
        found = {str(p): p.read_bytes() for root in roots for p in sorted(root.rglob("*")) if p.is_file()}
        return found | self.toy.files()

    def grade(self, *options, status=0):
        places = {"HOME": str(self.home), "TMPDIR": str(self.temporary)}
        process = self.toy.begin("grade", self.folder, "--out", self.results, *options, **places)
        output = "".join(process.communicate(timeout=300))
        assert process.returncode == status, output
        return output

    def points(self):
        grades = json.loads((self.results / "grades.json").read_text(encoding="utf-8"))
        return {student["id"]: student["points"] for student in grades["students"]}


@pytest.fixture
def class_(toy, tmp_path):
    return Class(toy, tmp_path)


HONEST = {"honest": WHOLE, "blank": 0, "partly": WHOLE - LAST}


def left_behind(class_):
    """Processes that hold a directory of the graders."""
    found = subprocess.run(["ps", "-ww", "-eo", "pid,args"], capture_output=True, text=True).stdout.splitlines()
    return [line for line in found if str(class_.temporary) in line]


def names(corpus):
    return {re.sub(r"\W+", "-", name): code for name, code in corpus.items()}


def test_the_corpus_is_large():
    assert len(CHEATS) + len(HARMS) >= 60


def test_cheats_earn_nothing(sandboxed, class_):
    cheats = names(CHEATS)
    for name, code in cheats.items():
        class_.hand_in(name, class_.cheat(code))
    before = class_.everything()
    class_.grade()
    assert class_.points() == HONEST | dict.fromkeys(cheats, 0)
    assert class_.everything() == before and left_behind(class_) == []


def test_cheats_would_be_worth_it(class_):
    """Without the sandbox, what is forbidden works, and `solve()` has all points: so the corpus shows something."""
    reads = ("the reference on disk", "the package in the checkout", "the neighbour's submission", "a socket")
    reads += ("the neighbour's directory", "its own /proc", "a process", "a file outside")
    for name in reads:
        class_.hand_in(re.sub(r"\W+", "-", name), class_.cheat(CHEATS[name]))
    class_.grade("--unprotected")
    assert class_.points() == HONEST | {re.sub(r"\W+", "-", name): WHOLE for name in reads}


def test_harm_costs_its_author_alone(sandboxed, class_):
    harms = names(HARMS)
    for name, code in harms.items():
        class_.hand_in(name, class_.harm(code))
    before = class_.everything()
    class_.grade()
    assert class_.points() == HONEST | dict.fromkeys(harms, WHOLE - LAST)
    assert class_.everything() == before and left_behind(class_) == []


def test_harm_while_it_is_imported(sandboxed, class_):
    """Then no test can be run, and the others' are."""
    for name in ("an endless loop", "os._exit", "memory, bit by bit", "much to the judge"):
        code = class_.with_paths(HARMS[name])
        class_.hand_in(re.sub(r"\W+", "-", name), f"{class_.solved}\n# %%\n#| export\n{code}\n")
    class_.grade()
    assert {k: v for k, v in class_.points().items() if k in HONEST} == HONEST
    assert sum(class_.points().values()) == sum(HONEST.values()) and left_behind(class_) == []


def test_harmful_files(sandboxed, class_):
    solved = class_.solved.encode()
    notebook = '{"cells": ' + "[" * 100_000 + "]" * 100_000 + ', "note": "#| default_exp core.first"}'
    class_.hand_in("latin", class_.solved.replace("Twice the value", "Zweifach für").encode("latin-1"))
    class_.hand_in("nul", class_.solved.replace("x + x", "x +\0 x"))
    class_.hand_in("syntax", class_.solved.replace("def double(x):", "def double(x:"))
    class_.hand_in("parentheses", class_.cheat("(" * 50_000))
    class_.hand_in("operators", class_.cheat("x = " + "-" * 100_000 + "1"))
    class_.hand_in("notebook", notebook, "first_dev.ipynb")
    class_.hand_in("no notebook", "[1, 2", "first_dev.ipynb")
    class_.hand_in("large", solved + b"#" * 10_000_000)
    class_.hand_in("deep", solved, "/".join(["d"] * 40) + "/first_dev.py")
    class_.hand_in("wrong chapter", "# %%\n#| default_exp core.ninth\n")
    (class_.folder / "empty").mkdir()
    (class_.folder / "a folder" / "first_dev.py").mkdir(parents=True)
    (class_.folder / "link").mkdir()
    (class_.folder / "link" / "first_dev.py").symlink_to(class_.folder / "honest" / "first_dev.py")
    (class_.folder / "linked").symlink_to(class_.folder / "honest")
    (class_.folder / "pipe").mkdir()
    os.mkfifo(class_.folder / "pipe" / "first_dev.py")
    output = class_.grade(status=1)
    points = class_.points()
    assert {name for name, earned in points.items() if earned} == {"honest", "partly"}
    assert "linked" not in points and len(points) == 17
    assert "nothing to grade: empty" in output and "nothing to grade: link" in output
    page = (class_.results / "feedback" / "syntax.html").read_text(encoding="utf-8")
    line = class_.solved.splitlines().index("def double(x):") + 1
    assert f"no test was reached, line {line}:" in page and "SyntaxError" in page
    for name, why in (("latin", "not text in UTF-8 (byte"), ("no notebook", "not a Jupyter notebook of version 4")):
        assert why in next((class_.results / "feedback").glob(f"{name.replace(' ', '_')}*")).read_text(encoding="utf-8")
    page = (class_.results / "feedback" / "link.html").read_text(encoding="utf-8")
    assert "first_dev.py is a link, and was not followed" in page


def test_harmful_archives(sandboxed, class_):
    def archive(name, *members, level=zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(class_.folder / f"{name}.zip", "w", level) as file:
            for member, content in members:
                file.writestr(member, content)

    link = zipfile.ZipInfo("first_dev.py")
    link.external_attr = 0o120777 << 16
    archive("good", ("work/first_dev.py", class_.solved))
    archive("traversal", ("../honest/first_dev.py", class_.blank), ("/first_dev.py", class_.solved))
    archive("link", (link, str(class_.folder / "honest" / "first_dev.py")))
    archive("bomb", ("first_dev.py", class_.solved + "\n" * 300_000_000))
    archive("bombs", *((f"{n}/first_dev.py", bytes(6_000_000)) for n in range(60)))
    archive("many", *((f"{n}.py", "") for n in range(5000)))
    archive("list", *((str(n), "") for n in range(25_000)))
    archive("packed otherwise", ("first_dev.py", class_.solved), level=zipfile.ZIP_LZMA)
    archive("in another", ("inner.zip", (class_.folder / "good.zip").read_bytes()))
    (class_.folder / "broken.zip").write_bytes((class_.folder / "good.zip").read_bytes()[:-30])
    (class_.folder / "text.zip").write_text("this is no archive")
    before = class_.everything()
    class_.grade(status=1)
    points = class_.points()
    whole = dict.fromkeys(("honest", "good", "in another"), WHOLE)
    assert {n: p for n, p in points.items() if p} == whole | {"partly": WHOLE - LAST}
    assert len(points) == 14 and class_.everything() == before
    assert "leads out of its archive" in (class_.results / "feedback" / "traversal.html").read_text(encoding="utf-8")


def test_names_and_texts_stay_texts(sandboxed, class_):
    """A name is no formula to a spreadsheet, and what a student's code says is no markup."""
    script = "<script>alert(1)</script>\u202e"
    class_.hand_in("=cmd|'calc'!A0", class_.harm(f"raise ValueError({script!r})"))
    class_.hand_in("學生 Ünïcode", class_.solved)
    class_.grade()
    table = (class_.results / "grades.csv").read_text(encoding="utf-8")
    assert "\n\"'=cmd|'calc'!A0\",\"'=cmd|" in table and "學生 Ünïcode,學生 Ünïcode,3,2,1,0,6,6" in table
    pages = [p.read_text(encoding="utf-8") for p in class_.results.rglob("*.html")]
    assert any("&lt;script&gt;" in page for page in pages)
    assert not any("<script" in page or "\u202e" in page or "http" in page.replace("http-equiv", "") for page in pages)
