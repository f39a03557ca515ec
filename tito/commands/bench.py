"""`tito bench`."""

from __future__ import annotations

import click

from tito.course import Course
from tito.errors import CourseError


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []}
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments):
    """Measure speed and memory beside other frameworks.

    \b
      tito bench          every benchmark, as ratios measured in one run
      tito bench --help   what can be chosen
    """
    import subprocess
    import sys

    from tito.jupyter import environment

    course = Course.find()
    if not (course.root / "benchmarks" / "__main__.py").exists():
        raise CourseError("this course has no benchmarks: benchmarks/__main__.py is missing.")
    try:
        return subprocess.call(
            [sys.executable, "-m", "benchmarks", *arguments], cwd=course.root, env=environment(course)
        )
    except KeyboardInterrupt:
        return 130
