"""How the classes and layers of users give their names to attributes and lists."""

import pytest

from nnx_migrate.nnx.writer.words import plural, singular, snake_case


@pytest.mark.parametrize(
    ("cls", "attribute", "attributes"),
    [
        ("BatchNorm", "batch_norm", "batch_norms"),
        ("MLPBlock", "mlp_block", "mlp_blocks"),
        ("GRUNet", "gru_net", "gru_nets"),
        ("YOLOv8Neck", "yolov8_neck", "yolov8_necks"),
        ("SelfAttention", "attention", "attentions"),
        ("DiTBlock", "dit_block", "dit_blocks"),
        ("ViTMAEBlock", "vit_mae_block", "vit_mae_blocks"),
        ("SparseMoE", "sparse_moe", "sparse_moes"),
        ("CvT", "cvt", "cvts"),
        ("TopKRouter", "top_k_router", "top_k_routers"),
        ("LeakyReLU", "leaky_relu", "leaky_relus"),
        ("ToRGB", "to_rgb", "to_rgbs"),
        ("UNet", "unet", "unets"),
        ("DownBlock2D", "down_block_2d", "down_blocks_2d"),
        ("Encoder1DBlock", "encoder_1d_block", "encoder_1d_blocks"),
        ("Conv3d", "conv3d", "conv3ds"),
    ],
)
def test_names_of_attributes_and_lists(cls: str, attribute: str, attributes: str) -> None:
    assert (snake_case(cls), plural(attribute)) == (attribute, attributes)
    assert singular(attributes) == attribute
