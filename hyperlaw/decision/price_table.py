"""`price_table` and `disagreement`: what named settings cost, and what each law would choose by itself."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from hyperlaw.data.vocabulary import HYPERPARAMETERS
from hyperlaw.decision.candidates import Priced
from hyperlaw.decision.mixture import Part
from hyperlaw.decision.pricing import Pricing
from hyperlaw.intervals import interval
from hyperlaw.risk import CVaR, Mean, Quantile, Risk


def price_table(
    rows: pd.DataFrame, priced: Priced, risk: Risk, within: float | None = None
) -> tuple[pd.DataFrame, np.ndarray]:
    """Price named settings.

    Parameters
    ----------
    rows
        `learning_rate` and `batch_size`, index the names.
    priced
        The candidates of the decision.
    risk
        Its attitude to risk.
    within
        Regret (nats) that `p_within` asks about; left out, there is no such column.

    Returns
    -------
    DataFrame, ndarray
        The rows with `regret_mean, regret_q90, regret_cvar90, risk` (nats), `p_best` (at least as good as every
        candidate), `p_diverge` and `p_within`; and the regrets, shape (sample, row).
    """
    prices = priced.pricing.price({name: rows[name].to_numpy(float) for name in HYPERPARAMETERS})
    regret, least = prices.regret, priced.prices.regret.min(axis=1)
    table = rows.assign(
        regret_mean=Mean()(regret),
        regret_q90=Quantile(0.9)(regret),
        regret_cvar90=CVaR(0.9)(regret),
        risk=np.asarray(risk(regret)),
        p_best=(regret <= least[:, None]).mean(axis=0),
        p_diverge=prices.p_diverge,
    )
    if within is not None:
        table["p_within"] = (regret <= within).mean(axis=0)
    return table, regret


def disagreement(parts: list[Part], weights: Mapping[str, float], priced: Priced, risk: Risk) -> pd.DataFrame:
    """Compare the laws' own choices.

    Parameters
    ----------
    parts, weights
        All draws of each law, and its weight.
    priced
        Candidates under the mixture of the laws.
    risk
        The attitude to risk.

    Returns
    -------
    DataFrame
        One row a law: `weight`; `learning_rate, batch_size` that it would choose among the same candidates;
        `*_lower, *_upper` of its own optimum (90 %); `risk_of_choice`, the risk of the choice if this law is right; and
        `cost_of_own`, by how much the law's own choice raises the risk under the mixture.
    """
    best, chosen, rows = np.flatnonzero(priced.allowed), priced.chosen, {}
    for part in parts:
        own = priced.risks if len(parts) == 1 else _own_risks(part, priced, risk)
        pick = best[np.argmin(own[best])] if len(parts) > 1 else chosen
        row = {"weight": weights[part.name]}
        row |= {name: priced.prices.settings[name][pick] for name in HYPERPARAMETERS}
        for name in HYPERPARAMETERS:
            lower, _, upper = interval(np.exp(part.optimum[name]))
            row |= {f"{name}_lower": lower, f"{name}_upper": upper}
        row |= {"risk_of_choice": own[chosen], "cost_of_own": priced.risks[pick] - priced.risks[chosen]}
        rows[part.name] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("law")


def _own_risks(part: Part, priced: Priced, risk: Risk) -> np.ndarray:
    """Risk of every candidate if one law is right."""
    regret = Pricing([part], priced.pricing.diverge_cost).price(priced.prices.settings).regret
    if priced.given:  # the best of them, as for the mixture
        regret -= regret.min(axis=1, keepdims=True)
    return np.asarray(risk(regret))
