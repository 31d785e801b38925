"""Names of parameters in programs: `params["Dense_0"]` becomes `params["dense"]`.

A name changes where NNX's attribute differs from what Linen called the submodule. Only whole string constants
are rewritten, and only where every class of the group agrees on the new name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.programs.constructions.references import References
from nnx_migrate.linen.programs.hidden.import_graph import ImportGraph
from nnx_migrate.linen.programs.instance import Obstacle
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.nnx.conversion import ClassConversion
from nnx_migrate.nnx.helpers.placement import imported_helpers
from nnx_migrate.nnx.programs.built_names import SHOWING, builds_name, goes_on_otherwise, keys_behind_values
from nnx_migrate.nnx.programs.entry_counts import UNLISTED, changes_counts, counted_trees
from nnx_migrate.nnx.programs.foreign_names import foreign_name_obstacles
from nnx_migrate.nnx.programs.given_parameters import is_of_given_parameters, stays_as_it_is
from nnx_migrate.nnx.programs.keys_above import Others, names_at
from nnx_migrate.nnx.programs.list_keys import is_of_parameters, split_key
from nnx_migrate.nnx.programs.matched_names import matched_name_obstacles
from nnx_migrate.nnx.programs.name_tests import goes_through_names, name_test_obstacles
from nnx_migrate.nnx.programs.order import changes_order, order_obstacles
from nnx_migrate.nnx.programs.renames import AUTOMATIC, Renames, names_of
from nnx_migrate.nnx.programs.unrelated import has_only_its_own
from nnx_migrate.sources.text import Edit

_LOOKING = frozenset(
    {
        "startswith", "endswith", "match", "search", "fullmatch", "replace", "find", "findall", "compile",
        "sub", "split",
    }
)  # fmt: skip
#: What only patterns for parameters have: a placeholder for numbers, or the name of a parameter at the end.
_PATTERN = re.compile(r"\\d|\.\*|\[0-9\]|/(?:kernel|bias|scale|embedding|mean|var)\W*$")


@dataclass
class NamesFound:
    """The edits for one group, and the places that can't be rewritten."""

    edits: list[tuple[Module, Edit]] = field(default_factory=list)
    obstacles: list[Obstacle] = field(default_factory=list)
    #: The files that count entries of parameters, which get a helper for it.
    counting: list[Module] = field(default_factory=list)


class NameChanges:
    """Finds strings of a program that name parameters."""

    def __init__(
        self,
        project: Project,
        references: References,
        inits: Mapping[ast.AST, LinenClass] = MappingProxyType({}),
        imports: ImportGraph | None = None,
    ) -> None:
        """`inits` are the calls of `init` whose model is known."""
        self.project, self.references, self.inits = project, references, inits
        self.imports = imports or ImportGraph(project)
        self._found: dict[Module, list[tuple[ast.Constant, LinenClass | None]]] = {}
        # by file, and whether old and new names are sorted alike
        self._of_order: dict[tuple[Module, bool], list[Obstacle]] = {}
        self._counted: dict[Module, list[ast.expr]] = {}  # trees of parameters
        self._built: dict[Module, list[tuple[ast.expr, re.Pattern[str]]]] = {}  # keys that it makes
        self._going: dict[Module, bool] = {}  # through the names of parameters
        self._translating: dict[Module, list[Obstacle]] = {}  # names of other libraries, or of other trees
        self._own: dict[Module, bool] = {}  # whether it has no parameters but those of models that it knows

    def of(self, conversions: Sequence[ClassConversion], others: Sequence[Others] = ()) -> NamesFound:
        """What a group's new names mean for the project's strings; `others` are classes of other groups."""
        found = NamesFound()
        renames = Renames.of(conversions)
        classes = {conversion.cls for conversion in conversions}
        pairs = [pair for conversion in conversions for pair in names_of(conversion)]
        alike = not any(changes_order(names_of(conversion)) for conversion in conversions)
        moves_to_lists = changes_counts(pairs)
        texts = {cls.module.source.text for cls in (*classes, *others)}
        homes, words = {cls.module.path for cls in classes}, renames.words
        counts = renames.counts("0")  # some are called by numbers alone
        for module in self.project.modules():
            near = self.imports.known_to(module)
            is_near = not homes.isdisjoint(near)
            beside = [other for other in others if other.module.path in near]
            if not is_near and self._has_only_its_own(module):
                continue
            if is_near or not beside:
                found.obstacles += self._order(module, alike)
                found.obstacles += self._tests(module, pairs)
                if moves_to_lists:
                    self._count(module, found)
                if any(old != new for old, new in pairs):
                    found.obstacles += self._translations(module)
                found.obstacles += self._keys(module, renames)
            if not counts and not any(word in module.source.text for word in words):
                continue
            for node, model in self._strings(module):
                text = str(node.value)
                if not any(word in text or word.startswith("*") for word in words) and not (
                    counts and _is_number_of(module, node)
                ):
                    continue  # `*` stands for the names of any class
                if goes_on_otherwise(module, node, texts):
                    continue
                own = self.references.enclosing_class(module, node)
                if own is not None:
                    conversion = next((c for c in conversions if c.cls is own), None)
                    if conversion is not None and stays_as_it_is(conversion, module, node):
                        self._string(module, node, Renames.of([conversion]), (), found)
                elif model is None and (is_near or not _is_of(beside, text)):
                    self._string(module, node, renames, beside if is_near else others, found)
                elif model in classes:
                    self._string(module, node, renames, (), found)
        return found

    def _has_only_its_own(self, module: Module) -> bool:
        """Whether a file can't have parameters of models that it doesn't know."""
        if module not in self._own:
            self._own[module] = has_only_its_own(module, self.project, self.imports)
        return self._own[module]

    def _order(self, module: Module, alike: bool) -> list[Obstacle]:
        """Places in a file that depend on the order of parameters."""
        if (module, alike) not in self._of_order:
            self._of_order[module, alike] = list(order_obstacles(self.project, module, alike))
        return self._of_order[module, alike]

    def _count(self, module: Module, found: NamesFound) -> None:
        """Trees whose entries a file counts."""
        if module not in self._counted:
            self._counted[module] = list(counted_trees(module))
        is_free = UNLISTED not in module.scopes.module.bindings or any(
            name == UNLISTED for _, name in imported_helpers(module, self.project)
        )
        for tree in self._counted[module]:
            if is_free:
                start, end = module.source.span(tree)
                found.edits += [(module, Edit(start, start, f"{UNLISTED}(")), (module, Edit(end, end, ")"))]
                found.counting.append(module)
            else:
                detail = f"the file has a `{UNLISTED}` of its own"
                found.obstacles.append(Obstacle("name-clash", detail, module, tree))

    def _tests(self, module: Module, pairs: Sequence[tuple[str, str]]) -> Iterator[Obstacle]:
        """Places in a file that look into names, and find something else in the new ones."""
        if module not in self._going:
            self._going[module] = goes_through_names(module)
        for obstacle in name_test_obstacles(module, pairs) if self._going[module] else ():
            if not self.references.in_linen_class(module, obstacle.node):
                yield obstacle

    def _translations(self, module: Module) -> list[Obstacle]:
        """Places in a file that make names of another library's or the other way round, or match those of trees."""
        if module not in self._translating:
            places = (*foreign_name_obstacles(module), *matched_name_obstacles(module))
            self._translating[module] = [
                place for place in places if not self.references.in_linen_class(module, place.node)
            ]
        return self._translating[module]

    def _keys(self, module: Module, renames: Renames) -> Iterator[Obstacle]:
        """Keys that a file builds, and which may be names that change."""
        if module not in self._built:
            self._built[module] = list(keys_behind_values(module))
        for node, names in self._built[module]:
            if renames.changes_any(names) and not self.references.in_linen_class(module, node):
                yield Obstacle("parameter-names", f"a name is made of `{ast.unparse(node)}`", module, node)

    def _strings(self, module: Module) -> list[tuple[ast.Constant, LinenClass | None]]:
        """Strings that may be names, each with the class of the model whose parameters it is a key of, if known."""
        if module not in self._found:
            strings = self._find_strings(module)
            self._found[module] = [(node, self._model(module, module.parents[node])) for node in strings]
        return self._found[module]

    def _find_strings(self, module: Module) -> Iterator[ast.Constant]:
        """String constants that aren't docstrings or `name=` arguments: outside of modules, or about what these get."""
        for node in module.nodes(ast.Constant):
            if not isinstance(node.value, str):
                continue
            parent = module.parents[node]
            named = isinstance(parent, ast.keyword) and parent.arg == "name"
            if (
                not isinstance(parent, ast.Expr)
                and not named
                and (not self.references.in_linen_class(module, node) or is_of_given_parameters(module, node))
            ):
                yield node

    def _model(self, module: Module, node: ast.AST) -> LinenClass | None:
        """The class of the model whose parameters a subscript reads: `model.init(...)["params"]["Dense_0"]`."""
        while isinstance(node, ast.Subscript):
            node = node.value
            if isinstance(node, ast.Name):
                bindings = module.scope_at(node).lookup(node.id)
                if len(bindings) == 1 and bindings[0].value is not None:
                    node = bindings[0].value
                    if node in self.inits:
                        break
        return self.inits.get(node)

    @staticmethod
    def _string(
        module: Module, node: ast.Constant, renames: Renames, others: Sequence[Others], found: NamesFound
    ) -> None:
        text, parent = str(node.value), module.parents[node]

        def obstacle(detail: str) -> None:
            found.obstacles.append(Obstacle("parameter-names", detail, module, node))

        parts = re.split(r"[/.]", text)
        subscript = isinstance(parent, ast.Subscript) and parent.slice is node
        known, others = names_at(module, node, renames, others) if len(parts) == 1 else (renames, others)
        touched = [p for p in parts if known.changes(p) or (renames.changes(p) and not known.keeps(p))]
        if re.search(r"\s", text):  # a number in a sentence is no key
            touched = [part for part in touched if not part.isdigit()]
        if not touched or isinstance(parent, ast.JoinedStr):
            if builds_name(module, node, renames.stems):
                edit = _counted_key(module, node, renames, others)
                if edit is None:
                    obstacle(f"a name is made of {text!r}")
                else:
                    found.edits.append((module, edit))
            elif _mentions(text, renames.stems) and (
                _PATTERN.search(text) or _looks_into_names(module, node)
            ):
                obstacle(f"names are compared with {text!r}")
            return
        is_key = subscript or (isinstance(parent, ast.Dict) and node in parent.keys)
        if not is_key and not any(AUTOMATIC.fullmatch(p) or renames.counts(p) for p in touched):
            if _may_be_meant(module, node, touched):
                obstacle(f"names are compared with {text!r}")
            return  # an ordinary word that also names a submodule
        new = [known.new(part) for part in touched]
        if any(other.may_mean(old, name) for old, name in zip(touched, new, strict=True) for other in others):
            obstacle(f"{text!r} may belong to several models")
            return
        if None in new or (len(parts) != 1 and not all(AUTOMATIC.fullmatch(p) for p in touched)):
            obstacle(f"what {text!r} becomes isn't clear")
            return
        changed = text
        for old, name in zip(touched, new, strict=True):
            path = str(name) if len(parts) == 1 else str(name).replace("/", "." if "." in text else "/")
            changed = re.sub(rf"(?<![\w]){re.escape(old)}(?![\w])", path, changed)
        quote = module.source.segment(node)[-1]
        if module.source.segment(node) != f"{quote}{node.value!s}{quote}":
            obstacle(f"{text!r} is written in pieces")
            return
        pieces = changed.split("/")
        if len(pieces) > len(parts) == 1:  # a module in a list: two keys
            edits = split_key(module, node, lambda name: _new_keys(name, known, renames))
            if edits is None:
                obstacle(f"what {text!r} becomes isn't clear")
            found.edits += [(module, edit) for edit in edits or ()]
            return
        found.edits.append((module, Edit(*module.source.span(node), f"{quote}{changed}{quote}")))


def _is_of(others: Iterable[Others], text: str) -> bool:
    """Whether a text names something in one of these classes, the only ones whose parameters a file may have."""
    names = {name for word in re.findall(r"[A-Za-z]\w*", text) for name in (word, f"{word.rstrip('_')}_0")}
    return any(other.has(name) for other in others for name in names)


def _new_keys(name: str, known: Renames, renames: Renames) -> list[str] | None:
    """What a key of parameters becomes: itself, another name, or the keys of a list and of its module."""
    if not (known.changes(name) or (renames.changes(name) and not known.keeps(name))):
        return [name]
    new = known.new(name)
    return new.split("/") if new is not None else None


def _counted_key(
    module: Module, node: ast.Constant, renames: Renames, others: Sequence[Others]
) -> Edit | None:
    """`params[f"fc_{i}"]` as `params["fcs"][str(i)]`; None for other texts, and where that isn't certain."""
    text = module.parents[node]
    read = module.parents[text]
    if not (
        isinstance(text, ast.JoinedStr)
        and isinstance(read, ast.Subscript)
        and isinstance(read.ctx, ast.Load)
        and read.slice is text
        and text.values[0] is node
        and len(text.values) == 2
        and isinstance(value := text.values[1], ast.FormattedValue)
        and value.conversion == -1
        and value.format_spec is None
        and is_of_parameters(module, read.value)
    ):
        return None
    start = str(node.value)
    whole = re.fullmatch(
        rf"""[fF](["']){re.escape(start)}\{{[^{{}}"']*\}}["']""", module.source.segment(text)
    )
    known, others = names_at(module, text, renames, others)
    name = known.list_of(start)
    if whole is None or name is None or any(other.may_count(start, name) for other in others):
        return None
    keys = "][".join(f"{whole[1]}{key}{whole[1]}" for key in name.split("/"))
    return Edit(*module.source.span(text), f"{keys}][str({ast.unparse(value.value)})")


def _is_number_of(module: Module, node: ast.Constant) -> bool:
    """`params["layers"]["0"]`: the number of a module, where modules are called so."""
    read = module.parents[node]
    if not isinstance(read, ast.Subscript) or read.slice is not node:
        return False
    return str(node.value).isdigit() and is_of_parameters(module, read.value)


def _mentions(text: str, stems: set[str]) -> bool:
    """Whether a part of a path, or of a pattern for paths, begins as names that change do."""
    return not _beginnings(text).isdisjoint(stems)


@lru_cache(maxsize=1 << 16)
def _beginnings(text: str) -> frozenset[str]:
    """The parts of a path, or of a pattern for paths, without the numbers behind them."""
    words = re.findall(r"(?<![\\\w])[A-Za-z]\w*", text)
    return frozenset(short for word in words for short in (word.rstrip("_"), re.sub(r"_?\d*$", "", word)))


def _may_be_meant(module: Module, node: ast.Constant, names: Iterable[str]) -> bool:
    """Whether a text that is the explicit name of a module is likely to mean it: `regex="hyper_dense"`,
    `key in ["pos_embed", "cls_token"]`. One word may be anything, but where code goes through names.
    """
    call = module.parents[node]
    if isinstance(call, ast.keyword):
        call = module.parents[call]
    if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] in SHOWING:
        return False
    return any("_" in name for name in names) or goes_through_names(module)


def _looks_into_names(module: Module, node: ast.Constant) -> bool:
    """`"Dense" in key`, `key.startswith("Dense")`, `key.startswith(("Dense", "Conv"))`, `re.match("Dense", key)`."""
    parent = module.parents[node]
    if isinstance(parent, ast.Compare):
        return any(isinstance(op, ast.In | ast.Eq | ast.NotIn | ast.NotEq) for op in parent.ops)
    if isinstance(parent, ast.Tuple):
        parent = module.parents[parent]
    return (
        isinstance(parent, ast.Call)
        and isinstance(parent.func, ast.Attribute)
        and parent.func.attr in _LOOKING
    )
