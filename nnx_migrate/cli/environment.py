"""What commands that run models need of their environment, and what they do when it fails them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata

import click

from nnx_migrate.cli.common import Fatal
from nnx_migrate.engine.targets import version

_INSTALL = "pip install -U 'nnx-migrate[verify]'"


def require_packages() -> None:
    """Raise Fatal where a package of `nnx-migrate[verify]` is not installed, or too old."""
    for name, oldest in _needed("verify"):
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            raise Fatal(f"{name} is not installed, and models need it to run: {_INSTALL}") from None
        if oldest and version(installed) < version(oldest):
            raise Fatal(f"models run on {name} {oldest} or newer, and {installed} is installed: {_INSTALL}")


def _needed(extra: str) -> Iterator[tuple[str, str]]:
    """The packages of an extra with their lowest releases, as this package's own metadata state them."""
    for text in metadata.requires("nnx-migrate") or ():
        match = re.match(r"([\w.-]+)\s*(?:>=\s*([\d.]+))?.*;.*extra\s*==\s*['\"](\w+)", text)
        if match and match[3] == extra:
            yield match[1], match[2] or ""


@contextmanager
def without_traceback(verbose: bool) -> Iterator[None]:
    """Errors that nobody has foreseen end in a message, too; `verbose` shows where they come from."""
    try:
        yield
    except (click.ClickException, click.exceptions.Exit):
        raise
    except MemoryError as error:
        if verbose:
            raise
        raise Fatal(f"not enough memory: {error or 'none is left'}") from error
    except Exception as error:
        if verbose:
            raise
        what = f"{type(error).__name__}: {error}"
        raise Fatal(
            f"{what}\nThis is a mistake of nnx-migrate; --verbose shows where, for a report."
        ) from error
