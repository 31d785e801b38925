"""Where a project may have numbers of other types than real ones of at most 32 bits."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from nnx_migrate.linen.programs.import_graph import ImportGraph
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project

_LONGER = r"jax_enable_x64|JAX_ENABLE_X64|enable_x64\("
_COMPLEX = r"\b(?:jnp|numpy|lax)\.(?:complex|fft\b)|(?<![\w.])\d+(?:\.\d*)?[jJ]\b"
_WORDS = re.compile(f"{_LONGER}|{_COMPLEX}")
_LOADERS = re.compile(
    r"^\s*(?:import|from) (?:hydra|runpy|pkg_resources)\b|\bgin\.parse_|\bfdl?\.build\("
    r"|\b(?:locate|entry_points|exec_module|load_module)\(",
    re.MULTILINE,
)
_SWITCHES = ("jax_enable_x64", "JAX_ENABLE_X64")
_ARRAY_MODULES = ("jnp", "numpy", "lax")
_REAL_RESULTS = ("real", "imag", "abs", "absolute", "angle", "irfft", "irfft2", "irfftn", "fftfreq")
_LIBRARIES = ("jax", "numpy", "builtins")
_CALLING = (
    *("vmap", "pmap", "jit", "grad", "remat", "checkpoint", "custom_vjp", "custom_jvp", "vectorize", "map"),
    *("scan", "associative_scan", "cond", "switch", "fori_loop", "while_loop", "reduce", "tree_map"),
    *("apply_along_axis", "apply_over_axes", "piecewise", "pure_callback"),
)


class NumberTypes:
    """Which files know of numbers of other types. Texts, comments and pictures in notebooks may say what they like."""

    def __init__(self, project: Project, imports: Callable[[], ImportGraph]) -> None:
        self.project, self.imports = project, imports

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
        """Whether configurations or loaders may import files by names that the code doesn't have."""
        return any(True for _ in self.project.files_where(lambda text: _LOADERS.search(text) is not None))

    @cached_property
    def _wide(self) -> frozenset[Path]:
        """The files that enable longer types, or make complex numbers."""
        found = set()
        for path in self.project.files_where(lambda text: _WORDS.search(text) is not None):
            module = self.project.module(path)
            if module is None or any(self._is_elsewhere(module, node) for node in _wide(module)):
                found.add(path)
        return frozenset(found)

    def _is_elsewhere(self, module: Module, node: ast.AST) -> bool:
        """Whether what is made here may get out of the function around it: complex numbers may not.

        They don't where nothing but JAX's functions gets them, and all that is returned is real.
        """
        if not _is_complex(node):
            return True
        around: ast.AST | None = node
        while isinstance(around, ast.expr):
            if _is_real(around):
                return False  # `jnp.fft.fft2(x).real`
            if isinstance(around, ast.Call) and not self._is_of_library(module, around):
                return True
            around = module.parents.get(around)
        function = module.enclosing(node, ast.FunctionDef)
        if not isinstance(function, ast.FunctionDef):
            return True
        for inner in (n for statement in function.body for n in ast.walk(statement)):
            if isinstance(inner, ast.Call) and not self._is_of_library(module, inner):
                return True
            is_target = isinstance(inner, ast.Attribute | ast.Subscript) and not isinstance(
                inner.ctx, ast.Load
            )
            if is_target or isinstance(inner, ast.Yield | ast.YieldFrom | ast.Global | ast.Nonlocal):
                return True
            if isinstance(inner, ast.Return) and not (inner.value is not None and _is_real(inner.value)):
                return True
        return False

    def _is_of_library(self, module: Module, call: ast.Call) -> bool:
        """Whether a call is one of JAX's functions, or of what one returned, and calls nothing else."""
        if isinstance(call.func, ast.Call):  # jax.vmap(jnp.fft.fft)(x)
            return self._is_of_library(module, call.func)
        functions = [call.func]
        if ast.unparse(call.func).rpartition(".")[2] in _CALLING:
            functions += [*call.args, *(k.value for k in call.keywords)]
        names = [self.project.resolve(f, module.scope_at(f), module) for f in functions]
        return all(name is not None and name.partition(".")[0] in _LIBRARIES for name in names)


def _is_real(node: ast.expr) -> bool:
    """Whether an expression is real whatever is in it."""
    if isinstance(node, ast.Attribute):
        return node.attr in ("real", "imag", "shape") and ast.unparse(node.value) not in _ARRAY_MODULES
    if isinstance(node, ast.Call):
        module, _, name = ast.unparse(node.func).rpartition(".")
        return name in _REAL_RESULTS and module.rpartition(".")[2] in (*_ARRAY_MODULES, "fft")
    return isinstance(node, ast.Constant) and not isinstance(node.value, complex)


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
