"""Running user code in a process of its own: its imports, its crashes and its output stay there.

Nothing here imports JAX, because `fix --trace` starts such a process too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DEFAULT_TIMEOUT = 600.0

#: What a child's environment says unless the user's own does. The platform is JAX's choice: an accelerator if there
#: is one. There float32 products are then not rounded to fewer bits, and memory is taken as it is needed, since the
#: sides, and whatever else runs on the machine, share it.
_DEFAULTS = {"JAX_DEFAULT_MATMUL_PRECISION": "highest", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


class ChildError(RuntimeError):
    """A child process that failed: the message is what its Python raised.

    `action` is what it was to do, `details` the traceback, if there is one.
    """

    def __init__(self, message: str, action: str = "", details: str = "") -> None:
        super().__init__(message)
        self.action, self.details = action, details


def run_child(
    job: Mapping[str, Any],
    timeout: float = DEFAULT_TIMEOUT,
    python: str = sys.executable,
    optimize: bool = False,
    module: str = "nnx_migrate.numerics.child",
    platform: str | None = None,
) -> dict[str, Any]:
    """Runs one job of `child` and returns its JSON answer.

    The user's folders come to `sys.path` only after this package and JAX are imported. `optimize` lets XLA
    optimise as it does in earnest; without it compilation takes a third of the time, and both sides still
    run the same operations. Raises ChildError when the job fails or takes longer than `timeout` seconds.
    `module` is the program to run, if not `child`; `platform` ("cpu") the one to run on, if not JAX's choice.
    """
    with tempfile.TemporaryDirectory(prefix="nnx-migrate-") as folder:
        request, answer = Path(folder, "job.json"), Path(folder, "answer.json")
        request.write_text(json.dumps(job), encoding="utf-8")
        command = [python, "-P", "-m", module, str(request), str(answer)]
        try:
            done = subprocess.run(
                command,
                env=_environment(optimize, platform),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
            )
        except subprocess.TimeoutExpired as error:
            raise ChildError(f"took longer than {timeout:g} s", job["action"]) from error
        if not answer.exists():
            tail = "\n".join(done.stderr.strip().splitlines()[-8:])
            if done.returncode == -signal.SIGKILL:
                raise ChildError("was killed, as happens when memory runs out", job["action"])
            message = f"ended with exit code {done.returncode}\n{tail}"
            raise ChildError(message, job["action"], done.stderr)
        result: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in result:
        raise ChildError(result["error"], job["action"], result.get("traceback", ""))
    return result


def _environment(optimize: bool, platform: str | None) -> dict[str, str]:
    environment = {**_DEFAULTS, **os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    if platform is not None:
        environment["JAX_PLATFORMS"] = platform
    flags = environment.get("XLA_FLAGS", "").split()
    # Two runs of one program have to agree, or nothing could be said of two programs.
    wanted = ["--xla_gpu_deterministic_ops=true"]
    wanted += [] if optimize else ["--xla_backend_optimization_level=1"]
    given = {flag.partition("=")[0] for flag in flags}
    flags += [flag for flag in wanted if flag.partition("=")[0] not in given]
    environment["XLA_FLAGS"] = " ".join(flags)
    return environment
