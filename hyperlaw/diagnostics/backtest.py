"""`backtest`: refit without some scales, predict them or decide for them, and score against what was measured there."""

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from hyperlaw.data.outcomes import NATS
from hyperlaw.data.table import Table
from hyperlaw.data.vocabulary import Row
from hyperlaw.diagnostics.score_settings import SettingScores
from hyperlaw.diagnostics.score_values import ValueScores
from hyperlaw.diagnostics.withheld import HoldOut, withheld
from hyperlaw.display import Shown, View
from hyperlaw.inference.jobs import check_executor, in_order
from hyperlaw.inference.refit import failed, quality, refit
from hyperlaw.models.law import Law
from hyperlaw.models.likelihoods import likelihood
from hyperlaw.models.likelihoods.base import Likelihood
from hyperlaw.quote import quote
from hyperlaw.risk import Risk
from hyperlaw.streams import check_seed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUALITY = ("divergences", "r_hat")


@dataclass(frozen=True, eq=False, repr=False)
class Backtest(Shown):
    """What `backtest` returns.

    Attributes
    ----------
    table
        Of runs, one row a (method, cell, repeat, risk). `method` is a law's name or a recipe's; `cell` that of the runs
        given; then its scales. `risk` is empty for recipes. `learning_rate, batch_size`: the choice. `regret`: what it
        lost on a smooth surface through the cell's lowest losses, nats; `regret_nearest`: what the nearest run lost.
        For laws alone: `regret_expected, regret_q90, regret_cvar90`, what it was predicted to lose: on average, at most
        in 90 %, and on average in the worst 10 %; `inside_regret`, whether the 90 % held;
        `covered_learning_rate, covered_batch_size, covered_loss, covered_regret`: whether 90 % intervals held
        the measured optimum and regret, with the target's own noise simulated and taken in (`_50` and `_80` at those
        levels; `pit_*` the share of simulated estimates below the measured one; `measured_regret_q90` the bound with
        that noise); `inside_*`: the same without it; `width_*`: of the 90 % interval of the optimum;
        `covered_runs` (`_50`, `_80`): share of the cell's runs whose loss lies in its predictive interval;
        `log_score` (mean log density of a run, its divergence included) and `crps` (nats); `decades`: how far the
        cell lies beyond the runs; `divergences` and `r_hat` of the fit. None where the cell's runs have no optimum.

        Of other tables, one row a (method, withheld row, quantity): its task and covariates; `value` (the limit where
        it was never reached) and `one_sided`; `median, lower, upper` of the predictive interval (90 %) of what is
        measured, its stated error included; `covered` (`_50`, `_80`), for a one-sided value whether the interval
        reaches beyond its limit; `error`, `|ln median - ln value|`, none for one-sided ones; `log_score` of ln value
        (the log probability of lying beyond, for one-sided ones) and `crps` in ln; `divergences` and `r_hat` of the
        fit.
    withheld
        What was withheld, in words.
    summary
        One row a (method, risk): mean and worst regret, and shares of intervals that held; of other tables one row a
        (method, quantity): coverage, error, scores.
    failed
        One row a refit whose chains disagree so much that nothing may be made of its draws: `method`, `repeat`, `part`
        (which of the withheld), `divergences`, `r_hat`. It has no row in `table`.
    missed, unit
        Column of how far a method misses, `regret` or `error`, and its unit.
    """

    table: pd.DataFrame
    withheld: str
    summary: pd.DataFrame
    failed: pd.DataFrame
    missed: str = "regret"
    unit: str = NATS

    def plot(self) -> "Figure":
        """How far laws and recipes miss, and how often intervals held: see `hyperlaw.plots.backtest`."""
        from hyperlaw.plots.backtest import plot_backtest

        return plot_backtest(self.table, summary=self.summary, missed=self.missed, unit=self.unit)

    def view(self) -> View:
        """What is shown of it."""
        lost = f"{len(self.failed)} refits failed, and are not counted: see `failed`." if len(self.failed) else ""
        tables, folded = {"": self.summary}, {"Every row": self.table}
        return View(f"Backtest, {self.withheld}.", lost, tables=tables, folded=folded, picture=self.plot)


def backtest(
    laws: Law | Likelihood | type[Law] | str | Mapping[str, Law | Likelihood],
    table: Table,
    *,
    seed: int,
    hold_out: HoldOut = "largest",
    sparse: int | None = None,
    repeats: int = 1,
    risks: Mapping[str, Risk] | None = None,
    executor: Executor | None = None,
    progress: bool = True,
) -> Backtest:
    """Withhold the largest scales, fit the rest, choose settings for what was withheld or predict it, and score.

    Beside the laws stand the recipes that people use by hand (`hyperlaw.diagnostics.baselines`); the one that needs
    scikit-learn is run where that is installed.

    Parameters
    ----------
    laws
        A law as for `hl.fit`, or several by name, all for this kind of table.
    table
        All runs, the withheld ones included; or a table of measured values (`Optima`, `Crossings`, `StepsToLoss`,
        `NoiseMeasurements`), which are then predicted and scored.
    seed
        Determines subsampling and every draw.
    hold_out
        `"largest"`: the largest value of the first scale that has three values or more (two when none has), of runs in
        the order params, width, data, utd, of other tables in that of the law's covariates; `"largest:2"`: its two
        largest; `"task"`: each task in turn; a function of `table.frame` that returns booleans; or a list of cells of
        runs.
    sparse
        Of runs: keep this many of each cell, drawn at random; all when left out.
    repeats
        How often to draw them.
    risks
        Of runs: attitudes to risk by name; left out, mean, 90 % quantile and CVaR(0.9).
    executor
        Whose workers refit and score, as for `hl.fit_many`; this process when left out. Results are the same.
    progress
        Whether to show a progress bar.

    Returns
    -------
    Backtest
        A tidy table and its summary. Repeats have equal shapes and share one compiled program.

    Raises
    ------
    ValueError
        When there is no law or no risk, one is named as a recipe is, `hold_out` names nothing or leaves nothing to fit,
        `sparse` or `repeats` is out of range, a law needs a column that the table lacks, or the executor forks.
    TypeError
        When the seed is no integer, or `executor` no executor.
    """
    check_seed(seed)
    check_executor(executor)
    models = _models(laws, table)
    score = _scores(models, table, sparse, repeats, risks)
    taken = [name for name in models if name in score.baselines]
    if taken:
        raise ValueError(
            f"a law is named {quote(taken[0])}, as a recipe is. The recipes are: {', '.join(score.baselines)}."
        )
    parts, words = withheld(table, hold_out, score.scales)
    jobs = [
        _Job(name, repeat, number, out)
        for repeat in range(repeats)
        for number, out in enumerate(parts)
        for name in (*models, *score.baselines)
    ]
    scored = in_order(partial(_scored, score, models, seed), jobs, executor, "backtest", progress=progress)
    rows = [row for some, _ in scored for row in some]
    lost = pd.DataFrame([row for _, row in scored if row], columns=["method", "repeat", "part", *QUALITY])
    found = score.table(pd.DataFrame(rows))
    return Backtest(found, words, _summary(score, found), lost, score.missed, score.unit)


def _models(
    laws: Law | Likelihood | type[Law] | str | Mapping[str, Law | Likelihood], table: Table
) -> dict[str, Likelihood]:
    """By name; one alone has the law's."""
    if not isinstance(laws, Mapping):
        one = likelihood(laws, table)
        return {one.law.name: one}
    if not laws:
        raise ValueError("backtest needs a law or more, received none.")
    return {name: likelihood(law, table) for name, law in laws.items()}


class _Job(NamedTuple):
    """One law or recipe, fitted without one part of the table."""

    method: str
    repeat: int
    number: int
    out: np.ndarray


def _scored(
    score: SettingScores | ValueScores, models: Mapping[str, Likelihood], seed: int, job: _Job
) -> tuple[list[Row], Row]:
    """Scores of one job, one row a withheld cell and risk, or a withheld value; and what is said of a failed refit."""
    train, keep = score.train(job.out, seed, job.repeat)
    about: Row = {"method": job.method, "repeat": job.repeat}
    if job.method not in models:
        return [about | row for row in score.of_baseline(job.method, train, job.out)], {}
    fit = refit(models[job.method], train, seed=seed + job.repeat + job.number, keep=keep)
    sampled = quality(fit)
    if failed(sampled):
        return [], about | {"part": job.number} | sampled
    about |= sampled
    return [about | row for row in score.of_law(fit, job.out)], {}


def _scores(
    models: Mapping[str, Likelihood],
    table: Any,
    sparse: int | None,
    repeats: int,
    risks: Mapping[str, Risk] | None,
) -> SettingScores | ValueScores:
    """How this kind of table is scored."""
    kind = SettingScores if next(iter(models.values())).prices_settings else ValueScores
    laws = {name: model.law for name, model in models.items()}
    return kind(laws, table, sparse=sparse, repeats=repeats, risks=risks)


def _summary(score: SettingScores | ValueScores, table: pd.DataFrame) -> pd.DataFrame:
    """Means over the withheld rows, one row a method."""
    by, means = list(score.groups), list(score.means)
    # Recipes have no intervals: where every refit of the laws failed, the columns that say what held are not there.
    numbers = table.assign(**{name: table[name].astype(float) if name in table else np.nan for name in means})
    counts = score.counts(table.groupby(by, sort=False))
    return counts.join(numbers.groupby(by, sort=False)[means].mean())
