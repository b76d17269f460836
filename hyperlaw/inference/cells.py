"""`cell_parameters`: what a fit says about each cell that it was fitted to."""

import numpy as np

from hyperlaw.data.runs import Runs
from hyperlaw.inference.fit import Fit


def cell_parameters(fit: Fit) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Posterior draws of the loss surface's parameters in each fitted cell.

    Parameters
    ----------
    fit
        A fitted law.

    Returns
    -------
    p
        Each parameter (of the cell's task, where tasks differ), and the cell's own `deviation_learning_rate` and
        `deviation_batch_size` (ln); shape (chain, draw, cell).
    x
        Natural log of each covariate minus its pivot, shape (cell,).
    """
    posterior, cells = fit.tree["posterior"].dataset, fit.runs.cells
    task = cells["task"].map(fit.runs.tasks.index).to_numpy()
    several = len(fit.runs.tasks) > 1
    p = {name: posterior[name].values for name in ("deviation_learning_rate", "deviation_batch_size")}
    for parameter in fit.law.parameter_list:
        pooled = several and parameter.spread is not None
        value = posterior[f"{parameter.name}_task" if pooled else parameter.name].values
        p[parameter.name] = value[..., task] if pooled else value[..., None]
    x = {name: np.log(cells[name].to_numpy(float)) - fit.pivot[name] for name in fit.law.covariates}
    shape = p["deviation_learning_rate"].shape
    return {name: np.broadcast_to(value, shape) for name, value in p.items()}, x


def check_cell(runs: Runs, cell: int) -> int:
    """The same cell.

    Raises
    ------
    ValueError
        When the runs have no such cell.
    """
    if cell not in runs.cells.index:
        raise ValueError(f"there is no cell {cell!r}; runs.cells lists them: 0 to {len(runs.cells) - 1}.")
    return cell
