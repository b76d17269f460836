"""Saving and loading a posterior: one netCDF file, JSON in its attributes, no pickle."""

import json
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

import xarray as xr

from hyperlaw.inference.posterior import Posterior
from hyperlaw.inference.tree import table_of
from hyperlaw.models.law import Law
from hyperlaw.models.laws import LAWS
from hyperlaw.models.likelihoods import likelihood
from hyperlaw.models.prior import from_json


def save(posterior: Posterior, path: str | PathLike[str]) -> None:
    """Write a posterior to `path` (netCDF 4, compressed)."""
    encoding = {
        f"/{group}": {
            name: {"zlib": True, "complevel": 1} for name, v in node.data_vars.items() if v.dtype.kind in "fi"
        }
        for group, node in posterior.tree.children.items()
    }
    posterior.tree.to_netcdf(Path(path), engine="h5netcdf", encoding=encoding)


def load(path: str | PathLike[str], laws: Sequence[type[Law]] = ()) -> Posterior:
    """Read what `save` wrote; arguments and errors as `hl.load_fit`."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no fit at {path}. Save one with fit.save({path.name!r}).")
    try:
        with xr.open_datatree(path, engine="h5netcdf") as opened:
            tree = opened.load()
    except OSError as error:
        raise ValueError(f"{path} was not written by fit.save: it cannot be read as netCDF ({error}).") from None
    if "law" not in tree.attrs or "constant_data" not in tree:
        raise ValueError(f"{path} was not written by fit.save: it has no law or no data.")
    known = LAWS | {law.__name__: law for law in laws}
    name, versions = tree.attrs["law"], json.loads(tree.attrs["versions"])
    if name not in known:
        raise ValueError(
            f"{path} holds a fit of {name!r}, which is not among the laws known here: {', '.join(known)}. If it is a "
            f"law of your own, define it first and pass laws=[{name}], or register it with @hl.laws.register."
        )
    if "columns" not in tree.attrs:
        raise ValueError(
            f"{path} was written by hyperlaw {versions['hyperlaw']}, before its parameters had their present names. "
            "Fit its table again, or read it with that version."
        )
    table = table_of(tree)
    if table.digest != tree.attrs["data"]:
        raise ValueError(f"{path} is damaged: its runs are not those it was fitted to (digests differ).")
    priors = {key: from_json(text) for key, text in json.loads(tree.attrs["priors"]).items()}
    pooling = json.loads(tree.attrs["pooling"])
    law = known[name](over=tuple(json.loads(tree.attrs.get("over", "[]"))))
    model = likelihood(law, str(tree.attrs["table"]), priors=priors, pooling=pooling)
    model = replace(model, **json.loads(str(tree.attrs.get("options", "{}"))))
    absent = [p.name for p in model.parameter_list if p.name not in tree["posterior"]]
    if absent:
        raise ValueError(
            f"{path} was written by hyperlaw {versions['hyperlaw']}, whose {name} had no {', '.join(absent)}. Fit its "
            "table again, or read it with that version."
        )
    return Posterior(model, table, tree, json.loads(tree.attrs["pivot"]))
