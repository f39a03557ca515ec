"""What was handed in: who, and which files. Read without following links, unpacking archives or believing sizes."""

from __future__ import annotations

import io
import os
import re
import stat
import unicodedata
import zipfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tito.course import Course
from tito.errors import UsageError

LARGEST_FILE = 5_000_000
LARGEST_ARCHIVE = 50_000_000
LARGEST_SUBMISSION = 50_000_000
MOST_FILES, DEEPEST = 2_000, 12
MEMBER, MOST_MEMBERS = b"PK\x01\x02", 20_000  # what each entry of an archive's list begins with
SUFFIXES = (".py", ".ipynb")
PASSED_OVER = re.compile(r"\..*|__pycache__|__MACOSX|node_modules|site-packages|venv|handed_out")

MOODLE = re.compile(r"(?P<name>.+?)_(?P<id>\d+)_assignsubmission_(?:file|onlinetext)_?(?P<rest>.*)")
CANVAS = re.compile(r"(?P<name>[^\W_]+)_(?:LATE_)?(?P<id>\d+)_(?P<paper>\d+)_(?P<rest>.+)")
EXPORTS = re.compile(r"#\|\s*default_exp\s+(?:core\.)?(\w+)")


@dataclass
class Submission:
    """A student's, and where it lies."""

    id: str
    name: str
    platform: str = ""  # moodle or canvas, where the names are theirs
    places: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class Paper:
    """A file that was handed in."""

    path: str
    content: bytes


@dataclass
class Handed:
    """What a submission holds that a course may want."""

    papers: list[Paper] = field(default_factory=list)
    logs: list[bytes] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    seen: int = 0
    size: int = 0

    @property
    def full(self) -> bool:
        return self.seen >= MOST_FILES or self.size >= LARGEST_SUBMISSION

    def remark(self, text: str) -> None:
        if text not in self.remarks and len(self.remarks) < 20:
            self.remarks.append(text)

    def take(self, path: str, content: bytes) -> None:
        self.size += len(content)
        if PurePosixPath(path).name == "log.jsonl":
            self.logs.append(content)
        elif ".tito" not in path.split("/"):  # what tito itself keeps there is not what was handed in
            self.papers.append(Paper(path, content))


def find(folder: Path) -> list[Submission]:
    """The submissions in a folder, in order: each folder, archive, chapter or notebook is a student's."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder. It has to hold a folder or a file for each student.")
    found: dict[str, Submission] = {}
    for entry in sorted(folder.iterdir(), key=lambda p: p.name):
        if PASSED_OVER.fullmatch(entry.name) or entry.is_symlink():
            continue
        if not (entry.is_dir() or entry.is_file() and entry.suffix.lower() in (*SUFFIXES, ".zip")):
            continue
        submission = _named(entry)
        found.setdefault(submission.id, submission).places.append(entry)
    if not found:
        raise UsageError(f"{folder} holds no submissions: no folder, no .zip, no .py and no .ipynb.")
    return sorted(found.values(), key=lambda s: s.id)


def _named(entry: Path) -> Submission:
    """Whose it is, from the name: as Moodle or Canvas write it, or as it stands."""
    name = unicodedata.normalize("NFC", entry.name if entry.is_dir() else entry.stem)
    if match := MOODLE.fullmatch(name):
        return Submission(match["id"], match["name"], "moodle")
    if match := CANVAS.fullmatch(name):
        return Submission(match["id"], match["name"], "canvas")
    return Submission(name, name)


def read(submission: Submission) -> Handed:
    """Every chapter, notebook and log of a submission."""
    handed = Handed()
    for place in submission.places:
        if place.is_dir():
            _read_folder(place, handed)
        else:
            _read_file(place, place.name, handed)
    if handed.full:
        handed.remark(f"only the first {MOST_FILES} files, or {LARGEST_SUBMISSION // 1_000_000} MB, were looked at")
    return handed


def _read_folder(folder: Path, handed: Handed, path: str = "", depth: int = 0) -> None:
    if depth > DEEPEST:
        handed.remark("some folders lie too deep, and were not looked at")
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda e: e.name)
    except OSError as error:
        handed.remark(f"{path or 'the folder'} could not be read: {error.strerror}")
        return
    for entry in entries:
        handed.seen += 1
        if handed.full:
            return
        inner = f"{path}/{entry.name}".lstrip("/")
        if entry.is_symlink():
            handed.remark(f"{inner} is a link, and was not followed")
        elif PASSED_OVER.fullmatch(entry.name) and entry.name != ".tito":
            continue
        elif entry.is_dir(follow_symlinks=False):
            _read_folder(Path(entry.path), handed, inner, depth + 1)
        elif _wanted(entry.name) or entry.name.lower().endswith(".zip"):
            _read_file(Path(entry.path), inner, handed)


def _wanted(path: str) -> bool:
    parts = PurePosixPath(path)
    return parts.suffix.lower() in SUFFIXES or parts.name == "log.jsonl"


def _read_file(file: Path, path: str, handed: Handed) -> None:
    """Read a plain file: no link, no device, no pipe, and not more than there may be."""
    archive = path.lower().endswith(".zip")
    largest = LARGEST_ARCHIVE if archive else LARGEST_FILE
    try:
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(file, flags), "rb") as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                handed.remark(f"{path} is no plain file")
                return
            content = opened.read(largest + 1)
    except OSError as error:
        handed.remark(f"{path} could not be read: {error.strerror}")
        return
    if len(content) > largest:
        handed.remark(f"{path} is larger than {largest // 1_000_000} MB, and was not read")
    elif archive:
        _read_archive(content, path, handed)
    else:
        handed.take(path, content)


def _read_archive(content: bytes, path: str, handed: Handed) -> None:
    """The members of an archive that may be chapters, read in memory: nothing is ever unpacked."""
    if content.count(MEMBER) > MOST_MEMBERS:
        handed.remark(f"{path} holds too many files, and was not opened")
        return
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.infolist():
                if handed.full:
                    return
                _read_member(archive, member, f"{path}/{member.filename}", handed)
    except Exception as error:  # zipfile raises whatever a damaged archive makes it raise
        handed.remark(f"{path} could not be read as an archive: {type(error).__name__}")


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: str, handed: Handed) -> None:
    handed.seen += 1
    parts = member.filename.replace("\\", "/").split("/")
    if ".." in parts or parts[0] == "" or ":" in parts[0]:
        handed.remark(f"{path} leads out of its archive, and was not read")
    elif stat.S_ISLNK(member.external_attr >> 16):
        handed.remark(f"{path} is a link, and was not followed")
    elif member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        handed.remark(f"{path} is packed in a way that was not read")
    elif member.is_dir() or not _wanted(parts[-1]) or any(map(_passed_over, parts)):
        return
    else:
        with archive.open(member) as opened:
            content = opened.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            handed.size += len(content)
            handed.remark(f"{path} is larger than {LARGEST_FILE // 1_000_000} MB, and was not read")
        else:
            handed.take(path, content)


def _passed_over(part: str) -> bool:
    return part != ".tito" and bool(PASSED_OVER.fullmatch(part))


def chapters(course: Course, handed: Handed) -> dict[str, list[Paper]]:
    """The files that are chapters, by the chapter's directory: told by `#| default_exp`, or else by name."""
    modules = {module.name: module.id for module in course.modules}
    certain: dict[str, dict[bytes, Paper]] = {}
    likely: dict[str, dict[bytes, Paper]] = {}
    for paper in sorted(handed.papers, key=lambda paper: paper.path):
        said = EXPORTS.search(paper.content.decode("utf-8", "replace"))
        if said and said[1] in modules:
            certain.setdefault(modules[said[1]], {}).setdefault(paper.content, paper)
        elif name := _by_name(paper.path, modules):
            likely.setdefault(modules[name], {}).setdefault(paper.content, paper)
    return {module: list(papers.values()) for module, papers in sorted((likely | certain).items())}


def _by_name(path: str, modules: dict[str, str]) -> str:
    """`tensor` for `02_tensor.ipynb`, `tensor_dev.py`, `tensor_dev (1).py` and what platforms put before these."""
    file = PurePosixPath(path)
    if "core" in file.parts or file.name.startswith("test_"):
        return ""
    stem = re.sub(r"[ _-]*(\(\d+\)|copy|-\d+)$", "", file.stem.lower()).removesuffix("_dev")
    return next((name for name in modules if stem == name or stem.endswith(f"_{name}")), "")
