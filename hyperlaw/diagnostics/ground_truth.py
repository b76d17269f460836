"""`ground_truth`: what runs at a scale say about a setting chosen for that scale."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hyperlaw.data.estimators.local_surface import local_surface
from hyperlaw.data.vocabulary import HYPERPARAMETERS


@dataclass(frozen=True)
class GroundTruth:
    """What `ground_truth` returns: losses in nats.

    Attributes
    ----------
    best
        The measured setting with the lowest loss (mean over seeds), with that loss.
    nearest
        The measured setting nearest to the chosen one, with its loss.
    regret_nearest
        Loss of the nearest minus loss of the best: never negative, and zero when they are the same.
    regret_surface
        Regret of the chosen setting on a smooth surface through the settings of lowest loss (`LocalSurface`), or of
        the nearest where the chosen one lies outside them; NaN when that surface has no minimum. Less noisy, and
        judges the setting itself.
    optimum
        Minimum of that surface: `learning_rate`, `batch_size`, `loss`; NaN when it has none, or is given.
    """

    best: dict[str, float]
    nearest: dict[str, float]
    regret_nearest: float
    regret_surface: float
    optimum: dict[str, float]


def ground_truth(frame: pd.DataFrame, setting: Mapping[str, float], *, given: bool = False) -> GroundTruth:
    """Score `setting` against the runs of one cell.

    Parameters
    ----------
    frame
        Runs of one cell, columns as in `Runs.frame`.
    setting
        `learning_rate` and `batch_size`.
    given
        Whether the batch size is given: then the optimum is one of the learning rate alone.

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
    surface = local_surface(logs, means["loss"].to_numpy(), along_rate=given)
    rate, batch = np.exp(surface.optimum)
    return GroundTruth(
        best=best.to_dict(),
        nearest=nearest.to_dict(),
        regret_nearest=float(nearest["loss"] - best["loss"]),
        regret_surface=surface.regret(chosen, nearest["loss"]),
        optimum={
            "learning_rate": float(rate),
            "batch_size": np.nan if given else float(batch),
            "loss": surface.loss,
        },
    )
