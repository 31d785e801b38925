"""How a program uses the modules that it makes: `init`, `apply`, and what stands in the way."""

from __future__ import annotations

import ast
from functools import cached_property

from nnx_migrate.linen.classes.model import LinenClass, LinenProgram
from nnx_migrate.linen.fields.module_dicts import holds_module_dict, is_called
from nnx_migrate.linen.programs.constructions.class_values import ClassValue, ClassValues
from nnx_migrate.linen.programs.constructions.field_reads import fields_read
from nnx_migrate.linen.programs.constructions.references import ClassReference, Role
from nnx_migrate.linen.programs.dataflow.flow import FlowFinder
from nnx_migrate.linen.programs.handed.modules import judge_handed_modules
from nnx_migrate.linen.programs.hidden.asked import is_compared, is_only_told
from nnx_migrate.linen.programs.inputs.entry_calls import method_of
from nnx_migrate.linen.programs.instance import Instance, Obstacle
from nnx_migrate.linen.programs.reached import uses_everything
from nnx_migrate.linen.programs.uses import End, Flow
from nnx_migrate.names.modules import Module

# What `Functional` offers under Linen's names.
SUPPORTED = frozenset({"init", "lazy_init", "apply", "bind", "init_with_output", "tabulate", "clone"})
# The rest of Linen's public Module API, as far as programs use it.
_UNSUPPORTED = frozenset(
    {
        "unbind", "variables", "scope", "module_paths",
        "replace", "name", "parent", "path", "param", "variable", "make_rng", "sow", "perturb", "__class__",
    }
)  # fmt: skip
# Of these, what nothing else is called.
_ONLY_LINEN = frozenset({"module_paths", "unbind"})
# An argument of `init` and `apply` that only Linen has.
_UNSUPPORTED_KEYWORD = "capture_intermediates"


class InstanceFinder:
    """Finds the modules that a program makes outside of modules."""

    def __init__(self, program: LinenProgram) -> None:
        self.program = program
        self.references = program.references
        self.dynamic = program.index.dynamic
        self.finder = FlowFinder(program.index, [cls.node for cls in program])
        self._results: dict[ClassValue, list[Instance]] = {}

    @cached_property
    def known_instances(self) -> list[Instance]:
        """Every construction outside of modules, judged."""
        found = [self._instance(r) for r in self.references.outside if r.role is Role.CONSTRUCTION]
        values = self.class_values()
        for value in values:
            self._results[value] = self._made(value)
        judge_handed_modules(found, self.program, self.finder, self._results)
        return found

    def class_values(self) -> list[ClassValue]:
        """Every class that is used as a value outside of modules, where it isn't an ordinary alias."""
        return [value for value in self._values if not value.is_field]

    def handed_classes(self) -> list[ClassValue]:
        """Every class that programs hand to modules, which construct it: as a field, or in a registry."""
        return [value for value in self._values if value.is_field]

    @cached_property
    def _values(self) -> list[ClassValue]:
        values = ClassValues(self.program.project, self.references, self.finder)
        compared = self.compared
        return [
            values.of(r)
            for r in self.references.outside
            if r.role is Role.VALUE and not self.references.is_alias(r) and r not in compared
        ]

    @cached_property
    def compared(self) -> list[ClassReference]:
        """The references to classes that only ask whether something is an instance of them."""
        return [r for r in self.references.outside if r.role is Role.VALUE and is_compared(r.module, r.node)]

    def results(self, value: ClassValue) -> list[Instance]:
        """The modules that calls of a class value make, with what they are used for."""
        self.known_instances  # noqa: B018 (judges these, too)
        return self._results.setdefault(value, [])

    def _made(self, value: ClassValue) -> list[Instance]:
        found: list[Instance] = []
        for module, call in value.calls:
            flow = self.finder.follow(module, call)
            instance = Instance(value.reference, flow, made_by=call, made_in=module)
            self._uses(instance)
            found.append(instance)
        return found

    def other_obstacles(self) -> list[tuple[LinenClass, Obstacle]]:
        """Subclasses that aren't understood, and defaults of fields that are read of a class."""
        found = list(fields_read(self.references))
        for reference in self.references.outside:
            if reference.role is Role.BASE:
                detail = f"a class that isn't understood derives from `{reference.cls.name}`"
                found.append(
                    (reference.cls, Obstacle("unknown-base", detail, reference.module, reference.node))
                )
        return found

    def holders(self, flow: Flow) -> list[LinenClass]:
        """The classes whose modules get a module or class."""
        return [cls for cls in self.program if cls.node in flow.holders]

    def _instance(self, reference: ClassReference) -> Instance:
        module, call = reference.module, reference.call
        instance = Instance(reference, self.finder.follow(module, call))
        if any(isinstance(a, ast.Starred) for a in call.args):
            instance.add_obstacle("unsupported-syntax", "it is constructed with `*args`", module, call)
        self._uses(instance)
        return instance

    def _uses(self, instance: Instance) -> None:
        for use in instance.flow.uses:  # grows: the uses of clones are uses, too
            if use.end is End.ESCAPE:
                instance.add_obstacle("instance-escapes", use.why, use.module, use.node)
            elif use.end is End.APPLIED:
                self._applied(instance, use.module, use.node)
            elif use.end is End.TABULATED and isinstance(use.node, ast.Call):
                instance.tabulated.append((use.module, use.node))
                instance.indirect = True
            elif use.end is End.ASKED and isinstance(use.node, ast.Call):
                instance.asked.append((use.module, use.node))
            elif use.end is End.CALL and use.sure and isinstance(use.node, ast.Call):
                if not self.references.in_linen_class(use.module, use.node):  # which moves with it
                    instance.called.append((use.module, use.node))
            elif isinstance(use.node, ast.Attribute):
                self._attribute(instance, use.module, use.node, use.sure)

    def _applied(self, instance: Instance, module: Module, node: ast.expr) -> None:
        """`nn.apply(function, model)(variables, ...)`."""
        outer = module.parents[node]
        if (
            isinstance(node, ast.Call)
            and not node.keywords
            and isinstance(outer, ast.Call)
            and outer.func is node
        ):
            instance.applied.append((module, outer))
        else:
            instance.add_obstacle("module-use", "the result of `nn.apply` is passed on", module, node)

    def _attribute(self, instance: Instance, module: Module, node: ast.Attribute, sure: bool) -> None:
        if self.references.in_linen_class(module, node) and node.attr not in SUPPORTED:
            return  # an attribute of the same name, or the class's own code
        known = instance.cls.field(node.attr) or instance.cls.method(node.attr)
        if node.attr in SUPPORTED or (sure and node.attr == "copy" and not known):
            self._entry(instance, module, node)
        elif node.attr == "__class__" and is_only_told(module, node):
            return
        elif node.attr in (_UNSUPPORTED if sure else _ONLY_LINEN) and not known:
            instance.add_obstacle("module-use", f"`.{node.attr}` of a module", module, node)

    def _entry(self, instance: Instance, module: Module, node: ast.Attribute) -> None:
        """`model.init` or `model.apply`, called here or passed on."""
        parent = module.parents[node]
        if not (isinstance(parent, ast.Call) and parent.func is node):
            instance.indirect = True
            if node.attr == "apply":
                self._passed_on(instance, module, node)
            return
        if node.attr == "tabulate":
            instance.inits.append((module, parent))
        elif node.attr in ("init", "lazy_init", "init_with_output"):
            instance.inits.append((module, parent))
            if not uses_everything(instance.cls, method_of(parent)):
                detail = "`init` with a method creates only what that method uses"
                instance.add_obstacle("module-use", detail, module, parent)
            if not all(_names_collections(k.value) for k in parent.keywords if k.arg == "mutable"):
                instance.add_obstacle("module-use", "`init` with a computed `mutable`", module, parent)
        elif node.attr == "apply":
            instance.applies.append((module, parent))
        elif node.attr == "bind":
            self._bound(instance, module, parent)
        elif node.attr in ("clone", "copy") and parent not in instance.clones:
            instance.clones.append(parent)
            instance.flow.uses += self.finder.follow(module, parent).uses
        if node.attr != "tabulate" and _captures(parent):
            instance.add_obstacle("module-use", f"`{_UNSUPPORTED_KEYWORD}`", module, parent)

    def _passed_on(self, instance: Instance, module: Module, node: ast.Attribute) -> None:
        """`train(apply_fn=model.apply)`: the calls of what is handed over."""
        flow = self.finder.follow(module, node)
        calls = [(where, call) for where, call in flow.results if isinstance(call, ast.Call)]
        if flow.escapes or flow.is_bound or len(calls) < len(flow.results) or not calls:
            instance.is_seen = False
        instance.passed_on += calls
        capturing = [(where, call) for where, call in calls if _captures(call)]
        if flow.escapes or flow.is_bound:
            capturing += self._capturing
        for where, call in capturing[:1]:
            instance.add_obstacle("module-use", f"`{_UNSUPPORTED_KEYWORD}`", where, call)

    @cached_property
    def _capturing(self) -> list[tuple[Module, ast.Call]]:
        """The calls of functions that may be some model's `apply`, with the argument that only Linen has."""
        return [
            (module, call)
            for module in self.program.project.mentioning(_UNSUPPORTED_KEYWORD)
            for call in module.nodes(ast.Call)
            if _captures(call) and not (isinstance(call.func, ast.Attribute) and call.func.attr in SUPPORTED)
        ]

    def _bound(self, instance: Instance, module: Module, call: ast.Call) -> None:
        """What a program asks of the module that `bind` returns, and of parts of it: a NNX module has no more."""
        for where, node in self.finder.follow(module, call).sure_attributes():
            parent, item = where.parents[node], instance.cls.field(node.attr)
            if item is not None and holds_module_dict(instance.cls, item):
                if not (isinstance(parent, ast.Subscript) and is_called(where, parent)):
                    instance.add_obstacle("module-use", f"`.{node.attr}` of a bound module", where, node)
            known = instance.cls.field(node.attr) or instance.cls.method(node.attr)
            lost = node.attr in self.program.unbound_methods.of(instance.cls)
            missing = node.attr in SUPPORTED | _UNSUPPORTED and not known and not is_only_told(where, node)
            if lost or missing:
                instance.add_obstacle("module-use", f"`.{node.attr}` of a bound module", where, node)


def _captures(call: ast.Call) -> bool:
    return any(keyword.arg == _UNSUPPORTED_KEYWORD for keyword in call.keywords)


def _names_collections(node: ast.expr) -> bool:
    """`True`, `"params"`, `["params", "batch_stats"]`."""
    if isinstance(node, ast.List | ast.Tuple):
        return all(isinstance(e, ast.Constant) and isinstance(e.value, str) for e in node.elts)
    return isinstance(node, ast.Constant) and (node.value is True or isinstance(node.value, str))
