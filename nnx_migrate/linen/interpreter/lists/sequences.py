"""Lists of layers that loops and conditions fill for `nn.Sequential`.

    layers = []
    for width in self.widths:
        layers += [nn.Dense(width), nn.relu]
    return nn.Sequential(layers)(x)

What goes through the layers shows only when the sequence is called. The statements that fill the list are then
interpreted again, as if each element were called on what the one before returned; the loops among them carry that
array's sizes like those of any other variable.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Unknown
from nnx_migrate.linen.interpreter.convert import effect_value
from nnx_migrate.linen.interpreter.dispatch import evaluate, execute
from nnx_migrate.linen.interpreter.expressions.comparisons import same_shapes
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.submodules.handed_over import made_in_choice
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Recipe, Site
from nnx_migrate.linen.symbols import canonical, linen_name
from nnx_migrate.linen.values import BuiltList, Either, Input, Instance, ModuleList

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, eq=False)
class Thread:
    """The list whose elements are called in turn, for the sequence `site`, beginning with `value`."""

    recipe: Recipe
    site: Site
    value: Any


# ---- what the statements do --------------------------------------------------------------------------------


def begun(frame: Frame, statement: ast.Assign) -> bool:
    """Take `layers = [...]` as the beginning of such a list; False for other assignments."""
    recipe = _recipe_of(frame, statement)
    if recipe is None:
        return False
    assert isinstance(statement.value, ast.List)
    if frame.thread is None or frame.thread.recipe is not recipe:
        start = replace(frame, env=dict(frame.env), returns=[], jumps=[])
        for element in statement.value.elts:
            evaluate(frame, element)
        frame.bind(recipe.name, BuiltList(recipe, start))
    else:
        frame.bind(recipe.name, frame.thread.value)
        _thread(frame, frame.thread, statement.value)
    return True


def filled(frame: Frame, statement: ast.Expr | ast.AugAssign) -> bool:
    """Take `layers.append(...)` or `layers += [...]` as filling such a list; False for other statements."""
    found = fill(statement)
    if found is None:
        return False
    name, value = found
    slot = frame.env.get(name)
    if frame.thread is not None and frame.thread.recipe.name == name:
        _thread(frame, frame.thread, value)
    elif slot is not None and isinstance(slot.value, BuiltList):
        evaluate(frame, value)
    else:
        return False
    return True


def sequence_output(frame: Frame, site: Site, built: BuiltList, args: Sequence[Any], node: ast.AST) -> Any:
    """What the sequence returns for one argument."""
    start: Frame = built.start
    session = start.session
    if len(args) != 1 or session is not frame.session:
        raise Refuse("unsupported-layer", "`nn.Sequential` of a list that isn't written out", node)
    thread = Thread(built.recipe, site, args[0])
    inner = replace(start, env=dict(start.env), returns=[], jumps=[], thread=thread)
    attributes = dict(session.attributes)
    execute(inner, [built.recipe.definition, *built.recipe.body])
    if inner.ended:
        raise Refuse("unsupported-syntax", "a function that ends while it fills a list of layers", node)
    for element in built.recipe.tail:
        _thread(inner, thread, element)
    session.attributes = attributes
    return inner.env[built.recipe.name].value


def _thread(frame: Frame, thread: Thread, value: ast.expr) -> None:
    name = thread.recipe.name
    for element in value.elts if isinstance(value, ast.List | ast.Tuple) else [value]:
        result = _called(frame, thread.site, element, frame.env[name].value)
        frame.bind(name, result)


def _called(frame: Frame, sequence: Site, element: ast.expr, value: Any) -> Any:
    """What an element returns for the array that comes to it."""
    from nnx_migrate.linen.interpreter.calls.apply import apply

    layer = evaluate(frame, element)
    repeated = isinstance(layer, ModuleList)
    if repeated:
        element, layer = getattr(element, "elt", element), layer.element
    if isinstance(layer, Instance) and not frame.foreign:
        if layer.site.call is not element or layer.site.kwargs.get("name") is not None:
            detail = "a list of layers gets a layer that has another name, too"
            raise Refuse("unsupported-syntax", detail, element)
        layer.site.parent_site, layer.site.place = sequence, ("layers", "{i}")
        sequence.elements[layer.site] = None
    if isinstance(layer, Either) and isinstance(element, ast.IfExp) and not frame.foreign:
        for site in made_in_choice(element, layer):
            site.parent_site, site.place = sequence, ("layers", "{i}")
            sequence.elements[site] = None
    result = apply(frame, layer, (value,), {}, None)
    if not isinstance(result, Array | Input | Unknown):
        return Unknown("a layer of a sequence that doesn't return one array")
    if repeated:
        shapes = [
            a.shape for a in (effect_value(frame.session, v) for v in (value, result)) if isinstance(a, Array)
        ]
        if len(shapes) < 2 or same_shapes(*shapes) is not True:
            return Unknown("layers of a comprehension that change the size")
    return result


# ---- what the code says ------------------------------------------------------------------------------------


def _recipe_of(frame: Frame, statement: ast.Assign) -> Recipe | None:
    if not isinstance(statement.value, ast.List):
        return None
    function = frame.module.enclosing(statement, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    if not isinstance(function, _Function):
        return None
    recipe = _recipes(function).get(statement)
    if recipe is None:
        return None
    func = recipe.call.func
    name = frame.session.program.project.resolve(func, frame.module.scope_at(func), frame.module)
    return recipe if linen_name(canonical(name)) == "Sequential" else None


@cache
def _recipes(function: _Function) -> dict[ast.Assign, Recipe]:
    """The lists of a function, by the statements that begin them."""
    found = [
        recipe
        for block in _blocks(function.body)
        for index in range(len(block))
        if (recipe := _recipe(function, block, index)) is not None
    ]
    return {recipe.definition: recipe for recipe in found}


def _blocks(body: Sequence[ast.stmt]) -> Iterator[Sequence[ast.stmt]]:
    yield body
    for statement in body:
        if isinstance(statement, ast.If):
            yield from _blocks(statement.body)
            yield from _blocks(statement.orelse)


def _recipe(function: _Function, block: Sequence[ast.stmt], index: int) -> Recipe | None:
    definition = block[index]
    if not (isinstance(definition, ast.Assign) and isinstance(definition.value, ast.List)):
        return None
    target = definition.targets[0]
    if len(definition.targets) != 1 or not isinstance(target, ast.Name):
        return None
    calls = [(i, c) for i in range(index + 1, len(block)) for c in _sequences(block[i], target.id)]
    if not calls:
        return None
    end, call = calls[0]
    body = tuple(block[index + 1 : end])
    fills = [s for statement in body for s in ast.walk(statement) if _fills(s, target.id)]
    if not any(isinstance(s, ast.For | ast.If) for s in body if any(f in set(ast.walk(s)) for f in fills)):
        return None  # each element is known
    if not all(_is_followed(s, set(fills)) for s in body) or any(
        _names(e, target.id) for e in definition.value.elts
    ):
        return None
    known = {n for s in (*fills, call) for n in ast.walk(s)} | {target}
    if not _is_only_filled(function, target.id, known, definition, block[end]):
        return None
    return Recipe(target.id, definition, body, tuple(fills), call, _tail(call, target.id) or ())


def _sequences(statement: ast.stmt, name: str) -> list[ast.Call]:
    """The calls `nn.Sequential(name)` in a simple statement."""
    if not isinstance(statement, ast.Assign | ast.AnnAssign | ast.Return | ast.Expr):
        return []
    return [
        node
        for node in ast.walk(statement)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name | ast.Attribute)
        and ast.unparse(node.func).rpartition(".")[2] == "Sequential"
        and _tail(node, name) is not None
    ]


def _tail(call: ast.Call, name: str) -> tuple[ast.expr, ...] | None:
    """What a call adds to the list that it gets: `Sequential(layers + [last])`, `Sequential([*layers, last])`."""
    given = [*call.args, *(k.value for k in call.keywords)]
    if len(given) != 1:
        return None
    whole = value = given[0]
    tail: list[ast.expr] = []
    if isinstance(whole, ast.BinOp) and isinstance(whole.op, ast.Add) and isinstance(whole.right, ast.List):
        value, tail = whole.left, whole.right.elts
    elif isinstance(whole, ast.List) and whole.elts and isinstance(whole.elts[0], ast.Starred):
        value, tail = whole.elts[0].value, whole.elts[1:]
    if not (isinstance(value, ast.Name) and value.id == name):
        return None
    plain = not any(isinstance(n, ast.Starred) or _names(n, name) for n in tail)
    return tuple(tail) if plain else None


def fill(statement: ast.AST) -> tuple[str, ast.expr] | None:
    """The list that a statement extends, and by what: one element for `append`, else a display or comprehension."""
    if isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
        if isinstance(statement.op, ast.Add) and isinstance(
            statement.value, ast.List | ast.Tuple | ast.ListComp
        ):
            return statement.target.id, statement.value
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and len(call.args) == 1):
        return None
    if not isinstance(call.func.value, ast.Name) or call.keywords or isinstance(call.args[0], ast.Starred):
        return None
    value = call.args[0]
    if call.func.attr == "append" and not isinstance(value, ast.List | ast.Tuple | ast.ListComp):
        return call.func.value.id, value
    if call.func.attr == "extend" and isinstance(value, ast.List | ast.Tuple | ast.ListComp):
        return call.func.value.id, value
    return None


def _fills(statement: ast.AST, name: str) -> bool:
    found = fill(statement)
    return found is not None and found[0] == name and not _names(found[1], name)


def _is_followed(statement: ast.stmt, fills: set[ast.AST]) -> bool:
    """Whether a statement fills the list in plain loops and conditions, if at all."""
    inner = [s for s in ast.walk(statement) if s in fills]
    if not inner or statement in fills:
        return True
    if isinstance(statement, ast.For):
        if (
            any(isinstance(n, ast.Break | ast.Continue | ast.Return) for n in ast.walk(statement))
            or statement.orelse
        ):
            return False
    elif not isinstance(statement, ast.If):
        return False
    if any(isinstance(n, ast.Return | ast.Raise) for n in ast.walk(statement)):
        return False
    return all(_is_followed(s, fills) for s in (*statement.body, *statement.orelse))


def _is_only_filled(
    function: ast.AST, name: str, known: set[ast.AST], definition: ast.stmt, end: ast.stmt
) -> bool:
    """Whether nothing else reads the list: behind it, the name stands for something else."""
    last = end.end_lineno or end.lineno
    others = [n for n in _names(function, name) if n not in known and n.lineno >= definition.lineno]
    rebound = [n for n in others if n.lineno > last or not isinstance(n.ctx, ast.Load)]
    if len(rebound) < len(others):
        return False
    first = min(rebound, key=lambda n: n.lineno, default=None)
    if first is None or (end.lineno <= first.lineno <= last):
        return True
    return any(isinstance(n.ctx, ast.Store) for n in rebound if n.lineno == first.lineno)


def _names(node: ast.AST, name: str) -> list[ast.Name]:
    return [n for n in ast.walk(node) if isinstance(n, ast.Name) and n.id == name]
