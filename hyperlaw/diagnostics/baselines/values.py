"""What papers do by hand with measured values: regressions in logs, and least squares of a curve a task.

Each takes the rows to fit and the rows to predict and returns the natural log of what it expects and a standard
deviation of it (NaN where it states none), or None where it does not apply.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import scipy.optimize

Expected = tuple[np.ndarray, np.ndarray]
FEWEST = 3
ALL = ""


def shared_regression(train: pd.DataFrame, test: pd.DataFrame, columns: Sequence[str]) -> Expected | None:
    """One least-squares slope in logs a column, an intercept a task; a new task has the mean of the intercepts.

    A single intercept where a column does not vary within tasks.
    """
    within = [train.groupby("task")[name].nunique().max() > 1 for name in columns]
    tasks = sorted(train["task"].unique()) if all(within) else [ALL]
    dummies = _dummies(train, tasks)
    solved = _least_squares(np.column_stack([dummies, _logs(train, columns)]), np.log(train["value"].to_numpy()))
    if solved is None:
        return None
    coefficients, scatter = solved
    known = _dummies(test, tasks)
    new = known.sum(axis=1) == 0
    known[new] = 1 / len(tasks)
    between = float(np.std(coefficients[: len(tasks)], ddof=1)) if len(tasks) > 1 else 0.0
    mean = np.column_stack([known, _logs(test, columns)]) @ coefficients
    return mean, np.where(new, np.hypot(scatter, between), scatter)


def separate_regression(train: pd.DataFrame, test: pd.DataFrame, columns: Sequence[str]) -> Expected | None:
    """Least squares in logs, slopes and intercept of each task's own; for tasks with rows enough."""
    mean, scatter = np.full(len(test), np.nan), np.full(len(test), np.nan)
    for task in test["task"].unique():
        own, asked = train[train["task"] == task], (test["task"] == task).to_numpy()
        solved = _least_squares(
            np.column_stack([np.ones(len(own)), _logs(own, columns)]), np.log(own["value"].to_numpy())
        )
        if solved is not None:
            coefficients, scatter[asked] = solved
            mean[asked] = np.column_stack([np.ones(asked.sum()), _logs(test[asked], columns)]) @ coefficients
    return (mean, scatter) if np.isfinite(mean).any() else None


def least_squares_data(train: pd.DataFrame, test: pd.DataFrame, columns: Sequence[str]) -> Expected | None:
    """D = c + (sigma / b)^-a by least squares, for each task and threshold with three ratios: arXiv 2502.04327."""
    if not {"utd", "threshold"} <= set(columns):
        return None
    mean = np.full(len(test), np.nan)
    for (task, threshold), asked in test.groupby(["task", "threshold"]).indices.items():
        own = train[(train["task"] == task) & (train["threshold"] == threshold)]
        if own["utd"].nunique() < FEWEST:
            continue
        ratio, data = own["utd"].to_numpy(float), own["value"].to_numpy(float)
        scale = data.mean()

        def misfit(p: np.ndarray, ratio: np.ndarray = ratio, data: np.ndarray = data / scale) -> np.ndarray:
            return np.exp(p[2]) + np.exp(np.clip(p[0] * (p[1] - np.log(ratio)), -50, 50)) - data

        starts = [np.array([a, b, c]) for a in (0.5, 1.0) for b in (-2.0, 0.0) for c in (-1.0, 0.0)]
        fits = [scipy.optimize.least_squares(misfit, start, max_nfev=2000) for start in starts]
        a, b, c = min(fits, key=lambda fit: fit.cost).x
        mean[asked] = np.log(scale * (np.exp(c) + np.exp(a * (b - np.log(test["utd"].to_numpy(float)[asked])))))
    return (mean, np.full(len(test), np.nan)) if np.isfinite(mean).any() else None


def least_squares_steps(train: pd.DataFrame, test: pd.DataFrame, columns: Sequence[str]) -> Expected | None:
    """Ln S = ln S_min + ln(1 + B_crit/B) by least squares for each curve with three batch sizes: arXiv 1812.06162."""
    if "steps" not in train or "batch_size" not in columns:
        return None
    mean, scatter = np.full(len(test), np.nan), np.full(len(test), np.nan)
    for task, asked in test.groupby("task").indices.items():
        own = train[train["task"] == task]
        if own["batch_size"].nunique() < FEWEST:
            continue
        batch, steps = np.log(own["batch_size"].to_numpy(float)), np.log(own["value"].to_numpy(float))

        def misfit(p: np.ndarray, batch: np.ndarray = batch, steps: np.ndarray = steps) -> np.ndarray:
            return p[0] + np.logaddexp(0, p[1] - batch) - steps

        fit = scipy.optimize.least_squares(misfit, np.array([steps.min(), batch.mean()]))
        mean[asked] = fit.x[0] + np.logaddexp(0, fit.x[1] - np.log(test["batch_size"].to_numpy(float)[asked]))
        scatter[asked] = np.sqrt(2 * fit.cost / max(len(own) - 2, 1))
    return (mean, scatter) if np.isfinite(mean).any() else None


def _dummies(frame: pd.DataFrame, tasks: list[str]) -> np.ndarray:
    if tasks == [ALL]:
        return np.ones((len(frame), 1))
    return (frame["task"].to_numpy()[:, None] == np.array(tasks)).astype(float)


def _logs(frame: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Natural logs; not finite where a performance is zero or below."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(frame[list(columns)].to_numpy(float))


def _least_squares(matrix: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Coefficients and residual standard deviation, or None where rows do not determine them."""
    spare = len(values) - matrix.shape[1]
    if spare < 0 or not np.isfinite(matrix).all() or np.linalg.matrix_rank(matrix) < matrix.shape[1]:
        return None
    coefficients = np.linalg.lstsq(matrix, values)[0]
    left = values - matrix @ coefficients
    return coefficients, float(np.sqrt((left**2).sum() / spare)) if spare else np.nan


VALUE_RECIPES: dict[str, Callable[[pd.DataFrame, pd.DataFrame, Sequence[str]], Expected | None]] = {
    "shared regression": shared_regression,
    "separate regression": separate_regression,
    "least-squares data": least_squares_data,
    "least-squares steps": least_squares_steps,
}
