"""`Runs`: a table of finished training runs, one row each, checked and in the package's own words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from hyperlaw.data import checks, outcomes
from hyperlaw.data.columns import Column, Tabular, as_frame, others, positive, read
from hyperlaw.data.estimators.cell_optima import cell_optima
from hyperlaw.data.estimators.fewest_steps import fewest_steps
from hyperlaw.data.optima import Optima
from hyperlaw.data.outcomes import NATS
from hyperlaw.data.run_readers import RunReaders
from hyperlaw.data.steps_to_loss import StepsToLoss
from hyperlaw.data.sweep_shape import batch_factor, check_batch_unit, merged_data, no_steps, sweep
from hyperlaw.data.table import example_rows
from hyperlaw.data.vocabulary import HYPERPARAMETERS, RUN_SCALES
from hyperlaw.display import View

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class Runs(RunReaders):
    """Finished training runs, one row each. Make one with `from_frame` or, of a file or a tracker, another `from_`.

    Attributes
    ----------
    frame
        Columns `learning_rate`, `batch_size` (data points a step), the scales that were given
        (`params`, `width`, `data`, `utd`), `task`, `seed`, `run` where it was given, `loss` (NaN where diverged),
        `diverged`, `cell` (integer), in the order and with the index of the table they came from. A copy.
    loss_unit
        Unit of the loss.
    notes
        What was left out on the way in, and what was made one; one sentence each.
    batch_unit
        Data points in one unit of the batch size as it came. `frame` has data points; choices are told in both.
    """

    loss_unit: str = NATS
    notes: tuple[str, ...] = ()
    batch_unit: float = 1.0
    kind: ClassVar[str] = "runs"
    without_a_law: ClassVar[str] = " The best setting of each cell, with its error, is runs.optima()."

    def __post_init__(self) -> None:
        check_batch_unit(self.batch_unit)

    @classmethod
    def from_frame(
        cls,
        frame: Tabular,
        *,
        learning_rate: Column = "learning_rate",
        batch_size: Column = "batch_size",
        batch_unit: float | None = None,
        loss: str = "loss",
        loss_unit: str = NATS,
        untrained_loss: float | None = None,
        data: Column | None = None,
        steps: Column | None = None,
        params: Column | None = None,
        width: Column | None = None,
        utd: Column | None = None,
        task: str | None = None,
        seed: str | None = None,
        run: str | None = None,
        diverged: str | None = None,
        state: str | None = None,
        tune_over: Sequence[str] = (),
    ) -> "Runs":
        """Read runs from a table, naming the columns that hold each quantity.

        What is the same in every run may be given as a number, such as `batch_size=8192`. Numbers may be text ("1e-3"),
        counts also "7B", "1.4T" or "32k". `notes` of the result says what was left out and what was made one.

        Parameters
        ----------
        frame
            One row a run: a DataFrame, a dict of lists, a list of dicts, or the path of a file that holds them: text
            with separators, JSON, Parquet, gzipped or not, whatever its suffix.
        learning_rate
            Column of peak learning rates.
        batch_size
            Column of batch sizes, in units of `batch_unit` data points.
        batch_unit
            Data points (tokens, samples, transitions) in one unit of `batch_size`: 2048 when it counts
            sequences of 2,048 tokens next to `data` in tokens. Left out, both are taken to be in one unit,
            and a table in which they clearly are not is refused.
        loss
            Column of final losses, lower is better. Infinite marks a diverged run; so does a missing one, unless
            `state` says that the run did not finish. Without a `state` a run whose loss is missing is left out where a
            higher learning rate finished in its cell, at its batch size or a smaller one.
        loss_unit
            Unit of the loss, for texts and axes: "nats", "bits per byte", "error rate" or any other; "perplexity" is
            turned into nats.
        untrained_loss
            Loss of a model before training, in the unit of the column: a run that ends above it diverged. Left out, one
            that ends above 20 times the lowest loss of the worst cell, at a learning rate above the best of its own.
        data, params, width, utd
            Columns of the scales: data points seen, parameter count, model width, updates-to-data ratio.
            A scale that is not named is looked for under its own name and left out when absent. Runs of one size whose
            data differ by rounding to whole steps are one scale.
        steps
            Column of optimizer steps, in place of `data`: data are steps times batch size.
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
        state
            Column that says what became of each run: finished, running, crashed, killed, preempted, failed and the
            like; a column called state or status is looked for. Runs that did not finish are left out, unless they
            diverged.
        tune_over
            Columns of further hyperparameters, such as weight decay: of each setting the best run over their values is
            kept.

        Returns
        -------
        Runs
            With batch sizes in data points, and every diverged run kept.

        Raises
        ------
        ValueError, TypeError
            When a column is missing or the values cannot be right; the text says which rows, what was
            received, and what is allowed.
        """
        frame, unit = as_frame(frame), outcomes.unit_of(loss_unit)
        state = state or outcomes.state_column(frame)
        required = {"learning_rate": learning_rate, "batch_size": batch_size, "loss": loss}
        optional = {
            "data": data, "steps": steps, "params": params, "width": width, "utd": utd, "task": task, "seed": seed,
            "run": run, "diverged": diverged,
        }  # fmt: skip
        if state is not None:
            optional["state"] = state
        if steps is None:
            del optional["steps"]  # a column of that name may be anything
        elif data is not None:
            raise ValueError("pass data= or steps=, not both: the data are steps times batch size.")
        else:
            del optional["data"]
        notes: list[str] = []
        table, found = read(frame, required, optional)
        beside = others(frame, found, table)
        table["loss"] = outcomes.losses(table["loss"], found["loss"], unit)
        highest = outcomes.untrained(untrained_loss, unit)
        if "state" in table:
            table = outcomes.finished(table, found, highest, notes)
        positive(table, found, [*HYPERPARAMETERS, "steps", *RUN_SCALES])
        if "data" in table:
            no_steps(found["data"], table)
        per_unit = batch_factor(table, batch_unit)
        table["batch_size"] *= per_unit
        if "steps" in table:
            table["data"] = table["steps"] * table["batch_size"]
        table["seed"] = checks.seeds(table["seed"], found["seed"]) if "seed" in table else 0

        scales = [word for word in RUN_SCALES if word in table]
        if "run" in table:
            table["run"] = checks.one_run(table, scales, found["run"])
        if "data" in table:
            table["data"] = merged_data(table, scales, notes)
        table = outcomes.settled(table, found, scales, highest, notes)
        if tune_over:
            setting, over = ["task", *scales, *HYPERPARAMETERS, "seed"], tune_over
            table = outcomes.best_over(table, beside, [over] if isinstance(over, str) else list(over), setting, notes)
        table["cell"] = table.groupby(["task", *scales], sort=True).ngroup()
        sweep(table, scales, beside)
        of_run = ["run"] if "run" in table else []
        columns = [*HYPERPARAMETERS, *scales, "task", "seed", *of_run, "loss", "diverged", "cell"]
        return cls(table[columns], NATS if unit == outcomes.PERPLEXITY else unit, tuple(notes), float(per_unit))

    # A path is read as it is in a table: these are the names that people look for.
    from_csv = from_frame
    from_parquet = from_frame

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

    @property
    def options(self) -> dict[str, str | float | tuple[str, ...]]:
        """Units of the loss and of the batch size, and notes."""
        return {"loss_unit": self.loss_unit, "notes": self.notes, "batch_unit": self.batch_unit}

    def _take(self, rows: np.ndarray) -> "Runs":
        chosen = self._frame.iloc[rows].copy()
        chosen["cell"] = chosen.groupby(["task", *self.scales], sort=True).ngroup()
        sweep(chosen, list(self.scales))
        whole = "of the whole table: "
        return replace(self, _frame=chosen, notes=tuple(whole + note.removeprefix(whole) for note in self.notes))

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

    def plot(self) -> "Figure":
        """Loss against learning rate in some of the cells: see `hyperlaw.plots.sweep`."""
        from hyperlaw.plots.sweep import plot_sweep

        return plot_sweep(self.frame, cells=self.cells, scales=self.scales, loss_unit=self.loss_unit)

    @property
    def headline(self) -> str:
        """What it holds, in one line."""
        text = (
            f"Runs: {len(self)} runs ({self._frame['diverged'].sum()} diverged) in {len(self.cells)} "
            f"cell{'s' if len(self.cells) > 1 else ''}, {self._summary()}"
        )
        unit = "" if self.loss_unit == NATS else f"; loss in {self.loss_unit}"
        return text + unit

    def view(self) -> View:
        """What is shown of it."""
        view = super().view()
        folded = {"Cells": self.cells, **view.folded}
        return replace(view, sentence="\n".join(self.notes), folded=folded, picture=self.plot)
