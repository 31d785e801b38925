import pytest

from nnx_migrate.numerics.map_patterns import ORDINAL, Expression, PathPattern, PatternError


@pytest.mark.parametrize(
    ("pattern", "path", "binding"),
    [
        (["Dense_0", "kernel"], ["Dense_0", "kernel"], {}),
        (["Dense_0", "kernel"], ["Dense_1", "kernel"], None),
        (["Dense_{i}", "kernel"], ["Dense_12", "kernel"], {"i": 12}),
        (["Dense_{i}"], ["Dense_x"], None),
        (["Dense_{i}"], ["Dense_1", "kernel"], None),
        (["layers_{i}_{j}"], ["layers_3_14"], {"i": 3, "j": 14}),
        (["layers_{i}"], ["layers_3_14"], None),
        (["stages", "{i}", "{j}"], ["stages", "2", "0"], {"i": 2, "j": 0}),
        (["head_{*name}", "kernel"], ["head_depth_map", "kernel"], {"name": "depth_map"}),
        (["{i}", "x_{i}"], ["3", "x_3"], {"i": 3}),
        (["{i}", "x_{i}"], ["3", "x_4"], None),
        (["a.b{i}"], ["axb1"], None),
        (["unit{i:02}"], ["unit07"], {"i": 7}),
        (["unit{i:02}"], ["unit107"], {"i": 107}),
        (["unit{i:02}"], ["unit7"], None),
        (["unit{i:02}"], ["unit007"], None),
    ],
)
def test_match(pattern: list[str], path: list[str], binding: dict[str, int] | None) -> None:
    assert PathPattern.of(pattern).match(tuple(path)) == binding


@pytest.mark.parametrize(
    ("pattern", "binding", "path"),
    [
        (["Dense_{2*i + 1}", "kernel"], {"i": 3}, ("Dense_7", "kernel")),
        (["Block_{i*depth + j}"], {"i": 2, "depth": 4, "j": 1}, ("Block_9",)),
        (["Attention_{i // 2}", "x{i % 2}"], {"i": 5}, ("Attention_2", "x1")),
        (["Block_{#}"], {ORDINAL: 6}, ("Block_6",)),
        (["Block_{2*# + 1}"], {ORDINAL: 6}, ("Block_13",)),
        (["head_{*name}"], {"name": "rgb"}, ("head_rgb",)),
        (["unit{i + 2:03}"], {"i": 8}, ("unit010",)),
    ],
)
def test_render(pattern: list[str], binding: dict[str, int | str], path: tuple[str, ...]) -> None:
    assert PathPattern.of(pattern).render(binding) == path


@pytest.mark.parametrize(
    "element",
    [
        "Dense_{i",
        "Dense_i}",
        "x{i.real}",
        "x{f(i)}",
        "x{i[0]}",
        "x{*i+1}",
        "x{}",
        "{i; j}",
        "{0.5}",
        "{i:x}",
        "{i:3}",
    ],
)
def test_unreadable_patterns_are_refused(element: str) -> None:
    with pytest.raises(PatternError):
        PathPattern.of([element])


def test_rendering_needs_every_index() -> None:
    with pytest.raises(PatternError, match="'j'"):
        PathPattern.of(["Dense_{i + j}"]).render({"i": 1})


def test_arithmetic_cannot_be_matched() -> None:
    pattern = PathPattern.of(["Dense_{i + 1}"])
    assert not pattern.binds
    with pytest.raises(PatternError):
        pattern.match(("Dense_1",))


@pytest.mark.parametrize(
    ("source", "value"), [("i % 2 == 0", True), ("i > 4 or not i < 3", True), ("0 < i < 4 and i != 4", False)]
)
def test_conditions(source: str, value: bool) -> None:
    assert Expression(source, condition=True)({"i": 4}) is value


def test_a_condition_is_no_index() -> None:
    with pytest.raises(PatternError):
        Expression("i == 1")
