"""Training programs with a `TrainState`: which become `nnx.Optimizer` and `nnx.jit`, and which stay as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from nnx_migrate.cli import group
from tests.programs.training import LOOP, OPTAX, PROGRAM, STATISTICS, STEP, USUAL, changed
from tests.rules.harness import fix_files, fix_text, resolve_rules


def is_idiomatic(text: str) -> bool:
    """Whether `fix` writes an optimizer; a program that it leaves to functions calls `Functional`."""
    fixed = fix_text(text, "linen-module")
    assert ("nnx.Optimizer(" in fixed) != ("Functional(" in fixed), fixed
    return "nnx.Optimizer(" in fixed


@pytest.mark.parametrize("changes", USUAL)
def test_programs_of_the_usual_shape_get_an_optimizer(changes: list[tuple[str, str]]) -> None:
    assert is_idiomatic(changed(*changes))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param([(LOOP, "        before = state\n" + LOOP), ("eval_step(state, batches", "eval_step(before, batches")],
                     id="an-older-state"),
        pytest.param([(LOOP, "        _, loss = train_step(state, batch, key)\n")], id="a-step-that-is-dropped"),
        pytest.param([(STEP, STEP.replace("state = ", "new = ").replace("return state", "return new, state.params"))],
                     id="old-and-new"),
        pytest.param([(STEP, STEP.replace("return state, loss", "return loss"))], id="a-step-kept-inside"),
        pytest.param([("    for batch in", "    params = state.params\n    for batch in"),
                      ("print(loss)", "print(loss, MLP().apply({'params': params}, batch['x']))")],
                     id="older-parameters"),
        pytest.param([(LOOP, LOOP + "        history.append(state)\n"), ("    state = create", "    history = []\n    state = create")],
                     id="stored"),
        pytest.param([(LOOP, LOOP + "        ema = jax.tree.map(lambda e, p: e + p, ema, state.params)\n"),
                      ("    for batch", "    ema = state.params\n    for batch")], id="averaged-parameters"),
        pytest.param([("        print(loss)\n", "        if loss < 1:\n            best = state.params\n"),
                      ("return eval_step(state, batches[0])", "return MLP().apply({'params': best}, batches[0]['x'])")],
                     id="best-parameters"),
        pytest.param([("        print(loss)\n", "        best = state.params if loss < 1 else state.params\n"),
                      ("return eval_step(state, batches[0])", "return best")], id="chosen-parameters"),
        pytest.param([("    for batch in", "    def warm_up():\n        train_step(state, batches[0], key)\n\n    warm_up()\n    for batch in")],
                     id="a-step-inside"),
        pytest.param([("print(loss)", "print(loss, state.step)")], id="step-as-a-number"),
        pytest.param([("print(loss)", "print(loss, state.opt_state)")], id="optimizer-state"),
        pytest.param([("grads=grads", 'grads={"Dense_0": grads["Dense_0"], "Dense_1": grads["Dense_1"]}')],
                     id="gradients-by-name"),
        pytest.param([("optax.adam(learning_rate)", "optax.adamw(learning_rate, mask=lambda p: p)")], id="mask"),
        pytest.param([("def eval_step(state, batch)", "def eval_step(state=None, batch=None)")], id="default"),
        pytest.param([("@jax.jit\ndef eval", "@jax.vmap\ndef eval")], id="vmap"),
        pytest.param([("    return eval_step(state, batches[0])",
                       "    return jax.lax.scan(lambda s, b: train_step(s, b, key), state, batches)")], id="scan"),
        pytest.param([("    return eval_step(state, batches[0])",
                       "    predict = jax.jit(lambda x: state.apply_fn({'params': state.params}, x))\n"
                       "    return predict(batches[0]['x'])")], id="compiled-closure"),
        pytest.param([("    return eval_step(state, batches[0])",
                       "    twice = [train_step(state, b, key)[1] for b in batches]\n    return twice")], id="comprehension"),
        pytest.param([('rngs={"dropout": key}', "rngs=key")], id="unnamed-key"),
        pytest.param([("        x = nn.relu", "        self.sow('intermediates', 'x', x)\n        x = nn.relu")], id="sown"),
        pytest.param([(LOOP, "        if loss_is_small(batch):\n            other, loss = train_step(state, batch, key)\n"
                             "        else:\n            other, loss = state, 0\n        state = other\n")], id="two-names"),
        pytest.param([("    loss, grads", "    state = state.replace(step=0)\n    loss, grads")], id="replaced-step"),
        pytest.param([("def train(batches, key):\n    state = create", "def train(batches, key, make=create_train_state):\n    state = create")],
                     id="handed-on"),
    ],
)  # fmt: skip
def test_programs_that_need_older_values_stay_functions(changes: list[tuple[str, str]]) -> None:
    assert not is_idiomatic(changed(*changes))


def test_nothing_is_left_of_updates_that_the_model_keeps_itself() -> None:
    fixed = fix_text(STATISTICS, "linen-module")
    assert (
        "    loss, grads = nnx.value_and_grad(loss_fn)(model)\n    optimizer.update(model, grads)\n" in fixed
    )
    assert '        return ((logits - batch["y"]) ** 2).mean()\n' in fixed
    assert "updates" not in fixed and "class State" not in fixed and "batch_stats" not in fixed


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(', stats=updates["batch_stats"])', ")", id="dropped"),
        pytest.param(', stats=updates["batch_stats"])', ', stats=state.stats)', id="kept-as-they-were"),
        pytest.param("    (loss, updates), grads =",
                     "    for _ in range(2):\n        (loss, updates), grads =", id="several-times"),
        pytest.param('    return state, loss\n', '    return state, (loss, state.apply_fn({"params": state.params, '
                     '"batch_stats": state.stats}, batch["x"]))\n', id="another-call-in-the-step"),
        pytest.param("    stats: dict\n", "    stats: dict\n\n    def reset(self):\n        return self\n", id="methods"),
        pytest.param("    stats: dict\n", "    stats: dict\n    # which are averages\n    other: int = 0\n", id="comments"),
    ],
)  # fmt: skip
def test_statistics_that_are_treated_otherwise_stay_a_matter_of_functions(old: str, new: str) -> None:
    assert STATISTICS.count(old) == 1
    assert "Functional(" in fix_text(STATISTICS.replace(old, new), "linen-module")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("train", "train", id="usual"),
        pytest.param("        params = optax.apply_updates(params, updates)\n        return params, opt",
                     "        return optax.apply_updates(params, updates), opt", id="returned-at-once"),
        pytest.param("        updates, opt_state = tx.update(grads, opt_state, params)\n"
                     "        params = optax.apply_updates(params, updates)\n        return params, opt_state, loss",
                     "        updates, new_opt_state = tx.update(grads, opt_state)\n"
                     "        new_params = optax.apply_updates(params, updates)\n        return new_params, new_opt_state, loss",
                     id="new-names"),
    ],
)  # fmt: skip
def test_optax_by_hand_becomes_an_optimizer(old: str, new: str) -> None:
    fixed = fix_text(OPTAX.replace(old, new), "linen-module")
    assert "    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)\n" in fixed
    assert "        optimizer.update(model, grads)\n        return loss\n" in fixed
    assert "        loss = step(model, optimizer, x)\n" in fixed
    assert "Functional" not in fixed


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("        print(loss)\n", "        print(loss, optax.global_norm(params))\n", id="norm-of-parameters"),
        pytest.param("        params = optax.apply", "        updates = jax.tree.map(jnp.sign, updates)\n"
                     "        params = optax.apply", id="other-updates"),
        pytest.param("tx.update(grads, opt_state, params)", "tx.update(jax.tree.leaves(grads), opt_state, params)",
                     id="other-gradients"),
        pytest.param("        params, opt_state, loss = step", "        params, _, loss = step", id="a-state-that-is-dropped"),
        pytest.param("        print(loss)\n", "        if loss < 1:\n            best = params\n", id="kept"),
        pytest.param("    opt_state = tx.init(params)\n", "    opt_state = optax.sgd(0.1).init(params)\n", id="another-optimizer"),
        pytest.param("        return params, opt_state, loss", "        return params, opt_state, loss, optax.tree.norm(updates)",
                     id="looked-at"),
        pytest.param("    for x in batches:\n        params, opt_state, loss = step(params, opt_state, x)\n        print(loss)\n",
                     "    (params, opt_state), losses = jax.lax.scan(lambda c, x: (step(*c, x)[:2], 0), (params, opt_state), batches)\n",
                     id="scan"),
    ],
)  # fmt: skip
def test_optax_that_is_used_otherwise_stays(old: str, new: str) -> None:
    text = OPTAX.replace(old, new)
    if "best" in new:
        text = text.replace('{"params": params}, batches[0]', '{"params": best}, batches[0]')
    assert text != OPTAX
    assert "Functional(MLP" in fix_text(text, "linen-module")


def test_two_programs_that_share_a_statement_are_not_written_over_each_other() -> None:
    second = OPTAX[OPTAX.index("def train") :].replace("def train", "def train_again")
    both = "\n\ndef both(b, k):\n    return train(b, k), train_again(b, k)\n"
    fixed = fix_text(OPTAX + "\n\n" + second + both, "linen-module")
    assert fixed.count("nnx.Optimizer(model, tx, wrt=nnx.Param)") == 2
    shared = second.replace("return model.apply", "return MLP().init(key, batches[0]), model.apply")
    fixed = fix_text(OPTAX + "\n\n" + shared, "linen-module")
    assert fixed.count("nnx.Optimizer(model, tx, wrt=nnx.Param)") == 1
    assert fixed.count("Functional(") == 2


def test_other_files_get_the_model_and_the_optimizer() -> None:
    head, loop = PROGRAM.split("def train(")
    files = {
        Path("/project/steps.py"): head,
        Path("/project/main.py"): f"import jax\nimport steps\nfrom steps import eval_step\n\n\ndef train({loop}"
        .replace("create_train_state", "steps.create_train_state")
        .replace(" train_step(", " steps.train_step("),
    }  # fmt: skip
    fixed, _ = fix_files(files, resolve_rules(["linen-module"]))
    main = fixed[Path("/project/main.py")]
    assert "    model, optimizer = steps.create_train_state(key, 1e-3)\n" in main
    assert "        loss = steps.train_step(model, optimizer, batch, key)\n" in main
    assert "    return eval_step(model, batches[0])\n" in main
    assert len(fixed) == 2, "no helper module is needed"


def test_a_state_that_another_file_reads_stays_a_state() -> None:
    text = PROGRAM + "\n\nstate = create_train_state(jax.random.key(0), 1.0)\n"
    other = "from steps import state\n\nprint(state)\n"
    files = {Path("/project/steps.py"): text, Path("/project/other.py"): other}
    fixed, _ = fix_files(files, resolve_rules(["linen-module"]))
    assert fixed[Path("/project/other.py")] == other
    assert "Functional(" in fixed[Path("/project/steps.py")]


def test_the_configuration_may_keep_programs_of_functions(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(PROGRAM)
    (tmp_path / "nnx-migrate.toml").write_text('programs = "functional"\n')
    result = CliRunner().invoke(group, ["fix", str(tmp_path), "--target-flax", "0.12"])
    assert result.exit_code == 0, result.output
    assert "Functional(MLP" in (tmp_path / "train.py").read_text()


def test_names_that_are_taken_are_left_alone() -> None:
    text = changed(
        (
            "def train(batches, key):\n",
            "def train(batches, key, model=None, optimizer='adam'):\n    print(model, optimizer)\n",
        )
    )
    fixed = fix_text(text, "linen-module")
    assert "    net, opt = create_train_state(key, 1e-3)\n" in fixed
    assert "        loss = train_step(net, opt, batch, key)\n" in fixed
    assert "    print(model, optimizer)\n" in fixed
