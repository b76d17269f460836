"""The code that the documents show, run in order, as a reader would run it, in a folder with their tables."""

import functools
import shlex
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from conftest import CHECKED, TRUTH, grid, simulate
from pages import SHOWN, blocks, name, slow
from typer.testing import CliRunner

import hyperlaw as hl
from hyperlaw.cli import app
from hyperlaw.data.table import TABLES
from hyperlaw.models.law import LAWS
from hyperlaw.models.likelihoods.base import LIKELIHOODS

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
    """Of runs as short as checks allow, in steps as small as their divergences ask for; curves without much noise leave
    a ridge that needs more draws."""
    care = {"target_accept": None} if table.kind == "runs" else {"draws": 2000, "warmup": 1000, "target_accept": 0.99}
    return fit(law, table, seed=seed, **CHECKED | care)


def candidates_csv(path: Path) -> None:
    """Settings of runs that could be made, in cells that were fitted."""
    frame = grid(sizes=(4e8,), data=(4e10, 1.6e11), rates=3, batches=3).drop(columns=["loss", "task"])
    frame["batch_size"] *= BATCH / 2.0**14
    frame.to_csv(path, index=False)


@pytest.fixture
def desk(tmp_path, monkeypatch, once):
    """A folder with the tables that pages read; fits to its sweep are shared by all pages."""
    mpl.use("agg")
    monkeypatch.chdir(tmp_path)
    sweep_csv(Path("sweep.csv"))
    candidates_csv(Path("candidates.csv"))
    whole, made = pd.read_csv("sweep.csv")["val_loss"].count(), hl.fit

    def shared(law, table, *, seed, priors=None, **settings):
        model = hl.likelihood(law, table, priors=priors)
        if table.kind == "runs" and len(table) == whole and model.law.name in ("StepLaw", "TimeTransfer"):
            return once(f"docs-{model.law.name}", lambda: careful(made, law, table, seed=0))
        return careful(made, law, table, seed=seed)

    monkeypatch.setattr(hl, "fit", shared)
    monkeypatch.setattr(hl, "calibrate", functools.partial(hl.calibrate, simulations=8, progress=False))
    known = [(registry, dict(registry)) for registry in (LAWS, TABLES, LIKELIHOODS)]
    yield tmp_path
    for registry, before in known:
        registry.clear()
        registry.update(before)


MARKED = [pytest.param(page, id=name(page), marks=[pytest.mark.slow] if slow(page) else []) for page in SHOWN]


@pytest.mark.parametrize("page", MARKED)
def test_code_runs(page, desk):
    if "curves.csv" in page.read_text():
        curves_csv(Path("curves.csv"))
    namespace = {"__name__": "page"}
    for block in blocks(page):
        if block.reason is None and block.language == "python":
            exec(compile(block.code, name(page), "exec"), namespace)
        elif block.reason is None:
            for line in block.code.strip().splitlines():
                run(line)


def run(line: str) -> None:
    """A command of the package, as it is typed; `demo` has tests of its own."""
    command, *words = shlex.split(line, comments=True)
    assert command == "hyperlaw", f"say why it is not run: {line}"
    if words == ["demo"]:
        return
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0, f"{line}\n{said.output}"
