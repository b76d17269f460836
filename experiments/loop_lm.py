"""The closed loop of the language model: learning rate and batch size at 8 times the data, for two optimizers."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import hyperlaw as hl
from experiments.lm.designs import lm_optimizers
from experiments.page import markdown
from hyperlaw.data.vocabulary import HYPERPARAMETERS
from hyperlaw.diagnostics.baselines.settings import RECIPES
from hyperlaw.diagnostics.ground_truth import ground_truth
from hyperlaw.plots.style import log_ticks

SWEEP = "lm_optimizers"
SMALL = 2**19
PARAMS = 98304
TARGETS = [(task, data) for task in ("adamw", "sgd") for data in (2**21, 2**22)]


def freeze() -> dict[str, Any]:
    """Choices, intervals and recipes for each target, from runs of at most 2^19 bytes.

    Only the settings of the large runs are used, which are fixed before any is run: none of their losses.
    """
    runs = hl.load_sweep(SWEEP)
    small = runs.where(runs.frame["data"] <= SMALL)
    fit = hl.fit(hl.laws.StepLaw(), small, seed=0)
    checks = fit.check()
    failed = "published whatever the checks say; the page lists those that failed"
    questions = []
    for task, data in TARGETS:
        at = {"params": PARAMS, "data": data, "task": task}
        choice = hl.decide(fit, at=at, risk=hl.CVaR(0.9), despite=None if checks.ok else failed)
        own = small.where(small.frame["task"] == task)
        settings = _settings(task)
        losses = fit.predict(at, {name: settings[name].to_numpy() for name in HYPERPARAMETERS}).draws["loss"]
        low, high = losses.quantile([0.05, 0.95], ("chain", "draw")).values
        questions.append(
            {
                "task": task,
                "data": data,
                "setting": choice.setting,
                "intervals": pd.concat([choice.intervals, choice.loss.to_frame("loss").T]).to_dict("index"),
                "regret_mean": choice.table.loc["recommended", "regret_mean"],
                "regret_q90": choice.table.loc["recommended", "regret_q90"],
                "recipes": {
                    name: recipe(own, {"params": PARAMS, "data": data, "width": 64}) for name, recipe in RECIPES.items()
                },
                "runs": settings.assign(lower=low, upper=high).to_dict("list"),
            }
        )
    return {
        "law": fit.law.name,
        "rows": len(small),
        "digest": small.digest,
        "failed": checks.failed,
        "review": checks.table.loc[checks.table["status"] == "REVIEW", "check"].tolist(),
        "questions": questions,
    }


def score(frozen: dict[str, Any], folder: Path) -> str:
    """Markdown: each choice and interval beside the large runs; a picture of them into `folder`."""
    runs = hl.load_sweep(SWEEP).frame
    large = dict(list(runs[runs["data"] > SMALL].groupby(["task", "data"])))
    run = [question for question in frozen["questions"] if (question["task"], question["data"]) in large]
    if not run:
        raise ValueError(f"{SWEEP} holds no run of more than 2^19 bytes: go on with `make sweep-optimizers`.")
    left = len(frozen["questions"]) - len(run)
    waiting = f" {left} of {len(frozen['questions'])} frozen choices still wait for their large runs." if left else ""
    held, lost = [], []
    figure, axes = plt.subplots(2, 2, figsize=(11, 8))
    for question, ax in zip(run, axes.flat, strict=False):
        cell = large[question["task"], question["data"]]
        place = {"optimizer": question["task"], "data": f"{question['data']:.3g}"}
        truth = ground_truth(cell, question["setting"])
        for name, interval in question["intervals"].items():
            value = truth.optimum[name]
            inside = interval["lower"] <= value <= interval["upper"]
            held.append(
                place
                | {"quantity": name}
                | {side: f"{interval[side]:.4g}" for side in ("lower", "median", "upper")}
                | {"measured": f"{value:.4g}", "inside": "yes" if inside else "no"}
            )
        held.append(place | _covered_runs(question, cell))
        expected = f"{1e3 * question['regret_mean']:.1f} (up to {1e3 * question['regret_q90']:.1f})"
        lost.append(place | {"method": frozen["law"], "expected": expected} | _lost(cell, question["setting"]))
        lost += [
            place | {"method": name, "expected": ""} | _lost(cell, setting)
            for name, setting in question["recipes"].items()
            if setting is not None
        ]
        _draw(ax, question, cell)
    figure.tight_layout()
    figure.savefig(folder / "lm.png", dpi=110)
    plt.close(figure)
    failed = ", ".join(frozen["failed"]) or "none"
    review = ", ".join(frozen["review"]) or "none"
    return (
        f"`{SWEEP}`: {frozen['law']} fitted to {frozen['rows']} runs of at most 2^19 bytes (digest "
        f"{frozen['digest'][:12]}), both optimizers in one fit. Failed checks: {failed}. To review: {review}."
        f"{waiting}\n\n"
        "What was lost (1e-3 nats), on a smooth surface through the best of the large runs, and by the nearest setting "
        f"really run:\n\n{markdown(lost)}\n\n"
        f"What the intervals held (90 %):\n\n{markdown(held)}\n\n"
        "![Large runs, the choice and its intervals](closed-loop/lm.png)\n"
    )


def _settings(task: str) -> pd.DataFrame:
    """Settings of the large runs of one optimizer, as the design has them."""
    return pd.DataFrame(
        [
            {"learning_rate": rate, "batch_size": float(group.batch_size)}
            for group in lm_optimizers()
            if group.scale == "large" and group.optimizer == task
            for rate in group.learning_rates
        ]
    )


def _lost(cell: pd.DataFrame, setting: dict[str, float]) -> dict[str, str]:
    truth = ground_truth(cell, setting)
    return {name: f"{setting[name]:.3g}" for name in HYPERPARAMETERS} | {
        "regret": f"{1e3 * truth.regret_surface:.1f}",
        "of the nearest": f"{1e3 * truth.regret_nearest:.1f}",
    }


def _covered_runs(question: dict[str, Any], cell: pd.DataFrame) -> dict[str, str]:
    """How many of the large runs that did not diverge lie in their own 90 % predictive interval."""
    said = pd.DataFrame(question["runs"])
    both = cell[~cell["diverged"]].merge(said, on=list(HYPERPARAMETERS))
    inside = both["loss"].between(both["lower"], both["upper"])
    return {"quantity": "losses of runs", "measured": f"{len(both)} runs", "inside": f"{inside.sum()} of {len(both)}"}


def _draw(ax: plt.Axes, question: dict[str, Any], cell: pd.DataFrame) -> None:
    """Loss over learning rate by batch size, the choice and its intervals."""
    for batch, rows in cell[~cell["diverged"]].groupby("batch_size"):
        mean = rows.groupby("learning_rate")["loss"].mean()
        ax.plot(mean.index, mean, "o-", ms=3, lw=1, label=f"{batch:.0f}")
    rate, loss = question["intervals"]["learning_rate"], question["intervals"]["loss"]
    ax.axvspan(rate["lower"], rate["upper"], color="0.9", zorder=0)
    ax.axhspan(loss["lower"], loss["upper"], color="0.8", alpha=0.5, zorder=0)
    ax.axvline(question["setting"]["learning_rate"], color="k", ls="--", lw=1)
    best = np.nanmin(cell["loss"])
    ax.set(xscale="log", title=f"{question['task']}, 2^{np.log2(question['data']):.0f} bytes", xlabel="learning rate")
    ax.set(ylabel="loss (nats)", ylim=(min(loss["lower"], best) - 0.02, best + 0.25))
    log_ticks(ax.xaxis)
    ax.legend(title=f"batch (chosen {question['setting']['batch_size']:.0f})", fontsize=7, title_fontsize=7)
