"""`NoiseGrowth`: the noise scale of the gradient grows along training, with data, or as the loss falls.

    B_noise = B_0 (L_0 / L)^lambda           with falling loss
    B_noise = B_0 (D / D_0)^kappa            with data, `over=("data",)`
    B_noise = B_0 (D / D_0)^kappa (L_0 / L)^lambda    with both, `over=("data", "loss")`

B_noise = tr(Sigma) / |G|^2 is measured (McCandlish et al. 2018, arXiv 1812.06162, eq. 2.9 and appendix A.1). The powers
are those that papers state for the critical batch size, which is the mean of B_noise over a run (eq. 2.12): 1/alpha_B =
4.76 with falling loss (Kaplan et al. 2020, arXiv 2001.08361); with data 1 (2410.05838), 0.47 (2410.21676), 0.46
(2505.13738). Along one run data and loss move together: over both, the exponents are told apart only by tasks or sizes
that reach one loss after different data.
"""

from typing import ClassVar

import jax
import numpyro.distributions as dist

from hyperlaw.models.equation import power
from hyperlaw.models.law import Numbers, ValueLaw, Values, register
from hyperlaw.models.parameter import Parameter
from hyperlaw.models.prior import AtGridCentre


@register
class NoiseGrowth(ValueLaw):
    """Noise scale of the gradient as the loss falls, or over data (arXiv 1812.06162, 2001.08361)."""

    tables = ("noise_measurements",)
    predicts = ("noise_scale",)
    covariates: ClassVar[tuple[str, ...]] = ("loss",)
    alternatives = (("data",), ("data", "loss"))
    own_parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            "log_noise_scale", "noise scale at the pivot", "ln data points", AtGridCentre("noise_scale", 2.0),
            "within a factor of 50 of the middle of those measured", group_sd=0.7,
        ),
        Parameter(
            "noise_exponent_loss", "exponent lambda of the noise scale with falling loss", "", dist.Normal(2.0, 1.5),
            "above 0 where noise grows as the loss falls; 4.76 published for language models (2001.08361), "
            "less where a loss falls by decades", group_sd=0.3, informed_by=("loss",),
        ),
    )  # fmt: skip
    further_parameters = (
        Parameter(
            "noise_exponent_data", "exponent kappa of the noise scale with data", "", dist.Normal(0.6, 0.4),
            "published for the critical batch size: 1 (2410.05838), 0.47 (2410.21676), 0.46 (2505.13738)",
            group_sd=0.1, informed_by=("data",),
        ),
    )  # fmt: skip

    def equation(self) -> tuple[str, ...]:
        """What it says, as a template."""
        grows = {
            "data": power("data", "noise_exponent_data"),
            "loss": " · ({loss} / L)^{noise_exponent_loss}",
        }
        return ("B_noise = {log_noise_scale:exp}" + "".join(grows[name] for name in self.covariates),)

    def log_value(self, quantity: str, p: Values, x: Values, log_batch_size: Numbers) -> jax.Array:
        """Natural log of the noise scale."""
        total = p["log_noise_scale"]
        for name, sign in (("data", 1), ("loss", -1)):
            if name in self.covariates:
                total = total + sign * p[f"noise_exponent_{name}"] * x[name]
        return total
