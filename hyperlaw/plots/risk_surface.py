"""What settings cost at a target: risk over learning rate and batch size, and regret along the learning rate."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from hyperlaw.decision.decided import Decided
from hyperlaw.plots.style import (
    AXIS,
    BLUE,
    GREY,
    GROUND,
    ORANGE,
    SMALL,
    band,
    legend_below,
    log_ticks,
    named,
    page,
    short,
)
from hyperlaw.risk import risk_name

# Colour and marker of the rows of `Choice.table`.
SETTINGS = {
    "recommended": (ORANGE, "*"), "runner_up": (GREY, "s"), "reuse_best": (GREY, "X"), "posterior_median": (GREY, "P"),
}  # fmt: skip
HATCH = "////"
DECADES = 3
ROUNDING = 1e-9
RULE = 60  # characters of a constraint in a title


def risk_surface(choice: Decided) -> Figure:
    """Draw the risk of every candidate, what the constraints forbid, and the settings of the price table.

    Parameters
    ----------
    choice
        What `hl.decide` returned.

    Returns
    -------
    Figure
        The surface over learning rate and batch size, lightest where the risk is least, hatched where a setting is not
        allowed. Where the candidates have a single batch size, the curve along the learning rate instead.
    """
    figure, axes = page(height=4.2)
    (draw_risk if several_batch_sizes(choice) else draw_regret)(axes[0, 0], choice)
    legend_below(figure, columns=3)
    return figure


def several_batch_sizes(choice: Decided) -> bool:
    """Whether the candidates differ in their batch size."""
    batches = _grid(choice)["batch_size"]
    return bool(batches.max() > batches.min() * (1 + ROUNDING))


def draw_risk(ax: Axes, choice: Decided) -> None:
    """Risk over learning rate and batch size."""
    pairs = _grid(choice)
    rates, batches = pairs["learning_rate"].nunique(), pairs["batch_size"].nunique()
    norm, steps = _levels(pairs["risk"])
    if min(rates, batches) < 3 or rates * batches != len(pairs):
        _settings_apart(ax, pairs, norm)
    else:
        grid = pairs.pivot(index="batch_size", columns="learning_rate", values="risk")
        plane = grid.columns, grid.index, grid.to_numpy()
        ax.contourf(*plane, levels=steps, norm=norm, cmap=GROUND, extend="both")
        ax.clabel(ax.contour(*plane, levels=steps, colors=GREY, linewidths=0.5), fmt="%g", fontsize=SMALL - 1)
        allowed = pairs.pivot(index="batch_size", columns="learning_rate", values="allowed").to_numpy()
        if not allowed.all():
            hatched = ax.contourf(grid.columns, grid.index, ~allowed, levels=[0.5, 1.5], colors="none", hatches=[HATCH])
            hatched.set(edgecolor=GREY, linewidth=0)
            ax.contour(grid.columns, grid.index, ~allowed, levels=[0.5], colors=GREY, linewidths=1)
    for name, row in choice.table.iterrows():
        colour, marker = SETTINGS[str(name)]
        size, above = (14, 5) if name == "recommended" else (7, 4)
        ax.plot(row["learning_rate"], row["batch_size"], marker, ms=size, color=colour, mec="white",
                label=str(name).replace("_", " "), clip_on=False, zorder=above)  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel=AXIS["learning_rate"], ylabel=AXIS["batch_size"])
    title = f"risk of regret ({named(choice.fitted.loss_unit)}), {named(risk_name(choice.risk))}"
    ax.set_title("\n".join([title, *_forbidden(ax, choice)]), fontsize=SMALL)
    for axis in (ax.xaxis, ax.yaxis):
        log_ticks(axis)


def draw_regret(ax: Axes, choice: Decided) -> None:
    """Regret along the learning rate, at the batch size of the choice: expected, its band, and the risk."""
    line = choice.regret_along
    rates, chosen = line["learning_rate"], choice.setting["learning_rate"]
    band(ax, rates, line["lower"], line["upper"], colour=BLUE, label="regret, 90 %")
    ax.plot(rates, line["mean"], color=BLUE, label="regret, expected")
    ax.plot(rates, line["risk"], color="black", ls="-.", lw=1, label=f"risk, {named(risk_name(choice.risk))}")
    for stretch in _stretches(line):
        ax.axvspan(*stretch, facecolor="none", edgecolor=GREY, hatch=HATCH, lw=0)
    ax.plot(chosen, choice.table.loc["recommended", "risk"], "*", ms=14, color=ORANGE, mec="white",
            label="recommended", clip_on=False, zorder=4)  # fmt: skip
    ax.set(
        xscale="log", xlabel=AXIS["learning_rate"], ylabel=f"regret ({named(choice.fitted.loss_unit)})", ylim=(0, None)
    )
    title, rules = f"at batch size {short(line['batch_size'].iloc[0])}", _forbidden(ax, choice)
    # Beside the surface, over which they stand, they need not be said again.
    ax.set_title("\n".join([title, *([] if several_batch_sizes(choice) else rules)]), fontsize=SMALL)
    log_ticks(ax.xaxis)


def _grid(choice: Decided) -> pd.DataFrame:
    """The candidates without the polished setting, which is alone in its row or column."""
    return choice.candidates[~choice.candidates["polished"]]


def _levels(risks: pd.Series) -> tuple[LogNorm, list[float]]:
    """Steps 1, 2, 5, 10, ... of the risk, from just below the least that is drawn."""
    finite = risks[np.isfinite(risks) & (risks > 0)]
    highest = float(finite.max()) if len(finite) else 1.0
    lowest = max(float(finite.min()), highest / 10**DECADES) if len(finite) else highest
    steps = [float(f"{m}e{e}") for e in range(-12, 6) for m in (1, 2, 5)]
    first = max((step for step in steps if step <= lowest), default=steps[0])
    inside = [step for step in steps if first <= step <= highest]
    inside = inside if len(inside) > 1 else [first, 2 * first]
    return LogNorm(inside[0], inside[-1]), inside


def _settings_apart(ax: Axes, pairs: pd.DataFrame, norm: LogNorm) -> None:
    """Candidates that are no grid, each a point with its colour bar; those that are not allowed crossed out."""
    shown = ax.scatter(pairs["learning_rate"], pairs["batch_size"], c=pairs["risk"], norm=norm, cmap=GROUND,
                       edgecolors=GREY, linewidths=0.7)  # fmt: skip
    out = pairs[~pairs["allowed"]]
    ax.plot(out["learning_rate"], out["batch_size"], "x", color=GREY, ms=6)
    bar = ax.figure.colorbar(shown, ax=ax, format="%g")
    bar.ax.tick_params(labelsize=SMALL, which="both")


def _stretches(line: pd.DataFrame) -> list[tuple[float, float]]:
    """Stretches of the learning rate in which no candidate is allowed, half way to the allowed ones beside them."""
    rates, out = line["learning_rate"].to_numpy(), ~line["allowed"].to_numpy()
    edges = np.sqrt(np.concatenate([rates[:1], rates]) * np.concatenate([rates, rates[-1:]]))
    turns = np.flatnonzero(np.diff(np.concatenate([[False], out, [False]]).astype(int)))
    return [(float(edges[a]), float(edges[b])) for a, b in turns.reshape(-1, 2)]


def _forbidden(ax: Axes, choice: Decided) -> list[str]:
    """Where something is hatched: an entry for the legend, and the constraints in words."""
    if _grid(choice)["allowed"].all():
        return []
    ax.fill_between([], [], facecolor="none", edgecolor=GREY, hatch=HATCH, lw=0, label="not allowed")
    return [named(constraint, RULE) for constraint in choice.subject_to]
