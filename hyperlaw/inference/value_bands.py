"""`value_bands`: a law's expectation over its first covariate, for each task of a table of measured values."""

import numpy as np
import pandas as pd

from hyperlaw.inference.fit import Fit
from hyperlaw.inference.predict_value import values_at
from hyperlaw.models.clipped import TAIL
from hyperlaw.models.law import Law

INTERVAL = 0.9
POINTS = 40
GROUPS = 5


def moving(law: Law) -> str:
    """Name of the covariate that a picture of the law has on its horizontal axis."""
    return "batch_size" if law.needs_batch_size else law.logged[0]


def others(law: Law) -> list[str]:
    """The law's other covariates, which tell the lines of one task apart."""
    return [name for name in law.covariates if name != moving(law)]


def value_bands(fit: Fit, *, beyond: float = 4.0) -> pd.DataFrame:
    """Median and 90 % predictive interval of a new cell along the law's first covariate.

    Parameters
    ----------
    fit
        A fit of a table other than `Runs`.
    beyond
        How far past the table's largest value, as a factor.

    Returns
    -------
    DataFrame
        Columns `quantity, task`, the other covariates (at most five sets of values a task, evenly chosen), the moving
        one, and `lower, median, upper`.
    """
    name, rest = moving(fit.law), others(fit.law)
    frame = fit.table.frame
    line = np.exp(np.linspace(np.log(frame[name].min()), np.log(frame[name].max() * beyond), POINTS))
    sets = frame[["task", *rest]].drop_duplicates().sort_values(["task", *rest])
    chosen = [g.iloc[np.unique(np.linspace(0, len(g) - 1, GROUPS).astype(int))] for _, g in sets.groupby("task")]
    rows = pd.concat(chosen).merge(pd.DataFrame({name: line}), how="cross")
    posterior = fit.tree["posterior"].dataset
    shape = (posterior.sizes["chain"], posterior.sizes["draw"], 1)
    rng = np.random.default_rng([fit.seed, 9])
    # One draw of the cell's own deviation for a whole line: the band is that of any one point, and smooth.
    cell, scatter = rng.standard_normal(shape), rng.standard_t(TAIL, shape)
    own = posterior["spread_cell"].values[..., None] * cell if "spread_cell" in posterior else 0.0
    tail = (1 - INTERVAL) / 2
    tables = []
    for quantity, centre in values_at(fit, rows, scatter=False).items():
        drawn = centre + own + posterior[f"scatter_{quantity}"].values[..., None] * scatter
        bands = np.exp(np.quantile(drawn, [tail, 0.5, 1 - tail], axis=(0, 1)))
        tables.append(rows.assign(quantity=quantity, lower=bands[0], median=bands[1], upper=bands[2]))
    return pd.concat(tables, ignore_index=True)
