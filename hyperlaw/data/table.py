"""`Table`: what the tables of measured values share."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import ClassVar, Self

import numpy as np
import pandas as pd

from hyperlaw.data.vocabulary import HYPERPARAMETERS, SCALES
from hyperlaw.display import Shown, View, ends, figures
from hyperlaw.quote import quote, some_of

TABLES: dict[str, type["Table"]] = {}
MEASURED = (*HYPERPARAMETERS, "loss", "performance", "steps", "data", "utd", "improvement", "noise_scale")


@dataclass(frozen=True, eq=False, repr=False)
class Table(Shown):
    """Rows in the package's own words; the base of `Runs`, `Curves`, and the tables of measured values.

    Attributes
    ----------
    kind
        Name of the kind of table, the key of `TABLES`.
    without_a_law
        A sentence, with a blank before it, on what can be had of it where no law can be fitted.
    """

    _frame: pd.DataFrame = field(repr=False)
    kind: ClassVar[str] = ""
    without_a_law: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        if cls.kind:  # those between, such as readers, are no tables themselves
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

    @property
    def conditions(self) -> tuple[str, ...]:
        """Columns that say under what a value was measured, besides hyperparameters: the scales, and a goal."""
        return self.scales

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """Task labels, sorted."""
        return tuple(sorted(self._frame["task"].unique()))

    @property
    def options(self) -> dict[str, str | float | tuple[str, ...]]:
        """What it keeps beside its rows, by name: arguments of the class."""
        return {}

    @property
    def labels(self) -> list[int] | list[str]:
        """Label of each row: the index of the table it came from, as integers or text."""
        index = self._frame.index
        return index.tolist() if pd.api.types.is_integer_dtype(index) else [str(label) for label in index]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the values: equal for equal rows, whatever their source, their order and the names of runs."""
        return _sha256(self._frame, np.sort(self._row_hashes))

    @cached_property
    def digest_in_order(self) -> str:
        """SHA-256 of the values in their order, which is what draws of each row are kept in."""
        return _sha256(self._frame, self._row_hashes)

    @property
    def earlier_digests(self) -> tuple[str, str]:
        """What earlier versions took for its digest: the names of runs counted, and once the order of rows too."""
        rows = _hashes(self._frame)
        return _sha256(self._frame, np.sort(rows)), _sha256(self._frame, rows)

    @cached_property
    def _row_hashes(self) -> np.ndarray:
        if "run" not in self._frame:
            return _hashes(self._frame)
        # Which rows are one run counts, not what it is called: a tracker names a run at random.
        of_row = pd.Series(_hashes(self._frame.drop(columns="run")), self._frame.index)
        return _hashes(self._frame.assign(run=of_row.groupby(self._frame["run"]).transform("sum")))

    def points(self) -> pd.DataFrame:
        """One row a measured value.

        Columns `row` (position in `frame`), `quantity`, `value` (above zero), `error` (standard deviation of its
        natural log), `low` and `high` (the range in which it could be read, 0 and infinity when unbounded). A value at
        either end is one-sided.
        """
        raise NotImplementedError(type(self).__name__)

    @classmethod
    def example(cls, columns: Sequence[str], measured: Sequence[str]) -> Self:
        """A small table of the size of published ones, with these columns, to simulate what is `measured`."""
        raise NotImplementedError(cls.__name__)

    def with_values(self, values: Mapping[str, np.ndarray]) -> Self:
        """The same rows with other measured values, one a row, by name of their column."""
        return replace(self, _frame=self._frame.assign(**values))

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
        if not pd.api.types.is_bool_dtype(keep) or keep.isna().any():
            raise ValueError(
                f"keep must hold true or false in every row, received values such as {quote(keep.iloc[0])} of dtype "
                f"{keep.dtype}. Make them of a comparison, such as frame['data'] < 1e9."
            )
        chosen = keep.reindex(self._frame.index).to_numpy(bool)
        if not chosen.any():
            raise ValueError(f"no row is left: `keep` is false for all {len(self)} rows. Keep one at least.")
        return self._take(np.flatnonzero(chosen))

    def _take(self, rows: np.ndarray) -> Self:
        return replace(self, _frame=self._frame.iloc[rows].copy())

    def __len__(self) -> int:
        return len(self._frame)

    @property
    def headline(self) -> str:
        """What it holds, in one line."""
        return f"{type(self).__name__}: {len(self)} rows, {self._summary()}"

    def view(self) -> View:
        """What is shown of it."""
        found = [name for name in MEASURED if name in self._frame and name not in self.scales]
        ranges = {
            name: f"{figures(float(self._frame[name].min()))} to {figures(float(self._frame[name].max()))}"
            for name in found
        }
        return View(self.headline, facts=ranges, folded={"First rows": self._frame.head(10)})

    def _summary(self) -> str:
        """Tasks and range of each scale."""
        spans = [f"{name} {ends(self._frame[name])}" for name in self.scales]
        return "; ".join(
            [f"{len(self.tasks)} task{'s' if len(self.tasks) > 1 else ''}", *([", ".join(spans)] if spans else [])]
        )


def _hashes(frame: pd.DataFrame) -> np.ndarray:
    """A number for each row, from its values."""
    return pd.util.hash_pandas_object(frame, index=False).to_numpy()


def _sha256(frame: pd.DataFrame, rows: np.ndarray) -> str:
    return hashlib.sha256(rows.tobytes() + "|".join(frame.columns).encode()).hexdigest()


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


# Values of examples, by column.
EXAMPLE: dict[str, Iterable[float] | Iterable[str]] = {
    "utd": (1.0, 2.0, 4.0, 8.0), "params": (1e6, 4e6, 16e6), "width": (64.0, 128.0, 256.0), "data": (1e8, 4e8, 1.6e9),
    "compute": (1e15, 1e16, 1e17), "budget": 10.0 ** np.arange(15, 20), "optimizer": ("sgd", "adam"),
    "threshold": (300.0, 500.0, 700.0, 900.0), "batch_size": 2.0 ** np.arange(4, 12),
    "task": ("first", "second", "third"),
}  # fmt: skip


def example_rows(columns: Sequence[str]) -> pd.DataFrame:
    """Every combination of the example's values of these columns.

    Raises
    ------
    ValueError
        When a column has no example.
    """
    unknown = [name for name in columns if name not in EXAMPLE]
    if unknown:
        raise ValueError(f"there is no example of {some_of(unknown)}; there are of {', '.join(EXAMPLE)}.")
    return pd.DataFrame([dict(zip(columns, row, strict=True)) for row in product(*(EXAMPLE[n] for n in columns))])
