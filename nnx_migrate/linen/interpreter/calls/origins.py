"""Where values come from, by the code around: which calls may have made them, and whether these are known."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

from nnx_migrate.linen.effects.registry import modelled_methods
from nnx_migrate.linen.interpreter.calls.kept_results import returned
from nnx_migrate.linen.interpreter.calls.packages import CALLING, comes_from_libraries, is_free_of_flax
from nnx_migrate.linen.interpreter.calls.plain_code import plain_code
from nnx_migrate.linen.interpreter.convert import effect_value
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.model import LinenClass, Method
from nnx_migrate.linen.shapes import Array, Unknown
from nnx_migrate.linen.symbols import linen_name
from nnx_migrate.linen.values import ClassRef, Input, Instance, Layer
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import all_below, is_of_self
from nnx_migrate.names.scopes import COMPREHENSIONS

# Built-in functions that give whatever they find.
_GIVE_ANYTHING = frozenset(
    {"__import__", "eval", "filter", "getattr", "globals", "locals", "map", "type", "vars"}
)
# Methods of a module that make and give variables.
OF_VARIABLES = frozenset({"get_variable", "make_rng", "param", "perturb", "put_variable", "sow", "variable"})
_MOST_STEPS = 12  # from a name to what has made it
_STEPS_TO_ARGUMENTS = 5  # and to what has made its arguments


class Origins:
    """Finds the calls that may have made a value, by the code around, of which nothing shows what they make."""

    def __init__(self, frame: Frame, of_arrays: bool = True) -> None:
        """`of_arrays`: whether what is made from arrays, like a distribution, counts."""
        self.frame, self.module, self.cls = frame, frame.module, frame.session.cls
        self.of_arrays = of_arrays
        self.project = frame.session.program.project
        self.is_own = True  # whether it is the code of the frame that is looked at
        self._seen: set[ast.AST] = set()

    def _of(self, module: Module, cls: LinenClass) -> Origins:
        """For the code of a method of another class."""
        origins = Origins(self.frame, self.of_arrays)
        origins.module, origins.cls, origins.is_own, origins._seen = module, cls, False, self._seen
        return origins

    def makers(self, node: ast.expr, depth: int = _MOST_STEPS) -> Iterator[ast.Call]:
        """Such calls, of which one may have made what an expression stands for."""
        if node in self._seen or depth < 1:
            return
        self._seen.add(node)
        if isinstance(node, ast.Call):
            if not self.of_arrays and self.is_own and self._gets_arrays(node, depth):
                return
            method = self._followed(node.func)
            if method is None and self._is_unknown(node.func, depth):
                yield node
            if method is not None:
                origins = self._of(method.owner.module, self._class_of(node.func) or method.owner)
                for value in returned(method.owner.module, method.node):
                    yield from origins.makers(value, depth - 1)
                for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                    yield from self.makers(argument, depth - 1)
        for part in self._parts(node):
            yield from self.makers(part, depth - 1)

    def _gets_arrays(self, maker: ast.Call, depth: int) -> bool:
        """Whether a call may get an array."""
        found, contexts = self.frame.session.facts.values, {self.frame.context, ()}
        if isinstance(maker.func, ast.Attribute):
            receivers = (found.get((context, maker.func.value)) for context in contexts)
            if any(isinstance(effect_value(self.frame.session, value), Array) for value in receivers):
                return True
        for argument in (*maker.args, *(keyword.value for keyword in maker.keywords)):
            values = [found.get((context, argument)) for context in contexts]
            if any(
                isinstance(v, Input) or isinstance(effect_value(self.frame.session, v), Array) for v in values
            ):
                return True
            if any(isinstance(v, Unknown) for v in values) and not self._may_make(argument, depth):
                return True
        return False

    def _may_make(self, argument: ast.expr, depth: int) -> bool:
        """Whether an argument may be a module, or a class of them: `TABLE[kind]`, or what that has made."""
        root = argument
        while isinstance(root, ast.Attribute | ast.Subscript):
            root = root.value
        qualified = self._qualified(root) if isinstance(root, ast.Name) else None
        if qualified is not None and not is_free_of_flax(qualified):
            return True
        other = Origins(self.frame, of_arrays=False)
        other._seen = set(self._seen)
        return any(True for _ in other.makers(argument, min(depth - 1, _STEPS_TO_ARGUMENTS)))

    def _followed(self, function: ast.expr) -> Method | None:
        """The method of a module, whose code the project shows, that a call reaches."""
        if isinstance(function, ast.Attribute) and is_of_self(function):
            method = self.cls.method(function.attr)
            if method is not None:
                return method if self._returns(method) else None
        cls, name = self._class_of(function), "__call__"
        if cls is None and isinstance(function, ast.Attribute):
            cls, name = self._class_of(function.value), function.attr
        method = cls.method(name) if cls is not None else None
        return method if method is not None and self._returns(method) else None

    def _class_of(self, node: ast.expr) -> LinenClass | None:
        """The class of the submodule that an expression stands for."""
        value = self._value(node)
        if isinstance(value, Instance):
            return value.site.target.cls if isinstance(value.site.target, ClassRef) else None
        made = {self._class_made(part) for part in self._values(node)}
        return made.pop() if len(made) == 1 else None

    def _class_made(self, node: ast.expr) -> LinenClass | None:
        named = self._qualified(node.func) if isinstance(node, ast.Call) else None
        return self.frame.session.program.find(named)

    def _values(self, node: ast.expr) -> list[ast.expr]:
        """What a variable or an attribute is given, if the code shows it."""
        if isinstance(node, ast.Name):
            given = list(self._bound(node))
            return given if len(given) == len(self.module.scope_at(node).lookup(node.id)) else []
        return list(self._assigned(node.attr)) if is_of_self(node) else [node]

    def _value(self, node: ast.expr) -> object:
        return self.frame.session.facts.values.get((self.frame.context, node)) if self.is_own else None

    def _returns(self, method: Method) -> bool:
        """Whether callers get what the `return`s of a method give."""
        is_plain = method.kind in ("method", "static") and not method.transforms
        return is_plain and not any(isinstance(n, ast.Yield | ast.YieldFrom) for n in all_below(method.node))

    def _parts(self, node: ast.expr) -> Iterator[ast.expr]:
        if isinstance(node, ast.Subscript | ast.Starred | ast.NamedExpr):
            yield node.value
        elif isinstance(node, ast.IfExp):
            yield from (node.body, node.orelse)
        elif isinstance(node, ast.BoolOp):
            yield from node.values
        elif isinstance(node, ast.List | ast.Tuple | ast.Set):
            yield from node.elts
        elif isinstance(node, ast.Dict):
            yield from node.values
        elif isinstance(node, COMPREHENSIONS):
            yield node.value if isinstance(node, ast.DictComp) else node.elt
        elif isinstance(node, ast.Call) and self._hands_on(node):
            yield from node.args
            yield from (keyword.value for keyword in node.keywords)
        elif is_of_self(node) and isinstance(node, ast.Attribute):
            yield from self._assigned(node.attr)
            method = self.cls.method(node.attr)
            if method is not None and method.kind == "property" and method.owner.module is self.module:
                yield from returned(self.module, method.node)
        elif isinstance(node, ast.Name):
            yield from self._bound(node)

    def _hands_on(self, call: ast.Call) -> bool:
        """Whether a call may give its arguments, or elements of them: `zip(self.convs, self.norms)`."""
        if isinstance(call.func, ast.Name) and call.func.id in (
            "enumerate", "iter", "list", "next", "reversed", "tuple", "zip",
        ):  # fmt: skip
            return True
        qualified = self._qualified(call.func)
        return qualified is not None and self.project.definition(qualified) is not None

    def _qualified(self, function: ast.expr) -> str | None:
        return self.project.resolve(function, self.module.scope_at(function), self.module)

    def _bound(self, name: ast.Name) -> Iterator[ast.expr]:
        for binding in self.module.scope_at(name).lookup(name.id):
            if binding.value is not None:
                yield binding.value
                continue
            statement = self._statement(binding.node)
            if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
                yield statement.value
            elif isinstance(statement, ast.For | ast.comprehension):
                yield statement.iter
            elif isinstance(statement, ast.withitem):
                yield statement.context_expr

    def _statement(self, node: ast.AST | None) -> ast.AST | None:
        while isinstance(node, ast.expr):
            node = self.module.parents.get(node)
        return node

    def _assigned(self, attribute: str) -> Iterator[ast.expr]:
        """What the methods of the class, as far as they stand in this file, give an attribute."""
        for cls in self.cls.mro:
            for method in cls.own_methods.values() if cls.module is self.module else ():
                for node in ast.walk(method.node):
                    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
                        continue
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    named = (n for t in targets for n in ast.walk(t) if is_of_self(n))
                    if any(isinstance(n, ast.Attribute) and n.attr == attribute for n in named):
                        yield node.value

    def _is_unknown(self, function: ast.expr, depth: int) -> bool:
        """Whether nothing shows what a call of a function gives, which was followed if that is possible."""
        if depth < 1:
            return True
        if isinstance(function, ast.IfExp | ast.BoolOp | ast.NamedExpr):
            return any(self._is_unknown(part, depth - 1) for part in self._parts(function))
        if isinstance(function, ast.Call):
            # A function that a function gives: `partial(table[kind], 3)(8)`.
            given = function.args[:1]
            if self._hands_on(function):
                given = [*function.args, *(keyword.value for keyword in function.keywords)]
                given = [value for value in given if not isinstance(value, ast.Constant)]
            return any(self._is_unknown(part, depth - 1) for part in (function.func, *given))
        if not isinstance(function, ast.Name | ast.Attribute):
            return True
        if comes_from_libraries(self.module, function):
            return False
        qualified = self._qualified(function)
        if qualified is not None:
            return self._is_unknown_name(qualified)
        if isinstance(function, ast.Attribute) and function.attr in modelled_methods():
            return False  # of an array: `x.mean(axis=1)`
        if is_of_self(function) and isinstance(function, ast.Attribute) and function.attr in OF_VARIABLES:
            return False
        if self._followed(function) is not None or self._is_layer(function):
            return False
        if isinstance(function, ast.Attribute):
            return not self._is_sure(function.value, depth - 1)  # a method of what is known
        bindings = self.module.scope_at(function).lookup(function.id)
        if not bindings:
            return function.id in _GIVE_ANYTHING or not hasattr(builtins, function.id)
        parts = list(self._bound(function))
        return not parts or any(self._is_unknown(part, depth - 1) for part in parts)

    def _is_layer(self, function: ast.expr) -> bool:
        """Whether a layer of Linen's own is called, which gives arrays."""
        value = self._value(function)
        if isinstance(value, Instance):
            return isinstance(value.site.target, Layer)
        made = self._values(function)
        names = [self._qualified(m.func) if isinstance(m, ast.Call) else None for m in made]
        layers = [linen_name(name) or "" for name in names]
        return bool(layers) and all(name[:1].isupper() and name not in CALLING for name in layers)

    def _is_sure(self, node: ast.expr, depth: int) -> bool:
        """Whether a value surely is none of unknown code: what libraries and plain code of the project make."""
        if depth < 1:
            return False
        if isinstance(node, ast.Call):
            return self._makes_known(node, depth)
        if isinstance(node, ast.Name) or is_of_self(node):
            given = self._values(node)
            return bool(given) and all(self._is_sure(value, depth - 1) for value in given)
        if isinstance(node, ast.IfExp | ast.Subscript | ast.Tuple | ast.List):
            return all(self._is_sure(part, depth - 1) for part in self._parts(node))
        return isinstance(node, ast.Constant | ast.BinOp | ast.Compare | ast.UnaryOp | ast.JoinedStr)

    def _makes_known(self, call: ast.Call, depth: int) -> bool:
        method = self._followed(call.func)
        if method is not None:
            origins = self._of(method.owner.module, self._class_of(call.func) or method.owner)
            given = list(returned(method.owner.module, method.node))
            return bool(given) and all(origins._is_sure(value, depth - 1) for value in given)
        if self._is_layer(call.func):
            return True
        if not isinstance(call.func, ast.Name | ast.Attribute):
            return False
        arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
        if any(
            True for argument in arguments for _ in self._of(self.module, self.cls).makers(argument, depth)
        ):
            return False
        if comes_from_libraries(self.module, call.func):
            return True
        qualified = self._qualified(call.func)
        definition = self.project.definition(qualified) if qualified is not None else None
        if definition is not None:
            plain = plain_code(self.frame.session.program)
            return plain.gives_none(definition.module, definition.node)
        return isinstance(call.func, ast.Attribute) and self._is_sure(call.func.value, depth - 1)

    def _is_unknown_name(self, qualified: str) -> bool:
        definition = self.project.definition(qualified)
        if definition is None:
            return not is_free_of_flax(qualified) and not qualified.startswith("flax.")
        if isinstance(definition.node, ast.ClassDef):
            return not self._is_plain(definition.node, definition.module)
        parent = definition.module.parents.get(definition.node)
        if isinstance(parent, ast.ClassDef):  # `Schedule.create(...)`
            return not self._is_plain(parent, definition.module)
        return not plain_code(self.frame.session.program).gives_none(definition.module, definition.node)

    def _is_plain(self, node: ast.ClassDef, module: Module) -> bool:
        """Whether a class derives from nothing but classes of the project and of libraries that aren't modules."""
        program = self.frame.session.program
        if any(cls.node is node for cls in program):
            return False
        for base in node.bases:
            qualified = self.project.resolve(base, module.scope_at(node), module)
            definition = self.project.definition(qualified) if qualified is not None else None
            if definition is not None and isinstance(definition.node, ast.ClassDef):
                if definition.node is node or not self._is_plain(definition.node, definition.module):
                    return False
            elif qualified is None or not (
                is_free_of_flax(qualified) or qualified.startswith("flax.struct.")
            ):
                return isinstance(base, ast.Name) and hasattr(builtins, base.id)
        return True
