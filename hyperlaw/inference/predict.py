"""`predict`: the optimum, the loss and the regret surface of an unseen cell, in every draw."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import expit

from hyperlaw.inference.target import check_target
from hyperlaw.models import surface
from hyperlaw.models.pooled import shift

if TYPE_CHECKING:
    from hyperlaw.inference.fit import Fit
    from hyperlaw.models.law import Law

INTERVAL = 0.9
GRID = (57, 41)
# Beyond where the optimum may be, so that the cost of missing it can be seen: half an octave.
MARGIN = np.log(2) / 2


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a fit expects at a target scale.

    Attributes
    ----------
    at
        The target: each covariate, and the task.
    table
        Rows `learning_rate`, `batch_size` (the optimum) and `loss` (at the optimum), columns
        `lower, median, upper`: equal-tailed 90 % intervals, predictive for a new cell.
    draws
        Dataset with dims `chain, draw, candidate`: `best_learning_rate`, `best_batch_size`, `best_loss` (nats)
        in each draw; for each candidate (`learning_rate`, `batch_size`) its `regret` (nats above the optimum
        of that draw), `diverge` (probability) and `loss` (nats, of one run, with its scatter).
    extrapolation
        One row a covariate: the target, the range of the runs, and by how many decades the target lies beyond.
    """

    at: dict[str, Any]
    table: pd.DataFrame
    draws: xr.Dataset
    extrapolation: pd.DataFrame


def predict(fit: "Fit", at: Mapping[str, Any], candidates: Mapping[str, np.ndarray] | None = None) -> Prediction:
    """Predict a new cell at a target scale, with the cell's own deviation drawn anew in every draw.

    Parameters
    ----------
    fit
        A fitted law.
    at
        Value of each covariate of the law, such as `{"params": 7e9, "data": 1.4e12}`. With several tasks also
        `"task"`: a known label, or None for a new task, drawn from the population of tasks.
    candidates
        Settings to price: arrays `learning_rate` and `batch_size` of equal length. Left out, a grid over where the
        optimum may be.

    Returns
    -------
    Prediction
        Reproducible: the new cell's deviations come from the fit's own seed.

    Raises
    ------
    ValueError
        When the target or the candidates are not what the law needs.
    """
    cell = new_cell(fit, at)
    if candidates is None:
        most = cell.target.get("data", np.inf)
        pairs = grid(span(cell.log_learning_rate, GRID[0]), np.minimum(span(cell.log_batch_size, GRID[1]), most))
    else:
        pairs = check_candidates(candidates)
    regret, scale, diverge = cell.runs_at(fit.law, pairs["learning_rate"], pairs["batch_size"])
    scatter = scale * cell.rng.standard_t(cell.p["tail"][..., None], regret.shape)
    by_draw, by_candidate = ("chain", "draw"), ("chain", "draw", "candidate")
    draws = xr.Dataset(
        {
            "best_learning_rate": (by_draw, np.exp(cell.log_learning_rate)),
            "best_batch_size": (by_draw, np.exp(cell.log_batch_size)),
            "best_loss": (by_draw, cell.loss),
            "regret": (by_candidate, regret),
            "diverge": (by_candidate, diverge),
            "loss": (by_candidate, cell.loss[..., None] + regret + scatter),
            "learning_rate": ("candidate", pairs["learning_rate"]),
            "batch_size": ("candidate", pairs["batch_size"]),
        },
        coords={name: fit.tree["posterior"][name].values for name in by_draw},
    )
    table = optimum_table(cell.log_learning_rate, cell.log_batch_size, cell.loss)
    return Prediction(cell.at, table, draws, extrapolation(fit, cell.target))


@dataclass(frozen=True, eq=False)
class NewCell:
    """A cell that was not fitted: its parameters and its optimum in each draw, shape (chain, draw).

    Attributes
    ----------
    target, task, at
        Covariates, the task's label (None for a new task), and both as the caller gives them.
    p, x
        Parameters with the cell's own deviations, and the centred log covariates: arguments of the surface.
    log_learning_rate, log_batch_size, loss
        The optimum, natural logs and nats.
    rng
        Generator after these draws, for whatever else the cell needs.
    """

    target: dict[str, float]
    task: str | None
    at: dict[str, Any]
    p: dict[str, np.ndarray]
    x: dict[str, jax.Array]
    log_learning_rate: np.ndarray
    log_batch_size: np.ndarray
    loss: np.ndarray
    rng: np.random.Generator

    def runs_at(
        self, law: "Law", learning_rate: np.ndarray, batch_size: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Regret (nats), scale of the scatter (nats) and probability to diverge of runs, shape (chain, draw, run)."""
        wide = {name: value[..., None] for name, value in self.p.items()}
        with jax.enable_x64(True):
            regret, u = surface.excess_loss(law, wide, self.x, np.log(learning_rate), np.log(batch_size))
            scale, logit = surface.noise_scale(wide, regret), surface.divergence_logit(wide, u)
        return np.asarray(regret), np.asarray(scale), expit(np.asarray(logit))


def new_cell(fit: "Fit", at: Mapping[str, Any]) -> NewCell:
    """Draw a new cell at `at`; arguments and errors as for `predict`.

    The deviations come from the fit's own seed, so that the same fit gives the same cell every time.
    """
    target, task = check_target(fit, at)
    posterior = fit.tree["posterior"].dataset
    rng = np.random.default_rng([fit.seed, 3])
    p = _parameters(fit, posterior, task, rng)
    with jax.enable_x64(True):
        x = {name: jnp.asarray(np.log(target[name]) - fit.pivot[name]) for name in fit.law.covariates}
        log_batch = surface.best_batch_size(fit.law, p, x)
        log_rate = surface.best_learning_rate(fit.law, p, x, log_batch)
        loss = surface.floor_trend(p, x) + p["floor_spread"] * rng.standard_normal(log_rate.shape)
    given = target | ({"task": task} if len(fit.runs.tasks) > 1 else {})
    return NewCell(target, task, given, p, x, np.asarray(log_rate), np.asarray(log_batch), np.asarray(loss), rng)


def optimum_table(log_learning_rate: np.ndarray, log_batch_size: np.ndarray, loss: np.ndarray) -> pd.DataFrame:
    """Equal-tailed 90 % intervals of the optimum and of the loss there, over all draws: `Prediction.table`."""
    tail = (1 - INTERVAL) / 2
    draws = {"learning_rate": np.exp(log_learning_rate), "batch_size": np.exp(log_batch_size), "loss": loss}
    rows = {name: np.quantile(values, [tail, 0.5, 1 - tail]) for name, values in draws.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["lower", "median", "upper"])


def _parameters(fit: "Fit", posterior: xr.Dataset, task: str | None, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Parameters of one task and of a new cell in it, each of shape (chain, draw)."""
    shape = (posterior.sizes["chain"], posterior.sizes["draw"])
    several = len(fit.runs.tasks) > 1
    p = {}
    for parameter in fit.law.parameter_list:
        value = posterior[parameter.name].values
        if several and parameter.spread is not None:
            if task is not None:
                value = posterior[f"{parameter.name}_task"].sel(task=task).values
            elif not fit.law.separate(parameter):
                offset = posterior[f"{parameter.name}_task_spread"].values * rng.standard_normal(shape)
                value = np.asarray(shift(parameter, value, offset))
        p[parameter.name] = value
    for name in ("learning_rate", "batch_size"):
        p[f"deviation_{name}"] = p[f"spread_{name}"] * rng.standard_normal(shape)
    return p


def span(logs: np.ndarray, points: int) -> np.ndarray:
    """Log-spaced values a little beyond where draws of an optimum (natural logs) may lie (99 %)."""
    low, high = np.quantile(logs, [0.005, 0.995])
    return np.exp(np.linspace(low - MARGIN, high + MARGIN, points))


def grid(learning_rates: np.ndarray, batch_sizes: np.ndarray) -> dict[str, np.ndarray]:
    """Every pair of a learning rate and a batch size, as candidates."""
    rate, batch = np.meshgrid(learning_rates, np.unique(batch_sizes), indexing="ij")
    return {"learning_rate": rate.ravel(), "batch_size": batch.ravel()}


def check_candidates(candidates: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The candidates as arrays of floats; ValueError where they are not pairs of numbers above zero."""
    if set(candidates) != {"learning_rate", "batch_size"}:
        raise ValueError(f"candidates must give learning_rate and batch_size, received {', '.join(candidates)}.")
    pairs = {name: np.atleast_1d(np.asarray(values, float)) for name, values in candidates.items()}
    rate, batch = pairs["learning_rate"], pairs["batch_size"]
    if rate.ndim != 1 or rate.shape != batch.shape or len(rate) == 0:
        raise ValueError(
            f"candidates must be two lists of equal length, received shapes {rate.shape} and {batch.shape}."
        )
    for name, values in pairs.items():
        if not (np.isfinite(values) & (values > 0)).all():
            raise ValueError(f"candidates[{name!r}] must be finite and above zero, received {values.tolist()}.")
    return pairs


def extrapolation(fit: "Fit", target: Mapping[str, float]) -> pd.DataFrame:
    """How far a target lies beyond the runs, one row a covariate: `Prediction.extrapolation`."""
    rows = []
    for name in fit.law.covariates:
        low, high = fit.runs.cells[name].min(), fit.runs.cells[name].max()
        beyond = max(np.log10(target[name] / high), np.log10(low / target[name]), 0.0)
        rows.append({"covariate": name, "target": target[name], "lowest": low, "highest": high, "decades": beyond})
    return pd.DataFrame(rows).set_index("covariate")
