"""Which shapes flow through a Linen model: what static inference is checked against, and what it cannot know.

The user's own code builds the model and its arguments; `init` then runs under jax.eval_shape, so nothing is
computed, and every call of every module is intercepted.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nnx_migrate.numerics.layer_maps import canonical_class
from nnx_migrate.numerics.processes import DEFAULT_TIMEOUT, run_child
from nnx_migrate.numerics.source import ModelSource, SourceNamespace

if TYPE_CHECKING:
    from flax import linen as nn


def trace_shapes(
    source: ModelSource, timeout: float = DEFAULT_TIMEOUT, python: str = sys.executable
) -> dict[str, Any]:
    """Traces in a child process; this one needs no JAX. Raises ChildError with what the user's code raised.

    The result has two parts. ``modules``: by Linen path (``encoder/Dense_0``; the model itself is the empty
    string) the ``class`` (``module:qualname``), the ``fields`` that are plain values, and the ``calls`` in
    order: ``method``, ``args``, ``kwargs`` and ``output``. ``variables``: by path (``params/Dense_0/kernel``)
    shape and dtype. Arrays are written ``{"shape": [...], "dtype": "..."}``, plain values ``{"value": ...}``,
    containers as lists and objects, anything else ``{"type": "..."}``.
    """
    return run_child({"action": "trace", "source": source.to_json()}, timeout, python, platform="cpu")


def trace(source: ModelSource) -> dict[str, Any]:
    """Traces in this process; see `trace_shapes`."""
    import jax
    from flax import linen as nn
    from flax.core import unfreeze

    from nnx_migrate.numerics.trees import flatten, split_arrays

    names = SourceNamespace(source)
    model: nn.Module = names.evaluate(source.model)
    args = names.positional(source.args if source.init_args is None else source.init_args)
    kwargs = names.keywords(source.eval_kwargs if source.init_kwargs is None else source.init_kwargs)
    arrays, rebuild = split_arrays((args, kwargs))
    modules: dict[str, Any] = {}

    def intercept(
        call: Any, args: Sequence[Any], kwargs: Mapping[str, Any], context: nn.module.InterceptorContext
    ) -> Any:
        output = call(*args, **kwargs)
        if context.method_name != "setup":
            seen = modules.setdefault("/".join(context.module.path), _module_entry(context.module))
            record = {
                "method": context.method_name,
                "args": describe(tuple(args)),
                "kwargs": describe(dict(kwargs)),
            }
            seen["calls"].append({**record, "output": describe(output)})
        return output

    def init(keys: Any, arrays: Any) -> Any:
        args, kwargs = rebuild(arrays)
        return model.init(keys, *args, method=source.init_method or source.method, **kwargs)

    keys = {name: jax.random.key(i) for i, name in enumerate(("params", "dropout"))}
    with nn.intercept_methods(intercept):
        variables = jax.eval_shape(init, keys, arrays)
    boxed = unfreeze(nn.meta.unbox(variables))
    return {
        "modules": dict(sorted(modules.items())),
        "variables": {"/".join(path): describe(leaf) for path, leaf in flatten(boxed).items()},
    }


def describe(value: Any) -> Any:
    """A value as the JSON object that `trace_shapes` explains."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return {"shape": [int(size) for size in value.shape], "dtype": str(value.dtype)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"value": value}
    if isinstance(value, (tuple, list)):
        return [describe(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): describe(item) for key, item in value.items()}
    return {"type": canonical_class(type(value).__module__, type(value).__qualname__)}


def _module_entry(module: nn.Module) -> dict[str, Any]:
    plain = (bool, int, float, str, type(None))
    fields = {name: getattr(module, name, None) for name in type(module).__dataclass_fields__}
    return {
        "class": canonical_class(type(module).__module__, type(module).__qualname__),
        "fields": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in fields.items()
            if name not in ("name", "parent")
            and (
                isinstance(value, plain)
                or (isinstance(value, tuple) and all(isinstance(v, plain) for v in value))
            )
        },
        "calls": [],
    }
