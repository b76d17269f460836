"""The law along the way to a target: where the optimum was in each cell, and where it is going."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import pandas as pd

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
    rows = []
    for value in np.geomspace(ends[0], ends[-1], POINTS):
        cell = new_cell(fit, {**at, moving: value})
        row = {moving: float(value)}
        for name in ("learning_rate", "batch_size"):
            row |= _interval(name, np.exp(getattr(cell, f"log_{name}")))
        rows.append(row)
    return pd.DataFrame(rows)


def cell_optima(fit: Fit) -> pd.DataFrame:
    """Optimum of each fitted cell: task and scales, then posterior intervals as in `law_path`."""
    posterior = fit.tree["posterior"].dataset
    cells = fit.runs.cells
    task = cells["task"].map(fit.runs.tasks.index).to_numpy()
    several = len(fit.runs.tasks) > 1
    p = {name: posterior[name].values for name in ("deviation_learning_rate", "deviation_batch_size")}
    for parameter in fit.law.parameter_list:
        pooled = several and parameter.spread is not None
        value = posterior[f"{parameter.name}_task" if pooled else parameter.name].values
        p[parameter.name] = value[..., task] if pooled else value[..., None]
    with jax.enable_x64(True):
        x = {name: np.log(cells[name].to_numpy(float)) - fit.pivot[name] for name in fit.law.covariates}
        log_batch = surface.best_batch_size(fit.law, p, x)
        log_rate = surface.best_learning_rate(fit.law, p, x, log_batch)
    rows = []
    for i in range(len(cells)):
        draws = {"learning_rate": np.exp(log_rate[..., i]), "batch_size": np.exp(log_batch[..., i])}
        rows.append({k: v for name, value in draws.items() for k, v in _interval(name, value).items()})
    return cells[["task", *fit.runs.scales]].join(pd.DataFrame(rows, index=cells.index))


def _interval(name: str, draws: np.ndarray) -> dict[str, float]:
    tail = (1 - INTERVAL) / 2
    values = np.quantile(draws, [tail, 0.5, 1 - tail])
    return {f"{name}_{which}": float(v) for which, v in zip(("lower", "median", "upper"), values, strict=True)}
