"""Where a release of the course comes from: a folder, a zip file, or git."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tito.course import Course
from tito.errors import CourseError, UsageError

NEVER = (".git", ".tito")


@contextlib.contextmanager
def opened(course: Course, where: str) -> Iterator[Course]:
    """The release in a folder, a zip file or a git revision."""
    path = Path(where).expanduser()
    if path.is_dir() and path.resolve() == course.root.resolve():
        raise UsageError("that is this course itself: name the folder or the zip file of the release.")
    with tempfile.TemporaryDirectory(prefix="tito-") as scratch:
        if path.is_dir():
            yield _course(path, where)
        elif path.is_file():
            _unpack(path, Path(scratch))
            yield _course(Path(scratch), where)
        else:
            _archive(course, where, Path(scratch))
            yield _course(Path(scratch), where)


def files(course: Course) -> dict[str, Path]:
    """The files of a release, by their paths; what its .gitignore names is no part of it."""
    ignored = _ignored(course.root / ".gitignore")
    found = {}
    for directory, folders, names in os.walk(course.root):
        place = Path(directory).relative_to(course.root)
        folders[:] = [f for f in folders if f not in NEVER and not ignored((place / f).as_posix(), True)]
        for name in names:
            path = (place / name).as_posix()
            if name not in NEVER and not ignored(path, False) and not Path(directory, name).is_symlink():
                found[path] = Path(directory, name)
    return found


def _ignored(file: Path):
    """Whether a path is ignored, by the patterns that the course's .gitignore consists of."""
    lines = file.read_text(encoding="utf-8").split() if file.exists() else ["__pycache__/"]

    def ignored(path: str, folder: bool) -> bool:
        for line in lines:
            if line.endswith("/") and not folder:
                continue
            pattern = line.strip("/")
            if fnmatch.fnmatch(path if line.startswith("/") else path.rpartition("/")[2], pattern):
                return True
        return False

    return ignored


def _course(directory: Path, where: str) -> Course:
    """The course in a directory, or in the one folder that a download wraps it in."""
    for root in (directory, *sorted(d for d in directory.iterdir() if d.is_dir())):
        release = Course(root.resolve())
        if (root / "settings.ini").is_file() and release.package.is_dir() and release.source.is_dir():
            if any((root / ".tito" / "reference").glob("*/*.py")):
                raise CourseError(f"{where} is a course in which chapters were begun: name a release.")
            return release
    raise CourseError(
        f"{where} holds no release of the course: settings.ini, the package and the chapters were looked for.\n"
        "  It is the folder, or the zip file, in which the course is handed out; a wheel holds the library alone."
    )


def _unpack(file: Path, scratch: Path) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            archive.extractall(scratch)
            for entry in archive.infolist():
                mode, made = entry.external_attr >> 16, scratch / entry.filename
                if mode & 0o100 and made.is_file():
                    made.chmod(0o755)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise CourseError(f"{file} is no zip file, or a damaged one ({error}). Nothing was changed.") from error


def upstream(course: Course) -> str:
    """The remote branch, fetched now, on which the course is handed out: of the remote `upstream`, or of `origin`."""
    if not (course.root / ".git").exists():
        raise UsageError("name the release: tito update FOLDER_OR_ZIP. (This is no git checkout that could fetch it.)")
    if merging(course):
        raise CourseError("git is in the middle of a merge: git merge --abort, then tito update.")
    remotes = git(course, "remote").split()
    if not remotes:
        raise CourseError(
            "git knows no remote to fetch the course from. Either: git remote add upstream ADDRESS\n"
            "  or name a folder or zip file: tito update FOLDER_OR_ZIP"
        )
    remote = next((name for name in ("upstream", "origin") if name in remotes), remotes[0])
    git(course, "fetch", "--quiet", remote)
    branches = git(course, "for-each-ref", "--format=%(refname:short)", f"refs/remotes/{remote}").split()
    for branch in ("HEAD", "main", "master"):
        if f"{remote}/{branch}" in branches or branch == "HEAD" and remote in branches:
            return f"{remote}/{branch}"
    if branches:
        return branches[0]
    raise CourseError(f"git's remote {remote} has no branch: is its address right? git remote -v shows it.")


def merging(course: Course) -> bool:
    """Whether git stopped at conflicts."""
    return (course.root / ".git" / "MERGE_HEAD").exists()


def _archive(course: Course, revision: str, scratch: Path) -> None:
    """The files of a git revision."""
    file = scratch / "release.zip"
    if shutil.which("git") is None or not (course.root / ".git").exists():
        raise UsageError(f"{revision} is neither a folder nor a zip file here.")
    try:
        git(course, "archive", "--format=zip", "-o", str(file), revision)
    except CourseError as error:
        raise UsageError(f"{revision} is neither a folder nor a zip file, nor a revision that git knows.") from error
    _unpack(file, scratch)
    file.unlink()


def git(course: Course, *arguments: str) -> str:
    """What git answers; its error where it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", str(course.root), *arguments], stdin=subprocess.DEVNULL, capture_output=True,
            encoding="utf-8", errors="replace", env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
        )  # fmt: skip
    except FileNotFoundError as error:
        raise CourseError("git is not installed: name a folder or a zip file, tito update FOLDER_OR_ZIP.") from error
    if done.returncode:
        raise CourseError(f"git {arguments[0]} failed. Nothing was changed. Git says:\n  {done.stderr.strip()}")
    return done.stdout
