"""Loss against learning rate, cell by cell: whether the law describes the runs."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from hyperlaw.data.runs import Runs
from hyperlaw.inference.bands import loss_bands
from hyperlaw.inference.cells import check_cell
from hyperlaw.inference.posterior import Posterior
from hyperlaw.inference.prior_predict import PriorPrediction
from hyperlaw.inference.tree import table_of
from hyperlaw.intervals import present
from hyperlaw.plots.style import AXIS, band, cell_name, legend_below
from hyperlaw.plots.sweep import draw_runs, drawn_runs, looks_of, panels, say_left_out, settle, some_cells


def losses(fit: Posterior | PriorPrediction, *, group: str = "posterior", cells: Sequence[int] | None = None) -> Figure:
    """Draw loss against learning rate, one panel a cell; each batch size has a colour and a marker.

    Points are runs, and crosses at the top are runs that diverged. Lines and bands are the median and the 90 %
    predictive interval of a run's loss where it does not diverge; they exist at the settings of the runs alone and are
    joined between them. They end flat where a loss is read as "at least so bad". The loss axis of a panel ends at 1.2
    times the 80 % quantile of the excess over its lowest value (of runs and bands): how many runs lie above it stands
    over the panel.

    Parameters
    ----------
    fit
        What `hl.fit` returned, or `hl.prior_predict` with group "prior".
    group
        "posterior", or "prior" for what the law expected before it saw a loss.
    cells
        Cells to draw, as in `runs.cells`. Left out: at most six, evenly spaced from the smallest to the largest in
        each of at most three tasks. Of more than six batch sizes in a cell, six evenly spaced ones are drawn.

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
    bands, frame, every = loss_bands(tree, runs, group), runs.frame, runs.cells
    shown = some_cells(every) if cells is None else [check_cell(runs, cell) for cell in cells]
    looks = looks_of(frame, shown)
    figure, axes = panels(len(shown), runs.loss_unit)
    for ax, cell in zip(axes, shown, strict=True):
        own = drawn_runs(frame, cell)
        lines = bands[(bands["cell"] == cell) & bands["batch_size"].isin(own["batch_size"])]
        draw_runs(ax, own, looks)
        for batch, line in lines.groupby("batch_size"):
            colour = looks[batch][0]
            band(ax, line["learning_rate"], line["lower"], line["upper"], colour=colour,
                 label=f"{group} predictive, 90 %")  # fmt: skip
            ax.plot(line["learning_rate"], line["median"], color=colour, lw=1.2)
        values = present(np.concatenate([own["loss"], lines["lower"], lines["upper"]]))
        settle(ax, own, values, name=cell_name(every, cell, runs.scales))
    say_left_out(figure, frame, shown, len(every) if cells is None else len(shown))
    legend_below(figure, columns=6, title=AXIS["batch_size"])
    return figure


def _runs(fit: Posterior | PriorPrediction) -> tuple[Runs, xr.DataTree]:
    """The runs of a fit or of a prior prediction, and its draws."""
    if isinstance(fit, PriorPrediction):
        return cast(Runs, table_of(fit.draws)), fit.draws
    return fit.runs, fit.tree
