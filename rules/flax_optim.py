"""Rule `flax-optim`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from nnx_migrate.rules._flax_optim_flow import DEFINITION, OptimSemantics
from nnx_migrate.rules._flax_optim_table import OPTIMIZERS, REFUSED, transformation
from nnx_migrate.rules._sites import Patches, RefusalError, Site, sites

from nnx_migrate.engine.arguments import CannotBind
from nnx_migrate.engine.callees import Callees
from nnx_migrate.engine.context import CannotName, FileContext, FixBuilder, ProjectContext
from nnx_migrate.engine.findings import Finding, Fix, Safety
from nnx_migrate.engine.follow import Follower
from nnx_migrate.engine.follow_kinds import Value
from nnx_migrate.engine.positions import type_position
from nnx_migrate.engine.rule import ProjectRule
from nnx_migrate.names.modules import Module

TRAIN_STATE = "flax.training.train_state.TrainState"
_ANNOTATIONS = {"Optimizer": TRAIN_STATE, "OptimizerDef": "optax.GradientTransformation"}
_PRE_LINEN = {"flax.nn", "flax.deprecated.nn"}
_LINE = 100
_MOVED = {"DynamicScale", "DynamicScaleResult", "dynamic_scale", "ModelParamTraversal"}


class FlaxOptim(ProjectRule):
    """Optimizers of `flax.optim`, which Flax no longer has.

    What it finds
    -------------
    Uses of `flax.optim`: `flax.optim.Adam(...).create(params)`, `optimizer.target`,
    `optimizer.apply_gradient(grads)`, annotations.

    Why
    ---
    `flax.optim` was removed in Flax 0.6.0; Optax has taken its place.

    Example
    -------
        optimizer = flax.optim.Momentum(learning_rate=0.1).create(params)
        ...
        grads = jax.grad(loss_fn)(optimizer.target)
        optimizer = optimizer.apply_gradient(grads)

    becomes

        optimizer = train_state.TrainState.create(
            apply_fn=None, params=params, tx=optax.sgd(learning_rate=0.1, momentum=0.9))
        ...
        grads = jax.grad(loss_fn)(optimizer.params)
        optimizer = optimizer.apply_gradients(grads=grads)

    A `TrainState` is, as the optimizer was, one pytree that holds parameters, optimizer state and step, so
    that train steps under jit and pmap keep their form. A learning rate given with each step becomes a
    hyperparameter of the optimizer state (`optax.inject_hyperparams`).

    Fix safety
    ----------
    Safe where optimizers can be followed from their construction to every use in the project. The
    parameters after each step are those of `flax.optim` up to rounding: defaults that differ in Optax are
    written out (Momentum's 0.9, RMSProp's place of epsilon). Before the first step, `step` is a Python
    int. Unsafe where optimizers are saved and restored: checkpoints of the old optimizer don't fit the
    new state (see `nnx-migrate checkpoint`); and for Adagrad, whose epsilon Optax can't express. Left
    alone, with a reason: LAMB (treats all-zero parameters differently), LARS with weight decay,
    MultiOptimizer, WeightNorm, optimizers of pre-Linen models, those whose use of `param_states`,
    `hyper_params` or `compute_gradient` needs a person, and those that go where they can't be followed.

    Since
    -----
    Flax 0.6.0 (deprecated in 0.4.1).

    References
    ----------
    Flax, docs: "Upgrading my codebase to Optax"; flax/optim of Flax 0.5.3; flax/training/train_state.py.
    """

    id = "flax-optim"
    group = "optax"
    since = "flax>=0.6"
    texts = ("flax", "optim")

    def check_project(self, project: ProjectContext) -> Iterator[Finding]:
        """One finding for each mention of `flax.optim`, with a fix for the group that it belongs to."""
        found = [s for s in sites(project.project, "flax.optim") if _last(s) not in _MOVED]
        seeds = [s for s in found if _last(s) in OPTIMIZERS and _call(s) is not None]
        groups = _Groups(project, found, seeds)
        for site in found:
            file = project.file(site.module)
            message = f"`flax.optim.{_last(site)}` is gone since Flax 0.6"
            outcome = groups.outcome(site)
            if isinstance(outcome, Fix):
                yield self.finding(file, site.node, message, outcome, help=outcome.title)
            else:
                yield self.finding(file, site.node, message, reason=outcome.reason, help=str(outcome))


class _Groups:
    """Rewrites all optimizers of the project together, or file by file, or one by one: whatever works."""

    def __init__(self, project: ProjectContext, found: list[Site], seeds: list[Site]) -> None:
        self.project, self.found = project, found
        self._outcomes: dict[ast.expr, Fix | RefusalError] = {}
        self.annotated: dict[int, set[ast.expr]] = {}
        self.callees = Callees(project.project)
        if not seeds:
            return
        files = list(dict.fromkeys(s.module for s in seeds))
        attempts = [seeds, *([s for s in seeds if s.module is m] for m in files), *([s] for s in seeds)]
        for attempt in attempts:
            left = [s for s in attempt if not isinstance(self._outcomes.get(s.node), Fix)]
            if left != attempt:
                continue
            outcome = self._try(attempt)
            for site in attempt:
                if isinstance(outcome, Fix) or len(attempt) == 1 or site.node not in self._outcomes:
                    self._outcomes[site.node] = outcome

    def outcome(self, site: Site) -> Fix | RefusalError:
        """The fix that takes care of a mention, or why there is none."""
        if site.node in self._outcomes:
            return self._outcomes[site.node]
        name = _last(site)
        if name in REFUSED:
            return RefusalError("no-equivalent", REFUSED[name])
        if name in _ANNOTATIONS:
            fixes = {id(o): o for o in self._outcomes.values() if isinstance(o, Fix)}
            for fix in fixes.values():
                if site.module.path in fix.changes and site.node in self.annotated.get(id(fix), ()):
                    return fix
            return RefusalError("not-followed", "rewrite it together with the code that makes the optimizer")
        return RefusalError(
            "no-equivalent", "write it with Optax: see the update guide in Flax's documentation"
        )

    def _try(self, seeds: list[Site]) -> Fix | RefusalError:
        try:
            return self._rewrite(seeds)
        except RefusalError as refused:
            return refused
        except CannotBind as error:
            return RefusalError(error.reason, str(error))
        except CannotName as error:
            return RefusalError("name-taken", str(error))

    def _rewrite(self, seeds: list[Site]) -> Fix:
        semantics = OptimSemantics()
        follower = Follower(self.project.project, semantics, self.callees)
        calls = [(s, _call(s)) for s in seeds]
        follower.run([Value(s.module, call, DEFINITION) for s, call in calls if call is not None])
        if follower.escapes:
            escape = follower.escapes[0]
            line = getattr(escape.node, "lineno", 0)
            raise RefusalError("not-followed", f"{escape.module.path.name}:{line}: {escape.why}")
        return _Rewrite(self, seeds, semantics, follower).fix()


@dataclass
class _Rewrite:
    groups: _Groups
    seeds: list[Site]
    semantics: OptimSemantics
    follower: Follower
    unsafe: list[str] = field(default_factory=list)

    def fix(self) -> Fix:
        """The fix for all seeds. Raises RefusalError, CannotBind, CannotName."""
        project = self.groups.project
        modules = list(dict.fromkeys(v.module for v in self.follower.values.values()))
        self._check_models(modules)
        builder = project.file(self.seeds[0].module).fix()
        patches = Patches(project)
        rates = [any(k.arg == "learning_rate" for k in call.keywords) for call in self.semantics.applied]
        if any(rates) and not all(rates):
            raise RefusalError(
                "mixed-learning-rates", "only some steps are given a learning rate of their own"
            )
        texts = {}
        for site in self.seeds:
            call = _call(site)
            assert call is not None
            spell = partial(self._spell, builder.other_file(site.module), call)
            texts[call] = transformation(call, _last(site), site.module.source, spell, injected=any(rates))
            if OPTIMIZERS[_last(site)].inexact:
                self.unsafe.append(OPTIMIZERS[_last(site)].inexact)
            patches.replace(site.module, call, texts[call])
        self._uses(patches, builder)
        annotated = self._annotations(patches, builder, modules)
        patches.into(builder)
        if self.semantics.saved:
            self.unsafe.append("checkpoints of the old optimizer don't fit the new state")
        title = "use Optax and a TrainState"
        safety = Safety.UNSAFE if self.unsafe else Safety.SAFE
        fix = builder.build(f"{title}; {self.unsafe[0]}" if self.unsafe else title, safety)
        self.groups.annotated[id(fix)] = annotated
        return fix

    @staticmethod
    def _spell(builder: FixBuilder, at: ast.AST, qualified: str) -> str:
        return builder.name(qualified, at=at)

    def _check_models(self, modules: list[Module]) -> None:
        """A TrainState can't hold a pre-Linen model: look for some beside and below the files that change."""
        folders = {m.path.parent for m in modules}
        for module in self.groups.callees.mentioning("flax"):
            if not folders.isdisjoint([module.path.parent, *module.path.parents]):
                imports = (
                    b.target for s in module.scopes.all_scopes() for bs in s.bindings.values() for b in bs
                )
                if any(t in _PRE_LINEN or t.startswith("flax.nn.") for t in imports):
                    raise RefusalError(
                        "pre-linen-model", "models of flax.nn, which is gone as well: rewrite them first"
                    )

    def _uses(self, patches: Patches, builder: FixBuilder) -> None:
        semantics = self.semantics
        for node, module in semantics.targets.items():
            patches.replace(module, _attribute_span(module, node), "params")
        for node, module in semantics.steps.items():
            assert isinstance(node.value, ast.Attribute)
            start = _attribute_span(module, node.value)[0]
            patches.replace(module, (start, module.source.span(node)[1]), "step")
        for call, module in semantics.replaced.items():
            start = module.source.span(call.keywords[0])[0]
            patches.replace(module, (start, start + len("target")), "params")
        for call, value in sorted(semantics.applied.items(), key=lambda item: -item[0].lineno):
            self._apply(patches, builder, call, value.module)
        for call, value in semantics.created.items():
            self._create(patches, builder, call, value)

    def _create(self, patches: Patches, builder: FixBuilder, call: ast.Call, value: Value) -> None:
        module = value.module
        source = module.source
        target = call.args[0] if call.args else call.keywords[0].value
        if _is_array(target, self.groups.project.file(module)):
            raise RefusalError(
                "bare-array", "a TrainState needs a dictionary of parameters, this is an array"
            )
        tx = patches.take(module, value.node)
        state = builder.other_file(module).name(TRAIN_STATE, at=call)
        start, end = source.span(target)
        gaps = source.text[source.span(value.node)[1] : start] + source.text[end : source.span(call)[1]]
        if "#" in gaps:
            self.unsafe.append("a comment is lost")
        step = self._exact_step(builder.other_file(module), call)
        opening, between, closing = f"{state}.create(apply_fn=None, params=", ", ", ")"
        lead, margin = _indentation(module, call)
        inside = margin + _unit(module)
        width = len(f"apply_fn=None, params={source.text[start:end]}, tx={tx}")
        if len(lead) + len(f"{state}.create()") + width > _LINE:
            if len(inside) + width <= _LINE and "\n" not in source.text[start:end]:
                opening, closing = f"{state}.create(\n{inside}apply_fn=None, params=", f"\n{margin})"
            else:
                opening, between = f"{state}.create(\n{inside}apply_fn=None,\n{inside}params=", f",\n{inside}"
                closing = f",\n{margin})"
        patches.replace(module, (source.span(call)[0], start), opening)
        patches.replace(module, (end, source.span(call)[1]), f"{between}tx={tx}{closing}{step}")

    def _exact_step(self, builder: FixBuilder, at: ast.AST) -> str:
        """Make the first step an array where the code relies on its being one."""
        for node, module in self.semantics.steps.items():
            parent = module.parents[node]
            if isinstance(parent, ast.Attribute) or (
                isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Pow)
            ):
                zeros, int32 = builder.name("jax.numpy.zeros", at=at), builder.name("jax.numpy.int32", at=at)
                return f".replace(step={zeros}((), {int32}))"
        return ""

    def _apply(self, patches: Patches, builder: FixBuilder, call: ast.Call, module: Module) -> None:
        source = module.source
        func = call.func
        assert isinstance(func, ast.Attribute)
        rate = next((k for k in call.keywords if k.arg == "learning_rate"), None)
        name_start, name_end = _attribute_span(module, func)
        if rate is not None:
            optimizer = patches.take(module, func.value)
            if not all(c.isalnum() or c in "._" for c in optimizer):
                raise RefusalError(
                    "not-followed", "the optimizer whose learning rate is given has no name here"
                )
            value = patches.take(module, rate.value)
            grads = call.args[0] if call.args else next(k.value for k in call.keywords if k.arg == "grads")
            text = patches.take(module, grads)
            set_ = builder.other_file(module).name("optax.tree.set", at=call)
            if "#" in source.segment(call):
                self.unsafe.append("a comment is lost")
            state = f"{set_}({optimizer}.opt_state, learning_rate={value})"
            statement = module.parents[call]
            free = module.scope_at(call).binder("opt_state") is None
            if free and isinstance(statement, ast.Assign | ast.Return) and _begins_line(module, statement):
                start = source.span(statement)[0]
                margin = source.text[source.line_start(statement.lineno) : start]
                patches.replace(module, (start, start), f"opt_state = {state}\n{margin}")
                state = "opt_state"
            patches.replace(
                module, call, f"{optimizer}.replace(opt_state={state}).apply_gradients(grads={text})"
            )
            return
        patches.replace(module, (name_start, name_end), "apply_gradients")
        if call.args:
            start = source.span(call.args[0])[0]
            patches.replace(module, (start, start), "grads=")

    def _annotations(self, patches: Patches, builder: FixBuilder, modules: list[Module]) -> set[ast.expr]:
        """Types in the files that change, if no optimizer in them stays as it was."""
        ours = {s.node for s in self.seeds}
        every = {s.node for s in self.groups.found if _last(s) in OPTIMIZERS or _last(s) in REFUSED}
        complete = every <= ours
        annotated: set[ast.expr] = set()
        for site in self.groups.found:
            if _last(site) not in _ANNOTATIONS:
                continue
            others = {s.node for s in self.groups.found if s.module is site.module} & every
            if not complete and not (site.module in modules and others <= ours):
                continue
            if not type_position(site.node, self.groups.project.file(site.module)):
                raise RefusalError("type-used-as-value", f"`{_last(site)}` is used for more than annotations")
            name = builder.other_file(site.module).name(_ANNOTATIONS[_last(site)], at=site.node)
            patches.replace(site.module, site.node, name)
            annotated.add(site.node)
        return annotated


def _last(site: Site) -> str:
    """`Adam` of "flax.optim.Adam" or "flax.optim.adam.Adam"."""
    return (
        site.qualified.rpartition(".")[2] if site.qualified.count(".") < 4 else site.qualified.split(".")[3]
    )


def _call(site: Site) -> ast.Call | None:
    parent = site.module.parents.get(site.node)
    return parent if isinstance(parent, ast.Call) and parent.func is site.node else None


def _begins_line(module: Module, node: ast.stmt) -> bool:
    start = module.source.span(node)[0]
    return not module.source.text[module.source.line_start(node.lineno) : start].strip()


def _unit(module: Module) -> str:
    """One step of the file's indentation."""
    for statement in ast.walk(module.tree):
        if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.If | ast.For):
            step = statement.body[0].col_offset - statement.col_offset
            if step > 0 and statement.body[0].lineno > statement.lineno:
                return " " * step
    return "    "


def _indentation(module: Module, node: ast.expr) -> tuple[str, str]:
    """What stands before an expression on its line, and that line's indentation."""
    source = module.source
    lead = source.text[source.line_start(node.lineno) : source.span(node)[0]]
    return lead, lead[: len(lead) - len(lead.lstrip())]


def _attribute_span(module: Module, node: ast.Attribute) -> tuple[int, int]:
    """Span of the attribute's name alone."""
    end = module.source.span(node)[1]
    return end - len(node.attr), end


def _is_array(node: ast.expr, file: FileContext) -> bool:
    name = file.resolve(node.func) if isinstance(node, ast.Call) else None
    return bool(name) and str(name).startswith(("jax.numpy.", "numpy.", "jax.random."))
