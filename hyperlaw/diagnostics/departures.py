"""How a sweep departs from the law that is fitted to it: levels off a power law, and two recipes in one task.

Deviations and drift widen the intervals where a sweep departs from its law. That keeps them honest, but says nothing:
each function here returns the value of one check of `hyperlaw.diagnostics.check`. It takes the fitted cells, as
`hyperlaw.inference.cells.fitted_cells` returns them.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from hyperlaw.data.runs import Runs
from hyperlaw.inference.posterior import Posterior
from hyperlaw.models.law import OptimumLaw, Values
from hyperlaw.models.likelihoods.base import Arrays
from hyperlaw.models.likelihoods.deviations import drift
from hyperlaw.models.likelihoods.surface import run_loss

# Of two recipes: ln learning rate of each from their middle; and by what share of the fitted noise, and of its growth,
# runs scatter around their own recipe. The fit has laid to noise what the recipes differ by.
APART = (0.2, 0.35, 0.5, 0.7)
SCATTER = ((1.0, 1.0), (0.5, 1.0), (0.5, 0.75), (0.5, 0.5), (0.25, 0.5), (0.25, 0.25))


def off_the_law(posterior: Posterior, cells: tuple[Arrays, Arrays], name: str) -> float:
    """Rank among sweeps of the prior of how far the levels of a scale lie off a power law; 0 to 1.

    What a cell strays by (drift of exponents, deviations of its levels, and its own), less a power law in every scale,
    is averaged over the cells of each level. Two sizes of it are looked at: the root mean square over levels, and the
    part that bends with the square of the log. The rank of either is the share of sweeps drawn from the prior in which
    it is smaller than its posterior median. The largest, over both and the hyperparameters that the law predicts.
    """
    runs, ranks, (p, x) = posterior.runs, [], cells
    rng = posterior.rng("check", "off the law", name)
    for quantity in posterior.law.predicts:
        strayed = p[f"deviation_{quantity}"] + drift(p, quantity, x)
        for seen, drawn in zip(
            _off_a_power_law(strayed, runs, x, name),
            _off_a_power_law(_strayed_by_prior(posterior, quantity, x, rng), runs, x, name),
            strict=True,
        ):
            ranks.append(float((drawn < np.median(seen)).mean()))
    return max(ranks)


def _strayed_by_prior(posterior: Posterior, quantity: str, x: Values, rng: np.random.Generator) -> np.ndarray:
    """What the fitted cells would stray by, by the prior, shape (draw, cell)."""
    cells, group = posterior.runs.cells, posterior.group("prior")
    prior = {str(n): values.values.reshape(-1, 1) for n, values in group.items() if values.ndim == 2}
    draws = len(prior[f"cell_sd_{quantity}"])
    total = prior[f"cell_sd_{quantity}"] * rng.standard_normal((draws, len(cells))) + drift(prior, quantity, x)
    for scale in posterior.likelihood.levels(posterior.runs):
        level = cells.groupby(["task", scale]).ngroup().to_numpy()
        total += (prior[f"{scale}_sd_{quantity}"] * rng.standard_normal((draws, level.max() + 1)))[:, level]
    return total


def _off_a_power_law(strayed: np.ndarray, runs: Runs, x: Values, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Root mean square over the levels of a scale of what is left beside a power law, and its bend, of every draw."""
    cells = runs.cells
    straight = np.column_stack([(cells["task"] == task).to_numpy(float) for task in runs.tasks] + list(x.values()))
    square = _left(np.asarray(x[name])[:, None] ** 2, straight)[:, 0]
    left = _left(np.moveaxis(strayed, -1, 0).reshape(len(cells), -1), straight)
    level = cells.groupby(["task", name]).ngroup().to_numpy()
    means = np.stack([left[level == one].mean(axis=0) for one in np.unique(level)])
    return np.sqrt((means**2).mean(axis=0)), np.abs(square @ left)


def _left(values: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """What a linear regression of each column of `values` leaves."""
    return values - columns @ np.linalg.lstsq(columns, values)[0]


def two_recipes(posterior: Posterior, cells: tuple[Arrays, Arrays]) -> float:
    """Nats that runs gain when each may follow either of two recipes, whose best learning rates lie apart.

    At the posterior medians of the cells, and the best of a few distances and of what is then left of the scatter; a
    single recipe may have less scatter too. Runs of one recipe lose by it: between the two there is no way.
    """
    runs, (p, x) = posterior.runs, cells
    frame, edge = runs.frame, posterior.surface.edges(runs)
    alive = ~frame["diverged"].to_numpy()
    cell = frame["cell"].to_numpy()[alive]
    middle = {name: np.median(values, axis=(0, 1))[cell] for name, values in p.items()}
    along = {name: np.asarray(values)[cell] for name, values in x.items()}
    rate, batch, loss = (frame[name].to_numpy(float)[alive] for name in ("learning_rate", "batch_size", "loss"))
    settings = np.log(rate), np.log(batch)
    with jax.enable_x64(True):
        read = np.minimum(loss, edge[alive])
        one, *two = np.asarray(
            _log_densities(posterior.surface.law.bare, middle, along, settings, loss=read, edge=edge[alive])
        )
    return float(np.max(two) - np.max(one))


@partial(jax.jit, static_argnums=0)
def _log_densities(
    law: OptimumLaw, p: Values, x: Values, settings: tuple[np.ndarray, ...], *, loss: np.ndarray, edge: np.ndarray
) -> jax.Array:
    """Log density of all runs, shape (distance of the recipes, 0 first; share of the scatter)."""
    rate, batch = settings

    def of_all(apart: jax.Array, share: jax.Array) -> jax.Array:
        scatter = {"noise": p["noise"] * share[0], "noise_growth": p["noise_growth"] * share[1]}
        lower, upper = (
            run_loss(law, {**p, **scatter}, x, rate + off, batch).reading(edge).log_prob(loss)
            for off in (-apart, apart)
        )
        return (jnp.logaddexp(lower, upper) - jnp.log(2)).sum()

    shares = jax.vmap(of_all, (None, 0))
    return jax.vmap(shares, (0, None))(jnp.array((0.0, *APART)), jnp.array(SCATTER))
