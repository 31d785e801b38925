"""Expressions of methods as the constructor writes them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.arrays.shapes import InitialDtype, Shape
from nnx_migrate.linen.arrays.spread_shapes import Sizes
from nnx_migrate.linen.chosen.layers import Maker
from nnx_migrate.linen.dims import Dim, ceil_div, same
from nnx_migrate.linen.dims.maxima import Agreed, open_maxima
from nnx_migrate.linen.dims.terms import Max
from nnx_migrate.linen.effects.initial_dtypes import FLOAT32
from nnx_migrate.linen.factories.compared import compares_classes
from nnx_migrate.linen.given.arguments import NoneTest
from nnx_migrate.linen.interpreter.convert import text_of
from nnx_migrate.linen.interpreter.sizes.sizes_at_axes import as_needed
from nnx_migrate.linen.mixed_lists import MixedList
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Context, VariableSite
from nnx_migrate.linen.symbols import TOKEN, token
from nnx_migrate.linen.values import (
    BuiltList,
    ClassChoice,
    ClassRef,
    Expr,
    Input,
    Instance,
    Layer,
    ModuleList,
    Partial,
    SelfValue,
)
from nnx_migrate.names.nodes import is_of_self, is_self
from nnx_migrate.nnx.writer.construction.partitioning import annotated
from nnx_migrate.nnx.writer.names import FileNames
from nnx_migrate.nnx.writer.naming import stream_of
from nnx_migrate.nnx.writer.text import dedented, indentation, one_line, rewritten

_VALUES = (
    ast.Name,
    ast.Attribute,
    ast.Subscript,
    ast.Call,
    ast.BinOp,
    ast.UnaryOp,
    ast.IfExp,
    ast.Tuple,
)


_ATOMS = (ast.Name, ast.Attribute, ast.Subscript, ast.Constant, ast.Call, ast.Tuple)


class InitRenderer:
    """Writes expressions for `__init__`; `needed` collects the local variables that they read."""

    def __init__(
        self,
        analysis: ClassAnalysis,
        names: FileNames,
        access: Callable[[Any], str | None],
        agreed: Agreed = MappingProxyType({}),
    ) -> None:
        self.analysis, self.names, self.access, self.agreed = analysis, names, access, agreed
        self.open_maxima: set[Max] = set()  # in the sizes that were written
        self.needed: set[str] = set()
        self.moved: set[ast.stmt] = set()  # statements that aren't static, which the constructor repeats
        self.raises: set[ast.stmt] = set()  # for configurations that there aren't: in the constructor, too
        self.asked: set[str] = set()  # sizes of arguments that conditions test for None
        self.substitutes: dict[str, str] = {}
        self.lambda_names: frozenset[ast.AST] = frozenset()  # in the expression that is being written
        self.parameters: dict[str, str] = {}  # of the method that is written: the size that each stands for
        self.may_name_dtypes = False  # only variables get the dtypes that arrays have at first
        self.may_name_classes = False  # where only a construction takes one of several classes
        self.layers: dict[ast.AST | Maker, str] = {}  # what makes layers, of which choices take one
        self.initial_reads: dict[ast.AST, VariableSite] = {}  # reads of other parameters, in first values
        self.partials: set[ast.AST] = set()  # partials of classes, of which choices take one
        self.element: Callable[[ast.AST, Context], str | None] = lambda node, context: None

    @contextmanager
    def writing_variable(self) -> Iterator[None]:
        """Write an expression for a variable."""
        self.may_name_dtypes = True
        try:
            yield
        finally:
            self.may_name_dtypes = False

    @contextmanager
    def substituting(self, texts: dict[str, str]) -> Iterator[None]:
        """Write these texts for the names of parameters (of a function that is written out)."""
        saved, self.substitutes = self.substitutes, texts
        try:
            yield
        finally:
            self.substitutes = saved

    def text(self, node: ast.AST, context: Context = ()) -> str:
        """The expression; sizes of inputs appear as tokens. Raises Refuse for what only a call knows."""
        if isinstance(node, ast.Compare | ast.BoolOp) and not hasattr(node, "lineno"):
            return self._case(node, context)
        saved, self.lambda_names = self.lambda_names, self.lambda_names | _lambda_names(node)
        try:
            return one_line(self.names.written(node, lambda n: self._replace(n, context)))
        finally:
            self.lambda_names = saved

    def _case(self, node: ast.Compare | ast.BoolOp, context: Context) -> str:
        """The condition that a case of `match` stands for."""
        if isinstance(node, ast.Compare):
            (right,), sign = node.comparators, "is" if isinstance(node.ops[0], ast.Is) else "=="
            known = isinstance(right, ast.Constant) and not hasattr(right, "lineno")
            other = ast.unparse(right) if known else self.text(right, context)
            return f"{self.text(node.left, context)} {sign} {other}"
        if isinstance(node.op, ast.Or):
            return " or ".join(self.text(test, context) for test in node.values)
        parts = [self.text(test, context) for test in node.values]
        loose = [isinstance(test, ast.BoolOp | ast.IfExp | ast.Lambda) for test in node.values]
        return " and ".join(
            f"({part})" if is_loose else part for part, is_loose in zip(parts, loose, strict=True)
        )

    def statement(self, node: ast.stmt, context: Context) -> str:
        """A statement that the constructor repeats."""
        value = self.analysis.facts.values.get((context, getattr(node, "value", node)))
        chooses = isinstance(value, ClassRef | ClassChoice) or (
            isinstance(value, Layer) and value in self.layers
        )
        chooses |= isinstance(value, Partial) and value.call in self.partials
        write = self.choice if chooses else self.text
        return write(node, context)

    def choice(self, node: ast.AST, context: Context) -> str:
        """An expression, or a statement, that chooses between classes of the project, which move, too, or layers."""
        saved, self.may_name_classes = self.may_name_classes, True
        try:
            return self.text(node, context)
        finally:
            self.may_name_classes = saved

    def argument(self, node: ast.AST, context: Context) -> str:
        """An expression that is an argument as a whole, so that it needs no parentheses."""
        text = self.text(node, context)
        given = self.analysis.facts.arguments.get((context, node.id)) if isinstance(node, ast.Name) else None
        if given is None or context in self.analysis.kept_contexts or not text.startswith("("):
            return text
        inner = self.text(given[1], given[0])
        return self.argument(given[1], given[0]) if text in (inner, f"({inner})") else text

    def function(self, node: ast.FunctionDef) -> str:
        """A local function, with sizes for what it reads of inputs; its lines start where its first one does."""
        source = self.names.module.source
        text = rewritten(source, node, lambda n: self._replace(n, ()))
        return dedented(text, indentation(source, node.lineno), "")

    def mirrored(self, node: ast.AST, context: Context, mirror: Callable[[ast.AST], str | None]) -> str:
        """The expression with other texts for the parts that `mirror` knows."""
        return one_line(self.names.written(node, lambda n: mirror(n) or self._replace(n, context)))

    def dim(self, value: Dim, node: ast.AST | None = None) -> str:
        """The expression of a size. Raises Refuse where it isn't known."""
        if not value.known:
            raise Refuse("unknown-size", value.reason or "", node)
        value = value.substitute(lambda symbol: None, self.agreed) if self.agreed else value
        self.open_maxima.update(open_maxima(value))
        text = value.text()
        text = self.parameters.get(text, text)
        self.see(text)
        return text

    def dtype(self, name: str | None) -> str | None:
        """The expression of a dtype that arrays have at first; None where it isn't known."""
        if name is None or not name.startswith("="):
            return None
        text = f"{self.names.jnp()}.float32" if name == FLOAT32 else name[1:]
        self.see(text)
        return text

    def see(self, text: str) -> None:
        """Remember the locals that a text with tokens reads."""
        for match in TOKEN.finditer(text):
            if match["kind"] == "s":
                self.needed.add(match["name"])

    def _replace(self, node: ast.AST, context: Context) -> str | None:
        facts = self.analysis.facts
        if node in self.analysis.setup_helpers:
            detail = f"what `{self.analysis.setup_helpers[node].name}` makes for `setup` is given to a module"
            raise Refuse("unsupported-syntax", detail, node)
        element = self.element(node, context)
        if element is not None:
            return element
        if node in self.initial_reads:
            return f"self.{self.initial_reads[node].attribute}{self.initial_reads[node].read}"
        made = self.layers.get(node)
        if made is not None:
            return made
        if not context and isinstance(node, ast.Call) and node in facts.late_calls:
            return self._without_mode(node)
        stream = facts.init_rngs.get((context, node))
        if stream is not None:
            return f"{stream_of(stream)}()"
        if node in self.lambda_names:
            return None
        marked = (
            annotated(self.names, node, lambda n: self.text(n, context))
            if isinstance(node, ast.Call)
            else None
        )
        if marked is not None:
            return marked
        value = facts.values.get((context, node))
        if self.may_name_classes and isinstance(value, Layer) and isinstance(node, ast.Name | ast.Attribute):
            made = self.layers.get(value)
            if made is not None:
                return made
        if isinstance(value, NoneTest) and isinstance(node, ast.Compare | ast.Call):
            return self.none_test(value)
        is_known = (context, node) in facts.values and (isinstance(node, _VALUES) or isinstance(value, Sizes))
        if is_known and not self._is_of_lambda(node) and self._is_dynamic(node, context):
            text = self._value_text(value)
            if text is not None:
                self.see(text)
                return as_needed(self.names.home_of(node), node, text) if isinstance(value, Sizes) else text
        written_out = bool(context) and context not in self.analysis.kept_contexts
        if isinstance(node, ast.IfExp) and written_out and (context, node) in facts.decided:
            chosen = node.body if facts.decided[context, node] else node.orelse
            text = self.text(chosen, context)
            return text if isinstance(chosen, _ATOMS) else f"({text})"
        module = self.names.home_of(node)
        if not self.may_name_classes and compares_classes(self.analysis.session.program, module, node):
            return self.choice(node, context)
        if isinstance(node, ast.Compare):
            known = written_out and isinstance(value, bool)
            return str(value) if known else self._compared_shapes(node, context)
        if isinstance(node, ast.Name):
            return self._name(node, context, value) if isinstance(node.ctx, ast.Load) else None
        if isinstance(node, ast.Attribute):
            return self.names.replacement(node)
        return None

    def _without_mode(self, call: ast.Call) -> str:
        """A call of a function that chooses a layer, without the arguments that are only the layer's mode."""
        facts = self.analysis.facts
        late = {facts.arguments[(call,), name][1] for name in facts.late_calls[call]}
        texts = [self.argument(node, ()) for node in call.args if node not in late]
        texts += [f"{k.arg}={self.argument(k.value, ())}" for k in call.keywords if k.value not in late]
        return f"{self.text(call.func)}({', '.join(texts)})"

    def none_test(self, test: NoneTest) -> str:
        """`argument is None`, as the question whether the constructor got the argument's size."""
        size = token(Input(test.path).text, "a", -1)
        self.asked.add(size)
        return f"{size} is {'' if test.is_none else 'not '}None"

    def _is_of_lambda(self, node: ast.AST) -> bool:
        """Whether an expression reads a parameter of a lambda that is written out with it."""
        return bool(self.lambda_names) and any(n in self.lambda_names for n in ast.walk(node))

    def _name(self, node: ast.Name, context: Context, value: Any) -> str | None:
        facts = self.analysis.facts
        if isinstance(value, SelfValue):
            return None
        static = facts.static_names.get((context, node))
        if static is None and node.id in self.substitutes:
            return self.substitutes[node.id]
        if static is None:
            replaced = self.names.replacement(node)
            may_stay = isinstance(value, ClassRef) and self.may_name_classes
            if replaced is None and isinstance(value, Layer | ClassRef) and not may_stay:
                raise Refuse("unknown-module", f"the class `{node.id}` is used as a value", node)
            return replaced
        if isinstance(value, BuiltList):
            return None  # the constructor fills it, too
        if isinstance(value, Instance):
            return self.access(value)
        if isinstance(value, ModuleList | MixedList) and self._is_in_setup(node):
            return None  # a list that the constructor fills as setup did
        argument = facts.arguments.get((context, node.id))
        if static and argument is None:
            if node.id != "self":
                self.needed.add(node.id)
            return None
        if argument is not None:
            if context in self.analysis.kept_contexts:
                return None  # the method's own parameter
            outer, expression = argument
            text = self.text(expression, outer)
            simple = isinstance(expression, _ATOMS)
            return text if simple else f"({text})"
        origins = facts.origins.get((context, node))
        if origins and not context:
            self.needed.add(node.id)
            self.moved.update(origins)
            return None
        raise Refuse("dynamic-construction", f"`{node.id}` is known only when the module is called", node)

    def _is_in_setup(self, node: ast.AST) -> bool:
        setup = self.analysis.cls.own_methods.get("setup")
        around = self.names.module.enclosing(node, ast.FunctionDef)
        helpers = {method.node for method in self.analysis.setup_helpers.values()}
        return around is not None and (around in helpers or (setup is not None and around is setup.node))

    def _is_made(self, node: ast.Attribute, context: Context) -> bool:
        """Whether an attribute holds a module of the project that the constructor has made by then."""
        held = self.analysis.facts.values.get((context, node))
        return (
            isinstance(held, Instance) and isinstance(held.site.target, ClassRef) and self._is_in_setup(node)
        )

    def _compared_shapes(self, node: ast.Compare, context: Context) -> str | None:
        """`x.shape != y.shape` as a comparison of the sizes that may differ; None for other comparisons."""
        values = self.analysis.facts.values
        sides = [values.get((context, side)) for side in (node.left, node.comparators[0])]
        first, second = sides
        if not (isinstance(first, Shape) and isinstance(second, Shape) and first.exact and second.exact):
            return None
        if len(node.ops) != 1 or len(first.dims) != len(second.dims):
            return None
        differ = isinstance(node.ops[0], ast.NotEq)
        if not differ and not isinstance(node.ops[0], ast.Eq):
            return None
        pairs = [(a, b) for a, b in zip(first.dims, second.dims, strict=True) if not same(a, b)]
        if not pairs:
            return str(not differ)
        sign, word = ("!=", " or ") if differ else ("==", " and ")
        texts = list(dict.fromkeys(self._compared(a, b, sign, node) for a, b in pairs))
        return texts[0] if len(texts) == 1 else f"({word.join(texts)})"

    def _compared(self, a: Dim, b: Dim, sign: str, node: ast.AST) -> str:
        """A comparison of two sizes; behind a stride, an axis longer than 1 has kept its size if that is 1."""
        for whole, part in ((a, b), (b, a)):
            for stride in (Dim.size(text) for text in sorted(part.symbols() - whole.symbols())):
                if same(part, ceil_div(whole, stride)):
                    return f"{self.dim(stride, node)} {sign} 1"
        return f"{self.dim(a, node)} {sign} {self.dim(b, node)}"

    def _is_dynamic(self, node: ast.AST, context: Context) -> bool:
        """Whether the expression reads a variable that the constructor lacks, or a parameter: a value says more."""
        facts = self.analysis.facts
        names = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
        read: list[ast.AST] = [n for n in names if not is_self(n)]
        read += [n for n in ast.walk(node) if is_of_self(n) and not self._is_made(n, context)]
        if any(facts.static_names.get((context, n)) is False for n in read):
            return True
        is_plain = _is_plain(facts.values.get((context, node)))
        is_plain = is_plain and context not in self.analysis.kept_contexts
        return is_plain and any((context, n.id) in facts.arguments for n in names)

    def _value_text(self, value: Any) -> str | None:
        if isinstance(value, InitialDtype) and self.may_name_dtypes:
            return self.dtype(f"={value.text}")
        if isinstance(value, Shape) and value.exact:
            self.analysis.session.default_rank.written |= len(value.dims) == 1
            value = value.items()
        if isinstance(value, Expr):
            return value.text
        if isinstance(value, tuple | list | Dim | bool | int | float | str) or value is None:
            return text_of(value)
        return None


def _is_plain(value: Any) -> bool:
    """Whether a value is a number, a text or a tuple of such, known as itself."""
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return isinstance(value, Dim | bool | int | float | str)


def _lambda_names(node: ast.AST) -> frozenset[ast.AST]:
    """The reads of parameters of the lambdas in an expression: only their calls know these."""
    found: set[ast.AST] = set()
    for function in (n for n in ast.walk(node) if isinstance(n, ast.Lambda)):
        args = function.args
        names = {a.arg for a in (*args.posonlyargs, *args.args, *args.kwonlyargs)}
        found.update(n for n in ast.walk(function.body) if isinstance(n, ast.Name) and n.id in names)
    return frozenset(found)
