import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(importlib.util.find_spec("hyperlaw").origin).parent
MAY_IMPORT = {
    "data": {"data"},
    "models": {"data", "models"},
    "inference": {"data", "models", "inference", "progress"},
    "diagnostics": {"data", "models", "inference", "diagnostics", "risk", "progress"},
    "decision": {"data", "models", "inference", "diagnostics", "decision", "risk", "progress"},
}
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
    for part in MAY_IMPORT
    for path in sorted((PACKAGE / part).rglob("*.py"))
}


def only_for_types(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def on_import(node):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if only_for_types(child):
            for other in child.orelse:
                yield other
                yield from on_import(other)
            continue
        yield child
        yield from on_import(child)


def imported(nodes, module):
    package = module.split(".")[:-1]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def own(names):
    return {name for name in names if name.split(".")[0] == "hyperlaw"}


def parse(module):
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_every_part_has_modules(part):
    assert sum(module.split(".")[1] == part for module in MODULES) >= 2


def test_imports_are_found():
    code = (
        "import hyperlaw.a\nfrom hyperlaw.b import c\nfrom . import d\nfrom ..e import f\n"
        "if TYPE_CHECKING:\n import hyperlaw.no\nelse:\n import hyperlaw.g\n"
        "def inside():\n import hyperlaw.no\ntry:\n import hyperlaw.h\nexcept ImportError:\n pass\n"
        "class Inner:\n import hyperlaw.i\n def method(self):\n  import hyperlaw.no\n"
    )
    found = own(imported(on_import(ast.parse(code)), "hyperlaw.part.module"))
    assert found == {f"hyperlaw.{name}" for name in ("a", "b.c", "part.d", "e.f", "g", "h", "i")}


@pytest.mark.parametrize("module", MODULES)
def test_modules_import_only_lower_parts(module):
    part = module.split(".")[1]
    names = own(imported(on_import(parse(module)), module))
    wrong = {name for name in names if [*name.split("."), ""][1] not in MAY_IMPORT[part]}
    assert not wrong, f"{module} imports {', '.join(sorted(wrong))}; {part} may import {', '.join(MAY_IMPORT[part])}"


def test_the_parts_do_import_each_other():
    names = {name for module in MODULES for name in own(imported(on_import(parse(module)), module))}
    assert {name.split(".")[1] for name in names} == {*MAY_IMPORT, "risk", "progress"}


@pytest.mark.parametrize("module", [module for module in MODULES if module.split(".")[1] == "decision"])
def test_decisions_never_sample(module):
    tree = parse(module)
    names = own(imported(ast.walk(tree), module))
    assert not [name for name in names if "sampler" in name.split(".")]
    assert "hyperlaw.inference.fit.fit" not in names
    called = {ast.unparse(node.func).split(".")[-1] for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not called & {"fit", "MCMC", "NUTS"}


def test_importing_the_package_loads_neither_plots_nor_command_line():
    loaded = run("import sys, hyperlaw; print(*sys.modules)")
    assert "hyperlaw.decision.decide" in loaded
    unwanted = ("matplotlib.pyplot", "typer", "hyperlaw.plots", "hyperlaw.cli", "hyperlaw.demo")
    assert not [name for name in loaded if name.startswith(unwanted)]


def test_arviz_may_be_imported_first():
    code = "import arviz, hyperlaw, numpyro; print(numpyro.distributions.distribution.__name__)"
    assert run(code) == ["numpyro.distributions.distribution"]


def test_distributions_are_the_same_classes_after_arviz():
    code = (
        "import arviz, hyperlaw, numpyro.distributions as dist; "
        "print(hyperlaw.laws.StepLaw(priors={'exponent_data': dist.Normal(0.5, 0.1)}).name)"
    )
    assert run(code) == ["StepLaw"]
