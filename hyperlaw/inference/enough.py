"""`enough`: whether draws are as many as a fit needs. The sampler stops by it, and `check` asks the same."""

from collections.abc import Mapping

import arviz_stats as az
import numpy as np
import xarray as xr

R_HAT, EFFECTIVE = 1.01, 400


def enough(sites: Mapping[str, np.ndarray]) -> bool:
    """Whether every value has R-hat of at most 1.01 and 400 effective draws, in the bulk and in the tails.

    Parameters
    ----------
    sites
        Draws by name, each of shape (chain, draw, ...).
    """
    draws = np.concatenate([np.reshape(value, (*np.shape(value)[:2], -1)) for value in sites.values()], axis=2)
    if not _plain_r_hat(draws) <= R_HAT:  # takes a thousandth of the time, and mostly says no
        return False
    found = xr.Dataset({"value": (("chain", "draw", "of"), draws)})
    return (
        float(np.max(az.rhat(found)["value"].values)) <= R_HAT
        and float(np.min(az.ess(found, method="bulk")["value"].values)) >= EFFECTIVE
        and float(np.min(az.ess(found, method="tail")["value"].values)) >= EFFECTIVE
    )


def _plain_r_hat(draws: np.ndarray) -> float:
    """Largest split R-hat, without ranks (Gelman et al., Bayesian Data Analysis, third edition, section 11.4)."""
    chains, half = draws.shape[0], draws.shape[1] // 2
    split = draws[:, : 2 * half].reshape(2 * chains, half, -1)
    within = split.var(1, ddof=1).mean(0)
    between = split.mean(1).var(0, ddof=1)
    with np.errstate(invalid="ignore", divide="ignore"):  # what never moves has no R-hat
        return float(np.sqrt(((half - 1) / half * within + between) / within).max())
