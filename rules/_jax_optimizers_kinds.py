"""What is followed of an optimizer triple: its three functions and the state that they make."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from nnx_migrate.engine.follow import Follower
from nnx_migrate.engine.follow_kinds import DONE, Kind, Value
from nnx_migrate.names.modules import Module

INIT, UPDATE, PARAMS, STATE = "init_fn", "update_fn", "params_fn", "optimizer state"
_SAME = {"jax.device_put", "jax.device_get", "jax.block_until_ready", "copy.deepcopy", "copy.copy"}


@dataclass
class Semantics:
    """What can be done with the three functions and the state."""

    follower: Follower | None = None
    inits: dict[ast.Call, Module] = field(default_factory=dict)
    updates: dict[ast.Call, Module] = field(default_factory=dict)
    reads: dict[ast.Call, Module] = field(default_factory=dict)

    def attribute(self, value: Value, node: ast.Attribute) -> tuple[ast.expr, Kind] | None:
        """Neither functions nor state have attributes that code should use."""
        return None

    def passed(self, value: Value, call: ast.Call, callee: str | None) -> Kind | None:
        """The state is given to one of the three functions, or copied."""
        assert self.follower is not None
        function = self.follower.kind_of(call.func)
        if value.kind == STATE and function in (UPDATE, PARAMS):
            return STATE if function == UPDATE else DONE
        return STATE if value.kind == STATE and callee in _SAME and call.args[:1] == [value.node] else None

    def called(self, value: Value, call: ast.Call) -> Kind | None:
        """One of the three functions is called."""
        plain = not call.keywords and not any(isinstance(a, ast.Starred) for a in call.args)
        if value.kind == INIT and plain and len(call.args) == 1:
            self.inits[call] = value.module
            return STATE
        if value.kind == UPDATE and plain and len(call.args) == 3:
            self.updates[call] = value.module
            return STATE
        if value.kind == PARAMS and plain and len(call.args) == 1:
            self.reads[call] = value.module
            return DONE
        return None

    def other(self, value: Value, parent: ast.AST) -> Kind | None:
        """`del opt_state`."""
        return DONE if isinstance(parent, ast.Delete) else None
