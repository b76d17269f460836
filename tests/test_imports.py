"""The rooms of the house: each imports only those below it, and no two files each other, inside functions too."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(importlib.util.find_spec("hyperlaw").origin).parent
# From the ground up. What stands before a room may be imported in it.
ROOMS = ["ground", "data", "models", "inference", "diagnostics", "decision", "plots", "report", "top"]
GROUND = {"compilation", "display", "intervals", "progress", "quote", "risk", "streams", "whole_file"}
# Doors that open only when a user asks for what is behind them, from a room to one above: the `.plot()` of a table or
# result. What is behind takes frames, or the base of the class, and so never leads back.
DOORS = {
    ("hyperlaw.data.runs", "hyperlaw.plots.sweep"),
    ("hyperlaw.diagnostics.backtest", "hyperlaw.plots.backtest"),
    ("hyperlaw.decision.choice", "hyperlaw.plots.choice"),
    ("hyperlaw.decision.choice", "hyperlaw.report.choice"),
    ("hyperlaw.decision.frontier", "hyperlaw.plots.frontier"),
    ("hyperlaw.decision.frontier", "hyperlaw.report.frontier"),
    ("hyperlaw.decision.next_runs", "hyperlaw.plots.next_runs"),
    ("hyperlaw.decision.over_horizons", "hyperlaw.plots.over_horizons"),
    ("hyperlaw.decision.schedule", "hyperlaw.plots.schedule"),
    ("hyperlaw.decision.trade_off", "hyperlaw.plots.trade_off"),
    ("hyperlaw.decision.transfer_rate", "hyperlaw.plots.transfer_rate"),
}
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def room(module):
    """Room of a module; those beside the rooms are of the ground or of the top."""
    first = [*module.split("."), "", ""][1]
    return first if first in ROOMS else "ground" if first in GROUND else "top"


def imported(tree, module):
    """Every module of the package that is imported anywhere: at the top, inside functions, for types alone."""
    package = module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            found = next(
                (".".join(parts[:n]) for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in MODULES), None
            )
            if found not in (None, "hyperlaw", module):
                yield found


GRAPH = {name: set(imported(ast.parse(path.read_text(encoding="utf-8")), name)) for name, path in MODULES.items()}


def circle(graph):
    """Modules that import each other in a ring, or an empty list."""
    done, way = set(), []

    def visit(module):
        if module in way:
            return way[way.index(module) :]
        if module in done:
            return []
        way.append(module)
        found = next(filter(None, map(visit, sorted(graph[module]))), [])
        way.pop()
        done.add(module)
        return found

    return next(filter(None, map(visit, graph)), [])


def upwards(graph):
    """Imports of a higher room from a lower one."""
    return {(a, b) for a, found in graph.items() for b in found if ROOMS.index(room(b)) > ROOMS.index(room(a))}


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_every_room_has_modules():
    assert {room(name) for name in MODULES} == set(ROOMS)
    assert len(MODULES) > 80
    assert sum(map(len, GRAPH.values())) > 300


def test_imports_are_found_wherever_they_stand():
    code = (
        "import hyperlaw.data.runs\nfrom hyperlaw.data import optima\n"
        "from . import law\nfrom ..data.table import Table\n"
        "if TYPE_CHECKING:\n import hyperlaw.decision.decide\n"
        "def inside():\n from hyperlaw.plots.losses import losses\n"
        "class Inner:\n def method(self):\n  import hyperlaw.risk\n"
    )
    assert set(imported(ast.parse(code), "hyperlaw.models.prior")) == {
        "hyperlaw.data.runs", "hyperlaw.data.optima", "hyperlaw.models.law", "hyperlaw.data.table",
        "hyperlaw.decision.decide", "hyperlaw.plots.losses", "hyperlaw.risk",
    }  # fmt: skip


def test_rooms_import_only_those_below():
    assert upwards(GRAPH) == DOORS


def test_no_two_files_import_each_other():
    assert circle(GRAPH) == []


def test_the_tests_above_can_fail():
    """A door that is not listed, and a ring through a function's body, are found."""
    wrong = GRAPH | {"hyperlaw.data.runs": {"hyperlaw.decision.decide"}}
    assert ("hyperlaw.data.runs", "hyperlaw.decision.decide") in upwards(wrong) - DOORS
    assert set(circle(wrong)) >= {"hyperlaw.data.runs", "hyperlaw.decision.decide"}


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) == "ground"])
def test_the_ground_stands_on_nothing_but_what_errors_quote_with(module):
    assert GRAPH[module] <= {"hyperlaw.quote"} - {module}


def test_importing_the_package_loads_nothing_that_is_not_asked_for():
    loaded = run("import sys, hyperlaw; print(*sys.modules)")
    assert not [name for name in loaded if name.startswith("hyperlaw.")]
    unwanted = ("plots", "report", "cli", "demo")
    unwanted = (
        *(f"hyperlaw.{room}" for room in unwanted),
        *["matplotlib", "arviz_plots", "typer", "sklearn", "plotly", "jinja2"],
    )
    loaded = run("import sys, hyperlaw as hl; hl.fit; hl.decide; hl.backtest; print(*sys.modules)")
    assert "hyperlaw.decision.decide" in loaded
    assert not [name for name in loaded if name.startswith(unwanted)]


def test_public_names_are_all_there():
    names = run("import hyperlaw as hl; print(*[name for name in hl.__all__ if getattr(hl, name) is not None])")
    asked = "Law OptimumLaw ValueLaw Parameter Prediction Checks Score Likelihood likelihood fit load_fit plots laws"
    assert set(asked.split()) <= set(names)
    assert set(names) - {"__version__"} <= set(run("import hyperlaw as hl; print(*dir(hl))"))


def test_help_and_tab_completion_show_the_public_names():
    code = (
        "import hyperlaw as hl, pydoc, re; print(*dir(hl)); print('|'); "
        "print(*re.findall(r'\\w+', pydoc.render_doc(hl, renderer=pydoc.plaintext)))"
    )
    words = run(code)
    completed, helped = set(words[: words.index("|")]), set(words[words.index("|") :])
    public = set(run("import hyperlaw as hl; print(*hl.__all__)")) - {"__version__"}
    assert {"plots", "laws", "fit", "Runs", "Fit"} < public
    assert public <= completed
    assert not {"importlib", "lazy_loader", "numpyro"} & completed
    assert public <= helped


def test_a_function_is_no_module():
    assert run("import hyperlaw.fits, hyperlaw as hl; print(callable(hl.fit), callable(hl.decide))") == ["True", "True"]


def test_arviz_may_be_imported_first():
    code = "import arviz, hyperlaw, numpyro; print(numpyro.distributions.distribution.__name__)"
    assert run(code) == ["numpyro.distributions.distribution"]


def test_distributions_are_the_same_classes_after_arviz():
    code = (
        "import arviz, hyperlaw, numpyro.distributions as dist; "
        "print(hyperlaw.laws.StepLaw(priors={'exponent_data': dist.Normal(0.5, 0.1)}).name)"
    )
    assert run(code) == ["StepLaw"]


def test_a_saved_fit_finds_its_law_in_a_fresh_process():
    """`load_fit` alone brings the laws with it."""
    code = "import hyperlaw as hl; hl.load_fit; from hyperlaw.models.law import LAWS; print(*LAWS)"
    assert {"StepLaw", "TimeTransfer", "Surge", "DataEfficiency"} <= set(run(code))
