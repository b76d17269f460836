"""`schedule`: when to double the batch size along a run, for laws whose critical batch size grows during training.

    ln B_crit = c + k ln x,   x the data seen, or the loss reached (k < 0)

A batch size B costs few extra data as long as it does not exceed B_crit, and many fewer steps the nearer it comes
(McCandlish et al. 2018, arXiv 1812.06162): batch sizes B, 2B, 4B, ... are used from where B_crit has reached each. Laws
were measured on runs of one batch size each; that they hold along a run whose batch size changes is an assumption.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pandas as pd
import xarray as xr

from hyperlaw.data.runs import Runs
from hyperlaw.inference.fit import Fit
from hyperlaw.inference.predict import INTERVAL, new_cell
from hyperlaw.inference.predict_value import task_parameters
from hyperlaw.inference.target import check_target

GROWS_WITH = ("data", "loss")


@dataclass(frozen=True, eq=False)
class Schedule:
    """What `schedule` returns.

    Attributes
    ----------
    table
        One row a batch size, the first that of the start, each twice the one before: `batch_size` (data points);
        `lower, median, upper` of the data seen (or the loss reached) at which the critical batch size equals it,
        equal-tailed 90 %; `p_reached`: probability that it does before the run ends; and for laws of the learning rate
        `learning_rate_lower`, `_median`, `_upper`: the best one at that batch size and the median data.
    draws
        Dataset with dims `chain, draw, doubling`: `data` or `loss` at which each batch size is reached. Infinite data,
        or a loss of 0, where it never is.
    """

    table: pd.DataFrame
    draws: xr.Dataset

    def __repr__(self) -> str:
        return self.table.to_string(float_format="{:.3g}".format)


def schedule(fit: Fit, at: Mapping[str, Any], *, batch_size: float) -> Schedule:
    """Data (or losses) at which to double the batch size, and the learning rate there.

    Parameters
    ----------
    fit
        A fit of `TimeTransfer` (to runs or optima), `CriticalBatchData` or `CriticalBatchLoss`.
    at
        The end of the run: the law's covariates, and `task` where there are several, as for `fit.predict`.
    batch_size
        Batch size at the start, data points.

    Returns
    -------
    Schedule
        Every doubling that the run is more likely than not to reach. Of a fit to runs the intervals are
        predictive for a new cell.

    Raises
    ------
    ValueError
        When the law says nothing of how the critical batch size grows during a run, the target is not what it needs, or
        the critical batch size does not reach that of the start.
    """
    law = fit.law
    moving = [name for name in GROWS_WITH if name in law.covariates]
    if not (moving and hasattr(law, "log_critical_batch")):
        raise ValueError(
            f"{law.name} does not say how the critical batch size grows during a run. Fit TimeTransfer, "
            "CriticalBatchData or CriticalBatchLoss."
        )
    if not (np.isfinite(batch_size) and batch_size > 0):
        raise ValueError(f"batch_size must be finite and above zero, received {batch_size!r}.")
    (name,) = moving
    p, target = _parameters(fit, at, batch_size)
    x = {c: np.log(target[c]) - fit.pivot[c] for c in law.covariates}
    own = p.get("deviation_batch_size", 0.0)
    with jax.enable_x64(True):
        intercept = np.asarray(law.log_critical_batch(p, x | {name: 0.0})) + own
        slope = np.asarray(law.log_critical_batch(p, x | {name: 1.0})) + own - intercept
    end = intercept + slope * x[name]
    doublings = int(np.floor((np.median(end) - np.log(batch_size)) / np.log(2)))
    if doublings < 0:
        raise ValueError(
            f"the critical batch size at the end of the run is {np.exp(np.median(end)):.3g} (median), below "
            f"batch_size={batch_size:g}: start with a smaller one."
        )
    batches = batch_size * 2.0 ** np.arange(doublings + 1)
    towards = 1.0 if name == "data" else -1.0
    grows = (towards * slope > 0)[..., None]
    with np.errstate(divide="ignore", over="ignore"):
        reached = np.exp((np.log(batches) - intercept[..., None]) / slope[..., None] + fit.pivot[name])
    reached = np.where(grows, reached, np.inf if name == "data" else 0.0)
    table = pd.DataFrame({"batch_size": batches} | _intervals(reached, ""))
    table["p_reached"] = (end[..., None] >= np.log(batches)).mean(axis=(0, 1))
    if "learning_rate" in law.predicts:
        wide = {key: value[..., None] for key, value in p.items()}
        along = x | {name: np.log(table["median"].to_numpy()) - fit.pivot[name]}
        with jax.enable_x64(True):
            rate = np.asarray(law.log_learning_rate(wide, along, np.log(batches) - wide.get("deviation_batch_size", 0)))
        table = table.assign(**_intervals(np.exp(rate + wide.get("deviation_learning_rate", 0)), "learning_rate_"))
    posterior = fit.tree["posterior"]
    coords = {dim: posterior[dim].values for dim in ("chain", "draw")}
    return Schedule(table, xr.Dataset({name: (("chain", "draw", "doubling"), reached)}, coords))


def _parameters(fit: Fit, at: Mapping[str, Any], batch_size: float) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Parameters of the target's task, shape (chain, draw), with deviations of a new cell where there are any."""
    if isinstance(fit.table, Runs):
        cell = new_cell(fit, at)
        return cell.p, cell.target
    target, task = check_target(fit, {**at, **({"batch_size": batch_size} if fit.law.needs_batch_size else {})})
    p = task_parameters(fit, [task], np.random.default_rng([fit.seed, 5]))
    return {name: value[..., 0] for name, value in p.items()}, target


def _intervals(values: np.ndarray, prefix: str) -> dict[str, np.ndarray]:
    tail = (1 - INTERVAL) / 2
    # The draw at each rank, for between finite and infinite ones there is nothing to interpolate.
    quantiles = np.quantile(values, [tail, 0.5, 1 - tail], axis=(0, 1), method="inverted_cdf")
    return {f"{prefix}{which}": v for which, v in zip(("lower", "median", "upper"), quantiles, strict=True)}
