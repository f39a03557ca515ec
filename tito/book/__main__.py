"""`python -m tito.book TARGET [--students] [--quick]`: what `tito book build` runs in the book's own environment."""

from __future__ import annotations

import sys
from pathlib import Path

from tito.book import site
from tito.course import Course
from tito.errors import CourseError


def main() -> int:
    target, *options = sys.argv[1:]
    try:
        chosen = {"solutions": "--students" not in options, "quick": "--quick" in options}
        site.build(Course.find(), Path(target), **chosen, say=lambda line: print(line, flush=True))
    except CourseError as error:
        print(f"tito: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
