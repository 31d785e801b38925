"""Mode flags that a module takes where it is made or where it is called: `nn.merge_param` takes the one that is given.

`BatchNorm(use_running_average=not train)(x)` is `BatchNorm()(x, use_running_average=not train)` then: the constructor
of the class around doesn't know `train`, its call does.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from nnx_migrate.linen.classes.merged_flags import is_merged
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import ClassRef

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.construction.writer import ConstructionWriter


def merged_flags(writer: ConstructionWriter, site: Site) -> dict[str, ast.expr]:
    """The flags of a construction that only the call knows, and that the submodule takes there. Raises Refuse."""
    if not isinstance(site.target, ClassRef):
        return {}
    static = writer.analysis.facts.static_names
    # a function that one call of it gives a mode which only calls know hands on every mode
    around = {(), *(other.context for other in writer.analysis.sites if other.call is site.call)}

    def is_late(node: ast.expr) -> bool:
        return any(static.get((context, n)) is False for n in ast.walk(node) for context in around)

    made = (writer.factories.get(partial.call) for partial in site.partials)
    by_calls = {factory.flag for factory in made if factory is not None}
    given = list(_given(site, site.target.cls))
    names = [name for name, _ in given]
    found = {
        name: value
        for name, value in given
        if names.count(name) == 1
        and (name in by_calls or is_late(value))
        and is_merged(site.target.cls, name)
    }
    for call in site.calls if found else ():
        again = call.node is None or any(k.arg is None or k.arg in found for k in call.node.keywords)
        if again or call.method != "__call__" or len(call.args) > 1:
            raise Refuse("mode-flag", f"`{site.target_name}` may get its mode twice", site.call)
    return found


def without_flags(late: Mapping[str, ast.expr], args: Sequence[ast.expr], site: Site) -> Sequence[ast.expr]:
    """The positional arguments of a construction but for such a flag, if it stands behind the others. Raises Refuse."""
    flags = [index for index, node in enumerate(args) if any(node is flag for flag in late.values())]
    if not flags:
        return args
    if flags != [len(args) - 1] or site.partials:
        raise Refuse(
            "mode-flag", f"`{site.target_name}` gets its mode in front of other arguments", site.call
        )
    return args[:-1]


def _given(site: Site, cls: LinenClass) -> Iterator[tuple[str, ast.expr]]:
    """What a construction gives to which field, the partials included that it calls."""
    calls = [(partial.call.args[1:], partial.call.keywords) for partial in site.partials]
    names = iter([item.name for item in cls.fields])
    for args, keywords in (*calls, (site.call.args, site.call.keywords)):
        for argument in args:
            if isinstance(argument, ast.Starred):
                return
            yield next(names, ""), argument
        yield from ((keyword.arg, keyword.value) for keyword in keywords if keyword.arg is not None)
