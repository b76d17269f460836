"""`TimeTransfer`, `TimeTransferTied`: the surge curve of learning rate over batch size, over the token horizon T.

    eta*(T, B) = eta_crit(T) / cosh(1/2 ln(B / B_crit(T)))
    B_crit(T)  = B_crit (T/T_0)^kappa,   eta_crit(T) = eta_crit (T/T_0)^rho,   B*(T) = B_0 (T/T_0)^b

Filatov et al. 2024 (arXiv 2410.05838) for the transfer over T; Li et al. 2024 (arXiv 2405.14578, eq. 2)
for the curve over B. For B far below, at and far above B_crit the best learning rate goes as
sqrt(B) T^(rho - kappa/2), T^rho and T^(rho + kappa/2) / sqrt(B): three regimes of one curve.
`TimeTransferTied` is its rival with kappa = b: then B* is the same share of B_crit at every horizon.
"""

from typing import ClassVar

import jax
import numpyro.distributions as dist

from hyperlaw.models.equation import power
from hyperlaw.models.law import Numbers, OptimumLaw, Values, register
from hyperlaw.models.laws.step_law import BATCH_SIZE, EXPONENT_DATA
from hyperlaw.models.laws.surge import log_cosh
from hyperlaw.models.parameter import Parameter
from hyperlaw.models.prior import AtGridCentre


@register
class TimeTransfer(OptimumLaw):
    """Best learning rate by the surge curve, whose peak moves with data (arXiv 2410.05838, 2405.14578)."""

    covariates = ("params", "data")
    alternatives = (("width", "data"), ("data",))
    has_critical_batch = True
    critical_exponent = "critical_exponent_data"  # of the critical batch size with data
    own_parameters: ClassVar[tuple[Parameter, ...]] = (
        BATCH_SIZE,
        EXPONENT_DATA,
        Parameter(
            "log_critical_ratio", "critical batch size over best batch size, at the pivot", "ln", dist.Normal(1, 1),
            "the best batch size stays below the critical one while both grow (2410.05838)", group_sd=0.5,
            informed_by=("batch_size",),
        ),
        Parameter(
            "critical_exponent_data", "exponent kappa of the critical batch size with data", "",
            dist.Normal(0.7, 0.35), "published 1.0 (2410.05838), 0.47 (2410.21676), 0.46 (2505.13738)", group_sd=0.1,
            informed_by=("data",),
        ),
        Parameter(
            "log_peak_rate", "learning rate at the peak of the surge, at the pivot", "ln",
            AtGridCentre("learning_rate", 1.5), "a sweep is laid around where its author expects it", group_sd=0.5,
        ),
        Parameter(
            "rate_exponent_data", "exponent rho of the peak learning rate with data", "", dist.Normal(0, 0.3),
            "0 reproduces the three regimes of 2410.05838; its sign is disputed", group_sd=0.1, informed_by=("data",),
        ),
        Parameter(
            "rate_exponent_params", "exponent of the peak learning rate with parameters", "", dist.Normal(0, 0.1),
            "0 under the maximal-update parametrisation, which the law presumes", group_sd=0.1,
            informed_by=("params",),
        ),
    )  # fmt: skip
    further_parameters = (
        Parameter(
            "rate_exponent_width", "exponent of the peak learning rate with width", "", dist.Normal(0, 0.2),
            "as with parameters, which grow as its square", group_sd=0.2, informed_by=("width",),
        ),
    )  # fmt: skip

    def equation(self) -> tuple[str, ...]:
        """What it says, as a template."""
        peak = "".join(power(name, f"rate_exponent_{name}") for name in self.covariates)
        return (
            "B_0 = {log_batch_size:exp}",
            "B* = B_0" + power("data", "exponent_data"),
            "B_crit = B_0 · {log_critical_ratio:exp}" + power("data", self.critical_exponent),
            "eta* = {log_peak_rate:exp}" + peak + " · 2 / ((B / B_crit)^0.5 + (B_crit / B)^0.5)",
        )

    def log_batch_size(self, p: Values, x: Values) -> jax.Array:
        """Natural log of the best batch size."""
        return p["log_batch_size"] + p["exponent_data"] * x["data"]

    def log_critical_batch(self, p: Values, x: Values) -> jax.Array:
        """Natural log of the critical batch size."""
        return p["log_batch_size"] + p["log_critical_ratio"] + p[self.critical_exponent] * x["data"]

    def log_learning_rate(self, p: Values, x: Values, log_batch_size: Numbers) -> jax.Array:
        """Natural log of the best learning rate at a given batch size."""
        peak = p["log_peak_rate"] + p["rate_exponent_data"] * x["data"]
        for name in self.covariates:
            if name != "data":
                peak = peak + p[f"rate_exponent_{name}"] * x[name]
        return peak - log_cosh(0.5 * (log_batch_size - self.log_critical_batch(p, x)))


@register
class TimeTransferTied(TimeTransfer):
    """Time transfer whose best batch size is the same share of the critical one at every horizon (arXiv 2410.05838)."""

    critical_exponent = EXPONENT_DATA.name
    own_parameters = tuple(p for p in TimeTransfer.own_parameters if p.name != TimeTransfer.critical_exponent)
