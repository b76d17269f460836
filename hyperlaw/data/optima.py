"""`Optima`: a table of best settings, one row a cell, with their standard errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import pandas as pd

from hyperlaw.data import checks
from hyperlaw.data.columns import Column, Tabular, as_frame, positive, read
from hyperlaw.data.sweep_shape import batch_factor, no_steps
from hyperlaw.data.table import Table, example_rows, point_rows
from hyperlaw.data.vocabulary import HYPERPARAMETERS, SCALES
from hyperlaw.quote import quote, some_of

QUANTITIES = (*HYPERPARAMETERS, "utd", "improvement")
AT_LIMIT = 1e-9


@dataclass(frozen=True, eq=False, repr=False)
class Optima(Table):
    """Best settings, one row a cell. Made by `Runs.optima`, by `Crossings.optima`, or with `from_frame`.

    Attributes
    ----------
    frame
        Columns `task`, `optimizer` where it was given, the scales, the given ones of `learning_rate`, `batch_size`
        (data points) and `improvement` (nats), and for each estimated quantity q its value, `q_error` (standard
        deviation of its natural log), `q_low` and `q_high` (the range in which it could be read; a value at either
        end is one-sided: the optimum lies there or beyond). `correlation` of the errors where both learning rate and
        batch size are estimated. A copy.
    """

    kind: ClassVar[str] = "optima"

    @classmethod
    def from_frame(
        cls,
        frame: Tabular,
        *,
        estimated: tuple[str, ...] | None = None,
        learning_rate: str | None = None,
        batch_size: str | None = None,
        batch_unit: float | None = None,
        utd: str | None = None,
        improvement: str | None = None,
        error: Mapping[str, str] | None = None,
        low: Mapping[str, str] | None = None,
        high: Mapping[str, str] | None = None,
        correlation: str | None = None,
        params: Column | None = None,
        width: Column | None = None,
        data: Column | None = None,
        compute: Column | None = None,
        budget: Column | None = None,
        task: str | None = None,
        optimizer: str | None = None,
    ) -> "Optima":
        """Read optima from a DataFrame, naming the columns that hold each quantity; published ones can be typed in.

        A column that is not named is looked for under its own name and left out when absent.

        Parameters
        ----------
        frame
            One row a cell. A table in memory or the path of a file, as for `Runs.from_frame`.
        estimated
            Which of `learning_rate`, `batch_size`, `utd`, `improvement` are measured values; the others, where present,
            are given (batch size given: the best learning rate at each batch size). Left out, those of learning
            rate and batch size that the table has; a batch size that is the same in every row, and has no error, is
            given.
        learning_rate, batch_size, utd, improvement
            Columns of the best learning rate, batch size (in units of `batch_unit` data points) and updates-to-data
            ratio, and of the largest fall of the loss in one step (nats). A `utd` that is not estimated is a scale.
        batch_unit
            Data points (tokens, samples, transitions) in one unit of `batch_size`, as in `Runs.from_frame`.
        error, low, high
            Column of each estimated quantity's error (standard deviation of its natural log) and of the ends of the
            range in which it could be read, for instance `error={"learning_rate": "sd"}`; looked for under
            `learning_rate_error`, `learning_rate_low`, ..., and 0, 0 and infinity when absent (an end also where
            empty). A value at or beyond an end is kept at that end, and is one-sided.
        correlation
            Column of the correlation of the errors of learning rate and batch size; 0 when absent.
        params, width, data, compute, budget
            Columns of the scales: parameter count, model width, data points seen, FLOPs, FLOPs and data together.
        task
            Column that groups rows which share a law up to their own offsets; one task, "all", when absent.
        optimizer
            Column of optimizer names, such as "sgd" or "adam".

        Returns
        -------
        Optima
            With batch sizes in data points.

        Raises
        ------
        ValueError
            When a column is missing, nothing is estimated or the values cannot be right; the text says which rows,
            what was received, and what is allowed.
        """
        quantities = {
            "learning_rate": learning_rate, "batch_size": batch_size, "utd": utd, "improvement": improvement
        }  # fmt: skip
        frame = as_frame(frame)
        chosen = _estimated(frame, quantities, estimated, with_error="batch_size" in (error or {}))
        scales = {"params": params, "width": width, "data": data, "compute": compute, "budget": budget}
        for word, columns in (("error", error), ("low", low), ("high", high)):
            if columns is not None and not isinstance(columns, Mapping):
                raise TypeError(
                    f"{word} must name a column for each quantity, such as {word}={{'learning_rate': 'sd'}}, received "
                    f"{quote(columns)}."
                )
        ends = {"error": dict(error or {}), "low": dict(low or {}), "high": dict(high or {})}
        for word, columns in ends.items():
            strange = [name for name in columns if name not in chosen]
            if strange:
                raise ValueError(
                    f"{word} was named for {some_of(map(quote, strange))}, which is not estimated; estimated are: "
                    f"{', '.join(chosen)}. Name it in estimated= or leave it out of {word}=."
                )
        limits = {f"{name}_{word}": columns.get(name) for name in chosen for word, columns in ends.items()}
        named = {name: quantities.pop(name) for name in chosen}
        required = {name: name if column is None else column for name, column in named.items()}
        both = {"correlation": correlation} if set(HYPERPARAMETERS) <= set(chosen) else {}
        optional = quantities | scales | limits | both | {"task": task, "optimizer": optimizer}
        table, found = read(frame, required, optional)

        positive(table, found, [*QUANTITIES, *SCALES])
        if "data" in table:
            no_steps(found["data"], table)
        for name in chosen:
            _limits(table, found, name)
        if "batch_size" in table:
            unit = batch_factor(table, batch_unit)
            for column in [name for name in ("batch_size", "batch_size_low", "batch_size_high") if name in table]:
                table[column] *= unit
        if both:
            table["correlation"] = _correlation(table, found)
        if "optimizer" in table:
            table["optimizer"] = checks.labels(table["optimizer"], found["optimizer"])
        given = [name for name in QUANTITIES if name in table and name not in chosen and name not in SCALES]
        present = [name for name in SCALES if name in table and name not in chosen]
        first = ["task", *(["optimizer"] if "optimizer" in table else [])]
        checks.no_repeats(table, [*first, *present, *given], "a cell")
        values = [c for name in chosen for c in (name, f"{name}_error", f"{name}_low", f"{name}_high")]
        return cls(table[[*first, *present, *given, *values, *both]])

    from_csv = from_frame
    from_parquet = from_frame

    @classmethod
    def example(cls, columns: Sequence[str], measured: Sequence[str]) -> "Optima":
        """Three tasks, with a batch size given or, beside a learning rate, measured too."""
        frame = example_rows(["task", *columns])
        estimated = tuple(name for name in QUANTITIES if name in measured and name not in columns)
        typical = {
            "learning_rate": (1e-3, 0.2),
            "batch_size": (256.0, 0.25),
            "utd": (2.0, 0.15),
            "improvement": (0.01, 0.1),
        }
        for name in estimated:
            frame[name], frame[f"{name}_error"] = typical[name]
        both = {"correlation": 0.3} if len(estimated) > 1 else {}
        return cls.from_frame(frame.assign(**both), estimated=estimated, batch_unit=1)

    @cached_property
    def estimated(self) -> tuple[str, ...]:
        """Names of the quantities that are measured values."""
        return tuple(name for name in QUANTITIES if f"{name}_error" in self._frame)

    @property
    def _measured(self) -> tuple[str, ...]:
        return self.estimated

    def as_tasks(self, *scales: str) -> "Optima":
        """The same optima with every set of values of these scales as a task of its own, for laws over batch sizes.

        Parameters
        ----------
        scales
            Names of scales that the table has; they are columns no longer.

        Raises
        ------
        ValueError
            When a name is not a scale of this table, or none is given.
        """
        unknown = [name for name in scales if name not in self.scales]
        if unknown or not scales:
            raise ValueError(
                f"as_tasks takes scales of this table, {', '.join(self.scales) or 'which has none'}; received "
                f"{some_of(map(quote, unknown))}."
            )
        frame = self.frame
        several = [frame["task"]] if len(self.tasks) > 1 else []
        parts = [*several, *(name + " " + frame[name].map("{:.4g}".format) for name in scales)]
        frame["task"] = [", ".join(row) for row in zip(*parts, strict=True)]
        return Optima(frame.drop(columns=list(scales)))

    def points(self) -> pd.DataFrame:
        """One row a measured value, by row and then by quantity.

        Columns `row` (position in `frame`), `quantity`, `value`, `error` (standard deviation of its natural log),
        `low` and `high` (the range in which it could be read, 0 and infinity when unbounded). A value at either end is
        one-sided.
        """
        frame = self._frame
        parts = [
            point_rows(frame, name, frame[f"{name}_error"], frame[f"{name}_low"], frame[f"{name}_high"])
            for name in self.estimated
        ]
        return pd.concat(parts).sort_values("row", kind="stable", ignore_index=True)

    @property
    def headline(self) -> str:
        """What it holds, in one line."""
        points = self.points()
        beyond = points.loc[(points["value"] <= points["low"]) | (points["value"] >= points["high"]), "row"].nunique()
        return (
            f"Optima: best {' and '.join(self.estimated)} of {len(self)} cell{'s' if len(self) > 1 else ''} "
            f"({beyond} one-sided), {self._summary()}"
        )


def _estimated(
    frame: pd.DataFrame, columns: dict[str, str | None], names: tuple[str, ...] | None, *, with_error: bool
) -> tuple[str, ...]:
    """Names of the quantities that are measured values, in the package's order."""
    if names is None:
        names = tuple(name for name in HYPERPARAMETERS if columns[name] is not None or name in frame)
        measured = with_error or "batch_size_error" in frame
        if len(names) > 1 and not measured and _constant(columns["batch_size"], frame):
            names = names[:1]  # one batch size in all rows was set, and not found to be the best
    strange = [name for name in names if name not in QUANTITIES]
    if strange or not names or isinstance(names, str):
        raise ValueError(
            f"estimated must name one or more of {', '.join(QUANTITIES)}, received {quote(names)}. Name their columns, "
            "or what was measured, such as estimated=('learning_rate',)."
        )
    return tuple(name for name in QUANTITIES if name in names)


def _constant(column: object, frame: pd.DataFrame) -> bool:
    """Whether it is one number for every row."""
    named = "batch_size" if column is None else column
    if not isinstance(named, str | int) or list(frame.columns).count(named) != 1:  # a number, or what `read` refuses
        return True
    return len(frame) > 1 and len({quote(value) for value in frame[named].astype(object)}) == 1


def _limits(table: pd.DataFrame, found: dict[str, str], name: str) -> None:
    """Fill in error, low and high of a quantity, and keep its value between them."""
    error, low, high = (f"{name}_{word}" for word in ("error", "low", "high"))
    table[error] = checks.not_negative_numbers(table[error], found[error]) if error in table else 0.0
    table[low] = checks.numbers(table[low], found[low]).fillna(0.0) if low in table else 0.0
    table[high] = checks.numbers(table[high], found[high]).fillna(np.inf) if high in table else np.inf
    wrong = ~((table[low] >= 0) & (table[low] < table[high]))
    if wrong.any():
        row = table[wrong].iloc[0]
        ends = f"{row[low]:g} and {row[high]:g}"
        raise ValueError(
            f"{low} must be zero or more and below {high}, but is not in {wrong.sum()} "
            f"row{'s' if wrong.sum() > 1 else ''}, first {table.index[wrong][0]}: {ends}. They are the ends of "
            f"the range in which {name} could be read."
        )
    table.loc[table[name] <= table[low] * (1 + AT_LIMIT), name] = table[low]
    table.loc[table[name] >= table[high] * (1 - AT_LIMIT), name] = table[high]


def _correlation(table: pd.DataFrame, found: dict[str, str]) -> pd.Series:
    if "correlation" not in table:
        return pd.Series(0.0, index=table.index)
    values = checks.finite_numbers(table["correlation"], found["correlation"])
    wrong = values.abs() >= 1
    if wrong.any():
        raise ValueError(
            f"column {quote(found['correlation'])} must lie between -1 and 1, but does not in {wrong.sum()} "
            f"row{'s' if wrong.sum() > 1 else ''}, first {table.index[wrong][0]}: {values[wrong].iloc[0]:g}."
        )
    return values
