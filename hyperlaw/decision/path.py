"""The law along the way to a target: where the optimum was in each cell, and where it is going."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import pandas as pd

from hyperlaw.inference.cells import cell_parameters
from hyperlaw.inference.fit import Fit
from hyperlaw.inference.predict import INTERVAL, new_cell
from hyperlaw.models import surface

POINTS = 25


def law_path(fit: Fit, at: Mapping[str, Any]) -> pd.DataFrame:
    """Predictive intervals of the optimum from the smallest runs to the target.

    The covariate that is extrapolated furthest moves; the others, and the task, stay at the target.

    Returns
    -------
    DataFrame
        First column that covariate; then `learning_rate_lower`, `_median`, `_upper`, and the same of `batch_size`.
    """
    cells = fit.runs.cells
    reach = {name: abs(np.log(at[name] / cells[name]).to_numpy()).max() for name in fit.law.covariates}
    beyond = {name: np.log(at[name] / cells[name].max()) for name in fit.law.covariates}
    moving = max(fit.law.covariates, key=lambda name: (max(beyond[name], 0.0), reach[name]))
    ends = sorted([float(cells[moving].min()), float(cells[moving].max()), float(at[moving])])
    rows = [
        {moving: float(value)} | target_optimum(fit, {**at, moving: value})
        for value in np.geomspace(ends[0], ends[-1], POINTS)
    ]
    return pd.DataFrame(rows)


def target_optimum(fit: Fit, at: Mapping[str, Any]) -> dict[str, float]:
    """Predictive intervals of the optimum of a new cell at `at`, named as in `law_path`; errors as for `predict`."""
    cell = new_cell(fit, at)
    return _intervals(cell.log_learning_rate, cell.log_batch_size)


def cell_optima(fit: Fit) -> pd.DataFrame:
    """Optimum of each fitted cell: task and scales, then posterior intervals as in `law_path`."""
    cells = fit.runs.cells
    p, x = cell_parameters(fit)
    with jax.enable_x64(True):
        log_batch = surface.best_batch_size(fit.law, p, x)
        log_rate = surface.best_learning_rate(fit.law, p, x, log_batch)
    rows = [_intervals(log_rate[..., i], log_batch[..., i]) for i in range(len(cells))]
    return cells[["task", *fit.runs.scales]].join(pd.DataFrame(rows, index=cells.index))


def _intervals(log_rate: np.ndarray, log_batch: np.ndarray) -> dict[str, float]:
    tail = (1 - INTERVAL) / 2
    row: dict[str, float] = {}
    for name, logs in (("learning_rate", log_rate), ("batch_size", log_batch)):
        values = np.quantile(np.exp(logs), [tail, 0.5, 1 - tail])
        row |= {f"{name}_{which}": float(v) for which, v in zip(("lower", "median", "upper"), values, strict=True)}
    return row
