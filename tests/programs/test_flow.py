"""Where modules of a program go: through containers, functions, attributes; and what gets out of sight."""

from pathlib import Path
from textwrap import dedent

import pytest

from tests.rules.harness import fix_files, resolve_rules

MODEL = """\
import flax.linen as nn
import functools
import jax
import jax.numpy as jnp


class Net(nn.Module):
    width: int = 4

    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(nn.relu(nn.Dense(self.width)(x)))


class Tower(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x)


x = jnp.ones((1, 3))
key = jax.random.key(0)
"""
PATH = Path("/project/main.py")
RULES = resolve_rules(["linen-module"])


def moved(code: str) -> bool:
    """Whether both classes are converted; anything else must leave the file as it was."""
    text = MODEL + "tower = Tower()\ntower.init(key, x)\n" + dedent(code)
    after = fix_files({PATH: text}, RULES)[0][PATH]
    made = "Functional(Net" in after or "Functional.maker(" in after
    assert ("class Net(nnx.Module)" in after) == made
    return "class Net(nnx.Module)" in after


FOLLOWED = {
    "a registry of constructors": """
        MODELS = {"net": Net, "tower": Tower}
        model = MODELS["net"]()
        model.init(key, x)
    """,
    "a registry of functions": """
        def small():
            return Net(2)
        def large():
            return Net(width=64)
        MODELS = {"small": small, "large": functools.partial(large)}
        def create(name):
            return MODELS[name]()
        model = create("small")
        model.init(key, x)
    """,
    "a table of functions that get it": """
        def fit(model):
            return model.init(key, x)
        def show(model):
            print(model.tabulate(key, x))
        ACTIONS = {"fit": fit, "show": show}
        for name in ACTIONS.keys():
            ACTIONS[name](Net())
    """,
    "what a table's function returns, with a function that gets it": """
        def fit(Model):
            return Model(width=3).init(key, x)
        def small():
            return Net, fit
        BUILDERS = {"small": small}
        Model, run = BUILDERS["small"]()
        run(Model=Model)
    """,
    "a dictionary that is extended, beside methods of that name": """
        class Agent:
            def update(self, batch):
                return batch.unknown(self)
            def append(self, batch):
                return batch.unknown(self)
        models = dict()
        models.update({"net": Net})
        found = []
        found.append(models["net"]())
        found[0].init(key, x)
    """,
    "assertions of tests": """
        import unittest
        class NetTest(unittest.TestCase):
            def test_width(self):
                model = Net()
                self.assertIsNotNone(model)
                self.assertEqual(model, Net())
                model.init(key, x)
    """,
    "a dictionary of networks": """
        nets = {}
        nets["policy"] = Net()
        nets["value"] = Net(8)
        variables = {name: net.init(key, x) for name, net in nets.items()}
    """,
    "a list that grows": """
        nets = []
        for width in (1, 2):
            nets.append(Net(width))
        nets += [Net(3)]
        for index, net in enumerate(nets):
            net.init(key, x)
    """,
    "a tuple of a model and its variables": """
        def make():
            model = Net()
            return model, model.init(key, x)
        model, variables = make()
        print(variables["params"].keys(), model.apply(variables, x))
    """,
    "a nested tuple": """
        def make():
            return (Net(), Tower()), 1
        (net, tower), one = make()
        net.init(key, x), tower.init(key, x)
    """,
    "an attribute that holds a jitted step": """
        class Trainer:
            def __init__(self, model):
                self.model = model
                self.step = jax.jit(make_step(model))
                self.run = jax.jit(self._run, static_argnums=0)
            def _run(self, v, x):
                return self.model.apply(v, x)
        def make_step(model):
            def step(v, x):
                return model.apply(v, x)
            return step
        trainer = Trainer(Net())
        trainer.step(trainer.model.init(key, x), x)
    """,
    "a property": """
        class Agent:
            def __init__(self):
                self._net = Net()
            @property
            def network(self):
                return self._net
        Agent().network.init(key, x)
    """,
    "keyword arguments": """
        def run(model, steps):
            return model.init(key, x)
        config = dict(model=Net(), steps=3)
        run(**config)
    """,
    "a decorated factory": """
        def logged(function):
            @functools.wraps(function)
            def wrapper(*args):
                return function(*args)
            return wrapper
        @logged
        def make(width):
            return Net(width)
        make(3).init(key, x)
    """,
    "a pytest fixture": """
        import pytest
        @pytest.fixture
        def model():
            return Net()
        def test_shape(model):
            assert model.init_with_output(key, x)[0].shape == (1, 2)
    """,
    "a generator": """
        def models():
            for width in (1, 2):
                yield Net(width)
        for model in models():
            model.init(key, x)
    """,
    "an attribute of an unrelated class": """
        import zoo
        class Trainer:
            def __init__(self):
                self.model = Net()
            def start(self):
                return self.model.init(key, x)
        class Simulation:
            def __init__(self, model):
                self.model = model
            def run(self):
                return zoo.simulate(self.model)
        Trainer().start()
    """,
    "an attribute that is called like a module of a library": """
        import zoo
        class Trainer:
            def __init__(self):
                self.random = Net()
            def start(self):
                return self.random.init(key, x)
        zoo.draw(jax.random)
        Trainer().start()
    """,
    "a method of the same name elsewhere": """
        import zoo
        class Trainer:
            def create(self):
                return Net()
            def start(self):
                return self.create().init(key, x)
        class Other:
            def create(self):
                return 1
            def start(self):
                return zoo.run(self.create())
        Trainer().start()
    """,
    "the constructor above": """
        import zoo
        class Base:
            def __init__(self, model):
                self.model = model
        class Agent(Base):
            def __init__(self):
                super().__init__(Net())
            def start(self):
                return self.model.init(key, x)
        class Other:
            def __init__(self, model):
                zoo.run(model)
        Agent().start()
    """,
    "positional arguments from a tuple": """
        import zoo
        def start(model, x):
            zoo.run(x)
            return model.init(key, x)
        arguments = (Net(), x)
        start(*arguments)
    """,
    "a name that is used again": """
        import zoo
        model = Net()
        variables = model.init(key, x)
        model = model.bind(variables)
        print(model(x))
        model = zoo.Model()
        zoo.run(model)
    """,
    "a parameter that is replaced": """
        import zoo
        def run(model):
            model = model.init(key, x)
            return zoo.run(model)
        run(Net())
    """,
    "values of a parametrised test": """
        import pytest
        @pytest.mark.parametrize("model", [Net(), Net(3)])
        def test_shape(model):
            model.init(key, x)
        @pytest.mark.parametrize("width, model", [(1, Net(1)), pytest.param(2, Net(2), id="two")])
        def test_width(width, model):
            model.init(key, x)
        @pytest.mark.parametrize(("kind", "name"), [(Net, "net")])
        def test_kind(kind, name):
            kind(2).init(key, x)
        @pytest.mark.parametrize("kind", [pytest.param(Net, id="net")])
        def test_one(kind):
            kind(2).init(key, x)
    """,
    "values of absl's tests": """
        from absl.testing import parameterized
        class ShapeTest(parameterized.TestCase):
            @parameterized.named_parameters(("small", Net, 2), dict(testcase_name="large", kind=Net, width=3))
            def test_named(self, kind, width):
                kind(width).init(key, x)
            @parameterized.parameters((2, Net()), (3, Net()))
            def test_pairs(self, width, model):
                model.init(key, x)
            @parameterized.parameters(Net, Net)
            def test_each(self, kind):
                kind(2).init(key, x)
            @parameterized.parameters([{"kind": Net}])
            def test_list(self, kind):
                kind(2).init(key, x)
    """,
    "a named tuple": """
        from collections import namedtuple
        Nets = namedtuple("Nets", "actor critic")
        def make():
            return Nets(Net(), critic=Tower())
        nets = make()
        nets.actor.init(key, x)
        actor, critic = nets._replace(critic=Tower())
        actor.init(key, x)
        nets._asdict()["actor"].init(key, x)
    """,
    "a typed named tuple": """
        from typing import NamedTuple
        Nets = NamedTuple("Nets", [("width", int), ("actor", nn.Module)])
        nets = Nets(3, Net())
        print(nets.width, nets[1].init(key, x))
    """,
    "the other part of a named tuple": """
        from collections import namedtuple
        Nets = namedtuple("Nets", ("actor", "other"))
        nets = Nets(Net(), nn.Dense(3))
        print(nets.other.unbind, nets[1].unbind)
        nets.actor.init(key, x)
    """,
    "keyword arguments in a dict": """
        def train(**options):
            model = options["model"]
            data = options.pop("data")
            return data.sum(), model.init(key, options.get("x"))
        train(model=Net(), x=x, data=x)
    """,
    "a cast": """
        from typing import cast
        model = cast(nn.Module, Net())
        model.init(key, x)
    """,
    "models that a function is mapped over": """
        def start(model):
            return model.init(key, x)
        variables = list(map(start, [Net(), Net(2)]))
        outputs = list(map(lambda v, model: model.apply(v, x), variables, (Net(), Net(2))))
    """,
    "defaults of a dataclass": """
        import dataclasses
        @dataclasses.dataclass
        class Config:
            first: nn.Module = dataclasses.field(default=Net())
            second: nn.Module = dataclasses.field(default_factory=lambda: Net(width=3))
            third: nn.Module = dataclasses.field(default_factory=Net)
        config = Config()
        for model in (config.first, config.second, config.third):
            model.init(key, x)
    """,
    "a bound module": """
        model = Net()
        bound = model.bind(model.init(key, x))
        print(bound(x), bound.width)
    """,
    "isinstance of something else": """
        def init(model):
            assert not isinstance(model, (int, str))
            return model.init(key, x)
        init(Net())
    """,
    "a factory that may return more, and that fails in tests": """
        import pytest
        import unittest
        def make(width, config=False):
            if config:
                return Net(width), {"width": width}
            return Net(width)
        class MakeTest(unittest.TestCase):
            def test_wrong(self):
                self.assertRaises(ValueError, make, -1)
                self.assertRaisesRegex(ValueError, "width", make, width=-1)
                pytest.raises(ValueError, make, 0)
        model = make(3)
        model.init(key, x)
    """,
    "a value for want of another": """
        def build(**options):
            model = options.get("model", Net())
            other = options.pop("other", Net(2))
            third = getattr(options, "third", Net(3))
            return [m.init(key, x) for m in (model, other, third)]
        build(model=Net(5))
    """,
    "namespaces": """
        import argparse
        from types import SimpleNamespace
        kit = SimpleNamespace(model=Net(), rate=0.1)
        kit.model.init(key, x)
        other = argparse.Namespace(**{"model": Net(2)})
        other.model.init(key, x)
    """,
    "the best of several": """
        models = [Net(1), Net(2)]
        best = max(models, key=lambda model: model.width)
        best.init(key, x)
        min(Net(3), Net(4), key=lambda model: model.width).init(key, x)
        for model in filter(lambda model: model.width > 1, sorted(models, key=lambda m: -m.width)):
            model.init(key, x)
    """,
    "products and chains": """
        import itertools
        models = [Net(1), Net(2)]
        for model, k in itertools.product(models, [key]):
            model.init(k, x)
        for model in itertools.chain(models, itertools.islice([Net(3)], 1)):
            model.init(key, x)
        for k, model in zip([key], itertools.repeat(Net(4))):
            model.init(k, x)
    """,
    "messages about a model": """
        import logging
        import rich
        logger = logging.getLogger(__name__)
        model = Net()
        logger.info("model %s", model)
        rich.print(model)
        model.init(key, x)
    """,
}
ESCAPES = {
    "isinstance": "model = Net()\nmodel.init(key, x)\nassert not isinstance(model, nn.Dense)\n",
    "a container that others know": """
        def register(registry):
            registry["net"] = Net()
        models = {}
        register(models)
        models["net"].unbind()
    """,
    "a container from outside": "import zoo\nzoo.MODELS['net'] = Net()\n",
    "a registering decorator": """
        import zoo
        @zoo.register("net")
        def make():
            return Net()
    """,
    "a registering decorator of the project": """
        MODELS = {}
        def register(name):
            def wrap(function):
                MODELS[name] = function
                return function
            return wrap
        @register("net")
        def make():
            return Net()
        MODELS["net"]().unbind()
    """,
    "a library gets the list": "import zoo\nnets = [Net()]\nnets[0].init(key, x)\nzoo.run(nets)\n",
    "an element is called": "nets = {'a': Net()}\nfor net in nets.values():\n    net(x)\n",
    "Linen's own API on an element": "nets = [Net()]\nnets[0].unbind()\n",
    "deep in an element": "nets = [[(Net(), 1)]]\nnets[0][0][0].unbind()\n",
    "a parametrised test that escapes": """
        import pytest
        import zoo
        @pytest.mark.parametrize("width, model", [(1, Net(1))])
        def test_width(width, model):
            zoo.run(model)
    """,
    "a parametrised test by names that aren't known": """
        import pytest
        from names import NAMES
        @pytest.mark.parametrize(NAMES, [Net()])
        def test_width(model):
            model.init(key, x)
    """,
    "a named test that escapes": """
        from absl.testing import parameterized
        import zoo
        class ShapeTest(parameterized.TestCase):
            @parameterized.named_parameters(("small", Net, 2))
            def test_named(self, kind, width):
                zoo.run(kind)
    """,
    "a global that a function sets": """
        import zoo
        model = None
        def start():
            global model
            model = Net()
        model = 1
        start()
        zoo.run(model)
    """,
    "a name that is only replaced in a branch": """
        import zoo
        model = Net()
        if zoo.ready():
            model = zoo.Model()
        zoo.run(model)
    """,
    "an attribute of a class below": """
        import zoo
        class Trainer:
            def __init__(self):
                self.model = Net()
        class Mine(Trainer):
            def run(self):
                return zoo.run(self.model)
    """,
    "an attribute of a class that another one brings together": """
        import zoo
        class Maker:
            def __init__(self):
                self.model = Net()
        class Runner:
            def run(self):
                return zoo.run(self.model)
        class Both(Maker, Runner):
            pass
    """,
    "an attribute, where a class derives from something unknown": """
        import zoo
        class Maker:
            def __init__(self):
                self.model = Net()
        class Runner(zoo.base(Maker)):
            def run(self):
                return zoo.run(self.model)
    """,
    "an attribute that a borrowed method reads": """
        import zoo
        class Runner:
            def run(self):
                return zoo.run(self.model)
        class Maker:
            run = Runner.run
            def __init__(self):
                self.model = Net()
    """,
    "an attribute that a method of another class reads": """
        import zoo
        class Runner:
            def run(self):
                return zoo.run(self.model)
        class Maker:
            def __init__(self):
                self.model = Net()
            def start(self):
                return Runner.run(self)
    """,
    "a method that a class below overrides": """
        import zoo
        class Base:
            def fit(self, model):
                return model.init(key, x)
            def start(self):
                return self.fit(Net())
        class Mine(Base):
            def fit(self, model):
                return zoo.fit(model)
    """,
    "the constructor of a class from outside": """
        import zoo
        class Agent(zoo.Agent):
            def __init__(self):
                super().__init__(Net())
    """,
    "a function of a table that something adds to": """
        import zoo
        def fit(model):
            return model.init(key, x)
        ACTIONS = {"fit": fit}
        zoo.register(ACTIONS)
        ACTIONS["fit"](Net())
    """,
    "a function of a table whose entries aren't all known": """
        import zoo
        def fit(model):
            return model.init(key, x)
        ACTIONS = {"fit": fit, "other": zoo.fit}
        ACTIONS["fit"](Net())
    """,
    "a function that comes with it from somewhere": """
        import zoo
        def small():
            return Net, zoo.fit
        Model, run = small()
        run(Model())
    """,
    "what a mapped function does": """
        def start(index, model):
            return model.unbind()
        list(map(start, range(2), [Net(), Net(2)]))
    """,
    "a library's function that is mapped": """
        import zoo
        list(map(zoo.run, [Net()]))
    """,
    "what is done with a keyword argument": """
        def train(**options):
            options.get("model").unbind()
        train(model=Net())
    """,
    "what is done with a cast module": """
        from typing import cast
        cast(nn.Module, Net()).unbind()
    """,
    "what a dataclass makes by default": """
        import dataclasses
        @dataclasses.dataclass
        class Config:
            model: nn.Module = dataclasses.field(default_factory=lambda: Net(width=3))
        Config().model.unbind()
    """,
    "what a dataclass makes of a class": """
        import dataclasses
        @dataclasses.dataclass
        class Config:
            model: nn.Module = dataclasses.field(default_factory=Net)
        Config().model.unbind()
    """,
    "metadata of a field": """
        import dataclasses
        @dataclasses.dataclass
        class Config:
            width: int = dataclasses.field(default=3, metadata={"model": Net()})
    """,
    "the parts of a named tuple": """
        from typing import NamedTuple
        class Nets(NamedTuple):
            actor: nn.Module
            critic: nn.Module
        def make():
            return Nets(Net(), critic=Tower())
        actor, critic = make()
        actor.unbind()
    """,
    "a named tuple's dictionary": """
        from collections import namedtuple
        Nets = namedtuple("Nets", ["actor"])
        Nets(actor=Net())._asdict()["actor"].unbind()
    """,
    "a named tuple elsewhere": """
        import zoo
        from collections import namedtuple
        Nets = namedtuple("Nets", ["actor"])
        zoo.run(Nets(Net()))
    """,
    "what only a bound Linen module has": """
        model = Net()
        bound = model.bind(model.init(key, x))
        print(bound.variables)
    """,
    "its class, called": """
        model = Net()
        type(model)(width=3).init(key, x)
    """,
    "the class of an attribute, called": """
        class Holder:
            def __init__(self):
                self.model = Net()
        def renew(holder):
            return type(holder.model)(width=3)
        renew(Holder())
    """,
    "an assertion about the class": """
        import unittest
        class NetTest(unittest.TestCase):
            def test_width(self):
                self.assertIs(type(Net()), Net)
    """,
    "positional arguments from a list": """
        import zoo
        def start(x, model):
            zoo.run(model)
        arguments = [1, Net()]
        start(*arguments)
    """,
    "a library gets positional arguments": "import zoo\narguments = [1, Net()]\nzoo.run(*arguments)\n",
    "a value for want of another, and Linen's own API": "{}.get('model', Net()).unbind()\n",
    "a namespace with Linen's own API": """
        from types import SimpleNamespace
        kit = SimpleNamespace(model=Net())
        kit.model.unbind()
    """,
    "a key that uses Linen's own API": "max([Net(1)], key=lambda m: len(m.unbind())).init(key, x)\n",
    "products with Linen's own API": """
        import itertools
        for k, model in itertools.product([key], [Net()]):
            model.unbind()
    """,
    "another logger": "import zoo\nlogger = zoo.logger()\nlogger.info(Net())\n",
    "a test that constructs it": """
        import unittest
        class MakeTest(unittest.TestCase):
            def test_wrong(self):
                self.assertRaises(ValueError, Net, -1)
    """,
    "a test of another kind": """
        import unittest
        def make(width):
            return Net(width)
        class MakeTest(unittest.TestCase):
            def test_made(self):
                self.assertMade(ValueError, make, -1)
    """,
    "a library maps a factory": "import zoo\ndef make(w):\n    return Net(w)\nzoo.sweep(make)\n",
}


@pytest.mark.parametrize("code", FOLLOWED.values(), ids=FOLLOWED.keys())
def test_what_is_followed(code: str) -> None:
    assert moved(code)


@pytest.mark.parametrize("code", ESCAPES.values(), ids=ESCAPES.keys())
def test_what_gets_out_of_sight_stays(code: str) -> None:
    assert not moved(code)
