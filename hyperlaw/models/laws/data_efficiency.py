"""`DataEfficiency`: environment steps that value-based RL needs to reach a performance, over updates-to-data ratio.

    D_J(sigma) = D_min,J + (beta_J / sigma)^alpha                     (Rybkin et al. 2025, arXiv 2502.04327)
    D_J(sigma, N) = D_min,J + (a_J / sigma)^alpha + (b_J / N)^beta    (Fu et al. 2025, arXiv 2508.14881)

alpha is shared over performances. In `DataEfficiencyByThreshold` each has its own, as in the paper, but drawn from a
population: alpha_J = alpha exp(deviation_J). All are written from their value at the pivot (sigma_0, N_0), which the
data know well, and the share w of it that no update can save:

    D_J(sigma, N) = D_J ( w_J + (1 - w_J) (m (sigma/sigma_0)^-alpha + (1 - m) (N/N_0)^-beta) ),   D_min,J = w_J D_J

so that D_min lies below the law everywhere. With the performance J scaled to j from -1 to 1 over the thresholds,

    ln D_J = ln D_0 + slope (exp(bend j) - 1) / bend,   logit w_J = w_0 + w_1 j

so that more performance always takes more data. `hl.efficiency` has alpha_J, beta_J and D_min,J of a fit.
"""

from math import log
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from hyperlaw.models.law import Numbers, ValueLaw, Values, register
from hyperlaw.models.parameter import Parameter
from hyperlaw.models.prior import AtGridCentre

EXPONENT = Parameter(
    "exponent_utd", "exponent alpha with which updates save data", "", dist.LogNormal(log(0.9), 0.35),
    "published 0.58 to 1.41 (2502.04327)", group_sd=0.15, informed_by=("utd",),
)  # fmt: skip


@register
class DataEfficiency(ValueLaw):
    """Data to reach a performance over the updates-to-data ratio (arXiv 2502.04327)."""

    tables = ("crossings",)
    predicts = ("data",)
    covariates: ClassVar[tuple[str, ...]] = ("utd", "threshold")
    linear = ("threshold",)
    own_parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            "log_data", "data to the middle performance at the pivot", "ln environment steps",
            AtGridCentre("data", 1.5),
            "within a factor of 20 of the middle of those measured", group_sd=0.7,
        ),
        Parameter(
            "data_slope", "growth of ln data over half the range of performances", "ln", dist.LogNormal(log(0.7), 0.5),
            "more performance takes more data: published 0.6 to 0.8 (recomputed from 2502.04327)", group_sd=0.3,
        ),
        Parameter(
            "data_bend", "how that growth steepens with performance", "", dist.Normal(0.2, 0.4),
            "0 is even in ln; most tasks grow harder towards the end", group_sd=0.3,
        ),
        Parameter(
            "logit_least_share", "share of the data at the pivot that no update can save", "logit",
            dist.Normal(0.5, 1.0), "published 0.4 to 0.8 (recomputed from 2502.04327)", group_sd=0.4,
        ),
        Parameter(
            "least_share_slope", "how that share moves over half the range of performances", "logit",
            dist.Normal(0.0, 0.5), "published D_min grows about as fast as D", group_sd=0.2,
        ),
        EXPONENT,
    )  # fmt: skip

    def equation(self) -> tuple[str, ...]:
        """What it says, as a template."""
        return (
            "j = (J - {threshold}) / {threshold_unit}",
            "b = {data_bend}",
            "D_J = {log_data:exp} · exp({data_slope} · (exp(b · j) - 1) / b)",
            "w = 1 / (1 + 1 / exp({logit_least_share} + j · {least_share_slope}))",
            *self._saved(),
            "D = D_J · (w + (1 - w) · saved)",
        )

    def _saved(self) -> tuple[str, ...]:
        return ("saved = ({utd} / sigma)^{exponent_utd}",)

    def log_value(self, quantity: str, p: Values, x: Values, log_batch_size: Numbers) -> jax.Array:
        """Natural log of the data to reach the performance."""
        logit = self._logit_least(p, x)
        saved = self._log_saved(p, x)
        return self._log_at_pivot(p, x) + jnp.logaddexp(jax.nn.log_sigmoid(logit), jax.nn.log_sigmoid(-logit) + saved)

    def log_least(self, p: Values, x: Values) -> jax.Array:
        """Natural log of D_min: the data that no number of updates (and no critic) can save."""
        return self._log_at_pivot(p, x) + jax.nn.log_sigmoid(self._logit_least(p, x))

    def shifts(self, p: Values) -> dict[str, jax.Array]:
        """Log of the share that the exponents act on: the data pin their product, the slope at the pivot."""
        return {"exponent_utd": jax.nn.log_sigmoid(-p["logit_least_share"])}

    def log_saved(self, p: Values, x: Values) -> jax.Array:
        """Natural log of (beta_J / sigma)^alpha at the pivot's ratio: the data that updates can still save there."""
        return self._log_at_pivot(p, x) + jax.nn.log_sigmoid(-self._logit_least(p, x))

    def _log_at_pivot(self, p: Values, x: Values) -> jax.Array:
        bend = p["data_bend"] * x["threshold"]
        even = jnp.abs(bend) < 1e-4
        grown = jnp.where(even, 1 + bend / 2, jnp.expm1(bend) / jnp.where(even, 1.0, bend))
        return p["log_data"] + p["data_slope"] * x["threshold"] * grown

    def _logit_least(self, p: Values, x: Values) -> jax.Array:
        return p["logit_least_share"] + p["least_share_slope"] * x["threshold"]

    def _log_saved(self, p: Values, x: Values) -> jax.Array:
        return -p["exponent_utd"] * x["utd"]


@register
class DataEfficiencyByThreshold(DataEfficiency):
    """The same with an exponent of its own for each threshold (arXiv 2502.04327)."""

    by_threshold = ("exponent_utd",)


@register
class DataEfficiencyBySize(DataEfficiency):
    """The same over updates-to-data ratio and the critic's parameters (arXiv 2508.14881)."""

    covariates = ("utd", "params", "threshold")
    own_parameters = (
        *DataEfficiency.own_parameters,
        Parameter(
            "exponent_params", "exponent beta with which parameters save data", "", dist.LogNormal(log(0.9), 0.35),
            "published 0.46 to 1.35 (2508.14881)", group_sd=0.15, informed_by=("params",),
        ),
        Parameter(
            "logit_update_share", "share of what can be saved that updates save, at the pivot", "logit",
            dist.Normal(0.0, 1.0), "published either way", group_sd=0.4,
        ),
    )  # fmt: skip

    def _saved(self) -> tuple[str, ...]:
        return (
            "m = 1 / (1 + 1 / exp({logit_update_share}))",
            "saved = m · ({utd} / sigma)^{exponent_utd} + (1 - m) · ({params} / N)^{exponent_params}",
        )

    def log_saved(self, p: Values, x: Values) -> jax.Array:
        """Natural log of (a_J / sigma)^alpha at the pivot's ratio."""
        return super().log_saved(p, x) + jax.nn.log_sigmoid(p["logit_update_share"])

    def shifts(self, p: Values) -> dict[str, jax.Array]:
        """The same, of what updates and of what parameters can save."""
        saved, share = jax.nn.log_sigmoid(-p["logit_least_share"]), p["logit_update_share"]
        return {
            "exponent_utd": saved + jax.nn.log_sigmoid(share), "exponent_params": saved + jax.nn.log_sigmoid(-share),
        }  # fmt: skip

    def _log_saved(self, p: Values, x: Values) -> jax.Array:
        share = p["logit_update_share"]
        updates = jax.nn.log_sigmoid(share) - p["exponent_utd"] * x["utd"]
        return jnp.logaddexp(updates, jax.nn.log_sigmoid(-share) - p["exponent_params"] * x["params"])
