"""A generated program: Linen classes, code that uses them, and how each model is built and called."""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Model:
    """One model of a program: its construction, and what it is called with (expressions)."""

    construction: str
    args: tuple[str, ...]
    eval: dict[str, str] = field(default_factory=dict)
    train: dict[str, str] | None = None

    def call(self, kwargs: dict[str, str] | None = None) -> str:
        """The arguments of a call, as text."""
        return ", ".join([*self.args, *(f"{k}={v}" for k, v in (kwargs or {}).items())])


@dataclass(frozen=True)
class Program:
    """Source of the classes, and the models made of them."""

    classes: str
    models: tuple[Model, ...]

    @property
    def text(self) -> str:
        """The whole file: `run` initialises and applies every model, as a user's program would."""
        lines = ["", "", "def run(key):", "    outputs = []"]
        for number, model in enumerate(self.models):
            lines += [
                f"    model{number} = {model.construction}",
                f"    variables = model{number}.init(key, {model.call(model.eval)})",
                f"    outputs.append(model{number}.apply(variables, {model.call(model.eval)}))",
            ]
        return self.classes.rstrip() + "\n" + "\n".join([*lines, "    return outputs", ""])

    def with_classes(self, classes: str) -> Program:
        """The same models of other classes."""
        return replace(self, classes=classes)
