"""The analysis of one Linen class: its methods interpreted with symbolic fields and inputs."""

from __future__ import annotations

import ast
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nnx_migrate.linen.classes.model import Field, LinenClass, LinenProgram, Method
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.fields.activations import is_activation_name, is_elementwise
from nnx_migrate.linen.interpreter.calls.handed_on import arguments_by_position
from nnx_migrate.linen.interpreter.dispatch import execute
from nnx_migrate.linen.interpreter.frame import (
    DefaultRank,
    Frame,
    Meter,
    NeedArguments,
    NeedKinds,
    NeedRank,
    NeedTuple,
    Session,
    Slot,
)
from nnx_migrate.linen.interpreter.functions import call_method
from nnx_migrate.linen.interpreter.statements.exits import returned
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Context, Facts, Site, VariableSite
from nnx_migrate.linen.symbols import LINEN, linen_name
from nnx_migrate.linen.values import Expr, FieldFactory, FieldModule, Input
from nnx_migrate.names.nodes import is_none
from nnx_migrate.names.parameters import defaults
from nnx_migrate.nnx.layers import LAYERS

if TYPE_CHECKING:
    from nnx_migrate.linen.given.modules import GivenModule

_MAX_RESTARTS = 12
_SEQUENCES = ("Sequence", "Tuple", "tuple", "List", "list", "Iterable")
_MAPPINGS = ("Dict", "dict", "Mapping")


@dataclass
class ClassAnalysis:
    """What is known of a class: `methods` are those interpreted as entry points, in order."""

    cls: LinenClass
    facts: Facts
    session: Session
    methods: list[Method] = field(default_factory=list)
    results: dict[str, Any] = field(default_factory=dict)
    fixed: dict[str, int | tuple[int, ...]] = field(
        default_factory=dict
    )  # fields that are taken to have a value
    # calls of methods that make modules for setup and stay methods, and the ways that lead there
    setup_helpers: dict[ast.AST, Method] = field(default_factory=dict)
    kept_contexts: set[Context] = field(default_factory=set)
    # layers that nothing calls, with the statements of setup that make them; these go
    uncalled: dict[Site, ast.stmt] = field(default_factory=dict)

    @property
    def sites(self) -> list[Site]:
        """Submodules of the class in construction order."""
        return [s for s in self.facts.ordered_sites() if not s.carry_only and s not in self.uncalled]

    @property
    def named_sites(self) -> list[Site]:
        """Those that Linen counts in its automatic names, too: cells that only give their initial carry."""
        methods = {m.name for m in self.methods if m.kind == "method" and not m.is_nowrap}
        found = (s for s in self.facts.ordered_sites() if s not in self.uncalled)
        return [s for s in found if not s.carry_only or s.entry in methods]

    @property
    def variables(self) -> list[VariableSite]:
        """Its own parameters and variables, in order."""
        return sorted(self.facts.variables.values(), key=lambda site: site.number)


def analyse(
    program: LinenProgram,
    cls: LinenClass,
    default_rank: DefaultRank | None = None,
    fields: Mapping[str, Any] | None = None,
    known: Mapping[tuple[str | int, ...], int] | None = None,
    meter: Meter | None = None,
    given: Callable[[str], tuple[GivenModule, ...] | None] = lambda name: None,
    kinds: Callable[[], Mapping[tuple[str | int, ...], str]] = dict,
    setup_only: bool = False,
) -> ClassAnalysis:
    """Interpret a class. Inputs whose rank the code doesn't show get `default_rank`.

    `fields` are fields whose values are known, `known` the ranks of inputs; `meter` counts the steps that this
    takes; `given` tells the modules that the project gives a field, `kinds` what inputs hold. With `setup_only`,
    no method is followed but `setup`. Raises Refuse.
    """
    ranks = dict(known or {})
    usual: set[tuple[str | int, ...]] = set()
    tuples: set[tuple[str | int, ...]] = set()
    results: dict[Any, Any] = {}
    input_kinds: Mapping[tuple[str | int, ...], str] | None = None
    handed_on: dict[str, tuple[str, ...]] = {}
    for _ in range(_MAX_RESTARTS):
        session = Session(
            program,
            cls,
            meter=meter or Meter(),
            input_ranks=ranks,
            usual_ranks=usual,
            input_tuples=tuples,
            default_rank=default_rank or DefaultRank(),
            results=results,
            given=given,
            input_kinds=input_kinds,
            handed_on=handed_on,
        )
        try:
            return _run(session, fields or {}, setup_only)
        except NeedKinds:
            input_kinds = kinds()
            results = {}
        except NeedArguments as need_arguments:
            handed_on[need_arguments.parameter] = need_arguments.names
        except NeedTuple as need_tuple:
            tuples.add(need_tuple.path)
        except NeedRank as need:
            ranks[need.path] = need.rank
            if need.usual:
                usual.add(need.path)
    raise Refuse("unknown-size", "the ranks of the inputs contradict each other", cls.node)


def _run(session: Session, fields: Mapping[str, Any], setup_only: bool) -> ClassAnalysis:
    cls = session.cls
    for item in cls.fields:
        session.fields[item.name] = fields[item.name] if item.name in fields else field_symbol(cls, item)
    session.instances_of = (cls,)
    analysis = ClassAnalysis(cls, session.facts, session)
    for setup in (m for m in (cls.method("__post_init__"), cls.method("setup")) if m is not None):
        frame = Frame(session, setup.owner.module, {}, owner=setup.owner, self_value=session.self_value)
        session.entry = "setup"
        call_method(frame, setup, (), {}, None)
    for method in () if setup_only else _entry_points(cls, session.program.unbound_methods.of(cls)):
        if method.name in session.facts.methods_reached:
            continue
        analysis.methods.append(method)
        analysis.results[method.name] = _enter(session, method)
    return analysis


def _entry_points(cls: LinenClass, unbound: Container[str]) -> list[Method]:
    """`__call__` first, then the other methods in the order of the code, but for those that no bound module runs."""
    methods = [m for m in (cls.method(name) for name in _method_names(cls)) if m is not None]
    usable = [
        m
        for m in methods
        if m.name not in ("setup", "__post_init__", "__init__")
        and m.name not in unbound
        and (m.kind == "method" or (m.kind == "static" and _names_layers(cls, m)))
    ]
    return sorted(usable, key=lambda m: m.name != "__call__")


def _names_layers(cls: LinenClass, method: Method) -> bool:
    """Whether a static method calls a Linen layer by its name."""
    calls = [n for n in ast.walk(method.node) if isinstance(n, ast.Call)]
    names = [
        linen_name(cls.resolve_in_class(c.func))
        for c in calls
        if isinstance(c.func, ast.Name | ast.Attribute)
    ]
    return any(name is not None and name[:1].isupper() for name in names)


def _method_names(cls: LinenClass) -> list[str]:
    names: dict[str, None] = {}
    for owner in reversed(cls.mro):
        names.update(dict.fromkeys(owner.own_methods))
    return list(names)


def _enter(session: Session, method: Method) -> Any:
    """Interpret a method whose arguments are not known."""
    session.facts.methods_reached.add(method.name)
    session.entry = method.name
    frame = Frame(
        session,
        method.owner.module,
        {},
        owner=method.owner,
        self_value=session.self_value,
        method=method.name,
    )
    args = method.node.args
    names = [a.arg for a in [*args.posonlyargs, *args.args]]
    if method.kind == "static":
        names.insert(0, "")
    if names:
        frame.env[names[0]] = Slot(session.self_value, True)
    by_name = {arg.arg: default for arg, default in defaults(args)}
    annotations = {a.arg: a.annotation for a in [*args.posonlyargs, *args.args, *args.kwonlyargs]}
    for name in [*names[1:], *(a.arg for a in args.kwonlyargs)]:
        default = _literal(by_name.get(name))
        value = Input((name,), default, name in by_name, _number(annotations.get(name), default))
        session.inputs_seen.setdefault(value.path)
        frame.env[name] = Slot(value, False)
    by_position = None
    if args.vararg is not None:
        by_position = arguments_by_position(session, method.name, args.vararg.arg)
        frame.env[args.vararg.arg] = Slot(by_position, False)
    if args.kwarg is not None:  # none that matter where `*args` go wholly to a submodule
        named: Any = {} if isinstance(by_position, tuple) else Input((args.kwarg.arg,))
        frame.env[args.kwarg.arg] = Slot(named, False)
    execute(frame, method.node.body)
    return returned(frame)


def _number(annotation: ast.expr | None, default: Any) -> str:
    """The kind of number that an argument is declared to be, and is unless a call gives another one."""
    name = annotation.id if isinstance(annotation, ast.Name) else ""
    return name if name in ("int", "float") and type(default) in (int, float) else ""


def _literal(node: ast.expr | None) -> Any:
    try:
        return ast.literal_eval(node) if node is not None else None
    except (ValueError, TypeError, SyntaxError):
        return None


def field_symbol(cls: LinenClass, item: Field, reference: str = "") -> Any:
    """What a field stands for: the expression `reference`, or `self.name` inside the class, typed by annotation
    and default.
    """
    annotation = item.annotation
    text = ast.unparse(annotation)
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        text = annotation.value
    reference = reference or f"self.{item.name}"
    is_reference = item.default is not None and _is_reference(item.default)
    default = cls.resolve_in_class(item.default) if item.default is not None and is_reference else None
    if _is_factory(cls, item, text, default):
        return FieldFactory(item.name)
    if _is_module(cls, annotation, text):
        return FieldModule(item.name, optional=is_none(item.default))
    if text == "int" and not is_none(item.default):
        return Dim.symbol(reference, None if _may_be_negative(cls, item) else 0)
    for kind in ("int", "float", "bool", "str"):
        if text in (kind, f"Optional[{kind}]", f"{kind} | None", f"typing.Optional[{kind}]"):
            return Expr(reference, kind)
    inner = text.removeprefix("Optional[").removeprefix("typing.").removeprefix("t.")
    if inner.startswith(_SEQUENCES):
        return Expr(reference, "sequence", _length(annotation))
    if inner.startswith(_MAPPINGS):
        return Expr(reference, "mapping")
    if is_activation_name(item.name) or (default is not None and is_elementwise(default)):
        return Expr(reference, "elementwise")
    return Expr(reference)


def _length(annotation: ast.expr) -> int | None:
    """The length of `Tuple[int, int]`, None for sequences of any length."""
    if not isinstance(annotation, ast.Subscript) or not isinstance(annotation.slice, ast.Tuple):
        return None
    items = annotation.slice.elts
    name = ast.unparse(annotation.value).rpartition(".")[2]
    is_tuple = name in ("Tuple", "tuple") and all(isinstance(i, ast.Name) and i.id == "int" for i in items)
    return len(items) if is_tuple else None


def _may_be_negative(cls: LinenClass, item: Field) -> bool:
    """Whether an int field may mean something else than a size or count: by its default, or a test for its
    sign.
    """
    if isinstance(item.default, ast.UnaryOp) or any(
        word in item.name for word in ("axis", "index", "offset")
    ):
        return True
    return any(item.name in owner.attributes_tested_for_sign for owner in cls.mro)


def _is_reference(node: ast.expr | None) -> bool:
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


def _is_factory(cls: LinenClass, item: Field, text: str, default: str | None) -> bool:
    if text == "ModuleDef" and not is_activation_name(item.name):  # often `Any`, for `act`, too
        return True
    if text in ("Type[nn.Module]", "type[nn.Module]", "Callable[..., nn.Module]"):
        return True
    name = linen_name(default)
    if name is not None and name[:1].isupper():
        return True
    return bool(default is not None and cls.program_project is not None and default in cls.known_classes)


def _is_module(cls: LinenClass, annotation: ast.expr, text: str) -> bool:
    node = annotation
    if isinstance(node, ast.Subscript) and ast.unparse(node.value).rpartition(".")[2] == "Optional":
        node = node.slice
    if isinstance(node, ast.BinOp):
        node = node.left
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value in ("nn.Module",)
    if not _is_reference(node):
        return False
    name = cls.resolve_in_class(node)
    layer = linen_name(name)  # `embed_tokens: nn.Embed` holds a shared one
    is_linen = layer in ("Module", "RNNCellBase") or f"{LINEN}.{layer}" in LAYERS
    return is_linen or (name is not None and name in cls.known_classes)
