"""What is compared: a model before and after, each as text that another process can build and call.

Models come from the configuration and from the project's own code, in this order; a class is taken once. A model
with a `dtype` field that nobody sets is compared in bfloat16 too. Converted classes that none of these models has in
it can be compared with values that are made up (`assumed`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.programs.constructions.chosen_axes import chosen_axes
from nnx_migrate.linen.programs.constructions.models import find_models
from nnx_migrate.names.layout import files_of_name, importable_name
from nnx_migrate.names.project import Project
from nnx_migrate.numerics.compare import EXACT, Tolerance
from nnx_migrate.numerics.source import ModelSource
from nnx_migrate.sources.text import SourceError
from nnx_migrate.verification.listed import ListedModel
from nnx_migrate.verification.notebooks import excerpt
from nnx_migrate.verification.old_code import Facts, OldCode


@dataclass(frozen=True)
class Case:
    """One comparison. `missing` says why there is nothing to compare; `variant` is "" or "bfloat16".

    `snippet` lists the model as the configuration would, where its values are made up or have to be; `skip` says why
    it is not to be compared. `called` is how the model was found; `smaller` says which sizes stand for larger ones.
    """

    model: str
    before: ModelSource | None = None
    after: ModelSource | None = None
    tolerance: Tolerance = EXACT
    variant: str = ""
    missing: str = ""
    snippet: str = ""
    skip: str = ""
    called: Called | None = None
    smaller: str = ""

    @property
    def values(self) -> str:
        """What `snippet` says beside the model's name, in one line."""
        return ", ".join(self.snippet.splitlines()[2:]) or "none are needed"

    @property
    def title(self) -> str:
        """How it is called in reports."""
        return f"{self.model} ({self.variant})" if self.variant else self.model


@dataclass(frozen=True)
class Called:
    """How a model is built and called; `inputs` by parameter name where that is known, else by number."""

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
    draw_constants: bool = False


class Cases:
    """All comparisons of a project. `old` and `new` are its folders before and after.

    Iterating gives the listed models and those that the code itself builds; `unchanged` are then the ones left out
    because nothing that they import was changed.
    """

    def __init__(
        self,
        old: Path,
        new: Path,
        facts: Facts,
        listed: Sequence[ListedModel],
        stubs: Sequence[str] = (),
    ) -> None:
        self.old, self.new, self.facts, self.stubs = old, new, facts, tuple(stubs)
        self.listed = listed
        self.code = OldCode(old)
        self.unchanged: list[str] = []

    def __iter__(self) -> Iterator[Case]:
        skipped = {row.model: row.skip for row in self.listed if row.skip}
        yield from (Case(model, skip=reason) for model, reason in skipped.items())
        for called in self._models(skipped):
            case = self.case(called)
            yield case
            cls = self.code.classes.get(called.model)
            has_dtype = cls is not None and cls.field("dtype") is not None
            sets_dtype = "dtype" in called.constructor or called.nnx_constructor is not None
            sets_dtype = sets_dtype or (cls is not None and _is_by_position("dtype", called.constructor, cls))
            if has_dtype and not sets_dtype and not case.missing:
                half = f"{called.constructor}, dtype=jnp.bfloat16".removeprefix(", ")
                yield replace(self.case(replace(called, constructor=half)), variant="bfloat16")

    def _models(self, skipped: Collection[str]) -> Iterator[Called]:
        listed = {row.model for row in self.listed}
        for called in self.called(skipped):
            key = called.model
            if key not in listed and key not in self.facts and not self.code.changed(key, self.new):
                self.unchanged.append(key)
            else:
                yield called

    def called(self, skipped: Collection[str] = ()) -> Iterator[Called]:
        """The listed models, and those that the code builds and calls in sight (which `draw_constants`)."""
        seen = set(skipped)
        for row in self.listed:
            if row.model in skipped:
                continue
            seen.add(row.model)
            inputs = {str(i): text for i, text in enumerate(row.inputs)} | dict(row.keywords)
            yield Called(
                row.model, row.setup, row.args, row.nnx_args, inputs, len(row.inputs),
                row.flags, row.method, row.streams, row.tolerance, module=row.module, name=row.name,
            )  # fmt: skip
        for found in find_models(self.code.finder, self.code.project):
            if found.key in seen:
                continue
            seen.add(found.key)
            yield Called(
                found.key, "", found.constructor, None, found.arguments, found.positional, found.flags,
                module=found.module, name=found.name, draw_constants=True,
            )  # fmt: skip

    def case(self, called: Called) -> Case:
        """The comparison of a model that is built and called like that."""
        facts = self.facts.get(called.model)
        converted = facts is not None
        arguments = called.constructor
        if called.nnx_constructor is not None:
            arguments = called.nnx_constructor
        elif facts is not None:
            sizes = self._sizes(facts, called)
            if isinstance(sizes, str):
                return Case(called.model, missing=sizes)
            extra = [*sizes, "rngs=rngs"] if facts.get("rngs", True) else sizes
            arguments = ", ".join([*([called.constructor] if called.constructor else []), *extra])
        try:
            before = self.source(called)
            modules = self._modules(called, self.new)
        except (OSError, SourceError) as error:
            return Case(called.model, missing=f"its notebook can't be read: {error}")
        after = replace(
            before,
            kind="nnx" if converted else "linen",
            root=str(self.new),
            model=f"{called.name}({arguments})",
            modules=modules,
        )
        return Case(called.model, before, after, called.tolerance, called=called)

    def _sizes(self, facts: Mapping[str, Any], called: Called) -> list[str] | str:
        """The sizes that the converted constructor newly takes, read off the inputs; else what is missing."""
        texts = list(called.inputs.values())
        arguments = []
        for size in facts.get("sizes", ()):
            text = called.inputs.get(str(size["path"][0]))
            if text is None and 0 <= size.get("index", -1) < called.positional:
                text = texts[size["index"]]
            if text in (None, "None") and size.get("optional"):
                continue
            if text is None and len(texts) == 1:
                text = texts[0]
            if text is None:
                return (
                    f"no input tells the size {size['name']!r}: list the model in [[tool.nnx-migrate.verify]]"
                )
            axes = self._axes(size, called) if "listed" in size else ()
            if axes is None:
                return f"nothing tells the axes for {size['name']!r}: list the model in [[tool.nnx-migrate.verify]]"
            arguments.append(size_argument(size, text, axes))
        return arguments

    def _axes(self, size: Mapping[str, Any], called: Called) -> tuple[int, ...] | None:
        """The axes that a construction chooses, where the class takes the sizes at all of them."""
        call = ast.parse(f"f({called.constructor})", mode="eval").body
        cls = self.code.classes.get(called.model)
        if cls is None or not isinstance(call, ast.Call):
            return None
        return chosen_axes(
            self.code.finder.program, cls, call, size["method"], str(size["path"][0]), size["listed"]
        )

    def source(self, called: Called) -> ModelSource:
        """The model before. Raises OSError or SourceError for a notebook that can't be read."""
        module, folder = import_root(self.old, called.module, self.code.project)
        modules = self._modules(called, self.old)
        top = called.name.partition(".")[0]
        imported = f"from {module} import {top}"
        if modules or not all(map(str.isidentifier, module.split("."))):  # a name that no statement can say
            name = called.module if modules else module
            imported = f"import importlib\n{top} = importlib.import_module({name!r}).{top}"
        names = list(called.inputs)
        keywords = {name: called.inputs[name] for name in names[called.positional :]}
        training = {name: str(value) for name, value in called.flags.items()}
        evaluating = {name: str(not value) for name, value in called.flags.items()}
        return ModelSource(
            "linen",
            str(self.old),
            f"{called.name}({called.constructor})",
            setup=f"{called.setup}\n{imported}".strip(),
            args=tuple(called.inputs[name] for name in names[: called.positional]),
            eval_kwargs=keywords | evaluating,
            train_kwargs=keywords | training if training else None,
            method=called.method,
            streams=called.streams,
            stubs=self.stubs,
            sys_path=(".", folder, *(f for f in source_folders(self.old, self.code.project) if f != folder)),
            draw_constants=called.draw_constants,
            modules=modules,
        )

    def _modules(self, called: Called, root: Path) -> dict[str, str]:
        """What stands in for the module of a class in a notebook, of the code below `root`."""
        path = self.code.notebook(called.model)
        if path is None:
            return {}
        own = re.compile(rf"\b{re.escape(called.module)}\.(\w+)")
        names = [called.name.partition(".")[0], *own.findall(called.constructor)]
        return {called.module: excerpt(root / path, names)}


def size_argument(size: Mapping[str, Any], text: str, axes: Sequence[int] = ()) -> str:
    """The argument that gives a size, or those at `axes`: read off the input that it is a part of, an expression."""
    part = "".join(key if str(key).startswith(".") else f"[{key!r}]" for key in size["path"][1:])
    shape, axis = f"({text}){part}.shape", size["axis"]
    if size.get("dtype"):
        return f"{size['name']}=({text}){part}.dtype"
    if size.get("joined"):
        return f"{size['name']}=sum(leaf.shape[-1] for leaf in jax.tree.leaves(({text}){part}))"
    if "listed" in size:
        return f"{size['name']}=tuple({shape}[axis] for axis in {axes})"
    return f"{size['name']}=" + (
        f"int(np.prod({shape}[{axis}:]))" if size.get("flat") else f"{shape}[{axis}]"
    )


def import_root(root: Path, module: str, project: Project | None = None) -> tuple[str, str]:
    """The name by which Python imports a module, and the folder, relative to `root`, to do so from.

    Scripts of one name in several folders have these in front of their names (`flow-model.train`), which no
    import statement need be able to say. `project` is the code below `root`: it may import folders that aren't marked
    as packages.
    """
    for candidate in files_of_name(module):
        found = sorted(root.rglob(str(candidate)), key=lambda p: len(p.parts))
        if found:
            name = module if all(map(str.isidentifier, module.split("."))) else importable_name(found[0])
            prefix = project.import_prefixes.of(found[0].parent) if project is not None else None
            if prefix is not None and candidate.name != "__init__.py" and "." not in name:
                name = ".".join((*prefix, name))
            depth = len(name.split(".")) - (candidate.name != "__init__.py")
            folder = found[0].parents[depth]
            return name, folder.relative_to(root).as_posix()
    return module, "."


def source_folders(root: Path, project: Project) -> list[str]:
    """The `src` folders of all packages below `root`, relative to it: one of them may import another's."""
    above = {folder for path in project.loaded for folder in path.parents if folder.name == "src"}
    found = [f for f in above if f.is_relative_to(root) and not (f / "__init__.py").exists()]
    return sorted(folder.relative_to(root).as_posix() for folder in found)


def _is_by_position(name: str, arguments: str, cls: LinenClass) -> bool:
    """Whether the arguments of a construction, as text, give a field a value by its place."""
    call = ast.parse(f"f({arguments})", mode="eval").body
    given = call.args if isinstance(call, ast.Call) else []
    names = [item.name for item in cls.fields]
    return name in names[: len(given)] or any(isinstance(value, ast.Starred) for value in given)
