"""`OptimalUTD`: the best updates-to-data ratio as a power of the budget.

    sigma*(F) = sigma_0 (F / F_0)^s

Rybkin et al. 2025 (arXiv 2502.04327), with budget F = C + delta D. The exponent has either sign: 0.62 on Gym, -0.74 on
DMC.
"""

import jax
import numpyro.distributions as dist

from hyperlaw.models.equation import power
from hyperlaw.models.law import Numbers, ValueLaw, Values, register
from hyperlaw.models.parameter import Parameter
from hyperlaw.models.prior import AtGridCentre


@register
class OptimalUTD(ValueLaw):
    """Best updates-to-data ratio over the budget (arXiv 2502.04327)."""

    tables = ("optima",)
    predicts = ("utd",)
    covariates = ("budget",)
    own_parameters = (
        Parameter(
            "log_utd", "best updates-to-data ratio at the pivot", "ln", AtGridCentre("utd", 1.5),
            "within a factor of 20 of the middle of those found", group_sd=0.7,
        ),
        Parameter(
            "exponent_budget", "exponent of the best updates-to-data ratio with the budget", "", dist.Normal(0, 0.7),
            "published 0.62 and -0.74 (2502.04327): its sign is open", group_sd=0.3, informed_by=("budget",),
        ),
    )  # fmt: skip

    def equation(self) -> tuple[str, ...]:
        """What it says, as a template."""
        return ("sigma* = {log_utd:exp}" + power("budget", "exponent_budget"),)

    def log_value(self, quantity: str, p: Values, x: Values, log_batch_size: Numbers) -> jax.Array:
        """Natural log of the best updates-to-data ratio."""
        return p["log_utd"] + p["exponent_budget"] * x["budget"]
