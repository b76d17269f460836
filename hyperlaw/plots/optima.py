"""Best learning rate and batch size against scale: the cells, the law, how its exponents drift, and the target."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hyperlaw.data.vocabulary import HYPERPARAMETERS, At, number
from hyperlaw.decision.trajectory import cell_optima, law_levels, law_trajectories, law_trajectory, target_optimum
from hyperlaw.inference.posterior import Posterior
from hyperlaw.plots.style import (
    AXIS,
    BLUE,
    GREY,
    LABEL,
    MARKERS,
    ORANGE,
    SCALE,
    apart,
    band,
    evenly,
    left_out,
    legend_below,
    log_ticks,
    named,
    page,
    reach,
    sequence,
    short,
)

TASKS = 3
# As many as colours and markers tell apart.
GROUPS, UNLIKE = 6, "cells unlike the target"
LONGEST_GROUP = 45  # characters
LINE = "law, 90 % for a new cell"
WORD = {"params": "parameters", "utd": "updates per step"}
# Cells of one scale stand side by side, this share of the axis apart.
BESIDE = 0.018


def optima(fit: Posterior, *, at: At | None = None) -> Figure:
    """Draw how the best learning rate and the best batch size move with scale.

    Points are fitted cells with their 90 % intervals, side by side where they share a scale; each size has a colour and
    a marker. Bands are the law's 90 % predictive intervals for a new cell.

    With a target: the law on its way there, from the smallest runs, at the other sizes of the target; thin lines are
    its medians at those of the runs. Dashed lines are its band did its exponents stay what they are at the end of the
    runs: between them and the edges of the band lies what a changing exponent may do. Below, that exponent: by what
    power of the scale the best setting moves, with its 90 % interval. The star is the target. Cells are those of
    the target's task, of all tasks for a new one; those that differ from it in another covariate are open.

    Without one: the law at each size, to four times the largest scale of the runs; at most five sizes of three tasks.

    Parameters
    ----------
    fit
        A fitted law.
    at
        The target, as for `fit.predict`. The covariate that it extrapolates furthest is the horizontal axis.

    Returns
    -------
    Figure
        A column for the learning rate and, where cells tried several, one for the batch size.

    Raises
    ------
    TypeError
        When the fit is not one of runs: `hl.plots.values` shows others.
    ValueError
        When the target is not what the law needs.
    """
    names = [name for name in HYPERPARAMETERS if name != "batch_size" or not fit.surface.given(fit.runs)]
    return _by_size(fit, names) if at is None else _to_target(fit, at, names)


def draw_law(ax: Axes, along: pd.DataFrame, name: str, *, colour: str, label: str = "law") -> None:
    """The law's band, its median, and beyond the runs the edges that the band would have without further drift."""
    x = along[along.columns[0]]
    band(ax, x, along[f"{name}_lower"], along[f"{name}_upper"], colour=colour, label=f"{label}, 90 %")
    ax.plot(x, along[f"{name}_median"], color=colour)
    for end in ("lower", "upper"):
        ax.plot(x, along[f"{name}_straight_{end}"], "--", color=colour, lw=0.9, label="without further drift")


def of_task(cells: pd.DataFrame, at: At) -> pd.DataFrame:
    """Cells of the target's task; all where it is a new one, or the only one."""
    return cells if at.get("task") is None else cells[cells["task"] == at["task"]]


def groups_of(cells: pd.DataFrame, others: list[str], at: At) -> dict[str, np.ndarray]:
    """Cells by their task and other covariates, as booleans by label: first those like the target, then the others."""
    several = cells["task"].nunique() > 1 or at.get("task") is not None

    def name(row: Any) -> str:
        task = [str(row["task"])] if several else []
        return ", ".join(task + [f"{other} {short(row[other])}" for other in others])

    names, own = np.array([name(row) for _, row in cells.iterrows()]), name(at)
    rest = list(dict.fromkeys(names[names != own]))
    if len(rest) >= GROUPS:
        names, rest = np.where(names == own, names, UNLIKE), [UNLIKE]
    label = f"cells like the target ({own})" if own else "cells of runs"
    return {label: names == own, **{other: names == other for other in rest}}


def law_label(others: list[str], at: At, law: str = "law") -> str:
    """A law by its name and, where the target has several covariates, by those that stay at the target."""
    where = ", ".join(f"{name} {short(number(at, name))}" for name in others)
    return f"{law} at {where}" if where else law


def draw_cells(
    ax: Axes, cells: pd.DataFrame, groups: dict[str, np.ndarray], name: str, moving: str, levels: pd.DataFrame
) -> None:
    """Optima of fitted cells with their intervals, side by side: those like the target filled, others open.

    Through them the law's medians, `law_levels`.
    """
    looks = apart(list(groups))
    others = [column for column in levels.columns[1:] if column in SCALE]
    for k, (label, here) in enumerate(groups.items()):
        if here.any():
            (colour, marker), x = looks[label], cells.loc[here, moving] * _aside(cells[moving], k)
            for size in cells.loc[here, others].drop_duplicates().itertuples(index=False) if others else ():
                line = levels[(levels[others] == list(size)).all(axis=1)]
                ax.plot(line[moving], line[f"{name}_median"], color=colour, lw=0.7, zorder=1)
            face = "white" if k else colour
            _points(
                ax, cells[here], name, x, colour=colour, marker=marker, face=face, label=named(label, LONGEST_GROUP)
            )


def log_log(ax: Axes, moving: str, name: str) -> None:
    """Log axes with their labels, once all is drawn."""
    ax.set(xscale="log", yscale="log", xlabel=SCALE[moving], ylabel=f"best {AXIS[name]}")
    for axis in (ax.xaxis, ax.yaxis):
        log_ticks(axis)


def _to_target(fit: Posterior, at: At, names: list[str]) -> Figure:
    target, along, cells = target_optimum(fit, at), law_trajectory(fit, at), of_task(cell_optima(fit), at)
    moving = along.columns[0]
    others = [name for name in fit.law.covariates if name != moving]
    groups, levels = groups_of(cells, others, at), law_levels(fit, at)
    figure, axes = page(2, len(names), height=4.6, sharex="col", ratios=[2.4, 1])
    for (ax, below), name in zip(axes.T, names, strict=True):
        draw_law(ax, along, name, colour=BLUE, label=law_label(others, at))
        draw_cells(ax, cells, groups, name, moving, levels)
        middle, low, high = (target[f"{name}_{end}"] for end in ("median", "lower", "upper"))
        ax.errorbar(at[moving], middle, reach(middle, low, high), fmt="*", ms=13, color=ORANGE, capsize=3, zorder=4,
                    label="target, 90 %")  # fmt: skip
        log_log(ax, moving, name)
        ax.set_xlabel("")
        said = [short(float(f"{value:.3g}")) for value in (middle, low, high)]
        ax.set_title("target: {} (90 %: {} to {})".format(*said), fontsize=LABEL)
        _exponent(below, along, name)
    legend_below(figure, columns=3)
    return figure


def _exponent(ax: Axes, along: pd.DataFrame, name: str) -> None:
    """The local exponent along the way, and the zero where the best setting does not move."""
    moving = along.columns[0]
    ends = (along[f"{name}_exponent_{end}"] for end in ("lower", "upper"))
    band(ax, along[moving], *ends, colour=BLUE)
    ax.plot(along[moving], along[f"{name}_exponent_median"], color=BLUE)
    ax.axhline(0, color=GREY, lw=0.8)
    ax.set(xscale="log", xlabel=SCALE[moving], ylabel=f"exponent in\n{WORD.get(moving, moving)}")
    log_ticks(ax.xaxis)


def _by_size(fit: Posterior, names: list[str]) -> Figure:
    tasks = evenly(fit.runs.tasks, TASKS)
    along, cells = law_trajectories(fit, tasks), cell_optima(fit)
    moving = along.columns[0]
    others = [name for name in fit.law.covariates if name != moving]
    figure, axes = page(len(tasks), len(names), height=1.1 + 2.4 * len(tasks))
    sizes = along[others].drop_duplicates().sort_values(others).apply(tuple, axis=1).tolist() if others else [()]
    styles = sequence(sizes) if others else {(): (BLUE, MARKERS[0])}
    for row, task in zip(axes, tasks, strict=True):
        for ax, name in zip(row, names, strict=True):
            for k, (size, (colour, marker)) in enumerate(styles.items()):
                line, own = (_of(table, task, others, size) for table in (along, cells))
                if len(line):
                    label = ", ".join(f"{other} {short(value)}" for other, value in zip(others, size, strict=True))
                    band(ax, line[moving], line[f"{name}_lower"], line[f"{name}_upper"], colour=colour, label=LINE)
                    ax.plot(line[moving], line[f"{name}_median"], color=colour)
                    x = own[moving] * _aside(cells[moving], k)
                    _points(ax, own, name, x, colour=colour, marker=marker, face=colour,
                            label=f"cells of {label}, 90 %" if label else "cells of runs, 90 %")  # fmt: skip
            log_log(ax, moving, name)
            ax.set_title(named(task) if len(fit.runs.tasks) > 1 else "", fontsize=LABEL)
    left_out(figure, len(tasks), len(fit.runs.tasks), "tasks")
    legend_below(figure, columns=3)
    return figure


def _of(table: pd.DataFrame, task: str, others: list[str], size: tuple) -> pd.DataFrame:
    """Rows of one task and size."""
    here = table["task"] == task
    for name, value in zip(others, size, strict=True):
        here &= table[name] == value
    return table[here]


def _aside(scales: pd.Series, group: int) -> float:
    """By what factor a group stands beside the first."""
    return float(scales.max() / scales.min()) ** ((-1) ** group * ((group + 1) // 2) * BESIDE)


def _points(
    ax: Axes, cells: pd.DataFrame, name: str, x: pd.Series, *, colour: str, marker: str, face: str, label: str
) -> None:
    middle = cells[f"{name}_median"]
    ax.errorbar(x, middle, reach(middle, cells[f"{name}_lower"], cells[f"{name}_upper"]), fmt=marker, ms=4.5, lw=1,
                label=label, color=colour, mfc=face, zorder=3 if face == colour else 2)  # fmt: skip
