from __future__ import annotations

import ast
from collections.abc import Iterable

from nnx_migrate.engine.arguments import CallView
from nnx_migrate.engine.context import FileContext
from nnx_migrate.engine.findings import Finding
from nnx_migrate.engine.import_text import drop_names, drop_statement, rename_module
from nnx_migrate.engine.moves import UNKNOWN, Move, MovesRule
from nnx_migrate.engine.triggers import Imported, Use

_FLAGS = (
    "absl flags are no longer built in: call `jax.config.config_with_absl()` and read `jax.config.<name>`"
)


class JaxConfig(MovesRule):
    """`from jax.config import config` is `jax.config`.

    What it finds
    -------------
    Imports of the module `jax.config`, uses of `jax.config.config`, and calls of
    `jax.config.enable_omnistaging` and `disable_omnistaging`. `jax.config.update(...)` and
    `from jax import config` are current.

    Why
    ---
    The module is gone: `import jax.config` raises ModuleNotFoundError. Omnistaging can't be switched any
    more.

    Example
    -------
    ::

        from jax.config import config
        config.update("jax_enable_x64", True)
        # becomes
        from jax import config
        config.update("jax_enable_x64", True)

    Fix safety
    ----------
    Safe: `jax.config` is the object that `jax.config.config` was.

    Since
    -----
    Deprecated in JAX 0.4.20, removed in 0.4.25.

    References
    ----------
    https://docs.jax.dev/en/latest/changelog.html#jax-0-4-25-feb-26-2024
    """

    id = "jax-config"
    group = "jax"
    triggers = frozenset({"jax.config"})
    moves = (
        Move("jax.config.config", "jax.config", since="jax>=0.4.20", removed="0.4.25"),
        *(
            Move(
                f"jax.config{middle}.{name}",
                since="jax>=0.4.13",
                removed=UNKNOWN,
                help="omnistaging is always on",
            )
            for name in ("enable_omnistaging", "disable_omnistaging")
            for middle in ("", ".config")
        ),
        *(
            Move(f"jax.config{middle}.{name}", since="jax>=0.4.25", removed="0.4.25", help=_FLAGS)
            for name in (
                "FLAGS",
                "define_bool_state",
                "define_enum_state",
                "define_int_state",
                "define_string_state",
            )
            for middle in ("", ".config")
        ),
    )

    def check(self, file: FileContext) -> Iterable[Finding]:
        """The table, and `import jax.config`."""
        yield from super().check(file)
        if file.targets.concerned("jax>=0.4.25"):
            for imported in file.imports("jax.config"):
                if isinstance(imported.node, ast.Import) and not self._used_by_table(file, imported):
                    yield self._import_finding(file, imported)

    def check_use(self, file: FileContext, use: Use, move: Move) -> Finding | None:
        """`enable_omnistaging()` asks for what always holds, so the statement goes."""
        finding = super().check_use(file, use, move)
        call = CallView.of(use.node, file)
        statement = file.parent(call.node) if call is not None else None
        if (
            finding is None
            or not isinstance(statement, ast.Expr)
            or "enable_omnistaging" not in use.qualified
        ):
            return finding
        fix = file.fix()
        fix.edits.append(drop_statement(file.module, statement))
        return self.finding(file, use.node, move.message, fix.build("delete the call"))

    @staticmethod
    def _used_by_table(file: FileContext, imported: Imported) -> bool:
        """True where uses of the module are rewritten first; the import goes with the last of them."""
        return any(True for _ in file.uses("jax.config.config.*")) and imported.alias.asname is None

    def _import_finding(self, file: FileContext, imported: Imported) -> Finding:
        node, alias = imported.node, imported.alias
        assert isinstance(node, ast.Import)
        fix = file.fix()
        others = [
            binding
            for binding in file.module.scopes.module.bindings.get("jax", ())
            if binding.alias is not alias and binding.alias is not None
        ]
        if alias.asname is not None:
            fix = None
        elif "jax" in file.module.scopes.names and not others:
            fix.edits.append(rename_module(file.module, node, alias, "jax"))
        elif len(node.names) == 1:
            fix.edits.append(drop_statement(file.module, node))
        else:
            fix.edits += drop_names(file.module, node, [alias])
        return self.finding(
            file,
            alias,
            "the module `jax.config` was removed in jax 0.4.25; `jax.config` is an attribute now",
            fix.build("edit the import") if fix else None,
            help="use `jax.config` of `import jax`",
        )
