"""`ThreeTerm`: the loss as a sum of powers of parameters, batch size and steps; the best batch size follows from it.

    L(N, B, K) = E + A / N^alpha + B_1 / B^beta + K_1 / K^gamma,      K = D / B steps
    B*(D)      = (beta B_1 / (gamma K_1))^(1 / (beta + gamma)) D^b,   b = gamma / (beta + gamma)

Schaipp 2026 (arXiv 2607.01487), at the best learning rate. What the loss lacks at other batch sizes, how fast it falls
with data, and how the best batch size grows are here three sides of one sum: with q the fall of the lowest loss with
ln D, v = ln B - ln B*(D) and d = beta gamma / (beta + gamma),

    L = E + A / N^alpha + q (exp(-beta v) / beta + exp(gamma v) / gamma),   q = q_0 (D / D_0)^-d

So runs tell of the best batch size by their lowest losses too, and cells need not try several batch sizes. Of the
loss surface that laws of runs share (`hyperlaw.models.likelihoods.surface`) the law settles all that is said twice;
A and E are there by the slope with ln N and the lowest loss at the pivot. The learning rate is that of `StepLaw`, and
without a size the second term is part of E.
"""

from math import log

import jax
import numpyro.distributions as dist

from hyperlaw.models.equation import RIDGE, SYMBOLS, power
from hyperlaw.models.law import Numbers, Values, register
from hyperlaw.models.laws.step_law import StepLaw
from hyperlaw.models.parameter import Parameter

EXPONENT_BATCH = Parameter(
    "exponent_batch", "exponent with which the loss falls with the batch size, at equal steps", "",
    dist.LogNormal(log(0.6), 0.4),
    "with the exponent of steps it makes 0.34 in data, published 0.28 to 0.37 (2203.15556, 2404.10102)", group_sd=0.1,
    informed_by=("data", "batch_size"),
)  # fmt: skip
EXPONENT_STEPS = Parameter(
    "exponent_steps", "exponent with which the loss falls with steps, at equal batch size", "",
    dist.LogNormal(log(0.76), 0.4),
    "published 0.76 (2001.08361); then the best batch size grows with an exponent of 0.33 to 0.76 in data",
    group_sd=0.1, informed_by=("data", "batch_size"),
)  # fmt: skip
OF_BATCH_SIZE = ("exponent_params", "exponent_data", "exponent_width")  # of `StepLaw`: here they follow


@register
class ThreeTerm(StepLaw):
    """The loss as a sum of powers of parameters, batch size and steps, and its best batch size (arXiv 2607.01487)."""

    tables = ("runs",)
    alternatives = (("width", "data"), ("data",))
    says_loss = True
    own_parameters = (
        *(p for p in StepLaw.own_parameters if p.name not in OF_BATCH_SIZE),
        EXPONENT_BATCH,
        EXPONENT_STEPS,
    )
    further_parameters = tuple(p for p in StepLaw.further_parameters if p.name not in OF_BATCH_SIZE)

    def equation(self) -> tuple[str, ...]:
        """What it says, as a template."""
        rate = "".join(power(name, f"rate_exponent_{name}") for name in self.covariates)
        size = "".join(
            f"{{optimal_loss_slope_{name}}} / {{optimal_loss_exponent_{name}}} · "
            f"(({{{name}}} / {SYMBOLS[name]})^{{optimal_loss_exponent_{name}}} - 1) + "
            for name in self.covariates
            if name != "data"
        )
        return (
            "b = {exponent_steps} / ({exponent_batch} + {exponent_steps})",
            "B_0 = {log_batch_size:exp}",
            "B* = B_0 · (D / {data})^b",
            "eta* = {log_learning_rate:exp}" + rate + f" · {RIDGE}",
            "K_0 = {data} / B_0",
            "K = D / B",
            "L = {optimal_loss} + " + size + "{optimal_loss_slope_data} / {exponent_batch} · "
            "((B_0 / B)^{exponent_batch} - 1) + {optimal_loss_slope_data} / {exponent_steps} · "
            "((K_0 / K)^{exponent_steps} - 1)",
        )

    def log_batch_size(self, p: Values, x: Values) -> jax.Array:
        """Natural log of the best batch size."""
        return p["log_batch_size"] + p["exponent_steps"] / (p["exponent_batch"] + p["exponent_steps"]) * x["data"]

    def settled(self, p: Values) -> dict[str, Numbers]:
        """What the sum says of the loss surface: how its trend levels off in data, and its bowl over batch sizes."""
        batch, steps, slope = p["exponent_batch"], p["exponent_steps"], p["optimal_loss_slope_data"]
        data = batch * steps / (batch + steps)
        none = 0.0 * slope  # of the shape of the others
        return {
            "optimal_loss_exponent_data": data,
            "optimal_loss_early_data": none,
            "optimal_loss_coupling": none,
            "sharpness_batch_size": slope * (batch + steps) / 2,
            "skew_batch_size": steps,
            "skew_small_batch": batch,
            **{f"optimal_loss_bend_{name}": none for name in self.covariates},
            **{f"sharpness_batch_exponent_{name}": -data if name == "data" else none for name in self.covariates},
        }
