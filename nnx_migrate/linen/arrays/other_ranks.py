"""Refusals that tell that code can't run for inputs of some rank: it was written for another one."""

from __future__ import annotations

import re

from nnx_migrate.linen.arrays.shapes import BEYOND

#: What JAX does not do with arrays of any sizes; behind ` (` may stand the place.
JOINED = "arrays of different rank are joined"
UNEVEN = "can't be split into"
_FAILURES = re.compile(
    rf"axis -?\d+ {BEYOND} \d+|{JOINED}|an array of rank \d+ where \d+ axes are needed|sizes .+ do not broadcast"
    rf"|\d+ {UNEVEN} \d+ parts"
)


def is_of_other_rank(detail: str) -> bool:
    """Whether a refusal's detail says that the code fails, whatever the sizes are.

    >>> is_of_other_rank("an input of `dense`: axis 2 is out of bounds for rank 2")
    True
    """
    return re.search(rf"(?:^|: )(?:{_FAILURES.pattern})(?: \(|$)", detail) is not None


#: What is said of a size that a run decides, where nothing speaks against that run.
_OPEN = re.compile(
    r"a slice bound|may be -1|is computed|computed (?:bounds|step)|how many rows an array selects|a number of rows"
    r"|the counts of repeat|: either .+ or "
)


def leaves_open(detail: str) -> bool:
    """Whether code may well run for inputs of some rank, but with a size that isn't known.

    >>> leaves_open("an input of `dense`: a slice bound of unknown sign: self.sizes[0]")
    True
    """
    return _OPEN.search(detail) is not None
