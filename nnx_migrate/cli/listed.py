"""The models that the configuration lists, for the commands that run models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nnx_migrate.cli.common import Fatal
from nnx_migrate.config import Config

if TYPE_CHECKING:
    from nnx_migrate.verification.listed import ListedModel


def listed_models(config: Config) -> list[ListedModel]:
    """The models of `[[tool.nnx-migrate.verify]]`. Raises Fatal for a table that can't be used."""
    from nnx_migrate.verification.listed import ListedError, read_listed

    models = []
    for number, table in enumerate(config.verify, 1):
        try:
            models.append(read_listed(table))
        except ListedError as error:
            name = table.get("model") or f"number {number}"
            raise Fatal(f"{config.file}: [[tool.nnx-migrate.verify]] {name}: {error}") from None
    return models
