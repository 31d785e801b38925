"""A last look at a converted class, as text: what the writer has left behind or moved out of its scope.

The writer's parts know what they convert, not what they have overlooked. Here the result is read again: no
Linen module may be left in it, and every name in it has to mean something where it now stands.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Collection, Iterator, Sequence

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.symbols import LINEN, canonical
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import is_of_self, nodes_below
from nnx_migrate.names.project import Project
from nnx_migrate.names.scope_builder import build_scopes
from nnx_migrate.names.scopes import Scope, Scopes, dotted
from nnx_migrate.nnx.layers import function
from nnx_migrate.nnx.overlooked import Overlooked
from nnx_migrate.nnx.unbound import binds_streams, moved_out_of_loops
from nnx_migrate.nnx.writer.written import Outside, WrittenFunction, name_of
from nnx_migrate.sources.text import Edit, SourceText

_IMPLICIT = frozenset({*dir(builtins), "__class__", "__name__", "__file__", "__doc__", "__qualname__"})
_INITIALIZERS = f"{LINEN}.initializers"
_MODULES = frozenset({"activation", "dtypes", "initializers", "linear", "module", "partitioning"})


def check_written(
    cls: LinenClass,
    edits: Sequence[Edit],
    imported: Collection[str],
    project: Project,
    rewritten: Collection[ast.AST] = (),
    making: Collection[str] = (),
) -> None:
    """Check a class after its `edits`; `imported` are the names that the file will import newly, `rewritten` the
    functions that change with it, `making` the methods that make modules for the constructor.

    Raises Refuse if the new text isn't Python, holds Linen modules, or reads names that nothing binds.
    """
    source = cls.module.source
    start, end = source.span(cls.node)
    start = (
        source.line_start(cls.node.lineno) if not source.text[:start].rpartition("\n")[2].strip() else start
    )
    own = [e for e in edits if start <= e.start and e.end <= end]
    old = SourceText(source.text[start:end])
    try:
        new = old.with_edits([Edit(e.start - start, e.end - start, e.new) for e in own])
        tree = _parsed(new)
    except (SyntaxError, ValueError) as error:
        raise Refuse("unsupported-syntax", f"the new class can't be read: {error}", cls.node) from None
    outside = cls.module.scope_at(cls.node)
    scopes = build_scopes(tree)
    before = {name for name, _ in _free(build_scopes(_parsed(old)))}
    known = {*_IMPLICIT, *imported, *before}
    for name, _ in _free(scopes):
        if name not in known and outside.binder(name) is None:
            detail = f"the constructor would need `{name}`, which only the call knows"
            raise Refuse("dynamic-construction", detail, cls.node)
    for name in sorted(moved_out_of_loops(_parsed(old), tree)):
        detail = f"the constructor would need `{name}` of a loop elsewhere"
        raise Refuse("dynamic-construction", detail, cls.node)
    if binds_streams(tree):
        raise Refuse("name-clash", "a variable called `rngs`, as the constructor's streams are", cls.node)
    for name in _shadowed(tree, scopes, before):
        detail = f"the constructor's parameter `{name}` would hide the `{name}` that the code reads there"
        raise Refuse("name-clash", detail, cls.node)
    for path in _linen_paths(tree, scopes, imported, outside, cls.module, project):
        raise Refuse(
            "unsupported-layer", f"`{path.removeprefix('flax.')}` is used in an unusual way", cls.node
        )
    if not cls.bases:
        for name in sorted(_read_attributes(tree) - _made_attributes(tree) - _read_attributes(_parsed(old))):
            detail = f"`{name}` would be called, but the constructor makes none"
            raise Refuse("unsupported-syntax", detail, cls.node)
    for name in _constructions(tree, scopes, outside, cls, project, rewritten, making):
        detail = f"`{name}` is created in a function that can't be followed"
        raise Refuse("unsupported-syntax", detail, cls.node)


def check_function(
    node: Outside,
    written: WrittenFunction,
    imported: Collection[str],
    cls: LinenClass,
    project: Project,
) -> None:
    """Check a function, or a table, outside of a class, which uses it, after its edits, as `check_written` does."""
    module, edits = written.module, written.edits
    start, end = module.source.span(node)
    old = SourceText(module.source.text[start:end])
    try:
        tree = _parsed(old.with_edits([Edit(e.start - start, e.end - start, e.new) for e in edits]))
    except (SyntaxError, ValueError) as error:
        raise Refuse("unsupported-syntax", f"the new function can't be read: {error}", node) from None
    outside, scopes = module.scope_at(node), build_scopes(tree)
    known = {*_IMPLICIT, *imported, *(name for name, _ in _free(build_scopes(_parsed(old))))}
    for name, _ in _free(scopes):
        if name not in known and outside.binder(name) is None:
            raise Refuse("dynamic-construction", f"`{name_of(node)}` would need `{name}`", node)
    for path in _linen_paths(tree, scopes, imported, outside, module, project):
        raise Refuse("unsupported-layer", f"`{path.removeprefix('flax.')}` is used in an unusual way", node)
    for call in (n for n in nodes_below(tree) if isinstance(n, ast.Call)):
        called = dotted(call.func)
        if called is not None and project.resolve_name(called, outside, module) in cls.known_classes:
            path = called
            raise Refuse(
                "unsupported-syntax", f"`{path}` is created in a function that can't be followed", node
            )


def _parsed(text: SourceText) -> ast.Module:
    """The tree of a statement as it stands in its file: in a block, where lines in brackets may start anywhere."""
    if not text.text[:1].isspace():
        return ast.parse(text.text)
    (block,) = ast.parse(f"if True:\n{text.text}").body
    assert isinstance(block, ast.If)
    return ast.Module(block.body, [])


def _read_attributes(tree: ast.Module) -> set[str]:
    """The `self.name` that methods read."""
    return {node.attr for node in _of_self(tree) if isinstance(node.ctx, ast.Load)}


def _made_attributes(tree: ast.Module) -> set[str]:
    """What a class defines or assigns: methods, class attributes, `self.name = ...`."""
    made = {node.attr for node in _of_self(tree) if isinstance(node.ctx, ast.Store)}
    for statement in (s for c in tree.body if isinstance(c, ast.ClassDef) for s in c.body):
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            made.add(statement.name)
        targets = list(statement.targets) if isinstance(statement, ast.Assign) else []
        targets += [statement.target] if isinstance(statement, ast.AnnAssign) else []
        made.update(target.id for target in targets if isinstance(target, ast.Name))
    if any(isinstance(n, ast.Name) and n.id == "setattr" for n in nodes_below(tree)):
        made |= _read_attributes(tree)  # whose names may be computed
    return made


def _of_self(tree: ast.Module) -> Iterator[ast.Attribute]:
    for node in nodes_below(tree):
        if is_of_self(node):
            yield node


def _free(scopes: Scopes) -> Iterator[tuple[str, ast.AST]]:
    """Names that are read, and that nothing in the text binds."""
    for name, references in scopes.names.items():
        for reference in references:
            if reference.scope.binder(name) is None:
                yield name, reference.node


def _shadowed(tree: ast.Module, scopes: Scopes, before: Collection[str]) -> Iterator[str]:
    """Names from outside of the old class that its constructor, with a parameter of that name, reads now."""
    for method in (n for c in tree.body if isinstance(c, ast.ClassDef) for n in c.body):
        if not (isinstance(method, ast.FunctionDef) and method.name == "__init__"):
            continue
        arguments = method.args
        parameters = {a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]}
        body = scopes.of_node[method]
        expected = {id(n) for s in method.body if _hands_on(s) for n in nodes_below(s)}
        inside = {id(n) for s in method.body for n in nodes_below(s)} - expected
        for name in sorted(parameters & set(before)):
            references = scopes.names.get(name, ())
            if any(id(r.node) in inside and r.scope.binder(name) is body for r in references):
                yield name


def _hands_on(statement: ast.stmt) -> bool:
    """`self.name = name` and `super().__init__(name)`: what a constructor does with its parameters."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
        names = {n.id for n in nodes_below(statement.value) if isinstance(n, ast.Name)}
        return isinstance(target, ast.Attribute) and target.attr in names
    call = statement.value if isinstance(statement, ast.Expr) else None
    return (
        isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "__init__"
    )


def _linen_paths(
    tree: ast.Module,
    scopes: Scopes,
    imported: Collection[str],
    outside: Scope,
    module: Module,
    project: Project,
) -> Iterator[str]:
    """What is left of Linen in the text, apart from functions that work for NNX as they do for Linen."""
    free = {id(node) for _, node in _free(scopes)}
    for node in nodes_below(tree):
        if not isinstance(node, ast.Name | ast.Attribute):
            continue
        path = dotted(node)
        root: ast.expr = node
        while isinstance(root, ast.Attribute):
            root = root.value
        if path is None or id(root) not in free or path.partition(".")[0] in imported:
            continue
        name = canonical(project.resolve_name(path, outside, module))
        if name is None or not name.startswith(f"{LINEN}.") or name.startswith(_INITIALIZERS):
            continue
        if function(name) is None and not _is_module_name(name):
            yield name


def _constructions(
    tree: ast.Module,
    scopes: Scopes,
    outside: Scope,
    cls: LinenClass,
    project: Project,
    rewritten: Collection[ast.AST],
    making: Collection[str],
) -> Iterator[str]:
    """Modules that are still created elsewhere than in the constructor, directly or by functions."""
    free = {id(node) for _, node in _free(scopes)}
    overlooked = Overlooked(cls, project, outside, rewritten)
    for method in (n for c in tree.body if isinstance(c, ast.ClassDef) for n in c.body):
        if not isinstance(method, ast.FunctionDef) or method.name in ("__init__", *making):
            continue
        yield from (ast.unparse(call.func) for call in overlooked.calls(method, free))
        for call in (n for n in nodes_below(method) if isinstance(n, ast.Call)):
            path, root = dotted(call.func), call.func
            while isinstance(root, ast.Attribute):
                root = root.value
            if path is None or id(root) not in free:
                continue
            qualified = project.resolve_name(path, outside, cls.module)
            if qualified is not None and qualified.rpartition(".")[0] in cls.known_classes:
                continue  # a method of a class that moves, too: `Block.__call__(layer, x)`
            is_module = qualified in cls.known_classes
            if is_module or (qualified is not None and _makes_layers(qualified, rewritten, project)):
                yield path


def _makes_layers(qualified: str, rewritten: Collection[ast.AST], project: Project) -> bool:
    """Whether a function of the project calls what it creates of Linen: `nn.Dense(8)(x)`."""
    definition = project.definition(qualified)
    if definition is None or not isinstance(definition.node, ast.FunctionDef) or definition.node in rewritten:
        return False
    module = definition.module
    if isinstance(module.parents.get(definition.node), ast.ClassDef):
        return False  # a method, which is converted with its class
    for call in (n for n in nodes_below(definition.node) if isinstance(n, ast.Call)):
        if isinstance(call.func, ast.Call) and isinstance(call.func.func, ast.Name | ast.Attribute):
            made = call.func.func
            name = canonical(project.resolve(made, module.scope_at(made), module)) or ""
            short = name.removeprefix(f"{LINEN}.")
            if short != name and short[:1].isupper():
                return True
    return False


def _is_module_name(name: str) -> bool:
    """Modules within `flax.linen` that lead to something: `nn.initializers`, `nn.dtypes`."""
    return name.removeprefix(f"{LINEN}.") in _MODULES
