"""`measured`: what runs at a scale say about a setting chosen for that scale."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hyperlaw.data.runs import HYPERPARAMETERS

NEAR = 16
FLAT = 1e-9


@dataclass(frozen=True)
class Measured:
    """What `measured` returns: losses in nats.

    Attributes
    ----------
    best
        The measured setting with the lowest loss (mean over seeds), with that loss.
    nearest
        The measured setting nearest to the chosen one, with its loss.
    regret_nearest
        Loss of the nearest minus loss of the best: never negative, and zero when they are the same.
    regret_surface
        Regret of the chosen setting on a quadratic in logs through the settings of lowest loss; NaN when that
        quadratic has no minimum. Less noisy, and judges the setting itself.
    optimum
        Minimum of that quadratic: `learning_rate`, `batch_size`, `loss`; NaN when it has none.
    """

    best: dict[str, float]
    nearest: dict[str, float]
    regret_nearest: float
    regret_surface: float
    optimum: dict[str, float]


def measured(frame: pd.DataFrame, setting: Mapping[str, float]) -> Measured:
    """Score `setting` against the runs of one cell.

    Parameters
    ----------
    frame
        Runs of one cell, columns as in `Runs.frame`.
    setting
        `learning_rate` and `batch_size`.

    Raises
    ------
    ValueError
        When no run of the cell has a loss.
    """
    means = frame[~frame["diverged"]].groupby(list(HYPERPARAMETERS), as_index=False)["loss"].mean()
    if means.empty:
        raise ValueError("no run of this cell has a finite loss: there is nothing to score against.")
    logs = np.log(means[list(HYPERPARAMETERS)].to_numpy())
    chosen = np.log([setting[name] for name in HYPERPARAMETERS])
    best = means.loc[means["loss"].idxmin()]
    nearest = means.iloc[int(np.argmin(((logs - chosen) ** 2).sum(axis=1)))]
    point, value, at_optimum = _quadratic(logs, means["loss"].to_numpy(), chosen)
    return Measured(
        best=best.to_dict(),
        nearest=nearest.to_dict(),
        regret_nearest=float(nearest["loss"] - best["loss"]),
        regret_surface=float(value - at_optimum),
        optimum={"learning_rate": float(np.exp(point[0])), "batch_size": float(np.exp(point[1])), "loss": at_optimum},
    )


def _quadratic(logs: np.ndarray, loss: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Minimum of a quadratic through the lowest losses, its value at `at`, and its value at the minimum."""
    nothing = np.full(2, np.nan), np.nan, np.nan
    near = np.argsort(loss)[:NEAR]
    centre = logs[near].mean(axis=0)
    design = _terms(logs[near] - centre)
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return nothing
    c = np.linalg.lstsq(design, loss[near])[0]
    hessian = np.array([[2 * c[3], c[5]], [c[5], 2 * c[4]]])
    if np.linalg.eigvalsh(hessian).min() <= FLAT:
        return nothing
    minimum = np.linalg.solve(hessian, -c[1:3])
    value, lowest = (_terms(np.atleast_2d(z)) @ c for z in (at - centre, minimum))
    return minimum + centre, float(value[0]), float(lowest[0])


def _terms(z: np.ndarray) -> np.ndarray:
    x, y = z[:, 0], z[:, 1]
    return np.column_stack([np.ones_like(x), x, y, x**2, y**2, x * y])
