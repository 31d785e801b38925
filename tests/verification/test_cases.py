import shutil
from pathlib import Path

import pytest

from nnx_migrate.verification.cases import Case, Cases
from nnx_migrate.verification.listed import read_listed

MODEL = """
import flax.linen as nn
import jax
import jax.numpy as jnp


class Net(nn.Module):
    width: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, context=None, mask=None, train: bool = False):
        x = nn.Dense(self.width, dtype=self.dtype)(x)
        return x if mask is None else x * mask


def main():
    net = Net(8)
    return net.init(jax.random.key(0), jnp.ones((2, 3)), mask=jnp.ones((2, 8)), train=False)
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "models.py").write_text(MODEL)
    return tmp_path / "old"


def cases(project: Path, facts=None, tables=()) -> dict[str, Case]:
    """The comparisons with an empty folder: every file has changed."""
    listed = [read_listed(table) for table in tables]
    return {c.title: c for c in Cases(project, project.parent / "new", facts or {}, listed)}


def test_a_model_is_left_out_where_nothing_that_it_imports_was_changed(project, tmp_path):
    (project / "models.py").write_text("from sizes import WIDTH\n" + MODEL)
    (project / "sizes.py").write_text("WIDTH = 8\n")
    (project / "other.py").write_text("")
    new = shutil.copytree(project, tmp_path / "new")
    (new / "other.py").write_text("x = 1\n")
    same = Cases(project, new, {}, [])
    assert list(same) == []
    assert same.unchanged == ["models:Net"]
    (new / "sizes.py").write_text("WIDTH = 9\n")
    assert [c.model for c in Cases(project, new, {}, [])][:1] == ["models:Net"]


def test_constant_inputs_of_the_code_become_random_and_listed_ones_stay(project):
    table = {"model": "models:Net", "args": "4", "inputs": ["jnp.ones((2, 3))"]}
    assert cases(project)["models:Net"].before.draw_constants
    assert not cases(project, tables=[table])["models:Net"].before.draw_constants


def test_a_found_model_in_its_dtype_and_in_bfloat16(project):
    found = cases(project)
    assert list(found) == ["models:Net", "models:Net (bfloat16)"]
    case = found["models:Net"]
    assert case.before is not None and case.after is not None
    assert case.before.model == "Net(8)"
    assert case.before.args == ("jnp.ones((2, 3))",)
    assert case.before.eval_kwargs == {"mask": "jnp.ones((2, 8))", "train": "False"}
    assert case.before.train_kwargs == {"mask": "jnp.ones((2, 8))", "train": "True"}
    assert found["models:Net (bfloat16)"].before.model == "Net(8, dtype=jnp.bfloat16)"


def test_a_dtype_that_is_given_by_its_place_stays(project):
    table = {"model": "models:Net", "args": "4, jnp.float32", "inputs": ["jnp.ones((2, 3))"]}
    assert [title for title in cases(project, tables=[table]) if "bfloat16" in title] == []


def test_what_was_not_converted_is_linen_on_both_sides(project):
    assert cases(project)["models:Net"].after.kind == "linen"


def test_a_size_that_is_a_product(project):
    sizes = [{"name": "features", "axis": 1, "path": ["x"], "flat": True}]
    after = cases(project, {"models:Net": {"sizes": sizes, "rngs": True}})["models:Net"].after
    assert "features=int(np.prod((jnp.ones((2, 3))).shape[1:]))" in after.model


@pytest.mark.parametrize("size", [{"path": ["x"]}, {"path": ["inputs"], "index": 0}])
def test_sizes_come_from_the_inputs_by_name_or_place(project, size):
    facts = {"models:Net": {"sizes": [{"name": "in_features", "axis": -1, **size}], "rngs": True}}
    after = cases(project, facts)["models:Net"].after
    assert after.kind == "nnx"
    assert after.model == "Net(8, in_features=(jnp.ones((2, 3))).shape[-1], rngs=rngs)"


@pytest.mark.parametrize("size", [{"path": ["context"]}, {"path": ["context"], "index": -1}])
def test_a_size_that_no_input_tells_is_said(project, size):
    facts = {"models:Net": {"sizes": [{"name": "n", "axis": -1, **size}], "rngs": True}}
    assert "no input tells the size 'n'" in cases(project, facts)["models:Net"].missing


@pytest.mark.parametrize("given", [["f32[1,5]", "None"], ["f32[1,5]"]])
def test_a_size_of_an_argument_that_is_none_is_left_out(project, given):
    table = {"model": "models:Net", "args": "4", "inputs": given}
    sizes = [
        {"name": "in_features", "axis": -1, "path": ["x"], "index": 0},
        {"name": "mask_features", "axis": -1, "path": ["mask"], "index": 1, "optional": True},
    ]
    found = cases(project, {"models:Net": {"sizes": sizes, "rngs": False}}, [table])
    assert "in_features=" in found["models:Net"].after.model
    assert "mask_features" not in found["models:Net"].after.model


def test_listed_models_come_first_and_replace_found_ones(project):
    table = {"model": "models:Net", "args": "4", "inputs": ["f32[1,5]"], "train_flag": "train"}
    facts = {"models:Net": {"sizes": [], "rngs": False}}
    found = cases(project, facts, [table])
    assert found["models:Net"].before.model == "Net(4)"
    assert found["models:Net"].after.model == "Net(4)"
    assert "(1, 5)" in found["models:Net"].before.args[0]


def test_listed_arguments_for_the_converted_class(project):
    table = {
        "model": "models:Net",
        "args": "4",
        "nnx_args": "4, in_features=5, rngs=rngs",
        "inputs": ["f32[1,5]"],
    }
    found = cases(project, {"models:Net": {}}, [table])
    assert list(found) == ["models:Net"]
    assert found["models:Net"].after.model == "Net(4, in_features=5, rngs=rngs)"


def test_a_script_whose_name_no_statement_can_say(project):
    (project / "models.py").rename(project / "flax-net.py")
    before = cases(project)["flax-net:Net"].before
    assert before.setup.endswith("Net = importlib.import_module('flax-net').Net")


def test_scripts_of_one_name_in_folders_that_no_import_can_name(project):
    for name in ("flow-model", "graph-model"):
        (project / name).mkdir()
        (project / name / "models.py").write_text(MODEL.replace("Net", name.partition("-")[0].title()))
    found = cases(project)
    graph = found["graph-model.models:Graph"].before
    assert graph.setup.endswith("from models import Graph")
    assert graph.sys_path[-1] == "graph-model"


@pytest.mark.parametrize(
    ("program", "imported", "folder"),
    [
        ("import nets.models as models\n", "from nets.models import Net", "."),
        ("import models\n", "from models import Net", "nets"),
    ],
)
def test_modules_have_the_names_by_which_the_project_imports_them(
    project: Path, program: str, imported: str, folder: str
) -> None:
    """`nets` isn't marked as a package, and may be a folder of scripts."""
    (project / "nets").mkdir()
    (project / "models.py").rename(project / "nets" / "models.py")
    (project / "nets" / "train.py").write_text("import models\n" if folder == "nets" else "")
    (project / "main.py").write_text(program)
    before = cases(project)["models:Net"].before
    assert before is not None
    assert imported in before.setup and before.sys_path == (".", folder)
