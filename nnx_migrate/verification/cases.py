"""What is compared: a model before and after, each as text that another process can build and call.

Models come from the configuration and from the project's own code, in this order; a class is taken once. A model
with a `dtype` field that nobody sets is compared in bfloat16 too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nnx_migrate.linen.model import LinenProgram
from nnx_migrate.linen.programs.models import find_models
from nnx_migrate.names.layout import importable_name
from nnx_migrate.names.project import Project
from nnx_migrate.nnx.parameter_entries import class_key
from nnx_migrate.numerics.compare import EXACT, Tolerance
from nnx_migrate.numerics.source import ModelSource
from nnx_migrate.sources.discovery import discover
from nnx_migrate.sources.files import load_source
from nnx_migrate.verification.listed import ListedModel

#: What `fix` recorded about a class: its `sizes` and whether it takes `rngs`.
Facts = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Case:
    """One comparison. `missing` says why there is nothing to compare; `variant` is "" or "bfloat16"."""

    model: str
    before: ModelSource | None = None
    after: ModelSource | None = None
    tolerance: Tolerance = EXACT
    variant: str = ""
    missing: str = ""

    @property
    def title(self) -> str:
        """How it is called in reports."""
        return f"{self.model} ({self.variant})" if self.variant else self.model


@dataclass(frozen=True)
class _Called:
    """A listed or found model; `inputs` by parameter name where that is known, else by number."""

    model: str
    setup: str
    constructor: str
    nnx_constructor: str | None
    inputs: Mapping[str, str]
    positional: int
    flags: Mapping[str, bool]
    method: str | None = None
    streams: tuple[str, ...] = ()
    tolerance: Tolerance = EXACT
    module: str = ""
    name: str = ""


class Cases:
    """All comparisons of a project. `old` and `new` are its folders before and after."""

    def __init__(
        self, old: Path, new: Path, facts: Facts, listed: Sequence[ListedModel], stubs: Sequence[str] = ()
    ) -> None:
        self.old, self.new, self.facts, self.stubs = old, new, facts, tuple(stubs)
        self.listed = listed

    def __iter__(self) -> Iterator[Case]:
        project = Project(discover([self.old]), load_source)
        with_dtype = {
            class_key(cls) for cls in LinenProgram(project) if any(f.name == "dtype" for f in cls.fields)
        }
        for called in self._called(project):
            case = self._case(called)
            yield case
            sets_dtype = "dtype" in called.constructor or called.nnx_constructor is not None
            if called.model in with_dtype and not sets_dtype and not case.missing:
                half = f"{called.constructor}, dtype=jnp.bfloat16".removeprefix(", ")
                yield replace(self._case(replace(called, constructor=half)), variant="bfloat16")

    def _called(self, project: Project) -> Iterator[_Called]:
        seen = set()
        for row in self.listed:
            seen.add(row.model)
            inputs = {str(i): text for i, text in enumerate(row.inputs)} | dict(row.keywords)
            yield _Called(
                row.model, row.setup, row.args, row.nnx_args, inputs, len(row.inputs),
                row.flags, row.method, row.streams, row.tolerance, module=row.module, name=row.name,
            )  # fmt: skip
        for found in find_models(project):
            if found.key not in seen:
                seen.add(found.key)
                yield _Called(
                    found.key, "", found.constructor, None, found.arguments, found.positional, found.flags,
                    module=found.module, name=found.name,
                )  # fmt: skip

    def _case(self, called: _Called) -> Case:
        facts = self.facts.get(called.model)
        converted = facts is not None
        arguments = called.constructor
        if called.nnx_constructor is not None:
            arguments = called.nnx_constructor
        elif facts is not None:
            sizes = _sizes(facts, called)
            if isinstance(sizes, str):
                return Case(called.model, missing=sizes)
            extra = [*sizes, "rngs=rngs"] if facts.get("rngs", True) else sizes
            arguments = ", ".join([*([called.constructor] if called.constructor else []), *extra])
        top, _, _ = called.name.partition(".")
        module, folder = import_root(self.old, called.module)
        setup = f"{called.setup}\nfrom {module} import {top}".strip()
        names = list(called.inputs)
        keywords = {name: called.inputs[name] for name in names[called.positional :]}
        common: dict[str, Any] = {
            "setup": setup,
            "args": tuple(called.inputs[name] for name in names[: called.positional]),
            "eval_kwargs": keywords | {n: str(not training) for n, training in called.flags.items()},
            "train_kwargs": keywords | {n: str(training) for n, training in called.flags.items()}
            if called.flags
            else None,
            "method": called.method,
            "streams": called.streams,
            "stubs": self.stubs,
            "sys_path": (".", folder),
        }
        return Case(
            called.model,
            ModelSource("linen", str(self.old), f"{called.name}({called.constructor})", **common),
            ModelSource(
                "nnx" if converted else "linen", str(self.new), f"{called.name}({arguments})", **common
            ),
            called.tolerance,
        )


def _sizes(facts: Mapping[str, Any], called: _Called) -> list[str] | str:
    """The sizes that the converted constructor newly takes, read off the inputs; else what is missing."""
    texts = list(called.inputs.values())
    arguments = []
    for size in facts.get("sizes", ()):
        head, *rest = size["path"]
        text = called.inputs.get(str(head))
        if text is None and isinstance(size.get("index"), int) and size["index"] < called.positional:
            text = texts[size["index"]]
        if text is None and len(texts) == 1:
            text = texts[0]
        if text is None:
            return f"no input tells the size {size['name']!r}: list the model in [[tool.nnx-migrate.verify]]"
        part = "".join(f"[{key!r}]" for key in rest)
        arguments.append(f"{size['name']}=({text}){part}.shape[{size['axis']}]")
    return arguments


def import_root(root: Path, module: str) -> tuple[str, str]:
    """The name by which Python imports a module, and the folder, relative to `root`, to do so from.

    Scripts of one name in several folders have these in front of their names (`flow-model.train`), which no
    import statement need be able to say.
    """
    tail = Path(*module.split("."))
    for candidate in (tail.with_suffix(".py"), tail / "__init__.py"):
        found = sorted(root.rglob(str(candidate)), key=lambda p: len(p.parts))
        if found:
            name = module if all(map(str.isidentifier, module.split("."))) else importable_name(found[0])
            depth = len(name.split(".")) - (candidate.name != "__init__.py")
            folder = found[0].parents[depth]
            return name, folder.relative_to(root).as_posix()
    return module, "."
