"""`Choice`: what `decide` returns."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hyperlaw.decision.decided import Decided
from hyperlaw.decision.explain import explain
from hyperlaw.decision.plan import Score, score_plan

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class Choice(Decided):
    """A setting for one large run, with doors to what one does with it; attributes as `hyperlaw.decision.decided`."""

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
        within = (self.priced.prices.regret <= regret).mean(axis=0)
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
            `.table` and the `.regret` draws. Its column `allowed` says what keeps to the constraints.

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
            "draws": len(self.priced.prices.regret),
            "checks_ok": self.checks.ok,
            "checks": self.checks.table.to_dict("records"),
            "despite": self.despite,
            "explanation": self.explain(),
            "provenance": self.provenance,
        }
        return json.dumps(plain(told), indent=2, allow_nan=False)

    def plot(self) -> "Figure":
        """The picture for the planning document: see `hyperlaw.plots.choice`."""
        from hyperlaw.plots.choice import plot_choice

        return plot_choice(self)

    def __repr__(self) -> str:
        return f"{self.table.to_string(float_format='{:.3g}'.format)}\n{self.explain()}"


def plain(value: Any) -> Any:
    """The same in the types of JSON; NaN and infinities, which it lacks, as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, np.generic):
        return plain(value.item())
    return float(value) if np.isfinite(value) else None
