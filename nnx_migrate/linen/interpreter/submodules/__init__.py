"""Submodules and built-in layers: constructing, choosing and calling them."""
