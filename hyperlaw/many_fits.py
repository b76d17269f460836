"""`fit_many`: the same law fitted to many tables, each by itself, on as many processes and machines as there are."""

import time
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from hyperlaw.data.table import Table
from hyperlaw.data.vocabulary import Row
from hyperlaw.display import Shown, View
from hyperlaw.fits import WARMUP, Fit, fit
from hyperlaw.inference.jobs import check_executor, outcomes
from hyperlaw.inference.sampler import Settings, check_settings
from hyperlaw.models.law import Law
from hyperlaw.models.likelihoods import likelihood
from hyperlaw.models.likelihoods.base import Likelihood
from hyperlaw.models.prior import Prior
from hyperlaw.progress import track
from hyperlaw.quote import quote

COLUMNS = {
    "rows": "Int64", "ok": bool, "r_hat": float, "ess": float, "divergences": "Int64", "draws": "Int64",
    "seconds": float, "failed": str,
}  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class ManyFits(Shown):
    """What `fit_many` returns.

    Attributes
    ----------
    fits
        `Fit` by name of its table, in the order of the tables; those that could be fitted.
    failures
        Why the others could not, by name of the table.
    table
        One row a table, the index its name: `rows` (how many it has); `ok`, whether its fit's checks let it pass (a
        fit that does not pass is among `fits`: ask its `check()`); `r_hat`, the largest, and `ess`, the smallest of
        bulk and tails, over every value in the posterior; `divergences`; `draws` of each chain; `seconds` that the
        fit and its checks took; `failed`, the reason when it could not be fitted, else empty.
    """

    fits: dict[Hashable, Fit]
    failures: dict[Hashable, str]
    table: pd.DataFrame

    @property
    def ok(self) -> bool:
        """True when every table was fitted and every fit's checks let it pass."""
        return bool(self.table["ok"].all())

    def view(self) -> View:
        """What is shown of it."""
        total, passed = len(self.table), int(self.table["ok"].sum())
        head = f"ManyFits: {len(self.fits)} of {total} tables fitted, {passed} pass their checks."
        return View(head, status="PASS" if self.ok else "REVIEW", tables={"": self.table})


def fit_many(
    law: Law | type[Law] | str | Likelihood,
    tables: Mapping[Any, Table] | Sequence[Table],
    *,
    seed: int,
    priors: Mapping[str, Prior] | None = None,
    chains: int = 4,
    draws: int | None = None,
    warmup: int = WARMUP,
    target_accept: float | None = None,
    max_tree_depth: int = 10,
    executor: Executor | None = None,
    progress: bool = True,
) -> ManyFits:
    """Fit a law to each of many tables, as `hl.fit` does, and check each fit.

    Each fit is that of `hl.fit(law, table, seed=seed, ...)`, draw for draw, wherever it is made. All have the one
    seed: tables that differ are other posteriors, but what chance does to equal tables is equal. A table that cannot be
    fitted does not stop the others. Tables of like size share compiled programs.

    Parameters
    ----------
    law
        As for `hl.fit`.
    tables
        Tables of one kind or several, by name; those of a sequence are named 0, 1, ...
    seed
        Determines every draw.
    priors, chains, draws, warmup, target_accept, max_tree_depth
        As for `hl.fit`, of every fit.
    executor
        Whose workers fit: any `concurrent.futures.Executor` that does not fork, such as
        `ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn"))`, or `client.get_executor()` of a Dask
        client, whose workers may be on other machines. Left out, this process fits one table after the other.
    progress
        Whether to show a progress bar.

    Returns
    -------
    ManyFits
        The fits, why tables could not be fitted, and a row about each table.

    Raises
    ------
    ValueError
        When there is no table, the law does not describe its kind, a prior or a setting is not what `hl.fit` takes, or
        the executor forks.
    TypeError
        When the tables, the seed or the executor are not what is needed.
    """
    named = _named(tables)
    settings = Settings(chains, warmup, draws, target_accept, max_tree_depth)
    check_settings(seed, settings)
    check_executor(executor)
    for table in {table.kind: table for table in named.values()}.values():
        likelihood(law, table, priors=priors)  # what is wrong for all of a kind is refused before any is fitted
    names, jobs = list(named), list(named.values())
    fitted = outcomes(partial(_fitted, law=law, seed=seed, priors=priors, settings=settings), jobs, executor)
    found = dict(track(fitted, "fit_many", total=len(jobs), disable=not progress))
    fits: dict[Hashable, Fit] = {}
    failures: dict[Hashable, str] = {}
    rows: list[Row] = []
    for position, name in enumerate(names):
        outcome, about = found[position], {"rows": len(jobs[position])}
        if isinstance(outcome, Exception):
            failures[name] = f"{type(outcome).__name__}: {outcome}"
            rows.append(about | {"ok": False, "failed": failures[name]})
        else:
            fits[name], measured = outcome
            rows.append(about | measured | {"failed": ""})
    table = pd.DataFrame(rows, index=pd.Index(names, name="table"), columns=list(COLUMNS)).astype(COLUMNS)
    return ManyFits(fits, failures, table)


def _named(tables: Mapping[Any, Table] | Sequence[Table]) -> dict[Hashable, Table]:
    """Tables by name."""
    if not isinstance(tables, Mapping | Sequence) or isinstance(tables, str):
        raise TypeError(
            f"tables must be a mapping from names to tables, or a sequence of tables; received {type(tables).__name__}."
            " A single table goes to hl.fit."
        )
    named: dict[Hashable, Table] = dict(tables.items() if isinstance(tables, Mapping) else enumerate(tables))
    if not named:
        raise ValueError("tables must hold one table or more, received none.")
    for name, table in named.items():
        if not isinstance(table, Table):
            raise TypeError(
                f"tables[{quote(name)}] must be hl.Runs, hl.Optima, hl.Crossings, hl.StepsToLoss or "
                f"hl.NoiseMeasurements, received {type(table).__name__}. Make one with its from_frame."
            )
    return named


def _fitted(
    table: Table,
    *,
    law: Law | type[Law] | str | Likelihood,
    seed: int,
    priors: Mapping[str, Prior] | None,
    settings: Settings,
) -> tuple[Fit, Row]:
    """A fit, and what its row says of it."""
    begun = time.perf_counter()
    found = fit(law, table, seed=seed, priors=priors, progress=False, **settings._asdict())
    checks = found.check()
    value = checks.table.set_index("check")["value"]
    return found, {
        "ok": checks.ok,
        "r_hat": value["R-hat, largest"],
        "ess": np.min(value[["ESS bulk, smallest", "ESS tail, smallest"]]),
        "divergences": int(value["divergences"]),
        "draws": found.shape[1],
        "seconds": time.perf_counter() - begun,
    }
