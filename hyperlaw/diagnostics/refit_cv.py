"""Log scores of runs that a law was refitted without: whole tasks, or the next larger scale."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.utils import ELPDDataLOOKFold
from numpyro import handlers
from scipy.special import logsumexp

from hyperlaw.data.table import Table
from hyperlaw.inference.jobs import in_order
from hyperlaw.inference.posterior import Posterior
from hyperlaw.inference.refit import FAILED_R_HAT, failed, quality, refit
from hyperlaw.models.likelihoods.base import Design, Likelihood
from hyperlaw.quote import quote
from hyperlaw.streams import jax_key

ANEW = 20


class Part(NamedTuple):
    """What one refit leaves out: booleans of shape (run,).

    Attributes
    ----------
    label
        Name of what is left out.
    keep
        Runs to refit to.
    out
        Runs to score then. A run may be in neither.
    anew
        What they share that no kept run has: nothing, or the dims `cell`, or `task` and `cell`.
    """

    label: str
    keep: np.ndarray
    out: np.ndarray
    anew: tuple[str, ...] = ()


def by_group(
    fits: Mapping[str, Posterior], leave_out: str, seed: int, executor: Executor | None = None, *, progress: bool = True
) -> tuple[dict[str, ELPDDataLOOKFold], pd.DataFrame]:
    """Log score of withheld runs under each fit's law, refitted without their task or scale.

    Parameters
    ----------
    fits
        Fits to the same runs, by name.
    leave_out
        `"task"` or `"scale"`.
    seed
        Determines every draw.
    executor
        Whose workers refit; this process when left out.
    progress
        Whether a bar shows how many are done.

    Returns
    -------
    scores
        By name of the fit. `elpd_i` holds the withheld runs alone; its coordinate `task` or `scale` says where each
        belongs, and that is the unit of `se`.
    refits
        As `score` returns.

    Raises
    ------
    ValueError
        With a single task, fewer than three scales, or nothing left that all fits could be scored on.
    """
    table = next(iter(fits.values())).table
    parts = without_task(table) if leave_out == "task" else without_scale(table)
    values, refits = score(fits, [(name, part) for name in fits for part in parts], seed, executor, progress)
    each = len(parts)
    of_fit = {name: values[i * each : (i + 1) * each] for i, name in enumerate(fits)}
    # Laws are compared on what all of them could be scored on.
    whole = [i for i in range(each) if not any(np.isnan(found[i]).any() for found in of_fit.values())]
    if not whole:
        raise ValueError(
            f"of every {leave_out} that was left out a refit failed (its chains disagree, R-hat above {FAILED_R_HAT}): "
            "there is nothing to compare. Simplify the laws, tighten their priors, or leave out 'run'."
        )
    scores = {
        name: _elpd(fit, leave_out, [parts[i] for i in whole], [of_fit[name][i] for i in whole])
        for name, fit in fits.items()
    }
    return scores, refits


def without_task(runs: Table) -> list[Part]:
    """Each task in turn; ValueError with a single one."""
    if len(runs.tasks) < 2:
        raise ValueError(
            f"leave_out='task' needs two tasks or more, these runs have one, {quote(runs.tasks[0])}. Name the task "
            "column when making the runs, or leave out 'run' or 'scale'."
        )
    task = runs.frame["task"].to_numpy()
    return [Part(name, keep=task != name, out=task == name, anew=("task", "cell")) for name in runs.tasks]


def without_scale(runs: Table) -> list[Part]:
    """Each scale of the upper half in turn, with all smaller ones to refit to; ValueError with fewer than three.

    Scales are ordered by the product of `runs.scales`; those of one product are left out together.
    """
    frame = runs.frame
    size = np.log(frame[list(runs.scales)]).sum(axis=1).round(9)  # equal products differ in their last digits
    ordered = np.sort(size.unique())
    if len(ordered) < 3:
        raise ValueError(
            f"leave_out='scale' needs three scales or more, two to fit and one to predict; these runs have "
            f"{len(ordered)} (different products of {', '.join(runs.scales)}). Add runs, or leave out 'run'."
        )
    of_row = size.to_numpy()
    return [
        Part(_scale_label(frame[size == value], runs), keep=of_row < value, out=of_row == value, anew=("cell",))
        for value in ordered[math.ceil(len(ordered) / 2) :]
    ]


def _scale_label(rows: pd.DataFrame, runs: Table) -> str:
    distinct = rows[list(runs.scales)].drop_duplicates()
    # In full, since scales are told apart by their labels from here on.
    return "; ".join(", ".join(f"{name} {row[name]:.10g}" for name in runs.scales) for _, row in distinct.iterrows())


def score(
    fits: Mapping[str, Posterior],
    jobs: Sequence[tuple[str, Part]],
    seed: int,
    executor: Executor | None,
    progress: bool,
) -> tuple[list[np.ndarray], pd.DataFrame]:
    """Refit for each job, a name of `fits` and a part, and score the runs left out.

    Returns
    -------
    values
        For each job, the log of the mean density over draws of each run left out; in nats, shape (run left out,).
    refits
        One row a job: `fit, left_out, runs` (how many), `divergences`, `r_hat` (largest of the law's parameters), and
        whether it `failed`: then its values are NaN.
    """
    # Models and tables go to the workers, not fits: those are many times larger.
    asked = [_Job(fits[name].likelihood, fits[name].table, part, seed + i) for i, (name, part) in enumerate(jobs)]
    found = in_order(_scored, asked, executor, "refitting", progress=progress)
    rows = [
        {"fit": name, "left_out": part.label, "runs": int(part.out.sum())} | sampled | {"failed": failed(sampled)}
        for (name, part), (_, sampled) in zip(jobs, found, strict=True)
    ]
    refits = pd.DataFrame(rows, columns=["fit", "left_out", "runs", "divergences", "r_hat", "failed"])
    return [value for value, _ in found], refits


class _Job(NamedTuple):
    """One refit."""

    likelihood: Likelihood
    table: Table
    part: Part
    seed: int


def _scored(job: _Job) -> tuple[np.ndarray, dict[str, float]]:
    """Log score of each run left out, and how well the refit was sampled."""
    keep = pd.Series(job.part.keep, index=job.table.frame.index)
    again = refit(job.likelihood, job.table, seed=job.seed, keep=keep)
    sampled = quality(again)
    if failed(sampled):
        return np.full(int(job.part.out.sum()), np.nan), sampled
    return log_mean_exp(log_densities(again, job.part, job.seed)), sampled


def log_densities(fit: Posterior, part: Part, seed: int) -> np.ndarray:
    """Log density of each run left out, in nats, under every draw of a refit; the run is the last of three axes.

    What the runs left out share is drawn from its population many times in each draw: the density of a run is narrow
    beside the scatter of floors and optima, so that the mean over one of them a draw would depend on the seed.
    """
    if not part.anew:
        return fit.row_densities.values[..., part.out]
    posterior = fit.draws
    known = {
        name: v.values.reshape(-1, *v.shape[2:]) for name, v in posterior.items() if not set(part.anew) & set(v.dims)
    }
    draws = posterior.sizes["chain"] * posterior.sizes["draw"]
    with jax.enable_x64(True):
        kept = pd.Series(part.keep, index=fit.table.frame.index)
        design = fit.likelihood.design(fit.table, kept)
        design = design._replace(observed=design.present)
        keys = jax.random.split(jax_key(seed, "left out"), (ANEW, draws))
        density, out = _anew(fit.likelihood.bare), np.flatnonzero(part.out)
        return np.stack([np.asarray(density(key, known, design))[:, out] for key in keys])


@functools.lru_cache(maxsize=32)
def _anew(likelihood: Likelihood) -> Callable:
    """Compiled: log density of every run in each draw, sites that are not given drawn from the model."""

    def density(key: jax.Array, known: Any, design: Design) -> jax.Array:
        trace = handlers.trace(handlers.substitute(handlers.seed(likelihood.model, key), known)).get_trace(design)
        return sum(trace[name]["fn"].log_prob(trace[name]["value"]) for name in likelihood.measured(design))

    return jax.jit(jax.vmap(density, (0, 0, None)))


def log_mean_exp(density: np.ndarray) -> np.ndarray:
    """Log of the mean density over the first two of three axes."""
    return logsumexp(density, axis=(0, 1)) - np.log(density.shape[0] * density.shape[1])


def group_error(sums: pd.DataFrame) -> pd.Series:
    """Standard error of the total of each column, with the row as the unit; NaN for a single row."""
    return np.sqrt(len(sums) * sums.var(ddof=1))


def _elpd(fit: Posterior, leave_out: str, parts: Sequence[Part], values: Sequence[np.ndarray]) -> ELPDDataLOOKFold:
    """As ArviZ's k-fold cross-validation, but with the group as the unit of the standard error."""
    log_likelihood, row = fit.row_densities, fit.likelihood.row
    at = np.concatenate([np.flatnonzero(part.out) for part in parts])
    group = np.repeat([part.label for part in parts], [len(value) for value in values])
    coords = {row: log_likelihood[row].values[at], leave_out: (row, group)}
    elpd_i = xr.DataArray(np.concatenate(values), dims=row, coords=coords)
    p_i = log_mean_exp(log_likelihood.values[..., at]) - elpd_i
    return ELPDDataLOOKFold(
        elpd=float(elpd_i.sum()),
        se=float(group_error(pd.DataFrame({"sum": [value.sum() for value in values]}))["sum"]),
        p=float(p_i.sum()),
        n_samples=log_likelihood.sizes["chain"] * log_likelihood.sizes["draw"],
        n_data_points=elpd_i.size,
        scale="log",
        warning=False,
        good_k=None,
        elpd_i=elpd_i,
        n_folds=len(parts),
        p_kfold_i=p_i,
    )
