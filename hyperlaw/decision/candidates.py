"""`Priced`: candidates with what they cost, what they miss of the constraints, and which of them is chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from hyperlaw.data.vocabulary import HYPERPARAMETERS, At
from hyperlaw.decision.constraints import ROUNDING, AtLeast, AtMost, Candidates, Constraint, OneOf, shortfalls
from hyperlaw.decision.mixture import Part
from hyperlaw.decision.pricing import Prices, Pricing
from hyperlaw.inference.predict import GRID, batch_range, check_batches, grid, span
from hyperlaw.quote import some_of
from hyperlaw.risk import Risk, choose

APART = np.log(2) / 2
BATCHES = 20
# Only so many candidates of the lowest risk are asked whether they tie: more ties would say no more.
TIED = 200
Limits = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Priced:
    """Candidates at a target.

    Attributes
    ----------
    prices, pricing
        What each costs, and what prices further settings.
    missed
        By how much each misses each constraint, shape (constraint, candidate).
    risks
        Risk of each, shape (candidate,).
    limits
        Lowest and highest value of each hyperparameter that the constraints leave.
    given
        Whether the user gave the candidates.
    polished
        Whether the last of them lies between the others, where the polish found it.
    """

    prices: Prices
    pricing: Pricing
    missed: np.ndarray
    risks: np.ndarray
    limits: Limits
    given: bool
    polished: bool = False

    @property
    def allowed(self) -> np.ndarray:
        """Which candidates meet every constraint."""
        return (self.missed <= ROUNDING).all(axis=0)

    @property
    def chosen(self) -> int:
        """Position of the allowed candidate of the lowest risk."""
        allowed = np.flatnonzero(self.allowed)
        return int(allowed[np.argmin(self.risks[allowed])])

    @property
    def settings(self) -> pd.DataFrame:
        """`learning_rate` and `batch_size` of each."""
        return pd.DataFrame(self.prices.settings)

    @property
    def setting(self) -> dict[str, float]:
        """That of the chosen one."""
        return {name: float(values[self.chosen]) for name, values in self.prices.settings.items()}

    def binding(self, subject_to: Sequence[Constraint]) -> list[Constraint]:
        """The constraints that hold the choice back.

        Those that the candidate of the lowest risk misses, and bounds that the choice just meets and others do not.
        """
        found = []
        for constraint, miss in zip(subject_to, self.missed, strict=True):
            just = isinstance(constraint, AtMost | AtLeast) and abs(miss[self.chosen]) <= ROUNDING < np.ptp(miss)
            if just or miss[np.argmin(self.risks)] > ROUNDING:
                found.append(constraint)
        return found

    def keep(self, rows: pd.DataFrame, subject_to: Sequence[Constraint], at: At) -> np.ndarray:
        """Whether further settings, in columns of `rows`, keep to the constraints, each row."""
        prices = self.pricing.price({name: rows[name].to_numpy(float) for name in HYPERPARAMETERS})
        missed = shortfalls(list(subject_to), Candidates(prices, at, self.pricing))
        return np.asarray((missed <= ROUNDING).all(axis=0))

    def runner_up(self) -> int | None:
        """Position of the best allowed candidate at least half an octave from the chosen one; None without one."""
        settings = self.settings
        distance = np.abs(np.log(settings / settings.loc[self.chosen])).max(axis=1).to_numpy()
        far = np.flatnonzero((distance >= APART - 1e-9) & self.allowed)
        return int(far[np.argmin(self.risks[far])]) if len(far) else None

    def tied(self, risk: Risk) -> int:
        """How many other candidates' risk differs from the chosen one's by less than twice its Monte Carlo error."""
        near = np.flatnonzero(self.allowed)
        near = near[np.argsort(self.risks[near], kind="stable")[:TIED]]
        if self.chosen not in near:
            near[-1] = self.chosen
        # Every batch holds the laws in the proportions of the whole.
        laws = self.pricing.laws
        batches = [np.array_split(np.flatnonzero(laws == name), BATCHES) for name in dict.fromkeys(laws)]
        some = self.prices.regret[:, near]
        with np.errstate(invalid="ignore"):  # infinite risks differ by NaN, and tie with nothing
            parts = np.array([risk(some[np.concatenate(rows)]) for rows in zip(*batches, strict=True)])
            difference = parts - parts[:, near == self.chosen]
            tie = difference.mean(axis=0) <= 2 * difference.std(axis=0, ddof=1) / np.sqrt(BATCHES)
        return int(tie[near != self.chosen].sum())

    def on_edge(self, subject_to: Sequence[Constraint]) -> list[str]:
        """Hyperparameters whose chosen value is the lowest or highest of the candidates, and not for a constraint."""
        settings = self.settings
        held = {rule.quantity for rule in subject_to if isinstance(rule, OneOf)}
        return [
            f"{name} at its {side} candidate"
            for name in HYPERPARAMETERS
            for side, value in (("lowest", settings[name].min()), ("highest", settings[name].max()))
            if settings[name].max() > settings[name].min() * (1 + ROUNDING)
            and np.isclose(settings.loc[self.chosen, name], value)
            and not np.isclose(value, self.limits[name]).any()
            and name not in held
        ]


def price_candidates(
    pricing: Pricing,
    risk: Risk,
    subject_to: list[Constraint],
    *,
    at: At,
    limits: Limits,
    given: Mapping[str, np.ndarray] | None,
) -> Priced:
    """Price given candidates, or a grid over where the optimum may be, and see which keep to the constraints.

    Given candidates are judged against the best of them in each draw, a grid against the optimum itself.
    """
    if given is not None:
        check_batches(given["batch_size"], at)
    prices = pricing.price(_grid(pricing.parts, subject_to, limits, batch_range(at)) if given is None else given)
    if given is not None:
        least = prices.regret.min(axis=1)
        pricing = replace(pricing, best=least)
        np.subtract(prices.regret, least[:, None], out=prices.regret)
    missed = shortfalls(subject_to, Candidates(prices, at, pricing))
    _, risks = choose(risk, prices.regret)
    return Priced(prices, pricing, missed, risks, limits, given is not None)


def _grid(
    parts: list[Part], subject_to: list[Constraint], ends: Limits, possible: tuple[float, float]
) -> dict[str, np.ndarray]:
    """A grid over where any law's optimum may be, with the limits of the constraints on it.

    Where the constraints leave only some batch sizes, it reaches to the best learning rates at those. Batches outside
    the `possible` range are none: no price is asked of them.
    """
    points = dict(zip(HYPERPARAMETERS, GRID, strict=True))

    def axis(name: str, reach: np.ndarray, count: int) -> np.ndarray:
        least, largest = reach.min(), reach.max()
        wanted = np.geomspace(least, largest, count) if least < largest else reach[:1]
        # The limits themselves are candidates, and so are settings beyond them, for what a constraint costs.
        values = np.unique(np.concatenate([wanted, np.clip(wanted, *ends[name])]))
        for constraint in subject_to:
            if isinstance(constraint, OneOf) and constraint.quantity == name:
                values = constraint.allowed(values)
        return values

    reach = {name: np.concatenate([span(one.optimum[name], 2) for one in parts]) for name in HYPERPARAMETERS}
    batches, rates = axis("batch_size", reach["batch_size"], points["batch_size"]), reach["learning_rate"]
    batches = batches[(batches >= possible[0] * (1 - ROUNDING)) & (batches <= possible[1] * (1 + ROUNDING))]
    if not len(batches):
        raise ValueError(
            f"{some_of(subject_to)} leave no batch size that holds 1 data point at least and at most all "
            f"{possible[1]:.6g} of the target. Give others, in data points."
        )
    low, high = ends["batch_size"]
    left = batches[(batches >= low * (1 - ROUNDING)) & (batches <= high * (1 + ROUNDING))]
    if len(left) and (left.min() > reach["batch_size"].min() or left.max() < reach["batch_size"].max()):
        there = [span(one.best_learning_rate(batch), 2) for one in parts for batch in (left.min(), left.max())]
        rates = np.concatenate([rates, *there])
    longer = np.ptp(np.log(rates)) / max(np.ptp(np.log(reach["learning_rate"])), 1e-9)
    return grid(axis("learning_rate", rates, round(points["learning_rate"] * max(longer, 1))), batches)
