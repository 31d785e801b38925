"""Which bindings of a name a read may see: each read is marked by the call `use(name)`."""

import ast
from pathlib import Path
from textwrap import dedent

import pytest

from nnx_migrate.names.modules import Module
from nnx_migrate.names.reaching import reaching
from nnx_migrate.sources.text import SourceText

CASES = {
    "the last one": ("m = 1\nm = 2\nuse(m)\n", [{2}]),
    "each its own": ("m = 1\nuse(m)\nm = 2\nuse(m)\n", [{1}, {3}]),
    "its own value": ("m = 1\nm = use(m)\nuse(m)\n", [{1}, {2}]),
    "a branch": ("m = 1\nif flag:\n    m = 2\nuse(m)\n", [{1, 3}]),
    "both branches": ("if flag:\n    m = 2\nelse:\n    m = 3\nuse(m)\n", [{2, 4}]),
    "before both branches": ("m = 1\nif flag:\n    m = 2\nelse:\n    m = 3\nuse(m)\n", [{3, 5}]),
    "before branches that end": (
        "def f():\n    m = 1\n    if a:\n        m = 2\n    elif b:\n        raise E\n    else:\n        return 3\n    use(m)\n",
        [{4}],
    ),
    "before branches of which one goes on": (
        "m = 1\nif a:\n    m = 2\nelif b:\n    pass\nelse:\n    m = 3\nuse(m)\n",
        [{1, 3, 7}],
    ),
    "the other branch": ("m = 1\nif flag:\n    m = use(m)\nelse:\n    m = use(m)\n", [{1}, {1}]),
    "the other branch in a loop": (
        "m = 1\nfor i in x:\n    if flag:\n        m = 2\n    else:\n        use(m)\n",
        [{1, 4}],
    ),
    "a branch in a loop of its own": (
        "m = 1\nif flag:\n    for i in x:\n        m = use(m)\nelse:\n    use(m)\n",
        [{1, 4}, {1}],
    ),
    "another case": (
        "m = 1\nmatch a:\n    case 1:\n        m = 2\n    case _:\n        use(m)\nuse(m)\n",
        [{1}, {1, 4}],
    ),
    "what an attempt has left": (
        "m = 1\ntry:\n    m = 2\nexcept E:\n    use(m)\nelse:\n    use(m)\n",
        [{1, 3}, {1, 3}],
    ),
    "inside of a branch": ("m = 1\nif flag:\n    m = 2\n    use(m)\n", [{3}]),
    "a loop": ("m = 1\nfor i in x:\n    use(m)\n    m = 2\n", [{1, 4}]),
    "anew in a loop": ("m = 1\nfor i in x:\n    m = 2\n    use(m)\n", [{3}]),
    "after a loop": ("m = 1\nfor i in x:\n    m = 2\nuse(m)\n", [{1, 3}]),
    "its own value in a loop": ("m = 1\nwhile x:\n    m = use(m)\n", [{1, 3}]),
    "an attempt": ("m = 1\ntry:\n    m = 2\nexcept E:\n    use(m)\nuse(m)\n", [{1, 3}, {1, 3}]),
    "within an attempt": ("m = 1\ntry:\n    m = 2\n    use(m)\nfinally:\n    pass\n", [{3}]),
    "a tuple": ("m = 1\nm, n = f(m)\nuse(m)\n", [{2}]),
    "functions": ("def m(): pass\nuse(m)\ndef m(): pass\nuse(m)\n", [{1}, {3}]),
    "a parameter": ("def f(m):\n    m = use(m)\n    use(m)\n", [{1}, {2}]),
    "a function that is called later": ("m = 1\ndef f():\n    use(m)\nm = 2\n", [{1, 4}]),
    "a list that is made at once": ("m = 1\nx = [use(m) for _ in y]\nm = 2\n", [{1}]),
    "a generator that runs later": ("m = 1\nx = (use(m) for _ in y)\nm = 2\n", [{1, 3}]),
    "a lambda that runs later": ("m = 1\nx = lambda: use(m)\nm = 2\n", [{1, 3}]),
    "a function after the last one": ("m = 1\nm = g(m)\ndef f():\n    use(m)\nm = 2\n", [{2, 5}]),
    "a lambda after the last one": ("m = 1\nm = 2\nx = lambda: use(m)\n", [{2}]),
    "a method after the last one": ("m = 1\nm = 2\nclass A:\n    def f(self):\n        use(m)\n", [{2}]),
    "a function within another": ("m = 1\nm = 2\ndef f():\n    return lambda: use(m)\n", [{2}]),
    "a function after a branch": ("m = 1\nif a:\n    m = 2\nx = lambda: use(m)\n", [{1, 3}]),
    "a function in a loop": ("m = 1\nfor i in x:\n    y = lambda: use(m)\n    m = 2\n", [{1, 4}]),
    "a function before the last one in a loop": (
        "m = 1\nfor i in x:\n    m = 2\n    y = lambda: use(m)\n    m = 3\n",
        [{3, 5}],
    ),
    "a function that is made again": ("def m(): use(m)\nm = g(m)\ndef h(): use(m)\n", [{1, 2}, {2}]),
    "with": ("m = 1\nwith use(m) as m:\n    use(m)\n", [{1, 2}, {1, 2}]),
    "imports": ("if a:\n    from x import m\n    use(m)\nelse:\n    import y as m\n    use(m)\n", [{2}, {5}]),
    "imports of parts": ("import m.a\nuse(m)\nimport m.b\nuse(m)\n", [{1}, {1, 3}]),
    "declared only": ("m = 1\nm: int\nuse(m)\n", [{1, 2}]),
}


@pytest.mark.parametrize(("code", "expected"), CASES.values(), ids=CASES.keys())
def test_reaching_bindings(code: str, expected: list[set[int]]) -> None:
    module = Module(Path("/m.py"), "m", SourceText(dedent(code)))
    found = []
    for call in module.nodes(ast.Call):
        if isinstance(call.func, ast.Name) and call.func.id == "use" and isinstance(call.args[0], ast.Name):
            scope = module.scope_at(call.args[0]).binder("m")
            assert scope is not None
            bindings = reaching(module, scope, "m", scope.bindings["m"], call.args[0])
            found.append((call.lineno, {getattr(b.node, "lineno", 0) for b in bindings}))
    assert [lines for _, lines in sorted(found, key=lambda item: item[0])] == expected
