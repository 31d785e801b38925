"""What becomes of a program: converted by `fix`, then held against the original."""

from __future__ import annotations

import ast
import builtins
import contextlib
import io
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks.linen_fuzz.program import Model, Program
from benchmarks.linen_fuzz.sides import Traced, TracedLinen, TracedNNX, named, trace, translated
from nnx_migrate.config import Config
from nnx_migrate.engine.context import ProjectContext
from nnx_migrate.engine.fixing import Fixer, FixResult
from nnx_migrate.engine.registry import builtin_rules, select
from nnx_migrate.engine.scan import Scanner
from nnx_migrate.engine.targets import Targets
from nnx_migrate.names.project import Project
from nnx_migrate.names.scope_builder import build_scopes
from nnx_migrate.numerics import parameter_map as maps
from nnx_migrate.numerics.inputs import Inputs, Phase, Protocol
from nnx_migrate.numerics.linen_side import LinenSide
from nnx_migrate.numerics.map_expansion import MapError
from nnx_migrate.numerics.modules import IsolatedTree
from nnx_migrate.numerics.nnx_side import NNXSide
from nnx_migrate.numerics.proof import prove
from nnx_migrate.numerics.transplant import correspond
from nnx_migrate.sources.files import load_source

# "unused": there are parameters of modules that setup makes and no call reaches; Linen never makes these.
Kind = Literal["invalid", "refused", "equal", "unused", "WRONG", "BROKEN", "CRASH"]
FAILURES = ("WRONG", "BROKEN", "CRASH")
PHASES: tuple[Phase, ...] = ("eval", "train")
_FILE = "net.py"
Maker = Callable[[Any], Any]


@dataclass
class Verdict:
    """`detail` says what is wrong, or why nothing was converted; `after` is the converted file."""

    kind: Kind
    detail: str = ""
    after: str = ""
    reasons: list[str] = field(default_factory=list)
    run: bool = False  # whether numbers had to be computed

    @property
    def failed(self) -> bool:
        """Whether the conversion breaks its promise."""
        return self.kind in FAILURES

    @property
    def signature(self) -> str:
        """What makes two failures alike: the kind and the first words."""
        return f"{self.kind} {self.detail.split(':')[0][:60]}"


def judge(program: Program, *, numbers: bool = True) -> Verdict:
    """Convert a program and compare. Without `numbers`, computations that look different count as wrong."""
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
        folder = Path(name)
        (folder / _FILE).write_text(program.text, encoding="utf-8")
        try:
            with np.errstate(all="ignore"):
                before = _load(folder)
                sides = [_linen(before, model) for model in program.models]
                traces = [[trace(side, phase, named(side)) for phase in PHASES] for side in sides]
        except Exception as error:
            return Verdict("invalid", _short(error))
        try:
            result = _fix(folder)
        except Exception:
            return Verdict("CRASH", traceback.format_exc(limit=-3))
        failed = [e.message for e in result.remaining.errors.values()]
        if failed:
            return Verdict("CRASH", failed[0])
        if not result.changed:
            return Verdict("refused", reasons=[f"{f.reason}: {f.message}" for f in result.remaining.findings])
        after = result.after[folder / _FILE].text
        return _compare(program, folder, result, after, list(zip(sides, traces, strict=True)), numbers)


def _compare(
    program: Program,
    folder: Path,
    result: FixResult,
    after: str,
    sides: list[tuple[TracedLinen, list[Traced]]],
    numbers: bool,
) -> Verdict:
    (folder / _FILE).write_text(after, encoding="utf-8")
    for path, text in result.created.items():
        path.write_text(text, encoding="utf-8")
    if names := sorted(set(_unbound(after)) - set(_unbound(program.text))):
        return Verdict("BROKEN", f"undefined names: {', '.join(names)}", after)
    records = {k: v for f in result.fixed if f.fix for k, v in f.fix.records.items()}
    parameter_map = maps.from_json({"version": maps.VERSION, "modules": records})
    ran = False
    with IsolatedTree(folder).active():
        try:
            module = _load(folder)
            jax.eval_shape(module.run, jax.random.key(0))
        except Exception as error:
            return Verdict("BROKEN", _short(error), after)
        if any(f"net:{model.construction.partition('(')[0]}" not in records for model in program.models):
            reasons = [f"{f.reason}: {f.message}" for f in result.remaining.findings]
            return Verdict("refused", after=after, reasons=reasons)
        inputs = [_inputs(model, module) for model in program.models]
        makers = _makers(module, after, inputs)
        for model, (side, traces), given, make in zip(program.models, sides, inputs, makers, strict=True):
            try:
                try:
                    problem = _traces_differ(side, traces, make, given, parameter_map)
                except jax.errors.TracerArrayConversionError:
                    # an array of a constructor within another trace
                    problem = "traces: a constant that is traced itself"
                if problem.startswith("traces") and numbers:
                    ran = True
                    problem = _numbers_differ(side, make, given, parameter_map)
            except MapError as error:
                if all(p.startswith("NNX leaf") and p.endswith("is not mapped") for p in error.problems):
                    return Verdict("unused", f"parameters that Linen never makes: {error}", after)
                return Verdict("WRONG", f"parameter map: {error}", after)
            except Exception as error:
                return Verdict("BROKEN", f"{_short(error)}", after)
            if problem:
                return Verdict("WRONG", f"{problem} ({model.construction})", after, run=ran)
    return Verdict("equal", after=after, run=ran)


def _traces_differ(
    before: TracedLinen, traces: list[Traced], make: Maker, inputs: Inputs, parameter_map: Any
) -> str:
    after = TracedNNX(make, inputs)
    first = before.describe()
    after.streams = first.streams
    if any(isinstance(node, nnx.bridge.ToNNX) for _, node in nnx.iter_graph(after.model)):
        return "traces: a part that stays Linen, whose variables a call makes"
    expansion = correspond(first, after.describe(), parameter_map, after.class_of)
    initial, made = translated(before.initials(), expansion, after), after.initials()
    for path, value in made.items():
        if initial[path].digest != value.digest and "key" not in path:
            return f"traces: other initial value of {'/'.join(path)}"
    names = named(before)
    for phase, old in zip(PHASES, traces, strict=True):
        new = trace(after, phase, translated(names, expansion, after))
        if old.output != new.output:
            return f"traces: {phase} outputs"
        state = {path: value.digest for path, value in translated(old.state, expansion, after).items()}
        if state != {path: value.digest for path, value in new.state.items()}:
            return f"traces: {phase} variables"
    return ""


def _numbers_differ(before: TracedLinen, make: Maker, inputs: Inputs, parameter_map: Any) -> str:
    proof = prove(
        LinenSide(before.model, inputs),
        NNXSide(make, inputs),
        parameter_map,
        Protocol(modes=("jit",), steps=0),
    )
    wrong = [
        f"{c.name} {c.reason or c.worst}"
        for c in proof.checks
        if c.status == "different" or (c.status == "error" and "no finite number" not in c.reason)
    ]
    return "; ".join(wrong[:2])


def _fix(folder: Path) -> FixResult:
    paths = [folder / _FILE]
    context = ProjectContext(Project(paths, load_source), Config(root=folder), Targets())
    rules = select(builtin_rules(), ["linen-module"])
    return Fixer(context, Scanner(context, rules, lambda path: path.read_bytes())).run(paths)


def _load(folder: Path) -> ModuleType:
    module = ModuleType("net")
    module.__file__ = str(folder / _FILE)
    import sys

    sys.modules["net"] = module  # dataclasses look for their module
    exec(compile((folder / _FILE).read_text(encoding="utf-8"), _FILE, "exec"), vars(module))
    return module


def _linen(module: ModuleType, model: Model) -> TracedLinen:
    side = TracedLinen(_value(model.construction, module), _inputs(model, module))
    side.describe()
    return side


def _inputs(model: Model, module: ModuleType) -> Inputs:
    return Inputs(
        tuple(_value(text, module) for text in model.args),
        {name: _value(text, module) for name, text in model.eval.items()},
        None if model.train is None else {name: _value(text, module) for name, text in model.train.items()},
    )


def _value(text: str, module: ModuleType, **names: Any) -> Any:
    return eval(text, {**vars(module), "jnp": jnp, "jax": jax, "np": np, **names})


def _makers(module: ModuleType, after: str, inputs: Sequence[Inputs]) -> list[Maker]:
    """What the converted program makes of its models: a function from random streams to each."""
    run = next(n for n in ast.parse(after).body if isinstance(n, ast.FunctionDef) and n.name == "run")
    assigned = {ast.unparse(n.targets[0]): n.value for n in run.body if isinstance(n, ast.Assign)}
    makers: list[Maker] = []
    for number, given in enumerate(inputs):
        functional = _value(ast.unparse(assigned[f"model{number}"]), module)
        functional._measure(given.args, given.eval_kwargs)
        makers.append(functional._new)
    return makers


def _unbound(text: str) -> Iterator[str]:
    """Names that are read and that nothing binds."""
    scopes = build_scopes(ast.parse(text))
    known = {*dir(builtins), "__file__", "__name__", "__class__"}
    for name, references in scopes.names.items():
        if name not in known and any(r.scope.binder(name) is None for r in references):
            yield name


def _short(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == _FILE]
    place = f" (line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {lines[0][:200] if lines else ''}{place}"
