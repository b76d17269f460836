"""`pareto_weights`: many sets of importance weights at once, Pareto-smoothed (Vehtari et al., arXiv 1507.02646)."""

import numpy as np
from scipy.special import logsumexp

PRIOR_SCALE, PRIOR_COUNT, PRIOR_K = 3, 10, 0.5  # of the estimate of k by Zhang and Stephens, as ArviZ has it


def pareto_weights(log_weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smoothed weights and Pareto k of each row, as ArviZ's `psislw` gives them one row at a time.

    Parameters
    ----------
    log_weights
        Shape (row, draw), natural logs, each row up to a constant.

    Returns
    -------
    weights
        Shape (row, draw); each row sums to one.
    k
        Shape (row,): above 0.7 the weights cannot be trusted; -inf where all weights are equal, inf where
        nearly all of them vanish beside the largest.
    """
    draws = log_weights.shape[1]
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    tail = int(3 * np.sqrt(draws)) if draws > 225 else draws // 5
    largest = np.argpartition(weights, draws - tail - 1, axis=1)[:, draws - tail - 1 :]
    values = np.take_along_axis(weights, largest, axis=1)
    rising = np.argsort(values, axis=1)
    largest, values = np.take_along_axis(largest, rising, axis=1), np.take_along_axis(values, rising, axis=1)
    cutoff, excess = values[:, :1], values[:, 1:] - values[:, :1]
    equal = weights.min(axis=1) == 1
    fitted = excess[:, int(tail / 4 + 0.5) - 1] > excess[:, 0]
    k = np.where(equal, -np.inf, np.inf)
    k[fitted], scale = _pareto(excess[fitted])
    shape = k[fitted, None]
    places = np.log1p(-(np.arange(tail) + 0.5) / tail)
    smooth = cutoff[fitted] + scale[:, None] * np.expm1(-shape * places) / shape
    rows = np.flatnonzero(fitted)[:, None]
    weights[rows, largest[fitted, 1:]] = np.minimum(smooth, 1.0)  # no weight above the largest that was seen
    return weights / weights.sum(axis=1, keepdims=True), k


def _pareto(excess: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shape k and scale of a generalised Pareto distribution for each row of rising excesses over a threshold."""
    n = excess.shape[1]
    points = 30 + int(np.sqrt(n))
    quartile = excess[:, int(n / 4 + 0.5) - 1, None]
    spread = 1 - np.sqrt(points / (np.arange(1, points + 1) - 0.5))
    b = spread / (PRIOR_SCALE * quartile) + 1 / excess[:, -1:]
    k = np.log1p(-b[:, :, None] * excess[:, None, :]).mean(axis=2)
    likelihood = n * (np.log(-b / k) - k - 1)
    b = (b * np.exp(likelihood - logsumexp(likelihood, axis=1, keepdims=True))).sum(axis=1)
    k = np.log1p(-b[:, None] * excess).mean(axis=1)
    return (n * k + PRIOR_COUNT * PRIOR_K) / (n + PRIOR_COUNT), -k / b
