"""Whether what fails in a chapter is the fault of an earlier one, which the student wrote and whose tests it passes.

What failed is run once more with the course's own earlier chapters. Where it passes then, it is run with one of them
at a time, and the first that makes it pass is named.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from tito import derived, export, workspace
from tito.course import Course, Module

if TYPE_CHECKING:
    from tito.runner import Report

SECONDS = 20  # for all of it
Again = Callable[[list[Module], Collection[str], float], set[str]]


def blame(course: Course, report: Report, again: Again) -> None:
    """Name the earlier chapters that are at fault.

    `again(chapters, tests, seconds)` tells which of these tests pass with the course's own version of these chapters.
    """
    own_fault = [o for o in report.everything if o.state == "failing" and not o.needs]
    failing = {o.name: set(o.tests) for o in own_fault if o.failure["kind"] != "time"}  # those would take it all
    if report.further:
        failing = {"": set(report.further)}  # tests/name as a whole
    own = written(course, report.module) if failing and not report.broken else []
    over = time.monotonic() + SECONDS

    def mended(chapters: list[Module], names: Collection[str]) -> list[str]:
        left = over - time.monotonic()
        if not names or left < 1:
            return []
        passing = again(chapters, set().union(*(failing[name] for name in names)), left)
        return [name for name in names if failing[name] <= passing]

    found = dict.fromkeys(mended(own, failing) if own else [], "")
    for module in own if len(own) > 1 else []:
        found |= dict.fromkeys(mended([module], [name for name, chapter in found.items() if not chapter]), module.id)
    several = " and ".join(module.id for module in own)
    for outcome in report.everything:
        if outcome.name in found:
            outcome.fault_in = found[outcome.name] or several
    if "" in found:
        report.further_fault_in = found[""] or several


def written(course: Course, module: Module) -> list[Module]:
    """The earlier chapters that the package holds as the student wrote them, and of which the course has its own."""
    begun = [m for m in course.before(module) if workspace.is_started(course, m)]
    solved = [m for m in begun if workspace.has_solutions(course, m)]
    return [m for m in solved if derived.current(export.target(course, m)) != reference_export(course, m)]


def reference_export(course: Course, module: Module) -> str:
    return workspace.cached_export(course, module, workspace.reference_chapter(course, module))
