"""The fixpoint of `fix`: plans of the whole project and rules of single files take turns."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from nnx_migrate.engine.context import FileContext, ProjectContext
from nnx_migrate.engine.findings import Finding
from nnx_migrate.engine.fixing import Fixer
from nnx_migrate.engine.rule import ProjectRule, Rule
from tests.rules.harness import fix_files, scanner_for

PATH = Path("/project/example.py")


class Rename(Rule):
    """`np.alltrue` becomes `np.all`."""

    id = "rename"
    group = "jax"
    triggers = frozenset({"numpy.alltrue"})

    def check(self, file: FileContext) -> Iterator[Finding]:
        """Every use."""
        for use in file.uses("numpy.alltrue"):
            fix = file.fix()
            fix.replace(use.node, fix.name("numpy.all", at=use.node))
            yield self.finding(file, use.node, "renamed", fix.build("rename"))


class Plan(ProjectRule):
    """Calls of `np.all` on two lines or more at once become `np.any`; counts how often it is asked."""

    id = "plan"
    group = "jax"

    def __init__(self) -> None:
        self.plans = 0

    def plan(self, project: ProjectContext) -> Iterator[Finding]:
        """A fix for each call where there are several; a finding where there is one."""
        self.plans += 1
        for module in project.project.modules():
            file = project.file(module)
            calls = [n for n in ast.walk(module.tree) if isinstance(n, ast.Call)]
            ready = [c.func for c in calls if file.resolve(c.func) == "numpy.all"]
            for function in ready:
                fix = file.fix()
                fix.replace(function, "np.any")
                yield self.finding(file, function, "planned", fix.build("plan") if len(ready) > 1 else None)


def test_what_a_file_rule_makes_possible_is_planned_in_the_same_run() -> None:
    """The first plan sees one call, the second two: nothing is left for a second run."""
    plan = Plan()
    after, result = fix_files({PATH: "import numpy as np\nnp.all(x)\nnp.alltrue(y)\n"}, [Rename(), plan])
    assert after[PATH] == "import numpy as np\nnp.any(x)\nnp.any(y)\n"
    assert result.remaining.findings == []
    assert plan.plans == 3  # before anything, behind the rename, and to see that nothing is left


def test_a_plan_that_changes_nothing_is_made_once() -> None:
    """Nothing else moved either, so what it said still holds."""
    plan = Plan()
    _, result = fix_files({PATH: "import numpy as np\n\nnp.all(x)\n"}, [Rename(), plan])
    assert plan.plans == 1
    assert [finding.line for finding in result.remaining.findings] == [3]


def test_findings_of_the_plan_stand_at_the_lines_that_are_left() -> None:
    """Other rules' edits move lines: an import that is no longer needed goes."""
    code = "import numpy as np\nfrom numpy import alltrue\n\nchecks = [alltrue]\nnp.all(x)\n"
    after, result = fix_files({PATH: code}, [Rename(), Plan()])
    (left,) = [finding for finding in result.remaining.findings if finding.rule == "plan"]
    assert after[PATH].splitlines()[left.line - 1] == "np.all(x)"
    assert left.line == code.splitlines().index("np.all(x)")  # counted from 1, and one line is gone


class PreparedPlan(Plan):
    """Once `np.sum` is `np.all`, as a preparation makes it, that is planned like every `np.all`."""

    def plan(self, project: ProjectContext) -> Iterator[Finding]:
        """The preparations, and what stands there already."""
        for module in project.project.modules():
            file = project.file(module)
            for node in (
                n for n in ast.walk(module.tree) if isinstance(n, ast.Attribute) and n.attr == "sum"
            ):
                fix = file.fix()
                fix.replace(node, "np.all")
                yield self.finding(file, node, "prepared", replace(fix.build("prepare"), prepares=True))
        yield from super().plan(project)


def test_what_prepares_goes_first_and_the_rest_is_planned_anew() -> None:
    code, plan = "import numpy as np\nnp.all(x)\nnp.all(y)\nnp.sum(z)\n", PreparedPlan()
    after, result = fix_files({PATH: code}, [plan])
    assert after[PATH] == "import numpy as np\nnp.any(x)\nnp.any(y)\nnp.any(z)\n"
    assert [f.message for f in result.fixed] == ["prepared", "planned", "planned", "planned"]


def test_the_rest_goes_on_where_a_preparation_is_declined() -> None:
    scanner = scanner_for({PATH: "import numpy as np\nnp.all(x)\nnp.all(y)\nnp.sum(z)\n"}, [PreparedPlan()])
    fixer = Fixer(scanner.context, scanner, accept=lambda finding: finding.message != "prepared")
    after = fixer.run([PATH]).after[PATH]
    assert after.text == "import numpy as np\nnp.any(x)\nnp.any(y)\nnp.sum(z)\n"
