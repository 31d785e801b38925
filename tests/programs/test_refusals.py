"""Programs that must stay as they are, with the reason that the finding gives."""

from pathlib import Path

import pytest

from nnx_migrate.config import Config
from nnx_migrate.engine.context import ProjectContext
from nnx_migrate.engine.scan import Scanner
from nnx_migrate.engine.targets import Targets
from nnx_migrate.names.project import Project
from nnx_migrate.sources.files import load_source
from tests.rules.harness import fix_files, resolve_rules, scanner_for

MODEL = """\
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from functools import partial


class Net(nn.Module):
    width: int = 4

    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(nn.relu(nn.Dense(self.width)(x)))

    def scale(self, x):
        return x * self.width


x = jnp.ones((1, 3))
key = jax.random.key(0)
"""
PATH = Path("/project/main.py")


def reasons(code: str) -> set[str]:
    """The reasons of all findings; "" where the class would be converted."""
    scanner = scanner_for({PATH: MODEL + code}, resolve_rules(["linen-module"]))
    scan = scanner.whole_project(plan=True)
    assert not scan.errors
    return {finding.reason for finding in scan.findings}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        # code outside of the project gets the module
        ("import brax\nmodel = Net()\nbrax.train(model)\n", "instance-escapes"),
        ("import brax\ndef make():\n    return Net()\nbrax.train(make)\n", "instance-escapes"),
        ("import brax\nbrax.train(Net)\n", "class-as-value"),
        ("import brax\nbrax.register({'net': Net})\n", "class-as-value"),
        # it comes back without a call that names where from
        (
            "class Make:\n    def __call__(self):\n        return Net()\nmake = Make()\nmake().unbind()\n",
            "instance-escapes",
        ),
        (
            "class Nets:\n    def __iter__(self):\n        yield Net()\nfor net in Nets():\n    net.unbind()\n",
            "instance-escapes",
        ),
        ("class A:\n    net = Net()\nmodel = getattr(A, 'net')\nmodel.unbind()\n", "module-use"),
        (
            "class A:\n    def make(self):\n        return Net()\nmodel = getattr(A(), 'make')()\nmodel.unbind()\n",
            "module-use",
        ),
        # a class that is no module holds it in a list, and calls it
        (
            "class Holder:\n    def __init__(self):\n        nets = []\n        for i in range(2):\n"
            "            net = Net(i)\n            nets.append(net)\n        self.nets = nets\n"
            "    def __call__(self, x):\n        for i, net in enumerate(self.nets):\n            x = net(x)\n"
            "        return x\n",
            "module-use",
        ),
        ("model = Net()\nassert issubclass(Net, nn.Module)\n", "class-as-value"),
        # defaults of fields are attributes of a Linen class only
        ("model = Net(2 * Net.width)\nmodel.init(key, x)\n", "class-as-value"),
        ("model = Net()\nmodel.init(key, x)\nprint(list(Net.__dataclass_fields__))\n", "class-as-value"),
        # the class body reads the module's `Net`, and has a name `Net` of its own
        ("class Zoo:\n    Net = Net\nmodel = Zoo.Net()\nmodel.init(key, x)\n", "class-as-value"),
        # Linen's own API
        ("with nn.intercept_methods(show):\n    Net().init(key, x)\n", "module-use"),
        ("model = Net().clone(width=3)\nmodel.unbind()\n", "module-use"),
        ("import brax\nmodel = Net()\nmodel.init(key, x)\nbrax.run(model.clone())\n", "instance-escapes"),
        ("model = Net()\nmodel.unbind()\n", "module-use"),
        ("model = Net()\nv = model.init(key, x, method='scale')\n", "module-use"),
        ("from config import c\nmodel = Net()\nv = model.init(key, x, mutable=c)\n", "module-use"),
        (
            "model = Net()\nv = model.init(key, x)\nmodel.apply(v, x, capture_intermediates=True)\n",
            "module-use",
        ),
        ("args = (4,)\nNet(*args).init(key, x)\n", "unsupported-syntax"),
    ],
)
def test_what_is_refused(code: str, reason: str) -> None:
    assert reasons(code) == {reason}
    files = {PATH: MODEL + code}
    assert fix_files(files, resolve_rules(["linen-module"]))[0] == files


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("model = Net()\nv = model.init(key, x)\n", "Functional(Net, in_features=3)"),
        (
            "v = Net(\n    width=8,\n).init(key, x)\n",
            "Functional(\n    Net,\n    width=8,\n    in_features=3,\n).init(key, x)",
        ),
        ("model = Net(name='net')\nv = model.init(key, x)\n", "Functional(Net, in_features=3)"),
        ("model = Net(8, name='net')\nv = model.init(key, x)\n", "Functional(Net, 8, in_features=3)"),
        (
            "model = Net()\nf = jax.jit(model.init)\n",
            'Functional(Net).sized(lambda x: {"in_features": x.shape[-1]})',
        ),
        ("make = partial(Net, width=2)\nmake().init(key, x)\n", "make = partial(Functional.maker("),
        (
            "def build(cls):\n    return cls(3)\nbuild(Net).init(key, x)\n",
            "build(Functional.maker(",
        ),
        ("p = Net().init(key, x)['params']\nprint(p['Dense_0']['kernel'])\n", "p['dense_0']['kernel']"),
        # names that can't be rewritten stay
        ("p = Net().init(key, x)['params']\nq = [p[f'Dense_{i}'] for i in range(2)]\n", "self.Dense_0 = nnx"),
        (
            "p = Net().init(key, x)['params']\nmask = {k: k.startswith('Dense') for k in p}\n",
            "self.Dense_1 = nnx",
        ),
        (
            "def f(model: Net):\n    return model.init(key, x)\nf(Net())\n",
            "f(Functional(Net, in_features=3))",
        ),
        (
            "model = Net().clone(width=3)\nmodel.init(key, x)\n",
            "Functional(Net, in_features=3).clone(width=3)",
        ),
        ("model = Net()\nmodel.lazy_init(key, x)\n", "Functional(Net, in_features=3)"),
        ("v = Net().init(key, x, mutable=['params'])\n", "Functional(Net, in_features=3)"),
        ("model = Net().copy(width=3)\nmodel.init(key, x)\n", "Functional(Net, in_features=3).copy(width=3)"),
        ("m = Net()\nv = m.init(key, x)\nm.apply(v, x, method=Net.scale)\n", "method=Net.scale"),
        ("m = Net()\nv = m.init(key, x)\nm.apply(v, x, method=m.scale)\n", "method=m.scale"),
    ],
)
def test_what_is_converted(code: str, expected: str) -> None:
    assert reasons(code) == {""}
    texts, _ = fix_files({PATH: MODEL + code}, resolve_rules(["linen-module"]))
    assert expected in texts[PATH]
    assert "class Functional" in texts[PATH.with_name("nnx_compat.py")]


def test_a_class_and_its_uses_in_other_files_move_together_or_not_at_all() -> None:
    files = {
        Path("/project/models.py"): MODEL,
        Path("/project/train.py"): "import models\nv = models.Net().init(models.key, models.x)\n",
        Path("/project/export.py"): "import brax\nfrom models import Net\nbrax.export(Net())\n",
    }
    rules = resolve_rules(["linen-module"])
    assert fix_files(files, rules)[0] == files
    del files[Path("/project/export.py")]
    texts, _ = fix_files(files, rules)
    assert "Functional(models.Net, in_features=3).init(" in texts[Path("/project/train.py")]
    assert "class Net(nnx.Module)" in texts[Path("/project/models.py")]


def test_tables_are_made_by_the_functional_module() -> None:
    code = "model = Net()\nv = model.init(key, x)\nprint(nn.tabulate(model, key, depth=1)(x))\n"
    texts, _ = fix_files({PATH: MODEL + code}, resolve_rules(["linen-module"]))
    assert "print(functools.partial(model.tabulate, key, depth=1)(x))" in texts[PATH]
    assert "import functools" in texts[PATH]
    assert "flax.linen" not in texts[PATH]


SECOND = """

class Second(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(x)


class Odd(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(int(x.sum()))(x)


"""
SHOW = "def show(p):\n    print(p['Dense_0'])\n\n"


@pytest.mark.parametrize(
    "code",
    [
        # `Dense_0` becomes `dense_0` in one class, `dense` in the other, and stays in the third
        f"{SHOW}show(Net().init(key, x)['params'])\nshow(Second().init(key, x)['params'])",
        f"{SHOW}show(Net().init(key, x)['params'])\nOdd().init(key, x)",
    ],
)
def test_a_name_that_may_belong_to_another_model_stays_in_all(code: str) -> None:
    files = {PATH: MODEL + SECOND + code}
    after = fix_files(files, resolve_rules(["linen-module"]))[0][PATH]
    assert "class Net(nnx.Module)" in after
    assert "class Odd(nn.Module)" in after
    assert after.count("self.Dense_0 = nnx.Linear(") == 2
    assert "p['Dense_0']" in after


def test_a_name_belongs_to_the_model_whose_init_made_the_tree() -> None:
    code = (
        "p = Net().init(key, x)['params']\nprint(p['Dense_0'], Second().init(key, x)['params']['Dense_0'])\n"
        "q = Odd().init(key, x)\nprint(q['params']['Dense_0']['kernel'])"
    )
    after = fix_files({PATH: MODEL + SECOND + code}, resolve_rules(["linen-module"]))[0][PATH]
    assert "p['dense_0']" in after
    assert "['params']['dense'])" in after
    assert "q['params']['Dense_0']['kernel']" in after


ORDERED = """
class Scaled(nn.Module):
    @nn.compact
    def __call__(self, x):
        scale = self.param("a_scale", nn.initializers.ones, (3,))
        return nn.Dense(2)(x * scale)


variables = Scaled().init(key, x)
"""


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        ("print(jax.tree.leaves(variables)[0].shape)", True),
        ("leaves, treedef = jax.tree.flatten(variables)\nprint(leaves[-1])", True),
        ("leaves, structure = jax.tree.flatten(variables)\nprint(leaves[0])", True),
        ("print(jax.tree.flatten(variables)[0][0])", True),
        ("pair = jax.tree.flatten(variables)\nprint(pair[0][1])", True),
        ("print(jax.tree.leaves(variables)[0].shape[0])", True),
        ("print(sum(leaf.size for leaf in jax.tree.flatten(variables)[0]))", False),
        ("print(jax.tree.leaves(variables)[0].dtype)", False),
        ("batch = {'x': x}\nprint(jax.tree.leaves(batch)[0].shape[0])", False),
        ("leaf = jax.tree.leaves(variables)\nleaf = leaf[0]\nleaf = leaf[0]\nprint(leaf[0])", True),
        ("flat = x\nflat = flat[0]\nrow = flat[0]\nflat = row[0]\nprint(row[0])", False),
        ("print(len(jax.tree.leaves(variables)))", False),
        ("print(sum(leaf.size for leaf in jax.tree.leaves(variables)))", False),
    ],
)
def test_names_stay_where_positions_of_parameters_matter(code: str, kept: bool) -> None:
    """`Dense_0` comes before `a_scale`, `dense` after it."""
    after = fix_files({PATH: MODEL + ORDERED + code}, resolve_rules(["linen-module"]))[0][PATH]
    assert f"self.{'Dense_0' if kept else 'dense'} = nnx.Linear(" in after


@pytest.mark.parametrize(
    ("code", "stays"),
    [
        ("print(list(variables['params'].keys())[0])", True),
        ("print(tuple(params.items())[-1])", True),
        ("table = {'b': 1, 'a': 2}\nprint(list(table.values())[0])", False),
    ],
)
def test_positions_among_the_entries_of_parameters(code: str, stays: bool) -> None:
    """Linen has `a_scale` first, which it makes first; sorted names, as NNX has them, `Dense_0`."""
    code = "params = variables['params']\n" + code
    model = ORDERED.replace("a_scale", "scale")  # then leaves have the same order
    for text in (ORDERED, model):
        after = fix_files({PATH: MODEL + text + code}, resolve_rules(["linen-module"]))[0][PATH]
        assert ("class Scaled(nn.Module)" in after) is stays


LISTED = """
class Listed(nn.Module):
    widths: tuple = (4, 4)

    def setup(self):
        self.blocks = [nn.Dense(width) for width in self.widths]

    def __call__(self, x):
        for i, block in enumerate(self.blocks):
            x = block(x)
        return x


class Counted(nn.Module):
    @nn.compact
    def __call__(self, x):
        for i in range(2):
            x = nn.Dense(4, name=f"fc_{i}")(x)
        for _ in range(2):
            x = nn.LayerNorm()(x)
        return x


p = Counted().init(key, x)["params"]
q = Listed().init(key, x)["params"]
"""


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("print(p['fc_1']['bias'])", "p['fcs']['1']['bias']"),
        ("print(q['blocks_0']['bias'])", "q['blocks']['0']['bias']"),
        ("print({'p/fc_1': 0})", None),
        (
            "p = {'fc_0': p['fc_0'], 'fc_1': {'kernel': x, 'bias': x}}",
            "p = {'fcs': {'0': p['fcs']['0'], '1': {'kernel': x, 'bias': x}}}",
        ),
        (
            "p = {\n    'fc_0': {'kernel': x},\n    # last\n    'fc_1': {\n        'kernel': x,\n    },\n    'out': x,\n}",
            "p = {\n    'fcs': {\n        '0': {'kernel': x},\n        # last\n        '1': {\n            'kernel': x,\n"
            "        },\n    },\n    'out': x,\n}",
        ),
        ("p = {'fc_0': p['fc_0'], 'out': x, 'fc_1': p['fc_1']}", None),
        ("p = {'fc_0': p['fc_0'], **q}", None),
        ("p = {'fc_0': p['fc_0'], 'fcs': x}", None),
        ("rates = {'fc_0': 0.1, 'fc_1': 0.2}", None),
        ("print(p['x'], 'fc_1' in p)", "print(p['x'], '1' in p.get('fcs', {}))"),
        ("print(p['x'], 'fc_1' not in p)", "print(p['x'], '1' not in p.get('fcs', {}))"),
        ("print('fc_1' in names)", None),
        ("print(p['x'], 'fc_1' == p)", None),
        ("print(p[f'fc_{i}']['bias'] for i in range(2))", "p['fcs'][str(i)]['bias'] for"),
        ("q[f'blocks_{2 * i}']['bias'] = 3", "q['blocks'][str(2 * i)]['bias'] = 3"),
        ("print(table[f'fc_{i}'])", None),
        ("p[f'fc_{i}'] = p['other']", None),
        ("p['fc_1'] = p['other']", None),
        ("print(p.get(f'fc_{i}'))", None),
        ("print(p[f'fc_{i:01d}'], p[f'fc_{i!r}'])", None),
        ("print(p[f'fc_{i}/bias'])", None),
        ("print(p[f'fc_' f'{i}'])", None),
        (
            "class Odd(nn.Module):\n    fc_x: nn.Module\n    n: int\n    @nn.compact\n    def __call__(self, x):\n"
            "        return nn.Dense(int(x.sum()), name='fc_9')(x)\nprint(p[f'fc_{i}'])",
            None,
        ),
        ("print('fc_%d' % 1 in p)", None),
        ("print(p['fc_{}'.format(1)])", None),
        ("print(p['fc_' + str(1)])", None),
        ("print([k for k in p if k.startswith('params/fc_')])", None),
        ("import re\nprint([k for k in p if re.match(r'.*/fc_\\d+/kernel', k)])", None),
        (
            "import re\nprint([k for k in p if re.match(r'.*/out/kernel', k)])",
            "re.match(r'.*/out/kernel', k)",
        ),
        ("print(p['LayerNorm_1'])", "p['layer_norms']['1']"),
        ("print(p['LayerNorm_1/scale'])", "p['layer_norms/1/scale']"),
        ("print(p['other_1'], 'fc_')", "p['other_1'], 'fc_'"),
    ],
)
def test_names_that_a_loop_counts(code: str, text: str | None) -> None:
    """They are rewritten where the number is written out, else the program goes on to use Linen's names."""
    after = fix_files({PATH: MODEL + LISTED + code}, resolve_rules(["linen-module"]))[0][PATH]
    assert "class Counted(nnx.Module)" in after
    assert ("p = ListingFunctional(Counted" in after) == (text is None)
    assert (text or code) in after


HOLDER = """
from typing import Any, Sequence


class Chain(nn.Module):
    parts: Sequence[nn.Module]
    scale: float = 1.0

    def __call__(self, x):
        for part in self.parts:
            x = part(x)
        return x * self.scale


def parts():
    import zoo
    return zoo.parts()


"""


def test_a_module_that_gets_modules_from_somewhere_stays() -> None:
    code = HOLDER + "Chain(parts(), scale=2.0).init(key, x)\n"
    after = fix_files({PATH: MODEL + code}, resolve_rules(["linen-module"]))[0][PATH]
    assert "class Chain(nn.Module)" in after


@pytest.mark.parametrize(
    "code",
    [
        'target = "main.Net"\n',
        'settings = """\nAgent.seed = 3\nAgent.network = @models.Net\n"""\n',
        'settings = ["Agent.network = @train/Net()"]\n',
        'import sys\nnet = getattr(sys.modules["main"], "x")\nimport main\nmade = getattr(main, "Net")()\n',
        "import main\nfrom config import name\nmade = getattr(main, name)()\n",
        'import importlib\nfrom config import name\nmade = importlib.import_module(f"{name}").Net()\n',
        'import importlib\nfrom config import name\nmade = importlib.import_module("mai" + name).Net()\n',
        'import importlib\nmade = importlib.import_module("main").Net()\n',
        'import importlib\nOther = Net\nmade = importlib.import_module("main").Other()\n',
        'import importlib, inspect\ninspect.getmembers(importlib.import_module("main"))\n',
        'import main\nfrom config import kind\nmade = getattr(main, f"N{kind}")()\n',
        'made = globals()["Net"]()\n',
        "from config import name\nmade = globals().get(name)()\n",
        "from config import name\nmade = locals()[name]()\n",
        "found = [c() for c in globals().values() if issubclass(c, nn.Module)]\n",
        'import sys\nmade = getattr(sys.modules[__name__], "Net")()\n',
        "import sys\nfrom config import name\nmade = getattr(sys.modules[name], name)()\n",
        'import main\nmade = vars(main)["Net"]()\n',
        'import main\nmade = main.__dict__["Net"]()\n',
        "import inspect, main\nmade = [c() for _, c in inspect.getmembers(main, inspect.isclass)]\n",
        "import main\nfrom config import name\nZOOS = {'main': main}\nmade = ZOOS[name].Net()\n",
        "import main\nfrom config import name\nZOOS = {'main': main}\nmade = getattr(ZOOS[name], name)()\n",
        "from config import name\nmade = eval(name)()\n",
        "from config import name\nmade = eval(f'{name}()')\n",
        "made = eval('Net(width=3)')\n",
        "exec('made = Net()')\n",
        "exec(open('settings.py').read())\n",
    ],
)
def test_uses_that_nothing_shows(code: str) -> None:
    assert reasons(code) == {"hidden-use"}


@pytest.mark.parametrize(
    ("path", "start", "stays"),
    [
        ("docs/ext/describe.py", "from sphinx.util.docutils import SphinxDirective\n", False),
        ("docs/conf.py", "", False),
        ("docs/describe.py", "", True),
        ("docs/source/describe.py", "# beside settings that import it\n", False),
        ("docs/source/extensions/describe.py", "# below settings that import it\n", False),
        ("tools/describe.py", "import sphinx\n", True),
    ],
)
def test_documentation_looks_definitions_up_without_using_them(path: str, start: str, stays: bool) -> None:
    code = f"{start}import importlib\n\n\ndef find(place, name):\n    return getattr(importlib.import_module(place), name)\n"
    files = {PATH: MODEL + "Net().init(key, x)\nSHOWN = ['Net']\n", PATH.parent / path: code}
    files[PATH.parent / "docs/source/conf.py"] = "from describe import find\n"
    after = fix_files(files, resolve_rules(["linen-module"]))[0][PATH]
    assert ("class Net(nn.Module)" in after) is stays


FIND = "import importlib\ndef find(place, name):\n    return getattr(importlib.import_module(place), name)\n"
SETTINGS = """
Net().init(key, x)


class Inner:
    width: int = 3


class Settings:
    inner: Inner

    def shown(self):
        return [*self.__dict__, *vars(type(self))]


"""
LOAD = """
import importlib


class Keys:
    def split(self, key):
        return jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)


def load(name: str):
    place, name = name.split(":")
    return getattr(importlib.import_module(place), name)
"""


@pytest.mark.parametrize(
    ("code", "is_hidden"),
    [
        (FIND + "Net().init(key, x)\n", False),
        (FIND + "Net().init(key, x)\nassert x.ndim == 2, 'Net'\n__all__ = ['Net']\n", False),
        (FIND.replace("name)\n", "name.split('.')[-1])\n") + "Net().init(key, x)\n", False),
        (FIND.replace("return ", "return x, ") + "Net().init(key, x)\n", False),
        (FIND + "Net().init(key, x)\nargs = parser.parse_args()\nprint(vars(args))\n", False),
        (FIND + "Net().init(key, x)\ndef show(settings):\n    print(vars(settings))\n", True),
        (FIND + SETTINGS + "def show(settings: Settings):\n    print(vars(settings))\n", False),
        (FIND + SETTINGS + "def show():\n    return [k for k in Settings().inner.__dict__]\n", False),
        (FIND + SETTINGS + "def show(settings: 'Other'):\n    print(vars(settings))\n", True),
        (FIND + SETTINGS.replace("width", "Net") + "def show(s: Settings):\n    print(vars(s))\n", True),
        (FIND + SETTINGS + "Settings().Net = 3\n", True),
        (
            FIND
            + "Net().init(key, x)\ndef build(zoo, name):\n    return vars(zoo)[name], name in dir(zoo)\n",
            False,
        ),
        (FIND + "Net().init(key, x)\ndef build(zoo, i):\n    return find(zoo, dir(zoo)[i])\n", True),
        (FIND + "Net().init(key, x)\ndef build(zoo):\n    return getattr(zoo, '__all__')\n", True),
        (FIND + "Net().init(key, x)\nimport main\n[find('main', name) for name in dir(main)]\n", True),
        (LOAD + "Net().init(key, x)\n", False),
        (LOAD.replace("name: str", "name") + "Net().init(key, x)\n", True),
        # a text that names it, by itself or in pieces
        (FIND + "Net().init(key, x)\nMODELS = ['lib', 'Net']\n", True),
        (FIND + "Net().init(key, x)\nfind('main', f'Ne{key}')\n", True),
        (FIND + "Other = Net\nOther().init(key, x)\nMODELS = ['Other']\n", True),
        (FIND.replace("name)\n", "name.title())\n") + "Net().init(key, x)\n", True),
        # nothing else uses it
        (FIND, True),
        # names that no text holds
        (FIND + "Net().init(key, x)\nfor name in dir(zoo):\n    find(zoo.path, name)\n", True),
        (FIND + "Net().init(key, x)\nimport zoo\n[find(zoo.path, name) for name in zoo.__all__]\n", True),
        # what something that isn't known calls so
        (FIND + "Net().init(key, x)\ndef make(lib):\n    return lib.Net()\n", True),
    ],
)
def test_a_class_that_is_found_by_texts_stands_in_one(code: str, is_hidden: bool) -> None:
    assert ("hidden-use" in reasons(code)) is is_hidden


@pytest.mark.parametrize(
    "code",
    [
        "f = model.apply\nf(v, x, capture_intermediates=True, mutable=['intermediates'])\n",
        "f = partial(model.apply, capture_intermediates=True)\nf(v, x)\n",
        "def step(v, apply):\n    return apply(v, x, capture_intermediates=lambda m, _: m.name == 'Dense_0')\n"
        "step(v, model.apply)\n",
        "from flax.training.train_state import TrainState\n"
        "state = TrainState.create(apply_fn=model.apply, params=v['params'], tx=optax.sgd(0.1))\n"
        "state.apply_fn({'params': state.params}, x, capture_intermediates=True)\n",
    ],
)
def test_intermediates_that_are_captured_by_other_names_of_apply(code: str) -> None:
    assert reasons(f"model = Net()\nv = model.init(key, x)\n{code}") == {"module-use"}


@pytest.mark.parametrize(("start", "stays"), [("from tools import watched\n", True), ("", False)])
def test_modules_whose_calls_other_files_may_intercept(start: str, stays: bool) -> None:
    tool = "import flax.linen as nn\ndef watched(f, x):\n    with nn.intercept_methods(print):\n        return f(x)\n"
    files = {PATH: start + MODEL + "Net().init(key, x)\n", PATH.with_name("tools.py"): tool}
    after = fix_files(files, resolve_rules(["linen-module"]))[0][PATH]
    assert ("class Net(nn.Module)" in after) is stays


@pytest.mark.parametrize(
    "code",
    [
        "setattr(nn, 'Dense', nn.DenseGeneral)\n",
        "nn.relu = jnp.tanh\n",
        "nn.Dense.__call__ = lambda self, x: x\n",
        "from unittest import mock\nmock.patch.object(nn, 'relu', jnp.tanh).start()\n",
        "from unittest import mock\nmock.patch('flax.linen.relu', jnp.tanh).start()\n",
    ],
)
def test_layers_that_the_program_replaces_in_linen(code: str) -> None:
    assert reasons(f"{code}Net().init(key, x)\n") == {"module-use"}


LAZY = """\
import importlib


def __getattr__(name):
    module = importlib.import_module("." + name, __name__)
    setattr(importlib.import_module(__name__), name, module)
    return module
"""


@pytest.mark.parametrize(
    ("code", "is_hidden"),
    [
        ("import zoo\nzoo.nets.Net().init(key, x)\n", False),
        ("from zoo.nets import Net\nNet().init(key, x)\n", False),
        ("import zoo\nzoo.Net().init(key, x)\n", True),
        ("from zoo import Net\nNet().init(key, x)\n", True),
        ("from zoo.nets import Net\nNet().init(key, x)\nimport zoo\ngetattr(zoo.nets, name)()\n", True),
    ],
)
def test_packages_that_import_their_modules_when_these_are_needed(code: str, is_hidden: bool) -> None:
    start, _, rest = MODEL.partition("x = jnp")
    files = {
        PATH.parent / "zoo/__init__.py": LAZY,
        PATH.parent / "zoo/nets.py": start,
        PATH: "import jax\nimport jax.numpy as jnp\nfrom config import name\nx = jnp" + rest + code,
    }
    scan = scanner_for(files, resolve_rules(["linen-module"])).whole_project(plan=True)
    assert not scan.errors
    assert ("hidden-use" in {finding.reason for finding in scan.findings}) is is_hidden


AGAIN = "import importlib\ndef again(place):\n    return importlib.reload(place)\n"
FIND_IN = "def find(place, name):\n    return getattr(place, name)\n"


@pytest.mark.parametrize(
    ("code", "is_hidden"),
    [
        (FIND_IN + "find(zoo.nets, 'Net')().init(key, x)\n", True),
        (FIND_IN + "find(zoo.nets, 'width')\n", False),
        ("PLACES = [zoo.nets]\nfor place in PLACES:\n    getattr(place, name)().init(key, x)\n", True),
        ("PLACES = {'a': zoo.nets}\ngetattr(PLACES[name], name)().init(key, x)\n", True),
        ("get = lambda: zoo.nets\nget().Net().init(key, x)\n", True),
        ("place = zoo.nets if name else None\nplace.Net().init(key, x)\n", True),
        ("import inspect\n[c() for _, c in inspect.getmembers(zoo.nets)]\n", True),
        ("import importlib\nimportlib.reload(zoo.nets)\n", False),
        (AGAIN + "again(zoo.nets).Net().init(key, x)\n", True),
        (AGAIN + "net = again(zoo.nets)\nnet.Net().init(key, x)\n", True),
        (AGAIN + "again(zoo.nets)\n", False),
        (
            AGAIN.replace("    return", "    place = __import__(place)\n    return") + "again(name).Net()\n",
            True,
        ),
        ("print(zoo.nets.Net)\n", False),
    ],
)
def test_modules_of_packages_as_values(code: str, is_hidden: bool) -> None:
    start, _, rest = MODEL.partition("x = jnp")
    begin = "import jax\nimport jax.numpy as jnp\nimport zoo.nets\nfrom config import name\nx = jnp"
    files = {
        PATH.parent / "zoo/__init__.py": "",
        PATH.parent / "zoo/nets.py": start,
        PATH: f"{begin}{rest}zoo.nets.Net().init(key, x)\n{code}",
    }
    scan = scanner_for(files, resolve_rules(["linen-module"])).whole_project(plan=True)
    assert not scan.errors
    assert ("hidden-use" in {finding.reason for finding in scan.findings}) is is_hidden


@pytest.mark.parametrize(
    "code",
    [
        'name = "Net"\n',
        'text = "see main.Nets"\n',
        'import importlib\nmade = importlib.import_module("other").Net()\n',
        'import importlib\nfrom config import name\nmade = importlib.import_module(f"datasets.{name}")\n',
        "import optax\nfrom config import name\nmade = getattr(optax, name)()\n",
        'import main\nsize = getattr(main, "WIDTH")\n',
        'import main\nfrom config import kind\nmade = getattr(main, f"get_{kind}_config")()\n',
        "import importlib\nfrom config import path\nimportlib.import_module(path).prepare()\n",
        "import importlib\nfrom config import path\nimportlib.import_module(path)\n",
        'import importlib\nfrom config import i\nNAMES = ("a", "b")\n'
        "for name in NAMES:\n    importlib.import_module(f'sets.{name}').Net()\n",
        'import importlib\nfrom config import key\nTABLE = {"a": ("envs.a", "make")}\nplace, name = TABLE[key]\n'
        "getattr(importlib.import_module(place), name)()\n",
        'import importlib\nfrom config import key\nTABLE = {"a": ("envs.a", "make")}\ndef make():\n'
        "    place, name = TABLE[key]\n    place = importlib.import_module(place)\n"
        "    name = getattr(place, name)\n    return name()\n",
        'import importlib\ndef check(name):\n    return importlib.import_module(name)\ncheck("numpy").array(1)\n',
        'size = globals()["width"]\n',
        'globals()["width"] = 3\n',
        'if "Net" in globals():\n    pass\n',
        "def show(width):\n    print(dict(locals()))\n",
        "keys = [k for k, v in globals().items() if k[0] != '_' and isinstance(v, (int, str))]\n"
        "import wandb\nwandb.init(config={k: globals()[k] for k in keys})\n",
        "from config import name\nactivation = eval(f'nn.{name}')\n",
        "from config import text\nvalue = eval(text, {})\n",
        "value = eval('1 + 2')\n",
        "import main\nfrom unittest import mock\nmock.patch.object(main, 'WIDTH', 3)\n",
        "import main, importlib\nimportlib.reload(main)\n",
        "import main\nfrom config import name\nZOOS = {'main': main}\nwidth = ZOOS[name].WIDTH\n",
    ],
)
def test_texts_and_imports_that_mean_something_else(code: str) -> None:
    assert reasons(code) == {""}


SIZED = """
from config import name
import main
class Sized(nn.Module):
    width: int
    kind: str = "a"

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x)


Small = partial(Sized, width=3)
made = getattr(main, name)
"""
BUILD = "def run():\n    def build(cls, **more):\n        return cls(**more)\n"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("made(kind='b').init(key, x)\n", ""),
        ("made().init(key, x)\n", ""),
        ("made(depth=3).init(key, x)\n", ""),
        (BUILD + "    build(made, kind='b').init(key, x)\n", ""),
        ("made(3).init(key, x)\n", "hidden-use"),
        ("made(width=3, kind='b').init(key, x)\n", "hidden-use"),
        ("made(*name).init(key, x)\n", "hidden-use"),
        ("made(**name).init(key, x)\n", "hidden-use"),
        ("partial(made, width=4)().init(key, x)\n", "hidden-use"),
        ("made().init(key, x)\nprint(made.__name__)\n", "hidden-use"),
        ("made().init(key, x)\nprint(made.__doc__)\n", "class-as-value"),
        (BUILD + "    build(made, width=3).init(key, x)\n", "hidden-use"),
        (BUILD + "    build(made, **name).init(key, x)\n", "hidden-use"),
        (
            BUILD.replace("return", "more.update(width=1)\n        return")
            + "    build(made).init(key, x)\n",
            "hidden-use",
        ),
    ],
)
def test_a_name_that_is_looked_up_means_what_its_calls_fit(code: str, reason: str) -> None:
    """`Net` has a default for its width; here it is another one that needs its own."""
    model = MODEL.replace("width: int = 4", "width: int")
    scanner = scanner_for({PATH: model + SIZED + code}, resolve_rules(["linen-module"]))
    found = {f.reason for f in scanner.whole_project(plan=True).findings if "`Sized`" in f.message}
    assert found == {reason}


def test_a_function_that_is_found_by_its_name_hands_on_what_it_makes() -> None:
    code = (
        "import importlib\nfrom config import path\ndef build():\n    return Net()\n"
        "model = importlib.import_module(path).build()\n"
    )
    assert reasons(code + "model.init(key, x)\n") == {""}
    assert reasons(code + "model.unbind()\n") == {"module-use"}


def project_reasons(folder: Path, given: list[str], **files: str) -> set[str]:
    """The reasons of the findings in the given files of a project."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    context = ProjectContext(
        Project([folder / name for name in given], load_source), Config(root=folder), Targets()
    )
    scan = Scanner(context, resolve_rules(["linen-module"]), Path.read_bytes).whole_project(plan=True)
    return {f"{finding.reason}: {finding.message.rpartition(': ')[2]}" for finding in scan.findings}


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        (
            "conf__net_DOT_yaml",
            "model:\n  _target_: lib.main.Net\n",
            "hidden-use: `conf/net.yaml:2` names it",
        ),
        ("conf__net_DOT_gin", "# widths\nNet.width = 3\n", "hidden-use: `conf/net.gin:2` names it"),
        ("conf__net_DOT_gin", "train.model = @Net()\n", "hidden-use: `conf/net.gin:1` names it"),
        ("conf__net_DOT_gin", "train.model = @eval/Net()\n", "hidden-use: `conf/net.gin:1` names it"),
        ("conf__net_DOT_gin", "eval/Net.width = 3\n", "hidden-use: `conf/net.gin:1` names it"),
        ("conf__net_DOT_json", '{"cls": "lib.main:Net"}', "hidden-use: `conf/net.json:1` names it"),
        ("docs__api__toc_DOT_yaml", "- title: lib.main.Net\n", ""),
        ("_toc_DOT_yml", "- title: lib.main.Net\n  path: /lib/main/Net\n", ""),
        ("mkdocs_DOT_yml", "nav:\n  - lib.main.Net: net.md\n", ""),
        ("setup_DOT_cfg", "[metadata]\nurl = https://host/someone/Net\n", ""),
        ("_DOT_github__workflows__ci_DOT_yml", "run: python -c 'import main; main.Net'\n", ""),
        ("conf__toc_DOT_yaml", "cls: lib.main.Net\n", "hidden-use: `conf/toc.yaml:1` names it"),
        (
            "use_DOT_py",
            "import jax\nfrom main import Net\n",
            "used-outside: `use.py:2` uses it and is not among",
        ),
        ("conf__net_DOT_yaml", "network: a Net of some kind\nlib: lib.main.Nets\n", ""),
        ("pyproject_DOT_toml", '[[tool.nnx-migrate.verify]]\nmodel = "main:Net"\n', ""),
        ("_DOT_nnx-migrate__parameters_DOT_json", '{"modules": {"main:Net": {}}}', ""),
        ("other_DOT_py", "class Net:\n    pass\n", ""),
        ("data__net_DOT_txt", "lib.main.Net\n", ""),
    ],
)
def test_users_outside_of_the_given_files(tmp_path: Path, name: str, text: str, reason: str) -> None:
    (found,) = project_reasons(tmp_path, ["main.py"], main_DOT_py=MODEL, **{name: text})
    assert found.startswith(reason or ": `Net` is a Linen module")


@pytest.mark.parametrize(
    ("code", "stays"),
    [
        ("import yaml\nsettings = yaml.safe_load(open('net.yaml'))\nprint(settings['cls'])\n", False),
        ("import json\nsettings = json.load(open('net.json'))\n", True),
        (
            "import yaml, importlib\nsettings = yaml.safe_load(open('net.yaml'))\nimportlib.reload(yaml)\n",
            True,
        ),
        ("import yaml, hydra\nsettings = yaml.safe_load(open('net.yaml'))\n", True),
        ("import hydra\n", True),
        ("", True),
    ],
)
def test_a_configuration_that_code_only_reads(tmp_path: Path, code: str, stays: bool) -> None:
    files = {"main_DOT_py": MODEL + "Net().init(key, x)\n" + code, "net_DOT_yaml": "cls: main.Net\n"}
    (found,) = project_reasons(tmp_path, ["main.py"], **files)
    assert found.startswith("hidden-use" if stays else ": `Net` is a Linen module")


@pytest.mark.parametrize(
    ("name", "text", "stays"),
    [
        ("net_DOT_yaml", "model:\n  module: zoo\n  name: Net\n", True),
        ("run_DOT_sh", "python main.py --model=Net\n", True),
        ("README_DOT_md", "`python main.py --model=zoo.Net`\n", True),
        ("README_DOT_md", "A Net is a network.\n", False),
        ("net_DOT_yaml", "model: Nets\n", False),
    ],
)
def test_texts_of_other_files_for_code_that_finds_classes_by_them(
    tmp_path: Path, name: str, text: str, stays: bool
) -> None:
    files = {"main_DOT_py": MODEL + "Net().init(key, x)\n" + FIND, name: text}
    (found,) = project_reasons(tmp_path, ["main.py"], **files)
    assert found.startswith("hidden-use" if stays else ": `Net` is a Linen module")


def test_an_unused_class_beside_one_that_a_configuration_names(tmp_path: Path) -> None:
    other = MODEL + MODEL[MODEL.index("class Net") : MODEL.index("x = jnp")].replace("Net", "Other")
    found = project_reasons(tmp_path, ["main.py"], main_DOT_py=other, net_DOT_yaml="_target_: main.Net\n")
    assert {text.partition(":")[0] for text in found} == {"hidden-use"}
    assert len(found) == 2


def test_a_class_that_a_registry_hands_to_a_module_waits_for_that_module() -> None:
    code = """
REGISTRY = {}
REGISTRY["net"] = Net


class Many(nn.Module):
    kinds: dict

    def setup(self):
        for name, kind in self.kinds.items():
            setattr(self, name, REGISTRY[kind]())

    def __call__(self, x):
        return [getattr(self, name)(x) for name in self.kinds]
"""
    assert "" not in reasons(code)


def test_a_class_of_the_same_name_elsewhere_hides_no_user(tmp_path: Path) -> None:
    others = {"a_DOT_py": "import main\n\n\nclass Nets:\n    pass\n", "b_DOT_py": "class Net:\n    pass\n"}
    (found,) = project_reasons(
        tmp_path, ["main.py"], main_DOT_py=MODEL, **others, use_DOT_py="from main import Net\n"
    )
    assert found.startswith("used-outside: `use.py:1` uses it")


BELOW = """
class Inner(nn.Module):
    depth: int = 2

    @nn.compact
    def __call__(self, x):
        for _ in range(self.depth):
            x = nn.Dense(3)(x)
        return nn.LayerNorm(name="Dense")(nn.Dense(3, name="out")(x))


class Plain(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(nn.LayerNorm()(x))


class Outer(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = Inner(name="inner")(x)
        return Plain(name="plain")(Plain()(x))


p = Outer().init(key, x)["params"]
"""


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("print(p['plain']['Dense_0']['bias'])", "p['plain']['dense']['bias']"),
        ("print(p['Plain_0']['Dense_0'])", "p['plain_1']['dense']"),
        ("print(p['inner']['Dense_1'])", "p['inner']['dense_layers']['1']"),
        ("print(p['inner']['out'], p['other']['x'])", "p['inner']['out']"),
        ("print(p['any']['Dense_0'])", None),
        ("q = p['plain']\nprint(q['Dense_0'])", None),
    ],
)
def test_names_below_a_submodule_whose_class_is_known(code: str, text: str | None) -> None:
    start, _, end = MODEL.partition("class Net")
    files = {PATH: start + end[end.index("x = jnp") :] + BELOW + code}
    after = fix_files(files, resolve_rules(["linen-module"]))[0][PATH]
    assert ("class Inner(nnx.Module)" in after) == (text is not None)
    assert (text or code) in after


def test_names_below_a_submodule_that_only_one_group_has() -> None:
    """`Net`, which stays, has a `Dense_0`, too."""
    code = "import brax\nbrax.train(Net)\n" + BELOW
    after = fix_files({PATH: MODEL + code + "print(p['plain']['Dense_0'])"}, resolve_rules(["linen-module"]))[
        0
    ][PATH]
    assert "print(p['plain']['dense'])" in after
    after = fix_files({PATH: MODEL + code + "print(p['else']['Dense_0'])"}, resolve_rules(["linen-module"]))[
        0
    ][PATH]
    assert "class Plain(nn.Module)" in after


def test_modules_of_other_libraries_that_make_it_keep_it() -> None:
    holder = (
        "from elsewhere import Block\nclass Whole(Block):\n    def setup(self):\n        self.net = Net()\n"
    )
    assert reasons(holder) == {"unknown-base", "uses-not-converted"}
    lightning = holder.replace("setup(self)", "setup(self, stage)")  # no module has such a setup
    assert reasons(lightning) == {""}


@pytest.mark.parametrize("own", ["vars()", "locals()", "vars(*[])"])
def test_the_variables_of_a_function_are_no_namespace_of_classes(own: str) -> None:
    assert reasons(f"def f(a, b):\n    return {own}\nmodel = Net()\nmodel.init(key, x)\n") == {""}
