"""Runs a chapter's recorded wrong solutions: `python -m tito.misconceptions NAME [EXERCISE [handed-out]]`.

Each `code` in the notes takes its exercise's place, the exercise's tests are run, and the first check that
fails, with the value that came out, is the misconception's fingerprint. Prints a JSON list. All of this
happens in one process, on the chapter as it was handed out and the package that is imported there. With
`handed-out` the tests are without the checks that are held back.
"""

from __future__ import annotations

import contextlib
import json
import linecache
import sys
import textwrap
import types

from tito import inside, runner, workspace
from tito.chapter import HIDDEN, Chapter, Region, split_lines
from tito.course import Course, Module

SECONDS = 10


def fingerprints(course: Course, module: Module, only: str = "", handed_out: bool = False) -> list[dict]:
    """What each misconception's code fails with; `call` is empty where it passes."""
    chapter = workspace.reference_chapter(course, module)
    if handed_out:
        chapter = without_hidden_tests(course, chapter)
    return [
        fingerprint(course, module, chapter, chapter.exercises[exercise], wrong)
        for exercise, note in chapter.notes().items()
        if only in ("", exercise)
        for wrong in note.get("misconceptions") or ()
    ]


def without_hidden_tests(course: Course, chapter: Chapter) -> Chapter:
    """The chapter as students have it, under a name of its own: a failing check reads its source by name and line."""
    given = Chapter(f"handed out/{chapter.path}", HIDDEN.sub("", chapter.text))
    name, lines = str(course.root / given.path), split_lines(given.text, keepends=True)
    linecache.cache[name] = (len(given.text), None, lines, name)  # without a time, it stays whatever the disk says
    return given


def fingerprint(course: Course, module: Module, chapter: Chapter, region: Region, wrong: dict) -> dict:
    """The first check that fails with this code, and what came out."""
    tests = [t for t in chapter.tests if t.exercise == region.name]
    job = {
        "root": str(course.root),
        "module": f"{course.package.name}.core.{module.name}",
        "imports": [runner.cell_job(course, chapter.path, cell) for cell in chapter.import_cells],
        "tests": [runner.cell_job(course, chapter.path, test.cell) for test in tests],
        "seconds": SECONDS,
        "memory_mb": course.number("limits", "memory_mb"),
    }
    source = workspace.cached_export(course, module, chapter)
    failure = first_failure(job, with_code(source, region, wrong["code"])) or {}
    found = {key: failure.get(key, "") for key in ("call", "actual", "expected", "type")}
    return {"exercise": region.name, "name": wrong["name"], "fails": bool(failure), **found}


def with_code(source: str, region: Region, code: str) -> str:
    """The exported module with other lines in an exercise's region."""
    before, marker, rest = source.partition(f"{region.indent}### BEGIN SOLUTION {region.name}\n")
    _, end, after = rest.partition(f"{region.indent}### END SOLUTION")
    if not (marker and end):
        raise ValueError(f"the export of the chapter does not hold the exercise {region.name}.")
    return before + marker + textwrap.indent(code.rstrip() + "\n", region.indent) + end + after


def first_failure(job: dict, source: str) -> dict | None:
    """Put the source in the module's place and run the tests up to the first that fails."""
    module = types.ModuleType(job["module"])
    module.__package__ = job["module"].rpartition(".")[0]
    sys.modules[job["module"]] = module
    cell = job["tests"][0]
    try:
        with inside.time_limit(SECONDS):
            exec(compile(source, f"<{job['module']}>", "exec"), vars(module))
        names = inside.namespace(job)
        for cell in job["tests"]:
            with inside.time_limit(SECONDS):
                exec(inside.compile_cell(cell), dict(names))
    except (Exception, inside.OutOfTime) as error:
        return inside.describe(error, cell, job)
    return None


def main(name: str, exercise: str = "", edition: str = "") -> None:
    course = Course.find()
    seconds = course.number("limits", "chapter_seconds")
    inside.limit_resources({"memory_mb": course.number("limits", "memory_mb"), "chapter_seconds": seconds})
    with contextlib.redirect_stdout(sys.stderr):  # what the code itself prints
        found = fingerprints(course, course.module(name), exercise, edition == "handed-out")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:4])
