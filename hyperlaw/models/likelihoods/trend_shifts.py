"""Coordinates in which the sampler moves over the trend of the lowest loss: its means over the observed cells.

Losses pin the mean slope of the trend, and its mean. Level and slope at the pivot they pin together with exponent and
bend alone, along curved ridges, where a covariate has few values; and the more tasks share an exponent, the narrower
those are. So the sampler moves in the means.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from hyperlaw.models.law import Numbers, OptimumLaw, Values
from hyperlaw.models.likelihoods.surface import log_mean_slope, together, unit_fall
from hyperlaw.models.likelihoods.surface_design import SurfaceDesign


def mean_slopes(law: OptimumLaw, p: Values, design: SurfaceDesign) -> dict[str, jax.Array]:
    """Log of the trend's mean slope over the range of the observed cells, over that at the pivot, by slope."""
    p = _settled(law, p, design, [f"optimal_loss_slope_{name}" for name in design.covariates])
    seen = _observed(design)
    shifts: dict[str, jax.Array] = {}
    for name, x in design.covariates.items():
        low, high = jnp.min(x, where=seen, initial=jnp.inf), jnp.max(x, where=seen, initial=-jnp.inf)
        mean = log_mean_slope(p, name, low, high)
        shifts |= {f"optimal_loss_slope_{name}{of}": mean for of in ("", "_task")}
    return shifts


def mean_losses(law: OptimumLaw, p: Values, design: SurfaceDesign) -> dict[str, jax.Array]:
    """Minus what the trend falls by from the pivot to the mean of the observed cells, nats; to its own, of each task.

    Of the fall in each covariate the mean is taken, and not of what they are together.
    """
    p = _settled(law, p, design, [])
    seen, tasks = _observed(design).astype(float), len(design.tasks)
    units = {name: seen * unit_fall(p, name, x) for name, x in design.covariates.items()}

    def by_task(values: jax.Array) -> jax.Array:
        return jnp.zeros(tasks).at[design.task].add(values)

    def shift(of: str, total: Callable[[jax.Array], jax.Array]) -> Numbers:
        slopes = {name: p.get(f"optimal_loss_slope_{name}{of}", p[f"optimal_loss_slope_{name}"]) for name in units}
        cells = jnp.maximum(total(seen), 1.0)
        return -together(p, [slopes[name] * total(unit) / cells for name, unit in units.items()])

    shifts = {"optimal_loss": shift("", jnp.sum)}
    return shifts | ({"optimal_loss_task": shift("_task", by_task)} if tasks > 1 else {})


def _settled(law: OptimumLaw, p: Values, design: SurfaceDesign, shifted: Sequence[str]) -> Values:
    """Values with those that the law settles, from prior means of what is shifted: no shift may depend on that."""
    means = {name: design.priors[name].mean for name in ("optimal_loss", *shifted) if name in design.priors}
    return {**p, **law.settled({**p, **means})}


def _observed(design: SurfaceDesign) -> jax.Array:
    """Which cells have rows that condition the model, shape (cell,)."""
    return jnp.zeros(len(design.task)).at[design.cell].max(design.observed) > 0
