"""A whole class: prepare the exams, mark every submission on all cores, go on where an earlier run was ended."""

from __future__ import annotations

import functools
import json
import os
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from tito import feedback, workspace
from tito.course import Course, Module
from tito.errors import CourseError, UsageError
from tito.grading import judge, pages, report, results, sandbox, submissions
from tito.grading.judge import Exam
from tito.grading.submissions import Handed, Paper, Submission


@dataclass
class Result:
    """What came of a run."""

    grades: dict
    lacks: dict[str, str]
    reused: int = 0
    changes: list[dict] = field(default_factory=list)

    @property
    def without_chapter(self) -> list[str]:
        return [s["id"] for s in self.grades["students"] if not any(m["file"] for m in s["modules"])]


@dataclass(frozen=True)
class Request:
    """What `tito grade` was asked for."""

    folder: Path
    out: Path
    modules: tuple[str, ...] = ()
    jobs: int = 0
    unprotected: bool = False


def count(folder: Path) -> int:
    return len(submissions.find(folder))


def as_data(result: Result) -> dict:
    """The result as JSON has it."""
    data = {"reused": result.reused, "moved": result.changes, "without_chapter": result.without_chapter}
    return data | {"lacks": result.lacks} | result.grades


def grade(course: Course, request: Request, done: Callable[[], None] = lambda: None) -> Result:
    """Mark all submissions of a folder and write the results."""
    found = submissions.find(request.folder)
    folder = results.Folder(request.out)
    _apart(request)
    wanted = _modules(course, request, found)
    folder.open()
    with tempfile.TemporaryDirectory(prefix="tito-grade-") as stage:
        os.chmod(stage, 0o700)
        locked = not request.unprotected
        exams = [Exam.prepare(course, module, Path(stage).resolve(), locked) for module in wanted]
        _protected(course, request, exams)
        marker = Marker(course, exams, folder, results.file_names([s.id for s in found]))
        marked = list(_side_by_side(marker, found, request.jobs or os.cpu_count() or 1, done))
    grades = _grades(exams, marked)
    text = {"report.html": pages.class_page(course, grades), "report.txt": report.text(course, grades)}
    changes = folder.finish(grades, text | {f"feedback/{s['file']}.html": pages.student(course, s) for s in marked})
    return Result(grades, exams[0].lacks, marker.reused, changes)


def _apart(request: Request) -> None:
    folder, out = request.folder.resolve(), request.out.resolve()
    if folder == out or out.is_relative_to(folder) or folder.is_relative_to(out):
        raise UsageError(f"{request.out} and {request.folder} lie in one another: keep results and submissions apart.")


def _modules(course: Course, request: Request, found: list[Submission]) -> list[Module]:
    """The chapters to grade: those that are named, or all that somebody handed in."""
    if request.modules:
        chosen = [course.module(name) for name in request.modules]
        return [m for m in course.modules if m in chosen]
    handed_in = {module for s in found for module in submissions.chapters(course, submissions.read(s))}
    if not handed_in:
        raise CourseError(
            f"no submission in {request.folder} holds a chapter of this course.\n"
            "  A chapter is told by its line `#| default_exp core.tensor`, or by its name: tensor_dev.py, tensor.ipynb."
        )
    return [m for m in course.modules if m.id in handed_in]


def _protected(course: Course, request: Request, exams: list[Exam]) -> None:
    """Refuse to run students' code where it could do harm, unless that was asked for."""
    if request.unprotected:
        return
    lacks = exams[0].lacks
    missing = [f"  {sandbox.PROTECTIONS[name]}: not here ({lacks[name]})" for name in sandbox.NEEDED if lacks.get(name)]
    missing += [
        f"  {path} lies where Python's own files are, which students' code can read: move it"
        for path in judge.exposed([course.root, request.folder, request.out])
    ]
    if missing:
        raise CourseError(
            "students' code is not run, because this system cannot be protected from it:\n"
            + "\n".join(missing)
            + "\n  Grade on a Linux of 2023 or later (a virtual machine or a container will do). Where you trust"
            + "\n  everybody who handed in, --unprotected grades all the same."
        )


class Marker:
    """Marks one submission after another; several threads may call it."""

    def __init__(self, course: Course, exams: list[Exam], folder: results.Folder, names: dict[str, str]):
        self.course, self.exams, self.folder, self.names = course, exams, folder, names
        self.titles = {exam.module.id: results.titles_of(course, exam.module) for exam in exams}
        self.reused = 0
        self.one_at_a_time = threading.Lock()
        self._diagnoses: dict[str, dict | None] = {}

    def __call__(self, submission: Submission) -> dict:
        handed = submissions.read(submission)
        papers = submissions.chapters(self.course, handed)
        file, key = self.names[submission.id], self._key(submission, handed, papers)
        if kept := self.folder.kept(file, key):
            with self.one_at_a_time:
                self.reused += 1
            return kept
        modules = [self._chapter(exam, papers.get(exam.module.id, [])) for exam in self.exams]
        marks = {
            "id": submission.id,
            "name": submission.name,
            "platform": submission.platform,
            "file": file,
            "points": sum(m["points"] for m in modules),
            "possible": sum(m["possible"] for m in modules),
            "modules": modules,
            "remarks": self._remarks(handed, papers),
            "log": report.from_log(handed.logs),
            "key": key,
        }
        self.folder.keep(file, marks)
        return marks

    def _key(self, submission: Submission, handed: Handed, papers: dict[str, list[Paper]]) -> str:
        parts = [submission.id, submission.name, submission.platform, *(exam.key for exam in self.exams)]
        parts += [f"{p.path}\0{p.content.hex()}" for found in papers.values() for p in found]
        parts += [log.hex() for log in handed.logs] + handed.remarks
        return workspace.fingerprint("\0".join(parts))

    def _chapter(self, exam: Exam, papers: list[Paper]) -> dict:
        """The chapter's marks; of several files the one with most points."""
        titles = self.titles[exam.module.id]
        marked = [exam.mark(paper.content, paper.path) for paper in papers]
        diagnose = functools.partial(self.diagnose, exam.module)
        all_marks = [results.chapter_marks(exam, m, titles, diagnose) for m in marked]
        if not all_marks:
            return results.not_handed_in(exam, titles)
        best = max(all_marks, key=lambda marks: marks["points"])
        if len(all_marks) > 1:
            others = ", ".join(m["file"] for m in all_marks if m is not best)
            best["remarks"].append(f"handed in more than once: {best['file']} counts, not {others}")
        return best

    def diagnose(self, module: Module, exercise: str, failure: dict) -> dict | None:
        """The recorded mistake, worked out once for all who make it."""
        key = json.dumps([module.id, exercise, failure])
        with self.one_at_a_time:
            if key not in self._diagnoses:
                self._diagnoses[key] = feedback.diagnose(self.course, module, exercise, failure)
            return self._diagnoses[key]

    def _remarks(self, handed: Handed, papers: dict[str, list[Paper]]) -> list[str]:
        graded = {exam.module.id for exam in self.exams}
        others = [f"{module} was handed in too, and is not graded here" for module in papers if module not in graded]
        nothing = [] if papers else ["no chapter of the course was found in what was handed in"]
        return handed.remarks + others + nothing


def _side_by_side(marker: Marker, found: list[Submission], jobs: int, done: Callable[[], None]) -> list[dict]:
    """Mark all, so many at a time; what is done when one cannot go on is kept."""
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(marker, submission) for submission in found]
        for future in futures:
            future.add_done_callback(lambda future: done())
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _grades(exams: list[Exam], marked: list[dict]) -> dict:
    """The class's marks, without what only a later run needs."""
    modules = []
    for exam in exams:
        exercises = {e["name"]: e["possible"] for e in results.not_handed_in(exam, {})["exercises"]}
        modules.append({"module": exam.module.id, "possible": exam.possible, "exercises": exercises})
    return {
        "possible": sum(exam.possible for exam in exams),
        "protections": {name: not lack for name, lack in exams[0].lacks.items()},
        "modules": modules,
        "students": [{key: value for key, value in student.items() if key != "key"} for student in marked],
    }
