"""Where a project may have numbers of other types than real ones of at most 32 bits."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from nnx_migrate.linen.arrays.complex_numbers import ComplexNumbers
from nnx_migrate.linen.programs.hidden.import_graph import ImportGraph, loads_by_name
from nnx_migrate.linen.programs.hidden.named_code import may_reach_flax
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project

_LONGER = r"jax_enable_x64|JAX_ENABLE_X64|enable_x64\("
_COMPLEX = r"\b(?:jnp|numpy|lax)\.(?:complex|fft\b)|(?<![\w.])\d+(?:\.\d*)?[jJ]\b"
_WORDS = re.compile(f"{_LONGER}|{_COMPLEX}")
_SWITCHES = ("jax_enable_x64", "JAX_ENABLE_X64")
_ARRAY_MODULES = ("jnp", "numpy", "lax")


class NumberTypes:
    """Which files know of numbers of other types. Texts, comments and pictures in notebooks may say what they like."""

    def __init__(self, project: Project, imports: Callable[[], ImportGraph]) -> None:
        self.project, self.imports = project, imports
        self._complex = ComplexNumbers(project)

    def are_real(self, module: Module) -> bool:
        """Whether all arrays in a file are real ones of at most 32 bits.

        They are where no code that knows the file, or that is known to such code, enables others or makes complex
        numbers. What pytest loads beside all tests counts everywhere, and so does everything where configurations
        import.
        """
        if not self._wide:
            return True
        if self._is_configured or any(path.name == "conftest.py" for path in self._wide):
            return False
        return not self._wide & self.imports().known_to(module)

    @cached_property
    def _is_configured(self) -> bool:
        return loads_by_name(self.project)

    @cached_property
    def _wide(self) -> frozenset[Path]:
        """The files that enable longer types, or make complex numbers."""
        found = set()
        for path in self.project.files_where(lambda text: _WORDS.search(text) is not None):
            module = self.project.module(path)
            if module is None or self._is_wide(module):
                found.add(path)
        return frozenset(found)

    def _is_wide(self, module: Module) -> bool:
        """Whether a file makes such numbers, and they may get to a model: not those of a test without one."""
        nodes = [node for node in _wide(module) if self._is_elsewhere(module, node)]
        if not nodes or self._is_configured or self.imports().users(module) != {module.path}:
            return bool(nodes)
        first = min((n.lineno for n in nodes if isinstance(n, ast.expr) and not _is_complex(n)), default=None)
        # what a file imports runs as it finds the switch
        late = first is not None and any(node.lineno > first for node, _, _ in module.scopes.imports)
        return late or module.path.name == "conftest.py" or may_reach_flax(self.project, module)

    def _is_elsewhere(self, module: Module, node: ast.AST) -> bool:
        """Whether what is made here may get to other code: complex numbers don't where they soon become real."""
        return not _is_complex(node) or self._complex.get_out(module, node)


def _wide(module: Module) -> Iterator[ast.AST]:
    """Where a file enables longer types, or makes complex numbers."""
    return (node for node in ast.walk(module.tree) if _is_wide(module, node))


def _is_complex(node: ast.AST) -> bool:
    """Whether complex numbers are made with an expression: `1j`, `jnp.complex64`, the `jnp.fft` of `jnp.fft.fft`."""
    if isinstance(node, ast.Attribute) and (node.attr == "fft" or node.attr.startswith("complex")):
        return ast.unparse(node.value).rpartition(".")[2] in _ARRAY_MODULES
    return isinstance(node, ast.Constant) and isinstance(node.value, complex)


def _is_wide(module: Module, node: ast.AST) -> bool:
    if _is_complex(node):
        return True
    if isinstance(node, ast.Constant):
        return node.value in _SWITCHES and _enables(module, node)
    if isinstance(node, ast.Attribute) and node.attr in _SWITCHES:
        return isinstance(node.ctx, ast.Store) and _enables(module, node)
    if isinstance(node, ast.keyword):
        return node.arg in _SWITCHES and not _is_off(node.value)
    if isinstance(node, ast.Call):
        is_switch = ast.unparse(node.func).rpartition(".")[2] == "enable_x64"
        return is_switch and not (node.args and _is_off(node.args[0]))
    return False


def _enables(module: Module, node: ast.expr) -> bool:
    """Whether a switch that is named here isn't plainly turned off: `config.update("jax_enable_x64", False)`."""
    user = module.parents.get(node)
    if isinstance(user, ast.Subscript):  # os.environ["JAX_ENABLE_X64"] = "0"
        user = module.parents.get(user)
    if isinstance(user, ast.Call) and user.args[:1] == [node] and len(user.args) == 2:
        return not _is_off(user.args[1])
    if isinstance(user, ast.Assign):
        return not _is_off(user.value)
    return not isinstance(user, ast.Expr)


def _is_off(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value in (False, "0", "false", "False")
