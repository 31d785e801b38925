"""Class decorators that keep a class, as registries do, and give it back:

    @register_model(name="net")
    class Net(nn.Module): ...

Who looks the class up calls it as Linen's. Below the class, what the registry gets can be something that is called so:

    class Net(nn.Module): ...

    register_model(name="net")(Net)

Both do the same, in the same order, if the decorator gives back what it gets, and if nothing decorates the class later.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from nnx_migrate.engine.findings import FileChange, Fix, Safety
from nnx_migrate.linen.classes.class_decorators import may_keep
from nnx_migrate.linen.classes.model import LinenClass, LinenProgram
from nnx_migrate.linen.programs.dataflow.callees import Callee, Callees
from nnx_migrate.linen.programs.dataflow.flow import FlowFinder
from nnx_migrate.linen.programs.dataflow.reached_returns import ends_in_return, reached_returns
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import is_generator
from nnx_migrate.nnx.groups import Group
from nnx_migrate.nnx.preparation.model import Preparation
from nnx_migrate.nnx.writer.text import indentation
from nnx_migrate.sources.text import Edit

_MAX_DEPTH = 3


def registrations(program: LinenProgram, groups: Sequence[Group]) -> Iterator[Preparation]:
    """The decorators of classes that stay which can be called below these."""
    refused = {
        cls.qualified: cls
        for group in groups
        if not group.can_move
        for cls, obstacle in group.obstacles
        if obstacle.reason == "class-as-value" and cls.node.decorator_list
    }
    if refused:
        callees = FlowFinder(program.index, [cls.node for cls in program]).callees
        for cls in refused.values():
            keeping = _keeping(cls, callees)
            if keeping:
                message = f"`{cls.name}` is kept by its decorator `{ast.unparse(keeping[0])}`"
                yield Preparation(cls, keeping[0], message, _fix(cls, keeping))


def _keeping(cls: LinenClass, callees: Callees) -> list[ast.expr]:
    """The outermost decorators of a class, which keep it, if no other one does."""
    module, project = cls.module, cls.program_project
    keep = []
    for decorator in cls.node.decorator_list:
        function = decorator.func if isinstance(decorator, ast.Call) else decorator
        qualified = project.resolve(function, module.scope_at(function), module)
        keep.append(may_keep(decorator, qualified, project))
    count = keep.index(False) if False in keep else len(keep)
    outer = cls.node.decorator_list[:count]
    if any(keep[count:]) or not all(_gives_back(callees, module, one) for one in outer):
        return []
    return outer if all(_is_alone(module, one) for one in outer) and _is_last(module, cls.node) else []


def _gives_back(callees: Callees, module: Module, function: ast.expr, depth: int = 0) -> bool:
    """Whether all that an expression may call returns its first argument, and nothing else."""
    found = callees.of(module, function) if depth < _MAX_DEPTH else []
    return bool(found) and all(_returns_first(callees, callee, depth) for callee in found)


def _returns_first(callees: Callees, callee: Callee, depth: int) -> bool:
    function = callee.function
    if not isinstance(function, ast.FunctionDef) or callee.klass is not None or callee.kept:
        return False
    first = [a.arg for a in (*function.args.posonlyargs, *function.args.args)][callee.bound :][:1]
    if not first or function.decorator_list or is_generator(function) or not ends_in_return(function.body):
        return False
    bound = callee.module.scope_at(function.body[0]).binder(first[0])
    if bound is None or bound.node is not function or len(bound.lookup(first[0])) != 1:
        return False
    returned = [r.value for r in reached_returns(callee.module, function, {first[0]: False})]
    return all(
        (isinstance(value, ast.Name) and value.id == first[0])
        or (
            isinstance(value, ast.Call)
            and [ast.unparse(a) for a in value.args[:1]] == first
            and _gives_back(callees, callee.module, value.func, depth + 1)
        )
        for value in returned
    )


def _is_alone(module: Module, decorator: ast.expr) -> bool:
    """Whether nothing else stands on a decorator's lines."""
    start, end = module.source.span(decorator)
    before, after = (
        module.source.text[:start].rpartition("\n")[2],
        module.source.text[end:].partition("\n")[0],
    )
    return before.strip() == "@" and not after.strip()


def _is_last(module: Module, node: ast.ClassDef) -> bool:
    """Whether the class ends with its line."""
    _, end = module.source.span(node)
    return not module.source.text[end:].partition("\n")[0].partition("#")[0].strip()


def _fix(cls: LinenClass, decorators: Sequence[ast.expr]) -> Fix:
    source = cls.module.source
    edits = [Edit(*source.line_span(decorator), "") for decorator in decorators]
    indent = indentation(source, cls.node.lineno)
    calls = [f"{indent}{source.segment(decorator)}({cls.name})" for decorator in reversed(decorators)]
    _, end = source.span(cls.node)
    end += len(source.text[end:].partition("\n")[0])
    blank = "\n\n\n" if not indent else "\n\n"
    edits.append(Edit(end, end, blank + "\n".join(calls)))
    return Fix(
        "register a class below it", Safety.SAFE, {cls.module.path: FileChange(tuple(edits))}, prepares=True
    )
