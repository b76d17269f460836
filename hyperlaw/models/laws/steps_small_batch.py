"""`StepsSmallBatch`: steps to a target loss where too small a batch wastes examples too.

    S = S_min (1 + (B_crit / B)^k)^(1/k) (1 + B_small / B),   E = B S

`StepsExamples` (arXiv 1812.06162) says that the smaller the batch, the fewer the examples. Of runs of Adam whose
learning rate stays constant that is not so (docs/evidence/critical-batch.md). Here every step wastes B_small examples:
E is B + B_small times the steps of `StepsExamples`, which is the case B_small = 0. Examples are fewest at

    B_opt = B_crit^(k / (k + 1)) B_small^(1 / (k + 1))

and rise on both sides of it. This is a rival of our own. For warmup-stable-decay schedules Zhou et al. 2026 (arXiv
2601.05034, as two reading notes quote it alike; the paper itself was not read) state three pieces:

    E = B_-1 / (S - S_min) + B_0    for S_min < S < S_1
    E = C (S - S_opt)^2 + E_min     for S_1 < S < S_2,   B_opt = E_min / S_opt
    E = A_1 S + A_0                 for S > S_2,         B_min = A_1

The first is the hyperbola, as here, and the second is any smooth minimum from nearby. The third says that no number of
steps reaches the loss at a batch size of B_min or less: E = A_0 / (1 - B_min / B), to first order A_0 (1 + B_min / B),
as here with B_small for B_min. Further down E grows in proportion to S there and as its root here: batch sizes that
reached the loss hardly tell the two apart. Three pieces have ten numbers a curve, six where they join smoothly, and a
threshold makes steps infinite at batch sizes that nobody ran.
"""

import jax
import numpyro.distributions as dist

from hyperlaw.models.law import Numbers, Values, register
from hyperlaw.models.laws.steps_examples import StepsExamples
from hyperlaw.models.parameter import Parameter


@register
class StepsSmallBatch(StepsExamples):
    """Steps to a target loss over batch size, with a batch size of fewest examples."""

    # The critical batch size of `hl.trade_off` has no term for what small batches waste.
    has_critical_batch = False
    own_parameters = (
        *StepsExamples.own_parameters,
        Parameter(
            "log_small_ratio", "B_small / B_crit: examples that a step wastes, over the critical batch size", "ln",
            dist.Normal(-4.0, 2.0),
            "from a thousandth of B_crit, which few sweeps would see, to half of it, where no batch size is cheap",
            group_sd=0.5, informed_by=("batch_size",),
        ),
    )  # fmt: skip

    def equation(self) -> tuple[str, ...]:
        """What it says, as a template."""
        *before, steps = super().equation()
        return (*before, "B_small = B_crit · {log_small_ratio:exp}", f"{steps} · (1 + B_small / B)")

    def log_cheapest_batch(self, p: Values, x: Values) -> Numbers:
        """Natural log of B_opt, the batch size that needs the fewest examples."""
        return self.log_critical_batch(p, x) + p["log_small_ratio"] / (p["knee"] + 1)

    def log_value(self, quantity: str, p: Values, x: Values, log_batch_size: Numbers) -> jax.Array:
        """Natural log of the steps to the target loss."""
        small = self.log_critical_batch(p, x) + p["log_small_ratio"]
        return super().log_value(quantity, p, x, log_batch_size) + jax.nn.softplus(small - log_batch_size)
