"""What runs that were not made might show, and what a choice would be worth then: the parts of `next_runs`.

The conditional value at risk is the least mean over one more unknown, a threshold t (Rockafellar and Uryasev 2000):

    CVaR_q(R) = min_t E[l_t(R)],   l_t(R) = t + max(R - t, 0) / (1 - q)

so that a choice by CVaR is one by expected loss, of a setting and a threshold; the mean is the case t = 0, q = 0. Each
simulated outcome then gains l of the present choice minus the lowest l, both under the outcome's weights. Its mean
over outcomes is the fall of the risk that is to be expected, and never negative; that all outcomes are compared
with the present choice under their own weights takes out most of the noise of simulating them.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
import pandas as pd
from scipy.special import expit, gammaln

from hyperlaw.data.runs import HYPERPARAMETERS
from hyperlaw.inference.cells import cell_parameters
from hyperlaw.inference.fit import Fit
from hyperlaw.inference.predict import NewCell, new_cell
from hyperlaw.models import surface
from hyperlaw.models.law import Law
from hyperlaw.risk import CVaR, Mean

GRID, REACH = 11, 2.5
THRESHOLDS = 1.6 ** np.arange(-5.0, 4.0)  # around the present one, which is among them
LAWS, DEVIATIONS = 256, 100
BLOCK = 50


@dataclass(frozen=True, eq=False)
class Regrets:
    """Regrets of settings at the target, prepared for many sets of weights.

    Attributes
    ----------
    regret
        Nats, shape (draw, setting).
    share
        The worst share of the draws that counts: 1 - q of CVaR(q), 1 of the mean.
    thresholds
        Nats, among them that of the present choice.
    present
        The setting of the lowest risk, by position, and its threshold.
    risk
        That risk, nats.
    falling
        For each setting the draws in order of falling regret, shape (draw, setting).
    over
        By how much regrets exceed each threshold, shape (draw, setting * threshold), in single precision.
    """

    regret: np.ndarray
    share: float
    thresholds: np.ndarray
    present: tuple[int, float]
    risk: float
    falling: np.ndarray
    over: np.ndarray

    def gains(self, weights: np.ndarray) -> np.ndarray:
        """Fall of the risk (nats, shape (row,)) where each row of weights, shape (row, draw), is what is known."""
        over = (weights.astype(np.float32) @ self.over).reshape(len(weights), -1, len(self.thresholds))
        best = (over / self.share + self.thresholds).min(axis=2).argmin(axis=1)
        # The thresholds served to find the setting; its own risk is exact.
        falling = self.falling[:, best].T
        ordered = np.take_along_axis(weights, falling, axis=1)
        before = np.cumsum(ordered, axis=1) - ordered
        counted = np.clip(self.share - before, 0, ordered)
        risk = (counted * self.regret[falling, best[:, None]]).sum(axis=1) / self.share
        return weights @ stay(self.regret, self.present, self.share) - risk


def regrets_of(regret: np.ndarray, risk: Mean | CVaR) -> Regrets:
    """Regrets, shape (draw, setting), with the present choice under `risk`."""
    share = 1 - risk.q if isinstance(risk, CVaR) else 1.0
    risks = risk(regret)
    best = int(np.argmin(risks))
    threshold = float(np.quantile(regret[:, best], 1 - share)) if share < 1 else 0.0
    thresholds = threshold * THRESHOLDS if share < 1 else np.zeros(1)
    over = np.maximum(regret[:, :, None] - thresholds, 0).reshape(len(regret), -1).astype(np.float32)
    falling = np.argsort(-regret, axis=0)
    return Regrets(regret, share, thresholds, (best, threshold), float(risks[best]), falling, over)


def stay(regret: np.ndarray, present: tuple[int, float], share: float) -> np.ndarray:
    """Loss l of the present choice, from regrets whose last axis is the setting."""
    setting, threshold = present
    return threshold + np.maximum(regret[..., setting] - threshold, 0) / share


def settings_at(target: NewCell) -> tuple[np.ndarray, np.ndarray]:
    """Learning rates and batch sizes to choose from at the target: a grid along the axes of the optimum's draws."""
    logs = np.stack([target.log_learning_rate.ravel(), target.log_batch_size.ravel()])
    steps = np.linspace(-REACH, REACH, GRID)
    grid = np.stack([axis.ravel() for axis in np.meshgrid(steps, steps)])
    rate, batch = np.exp(logs.mean(axis=1)[:, None] + np.linalg.cholesky(np.cov(logs)) @ grid)
    return rate, np.minimum(batch, target.target.get("data", np.inf))


def regret_at(law: Law, target: NewCell, draws: np.ndarray, settings: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Regret of each setting at the target in some draws, nats, shape (draw, setting)."""
    return _regret(law, {name: value.ravel()[draws] for name, value in target.p.items()}, target.x, settings)


def risk_of_a_known_law(
    law: Law, target: NewCell, settings: tuple[np.ndarray, np.ndarray], risk: Mean | CVaR, rng: np.random.Generator
) -> float:
    """Expected risk of the choice, nats, were every parameter known and the target's own deviation alone not."""
    draws = rng.choice(target.loss.size, min(LAWS, target.loss.size), replace=False)
    p = {name: np.repeat(value.ravel()[draws, None], DEVIATIONS, axis=1) for name, value in target.p.items()}
    for name in HYPERPARAMETERS:
        p[f"deviation_{name}"] = p[f"spread_{name}"] * rng.standard_normal((len(draws), DEVIATIONS))
    return float(np.mean([risk(of_law).min() for of_law in _regret(law, p, target.x, settings)]))


def _regret(law: Law, p: dict[str, np.ndarray], x: Any, settings: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Regret of each setting, the last axis, under parameters of any shape."""
    wide = {name: value[..., None] for name, value in p.items()}
    with jax.enable_x64(True):
        return np.asarray(_run(law, wide | {"cell_floor": np.zeros(1)}, x, *np.log(settings))[0])


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What candidate runs would show in each draw of the posterior.

    Attributes
    ----------
    location, scale
        Middle and scale of a run's loss, nats, shape (draw, candidate).
    logit
        Log-odds that it diverges, shape (draw, candidate).
    tail
        Degrees of freedom of the loss, shape (draw,).
    """

    location: np.ndarray
    scale: np.ndarray
    logit: np.ndarray
    tail: np.ndarray

    def simulate(self, rng: np.random.Generator) -> np.ndarray:
        """One outcome of each run in each draw: its loss in nats, NaN where it diverged; shape (draw, candidate)."""
        loss = self.location + self.scale * rng.standard_t(self.tail[:, None], self.location.shape)
        return np.where(rng.random(loss.shape) < expit(self.logit), np.nan, loss)

    def log_likelihood(self, candidate: int, loss: np.ndarray) -> np.ndarray:
        """Log density of outcomes of one run, as `simulate` gives them, under each draw: shape (outcome, draw)."""
        logit, location, scale = self.logit[:, candidate], self.location[:, candidate], self.scale[:, candidate]
        density = student_t(loss[:, None], self.tail, location, scale) - np.logaddexp(0, logit)
        return np.where(np.isnan(loss)[:, None], -np.logaddexp(0, -logit), density)


def student_t(value: np.ndarray, tail: np.ndarray, location: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Log density of Student's t: SciPy's own takes most of the time of `next_runs`."""
    constant = gammaln((tail + 1) / 2) - gammaln(tail / 2) - np.log(np.pi * tail) / 2 - np.log(scale)
    return constant - (tail + 1) / 2 * np.log1p(((value - location) / scale) ** 2 / tail)


def outcomes_of(
    fit: Fit, candidates: pd.DataFrame, cells: np.ndarray, draws: np.ndarray, rng: np.random.Generator
) -> Outcomes:
    """Outcomes of candidate runs in some draws of the posterior.

    A run in a fitted cell has that cell's floor and deviations. Runs in one new cell share a floor and
    deviations drawn anew, independent of those of every other new cell and of the target's.

    Parameters
    ----------
    fit
        The fit.
    candidates
        `learning_rate, batch_size`, the law's covariates, and `task` where there are several.
    cells
        Index of each candidate's cell in `fit.runs.cells`; of new cells -1, -2, ...
    draws
        Positions of the draws, chains one after the other.
    rng
        Draws the new cells.
    """
    known, of_run = np.unique(cells, return_inverse=True)
    each = [_cell(fit, candidates.iloc[np.argmax(cells == cell)], cell, draws, rng) for cell in known]
    p = {name: np.stack([of_cell[name] for of_cell, _ in each], axis=1) for name in each[0][0]}
    x = {name: np.array([float(of_cell[name]) for _, of_cell in each]) for name in each[0][1]}
    rate, batch = (np.log(candidates[name].to_numpy(float)) for name in HYPERPARAMETERS)
    parts = []
    for first in range(0, len(candidates), BLOCK):
        # The last block is filled up, so that all have one shape and are compiled once.
        rows = np.minimum(np.arange(first, first + BLOCK), len(candidates) - 1)
        at = of_run[rows]
        wide = {name: value[:, at] for name, value in p.items()}
        with jax.enable_x64(True):
            parts.append(_run(fit.law, wide, {name: value[at] for name, value in x.items()}, rate[rows], batch[rows]))
    location, scale, logit = (np.concatenate(part, axis=1)[:, : len(candidates)] for part in zip(*parts, strict=True))
    return Outcomes(location, scale, logit, fit.tree["posterior"]["tail"].values.ravel()[draws])


@partial(jax.jit, static_argnums=0)
def _run(law: Law, p: Any, x: Any, log_rate: jax.Array, log_batch: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Location and scale of a run's loss, and the log-odds that it diverges."""
    excess, u = surface.excess_loss(law, p, x, log_rate, log_batch)
    return p["cell_floor"] + excess, surface.noise_scale(p, excess), surface.divergence_logit(p, u)


def _cell(
    fit: Fit, run: pd.Series, cell: int, draws: np.ndarray, rng: np.random.Generator
) -> tuple[dict[str, np.ndarray], Any]:
    """Parameters, `cell_floor` among them, of a run's cell in each draw, and its centred covariates."""
    if cell >= 0:
        fitted, x = cell_parameters(fit)
        floors = {"cell_floor": fit.tree["posterior"]["cell_floor"].values}
        return {n: v[..., cell].ravel()[draws] for n, v in (fitted | floors).items()}, {
            n: v[cell] for n, v in x.items()
        }
    several = ["task"] if len(fit.runs.tasks) > 1 else []
    new = new_cell(fit, {name: run[name] for name in [*fit.law.covariates, *several]})
    p = {name: value.ravel()[draws] for name, value in new.p.items()}
    for name in HYPERPARAMETERS:  # `new_cell` gives every new cell, the target's too, the same luck
        p[f"deviation_{name}"] = p[f"spread_{name}"] * rng.standard_normal(len(draws))
    with jax.enable_x64(True):
        trend = np.asarray(surface.floor_trend(p, new.x))
    return p | {"cell_floor": trend + p["floor_spread"] * rng.standard_normal(len(draws))}, new.x
