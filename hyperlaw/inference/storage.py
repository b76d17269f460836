"""Saving and loading a fit: one netCDF file, JSON in its attributes, no pickle."""

import json
from os import PathLike
from pathlib import Path

import xarray as xr

from hyperlaw.inference.fit import Fit
from hyperlaw.inference.tree import table_of
from hyperlaw.models import LAWS
from hyperlaw.models.prior import from_json


def save_fit(fit: Fit, path: str | PathLike[str]) -> None:
    """Write `fit` to `path` (netCDF 4, compressed)."""
    encoding = {
        f"/{group}": {
            name: {"zlib": True, "complevel": 1} for name, v in node.data_vars.items() if v.dtype.kind in "fi"
        }
        for group, node in fit.tree.children.items()
    }
    fit.tree.to_netcdf(Path(path), engine="h5netcdf", encoding=encoding)


def load_fit(path: str | PathLike[str]) -> Fit:
    """Read a fit that `fit.save` wrote.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file is not a hyperlaw fit, its law is unknown or had other parameters when it was fitted, or its runs
        are not those it was fitted to.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no fit at {path}. Save one with fit.save({path.name!r}).")
    with xr.open_datatree(path, engine="h5netcdf") as opened:
        tree = opened.load()
    if "law" not in tree.attrs or "constant_data" not in tree:
        raise ValueError(f"{path} was not written by fit.save: it has no law or no data.")
    name = tree.attrs["law"]
    if name not in LAWS:
        raise ValueError(f"{path} holds a fit of {name!r}, which this version does not have: {', '.join(LAWS)}.")
    runs = table_of(tree)
    if runs.digest != tree.attrs["data"]:
        raise ValueError(f"{path} is damaged: its runs are not those it was fitted to (digests differ).")
    priors = {key: from_json(text) for key, text in json.loads(tree.attrs["priors"]).items()}
    law = LAWS[name](priors, json.loads(tree.attrs.get("pooling", "{}")), str(tree.attrs.get("table", "runs")))
    known = [p.name for p in law.parameter_list]
    absent = [parameter for parameter in known if parameter not in tree["posterior"]]
    if absent:
        raise ValueError(
            f"{path} was written by hyperlaw {json.loads(tree.attrs['versions'])['hyperlaw']}, whose {name} had no "
            f"{', '.join(absent)}. Fit its runs again, or read it with that version."
        )
    return Fit(law, runs, tree, json.loads(tree.attrs["pivot"]))
