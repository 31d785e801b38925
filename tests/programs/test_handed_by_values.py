"""Modules that programs make by partials and tables of classes, and hand to other modules."""

import pytest

from tests.programs.test_handed_modules import fixed

SMALL = "from functools import partial\n\nSmall = partial(Part, width=2)\n"
LARGE = 'Large = partial(Part, width=8)\nPARTS = {"small": Small, "large": Large}\n'
MADE = 'partial(Functional.maker(Part, lambda x: {"in_features": x.shape[-1]}), width=2)'


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("model = Whole(Small())\nparams = model.init(key, x)\n", "Functional(Whole, Small())"),
        ("part = Small()\nmodel = Whole(part=part)\nmodel.init(key, x)\n", "Functional(Whole, part=part)"),
        (
            "model = Whole(Small(), Small())\nmodel.init(key, x)\n",
            "Functional(Whole, Small(), Small())",
        ),
        (
            LARGE + "def make(name):\n    return Whole(PARTS[name]())\nmake('large').init(key, x)\n",
            "Functional(Whole, PARTS[name]())",
        ),
        (
            "model = Whole(Whole(Small()))\nmodel.init(key, x)\n",
            "Functional(Whole, Functional(Whole, Small()))",
        ),
    ],
)
def test_what_is_converted(code: str, expected: str) -> None:
    text, messages = fixed(SMALL + code)
    assert expected in text
    assert MADE in " ".join(text.split()).replace("( ", "(").replace(" )", ")")
    assert not any(": " in message for message in messages)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("part = Small()\nmodel = Whole(part, part)\n", "a module gets it more than once"),
        ("model = Caller(Small())\nmodel.init(key, x)\n", "the module that gets it calls a method of it"),
        ("model = Unused(Small())\nmodel.init(key, x)\n", "gets a module that a call of it may not use"),
        (
            "Named = partial(Part, name='small')\nmodel = Whole(Named())\n",
            "gets a module that has a name of its own",
        ),
        ("model = Whole(Small(name='small'))\n", "gets a module that has a name of its own"),
        ("import other\nif other.flag:\n    Small = other.Small\nmodel = Whole(Small())\n", "isn't known"),
        ("Smaller = partial(Small, width=1)\nmodel = Whole(Smaller())\n", "isn't known"),
        ("class Own:\n    part = Small\nmodel = Whole(Own.part())\nOwn.part = print\n", "isn't known"),
        (
            "def made():\n    for _ in range(2):\n        yield Small()\nmodel = Whole(next(made()))\n",
            "isn't known",
        ),
    ],
)
def test_what_is_refused(code: str, why: str) -> None:
    text, messages = fixed(SMALL + code)
    assert "Functional" not in text
    assert any(why in message for message in messages)
