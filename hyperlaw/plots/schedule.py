"""The picture of a schedule: the batch size along a run, and the learning rate that goes with it."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hyperlaw.plots.style import AXIS, BLUE, GREY, ORANGE, SCALE, legend_below, log_ticks, page, reach
from hyperlaw.quote import quote

BEYOND = 10.0


def plot_schedule(table: pd.DataFrame, *, along: str, end: float) -> Figure:
    """Draw a schedule of the batch size along training.

    Orange steps: the batch size, doubled at the median of where the critical batch size reaches it. Blue bars: the
    90 % interval of where it does, cut at the ends of the axis. Below, for laws of the learning rate:
    the best one at each batch size, with its 90 % interval.

    Parameters
    ----------
    table
        `Schedule.table`.
    along
        What moves along training: "data", or "loss".
    end
        Its value at the end of the run.

    Returns
    -------
    Figure
        One axes, or two.

    Raises
    ------
    ValueError
        When `along` is neither.
    """
    if along not in ("data", "loss"):
        raise ValueError(f"along must be 'data' or 'loss', received {quote(along)}.")
    rates = "learning_rate_median" in table
    figure, axes = page(
        2 if rates else 1, height=4.8 if rates else 3.4, sharex=True, ratios=[1.6, 1] if rates else None
    )
    start = _start(table, along)
    edges = np.concatenate([[start], table["median"].to_numpy()[1:], [end]])
    _steps(axes[0, 0], table, edges)
    if rates:
        _rates(axes[1, 0], table, edges)
    for ax in axes[:, 0]:
        ax.axvline(end, color=GREY, ls=":", label="end of the run")
    bottom = axes[-1, 0]
    limits = sorted([start, end * (1.15 if along == "data" else 0.97)])
    bottom.set(xscale="log", xlim=limits, xlabel=SCALE["data"] if along == "data" else "loss reached (nats)")
    log_ticks(bottom.xaxis)
    if along == "loss":
        bottom.invert_xaxis()
    legend_below(figure, columns=2)
    return figure


def _start(table: pd.DataFrame, along: str) -> float:
    """Where the axis begins: a little before the first batch size is reached."""
    first = float(table["median"].iloc[0])
    return 0.3 * first if along == "data" else 1.1 * first


def _steps(ax: Axes, table: pd.DataFrame, edges: np.ndarray) -> None:
    size = table["batch_size"]
    ax.stairs(size, edges, baseline=None, color=ORANGE, lw=2, label="batch size")
    ends = edges.min() / BEYOND, edges.max() * BEYOND  # of the bars, where what is reached is zero or infinite
    lower, upper = (table[end].clip(*ends) for end in ("lower", "upper"))
    ax.errorbar(table["median"], size, xerr=reach(table["median"], lower, upper), fmt="o", ms=4.5, lw=1.2,
                color=BLUE, label="critical batch size reaches it, 90 %")  # fmt: skip
    ax.set(yscale="log", ylabel=AXIS["batch_size"], ylim=(size.min() / 1.5, size.max() * 1.5))
    log_ticks(ax.yaxis)


def _rates(ax: Axes, table: pd.DataFrame, edges: np.ndarray) -> None:
    columns = [table[f"learning_rate_{end}"] for end in ("median", "lower", "upper")]
    ax.stairs(columns[0], edges, baseline=None, color=ORANGE, lw=2)
    ax.errorbar(table["median"], columns[0], reach(*columns), fmt="s", ms=4.5, lw=1.2, color=BLUE, mfc="white",
                label="best learning rate there, 90 %")  # fmt: skip
    ax.set(yscale="log", ylabel=f"best {AXIS['learning_rate']}")
    log_ticks(ax.yaxis)
