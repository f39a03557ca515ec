"""Marks: from verdicts to points, kept one file a student, compared with the marks before, and as tables."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tito.course import Course, Module
from tito.errors import UsageError
from tito.files import read, write_atomically
from tito.grading.judge import Exam

MARK = "tito-grade.json"  # says that a folder is one of results, and under which protections they came about
Diagnose = Callable[[str, dict], dict | None]
PLATFORMS = {"moodle": "moodle.csv", "canvas": "canvas.csv"}
RESERVED = re.compile(r"(?i:con|prn|aux|nul|com\d|lpt\d)(\..*)?")  # to Windows
# Where a spreadsheet begins a cell, a semicolon being a comma in some countries, and what begins a formula.
FORMULA = re.compile(r"(^|[;,\t\r\n])(?=\s*[=+\-@\t\r\n＝＋－＠])")
LONGEST_NAME = 120  # bytes: a system takes 255, for all that is put before and after it
A_WORD = re.compile(r"(?:\w[\w .():-]*)?")


@dataclass(frozen=True)
class Folder:
    """Where the results go."""

    root: Path

    def open(self) -> None:
        """Make the folder; one that holds something else is left alone."""
        if self.root.exists() and not self.root.is_dir():
            raise UsageError(f"{self.root} is a file: --out names a folder.")
        if self.root.is_dir() and any(self.root.iterdir()) and not (self.root / MARK).exists():
            raise UsageError(f"{self.root} is not empty and holds no results of tito grade: name another with --out.")
        for left in self.root.rglob(".*.new"):  # what a run was writing when it was ended
            left.unlink()
        write_atomically(self.root / MARK, json.dumps({"results of": "tito grade"}) + "\n")

    def student(self, file: str) -> Path:
        return self.root / "students" / f"{file}.json"

    def page(self, file: str) -> Path:
        return self.root / "feedback" / f"{file}.html"

    def kept(self, file: str, key: str) -> dict | None:
        """A student's marks, where they were made of the same submission, tests and limits."""
        found = _json(self.student(file))
        return found if found and found.get("key") == key else None

    def keep(self, file: str, marks: str) -> None:
        write_atomically(self.student(file), marks)

    def everybody(self) -> dict[str, dict]:
        """All marks that are kept, by student."""
        found = map(_json, sorted((self.root / "students").glob("*.json")))
        return {marks["id"]: marks for marks in found if marks and {"id", "file", "modules"} <= set(marks)}

    def before(self) -> dict:
        """The marks of the last complete run."""
        return _json(self.root / "grades.json") or {}

    def finish(self, grades: dict, pages: dict[str, str]) -> list[dict]:
        """Write the tables and pages; whose points moved since the last complete run, and from what to what."""
        changes = moved(self.before(), grades)
        if changes:
            write_atomically(self.root / "changes.csv", table(_change_rows(changes)))
        for name, text in pages.items():
            write_atomically(self.root / name, text)
        written = tables(grades)
        for name, text in written.items():
            write_atomically(self.root / name, text)
        for name in set(PLATFORMS.values()) - set(written):
            (self.root / name).unlink(missing_ok=True)
        write_atomically(self.root / "grades.json", as_text(grades))
        return changes


def _json(file: Path) -> dict | None:
    try:
        found = json.loads(read(file))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def as_text(data: dict) -> str:
    """JSON that can be written: a character that UTF-8 has not makes an error here."""
    text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
    text.encode()
    return text


def file_names(ids: list[str], before: dict[str, str] | None = None) -> dict[str, str]:
    """A name for each student's files that every system takes, and no other student has.

    Who had one `before` keeps it. An id that is a name as it is comes first; what is made of the others is as much
    longer as it has to be, so that nobody can hand in under a name that is made of another's.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()

    def take(id: str, name: str) -> bool:
        free = name.casefold() not in taken
        if free:
            names[id] = name
            taken.add(name.casefold())
        return free

    others = [id for id in sorted(ids) if not (before and id in before and take(id, before[id]))]
    others = [id for id in others if not (_as_a_name(id) == id and not RESERVED.fullmatch(id) and take(id, id))]
    for id in others:
        digest, start = hashlib.sha256(id.encode()).hexdigest(), _as_a_name(id) or "student"
        next(length for length in range(8, len(digest) + 1) if take(id, f"{start}-{digest[:length]}"))
    return {id: names[id] for id in ids}


def _as_a_name(id: str) -> str:
    name = re.sub(r"[^\w.-]+", "_", id)[:60].encode()[:LONGEST_NAME].decode(errors="ignore")
    return name.strip("._")


def chapter_marks(
    exam: Exam, marked: dict, titles: dict[str, str], diagnose: Diagnose, needed: dict[str, list[str]]
) -> dict:
    """A chapter's marks from the verdicts on its tests.

    `diagnose` knows the recorded mistakes, `needed` which exercises an exercise rests on.
    """
    groups: dict[str, list] = {name: [] for name in exam.chapter.exercises}
    for question in exam.questions:
        groups.setdefault(question.exercise or question.name, []).append(question.name)
    exercises = []
    for name, tests in groups.items():
        verdicts = {test: marked["verdicts"][test] for test in tests}
        failing = {e["name"] for e in exercises if e["state"] == "failing"}
        cause = next((other for other in needed.get(name, ()) if other in failing), "")
        exercises.append(_exercise(name, verdicts, titles.get(name, ""), diagnose, cause))
    points = sum(e["points"] for e in exercises)
    found = {"module": exam.module.id, "title": exam.module.title, "file": marked["file"], "points": points}
    found |= {"possible": exam.possible, "exercises": exercises, "remarks": marked["remarks"]}
    return found | {"copies": int(bool(marked["file"]))}


def _exercise(name: str, verdicts: dict[str, dict], title: str, diagnose: Diagnose, cause: str) -> dict:
    """An exercise's points are those of its tests that passed; its failure is that of the first that did not.

    One that rests on another that fails, the `cause`, may be right: then a mistake is not recognised.
    """
    first = next((v["failure"] for v in verdicts.values() if not v["passed"]), None)
    state = "passing"
    if first:
        state = "to do" if first["needs"] == name else "failing"
    ran = state == "failing" and first["kind"] != "import"
    known = diagnose(name, first) if ran and not cause else None
    return {
        "name": name,
        "title": title,
        "state": state,
        "points": sum(v["points"] for v in verdicts.values() if v["passed"]),
        "possible": sum(v["points"] for v in verdicts.values()),
        "tests": {test: v["passed"] for test, v in verdicts.items()},
        "failure": first,
        "rests_on": cause if ran and not first["needs"] else "",
        "held_back": next((v["held_back"] for v in verdicts.values() if "held_back" in v), None),
        "mistake": known["name"] if known else "",
        "says": known["says"] if known else "",
    }


def comparable(marks: dict, modules: list[dict]) -> bool:
    """Whether these marks are for the same chapters, exercises and points as those of this run."""
    had = [
        {
            "module": m["module"],
            "possible": m["possible"],
            "exercises": {e["name"]: e["possible"] for e in m["exercises"]},
        }
        for m in marks["modules"]
    ]
    return had == modules and all("copies" in m for m in marks["modules"]) and "claimed_by" in marks


def not_handed_in(exam: Exam, titles: dict[str, str]) -> dict:
    nothing = {q.name: {"passed": False, "points": q.points, "failure": None} for q in exam.questions}
    marked = {"file": "", "verdicts": nothing, "remarks": []}
    marks = chapter_marks(exam, marked, titles, lambda name, failure: None, {})
    for exercise in marks["exercises"]:
        exercise["state"] = "not handed in"
    return marks


def moved(before: dict, after: dict) -> list[dict]:
    """Whose points changed: student, chapter and exercise, and the points before and now."""
    old, new = _all_points(before), _all_points(after)
    changes = []
    for key in sorted(set(old) & set(new)):
        if old[key] != new[key]:
            place = dict(zip(("student", "module", "exercise"), key))
            changes.append(place | {"before": old[key], "now": new[key]})
    return changes


def _all_points(grades: dict) -> dict[tuple, float]:
    found = {}
    for student in grades.get("students", ()):
        for module in student["modules"]:
            for exercise in module["exercises"]:
                found[student["id"], module["module"], exercise["name"]] = exercise["points"]
    return found


def _change_rows(changes: list[dict]) -> list[list]:
    header = ["Student", "Chapter", "Exercise", "Before", "Now"]
    return [header] + [[c["student"], c["module"], c["exercise"], c["before"], c["now"]] for c in changes]


def tables(grades: dict) -> dict[str, str]:
    """The CSV files: all points for everybody, and those that a learning platform imports."""
    students = grades["students"]
    found = {"grades.csv": table(_all_rows(grades))}
    for platform, rows in (("moodle", _moodle_rows), ("canvas", _canvas_rows)):
        if own := [s for s in students if s["platform"] == platform and not s["error"]]:
            found[PLATFORMS[platform]] = table(rows(grades, own))
    return found


def _all_rows(grades: dict) -> list[list]:
    """A column for each exercise, with the points there are in its title; Moodle's gradebook maps such columns."""
    titles, columns = ["ID", "Student"], grades["modules"]
    for module in columns:
        titles += [f"{module['module']} {name} ({points:g})" for name, points in module["exercises"].items()]
        titles.append(f"{module['module']} total ({module['possible']:g})")
    rows = [[*titles, f"Total ({grades['possible']:g})"]]
    for student in grades["students"]:
        row = [student["id"], student["name"]]
        for module in student["modules"]:
            row += [e["points"] for e in module["exercises"]] + [module["points"]]
        points = [*row[2:], student["points"]]
        rows.append(row[:2] + (points if not student["error"] else [""] * (len(rows[0]) - 2)))
    return rows


def _moodle_rows(grades: dict, students: list[dict]) -> list[list]:
    """The grading worksheet of an assignment."""
    rows = [["Identifier", "Full name", "Grade", "Maximum Grade", "Last modified (grade)", "Feedback comments"]]
    for student in students:
        row = [f"Participant {student['id']}", student["name"], student["points"], grades["possible"]]
        rows.append([*row, "", in_a_line(student)])
    return rows


def _canvas_rows(grades: dict, students: list[dict]) -> list[list]:
    """The gradebook: a column for each chapter, and the row that says how many points there are."""
    modules = grades["modules"]
    rows = [["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *(m["module"] for m in modules)]]
    rows.append(["Points Possible", "", "", "", "", *(m["possible"] for m in modules)])
    for student in students:
        rows.append([student["name"], student["id"], "", "", "", *(m["points"] for m in student["modules"])])
    return rows


def in_a_line(student: dict) -> str:
    missing = [e["name"] for m in student["modules"] for e in m["exercises"] if e["points"] < e["possible"]]
    return "all exercises pass" if not missing else "not yet passing: " + ", ".join(missing)


def table(rows: list[list]) -> str:
    """CSV in which no cell is a formula to a spreadsheet, and each that is more than words is quoted."""
    return "".join(",".join(map(_cell, row)) + "\n" for row in rows)


def _cell(value) -> str:
    if isinstance(value, int | float):
        return f"{value:g}"
    text = FORMULA.sub(r"\1'", value)
    return text if A_WORD.fullmatch(text) else '"' + text.replace('"', '""') + '"'


def titles_of(course: Course, module: Module) -> dict[str, str]:
    from tito.notes import notes

    return {name: note["title"] for name, note in notes(course, module).items()}
