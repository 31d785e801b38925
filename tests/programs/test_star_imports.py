"""`from models import *` brings models, classes and functions to other files as any import does."""

from pathlib import Path

import pytest

from tests.programs.test_refusals import MODEL
from tests.rules.harness import fix_files, resolve_rules

RULES = resolve_rules(["linen-module"])
FOLDER = Path("/project")
OPTIONS = 'variable_axes={"params": 0}, split_rngs={"params": True}, in_axes=None, axis_size=2'
MANY = f"def many(cls):\n    return nn.vmap(cls, {OPTIONS})\n\n"


def fixed(models: str, **others: str) -> dict[str, str]:
    files = {FOLDER / "models.py": MODEL + models}
    files |= {FOLDER / f"{name}.py": text for name, text in others.items()}
    return {path.stem: text for path, text in fix_files(files, RULES)[0].items()}


@pytest.mark.parametrize("layers", ["from models import *\n", "from models import make, model, Net\n"])
def test_models_are_followed_into_files_that_import_everything(layers: str) -> None:
    made = "def make():\n    return Net()\n\nmodel = make()\n"
    used = "from layers import *\nvariables = model.init(key, x)\n"
    after = fixed(made, layers=layers, train=used + "y = model.apply(variables, x)\n")
    assert "class Net(nnx.Module)" in after["models"]
    bound = fixed(made, layers=layers, train=used + "inner = model.unbind()\n")
    assert "nnx" not in bound["models"]


def test_functions_that_map_classes_may_be_called_in_modules_of_other_files() -> None:
    pair = "from models import *\n\nclass Pair(nn.Module):\n    @nn.compact\n    def __call__(self, x):\n        "
    pair += "kind = nn.Dense\n        if x.ndim:\n            kind = many(kind)\n        return kind(3)(x)\n"
    program = f"{MANY}nets = many(Net)()\nvariables = nets.init(key, x)\n"
    assert "vmapped(" in fixed(program, pair="from models import *\n")["models"]
    assert "nn.vmap(" in fixed(program, pair=pair)["models"]


def test_a_class_that_one_of_two_files_may_bring_stays() -> None:
    used = "from models import *\nfrom others import *\nvariables = Net().init(key, x)\n"
    assert "class Net(nnx.Module)" in fixed("", others="class Other: pass\n", train=used)["models"]
    assert "nnx" not in fixed("", others="class Net: pass\n", train=used)["models"]
