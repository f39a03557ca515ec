"""Each chapter, as it is handed out: its cells run, its blanks import, and its package stands on earlier chapters."""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections import Counter

import pytest

from tito import workspace
from tito.course import Course
from tito.runner import run

COURSE = Course.find()
MODULES = [module for module in COURSE.modules if not workspace.is_started(COURSE, module)]
each_chapter = pytest.mark.parametrize("module", MODULES, ids=[m.id for m in MODULES])


@each_chapter
def test_cells_run_in_order(module, tmp_path):
    """The chapter runs from its first cell to its last, demonstrations and tests included."""
    variables = {**os.environ, "PYTHONPATH": str(COURSE.root), "MPLBACKEND": "Agg", "PYTHONUTF8": "1"}
    command = [sys.executable, "-W", "error::SyntaxWarning", str(module.dev)]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, encoding="utf-8", timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


@each_chapter
def test_header_is_the_course_s(module):
    contributing = (COURSE.root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    header = contributing.partition("```python\n")[2].partition("```")[0]
    assert module.chapter.text.startswith(header)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the course to begin chapters in."""
    root = tmp_path_factory.mktemp("course")
    for name in ("modules", "tinytorch"):
        shutil.copytree(COURSE.root / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("settings.ini", "pyproject.toml"):
        shutil.copy(COURSE.root / name, root)
    return root


@each_chapter
def test_blanked_chapter_is_to_do(module, copy):
    """With its exercises blank the chapter imports, and not one of them passes."""
    course = Course(copy)
    assert workspace.start(course, course.module(module.name))
    report = run(Course(copy), Course(copy).module(module.name), extra=False)
    assert not report.broken, report.broken
    states = {o.name: o.state if not o.needs else "needs" for o in report.outcomes}
    assert set(states.values()) <= {"to do"}, states
    text = Course(copy).module(module.name).dev.read_text(encoding="utf-8")
    assert "misconceptions:" not in text and "hints:" not in text


@each_chapter
def test_package_imports_only_earlier_chapters(module):
    """Read from what was exported, inner imports included."""
    earlier = {m.name for m in COURSE.before(module)}
    tree = ast.parse((COURSE.package / "core" / f"{module.name}.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            assert node.module in earlier
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tinytorch.core."):
            assert node.module.removeprefix("tinytorch.core.") in earlier


def test_the_package_is_what_the_chapters_say():
    from tito import derived

    assert derived.check(COURSE, []) == 0


@each_chapter
def test_recorded_misconceptions_fail_each_in_its_own_way(module):
    """A wrong solution that passes, or that cannot be told from another, teaches nobody."""
    variables = {**os.environ, "PYTHONPATH": str(COURSE.root), "PYTHONSAFEPATH": "1", "MPLBACKEND": "Agg"}
    command = [sys.executable, "-m", "tito.misconceptions", module.name]
    done = subprocess.run(command, cwd=COURSE.root, env=variables, capture_output=True, encoding="utf-8", timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout)
    assert [wrong["name"] for wrong in found if not wrong["fails"]] == []
    ways = Counter((wrong["exercise"], wrong["call"], wrong["actual"]) for wrong in found)
    assert [way for way, count in ways.items() if count > 1] == []
