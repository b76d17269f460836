"""The picture of a sweep: loss against learning rate, cell by cell, as it was measured."""

from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hyperlaw.plots.style import (
    AXIS,
    GREY,
    LABEL,
    SMALL,
    WIDEST,
    cell_name,
    evenly,
    legend_below,
    log_ticks,
    named,
    page,
    sequence,
    short,
)

PANELS, TASKS, BATCHES, COLUMNS = 6, 3, 6, 3


def plot_sweep(frame: pd.DataFrame, *, cells: pd.DataFrame, scales: tuple[str, ...], loss_unit: str) -> Figure:
    """Draw loss against learning rate, one panel a cell; each batch size has a colour and a marker.

    Lines join the means over seeds. Crosses at the top are runs that diverged. A panel ends where `limits` says; how
    many runs lie above stands over it. At most six cells are drawn, evenly spaced from the smallest to the largest in
    each of at most three tasks; of more than six batch sizes in a cell, six. The figure says what is left out.

    Parameters
    ----------
    frame, cells, scales, loss_unit
        As in `Runs`.

    Returns
    -------
    Figure
        One axes a cell.
    """
    shown = some_cells(cells)
    looks = looks_of(frame, shown)
    figure, axes = panels(len(shown), loss_unit)
    for ax, cell in zip(axes, shown, strict=True):
        own = drawn_runs(frame, cell)
        means = own.groupby(["batch_size", "learning_rate"])["loss"].mean()
        for batch, line in means.dropna().groupby(level="batch_size"):
            ax.plot(line.index.get_level_values("learning_rate"), line, color=looks[batch][0], lw=1)
        draw_runs(ax, own, looks)
        settle(ax, own, own["loss"].dropna(), name=cell_name(cells, cell, scales))
    say_left_out(figure, frame, shown, len(cells))
    legend_below(figure, columns=6, title=AXIS["batch_size"])
    return figure


def panels(count: int, loss_unit: str) -> tuple[Figure, np.ndarray]:
    """A figure with so many axes, three in a row."""
    rows, columns = -(-count // COLUMNS), min(count, COLUMNS)
    figure, axes = page(rows, columns, height=1.2 + 2.1 * rows)
    for ax in axes.flat[count:]:
        ax.remove()
    for ax in axes[:, 0]:
        ax.set_ylabel(f"loss ({named(loss_unit)})")
    return figure, axes.flat[:count]


def some_cells(cells: pd.DataFrame) -> list[int]:
    """Cells to draw when none are named."""
    tasks = evenly(sorted(cells["task"].unique()), TASKS)
    return [cell for task in tasks for cell in evenly(cells.index[cells["task"] == task], PANELS // len(tasks))]


def drawn_runs(frame: pd.DataFrame, cell: int) -> pd.DataFrame:
    """Runs of a cell at the batch sizes that are drawn."""
    own = frame[frame["cell"] == cell]
    return own[own["batch_size"].isin(evenly(np.unique(own["batch_size"]), BATCHES))]


def say_left_out(figure: Figure, frame: pd.DataFrame, shown: list[int], every: int) -> None:
    """Say over a figure how many of all cells, and of a cell's batch sizes, it shows, where it does not show all."""
    sizes = int(frame[frame["cell"].isin(shown)].groupby("cell")["batch_size"].nunique().max())
    said = [f"{len(shown)} of {every} cells"] if len(shown) < every else []
    said += [f"{BATCHES} batch sizes of up to {sizes} in each"] if sizes > BATCHES else []
    if said:
        figure.suptitle("; ".join(said), fontsize=LABEL)


def looks_of(frame: pd.DataFrame, cells: list[int]) -> dict[Any, tuple[str, str]]:
    """Colour and marker of every batch size that is drawn in some cells."""
    return sequence(sorted({batch for cell in cells for batch in drawn_runs(frame, cell)["batch_size"]}))


def draw_runs(ax: Axes, runs: pd.DataFrame, looks: dict[Any, tuple[str, str]]) -> None:
    """Runs of one cell: points, and crosses at the top for those that diverged."""
    for k, (batch, own) in enumerate(runs.groupby("batch_size")):
        colour, marker = looks[batch]
        lost = own.loc[own["diverged"], "learning_rate"]
        ax.plot(own["learning_rate"], own["loss"], marker, color=colour, ms=4, mec="white", mew=0.4, zorder=3,
                label=short(batch))  # fmt: skip
        # Batch sizes one below the other, so that no cross hides another.
        ax.plot(lost, np.full(len(lost), 0.97 - 0.045 * k), "x", color=colour, ms=5, mew=1.4, zorder=4,
                transform=ax.get_xaxis_transform())  # fmt: skip
    ax.plot([], [], "x", color=GREY, ms=5, mew=1.4, label="diverged")


def limits(values: pd.Series | np.ndarray) -> tuple[float, float]:
    """Ends of a loss axis: 1.2 times the 80 % quantile of the excess over the lowest value, and a little below that."""
    lowest = float(np.min(values))
    height = 1.2 * float(np.quantile(np.asarray(values) - lowest, 0.8))
    return lowest - 0.05 * height, lowest + height


def settle(ax: Axes, runs: pd.DataFrame, values: pd.Series | np.ndarray, *, name: str) -> None:
    """Axes and title of one cell, once all is drawn."""
    low, high = limits(values)
    ax.set(xscale="log", xlabel=AXIS["learning_rate"], ylim=(low, high))
    log_ticks(ax.xaxis)
    said = f"{len(runs)} runs: {int((runs['loss'] > high).sum())} above, {runs['diverged'].sum()} diverged"
    # Broken between scales, not within one.
    lines = fill(name.replace(" ", "\xa0").replace(",\xa0", ", "), WIDEST, break_long_words=False).replace("\xa0", " ")
    ax.set_title(f"{lines}\n{said}", fontsize=SMALL - 1)
