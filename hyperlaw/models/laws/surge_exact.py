"""`SurgeExact`: the surge without its small-batch approximation: a rise, a fall, and a plateau at large batches.

    eta*(B) = eta_max / cosh(ln(f / sqrt(gamma))),   f = erf(sqrt(pi)/2 sqrt(gamma B / B_noise))

This is beta f / (f^2 + gamma) with eta_max = beta / (2 sqrt(gamma)): Li et al. 2024 (arXiv 2405.14578, Theorem 2) for
coordinates of equal signal-to-noise, whose signs become certain at B_noise / gamma. As gamma goes to 0 it is `Surge`
with its peak at B_noise; for gamma of 1 and more the curve rises to its plateau without a peak.
"""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from hyperlaw.models.law import Numbers, OptimumLaw, Values, register
from hyperlaw.models.laws.noise_scale import NOISE_SCALE, PEAK_RATE
from hyperlaw.models.laws.surge import log_cosh
from hyperlaw.models.parameter import Parameter


@register
class SurgeExact(OptimumLaw):
    """Best learning rate of Adam over batch size, with peak and plateau (arXiv 2405.14578, Theorem 2)."""

    tables = ("optima",)
    predicts = ("learning_rate",)
    covariates = ()
    needs_batch_size = True
    own_parameters = (
        PEAK_RATE,
        NOISE_SCALE,
        Parameter(
            "log_gamma", "noise scale over the batch size at which signs become certain", "ln", dist.Normal(-2, 1.5),
            "from a clean surge (-5) past its vanishing (0)", informed_by=("batch_size",),
        ),
    )  # fmt: skip

    def equation(self) -> tuple[str, ...]:
        """What it says, as a template."""
        return (
            "B_noise = {log_noise_scale:exp}",
            "gamma = {log_gamma:exp}",
            "f = erf(0.886227 · (gamma · B / B_noise)^0.5)",
            "eta* = {log_peak_rate:exp} · 2 / (f / gamma^0.5 + gamma^0.5 / f)",
        )

    def log_learning_rate(self, p: Values, x: Values, log_batch_size: Numbers) -> jax.Array:
        """Natural log of the best learning rate at a given batch size."""
        half = 0.5 * (p["log_gamma"] + log_batch_size - p["log_noise_scale"])
        signs = jax.scipy.special.erf(jnp.sqrt(jnp.pi) / 2 * jnp.exp(half))
        return p["log_peak_rate"] - log_cosh(jnp.log(signs) - 0.5 * p["log_gamma"])
