"""Attitudes to risk, as values: each maps draws of a loss (lower is better) to one number in its units."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Risk(Protocol):
    """Anything that maps losses of shape (draw, candidate) to risks of shape (candidate,)."""

    def __call__(self, losses: np.ndarray) -> np.ndarray:
        """Risk of each candidate."""


@dataclass(frozen=True)
class Mean:
    """Expected loss."""

    def __call__(self, losses: np.ndarray) -> np.ndarray:
        """Mean over draws."""
        return losses.mean(axis=0)


@dataclass(frozen=True)
class Quantile:
    """Loss that is exceeded with probability 1 - q.

    Raises
    ------
    ValueError
        When q is not strictly between 0 and 1.
    """

    q: float

    def __post_init__(self) -> None:
        _check_level("Quantile", self.q)

    def __call__(self, losses: np.ndarray) -> np.ndarray:
        """Quantile over draws."""
        with np.errstate(invalid="ignore"):  # between two infinite losses NumPy interpolates to NaN
            values = np.quantile(losses, self.q, axis=0)
        return np.where(np.isnan(values) & ~np.isnan(losses).any(axis=0), np.inf, values)


@dataclass(frozen=True)
class CVaR:
    """Conditional value at risk: mean of the worst share 1 - q of the draws.

    Raises
    ------
    ValueError
        When q is not strictly between 0 and 1.
    """

    q: float

    def __post_init__(self) -> None:
        _check_level("CVaR", self.q)

    def __call__(self, losses: np.ndarray) -> np.ndarray:
        """Mean of the worst draws; the draw on the boundary counts in part."""
        share = (1 - self.q) * len(losses)
        whole = int(np.floor(share + 1e-9))
        worst = -np.sort(-losses, axis=0)
        total = worst[:whole].sum(axis=0)
        part = share - whole
        if whole == 0 or part > 1e-9:
            total = total + part * worst[whole]
        return total / share


@dataclass(frozen=True)
class WorstCase:
    """Largest loss among the draws."""

    def __call__(self, losses: np.ndarray) -> np.ndarray:
        """Maximum over draws."""
        return losses.max(axis=0)


def _check_level(name: str, q: float) -> None:
    if not 0 < q < 1:
        raise ValueError(f"{name}(q) needs q strictly between 0 and 1, received {q!r}; 0.9 looks at the worst tenth.")
