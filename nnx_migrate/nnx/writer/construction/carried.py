"""Sizes that loops change, where the constructor makes a module that gets them.

    for layer in self.layers:
        x = layer(x)
    return self.head(x)

The symbol of such a size stands for two values: in the loop, that with which a round begins; behind it, the one that
the last round leaves. The constructor has the former in the loop that makes the modules, the latter behind that. A
module that is made elsewhere gets an expression for its size, if there is one.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.given.arguments import NoneTest
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Context, LayerCall, LoopVariable, Phi, Site
from nnx_migrate.linen.symbols import numbers
from nnx_migrate.linen.values import Iterated, ModuleList
from nnx_migrate.names.nodes import contains, position

_STEPS = 8


class CarriedValues:
    """What the sizes that loops change are at the places of a constructor.

    `moved`: the loops of a compact method over lists that other loops of it fill, with these.
    """

    def __init__(self, analysis: ClassAnalysis, ask: Callable[[NoneTest], str]) -> None:
        """`ask` writes the question whether an argument is given, as the constructor can answer it."""
        self.analysis, self.ask = analysis, ask
        self.moved: Mapping[ast.AST, ast.AST] = {}

    def at_site(self, site: Site, calls: Sequence[LayerCall], dims: Sequence[Dim]) -> list[Dim]:
        """The sizes that the calls of a module get, as the constructor knows them where it makes it."""
        if len(calls) != len(dims):
            return list(dims)
        return [self._at_site(site, call, dim) for call, dim in zip(calls, dims, strict=True)]

    def _at_site(self, site: Site, call: LayerCall, dim: Dim) -> Dim:
        for _ in range(_STEPS):
            self._check_variables(site, call, dim)
            decided = () if site.method == "setup" else self._phis(dim, False)  # setup writes conditions out
            instead = {
                phi.token: self._instead(site, call, phi)
                for phi in self._phis(dim)
                if not self._is_there(site, call, phi)
            }
            for phi in decided:
                if not is_behind((*site.context, site.call), (*self._steps(phi), phi.node)):
                    instead[phi.token] = self._choice(site, phi)
            if not instead:
                return dim
            dim = dim.substitute(instead.get)
        raise Refuse("unknown-size", "a size that many loops change", site.call)

    def at_loop(self, loop: ast.AST, phi: Phi, which: int) -> Dim:
        """What a size gets in front of a loop of setup that carries it (0), or at the end of a round (1)."""
        dim = phi.sources[which]
        for _ in range(_STEPS):
            self._check_round(loop, phi, dim)
            instead = {
                other.token: other.result
                for other in self._phis(dim)
                if other is not phi and not self._is_at(loop, phi, other)
            }
            if not instead:
                return dim
            if any(result is None or not result.known for result in instead.values()):
                break
            dim = dim.substitute(instead.get)
        raise Refuse("unknown-size", f"a loop changes the size `{phi.name}`", phi.node)

    def _is_at(self, loop: ast.AST, phi: Phi, other: Phi) -> bool:
        """Whether setup has a size where a loop carries another one."""
        made = self._creating_in_setup(other)
        if made is None:
            return True  # such loops are refused
        if made is loop or (phi.node, phi.context) == (other.node, other.context):
            return made is loop and phi.context == other.context
        if phi.node is not other.node and contains(other.node, phi.node):
            return contains(made, loop)
        if phi.node is not other.node and contains(phi.node, other.node):
            return contains(loop, made)
        return position(loop) >= _end(made)

    def carrying(self, phi: Phi) -> list[ast.AST]:
        """The loops of setup that can carry a size: those that make, alike, what a method's loop takes."""
        first = self._creating_in_setup(phi)
        if first is None or first is phi.node:
            return [] if first is None else [first]
        assert isinstance(phi.node, ast.For)
        loops = dict.fromkeys(creating_loops(self.analysis, phi.node, phi.context))
        return [first, *(loop for loop in loops if loop is not first and self._are_alike(loop, first))]

    def _check_round(self, loop: ast.AST, phi: Phi, dim: Dim) -> None:
        """Refuse sizes that name the variable of a loop of setup other than the one that carries them."""
        for variable in self._variables(dim):
            if contains(variable.node, loop):
                continue
            if variable.node not in self.carrying(phi) or loop not in self.carrying(phi):
                raise Refuse("unknown-size", f"a loop changes the size `{phi.name}`", phi.node)

    def _phis(self, dim: Dim, of_loops: bool = True) -> list[Phi]:
        """The sizes in an expression that loops change, or that conditions decide."""
        phis = self.analysis.facts.phis
        found = [phis[n] for n in (numbers(dim.text(), "p") if dim.known else ()) if n in phis]
        return [phi for phi in found if of_loops == isinstance(phi.node, ast.For | ast.While)]

    def _variables(self, dim: Dim) -> list[LoopVariable]:
        """The variables of loops in an expression."""
        known = self.analysis.facts.loop_variables
        return [known[n] for n in (numbers(dim.text(), "l") if dim.known else ()) if n in known]

    def _is_there(self, site: Site, call: LayerCall, phi: Phi) -> bool:
        """Whether the constructor has the size that a call gets where it makes the module."""
        loop = self._creating(site, phi)
        if loop is None:
            return True  # such loops are refused
        others = self.carrying(phi) if site.method == "setup" else ()
        inside = any(control.node in (loop, *others) for control in site.controls)
        if _is_within(site, call, phi):
            return inside
        steps = self._steps(phi) if loop is phi.node else ()
        return not inside and is_behind((*site.context, site.call), (*steps, loop))

    def _instead(self, site: Site, call: LayerCall, phi: Phi) -> Dim:
        """The size that a call gets, for a module that is made elsewhere than the loop that carries it."""
        if _is_within(site, call, phi):
            # one module for all rounds: Linen accepts no other size than that of the first one
            found = phi.sources[0] if set(site.loops) <= set(call.controls) else None
        else:
            found = phi.result
        if found is None or not found.known:
            detail = f"`{site.label}` gets a size that a loop elsewhere changes"
            raise Refuse("unknown-size", detail, site.call)
        return found

    def _choice(self, site: Site, phi: Phi) -> Dim:
        """The size that a condition decides, for a module that is made in front of it."""
        condition = self.analysis.session.conditions.get((phi.context, phi.node))
        test = self.analysis.session.none_tests.get((phi.context, phi.node))
        if condition is None and test is not None:
            condition = self.ask(test)
        if condition is None or not all(dim.known for dim in phi.sources):
            detail = f"`{site.label}` gets a size that a condition behind it decides"
            raise Refuse("unknown-size", detail, site.call)
        escaped = condition.replace("{", "{{").replace("}", "}}")
        return Dim.opaque(f"({{0}} if {escaped} else {{1}})", *phi.sources)

    def _steps(self, phi: Phi) -> Context:
        """The calls through which the interpreter came to a loop."""
        rounds = set(self.analysis.session.round_markers.values())
        return tuple(step for step in phi.context if step not in rounds)

    def _creating(self, site: Site, phi: Phi) -> ast.AST | None:
        """The loop that makes the modules over which another one runs, or that itself."""
        if phi.node in self.moved:
            return self.moved[phi.node]
        return self._creating_in_setup(phi) if site.method == "setup" else phi.node

    @cached_property
    def _setup_nodes(self) -> frozenset[ast.AST]:
        """The code of setup."""
        setup = self.analysis.cls.method("setup")
        return frozenset(ast.walk(setup.node)) if setup is not None else frozenset()

    def _creating_in_setup(self, phi: Phi) -> ast.AST | None:
        """The loop that makes the modules of setup over which another one runs, or that itself."""
        if phi.node in self._setup_nodes or not isinstance(phi.node, ast.For):
            return phi.node
        return next(creating_loops(self.analysis, phi.node, phi.context), None)

    def _check_variables(self, site: Site, call: LayerCall, dim: Dim) -> None:
        """Refuse sizes that name the variable of a loop in which the module isn't made."""
        around = [control.node for control in site.controls]
        for variable in self._variables(dim):
            if variable.node in around or contains(variable.node, site.call):
                continue
            if site.method != "setup" and any(self._counts_as(c.node, variable.node) for c in site.loops):
                continue  # the number of this loop's rounds
            alike = [node for node in around if self._are_alike(node, variable.node)]
            if not any(self._run_together(call, node, variable.node) for node in alike):
                detail = f"`{site.label}` gets a size that the rounds of another list tell"
                raise Refuse("unknown-size", detail, site.call)

    def _are_alike(self, first: ast.AST, second: ast.AST) -> bool:
        """Whether two loops of one method take the same, under the same names."""
        module = self.analysis.cls.module
        methods = [module.enclosing(loop, ast.FunctionDef) for loop in (first, second)]
        together = not self.analysis.setup_helpers or methods[0] is methods[1]
        return together and _header(first) is not None and _header(first) == _header(second)

    def _counts_as(self, loop: ast.AST, creating: ast.AST) -> bool:
        """Whether a loop counts through what another one has made."""
        return any(made is creating for made in _counted_loops(self.analysis, loop))

    def _run_together(self, call: LayerCall, first: ast.AST, second: ast.AST) -> bool:
        """Whether a loop around a call takes the elements that two loops have made one with the other."""
        loops = [control.node for control in call.controls if isinstance(control.node, ast.For)]
        return any({first, second} <= set(creating_loops(self.analysis, loop)) for loop in loops)


def creating_loops(analysis: ClassAnalysis, loop: ast.For, context: Context = ()) -> Iterator[ast.AST]:
    """The loops that make the modules over which a method's loop runs, the last of several first.

    `context` leads to the part of a list of modules over which it runs.
    """
    parts: list[Any] = [analysis.facts.parts[step] for step in context if step in analysis.facts.parts]
    values = parts or [v for (_, node), v in analysis.facts.values.items() if node is loop.iter]
    while values:
        value = values.pop()
        if isinstance(value, Iterated) and value.kind in ("enumerate", "zip"):
            values.extend(value.args)
        elif isinstance(value, ModuleList) and value.rounds is not None:
            yield from (rounds.loop for rounds in (value.rounds, *value.others))
    if not parts:
        yield from _counted_loops(analysis, loop)


def _counted_loops(analysis: ClassAnalysis, loop: ast.AST) -> Iterator[ast.AST]:
    """The loops that make the modules which a loop takes by their numbers."""
    for (_, node), counted in analysis.facts.counted.items():
        for modules in counted if node is loop else ():
            assert modules.rounds is not None
            yield modules.rounds.loop


def is_behind(nodes: Context, loop: Context) -> bool:
    """Whether the code that `nodes` lead to stands behind a loop, by the calls that lead to either."""
    for one, other in zip(nodes, loop, strict=False):
        if one is not other:
            return position(one) >= _end(other)
    return False


def _is_within(site: Site, call: LayerCall, phi: Phi) -> bool:
    """Whether a call is made in the loop that changes a size.

    The code of another module may call one that it got: then that one's calls tell.
    """
    holders = {site.outermost, *(holder.outermost for holder in site.lent)} - {site}
    calls = [call, *(other for holder in holders for other in holder.calls)]
    return any(
        any(control.node is phi.node for control in one.controls)
        and one.context[: len(phi.context)] == phi.context
        for one in calls
    )


def _header(loop: ast.AST) -> str | None:
    """What a loop takes, and what it calls that."""
    if isinstance(loop, ast.ListComp) and len(loop.generators) == 1 and not loop.generators[0].ifs:
        return ast.unparse(ast.Tuple([loop.generators[0].target, loop.generators[0].iter], ast.Load()))
    if isinstance(loop, ast.For):
        return ast.unparse(ast.Tuple([loop.target, loop.iter], ast.Load()))
    return None


def _end(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "end_lineno", 0), getattr(node, "end_col_offset", 0)
