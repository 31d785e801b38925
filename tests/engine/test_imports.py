"""The import editor, on the ways in which files spell, order and guard their imports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from nnx_migrate.engine.findings import ImportRequest
from nnx_migrate.engine.imports import edit_imports
from nnx_migrate.names.modules import Module
from nnx_migrate.sources.text import SourceText

JAX = ImportRequest("jax", "jax")
JNP = ImportRequest("jax.numpy", "jnp")
NNX = ImportRequest("flax.nnx", "nnx", "flax")
OPTAX = ImportRequest("optax", "optax")
NP = ImportRequest("numpy", "np")
FUNCTOOLS = ImportRequest("functools", "functools")
MESH = ImportRequest("jax.sharding.Mesh", "Mesh", "jax.sharding")
SPEC = ImportRequest("jax.sharding.PartitionSpec", "P", "jax.sharding")
BLOCK_COPY = ImportRequest(".shared.LinenBlock", "LinenBlock", ".shared")
EXTEND = ImportRequest("jax.extend.core", "jax")


def edit(
    before: str,
    after: str | None = None,
    requests: tuple[ImportRequest, ...] = (),
    exported: tuple[str, ...] = (),
    path: str = "/project/example.py",
) -> str:
    name = "project" if path.endswith("__init__.py") else "example"
    modules = [
        Module(Path(path), name, SourceText(text)) for text in (before, before if after is None else after)
    ]
    result = edit_imports(modules[0], modules[1], requests, lambda name: name in exported)
    compile(result.text, path, "exec", dont_inherit=True)
    return result.text


def adds(code: str, *requests: ImportRequest) -> str:
    return edit(dedent(code), None, requests)


# -- adding -----------------------------------------------------------------------------------------------

ADDED = {
    "empty file": ("", (JAX,), "import jax\n"),
    "no imports": ("x = 1\n", (JAX,), "import jax\n\nx = 1\n"),
    "docstring": ('"""Doc."""\n\nx = 1\n', (JAX,), '"""Doc."""\n\nimport jax\n\nx = 1\n'),
    "docstring, code right below": (
        '"""Doc."""\nx = 1\n',
        (JAX,),
        '"""Doc."""\n\nimport jax\n\nx = 1\n',
    ),
    "docstring only, no final newline": ('"""Doc."""', (JAX,), '"""Doc."""\n\nimport jax'),
    "shebang and coding line": (
        "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\nx = 1\n",
        (JAX,),
        "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\nimport jax\n\nx = 1\n",
    ),
    "licence comment": (
        "# Copyright 2020\n# Apache\n\nx = 1\n",
        (JAX,),
        "# Copyright 2020\n# Apache\n\nimport jax\n\nx = 1\n",
    ),
    "only __future__": (
        "from __future__ import annotations\n\nx = 1\n",
        (JAX,),
        "from __future__ import annotations\n\nimport jax\n\nx = 1\n",
    ),
    "docstring and __future__": (
        '"""Doc."""\nfrom __future__ import annotations\nx = 1\n',
        (NNX,),
        '"""Doc."""\nfrom __future__ import annotations\n\nfrom flax import nnx\n\nx = 1\n',
    ),
    "isort order, straight imports first": (
        "import flax\nimport optax\nfrom flax import linen as nn\nfrom jax import lax\n",
        (JAX,),
        "import flax\nimport jax\nimport optax\nfrom flax import linen as nn\nfrom jax import lax\n",
    ),
    "sorted by module": (
        "from flax import linen as nn\nimport jax.numpy as jnp\nimport numpy as np\n",
        (JAX,),
        "from flax import linen as nn\nimport jax\nimport jax.numpy as jnp\nimport numpy as np\n",
    ),
    "`import jax` before `from jax import`": (
        "from jax import lax\n\nx = 1\n",
        (JAX,),
        "import jax\nfrom jax import lax\n\nx = 1\n",
    ),
    "first of its group": (
        "import jax\nimport numpy as np\n",
        (ImportRequest("flax", "flax"),),
        "import flax\nimport jax\nimport numpy as np\n",
    ),
    "no order at all: with its own package": (
        "import numpy as np\nimport jax\nimport jax.numpy as jnp\nimport einops\n\nx = 1\n",
        (ImportRequest("jax.lax", "lax", "jax"),),
        "import numpy as np\nimport jax\nimport jax.numpy as jnp\nfrom jax import lax\nimport einops\n\nx = 1\n",
    ),
    "no order at all: behind JAX's": (
        "import numpy as np\nimport jax\nimport einops\n\nx = 1\n",
        (OPTAX,),
        "import numpy as np\nimport jax\nimport optax\nimport einops\n\nx = 1\n",
    ),
    "standard library group": (
        "import os\nimport sys\n\nimport jax\n",
        (FUNCTOOLS,),
        "import functools\nimport os\nimport sys\n\nimport jax\n",
    ),
    "new standard library group": (
        "import jax\nimport optax\n",
        (FUNCTOOLS,),
        "import functools\n\nimport jax\nimport optax\n",
    ),
    "new third-party group below the standard library": (
        "import os\nimport sys\n\nx = 1\n",
        (JAX,),
        "import os\nimport sys\n\nimport jax\n\nx = 1\n",
    ),
    "between standard library and the project's own": (
        "import os\n\nfrom . import models\n",
        (JAX,),
        "import os\n\nimport jax\n\nfrom . import models\n",
    ),
    "several at once": (
        "import os\n\nimport numpy as np\n",
        (JAX, JNP, NNX),
        "import os\n\nimport jax\nimport jax.numpy as jnp\nimport numpy as np\nfrom flax import nnx\n",
    ),
    "two names of one module": (
        "import jax\n",
        (MESH, SPEC),
        "import jax\nfrom jax.sharding import Mesh, PartitionSpec as P\n",
    ),
    "a statement for each name": (
        "from jax.sharding import NamedSharding\nfrom jax.sharding import PartitionSpec\n",
        (MESH,),
        "from jax.sharding import NamedSharding\nfrom jax.sharding import PartitionSpec\n"
        "from jax.sharding import Mesh\n",
    ),
    "extends a statement, in order": (
        "from jax.sharding import NamedSharding, PartitionSpec\n",
        (MESH,),
        "from jax.sharding import Mesh, NamedSharding, PartitionSpec\n",
    ),
    "extends a statement whose names stand by their kind": (
        "from .shared import SIZE, Block, mask\n",
        (BLOCK_COPY,),
        "from .shared import SIZE, Block, LinenBlock, mask\n",
    ),
    "a statement that gets too long": (
        "from .shared import first_of_many_names, fourth_of_many_names, second_of_many_names  # all\n",
        (BLOCK_COPY,),
        "from .shared import (\n    first_of_many_names,\n    fourth_of_many_names,\n    LinenBlock,\n"
        "    second_of_many_names,\n)  # all\n",
    ),
    "one in parentheses that gets too long": (
        "from .shared import (first_of_many_names, fourth_of_many_names, second_of_many)\n",
        (BLOCK_COPY,),
        "from .shared import (\n    first_of_many_names,\n    fourth_of_many_names,\n    LinenBlock,\n"
        "    second_of_many,\n)\n",
    ),
    "extends a statement that has no order": (
        "from jax.sharding import PartitionSpec, NamedSharding\n",
        (MESH,),
        "from jax.sharding import PartitionSpec, NamedSharding, Mesh\n",
    ),
    "extends a parenthesised statement": (
        "from jax.sharding import (\n    NamedSharding,  # how\n    PartitionSpec,  # where\n)\n",
        (MESH,),
        "from jax.sharding import (\n    Mesh,\n    NamedSharding,  # how\n    PartitionSpec,  # where\n)\n",
    ),
    "extends a parenthesised statement at its end": (
        "from flax import (\n    linen as nn,\n)\n",
        (NNX,),
        "from flax import (\n    linen as nn,\n    nnx,\n)\n",
    ),
    "extends two names in one line of parentheses": (
        "from flax import (linen as nn, struct)\n",
        (NNX,),
        "from flax import (linen as nn, nnx, struct)\n",
    ),
    "extends a statement with backslashes": (
        "from flax import linen as nn, \\\n    struct\n",
        (NNX,),
        "from flax import linen as nn, nnx, struct\n",
    ),
    "doesn't extend a star import": (
        "from flax import *\n",
        (NNX,),
        "from flax import *\nfrom flax import nnx\n",
    ),
    "semicolons": ("import os; import jax\nx = 1\n", (NNX,), "import os; import jax\nfrom flax import nnx\nx = 1\n"),
    "CRLF": (
        "import os\r\n\r\nimport numpy as np\r\n",
        (JAX,),
        "import os\r\n\r\nimport jax\r\nimport numpy as np\r\n",
    ),
    "no final newline": ("import jax", (NNX,), "import jax\nfrom flax import nnx"),
    "no final newline, at the end": ("import jax", (OPTAX,), "import jax\nimport optax"),
    "not ahead of code that prepares JAX": (
        'import os\nos.environ["XLA_FLAGS"] = "x"\nfrom jax import lax\n\nx = lax\n',
        (JAX,),
        'import os\nos.environ["XLA_FLAGS"] = "x"\nimport jax\nfrom jax import lax\n\nx = lax\n',
    ),
    "another JAX package stays behind that code too": (
        'import os\nos.environ["XLA_FLAGS"] = "x"\nimport jax\n',
        (OPTAX,),
        'import os\nos.environ["XLA_FLAGS"] = "x"\nimport jax\nimport optax\n',
    ),
    "nor does a module of the project get ahead of it": (
        'import os\nos.environ["XLA_FLAGS"] = "x"\nimport jax\n',
        (ImportRequest("helpers.f", "f", "helpers"),),
        'import os\nos.environ["XLA_FLAGS"] = "x"\nimport jax\nfrom helpers import f\n',
    ),
    "the standard library does": (
        'import sys\nsys.path.append("x")\nimport jax\n',
        (ImportRequest("os", "os"),),
        'import os\nimport sys\nsys.path.append("x")\nimport jax\n',
    ),
    "ahead of the first use at module level": (
        "import numpy as np\n\njnp.zeros(3)\n\nimport jax.lax\n",
        (JNP,),
        "import jax.numpy as jnp\nimport numpy as np\n\njnp.zeros(3)\n\nimport jax.lax\n",
    ),
    "a statement below the first use isn't extended": (
        "import flax\n\nnnx.Linear\n\nfrom flax import struct\n",
        (NNX,),
        "import flax\nfrom flax import nnx\n\nnnx.Linear\n\nfrom flax import struct\n",
    ),
    "imports in try don't count": (
        "import os\ntry:\n    import jax\nexcept ImportError:\n    jax = None\n",
        (NP,),
        "import os\n\nimport numpy as np\ntry:\n    import jax\nexcept ImportError:\n    jax = None\n",
    ),
    "submodule": ("import jax\n", (EXTEND,), "import jax\nimport jax.extend.core\n"),
}  # fmt: skip


@pytest.mark.parametrize("code, requests, expected", ADDED.values(), ids=ADDED)
def test_adds_where_a_person_would(code: str, requests: tuple[ImportRequest, ...], expected: str) -> None:
    assert edit(code, None, requests) == expected


@pytest.mark.parametrize(
    "code, request_",
    [
        ("import jax\n", JAX),
        ("import jax.numpy as jnp\n", JNP),
        ("from jax import numpy as jnp\n", JNP),
        ("from flax import nnx\n", NNX),
        ("import flax.nnx as nnx\n", NNX),
        ("import jax.extend.core\n", EXTEND),
        ("import jax.extend.core.primitives\n", EXTEND),
        ("import jax.numpy\n", JAX),
        ("from jax.sharding import PartitionSpec as P\n", SPEC),
    ],
)
def test_what_is_bound_already_is_not_imported_again(code: str, request_: ImportRequest) -> None:
    assert edit(code, None, (request_,)) == code


def test_a_guarded_import_does_not_serve() -> None:
    code = "if DEBUG:\n    pass\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import jax\n"
    assert "\nimport jax\n" in edit(code, None, (JAX,))


def test_adding_twice_changes_nothing() -> None:
    once = adds("import os\n\nimport numpy as np\n", JAX, MESH, NNX)
    assert edit(once, None, (JAX, MESH, NNX)) == once


SCRIPT = """\
import jax


def show(model):
    print(model)


if __name__ == "__main__":
    # try it
    show(1)
"""
HELPER = ImportRequest("helpers.Model", "Model", "helpers", scripts_only=True)


def test_what_only_scripts_find_is_imported_where_they_run() -> None:
    after = SCRIPT.replace("show(1)", "show(Model(1))")
    added = after.replace("    # try it\n", "    from helpers import Model\n\n    # try it\n")
    assert edit(SCRIPT, after, (HELPER,)) == added


def test_what_all_of_a_script_reads_is_imported_at_its_head() -> None:
    after = SCRIPT.replace("show(1)", "show(Model(1))").replace("print(model)", "print(Model(model))")
    assert edit(SCRIPT, after, (HELPER,)).startswith("import jax\nfrom helpers import Model\n")


IN_FOLDER = replace(HELPER, in_folder=True)


def test_what_lies_in_the_folder_is_found_from_above_and_from_within() -> None:
    after = SCRIPT.replace("print(model)", "print(Model(model))")
    tried = "try:\n    from .helpers import Model\nexcept ImportError:  # beside a script\n    from helpers import Model\n"
    added = edit(SCRIPT, after, (IN_FOLDER,))
    assert added == after.replace("import jax\n", f"import jax\n\n{tried}", 1)
    assert edit(SCRIPT, added, (IN_FOLDER,)) == added


def test_a_script_itself_needs_no_folder() -> None:
    after = SCRIPT.replace("show(1)", "show(Model(1))")
    assert edit(SCRIPT, after, (IN_FOLDER,)) == edit(SCRIPT, after, (HELPER,))


# -- removing ---------------------------------------------------------------------------------------------

REMOVED = {
    "a group of its own: one blank line stays": (
        "import a\n\nfrom b import old\n\nfrom c import d\n\nd(a, old)\n",
        "old)",
        "a)",
        "import a\n\nfrom c import d\n\nd(a, a)\n",
    ),
    "a group of two, both gone": (
        "import a\n\nfrom b import old\nfrom b import older\n\nimport c\n\nc(a, old, older)\n",
        "old, older)",
        "a)",
        "import a\n\nimport c\n\nc(a, a)\n",
    ),
    "the last group: the code keeps its distance": (
        "import a\n\nfrom b import old\n\n\ndef f():\n    old(a)\n",
        "old(a)",
        "a()",
        "import a\n\n\ndef f():\n    a()\n",
    ),
    "the head of a block: its blank lines go along": (
        "def f(x):\n    if x:\n        from a import old\n\n        old(x)\n",
        "old(x)",
        "g(x)",
        "def f(x):\n    if x:\n        g(x)\n",
    ),
    "the head of a file: so do its": (
        "from a import old\nfrom b import older\n\nimport jax\n\njax.f(old, older)\n",
        "old, older)",
        "1)",
        "import jax\n\njax.f(1)\n",
    ),
    "a statement": ("import jax\nfrom a import old\nold()\n", "old()", "new()", "import jax\nnew()\n"),
    "one of several names": ("from a import b, old, z\nold(b, z)\n", "old(", "f(", "from a import b, z\nf(b, z)\n"),
    "the last of several names": ("from a import b, old\nold(b)\n", "old(", "f(", "from a import b\nf(b)\n"),
    "one of several modules": ("import a, old, b\nold.f(a, b)\n", "old.f(", "f(", "import a, b\nf(a, b)\n"),
    "from a parenthesised list with comments": (
        "from a import (\n    b,  # keeps\n    old,\n    z,  # also\n)\nold(b, z)\n",
        "\nold(",
        "\nf(",
        "from a import (\n    b,  # keeps\n    z,  # also\n)\nf(b, z)\n",
    ),
    "the last one of a parenthesised list": (
        "from a import (\n    b,\n    old\n)\nold(b)\n",
        "\nold(",
        "\nf(",
        "from a import (\n    b,\n)\nf(b)\n",
    ),
    "the first one beside the parenthesis": (
        "from a import (old,\n               b)\nold(b)\n",
        "\nold(",
        "\nf(",
        "from a import (b)\nf(b)\n",
    ),
    "with backslashes": (
        "from a import b, \\\n    old, \\\n    z\nold(b, z)\n",
        "\nold(",
        "\nf(",
        "from a import b, z\nf(b, z)\n",
    ),
    "an alias": ("import jax.old as old\nold.f()\n", "old.f()", "f()", "f()\n"),
    "a comment behind it stays": ("from a import old  # why\nold()\n", "\nold()", "\nf()", "# why\nf()\n"),
    "before a semicolon": ("from a import old; import b\nold(b)\n", "\nold(", "\nf(", "import b\nf(b)\n"),
    "behind a semicolon": ("import b; from a import old\nold(b)\n", "\nold(", "\nf(", "import b\nf(b)\n"),
    "the only statement of a block": (
        "def g():\n    from a import old\ndef h():\n    from a import old\n    old()\n",
        "    old()",
        "    f()",
        "def g():\n    from a import old\ndef h():\n    f()\n",
    ),
    "in a function": (
        "def g():\n    from a import old\n    return old()\n",
        "return old()",
        "return f()",
        "def g():\n    return f()\n",
    ),
    "in a function whose name another one uses": (
        "import old\n\ndef g():\n    from a import old\n    return old()\n\nold.x\n",
        "return old()",
        "return f()",
        "import old\n\ndef g():\n    return f()\n\nold.x\n",
    ),
    "under TYPE_CHECKING": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from a import old\n    import b\ndef g(x: old, y: b): ...\n",
        "x: old",
        "x: new",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import b\ndef g(x: new, y: b): ...\n",
    ),
    "the last line without newline": ("old.f()\nimport old", "old.f()", "f()", "f()"),
    "behind a page break": (
        "import b\n\fimport old\n\nold.f(b)\n",
        "old.f(",
        "f(",
        "import b\n\f\nf(b)\n",
    ),
    "CRLF": ("import b\r\nimport old\r\nold.f(b)\r\n", "old.f(", "f(", "import b\r\nf(b)\r\n"),
    "CRLF before blank lines": (
        "import b\r\nimport old\r\n\r\n\r\nold.f(b)\r\n",
        "old.f(",
        "f(",
        "import b\r\n\r\n\r\nf(b)\r\n",
    ),
    "CR before blank lines": (
        "import b\rimport old\r\r\rold.f(b)\r",
        "old.f(",
        "f(",
        "import b\r\r\rf(b)\r",
    ),
    "CRLF between blank lines": (
        "import b\r\n\r\nimport old\r\n\r\nold.f(b)\r\n",
        "old.f(",
        "f(",
        "import b\r\n\r\nf(b)\r\n",
    ),
    "a submodule whose package is used": (
        "import jax.old\njax.old.f(jax.jit)\n",
        "jax.old.f(",
        "f(",
        "import jax\nf(jax.jit)\n",
    ),
    "a submodule whose package is imported": (
        "import jax\nimport jax.old\njax.old.f(jax.jit)\n",
        "jax.old.f(",
        "f(",
        "import jax\nf(jax.jit)\n",
    ),
    "a submodule whose package nobody needs": ("import jax.old\njax.old.f()\n", "jax.old.f()", "f()", "f()\n"),
    "though a comment mentions it": ("import jax.old\njax.old.f()  # jax.old\n", "jax.old.f()", "f()", "f()  # jax.old\n"),
}  # fmt: skip


@pytest.mark.parametrize("code, old, new, expected", REMOVED.values(), ids=REMOVED)
def test_removes_what_lost_its_last_use(code: str, old: str, new: str, expected: str) -> None:
    assert code.count(old) == 1
    assert edit(code, code.replace(old, new)) == expected


KEPT = {
    "was unused before": ("from a import old\nx = 1\n", "x", "y"),
    "is still used": ("from a import old\nold()\nold\n", "old()", "f()"),
    "is in __all__": ("from a import old\n__all__ = ['old']\nold()\n", "\nold()", "\nf()"),
    "is in a string annotation": ("from a import old\ndef g(x: 'old'): ...\nold()\n", "\nold()", "\nf()"),
    "is in a doctest": ('from a import old\ndef g():\n    """\n    >>> old(1)\n    """\nold()\n', "\nold()", "\nf()"),
    "is in a type comment": ("from a import old\nx = []  # type: list[old]\nold()\n", "\nold()", "\nf()"),
    "is marked as re-export": ("from a import old as old\nold()\n", "\nold()", "\nf()"),
    "is marked noqa": ("from a import old  # noqa: F401\nold()\n", "\nold()", "\nf()"),
    "is in try": ("try:\n    from a import old\nexcept ImportError:\n    pass\nold()\n", "\nold()", "\nf()"),
    "is under a version check": ("if a.__version__ > '1':\n    from a import old\nold()\n", "\nold()", "\nf()"),
    "is __future__": ("from __future__ import annotations\nannotations\n", "\nannotations", "\nf"),
    "is a star import": ("from a import *\nold()\n", "old()", "f()"),
}  # fmt: skip


@pytest.mark.parametrize("code, old, new", KEPT.values(), ids=KEPT)
def test_keeps_an_import_that(code: str, old: str, new: str) -> None:
    after = code.replace(old, new, 1)
    assert after != code
    assert edit(code, after) == after


def test_a_prose_docstring_is_not_a_use() -> None:
    code = '"""Uses old things."""\nfrom a import old\nold()\n'
    assert edit(code, code.replace("\nold()", "\nf()")) == '"""Uses old things."""\nf()\n'


def test_keeps_what_other_files_import() -> None:
    code = "from a import old\nold()\n"
    after = "from a import old\nf()\n"
    assert edit(code, after, exported=("old",)) == after
    assert edit(code, after, exported=("other",)) == "f()\n"


def test_keeps_everything_in_a_package_file() -> None:
    code = "from a import old\nold()\n"
    after = "from a import old\nf()\n"
    assert edit(code, after, path="/project/__init__.py") == after


def test_removing_and_adding_in_one_statement() -> None:
    code = "from flax import linen as nn, struct\nnn.Dense(struct)\n"
    after = "from flax import linen as nn, struct\nnnx.Linear(struct)\n"
    assert edit(code, after, (NNX,)) == "from flax import nnx, struct\nnnx.Linear(struct)\n"


def test_a_statement_that_only_goes_makes_room_for_the_new_one() -> None:
    code = "import jax\nfrom flax import linen as nn\nnn.Dense(jax)\n"
    after = "import jax\nfrom flax import linen as nn\nnnx.Linear(jax)\n"
    assert edit(code, after, (NNX,)) == "import jax\nfrom flax import nnx\nnnx.Linear(jax)\n"
