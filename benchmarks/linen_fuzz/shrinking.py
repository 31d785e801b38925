"""Makes a failing program shorter: statements, fields and models go as long as it fails in the same way."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator
from dataclasses import replace

from benchmarks.linen_fuzz.judging import Verdict, judge
from benchmarks.linen_fuzz.program import Program

_SECONDS = 30.0


def shrink(program: Program, verdict: Verdict) -> tuple[Program, Verdict]:
    """The shortest failing program found, and what is wrong with it."""
    numbers = verdict.run
    end = time.process_time() + _SECONDS
    changed = True
    while changed:
        changed = False
        for smaller in _smaller(program):
            if time.process_time() > end:
                return program, verdict
            found = judge(smaller, numbers=numbers)
            if found.signature == verdict.signature:
                program, verdict, changed = smaller, found, True
                break
    return program, verdict


def _smaller(program: Program) -> Iterator[Program]:
    for model in program.models:
        if len(program.models) > 1:
            yield replace(program, models=(model,))
    if len(program.models) == 1:
        yield from _fewer_arguments(program)
    tree = ast.parse(program.classes)
    spots = [
        (node, name, index)
        for node in ast.walk(tree)
        for name in ("body", "orelse")
        for index in range(len(getattr(node, name, [])) if isinstance(getattr(node, name, []), list) else 0)
    ]
    for node in ast.walk(tree):
        body: list[ast.stmt] = getattr(node, "body", [])
        if isinstance(node, ast.FunctionDef) and len(body) > 4:
            for start in (0, len(body) // 2):
                node.body = [*body[:start], *body[start + len(body) // 2 :]]
                yield program.with_classes(ast.unparse(tree))
            node.body = body
    for node, name, index in spots:
        block: list[ast.stmt] = getattr(node, name)
        statement = block[index]
        if isinstance(statement, ast.Import | ast.ImportFrom):
            continue
        variants: list[list[ast.stmt]] = [[]]
        if isinstance(statement, ast.If | ast.For):
            variants += [statement.body, statement.orelse]
        for variant in variants:
            rest = [*block[:index], *variant, *block[index + 1 :]]
            if not rest and name == "body":
                continue
            setattr(node, name, rest)
            yield program.with_classes(ast.unparse(tree))
            setattr(node, name, block)


def _fewer_arguments(program: Program) -> Iterator[Program]:
    (model,) = program.models
    call = ast.parse(model.construction, mode="eval").body
    assert isinstance(call, ast.Call)
    for index in range(len(call.keywords)):
        rest = [*call.keywords[:index], *call.keywords[index + 1 :]]
        shorter = ast.unparse(ast.Call(call.func, call.args, rest))
        yield replace(program, models=(replace(model, construction=shorter),))
