"""ThreeTerm beside StepLaw at withheld scales: what docs/laws/ThreeTerm.md says of them.

    HYPERLAW_PUBLIC_SWEEPS=<folder> python benchmarks/three_term.py

The blocks are those of `benchmarks/backtest.py`. Three designs: all runs; eight runs a cell; and one batch size a
cell, drawn among those that the cell tried at three learning rates or more, where StepLaw says nothing of the best
batch size. Finished parts are kept in build/three_term, named after the code that made them, and a stopped run goes on
with the rest.
"""

import argparse
import itertools

import backtest
import jax
import numpy as np
import pandas as pd
import scipy.optimize
from law_page import markdown
from rich.progress import track

import hyperlaw as hl
from hyperlaw.diagnostics.baselines.settings import RECIPES

FOLDER = backtest.ROOT / "build" / "three_term" / backtest.code()
FEW = 8
LEAST_RATES = 3
RISKS = {"cvar90": hl.CVaR(0.9)}
LAWS = ("StepLaw", "ThreeTerm")
DESIGNS = {
    "all": ("lm_adam-20", "dense-size", "dense-data", "sizes-429"),
    "few": ("dense-size", "dense-data"),
    "one batch": ("dense-size", "dense-data", "sizes-429"),
}
REPEATS = {"all": 1, "few": 1, "one batch": 1}
MEANS = {
    "regret": "regret, mean", "inside_regret": "bound", "inside_learning_rate": "eta*", "inside_batch_size": "B*",
    "covered_batch_size": "B*, with noise", "width_batch_size": "width of B*", "inside_loss": "loss",
    "width_loss": "width of loss", "covered_runs": "runs", "log_score": "log score", "crps": "CRPS",
}  # fmt: skip


def tuned() -> dict[str, pd.DataFrame]:
    """Lowest loss at each size, horizon and batch size of the published sweep of five sizes: all, and parts of it."""
    frame = backtest.sweep("sizes").frame
    rows = frame.groupby(["params", "data", "batch_size"], as_index=False)["loss"].min()
    above = rows["loss"] - rows.groupby(["params", "data"])["loss"].transform("min")
    return {
        "all": rows,
        "within 0.1 nats of the best": rows[above < 0.1],
        "within 0.03 nats of the best": rows[above < 0.03],
        "data below 15e9": rows[rows["data"] < 1.5e10],
    }


def least_squares(title: str, rows: pd.DataFrame) -> dict[str, str | float]:
    """The published sum fitted to tuned losses: its floor, exponents and best batch size, and what it leaves."""
    logs = np.log(rows[["params", "batch_size"]].assign(steps=rows["data"] / rows["batch_size"]).to_numpy())
    centre = logs.mean(axis=0)

    def loss(z: np.ndarray) -> np.ndarray:
        return np.exp(z[0]) + (np.exp(z[1:4]) * np.exp(-np.exp(z[4:]) * (logs - centre))).sum(axis=1)

    starts = itertools.product((0.5, 1.7), (0.2, 0.5), (0.2, 0.6))
    best = min(
        (
            scipy.optimize.least_squares(
                lambda z: np.log(loss(z) / rows["loss"].to_numpy()), np.log([floor, 0.4, 0.1, 0.2, 0.3, beta, gamma]),
                loss="huber", f_scale=1e-3, max_nfev=5000,
            )
            for floor, beta, gamma in starts
        ),
        key=lambda found: found.cost,
    )  # fmt: skip
    floor, _, of_batch, of_steps, alpha, beta, gamma = np.exp(best.x)
    ratio = beta * of_batch * np.exp(beta * centre[1]) / (gamma * of_steps * np.exp(gamma * centre[2]))
    left = loss(best.x) - rows["loss"]
    return {
        "tuned losses": title, "rows": len(rows), "E": float(floor), "alpha": float(alpha), "beta": float(beta),
        "gamma": float(gamma), "B* at 1 data point": float(ratio ** (1 / (beta + gamma))),
        "exponent of B*": float(gamma / (beta + gamma)), "rms": float(np.sqrt((left**2).mean())),
    }  # fmt: skip


def two_sides(fit: hl.Fit) -> pd.DataFrame:
    """What a fit of StepLaw, which ties neither, says of the sum: its exponent in data by the bowl and by the trend.

    Of the sum, the bowl over batch sizes has sharpness q (beta + gamma) / 2, and the best batch size the exponent
    b = gamma / (beta + gamma) in data; then the lowest loss levels off with the exponent b (1 - b) (beta + gamma).
    """
    p = {name: fit.draws[name].values for name in fit.draws}
    b, both = p["exponent_data"], 2 * p["sharpness_batch_size"] / p["optimal_loss_slope_data"]
    rows = {
        "beta, by the bowl and B*": (1 - b) * both, "gamma, by the bowl and B*": b * both,
        "exponent of the lowest loss in data, by the bowl and B*": b * (1 - b) * both,
        "exponent of the lowest loss in data, by the lowest losses": p["optimal_loss_exponent_data"],
    }  # fmt: skip
    table = pd.DataFrame({name: np.quantile(draws, [0.05, 0.5, 0.95]) for name, draws in rows.items()}).T
    return table.set_axis(["lower", "median", "upper"], axis=1).reset_index(names="quantity")


def one_batch_size(runs: hl.Runs, out: pd.Series, seed: int) -> hl.Runs:
    """Withheld cells whole; of the others the runs at one batch size each."""
    frame, rng, kept = runs.frame, np.random.default_rng(seed), out.to_numpy(bool).copy()
    alive = frame[~frame["diverged"] & ~out]
    for cell, group in alive.groupby("cell"):
        rates = group.groupby("batch_size")["learning_rate"].nunique()
        size = rng.choice(rates.index[rates >= LEAST_RATES])
        kept |= ((frame["cell"] == cell) & (frame["batch_size"] == size)).to_numpy()
    return runs.where(pd.Series(kept, frame.index))


def part(design: str, name: str, repeat: int, law: str) -> pd.DataFrame:
    """Rows of one backtest, read where it was made before."""
    path = FOLDER / f"{design}-{name}-{repeat}-{law}.csv".replace(" ", "_")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        block = next(block for block in backtest.BLOCKS if block.name == name)
        runs = backtest.sweep(block.sweep)
        runs = runs.where(block.used(runs.frame))
        if design == "one batch":
            runs = one_batch_size(runs, block.out(runs.frame), repeat)
        few = FEW if design == "few" else None
        found = hl.backtest(
            {law: hl.laws.LAWS[law]()}, runs, hold_out=block.out, seed=repeat, sparse=few, risks=RISKS, progress=False
        )
        found.table.to_csv(path.with_suffix(".tmp"), index=False)
        path.with_suffix(".tmp").rename(path)
        jax.clear_caches()  # the compiled programs of all blocks together do not fit into memory
    return pd.read_csv(path).assign(design=design, block=name, repeat=repeat)


def parts() -> list[tuple[str, str, int, str]]:
    """What is to be done; StepLaw is not asked where no cell has several batch sizes."""
    return [
        (design, name, repeat, law)
        for design, names in DESIGNS.items()
        for repeat in range(REPEATS[design])
        for name in names
        for law in LAWS
        if not (design == "one batch" and law == "StepLaw")
    ]


def tables() -> str:
    """Markdown: one row a block, design and law."""
    rows = pd.concat([part(*which) for which in track(parts(), "three_term")], ignore_index=True)
    recipes = rows[rows["method"].isin([n for n in RECIPES if not n.endswith("formula")])]
    text, titles = [], {"all": "All runs", "few": f"{FEW} runs a cell", "one batch": "One batch size a cell"}
    for design, title in titles.items():
        shown = []
        for name in DESIGNS[design]:
            of = recipes[(recipes["design"] == design) & (recipes["block"] == name)]
            by_hand = of.groupby("method")["regret"].mean()
            for law in LAWS:
                own = rows[(rows["design"] == design) & (rows["block"] == name) & (rows["method"] == law)]
                if own.empty:
                    continue
                means = {title: float(own[column].astype(float).mean()) for column, title in MEANS.items()}
                best = f"{by_hand.idxmin()} {by_hand.min():.2g}"
                shown.append({"block": name, "law": law, "cells": len(own)} | means | {"best recipe": best})
        text.append(f"**{title}.**\n\n{markdown(pd.DataFrame(shown))}")
    return "\n\n".join(text)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    print(tables())
