"""A fit made by hand, without sampling: parameters at a truth, some of them scattered."""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

import hyperlaw as hl
from hyperlaw.data.vocabulary import HYPERPARAMETERS
from hyperlaw.inference.posterior import pivot_of, provenance
from hyperlaw.inference.sampler import Settings
from hyperlaw.inference.tree import posterior_tree
from hyperlaw.models.likelihoods.cell_deviations import level_mean
from hyperlaw.models.likelihoods.surface import SHARPNESS

SETTINGS = Settings(chains=2, warmup=100, draws=50, target_accept=0.9, max_tree_depth=8)
REASON = "made by hand"


def sampled_as(total, scale, design):
    """Deviations of cells in the coordinates that are sampled: scaled around the mean of their level."""
    level = design.level.get("params", np.zeros(total.shape[-1], int))
    mean = np.asarray(level_mean(jnp.asarray(total), level))
    return scale * (total - mean) + mean


def made_fit(law, table, truth, *, scattered=None, draws=1500, seed=0, whole=False) -> hl.Fit:
    """Two chains of draws: each parameter normal around `truth` with the standard deviation in `scattered`.

    The tree has the posterior alone, or with `whole` all groups that a fit has.
    """
    model = hl.likelihood(law, table)
    design = model.design(table)
    rng, shape, scattered = np.random.default_rng(seed), (2, draws), scattered or {}
    shared = {f"{name}_sd_{q}": 0.05 for name in design.levels for q in model.shares}
    truth = {q.name: 0.0 for q in model.parameter_list if q.name.startswith("drift_")} | shared | truth
    p = {q.name: truth[q.name] + scattered.get(q.name, 0.0) * rng.standard_normal(shape) for q in model.parameter_list}
    dims = dict.fromkeys(p, ("chain", "draw"))
    sites = dict(p)
    if len(table.tasks) > 1:
        for q in model.parameter_list:
            if q.group_sd is not None:
                sites[f"{q.name}_task"] = np.repeat(p[q.name][..., None], len(table.tasks), axis=-1)
                dims[f"{q.name}_task"] = ("chain", "draw", "task")
                if q.name not in model.separate:
                    sites[f"{q.name}_task_sd"] = np.full(shape, 0.01)
                    dims[f"{q.name}_task_sd"] = ("chain", "draw")
    for name, level in design.levels.items():
        for quantity in model.shares:
            sd = truth[f"{name}_sd_{quantity}"]
            sites[f"{name}_deviation_{quantity}"] = sd * rng.standard_normal((*shape, len(level)))
            dims[f"{name}_deviation_{quantity}"] = ("chain", "draw", f"{name}_level")
    for name in model.law.by_threshold:
        root = np.sqrt(p[f"{name}_threshold_sd"])[..., None]
        half = root * rng.standard_normal((*shape, len(design.thresholds)))
        sites |= {f"half_{name}_threshold": half, f"{name}_threshold": np.exp(root * half)}
        dims |= dict.fromkeys((f"half_{name}_threshold", f"{name}_threshold"), ("chain", "draw", "threshold_level"))
    cells = len(model.cell_labels(table, design))
    apart = {"runs": SHARPNESS, "crossings": ("cell",)}.get(table.kind, ())
    for name in (*(HYPERPARAMETERS if table.kind == "runs" else ()), *apart):
        root = np.sqrt(p["cell_sd" if name == "cell" else f"cell_sd_{name}"])[..., None]
        half = root * rng.standard_normal((*shape, cells))
        shared = sum(sites[f"{of}_deviation_{name}"][..., design.level[of]] for of in design.level if name not in apart)
        sites[f"deviation_{name}"] = total = shared + root * half
        sites[f"half_deviation_{name}"] = half if name in apart else sampled_as(total, 1 / root, design)
    if table.kind == "runs":
        wide = {name: v[..., None] for name, v in p.items()}
        wide |= model.settled(wide)
        wide |= {
            f"{of}_deviation_{q}": sites[f"{of}_deviation_{q}"][..., at]
            for of, at in design.level.items()
            for q in model.shares
        }
        drawn = model.draw_cell(wide, design.covariates, rng, np.arange(cells))
        sites["cell_optimal_loss"] = drawn["cell_optimal_loss"]
        for name in [n for n in model.levelled if n in design.level][
            :1
        ]:  # what runs do not see of it: of no consequence here
            lucks = [f"{name}_luck_{q}" for q in model.shares]
            sites |= {luck: rng.standard_normal((*shape, len(design.levels[name]))) for luck in lucks}
            dims |= dict.fromkeys(lucks, ("chain", "draw", f"{name}_level"))
    of_cells = [n for n in sites if ("deviation" in n and n not in dims) or n == "cell_optimal_loss"]
    dims |= dict.fromkeys(of_cells, ("chain", "draw", "cell"))
    if whole:
        stats = {name: rng.standard_normal(shape) for name in ("energy", "lp", "acceptance_rate")}
        stats |= {"diverging": np.zeros(shape, bool), "n_steps": np.full(shape, 7)}
        with jax.enable_x64(True):
            tree = posterior_tree(model, table, design, sites, stats, seed=seed)
    else:
        coords = {"chain": [0, 1], "draw": np.arange(draws), "task": list(table.tasks)}
        coords |= {dim: labels for dim, labels in model.level_labels(table).items() if model.law.by_threshold}
        tree = xr.DataTree.from_dict({"posterior": xr.Dataset({n: (dims[n], v) for n, v in sites.items()}, coords)})
    tree.attrs = provenance(model, table, design, seed, SETTINGS)
    return hl.Fit(model, table, tree, pivot_of(design))
