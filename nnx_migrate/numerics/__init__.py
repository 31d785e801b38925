"""Proof, not belief: runs a Linen model and its NNX counterpart on JAX and compares every number.

Two groups of modules. The parameter map (`parameter_map`, `map_patterns`, `map_sequences`, `map_expansion`,
`layer_maps`, `leaf_transforms`) and what starts child processes (`source`, `processes`, `shapes_trace`)
import no JAX, because `fix` uses them where JAX need not be installed. All else imports JAX and Flax, and
is imported by `verify`, `checkpoint` and tests only; so this file imports nothing.

A proof goes through `side` (a model as a pure function: `linen_side`, `nnx_side`), `transplant` (variables
through the map, checked), `perturb`, `draws` (aligned random keys), `phases` (what is run), `compare` and
`judging` (what it means). `proof` does it in one process, `process_proof` with each side in its own.
"""
