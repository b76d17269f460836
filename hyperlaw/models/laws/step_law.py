"""`StepLaw`: power laws in parameters and data, with a bent ridge of learning rate over batch size.

    B*(N, D)         = B_0 N^b_N D^b_D
    eta*(N, D)       = eta_0 N^a_N D^a_D                          at the best batch size
    ln eta*(N, D, B) = ln eta*(N, D) + h v + (l - h)(ln 2 - softplus(-v)),   v = ln B - ln B*(N, D)

Where a table has widths in place of parameters, or one of size and data alone, the powers are in what it has. The
powers are those of Step Law (Li et al. 2025, arXiv 2503.04715): eta* = 1.79 N^-0.713 D^0.307 and
B* = 0.58 D^0.571. The ridge has slope l in ln B far
below the best batch size and slope h far above it.
"""

from typing import ClassVar

import jax
import numpyro.distributions as dist

from hyperlaw.models.equation import RIDGE, power
from hyperlaw.models.law import Numbers, OptimumLaw, Values, register
from hyperlaw.models.laws.broken_power import LARGE_BATCH, SMALL_BATCH, broken_power
from hyperlaw.models.parameter import Parameter
from hyperlaw.models.prior import AtGridCentre

BATCH_SIZE = Parameter(
    "log_batch_size", "best batch size at the pivot", "ln data points", AtGridCentre("batch_size", 1.5),
    "a sweep is laid around where its author expects the optimum; wide enough to lie off the grid", group_sd=0.5,
)  # fmt: skip
LEARNING_RATE = Parameter(
    "log_learning_rate", "best learning rate at the pivot, at the best batch size", "ln",
    AtGridCentre("learning_rate", 1.5),
    "a sweep is laid around where its author expects the optimum; wide enough to lie off the grid", group_sd=0.5,
)  # fmt: skip
EXPONENT_DATA = Parameter(
    "exponent_data", "exponent of the best batch size with data", "", dist.Normal(0.5, 0.15),
    "published 0.38 to 0.69 (Power Lines 2505.13738, Step Law 2503.04715, DeepSeek 2401.02954)", group_sd=0.1,
    informed_by=("data",),
)  # fmt: skip


@register
class StepLaw(OptimumLaw):
    """Best learning rate and batch size as power laws of parameters and data (arXiv 2503.04715)."""

    covariates = ("params", "data")
    alternatives: ClassVar[tuple[tuple[str, ...], ...]] = (("width", "data"), ("params",), ("width",), ("data",))
    own_parameters: ClassVar[tuple[Parameter, ...]] = (
        BATCH_SIZE,
        Parameter(
            "exponent_params", "exponent of the best batch size with parameters", "", dist.Normal(0, 0.15),
            "Step Law finds none once data is accounted for", group_sd=0.1, informed_by=("params",),
        ),
        EXPONENT_DATA,
        LEARNING_RATE,
        Parameter(
            "rate_exponent_params", "exponent of the best learning rate with parameters", "", dist.Normal(-0.4, 0.3),
            "published -0.71, -0.36, -0.23; 0 under the maximal-update parametrisation", group_sd=0.1,
            informed_by=("params",),
        ),
        Parameter(
            "rate_exponent_data", "exponent of the best learning rate with data, at the best batch size", "",
            dist.Normal(0, 0.35), "its sign is disputed: +0.31 Step Law, -0.28 (2510.03871)", group_sd=0.1,
            informed_by=("data",),
        ),
        SMALL_BATCH,
        LARGE_BATCH,
    )  # fmt: skip
    further_parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            "exponent_width", "exponent of the best batch size with width", "", dist.Normal(0, 0.3),
            "twice that with parameters, which grow as its square", group_sd=0.2, informed_by=("width",),
        ),
        Parameter(
            "rate_exponent_width", "exponent of the best learning rate with width", "", dist.Normal(-0.5, 0.5),
            "-1 in the standard parametrisation, 0 in the maximal-update one (2203.03466)", group_sd=0.2,
            informed_by=("width",),
        ),
    )  # fmt: skip

    def equation(self) -> tuple[str, ...]:
        """What it says, as a template."""
        batch = "".join(power(name, f"exponent_{name}") for name in self.covariates)
        rate = "".join(power(name, f"rate_exponent_{name}") for name in self.covariates)
        return "B* = {log_batch_size:exp}" + batch, "eta* = {log_learning_rate:exp}" + rate + f" · {RIDGE}"

    def log_batch_size(self, p: Values, x: Values) -> jax.Array:
        """Natural log of the best batch size."""
        log_batch_size = p["log_batch_size"]
        for name in self.covariates:
            log_batch_size = log_batch_size + p[f"exponent_{name}"] * x[name]
        return log_batch_size

    def log_learning_rate(self, p: Values, x: Values, log_batch_size: Numbers) -> jax.Array:
        """Natural log of the best learning rate at a given batch size."""
        ridge = broken_power(p["ridge_small_batch"], p["ridge_large_batch"], log_batch_size - self.log_batch_size(p, x))
        log_learning_rate = p["log_learning_rate"]
        for name in self.covariates:
            log_learning_rate = log_learning_rate + p[f"rate_exponent_{name}"] * x[name]
        return log_learning_rate + ridge
