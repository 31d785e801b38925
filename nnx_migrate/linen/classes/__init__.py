"""Linen classes as code declares them: bases, decorators, what `__post_init__` does."""
