"""Sweeps that ship with the package: real runs, made by the trainers under `experiments/`."""

from importlib.resources import as_file, files

import pandas as pd

from hyperlaw.data.runs import Runs

_SWEEPS = {"lm_adam": "byte-level language model, Adam; learning rate x batch size x data x width"}


def sweeps() -> pd.DataFrame:
    """Shipped sweeps, one row each: name, what it is, runs, smallest and largest data."""
    rows = []
    for name, what in _SWEEPS.items():
        data = load_sweep(name).frame["data"]
        rows.append({"name": name, "what": what, "runs": len(data), "data_from": data.min(), "data_to": data.max()})
    return pd.DataFrame(rows).set_index("name")


def load_sweep(name: str) -> Runs:
    """Runs of a shipped sweep, all scales; what each holds is in the README beside the files.

    Raises
    ------
    ValueError
        When there is no sweep of that name.
    """
    if name not in _SWEEPS:
        raise ValueError(f"there is no sweep {name!r}; the sweeps are: {', '.join(_SWEEPS)}.")
    with as_file(files(__name__) / f"{name}.parquet") as path:
        return Runs.from_parquet(path)
