"""Linen classes, and the programs that use them, become NNX."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from nnx_migrate.engine.findings import Finding, Fix
from nnx_migrate.engine.rule import ProjectRule

if TYPE_CHECKING:
    from nnx_migrate.engine.context import ProjectContext
    from nnx_migrate.engine.targets import Pin
    from nnx_migrate.names.project import Project
    from nnx_migrate.nnx.plan import Group


class LinenModule(ProjectRule):
    """Linen modules and the programs around them become NNX.

    What it finds
    -------------
    Classes that derive from `flax.linen.Module`, wherever in the project.

    Why
    ---
    NNX replaces Linen as Flax's API for neural networks. Linen gets no new features.

    Example
    -------
    ```python
    class CNN(nn.Module):
        features: int

        @nn.compact
        def __call__(self, x):
            return nn.Dense(self.features)(x)

    def create(key):
        model = CNN(10)
        params = model.init(key, jnp.ones((1, 784)))["params"]
        return TrainState.create(apply_fn=model.apply, params=params, tx=optax.adam(1e-3))

    @jax.jit
    def train_step(state, x, y):
        def loss_fn(params):
            return cross_entropy(state.apply_fn({"params": params}, x), y)

        loss, grads = jax.value_and_grad(loss_fn)(state.params)
        return state.apply_gradients(grads=grads), loss
    ```
    becomes
    ```python
    class CNN(nnx.Module):
        def __init__(self, features: int, *, in_features: int, rngs: nnx.Rngs):
            self.features = features
            self.dense = nnx.Linear(in_features, self.features, rngs=rngs)

        def __call__(self, x):
            return self.dense(x)

    def create(key):
        model = CNN(10, in_features=784, rngs=nnx.Rngs(key))
        return model, nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)

    @nnx.jit
    def train_step(model, optimizer, x, y):
        def loss_fn(model):
            return cross_entropy(model(x), y)

        loss, grads = nnx.value_and_grad(loss_fn)(model)
        optimizer.update(model, grads)
        return loss
    ```
    Programs that are built otherwise keep their structure: `model = Functional(CNN, 10, in_features=784)`, and
    the rest stays. `Functional` is written into the project once. It calls an NNX module as a function of its
    variables, as `jax.vmap`, `jax.lax.scan` and checkpoints of parameter trees need it. With
    `programs = "functional"` in the configuration all programs do so.

    A class that can't be converted stays Linen, and classes that create its modules hold them behind a bridge:
    `self.block = nnx.bridge.ToNNX(Block(width), rngs=rngs)`. A call with inputs initialises these modules; programs
    use such a model through `BridgingFunctional`, whose `init` makes that call. With `bridge = false` in the
    configuration these classes stay as they are, too.

    A class may also move although code that uses it stays: `fix --convert CNN` (or `convert = ["CNN"]` in the
    configuration) writes its NNX form, and that code goes on with a copy of its Linen form, `LinenCNN`.

    Fix safety
    ----------
    Safe: a class and its uses are converted together or not at all. Where the analysis isn't certain the
    finding says why, and the code stays as it is; of the classes that it is built on and that move for others it
    gets copies in their Linen form. Initial values are drawn from other random streams than
    Linen's.

    Since
    -----
    Any release is reported; what is written needs flax 0.12. Where the project's own pins admit less, its
    classes stay as they are until the pin is raised, or `--target-flax` says what it will be.

    References
    ----------
    https://flax.readthedocs.io/en/latest/guides/linen_to_nnx.html
    """

    id = "linen-module"
    group = "linen"
    triggers = frozenset({"flax.linen.*", "flax.linen"})
    needs = "flax>=0.12"
    texts = ("linen",)

    def check_project(self, project: ProjectContext) -> Iterable[Finding]:
        """One finding per class, without analysis."""
        from nnx_migrate.linen.classes.class_finder import find_linen_classes

        for found in find_linen_classes(project.project, keep_modules=False):
            source = project.project.source(found.path)
            yield Finding.at(self.id, found.path, source, found.head, f"`{found.name}` is a Linen module")

    def plan(self, project: ProjectContext) -> Iterable[Finding]:
        """One finding per class: with the fix of its group, or with what stands in the way."""
        pin = project.targets.blocking(self.needs)
        if pin is not None:
            yield from self._pinned(project, pin)
            return
        from nnx_migrate.linen.programs.inputs.stated_inputs import StatedInputs
        from nnx_migrate.nnx.plan import make_plan
        from nnx_migrate.nnx.preparation import preparations
        from nnx_migrate.nnx.programs.fixes import FixWriter

        stated = StatedInputs(project.config.inputs, project.traced)
        config = project.config

        def plan(of: Project) -> list[Group]:
            return make_plan(of, config.root, stated, config.bridge, config.convert)

        groups = plan(project.project)
        for change in preparations(project.project, groups, plan):
            yield self.finding(project.file(change.cls.module), change.node, change.message, change.fix)
        writer = FixWriter(project, groups)
        for group in groups:
            yield from self._group(project, group, writer.fix(group) if group.can_move else None)

    def _pinned(self, project: ProjectContext, pin: Pin) -> Iterator[Finding]:
        from nnx_migrate.linen.reasons import REASONS

        reason = REASONS["pinned-release"]
        for finding in self.check_project(project):
            message = f"{finding.message}: {pin.path.name} pins {pin.text}"
            yield replace(finding, message=message, reason=reason.id, help=reason.advice)

    def _group(self, project: ProjectContext, group: Group, fix: Fix | None) -> Iterator[Finding]:
        from nnx_migrate.linen.reasons import REASONS

        for cls in group.classes:
            span = cls.module.source.span(cls.node)
            head = (span[0], span[0] + len(f"class {cls.name}"))
            message = f"`{cls.name}` is a Linen module"
            if fix is not None:
                yield self.finding(project.file(cls.module), head, message, fix)
                continue
            owner, obstacle = group.causes.get(cls, (cls, None))
            reason = obstacle.reason if obstacle and owner is cls else "uses-not-converted"
            if obstacle is not None:
                line = getattr(obstacle.node, "lineno", 0)
                what = obstacle.detail or REASONS[obstacle.reason].what
                message += ": " if owner is cls else f": it moves with `{owner.name}`, and there "
                message += f"{what} ({obstacle.module.path.name}:{line})"
            help = REASONS[reason].advice
            if group.could_move(cls):
                help += f"; or let it move alone, and this code keep a Linen copy: `fix --convert {cls.name}`"
            if cls in group.bridged:
                message += "; NNX modules hold it by `nnx.bridge.ToNNX`"
            yield self.finding(project.file(cls.module), head, message, reason=reason, help=help)
