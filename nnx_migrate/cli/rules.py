"""`nnx-migrate rules`."""

from __future__ import annotations

from pathlib import Path

import click

from nnx_migrate.cli.common import Fatal, config_of
from nnx_migrate.engine.registry import RuleError
from nnx_migrate.engine.session import all_rules
from nnx_migrate.report import summary_of


@click.command(short_help="list the rules")
@click.option("--output-format", type=click.Choice(["text", "json"]), default="text")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Use this configuration file.")
def command(output_format: str, config_file: Path | None) -> None:
    """List all rules with their group and how far their fixes can be trusted."""
    try:
        rules = all_rules(config_of(Path(), config_file))
    except RuleError as error:
        raise Fatal(str(error)) from None
    if output_format == "json":
        import json

        rows = [
            {"id": r.id, "group": r.group, "fix": r.safety.value, "since": r.since, "summary": summary_of(r)}
            for r in rules.values()
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    width = max(map(len, rules), default=0)
    for group in sorted({rule.group for rule in rules.values()}):
        click.secho(group, bold=True)
        for rule in rules.values():
            if rule.group == group:
                click.echo(f"  {rule.id:<{width}}  {rule.safety.value:<6}  {summary_of(rule)}")
