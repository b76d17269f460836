"""How a law meets a table of measured values: `Optima`, `Crossings`, `StepsToLoss`.

For row i, in natural logs, with t4 Student's t with 4 degrees of freedom (`hyperlaw.models.clipped`):

    ln value_i ~ t4(law_i + deviation_cell, sqrt(error_i^2 + scatter^2)),   clipped to what could be read

`error` is the standard error that the table states, `scatter` what the law does not describe; both are added again for
a cell that was not fitted. Where learning rate and batch size of one cell were estimated together, the error that they
share moves the expected learning rate by its regression on the batch size's. Rows of `Crossings` that differ in
the threshold alone come from the same training curves and share the deviation of their cell.
"""

from math import log
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd

from hyperlaw.models.clipped import Clipped
from hyperlaw.models.law import Law, Parameter
from hyperlaw.models.pooled import sample_parameters

if TYPE_CHECKING:
    from hyperlaw.data.table import Table

MEANING = {
    "learning_rate": "best learning rate", "batch_size": "best batch size", "utd": "best updates-to-data ratio",
    "improvement": "improvement", "steps": "steps", "data": "data",
}  # fmt: skip


class Points(NamedTuple):
    """A table of measured values as arrays, a pytree; dicts are by quantity, arrays of shape (row,).

    Attributes
    ----------
    value, error, low, high
        Natural log of the value, its standard error, and the ends of what could be read.
    correlation
        Of the errors of learning rate and batch size, 0 elsewhere.
    task, cell
        Index of each row's task and cell.
    tasks, cells
        0, 1, ... one entry a task, and a cell.
    covariates
        Natural log of each covariate minus its pivot; linear ones scaled to -1 to 1.
    log_batch_size
        Natural log of the batch size where it is given, else 0.
    grid_centre
        Middle of what was measured or given, natural logs, scalars: where priors are placed.
    observed
        Whether the model is conditioned on the row.
    """

    value: dict[str, np.ndarray]
    error: dict[str, np.ndarray]
    low: dict[str, np.ndarray]
    high: dict[str, np.ndarray]
    correlation: np.ndarray
    task: np.ndarray
    cell: np.ndarray
    tasks: np.ndarray
    cells: np.ndarray
    covariates: dict[str, np.ndarray]
    log_batch_size: np.ndarray
    grid_centre: dict[str, np.ndarray]
    observed: np.ndarray


def scatter_parameters(law: Law) -> tuple[Parameter, ...]:
    """Parameters of the scatter around a law, by the table that it is fitted to."""
    own = tuple(
        Parameter(
            f"scatter_{name}", f"scatter of the {MEANING[name]} around the law, beyond the stated error", "ln",
            dist.LogNormal(log(0.1), 0.7), "off zero; from a tenth of a grid step to a factor of 1.5",
        )
        for name in law.predicts
    )  # fmt: skip
    if law.table != "crossings":
        return own
    cell = Parameter(
        "spread_cell", "a cell's own deviation from the law, shared by its thresholds", "ln",
        dist.LogNormal(log(0.1), 0.7), "off zero; its rows come from the same training curves",
    )  # fmt: skip
    return (*own, cell)


def points(table: "Table", law: Law, observed: pd.Series | None = None) -> Points:
    """Arrays of `table` for `law`; `observed` marks the rows to condition on, all when left out.

    Raises
    ------
    ValueError
        When the table lacks a covariate or every quantity of the law, or has no batch size where one is needed.
    """
    frame, long = table.frame, table.points()
    seen = np.ones(len(frame), bool) if observed is None else observed.to_numpy(bool)
    quantities = [name for name in law.predicts if name in set(long["quantity"])]
    if not quantities:
        raise ValueError(
            f"{law.name} predicts {' and '.join(law.predicts)}, which this table does not hold: it holds "
            f"{', '.join(sorted(long['quantity'].unique()))}."
        )
    at = points_pivot(table, law, seen)
    wide = {
        column: {
            name: part.set_index("row")[column].reindex(range(len(frame))).to_numpy(float)
            for name, part in long.groupby("quantity")
            if name in quantities
        }
        for column in ("value", "error", "low", "high")
    }
    with np.errstate(divide="ignore"):
        logs = {column: {n: np.log(v) for n, v in wide[column].items()} for column in ("value", "low", "high")}
    given = "batch_size" in frame and "batch_size" not in quantities
    cells = frame.groupby(["task", *law.logged], sort=True).ngroup().to_numpy()
    known = [name for name in (*law.predicts, "batch_size") if name in frame]
    centres = {name: np.asarray(np.median(np.log(frame[name].to_numpy(float))[seen])) for name in known}
    # What the table says nothing of keeps its prior, placed at one data point or a rate of one.
    centres |= {name: np.asarray(0.0) for name in law.predicts if name not in known}
    return Points(
        **logs,
        error=wide["error"],
        correlation=frame["correlation"].to_numpy(float) if "correlation" in frame else np.zeros(len(frame)),
        task=frame["task"].map(table.tasks.index).to_numpy(),
        cell=cells,
        tasks=np.arange(len(table.tasks)),
        cells=np.arange(cells.max() + 1),
        covariates=centred(frame, law, at),
        log_batch_size=np.log(frame["batch_size"].to_numpy(float)) if given else np.zeros(len(frame)),
        grid_centre=centres,
        observed=seen,
    )


def points_pivot(table: "Table", law: Law, observed: np.ndarray | None = None) -> dict[str, float]:
    """Where intercepts are stated: mean log of each covariate, and the middle and half range of linear ones."""
    frame = table.frame if observed is None else table.frame[observed]
    needs = [*law.covariates, *(["batch_size"] if law.needs_batch_size else [])]
    missing = [name for name in needs if name not in frame]
    if missing:
        raise ValueError(
            f"{law.name} needs {', '.join(missing)}, which this table does not have; its columns are "
            f"{', '.join(frame.columns)}. Name the column when making the table, or choose another law."
        )
    for name in law.logged:
        low = float(frame[name].min())
        if low <= 0:
            raise ValueError(f"{law.name} takes the log of {name}, which must be above zero; the least is {low:g}.")
    at = {name: float(np.log(frame[name].astype(float)).mean()) for name in law.logged}
    for name in law.linear:
        low, high = float(frame[name].min()), float(frame[name].max())
        at |= {name: (low + high) / 2, f"{name}_unit": max((high - low) / 2, 1e-9)}
    for name, allowed in law.labels.items():
        unknown = sorted(set(frame[name]) - set(allowed))
        if unknown:
            raise ValueError(f"{name} must be {' or '.join(allowed)} for {law.name}, received {unknown[0]!r}.")
    return at


def centred(frame: pd.DataFrame, law: Law, at: dict[str, float]) -> dict[str, np.ndarray]:
    """The law's covariates of each row as `Law.log_value` takes them."""
    x = {name: np.log(frame[name].to_numpy(float)) - at[name] for name in law.logged}
    x |= {name: (frame[name].to_numpy(float) - at[name]) / at[f"{name}_unit"] for name in law.linear}
    return x | {name: frame[name].map(allowed.index).to_numpy(float) for name, allowed in law.labels.items()}


def points_model(law: Law, design: Points) -> None:
    """NumPyro model: measured values around `law`."""
    p = sample_parameters(law, design, design.task, len(design.tasks))
    deviation = 0.0
    if "spread_cell" in p:
        with numpyro.plate("cell", len(design.cells)):
            # Half-centred, as the cells of runs are.
            root = jnp.sqrt(p["spread_cell"])
            half = numpyro.sample("half_deviation_cell", dist.Normal(0, root))
            deviation = numpyro.deterministic("deviation_cell", root * half)[design.cell]
    batch = law.log_value("batch_size", p, design.covariates, design.log_batch_size) if _both(design) else None
    asked = design.log_batch_size if batch is None else batch
    measured: dict[str, jax.Array] = {}
    with numpyro.plate("row", len(design.task)), numpyro.handlers.mask(mask=jnp.asarray(design.observed, bool)):
        for name in sorted(design.value):  # the batch size first: the learning rate's error follows its own
            mean = law.log_value(name, p, design.covariates, asked)
            variance = p[f"scatter_{name}"] ** 2 + design.error[name] ** 2
            if name == "learning_rate" and batch is not None:
                slope, variance = _given_batch(p, design, measured["batch_size"], variance)
                mean = mean + slope * (measured["batch_size"] - batch)
            scatter = Clipped(mean + deviation, jnp.sqrt(variance), design.low[name], design.high[name])
            # What is returned is the measured value, or the one drawn where the model is not conditioned.
            measured[name] = numpyro.sample(name, scatter, obs=design.value[name])


def _both(design: Points) -> bool:
    return {"learning_rate", "batch_size"} <= set(design.value)


def _given_batch(
    p: dict[str, jax.Array], design: Points, value: jax.Array, variance: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Regression of the learning rate's error on the batch size's, and what it leaves of the variance.

    None of it where the batch size is one-sided: its error is then not seen.
    """
    open_ = (value > design.low["batch_size"]) & (value < design.high["batch_size"])
    shared = design.correlation * design.error["learning_rate"] * design.error["batch_size"] * open_
    slope = shared / (p["scatter_batch_size"] ** 2 + design.error["batch_size"] ** 2)
    return slope, variance - slope * shared
