"""One HTML file that needs nothing else: verdicts, differences, sources, parameter maps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, select_autoescape

from nnx_migrate import __version__
from nnx_migrate.numerics.compare import LeafComparison
from nnx_migrate.verification.listing import Listing, side_by_side
from nnx_migrate.verification.verdicts import Result, Verdict

#: The widest bar of a plot stands for this difference, the narrowest for the smallest power of ten.
_LARGEST, _SMALLEST = 1.0, 1e-12


@dataclass(frozen=True)
class Leaf:
    """One leaf of one comparison, ready to be drawn: `bar` is its width in percent."""

    name: str
    verdict: str
    max_abs: str
    max_ulp: str
    bar: float
    detail: str


def render(result: Result, old: Path, new: Path) -> str:
    """The page. `old` and `new` are the folders before and after, for the sources."""
    environment = Environment(
        autoescape=select_autoescape(default=True), trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["drawn"] = draw
    template = environment.from_string(files(__package__).joinpath("page.html.j2").read_text("utf-8"))
    return template.render(
        result=result,
        versions={name: _version(name) for name in ("flax", "jax", "optax")},
        version=__version__,
        listings=lambda verdict: _listings(verdict, old, new),
    )


def draw(comparison: LeafComparison) -> Leaf:
    """What is shown of a leaf; bars are logarithmic."""
    difference = comparison.max_abs
    bar = 0.0
    if comparison.verdict != "equal":
        size = difference if difference is not None and math.isfinite(difference) else _LARGEST
        span = math.log10(_LARGEST / _SMALLEST)
        bar = 100 * min(1.0, max(0.02, math.log10(max(size, _SMALLEST) / _SMALLEST) / span))
    return Leaf(
        "/".join(comparison.path) or "(value)",
        comparison.verdict,
        "" if difference is None else f"{difference:.3g}",
        "" if comparison.max_ulp is None else f"{comparison.max_ulp:,}",
        round(bar, 1),
        comparison.detail,
    )


def _listings(verdict: Verdict, old: Path, new: Path) -> list[Listing]:
    classes = verdict.proof.classes if verdict.proof else ()
    keys = [verdict.case.model, *sorted(set(classes) - {verdict.case.model})]
    found = (side_by_side(key, old, new) for key in keys)
    return [listing for listing in found if listing is not None and any(row.changed for row in listing.rows)]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"
