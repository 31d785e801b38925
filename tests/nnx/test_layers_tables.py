"""The layer tables against the signatures of the installed Flax: nothing forgotten, nothing moved."""

import dataclasses
import inspect

import flax.linen as nn
import jax.numpy as jnp
import pytest
from flax import nnx

from nnx_migrate.nnx.layers import LAYERS, LayerSpec, canonical
from nnx_migrate.nnx.layers.model import CarryDim
from tests.nnx.harness import helpers

MODULES = [spec for spec in LAYERS.values() if spec.name != "BatchApply"]
CONVERTED = [spec for spec in LAYERS.values() if spec.refusal is None]
# NNX's default differs in form; what the differences mean is written, measured or moved to the call.
OTHER_DEFAULTS = {
    ("BatchNorm", "use_running_average"),  # given at every call
    ("Dropout", "deterministic"),  # given at every call
    ("SimpleCell", "dtype"),  # None is written
    ("LSTMCell", "recurrent_kernel_init"),  # the same numbers, cast to the dtype afterwards
    ("OptimizedLSTMCell", "carry_init"),  # None: zeros
    ("LSTMCell", "carry_init"),
    ("SimpleCell", "carry_init"),
    ("Einsum", "einsum_str"),  # always written
    ("Bidirectional", "merge_fn"),  # two functions that concatenate, compared by running them
    ("Dense", "dot_general"),  # the function that Linen takes for None
    ("Conv", "conv_general_dilated"),
    *((name, "decode") for name in ("MultiHeadDotProductAttention", "MultiHeadAttention", "SelfAttention")),
    *(
        (name, "attention_fn")
        for name in ("MultiHeadDotProductAttention", "MultiHeadAttention", "SelfAttention")
    ),
}


def linen_class(spec: LayerSpec) -> type:
    return getattr(nn, spec.name)


def new_classes(spec: LayerSpec) -> list[type]:
    """The NNX class and the helper that can stand in for it."""
    stock = [] if spec.nnx is None else [getattr(nnx, spec.nnx.rpartition(".")[2])]
    return stock + ([helpers()[spec.helper]] if spec.helper else [])


def test_every_layer_of_linen_is_in_the_table():
    classes = {
        name
        for name, value in vars(nn).items()
        if inspect.isclass(value) and issubclass(value, nn.Module) and not name.startswith("_")
    }
    assert classes - {"Module", "RNNCellBase"} == {spec.name for spec in MODULES}


@pytest.mark.parametrize("spec", MODULES, ids=lambda spec: spec.name)
def test_fields_are_those_of_linen_in_their_order(spec):
    fields = dataclasses.fields(linen_class(spec))
    assert spec.fields == tuple(field.name for field in fields if field.name not in ("parent", "name"))


@pytest.mark.parametrize("spec", MODULES, ids=lambda spec: spec.name)
def test_required_fields_are_those_of_linen(spec):
    fields = dataclasses.fields(linen_class(spec))
    missing = dataclasses.MISSING
    required = [f.name for f in fields if f.default is missing and f.default_factory is missing]
    from_calls = [
        size.source.field for size in spec.sizes if isinstance(size.source, CarryDim)
    ]  # in older releases
    assert [*spec.required, *from_calls] == required


@pytest.mark.parametrize("spec", MODULES, ids=lambda spec: spec.name)
def test_defaults_are_those_of_linen(spec):
    found = {field.name: field.default for field in dataclasses.fields(linen_class(spec))}
    for name, value in spec.defaults.items():
        expected = jnp.float32 if value == "float32" else value
        assert found[name] == expected, name
    literals = (bool, int, float, str, type(None))
    required = {name for name, value in found.items() if isinstance(value, literals)} - {"name", "parent"}
    required -= spec.own
    if spec.refusal is None:
        assert required <= spec.defaults.keys() | {"carry_init"}


@pytest.mark.parametrize("spec", CONVERTED, ids=lambda spec: spec.name)
def test_parameters_exist_in_nnx(spec):
    for cls in new_classes(spec):
        parameters = inspect.signature(cls.__init__).parameters
        if spec.name == "Sequential":
            continue  # takes the layers one by one
        written = {
            spec.nnx_parameter(name)
            for name in spec.fields
            if name not in spec.fixed | dict.fromkeys(spec.own)
        }
        written |= {size.param for size in spec.sizes} - {"in_v_features"}
        assert written <= parameters.keys()
        assert (
            "rngs" in parameters and parameters["rngs"].default is inspect.Parameter.empty
        ) <= spec.needs_rngs
        by_position = [
            name
            for name, parameter in parameters.items()
            if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and name != "self"
        ]
        assert list(spec.positional) == by_position[: len(spec.positional)]


def alike(a, b) -> bool:
    """Equal values, or functions made by the same code with the same settings."""
    if a is b or (not callable(a) and a == b):
        return True
    if not (inspect.isfunction(a) and inspect.isfunction(b)) or a.__code__ is not b.__code__:
        return False
    return inspect.getclosurevars(a).nonlocals == inspect.getclosurevars(b).nonlocals


@pytest.mark.parametrize("spec", [spec for spec in CONVERTED if spec.nnx], ids=lambda spec: spec.name)
def test_what_is_not_written_has_the_same_default(spec):
    linen = {field.name: field for field in dataclasses.fields(linen_class(spec))}
    parameters = inspect.signature(getattr(nnx, spec.nnx.rpartition(".")[2]).__init__).parameters
    covered = spec.fixed.keys() | spec.own | {"promote_dtype", "batch_dims"}
    for name in spec.fields:
        parameter = parameters.get(spec.nnx_parameter(name))
        if parameter is None or name in covered or (spec.name, name) in OTHER_DEFAULTS:
            continue
        if spec.name == "GRUCell":
            continue  # a helper is constructed
        default = linen[name].default
        if default is dataclasses.MISSING:
            assert parameter.default is inspect.Parameter.empty, name
        else:
            assert alike(default, parameter.default), name


@pytest.mark.parametrize("helper", ["LinenGRUCell", "MGUCell", "ConvLSTMCell", "ConvLocal"])
def test_helpers_have_the_defaults_of_linen(helper):
    spec = LAYERS[f"flax.linen.{helper.removeprefix('Linen')}"]
    parameters = inspect.signature(helpers()[helper].__init__).parameters
    for field in dataclasses.fields(linen_class(spec)):
        parameter = parameters.get(spec.nnx_parameter(field.name))
        if (
            parameter is not None
            and field.default is not dataclasses.MISSING
            and field.name != "promote_dtype"
        ):
            assert alike(field.default, parameter.default), field.name


@pytest.mark.parametrize("spec", [s for s in CONVERTED if s.name != "BatchApply"], ids=lambda spec: spec.name)
def test_calls_have_the_parameters_of_linen_and_nnx(spec):
    if spec.call.variadic:
        return
    linen = list(inspect.signature(linen_class(spec).__call__).parameters.values())[1:]
    assert spec.call.params == tuple(parameter.name for parameter in linen)
    kinds = [parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for parameter in linen]
    assert spec.call.positional == sum(kinds)
    for cls in new_classes(spec):
        parameters = list(inspect.signature(cls.__call__).parameters.values())[1:]
        names = [parameter.name for parameter in parameters]
        assert {spec.call.keywords.get(name, name) for name in spec.call.params} <= set(names)
        first = parameters[: spec.call.nnx_positional]
        assert all(parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for parameter in first)
        assert [parameter.name for parameter in first] == list(spec.call.params[: spec.call.nnx_positional])


def test_one_name_for_each_symbol():
    assert canonical("flax.linen.linear.Dense") == "flax.linen.Dense"
    assert canonical("flax.linen.zeros") == canonical("flax.linen.initializers.zeros")
    assert canonical("flax.linen.initializers.normal") == "flax.linen.initializers.normal"
    assert canonical("flax.nnx.Linear") == "flax.nnx.Linear"
    assert canonical("flax.linen.linear.default_kernel_init") == "flax.linen.linear.default_kernel_init"


def test_aliases_name_the_same_objects():
    """Wherever a submodule has a public name, it is the public object: canonical names can't go wrong."""
    for module_name, module in vars(nn).items():
        if not inspect.ismodule(module) or module_name == "initializers":
            continue
        for name, value in vars(module).items():
            if canonical(f"flax.linen.{module_name}.{name}") == f"flax.linen.{name}":
                assert value is getattr(nn, name), f"{module_name}.{name}"
