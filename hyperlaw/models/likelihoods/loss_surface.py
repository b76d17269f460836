"""`LossSurface`: how the losses of `Runs` scatter around a law's optimum.

The surface is that of `hyperlaw.models.likelihoods.surface`, where its equations stand. Here it becomes a NumPyro
model of a sweep, and what is predicted, simulated and scored with it.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pandas as pd
import xarray as xr

from hyperlaw.data.runs import Runs
from hyperlaw.data.vocabulary import HYPERPARAMETERS
from hyperlaw.intervals import interval_columns, present
from hyperlaw.models.identifiability import lacks, several_cells
from hyperlaw.models.law import Numbers, OptimumLaw, Values
from hyperlaw.models.likelihoods.base import Arrays, Draws, Likelihood, Shift, filled, row_labels
from hyperlaw.models.likelihoods.cell_deviations import sample_cells
from hyperlaw.models.likelihoods.deviations import drift, half_centred, level_of
from hyperlaw.models.likelihoods.run_readings import RunReadings
from hyperlaw.models.likelihoods.surface import (
    GIVEN,
    SHARED,
    SHARPNESS,
    RunLoss,
    best_batch_size,
    best_learning_rate,
    cell_shape,
    optimal_loss_trend,
    run_loss,
    surface_parameters,
)
from hyperlaw.models.likelihoods.surface_design import SurfaceDesign
from hyperlaw.models.likelihoods.trend_shifts import mean_losses, mean_slopes
from hyperlaw.models.parameter import Parameter
from hyperlaw.quote import quote

LEAST_LOSS_SPREAD = 0.01  # nats; what places the priors must not vanish


@dataclass(frozen=True, eq=False)
class LossSurface(Likelihood[Runs, SurfaceDesign]):
    """Losses of `Runs`: a lowest loss a cell, and a bowl over learning rate and batch size around the law's optimum.

    Parameters
    ----------
    law, priors, pooling
        As for `Likelihood`.
    window
        How far above the lowest loss of its cell a run is described, in units of the spread of the cells' lowest
        losses. A run beyond says "at least so bad" and no more.
    own_horizons
        Whether each run was made for its horizon alone. Then what sizes share at a horizon is a deviation from the law;
        else readings of one run at several horizons share its luck. Left out, the table says: its column `run`.
    """

    law: OptimumLaw
    window: float = 1.0
    own_horizons: bool | None = None

    kinds = ("runs",)
    row = "run"
    prices_settings = True

    @property
    def shares(self) -> tuple[str, ...]:
        """Best learning rate, best batch size, and lowest loss."""
        return tuple(SHARED)

    @property
    def levelled(self) -> tuple[str, ...]:
        """Covariates whose levels share a deviation: horizons among them, if runs are made for one."""
        several = len(self.law.logged) > 1 and self.own_horizons is not False
        return (*super().levelled, *(name for name in self.law.logged if name == "data" and several))

    def of(self, table: Runs) -> Self:
        """The same model, told whether runs of this table are read at several horizons."""
        if self.own_horizons is not None:
            return self
        return replace(self, own_horizons="run" not in table.frame or not table.frame["run"].duplicated().any())

    @property
    def bare(self) -> Self:
        """The same model with default priors and window, which are data to a compiled program."""
        return replace(super().bare, window=1.0)

    @property
    def options(self) -> dict[str, float | bool | None]:
        """The window, and whether horizons are levels."""
        return {"window": self.window, "own_horizons": self.own_horizons}

    def __post_init__(self) -> None:
        if not (np.isfinite(self.window) and self.window > 0):
            raise ValueError(
                f"window must be finite and above zero, received {quote(self.window)}: it is how far above the lowest "
                "loss of its cell a run is described, in units of the spread of the cells' lowest losses. The default "
                "is 1."
            )
        super().__post_init__()

    @property
    def scatter_parameters(self) -> tuple[Parameter, ...]:
        """Parameters of the loss surface, and of how runs and cells scatter around it."""
        return surface_parameters(self.law, self.levelled, luck=not self.own_horizons)

    def check_table(self, table: Runs) -> None:
        """Refuse runs of a single scale too, or of too few cells."""
        several_cells(self.law, table)
        super().check_table(table)

    def design(self, table: Runs, observed: pd.Series | None = None) -> SurfaceDesign:
        """Arrays of runs: see `Likelihood.design`."""
        frame, cells = table.frame, table.cells
        lacks(self.law, table)
        seen = np.ones(len(frame), bool) if observed is None else observed.to_numpy(bool)
        pivot = self.pivot(cells.loc[frame.loc[seen, "cell"].unique()])
        places = _places(frame[seen])
        known = self.levels(table)
        design = SurfaceDesign(
            learning_rate=filled(np.log(frame["learning_rate"].to_numpy())),
            batch_size=filled(np.log(frame["batch_size"].to_numpy())),
            cell=filled(frame["cell"].to_numpy()),
            loss=filled(np.zeros(len(frame))),
            edge=filled(np.full(len(frame), np.inf), np.inf),
            diverged=filled(np.zeros(len(frame))),
            before=filled(readings_before(frame, seen), -1),
            window=np.asarray(self.window * places["loss_sd"]),
            given=self.given_batch_sizes(table, table.frame.groupby("cell").first()).get(GIVEN),
            level={name: level_of(rows, cells, name) for name, rows in known.items()},
            levels={name: np.arange(len(rows)) for name, rows in known.items()},
            task=cells["task"].map(table.tasks.index).to_numpy(),
            tasks=np.arange(len(table.tasks)),
            covariates=self.centred(cells, pivot),
            priors=self.placed_priors(places),
            pivot={name: np.asarray(value) for name, value in pivot.items()},
            present=filled(np.ones(len(frame), bool)),
            observed=filled(seen),
        )
        return self.with_measured(design, {name: frame[name].to_numpy(float) for name in ("loss", "diverged")})

    def model(self, design: SurfaceDesign) -> None:
        """NumPyro model: the losses of a sweep around the optimum of the law."""
        p = self.sample_parameters(design)
        if design.given is not None:
            p[GIVEN] = jnp.asarray(design.given)
        x = design.covariates
        # In the order of the covariates: inside a compiled program dicts are in that of their keys.
        level = {name: design.level[name] for name in self.levelled if name in design.level}
        cells = len(design.task), level, design.levels
        for name in HYPERPARAMETERS:
            p[f"deviation_{name}"] = sample_cells(p, name, *cells)
        with numpyro.plate("cell", len(design.task)):
            for name in SHARPNESS:
                own = half_centred(f"deviation_{name}", p[f"cell_sd_{name}"])
                p[f"deviation_{name}"] = numpyro.deterministic(f"deviation_{name}", own)
        p["cell_optimal_loss"] = sample_cells(p, "optimal_loss", *cells, trend=optimal_loss_trend(p, x))

        law = {name: p[name] for name in (*(q.name for q in self.law.parameter_list), *self.settled(p))}
        law, x_run, shape = _of_runs((law, x, cell_shape(self.law, p, x)), design.cell)
        run = run_loss(self.law, {**p, **law}, x_run, design.learning_rate, design.batch_size, cell=shape)
        lost, seen = jnp.asarray(design.diverged, bool), jnp.asarray(design.observed, bool)
        with numpyro.plate("run", len(design.loss)), numpyro.handlers.mask(mask=seen):
            numpyro.sample("diverged", run.diverged, obs=design.diverged)
            with numpyro.handlers.mask(mask=~lost):
                readings = run.reading(design.edge)
                if "luck_kept" in p:
                    readings = RunReadings(run.location, run.scale, design.edge, design.before, p["luck_kept"])
                numpyro.sample("loss", readings, obs=design.loss)

    def sample_parameters(self, design: SurfaceDesign) -> dict[str, jax.Array]:
        """Values of all parameters inside the model, those that the law settles too."""
        p = super().sample_parameters(design)
        return p | self.settled(p)

    def settled(self, p: Values) -> dict[str, Numbers]:
        """Parameters of the surface that the law settles: see `hyperlaw.models.law.OptimumLaw.settled`."""
        return self.law.settled(p)

    @property
    def shifts(self) -> tuple[Shift, ...]:
        """Those of the trend of the lowest loss: `hyperlaw.models.likelihoods.trend_shifts`."""
        return partial(mean_slopes, self.law), partial(mean_losses, self.law)

    def beyond(self, p: Values, design: SurfaceDesign) -> dict[str, jax.Array]:
        """Best learning rate, and batch size where the law has one, beyond the runs: see `Likelihood.beyond`."""
        law, x = self.law, self.scales_beyond(design)
        batch = law.log_batch_size(p, x) if "batch_size" in law.predicts else jnp.mean(design.batch_size)
        return {f"{name} beyond": law.log_value(name, p, x, batch) + drift(p, name, x) for name in law.predicts}

    def edges(self, table: Runs) -> np.ndarray:
        """From where on the loss of each run is read as "at least so bad", nats, shape (run,)."""
        frame = table.frame
        return edges(frame, self.window * reach(frame))

    def measured(self, design: SurfaceDesign) -> Arrays:
        """Loss (0 where diverged), read at the edge, and divergence of every run."""
        return {"loss": design.loss, "diverged": design.diverged}

    def outcomes(self, values: Arrays) -> Arrays:
        """Loss of every run, read at the edge, and missing where the run diverged."""
        return {"loss": np.where(values["diverged"] == 1, np.nan, values["loss"])}

    def outcome_densities(self, densities: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """Log density of a run: of its divergence and, where it did not diverge, of its loss."""
        return {"loss": densities["diverged"] + densities["loss"]}

    def to_simulate(self, design: SurfaceDesign) -> SurfaceDesign:
        """The design without edges: what is drawn from it is a loss, not a reading."""
        return design._replace(edge=np.full_like(design.edge, np.inf))

    def with_measured(self, design: SurfaceDesign, values: Arrays) -> SurfaceDesign:
        """The design with other losses and divergences; the edges are theirs."""
        loss, lost = values["loss"][: design.present.sum()], values["diverged"][: design.present.sum()] == 1
        cell = design.cell[: len(loss)]
        edge = edges(pd.DataFrame({"cell": cell, "loss": np.where(lost, np.nan, loss)}), float(design.window))
        read = np.where(lost, 0.0, np.minimum(loss, edge))
        return design._replace(loss=filled(read), edge=filled(edge, np.inf), diverged=filled(lost.astype(float)))

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
                | interval_columns(present(loss[..., inside]), 0, prefix="prior_")
                | {"lowest_seen": seen.min(), "highest_seen": seen.max()}
            )
        return pd.DataFrame(rows)

    def cell_labels(self, table: Runs, design: SurfaceDesign) -> list[str]:
        """Task, where there are several, and scales of each cell."""
        return row_labels(table.cells, table.scales)

    def needs_at(self, table: Runs) -> tuple[str, ...]:
        """The law's covariates; where each cell tried a single batch size, and not all the same, that of the target."""
        several = self.given(table) and table.frame["batch_size"].nunique() > 1
        return (*self.law.covariates, *(["batch_size"] if several else []))

    def given(self, table: Runs) -> bool:
        """Whether the batch size is taken as given: no cell tried several, and the law does not compare cells."""
        return not self.law.says_loss and bool((table.frame.groupby("cell")["batch_size"].nunique() == 1).all())

    def given_batch_sizes(self, table: Runs, rows: pd.DataFrame) -> Arrays:
        """Natural log of each row's batch size where it is given; the table's where it has one alone."""
        if not self.given(table):
            return {}
        only = table.frame["batch_size"].iloc[0]
        sizes = rows["batch_size"].to_numpy(float) if "batch_size" in rows else np.full(len(rows), only)
        return {GIVEN: np.log(sizes)}

    def draw_cell(self, p: Draws, x: Values, rng: np.random.Generator, cells: np.ndarray) -> Arrays:
        """Parameters of new cells, with their own deviations and lowest loss: see `Likelihood.draw_cell`."""
        shape = (*np.shape(p["noise"])[:-1], int(cells.max()) + 1)
        own = {n: p[f"cell_sd_{n}"] * rng.standard_normal(shape)[..., cells] for n in (*SHARED, *SHARPNESS)}
        moved = own | {name: own[name] + self.level_deviation(p, name) for name in SHARED}
        with jax.enable_x64(True):
            lowest = np.asarray(optimal_loss_trend(p, x)) + moved.pop("optimal_loss")
        return {**p, **{f"deviation_{name}": value for name, value in moved.items()}, "cell_optimal_loss": lowest}

    def optimum(self, p: Draws, x: Values) -> Arrays:
        """Best learning rate and batch size (natural logs) of a cell, and its lowest loss (nats)."""
        with jax.enable_x64(True):
            rate, batch = map(np.asarray, _optimum(self.law.bare, dict(p), dict(x)))
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
            return RunLoss(*map(np.asarray, _run_loss(self.law.bare, wide, along, log_learning_rate, log_batch_size)))


# Compiled whole: one by one their operations would each be compiled.
_run_loss = jax.jit(run_loss, static_argnums=0)


@partial(jax.jit, static_argnums=0)
def _optimum(law: OptimumLaw, p: Values, x: Values) -> tuple[jax.Array, jax.Array]:
    batch = best_batch_size(law, p, x)
    return best_learning_rate(law, p, x, batch), batch


def _of_runs[T](of_cells: T, cell: np.ndarray) -> T:
    """What cells have, for each run: numbers stay, arrays of one entry a cell become arrays of one entry a run."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[cell] if jnp.ndim(leaf) else leaf, of_cells)


def readings_before(frame: pd.DataFrame, seen: np.ndarray) -> np.ndarray:
    """Position of the reading before each, of the same run; -1 for the first, or where that is not `seen` or diverged.

    Columns as in `Runs.frame`. Without the column `run` every row is a run of its own.
    """
    before = np.full(len(frame), -1)
    if "run" in frame:
        rows = frame.reset_index(drop=True)
        rows = rows[seen & ~rows["diverged"].to_numpy()].sort_values(["run", "data"], kind="stable")
        follows = rows["run"].to_numpy()[1:] == rows["run"].to_numpy()[:-1]
        before[rows.index[1:][follows]] = rows.index[:-1][follows]
    return before


def reach(frame: pd.DataFrame) -> float:
    """A window of 1, in nats: the spread of the cells' lowest losses. Rows as in `Runs.frame`."""
    lowest = frame[~frame["diverged"]].groupby("cell")["loss"].min()
    return max(float(lowest.std()) if len(lowest) > 1 else 0.0, LEAST_LOSS_SPREAD)


def edges(frame: pd.DataFrame, window: float) -> np.ndarray:
    """Edge of each run, nats: `window` above the lowest loss of its cell. Columns `cell` and `loss`, NaN if diverged.

    Chosen by the runs below it, an edge leaves the likelihood what it would be with one that was set beforehand.
    """
    return (frame.groupby("cell")["loss"].transform("min") + window).fillna(np.inf).to_numpy(float)


def _places(frame: pd.DataFrame) -> dict[str, float]:
    """Where priors that are relative to the sweep lie: the middle of the grid, the cells' lowest losses."""
    lowest = frame[~frame["diverged"]].groupby("cell")["loss"].min()
    middle = {name: float(np.median(np.unique(np.log(frame[name])))) for name in HYPERPARAMETERS}
    return middle | {"loss": float(lowest.mean()), "loss_sd": reach(frame)}
