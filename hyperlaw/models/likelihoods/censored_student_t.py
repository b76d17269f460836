"""A measurement that scatters with heavy tails and can be read off only within a range.

The scatter is Student's t with 4 degrees of freedom: heavy enough for a stray seed, and its distribution function has
a closed form, so that a censored measurement costs no more than a plain one:

    P(T > t) = (1 - s)^2 (2 + s) / 4,   s = t / sqrt(4 + t^2)
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro.distributions.util import validate_sample

from hyperlaw.models.law import Numbers

TAIL = 4.0


class CensoredStudentT(dist.Distribution):
    """Student's t with 4 degrees of freedom around `loc`, read as `low` or `high` where it falls beyond.

    A value at `low` or `high` has the probability of everything beyond as its density: it is one-sided.

    Parameters
    ----------
    loc, scale
        Centre and scale.
    low, high
        Ends of what can be read; minus and plus infinity where there are none.
    """

    arg_constraints: ClassVar = dict.fromkeys(("loc", "low", "high"), dist.constraints.real) | {
        "scale": dist.constraints.positive
    }
    support = dist.constraints.real
    pytree_data_fields = ("loc", "scale", "low", "high")

    def __init__(self, loc: Numbers, scale: Numbers, low: Numbers, high: Numbers) -> None:
        self.loc, self.scale, self.low, self.high = loc, scale, low, high
        shape = jnp.broadcast_shapes(*map(jnp.shape, (loc, scale, low, high)))
        super().__init__(batch_shape=shape, validate_args=False)  # limits may be infinite

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws, clipped to the range."""
        return self.placed(student_t(key, sample_shape + self.batch_shape))

    def placed(self, noise: Numbers) -> Numbers:
        """Values with standardised noise, as `standard_noise` draws it, in place of the scatter; NumPy or JAX."""
        return (self.loc + self.scale * noise).clip(self.low, self.high)

    @validate_sample
    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log density of a value, or log probability of everything beyond the end that it lies at."""
        density = dist.StudentT(TAIL, self.loc, self.scale).log_prob(value)
        # An end that is infinite is never met, and must not reach the gradient. One that is so by its very type is left
        # out: it would cost a fifth of the gradient.
        if not _is_infinite(self.low):
            below = log_survival((self.loc - _finite(self.low)) / self.scale)
            density = jnp.where(value <= self.low, below, density)
        if not _is_infinite(self.high):
            above = log_survival((_finite(self.high) - self.loc) / self.scale)
            density = jnp.where(value >= self.high, above, density)
        return density


def standard_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Standardised scatter: what `CensoredStudentT.placed` takes. NumPy draws it many times faster than JAX."""
    return rng.standard_t(TAIL, shape)


def student_t(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Draws of Student's t with 4 degrees of freedom: a normal over the root of the mean of two exponentials.

    `jax.random.t` draws gammas by rejection, which takes seconds to compile.
    """
    first, second = jax.random.split(key)
    mean = jax.random.exponential(second, (2, *shape)).mean(axis=0)
    return jax.random.normal(first, shape) / jnp.sqrt(mean)


def log_survival(t: Numbers) -> jax.Array:
    """Log probability that Student's t with 4 degrees of freedom exceeds `t`, without cancellation."""
    root = jnp.sqrt(4 + t**2)
    rest = jnp.where(t > 0, 4 / ((root + jnp.abs(t)) * root), 1 - t / root)  # 1 - s
    return 2 * jnp.log(rest) + jnp.log1p(2 - rest) - jnp.log(4.0)


def _is_infinite(end: Numbers) -> bool:
    """Whether an end is a plain infinite number, not an array that may hold one."""
    return isinstance(end, float) and bool(np.isinf(end))


def _finite(end: Numbers) -> jax.Array:
    return jnp.where(jnp.isfinite(end), end, 0.0)
