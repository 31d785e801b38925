"""`nn.scan` around a function, as `nnx.scan`: the module stays the first argument, which all rounds share."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from nnx_migrate.linen.classes.lifts import ScanOfFunction
from nnx_migrate.linen.interpreter.transforms.scanned import Scanned
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.symbols import linen_name
from nnx_migrate.linen.values import FieldModule, Instance
from nnx_migrate.nnx.writer.construction.lifting import check_shared
from nnx_migrate.nnx.writer.text import one_line

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.methods.body import BodyEditor

_KEPT = ("length", "reverse", "unroll")


def scan_of_function(editor: BodyEditor, call: ast.Call) -> str | None:
    """`nn.scan(step, variable_broadcast="params", ...)` for NNX; None for other calls."""
    facts = editor.analysis.facts
    found = facts.scans.get(call)
    if found is None:
        is_scan = linen_name(editor.names.qualified(call.func)) == "scan"
        if is_scan and any(n is call and isinstance(v, Scanned) for (_, n), v in facts.values.items()):
            detail = "`nn.scan` of a function whose calls can't be followed"
            raise Refuse("unsupported-layer", detail, call)
        return None
    _check(editor, found, call)
    nnx, text = editor.names.nnx(), editor.text
    function = call.args[0] if call.args else next(k.value for k in call.keywords if k.arg == "target")
    axes = ", ".join(["None", f"{nnx}.Carry", *map(str, found.axes)])
    options = found.lift.options
    arguments = [
        one_line(text(function)),
        f"in_axes=({axes})",
        f"out_axes=({nnx}.Carry, {found.lift.out_axes})",
        *(f"{name}={one_line(text(options[name]))}" for name in _KEPT if name in options),
    ]
    return editor.calls.call_text(call, arguments, f"{nnx}.scan")


def _check(editor: BodyEditor, scan: ScanOfFunction, call: ast.Call) -> None:
    """Refuse what changes state or draws in a round: NNX would drop the changes, or draw the same each time."""
    analysis = editor.analysis
    if isinstance(scan.module, Instance):
        check_shared(editor.writer.converted, [scan.module.site], call)
        return
    fields = [value for value in analysis.session.fields.values() if isinstance(value, FieldModule)]
    given = [scan.module] if isinstance(scan.module, FieldModule) else fields
    sites = list(_given(editor, given, call))
    if not isinstance(scan.module, FieldModule):
        own = analysis.facts.rng_calls or analysis.facts.sown
        if own or any(variable.collection != "params" for variable in analysis.variables):
            detail = f"`{analysis.cls.name}` changes state or draws in a scan that shares variables"
            raise Refuse("unsupported-layer", detail, call)
        sites += analysis.sites
    check_shared(editor.writer.converted, sites, call)


def _given(editor: BodyEditor, fields: list[FieldModule], call: ast.Call) -> Iterator[Site]:
    """Stand-ins for the modules that the project gives some fields."""
    analysis = editor.analysis
    for field in fields:
        given = analysis.session.given(field.name)
        if given is None:
            detail = f"`nn.scan` of a function with `self.{field.name}`, whose module isn't known"
            raise Refuse("unsupported-layer", detail, call)
        for one in given:
            made = ast.Call(ast.Name("given"), [], [])
            yield Site(0, made, one.target, analysis.cls, editor.method.name, (), (), args=one.args)
