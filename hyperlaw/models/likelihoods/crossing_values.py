"""`CrossingValues`: how the rows of `Crossings` scatter around a law.

As `MeasuredValues`; rows that differ in the threshold alone come from the same training curves, and share a deviation:

    ln data_i ~ t4(... + deviation_cell, sqrt(error_i^2 + residual_sd^2)),   deviation_cell ~ Normal(0, cell_sd)

Where a law has a parameter by threshold, such as an exponent, that of threshold J is exponent exp(deviation_J), with
deviation_J ~ Normal(0, exponent_threshold_sd), in all tasks alike. A threshold that was not fitted has one drawn.
"""

from math import log

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd

from hyperlaw.data.table import Table
from hyperlaw.models.law import Values
from hyperlaw.models.likelihoods.base import Arrays, Draws, filled
from hyperlaw.models.likelihoods.deviations import half_centred
from hyperlaw.models.likelihoods.measured_values import MeasuredValues, ValuesDesign
from hyperlaw.models.parameter import Parameter


class CrossingValues(MeasuredValues):
    """Data needed to reach thresholds, several of them read from the same curves."""

    kinds = ("crossings",)

    @property
    def scatter_parameters(self) -> tuple[Parameter, ...]:
        """Scale of the residuals, of what the rows of one cell share, and of what thresholds have of their own."""
        cell = Parameter(
            "cell_sd", "a cell's own deviation from the law, shared by its thresholds", "ln",
            dist.LogNormal(log(0.1), 0.7), "off zero; its rows come from the same training curves", is_scale=True,
        )  # fmt: skip
        own = tuple(
            Parameter(
                f"{name}_threshold_sd", f"how far the {name} of single thresholds lies from that of all", "ln",
                dist.LogNormal(log(0.1), 0.7), "off zero; those of ten thresholds scatter by a tenth, "
                "errors included (recomputed from 2502.04327)", is_scale=True,
            )
            for name in self.law.by_threshold
        )  # fmt: skip
        return (*super().scatter_parameters, cell, *own)

    def design(self, table: Table, observed: pd.Series | None = None) -> ValuesDesign:
        """Arrays of crossings: see `Likelihood.design`."""
        design = super().design(table, observed)
        if not self.law.by_threshold:
            return design
        known = self.thresholds(table)
        place = np.searchsorted(known, table.frame["threshold"].to_numpy(float))
        return design._replace(threshold=filled(place), thresholds=np.arange(len(known)))

    def thresholds(self, table: Table) -> np.ndarray:
        """Thresholds of which the law has parameters of their own, ascending; none where it has no such parameter."""
        return np.unique(table.frame["threshold"].to_numpy(float)) if self.law.by_threshold else np.zeros(0)

    def level_labels(self, table: Table) -> dict[str, list[str]]:
        """Those of levels, and of thresholds that have parameters of their own."""
        own = {"threshold_level": [f"{one:.15g}" for one in self.thresholds(table)]} if self.law.by_threshold else {}
        return super().level_labels(table) | own

    def sample_parameters(self, design: ValuesDesign) -> dict[str, jax.Array]:
        """Values of all parameters inside the model, by row where tasks or thresholds differ."""
        p = super().sample_parameters(design)
        for name in self.law.by_threshold:
            with numpyro.plate("threshold_level", len(design.thresholds)):
                deviation = half_centred(f"{name}_threshold", p[f"{name}_threshold_sd"])
                own = numpyro.deterministic(f"{name}_threshold", jnp.exp(deviation))
            p[name] = p[name] * own[design.threshold]
        return p

    def of_thresholds(self, p: Draws, own: Draws, table: Table, rows: pd.DataFrame, rng: np.random.Generator) -> Draws:
        """Parameters that each threshold has its own of; rows of one that was not fitted share what is drawn."""
        known, asked = self.thresholds(table), rows["threshold"].to_numpy(float)
        every = np.concatenate([known, np.setdiff1d(asked, known)])
        where = (asked[:, None] == every).argmax(axis=1)
        found = {}
        for name in self.law.by_threshold:
            sd = own[f"{name}_threshold_sd"][..., None]
            new = np.exp(sd * rng.standard_normal((*sd.shape[:-1], len(every) - len(known))))
            found[name] = p[name] * np.concatenate([own[f"{name}_threshold"], new], axis=-1)[..., where]
        return found

    def sample_deviation(self, p: dict[str, jax.Array], design: ValuesDesign) -> jax.Array:
        """Own deviation of each row's cell from the law, inside the model."""
        with numpyro.plate("cell", len(design.cells)):
            own = numpyro.deterministic("deviation_cell", half_centred("deviation_cell", p["cell_sd"]))
            return own[design.cell]

    def draw_cell(self, p: Draws, x: Values, rng: np.random.Generator, cells: np.ndarray) -> Arrays:
        """Parameters of new cells, with the deviation that their rows share."""
        shape = (*np.shape(p["cell_sd"])[:-1], int(cells.max()) + 1)
        return {**p, "deviation_cell": p["cell_sd"] * rng.standard_normal(shape)[..., cells]}
