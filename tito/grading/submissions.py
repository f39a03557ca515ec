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
from tito.plain import plain_name

LARGEST_FILE = 5_000_000
LARGEST_ARCHIVE = 50_000_000
LARGEST_SUBMISSION = 50_000_000
MOST_FILES, DEEPEST, LONGEST_NAME = 2_000, 12, 255
MEMBER, MOST_MEMBERS = b"PK\x01\x02", 20_000  # what each entry of an archive's list begins with
SUFFIXES = (".py", ".ipynb")
OTHER_ARCHIVES = (".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst")
PASSED_OVER = re.compile(r"\..*|__pycache__|__MACOSX|node_modules|site-packages|venv|handed_out")
SYSTEMS_OWN = re.compile(r"\.DS_Store|\._.*|\.localized|__MACOSX")  # nobody put these there
CHAPTER = re.compile(r"(?P<root>(?:.*/)?)modules/source/\d+_\w+/\w+_dev\.py")  # in a checkout of the course
THE_COURSES = ("benchmarks", "bin", "book", "etc", "scripts", "tests", "tinytorch", "tito")  # and nobody's work

# A name of the student's own choice may hold a platform's form: of Moodle's folders the last number is the platform's.
MOODLE = re.compile(r"(?P<name>.+)_(?P<id>\d+)_assignsubmission_(?:file|onlinetext)_?(?P<rest>.*)")
MOODLES_SUFFIX = "_assignsubmission_"
CANVAS = re.compile(r"(?P<name>[^\W_]+)_(?:LATE_)?(?P<id>\d+)_(?P<paper>\d+)_(?P<rest>.+)")
EXPORTS = re.compile(r"^# ?\|[ \t]*default_exp[ \t]+(?:core\.)?(\w+)[ \t\r]*$", re.M)


@dataclass
class Submission:
    """A student's, and where it lies."""

    id: str
    name: str
    platform: str = ""  # moodle or canvas, where the names are theirs
    places: list[Path] = field(default_factory=list)
    names: set[str] = field(default_factory=set)  # of all that is filed under the id

    @property
    def claimed_by(self) -> list[str]:
        """Whose names the id is filed under, where they are several."""
        return sorted(self.names) if len(self.names) > 1 else []


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


def find(folder: Path) -> tuple[list[Submission], list[str]]:
    """The submissions in a folder, in order, and what else lies there.

    Each folder, archive, chapter or notebook is a student's.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder. It has to hold a folder or a file for each student.")
    found: dict[str, Submission] = {}
    others = []
    for entry in sorted(folder.iterdir(), key=lambda p: p.name):
        if SYSTEMS_OWN.fullmatch(entry.name):
            continue
        wanted = entry.is_dir() or entry.is_file() and entry.suffix.lower() in (*SUFFIXES, ".zip")
        wanted = wanted and not PASSED_OVER.fullmatch(entry.name)
        if entry.is_symlink() or not wanted:
            others.append(plain_name(entry.name))
            continue
        submission = _named(entry)
        known = found.setdefault(submission.id, submission)
        known.places.append(entry)
        known.names.add(submission.name)
    if not found:
        raise UsageError(f"{folder} holds no submissions: no folder, no .zip, no .py and no .ipynb.")
    return sorted(found.values(), key=lambda s: s.id), others


def _named(entry: Path) -> Submission:
    """Whose it is, from the name: as Moodle or Canvas write it, or as it stands."""
    name = plain_name(unicodedata.normalize("NFC", entry.name if entry.is_dir() else entry.stem))
    match = MOODLE.fullmatch(name)
    if match and (name.count(MOODLES_SUFFIX) == 1 or entry.is_dir() and not match["rest"]):
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
            _read_file(place, plain_name(place.name), handed)
    if handed.full:
        handed.remark(f"only the first {MOST_FILES} files, or {LARGEST_SUBMISSION // 1_000_000} MB, were looked at")
    _leave_out_the_courses(handed)
    return handed


def _leave_out_the_courses(handed: Handed) -> None:
    """Of a whole checkout, its commands, tests and package are nobody's work."""
    roots = {match["root"] for paper in handed.papers if (match := CHAPTER.fullmatch(paper.path))}
    folders = tuple(f"{root}{name}/" for root in roots for name in THE_COURSES)
    handed.papers = [paper for paper in handed.papers if not paper.path.startswith(folders)]


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
        if folder.name == ".tito" and entry.name != "log.jsonl":
            continue
        handed.seen += 1
        if handed.full:
            return
        inner = f"{path}/{plain_name(entry.name)}".lstrip("/")
        if entry.is_symlink():
            handed.remark(f"{inner} is a link, and was not followed")
        elif _passed_over(entry.name):
            continue
        elif entry.is_dir(follow_symlinks=False):
            _read_folder(Path(entry.path), handed, inner, depth + 1)
        elif _wanted(entry.name) or _is_archive(entry.name):
            _read_file(Path(entry.path), inner, handed)
        elif entry.name.lower().endswith(OTHER_ARCHIVES):
            handed.remark(f"{inner} is an archive of a kind that is not read: .zip is")


def _wanted(path: str) -> bool:
    parts = PurePosixPath(path)
    return parts.suffix.lower() in SUFFIXES or parts.name == "log.jsonl"


def _is_archive(path: str) -> bool:
    return path.lower().endswith(".zip")


def _read_file(file: Path, path: str, handed: Handed) -> None:
    """Read a plain file: no link, no device, no pipe, and not more than there may be."""
    archive = _is_archive(path)
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


def _read_archive(content: bytes, path: str, handed: Handed, inner: bool = False) -> None:
    """The members of an archive that may be chapters, read in memory: nothing is ever unpacked."""
    if content.count(MEMBER) > MOST_MEMBERS:
        handed.remark(f"{path} holds too many files, and was not opened")
        return
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except Exception as error:  # zipfile raises whatever a damaged archive makes it raise
        handed.remark(f"{path} could not be read as an archive: {type(error).__name__}")
        return
    for member in archive.infolist():
        if handed.full:
            return
        name = f"{path}/{plain_name(member.filename[:LONGEST_NAME])}"
        try:
            _read_member(archive, member, name, handed, inner)
        except Exception as error:
            locked = member.flag_bits & 1
            handed.remark(f"{name} could not be read: {'it is encrypted' if locked else type(error).__name__}")


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: str, handed: Handed, inner: bool) -> None:
    handed.seen += 1
    parts = member.filename.replace("\\", "/").split("/")
    packed = _is_archive(parts[-1])
    if ".." in parts or parts[0] == "" or ":" in parts[0]:
        handed.remark(f"{path} leads out of its archive, and was not read")
    elif stat.S_ISLNK(member.external_attr >> 16):
        handed.remark(f"{path} is a link, and was not followed")
    elif member.is_dir() or not (packed or _wanted(parts[-1])) or any(map(_passed_over, parts)):
        return
    elif len(member.filename) > LONGEST_NAME:
        handed.remark(f"{path}... has too long a name, and was not read")
    elif member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        handed.remark(f"{path} is packed in a way that was not read")
    elif packed and inner:
        handed.remark(f"{path} is an archive in an archive in an archive, and was not read")
    else:
        most = LARGEST_ARCHIVE if packed else LARGEST_FILE
        with archive.open(member) as opened:
            content = opened.read(most + 1)
        if packed or len(content) > most:
            handed.size += len(content)
        if len(content) > most:
            handed.remark(f"{path} is larger than {most // 1_000_000} MB, and was not read")
        elif packed:
            _read_archive(content, path, handed, inner=True)
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
        said = EXPORTS.search(_code(paper))
        if said and said[1] in modules:
            certain.setdefault(modules[said[1]], {}).setdefault(paper.content, paper)
        elif name := _by_name(paper.path, modules):
            likely.setdefault(modules[name], {}).setdefault(paper.content, paper)
    found = {module: certain.get(module, {}) | likely.get(module, {}) for module in sorted(likely.keys() | certain)}
    return {module: list(papers.values()) for module, papers in found.items()}


def _code(paper: Paper) -> str:
    """The text; of a notebook, with a cell's lines as lines."""
    text = paper.content.decode("utf-8-sig", "replace")
    if not paper.path.lower().endswith(".ipynb"):
        return re.sub(r"\r\n?", "\n", text)
    return text.replace('"', "\n").replace("\\n", "\n")


def _by_name(path: str, modules: dict[str, str]) -> str:
    """`tensor` for `02_tensor.ipynb`, `tensor_dev.py`, `tensor_dev (1).py` and what platforms put before these."""
    file = PurePosixPath(path)
    if "core" in file.parts or file.name.startswith("test_"):
        return ""
    stem = re.sub(r"[ _-]*(\(\d+\)|copy|-\d+)$", "", file.stem.lower()).removesuffix("_dev")
    return next((name for name in modules if stem == name or stem.endswith(f"_{name}")), "")
