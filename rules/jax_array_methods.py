from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from nnx_migrate.rules._arrays import is_jax_array

from nnx_migrate.engine.context import CannotName, FileContext
from nnx_migrate.engine.findings import Finding
from nnx_migrate.engine.rule import Rule

_METHODS = re.compile(r"\.(device|to_py|block_host_until_ready|clip|device_buffer)\b")
_MESSAGES = {
    "device": "`Array.device` is a property since jax 0.4.27",
    "to_py": "`Array.to_py` was removed from jax",
    "block_host_until_ready": "`Array.block_host_until_ready` was removed in jax 0.4.1",
    "clip": "`a_min` and `a_max` of `Array.clip` are `min` and `max`",
    "device_buffer": "`Array.device_buffer` was removed in jax 0.4.27",
}


class JaxArrayMethods(Rule):
    """Methods that arrays have no longer: `x.device()`, `x.to_py()`.

    What it finds
    -------------
    `.device()`, `.to_py()`, `.block_host_until_ready()`, `.device_buffer` and `.clip(a_min=, a_max=)` of
    values that are certainly JAX arrays: made by `jnp`, `jax.random` or `jax.nn` in the same file. The same
    names on other objects (`tensor.device`, `np.ndarray.clip`) are not reported.

    Why
    ---
    They are gone; `.device` is a property, and calling a Device raises TypeError.

    Example
    -------
    ::

        x = jnp.ones(3)
        print(x.device(), x.to_py())
        # becomes
        x = jnp.ones(3)
        print(x.device, np.asarray(x))

    Fix safety
    ----------
    Safe, because only values whose type is certain are touched.

    Since
    -----
    JAX 0.4.1 to 0.4.27; each finding names its release.

    References
    ----------
    https://docs.jax.dev/en/latest/jax_array_migration.html
    """

    id = "jax-array-methods"
    group = "jax"
    since = "jax>=0.4.27"
    triggers = frozenset({"jax.numpy", "jax.random", "jax.nn"})

    def check(self, file: FileContext) -> Iterable[Finding]:
        """Findings for attributes of certain arrays."""
        if not _METHODS.search(file.source.text):
            return
        for node in file.module.nodes(ast.Attribute):
            if node.attr in _MESSAGES:
                finding = self._finding(file, node)
                if finding is not None:
                    yield finding

    def _finding(self, file: FileContext, node: ast.Attribute) -> Finding | None:
        call = file.call_of(node)
        keywords = [k for k in call.keywords if k.arg in ("a_min", "a_max")] if call is not None else []
        if node.attr == "clip":
            outdated = bool(keywords)
        elif node.attr == "device_buffer":
            outdated = True
        else:
            outdated = call is not None and not (call.args or call.keywords)
        if not outdated or not is_jax_array(node.value, file):
            return None
        message = _MESSAGES[node.attr]
        if node.attr == "device_buffer":
            return self.finding(
                file,
                node,
                message,
                reason="no-equivalent",
                help="use `x.addressable_data(0)` or the array itself",
            )
        fix = file.fix()
        end = file.source.span(node)[1]
        assert call is not None
        if node.attr == "clip":
            for keyword in keywords:
                start = file.source.span(keyword)[0]
                fix.replace((start, start + len("a_min")), str(keyword.arg).removeprefix("a_"))
        elif node.attr == "device":
            fix.delete(end, file.source.span(call)[1])
        elif node.attr == "block_host_until_ready":
            fix.replace((end - len(node.attr), end), "block_until_ready")
        else:
            try:
                fix.replace(call, f"{fix.name('numpy.asarray', at=node)}({file.segment(node.value)})")
            except CannotName as error:
                return self.finding(file, node, message, reason="name-taken", help=str(error))
        return self.finding(file, node, message, fix.build("use the current name"))
