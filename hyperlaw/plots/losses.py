"""Loss against learning rate, cell by cell: whether the law describes the runs."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hyperlaw.data.runs import Runs
from hyperlaw.inference.bands import loss_bands
from hyperlaw.inference.cells import check_cell
from hyperlaw.inference.posterior import Posterior
from hyperlaw.inference.prior_predict import PriorPrediction
from hyperlaw.inference.tree import table_of
from hyperlaw.plots.style import AXIS, GREY, SEQUENTIAL, cell_name, log_ticks, short

PANELS, TASKS, BATCHES, COLUMNS = 6, 3, 4, 3


def losses(fit: Posterior | PriorPrediction, group: str = "posterior", cells: Sequence[int] | None = None) -> Figure:
    """Draw loss against learning rate, one panel a cell and one colour a batch size.

    Points are runs, and crosses at the top are runs that diverged. Lines and bands are the median and the 90 %
    predictive interval of a run's loss where it does not diverge; they exist at the settings of the runs alone and are
    joined between them. The loss axis of a panel ends at 1.2 times the 80 % quantile of the excess over its lowest
    value (of runs and bands): how many runs lie above it stands over the panel.

    Parameters
    ----------
    fit
        What `hl.fit` returned, or `hl.prior_predict` with group "prior".
    group
        "posterior", or "prior" for what the law expected before it saw a loss.
    cells
        Cells to draw, as in `runs.cells`. Left out: at most six, evenly spaced from the smallest to the largest in
        each of at most three tasks. Of more than four batch sizes in a cell, four evenly spaced ones are drawn.

    Returns
    -------
    Figure
        One axes a cell.

    Raises
    ------
    ValueError
        When there is no such group, no such cell, or `cells` is empty.
    """
    if cells is not None and not len(cells):
        raise ValueError("cells must name at least one cell of runs.cells, received none.")
    runs, tree = _runs(fit)
    bands = loss_bands(tree, runs, group)
    shown = _some(runs) if cells is None else [check_cell(runs, cell) for cell in cells]
    batches = {cell: _evenly(np.unique(bands.loc[bands["cell"] == cell, "batch_size"]), BATCHES) for cell in shown}
    drawn = sorted({batch for of_cell in batches.values() for batch in of_cell})
    colour = dict(zip(drawn, SEQUENTIAL(np.linspace(0, 1, len(drawn))), strict=True))

    rows = -(-len(shown) // COLUMNS)
    figure = Figure(figsize=(10, 0.8 + 2.8 * rows), layout="constrained")
    panels = figure.subplots(rows, min(len(shown), COLUMNS), squeeze=False)
    for ax, cell in zip(panels.flat, shown, strict=False):
        frame, band = (t[(t["cell"] == cell) & t["batch_size"].isin(batches[cell])] for t in (runs.frame, bands))
        above = _panel(ax, frame, band, colour)
        said = f"{len(frame)} runs: {above} above the axis, {frame['diverged'].sum()} diverged"
        ax.set_title(f"{cell_name(runs, cell)}\n{said}", fontsize=9)
    for ax in panels.flat[len(shown) :]:
        ax.remove()
    for ax in panels[:, 0]:
        ax.set_ylabel(f"loss ({runs.loss_unit})")
    _legend(figure, colour, group)
    return figure


def _runs(fit: Posterior | PriorPrediction) -> tuple[Runs, xr.DataTree]:
    """The runs of a fit or of a prior prediction, and its draws."""
    if isinstance(fit, PriorPrediction):
        return cast(Runs, table_of(fit.draws)), fit.draws
    return fit.runs, fit.tree


def _some(runs: Runs) -> list[int]:
    """Cells to draw when none are named."""
    cells, tasks = runs.cells, _evenly(runs.tasks, TASKS)
    return [cell for task in tasks for cell in _evenly(cells.index[cells["task"] == task], PANELS // len(tasks))]


def _evenly(values: Sequence | np.ndarray, most: int) -> list:
    """At most so many of the values, evenly spaced in their order, the first and the last among them."""
    places = np.linspace(0, len(values) - 1, min(len(values), most)).round().astype(int)
    return [values[i] for i in places]


def _panel(ax: Axes, frame: pd.DataFrame, bands: pd.DataFrame, colour: dict[float, np.ndarray]) -> int:
    """Draw the runs and bands of one cell; returns how many runs lie above the axis."""
    for k, (batch, band) in enumerate(bands.groupby("batch_size")):
        of_batch = frame[frame["batch_size"] == batch]
        lost = of_batch.loc[of_batch["diverged"], "learning_rate"]
        for edges, width in ((["lower", "upper"], 0.4), (["median"], 1.2)):
            ax.plot(band["learning_rate"], band[edges], color=colour[batch], lw=width)
        ax.fill_between(band["learning_rate"], band["lower"], band["upper"], color=colour[batch], alpha=0.18, lw=0)
        ax.plot(of_batch["learning_rate"], of_batch["loss"], "o", color=colour[batch], ms=3.5, mec="white", mew=0.4)
        # Batch sizes one below the other, so that no cross hides another.
        ax.plot(lost, np.full(len(lost), 0.97 - 0.045 * k), "x", color=colour[batch], ms=5, mew=1.4, zorder=4,
                transform=ax.get_xaxis_transform(), label="diverged")  # fmt: skip
    values = np.concatenate([frame["loss"].dropna(), bands["lower"], bands["upper"]])
    lowest = values.min()
    height = 1.2 * np.quantile(values - lowest, 0.8)
    ax.set(xscale="log", xlabel=AXIS["learning_rate"], ylim=(lowest - 0.05 * height, lowest + height))
    log_ticks(ax.xaxis)
    return int((frame["loss"] > lowest + height).sum())


def _legend(figure: Figure, colour: dict[float, np.ndarray], group: str) -> None:
    sizes = [Line2D([], [], color=c, marker="o", ms=4, label=short(batch)) for batch, c in colour.items()]
    marks = [
        Patch(color=GREY, alpha=0.3, lw=0, label=f"{group} predictive: median and 90 %"),
        Line2D([], [], color=GREY, marker="x", ls="", label="diverged"),
    ]
    figure.legend(handles=sizes + marks, loc="outside lower center", ncols=7, fontsize=9, frameon=False,
                  title=AXIS["batch_size"])  # fmt: skip
