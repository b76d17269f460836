"""`cell_optima`: the best setting of each cell of a sweep, as `Runs.optima` returns it."""

import numpy as np
import pandas as pd

from hyperlaw.data.estimators.local_optimum import local_optimum
from hyperlaw.data.optima import Optima
from hyperlaw.data.vocabulary import HYPERPARAMETERS
from hyperlaw.quote import quote

MIN_SETTINGS = 4


def cell_optima(frame: pd.DataFrame, scales: list[str], *, by_batch: bool, bootstrap: int, seed: int | None) -> Optima:
    """Best setting of each cell, or best learning rate of each batch size of each cell; see `Runs.optima`.

    `frame` is that of the runs, `scales` names its columns of scales.
    """
    generator = _generator(bootstrap, seed)
    groups = ["cell", "batch_size"] if by_batch else ["cell"]
    estimated = HYPERPARAMETERS[:1] if by_batch else HYPERPARAMETERS
    alive = frame[~frame["diverged"]].groupby(["cell", *HYPERPARAMETERS], as_index=False)["loss"].mean()
    _enough(frame, scales, alive, groups)
    tried, cells = frame.groupby(groups), alive.groupby(groups)
    table = tried[["task", *scales]].first()
    for name in estimated:
        table[f"{name}_low"], table[f"{name}_high"] = tried[name].min(), tried[name].max()
    # As arrays: of ten thousand cells most of the time would go into taking frames apart.
    logs, loss = np.log(alive[list(HYPERPARAMETERS)].to_numpy()), alive["loss"].to_numpy()
    ends = np.cumsum(cells.size().to_numpy())[:-1]
    found = [
        local_optimum(logs[rows], loss[rows], bootstrap=bootstrap, generator=generator)
        for rows in np.split(np.argsort(cells.ngroup().to_numpy(), kind="stable"), ends)
    ]
    for i, name in enumerate(estimated):
        table[name] = np.exp([one.place[i] for one in found])
        table[f"{name}_error"] = [one.error[i] for one in found]
    if not by_batch:
        table["correlation"] = [one.correlation for one in found]
    return Optima.from_frame(table.reset_index(), estimated=estimated, batch_unit=1)


def _generator(bootstrap: int, seed: int | None) -> np.random.Generator | None:
    if bootstrap == 0:
        return None
    if not isinstance(bootstrap, int) or bootstrap < 2:
        raise ValueError(
            f"bootstrap must be 0 (the delta method) or a whole number from 2, received {quote(bootstrap)}."
        )
    if seed is None:
        raise ValueError("bootstrap draws at random and needs a seed: pass seed=<whole number>.")
    return np.random.default_rng(seed)


def _enough(frame: pd.DataFrame, scales: list[str], alive: pd.DataFrame, groups: list[str]) -> None:
    """Every cell, or batch size of a cell, has settings to compare."""
    tried = frame.groupby(groups)["task"].first()
    settings = alive.groupby(groups).size().reindex(tried.index, fill_value=0)
    by_batch = len(groups) > 1
    poor = settings[settings < MIN_SETTINGS]
    if len(poor):
        raise ValueError(
            f"{len(poor)} of {len(settings)} {'batch sizes of cells' if by_batch else 'cells'} have fewer than "
            f"{MIN_SETTINGS} {'learning rates' if by_batch else 'settings'} with a finite loss, first "
            f"{_where(frame, scales, poor.index[0])}: {poor.iloc[0]}. Add runs there, or leave them out with `where`."
        )
    batches = alive.groupby("cell")["batch_size"].nunique()
    if not by_batch and (batches == 1).any():
        raise ValueError(
            f"{(batches == 1).sum()} of {len(batches)} cells have a single batch size with a finite loss, first "
            f"{_where(frame, scales, batches.index[batches == 1][0])}: nothing says which is best. Pass by_batch=True "
            "for the best learning rate at each batch size, or leave those cells out with `where`."
        )


def _where(frame: pd.DataFrame, scales: list[str], key: tuple[int, float] | int) -> str:
    cell, *batch = key if isinstance(key, tuple) else (key,)
    row = frame[frame["cell"] == int(cell)].iloc[0]
    named = [f"{name} {row[name]:g}" for name in scales] + [f"batch_size {size:g}" for size in batch]
    return f"task {quote(row['task'])}, {', '.join(named)}"
