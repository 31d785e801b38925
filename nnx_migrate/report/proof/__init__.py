"""How the results of `verify` are shown: one module per output format."""
