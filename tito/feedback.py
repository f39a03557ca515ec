"""What is said of a failing exercise: what was tried, what came out, what was expected, and why it may be so."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Collection
from pathlib import Path

from tito import notes
from tito.course import Course, Module

WIDTH = 118
LINES = 6
NOISE = 1e-9  # of the largest number in a text: what rounding leaves of a zero beside it
LABEL = 9  # columns of "expected" and a space
NUMBER = re.compile(r"(?<![A-Za-z_0-9])[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def diagnose(course: Course, module: Module, exercise: str, failure: dict) -> dict | None:
    """The recorded mistake that fails the same check with the same value, or None."""
    if failure["type"] == "" or not failure["call"]:
        return None
    known = [wrong for wrong in notes.known_mistakes(course, module, exercise) if wrong.get("call") == failure["call"]]
    keys = ("type", "expected", "actual")
    exact = [wrong for wrong in known if all(wrong.get(key, failure[key]) == failure[key] for key in keys)]
    close = [wrong for wrong in known if all(same(wrong.get(key, failure[key]), failure[key]) for key in keys)]
    return next(iter(exact + close), None)


def same(one: str, other: str) -> bool:
    """Whether two texts of values differ in nothing but addresses, spaces and the last digits of numbers."""
    (words, numbers), (other_words, other_numbers) = _parts(one), _parts(other)
    if words != other_words:
        return False
    noise = NOISE * max((abs(float(number)) for number in numbers + other_numbers), default=0.0)
    return all(_close(a, b, noise) for a, b in zip(numbers, other_numbers))


def _parts(text: str) -> tuple[str, list[str]]:
    text = re.sub(r"0x[0-9a-fA-F]+", "address", text)
    text = re.sub(r"np\.\w+\(([^()]*)\)", r"\1", text)
    return "".join(NUMBER.sub("#", text).split()), NUMBER.findall(text)


def _close(one: str, other: str, noise: float) -> bool:
    whole = not re.search(r"[.eE]", one + other)
    return one == other if whole else math.isclose(float(one), float(other), rel_tol=1e-4, abs_tol=noise)


def lines(heading: str, failure: dict, place: str = "", width: int = WIDTH) -> list[str]:
    """A failure in at most six lines. `place` is the line of the student's that raised."""
    room = width - 4 - LABEL
    rows = [(label, short(failure[key], room)) for label, key in ROWS if failure[key]]
    says = textwrap.wrap(failure.get("says", ""), room)
    reason = failure["reason"]
    if reason and rows and len(rows[-1][1]) + len(reason) + 4 <= room:
        rows[-1] = (rows[-1][0], f"{rows[-1][1]}   ({reason})")
    elif reason and not says:
        rows.append(("", short(reason, room)))
    if place:
        rows.append(("in", short(place, room)))
    if len(rows) + len(says) > LINES - 1:
        rows = _joined(rows, room)
    spare = LINES - 1 - len(rows) - len(says)
    if failure["call"]:
        tried = led_to(failure["setup"], one_line(failure["call"]), room, 2 if spare > 0 else 1)
        rows[:1] = [("" if i else "tried", line) for i, line in enumerate(tried)]
    says = says[: LINES - 1 - len(rows)]
    rows += [("likely" if i == 0 else "", line) for i, line in enumerate(says)]
    return [short(heading, width - 2), *(f"  {label:<{LABEL}} {text}".rstrip() for label, text in rows)]


ROWS = (("tried", "call"), ("gave", "actual"), ("expected", "expected"))


def led_to(setup: list[str], call: str, room: int, most: int = 1) -> list[str]:
    """A call after as many of the statements before it as there is room for, the nearest first, in lines."""
    best = textwrap.wrap(call, room, break_on_hyphens=False, max_lines=most, placeholder=" ...")
    for count in range(len(setup) + 1):
        shown = setup[len(setup) - count :]
        text = "; ".join([*([MORE] if count < len(setup) else []), *shown, call])
        lines = textwrap.wrap(text, room, break_on_hyphens=False)
        if len(lines) > most or "\n" in "".join(shown):
            break
        best = lines
    return best


MORE = "..."  # statements for which there was no room


def _joined(rows: list[tuple[str, str]], room: int) -> list[tuple[str, str]]:
    """What came out and what was expected, in one row."""
    texts = dict(rows)
    if "gave" not in texts or "expected" not in texts:
        return rows
    half = (room - len(", expected ")) // 2
    gave, expected = (short(texts[label], max(half, room - 11 - len(texts[other]))) for label, other in PAIR)
    both = ("gave", short(f"{gave}, expected {expected}", room))
    return [both if label == "gave" else (label, text) for label, text in rows if label != "expected"]


PAIR = (("gave", "expected"), ("expected", "gave"))


def brief(name: str, failure: dict, width: int = WIDTH) -> str:
    """A failure in one line."""
    said = failure["actual"]
    if failure["call"] and failure["kind"] == "check":
        said = f"{short(failure['call'], 50)} gave {short(failure['actual'], 40)}"
        said += f", expected {failure['expected']}" if failure["expected"] else ""
    return short(f"{name}: {one_line(said)}", width)


def one_line(text: str) -> str:
    """Text without its line breaks; of an array, without the spaces that align its columns."""
    text = " ".join(text.split())
    return re.sub(r"(?<=\[) | (?=\])", "", text) if text.startswith("[") else text


def short(text: str, most: int) -> str:
    text = one_line(text)
    return text if len(text) <= most else text[: most - 3].rstrip() + "..."


def located(module: Module, place: dict) -> str:
    """A place as `path:line`, the path from the course's root."""
    path = Path(place["path"])
    path = path.relative_to(module.root) if path.is_relative_to(module.root) else path
    return f"{path.as_posix()}:{place['line']}" if place["line"] else path.as_posix()


def raised_in(module: Module, failure: dict, given: Collection[str]) -> str:
    """Where the student's own code raised: the innermost line of theirs that the traceback passes.

    Theirs is what stands in an exercise, and what is not among the lines that were `given`.
    """
    if failure["kind"] == "check":
        return ""
    own = [f for f in failure["frames"] if Path(f["path"]) == module.dev]
    regions = module.chapter.exercises.values()
    inside = [f for f in own if any(region.begin <= f["line"] <= region.end for region in regions)]
    written = [f for f in own if f in inside or f["source"] not in given]
    place = next((found[-1] for found in (written, own) if found), failure["where"])
    return f"{located(module, place)}: {place['source']}" if place else ""
