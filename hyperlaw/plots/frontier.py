"""The picture of a frontier: data against compute at each performance, and the cheapest ratio against budget."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from hyperlaw.decision.pareto import Pareto
from hyperlaw.plots.style import BLUE, CHAINS, GREY, SCALE, log_ticks

SHOWN = 4
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
    colors = dict(zip(chosen, CHAINS, strict=False))
    both = len(levels) > 1
    figure = Figure(figsize=(10 if both else 5.5, 4.2), layout="constrained")
    axes = figure.subplots(1, 2 if both else 1, squeeze=False)[0]
    _curves(axes[0], frontier, colors)
    if both:
        _ratios(axes[1], frontier, colors)
    for ax in axes:
        for axis in (ax.xaxis, ax.yaxis):
            log_ticks(axis)
    for axis in (axes[0].yaxis, *(ax.xaxis for ax in axes[1:])):
        axis.set_major_formatter(FuncFormatter(lambda flops, _: f"{flops:.2g}".replace("e+", "e")))
    return figure


def _curves(ax: Axes, frontier: Pareto, colors: dict[float, str]) -> None:
    for level, color in colors.items():
        line = frontier.curves[frontier.curves["performance"] == level]
        top = 3 * line["upper"].where(np.isfinite(line["upper"]), line["lower"]).max()
        ax.fill_between(line["data"], line["lower"], line["upper"].clip(upper=top), color=color, alpha=0.2, lw=0)
        ax.plot(line["data"], line["median"].where(np.isfinite(line["median"])), color=color, lw=1.2)
        _point(ax, frontier, level, names=("data", "compute"), color=color, label=f"performance {level:g}")
    ax.set(xscale="log", yscale="log", xlabel="environment steps", ylabel="compute (FLOPs)")
    ax.legend(frameon=False, fontsize=8)


def _ratios(ax: Axes, frontier: Pareto, colors: dict[float, str]) -> None:
    budgets = frontier.table["median"].xs("budget", level="quantity")
    band = frontier.utd_at(np.geomspace(budgets.min(), BEYOND * budgets.max(), POINTS))
    ax.fill_between(band.index, band["lower"], band["upper"], color=BLUE, alpha=0.2, lw=0)
    ax.plot(band.index, band["median"], color=BLUE, lw=1.2)
    for level in frontier.draws["performance"].values:
        _point(ax, frontier, level, names=("budget", "utd"), color=colors.get(level, GREY))
    for end in frontier.fitted.loc["utd"]:
        ax.axhline(end, color=GREY, lw=0.8, ls="--")
    utd = frontier.draws["utd"]
    s = frontier.exponent
    ax.set(xscale="log", yscale="log", xlabel="budget (FLOPs)", ylabel=SCALE["utd"], ylim=(utd.min(), utd.max()))
    ax.set_title(f"cheapest ratio ~ budget^{s['median']:.2f} ({s['lower']:.2f} to {s['upper']:.2f})", fontsize=10)


def _point(
    ax: Axes, frontier: Pareto, level: float, *, names: tuple[str, str], color: str, label: str | None = None
) -> None:
    rows = frontier.table.loc[level].loc[list(names)]
    middle = rows["median"].to_numpy()
    below, above = middle - rows["lower"].to_numpy(), rows["upper"].to_numpy() - middle
    lowest, highest = frontier.fitted.loc["performance"]
    fill = color if lowest <= level <= highest else "white"
    reach = np.stack([below, above])[..., None]
    x, y = middle
    ax.errorbar(x, y, reach[:, 1], reach[:, 0], fmt="o", ms=5, lw=0.9, color=color, mfc=fill, label=label, zorder=3)
