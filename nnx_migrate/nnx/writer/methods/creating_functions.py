"""Functions that create layers for whoever calls them: `def block(x, n): x = nn.Conv(n, (3, 3))(x) ...`

So do those that get the module itself, and make parameters: `def embedded(self, x): p = self.param("p", ...) ...`

Linen registers these layers in the calling module, anew for each call. In NNX the constructor of the class makes
them, and the function gets them: `conv_block(x, conv=self.conv_0)`. Functions outside of the class are of this
kind, and those inside of it that are reached in several ways.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Context, Control, Site, VariableSite
from nnx_migrate.linen.values import Closure
from nnx_migrate.names.modules import Module
from nnx_migrate.nnx.writer.methods.layer_functions import FunctionCall, layer_calls
from nnx_migrate.nnx.writer.methods.reached import choosers, closures, is_outside, made_by_calls
from nnx_migrate.nnx.writer.words import plural, snake_case

Record = TypeVar("Record", Site, VariableSite, FunctionCall)

#: The calls in a function that lead to a construction, and the construction.
Way = tuple[ast.AST, ...]


@dataclass(eq=False)
class CreatingFunction:
    """A function that gets the layers that it created: for each construction a parameter.

    `calls` are those that reach it (each with the calls around it), `optional` the parameters of layers that a
    call may not need.
    """

    node: ast.FunctionDef
    module: Module
    is_outside: bool
    calls: list[Context] = field(default_factory=list)
    parameters: dict[Way, str] = field(default_factory=dict)
    optional: set[str] = field(default_factory=set)

    @cached_property
    def nodes(self) -> frozenset[ast.AST]:
        """Everything that stands in it."""
        return frozenset(ast.walk(self.node))

    @property
    def own_names(self) -> set[str]:
        """The names of its parameters, and of what it binds or reads."""
        names = {n.id for n in self.nodes if isinstance(n, ast.Name)}
        return names | {self.node.name} | {n.arg for n in self.nodes if isinstance(n, ast.arg)}


class CreatingFunctions:
    """Those that a class calls."""

    def __init__(self, analysis: ClassAnalysis, local: bool = True) -> None:
        """`local`: also those that stand in its methods."""
        self.analysis, self.local = analysis, local
        self.layer_calls = layer_calls(analysis)
        self.made = made_by_calls(analysis)
        self.by_call: dict[Context, CreatingFunction] = {}
        for context, node, closure in self._found():
            function = next((f for f in self.by_call.values() if f.node is node), None)
            function = function or CreatingFunction(node, closure.module, is_outside(closure))
            function.calls.append(context)
            self.by_call[context] = function
        for function in self.all:
            self._name_layers(function)

    @property
    def all(self) -> list[CreatingFunction]:
        """Each once."""
        return list(dict.fromkeys(self.by_call.values()))

    def around(self, context: Context) -> CreatingFunction | None:
        """The function of this kind to whose code a context belongs, None for that of the class itself."""
        for length in range(len(context), 0, -1):
            if context[:length] in self.by_call:
                return self.by_call[context[:length]]
        return None

    def called_in(self, function: CreatingFunction | None) -> dict[ast.Call, list[Context]]:
        """The calls of such functions in the code of one, or of the class itself."""
        found: dict[ast.Call, list[Context]] = {}
        for context in self.by_call:
            call = context[-1]
            if isinstance(call, ast.Call) and self.around(context[:-1]) is function:
                found.setdefault(call, []).append(context)
        return found

    def layers(self, context: Context) -> dict[Way, Site | VariableSite]:
        """The layers and parameters that a call of such a function creates, but not those that other modules hold."""
        length = len(context)
        return {
            (*site.context[length:], site.call): site
            for site in self._created
            if site.context[:length] == context and not site.is_held
        }

    @property
    def _created(self) -> list[Site | VariableSite]:
        return [*self.analysis.sites, *self.analysis.variables]

    def calls_in(self, function: CreatingFunction) -> dict[ast.AST, tuple[Site, ...]]:
        """The submodules that the calls in the code of a function reach."""
        found: dict[ast.AST, dict[Site, None]] = {}
        elsewhere = {passed.site for passed in self.layer_calls.values()}
        for (context, node), site in self.analysis.facts.calls.items():
            if self.around(context) is function and site not in elsewhere:
                found.setdefault(node, {})[site] = None
        return {node: tuple(sites) for node, sites in found.items()}

    @cached_property
    def own_sites(self) -> dict[tuple[Context, ast.AST], Site]:
        """The constructions that aren't written together with the call of a function around them."""
        elsewhere = {passed.site for passed in self.layer_calls.values()} | set(self.made.values())
        elsewhere |= {site for sites in choosers(self.analysis).values() for site in sites}
        elsewhere |= {
            s for s in self.analysis.sites if s.method == "setup" and s.outermost in elsewhere
        }  # its parts
        return {key: site for key, site in self.analysis.facts.sites.items() if site not in elsewhere}

    def one_of_each(
        self, records: Mapping[tuple[Context, ast.AST], Record], function: CreatingFunction | None
    ) -> dict[ast.AST, Record]:
        """Records of the code of a function, or of the class itself, by node.

        Nodes of the class that several ways lead to are refused; for a function one way stands for all.
        """
        found: dict[ast.AST, Record] = {}
        for (context, node), record in records.items():
            if self.around(context) is not function:
                continue
            if function is None and any(is_outside(c) for c in closures(self.analysis, context)):
                continue
            known = found.setdefault(node, record)
            if function is None and _site(known) is not _site(record):
                detail = "code that is reached in several ways creates or calls modules"
                raise Refuse("unsupported-syntax", detail, node)
        return found

    def parameter(self, site: Site | VariableSite, function: CreatingFunction) -> str:
        """The parameter by which a function gets a layer."""
        for context in function.calls:
            if site.context[: len(context)] == context:
                return function.parameters[(*site.context[len(context) :], site.call)]
        raise _refused(site.call)

    def loops_around(
        self, site: Site | VariableSite, function: CreatingFunction | None
    ) -> tuple[Control, ...]:
        """The loops around a construction that stand in the code of a function, or of the class itself."""
        if not self.passed(site):
            return site.loops
        if function is not None:
            return tuple(c for c in site.loops if c.node in function.nodes)
        return tuple(c for c in site.loops if not any(c.node in f.nodes for f in self.all))

    def passed(self, site: Site | VariableSite) -> bool:
        """Whether such a function creates a layer or parameter."""
        return self.around(site.context) is not None

    # ---- which functions --------------------------------------------------------------------------------

    def _found(self) -> Iterator[tuple[Context, ast.FunctionDef, Closure]]:
        facts = self.analysis.facts
        simple = self._simple()
        reached: dict[ast.AST, list[tuple[Context, Closure]]] = {}
        creating: set[ast.AST] = set()
        for (context, call), closure in facts.functions.items():
            whole = (*context, call)
            if not any(whole[:n] in simple for n in range(1, len(whole) + 1)):
                reached.setdefault(closure.node, []).append((whole, closure))
                made = self._created if is_outside(closure) else self.analysis.sites
                if any(s.context[: len(whole)] == whole for s in made):
                    creating.add(closure.node)
        for node, ways in reached.items():
            outside = is_outside(ways[0][1])
            inside = self.local and len(ways) > 1 and ways[0][1].env is not None
            if node in creating and isinstance(node, ast.FunctionDef) and (outside or inside):
                yield from ((whole, node, closure) for whole, closure in ways)

    def _simple(self) -> set[Context]:
        """The calls that are written as the construction, or the call, of one layer."""
        chosen = ((call,) for call in choosers(self.analysis))
        return {*chosen, *((*context, call) for context, call in (*self.layer_calls, *self.made))}

    # ---- names ------------------------------------------------------------------------------------------

    def _name_layers(self, function: CreatingFunction) -> None:
        """A parameter for each layer: called as the local variable that held it, or after its class."""
        ways: dict[Way, Site | VariableSite] = {}
        for context in function.calls:
            ways |= {way: site for way, site in self.layers(context).items() if way not in ways}
        stored = [n.id for n in function.nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
        taken = function.own_names
        bases = {
            way: site.stored if stored.count(site.stored) == 1 and len(way) == 1 else _kind(site)
            for way, site in sorted(ways.items(), key=lambda item: item[1].number)
        }
        for way, base in bases.items():
            if any(loop.node in function.nodes for loop in ways[way].loops):
                bases[way] = plural(base)
        counts = list(bases.values())
        for way, base in bases.items():
            own = counts.count(base) == 1 and (base == ways[way].stored or base not in taken)
            name, number = base, 0
            while not own and (number == 0 or name in taken):
                name, number = f"{base}_{number}", number + 1
            taken.add(name)
            function.parameters[way] = name
        always = _always_reached(function.node)
        function.optional.update(name for way, name in function.parameters.items() if way[0] not in always)

    # ---- what is refused --------------------------------------------------------------------------------

    def check(self) -> None:
        """Refuse functions whose calls can't be given the layers."""
        facts = self.analysis.facts
        markers = set(self.analysis.session.round_markers.values())
        for function in self.all:
            if function.node.decorator_list or function.node.args.posonlyargs:
                raise _refused(function.node)
            if not self._hands_on(function):
                raise _refused(function.node)
            for context in function.calls:
                call = context[-1]
                closure = facts.values.get((context[:-1], call.func)) if isinstance(call, ast.Call) else None
                if (
                    not isinstance(closure, Closure)
                    or closure.node is not function.node
                    or set(context) & markers
                ):
                    raise _refused(call)
                assert isinstance(call, ast.Call)
                if any(self._is_unknown(function, context, way) for way in function.parameters):
                    raise _refused(call)
                if any(isinstance(a, ast.Starred) for a in call.args) or any(
                    k.arg is None for k in call.keywords
                ):
                    raise _refused(call)
        for call, contexts in self.called_in(None).items():
            if len(contexts) > 1:
                raise _refused(call)
        unusual = [
            s.call for s in self.analysis.sites if self.passed(s) and (s.container or s.lent or s.elements)
        ]
        unusual += [s.call for s in facts.sites.values() if s.carry_only and self.passed(s)]
        unusual += [s.call for s in self.analysis.sites if self.passed(s) and s.entry == "setup"]
        unusual += [v.call for v in self.analysis.variables if self.passed(v) and not _is_plain(v)]
        if unusual:
            raise _refused(unusual[0])
        used = (facts.rng_calls, facts.sown, facts.parameter_reads)
        places = [place for records in used for place in records]
        places += [(lookup.context, lookup.node) for lookup in facts.lookups]
        places += [(write.context, write.target) for write in facts.writes]
        for context, node in places:
            if any(is_outside(closure) for closure in closures(self.analysis, context)):
                detail = "a function outside of the class uses the state or random streams of a module"
                raise Refuse("unsupported-syntax", detail, node)
        for function in self.all:
            for context, node in (*facts.sites, *facts.calls):
                if node in function.nodes and not self._belongs(context, function):
                    raise _refused(node)

    def _hands_on(self, function: CreatingFunction) -> bool:
        """Whether all that a function takes by `*` and `**` goes to the layers that it creates, and calls show it."""
        spec, forwarded = function.node.args, self.analysis.facts.forwarded
        created = {way[-1] for way in function.parameters}
        for argument in (spec.vararg, spec.kwarg):
            if argument is None:
                continue
            if any((context, argument.arg) not in forwarded for context in function.calls):
                return False
            calls = [n for n in function.nodes if isinstance(n, ast.Call) and n not in created]
            if any(isinstance(n, ast.Name) and n.id == argument.arg for call in calls for n in _spread(call)):
                return False
        return True

    def _is_unknown(self, function: CreatingFunction, context: Context, way: Way) -> bool:
        """Whether a call may create something at a place where others create a layer, but it isn't known what."""
        if way in self.layers(context):
            return False
        construction = way[-1]
        assert isinstance(construction, ast.Call)
        was_reached = ((*context, *way[:-1]), construction.func) in self.analysis.facts.values
        return was_reached or function.parameters[way] not in function.optional

    def _belongs(self, context: Context, function: CreatingFunction) -> bool:
        """Whether the code of a function was reached by its calls."""
        around = self.around(context)
        return around is function or (around is not None and around.node in function.nodes)


def _always_reached(function: ast.FunctionDef) -> set[ast.AST]:
    """The nodes of a function that no condition decides about; whoever calls it needs the same parameters."""
    found: set[ast.AST] = set()
    waiting: list[ast.AST] = []
    for statement in function.body:
        waiting.append(statement)
        if any(isinstance(n, ast.Return | ast.Raise) for n in ast.walk(statement)):
            break
    while waiting:
        node = waiting.pop()
        found.add(node)
        if isinstance(node, ast.If | ast.IfExp):
            waiting.append(node.test)
        elif isinstance(node, ast.BoolOp):
            waiting.append(node.values[0])
        elif not isinstance(node, ast.Try | ast.FunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return found


def _spread(call: ast.Call) -> list[ast.expr]:
    """What a call takes apart: `*args`, `**kwargs`."""
    found = [a.value for a in call.args if isinstance(a, ast.Starred)]
    return [*found, *(k.value for k in call.keywords if k.arg is None)]


def _kind(site: Site | VariableSite) -> str:
    """What a parameter for it is called if the function has no name for it."""
    if isinstance(site, Site):
        return snake_case(site.target_name)
    return site.name if site.name.isidentifier() else "param"


def _is_plain(variable: VariableSite) -> bool:
    """Whether it is a parameter of the module, whose value alone matters."""
    held = variable.is_reference or variable.by_calls or variable.loops or variable.entry == "setup"
    return variable.is_param and not held


def _site(record: Site | VariableSite | FunctionCall) -> Site | VariableSite:
    return record.site if isinstance(record, FunctionCall) else record


def _refused(node: ast.AST) -> Refuse:
    return Refuse("unsupported-syntax", "a module is created in a function outside of the class", node)
