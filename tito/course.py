"""The course: where it is, and which chapters it has in which order."""

from __future__ import annotations

import configparser
import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tito.chapter import Chapter
from tito.errors import CourseError, UsageError

SETTINGS = {
    "course": {
        "title": "TinyTorch",
        "chapters": "modules/source",
        "package": "tinytorch",
        "tests": "tests",
        "modules": "all",
    },
    "limits": {"test_seconds": "30", "chapter_seconds": "300", "memory_mb": "8192", "grading_memory_mb": "2048"},
    "jupyter": {"port": "8888"},
}


@dataclass(frozen=True)
class Module:
    """A chapter's directory, `modules/source/NN_name`."""

    root: Path
    directory: Path

    @property
    def id(self) -> str:
        """The directory's name, `07_autograd`."""
        return self.directory.name

    @property
    def number(self) -> int:
        return int(self.id.partition("_")[0])

    @property
    def name(self) -> str:
        return self.id.partition("_")[2]

    @property
    def dev(self) -> Path:
        """The chapter's file."""
        return self.directory / f"{self.name}_dev.py"

    @property
    def dev_path(self) -> str:
        """The chapter's file as the student types it."""
        return self.dev.relative_to(self.root).as_posix()

    @cached_property
    def chapter(self) -> Chapter:
        return Chapter.read(self.dev, self.dev_path)

    @property
    def title(self) -> str:
        """From module.yaml, read without a YAML parser since that line is a plain one."""
        path = self.directory / "module.yaml"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        found = re.search(r"^title:[ \t]*(.+?)[ \t]*(?:#.*)?$", text, re.M)
        return found[1].strip("\"'") if found else self.name


@dataclass(frozen=True)
class Course:
    """A checkout of the course."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> Course:
        """The course around `start`, or the one that `tito` itself belongs to."""
        start = (start or Path.cwd()).resolve()
        own = Path(__file__).resolve().parent.parent
        for directory in (start, *start.parents, own):
            if (directory / "settings.ini").is_file() and (directory / "tinytorch").is_dir():
                return cls(directory)
        raise CourseError(
            f"no course here: neither {start} nor a directory above it holds settings.ini and tinytorch/."
        )

    @cached_property
    def settings(self) -> configparser.ConfigParser:
        settings = configparser.ConfigParser(interpolation=None)
        settings.read_dict(SETTINGS)
        try:
            settings.read(self.root / "settings.ini", encoding="utf-8")
        except configparser.Error as error:
            raise CourseError(f"settings.ini cannot be read: {error}") from error
        return settings

    def number(self, section: str, key: str) -> int:
        """A whole number from settings.ini."""
        text = self.settings[section][key]
        if not text.isdigit() or int(text) == 0:
            raise CourseError(f"settings.ini: {key} = {text}, but it has to be a whole number above 0.")
        return int(text)

    @property
    def source(self) -> Path:
        return self.root / self.settings["course"]["chapters"]

    @property
    def package(self) -> Path:
        return self.root / self.settings["course"]["package"]

    def package_files(self) -> list[Path]:
        """The files of the package, without what Python and editors leave there."""
        names = (file.relative_to(self.package) for file in self.package.rglob("*") if file.is_file())
        own = (name for name in names if not any(part == "__pycache__" or part[0] == "." for part in name.parts))
        return [self.package / name for name in sorted(own)]

    @property
    def tests(self) -> Path:
        return self.root / self.settings["course"]["tests"]

    @property
    def private(self) -> Path:
        """What `tito` keeps: references, attempts, results."""
        return self.root / ".tito"

    @cached_property
    def every_module(self) -> list[Module]:
        """All chapters on disk, in order."""
        if not self.source.is_dir():
            raise CourseError(f"{self.source.relative_to(self.root).as_posix()} is missing: it holds the chapters.")
        directories = [d for d in self.source.iterdir() if d.is_dir() and re.fullmatch(r"\d+_[a-z]\w*", d.name)]
        written = [Module(self.root, d) for d in directories if any(d.glob("*_dev.py")) or (d / "module.yaml").exists()]
        modules = sorted(written, key=lambda m: (m.number, m.name))
        for one, two in zip(modules, modules[1:], strict=False):
            if one.number == two.number:
                raise CourseError(f"{one.id} and {two.id} have the same number: rename one of the directories.")
        return modules

    @cached_property
    def modules(self) -> list[Module]:
        """The chapters that settings.ini hands out, in order."""
        wanted = self.settings["course"]["modules"]
        if wanted.strip() == "all":
            return self.every_module
        return self._several(self.every_module, wanted) if wanted.strip(" ,") else []

    def module(self, name: str) -> Module:
        """The chapter called `07_autograd`, `autograd`, `07` or `7`."""
        return self._among(self.modules, name)

    def named(self, text: str) -> list[Module]:
        """The chapters that `02-04,autograd` names, in order."""
        return self._several(self.modules, text)

    def before(self, module: Module) -> list[Module]:
        return [m for m in self.every_module if m.number < module.number]

    def _several(self, modules: list[Module], text: str) -> list[Module]:
        chosen: list[Module] = []
        for part in filter(None, (part.strip() for part in text.split(","))):
            first, _, last = part.partition("-") if re.fullmatch(r"\w+-\w+", part) else (part, "", part)
            begin, end = self._among(modules, first), self._among(modules, last)
            if begin.number > end.number:
                raise UsageError(f"{part}: {begin.id} comes after {end.id}.")
            chosen += [m for m in modules if begin.number <= m.number <= end.number]
        if not chosen:
            raise UsageError(f"{text!r} names no chapter: write as in 02-04,autograd.")
        return [m for m in modules if m in chosen]

    def _among(self, modules: list[Module], name: str) -> Module:
        wanted = name.strip().lower().rstrip("/\\").replace("\\", "/").rpartition("/")[2].removesuffix("_dev.py")
        for module in modules:
            if wanted in (module.id, module.name) or wanted.isdigit() and int(wanted) == module.number:
                return module
        raise UsageError(_unknown(name, modules))


def _exercises(module: Module) -> Collection[str]:
    try:
        return module.chapter.exercises
    except CourseError:  # its file is no text
        return ()


def _unknown(name: str, modules: list[Module]) -> str:
    """There is no such chapter: say what there is, the nearest names first."""
    names = {n: m for m in modules for n in (m.id, m.name)}
    if holds := [m.id for m in modules if name in _exercises(m)]:
        return f"{name} is an exercise of {' and of '.join(holds)}: name the module before it, {holds[0]} {name}."
    close = {names[n].id for n in difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)}
    if close:
        return f"no module is called {name!r}. Did you mean {' or '.join(sorted(close))}?"
    if modules:
        return f"no module is called {name!r}. There are: {', '.join(m.id for m in modules)}."
    return f"no module is called {name!r}: the course has no modules yet."
