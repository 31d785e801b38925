"""nnx-migrate: find, rewrite and prove the move from Flax Linen to NNX."""

__version__ = "0.1.0"
