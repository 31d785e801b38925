"""Assignments: which target gets which value."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nnx_migrate.linen.arrays.shapes import Unknown
from nnx_migrate.linen.chosen.layers import LayerChoice, mode_of
from nnx_migrate.linen.interpreter.branches.control import local
from nnx_migrate.linen.interpreter.calls.kept_results import refuse_unknown_containers
from nnx_migrate.linen.interpreter.calls.unknown_uses import refuse_unknown_uses
from nnx_migrate.linen.interpreter.convert import as_dim
from nnx_migrate.linen.interpreter.dispatch import evaluate, executes
from nnx_migrate.linen.interpreter.expressions.arithmetic import binary_at
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.functions import changed_names
from nnx_migrate.linen.interpreter.lists.aliases import forget_other_names
from nnx_migrate.linen.interpreter.lists.sequences import begun, filled
from nnx_migrate.linen.interpreter.lists.steps import bound
from nnx_migrate.linen.interpreter.loops import elements
from nnx_migrate.linen.interpreter.movable import remember_assignment
from nnx_migrate.linen.interpreter.records import is_table
from nnx_migrate.linen.interpreter.stale import forget, forget_functions, mentions, token_of, without
from nnx_migrate.linen.interpreter.statements.kept_sizes import keep_names, keep_sizes
from nnx_migrate.linen.interpreter.statements.stores import store
from nnx_migrate.linen.interpreter.statements.unpacking import unpacked
from nnx_migrate.linen.interpreter.static import is_static
from nnx_migrate.linen.interpreter.submodules.class_choices import named
from nnx_migrate.linen.values import MADE_BY_MODULE, ClassChoice, Expr, LostModule


@executes(ast.Assign)
def _assign(frame: Frame, statement: ast.Assign) -> None:
    if begun(frame, statement):
        return
    value = _own(frame, statement, evaluate(frame, statement.value))
    refuse_unknown_uses(frame, statement, value)
    refuse_unknown_containers(frame, statement, value)
    static = _static_statement(frame, statement, statement.value, value)
    _name_variable(frame, statement)
    bound(frame, statement, value)
    for target in statement.targets:
        assign(frame, target, value, static, statement)
    remember_assignment(frame, statement)


def _own(frame: Frame, statement: ast.Assign, value: Any) -> Any:
    """The value, unless it is a dict that has another name, too, and is changed under one of them."""
    if not (isinstance(value, dict) or is_table(value)) or not isinstance(statement.value, ast.Name):
        return value
    names = {n.id for n in (statement.value, *statement.targets) if isinstance(n, ast.Name)}
    function = frame.module.enclosing(statement, ast.FunctionDef, ast.AsyncFunctionDef)
    if function is None or not names & changed_names(function):
        return value
    frame.bind(statement.value.id, Unknown("a dict that is changed under another name"))
    return Unknown("a dict that is changed under another name")


@executes(ast.AnnAssign)
def _annotated(frame: Frame, statement: ast.AnnAssign) -> None:
    if statement.value is not None:
        value = evaluate(frame, statement.value)
        refuse_unknown_uses(frame, statement, value)
        refuse_unknown_containers(frame, statement, value)
        bound(frame, statement, value)
        assign(
            frame, statement.target, value, _static_statement(frame, statement, statement.value), statement
        )
        remember_assignment(frame, statement)


@executes(ast.AugAssign)
def _augmented(frame: Frame, statement: ast.AugAssign) -> None:
    if filled(frame, statement):
        return
    load = ast.copy_location(_as_load(statement.target), statement.target)
    old = evaluate(frame, load)
    forget_other_names(frame, old, load)
    new = binary_at(frame, statement, statement.op, old, evaluate(frame, statement.value))
    if isinstance(old, list) and isinstance(new, Unknown):
        new = Unknown("a list extended in place")
    static = is_static(frame, load) and _static_statement(frame, statement, statement.value)
    assign(frame, statement.target, new, static, statement)


def _as_load(target: ast.expr) -> ast.expr:
    if isinstance(target, ast.Name):
        return ast.Name(target.id, ast.Load())
    if isinstance(target, ast.Attribute):
        return ast.Attribute(target.value, target.attr, ast.Load())
    assert isinstance(target, ast.Subscript)
    return ast.Subscript(target.value, target.slice, ast.Load())


def _name_variable(frame: Frame, statement: ast.Assign) -> None:
    """`self.scale = self.param("scale", ...)`: the attribute is the name that the code gives."""
    variable = frame.session.facts.variables.get((frame.context, statement.value))
    target = statement.targets[0]
    if variable is not None and isinstance(target, ast.Attribute) and variable.entry == "setup":
        variable.attribute = target.attr


def _static_statement(frame: Frame, statement: ast.stmt, node: ast.expr, value: Any = None) -> bool:
    """Whether the constructor can execute an assignment as it stands; remembered for the writer.

    It may leave out the mode that one of several partials of layers binds: see `chosen_layers`.
    """
    static = is_static(frame, node) or _is_static_choice(frame, statement, node, value)
    if not frame.foreign:
        statements = frame.session.facts.static_statements
        (statements.add if static else statements.discard)((frame.context, statement))
    return static


def _is_static_choice(frame: Frame, statement: ast.stmt, node: ast.expr, value: Any) -> bool:
    """Whether the constructor can choose between layers, or make one of several partials, but for their modes."""
    makers: tuple[Any, ...] = value.makers if isinstance(value, LayerChoice) else (value,)
    modes = {maker.call: mode for maker in makers if (mode := mode_of(maker)) is not None}
    if frame.foreign or not modes or not (len(makers) > 1 or _is_one_of_several(frame, statement)):
        return False
    if not _is_static_without(frame, node, modes):
        return False
    inside = set(ast.walk(node))
    late = {call for call, mode in modes.items() if call in inside and not is_static(frame, mode.value)}
    frame.session.facts.late_modes |= late
    return True


def _is_static_without(frame: Frame, node: ast.expr, modes: Mapping[ast.Call, ast.keyword]) -> bool:
    if isinstance(node, ast.IfExp):
        parts = [_is_static_without(frame, part, modes) for part in (node.body, node.orelse)]
        return is_static(frame, node.test) and all(parts)
    if not frame.context and node in frame.session.facts.late_calls:
        return True
    if isinstance(node, ast.Call) and node in modes:
        return all(is_static(frame, keyword.value) for keyword in node.keywords if keyword is not modes[node])
    return is_static(frame, node)


def _is_one_of_several(frame: Frame, statement: ast.stmt) -> bool:
    """Whether the variable of an assignment gets values elsewhere, too."""
    function = frame.module.enclosing(statement, ast.FunctionDef, ast.AsyncFunctionDef)
    targets = [n.id for n in getattr(statement, "targets", ()) if isinstance(n, ast.Name)]
    names = [n for n in ast.walk(function or statement) if isinstance(n, ast.Name) and n.id in targets]
    return sum(isinstance(name.ctx, ast.Store) for name in names) > 1


def assign(frame: Frame, target: ast.expr, value: Any, static: bool, node: ast.AST) -> None:
    """Bind a target (name, attribute, tuple, subscript) to a value."""
    if isinstance(target, ast.Tuple | ast.List):
        _unpack(frame, target, value, static, node)
        return
    if isinstance(target, ast.Starred):
        target = target.value
    if isinstance(value, Unknown) and value.reason.startswith(MADE_BY_MODULE):
        static = False  # the constructor calls no modules
    lost = isinstance(value, LostModule)
    if static and isinstance(target, ast.Name) and isinstance(value, Unknown) and not (lost or frame.foreign):
        value = local(frame, target.id, (id(node), frame.context, target.id))
    elif static and isinstance(target, ast.Name) and _is_unnamed(value):
        value = named(value, target.id, local(frame, target.id, (id(node), frame.context, target.id)))
    elif static and isinstance(target, ast.Name) and _repeats(value) and not frame.foreign:
        value = replace(
            local(frame, target.id, (id(node), frame.context, target.id), "sequence"), element=value.element
        )
    if isinstance(target, ast.Name):
        value = _renewed(frame, target.id, value, static, node)
    store(frame, target, value, static)


def _is_unnamed(value: Any) -> bool:
    """Whether a value is one of several classes, which no variable or field holds so far."""
    return isinstance(value, ClassChoice) and not value.text.isidentifier()


def _repeats(value: Any) -> bool:
    """Whether a value is a list of unknown length whose items are all the same size."""
    return isinstance(value, Expr) and value.element is not None


def bind_target(frame: Frame, target: ast.expr, iterable: Any, static: bool, node: ast.AST) -> None:
    """Bind a loop's target to the element of one round."""
    assign(frame, target, elements.element(frame, iterable, target, static, node), static, node)


def _unpack(frame: Frame, target: ast.Tuple | ast.List, value: Any, static: bool, node: ast.AST) -> None:
    count = len(target.elts)
    starred = [i for i, element in enumerate(target.elts) if isinstance(element, ast.Starred)]
    items = unpacked(frame, value, count, starred[0] if starred else None)
    names = [element.id for element in target.elts if isinstance(element, ast.Name)]
    old = {name: token_of(name, slot.value) for name in names if (slot := frame.env.get(name)) is not None}
    tokens = {name: token for name, token in old.items() if token is not None}
    for element, item in zip(target.elts, items, strict=True):
        assign(frame, element, _before(frame, element, item, tokens, static, node), static, node)


def _before(
    frame: Frame, element: ast.expr, item: Any, tokens: dict[str, str], static: bool, node: ast.AST
) -> Any:
    """What a target of `a, b = b, a` gets: a value computed before the other targets got theirs."""
    own = element.id if isinstance(element, ast.Name) else ""
    stale = {name: token for name, token in tokens.items() if name != own and mentions(item, token)}
    if not stale:
        return item
    is_size = as_dim(item) is not None or isinstance(item, Expr)
    if own and is_size and static and not frame.foreign:
        return local(frame, own, (id(node), frame.context, own), "int" if as_dim(item) is not None else "")
    for name, token in stale.items():
        item = without(item, name, token)
    return item


def _renewed(frame: Frame, name: str, value: Any, static: bool, node: ast.AST) -> Any:
    """The value of a variable that had one already, and was known by its name."""
    old = frame.env.get(name)
    if old is not None and old.value != value:
        forget_functions(frame, name)
    token = token_of(name, old.value) if old is not None else None
    if token is None or token_of(name, value) == token:
        return value
    keep_sizes(frame, name, token, node)
    keep_names(frame, name, token, node)
    forget(frame, name, token)
    if not mentions(value, token):
        return value
    if static and not frame.foreign:  # f = 2 * f: known by its name again, from here on
        return local(
            frame, name, (id(node), frame.context, name, "again"), "int" if as_dim(value) is not None else ""
        )
    return Unknown(f"`{name}` is computed from its old value")
