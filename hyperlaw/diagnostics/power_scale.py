"""Power-scaling of a fit's prior and likelihood, without refitting (Kallioinen et al. 2023, arXiv 2107.14054).

The prior is p(top-level parameters) alone. What ties cells and tasks to them (`half_deviation_*`, `cell_optimal_loss`,
`*_task`) is the law's model of how they differ: raising it to a power would be another law, not another prior.
"""

import arviz_stats as az
import numpy as np
import pandas as pd
import xarray as xr

from hyperlaw.inference.posterior import Posterior

SENSITIVE = 0.05
OUTWEIGHS, DISAGREE = "prior outweighs runs", "prior and runs disagree"


def log_likelihood(fit: Posterior) -> xr.DataArray:
    """Log-likelihood of all runs together, dims (chain, draw)."""
    return fit.row_densities.sum(fit.likelihood.row)


def sensitivity_table(fit: Posterior, quantities: xr.Dataset) -> pd.DataFrame:
    """Sensitivity of each of `quantities` (dims chain, draw) to the priors together and to the likelihood.

    Returns
    -------
    DataFrame
        Columns `prior, likelihood, diagnosis`, and `mostly`: the parameter whose prior alone moves a diagnosed
        quantity most.
    """
    priors = fit.group("log_prior")
    # A flat prior has no density to scale: it moves nothing, and ArviZ refuses it.
    varied = [str(name) for name in priors.data_vars if np.ptp(priors[name].values) > 0]
    tree = xr.DataTree.from_dict(
        {"posterior": quantities, "log_prior": priors, "log_likelihood": log_likelihood(fit).to_dataset(name="runs")}
    )
    table = pd.DataFrame({"prior": _psense(tree, "prior", varied), "likelihood": _psense(tree, "likelihood", ["runs"])})
    table["diagnosis"] = [_diagnosis(row.prior, row.likelihood) for row in table.itertuples()]
    alone = pd.DataFrame({name: _psense(tree, "prior", [name]) for name in varied})
    return table.assign(mostly=alone.idxmax(axis=1).where(table["diagnosis"] != "", ""))


def power_weights(log_density: xr.DataArray, power: float) -> tuple[np.ndarray, float]:
    """Pareto-smoothed importance weights of each draw when a component is raised to `power`, and their Pareto k.

    The weights have shape (chain * draw,) and sum to one. Where all are equal there is no tail: k is -inf.
    """
    raw = (power - 1) * log_density
    if np.ptp(raw.values) == 0:
        return np.full(raw.size, 1 / raw.size), -np.inf
    weights = np.exp(log_density.azstats.power_scale_lw(alpha=power, dim=["chain", "draw"]).values.ravel())
    return weights / weights.sum(), float(raw.azstats.pareto_khat(log_weights=True))


def resample(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Indices of as many draws as there are weights, in proportion to them (systematic resampling)."""
    share = np.cumsum(weights)
    places = (rng.random() + np.arange(len(weights))) / len(weights)
    return np.searchsorted(share / share[-1], places)


def _psense(tree: xr.DataTree, group: str, names: list[str]) -> pd.Series:
    values = az.psense(tree, group=group, group_var_names=names)
    return pd.Series({name: float(value) for name, value in values.data_vars.items()})


def _diagnosis(prior: float, likelihood: float) -> str:
    if prior <= SENSITIVE:
        return ""
    return DISAGREE if likelihood > SENSITIVE else OUTWEIGHS
