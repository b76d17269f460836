"""Attitudes to risk, as values: each maps draws of a loss to one number in its units. Lower is better, always.

`weights` of a risk say how fast it rises with the loss of each draw; they sum to one, and turn slopes of the losses
into the slope of the risk. A function of your own needs none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from hyperlaw.quote import one_line, quote


class Risk(Protocol):
    """Anything that maps losses of shape (draw, candidate) to risks of shape (candidate,), lower being better."""

    def __call__(self, losses: np.ndarray) -> np.ndarray:
        """Risk of each candidate."""


@runtime_checkable
class SlopedRisk(Risk, Protocol):
    """A risk that also says how it rises with each draw: a choice under it can be polished."""

    def weights(self, losses: np.ndarray) -> np.ndarray:
        """Share of each draw in the risk's slope, from finite losses of shape (draw,); they sum to one."""


@dataclass(frozen=True)
class Mean:
    """Expected loss."""

    def __call__(self, losses: np.ndarray) -> np.ndarray:
        """Mean over draws."""
        return losses.mean(axis=0, dtype=float)

    def weights(self, losses: np.ndarray) -> np.ndarray:
        """All draws alike."""
        return np.full(len(losses), 1 / len(losses))


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
        """Quantile over draws, linear between the two draws that it lies between."""
        low, high, beyond = self._between(len(losses))
        ordered = np.partition(losses, (low, high), axis=0)
        below, above = ordered[low].astype(float), ordered[high].astype(float)
        with np.errstate(invalid="ignore"):  # between two infinite losses
            values = np.where((below == above) | (beyond == 0), below, below + beyond * (above - below))
        return np.where(np.isnan(losses.max(axis=0)), np.nan, values)

    def weights(self, losses: np.ndarray) -> np.ndarray:
        """The two draws between which the quantile lies."""
        low, high, beyond = self._between(len(losses))
        order, weights = np.argsort(losses, kind="stable"), np.zeros(len(losses))
        weights[order[low]] = 1 - beyond
        weights[order[high]] += beyond
        return weights

    def _between(self, draws: int) -> tuple[int, int, float]:
        """Ranks of the two draws between which the quantile lies, and how far beyond the first, from 0 to 1."""
        place = self.q * (draws - 1)
        low = int(np.floor(place + 1e-9))
        return low, min(low + 1, draws - 1), max(place - low, 0.0)


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
        share, whole, part = self._shares(len(losses))
        first = len(losses) - whole  # the worst whole draws lie from here on, the boundary draw just before
        ordered = np.partition(losses, max(first - 1, 0), axis=0)
        total = ordered[first:].sum(axis=0, dtype=float)
        if part > 0:
            total = total + part * ordered[first - 1]
        return total / share

    def weights(self, losses: np.ndarray) -> np.ndarray:
        """The worst draws alike; the draw on the boundary in part."""
        share, whole, part = self._shares(len(losses))
        order = np.argsort(losses, kind="stable")
        weights = np.zeros(len(losses))
        weights[order[len(losses) - whole :]] = 1 / share
        if part > 0:
            weights[order[len(losses) - whole - 1]] = part / share
        return weights

    def _shares(self, draws: int) -> tuple[float, int, float]:
        """Number of draws that count, how many of them count whole, and what part of the next one counts."""
        share = (1 - self.q) * draws
        whole = int(np.floor(share + 1e-9))
        part = share - whole
        return share, whole, part if whole == 0 or part > 1e-9 else 0.0


@dataclass(frozen=True)
class WorstCase:
    """Largest loss among the draws."""

    def __call__(self, losses: np.ndarray) -> np.ndarray:
        """Maximum over draws."""
        return losses.max(axis=0)

    def weights(self, losses: np.ndarray) -> np.ndarray:
        """The worst draw alone."""
        weights = np.zeros(len(losses))
        weights[np.argmax(losses)] = 1.0
        return weights


@dataclass(frozen=True)
class Entropic:
    """Entropic risk (1 / a) ln E exp(a L): the mean for small a, the worst case for large a.

    For normal losses it is mean + a variance / 2, so `a` (1 / nats) is what a nat squared of variance costs, doubled.
    Föllmer and Schied, Stochastic Finance, section 4.

    Raises
    ------
    ValueError
        When a is not finite and above zero: losses are averse to risk only then.
    """

    a: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.a) and self.a > 0):
            raise ValueError(
                f"Entropic(a) needs a finite and above zero, received {quote(self.a)}: of losses, where lower is "
                "better, a negative a would seek risk. hl.Mean() is its limit at zero."
            )

    def __call__(self, losses: np.ndarray) -> np.ndarray:
        """Log of the mean exponential over draws, taken from the worst draw so that nothing overflows."""
        worst = losses.max(axis=0)
        raised = losses - np.where(np.isinf(worst), 0, worst)
        np.multiply(np.minimum(raised, 0, out=raised), self.a, out=raised)
        # expm1 keeps what a small a leaves of the differences, in single precision too.
        return worst + np.log1p(np.expm1(raised, out=raised).mean(axis=0, dtype=float)) / self.a

    def weights(self, losses: np.ndarray) -> np.ndarray:
        """The exponential of each draw."""
        raised = np.exp(self.a * np.subtract(losses, losses.max(), dtype=float))
        return raised / raised.sum()


BY_NAME: dict[str, type[Mean | WorstCase]] = {"mean": Mean, "worst": WorstCase}
WITH_LEVEL: dict[str, Callable[[float], Risk]] = {"cvar": CVaR, "quantile": Quantile, "entropic": Entropic}


def as_risk(risk: Risk | str) -> Risk:
    """A risk, also from its name: "mean", "worst", or "cvar:0.9", "quantile:0.9", "entropic:10" with its level.

    Raises
    ------
    ValueError
        When the name is unknown, or the level no number that the risk can have.
    TypeError
        When it is neither a name nor a function of losses.
    """
    if isinstance(risk, str):
        name, colon, level = risk.strip().lower().partition(":")
        try:
            if not colon and name in BY_NAME:
                return BY_NAME[name]()
            if colon and name in WITH_LEVEL:
                return WITH_LEVEL[name](float(level))
        except ValueError as error:
            raise ValueError(f"risk {quote(risk)}: {one_line(error, 200)}") from None
        raise ValueError(
            f"{quote(risk)} is no risk; use mean, worst, cvar:0.9, quantile:0.9 or entropic:10, or a value such as "
            "hl.CVaR(0.9)."
        )
    if isinstance(risk, type) or not callable(risk):
        raise TypeError(f"risk must be a value such as hl.Mean() or hl.CVaR(0.9), or its name; received {quote(risk)}.")
    return risk


def risk_name(risk: Risk) -> str:
    """A risk as it is written: hl.CVaR(0.9) as Python does, a function of your own by its name."""
    own = type(risk).__name__ if type(risk).__repr__ is object.__repr__ else risk
    return one_line(getattr(risk, "__name__", own))


def choose(risk: Risk, regret: np.ndarray) -> tuple[int, np.ndarray]:
    """Candidate of the lowest risk (the first of equals), and the risk of each, from regrets (draw, candidate).

    A regret may be +inf: a setting that cannot be had.

    Raises
    ------
    ValueError
        When a regret is NaN or -inf, or the risk measure does not return one number a candidate, returns NaN, or falls
        when every loss of a candidate rises (a measure of gain, not of loss).
    """
    if not regret.min() > -np.inf:  # NaN compares false
        bad = int((np.isnan(regret) | (regret == -np.inf)).sum())
        raise ValueError(
            f"regrets must be numbers or +inf (a setting that cannot be had); received {bad} of {regret.size} that are "
            "NaN or -inf. Check the fit (fit.check()) and the candidates."
        )
    risks = np.asarray(risk(regret))
    if risks.shape != (regret.shape[1],):
        raise ValueError(f"risk must return one number a candidate, {regret.shape[1]} in all; received {risks.shape}.")
    if np.isnan(risks).any():
        raise ValueError(
            f"risk must return numbers; {risk_name(risk)} returned NaN for {int(np.isnan(risks).sum())} candidates."
        )
    some = regret[:, :1].astype(float)
    before, after = (float(np.asarray(risk(losses))[0]) for losses in (some, some + 1.0))
    if after < before - 1e-6:
        raise ValueError(
            "risk must not fall when losses rise, for lower is better: with every loss 1 nat higher, "
            f"{risk_name(risk)} went from {before:.4g} to {after:.4g}. Return a loss, not a gain: change its sign."
        )
    return int(np.argmin(risks)), risks


def _check_level(name: str, q: float) -> None:
    if not 0 < q < 1:
        raise ValueError(
            f"{name}(q) needs q strictly between 0 and 1, received {quote(q)}; 0.9 looks at the worst tenth."
        )
