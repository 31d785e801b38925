"""Programs that can't have parameters of a model: what they hold comes from their own code and from what that imports.

A library's file may get the parameters of anyone who calls it, a program that reads files those that another one
saved. A test, a script or a notebook that nothing imports and that reads no such files has only what it makes.
"""

from __future__ import annotations

import re

from nnx_migrate.engine.import_places import script_block
from nnx_migrate.linen.programs.hidden.import_graph import ImportGraph
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project

# What a program may say that gets parameters out of a file, or another file's names without an import.
_READS = re.compile(
    r"load|restor\w*\(|import .*restor|pickle|from_bytes|state_dict|checkpoint|ckpt|pretrained|safetensors"
    r"|\borbax|\bexec\b|runpy|%run|%store",
    re.IGNORECASE,
)
# What functions say that do it for others.
_READS_FOR_OTHERS = re.compile(
    r"\b(?:pickle|cloudpickle|dill|joblib)\.loads?\b|msgpack_restore|from_bytes|from_state_dict|Checkpointer|CheckpointManager"
    r"|restore_checkpoint|safetensors|\b(?:np|numpy|jnp)\.load\b|\brunpy\b"
)


def has_only_its_own(module: Module, project: Project, imports: ImportGraph) -> bool:
    """Whether a file is a program that can't get at parameters of classes in files that it doesn't know."""
    is_program = module.is_test or module.path.suffix == ".ipynb" or script_block(module) is not None
    if not is_program or imports.users(module) != {module.path}:
        return False
    if _READS.search(getattr(module.source, "raw", module.source.text)) or imports.misses(module):
        return False
    known = (project.module(path) for path in imports.known_to(module) if path != module.path)
    return not any(
        _READS_FOR_OTHERS.search(other.source.text) or imports.misses(other)
        for other in known
        if other is not None
    )
