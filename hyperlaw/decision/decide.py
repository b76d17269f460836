"""`decide`: the setting for one large run, under a stated attitude to risk."""

from collections.abc import Mapping, Sequence

import numpy as np

from hyperlaw.data.runs import Runs
from hyperlaw.data.vocabulary import At
from hyperlaw.decision.candidates import price_candidates
from hyperlaw.decision.choice import Choice
from hyperlaw.decision.constraints import Candidates, Chance, Constraint, OneOf, limits, refuse_infeasible
from hyperlaw.decision.mixture import Part, check_fits, mix, part, weigh
from hyperlaw.decision.polish import polished
from hyperlaw.decision.pricing import Pricing
from hyperlaw.decision.trusted import of_target, trusted
from hyperlaw.inference.posterior import Posterior
from hyperlaw.inference.predict import check_candidates, extrapolation
from hyperlaw.models.likelihoods.surface import GIVEN
from hyperlaw.quote import one_line, quote
from hyperlaw.risk import Risk, as_risk

SAME = 1e-6


def decide(
    fit: Posterior | Mapping[str, Posterior],
    at: At,
    *,
    risk: Risk | str,
    candidates: Mapping[str, np.ndarray] | None = None,
    subject_to: Constraint | Sequence[Constraint] = (),
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
        `hl.Mean()`, `hl.Quantile(q)`, `hl.CVaR(q)`, `hl.WorstCase()`, `hl.Entropic(a)`, or the name of one, such as
        "cvar:0.9"; or any function that maps losses (draw, candidate) to one number a candidate, lower being better.
    candidates
        Settings to choose from, arrays `learning_rate` and `batch_size` of equal length. Left out, a grid over where
        the optimum may be, whose best is polished along the slope of the risk.
    subject_to
        `hl.AtMost`, `hl.AtLeast`, `hl.Chance`, `hl.OneOf`: what the setting must keep to, one or several.
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
        When a fit is not one of runs, or the risk is neither a value nor a name.
    """
    fits = dict(fit) if isinstance(fit, Mapping) else {fit.law.name: fit}
    rules = [subject_to] if isinstance(subject_to, Constraint) else list(subject_to)
    risk = as_risk(risk)
    check_fits(fits)
    _check(rules, diverge_cost)
    given = None if candidates is None else check_candidates(candidates)
    parts, cells = zip(*(part(name, one, at) for name, one in fits.items()), strict=True)
    target = cells[0].at
    for rule in rules:
        rule.check(target)
    _check_units(rules, next(iter(fits.values())).runs)
    _check_given(parts[0], rules, target)
    ends = limits(rules, target)
    checks = trusted(fits, despite)
    shares = weigh(fits, weights)

    pricing = Pricing(mix(list(parts), shares, next(iter(fits.values())).seed), diverge_cost)
    priced = price_candidates(pricing, risk, rules, at=target, limits=ends, given=given)
    refuse_infeasible(rules, Candidates(priced.prices, target, priced.pricing), priced.missed, priced.risks)
    runs = next(iter(fits.values())).runs
    priced, words = polished(priced, risk, rules, target, runs.loss_unit)
    far = extrapolation(next(iter(fits.values())), cells[0].target)["decades"].max()
    best_loss = float(np.median(np.concatenate([one.optimum["loss"] for one in pricing.parts])))
    checks = of_target(checks, float(far), best_loss, float(runs.frame["loss"].min()))
    return Choice(
        at=target,
        risk=risk,
        subject_to=rules,
        checks=checks,
        despite=despite if not checks.ok else None,
        polish=words,
        fits=fits,
        weights=shares,
        parts=list(parts),
        priced=priced,
    )


def _check(subject_to: list[Constraint], diverge_cost: float | None) -> None:
    for constraint in subject_to:
        if not isinstance(constraint, Constraint):
            raise ValueError(
                f"subject_to takes hl.AtMost, hl.AtLeast, hl.Chance and hl.OneOf, received {quote(constraint)}. For "
                'instance subject_to=[hl.AtMost("steps", 2e5)].'
            )
    if diverge_cost is not None and not (np.isfinite(diverge_cost) and diverge_cost >= 0):
        raise ValueError(
            f"diverge_cost must be a finite number of nats, 0 or more; received {quote(diverge_cost)}. To forbid "
            'divergence use subject_to=[hl.Chance("diverge", at_most=0.01)].'
        )


def _check_units(rules: list[Constraint], runs: Runs) -> None:
    """Refuse batch sizes below one unit of the table's, a sequence say: they count units, where data points are meant.

    Where batches smaller than a unit were tried (it may be a million tokens), those below the smallest.
    """
    unit = runs.batch_unit
    for rule in rules:
        if isinstance(rule, Chance) or rule.quantity != "batch_size" or unit <= 1:
            continue
        sizes = (rule.values or (rule.multiples_of or unit,)) if isinstance(rule, OneOf) else (rule.bound,)
        largest = max(sizes)
        if 0 < largest < min(unit, float(runs.frame["batch_size"].min())):
            raise ValueError(
                f"{one_line(rule)} counts data points, and {largest:.10g} of them are less than one unit of the "
                f"table's batch sizes ({unit:,.10g} data points). If {largest:.10g} such units are meant, give "
                f"{largest:.10g} x {unit:.10g} = {largest * unit:.10g}."
            )


def _check_given(part: Part, rules: list[Constraint], at: At) -> None:
    """Refuse other batch sizes where no cell of the sweep tried several."""
    if GIVEN not in part.p:
        return
    batch = float(np.exp(part.p[GIVEN][0]))
    for rule in rules:
        low, high = rule.limits(at).get("batch_size", (0.0, np.inf))
        kept = low <= batch * (1 + SAME) and batch <= high * (1 + SAME)
        if isinstance(rule, OneOf) and rule.quantity == "batch_size":
            kept &= bool(abs(rule.allowed(np.array([batch])) / batch - 1).min() <= SAME)
        if not kept:
            raise ValueError(
                f"{one_line(rule)} leaves no batch size of {batch:.10g}, the one that is given: no cell of this sweep "
                "tried several, so nothing says what another batch size would change. Add runs at other batch sizes, "
                "or leave that constraint out."
            )
