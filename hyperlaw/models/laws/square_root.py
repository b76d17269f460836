"""`SquareRoot`: the best learning rate grows with the square root of the batch size.

    eta*(B) = eta_mid sqrt(B / B_mid)

Malladi et al. 2022 (arXiv 2205.10287), for Adam and RMSprop while gradient noise dominates. No other parameter: what
every curve that turns has to beat.
"""

import jax

from hyperlaw.models.law import Numbers, OptimumLaw, Values, register
from hyperlaw.models.parameter import Parameter
from hyperlaw.models.prior import AtGridCentre

MIDDLE = Parameter(
    "log_middle_batch", "batch size at which the learning rate is stated", "ln data points",
    AtGridCentre("batch_size", 0.01), "a convention, the middle of those given; it and the learning rate there are one",
)  # fmt: skip


@register
class SquareRoot(OptimumLaw):
    """Best learning rate proportional to the square root of the batch size (arXiv 2205.10287)."""

    tables = ("optima",)
    predicts = ("learning_rate",)
    covariates = ()
    needs_batch_size = True
    own_parameters = (
        Parameter(
            "log_learning_rate", "best learning rate at the middle of the batch sizes", "ln",
            AtGridCentre("learning_rate", 1.5), "within a factor of 20 of the middle of those found", group_sd=0.7,
        ),
        MIDDLE,
    )  # fmt: skip

    def equation(self) -> tuple[str, ...]:
        """What it says, as a template."""
        return ("eta* = {log_learning_rate:exp} · (B / {log_middle_batch:exp})^0.5",)

    def log_learning_rate(self, p: Values, x: Values, log_batch_size: Numbers) -> jax.Array:
        """Natural log of the best learning rate at a given batch size."""
        return p["log_learning_rate"] + 0.5 * (log_batch_size - p["log_middle_batch"])
