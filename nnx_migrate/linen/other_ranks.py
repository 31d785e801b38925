"""Refusals that tell that code can't run for inputs of some rank: it was written for another one."""

from __future__ import annotations

import re

from nnx_migrate.linen.interpreter.control import CONFIGURED
from nnx_migrate.linen.shapes import BEYOND

#: What JAX does not do with arrays of any sizes; behind ` (` may stand the place.
JOINED = "arrays of different rank are joined"
_FAILURES = re.compile(
    rf"axis -?\d+ {BEYOND} \d+|{JOINED}|an array of rank \d+ where \d+ axes are needed|sizes .+ do not broadcast"
)


def is_of_other_rank(detail: str) -> bool:
    """Whether a refusal's detail says that the code fails, whatever the sizes are.

    >>> is_of_other_rank("an input of `dense`: axis 2 is out of bounds for rank 2")
    True
    """
    return re.search(rf"(?:^|: )(?:{_FAILURES.pattern})(?: \(|$)", detail) is not None


#: What is said of code that doesn't run for inputs of some rank either, or of sizes that other inputs decide.
_UNDECIDED = re.compile(
    rf"does not fit the rank|of unknown rank|are no vector|the number of members|{CONFIGURED}"
)


def leaves_open(detail: str) -> bool:
    """Whether code may run for inputs of some rank, but with a size that isn't known.

    >>> leaves_open("an input of `dense`: a slice bound of unknown sign: self.sizes[0]")
    True
    """
    return not is_of_other_rank(detail) and _UNDECIDED.search(detail) is None
