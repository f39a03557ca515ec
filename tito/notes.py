"""What the course knows of an exercise: its title, its hints, and the mistakes that people make.

They stand in the notes cells of the reference chapter. An edition that holds no solutions has no such cells;
there a `notes.json` beside the chapter holds the same, the mistakes' fingerprints worked out beforehand.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

from tito import workspace
from tito.chapter import HIDDEN
from tito.course import Course, Module
from tito.errors import CourseError
from tito.files import read, write_atomically

FINGERPRINT = ("call", "actual", "expected", "type")
SECONDS = 60


def notes(course: Course, module: Module) -> dict[str, dict]:
    """Title, hints, misconceptions and blank of each exercise that has notes."""
    chapter = workspace.reference_chapter(course, module)
    if chapter.has_notes:
        return {name: _whole(note) for name, note in chapter.notes().items()}
    file = notes_file(module)
    try:
        found = json.loads(read(file)) if file.exists() else {}
    except ValueError as error:
        raise CourseError(f"{file.relative_to(course.root).as_posix()} is damaged: {error}.") from error
    return {name: _whole(note) for name, note in found.items()}


def notes_file(module: Module) -> Path:
    """Where an edition without solutions keeps a chapter's notes."""
    return module.directory / "notes.json"


def title(course: Course, module: Module, exercise: str) -> str:
    return notes(course, module).get(exercise, {}).get("title", "")


def known_mistakes(course: Course, module: Module, exercise: str) -> list[dict]:
    """The recorded mistakes of an exercise: name, says, and call, actual, expected, type of the check they fail.

    What is not written down is worked out by running the recorded code, once for each text of the reference.
    A mistake whose code could not be run has no fingerprint.
    """
    recorded = notes(course, module).get(exercise, {}).get("misconceptions", [])
    if all("call" in wrong for wrong in recorded):
        return recorded
    return _with_fingerprints(recorded, _fingerprints(course, module, exercise))


def all_known_mistakes(course: Course, module: Module) -> None:
    """Work out at once what `known_mistakes` would ask for, one exercise after the other."""
    if any("call" not in wrong for note in notes(course, module).values() for wrong in note["misconceptions"]):
        _fingerprints(course, module)


def _with_fingerprints(recorded: list[dict], fingerprints: list[dict]) -> list[dict]:
    """Recorded mistakes without their code, with what it gave."""
    mistakes = [{key: value for key, value in wrong.items() if key != "code"} for wrong in recorded]
    found = {print_["name"]: print_ for print_ in fingerprints if print_["fails"]}
    return [
        wrong | {key: found[wrong["name"]][key] for key in FINGERPRINT} if wrong["name"] in found else wrong
        for wrong in mistakes
    ]


def for_release(course: Course, module: Module) -> tuple[dict[str, dict], list[str]]:
    """The chapter's notes as `notes.json` has them, without code, with every fingerprint; and what is left out.

    The fingerprints come from the tests as they are handed out. A mistake that only held-back checks meet has none
    there, and is left out: what it would be known by must not be told.
    """
    every = _fingerprints(course, module)
    visible = _fingerprints(course, module, handed_out=True) if _holds_back(course, module) else every
    unmet = {(p["exercise"], p["name"]) for p in visible if not p["fails"]}
    left_out = [f"{p['exercise']}: {p['name']}" for p in every if p["fails"] and (p["exercise"], p["name"]) in unmet]
    released = {}
    for name, note in notes(course, module).items():
        own = [print_ for print_ in visible if print_["exercise"] == name]
        kept = [wrong for wrong in note["misconceptions"] if f"{name}: {wrong['name']}" not in left_out]
        released[name] = note | {"misconceptions": _with_fingerprints(kept, own)}
    return released, left_out


def _holds_back(course: Course, module: Module) -> bool:
    return bool(HIDDEN.search(workspace.reference_chapter(course, module).text))


def _whole(note: dict | None) -> dict:
    note = note or {}
    whole = {"title": note.get("title") or "", "hints": note.get("hints") or []}
    return note | whole | {"misconceptions": note.get("misconceptions") or []}


def _fingerprints(course: Course, module: Module, exercise: str = "", handed_out: bool = False) -> list[dict]:
    """The fingerprints of an exercise, or of all, kept from the last time or worked out."""
    edition = ".handed-out" if handed_out else ""
    file = course.private / "cache" / "mistakes" / f"{module.name}{edition}.json"
    key = _key(course, module)
    known = _kept(file, key)
    wanted = [exercise] if exercise else list(notes(course, module))
    if not all(name in known for name in wanted):
        found = _work_out(course, module, exercise, edition.lstrip("."))
        if found is None:
            return []
        known |= {name: [print_ for print_ in found if print_["exercise"] == name] for name in wanted}
        with contextlib.suppress(OSError):  # a read-only checkout: worked out each time
            write_atomically(file, json.dumps({"key": key, "exercises": known}, indent=1) + "\n")
    return [print_ for name in wanted for print_ in known[name]]


def _key(course: Course, module: Module) -> str:
    """What the fingerprints depend on: the chapter as handed out, the package before it, and how they are made."""
    files = [course.package / "core" / f"{m.name}.py" for m in course.before(module)]
    files += [course.package / "testing.py", Path(__file__).with_name("misconceptions.py")]
    texts = [read(file) for file in files if file.exists()]
    return workspace.fingerprint("\0".join([workspace.reference_chapter(course, module).text, *texts]))


def _kept(file: Path, key: str) -> dict[str, list[dict]]:
    try:
        kept = json.loads(read(file))
        return kept["exercises"] if kept["key"] == key else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # nothing kept yet, or of another text


def _work_out(course: Course, module: Module, exercise: str = "", edition: str = "") -> list[dict] | None:
    """Run the recorded code of one exercise, or of all, in a process of its own; None where that did not work."""
    from tito import runner

    command = [sys.executable, "-m", "tito.misconceptions", module.name, exercise, edition]
    variables = runner.environment(course, course.root) | {"PYTHONWARNINGS": "ignore"}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    try:
        done = subprocess.run(command, cwd=course.root, env=variables, timeout=SECONDS, encoding="utf-8", **pipes)
        return json.loads(done.stdout) if done.returncode == 0 else None
    except (subprocess.TimeoutExpired, ValueError):
        return None
