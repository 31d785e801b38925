"""`nnx-migrate explain`."""

from __future__ import annotations

import inspect
from pathlib import Path

import click

from nnx_migrate.cli.common import Fatal, config_of
from nnx_migrate.engine.registry import RuleError, select
from nnx_migrate.engine.rule import Rule
from nnx_migrate.engine.session import all_rules


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [rule for rule in all_rules(config_of(Path(), None)) if rule.startswith(incomplete)]


@click.command(short_help="document one rule")
@click.argument("rule", shell_complete=_complete)
@click.option("--output-format", type=click.Choice(["text", "json"]), default="text")
def command(rule: str, output_format: str) -> None:
    """Say what RULE finds, why it matters, what its fix does and how safe it is."""
    try:
        rules = all_rules(config_of(Path(), None))
        if rule not in rules:
            select(rules, [rule])
            raise RuleError(f"{rule!r} is a group; `nnx-migrate rules` lists its rules")
    except RuleError as error:
        raise Fatal(str(error)) from None
    found = rules[rule]
    if output_format == "json":
        import json

        click.echo(json.dumps(_data(found), indent=2, ensure_ascii=False))
        return
    click.secho(f"{found.id}  ({found.group}, fix: {found.safety.value})\n", bold=True)
    click.echo(inspect.getdoc(type(found)))


def _data(rule: Rule) -> dict[str, str]:
    sections = rule.documentation()
    named = {heading.lower().replace(" ", "_"): text for heading, text in sections.items() if heading}
    return {"id": rule.id, "group": rule.group, "fix": rule.safety.value, "summary": sections[""], **named}
