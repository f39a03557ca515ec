"""`tito completion`."""

from __future__ import annotations

import click

LINES = {
    "bash": 'eval "$(_TITO_COMPLETE=bash_source tito)"',
    "zsh": 'eval "$(_TITO_COMPLETE=zsh_source tito)"',
    "fish": "_TITO_COMPLETE=fish_source tito | source",
}


@click.command()
@click.argument("shell", type=click.Choice(list(LINES)))
def command(shell):
    """Print the line that switches on shell completion.

    \b
      tito completion bash >> ~/.bashrc
      tito completion zsh  >> ~/.zshrc
      tito completion fish >> ~/.config/fish/config.fish

    `source bin/activate-tinytorch.sh` switches it on for bash and zsh by itself.
    """
    click.echo(LINES[shell])
