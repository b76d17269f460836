"""What a sweep of runs cannot say: optima at the end of what was tried, batch sizes that do not vary, few levels.

Each function returns the value of one check of `hyperlaw.diagnostics.check`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from hyperlaw.data.runs import Runs
from hyperlaw.data.vocabulary import HYPERPARAMETERS
from hyperlaw.inference.cells import new_cell
from hyperlaw.inference.posterior import Posterior
from hyperlaw.intervals import ranks
from hyperlaw.models.likelihoods.base import BEYOND, Arrays
from hyperlaw.models.likelihoods.surface import best_learning_rate

OF_A_BOWL = 3  # runs: its place, depth and width
NEAR = 0.25  # of the window
SHARE_LEFT = 0.5  # of the prior variance: more of it left, and the prior decides a parameter

_best_learning_rate = jax.jit(best_learning_rate, static_argnums=0)


def at_the_end(runs: Runs, name: str) -> float:
    """Share of the cells that tried three values or more whose best run has the lowest or the highest, or NaN."""
    frame = runs.frame
    tried = frame.groupby("cell")[name].agg(["min", "max", "nunique"])
    means = frame[~frame["diverged"]].groupby(["cell", *HYPERPARAMETERS], as_index=False)["loss"].mean()
    best = means.loc[means.groupby("cell")["loss"].idxmin()].set_index("cell")[name]
    several = tried["nunique"] > 2  # of two values each is an end
    ended = (best == tried["min"]) | (best == tried["max"])
    return float(ended[several].mean())


def together(runs: Runs) -> float:
    """Mean correlation of the logs of learning rate and batch size within cells that tried several of both, or NaN."""
    logs = np.log(runs.frame[list(HYPERPARAMETERS)]).assign(cell=runs.frame["cell"])
    several = logs.groupby("cell").nunique().gt(1).all(axis=1)
    found = [
        abs(np.corrcoef(cell[list(HYPERPARAMETERS)].T)[0, 1]) for index, cell in logs.groupby("cell") if several[index]
    ]
    return float(np.mean(found)) if found else np.nan


def most_batch_sizes(runs: Runs) -> float:
    """Most batch sizes that a cell tried."""
    return float(runs.frame.groupby("cell")["batch_size"].nunique().max())


def hardly_described(posterior: Posterior) -> float:
    """Share of the cells of which fewer runs than a bowl needs lie within the window, and so are described."""
    frame = posterior.runs.frame
    inside = ~frame["diverged"] & (frame["loss"] < posterior.surface.edges(posterior.runs))
    return float((inside.groupby(frame["cell"]).sum() < OF_A_BOWL).mean())


def fewest_levels(posterior: Posterior) -> float:
    """Fewest values of a covariate whose levels have deviations of their own, over tasks."""
    frame = posterior.table.frame
    names = posterior.likelihood.levels(posterior.table)
    return float(min(frame.groupby("task")[name].nunique().min() for name in names))


def one_sidedness(posterior: Posterior, cells: tuple[Arrays, Arrays]) -> float:
    """How far the mean rank of the runs near or far, above or below the best learning rate, lies from one half.

    The largest of four, each less two standard errors of a mean of so many uniform ranks: see `ranks_by_side`.
    """
    _, means = ranks_by_side(posterior, cells)
    return max(0.0, *((means["rank"] - 0.5).abs() - 2 * means["error"])) if len(means) else np.nan


def ranks_by_side(posterior: Posterior, cells: tuple[Arrays, Arrays]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ranks of the runs within the window by the side of the best learning rate on which they lie, and their means.

    Returns
    -------
    ranks
        One row a run: `distance` of its learning rate above the best of its cell at its batch size, ln; `rank`, the
        share of its posterior predictive losses below its own; `side` ("below", "above") and `where` ("near", "far").
    means
        One row a side and place that has runs: `side, where, runs, distance` (median), `rank` (mean), and `error`, the
        standard error of a mean of so many uniform ranks.
    """
    runs, surface = posterior.runs, posterior.surface
    frame = runs.frame
    p, x = cells
    cell = frame["cell"].to_numpy()
    mean = {name: value.mean(axis=(0, 1))[cell] for name, value in p.items()}
    logs = [np.log(frame[name].to_numpy(float)) for name in HYPERPARAMETERS]
    along = {name: np.asarray(value)[cell] for name, value in x.items()}
    with jax.enable_x64(True):
        distance = logs[0] - np.asarray(_best_learning_rate(surface.law.bare, mean, along, logs[1]))
    drawn = posterior.group("posterior_predictive")["loss"].values
    seen = posterior.group("observed_data")["loss"].values
    below, up_to = ranks(drawn, seen, axis=(0, 1))
    rank = (below + up_to) / 2
    above_best = seen - frame.assign(seen=seen).groupby("cell")["seen"].transform("min").to_numpy()
    edge = np.nanmax(above_best)
    inside = np.isfinite(seen) & (above_best < edge * (1 - 1e-9))
    side = np.where(distance > 0, "above", "below")
    where = np.where(above_best < NEAR * edge, "near", "far")
    one_a_run = pd.DataFrame({"distance": distance, "rank": rank, "side": side, "where": where}, frame.index)[inside]
    means = one_a_run.groupby(["side", "where"], as_index=False).agg(
        runs=("rank", "size"), distance=("distance", "median"), rank=("rank", "mean")
    )
    return one_a_run, means.assign(error=1 / np.sqrt(12 * means["runs"]))


def left_to_the_prior(posterior: Posterior) -> float:
    """Share of the spread of the best learning rate beyond the runs that goes with what the prior decides.

    At four times the largest data (or the largest scale) of the last task: the share of the variance of ln eta* that a
    linear regression explains on the parameters of which the runs removed less than half of the prior variance.
    """
    runs = posterior.runs
    at: dict[str, float | str | None] = {name: float(runs.frame[name].max()) for name in posterior.law.covariates}
    moving = "data" if "data" in at else next(iter(at))
    at[moving] = BEYOND * float(runs.frame[moving].max())
    if "batch_size" in posterior.likelihood.needs_at(runs):
        at["batch_size"] = float(runs.frame["batch_size"].median())
    if len(runs.tasks) > 1:
        at["task"] = runs.tasks[-1]
    cell = new_cell(posterior, at, "check")
    rate = posterior.surface.optimum(cell.p, cell.x)["learning_rate"].ravel()
    prior = posterior.group("prior")
    loose = [
        cell.p[p.name].ravel()
        for p in posterior.likelihood.parameter_list
        if float(posterior.draws[p.name].var()) > SHARE_LEFT * float(prior[p.name].var())
    ]
    columns = np.column_stack([np.ones(rate.size), *loose])
    left = rate - columns @ np.linalg.lstsq(columns, rate)[0]
    return float(1 - left.var() / rate.var())


def informed(posterior: Posterior) -> set[str]:
    """Parameters of the law that its table can say anything of.

    Where no cell of a sweep tried several batch sizes, those alone that move the best learning rate at the best batch
    size. Where both are measured at their best, those that move either: how the learning rate goes with other batch
    sizes is not seen.
    """
    law, table = posterior.law, posterior.table
    names = [p.name for p in law.own_parameters]
    if "batch_size" not in law.predicts:
        return set(names)
    if posterior.likelihood.prices_settings:
        seen = ["learning_rate"] if posterior.surface.given(posterior.runs) else []
    else:
        seen = [name for name in HYPERPARAMETERS if name in law.predicts and name in set(table.points()["quantity"])]
        seen = seen if len(seen) == len(HYPERPARAMETERS) else []
    if not seen:
        return set(names)

    def at_best(p: dict[str, float]) -> jax.Array:
        x = dict.fromkeys(law.covariates, 0.5)  # anywhere but at the pivot, where no exponent matters
        batch = law.log_value("batch_size", p, x, 0.0)
        return jnp.stack([jnp.asarray(law.log_value(name, p, x, batch)) for name in seen])

    slopes = jax.jacfwd(at_best)(dict.fromkeys(names, 0.5))
    return {name for name, slope in slopes.items() if np.abs(slope).max() > 1e-6}
