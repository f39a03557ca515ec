"""A whole class: prepare the exams, mark every submission on all cores, go on where an earlier run was ended."""

from __future__ import annotations

import functools
import json
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from tito import feedback, needed, notes, release, workspace
from tito.course import Course, Module
from tito.errors import CourseError, UsageError
from tito.grading import judge, pages, report, results, sandbox, submissions
from tito.grading.judge import Exam
from tito.grading.submissions import Handed, Paper, Submission
from tito.grading.supervise import Abandoned, Allowance, own_prefix, remove_what_killed_runs_left
from tito.names import graded_without_sentence
from tito.plain import plain

MOST_COPIES = 10  # of a chapter, handed in by one student


@dataclass
class Result:
    """What came of a run."""

    grades: dict
    lacks: dict[str, str]
    reused: int = 0
    changes: list[dict] = field(default_factory=list)
    others: list[str] = field(default_factory=list)  # what lay among the submissions and is none
    set_aside: list[str] = field(default_factory=list)  # not handed in here, and graded for something else

    @property
    def not_graded(self) -> dict[str, str]:
        """Students whom something unforeseen kept from being graded, and what it was."""
        return {s["id"]: s["error"] for s in self.grades["students"] if s["error"]}

    @property
    def without_chapter(self) -> list[str]:
        students = (s for s in self.grades["students"] if not s["error"])
        return [s["id"] for s in students if not any(m["file"] for m in s["modules"])]

    @property
    def claimed(self) -> dict[str, list[str]]:
        """Ids that several names are filed under."""
        return {s["id"]: s["claimed_by"] for s in self.grades["students"] if s["claimed_by"]}

    @property
    def too_many_copies(self) -> list[tuple[str, str, int]]:
        """Student, chapter, and how many copies of it there are, where not all were graded."""
        chapters = [(s["id"], m) for s in self.grades["students"] for m in s["modules"]]
        return [(id, m["module"], m["copies"]) for id, m in chapters if m["copies"] > MOST_COPIES]

    @property
    def not_run(self) -> list[tuple[str, str, str]]:
        """Student, file, and why it could not be run."""
        chapters = [(s["id"], m) for s in self.grades["students"] for m in s["modules"]]
        whys = [(id, m["file"], next(filter(None, map(_import_failure, m["exercises"])), "")) for id, m in chapters]
        return [(id, file, why) for id, file, why in whys if why]


def _import_failure(exercise: dict) -> str:
    failure = exercise["failure"]
    return failure["actual"] if failure and failure["kind"] == "import" else ""


@dataclass(frozen=True)
class Request:
    """What `tito grade` was asked for."""

    folder: Path
    out: Path
    modules: str = ""
    jobs: int = 0
    unprotected: bool = False


def count(folder: Path) -> int:
    return len(submissions.find(folder)[0])


def as_data(result: Result) -> dict:
    """The result as JSON has it."""
    data = {"reused": result.reused, "moved": result.changes, "without_chapter": result.without_chapter}
    data |= {"not_graded": result.not_graded, "passed_over": result.others, "claimed_by_several": result.claimed}
    data |= {"set_aside": result.set_aside}
    return data | {"lacks": result.lacks} | result.grades


def grade(course: Course, request: Request, done: Callable[[], None] = lambda: None) -> Result:
    """Mark all submissions of a folder and write the results."""
    found, others = submissions.find(request.folder)
    folder = results.Folder(request.out)
    _apart(request)
    wanted = _modules(course, request, found)
    folder.open()
    remove_what_killed_runs_left()
    with tempfile.TemporaryDirectory(prefix=own_prefix()) as stage:
        os.chmod(stage, 0o700)
        locked, over = not request.unprotected, threading.Event()
        exams = [Exam.prepare(course, module, Path(stage).resolve(), over, locked) for module in wanted]
        _protected(course, request, exams)
        for module in wanted:  # here, where the run can be ended, and not first when a student makes one
            notes.all_known_mistakes(course, module)
        marker = Marker(course, exams, folder, _file_names(found, kept := folder.everybody()), over)
        marked = list(_side_by_side(marker, found, request.jobs or os.cpu_count() or 1, done))
    if all(m["error"] for m in marked):
        raise CourseError(f"nobody could be graded. {marked[0]['name']}: {marked[0]['error']}")
    grades, set_aside = _grades(exams, marked, kept)
    text = {"report.html": pages.class_page(course, grades), "report.txt": report.text(course, grades)}
    changes = folder.finish(grades, text | {f"feedback/{m['file']}.html": marker.pages[m["id"]] for m in marked})
    return Result(grades, exams[0].lacks, marker.reused, changes, others, set_aside)


def _file_names(found: list[Submission], kept: dict[str, dict]) -> dict[str, str]:
    ids = sorted({s.id for s in found} | set(kept))
    return results.file_names(ids, {id: marks["file"] for id, marks in kept.items()})


def _apart(request: Request) -> None:
    folder, out = request.folder.resolve(), request.out.resolve()
    if folder == out or out.is_relative_to(folder) or folder.is_relative_to(out):
        raise UsageError(f"{request.out} and {request.folder} lie in one another: keep results and submissions apart.")


def _modules(course: Course, request: Request, found: list[Submission]) -> list[Module]:
    """The chapters to grade: those that are named, or all that somebody handed in."""
    if request.modules:
        return course.named(request.modules)
    handed_in = {module for submission in found for module in _handed_in(course, submission)}
    if not handed_in:
        raise CourseError(
            f"no submission in {request.folder} holds a chapter of this course.\n"
            "  A chapter is told by its line `#| default_exp core.tensor`, or by its name: tensor_dev.py, tensor.ipynb."
        )
    return [m for m in course.modules if m.id in handed_in]


def _handed_in(course: Course, submission: Submission) -> list[str]:
    try:
        return list(submissions.chapters(course, submissions.read(submission)))
    except Exception:
        return []  # the marker meets the same, and says whose it is


def _protected(course: Course, request: Request, exams: list[Exam]) -> None:
    """Refuse to run students' code where it could do harm, unless that was asked for."""
    if request.unprotected:
        return
    lacks = exams[0].lacks
    missing = [f"  {sandbox.PROTECTIONS[name]}: not here ({lacks[name]})" for name in sandbox.NEEDED if lacks.get(name)]
    missing += [
        f"  {path} lies where Python's own files are, which students' code can read: move or uninstall it"
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

    def __init__(
        self, course: Course, exams: list[Exam], folder: results.Folder, names: dict[str, str], over: threading.Event
    ):
        self.course, self.exams, self.folder, self.names, self.over = course, exams, folder, names, over
        self.titles = {exam.module.id: results.titles_of(course, exam.module) for exam in exams}
        self.needed = {exam.module.id: needed.by_each(exam.chapter, exam.chapter) for exam in exams}
        self.secret = release.secret_lines(release.choose(course))[0]
        self.reused = 0
        self.pages: dict[str, str] = {}
        self.one_at_a_time = threading.Lock()
        self._diagnoses: dict[str, dict | None] = {}

    def __call__(self, submission: Submission) -> dict:
        """A student's marks; where something unforeseen happens, it is that student's alone, and nothing is kept."""
        try:
            marks, kept = self._mark(submission)
            self.pages[submission.id] = pages.student(self.course, marks, self.secret)
            data = results.as_text(marks)
        except Abandoned:
            raise
        except Exception as error:
            return self._not_graded(submission, error)
        if not kept:
            self.folder.keep(marks["file"], data)
        return marks

    def _not_graded(self, submission: Submission, error: Exception) -> dict:
        why = plain(str(error) if isinstance(error, CourseError) else f"{type(error).__name__}: {error}")
        marks = self._about(submission) | {"error": f"could not be graded: {why[:500]}", "key": ""}
        self.pages[submission.id] = pages.student(self.course, marks, self.secret)
        return marks

    def _about(self, submission: Submission) -> dict:
        """What there is to say of a student before anything is graded."""
        about = {"id": submission.id, "name": submission.name, "platform": submission.platform}
        about |= {"claimed_by": submission.claimed_by, "file": self.names[submission.id], "error": "", "points": 0}
        possible = sum(exam.possible for exam in self.exams)
        return about | {"possible": possible, "modules": [], "remarks": [], "log": {}}

    def _mark(self, submission: Submission) -> tuple[dict, bool]:
        """The marks, and whether they are those of an earlier run."""
        handed = submissions.read(submission)
        papers = submissions.chapters(self.course, handed)
        key = self._key(submission, handed, papers)
        if kept := self.folder.kept(self.names[submission.id], key):
            with self.one_at_a_time:
                self.reused += 1
            return kept, True
        copies = [papers.get(exam.module.id, []) for exam in self.exams]
        marked = [self._copies(exam, found[:MOST_COPIES]) for exam, found in zip(self.exams, copies)]
        for exam, found, all_marked in zip(self.exams, copies, marked):  # after all that a page may tell of
            self._look_behind(exam, found, all_marked)
        modules = [self._chapter(*of_one) for of_one in zip(self.exams, copies, marked)]
        marks = self._about(submission) | {
            "points": sum(m["points"] for m in modules),
            "modules": modules,
            "remarks": self._remarks(handed, papers),
            "log": report.from_log(handed.logs),
            "key": key,
        }
        return marks, False

    def _key(self, submission: Submission, handed: Handed, papers: dict[str, list[Paper]]) -> str:
        parts = [submission.id, submission.name, submission.platform, json.dumps(submission.claimed_by)]
        parts += [*(exam.key for exam in self.exams)]
        parts += [f"{p.path}\0{p.content.hex()}" for found in papers.values() for p in found]
        parts += [log.hex() for log in handed.logs] + handed.remarks
        return workspace.fingerprint("\0".join(parts))

    def _chapter(self, exam: Exam, papers: list[Paper], marked: list[dict]) -> dict:
        """The chapter's marks; of several files the one with most points."""
        titles = self.titles[exam.module.id]
        if not papers:
            return results.not_handed_in(exam, titles)
        diagnose = functools.partial(self.diagnose, exam.module)
        all_marks = [results.chapter_marks(exam, m, titles, diagnose, self.needed[exam.module.id]) for m in marked]
        best = max(all_marks, key=lambda marks: marks["points"]) | {"copies": len(papers)}
        if len(papers) > 1:
            others = ", ".join(p.path for p in papers if p.path != best["file"]) or "another of the same name"
            best["remarks"].append(f"handed in more than once: {best['file']} counts, not {others}"[:500])
        best["remarks"] += self._graded_without(exam.module, best)
        if len(papers) > MOST_COPIES:
            best["remarks"].append(f"only the first {MOST_COPIES} of {len(papers)} copies were graded")
        return best

    def _graded_without(self, module: Module, marks: dict) -> list[str]:
        """What to do about names that the student's own earlier chapters had."""
        earlier = {m.name: m for m in self.course.before(module)}
        lacked = re.compile(rf"cannot import name '(\w+)' from '{self.course.package.name}\.core\.(\w+)'")
        found = [lacked.search(e["failure"]["message"]) for e in marks["exercises"] if e["failure"]]
        lacking = dict.fromkeys(match.groups() for match in found if match and match[2] in earlier)
        return [graded_without_sentence(module, earlier[other], name[:100]) for name, other in lacking]

    def _copies(self, exam: Exam, papers: list[Paper]) -> list[dict]:
        """Mark each copy."""
        shares = self._shares(exam, len(papers))
        return [exam.mark(paper.content, paper.path, share) for paper, share in zip(papers, shares)]

    def _look_behind(self, exam: Exam, papers: list[Paper], marked: list[dict]) -> None:
        for paper, one, share in zip(papers, marked, self._shares(exam, len(marked))):
            exam.look_behind(one, paper.content, share)

    def _shares(self, exam: Exam, copies: int) -> Iterator[Allowance]:
        """Of the time that all copies have, none takes more than its share of what is left."""
        left = float(exam.seconds)
        for number in range(copies):
            allowance = Allowance(share := left / (copies - number), self.over)
            yield allowance
            left -= share - max(allowance.left, 0)

    def diagnose(self, module: Module, exercise: str, failure: dict) -> dict | None:
        """The recorded mistake, worked out once for all who make it."""
        key = json.dumps([module.id, exercise, failure])
        with self.one_at_a_time:
            if key not in self._diagnoses:
                self._diagnoses[key] = feedback.diagnose(self.course, module, exercise, failure)
            return self._diagnoses[key]

    def _remarks(self, handed: Handed, papers: dict[str, list[Paper]]) -> list[str]:
        graded = {exam.module.id for exam in self.exams}
        too = " too" if graded & set(papers) else ""
        others = [f"{module} was handed in{too}, and is not graded here" for module in papers if module not in graded]
        nothing = [] if papers else ["no chapter of the course was found in what was handed in"]
        return handed.remarks + others + nothing


def _side_by_side(marker: Marker, found: list[Submission], jobs: int, done: Callable[[], None]) -> list[dict]:
    """Mark all, so many at a time; where the run is ended, workers are, and what was done before is kept."""
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(marker, submission) for submission in found]
        for future in futures:
            future.add_done_callback(lambda future: done())
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            return [future.result() for future in futures]
        except BaseException:
            marker.over.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _grades(exams: list[Exam], marked: list[dict], kept: dict[str, dict]) -> tuple[dict, list[str]]:
    """The class's marks, without what only a later run needs; and whose are left out.

    Who is not in this folder, and was graded before, stays in the class; unless the chapters or their points were
    others then, which no table holds side by side.
    """
    modules = []
    for exam in exams:
        exercises = {e["name"]: e["possible"] for e in results.not_handed_in(exam, {})["exercises"]}
        modules.append({"module": exam.module.id, "possible": exam.possible, "exercises": exercises})
    absent = {id: marks for id, marks in kept.items() if id not in {m["id"] for m in marked}}
    stay = [marks for marks in absent.values() if results.comparable(marks, modules)]
    students = sorted([*marked, *stay], key=lambda marks: marks["id"])
    grades = {
        "possible": sum(exam.possible for exam in exams),
        "protections": {name: not lack for name, lack in exams[0].lacks.items()},
        "modules": modules,
        "not_in_this_folder": sorted(marks["id"] for marks in stay),
        "students": [{key: value for key, value in student.items() if key != "key"} for student in students],
    }
    return grades, sorted(set(absent) - set(grades["not_in_this_folder"]))
