"""Residuals: on which side of the best setting, or along which covariate, rows differ from what the fit says."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hyperlaw.diagnostics.residuals import value_residuals
from hyperlaw.diagnostics.sweep_checks import ranks_by_side
from hyperlaw.inference.cells import fitted_cells
from hyperlaw.inference.posterior import Posterior
from hyperlaw.plots.style import (
    BLUE,
    GREY,
    LABEL,
    NAMES,
    ORANGE,
    apart,
    left_out,
    legend_below,
    log_ticks,
    named,
    page,
)

COLUMNS, PANELS, TASKS = 3, 6, 6
PLACES = {"near": ("run near the lowest loss of its cell", BLUE, "o"), "far": ("run far from it", ORANGE, "^")}


def residuals(fit: Posterior) -> Figure:
    """Draw how the rows that were fitted differ from what the fit says of them.

    Of runs: the share of the posterior predictive losses below the measured one, against how far its learning rate lies
    from the best of its cell. Large marks are the means of the runs near to and far from the lowest loss, below and
    above the best learning rate, with two standard errors: where all of that reaches past one half, the bowl of the
    law is too flat or too steep there. Runs beyond the window are left out.

    Of measured values: each over its predictive median, against every covariate (at most six panels). Rings are values
    outside their 90 % predictive interval, triangles are one-sided values. A trend along a covariate is what the law
    does not describe.

    Parameters
    ----------
    fit
        A fitted law.

    Returns
    -------
    Figure
        One axes; of measured values one a quantity and covariate.
    """
    return _of_runs(fit) if fit.likelihood.prices_settings else _of_values(fit)


def _of_runs(fit: Posterior) -> Figure:
    ranks, means = ranks_by_side(fit, fitted_cells(fit))
    figure, axes = page(height=4.0)
    ax = axes[0, 0]
    for where, (said, colour, marker) in PLACES.items():
        some, mean = ranks[ranks["where"] == where], means[means["where"] == where]
        ax.plot(np.exp(some["distance"]), some["rank"], marker, ms=3.5, color=colour, alpha=0.4, mew=0, label=said)
        ax.errorbar(np.exp(mean["distance"]), mean["rank"], 2 * mean["error"], fmt=marker, ms=9, lw=2, capsize=4,
                    color=colour, mec="black", ecolor="black", label="means, two standard errors",
                    zorder=4)  # fmt: skip
    ax.axhline(0.5, color=GREY, lw=1, ls="--")
    ax.axvline(1, color=GREY, lw=1, ls="--")
    ax.set(xscale="log", ylim=(-0.02, 1.02), xlabel="learning rate / best learning rate of its cell at its batch size",
           ylabel="share of predicted losses\nbelow the measured one")  # fmt: skip
    log_ticks(ax.xaxis)
    legend_below(figure, columns=2)
    return figure


def _of_values(fit: Posterior) -> Figure:
    rows, tasks = value_residuals(fit), fit.table.tasks
    names = [name for name in fit.likelihood.needs_at(fit.table) if rows[name].nunique() > 1]
    every = [(quantity, name) for quantity in rows["quantity"].unique() for name in names]
    panels = every[:PANELS]
    columns = min(COLUMNS, len(panels))
    height = -(-len(panels) // columns)
    figure, axes = page(height, columns, height=1.0 + 2.3 * height)
    looks = apart(list(tasks)) if len(tasks) <= TASKS else dict.fromkeys(tasks, (BLUE, "o"))
    for ax, (quantity, name) in zip(axes.flat, panels, strict=False):
        for task, (colour, marker) in looks.items():
            own = rows[(rows["quantity"] == quantity) & (rows["task"] == task)]
            _points(
                ax, own, name, colour=colour, marker=marker, label=named(task) if len(tasks) <= TASKS else "all tasks"
            )
        ax.axhline(1, color=GREY, lw=1, ls="--")
        ax.set(yscale="log", xlabel=NAMES.get(name, name), ylabel="measured / predicted")
        ax.set_title(NAMES.get(quantity, quantity) if len(every) > len(names) else "", fontsize=LABEL)
        if name not in (*fit.law.linear, *fit.law.labels):
            ax.set_xscale("log")
            log_ticks(ax.xaxis)
        log_ticks(ax.yaxis)
    for ax in axes.flat[len(panels) :]:
        ax.remove()
    left_out(figure, len(panels), len(every), "pairs of a quantity and a covariate")
    legend_below(figure, columns=3)
    return figure


def _points(ax: Axes, rows: pd.DataFrame, name: str, *, colour: str, marker: str, label: str) -> None:
    for limit, shape in ((0, marker), (1, "^"), (-1, "v")):
        some = rows[rows["limit"] == limit]
        if len(some):
            ax.plot(some[name], some["ratio"], shape, ms=4.5, color=colour, mfc="white" if limit else colour, ls="",
                    label="one-sided: the truth lies beyond" if limit else label)  # fmt: skip
    out = rows[~rows["inside"]]
    if len(out):
        ax.plot(out[name], out["ratio"], "o", ms=9, mfc="none", color="black", label="outside its 90 % interval")
