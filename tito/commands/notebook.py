"""`tito notebook`."""

from __future__ import annotations

from pathlib import Path

import click

from tito.commands.options import module_argument, verbose_option
from tito.course import Course


@click.command()
@module_argument
@click.option("--solutions", is_flag=True, help="With the reference solutions, and without your work.")
@click.option("--out", type=click.Path(path_type=Path), help="The file to write; otherwise NAME.ipynb here.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@verbose_option
def command(module, solutions, out, force, verbose):
    """Write a chapter as a Jupyter notebook.

    \b
      tito notebook 02_tensor                       to solve: your file, or blank
      tito notebook 02_tensor --solutions           with the solutions
      tito notebook 02_tensor --out ~/tensor.ipynb  to a file of your choice

    A chapter in progress is written as you left it, one that is not begun with blank
    exercises. Hints and notes stay out of it.
    """
    import jupytext

    from tito import workspace
    from tito.chapter import Chapter
    from tito.errors import CourseError
    from tito.files import write_atomically

    course = Course.find()
    chosen = course.module(module)
    file = out or Path(f"{chosen.name}.ipynb")
    if file.is_dir():
        file = file / f"{chosen.name}.ipynb"
    if file.exists() and not force:
        raise CourseError(f"{file} is there already: --force replaces it, --out FILE writes another.")
    handed_out = workspace.reference_chapter(course, chosen)
    text = handed_out.text if solutions else chosen.chapter.text
    if not solutions and not workspace.is_started(course, chosen):
        text = workspace.blanked(handed_out)
    text = workspace.without_notes(Chapter(chosen.dev_path, text))
    notebook = jupytext.reads(text, fmt="py:percent")
    for number, cell in enumerate(notebook.cells, 1):
        cell["id"] = f"cell-{number}"  # random ones would make each notebook differ from the last
    write_atomically(file, jupytext.writes(notebook, fmt="ipynb"))
    click.echo(file)
