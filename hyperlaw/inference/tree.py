"""The only place that builds a DataTree: names, dims and labels of everything a fit holds."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import pandas as pd
import xarray as xr
from arviz_base import from_dict
from arviz_base.io_numpyro import infer_dims
from numpyro import handlers
from numpyro.infer import Predictive

from hyperlaw.data.runs import SCALES, Runs
from hyperlaw.models.design import Design
from hyperlaw.models.law import Law

Sites = Mapping[str, np.ndarray]
OBSERVED = ("loss", "diverged")
PREDICTIVE_DRAWS = 250


@functools.lru_cache(maxsize=32)
def _programs(law: Law) -> tuple[Callable, Callable, Callable]:
    """Compiled log-densities, predictive and prior draws of a law; data and draws are arguments."""
    blank = handlers.uncondition(law.model)

    def densities(sites: Any, design: Design) -> tuple[jax.Array, dict[str, jax.Array]]:
        trace = handlers.trace(handlers.substitute(law.model, sites)).get_trace(design)
        sampled = {name: site for name, site in trace.items() if site["type"] == "sample"}
        density = {name: site["fn"].log_prob(site["value"]) for name, site in sampled.items()}
        run = sum(density.pop(name) for name in OBSERVED)
        return run, density

    def predictive(key: jax.Array, sites: Any, design: Design) -> dict[str, jax.Array]:
        return Predictive(blank, sites, return_sites=list(OBSERVED), parallel=True)(key, design)

    def prior(key: jax.Array, design: Design, draws: int) -> dict[str, jax.Array]:
        return Predictive(blank, num_samples=draws, parallel=True)(key, design)

    return jax.jit(jax.vmap(densities, (0, None))), jax.jit(predictive), jax.jit(prior, static_argnames="draws")


def _flat(sites: Sites) -> dict[str, np.ndarray]:
    return {name: value.reshape(-1, *value.shape[2:]) for name, value in sites.items()}


def _by_chain(sites: Mapping[str, Any], chains: int) -> dict[str, np.ndarray]:
    return {name: np.asarray(value).reshape(chains, -1, *value.shape[1:]) for name, value in sites.items()}


def _coords(runs: Runs) -> dict[str, list[Any]]:
    cells = runs.cells
    labels = [
        ", ".join(
            ([f"{row['task']}"] if len(runs.tasks) > 1 else []) + [f"{name} {row[name]:.3g}" for name in runs.scales]
        )
        for _, row in cells.iterrows()
    ]
    return {"run": list(runs.labels), "cell": labels, "task": list(runs.tasks)}


def _dims(law: Law, design: Design) -> dict[str, list[str]]:
    return infer_dims(law.model, (design,), {}) | {name: ["run"] for name in OBSERVED}


def _data_groups(runs: Runs) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    frame = runs.frame
    observed = {"loss": frame["loss"].to_numpy(), "diverged": frame["diverged"].to_numpy(int)}
    constant = {name: frame[name].to_numpy() for name in ("learning_rate", "batch_size", *runs.scales, "seed", "cell")}
    constant["task_label"] = frame["task"].to_numpy(str)
    return observed, constant


def prior_tree(law: Law, runs: Runs, design: Design, *, seed: int, draws: int) -> xr.DataTree:
    """Prior and prior predictive draws, beside the data."""
    drawn = _by_chain(_programs(law)[2](jax.random.key(seed), design, draws), chains=1)
    predicted = {name: drawn.pop(name) for name in OBSERVED}
    observed, constant = _data_groups(runs)
    groups = {"prior": drawn, "prior_predictive": predicted, "observed_data": observed, "constant_data": constant}
    return _build(groups, law, runs, design)


def posterior_tree(
    law: Law, runs: Runs, design: Design, sites: Sites, stats: Sites, *, seed: int, prior_draws: int
) -> xr.DataTree:
    """Everything a fit holds, with named dims and labels.

    Groups `posterior, sample_stats, log_likelihood, log_prior, posterior_predictive, prior,
    prior_predictive, observed_data, constant_data`; the posterior predictive keeps about 250 evenly spaced draws of
    each chain. `log_likelihood` has one variable, `loss`: the joint
    log density of a run's divergence and, where it did not diverge, its loss.
    """
    chains, draws = next(iter(sites.values())).shape[:2]
    densities, predictive, _ = _programs(law)
    flat = _flat(sites)
    run, log_prior = densities(flat, design)
    step = max(draws // PREDICTIVE_DRAWS, 1)
    thinned = {name: value[:, ::step] for name, value in sites.items()}
    predicted = predictive(jax.random.key(seed + 1), _flat(thinned), design)
    tree = prior_tree(law, runs, design, seed=seed + 2, draws=prior_draws)
    groups = {
        "posterior": dict(sites),
        "sample_stats": dict(stats),
        "log_likelihood": _by_chain({"loss": run}, chains),
        "log_prior": _by_chain(log_prior, chains),
        "posterior_predictive": _by_chain(predicted, chains),
    }
    built = _build(groups, law, runs, design)
    for name, group in tree.children.items():
        built[name] = group.to_dataset()
    return built


def _build(groups: dict[str, Any], law: Law, runs: Runs, design: Design) -> xr.DataTree:
    coords = _coords(runs)
    dims = _dims(law, design) | {name: ["run"] for name in groups.get("constant_data", {})}
    return from_dict(groups, coords=coords, dims=dims)


def runs_of(tree: xr.DataTree) -> Runs:
    """The runs that a tree was fitted to."""
    constant, observed = tree["constant_data"].to_dataset(), tree["observed_data"].to_dataset()
    columns = {name: constant[name].values for name in ("learning_rate", "batch_size", *SCALES) if name in constant}
    frame = pd.DataFrame(columns, index=constant["run"].values)
    frame["task"] = constant["task_label"].values.astype(object)
    frame["seed"] = constant["seed"].values
    frame["loss"] = observed["loss"].values
    frame["diverged"] = observed["diverged"].values.astype(bool)
    frame["cell"] = constant["cell"].values
    return Runs(frame[[*columns, "task", "seed", "loss", "diverged", "cell"]])
