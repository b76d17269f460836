"""`LossSurface`: how the losses of `Runs` scatter around a law's optimum.

The surface is that of `hyperlaw.models.likelihoods.surface`, where its equations stand. Here it becomes a NumPyro
model of a sweep, and what is predicted, simulated and scored with it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import xarray as xr

from hyperlaw.data.runs import Runs
from hyperlaw.data.vocabulary import HYPERPARAMETERS
from hyperlaw.intervals import interval_columns
from hyperlaw.models.law import Numbers, OptimumLaw, Values
from hyperlaw.models.likelihoods.base import Arrays, Draws, Likelihood, filled
from hyperlaw.models.likelihoods.surface import (
    RunLoss,
    best_batch_size,
    best_learning_rate,
    log_mean_slope,
    optimal_loss_trend,
    run_loss,
    surface_parameters,
)
from hyperlaw.models.parameter import Parameter

LEAST_LOSS_SPREAD = 0.01  # nats; what places the priors must not vanish


class SurfaceDesign(NamedTuple):
    """A sweep as arrays, a pytree: see `hyperlaw.models.likelihoods.base.Design`.

    Attributes
    ----------
    learning_rate, batch_size
        Natural logs, shape (run,).
    cell
        Index of each run's cell, shape (run,).
    loss
        Loss in nats, shape (run,); 0 where the run diverged.
    diverged
        1 where the run diverged, else 0; shape (run,).
    """

    learning_rate: np.ndarray
    batch_size: np.ndarray
    cell: np.ndarray
    loss: np.ndarray
    diverged: np.ndarray
    task: np.ndarray
    tasks: np.ndarray
    covariates: Arrays
    priors: dict[str, dist.Distribution]
    pivot: Arrays
    present: np.ndarray
    observed: np.ndarray


class LossSurface(Likelihood[Runs, SurfaceDesign]):
    """Losses of `Runs`: a lowest loss a cell, and a bowl over learning rate and batch size around the law's optimum."""

    law: OptimumLaw
    kinds = ("runs",)
    row = "run"
    density = "loss"
    prices_settings = True

    @property
    def scatter_parameters(self) -> tuple[Parameter, ...]:
        """Parameters of the loss surface, and of how runs and cells scatter around it."""
        return surface_parameters(self.law.covariates)

    def design(self, table: Runs, observed: pd.Series | None = None) -> SurfaceDesign:
        """Arrays of runs: see `Likelihood.design`."""
        frame, cells = table.frame, table.cells
        missing = [name for name in self.law.covariates if name not in table.scales]
        if missing:
            raise ValueError(
                f"{self.law.name} needs {', '.join(missing)}, which these runs do not have; their scales are "
                f"{', '.join(table.scales)}. Name the column when making the runs, or choose another law."
            )
        seen = np.ones(len(frame), bool) if observed is None else observed.to_numpy(bool)
        pivot = self.pivot(cells.loc[frame.loc[seen, "cell"].unique()])
        return SurfaceDesign(
            learning_rate=filled(np.log(frame["learning_rate"].to_numpy())),
            batch_size=filled(np.log(frame["batch_size"].to_numpy())),
            cell=filled(frame["cell"].to_numpy()),
            loss=filled(np.where(frame["diverged"], 0.0, frame["loss"])),
            diverged=filled(frame["diverged"].to_numpy(float)),
            task=cells["task"].map(table.tasks.index).to_numpy(),
            tasks=np.arange(len(table.tasks)),
            covariates=self.centred(cells, pivot),
            priors=self.placed_priors(_places(frame[seen])),
            pivot={name: np.asarray(value) for name, value in pivot.items()},
            present=filled(np.ones(len(frame), bool)),
            observed=filled(seen),
        )

    def model(self, design: SurfaceDesign) -> None:
        """NumPyro model: the losses of a sweep around the optimum of the law."""
        p = self.sample_parameters(design)
        x = design.covariates
        with numpyro.plate("cell", len(design.task)):
            for name in HYPERPARAMETERS:
                # Half-centred: between the form that mixes with many runs a cell and the one that mixes with few.
                root = jnp.sqrt(p[f"cell_sd_{name}"])
                half = numpyro.sample(f"half_deviation_{name}", dist.Normal(0, root))
                p[f"deviation_{name}"] = numpyro.deterministic(f"deviation_{name}", root * half)
            # Centred on its trend: the losses of a cell pin it, and the non-centred form does not mix.
            lowest = dist.Normal(optimal_loss_trend(p, x), p["cell_sd_optimal_loss"])
            p["cell_optimal_loss"] = numpyro.sample("cell_optimal_loss", lowest)

        of_run = {name: value[design.cell] if jnp.ndim(value) else value for name, value in p.items()}
        x_run = {name: value[design.cell] for name, value in x.items()}
        run = run_loss(self.law, of_run, x_run, design.learning_rate, design.batch_size)
        lost, seen = jnp.asarray(design.diverged, bool), jnp.asarray(design.observed, bool)
        with numpyro.plate("run", len(design.loss)), numpyro.handlers.mask(mask=seen):
            numpyro.sample("diverged", run.diverged, obs=design.diverged)
            with numpyro.handlers.mask(mask=~lost):
                numpyro.sample("loss", run.loss, obs=design.loss)

    def shifts(self, p: Values, design: SurfaceDesign) -> dict[str, jax.Array]:
        """Log of the trend's mean slope over the range of the observed cells, over that at the pivot, by slope.

        The losses pin the mean; the slope at the pivot only together with exponent and bend, along a curved ridge where
        a covariate has few values. So the sampler moves in the mean.
        """
        seen = jnp.zeros(len(design.task)).at[design.cell].max(design.observed) > 0
        shifts: dict[str, jax.Array] = {}
        for name, x in design.covariates.items():
            low, high = jnp.min(x, where=seen, initial=jnp.inf), jnp.max(x, where=seen, initial=-jnp.inf)
            mean = log_mean_slope(p, name, low, high)
            shifts |= {f"optimal_loss_slope_{name}{of}": mean for of in ("", "_task")}
        return shifts

    def measured(self, design: SurfaceDesign) -> Arrays:
        """Loss (0 where diverged) and divergence of every run."""
        return {"loss": design.loss, "diverged": design.diverged}

    def observed(self, design: SurfaceDesign) -> Arrays:
        """Loss, missing where the run diverged, and divergence of every run."""
        lost = design.diverged == 1
        return {"loss": np.where(lost, np.nan, design.loss), "diverged": lost.astype(int)}

    def with_measured(self, design: SurfaceDesign, values: Arrays) -> SurfaceDesign:
        """The design with other losses and divergences."""
        lost = filled(values["diverged"].astype(float))
        return design._replace(loss=np.where(lost == 1, 0.0, filled(values["loss"])), diverged=lost)

    def table_with(self, table: Runs, values: Arrays) -> Runs:
        """The runs with other losses and divergences."""
        lost = values["diverged"] == 1
        return table.with_values({"loss": np.where(lost, np.nan, values["loss"]), "diverged": lost})

    def prior_rows(self, table: Runs, predicted: xr.Dataset) -> pd.DataFrame:
        """One row a cell: 5, 50 and 95 % of the losses of its runs, and the lowest and highest seen."""
        loss, frame, rows = predicted["loss"].values, table.frame, []
        for index, cell in table.cells.iterrows():
            inside = (frame["cell"] == index).to_numpy()
            seen = frame.loc[inside, "loss"]
            rows.append(
                {name: cell[name] for name in ("task", *table.scales)}
                | interval_columns(loss[..., inside], (0, 1, 2), prefix="prior_")
                | {"lowest_seen": seen.min(), "highest_seen": seen.max()}
            )
        return pd.DataFrame(rows)

    def cell_labels(self, table: Runs, design: SurfaceDesign) -> list[str]:
        """Task, where there are several, and scales of each cell."""
        several = len(table.tasks) > 1
        return [
            ", ".join(([str(row["task"])] if several else []) + [f"{name} {row[name]:.3g}" for name in table.scales])
            for _, row in table.cells.iterrows()
        ]

    def needs_at(self, table: Runs) -> tuple[str, ...]:
        """The law's covariates."""
        return self.law.covariates

    def draw_cell(self, p: Draws, x: Values, rng: np.random.Generator, cells: np.ndarray) -> Arrays:
        """Parameters of new cells, with their own deviations and lowest loss: see `Likelihood.draw_cell`."""
        shape = (*np.shape(p["noise"])[:-1], int(cells.max()) + 1)
        noise = [rng.standard_normal(shape)[..., cells] for _ in range(3)]
        own = {f"deviation_{name}": p[f"cell_sd_{name}"] * z for name, z in zip(HYPERPARAMETERS, noise, strict=False)}
        with jax.enable_x64(True):
            trend = np.asarray(optimal_loss_trend(p, x))
        return {**p, **own, "cell_optimal_loss": trend + p["cell_sd_optimal_loss"] * noise[2]}

    def optimum(self, p: Draws, x: Values) -> Arrays:
        """Best learning rate and batch size (natural logs) of a cell, and its lowest loss (nats)."""
        with jax.enable_x64(True):
            batch = np.asarray(best_batch_size(self.law, p, x))
            rate = np.asarray(best_learning_rate(self.law, p, x, batch))
        return {"learning_rate": rate, "batch_size": batch, "loss": np.asarray(p["cell_optimal_loss"])}

    def predicted(self, table: Runs, p: Draws, x: Values, log_batch_size: Numbers, rng: np.random.Generator) -> Arrays:
        """Best learning rate and batch size, and the loss there, in nats; none of them is a measurement."""
        best = self.optimum(p, x)
        return {name: values if name == "loss" else np.exp(values) for name, values in best.items()}

    def run_loss(self, p: Draws, x: Values, log_learning_rate: Numbers, log_batch_size: Numbers) -> RunLoss:
        """What runs in a cell measure: the run is a last axis, which the draws of the parameters lack. NumPy arrays."""
        wide = {name: np.asarray(value)[..., None] for name, value in p.items()}
        along = {name: np.asarray(value)[..., None] if np.ndim(value) else value for name, value in x.items()}
        with jax.enable_x64(True):
            return RunLoss(*map(np.asarray, run_loss(self.law, wide, along, log_learning_rate, log_batch_size)))


def _places(frame: pd.DataFrame) -> dict[str, float]:
    """Where priors that are relative to the sweep lie: the middle of the grid, the cells' lowest losses."""
    lowest = frame[~frame["diverged"]].groupby("cell")["loss"].min()
    spread = float(lowest.std()) if len(lowest) > 1 else 0.0
    middle = {name: float(np.median(np.unique(np.log(frame[name])))) for name in HYPERPARAMETERS}
    return middle | {"loss": float(lowest.mean()), "loss_sd": max(spread, LEAST_LOSS_SPREAD)}
