"""The recipes that people use by hand instead of a posterior: what a law has to beat.

Each takes the small runs and the scales of a target and returns a learning rate and a batch size, or None where it does
not apply.
"""

import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd

from hyperlaw.data.estimators.local_surface import local_surface
from hyperlaw.data.runs import Runs
from hyperlaw.data.vocabulary import HYPERPARAMETERS

Setting = dict[str, float]
NEAR_OPTIMAL = 0.0025
GP_RUNS, GP_GRID = 300, 41


def reuse_best(runs: Runs, at: Mapping[str, float]) -> Setting:
    """Setting of the best run at the largest small scale (the largest product of all scales); `at` has no say."""
    cells = runs.cells[runs.cells["lowest_loss"].notna()]
    largest = np.log(cells[list(runs.scales)]).sum(axis=1).idxmax()
    frame = runs.frame
    best = frame.loc[frame.loc[frame["cell"] == largest, "loss"].idxmin(), list(HYPERPARAMETERS)]
    return {name: float(best[name]) for name in HYPERPARAMETERS}


def argmin_regression(runs: Runs, at: Mapping[str, float]) -> Setting | None:
    """Best run of each cell, then a least-squares line in logs over the scales."""
    frame = runs.frame
    return _line(frame.loc[frame.groupby("cell")["loss"].idxmin().dropna()], runs, at)


def near_optimal_regression(runs: Runs, at: Mapping[str, float]) -> Setting | None:
    """All runs within 0.25 % of their cell's lowest loss, then a line in logs: the rule of arXiv 2503.04715."""
    frame = runs.frame
    near = frame["loss"] <= (1 + NEAR_OPTIMAL) * frame.groupby("cell")["loss"].transform("min")
    return _line(frame[near], runs, at)


def quadratic_regression(runs: Runs, at: Mapping[str, float]) -> Setting | None:
    """Minimum of a smooth surface through each cell's lowest losses, then a line; cells without one drop out."""
    frame = runs.frame
    rows = []
    for index, cell in frame[~frame["diverged"]].groupby("cell"):
        logs = np.log(cell[list(HYPERPARAMETERS)].to_numpy())
        alone = cell["batch_size"].nunique() == 1
        optimum = local_surface(logs, cell["loss"].to_numpy(), along_rate=alone).optimum
        if np.isfinite(optimum).all():
            rows.append(dict(zip(HYPERPARAMETERS, np.exp(optimum), strict=True)) | {"cell": index})
    if not rows:
        return None
    minima = pd.DataFrame(rows).set_index("cell")
    return _line(minima.join(runs.cells[list(runs.scales)]), runs, at)


def step_law(runs: Runs, at: Mapping[str, float]) -> Setting | None:
    """Published: eta = 1.79 N^-0.713 D^0.307, B = 0.58 D^0.571 tokens (arXiv 2503.04715)."""
    if not {"params", "data"} <= set(at):
        return None
    return {
        "learning_rate": 1.79 * at["params"] ** -0.713 * at["data"] ** 0.307,
        "batch_size": 0.58 * at["data"] ** 0.571,
    }


def deepseek(runs: Runs, at: Mapping[str, float]) -> Setting | None:
    """Published: eta = 0.3118 C^-0.125, B = 0.292 C^0.3271 tokens (arXiv 2401.02954), with C = 6 N D."""
    if not {"params", "data"} <= set(at):
        return None
    compute = 6 * at["params"] * at["data"]
    return {"learning_rate": 0.3118 * compute**-0.125, "batch_size": 0.2920 * compute**0.3271}


def gaussian_process(runs: Runs, at: Mapping[str, float]) -> Setting | None:
    """Lowest mean of a Gaussian process on logs (scikit-learn) over a grid an octave beyond the tried settings.

    None where the target leaves out a scale that varies; one that does not vary has no say.
    """
    vary = _varying(runs)
    if not set(vary) <= set(at):
        return None
    process, logs = _process(runs)
    centre, spread = logs.mean(axis=0), np.maximum(logs.std(axis=0), 1e-9)
    ranges = [(logs[:, i].min() - np.log(2), logs[:, i].max() + np.log(2)) for i in range(2)]
    rate, batch = (a.ravel() for a in np.meshgrid(*(np.linspace(*ends, GP_GRID) for ends in ranges)))
    target = np.log([at[name] for name in vary])
    grid = np.column_stack([rate, batch, np.tile(target, (len(rate), 1))])
    best = int(np.argmin(process.predict((grid - centre) / spread)))
    return {"learning_rate": float(np.exp(rate[best])), "batch_size": float(np.exp(batch[best]))}


@lru_cache(maxsize=1)
def _process(runs: Runs) -> tuple[Any, np.ndarray]:
    """The process, and the logs of settings and scales that it was fitted to.

    Those are the 300 runs nearest to their cell's lowest loss: all of a large sweep would take minutes.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    frame = runs.frame[~runs.frame["diverged"]]
    excess = frame["loss"] - frame.groupby("cell")["loss"].transform("min")
    frame = frame.loc[excess.sort_values(kind="stable").index[:GP_RUNS]]
    logs = np.log(frame[[*HYPERPARAMETERS, *_varying(runs)]].to_numpy(float))
    scaled = (logs - logs.mean(axis=0)) / np.maximum(logs.std(axis=0), 1e-9)
    lengths = RBF(np.full(logs.shape[1], 2.0), (0.1, 100.0))
    kernel = ConstantKernel(1.0, (1e-2, 1e3)) * lengths + WhiteKernel(1e-3, (1e-7, 1.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a length at its bound: a scale that does not matter
        return GaussianProcessRegressor(kernel, normalize_y=True).fit(scaled, frame["loss"]), logs


def _varying(runs: Runs) -> list[str]:
    """The scales that vary over the runs; where parameters are given, width says the same again and is left out."""
    scales = [name for name in runs.scales if not (name == "width" and "params" in runs.scales)]
    return [name for name in scales if runs.frame[name].nunique() > 1]


def _line(optima: pd.DataFrame, runs: Runs, at: Mapping[str, float]) -> Setting | None:
    """Least squares of ln learning rate and ln batch size on the logs of the scales that vary.

    None where the target leaves out a scale that varies, or the cells are too few.
    """
    vary = [name for name in _varying(runs) if optima[name].nunique() > 1]
    if not set(vary) <= set(at):
        return None
    matrix = np.column_stack([np.ones(len(optima)), np.log(optima[vary].to_numpy(float))])
    if np.linalg.matrix_rank(matrix) < matrix.shape[1]:
        return None
    coefficients = np.linalg.lstsq(matrix, np.log(optima[list(HYPERPARAMETERS)].to_numpy(float)))[0]
    rate, batch = np.exp(np.array([1.0, *(np.log(at[name]) for name in vary)]) @ coefficients)
    return {"learning_rate": float(rate), "batch_size": float(batch)}


RECIPES: dict[str, Callable[[Runs, Mapping[str, float]], Setting | None]] = {
    "reuse best": reuse_best,
    "argmin regression": argmin_regression,
    "near-optimal regression": near_optimal_regression,
    "quadratic regression": quadratic_regression,
    "Step Law formula": step_law,
    "DeepSeek formula": deepseek,
}
# Those that are fitted to the runs, without anything to be installed.
BY_HAND = ("reuse best", "argmin regression", "near-optimal regression", "quadratic regression")
if find_spec("sklearn"):
    RECIPES["gaussian process"] = gaussian_process
