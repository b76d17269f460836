"""`Pareto` and `Setting`: what is known of a frontier, and what its `recommend` returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from textwrap import indent
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from hyperlaw.data.optima import Optima
from hyperlaw.diagnostics.spec import Checks
from hyperlaw.display import Shown, View, figures
from hyperlaw.inference.posterior import Posterior
from hyperlaw.intervals import ENDS, interval, interval_columns, intervals, with_interval
from hyperlaw.quote import quote
from hyperlaw.risk import Risk, as_risk, choose, risk_name

POINTS = 40


@dataclass(frozen=True, eq=False, repr=False)
class Setting(Shown):
    """A setting for a budget, or for a performance.

    Attributes
    ----------
    setting
        `utd`, `params` where the critic's size was open, `batch_size`, and `learning_rate` where the optima have it.
        Those two are the medians of the best at that ratio.
    table
        Rows `utd` and `params` (the cheapest), `batch_size` and `learning_rate` (the best of a new cell at the chosen
        ratio), `budget`, `performance` (where the cheapest ratio gets with the budget), `data` and `compute` (FLOPs) at
        the chosen ratio, and `excess` (what that ratio costs above the cheapest one for the same performance, as a
        share of it); columns `lower, median, upper` (90 %, equal-tailed).
    draws
        Dataset with dim `sample` of the same quantities.
    bounds
        Which of `utd` and `params` sits on the end of what was allowed, in words.
    p_beyond
        Share of the draws in which the budget lies beyond the performances of the frontier; the nearest counts there.
    risk
        The attitude to risk.
    """

    setting: dict[str, float]
    table: pd.DataFrame
    draws: xr.Dataset
    bounds: list[str]
    p_beyond: float
    risk: Risk

    @property
    def ends(self) -> list[str]:
        """Where setting or performance ends at what was allowed, or asked for: sentences."""
        found = [f"It sits on an end: {words}." for words in self.bounds]
        if self.p_beyond > 0:
            found.append(
                f"In {self.p_beyond:.0%} of the draws the budget lies beyond the performances of the frontier: there "
                "the nearest of them stands, and the interval of the performance ends with it."
            )
        return found

    def view(self) -> View:
        """What is shown of it."""
        said = ", ".join(f"{name} = {figures(value)}" for name, value in self.setting.items())
        return View(
            f"Setting for a budget of {figures(self.table.loc['budget', 'median'])} FLOPs",
            "\n".join([f"Set {said}; it minimises {risk_name(self.risk)} of the excess cost.", *self.ends]),
            tables={"": self.table},
        )


@dataclass(frozen=True, eq=False, repr=False)
class Pareto(Shown):
    """Data against compute at each performance, and the updates-to-data ratio that costs least.

    Attributes
    ----------
    draws
        Dataset with dims `sample, performance, candidate`: `data` (environment steps to the performance), `compute` and
        `budget` (FLOPs); and the best `batch_size` and `learning_rate` of a new cell, dims `sample, candidate`.
        Coordinates: `utd` and `params` of each candidate, `law` of each sample.
    task
        The task, or None for a new one.
    fitted
        Rows `performance`, `utd` and, where the law has it, `params`; columns `lowest, highest`: what was measured.
    despite
        Reason given for deciding although checks failed.
    checks, fits
        The checks of the fits, and the fits by name; none of a frontier that was laid out by hand.
    cost
        The prices, as `Budget.provenance` has them; none of a frontier that was laid out by hand.
    """

    draws: xr.Dataset
    task: str | None
    fitted: pd.DataFrame
    despite: str | None = None
    checks: Checks | None = None
    fits: Mapping[str, Posterior] = field(default_factory=dict)
    cost: Mapping[str, Any] | None = None

    def view(self) -> View:
        """What is shown of it."""
        said = {heading: "\n".join(lines) for heading, lines in self._sentences().items()}
        (_, cheapest), *rest = said.items()
        return View(
            f"Frontier of data against compute{f' of {self.task}' if self.task else ', of a new task'}",
            cheapest,
            sections=dict(rest),
            tables={"At the least budget (90 %)": self.table},
            folded={"What was measured": self.fitted},
        )

    def explain(self) -> str:
        """The frontier in plain sentences, under headings.

        Returns
        -------
        str
            What costs least at each performance, by which prices, and what else to know: a heading a line, then one
            sentence a line; intervals of 90 %. Where a function was declared for the price of an update, its text is
            the last part.
        """
        said = {heading: "\n".join(lines) for heading, lines in self._sentences().items()}
        if self.source is not None:
            said["An update was declared to cost"] = self.source
        return "\n\n".join(f"{heading}\n{indent(text, '  ')}" for heading, text in said.items())

    def _sentences(self) -> dict[str, list[str]]:
        """What is said of it, by heading."""
        levels = self.draws["performance"].values
        said = {
            "What costs least": [
                f"At performance {figures(float(level))}: {self._cheapest_words(level)}." for level in levels
            ]
        }
        if self.cost is not None:
            said["Prices"] = [self.price_sentence]
        if self.despite:
            said["What else"] = [f"Decided although checks failed; the reason given: {self.despite}."]
        return said

    @property
    def price_sentence(self) -> str:
        """What a step and an update were said to cost; nothing where it is not known."""
        if self.cost is None:
            return ""
        delta = figures(float(self.cost["delta"]))
        return f"An environment step costs {delta} FLOPs, an update {self.cost['flops_per_update']} FLOPs."

    @property
    def source(self) -> str | None:
        """Text of the function that was declared for the price of an update; none where it was a formula."""
        return None if self.cost is None else self.cost["source"]

    def _cheapest_words(self, level: float) -> str:
        """The cheapest ratio and what it costs, in words."""
        ratio, budget = (self.table.loc[(level, name)] for name in ("utd", "budget"))
        return (
            f"the cheapest updates-to-data ratio is {with_interval(ratio['lower'], ratio['median'], ratio['upper'])}, "
            f"for {with_interval(budget['lower'], budget['median'], budget['upper'])} FLOPs"
        )

    @cached_property
    def cheapest(self) -> xr.Dataset:
        """The candidate of the least budget in every draw: dims `sample, performance`, the quantities of `draws`."""
        least = self.draws["budget"].argmin("candidate")
        return self.draws.reset_coords(["utd", "params"]).isel(candidate=least)

    @cached_property
    def table(self) -> pd.DataFrame:
        """Quantities at the least budget of each performance: `lower, median, upper` (90 %, equal-tailed).

        Index `performance, quantity`. `p_bound` is how often the cheapest ratio (or size) is the smallest or largest
        allowed.
        """
        table = intervals(self.cheapest, ["sample"])
        for name in self._open:
            ends = self.cheapest[name].isin([self.draws[name].min(), self.draws[name].max()]).mean("sample")
            for level in ends["performance"].values:
                table.loc[(level, name), "p_bound"] = float(ends.sel(performance=level))
        return table if "params" in self._open else table.drop("params", level="quantity")

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Least compute with which each performance is reached within given data.

        Columns `performance, data, lower, median, upper` (compute, FLOPs; infinite where no ratio allowed gets there
        with so few data) and `p_reached`, the share of the draws in which one does.
        """
        tables = []
        for level, rows in self.draws.groupby("performance"):
            data, compute = (rows[name].squeeze("performance").values for name in ("data", "compute"))
            cheap = np.take_along_axis(data, compute.argmin(axis=1)[:, None], axis=1)
            line = np.geomspace(np.quantile(data.min(axis=1), 0.05), np.quantile(cheap, 0.95), POINTS)
            least = np.array([np.where(data <= most, compute, np.inf).min(axis=1) for most in line])
            table = pd.DataFrame(interval_columns(least, 1, ranked=True))
            table.insert(0, "data", line)
            table.insert(0, "performance", level)
            tables.append(table.assign(p_reached=np.isfinite(least).mean(axis=1)))
        return pd.concat(tables, ignore_index=True)

    @property
    def exponent(self) -> pd.Series:
        """`lower, median, upper` of s in sigma* ~ F^s over the performances; NaN where there is a single one."""
        slope, _, _ = self._power
        return pd.Series(interval(slope), list(ENDS))

    def utd_at(self, budgets: Sequence[float] | np.ndarray) -> pd.DataFrame:
        """The cheapest ratio at any budgets (FLOPs), by the power sigma* ~ F^s in every draw, within those allowed.

        Index `budget`, columns `lower, median, upper`. Needs two performances or more.

        Raises
        ------
        ValueError
            When a budget is not above zero, or the frontier has a single performance.
        """
        self._check_budget(budgets)
        slope, budget, utd = self._power
        logs = utd[:, None] + slope[:, None] * (np.log(np.asarray(budgets, float)) - budget[:, None])
        low, high = float(self.draws["utd"].min()), float(self.draws["utd"].max())
        return pd.DataFrame(interval_columns(np.clip(np.exp(logs), low, high), 0), pd.Index(budgets, name="budget"))

    @cached_property
    def _power(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Slope of ln sigma* on ln F over the performances in every draw, and their means."""
        x, y = (np.log(self.cheapest[name].transpose("sample", "performance").values) for name in ("budget", "utd"))
        across, up = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            return (across * up).sum(axis=1) / (across**2).sum(axis=1), x.mean(axis=1), y.mean(axis=1)

    def recommend(self, *, risk: Risk | str, budget: float | None = None, performance: float | None = None) -> Setting:
        """Choose a setting that a budget is best spent on, or that reaches a performance at the least cost.

        In every draw, what a ratio costs above the cheapest one for the same performance is its excess, as a share of
        that cost. The ratio whose excess has the lowest risk is chosen.

        Parameters
        ----------
        risk
            As for `decide`, of the excess.
        budget
            FLOPs of compute and data together. In every draw, the performance that it just reaches is found between two
            of the frontier's, in the log of their cost; in a draw where it lies beyond them, the nearest counts.
        performance
            One of the frontier's.

        Raises
        ------
        ValueError
            When not one of budget and performance is given, the performance is not the frontier's, or the budget is not
            above zero, has no two performances to lie between, or lies beyond them in most draws.
        """
        if (budget is None) == (performance is None):
            raise ValueError(f"pass either budget= or performance=; received {quote(budget)} and {quote(performance)}.")
        cost, reached, beyond = self._at_performance(performance) if budget is None else self._at_budget(budget)
        excess = cost / cost.min(axis=1, keepdims=True) - 1
        risk = as_risk(risk)
        chosen, _ = choose(risk, excess)
        here = self.draws.isel(candidate=chosen)
        spent = cost[:, chosen] if budget is None else np.full_like(reached, budget)
        best = [name for name in ("batch_size", "learning_rate") if name in here]
        # What a step costs at a ratio does not depend on the performance.
        found = {name: self.draws[name].values[cost.argmin(axis=1)] for name in self._open}
        found |= {name: here[name].values for name in best}
        found |= {"budget": spent, "performance": reached, "excess": excess[:, chosen]}
        found |= {name: spent * (here[name] / here["budget"]).values[:, 0] for name in ("data", "compute")}
        draws = xr.Dataset({name: ("sample", v) for name, v in found.items()}, {"law": self.draws["law"]})
        table = intervals(draws, ["sample"])
        setting = {name: float(self.draws[name][chosen]) for name in self._open}
        bounds = [
            f"{name} at its {end} allowed"
            for name, value in setting.items()
            for end, limit in (("smallest", self.draws[name].min()), ("largest", self.draws[name].max()))
            if value == limit
        ]
        setting |= {name: float(table.loc[name, "median"]) for name in best}
        return Setting(setting, table, draws, bounds, beyond, risk)

    def optima(self) -> Optima:
        """The cheapest ratio of each performance against its median budget, for `OptimalUTD`."""
        logs = self.cheapest[["budget", "utd"]].map(np.log)
        frame = np.exp(logs.median("sample").to_dataframe()[["budget", "utd"]]).reset_index(drop=True)
        error = np.maximum(logs["utd"].std("sample").values, 1e-3)
        task = {} if self.task is None else {"task": self.task}
        return Optima.from_frame(frame.assign(utd_error=error, **task), estimated=("utd",))

    @property
    def _open(self) -> list[str]:
        """What is chosen: the ratio, and the critic's size where several are allowed."""
        return ["utd", "params"] if len(np.unique(self.draws["params"])) > 1 else ["utd"]

    def _at_performance(self, performance: float | None) -> tuple[np.ndarray, np.ndarray, float]:
        """Cost of each (sample, candidate) at a performance, the performance, and the share of draws beyond all."""
        levels = self.draws["performance"].values
        if performance not in levels:
            raise ValueError(
                f"performance must be one of the frontier's, {', '.join(f'{v:g}' for v in levels)}; received "
                f"{quote(performance)}. Name it in the call of frontier."
            )
        cost = self.draws["budget"].sel(performance=performance).transpose("sample", "candidate").values
        return cost, np.full(len(cost), performance), 0.0

    def _at_budget(self, budget: float) -> tuple[np.ndarray, np.ndarray, float]:
        """The same at the performance that the budget just reaches in each draw with the cheapest candidate."""
        self._check_budget([budget])
        levels = self.draws["performance"].values
        costs = self._log_costs
        least = costs.min(axis=2)
        below = np.clip((least <= np.log(budget)).sum(axis=1) - 1, 0, len(levels) - 2)
        rows = np.arange(len(least))
        step = least[rows, below + 1] - least[rows, below]
        share = (np.log(budget) - least[rows, below]) / step
        beyond = float(((share < 0) | (share > 1)).mean())
        share = np.clip(share, 0, 1)
        cost = costs[rows, below] + share[:, None] * (costs[rows, below + 1] - costs[rows, below])
        if beyond > 0.5:
            middle = self.table["median"].xs("budget", level="quantity")
            raise ValueError(
                f"budget {budget:.3g} lies outside what these performances cost at least, {middle.min():.3g} to "
                f"{middle.max():.3g} FLOPs (medians). Name {'lower' if budget < middle.min() else 'higher'} "
                "performances in the call of frontier: the law says how they go on."
            )
        return np.exp(cost), levels[below] + share * (levels[below + 1] - levels[below]), beyond

    def _check_budget(self, budgets: Sequence[float] | np.ndarray) -> None:
        values = np.asarray(budgets, float)
        if not (np.isfinite(values) & (values > 0)).all():
            raise ValueError(
                f"a budget must be finite and above zero, received {quote(values[~(values > 0)].tolist())}."
            )
        levels = self.draws["performance"].values
        if len(levels) < 2:
            raise ValueError(
                f"a budget needs two performances or more to lie between, and this frontier has one, {levels[0]:g}. "
                "Name more in the call of frontier."
            )

    @cached_property
    def _log_costs(self) -> np.ndarray:
        return np.log(self.draws["budget"].transpose("sample", "performance", "candidate").values)
