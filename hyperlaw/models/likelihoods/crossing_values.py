"""`CrossingValues`: how the rows of `Crossings` scatter around a law.

As `MeasuredValues`; rows that differ in the threshold alone come from the same training curves, and share a deviation:

    ln data_i ~ t4(... + deviation_cell, sqrt(error_i^2 + residual_sd^2)),   deviation_cell ~ Normal(0, cell_sd)
"""

from math import log

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist

from hyperlaw.models.law import Values
from hyperlaw.models.likelihoods.base import Arrays, Draws
from hyperlaw.models.likelihoods.deviations import half_centred
from hyperlaw.models.likelihoods.measured_values import MeasuredValues, ValuesDesign
from hyperlaw.models.parameter import Parameter


class CrossingValues(MeasuredValues):
    """Data needed to reach thresholds, several of them read from the same curves."""

    kinds = ("crossings",)

    @property
    def scatter_parameters(self) -> tuple[Parameter, ...]:
        """Scale of the residuals, and of what the rows of one cell share."""
        cell = Parameter(
            "cell_sd", "a cell's own deviation from the law, shared by its thresholds", "ln",
            dist.LogNormal(log(0.1), 0.7), "off zero; its rows come from the same training curves", is_scale=True,
        )  # fmt: skip
        return (*super().scatter_parameters, cell)

    def sample_deviation(self, p: dict[str, jax.Array], design: ValuesDesign) -> jax.Array:
        """Own deviation of each row's cell from the law, inside the model."""
        with numpyro.plate("cell", len(design.cells)):
            own = numpyro.deterministic("deviation_cell", half_centred("deviation_cell", p["cell_sd"]))
            return own[design.cell]

    def draw_cell(self, p: Draws, x: Values, rng: np.random.Generator, cells: np.ndarray) -> Arrays:
        """Parameters of new cells, with the deviation that their rows share."""
        shape = (*np.shape(p["cell_sd"])[:-1], int(cells.max()) + 1)
        return {**p, "deviation_cell": p["cell_sd"] * rng.standard_normal(shape)[..., cells]}
