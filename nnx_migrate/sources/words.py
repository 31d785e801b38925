"""The words of a file, on bytes: what a file can't be about is known before it is decoded or parsed."""

from __future__ import annotations

# Letters, digits and underscores stay, so do the bytes of characters beyond ASCII; all else separates.
_TABLE = bytes(c if chr(c).isalnum() or c == ord("_") or c > 127 else ord(" ") for c in range(256))


def words(data: bytes) -> list[bytes]:
    """Everything that may be an identifier or a keyword, in order and as often as it occurs."""
    return data.translate(_TABLE).split()
