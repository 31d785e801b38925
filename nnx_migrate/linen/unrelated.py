"""Libraries that know nothing of Linen: whatever is called there makes no module, and can't ask which is around."""

from __future__ import annotations

import sys

_LIBRARIES = frozenset(
    {
        "PIL", "absl", "ase", "attr", "beartype", "blackjax", "chex", "click", "cloudpickle", "cv2", "dacite",
        "datasets", "diffrax", "distrax", "dm_env", "e3nn_jax", "einops", "einshape", "equinox", "etils", "fire",
        "fsspec", "grain", "gym", "gymnasium", "h5py", "huggingface_hub", "imageio", "immutabledict", "jax", "jaxopt",
        "jaxtyping", "jmp", "joblib", "jraph", "librosa", "lineax", "loguru", "matplotlib", "mediapy",
        "ml_collections", "ml_dtypes", "msgpack", "networkx", "numba", "numpy", "omegaconf", "optax", "optimistix",
        "opt_einsum", "packaging", "pandas", "pydantic", "requests", "rich", "rlax", "safetensors", "scipy",
        "seaborn", "sentencepiece", "simple_parsing", "skimage", "sklearn", "soundfile", "sympy", "tensorboardX",
        "tensorflow", "tensorflow_datasets", "tensorflow_probability", "tensorstore", "tokenizers", "torch",
        "torchvision", "tqdm", "trimesh", "typeguard", "typing_extensions", "tyro", "wandb", "xarray", "yaml", "zarr",
        *sys.stdlib_module_names,
    }
)  # fmt: skip
#: Parts of such libraries that are written for Flax: `e3nn_jax.flax.Linear`.
_BINDINGS = frozenset({"flax", "linen"})
#: Of packages that do know Linen: what has nothing to do with it.
_PARTS = (
    "flax.core", "flax.jax_utils", "flax.serialization", "flax.struct", "flax.training", "flax.traverse_util",
    "flax.typing",
    "transformers.modeling_flax_outputs", "transformers.modeling_flax_utils.ACT2FN", "transformers.utils",
)  # fmt: skip


def is_of_library(found: str) -> bool:
    """Whether a qualified name is that of something in such a library."""
    package, *rest = found.split(".")
    return package in _LIBRARIES and not _BINDINGS & {*rest}


def is_unrelated(found: str) -> bool:
    """Whether a qualified name is that of something that has nothing to do with Linen."""
    return is_of_library(found) or found.startswith(_PARTS) or _is_configuration(found)


def _is_configuration(found: str) -> bool:
    """Whether a name is that of a configuration's class in a package that has modules, too."""
    return found.startswith("transformers.") and found.endswith("Config")
