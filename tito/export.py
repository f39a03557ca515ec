"""From the chapters to the package: nbdev's own exporter, in this process."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tito import checks, names, percent
from tito.chapter import split_cells
from tito.course import Course, Module
from tito.errors import ChapterError, Problem
from tito.files import replace_all


def check(course: Course, modules: list[Module], started: set[str] = frozenset()) -> None:
    """Raise `ChapterError` with everything that keeps these chapters from being exported."""
    problems: list[Problem] = []
    for module in modules:
        in_progress = module.name in started
        found = checks.export_problems(course, module, in_progress)
        problems += found or names.name_problems(course, module)
        problems += [] if in_progress else checks.author_problems(course, module)
    if problems:
        raise ChapterError(problems)


def generate(course: Course, module: Module, text: str | None = None) -> str:
    """The source of `tinytorch/core/name.py` for a chapter, or for another text of it."""
    with tempfile.TemporaryDirectory() as scratch:
        return _generate(course, module, module.chapter.text if text is None else text, Path(scratch))


def _generate(course: Course, module: Module, text: str, scratch: Path) -> str:
    from fastcore.nbio import dict2nb
    from nbdev.export import ExportModuleProc
    from nbdev.maker import ModuleMaker
    from nbdev.process import NBProcessor

    cells = split_cells(text)
    notebook = percent.notebook(text, cells)
    _same_cells(module, notebook["cells"], cells)
    for cell, own in zip(notebook["cells"], cells, strict=True):
        cell["id"] = f"L{own.code_line}"
    notebook["cells"] = [cell for cell, own in zip(notebook["cells"], cells, strict=True) if not own.is_notes]
    exporter = ExportModuleProc()
    NBProcessor(nb=dict2nb(notebook), procs=[exporter]).process()
    name = f"core.{module.name}"
    maker = ModuleMaker(dest=course.package, name=name, nb_path=module.dev)
    maker.nb_path = None  # no address of a web page in the docstring, whatever directory we are called from
    maker.fname = scratch / course.package.name / "core" / f"{module.name}.py"
    maker.make(exporter.modules["#"], exporter.in_all["#"], lib_path=scratch / course.package.name)
    return maker.fname.read_text(encoding="utf-8")


def _same_cells(module: Module, theirs: list, ours: list) -> None:
    """Our reader names the lines of cells that jupytext read: both have to see the same ones."""
    if len(theirs) != len(ours):
        message = f"jupytext reads {len(theirs)} cells, the lines `# %%` make {len(ours)}: is one inside a string?"
        raise ChapterError([Problem(module.dev_path, 0, message)])


def target(course: Course, module: Module) -> Path:
    """Where a chapter is exported to."""
    return course.package / "core" / f"{module.name}.py"


def install(texts: dict[Path, str]) -> list[Path]:
    """Put generated files in place; those that are there already are left alone."""
    changed = {p: text for p, text in texts.items() if not p.exists() or p.read_text(encoding="utf-8") != text}
    replace_all(changed)
    return sorted(changed)
