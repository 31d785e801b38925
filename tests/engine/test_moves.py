"""Tables of API moves at work, on the ways in which code gets at a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnx_migrate.engine.arguments import Arguments
from nnx_migrate.engine.moves import Move, MovesRule
from tests.rules.harness import check_files, check_text, fix_files, fix_text


class Sample(MovesRule):
    """Made-up moves of a made-up release."""

    id = "sample-moves"
    group = "jax"
    moves = (
        Move(
            "jax.old_map", "jax.tree.map", since="jax>=0.4.26", removed="0.6.0", keep="jax.tree_util.old_map"
        ),
        Move("jax.lax.same", "jax.numpy.same"),
        Move("jax.lax.gone", removed="0.5.0", help="write it out"),
        Move("jax.lax.typed", "jax.Array", types=True),
        Move("jax.lax.CONSTANT", value="-<jax.numpy.inf>"),
        Move("jax.lax.swap", signature=("a", "b"), call="<jax.numpy.swapped>({b}, {a!}.T)"),
        Move("jax.experimental.box", "jax.example_libraries.box", module=True),
        Move("jax.experimental.tomb", module=True, help="nothing is left"),
        Move("jax.experimental.tomb.stone", "jax.numpy.stone"),
        Move("jax.lax.moved", "jax.extend.core.moved"),
        Move(
            "jax.lax.call",
            "jax.numpy.call",
            arguments=Arguments(
                signature=("x", "axis", "flag"),
                rename={"axis": "dim"},
                keyword=("flag",),
                drop={"out": ("None",)},
                append=("new=1",),
            ),
        ),
    )


RULE = Sample()


def fix(code: str, **options: object) -> str:
    return fix_text(code, RULE, **options)  # type: ignore[arg-type]


SPELLINGS = {
    "dotted": ("import jax\njax.old_map(f, x)\n", "import jax\njax.tree.map(f, x)\n"),
    "renamed module": ("import jax as j\nj.old_map(f)\n", "import jax as j\nj.tree.map(f)\n"),
    "from import": ("from jax import old_map\nold_map(f)\n", "import jax\njax.tree.map(f)\n"),
    "from import with as": (
        "from jax import old_map as om\nom(f)\n",
        "from jax.tree import map as om\nom(f)\n",
    ),
    "same last name": ("from jax.lax import same\nsame(x)\n", "from jax.numpy import same\nsame(x)\n"),
    "same last name, with as": (
        "from jax.lax import same as s\ns(x)\n",
        "from jax.numpy import same as s\ns(x)\n",
    ),
    "as a value": ("import jax\nxs = map(jax.old_map, ys)\n", "import jax\nxs = map(jax.tree.map, ys)\n"),
    "decorator": (
        "import jax\n@jax.old_map\ndef f(): ...\n",
        "import jax\n@jax.tree.map\ndef f(): ...\n",
    ),
    "plain alias": ("import jax\nom = jax.old_map\nom(f)\n", "import jax\nom = jax.tree.map\nom(f)\n"),
    "attribute of the old name": (
        "import jax\nprint(jax.old_map.__doc__)\n",
        "import jax\nprint(jax.tree.map.__doc__)\n",
    ),
    "in a nested function": (
        "import jax\ndef f():\n    def g():\n        return lambda: jax.old_map(h)\n",
        "import jax\ndef f():\n    def g():\n        return lambda: jax.tree.map(h)\n",
    ),
    "import in a function": (
        "def f():\n    import jax\n    return jax.old_map(h)\n",
        "def f():\n    import jax\n    return jax.tree.map(h)\n",
    ),
    "from import in a function": (
        "def f():\n    from jax.lax import same, scan\n    return same(scan)\n",
        "def f():\n    from jax.numpy import same\n    from jax.lax import scan\n    return same(scan)\n",
    ),
    "under TYPE_CHECKING": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from jax.lax import same\n\nx: same\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from jax.numpy import same\n\nx: same\n",
    ),
    "over several lines": ("import jax\n(jax\n .old_map(f))\n", "import jax\n(jax.tree.map(f))\n"),
    "in an f-string": (
        'import jax\ns = f"""\n{jax.old_map(f)!r:>{w}} é {jax.old_map}\n"""\n',
        'import jax\ns = f"""\n{jax.tree.map(f)!r:>{w}} é {jax.tree.map}\n"""\n',
    ),
    "CRLF": ("import jax\r\njax.old_map(f)\r\n", "import jax\r\njax.tree.map(f)\r\n"),
    "beside names that stay": (
        "from jax import (\n    jit,  # compiles\n    old_map,\n)\njit(old_map)\n",
        "import jax\nfrom jax import (\n    jit,  # compiles\n)\njit(jax.tree.map)\n",
    ),
    "a module that moved": (
        "from jax.experimental import box\nbox.open(box.lid)\n",
        "from jax.example_libraries import box\nbox.open(box.lid)\n",
    ),
    "a module that moved, with as": (
        "import jax.experimental.box as b\nb.open()\n",
        "import jax.example_libraries.box as b\nb.open()\n",
    ),
    "names of a module that moved": (
        "from jax.experimental.box import lid, open_ as o\nlid(o)\n",
        "from jax.example_libraries.box import lid, open_ as o\nlid(o)\n",
    ),
    "one name of a module that is gone": (
        "from jax.experimental import tomb\nimport jax.numpy as jnp\ntomb.stone(jnp)\n",
        "import jax.numpy as jnp\njnp.stone(jnp)\n",
    ),
    "a submodule that nobody has loaded": (
        "import jax\njax.lax.moved(1)\n",
        "import jax\nimport jax.extend.core\njax.extend.core.moved(1)\n",
    ),
    "an unused import of something gone": ("from jax.lax import gone, scan\nscan\n", "from jax.lax import scan\nscan\n"),
    "a constant": (
        "import jax\nimport jax.numpy as jnp\nx = 2 ** jax.lax.CONSTANT, (jax.lax.CONSTANT).real, jnp\n",
        "import jax.numpy as jnp\nx = 2 ** -jnp.inf, ((-jnp.inf)).real, jnp\n",
    ),
    "a template": (
        "import jax\njax.lax.swap(a + 1, b=f(x))\n",
        "import jax\njax.numpy.swapped(f(x), (a + 1).T)\n",
    ),
    "arguments": (
        "import jax\njax.lax.call(x, axis=0, out=None)\njax.lax.call(x, 1, True, new=2)\n",
        "import jax\njax.numpy.call(x, dim=0, new=1)\njax.numpy.call(x, 1, flag=True, new=2)\n",
    ),
    "arguments, one per line": (
        "import jax\njax.lax.call(\n    x,\n    axis=0  # rows\n)\n",
        "import jax\njax.numpy.call(\n    x,\n    dim=0,  # rows\n    new=1,\n)\n",
    ),
    "parenthesised arguments": (
        "import jax\njax.lax.call((x), (1), (y if z else w))\n",
        "import jax\njax.numpy.call((x), (1), flag=(y if z else w), new=1)\n",
    ),
    "a version of something else": (
        "import jax\nif model_version == 2:\n    jax.old_map(f)\n",
        "import jax\nif model_version == 2:\n    jax.tree.map(f)\n",
    ),
    "annotations": (
        "import jax\ndef f(x: jax.lax.typed, *y: list[jax.lax.typed]) -> jax.lax.typed | None: ...\n",
        "import jax\ndef f(x: jax.Array, *y: list[jax.Array]) -> jax.Array | None: ...\n",
    ),
    "non-ASCII text in front": ("import jax\ns = 'åß∂'; jax.old_map(f)\n", "import jax\ns = 'åß∂'; jax.tree.map(f)\n"),
}  # fmt: skip


@pytest.mark.parametrize("before, after", SPELLINGS.values(), ids=SPELLINGS)
def test_finds_and_rewrites_every_spelling(before: str, after: str) -> None:
    assert fix(before) == after
    assert check_text(after, RULE) == []


UNTOUCHED = {
    "a parameter of that name": "def f(jax):\n    return jax.old_map(1)\n",
    "a local variable of that name": "import jax\ndef f():\n    jax = g()\n    return jax.old_map(1)\n",
    "bound twice": "import jax\nif x:\n    jax = None\njax.old_map(1)\n",
    "another package": "import dax\nfrom dax import old_map\nold_map(dax.old_map)\n",
    "try and except": "try:\n    from jax import old_map\nexcept ImportError:\n    from jax.tree import map as old_map\nold_map(1)\n",
    "only in try": "try:\n    from jax.lax import same\nexcept ImportError:\n    pass\nsame(1)\n",
    "a version check": "import jax\nif jax.__version__ < '0.5':\n    jax.old_map(1)\n",
    "behind a version check": (
        "import jax\ndef f(g, x):\n    if jax.__version__ >= '0.5':\n        return jax.tree.map(g, x)\n"
        "    return jax.old_map(g, x)\n"
    ),
    "hasattr": "import jax\nif hasattr(jax, 'old_map'):\n    f = jax.old_map\n",
    "a version that a function tells": "import jax\nif installed_version('jax') >= (0, 5):\n    f = g\nelse:\n    f = jax.old_map\n",
    "a version that a variable tells": "import jax\nOLD = jax.__version__ < '0.5'\nif OLD:\n    jax.old_map(1)\n",
    "hasattr in a variable": "import jax\nHAS = hasattr(jax, 'old_map')\nif HAS and x:\n    jax.old_map(1)\n",
    "an assignment to it": "import jax\njax.old_map = jax.tree.map\n",
    "text and comments": "import jax\n# jax.old_map(f)\nx = 'jax.old_map'\n",
    "getattr": "import jax\ngetattr(jax, 'old_map')(f)\n",
}


@pytest.mark.parametrize("leaving", ["raise RuntimeError", "return", "x = 1"])
def test_code_behind_a_check_for_the_least_release_is_changed(leaving: str) -> None:
    code = f"import jax\ndef f(g, x):\n    if jax.__version__ < '0.1':\n        {leaving}\n    return jax.old_map(g, x)\n"
    assert "jax.tree.map(g, x)" in fix(code)


@pytest.mark.parametrize("code", UNTOUCHED.values(), ids=UNTOUCHED)
def test_leaves_alone(code: str) -> None:
    assert check_text(code, RULE) == []
    assert fix(code) == code


UNFIXED = {
    "a comment inside the name": ("import jax\n(jax  # why\n .old_map(f))\n", "unclear-place"),
    "star arguments": ("import jax\njax.lax.call(*xs)\n", "unclear-arguments"),
    "double star arguments": ("import jax\njax.lax.call(x, **options)\n", "unclear-arguments"),
    "too many arguments": ("import jax\njax.lax.call(1, 2, 3, 4)\n", "unclear-arguments"),
    "an argument without equivalent": ("import jax\njax.lax.call(x, out=y)\n", "unclear-arguments"),
    "both names of an argument": ("import jax\njax.lax.call(x, axis=0, dim=1)\n", "unclear-arguments"),
    "passed on": ("import jax\nmap(jax.lax.call, xs)\n", "passed-as-value"),
    "partial": ("import functools, jax\nfunctools.partial(jax.lax.call, axis=0)\n", "unclear-arguments"),
    "at run time": ("import jax\nisinstance(x, jax.lax.typed)\n", "runtime-type"),
    "as a base class": ("import jax\nclass A(jax.lax.typed): ...\n", "runtime-type"),
    "star import": ("from jax import *\nold_map(f)\n", "star-import"),
    "star import of a module that moved": ("from jax.experimental.box import *\n", "star-import"),
    "no equivalent": ("import jax\njax.lax.gone(1)\n", "no-equivalent"),
    "anything of a module that is gone": ("from jax.experimental import tomb\ntomb.rest()\n", "no-equivalent"),
}  # fmt: skip


@pytest.mark.parametrize("code, reason", UNFIXED.values(), ids=UNFIXED)
def test_reports_what_it_can_not_rewrite(code: str, reason: str) -> None:
    findings = check_text(code, RULE)
    assert [f.reason for f in findings] == [reason]
    assert findings[0].help
    assert fix(code) == code


def test_a_name_that_is_taken_keeps_the_imported_one() -> None:
    code = "from jax import old_map\n\ndef f(jax):\n    return old_map(jax)\n\nold_map(f)\n"
    fixed = fix(code)
    assert "from jax.tree_util import old_map" in fixed
    assert fixed.endswith("    return old_map(jax)\n\nold_map(f)\n")


def test_a_taken_name_without_import_is_reported() -> None:
    code = "import jax.lax as lax\n\ndef f(jax):\n    return lax.moved(jax)\n"
    findings = check_text(code, RULE)
    assert [f.reason for f in findings] == ["name-taken"]
    assert fix(code) == code


def test_names_that_other_files_import_stay() -> None:
    utils, main = Path("/project/utils.py"), Path("/project/main.py")
    files = {
        utils: "from jax import old_map\n\ndef f(x):\n    return old_map(x)\n",
        main: "from utils import old_map\n\nold_map(1)\n",
    }
    fixed, _ = fix_files(files, [RULE])
    assert fixed[utils].startswith("from jax.tree_util import old_map\n")
    assert fixed[main] == files[main]
    assert check_files(fixed, [RULE]).findings == []


def test_names_in_all_stay() -> None:
    code = "from jax import old_map, jit\n\n__all__ = ['old_map']\n\njit(old_map)\n"
    fixed = fix(code)
    assert "from jax.tree_util import old_map\n" in fixed
    assert "jit(old_map)" in fixed


def test_pins_decide_what_is_outdated() -> None:
    code = "import jax\njax.old_map(f)\n"
    assert check_text(code, RULE, targets={"jax": "0.4.25"}) == []
    assert len(check_text(code, RULE, targets={"jax": "0.4.26"})) == 1


def test_messages_name_release_and_replacement() -> None:
    found = check_text("import jax\njax.old_map(f)\njax.lax.gone(1)\n", RULE)
    assert found[0].message == "`jax.old_map` was removed in jax 0.6.0; use `jax.tree.map`"
    assert found[1].message == "`jax.lax.gone` was removed in jax 0.5.0"
    assert found[1].help == "write it out"


def test_a_lost_comment_makes_the_fix_unsafe() -> None:
    code = "import jax\njax.lax.swap(\n    a,  # left\n    b,\n)\n"
    assert fix(code) == code
    assert "swapped(b, a.T)" in fix(code, unsafe=True)


def test_several_findings_share_the_fix_of_one_import() -> None:
    code = "from jax.experimental.box import lid, hinge\nlid(hinge)\n"
    path = Path("/project/example.py")
    fixed, result = fix_files({path: code}, [RULE])
    assert fixed[path] == "from jax.example_libraries.box import lid, hinge\nlid(hinge)\n"
    assert len(result.fixed) == 2
