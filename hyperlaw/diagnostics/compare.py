"""`compare`: which of several laws predicts runs better that it has not seen."""

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import arviz_stats as az
import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.utils import ELPDData
from scipy.stats import norm

from hyperlaw.diagnostics.psis_loo import psis_loo
from hyperlaw.diagnostics.refit_cv import by_group, group_error
from hyperlaw.display import Shown, View
from hyperlaw.inference.jobs import check_executor
from hyperlaw.inference.posterior import Posterior
from hyperlaw.quote import quote
from hyperlaw.streams import check_seed

if TYPE_CHECKING:
    from arviz_plots import PlotCollection

WITHHELD = {
    "run": "a left-out run",
    "task": "the runs of a left-out task",
    "scale": "the runs of the next larger scale",
}
ROUGH = 5
R_HAT = 1.05


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Shown):
    """What `compare` returns. Log scores are in nats; higher is better.

    Attributes
    ----------
    table
        As `az.compare` makes it, unrounded: `rank, elpd_diff, dse, elpd, se, weight` (stacking) and more, best first;
        and `weight_pseudo_bma` (pseudo-BMA with the Bayesian bootstrap).
    sentence
        The same in words.
    scores
        ArviZ's `ELPDData` of each fit, by name; `elpd_i` has one log score a run.
    by_group
        Mean log score a run: one row a withheld task or scale, one column a fit; empty when runs are left out.
    refits
        One row a refit: `fit, left_out, runs` (how many), `divergences`, `r_hat` (largest of the law's parameters), and
        whether it `failed`: what all fits could be scored on counts; a run keeps its approximate score.
    """

    table: pd.DataFrame
    sentence: str
    scores: dict[str, ELPDData]
    by_group: pd.DataFrame
    refits: pd.DataFrame

    def view(self) -> View:
        """What is shown of it."""
        folded = {"By group": self.by_group, "Refits": self.refits}
        return View(
            f"Comparison of {', '.join(map(str, self.scores))}",
            self.sentence,
            tables={"": self.table},
            folded={heading: table for heading, table in folded.items() if len(table)},
        )

    def plot(self) -> "PlotCollection":
        """Differences in log score from the best fit, with their standard errors: what `az.plot_compare` returns."""
        from arviz_plots import plot_compare

        return plot_compare(self.table, backend="matplotlib")


def compare(
    fits: Mapping[str, Posterior],
    *,
    leave_out: str = "run",
    seed: int | None = None,
    executor: Executor | None = None,
    progress: bool = True,
) -> Comparison:
    """Compare fits by how well they predict runs that they have not seen.

    The score of a run is the log of its posterior predictive density: whether it diverged and, where it did not, its
    loss. Every law states that density for the loss itself, so no Jacobian enters.

    Parameters
    ----------
    fits
        Two fits or more to the same runs, by name.
    leave_out
        `"run"`: each run, predicted from all others (PSIS-LOO; moment matching, then refits, for runs that sway
        the fit too much for it). This scores interpolation between settings and scales.
        `"task"`: each task, predicted by a refit to the other tasks.
        `"scale"`: each scale in the upper half, predicted by a refit to all smaller ones; scales are ordered by the
        product of their covariates. This scores extrapolation by one step.
    seed
        Determines every draw of the refits: needed for tasks and scales, and for runs when one needs a refit.
    executor
        Whose workers refit, as for `hl.fit_many`; this process when left out. Results are the same.
    progress
        Whether a bar shows how many refits are done.

    Returns
    -------
    Comparison
        Table, sentence and scores. The withheld runs of a task or scale share its lowest loss and its optimum, so
        standard errors and `weight_pseudo_bma` then take the task or scale as the unit.

    Raises
    ------
    ValueError
        With fewer than two fits, fits to different runs, a `leave_out` that is not one of the three, a single task,
        fewer than three scales, no seed where one is needed, or an executor that forks.
    TypeError
        When the seed is not an integer of 0 or more, or `executor` is no executor.
    """
    _check(fits, leave_out, seed)
    check_executor(executor)
    if leave_out == "run":
        scores, refits = psis_loo(fits, seed, executor, progress=progress)
        table, by = _table(scores), pd.DataFrame(columns=list(fits))
    elif seed is None:
        raise ValueError(
            f"leave_out={quote(leave_out)} refits the laws, which needs a seed. Pass seed=0 or another integer."
        )
    else:
        scores, refits = by_group(fits, leave_out, seed, executor, progress=progress)
        groups = _groups(scores, leave_out)
        table, by = _table(scores, groups.sum()), groups.mean()
    return Comparison(table, _sentence(table, scores, by, refits, leave_out), scores, by, refits)


def _check(fits: Mapping[str, Posterior], leave_out: str, seed: int | None) -> None:
    if len(fits) < 2:
        raise ValueError(f"compare needs two fits or more, received {len(fits)}.")
    first, *others = fits
    for name in others:
        if fits[name].table.digest != fits[first].table.digest:
            raise ValueError(
                f"{quote(name)} and {quote(first)} were fitted to different runs ({quote(fits[name].table)} and "
                f"{quote(fits[first].table)}): their scores cannot be compared. Fit both to the same runs."
            )
        if fits[name].table.digest_in_order != fits[first].table.digest_in_order:
            raise ValueError(
                f"{quote(name)} and {quote(first)} were fitted to the same runs in another order: scores are compared "
                "run by run. Fit both to the same table."
            )
    if leave_out not in WITHHELD:
        raise ValueError(f"leave_out must be 'run', 'task' or 'scale', received {quote(leave_out)}.")
    if seed is not None:
        check_seed(seed)


def _groups(scores: Mapping[str, ELPDData], leave_out: str) -> "pd.api.typing.DataFrameGroupBy":
    """Log scores, one column a fit, grouped by the withheld task or scale in the order of leaving out."""
    runs = pd.DataFrame({name: elpd.elpd_i.values for name, elpd in scores.items()})
    group = next(iter(scores.values())).elpd_i[leave_out].to_series().to_numpy()
    return runs.groupby(pd.Series(group, name=leave_out), sort=False)


def _table(scores: Mapping[str, ELPDData], sums: pd.DataFrame | None = None) -> pd.DataFrame:
    """ArviZ's comparison; its errors and bootstrap weights from the groups' `sums` where there are groups."""
    table = az.compare(scores, method="stacking", round_to="none")
    units = dict(scores)
    if sums is not None:
        units = {
            name: replace(elpd, elpd_i=xr.DataArray(sums[name].to_numpy()), n_data_points=len(sums))
            for name, elpd in scores.items()
        }
    by_unit = az.compare(units, method="BB-pseudo-BMA", round_to="none")
    table["weight_pseudo_bma"] = by_unit["weight"]
    if sums is not None:
        table["diag_diff"] = by_unit["diag_diff"]
        table["dse"] = group_error(sums.sub(sums[table.index[0]], axis=0))
        table["p_worse"] = norm.cdf(0, table["elpd_diff"], table["dse"] + 1e-12)
        table.loc[table.index[0], "p_worse"] = np.nan
    return table


def _sentence(
    table: pd.DataFrame, scores: Mapping[str, ELPDData], by: pd.DataFrame, refits: pd.DataFrame, leave_out: str
) -> str:
    best, second = table.index[:2]
    behind, error = -table.loc[second, "elpd_diff"], table.loc[second, "dse"]
    clear = "clearly" if behind > 2 * error else "not clearly"
    text = (
        f"{best} predicts {WITHHELD[leave_out]} better than {second}, {clear}: by {behind:.1f} nats over "
        f"{scores[best].n_data_points} runs"
    )
    if leave_out == "run":
        text += f" (standard error {error:.1f})."
    elif len(by) == 1:
        text += f" in one withheld {leave_out}, which gives no standard error."
    else:
        text += f" in {len(by)} withheld {leave_out}s (standard error {error:.1f}, from the {leave_out}s)."
        if len(by) < ROUGH:
            text += f" With fewer than {ROUGH} withheld {leave_out}s that error is rough."
    if leave_out == "run" and len(refits):
        text += f" {len(refits)} of the scores came from refits."
    failed = refits["failed"].astype(bool)
    if failed.any():
        then = "their runs keep the approximate score" if leave_out == "run" else "what they left out is not counted"
        text += f" {failed.sum()} of {len(refits)} refits failed, and {then}: see `refits`."
    bad = int((((refits["divergences"] > 0) | ~(refits["r_hat"] <= R_HAT)) & ~failed).sum())
    if bad:
        text += (
            f" {bad} of {len(refits)} refits did not sample well (divergences, or R-hat above {R_HAT}): see `refits`."
        )
    return text
