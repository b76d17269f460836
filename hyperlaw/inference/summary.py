"""`summary`: the law's own parameters, with what they mean, their intervals and how well they were sampled."""

import arviz_stats as az
import numpy as np
import pandas as pd

from hyperlaw.inference.posterior import Posterior
from hyperlaw.intervals import intervals

COLUMNS = ["median", "lower", "upper", "unit", "r_hat", "ess", "meaning"]


def summary(posterior: Posterior) -> pd.DataFrame:
    """One row a parameter of the law; see `hyperlaw.fits.Fit.summary`."""
    draws = posterior.draws[posterior.main]
    with np.errstate(invalid="ignore", divide="ignore"):  # of chains that stand still: a NaN
        r_hat, *ess = az.rhat(draws), *(az.ess(draws, method=method) for method in ("bulk", "tail"))
    tables = []
    for parameter, name in zip(posterior.law.own_parameters, posterior.main, strict=True):
        table = intervals(draws[[name]], ["chain", "draw"]).assign(
            unit=parameter.unit,
            r_hat=np.ravel(r_hat[name].values),
            ess=np.ravel(np.minimum(*(one[name].values for one in ess))),
            meaning=parameter.meaning,
        )
        if isinstance(table.index, pd.MultiIndex):  # a row a task
            table.index = pd.Index([f"{name}[{task}]" for task, _ in table.index])
        tables.append(table[COLUMNS])
    return pd.concat(tables).rename_axis("parameter")
