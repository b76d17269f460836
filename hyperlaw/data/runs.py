"""`Runs`: a table of finished training runs, one row each, checked and in the package's own words."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike

import numpy as np
import pandas as pd

from hyperlaw.data import checks

HYPERPARAMETERS = ("learning_rate", "batch_size")
SCALES = ("params", "width", "data", "utd")


@dataclass(frozen=True, eq=False)
class Runs:
    """Finished training runs, one row each. Make one with `from_frame`, `from_csv` or `from_parquet`.

    Attributes
    ----------
    frame
        Columns `learning_rate`, `batch_size` (data points a step), the scales that were given
        (`params`, `width`, `data`, `utd`), `task`, `seed`, `loss` (NaN where diverged), `diverged`,
        `cell` (integer), in the order and with the index of the table they came from. A copy.
    """

    _frame: pd.DataFrame = field(repr=False)

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        learning_rate: str = "learning_rate",
        batch_size: str = "batch_size",
        batch_unit: float | None = None,
        loss: str = "loss",
        data: str | None = None,
        params: str | None = None,
        width: str | None = None,
        utd: str | None = None,
        task: str | None = None,
        seed: str | None = None,
        diverged: str | None = None,
    ) -> "Runs":
        """Read runs from a DataFrame, naming the columns that hold each quantity.

        Parameters
        ----------
        frame
            One row a run. Not changed.
        learning_rate
            Column of peak learning rates.
        batch_size
            Column of batch sizes, in units of `batch_unit` data points.
        batch_unit
            Data points (tokens, samples, transitions) in one unit of `batch_size`: 2048 when it counts
            sequences of 2,048 tokens next to `data` in tokens. Left out, both are taken to be in one unit,
            and a table in which they clearly are not is refused.
        loss
            Column of final losses (nats; lower is better). NaN or infinite marks a diverged run.
        data, params, width, utd
            Columns of the scales: data points seen, parameter count, model width, updates-to-data ratio.
            A scale that is not named is looked for under its own name and left out when absent.
        task
            Column that groups runs which share a law up to their own offsets; looked for under its own name,
            and one task, "all", when absent.
        seed
            Column of seeds; looked for under its own name.
        diverged
            Column of booleans that marks further diverged runs; looked for under its own name.

        Returns
        -------
        Runs
            With batch sizes in data points, and every diverged run kept.

        Raises
        ------
        ValueError
            When a column is missing or the values cannot be right; the text says which rows, what was
            received, and what is allowed.
        """
        required = {"learning_rate": learning_rate, "batch_size": batch_size, "loss": loss}
        optional = {
            "data": data, "params": params, "width": width, "utd": utd, "task": task, "seed": seed, "diverged": diverged
        }  # fmt: skip
        named = required | {word: column for word, column in optional.items() if column is not None}
        found = named | {word: word for word, column in optional.items() if column is None and word in frame}
        checks.columns_exist(frame, found)
        table = frame[list(found.values())].set_axis(list(found), axis=1)
        table = table.rename_axis(index=None) if table.index.is_unique else table.reset_index(drop=True)
        scales = [word for word in SCALES if word in table]

        for word in [*HYPERPARAMETERS, *scales]:
            table[word] = checks.positive_numbers(table[word], found[word])
        table["loss"] = checks.numbers(table["loss"], found["loss"])
        table["task"] = checks.labels(table["task"], found["task"]) if "task" in table else "all"
        table["seed"] = checks.whole_numbers(table["seed"], found["seed"]) if "seed" in table else 0
        marked = checks.booleans(table["diverged"], found["diverged"]) if "diverged" in table else False
        table["diverged"] = ~np.isfinite(table["loss"]) | marked
        table.loc[table["diverged"], "loss"] = np.nan

        table["batch_size"] *= checks.batch_unit(table, batch_unit)
        table["cell"] = table.groupby(["task", *scales], sort=True).ngroup()
        checks.sweep(table, scales)
        return cls(table[[*HYPERPARAMETERS, *scales, "task", "seed", "loss", "diverged", "cell"]])

    @classmethod
    def from_csv(
        cls,
        path: str | PathLike[str],
        *,
        learning_rate: str = "learning_rate",
        batch_size: str = "batch_size",
        batch_unit: float | None = None,
        loss: str = "loss",
        data: str | None = None,
        params: str | None = None,
        width: str | None = None,
        utd: str | None = None,
        task: str | None = None,
        seed: str | None = None,
        diverged: str | None = None,
    ) -> "Runs":
        """Read runs from a CSV file; arguments and errors as in `from_frame`."""
        return cls.from_frame(
            pd.read_csv(path), learning_rate=learning_rate, batch_size=batch_size, batch_unit=batch_unit, loss=loss,
            data=data, params=params, width=width, utd=utd, task=task, seed=seed, diverged=diverged,
        )  # fmt: skip

    @classmethod
    def from_parquet(
        cls,
        path: str | PathLike[str],
        *,
        learning_rate: str = "learning_rate",
        batch_size: str = "batch_size",
        batch_unit: float | None = None,
        loss: str = "loss",
        data: str | None = None,
        params: str | None = None,
        width: str | None = None,
        utd: str | None = None,
        task: str | None = None,
        seed: str | None = None,
        diverged: str | None = None,
    ) -> "Runs":
        """Read runs from a Parquet file; arguments and errors as in `from_frame`."""
        return cls.from_frame(
            pd.read_parquet(path), learning_rate=learning_rate, batch_size=batch_size, batch_unit=batch_unit, loss=loss,
            data=data, params=params, width=width, utd=utd, task=task, seed=seed, diverged=diverged,
        )  # fmt: skip

    @property
    def frame(self) -> pd.DataFrame:
        """The runs, a copy."""
        return self._frame.copy()

    @cached_property
    def scales(self) -> tuple[str, ...]:
        """Names of the scales that these runs have."""
        return tuple(word for word in SCALES if word in self._frame)

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """Task labels, sorted."""
        return tuple(sorted(self._frame["task"].unique()))

    @property
    def cells(self) -> pd.DataFrame:
        """One row a cell, indexed by cell: task, scales, how many runs, how many diverged, lowest loss. A copy."""
        return self._cells.copy()

    @cached_property
    def _cells(self) -> pd.DataFrame:
        groups = self._frame.groupby("cell")
        cells = groups[["task", *self.scales]].first()
        return cells.assign(runs=groups.size(), diverged=groups["diverged"].sum(), lowest_loss=groups["loss"].min())

    @property
    def labels(self) -> list[int] | list[str]:
        """Label of each run: the index of the table it came from, as integers or text."""
        index = self._frame.index
        return index.tolist() if pd.api.types.is_integer_dtype(index) else [str(label) for label in index]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the values: equal for equal runs, whatever their source."""
        rows = pd.util.hash_pandas_object(self._frame, index=False).to_numpy()
        return hashlib.sha256(rows.tobytes() + "|".join(self._frame.columns).encode()).hexdigest()

    def where(self, keep: pd.Series) -> "Runs":
        """The runs for which `keep` (booleans, aligned with `frame`) holds, checked again as a sweep.

        Raises
        ------
        ValueError
            When `keep` has another index, or what is left is no sweep: no run, one scale, or a cell with too few
            learning rates.
        """
        if set(keep.index) != set(self._frame.index):
            raise ValueError("keep must have one entry a run, with the index of `frame`; make it from `runs.frame`.")
        chosen = self._frame[keep.reindex(self._frame.index).to_numpy(bool)].copy()
        chosen["cell"] = chosen.groupby(["task", *self.scales], sort=True).ngroup()
        checks.sweep(chosen, list(self.scales))
        return Runs(chosen)

    def __len__(self) -> int:
        return len(self._frame)

    def __repr__(self) -> str:
        scales = ", ".join(
            f"{name} {self._frame[name].min():.3g} to {self._frame[name].max():.3g}" for name in self.scales
        )
        return (
            f"Runs: {len(self)} runs ({self._frame['diverged'].sum()} diverged) in {len(self.cells)} cells, "
            f"{len(self.tasks)} task{'s' if len(self.tasks) > 1 else ''}; {scales}"
        )
