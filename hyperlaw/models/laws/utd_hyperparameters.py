"""`UTDHyperparameters`: best batch size and learning rate of value-based RL over the updates-to-data ratio.

    B*(sigma) = B_0 sigma^s_B,   eta*(sigma) = eta_0 sigma^s_eta

Rybkin et al. 2025 (arXiv 2502.04327), whose slopes are shared by all environments (-0.31 and -0.28 on Gym) or separate.
`UTDHyperparametersBySize` adds the critic's parameters (Fu et al. 2025, arXiv 2508.14881):

    B*(sigma, N) = a_B / (sigma^alpha_B (1 + (b_B / N)^beta_B))

written from its value at the pivot. Batches may grow with the critic, up to an asymptote that sweeps seldom reach.
"""

from typing import ClassVar

import jax
import numpyro.distributions as dist

from hyperlaw.models.equation import power
from hyperlaw.models.law import Numbers, OptimumLaw, Values, register
from hyperlaw.models.parameter import Parameter
from hyperlaw.models.prior import AtGridCentre

BATCH_SIZE = Parameter(
    "log_batch_size", "best batch size at the pivot", "ln transitions", AtGridCentre("batch_size", 1.0),
    "within a factor of 7 of the middle of those found", group_sd=0.4,
)  # fmt: skip
BATCH_EXPONENT = Parameter(
    "exponent_utd", "exponent of the best batch size with the updates-to-data ratio", "", dist.Normal(-0.35, 0.2),
    "published -0.31 and -0.49 (2502.04327)", group_sd=0.2, informed_by=("utd",),
)  # fmt: skip
LEARNING_RATE = Parameter(
    "log_learning_rate", "best learning rate at the pivot", "ln", AtGridCentre("learning_rate", 1.5),
    "within a factor of 20 of the middle of those found", group_sd=0.7,
)  # fmt: skip
RATE_EXPONENT = Parameter(
    "rate_exponent_utd", "exponent of the best learning rate with the updates-to-data ratio", "",
    dist.Normal(-0.35, 0.2), "published -0.28 and -0.32 (2502.04327)", group_sd=0.2, informed_by=("utd",),
)  # fmt: skip


@register
class UTDHyperparameters(OptimumLaw):
    """Best batch size and learning rate as powers of the updates-to-data ratio (arXiv 2502.04327)."""

    tables = ("optima",)
    covariates: ClassVar[tuple[str, ...]] = ("utd",)
    own_parameters: ClassVar[tuple[Parameter, ...]] = (BATCH_SIZE, BATCH_EXPONENT, LEARNING_RATE, RATE_EXPONENT)

    def equation(self) -> tuple[str, ...]:
        """What it says, as a template."""
        return (
            "B* = {log_batch_size:exp}" + power("utd", "exponent_utd"),
            "eta* = {log_learning_rate:exp}" + power("utd", "rate_exponent_utd"),
        )

    def log_batch_size(self, p: Values, x: Values) -> jax.Array:
        """Natural log of the best batch size."""
        return p["log_batch_size"] + p["exponent_utd"] * x["utd"]

    def log_learning_rate(self, p: Values, x: Values, log_batch_size: Numbers) -> jax.Array:
        """Natural log of the best learning rate; the batch size has no say."""
        return p["log_learning_rate"] + p["rate_exponent_utd"] * x["utd"]


@register
class UTDHyperparametersBySize(UTDHyperparameters):
    """The same, with a batch size that grows with the critic up to an asymptote (arXiv 2508.14881)."""

    covariates = ("utd", "params")
    own_parameters = (
        *UTDHyperparameters.own_parameters,
        Parameter(
            "exponent_params", "exponent of the best batch size with parameters, for small critics", "",
            dist.LogNormal(-0.5, 0.5), "published 0.39 to 0.65, once 3.1 (2508.14881)", informed_by=("params",),
        ),
        Parameter(
            "log_half_params", "parameters, above the pivot, at which the batch is half its asymptote", "ln",
            dist.Normal(0.0, 2.0), "published from within the sweep to 200 times beyond it (2508.14881)",
        ),
    )  # fmt: skip

    def equation(self) -> tuple[str, ...]:
        """What it says, as a template."""
        batch, rate = super().equation()
        growth = " · (1 + (N_half / {params})^b) / (1 + (N_half / N)^b)"
        return "N_half = {params} · {log_half_params:exp}", "b = {exponent_params}", batch + growth, rate

    def log_batch_size(self, p: Values, x: Values) -> jax.Array:
        """Natural log of the best batch size."""
        exponent, half = p["exponent_params"], p["log_half_params"]
        growth = jax.nn.softplus(exponent * half) - jax.nn.softplus(exponent * (half - x["params"]))
        return super().log_batch_size(p, x) + growth
