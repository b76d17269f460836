"""`trade_off`: time against compute over the batch size, and the batch size of the least price.

A run to a loss takes S(B) steps, one after the other (time), and E = B S examples (compute):

    S / S_min = (1 + (B_crit / B)^k)^(1/k),   E / E_min = (1 + (B / B_crit)^k)^(1/k),   E_min = B_crit S_min

(McCandlish et al. 2018, arXiv 1812.06162, with its knee k = 1). With a price s of a step and e of an example, the price
s S + e E is least where (B_crit / B)^k = B e / s, that is, at

    B* = B_crit^(k / (k + 1)) (s / e)^(1 / (k + 1)):

between B_crit and s / e, the batch size whose step costs as much as its examples; their geometric mean when k = 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from hyperlaw.data.vocabulary import At
from hyperlaw.decision.trusted import trusted
from hyperlaw.display import Shown, View, figures
from hyperlaw.inference.cells import check_target, values_at
from hyperlaw.inference.posterior import Posterior
from hyperlaw.intervals import interval_columns, intervals
from hyperlaw.quote import quote
from hyperlaw.risk import Risk, as_risk, choose, risk_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MULTIPLES = 2.0 ** np.arange(-4, 5)
GRID, POINTS = 200, 81


@dataclass(frozen=True, eq=False, repr=False)
class TradeOff(Shown):
    """What `trade_off` returns.

    Attributes
    ----------
    batch_size
        The batch size whose excess price has the lowest risk, in data points.
    table
        One row a batch size: the chosen one among multiples of the median critical batch size, or among those given.
        Columns `batch_size`, `multiple` (of that median), then `lower, median, upper` (90 %, equal-tailed) of `steps_`
        and `examples_` (as multiples of the fewest) and `excess_` (price above the least, as a share of it), and `risk`
        of that excess.
    intervals
        Rows `critical_batch_size`, `cheapest_batch_size` (of the least price in every draw), `least_steps` and
        `least_examples`, columns `lower, median, upper`.
    draws
        Dataset with dims `chain, draw`: the same, and the `knee`.
    at, price_of_step, price_of_example, risk
        The curve, the prices, and the attitude to risk.
    despite
        The reason given for deciding although checks failed.
    """

    batch_size: float
    table: pd.DataFrame
    intervals: pd.DataFrame
    draws: xr.Dataset
    at: dict[str, Any]
    price_of_step: float
    price_of_example: float
    risk: Risk
    despite: str | None

    def view(self) -> View:
        """What is shown of it."""
        least = self.intervals.loc["cheapest_batch_size"]
        target = ", ".join(f"{name} {figures(value)}" for name, value in self.at.items() if value is not None)
        return View(
            f"Trade-off of steps against examples{f' at {target}' if target else ''}",
            f"Set batch_size = {figures(self.batch_size)} data points; it minimises {risk_name(self.risk)} of the "
            f"excess price. With 90 % probability the cheapest batch size lies between {figures(least['lower'])} and "
            f"{figures(least['upper'])}."
            + (f"\nDecided although checks failed; the reason given: {self.despite}." if self.despite else ""),
            tables={"Batch sizes": self.table, "Intervals (90 %)": self.intervals},
            picture=self.plot,
        )

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Steps, examples and price along the batch size, over a sixteenth to sixteen times the critical one.

        Columns `batch_size` (the chosen one among them); `lower, median, upper` of `steps_` and `examples_`, counts,
        and of `excess_`, as in `table`; and `risk`.
        """
        ends = np.append(self.table["batch_size"], MULTIPLES * self.intervals.loc["critical_batch_size", "median"])
        sizes = np.union1d(np.geomspace(ends.min(), ends.max(), POINTS), self.batch_size)
        found = _relative(self.draws, sizes, np.array([self.price_of_step, self.price_of_example]))
        curves = pd.DataFrame({"batch_size": sizes})
        for name, values in found.items():
            least = 1.0 if name == "excess" else self.draws[f"least_{name}"].values.reshape(-1, 1)
            curves = curves.assign(**interval_columns(values * least, 0, prefix=f"{name}_"))
        return curves.assign(risk=choose(self.risk, found["excess"])[1])

    def plot(self) -> "Figure":
        """Time against compute, and what each batch size costs: see `hyperlaw.plots.trade_off`."""
        from hyperlaw.plots.trade_off import plot_trade_off

        return plot_trade_off(self.curves, chosen=self.batch_size, risk=str(self.risk), intervals=self.intervals)


def trade_off(
    fit: Posterior,
    at: At,
    *,
    price_of_step: float,
    price_of_example: float,
    batch_sizes: Sequence[float] | None = None,
    risk: Risk | str,
    despite: str | None = None,
) -> TradeOff:
    """Choose a batch size for given prices of time and of compute.

    In every draw, what a batch size costs above the least that could be paid in that draw is its excess, as a share of
    that least price. The batch size whose excess has the lowest risk is chosen.

    Parameters
    ----------
    fit
        Of `StepsExamples`, `CriticalBatchLoss`, `CriticalBatchData` or `CriticalBatchParams`.
    at
        The curve: the law's covariates, and `task` where there are several: a known label, or None for a new one.
    price_of_step, price_of_example
        Of the time that a step takes, however large its batch, and of the compute of one example; in one unit.
    batch_sizes
        Those that can be had, in data points. Left out, any.
    risk
        As for `decide`, of the excess.
    despite
        Reason for deciding although checks failed; it is kept in the result.

    Raises
    ------
    TypeError
        When the law has no critical batch size.
    ValueError
        When the target, a price or a batch size is not what is needed.
    RuntimeError
        When a check of the fit failed and no reason is given in `despite`.

    Examples
    --------
    An hour of the cluster costs 90; it makes a step in 0.3 s, however large the batch, and each of 64 devices adds 1 s
    for 2^21 tokens. What batch size is the cheapest way to a loss, when one dreads the expensive surprise?

    >>> steps = runs.steps_to_loss([3.0, 2.9, 2.8], seed=0)
    >>> fit = hl.fit("StepsExamples", steps, seed=0)
    >>> found = hl.trade_off(
    ...     fit,
    ...     {"task": steps.tasks[0]},
    ...     price_of_step=90 / 3600 * 0.3,
    ...     price_of_example=90 / 3600 / (64 * 2**21),
    ...     risk=hl.CVaR(0.9),
    ... )
    >>> found.batch_size  # tokens: also found.table, what half or twice of it would cost
    >>> found.plot().savefig("trade_off.png")
    """
    risk = as_risk(risk)
    task = _check(fit, at, price_of_step, price_of_example, batch_sizes)
    checks = trusted({fit.law.name: fit}, despite)
    draws = _draws(fit, dict(at) | {"task": task}, price_of_step / price_of_example)
    price = np.array([price_of_step, price_of_example])

    # In every draw the price falls up to the cheapest batch size and rises from there: the choice lies among those.
    cheapest, middle = draws["cheapest_batch_size"], float(draws["critical_batch_size"].median())
    given = None if batch_sizes is None else np.unique(np.asarray(batch_sizes, float))
    tried = np.geomspace(cheapest.min(), cheapest.max(), GRID) if given is None else given
    best = float(tried[choose(risk, _relative(draws, tried, price)["excess"])[0]])
    shown = np.union1d(MULTIPLES * middle if given is None else given, best)
    relative = _relative(draws, shown, price)
    table = pd.DataFrame({"batch_size": shown, "multiple": shown / middle})
    for name, values in relative.items():
        table = table.assign(**interval_columns(values, 0, prefix=f"{name}_"))
    return TradeOff(
        best,
        table.assign(risk=choose(risk, relative["excess"])[1]),
        intervals(draws.drop_vars("knee"), ["chain", "draw"]),
        draws,
        dict(at),
        price_of_step,
        price_of_example,
        risk,
        despite if not checks.ok else None,
    )


def _check(fit: Posterior, at: At, step: float, example: float, batch_sizes: Sequence[float] | None) -> str | None:
    """Refuse what is not a curve, a price or a batch size; the task of the curve."""
    if not (fit.law.has_critical_batch and "steps" in fit.law.predicts):
        raise TypeError(
            "trade_off needs a fit of a law of steps with a critical batch size, such as StepsExamples or "
            f"CriticalBatchData; received one of {fit.law.name}, which predicts {' and '.join(fit.law.predicts)}."
        )
    if "batch_size" in at:
        raise ValueError("at must not give batch_size, which is what is chosen; pass batch_sizes= to allow only some.")
    for name, price in (("price_of_step", step), ("price_of_example", example)):
        if not (np.isfinite(price) and price > 0):
            raise ValueError(f"{name} must be finite and above zero, received {quote(price)}.")
    if batch_sizes is not None:
        sizes = np.asarray(batch_sizes, float)
        if not sizes.size or not (np.isfinite(sizes) & (sizes > 0)).all():
            raise ValueError(
                f"batch_sizes must be finite numbers above zero, one or more; received {quote(batch_sizes)}."
            )
    return check_target(fit, dict(at) | {"batch_size": 1.0})[1]


def _draws(fit: Posterior, at: dict[str, Any], balance: float) -> xr.Dataset:
    """The curve's two ends, its knee, and the batch size of the least price; `balance` is s / e."""
    ends = pd.DataFrame([at, at]).assign(batch_size=[1e-60, 1e60])  # E is least at the first, S at the second
    logs = values_at(fit, ends, scatter=False)["steps"]
    examples, steps = logs[..., 0] + np.log(1e-60), logs[..., 1]
    posterior = fit.draws
    knee, critical = posterior["knee"].values, examples - steps
    found = {
        "critical_batch_size": np.exp(critical),
        "cheapest_batch_size": np.exp((knee * critical + np.log(balance)) / (knee + 1)),
        "least_steps": np.exp(steps),
        "least_examples": np.exp(examples),
        "knee": knee,
    }
    dims = ("chain", "draw")
    return xr.Dataset({n: (dims, v) for n, v in found.items()}, {n: posterior[n].values for n in dims})


def _relative(draws: xr.Dataset, batch_sizes: np.ndarray, price: np.ndarray) -> dict[str, np.ndarray]:
    """Steps and examples as multiples of the fewest, and the excess of the price; each (sample, batch size)."""
    one = {name: draws[name].values.reshape(-1, 1) for name in draws}

    def steps_at(batch_size: np.ndarray) -> np.ndarray:
        above = np.log(one["critical_batch_size"] / batch_size)
        return np.exp(np.logaddexp(0, one["knee"] * above) / one["knee"])

    def price_at(batch_size: np.ndarray) -> np.ndarray:
        return (price[0] + price[1] * batch_size) * steps_at(batch_size)

    steps = steps_at(batch_sizes)
    return {
        "steps": steps,
        "examples": steps * batch_sizes / one["critical_batch_size"],
        "excess": price_at(batch_sizes) / price_at(one["cheapest_batch_size"]) - 1,
    }
