"""A check as a specification: what it computes, its threshold and its words; and what it looks at."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import arviz_stats as az
import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.utils import ELPDDataLOO

from hyperlaw.display import Shown, View, few, figures
from hyperlaw.inference.cells import fitted_cells
from hyperlaw.inference.posterior import Posterior
from hyperlaw.intervals import held
from hyperlaw.models.likelihoods.base import Arrays
from hyperlaw.quote import one_line

NOTHING = "Nothing to look at: the fit lacks what this check needs, or its draws do not move. Fit again."


class Status(StrEnum):
    """Outcome of a check."""

    PASS = "PASS"
    REVIEW = "REVIEW"
    FAIL = "FAIL"

    @property
    def sentence(self) -> str:
        """What it means."""
        return {
            "PASS": "Nothing speaks against the fit here.",
            "REVIEW": "Look at this before you rely on the fit.",
            "FAIL": "Do not rely on the fit.",
        }[self.value]


@dataclass(frozen=True)
class Spec:
    """One check.

    Attributes
    ----------
    name
        In words.
    compute
        Its value, from what is looked at; a NaN fails.
    advice
        What it means, and what to do, where the value is outside.
    low, high
        The value must lie between them, ends included.
    otherwise
        Status of a value outside.
    fails_below
        Below this a value fails, whatever `otherwise` says.
    applies
        Whether it is asked of a fit at all.
    """

    name: str
    compute: Callable[["Looked"], float]
    advice: str
    low: float = -np.inf
    high: float = np.inf
    otherwise: Status = Status.FAIL
    fails_below: float = -np.inf
    applies: Callable[[Posterior], bool] = lambda _: True

    @property
    def threshold(self) -> str:
        """What must hold, in words."""
        if self.low == self.high:
            return f"{self.low:g}"
        if np.isfinite(self.low) and np.isfinite(self.high):
            return f"{self.low:.3g} to {self.high:.3g}"
        return f">= {self.low:.3g}" if np.isfinite(self.low) else f"<= {self.high:.3g}"

    def row(self, looked: "Looked") -> tuple[str, float, str, Status, str]:
        """Check, value, threshold, status and advice; what cannot be computed fails, with its reason."""
        try:
            with np.errstate(invalid="ignore", divide="ignore"):  # of chains that stand still: a NaN, which fails
                value = self.compute(looked)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            why = f"It cannot be computed: {one_line(error)}. Fit again."
            return self.name, np.nan, self.threshold, Status.FAIL, why
        if np.isnan(value):
            return self.name, value, self.threshold, Status.FAIL, NOTHING
        if self.low <= value <= self.high:
            return self.name, value, self.threshold, Status.PASS, ""
        status = Status.FAIL if value < self.fails_below else self.otherwise
        return self.name, value, self.threshold, status, self.advice


@dataclass(frozen=True, eq=False, repr=False)
class Checks(Shown):
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
        return bool((self.table["status"] != Status.FAIL).all())

    @property
    def failed(self) -> list[str]:
        """Names of the failed checks."""
        return self.named(Status.FAIL)

    def named(self, status: Status) -> list[str]:
        """Names of the checks with this status."""
        return self.table.loc[self.table["status"] == status, "check"].tolist()

    @property
    def verdict(self) -> str:
        """Whether to rely on the fit, in one sentence."""
        review = self.named(Status.REVIEW)
        if self.failed:
            return f"Do not use this fit. Failed: {few(self.failed)}."
        if review:
            these = "1 check" if len(review) == 1 else f"{len(review)} checks"
            return f"Look at {these} before you rely on this fit; none failed."
        return "Every check passes: nothing that they look at speaks against this fit."

    def view(self) -> View:
        """What is shown of it."""
        passed = self.table["status"] == Status.PASS
        worst = next((s for s in (Status.FAIL, Status.REVIEW) if self.named(s)), Status.PASS)
        open_ = self.table[~passed].sort_values("status", kind="stable")  # FAIL before REVIEW
        return View(
            self.verdict,
            f"{passed.sum()} of {len(passed)} checks pass; .table has all.",
            status=worst.value,
            sections={_asked(row): row["advice"] for row in open_.to_dict("records")},
            folded={f"The {passed.sum()} checks that pass": self.table.loc[passed, ["check", "value", "threshold"]]},
        )


def _asked(row: Mapping[str, Any]) -> str:
    """A check that did not pass, with its value and what that must be."""
    value = figures(row["value"]) or "none"
    return f"{row['status']}  {row['check']}: {value} (must be {row['threshold']})"


@dataclass(frozen=True)
class Looked:
    """What checks look at, computed when it is first asked for."""

    posterior: Posterior

    @property
    def tree(self) -> xr.DataTree:
        """The fit's tree."""
        return self.posterior.tree

    def stat(self, name: str) -> np.ndarray:
        """A statistic of the sampler, of every draw."""
        return self.posterior.group("sample_stats")[name].values

    @cached_property
    def loo(self) -> ELPDDataLOO:
        """PSIS-LOO of the fit."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the same thing is said in the table
            return az.loo(self.posterior.by_row, pointwise=True)

    @cached_property
    def cells(self) -> tuple[Arrays, Arrays]:
        """Parameters and covariates of the fitted cells of runs."""
        return fitted_cells(self.posterior)

    def inside(self, name: str) -> np.ndarray:
        """How far each measured value lies in its 90 % posterior predictive interval, missing ones left out."""
        seen = self.posterior.group("observed_data")[name].values
        here = np.isfinite(seen)
        drawn = self.posterior.group("posterior_predictive")[name].values[..., here]
        return held(drawn, seen[here], axis=(0, 1))

    def draws(self, name: str) -> xr.DataArray:
        """A parameter of the population, or of every task where tasks have no population."""
        return self.posterior.draws[self.posterior.in_posterior(name)]
