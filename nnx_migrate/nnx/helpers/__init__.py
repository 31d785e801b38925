"""Classes and functions that keep Linen's numbers where stock NNX has others, or has nothing.

The modules beside this file are written into the user's project, as far as it needs them (`bundle`):
migrated code does not depend on nnx-migrate. They import jax and flax and are therefore never imported here.
"""

from __future__ import annotations

from nnx_migrate.nnx.helpers.bundle import bundle, helper_names

__all__ = ["bundle", "helper_names"]
