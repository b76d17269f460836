"""A fit made by hand, without sampling: parameters at a truth, some of them scattered."""

import json

import jax
import numpy as np
import xarray as xr

import hyperlaw as hl
from hyperlaw.models import surface
from hyperlaw.models.meet import pivot_of

SETTINGS = {"chains": 2, "warmup": 100, "draws": 50, "target_accept": 0.9, "max_tree_depth": 8}


def made_fit(law, table, truth, *, scattered=None, draws=1500, seed=0) -> hl.Fit:
    """Two chains of draws: each parameter normal around `truth` with the standard deviation in `scattered`."""
    rng, shape, at = np.random.default_rng(seed), (2, draws), pivot_of(law.of(table.kind), table)
    law, scattered = law.of(table.kind), scattered or {}
    p = {q.name: truth[q.name] + scattered.get(q.name, 0.0) * rng.standard_normal(shape) for q in law.parameter_list}
    dims = dict.fromkeys(p, ("chain", "draw"))
    sites = dict(p)
    if len(table.tasks) > 1:
        for q in law.parameter_list:
            if q.spread is not None:
                sites[f"{q.name}_task"] = np.repeat(p[q.name][..., None], len(table.tasks), axis=-1)
                sites[f"{q.name}_task_spread"] = np.full(shape, 0.01)
                dims |= {f"{q.name}_task": ("chain", "draw", "task"), f"{q.name}_task_spread": ("chain", "draw")}
    if isinstance(table, hl.Runs):
        cells = len(table.cells)
        for name in ("learning_rate", "batch_size"):
            half = np.sqrt(p[f"spread_{name}"])[..., None] * rng.standard_normal((*shape, cells))
            sites[f"half_deviation_{name}"] = half
            sites[f"deviation_{name}"] = np.sqrt(p[f"spread_{name}"])[..., None] * half
        x = {name: np.log(table.cells[name].to_numpy()) - at[name] for name in law.covariates}
        with jax.enable_x64(True):
            trend = np.asarray(surface.floor_trend({name: v[..., None] for name, v in p.items()}, x))
        sites["cell_floor"] = trend + p["floor_spread"][..., None] * rng.standard_normal(trend.shape)
        of_cells = [name for name in sites if "deviation" in name or name == "cell_floor"]
        dims |= dict.fromkeys(of_cells, ("chain", "draw", "cell"))
    coords = {"chain": [0, 1], "draw": np.arange(draws), "task": list(table.tasks)}
    posterior = xr.Dataset({name: (dims[name], v) for name, v in sites.items()}, coords)
    tree = xr.DataTree.from_dict({"posterior": posterior})
    tree.attrs = {"seed": seed, "settings": json.dumps(SETTINGS)}
    return hl.Fit(law, table, tree, at)
