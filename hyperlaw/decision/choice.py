"""`Choice`: what `decide` returns."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from hyperlaw.data.runs import Runs
from hyperlaw.decision.constraints import Constraint
from hyperlaw.decision.explain import explain
from hyperlaw.decision.plan import Score, score_plan
from hyperlaw.decision.pricing import Pricing
from hyperlaw.diagnostics.check import Checks
from hyperlaw.risk import Risk

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Choice:
    """A setting for one large run, and what is known about it.

    Attributes
    ----------
    setting
        `learning_rate` and `batch_size` (data points) with the lowest risk.
    intervals
        Index `learning_rate, batch_size`, columns `lower, median, upper`: equal-tailed 90 % intervals of
        the optimum at the target, predictive for that cell.
    loss
        `lower, median, upper` of the loss at that optimum, in nats.
    table
        Rows `recommended`, `runner_up` (the best at least half an octave away; absent when every candidate is
        nearer), `reuse_best` (the best of the largest small runs) and `posterior_median`; columns
        `learning_rate, batch_size, regret_mean, regret_q90, regret_cvar90, risk` (nats), `p_best, p_diverge`.
    candidates
        All candidates with their `risk`, `p_diverge`, whether the constraints allow them (`allowed`), and which one
        is the polished setting (`polished`), the last if there is one.
    regret
        Regret in nats, dims `sample, candidate`, single precision; coordinate `law` names the law of each draw.
    tied
        How many other candidates' risk differs by less than twice its Monte Carlo error, among the 200 of lowest risk.
    bounds
        Which hyperparameters sit on the edge of the candidates, then which constraints bind, in words.
    binding
        The constraints without which the choice would be another.
    polish
        Whether the choice was moved off the grid of candidates, and by how much, in words.
    laws
        One row a law: `weight`; its own choice of `learning_rate, batch_size`; `*_lower, *_upper` of its own optimum
        (90 %); `risk_of_choice`, the risk of this choice if the law is right; `cost_of_own`, by how much the
        law's own choice would raise the risk under all laws together.
    at, risk, subject_to, diverge_cost
        The target, the attitude to risk, the constraints, and the price of divergence.
    extrapolation
        How far the target lies beyond the runs, in decades.
    checks, despite
        The checks of the fit, and the reason given for deciding although some failed.
    provenance
        Attributes of the fit (law, priors, seed, versions, digest of the data); of several, by name.
    path, cells
        The law from the smallest runs to the target, and the fitted cells, with intervals: what `plot` draws. Column
        `law` names the law.
    pricing, least, fitted
        What prices further settings; the lowest regret of any candidate in each draw; the runs that were fitted.
    """

    setting: dict[str, float]
    intervals: pd.DataFrame
    loss: pd.Series
    table: pd.DataFrame
    candidates: pd.DataFrame
    regret: xr.DataArray
    tied: int
    bounds: list[str]
    binding: list[Constraint]
    polish: str
    laws: pd.DataFrame
    at: dict[str, Any]
    risk: Risk
    subject_to: list[Constraint]
    diverge_cost: float | None
    extrapolation: pd.DataFrame
    checks: Checks
    despite: str | None
    provenance: dict[str, Any]
    path: pd.DataFrame
    cells: pd.DataFrame
    pricing: Pricing
    least: np.ndarray
    fitted: Runs

    def safe_set(self, regret: float, probability: float = 0.9) -> pd.DataFrame:
        """Allowed candidates whose regret stays within `regret` nats with at least `probability`.

        Raises
        ------
        ValueError
            When `regret` is not positive or `probability` not between 0 and 1.
        """
        if not (regret > 0 and 0 < probability < 1):
            raise ValueError(
                f"safe_set needs regret > 0 nats and probability strictly between 0 and 1, received {regret!r} "
                f"and {probability!r}."
            )
        within = (self.regret.values <= regret).mean(axis=0)
        safe = (within >= probability) & self.candidates["allowed"].to_numpy()
        return self.candidates.assign(probability=within)[safe].reset_index(drop=True)

    def score(self, plan: Mapping[str, float], within: float = 0.005) -> Score:
        """Price a setting of your own beside the alternatives and published formulas.

        Parameters
        ----------
        plan
            `learning_rate` and `batch_size` (data points).
        within
            Regret in nats: the table has the probability of staying within it.

        Returns
        -------
        Score
            `.table` and the `.regret` draws. Constraints are not applied to it.

        Raises
        ------
        ValueError
            When the plan does not give both numbers, above zero, or `within` is not above zero.
        """
        return score_plan(self, plan, within)

    def explain(self) -> str:
        """The choice in plain sentences."""
        return explain(self)

    def to_json(self) -> str:
        """The choice as JSON text: all of it but the draws, the picture and the runs. What is no number is null."""
        told = {
            "setting": self.setting,
            "intervals": self.intervals.to_dict("index"),
            "loss": self.loss.to_dict(),
            "table": self.table.to_dict("index"),
            "at": self.at,
            "risk": str(self.risk),
            "subject_to": [str(constraint) for constraint in self.subject_to],
            "diverge_cost": self.diverge_cost,
            "extrapolation": self.extrapolation.to_dict("index"),
            "tied": self.tied,
            "bounds": self.bounds,
            "polish": self.polish,
            "laws": self.laws.to_dict("index"),
            "candidates": {"count": len(self.candidates), "allowed": int(self.candidates["allowed"].sum())},
            "draws": self.regret.sizes["sample"],
            "checks_ok": self.checks.ok,
            "checks": self.checks.table.to_dict("records"),
            "despite": self.despite,
            "explanation": self.explain(),
            "provenance": self.provenance,
        }
        return json.dumps(_plain(told), indent=2, allow_nan=False)

    def plot(self) -> "Figure":
        """The picture for the planning document: see `hyperlaw.plots.choice`."""
        from hyperlaw.plots.choice import plot_choice

        return plot_choice(self)

    def __repr__(self) -> str:
        return f"{self.table.to_string(float_format='{:.3g}'.format)}\n{self.explain()}"


def _plain(value: Any) -> Any:
    """The same in the types of JSON; NaN and infinities, which it lacks, as None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, np.generic):
        return _plain(value.item())
    return float(value) if np.isfinite(value) else None
