"""`Decided`: what is known about a decision. `Choice` adds what a user does with it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from hyperlaw.data.runs import Runs
from hyperlaw.data.vocabulary import HYPERPARAMETERS
from hyperlaw.decision.candidates import Priced
from hyperlaw.decision.constraints import Constraint, OneOf
from hyperlaw.decision.mixture import Part
from hyperlaw.decision.price_table import disagreement, price_table
from hyperlaw.decision.pricing import Pricing
from hyperlaw.decision.trajectory import cell_optima, law_levels, law_trajectory
from hyperlaw.diagnostics.baselines.settings import reuse_best
from hyperlaw.diagnostics.spec import Checks
from hyperlaw.inference.posterior import Posterior
from hyperlaw.inference.predict import extrapolation
from hyperlaw.intervals import interval_columns, interval_table
from hyperlaw.models.likelihoods.surface import GIVEN
from hyperlaw.risk import Risk


@dataclass(frozen=True, eq=False)
class Decided:
    """A setting for one large run, and what is known about it.

    What only a picture or a sentence needs is computed when it is asked for.

    Attributes
    ----------
    at, risk, subject_to
        The target, the attitude to risk, and the constraints.
    checks, despite
        The checks of the fits, and the reason given for deciding although some failed.
    polish
        Whether the choice was moved off the grid of candidates, and by how much, in words.
    fits, weights, parts
        The fits by name, the share of the draws that each has, and all draws of each at the target.
    priced
        The candidates, what each costs and misses, and which of them was chosen.
    """

    at: dict[str, Any]
    risk: Risk
    subject_to: list[Constraint]
    checks: Checks
    despite: str | None
    polish: str
    fits: dict[str, Posterior]
    weights: dict[str, float]
    parts: list[Part]
    priced: Priced

    @property
    def setting(self) -> dict[str, float]:
        """`learning_rate` and `batch_size` (data points) with the lowest risk."""
        return self.priced.setting

    @property
    def pricing(self) -> Pricing:
        """What prices further settings."""
        return self.priced.pricing

    @property
    def against(self) -> str:
        """What regret is measured against, in words: given candidates are judged against the best of them."""
        return "the best of the given candidates" if self.priced.given else "the best possible setting"

    @property
    def diverge_cost(self) -> float | None:
        """What a diverged run loses, nats; None where divergence has no price."""
        return self.pricing.diverge_cost

    @property
    def fitted(self) -> Runs:
        """The runs that were fitted."""
        return next(iter(self.fits.values())).runs

    @cached_property
    def batch_size_set(self) -> float | None:
        """The batch size of the choice, where the constraints set it: they leave no other, or none near the best."""
        batch, best = self.setting["batch_size"], self._optimum.loc["batch_size"]
        left = self.priced.settings.loc[self.priced.allowed, "batch_size"].nunique()
        ruled = any(isinstance(rule, OneOf) and rule.quantity == "batch_size" for rule in self.subject_to)
        away = bool(self.binding) and not best["lower"] <= batch <= best["upper"]
        return batch if (ruled and left == 1) or away else None

    @cached_property
    def _optimum(self) -> pd.DataFrame:
        parts = self.pricing.parts
        draws = {n: np.concatenate([one.optimum[n] for one in parts]) for n in (*HYPERPARAMETERS, "loss")}
        return interval_table({n: v if n == "loss" else np.exp(v) for n, v in draws.items()})

    @property
    def intervals(self) -> pd.DataFrame:
        """Equal-tailed 90 % intervals of the optimum at the target, predictive for that cell.

        Index `learning_rate, batch_size`, columns `lower, median, upper`. Where the constraints set the batch size
        (`batch_size_set`), the learning rate is the best one at that.
        """
        table, batch = self._optimum.loc[list(HYPERPARAMETERS)], self.batch_size_set
        if batch is None:
            return table
        there = np.concatenate([one.best_learning_rate(batch) for one in self.pricing.parts])
        at_batch = interval_table({"learning_rate": np.exp(there)})
        return pd.concat([at_batch, table.loc[["batch_size"]]])

    @property
    def loss(self) -> pd.Series:
        """`lower, median, upper` of the loss at that optimum, in nats."""
        return self._optimum.loc["loss"]

    @cached_property
    def table(self) -> pd.DataFrame:
        """The choice beside its alternatives, priced.

        Rows `recommended`, `runner_up` (the best at least half an octave away; absent when every candidate is nearer),
        `reuse_best` (the best of the largest small runs, at the batch size of the choice where that is given) and
        `posterior_median`; columns `learning_rate, batch_size, regret_mean, regret_q90, regret_cvar90, risk` (in the
        unit of the loss), `p_best, p_diverge`, and `allowed`: whether it keeps to the constraints.
        """
        settings, second = self.priced.settings, self.priced.runner_up()
        rows = {"recommended": settings.loc[self.priced.chosen]}
        if second is not None:
            rows["runner_up"] = settings.loc[second]
        again = reuse_best(self.fitted, self.at)
        if GIVEN in self.parts[0].p:  # no run says what another batch size would change
            again["batch_size"] = self.setting["batch_size"]
        rows["reuse_best"] = pd.Series(again)
        rows["posterior_median"] = self._optimum.loc[list(HYPERPARAMETERS), "median"]
        table = price_table(pd.DataFrame(rows).T, self.priced, self.risk)[0]
        return table.assign(allowed=self.priced.keep(table, self.subject_to, self.at))

    @cached_property
    def candidates(self) -> pd.DataFrame:
        """All candidates: `risk`, `p_diverge`, whether each is `allowed`, and which is the `polished` one."""
        settings, polished = self.priced.settings, np.zeros(len(self.priced.risks), bool)
        polished[-1] = self.priced.polished
        return settings.assign(
            risk=self.priced.risks,
            p_diverge=self.priced.prices.p_diverge,
            allowed=self.priced.allowed,
            polished=polished,
        )

    @cached_property
    def regret_along(self) -> pd.DataFrame:
        """Regret along the learning rates of the candidates, at the batch size of the choice.

        Where the candidates were given, of those at the nearest batch size. Columns `learning_rate` (rising),
        `batch_size`, `lower, median, upper` (90 %) and `mean` of the regret, `risk`, and `allowed`.
        """
        pairs = self.candidates[~self.candidates["polished"]]  # the polished one is alone in its row
        apart = np.abs(np.log(pairs["batch_size"] / self.setting["batch_size"]))
        line = pairs[apart <= apart.min() + 1e-9].sort_values("learning_rate")
        line = line[list(HYPERPARAMETERS)].reset_index(drop=True)
        if not self.priced.given:
            line = line.assign(batch_size=self.setting["batch_size"])
        regret = self.pricing.price({name: line[name].to_numpy() for name in HYPERPARAMETERS}).regret
        return line.assign(
            **interval_columns(regret, 0), mean=regret.mean(axis=0), risk=self.risk(regret),
            allowed=self.priced.keep(line, self.subject_to, self.at),
        )  # fmt: skip

    @property
    def regret(self) -> xr.DataArray:
        """Regret in nats, dims `sample, candidate`, single precision; coordinate `law` names the law of each draw."""
        laws = {"law": ("sample", self.pricing.laws)}
        return xr.DataArray(self.priced.prices.regret, dims=("sample", "candidate"), coords=laws)

    @cached_property
    def tied(self) -> int:
        """How many other candidates' risk differs by less than twice its Monte Carlo error, among the 200 of lowest."""
        return self.priced.tied(self.risk)

    @property
    def binding(self) -> list[Constraint]:
        """The constraints that hold the choice back: bounds that it sits on, and those that a better setting misses."""
        return self.priced.binding(self.subject_to)

    @property
    def bounds(self) -> list[str]:
        """Which hyperparameters sit on the edge of the candidates, then which constraints bind, in words."""
        return self.priced.on_edge(self.subject_to) + [f"{constraint} binds" for constraint in self.binding]

    @cached_property
    def laws(self) -> pd.DataFrame:
        """One row a law: its weight, and what it would choose by itself.

        `weight`; its own choice of `learning_rate, batch_size`; `*_lower, *_upper` of its own optimum (90 %);
        `risk_of_choice`, the risk of this choice if the law is right; `cost_of_own`, by how much the law's own choice
        would raise the risk under all laws together.
        """
        return disagreement(self.parts, self.weights, self.priced, self.risk)

    @cached_property
    def extrapolation(self) -> pd.DataFrame:
        """How far the target lies beyond the runs, in decades."""
        first = next(iter(self.fits.values()))
        return extrapolation(first, {name: self.at[name] for name in first.likelihood.needs_at(first.table)})

    @property
    def provenance(self) -> dict[str, Any]:
        """Attributes of the fit (law, priors, seed, versions, digest of the data); of several, by name."""
        attributes: dict[str, Any] = {name: dict(fit.tree.attrs) for name, fit in self.fits.items()}
        return attributes if len(attributes) > 1 else attributes[next(iter(attributes))]

    @cached_property
    def trajectory(self) -> pd.DataFrame:
        """The law from the smallest runs to the target, with intervals; column `law` names it."""
        rows = [law_trajectory(fit, self.at).assign(law=name) for name, fit in self.fits.items()]
        return pd.concat(rows, ignore_index=True)

    @cached_property
    def levels(self) -> pd.DataFrame:
        """The law's medians at the sizes that the runs have beside the one that moves; column `law` names it."""
        rows = [law_levels(fit, self.at).assign(law=name) for name, fit in self.fits.items()]
        return pd.concat(rows, ignore_index=True)

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The optimum of each fitted cell, with intervals; column `law` names the law."""
        rows = [cell_optima(fit).assign(law=name) for name, fit in self.fits.items()]
        return pd.concat(rows, ignore_index=True)
