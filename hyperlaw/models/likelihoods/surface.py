"""The loss surface of a cell: its parameters, and pure functions of them.

For run i of cell c, with u and v the natural-log distances of its learning rate and batch size from the
best ones (the law's, with drift and the deviations of the cell, see `hyperlaw.models.likelihoods.deviations`):

    loss_i ~ t4(L_c + excess_i, sqrt(noise^2 + (noise_growth excess_i)^2))
    excess = k_eta g(u, skew_eta) + k_B g(v, skew_B)
    g(u, s) = 2 (exp(s u) - s u - 1) / s^2,   u^2 as s -> 0

where the sharpness k of either is a power law of the covariates times exp(deviation) of the cell,
and the optimal loss L_c of a cell is scattered around a trend that falls with every covariate as in Chinchilla's loss
(arXiv 2203.15556), written by its slope at the pivot: with falls f_N and f_D from the pivot,

    L = L_0 - f_N - f_D + coupling f_N f_D
    d f_x / d ln x = slope_x exp(-exponent_x t + early_x (ln 2 - softplus(-t)) - bend_x t^2 / 2),   t = ln x

Chinchilla has neither coupling nor what follows the exponent. Kaplan's form (arXiv 2001.08361) has a negative coupling:
a larger model gains more from data. Early in training the loss falls by another law than later: where x grows in
training, the exponent is lower by `early` at small x, and within about an e-fold of the pivot it returns to the one
that holds from there on (`early` is 0 for the others). The bend is there because a pure power law is sure of how the
trend levels off when it should not be. A run diverges with a probability that rises with u.

The bowl holds near the optimum alone. Far from it runs are damaged rather than mistuned, and lose what no bowl
describes: a loss further than a window above the lowest of its cell is read as its edge, "at least so bad".

Where no cell tried several batch sizes, none is best: v is 0, and the law is one of the learning rate at the batch size
that was used.

A law that says the loss at every batch size settles some of these parameters by its own (`OptimumLaw.settled`), the
bowl over batch sizes on either side of the best one (`two_sided`) among them.
"""

from collections.abc import Sequence
from itertools import combinations
from math import log
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from hyperlaw.data.vocabulary import HYPERPARAMETERS
from hyperlaw.models.law import Numbers, OptimumLaw, Values
from hyperlaw.models.likelihoods.censored_student_t import CensoredStudentT
from hyperlaw.models.likelihoods.deviations import (
    ALONG_TRAINING,
    LEVEL_SD,
    drift,
    drift_parameters,
    level_parameters,
)
from hyperlaw.models.parameter import Parameter
from hyperlaw.models.prior import AtBestLoss, InLossSpread, PerBestLoss, Prior

# Natural log of the batch size of a cell, where no cell tried several.
GIVEN = "given_batch_size"
# Where a law says it: how much faster the loss rises below B*, so that `skew_batch_size` is of the side above alone.
BELOW = "skew_small_batch"
_WIDE = "unit and location only; the losses say the rest"
# What cells of one level share: unit and prior of its scale.
SHARED: dict[str, tuple[str, Prior]] = {
    "learning_rate": ("ln", LEVEL_SD), "batch_size": ("ln", LEVEL_SD),
    "optimal_loss": ("nats", InLossSpread(0.03, 0.5)),
}  # fmt: skip
# What a cell strays by alone, whatever others of its level do.
SHARPNESS = tuple(f"sharpness_{name}" for name in HYPERPARAMETERS)
_NODES, _WEIGHTS = (a.tolist() for a in np.polynomial.legendre.leggauss(12))  # on -1 to 1


LUCK = Parameter(
    "luck_kept", "share of its luck that a run keeps from one horizon to the next", "", dist.Beta(2.0, 2.0),
    "0.7 to 0.9 between seeds of lm_adam", is_scale=True,  # of what a reading adds to the luck before it
)  # fmt: skip


def surface_parameters(law: OptimumLaw, levelled: Sequence[str], *, luck: bool) -> tuple[Parameter, ...]:
    """Parameters of the loss surface around a law's optimum, without those that the law settles.

    Of luck, where runs may be read at several horizons.
    """
    fixed = (
        Parameter("optimal_loss", "lowest loss at the pivot", "nats", AtBestLoss(3.0), _WIDE, group_sd=0.3),
        Parameter(
            "cell_sd_optimal_loss", "scatter of cells' lowest losses around their trend", "nats",
            InLossSpread(0.05, 0.5),
            "off zero; 0.003 nats where scale makes differences of 0.1 (recomputed on 2503.04715)", is_scale=True,
        ),
        Parameter(
            "sharpness_learning_rate", "rise of the loss with squared ln distance from eta*, at the pivot", "nats",
            InLossSpread(0.2, 1.2), _WIDE, group_sd=0.2,
        ),
        Parameter(
            "sharpness_batch_size", "rise of the loss with squared ln distance from B*, at the pivot", "nats",
            InLossSpread(0.2, 1.2), _WIDE, group_sd=0.2,
        ),
        Parameter(
            "skew_learning_rate", "how much faster the loss rises above eta*", "", dist.Gamma(2.0, 3.0),
            "from a parabola (0) past 0.9 on a published sweep (2503.04715); too high is worse than too low",
        ),
        Parameter(
            "skew_batch_size", "how much faster the loss rises above B* than below", "", dist.Normal(0, 0.3),
            "about 0 on the same sweep",
        ),
        *(
            Parameter(
                f"cell_sd_{name}", f"a cell's own deviation of the natural log of {name}", "ln",
                dist.LogNormal(log(0.2), 0.5), "off zero; 0.26 to 0.46 between cells of one sweep fitted each alone",
                is_scale=True,
            )
            for name in SHARPNESS
        ),
        Parameter(
            "noise", "scatter of a run's loss at the optimum", "nats", InLossSpread(0.02, 1.0), _WIDE, is_scale=True
        ),
        Parameter(
            "noise_growth", "scatter as a share of the excess loss", "", dist.LogNormal(log(0.2), 0.5),
            "0.2 on a published sweep (2503.04715)",
        ),
        Parameter(
            "cell_sd_learning_rate", "a cell's own deviation from the law's learning rate", "ln",
            dist.LogNormal(log(0.15), 0.6), "off zero; half a grid step of published sweeps", is_scale=True,
        ),
        Parameter(
            "cell_sd_batch_size", "a cell's own deviation from the law's batch size", "ln",
            dist.LogNormal(log(0.15), 0.6), "off zero; half a grid step of published sweeps", is_scale=True,
        ),
        Parameter(
            "divergence_threshold", "distance above eta* at which half of the runs diverge", "ln",
            dist.LogNormal(log(3.0), 0.6), "a factor of 6 to 150: grids reach it seldom", group_sd=0.2,
        ),
        Parameter(
            "divergence_width", "distance over which divergence sets in", "ln", dist.LogNormal(log(0.4), 0.6),
            "about an octave",
        ),
    )  # fmt: skip
    coupling = Parameter(
        "optimal_loss_coupling", "how much more one covariate lowers the loss where another is large", "1 / nats",
        PerBestLoss(-4.5, 4.0), "0 in Chinchilla's form (2203.15556), -8.7 / loss in Kaplan's (2001.08361)",
    )  # fmt: skip
    several = (coupling,) if len(law.covariates) > 1 else ()
    by_covariate = tuple(p for name in law.covariates for p in _covariate_parameters(name))
    drifts, shared = drift_parameters(law, HYPERPARAMETERS), level_parameters(levelled, SHARED)
    every = fixed + ((LUCK,) if luck else ()) + several + by_covariate + drifts + shared
    settled = law.settled(dict.fromkeys([p.name for p in (*law.own_parameters, *every)], 1.0))
    return tuple(p for p in every if p.name not in settled)


def _covariate_parameters(name: str) -> tuple[Parameter, ...]:
    along = name in ALONG_TRAINING
    early = Parameter(
        f"optimal_loss_early_{name}", f"how much lower that exponent is at small {name}", "", dist.Normal(0, 0.4),
        "0 for a pure power law; in a sweep that begins early in training it rose from -0.2 to 0.37 (lm_adam)",
    )  # fmt: skip
    levels_off = (
        Parameter(
            f"optimal_loss_exponent_{name}", f"exponent with which that fall levels off at large {name}", "",
            dist.LogNormal(log(0.33), 0.3) if along else dist.LogNormal(log(0.25), 0.6),
            "published 0.28 to 0.37 (2203.15556, 2404.10102)",
        ),
        *([early] if along else []),
        Parameter(
            f"optimal_loss_bend_{name}", f"growth of that exponent with ln {name}", "",
            dist.Normal(0, 0.03 if along else 0.1),
            "0 for a pure power law; " + ("beside an early phase little is left" if along else "few sizes say little"),
        ),
    )  # fmt: skip
    return (
        *levels_off,
        Parameter(
            f"optimal_loss_slope_{name}", f"fall of the lowest loss with ln {name}, at the pivot", "nats",
            InLossSpread(0.5, 1.0), _WIDE, group_sd=0.2,
        ),
        Parameter(
            f"sharpness_rate_exponent_{name}", f"exponent of the learning-rate sharpness with {name}", "",
            dist.Normal(-0.2, 0.2), "falls with horizon (2410.05838)", group_sd=0.1,
        ),
        Parameter(
            f"sharpness_batch_exponent_{name}", f"exponent of the batch-size sharpness with {name}", "",
            dist.Normal(-0.2, 0.2), "as for the learning rate", group_sd=0.1,
        ),
    )  # fmt: skip


def bowl(u: Numbers, skew: Numbers) -> jax.Array:
    """Skewed bowl g(u, s): zero at 0, u^2 for small s u, rising faster on the side of the sign of s."""
    t = jnp.clip(skew * u, -50.0, 50.0)
    small = jnp.abs(t) < 1e-2
    safe = jnp.where(small, 1.0, t)
    shape = jnp.where(small, 1 + t / 3 + t**2 / 12, 2 * (jnp.expm1(safe) - safe) / safe**2)
    return u**2 * shape


def two_sided(v: Numbers, above: Numbers, below: Numbers) -> jax.Array:
    """Bowl that rises as exp(above v) / above + exp(-below v) / below does: zero at 0, v^2 for small v."""
    return (above * bowl(v, above) + below * bowl(v, -below)) / (above + below)


def unit_fall(p: Values, name: str, x: Numbers) -> jax.Array:
    """Fall of the trend in a covariate from the pivot to x over its slope there: an integral, by Gauss-Legendre."""
    rate = jnp.exp(_log_rate(p, name, jnp.asarray(x)[..., None] * _unit_nodes()))
    return x / 2 * jnp.sum(jnp.array(_WEIGHTS) * rate, axis=-1)


def _log_rate(p: Values, name: str, t: Numbers) -> jax.Array:
    """Natural log of the slope of the trend at t, the last axis, over that at the pivot."""
    exponent, bend = (jnp.asarray(p[f"optimal_loss_{of}_{name}"])[..., None] for of in ("exponent", "bend"))
    rate = -exponent * t - bend * t**2 / 2
    if name in ALONG_TRAINING:
        rate += jnp.asarray(p[f"optimal_loss_early_{name}"])[..., None] * (log(2) - jax.nn.softplus(-t))
    return rate


def _unit_nodes() -> jax.Array:
    """Nodes of the quadrature, on 0 to 1."""
    # A list becomes an array here, in the precision of the caller: a constant array would keep that of the first.
    return (jnp.array(_NODES) + 1) / 2


def optimal_loss_trend(p: Values, x: Values) -> jax.Array:
    """Lowest loss of a cell by the trend, in nats."""
    falls = [p[f"optimal_loss_slope_{name}"] * unit_fall(p, name, x[name]) for name in x]
    return p["optimal_loss"] - together(p, falls)


def together(p: Values, falls: Sequence[Numbers]) -> Numbers:
    """Fall in all covariates, nats, from that in each."""
    coupled = sum(a * b for a, b in combinations(falls, 2))
    return sum(falls) - (p["optimal_loss_coupling"] * coupled if len(falls) > 1 else 0.0)


def log_mean_slope(p: Values, name: str, low: Numbers, high: Numbers) -> jax.Array:
    """Natural log of the trend's mean slope in a covariate from `low` to `high`, over that at the pivot."""
    nodes = low + (high - low) * _unit_nodes()
    return jax.nn.logsumexp(_log_rate(p, name, nodes), axis=-1, b=jnp.array(_WEIGHTS) / 2)


class CellShape(NamedTuple):
    """What all runs of a cell have in common: numbers, or arrays of one entry a cell.

    Attributes
    ----------
    moved_learning_rate, moved_batch_size
        How far its optimum lies from the law's, ln.
    best_batch_size
        Natural log of its best batch size; of that which is given, where no cell tried several.
    sharpness_learning_rate, sharpness_batch_size
        Rise of its loss with squared ln distance from the optimum, nats.
    optimal_loss
        Its lowest loss, nats.
    divergence_threshold
        Distance above its best learning rate at which half of its runs diverge, ln.
    """

    moved_learning_rate: Numbers
    moved_batch_size: Numbers
    best_batch_size: Numbers
    sharpness_learning_rate: Numbers
    sharpness_batch_size: Numbers
    optimal_loss: Numbers
    divergence_threshold: Numbers


def cell_shape(law: OptimumLaw, p: Values, x: Values) -> CellShape:
    """The shape of cells with parameters `p`, among them what a cell has of its own.

    That is: `deviation_*` of learning rate, batch size and the sharpness of both, and `cell_optimal_loss`.
    """
    rate_moved, batch_moved = (drift(p, name, x) + p[f"deviation_{name}"] for name in HYPERPARAMETERS)
    rate_sharpness, batch_sharpness = (
        p[name] * jnp.exp(sum(p[f"sharpness_{short}_exponent_{c}"] * x[c] for c in x) + p[f"deviation_{name}"])
        for name, short in zip(SHARPNESS, ("rate", "batch"), strict=True)
    )
    best = p[GIVEN] if GIVEN in p else law.log_batch_size(p, x) + batch_moved
    lowest, threshold = p["cell_optimal_loss"], p["divergence_threshold"]
    return CellShape(rate_moved, batch_moved, best, rate_sharpness, batch_sharpness, lowest, threshold)


def best_batch_size(law: OptimumLaw, p: Values, x: Values) -> jax.Array:
    """Natural log of a cell's best batch size: the law's with its drift, plus the cell's own deviation.

    That which is given, where no cell tried several: nothing then says which is best.
    """
    return jnp.asarray(cell_shape(law, p, x).best_batch_size)


def best_learning_rate(
    law: OptimumLaw, p: Values, x: Values, log_batch_size: Numbers, cell: CellShape | None = None
) -> jax.Array:
    """Natural log of a cell's best learning rate at a given batch size; `cell` as for `run_loss`.

    What moves the cell's best batch size off the law shifts the whole ridge along it. Where batch sizes are given, it
    is that at the given one.
    """
    cell = cell or cell_shape(law, p, x)
    along = law.log_batch_size(p, x) if GIVEN in p else log_batch_size - cell.moved_batch_size
    return law.log_learning_rate(p, x, along) + cell.moved_learning_rate


class RunLoss(NamedTuple):
    """What one run would measure: whether it diverges and, where it does not, its loss. Arrays that broadcast.

    Attributes
    ----------
    excess
        Nats above the lowest loss of the cell, without scatter: the regret of its setting.
    location, scale
        Of the loss: Student's t with 4 degrees of freedom, nats.
    logit
        Log-odds that it diverges.
    """

    excess: Numbers
    location: Numbers
    scale: Numbers
    logit: Numbers

    def reading(self, edge: Numbers = jnp.inf) -> CensoredStudentT:
        """Distribution of the loss of a run that does not diverge, read as `edge` where it lies above."""
        return CensoredStudentT(self.location, self.scale, -jnp.inf, edge)

    @property
    def diverged(self) -> dist.Bernoulli:
        """Distribution of whether it diverges."""
        return dist.Bernoulli(logits=self.logit)

    def placed(self, noise: Numbers) -> Numbers:
        """Losses with standardised noise, as `standard_noise` draws it, in place of the scatter."""
        return self.location + self.scale * noise

    def log_density(self, loss: Numbers, edge: Numbers = jnp.inf) -> jax.Array:
        """Joint log density of divergence and loss, read at `edge`; NaN stands for a run that diverged."""
        lost = jnp.isnan(loss)
        read = jnp.where(lost, 0.0, jnp.minimum(loss, edge))
        kept = self.reading(edge).log_prob(read) + jax.nn.log_sigmoid(-jnp.asarray(self.logit))
        return jnp.where(lost, jax.nn.log_sigmoid(jnp.asarray(self.logit)), kept)


def run_loss(
    law: OptimumLaw,
    p: Values,
    x: Values,
    log_learning_rate: Numbers,
    log_batch_size: Numbers,
    *,
    cell: CellShape | None = None,
) -> RunLoss:
    """What a run measures at a setting, in a cell with parameters `p` and covariates `x`.

    `cell` is the shape of each run's cell, where it has been worked out once a cell instead of once a run.
    """
    cell = cell or cell_shape(law, p, x)
    u = log_learning_rate - best_learning_rate(law, p, x, log_batch_size, cell)
    v = 0.0 if GIVEN in p else log_batch_size - cell.best_batch_size  # where none was tried beside it
    excess = cell.sharpness_learning_rate * bowl(u, p["skew_learning_rate"])
    over = two_sided(v, p["skew_batch_size"], p[BELOW]) if BELOW in p else bowl(v, p["skew_batch_size"])
    excess += cell.sharpness_batch_size * over
    return RunLoss(
        excess=excess,
        location=cell.optimal_loss + excess,
        scale=jnp.sqrt(p["noise"] ** 2 + (p["noise_growth"] * excess) ** 2),
        logit=(u - cell.divergence_threshold) / p["divergence_width"],
    )
