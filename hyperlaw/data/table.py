"""`Table`: what the tables of measured values share."""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
import pandas as pd

from hyperlaw.data import checks

SCALES = ("params", "width", "data", "utd", "compute", "budget")
TABLES: dict[str, type["Table"]] = {}


@dataclass(frozen=True, eq=False)
class Table:
    """Rows in the package's own words; the base of `Runs`, `Optima`, `Crossings`, `StepsToLoss` and `Curves`.

    Attributes
    ----------
    kind
        Name of the kind of table, the key of `TABLES`.
    """

    _frame: pd.DataFrame = field(repr=False)
    kind: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        TABLES[cls.kind] = cls

    @property
    def frame(self) -> pd.DataFrame:
        """The rows, a copy."""
        return self._frame.copy()

    @property
    def _measured(self) -> tuple[str, ...]:
        """Columns that hold measured values, which are no scales."""
        return ()

    @cached_property
    def scales(self) -> tuple[str, ...]:
        """Names of the scales that this table has."""
        return tuple(word for word in SCALES if word in self._frame and word not in self._measured)

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """Task labels, sorted."""
        return tuple(sorted(self._frame["task"].unique()))

    @property
    def labels(self) -> list[int] | list[str]:
        """Label of each row: the index of the table it came from, as integers or text."""
        index = self._frame.index
        return index.tolist() if pd.api.types.is_integer_dtype(index) else [str(label) for label in index]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the values: equal for equal rows, whatever their source."""
        rows = pd.util.hash_pandas_object(self._frame, index=False).to_numpy()
        return hashlib.sha256(rows.tobytes() + "|".join(self._frame.columns).encode()).hexdigest()

    def points(self) -> pd.DataFrame:
        """One row a measured value.

        Columns `row` (position in `frame`), `quantity`, `value` (above zero), `error` (standard deviation of its
        natural log), `low` and `high` (the range in which it could be read, 0 and infinity when unbounded). A value at
        either end is one-sided.
        """
        raise NotImplementedError(type(self).__name__)

    def where(self, keep: pd.Series) -> Self:
        """The rows for which `keep` (booleans, aligned with `frame`) holds.

        Raises
        ------
        ValueError
            When `keep` is no Series with this index, no row is left, or what is left is no such table: a cell with
            too few learning rates, a curve with a single batch size.
        """
        if not isinstance(keep, pd.Series) or set(keep.index) != set(self._frame.index):
            raise ValueError(
                "keep must be a Series of booleans with one entry a row and the index of `frame`; make it from "
                f"`{self.kind}.frame`, received {type(keep).__name__}."
            )
        chosen = keep.reindex(self._frame.index).to_numpy(bool)
        if not chosen.any():
            raise ValueError(f"no row is left: `keep` is false for all {len(self)} rows. Keep one at least.")
        return self._take(np.flatnonzero(chosen))

    def _take(self, rows: np.ndarray) -> Self:
        return replace(self, _frame=self._frame.iloc[rows].copy())

    def __len__(self) -> int:
        return len(self._frame)

    def _summary(self) -> str:
        """Tasks and range of each scale, for `repr`."""
        spans = [f"{name} {self._frame[name].min():.3g} to {self._frame[name].max():.3g}" for name in self.scales]
        return "; ".join(
            [f"{len(self.tasks)} task{'s' if len(self.tasks) > 1 else ''}", *([", ".join(spans)] if spans else [])]
        )


def read(
    frame: pd.DataFrame, required: dict[str, str], optional: dict[str, str | None]
) -> tuple[pd.DataFrame, dict[str, str]]:
    """The named columns under the package's own words, scales and hyperparameters checked.

    Parameters
    ----------
    frame
        The source. Not changed.
    required, optional
        Word and column that holds it; an optional one that is None is looked for under its own name.

    Returns
    -------
    tuple
        The table, with `task` filled in and the source's index where that is unique; and each word's column.
    """
    if len(frame) == 0:
        raise ValueError("the table has no rows: one row at least is needed.")
    named = required | {word: column for word, column in optional.items() if column is not None}
    found = named | {word: word for word, column in optional.items() if column is None and word in frame}
    checks.columns_exist(frame, found)
    table = frame[list(found.values())].set_axis(list(found), axis=1)
    table = table.rename_axis(index=None) if table.index.is_unique else table.reset_index(drop=True)
    table["task"] = checks.labels(table["task"], found["task"]) if "task" in table else "all"
    return table, found


def positive(table: pd.DataFrame, found: dict[str, str], words: list[str]) -> None:
    """Turn the columns `words` that the table has into finite numbers above zero, in place."""
    for word in words:
        if word in table:
            table[word] = checks.positive_numbers(table[word], found[word])


def point_rows(frame: pd.DataFrame, quantity: str, error: pd.Series, low: pd.Series, high: pd.Series) -> pd.DataFrame:
    """One row a measured value of `quantity`: `row`, `quantity`, `value`, `error`, `low`, `high`."""
    return pd.DataFrame(
        {
            "row": np.arange(len(frame)),
            "quantity": quantity,
            "value": frame[quantity].to_numpy(float),
            "error": error.to_numpy(float),
            "low": low.to_numpy(float),
            "high": high.to_numpy(float),
        }
    )
