"""What writing one class gives."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from nnx_migrate.engine.findings import ImportRequest
from nnx_migrate.linen.dims.terms import Max
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import last_name
from nnx_migrate.nnx.writer.symbols import SizeParameter
from nnx_migrate.sources.text import Edit

#: A function, or a table that stands at the top level of a file.
Outside = ast.FunctionDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True)
class WrittenFunction:
    """The edits of a function that a class calls, and the calls of it that the class rewrites.

    A table of layers is the same to the class, which looks something up there. `imports` are those that its `module`
    newly needs, `helpers` what it takes from the file with helpers.
    """

    module: Module
    edits: tuple[Edit, ...]
    calls: frozenset[ast.AST]
    imports: frozenset[ImportRequest] = frozenset()
    helpers: frozenset[str] = frozenset()


@dataclass
class WrittenClass:
    """The edits of one class and what its users have to know."""

    edits: list[Edit] = field(default_factory=list)
    sizes: list[SizeParameter] = field(default_factory=list)
    needs_rngs: bool = True
    constructions: dict[ast.Call, str] = field(default_factory=dict)
    has_constructor: bool = True
    # functions outside of the class that it rewrites, with their edits, and the calls that these expect
    functions: dict[Outside, WrittenFunction] = field(default_factory=dict)
    making: set[str] = field(default_factory=set)  # methods that make modules for the constructor
    open_maxima: frozenset[Max] = frozenset()  # see `agreed_sizes`


def name_of(node: Outside) -> str:
    """The name of a function, or of a table."""
    if isinstance(node, ast.FunctionDef):
        return node.name
    return last_name(node.target if isinstance(node, ast.AnnAssign) else node.targets[0])


def helped(
    module: Module, helpers: frozenset[str], functions: Iterable[WrittenFunction]
) -> Iterator[tuple[Module, frozenset[str]]]:
    """The files that need helpers because of a class in `module`, and which ones."""
    if helpers:
        yield module, helpers
    for function in functions:
        if function.helpers:
            yield function.module, function.helpers
