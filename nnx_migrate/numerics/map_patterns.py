"""Paths with index placeholders: how one map entry speaks about all layers that a loop creates.

An element of a path pattern is literal text with placeholders in braces:

- ``{i}``: a loop index, a decimal number (``Dense_{i}``, ``layers_{i}_{j}``);
- ``{i + 1}``, ``{2*i + j}``, ``{i // 2}``: integer arithmetic over indices that are bound elsewhere in the
  entry;
- ``{i:02}``, ``{i + 1:03}``: the number, filled with zeros up to that width;
- ``{*key}``: any text, for the keys of a dictionary of modules; on Linen's side alone, a part of a module's name
  that only the model tells: it is the name that no other entry explains;
- ``{#}``: the ordinal of the match, counted from 0 in the lexicographic order of the bound indices. It
  expresses a counter that runs through nested loops (Linen's auto-names do: ``Block_{#}`` against
  ``stages/{i}/{j}``); arithmetic is allowed here too (``Dense_{2*# + 1}``).

A pattern can *bind* indices (by being matched against a concrete path) only where each of its placeholders is
a bare name; any pattern can be *rendered* once the indices are known.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

Path = tuple[str, ...]
Value = int | str
Binding = Mapping[str, Value]

ORDINAL = "__ordinal__"
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_WIDTH = re.compile(r"0[1-9]\d?")
_NAME = re.compile(r"[A-Za-z_]\w*\Z")
_ARITHMETIC = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.Name, ast.Load, ast.Constant, ast.Add, ast.Sub, ast.Mult,
    ast.FloorDiv, ast.Mod, ast.USub, ast.UAdd,
)  # fmt: skip
_CONDITION = (
    *_ARITHMETIC, ast.Compare, ast.BoolOp, ast.And, ast.Or, ast.Not,
    ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE,
)  # fmt: skip


class PatternError(ValueError):
    """A pattern or condition that cannot be read."""


@dataclass(frozen=True)
class Expression:
    """Integer arithmetic (or a condition) over index names, in Python syntax; ``#`` is the ordinal."""

    source: str
    condition: bool = False

    def __post_init__(self) -> None:
        allowed = _CONDITION if self.condition else _ARITHMETIC
        for node in ast.walk(self._tree):
            bad_constant = isinstance(node, ast.Constant) and not isinstance(node.value, (int, str))
            if bad_constant or not isinstance(node, allowed):
                raise PatternError(f"not index arithmetic: {self.source!r}")

    @cached_property
    def _tree(self) -> ast.Expression:
        try:
            return ast.parse(self.source.replace("#", ORDINAL).strip(), mode="eval")
        except SyntaxError as error:
            raise PatternError(f"not index arithmetic: {self.source!r}") from error

    @cached_property
    def names(self) -> frozenset[str]:
        """The index names in it, the ordinal included."""
        return frozenset(node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name))

    def __call__(self, binding: Binding) -> Value:
        """The value under `binding`; raises PatternError where an index is unbound or is not a number."""
        try:
            # The tree holds nothing but the node types above: no call, no attribute, no subscript.
            return eval(self._code, {"__builtins__": {}}, dict(binding))  # type: ignore[no-any-return]
        except (NameError, TypeError, ZeroDivisionError) as error:
            raise PatternError(f"cannot evaluate {self.source!r}: {error}") from error

    @cached_property
    def _code(self):  # type: ignore[no-untyped-def]
        return compile(self._tree, "<index expression>", "eval")


@dataclass(frozen=True)
class _Placeholder:
    expression: Expression
    text: bool = False  # {*key}: matches any text
    width: int = 0  # {i:02}: at least so many digits

    @property
    def bare_name(self) -> str | None:
        """The index name, if the placeholder is nothing else."""
        source = self.expression.source.strip()
        return source if _NAME.match(source) else None

    def render(self, value: Value) -> str:
        """A value as it stands in a path."""
        return f"{value:0{self.width}}" if self.width and isinstance(value, int) else str(value)


def _parse_element(element: str) -> tuple[str | _Placeholder, ...]:
    parts: list[str | _Placeholder] = []
    position = 0
    for found in _PLACEHOLDER.finditer(element):
        if found.start() > position:
            parts.append(element[position : found.start()])
        source, _, width = found[1].strip().partition(":")
        if width and not _WIDTH.fullmatch(width):
            raise PatternError(f"not a width: {element!r}")
        is_text = source.startswith("*")
        placeholder = _Placeholder(Expression(source.removeprefix("*")), is_text, int(width or 0))
        if is_text and placeholder.bare_name is None:
            raise PatternError(f"{{*...}} takes a name only: {element!r}")
        parts.append(placeholder)
        position = found.end()
    rest = element[position:]
    if "{" in rest or "}" in rest or any("{" in p or "}" in p for p in parts if isinstance(p, str)):
        raise PatternError(f"unbalanced braces: {element!r}")
    if rest or not parts:
        parts.append(rest)
    return tuple(parts)


@dataclass(frozen=True)
class PathPattern:
    """A path whose elements may hold placeholders. `elements` is what stands in the file."""

    elements: Path

    def __post_init__(self) -> None:
        self._parsed  # noqa: B018  a pattern that cannot be read fails here, not when it is used

    @classmethod
    def of(cls, elements: Sequence[str]) -> PathPattern:
        """From any sequence of elements."""
        return cls(tuple(elements))

    def __len__(self) -> int:
        return len(self.elements)

    def __str__(self) -> str:
        return "/".join(self.elements)

    @cached_property
    def _parsed(self) -> tuple[tuple[str | _Placeholder, ...], ...]:
        return tuple(map(_parse_element, self.elements))

    @cached_property
    def _placeholders(self) -> tuple[_Placeholder, ...]:
        return tuple(part for element in self._parsed for part in element if isinstance(part, _Placeholder))

    @cached_property
    def names(self) -> frozenset[str]:
        """The index names in the pattern, the ordinal excepted."""
        return frozenset().union(*(p.expression.names for p in self._placeholders)) - {ORDINAL}

    @cached_property
    def texts(self) -> frozenset[str]:
        """The names of what may be any text."""
        return frozenset(p.bare_name for p in self._placeholders if p.text and p.bare_name is not None)

    @cached_property
    def binds(self) -> bool:
        """Whether a match determines every index: each placeholder is a bare name."""
        return all(p.bare_name is not None for p in self._placeholders)

    @cached_property
    def _regexes(self) -> tuple[re.Pattern[str], ...]:
        regexes = []
        for element in self._parsed:
            seen: set[str] = set()
            pattern = ""
            for part in element:
                if isinstance(part, str):
                    pattern += re.escape(part)
                    continue
                name = part.bare_name
                assert name is not None
                kind = ".+?" if part.text else r"\d+"
                pattern += f"(?P={name})" if name in seen else f"(?P<{name}>{kind})"
                seen.add(name)
            regexes.append(re.compile(pattern))
        return tuple(regexes)

    def match(self, path: Path, binding: Binding | None = None) -> dict[str, Value] | None:
        """The indices that make the pattern equal to `path` and agree with `binding`, or None."""
        if not self.binds:
            raise PatternError(f"cannot bind indices from {self}")
        if len(path) != len(self.elements):
            return None
        result = dict(binding or {})
        for regex, element in zip(self._regexes, path, strict=True):
            found = regex.fullmatch(element)
            if not found:
                return None
            for name, matched in found.groupdict().items():
                value: Value = matched if name in self.texts else int(matched)
                if result.setdefault(name, value) != value:
                    return None
        padded = any(p.width for p in self._placeholders)
        return result if not padded or self.render(result) == path else None

    def render(self, binding: Binding) -> Path:
        """The concrete path under `binding`."""
        return tuple(
            "".join(
                part if isinstance(part, str) else part.render(part.expression(binding)) for part in element
            )
            for element in self._parsed
        )
