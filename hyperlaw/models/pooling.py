"""Parameters of a model over tasks: one value shared by all, or each task's own, drawn from a population."""

from collections.abc import Collection, Mapping, Sequence
from math import log

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from hyperlaw.models.law import Numbers
from hyperlaw.models.parameter import Parameter


def sample_parameters(
    parameters: Sequence[Parameter],
    priors: Mapping[str, dist.Distribution],
    *,
    separate: Collection[str],
    task: np.ndarray,
    tasks: int,
) -> dict[str, jax.Array]:
    """Values of all parameters inside a model: scalars, or indexed by `task` where tasks differ.

    Parameters
    ----------
    parameters
        Of the model.
    priors
        By name, as `hyperlaw.models.prior.resolve` makes them.
    separate
        Names of those whose value for each task comes from the prior instead of from a population.
    task
        Index of the task of each row or cell.
    tasks
        How many there are.
    """
    values = {}
    for parameter in parameters:
        name, prior = parameter.name, priors[parameter.name]
        value = numpyro.sample(name, prior)
        if tasks > 1 and parameter.group_sd is not None:
            if name in separate:  # then `value` is what a task that was not seen would have
                population = prior
            else:
                sd = numpyro.sample(f"{name}_task_sd", group_sd_prior(parameter.group_sd))
                population = population_of(parameter, prior, value, sd)
            with numpyro.plate("task", tasks):
                value = numpyro.sample(f"{name}_task", population)[task]
        values[name] = value
    return values


def population_of(
    parameter: Parameter, prior: dist.Distribution, value: Numbers, sd: Numbers
) -> dist.Normal | dist.LogNormal:
    """What the values of tasks are drawn from, around that of all. The sampler has coordinates of its own for them."""
    positive = parameter.positive or prior.support is dist.constraints.positive
    return dist.LogNormal(jnp.log(value), sd) if positive else dist.Normal(value, sd)


def task_supports(
    parameters: Sequence[Parameter], priors: Mapping[str, dist.Distribution], *, separate: Collection[str]
) -> dict[str, dist.constraints.Constraint]:
    """Supports of tasks' values, by site; arguments as for `sample_parameters`."""
    pooled = [(p, priors[p.name]) for p in parameters if p.group_sd is not None]
    return {
        f"{p.name}_task": (prior if p.name in separate else population_of(p, prior, 1.0, 1.0)).support
        for p, prior in pooled
    }


def group_sd_prior(median: float) -> dist.Distribution:
    """Prior of the standard deviation between tasks: log-normal, so that it keeps off zero."""
    return dist.LogNormal(log(median), 0.5)
