"""One name per Linen symbol: `flax.linen.linear.Dense` and `flax.linen.Dense` are the same class.

Flax defines its layers and functions in submodules and exports them from `flax.linen`; real code uses both.
The canonical name is the public one, `flax.linen.<symbol>`; only initializers are named by their module,
because `nn.zeros` and `nn.initializers.zeros` read best as the latter.
"""

from __future__ import annotations

from nnx_migrate.nnx.layers.model import words

_PREFIX = "flax.linen."
_MODULES = frozenset(
    words(
        "activation attention batch_apply combinators fp8_ops linear meta module normalization pooling "
        "recurrent spmd stochastic summary transforms"
    )
)
_INITIALIZERS = frozenset({"ones", "ones_init", "zeros", "zeros_init"})
_PUBLIC = frozenset(
    words(
        # layers
        "BatchApply BatchNorm Bidirectional Conv ConvLSTMCell ConvLocal ConvTranspose Dense DenseGeneral "
        "Dropout Einsum Embed Fp8DirectDotGeneralOp Fp8DotGeneral Fp8DotGeneralOp Fp8Einsum GRUCell "
        "GroupNorm InstanceNorm LSTMCell LayerNorm MGUCell MultiHeadAttention MultiHeadDotProductAttention "
        "NANOOFp8DotGeneralOp OptimizedLSTMCell PReLU RMSNorm RNN RNNCellBase SelfAttention Sequential "
        "SimpleCell SpectralNorm WeightNorm "
        # functions
        "avg_pool celu combine_masks dot_product_attention dot_product_attention_weights elu gelu glu "
        "hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu log_sigmoid log_softmax logsumexp "
        "make_attention_mask make_causal_mask max_pool merge_param normalize one_hot pool relu relu6 selu "
        "sigmoid silu soft_sign softmax softplus standardize swish tanh "
        # modules, transforms, partitioning
        "DenyList FrozenDict LogicallyPartitioned Module PARTITION_NAME Partitioned Variable "
        "add_metadata_axis apply checkpoint compact compact_name_scope cond custom_vjp disable_named_call "
        "enable_named_call fold_rngs get_logical_axis_rules get_partition_spec get_sharding grad init "
        "init_with_output intercept_methods jit jvp logical_axis_rules logical_to_mesh logical_to_mesh_axes "
        "logical_to_mesh_sharding map_variables named_call nowrap override_named_call remat remat_scan scan "
        "set_logical_axis_rules share_scope switch tabulate unbox value_and_grad vjp vmap while_loop "
        "with_logical_constraint with_logical_partitioning with_partitioning"
    )
)


def canonical(qualname: str) -> str:
    """The canonical dotted name of a Linen symbol; names from elsewhere come back unchanged."""
    if not qualname.startswith(_PREFIX):
        return qualname
    module, _, symbol = qualname[len(_PREFIX) :].rpartition(".")
    if not module:
        return f"{_PREFIX}initializers.{symbol}" if symbol in _INITIALIZERS else qualname
    if module == "fp8_ops" and "Fp8" not in symbol:  # it imports JAX's own custom_vjp
        return qualname
    return _PREFIX + symbol if module in _MODULES and symbol in _PUBLIC else qualname
