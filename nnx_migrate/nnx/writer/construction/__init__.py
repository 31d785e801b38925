"""Constructions of submodules and variables in NNX's form."""
