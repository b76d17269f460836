"""`MeasuredValues`: how the rows of `Optima`, `StepsToLoss` and `NoiseMeasurements` scatter around a law.

For row i, in natural logs, with t4 Student's t with 4 degrees of freedom, censored at what could be read
(`hyperlaw.models.likelihoods.censored_student_t`):

    ln value_i ~ t4(law_i + drift_i + deviation_levels + deviation_cell, sqrt(error_i^2 + residual_sd^2))

Drift and the deviations that rows of one level share stand in `hyperlaw.models.likelihoods.deviations`.

`error` is the standard error that the table states, `residual_sd` the scale of what the law does not describe; that is
added again for a cell that was not fitted. Where learning rate and batch size of one cell were estimated together, the
error that they share moves the expected learning rate by its regression on the batch size's. Cells have no deviation
here; `CrossingValues` gives them one.
"""

from collections.abc import Mapping
from math import log
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import xarray as xr

from hyperlaw.data.table import Table
from hyperlaw.intervals import interval_columns
from hyperlaw.models.identifiability import lacks
from hyperlaw.models.law import Numbers, Values
from hyperlaw.models.likelihoods.base import Arrays, Draws, Likelihood, Shift, filled, row_labels
from hyperlaw.models.likelihoods.censored_student_t import CensoredStudentT, standard_noise
from hyperlaw.models.likelihoods.deviations import (
    LEVEL_SD,
    MEANING,
    drift,
    drift_parameters,
    level_of,
    level_parameters,
    sample_levels,
)
from hyperlaw.models.parameter import Parameter
from hyperlaw.quote import quote

# A value that is not measured: no error, and no end of what could be read.
NONE = np.zeros(0, int)
FREE = {"error": 0.0, "low": 0.0, "high": np.inf}


class ValuesDesign(NamedTuple):
    """A table of measured values as arrays, a pytree: see `hyperlaw.models.likelihoods.base.Design`.

    Dicts are by quantity, arrays of shape (row,).

    Attributes
    ----------
    value, error, low, high
        Natural log of the value, its standard error, and the ends of what could be read.
    correlation
        Of the errors of learning rate and batch size, 0 elsewhere.
    cell
        Index of each row's cell: rows that share all covariates that enter as logs, and the task.
    cells
        0, 1, ... one entry a cell.
    level, levels
        By levelled covariate: position of each row's level; and 0, 1, ... one entry a level.
    log_batch_size
        Natural log of the batch size where it is given, else 0.
    threshold, thresholds
        Of `Crossings`, position of each row's threshold among all; and 0, 1, ... one entry a threshold. Else empty.
    """

    value: Arrays
    error: Arrays
    low: Arrays
    high: Arrays
    correlation: np.ndarray
    cell: np.ndarray
    cells: np.ndarray
    level: dict[str, np.ndarray]
    levels: dict[str, np.ndarray]
    log_batch_size: np.ndarray
    task: np.ndarray
    tasks: np.ndarray
    covariates: Arrays
    priors: dict[str, dist.Distribution]
    pivot: Arrays
    present: np.ndarray
    observed: np.ndarray
    threshold: np.ndarray = NONE
    thresholds: np.ndarray = NONE


class MeasuredValues(Likelihood[Table, ValuesDesign]):
    """Values measured once a row, with their errors: `Optima`, `StepsToLoss` and `NoiseMeasurements`."""

    kinds: ClassVar[tuple[str, ...]] = ("optima", "steps_to_loss", "noise_measurements")

    @property
    def shares(self) -> tuple[str, ...]:
        """What the law predicts."""
        return self.law.predicts

    @property
    def scatter_parameters(self) -> tuple[Parameter, ...]:
        """The scale of the residuals of each quantity, the drift of exponents, the scale of what levels share."""
        residuals = tuple(
            Parameter(
                f"residual_sd_{name}", f"scatter of the {MEANING.get(name, name)} around the law, beyond the stated "
                "error", "ln", dist.LogNormal(log(0.1), 0.7),
                "off zero; from a tenth of a grid step to a factor of 1.5", is_scale=True,
            )
            for name in self.law.predicts
        )  # fmt: skip
        shared = level_parameters(self.levelled, dict.fromkeys(self.law.predicts, ("ln", LEVEL_SD)))
        return residuals + drift_parameters(self.law, self.law.predicts) + shared

    def given(self, table: Table) -> bool:
        """Whether the table fixes a batch size in every row that matters to the law: then a target must give one."""
        measured = set(table.points()["quantity"])
        matters = self.law.needs_batch_size or "learning_rate" in self.law.predicts
        return matters and "batch_size" in table.frame and "batch_size" not in measured

    def needs_at(self, table: Table) -> tuple[str, ...]:
        """The law's covariates, and the batch size where the table gives it instead of measuring it."""
        return (*self.law.covariates, *(["batch_size"] if self.given(table) else []))

    def quantities(self, table: Table) -> list[str]:
        """What the law predicts and the table measures.

        Raises
        ------
        ValueError
            When there is none.
        """
        measured = set(table.points()["quantity"])
        found = [name for name in self.law.predicts if name in measured]
        if not found:
            raise ValueError(
                f"{self.law.name} predicts {' and '.join(self.law.predicts)}, which this table does not hold: it holds "
                f"{', '.join(sorted(measured))}."
            )
        return found

    def design(self, table: Table, observed: pd.Series | None = None) -> ValuesDesign:
        """Arrays of measured values: see `Likelihood.design`."""
        frame, quantities = table.frame, self.quantities(table)
        seen = np.ones(len(frame), bool) if observed is None else observed.to_numpy(bool)
        lacks(self.law, table)
        self._check(frame, frame[seen])
        pivot = self.pivot(frame[seen])
        columns = {name: rows.set_index("row") for name, rows in table.points().groupby("quantity")}

        def logs(column: str, fill: float) -> Arrays:
            with np.errstate(divide="ignore"):
                return {name: filled(np.log(columns[name][column].to_numpy(float)), fill) for name in quantities}

        cells = frame.groupby(["task", *self.law.logged], sort=True).ngroup().to_numpy()
        correlation = frame["correlation"].to_numpy(float) if "correlation" in frame else np.zeros(len(frame))
        given, known = self.given(table), self.levels(table)
        batch = np.log(frame["batch_size"].to_numpy(float)) if given else np.zeros(len(frame))
        return ValuesDesign(
            value=logs("value", 0.0),
            error={name: filled(columns[name]["error"].to_numpy(float)) for name in quantities},
            low=logs("low", -np.inf),
            high=logs("high", np.inf),
            correlation=filled(correlation),
            cell=filled(cells),
            cells=np.arange(cells.max() + 1),
            level={name: filled(level_of(rows, frame, name)) for name, rows in known.items()},
            levels={name: np.arange(len(rows)) for name, rows in known.items()},
            log_batch_size=filled(batch),
            task=filled(frame["task"].map(table.tasks.index).to_numpy()),
            tasks=np.arange(len(table.tasks)),
            covariates={name: filled(x) for name, x in self.centred(frame, pivot).items()},
            priors=self.placed_priors(self._places(frame[seen])),
            pivot={name: np.asarray(value) for name, value in pivot.items()},
            present=filled(np.ones(len(frame), bool)),
            observed=filled(seen),
        )

    def _check(self, frame: pd.DataFrame, seen: pd.DataFrame) -> None:
        """Refuse a table that holds what the functions of the law cannot take."""
        law = self.law
        for name in law.logged:
            low = float(seen[name].min())
            if low <= 0:
                raise ValueError(f"{law.name} takes the log of {name}, which must be above zero; the least is {low:g}.")
        for name, allowed in law.labels.items():
            unknown = sorted(set(frame[name]) - set(allowed))
            if unknown:
                raise ValueError(f"{name} must be {' or '.join(allowed)} for {law.name}, received {quote(unknown[0])}.")

    def _places(self, frame: pd.DataFrame) -> dict[str, float]:
        """Where priors lie: the middle of what was measured or given."""
        names = (*self.law.predicts, "batch_size")
        # What the table says nothing of keeps its prior, placed at one data point or a rate of one.
        return dict.fromkeys(names, 0.0) | {
            name: float(np.median(np.log(frame[name].to_numpy(float)))) for name in names if name in frame
        }

    def model(self, design: ValuesDesign) -> None:
        """NumPyro model: measured values around the law."""
        p = self.sample_parameters(design)
        shared = sample_levels(p, self.shares, design.level, design.levels)
        deviation = self.sample_deviation(p, design)
        centre = self.log_values(p, design.covariates, design.log_batch_size, list(design.value))
        measured: dict[str, jax.Array] = {}
        with numpyro.plate("row", len(design.task)), numpyro.handlers.mask(mask=jnp.asarray(design.observed, bool)):
            for name in sorted(centre):  # the batch size first: the learning rate's error follows its own
                mean, variance = centre[name], self.variance(p, name, design.error[name])
                if name == "learning_rate" and "batch_size" in measured:
                    slope, variance = self._given_batch(p, design, measured["batch_size"], variance)
                    mean = mean + slope * (measured["batch_size"] - centre["batch_size"])
                mean = mean + shared[name] + deviation
                scatter = CensoredStudentT(mean, jnp.sqrt(variance), design.low[name], design.high[name])
                # What is returned is the measured value, or the one drawn where the model is not conditioned.
                measured[name] = numpyro.sample(name, scatter, obs=design.value[name])

    @property
    def shifts(self) -> tuple[Shift, ...]:
        """What the law says, of each task alike."""
        law = self.law
        return (lambda p, _: {f"{n}{of}": shift for n, shift in law.shifts(p).items() for of in ("", "_task")},)

    def sample_deviation(self, p: dict[str, jax.Array], design: ValuesDesign) -> Numbers:
        """Own deviation of each row's cell from the law, inside the model: none here."""
        return 0.0

    def beyond(self, p: Values, design: ValuesDesign) -> dict[str, jax.Array]:
        """What the law says beyond the table, at the largest batch size where one is given: see `Likelihood.beyond`."""
        batch, quantities = jnp.max(design.log_batch_size), list(self.law.predicts)
        found = self.log_values(p, self.scales_beyond(design), batch, quantities)
        return {f"{name} beyond": value for name, value in found.items()}

    def log_values(self, p: Values, x: Values, log_batch_size: Numbers, quantities: list[str]) -> dict[str, jax.Array]:
        """What the law says of each quantity, with its drift.

        The learning rate is that at the law's best batch size where both are asked for.
        """
        law = self.law
        if {"learning_rate", "batch_size"} <= set(quantities):
            log_batch_size = law.log_value("batch_size", p, x, log_batch_size)
        return {name: law.log_value(name, p, x, log_batch_size) + drift(p, name, x) for name in quantities}

    def variance(self, p: Values, quantity: str, error: Numbers) -> Numbers:
        """Squared scale of a measured value around its centre: the residuals', and the stated error's."""
        return p[f"residual_sd_{quantity}"] ** 2 + error**2

    def _given_batch(
        self, p: Values, design: ValuesDesign, value: jax.Array, variance: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Regression of the learning rate's error on the batch size's, and what it leaves of the variance.

        None of it where the batch size is one-sided: its error is then not seen.
        """
        seen = (value > design.low["batch_size"]) & (value < design.high["batch_size"])
        shared = design.correlation * design.error["learning_rate"] * design.error["batch_size"] * seen
        slope = shared / self.variance(p, "batch_size", design.error["batch_size"])
        return slope, variance - slope * shared

    def measured(self, design: ValuesDesign) -> Arrays:
        """Natural logs of the measured values."""
        return dict(design.value)

    def with_measured(self, design: ValuesDesign, values: Arrays) -> ValuesDesign:
        """The design with other values, in natural logs."""
        return design._replace(value={name: filled(values[name]) for name in design.value})

    def table_with(self, table: Table, values: Arrays) -> Table:
        """The table with other values, given in natural logs; those at an end of what could be read stay there."""
        ends = dict(list(table.points().groupby("quantity")))
        changed = {}
        for name, value in values.items():
            with np.errstate(divide="ignore"):
                low, high = np.log(ends[name]["low"].to_numpy()), np.log(ends[name]["high"].to_numpy())
            # The exponential of a log may miss a limit by its last digit.
            drawn = np.where(value <= low, ends[name]["low"], np.exp(value))
            changed[name] = np.where(value >= high, ends[name]["high"], drawn)
        return table.with_values(changed)

    def prior_rows(self, table: Table, predicted: xr.Dataset) -> pd.DataFrame:
        """One row a measured value, beside the one seen."""
        frame, tables = table.frame, []
        for name, drawn in predicted.items():
            bands = interval_columns(np.exp(drawn.values), (0, 1), prefix="prior_")
            given = frame[["task", *table.scales]].reset_index(drop=True)
            rows = given.assign(**bands, seen=frame[str(name)].to_numpy(float))
            rows.insert(0, "quantity", str(name))
            rows.insert(0, "row", table.labels)
            tables.append(rows)
        return pd.concat(tables, ignore_index=True)

    def cell_labels(self, table: Table, design: ValuesDesign) -> list[str]:
        """Task, where there are several, and covariates of each cell, in their order."""
        names = list(self.law.logged)
        return row_labels(table.frame[["task", *names]].drop_duplicates().sort_values(["task", *names]), names)

    def draw_cell(self, p: Draws, x: Values, rng: np.random.Generator, cells: np.ndarray) -> Arrays:
        """Parameters of new cells: those of the law, and no deviation of their own."""
        return {**p, "deviation_cell": np.zeros(1)}

    def centre(self, p: Draws, x: Values, log_batch_size: Numbers, quantities: list[str]) -> dict[str, np.ndarray]:
        """Natural log of each quantity, as the law says and the cell deviates; they broadcast to (chain, draw, row)."""
        with jax.enable_x64(True):
            logs = self.log_values(p, x, log_batch_size, quantities)
            return {
                n: np.asarray(v) + self.level_deviation(p, n) + p.get("deviation_cell", 0.0) for n, v in logs.items()
            }

    def predicted(self, table: Table, p: Draws, x: Values, log_batch_size: Numbers, rng: np.random.Generator) -> Arrays:
        """Each quantity of a new cell, its deviation and residual included; no error of measuring it."""
        centres = self.centre(p, x, log_batch_size, self.quantities(table))
        shape = np.broadcast_shapes(*map(np.shape, (*p.values(), *centres.values(), log_batch_size)))
        return {
            name: np.exp(self.value(p, name, centre, FREE).placed(standard_noise(rng, shape)))
            for name, centre in centres.items()
        }

    def value(self, p: Draws, quantity: str, centre: Numbers, row: Mapping[str, Numbers]) -> CensoredStudentT:
        """Distribution of one measured value around `centre`, where `row` gives its `error`, `low` and `high`.

        Plain numbers or arrays; `low` and `high` in the unit of the value.
        """
        with np.errstate(divide="ignore"):
            low, high = np.log(np.asarray(row["low"], float)), np.log(np.asarray(row["high"], float))
        scale = np.sqrt(self.variance(p, quantity, np.asarray(row["error"], float)))
        return CensoredStudentT(centre, scale, low, high)
