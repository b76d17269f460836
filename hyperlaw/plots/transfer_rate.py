"""The picture of a transferred learning rate: every curve with its band, the tuned pair, and the noise scale."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hyperlaw.intervals import Z90
from hyperlaw.plots.style import AXIS, BLUE, GREEN, GREY, ORANGE, band, legend_below, log_ticks, page, reach


def plot_transfer_rate(
    table: pd.DataFrame, along: pd.DataFrame, noise_scale: pd.DataFrame, tuned: Mapping[str, float]
) -> Figure:
    """Draw the best learning rate over batch size.

    Lines and bands: medians and 90 % intervals of each curve. Dots: the batch sizes asked for. Orange: the tuned pair.
    The grey band is the 90 % interval of the noise scale, around which the curves part.

    Parameters
    ----------
    table, along, noise_scale, tuned
        Of `TransferredRate`.

    Returns
    -------
    Figure
        One axes.
    """
    figure, axes = page(height=3.4)
    ax = axes[0, 0]
    for colour, (name, rows) in zip((BLUE, GREEN), along.groupby("curve", sort=False), strict=False):
        band(ax, rows["batch_size"], rows["lower"], rows["upper"], colour=colour)
        ax.plot(rows["batch_size"], rows["median"], color=colour, label=f"{name}, 90 %")
        asked = table[table["curve"] == name]
        ax.plot(asked["batch_size"], asked["median"], "o", ms=3, color=colour)
    rate, error = tuned["learning_rate"], np.exp(Z90 * tuned["error"])
    ax.errorbar(tuned["batch_size"], rate, reach(rate, rate / error, rate * error), fmt="s", ms=6, color=ORANGE,
                zorder=4, label="tuned pair")  # fmt: skip
    low, high = noise_scale.loc["noise_scale", ["lower", "upper"]]
    ax.axvspan(low, high, color=GREY, alpha=0.15, lw=0, label="noise scale, 90 %")
    ax.set(xscale="log", yscale="log", xlabel=AXIS["batch_size"], ylabel=f"best {AXIS['learning_rate']}")
    for axis in (ax.xaxis, ax.yaxis):
        log_ticks(axis)
    legend_below(figure, columns=4)
    return figure
