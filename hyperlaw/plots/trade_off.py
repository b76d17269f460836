"""The picture of a trade-off: time against compute over the batch size, and what each costs above the least price."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from hyperlaw.plots.style import (
    AXIS,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SMALL,
    band,
    legend_below,
    log_ticks,
    named,
    page,
    short,
)

# Of the excess price: what lies far above the least is not what is chosen among.
HIGHEST = 2.0


def plot_trade_off(curves: pd.DataFrame, *, chosen: float, risk: str, intervals: pd.DataFrame) -> Figure:
    """Draw a trade-off of time and compute.

    Left: steps, one after the other, against examples; every point of the line is a batch size, and the band is the
    90 % interval of where it lies (it runs along the ray of that batch size). Right: what a batch size costs above the
    least price, with its 90 % interval and its risk; bars are the 90 % intervals of the critical batch size and of the
    cheapest.

    Parameters
    ----------
    curves
        `TradeOff.curves`.
    chosen
        The batch size that was chosen, data points.
    risk
        The attitude to risk, in words.
    intervals
        `TradeOff.intervals`.

    Returns
    -------
    Figure
        Two axes.
    """
    figure, axes = page(1, 2, height=3.7)
    _pareto(axes[0, 0], curves, chosen)
    _price(axes[0, 1], curves, chosen, risk)
    for place, (name, colour) in enumerate({"critical_batch_size": GREEN, "cheapest_batch_size": GREY}.items()):
        low, middle, high = intervals.loc[name, ["lower", "median", "upper"]]
        y = [0.03 + 0.05 * place] * 2
        across = axes[0, 1].get_xaxis_transform()
        axes[0, 1].plot([low, high], y, color=colour, lw=3, transform=across, label=f"{name.replace('_', ' ')}, 90 %")
        axes[0, 1].plot(middle, y[0], "|", color="black", ms=7, transform=across)
    legend_below(figure, columns=3)
    return figure


def _pareto(ax: Axes, curves: pd.DataFrame, chosen: float) -> None:
    low, high = curves[["steps_lower", "examples_lower"]], curves[["steps_upper", "examples_upper"]][::-1]
    ax.fill(*np.concatenate([low.to_numpy(), high.to_numpy()]).T, color=BLUE, alpha=0.2, lw=0, label="law, 90 %")
    ax.plot(curves["steps_median"], curves["examples_median"], color=BLUE)
    at = curves.iloc[np.abs(np.log(curves["batch_size"] / chosen)).argmin()]
    ax.plot(at["steps_median"], at["examples_median"], "*", color=ORANGE, ms=14, mec="white", label="chosen", zorder=4)
    ax.set(xscale="log", yscale="log", xlabel="time (steps)", ylabel="compute (examples, data points)")
    ax.margins(0.15)
    for place in np.linspace(0, len(curves) - 1, 5).astype(int):
        row = curves.iloc[place]
        ax.plot(row["steps_median"], row["examples_median"], "o", color=BLUE, ms=4)
        ax.annotate(f"batch {short(row['batch_size'])}", (row["steps_median"], row["examples_median"]),
                    xytext=(5, 4), textcoords="offset points", fontsize=SMALL)  # fmt: skip
    for axis in (ax.xaxis, ax.yaxis):
        log_ticks(axis)


def _price(ax: Axes, curves: pd.DataFrame, chosen: float, risk: str) -> None:
    size = curves["batch_size"]
    band(ax, size, curves["excess_lower"], curves["excess_upper"], colour=BLUE, label="law, 90 %")
    ax.plot(size, curves["excess_median"], color=BLUE)
    ax.plot(size, curves["risk"], "-.", color="black", lw=1, label=f"risk, {named(risk)}")
    at = curves.iloc[np.abs(np.log(size / chosen)).argmin()]
    ax.plot(chosen, at["risk"], "*", color=ORANGE, ms=14, mec="white", clip_on=False, zorder=4)
    top = min(HIGHEST, 1.05 * float(curves["excess_upper"].max()))
    ax.set(xscale="log", xlabel=AXIS["batch_size"], ylabel="price above the least (share of it)", ylim=(0, top))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    log_ticks(ax.xaxis)
