"""Measured values against a law's first covariate: the rows, the law, and how sure it is beyond them."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hyperlaw.inference.bands import moving, others, value_bands
from hyperlaw.inference.posterior import Posterior
from hyperlaw.intervals import Z90
from hyperlaw.plots.style import (
    BLUE,
    LABEL,
    MARKERS,
    NAMES,
    band,
    evenly,
    left_out,
    legend_below,
    log_ticks,
    named,
    page,
    sequence,
    short,
)

# What is measured, where its name says something else as a covariate.
QUANTITIES = NAMES | {"data": "environment steps\nto the performance", "utd": "best updates\nper environment step"}
COLUMNS, PANELS = 2, 6


def values(fit: Posterior) -> Figure:
    """Draw every measured value with its 90 % interval, and the law's 90 % predictive band for a new cell.

    One panel a task and quantity, at most six; lines of one panel are other covariates, such as the threshold, each
    with a colour and a marker. Triangles are one-sided values: the truth lies beyond. The band goes a factor of four
    beyond the rows.

    Parameters
    ----------
    fit
        A fit of `Optima`, `Crossings`, `StepsToLoss` or `NoiseMeasurements`.

    Returns
    -------
    Figure
        One axes a task and quantity.

    Raises
    ------
    TypeError
        When the fit is of `Runs`: `hl.plots.losses`, `surface` and `optima` show those.
    """
    bands, long = value_bands(fit), fit.table.points()
    quantities = list(bands["quantity"].unique())
    tasks = evenly(fit.table.tasks, PANELS // len(quantities))
    panels = [(quantity, task) for task in tasks for quantity in quantities]
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = page(rows, columns, height=1.0 + 2.3 * rows)
    groups = list(dict.fromkeys(bands[others(fit)].itertuples(index=False, name=None)))
    looks = sequence(sorted(groups)) if others(fit) else {(): (BLUE, MARKERS[0])}
    for ax, (quantity, task) in zip(axes.flat, panels, strict=False):
        own = (table[table["quantity"] == quantity] for table in (bands, long))
        _lines(ax, fit, *own, task=task, looks=looks)
        ax.set(xscale="log", yscale="log", xlabel=NAMES.get(moving(fit.law), moving(fit.law)))
        ax.set_ylabel(QUANTITIES.get(quantity, quantity))
        ax.set_title(named(task) if len(fit.table.tasks) > 1 else "", fontsize=LABEL)
        for axis in (ax.xaxis, ax.yaxis):
            log_ticks(axis)
    for ax in axes.flat[len(panels) :]:
        ax.remove()
    left_out(figure, len(tasks), len(fit.table.tasks), "tasks")
    legend_below(figure, columns=3)
    return figure


def _lines(
    ax: Axes,
    fit: Posterior,
    bands: pd.DataFrame,
    long: pd.DataFrame,
    *,
    task: str,
    looks: dict[tuple, tuple[str, str]],
) -> None:
    name, rest, frame = moving(fit.law), others(fit), fit.table.frame
    for group, (colour, marker) in looks.items():
        line, here = bands[bands["task"] == task], (frame["task"] == task).to_numpy()
        for column, value in zip(rest, group, strict=True):
            line, here = line[line[column] == value], here & (frame[column] == value).to_numpy()
        band(ax, line[name], line["lower"], line["upper"], colour=colour, label="law, 90 % for a new cell")
        ax.plot(line[name], line["median"], color=colour, lw=1.2)
        own = long[long["row"].isin(np.flatnonzero(here))]
        _rows(ax, frame[name].to_numpy()[own["row"]], own, colour=colour, marker=marker, label=_label(rest, group))


def _rows(ax: Axes, x: np.ndarray, rows: pd.DataFrame, *, colour: str, marker: str, label: str) -> None:
    value, reach = rows["value"].to_numpy(), np.exp(Z90 * rows["error"].to_numpy())
    below, above = value <= rows["low"].to_numpy(), value >= rows["high"].to_numpy()
    plain = ~below & ~above
    lengths = [(value - value / reach)[plain], (value * reach - value)[plain]]
    ax.errorbar(x[plain], value[plain], lengths, fmt=marker, ms=4, lw=0.9, color=colour, zorder=3, label=label)
    for side, shape in ((below, "v"), (above, "^")):
        if side.any():
            ax.plot(x[side], value[side], shape, ms=6, mfc="white", ls="", color=colour, zorder=3,
                    label="one-sided: the truth lies beyond")  # fmt: skip


def _label(rest: list[str], group: tuple) -> str:
    said = (f"{n} {named(v) if isinstance(v, str) else short(float(v))}" for n, v in zip(rest, group, strict=True))
    return ", ".join(said) or "measured, 90 %"
