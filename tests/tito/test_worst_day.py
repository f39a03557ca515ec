"""The worst day: no git, a zip download, read-only files, a lost file, old libraries; what tito doctor says of it."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT, Checkout

FIRST = "modules/source/01_first/first_dev.py"
CORE = "tinytorch/core/first.py"
BLANK = '    # YOUR CODE HERE\n    raise NotImplementedError("exercise double")\n'


@pytest.fixture
def well(toy):
    shutil.copytree(ROOT / "etc", toy.root / "etc")
    return toy


def findings(checkout, subject):
    data = json.loads(checkout.tito("doctor", "--json", status=None))
    return [f["said"] for f in data["findings"] if f["subject"] == subject and f["state"] != "well"]


def test_the_chapter_s_file_is_gone(well):
    well.tito("start", "first")
    well.edit(FIRST, BLANK, "    return 1\n")
    mine = well.read(FIRST)
    well.tito("reset", "first")
    well.file(FIRST).unlink()
    for command in ("status", "test"):
        assert "Traceback" not in well.tito(command, "first", status=None)
    assert "Traceback" not in well.tito()
    assert f"{FIRST} is missing or empty" in findings(well, "work")
    well.tito("doctor", "--fix", status=None)
    assert well.read(FIRST) == mine and not findings(well, "work")


def test_the_chapter_s_file_is_empty(well):
    """Every command says so, and none what was true of it before; what passed last is brought back first."""
    well.tito("start", "first")
    well.tito("solution", "first")
    well.tito("test", "first")
    passed = well.read(FIRST)
    well.tito("reset", "first")
    well.tito("solution", "first", "double")
    well.tito("reset", "first")
    well.write(FIRST, "")
    said = f"{FIRST} is empty: tito doctor --fix brings it back."
    for command in ((), ("status",), ("status", "first")):
        assert said in well.tito(*command) and "exercises pass" not in well.tito(*command)
    for command in ("hint", "start", "test"):
        assert said in well.tito(command, "first", status=1)
    assert f"note   work         {FIRST}, the version that passed last, is as it was before reset" in (
        well.tito("doctor", "--fix", status=None)
    )
    assert well.read(FIRST) == passed
    well.tito("test", "first")


def test_the_newest_version_is_brought_back(well):
    """What was tested last, though no command has kept it; and what passed before that is among the earlier ones."""
    well.tito("start", "first")
    well.tito("solution", "first")
    well.edit(FIRST, "return x + x", "return 2 * x")
    well.tito("test", "first")
    passed = well.read(FIRST)
    well.file(FIRST).unlink()
    said = well.tito("doctor", "--fix", status=None)
    assert f"{FIRST}, the version that passed last, is as it was when " in said and "another" not in said
    assert well.read(FIRST) == passed
    well.edit(FIRST, "return 2 * x", "return 3 * x  # an idea")
    newest = well.read(FIRST)
    well.tito("test", "first", "-k", "double", status=1)
    well.file(FIRST).unlink()
    said = well.tito("doctor", "--fix", status=None)
    assert f"{FIRST} is as it was when tested last, 2" in said
    assert "tinytorch/core/first.py holds your version that passed last, with another double" in said
    assert well.read(FIRST) == newest
    assert "when it passed last" in well.tito("undo", "first", "--list")
    well.tito("undo", "first")
    assert well.read(FIRST) == passed
    well.tito("test", "first")


def test_undo_of_an_empty_file_brings_back_what_was_tested(well):
    well.tito("start", "first")
    well.tito("solution", "first")
    well.edit(FIRST, "return x + x", "return 2 * x  # mine")
    well.tito("test", "first")
    mine = well.read(FIRST)
    well.write(FIRST, "")
    assert "when it passed last" in well.tito("undo", "first", "--list")
    assert "the version that passed last" in well.tito("undo", "first")
    assert well.read(FIRST) == mine and "You are in 01_first" in well.tito()


def test_a_reference_that_was_tested_before_start_is_nobody_s_version(well):
    well.tito("test", "first")
    well.tito("start", "first")
    well.file(FIRST).unlink()
    assert "your version" not in well.tito("doctor", "--fix", status=None)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "cp1252"])
def test_a_chapter_in_another_encoding_is_written_again(well, encoding):
    well.tito("start", "first")
    text = well.read(FIRST) + "# \u00e4hnlich\n"
    well.file(FIRST).write_bytes(text.encode(encoding))
    said = "save it as UTF-8 in your editor, or let tito doctor --fix try it"
    assert said in " ".join(well.tito("test", "first", status=1).split())
    assert any("another encoding" in finding for finding in findings(well, "chapters"))
    well.tito("doctor", "--fix", status=None)
    assert well.read(FIRST) == text
    assert "in another encoding" in well.tito("undo", "first", "--list")


def test_solutions_that_are_in_the_package_alone_are_named(well):
    """As in a course that was begun before tested versions were kept."""
    well.tito("start", "first")
    well.tito("solution", "first")
    well.edit(FIRST, "return x + x", "return 2 * x")
    well.tito("test", "first")
    shutil.rmtree(well.file(".tito/tested"))
    shutil.rmtree(well.file(".tito/attempts"))
    well.file(FIRST).unlink()
    said = well.tito("doctor", "--fix", status=None)
    assert "is blank now: no version of it was kept" in said
    assert "holds your version that passed last, with another double, Box_doubled, Box_text" in said


def test_what_is_brought_back_is_text(well):
    """Whatever was kept last: a file in another encoding is no chapter."""
    well.tito("start", "first")
    well.edit(FIRST, BLANK, "    return 1\n")
    mine = well.read(FIRST)
    well.tito("reset", "first")
    well.file(FIRST).write_bytes(b"\xff\xfe damaged")
    well.tito("reset", "first")
    well.file(FIRST).unlink()
    said = well.tito("doctor", "--fix", status=None)
    assert f"{FIRST} is as it was before reset, 2" in said and "tito undo 01_first --list shows the others" in said
    assert well.read(FIRST) == mine


def test_one_chapter_that_is_no_text_stops_no_other(well):
    well.tito("start", "first")
    well.tito("start", "second")
    well.tito("reset", "second")
    well.tito("solution", "first")
    well.file(FIRST).write_bytes(b"\xff\xfe\x00")
    said = f"{FIRST} is not text in UTF-8: save it as UTF-8 in your editor, or let tito doctor --fix try it."
    assert "02_second" in well.tito("status") and said in well.tito("status")
    assert said in well.tito()
    output = well.run("test", "--all").stdout
    assert f"  {said}" in output and "  to do     rules" in output and "0 of 2 chapters" in output
    well.tito("undo", "first")
    assert "NotImplementedError" in well.read(FIRST)


def test_the_chapter_s_file_is_no_text(well):
    well.tito("start", "first")
    well.file(FIRST).write_bytes(b"\xff\xfe\x00")
    assert any("not text in UTF-8" in said and "tito undo 01_first" in said for said in findings(well, "chapters"))


def test_markers_and_references_that_are_lost(well):
    well.tito("start", "first")
    well.tito("solution", "first", "Box_text")
    well.edit(FIRST, "### BEGIN SOLUTION double\n", "")
    assert "double has lost its mark `### BEGIN SOLUTION double`" in findings(well, "work")[0]
    shutil.rmtree(well.file(".tito"))
    assert "its reference is not in .tito: tito start 01_first --from" in findings(well, "work")[0]
    well.edit(FIRST, "# # First", "<<<<<<< HEAD\n# # First")
    assert "git's conflict markers" in findings(well, "work")[0]


def test_leftovers_of_writes_and_updates(well, tmp_path):
    well.tito("start", "first")
    well.write(".tito/update/new/x", "")
    well.write("tinytorch/core/.first.py.abc.new", "")
    assert ".tito/update" in findings(well, "leftovers")[0] and ".new" in findings(well, "leftovers")[0]
    well.tito("doctor", "--fix", status=None)
    assert not findings(well, "leftovers") and not well.file(".tito/update").exists()
    release = Checkout(shutil.copytree(well.root, tmp_path / "release", ignore=shutil.ignore_patterns(".tito")))
    shutil.copy(well.file(".tito/reference/first/first_dev.py"), release.file(FIRST))
    release.edit(FIRST, "# Doubling adds", "# Doubling really adds")
    moment = 1
    while not well.file(".tito/update/plan.json").exists():
        assert well.killed(moment, "update", release.root)
        moment += 5
    assert "tito update carries it on" in findings(well, "update")[0]
    well.tito("doctor", "--fix", status=None)
    assert "Doubling really adds" in well.read(FIRST) and not findings(well, "update")


def test_a_full_disk_is_found(well, monkeypatch):
    from tito import doctor

    assert not findings(well, "disk")
    monkeypatch.setattr(doctor, "ROOM", 10**12)
    assert "MB are left" in findings(well, "disk")[0]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no executable bits")
def test_a_zip_download(well):
    """No .git, and nothing is executable: `python bin/tito` all the same."""
    for name in ("bin", "tito"):
        shutil.copytree(ROOT / name, well.root / name, ignore=shutil.ignore_patterns("__pycache__"))
    well.file("bin/tito").chmod(0o644)
    assert "python bin/tito works" in findings(well, "bin/tito")[0]
    command = [sys.executable, "bin/tito", "--version"]
    environment = {**os.environ, "PATH": ""}
    done = subprocess.run(command, cwd=well.root, capture_output=True, text=True, env=environment)
    assert "Permission" not in done.stderr
    well.tito("doctor", "--fix", status=None)
    assert os.access(well.file("bin/tito"), os.X_OK) and not findings(well, "bin/tito")


def humbly(checkout, *arguments):
    """Run `tito` without root's right to write everywhere."""
    command = [sys.executable, "-m", "tito", *arguments]
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root may write everywhere, and there is no setpriv to forgo that")
        command = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override", *command]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=checkout.root, capture_output=True, text=True, env=variables, timeout=120)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs rights as Unix has them")
def test_a_read_only_checkout(well):
    """Reading and testing work; what would write says that it cannot, and changes nothing."""
    well.tito("start", "first")
    well.tito("solution", "first")
    well.edit(FIRST, "return x + x", "return x + x  # mine")
    for path in [well.root, *well.root.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = well.files()
    done = humbly(well, "test", "first")
    assert done.returncode == 0 and "could not be put into the package" in done.stderr, done.stdout + done.stderr
    for command in (["reset", "first"], ["solution", "first"], ["undo", "first"], ["start", "second"]):
        done = humbly(well, *command)
        assert done.returncode == 1 and "read-only for you. Nothing was changed" in done.stderr, done.stderr
    assert humbly(well, "status").returncode == 0
    assert "no writing in" in humbly(well, "doctor").stdout
    assert well.files() == before
    for path in [well.root, *well.root.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs rights as Unix has them")
def test_a_read_only_package(well, tmp_path):
    """A part that cannot be written keeps an update from beginning."""
    release = Checkout(shutil.copytree(well.root, tmp_path / "release"))
    release.edit(CORE, "return x + x", "return 2 * x")
    release.write("book/new.md", "")
    well.file("tinytorch/core").chmod(0o555)
    before = well.files()
    done = humbly(well, "update", str(release.root))
    assert done.returncode == 1 and "tinytorch/core cannot be written" in done.stderr and well.files() == before
    well.file("tinytorch/core").chmod(0o755)
    assert humbly(well, "update", str(release.root)).returncode == 0 and well.file("book/new.md").exists()


def test_without_git_on_the_path(well):
    """No command needs it but the one that would fetch with it."""
    shutil.copytree(ROOT / "tests" / "toy", well.root / ".git")
    done = well.run("update", PATH="")
    assert done.returncode == 1 and "git is not installed: name a folder or a zip file" in done.stderr
    assert well.run("start", "first", PATH="").returncode == 0
    assert well.run("reset", "first", PATH="").returncode == 0


def test_an_old_numpy(tmp_path):
    """The package says so itself, whatever imports it."""
    fake = tmp_path / "numpy"
    fake.mkdir()
    (fake / "__init__.py").write_text('__version__ = "1.26.4"\n')
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, "-P", "-c", "import tinytorch"]
    done = subprocess.run(command, capture_output=True, text=True, env=variables)
    assert done.returncode == 1 and "NumPy 2" in done.stderr and "1.26.4" in done.stderr
