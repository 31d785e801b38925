"""Settings of JAX for runs that compile much and compute little: they are read once, when the first array is made."""

from __future__ import annotations

import os
import subprocess
import sys

# What is compared runs the same operations, optimised or not.
_FLAGS = "--xla_backend_optimization_level=0"
# Without the newer emitters of fused operations, and without splitting the code for more threads, compiling takes a
# quarter of the time.
_FASTER = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"


def compile_fast(*more: str) -> None:
    """Choose the CPU and flags of XLA, `more` among them, unless the environment says which; before JAX is used."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    if "XLA_FLAGS" not in os.environ:  # workers inherit them
        flags = " ".join([*more, _FLAGS])
        faster = f"{flags} {_FASTER}"
        os.environ["XLA_FLAGS"] = faster if _are_known(faster) else flags


def _are_known(flags: str) -> bool:
    """Whether this release of XLA has all the flags: it ends the process at one that it doesn't know."""
    start = [sys.executable, "-c", "import jax; jax.devices()"]
    return subprocess.run(start, env={**os.environ, "XLA_FLAGS": flags}, capture_output=True).returncode == 0
