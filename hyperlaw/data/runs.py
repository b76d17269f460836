"""`Runs`: a table of finished training runs, one row each, checked and in the package's own words."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import ClassVar

import numpy as np
import pandas as pd

from hyperlaw.data import checks
from hyperlaw.data.estimators.cell_optima import cell_optima
from hyperlaw.data.estimators.fewest_steps import fewest_steps
from hyperlaw.data.optima import Optima
from hyperlaw.data.steps_to_loss import StepsToLoss
from hyperlaw.data.table import Table, example_rows, positive, read
from hyperlaw.data.vocabulary import HYPERPARAMETERS, RUN_SCALES


@dataclass(frozen=True, eq=False)
class Runs(Table):
    """Finished training runs, one row each. Make one with `from_frame`, `from_csv` or `from_parquet`.

    Attributes
    ----------
    frame
        Columns `learning_rate`, `batch_size` (data points a step), the scales that were given
        (`params`, `width`, `data`, `utd`), `task`, `seed`, `run` where it was given, `loss` (NaN where diverged),
        `diverged`, `cell` (integer), in the order and with the index of the table they came from. A copy.
    """

    kind: ClassVar[str] = "runs"

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
        run: str | None = None,
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
        run
            Column that says which rows are one run, read at several values of `data`; looked for under its own name.
            Such rows share their luck. Left out, every row is a run of its own.
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
            "data": data, "params": params, "width": width, "utd": utd, "task": task, "seed": seed, "run": run,
            "diverged": diverged,
        }  # fmt: skip
        table, found = read(frame, required, optional)
        positive(table, found, [*HYPERPARAMETERS, *RUN_SCALES])
        scales = [word for word in RUN_SCALES if word in table]
        table["loss"] = checks.numbers(table["loss"], found["loss"])
        table["seed"] = checks.whole_numbers(table["seed"], found["seed"]) if "seed" in table else 0
        if "run" in table:
            table["run"] = checks.one_run(table, scales, found["run"])
        marked = checks.booleans(table["diverged"], found["diverged"]) if "diverged" in table else False
        table["diverged"] = ~np.isfinite(table["loss"]) | marked
        table.loc[table["diverged"], "loss"] = np.nan

        table["batch_size"] *= checks.batch_unit(table, batch_unit)
        table["cell"] = table.groupby(["task", *scales], sort=True).ngroup()
        checks.sweep(table, scales)
        of_run = ["run"] if "run" in table else []
        return cls(table[[*HYPERPARAMETERS, *scales, "task", "seed", *of_run, "loss", "diverged", "cell"]])

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
        run: str | None = None,
        diverged: str | None = None,
    ) -> "Runs":
        """Read runs from a CSV file; arguments and errors as in `from_frame`."""
        return cls.from_frame(
            pd.read_csv(path), learning_rate=learning_rate, batch_size=batch_size, batch_unit=batch_unit, loss=loss,
            data=data, params=params, width=width, utd=utd, task=task, seed=seed, run=run, diverged=diverged,
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
        run: str | None = None,
        diverged: str | None = None,
    ) -> "Runs":
        """Read runs from a Parquet file; arguments and errors as in `from_frame`."""
        return cls.from_frame(
            pd.read_parquet(path), learning_rate=learning_rate, batch_size=batch_size, batch_unit=batch_unit, loss=loss,
            data=data, params=params, width=width, utd=utd, task=task, seed=seed, run=run, diverged=diverged,
        )  # fmt: skip

    @classmethod
    def example(cls, columns: Sequence[str], measured: Sequence[str]) -> "Runs":
        """Two sizes and every horizon of the example, five learning rates and three batch sizes in each."""
        scales = example_rows(columns)
        scales = scales[scales[[n for n in columns if n in ("params", "width")]].rank(method="dense").le(2).all(axis=1)]
        rates = pd.DataFrame({"learning_rate": 1e-3 * 2.0 ** np.arange(-2, 3)})
        frame = scales.merge(rates, how="cross").merge(
            pd.DataFrame({"batch_size": 2.0 ** (13 + 2 * np.arange(3))}), "cross"
        )
        # Lowest losses that fall with scale place the priors in nats.
        logs = np.log(frame[list(columns)])
        return cls.from_frame(frame.assign(loss=2.5 - 0.1 * (logs - logs.mean()).sum(axis=1)), batch_unit=1)

    @property
    def cells(self) -> pd.DataFrame:
        """One row a cell, indexed by cell: task, scales, how many runs, how many diverged, lowest loss. A copy."""
        return self._cells.copy()

    @cached_property
    def _cells(self) -> pd.DataFrame:
        groups = self._frame.groupby("cell")
        cells = groups[["task", *self.scales]].first()
        return cells.assign(runs=groups.size(), diverged=groups["diverged"].sum(), lowest_loss=groups["loss"].min())

    def _take(self, rows: np.ndarray) -> "Runs":
        chosen = self._frame.iloc[rows].copy()
        chosen["cell"] = chosen.groupby(["task", *self.scales], sort=True).ngroup()
        checks.sweep(chosen, list(self.scales))
        return Runs(chosen)

    def optima(self, *, by_batch: bool = False, bootstrap: int = 0, seed: int | None = None) -> Optima:
        """Best setting of each cell with its standard error, from a smooth surface through the cell's lowest losses.

        Seeds are averaged. The error follows from the scatter of the losses around the surface; only where too few
        settings remain to tell that scatter is it kept above the grid's step over sqrt(12). `low` and `high` are the
        ends of what the cell tried, diverged runs included: an optimum on or beyond them is one-sided, and is kept
        there. How the surface is fitted is written at `hyperlaw.data.estimators.local_optimum.local_optimum`.

        Parameters
        ----------
        by_batch
            One row a batch size of each cell: the best learning rate there, the batch size given.
        bootstrap
            Number of refits to resampled residuals from which the error is taken; 0 takes it by the delta method.
        seed
            Makes the refits the same each time; needed where there are any.

        Raises
        ------
        ValueError
            When a cell has too few settings (a batch size too few learning rates) with a finite loss, or a single batch
            size and not `by_batch`; when `bootstrap` is not a number of refits or has no seed.
        """
        return cell_optima(self.frame, list(self.scales), by_batch=by_batch, bootstrap=bootstrap, seed=seed)

    def steps_to_loss(self, losses: Sequence[float], *, bootstrap: int = 100, seed: int) -> StepsToLoss:
        """Fewest steps to each loss at each batch size, over the learning rates tried, from runs scored on the way.

        Rows that differ in `data` alone are one run. Its loss is the lowest so far, and the data at which that first
        reaches a target is interpolated, linearly in the loss and in ln data, between logged points. At a batch size
        (of a task, and of `params` and `width` where there are any) the learning rate counts that needs the fewest
        data: the geometric mean over the seeds that reach the loss, half of the seeds at least. Steps are data over
        batch size. The fewest of several noisy means is a little too few. A best learning rate on an end of those
        tried needs more steps than one beyond, which nothing here shows: `optima` does.

        The `error` is the standard deviation of ln steps over draws of the seeds with replacement, in each of which the
        learning rate is chosen anew, times sqrt(n / (n - 1)) for n seeds: it holds the luck of that choice. A single
        seed has error 0, which says nothing of the scatter between seeds.

        Two kinds of batch size are left out, because such a table has no bounds: those at which no learning rate
        counts, where more steps are needed than were run, and those at which a seed of the best one has reached the
        loss at the first logged point. A run first scored later than others, and then below the loss, is passed over.

        Parameters
        ----------
        losses
            Targets, in nats.
        bootstrap
            Number of draws of the seeds.
        seed
            Makes the draws the same each time.

        Returns
        -------
        StepsToLoss
            With `params` and `width` where the runs have them. Each curve, that is a task, size and loss, is a task of
            its own, such as "adam, loss 0.5", because that is what the laws of steps pool over.

        Raises
        ------
        ValueError
            When the losses are not distinct finite numbers, the runs have no or only one value of `data` each, or an
            updates-to-data ratio, or fewer than two batch sizes of a task and size have steps to a loss.
        """
        return fewest_steps(self.frame, self.scales, losses, bootstrap=bootstrap, seed=seed)

    def __repr__(self) -> str:
        scales = ", ".join(
            f"{name} {self._frame[name].min():.3g} to {self._frame[name].max():.3g}" for name in self.scales
        )
        return (
            f"Runs: {len(self)} runs ({self._frame['diverged'].sum()} diverged) in {len(self.cells)} cells, "
            f"{len(self.tasks)} task{'s' if len(self.tasks) > 1 else ''}; {scales}"
        )
