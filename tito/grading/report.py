"""A class's report: how many pass what, which mistakes are met, where people stall."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from tito.course import Course
from tito.plain import plain

MOST_EVENTS, LONGEST_EVENT, LARGEST_LOG = 50_000, 20_000, 5_000_000  # events, characters, bytes


def from_log(logs: list[bytes]) -> dict:
    """How often each exercise was tested without passing, and how many hints were asked for, in handed-in logs."""
    failed: Counter = Counter()
    hints: Counter = Counter()
    for event in _events(logs):
        module, exercise, states = event.get("module"), event.get("exercise"), event.get("exercises")
        if event.get("event") == "test" and isinstance(module, str) and isinstance(states, dict):
            failed.update(f"{module} {name}" for name, state in states.items() if state == "failing")
        elif event.get("event") == "hint" and isinstance(module, str) and isinstance(exercise, str):
            hints[f"{module} {exercise}"] += 1
    return {"failed": _most(failed), "hints": _most(hints)} if logs else {}


def _events(logs: list[bytes]) -> Iterator[dict]:
    for line in b"\n".join(logs)[:LARGEST_LOG].decode("utf-8", "replace").splitlines()[:MOST_EVENTS]:
        try:
            event = json.loads(line[:LONGEST_EVENT])
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            yield event


def _most(counts: Counter) -> dict[str, int]:
    most = sorted(counts.items(), key=lambda c: (-c[1], c[0]))[:200]
    return {plain(name[:120]): count for name, count in most}


def of_class(grades: dict) -> dict:
    """The report's numbers, a chapter at a time."""
    return {m["module"]: _chapter(grades, m["module"]) for m in grades["modules"]}


def _chapter(grades: dict, module: str) -> dict:
    students = [(s, next(m for m in s["modules"] if m["module"] == module)) for s in _graded(grades)]
    handed_in = [(s, m) for s, m in students if m["file"]]
    exercises = {}
    for position, empty in enumerate(students[0][1]["exercises"]):
        marks = [m["exercises"][position] for _, m in handed_in]
        exercises[empty["name"]] = {
            "title": empty["title"],
            "possible": empty["possible"],
            "states": dict(sorted(Counter(e["state"] for e in marks).items())),
            "mistakes": dict(Counter(e["mistake"] for e in marks if e["mistake"]).most_common()),
            "checks": dict(Counter(e["failure"]["call"] for e in marks if _unknown(e)).most_common(3)),
            "stalled": sum(_first_open(m) == empty["name"] for _, m in handed_in),
            "tries": _from_logs(handed_in, "failed", f"{module} {empty['name']}"),
            "hints": _from_logs(handed_in, "hints", f"{module} {empty['name']}"),
        }
    return {
        "handed_in": len(handed_in),
        "students": len(students),
        "mean": round(sum(m["points"] for _, m in handed_in) / len(handed_in), 2) if handed_in else 0,
        "possible": students[0][1]["possible"],
        "logs": sum(bool(s["log"]) for s, _ in handed_in),
        "exercises": exercises,
    }


def _graded(grades: dict) -> list[dict]:
    return [student for student in grades["students"] if not student["error"]]


def _unknown(exercise: dict) -> bool:
    """Fails with a value that no recorded mistake gives."""
    failure = exercise["failure"]
    return exercise["state"] == "failing" and not exercise["mistake"] and bool(failure["call"]) and not _waits(exercise)


def _waits(exercise: dict) -> bool:
    return bool(exercise["failure"]["needs"] or exercise["rests_on"])


def _first_open(marks: dict) -> str:
    return next((e["name"] for e in marks["exercises"] if e["state"] != "passing" and e["possible"]), "")


def _from_logs(handed_in: list[tuple], kind: str, name: str) -> int:
    return sum(s["log"].get(kind, {}).get(name, 0) for s, _ in handed_in)


def passing(exercise: dict) -> int:
    return exercise["states"].get("passing", 0)


def text(course: Course, grades: dict) -> str:
    """The report as plain text."""
    lines = []
    for module, chapter in of_class(grades).items():
        count = chapter["handed_in"]
        mean = f"mean {chapter['mean']:g} of {chapter['possible']:g} points"
        lines.append(f"{module}: {count} of {chapter['students']} handed in, {mean}")
        width = max(map(len, chapter["exercises"]), default=0)
        lines.append(f"  {'exercise':<{width}}  pass         failing  to do  stalled here")
        for name, exercise in chapter["exercises"].items():
            share = f"{passing(exercise)} ({passing(exercise) / count:.0%})" if count else "0"
            states = exercise["states"]
            row = f"  {name:<{width}}  {share:<11}  {states.get('failing', 0):>7}  {states.get('to do', 0):>5}"
            lines.append(f"{row}  {exercise['stalled']:>12}")
        lines += [*_met(chapter), *_logged(chapter), ""]
    return "\n".join(lines).rstrip() + "\n"


def _met(chapter: dict) -> list[str]:
    mistakes = [(n, e, name) for name, ex in chapter["exercises"].items() for e, n in ex["mistakes"].items()]
    checks = [(n, call, name) for name, ex in chapter["exercises"].items() for call, n in ex["checks"].items()]

    def most(row):
        return -row[0], row[2], row[1]

    lines = ["  mistakes met:"] if mistakes else []
    lines += [f"    {n:>4}  {name}: {what}" for n, what, name in sorted(mistakes, key=most)]
    lines += ["  failing otherwise, most often at:"] if checks else []
    lines += [f"    {n:>4}  {name}: {_short(what)}" for n, what, name in sorted(checks, key=most)[:10]]
    return lines


def _logged(chapter: dict) -> list[str]:
    """What handed-in logs tell of the way there."""
    rows = [(e["tries"], e["hints"], name) for name, e in chapter["exercises"].items() if e["tries"] or e["hints"]]
    lines = [f"  from {whose_logs(chapter)}, tests that failed and hints asked for:"] if rows else []
    return lines + [f"    {t:>4}  {h:>4}  {name}" for t, h, name in sorted(rows, key=lambda r: (-r[0], -r[1], r[2]))]


def whose_logs(chapter: dict) -> str:
    return "the log of 1 student" if chapter["logs"] == 1 else f"the logs of {chapter['logs']} students"


def _short(line: str) -> str:
    return line if len(line) <= 90 else line[:87] + "..."
