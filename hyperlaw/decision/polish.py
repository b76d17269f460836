"""`polished`: from the best candidates of a grid to the best setting between them, along the slope of the risk."""

from dataclasses import replace

import numpy as np
from scipy.optimize import minimize

from hyperlaw.data.vocabulary import HYPERPARAMETERS, At, with_unit
from hyperlaw.decision.candidates import Priced
from hyperlaw.decision.constraints import ROUNDING, Candidates, Constraint, OneOf, shortfalls
from hyperlaw.risk import Risk, SlopedRisk

STARTS = 3
STEPS = 60
# Less than this share of the risk is no gain: single precision resolves no more.
GAIN = 1e-5
STILL = "The polish did not move: no setting between the candidates is better."


def polished(priced: Priced, risk: Risk, subject_to: list[Constraint], at: At, unit: str) -> tuple[Priced, str]:
    """The candidates with the polished setting as the last, where it is better; and what was done, in words.

    `unit` is that of the loss.
    """
    held = {c.quantity for c in subject_to if isinstance(c, OneOf)}
    if priced.given:
        return priced, "Not polished: the candidates were given."
    if not isinstance(risk, SlopedRisk):
        return priced, "Not polished: the risk is a function of your own, without weights."
    if len(held) == len(HYPERPARAMETERS):
        return priced, "Not polished: both hyperparameters are held to some values."
    found = _lowest(priced, risk, held)
    if found is None:
        return priced, STILL
    one = priced.pricing.price({name: np.array([value]) for name, value in found.items()})
    missed = shortfalls(subject_to, Candidates(one, at, priced.pricing))
    broken = [str(c) for c, miss in zip(subject_to, missed[:, 0], strict=True) if miss > ROUNDING]
    if broken:
        return priced, f"Not polished: the way down leads out of {', '.join(broken)}."
    value, before = np.asarray(risk(one.regret)), priced.risks[priced.chosen]
    if not value[0] < before:
        return priced, STILL
    by = {name: found[name] / priced.setting[name] - 1 for name in HYPERPARAMETERS}
    moved = " and ".join(f"{name} by {share:+.2%}" for name, share in by.items() if abs(share) > 1e-6)
    lower = with_unit(f"{before - value[0]:.2g}", unit)
    words = f"The polish moved the best candidate's {moved} and lowered its risk by {lower}."
    more = replace(
        priced,
        prices=priced.prices.and_one(one),
        missed=np.concatenate([priced.missed, missed], axis=1),
        risks=np.append(priced.risks, value),
        polished=True,
    )
    return more, words


def _lowest(priced: Priced, risk: SlopedRisk, held: set[str]) -> dict[str, float] | None:
    """Lower the risk over (ln learning rate, ln batch size) from the best allowed candidates, by L-BFGS-B.

    The slope of the risk is the mean of the draws' slopes (JAX) under the weights that the risk gives the draws. The
    box that is searched is that of the allowed candidates, within the limits; what is `held` stays as it is. None where
    nothing between the candidates is better than the best of them.
    """
    settings, risks = priced.settings[priced.allowed], priced.risks[priced.allowed]
    box = []
    for name in HYPERPARAMETERS:
        low, high = priced.limits[name]
        box.append((np.log(max(settings[name].min(), low)), np.log(min(settings[name].max(), high))))

    def objective(point: np.ndarray) -> tuple[float, np.ndarray]:
        regret, slopes = priced.pricing.slopes(point)
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
