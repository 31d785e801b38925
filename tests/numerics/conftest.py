import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of the time here goes into compiling; unoptimised, both sides still run the same operations. The proof
# with optimisation is in test_process_proof.py.
if "xla_backend_optimization_level" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0".strip()
