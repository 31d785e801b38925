"""Modules that programs hand to other modules."""
