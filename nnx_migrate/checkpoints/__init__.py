"""Carrying trained parameters over: checkpoints of Linen programs become checkpoints of the NNX programs."""
