"""Cells in every draw: those that were fitted, and new ones drawn from their population."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hyperlaw.data.runs import Runs
from hyperlaw.data.vocabulary import COUNTS, HYPERPARAMETERS, At, number
from hyperlaw.inference.posterior import Posterior
from hyperlaw.models.likelihoods.base import Arrays
from hyperlaw.models.likelihoods.deviations import level_of
from hyperlaw.models.likelihoods.surface import SHARPNESS
from hyperlaw.quote import quote, some_of

FARTHEST = 8  # decades beyond the table

OWN = (*(f"deviation_{name}" for name in (*HYPERPARAMETERS, *SHARPNESS)), "cell_optimal_loss")


def task_parameters(posterior: Posterior, tasks: Sequence[Any], *stream: str | int) -> Arrays:
    """Parameters of each row's task, shape (chain, draw, row) or (chain, draw, 1).

    A task that was not fitted is drawn from the population of tasks in every draw; rows of one new task share it.
    `stream` names other new tasks than those of a plain prediction.
    """
    draws, known = posterior.draws, list(posterior.table.tasks)
    new = sorted({str(task) for task in tasks if task not in known})
    where = [known.index(task) if task in known else len(known) + new.index(str(task)) for task in tasks]
    rng = posterior.rng("new task", *stream)
    p: Arrays = {}
    for parameter in posterior.likelihood.parameter_list:
        name = parameter.name
        value = draws[name].values[..., None]
        if len(known) > 1 and parameter.group_sd is not None:
            own = draws[f"{name}_task"].values
            unseen = np.repeat(value, len(new), axis=-1)
            if name not in posterior.likelihood.separate:
                sd = draws[f"{name}_task_sd"].values[..., None]
                offset = sd * rng.standard_normal((*own.shape[:2], len(new)))
                unseen = unseen * np.exp(offset) if parameter.positive else unseen + offset
            value = np.concatenate([own, unseen], axis=-1)[..., where]
        p[name] = value
    return p | posterior.likelihood.settled(p)


def level_deviations(posterior: Posterior, frame: pd.DataFrame, *stream: str | int) -> Arrays:
    """Deviations of each row's levels, shape (chain, draw, row): those fitted where known, new ones drawn.

    `frame` holds `task` and the law's covariates; rows of one new level share it.
    """
    draws, found = posterior.draws, {}
    for name, known in posterior.likelihood.levels(posterior.table).items():
        rng = posterior.rng("new level", name, *stream)
        new = frame[["task", name]].drop_duplicates()
        new = new[level_of(known, new, name) < 0].reset_index(drop=True)
        where = level_of(pd.concat([known, new], ignore_index=True), frame, name)
        for quantity in posterior.likelihood.shares:
            sd = draws[f"{name}_sd_{quantity}"].values[..., None]
            unseen = sd * rng.standard_normal((*posterior.shape, len(new)))
            own = draws[f"{name}_deviation_{quantity}"].values
            found[f"{name}_deviation_{quantity}"] = np.concatenate([own, unseen], axis=-1)[..., where]
    return found


def fitted_cells(posterior: Posterior) -> tuple[Arrays, Arrays]:
    """Parameters of the loss surface in each cell of the runs that were fitted.

    Returns
    -------
    p
        Each parameter (of the cell's task, where tasks differ), and what the cell has of its own: `deviation_*` (ln) of
        learning rate, batch size and the sharpness of both, and `cell_optimal_loss` (nats); shape (chain, draw, cell).
    x
        The law's covariates, shape (cell,).
    """
    cells = posterior.runs.cells
    p = task_parameters(posterior, cells["task"].tolist(), "fitted") | {
        name: posterior.draws[name].values for name in OWN
    }
    p |= posterior.surface.given_batch_sizes(posterior.runs, posterior.runs.frame.groupby("cell").first())
    shape = p[OWN[0]].shape
    return {n: np.broadcast_to(v, shape) for n, v in p.items()}, posterior.likelihood.centred(cells, posterior.pivot)


def check_cell(runs: Runs, cell: int) -> int:
    """The same cell.

    Raises
    ------
    ValueError
        When the runs have no such cell.
    """
    if cell not in runs.cells.index:
        raise ValueError(f"there is no cell {quote(cell)}; runs.cells lists them: 0 to {len(runs.cells) - 1}.")
    return cell


@dataclass(frozen=True, eq=False)
class NewCell:
    """A cell that was not fitted, in each draw.

    Attributes
    ----------
    target, task, at
        What the law is asked about, the task's label (None for a new task), and both as the caller gives them.
    p, x
        Parameters with the cell's own deviations, shape (chain, draw), and the law's covariates: arguments of the
        likelihood's functions.
    log_batch_size
        Natural log of the batch size where the target gives one, else 0.
    """

    target: dict[str, Any]
    task: str | None
    at: dict[str, Any]
    p: Arrays
    x: Arrays
    log_batch_size: float


def new_cell(posterior: Posterior, at: At, *stream: str | int) -> NewCell:
    """Draw a new cell at a target: the same one for the same fit, unless `stream` names another.

    Raises
    ------
    ValueError
        As `check_target`.
    """
    target, task = check_target(posterior, at)
    p, x, batch = new_rows(posterior, pd.DataFrame([target | {"task": task}]), *stream)
    given = target | ({"task": task} if len(posterior.table.tasks) > 1 else {})
    shape = posterior.shape
    of_one = {name: np.broadcast_to(value[..., 0], shape) for name, value in p.items()}
    return NewCell(target, task, given, of_one, {name: value[0] for name, value in x.items()}, float(batch[0]))


def new_rows(
    posterior: Posterior, frame: pd.DataFrame, *stream: str | int, deviations: bool = True
) -> tuple[Arrays, Arrays, np.ndarray]:
    """Parameters of rows that were not fitted, their covariates, and the natural log of their batch size (or 0).

    Parameters
    ----------
    posterior
        Of any table.
    frame
        What `Likelihood.needs_at` names, and `task`: a known label, or another for a new one.
    stream
        Names other new cells than those of a plain prediction.
    deviations
        Whether cells deviate from the law, or it alone is asked. Rows of one task and set of covariates are one cell.
    """
    likelihood = posterior.likelihood
    needs = likelihood.needs_at(posterior.table)
    absent = [name for name in needs if name not in frame]
    if absent:
        raise ValueError(f"rows to predict must give {', '.join(needs)}; missing {', '.join(absent)}.")
    p = task_parameters(posterior, frame["task"].tolist(), *stream)
    p |= likelihood.given_batch_sizes(posterior.table, frame)
    if own := [site for name in posterior.law.by_threshold for site in _of_threshold(name)]:
        drawn = {site: posterior.draws[site].values for site in own}
        p |= likelihood.of_thresholds(p, drawn, posterior.table, frame, posterior.rng("new threshold", *stream))
    x = likelihood.centred(frame, posterior.pivot)
    batch = np.log(frame["batch_size"].to_numpy(float)) if "batch_size" in needs else np.zeros(len(frame))
    if deviations:
        p |= level_deviations(posterior, frame, *stream)
        keys = list(map(tuple, frame[["task", *posterior.law.logged]].to_numpy()))
        p = likelihood.draw_cell(p, x, posterior.rng("new cell", *stream), pd.factorize(pd.Series(keys))[0])
    return p, x, batch


def _of_threshold(name: str) -> tuple[str, str]:
    """Sites of a parameter of which each threshold has its own: their scale, and what each is beside that of all."""
    return f"{name}_threshold_sd", f"{name}_threshold"


def values_at(posterior: Posterior, frame: pd.DataFrame, *, scatter: bool = True) -> dict[str, np.ndarray]:
    """Natural logs of measured values of new rows in every draw, by quantity; shape (chain, draw, row).

    Parameters
    ----------
    posterior
        Of `Optima`, `Crossings`, `StepsToLoss` or `NoiseMeasurements`.
    frame
        As for `new_rows`.
    scatter
        Whether the deviation of a new cell and the residual are drawn, or the law alone is asked.
    """
    likelihood = posterior.measured_values
    p, x, batch = new_rows(posterior, frame, deviations=scatter)
    if scatter:
        values = likelihood.predicted(posterior.table, p, x, batch, posterior.rng("new value"))
        return {name: np.log(value) for name, value in values.items()}
    centres = likelihood.centre(p, x, batch, likelihood.quantities(posterior.table))
    return {n: np.broadcast_to(v, (*posterior.shape, len(frame))) for n, v in centres.items()}


def check_target(posterior: Posterior, at: At) -> tuple[dict[str, Any], str | None]:
    """The value of everything that a target must give, and the task, None for a new one.

    Raises
    ------
    ValueError
        When something is missing or unknown, a task is not among the fitted ones, or a value is not what its covariate
        can be.
    """
    law, known, needs = posterior.law, posterior.table.tasks, posterior.likelihood.needs_at(posterior.table)
    # Where there is one task, its name may be given and need not.
    allowed = [*needs, "task"] if len(known) > 1 or at.get("task") == known[0] else list(needs)
    unknown, missing = [name for name in at if name not in allowed], [name for name in allowed if name not in at]
    if unknown or missing:
        said = [f"missing {', '.join(missing)}"] if missing else []
        said += [f"unknown {some_of(unknown)}"] if unknown else []
        why = " (task: a known label, or None for a new task)" if "task" in missing else ""
        if "task" in unknown:
            why = f" (this fit has one task, {quote(known[0])}: leave task out)"
        if "batch_size" in missing and not law.needs_batch_size:
            why = " (the table gives a batch size in every row, so the best learning rate is that at a batch size)"
        raise ValueError(f"at must give exactly {', '.join(allowed)}: {'; '.join(said)}{why}.")
    task = at.get("task", known[0])
    if task is not None and task not in known:
        raise ValueError(
            f"task {quote(task)} is not among the fitted tasks {some_of(known)}. Pass one of them, or None "
            "for a new task drawn from their population."
        )
    target: dict[str, Any] = {}
    for name in needs:
        value = at[name]
        if name in law.labels:
            if value not in law.labels[name]:
                raise ValueError(f"at[{quote(name)}] must be {' or '.join(law.labels[name])}, received {quote(value)}.")
            target[name] = value
            continue
        target[name] = number(at, name)
        if not np.isfinite(target[name]) or (target[name] <= 0 and name not in law.linear):
            raise ValueError(f"at[{quote(name)}] must be a finite number above zero, received {quote(value)}.")
        if name in COUNTS and target[name] < 1:
            raise ValueError(f"at[{quote(name)}] counts, so it must be 1 or more, received {quote(value)}.")
        _within_reach(posterior, name, target[name])
    return target, task


def _within_reach(posterior: Posterior, name: str, value: float) -> None:
    """Refuse a target so far beyond the table that no law was ever seen to hold there."""
    column = posterior.table.frame[name]
    if name in posterior.law.linear:
        return
    low, high = float(column.min()), float(column.max())
    if not low / 10**FARTHEST <= value <= high * 10**FARTHEST:
        raise ValueError(
            f"at[{quote(name)}] is {value:.3g}, more than {FARTHEST} decades beyond the table, which reaches from "
            f"{low:.3g} to {high:.3g}: nothing can be said there. Give a nearer target, in the unit of the table."
        )
