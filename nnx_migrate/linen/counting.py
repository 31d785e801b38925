"""Linen's numbers for unnamed modules (`Dense_0`, `Dense_1`), as far as conditions leave them certain.

Linen counts modules of a class as they are made. What stands under one `if` is there together, and what its other
branch makes isn't there at all; so a module has the same number wherever it exists, if each module before it is
either surely made where it is made, or surely not. An `if` that asks the same of a module's fields as another one
goes the same way.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from nnx_migrate.linen.sites import Control, Site
from nnx_migrate.linen.values import ClassChoice


def certain_numbers(sites: Iterable[Site]) -> dict[Site, int]:
    """The numbers of modules that have no names of their own, in the order in which they are made."""
    known = list(sites)
    found: dict[Site, int] = {}
    for place, site in enumerate(known):
        if isinstance(site.target, ClassChoice):
            break  # any class may be counted from here on
        if site.loops or site.elements or site.lifted_class:
            continue
        before = [_is_there(other, site) for other in known[:place] if _may_count(other, site.linen_class)]
        if None not in before:
            found[site] = sum(1 for there in before if there)
    return found


def _may_count(site: Site, prefix: str) -> bool:
    """Whether Linen may count a module under the name of a class."""
    return prefix in (site.linen_class, site.lifted_class) or bool(site.elements)


def _is_there(other: Site, site: Site) -> bool | None:
    """Whether a module that is made earlier is there wherever `site` is; None where that isn't certain."""
    if other.loops or other.elements or other.lifted_class:
        return None
    if not other.controls:
        return True
    if other.context != site.context:
        return None  # a function's `if` may go another way in another call
    around, before = ([_way(control, one) for control in one.controls] for one in (site, other))
    if all(way in around for way in before):
        return True
    if any(
        asked == question and {branch, way} == {"body", "orelse"}
        for asked, branch in before
        for question, way in around
    ):
        return False
    return None


def _way(control: Control, site: Site) -> tuple[ast.AST | str, str]:
    """A branch: of the statement itself, or of a test of fields alone, which a module never changes.

    Statements that test the same go the same way in one call: `if self.use_norm:`.
    """
    test = control.node.test if isinstance(control.node, ast.If | ast.IfExp) else None
    branch: str = control.branch
    if test is None or branch not in ("body", "orelse") or not _asks_fields(test, site):
        return control.node, branch
    while isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        test, branch = test.operand, "orelse" if branch == "body" else "body"
    return ast.dump(test), branch


def _asks_fields(test: ast.expr, site: Site) -> bool:
    """Whether only fields of the module decide, which constructors take for what they are in calls, too."""
    if isinstance(test, ast.Attribute) and isinstance(test.value, ast.Name):
        return test.value.id == "self" and site.owner.field(test.attr) is not None
    if isinstance(test, ast.Attribute):
        return _asks_fields(test.value, site)  # `self.config.use_norm`
    if isinstance(test, ast.Constant):
        return True
    if isinstance(test, ast.BoolOp):
        return all(_asks_fields(value, site) for value in test.values)
    if isinstance(test, ast.Compare):
        return all(_asks_fields(value, site) for value in (test.left, *test.comparators))
    return isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) and _asks_fields(test.operand, site)
