"""The picture of a backtest: how far laws and recipes by hand miss, and how often intervals held."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from hyperlaw.display import short
from hyperlaw.plots.style import BLUE, GREY, ORANGE, apart, legend_below, named, page
from hyperlaw.quote import quote

NOMINAL = 0.9
ROW = 0.28  # inches
LONGEST_ROW = 40  # characters of its name
# From where on the axis is one of logs: small misses are told apart as well as large ones.
LINEAR = 0.1


def plot_backtest(table: pd.DataFrame, *, summary: pd.DataFrame, missed: str, unit: str) -> Figure:
    """Draw a backtest.

    Left: how far each law (by risk or quantity) and each recipe by hand missed: every withheld cell or value, their
    mean, and the worst. Right: the share of 90 % intervals that held what was measured, beside the dashed line where it
    should lie; recipes that state no interval have none.

    Parameters
    ----------
    table, summary
        As in `Backtest`.
    missed, unit
        Column of how far a method misses, and its unit.

    Returns
    -------
    Figure
        Two axes; one where no method states an interval.

    Raises
    ------
    ValueError
        When the table has no such column.
    """
    if missed not in table:
        raise ValueError(
            f"missed must be a column of the table, such as 'regret' or 'error'; received {quote(missed)}."
        )
    held = [name for name in summary if str(name).startswith("covered") and not str(name).endswith(("_50", "_80"))]
    held = [name for name in held if summary[name].notna().any()]
    figure, axes = page(1, 1 + bool(held), height=1.5 + ROW * len(summary))
    _misses(axes[0, 0], table, summary, missed)
    axes[0, 0].set_xlabel(f"{named(missed)} ({named(unit)})")
    if held:
        _coverage(axes[0, 1], summary[held])
    legend_below(figure, columns=3)
    return figure


def _misses(ax: Axes, table: pd.DataFrame, summary: pd.DataFrame, missed: str) -> None:
    groups = dict(list(table.groupby(list(summary.index.names), sort=False)))
    for y, key in enumerate(summary.index):
        values = groups[key][missed].dropna().to_numpy(float)
        if len(values):
            ax.plot(values, np.full(len(values), y), "o", ms=4, color=GREY, mfc="none", label="one withheld")
            ax.plot(values.mean(), y, "D", ms=6, color=BLUE, label="mean")
            ax.plot(values.max(), y, "|", ms=10, mew=1.5, color=ORANGE, label="worst")
    every = table[missed].to_numpy(float)
    linear = LINEAR * float(np.nanmedian(every[every > 0]))
    ax.set_xscale("symlog", linthresh=linear)
    ax.set_xlim(left=min(0.0, float(np.nanmin(every))))
    # Within the linear part ticks would touch.
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value) if value == 0 or value > linear else ""))
    ax.set_yticks(
        range(len(summary)), [named(", ".join(filter(None, map(str, key))), LONGEST_ROW) for key in summary.index]
    )
    ax.set_ylim(len(summary) - 0.5, -0.5)


def _coverage(ax: Axes, shares: pd.DataFrame) -> None:
    looks = apart(list(shares.columns))
    for k, (name, (colour, marker)) in enumerate(looks.items()):
        said = str(name).removeprefix("covered").strip("_").replace("_", " ") or "value"
        aside = 0.12 * (k - (len(looks) - 1) / 2)
        ax.plot(shares[name], np.arange(len(shares)) + aside, marker, ms=5, color=colour, ls="", label=named(said),
                clip_on=False)  # fmt: skip
    ax.axvline(NOMINAL, color="black", ls="--", lw=1)
    ax.set(xlim=(0, 1), xlabel="90 % intervals that held")
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.set_yticks(range(len(shares)), [""] * len(shares))
    ax.set_ylim(len(shares) - 0.5, -0.5)
