"""Fit all but one model size of a published sweep, decide for the one left out, score it.

    HYPERLAW_PUBLIC_SWEEPS=<folder> python benchmarks/public_sweep.py

needs `lm_adamw_dense.csv` (Step Law, arXiv 2503.04715) in that folder; the project does not ship it. Prints one
row a (law, size left out): whether the checks passed, wall time, effective draws a second, regret at the cells of
that size, and how often the nominal 90 % intervals held. The measured optimum is the minimum of a quadratic
in logs through the best runs, itself uncertain by a quarter of an octave.
"""

import os
import sys
import time
from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd

import hyperlaw as hl
from hyperlaw.diagnostics.measured import measured

DIVERGED_ABOVE = 4.0


def load() -> hl.Runs:
    """The sweep, with runs above a loss of 4 nats marked as diverged."""
    folder = os.environ.get("HYPERLAW_PUBLIC_SWEEPS")
    if not folder:
        sys.exit("set HYPERLAW_PUBLIC_SWEEPS to the folder that holds lm_adamw_dense.csv")
    frame = pd.read_csv(Path(folder) / "lm_adamw_dense.csv")
    frame["diverged"] = frame["smooth loss"] > DIVERGED_ABOVE
    columns = {"learning_rate": "lr", "batch_size": "bs", "data": "D", "params": "N", "loss": "smooth loss"}
    return hl.Runs.from_frame(frame, batch_unit=2048, **columns)


def score(fit: hl.Fit, withheld: pd.DataFrame) -> dict[str, float]:
    """Regret and coverage over the cells of `withheld`."""
    rows = []
    for (params, data), cell in withheld.groupby(["params", "data"]):
        at = {"params": params, "data": data}
        choice = hl.decide(fit, at=at, risk=hl.CVaR(0.9), despite="scored below, whatever the checks say")
        truth = measured(cell, choice.setting)
        alive = cell[~cell["diverged"]]
        draws = fit.predict(at, {name: alive[name].to_numpy() for name in choice.setting}).draws["loss"]
        low, high = np.quantile(draws, [0.05, 0.95], axis=(0, 1))
        inside = {
            f"covered_{name}": row["lower"] <= truth.optimum[str(name)] <= row["upper"]
            for name, row in pd.concat([choice.intervals, choice.loss.to_frame("loss").T]).iterrows()
        }
        rows.append(
            inside
            | {
                "regret": truth.regret_surface,
                "regret_nearest": truth.regret_nearest,
                "regret_below_bound": truth.regret_surface <= choice.table.loc["recommended", "regret_q90"],
                "covered_runs": float(np.mean((alive["loss"] >= low) & (alive["loss"] <= high))),
            }
        )
    table = pd.DataFrame(rows).astype(float)
    return {"cells": len(table), "regret_worst": table["regret"].max()} | table.mean().to_dict()


def main(seed: int) -> None:
    """Print one row a law and size left out."""
    runs = load()
    rows = []
    for law in (hl.laws.StepLaw(), hl.laws.TimeTransfer()):
        for size in sorted(runs.frame["params"].unique()):
            withheld = runs.frame["params"] == size
            start = time.monotonic()
            fit = hl.fit(law, runs.where(~withheld), seed=seed, progress=False)
            wall = time.monotonic() - start
            ess = az.summary(fit.tree, kind="diagnostics", round_to="none")["ess_bulk"].min()
            checks = fit.check()
            row = {"law": law.name, "withheld": size, "ok": checks.ok, "failed": "; ".join(checks.failed)}
            row |= {"wall_s": wall, "min_ess_per_s": ess / wall} | score(fit, runs.frame[withheld])
            rows.append(row)
            print(pd.Series(row).to_string(), "\n", flush=True)
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.4g}".format))


if __name__ == "__main__":
    main(seed=0)
