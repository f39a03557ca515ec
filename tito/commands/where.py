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
    if row.unreadable:
        click.echo(f"  {row.unreadable}")
    elif row.state == "passed" and row.installed:
        go_on(course, module)
    elif row.state == "passed":
        package = f"{course.package.name}/core/{module.name}.py"
        click.echo(f"  {package} does not hold what passed; the next test puts it there.")
        click.echo(f"  next: tito test --module {module.id}")
    else:
        _in_progress(module, row)


def _in_progress(module, row) -> None:
    others = [f"{row.count(state)} {state}" for state in ("failing", "untested", "to do") if row.count(state)]
    passing = f"{row.count('passing')} of {len(row.exercises)} exercises pass"
    click.echo(f"  {', '.join([passing, *others])}.")
    if row.changed:
        click.echo("  The file was changed after that test.")
    for line in row.beside:
        click.echo(f"  {line}.")
    test = f"tito test --module {module.id}"
    broken = _not_python(module) or (f"The tests could not be run. {row.problems[0]}" if row.problems else "")
    if broken:
        click.echo(f"  {broken.splitlines()[0]}\n  next: mend that, then {test}")
    elif row.next:
        region = module.chapter.exercises.get(row.next)
        click.echo(f"  next: {row.next} in {module.dev_path}{f':{region.begin}' if region else ''}\n        {test}")
        if row.exercises[row.next] != "untested":
            click.echo(f"        tito hint {module.id} {row.next}   where you are stuck")
    else:
        click.echo(f"  next: {test}")


def _not_python(module) -> str:
    """The first line of the chapter that is no Python, where there is one."""
    from tito.checks import syntax_problems

    exported = (cell for cell in module.chapter.cells if cell.exported)
    found = (problem for cell in exported for problem in syntax_problems(module.chapter, cell))
    return next(map(str, found), "")


def _welcome(course: Course) -> None:
    from tito import lost, workspace

    if found := {m.id: back for m in course.modules if (back := lost.way_back(course, m))}:
        click.echo(f"Work whose reference is not in .tito: {', '.join(found)}.")
        click.echo("  next: " + "\n        ".join(found.values()))
        return
    for module in course.modules:
        if said := workspace.unreadable(course, module):
            click.echo(said)
    click.echo(f"{course.settings['course']['title']}: {len(course.modules)} chapters, none in progress.")
    if course.modules:
        click.echo(f"  begin:  tito start {course.modules[0].id}")
    click.echo("  or look around:  tito test --all, tito status, tito --help")


def go_on(course: Course, module) -> None:
    """What comes after a chapter that is passed."""
    from tito.progress import after

    row = after(course, module)
    if row is None:
        click.echo("  every chapter is passed: tito status shows them.")
    elif row.go_on:
        click.echo(f"  next: {row.go_on}   ({row.title} holds work, but its reference is not in .tito)")
    elif row.state == "not started":
        click.echo(f"  next: tito start {row.module}")
    else:
        click.echo(f"  next: tito test --module {row.module}   ({row.title} is {row.state})")
