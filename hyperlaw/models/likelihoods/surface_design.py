"""`SurfaceDesign`: a sweep as the arrays that `LossSurface` is told."""

from typing import NamedTuple

import numpy as np
import numpyro.distributions as dist

from hyperlaw.models.likelihoods.base import Arrays


class SurfaceDesign(NamedTuple):
    """A sweep as arrays, a pytree: see `hyperlaw.models.likelihoods.base.Design`.

    Attributes
    ----------
    learning_rate, batch_size
        Natural logs, shape (run,).
    cell
        Index of each run's cell, shape (run,).
    loss
        Loss in nats, read at the edge; shape (run,), 0 where the run diverged.
    edge
        From where on a loss of the run's cell is read as "at least so bad", nats; shape (run,).
    diverged
        1 where the run diverged, else 0; shape (run,).
    before
        Position of the reading before, of the same run, that conditions the model, -1 where there is none; shape
        (run,).
    window
        Distance of the edge above the lowest loss of the cell, nats.
    given
        Natural log of the batch size of each cell, shape (cell,), where no cell tried several; else None.
    level, levels
        By levelled covariate: position of each cell's level, shape (cell,); and 0, 1, ... one entry a level.
    """

    learning_rate: np.ndarray
    batch_size: np.ndarray
    cell: np.ndarray
    loss: np.ndarray
    edge: np.ndarray
    diverged: np.ndarray
    before: np.ndarray
    window: np.ndarray
    given: np.ndarray | None
    level: dict[str, np.ndarray]
    levels: dict[str, np.ndarray]
    task: np.ndarray
    tasks: np.ndarray
    covariates: Arrays
    priors: dict[str, dist.Distribution]
    pivot: Arrays
    present: np.ndarray
    observed: np.ndarray
