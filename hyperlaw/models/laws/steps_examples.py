"""`StepsExamples`: steps against examples to a target loss, with one critical batch size a curve.

    (S / S_min - 1)(E / E_min - 1) = 1,  E = B S;   so   ln S = ln S_min + ln(1 + B_crit / B),   B_crit = E_min / S_min

McCandlish et al. 2018 (arXiv 1812.06162, eqs. 2.11 and 2.12). A curve, that is a task and a target loss, has
its own S_min and B_crit, both pooled over curves. The published bend is one of a family with a knee k,

    ln S = ln S_min + ln(1 + (B_crit / B)^k) / k,

of which k = 1: the slopes far from B_crit are the same, and extrapolation across it is less sure of itself.
"""

from typing import ClassVar

import jax
import numpyro.distributions as dist

from hyperlaw.models.law import Numbers, ValueLaw, Values, register
from hyperlaw.models.parameter import Parameter
from hyperlaw.models.prior import AtGridCentre

LEAST_STEPS = Parameter(
    "log_least_steps", "steps to the target loss at a very large batch", "ln steps", AtGridCentre("steps", 2.0),
    "within a factor of 50 of the middle of those measured", group_sd=0.7,
)  # fmt: skip
CRITICAL_BATCH = Parameter(
    "log_critical_batch", "critical batch size: twice the fewest steps, twice the fewest examples", "ln data points",
    AtGridCentre("batch_size", 1.5), "a sweep is laid around it; wide enough to miss it", group_sd=0.5,
    informed_by=("batch_size",), within="batch_size",
)  # fmt: skip
KNEE = Parameter(
    "knee", "how sharply the curve bends at the critical batch size", "", dist.LogNormal(0.0, 0.3),
    "1 in the published form; a noise scale that moves during training blunts it",
)  # fmt: skip


@register
class StepsExamples(ValueLaw):
    """Steps to a target loss over batch size (arXiv 1812.06162)."""

    tables = ("steps_to_loss",)
    predicts = ("steps",)
    covariates: ClassVar[tuple[str, ...]] = ()
    needs_batch_size = True
    has_critical_batch = True
    own_parameters: ClassVar[tuple[Parameter, ...]] = (LEAST_STEPS, CRITICAL_BATCH, KNEE)

    def equation(self) -> tuple[str, ...]:
        """What it says, as a template."""
        return (
            "S_min = {log_least_steps:exp}" + self._growth("steps"),
            "B_crit = {log_critical_batch:exp}" + self._growth("critical"),
            "k = {knee}",
            "S = S_min · (1 + (B_crit / B)^k)^(1 / k)",
        )

    def _growth(self, what: str) -> str:
        """What follows in the template of the fewest steps or the critical batch size: nothing here."""
        return ""

    def log_critical_batch(self, p: Values, x: Values) -> jax.Array:
        """Natural log of the critical batch size."""
        return p["log_critical_batch"]

    def log_least_steps(self, p: Values, x: Values) -> jax.Array:
        """Natural log of the fewest steps."""
        return p["log_least_steps"]

    def log_value(self, quantity: str, p: Values, x: Values, log_batch_size: Numbers) -> jax.Array:
        """Natural log of the steps to the target loss."""
        above = self.log_critical_batch(p, x) - log_batch_size
        return self.log_least_steps(p, x) + jax.nn.softplus(p["knee"] * above) / p["knee"]
