"""`Curves`: a table of learning curves, and the data that each setting needed to reach a performance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pandas as pd

from hyperlaw.data import checks
from hyperlaw.data.columns import Column, Tabular, as_frame, listed, positive, read
from hyperlaw.data.crossings import Crossings
from hyperlaw.data.curve_readers import CurveReaders
from hyperlaw.data.estimators.crossing_times import crossing_times
from hyperlaw.data.vocabulary import HYPERPARAMETERS
from hyperlaw.display import View
from hyperlaw.quote import quote, some_of

SETTING = ("task", "params", "width", "utd", *HYPERPARAMETERS)
Thresholds = Sequence[float] | Mapping[str, Sequence[float]]


@dataclass(frozen=True, eq=False, repr=False)
class Curves(CurveReaders):
    """Learning curves, one row a logged point. Made with `from_frame`.

    Attributes
    ----------
    frame
        Columns `task`, the scales that were given (`params`, `width`, `utd`), `learning_rate` and `batch_size` where
        given, `seed`, `data` (environment steps seen), `performance` (a return; higher is better). A copy.
    notes
        What was left out on the way in.
    """

    notes: tuple[str, ...] = ()
    kind: ClassVar[str] = "curves"

    @classmethod
    def from_frame(
        cls,
        frame: Tabular,
        *,
        data: str = "data",
        performance: str = "performance",
        utd: Column | None = None,
        params: Column | None = None,
        width: Column | None = None,
        learning_rate: Column | None = None,
        batch_size: Column | None = None,
        task: str | None = None,
        seed: str | None = None,
    ) -> "Curves":
        """Read learning curves from a DataFrame, naming the columns that hold each quantity.

        A column that is not named is looked for under its own name and left out when absent.

        Parameters
        ----------
        frame
            One row a logged point. A table in memory or the path of a file, as for `Runs.from_frame`.
        data
            Column of data points (environment steps) seen; rows at 0, before any, are kept but never count as reached.
        performance
            Column of returns, higher is better, in one unit for each task. Rows where it is empty, at which nothing
            was evaluated, are left out.
        utd, params, width
            Columns of the scales, or the number that holds in every row: updates-to-data ratio, parameter count, model
            width. One of `utd` and `params` is needed.
        learning_rate, batch_size
            Columns of the hyperparameters, the batch size in data points.
        task
            Column of tasks (environments); one task, "all", when absent.
        seed
            Column of seeds; one seed when absent.

        Raises
        ------
        ValueError
            When a column is missing or the values cannot be right; the text says which rows, what was received,
            and what is allowed.
        """
        optional = {
            "utd": utd, "params": params, "width": width, "learning_rate": learning_rate, "batch_size": batch_size,
            "task": task, "seed": seed,
        }  # fmt: skip
        frame = as_frame(frame)
        table, found = read(frame, {"data": data, "performance": performance}, optional)
        if not {"utd", "params"} & set(table):
            raise ValueError(
                "no scale was named: pass utd= or params= with the column that holds the updates-to-data ratio or the "
                f"parameter count, or one number for every row. {listed(list(frame.columns))}"
            )
        performances = checks.numbers(table["performance"], found["performance"])
        empty = int(performances.isna().sum())
        if empty == len(table):
            raise ValueError(f"column {quote(found['performance'])} is empty in every row: no point was evaluated.")
        table = table[performances.notna()].copy()
        positive(table, found, [name for name in SETTING if name != "task"])
        table["data"] = checks.not_negative_numbers(table["data"], found["data"])
        table["performance"] = checks.finite_numbers(table["performance"], found["performance"])
        table["seed"] = checks.seeds(table["seed"], found["seed"]) if "seed" in table else 0
        columns = [*(name for name in SETTING if name in table), "seed", "data"]
        twice = table.duplicated(columns, keep=False)
        if twice.any():
            rows = ", ".join(map(str, table.index[twice][:4]))
            raise ValueError(
                f"{twice.sum()} rows repeat another point ({', '.join(columns)} all equal), first rows {rows}. "
                "Drop the repeats, or name the column that tells them apart: a seed, a scale or a hyperparameter."
            )
        notes = (f"{empty} rows left out: no performance was logged there",) if empty else ()
        return cls(table[[*columns, "performance"]], notes)

    from_csv = from_frame
    from_parquet = from_frame

    @property
    def _measured(self) -> tuple[str, ...]:
        return ("data",)

    def points(self) -> pd.DataFrame:
        """Refused: a law is fitted to the crossings of curves.

        Raises
        ------
        ValueError
            Always; the text says what to do.
        """
        raise ValueError(
            "learning curves are not fitted as they are: make crossings of them first, such as "
            "curves.crossings([300, 500, 800], seed=0)."
        )

    def crossings(self, thresholds: Thresholds, *, bootstrap: int = 100, seed: int) -> Crossings:
        """Data that each setting needed to reach each threshold of performance.

        For each setting (all columns equal but seed, data and performance) the seeds are put on one grid, the logged
        steps of the seed with the fewest within what all seeds saw (others interpolated), and averaged. The curve
        of an isotonic regression, which never falls, crosses a threshold at the first logged step at which it is as
        high: so a crossing never comes earlier for a higher threshold. One that is never reached is right-censored
        at the last step that all seeds saw.

        The `error` is the standard deviation of ln crossing over draws of the seeds with replacement, times
        sqrt(n / (n - 1)) for n seeds: over the draws that reached the threshold when at least half of them did,
        else over all of them, with those that never did counted at the last step. It is never below the logging
        interval at the crossing, relative to it, over sqrt(12); that is the whole error of a single seed, which says
        nothing about the scatter between seeds.

        Parameters
        ----------
        thresholds
            Values for every task, or values for each task by its label.
        bootstrap
            Number of draws of the seeds.
        seed
            Makes the draws the same each time.

        Raises
        ------
        ValueError
            When a threshold is not finite or repeated, a task has none, `bootstrap` is too small, or the seeds of a
            setting have no logged step in common.
        """
        values = _thresholds(thresholds, self.tasks)
        if not isinstance(bootstrap, int) or bootstrap < 2:
            raise ValueError(f"bootstrap must be a whole number from 2 (100 is usual), received {quote(bootstrap)}.")
        generator = np.random.default_rng(seed)
        setting = [name for name in SETTING if name in self._frame]
        seen = self._frame[self._frame["data"] > 0]
        if seen.empty:
            raise ValueError("no row has data above zero: a curve needs steps to be read. The last data seen is 0.")
        places, curves = _parted(seen, setting)
        levels = [values[task] for task in places["task"]]
        found, draws = [], []
        for i, own in enumerate(curves):
            try:
                columns, drawn = crossing_times(own, levels[i], bootstrap, generator)
            except ValueError as wrong:
                named = some_of(f"{name} {value}" for name, value in places.iloc[i].items())
                raise ValueError(f"{named}: {wrong}") from None
            found.append({"threshold": levels[i], "level": np.arange(len(levels[i]))} | columns)
            draws.append(drawn)
        table = places.loc[np.repeat(places.index, list(map(len, levels)))].reset_index(drop=True)
        measured = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
        return Crossings(table.assign(**measured), np.concatenate(draws))

    @property
    def headline(self) -> str:
        """What it holds, in one line."""
        setting = [name for name in SETTING if name in self._frame]
        settings = self._frame.groupby(setting)["seed"].nunique()
        seeds = f"{settings.min()}" if settings.min() == settings.max() else f"{settings.min()} to {settings.max()}"
        return (
            f"Curves: {len(self)} points of {len(settings)} setting{'s' if len(settings) > 1 else ''} with {seeds} "
            f"seed{'' if seeds == '1' else 's'}, {self._summary()}"
        )

    def view(self) -> View:
        """What is shown of it."""
        return replace(super().view(), sentence="\n".join(self.notes))


def _parted(rows: pd.DataFrame, setting: list[str]) -> tuple[pd.DataFrame, list[list[tuple[np.ndarray, np.ndarray]]]]:
    """Each setting, one a row, and its curves, one a seed: data (ascending) and performance.

    As arrays: to take a frame of a thousand settings apart takes a hundred times as long.
    """
    rows = rows.sort_values([*setting, "seed", "data"])
    begin = np.flatnonzero(~rows.duplicated(setting))
    of_seed = np.flatnonzero(~rows.duplicated([*setting, "seed"]))
    data, performance = (np.split(rows[name].to_numpy(float), of_seed[1:]) for name in ("data", "performance"))
    curves = list(zip(data, performance, strict=True))
    ends = np.searchsorted(of_seed, [*begin, len(rows)])
    places = rows.iloc[begin][setting].reset_index(drop=True)
    return places, [curves[first:last] for first, last in pairwise(ends)]


def _thresholds(thresholds: Thresholds, tasks: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Thresholds of each task, ascending."""
    if isinstance(thresholds, Mapping):
        wrong = [task for task in tasks if task not in thresholds] + [t for t in thresholds if t not in tasks]
        if wrong:
            raise ValueError(
                f"thresholds by task must name each of {some_of(map(quote, tasks), most=5)} and no other, received "
                f"{some_of(map(quote, thresholds), most=5)}."
            )
        by_task = {task: thresholds[task] for task in tasks}
    else:
        by_task = dict.fromkeys(tasks, thresholds)
    try:
        levels = {task: np.unique(np.atleast_1d(np.asarray(values, float))) for task, values in by_task.items()}
    except (TypeError, ValueError):
        raise ValueError(
            f"thresholds must be numbers, such as [300, 500, 800]; received {quote(thresholds)}."
        ) from None
    for task, values in levels.items():
        if not 0 < len(values) == np.size(by_task[task]) or not np.isfinite(values).all():
            raise ValueError(
                f"thresholds must be finite numbers, one or more, none repeated; task {quote(task)} has "
                f"{quote(by_task[task])}."
            )
    return levels
