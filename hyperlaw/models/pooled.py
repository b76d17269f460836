"""Parameters of a law over tasks: one value shared by all, or each task's own, drawn from a population."""

from math import log
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from hyperlaw.models.law import Law, Parameter
from hyperlaw.models.prior import resolve, support


def sample_parameters(law: Law, design: Any, task: jax.Array, tasks: int) -> dict[str, jax.Array]:
    """Values of all parameters inside a model: scalars, or indexed by `task` where tasks differ."""
    p = {}
    for parameter in law.parameter_list:
        prior = resolve(parameter.prior, design)
        if tasks > 1 and parameter.spread is not None and law.separate(parameter):
            numpyro.sample(parameter.name, prior)  # what a task that was not seen would be drawn from
            with numpyro.plate("task", tasks):
                value = numpyro.sample(f"{parameter.name}_task", prior)[task]
        else:
            value = numpyro.sample(parameter.name, prior)
            if tasks > 1 and parameter.spread is not None:
                spread = numpyro.sample(f"{parameter.name}_task_spread", spread_prior(parameter.spread))
                # Centred: a task's rows say much about its own values, and the spread's prior keeps it off zero.
                positive = support(parameter.prior) is dist.constraints.positive
                population = dist.LogNormal(jnp.log(value), spread) if positive else dist.Normal(value, spread)
                with numpyro.plate("task", tasks):
                    value = numpyro.sample(f"{parameter.name}_task", population)[task]
        p[parameter.name] = value
    return p


def spread_prior(spread: float) -> dist.Distribution:
    """Prior of the standard deviation between tasks: log-normal, so that it keeps off zero."""
    return dist.LogNormal(log(spread), 0.5)


def shift(parameter: Parameter, value: jax.Array, offset: jax.Array) -> jax.Array:
    """A task's value: the population's plus the offset, or times its exponential where it is positive."""
    if support(parameter.prior) is dist.constraints.positive:
        return value * jnp.exp(offset)
    return value + offset
