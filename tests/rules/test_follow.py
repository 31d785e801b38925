"""Values of which not every use is in sight: nothing may be rewritten then."""

from __future__ import annotations

import textwrap

import pytest

from tests.rules.harness import check_text, fix_text

HEAD = """
import functools

import flax
import jax
from flax import optim


def train_step(optimizer, batch):
    grads = jax.grad(lambda params: params["w"] * batch)(optimizer.target)
    return optimizer.apply_gradient(grads)


"""

ESCAPES = {
    "a partial that binds something else": """
        def main(params, other):
            optimizer = optim.Adam(1e-3).create(params)
            step = functools.partial(train_step, other)
            return train_step(optimizer, 1.0), step(2.0)
        """,
    "a call that passes something else": """
        def main(params, other):
            return train_step(optim.Adam(1e-3).create(params), 1.0), train_step(other, 1.0)
        """,
    "arguments behind a star": """
        def main(params, batches):
            optimizer = optim.Adam(1e-3).create(params)
            return train_step(optimizer, 1.0), train_step(*batches)
        """,
    "a variable that is something else at first": """
        def main(params, make):
            optimizer = make(params)
            optimizer = train_step(optim.Adam(1e-3).create(params), 1.0)
            return optimizer.target
        """,
    "a loop over several": """
        def main(params):
            for optimizer in [optim.Adam(1e-3).create(params), optim.Adam(1e-2).create(params)]:
                print(optimizer.target)
        """,
    "a function that returns other things": """
        def maybe(params, ready):
            if ready:
                return optim.Adam(1e-3).create(params)
            return params

        def main(params):
            return maybe(params, True).target
        """,
    "a global": """
        optimizer = optim.Adam(1e-3).create({})

        def replace(other):
            global optimizer
            optimizer = other

        def params():
            return optimizer.target
        """,
    "an attribute that a derived class has, too": """
        class Base:
            def __init__(self, params):
                self.optimizer = optim.Adam(1e-3).create(params)

        class Derived(Base):
            def params(self):
                return self.optimizer.target
        """,
    "an attribute that is read from outside": """
        class Agent:
            def __init__(self, params):
                self.optimizer = optim.Adam(1e-3).create(params)

        def params(agent):
            return agent.optimizer.target
        """,
    "a field that is replaced by something else": """
        @flax.struct.dataclass
        class State:
            step: int
            optimizer: optim.Optimizer

        def main(params, other):
            state = State(0, optim.Adam(1e-3).create(params))
            return state.replace(optimizer=other).optimizer.target
        """,
    "a field of a class whose constructor gets something else": """
        @flax.struct.dataclass
        class State:
            optimizer: optim.Optimizer

        def main(params, other):
            return State(optim.Adam(1e-3).create(params)), State(other)
        """,
    "a decorated function": """
        import decorators

        @decorators.retry
        def target(optimizer):
            return optimizer.target

        def main(params):
            return target(optim.Adam(1e-3).create(params))
        """,
    "a function that is handed on": """
        def main(params, run):
            return run(train_step), train_step(optim.Adam(1e-3).create(params), 1.0)
        """,
    "a function that wraps its own result once more": """
        def history(optimizer, n):
            if n == 0:
                return optimizer, None
            return history(train_step(optimizer, n), n - 1), n

        def main(params):
            return history(optim.Adam(1e-3).create(params), 3)
        """,
    "a scan": """
        def main(params, xs):
            optimizer = optim.Adam(1e-3).create(params)
            return jax.lax.scan(lambda opt, x: (train_step(opt, x), None), optimizer, xs)
        """,
}

FOLLOWED = {
    "a default": """
        def target(optimizer=optim.Adam(1e-3).create({"w": 1.0})):
            return optimizer.target

        print(target(), train_step(optim.Adam(1e-3).create({"w": 1.0}), 2.0))
        """,
    "a rebound, jitted name": """
        train_step = jax.jit(train_step)

        def main(params):
            optimizer = None
            optimizer = optim.Adam(1e-3).create(params)
            optimizer, _ = train_step(optimizer, 1.0), 0
            return optimizer.target
        """,
    "keyword arguments and a partial": """
        def main(params):
            step = jax.jit(functools.partial(train_step, batch=2.0))
            return step(optimizer=optim.Adam(1e-3).create(params)).target
        """,
    "a constructor with __init__": """
        class Agent:
            def __init__(self, first):
                self.first = first

            def params(self):
                return train_step(self.first, 1.0).target

        print(Agent(optim.Adam(1e-3).create({})).params())
        """,
}


@pytest.mark.parametrize("case", ESCAPES)
def test_what_gets_out_of_sight_is_left_alone(case: str) -> None:
    code = HEAD + textwrap.dedent(ESCAPES[case])
    assert fix_text(code, "flax-optim", unsafe=True) == code
    reasons = {f.reason for f in check_text(code, "flax-optim")}
    assert reasons == {"not-followed"}


@pytest.mark.parametrize("case", FOLLOWED)
def test_what_is_followed_is_rewritten(case: str) -> None:
    code = HEAD + textwrap.dedent(FOLLOWED[case])
    fixed = fix_text(code, "flax-optim")
    assert "optim.Adam" not in fixed.replace("optax.adam", "")
    assert ".target" not in fixed
    assert "apply_gradient(" not in fixed
