"""What `flax-optim` knows about optimizers of `flax.optim`: their uses, and what becomes of each."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from nnx_migrate.engine.follow_kinds import DONE, Kind, Value
from nnx_migrate.names.modules import Module

DEFINITION = "flax.optim.OptimizerDef"
OPTIMIZER = "flax.optim.Optimizer"
STATE = "flax.optim.OptimizerState"

# Functions that return what they get (moved, copied, or with other leaves in the same structure).
_SAME = {
    "jax.device_put", "jax.device_get", "jax.device_put_replicated", "jax.block_until_ready", "copy.copy",
    "copy.deepcopy", "flax.jax_utils.replicate", "flax.jax_utils.unreplicate",
}  # fmt: skip
_MAPS = {
    "jax.tree_map",
    "jax.tree.map",
    "jax.tree_util.tree_map",
    "jax.tree_multimap",
    "jax.tree_util.tree_multimap",
}
_PMEANS = {"jax.lax.pmean", "jax.lax.psum", "jax.lax.stop_gradient"}
# Functions that write or read it in a form that depends on its structure: position of the optimizer.
_SAVED = {
    "flax.training.checkpoints.save_checkpoint": 1,
    "flax.training.checkpoints.save_checkpoint_multiprocess": 1,
    "flax.serialization.to_bytes": 0,
    "flax.serialization.to_state_dict": 0,
    "flax.serialization.msgpack_serialize": 0,
}
_RESTORED = {
    "flax.training.checkpoints.restore_checkpoint": 1,
    "flax.serialization.from_bytes": 0,
    "flax.serialization.from_state_dict": 0,
}
_OUTPUT = {"logging.info", "absl.logging.info", "pprint.pprint"}


@dataclass
class OptimSemantics:
    """Understands the uses of optimizers and their definitions, and collects those that need an edit."""

    created: dict[ast.Call, Value] = field(
        default_factory=dict
    )  # definition.create(params) -> the definition
    applied: dict[ast.Call, Value] = field(default_factory=dict)  # optimizer.apply_gradient(...)
    targets: dict[ast.Attribute, Module] = field(default_factory=dict)  # optimizer.target
    steps: dict[ast.Attribute, Module] = field(default_factory=dict)  # optimizer.state.step
    replaced: dict[ast.Call, Module] = field(default_factory=dict)  # optimizer.replace(target=...)
    saved: list[Value] = field(default_factory=list)

    def attribute(self, value: Value, node: ast.Attribute) -> tuple[ast.expr, Kind] | None:
        """`.create`, `.target`, `.apply_gradient`, `.state.step`, `.replace`."""
        parent = value.module.parents[node]
        call = parent if isinstance(parent, ast.Call) and parent.func is node else None
        if not isinstance(node.ctx, ast.Load):
            return None
        if value.kind == DEFINITION:
            if node.attr == "create" and call is not None and _arguments(call) == ["target"]:
                self.created[call] = value
                return call, OPTIMIZER
            return None
        if value.kind == STATE:
            if node.attr == "step":
                self.steps[node] = value.module
                return node, DONE
            return None
        if node.attr == "target":
            self.targets[node] = value.module
            return node, DONE
        if node.attr == "state":
            return node, STATE
        if (
            node.attr == "apply_gradient"
            and call is not None
            and _arguments(call) in (["grads"], ["grads", "learning_rate"])
        ):
            self.applied[call] = value
            return call, OPTIMIZER
        if (
            node.attr == "replace"
            and call is not None
            and not call.args
            and [k.arg for k in call.keywords] == ["target"]
        ):
            self.replaced[call] = value.module
            return call, OPTIMIZER
        return None

    def passed(self, value: Value, call: ast.Call, callee: str | None) -> Kind | None:
        """Library functions that an optimizer may be given to."""
        if value.kind == DEFINITION:
            return None
        argument = _position(value.node, call, value.module)
        if callee in _SAME and argument == 0:
            return value.kind
        if callee in _MAPS and isinstance(argument, int) and argument > 0:
            return value.kind
        if callee in _PMEANS and argument == 0:
            return value.kind
        if callee in _SAVED and argument in (_SAVED[callee], "target"):
            self.saved.append(value)
            return DONE
        if callee in _RESTORED and argument in (_RESTORED[callee], "target"):
            self.saved.append(value)
            return value.kind
        prints = callee is None and isinstance(call.func, ast.Name) and call.func.id == "print"
        return DONE if prints or callee in _OUTPUT else None

    def called(self, value: Value, call: ast.Call) -> Kind | None:
        """Neither is callable."""
        return None

    def other(self, value: Value, parent: ast.AST) -> Kind | None:
        """`del optimizer`; anything else is not known."""
        return DONE if isinstance(parent, ast.Delete) else None


def _arguments(call: ast.Call) -> list[str]:
    """Parameter names of the arguments of create(target) and apply_gradient(grads, learning_rate=)."""
    first = "target" if isinstance(call.func, ast.Attribute) and call.func.attr == "create" else "grads"
    if len(call.args) > 1 or any(isinstance(a, ast.Starred) for a in call.args):
        return []
    return [*([first] if call.args else []), *(str(k.arg) for k in call.keywords)]


def _position(node: ast.expr, call: ast.Call, module: Module) -> int | str | None:
    """Where an argument stands in a call: its index or its keyword."""
    if node in call.args:
        starred = any(isinstance(a, ast.Starred) for a in call.args[: call.args.index(node)])
        return None if starred else call.args.index(node)
    keyword = module.parents[node]
    return keyword.arg if isinstance(keyword, ast.keyword) else None
