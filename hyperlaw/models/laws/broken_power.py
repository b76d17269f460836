"""`BrokenPower`: two powers of the batch size, joined at the noise scale.

    ln eta*(B) = ln eta_turn + h v + (l - h)(ln 2 - softplus(-v)),   v = ln B - ln B_noise

Slope l far below B_noise, h far above. It holds `NoiseScale` (1, 0), `Surge` (1/2, -1/2) and `SquareRoot` (1/2, 1/2).
"""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from hyperlaw.models.law import Numbers, OptimumLaw, Values, register
from hyperlaw.models.laws.noise_scale import NOISE_SCALE
from hyperlaw.models.parameter import Parameter
from hyperlaw.models.prior import AtGridCentre

SMALL_BATCH = Parameter(
    "ridge_small_batch", "slope of ln eta* over ln B far below where it turns", "", dist.Normal(0.8, 0.3),
    "between the square-root rule of Adam (1/2) and the linear rule of SGD (1)", group_sd=0.1,
    informed_by=("batch_size",),
)  # fmt: skip
LARGE_BATCH = Parameter(
    "ridge_large_batch", "slope of ln eta* over ln B far above where it turns", "", dist.Normal(0.1, 0.3),
    "saturates (0), goes on (1/2), or falls as in the surge (-1/2)", group_sd=0.1, informed_by=("batch_size",),
)  # fmt: skip


def broken_power(small: Numbers, large: Numbers, v: Numbers) -> jax.Array:
    """Slope `small` far below v = 0, `large` far above; 0 at v = 0."""
    return large * v + (small - large) * (jnp.log(2.0) - jax.nn.softplus(-v))


@register
class BrokenPower(OptimumLaw):
    """Best learning rate over batch size with two free slopes; it nests the other curves."""

    tables = ("optima",)
    predicts = ("learning_rate",)
    covariates = ()
    needs_batch_size = True
    own_parameters = (
        Parameter(
            "log_turn_rate", "best learning rate at the noise scale", "ln", AtGridCentre("learning_rate", 1.5),
            "within a factor of 20 of the middle of those found", group_sd=0.7,
        ),
        NOISE_SCALE,
        SMALL_BATCH,
        LARGE_BATCH,
    )  # fmt: skip

    def equation(self) -> tuple[str, ...]:
        """What it says, as a template."""
        return (
            "B_noise = {log_noise_scale:exp}",
            "eta* = {log_turn_rate:exp} · (2 / (1 + B_noise / B))^{ridge_small_batch} · "
            "((1 + B / B_noise) / 2)^{ridge_large_batch}",
        )

    def log_learning_rate(self, p: Values, x: Values, log_batch_size: Numbers) -> jax.Array:
        """Natural log of the best learning rate at a given batch size."""
        v = log_batch_size - p["log_noise_scale"]
        return p["log_turn_rate"] + broken_power(p["ridge_small_batch"], p["ridge_large_batch"], v)
