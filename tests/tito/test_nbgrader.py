"""nbgrader takes a chapter as it is: `tito notebook M --solutions` is its source notebook.

Runs where nbgrader is: TINYTORCH_NBGRADER names a Python that has it, and --slow makes an environment of its own.
"""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tito.course import Course

ROOT = Path(__file__).resolve().parents[2]
FIRST = "modules/source/01_first/first_dev.py"


@pytest.fixture(scope="module")
def nbgrader(request):
    """A Python that has nbgrader."""
    python = os.environ.get("TINYTORCH_NBGRADER")
    if python is None and request.config.getoption("--slow"):
        python = own_environment(ROOT / ".tito" / "cache" / "nbgrader")
    if python is None:
        pytest.skip("TINYTORCH_NBGRADER names no Python with nbgrader; --slow makes an environment")
    return python


def own_environment(directory):
    """An environment with the extra `nbgrader`, made once."""
    from tito.environment import requirements

    python, done = directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python"), directory / "complete"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, *requirements(ROOT, ("nbgrader",))], check=True)
        done.write_text("")
    return str(python)


class Class:
    """An nbgrader course, and its commands."""

    def __init__(self, root, python, package):
        self.root, self.python = root, python
        private = {"HOME": root / "home", "IPYTHONDIR": root / "home", "JUPYTER_RUNTIME_DIR": root / "home"}
        path = os.pathsep.join([str(Path(python).parent), os.environ.get("PATH", "")])  # nbgrader calls alembic
        paths = {"PYTHONPATH": str(package), "PATH": path}
        self.environment = {**os.environ, **{k: str(v) for k, v in private.items()}, **paths}
        for name in ("home", "source"):
            (root / name).mkdir(parents=True)
        (root / "nbgrader_config.py").write_text("c = get_config()\nc.CourseDirectory.course_id = 'course'\n")

    def run(self, *arguments):
        command = [self.python, "-m", "nbgrader", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8"}
        done = subprocess.run(command, cwd=self.root, env=self.environment, timeout=300, **pipes)
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    def notebook(self, *path):
        return json.loads(self.root.joinpath(*path).read_text(encoding="utf-8"))

    def submit(self, student, notebook, name="first"):
        file = self.root / "submitted" / student / name / f"{name}.ipynb"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(notebook), encoding="utf-8")

    def scores(self, student=""):
        """Points and possible points of each student, or of each assignment of one."""
        self.run("export", "--to", "grades.csv")
        with open(self.root / "grades.csv", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if student in ("", row["student_id"])]
        by = "assignment" if student else "student_id"
        return {row[by]: (float(row["score"]), float(row["max_score"])) for row in rows}


def code(notebook):
    return {cell["metadata"].get("nbgrader", {}).get("grade_id"): cell for cell in notebook["cells"]}


def text(cell):
    return "".join(cell["source"])


def test_assigned_and_graded(toy, nbgrader):
    hidden = '    ### BEGIN HIDDEN TESTS\n    check(Box(3).text(), "3")\n    ### END HIDDEN TESTS\n'
    toy.edit(FIRST, '    check(Box(2).text(), "2")\n', f'    check(Box(2).text(), "2")\n{hidden}')
    course = Class(toy.root.parent / "class", nbgrader, toy.root)
    source = course.root / "source" / "first" / "first.ipynb"
    source.parent.mkdir()
    toy.tito("notebook", "first", "--solutions", "--out", source)
    course.run("generate_assignment", "first", "--create")
    released, solved = (
        course.notebook("release", "first", "first.ipynb"),
        course.notebook("source", "first", "first.ipynb"),
    )
    everything = "\n".join(map(text, released["cells"]))
    assert everything.count("raise NotImplementedError()") == 3 and "SOLUTION" not in everything
    assert not [words for words in ("return x + x", "misconceptions", "Box(3)") if words in everything]

    course.submit("untouched", released)
    filled = course.notebook("release", "first", "first.ipynb")
    for name in ("double", "Box"):
        code(filled)[name]["source"] = text(code(solved)[name])
    course.submit("solved", filled)
    code(filled)["Box"]["source"] = text(code(solved)["Box"]).replace("return str(self.value)", 'return "2"')
    course.submit("guessing", filled)
    code(filled)["Box"]["source"] = text(code(solved)["Box"])
    code(filled)["double"]["source"] = text(code(solved)["double"]).replace("return x + x", "return x * x")
    course.submit("wrong", filled)
    code(filled)["test_double"]["source"] = "pass"
    course.submit("cheating", filled)
    course.run("autograde", "first", "--create")
    # x * x is wrong for 3 (2 points) and right for 2, which is all that Box's test tries
    reached = {"solved": 6, "guessing": 5, "wrong": 4, "cheating": 4, "untouched": 0}
    assert course.scores() == {student: (points, 6) for student, points in reached.items()}


def test_every_chapter(nbgrader, request, tmp_path):
    """Its solutions are worth all of its points."""
    if not request.config.getoption("--slow"):
        pytest.skip("takes a minute a chapter: --slow")
    checkout, course = Course.find(), Class(tmp_path / "class", nbgrader, ROOT)
    for module in checkout.modules:
        source = course.root / "source" / module.name / f"{module.name}.ipynb"
        source.parent.mkdir()
        tito = [sys.executable, "-m", "tito", "notebook", module.name, "--solutions", "--out", source]
        subprocess.run(tito, cwd=ROOT, check=True, capture_output=True)
        course.run("generate_assignment", module.name, "--create")
        course.submit("solved", json.loads(source.read_text(encoding="utf-8")), module.name)
        course.submit("untouched", course.notebook("release", module.name, source.name), module.name)
        course.run("autograde", module.name, "--create")
    points = {m.name: sum(test.points for test in m.chapter.tests) for m in checkout.modules}
    assert course.scores("solved") == {name: (all_of_it, all_of_it) for name, all_of_it in points.items()}
    assert course.scores("untouched") == {name: (0, all_of_it) for name, all_of_it in points.items()}
