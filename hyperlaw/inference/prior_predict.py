"""`prior_predict`: what a law believes about a table before seeing what it measured."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import pandas as pd
import xarray as xr

from hyperlaw.data.table import Table
from hyperlaw.inference.tree import prior_tree
from hyperlaw.models.law import Law
from hyperlaw.models.likelihoods import likelihood
from hyperlaw.models.likelihoods.base import Likelihood
from hyperlaw.models.prior import Prior
from hyperlaw.streams import check_seed


@dataclass(frozen=True, eq=False)
class PriorPrediction:
    """What `prior_predict` returns.

    Attributes
    ----------
    table
        Of runs one row a cell: 5, 50 and 95 % of the losses that the prior expects of its runs, beside the lowest and
        highest that were seen. Of other tables one row a measured value, beside the one seen.
    draws
        DataTree with groups `prior, prior_predictive, observed_data, constant_data`.
    """

    table: pd.DataFrame
    draws: xr.DataTree


def prior_predict(
    law: Law | Likelihood, table: Table, *, seed: int, priors: Mapping[str, Prior] | None = None, draws: int = 500
) -> PriorPrediction:
    """Draw parameters from the prior and what a table measures from them, before any fit.

    Parameters
    ----------
    law, table, priors
        As for `hl.fit`.
    seed
        Determines every draw.
    draws
        Number of draws.

    Returns
    -------
    PriorPrediction
        A table by cell of runs, or by row of another table, and the draws.

    Raises
    ------
    ValueError, TypeError
        When the seed, a prior or the table do not fit.
    """
    check_seed(seed)
    model = likelihood(law, table, priors=priors)
    with jax.enable_x64(True):
        tree = prior_tree(model, table, model.design(table), seed=seed, draws=draws)
    tree.attrs |= {"table": table.kind, "columns": json.dumps(list(table.frame.columns))}
    return PriorPrediction(model.prior_rows(table, tree["prior_predictive"].to_dataset()), tree)
