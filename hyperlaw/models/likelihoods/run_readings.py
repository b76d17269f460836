"""Losses of runs, some of them read from one run at several horizons, which share its luck.

A run that has been lucky so far stays lucky for a while. With z the standardised distance of a loss from its centre,
t4 Student's t with 4 degrees of freedom, and i - 1 the reading before i of the same run,

    z_i = kept z_(i-1) + sqrt(1 - kept^2) t4

where there is one within the window, and z_i = t4 where there is none. A reading above its edge is censored there.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from hyperlaw.models.law import Numbers
from hyperlaw.models.likelihoods.censored_student_t import CensoredStudentT, student_t


class RunReadings(dist.Distribution):
    """Readings of all runs of a table, along the last axis; each has its density given the one before.

    Parameters
    ----------
    loc, scale, edge
        Centre and scale of each loss, and from where on it is read as its edge.
    before
        Position of the reading before, of the same run; -1 where there is none that is seen.
    kept
        Share of its luck that a run keeps from one reading to the next.
    """

    arg_constraints: ClassVar = {
        "loc": dist.constraints.real, "scale": dist.constraints.positive, "edge": dist.constraints.real,
        "before": dist.constraints.real, "kept": dist.constraints.unit_interval,
    }  # fmt: skip
    support = dist.constraints.real
    pytree_data_fields = ("loc", "scale", "edge", "before", "kept")

    def __init__(self, loc: Numbers, scale: Numbers, edge: Numbers, before: Numbers, kept: Numbers) -> None:
        self.loc, self.scale, self.edge, self.before, self.kept = loc, scale, edge, before, kept
        super().__init__(batch_shape=jnp.broadcast_shapes(jnp.shape(loc), jnp.shape(edge)), validate_args=False)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws, read at the edge."""
        luck = student_t(key, sample_shape + self.batch_shape)

        def once(_: int, value: jax.Array) -> jax.Array:
            given = self._given(value)
            return jnp.minimum(given.loc + given.scale * luck, self.edge)

        # After as many rounds as a run has readings none changes any more.
        return jax.lax.fori_loop(0, self._longest(), once, jnp.minimum(self.loc + self.scale * luck, self.edge))

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log density of each reading given the one before."""
        return self._given(value).log_prob(value)

    def _given(self, value: jax.Array) -> CensoredStudentT:
        """Each reading given the one before."""
        before = jnp.maximum(jnp.asarray(self.before), 0)
        linked = (self.before >= 0) & (value[..., before] < jnp.broadcast_to(self.edge, value.shape)[..., before])
        luck = jnp.where(linked, ((value - self.loc) / self.scale)[..., before], 0.0)
        kept = jnp.where(linked, self.kept, 0.0)
        return CensoredStudentT(
            self.loc + self.scale * kept * luck, self.scale * jnp.sqrt(1 - kept**2), -jnp.inf, self.edge
        )

    def _longest(self) -> jax.Array:
        """Most readings that follow one another."""
        before = jnp.asarray(self.before)

        def longer(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            at, count = state
            return jnp.where(at >= 0, before[jnp.maximum(at, 0)], -1), count + 1

        return jax.lax.while_loop(lambda state: (state[0] >= 0).any(), longer, (before, jnp.asarray(0)))[1]
