"""The only place that builds a DataTree: names, dims and labels of everything a fit holds."""

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
import xarray as xr
from arviz_base import from_dict
from arviz_base.io_numpyro import infer_dims
from numpyro import handlers
from numpyro.infer import Predictive

from hyperlaw.data.table import TABLES, Table
from hyperlaw.inference.one_draw import drawn_beforehand, one_draw
from hyperlaw.models.likelihoods.base import Design, Draws, Likelihood
from hyperlaw.streams import generator, jax_key

PREDICTIVE_DRAWS = 250
AT_ONCE = 50  # draws of each chain: however many there are, they share a program
PRIOR_DRAWS = 500
# A column of the table by one of these names would hide a dimension.
LABELLED = ("task", "cell", "run")


class _Programs(NamedTuple):
    """Compiled functions of a model; data, priors and draws are arguments."""

    densities: Callable
    predictive: Callable
    prior: Callable


@functools.lru_cache(maxsize=32)
def _programs(likelihood: Likelihood) -> _Programs:
    """Log densities of rows and of sites, predictive draws, prior draws; for a likelihood with default priors."""
    blank = handlers.uncondition(likelihood.model)

    def densities(sites: Any, design: Design) -> tuple[jax.Array, dict[str, jax.Array]]:
        trace = handlers.trace(handlers.substitute(likelihood.model, sites)).get_trace(design)
        sampled = {name: site for name, site in trace.items() if site["type"] == "sample"}
        density = {name: site["fn"].log_prob(site["value"]) for name, site in sampled.items()}
        row = sum(density.pop(name) for name in likelihood.measured(design))
        return row, density

    def predictive(key: jax.Array, sites: Any, design: Design) -> dict[str, jax.Array]:
        names = list(likelihood.measured(design))
        return Predictive(blank, sites, return_sites=names, parallel=True)(key, design)

    def prior(key: jax.Array, known: Any, design: Design) -> dict[str, jax.Array]:
        return one_draw(handlers.substitute(blank, known), key, design)

    return _Programs(
        jax.jit(jax.vmap(densities, (0, None))), jax.jit(predictive), jax.jit(jax.vmap(prior, (0, 0, None)))
    )


def prior_draws(likelihood: Likelihood, design: Design, *, seed: int, draws: int) -> dict[str, jax.Array]:
    """Values of every site, measured ones too, drawn from the prior: each of shape (draw, ...)."""
    law = likelihood.law.name
    known = drawn_beforehand(design.priors, generator(seed, law, "prior, beforehand"), draws)
    keys = jax.random.split(jax_key(seed, law, "prior"), draws)
    return _programs(likelihood.bare).prior(keys, known, likelihood.to_simulate(design))


def prior_tree(likelihood: Likelihood, table: Table, design: Design, *, seed: int, draws: int) -> xr.DataTree:
    """Prior and prior predictive draws, beside the data; measured values in the unit of the model."""
    drawn = _by_chain(prior_draws(likelihood, design, seed=seed, draws=draws), chains=1)
    measured = likelihood.measured(design)
    predicted = {name: drawn.pop(name)[..., : len(table)] for name in measured}
    groups = {"prior": drawn, "prior_predictive": predicted} | _data_groups(likelihood, table, design)
    return _build(groups, likelihood, table, design)


def posterior_tree(
    likelihood: Likelihood, table: Table, design: Design, sites: Draws, stats: Draws, *, seed: int
) -> xr.DataTree:
    """Everything a fit holds, with named dims and labels.

    Groups `posterior, sample_stats, log_likelihood, log_prior, posterior_predictive, prior,
    prior_predictive, observed_data, constant_data`; the posterior predictive keeps about 250 evenly spaced draws of
    each chain. `log_likelihood` has one variable: of runs `loss`, the joint log density of a run's divergence and,
    where it did not diverge, its loss; of other tables `value`, the log density of the logs of a row's values, or the
    log probability of lying beyond the limit where one is one-sided.
    """
    chains, draws = next(iter(sites.values())).shape[:2]
    row, log_prior = _densities(likelihood, design, sites)
    kept = np.arange(PREDICTIVE_DRAWS) * draws // PREDICTIVE_DRAWS if draws > PREDICTIVE_DRAWS else np.arange(draws)
    thinned = _flat({name: value[:, kept] for name, value in sites.items()})
    key = jax_key(seed, likelihood.law.name, "posterior predictive")
    predicted = _programs(likelihood.bare).predictive(key, thinned, design)
    groups = {
        "posterior": dict(sites),
        "sample_stats": dict(stats),
        "log_likelihood": {likelihood.density: row[..., : len(table)]},
        "log_prior": log_prior,
        "posterior_predictive": _by_chain({n: v[:, : len(table)] for n, v in predicted.items()}, chains),
    }
    built = _build(groups, likelihood, table, design)
    for name, group in prior_tree(likelihood, table, design, seed=seed, draws=PRIOR_DRAWS).children.items():
        built[name] = group.to_dataset()
    return built


def refit_tree(likelihood: Likelihood, table: Table, design: Design, sites: Draws, stats: Draws) -> xr.DataTree:
    """Groups `posterior`, `sample_stats` and `log_likelihood` alone; the last of every row, observed or not."""
    row, _ = _densities(likelihood, design._replace(observed=design.present), sites)
    density = {likelihood.density: row[..., : len(table)]}
    groups = {"posterior": dict(sites), "sample_stats": dict(stats), "log_likelihood": density}
    return _build(groups, likelihood, table, design)


def _densities(likelihood: Likelihood, design: Design, sites: Draws) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Log density of every row, shape (chain, draw, row), and of every site."""
    chains, draws = next(iter(sites.values())).shape[:2]
    densities, parts = _programs(likelihood.bare).densities, []
    for start in range(0, draws, AT_ONCE):
        row, prior = densities(
            _flat({name: value[:, start : start + AT_ONCE] for name, value in sites.items()}), design
        )
        parts.append((_by_chain({"row": row}, chains)["row"], _by_chain(prior, chains)))
    return jax.tree.map(lambda *blocks: np.concatenate(blocks, axis=1), *parts)


def table_of(tree: xr.DataTree) -> Table:
    """The table that a tree was made for; its attributes `table` and `columns` say which."""
    constant = tree["constant_data"].to_dataset()
    columns = {}
    for name in json.loads(tree.attrs["columns"]):
        values = constant[_column(name)].values
        columns[name] = values.astype(object) if values.dtype.kind in "UO" else values
    (row,) = constant.dims
    frame = pd.DataFrame(columns, index=constant[row].values)
    options = json.loads(str(tree.attrs.get("table_options", "{}")))
    lists = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    return TABLES[str(tree.attrs["table"])](frame, **lists)


def _column(name: str) -> str:
    return f"{name}_label" if name in LABELLED else name


def _data_groups(likelihood: Likelihood, table: Table, design: Design) -> dict[str, dict[str, np.ndarray]]:
    """What was measured, in the unit of the model, and every column of the table."""
    observed = {name: value[: len(table)] for name, value in likelihood.observed(design).items()}
    constant = {
        _column(str(name)): column.to_numpy(str if column.dtype == object else None)
        for name, column in table.frame.items()
    }
    return {"observed_data": observed, "constant_data": constant}


def _build(groups: dict[str, Any], likelihood: Likelihood, table: Table, design: Design) -> xr.DataTree:
    row = likelihood.row
    by_row = (*likelihood.measured(design), likelihood.density, *groups.get("constant_data", {}))
    dims = infer_dims(likelihood.model, (design,), {}) | {name: [row] for name in by_row}
    labels: dict[str, Any] = {
        row: list(table.labels),
        "cell": likelihood.cell_labels(table, design),
        "task": list(table.tasks),
    }
    return from_dict(groups, coords=labels, dims=dims)


def _flat(sites: Draws) -> dict[str, np.ndarray]:
    return {name: value.reshape(-1, *value.shape[2:]) for name, value in sites.items()}


def _by_chain(sites: Mapping[str, Any], chains: int) -> dict[str, np.ndarray]:
    return {name: np.asarray(value).reshape(chains, -1, *value.shape[1:]) for name, value in sites.items()}
