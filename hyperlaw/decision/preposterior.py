"""What runs that were not made might show, and what a choice would be worth then: the parts of `next_runs`.

The conditional value at risk is the least mean over one more unknown, a threshold t (Rockafellar and Uryasev 2000):

    CVaR_q(R) = min_t E[l_t(R)],   l_t(R) = t + max(R - t, 0) / (1 - q)

so that a choice by CVaR is one by expected loss, of a setting and a threshold; the mean is the case t = 0, q = 0. Each
simulated outcome then gains l of the incumbent choice minus the lowest l, both under the outcome's weights. Its mean
over outcomes is the fall of the risk that is to be expected, and never negative; that all outcomes are compared
with the incumbent choice under their own weights takes out most of the noise of simulating them.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
import pandas as pd
from scipy.special import expit

from hyperlaw.data.vocabulary import HYPERPARAMETERS
from hyperlaw.inference.cells import NewCell, fitted_cells, new_cell
from hyperlaw.inference.posterior import Posterior
from hyperlaw.models.law import OptimumLaw
from hyperlaw.models.likelihoods.base import Arrays
from hyperlaw.models.likelihoods.censored_student_t import standard_noise
from hyperlaw.models.likelihoods.surface import RunLoss, run_loss
from hyperlaw.risk import CVaR, Mean

GRID, REACH = 11, 2.5
THRESHOLDS = 1.6 ** np.arange(-5.0, 4.0)  # around the incumbent's, which is among them
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
        Nats, among them that of the incumbent choice.
    incumbent
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
    incumbent: tuple[int, float]
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
        return weights @ stay(self.regret, self.incumbent, self.share) - risk


def regrets_of(regret: np.ndarray, risk: Mean | CVaR) -> Regrets:
    """Regrets, shape (draw, setting), with the incumbent choice under `risk`."""
    share = 1 - risk.q if isinstance(risk, CVaR) else 1.0
    risks = risk(regret)
    best = int(np.argmin(risks))
    threshold = float(np.quantile(regret[:, best], 1 - share)) if share < 1 else 0.0
    thresholds = threshold * THRESHOLDS if share < 1 else np.zeros(1)
    over = np.maximum(regret[:, :, None] - thresholds, 0).reshape(len(regret), -1).astype(np.float32)
    falling = np.argsort(-regret, axis=0)
    return Regrets(regret, share, thresholds, (best, threshold), float(risks[best]), falling, over)


def stay(regret: np.ndarray, incumbent: tuple[int, float], share: float) -> np.ndarray:
    """Loss l of the incumbent choice, from regrets whose last axis is the setting."""
    setting, threshold = incumbent
    return threshold + np.maximum(regret[..., setting] - threshold, 0) / share


def settings_at(fit: Posterior, target: NewCell) -> tuple[np.ndarray, np.ndarray]:
    """Learning rates and batch sizes to choose from at the target: a grid along the axes of the optimum's draws."""
    best = fit.surface.optimum(target.p, target.x)
    logs = np.stack([best[name].ravel() for name in HYPERPARAMETERS])
    steps = np.linspace(-REACH, REACH, GRID)
    grid = np.stack([axis.ravel() for axis in np.meshgrid(steps, steps)])
    rate, batch = np.exp(logs.mean(axis=1)[:, None] + np.linalg.cholesky(np.cov(logs)) @ grid)
    return rate, np.minimum(batch, target.target.get("data", np.inf))


def regret_at(
    fit: Posterior, target: NewCell, draws: np.ndarray, settings: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Regret of each setting at the target in some draws, nats, shape (draw, setting)."""
    p = {name: value.ravel()[draws] for name, value in target.p.items()}
    return fit.surface.run_loss(p, target.x, *np.log(settings)).excess


def risk_of_a_known_law(
    fit: Posterior,
    target: NewCell,
    settings: tuple[np.ndarray, np.ndarray],
    risk: Mean | CVaR,
    rng: np.random.Generator,
) -> float:
    """Expected risk of the choice, nats, were every parameter known and the target's own deviation alone not."""
    draws = rng.choice(np.prod(fit.shape), min(LAWS, int(np.prod(fit.shape))), replace=False)
    p = {name: np.repeat(value.ravel()[draws, None], DEVIATIONS, axis=1) for name, value in target.p.items()}
    own = fit.surface.draw_cell(p, target.x, rng, np.arange(DEVIATIONS))
    regret = fit.surface.run_loss(own, target.x, *np.log(settings)).excess
    return float(np.mean([risk(of_law).min() for of_law in regret]))


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What candidate runs would show in each draw of the posterior.

    Attributes
    ----------
    run
        Of each candidate in each draw: arrays of shape (draw, candidate).
    edge
        From where on a loss is read as "at least so bad", nats, shape (candidate,).
    """

    run: RunLoss
    edge: np.ndarray

    def simulate(self, rng: np.random.Generator) -> np.ndarray:
        """One outcome of each run in each draw: its loss in nats, NaN where it diverged; shape (draw, candidate)."""
        loss = self.run.placed(standard_noise(rng, self.run.location.shape))
        return np.where(rng.random(loss.shape) < expit(self.run.logit), np.nan, loss)

    def log_likelihood(self, candidate: int, loss: np.ndarray) -> np.ndarray:
        """Log density of outcomes of one run, as `simulate` gives them, under each draw: shape (outcome, draw)."""
        one = RunLoss(*(values[:, candidate] for values in self.run))
        with jax.enable_x64(True):
            return np.asarray(_log_density(one, loss[:, None], self.edge[candidate]))


@jax.jit
def _log_density(run: RunLoss, loss: jax.Array, edge: jax.Array) -> jax.Array:
    return run.log_density(loss, edge)


def outcomes_of(
    fit: Posterior, candidates: pd.DataFrame, cells: np.ndarray, draws: np.ndarray, stream: str
) -> Outcomes:
    """Outcomes of candidate runs in some draws of the posterior.

    A run in a fitted cell has that cell's lowest loss, deviations and edge. Runs in one new cell share a lowest loss
    and deviations drawn anew, independent of those of every other new cell and of the target's. They have no edge: it
    would follow from their own losses.

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
    stream
        Names the new cells' random numbers.
    """
    known, of_run = np.unique(cells, return_inverse=True)
    each = [_cell(fit, candidates.iloc[np.argmax(cells == cell)], int(cell), draws, stream) for cell in known]
    # What new cells alone have, the deviations of their levels, is part of their own deviations already.
    common = set.intersection(*(set(of_cell) for of_cell, _ in each))
    p = {name: np.stack([of_cell[name] for of_cell, _ in each], axis=1) for name in sorted(common)}
    x = {name: np.array([float(of_cell[name]) for _, of_cell in each]) for name in each[0][1]}
    rate, batch = (np.log(candidates[name].to_numpy(float)) for name in HYPERPARAMETERS)
    parts = []
    for first in range(0, len(candidates), BLOCK):
        # The last block is filled up, so that all have one shape and are compiled once.
        rows = np.minimum(np.arange(first, first + BLOCK), len(candidates) - 1)
        at = of_run[rows]
        wide = {name: value[:, at] for name, value in p.items()}
        with jax.enable_x64(True):
            run = _run(
                fit.surface.law.bare, wide, {name: value[at] for name, value in x.items()}, (rate[rows], batch[rows])
            )
        parts.append(run)
    run = RunLoss(*(np.concatenate(part, axis=1)[:, : len(candidates)] for part in zip(*parts, strict=True)))
    of_cell = dict(zip(fit.runs.frame["cell"], fit.surface.edges(fit.runs), strict=True))
    return Outcomes(run, np.array([of_cell.get(cell, np.inf) for cell in cells]))


@partial(jax.jit, static_argnums=0)
def _run(law: OptimumLaw, p: Any, x: Any, logs: Any) -> RunLoss:
    """What candidate runs measure in each draw."""
    return run_loss(law, p, x, *logs)


def _cell(fit: Posterior, run: pd.Series, cell: int, draws: np.ndarray, stream: str) -> tuple[Arrays, Arrays]:
    """Parameters of a run's cell in each draw, and its covariates."""
    if cell >= 0:
        p, x = fitted_cells(fit)
        return {n: v[..., cell].ravel()[draws] for n, v in p.items()}, {n: v[cell] for n, v in x.items()}
    several = ["task"] if len(fit.runs.tasks) > 1 else []
    new = new_cell(fit, {name: run[name] for name in [*fit.law.covariates, *several]}, stream, -cell)
    return {name: value.ravel()[draws] for name, value in new.p.items()}, new.x
