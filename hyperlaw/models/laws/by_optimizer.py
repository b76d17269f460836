"""`ByOptimizer`: `NoiseScale` for the tasks trained with SGD and `Surge` for those trained with Adam, in one fit.

    eta*(B) = eta_SGD / (1 + B_noise / B)                  with SGD  (McCandlish et al. 2018, arXiv 1812.06162)
    eta*(B) = eta_Adam / cosh(1/2 ln(r B / B_noise))       with Adam (Li et al. 2024, arXiv 2405.14578)

Both curves turn at a noise scale that is a property of the gradients, so that tasks pool theirs whatever trained them;
r, near 1, is how far the two definitions differ.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from hyperlaw.models.law import Numbers, OptimumLaw, Values, register
from hyperlaw.models.laws.noise_scale import NOISE_SCALE, PEAK_RATE
from hyperlaw.models.laws.surge import log_cosh
from hyperlaw.models.parameter import Parameter


@register
class ByOptimizer(OptimumLaw):
    """Best learning rate over batch size, the curve chosen by the optimizer (arXiv 1812.06162, 2405.14578)."""

    tables = ("optima",)
    predicts = ("learning_rate",)
    covariates = ("optimizer",)
    labels: ClassVar[dict[str, tuple[str, ...]]] = {"optimizer": ("sgd", "adam")}
    needs_batch_size = True
    own_parameters = (
        PEAK_RATE,
        Parameter(
            "log_adam_ratio", "best learning rate of Adam over that of SGD, at the top of each curve", "ln",
            dist.Normal(-4.0, 2.0), "from a factor of 3000 below to one like SGD's",
        ),
        NOISE_SCALE,
        Parameter(
            "log_turn_ratio", "noise scale of SGD's curve over that of Adam's", "ln", dist.Normal(0.0, 0.7),
            "equal in theory (2405.14578)",
        ),
    )  # fmt: skip

    def equation(self) -> tuple[str, ...]:
        """What it says, as a template."""
        return (
            "B_noise = {log_noise_scale:exp}",
            "eta_max = {log_peak_rate:exp}",
            "x = B · {log_turn_ratio:exp} / B_noise",
            "eta_sgd = eta_max / (1 + B_noise / B)",
            "eta_adam = eta_max · {log_adam_ratio:exp} · 2 / (x^0.5 + (1 / x)^0.5)",
        )

    def log_learning_rate(self, p: Values, x: Values, log_batch_size: Numbers) -> jax.Array:
        """Natural log of the best learning rate at a given batch size."""
        above = log_batch_size - p["log_noise_scale"]
        sgd = -jax.nn.softplus(-above)
        adam = p["log_adam_ratio"] - log_cosh(0.5 * (above + p["log_turn_ratio"]))
        return p["log_peak_rate"] + jnp.where(x["optimizer"] > 0.5, adam, sgd)
