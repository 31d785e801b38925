"""The construction of one of several classes of the project that a condition, a table or a function chooses.

They get the same arguments, but for sizes and `rngs`, which only some of them may need:

    basis = basis_of(self.kind)
    self.basis = basis(8, **({"in_features": 3} if basis is Fourier else {}), rngs=rngs)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nnx_migrate.linen.chosen.partials import PartialChoice
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import ClassChoice
from nnx_migrate.nnx.writer.construction.chosen_layers import visible
from nnx_migrate.nnx.writer.construction.chosen_partials import check_partials

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.construction.writer import ConstructionWriter

_KEYWORD = re.compile(r"([A-Za-z_]\w*)=(?!=)(.*)", re.DOTALL)


def chosen_class(writer: ConstructionWriter, site: Site, choice: ClassChoice) -> tuple[str, list[str]]:
    """Callee and argument texts, which have to serve every class that it may be. Raises Refuse."""
    check_partials(writer, site)
    parts = {cls: writer.project_class(site, cls) for cls in choice.classes}
    (callee, first), *others = parts.values()
    if all(other == (callee, first) for other in others):
        return callee, first
    given = {cls: arguments for cls, (_, arguments) in parts.items()}
    together = _in_one_order(list(given.values()))
    is_told = choice.text and not isinstance(choice, PartialChoice) and not (site.lifts or site.partials)
    if together is None or not is_told or any(other != callee for other, _ in others):
        detail = f"the classes that `{choice.field}` may be need different arguments"
        raise Refuse("unknown-module", detail, site.call)
    writer.renderer.see(choice.text)
    return callee, [
        text
        if all(text in arguments for arguments in given.values())
        else _of_some(writer, site, choice, text, [cls for cls in given if text in given[cls]])
        for text in together
    ]


def _in_one_order(lists: Sequence[list[str]]) -> list[str] | None:
    """The arguments of all of them; None where they differ in more than keywords that are there or not."""
    together: list[str] = max(lists, key=len).copy()
    for arguments in lists:
        place = 0
        for text in arguments:
            if text in together:
                if together.index(text) < place:
                    return None
                place = together.index(text) + 1
            else:
                together.insert(place, text)
                place += 1
    some = [text for text in together if not all(text in arguments for arguments in lists)]
    names = [found[1] for text in together if (found := _KEYWORD.fullmatch(text))]
    alone = len(set(together)) == len(together) and len(set(names)) == len(names)
    return together if alone and all(map(_KEYWORD.fullmatch, some)) else None


def _of_some(
    writer: ConstructionWriter, site: Site, choice: ClassChoice, text: str, classes: Sequence[LinenClass]
) -> str:
    """A keyword for some of the classes alone."""
    others = [cls for cls in choice.classes if cls not in classes]
    asked, word = (others, "is not") if len(others) == 1 < len(classes) else (classes, "is")
    names = [visible(writer, cls, site) for cls in asked]
    test = f"{word} {names[0]}" if len(names) == 1 else f"in ({', '.join(names)})"
    found = _KEYWORD.fullmatch(text)
    assert found is not None
    return f'**({{"{found[1]}": {found[2]}}} if {choice.text} {test} else {{}})'
