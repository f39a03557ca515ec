"""`tito jupyter`."""

from __future__ import annotations

import click

from tito.commands.options import complete_module, one_module, verbose_option
from tito.course import Course


@click.command()
@click.argument("module", required=False, shell_complete=complete_module)
@click.option("--module", "-m", "option", metavar="M", shell_complete=complete_module, help="Open this chapter.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="The port; otherwise that of settings.ini, or the next free one."
)
@verbose_option
def command(module, option, no_browser, port, verbose):
    """Open JupyterLab, where a chapter opens as a notebook.

    \b
      tito jupyter                      the course's files; open a *_dev.py by double click
      tito jupyter --module 02_tensor   that chapter

    Installs JupyterLab on first use. Ctrl-C ends it.
    """
    import os
    import subprocess
    import sys

    from tito import jupyter

    course = Course.find()
    chosen = one_module(course, module, option)
    jupyter.need_jupyterlab(course)
    address = jupyter.free_port(port or course.number("jupyter", "port"), exact=port is not None)
    line = jupyter.command_line(course, chosen, address, no_browser)
    click.echo(f"JupyterLab starts on port {address}; Ctrl-C ends it.", err=True)
    command, environment = [sys.executable, *line], jupyter.environment(course)
    if os.name == "posix":  # the server takes this process's place, so that who ends this one ends the server
        os.chdir(course.root)
        os.execve(sys.executable, command, environment)
    try:
        return subprocess.call(command, cwd=course.root, env=environment)
    except KeyboardInterrupt:
        return 0
