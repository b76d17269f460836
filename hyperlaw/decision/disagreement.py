"""`disagreement`: what each law would choose by itself, and what going its own way would cost."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from hyperlaw.data.runs import HYPERPARAMETERS
from hyperlaw.decision.mixture import Part
from hyperlaw.decision.pricing import Prices, Pricing
from hyperlaw.inference.predict import optimum_table
from hyperlaw.risk import Risk


def disagreement(
    parts: list[Part],
    weights: Mapping[str, float],
    prices: Prices,
    risks: np.ndarray,
    chosen: int,
    allowed: np.ndarray,
    risk: Risk,
    pricing: Pricing,
) -> pd.DataFrame:
    """Compare the laws' own choices.

    Parameters
    ----------
    parts, weights
        All draws of each law, and its weight.
    prices, risks, chosen
        Candidates under the mixture, their risks, and which one was chosen.
    allowed
        Which candidates meet the constraints.
    risk
        The attitude to risk.
    pricing
        That of the mixture.

    Returns
    -------
    DataFrame
        One row a law: `weight`; `learning_rate, batch_size` that it would choose among the same candidates;
        `*_lower, *_upper` of its own optimum (90 %); `risk_of_choice`, the risk of the choice if this law is right; and
        `cost_of_own`, by how much the law's own choice raises the risk under the mixture.
    """
    best = np.flatnonzero(allowed)
    rows = {}
    for part in parts:
        own = risks
        if len(parts) > 1:
            regret = Pricing([part], pricing.diverge_cost).price(prices.settings).regret
            if pricing.best is not None:  # given candidates: the best of them, as for the mixture
                regret -= regret.min(axis=1, keepdims=True)
            own = np.asarray(risk(regret))
        pick = best[np.argmin(own[best])] if len(parts) > 1 else chosen
        table = optimum_table(part.log_learning_rate, part.log_batch_size, part.loss)
        rows[part.name] = (
            {"weight": weights[part.name]}
            | {name: prices.settings[name][pick] for name in HYPERPARAMETERS}
            | {f"{name}_{end}": table.loc[name, end] for name in HYPERPARAMETERS for end in ("lower", "upper")}
            | {"risk_of_choice": own[chosen], "cost_of_own": risks[pick] - risks[chosen]}
        )
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("law")
