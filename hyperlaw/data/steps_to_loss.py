"""`StepsToLoss`: a table of optimizer steps needed to reach a loss, against batch size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
import pandas as pd

from hyperlaw.data import checks
from hyperlaw.data.columns import Column, Tabular, as_frame, positive, read
from hyperlaw.data.sweep_shape import batch_factor
from hyperlaw.data.table import Table, point_rows
from hyperlaw.data.vocabulary import SCALES
from hyperlaw.quote import some_of

MIN_BATCHES = 2


@dataclass(frozen=True, eq=False, repr=False)
class StepsToLoss(Table):
    """Optimizer steps to a loss, one row a batch size. Made by `Runs.steps_to_loss`, or with `from_frame`.

    Attributes
    ----------
    frame
        Columns `task`, the scales that were given, `loss` (the target, nats), `batch_size` (data points), `steps`,
        `examples` (batch_size x steps), `error` (standard deviation of ln steps), `curve` (integer: rows that differ in
        batch size alone). A copy.
    """

    kind: ClassVar[str] = "steps_to_loss"

    @classmethod
    def from_frame(
        cls,
        frame: Tabular,
        *,
        steps: str = "steps",
        batch_size: Column = "batch_size",
        batch_unit: float | None = None,
        loss: str = "loss",
        error: str | None = None,
        params: Column | None = None,
        width: Column | None = None,
        data: Column | None = None,
        task: str | None = None,
    ) -> "StepsToLoss":
        """Read steps to a loss from a DataFrame, naming the columns that hold each quantity.

        A column that is not named is looked for under its own name and left out when absent.

        Parameters
        ----------
        frame
            One row a batch size, with the learning rate tuned. A table in memory or the path of a file, as for
            `Runs.from_frame`.
        steps
            Column of optimizer steps needed.
        batch_size
            Column of batch sizes, in units of `batch_unit` data points.
        batch_unit
            Data points (tokens, samples, transitions) in one unit of `batch_size`, as in `Runs.from_frame`.
        loss
            Column of the losses that were to be reached (nats).
        error
            Column of standard deviations of ln steps; 0 when absent.
        params, width, data
            Columns of the scales: parameter count, model width, data points of the training set or plan.
        task
            Column that groups rows which share a law up to their own offsets; one task, "all", when absent.

        Raises
        ------
        ValueError
            When a column is missing, a batch size is repeated within a curve, a curve has a single batch size, or the
            values cannot be right; the text says which rows, what was received, and what is allowed.
        """
        required = {"steps": steps, "batch_size": batch_size, "loss": loss}
        optional = {"error": error, "params": params, "width": width, "data": data, "task": task}
        table, found = read(as_frame(frame), required, optional)
        positive(table, found, ["steps", "batch_size", *SCALES])
        table["loss"] = checks.finite_numbers(table["loss"], found["loss"])
        table["error"] = checks.not_negative_numbers(table["error"], found["error"]) if "error" in table else 0.0
        table["batch_size"] *= batch_factor(table, batch_unit)
        table["examples"] = table["batch_size"] * table["steps"]
        place = ["task", *(name for name in SCALES if name in table), "loss"]
        return cls(_curves(table[[*place, "batch_size", "steps", "examples", "error"]].copy(), place))

    from_csv = from_frame
    from_parquet = from_frame

    @property
    def conditions(self) -> tuple[str, ...]:
        """The scales, and the target loss."""
        return (*self.scales, "loss")

    @classmethod
    def example(cls, columns: Sequence[str], measured: Sequence[str]) -> "StepsToLoss":
        """Four curves at growing scale and falling loss, nine batch sizes on each."""
        curves = pd.DataFrame({"i": range(4)}).assign(
            task=lambda f: "curve " + f["i"].astype(str), loss=lambda f: 3.4 - 0.2 * f["i"],
            params=lambda f: 1e8 * 2.0 ** f["i"], data=lambda f: 2e9 * 2.0 ** f["i"],
        )  # fmt: skip
        frame = curves.drop(columns="i").merge(pd.DataFrame({"batch_size": 2.0 ** np.arange(15, 24)}), "cross")
        return cls.from_frame(frame.assign(steps=1e4, error=0.03), batch_unit=1)

    @property
    def _measured(self) -> tuple[str, ...]:
        return ("steps",)

    def with_values(self, values: Mapping[str, np.ndarray]) -> Self:
        """The same rows with other steps, and the examples that follow from them."""
        frame = self._frame.assign(**values)
        return replace(self, _frame=frame.assign(examples=frame["steps"] * frame["batch_size"]))

    def with_data(self) -> Self:
        """The same with data of each curve, which it lacks: the fewest examples that any batch size needs.

        What laws over data need of steps that `Runs.steps_to_loss` made. They come from the steps: such a law knows of
        a curve what its cheapest batch size takes, also where `hl.compare` leaves the curve out.

        Raises
        ------
        ValueError
            When the table has data already.
        """
        if "data" in self._frame:
            raise ValueError(
                f"this table has data already, {self._frame['data'].min():.3g} to {self._frame['data'].max():.3g}; "
                "with_data would replace them. Make the table without that column first."
            )
        least = self._frame.groupby("curve")["examples"].transform("min")
        frame = self._frame.assign(data=least)
        place = ["task", *(name for name in SCALES if name in frame), "loss"]
        return replace(self, _frame=_curves(frame[[*place, *frame.columns.drop([*place, "curve"])]].copy(), place))

    def points(self) -> pd.DataFrame:
        """One row a measured value, the quantity being "steps".

        Columns `row` (position in `frame`), `quantity`, `value`, `error` (standard deviation of its natural log),
        `low` and `high`, 0 and infinity: steps can always be read.
        """
        frame = self._frame
        free = pd.Series(0.0, index=frame.index)
        return point_rows(frame, "steps", frame["error"], free, free + np.inf)

    def _take(self, rows: np.ndarray) -> Self:
        return replace(self, _frame=_curves(self._frame.iloc[rows].copy(), ["task", *self.scales, "loss"]))

    @property
    def headline(self) -> str:
        """What it holds, in one line."""
        curves = self._frame["curve"].nunique()
        return (
            f"StepsToLoss: {len(self)} batch sizes on {curves} curve{'s' if curves > 1 else ''}, losses "
            f"{self._frame['loss'].min():.3g} to {self._frame['loss'].max():.3g}, {self._summary()}"
        )


def _curves(table: pd.DataFrame, place: list[str]) -> pd.DataFrame:
    """The table with its curves numbered, each of two batch sizes or more, none repeated."""
    table["curve"] = table.groupby(place, sort=True).ngroup()
    twice = table.duplicated(["curve", "batch_size"], keep=False)
    if twice.any():
        rows = ", ".join(str(i) for i in np.flatnonzero(twice)[:4])
        raise ValueError(
            f"{twice.sum()} rows repeat another ({', '.join([*place, 'batch_size'])} all equal), first rows {rows}. "
            "Keep the fewest steps of each batch size (its best learning rate), or average seeds and give an error."
        )
    batches = table.groupby("curve").size()
    if (batches < MIN_BATCHES).any():
        first = table[table["curve"] == batches.index[batches < MIN_BATCHES][0]].iloc[0]
        named = some_of(f"{name} {first[name]}" for name in place)
        raise ValueError(
            f"{(batches < MIN_BATCHES).sum()} of {len(batches)} curves have a single batch size, first {named}: one "
            "alone says nothing about the trade between steps and examples. Add batch sizes, or leave the curve out."
        )
    return table
