"""What the documents point at is there, and the code that they show runs."""

import ast
import functools
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from conftest import CHECKED, TRUTH, grid, simulate
from typer.testing import CliRunner

import hyperlaw as hl
from hyperlaw.cli import app
from hyperlaw.models.law import LAWS

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
NAME = re.compile(r"\bhl\.((?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*)")
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_there_are_pages():
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md"} < {page.name for page in PAGES}
    assert sum(len(LINK.findall(page.read_text())) for page in PAGES) > 50


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    missing = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("name", [name for name, law in LAWS.items() if law.__module__.startswith("hyperlaw.")])
def test_every_law_page_says_first_whether_to_trust_it(name):
    text = (ROOT / "docs" / "laws" / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n\n**Whether to trust it.** ")


def test_no_picture_of_the_documents_is_left_out_of_the_repository():
    pictures = [str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.png")]
    ignored = subprocess.run(["git", "check-ignore", "--", *pictures], cwd=ROOT, capture_output=True, text=True)
    assert pictures
    assert ignored.stdout == ""


def public(path: str) -> object:
    """What `hl.path` is; AttributeError where there is none."""
    return functools.reduce(getattr, path.split("."), hl)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_names_of_the_package_exist(page):
    for path in sorted(set(NAME.findall(page.read_text()))):
        public(path)


def test_readme_calls_what_there_is_with_arguments_that_it_takes():
    calls = [node for block in BLOCKS for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)]
    named = [(ast.unparse(call.func), call) for call in calls]
    checked = [(name, call) for name, call in named if name.startswith("hl.")]
    assert len(checked) > 20
    for name, call in checked:
        arguments = {keyword.arg: None for keyword in call.keywords}
        inspect.signature(public(name.removeprefix("hl."))).bind(*call.args, **arguments)


def test_readme_imports_what_it_uses(tmp_path):
    """Every name is bound in its block or in one before it."""
    (tmp_path / "readme.py").write_text("\n".join(BLOCKS))
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", "F821,E9"]
    checked = subprocess.run([*ruff, tmp_path / "readme.py"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("line", re.findall(r"^    hyperlaw (.+)$", README, re.MULTILINE))
def test_readme_names_commands_that_there_are(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where its files are not
    said = CliRunner().invoke(app, shlex.split(line))
    assert said.exit_code == 2
    assert "hyperlaw: " in said.output


BATCH, UNIT = 2.0**21, 2048


def sweep_csv(path: Path) -> None:
    """A sweep from StepLaw itself, batch sizes in sequences."""
    frame = grid(sizes=(1e8, 4e8), data=(1e10, 4e10, 1.6e11))
    frame["batch_size"] *= BATCH / 2.0**15
    runs = simulate(hl.laws.StepLaw(), frame, seed=1, truth=TRUTH | {"log_batch_size": np.log(BATCH)})
    table = runs.frame.assign(bs=runs.frame["batch_size"] / UNIT)
    names = {"learning_rate": "lr", "data": "tokens", "params": "N", "loss": "val_loss"}
    table.rename(columns=names)[["bs", *names.values()]].to_csv(path, index=False)


def curves_csv(path: Path) -> None:
    """Learning curves of four environments: data fall with the ratio, the best settings move with it."""
    rng, rows = np.random.default_rng(0), []
    steps = np.linspace(2e4, 2e6, 60)
    for i, env in enumerate(("Ant-v4", "Hopper-v4", "Humanoid-v4", "Walker2d-v4")):
        for utd in (0.25, 0.5, 1.0, 2.0, 4.0):
            for batch in (64, 128, 256, 512, 1024):
                for rate in (1e-4, 3e-4, 1e-3, 3e-3):
                    u = np.log(rate / 5e-4) + 0.2 * np.log(utd)
                    v = np.log(batch / 256) + 0.3 * np.log(utd)
                    need = 1e5 * 1.2**i * (1 + utd**-0.7) * np.exp(0.15 * u**2 + 0.15 * v**2)  # to reach 500
                    for seed in range(3):
                        shown = 500 * (steps / need) ** 0.8 + rng.normal(0, 10, len(steps))
                        rows.append(
                            pd.DataFrame(
                                {
                                    "env": env, "utd": utd, "batch_size": batch, "learning_rate": rate, "seed": seed,
                                    "env_step": steps, "return": shown,
                                }
                            )
                        )  # fmt: skip
    pd.concat(rows, ignore_index=True).to_csv(path, index=False)


def careful(fit, law, table, *, seed):
    """Of runs as short as checks allow; curves without much noise leave a ridge that needs more draws."""
    care = CHECKED if table.kind == "runs" else CHECKED | {"draws": 2000, "warmup": 1000, "target_accept": 0.99}
    return fit(law, table, seed=seed, **care)


@pytest.mark.slow
def test_readme_runs(tmp_path, monkeypatch):
    """All of its code, in order, as a reader would run it; other chains and fewer simulations."""
    mpl.use("agg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hl, "fit", functools.partial(careful, hl.fit))
    monkeypatch.setattr(hl, "calibrate", functools.partial(hl.calibrate, simulations=8, progress=False))
    sweep_csv(tmp_path / "sweep.csv")
    curves_csv(tmp_path / "curves.csv")
    before, namespace = set(LAWS), {"__name__": "readme"}
    try:
        for block in BLOCKS:
            if "from_mlflow" in block:  # its stores are not here: tests/test_source_*.py make them
                continue
            exec(compile(block, "README.md", "exec"), namespace)
    finally:
        for name in set(LAWS) - before:
            del LAWS[name]
    assert Path("choice.png").stat().st_size > 10_000
    fit, choice = namespace["fit"], namespace["choice"]
    assert fit.check().ok
    assert choice.at == {"params": 7e9, "data": 1.4e12}
    assert choice.setting["batch_size"] % 524288 == 0
    assert 1.4e12 / choice.setting["batch_size"] <= 2e5
    assert set(namespace["fits"]) == {"StepLaw", "TimeTransfer"}
    chosen = namespace["frontier"].recommend(budget=1e15, risk=hl.Mean()).setting
    assert set(chosen) == {"utd", "batch_size", "learning_rate"}
