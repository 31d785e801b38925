"""Rule `namedtuple-static-arg`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import partial

from nnx_migrate.rules._namedtuple_rewriting import dataclass_fix, name_span
from nnx_migrate.rules._namedtuple_uses import Uses
from nnx_migrate.rules._sites import RefusalError

from nnx_migrate.engine.callees import Callees
from nnx_migrate.engine.context import CannotName, ProjectContext
from nnx_migrate.engine.findings import Finding
from nnx_migrate.engine.rule import ProjectRule
from nnx_migrate.names.modules import Module
from nnx_migrate.names.scopes import Guard


class NamedtupleStaticArg(ProjectRule):
    """NamedTuple classes that are passed as static arguments of `jax.jit`.

    What it finds
    -------------
    `class Config(NamedTuple)` whose instances go to a parameter that is named in `static_argnums` or
    `static_argnames`.

    Why
    ---
    A NamedTuple is a pytree: forget to mark it static in one place, or wrap the function once more, and its
    numbers are traced there. A dataclass whose fields are metadata is static by itself, wherever it goes.

    Example
    -------
        class Config(NamedTuple):
            layers: int
            rate: float = 0.1

        @partial(jax.jit, static_argnames="config")
        def apply(config, params, x): ...

    becomes

        @partial(jax.tree_util.register_dataclass, data_fields=[], meta_fields=["layers", "rate"])
        @dataclasses.dataclass(frozen=True)
        class Config:
            layers: int
            rate: float = 0.1

        @jax.jit
        def apply(config, params, x): ...

    Fix safety
    ----------
    Safe where every instance can be followed to every use: reads of fields stay, `_replace` and `_asdict`
    are rewritten, and the parameter is taken out of the static arguments. Left alone, with a reason:
    classes whose instances are indexed, unpacked, iterated over, compared, saved, mapped over as pytrees,
    traced elsewhere or handed to code out of sight; fields that hold arrays or can't be hashed; derived
    classes.

    Since
    -----
    JAX 0.4.27 has `register_dataclass` for metadata fields.

    References
    ----------
    JAX documentation: jax.tree_util.register_dataclass; "Custom pytree nodes".
    """

    id = "namedtuple-static-arg"
    group = "jax"
    since = "jax>=0.4.27"
    texts = ("static_arg", "NamedTuple")

    def check_project(self, project: ProjectContext) -> Iterator[Finding]:
        """One finding per class."""
        jitting = [project.project.text(path) for path in project.project.files_mentioning("static_arg")]
        if not jitting:
            return
        callees = Callees(project.project)
        files = project.project.files_where(lambda text: _CLASS.search(text) is not None)
        find = partial(_named_tuples, project=project, jitting=jitting)
        for module, classes in project.project.having(files, find):
            for node in classes:
                yield from self._class(project, callees, module, node)

    def _class(
        self, project: ProjectContext, callees: Callees, module: Module, node: ast.ClassDef
    ) -> Iterator[Finding]:
        uses = Uses(project, callees, module, node)
        if not uses.follow():
            return
        file = project.file(module)
        span = name_span(module, node)
        message = f"NamedTuple `{node.name}` is passed as a static argument"
        try:
            fix = dataclass_fix(uses)
        except RefusalError as refusal:
            yield self.finding(file, span, message, reason=refusal.reason, help=str(refusal))
        except CannotName as error:
            yield self.finding(file, span, message, reason="name-taken", help=str(error))
        else:
            yield self.finding(file, span, message, fix, help=fix.title)


_CLASS = re.compile(r"class\s+\w+\s*\([^)]*NamedTuple")


def _named_tuples(module: Module, project: ProjectContext, jitting: list[str]) -> list[ast.ClassDef]:
    """The classes of a file that derive from NamedTuple and are the only meaning of their name.

    A large project has hundreds of them: those are taken that are named near static arguments.
    """
    found = []
    for node, inside in module.scopes.of_node.items():
        if not isinstance(node, ast.ClassDef) or inside.parent is None:
            continue
        if not any(node.name in text for text in jitting):
            continue
        names = (project.project.resolve(base, inside.parent, module) for base in node.bases)
        bindings = inside.parent.lookup(node.name)
        if len(bindings) == 1 and bindings[0].guard is Guard.NONE and "typing.NamedTuple" in names:
            found.append(node)
    return found
