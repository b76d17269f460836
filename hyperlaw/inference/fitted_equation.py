"""`fitted_equation`: the law as a formula with the numbers of a fit."""

from typing import Literal, TypeAlias, get_args

import numpy as np
from numpyro.distributions import Distribution

from hyperlaw.inference.posterior import Posterior
from hyperlaw.intervals import interval, with_interval
from hyperlaw.models.equation import SYMBOLS, written
from hyperlaw.models.law import Law
from hyperlaw.quote import quote, some_of

# The table says hardly anything where draws spread by this share of the prior's standard deviation, and lie so many of
# those from its mean at most.
LEARNT, NEAR = 0.85, 0.6
Format: TypeAlias = Literal["text", "latex"]


def fitted_equation(posterior: Posterior, format: Format = "text", *, task: str | None = None) -> str:
    """The law's equation with the numbers of a fit: see `hyperlaw.fits.Fit.equation`."""
    if format not in get_args(Format):
        raise ValueError(f"format must be 'text' or 'latex', received {quote(format)}.")
    tasks = posterior.table.tasks
    if task is not None and task not in tasks:
        raise ValueError(f"there is no task {quote(task)} in this fit; its tasks are: {some_of(tasks)}.")
    law, latex = posterior.law, format == "latex"
    if task is None and posterior.main != [p.name for p in law.own_parameters]:
        task = tasks[0]  # tasks have some parameters separately: there is no population whose centre could be stated

    priors, unlearnt = posterior.likelihood.design(posterior.table).priors, set()

    def field(name: str, exponential: bool) -> str:
        if name in posterior.pivot:
            return _pivot(posterior, name)
        draws = posterior.draws[name]
        if task is not None and f"{name}_task" in posterior.draws:
            draws = posterior.draws[f"{name}_task"].sel(task=task)
        if _as_the_prior(draws.values, priors[name]):
            unlearnt.add(name)
        return with_interval(*interval(np.exp(draws.values) if exponential else draws.values))

    lines = [written(line, field, latex=latex) for line in law.equation() or _parameters(law)]
    if latex:
        return "\n".join(f"${line}$" for line in lines)
    return "\n".join([*lines, _legend(posterior, task, unlearnt)])


def _parameters(law: Law) -> list[str]:
    """One line a parameter: of a law that states no equation."""
    return [f"{p.name} = {{{p.name}}}" for p in law.own_parameters]


def _as_the_prior(draws: np.ndarray, prior: Distribution) -> bool:
    """Whether draws have about the width and the place of the prior."""
    mean, sd = float(prior.mean), float(np.sqrt(prior.variance))
    return bool(draws.std() >= LEARNT * sd and abs(draws.mean() - mean) <= NEAR * sd)


def _pivot(posterior: Posterior, name: str) -> str:
    """A covariate's pivot, or the half range of a linear one: five figures."""
    at = posterior.pivot[name]
    number, *exponent = f"{np.exp(at) if name in posterior.law.logged else at:.5g}".split("e")
    return f"{number}e{int(exponent[0])}" if exponent else number


def _legend(posterior: Posterior, task: str | None, unlearnt: set[str]) -> str:
    """What symbols stand for, where the formula is stated, of what the table says little, and of which task it is."""
    law, said = posterior.law, []
    if not law.equation():
        meant = "; ".join(f"{p.name}: {p.meaning}" for p in law.own_parameters)
        said.append(f"{meant}. {law.name} states no equation: hl.Law.equation says how it can.")
    batch = law.needs_batch_size or "batch_size" in law.predicts
    names = [*law.covariates, *(["batch_size"] if batch else [])]
    symbols = ", ".join(f"{SYMBOLS[name]} {name}" for name in names if SYMBOLS.get(name, name) != name)
    said.append(f"Medians and 90 % intervals, one parameter at a time{f'; {symbols}' if symbols else ''}.")
    if law.logged:
        pivots = ", ".join(f"{name} = {_pivot(posterior, name)}" for name in law.logged)
        said.append(f"Stated at the pivot, the geometric mean of the table: {pivots}.")
    if little := [p.meaning for p in law.own_parameters if p.name in unlearnt]:
        said.append(f"The table says hardly anything of: {'; '.join(little)}. Their intervals are about the priors'.")
    if len(posterior.table.tasks) > 1:
        said.append(
            f"For task {task}."
            if task is not None
            else f"For the centre of the population of tasks; task={quote(posterior.table.tasks[0])} gives one of them."
        )
    return " ".join(said)
