"""Settings for the whole run: those of JAX, which are read once, when the first array is made, and Hypothesis's."""

import os

from hypothesis import settings

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "XLA_FLAGS",
    # pmap and sharding fixtures need more than one device. Most of the time goes into compiling: what is compared
    # runs the same operations, optimised or not, and without the newer emitters of fused operations and without
    # splitting the code for more threads compiling takes a quarter of the time. test_process_proof.py proves with
    # XLA's own settings.
    "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0 "
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)

# The same commit gives the same result; `pytest --hypothesis-profile=default` searches in new places each time.
settings.register_profile("same-each-time", derandomize=True, deadline=None)
settings.load_profile("same-each-time")
