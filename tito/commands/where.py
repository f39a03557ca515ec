"""What `tito` alone says: where you are, and what to type next."""

from __future__ import annotations

import click

from tito.course import Course


def show() -> None:
    """A line on the chapter in progress, and the next command."""
    from tito.progress import latest, progress

    course = Course.find()
    module = latest(course)
    if module is None:
        _welcome(course)
        return
    row = progress(course, module)
    click.echo(f"You are in {row.module}, {row.title}: {row.state}.")
    if row.state == "passed":
        _after(course, module)
        return
    todo = [name for name, state in row.exercises.items() if state != "passing"]
    place = f"{module.dev_path}:{module.chapter.exercises[todo[0]].begin}" if _there(module, todo) else module.dev_path
    others = [f"{row.count(state)} {state}" for state in ("failing", "untested", "to do") if row.count(state)]
    passing = f"{row.count('passing')} of {len(row.exercises)} exercises pass"
    click.echo(f"  {', '.join([passing, *others])}.")
    click.echo(f"  next: {todo[0] + ' in ' if todo else ''}{place}")
    click.echo(f"        tito test --module {module.id}")


def _there(module, todo: list[str]) -> bool:
    return bool(todo) and todo[0] in module.chapter.exercises


def _welcome(course: Course) -> None:
    click.echo(f"{course.settings['course']['title']}: {len(course.modules)} chapters, none in progress.")
    if course.modules:
        click.echo(f"  begin:  tito start {course.modules[0].id}")
    click.echo("  or look around:  tito test --all, tito status, tito --help")


def _after(course: Course, module) -> None:
    from tito import workspace

    later = [m for m in course.modules if m.number > module.number and not workspace.is_started(course, m)]
    if later:
        click.echo(f"  next: tito start {later[0].id}")
    else:
        click.echo("  every later chapter is begun: tito status shows them.")
