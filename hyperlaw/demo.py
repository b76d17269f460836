"""`hyperlaw demo`: the whole path on a shipped sweep, against large runs that were really run."""

from pathlib import Path

import pandas as pd
from rich.console import Console

from hyperlaw.data.runs import Runs
from hyperlaw.data.sweeps import load_sweep
from hyperlaw.decision.choice import Choice
from hyperlaw.decision.decide import decide
from hyperlaw.diagnostics.baselines.settings import BY_HAND, RECIPES
from hyperlaw.diagnostics.compare import compare
from hyperlaw.diagnostics.ground_truth import ground_truth
from hyperlaw.diagnostics.spec import Status
from hyperlaw.fits import fit
from hyperlaw.models import laws
from hyperlaw.plots.style import save
from hyperlaw.risk import CVaR

SMALL = 2**20
LARGE = {"params": 98304, "data": 2**22}


def demo(folder: Path, seed: int, *, stderr: bool = False) -> Choice:
    """Fit both laws to the small scales of `lm_adam`, check, compare, decide, and score against the large runs.

    Parameters
    ----------
    folder
        Where `demo.png` and `demo.nc` are written.
    seed
        Determines every draw.
    stderr
        Whether to tell it on standard error.

    Returns
    -------
    Choice
        The choice by the law that predicts left-out runs best.
    """
    console = Console(width=110, highlight=False, stderr=stderr)
    runs = load_sweep("lm_adam")
    frame = runs.frame
    small = runs.where(frame["data"] <= SMALL)
    withheld = frame[(frame["params"] == LARGE["params"]) & (frame["data"] == LARGE["data"])]
    console.print(f"Small runs, to fit. {small.headline}")
    console.print(
        f"Large runs, withheld: {len(withheld)} of {LARGE['data']:.3g} bytes, 4 x the data of any small run.\n"
    )

    fits = {
        "StepLaw": fit(laws.StepLaw(), small, seed=seed),
        "TimeTransfer": fit(laws.TimeTransfer(), small, seed=seed),
    }
    for name, fitted in fits.items():
        checks = fitted.check()
        console.print(f"{name}: {checks.verdict}")
        for _, row in checks.table[checks.table["status"] != Status.PASS].iterrows():
            console.print(
                f"  {row['status']} {row['check']} = {row['value']:.3g} ({row['threshold']}). {row['advice']}"
            )
    comparison = compare(fits, seed=seed)
    console.print(f"\n{comparison.sentence}\n")
    best = comparison.table.index[0]

    choice = decide(fits[best], at=LARGE, risk=CVaR(0.9))
    console.print(f"Decided by {best}.\n\n{choice.explain()}\n")
    console.print("The choice, beside what the large runs measured (losses and regrets in nats; intervals 90 %):")
    console.print(against(choice, withheld).to_string(index=False, float_format="{:.4g}".format), "\n")
    console.print("What recipes by hand, given the same small runs, would have lost there:")
    console.print(by_hand(small, withheld).to_string(index=False, float_format="{:.4g}".format), "\n")
    truth = ground_truth(withheld, choice.setting)
    console.print(
        f"Best of the {len(withheld)} large runs: learning_rate {truth.best['learning_rate']:.3g}, batch_size "
        f"{truth.best['batch_size']:.0f}, loss {truth.best['loss']:.4f}. The measured setting nearest to the choice "
        f"lost {truth.regret_nearest:.4f} nats more; on a smooth surface through the best of them the choice "
        f"loses {truth.regret_surface:.4f}."
    )
    fits[best].save(folder / "demo.nc")
    save(choice.plot(), folder / "demo.png")
    console.print(f"Wrote {folder / 'demo.png'}, and {folder / 'demo.nc'} for `hyperlaw check` or hl.load_fit.")
    return choice


def by_hand(small: Runs, withheld: pd.DataFrame) -> pd.DataFrame:
    """Settings of the recipes that are fitted to the small runs, and what each loses: `regret` as of the choice."""
    rows = []
    for name in BY_HAND:
        if setting := RECIPES[name](small, LARGE):
            lost = ground_truth(withheld, setting)
            rows.append({"recipe": name, **setting, "regret": lost.regret_surface, "nearest": lost.regret_nearest})
    return pd.DataFrame(rows)


def against(choice: Choice, withheld: pd.DataFrame) -> pd.DataFrame:
    """Choice and predictive intervals beside the measured optimum, one row a quantity.

    The measured optimum is the minimum of a quadratic in logs through the best runs.
    """
    truth = ground_truth(withheld, choice.setting)
    intervals = pd.concat([choice.intervals, choice.loss.to_frame("loss").T])
    rows = []
    for name, interval in intervals.iterrows():
        value = truth.optimum[str(name)]
        rows.append(
            {
                "quantity": name,
                "chosen": choice.setting.get(str(name), interval["median"]),
                "lower": interval["lower"],
                "upper": interval["upper"],
                "measured": value,
                "inside": interval["lower"] <= value <= interval["upper"],
            }
        )
    rows.append(
        {
            "quantity": "regret",
            "chosen": choice.table.loc["recommended", "regret_mean"],
            "lower": 0.0,
            "upper": choice.table.loc["recommended", "regret_q90"],
            "measured": truth.regret_surface,
            "inside": truth.regret_surface <= choice.table.loc["recommended", "regret_q90"],
        }
    )
    return pd.DataFrame(rows)
