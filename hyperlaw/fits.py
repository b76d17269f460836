"""`Fit`, `fit`, `load_fit`, `update`: what a user holds. A fit is a posterior with doors to what one does with it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hyperlaw.data.runs import Runs
from hyperlaw.data.table import Table
from hyperlaw.data.vocabulary import HYPERPARAMETERS, RUN_SCALES, At
from hyperlaw.diagnostics.check import checked
from hyperlaw.diagnostics.spec import Checks
from hyperlaw.display import View
from hyperlaw.inference.fitted_equation import Format, fitted_equation
from hyperlaw.inference.jobs import ALONE
from hyperlaw.inference.posterior import Posterior, sample_posterior
from hyperlaw.inference.predict import Prediction, predict
from hyperlaw.inference.sampler import Settings, check_settings
from hyperlaw.inference.storage import load, save
from hyperlaw.inference.summary import summary
from hyperlaw.models.law import Law
from hyperlaw.models.likelihoods import likelihood
from hyperlaw.models.likelihoods.base import Likelihood
from hyperlaw.models.prior import Prior

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WARMUP, SHORT_WARMUP = 300, 200
ENOUGH = 1000  # draws, for a covariance of some hundred parameters


@dataclass(frozen=True, eq=False, repr=False)
class Fit(Posterior):
    """The posterior of a law given a table, made by `hl.fit`, `hl.update` or `hl.load_fit`; see `Posterior`.

    Notes
    -----
    `fit.tree` is an ArviZ `DataTree`. Its groups, where every posterior draw is in every group of draws:

    - `posterior` (chain, draw): every parameter of `fit.likelihood.parameters`, in the unit that it states. With task,
      `{parameter}_task` where tasks differ (`{parameter}_task_sd`, how much, has no task). With cell, what each cell
      strays by from the law, `deviation_*` (ln), and `cell_optimal_loss` (nats); with {covariate}_level, what cells of
      one size or horizon share of that.
    - `sample_stats` (chain, draw): `diverging, energy, lp, n_steps, acceptance_rate, target_accept`.
    - `log_likelihood` (chain, draw, row): log density of each outcome.
    - `log_prior` (chain, draw): log density of each parameter's prior, under the parameter's name.
    - `posterior_predictive` (chain, draw, row): outcomes drawn anew, in the same cells.
    - `prior` (as `posterior`): 500 draws in one chain.
    - `prior_predictive` (chain, draw, row): outcomes of these.
    - `observed_data` (row): outcomes as the model reads them.
    - `constant_data` (row): the table, in its own units; columns of text are coordinates, such as `task_label`.

    Of runs the dim of rows is called `run` and the outcome `loss`: nats, read at the edge of the window, and NaN where
    the run diverged; its log density is that of its divergence and its loss together. Of other tables the dim is `row`,
    and the outcomes are the natural logs of what the law predicts, such as `learning_rate` and `batch_size`; one at an
    end of what could be read stays there, and its log density is the log probability of everything beyond. Where the
    errors of learning rate and batch size correlate, the first's density is that given the second.

    Rows are labelled as in the table that was read, cells and levels by their task and covariates.

    `az.summary(fit.tree, var_names=fit.main)` keeps to the law's own parameters, as most pictures must: ArviZ draws no
    more than 40 panels. `az.loo(fit.tree)` needs a `var_name` where rows hold two outcomes; `az.loo(fit.by_row)` leaves
    out whole rows. `fit.finished` is the tree without the runs that diverged: for what compares outcomes with
    predictive ones, such as `az.plot_loo_pit`.

    A saved fit holds `posterior`, `sample_stats` and the table. All else follows from these and the seed: `hl.load_fit`
    computes a group when it is first looked at.
    """

    def check(self) -> Checks:
        """Whether to believe this fit: that the sampler worked, and that law and table belong together.

        Returns
        -------
        Checks
            Printed, it begins with the verdict ("Every check passes", "Look at 2 checks" or "Do not use this fit"),
            then what failed or is to be looked at, with what to do. `.ok` is False when a check failed, `.failed` names
            those, and `.table` has all: one row a check, with `check, value, threshold, status` (PASS, REVIEW, FAIL)
            and `advice`.
            It is computed once, in a second or two.
        """
        return checked(self)

    def predict(self, at: At, candidates: Mapping[str, np.ndarray] | None = None) -> Prediction:
        """What this fit expects at a target where nothing was measured.

        Parameters
        ----------
        at
            Value of each covariate of the law, such as `{"params": 7e9, "data": 1.4e12}` ("7B" is read too), and
            `"batch_size"` (data points) where the table gives one in every row. With several tasks also `"task"`: a
            label that was fitted, or None for a new task, drawn from their population.
        candidates
            Of a fit of runs, settings to price: arrays `learning_rate` and `batch_size` of equal length. Left out, a
            grid over where the optimum may be.

        Returns
        -------
        Prediction
            `.table`: `lower, median, upper` (90 %, equal-tailed) of what the law predicts for a new cell there, of runs
            the best `learning_rate`, `batch_size` and the `loss` at it. `.draws`: the same in every draw, and of runs
            the regret of each candidate (nats). `.extrapolation`: how far the target lies beyond the table.
            `.checks_ok` is False, and the printed text says so, when this fit failed its checks. Equal calls give
            equal results.

        Raises
        ------
        ValueError
            When `at` does not give exactly what the law needs, or the candidates are not pairs above zero.
        """
        return replace(predict(self, at, candidates), ask_failed=partial(_failed, self))

    def summary(self) -> pd.DataFrame:
        """The law's own parameters, for people: one row each.

        Returns
        -------
        DataFrame
            Index `parameter`, as in `fit.tree`; columns `median`, `lower` and `upper` (90 %, equal-tailed),
            `unit`, `r_hat`, `ess` (the smaller of bulk and tail) and `meaning`. A parameter whose tasks have no
            population has a row for each task. `az.summary(fit.tree, var_names=fit.main)` has ArviZ's own.
        """
        return summary(self)

    def view(self) -> View:
        """What is shown of it."""
        return View(
            self.headline,
            "Ask fit.check() before you use it.",
            sections={"Equation": self.equation(), "Fitted to": self.table.headline},
            folded={"Parameters (90 %)": self.summary()},
            picture=self.plot,
        )

    def equation(self, format: Format = "text", *, task: str | None = None) -> str:
        """The law as a formula with the numbers of this fit, each with its 90 % interval.

        Parameters
        ----------
        format
            `"text"`: the formula, one line a quantity, then what its symbols stand for and where it is stated.
            `"latex"`: the formula alone, each line between dollar signs, as LaTeX, Markdown and matplotlib take it.
        task
            With several tasks, the label of one of them; left out, the centre of their population, or the first where
            they have none (pooling "separate").

        Returns
        -------
        str
            With its medians the formula gives what the law says with each parameter at its median. Intervals are of one
            parameter at a time, and parameters hang together: for an interval of what the law says use `fit.predict`.

        Raises
        ------
        ValueError
            When the format is neither, or the task was not fitted.
        """
        return fitted_equation(self, format, task=task)

    def plot(self) -> "Figure":
        """The law out to four times the largest rows: `hl.plots.optima` where it is of runs, else `hl.plots.values`."""
        from hyperlaw.plots.optima import optima
        from hyperlaw.plots.values import values

        return optima(self) if self.likelihood.prices_settings else values(self)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the fit to a netCDF file, which `hl.load_fit` reads: by this and every later version of hyperlaw.

        Parameters
        ----------
        path
            The file. It will hold draws, table, law, priors, seed and versions. One that is there stays whole until
            the new one is on the disk.

        Raises
        ------
        OSError
            When it cannot be written there. Nothing is changed then.
        """
        save(self, path)


def fit(
    law: Law | type[Law] | str | Likelihood,
    table: Table,
    *,
    seed: int,
    priors: Mapping[str, Prior] | None = None,
    chains: int = 4,
    draws: int | None = None,
    warmup: int = WARMUP,
    target_accept: float | None = None,
    max_tree_depth: int = 10,
    progress: bool = True,
) -> Fit:
    """Sample the posterior of `law` given a table with NUTS.

    Parameters
    ----------
    law
        For instance `hl.laws.StepLaw()`, or its name; or a likelihood, as `hl.likelihood` makes it. Where the table
        lacks what a law is usually stated over, it is stated over what there is (`over` of `hl.Law`).
    table
        The small runs (`Runs`), or `Optima`, `Crossings`, `StepsToLoss`, `NoiseMeasurements`: what the law is fitted
        to, see `hl.laws.table()`.
    seed
        Determines every draw: equal seeds on one machine give equal results.
    priors
        Priors that replace the defaults, by parameter name: the law's own, and those of the scatter of rows around
        it. `hl.likelihood(law, table).parameters` lists them all.
    chains, warmup
        Number of chains; warm-up iterations of each, a multiple of 100.
    draws
        Kept draws of each chain, a multiple of 50. Left out, as many as `fit.check()` asks for: after 300, 400 and so
        on up to 3,000 of each chain, sampling ends when every value in the posterior has R-hat of at most 1.01 and 400
        effective draws in the bulk and in the tails.
    target_accept
        Acceptance that the step size of NUTS aims at. Left out, 0.9; where a kept draw diverges, draws begin anew with
        0.975, and then with 0.995. Which one it was stands in `sample_stats`.
    max_tree_depth
        Of NUTS.
    progress
        Whether to show a progress bar.

    Returns
    -------
    Fit
        Posterior draws with everything ArviZ needs; call `.check()` before anything else.

    Raises
    ------
    ValueError, TypeError
        When a prior, a setting or the table do not fit the law.
    """
    model = likelihood(law, table, priors=priors)
    settings = Settings(chains, warmup, draws, target_accept, max_tree_depth)
    check_settings(seed, settings)
    with ALONE:
        return _fit(sample_posterior(model, table, seed=seed, settings=settings, progress=progress))


def load_fit(path: str | PathLike[str], *, laws: Sequence[type[Law]] = ()) -> Fit:
    """Read a fit that `fit.save` wrote.

    A file by an unknown hand can be tried: nothing in it is run, and no other file is read. One that would unpack to
    more than 20 times its size, and to more than 268 MB, is refused before any of it is.

    Parameters
    ----------
    path
        The file.
    laws
        Laws of your own, where they are not registered with `@hl.laws.register`.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file is not a hyperlaw fit or is damaged, points to other files or unpacks to more than is said above,
        was written in a later format, its law is unknown or had other parameters when it was fitted, or its rows are
        not those it was fitted to.
    """
    return _fit(load(path, laws))


def update(
    fit: Fit,
    new_runs: Runs | pd.DataFrame | Mapping[str, Any],
    *,
    seed: int,
    chains: int = 4,
    draws: int | None = None,
    progress: bool = True,
) -> Fit:
    """Fit the old and the new runs together, starting from the old posterior.

    The law, its priors and the sampler's care are those of the old fit, and what is sampled is the posterior that
    `hl.fit` to all runs would sample: nothing is approximated. Where all new runs lie in fitted cells, chains start
    at old draws (1,000 at least) with their covariance as mass matrix, and a short warm-up finds the step size. A new
    cell or task adds parameters and moves the pivot of the others: then all starts as in `hl.fit`, warm-up included.

    Parameters
    ----------
    fit
        A fit of a law to runs.
    new_runs
        One row a finished run, columns as in `fit.runs.frame`: `learning_rate`, `batch_size` (data points), every scale
        of the old runs, `loss` (in their unit; NaN where diverged), `task` where there are several, `seed` (0 when left
        out), `diverged` if any (left out, the runs without a loss), and `run` where several rows are one new run. Cells
        and tasks may be new.
    seed
        Determines every draw.
    chains, draws, progress
        As for `hl.fit`.

    Returns
    -------
    Fit
        Like any other. The attribute `updated_from` of its tree names the data, seed and size of the old one.

    Raises
    ------
    TypeError
        When the old fit is not one of runs, or the seed no integer.
    ValueError
        When the new runs have other scales than the old ones, repeat a run, or `Runs` refuses them; when a
        setting is not what `hl.fit` takes.
    """
    runs = _together(fit.runs, new_runs)
    old = Settings(**json.loads(fit.tree.attrs["settings"]))
    alike = len(runs.cells) == len(fit.runs.cells) and np.prod(fit.shape) >= ENOUGH
    settings = old._replace(chains=chains, draws=draws, warmup=SHORT_WARMUP if alike else WARMUP)
    check_settings(seed, settings)
    stacked = fit.draws.stack(sample=("chain", "draw")).transpose("sample", ...)
    earlier = {str(name): values.values for name, values in stacked.items()} if alike else None
    with ALONE:
        updated = sample_posterior(
            fit.likelihood, runs, seed=seed, settings=settings, earlier=earlier, progress=progress
        )
    origin = {"data": fit.table.digest, "seed": fit.seed, "runs": len(fit.runs), "new_runs": len(runs) - len(fit.runs)}
    updated.tree.attrs["updated_from"] = json.dumps(origin)
    return _fit(updated)


def _failed(fit: Fit) -> list[str]:
    return checked(fit).failed


def _fit(posterior: Posterior) -> Fit:
    return Fit(posterior.likelihood, posterior.table, posterior.tree, posterior.pivot)


def _together(old: Runs, new: Runs | pd.DataFrame | Mapping[str, Any]) -> Runs:
    """Old and new runs as one table."""
    frame = pd.DataFrame(getattr(new, "frame", new))
    several = len(old.tasks) > 1
    needs = [*HYPERPARAMETERS, *old.scales, "loss", *(["task"] if several else [])]
    missing = [name for name in needs if name not in frame]
    beyond = [name for name in RUN_SCALES if name in frame and name not in old.scales]
    if missing or beyond:
        said = [f"missing {', '.join(missing)}"] if missing else []
        said += [f"the fitted runs have no {', '.join(beyond)}"] if beyond else []
        raise ValueError(
            f"new_runs must have the columns of the fitted runs, {', '.join(needs)}: {'; '.join(said)}. Name and "
            "convert them as hl.Runs.from_frame did for the old ones."
        )
    if len(frame) == 0:
        raise ValueError("new_runs must hold a run or more, received none.")
    known = old.frame
    defaults = {"task": old.tasks[0], "seed": 0, "diverged": frame["loss"].isna()}
    frame = frame.assign(**{name: value for name, value in defaults.items() if name not in frame})
    if "run" in known:  # the numbers of the old ones name none of the new
        known["run"] = "old " + known["run"].astype(str)
        frame["run"] = "new " + frame.get("run", pd.Series(range(len(frame)), frame.index)).astype(str)
    columns = [name for name in known.columns if name != "cell"]
    # Batch sizes of both are in data points already.
    both = Runs.from_frame(pd.concat([known[columns], frame[columns]]), batch_unit=1, loss_unit=old.loss_unit)
    return replace(both, notes=(*old.notes, *both.notes), batch_unit=old.batch_unit)
