"""JAX's settings for the whole run: they are read once, when the first array is made."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "XLA_FLAGS",
    # pmap and sharding fixtures need more than one device. Most of the time goes into compiling: what is compared
    # runs the same operations, optimised or not; test_process_proof.py proves with optimisation.
    "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0",
)
