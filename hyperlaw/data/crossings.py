"""`Crossings`: a table of the data needed to reach a performance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np
import pandas as pd

from hyperlaw.data import checks
from hyperlaw.data.columns import Column, Tabular, as_frame, positive, read
from hyperlaw.data.estimators.tuned_optima import tuned_optima
from hyperlaw.data.optima import Optima
from hyperlaw.data.table import Table, example_rows, point_rows
from hyperlaw.data.vocabulary import HYPERPARAMETERS

SCALES_ONLY = ("params", "width", "utd", "compute", "budget")


@dataclass(frozen=True, eq=False, repr=False)
class Crossings(Table):
    """Data needed to reach a threshold of performance, one row a setting and threshold.

    Made by `Curves.crossings`, or with `from_frame`.

    Attributes
    ----------
    frame
        Columns `task`, the scales that were given (`params`, `width`, `utd`, `compute`, `budget`), `learning_rate` and
        `batch_size` where known, `threshold`, `level` (its rank in the task, 0 the lowest), `data` (needed to reach
        it; `limit` where it never was), `error` (standard deviation of ln data), `reached`, `start` and `limit`
        (first and last data seen), `seeds`. A copy.
    """

    _draws: np.ndarray | None = field(default=None, repr=False)
    kind: ClassVar[str] = "crossings"

    @classmethod
    def from_frame(
        cls,
        frame: Tabular,
        *,
        threshold: str = "threshold",
        data: Column = "data",
        error: str | None = None,
        reached: str | None = None,
        start: str | None = None,
        limit: str | None = None,
        seeds: str | None = None,
        utd: Column | None = None,
        params: Column | None = None,
        width: Column | None = None,
        compute: Column | None = None,
        budget: Column | None = None,
        learning_rate: Column | None = None,
        batch_size: Column | None = None,
        task: str | None = None,
    ) -> "Crossings":
        """Read crossings from a DataFrame, naming the columns that hold each quantity; published ones can be typed in.

        A column that is not named is looked for under its own name and left out when absent.

        Parameters
        ----------
        frame
            One row a setting and threshold. A table in memory or the path of a file, as for `Runs.from_frame`.
        threshold
            Column of the performance that was to be reached.
        data
            Column of data points (environment steps) needed to reach it; where never reached, the last step seen.
        error
            Column of standard deviations of ln data; 0 when absent.
        reached
            Column of booleans: whether the threshold was reached; true when absent.
        start, limit
            Columns of the first and the last data seen; 0 and infinity when absent. What was reached at `start` was
            reached there or before.
        seeds
            Column of how many seeds were averaged; 1 when absent.
        utd, params, width, compute, budget
            Columns of the scales: updates-to-data ratio, parameter count, model width, FLOPs, FLOPs and data together.
        learning_rate, batch_size
            Columns of the hyperparameters, the batch size in data points.
        task
            Column of tasks (environments); one task, "all", when absent.

        Raises
        ------
        ValueError
            When a column is missing or the values cannot be right; the text says which rows, what was received, and
            what is allowed.
        """
        optional = {
            "error": error, "reached": reached, "start": start, "limit": limit, "seeds": seeds, "utd": utd,
            "params": params, "width": width, "compute": compute, "budget": budget, "learning_rate": learning_rate,
            "batch_size": batch_size, "task": task,
        }  # fmt: skip
        table, found = read(as_frame(frame), {"threshold": threshold, "data": data}, optional)
        positive(table, found, ["data", *SCALES_ONLY, *HYPERPARAMETERS])
        table["threshold"] = checks.finite_numbers(table["threshold"], found["threshold"])
        table["level"] = table.groupby("task")["threshold"].rank("dense").astype(int) - 1
        table["error"] = checks.not_negative_numbers(table["error"], found["error"]) if "error" in table else 0.0
        table["reached"] = checks.booleans(table["reached"], found["reached"]) if "reached" in table else True
        table["seeds"] = checks.whole_numbers(table["seeds"], found["seeds"]) if "seeds" in table else 1
        table["start"] = checks.not_negative_numbers(table["start"], found["start"]) if "start" in table else 0.0
        table["limit"] = checks.numbers(table["limit"], found["limit"]).fillna(np.inf) if "limit" in table else np.inf
        never = ~table["reached"]
        table.loc[never, "limit"] = np.minimum(table["limit"], table["data"])
        outside = (table["data"] < table["start"]) | (table["data"] > table["limit"])
        if outside.any():
            row = table[outside].iloc[0]
            raise ValueError(
                f"data must lie between start and limit, but does not in {outside.sum()} "
                f"row{'s' if outside.sum() > 1 else ''}, first {table.index[outside][0]}: {row['data']:g} with start "
                f"{row['start']:g} and limit {row['limit']:g}. Mark what was never reached in a column `reached`."
            )
        place = [name for name in ("task", *SCALES_ONLY, *HYPERPARAMETERS) if name in table]
        checks.no_repeats(table, [*place, "threshold"], "a crossing")
        return cls(table[[*place, "threshold", "level", "data", "error", "reached", "start", "limit", "seeds"]].copy())

    from_csv = from_frame
    from_parquet = from_frame

    @property
    def conditions(self) -> tuple[str, ...]:
        """The scales, and the threshold."""
        return (*self.scales, "threshold")

    @classmethod
    def example(cls, columns: Sequence[str], measured: Sequence[str]) -> "Crossings":
        """Three tasks, some of whose thresholds may be out of reach."""
        return cls.from_frame(example_rows(["task", *columns]).assign(data=2e5, error=0.1, limit=2e6))

    @property
    def _measured(self) -> tuple[str, ...]:
        return ("data",)

    def with_values(self, values: Mapping[str, np.ndarray]) -> Self:
        """The same rows with other data; what is at the limit was not reached."""
        frame = self._frame.assign(**values)
        return replace(self, _frame=frame.assign(reached=frame["data"] < frame["limit"]), _draws=None)

    def points(self) -> pd.DataFrame:
        """One row a measured value, the quantity being "data".

        Columns `row` (position in `frame`), `quantity`, `value`, `error` (standard deviation of its natural log),
        `low` and `high` (the range in which it could be read, 0 and infinity when unbounded). A value at either end is
        one-sided: reached at the first step seen or before, or not until the last.
        """
        frame = self._frame
        # What was reached at the very last step is known as well as any other.
        high = frame["limit"].where((frame["data"] < frame["limit"]) | ~frame["reached"].astype(bool), np.inf)
        return point_rows(frame, "data", frame["error"], frame["start"], high)

    def optima(self, level: int | None = None) -> Optima:
        """Best learning rate and batch size at each task and scale, corrected for the luck of the draw of seeds.

        In each bootstrap draw of the seeds, the best learning rate of each batch size (the fewest data; ties averaged)
        is averaged over the batch sizes, and the best batch size of each learning rate over the learning rates, all in
        logs. The optimum is the mean over draws, its error their standard deviation with the grid's step over
        sqrt(12 x number averaged) added in quadrature. Draws in which nothing reached the threshold are left
        out, and so are, within a draw, batch sizes and learning rates with which nothing did. An optimum nearer to an
        end of the grid than that share of its step is kept at the end, one-sided: the grid cannot tell it from one
        beyond. A hyperparameter with one value everywhere is given, not estimated.

        Parameters
        ----------
        level
            Rank of the threshold that counts, 0 the lowest; each task's highest when left out.

        Raises
        ------
        ValueError
            When the table holds no draws, nothing to choose from, no such level, or a cell that never reached it.
        """
        if self._draws is None:
            raise ValueError(
                "these crossings hold no bootstrap draws, so the error of their optimum is unknown. Make them with "
                "`Curves.crossings`, or enter optima with `Optima.from_frame`."
            )
        return tuned_optima(self._frame, self._draws, self.scales, level)

    def best(self) -> "Crossings":
        """The setting that needs the fewest data at each task, scale and threshold: what a tuned run would need.

        The fewest of several noisy values is a little too few. Where no setting reached the threshold, the one seen for
        the shortest stands for all.
        """
        order = self._frame.assign(never=~self._frame["reached"].astype(bool), row=np.arange(len(self)))
        order = order.sort_values(["never", "data"], kind="stable")
        rows = order.drop_duplicates(["task", *self.scales, "threshold"])["row"]
        return self._take(np.sort(rows.to_numpy()))

    def _take(self, rows: np.ndarray) -> Self:
        draws = None if self._draws is None else self._draws[rows]
        return replace(self, _frame=self._frame.iloc[rows].copy(), _draws=draws)

    @property
    def headline(self) -> str:
        """What it holds, in one line."""
        levels = self._frame["level"].nunique()
        return (
            f"Crossings: {len(self)} ({int((~self._frame['reached'].astype(bool)).sum())} never reached) of {levels} "
            f"threshold{'s' if levels > 1 else ''}, {self._summary()}"
        )
