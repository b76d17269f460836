"""The law along the way to a target: where the optimum was in each cell, where it is going, and how fast it moves."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hyperlaw.data.vocabulary import HYPERPARAMETERS, At, number
from hyperlaw.inference.bands import LINES
from hyperlaw.inference.cells import NewCell, fitted_cells, new_cell
from hyperlaw.inference.posterior import Posterior
from hyperlaw.intervals import interval_columns
from hyperlaw.models.likelihoods.base import BEYOND, Arrays

POINTS = 25
# Half the step of a difference in ln scale: an exponent is exact to its square.
STEP = 1e-3
ASIDE = 1e-6  # share of a scale: further than what counts as equal, and too little to see


def law_trajectory(fit: Posterior, at: At) -> pd.DataFrame:
    """Predictive intervals of the optimum from the smallest runs to the target.

    The covariate that is extrapolated furthest moves; the others, and the task, stay at the target. Every point is a
    new level of what moves, at scales that were run too: what is peculiar to those is in the points of their cells.

    Returns
    -------
    DataFrame
        First column that covariate; then `learning_rate_lower`, `_median`, `_upper`; `learning_rate_straight_lower`,
        `_median`, `_upper`, beyond the runs, as if exponents stayed what they are at the nearest of them;
        `learning_rate_exponent_lower`, `_median`, `_upper`, the
        exponent there, d ln / d ln; and the same of `batch_size`.
    """
    cells, moving = fit.runs.cells, _moving(fit, at)
    tried = float(cells[moving].min()), float(cells[moving].max())
    ends = sorted([*tried, number(at, moving)])
    scales, rows = np.geomspace(ends[0], ends[-1], POINTS), []
    for scale in scales:
        cell = new_cell(fit, {**at, moving: _between_levels(scale, cells[moving])})
        beyond = float(np.log(scale / np.clip(scale, *tried)))
        rows.append(_intervals(fit.surface.optimum(cell.p, cell.x)) | _slopes(fit, cell, moving, beyond))
    table = pd.DataFrame(rows)
    table.insert(0, moving, scales)
    return table


def law_levels(fit: Posterior, at: At) -> pd.DataFrame:
    """The law through the runs: its medians at the values of the other covariates there, at five of them at most.

    Of the target's task; each line goes from the smallest to the largest run at its values.

    Returns
    -------
    DataFrame
        First column the covariate of `law_trajectory`; then the other covariates, `learning_rate_median` and
        `batch_size_median`. No rows where there is one covariate, or where the task of the target was not fitted.
    """
    moving = _moving(fit, at)
    others = [name for name in fit.law.covariates if name != moving]
    names = [moving, *others, *(f"{name}_median" for name in HYPERPARAMETERS)]
    cells = fit.runs.cells
    if len(fit.runs.tasks) > 1:
        cells = cells[cells["task"] == at.get("task")]
    if not others or cells.empty:
        return pd.DataFrame(columns=names)
    levels = list(cells.groupby(others))
    rows = []
    for place in np.unique(np.linspace(0, len(levels) - 1, LINES).astype(int)):
        values, here = levels[place]
        level = dict(zip(others, values, strict=True))
        for scale in np.geomspace(here[moving].min(), here[moving].max(), LINES):
            cell = new_cell(fit, {**at, **level, moving: _between_levels(scale, cells[moving])})
            optimum = fit.surface.optimum(cell.p, cell.x)
            medians = {f"{name}_median": float(np.exp(np.median(optimum[name]))) for name in HYPERPARAMETERS}
            rows.append({moving: scale} | level | medians)
    return pd.DataFrame(rows, columns=names)


def _between_levels(scale: float, known: pd.Series) -> float:
    """The scale, a hair aside where runs have it: with the deviation that they share a line would have a notch."""
    return scale * (1 + ASIDE) if np.isclose(scale, known, rtol=ASIDE / 2, atol=0).any() else scale


def _moving(fit: Posterior, at: At) -> str:
    """The covariate that the target extrapolates furthest."""
    cells, there = fit.runs.cells, {name: number(at, name) for name in fit.law.covariates}
    reach = {name: abs(np.log(value / cells[name]).to_numpy()).max() for name, value in there.items()}
    beyond = {name: np.log(value / cells[name].max()) for name, value in there.items()}
    return max(there, key=lambda name: (max(beyond[name], 0.0), reach[name]))


def law_trajectories(fit: Posterior, tasks: Sequence[str]) -> pd.DataFrame:
    """The law in some of the fitted tasks, at five sizes each at most, out to four times the largest runs.

    The data move, or the first covariate where there are none.

    Returns
    -------
    DataFrame
        The columns of `law_trajectory`, then `task` and the other covariates.
    """
    cells, names = fit.runs.cells, fit.law.covariates
    moving = "data" if "data" in names else names[0]
    others = [name for name in names if name != moving]
    end: dict[str, float | str] = {moving: BEYOND * float(cells[moving].max())}
    if "batch_size" in fit.likelihood.needs_at(fit.runs):
        end["batch_size"] = float(fit.runs.frame["batch_size"].median())
    tables = []
    for task in tasks:
        sizes = cells.loc[cells["task"] == task, others].drop_duplicates().sort_values(others).to_dict("records")
        for place in np.unique(np.linspace(0, len(sizes) - 1, LINES).astype(int)):
            at = end | sizes[place] | ({"task": task} if len(fit.runs.tasks) > 1 else {})
            tables.append(law_trajectory(fit, at).assign(task=task, **sizes[place]))
    return pd.concat(tables, ignore_index=True)


def target_optimum(fit: Posterior, at: At) -> dict[str, float]:
    """Predictive intervals of the optimum of a new cell, named as in `law_trajectory`; errors as for `predict`."""
    cell = new_cell(fit, at)
    return {name: float(value) for name, value in _intervals(fit.surface.optimum(cell.p, cell.x)).items()}


def cell_optima(fit: Posterior) -> pd.DataFrame:
    """Optimum of each fitted cell: task and scales, then posterior intervals as in `law_trajectory`."""
    cells = fit.runs.cells
    found = pd.DataFrame(_intervals(fit.surface.optimum(*fitted_cells(fit))), index=cells.index)
    return cells[["task", *fit.runs.scales]].join(found)


def _slopes(fit: Posterior, cell: NewCell, moving: str, beyond: float) -> dict[str, np.ndarray]:
    """Intervals of the exponent where a cell is, and of its optimum, did the exponents stay what the runs say last.

    `beyond` is how far it lies beyond the nearest runs, in ln of the moving covariate; within them there is no such
    optimum (NaN).
    """

    def moved(by: float) -> Arrays:
        return fit.surface.optimum(cell.p, cell.x | {moving: cell.x[moving] + by})

    def exponent(at: float) -> Arrays:
        before, after = moved(at - STEP), moved(at + STEP)
        return {name: (after[name] - before[name]) / (2 * STEP) for name in HYPERPARAMETERS}

    columns: dict[str, np.ndarray] = {}
    for name, value in exponent(0.0).items():
        columns |= interval_columns(value, (0, 1), prefix=f"{name}_exponent_")
    last, there = exponent(-beyond), moved(-beyond)
    straight = _intervals({name: there[name] + beyond * last[name] for name in HYPERPARAMETERS}, "straight_")
    return columns | (straight if beyond else {name: np.array(np.nan) for name in straight})


def _intervals(optimum: Arrays, prefix: str = "") -> dict[str, np.ndarray]:
    """Intervals of learning rate and batch size over chains and draws."""
    columns: dict[str, np.ndarray] = {}
    for name in HYPERPARAMETERS:
        columns |= interval_columns(np.exp(optimum[name]), (0, 1), prefix=f"{name}_{prefix}")
    return columns
