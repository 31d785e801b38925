"""Runs scripts and notebooks of two trees, before and after `fix`, and prints which of them run.

    python benchmarks/run_files.py BEFORE AFTER [GLOB...]

Each file runs in a process of its own on CPU, in its folder, with a time limit; a notebook runs as the Python of its
code cells. Eight CPU devices are there for the files that ask for several.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from nnx_migrate.sources.files import load_source

ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "MPLBACKEND": "Agg",
    "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
    "PYTHONWARNINGS": "ignore",
}


def run(path: Path, seconds: float) -> str:
    """ "runs", "too long", or the last line of the error."""
    with tempfile.NamedTemporaryFile("w", suffix=".py") as script:
        script.write(load_source(path).text)
        script.flush()
        command = [sys.executable, script.name]
        environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(path.parent)}
        try:
            result = subprocess.run(
                command,
                cwd=path.parent,
                env=environment,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "too long"
    if result.returncode == 0:
        return "runs"
    lines = [line for line in result.stderr.strip().splitlines() if line and not line.startswith(" ")]
    errors = [line for line in lines if "Error" in line] or lines
    return (errors[-1] if errors else f"exit code {result.returncode}")[:90]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("globs", nargs="*", default=["**/*.py", "**/*.ipynb"])
    parser.add_argument("--seconds", type=float, default=120)
    options = parser.parse_args()
    files = sorted({f for pattern in options.globs for f in options.after.glob(pattern)})
    gained = lost = 0
    for file in files:
        relative = file.relative_to(options.after)
        after = run(file, options.seconds)
        old = options.before / relative
        same = old.exists() and old.read_bytes() == file.read_bytes()
        before = after if same else run(old, options.seconds) if old.exists() else "not there"
        gained += after == "runs" != before
        lost += before == "runs" != after
        print(
            f"{relative}\n    before: {before}\n    after:  {'the same file' if same else after}", flush=True
        )
    print(f"\n{len(files)} files, {gained} run now that did not, {lost} no longer run")
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
