"""A small Linen project that comes with the package, for `nnx-migrate demo`."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).with_name("project")
# How the model of the project is built and called, before and after.
SETUP = "from models import CNN"
BEFORE = "CNN(num_classes=10)"
AFTER = "CNN(num_classes=10, in_features=1, in_width=28, in_height=28, rngs=rngs)"
INPUT = 'jnp.asarray(np.random.RandomState(0).randn(4, 28, 28, 1).astype("float32"))'
