"""A model given as text (how to import, build and call it), so that it can travel to another process."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from nnx_migrate.numerics.bare_packages import without_broken_packages


@dataclass(frozen=True)
class ModelSource:
    """Python text that builds and calls one model, from the code below `root`.

    `setup` holds statements (imports); all else are expressions, in which `jax`, `jnp`, `np`, `flax`, `nn`,
    `nnx` and the names of `setup` are known, and in `model` of the NNX kind also `rngs`. `sys_path` is
    relative to `root`. `init_*` default to the eval call. `train_kwargs` is None where the model has no train
    flag. `output` is an expression for a function that picks what to compare. `streams` are random streams to
    offer beside those that the model is found to need; modules below `stubs` are replaced where they are not
    installed. With `draw_constants` arrays of one number (`jnp.ones((1, 28, 28, 1))`, which a program needs for the
    shape alone) become random ones. `modules` are the texts of modules that can't be imported (out of notebooks), by
    their names. The code is the user's own and runs with the user's rights.
    """

    kind: Literal["linen", "nnx"]
    root: str
    model: str
    setup: str = ""
    args: tuple[str, ...] = ()
    eval_kwargs: Mapping[str, str] = field(default_factory=dict)
    train_kwargs: Mapping[str, str] | None = None
    method: str | None = None
    init_args: tuple[str, ...] | None = None
    init_kwargs: Mapping[str, str] | None = None
    init_method: str | None = None
    mutable: tuple[str, ...] | None = None
    output: str | None = None
    mode_flags: bool = False
    sys_path: tuple[str, ...] = (".",)
    streams: tuple[str, ...] = ()
    stubs: tuple[str, ...] = ()
    draw_constants: bool = False
    modules: Mapping[str, str] = field(default_factory=dict)

    @property
    def import_roots(self) -> list[str]:
        """The folders that go to the front of `sys.path`."""
        return [str((Path(self.root) / path).resolve()) for path in self.sys_path]

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ModelSource:
        """From a JSON object; raises TypeError for unknown keys."""
        tuples = {"args", "init_args", "mutable", "sys_path", "streams", "stubs"}
        unknown = set(document) - {f.name for f in fields(cls)}
        if unknown:
            raise TypeError(f"unknown keys of a model source: {', '.join(sorted(unknown))}")
        values: dict[str, Any] = {
            k: tuple(v) if k in tuples and v is not None else v for k, v in document.items()
        }
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


class SourceNamespace:
    """The names in which a source's expressions are evaluated, its setup already run.

    `notes` say which of the project's packages had to be left out for that.
    """

    def __init__(self, source: ModelSource):
        import flax
        import jax
        import jax.numpy as jnp
        import numpy as np
        from flax import linen, nnx

        libraries = {"jax": jax, "jnp": jnp, "np": np, "flax": flax, "nn": linen, "nnx": nnx}
        self.names: dict[str, Any] = {"__name__": "__nnx_migrate_source__", **libraries}
        setup = compile(source.setup, "<setup>", "exec")

        def run() -> None:
            for name, text in source.modules.items():
                _run_as_module(name, text, source.root)
            exec(setup, self.names)

        self.notes = without_broken_packages(run, source.import_roots)

    def evaluate(self, expression: str, **names: Any) -> Any:
        """The value of one expression."""
        return eval(compile(expression.strip(), "<expression>", "eval"), {**self.names, **names})

    def positional(self, expressions: tuple[str, ...]) -> tuple[Any, ...]:
        """The values of several expressions; ``*x`` spreads a sequence."""
        return tuple(self.evaluate(f"({', '.join(expressions)},)")) if expressions else ()

    def keywords(self, expressions: Mapping[str, str]) -> dict[str, Any]:
        """The values of keyword arguments."""
        return {name: self.evaluate(expression) for name, expression in expressions.items()}


def _run_as_module(name: str, text: str, root: str) -> None:
    """Makes a module of a text; in messages it stands in a file of its name in the folder `root`."""
    module = ModuleType(name)
    module.__file__ = str(Path(root) / f"{name}.ipynb")
    sys.modules[name] = module  # dataclasses look up their module by name while classes are created
    exec(compile(text, module.__file__, "exec"), vars(module))
