"""What went wrong, in the words of the person who has to mend it."""

from __future__ import annotations

from dataclasses import dataclass


class CourseError(Exception):
    """Something in the course is not as it has to be. The command ends with status 1."""

    status = 1


class UsageError(CourseError):
    """The command was wrong. It ends with status 2."""

    status = 2


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong in a file of the course."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        return f"{where}: {self.message}"


class ChapterError(CourseError):
    """Chapters that cannot be exported, with every problem found in them."""

    def __init__(self, problems: list[Problem]):
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))
