"""Values for classes that the code builds with values of its own: taken from what it shows, else small ones.

A class that was converted should be compared, and often the program has its sizes from a data set, a configuration
or a command line. Any sizes will do for a comparison, as long as the class works with them before. So fields get
what the project shows of them, else their default, else something small of the annotated kind; inputs get what the
project shows, else arrays of the usual ranks. Which of these combinations works is tried on the code before (see
`numerics.trial`), and reports say what was assumed.
"""

from __future__ import annotations

import ast
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nnx_migrate.array_notation import ArraySpec, array_or_expression
from nnx_migrate.linen.classes.model import Field, LinenClass
from nnx_migrate.linen.programs.constructions.models import EVAL_FLAGS, TRAIN_FLAGS, train_flags
from nnx_migrate.linen.programs.dataflow.closing import own_modules
from nnx_migrate.linen.programs.inputs.shown import Shown
from nnx_migrate.linen.programs.inputs.stated_inputs import StatedInputs
from nnx_migrate.nnx.parameter_entries import class_key
from nnx_migrate.numerics.trial import first_that_works
from nnx_migrate.verification.cases import Called, Case, Cases

_MAX_WAYS = 80
_DEFAULT = "..."  # stands for a field that keeps its default
#: Small values by what the name of a number says; the rest gets 8.
_NUMBERS = (
    (r"num_(patches|tokens|positions)|^max_|_len$|length", "16"),
    (r"layer|depth|block|stage|repeat", "2"),
    (r"head|group", "2"),
    (r"kernel|stride|patch|window|factor|rate|ratio", "2"),
    (r"embed|hidden|latent|width|dim|features|channels", "16"),
)
_WIDTHS = re.compile(r"embed|hidden|latent|width|dim|features|channels|size")
_WIDEST = 1024
_INTEGER_INPUTS = re.compile(r"token|ids?$|idx|index|indices|label|atomic|species|categor|input_ids")
_IMAGES = re.compile(r"im(age|g)s?|pixel|picture|frame")
_TIMES = re.compile(r"^(t|time|times|timesteps?|sigma|noise_level|log_snr)$")


@dataclass(frozen=True)
class Way:
    """How a class may be built and called: fields by name as expressions, inputs as arrays or expressions."""

    fields: Mapping[str, str]
    inputs: Sequence[str]

    @property
    def arguments(self) -> str:
        """The arguments of the constructor."""
        return ", ".join(f"{name}={text}" for name, text in self.fields.items())


def assumed_case(cases: Cases, key: str, stated: StatedInputs, timeout: float) -> Case:
    """The comparison of a converted class with made up values; one without sources where none work.

    Raises ChildError where the code before can't be imported.
    """
    cls = cases.code.classes.get(key)
    if cls is None or "<locals>" in cls.qualified:
        return Case(key, missing="the code before has no such class at the top of a module")
    flags = train_flags(cls)
    tried = ways(cls, cases.code.shown(key), stated.arrays(cls), cases.facts.get(key, {}))
    if not tried:
        return Case(key, missing="no values can be made up for it", snippet=snippet(cls, None))
    module, _, name = key.partition(":")
    project = cases.code.project
    modules = own_modules((text for way in tried for text in way.fields.values()), project)
    setup = "\n".join(f"import {name}" for name in modules)
    called = Called(key, setup, "", None, {}, 0, flags, module=module, name=name, draw_constants=True)
    inputs = [tuple(array_or_expression(text, i) for i, text in enumerate(way.inputs)) for way in tried]
    models = [f"{name}({way.arguments})" for way in tried]
    source = cases.source(replace(called, constructor=", ".join(models)))  # which names a notebook is to have
    found = first_that_works(source, list(zip(models, inputs, strict=True)), timeout)
    if isinstance(found, str):
        missing = f"none of the values that were made up for it work: {found}"
        return Case(key, missing=missing, snippet=snippet(cls, None))
    named = dict(zip(required_inputs(cls), inputs[found], strict=True))
    called = replace(called, constructor=tried[found].arguments, inputs=named, positional=len(named))
    return replace(cases.case(called), snippet=snippet(cls, tried[found], setup))


def snippet(cls: LinenClass, way: Way | None, setup: str = "") -> str:
    """The class as `[[tool.nnx-migrate.verify]]` lists it; with `...` for what a person has to fill in."""
    if way is None:
        required = {item.name: "..." for item in cls.fields if item.default is None}
        way = Way(required, ["f32[...]" for _ in required_inputs(cls)])
    lines = ["[[tool.nnx-migrate.verify]]", f'model = "{class_key(cls)}"']
    if setup:
        lines.append(f"setup = {json.dumps(setup)}")
    if way.fields:
        lines.append(f"args = {json.dumps(way.arguments)}")
    if way.inputs:
        lines.append(f"inputs = {json.dumps(list(way.inputs))}")
    lines += [f'train_flag = "{name}"' for name in list(train_flags(cls))[:1]]
    return "\n".join(lines)


def ways(cls: LinenClass, shown: Shown, stated: Sequence[ArraySpec], facts: Mapping[str, Any]) -> list[Way]:
    """What may be tried, likeliest first; none where a field has no value that could be made up.

    `stated` are the inputs of `[tool.nnx-migrate.inputs]`; `facts` what `fix` recorded, for the ranks.
    """
    fields = [_field_values(item, shown) for item in cls.fields]
    widths = _default_widths(cls)
    inputs = [
        [str(stated[place])] if place < len(stated) else [*_input_values(name, shown, facts), *widths]
        for place, name in enumerate(required_inputs(cls))
    ]
    needed = [(item.name, values) for item, values in zip(cls.fields, fields, strict=True) if values]
    if any(item.default is None and not values for item, values in zip(cls.fields, fields, strict=True)):
        return []
    names = [name for name, _ in needed]
    combinations = _nearest_first([*(values for _, values in needed), *inputs])
    return [
        Way(
            {name: value for name, value in zip(names, values, strict=False) if value != _DEFAULT},
            values[len(names) :],
        )
        for values in itertools.islice(combinations, _MAX_WAYS)
    ]


def _default_widths(cls: LinenClass) -> list[str]:
    """Arrays whose last axis is what a default says: a block of `channels: int = 64` may take no other."""
    found: dict[str, None] = {}
    for item in cls.fields:
        value = item.default.value if isinstance(item.default, ast.Constant) else None
        if type(value) is int and _WIDTHS.search(item.name.lower()) and 1 < value <= _WIDEST:
            found |= dict.fromkeys(f"f32[{shape},{value}]" for shape in ("2,8,8", "2,8", "2"))
    return list(found)


def required_inputs(cls: LinenClass) -> list[str]:
    """The parameters of `__call__` that a call has to give, flags left out."""
    method = cls.method("__call__")
    if method is None:
        return []
    arguments = method.node.args
    positional = [a.arg for a in [*arguments.posonlyargs, *arguments.args]][1:]
    required = positional[: len(positional) - len(arguments.defaults)]
    return list(itertools.takewhile(lambda name: name not in TRAIN_FLAGS | EVAL_FLAGS, required))


def _field_values(item: Field, shown: Shown) -> list[str]:
    """Values for a field; none where its default serves, or where there is none to make up.

    Of classes and functions that some places give, the converted class may take another one than the default no more.
    """
    if texts := shown.fields.get(item.name):
        is_plain = re.search(r"\b(?:int|float|str|bool)\b", ast.unparse(item.annotation)) is not None
        return texts if is_plain or item.default is None else [_DEFAULT, *texts]
    return [] if item.default is not None else list(_made_up(item))


def _made_up(item: Field) -> Iterator[str]:
    kind, name = ast.unparse(item.annotation), item.name.lower()
    if re.search(r"Sequence|[Tt]uple|[Ll]ist|Iterable", kind):
        if "int" in kind or "Any" in kind or "[" not in kind:
            yield from ("(8, 8)", "(2, 2)", "[8, 8]", "8")
    elif re.search(r"\bndarray$|\bArray$", kind):
        yield from ("jnp.array([8, 8])", "jnp.array([0.5, 0.5])")
    elif re.search(r"Callable|^Any$", kind) and "act" in name:
        yield "nn.relu"
    elif "init" in name and re.search(r"Callable|Initializer|Any", kind):
        yield "nn.initializers.normal(0.1)"
    elif "dtype" in name or "dtype" in kind.lower():
        yield "jnp.float32"
    elif "bool" in kind:
        yield from ("False", "True")
    elif "float" in kind:
        yield "0.1" if re.search(r"rate|prob|drop|eps", name) else "0.5"
    elif "int" in kind:
        yield next((value for pattern, value in _NUMBERS if re.search(pattern, name)), "8")
    elif "str" in kind:
        yield from map(repr, _compared_with(item))


def _compared_with(item: Field) -> list[str]:
    """The strings that the class compares a field with."""
    found: dict[str, None] = {}
    for node in ast.walk(item.owner.node):
        if isinstance(node, ast.Compare) and any(
            isinstance(part, ast.Attribute) and part.attr == item.name for part in ast.walk(node)
        ):
            texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
            found.update(dict.fromkeys(text for text in texts if isinstance(text, str)))
    return list(found)


def _input_values(name: str, shown: Shown, facts: Mapping[str, Any]) -> list[str]:
    if texts := shown.inputs.get(name):
        return [*texts, *_arrays(name, facts)]
    return list(_arrays(name, facts))


def _arrays(name: str, facts: Mapping[str, Any]) -> Iterator[str]:
    """Arrays of the usual ranks, those first that the name speaks for."""
    sizes = [size for size in facts.get("sizes", ()) if size["path"][:1] == [name]]
    rank = max((-size["axis"] for size in sizes), default=0)
    known = {size["rank"] for size in sizes if "rank" in size and len(size["path"]) == 1}
    images = ["f32[2,16,16,3]", "f32[2,32,32,3]", "f32[2,8,8,8]"]
    rows, sequences, scalars = ["f32[2,8]", "f32[2,16]"], ["f32[2,8,16]"], ["f32[2]"]
    integers = ["i32[2,8]", "i32[2]"]
    if _INTEGER_INPUTS.search(name.lower()):
        order = [*integers, *rows, *sequences]
    elif _IMAGES.search(name.lower()) or rank >= 3:
        order = [*images, *sequences, *rows]
    elif _TIMES.search(name.lower()):
        order = [*scalars, *rows]
    else:
        order = [*rows, *sequences, *images, *integers, *scalars]
    order.sort(key=lambda text: text.count(",") + 1 not in known)  # stays as it is among those of a rank
    yield from (text for text in order if text.count(",") + 1 >= rank)


def _nearest_first(choices: Sequence[Sequence[str]]) -> Iterable[tuple[str, ...]]:
    """All combinations, those first that take the likeliest of most."""
    numbered = itertools.islice(itertools.product(*(range(len(values)) for values in choices)), 20_000)
    for numbers in sorted(numbered, key=sum):
        yield tuple(values[number] for values, number in zip(choices, numbers, strict=True))
