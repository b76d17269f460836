"""`CriticalBatchLoss`, `CriticalBatchData`, `CriticalBatchParams`: what the critical batch size grows with.

    ln S = ln S_min + ln(1 + B_crit / B)
    B_crit = B_* / L^(1/alpha_B)        with falling loss (Kaplan et al. 2020, arXiv 2001.08361: 1/alpha_B = 4.76)
    B_crit = B_0 (T / T_0)^kappa        with data (arXiv 2410.05838: 1; 2410.21676: 0.47; 2505.13738: 0.46)
    B_crit = B_0 (N / N_0)^kappa        with parameters (arXiv 2410.21676: 0.47 where data grow with them)

Three alternatives to compare; each is `StepsExamples` whose critical batch sizes and fewest steps follow a power over
the curves, around which a curve may still deviate, so that a curve at another scale can be predicted. L is the target
loss, T the data and N the parameters of a curve. Batch size and target loss are not independent, so that an exponent
over loss is of this protocol.
"""

from dataclasses import replace
from typing import ClassVar

import jax
import numpyro.distributions as dist

from hyperlaw.models.equation import SYMBOLS
from hyperlaw.models.law import Values, register
from hyperlaw.models.laws.steps_examples import CRITICAL_BATCH, KNEE, LEAST_STEPS, StepsExamples
from hyperlaw.models.parameter import Parameter

AT_PIVOT = replace(CRITICAL_BATCH, meaning="critical batch size at the pivot", group_sd=0.2)
STEPS_AT_PIVOT = replace(
    LEAST_STEPS, meaning="steps to the target loss at a very large batch, at the pivot", group_sd=0.2
)


class _OverScale(StepsExamples):
    """`StepsExamples` whose curves follow powers of one covariate; `sign` is -1 where both grow as it falls."""

    sign: ClassVar[int] = 1

    def _growth(self, what: str) -> str:
        """A power of the covariate, or of its inverse."""
        (name,) = self.covariates
        ratio = f"{{{name}}} / {SYMBOLS[name]}" if self.sign < 0 else f"{SYMBOLS[name]} / {{{name}}}"
        return f" · ({ratio})^{{{what}_exponent_{name}}}"

    def log_critical_batch(self, p: Values, x: Values) -> jax.Array:
        """Natural log of the critical batch size."""
        return p["log_critical_batch"] + self._power("critical", p, x)

    def log_least_steps(self, p: Values, x: Values) -> jax.Array:
        """Natural log of the fewest steps."""
        return p["log_least_steps"] + self._power("steps", p, x)

    def _power(self, what: str, p: Values, x: Values) -> jax.Array:
        (name,) = self.covariates
        return self.sign * p[f"{what}_exponent_{name}"] * x[name]


@register
class CriticalBatchLoss(_OverScale):
    """Critical batch size as a power of the target loss (arXiv 2001.08361)."""

    covariates = ("loss",)
    sign = -1
    own_parameters = (
        STEPS_AT_PIVOT,
        AT_PIVOT,
        KNEE,
        Parameter(
            "critical_exponent_loss", "exponent 1/alpha_B of the critical batch size with falling loss", "",
            dist.Normal(4.0, 2.0), "published 4.76 (2001.08361)", informed_by=("loss",),
        ),
        Parameter(
            "steps_exponent_loss", "exponent of the fewest steps with falling loss", "", dist.Normal(3.0, 3.0),
            "1.3 where steps alone limit the loss (2001.08361), more where its floor is near", informed_by=("loss",),
        ),
    )  # fmt: skip


@register
class CriticalBatchData(_OverScale):
    """Critical batch size as a power of the data (arXiv 2410.05838, 2410.21676)."""

    covariates = ("data",)
    own_parameters = (
        STEPS_AT_PIVOT,
        AT_PIVOT,
        KNEE,
        Parameter(
            "critical_exponent_data", "exponent kappa of the critical batch size with data", "", dist.Normal(0.6, 0.3),
            "published 1 (2410.05838), 0.47 (2410.21676), 0.46 (2505.13738)", informed_by=("data",),
        ),
        Parameter(
            "steps_exponent_data", "exponent of the fewest steps with data", "", dist.Normal(0.5, 0.3),
            "what of the data the batch size does not take: one minus kappa", informed_by=("data",),
        ),
    )  # fmt: skip


@register
class CriticalBatchParams(_OverScale):
    """Critical batch size as a power of the parameters (arXiv 2410.21676)."""

    covariates = ("params",)
    own_parameters = (
        STEPS_AT_PIVOT,
        AT_PIVOT,
        KNEE,
        Parameter(
            "critical_exponent_params", "exponent of the critical batch size with parameters", "",
            dist.Normal(0.3, 0.3), "published 0.47 where data grow with parameters, 0.09 at fixed data (2410.21676)",
            informed_by=("params",),
        ),
        Parameter(
            "steps_exponent_params", "exponent of the fewest steps with parameters", "", dist.Normal(0.3, 0.4),
            "with data grown in proportion, what the batch size does not take", informed_by=("params",),
        ),
    )  # fmt: skip
