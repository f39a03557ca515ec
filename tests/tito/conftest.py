"""A class that hands in the toy course's first chapter."""

import json
import sys

import pytest

from tito import workspace
from tito.chapter import Chapter

FIRST = "modules/source/01_first/first_dev.py"


class Grading:
    """Submissions to the toy course, `tito grade`, and what came of it."""

    def __init__(self, toy):
        self.toy, self.folder, self.results = toy, toy.file("../handed in"), toy.file("../results")
        chapter = Chapter.read(toy.file(FIRST), FIRST)
        self.solved, self.blank = workspace.without_notes(chapter), workspace.blanked(chapter)
        self.folder.mkdir()

    def hand_in(self, path, content):
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())

    def right_but(self, code):
        """A chapter that is right but for its last exercise, worth 1 of 6 points."""
        return self.solved.replace("return str(self.value)", code)

    def grade(self, *options, status=0):
        return self.toy.tito("grade", self.folder, "--out", self.results, *options, status=status)

    def begin(self, *options, **environment):
        return self.toy.begin("grade", self.folder, "--out", self.results, *options, **environment)

    def data(self):
        return json.loads((self.results / "grades.json").read_text(encoding="utf-8"))

    def marks(self):
        return {student["id"]: student for student in self.data()["students"]}

    def points(self):
        return {id: student["points"] for id, student in self.marks().items()}

    def exercise(self, id, name):
        modules = self.marks()[id]["modules"]
        return next(e for module in modules for e in module["exercises"] if e["name"] == name)

    def page(self, id):
        return (self.results / "feedback" / f"{self.marks()[id]['file']}.html").read_text(encoding="utf-8")


@pytest.fixture
def grading(toy):
    if sys.platform != "linux":
        pytest.skip("only Linux grades protected")
    return Grading(toy)
