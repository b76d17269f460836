"""How a law's prediction of one withheld cell compares with the runs that were made there."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import scoringrules
from scipy.special import logsumexp
from scipy.stats import t as student_t

from hyperlaw.data.local_surface import local_surface
from hyperlaw.data.runs import HYPERPARAMETERS
from hyperlaw.diagnostics.measured import Measured, measured
from hyperlaw.inference.fit import Fit
from hyperlaw.inference.predict import new_cell, predict
from hyperlaw.risk import Risk, choose

LEVELS = (50, 80, 90)
REPLICATES = 500
TINY = 1e-12


def score_setting(cell: pd.DataFrame, setting: Mapping[str, float]) -> dict[str, float]:
    """What a setting lost in a withheld cell: `regret` on the local surface and `regret_nearest`, nats."""
    truth = measured(cell, setting)
    return {name: setting[name] for name in HYPERPARAMETERS} | {
        "regret": truth.regret_surface,
        "regret_nearest": truth.regret_nearest,
    }


def score_law(fit: Fit, at: Mapping[str, Any], cell: pd.DataFrame, risks: Mapping[str, Risk]) -> list[dict[str, Any]]:
    """One row a risk measure: its choice, what that lost, and whether the law's intervals held.

    The measured optimum and regret are estimates from noisy runs. Their noise is taken in by simulation: in every draw
    the withheld runs are simulated at their own settings and put through the same estimate, and the interval
    that must hold the measured value is that of these estimates. `inside_*` is the same for the predictive
    interval itself, as a user sees it, with the target's noise left out.

    Parameters
    ----------
    fit
        The law, fitted without the cell.
    at
        The cell's covariates, and its task.
    cell
        Its runs, columns as in `Runs.frame`.
    risks
        Attitudes to risk by name.
    """
    prediction = predict(fit, at)
    regret = prediction.draws["regret"].stack(sample=("chain", "draw")).transpose("sample", "candidate").values
    settings = {name: prediction.draws[name].values for name in HYPERPARAMETERS}
    chosen = {name: choose(risk, regret)[0] for name, risk in risks.items()}
    picks = {name: {h: float(settings[h][i]) for h in HYPERPARAMETERS} for name, i in chosen.items()}

    runs = _Simulated(fit, at, cell)
    estimates = runs.estimates(list(picks.values()))
    truth = measured(cell, next(iter(picks.values())))  # its optimum is the same for every choice
    common = runs.scores() | _optimum_covered(prediction.table, estimates, truth)
    rows = []
    for position, (name, pick) in enumerate(picks.items()):
        bound = float(np.quantile(regret[:, chosen[name]], 0.9))
        lost_by = estimates[np.isfinite(estimates[:, 3 + position]), 3 + position]
        noisy = float(np.quantile(lost_by, 0.9)) if lost_by.size else np.nan
        lost = score_setting(cell, pick)
        held = {
            "regret_q90": bound,
            "inside_regret": _held(lost["regret"] <= bound, lost["regret"]),
            "measured_regret_q90": noisy,
            "covered_regret": _held(lost["regret"] <= noisy, lost["regret"]),
        }
        rows.append({"risk": name} | lost | held | common)
    return rows


def _optimum_covered(table: pd.DataFrame, estimates: np.ndarray, truth: Measured) -> dict[str, Any]:
    """Whether intervals of the optimum held, and the share of simulated estimates below the measured one."""
    row: dict[str, Any] = {}
    for position, name in enumerate((*HYPERPARAMETERS, "loss")):
        value = truth.optimum[name]
        draws = estimates[np.isfinite(estimates[:, position]), position]
        if not draws.size:  # settings that never show an optimum cannot be asked about one
            value = np.nan
        row[f"measured_{name}"] = value
        row[f"inside_{name}"] = _held(table.loc[name, "lower"] <= value <= table.loc[name, "upper"], value)
        row[f"pit_{name}"] = float(np.mean(draws < value)) if np.isfinite(value) else np.nan
        row[f"width_{name}"] = table.loc[name, "upper"] - table.loc[name, "lower"]
        for level in LEVELS:
            ends = np.array([0.5 - level / 200, 0.5 + level / 200])
            low, high = np.quantile(draws, ends) if draws.size else ends * np.nan
            suffix = "" if level == 90 else f"_{level}"
            row[f"covered_{name}{suffix}"] = _held(low <= value <= high, value)
    return row


def _held(answer: bool, value: float) -> bool | None:
    """The answer, or None where the cell's runs have no measured optimum to ask about."""
    return bool(answer) if np.isfinite(value) else None


class _Simulated:
    """The withheld runs of one cell as a fit expects them, at their own settings."""

    def __init__(self, fit: Fit, at: Mapping[str, Any], cell: pd.DataFrame) -> None:
        new = new_cell(fit, at)
        excess, scale, diverge = new.runs_at(fit.law, *(cell[name].to_numpy() for name in HYPERPARAMETERS))
        shape = (-1, len(cell))
        self._location, self._scale = (new.loss[..., None] + excess).reshape(shape), scale.reshape(shape)
        self._diverge = diverge.reshape(shape)
        self._tail = new.p["tail"].reshape(-1, 1)
        self._draws = self._location + self._scale * new.rng.standard_t(self._tail, self._location.shape)
        self._cell = cell
        self._alive = ~cell["diverged"].to_numpy()

    def scores(self) -> dict[str, float]:
        """Coverage of the runs' losses, log score (mean over all runs, divergence included) and CRPS."""
        loss, draws = self._cell["loss"].to_numpy()[self._alive], self._draws[:, self._alive]
        row = {}
        for level in LEVELS:
            low, high = np.quantile(draws, [0.5 - level / 200, 0.5 + level / 200], axis=0)
            row["covered_runs" if level == 90 else f"covered_runs_{level}"] = float(
                np.mean((low <= loss) & (loss <= high))
            )
        density = np.log(np.maximum(np.where(self._alive, 1 - self._diverge, self._diverge), TINY))
        density[:, self._alive] += student_t.logpdf(
            loss, self._tail, self._location[:, self._alive], self._scale[:, self._alive]
        )
        row["log_score"] = float(np.mean(logsumexp(density, axis=0) - np.log(len(density))))
        row["crps"] = float(np.mean(scoringrules.crps_ensemble(loss, draws, m_axis=0)))
        return row

    def estimates(self, picks: list[dict[str, float]]) -> np.ndarray:
        """Estimates from simulated runs: optimum (learning rate, batch size), its loss, then each pick's regret.

        Shape (replicate, 3 + picks); NaN where simulated runs have no minimum. Runs of one setting (seeds) are
        averaged, as the measured ones are.
        """
        frame = self._cell[self._alive]
        groups = frame.groupby(list(HYPERPARAMETERS))
        member = groups.ngroup().to_numpy()
        logs = np.log(groups["loss"].mean().reset_index()[list(HYPERPARAMETERS)].to_numpy())
        averaging = np.equal.outer(np.arange(len(logs)), member) / np.bincount(member)[:, None]
        draws = self._draws[:, self._alive]
        means = draws[:: max(1, len(draws) // REPLICATES)] @ averaging.T
        places = np.log([[pick[name] for name in HYPERPARAMETERS] for pick in picks])
        nearest = [int(np.argmin(((logs - place) ** 2).sum(axis=1))) for place in places]
        rows = []
        for loss in means:
            surface = local_surface(logs, loss)
            regrets = [surface.regret(place, loss[i]) for place, i in zip(places, nearest, strict=True)]
            rows.append([*np.exp(surface.optimum), surface.loss, *regrets])
        return np.array(rows)
