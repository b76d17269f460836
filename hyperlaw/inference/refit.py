"""`refit`: a posterior without what checks need, for the many fits of cross-validation and backtests."""

import arviz_stats as az
import jax
import numpy as np
import pandas as pd

from hyperlaw.data.table import Table
from hyperlaw.inference.fit import Fit, provenance
from hyperlaw.inference.sampler import Settings, sample
from hyperlaw.inference.tree import refit_tree
from hyperlaw.models.law import Law
from hyperlaw.models.meet import design_of, pivot_of

SHORT = Settings(chains=2, warmup=400, draws=500, target_accept=0.95, max_tree_depth=10)


def refit(law: Law, table: Table, *, seed: int, keep: pd.Series | None = None) -> Fit:
    """Sample the posterior of `law` given some of the rows of `table`, with fewer and shorter chains than `fit`.

    Parameters
    ----------
    law, table
        As for `hl.fit`.
    seed
        Determines every draw.
    keep
        Booleans with the index of `table.frame`: the rows to condition on, all when left out. The others keep their
        place, so that every part of a sweep shares one compiled program; tasks and cells without a kept row
        are drawn from their population.

    Returns
    -------
    Fit
        Its tree has the groups `posterior`, `sample_stats` and `log_likelihood` (of every row, kept or not) alone:
        it predicts but does not check. Its attributes count what was kept.

    Raises
    ------
    ValueError
        When no row is kept, or the table does not fit the law.
    """
    if keep is not None and not keep.any():
        raise ValueError(f"keep must hold for at least one run, received none of {len(keep)}.")
    law = law.of(table.kind)
    at, arrays = pivot_of(law, table, keep), design_of(law, table, keep)
    with jax.enable_x64(True):
        sites, stats = sample(law, arrays, seed=seed, settings=SHORT, report=lambda *_: None)
        tree = refit_tree(law, table, arrays, sites, stats)
    tree.attrs = provenance(law, table, at, seed, SHORT) | {"kept": int(np.sum(arrays.observed))}
    return Fit(law, table, tree, at)


def quality(fit: Fit) -> dict[str, float]:
    """Divergences of a fit, and the largest R-hat of the law's own and surface parameters."""
    r_hat = az.rhat(fit.tree["posterior"].dataset[[p.name for p in fit.law.parameter_list]])
    return {
        "divergences": int(fit.tree["sample_stats"]["diverging"].sum()),
        "r_hat": float(r_hat.to_array().max()),
    }
