"""The loss surface of one cell: where its best setting lies, and what missing it costs."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hyperlaw.data.vocabulary import HYPERPARAMETERS
from hyperlaw.inference.cell_surface import CellSurface, cell_surface
from hyperlaw.inference.posterior import Posterior
from hyperlaw.plots.style import AXIS, GROUND, LABEL, ORANGE, SMALL, cell_name, log_ticks, named, page

DECADES = 3


def surface(fit: Posterior, *, cell: int) -> Figure:
    """Draw the posterior loss surface of a fitted cell over learning rate and batch size.

    Filled contours are the posterior median of the loss above the cell's lowest. Points are runs (mean over seeds) in
    the same colours, by their loss above the posterior median of the cell's lowest: a point that stands out from
    its ground is a run that the law does not describe. Crosses are runs that diverged.

    Parameters
    ----------
    fit
        A fitted law.
    cell
        Its index in `fit.runs.cells`.

    Returns
    -------
    Figure
        Three axes: all settings tried, a close-up of an octave around where the best may be, and the colour bar.

    Raises
    ------
    ValueError
        When there is no such cell.
    """
    found = cell_surface(fit, cell)
    steps = _steps(float(found.excess.max()))
    norm = LogNorm(steps[0], steps[-1])
    figure, axes = page(1, 2, height=3.9)
    whole, close = axes[0]
    for ax in (whole, close):
        filled = ax.contourf(found.excess["learning_rate"], found.excess["batch_size"], found.excess, levels=steps,
                             extend="both", norm=norm, cmap=GROUND)  # fmt: skip
        _best(ax, found)
        _runs(ax, fit.runs.frame.query("cell == @cell"), found.lowest, norm)
        ax.set(xscale="log", yscale="log", xlabel=AXIS["learning_rate"], ylabel=AXIS["batch_size"])
    close.set(xlim=_around(found, "learning_rate"), ylim=_around(found, "batch_size"))
    whole.set_title("all settings tried", fontsize=LABEL)
    close.set_title("around the best", fontsize=LABEL)
    for axis in (whole.xaxis, whole.yaxis, close.xaxis, close.yaxis):
        log_ticks(axis)
    bar = figure.colorbar(filled, ax=[whole, close], format="%g")
    bar.set_label(f"loss above the cell's lowest ({named(fit.runs.loss_unit)}), median", size=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    bar.ax.minorticks_off()
    figure.suptitle(cell_name(fit.runs.cells, cell, fit.runs.scales), fontsize=LABEL)
    figure.legend(handles=_handles(), loc="outside lower center", ncols=2, fontsize=SMALL, frameon=False)
    return figure


def _steps(highest: float) -> list[float]:
    """Contour levels 0.001, 0.002, 0.005, ... of the upper decades of the surface."""
    steps = [float(f"{m}e{e}") for e in range(-9, 3) for m in (1, 2, 5)]
    return [step for step in steps if highest / 10**DECADES <= step < highest]


def _best(ax: Axes, found: CellSurface) -> None:
    """The ridge, and the regions of the optimum."""
    ridge, density = found.ridge, found.density
    ax.fill_betweenx(ridge.index, ridge["lower"], ridge["upper"], color=ORANGE, alpha=0.3, lw=0)
    ax.plot(ridge["median"], ridge.index, color=ORANGE, lw=1.5)
    ax.contour(density["learning_rate"], density["batch_size"], density, levels=sorted(found.levels.values()),
               colors="black", linewidths=1.1, zorder=5)  # fmt: skip
    ax.plot(*found.optimum.median(), "o", color="black", ms=2.5, zorder=5)


def _runs(ax: Axes, frame: pd.DataFrame, lowest: float, norm: LogNorm) -> None:
    """Runs in the colours of the ground, the diverged ones as crosses."""
    means = frame[~frame["diverged"]].groupby(list(HYPERPARAMETERS), as_index=False)["loss"].mean()
    # A run may lie below the cell's expected lowest loss, which has no logarithm: it takes the lightest colour.
    excess = (means["loss"] - lowest).clip(lower=norm.vmin)
    ax.scatter(means["learning_rate"], means["batch_size"], c=excess, s=42, norm=norm, cmap=GROUND,
               edgecolors="black", linewidths=0.7, zorder=3)  # fmt: skip
    lost = frame[frame["diverged"]]
    ax.plot(lost["learning_rate"], lost["batch_size"], "x", color="black", ms=6, zorder=4)


def _around(found: CellSurface, name: str) -> tuple[float, float]:
    """An octave to either side of where the best may be, as far as the surface goes."""
    best, ground = found.density[name].values, found.excess[name].values
    return max(best.min() / 2, ground.min()), min(best.max() * 2, ground.max())


def _handles() -> list[Line2D]:
    return [
        Line2D([], [], color=ORANGE, label="best rate at each batch size, 90 %"),
        Line2D([], [], color="black", marker="o", ms=2.5, label="best setting: median, 50 and 90 % regions"),
        Line2D([], [], color="black", marker="o", mew=0.7, mfc="white", ls="", label="run"),
        Line2D([], [], color="black", marker="x", ls="", label="diverged"),
    ]
