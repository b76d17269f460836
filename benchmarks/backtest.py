"""Backtest the laws on the shipped sweeps and, where they are at hand, on published ones.

    python benchmarks/backtest.py --repeats 20

Withholds the largest scales of each block below, fits the rest with all runs and, of some, with few runs a cell, and
writes docs/evidence/backtest.md. The published sweeps, which the project does not ship, are read from the folder that
`HYPERLAW_PUBLIC_SWEEPS` names and left out, with a message, where that is not set. Finished parts are kept in
build/backtest, named after the code that made them, and a stopped run goes on with the rest.
"""

import argparse
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import public_sweep
from rich.progress import track

import hyperlaw as hl
from hyperlaw.diagnostics.baselines.settings import RECIPES

ROOT = Path(__file__).parents[1]
SPARSE = (8, 16, 32)
SCORED_BY = (
    "inference/sampler.py", "inference/mode.py", "inference/programs.py", "inference/refit.py",
    "inference/predict.py", "inference/cells.py",
    "diagnostics/score_settings.py", "diagnostics/ground_truth.py", "diagnostics/baselines/settings.py",
    "data/estimators/local_surface.py",
)  # fmt: skip
Rows = Callable[[pd.DataFrame], pd.Series]


@dataclass(frozen=True)
class Block:
    """One question of the backtest: a sweep, which of its rows are used at all, and which are withheld."""

    name: str
    title: str
    sweep: str
    out: Rows
    used: Rows = lambda frame: frame["data"] > 0
    sparse: bool = False


def _between(low: float, high: float) -> Rows:
    """The rows of models of more than `low` and at most `high` parameters."""
    return lambda frame: frame["params"].between(low, high)


BLOCKS = (
    Block(
        "lm_adam-20", "`lm_adam`, up to 2^20 bytes for 2^21 and 2^22: twice and 4 times the data", "lm_adam",
        lambda f: f["data"] > 2**20, sparse=True,
    ),
    Block(
        "lm_adam-18", "`lm_adam`, up to 2^18 for 2^19 and 2^20", "lm_adam", lambda f: f["data"] > 2**18,
        lambda f: f["data"] <= 2**20,
    ),
    Block(
        "lm_optimizers-17", "`lm_optimizers`, up to 2^17 for 2^18 and 2^19", "lm_optimizers",
        lambda f: f["data"] > 2**17, lambda f: f["data"] <= 2**19,
    ),
    Block(
        "lm_optimizers-19", "`lm_optimizers`, up to 2^19 for 2^21 and 2^22", "lm_optimizers",
        lambda f: f["data"] > 2**19,
    ),
    Block(
        "dense-size", "published dense sweep, 429M withheld (215M and 268M fitted)", "dense",
        lambda f: f["params"] > 4e8, sparse=True,
    ),
    Block("dense-data", "published dense sweep, D of 40e9 and more withheld", "dense", lambda f: f["data"] >= 4e10,
          sparse=True),
    Block("sizes-429", "published sweep of five sizes, 429M withheld", "sizes", lambda f: f["params"] > 4e8),
    Block("sizes-268", "published sweep of five sizes, 268M and 429M withheld", "sizes", lambda f: f["params"] > 2.6e8),
    *(
        Block(f"sizes-{name}", f"published sweep of five sizes, {name} withheld", "sizes", _between(low, high))
        for name, low, high in (("60M", 0, 1e8), ("120M", 1e8, 2e8), ("215M", 2e8, 2.4e8), ("268M", 2.4e8, 4e8))
    ),
    Block("sizes-data", "published sweep of five sizes, D above 15e9 withheld", "sizes", lambda f: f["data"] > 1.5e10),
    Block(
        "rate-size", "published sweep of the learning rate alone, the two largest sizes withheld", "rate only",
        lambda f: f["params"] >= np.sort(f["params"].unique())[-2],
    ),
    Block("rate-data", "published sweep of the learning rate alone, D above 3e9 withheld", "rate only",
          lambda f: f["data"] > 3e9),
)  # fmt: skip
SHOWN = {
    "regret": "regret, mean", "regret_worst": "worst", "covered_regret": "regret <= bound",
    "inside_learning_rate": "eta*", "inside_batch_size": "B*", "inside_loss": "loss",
    "covered_learning_rate": "eta*, noise in", "covered_batch_size": "B*, noise in", "covered_loss": "loss, noise in",
    "width_loss": "width of loss", "covered_runs": "runs", "log_score": "log score", "crps": "CRPS",
}  # fmt: skip
SHIPPED = ("lm_adam", "lm_optimizers")
PUBLISHED = {"dense": public_sweep.load, "sizes": public_sweep.sizes, "rate only": public_sweep.rate_only}


@cache
def sweep(name: str) -> hl.Runs:
    """A shipped or published sweep."""
    return hl.load_sweep(name) if name in SHIPPED else PUBLISHED[name]()


def at_hand() -> list[Block]:
    """The blocks whose sweep is there."""
    if os.environ.get("HYPERLAW_PUBLIC_SWEEPS"):
        return list(BLOCKS)
    print("HYPERLAW_PUBLIC_SWEEPS is not set: the published sweeps are left out.")
    return [block for block in BLOCKS if block.sweep in SHIPPED]


def parts(repeats: int) -> list[tuple[Block, int | None, int]]:
    """What is to be done: block, runs a cell (None: all), repeat; all runs of every block first."""
    blocks = at_hand()
    few = [(b, size, repeat) for repeat in range(repeats) for size in SPARSE for b in blocks if b.sparse]
    return [*((block, None, 0) for block in blocks), *few]


def code() -> str:
    """Digest of the package's code: results of other code are not mixed in."""
    package = ROOT / "hyperlaw"
    files = [*sorted((package / "models").rglob("*.py")), *(package / name for name in SCORED_BY)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def run(repeats: int) -> pd.DataFrame:
    """All parts, those done before read from build/backtest."""
    folder = ROOT / "build" / "backtest" / code()
    folder.mkdir(parents=True, exist_ok=True)
    tables = []
    for block, size, repeat in track(parts(repeats), "backtest"):
        path = folder / f"{block.name}-{size or 'all'}-{repeat}.csv"
        if not path.exists():
            laws = {"StepLaw": hl.laws.StepLaw()}
            if size is None:
                laws["TimeTransfer"] = hl.laws.TimeTransfer()
            whole = sweep(block.sweep)
            runs = whole.where(block.used(whole.frame))
            result = hl.backtest(laws, runs, hold_out=block.out, seed=repeat, sparse=size, progress=False)
            result.table.to_csv(path.with_suffix(".tmp"), index=False)
            path.with_suffix(".tmp").rename(path)
            jax.clear_caches()  # the compiled programs of all blocks together do not fit into memory
        part = pd.read_csv(path, keep_default_na=True)
        tables.append(part.assign(block=block.name, size=size or 0, repeat=repeat))
    return pd.concat(tables, ignore_index=True)


def overview(table: pd.DataFrame) -> str:
    """One row a block, all runs fitted: StepLaw beside the best recipe that was fitted to the same runs."""
    names = [
        "block",
        "cells",
        "regret",
        "worst",
        "expected, 90 %, CVaR",
        "best recipe",
        "bound",
        "eta*, B*",
        "with noise",
        "loss",
        "width",
        "runs",
    ]
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for block in BLOCKS:
        rows = table[(table["block"] == block.name) & (table["size"] == 0)]
        law = rows[(rows["method"] == "StepLaw") & (rows["risk"] == "cvar90")]
        if law.empty:
            continue
        by_hand = rows[rows["risk"].isna() & ~rows["method"].str.endswith("formula")].groupby("method")["regret"].mean()

        def share(*columns: str, law: pd.DataFrame = law) -> str:
            means = [law[c].astype(float).mean() for c in columns]
            return ", ".join("" if np.isnan(mean) else f"{100 * mean:.0f} %" for mean in means)

        cells = [
            block.title, str(len(law)), _nats(law["regret"].mean()), _nats(law["regret"].max()),
            ", ".join(f"{1e3 * law[f'regret_{n}'].mean():.1f}" for n in ("expected", "q90", "cvar90")) + " e-3",
            f"{by_hand.idxmin()} {_nats(by_hand.min())}", share("inside_regret"),
            share("inside_learning_rate", "inside_batch_size"), share("covered_learning_rate", "covered_batch_size"),
            share("inside_loss"), f"{law['width_loss'].mean():.2g}", share("covered_runs"),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _nats(value: float) -> str:
    return f"{1e3 * value:.2f}e-3"


def predicted_and_lost(table: pd.DataFrame) -> str:
    """One row an attitude to risk, over the withheld cells of all blocks: regret that was predicted, and lost."""
    names = [
        "chosen by", "cells", "expected", "lost, mean", "90 % bound, mean", "lost within it", "CVaR(0.9), mean",
        "lost, worst tenth",
    ]  # fmt: skip
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    laws = table[(table["method"] == "StepLaw") & (table["size"] == 0)]
    for risk, rows in laws[laws["regret"].notna()].groupby("risk"):
        worst = rows["regret"].nlargest(max(1, round(len(rows) / 10))).mean()
        cells = [
            risk, str(len(rows)), _nats(rows["regret_expected"].mean()), _nats(rows["regret"].mean()),
            _nats(rows["regret_q90"].mean()), f"{100 * rows['inside_regret'].astype(float).mean():.0f} %",
            _nats(rows["regret_cvar90"].mean()), _nats(worst),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def summary(table: pd.DataFrame) -> str:
    """Markdown of one block: a table for each number of runs a cell."""
    blocks = []
    for size in (0, *SPARSE):
        rows = table[(table["size"] == size) & table["risk"].isin(["cvar90", np.nan])]
        if rows.empty:
            continue
        repeats = rows["repeat"].nunique()
        lines = ["| method | " + " | ".join(SHOWN.values()) + " |", "|---" * (len(SHOWN) + 1) + "|"]
        for method in [*(m for m in rows["method"].unique() if m not in RECIPES), *RECIPES]:
            lines.append(_line(method, rows[rows["method"] == method]))
        head = f"**{size or 'All'} runs a cell**, {repeats} draw{'s' if repeats > 1 else ''} of runs, "
        cells = rows["cell"].nunique()
        blocks.append(head + f"{cells} withheld cell{'s' if cells > 1 else ''}\n\n" + "\n".join(lines))
    return "\n\n".join(blocks)


def _line(method: str, rows: pd.DataFrame) -> str:
    values = {name: rows[name].astype(float) for name in SHOWN if name != "regret_worst"}
    cells = []
    for name in SHOWN:
        value = rows["regret"].max() if name == "regret_worst" else values[name].mean()
        if np.isnan(value):
            cells.append("")
        elif name.startswith("regret"):
            cells.append(_nats(value))
        else:
            cells.append(f"{100 * value:.0f} %" if name.startswith(("covered", "inside")) else f"{value:.3g}")
    return f"| {method} | " + " | ".join(cells) + " |"


def main(repeats: int) -> None:
    """Write the tables of docs/evidence/backtest.md, after its mark; the words before it stay."""
    table = run(repeats)
    page = ROOT / "docs" / "evidence" / "backtest.md"
    words, mark, _ = page.read_text().partition("<!-- tables -->")
    blocks = [f"## All runs\n\n{overview(table)}", f"## Predicted and lost\n\n{predicted_and_lost(table)}"]
    for block in BLOCKS:
        rows = table[table["block"] == block.name]
        if len(rows):
            blocks.append(f"## {block.title[0].upper()}{block.title[1:]}\n\n{summary(rows)}")
    page.write_text(f"{words}{mark}\n\n" + "\n\n".join(blocks) + "\n")
    print(f"Wrote {page.relative_to(ROOT)}.")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--repeats", type=int, default=20, help="draws of runs at each number a cell")
    main(arguments.parse_args().repeats)
