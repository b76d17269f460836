"""`value_residuals`: how measured values compare with what the fit says of their rows."""

import numpy as np
import pandas as pd

from hyperlaw.inference.posterior import Posterior
from hyperlaw.intervals import interval


def value_residuals(posterior: Posterior) -> pd.DataFrame:
    """Every measured value over its posterior predictive median.

    Returns
    -------
    DataFrame
        `quantity, task`, what a target gives (the covariates, and a given batch size), then `ratio`; `inside`, whether
        the value lies within its 90 % predictive interval; and `limit`, 1 or -1 for a one-sided value (the truth lies
        above or below), else 0.

    Raises
    ------
    TypeError
        When the fit is one of runs.
    """
    table, names = posterior.table, posterior.measured_values.needs_at(posterior.table)
    frame, predicted = table.frame[["task", *names]], posterior.group("posterior_predictive")
    tables = []
    for quantity, long in table.points().groupby("quantity", sort=False):
        if quantity not in predicted:
            continue
        rows, value = long["row"].to_numpy(), long["value"].to_numpy()
        low, middle, high = interval(predicted[quantity].values[..., rows], (0, 1))
        limit = (value >= long["high"]).astype(int) - (value <= long["low"]).astype(int)
        found = frame.iloc[rows].reset_index(drop=True)
        found.insert(0, "quantity", quantity)
        log = np.log(value)
        tables.append(
            found.assign(ratio=np.exp(log - middle), inside=(low <= log) & (log <= high), limit=limit.to_numpy())
        )
    return pd.concat(tables, ignore_index=True)
