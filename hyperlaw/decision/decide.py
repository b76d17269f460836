"""`decide`: the setting for one large run, under a stated attitude to risk."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from hyperlaw.data.runs import HYPERPARAMETERS
from hyperlaw.decision.choice import Choice
from hyperlaw.decision.path import cell_optima, law_path
from hyperlaw.decision.risk import CVaR, Mean, Quantile, Risk
from hyperlaw.inference.fit import Fit
from hyperlaw.inference.predict import Prediction

APART = np.log(2) / 2
BATCHES = 20


def decide(
    fit: Fit,
    at: Mapping[str, Any],
    *,
    risk: Risk,
    candidates: Mapping[str, np.ndarray] | None = None,
    despite: str | None = None,
) -> Choice:
    """Choose learning rate and batch size for a run at a target scale.

    Every candidate's regret is computed in every posterior draw, against the best that could be had in that draw; the
    candidate with the lowest risk over draws is chosen. Draws are never averaged before that.

    Parameters
    ----------
    fit
        A fitted law whose checks pass.
    at
        The target, as for `fit.predict`.
    risk
        `hl.Mean()`, `hl.Quantile(q)`, `hl.CVaR(q)`, `hl.WorstCase()`, or any function of losses (draw, candidate).
    candidates
        Settings to choose from, arrays `learning_rate` and `batch_size` of equal length. Left out, a grid over
        where the optimum may be.
    despite
        Reason for deciding although checks failed; it is kept in the result.

    Returns
    -------
    Choice
        The setting with intervals, alternatives, safe set, explanation and picture.

    Raises
    ------
    RuntimeError
        When a check of the fit failed and no reason is given in `despite`.
    ValueError
        When the target or the candidates are not what the law needs.
    """
    prediction = fit.predict(at, candidates)
    checks = fit.check()
    if not checks.ok and not despite:
        raise RuntimeError(
            f"the fit failed {len(checks.failed)} of its checks ({', '.join(checks.failed)}), so its intervals cannot "
            'be trusted. See fit.check() for what to do, or pass despite="reason" to decide all the same.'
        )
    regret, best = _regret(prediction, given=candidates is not None)
    risks = np.asarray(risk(regret))
    if risks.shape != (regret.shape[1],):
        raise ValueError(f"risk must return one number a candidate, {regret.shape[1]} in all; received {risks.shape}.")
    settings = prediction.draws[list(HYPERPARAMETERS)].to_dataframe().reset_index(drop=True)
    chosen = int(np.argmin(risks))
    distance = np.abs(np.log(settings / settings.loc[chosen])).max(axis=1).to_numpy()
    far = np.flatnonzero(distance >= APART - 1e-9)

    table = {"recommended": settings.loc[chosen]}
    if len(far):
        table["runner_up"] = settings.loc[far[np.argmin(risks[far])]]
    table["reuse_best"] = _reuse_best(fit)
    table["posterior_median"] = prediction.table.loc[list(HYPERPARAMETERS), "median"]
    return Choice(
        setting={name: float(settings.loc[chosen, name]) for name in HYPERPARAMETERS},
        intervals=prediction.table.loc[list(HYPERPARAMETERS)],
        loss=prediction.table.loc["loss"],
        table=_price(fit, at, pd.DataFrame(table).T, risk, best, regret.min(axis=1)),
        candidates=settings.assign(risk=risks),
        regret=xr.DataArray(regret, dims=("sample", "candidate")),
        tied=int(_ties(risk, regret, chosen).sum()) - 1,
        bounds=_bounds(settings, chosen),
        at=prediction.at,
        risk=risk,
        extrapolation=prediction.extrapolation,
        checks=checks,
        despite=despite if not checks.ok else None,
        provenance=dict(fit.tree.attrs),
        path=law_path(fit, at),
        cells=cell_optima(fit),
    )


def _regret(prediction: Prediction, given: bool) -> tuple[np.ndarray, np.ndarray | float]:
    """Regrets (sample, candidate), and in each draw the excess of the best that could be had."""
    excess = prediction.draws["regret"].stack(sample=("chain", "draw")).transpose("sample", "candidate").values
    best = excess.min(axis=1, keepdims=True) if given else 0.0
    return excess - best, best


def _price(
    fit: Fit, at: Mapping[str, Any], rows: pd.DataFrame, risk: Risk, best: np.ndarray | float, least: np.ndarray
) -> pd.DataFrame:
    """Regret and divergence of named settings, one row each."""
    prediction = fit.predict(at, {name: rows[name].to_numpy(float) for name in HYPERPARAMETERS})
    excess, _ = _regret(prediction, given=False)
    regret = excess - best
    return rows.assign(
        regret_mean=Mean()(regret),
        regret_q90=Quantile(0.9)(regret),
        regret_cvar90=CVaR(0.9)(regret),
        risk=np.asarray(risk(regret)),
        p_best=(regret <= least[:, None] + 1e-12).mean(axis=0),
        p_diverge=prediction.draws["diverge"].mean(("chain", "draw")).values,
    )


def _reuse_best(fit: Fit) -> pd.Series:
    """Setting of the best run at the largest small scale: what people do without a law."""
    frame = fit.runs.frame
    largest = frame.sort_values(list(reversed(fit.law.covariates)), ascending=False)["cell"].iloc[0]
    return frame.loc[frame.loc[frame["cell"] == largest, "loss"].idxmin(), list(HYPERPARAMETERS)]


def _ties(risk: Risk, regret: np.ndarray, chosen: int) -> np.ndarray:
    """Candidates whose risk differs from the chosen one's by less than twice its Monte Carlo error."""
    parts = np.array([risk(part) for part in np.array_split(regret, BATCHES)])
    difference = parts - parts[:, [chosen]]
    return difference.mean(axis=0) <= 2 * difference.std(axis=0, ddof=1) / np.sqrt(BATCHES)


def _bounds(settings: pd.DataFrame, chosen: int) -> list[str]:
    """Hyperparameters whose chosen value is the lowest or highest of the candidates."""
    return [
        f"{name} at its {side} candidate"
        for name in HYPERPARAMETERS
        for side, value in (("lowest", settings[name].min()), ("highest", settings[name].max()))
        if settings[name].nunique() > 1 and np.isclose(settings.loc[chosen, name], value)
    ]
