"""Arrays that `setup` computes from parameters: properties, which compute them whenever they are read.

    self.scale = jax.nn.softplus(self.param("scale", init, shape))

Linen runs `setup` in every call, with the values that the parameters then have. The constructor makes the parameter
(`self.scale_param`), and `scale` becomes a property that computes with it.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.arrays.shapes import Array
from nnx_migrate.linen.classes.model import LinenClass, Method
from nnx_migrate.linen.sites import VariableSite
from nnx_migrate.names.nodes import is_of_self
from nnx_migrate.nnx.writer.construction.variables import read_text
from nnx_migrate.nnx.writer.constructor.computed.slices import Computed
from nnx_migrate.nnx.writer.constructor.computed.texts import computing_texts
from nnx_migrate.nnx.writer.names import FileNames
from nnx_migrate.nnx.writer.text import one_line, rewritten
from nnx_migrate.sources.text import Edit

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.naming import Names

Derived = Mapping[ast.Assign, list[VariableSite]]
#: What could not be computed again, or elsewhere, and what may make a parameter in some models only.
_NEVER = (
    *(ast.Lambda, ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom, ast.comprehension),
    *(ast.IfExp, ast.BoolOp),
)


def derived_arrays(analysis: ClassAnalysis, setup: Method) -> Derived:
    """The statements of `setup` that give an attribute an array computed from parameters, with these."""
    facts, found = analysis.facts, dict[ast.Assign, list[VariableSite]]()
    if analysis.cls.own_methods.get("setup") is not setup or len(analysis.cls.mro) > 1:
        return found
    variables = {node: v for (context, node), v in facts.variables.items() if not context}
    for statement in setup.node.body:
        if not isinstance(statement, ast.Assign) or statement.value in variables:
            continue
        inside = set(ast.walk(statement.value))
        made = [v for node, v in variables.items() if node in inside]
        if made and _is_own(analysis, setup, statement) and _computes(analysis, statement, made):
            found[statement] = sorted(made, key=lambda v: v.number)
    return found


def _is_own(analysis: ClassAnalysis, setup: Method, statement: ast.Assign) -> bool:
    """Whether nothing but this statement gives the attribute a value, and nothing in `setup` reads it."""
    (target, *others), cls = statement.targets, analysis.cls
    if others or not is_of_self(target) or cls.field(target.attr) or cls.method(target.attr):
        return False
    family: list[LinenClass] = [other for other in analysis.session.program if cls in other.mro]
    for node in (n for other in family for n in ast.walk(other.node)):
        if is_of_self(node, target.attr) and node is not target:
            if not isinstance(node.ctx, ast.Load) or node in set(ast.walk(setup.node)):
                return False
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Name) and called.id in ("setattr", "delattr", "vars"):
            return False
    return all(target.attr not in other.own_methods and not other.field(target.attr) for other in family)


def _computes(analysis: ClassAnalysis, statement: ast.Assign, made: list[VariableSite]) -> bool:
    """Whether a statement does no more than compute an array from parameters, fields and what the module knows."""
    facts, scope = analysis.facts, analysis.cls.module.scope_at(statement.value)
    if not isinstance(facts.values.get(((), statement.value)), Array):
        return False
    plain = all(v.is_param and not v.is_reference and not v.controls for v in made)
    inside = set(ast.walk(statement.value))
    records = (facts.sites, facts.calls, facts.rng_calls, facts.sown, facts.parameter_reads, facts.init_rngs)
    own = {n for v in made for n in ast.walk(v.call)}
    if not plain or any(node in inside for record in records for _, node in record):
        return False
    if any(facts.functions.get(key) for key in facts.functions if key[1] in inside and _makes(analysis, key)):
        return False
    for node in inside - own:
        if isinstance(node, _NEVER):
            return False
        if isinstance(node, ast.Name) and node.id != "self":
            binder = scope.binder(node.id)
            if binder is not None and not binder.is_module:
                return False
        if is_of_self(node) and analysis.cls.field(node.attr) is None:
            return False
    return True


def _makes(analysis: ClassAnalysis, call: tuple[tuple[ast.AST, ...], ast.AST]) -> bool:
    """Whether a function that a statement calls makes modules or variables."""
    whole = (*call[0], call[1])
    made = [*analysis.facts.sites, *analysis.facts.variables]
    return any(context[: len(whole)] == whole for context, _ in made)


def name_derived(derived: Derived, names: Names) -> None:
    """The attributes that hold the parameters of derived arrays, whose names the properties may have."""
    for variable in (v for made in derived.values() for v in made):
        taken = variable.name in names.taken
        variable.attribute = names.fresh(f"{variable.name}_param" if taken else variable.name)


def properties(derived: Derived, computed: Computed, names: FileNames, cls: LinenClass) -> list[Edit]:
    """The properties, in front of the first method behind `setup`, else behind the class's last line."""
    if not derived and not computed.slices:
        return []
    source = names.module.source
    indent = " " * cls.own_methods["setup"].node.body[0].col_offset
    outer = source.text[source.line_start(cls.node.body[0].lineno) :][: cls.node.body[0].col_offset]
    unit = indent[len(outer) :]
    texts: list[str] = []
    for statement, made in derived.items():
        (target,) = statement.targets
        assert isinstance(target, ast.Attribute)
        reads = {v.call: read_text(names, v, f"self.{v.attribute}") for v in made}
        value = one_line(
            rewritten(source, statement.value, lambda n, r=reads: r.get(n) or names.replacement(n))  # type: ignore[misc]
        )
        texts.append(f"{outer}@property\n{outer}def {target.attr}(self):\n{outer}{unit}return {value}\n")
    texts += computing_texts(computed, names, outer, unit)
    setup = cls.own_methods["setup"].node
    later = [m.node for m in cls.own_methods.values() if m.node.lineno > setup.lineno]
    if not later:
        _, end = source.span(cls.node.body[-1])
        return [Edit(end, end, "".join(f"\n\n{text.rstrip()}" for text in texts))]
    first = min(later, key=lambda node: node.lineno)
    line = min(node.lineno for node in (first, *first.decorator_list))
    while source.line_text(line - 1).strip().startswith("#"):
        line -= 1
    start = source.line_start(line)
    return [Edit(start, start, "".join(f"{text}\n" for text in texts))]
