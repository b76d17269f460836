"""Best learning rate and batch size against scale: the cells, the law, and the target."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hyperlaw.data.runs import Runs
from hyperlaw.data.vocabulary import HYPERPARAMETERS, At
from hyperlaw.decision.trajectory import cell_optima, law_trajectory, target_optimum
from hyperlaw.inference.posterior import Posterior
from hyperlaw.plots.style import AXIS, BLUE, GREY, ORANGE, SCALE, log_ticks, short

MARKERS = "osD^vP"
# Cells of one scale stand side by side, this share of the axis apart.
BESIDE = 0.018


def optima(fit: Posterior, at: At) -> Figure:
    """Draw how the best learning rate and the best batch size move with scale.

    Points are fitted cells with their 90 % intervals: filled where all but the moving covariate is as at the target,
    open elsewhere, side by side where they share a scale. The band is the law's 90 % predictive interval for a
    new cell, from the smallest runs to the target; the star is the target with that interval.

    Parameters
    ----------
    fit
        A fitted law.
    at
        The target, as for `fit.predict`. The covariate that it extrapolates furthest is the horizontal axis.

    Returns
    -------
    Figure
        Two axes: learning rate and batch size.

    Raises
    ------
    ValueError
        When the target is not what the law needs.
    """
    target = target_optimum(fit, at)
    along, cells = law_trajectory(fit, at), cell_optima(fit)
    moving = along.columns[0]
    groups = _groups(fit.runs, cells, [name for name in fit.law.covariates if name != moving], at)
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    for ax, name in zip(figure.subplots(1, 2), HYPERPARAMETERS, strict=True):
        _law(ax, along, name)
        _cells(ax, cells, groups, moving, name)
        middle, low, high = (target[f"{name}_{which}"] for which in ("median", "lower", "upper"))
        ax.errorbar(at[moving], middle, _reach(middle, low, high), fmt="*", ms=13, color=ORANGE, capsize=3, zorder=4,
                    label="target, 90 %")  # fmt: skip
        ax.set(xscale="log", yscale="log", xlabel=SCALE[moving], ylabel=f"best {AXIS[name]}")
        said = [short(float(f"{value:.3g}")) for value in (middle, low, high)]
        ax.set_title("target: {} (90 %: {} to {})".format(*said), fontsize=10)
        for axis in (ax.xaxis, ax.yaxis):
            log_ticks(axis)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    return figure


def _groups(runs: Runs, cells: pd.DataFrame, others: list[str], at: At) -> list[tuple[str, np.ndarray]]:
    """Cells by their task and other covariates, as (label, booleans): first those like the target, then the others."""

    def name(row: Any) -> str:
        task = [str(row["task"])] if len(runs.tasks) > 1 else []
        return ", ".join(task + [f"{other} {short(row[other])}" for other in others])

    names, own = np.array([name(row) for _, row in cells.iterrows()]), name(at)
    rest = list(dict.fromkeys(names[names != own]))
    if len(rest) >= len(MARKERS):
        names, rest = np.where(names == own, names, "cells unlike the target"), ["cells unlike the target"]
    label = f"cells like the target ({own})" if own else "cells of runs"
    return [(label, names == own), *((other, names == other) for other in rest)]


def _law(ax: Axes, along: pd.DataFrame, name: str) -> None:
    scale = along.columns[0]
    ax.fill_between(along[scale], along[f"{name}_lower"], along[f"{name}_upper"], color=BLUE, alpha=0.2, lw=0,
                    label="law, 90 % for a new cell")  # fmt: skip
    ax.plot(along[scale], along[f"{name}_median"], color=BLUE)


def _cells(ax: Axes, cells: pd.DataFrame, groups: list[tuple[str, np.ndarray]], moving: str, name: str) -> None:
    step = BESIDE * np.log(cells[moving].max() / cells[moving].min())
    for k, (label, here) in enumerate(groups):
        some = cells[here]
        aside = np.exp((-1) ** k * ((k + 1) // 2) * step)
        middle = some[f"{name}_median"]
        reach = _reach(middle, some[f"{name}_lower"], some[f"{name}_upper"])
        if len(some):
            ax.errorbar(some[moving] * aside, middle, reach, fmt=MARKERS[k], ms=5, lw=1, label=label,
                        color=GREY if k else BLUE, mfc="white" if k else BLUE, zorder=2 if k else 3)  # fmt: skip


def _reach(middle: Any, lower: Any, upper: Any) -> np.ndarray:
    """Lengths of error bars, as matplotlib wants them."""
    return np.stack([middle - lower, upper - middle]).reshape(2, -1)
