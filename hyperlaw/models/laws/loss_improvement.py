"""`LossImprovement`: how much one optimal step lowers the loss, over the batch size.

    Delta L(B) = Delta L_max / (1 + B_noise / B)

McCandlish et al. 2018 (arXiv 1812.06162, eq. 2.7) for SGD; Li et al. 2024 (arXiv 2405.14578, Theorem 5) find
the same form for Adam.
"""

import jax

from hyperlaw.models.law import Numbers, ValueLaw, Values, register
from hyperlaw.models.laws.noise_scale import NOISE_SCALE
from hyperlaw.models.parameter import Parameter
from hyperlaw.models.prior import AtGridCentre


@register
class LossImprovement(ValueLaw):
    """Improvement of the loss by one step at the best learning rate (arXiv 1812.06162)."""

    tables = ("optima",)
    predicts = ("improvement",)
    covariates = ()
    needs_batch_size = True
    own_parameters = (
        Parameter(
            "log_largest_improvement", "improvement by a step of a very large batch", "ln nats",
            AtGridCentre("improvement", 1.5), "within a factor of 20 of the middle of those measured", group_sd=0.7,
        ),
        NOISE_SCALE,
    )  # fmt: skip

    def equation(self) -> tuple[str, ...]:
        """What it says, as a template."""
        return (
            "B_noise = {log_noise_scale:exp}",
            "improvement = {log_largest_improvement:exp} / (1 + B_noise / B)",
        )

    def log_value(self, quantity: str, p: Values, x: Values, log_batch_size: Numbers) -> jax.Array:
        """Natural log of the improvement, nats."""
        return p["log_largest_improvement"] - jax.nn.softplus(p["log_noise_scale"] - log_batch_size)
