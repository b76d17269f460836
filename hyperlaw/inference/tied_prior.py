"""`tied_prior`: a noise scale expected near a critical batch size that was measured on its own."""

import numpy as np
import numpyro.distributions as dist

from hyperlaw.inference.posterior import Posterior
from hyperlaw.quote import quote, some_of

SPREAD = 0.7


def tied_prior(fit: Posterior, *, task: str | None = None, spread: float = SPREAD) -> dist.Normal:
    """Prior of `log_noise_scale` from the critical batch size of a `StepsExamples` fit.

    In theory the batch size at which the learning rate turns and that of the trade-off between steps and examples are
    one (arXiv 1812.06162, 2405.14578); in practice the first is a snapshot and the second a mean over training. So the
    first is expected around the second with a standard deviation of `spread` in ln, never equal to it:
    `hl.fit(hl.laws.Surge({"log_noise_scale": hl.tied_prior(fit)}), optima, seed=0)`.

    Parameters
    ----------
    fit
        Of `StepsExamples` or one of the `CriticalBatch` laws.
    task
        A curve of that fit whose own critical batch size counts; left out, that of the population.
    spread
        Standard deviation of ln noise scale minus ln critical batch size.

    Raises
    ------
    ValueError
        When the fit has no critical batch size, or the task is not one of its curves.
    """
    posterior = fit.draws
    if "log_critical_batch" not in posterior:
        raise ValueError(
            f"a fit of {fit.law.name} has no critical batch size. Pass one of StepsExamples or of a CriticalBatch law."
        )
    value = posterior["log_critical_batch"]
    if task is not None:
        if task not in fit.table.tasks:
            raise ValueError(f"task {quote(task)} is not among the fitted curves {some_of(fit.table.tasks)}.")
        if "log_critical_batch_task" in posterior:
            value = posterior["log_critical_batch_task"].sel(task=task)
    return dist.Normal(float(value.mean()), float(np.hypot(value.std(), spread)))
