"""The constructor's signature and the assignments of the fields."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nnx_migrate.linen.classes.docstrings import about_field
from nnx_migrate.linen.classes.layer_fields import may_get_list
from nnx_migrate.linen.classes.model import Field, LinenClass
from nnx_migrate.linen.factories.values import Factory
from nnx_migrate.linen.fields.module_dicts import holds_module_dict
from nnx_migrate.linen.fields.module_lists import holds_module_list, holds_modules_otherwise, may_be_none
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.symbols import LINEN, linen_name
from nnx_migrate.names.nodes import is_of_self
from nnx_migrate.nnx.layers import LAYERS
from nnx_migrate.nnx.writer.comments import comments_within
from nnx_migrate.nnx.writer.construction.derived import nnx_layer
from nnx_migrate.nnx.writer.construction.writer import ConstructionWriter
from nnx_migrate.nnx.writer.constructor.dict_fields import dict_assignment
from nnx_migrate.nnx.writer.constructor.factory_defaults import factory_default
from nnx_migrate.nnx.writer.constructor.held_arrays import HELPER, holds_arrays
from nnx_migrate.nnx.writer.constructor.inheritance import inherited_field
from nnx_migrate.nnx.writer.constructor.module_defaults import is_plain_module
from nnx_migrate.nnx.writer.names import FileNames
from nnx_migrate.nnx.writer.text import HANGING, dedented, folded, indentation, one_line, rewritten
from nnx_migrate.sources.lines import line_limit

_FREEZABLE = ("Sequence", "List", "list", "Iterable")


@dataclass(frozen=True)
class Parameter:
    """One constructor parameter: its text, and the comments that stood beside and above the field."""

    name: str
    text: str
    comment: str = ""
    above: tuple[str, ...] = ()


def field_parameters(
    cls: LinenClass, constructions: ConstructionWriter, factories: Mapping[str, Factory]
) -> list[Parameter]:
    """The class's fields as parameters, in the order of the dataclass, own ones with their comments."""
    names = constructions.names
    found: list[Parameter] = []
    for item in cls.fields:
        own = item.owner is cls
        source = item.owner.module.source
        annotated, defaulted = (True, True) if own else inherited_field(item, cls, names.project)
        text = item.name
        if annotated:
            text += ": " + one_line(rewritten(source, item.annotation, _declared(item, names)))
            text += " | None" if default_factory(item) is not None and _is_builtin(item.annotation) else ""
        if not defaulted:
            raise Refuse(
                "unknown-base", f"the default of the inherited field `{item.name}` isn't known here", cls.node
            )
        default = default_text(item, constructions)
        if default is not None and item.name in factories:
            default = factory_default(item, constructions, factories[item.name])
        if default is not None:
            text += f" = {default}" if annotated else f"={default}"
        if own:
            trailing, above = _trailing_comment(item, names), _comments_above(item, cls)
            inside = comments_within(source, item.node)
            if len(inside) == 1 and not trailing:
                trailing, inside = inside[0], []
            found.append(Parameter(item.name, text, trailing, (*above, *inside)))
        else:
            found.append(Parameter(item.name, text))
    return _in_valid_order(found, cls)


def _declared(item: Field, names: FileNames) -> Callable[[ast.AST], str | None]:
    """What stands in a field's annotation for references to Linen: `nnx.Embed` for a layer that it gets."""
    replacement = names.replacement_in(item.owner.module)

    def text(node: ast.AST) -> str | None:
        if isinstance(node, ast.Attribute | ast.Name):
            layer = linen_name(item.owner.resolve_in_class(node)) or ""
            if f"{LINEN}.{layer}" in LAYERS:
                return f"{names.nnx()}.{nnx_layer(layer)}"
        return replacement(node)

    return text


def _in_valid_order(parameters: list[Parameter], cls: LinenClass) -> list[Parameter]:
    """Refuse orders that Linen only accepts because of keyword-only fields."""
    seen_default = False
    for parameter in parameters:
        has_default = "=" in parameter.text.replace("==", "")
        if seen_default and not has_default:
            raise Refuse(
                "unsupported-syntax",
                f"field `{parameter.name}` has no default but follows one that has",
                cls.node,
            )
        seen_default = seen_default or has_default
    return parameters


def default_text(item: Field, constructions: ConstructionWriter) -> str | None:
    """The default of a field as a parameter default, None where the field is required."""
    node, names = item.default, constructions.names
    if node is None:
        return None
    if isinstance(node, ast.Call) and names.qualified(node.func) == "dataclasses.field":
        keywords = {k.arg: k.value for k in node.keywords}
        if "default" in keywords:
            node = keywords["default"]
        else:
            return "None" if default_factory(item) is not None else None
    if isinstance(node, ast.List | ast.Dict | ast.Set):
        raise Refuse("unsupported-syntax", f"field `{item.name}` has a mutable default", item.node)
    made = [
        part for part in ast.walk(node) if isinstance(part, ast.Call) and _is_module(part.func, item.owner)
    ]
    if made and not (made == [node] and is_plain_module(item, node, constructions)):
        raise Refuse("unknown-module", f"the default of field `{item.name}` makes a module", item.node)
    text = one_line(rewritten(item.owner.module.source, node, names.replacement_in(item.owner.module)))
    return f"({text})" if isinstance(node, ast.Tuple) and not text.startswith("(") else text


def default_factory(item: Field) -> ast.expr | None:
    """The function that makes a field's default (`field(default_factory=list)`)."""
    node = item.default
    if not isinstance(node, ast.Call) or item.owner.resolve_in_class(node.func) != "dataclasses.field":
        return None
    return next((k.value for k in node.keywords if k.arg == "default_factory"), None)


def _is_module(node: ast.AST, cls: LinenClass) -> bool:
    """Whether an expression in the body of a class names a class of modules."""
    name = cls.resolve_in_class(node) if isinstance(node, ast.Name | ast.Attribute) else None
    return name is not None and (name in cls.known_classes or (linen_name(name) or "")[:1].isupper())


def made_by_default(item: Field, cls: LinenClass, names: FileNames) -> str | None:
    """What the default factory of a field makes, as an expression; None where there is no such factory.

    The parameter is None by default then. Raises Refuse where somebody may give None.
    """
    factory = default_factory(item)
    if factory is None:
        return None
    annotation = ast.unparse(item.annotation)
    if any(word in annotation for word in ("None", "Optional", "Any", "object")):
        detail = f"field `{item.name}` has a default factory, and may be None"
        raise Refuse("unsupported-syntax", detail, item.node)
    if item.owner.module is not cls.module:
        raise Refuse("unsupported-syntax", f"field `{item.name}` has a default factory elsewhere", cls.node)
    if any(_is_module(node, cls) for node in ast.walk(factory)):
        raise Refuse("unknown-module", f"the default of field `{item.name}` makes a module", item.node)
    if isinstance(factory, ast.Name) and factory.id in _EMPTY:
        return _EMPTY[factory.id]
    body = factory.body if isinstance(factory, ast.Lambda) else factory
    text = one_line(rewritten(item.owner.module.source, body, names.replacement_in(item.owner.module)))
    if isinstance(body, ast.Lambda | ast.IfExp | ast.NamedExpr):
        text = f"({text})"
    return text if isinstance(factory, ast.Lambda) else f"{text}()"


_EMPTY = {"list": "[]", "dict": "{}", "tuple": "()"}
_BUILTIN = frozenset({"list", "dict", "tuple", "set", "str", "int", "float", "bool"})


def _is_builtin(annotation: ast.expr) -> bool:
    """Whether `annotation | None` can be evaluated."""
    node = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    return isinstance(node, ast.Name) and node.id in _BUILTIN


def _trailing_comment(item: Field, names: FileNames) -> str:
    line = names.module.source.line_text(item.node.end_lineno or 0)
    rest = line.encode()[item.node.end_col_offset or 0 :].decode().strip()
    return rest if rest.startswith("#") else ""


def _comments_above(item: Field, cls: LinenClass) -> tuple[str, ...]:
    """The comments between a field and the one before it (those above the first one stay where they are)."""
    others = [f for f in cls.own_fields if f.node.lineno < item.node.lineno]
    before = [(about_field(f) or f.node).end_lineno or 0 for f in others]
    first = max(before) + 1 if before else item.node.lineno
    lines = (cls.module.source.line_text(n).strip() for n in range(first, item.node.lineno))
    return tuple(line for line in lines if line.startswith("#"))


def signature(
    parameters: Sequence[Parameter], keyword_only: Sequence[str], indent: str, unit: str, limit: int
) -> list[str]:
    """The `def __init__` lines."""
    texts = ["self", *(p.text for p in parameters), *(["*", *keyword_only] if keyword_only else [])]
    single = f"{indent}def __init__({', '.join(texts)}):"
    commented = any(p.comment or p.above for p in parameters)
    if len(single) <= limit and not commented:
        return [single]
    inner = indent + unit + (unit if len(unit) < 4 else "")
    middle = f"{inner}{', '.join(texts)}"
    if len(middle) <= limit and not commented:
        return [f"{indent}def __init__(", middle, f"{indent}):"]
    lines = [f"{indent}def __init__(", f"{inner}self,"]
    for parameter in parameters:
        lines += [f"{inner}{comment}" for comment in parameter.above]
        lines.append(f"{inner}{parameter.text}," + (f"  {parameter.comment}" if parameter.comment else ""))
    if keyword_only:
        lines += [f"{inner}*,", *(f"{inner}{text}," for text in keyword_only)]
    return [*lines, f"{indent}):"]


def _assignment(name: str, value: str, indent: str, limit: int) -> list[str]:
    """`self.name = value`, the value in brackets of its own where the line would be too long."""
    line = f"{indent}self.{name} = {value}"
    if len(line) <= limit or " if " not in value or "\n" in value:
        return [line]
    inner = indent + HANGING
    return [f"{indent}self.{name} = (", f"{inner}{folded(value, inner, limit)}", f"{indent})"]


def field_assignments(
    cls: LinenClass, names: FileNames, indent: str, unit: str, done: frozenset[str] = frozenset()
) -> list[str]:
    """`self.field = field` for the fields that the base class hasn't `done`.

    Lists become tuples, as Linen's dataclass freezes them.
    """
    lines: list[str] = []
    for item in cls.fields:
        if item.name in done:
            if item.owner is cls and about_field(item) is not None:
                raise Refuse(
                    "unsupported-syntax", f"a text tells about `{item.name}`, which isn't kept", item.node
                )
            continue
        if holds_modules_otherwise(cls, item):
            detail = (
                f"what becomes of the modules in `{item.name}: {ast.unparse(item.annotation)}` isn't known"
            )
            raise Refuse("unknown-module", detail, item.node)
        if holds_module_dict(cls, item):
            lines += dict_assignment(item, indent, unit, [f.name for f in cls.fields])
            if item.owner is cls and (text := about_field(item)) is not None:
                lines += _docstring_lines(cls, text, indent)
            continue
        annotation = ast.unparse(item.annotation).removeprefix("typing.")
        is_list = annotation.startswith(_FREEZABLE) and not _may_be_none(item)
        value = item.name
        made = made_by_default(item, cls, names)
        if made is not None:
            value = f"{made} if {value} is None else {value}"
        if holds_module_list(cls, item):
            made_list = f"{names.nnx()}.List({value})"
            value = f"None if {value} is None else {made_list}" if may_be_none(item) else made_list
        elif is_list and (_is_sequence(cls, item) or made is not None):
            value = f"tuple({value})"
        elif is_list or may_get_list(item):  # annotated as one, but nothing shows that no number is given
            value = f"tuple({value}) if isinstance({value}, list) else {value}"
        if holds_arrays(cls, item.name):
            value = f"{names.helper(HELPER)}({value})"
        lines += _assignment(item.name, value, indent, line_limit(cls.module.source))
        if item.owner is cls and (text := about_field(item)) is not None:
            lines += _docstring_lines(cls, text, indent)
    return lines


def _docstring_lines(cls: LinenClass, node: ast.Expr, indent: str) -> list[str]:
    """A field's text below its assignment, where documentation tools look for it, too."""
    source = cls.module.source
    text = dedented(source.segment(node), indentation(source, node.lineno), indent)
    return [indent + line if number == 0 else line for number, line in enumerate(text.split("\n"))]


_SEQUENCE_FUNCTIONS = frozenset({"len", "enumerate", "zip", "reversed", "list", "tuple", "sum", "sorted"})


def _is_sequence(cls: LinenClass, item: Field) -> bool:
    """Whether the default or a use in the class shows that a field can only be a sequence."""
    if isinstance(item.default, ast.Tuple | ast.List):
        return True
    name = item.name
    for owner in cls.mro:
        for node in ast.walk(owner.node):
            if isinstance(node, ast.For | ast.comprehension) and is_of_self(node.iter, name):
                return True
            if isinstance(node, ast.Subscript | ast.Starred) and is_of_self(node.value, name):
                return True
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in _SEQUENCE_FUNCTIONS
            ):
                if any(is_of_self(argument, name) for argument in node.args):
                    return True
    return False


def _may_be_none(item: Field) -> bool:
    default = item.default
    return isinstance(default, ast.Constant) and default.value is None
