"""What a law's model is given: a sweep as arrays, in logs and centred."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from hyperlaw.data.runs import Runs


class Design(NamedTuple):
    """A sweep as arrays: a pytree that a jitted model takes as its argument.

    Attributes
    ----------
    learning_rate, batch_size
        Natural logs, shape (run,).
    cell
        Index of each run's cell, shape (run,).
    task
        Index of each cell's task, shape (cell,).
    tasks
        0, 1, ... one entry a task, shape (task,).
    covariates
        Natural log of each covariate minus its pivot, shape (cell,) each.
    grid_centre
        Middle of the tried learning rates and batch sizes, natural logs, scalars.
    loss_centre, loss_spread
        Mean and standard deviation of the cells' lowest losses, scalars.
    loss
        Loss in nats, shape (run,); 0 where the run diverged.
    diverged
        1 where the run diverged, else 0; shape (run,).
    observed
        Whether the model is conditioned on the run; shape (run,). One that is not keeps its place, so that every
        part of a sweep has the shape of the whole and shares its compiled program.
    """

    learning_rate: np.ndarray
    batch_size: np.ndarray
    cell: np.ndarray
    task: np.ndarray
    tasks: np.ndarray
    covariates: dict[str, np.ndarray]
    grid_centre: dict[str, np.ndarray]
    loss_centre: np.ndarray
    loss_spread: np.ndarray
    loss: np.ndarray
    diverged: np.ndarray
    observed: np.ndarray


def pivot(runs: Runs, covariates: tuple[str, ...], observed: pd.Series | None = None) -> dict[str, float]:
    """Mean natural log of each covariate over the cells (with an `observed` run): where intercepts are stated.

    Raises
    ------
    ValueError
        When a covariate of the law is missing from the runs.
    """
    missing = [name for name in covariates if name not in runs.scales]
    if missing:
        raise ValueError(
            f"the law needs {', '.join(missing)}, which these runs do not have; their scales are "
            f"{', '.join(runs.scales)}. Name the column when making the runs, or choose another law."
        )
    cells = runs.cells if observed is None else runs.cells.loc[runs.frame.loc[observed, "cell"].unique()]
    return {name: float(np.log(cells[name]).mean()) for name in covariates}


def design(runs: Runs, covariates: tuple[str, ...], observed: pd.Series | None = None) -> Design:
    """Arrays of `runs` for a law with `covariates`, centred at their pivot; errors as for `pivot`.

    `observed` marks the runs to condition on, all when left out. Pivot, grid centre and loss units, which place the
    priors, come from those runs alone.
    """
    frame, cells = runs.frame, runs.cells
    seen = np.ones(len(frame), bool) if observed is None else observed.to_numpy(bool)
    at = pivot(runs, covariates, observed)
    lowest = frame.loc[seen & ~frame["diverged"]].groupby("cell")["loss"].min()
    spread = float(lowest.std()) if len(lowest) > 1 else 0.0
    log_rate, log_batch = np.log(frame["learning_rate"].to_numpy()), np.log(frame["batch_size"].to_numpy())
    return Design(
        learning_rate=log_rate,
        batch_size=log_batch,
        cell=frame["cell"].to_numpy(),
        task=cells["task"].map(runs.tasks.index).to_numpy(),
        tasks=np.arange(len(runs.tasks)),
        covariates={name: np.log(cells[name].to_numpy(float)) - at[name] for name in covariates},
        grid_centre={
            "learning_rate": np.asarray(np.median(np.unique(log_rate[seen]))),
            "batch_size": np.asarray(np.median(np.unique(log_batch[seen]))),
        },
        loss_centre=np.asarray(lowest.mean()),
        loss_spread=np.asarray(max(spread, 0.01)),
        loss=np.where(frame["diverged"], 0.0, frame["loss"]),
        diverged=frame["diverged"].to_numpy(float),
        observed=seen,
    )
