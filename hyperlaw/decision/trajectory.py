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


def law_trajectory(fit: Posterior, at: At) -> pd.DataFrame:
    """Predictive intervals of the optimum from the smallest runs to the target.

    The covariate that is extrapolated furthest moves; the others, and the task, stay at the target.

    Returns
    -------
    DataFrame
        First column that covariate; then `learning_rate_lower`, `_median`, `_upper`; `learning_rate_straight_lower`,
        `_median`, `_upper`, as if no exponent drifted; `learning_rate_exponent_lower`, `_median`, `_upper`, the
        exponent there, d ln / d ln; and the same of `batch_size`.
    """
    cells = fit.runs.cells
    there = {name: number(at, name) for name in fit.law.covariates}
    reach = {name: abs(np.log(value / cells[name]).to_numpy()).max() for name, value in there.items()}
    beyond = {name: np.log(value / cells[name].max()) for name, value in there.items()}
    moving = max(fit.law.covariates, key=lambda name: (max(beyond[name], 0.0), reach[name]))
    ends = sorted([float(cells[moving].min()), float(cells[moving].max()), there[moving]])
    scales = np.geomspace(ends[0], ends[-1], POINTS)
    on_the_way = [new_cell(fit, {**at, moving: value}) for value in scales]
    table = pd.DataFrame([_intervals(fit.surface.optimum(c.p, c.x)) | _slopes(fit, c, moving) for c in on_the_way])
    table.insert(0, moving, scales)
    return table


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


def _slopes(fit: Posterior, cell: NewCell, moving: str) -> dict[str, np.ndarray]:
    """Intervals of the optimum of a cell were its exponents the same everywhere, and of its exponent where it is."""
    fixed = {name: np.zeros_like(v) if name.startswith("drift_") else v for name, v in cell.p.items()}
    straight = fit.surface.optimum(fixed, cell.x)
    before, after = (fit.surface.optimum(cell.p, cell.x | {moving: cell.x[moving] + by}) for by in (-STEP, STEP))
    columns = _intervals(straight, "straight_")
    for name in HYPERPARAMETERS:
        columns |= interval_columns((after[name] - before[name]) / (2 * STEP), (0, 1), prefix=f"{name}_exponent_")
    return columns


def _intervals(optimum: Arrays, prefix: str = "") -> dict[str, np.ndarray]:
    """Intervals of learning rate and batch size over chains and draws."""
    columns: dict[str, np.ndarray] = {}
    for name in HYPERPARAMETERS:
        columns |= interval_columns(np.exp(optimum[name]), (0, 1), prefix=f"{name}_{prefix}")
    return columns
