"""What a setting must keep to: `AtMost`, `AtLeast`, `Chance` and `OneOf`.

Quantities that have a name, at a target of `data` points and `params` parameters:

    learning_rate, batch_size (data points)        the setting itself
    steps = data / batch_size                      optimizer steps
    examples = data                                data points
    compute = 6 params data                        FLOPs of training, forward and backward (arXiv 2001.08361)
    loss                                           nats, of one run, with its scatter
    regret                                         nats above the best that could be had

The last two differ from draw to draw. Anything else, such as wall time or memory, is a function
`f(learning_rate, batch_size, at)` that returns one number a candidate.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hyperlaw.data.numerals import as_number
from hyperlaw.data.vocabulary import HYPERPARAMETERS, At, number
from hyperlaw.decision.pricing import Prices, Pricing
from hyperlaw.inference.predict import batch_range
from hyperlaw.quote import one_line, quote, some_of

Quantity = str | Callable[[np.ndarray, np.ndarray, At], np.ndarray]
DRAWN = ("loss", "regret")
NEEDS = {"steps": ("data",), "examples": ("data",), "compute": ("params", "data")}
NAMES = (*HYPERPARAMETERS, *NEEDS, *DRAWN)
PROBABILITY = 0.9  # with which what differs from draw to draw keeps to a bound, unless asked
# A setting may miss its bound by rounding.
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Candidates:
    """What a constraint may ask of the candidates: their prices, the target, and how they were priced."""

    prices: Prices
    at: At
    pricing: Pricing


@dataclass(frozen=True)
class _Bounded(ABC):
    """A quantity on one side of a bound, with a probability where it differs from draw to draw."""

    quantity: Quantity
    bound: float
    probability: float | None = None

    def __post_init__(self) -> None:
        name = type(self).__name__
        object.__setattr__(self, "bound", as_number(self.bound, f"the bound of {name}", count=True))
        if not callable(self.quantity) and self.quantity not in NAMES:
            raise ValueError(
                f"{name} knows no quantity {quote(self.quantity)}. It is one of {', '.join(NAMES)}, or a function "
                "f(learning_rate, batch_size, at) that returns one number a candidate."
            )
        if not np.isfinite(self.bound):
            raise ValueError(f"{name} needs a finite bound, received {quote(self.bound)}.")
        if self.quantity in DRAWN and self.probability is None:
            object.__setattr__(self, "probability", PROBABILITY)
        if self.probability is None:
            return
        if not 0 < self.probability < 1:
            raise ValueError(
                f"{name} needs a probability strictly between 0 and 1, received {quote(self.probability)}: the worst "
                "of heavy-tailed draws says how many there are, not what a run may do."
            )
        if self.quantity not in DRAWN:
            raise ValueError(
                f"{self} has a probability, but its quantity is known before the run. Leave the probability out; it is "
                f"for {' and '.join(DRAWN)}, which differ from draw to draw."
            )

    def __str__(self) -> str:
        often = "" if self.probability is None else f", probability={self.probability:g}"
        return f"{type(self).__name__}({self.said}, {self.bound:g}{often})"

    @property
    def said(self) -> str:
        """Name of the quantity."""
        if callable(self.quantity):
            return one_line(getattr(self.quantity, "__name__", "the quantity"))
        return self.quantity

    def check(self, at: At) -> None:
        """Refuse a quantity that the target says nothing of."""
        needs = () if callable(self.quantity) else NEEDS.get(self.quantity, ())
        missing = [name for name in needs if name not in at]
        if missing:
            raise ValueError(
                f"{self} needs {', '.join(missing)} in the target, received {some_of(at)}. Use a function "
                "f(learning_rate, batch_size, at) instead."
            )

    def level(self, candidates: Candidates) -> np.ndarray:
        """What must keep to the bound: the quantity, or its quantile at the probability where it differs by draw."""
        prices, at = candidates.prices, candidates.at
        rate, batch = (prices.settings[name] for name in HYPERPARAMETERS)
        if callable(self.quantity):
            values = np.asarray(self.quantity(rate, batch, at), float)
            if values.shape != rate.shape or np.isnan(values).any():
                raise ValueError(
                    f"the function of {self} must return one number for each of {len(rate)} candidates, received shape "
                    f"{values.shape} with {int(np.isnan(values).sum())} NaN."
                )
            return values
        if self.quantity == "loss":
            parts = [self._level_of_draws(losses) for losses in candidates.pricing.losses(prices.settings)]
            return np.concatenate(parts)
        if self.quantity == "regret":
            return self._level_of_draws(prices.regret.T)
        known = {
            "learning_rate": lambda: rate,
            "batch_size": lambda: batch,
            "steps": lambda: number(at, "data") / batch,
            "examples": lambda: np.full_like(rate, number(at, "data")),
            "compute": lambda: np.full_like(rate, 6 * number(at, "params") * number(at, "data")),
        }
        return known[self.quantity]()

    @abstractmethod
    def _level_of_draws(self, values: np.ndarray) -> np.ndarray:
        """The quantile over draws, the last axis, that must keep to the bound."""

    @abstractmethod
    def shortfall(self, level: np.ndarray) -> np.ndarray:
        """By how much a level misses the bound, as a share of it; zero or less where it holds."""

    @abstractmethod
    def limits(self, at: At) -> dict[str, tuple[float, float]]:
        """Lowest and highest learning rate and batch size that it leaves."""


@dataclass(frozen=True)
class AtMost(_Bounded):
    """A quantity must not exceed a bound.

    Parameters
    ----------
    quantity
        A name (see `hyperlaw.decision.constraints`) or a function `f(learning_rate, batch_size, at)` of candidate
        arrays and the target that returns one number a candidate, for instance hours through a throughput model.
    bound
        In the quantity's unit.
    probability
        For `loss` and `regret`, which differ from draw to draw: in what share of the draws it must hold at least, 0.9
        when left out.

    Raises
    ------
    ValueError
        When the quantity is unknown, the bound not finite, or the probability not strictly between 0 and 1, or given
        for a quantity that is known before the run.
    """

    def shortfall(self, level: np.ndarray) -> np.ndarray:
        """By how much the level exceeds the bound, as a share of the bound; zero or less where it holds."""
        return (level - self.bound) / (abs(self.bound) or 1.0)

    def _level_of_draws(self, values: np.ndarray) -> np.ndarray:
        return np.quantile(values, self.probability or PROBABILITY, axis=1, method="inverted_cdf")

    def limits(self, at: At) -> dict[str, tuple[float, float]]:
        """Lowest and highest learning rate and batch size that it leaves."""
        if self.quantity == "steps":
            return {"batch_size": (number(at, "data") / self.bound if self.bound > 0 else np.inf, np.inf)}
        return {str(self.quantity): (0.0, self.bound)} if self.quantity in HYPERPARAMETERS else {}


@dataclass(frozen=True)
class AtLeast(_Bounded):
    """A quantity must reach a bound; parameters and errors as for `AtMost`."""

    def shortfall(self, level: np.ndarray) -> np.ndarray:
        """By how much the level stays below the bound, as a share of the bound; zero or less where it holds."""
        return (self.bound - level) / (abs(self.bound) or 1.0)

    def _level_of_draws(self, values: np.ndarray) -> np.ndarray:
        return -np.quantile(-values, self.probability or PROBABILITY, axis=1, method="inverted_cdf")

    def limits(self, at: At) -> dict[str, tuple[float, float]]:
        """Lowest and highest learning rate and batch size that it leaves."""
        if self.quantity == "steps":
            return {"batch_size": (0.0, number(at, "data") / self.bound if self.bound > 0 else np.inf)}
        return {str(self.quantity): (self.bound, np.inf)} if self.quantity in HYPERPARAMETERS else {}


@dataclass(frozen=True)
class Chance:
    """An event must be improbable enough, over draws and over the runs of each draw.

    Parameters
    ----------
    event
        `"diverge"`.
    at_most
        Highest probability that is allowed.

    Raises
    ------
    ValueError
        When the event is another, or the probability not above 0 and below 1.
    """

    event: str
    at_most: float

    def __post_init__(self) -> None:
        if self.event != "diverge":
            raise ValueError(
                f"Chance knows the event 'diverge', received {quote(self.event)}. For a quantity that differs from "
                'draw to draw use AtMost("loss", bound, probability=0.9).'
            )
        if not 0 < self.at_most < 1:
            raise ValueError(f"Chance needs at_most strictly between 0 and 1, received {quote(self.at_most)}.")

    @property
    def said(self) -> str:
        """Name of what is bounded."""
        return f"P({self.event})"

    def __str__(self) -> str:
        return f"Chance({self.event}, at_most={self.at_most:g})"

    def check(self, at: At) -> None:
        """Any target will do."""

    def level(self, candidates: Candidates) -> np.ndarray:
        """Probability to diverge."""
        return candidates.prices.p_diverge

    def shortfall(self, level: np.ndarray) -> np.ndarray:
        """By how much the probability is too high, as a share of what is allowed; zero or less where it holds."""
        return level / self.at_most - 1

    def limits(self, at: At) -> dict[str, tuple[float, float]]:
        """None."""
        return {}


@dataclass(frozen=True)
class OneOf:
    """A hyperparameter takes one of some values, such as what the hardware allows.

    Parameters
    ----------
    quantity
        `"learning_rate"` or `"batch_size"` (data points).
    multiples_of
        Unit of which it is a whole multiple; of several numbers, the allowed values.
    values
        Or: the allowed values.

    Raises
    ------
    ValueError
        When the quantity is another, or not exactly one of the two is given, above zero and finite.
    """

    quantity: str
    multiples_of: float | None = None
    values: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if self.values is None and np.ndim(self.multiples_of or 0.0):  # OneOf("batch_size", [256])
            object.__setattr__(self, "values", self.multiples_of)
            object.__setattr__(self, "multiples_of", None)
        if self.multiples_of is not None:
            unit = as_number(self.multiples_of, "multiples_of", count=True)
            object.__setattr__(self, "multiples_of", unit)
        if self.values is not None:
            values = (as_number(value, "a value of OneOf", count=True) for value in np.atleast_1d(self.values).tolist())
            object.__setattr__(self, "values", tuple(sorted(values)))
        if self.quantity not in HYPERPARAMETERS:
            raise ValueError(f"OneOf is for {' or '.join(HYPERPARAMETERS)}, received {quote(self.quantity)}.")
        if (self.multiples_of is None) == (self.values is None):
            raise ValueError(
                f"OneOf needs multiples_of or values, received {quote(self.multiples_of)} and {quote(self.values)}."
            )
        numbers = self.values if self.values is not None else (self.multiples_of,)
        if not numbers or not all(v is not None and np.isfinite(v) and v > 0 for v in numbers):
            raise ValueError(f"OneOf needs numbers above zero, received {quote(list(numbers))}.")

    @property
    def said(self) -> str:
        """Name of the hyperparameter."""
        return self.quantity

    def __str__(self) -> str:
        if self.multiples_of is not None:
            return f"OneOf({self.quantity}, multiples_of={self.multiples_of:g})"
        return f"OneOf({self.quantity}, values={[float(f'{v:g}') for v in self.values or ()]})"

    def check(self, at: At) -> None:
        """Any target will do."""

    def allowed(self, wanted: np.ndarray) -> np.ndarray:
        """The allowed values next to wanted ones, on both sides, each once."""
        if self.multiples_of is not None:
            count = wanted / self.multiples_of
            found = self.multiples_of * np.maximum(np.concatenate([np.floor(count), np.ceil(count)]), 1)
        else:
            values = np.array(self.values)
            above = np.searchsorted(values, wanted)
            found = values[np.clip(np.concatenate([above - 1, above]), 0, len(values) - 1)]
        return np.unique(found)

    def level(self, candidates: Candidates) -> np.ndarray:
        """The hyperparameter."""
        return candidates.prices.settings[self.quantity]

    def shortfall(self, level: np.ndarray) -> np.ndarray:
        """How far the nearest allowed value lies, as a share of it; zero where it holds."""
        allowed = self.allowed(level)
        return np.abs(level[:, None] / allowed - 1).min(axis=1)

    def limits(self, at: At) -> dict[str, tuple[float, float]]:
        """From the lowest to the highest allowed value."""
        if self.values is None:
            return {self.quantity: (float(self.multiples_of or 0.0), np.inf)}
        return {self.quantity: (self.values[0], self.values[-1])}


Constraint = AtMost | AtLeast | Chance | OneOf


def limits(subject_to: list[Constraint], at: At) -> dict[str, tuple[float, float]]:
    """Lowest and highest learning rate and batch size that all constraints and the data leave.

    Raises
    ------
    ValueError
        When they leave none.
    """
    found = {"learning_rate": (0.0, np.inf), "batch_size": batch_range(at)}
    for constraint in subject_to:
        for name, (low, high) in constraint.limits(at).items():
            found[name] = (max(found[name][0], low), min(found[name][1], high))
    for name, (low, high) in found.items():
        if low > high * (1 + ROUNDING):
            raise ValueError(
                f"subject_to leaves no {name}: it would have to be at least {low:.6g} and at most {high:.6g} "
                f"({some_of(c for c in subject_to if name in c.limits(at))}; a batch holds 1 data point at "
                "least, and at most the data). Loosen one of them."
            )
    return found


def shortfalls(subject_to: list[Constraint], candidates: Candidates) -> np.ndarray:
    """By how much each candidate misses each constraint, shape (constraint, candidate); at most rounding when met."""
    missed = np.empty((len(subject_to), len(candidates.prices.p_diverge)))
    for row, constraint in zip(missed, subject_to, strict=True):
        row[:] = constraint.shortfall(constraint.level(candidates))
    return missed


def refuse_infeasible(
    subject_to: list[Constraint], candidates: Candidates, missed: np.ndarray, risks: np.ndarray
) -> None:
    """Name what binds, and the candidate that comes nearest, when no candidate meets every constraint.

    Nearest is the one whose largest shortfall is least; of equals, the one of the lowest risk.

    Raises
    ------
    ValueError
        In that case.
    """
    if (missed <= ROUNDING).all(axis=0).any():
        return
    nearest = int(np.lexsort((risks, missed.max(axis=0).round(9)))[0])
    worst = int(np.argmax(missed[:, nearest]))
    binding = subject_to[worst]
    setting = {name: float(values[nearest]) for name, values in candidates.prices.settings.items()}
    level = float(binding.level(candidates)[nearest])
    alone = int((missed[worst] <= ROUNDING).sum())
    raise ValueError(
        f"no candidate meets every constraint; {binding} binds ({alone} of {missed.shape[1]} candidates meet it). The "
        f"nearest has learning_rate {setting['learning_rate']:.3g} and batch_size {setting['batch_size']:.6g}, where "
        f"{binding.said} is {level:.4g} and misses it by {missed[worst, nearest]:.3g} of what is allowed. Loosen "
        "that constraint, or give candidates that meet it."
    )
