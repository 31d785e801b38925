"""The command line. Commands are imported when they are called, so that `check` starts fast."""

from __future__ import annotations

import gc
import sys
from importlib import import_module

import click

from nnx_migrate import __version__

COMMANDS = {
    "check": "find outdated patterns",
    "fix": "rewrite them",
    "verify": "prove that the code before and after computes the same",
    "checkpoint": "carry trained parameters over",
    "demo": "see it all on a small bundled project",
    "rules": "list the rules",
    "explain": "document one rule",
    "baseline": "accept today's findings, so that only new ones count",
    "new-rule": "start a rule of your own",
    "completion": "print a shell completion script",
}


class _Commands(click.Group):
    """A group whose commands live in modules of their name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"nnx_migrate.cli.{name.replace('-', '_')}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nnx-migrate")
def group() -> None:
    """Move JAX code from Flax Linen to NNX, and prove that it still computes the same.

    Exit codes: 0 nothing to report, 1 findings (or a failed comparison), 2 an error.
    """


def main() -> None:
    """Entry point of the `nnx-migrate` program."""
    # Syntax trees are millions of objects without cycles: looking for some would take half of the time.
    gc.set_threshold(100_000, 50, 100)
    try:
        group(prog_name="nnx-migrate")
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader (head, less) has seen enough. Stop Python from complaining when it flushes at exit.
        import os

        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
