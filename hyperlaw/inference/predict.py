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

from hyperlaw.models import surface

if TYPE_CHECKING:
    from hyperlaw.inference.fit import Fit

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
        pairs = _grid(cell.log_learning_rate, cell.log_batch_size, cell.target.get("data", np.inf))
    else:
        pairs = _check_candidates(candidates)
    with jax.enable_x64(True):
        wide = {name: value[..., None] for name, value in cell.p.items()}
        log_pairs = np.log(pairs["learning_rate"]), np.log(pairs["batch_size"])
        regret, u = (np.asarray(a) for a in surface.excess_loss(fit.law, wide, cell.x, *log_pairs))
        scatter = np.asarray(surface.noise_scale(wide, regret)) * cell.rng.standard_t(wide["tail"], regret.shape)
        diverge = expit(np.asarray(surface.divergence_logit(wide, u)))
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
    given = cell.target | ({"task": cell.task} if len(fit.runs.tasks) > 1 else {})
    return Prediction(given, _table(draws), draws, _extrapolation(fit, cell.target))


@dataclass(frozen=True, eq=False)
class NewCell:
    """A cell that was not fitted: its parameters and its optimum in each draw, shape (chain, draw).

    Attributes
    ----------
    target, task
        Covariates, and the task's label (None for a new task).
    p, x
        Parameters with the cell's own deviations, and the centred log covariates: arguments of the surface.
    log_learning_rate, log_batch_size, loss
        The optimum, natural logs and nats.
    rng
        Generator after these draws, for whatever else the cell needs.
    """

    target: dict[str, float]
    task: str | None
    p: dict[str, np.ndarray]
    x: dict[str, jax.Array]
    log_learning_rate: np.ndarray
    log_batch_size: np.ndarray
    loss: np.ndarray
    rng: np.random.Generator


def new_cell(fit: "Fit", at: Mapping[str, Any]) -> NewCell:
    """Draw a new cell at `at`; arguments and errors as for `predict`.

    The deviations come from the fit's own seed, so that the same fit gives the same cell every time.
    """
    target, task = _check_target(fit, at)
    posterior = fit.tree["posterior"].dataset
    rng = np.random.default_rng([fit.seed, 3])
    p = _parameters(fit, posterior, task, rng)
    with jax.enable_x64(True):
        x = {name: jnp.asarray(np.log(target[name]) - fit.pivot[name]) for name in fit.law.covariates}
        log_batch = surface.best_batch_size(fit.law, p, x)
        log_rate = surface.best_learning_rate(fit.law, p, x, log_batch)
        loss = surface.floor_trend(p, x) + p["floor_spread"] * rng.standard_normal(log_rate.shape)
    return NewCell(target, task, p, x, np.asarray(log_rate), np.asarray(log_batch), np.asarray(loss), rng)


def _table(draws: xr.Dataset) -> pd.DataFrame:
    tail = (1 - INTERVAL) / 2
    rows = {
        name: np.quantile(draws[f"best_{name}"], [tail, 0.5, 1 - tail])
        for name in ("learning_rate", "batch_size", "loss")
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["lower", "median", "upper"])


def _parameters(fit: "Fit", posterior: xr.Dataset, task: str | None, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Parameters of one task and of a new cell in it, each of shape (chain, draw)."""
    shape = (posterior.sizes["chain"], posterior.sizes["draw"])
    several = len(fit.runs.tasks) > 1
    p = {}
    for parameter in fit.law.parameter_list:
        value = posterior[parameter.name].values
        if several and parameter.spread is not None:
            if task is None:
                offset = posterior[f"{parameter.name}_task_spread"].values * rng.standard_normal(shape)
                value = np.asarray(surface.shift(parameter, value, offset))
            else:
                value = posterior[f"{parameter.name}_task"].sel(task=task).values
        p[parameter.name] = value
    for name in ("learning_rate", "batch_size"):
        p[f"deviation_{name}"] = p[f"spread_{name}"] * rng.standard_normal(shape)
    return p


def _grid(log_rate: np.ndarray, log_batch: np.ndarray, most: float) -> dict[str, np.ndarray]:
    """A log-spaced grid a little beyond where the optimum may be (99 %); no batch above the data."""

    def span(logs: np.ndarray, points: int) -> np.ndarray:
        low, high = np.quantile(logs, [0.005, 0.995])
        return np.linspace(low - MARGIN, high + MARGIN, points)

    rates, batches = span(log_rate, GRID[0]), span(log_batch, GRID[1])
    batches = np.unique(np.minimum(batches, np.log(most)))
    rate, batch = np.meshgrid(rates, batches, indexing="ij")
    return {"learning_rate": np.exp(rate.ravel()), "batch_size": np.exp(batch.ravel())}


def _check_target(fit: "Fit", at: Mapping[str, Any]) -> tuple[dict[str, float], str | None]:
    known, needs = fit.runs.tasks, fit.law.covariates
    several = len(known) > 1
    allowed = [*needs, "task"] if several else list(needs)
    unknown, missing = [name for name in at if name not in allowed], [name for name in allowed if name not in at]
    if unknown or missing:
        raise ValueError(
            f"at must give exactly {', '.join(allowed)}: "
            + "; ".join(
                ([f"missing {', '.join(missing)}"] if missing else [])
                + ([f"unknown {', '.join(map(str, unknown))}"] if unknown else [])
            )
            + (" (task: a known label, or None for a new task)." if "task" in missing else ".")
        )
    task = at["task"] if several else known[0]
    if task is not None and task not in known:
        raise ValueError(
            f"task {task!r} is not among the fitted tasks {', '.join(known)}. Pass one of them, or None "
            "for a new task drawn from their population."
        )
    target = {}
    for name in needs:
        value = at[name]
        if not isinstance(value, int | float | np.number) or not np.isfinite(value) or value <= 0:
            raise ValueError(f"at[{name!r}] must be a finite number above zero, received {value!r}.")
        target[name] = float(value)
    return target, task


def _check_candidates(candidates: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
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


def _extrapolation(fit: "Fit", target: Mapping[str, float]) -> pd.DataFrame:
    rows = []
    for name in fit.law.covariates:
        low, high = fit.runs.cells[name].min(), fit.runs.cells[name].max()
        beyond = max(np.log10(target[name] / high), np.log10(low / target[name]), 0.0)
        rows.append({"covariate": name, "target": target[name], "lowest": low, "highest": high, "decades": beyond})
    return pd.DataFrame(rows).set_index("covariate")
