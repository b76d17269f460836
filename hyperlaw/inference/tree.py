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
from hyperlaw.data.table import TABLES, Table
from hyperlaw.inference.one_draw import one_draw
from hyperlaw.models.design import Design
from hyperlaw.models.law import Law
from hyperlaw.models.meet import AnyDesign
from hyperlaw.models.points import Points

Sites = Mapping[str, np.ndarray]
OBSERVED = ("loss", "diverged")  # of runs; of other tables, the quantities that the law predicts
PREDICTIVE_DRAWS = 250


def observed_sites(design: AnyDesign) -> tuple[str, ...]:
    """Names of the sites that hold what was measured."""
    return OBSERVED if isinstance(design, Design) else tuple(design.value)


def density_name(law: Law) -> str:
    """Name of the variable in the group `log_likelihood`."""
    return "loss" if law.table == "runs" else "value"


@functools.lru_cache(maxsize=32)
def _programs(law: Law) -> tuple[Callable, Callable, Callable]:
    """Compiled log-densities, predictive and prior draws of a law; data and draws are arguments."""
    blank = handlers.uncondition(law.model)

    def densities(sites: Any, design: AnyDesign) -> tuple[jax.Array, dict[str, jax.Array]]:
        trace = handlers.trace(handlers.substitute(law.model, sites)).get_trace(design)
        sampled = {name: site for name, site in trace.items() if site["type"] == "sample"}
        density = {name: site["fn"].log_prob(site["value"]) for name, site in sampled.items()}
        row = sum(density.pop(name) for name in observed_sites(design))
        return row, density

    def predictive(key: jax.Array, sites: Any, design: AnyDesign) -> dict[str, jax.Array]:
        return Predictive(blank, sites, return_sites=list(observed_sites(design)), parallel=True)(key, design)

    def prior(key: jax.Array, design: AnyDesign, draws: int) -> dict[str, jax.Array]:
        return jax.vmap(lambda key: one_draw(blank, key, design))(jax.random.split(key, draws))

    return jax.jit(jax.vmap(densities, (0, None))), jax.jit(predictive), jax.jit(prior, static_argnames="draws")


def _flat(sites: Sites) -> dict[str, np.ndarray]:
    return {name: value.reshape(-1, *value.shape[2:]) for name, value in sites.items()}


def _by_chain(sites: Mapping[str, Any], chains: int) -> dict[str, np.ndarray]:
    return {name: np.asarray(value).reshape(chains, -1, *value.shape[1:]) for name, value in sites.items()}


def _coords(table: Table, design: AnyDesign) -> dict[str, list[Any]]:
    if not isinstance(table, Runs):
        cells = len(design.cells) if isinstance(design, Points) else 0
        return {"row": list(table.labels), "cell": list(range(cells)), "task": list(table.tasks)}
    runs, cells = table, table.cells
    labels = [
        ", ".join(
            ([f"{row['task']}"] if len(runs.tasks) > 1 else []) + [f"{name} {row[name]:.3g}" for name in runs.scales]
        )
        for _, row in cells.iterrows()
    ]
    return {"run": list(runs.labels), "cell": labels, "task": list(runs.tasks)}


def _dims(law: Law, design: AnyDesign) -> dict[str, list[str]]:
    row = "run" if isinstance(design, Design) else "row"
    named = {name: [row] for name in (*observed_sites(design), density_name(law))}
    return infer_dims(law.model, (design,), {}) | named


def _data_groups(table: Table, design: AnyDesign) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    if not isinstance(table, Runs):
        constant = {
            f"column_{name}": column.to_numpy(str if column.dtype == object else None)
            for name, column in table.frame.items()
        }
        return dict(design.value), constant  # type: ignore[union-attr]
    runs, frame = table, table.frame
    observed = {"loss": frame["loss"].to_numpy(), "diverged": frame["diverged"].to_numpy(int)}
    constant = {name: frame[name].to_numpy() for name in ("learning_rate", "batch_size", *runs.scales, "seed", "cell")}
    constant["task_label"] = frame["task"].to_numpy(str)
    return observed, constant


def prior_tree(law: Law, table: Table, design: AnyDesign, *, seed: int, draws: int) -> xr.DataTree:
    """Prior and prior predictive draws, beside the data. Of tables other than runs all of it is in natural logs."""
    drawn = _by_chain(_programs(law)[2](jax.random.key(seed), design, draws), chains=1)
    predicted = {name: drawn.pop(name) for name in observed_sites(design)}
    observed, constant = _data_groups(table, design)
    groups = {"prior": drawn, "prior_predictive": predicted, "observed_data": observed, "constant_data": constant}
    return _build(groups, law, table, design)


def posterior_tree(
    law: Law, table: Table, design: AnyDesign, sites: Sites, stats: Sites, *, seed: int, prior_draws: int
) -> xr.DataTree:
    """Everything a fit holds, with named dims and labels.

    Groups `posterior, sample_stats, log_likelihood, log_prior, posterior_predictive, prior,
    prior_predictive, observed_data, constant_data`; the posterior predictive keeps about 250 evenly spaced draws of
    each chain. `log_likelihood` has one variable: of runs `loss`, the joint log density of a run's divergence and,
    where it did not diverge, its loss; of other tables `value`, the log density of the logs of a row's values, or the
    log probability of lying beyond the limit where one is one-sided.
    """
    chains, draws = next(iter(sites.values())).shape[:2]
    densities, predictive, _ = _programs(law)
    flat = _flat(sites)
    run, log_prior = densities(flat, design)
    step = max(draws // PREDICTIVE_DRAWS, 1)
    thinned = {name: value[:, ::step] for name, value in sites.items()}
    predicted = predictive(jax.random.key(seed + 1), _flat(thinned), design)
    tree = prior_tree(law, table, design, seed=seed + 2, draws=prior_draws)
    groups = {
        "posterior": dict(sites),
        "sample_stats": dict(stats),
        "log_likelihood": _by_chain({density_name(law): run}, chains),
        "log_prior": _by_chain(log_prior, chains),
        "posterior_predictive": _by_chain(predicted, chains),
    }
    built = _build(groups, law, table, design)
    for name, group in tree.children.items():
        built[name] = group.to_dataset()
    return built


def refit_tree(law: Law, table: Table, design: AnyDesign, sites: Sites, stats: Sites) -> xr.DataTree:
    """Groups `posterior`, `sample_stats` and `log_likelihood` alone; the last of every row, observed or not."""
    whole = design._replace(observed=np.ones_like(design.observed))
    run, _ = _programs(law)[0](_flat(sites), whole)
    chains = next(iter(sites.values())).shape[0]
    groups = {"posterior": dict(sites), "sample_stats": dict(stats)}
    return _build(groups | {"log_likelihood": _by_chain({density_name(law): run}, chains)}, law, table, design)


def _build(groups: dict[str, Any], law: Law, table: Table, design: AnyDesign) -> xr.DataTree:
    coords = _coords(table, design)
    row = "run" if isinstance(table, Runs) else "row"
    dims = _dims(law, design) | {name: [row] for name in groups.get("constant_data", {})}
    return from_dict(groups, coords=coords, dims=dims)


def table_of(tree: xr.DataTree) -> Table:
    """The table that a tree was fitted to."""
    kind = str(tree.attrs.get("table", "runs"))
    if kind == "runs":
        return runs_of(tree)
    constant = tree["constant_data"].to_dataset()
    columns = {str(name).removeprefix("column_"): v.values for name, v in constant.items()}
    frame = pd.DataFrame(
        {name: v.astype(object) if v.dtype.kind in "UO" else v for name, v in columns.items()},
        index=constant["row"].values,
    )
    return TABLES[kind](frame)


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
