"""`tito doctor`."""

from __future__ import annotations

import click

from tito.commands.options import json_option, verbose_option
from tito.course import Course


@click.command()
@click.option("--fix", is_flag=True, help="Repair what can be repaired.")
@json_option
@verbose_option
def command(fix, as_json, verbose):
    """Check the environment, and repair what can be.

    \b
      tito doctor         a line for everything the course needs
      tito doctor --fix   and the repair, where there is one

    Exit status: 0 all well (notes do not count), 1 something is wrong.
    """
    from tito import doctor

    course = Course.find()
    findings = doctor.examine(course)
    if fix:
        findings = doctor.repair(course, findings)
    if as_json:
        import json

        click.echo(json.dumps({"findings": [f.as_data() for f in findings]}, indent=1))
    else:
        for finding in findings:
            click.echo(finding)
        if any(f.state == "wrong" and f.repair for f in findings):
            click.echo("next: tito doctor --fix")
    return 1 if any(f.state == "wrong" for f in findings) else 0
