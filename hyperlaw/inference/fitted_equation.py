"""`fitted_equation`: the law as a formula with the numbers of a fit."""

from typing import Literal, TypeAlias, get_args

import numpy as np

from hyperlaw.inference.posterior import Posterior
from hyperlaw.intervals import interval, with_interval
from hyperlaw.models.equation import SYMBOLS, written
from hyperlaw.models.law import Law
from hyperlaw.quote import quote, some_of

LEARNT = 0.9  # share of its prior's width above which an interval says that the table told nothing
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

    def field(name: str, exponential: bool) -> str:
        if name in posterior.pivot:
            return _pivot(posterior, name)
        draws = posterior.draws[name]
        if task is not None and f"{name}_task" in posterior.draws:
            draws = posterior.draws[f"{name}_task"].sel(task=task)
        return with_interval(*interval(np.exp(draws.values) if exponential else draws.values))

    lines = [written(line, field, latex=latex) for line in law.equation() or _parameters(law)]
    return "\n".join(f"${line}$" for line in lines) if latex else "\n".join([*lines, _legend(posterior, task)])


def _parameters(law: Law) -> list[str]:
    """One line a parameter: of a law that states no equation."""
    return [f"{p.name} = {{{p.name}}}" for p in law.own_parameters]


def _unseen(posterior: Posterior, name: str) -> bool:
    """Whether the interval of a parameter is as wide as its prior's."""
    if "prior" not in posterior.tree.children:
        return False
    ends = (interval(draws[name].values)[[0, 2]] for draws in (posterior.draws, posterior.tree["prior"].dataset))
    after, before = (high - low for low, high in ends)
    return bool(after >= LEARNT * before)


def _pivot(posterior: Posterior, name: str) -> str:
    """A covariate's pivot, or the half range of a linear one: five figures."""
    at = posterior.pivot[name]
    number, *exponent = f"{np.exp(at) if name in posterior.law.logged else at:.5g}".split("e")
    return f"{number}e{int(exponent[0])}" if exponent else number


def _legend(posterior: Posterior, task: str | None) -> str:
    """What symbols stand for, where the formula is stated, and of which task."""
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
    if unseen := [p.meaning for p in law.own_parameters if _unseen(posterior, p.name)]:
        said.append(f"The table says nothing of: {'; '.join(unseen)}. The intervals are the priors'.")
    if len(posterior.table.tasks) > 1:
        said.append(
            f"For task {task}."
            if task is not None
            else f"For the centre of the population of tasks; task={quote(posterior.table.tasks[0])} gives one of them."
        )
    return " ".join(said)
