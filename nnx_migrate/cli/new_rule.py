"""`nnx-migrate new-rule`."""

from __future__ import annotations

import re
from pathlib import Path

import click

from nnx_migrate.cli.common import Fatal
from nnx_migrate.engine.rule import GROUPS

_RULE = '''\
"""Rule `{id}`."""

from __future__ import annotations

from collections.abc import Iterator

from nnx_migrate.engine.context import CannotName, FileContext
from nnx_migrate.engine.findings import Finding
from nnx_migrate.engine.rule import Rule


class {name}(Rule):
    """`{old}` is outdated.

    What it finds
    -------------
    Uses of `{old}`.

    Why
    ---
    Say what happens to code that still has it.

    Example
    -------
        y = {old}(x)

    becomes

        y = {new}(x)

    Fix safety
    ----------
    Safe: say why both compute the same.

    Since
    -----
    The release that made it outdated.

    References
    ----------
    A page or a file that says so.
    """

    id = "{id}"
    group = "{group}"
    triggers = frozenset({{"{old}"}})

    def check(self, file: FileContext) -> Iterator[Finding]:
        """One finding per use."""
        for use in file.uses("{old}"):
            fix = file.fix()
            try:
                fix.replace(use.node, fix.name("{new}", at=use.node))
            except CannotName as error:
                yield self.finding(file, use.node, "`{old}` is outdated", reason="name-taken", help=str(error))
            else:
                yield self.finding(file, use.node, "`{old}` is outdated", fix.build("use `{new}`"))
'''
_PAIR = """\
import {root}
import numpy as np


def main():
    x = np.arange(6, dtype=np.float32)
    return {{"y": {name}(x)}}
"""
_NOOP = """\
def {last}(x):
    \"\"\"A function of the user's own that has the same name.\"\"\"
    return x


y = {last}(1)
"""


@click.command("new-rule", short_help="start a rule of your own")
@click.argument("rule_id")
@click.option("--group", type=click.Choice(GROUPS), default="jax", show_default=True)
@click.option("--old", default="jax.old_name", show_default=True, help="Qualified name that is outdated.")
@click.option("--new", default="jax.new_name", show_default=True, help="What takes its place.")
def command(rule_id: str, group: str, old: str, new: str) -> None:
    """Write a rule named RULE_ID (kebab-case) that works, ready to be changed.

    In a checkout of nnx-migrate it goes to rules/ with fixtures beside it; elsewhere to a file of your project
    that `rules = [...]` in the configuration makes known.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)+", rule_id):
        raise Fatal(f"{rule_id!r} is not kebab-case of two words or more, such as jax-host-id")
    inside = Path("rules/__init__.py").is_file() and Path("fixtures").is_dir()
    values = {"id": rule_id, "group": group, "old": old, "new": new}
    values["name"] = "".join(part.capitalize() for part in rule_id.split("-"))
    file = Path(f"{rule_id.replace('-', '_')}.py")
    files = {Path("rules") / file if inside else file: _RULE.format(**values)}
    if inside:
        folder = Path("fixtures") / rule_id
        root, last = old.partition(".")[0], old.rpartition(".")[2]
        files[folder / "example" / "before.py"] = _PAIR.format(root=root, name=old)
        files[folder / "example" / "after.py"] = _PAIR.format(root=root, name=new)
        files[folder / "own-function" / "noop.py"] = _NOOP.format(last=last)
    for path in files:
        if path.exists():
            raise Fatal(f"{path} is there already")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        click.echo(f"wrote {path}")
    if inside:
        click.echo(f"next: pytest tests/rules -k {rule_id}, and a line in CHANGELOG.md")
    else:
        click.echo(
            f'next: put rules = ["{file}"] into [tool.nnx-migrate], then nnx-migrate explain {rule_id}'
        )
