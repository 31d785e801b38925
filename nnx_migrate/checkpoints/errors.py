"""What can be wrong with a checkpoint, said so that a person knows what to do next."""

from __future__ import annotations


class CheckpointError(Exception):
    """A checkpoint can't be read, mapped or written.

    Attributes:
        message: one sentence: what is wrong, and with which file or leaf.
        hint: what the user should do about it, or an empty string.
        details: one line per offending leaf, for errors that are a list.
    """

    def __init__(self, message: str, *, hint: str = "", details: list[str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details or []

    def __str__(self) -> str:
        lines = [self.message, *(f"  {line}" for line in self.details)]
        if self.hint:
            lines.append(self.hint)
        return "\n".join(lines)


class TruncatedCheckpointError(CheckpointError):
    """The checkpoint ends before its own structure says it should."""


class UnknownFormatError(CheckpointError):
    """Not a checkpoint of any format that is read here."""


class MappingError(CheckpointError):
    """The leaves of the checkpoint and the parameter map (or the model) don't fit each other."""
