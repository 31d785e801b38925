"""Tests that run once for each of several values: which of their parameters gets which value.

pytest's `parametrize`, and `parameters`, `named_parameters` and `product` of absl's `parameterized`.
"""

from __future__ import annotations

import ast

from nnx_migrate.linen.programs.dataflow.containers import Within

_PYTEST = "pytest.mark.parametrize"
_ABSL = "absl.testing.parameterized."
#: A set of values in a list of them: its own values are found by position.
PARAM = "pytest.param"


def parameters_for(
    qualified: str, function: ast.FunctionDef, call: ast.Call, passed: ast.expr | ast.keyword, within: Within
) -> list[tuple[str, Within]] | None:
    """The parameters of a decorated test that get a value, each with where it sits in what the parameter is given.

    `passed` is the argument of the decorator `call` that holds the value at `within`; None where that isn't known.
    """
    names = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
    own = names[1:] if names[:1] == ["self"] else names
    found: list[tuple[str, Within]] | None = None
    if isinstance(passed, ast.keyword):
        if passed.arg in ("argvalues", "argnames") and qualified == _PYTEST:
            return None
        name = passed.arg
        found = [(name, within[1:])] if name in own and within else None
    elif qualified == _PYTEST:
        found = _of_pytest(call, passed, within)
    elif qualified in (f"{_ABSL}parameters", f"{_ABSL}named_parameters"):
        found = _of_absl(own, call, passed, within, named=qualified.endswith("named_parameters"))
    known = [*names, *(a.arg for a in function.args.kwonlyargs)]
    return found if found is not None and all(name in known for name, _ in found) else None


def _of_pytest(call: ast.Call, passed: ast.expr, within: Within) -> list[tuple[str, Within]] | None:
    """`parametrize("x, y", [(1, 2), (3, 4)])`; `("x", [1, 2])`."""
    names = _names(call.args[0])
    if names is None or call.args[1:2] != [passed] or not within:
        return None
    rest = within[1:]
    if len(names) > 1:
        return _picked(names, rest)
    return [(names[0], rest), *([(names[0], rest[1:])] if rest[:1] == (0,) else [])]  # `pytest.param(1)`


def _names(node: ast.expr) -> list[str] | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [name.strip() for name in node.value.split(",") if name.strip()] or None
    if isinstance(node, ast.List | ast.Tuple):
        texts = [e.value for e in node.elts if isinstance(e, ast.Constant) and isinstance(e.value, str)]
        return texts if texts and len(texts) == len(node.elts) else None
    return None


def _of_absl(
    own: list[str], call: ast.Call, passed: ast.expr, within: Within, named: bool
) -> list[tuple[str, Within]] | None:
    """`parameters((1, 2), (3, 4))`, `parameters({"x": 1})`, `parameters(1, 2)`; or one iterable of such."""
    is_case = isinstance(passed, ast.Tuple | ast.Dict) or len(call.args) > 1
    rest = within if is_case else within[1:]
    if not is_case and not within:
        return None
    if not rest:
        return [(own[0], ())] if own and not named else None
    return _picked(["", *own] if named else own, rest)


def _picked(names: list[str], within: Within) -> list[tuple[str, Within]] | None:
    """The parameters that get the value at `within` of a tuple (by position) or a dictionary (by name)."""
    if not within:
        return None
    key, rest = within[0], within[1:]
    if isinstance(key, str):
        return [(key, rest)]
    if key is None:
        return [(name, rest) for name in names if name]
    return [(names[key], rest)] if 0 <= key < len(names) and names[key] else None
