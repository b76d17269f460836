"""The picture of a choice: the law on its way to the target, and what being wrong would cost."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from hyperlaw.decision.choice import Choice

# Okabe-Ito: told apart in print and by the colour-blind.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#595959"
AXIS = {"learning_rate": "learning rate", "batch_size": "batch size (data points)"}
SCALE = {"data": "data points seen", "params": "parameters", "width": "width", "utd": "updates per environment step"}


def plot_choice(choice: "Choice") -> Figure:
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


def _law(ax: Axes, choice: "Choice", name: str) -> None:
    path, cells = choice.path, choice.cells
    scale = path.columns[0]
    ax.fill_between(path[scale], path[f"{name}_lower"], path[f"{name}_upper"], color=BLUE, alpha=0.2, lw=0,
                    label="law, 90 % for a new cell")  # fmt: skip
    ax.plot(path[scale], path[f"{name}_median"], color=BLUE)
    others = [c for c in choice.extrapolation.index if c != scale]
    alike = np.all([np.isclose(cells[c], choice.at[c]) for c in others], axis=0) & np.ones(len(cells), bool)
    for here, fill, label in ((alike, GREY, "best in a cell of runs, 90 %"), (~alike, "white", "same, at other sizes")):
        if here.any():
            middle = cells.loc[here, f"{name}_median"]
            spread = np.abs(cells.loc[here, [f"{name}_lower", f"{name}_upper"]].to_numpy().T - middle.to_numpy())
            ax.errorbar(cells.loc[here, scale], middle, spread, fmt="o", ms=5, color=GREY, mfc=fill, lw=1, label=label)
    ax.plot(choice.at[scale], choice.setting[name], "*", ms=14, color=ORANGE, label="recommended", zorder=3)
    ax.set(xscale="log", yscale="log", xlabel=SCALE[scale], ylabel=f"best {AXIS[name]}")
    ax.legend(frameon=False, fontsize=8)


def _surface(figure: Figure, ax: Axes, choice: "Choice") -> None:
    pairs = choice.candidates
    rates, batches = pairs["learning_rate"].nunique(), pairs["batch_size"].nunique()
    if min(rates, batches) < 3 or rates * batches != len(pairs):
        shown: ScalarMappable = ax.scatter(pairs["learning_rate"], pairs["batch_size"], c=pairs["risk"], cmap="cividis")
    else:
        grid = pairs.pivot(index="batch_size", columns="learning_rate", values="risk")
        shown = ax.contourf(grid.columns, grid.index, grid.to_numpy(), levels=12, cmap="cividis")
    figure.colorbar(shown, ax=ax, label=f"risk of regret (nats), {choice.risk}")
    markers = {"recommended": "*", "runner_up": "s", "reuse_best": "X", "posterior_median": "P"}
    for name, row in choice.table.iterrows():
        ax.plot(row["learning_rate"], row["batch_size"], markers[name], ms=12 if name == "recommended" else 7, ls="",
                mec="white", color=ORANGE if name == "recommended" else GREY, label=name.replace("_", " "))  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel=AXIS["learning_rate"], ylabel=AXIS["batch_size"], title="at the target")
    ax.legend(frameon=True, fontsize=8)


def _cost(ax: Axes, choice: "Choice") -> None:
    pairs = choice.candidates
    at_batch = np.flatnonzero(np.isclose(pairs["batch_size"], choice.setting["batch_size"]))
    order = at_batch[np.argsort(pairs["learning_rate"].to_numpy()[at_batch])]
    rates, regret = pairs["learning_rate"].to_numpy()[order], choice.regret.values[:, order]
    low, high = np.quantile(regret, [0.05, 0.95], axis=0)
    ax.fill_between(rates, low, high, color=BLUE, alpha=0.2, lw=0, label="90 %")
    ax.plot(rates, regret.mean(axis=0), color=BLUE, label="expected")
    ax.axvline(choice.setting["learning_rate"], color=ORANGE, ls="--", label="recommended")
    ax.set(xscale="log", xlabel=AXIS["learning_rate"], ylabel="regret (nats)", ylim=(0, None))
    ax.set_title(f"at batch size {choice.setting['batch_size']:.3g}")
    ax.legend(loc="upper center", fontsize=8)
