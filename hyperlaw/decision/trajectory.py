"""The law along the way to a target: where the optimum was in each cell, and where it is going."""

import numpy as np
import pandas as pd

from hyperlaw.data.vocabulary import HYPERPARAMETERS, At, number
from hyperlaw.inference.cells import fitted_cells, new_cell
from hyperlaw.inference.posterior import Posterior
from hyperlaw.intervals import interval_columns
from hyperlaw.models.likelihoods.base import Arrays

POINTS = 25


def law_trajectory(fit: Posterior, at: At) -> pd.DataFrame:
    """Predictive intervals of the optimum from the smallest runs to the target.

    The covariate that is extrapolated furthest moves; the others, and the task, stay at the target.

    Returns
    -------
    DataFrame
        First column that covariate; then `learning_rate_lower`, `_median`, `_upper`, and the same of `batch_size`.
    """
    cells = fit.runs.cells
    there = {name: number(at, name) for name in fit.law.covariates}
    reach = {name: abs(np.log(value / cells[name]).to_numpy()).max() for name, value in there.items()}
    beyond = {name: np.log(value / cells[name].max()) for name, value in there.items()}
    moving = max(fit.law.covariates, key=lambda name: (max(beyond[name], 0.0), reach[name]))
    ends = sorted([float(cells[moving].min()), float(cells[moving].max()), there[moving]])
    rows = [
        {moving: float(value)} | target_optimum(fit, {**at, moving: value})
        for value in np.geomspace(ends[0], ends[-1], POINTS)
    ]
    return pd.DataFrame(rows)


def target_optimum(fit: Posterior, at: At) -> dict[str, float]:
    """Predictive intervals of the optimum of a new cell, named as in `law_trajectory`; errors as for `predict`."""
    cell = new_cell(fit, at)
    return {name: float(value) for name, value in _columns(fit.surface.optimum(cell.p, cell.x)).items()}


def cell_optima(fit: Posterior) -> pd.DataFrame:
    """Optimum of each fitted cell: task and scales, then posterior intervals as in `law_trajectory`."""
    cells = fit.runs.cells
    found = pd.DataFrame(_columns(fit.surface.optimum(*fitted_cells(fit))), index=cells.index)
    return cells[["task", *fit.runs.scales]].join(found)


def _columns(optimum: Arrays) -> dict[str, np.ndarray]:
    """Intervals over chains and draws."""
    columns: dict[str, np.ndarray] = {}
    for name in HYPERPARAMETERS:
        columns |= interval_columns(np.exp(optimum[name]), (0, 1), prefix=f"{name}_")
    return columns
