"""`NoiseScale`: the best learning rate of SGD rises with the batch size and saturates at the noise scale.

    eta*(B) = eta_max / (1 + B_noise / B)

McCandlish et al. 2018 (arXiv 1812.06162, eq. 2.6): linear in B far below B_noise, constant far above.
"""

import jax

from hyperlaw.models.law import Numbers, OptimumLaw, Values, register
from hyperlaw.models.parameter import Parameter
from hyperlaw.models.prior import AtGridCentre

NOISE_SCALE = Parameter(
    "log_noise_scale", "noise scale: batch size at which the curve turns", "ln data points",
    AtGridCentre("batch_size", 1.5),
    "a sweep is laid around where the curve is expected to turn; wide enough to miss it", group_sd=0.7,
    informed_by=("batch_size",), within="batch_size",
)  # fmt: skip
PEAK_RATE = Parameter(
    "log_peak_rate", "best learning rate at the top of the curve", "ln", AtGridCentre("learning_rate", 1.5),
    "within a factor of 20 of the middle of those found", group_sd=0.7,
)  # fmt: skip


@register
class NoiseScale(OptimumLaw):
    """Best learning rate of SGD over batch size (arXiv 1812.06162)."""

    tables = ("optima",)
    predicts = ("learning_rate",)
    covariates = ()
    needs_batch_size = True
    own_parameters = (PEAK_RATE, NOISE_SCALE)

    def equation(self) -> tuple[str, ...]:
        """What it says, as a template."""
        return (
            "B_noise = {log_noise_scale:exp}",
            "eta* = {log_peak_rate:exp} / (1 + B_noise / B)",
        )

    def log_learning_rate(self, p: Values, x: Values, log_batch_size: Numbers) -> jax.Array:
        """Natural log of the best learning rate at a given batch size."""
        return p["log_peak_rate"] - jax.nn.softplus(p["log_noise_scale"] - log_batch_size)
