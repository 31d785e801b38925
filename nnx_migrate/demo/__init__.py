"""A small Linen project that comes with the package, for `nnx-migrate demo`."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).with_name("project")
#: What `train.py` saves.
CHECKPOINT = "trained.msgpack"
#: The model before and after, and an input, as `nnx-migrate checkpoint` wants them.
OLD_MODEL = "models:CNN(num_classes=10)"
NEW_MODEL = "models:CNN(num_classes=10, in_features=1, in_width=28, in_height=28, rngs=nnx.Rngs(0))"
INPUT = "f32[4,28,28,1]"
