"""Saving and loading a posterior: one netCDF file, JSON in its attributes, no pickle.

A file holds the draws, what the sampler said of each, and the table, as they are: in float64, so that whatever is
computed of a loaded fit is what it was before. Densities, predictive draws and prior draws, ten times as much, follow
from these and are made again (`hyperlaw.inference.derived`).
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from os.path import isfile
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from hyperlaw.inference.contents import Refused, check_contents
from hyperlaw.inference.posterior import Posterior
from hyperlaw.inference.sampler import Settings
from hyperlaw.inference.tree import completed, site_dims, table_of
from hyperlaw.models.law import Law
from hyperlaw.models.laws import LAWS
from hyperlaw.models.likelihoods import likelihood
from hyperlaw.models.likelihoods.base import Likelihood
from hyperlaw.models.prior import from_json
from hyperlaw.quote import one_line, path_line, quote, some_of
from hyperlaw.streams import check_seed
from hyperlaw.whole_file import write_whole

FORMAT = 2  # 1 held every group, and no number
STORED = ("posterior", "sample_stats", "constant_data")
STATISTICS = ("diverging", "energy", "n_steps", "acceptance_rate", "lp")


def save(posterior: Posterior, path: str | PathLike[str]) -> None:
    """Write a posterior to `path` (netCDF 4, compressed), all of it or, by an OSError, nothing."""
    kept = xr.DataTree.from_dict({group: posterior.group(group) for group in STORED})
    kept.attrs = posterior.tree.attrs | {"format": FORMAT}
    packed = {"zlib": True, "shuffle": True, "complevel": 4}
    encoding = {
        f"/{group}": {name: packed for name, v in node.variables.items() if v.dtype.kind in "fib" and v.ndim}
        for group, node in kept.children.items()
    }
    write_whole(Path(path), bytes(kept.to_netcdf(engine="h5netcdf", encoding=encoding)))


def load(path: str | PathLike[str], laws: Sequence[type[Law]] = ()) -> Posterior:
    """Read what `save` wrote; arguments and errors as `hl.load_fit`."""
    path = Path(path)
    if not isfile(path):
        raise FileNotFoundError(f"there is no fit at {path_line(path)}. Save one with fit.save({quote(path.name)}).")
    tree = _opened(path)
    if "law" not in tree.attrs or "constant_data" not in tree:
        raise ValueError(f"{path_line(path)} was not written by fit.save: it has no law or no data.")
    attrs = {str(name): value for name, value in tree.attrs.items()}
    with _reading(path, "format or versions"):
        written, by = int(attrs.pop("format", 1)), one_line(json.loads(attrs["versions"])["hyperlaw"])
    if written > FORMAT:
        raise ValueError(
            f"{path_line(path)} was written by hyperlaw {by} in format {written}, and this version reads formats up to "
            f"{FORMAT}. Update hyperlaw (pip install --upgrade hyperlaw)."
        )
    known, name = LAWS | {law.__name__: law for law in laws}, str(attrs["law"])
    if name not in known:
        raise ValueError(
            f"{path_line(path)} holds a fit of {quote(name)}, which is not among the laws known here: "
            f"{', '.join(map(one_line, known))}. If it is a law of your own, define it first and pass "
            f"laws=[{one_line(name)}], or register it with @hl.laws.register."
        )
    if "columns" not in attrs:
        raise ValueError(
            f"{path_line(path)} was written by hyperlaw {by}, before its parameters had their present names. "
            "Fit its table again, or read it with that version."
        )
    with _reading(path, "table"):
        table = table_of(tree)
        digests = table.digest, *table.earlier_digests
    if attrs.get("data") not in digests:
        raise ValueError(f"{path_line(path)} is damaged: its runs are not those it was fitted to (digests differ).")
    with _reading(path, "model"):
        model = _model(known[name], attrs)
        design = model.design(table)
        pivot = {key: float(value) for key, value in json.loads(attrs["pivot"]).items()}
        if pivot.keys() != design.pivot.keys():
            raise ValueError(f"its pivot holds {some_of(pivot)} where {', '.join(design.pivot)} are needed")
        seed, _ = check_seed(int(attrs["seed"])), Settings(**json.loads(attrs["settings"]))
        posterior = tree["posterior"].to_dataset()
    if absent := [p.name for p in model.parameter_list if p.name not in posterior]:
        raise ValueError(
            f"{path_line(path)} was written by hyperlaw {by}, whose {name} had no {', '.join(absent)}. Fit its "
            "table again, or read it with that version."
        )
    with _reading(path, "draws"):
        sites = site_dims(model, design)
        _check_draws(tree, sites)
        fitted = completed(tree, model, table, design, sites, seed=seed)
    fitted.attrs = attrs
    return Posterior(model, table, fitted, pivot)


def _opened(path: Path) -> xr.DataTree:
    """The groups that are stored, and the attributes, of whatever lies at a path."""
    try:
        check_contents(path)
        with xr.open_datatree(path, engine="h5netcdf") as opened:
            kept = xr.DataTree.from_dict(
                {name: node.to_dataset().load() for name, node in opened.children.items() if name in STORED}
            )
            kept.attrs = opened.attrs
            return kept
    except Refused as wrong:
        raise ValueError(
            f"{path_line(path)} was not written by fit.save, and nothing in it was read: {wrong}. "
            "Load what fit.save wrote alone."
        ) from None
    except Exception as error:  # of a file that is cut off or no netCDF, whatever its readers raise
        raise ValueError(
            f"{path_line(path)} was not written by fit.save: it cannot be read as netCDF ({one_line(error)})."
        ) from None


@contextmanager
def _reading(path: Path, part: str) -> Iterator[None]:
    """Say of which part of a file something cannot be read: a damaged file may hold anything."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"{path_line(path)} is damaged, or was not written by fit.save: its {part} cannot be read "
            f"({type(error).__name__}: {one_line(error, 200)}). Take a copy of it, or fit its table again."
        ) from error


def _model(law: type[Law], attrs: dict[str, Any]) -> Likelihood:
    """The likelihood that a fit was made with."""
    priors = {key: from_json(text) for key, text in json.loads(attrs["priors"]).items()}
    pooling = json.loads(attrs["pooling"])
    stated = law(over=tuple(json.loads(attrs.get("over", "[]"))))
    model = likelihood(stated, str(attrs["table"]), priors=priors, pooling=pooling)
    return replace(model, **json.loads(str(attrs.get("options", "{}"))))


def _check_draws(tree: xr.DataTree, dims: dict[str, tuple[str, ...]]) -> None:
    """Refuse draws that are not those of the model's sites, finite and of one number."""
    posterior, stats = (tree[group].to_dataset() for group in STORED[:2])
    if absent := sorted(dims.keys() - posterior.keys()):
        raise ValueError(f"its posterior has no {', '.join(absent)}")
    for name, expected in dims.items():
        values = posterior[name]
        if values.dims != expected or values.dtype.kind != "f" or not np.isfinite(values).all():
            raise ValueError(
                f"{name} must be finite numbers with dims {', '.join(expected)}; it holds {values.dtype} with dims "
                f"{some_of(values.dims)}"
            )
    shape = posterior.sizes["chain"], posterior.sizes["draw"]
    for name in STATISTICS:
        if stats[name].shape != shape or stats[name].dtype.kind not in "fib":
            raise ValueError(f"the statistic {name} must hold a number for each draw")
