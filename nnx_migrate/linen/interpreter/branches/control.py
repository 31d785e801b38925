"""Control flow: what is known after code that may have taken one path or another."""

from __future__ import annotations

import ast
from typing import Any, Literal

from nnx_migrate.linen.arrays.array_lists import ArrayList
from nnx_migrate.linen.arrays.optional_arrays import ArrayOrNone, array_or_none, instead_of_arrays
from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown, aligned
from nnx_migrate.linen.arrays.tuple_choices import TupleChoice, tuple_choice, tuple_or_none
from nnx_migrate.linen.configured import Configured, Terms, configured
from nnx_migrate.linen.dims import Dim, same, single_atom
from nnx_migrate.linen.dims.terms import Symbol
from nnx_migrate.linen.interpreter.branches import fallbacks
from nnx_migrate.linen.interpreter.branches.joined_modules import (
    either,
    either_list,
    holds_module,
    optional,
    rematerialised,
)
from nnx_migrate.linen.interpreter.branches.masked import sizes_beside
from nnx_migrate.linen.interpreter.branches.repeated import remember_asked, remember_choice
from nnx_migrate.linen.interpreter.convert import as_dim, input_array, text_of
from nnx_migrate.linen.interpreter.frame import Env, Frame, Slot
from nnx_migrate.linen.interpreter.function_choices import (
    chosen_function,
    either_function,
    may_make_modules,
    one_of_functions,
)
from nnx_migrate.linen.interpreter.lists.shared import joined_lists
from nnx_migrate.linen.interpreter.lists.totals import of_either
from nnx_migrate.linen.interpreter.records import changed, parts_of_both
from nnx_migrate.linen.interpreter.sizes.numbers import array_or_number, as_array
from nnx_migrate.linen.interpreter.submodules.class_choices import named, one_of_classes
from nnx_migrate.linen.sites import Context, Control, Phi
from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.linen.values import (
    ArrayOrNumber,
    ClassChoice,
    Expr,
    Input,
    Instance,
    LostModule,
    ModuleList,
    SizeTest,
    VariableValue,
)

#: The reason of sizes that conditions of submodules decide.
CONFIGURED = "a size that depends on how another module is configured"


def branch(node: ast.AST, which: Literal["body", "orelse", "loop", "after"]) -> Control:
    """The control that code below `node` stands under."""
    return Control(node, which)


def join_envs(frame: Frame, first: Env, second: Env, node: ast.AST, *, of_self: bool = False) -> Env:
    """The variables (or attributes `of_self`) after two paths have met."""
    joined: Env = {}
    for name in [*first, *(n for n in second if n not in first)]:
        a, b = first.get(name), second.get(name)
        if a is None or b is None:
            only = a or b
            assert only is not None
            joined[name] = Slot(only.value, only.static, maybe_unbound=True)
        elif a is b or a == b:
            joined[name] = a
        else:
            joined[name] = _join_slots(frame, name, a, b, node, of_self)
    return joined


def _join_slots(frame: Frame, name: str, a: Slot, b: Slot, node: ast.AST, of_self: bool) -> Slot:
    static = a.static and b.static and condition_is_static(frame, node)
    if static and a.value != b.value and not isinstance(a.value, Array):
        merged = rematerialised(frame, a.value, b.value, node) or optional(frame, a.value, b.value, node)
        merged = merged or static_join(frame, name, a.value, b.value, node)
        if of_self and isinstance(merged, Expr) and not frame.foreign:
            merged = Expr(f"self.{name}", merged.kind)
    else:
        merged = join(frame, a.value, b.value, node, name)
    origins = tuple(dict.fromkeys([*a.origins, *b.origins])) if a.origins and b.origins else ()
    return Slot(merged, static, a.maybe_unbound or b.maybe_unbound, origins)


def condition_is_static(frame: Frame, node: ast.AST) -> bool:
    """Whether the constructor can take the same decision."""
    from nnx_migrate.linen.interpreter.static import is_static

    if isinstance(node, ast.If | ast.IfExp | ast.While):
        return is_static(frame, node.test)
    if isinstance(node, ast.For):
        return is_static(frame, node.iter)
    return False


def static_join(frame: Frame, name: str, a: Any, b: Any, node: ast.AST) -> Any:
    """A variable that the constructor computes by the same statements: known by its name from here on."""
    if isinstance(a, Instance | ModuleList) or isinstance(b, Instance | ModuleList):
        return join(frame, a, b, node, name)
    local_function = chosen_function(frame, a, b, node)
    if local_function is None and (may_make_modules(frame, a) or may_make_modules(frame, b)):
        return LostModule(f"which function `{name}` is isn't known; it may make modules")
    pure = either_function(a, b) if frame.foreign else one_of_functions(frame, a, b)
    choice = local_function or pure
    if choice is not None:
        return choice
    kind = "int" if as_dim(a) is not None and as_dim(b) is not None else ""
    variable = local(frame, name, (id(node), frame.context, name, "join"), kind)
    chosen = one_of_classes((a, b))
    return named(chosen, name, variable) if isinstance(chosen, ClassChoice) else variable


def local(frame: Frame, name: str, key: Any, kind: str = "") -> Any:
    """A static local variable, known by name."""
    if frame.foreign:
        return Unknown(f"`{name}` depends on how the module is configured")
    number = frame.session.number_of(key)
    frame.session.facts.locals[number] = name
    frame.session.local_contexts[number] = frame.context
    return Expr(f"{name}§s{number}", kind)


def join(frame: Frame, a: Any, b: Any, node: ast.AST, name: str) -> Any:
    """What is known of a value that came by one path or the other."""
    if a == b:
        return a
    given = fallbacks.given_or_fallback(frame, a, b, node)
    if given is not None:
        return given
    either_made = either_list(frame, a, b, node)
    if either_made is not None:
        return either_made

    def size(axis: int, there: Dim, missing: Dim) -> Dim:
        return _if_given(frame, size_name(name, axis), node, there, missing)

    given = fallbacks.changed_if_given(frame, a, b, node, size)
    if given is not None:
        return given
    perhaps = rematerialised(frame, a, b, node) or optional(frame, a, b, node)
    if perhaps is not None:
        return perhaps
    one = either(frame, a, b, node) or chosen_function(frame, a, b, node)
    functions = one or one_of_functions(frame, a, b)
    if functions is not None:
        return functions
    if holds_module(a) or holds_module(b):
        return LostModule("what is called is a submodule on one path and something else on another")
    if _is_class(a) or _is_class(b):
        choice = (
            one_of_classes((a, b)) if frame.foreign and not frame.session.recording else None
        )  # whoever decides, it is one
        if isinstance(choice, ClassChoice):
            return choice
        return LostModule("what is called is a class of modules on one path and something else on another")
    reason = f"`{name}` differs between two paths"
    number = array_or_number(a, b, reason) or array_or_none(a, b, reason) or tuple_or_none(a, b, reason)
    if number is not None:
        return number
    both = parts_of_both(frame, a, b)
    if both is None and not isinstance(node, ast.For | ast.While):
        choice = tuple_choice((a, b), f"`{name}` differs between two paths")
        if isinstance(choice, Unknown):
            return choice
    a = sizes_beside(frame, name, a, b, node)
    perhaps_none = _join_optional(frame, a, b, node, name)
    if perhaps_none is not None:
        return perhaps_none
    if isinstance(a, Unknown) or isinstance(b, Unknown):
        unknown = _plainly(a if isinstance(a, Unknown) else b)
        told = isinstance(a, TupleChoice | Configured) or isinstance(b, TupleChoice | Configured)
        return configured(_terms(frame, node), a, b, unknown.reason) if told else unknown
    if isinstance(a, VariableValue) or isinstance(b, VariableValue):
        return Unknown("different variables on different paths")
    if both is not None:
        parts = {key: join(frame, x, y, node, f"{name}_{key}") for key, (x, y) in both.items()}
        return changed(a, parts)
    if isinstance(a, Input) and isinstance(b, Array):
        a = input_array(frame.session, a)
    if isinstance(b, Input) and isinstance(a, Array):
        b = input_array(frame.session, b)
    if isinstance(a, Input) and isinstance(b, Input):
        a, b = input_array(frame.session, a), input_array(frame.session, b)
    if isinstance(a, Array) and isinstance(b, Array):
        return _join_arrays(frame, a, b, node, name)
    if isinstance(a, tuple | list) and type(a) is type(b) and len(a) == len(b):
        return type(a)(
            join(frame, x, y, node, f"{name}_{i}") for i, (x, y) in enumerate(zip(a, b, strict=True))
        )
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return {key: join(frame, a[key], b[key], node, f"{name}_{key}") for key in a}
    x, y = as_dim(a), as_dim(b)
    if x is not None and y is not None:
        return phi(frame, name, node, x, y)
    if isinstance(a, list | ArrayList) and isinstance(b, list | ArrayList):
        lists = joined_lists(frame, a, b, node, name)
        if lists is None:
            return Unknown(f"`{name}` differs between two paths")
        if any(control.is_loop for control in frame.controls) or not isinstance(node, ast.If):
            return lists
        return of_either(frame, a, b, lists, lambda axis, x, y: phi(frame, size_name(name, axis), node, x, y))
    return configured(_terms(frame, node), a, b, f"`{name}` differs between two paths")


def _terms(frame: Frame, node: ast.AST) -> Terms:
    """The conditions over fields that decide between two paths."""
    asked = frame.session.asked.get((frame.context, node))
    return ((asked, True),) if asked is not None else frame.session.exits.get((frame.context, node), ())


def _plainly(value: Unknown) -> Unknown:
    """What one path leaves of a value about which nothing is known on the other."""
    return value if type(value) in (Unknown, LostModule) else Unknown(value.reason)


def _join_optional(frame: Frame, a: Any, b: Any, node: ast.AST, name: str) -> Any:
    """What is known of two arrays of which one may be None, or a number; None for other values."""
    found = [value for value in (a, b) if isinstance(value, ArrayOrNone | ArrayOrNumber)]
    if not found or any(type(value) is not type(found[0]) for value in found):
        return None
    if not all(isinstance(as_array(value), Array | Input) for value in (a, b)):
        return None
    return wrapped(join(frame, as_array(a), as_array(b), node, name), a, b)


def wrapped(array: Any, *values: Any) -> Any:
    """The array that all of some values may be, and whatever else these may be."""
    found = next(value for value in values if isinstance(value, ArrayOrNone | ArrayOrNumber))
    if not isinstance(array, Array):
        return None
    if isinstance(found, ArrayOrNumber):
        return ArrayOrNumber(found.reason, array)
    return ArrayOrNone(found.reason, array, instead_of_arrays(*values))


def _is_class(value: Any) -> bool:
    """Whether calling a value makes a submodule."""
    from nnx_migrate.linen.interpreter.submodules.modules import constructs

    return constructs(value)


def _join_arrays(frame: Frame, a: Array, b: Array, node: ast.AST, name: str) -> Array:
    first, second = aligned(a.shape, b.shape)
    a, b = a.with_shape(first), b.with_shape(second)
    both_exact = a.shape.exact and b.shape.exact
    if both_exact and len(a.shape.dims) != len(b.shape.dims):
        return Array(a.shape.join(b.shape), a.dtype if a.dtype == b.dtype else None)
    count = min(len(a.shape.dims), len(b.shape.dims))
    dims = tuple(
        phi(frame, size_name(name, i), node, a.shape.dims[i], b.shape.dims[i]) for i in range(-count, 0)
    )
    same_lead = a.shape.lead == b.shape.lead and len(a.shape.dims) == len(b.shape.dims)
    lead = a.shape.lead if same_lead else ""
    return Array(Shape(dims, None if both_exact else lead), a.dtype if a.dtype == b.dtype else None)


def size_name(name: str, axis: int) -> str:
    """What the constructor calls the size of a variable's axis."""
    return f"{name}_features" if axis == -1 else f"{name}_size_{-axis}"


def phi(frame: Frame, name: str, node: ast.AST, first: Dim, second: Dim, *, is_loop: bool = False) -> Dim:
    """The size that a variable has after an `if`, as a symbol of its own where the paths differ."""
    if same(first, second):
        return first
    if not first.known:
        return first
    if not second.known:
        return second
    agreed = _agreed(frame, (frame.context, node), first, second)
    agreed = fallbacks.kept_by_mask(frame, node, first, second) if agreed is None else agreed
    if agreed is not None:
        return agreed
    if frame.foreign or not isinstance(node, ast.If | ast.For | ast.While):
        return _choice(frame, (frame.context, node), first, second)
    key = ("phi", id(node), frame.context, first, second)
    number = frame.session.number_of(key)
    found = Phi(number, name, node, (first, second), is_loop, context=frame.context)
    frame.session.facts.phis.setdefault(number, found)
    size = Dim.size(frame.session.facts.phis[number].token)
    return size if is_loop else remember_choice(frame, (frame.context, node), first, second, size)


def _if_given(frame: Frame, name: str, node: ast.AST, there: Dim, missing: Dim) -> Dim:
    """The size of something that is None where an argument is, whose size is `missing`."""
    test = frame.session.none_tests[frame.context, node]
    return phi(frame, name, node, *((missing, there) if test.is_none else (there, missing)))


def either_size(frame: Frame, branch: tuple[Context, ast.AST] | None, first: Dim, second: Dim) -> Dim:
    """The size that came by one of two paths, read after they have met again."""
    if branch is None or not first.known or not second.known:
        return Dim.unknown("a size that one of two modules or functions decides")
    agreed = _agreed(frame, branch, first, second)
    return agreed if agreed is not None else _choice(frame, branch, first, second)


def _agreed(frame: Frame, branch: tuple[Context, ast.AST], first: Dim, second: Dim) -> Dim | None:
    """The one size of both branches, where what the condition says of other sizes makes them equal.

    `if heads * size != dim: x = Dense(dim)(x)` leaves `dim` features on either path.
    """
    condition = frame.session.equalities.get(branch)
    if condition is None:
        return None
    if _equal_under(condition.when_false, first, second):
        return first
    return second if _equal_under(condition.when_true, first, second) else None


def _equal_under(equalities: tuple[tuple[Dim, Dim], ...], a: Dim, b: Dim) -> bool:
    """Whether two sizes are equal where others are."""
    for pair in equalities:
        if any(same(a, one) and same(b, other) for one, other in (pair, pair[::-1])):
            return True
    replaced: dict[str, Dim] = {}
    for one, other in equalities:
        x, y = one.substitute(replaced.get), other.substitute(replaced.get)
        for symbol, value in ((x, y), (y, x)):
            atom = single_atom(symbol)
            if isinstance(atom, Symbol) and (name := atom.text) not in value.symbols():
                replaced = {key: dim.substitute({name: value}.get) for key, dim in replaced.items()}
                replaced[name] = value
                break
    return bool(equalities) and same(a.substitute(replaced.get), b.substitute(replaced.get)) is True


def _choice(frame: Frame, branch: tuple[Context, ast.AST], first: Dim, second: Dim) -> Dim:
    """A size that no statement of the constructor could assign, as a conditional expression."""
    condition = frame.session.conditions.get(branch)
    if condition is None:
        size = Dim.unknown(CONFIGURED)
        return remember_choice(frame, branch, first, second, size)
    escaped = condition.replace("{", "{{").replace("}", "}}")
    size = Dim.opaque(f"({{0}} if {escaped} else {{1}})", first, second)
    return remember_choice(frame, branch, first, second, size)


def remember_condition(frame: Frame, node: ast.AST, value: Any) -> None:
    """Remember the condition of a branch, where the constructor can compute it."""
    fallbacks.remember_test(frame, node, value)
    frame.session.equalities.pop((frame.context, node), None)
    if isinstance(value, Expr | SizeTest):
        frame.session.equalities[frame.context, node] = value
    text = text_of(value)
    symbols = {symbol for group in frame.session.loop_symbols.values() for symbol in group}
    fleeting = frame.foreign and any(m.group() in symbols for m in TOKEN.finditer(text or ""))
    remember_asked(frame, node, text if isinstance(value, Expr | Dim) else None)
    if text is not None and isinstance(value, Expr | Dim) and not fleeting:
        frame.session.conditions[frame.context, node] = text
    else:
        frame.session.conditions.pop((frame.context, node), None)


__all__ = ["Expr", "branch", "join", "join_envs", "phi"]
