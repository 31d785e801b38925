"""Statements: how a function body changes variables, and where it ends."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter import attributes
from nnx_migrate.linen.interpreter.control import (
    branch,
    is_alike,
    join,
    join_envs,
    local,
    remember_condition,
    remember_return,
)
from nnx_migrate.linen.interpreter.convert import as_dim, input_array
from nnx_migrate.linen.interpreter.expressions import binary, evaluate, same_shapes, truth
from nnx_migrate.linen.interpreter.frame import Frame, Slot
from nnx_migrate.linen.interpreter.initialisation import after_init, only_initially
from nnx_migrate.linen.interpreter.loops import ManyOf, for_loop, while_loop
from nnx_migrate.linen.interpreter.ranks import rank_needed, ranks_required
from nnx_migrate.linen.interpreter.stale import forget, mentions, token_of
from nnx_migrate.linen.interpreter.static import is_static
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.shapes import Array, Shape, Unknown, Unmodelled
from nnx_migrate.linen.sites import Write
from nnx_migrate.linen.values import (
    Closure,
    Expr,
    InitFlag,
    Input,
    Instance,
    Maybe,
    ModuleList,
    SelfValue,
    VariableValue,
)


def execute(frame: Frame, body: Sequence[ast.stmt]) -> None:
    """Interpret statements until one ends the function on every path (`frame.ended`)."""
    for statement in body:
        if frame.ended:
            return
        frame.session.tick(statement)
        _HANDLERS.get(type(statement), _unsupported)(frame, statement)


def _unsupported(frame: Frame, statement: ast.stmt) -> None:
    raise Refuse("unsupported-syntax", f"a `{type(statement).__name__.lower()}` statement", statement)


def _nothing(frame: Frame, statement: ast.stmt) -> None:
    """`pass`, `import`, `global`, `del`: no effect that matters."""


def _expression(frame: Frame, statement: ast.Expr) -> None:
    value = statement.value
    evaluate(frame, value)
    # list.append / list.extend / dict.update of a local or attribute
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        _mutation(frame, value)


def _mutation(frame: Frame, call: ast.Call) -> None:
    assert isinstance(call.func, ast.Attribute)
    target, method = call.func.value, call.func.attr
    old = (
        frame.session.facts.values.get((frame.context, target))
        if not frame.foreign
        else evaluate(frame, target)
    )
    if isinstance(old, list) and method in ("append", "extend", "insert") and call.args:
        item = evaluate(frame, call.args[-1])
        if method == "append" and _loop_depth_since(frame, target) and _is_module(item):
            new: Any = ModuleList(item, frame.controls)
        elif method == "append":
            new = [*old, item] if not _loop_depth_since(frame, target) else Unknown("a list filled in a loop")
        elif method == "extend" and isinstance(item, tuple | list) and not _loop_depth_since(frame, target):
            new = [*old, *item]
        elif method == "extend" and isinstance(item, ModuleList) and not old:
            new = item
        else:
            new = Unknown("a list changed in place")
        _store(frame, target, new, is_static(frame, call.args[-1]) and isinstance(new, Expr))
    elif isinstance(old, Maybe) and isinstance(old.value, ModuleList) and method == "append" and call.args:
        item = evaluate(frame, call.args[-1])
        if not (isinstance(item, Instance) and is_alike(item, old.value.element)):
            _store(frame, target, Unknown("a list of different modules"), False)
    elif isinstance(old, ModuleList) and method == "append" and call.args:
        item = evaluate(frame, call.args[-1])
        if item != old.element:
            _store(frame, target, Unknown("a list of different modules"), False)
    elif isinstance(old, Shape) and method == "append" and call.args and not _loop_depth_since(frame, target):
        size = as_dim(evaluate(frame, call.args[0]))
        _store(frame, target, old.then(size) if size is not None else Unknown("a changed shape"), False)
    elif isinstance(old, list | dict | Shape | Expr) and method in (
        "append",
        "extend",
        "pop",
        "clear",
        "remove",
        "reverse",
        "sort",
        "update",
        "insert",
    ):
        _store(frame, target, Unknown("a container changed in place"), False)


def _is_module(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return bool(value) and all(_is_module(item) for item in value)
    return isinstance(value, Instance | ModuleList)


def _loop_depth_since(frame: Frame, target: ast.expr) -> bool:
    """Whether the statement runs in a loop."""
    return any(control.is_loop for control in frame.controls)


def _assign(frame: Frame, statement: ast.Assign) -> None:
    value = evaluate(frame, statement.value)
    static = _static_statement(frame, statement, statement.value)
    _name_variable(frame, statement)
    for target in statement.targets:
        assign(frame, target, value, static, statement)


def _annotated(frame: Frame, statement: ast.AnnAssign) -> None:
    if statement.value is not None:
        value = evaluate(frame, statement.value)
        assign(
            frame, statement.target, value, _static_statement(frame, statement, statement.value), statement
        )


def _name_variable(frame: Frame, statement: ast.Assign) -> None:
    """`self.scale = self.param("scale", ...)`: the attribute is the name that the code gives."""
    variable = frame.session.facts.variables.get((frame.context, statement.value))
    target = statement.targets[0]
    if variable is not None and isinstance(target, ast.Attribute) and variable.entry == "setup":
        variable.attribute = target.attr


def _static_statement(frame: Frame, statement: ast.stmt, value: ast.expr) -> bool:
    """Whether the constructor can execute an assignment as it stands; remembered for the writer."""
    static = is_static(frame, value)
    if not frame.foreign:
        statements = frame.session.facts.static_statements
        (statements.add if static else statements.discard)((frame.context, statement))
    return static


def assign(frame: Frame, target: ast.expr, value: Any, static: bool, node: ast.AST) -> None:
    """Bind a target (name, attribute, tuple, subscript) to a value."""
    if isinstance(target, ast.Tuple | ast.List):
        _unpack(frame, target, value, static, node)
        return
    if isinstance(target, ast.Starred):
        target = target.value
    if static and isinstance(target, ast.Name) and isinstance(value, Unknown) and not frame.foreign:
        value = local(frame, target.id, (id(node), target.id))
    if isinstance(target, ast.Name):
        value = _renewed(frame, target.id, value, static, node)
    _store(frame, target, value, static)


def _renewed(frame: Frame, name: str, value: Any, static: bool, node: ast.AST) -> Any:
    """The value of a variable that had one already, and was known by its name."""
    old = frame.env.get(name)
    token = token_of(name, old.value) if old is not None else None
    if token is None or token_of(name, value) == token:
        return value
    forget(frame, name, token)
    if not mentions(value, token):
        return value
    if static and not frame.foreign:  # f = 2 * f: known by its name again, from here on
        return local(frame, name, (id(node), name, "again"), "int" if as_dim(value) is not None else "")
    return Unknown(f"`{name}` is computed from its old value")


def _store(frame: Frame, target: ast.expr, value: Any, static: bool) -> None:
    if isinstance(target, ast.Name):
        if isinstance(value, Instance) and not value.site.stored and not frame.foreign:
            value.site.stored = target.id
        frame.bind(target.id, value, static)
    elif isinstance(target, ast.Attribute):
        base = evaluate(frame, target.value)
        if isinstance(base, SelfValue):
            _store_attribute(frame, target, value, static)
        elif isinstance(base, VariableValue) and target.attr == "value":
            _write_variable(frame, target, base, value)
    elif isinstance(target, ast.Subscript):
        _store_item(frame, target, value, static)


def _store_attribute(frame: Frame, target: ast.Attribute, value: Any, static: bool) -> None:
    if isinstance(value, Instance) and not frame.foreign:
        value.site.stored = value.site.stored or target.attr
    if isinstance(value, Unknown) and static and not frame.foreign:
        value = Expr(f"self.{target.attr}")
    frame.session.attributes[target.attr] = Slot(value, static)


def _write_variable(frame: Frame, target: ast.Attribute, variable: VariableValue, value: Any) -> None:
    """`var.value = x`: variables keep their shapes from call to call."""
    if not frame.foreign and variable.site is not None:
        session = frame.session
        write = Write(variable.site, target, frame.context, frame.controls, session.after_init)
        session.facts.writes = [
            w for w in session.facts.writes if (w.target, w.context) != (target, frame.context)
        ]
        session.facts.writes.append(write)
    known = variable.value
    if (
        isinstance(known, Array)
        and isinstance(value, Array)
        and same_shapes(known.shape, value.shape) is not False
    ):
        return
    changed = VariableValue(variable.site, Unknown("a variable that gets another shape"))
    if isinstance(target.value, ast.Name):
        frame.bind(target.value.id, changed)
    elif isinstance(target.value, ast.Attribute):
        frame.session.attributes[target.value.attr] = Slot(changed)


def _store_item(frame: Frame, target: ast.Subscript, value: Any, static: bool) -> None:
    container = evaluate(frame, target.value)
    key = evaluate(frame, target.slice) if not isinstance(target.slice, ast.Slice) else Unknown("a slice")
    if isinstance(key, Dim) and key.const is not None:
        key = key.const
    in_loop = _loop_depth_since(frame, target)
    if isinstance(container, dict) and isinstance(key, str | int):
        new: Any = {**container, key: value}
    elif isinstance(container, dict) and not container and in_loop and _is_module(value):
        new = ModuleList(value, frame.controls)
    elif isinstance(container, list) and isinstance(key, int) and -len(container) <= key < len(container):
        new = list(container)
        new[key] = value
    elif isinstance(container, Shape) and isinstance(key, int):
        new = _shape_with(container, key, value)
    elif isinstance(container, Input | Array | VariableValue | ModuleList | Instance):
        return
    else:
        new = Unknown("a container changed at an unknown place")
    slot = frame.lookup(target.value.id) if isinstance(target.value, ast.Name) else None
    _store(frame, target.value, new, static and slot is not None and slot.static)


def _shape_with(shape: Shape, index: int, value: Any) -> Any:
    """`sizes[index] = value`, where `sizes` is `list(x.shape)`."""
    size = as_dim(value)
    try:
        return shape.replaced(
            index, size if size is not None else Dim.unknown("a size that can't be followed")
        )
    except Unmodelled as unmodelled:
        return Unknown(str(unmodelled))


def _unpack(frame: Frame, target: ast.Tuple | ast.List, value: Any, static: bool, node: ast.AST) -> None:
    count = len(target.elts)
    starred = [i for i, element in enumerate(target.elts) if isinstance(element, ast.Starred)]
    items = _items(frame, value, count, starred[0] if starred else None)
    for element, item in zip(target.elts, items, strict=True):
        assign(frame, element, item, static, node)


def _items(frame: Frame, value: Any, count: int, starred: int | None) -> list[Any]:
    """The values that `count` targets get; `starred` is the index of a `*rest` among them."""
    if isinstance(value, Shape):
        if starred is None:
            rank_needed(frame, value, count)
            dims = value.with_last(count).dims if value.lead is not None else value.dims
            if len(dims) == count:
                return list(dims)
        else:
            return _items_of_shape(value, count, starred)
    if isinstance(value, VariableValue):
        value = value.value
    if isinstance(value, Array) and value.shape.rank:
        rest = value.with_shape(Shape(value.shape.dims[1:]))
        return [rest] * count if starred is None else [Unknown("part of an array")] * count
    if isinstance(value, tuple | list):
        if starred is None and len(value) == count:
            return list(value)
        if starred is not None and len(value) >= count - 1:
            behind = count - starred - 1
            middle = list(value[starred : len(value) - behind])
            return [*value[:starred], middle, *value[len(value) - behind :]]
    if isinstance(value, Input) and starred is None:
        frame.session.input_tuples.add(value.path)
        return [attributes.seen(frame, Input((*value.path, i))) for i in range(count)]
    if isinstance(value, Expr) and starred is None:
        return [Expr(f"{value.text}[{i}]") for i in range(count)]
    if isinstance(value, ManyOf) and starred is None:
        return [value.element] * count
    if isinstance(value, ModuleList):
        return [value.element] * count if starred is None else [Unknown("modules")] * count
    reason = value.reason if isinstance(value, Unknown) else "a value that can't be unpacked"
    return [Unknown(reason)] * count


def _items_of_shape(shape: Shape, count: int, starred: int) -> list[Any]:
    behind = count - starred - 1
    if shape.exact:
        dims = list(shape.dims)
        middle = Shape(tuple(dims[starred : len(dims) - behind]))
        return [*dims[:starred], middle, *dims[len(dims) - behind :]]
    unknown: list[Any] = [Dim.unknown("an axis of unknown position")] * starred
    full = shape.with_last(behind)
    return [*unknown, full.before(behind) if not starred else Shape((), ""), *full.last(behind)]


def _augmented(frame: Frame, statement: ast.AugAssign) -> None:
    load = ast.copy_location(_as_load(statement.target), statement.target)
    old = evaluate(frame, load)
    new = binary(frame, statement.op, old, evaluate(frame, statement.value))
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


def _if(frame: Frame, statement: ast.If) -> None:
    condition = evaluate(frame, statement.test)
    decided = truth(condition)
    remember_condition(frame, statement, condition)
    if decided is not None:
        if not frame.foreign:
            frame.session.facts.decided[frame.context, statement] = decided
        if isinstance(condition, InitFlag):
            only_initially(frame, statement.orelse if decided else statement.body)
        with after_init(frame, condition, decided):
            execute(frame, statement.body if decided else statement.orelse)
        return
    if _only_raises(statement.body) and not statement.orelse:
        ranks_required(frame, statement.test, forbidden=True)
    before, attributes_before = dict(frame.env), dict(frame.session.attributes)
    with frame.under(branch(statement, "body")), after_init(frame, condition, True):
        execute(frame, statement.body)
    first, first_ended, frame.ended = frame.env, frame.ended, False
    first_attributes = frame.session.attributes
    frame.env, frame.session.attributes = dict(before), attributes_before
    _assume_equal_shapes(frame, statement.test)
    with frame.under(branch(statement, "orelse")), after_init(frame, condition, False):
        execute(frame, statement.orelse)
    second, second_ended = frame.env, frame.ended
    frame.ended = first_ended and second_ended
    raised = _only_raises(statement.body) if first_ended else _only_raises(statement.orelse)
    if first_ended != second_ended and not raised and not frame.foreign:
        frame.session.facts.exits[frame.context, statement] = "body" if first_ended else "orelse"
    if first_ended and not second_ended:
        if not raised:
            frame.controls = (*frame.controls, branch(statement, "after"))
    elif second_ended and not first_ended:
        frame.env, frame.session.attributes = first, first_attributes
        if not raised:
            frame.controls = (*frame.controls, branch(statement, "after"))
    elif not frame.ended:
        frame.env = join_envs(frame, first, second, statement)
        frame.session.attributes = join_envs(
            frame, first_attributes, frame.session.attributes, statement, of_self=True
        )


def _assume_equal_shapes(frame: Frame, test: ast.expr) -> None:
    """Where `a.shape != b.shape` doesn't hold, `a` has the sizes of `b`."""
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.NotEq)):
        return
    slots = []
    for side in (test.left, test.comparators[0]):
        if not (
            isinstance(side, ast.Attribute) and side.attr == "shape" and isinstance(side.value, ast.Name)
        ):
            return
        slots.append((side.value.id, frame.env.get(side.value.id)))
    (name, slot), (_, other) = slots
    if slot is None or other is None:
        return
    first, second = (
        input_array(frame.session, s.value) if isinstance(s.value, Input) else s.value for s in (slot, other)
    )
    exact = (
        isinstance(first, Array) and isinstance(second, Array) and first.shape.exact and second.shape.exact
    )
    if exact and len(first.shape.dims) == len(second.shape.dims):
        frame.bind(name, Array(second.shape, first.dtype, first.weak), slot.static)


def _only_raises(body: Sequence[ast.stmt]) -> bool:
    """Whether a branch ends with an exception: then no module behind it is ever left out."""
    return bool(body) and isinstance(body[-1], ast.Raise)


def _return(frame: Frame, statement: ast.Return) -> None:
    value = evaluate(frame, statement.value) if statement.value is not None else None
    frame.returns.append((value, statement))
    remember_return(frame, statement)
    frame.ended = True


def returned(frame: Frame) -> Any:
    """The function's result over all its return statements."""
    values = list(frame.returns)
    if not frame.ended:
        values.append((None, None))
    if not values:
        return None
    result = values[-1][0]
    for value, node in reversed(values[:-1]):
        if value != result:
            result = _join_returns(frame, value, result, node)
    return result


def _join_returns(frame: Frame, a: Any, b: Any, node: ast.AST) -> Any:
    if isinstance(a, Input):
        a = input_array(frame.session, a)
    if isinstance(b, Input):
        b = input_array(frame.session, b)
    return join(frame, a, b, node, "result")


def _raise(frame: Frame, statement: ast.Raise) -> None:
    frame.ended = True


def _with(frame: Frame, statement: ast.With) -> None:
    for item in statement.items:
        value = evaluate(frame, item.context_expr)
        if item.optional_vars is not None:
            assign(frame, item.optional_vars, value, False, statement)
    execute(frame, statement.body)


def _try(frame: Frame, statement: ast.Try) -> None:
    before = len(frame.session.facts.sites)
    execute(frame, statement.body)
    if len(frame.session.facts.sites) != before:
        raise Refuse("unsupported-syntax", "a module is created within `try`", statement)
    execute(frame, statement.orelse)
    execute(frame, statement.finalbody)


def _function(frame: Frame, statement: ast.FunctionDef) -> None:
    closure = Closure(statement, frame.module, frame.env, frame.self_value, frame.owner)
    frame.bind(statement.name, closure, False)


def _assert(frame: Frame, statement: ast.Assert) -> None:
    evaluate(frame, statement.test)
    ranks_required(frame, statement.test)


def _jump(frame: Frame, statement: ast.stmt) -> None:
    """`break` and `continue`: what follows in the branch isn't reached."""
    frame.jumps.append((statement, dict(frame.env)))
    frame.ended = True


_HANDLERS: dict[type[ast.stmt], Callable[[Frame, Any], None]] = {
    ast.Expr: _expression,
    ast.Assign: _assign,
    ast.AnnAssign: _annotated,
    ast.AugAssign: _augmented,
    ast.If: _if,
    ast.For: for_loop,
    ast.While: while_loop,
    ast.Return: _return,
    ast.Raise: _raise,
    ast.With: _with,
    ast.Try: _try,
    ast.FunctionDef: _function,
    ast.Assert: _assert,
    ast.Pass: _nothing,
    ast.Import: _nothing,
    ast.ImportFrom: _nothing,
    ast.Global: _nothing,
    ast.Nonlocal: _nothing,
    ast.Delete: _nothing,
    ast.Break: _jump,
    ast.Continue: _jump,
}
