"""`tito notebook`."""

from __future__ import annotations

from pathlib import Path

import click

from tito.commands.options import module_argument, say_kept, show_conflicts, sides, verbose_option
from tito.course import Course


@click.command()
@module_argument
@click.option("--solutions", is_flag=True, help="With the reference solutions, and without your work.")
@click.option("--out", type=click.Path(path_type=Path), help="The file to write; otherwise NAME.ipynb here.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--import", "source", is_flag=False, flag_value="", metavar="[FILE]", help="Bring a notebook back.")
@click.option("--take", multiple=True, metavar="SIDE", help="Where both changed: notebook or chapter.")
@verbose_option
def command(module, solutions, out, force, source, take, verbose):
    """Write a chapter as a Jupyter notebook, or bring an edited one back.

    \b
      tito notebook 02_tensor                       to solve: your file, or blank
      tito notebook 02_tensor --solutions           with the solutions
      tito notebook 02_tensor --out ~/tensor.ipynb  to a file of your choice
      tito notebook 02_tensor --import tensor.ipynb bring it back
      tito notebook 02_tensor --import tensor.ipynb --take matmul=notebook

    A chapter in progress is written as you left it, one that is not begun with blank
    exercises. Hints and notes stay out of it.

    What you changed in the notebook is merged into the chapter. An exercise that was
    changed in both is shown, and nothing is written until --take chooses.
    """
    course = Course.find()
    chosen = course.module(module)
    if source is None:
        if take:
            raise click.UsageError("--take chooses what --import brings back.")
        return _write(course, chosen, solutions, out, force)
    if solutions or out or force:
        raise click.UsageError("--import reads a notebook; --solutions, --out and --force are for writing one.")
    return _import(course, chosen, Path(source or f"{chosen.name}.ipynb").expanduser(), take)


def _write(course, module, solutions, out, force):
    from tito import lost, notebooks, workspace
    from tito.errors import CourseError

    file = out or Path(f"{module.name}.ipynb")
    if file.is_dir():
        file = file / f"{module.name}.ipynb"
    if file.exists() and not force:
        raise CourseError(f"{file} is there already: --force replaces it, --out FILE writes another.")
    if solutions and (lost.is_lost(course, module) or not workspace.has_solutions(course, module)):
        raise CourseError(f"this edition of the course holds no solutions of {module.id}.")
    handed_out = workspace.reference_chapter(course, module)
    text = handed_out.text if solutions else module.chapter.text
    if not solutions and not workspace.is_started(course, module) and not lost.is_lost(course, module):
        text = workspace.blanked(handed_out)
    notebooks.write(course, module, text, file)
    click.echo(file)


def _import(course, module, file, take):
    from tito import log, notebooks, workspace
    from tito.errors import CourseError
    from tito.merge import REST

    if not workspace.is_started(course, module):
        raise CourseError(f"{module.id} is not in progress: tito start {module.id}, then import.")
    before = module.chapter
    known = [*{**workspace.reference_chapter(course, module).exercises, **before.exercises}, REST]
    chosen = sides(take, "chapter", "notebook", known)
    text, conflicts, edited = notebooks.merged(course, module, file, chosen)
    if conflicts:
        show_conflicts(conflicts, (f"the chapter, {module.dev_path}", f"the notebook, {file.name}"))
        names = list(dict.fromkeys(c.name for c in conflicts))
        again = f"tito notebook {module.id} --import {file}"
        raise CourseError(
            f"{', '.join(names)} changed in both, so nothing was changed. Choose, and what is replaced is kept:\n"
            f"  {again} --take notebook\n  {again} --take {names[0]}=chapter --take notebook"
        )
    for name in edited.missing:
        click.echo(f"  the notebook no longer holds {name}: the chapter's stays", err=True)
    kept = workspace.replace(course, module, before.text, text, "before-import")
    if kept is None:
        click.echo(f"{module.id}: {file.name} holds nothing new; nothing was changed.")
        return 0
    now = Course(course.root).module(module.id).chapter.exercises
    changed = [name for name in now if name not in before.exercises or now[name].text != before.exercises[name].text]
    log.record(course, "import", module=module.id, exercises=changed)
    click.echo(f"{module.id}: from {file.name} came {', '.join(changed) or 'no exercise'}, into {module.dev_path}")
    say_kept(course, module, kept)
    return 0
