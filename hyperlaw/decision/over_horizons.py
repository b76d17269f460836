"""`over_horizons`: how the best learning rate at a held batch size moves with the horizon, and what holding it costs.

    eta*(T, B):  d ln eta* / d ln T at a given B

Three regimes (Filatov et al. 2024, arXiv 2410.05838): for a batch size far below, at and far above a critical one that
itself grows with T, this exponent is rho - kappa/2, rho and rho + kappa/2 of `TimeTransfer`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from hyperlaw.data.vocabulary import At
from hyperlaw.decision.mixture import Part, part
from hyperlaw.decision.trusted import trusted
from hyperlaw.display import Shown, View
from hyperlaw.inference.posterior import Posterior
from hyperlaw.intervals import interval_columns
from hyperlaw.models.likelihoods.surface import GIVEN, best_learning_rate, cell_shape, run_loss
from hyperlaw.quote import quote

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEP = 1e-3  # half of a difference in ln T
SURE = 0.9
QUANTITIES = ("learning_rate", "exponent", "regret")


@dataclass(frozen=True, eq=False, repr=False)
class OverHorizons(Shown):
    """What `over_horizons` returns.

    Attributes
    ----------
    table
        One row a horizon and batch size (`data`, `batch_size`, data points), with `lower, median, upper` (90 %,
        equal-tailed) of: `learning_rate_*`, the best one at that batch size; `exponent_*`, by what power of the data it
        moves there while the batch size is held; `regret_*`, what the batch size costs against the best one there, each
        at its best learning rate. For laws with a critical batch size `p_below`, the probability that the batch size
        lies below it, and `regime`: "below" or "above" where that is 90 % sure, else "around".
    draws
        Dataset with dims `sample, data, batch_size`: the same quantities; and `critical_batch`, dims `sample, data`.
    loss_unit
        Unit of the regret.
    despite
        Reason given for going on although checks failed.
    """

    table: pd.DataFrame
    draws: xr.Dataset
    loss_unit: str
    despite: str | None

    def plot(self) -> "Figure":
        """Best learning rate and cost of every batch size over the horizon: see `hyperlaw.plots.over_horizons`."""
        from hyperlaw.plots.over_horizons import plot_over_horizons

        return plot_over_horizons(self.table, loss_unit=self.loss_unit)

    def view(self) -> View:
        """What is shown of it."""
        batches = self.table["batch_size"].nunique()
        return View(
            f"{batches} batch size{'s' if batches > 1 else ''}, held over {self.table['data'].nunique()} horizons",
            f"Each at the best learning rate for it; regret in {self.loss_unit}, against the best batch size."
            + (f"\nChecks failed; the reason given to go on: {self.despite}." if self.despite else ""),
            tables={"": self.table},
            picture=self.plot,
        )


def over_horizons(
    fit: Posterior, at: At, *, data: ArrayLike, batch_size: ArrayLike, despite: str | None = None
) -> OverHorizons:
    """Best learning rate, its local exponent with data, and the cost of batch sizes that are held as training grows.

    Parameters
    ----------
    fit
        A fit of runs by a law of data, such as `hl.laws.TimeTransfer` or `hl.laws.StepLaw`.
    at
        The law's other covariates, and `task` where there are several, as for `fit.predict`.
    data
        Horizons, in the unit of the table.
    batch_size
        Batch sizes, data points.
    despite
        Reason for going on although checks failed.

    Returns
    -------
    OverHorizons
        Predictive for a new cell at each horizon, which has its own deviations.

    Raises
    ------
    ValueError
        When the fit is not one of runs by a law of data, no cell tried several batch sizes, `at` gives the data, or a
        number is not above zero.
    RuntimeError
        When a check of the fit failed and no reason is given in `despite`.
    """
    if not fit.likelihood.prices_settings or "data" not in fit.law.covariates:
        raise ValueError(
            f"over_horizons needs a fit of runs by a law of data, received one of {fit.table.kind} by {fit.law.name}. "
            "Fit hl.laws.TimeTransfer or hl.laws.StepLaw to hl.Runs."
        )
    if "data" in at:
        raise ValueError("at must not give data, which moves; data= has the horizons.")
    horizons, batches = _positive("data", data), _positive("batch_size", batch_size)
    parts = [part(fit.law.name, fit, {**at, "data": horizon})[0] for horizon in horizons]
    if GIVEN in parts[0].p:
        raise ValueError(
            "no cell of these runs tried several batch sizes: they say nothing of what another one would change. "
            "Add runs at other batch sizes."
        )
    checks = trusted({fit.law.name: fit}, despite)
    logs = np.log(batches)
    found = [_held(one, logs) for one in parts]
    dims = ("sample", "data", "batch_size")
    coords = {"data": horizons, "batch_size": batches}
    draws = xr.Dataset({name: (dims, np.stack([f[name] for f in found], axis=1)) for name in QUANTITIES}, coords)
    rows = [
        {"data": horizon, "batch_size": batch} | _row(draws.isel(data=i, batch_size=j))
        for i, horizon in enumerate(horizons)
        for j, batch in enumerate(batches)
    ]
    table = pd.DataFrame(rows)
    if fit.law.has_critical_batch:
        critical = np.stack([_critical(one) for one in parts], axis=1)
        draws["critical_batch"] = (dims[:2], np.exp(critical))
        below = (logs < critical[..., None]).mean(axis=0).ravel()
        table["p_below"] = below
        table["regime"] = np.select([below >= SURE, below <= 1 - SURE], ["below", "above"], "around")
    return OverHorizons(table, draws, fit.runs.loss_unit, None if checks.ok else despite)


def _positive(name: str, values: ArrayLike) -> np.ndarray:
    numbers = np.unique(np.asarray(values, float))
    if not numbers.size or not (np.isfinite(numbers) & (numbers > 0)).all():
        raise ValueError(f"{name} must be finite and above zero, received {quote(numbers.tolist())}.")
    return numbers


def _held(one: Part, logs: np.ndarray) -> dict[str, np.ndarray]:
    """Quantities of the batch sizes at one horizon, shape (sample, batch size)."""
    p = {name: np.asarray(value)[..., None] for name, value in one.p.items()}
    with jax.enable_x64(True):
        rate, before, after = (
            best_learning_rate(one.law, p, one.x | {"data": one.x["data"] + by}, logs) for by in (0.0, -STEP, STEP)
        )
        regret = run_loss(one.law, p, one.x, rate, logs).excess
        return {
            "learning_rate": np.exp(np.asarray(rate)),
            "exponent": np.asarray(after - before) / (2 * STEP),
            "regret": np.broadcast_to(np.asarray(regret), np.shape(rate)),
        }


def _critical(one: Part) -> np.ndarray:
    """Natural log of the critical batch size in each draw, moved as the cell's best batch size is."""
    with jax.enable_x64(True):
        return np.asarray(one.law.log_critical_batch(one.p, one.x) + cell_shape(one.law, one.p, one.x).moved_batch_size)


def _row(here: xr.Dataset) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for name in QUANTITIES:
        columns |= interval_columns(here[name].values, 0, prefix=f"{name}_")
    return columns
