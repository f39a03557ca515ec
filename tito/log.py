"""What a student tried, asked and passed: `.tito/log.jsonl`, a line an event. It stays on this machine."""

from __future__ import annotations

import contextlib
import json
from datetime import datetime
from pathlib import Path

from tito.course import Course, Module


def file(course: Course) -> Path:
    return course.private / "log.jsonl"


def record(course: Course, event: str, **fields) -> None:
    """Append an event. What cannot be written (a read-only checkout) is not remembered, and nothing fails for it."""
    line = {"time": datetime.now().astimezone().isoformat(timespec="seconds"), "event": event} | fields
    with contextlib.suppress(OSError):
        file(course).parent.mkdir(exist_ok=True)
        with open(file(course), "a", encoding="utf-8", newline="\n") as log:
            log.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")


def record_test(course: Course, result: dict, partial: bool) -> None:
    """Append what came of a chapter's test; `result` is what `tito test --json` shows of it."""
    exercises = result["exercises"]
    met = {e["name"]: e["failure"]["mistake"] for e in exercises if e.get("failure", {}).get("mistake")}
    record(
        course,
        "test",
        module=result["module"],
        passed=result["passed"],
        points=result["points"],
        exercises={e["name"]: e["state"] for e in exercises},
        **({"partial": True} if partial else {}),
        **({"problems": result["problems"]} if result["problems"] else {}),
        **({"mistakes": met} if met else {}),
    )


def is_of(event: dict, module: Module) -> bool:
    """Whether an event is of this chapter: they are known by name, since a number may change."""
    return str(event.get("module")).partition("_")[2] == module.name


def events(course: Course, kind: str = "") -> list[dict]:
    """The events, the oldest first. A line that is no event, cut off by a power cut say, is passed over."""
    found = []
    with contextlib.suppress(OSError):
        for line in file(course).read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict) and kind in ("", event.get("event")):
                    found.append(event)
    return found
