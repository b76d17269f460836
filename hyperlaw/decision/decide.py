"""`decide`: the setting for one large run, under a stated attitude to risk."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from hyperlaw.data.runs import HYPERPARAMETERS
from hyperlaw.decision.choice import Choice
from hyperlaw.decision.constraints import (
    ROUNDING,
    Candidates,
    Constraint,
    OneOf,
    limits,
    refuse_infeasible,
    shortfalls,
)
from hyperlaw.decision.disagreement import disagreement
from hyperlaw.decision.mixture import Part, check_fits, mix, part, weigh
from hyperlaw.decision.path import cell_optima, law_path
from hyperlaw.decision.polish import polish
from hyperlaw.decision.price_table import price_table
from hyperlaw.decision.pricing import Prices, Pricing
from hyperlaw.diagnostics.check import Checks
from hyperlaw.diagnostics.recipes import reuse_best
from hyperlaw.inference.fit import Fit
from hyperlaw.inference.predict import GRID, check_candidates, extrapolation, grid, optimum_table, span
from hyperlaw.risk import Risk, SlopedRisk, choose

APART = np.log(2) / 2
BATCHES = 20
# Only so many candidates of the lowest risk are asked whether they tie: more ties would say no more.
TIED = 200
OPTIMUM = ("log_learning_rate", "log_batch_size", "loss")


def decide(
    fit: Fit | Mapping[str, Fit],
    at: Mapping[str, Any],
    *,
    risk: Risk,
    candidates: Mapping[str, np.ndarray] | None = None,
    subject_to: Sequence[Constraint] = (),
    diverge_cost: float | None = None,
    weights: str | Mapping[str, float] | None = None,
    despite: str | None = None,
) -> Choice:
    """Choose learning rate and batch size for a run at a target scale.

    Every candidate's regret is computed in every posterior draw, against the best that could be had in that draw
    without constraints; the candidate with the lowest risk over draws is chosen. Draws are never averaged before that.

    Parameters
    ----------
    fit
        A fitted law whose checks pass; or several by name, fitted to the same runs: then the draws of each enter in
        proportion to its weight.
    at
        The target, as for `fit.predict`.
    risk
        `hl.Mean()`, `hl.Quantile(q)`, `hl.CVaR(q)`, `hl.WorstCase()`, `hl.Entropic(a)`, or any function that maps
        losses (draw, candidate) to one number a candidate, lower being better.
    candidates
        Settings to choose from, arrays `learning_rate` and `batch_size` of equal length. Left out, a grid over where
        the optimum may be, whose best is polished along the slope of the risk.
    subject_to
        `hl.AtMost`, `hl.AtLeast`, `hl.Chance`, `hl.OneOf`: what the setting must keep to.
    diverge_cost
        Nats that a diverged run loses. In each draw the regret is then its expectation over diverging or not,
        (1 - p) regret + p diverge_cost. Left out, divergence has no price: `p_diverge` is reported, and `hl.Chance`
        bounds it.
    weights
        Of several laws: `"stacking"` (`hl.compare(fits)`), `"scale"` (`hl.compare(fits, leave_out="scale")`, which
        refits), `"equal"`, or a number for each.
    despite
        Reason for deciding although checks failed; it is kept in the result.

    Returns
    -------
    Choice
        The setting with intervals, alternatives, safe set, explanation and picture.

    Raises
    ------
    RuntimeError
        When a check of a fit failed and no reason is given in `despite`.
    ValueError
        When the target, the candidates, the weights or a price are not what is needed, the fits are of different runs,
        or no candidate meets the constraints.
    TypeError
        When a fit is not one of runs.
    """
    fits = dict(fit) if isinstance(fit, Mapping) else {fit.law.name: fit}
    subject_to = list(subject_to)
    check_fits(fits)
    _check(subject_to, diverge_cost)
    settings = None if candidates is None else check_candidates(candidates)
    whole, cells = zip(*(part(name, one, at) for name, one in fits.items()), strict=True)
    given, first, several = cells[0].at, next(iter(fits.values())), len(fits) > 1
    for constraint in subject_to:
        constraint.check(given)
    ends = limits(subject_to, given)
    checks = _checks(fits, despite)
    shares = weigh(fits, weights)

    parts = mix(list(whole), shares, first.seed)
    pricing = Pricing(parts, diverge_cost)
    if settings is None:
        prices = pricing.price(_grid(parts, subject_to, ends))
    else:
        prices = pricing.price(settings)
        pricing = replace(pricing, best=prices.regret.min(axis=1))
        np.subtract(prices.regret, prices.regret.min(axis=1, keepdims=True), out=prices.regret)
    asked = Candidates(prices, given, pricing)
    missed = shortfalls(subject_to, asked)
    _, risks = choose(risk, prices.regret)
    refuse_infeasible(subject_to, asked, missed, risks)
    allowed = (missed <= ROUNDING).all(axis=0)
    on_grid, words = len(risks), "Not polished: the candidates were given."
    if settings is None:
        prices, missed, risks, words = _polished(pricing, risk, prices, missed, risks, subject_to, ends, given)
        allowed = (missed <= ROUNDING).all(axis=0)
    chosen = int(np.flatnonzero(allowed)[np.argmin(risks[allowed])])
    binding = [c for c, miss in zip(subject_to, missed[:, np.argmin(risks)], strict=True) if miss > ROUNDING]

    frame, regret = pd.DataFrame(prices.settings), prices.regret
    optimum = optimum_table(*(np.concatenate([getattr(p, name) for p in parts]) for name in OPTIMUM))
    least = regret.min(axis=1)
    rows = _alternatives(frame, risks, allowed, chosen) | {
        "reuse_best": pd.Series(reuse_best(first.runs, given)),
        "posterior_median": optimum.loc[list(HYPERPARAMETERS), "median"],
    }
    return Choice(
        setting={name: float(frame.loc[chosen, name]) for name in HYPERPARAMETERS},
        intervals=optimum.loc[list(HYPERPARAMETERS)],
        loss=optimum.loc["loss"],
        table=price_table(pd.DataFrame(rows).T, pricing, risk, least)[0],
        candidates=frame.assign(
            risk=risks, p_diverge=prices.p_diverge, allowed=allowed, polished=np.arange(len(frame)) >= on_grid
        ),
        regret=xr.DataArray(regret, dims=("sample", "candidate"), coords={"law": ("sample", pricing.laws)}),
        tied=_ties(risk, regret, risks, chosen, allowed, pricing.laws),
        bounds=_bounds(frame, chosen, ends) + [f"{constraint} binds" for constraint in binding],
        binding=binding,
        polish=words,
        laws=disagreement(list(whole), shares, prices, risks, chosen, allowed, risk, pricing),
        at=given,
        risk=risk,
        subject_to=subject_to,
        diverge_cost=diverge_cost,
        extrapolation=extrapolation(first, cells[0].target),
        checks=checks,
        despite=despite if not checks.ok else None,
        provenance={name: dict(one.tree.attrs) for name, one in fits.items()} if several else dict(first.tree.attrs),
        path=pd.concat([law_path(one, at).assign(law=name) for name, one in fits.items()], ignore_index=True),
        cells=pd.concat([cell_optima(one).assign(law=name) for name, one in fits.items()], ignore_index=True),
        pricing=pricing,
        least=least,
        fitted=first.runs,
    )


def _check(subject_to: list[Constraint], diverge_cost: float | None) -> None:
    for constraint in subject_to:
        if not isinstance(constraint, Constraint):
            raise ValueError(
                f"subject_to takes hl.AtMost, hl.AtLeast, hl.Chance and hl.OneOf, received {constraint!r}. For "
                'instance subject_to=[hl.AtMost("steps", 2e5)].'
            )
    if diverge_cost is not None and not (np.isfinite(diverge_cost) and diverge_cost >= 0):
        raise ValueError(
            f"diverge_cost must be a finite number of nats, 0 or more; received {diverge_cost!r}. To forbid divergence "
            'use subject_to=[hl.Chance("diverge", at_most=0.01)].'
        )


def _checks(fits: Mapping[str, Fit], despite: str | None) -> Checks:
    """The checks of all fits; a refusal where some failed and no reason is given."""
    tables = {name: one.check().table for name, one in fits.items()}
    if len(tables) > 1:
        tables = {name: table.assign(check=f"{name}: " + table["check"]) for name, table in tables.items()}
    checks = Checks(pd.concat(tables.values(), ignore_index=True))
    if not checks.ok and not despite:
        raise RuntimeError(
            f"the fit failed {len(checks.failed)} of its checks ({', '.join(checks.failed)}), so its intervals cannot "
            'be trusted. See fit.check() for what to do, or pass despite="reason" to decide all the same.'
        )
    return checks


def _grid(
    parts: list[Part], subject_to: list[Constraint], ends: Mapping[str, tuple[float, float]]
) -> dict[str, np.ndarray]:
    """A grid over where any law's optimum may be, with the limits of the constraints on it."""
    axes = {}
    for name, points in zip(HYPERPARAMETERS, GRID, strict=True):
        reach = np.concatenate([span(getattr(one, f"log_{name}"), 2) for one in parts])
        wanted = np.geomspace(reach.min(), reach.max(), points)
        # The limits themselves are candidates, and so are settings beyond them, for what a constraint costs.
        values = np.unique(np.concatenate([wanted, np.clip(wanted, *ends[name])]))
        for constraint in subject_to:
            if isinstance(constraint, OneOf) and constraint.quantity == name:
                values = constraint.allowed(values)
        axes[name] = values
    return grid(axes["learning_rate"], axes["batch_size"])


def _polished(
    pricing: Pricing,
    risk: Risk,
    prices: Prices,
    missed: np.ndarray,
    risks: np.ndarray,
    subject_to: list[Constraint],
    ends: Mapping[str, tuple[float, float]],
    at: Mapping[str, Any],
) -> tuple[Prices, np.ndarray, np.ndarray, str]:
    """Candidates, what they miss, their risks, with the polished setting as the last where it is better; and why."""
    held = {c.quantity for c in subject_to if isinstance(c, OneOf)}
    as_they_were = prices, missed, risks
    if not isinstance(risk, SlopedRisk):
        return *as_they_were, "Not polished: the risk is a function of your own, without weights."
    if len(held) == len(HYPERPARAMETERS):
        return *as_they_were, "Not polished: both hyperparameters are held to some values."
    allowed = (missed <= ROUNDING).all(axis=0)
    some = pd.DataFrame(prices.settings)[allowed]
    found = polish(pricing, risk, some, risks[allowed], held, ends)
    if found is None:
        return *as_they_were, "The polish did not move: no setting between the candidates is better."
    one = pricing.price({name: np.array([value]) for name, value in found.items()})
    misses = shortfalls(subject_to, Candidates(one, at, pricing))
    broken = [str(c) for c, miss in zip(subject_to, misses[:, 0], strict=True) if miss > ROUNDING]
    if broken:
        return *as_they_were, f"Not polished: the way down leads out of {', '.join(broken)}."
    value, before = np.asarray(risk(one.regret)), risks[allowed].min()
    if not value[0] < before:
        return *as_they_were, "The polish did not move: no setting between the candidates is better."
    grid_choice = some.iloc[int(np.argmin(risks[allowed]))]
    by = {name: found[name] / grid_choice[name] - 1 for name in HYPERPARAMETERS}
    moved = " and ".join(f"{name} by {share:+.2%}" for name, share in by.items() if abs(share) > 1e-6)
    more = Prices(
        {name: np.append(prices.settings[name], one.settings[name]) for name in HYPERPARAMETERS},
        np.concatenate([prices.regret.T, one.regret.T]).T,
        np.append(prices.p_diverge, one.p_diverge),
    )
    words = f"The polish moved the best candidate's {moved} and lowered its risk by {before - value[0]:.2g} nats."
    return more, np.concatenate([missed, misses], axis=1), np.append(risks, value), words


def _alternatives(frame: pd.DataFrame, risks: np.ndarray, allowed: np.ndarray, chosen: int) -> dict[str, pd.Series]:
    """The chosen candidate, and the best at least half an octave away."""
    distance = np.abs(np.log(frame / frame.loc[chosen])).max(axis=1).to_numpy()
    far = np.flatnonzero((distance >= APART - 1e-9) & allowed)
    rows = {"recommended": frame.loc[chosen]}
    if len(far):
        rows["runner_up"] = frame.loc[far[np.argmin(risks[far])]]
    return rows


def _ties(risk: Risk, regret: np.ndarray, risks: np.ndarray, chosen: int, allowed: np.ndarray, laws: np.ndarray) -> int:
    """How many other candidates' risk differs from the chosen one's by less than twice its Monte Carlo error."""
    near = np.flatnonzero(allowed)
    near = near[np.argsort(risks[near], kind="stable")[:TIED]]
    if chosen not in near:
        near[-1] = chosen
    # Every batch holds the laws in the proportions of the whole.
    batches = [np.array_split(np.flatnonzero(laws == name), BATCHES) for name in dict.fromkeys(laws)]
    some = regret[:, near]
    with np.errstate(invalid="ignore"):  # infinite risks differ by NaN, and tie with nothing
        parts = np.array([risk(some[np.concatenate(rows)]) for rows in zip(*batches, strict=True)])
        difference = parts - parts[:, near == chosen]
        tie = difference.mean(axis=0) <= 2 * difference.std(axis=0, ddof=1) / np.sqrt(BATCHES)
    return int(tie[near != chosen].sum())


def _bounds(frame: pd.DataFrame, chosen: int, ends: Mapping[str, tuple[float, float]]) -> list[str]:
    """Hyperparameters whose chosen value is the lowest or highest of the candidates, and not for a constraint."""
    return [
        f"{name} at its {side} candidate"
        for name in HYPERPARAMETERS
        for side, value in (("lowest", frame[name].min()), ("highest", frame[name].max()))
        if frame[name].nunique() > 1
        and np.isclose(frame.loc[chosen, name], value)
        and not np.isclose(value, ends[name]).any()
    ]
