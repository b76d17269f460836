"""`price_table`: regret and divergence of named settings, one row each."""

import numpy as np
import pandas as pd

from hyperlaw.data.runs import HYPERPARAMETERS
from hyperlaw.decision.pricing import Pricing
from hyperlaw.risk import CVaR, Mean, Quantile, Risk


def price_table(
    rows: pd.DataFrame, pricing: Pricing, risk: Risk, least: np.ndarray, within: float | None = None
) -> tuple[pd.DataFrame, np.ndarray]:
    """Price named settings.

    Parameters
    ----------
    rows
        `learning_rate` and `batch_size`, index the names.
    pricing
        How.
    risk
        The attitude to risk of the decision.
    least
        Lowest regret of any candidate in each draw, shape (sample,).
    within
        Regret (nats) that `p_within` asks about; left out, there is no such column.

    Returns
    -------
    DataFrame, ndarray
        The rows with `regret_mean, regret_q90, regret_cvar90, risk` (nats), `p_best` (at least as good as every
        candidate), `p_diverge` and `p_within`; and the regrets, shape (sample, row).
    """
    prices = pricing.price({name: rows[name].to_numpy(float) for name in HYPERPARAMETERS})
    regret = prices.regret
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
