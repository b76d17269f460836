"""`prior_predict`: what a law believes about a sweep before seeing its losses."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pandas as pd
import xarray as xr

from hyperlaw.data.runs import Runs
from hyperlaw.data.table import Table
from hyperlaw.inference.tree import prior_tree
from hyperlaw.models.law import Law
from hyperlaw.models.meet import design_of
from hyperlaw.models.prior import Prior


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
    law: Law, table: Table, *, seed: int, priors: Mapping[str, Prior] | None = None, draws: int = 500
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
        When a prior or the table do not fit the law.
    """
    law = law.of(table.kind).with_priors(priors or {})
    with jax.enable_x64(True):
        tree = prior_tree(law, table, design_of(law, table), seed=seed, draws=draws)
    tree.attrs["table"] = table.kind
    rows = _by_cell(table, tree) if isinstance(table, Runs) else _by_row(table, tree)
    return PriorPrediction(pd.DataFrame(rows), tree)


def _by_cell(runs: Runs, tree: xr.DataTree) -> list[dict[str, Any]]:
    loss = tree["prior_predictive"]["loss"].values.reshape(-1, len(runs))
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
    return rows


def _by_row(table: Table, tree: xr.DataTree) -> list[dict[str, Any]]:
    frame = table.frame
    rows = []
    for name, drawn in tree["prior_predictive"].dataset.items():
        low, middle, high = np.exp(np.quantile(drawn.values, [0.05, 0.5, 0.95], axis=(0, 1)))
        seen = np.exp(tree["observed_data"][name].values)
        for i, label in enumerate(table.labels):
            given = {c: frame[c].iloc[i] for c in ("task", *table.scales)}
            rows.append(
                {"row": label, "quantity": name}
                | given
                | {"prior_lower": low[i], "prior_median": middle[i], "prior_upper": high[i], "seen": seen[i]}
            )
    return rows
