"""`tuned_optima`: the best setting of each cell from bootstrapped crossings, as `Crossings.optima` returns it."""

import numpy as np
import pandas as pd

from hyperlaw.data.optima import Optima
from hyperlaw.data.vocabulary import HYPERPARAMETERS
from hyperlaw.quote import quote, some_of


def tuned_optima(frame: pd.DataFrame, draws: np.ndarray, scales: tuple[str, ...], level: int | None) -> Optima:
    """Best setting of each task and scale, averaged over draws; see `Crossings.optima`.

    Parameters
    ----------
    frame
        As `Crossings.frame`.
    draws
        Data needed in each draw, infinite where never reached, shape (row, draw).
    scales
        Names of the scale columns.
    level
        Rank of the threshold that counts; each task's highest when None.
    """
    cell = ["task", *scales]
    top = frame.groupby("task")["level"].transform("max") if level is None else level
    counts = (frame["level"] == top).to_numpy()
    _levels_exist(frame, counts, cell, level)
    chosen, draws = frame[counts].reset_index(drop=True), draws[counts]
    known = [name for name in HYPERPARAMETERS if name in frame]
    estimated = _varied(chosen, cell, known)
    rows, never = [], []
    for key, part in chosen.groupby(cell, sort=True):
        place = dict(zip(cell, key, strict=True))
        part_draws = draws[part.index]
        some = np.isfinite(part_draws).any(axis=0)
        if some.sum() < 2:
            never.append(place | {"threshold": part["threshold"].iloc[0]})
            continue
        row = place | {name: part[name].iloc[0] for name in known if name not in estimated}
        rows.append(row | _cell(part, part_draws[:, some], known, estimated))
    if never:
        named = some_of(f"{name} {value}" for name, value in never[0].items())
        raise ValueError(
            f"{len(never)} of {len(never) + len(rows)} cells reached the threshold in fewer than two of "
            f"{draws.shape[1]} draws, first {named}: nothing says what was best there. Pass a lower level=, or leave "
            "them out with `where`."
        )
    return Optima.from_frame(pd.DataFrame(rows), estimated=tuple(estimated))


def _cell(part: pd.DataFrame, draws: np.ndarray, known: list[str], estimated: list[str]) -> dict[str, float]:
    """Mean, error, limits and correlation of the best settings of one cell."""
    best: list[np.ndarray] = []
    errors: list[float] = []
    row: dict[str, float] = {}
    for name in estimated:
        others = [other for other in known if other != name]
        logs = np.log(part[name].to_numpy(float))
        groups = part.groupby(others).indices.values() if others else [np.arange(len(part))]
        picks = np.array([_fewest(logs[group], draws[group]) for group in groups])
        averaged = np.isfinite(picks).sum(axis=0)
        place = np.nansum(picks, axis=0) / averaged
        grid = np.unique(logs)
        step = (grid[-1] - grid[0]) / (len(grid) - 1)
        quantisation = step / np.sqrt(12 * averaged.mean())
        best.append(place)
        errors.append(np.hypot(place.std(ddof=1), quantisation))
        end = grid[0] if place.mean() < grid.mean() else grid[-1]
        one_sided = np.abs(end - place.mean()) < quantisation
        row |= {
            name: np.exp(end if one_sided else place.mean()), f"{name}_error": errors[-1],
            f"{name}_low": part[name].min(), f"{name}_high": part[name].max(),
        }  # fmt: skip
    if len(estimated) == 2:
        row["correlation"] = np.cov(best)[0, 1] / np.prod(errors)
    return row


def _fewest(logs: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Mean of `logs` over the rows with the fewest data in each draw; NaN where none reached the threshold."""
    fewest = draws.min(axis=0)
    tied = np.isfinite(fewest) & (draws == fewest)
    return np.where(tied.any(axis=0), logs @ tied / np.maximum(tied.sum(axis=0), 1), np.nan)


def _levels_exist(frame: pd.DataFrame, counts: np.ndarray, cell: list[str], level: int | None) -> None:
    has = pd.Series(counts, index=frame.index).groupby([frame[name] for name in cell]).any()
    if not has.all():
        first = has.index[~has][0]
        named = some_of(f"{name} {value}" for name, value in zip(cell, first, strict=True))
        raise ValueError(
            f"level {'of the highest threshold' if level is None else quote(level)} is missing for {(~has).sum()} of "
            f"{len(has)} cells, first {named}; the levels are {frame['level'].min()} to {frame['level'].max()}."
        )


def _varied(chosen: pd.DataFrame, cell: list[str], known: list[str]) -> list[str]:
    """Hyperparameters that have several values in every cell; one that has a single value in every cell is given."""
    varied = []
    for name in known:
        values = chosen.groupby(cell)[name].nunique()
        if (values > 1).all():
            varied.append(name)
        elif (values > 1).any():
            first = values.index[values == 1][0]
            named = some_of(f"{word} {value}" for word, value in zip(cell, first, strict=True))
            raise ValueError(
                f"{(values == 1).sum()} of {len(values)} cells have a single {name}, first {named}, while others have "
                "several: leave them out with `where`."
            )
    if not varied:
        raise ValueError(
            "no learning rate or batch size has several values in a cell: there is nothing to choose from. Name their "
            "columns when making the curves."
        )
    return varied
