"""The picture of a frontier: data against compute at each performance, and the cheapest ratio against budget."""

from typing import TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from hyperlaw.decision.pareto import Pareto
from hyperlaw.plots.style import BLUE, GREY, LABEL, SCALE, band, flops, legend_below, log_ticks, page, reach, sequence

SHOWN = 4
Looks: TypeAlias = dict[float, tuple[str, str]]
POINTS, BEYOND = 40, 4.0


def plot_frontier(frontier: Pareto) -> Figure:
    """Draw a frontier.

    Left: the least compute within given data, with its 90 % band, of at most four performances, and the point of the
    least budget with its 90 % intervals. Right, where there are two performances or more: the cheapest
    updates-to-data ratio as a power of the budget, with its 90 % band, out to four times the largest, and the same
    points; ratios were measured between the dashed lines. White points are performances beyond those measured.

    Parameters
    ----------
    frontier
        What `hl.frontier` returned.

    Returns
    -------
    Figure
        A matplotlib figure of one or two axes.
    """
    levels = frontier.draws["performance"].values
    chosen = levels[np.unique(np.linspace(0, len(levels) - 1, SHOWN).astype(int))]
    looks = sequence(list(chosen))
    both = len(levels) > 1
    figure, axes = page(1, 1 + both, height=3.7)
    _curves(axes[0, 0], frontier, looks)
    if both:
        _ratios(axes[0, 1], frontier, looks)
    for ax in axes[0]:
        for axis in (ax.xaxis, ax.yaxis):
            log_ticks(axis)
    for axis in (axes[0, 0].yaxis, *(ax.xaxis for ax in axes[0, 1:])):
        axis.set_major_formatter(FuncFormatter(lambda value, _: flops(value)))
    legend_below(figure, columns=3)
    return figure


def _curves(ax: Axes, frontier: Pareto, looks: Looks) -> None:
    curves = frontier.curves[frontier.curves["performance"].isin(list(looks))]
    top = 3 * curves["upper"].where(np.isfinite(curves["upper"]), curves["lower"]).max()
    for level, (colour, marker) in looks.items():
        line = curves[curves["performance"] == level]
        band(ax, line["data"], line["lower"], line["upper"].clip(upper=top), colour=colour)
        ax.plot(line["data"], line["median"].where(np.isfinite(line["median"])), color=colour, lw=1.2)
        _point(ax, frontier, level, names=("data", "compute"), colour=colour, marker=marker)
    ax.set(xscale="log", yscale="log", xlabel="data (environment steps)", ylabel="compute (FLOPs)", ylim=(None, top))


def _ratios(ax: Axes, frontier: Pareto, looks: Looks) -> None:
    budgets = frontier.table["median"].xs("budget", level="quantity")
    along = frontier.utd_at(np.geomspace(budgets.min(), BEYOND * budgets.max(), POINTS))
    band(ax, along.index, along["lower"], along["upper"], colour=BLUE, label="power of the budget, 90 %")
    ax.plot(along.index, along["median"], color=BLUE, lw=1.2)
    for level in frontier.draws["performance"].values:
        colour, marker = looks.get(level, (GREY, "x"))
        _point(ax, frontier, level, names=("budget", "utd"), colour=colour, marker=marker)
    for end in frontier.fitted.loc["utd"]:
        ax.axhline(end, color=GREY, lw=0.8, ls="--", label="ratios measured, between")
    utd, s = frontier.draws["utd"], frontier.exponent
    ax.set(xscale="log", yscale="log", xlabel="budget (FLOPs)", ylabel=SCALE["utd"], ylim=(utd.min(), utd.max()))
    ax.set_title(
        f"cheapest ratio ~ budget^{s['median']:.2f}\n(90 %: {s['lower']:.2f} to {s['upper']:.2f})", fontsize=LABEL
    )


def _point(ax: Axes, frontier: Pareto, level: float, *, names: tuple[str, str], colour: str, marker: str) -> None:
    rows = frontier.table.loc[level].loc[list(names)]
    across, up = (reach(row["median"], row["lower"], row["upper"]) for _, row in rows.iterrows())
    lowest, highest = frontier.fitted.loc["performance"]
    measured = lowest <= level <= highest
    label = f"performance {level:g}{'' if measured else ', not measured'}"
    x, y = rows["median"]
    ax.errorbar(x, y, up, across, fmt=marker, ms=5.5, lw=0.9, color=colour, mfc=colour if measured else "white",
                label=label, zorder=3)  # fmt: skip
