"""`loss_bands`: what a law expects a run to lose at every setting that was tried."""

import numpy as np
import pandas as pd
import xarray as xr

from hyperlaw.data.runs import HYPERPARAMETERS, Runs
from hyperlaw.inference.predict import INTERVAL

GROUPS = ("posterior", "prior")


def loss_bands(tree: xr.DataTree, runs: Runs, group: str) -> pd.DataFrame:
    """Predictive intervals of a run's loss, its scatter included, at each setting of each cell.

    Parameters
    ----------
    tree
        Of a fit or of a prior prediction.
    runs
        The runs that it was made for.
    group
        "posterior" or "prior".

    Returns
    -------
    DataFrame
        One row a setting, sorted: `cell, batch_size, learning_rate, lower, median, upper`; nats, equal-tailed 90 %.
        They hold for a run that does not diverge.

    Raises
    ------
    ValueError
        When the group is neither, or the tree has no predictive draws of it.
    """
    if group not in GROUPS:
        raise ValueError(f"group must be 'posterior' or 'prior', received {group!r}.")
    name = f"{group}_predictive"
    if name not in tree.children:
        raise ValueError(
            f"there are no {group} predictive losses here, only the groups {', '.join(tree.children)}. A fit made by "
            'hl.fit has both; what hl.prior_predict returns has those of the prior: pass group="prior".'
        )
    loss = tree[name]["loss"].values.reshape(-1, len(runs))
    tail = (1 - INTERVAL) / 2
    settings = runs.frame.reset_index(drop=True).groupby(["cell", *reversed(HYPERPARAMETERS)]).indices
    rows = [(*key, *np.quantile(loss[:, where], [tail, 0.5, 1 - tail])) for key, where in settings.items()]
    return pd.DataFrame(rows, columns=["cell", *reversed(HYPERPARAMETERS), "lower", "median", "upper"])
