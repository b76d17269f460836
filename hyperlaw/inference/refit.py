"""`refit`: a posterior without what checks need, for the many fits of cross-validation and backtests."""

from collections.abc import Mapping

import arviz_stats as az
import jax
import numpy as np
import pandas as pd

from hyperlaw.data.table import Table
from hyperlaw.inference.posterior import Posterior, pivot_of, provenance
from hyperlaw.inference.sampler import Settings, sample
from hyperlaw.inference.tree import refit_tree
from hyperlaw.models.law import Law
from hyperlaw.models.likelihoods import likelihood
from hyperlaw.models.likelihoods.base import Likelihood

CHAINS, DRAWS = 2, 500
# Chains further apart than this (R-hat) did not sample one distribution: one of them is stuck.
FAILED_R_HAT = 1.5
SHORT = Settings(CHAINS, warmup=300, draws=DRAWS, target_accept=0.95, max_tree_depth=10)


def refit(law: Law | Likelihood, table: Table, *, seed: int, keep: pd.Series | None = None) -> Posterior:
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
    Posterior
        Its tree has the groups `posterior`, `sample_stats` and `log_likelihood` (of every row, kept or not) alone:
        it predicts but does not check. Its attributes count what was kept.

    Raises
    ------
    ValueError
        When no row is kept, or the table does not fit the law.
    """
    if keep is not None and not keep.any():
        raise ValueError(f"keep must hold for at least one run, received none of {len(keep)}.")
    model = likelihood(law, table)
    design = model.design(table, keep)
    with jax.enable_x64(True):
        sites, stats = sample(model, design, seed=seed, settings=SHORT, report=lambda *_: None)
        tree = refit_tree(model, table, design, sites, stats)
    tree.attrs = provenance(model, table, design, seed, SHORT) | {"kept": int(np.sum(design.observed))}
    return Posterior(model, table, tree, pivot_of(design))


def quality(posterior: Posterior) -> dict[str, float]:
    """Divergences of a posterior, and the largest R-hat of the law's own and scatter parameters.

    NaN where one of them never moved.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        r_hat = az.rhat(posterior.draws[[p.name for p in posterior.likelihood.parameter_list]])
    return {
        "divergences": int(posterior.tree["sample_stats"]["diverging"].sum()),
        "r_hat": float(np.max(r_hat.to_array().values)),  # xarray's own would skip a NaN
    }


def failed(sampled: Mapping[str, float]) -> bool:
    """Whether the chains of a refit, of this `quality`, do not agree at all: nothing may be made of its draws."""
    return not sampled["r_hat"] <= FAILED_R_HAT
