"""Proof, not belief: runs a Linen model and its NNX counterpart on JAX and compares every number.

`parameter_map` (and what it is made of: `map_patterns`, `map_expansion`, `layer_maps`) is pure Python,
because `fix` writes the map without JAX being installed. Everything else here imports JAX and Flax, and is
imported only by `verify`, `checkpoint` and the tests; so this file imports nothing.
"""
