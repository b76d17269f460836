"""`fewest_steps`: steps that the best learning rate of each batch size needs to reach a loss.

`Runs.steps_to_loss` returns it.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hyperlaw.data.steps_to_loss import MIN_BATCHES, StepsToLoss
from hyperlaw.quote import quote, some_of

ENOUGH = 0.5  # of the seeds must reach the loss for a learning rate to count


def fewest_steps(
    frame: pd.DataFrame, scales: tuple[str, ...], losses: Sequence[float], *, bootstrap: int, seed: int
) -> StepsToLoss:
    """Fewest steps to each loss over batch size; see `Runs.steps_to_loss`.

    `frame` is that of the runs, `scales` names its columns of scales.
    """
    targets = _targets(losses)
    if not isinstance(bootstrap, int) or bootstrap < 2:
        raise ValueError(f"bootstrap must be a whole number from 2 (100 is usual), received {quote(bootstrap)}.")
    place = ["task", *(name for name in ("params", "width") if name in scales)]
    frame = frame.assign(loss=lambda table: table["loss"].fillna(np.inf))
    _logged(frame, scales, place)

    generator = np.random.default_rng(seed)
    rows = []
    for key, part in frame.sort_values("data").groupby([*place, "batch_size"]):
        at = dict(zip([*place, "batch_size"], key, strict=True))
        start = part["data"].min()
        reached = {
            run: _log_data(one["data"].to_numpy(), one["loss"].to_numpy(), targets, start)
            for run, one in part.groupby(["learning_rate", "seed"])
        }
        table = pd.DataFrame(reached).T.rename_axis(["learning_rate", "seed"])
        for i, loss in enumerate(targets):
            times = table[i].unstack("seed").dropna(axis=1, how="all").to_numpy()
            drawn = generator.integers(times.shape[1], size=(bootstrap, times.shape[1]))
            least = float(_fewest(times))
            if np.isfinite(least):
                error = _spread(_fewest(times[:, drawn]), times.shape[1])
                rows.append(at | {"loss": loss, "steps": np.exp(least) / at["batch_size"], "error": error})
    table = pd.DataFrame(rows, columns=[*place, "batch_size", "loss", "steps", "error"])
    _reached(table, frame, place, targets)
    # Laws of steps have one critical batch size a task: each curve is one.
    several = [table["task"]] if frame["task"].nunique() > 1 else []
    named = [name + " " + table[name].map("{:.4g}".format) for name in (*place[1:], "loss")]
    table["task"] = [", ".join(row) for row in zip(*several, *named, strict=True)]
    return StepsToLoss.from_frame(table)


def _log_data(data: np.ndarray, loss: np.ndarray, targets: np.ndarray, start: float) -> np.ndarray:
    """Natural log of the data at which one run's lowest loss so far first reaches each target.

    Infinite where it never does. Where it already has at its first logged point, minus infinity if that is the `start`
    of the log of this batch size, and NaN, as if it had not been run, if others were logged earlier.
    """
    lowest = np.minimum.accumulate(loss)
    after = np.searchsorted(-lowest, -targets)
    times = np.where(after == 0, -np.inf if data[0] == start else np.nan, np.inf)
    between = (after > 0) & (after < len(data))
    i = after[between]
    # A loss that was infinite before says nothing of when it fell: the later point counts.
    before = np.where(np.isfinite(lowest), lowest, np.finfo(float).max)[i - 1]
    share = (before - targets[between]) / (before - lowest[i])
    times[between] = (1 - share) * np.log(data[i - 1]) + share * np.log(data[i])
    return times


def _fewest(times: np.ndarray) -> np.ndarray:
    """Least mean over seeds (the last axis) of any learning rate (the first axis) that enough seeds reach it with."""
    reached = times < np.inf
    number = reached.sum(axis=-1)
    counts = (number > 0) & (number >= ENOUGH * (~np.isnan(times)).sum(axis=-1))
    mean = np.where(reached, times, 0.0).sum(axis=-1) / np.maximum(number, 1)
    return np.where(counts, mean, np.inf).min(axis=0)


def _spread(draws: np.ndarray, seeds: int) -> float:
    """Standard deviation of ln steps over the draws that have any, unbiased for `seeds` seeds; 0 for one seed."""
    found = draws[np.isfinite(draws)]
    return float(found.std() * np.sqrt(seeds / (seeds - 1))) if seeds > 1 and len(found) else 0.0


def _targets(losses: Sequence[float]) -> np.ndarray:
    targets = np.unique(np.asarray(losses, float))
    if not 0 < len(targets) == np.size(losses) or not np.isfinite(targets).all():
        raise ValueError(f"losses must be finite numbers, one or more, none repeated; received {quote(losses)}.")
    return targets


def _logged(frame: pd.DataFrame, scales: tuple[str, ...], place: list[str]) -> None:
    """The runs have learning curves, and what a step is is known."""
    if "utd" in scales:
        raise ValueError(
            "steps_to_loss divides data by batch size, but these runs have an updates-to-data ratio, which changes the "
            "steps. Make `Curves` of them, and use `crossings`."
        )
    setting = [*place, "batch_size", "learning_rate", "seed"]
    if "data" not in scales or (frame.groupby(setting).size() == 1).all():
        raise ValueError(
            "steps_to_loss needs several data points of every run, but these runs "
            f"{'have one each' if 'data' in scales else 'have no data column'}: when a loss was reached on the way is "
            "unknown. Log the loss on the way, one row a point, or enter steps with `StepsToLoss.from_frame`."
        )


def _reached(table: pd.DataFrame, frame: pd.DataFrame, place: list[str], targets: np.ndarray) -> None:
    """Every task and size has steps to every loss at two batch sizes or more."""
    found = table.groupby([*place, "loss"]).size()
    for key, part in frame.groupby(place):
        for loss in targets:
            number = int(found.get((*key, loss), 0))
            if number < MIN_BATCHES:
                named = some_of(f"{name} {value}" for name, value in zip(place, key, strict=True))
                raise ValueError(
                    f"{named}: {number} of {part['batch_size'].nunique()} batch sizes reach a loss of {loss:g} after "
                    f"their first logged point, and {MIN_BATCHES} are needed. The lowest loss there is "
                    f"{part['loss'].min():.4g}. Pass higher losses (lower ones where the first point has reached it), "
                    "or leave those runs out with `where`."
                )
