"""`Choice`: what `decide` returns."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from hyperlaw.decision.risk import Risk
from hyperlaw.diagnostics.check import FAIL, REVIEW, Checks

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
        All candidates with their risk.
    regret
        Regret in nats, dims `sample, candidate`.
    tied
        How many other candidates' risk differs by less than twice its Monte Carlo error.
    bounds
        Which hyperparameters sit on the edge of the candidates, in words.
    at, risk, extrapolation
        The target, the attitude to risk, and how far the target lies beyond the runs, in decades.
    checks, despite
        The checks of the fit, and the reason given for deciding although some failed.
    provenance
        Attributes of the fit: law, priors, seed, versions, digest of the data.
    path, cells
        The law from the smallest runs to the target, and the fitted cells, with intervals: what `plot` draws.
    """

    setting: dict[str, float]
    intervals: pd.DataFrame
    loss: pd.Series
    table: pd.DataFrame
    candidates: pd.DataFrame
    regret: xr.DataArray
    tied: int
    bounds: list[str]
    at: dict[str, Any]
    risk: Risk
    extrapolation: pd.DataFrame
    checks: Checks
    despite: str | None
    provenance: dict[str, Any]
    path: pd.DataFrame
    cells: pd.DataFrame

    def safe_set(self, regret: float, probability: float = 0.9) -> pd.DataFrame:
        """Candidates whose regret stays within `regret` nats with at least `probability`.

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
        within = (self.regret <= regret).mean("sample").values
        return self.candidates.assign(probability=within)[within >= probability].reset_index(drop=True)

    def explain(self) -> str:
        """The choice in plain sentences."""
        row, reuse = self.table.loc["recommended"], self.table.loc["reuse_best"]
        rate, batch = (self.intervals.loc[name] for name in ("learning_rate", "batch_size"))
        sentences = [
            f"For {_target(self.at)}, set learning_rate = {row['learning_rate']:.3g} and "
            f"batch_size = {row['batch_size']:.3g} data points.",
            f"With 90 % probability the best learning rate lies between {rate['lower']:.2g} and {rate['upper']:.2g}, "
            f"and the best batch size between {batch['lower']:.2g} and {batch['upper']:.2g}.",
            f"This setting is expected to lose {_nats(row['regret_mean'])} against the best possible one, and "
            f"with 90 % probability no more than {_nats(row['regret_q90'])}; it minimises {self.risk}.",
            f"Reusing the best of the largest small runs (learning_rate {reuse['learning_rate']:.2g}, "
            f"batch_size {reuse['batch_size']:.2g}) is expected to lose {_nats(reuse['regret_mean'])}.",
            f"The probability that it diverges is {row['p_diverge']:.1%}.",
        ]
        far = self.extrapolation[self.extrapolation["decades"] > 0]
        sentences += [
            f"The target lies {r['decades']:.1f} decades beyond the runs in {name} (runs reach from "
            f"{r['lowest']:.2g} to {r['highest']:.2g})."
            for name, r in far.iterrows()
        ] or ["The target lies within the range of the runs."]
        if self.tied:
            others = "1 other candidate" if self.tied == 1 else f"{self.tied} other candidates"
            sentences.append(f"{others} cannot be told apart from it with these draws.")
        if self.bounds:
            sentences.append(f"The choice sits on a bound ({'; '.join(self.bounds)}): widen the candidates there.")
        status = self.checks.table["status"]
        review = self.checks.table.loc[status == REVIEW, "check"].tolist()
        if review:
            sentences.append(f"To be reviewed before relying on it: {'; '.join(review)}.")
        if self.despite:
            failed = ", ".join(self.checks.table.loc[status == FAIL, "check"])
            sentences.append(f"Decided although checks failed ({failed}); the reason given: {self.despite}.")
        return " ".join(sentences)

    def to_json(self) -> str:
        """The choice as JSON text: setting, intervals, alternatives, target, checks, provenance."""
        return json.dumps(
            {
                "setting": self.setting,
                "intervals": self.intervals.to_dict("index"),
                "loss": self.loss.to_dict(),
                "table": self.table.to_dict("index"),
                "at": self.at,
                "risk": str(self.risk),
                "extrapolation": self.extrapolation.to_dict("index"),
                "tied": self.tied,
                "bounds": self.bounds,
                "checks_ok": self.checks.ok,
                "checks": self.checks.table.to_dict("records"),
                "despite": self.despite,
                "provenance": self.provenance,
            },
            indent=2,
            default=float,
        )

    def plot(self) -> "Figure":
        """The picture for the planning document: see `hyperlaw.plots.choice`."""
        from hyperlaw.plots.choice import plot_choice

        return plot_choice(self)

    def __repr__(self) -> str:
        return f"{self.table.to_string(float_format='{:.3g}'.format)}\n{self.explain()}"


def _target(at: dict[str, Any]) -> str:
    return " and ".join(f"{k} = {v:.3g}" if isinstance(v, float) else f"{k} {v or 'new'}" for k, v in at.items())


def _nats(value: float) -> str:
    """Two significant figures: no regret is known better."""
    return f"{float(np.format_float_positional(value, 2, fractional=False)):.2g} nats"
