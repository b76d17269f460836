"""`sensitivity`: whether the prior decides, and whether one task or one scale does."""

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from hyperlaw.data.runs import Runs
from hyperlaw.data.vocabulary import HYPERPARAMETERS, At, Row, with_unit
from hyperlaw.diagnostics.check import good_k
from hyperlaw.diagnostics.power_scale import (
    DISAGREE,
    OUTWEIGHS,
    SENSITIVE,
    log_likelihood,
    power_weights,
    resample,
    sensitivity_table,
)
from hyperlaw.display import Shown, View
from hyperlaw.inference.jobs import check_executor, in_order
from hyperlaw.inference.posterior import Posterior
from hyperlaw.inference.predict import Prediction, predict, target_draws
from hyperlaw.inference.refit import failed, quality, refit
from hyperlaw.models.likelihoods.base import Likelihood
from hyperlaw.quote import quote
from hyperlaw.risk import Risk, as_risk, choose
from hyperlaw.streams import check_seed, generator

POWERS = (0.8, 1.25)
WINDOWS = (0.5, 2.0)
FITTED, REFITTED = "as fitted", "refit to all runs"
LOOSE_R_HAT = 1.05
NOT_COUNTED = "not counted, the refit failed"
COLUMNS = [*HYPERPARAMETERS, "octaves_learning_rate", "octaves_batch_size", "regret_mean", "regret_added"]


@dataclass(frozen=True, eq=False, repr=False)
class Sensitivity(Shown):
    """What `sensitivity` returns.

    Attributes
    ----------
    table
        One row a quantity: `prior` and `likelihood` (power-scaling sensitivities; above 0.05 is sensitive),
        `diagnosis` ("prior outweighs runs": sensitive to the prior alone; "prior and runs disagree": to both; or
        nothing), `mostly` (the parameter whose prior alone moves a diagnosed quantity most).
    settings
        Of a decision, one row a change, else None: the setting chosen after it (`learning_rate`, `batch_size` in data
        points), how far that is from the recommendation (`octaves_learning_rate`, `octaves_batch_size`), what it
        costs under the fit as it is (`regret_mean`, and `regret_added`: that minus the recommendation's; nats),
        `pareto_k` of reweighting or `divergences` of a refit, and a `note` where something limits the row.
    sentence
        The same in words.
    at
        Of a decision, the target.
    """

    table: pd.DataFrame
    settings: pd.DataFrame | None
    sentence: str
    at: At | None = None

    def view(self) -> View:
        """What is shown of it."""
        tables = {"Power-scaling sensitivity": self.table, "The setting after a change": self.settings}
        return View(
            f"Sensitivity of {'parameters' if self.settings is None else 'a decision'}",
            self.sentence,
            tables={heading: table for heading, table in tables.items() if table is not None},
        )


def sensitivity(
    fit: Posterior,
    *,
    quantity: Literal["decision", "parameters"] = "decision",
    at: At | None = None,
    risk: Risk | str | None = None,
    seed: int | None = None,
    executor: Executor | None = None,
    progress: bool = True,
) -> Sensitivity:
    """Ask whether the prior decides and, of a decision, whether one task or one scale does.

    Prior and likelihood are raised to powers near one, by reweighting the draws (arXiv 2107.14054), and the quantities
    move or do not. Only the priors of the model's parameters and of the standard deviations between tasks are scaled,
    all together: the distributions of cells and tasks around them are part of the law. Sensitive is not the same as
    decided: the settings say how far the recommendation moves.

    Parameters
    ----------
    fit
        A fit made by `hl.fit`.
    quantity
        "parameters": the law's own. "decision": ln of the best learning rate, ln of the best batch size and the loss
        there at the target, and the recommended setting: chosen again with prior and likelihood to the powers
        0.8 and 1.25, and from refits without each task and without each value of each covariate, and with half and
        twice the window within which the loss surface describes runs (`hl.LossSurface`). A refit to all runs stands
        beside them: what it moves is Monte Carlo error.
    at, risk
        Of a decision: target and risk measure, as for `hl.decide`, whose polish between grid points is left out.
    seed
        Of a decision: determines the refits and the resampling.
    executor
        Of a decision: whose workers refit, as for `hl.fit_many`; this process when left out. Results are the same.
    progress
        Whether a bar shows how many refits are done.

    Returns
    -------
    Sensitivity
        Table, settings and sentence.

    Raises
    ------
    ValueError
        When `quantity` is unknown, an argument is missing or not for that quantity, the target is not what the law
        needs, the fit has no log prior, or the executor forks.
    TypeError
        When a decision comes without an integer seed, or `executor` is no executor.
    """
    check_executor(executor)
    if quantity not in ("decision", "parameters"):
        raise ValueError(f'quantity must be "decision" or "parameters", received {quote(quantity)}.')
    if "log_prior" not in fit.tree.children:
        raise ValueError(
            "the fit has no group log_prior: it was made by refit, which keeps predictions alone. Pass a fit by hl.fit."
        )
    if quantity == "parameters":
        given = [name for name, value in (("at", at), ("risk", risk), ("seed", seed)) if value is not None]
        if given:
            raise ValueError(
                f'{", ".join(given)} is for quantity="decision", received with "parameters". Leave it out, or ask '
                "about the decision."
            )
        table = sensitivity_table(fit, fit.tree["posterior"].dataset[[p.name for p in fit.law.own_parameters]])
        return Sensitivity(table, None, prior_sentence(table))
    if at is None or risk is None:
        missing = " and ".join(name for name, value in (("at", at), ("risk", risk)) if value is None)
        raise ValueError(
            f'quantity="decision" needs {missing}: a target such as {{"params": 7e9, "data": 1.4e12}} and a risk such '
            'as hl.CVaR(0.9). For the law alone, pass quantity="parameters".'
        )
    risk = as_risk(risk)
    seed = check_seed(seed, 'quantity="decision" refits the law, so ')
    prediction, alone = predict(fit, at), prior_sensitivity(fit, at)
    rows = [*_reweighted(fit, prediction, risk, seed), *_refitted(fit, at, risk, seed, executor, progress)]
    settings = _priced(fit, at, pd.DataFrame(rows).set_index("change"))
    return Sensitivity(alone.table, settings, " ".join([alone.sentence, *_setting_sentences(settings, fit)]), dict(at))


def prior_sensitivity(fit: Posterior, at: At) -> Sensitivity:
    """The part of a decision's sensitivity that refits nothing: whether the priors decide where the optimum is.

    In logs, since the sensitivity depends on the scale, and rates and sizes are ratios.
    """
    draws = target_draws(fit, at)
    values = {f"ln {name}": np.log(draws[name]) for name in HYPERPARAMETERS} | {"loss": draws["loss"]}
    coords = {name: fit.draws[name].values for name in ("chain", "draw")}
    # A batch size that is given in every draw moves with nothing.
    moving = {name: (("chain", "draw"), value) for name, value in values.items() if np.ptp(value) > 0}
    table = sensitivity_table(fit, xr.Dataset(moving, coords))
    return Sensitivity(table, None, prior_sentence(table), dict(at))


def _regret(prediction: Prediction) -> np.ndarray:
    """Regrets (sample, candidate): a view, since there may be a hundred megabytes of them."""
    regret = prediction.draws["regret"].transpose("chain", "draw", "candidate").values
    return regret.reshape(-1, regret.shape[-1])


def _setting(prediction: Prediction, chosen: int) -> dict[str, float]:
    return {name: float(prediction.draws[name][chosen]) for name in HYPERPARAMETERS}


def _reweighted(fit: Posterior, prediction: Prediction, risk: Risk, seed: int) -> Iterator[Row]:
    """Rows of the recommendation, and of what replaces it when prior or likelihood is raised to a power.

    Risk measures take draws of equal weight, so the draws are resampled.
    """
    regret = _regret(prediction)
    yield {"change": FITTED, **_setting(prediction, choose(risk, regret)[0])}
    components = {"prior": fit.group("log_prior").to_dataarray().sum("variable"), "likelihood": log_likelihood(fit)}
    for name, log_density in components.items():
        for power in POWERS:
            weights, k = power_weights(log_density, power)
            chosen, _ = choose(risk, regret[resample(weights, generator(seed, "resample", name))])
            yield {"change": f"{name} x {power}", **_setting(prediction, chosen), "pareto_k": k}


class _Refit(NamedTuple):
    """One refit: what is changed, the model, and the runs that are kept."""

    change: str
    model: Likelihood
    keep: pd.Series


def _refitted(fit: Posterior, at: At, risk: Risk, seed: int, executor: Executor | None, progress: bool) -> list[Row]:
    """Rows of the settings that refits choose, each from its own candidates: to parts of the runs, by other windows."""
    frame = fit.runs.frame
    everything = pd.Series(True, index=frame.index)
    refits = [*(_Refit(change, fit.likelihood, keep) for change, keep in _parts(fit)), *(
        _Refit(f"window x {factor:g}", replace(fit.surface, window=factor * fit.surface.window), everything)
        for factor in WINDOWS
    )]  # fmt: skip
    return in_order(partial(_chosen, fit.runs, at, risk, seed), refits, executor, "refits", progress=progress)


def _chosen(runs: Runs, at: At, risk: Risk, seed: int, job: _Refit) -> Row:
    """The setting that a refit chooses."""
    frame = runs.frame
    if frame.loc[job.keep & ~frame["diverged"], "cell"].nunique() < 2:
        return {"change": job.change, "note": "not refitted: fewer than two cells with a loss are left"}
    again = refit(job.model, runs, keep=job.keep, seed=seed)
    sampled = quality(again)
    if failed(sampled):
        note = f"{NOT_COUNTED}: its chains disagree (R-hat {sampled['r_hat']:.3g})"
        return {"change": job.change, "divergences": sampled["divergences"], "note": note}
    prediction = predict(again, at)
    chosen, _ = choose(risk, _regret(prediction))
    note = "; ".join([*_only_one(again, job.keep), *_loose(sampled["r_hat"])])
    return {"change": job.change, **_setting(prediction, chosen), "divergences": sampled["divergences"], "note": note}


def _parts(fit: Posterior) -> Iterator[tuple[str, pd.Series]]:
    """What is left out, and the runs that are kept: all; all but each task; all but each value of each covariate."""
    frame, tasks = fit.runs.frame, fit.runs.tasks
    yield REFITTED, pd.Series(True, index=frame.index)
    for task in tasks if len(tasks) > 1 else ():
        yield f"without task {task}", frame["task"] != task
    for name in fit.law.covariates:
        values = np.unique(frame[name])
        for value in values if len(values) > 1 else ():
            yield f"without {name} {value:g}", frame[name] != value


def _only_one(fit: Posterior, keep: pd.Series) -> list[str]:
    left = {name: fit.runs.frame.loc[keep, name].nunique() for name in fit.law.covariates}
    return [f"one value of {name} is left: its exponents come from the prior" for name, n in left.items() if n == 1]


def _loose(r_hat: float) -> list[str]:
    return [] if r_hat <= LOOSE_R_HAT else [f"its chains disagree (R-hat {r_hat:.2f})"]


def _priced(fit: Posterior, at: At, rows: pd.DataFrame) -> pd.DataFrame:
    """Add how far each setting is from the first, and its mean regret under `fit`."""
    known = rows["learning_rate"].notna()
    chosen = {name: rows.loc[known, name].to_numpy(float) for name in HYPERPARAMETERS}
    for name in HYPERPARAMETERS:
        rows[f"octaves_{name}"] = np.log2(rows[name] / rows.loc[FITTED, name])
    rows.loc[known, "regret_mean"] = _regret(predict(fit, at, chosen)).mean(axis=0)
    rows["regret_added"] = rows["regret_mean"] - rows.loc[FITTED, "regret_mean"]
    rows["divergences"] = rows["divergences"].astype("Int64")
    return rows.fillna({"note": ""})[[*COLUMNS, "pareto_k", "divergences", "note"]]


def prior_sentence(table: pd.DataFrame) -> str:
    """Whether the priors decide, of a table as `Sensitivity.table`."""

    def named(diagnosis: str) -> str:
        found = table[table["diagnosis"] == diagnosis]
        return ", ".join(f"{name} (mostly the prior of {prior})" for name, prior in found["mostly"].items())

    said = [
        f"{text}: {named(diagnosis)}."
        for diagnosis, text in (
            (OUTWEIGHS, "The priors outweigh the runs in"),
            (DISAGREE, "Priors and runs disagree on"),
        )
        if (table["diagnosis"] == diagnosis).any()
    ]
    return " ".join(said) or f"The priors do not decide: no prior sensitivity is above {SENSITIVE}."


def _setting_sentences(settings: pd.DataFrame, fit: Posterior) -> list[str]:
    def moved(change: str) -> str:
        row = settings.loc[change]
        return (
            f"by {row['octaves_learning_rate']:+.2f} octaves of learning rate and {row['octaves_batch_size']:+.2f} of "
            f"batch size, adding {with_unit(f'{row["regret_added"]:.2g}', fit.runs.loss_unit)} of mean regret"
        )

    distance = settings[["octaves_learning_rate", "octaves_batch_size"]].abs().max(axis=1).dropna()
    prior, likelihood, left_out = (distance.filter(regex=f"^{start} ") for start in ("prior", "likelihood", "without"))
    said = [
        f"To the powers {POWERS[0]} and {POWERS[1]}, the prior moves the recommendation by at most {prior.max():.2f} "
        f"octaves and the likelihood by at most {likelihood.max():.2f}."
    ]
    if len(left_out):
        furthest = left_out.idxmax()
        said.append(f"Of what was left out, {furthest} moves it most: {moved(furthest)}.")
        if note := settings.loc[furthest, "note"]:
            clean = left_out[settings.loc[left_out.index, "note"] == ""]
            said.append(f"But {note}.")
            if len(clean):
                said.append(f"Of the refits without a note, {clean.idxmax()} moves it most: {moved(clean.idxmax())}.")
    if REFITTED in distance:
        said.append(f"A {REFITTED} moves it {moved(REFITTED)}: that much is Monte Carlo error.")
    windows = distance.filter(regex="^window ")
    if len(windows):
        said.append(f"Half and twice the window move it by at most {windows.max():.2f} octaves.")
    lost = settings.index[settings["note"].str.startswith(NOT_COUNTED)]
    if len(lost):
        said.append(f"{len(lost)} refits failed and are not counted: {', '.join(lost)}.")
    limit = good_k(fit)
    k = settings.loc[[*prior.index, *likelihood.index], "pareto_k"]
    bad = k.index[~(k <= limit)]  # a NaN is not good
    if len(bad):
        said.append(f"Pareto k is not below {limit:.2f} for {', '.join(bad)}: those rows cannot be relied on.")
    return said
