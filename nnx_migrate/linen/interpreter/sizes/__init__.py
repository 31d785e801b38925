"""Numbers and sizes that code computes with."""
