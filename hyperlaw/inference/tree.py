"""The only place that builds a DataTree: names, dims and labels of everything a fit holds."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from arviz_base import from_dict
from arviz_base.io_numpyro import infer_dims
from pandas.api.types import is_numeric_dtype

from hyperlaw.data.table import TABLES, Table
from hyperlaw.inference.derived import PRIOR_DRAWS, Derived, densities, of_rows, prior_groups
from hyperlaw.models.likelihoods.base import Arrays, Design, Draws, Likelihood

# A column of the table by one of these names would hide a dimension.
LABELLED = ("task", "cell", "run")


def posterior_tree(
    likelihood: Likelihood, table: Table, design: Design, sites: Draws, stats: Draws, *, seed: int
) -> xr.DataTree:
    """Everything a fit holds, with named dims and labels: the groups that `hyperlaw.Fit` describes."""
    drawn = labelled({"posterior": dict(sites), "sample_stats": dict(stats)}, likelihood, table, design)
    return completed(drawn, likelihood, table, design, list(sites), seed=seed).load()


def completed(
    drawn: xr.DataTree, likelihood: Likelihood, table: Table, design: Design, sites: Iterable[str], *, seed: int
) -> xr.DataTree:
    """The groups `posterior` and `sample_stats`, and all others of a fit, each computed when it is first looked at.

    `sites` names the model's own among the variables of the posterior.
    """
    labels = _labels(likelihood, table, design)
    posterior, stats = (
        node.assign_coords({dim: labels[dim] for dim in node.dims if dim in labels})
        for node in (drawn["posterior"].to_dataset(), drawn["sample_stats"].to_dataset())
    )
    derived = Derived(likelihood, table, {name: posterior[name].values for name in sites}, seed)
    labels |= {dim: posterior[dim].values for dim in ("chain", "draw")}
    at_prior = labels | {"chain": np.arange(1), "draw": np.arange(PRIOR_DRAWS)}
    of_draw = dict.fromkeys(likelihood.prior_sites(design), ("chain", "draw"))
    of_row = dict.fromkeys(likelihood.outcomes(likelihood.measured(design)), ("chain", "draw", likelihood.row))
    of_site = {name: posterior[name].dims for name in sites}

    def later(group: str, dims: Mapping[str, tuple], at: Mapping[str, Any]) -> xr.Dataset:
        coords = {dim: at[dim] for dim in dict.fromkeys(dim for of in dims.values() for dim in of)}
        shapes = {name: tuple(len(at[dim]) for dim in of) for name, of in dims.items()}
        return xr.Dataset({n: derived.variable(group, n, of, shapes[n]) for n, of in dims.items()}, coords)

    groups = {
        "posterior": posterior,
        "sample_stats": stats,
        "log_likelihood": later("log_likelihood", of_row, labels),
        "log_prior": later("log_prior", of_draw, labels),
        "posterior_predictive": later("posterior_predictive", of_row, labels),
        "prior": later("prior", of_site, at_prior),
        "prior_predictive": later("prior_predictive", of_row, at_prior),
    }
    return xr.DataTree.from_dict(groups | _data_groups(likelihood, table, design))


def prior_tree(likelihood: Likelihood, table: Table, design: Design, *, seed: int, draws: int) -> xr.DataTree:
    """Prior and prior predictive draws, beside the data; measured values in the unit of the model."""
    sites, outcomes = prior_groups(likelihood, table, design, seed=seed, draws=draws)
    drawn = labelled({"prior": sites, "prior_predictive": outcomes}, likelihood, table, design)
    return xr.DataTree.from_dict(
        {name: node.to_dataset() for name, node in drawn.children.items()} | _data_groups(likelihood, table, design)
    )


def refit_tree(likelihood: Likelihood, table: Table, design: Design, sites: Draws, stats: Draws) -> xr.DataTree:
    """Groups `posterior`, `sample_stats` and `log_likelihood` alone; the last of every row, observed or not."""
    rows, _ = densities(likelihood, design._replace(observed=design.present), sites)
    groups = {"posterior": dict(sites), "sample_stats": dict(stats), "log_likelihood": of_rows(table, rows)}
    return labelled(groups, likelihood, table, design)


def labelled(groups: Mapping[str, Arrays], likelihood: Likelihood, table: Table, design: Design) -> xr.DataTree:
    """Groups of draws, of shape (chain, draw, ...), with named dims and labels."""
    of_row = {name: [likelihood.row] for name in likelihood.outcomes(likelihood.measured(design))}
    dims = infer_dims(likelihood.model, (design,), {}) | of_row
    return from_dict(dict(groups), coords=_labels(likelihood, table, design), dims=dims)


def site_dims(likelihood: Likelihood, design: Design) -> dict[str, tuple[str, ...]]:
    """Dims of every site in the posterior."""
    in_plates = infer_dims(likelihood.model, (design,), {})  # those alone; all others have priors
    dims = dict.fromkeys(likelihood.prior_sites(design), ()) | in_plates
    return {name: ("chain", "draw", *of) for name, of in dims.items() if name not in likelihood.measured(design)}


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


def _data_groups(likelihood: Likelihood, table: Table, design: Design) -> dict[str, xr.Dataset]:
    """What was measured, in the unit of the model, and every column of the table: those of text are coordinates."""
    row, at = likelihood.row, {likelihood.row: table.labels}
    observed = of_rows(table, likelihood.outcomes(likelihood.measured(design)))
    columns = {
        _column(str(name)): (row, column.to_numpy(None if is_numeric_dtype(column) else str))
        for name, column in table.frame.items()
    }
    constant = xr.Dataset(columns, at)
    return {
        "observed_data": xr.Dataset({name: (row, value) for name, value in observed.items()}, at),
        "constant_data": constant.set_coords([name for name, v in constant.items() if v.dtype.kind == "U"]),
    }


def _labels(likelihood: Likelihood, table: Table, design: Design) -> dict[str, Any]:
    """Labels along every dim but chain and draw."""
    return {
        likelihood.row: table.labels,
        "cell": likelihood.cell_labels(table, design),
        "task": list(table.tasks),
    } | likelihood.level_labels(table)
