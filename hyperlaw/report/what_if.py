"""`WhatIf` and `answer`: draws of the loss surface for a page without a server, and what the page must say of them.

A page cannot run a law. But in every draw a setting loses at a target

    k_eta g(ln eta - r(B), skew_eta) + k_B g(ln B - b, skew_B)

(`hyperlaw.models.likelihoods.surface`; g is of two sides where a law says both), where r(B) is the best learning rate
at a batch size. Here r is worked out by
the law at each batch size of a ladder, and the page needs k, skew, b and r alone, whatever the law. `what_if.js` is
`answer` in JavaScript; `hyperlaw.report.ladders` makes the draws.
"""

from base64 import b64encode
from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from scipy.special import expit

from hyperlaw.data.vocabulary import HYPERPARAMETERS
from hyperlaw.intervals import interval_table
from hyperlaw.models.likelihoods.surface import BELOW, bowl, two_sided
from hyperlaw.risk import CVaR, Mean, Quantile, Risk

STEPS = 2**16 - 1
SAME = 0.05  # share of a risk that the page's draws, of which there are fewer, do not tell
OPTIMUM = (*HYPERPARAMETERS, "loss")
Place = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Packed:
    """Numbers in 16 bits: how many steps above the lowest each of them lies."""

    low: float
    step: float
    counts: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Self:
        """The nearest of 65,536 numbers, evenly spaced from the lowest to the highest."""
        low, high = float(values.min()), float(values.max())
        step = (high - low) / STEPS
        return cls(low, step, np.round((values - low) / (step or 1.0)).astype("<u2"))

    def __getitem__(self, place: Any) -> np.ndarray:
        """Some of the numbers, as the page reads them."""
        return self.low + self.step * self.counts[place].astype(float)

    @property
    def told(self) -> dict[str, Any]:
        """For JSON."""
        return {"low": self.low, "step": self.step, "counts": _text(self.counts)}


@dataclass(frozen=True, eq=False)
class WhatIf:
    """What the page holds.

    Attributes
    ----------
    ladder, start
        Values of each covariate that has a slider, and the target's place on each ladder.
    setting
        What the choice is.
    learning_rate, batch_size
        Ladders of settings; those of the choice are among them.
    allowed
        Which settings are candidates at each target, shape (target, batch size, learning rate). Targets are all rungs
        of the first ladder with all of the second, which runs faster.
    per_draw
        `skew_learning_rate, skew_batch_size, skew_small_batch, divergence_threshold, divergence_width`, shape (draw,);
        `skew_small_batch` is 0 in draws of a law that says nothing of it.
    at_target
        Of the optimum `learning_rate, batch_size` (natural logs) and `loss`; natural logs of `sharpness_learning_rate`
        and `sharpness_batch_size`; shape (target, draw).
    ridge
        Natural log of the best learning rate at each batch size, shape (target, batch size, draw).
    diverge_cost
        What a diverged run loses; None where divergence has no price.
    """

    ladder: dict[str, np.ndarray]
    start: Place
    setting: dict[str, float]
    learning_rate: np.ndarray
    batch_size: np.ndarray
    allowed: np.ndarray
    per_draw: dict[str, Packed]
    at_target: dict[str, Packed]
    ridge: Packed
    diverge_cost: float | None

    @property
    def draws(self) -> int:
        """How many there are."""
        return self.ridge.counts.shape[-1]

    def target(self, place: Place) -> int:
        """Number of the target at a place on each ladder."""
        return int(np.ravel_multi_index(place, [len(rungs) for rungs in self.ladder.values()]))

    @property
    def told(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "ladder": [[name, rungs.tolist()] for name, rungs in self.ladder.items()],
            "start": list(self.start),
            "setting": self.setting,
            "learning_rate": self.learning_rate.tolist(),
            "batch_size": self.batch_size.tolist(),
            "allowed": _text(np.packbits(self.allowed)),
            "draws": self.draws,
            "per_draw": {name: packed.told for name, packed in self.per_draw.items()},
            "at_target": {name: packed.told for name, packed in self.at_target.items()},
            "ridge": self.ridge.told,
            "diverge_cost": self.diverge_cost,
            "same": SAME,
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Answer:
    """What to set at a target, and what is known of it.

    Attributes
    ----------
    setting
        The candidate of the lowest risk.
    intervals
        Rows `learning_rate, batch_size, loss` of the optimum; columns `lower, median, upper` (90 %, equal-tailed).
    at_batch
        Whether the learning rate there is the best one at the setting's batch size: where that is the only one, or lies
        outside its interval.
    regret, kept
        Of the setting in every draw, and of the choice, were it kept.
    p_diverge
        Probability that a run at the setting diverges.
    """

    setting: dict[str, float]
    intervals: pd.DataFrame
    at_batch: bool
    regret: np.ndarray
    kept: np.ndarray
    p_diverge: float


def costs(regret: np.ndarray) -> dict[str, float]:
    """Regret that is expected, that 90 % of the draws keep below, and that the worst tenth of them have on average."""
    measures: dict[str, Risk] = {"mean": Mean(), "q90": Quantile(0.9), "cvar90": CVaR(0.9)}
    return {name: float(risk(regret)) for name, risk in measures.items()}


def answer(what: WhatIf, place: Place, largest_batch: float, risk: Risk) -> Answer | None:
    """Choose at a target among the candidates of at most the largest batch size; None where there is none.

    At the target of the choice that stays, if none has a risk that is lower by more than a twentieth.
    """
    target = what.target(place)
    batches, rates = np.nonzero(what.allowed[target] & (what.batch_size <= largest_batch)[:, None])
    if not len(batches):
        return None
    regret, diverge = _regret(what, target, batches, rates)
    risks = np.asarray(risk(regret))
    chosen = int(np.argmin(risks))
    own = [np.flatnonzero(getattr(what, name) == what.setting[name])[:1] for name in reversed(HYPERPARAMETERS)]
    (kept,) = np.nonzero((batches == own[0]) & (rates == own[1]))
    if place == what.start and len(kept) and risks[kept[0]] <= (1 + SAME) * risks[chosen]:
        chosen = int(kept[0])
    size = float(what.batch_size[batches[chosen]])
    best = {name: what.at_target[name][target] for name in OPTIMUM}
    table = interval_table({"batch_size": np.exp(best["batch_size"]), "loss": best["loss"]})
    low, high = table.loc["batch_size", ["lower", "upper"]]
    at_batch = len(what.batch_size) == 1 or not low <= size <= high
    rate = what.ridge[target, batches[chosen]] if at_batch else best["learning_rate"]
    return Answer(
        setting={"learning_rate": float(what.learning_rate[rates[chosen]]), "batch_size": size},
        intervals=pd.concat([interval_table({"learning_rate": np.exp(rate)}), table]),
        at_batch=at_batch,
        regret=regret[:, chosen],
        kept=_regret(what, target, *own)[0][:, 0],
        p_diverge=float(diverge[:, chosen].mean()),
    )


def _regret(what: WhatIf, target: int, batches: np.ndarray, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Regret and probability to diverge of settings, by their places on the ladders; shape (draw, setting)."""
    at = {name: packed[target][:, None] for name, packed in what.at_target.items()}
    own = {name: packed[:][:, None] for name, packed in what.per_draw.items()}
    u = np.log(what.learning_rate[rates]) - what.ridge[target, batches].T
    v = np.log(what.batch_size[batches]) - at["batch_size"]
    with jax.enable_x64(True):
        shapes = bowl(u, own["skew_learning_rate"]), _over_batches(v, own["skew_batch_size"], own[BELOW])
        excess = sum(
            np.exp(at[f"sharpness_{name}"]) * np.asarray(shape)
            for name, shape in zip(HYPERPARAMETERS, shapes, strict=True)
        )
    diverge = expit((u - own["divergence_threshold"]) / own["divergence_width"])
    cost = what.diverge_cost
    return (excess if cost is None else excess + diverge * (cost - excess)), diverge


def _over_batches(v: np.ndarray, above: np.ndarray, below: np.ndarray) -> jax.Array:
    """The bowl over batch sizes: of two sides in the draws of a law that says both."""
    return jnp.where(below > 0, two_sided(v, above, jnp.where(below > 0, below, 1.0)), bowl(v, above))


def _text(values: np.ndarray) -> str:
    """Bytes of an array, in base64."""
    return b64encode(values.tobytes()).decode("ascii")
