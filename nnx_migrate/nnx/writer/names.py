"""How one file spells what the converted code refers to, and which of its Linen names get another meaning."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nnx_migrate.engine.findings import ImportRequest
from nnx_migrate.linen.classes.layer_fields import CELL
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.symbols import LINEN, canonical
from nnx_migrate.names.assigned import is_assigned_elsewhere
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import BindingKind
from nnx_migrate.nnx.helpers.placement import helper_import, helper_path, imported_helpers
from nnx_migrate.nnx.layers import Judge, function
from nnx_migrate.nnx.layers.functions import Function
from nnx_migrate.nnx.writer.construction.partitioning import annotated
from nnx_migrate.nnx.writer.construction.spread_items import SpreadItem, behind
from nnx_migrate.nnx.writer.other_files import import_of, known_name
from nnx_migrate.nnx.writer.text import rewritten

NNX = ImportRequest("flax.nnx", "nnx", "flax")
NN = ImportRequest("flax.linen", "nn", "flax")
JNP = ImportRequest("jax.numpy", "jnp")

#: What means the same in every file.
_LITERALS = (ast.Constant, ast.Tuple, ast.List, ast.UnaryOp, ast.unaryop, ast.expr_context)


@dataclass
class FileNames:
    """The spelling of NNX in one module; `requests` collects the imports that the new code needs."""

    module: Module
    project: Project
    requests: set[ImportRequest] = field(default_factory=set)
    helpers: set[str] = field(default_factory=set)
    is_home: bool = True  # the code comes from this module
    _homes: dict[ast.AST, Module] = field(default_factory=dict)

    def learn(self, node: ast.AST, home: Module | None) -> None:
        """Code that is written into this module may stand in another one: what a partial binds that is imported."""
        if home is not None and home is not self.module:
            self._homes |= dict.fromkeys(ast.walk(node), home)

    def home_of(self, node: ast.AST) -> Module:
        """The module in which a node stands."""
        return self._homes.get(node, self.module)

    def of(self, module: Module) -> FileNames:
        """The spelling of another file into which something is written, too."""
        if module is self.module:
            return self
        other = FileNames(module, self.project)
        other._homes = {node: home for node, home in self._homes.items() if home is not module}
        return other

    def written(self, node: ast.AST, replace: Callable[[ast.AST], str | None]) -> str:
        """Code as this module writes it. Raises Refuse for names of another module that mean something else here."""
        home = self.home_of(node)
        if home.parents.get(node) is None:
            if all(isinstance(n, _LITERALS) for n in ast.walk(node)):
                return ast.unparse(node)
            raise Refuse("unsupported-syntax", f"`{ast.unparse(node)}` stands in another file", None)
        if home is self.module:
            return rewritten(home.source, node, replace)

        def text(part: ast.AST) -> str | None:
            new = replace(part)
            if new is not None or not isinstance(part, ast.Name) or self._means_the_same(part):
                return new
            known = self._as_known_here(part)
            if known is None:
                detail = f"`{ast.unparse(node)}` of `{home.name}` reads `{part.id}`"
                raise Refuse("unsupported-syntax", f"{detail}, which `{self.module.name}` doesn't know", part)
            return known

        return rewritten(home.source, node, text)

    def _means_the_same(self, name: ast.Name) -> bool:
        """Whether a name of another module is a builtin, imported or defined once for both modules, or one of the
        code that comes from there.
        """
        own, home = self.module.scopes.module, self.home_of(name)
        binder = home.scope_at(name).binder(name.id)
        if binder is not None and binder.node in self._homes:
            return True
        if binder is None:
            return own.binder(name.id) is None and hasattr(builtins, name.id)
        mine = self.project.resolve(ast.Name(name.id, ast.Load()), own, self.module)
        return binder is home.scopes.module and mine is not None and self.qualified(name) == canonical(mine)

    def _as_known_here(self, name: ast.Name) -> str | None:
        """What this module writes for a global name of another one: its own name for it, or a new import."""
        home = self.home_of(name)
        bindings = home.scopes.module.bindings.get(name.id, ())
        if home.scope_at(name).binder(name.id) is not home.scopes.module or len(bindings) != 1:
            return None
        if is_assigned_elsewhere(name.id, self.project):
            return None
        is_own = bindings[0].kind is not BindingKind.IMPORT
        qualified = f"{home.name}.{name.id}" if is_own else self.qualified(name)
        known = known_name(self.module, qualified, self.project) if qualified is not None else None
        if known is not None:
            return known
        file = known_name(self.module, home.name, self.project)
        if file is not None and is_own:
            return f"{file}.{name.id}"
        request = import_of(bindings[0], home, self.module, self.project)
        if request is not None:
            self.requests.add(request)
        return request.binding if request is not None else None

    def nnx(self) -> str:
        """The name by which the file knows `flax.nnx`, asking for the import where there is none."""
        return self._known(NNX)

    def linen(self) -> str:
        """The name by which the file knows `flax.linen`: NNX code, too, calls some of its functions."""
        return self._known(NN)

    def jnp(self) -> str:
        """The name by which the file knows `jax.numpy`, asking for the import where there is none."""
        return self._known(JNP)

    def _known(self, wanted: ImportRequest) -> str:
        for name, bindings in self.module.scopes.module.bindings.items():
            if all(b.kind is BindingKind.IMPORT and b.target == wanted.qualified for b in bindings):
                return name
        self.requests.add(wanted)
        return wanted.binding

    def helper(self, name: str) -> str:
        """The name of a helper class or function, which `helper_file` defines; asks for its import."""
        self.helpers.add(name)
        imported = {known for _, known in imported_helpers(self.module, self.project)}  # by an earlier run
        if name in self.module.scopes.module.bindings and name not in imported:
            raise Refuse("name-clash", f"the helper `{name}` has the name of something in the file")
        self.requests.add(helper_import(self.module, name, self.project))
        return name

    @property
    def helper_file(self) -> Path:
        """The file that holds the helpers for this one."""
        return helper_path(self.module, self.project)

    def qualified(self, node: ast.AST) -> str | None:
        """The canonical name of a dotted expression that starts at an import."""
        root = node
        while isinstance(root, ast.Attribute):
            root = root.value
        if not isinstance(root, ast.Name) or not isinstance(node, ast.Name | ast.Attribute):
            return None
        home = self.home_of(node)
        return canonical(self.project.resolve(node, home.scope_at(node), home))

    def judge(self) -> Judge:
        """Answers the layer tables' questions about this file's expressions."""

        def qualname(node: ast.expr) -> str | None:
            return node.refers_to if isinstance(node, SpreadItem) else self.qualified(node)

        return Judge(qualname=qualname, resolve=behind)

    def _is_looked_into(self, node: ast.AST) -> bool:
        """Whether `nn` stands in `getattr(nn, name)`: NNX has Linen's activations under the same names."""
        parent = self.home_of(node).parents.get(node)
        function = parent.func if isinstance(parent, ast.Call) and parent.args[:1] == [node] else None
        return isinstance(function, ast.Name) and function.id == "getattr"

    def replacement_in(self, module: Module) -> Callable[[ast.AST], str | None]:
        """`replacement` for code that comes from another module but is written into this one."""
        other = (
            self
            if module is self.module
            else FileNames(module, self.project, self.requests, self.helpers, is_home=False)
        )
        return other.replacement

    def _stays(self, node: ast.AST, row: Function) -> bool:
        """Whether the file has its own name for a function, by an import or an assignment: the rule
        `linen-functions` changes that alone.
        """
        if not isinstance(node, ast.Name) or not self.is_home or row.note or row.helper:
            return False
        if self.home_of(node) is not self.module:
            return False
        return len(self.module.scopes.module.bindings.get(node.id, ())) == 1

    def _is_variable(self, node: ast.AST) -> bool:
        """Whether this is a local variable (`act = nn.tanh`): what it is given is rewritten, its name stays."""
        if not isinstance(node, ast.Name):
            return False
        home = self.home_of(node)
        binder = home.scope_at(node).binder(node.id)
        if binder is None or binder is home.scopes.module:
            return False
        return all(b.kind is not BindingKind.IMPORT for b in binder.bindings[node.id])

    def replacement(self, node: ast.AST) -> str | None:
        """The new text of a reference to Linen (`nn.relu` -> `nnx.relu`, `nn.Module` -> `nnx.Module`), or
        None.
        """
        if isinstance(node, ast.Call):
            return annotated(self, node, lambda part: self.written(part, self.replacement))
        if not isinstance(node, ast.Name | ast.Attribute):
            return None
        name = self.qualified(node)
        if name is None or not name.startswith(LINEN) or self._is_variable(node):
            return None
        if name in (f"{LINEN}.Module", CELL):
            return f"{self.nnx()}.{name.rpartition('.')[2]}"
        if name == LINEN:
            return self.nnx() if self._is_looked_into(node) else None
        row = function(name)
        if row is None:
            return None
        if row.nnx is not None and row.same_call:
            if self._stays(node, row):
                return None
            inner = row.nnx.removeprefix("flax.nnx.")
            return f"{self.nnx()}.{inner}"
        if not row.same_call:
            raise Refuse(
                "unsupported-layer", f"`{ast.unparse(node)}` that isn't called where it stands", node
            )
        if row.keep:
            return None
        return self.helper(row.helper) if row.helper is not None else None
