"""The picture of planned runs: what each would take off the risk of the choice, against its cost."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from hyperlaw.display import short
from hyperlaw.intervals import Z90
from hyperlaw.plots.style import BLUE, GREY, ORANGE, SMALL, band, flops, legend_below, log_ticks, named, page


def plot_next_runs(
    candidates: pd.DataFrame,
    *,
    chosen: pd.Index,
    path: pd.DataFrame,
    floor: float,
    attitude: str,
    loss_unit: str,
    cost_unit: str,
) -> Figure:
    """Draw what the next runs would buy.

    Left: by how much each candidate, as the first run, is expected to lower the risk, against its cost, with the 90 %
    interval that the Monte Carlo error leaves; the chosen ones in orange, with their place in the order. Right: the
    risk of the choice as the chosen runs are made, down to the dashed line: what is left once the law is known exactly.

    Parameters
    ----------
    candidates, path
        As in `NextRuns`.
    chosen
        Index of the chosen runs among the candidates, in order.
    floor
        Risk once the law is known exactly.
    attitude
        The attitude to risk, in words.
    loss_unit, cost_unit
        Their units.

    Returns
    -------
    Figure
        Two axes.
    """
    figure, axes = page(1, 2, height=3.6)
    _candidates(axes[0, 0], candidates, chosen)
    axes[0, 0].set(xlabel=f"cost of the run ({cost_unit})", ylabel=f"expected fall\nof the risk ({named(loss_unit)})")
    _path(axes[0, 1], path, floor)
    axes[0, 1].set(
        xlabel=f"cost of the runs so far ({cost_unit})",
        ylabel=f"risk of the choice ({named(loss_unit)}),\n{named(attitude)}",
    )
    for ax in axes[0]:
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: (flops if cost_unit == "FLOPs" else short)(value)))
    legend_below(figure, columns=2)
    return figure


def _candidates(ax: Axes, candidates: pd.DataFrame, chosen: pd.Index) -> None:
    rest, picked = candidates.drop(chosen), candidates.loc[chosen]
    looks = {"candidate, as the first run": (GREY, "o", "white"), "chosen, in this order": (ORANGE, "s", ORANGE)}
    for some, (label, (colour, marker, face)) in zip((rest, picked), looks.items(), strict=True):
        if len(some):
            ax.errorbar(some["cost"], some["reduction"], Z90 * some["error"], fmt=marker, color=colour, ms=5, lw=1,
                        mfc=face, label=label)  # fmt: skip
    for place, (_, row) in enumerate(picked.iterrows(), start=1):
        ax.annotate(str(place), (row["cost"], row["reduction"]), xytext=(5, 3), textcoords="offset points",
                    fontsize=SMALL, color=ORANGE)  # fmt: skip
    ax.axhline(0, color=GREY, lw=0.8)
    ax.margins(x=0.12)
    if candidates["cost"].nunique() > 1:
        ax.set(xscale="log")
        log_ticks(ax.xaxis)


def _path(ax: Axes, path: pd.DataFrame, floor: float) -> None:
    reach = Z90 * path["error"]
    band(ax, path["cost"], path["risk"] - reach, path["risk"] + reach, colour=BLUE)
    ax.plot(path["cost"], path["risk"], "o-", color=BLUE, ms=5, label="once the runs are made, 90 %")
    ax.axhline(floor, color="black", ls="--", lw=1, label="once the law is known exactly")
    ax.set(ylim=(0, None), xlim=(0, None))
    ax.xaxis.set_major_locator(MaxNLocator(4))
