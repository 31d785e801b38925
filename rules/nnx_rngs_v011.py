"""Rule `nnx-rngs-v011`."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nnx_migrate.rules._nnx_streams import resplit_layers
from nnx_migrate.rules._nnx_types import NNX, Attributes

from nnx_migrate.engine.context import FileContext
from nnx_migrate.engine.findings import Finding
from nnx_migrate.engine.rule import Rule

_TRANSFORMS = (f"{NNX}.vmap", f"{NNX}.scan", f"{NNX}.pmap")
_REMOVED = {
    "split_rngs": "decorate the function with @nnx.split_rngs(splits=n) below the transform",
    "broadcast_rngs": "pass the rngs with in_axes None, or split them with @nnx.split_rngs",
    "state_axes": "pass in_axes=nnx.StateAxes({filter: axis, ...}) for the module's argument",
    "variable_axes": "pass in_axes=nnx.StateAxes({filter: axis, ...}) for the module's argument",
    "in_axes_kwargs": "pass these arguments by position and give their axes in in_axes",
    "carry_argnum": "put nnx.Carry at that position of in_axes",
}


class NnxRngsV011(Rule):
    """Random streams split as NNX did before `Rngs.split` and `nnx.split_rngs`.

    What it finds
    -------------
    `rngs.fork(split=n)` on an `nnx.Rngs`; `@nnx.split_rngs` around calls of stacked layers, whose dropout has kept
    streams of its own since 0.11, one per layer; raw keys of a fork wrapped in `nnx.Rngs` again; the arguments
    `split_rngs=`, `broadcast_rngs=`, `state_axes=`, `variable_axes=`, `in_axes_kwargs=` and `carry_argnum=` of
    `nnx.vmap`, `nnx.scan` and `nnx.pmap`.

    Why
    ---
    `fork(split=)` warns since NNX 0.12.6; the arguments of the transforms are gone since 0.9.

    Example
    -------
        keys = rngs.fork(split=8)

    becomes

        keys = rngs.split(8)

    Fix safety
    ----------
    Safe for a number or a tuple of numbers: the keys are the same. With a mapping of filters `split` treats the
    unmatched streams differently, and the transforms' arguments need another structure: reported only. Layers that
    keep their own streams draw other masks than before; splitting them once more raises.

    Since
    -----
    Flax 0.12.6 (`Rngs.split`); the transforms: 0.9.0.

    References
    ----------
    flax/nnx/rnglib.py, Rngs.fork and Rngs.split; flax/nnx/rnglib.py, split_rngs; transforms guide of NNX.
    """

    id = "nnx-rngs-v011"
    group = "nnx"
    triggers = frozenset({"flax.nnx.*"})
    since = "flax>=0.9"

    def check(self, file: FileContext) -> Iterator[Finding]:
        """One finding per call."""
        attributes = Attributes(file.module, file.project)
        for node in ast.walk(file.tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "fork"
            ):
                if attributes.class_of(node.func.value) == f"{NNX}.Rngs":
                    yield from self._fork(file, node, node.func)
        for use in file.uses(*_TRANSFORMS):
            yield from self._transform(file, use.node)
        if file.targets.concerned("flax>=0.11"):
            for use in file.uses(f"{NNX}.split_rngs"):
                yield from self._resplit(file, attributes, use.node)

    def _resplit(self, file: FileContext, attributes: Attributes, node: ast.expr) -> Iterator[Finding]:
        decorator = file.call_of(node)
        if decorator is None or not resplit_layers(file, attributes, decorator):
            return
        message = "these layers have streams of their own since flax 0.11: nothing is left to split"
        start, end = file.source.span(decorator)
        line = file.source.line_start(decorator.lineno)
        below = file.source.line_start((decorator.end_lineno or decorator.lineno) + 1)
        if file.source.text[line:start].strip() != "@" or file.source.text[end:below].strip():
            help = "take the decorator away: something else stands in its line"
            yield self.finding(file, decorator, message, reason="unclear-place", help=help)
            return
        fix = file.fix()
        fix.delete(line, below)
        yield self.finding(file, decorator, message, fix.build("take split_rngs away"))

    def _fork(self, file: FileContext, call: ast.Call, method: ast.Attribute) -> Iterator[Finding]:
        split = next((k for k in call.keywords if k.arg == "split"), None)
        if split is None or len(call.keywords) > 1 or call.args or not file.targets.has("flax", "0.12.6"):
            return
        message = "`fork(split=...)` of nnx.Rngs; use `split`"
        place = (file.source.span(method.value)[1], file.source.span(call)[1])
        if not _is_count(split.value, file):
            help = "write rngs.split(...): streams that the mapping leaves out are then not forked"
            yield self.finding(file, place, message, reason="unmatched-streams", help=help)
            return
        fix = file.fix()
        fix.replace((place[0], file.source.span(split.value)[0]), ".split(")
        yield self.finding(file, place, message, fix.build("use Rngs.split"))

    def _transform(self, file: FileContext, node: ast.expr) -> Iterator[Finding]:
        parent = file.parent(node)
        if not isinstance(parent, ast.Call):
            return
        wraps = parent.func is node or (
            node in parent.args[:1] and file.resolve(parent.func) == "functools.partial"
        )
        for keyword in parent.keywords if wraps else ():
            if keyword.arg in _REMOVED:
                message = f"`{file.segment(node)}` has no argument `{keyword.arg}` any more"
                span = file.source.span(keyword)
                yield self.finding(
                    file, span, message, reason="needs-restructuring", help=_REMOVED[keyword.arg]
                )


def _is_count(node: ast.expr, file: FileContext) -> bool:
    """True for what is a number or a tuple of numbers, and no mapping."""
    if isinstance(node, ast.Tuple):
        return all(_is_count(element, file) for element in node.elts)
    if isinstance(node, ast.BinOp):
        return True
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in ("len", "int")
    if isinstance(node, ast.Subscript):
        return isinstance(node.value, ast.Attribute) and node.value.attr == "shape"
    if isinstance(node, ast.Name):
        bindings = file.module.scope_at(node).lookup(node.id)
        if len(bindings) != 1:
            return False
        annotation = getattr(bindings[0].node, "annotation", None)
        if isinstance(annotation, ast.Name) and annotation.id == "int":
            return True
        return bindings[0].value is not None and _is_count(bindings[0].value, file)
    return isinstance(node, ast.Constant) and isinstance(node.value, int)
