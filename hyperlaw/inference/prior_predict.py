"""`prior_predict`: what a law believes about a sweep before seeing its losses."""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import numpy as np
import pandas as pd
import xarray as xr

from hyperlaw.data.runs import Runs
from hyperlaw.inference.tree import prior_tree
from hyperlaw.models.design import design
from hyperlaw.models.law import Law
from hyperlaw.models.prior import Prior


@dataclass(frozen=True, eq=False)
class PriorPrediction:
    """What `prior_predict` returns.

    Attributes
    ----------
    table
        One row a cell: 5, 50 and 95 % of the losses that the prior expects of its runs, beside the lowest and
        highest that were seen.
    draws
        DataTree with groups `prior, prior_predictive, observed_data, constant_data`.
    """

    table: pd.DataFrame
    draws: xr.DataTree


def prior_predict(
    law: Law, runs: Runs, *, seed: int, priors: Mapping[str, Prior] | None = None, draws: int = 500
) -> PriorPrediction:
    """Draw parameters from the prior and losses of `runs` from them, before any fit.

    Parameters
    ----------
    law, runs, priors
        As for `hl.fit`.
    seed
        Determines every draw.
    draws
        Number of draws.

    Returns
    -------
    PriorPrediction
        A table by cell, and the draws.

    Raises
    ------
    ValueError, TypeError
        When a prior or the runs do not fit the law.
    """
    law = law.with_priors(priors or {})
    with jax.enable_x64(True):
        tree = prior_tree(law, runs, design(runs, law.covariates), seed=seed, draws=draws)
    loss = tree["prior_predictive"]["loss"].values.reshape(draws, -1)
    frame = runs.frame
    rows = []
    for index, cell in runs.cells.iterrows():
        inside = (frame["cell"] == index).to_numpy()
        low, middle, high = np.quantile(loss[:, inside], [0.05, 0.5, 0.95])
        seen = frame.loc[inside, "loss"]
        rows.append(
            {name: cell[name] for name in ("task", *runs.scales)}
            | {"prior_lower": low, "prior_median": middle, "prior_upper": high}
            | {"lowest_seen": seen.min(), "highest_seen": seen.max()}
        )
    return PriorPrediction(pd.DataFrame(rows), tree)
