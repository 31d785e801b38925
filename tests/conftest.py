"""Settings for the whole run: those of JAX and Hypothesis."""

from hypothesis import settings

from benchmarks.jax_settings import compile_fast

# pmap and sharding fixtures need more than one device. test_process_proof.py proves with XLA's own settings.
compile_fast("--xla_force_host_platform_device_count=2")

# The same commit gives the same result; `pytest --hypothesis-profile=default` searches in new places each time.
settings.register_profile("same-each-time", derandomize=True, deadline=None)
settings.load_profile("same-each-time")
