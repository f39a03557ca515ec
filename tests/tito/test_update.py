"""A new release comes into a student's work: merged, shown where it cannot be, killed, undone; also through git."""

import json
import os
import shutil
import subprocess
import zipfile

import pytest

from tests.conftest import ROOT, Checkout
from tito.chapter import Chapter
from tito.workspace import without_notes

FIRST = "modules/source/01_first/first_dev.py"
SECOND = "modules/source/02_second/second_dev.py"
CORE = "tinytorch/core/first.py"
BLANK = '    # YOUR CODE HERE\n    raise NotImplementedError("exercise double")\n'


def export(checkout):
    from tito import derived
    from tito.course import Course

    derived.export(Course(checkout.root), [])


@pytest.fixture
def release(toy, tmp_path):
    """The next release: prose, a test, a solution and a docstring are new, and so are files outside the chapters."""
    root = tmp_path / "release two"
    shutil.copytree(toy.root, root)
    new = Checkout(root)
    new.edit(FIRST, "# Doubling adds a thing to itself", "# Doubling, of course, adds a thing to itself")
    new.edit(FIRST, "check(double(3), 6)", "check(double(4), 8)")
    new.edit(FIRST, "return str(self.value)", 'return f"{self.value}"')
    new.edit(SECOND, "# # Second", "# # Second, improved")
    new.write("tests/test_new.py", "def test_new():\n    pass\n")
    new.write("book/page.md", "A page.\n")
    export(new)
    return new


def solve(checkout, answer="return 2 * x"):
    checkout.edit(FIRST, BLANK, f"    {answer}\n")


def work(checkout):
    """A student's work: an exercise of their own, one with the course's solution, a cell, a note in the README."""
    checkout.tito("start", "first")
    solve(checkout)
    checkout.tito("solution", "first", "Box_text")
    checkout.edit(FIRST, "# %%\nprint(double", "# %%\nmine = 1\n\n# %%\nprint(double")


def without_private(checkout):
    return {n: t for n, t in checkout.files().items() if not n.startswith((".tito/", ".git/"))}


def test_a_chapter_in_progress_is_merged(toy, release):
    work(toy)
    before = toy.read(FIRST)
    output = toy.tito("update", release.root)
    text = toy.read(FIRST)
    assert "return 2 * x" in text and "# %%\nmine = 1\n" in text
    assert "Doubling, of course" in text and "check(double(4), 8)" in text and 'return f"{self.value}"' in text
    assert text.count("NotImplementedError") == 1
    assert toy.read(".tito/reference/first/first_dev.py") == release.read(FIRST)
    assert toy.read(SECOND) == release.read(SECOND) and toy.read("tests/test_new.py") and toy.read("book/page.md")
    assert toy.read(CORE) == release.read(CORE)
    assert "your work on 2 exercises" in output and "tito update --undo" in output
    assert before.encode() in toy.files().values()
    assert "Nothing is new" in toy.tito("update", release.root)
    toy.tito("export", "--check")


def test_check_changes_nothing(toy, release):
    work(toy)
    before = toy.files()
    assert "Nothing was changed: this was --check" in toy.tito("update", release.root, "--check")
    assert toy.files() == before


def test_undo(toy, release):
    work(toy)
    before = without_private(toy)
    toy.tito("update", release.root)
    toy.edit(FIRST, "return 2 * x", "return 2 * x + 0")
    assert "before the last update" in toy.tito("update", "--undo", "--check")
    toy.tito("update", "--undo")
    before[FIRST] = before[FIRST].replace(b"return 2 * x", b"return 2 * x + 0")
    assert without_private(toy) == before
    assert "double(3)" in toy.read(".tito/reference/first/first_dev.py")
    assert "no update is there" in toy.tito("update", "--undo", status=2)
    toy.tito("update", release.root)
    assert "Doubling, of course" in toy.read(FIRST)


def test_what_cannot_be_merged_is_shown_and_chosen(toy, release):
    work(toy)
    toy.edit(FIRST, "# Doubling adds a thing to itself", "# My doubling adds a thing to itself")
    before = toy.files()
    output = toy.tito("update", release.root, status=1)
    shown = next(line for line in output.splitlines() if "My doubling" in line)
    assert "|" in shown and "Doubling, of c" in output and "--take mine" in output
    assert toy.files() == before
    said = toy.tito("update", release.root, "--take", "nosuch=mine", "--take", "release", status=2)
    assert "'nosuch'" in said and "There are: first." in said
    said = toy.tito("update", release.root, "--take", "first:nosuch=mine", "--take", "release", status=2)
    assert "There are: first:double, first:Box_doubled, first:Box_text, first:cells." in said
    assert toy.files() == before
    toy.tito("update", release.root, "--take", "first:cells=mine")
    text = toy.read(FIRST)
    assert "My doubling" in text and "check(double(4), 8)" in text and "return 2 * x" in text
    assert "--undo has nothing to choose" in toy.tito("update", "--undo", "--take", "mine", status=2)
    toy.tito("update", "--undo")
    toy.tito("update", release.root, "--take", "first=release")
    assert toy.read(FIRST) == text.replace("My doubling adds", "Doubling, of course, adds")


def test_a_chapter_in_the_package_is_tested_again(toy, release):
    toy.tito("start", "first")
    toy.tito("solution", "first")
    toy.edit(FIRST, "return x + x", "return x + x  # mine")
    toy.tito("test", "first")
    assert "# mine" in toy.read(CORE)
    assert "passes the new tests; the package holds your version" in toy.tito("update", release.root)
    assert "# mine" in toy.read(CORE) and 'return f"{self.value}"' in toy.read(CORE)
    toy.tito("update", "--undo")
    assert "# mine" in toy.read(CORE) and "return str(self.value)" in toy.read(CORE)
    toy.tito("export", "--check")
    release.edit(FIRST, "    return x + x", "    if x is None:\n        return 0\n    return x + x")
    release.edit(FIRST, "check(double(4), 8)", "check(double(None), 0)")
    export(release)
    assert "does not pass the new tests: the package holds the release's version" in toy.tito("update", release.root)
    assert toy.read(CORE) == release.read(CORE) and "# mine" in toy.read(FIRST)


def test_files_that_the_student_changed(toy, release):
    """Those the release changed too are kept aside and named; the others stay."""
    for name in ("test_a", "test_b", "test_c", "test_d"):
        release.write(f"tests/{name}.py", "old = 1\n")
    toy.write("notes.txt", "my own\n")
    toy.tito("start", "first")
    toy.tito("update", release.root)
    for name in ("test_a", "test_b", "test_c"):
        toy.write(f"tests/{name}.py", "mine = 1\n")
    release.write("tests/test_a.py", "new = 1\n")
    for name in ("test_c", "test_d"):
        release.file(f"tests/{name}.py").unlink()
    output = toy.tito("update", release.root)
    assert "tests/test_a.py: you had changed it; yours is kept" in output
    assert "tests/test_c.py: not in the release any more; you had changed it, so it stays" in output
    assert toy.read("tests/test_a.py") == "new = 1\n" and b"mine = 1\n" in toy.files().values()
    assert toy.read("tests/test_b.py") == toy.read("tests/test_c.py") == "mine = 1\n"
    assert not toy.file("tests/test_d.py").exists() and toy.read("notes.txt") == "my own\n"


def test_a_chapter_that_was_renumbered_and_one_renamed(toy, release):
    work(toy)
    toy.tito("start", "second")
    release.file("modules/source/01_first").rename(release.file("modules/source/03_first"))
    second = release.file("modules/source/02_second").rename(release.file("modules/source/04_later"))
    (second / "second_dev.py").rename(second / "later_dev.py")
    release.edit("modules/source/04_later/later_dev.py", "core.second", "core.later")
    text = release.read("modules/source/03_first/first_dev.py")
    release.write("modules/source/03_first/first_dev.py", text)
    for name in ("modules/source/03_first/module.yaml", "modules/source/04_later/module.yaml"):
        release.write(name, release.read(name).replace("second", "later"))
    release.file("tinytorch/core/second.py").unlink()
    export(release)
    before = without_private(toy)
    output = toy.tito("update", release.root)
    assert "is 03_first now" in output and "is 04_later now" in output
    assert "return 2 * x" in toy.read("modules/source/03_first/first_dev.py")
    assert not toy.file(FIRST).exists() and not toy.file("tinytorch/core/second.py").exists()
    status = toy.tito("status")
    assert "03_first" in status and "04_later" in status and "01_first" not in status
    assert status.count("in progress") == 2
    toy.edit("modules/source/03_first/first_dev.py", "return 2 * x", "return 2 * x + 0")
    toy.tito("update", "--undo")
    before[FIRST] = before[FIRST].replace(b"return 2 * x", b"return 2 * x + 0")
    assert without_private(toy) == before


def test_an_exercise_that_is_gone(toy, release):
    """What was written there is shown before it goes."""
    work(toy)
    text = release.read(FIRST)
    begin = text.index('# %% nbgrader={"grade": false, "grade_id": "double"')
    end = text.index("# %% [markdown]\n# It works")
    release.write(FIRST, text[:begin] + text[end:].replace("double(self.value)", "2 * self.value"))
    assert "outside the exercises, both changed" in toy.tito("update", release.root, status=1)
    toy.tito("update", release.root, "--take", "release")
    assert "return 2 * x" not in toy.read(FIRST)
    toy.tito("undo", "first")
    assert "return 2 * x" in toy.read(FIRST)


def pack(release, file, folder=""):
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(release.root.rglob("*")):
            if path.is_file() and ".tito" not in path.parts:
                archive.write(path, folder + path.relative_to(release.root).as_posix())
    return file


@pytest.mark.parametrize("folder", ["", "course-main/"])
def test_from_a_zip_file(toy, release, tmp_path, folder):
    work(toy)
    toy.tito("update", pack(release, tmp_path / "r.zip", folder))
    assert "Doubling, of course" in toy.read(FIRST) and "return 2 * x" in toy.read(FIRST)


def test_wrong_sources(toy, release, tmp_path):
    work(toy)
    before = toy.files()
    (tmp_path / "broken.zip").write_bytes(pack(release, tmp_path / "r.zip").read_bytes()[:3000])
    (tmp_path / "empty").mkdir()
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as archive:
        archive.writestr("tinytorch/__init__.py", "")
    begun = shutil.copytree(toy.root, tmp_path / "begun")
    for where, said, status in (
        (tmp_path / "broken.zip", "is no zip file, or a damaged one", 1),
        (tmp_path / "empty", "holds no release", 1),
        (tmp_path / "x.whl", "a wheel holds the library alone", 1),
        (tmp_path / "nothing", "is neither a folder nor a zip file", 2),
        (begun, "chapters were begun", 1),
        (toy.root, "this course itself", 2),
    ):
        assert said in toy.tito("update", where, status=status)
    assert "name the release" in toy.tito("update", status=2)
    assert toy.files() == before


def test_killed_at_any_write(toy, release):
    """Nothing is decided, and the course is as it was; or it is decided, and the same command carries on."""
    work(toy)
    files = toy.files()
    before = without_private(toy)
    toy.tito("update", release.root)
    after = without_private(toy)
    decided = 0
    for moment in range(1, 1000, 4):
        for name in set(toy.files()) - set(files):
            toy.file(name).unlink()
        shutil.rmtree(toy.file(".tito/update"), ignore_errors=True)
        shutil.rmtree(toy.file(".tito/updates"), ignore_errors=True)
        for name, text in files.items():
            toy.write(name, "")
            toy.file(name).write_bytes(text)
        dead = toy.killed(moment, "update", release.root)
        if toy.file(".tito/update/plan.json").exists():
            decided += 1
            assert "carried on" in toy.tito("update", release.root)
        elif dead and without_private(toy) == before:
            toy.tito("update", release.root)
        assert without_private(toy) == after
        assert "Nothing is new" in toy.tito("update", release.root)
        assert files[FIRST] in toy.files().values()
        if not dead:
            break
    assert not dead and decided > 3


def test_edited_between_a_kill_and_the_next_call(toy, release):
    from tito import transaction
    from tito.course import Course

    work(toy)
    moment = 1
    while not transaction.interrupted(Course(toy.root)):
        moment += 5
        assert toy.killed(moment, "update", release.root)
    solve_later = toy.read(FIRST).replace("return 2 * x", "return 2 * x + 0")
    toy.write(FIRST, solve_later)
    toy.tito("update")
    assert "return 2 * x + 0" in toy.read(FIRST) and "Doubling, of course" in toy.read(FIRST)
    assert solve_later.encode() in toy.files().values()


def git(directory, *arguments, fails=False):
    done = subprocess.run(
        ["git", "-c", "user.name=S", "-c", "user.email=s@x", "-c", "init.defaultBranch=main", *arguments],
        cwd=directory, capture_output=True, encoding="utf-8", env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull},
    )  # fmt: skip
    assert fails or done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def fork(toy, release, tmp_path):
    """A student's clone, its work committed; the course's repository has the new release since."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    shutil.copy(ROOT / ".gitignore", toy.root)
    git(toy.root, "init")
    git(toy.root, "add", "--all")
    git(toy.root, "commit", "-m", "one")
    course = tmp_path / "course"
    git(tmp_path, "clone", "--quiet", toy.root, course)
    student = Checkout(tmp_path / "student côpy")
    git(tmp_path, "clone", "--quiet", course, student.root)
    work(student)
    student.tito("solution", "first")
    student.edit(FIRST, "return x + x", "return 2 * x")
    student.tito("test", "first")
    git(student.root, "commit", "--all", "-m", "my work")
    shutil.copytree(release.root, course, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".tito"))
    git(course, "add", "--all")
    git(course, "commit", "-m", "two")
    return student


def test_git_pull_in_a_fork(fork):
    """As the README has it: tito update, and three lines that record it; later pulls find nothing to do."""
    output = fork.tito("update")
    text = fork.read(FIRST)
    assert "return 2 * x" in text and "Doubling, of course" in text and "return 2 * x" in fork.read(CORE)
    commands = [line.split() for line in output.splitlines() if line.startswith("  git ")]
    assert len(commands) == 3
    for command in commands:
        git(fork.root, *command[1:], *(["-m", "release two"] if "commit" in command else []))
    assert "up to date" in git(fork.root, "pull").lower()
    assert fork.read(FIRST) == text and git(fork.root, "status", "--porcelain") == ""


def test_git_pull_first(fork):
    """Git alone stops at conflicts; the way back is said, and then tito update goes through."""
    course = Checkout(fork.root.parent / "course")
    course.edit(FIRST, "    return x + x", "    return x + x + 0")
    export(course)
    git(course.root, "commit", "--all", "-m", "three")
    assert "CONFLICT" in git(fork.root, "pull", "--no-rebase", fails=True)
    assert "git merge --abort" in fork.tito("doctor", status=None)
    assert "git merge --abort" in fork.tito("update", status=1)
    git(fork.root, "merge", "--abort")
    fork.tito("update")
    assert "return 2 * x" in fork.read(FIRST) and "Doubling, of course" in fork.read(FIRST)


def test_git_pull_that_git_could_merge(fork):
    """The chapter is merged, the reference is not: tito update brings it."""
    git(fork.root, "pull", "--no-rebase", "--no-edit")
    pulled = fork.read(FIRST)
    assert "return 2 * x" in pulled and "Doubling, of course" in pulled
    fork.tito("update")
    assert fork.read(FIRST) == without_notes(Chapter(FIRST, pulled))
    assert "Doubling, of course" in fork.read(".tito/reference/first/first_dev.py")
    fork.tito("export", "--check")


def test_git_with_work_that_is_not_committed(fork):
    solve_now = fork.read(FIRST).replace("return 2 * x", "return x * 2")
    fork.write(FIRST, solve_now)
    fork.tito("update")
    assert "return x * 2" in fork.read(FIRST) and "Doubling, of course" in fork.read(FIRST)
    fork.tito("update", "--undo")
    assert fork.read(FIRST) == solve_now


def test_a_new_clone_of_a_fork(fork, tmp_path):
    """.tito is not in git: the reference comes from the commit that the student began with."""
    git(tmp_path, "clone", "--quiet", fork.root, tmp_path / "second")
    second = Checkout(tmp_path / "second")
    mine = second.read(FIRST)
    begun = git(second.root, "rev-list", "--max-parents=0", "HEAD").strip()
    second.edit(FIRST, "return 2 * x", 'raise NotImplementedError("exercise double")')
    second.tito("start", "first", "--from", begun)
    assert second.read(FIRST) == mine.replace("return 2 * x", 'raise NotImplementedError("exercise double")')
    assert second.read(".tito/reference/first/first_dev.py") == (ROOT / "tests" / "toy" / FIRST).read_text()


def test_git_without_a_remote(fork):
    git(fork.root, "remote", "set-url", "origin", "file:///nowhere/at/all")
    assert "Nothing was changed. Git says" in fork.tito("update", status=1)
    git(fork.root, "remote", "remove", "origin")
    assert "git remote add upstream" in fork.tito("update", status=1)


def test_a_full_disk(toy, release):
    """Nothing is decided, so nothing is changed; with room the same command goes through."""
    pytest.importorskip("resource")
    work(toy)
    before = without_private(toy)
    done = toy.run("update", release.root, largest_file=3000)
    assert done.returncode == 1 and "Nothing was changed" in done.stderr and "Traceback" not in done.stderr
    assert without_private(toy) == before
    toy.tito("update", release.root)
    assert "Doubling, of course" in toy.read(FIRST)


def test_log(toy, release):
    work(toy)
    toy.tito("update", release.root)
    events = [json.loads(line)["event"] for line in toy.read(".tito/log.jsonl").splitlines()]
    assert events == ["start", "solution", "update"]


def edition(toy, release, tmp_path):
    """The students' editions of both releases."""
    made = [Checkout(tmp_path / name) for name in ("edition one", "edition two")]
    for course, students in zip((toy, release), made):
        course.tito("release", students.root)
    return made


def test_a_students_edition(toy, release, tmp_path):
    """Handed out blank, without solutions: the next edition is merged in the same way."""
    student, new = edition(toy, release, tmp_path)
    solve(student)
    before = without_private(student)
    student.tito("update", new.root)
    assert student.read(FIRST) == new.read(FIRST).replace(BLANK, "    return 2 * x\n")
    handed_out = "modules/handed_out/first/first_dev.py"
    assert student.read(handed_out) == new.read(handed_out) != before[handed_out].decode()
    assert "double: to do" not in student.tito("test", "first", status=1)
    student.tito("update", "--undo")
    assert without_private(student) == before


def test_an_edition_whose_solutions_were_unlocked(toy, release, tmp_path):
    """The solutions stay, and so does what later chapters need of them."""
    student, new = edition(toy, release, tmp_path)
    student.tito("solution", "first", "--from", toy.file(FIRST))
    assert "return x + x" in student.read(CORE)
    student.tito("update", new.root)
    assert "return x + x" in student.read(".tito/reference/first/first_dev.py")
    assert "check(double(4), 8)" in student.read(".tito/reference/first/first_dev.py")
    assert "return x + x" in student.read(CORE)
