"""The picture of a choice: the law on its way to the target, and what being wrong would cost."""

from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from hyperlaw.decision.decided import Decided
from hyperlaw.intervals import interval
from hyperlaw.plots.style import AXIS, BLUE, CHAINS, GREY, ORANGE, SCALE, log_ticks


def plot_choice(choice: Decided) -> Figure:
    """Draw a choice.

    Left: best learning rate and batch size of each fitted cell, the law's 90 % predictive band out to the
    target, the recommended setting. Right: risk over the candidates; regret along the learning rate.

    Parameters
    ----------
    choice
        What `hl.decide` returned.

    Returns
    -------
    Figure
        A matplotlib figure of four axes.
    """
    figure = Figure(figsize=(10, 7), layout="constrained")
    axes = figure.subplots(2, 2)
    _law(axes[0, 0], choice, "learning_rate")
    _law(axes[1, 0], choice, "batch_size")
    _surface(figure, axes[0, 1], choice)
    _cost(axes[1, 1], choice)
    return figure


def _law(ax: Axes, choice: Decided, name: str) -> None:
    scale = choice.trajectory.columns[0]
    several = len(choice.laws) > 1
    for colour, (law, along) in zip(cycle(CHAINS), choice.trajectory.groupby("law", sort=False), strict=False):
        label = f"{law if several else 'law'}, 90 % for a new cell"
        ax.fill_between(along[scale], along[f"{name}_lower"], along[f"{name}_upper"], color=colour, alpha=0.2, lw=0,
                        label=label)  # fmt: skip
        ax.plot(along[scale], along[f"{name}_median"], color=colour)
    heaviest = choice.laws["weight"].idxmax()
    cells = choice.cells[choice.cells["law"] == heaviest]
    best = f"best in a cell of runs, 90 %{f' ({heaviest})' if several else ''}"
    others = [c for c in choice.extrapolation.index if c != scale and c in cells]
    alike = np.all([np.isclose(cells[c], choice.at[c]) for c in others], axis=0) & np.ones(len(cells), bool)
    for here, fill, label in ((alike, GREY, best), (~alike, "white", "same, at other sizes")):
        if here.any():
            middle = cells.loc[here, f"{name}_median"]
            spread = np.abs(cells.loc[here, [f"{name}_lower", f"{name}_upper"]].to_numpy().T - middle.to_numpy())
            ax.errorbar(cells.loc[here, scale], middle, spread, fmt="o", ms=5, color=GREY, mfc=fill, lw=1, label=label)
    ax.plot(choice.at[scale], choice.setting[name], "*", ms=14, color=ORANGE, label="recommended", zorder=3)
    ax.set(xscale="log", yscale="log", xlabel=SCALE[scale], ylabel=f"best {AXIS[name]}")
    log_ticks(ax.xaxis)
    log_ticks(ax.yaxis)
    ax.legend(frameon=False, fontsize=8)


def _surface(figure: Figure, ax: Axes, choice: Decided) -> None:
    pairs = _grid(choice)
    rates, batches = pairs["learning_rate"].nunique(), pairs["batch_size"].nunique()
    if min(rates, batches) < 3 or rates * batches != len(pairs):
        shown: ScalarMappable = ax.scatter(pairs["learning_rate"], pairs["batch_size"], c=pairs["risk"], cmap="cividis")
    else:
        grid = pairs.pivot(index="batch_size", columns="learning_rate", values="risk")
        shown = ax.contourf(grid.columns, grid.index, grid.to_numpy(), levels=12, cmap="cividis")
        allowed = pairs.pivot(index="batch_size", columns="learning_rate", values="allowed").to_numpy()
        if not allowed.all():
            ax.contourf(grid.columns, grid.index, ~allowed, levels=[0.5, 1.5], colors="none", hatches=["//"])
    figure.colorbar(shown, ax=ax, label=f"risk of regret ({choice.fitted.loss_unit}), {choice.risk}")
    markers = {"recommended": "*", "runner_up": "s", "reuse_best": "X", "posterior_median": "P"}
    for name, row in choice.table.iterrows():
        ax.plot(row["learning_rate"], row["batch_size"], markers[name], ms=12 if name == "recommended" else 7, ls="",
                mec="white", color=ORANGE if name == "recommended" else GREY, label=name.replace("_", " "))  # fmt: skip
    title = "at the target" if choice.candidates["allowed"].all() else "at the target; hatched: not allowed"
    ax.set(xscale="log", yscale="log", xlabel=AXIS["learning_rate"], ylabel=AXIS["batch_size"], title=title)
    log_ticks(ax.xaxis)
    log_ticks(ax.yaxis)
    ax.legend(frameon=True, fontsize=8)


def _cost(ax: Axes, choice: Decided) -> None:
    pairs = _grid(choice)
    # A polished batch size lies between those of the candidates: the nearest is drawn.
    apart = np.abs(np.log(pairs["batch_size"] / choice.setting["batch_size"])).to_numpy()
    at_batch = np.flatnonzero(apart <= apart.min() + 1e-9)
    batch = pairs["batch_size"].iloc[at_batch[0]]
    order = at_batch[np.argsort(pairs["learning_rate"].to_numpy()[at_batch])]
    rates, regret = pairs["learning_rate"].to_numpy()[order], choice.priced.prices.regret[:, order]
    low, _, high = interval(regret, 0)
    ax.fill_between(rates, low, high, color=BLUE, alpha=0.2, lw=0, label="90 %")
    ax.plot(rates, regret.mean(axis=0), color=BLUE, label="expected")
    ax.axvline(choice.setting["learning_rate"], color=ORANGE, ls="--", label="recommended")
    ax.set(xscale="log", xlabel=AXIS["learning_rate"], ylabel=f"regret ({choice.fitted.loss_unit})", ylim=(0, None))
    log_ticks(ax.xaxis)
    ax.set_title(f"at batch size {batch:.3g}")
    ax.legend(loc="upper center", fontsize=8)


def _grid(choice: Decided) -> pd.DataFrame:
    """The candidates without the polished setting, which is alone in its row or column."""
    return choice.candidates[~choice.candidates["polished"]]
