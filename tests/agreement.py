"""Whether draws agree with a truth, as far as so many draws can say: no test hangs on single draws."""

import arviz_stats as az
import numpy as np
from numpy.typing import ArrayLike

LEAST_ESS = 100


def effective(draws: ArrayLike) -> np.ndarray:
    """Effective number of draws, of each number that is drawn: shape (chain, draw, ...) without the first two."""
    return np.asarray(az.ess(np.asarray(draws, float), chain_axis=0, draw_axis=1, method="mean"))


def agree(draws: ArrayLike, truth: ArrayLike, sigmas: float = 4) -> None:
    """Assert that the mean of draws, shape (chain, draw, ...), is `truth` within its Monte Carlo error."""
    draws, ess = np.asarray(draws, float), effective(draws)
    assert (ess >= LEAST_ESS).all(), f"{ess.min():.0f} effective draws say too little"
    _within(draws, truth, sigmas * draws.std((0, 1)) / np.sqrt(ess))


def recovered(draws: ArrayLike, truth: ArrayLike, sigmas: float = 4) -> None:
    """Assert that `truth` lies within so many posterior standard deviations of the mean of draws."""
    draws, ess = np.asarray(draws, float), effective(draws)
    assert (ess >= LEAST_ESS).all(), f"{ess.min():.0f} effective draws say too little"
    _within(draws, truth, sigmas * draws.std((0, 1)))


def alike(draws: ArrayLike, others: ArrayLike, sigmas: float = 4) -> None:
    """Assert that two sets of draws, of shape (chain, draw, ...), have one mean within their Monte Carlo errors."""
    draws, others = np.asarray(draws, float), np.asarray(others, float)
    squared = 0.0
    for one in (draws, others):
        ess = effective(one)
        assert (ess >= LEAST_ESS).all(), f"{ess.min():.0f} effective draws say too little"
        squared = squared + one.var((0, 1)) / ess
    _within(draws, others.mean((0, 1)), sigmas * np.sqrt(squared))


def _within(draws: np.ndarray, truth: ArrayLike, allowed: np.ndarray) -> None:
    far = np.abs(draws.mean((0, 1)) - np.asarray(truth))
    assert (far < allowed).all(), f"mean {draws.mean((0, 1))}, truth {truth}: {far} apart, {allowed} allowed"
