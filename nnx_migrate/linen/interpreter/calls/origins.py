"""Where values come from, by the code around: which calls may have made them, and whether these are known."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from functools import lru_cache

from nnx_migrate.linen.classes.model import LinenClass, Method
from nnx_migrate.linen.effects.registry import modelled_methods
from nnx_migrate.linen.interpreter.calls.kept_results import returned
from nnx_migrate.linen.interpreter.calls.natures import Nature, Natures
from nnx_migrate.linen.interpreter.calls.packages import CALLING, comes_from_libraries, is_free_of_flax
from nnx_migrate.linen.interpreter.calls.plain_code import is_free, plain_code
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.symbols import linen_name
from nnx_migrate.linen.values import ClassRef, Either, FieldModule, Instance, Layer, Maybe
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import all_below, is_generator, is_of_self, is_self
from nnx_migrate.names.scopes import COMPREHENSIONS, Binding, dotted

# Built-in functions that give whatever they find.
_GIVE_ANYTHING = frozenset(
    {"__import__", "eval", "filter", "getattr", "globals", "locals", "map", "type", "vars"}
)
# Methods of a module that make and give variables.
OF_VARIABLES = frozenset({"get_variable", "make_rng", "param", "perturb", "put_variable", "sow", "variable"})
# Methods of containers that put something in.
_FILLING = frozenset({"add", "append", "appendleft", "extend", "insert", "setdefault", "update"})
_MOST_STEPS = 12  # from a name to what has made it


class Origins:
    """Finds the calls that may have made a value, by the code around, of which nothing shows what they make."""

    def __init__(self, frame: Frame, of_arrays: bool = True) -> None:
        """`of_arrays`: whether what is made from arrays, like a distribution, counts."""
        self.frame, self.module, self.cls = frame, frame.module, frame.session.cls
        self.of_arrays = of_arrays
        self.project = frame.session.program.project
        self.entry = self.cls.method(frame.session.entry)
        self.natures = Natures()
        self.is_own = True  # whether it is the code of the frame that is looked at
        self._seen: set[ast.AST] = set()

    def _of(self, module: Module, cls: LinenClass) -> Origins:
        """For the code of a method of another class."""
        origins = Origins(self.frame, self.of_arrays)
        origins.module, origins.cls, origins.is_own, origins._seen = module, cls, False, self._seen
        origins.natures = self.natures
        return origins

    def makers(self, node: ast.expr, depth: int = _MOST_STEPS) -> Iterator[ast.Call]:
        """Such calls, of which one may have made what an expression stands for."""
        if node in self._seen or depth < 1:
            return
        self._seen.add(node)
        if not self.of_arrays and self.natures.of(self, node) is not Nature.UNKNOWN:
            return
        if isinstance(node, ast.Call):
            method = self._followed(node.func)
            if method is None and self._is_unknown(node.func, depth):
                yield node
                for origins, function in self._function(node.func) or ():
                    for value in returned(origins.module, function):
                        yield from origins.makers(value, depth - 1)
            if method is not None:
                origins = self._of(method.owner.module, self._class_of(node.func) or method.owner)
                for value in returned(method.owner.module, method.node):
                    yield from origins.makers(value, depth - 1)
                for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                    yield from self.makers(argument, depth - 1)
        for part in self.parts(node):
            yield from self.makers(part, depth - 1)

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

    def results(self, function: ast.expr) -> list[tuple[Origins, ast.AST]] | None:
        """The functions that a call reaches, with what looks at their code; None where that isn't known."""
        if is_of_self(function) and self.cls.method(function.attr) is not None:
            own = self._followed(function)
            return [(self._of(own.owner.module, self.cls), own.node)] if own is not None else None
        for holder, name in (
            (function, "__call__"),
            (getattr(function, "value", None), getattr(function, "attr", "")),
        ):
            classes = self._classes_of(holder) if holder is not None else []
            methods = [cls.method(name) for cls in classes]
            if methods and all(method is not None and self._returns(method) for method in methods):
                pairs = zip(classes, methods, strict=True)
                return [(self._of(m.owner.module, cls), m.node) for cls, m in pairs if m is not None]
        return self._function(function)

    def _function(self, function: ast.expr) -> list[tuple[Origins, ast.AST]] | None:
        """The same for a function of the project that is known by its name."""
        qualified = self.qualified(function)
        definition = self.project.definition(qualified) if qualified is not None else None
        if definition is None or not isinstance(definition.node, ast.FunctionDef):
            return None
        module, node = definition.module, definition.node
        decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
        is_in_class = isinstance(module.parents.get(node), ast.ClassDef)
        if decorators != ["staticmethod"] * is_in_class or is_generator(node):
            return None
        origins = self._of(module, self.cls)
        origins.is_own = self.is_own and "<locals>" in (qualified or "")
        return [(origins, node)]

    def _classes_of(self, node: ast.expr) -> list[LinenClass]:
        """The classes one of which the submodule that an expression stands for is of; layers are left out."""
        if is_self(node):
            return [self.cls]
        targets = self._targets(self.value(node))
        if targets:
            return [t.cls for t in targets if isinstance(t, ClassRef) and t.cls is not None]
        made = [self._class_made(part) for part in self._values(node)]
        return [cls for cls in made if cls is not None] if None not in made else []

    def _targets(self, value: object) -> list[object]:
        """The classes of modules and layers one of which a value is of; none where that isn't known."""
        if isinstance(value, Instance):
            return [value.site.target]
        if isinstance(value, Maybe):
            return self._targets(value.value)
        if isinstance(value, Either):
            found = [self._targets(each) for each in value.values]
            return [target for each in found for target in each] if all(found) else []
        if isinstance(value, FieldModule):
            return [given.target for given in self.frame.session.given(value.name) or ()]
        return []

    def _class_of(self, node: ast.expr) -> LinenClass | None:
        """The class of the submodule that an expression stands for."""
        made = set(self._classes_of(node))
        return made.pop() if len(made) == 1 else None

    def _class_made(self, node: ast.expr) -> LinenClass | None:
        named = self.qualified(node.func) if isinstance(node, ast.Call) else None
        return self.frame.session.program.find(named)

    def _values(self, node: ast.expr) -> list[ast.expr]:
        """What a variable or an attribute is given, if the code shows it."""
        if isinstance(node, ast.Name):
            bindings = self.module.scope_at(node).lookup(node.id)
            given = [value for binding in bindings for value in self.given_by(binding)]
            return given if len(given) == len(bindings) else []
        return list(self._assigned(node.attr)) if is_of_self(node) else [node]

    def value(self, node: ast.expr) -> object:
        """What the analysis knows an expression to be, if it is one of the frame's own code."""
        found = self.frame.session.facts.values
        value = found.get((self.frame.context, node), found.get(((), node)))
        return value if self.is_own else None

    def _returns(self, method: Method) -> bool:
        """Whether callers get what the `return`s of a method give."""
        is_plain = method.kind in ("method", "static") and not method.transforms
        return is_plain and not is_generator(method.node)

    def parts(self, node: ast.expr) -> Iterator[ast.expr]:
        """The expressions one of which an expression stands for, or which it holds."""
        if isinstance(node, ast.Subscript | ast.Starred | ast.NamedExpr):
            yield node.value
        elif isinstance(node, ast.BinOp):  # of lists
            yield from (node.left, node.right)
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
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "copy":
            yield node.func.value
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
        qualified = self.qualified(call.func)
        return qualified is not None and self.project.definition(qualified) is not None

    def qualified(self, function: ast.expr) -> str | None:
        """The name by which the project or a library defines something."""
        return self.project.resolve(function, self.module.scope_at(function), self.module)

    def _bound(self, name: ast.Name) -> Iterator[ast.expr]:
        for binding in self.module.scope_at(name).lookup(name.id):
            yield from self.given_by(binding)
        yield from self.filled(name)

    def given_by(self, binding: Binding) -> Iterator[ast.expr]:
        """What a binding gives its name, or holds what that gets."""
        statement = self._statement(binding.node)
        if binding.value is not None:
            yield binding.value
        elif (
            isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign) and statement.value is not None
        ):
            yield statement.value
        elif isinstance(statement, ast.For | ast.comprehension):
            yield statement.iter
        elif isinstance(statement, ast.withitem):
            yield statement.context_expr

    def filled(self, holder: ast.Name | ast.Attribute) -> list[ast.expr]:
        """What the code around puts into a list or dict: `layers.append(...)`, `layers[name] = ...`."""
        if isinstance(holder, ast.Attribute):
            around = self.module.enclosing(holder, ast.ClassDef)
        else:
            scope = self.module.scope_at(holder).binder(holder.id)
            around = scope.node if scope is not None and not scope.is_module else None
        return _put_into(around).get(dotted(holder) or "", []) if around is not None else []

    def _statement(self, node: ast.AST | None) -> ast.AST | None:
        while isinstance(node, ast.expr):
            node = self.module.parents.get(node)
        return node

    def _assigned(self, attribute: str) -> Iterator[ast.expr]:
        """What the methods of the class, as far as they stand in this file, give an attribute."""
        for cls in self.cls.mro:
            for method in cls.own_methods.values() if cls.module is self.module else ():
                yield from _set_by(method.node).get(attribute, ())

    def _is_unknown(self, function: ast.expr, depth: int) -> bool:
        """Whether nothing shows what a call of a function gives, which was followed if that is possible."""
        if depth < 1:
            return True
        if isinstance(function, ast.IfExp | ast.BoolOp | ast.NamedExpr):
            return any(self._is_unknown(part, depth - 1) for part in self.parts(function))
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
        qualified = self.qualified(function)
        if qualified is not None:
            return self._is_unknown_name(qualified)
        if isinstance(function, ast.Attribute) and function.attr in modelled_methods():
            return False  # of an array: `x.mean(axis=1)`
        if is_of_self(function) and isinstance(function, ast.Attribute) and function.attr in OF_VARIABLES:
            return False
        if self._followed(function) is not None or self.is_layer(function):
            return False
        if isinstance(function, ast.Attribute):
            return not self._is_sure(function.value, depth - 1)  # a method of what is known
        bindings = self.module.scope_at(function).lookup(function.id)
        if not bindings:
            return function.id in _GIVE_ANYTHING or not hasattr(builtins, function.id)
        parts = list(self._bound(function))
        return not parts or any(self._is_unknown(part, depth - 1) for part in parts)

    def is_layer(self, function: ast.expr) -> bool:
        """Whether a layer of Linen's own is called, which gives arrays."""
        targets = self._targets(self.value(function))
        if targets:
            return all(isinstance(target, Layer) for target in targets)
        made = self._values(function)
        names = [self.qualified(m.func) if isinstance(m, ast.Call) else None for m in made]
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
            return all(self._is_sure(part, depth - 1) for part in self.parts(node))
        return isinstance(node, ast.Constant | ast.BinOp | ast.Compare | ast.UnaryOp | ast.JoinedStr)

    def _makes_known(self, call: ast.Call, depth: int) -> bool:
        method = self._followed(call.func)
        if method is not None:
            origins = self._of(method.owner.module, self._class_of(call.func) or method.owner)
            given = list(returned(method.owner.module, method.node))
            return bool(given) and all(origins._is_sure(value, depth - 1) for value in given)
        if self.is_layer(call.func):
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
        qualified = self.qualified(call.func)
        definition = self.project.definition(qualified) if qualified is not None else None
        if definition is not None:
            plain = plain_code(self.frame.session.program)
            return plain.gives_none(definition.module, definition.node)
        return isinstance(call.func, ast.Attribute) and self._is_sure(call.func.value, depth - 1)

    def gives_none(self, qualified: str) -> bool:
        """Whether what a name stands for neither makes modules nor gives what unknown code has made."""
        definition = self.project.definition(qualified)
        if definition is None:
            return is_free(qualified) and not qualified.startswith("flax.")
        return plain_code(self.frame.session.program).gives_none(definition.module, definition.node)

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


@lru_cache(maxsize=64)
def _put_into(around: ast.AST) -> dict[str, list[ast.expr]]:
    """What a function or class puts into containers, by the names of these."""
    found: dict[str, list[ast.expr]] = {}
    for node in all_below(around):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _FILLING:
            found.setdefault(dotted(node.func.value) or "", []).extend(node.args)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Subscript):
                    found.setdefault(dotted(target.value) or "", []).append(node.value)
    return found


@lru_cache(maxsize=512)
def _set_by(method: ast.AST) -> dict[str, list[ast.expr]]:
    """What a method gives attributes of its object, or holds what these get, by their names."""
    found: dict[str, list[ast.expr]] = {}
    for node in all_below(method):
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in (n for t in targets for n in ast.walk(t)):
            if is_of_self(target):
                found.setdefault(target.attr, []).append(node.value)
    return found
