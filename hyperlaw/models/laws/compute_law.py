"""`ComputeLaw`: best learning rate and batch size as powers of the training compute alone.

    eta*(C) = eta_0 C^a,   B*(C) = B_0 C^b,   C proportional to N D

DeepSeek LLM (arXiv 2401.02954, eq. 1): eta* = 0.3118 C^-0.125, B* = 0.292 C^0.3271. Parameters and data have no say
beyond their product, so that it holds only along a line in the plane of the two, such as the compute-optimal one.
The learning rate over the batch size has the ridge of `StepLaw`.
"""

import jax
import numpyro.distributions as dist

from hyperlaw.models.equation import RIDGE
from hyperlaw.models.law import Numbers, OptimumLaw, Values, register
from hyperlaw.models.laws.broken_power import LARGE_BATCH, SMALL_BATCH, broken_power
from hyperlaw.models.laws.step_law import BATCH_SIZE, LEARNING_RATE
from hyperlaw.models.parameter import Parameter


@register
class ComputeLaw(OptimumLaw):
    """Best learning rate and batch size as power laws of compute (arXiv 2401.02954)."""

    covariates = ("params", "data")
    own_parameters = (
        BATCH_SIZE,
        Parameter(
            "exponent_compute", "exponent of the best batch size with compute", "", dist.Normal(0.33, 0.1),
            "published 0.327 (2401.02954)", group_sd=0.1, informed_by=("params", "data"),
        ),
        LEARNING_RATE,
        Parameter(
            "rate_exponent_compute", "exponent of the best learning rate with compute", "", dist.Normal(-0.12, 0.12),
            "published -0.125 (2401.02954)", group_sd=0.1, informed_by=("params", "data"),
        ),
        SMALL_BATCH,
        LARGE_BATCH,
    )  # fmt: skip

    def equation(self) -> tuple[str, ...]:
        """What it says, as a template."""
        return (
            "C = (N / {params}) · (D / {data})",
            "B* = {log_batch_size:exp} · C^{exponent_compute}",
            "eta* = {log_learning_rate:exp} · C^{rate_exponent_compute} · " + RIDGE,
        )

    def log_batch_size(self, p: Values, x: Values) -> jax.Array:
        """Natural log of the best batch size."""
        return p["log_batch_size"] + p["exponent_compute"] * (x["params"] + x["data"])

    def log_learning_rate(self, p: Values, x: Values, log_batch_size: Numbers) -> jax.Array:
        """Natural log of the best learning rate at a given batch size."""
        ridge = broken_power(p["ridge_small_batch"], p["ridge_large_batch"], log_batch_size - self.log_batch_size(p, x))
        return p["log_learning_rate"] + p["rate_exponent_compute"] * (x["params"] + x["data"]) + ridge
