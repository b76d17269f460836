"""Deviations of the cells of a sweep, in coordinates through which a sampler moves with one step size.

Cell c of level l strays from the law by g_l + e_c: what its level shares, g ~ Normal(0, level_sd), and what is its own,
e ~ Normal(0, own_sd). Runs see the sum alone. Sampled apart, g says little but its prior, and where the scale of either
is small the steps would have to be as small. So the sum is sampled. Over the n cells of a level it is normal, with one
standard deviation around their mean and another of the mean,

    around the mean: own_sd        sqrt(n) times the mean: sqrt(own_sd^2 + n level_sd^2)

and g given the sum is normal again. No density is changed by this.
"""

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from hyperlaw.models.law import Numbers, Values
from hyperlaw.models.likelihoods.deviations import sample_levels


class SharedNormal(dist.Distribution):
    """Normal values of cells, along the last axis, whose means over levels scatter otherwise than cells of one level.

    Parameters
    ----------
    loc
        Centre of each cell.
    around
        Standard deviation of cells around the mean of their level.
    of_mean
        Standard deviation of that mean times the root of the number of cells, for each cell.
    level
        Level of each cell: 0, 1, ...
    """

    arg_constraints: ClassVar = {
        "loc": dist.constraints.real, "around": dist.constraints.positive, "of_mean": dist.constraints.positive,
        "level": dist.constraints.real,
    }  # fmt: skip
    support = dist.constraints.real
    pytree_data_fields = ("loc", "around", "of_mean", "level")

    def __init__(self, loc: Numbers, around: Numbers, of_mean: jax.Array, level: np.ndarray) -> None:
        self.loc, self.around, self.of_mean, self.level = loc, around, of_mean, level
        super().__init__(batch_shape=jnp.shape(level), validate_args=False)

    @property
    def mean(self) -> jax.Array:
        """The centre."""
        return jnp.broadcast_to(self.loc, self.batch_shape)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws."""
        return self.placed(jax.random.normal(key, sample_shape + self.batch_shape))

    def placed(self, noise: jax.Array) -> jax.Array:
        """Values with standard normal noise in place of the scatter."""
        return self.loc + stretched(noise, self.around, self.of_mean, self.level)

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log density of each cell's value; their sum is the joint one."""
        off = value - self.loc
        mean = level_mean(off, self.level)
        share = 1 / level_count(self.level)
        logs = (1 - share) * jnp.log(self.around) + share * jnp.log(self.of_mean)
        return -0.5 * (((off - mean) / self.around) ** 2 + (mean / self.of_mean) ** 2 + jnp.log(2 * jnp.pi)) - logs


def level_count(level: np.ndarray) -> jax.Array:
    """Number of cells of each cell's level."""
    return jnp.zeros(len(level)).at[level].add(1.0)[level]


def level_mean(values: jax.Array, level: np.ndarray) -> jax.Array:
    """Mean over the cells of each cell's level, the last axis."""
    total = jnp.zeros_like(values).at[..., level].add(values)
    return total[..., level] / level_count(level)


def stretched(values: jax.Array, around: Numbers, mean: Numbers, level: np.ndarray) -> jax.Array:
    """Values of which that around the mean of a level is multiplied by `around`, and the mean by `mean`."""
    middle = level_mean(values, level)
    return around * (values - middle) + mean * middle


def sample_cells(
    p: Values,
    quantity: str,
    cells: int,
    level: Mapping[str, np.ndarray],
    sizes: Mapping[str, np.ndarray],
    *,
    trend: Numbers | None = None,
) -> jax.Array:
    """What cells stray by from the law in a quantity, inside a model; with a trend, their values around it.

    Parameters
    ----------
    p
        Parameters, with `cell_sd_{quantity}` and `{covariate}_sd_{quantity}`.
    quantity
        Deviations are called `deviation_{quantity}`, values `cell_{quantity}`.
    cells
        How many there are.
    level, sizes
        By levelled covariate: level of each cell; and one entry a level. What levels of any but the first of `level`
        share is sampled apart.
    trend
        Centre of each cell. The losses of a cell pin its value, so that is sampled as it is. Deviations are sampled
        half-centred around the mean of their level: between the form that mixes where cells are seen well and the one
        that mixes where they are not.
    """
    nested = next(iter(level), None)
    beside = sample_levels(p, [quantity], {name: of for name, of in level.items() if name != nested}, sizes)[quantity]
    of_cell = np.zeros(cells, int) if nested is None else level[nested]
    own, shared = p[f"cell_sd_{quantity}"], 0.0 if nested is None else p[f"{nested}_sd_{quantity}"]
    of_mean = jnp.sqrt(own**2 + level_count(of_cell) * shared**2)
    with numpyro.plate("cell", cells):
        if trend is None:
            root = jnp.sqrt(own)
            half = numpyro.sample(f"half_deviation_{quantity}", SharedNormal(0.0, root, of_mean, of_cell))
            off = stretched(half, root, 1.0, of_cell)
            value = numpyro.deterministic(f"deviation_{quantity}", off + beside)
        else:
            value = numpyro.sample(f"cell_{quantity}", SharedNormal(trend + beside, own, of_mean, of_cell))
            off = value - trend - beside
    if nested is not None:
        expected = level_count(of_cell) * (shared / of_mean) ** 2 * level_mean(off, of_cell)
        one = jnp.zeros(len(sizes[nested]))  # one value a level, of those of its cells, which are the same
        with numpyro.plate(f"{nested}_level", len(one)):
            luck = numpyro.sample(f"{nested}_luck_{quantity}", dist.Normal(0, 1))
            spread = one.at[of_cell].set(shared * own / of_mean)
            numpyro.deterministic(f"{nested}_deviation_{quantity}", one.at[of_cell].set(expected) + spread * luck)
    return value
