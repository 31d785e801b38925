"""The words of attribute names: a class's name with underscores, one and many."""

from __future__ import annotations

import keyword
import re

_SHORT = {
    "MultiHeadDotProductAttention": "attention",
    "MultiHeadAttention": "attention",
    "SelfAttention": "attention",
    "OptimizedLSTMCell": "lstm_cell",
    "LSTMCell": "lstm_cell",
    "GRUCell": "gru_cell",
    "MGUCell": "mgu_cell",
    "ConvLSTMCell": "conv_lstm_cell",
    "PReLU": "prelu",
    "RMSNorm": "rms_norm",
    "RNN": "rnn",
    "Conv": "conv",
}
# One word each, though they are written with capitals inside.
_ONE_WORD = re.compile(
    r"(?:(?<![A-Z])UNet|ALiBi|CaiT|FiLM|LaMDA|LLaMA|LoRA|MoE|NeRF|PaLM|ReLU|RoPE|SigLiP|SiLU|DiT|(?:Vi)+T)(?![a-z])"
)
# `CvTBlock`, `PiT`: a lone capital behind a word of two letters ends an abbreviation.
_ABBREVIATION = re.compile(r"[A-Z][a-z][A-Z](?=[A-Z][a-z]|$)")
_DIMENSIONS = re.compile(r"(?<=[A-Za-z]{2})(\dD)(?![a-z\d])")
_IN_DIMENSIONS = re.compile(r"_\dd$")


def snake_case(name: str) -> str:
    """`BatchNorm` -> `batch_norm`, `MLPBlock` -> `mlp_block`, `ViTBlock` -> `vit_block`, `DownBlock2D` ->
    `down_block_2d`, `YOLOv8Neck` -> `yolov8_neck`.
    """
    if name in _SHORT:
        return _SHORT[name]
    name = _ONE_WORD.sub(lambda word: word[0].capitalize(), name.strip("_"))
    name = _ABBREVIATION.sub(lambda word: word[0].capitalize(), name)
    name = _DIMENSIONS.sub(lambda word: f"_{word[1].lower()}_", name)
    name = re.sub(r"([A-Z]+)([A-Z](?!v\d)[a-z])", r"\1_\2", name)
    name = re.sub(r"([a-z\d])([A-Z])", r"\1_\2", name)
    return re.sub(r"_+", "_", name).strip("_").lower()


def plural(name: str) -> str:
    """The name of a list of `name`s."""
    if number := _IN_DIMENSIONS.search(name):
        return plural(name[: number.start()]) + number[0]
    if name in ("dense",):
        return "dense_layers"
    if (name.endswith("s") and not name.endswith("ss")) or keyword.iskeyword(name + "s"):
        return name + "_list"
    if name.endswith(("ss", "x", "ch", "sh")):
        return name + "es"
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return name[:-1] + "ies"
    return name + "s"


def singular(name: str) -> str:
    """The loop variable for the elements of a list attribute."""
    if number := _IN_DIMENSIONS.search(name):
        return singular(name[: number.start()]) + number[0]
    if name.endswith(("_layers", "_list")):
        return name.rpartition("_")[0]
    if name.endswith("ies"):
        return name[:-3] + "y"
    if name.endswith(("sses", "xes", "ches", "shes")):
        return name[:-2]
    return name[:-1] if name.endswith("s") and not name.endswith("ss") else name
