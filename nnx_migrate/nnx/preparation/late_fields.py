"""Fields whose values only calls of the module around know, and that only calls of the class itself read.

`Block(self.width, train)(x)` makes a module anew in each call, so that `train` may be a field of it. A module that is
made once gets it with the call:

    def __call__(self, x, train: bool = False): ...        # in place of the field `train: bool = False`

    x = Block(self.width)(x, train=train)

Both are the same as long as the class is only made where it is called at once, itself or by a local partial of it, and
reads the field in `__call__` and nowhere else. What a class hands on to another one in this way becomes an argument
there, too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from nnx_migrate.linen.classes.model import Field, LinenClass, LinenProgram
from nnx_migrate.linen.programs.constructions.references import ClassReference, Role
from nnx_migrate.names.nodes import all_below, is_of_self, is_self
from nnx_migrate.nnx.groups import Group
from nnx_migrate.nnx.preparation.call_values import CallValues, Known
from nnx_migrate.nnx.preparation.late_field_edits import LateClass, Made, fix, may_be_written
from nnx_migrate.nnx.preparation.late_partials import calls_behind, class_bound, class_called
from nnx_migrate.nnx.preparation.model import Preparation

# What a class may be refused for that stays for such fields: maybe another reason than that they aren't known.
_REASONS = frozenset({"dynamic-construction", "unknown-size", "shape-condition", "sizes-differ", "mode-flag"})
_PLAIN_TYPES = frozenset({"bool", "int", "float", "complex", "str"})
_ARRAYS = frozenset(
    {"jax.Array", "jax.numpy.ndarray", "numpy.ndarray", "chex.Array", "jax.typing.ArrayLike"}
    | {"chex.ArrayDevice", "flax.typing.Array", "jax.numpy.array"}
)
# Expressions that give the same, and do nothing, wherever in a statement they stand.
_SIMPLE = (
    *(ast.Name, ast.Attribute, ast.Constant, ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.Compare),
    *(ast.IfExp, ast.Subscript, ast.Slice),
    *(ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.expr_context),
)
# Attributes of a module that show its fields, or make others with them.
_SHOW_FIELDS = frozenset({"clone", "copy", "__dict__", "__dataclass_fields__", "unbind", "bind", "tabulate"})


def late_fields(program: LinenProgram, groups: Sequence[Group]) -> Iterator[Preparation]:
    """What can become arguments of calls, for classes that stay because their constructors don't know it."""
    asking = {
        cls.qualified
        for group in groups
        if not group.can_move
        for cls, obstacle in group.obstacles
        if obstacle.reason in _REASONS
    }
    if asking:
        yield from _Search(program, asking).preparations()


@dataclass(eq=False)
class _Class:
    """A class that is only made where it is called at once."""

    cls: LinenClass
    made: list[Made] = field(default_factory=list)
    names: set[str] = field(default_factory=set)  # the fields that become arguments
    leads_to: set[LinenClass] = field(default_factory=set)  # the classes that it hands them on to


class _Search:
    def __init__(self, program: LinenProgram, asking: set[str]) -> None:
        self.program, self.asking = program, asking
        self.references: dict[LinenClass, list[ClassReference]] = {}
        known = program.references
        for reference in (*known.outside, *known.inside, *known.unclear):
            self.references.setdefault(reference.cls, []).append(reference)
        self.classes: dict[LinenClass, _Class | None] = {}
        self.values: dict[LinenClass, CallValues] = {}

    def preparations(self) -> Iterator[Preparation]:
        for cls in self.program:
            if self._made_by_asking(cls):
                self._take_late(cls)
        taken = [one for one in self.classes.values() if one is not None and one.names]
        while taken:
            together = _together(taken)
            taken = [one for one in taken if one not in together]
            late = [LateClass(one.cls, tuple(_ordered(one)), tuple(one.made)) for one in together]
            first = late[0]
            holders = frozenset(h.qualified for one in late for made in one.made if (h := made.holder))
            message = f"`{first.cls.name}` gets as fields what only calls of it need: {_listed(first.fields)}"
            edited = frozenset(one.cls.qualified for one in late)
            yield Preparation(first.cls, first.cls.node, message, fix(late), edited, holders)

    # ---- which fields -----------------------------------------------------------------------------------

    def _made_by_asking(self, cls: LinenClass) -> bool:
        around = (self._holder(reference) for reference in self.references.get(cls, ()))
        return any(holder is not None and holder.qualified in self.asking for holder in around)

    def _take_late(self, cls: LinenClass) -> None:
        """Find the fields of a class that calls of other modules decide."""
        found = self._class(cls)
        if found is None:
            return
        late: dict[str, Known] = {}
        for made in found.made:
            for name, node in made.given.items():
                late[name] = max(late.get(name, Known.MADE), self._known(made, node))
        if Known.CALLED not in late.values():
            return
        # what makes layers, or functions, may be given otherwise
        held = {item.name for item in cls.fields if _holds_value(item)}
        wanted = {name for name, known in late.items() if known is Known.CALLED and name in held}
        if all(self._take(found, name, frozenset()) for name in sorted(wanted)):
            for name in sorted(name for name, known in late.items() if known is Known.SIZED):
                self._take(found, name, frozenset())

    def _known(self, made: Made, node: ast.expr) -> Known:
        holder = made.holder
        if holder is None:
            return Known.MADE
        if holder not in self.values:
            self.values[holder] = CallValues(holder.module, holder.node)
        return self.values[holder].known(node)

    def _take(self, of: _Class, name: str, above: frozenset[tuple[LinenClass, str]]) -> bool:
        """Whether a field may become an argument; then it does, with those of other classes that get its value."""
        if name in of.names or (of.cls, name) in above:
            return True
        item = of.cls.field(name)
        if item is None or not _holds_value(item) or not may_be_written(of.cls, item):
            return False
        if name in self._read_by_children:
            return False
        if not all(_is_simple(made.given[name]) for made in of.made if name in made.given):
            return False
        if not all(made.may_move(name) for made in of.made):
            return False
        further = self._handed_on(of.cls, name)
        if further is None:
            return False
        inner = above | {(of.cls, name)}
        if not all(self._take(other, handed, inner) for other, handed in further):
            return False
        of.names.add(name)
        of.leads_to.update(other.cls for other, _ in further)
        return True

    @cached_property
    def _read_by_children(self) -> set[str]:
        """The names that modules read of those which make them: `self.parent.train`."""
        nodes = (node for cls in self.program for node in all_below(cls.node))
        return {
            node.attr
            for node in nodes
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Attribute)
            and node.value.attr == "parent"
        }

    def _handed_on(self, cls: LinenClass, name: str) -> list[tuple[_Class, str]] | None:
        """The fields of other classes that get the value of one; None if constructions can't do without it."""
        found: list[tuple[_Class, str]] = []
        for node in (n for n in all_below(cls.node) if is_of_self(n, name)):
            child: ast.AST = node
            parent = cls.module.parents.get(node)
            while parent is not None and not isinstance(parent, ast.stmt):
                made = self._construction(cls, parent, child)
                if made is not None:
                    other = self._class(made)
                    own = (m for m in other.made if parent in (m.call, m.partial)) if other else iter(())
                    given = next(own, None)
                    handed = (
                        [n for n, value in given.given.items() if value in _above(child)] if given else []
                    )
                    if other is None or len(handed) != 1:
                        return None
                    found.append((other, handed[0]))
                child, parent = parent, cls.module.parents.get(parent)
        return found

    def _construction(self, cls: LinenClass, node: ast.AST, child: ast.AST) -> LinenClass | None:
        """The class of the project that a call constructs, if `child` is an argument of it."""
        if not isinstance(node, ast.Call) or child is node.func:
            return None
        found = self.program.references.class_called(cls.module, node)
        found = found or class_bound(self.program, cls.module, node)
        return found or class_called(self.program, cls.module, node)

    # ---- which classes ----------------------------------------------------------------------------------

    def _class(self, cls: LinenClass) -> _Class | None:
        if cls not in self.classes:
            made = self._made(cls) if self._is_plain(cls) else None
            self.classes[cls] = None if made is None else _Class(cls, made)
        return self.classes[cls]

    def _holder(self, reference: ClassReference) -> LinenClass | None:
        return self.program.references.enclosing_class(reference.module, reference.node)

    def _is_plain(self, cls: LinenClass) -> bool:
        """Whether a class stands alone, and nothing in it shows all of its fields."""
        call = cls.own_methods.get("__call__")
        if call is None or call.kind != "method" or call.transforms or call.is_nowrap:
            return False
        if cls.problem or len(cls.mro) > 1 or cls.layer_base or cls.class_attributes:
            return False
        if cls.node.decorator_list or cls.node.keywords:
            return False
        arguments = call.node.args
        if arguments.vararg or arguments.kwarg or arguments.posonlyargs or not arguments.args:
            return False
        if arguments.args[0].arg != "self":
            return False
        parents = cls.module.parents
        for node in all_below(cls.node):
            if is_self(node) and not isinstance(parents.get(node), ast.Attribute):
                return False
            if isinstance(node, ast.Attribute) and node.attr in _SHOW_FIELDS:
                return False
            if isinstance(node, ast.ClassDef) and node is not cls.node:
                return False
            if isinstance(node, ast.Name) and node.id == "__class__":
                return False
        return not any(name.startswith("__") and name != "__call__" for name in cls.own_methods)

    def _made(self, cls: LinenClass) -> list[Made] | None:
        """Where modules of a class are made; None unless each is called at once, in another module."""
        found: list[Made] = []
        for reference in self.references.get(cls, ()):
            if reference.role is Role.ANNOTATION:
                continue
            holder, module = self._holder(reference), reference.module
            calls = self._calls(reference)
            if holder is None or reference.cls is not cls or not calls:
                return None
            for call, partial in calls:
                made = Made.of(cls, holder, module, call, partial)
                if made is None:
                    return None
                found.append(made)
        return found if found else None

    def _calls(self, reference: ClassReference) -> list[tuple[ast.Call, ast.Call | None]]:
        """The calls that construct a class where code names it, and the local partial that each of them calls."""
        if reference.role is Role.CONSTRUCTION:
            return [(reference.call, None)]
        module, outer = reference.module, reference.module.parents.get(reference.node)
        if not isinstance(outer, ast.Call) or outer.args[:1] != [reference.node]:
            return []
        if class_bound(self.program, module, outer) is None:
            return []
        return [(call, outer) for call in calls_behind(self.program, module, outer) or ()]


def _together(taken: list[_Class]) -> list[_Class]:
    """The first class, and those that it is connected with."""
    found, waiting = [taken[0]], [taken[0]]
    while waiting:
        one = waiting.pop()
        near = [o for o in taken if o not in found and (o.cls in one.leads_to or one.cls in o.leads_to)]
        found += near
        waiting += near
    return found


def _ordered(one: _Class) -> Iterator[Field]:
    return (item for item in one.cls.fields if item.name in one.names)


def _listed(fields: Iterable[Field]) -> str:
    return ", ".join(f"`{item.name}`" for item in fields)


def _above(node: ast.AST) -> tuple[ast.AST, ...]:
    """A node and, for a keyword, the value in it."""
    return (node, node.value) if isinstance(node, ast.keyword) else (node,)


def _holds_value(item: Field) -> bool:
    """Whether a field is annotated as a number, a text or an array, which Linen keeps as they are."""
    kinds = list(_kinds(item.owner, item.annotation))
    return bool(kinds) and all(kinds)


def _kinds(cls: LinenClass, node: ast.expr) -> Iterator[bool]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield from _kinds(cls, node.left)
        yield from _kinds(cls, node.right)
    elif isinstance(node, ast.Constant) and node.value is None:
        return
    elif isinstance(node, ast.Subscript):
        is_optional = cls.resolve_in_class(node.value) in ("typing.Optional", "typing.Union")
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        for part in parts if is_optional else ():
            yield from _kinds(cls, part)
        if not is_optional:
            yield False
    elif isinstance(node, ast.Name | ast.Attribute):
        name = cls.resolve_in_class(node)
        yield name in _PLAIN_TYPES or name in _ARRAYS
    else:
        yield False


def _is_simple(node: ast.expr) -> bool:
    return node.lineno == node.end_lineno and all(isinstance(n, _SIMPLE) for n in ast.walk(node))
