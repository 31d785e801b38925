"""Expressions: from a syntax node to the value that it stands for."""
