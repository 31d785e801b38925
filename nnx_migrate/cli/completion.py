"""`nnx-migrate completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command(short_help="print a shell completion script")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL; source it from the shell's start-up file."""
    completion = get_completion_class(shell)
    assert completion is not None
    click.echo(completion(ctx.find_root().command, {}, "nnx-migrate", "_NNX_MIGRATE_COMPLETE").source())
