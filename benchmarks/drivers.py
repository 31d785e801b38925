"""Models of a converted tree compared on JAX with those of the tree before.

A row of a drivers file is one model, in one of two forms:

- `"kind": "manual"`: `folder` (name of the tree), `sys_path`, `imports`, `build` (an expression), `cls`
  ("pkg.module.Class"), `args`, `init_kwargs`, `apply_kwargs` (expressions);
- `"kind": "auto"`: `module` and `cls` (names), `ctor` (fields and their values as expressions), `args`
  (of each input its name, its kind with its shape, and whether it goes by name), `init_kwargs` (values).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnx_migrate.numerics import parameter_map
from nnx_migrate.numerics.inputs import Protocol
from nnx_migrate.numerics.process_proof import COMPILED, prove_in_processes
from nnx_migrate.numerics.processes import ChildError
from nnx_migrate.numerics.results import Proof
from nnx_migrate.numerics.source import ModelSource
from nnx_migrate.verification.cases import size_argument

_ARRAYS = {
    "f": 'np.random.RandomState(0).randn{shape}.astype("float32")',
    "i": 'np.random.RandomState(0).randint(0, 32, {shape}).astype("int32")',
    "ones": "np.ones({shape})",
}


@dataclass(frozen=True)
class Driver:
    """One model: how it is built and called, as expressions."""

    folder: str
    name: str
    module: str
    cls: str
    imports: str
    build: str
    args: tuple[str, ...]
    init_kwargs: dict[str, str]
    apply_kwargs: dict[str, str]
    sys_path: tuple[str, ...] = (".",)
    stubs: tuple[str, ...] = ()


def read_driver(row: dict[str, Any]) -> Driver:
    """A row of a drivers file."""
    stubs = tuple(row.get("stubbed_imports", ()))
    if row["kind"] == "auto":
        fields = ", ".join(f"{name}={value}" for name, value in row["ctor"].items())
        flags = {name: repr(value) for name, value in row["init_kwargs"].items()}
        flags |= {name: _input(*spec) for name, spec, is_flag in row["args"] if is_flag}
        return Driver(
            row["folder"],
            row["name"],
            row["module"],
            row["cls"],
            f"import {row['module']} as m",
            f"m.{row['cls']}({fields})",
            tuple(_input(*spec) for _, spec, is_flag in row["args"] if not is_flag),
            flags,
            flags,
            stubs=stubs,
        )
    init, apply = (_keywords(row[key]) for key in ("init_kwargs", "apply_kwargs"))
    module, _, cls = row["cls"].rpartition(".")
    return Driver(
        row["folder"],
        row["name"],
        module,
        cls,
        row["imports"],
        row["build"].strip(),
        tuple(row["args"]),
        init,
        apply or init,
        tuple(row["sys_path"]),
        stubs,
    )


def _input(kind: str, shape: Any) -> str:
    if kind == "bool":
        return repr(shape)
    if kind == "key":
        return "jax.random.PRNGKey(1)"
    sizes = tuple(shape)
    return f"jnp.asarray({_ARRAYS[kind].format(shape=sizes)})"


def _keywords(text: str | None) -> dict[str, str]:
    return {str(k.arg): ast.unparse(k.value) for k in _dict_keywords(text)}


def _dict_keywords(text: str | None) -> Iterator[ast.keyword]:
    tree = ast.parse(text or "{}", mode="eval").body
    if isinstance(tree, ast.Dict):
        for key, value in zip(tree.keys, tree.values, strict=True):
            assert isinstance(key, ast.Constant)
            yield ast.keyword(arg=key.value, value=value)
    elif isinstance(tree, ast.Call):
        yield from tree.keywords


def compare(driver: Driver, before: Path, after: Path, records: dict[str, Any]) -> str:
    """ "equal", "close", "different" (with what differs), or why the model can't be compared.

    "close" is what `nnx-migrate verify` accepts, too: equal without jit, and XLA rounds otherwise with it.
    """
    entries = parameter_map.from_json({"version": parameter_map.VERSION, "modules": records})
    key = _key(entries, driver)
    if key is None:
        return "not converted"
    facts = records[key]
    call = ast.parse(driver.build, mode="eval").body
    if not isinstance(call, ast.Call):
        return "built in another way"
    # The size of an input that is left out need not be given, or else the constructor says so.
    sizes = [text for size in facts.get("sizes", ()) if (text := _size(size, driver)) is not None]
    extra = ", ".join([*sizes, *(["rngs=rngs"] if facts.get("rngs", True) else [])])
    opening = driver.build[:-1].rstrip().rstrip(",")
    separator = "" if opening.endswith("(") or not extra else ", "
    shared: dict[str, Any] = {
        "setup": driver.imports,
        "args": driver.args,
        "eval_kwargs": driver.apply_kwargs,
        "init_kwargs": driver.init_kwargs,
        "sys_path": driver.sys_path,
        "stubs": driver.stubs,
    }
    old = ModelSource("linen", str(before), driver.build, **shared)
    new = ModelSource("nnx", str(after), f"{opening}{separator}{extra})", **shared)
    try:
        proof = prove_in_processes(old, new, entries, Protocol(modes=("jit",), steps=1))
        if proof.verdict == "different":
            # Once more, with more time: without jit both have to be equal, then XLA may round otherwise with it.
            proof = prove_in_processes(old, new, entries, Protocol(steps=1), COMPILED)
    except ChildError as error:
        return f"error: {str(error).strip().splitlines()[-1][:160]}"
    return _told(proof)


def _key(entries: parameter_map.ParameterMap, driver: Driver) -> str | None:
    """The record of the class: the folder that the driver puts on the path tells modules of one name apart."""
    folders = [folder.strip("./").replace("/", ".") for folder in driver.sys_path]
    modules = [*(f"{folder}.{driver.module}" for folder in folders if folder), driver.module]
    keys = (entries.key(f"{module}:{driver.cls}") for module in modules)
    return next((key for key in keys if key is not None), None)


def _told(proof: Proof) -> str:
    """The verdict, and the first differences with their sizes."""
    bad = [
        f"{c.name} {c.worst or c.reason}"[:160] for c in proof.checks if c.status in ("different", "error")
    ]
    return f"{proof.verdict}: {'; '.join(bad[:3])}" if bad else proof.verdict


def _size(size: dict[str, Any], driver: Driver) -> str | None:
    """The argument for a size, as an expression over the driver's inputs; None for an input that is left out."""
    index = size.get("index", 0)
    given = driver.args[index] if index < len(driver.args) else driver.init_kwargs.get(size["path"][0])
    return size_argument(size, given) if given is not None else None
