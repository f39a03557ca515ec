"""Blank exercises, and work without its reference, are never taken for the course's own version."""

import json
import re
import shutil

import pytest

from tests.conftest import ROOT, Checkout
from tests.tito.test_update import git

FIRST = "modules/source/01_first/first_dev.py"
CORE = "tinytorch/core/first.py"
REFERENCE = ".tito/reference/first/first_dev.py"


@pytest.fixture
def lost(toy):
    """A chapter in progress whose `.tito` is gone."""
    toy.tito("start", "first")
    toy.tito("solution", "first", "Box_text")
    toy.mine = toy.read(FIRST)
    shutil.rmtree(toy.file(".tito"))
    return toy


@pytest.fixture
def cloned(toy):
    """The same in a git checkout: a commit of the course, one of the work."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    shutil.copy(ROOT / ".gitignore", toy.root)
    git(toy.root, "init")
    git(toy.root, "add", "--all")
    git(toy.root, "commit", "-m", "the course")
    toy.course = git(toy.root, "rev-parse", "--short", "HEAD").strip()
    toy.tito("start", "first")
    toy.tito("solution", "first", "Box_text")
    git(toy.root, "commit", "--all", "-m", "my work")
    toy.mine = toy.read(FIRST)
    shutil.rmtree(toy.file(".tito"))
    return toy


@pytest.mark.parametrize("command", ["start", "export", "export --all", "export --check", "reset", "solution"])
def test_what_would_take_it_for_the_course_s_own(lost, command):
    core = lost.read(CORE)
    verb, *option = command.split()
    said = lost.tito(verb, *(option or ["first"]), status=1)
    assert "holds work, but its reference is not in .tito, so nothing was changed" in said
    assert "tito start 01_first --from FOLDER_OR_ZIP, the release that you began with" in said
    assert (lost.read(FIRST), lost.read(CORE)) == (lost.mine, core)


@pytest.mark.parametrize("solved", [False, True])
def test_doctor_repairs_no_package_with_blanks(lost, solved):
    """Blank throughout, and blank in part."""
    if not solved:
        lost.edit(FIRST, "return str(self.value)", 'raise NotImplementedError("exercise Box_text")')
    core = lost.read(CORE)
    assert "tito start 01_first --from" in lost.tito("doctor", "--fix", status=1)
    assert lost.read(CORE) == core and not lost.file(REFERENCE).exists()


def test_tito_tells_the_truth(cloned):
    go_on = f"tito start 01_first --from {cloned.course}"
    assert f"Work whose reference is not in .tito: 01_first.\n  next: {go_on}" in cloned.tito()
    assert f"in progress   its reference is not in .tito: {go_on}" in cloned.tito("status")
    assert go_on in cloned.tito("status", "first") and go_on in cloned.tito("test", "first", status=1)
    assert json.loads(cloned.tito("status", "--json"))["modules"][0]["go_on"] == go_on
    assert go_on in cloned.tito("doctor", status=1)
    assert "in progress again, 2 exercises to do" in cloned.tito(*go_on.split()[1:])
    assert cloned.read(FIRST) == cloned.mine and "return x + x" in cloned.read(REFERENCE)
    assert "1 of 3" in cloned.tito("test", "first", status=1)


def test_doctor_finds_it_in_git(cloned):
    cloned.tito("doctor", "--fix", status=None)
    assert cloned.read(FIRST) == cloned.mine and "return x + x" in cloned.read(REFERENCE)


def test_a_commit_that_holds_work(cloned):
    said = cloned.tito("start", "first", "--from", "HEAD", status=1)
    assert "HEAD holds work on 01_first too, and not the course's own version. Nothing was changed.\n" in said
    assert f"tito start 01_first --from {cloned.course}" in said


def test_a_students_edition_without_its_copies(toy, tmp_path):
    """Blank throughout, as it was handed out, and all the same no reference."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    edition = Checkout(tmp_path / "edition")
    toy.tito("release", edition.root)
    git(edition.root, "init")
    git(edition.root, "add", "--all")
    git(edition.root, "commit", "-m", "the edition")
    commit = git(edition.root, "rev-parse", "--short", "HEAD").strip()
    shutil.rmtree(edition.file("modules/handed_out"))
    assert f"tito start 01_first --from {commit}" in edition.tito("start", "first", status=1)
    edition.tito("start", "first", "--from", commit)
    assert "holds no solution" in edition.tito("solution", "first", status=1)
    assert "nothing is kept" in edition.tito("undo", "first", status=2)
    assert not re.search("work .*01_first", edition.tito("doctor", status=None))


def test_among_the_earlier_versions(toy):
    toy.tito("start", "first")
    toy.file(REFERENCE).unlink()
    command = next(line for line in toy.tito("status").splitlines() if "01_first" in line).partition(": tito ")[2]
    assert command.startswith("start 01_first --from .tito/attempts/first/")
    toy.tito(*command.split())
    assert "return x + x" in toy.read(REFERENCE)


def test_a_blank_reference(toy):
    """As it could come to be before blank chapters were refused."""
    toy.tito("start", "first")
    own = toy.read(REFERENCE)
    toy.write(REFERENCE, toy.read(FIRST))
    assert "the reference of 01_first in .tito holds blank exercises: tito start" in toy.tito("doctor", status=1)
    assert "is damaged" in toy.tito("undo", "first", status=1)
    toy.tito("doctor", "--fix", status=None)
    assert toy.read(REFERENCE) == own


def test_a_new_chapter_without_notes_is_no_student_s_work(toy):
    text = toy.read(FIRST)
    begin = text.index("# %% [raw]")
    toy.write(FIRST, text[:begin] + text[text.index("# %%", begin + 4) :])
    toy.tito("export", "first")
    assert "not in .tito" not in toy.tito() + toy.tito("status") + toy.tito("test", "first")
    assert "not in .tito" in toy.tito("start", "first", status=1)


def test_an_update_waits_for_the_reference(cloned, tmp_path):
    release = shutil.copytree(cloned.root, tmp_path / "release", ignore=shutil.ignore_patterns(".git"))
    git(cloned.root, "--work-tree", release, "checkout", cloned.course, "--", ".")
    git(cloned.root, "reset", "--quiet")
    assert f"--from {cloned.course}" in cloned.tito("update", release, status=1)
    assert cloned.read(FIRST) == cloned.mine


def test_in_the_middle_of_an_update(toy):
    toy.write(".tito/update/plan.json", "{}")
    for command in (("start", "first"), ("export",)):
        assert "tito update carries it on" in toy.tito(*command, status=1)


@pytest.mark.parametrize("blank", ["# nothing yet\n", 'rule("four", lambda x: unsolved("rules"))\n'])
def test_rows_outside_a_function(toy, blank):
    """Without the reference's notes, a row that is written is not its own blank; comments and `unsolved` are."""
    second = "modules/source/02_second/second_dev.py"
    toy.tito("start", "second")
    toy.edit(second, '# rule("four", lambda x: ...)\n', 'rule("four", lambda x: 4 * x)\n')
    shutil.rmtree(toy.file(".tito"))
    assert "to do" not in toy.tito("test", "second")
    toy.edit(second, 'rule("four", lambda x: 4 * x)\n', blank)
    assert "  to do     rules" in toy.tito("test", "second", status=1)
