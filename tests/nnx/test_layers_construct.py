"""Binding and writing, nothing is run: refusals, sizes, partials, hidden arguments, names at the site."""

import ast

import pytest

from nnx_migrate.nnx.layers import (
    LAYERS,
    BoundArgs,
    Construction,
    Judge,
    NeededSize,
    Refusal,
    bind,
    bind_partial,
    needed_sizes,
    rewritten_arguments,
    variables,
    write_call,
    write_construction,
    write_initialize_carry,
)
from tests.nnx.harness import qualname

JUDGE = Judge(qualname=qualname)


def call_of(source: str) -> ast.Call:
    node = ast.parse(source, mode="eval").body
    assert isinstance(node, ast.Call)
    return node


def bound(source: str, **options) -> BoundArgs | Refusal:
    call = call_of(source)
    return bind(LAYERS[f"flax.linen.{ast.unparse(call.func).removeprefix('nn.')}"], call, **options)


def written(source: str, sizes: dict[str, str] | None = None, **options) -> Construction | Refusal:
    arguments = bound(source)
    assert not isinstance(arguments, Refusal), arguments
    return construct(arguments, sizes, **options)


def construct(arguments: BoundArgs, sizes: dict[str, str] | None = None, **options) -> Construction | Refusal:
    needed = needed_sizes(arguments.spec, arguments, JUDGE)
    if isinstance(needed, Refusal):
        return needed
    found = {size.param: "n" for size in needed if not size.optional} if sizes is None else sizes
    settings = {"nnx": "nnx", "rngs": "rngs", "segment": ast.unparse, "judge": JUDGE} | options
    return write_construction(arguments.spec, arguments, found, **settings)


@pytest.mark.parametrize(
    ("source", "code", "word"),
    [
        ("nn.Dense(*args)", "unknown-arguments", "*args"),
        ("nn.Dense(3, **kwargs)", "unknown-arguments", "**kwargs"),
        ("nn.Dense(3, features=4)", "bad-arguments", "twice"),
        ("nn.Dense(3, bias=False)", "bad-arguments", "bias"),
        ("nn.Dense(3, use_bias=True, **{'use_bias': False})", "bad-arguments", "use_bias"),
        ("nn.PReLU(a, b, c, d, e)", "bad-arguments", "too many"),
    ],
)
def test_bindings_that_are_refused(source, code, word):
    refusal = bound(source)
    assert isinstance(refusal, Refusal)
    assert refusal.code == code
    assert word in refusal.reason


def test_binding_by_position_and_keyword():
    arguments = bound("nn.Dense(3, False, dtype=d, name='out', parent=None)")
    assert {name: ast.unparse(node) for name, node in arguments.values.items()} == {
        "features": "3",
        "use_bias": "False",
        "dtype": "d",
    }
    assert arguments.positional == {"features", "use_bias"}
    assert ast.unparse(arguments.name) == "'out'"
    assert ast.unparse(arguments.parent) == "None"


@pytest.mark.parametrize(
    "source", ["nn.Dense(3, **{'use_bias': False})", "nn.Dense(3, **dict(use_bias=False))"]
)
def test_visible_keyword_arguments_are_expanded(source):
    assert written(source).text == "nnx.Linear(n, 3, use_bias=False, rngs=rngs)"


def test_the_caller_may_know_what_is_in_kwargs():
    known = {"kernel_init": ast.parse("options['kernel_init']", mode="eval").body}
    arguments = bound(
        "nn.Dense(3, **options)", expand=lambda node: known if ast.unparse(node) == "options" else None
    )
    assert construct(arguments).text == "nnx.Linear(n, 3, kernel_init=options['kernel_init'], rngs=rngs)"


def test_unseen_arguments_are_passed_on_where_that_can_only_be_right_or_an_error():
    dense = construct(bound("nn.Dense(3, **options)", pass_on=True))
    assert dense.text == "nnx.Linear(n, 3, **options, rngs=rngs)"
    assert [note.code for note in dense.notes] == ["unseen-arguments"]
    norm = construct(bound("nn.GroupNorm(**options)", pass_on=True))
    assert norm.text == "LinenGroupNorm(n, **options, promote_dtype=keep_dtypes, rngs=rngs)"
    assert {
        leaf.nnx[0]: leaf.optional
        for leaf in variables(LAYERS["flax.linen.Dense"], bound("nn.Dense(3, **o)", pass_on=True))
    } == {
        "kernel": False,
        "bias": True,
    }


@pytest.mark.parametrize(
    "source",
    [
        "nn.BatchNorm(**o)",  # may contain the mode flag
        "nn.Dropout(0.1, **o)",
        "nn.SelfAttention(2, **o)",
        "nn.LayerNorm(**o)",  # may contain the feature axes
        "nn.DenseGeneral(3, **o)",
        "nn.OptimizedLSTMCell(3, **o)",  # may contain the initializer that is written anyway
        "nn.SimpleCell(3, **o)",
        "nn.RNN(cell, **o)",
        "nn.Dense(**o)",
    ],
)
def test_unseen_arguments_that_matter_are_refused(source):
    refusal = construct(bound(source, pass_on=True))
    assert isinstance(refusal, Refusal)
    assert refusal.code in ("unknown-arguments", "unknown-axes", "bad-arguments")


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("nn.Dense()", "bad-arguments"),
        ("nn.ConvLSTMCell(4)", "bad-arguments"),
        ("nn.Dense(3, dot_general_cls=nn.Fp8DotGeneralOp)", "no-counterpart"),
        ("nn.Dense(3, dot_general_cls=self.quant)", "no-counterpart"),
        ("nn.Conv(3, (3,), conv_general_dilated_cls=cls)", "no-counterpart"),
        ("nn.LayerNorm(force_float32_reductions=False)", "no-counterpart"),
        ("nn.SelfAttention(2, qk_attn_weights_einsum_cls=cls)", "no-counterpart"),
        ("nn.ConvLocal(3, (3,), feature_group_count=2)", "no-counterpart"),
        ("nn.SpectralNorm(nn.Dense(3), collection_name='other')", "no-counterpart"),
        ("nn.Fp8Einsum()", "no-counterpart"),
        ("nn.Einsum((2, 3))", "no-counterpart"),
        ("nn.Einsum((2, 3), equation)", "no-counterpart"),
        ("nn.Einsum(make(), 'ab,bc->ac')", "no-counterpart"),
        ("nn.DenseGeneral(3, axis=axes)", "unknown-axes"),
        ("nn.DenseGeneral(3, axis=(1, -1))", "unknown-axes"),
        ("nn.DenseGeneral(3, batch_dims=dims)", "unknown-axes"),
        ("nn.LayerNorm(feature_axes=self.axes)", "unknown-axes"),
        ("nn.BatchNorm(axis=axis)", "unknown-axes"),
        ("nn.ConvLocal(3, size)", "unknown-axes"),
    ],
)
def test_constructions_that_are_refused(source, code):
    refusal = written(source)
    assert isinstance(refusal, Refusal)
    assert refusal.code == code
    assert refusal.reason


def test_a_size_that_is_not_known_is_refused():
    refusal = written("nn.Dense(3)", sizes={})
    assert isinstance(refusal, Refusal)
    assert refusal.code == "missing-size"


@pytest.mark.parametrize(
    ("source", "call", "expected"),
    [
        ("nn.Dense(3)", None, [("in_features", 0, (-1,), "one")]),
        ("nn.DenseGeneral(3, axis=[-1, -2])", None, [("in_features", 0, (-2, -1), "tuple")]),
        (
            "nn.DenseGeneral(3, batch_dims=(0,))",
            None,
            [("in_features", 0, (-1,), "one"), ("batch_axis", 0, (0,), "mapping")],
        ),
        ("nn.LayerNorm(feature_axes=(-2, -1))", None, [("num_features", 0, (-2, -1), "product")]),
        ("nn.BatchNorm(axis=(1,))", None, [("num_features", 0, (1,), "one")]),
        ("nn.GRUCell(3)", "cell(carry, x)", [("in_features", 1, (-1,), "one")]),
        (
            "nn.ConvLocal(3, (k, k))",
            None,
            [("in_features", 0, (-1,), "one"), ("input_shape", 0, (-3, -2), "tuple")],
        ),
        ("nn.Embed(3, 4)", None, []),
        ("nn.Dropout(0.1)", None, []),
        ("nn.MultiHeadDotProductAttention(2)", "attend(x)", [("in_features", 0, (-1,), "one")]),
        (
            "nn.MultiHeadDotProductAttention(2)",
            "attend(x, inputs_kv=y)",
            [("in_features", 0, (-1,), "one"), ("in_kv_features", 3, (-1,), "one")],
        ),
        (
            "nn.MultiHeadDotProductAttention(2)",
            "attend(x, y, z)",
            [
                ("in_features", 0, (-1,), "one"),
                ("in_kv_features", 1, (-1,), "one"),
                ("in_v_features", 2, (-1,), "one"),
            ],
        ),
    ],
)
def test_which_sizes_are_needed(source, call, expected):
    arguments = bound(source)
    needed = needed_sizes(arguments.spec, arguments, JUDGE, call and call_of(call))
    assert [(size.param, size.call_arg, size.axes, size.combine) for size in needed] == expected


def test_cells_without_features_have_the_size_of_their_carry():
    for name, part in (("GRUCell", None), ("LSTMCell", 1), ("OptimizedLSTMCell", 1)):
        arguments = bound(f"nn.{name}()")
        needed = needed_sizes(arguments.spec, arguments, JUDGE)
        assert [(n.param, n.call_arg, n.part) for n in needed] == [
            ("in_features", 1, None),
            ("hidden_features", 0, part),
        ]


@pytest.mark.parametrize(
    ("combine", "dims", "text"),
    [
        ("one", ["x.shape[-1]"], "x.shape[-1]"),
        ("product", ["h", "8"], "h * 8"),
        ("product", ["h + 1", "w"], "(h + 1) * w"),
        ("tuple", ["h"], "(h,)"),
        ("tuple", ["h", "w"], "(h, w)"),
        ("mapping", ["b", "t"], "{0: b, 1: t}"),
    ],
)
def test_how_sizes_are_written(combine, dims, text):
    size = NeededSize("in_features", 0, tuple(range(len(dims))), combine)
    assert size.text(dims) == text
    ast.parse(text)


def test_widths_of_keys_and_values():
    source = "nn.MultiHeadDotProductAttention(2)"
    same = written(source, {"in_features": "d", "in_kv_features": "d", "in_v_features": "d"})
    assert "in_kv_features" not in same.text
    other = written(source, {"in_features": "d", "in_kv_features": "e"})
    assert "nnx.MultiHeadAttention(2, d, " in other.text
    assert "in_kv_features=e" in other.text
    refusal = written(source, {"in_features": "d", "in_kv_features": "e", "in_v_features": "f"})
    assert isinstance(refusal, Refusal)


def test_names_at_the_site():
    text = written(
        "nn.LayerNorm(dtype=d)", nnx="flax.nnx", rngs="self.rngs", helper=lambda name: f"compat.{name}"
    ).text
    assert text == "flax.nnx.LayerNorm(n, dtype=d, promote_dtype=compat.keep_dtypes, rngs=self.rngs)"


def test_what_the_caller_knows_about_a_value_decides():
    def resolve(node):
        return ast.parse("jnp.float32", mode="eval").body if ast.unparse(node) == "self.dtype" else None

    knowing = Judge(qualname=qualname, resolve=resolve)
    assert "keep_dtypes" not in written("nn.LayerNorm(dtype=self.dtype)", judge=knowing).text
    assert "dtype=self.dtype" in written("nn.LayerNorm(dtype=self.dtype)", judge=knowing).text
    assert "keep_dtypes" in written("nn.LayerNorm(dtype=self.dtype)").text


@pytest.mark.parametrize("dtype", ["jnp.float32", "'float32'", "jnp.dtype('float32')", "np.float32", "None"])
def test_dtypes_that_need_no_extra(dtype):
    assert written(f"nn.LayerNorm(dtype={dtype})").helpers == frozenset()


@pytest.mark.parametrize(
    "dtype", ["jnp.bfloat16", "'float16'", "jnp.float64", "torch.float32", "float", "dtype"]
)
def test_dtypes_that_need_the_exact_form(dtype):
    assert written(f"nn.LayerNorm(dtype={dtype})").helpers == {"keep_dtypes"}


@pytest.mark.parametrize(
    ("partial", "call", "early", "late"),
    [
        (
            "functools.partial(nn.Conv, use_bias=False, dtype=d)",
            "conv(64, (7, 7), (2, 2), padding=[(3, 3), (3, 3)])",
            "use_bias=False, dtype=d, rngs=rngs",
            "n, 64, (7, 7), (2, 2), padding=((3, 3), (3, 3))",
        ),
        (
            "functools.partial(nn.Conv, kernel_size=(3, 3))",
            "conv(64, strides=2)",
            "kernel_size=(3, 3), rngs=rngs",
            "n, 64, strides=2",
        ),
        (
            "functools.partial(nn.Conv, 64)",
            "conv((3, 3))",
            "out_features=64, rngs=rngs",
            "n, kernel_size=(3, 3)",
        ),
        (
            "functools.partial(nn.BatchNorm, use_running_average=not train, dtype=d)",
            "norm(scale_init=nn.initializers.zeros)",
            "dtype=d, promote_dtype=keep_dtypes, rngs=rngs",
            "n, scale_init=nn.initializers.zeros",
        ),
    ],
)
def test_partials(partial, call, early, late):
    node = call_of(partial)
    spec = LAYERS[f"flax.linen.{ast.unparse(node.args[0]).removeprefix('nn.')}"]
    base = bind_partial(spec, node)
    construction = construct(bind(spec, call_of(call), base=base))
    first, second = construction.split(frozenset(base.values))
    assert ", ".join(map(str, first)) == early
    assert ", ".join(map(str, second)) == late


def test_a_partial_and_its_call_can_disagree():
    spec = LAYERS["flax.linen.Dense"]
    base = bind_partial(spec, call_of("functools.partial(nn.Dense, features=3, use_bias=True, name='a')"))
    assert isinstance(bind(spec, call_of("dense(4)"), base=base), Refusal)
    merged = bind(spec, call_of("dense(use_bias=False)"), base=base)
    assert ast.unparse(merged.values["use_bias"]) == "False"
    assert ast.unparse(merged.name) == "'a'"


def test_a_partial_of_a_partial():
    spec = LAYERS["flax.linen.Conv"]
    inner = bind_partial(spec, call_of("functools.partial(nn.Conv, 64, use_bias=False, strides=2)"))
    outer = bind_partial(spec, call_of("functools.partial(conv, (3, 3), use_bias=True)"), base=inner)
    merged = construct(bind(spec, call_of("conv3x3(strides=1)"), base=outer))
    assert merged.text == "nnx.Conv(n, 64, (3, 3), strides=1, use_bias=True, rngs=rngs)"


def rewrite(source: str, call: str, **options) -> str | Refusal:
    arguments = bound(source)
    node = call_of(call)
    result = write_call(arguments.spec, arguments, node, ast.unparse, judge=JUDGE, **options)
    if isinstance(result, Refusal):
        return result
    return f"{ast.unparse(node.func)}({', '.join(rewritten_arguments(node, result, ast.unparse))})"


@pytest.mark.parametrize(
    ("source", "call", "expected"),
    [
        ("nn.Dense(3)", "f(x)", "f(x)"),
        ("nn.Dropout(0.1)", "f(x, deterministic)", "f(x, deterministic=deterministic)"),
        ("nn.Dropout(0.1)", "f(x, not train, key)", "f(x, deterministic=not train, rngs=key)"),
        ("nn.Dropout(0.1, deterministic=self.frozen)", "f(x)", "f(x, deterministic=self.frozen)"),
        ("nn.BatchNorm(not train)", "f(x)", "f(x, use_running_average=not train)"),
        ("nn.BatchNorm()", "f(x, True)", "f(x, True)"),
        ("nn.SelfAttention(2)", "f(x, mask, True)", "f(x, mask=mask, deterministic=True)"),
        ("nn.SelfAttention(2)", "f(x)", "f(x)"),
        ("nn.MultiHeadDotProductAttention(2)", "f(x, y, mask=m)", "f(x, y, mask=m)"),
        ("nn.MultiHeadDotProductAttention(2)", "f(x, inputs_kv=y)", "f(x, inputs_k=y)"),
        ("nn.RNN(cell)", "f(x, init_key=k)", "f(x, rngs=nnx.Rngs(carry=k))"),
        ("nn.Sequential(layers)", "f(x, train=True)", "f(x, train=True)"),
        (
            "nn.Dropout(0.1, deterministic=a)",
            "f(x, deterministic=b)",
            "f(x, deterministic=merge_param('deterministic', a, b))",
        ),
    ],
)
def test_calls(source, call, expected):
    assert rewrite(source, call).replace('"', "'") == expected


def test_arguments_that_stay_get_no_edit():
    arguments = bound("nn.BatchNorm()")
    result = write_call(arguments.spec, arguments, call_of("f(x, use_running_average=True)"), ast.unparse)
    assert result.edits == ()


@pytest.mark.parametrize(
    ("source", "call", "code"),
    [
        ("nn.Dropout(0.1)", "f(x)", "missing-mode-flag"),
        ("nn.BatchNorm(use_running_average=None)", "f(x)", "missing-mode-flag"),
        ("nn.Dropout(0.1, deterministic=True)", "f(x, deterministic=False)", "bad-arguments"),
        ("nn.Dense(3)", "f(*xs)", "unknown-arguments"),
        ("nn.Dense(3)", "f(x, train)", "bad-arguments"),
        ("nn.MultiHeadDotProductAttention(2)", "f(x, y, mask)", "bad-arguments"),
        ("nn.Sequential(layers)", "f(x, rngs=r)", "no-counterpart"),
    ],
)
def test_calls_that_are_refused(source, call, code):
    refusal = rewrite(source, call)
    assert isinstance(refusal, Refusal)
    assert refusal.code == code


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("cell.initialize_carry(key, x.shape)", "x.shape, nnx.Rngs(carry=key)"),
        ("cell.initialize_carry(None, (2, 3))", "(2, 3), nnx.Rngs(carry=0)"),
        ("cell.initialize_carry(rng=key, input_shape=s)", "rngs=nnx.Rngs(carry=key), input_shape=s"),
    ],
)
def test_initial_carries(call, expected):
    node = call_of(call)
    assert (
        ", ".join(rewritten_arguments(node, write_initialize_carry(node, ast.unparse), ast.unparse))
        == expected
    )


def test_carries_in_the_style_of_old_flax_are_refused():
    result = write_initialize_carry(call_of("nn.LSTMCell.initialize_carry(key, (b,), size)"), ast.unparse)
    assert isinstance(result, Refusal)


def test_attention_that_may_decode_makes_its_cache_as_linen_does():
    assert written("nn.SelfAttention(2, decode=cfg.decode)").callee == "CachingAttention"
    assert written("nn.SelfAttention(2, decode=False)").callee == "nnx.MultiHeadAttention"


def test_variables_that_an_unknown_argument_decides_about_are_optional():
    arguments = bound("nn.LayerNorm(use_bias=self.bias, use_scale=False)")
    assert [(leaf.nnx, leaf.optional) for leaf in variables(arguments.spec, arguments, JUDGE)] == [
        (("bias",), True)
    ]


def test_native_numerics_drop_a_variable_that_nnx_has_no_place_for():
    arguments = bound("nn.GRUCell(4)")
    leaves = variables(arguments.spec, arguments, JUDGE, "native")
    assert [leaf.linen for leaf in leaves if leaf.nnx is None] == [(("hn", "bias"),)]
    assert all(leaf.nnx for leaf in variables(arguments.spec, arguments, JUDGE))
