"""`check`: whether to believe a fit. Thresholds, logic and advice of each check stand together."""

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import arviz_stats as az
import numpy as np
import pandas as pd
import xarray as xr

from hyperlaw.data.runs import Runs
from hyperlaw.inference.fit import Fit
from hyperlaw.inference.tree import density_name
from hyperlaw.models.identified import contrasts

INFORMED = ("exponent", "ridge", "noise_scale", "critical_batch", "gamma")
PASS, REVIEW, FAIL = "PASS", "REVIEW", "FAIL"


@dataclass(frozen=True, eq=False)
class Checks:
    """What `fit.check()` returns.

    Attributes
    ----------
    table
        One row a check: `check, value, threshold, status` (PASS, REVIEW or FAIL) and `advice`.
    """

    table: pd.DataFrame

    @property
    def ok(self) -> bool:
        """True when no check failed. REVIEW does not fail: it says what to look at."""
        return bool((self.table["status"] != FAIL).all())

    @property
    def failed(self) -> list[str]:
        """Names of the failed checks."""
        return self.table.loc[self.table["status"] == FAIL, "check"].tolist()

    def __repr__(self) -> str:
        return self.table.to_string(index=False, formatters={"value": "{:.4g}".format})

    def _repr_html_(self) -> str:
        return self.table.to_html(index=False, formatters={"value": "{:.4g}".format})


def check(fit: Fit) -> Checks:
    """Check that the sampler worked, that the law fits the table, and that the table informs the exponents.

    Parameters
    ----------
    fit
        A fitted law.

    Returns
    -------
    Checks
        A table; `.ok` is False when any check failed. A check with nothing to look at fails.
    """
    rows = [*_sampler(fit.tree), *_agreement(fit), *_contrasts(fit), *_contraction(fit)]
    return Checks(pd.DataFrame(rows, columns=["check", "value", "threshold", "status", "advice"]))


def _row(name: str, value: float, threshold: str, good: bool, otherwise: str, advice: str) -> tuple:
    if np.isnan(value):
        return name, value, threshold, FAIL, "Nothing to look at: the fit lacks what this check needs. Fit again."
    return name, value, threshold, PASS if good else otherwise, "" if good else advice


def _sampler(tree: xr.DataTree) -> list[tuple]:
    posterior, stats = tree["posterior"].dataset, tree["sample_stats"].dataset
    r_hat = _extreme(az.rhat(posterior), np.max)
    bulk, tail = (_extreme(az.ess(posterior, method=m), np.min) for m in ("bulk", "tail"))
    divergences = float(stats["diverging"].sum()) if stats["diverging"].size else np.nan
    largest = 2 ** json.loads(tree.attrs["settings"])["max_tree_depth"] - 1
    deepest = float((stats["n_steps"] >= largest).mean()) if stats["n_steps"].size else np.nan
    bfmi = _extreme(az.bfmi(tree), np.min)
    more = "Fit with more draws (draws=2000); if it stays, simplify the law or tighten its priors."
    return [
        _row("R-hat, largest", r_hat, "<= 1.01", r_hat <= 1.01, FAIL, "Chains disagree. " + more),
        _row("ESS bulk, smallest", bulk, ">= 400", bulk >= 400, FAIL, "Too few effective draws. " + more),
        _row("ESS tail, smallest", tail, ">= 400", tail >= 400, FAIL, "Too few effective draws for intervals. " + more),
        _row(
            "divergences", divergences, "0", divergences == 0, FAIL,
            "The sampler missed a part of the posterior. Fit with target_accept=0.995.",
        ),
        _row(
            "draws at the largest tree", deepest, "< 0.01", deepest < 0.01, REVIEW,
            "Sampling is slow, not wrong. Fit with warmup=1000 or stronger priors.",
        ),
        _row("BFMI, smallest", bfmi, ">= 0.3", bfmi >= 0.3, FAIL, "Heavy-tailed energies. Fit with warmup=1000."),
    ]  # fmt: skip


def _extreme(values: xr.Dataset, pick: Callable) -> float:
    flat = np.concatenate([np.ravel(values[name].values) for name in values.data_vars] or [np.array([])])
    return float(pick(flat)) if flat.size else np.nan


def _agreement(fit: Fit) -> list[tuple]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the same thing is said in the table
        loo = az.loo(fit.tree, var_name=density_name(fit.law), pointwise=True)
    k = float(np.max(loo.pareto_k.values))  # xarray would skip a NaN, which must fail
    many = float((loo.pareto_k > loo.good_k).mean())
    runs = isinstance(fit.table, Runs)
    sway = _row(
        "PSIS-LOO k, largest", k, f"<= {loo.good_k:.2f}", k <= loo.good_k, REVIEW if many < 0.05 or not runs else FAIL,
        "Some runs sway the fit on their own. Look at them: az.loo(fit.tree, pointwise=True)."
        if runs
        else "Some rows sway the fit on their own, as is usual with few. Look at them, or leave them out in turn.",
    )  # fmt: skip
    if not runs:
        return [sway, _rows_inside(fit)]
    observed = fit.tree["observed_data"].dataset
    predicted = fit.tree["posterior_predictive"]["loss"]
    alive = observed["diverged"].values == 0
    low, high = np.quantile(predicted.values[..., alive], [0.05, 0.95], axis=(0, 1))
    seen = observed["loss"].values[alive]
    inside = float(np.mean((seen >= low) & (seen <= high))) if alive.any() else np.nan
    lost = float(fit.tree["posterior_predictive"]["diverged"].mean() - observed["diverged"].mean())
    return [
        sway,
        _row(
            "runs inside 90 % posterior predictive", inside, "0.82 to 0.97", 0.82 <= inside <= 0.97,
            REVIEW if inside > 0.75 else FAIL,
            "The law does not describe these runs' scatter. Plot losses against learning rate by cell.",
        ),
        _row(
            "diverged runs, expected minus seen (share)", lost, "-0.05 to 0.05", abs(lost) <= 0.05, REVIEW,
            "The divergence cliff is misplaced: do not rely on P(diverge).",
        ),
    ]  # fmt: skip


def _rows_inside(fit: Fit) -> tuple:
    """Share of the measured values inside their 90 % posterior predictive intervals; a binomial error is allowed."""
    predicted, observed = fit.tree["posterior_predictive"].dataset, fit.tree["observed_data"].dataset
    held: list[bool] = []
    for name in predicted:
        low, high = np.quantile(predicted[name].values, [0.05, 0.95], axis=(0, 1))
        seen = observed[name].values
        held += ((seen >= low - 1e-9) & (seen <= high + 1e-9)).tolist()
    inside = float(np.mean(held)) if held else np.nan
    least = 0.9 - 2 * np.sqrt(0.09 / max(len(held), 1))
    return _row(
        "rows inside 90 % posterior predictive", inside, f">= {least:.2f}", inside >= least,
        REVIEW if inside > 0.7 else FAIL,
        "The law does not describe these rows. Compare it with another: hl.compare.",
    )  # fmt: skip


def _contrasts(fit: Fit) -> list[tuple]:
    """What the table varies, and where a curve over batch sizes turns within them."""
    found = contrasts(fit.law, fit.table)
    rows = [_row(c.name, c.value, c.threshold, c.good, REVIEW, c.advice) for c in found]
    for name in ("log_noise_scale", "log_critical_batch"):
        if name in fit.tree["posterior"] and fit.law.needs_batch_size:
            tried, turn = np.log(fit.table.frame["batch_size"]), _draws(fit, name)
            inside = (turn > tried.min()) & (turn < tried.max())
            rows.append(
                _row(
                    f"P({name} within the batch sizes tried)", float(inside.mean()), ">= 0.9", inside.mean() >= 0.9,
                    REVIEW,
                    "The curve may turn beyond the batch sizes tried: then only its level and this batch size together "
                    "are known, not each. Add rows on the other side.",
                )
            )  # fmt: skip
    return rows


def _contraction(fit: Fit) -> list[tuple]:
    """Share of each exponent's prior variance that the table removed."""
    prior, rows = fit.tree["prior"].dataset, []
    for parameter in fit.law.own_parameters:
        if any(word in parameter.name for word in INFORMED):
            left = float(_draws(fit, parameter.name).var(("chain", "draw")).mean())
            removed = 1 - left / float(prior[parameter.name].var())
            rows.append(
                _row(
                    f"contraction of {parameter.name}", removed, ">= 0.5", removed >= 0.5, REVIEW,
                    "The prior decides this exponent, not the runs. Add runs that vary its covariate, or state "
                    "a prior you can defend.",
                )
            )  # fmt: skip
    return rows


def _draws(fit: Fit, name: str) -> xr.DataArray:
    """A parameter of the population, or of every task where tasks have no population."""
    posterior = fit.tree["posterior"].dataset
    separate = fit.law.pooling.get(name) == "separate" and f"{name}_task" in posterior
    return posterior[f"{name}_task" if separate else name]
