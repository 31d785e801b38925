"""Training programs with `nnx.Optimizer` and `nnx.jit`, in place of `TrainState` and `apply`."""
