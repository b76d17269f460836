"""Measured values against a law's first covariate: the rows, the law, and how sure it is beyond them."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hyperlaw.inference.bands import moving, others, value_bands
from hyperlaw.inference.posterior import Posterior
from hyperlaw.plots.style import AXIS, BLUE, CHAINS, SCALE, log_ticks, short

NAMES = AXIS | SCALE | {
    "steps": "steps to the target loss", "improvement": "improvement by one step (nats)",
    "data": "environment steps to the performance", "budget": "budget (FLOPs)",
}  # fmt: skip
COLUMNS = 3
PANEL = (3.9, 3.2)


def values(fit: Posterior) -> Figure:
    """Draw every measured value with its 90 % interval, and the law's 90 % predictive band for a new cell.

    One panel a task (and quantity); lines of one panel are other covariates, such as the threshold. Triangles are
    one-sided values: the truth lies beyond. The band goes a factor of four beyond the rows.

    Parameters
    ----------
    fit
        A fit of `Optima`, `Crossings` or `StepsToLoss`.

    Raises
    ------
    TypeError
        When the fit is of `Runs`: `hl.plots.losses`, `surface` and `optima` show those.
    """
    bands, long = value_bands(fit), fit.table.points()
    panels = [(q, task) for q in bands["quantity"].unique() for task in fit.table.tasks]
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(PANEL[0] * columns, PANEL[1] * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, (quantity, task) in zip(axes, panels, strict=False):
        lines = bands[(bands["quantity"] == quantity) & (bands["task"] == task)]
        _lines(ax, fit, lines, long[long["quantity"] == quantity], task)
        ax.set(xscale="log", yscale="log", title=task if len(fit.table.tasks) > 1 else "")
        ax.set_xlabel(NAMES.get(moving(fit.law), moving(fit.law)))
        ax.set_ylabel(NAMES.get(quantity, quantity) if quantity != "utd" else "best updates per environment step")
        for axis in (ax.xaxis, ax.yaxis):
            log_ticks(axis)
    for ax in axes[len(panels) :]:
        ax.remove()
    return figure


def _lines(ax: Axes, fit: Posterior, bands: pd.DataFrame, long: pd.DataFrame, task: str) -> None:
    name, rest = moving(fit.law), others(fit)
    frame = fit.table.frame
    groups = [(None, bands)] if not rest else list(bands.groupby(rest, sort=True))
    for color, (group, line) in zip(CHAINS if rest else [BLUE], groups, strict=False):
        ax.fill_between(line[name], line["lower"], line["upper"], color=color, alpha=0.15, lw=0)
        ax.plot(line[name], line["median"], color=color, lw=1.2, label=_label(rest, group))
        here = frame["task"] == task
        for column, value in zip(rest, group if group is not None else (), strict=True):
            here &= frame[column] == value
        own = long[long["row"].isin(np.flatnonzero(here))]
        _rows(ax, frame[name].to_numpy()[own["row"]], own, color)
    if rest:
        ax.legend(fontsize=7, frameon=False)


def _rows(ax: Axes, x: np.ndarray, rows: pd.DataFrame, color: str) -> None:
    value, reach = rows["value"].to_numpy(), np.exp(1.645 * rows["error"].to_numpy())
    below, above = value <= rows["low"].to_numpy(), value >= rows["high"].to_numpy()
    plain = ~below & ~above
    lengths = [(value - value / reach)[plain], (value * reach - value)[plain]]
    ax.errorbar(x[plain], value[plain], lengths, fmt="o", ms=3.5, lw=0.9, color=color, zorder=3)
    ax.plot(x[below], value[below], "v", ms=6, mfc="white", color=color, zorder=3)
    ax.plot(x[above], value[above], "^", ms=6, mfc="white", color=color, zorder=3)


def _label(rest: list[str], group: tuple | None) -> str | None:
    if group is None:
        return None
    return ", ".join(f"{n} {v if isinstance(v, str) else short(float(v))}" for n, v in zip(rest, group, strict=True))
