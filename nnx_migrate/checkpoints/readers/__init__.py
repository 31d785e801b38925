"""One module per checkpoint format; `nnx_migrate.checkpoints.detect` chooses among them."""
