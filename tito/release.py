"""The students' edition: a course that works, with exercises to solve and no solution anywhere.

A chapter that is handed out stands there twice: in modules/source, where the student writes, and in
modules/handed_out, as it was, whose tests are those that count. Its notes are in notes.json, where a recorded mistake
is known by what its code gave, and the package holds what the blank chapter exports.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tito import derived, export, leaks, notes, workspace
from tito.chapter import HIDDEN, Chapter, without_hidden
from tito.course import Course, Module
from tito.errors import CourseError, UsageError
from tito.files import read, write_atomically

FILES = ("README.md", "LICENSE", "CITATION.cff", "pyproject.toml", "settings.ini", "_toc.yml", ".gitignore")
FILES += (".gitattributes", "tests/conftest.py")
FOLDERS = ("bin", "etc", "book", "tito")
# Of no use without the solutions, or about giving the course to others.
NOT_FOR_STUDENTS = ("book/instructors.md", "book/classroom.md", "book/quick_exploration.md", "book/tour.py")
NOT_FOR_STUDENTS += ("book/play.md",)
LEFT_BEHIND = re.compile(r"__pycache__|\.ipynb_checkpoints|_build|\..*\.new|.*\.py[co]|.*\.ipynb")
OWNERS_PART = re.compile(r"<!-- not for students -->\n.*?<!-- /not for students -->\n\n?", re.S)
STUDENTS_PART = re.compile(r"<!-- for students\n(.*?)-->\n", re.S)
A_DATE = (2020, 1, 1, 0, 0, 0)  # of everything in a zip file, so that two are the same


@dataclass(frozen=True)
class Edition:
    """Which chapters an edition holds."""

    course: Course
    blank: list[Module]  # to solve
    solved: list[Module]  # with their solutions
    listed: list[Module]  # those that its settings.ini hands out


@dataclass
class Written:
    """What was put into an edition."""

    files: int = 0
    lines: int = 0
    usage: list[str] = field(default_factory=list)
    shortened: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)  # recorded mistakes that only held-back checks meet


def choose(course: Course, modules: str = "", solutions: str = "") -> Edition:
    """The chapters that are handed out, those given before them, and those of them that keep their solutions."""
    listed = course.named(modules) if modules else course.modules
    unlocked = course.named(solutions) if solutions else []
    if strangers := [m.id for m in unlocked if m not in listed]:
        raise UsageError(f"--solutions {', '.join(strangers)}: not among the chapters that are handed out.")
    blank = [m for m in listed if m not in unlocked]
    if not blank:
        raise UsageError("no chapter is left to solve: name fewer with --solutions.")
    last = listed[-1].number
    return Edition(course, blank, [m for m in course.every_module if m.number <= last and m not in blank], listed)


def write(edition: Edition, target: Path, tests: bool = True) -> Written:
    """Build the edition beside its place, look for solutions in it, and only then put it there."""
    _can_be_released(edition)
    _free(edition.course, target)
    with tempfile.TemporaryDirectory(dir=target.absolute().parent, prefix=f".{target.name}.", suffix=".new") as scratch:
        root = Path(scratch) / target.stem
        lines, usage = secret_lines(edition)
        done = Written(lines=len(lines), usage=usage)
        _copy(edition, root, tests)
        _chapters(edition, root, lines, done)
        _derived(edition, Course(root))
        if found := leaks.find(root, lines | leaks.held_back(m.chapter for m in [*edition.solved, *edition.blank])):
            what = "solutions or held-back checks would be given away, so nothing was written:\n"
            raise CourseError(what + "\n".join(map(str, found)))
        done.files = sum(p.is_file() for p in root.rglob("*"))
        _place(root, target)
    return done


def _can_be_released(edition: Edition) -> None:
    """The chapters are complete, and the package is what they export."""
    course, modules = edition.course, [*edition.solved, *edition.blank]
    if any(workspace.handed_out_file(course, m).exists() for m in modules):
        raise CourseError("this is a students' edition itself: it holds no solutions to release from.")
    if begun := [m.id for m in modules if workspace.is_started(course, m)]:
        raise CourseError(
            f"{', '.join(begun)}: in progress here, so this checkout cannot say what the solutions are.\n"
            "  Release from a checkout of the course in which no chapter is begun."
        )
    export.check(course, modules)
    exports = {m.id: workspace.cached_export(course, m, m.chapter) for m in modules}
    if old := [m.id for m in modules if derived.current(export.target(course, m)) != exports[m.id]]:
        raise CourseError(f"{', '.join(old)}: changed after the last export: tito export --all, then release.")


def _free(course: Course, target: Path) -> None:
    """Nothing is replaced, and the edition is no part of what it is made from."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CourseError(f"{target} is there already: name a directory that is new or empty, or a new zip file.")
    if not target.absolute().parent.is_dir():
        raise CourseError(f"{target.parent} does not exist: make it, or name another place.")
    place = target.resolve()
    for folder in (course.source.parent, course.package, course.tests, *(course.root / name for name in FOLDERS)):
        if place.is_relative_to(folder.resolve()):
            raise CourseError(f"{target} lies in {derived.relative(course, folder)}, which is a part of the course.")


def secrets(course: Course) -> dict[str, str]:
    """The lines of solutions and of held-back checks that this checkout holds, each with what it belongs to."""
    chapters = {m: workspace.reference_chapter(course, m) for m in course.every_module}
    solved = [m for m, chapter in chapters.items() if not workspace.unsolved(chapter)]
    lines, _ = secret_lines(Edition(course, solved, [], solved))
    return lines | leaks.held_back(chapters[m] for m in solved)


def secret_lines(edition: Edition) -> tuple[dict[str, str], list[str]]:
    """The lines that must not be found, and those that are usage."""
    course = edition.course
    blank = [(m.id, workspace.reference_chapter(course, m)) for m in edition.blank]
    every = leaks.solutions(blank)
    given = [leaks.outside_exercises(chapter) for _, chapter in blank]
    given += [leaks.squeezed(m.chapter.text) for m in edition.solved]
    tools = [f for folder in (course.root / "tito", course.package) for f in folder.rglob("*.py")]
    code = [leaks.spoken(read(f)) for f in tools if f.parent != course.package / "core"]
    lines = leaks.telling(every, given, code)
    return lines, sorted(f"{exercise}: {line}" for line, exercise in every.items() if line not in lines)


def _copy(edition: Edition, root: Path, tests: bool) -> None:
    """Everything that stays as it is."""
    course, modules = edition.course, [*edition.solved, *edition.blank]
    sources = [course.root / name for name in FILES]
    folders = [course.root / name for name in FOLDERS] + [course.package] + [m.directory for m in modules]
    folders += [course.tests / m.name for m in modules] if tests else []
    generated = {export.target(course, m) for m in course.every_module}
    for file in [*sources, *(f for folder in folders for f in sorted(folder.rglob("*")))]:
        path = file.relative_to(course.root)
        skipped = any(LEFT_BEHIND.fullmatch(part) for part in path.parts) or path.as_posix() in NOT_FOR_STUDENTS
        if file.is_file() and not skipped and file not in generated and (tests or course.tests not in file.parents):
            copy = root / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)


def _chapters(edition: Edition, root: Path, lines: dict[str, str], done: Written) -> None:
    """The chapters, their notes, and what they export."""
    course = Course(root)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each runs the recorded mistakes in a process of its own
        found = dict(zip(edition.blank, pool.map(lambda m: notes.for_release(edition.course, m), edition.blank)))
    for module in [*edition.solved, *edition.blank]:
        blank = module in edition.blank
        text = workspace.blanked(module.chapter) if blank else module.chapter.text
        text = without_hidden_tests(Chapter(module.dev_path, text))
        write_atomically(root / module.dev_path, text)
        copy = Module(root, root / module.directory.relative_to(module.root))
        if blank:
            write_atomically(workspace.handed_out_file(course, module), text)
            kept, left_out = found[module]
            done.left_out += [f"{module.name} {mistake}" for mistake in left_out]
            _shorten(module, kept, lines, done)
            write_atomically(notes.notes_file(copy), json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
        write_atomically(export.target(course, module), export.generate(course, copy))


def without_hidden_tests(chapter: Chapter) -> str:
    """The chapter without what stands between nbgrader's marks; what is left of a test has to be one."""
    for cell in chapter.cells:
        if cell.is_test:
            try:
                without_hidden(cell.source, cell.grader.get("grade_id"))
            except CourseError as error:
                raise CourseError(f"{chapter.path}: {error}") from error
    return HIDDEN.sub("", chapter.text)


def _shorten(module: Module, found: dict[str, dict], lines: dict[str, str], done: Written) -> None:
    """Where a chapter's notes quote a line of a solution, leave out its second half."""
    for exercise, note in found.items():
        if unknown := [wrong["name"] for wrong in note["misconceptions"] if "call" not in wrong]:
            raise CourseError(f"{module.id}: mistakes recorded of {exercise} could not be run: {', '.join(unknown)}.")
        whole = list(note["hints"])
        note["hints"] = [leaks.shortened(hint, lines) for hint in whole]
        for wrong in note["misconceptions"]:
            wrong["says"] = leaks.shortened(wrong["says"], lines)
        if note["hints"] != whole:
            done.shortened.append(f"{module.name} {exercise}")


def _derived(edition: Edition, course: Course) -> None:
    """Settings, the READMEs and the book's contents, of the chapters that are there."""
    settings = course.root / "settings.ini"
    listed = f"modules = {', '.join(m.id for m in edition.listed)}\n"
    text, found = re.subn(r"^modules[ \t]*[=:].*\n", listed, read(settings), flags=re.M)
    write_atomically(settings, text if found else text.replace("[course]\n", f"[course]\n{listed}"))
    for page in sorted(course.root.rglob("*.md")):
        write_atomically(page, _for_students(edition, read(page)))
    contents = course.root / "_toc.yml"
    write_atomically(contents, pages_for_students(read(contents)))
    texts = derived.generate(Course(course.root), [], set())
    for module in Course(course.root).every_module:
        readme = module.directory / "README.md"
        if readme.exists():
            texts[readme] = derived.INFO.sub(
                lambda m, x=module: m[1] + derived.info(course, x) + m[2], derived.current(readme)
            )
    for path, text in texts.items():
        write_atomically(path, text)


def _for_students(edition: Edition, page: str) -> str:
    """A page without what is not for students, whose first commands are about the first chapter handed out."""
    page = STUDENTS_PART.sub(r"\1", OWNERS_PART.sub("", page))
    first, begin = edition.course.every_module[0].id, edition.listed[0].id
    return re.sub(rf"^(    tito .*){first}$", rf"\g<1>{begin}", page, flags=re.M)


def pages_for_students(contents: str) -> str:
    """The book's contents without the pages that are not for students."""
    names = "|".join(re.escape(name.rpartition(".")[0]) for name in NOT_FOR_STUDENTS)
    return re.sub(rf"^( *)- file: (?:{names})\n(?:\1  .*\n)*", "", contents, flags=re.M)


def _place(root: Path, target: Path) -> None:
    if target.suffix != ".zip":
        if target.exists():
            target.rmdir()
        root.rename(target)
        return
    packed = root.with_suffix(".zip")
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(p for p in root.rglob("*") if p.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(root.parent).as_posix(), A_DATE)
            entry.external_attr = (file.stat().st_mode & 0o777) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())
    os.replace(packed, target)
