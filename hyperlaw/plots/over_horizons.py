"""The picture of batch sizes that are held: their best learning rates, and what they cost, over the horizon."""

import pandas as pd
from matplotlib.figure import Figure

from hyperlaw.display import short
from hyperlaw.plots.style import AXIS, SCALE, band, legend_below, log_ticks, named, page, sequence

# Where a batch size lies beside the critical one.
FACES = {"below": "white", "around": "lightgrey", "above": None}


def plot_over_horizons(table: pd.DataFrame, *, loss_unit: str) -> Figure:
    """Draw what held batch sizes ask for, and cost, as the data grow.

    Left: the best learning rate at each batch size, with its 90 % interval; for laws with a critical batch size its
    points are white where the batch size lies below that, grey around it, and filled above. Right: the regret of each,
    at its best learning rate.

    Parameters
    ----------
    table
        `OverHorizons.table`.
    loss_unit
        Unit of the regret.

    Returns
    -------
    Figure
        Two axes.
    """
    figure, axes = page(1, 2, height=3.4)
    looks = sequence(sorted(table["batch_size"].unique()))
    for batch, (colour, marker) in looks.items():
        rows = table[table["batch_size"] == batch]
        for ax, name in zip(axes[0], ("learning_rate", "regret"), strict=True):
            band(ax, rows["data"], rows[f"{name}_lower"], rows[f"{name}_upper"], colour=colour)
            ax.plot(rows["data"], rows[f"{name}_median"], color=colour)
        for _, row in rows.iterrows():
            face = FACES[row["regime"]] if "regime" in row else None
            axes[0, 0].plot(row["data"], row["learning_rate_median"], marker, color=colour, ms=5, mfc=face or colour)
        axes[0, 1].plot(
            rows["data"], rows["regret_median"], marker, color=colour, ms=5, label=f"batch size {short(batch)}"
        )
    for ax, label in zip(axes[0], (f"best {AXIS['learning_rate']}", f"regret ({named(loss_unit)})"), strict=True):
        ax.set(xscale="log", xlabel=SCALE["data"], ylabel=label)
        log_ticks(ax.xaxis)
    axes[0, 0].set_yscale("log")
    log_ticks(axes[0, 0].yaxis)
    axes[0, 1].set_ylim(bottom=0)
    legend_below(figure, columns=3)
    return figure
