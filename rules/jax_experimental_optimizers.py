"""Rule `jax-experimental-optimizers`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import partial

from nnx_migrate.rules._jax_optimizers_restructuring import Restructuring, call_of, last
from nnx_migrate.rules._jax_optimizers_table import FUNCTIONS, MODULES, OPTIMIZERS, SCHEDULES, rewritten
from nnx_migrate.rules._sites import RefusalError, Site, sites

from nnx_migrate.engine.arguments import CannotBind
from nnx_migrate.engine.callees import Callees
from nnx_migrate.engine.context import CannotName, ProjectContext
from nnx_migrate.engine.findings import Finding, Fix, Safety
from nnx_migrate.engine.rule import ProjectRule
from nnx_migrate.names.modules import Module


class JaxExperimentalOptimizers(ProjectRule):
    """Optimizers of `jax.experimental.optimizers`, superseded by Optax.

    What it finds
    -------------
    `opt_init, opt_update, get_params = optimizers.adam(1e-3)` and its like, with `optimizers` from
    `jax.experimental` (removed) or `jax.example_libraries`; `clip_grads` and `l2_norm` of the same module.

    Why
    ---
    `jax.experimental.optimizers` was removed in JAX 0.3.16. What remains of it in `jax.example_libraries` is
    meant for examples; the ecosystem uses Optax.

    Example
    -------
        opt_init, opt_update, get_params = optimizers.adam(1e-3)
        opt_state = opt_init(params)
        for i in range(steps):
            params = get_params(opt_state)
            opt_state = opt_update(i, grads(params), opt_state)

    becomes

        tx = optax.adam(1e-3)
        opt_state = (params, tx.init(params))
        for i in range(steps):
            params, tx_state = opt_state
            updates, tx_state = tx.update(grads(params), tx_state, params)
            opt_state = (optax.apply_updates(params, updates), tx_state)

    The state stays one value that holds the parameters, as it did, so that functions keep their signatures.

    Fix safety
    ----------
    Safe where the three functions and the state can be followed to every use. Optax counts steps by
    itself: the index that was passed has to be provably 0, 1, 2, ... wherever it matters (Adam, AdaMax,
    schedules), because a constant or epoch index gave other bias corrections. Where the index isn't known
    to count and the step size isn't known to be a number, the fix is unsafe. `clip_grads` and `l2_norm`
    follow in files whose optimizer is restructured (equal in float32). Where anything else can't be
    shown, only the import is moved to `jax.example_libraries.optimizers`, which behaves the same. For
    complex parameters Optax's Adam differs.

    Since
    -----
    JAX 0.2.25 (deprecated), removed in 0.3.16.

    References
    ----------
    jax/example_libraries/optimizers.py; Optax documentation, "Getting started".
    """

    id = "jax-experimental-optimizers"
    group = "optax"
    since = "jax>=0.2.25"
    texts = ("jax", "optimizers")

    def check_project(self, project: ProjectContext) -> Iterator[Finding]:
        """One finding per optimizer, `clip_grads` and `l2_norm`; one per import that can only move."""
        found = list(sites(project.project, *MODULES))
        seeds = [s for s in found if last(s) in OPTIMIZERS and call_of(s) is not None]
        callees = Callees(project.project)
        made = {s.node: _attempt(partial(Restructuring(project, callees, s).fix)) for s in seeds}
        restructured = {s.module for s in seeds if isinstance(made[s.node], Fix)}
        kept: dict[Module, str] = {}
        for site in found:
            file = project.file(site.module)
            experimental = site.qualified.startswith(MODULES[0])
            message = (
                f"`{site.qualified}` is gone since JAX 0.3.16"
                if experimental
                else f"`{site.qualified}` is superseded by Optax"
            )
            if last(site) in SCHEDULES and seeds:
                continue  # goes with the optimizer that takes it
            outcome: Fix | RefusalError = RefusalError("no-equivalent", "")
            if site.node in made:
                outcome = made[site.node]
            elif last(site) in FUNCTIONS and call_of(site) is not None and site.module in restructured:
                outcome = _attempt(partial(_function_fix, project, site))
            if isinstance(outcome, Fix):
                yield self.finding(file, site.node, message, outcome, help=outcome.title)
                if experimental and outcome.safety is not Safety.SAFE:
                    kept.setdefault(site.module, outcome.title)  # the import can be moved meanwhile
            else:
                kept.setdefault(site.module, str(outcome))
        for module, why in kept.items():
            yield from self._moves(project, module, why)

    def _moves(self, project: ProjectContext, module: Module, why: str) -> Iterator[Finding]:
        """`jax.experimental.optimizers` → `jax.example_libraries.optimizers` in imports and names."""
        file = project.file(module)
        for node, _, guard in module.scopes.imports:
            if guard.name not in ("NONE", "TYPING"):
                continue
            fix = file.fix()
            start, end = module.source.span(node)
            text = module.source.text[start:end]
            names = [alias.name for alias in node.names]
            if (
                isinstance(node, ast.ImportFrom)
                and node.module == "jax.experimental"
                and "optimizers" in names
            ):
                alias = next(a for a in node.names if a.name == "optimizers")
                if len(names) > 1:
                    new = f"from jax.example_libraries import {module.source.segment(alias)}\n"
                    fix.insert(module.source.line_start(node.lineno), new)
                    others = ", ".join(module.source.segment(a) for a in node.names if a is not alias)
                    fix.replace(node, f"from jax.experimental import {others}")
                else:
                    fix.replace(node, text.replace("jax.experimental", "jax.example_libraries", 1))
            elif isinstance(node, ast.ImportFrom) and node.module == MODULES[0]:
                fix.replace(node, text.replace(MODULES[0], MODULES[1], 1))
            elif isinstance(node, ast.Import) and MODULES[0] in names:
                fix.replace(node, text.replace(MODULES[0], MODULES[1], 1))
                for site in sites(project.project, MODULES[0]):
                    if site.module is module and "jax.experimental.optimizers" in module.source.segment(
                        site.node
                    ):
                        segment = module.source.segment(site.node)
                        fix.replace(
                            site.node, segment.replace("jax.experimental", "jax.example_libraries", 1)
                        )
            else:
                continue
            help_ = "import it from jax.example_libraries" + (
                f"; not rewritten with Optax: {why}" if why else ""
            )
            yield self.finding(
                file,
                node,
                "`jax.experimental.optimizers` is gone since JAX 0.3.16",
                fix.build(help_),
                help=help_,
            )


def _attempt(make: partial[Fix]) -> Fix | RefusalError:
    try:
        return make()
    except RefusalError as refusal:
        return refusal
    except CannotBind as error:
        return RefusalError(error.reason, str(error))
    except CannotName as error:
        return RefusalError("name-taken", str(error))


def _function_fix(project: ProjectContext, site: Site) -> Fix:
    """`clip_grads(...)` and `l2_norm(...)`."""
    fix = project.file(site.module).fix()
    call = call_of(site)
    assert call is not None
    text = rewritten(FUNCTIONS[last(site)], call, site.module.source, lambda name: fix.name(name, at=call))
    fix.replace(call, text)
    lost = "#" in site.module.source.segment(call)
    return fix.build("use Optax", Safety.UNSAFE if lost else Safety.SAFE)
