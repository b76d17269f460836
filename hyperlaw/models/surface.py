"""The loss surface of a cell: how the losses of `Runs` scatter around a law's optimum.

For run i of cell c, with u and v the natural-log distances of its learning rate and batch size from the
best ones (of the cell: the law's plus the cell's own deviation):

    loss_i ~ StudentT(tail, floor_c + excess_i, sqrt(noise^2 + (noise_growth excess_i)^2))
    excess = x / (1 + x / saturation),   x = k_eta g(u, skew_eta) + k_B g(v, skew_B)
    g(u, s) = 2 (exp(s u) - s u - 1) / s^2,   u^2 as s -> 0

and floor_c is scattered around a trend that falls with every covariate as in Chinchilla's loss (arXiv
2203.15556), written by its slope at the pivot: with falls f_N and f_D from the pivot,

    floor = floor_0 - f_N - f_D + coupling f_N f_D
    d f_x / d ln x = slope_x exp(-exponent_x ln x - bend_x (ln x)^2 / 2)

Chinchilla has neither coupling nor bend. Kaplan's form (arXiv 2001.08361) has a negative coupling: a larger model gains
more from data. The bend is there because the trend is extrapolated, and a pure power law is sure of how it levels off
when it should not be. A run diverges with a probability that rises with u.
Everything here is a pure function; the model only samples and calls them.
"""

from itertools import combinations
from math import log

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from hyperlaw.models.design import Design
from hyperlaw.models.law import Law, Parameter, Values
from hyperlaw.models.pooled import sample_parameters
from hyperlaw.models.prior import AtBestLoss, InLossSpread, PerBestLoss

_WIDE = "unit and location only; the losses say the rest"
_NODES, _WEIGHTS = (a.tolist() for a in np.polynomial.legendre.leggauss(12))  # on -1 to 1


def surface_parameters(covariates: tuple[str, ...]) -> tuple[Parameter, ...]:
    """Parameters of the loss surface that every law shares."""
    fixed = (
        Parameter("floor", "lowest loss at the pivot", "nats", AtBestLoss(3.0), _WIDE, spread=0.3),
        Parameter(
            "floor_spread", "scatter of cells' lowest losses around their trend", "nats", InLossSpread(0.05, 0.5),
            "off zero; 0.003 nats where scale makes differences of 0.1 (recomputed on 2503.04715)",
        ),
        Parameter(
            "sharpness_learning_rate", "rise of the loss with squared ln distance from eta*, at the pivot", "nats",
            InLossSpread(0.2, 1.2), _WIDE, spread=0.2,
        ),
        Parameter(
            "sharpness_batch_size", "rise of the loss with squared ln distance from B*, at the pivot", "nats",
            InLossSpread(0.2, 1.2), _WIDE, spread=0.2,
        ),
        Parameter(
            "skew_learning_rate", "how much faster the loss rises above eta*", "", dist.Gamma(2.0, 3.0),
            "from a parabola (0) past 0.9 on a published sweep (2503.04715); too high is worse than too low",
        ),
        Parameter(
            "skew_batch_size", "how much faster the loss rises above B* than below", "", dist.Normal(0, 0.3),
            "about 0 on the same sweep",
        ),
        Parameter(
            "saturation", "excess loss that no setting exceeds", "nats", InLossSpread(5.0, 1.0),
            "a run cannot do worse than not to learn",
        ),
        Parameter("noise", "scatter of a run's loss at the optimum", "nats", InLossSpread(0.02, 1.0), _WIDE),
        Parameter(
            "noise_growth", "scatter as a share of the excess loss", "", dist.LogNormal(log(0.2), 0.5),
            "0.2 on a published sweep (2503.04715)",
        ),
        Parameter(
            "tail", "degrees of freedom of the scatter", "", dist.Gamma(4.0, 0.5),
            "between heavy tails (2) and nearly normal (20)",
        ),
        Parameter(
            "spread_learning_rate", "a cell's own deviation from the law's learning rate", "ln",
            dist.LogNormal(log(0.15), 0.6), "off zero; half a grid step of published sweeps",
        ),
        Parameter(
            "spread_batch_size", "a cell's own deviation from the law's batch size", "ln",
            dist.LogNormal(log(0.15), 0.6), "off zero; half a grid step of published sweeps",
        ),
        Parameter(
            "cliff", "distance above eta* at which half of the runs diverge", "ln", dist.LogNormal(log(3.0), 0.6),
            "a factor of 6 to 150: grids reach it seldom", spread=0.2,
        ),
        Parameter(
            "cliff_width", "distance over which divergence sets in", "ln", dist.LogNormal(log(0.4), 0.6),
            "about an octave",
        ),
    )  # fmt: skip
    coupling = Parameter(
        "floor_coupling", "how much more one covariate lowers the loss where another is large", "1 / nats",
        PerBestLoss(-4.5, 4.0), "0 in Chinchilla's form (2203.15556), -8.7 / loss in Kaplan's (2001.08361)",
    )  # fmt: skip
    several = (coupling,) if len(covariates) > 1 else ()
    return fixed + several + tuple(p for name in covariates for p in _covariate_parameters(name))


def _covariate_parameters(name: str) -> tuple[Parameter, ...]:
    return (
        Parameter(
            f"floor_slope_{name}", f"fall of the lowest loss with ln {name}, at the pivot", "nats",
            InLossSpread(0.5, 1.0), _WIDE, spread=0.2,
        ),
        Parameter(
            f"floor_exponent_{name}", f"exponent with which that fall levels off in {name}", "",
            dist.LogNormal(log(0.25), 0.6), "published 0.28 to 0.37 (2203.15556, 2404.10102)",
        ),
        Parameter(
            f"floor_bend_{name}", f"growth of that exponent with ln {name}", "", dist.Normal(0, 0.1),
            "0 for a pure power law; over an octave the exponent may change by a quarter of itself",
        ),
        Parameter(
            f"sharpness_rate_exponent_{name}", f"exponent of the learning-rate sharpness with {name}", "",
            dist.Normal(-0.2, 0.2), "falls with horizon (2410.05838)", spread=0.1,
        ),
        Parameter(
            f"sharpness_batch_exponent_{name}", f"exponent of the batch-size sharpness with {name}", "",
            dist.Normal(-0.2, 0.2), "as for the learning rate", spread=0.1,
        ),
    )  # fmt: skip


def bowl(u: jax.Array, skew: jax.Array) -> jax.Array:
    """Skewed bowl g(u, s): zero at 0, u^2 for small s u, rising faster on the side of the sign of s."""
    t = jnp.clip(skew * u, -50.0, 50.0)
    small = jnp.abs(t) < 1e-2
    safe = jnp.where(small, 1.0, t)
    shape = jnp.where(small, 1 + t / 3 + t**2 / 12, 2 * (jnp.expm1(safe) - safe) / safe**2)
    return u**2 * shape


def _fall(slope: jax.Array, exponent: jax.Array, bend: jax.Array, x: jax.Array) -> jax.Array:
    """Integral of slope exp(-exponent t - bend t^2 / 2) over t from 0 to x, by Gauss-Legendre quadrature."""
    rate = jnp.exp(_log_rate(exponent, bend, jnp.asarray(x)[..., None] * _unit_nodes()))
    return slope * x / 2 * jnp.sum(jnp.array(_WEIGHTS) * rate, axis=-1)


def _log_rate(exponent: jax.Array, bend: jax.Array, t: jax.Array) -> jax.Array:
    """Natural log of the slope of the floor at t, the last axis, over that at the pivot."""
    return -jnp.asarray(exponent)[..., None] * t - jnp.asarray(bend)[..., None] * t**2 / 2


def _unit_nodes() -> jax.Array:
    """Nodes of the quadrature, on 0 to 1."""
    # A list becomes an array here, in the precision of the caller: a constant array would keep that of the first.
    return (jnp.array(_NODES) + 1) / 2


def floor_trend(p: Values, x: Values) -> jax.Array:
    """Lowest loss of a cell by the trend, in nats."""
    falls = [
        _fall(p[f"floor_slope_{name}"], p[f"floor_exponent_{name}"], p[f"floor_bend_{name}"], x[name]) for name in x
    ]
    coupled = sum(a * b for a, b in combinations(falls, 2))
    return p["floor"] - sum(falls) + (p["floor_coupling"] * coupled if len(falls) > 1 else 0.0)


def mean_falls(p: Values, design: Design) -> dict[str, jax.Array]:
    """Log of the floor's mean slope over the range of the observed cells, over that at the pivot, by slope.

    The losses pin the mean; the slope at the pivot only together with exponent and bend, along a curved ridge where a
    covariate has few values. So the sampler moves in the mean (see `Law.shifts`).
    """
    seen = jnp.zeros(len(design.task)).at[design.cell].max(design.observed) > 0
    shifts: dict[str, jax.Array] = {}
    for name, x in design.covariates.items():
        low, high = jnp.min(x, where=seen, initial=jnp.inf), jnp.max(x, where=seen, initial=-jnp.inf)
        rate = _log_rate(p[f"floor_exponent_{name}"], p[f"floor_bend_{name}"], low + (high - low) * _unit_nodes())
        mean = jax.nn.logsumexp(rate, axis=-1, b=jnp.array(_WEIGHTS) / 2)
        shifts |= {f"floor_slope_{name}": mean, f"floor_slope_{name}_task": mean}
    return shifts


def best_batch_size(law: Law, p: Values, x: Values) -> jax.Array:
    """Natural log of a cell's best batch size: the law's, plus the cell's own deviation."""
    return law.log_batch_size(p, x) + p["deviation_batch_size"]


def best_learning_rate(law: Law, p: Values, x: Values, log_batch_size: jax.Array) -> jax.Array:
    """Natural log of a cell's best learning rate at a given batch size.

    A deviation of the cell's batch size shifts the whole ridge along it.
    """
    shifted = log_batch_size - p["deviation_batch_size"]
    return law.log_learning_rate(p, x, shifted) + p["deviation_learning_rate"]


def excess_loss(
    law: Law, p: Values, x: Values, log_learning_rate: jax.Array, log_batch_size: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Excess of the loss over the cell's lowest, in nats, and ln distance above the best learning rate."""
    u = log_learning_rate - best_learning_rate(law, p, x, log_batch_size)
    v = log_batch_size - best_batch_size(law, p, x)
    rate = p["sharpness_learning_rate"] * jnp.exp(sum(p[f"sharpness_rate_exponent_{c}"] * x[c] for c in x))
    batch = p["sharpness_batch_size"] * jnp.exp(sum(p[f"sharpness_batch_exponent_{c}"] * x[c] for c in x))
    raw = rate * bowl(u, p["skew_learning_rate"]) + batch * bowl(v, p["skew_batch_size"])
    return raw / (1 + raw / p["saturation"]), u


def divergence_logit(p: Values, u: jax.Array) -> jax.Array:
    """Log-odds that a run at ln distance `u` above the best learning rate diverges."""
    return (u - p["cliff"]) / p["cliff_width"]


def noise_scale(p: Values, excess: jax.Array) -> jax.Array:
    """Scale of the scatter of a run's loss, in nats."""
    return jnp.sqrt(p["noise"] ** 2 + (p["noise_growth"] * excess) ** 2)


def surface_model(law: Law, design: Design) -> None:
    """NumPyro model: the losses of a sweep around the optimum of `law`."""
    p = sample_parameters(law, design, design.task, len(design.tasks))
    x = design.covariates
    with numpyro.plate("cell", len(design.task)):
        for name in ("learning_rate", "batch_size"):
            # Half-centred: between the form that mixes with many runs a cell and the one that mixes with few.
            root = jnp.sqrt(p[f"spread_{name}"])
            half = numpyro.sample(f"half_deviation_{name}", dist.Normal(0, root))
            p[f"deviation_{name}"] = numpyro.deterministic(f"deviation_{name}", root * half)
        # Centred on its trend: the losses of a cell pin its floor, and the non-centred form does not mix.
        floor = numpyro.sample("cell_floor", dist.Normal(floor_trend(p, x), p["floor_spread"]))

    of_run = {name: value[design.cell] if jnp.ndim(value) else value for name, value in p.items()}
    x_run = {name: value[design.cell] for name, value in x.items()}
    excess, u = excess_loss(law, of_run, x_run, design.learning_rate, design.batch_size)
    lost, seen = jnp.asarray(design.diverged, bool), jnp.asarray(design.observed, bool)
    with numpyro.plate("run", len(design.loss)), numpyro.handlers.mask(mask=seen):
        numpyro.sample("diverged", dist.Bernoulli(logits=divergence_logit(of_run, u)), obs=design.diverged)
        with numpyro.handlers.mask(mask=~lost):
            scatter = dist.StudentT(p["tail"], floor[design.cell] + excess, noise_scale(of_run, excess))
            numpyro.sample("loss", scatter, obs=design.loss)
