"""`predict`: what a fit expects where nothing was measured, in every draw."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import expit

from hyperlaw.data.vocabulary import HYPERPARAMETERS, At, number
from hyperlaw.display import Shown, View, few, figures
from hyperlaw.inference.cells import NewCell, new_cell
from hyperlaw.inference.posterior import Posterior
from hyperlaw.intervals import interval_table
from hyperlaw.models.likelihoods.censored_student_t import standard_noise
from hyperlaw.quote import quote, some_of

GRID = (57, 41)
# Beyond where the optimum may be, so that the cost of missing it can be seen: half an octave.
ROUNDING = 1e-9
MARGIN = np.log(2) / 2
DRAWS = ("chain", "draw")
FAR = 2.0  # decades beyond the table from which on a prediction is the law's word alone


@dataclass(frozen=True, eq=False, repr=False)
class Prediction(Shown):
    """What a fit expects at a target.

    Attributes
    ----------
    at
        The target: each covariate, the batch size where it must be given, and the task.
    table
        Columns `lower, median, upper`: equal-tailed 90 % intervals, predictive for a new cell. Of a fit of runs rows
        `learning_rate`, `batch_size` (the optimum) and `loss` (at the optimum); of other tables one row a quantity
        that the law predicts, its residual included, and no error of measuring it.
    draws
        Dataset with dims `chain, draw`: of other tables each quantity. Of runs `best_learning_rate`,
        `best_batch_size`, `best_loss` (nats) in each draw; and with dim `candidate` too, for each candidate
        (`learning_rate`, `batch_size`) its `regret` (nats above the optimum of that draw), `diverge` (probability) and
        `loss` (nats, of one run, with its scatter).
    extrapolation
        One row a covariate: the target, the range of the table, and by how many decades the target lies beyond.
    ask_failed
        What names the checks that the fit failed.
    """

    at: dict[str, Any]
    table: pd.DataFrame
    draws: xr.Dataset
    extrapolation: pd.DataFrame
    ask_failed: Callable[[], list[str]] = list

    @cached_property
    def failed(self) -> list[str]:
        """Names of the checks that the fit failed; they are asked when this is. Empty where nothing asks them."""
        return self.ask_failed()

    @property
    def checks_ok(self) -> bool:
        """False when the fit failed a check: then do not rely on this."""
        return not self.failed

    def view(self) -> View:
        """What is shown of it."""
        target = ", ".join(f"{n} {figures(v)}" if v is not None else "a new task" for n, v in self.at.items())
        far = self.extrapolation["decades"].max() if len(self.extrapolation) else 0.0
        said = [f"This fit failed its checks: {few(self.failed)}. Do not rely on this."] if self.failed else []
        if far > 0:
            alone = ": so far out only the law speaks, and no row shows that it holds." if far > FAR else "."
            said.append(f"The target lies {figures(far, 2)} decades beyond the table{alone}")
        return View(
            f"At {target} (90 %):",
            "\n".join(said),
            status="FAIL" if self.failed else "",
            tables={"": self.table},
            folded={"How far beyond the table": self.extrapolation} if len(self.extrapolation) else {},
        )


def predict(posterior: Posterior, at: At, candidates: Mapping[str, np.ndarray] | None = None) -> Prediction:
    """Predict a new cell at a target, with the cell's own deviations drawn anew in every draw.

    Parameters
    ----------
    posterior
        A fitted law.
    at
        Value of each covariate of the law, such as `{"params": 7e9, "data": 1.4e12}`, and `"batch_size"` where the
        table gives one in every row. With several tasks also `"task"`: a known label, or None for a new task, drawn
        from the population of tasks: its intervals are wider by all that tasks differ in.
    candidates
        Of a fit of runs, settings to price: arrays `learning_rate` and `batch_size` of equal length. Left out, a grid
        over where the optimum may be.

    Returns
    -------
    Prediction
        Reproducible: the new cell comes from the fit's own seed.

    Raises
    ------
    ValueError
        When the target or the candidates are not what the law needs.
    """
    likelihood = posterior.likelihood
    pairs = None if candidates is None else check_candidates(candidates)
    if pairs is not None and not likelihood.prices_settings:
        kind = type(posterior.table).__name__
        raise ValueError(f"candidates are priced by a fit of Runs; this is one of {kind}.")
    cell = new_cell(posterior, at)
    if pairs is not None:
        check_batches(pairs["batch_size"], cell.target)
    values = _values(posterior, cell)
    named = {f"best_{name}" if likelihood.prices_settings else name: (DRAWS, v) for name, v in values.items()}
    draws = xr.Dataset(named, {name: posterior.draws[name].values for name in DRAWS})
    if likelihood.prices_settings:
        draws = draws.assign(_priced(posterior, cell, pairs or around(posterior, cell)))
    return Prediction(cell.at, interval_table(values), draws, extrapolation(posterior, cell.target))


def target_draws(posterior: Posterior, at: At) -> dict[str, np.ndarray]:
    """Draws of what `predict` states of a target, by name and in its unit, shape (chain, draw); errors as there."""
    return _values(posterior, new_cell(posterior, at))


def _values(posterior: Posterior, cell: NewCell) -> dict[str, np.ndarray]:
    p = {name: value[..., None] for name, value in cell.p.items()}
    x = {name: np.reshape(value, 1) for name, value in cell.x.items()}
    batch, rng = np.array([cell.log_batch_size]), posterior.rng("new value")
    found = posterior.likelihood.predicted(posterior.table, p, x, batch, rng)
    return {name: value[..., 0] for name, value in found.items()}


def _priced(posterior: Posterior, cell: NewCell, pairs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Regret, probability to diverge and loss of every candidate."""
    run = posterior.surface.run_loss(cell.p, cell.x, *(np.log(pairs[name]) for name in HYPERPARAMETERS))
    noise = standard_noise(posterior.rng("run noise"), run.excess.shape)
    over = (*DRAWS, "candidate")
    return {
        "regret": (over, run.excess),
        "diverge": (over, expit(run.logit)),
        "loss": (over, run.placed(noise)),
    } | {name: ("candidate", pairs[name]) for name in HYPERPARAMETERS}


def around(posterior: Posterior, cell: NewCell) -> dict[str, np.ndarray]:
    """A grid of settings over where the optimum of a cell may be; no batch holds more than the data."""
    best = posterior.surface.optimum(cell.p, cell.x)
    rates, batches = (span(best[name], points) for name, points in zip(HYPERPARAMETERS, GRID, strict=True))
    return grid(rates, np.clip(batches, *batch_range(cell.target)))


def span(logs: np.ndarray, points: int) -> np.ndarray:
    """Log-spaced values a little beyond where draws of an optimum (natural logs) may lie (99 %)."""
    low, high = np.quantile(logs, [0.005, 0.995])
    if low == high:  # it is given: see `LossSurface.given`
        return np.array([float(f"{np.exp(logs.flat[0]):.12g}")])  # 8192, where exp(ln 8192) is a little less
    return np.exp(np.linspace(low - MARGIN, high + MARGIN, points))


def grid(learning_rates: np.ndarray, batch_sizes: np.ndarray) -> dict[str, np.ndarray]:
    """Every pair of a learning rate and a batch size, as candidates."""
    rate, batch = np.meshgrid(learning_rates, np.unique(batch_sizes), indexing="ij")
    return {"learning_rate": rate.ravel(), "batch_size": batch.ravel()}


def check_candidates(candidates: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The candidates as arrays of floats; ValueError where they are not pairs of numbers above zero."""
    if set(candidates) != set(HYPERPARAMETERS):
        raise ValueError(f"candidates must give learning_rate and batch_size, received {some_of(candidates)}.")
    pairs = {name: np.atleast_1d(np.asarray(values, float)) for name, values in candidates.items()}
    rate, batch = pairs["learning_rate"], pairs["batch_size"]
    if rate.ndim != 1 or rate.shape != batch.shape or len(rate) == 0:
        raise ValueError(
            f"candidates must be two lists of equal length, received shapes {rate.shape} and {batch.shape}."
        )
    for name, values in pairs.items():
        if not (np.isfinite(values) & (values > 0)).all():
            raise ValueError(
                f"candidates[{quote(name)}] must be finite and above zero, received {quote(values.tolist())}."
            )
    return pairs


def batch_range(target: At) -> tuple[float, float]:
    """What a batch can hold at a target: from one data point to all of them."""
    return 1.0, number(target, "data") if "data" in target else np.inf


def check_batches(sizes: np.ndarray, target: At) -> None:
    """Refuse batches that no run at the target could have; ValueError names the first."""
    low, high = batch_range(target)
    bad = (sizes < low) | (sizes > high * (1 + ROUNDING))
    if bad.any():
        raise ValueError(
            f"a batch holds 1 data point at least and at most all {high:.6g} of the target, but {bad.sum()} of "
            f"{len(sizes)} candidates do not, first {sizes[bad][0]:.6g}. Give batch sizes in data points."
        )


def extrapolation(posterior: Posterior, target: At) -> pd.DataFrame:
    """How far a target lies beyond the table, one row a covariate: `Prediction.extrapolation`."""
    frame, rows = posterior.table.frame, []
    for name in target:
        if name in posterior.law.logged or name == "batch_size":
            low, high, there = float(frame[name].min()), float(frame[name].max()), number(target, name)
            rows.append((name, there, low, high, max(np.log10(there / high), np.log10(low / there), 0.0)))
    return pd.DataFrame(rows, columns=["covariate", "target", "lowest", "highest", "decades"]).set_index("covariate")
