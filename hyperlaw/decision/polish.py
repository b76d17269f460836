"""`polish`: from the best candidates of a grid to the best setting between them, along the slope of the risk."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from hyperlaw.data.runs import HYPERPARAMETERS
from hyperlaw.decision.pricing import Pricing
from hyperlaw.risk import SlopedRisk

STARTS = 3
STEPS = 60
# Less than this share of the risk is no gain: single precision resolves no more.
GAIN = 1e-5


def polish(
    pricing: Pricing,
    risk: SlopedRisk,
    settings: pd.DataFrame,
    risks: np.ndarray,
    held: set[str],
    limits: Mapping[str, tuple[float, float]],
) -> dict[str, float] | None:
    """Lower the risk over (ln learning rate, ln batch size) from the best candidates, by L-BFGS-B.

    The slope of the risk is the mean of the draws' slopes (JAX) under the weights that the risk gives the draws.

    Parameters
    ----------
    pricing
        Prices of settings.
    risk
        A risk with weights.
    settings, risks
        Candidates that are allowed, and their risks; their extent is the box that is searched.
    held
        Hyperparameters that stay at the candidate's value.
    limits
        Lowest and highest value of each hyperparameter, within that box.

    Returns
    -------
    dict or None
        Learning rate and batch size; None where nothing between the candidates is better than the best of them.
    """
    box = []
    for name in HYPERPARAMETERS:
        low, high = limits[name]
        box.append((np.log(max(settings[name].min(), low)), np.log(min(settings[name].max(), high))))

    def objective(point: np.ndarray) -> tuple[float, np.ndarray]:
        regret, slopes = pricing.slopes(point)
        return float(risk(regret[:, None])[0]), risk.weights(regret) @ slopes

    best, lowest = None, float(np.min(risks)) * (1 - GAIN)
    for start in np.argsort(risks, kind="stable")[:STARTS]:
        candidate = settings.iloc[start][list(HYPERPARAMETERS)].to_numpy(float)
        point = np.log(candidate)
        bounds = [(x, x) if name in held else ends for name, x, ends in zip(HYPERPARAMETERS, point, box, strict=True)]
        found = minimize(objective, point, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS})
        if found.fun < lowest:
            # What did not move keeps its value to the last digit: exp(log(x)) may miss a multiple of 64.
            best, lowest = np.where(found.x == point, candidate, np.exp(found.x)), float(found.fun)
    if best is None:
        return None
    return {name: float(value) for name, value in zip(HYPERPARAMETERS, best, strict=True)}
