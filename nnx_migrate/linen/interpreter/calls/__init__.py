"""Calls: whom they reach, and what comes back."""
