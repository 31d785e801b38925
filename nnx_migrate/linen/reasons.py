"""Why a Linen class is left as it was: the documented list of reasons.

A reason has an id (stable: reports, configuration and documentation refer to it), and says what was found,
why it
can't be converted with certainty, and what a person should do.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """One entry of the documented list."""

    id: str
    what: str
    why: str
    advice: str


REASONS: dict[str, Reason] = {
    reason.id: reason
    for reason in (
        Reason(
            "pinned-release",
            "the project's own requirements keep it on a release that lacks what would be written",
            "the converted code could not run there",
            "raise the pin to flax>=0.12, or say what it will be: `--target-flax 0.12.8`",
        ),
        Reason(
            "unknown-base",
            "a base class can't be resolved to a Linen class, a project class or a plain mixin",
            "its fields, methods and submodules would be unknown",
            "make the base class importable from the given paths, or convert the class by hand",
        ),
        Reason(
            "unknown-size",
            "an input size that NNX needs at construction can't be derived from the code",
            "NNX creates parameters in the constructor, before any input has been seen",
            "give the module's inputs in `[tool.nnx-migrate.inputs]`, let `fix --trace` see them, or "
            "pass the size yourself",
        ),
        Reason(
            "sizes-differ",
            "one layer is called on inputs whose sizes are not provably equal",
            "a single constructor argument has to serve every call",
            "check that the sizes are equal and write them with the same expression",
        ),
        Reason(
            "dynamic-construction",
            "a submodule is created under a condition, or with an argument, that only a call knows",
            "NNX decides in the constructor which parameters exist",
            "make the condition a field of the module",
        ),
        Reason(
            "shape-condition",
            "a submodule is created under a condition on array shapes that can't be decided from the code",
            "NNX decides in the constructor which parameters exist",
            "express the condition through fields of the module, or give its inputs",
        ),
        Reason(
            "unsupported-layer",
            "a Linen layer or argument has no counterpart that computes the same",
            "replacing it silently would change the model",
            "keep this layer behind `nnx.bridge.ToNNX`",
        ),
        Reason(
            "unsupported-api",
            "the class uses a part of Linen's Module API that has no counterpart in NNX",
            "scopes, lazy initialisation and cloning do not exist for NNX modules",
            "rewrite this part by hand",
        ),
        Reason(
            "unsupported-syntax",
            "submodules are created within a construct that can't be followed",
            "the constructor would have to repeat control flow that can't be copied faithfully",
            "move the construction to the top level of the method, a plain loop or a plain condition",
        ),
        Reason(
            "unknown-module",
            "a module comes from somewhere that the code doesn't show",
            "what it needs and returns is unknown",
            "annotate the field with the module's class, or construct it within the project",
        ),
        Reason(
            "unknown-call",
            "a submodule is handed to code that can't be followed",
            "its input sizes and the order of its calls are unknown",
            "call the submodule within the class",
        ),
        Reason(
            "recursive-module",
            "the module contains itself",
            "its constructor would never end",
            "give the recursion a depth and unroll it",
        ),
        Reason(
            "name-clash",
            "two things would get the same name in the NNX class",
            "NNX keeps fields, submodules and variables in one namespace",
            "rename one of them",
        ),
        Reason(
            "shared-module",
            "a module is created by one object and used by another in a way that decides "
            "where its parameters live",
            "Linen moves parameters to the first scope that uses them; NNX does not",
            "create the module where it is used",
        ),
        Reason(
            "hidden-use",
            "a configuration, a text or a computed import names the class, and may construct it",
            "that construction can't be seen, and would lack what NNX needs",
            "convert the class and that construction together by hand",
        ),
        Reason(
            "used-outside",
            "a file that was not given to `fix` uses the class",
            "it would be left broken",
            "give that file to `fix` too: usually the whole project, `nnx-migrate fix .`",
        ),
        Reason(
            "base-not-converted",
            "a class that this one builds on (base class or submodule) was not converted",
            "Linen and NNX modules can't inherit from each other, and only some hold each other by a bridge",
            "see the finding of that class; this one says what keeps `nnx.bridge.ToNNX` from holding it",
        ),
        Reason(
            "mode-flag",
            "a train/eval switch reaches a layer in a way that can't be followed",
            "NNX layers without a flag train silently",
            "pass the flag at the layer's call",
        ),
        Reason(
            "instance-escapes",
            "a module is handed to code that isn't part of the project",
            "that code may expect a Linen module",
            "check whether that library takes NNX modules, and convert this use by hand",
        ),
        Reason(
            "module-use",
            "a program uses a module in a way that has no counterpart",
            "NNX modules hold their variables; they are not cloned, bound or initialised by a call",
            "rewrite this use by hand",
        ),
        Reason(
            "class-as-value",
            "a Linen class is used as a value in a way that can't be followed",
            "where the class is instantiated, sizes and random streams have to be added",
            "construct the module where its class is named",
        ),
        Reason(
            "parameter-names",
            "the program refers to parameters by names that change, in a way that can't be rewritten",
            "the variables of the NNX module are named after its attributes",
            "use the names of the new attributes",
        ),
        Reason(
            "uses-not-converted",
            "the program around this class, or a class that shares modules with it, can't be converted",
            "a class moves with what it is built on, and with what programs make of it",
            "see the finding of that place",
        ),
        Reason(
            "budget",
            "the class is too large to be analysed within the limit for one class",
            "a single class may not hold up the whole run",
            "split the class",
        ),
    )
}


class Refuse(Exception):
    """Raised while a class is analysed or written: `reason` is an id of REASONS, `detail` says what
    exactly.
    """

    def __init__(self, reason: str, detail: str = "", node: ast.AST | None = None) -> None:
        if reason not in REASONS:
            raise KeyError(reason)
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail, self.node = reason, detail, node


class RankUnknown(Refuse):
    """Raised where a submodule works for one rank only: `needed` are the ranks of the class's own inputs that
    this takes, by their paths.
    """

    def __init__(self, detail: str, node: ast.AST, needed: Mapping[tuple[str | int, ...], int]) -> None:
        super().__init__("unknown-size", detail, node)
        self.needed = needed


@dataclass(frozen=True)
class Refusal:
    """A class that is not converted: `line` (1-based) is where the reason was found, 0 where it has no
    place.
    """

    qualified: str
    reason: str
    detail: str
    line: int = 0

    @property
    def advice(self) -> str:
        """What a person should do."""
        return REASONS[self.reason].advice
