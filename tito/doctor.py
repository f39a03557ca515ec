"""What the course needs of its surroundings, a function for each thing."""

from __future__ import annotations

import functools
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from tito import derived, lost, marks, outside, sources, transaction, update, workspace
from tito.course import Course, Module
from tito.environment import Environment, requirements
from tito.errors import CourseError
from tito.jupyter import is_free

OLDEST_PYTHON, OLDEST_NUMPY = (3, 11), (2, 0)
ROOM = 100  # MB that have to be left on the disk


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    state: str  # well, note, wrong
    subject: str
    said: str
    repair: Callable[[], object] | None = None

    def __str__(self) -> str:
        return f"{self.state:<6} {self.subject:<12} {self.said}"

    def as_data(self) -> dict:
        return {"state": self.state, "subject": self.subject, "said": self.said, "repairable": self.repair is not None}


def examine(course: Course) -> list[Finding]:
    """Everything that is looked at, in order."""
    looks = (
        _python,
        _numpy,
        _tools,
        _environment,
        _writable,
        _room,
        _path,
        _update,
        _chapters,
        _work,
        _package,
        _leftovers,
        _executable,
        _jupyter,
        _port,
        _git,
    )
    return [finding for look in looks for finding in look(course)]


def repair(course: Course, findings: list[Finding]) -> list[Finding]:
    """Repair what can be, and look again; what a repair says comes first."""
    done = [(finding.subject, finding.repair()) for finding in findings if finding.repair]
    said = [Finding("note", subject, text) for subject, text in done if isinstance(text, str)]
    return said + examine(Course(course.root))


def _python(course: Course) -> Iterator[Finding]:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        yield Finding("wrong", "Python", f"{found}, but 3.11 or newer is needed")
    else:
        yield Finding("well", "Python", f"{found}, {sys.executable}")


def _numpy(course: Course) -> Iterator[Finding]:
    try:
        found = metadata.version("numpy")
    except metadata.PackageNotFoundError:
        yield Finding("wrong", "NumPy", "is not installed", _reinstall(course))
        return
    if not _whole("numpy"):
        yield Finding("wrong", "NumPy", f"{found} is incomplete: files of it are missing", _reinstall(course, "numpy"))
    elif tuple(map(int, found.split(".")[:2])) < OLDEST_NUMPY:
        yield Finding("wrong", "NumPy", f"{found}, but 2.0 or newer is needed", _reinstall(course))
    else:
        yield Finding("well", "NumPy", found)


def _tools(course: Course) -> Iterator[Finding]:
    """The packages of the extra `course`."""
    names = [_name(r) for r in requirements(course.root, ("course",))]
    missing = [name for name in names if not _installed(name)]
    broken = [name for name in names if name not in missing and not _whole(name)]
    if missing or broken:
        said = [f"missing: {', '.join(missing)}"] if missing else []
        said += [f"files are missing of {', '.join(broken)}"] if broken else []
        yield Finding("wrong", "tools", "; ".join(said), _reinstall(course, *broken))
    else:
        yield Finding("well", "tools", ", ".join(f"{n} {metadata.version(n)}" for n in names if n != "numpy"))


def _environment(course: Course) -> Iterator[Finding]:
    own = Environment(course.root)
    if not own.entered:
        yield Finding("note", "environment", f"{sys.prefix}, not the course's own: bin/tito makes and uses .venv")
    elif not own.ready:
        yield Finding("wrong", "environment", ".venv is older than pyproject.toml", _reinstall(course))
    else:
        yield Finding("well", "environment", f".venv, with {', '.join(own.installed_extras())}")


def _writable(course: Course) -> Iterator[Finding]:
    import tempfile

    closed = []
    for directory in (course.root, course.source, course.package, course.package / "core"):
        try:
            tempfile.TemporaryFile(dir=directory).close()
        except OSError:
            closed.append(directory.relative_to(course.root).as_posix())
    if closed:
        yield Finding(
            "wrong", "files", f"no writing in {', '.join(closed)}: results are not remembered, chapters cannot be begun"
        )
    else:
        yield Finding("well", "files", "the checkout can be written")


def _path(course: Course) -> Iterator[Finding]:
    text = str(course.root)
    odd = [what for what, there in (("spaces", " " in text), ("letters beyond ASCII", not text.isascii())) if there]
    yield Finding("well", "path", text + (f" (its {' and '.join(odd)} do no harm)" if odd else ""))


def _chapters(course: Course) -> Iterator[Finding]:
    from tito import checks

    begun = workspace.started(course)
    problems = []
    for module in course.modules:
        try:
            problems += checks.export_problems(course, module, module.name in begun)
        except CourseError as error:  # a file that is no text
            if workspace.recoded(module):
                recode = functools.partial(workspace.recode, course, module)
                said = f"{module.dev_path} was saved in another encoding than UTF-8"
                yield Finding("wrong", "chapters", said, recode)
                continue
            what = f" Save it as UTF-8 in your editor; what is kept of it: tito undo {module.id} --list"
            problems.append(str(error).partition("\n")[0] + what)
    for problem in problems:
        yield Finding("wrong", "chapters", str(problem))
    if not problems:
        yield Finding("well", "chapters", f"{len(course.modules)}, of which {len(begun)} begun")


def _work(course: Course) -> Iterator[Finding]:
    """What a student wrote, and what it is tested and blanked with."""
    for module in course.modules:
        try:
            yield from _work_on(course, module)
        except CourseError:
            continue  # said above


def _work_on(course: Course, module: Module) -> Iterator[Finding]:
    chapter = module.chapter
    if "\n<<<<<<< " in chapter.text:
        said = f"{module.dev_path} holds git's conflict markers: git merge --abort, then tito update"
        yield Finding("wrong", "work", said)
        return
    if lost.is_lost(course, module):
        said = f"{module.id} holds work, but its reference is not in .tito: {lost.command(course, module)}"
        yield Finding("wrong", "work", said, _find_reference(course, module))
    if not workspace.is_started(course, module):
        return
    reference = workspace.reference_chapter(course, module)
    if lost.is_damaged(course, module):
        what = "holds blank exercises" if reference.exercises else "is damaged"
        said = f"the reference of {module.id} in .tito {what}: {lost.command(course, module)}"
        yield Finding("wrong", "work", said, _find_reference(course, module))
    elif not chapter.text.strip():
        bring_back = functools.partial(workspace.restore, course, module)
        yield Finding("wrong", "work", f"{module.dev_path} is missing or empty", bring_back)
    else:
        for mark in marks.lost(chapter, reference):
            yield Finding("wrong", "work", mark.sentence(module.dev_path))
        if said := outside.told(chapter, reference):
            yield Finding("note", "work", said)


def _find_reference(course: Course, module: Module) -> Callable[[], object] | None:
    """Take the reference from where it was found; your own file stays as it is."""
    where = lost.found(course, module)
    return (lambda: workspace.start(course, module, lost.reference(course, module, where))) if where else None


def _update(course: Course) -> Iterator[Finding]:
    if transaction.interrupted(course):
        carry_on = functools.partial(update.finish, course)
        yield Finding("wrong", "update", "was interrupted: tito update carries it on", carry_on)


def _room(course: Course) -> Iterator[Finding]:
    left = shutil.disk_usage(course.root).free // 1_000_000
    if left < ROOM:
        yield Finding("wrong", "disk", f"{left} MB are left: make room, or what you write may not be saved")
    else:
        yield Finding("well", "disk", f"{left} MB are left")


def _executable(course: Course) -> Iterator[Finding]:
    """A zip file that was unpacked by hand forgets what may be run."""
    file = course.root / "bin" / "tito"
    if os.name != "nt" and file.exists() and not os.access(file, os.X_OK):
        repair = functools.partial(file.chmod, 0o755)
        yield Finding("note", "bin/tito", "is not executable: python bin/tito works, or tito doctor --fix", repair)


def _package(course: Course) -> Iterator[Finding]:
    try:
        begun = workspace.started(course)
        lost.refuse(course, course.modules)
        texts = derived.generate(course, [m for m in course.modules if m.name not in begun], begun)
    except (CourseError, ImportError):
        yield Finding("note", "package", "not compared with the chapters while they cannot be exported")
        return
    old = [derived.relative(course, path) for path, text in texts.items() if derived.current(path) != text]
    old += [derived.relative(course, path) for path in derived.leftover(course)]
    if old:
        yield Finding(
            "wrong", "package", f"not what the chapters say: {', '.join(old)}", lambda: derived.export(course, [])
        )
    else:
        yield Finding("well", "package", "is what the chapters say")


def _leftovers(course: Course) -> Iterator[Finding]:
    """Temporary files of a write that was interrupted."""
    files = [f for directory in (course.source, course.package, course.private) for f in directory.rglob(".*.new")]
    undecided = transaction.stage(course)
    if undecided.exists() and not transaction.interrupted(course):
        files = [f for f in files if not f.is_relative_to(undecided)] + [undecided]
    if files:
        names = ", ".join(derived.relative(course, f) for f in files)
        yield Finding("wrong", "leftovers", f"of an interrupted write: {names}", lambda: _remove(files))


def _jupyter(course: Course) -> Iterator[Finding]:
    config = course.root / "etc" / "jupyter" / "jupyter_server_config.py"
    if not config.exists():
        yield Finding(
            "wrong", "Jupyter", f"{derived.relative(course, config)} is missing: chapters will not open as notebooks"
        )
    elif find_spec("jupyterlab") is None:
        yield Finding("note", "Jupyter", "JupyterLab is not installed yet; tito jupyter installs it")
    else:
        yield Finding("well", "Jupyter", f"JupyterLab {metadata.version('jupyterlab')}")


def _port(course: Course) -> Iterator[Finding]:
    port = course.number("jupyter", "port")
    if is_free(port):
        yield Finding("well", "port", f"{port} is free")
    else:
        yield Finding("note", "port", f"{port} is in use (perhaps by JupyterLab); tito jupyter takes the next free one")


def _git(course: Course) -> Iterator[Finding]:
    if shutil.which("git") is None:
        yield Finding("note", "git", "is not installed; the course works without it")
    elif not (course.root / ".git").exists():
        yield Finding("note", "git", "this is no git checkout; the course works without one")
    elif sources.merging(course):
        yield Finding("wrong", "git", "stopped in the middle of a merge: git merge --abort, then tito update")
    else:
        yield Finding("well", "git", "a git checkout")


def _remove(paths: list[Path]) -> None:
    for path in paths:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _reinstall(course: Course, *broken: str) -> Callable[[], object] | None:
    """Bring our own environment up to date, and packages that are broken anew; nothing is done to anyone else's."""
    own = Environment(course.root)
    return functools.partial(own.renew, *broken) if own.entered else None


def _name(requirement: str) -> str:
    import re

    return re.match(r"[\w.-]+", requirement)[0]


def _whole(name: str) -> bool:
    """Whether what an installed package is imported by is there."""
    begin = [file for file in metadata.files(name) or () if len(file.parts) == 2 and file.name == "__init__.py"]
    return all(file.locate().exists() for file in begin)


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
