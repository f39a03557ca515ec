"""Each chapter, as it is handed out: its cells run, its blanks import, and its package stands on earlier chapters."""

import ast
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections import Counter

import pytest

from tito import feedback, notes, workspace
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


@pytest.fixture(scope="module")
def solved(copy, tmp_path_factory):
    """Another copy, with every chapter in progress."""
    root = tmp_path_factory.mktemp("solved")
    shutil.copytree(copy, root, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".tito"))
    for module in MODULES:
        shutil.copytree(module.directory, root / module.directory.relative_to(COURSE.root), dirs_exist_ok=True)
        workspace.start(Course(root), Course(root).module(module.name))
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
    notes.for_release(COURSE, module)  # all fingerprints in one process, another one, and kept
    for wrong in found:
        assert feedback.diagnose(COURSE, module, wrong["exercise"], wrong)["name"] == wrong["name"]


@each_chapter
def test_a_recorded_misconception_is_named_by_tito_test(module, solved, request):
    """Typed into the chapter by a student; with --slow every one of them, else one a chapter."""
    course = Course(solved)
    chapter = workspace.reference_chapter(course, course.module(module.name))
    wrongs = [(e, w) for e, note in chapter.notes().items() for w in note.get("misconceptions", ())]
    unnamed = {}
    for exercise, wrong in wrongs if request.config.getoption("--slow") else wrongs[-1:]:
        region = chapter.exercises[exercise]
        code = textwrap.indent(wrong["code"].rstrip() + "\n", region.indent)
        student = Course(solved).module(module.name)
        student.dev.write_text(workspace.with_region(chapter, region, code), encoding="utf-8")
        report = run(course, Course(solved).module(module.name), extra=False)
        outcome = next(o for o in report.outcomes if o.name == exercise)
        named = (outcome.failure or {}).get("mistake")
        if named != wrong["name"] or outcome.needs or len(feedback.lines("", outcome.failure)) > feedback.LINES:
            unnamed[exercise, wrong["name"]] = (named, outcome.state, outcome.needs)
    assert unnamed == {}
