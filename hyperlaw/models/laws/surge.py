"""`Surge`: the best learning rate of Adam rises with the batch size, peaks at the noise scale, and falls again.

    eta*(B) = eta_max / (1/2 (sqrt(B_noise/B) + sqrt(B/B_noise))) = eta_max / cosh(1/2 ln(B/B_noise))

Li et al. 2024 (arXiv 2405.14578, eq. 2), for sign-like updates and B far below the batch at which signs are certain.
"""

import jax
import jax.numpy as jnp

from hyperlaw.models.law import Numbers, OptimumLaw, Values, register
from hyperlaw.models.laws.noise_scale import NOISE_SCALE, PEAK_RATE


def log_cosh(x: Numbers) -> jax.Array:
    """Natural log of cosh, without overflow."""
    return jnp.logaddexp(x, -x) - jnp.log(2.0)


@register
class Surge(OptimumLaw):
    """Best learning rate of Adam over batch size, with a peak (arXiv 2405.14578)."""

    tables = ("optima",)
    predicts = ("learning_rate",)
    covariates = ()
    needs_batch_size = True
    own_parameters = (PEAK_RATE, NOISE_SCALE)

    def equation(self) -> tuple[str, ...]:
        """What it says, as a template."""
        return (
            "B_noise = {log_noise_scale:exp}",
            "eta* = {log_peak_rate:exp} · 2 / ((B / B_noise)^0.5 + (B_noise / B)^0.5)",
        )

    def log_learning_rate(self, p: Values, x: Values, log_batch_size: Numbers) -> jax.Array:
        """Natural log of the best learning rate at a given batch size."""
        return p["log_peak_rate"] - log_cosh(0.5 * (log_batch_size - p["log_noise_scale"]))
