"""Lists of layers that loops and conditions fill for `nn.Sequential`: the constructor fills them in the same way.

layers = []
for width in self.widths:
    layers += [nn.Dense(width), nn.relu]
x = nn.Sequential(layers)(x)
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.interpreter.lists.sequences import fill
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Recipe, Site
from nnx_migrate.linen.values import BuiltList, DerivedLayer
from nnx_migrate.nnx.writer.construction.handed import check_plain_call
from nnx_migrate.nnx.writer.construction.writer import ConstructionWriter
from nnx_migrate.nnx.writer.residual.nodes import Line


def built_for(site: Site) -> Recipe | None:
    """The list that a sequence gets, if it is one of these."""
    value = site.kwargs.get("layers", site.args[0] if site.args else None)
    return value.recipe if isinstance(value, BuiltList) and site.layer_name == "Sequential" else None


def recipes(analysis: ClassAnalysis) -> list[Recipe]:
    """The lists of a class. Raises Refuse where a function fills one that is called from several places."""
    found: list[Recipe] = []
    for (context, _), site in analysis.facts.sites.items():
        recipe = built_for(site)
        if recipe is None:
            continue
        if context:
            raise Refuse("unsupported-syntax", "a helper function fills a list of layers", site.call)
        _check_elements(analysis, site, recipe)
        found.append(recipe)
    return found


def _check_elements(analysis: ClassAnalysis, sequence: Site, recipe: Recipe) -> None:
    """Each module that the statements around the list create is an element, so that Linen counts them in order."""
    inside = {n for statement in (recipe.definition, *recipe.body) for n in ast.walk(statement)}
    loops = [node for node in inside if isinstance(node, ast.For)]
    filling = {loop for loop in loops if any(node in recipe.fills for node in ast.walk(loop))}
    filling_nodes = {n for part in (recipe.definition, *recipe.fills, *recipe.tail) for n in ast.walk(part)}
    numbers = [site.number for site in sequence.elements]
    for site in analysis.facts.sites.values():
        between = bool(numbers) and min(numbers) < site.number < max(numbers)
        between |= any(loop.node in filling for loop in site.loops)
        if between and site.parent_site is not sequence and site.method != "setup":
            raise Refuse(
                "unsupported-syntax", "other modules are made where a list of layers is filled", site.call
            )
        if site.call in filling_nodes and site.parent_site is not sequence:
            raise Refuse("unsupported-syntax", "modules within the elements of a list of layers", site.call)
        derived = isinstance(site.target, DerivedLayer)
        if site.parent_site is sequence and (derived or site.lifts or site.layer_name == "Sequential"):
            raise Refuse("unsupported-syntax", f"`{site.target_name}` in a list of layers", site.call)
    made = next((v.call for v in analysis.facts.variables.values() if v.call in inside), None)
    if made is not None:
        raise Refuse("unsupported-syntax", "variables are made where a list of layers is filled", made)


class BuiltLists:
    """Writes the statements of one compact method that fill such lists."""

    def __init__(self, writer: ConstructionWriter) -> None:
        self.writer = writer
        self.statements: dict[ast.stmt, Recipe] = {}
        for recipe in recipes(writer.analysis):
            for statement in (recipe.definition, *recipe.fills):
                assert isinstance(statement, ast.stmt)
                self.statements[statement] = recipe

    def below(self, statement: ast.AST) -> bool:
        """Whether a statement, or one below it, fills a list."""
        return any(node in self.statements for node in ast.walk(statement))

    def line(self, statement: ast.stmt) -> Line:
        """The statement with its constructions in NNX's form."""
        recipe = self.statements[statement]
        if isinstance(statement, ast.Assign):
            return self._display(f"{recipe.name} = ", statement.value)
        found = fill(statement)
        assert found is not None
        value = found[1]
        if isinstance(statement, ast.AugAssign):
            return self._display(f"{recipe.name} += ", value)
        if isinstance(value, ast.List | ast.Tuple | ast.ListComp):
            return self._display(f"{recipe.name}.extend(", value, ")")
        site = self.writer.analysis.facts.sites.get(((), value))
        if site is None:
            return Line(f"{recipe.name}.append({self.writer.text_of(value)})")
        check_plain_call(self.writer, site)
        callee, arguments = self.writer.parts(site)
        return Line(f"{recipe.name}.append(", callee, arguments, ")")

    def _display(self, opening: str, value: ast.expr, closing: str = "") -> Line:
        if isinstance(value, ast.List | ast.Tuple):
            elements = [self.writer.text_of(element) for element in value.elts]
            return Line(opening, arguments=elements, closing=closing, is_display=True)
        return Line(f"{opening}{self.writer.text_of(value)}{closing}")


def emptied(body: Sequence[ast.stmt], deleted: set[ast.stmt], fills: set[ast.stmt]) -> set[ast.stmt]:
    """Loops and conditions of which nothing is left but what filled lists."""
    found: set[ast.stmt] = set()
    for statement in body:
        if isinstance(statement, ast.For | ast.If):
            inner = [*statement.body, *statement.orelse]
            found |= emptied(inner, deleted, fills)
            if all(s in deleted or s in found for s in inner) and any(
                n in fills for n in ast.walk(statement)
            ):
                found.add(statement)
    return found
