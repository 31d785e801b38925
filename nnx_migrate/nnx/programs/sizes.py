"""Where the sizes of a construction come from: the sample input of `init`, else the first call's inputs."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod

from nnx_migrate.linen.classes.model import LinenProgram
from nnx_migrate.linen.programs.constructions.chosen_axes import chosen_axes
from nnx_migrate.linen.programs.handed.modules import above, method_is_called
from nnx_migrate.linen.programs.inputs.entry_calls import (
    argument_at,
    argument_of,
    is_left_out,
    lacks_item,
    method_of,
)
from nnx_migrate.linen.programs.inputs.sample_inputs import SampleInputs, Size, visible_at
from nnx_migrate.linen.programs.inputs.stated_inputs import StatedInputs
from nnx_migrate.linen.programs.instance import Instance
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import part_text
from nnx_migrate.names.modules import Module
from nnx_migrate.nnx.conversion import ClassConversion
from nnx_migrate.nnx.writer.symbols import SizeParameter


@dataclass
class Sizes:
    """What a construction gets: `arguments` by name, and in `late` those that only the first call tells."""

    arguments: dict[str, str] = field(default_factory=dict)
    late: dict[str, str] = field(default_factory=dict)  # name -> expression over arguments of __call__
    inputs: list[str] = field(default_factory=list)  # the arguments that `late` reads

    def add_late(self, parameter: SizeParameter, axes: Sequence[int] = ()) -> None:
        """Take a size from the inputs of the first call, or those at the `axes` for a sequence of them."""
        head = str(parameter.path[0])
        if head not in self.inputs:
            self.inputs.append(head)
        array = head + part_text(parameter.path[1:], '"')
        size = parameter.expression(array, axes)
        self.late[parameter.name] = f"None if {array} is None else {size}" if parameter.optional else size

    @property
    def function(self) -> str:
        """The lambda that computes the late sizes."""
        items = ", ".join(f'"{name}": {text}' for name, text in self.late.items())
        return f"lambda {', '.join(self.inputs)}: {{{items}}}"


class SizeFinder:
    """Finds the sizes of constructions outside of modules. Raises Refuse where there are none."""

    def __init__(self, program: LinenProgram, stated: StatedInputs) -> None:
        self.program, self.samples, self.stated = program, SampleInputs(program.project), stated

    def find(self, instance: Instance, conversion: ClassConversion) -> Sizes:
        """All sizes of one construction."""
        sizes = Sizes()
        for parameter in conversion.sizes:
            if parameter.optional and self._is_never_given(instance, parameter):
                continue
            stated = self._stated(instance, parameter)
            if stated is not None:
                sizes.arguments[parameter.name] = stated
                continue
            if parameter.optional and not self._is_always_given(instance, parameter):
                detail = f"whether `{instance.cls.name}` gets `{parameter.path[0]}` isn't clear"
                raise Refuse("unknown-size", detail, instance.reference.node)
            configured = self._configured(instance, parameter)
            try:
                if configured is None or instance.is_used:
                    self._late(sizes, instance, parameter)
                    continue
            except Refuse:
                if configured is None:
                    raise
            sizes.arguments[parameter.name] = str(configured)
        return sizes

    def check_late(self, instance: Instance, conversion: ClassConversion) -> None:
        """Refuse a module whose sizes the inputs of its first call can't tell."""
        for parameter in conversion.sizes:
            self._late(Sizes(), instance, parameter)

    @staticmethod
    def _is_never_given(instance: Instance, parameter: SizeParameter) -> bool:
        """Whether no call that creates the parameters gives the argument a value; `apply` then can't, either.

        A program that has its parameters from elsewhere shows by its calls of `apply` what it needs of them.
        """
        applied = [*instance.applies, *instance.passed_on] if instance.is_seen else []
        calls = instance.inits or applied
        if not calls or instance.passes_init_on or instance.holders:
            return False
        method = instance.cls.method(parameter.method)
        return all(
            method_of(call) == parameter.method and is_left_out(call, method, str(parameter.path[0]))
            for _, call in calls
        )

    @staticmethod
    def _is_always_given(instance: Instance, parameter: SizeParameter) -> bool:
        """Whether every call names the argument, if only to say that it is None, or there is only one call for one
        initialisation: `Functional` reads it there.
        """
        calls = [call for _, call in (*instance.inits, *instance.applies, *instance.passed_on)]
        method = instance.cls.method(parameter.method)
        if not instance.is_seen or instance.passes_init_on or method is None:
            return False
        if instance.holders:
            return not calls and instance.is_called_once and str(parameter.path[0]) in method.parameters
        return bool(calls) and all(
            method_of(call) == parameter.method
            and argument_of(call, method, str(parameter.path[0])) is not None
            for call in calls
        )

    def _configured(self, instance: Instance, parameter: SizeParameter) -> int | None:
        """The size by the shapes that the configuration states for the class."""
        is_size = not parameter.is_dtype and parameter.listed is None
        for name, shape in self.stated.shapes(instance.cls) if is_size else ():
            if (parameter.method, parameter.path) == ("__call__", (name,)):
                if parameter.flat:
                    return prod(shape[parameter.axis :])
                return shape[parameter.axis] if -len(shape) <= parameter.axis < len(shape) else None
        return None

    def _stated(self, instance: Instance, parameter: SizeParameter) -> str | None:
        """The expression for a size, if all calls of `init` that are known agree on it."""
        place = instance.reference.node
        calls = instance.inits or instance.applies
        found: list[Size | None] = [self._at(call, instance, parameter) for call in calls]
        if not found or None in found or (instance.indirect and not instance.inits):
            return None
        texts = {size.text for size in found if size is not None}
        if len(texts) != 1:
            return None
        (size,) = [s for s in found if s is not None][:1]
        module = instance.reference.module
        return size.text if visible_at(size, module, place) else None

    def _at(
        self, where: tuple[Module, ast.Call], instance: Instance, parameter: SizeParameter
    ) -> Size | None:
        if parameter.is_dtype:
            return None  # the call knows it
        axes = self._axes(instance, parameter)
        module, call = where
        method = instance.cls.method(method_of(call))
        if method is None or method.name != parameter.method:
            return None
        argument, rest = argument_at(call, method, parameter.path)
        if argument is None:
            return None
        if parameter.listed is not None:
            parts = [self.samples.size(module, argument, rest, axis) for axis in axes]
            return _together([part for part in parts if part is not None]) if None not in parts else None
        if parameter.joined and (rest or self.samples.rank(module, argument) is None):
            return None  # it may hold several arrays
        find = self.samples.elements if parameter.flat else self.samples.size
        return find(module, argument, rest, parameter.axis)

    def _axes(self, instance: Instance, parameter: SizeParameter) -> tuple[int, ...]:
        """The axes that the construction chooses, where the class takes the sizes at all of them. Raises Refuse."""
        if parameter.listed is None:
            return ()
        axes, place = None, (parameter.method, str(parameter.path[0]), parameter.listed)
        if instance.made_by is None:
            axes = chosen_axes(self.program, instance.cls, instance.reference.call, *place)
        if axes is None:
            detail = f"the axes of `{parameter.path[0]}` that this `{instance.cls.name}` is for aren't clear"
            raise Refuse("unknown-size", detail, instance.reference.node)
        return axes

    def _late(self, sizes: Sizes, instance: Instance, parameter: SizeParameter) -> None:
        if parameter.method != "__call__":
            detail = f"`{parameter.name}` of `{instance.cls.name}`: no call of `init` shows it"
            raise Refuse("unknown-size", detail, instance.reference.node)
        by_method = any(method_of(call) != "__call__" for _, call in instance.inits)
        unseen = by_method or (instance.calls_a_method and not instance.is_initialised)
        if unseen or any(
            user.calls_a_method and not (user.inits or user.passes_init_on) for user in above(instance)
        ):
            detail = f"`{parameter.name}` of `{instance.cls.name}`: only a method is applied"
            raise Refuse("unknown-size", detail, instance.reference.node)
        calls = [call for _, call in (*instance.inits, *instance.applies) if method_of(call) == "__call__"]
        method, name = instance.cls.method("__call__"), str(parameter.path[0])
        if any(lacks_item(call, method, parameter.path) for call in calls) or (
            not parameter.optional and any(is_left_out(call, method, name) for call in calls)
        ):
            detail = f"`{parameter.name}` of `{instance.cls.name}`: a call leaves `{name}` out"
            raise Refuse("unknown-size", detail, instance.reference.node)
        if self._gets_number(instance, parameter):
            detail = f"`{parameter.name}` of `{instance.cls.name}`: `{name}` is a number, which has no axes"
            raise Refuse("unknown-size", detail, instance.reference.node)
        if any(method_is_called(holder, instance) for holder in instance.holders):
            detail = (
                f"`{parameter.name}` of `{instance.cls.name}`: the module that gets it calls a method of it"
            )
            raise Refuse("unknown-size", detail, instance.reference.node)
        sizes.add_late(parameter, self._axes(instance, parameter))

    def _gets_number(self, instance: Instance, parameter: SizeParameter) -> bool:
        """Whether a call gives a number for the array whose size is asked for: `model.init(key, 0)`."""
        for module, call in (*instance.inits, *instance.applies):
            method = instance.cls.method(method_of(call))
            argument, _ = argument_at(call, method, parameter.path) if method is not None else (None, ())
            if argument is not None and not parameter.is_dtype and self.samples.is_number(module, argument):
                return True
        return False


def _together(parts: list[Size]) -> Size | None:
    """Several sizes as a tuple, if one place sees them all."""
    first = next((part for part in parts if part.value is None), parts[0])
    if any(p.value is None and (p.module, p.node) != (first.module, first.node) for p in parts):
        return None
    text = ", ".join(part.text for part in parts)
    return replace(first, text=f"({text}{',' if len(parts) == 1 else ''})", value=None)
