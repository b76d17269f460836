"""`check`: whether to believe a fit. What each check computes, its threshold and its words stand together."""

import json
from collections.abc import Callable
from dataclasses import replace
from weakref import WeakKeyDictionary

import arviz_stats as az
import numpy as np
import pandas as pd
import xarray as xr

from hyperlaw.diagnostics.departures import off_the_law, two_recipes
from hyperlaw.diagnostics.spec import Checks, Looked, Spec, Status
from hyperlaw.diagnostics.sweep_checks import (
    at_the_end,
    fewest_levels,
    hardly_described,
    informed,
    left_to_the_prior,
    most_batch_sizes,
    one_sidedness,
    together,
)
from hyperlaw.inference.enough import EFFECTIVE, R_HAT
from hyperlaw.inference.posterior import Posterior
from hyperlaw.models.identifiability import COLLINEAR, contrasts

# Seconds each; a fit never changes, and is asked again by every prediction and decision made from it.
_KNOWN: WeakKeyDictionary[Posterior, Checks] = WeakKeyDictionary()
MORE_DRAWS = "Fit with more draws (draws=4000); if it stays, simplify the law or tighten its priors."


def check(posterior: Posterior) -> Checks:
    """Check that the sampler worked, that the law fits the table, and that the table informs the exponents.

    Parameters
    ----------
    posterior
        A fitted law.

    Returns
    -------
    Checks
        A table; `.ok` is False when any check failed. A check with nothing to look at fails.
    """
    looked = Looked(posterior)
    rows = [spec.row(looked) for spec in specs_of(posterior)]
    return Checks(pd.DataFrame(rows, columns=["check", "value", "threshold", "status", "advice"]))


def checked(posterior: Posterior) -> Checks:
    """The same, remembered as long as the posterior is."""
    if posterior not in _KNOWN:
        _KNOWN[posterior] = check(posterior)
    return _KNOWN[posterior]


def specs_of(posterior: Posterior) -> list[Spec]:
    """The checks that are asked of a posterior; some depend on its law and its table."""
    asked = (_agreement, _departures, _contrasts, _turns, _contraction)
    specs = [*SAMPLER, *SWEEP, *(spec for each in asked for spec in each(posterior))]
    return [spec for spec in specs if spec.applies(posterior)]


def _extreme(values: xr.Dataset, pick: Callable) -> float:
    flat = np.concatenate([np.ravel(values[name].values) for name in values.data_vars] or [np.array([])])
    return float(pick(flat)) if flat.size else np.nan


def _share_deepest(looked: Looked) -> float:
    steps = looked.stat("n_steps")
    largest = 2 ** json.loads(looked.tree.attrs["settings"])["max_tree_depth"] - 1
    return float((steps >= largest).mean()) if steps.size else np.nan


def _divergences(looked: Looked) -> float:
    diverging = looked.stat("diverging")
    return float(diverging.sum()) if diverging.size else np.nan


SAMPLER = (
    Spec(
        "R-hat, largest", lambda looked: _extreme(az.rhat(looked.posterior.draws), np.max),
        f"Chains disagree. {MORE_DRAWS}", high=R_HAT,
    ),
    Spec(
        "ESS bulk, smallest", lambda looked: _extreme(az.ess(looked.posterior.draws, method="bulk"), np.min),
        f"Too few effective draws. {MORE_DRAWS}", low=EFFECTIVE,
    ),
    Spec(
        "ESS tail, smallest", lambda looked: _extreme(az.ess(looked.posterior.draws, method="tail"), np.min),
        f"Too few effective draws for intervals. {MORE_DRAWS}", low=EFFECTIVE,
    ),
    Spec(
        "divergences", _divergences,
        "The sampler missed a part of the posterior. Fit with target_accept=0.999; if it stays, simplify the law or "
        "tighten its priors.",
        low=0, high=0,
    ),
    Spec(
        "draws at the largest tree (share)", _share_deepest,
        "Sampling is slow, not wrong. Fit with warmup=1000 or stronger priors.", high=0.01, otherwise=Status.REVIEW,
    ),
    Spec(
        "BFMI, smallest", lambda looked: _extreme(az.bfmi(looked.tree["sample_stats"].to_dataset()), np.min),
        "Heavy-tailed energies. Fit with warmup=1000.", low=0.3,
    ),
)  # fmt: skip


def _of_runs(posterior: Posterior) -> bool:
    return posterior.likelihood.prices_settings


def _of_values(posterior: Posterior) -> bool:
    return not posterior.likelihood.prices_settings


def _share_inside(looked: Looked, names: list[str]) -> float:
    held = np.concatenate([looked.inside(name) for name in names] or [np.array([])])
    return float(held.mean()) if held.size else np.nan


def _values_inside(looked: Looked) -> float:
    return _share_inside(looked, [str(name) for name in looked.tree["posterior_predictive"].data_vars])


def _diverged_excess(looked: Looked) -> float:
    predicted, observed = looked.tree["posterior_predictive"], looked.tree["observed_data"]
    return float(predicted["loss"].isnull().mean() - observed["loss"].isnull().mean())


def _measured(posterior: Posterior) -> float:
    """Share of rows whose value is not one-sided, of the quantity where it is least."""
    points = posterior.table.points()
    two_sided = points["value"].gt(points["low"]) & points["value"].lt(points["high"])
    return float(two_sided.groupby(points["quantity"]).mean().min())


PSIS = Spec(
    # xarray would skip a NaN, which must fail.
    "PSIS-LOO k, largest", lambda looked: float(np.max(looked.loo.pareto_k.values)),
    "Some rows sway the fit on their own, as is usual with few. Look at them (az.loo(fit.by_row, pointwise=True)), or "
    "leave them out in turn.",
    otherwise=Status.REVIEW, applies=_of_values,
)  # fmt: skip
SWAYING = Spec(
    "runs that sway the fit (share)", lambda looked: float((looked.loo.pareto_k > good_k(looked.posterior)).mean()),
    "So many runs sway the fit on their own that PSIS-LOO says little, and the law may not describe them. Look at them "
    "(az.loo(fit.by_row, pointwise=True)), and compare laws by hl.compare, which refits.",
    # Where a cell has few runs, each of them counts: up to 0.16 of the runs of clean sweeps (evidence/clean-sweeps.md).
    high=0.1, otherwise=Status.REVIEW, applies=_of_runs,
)  # fmt: skip
RUNS_INSIDE = Spec(
    "runs inside 90 % posterior predictive", lambda looked: _share_inside(looked, ["loss"]),
    "The law does not describe these runs' scatter. Plot losses against learning rate by cell.",
    low=0.82, high=0.97, otherwise=Status.REVIEW, fails_below=0.75, applies=_of_runs,
)  # fmt: skip
DIVERGED = Spec(
    "diverged runs, expected minus seen (share)", _diverged_excess,
    "The divergence threshold is misplaced: do not rely on P(diverge).",
    low=-0.05, high=0.05, otherwise=Status.REVIEW, applies=_of_runs,
)  # fmt: skip
VALUES_INSIDE = Spec(
    "rows inside 90 % posterior predictive", _values_inside,
    "The law does not describe these rows. Compare it with another: hl.compare.",
    otherwise=Status.REVIEW, fails_below=0.7, applies=_of_values,
)  # fmt: skip


MEASURED = Spec(
    "rows whose value is not one-sided (share)", lambda looked: _measured(looked.posterior),
    "Most values say only that the truth is that or more, or less: how far beyond, the prior decides. Measure more "
    "exactly (more measurements a window, larger batches, a wider range); where no value is two-sided, believe none.",
    low=0.5, otherwise=Status.REVIEW, fails_below=np.finfo(float).tiny,
    applies=lambda posterior: _of_values(posterior) and _measured(posterior) < 0.5,
)  # fmt: skip


def _of_several_batch_sizes(posterior: Posterior) -> bool:
    return _of_runs(posterior) and most_batch_sizes(posterior.runs) > 1


def _of_three_batch_sizes(posterior: Posterior) -> bool:
    return _of_runs(posterior) and most_batch_sizes(posterior.runs) > 2


SWEEP = (
    Spec(
        "batch sizes tried in a cell, most", lambda looked: most_batch_sizes(looked.posterior.runs),
        "The batch size never varies within a cell: nothing says which is best. The law is one of the learning rate at "
        "the batch size that was used.",
        low=2, otherwise=Status.REVIEW,
        applies=lambda posterior: _of_runs(posterior) and not posterior.law.says_loss,
    ),
    Spec(
        "batch sizes tried in a cell, most", lambda looked: most_batch_sizes(looked.posterior.runs),
        "The batch size never varies within a cell: the best one follows from the law's sum alone, across scales, and "
        "is wrong where the loss is no such sum. Add cells with several batch sizes, and compare with StepLaw there.",
        low=2, otherwise=Status.REVIEW, applies=lambda posterior: _of_runs(posterior) and posterior.law.says_loss,
    ),
    Spec(
        "correlation of learning rate and batch size in cells", lambda looked: together(looked.posterior.runs),
        "Learning rate and batch size move together: their optima are known only along that line. Add runs that part "
        "them.",
        high=COLLINEAR, otherwise=Status.REVIEW, applies=_of_several_batch_sizes,
    ),
    *(
        Spec(
            f"cells whose best {words} is the last one tried (share)",
            lambda looked, name=name: at_the_end(looked.posterior.runs, name),  # type: ignore[misc]
            f"The best {words} of these cells may lie beyond those that were tried. Add runs further out.",
            high=0.25, otherwise=Status.REVIEW, applies=applies,
        )
        for name, words, applies in (
            ("learning_rate", "learning rate", _of_runs), ("batch_size", "batch size", _of_three_batch_sizes),
        )
    ),
    Spec(
        "cells with fewer than three runs within the window (share)", lambda looked: hardly_described(looked.posterior),
        "A run further above the lowest loss of its cell than the spread of the cells' lowest losses says only that it "
        "is at least so bad: of these cells hardly a run is left to describe them. Fit hl.LossSurface(law, window=2), "
        "and see in hl.sensitivity whether the choice depends on it; or add scales that differ more.",
        high=0.25, otherwise=Status.REVIEW, applies=_of_runs,
    ),
    Spec(
        "levels of a scale, fewest", lambda looked: fewest_levels(looked.posterior),
        "So few sizes or horizons hardly say how they differ beside the law: the prior does. Add runs at another one.",
        low=4, otherwise=Status.REVIEW,
        applies=lambda posterior: _of_runs(posterior) and bool(posterior.likelihood.levels(posterior.table)),
    ),
    Spec(
        "mean rank of losses on a side, off one half", lambda looked: one_sidedness(looked.posterior, looked.cells),
        "The loss does not rise from its lowest as the model has it: on one side of the best learning rate runs are "
        "better, or worse, than expected, and the optimum is drawn aside. Fit hl.LossSurface(law, window=0.5).",
        high=0.1, otherwise=Status.REVIEW, applies=_of_runs,
    ),
    Spec(
        "share of the best learning rate beyond the runs left to the prior",
        lambda looked: left_to_the_prior(looked.posterior),
        "At four times the largest runs the interval of the best learning rate comes from the prior more than from "
        "these runs. Add scales, or state priors you can defend.",
        high=0.8, otherwise=Status.REVIEW, applies=_of_runs,
    ),
)  # fmt: skip


def good_k(posterior: Posterior) -> float:
    """Largest Pareto k that can be trusted with so many draws, as ArviZ has it (arXiv 1507.02646)."""
    return float(min(1 - 1 / np.log10(np.prod(posterior.shape)), 0.7))


def _agreement(posterior: Posterior) -> list[Spec]:
    """Whether the law describes the rows; thresholds that depend on how many there are."""
    rows = len(posterior.table) if _of_runs(posterior) else len(posterior.table.points())
    binomial = 0.9 - 2 * np.sqrt(0.09 / rows)  # two standard errors below 90 %
    # Runs that were fitted lie inside more often than new ones would, and few of them the more so.
    inside = replace(RUNS_INSIDE, high=min(RUNS_INSIDE.high + 2 * np.sqrt(0.09 / rows), 1.0))
    return [
        replace(PSIS, high=good_k(posterior)),
        SWAYING,
        inside,
        DIVERGED,
        replace(VALUES_INSIDE, low=binomial),
        MEASURED,
    ]


TWO_RECIPES = Spec(
    "nats gained by two recipes in a cell", lambda looked: two_recipes(looked.posterior, looked.cells),
    "Runs of one cell follow two recipes, whose best learning rates lie apart. Find what differs between them "
    "(schedule, optimizer, code), and give each a task of its own: task=.",
    # Of runs of one recipe the gain is negative; 3 nats are odds of 20.
    high=3, otherwise=Status.REVIEW, applies=_of_runs,
)  # fmt: skip


def _departures(posterior: Posterior) -> list[Spec]:
    """Where a sweep departs from the law: along each scale of which some level could, and within cells."""
    if not _of_runs(posterior):
        return []
    frame = posterior.runs.frame
    several = [name for name in posterior.law.logged if frame.groupby("task")[name].nunique().max() > 2]
    return [
        TWO_RECIPES,
        *(
            Spec(
                f"levels of {name} off a power law (rank in the prior)",
                lambda looked, name=name: off_the_law(looked.posterior, looked.cells, name),  # type: ignore[misc]
                f"The best settings do not follow a power law of {name}: an exponent changes within these runs, or a "
                "level was trained by another recipe. Look at fit.plot(). Leave out what lies before the change, or "
                "give runs of another recipe a task of their own: task=.",
                high=0.75, otherwise=Status.REVIEW,
            )
            for name in several
        ),
    ]  # fmt: skip


def _contrasts(posterior: Posterior) -> list[Spec]:
    """What the table varies."""
    return [
        Spec(c.name, lambda _, value=c.value: value, c.advice, low=c.low, high=c.high, otherwise=Status.REVIEW)  # type: ignore[misc]
        for c in contrasts(posterior.law, posterior.table)
    ]


def _turns(posterior: Posterior) -> list[Spec]:
    """Where a curve turns within the values of a column that were tried."""

    def within(looked: Looked, name: str, column: str) -> float:
        tried, turn = np.log(looked.posterior.table.frame[column]), looked.draws(name)
        return float(((turn > tried.min()) & (turn < tried.max())).mean())

    return [
        Spec(
            f"P({p.name} within the {p.within.replace('_', ' ')}s tried)",
            lambda looked, p=p: within(looked, p.name, p.within),  # type: ignore[misc]
            "The curve may turn beyond the batch sizes tried: then only its level and this batch size together "
            "are known, not each. Add rows on the other side.",
            low=0.9, otherwise=Status.REVIEW,
        )
        for p in posterior.law.own_parameters
        if p.within and p.within in posterior.table.frame
    ]  # fmt: skip


def _contraction(posterior: Posterior) -> list[Spec]:
    """Share of the prior variance that the table removed, of every parameter that a column must inform."""

    def removed(looked: Looked, name: str) -> float:
        left = float(looked.draws(name).var(("chain", "draw")).mean())
        return 1 - left / float(looked.tree["prior"][name].var())

    return [
        Spec(
            f"contraction of {p.name}",
            lambda looked, p=p: removed(looked, p.name),  # type: ignore[misc]
            f"The prior decides this parameter, not the rows. Add rows that vary {' and '.join(p.informed_by)} more "
            "widely, or state a prior you can defend.",
            low=0.5, otherwise=Status.REVIEW,
        )
        for p in posterior.law.own_parameters
        if p.informed_by and p.name in informed(posterior)
    ]  # fmt: skip
