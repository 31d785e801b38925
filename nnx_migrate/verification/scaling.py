"""Large models that the code itself builds, compared in smaller sizes (see `numerics.shrinking`)."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import replace

from nnx_migrate.numerics.processes import ChildError
from nnx_migrate.numerics.shrinking import Smaller, smaller_sizes
from nnx_migrate.verification.cases import Called, Case, Cases


def in_small(cases: Cases, case: Case, timeout: float) -> Case:
    """The comparison in smaller sizes; the same one where the model isn't large, or was listed by the user."""
    called = case.called
    cls = cases.code.classes.get(case.model)
    if case.before is None or called is None or not called.draw_constants or cls is None:
        return case
    try:
        smaller = smaller_sizes(case.before, timeout=timeout)
    except ChildError:  # which the comparison itself will say
        return case
    names = [item.name for item in cls.fields]
    constructor = with_fields(called.constructor, names, smaller.fields) if smaller is not None else None
    if smaller is None or constructor is None:
        return case
    small = cases.case(replace(called, constructor=constructor, inputs=_inputs(called, smaller)))
    sizes = ", ".join(f"{name}={text}" for name, text in smaller.fields.items())
    return replace(small, variant=case.variant, snippet=case.snippet, smaller=sizes or "inputs")


def with_fields(arguments: str, names: list[str], values: Mapping[str, str]) -> str | None:
    """The arguments of a constructor with some fields of other values; None where these can't be told apart."""
    call = ast.parse(f"f({arguments})", mode="eval").body
    assert isinstance(call, ast.Call)
    if len(call.args) > len(names) or any(isinstance(argument, ast.Starred) for argument in call.args):
        return None
    texts = dict(zip(names, map(ast.unparse, call.args), strict=False))
    for keyword in call.keywords:
        if keyword.arg is None:
            return None
        texts[keyword.arg] = ast.unparse(keyword.value)
    return ", ".join(f"{name}={text}" for name, text in {**texts, **values}.items())


def _inputs(called: Called, smaller: Smaller) -> dict[str, str]:
    names = list(called.inputs)
    cuts = {**dict(zip(names, smaller.positional, strict=False)), **smaller.keywords}
    return {name: f"({text}){cuts[name]}" if cuts.get(name) else text for name, text in called.inputs.items()}
