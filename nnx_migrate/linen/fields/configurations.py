"""Configurations that fields are declared to hold: `config: TrainConfig`, with methods of its own."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.fields.declared import declares_data
from nnx_migrate.names.classes import bases, class_of
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import last_name
from nnx_migrate.names.project import Project


def methods_of_configurations(
    cls: LinenClass, is_harmless: Callable[[Module, ast.AST], bool]
) -> Iterator[str]:
    """The methods of the project's classes that fields are declared to hold, where their code `is_harmless`.

    A class that others derive from doesn't say what its methods do.
    """
    project = cls.program_project
    for item in cls.fields:
        module = item.owner.module
        if not isinstance(item.annotation, ast.Name | ast.Attribute):
            continue
        qualified = project.resolve(item.annotation, module.scope_at(item.node), module)
        found = class_of(qualified, project) if qualified is not None else None
        if qualified is None or found is None or project.redefinitions(qualified):
            continue
        home, node = found
        names = {s.name for s in node.body if isinstance(s, ast.FunctionDef)} - _called_otherwise(node)
        if names and _reads_data(home, node) and not has_subclasses(project, qualified):
            yield from names if is_harmless(home, node) else ()


def _called_otherwise(node: ast.ClassDef) -> set[str]:
    """What isn't called by its name: properties give what they return to be called."""
    return {s.name for s in node.body if isinstance(s, ast.FunctionDef) and s.decorator_list}


def _reads_data(module: Module, cls: ast.ClassDef) -> bool:
    """Whether methods read nothing of their object but data, and call others: what they give holds no modules."""
    methods = [s for s in cls.body if isinstance(s, ast.FunctionDef)]
    names, data = {method.name for method in methods}, _data(cls)
    for method in methods:
        own = method.args.args[0].arg if method.args.args else None
        for node in ast.walk(method):
            if not (isinstance(node, ast.Name) and node.id == own):
                continue
            read = module.parents[node]
            if not isinstance(read, ast.Attribute):
                return False
            call = module.parents[read]
            calls = isinstance(call, ast.Call) and call.func is read and read.attr in names
            if isinstance(read.ctx, ast.Load) and not (
                calls or read.attr in data or read.attr.endswith("dtype")
            ):
                return False
    return True


def _data(cls: ast.ClassDef) -> set[str]:
    """The attributes that annotations declare to be data."""
    found: set[str] = set()
    for node in ast.walk(cls):
        if isinstance(node, ast.AnnAssign) and declares_data(node.annotation):
            target = node.target
            found.add(last_name(target))
        elif isinstance(node, ast.FunctionDef) and node.name == "__init__":
            given = {a.arg for a in (*node.args.args, *node.args.kwonlyargs) if declares_data(a.annotation)}
            for assign in (n for n in ast.walk(node) if isinstance(n, ast.Assign)):
                stored, value = assign.targets[0], assign.value
                if isinstance(stored, ast.Attribute) and isinstance(value, ast.Name) and value.id in given:
                    found.add(stored.attr)
    return found


def has_subclasses(project: Project, qualified: str) -> bool:
    """Whether other classes of the project derive from one."""
    name = qualified.rpartition(".")[2]
    return any(
        qualified in bases(module, node, project)
        for module in project.mentioning(name)
        for node in module.nodes(ast.ClassDef)
    )
