"""`schedule`: when to double the batch size along a run, for laws whose critical batch size grows during training.

    ln B_crit = c + k ln x,   x the data seen, or the loss reached (k < 0)

A batch size B costs few extra data as long as it does not exceed B_crit, and many fewer steps the nearer it comes
(McCandlish et al. 2018, arXiv 1812.06162): batch sizes B, 2B, 4B, ... are used from where B_crit has reached each. Laws
were measured on runs of one batch size each; that they hold along a run whose batch size changes is an assumption.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import pandas as pd
import xarray as xr

from hyperlaw.data.vocabulary import At, number
from hyperlaw.decision.trusted import trusted
from hyperlaw.display import Shown, View
from hyperlaw.inference.cells import new_cell
from hyperlaw.inference.posterior import Posterior
from hyperlaw.intervals import interval_columns
from hyperlaw.models.likelihoods.deviations import drift
from hyperlaw.quote import quote

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GROWS_WITH = ("data", "loss")


@dataclass(frozen=True, eq=False, repr=False)
class Schedule(Shown):
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
    at
        The end of the run.
    """

    table: pd.DataFrame
    draws: xr.Dataset
    at: dict[str, Any]

    def plot(self) -> "Figure":
        """The batch size along the run, and the learning rate: see `hyperlaw.plots.schedule`."""
        from hyperlaw.plots.schedule import plot_schedule

        (along,) = self.draws.data_vars
        return plot_schedule(self.table, along=str(along), end=number(self.at, str(along)))

    def view(self) -> View:
        """What is shown of it."""
        over = next(name for name in GROWS_WITH if name in self.draws)
        count = len(self.table) - 1
        return View(
            f"Schedule: {count} doubling{'s' if count != 1 else ''} of the batch size",
            f"Double the batch size where the critical batch size reaches the next one: at the {over} below (90 %).",
            tables={"": self.table},
            picture=self.plot,
        )


def schedule(fit: Posterior, at: At, *, batch_size: float, despite: str | None = None) -> Schedule:
    """Data (or losses) at which to double the batch size, and the learning rate there.

    Parameters
    ----------
    fit
        A fit of `TimeTransfer` (to runs or optima), `CriticalBatchData` or `CriticalBatchLoss`.
    at
        The end of the run: the law's covariates, and `task` where there are several, as for `fit.predict`.
    batch_size
        Batch size at the start, data points.
    despite
        Reason for deciding although checks failed.

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
    RuntimeError
        When a check of the fit failed and no reason is given in `despite`.
    """
    law = fit.law
    moving = [name for name in GROWS_WITH if name in law.covariates]
    if not (moving and law.has_critical_batch):
        raise ValueError(
            f"{law.name} does not say how the critical batch size grows during a run. Fit TimeTransfer, "
            "CriticalBatchData or CriticalBatchLoss."
        )
    if not (np.isfinite(batch_size) and batch_size > 0):
        raise ValueError(f"batch_size must be finite and above zero, received {quote(batch_size)}.")
    if "batch_size" in at:
        raise ValueError("at must not give batch_size, which changes along the run; batch_size= is that of its start.")
    (name,) = moving
    given = "batch_size" in fit.likelihood.needs_at(fit.table)
    cell = new_cell(fit, {**at, "batch_size": batch_size} if given else at)
    trusted({law.name: fit}, despite)
    p, x = cell.p, cell.x
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
    reached = _reached(intercept[..., None], slope[..., None], np.log(batches), falls=name == "loss")
    reached = reached * np.exp(fit.pivot[name])
    # The draw at each rank, for between finite and infinite ones there is nothing to interpolate.
    table = pd.DataFrame({"batch_size": batches} | interval_columns(reached, (0, 1), ranked=True))
    table["p_reached"] = (end[..., None] >= np.log(batches)).mean(axis=(0, 1))
    if "learning_rate" in law.predicts:
        wide = {key: value[..., None] for key, value in p.items()}
        along = x | {name: np.log(table["median"].to_numpy()) - fit.pivot[name]}
        asked = np.log(batches) - wide.get("deviation_batch_size", 0)
        with jax.enable_x64(True):
            rate = np.asarray(law.log_value("learning_rate", wide, along, asked))
        # Of a fit to runs the cell's own deviation holds that of its levels.
        moved = wide.get("deviation_learning_rate", fit.likelihood.level_deviation(wide, "learning_rate"))
        rate = np.exp(rate + drift(wide, "learning_rate", along) + moved)
        table = table.assign(**interval_columns(rate, (0, 1), prefix="learning_rate_", ranked=True))
    coords = {dim: fit.draws[dim].values for dim in ("chain", "draw")}
    return Schedule(table, xr.Dataset({name: (("chain", "draw", "doubling"), reached)}, coords), dict(at))


def _reached(intercept: np.ndarray, slope: np.ndarray, log_batches: np.ndarray, *, falls: bool) -> np.ndarray:
    """Where, over the pivot, the critical batch size reaches each batch size; never where it does not grow that way."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        reached = np.exp((log_batches - intercept) / slope)
    return np.where(slope < 0 if falls else slope > 0, reached, 0.0 if falls else np.inf)
