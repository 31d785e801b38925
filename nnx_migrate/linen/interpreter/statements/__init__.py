"""Statements: how a function body changes variables, and where it ends."""
