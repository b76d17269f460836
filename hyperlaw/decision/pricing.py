"""`Pricing`: the regret of settings in every draw, in chunks of settings so that memory stays bounded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hyperlaw.data.vocabulary import HYPERPARAMETERS
from hyperlaw.decision.mixture import Part
from hyperlaw.models.law import OptimumLaw
from hyperlaw.models.likelihoods.surface import RunLoss, run_loss

# Settings that are priced at once: with 4,000 draws an array of 2 MB, which a processor's cache holds.
CHUNK = 64
Cell = tuple[Any, Any]  # parameters and covariates of the new cell


@dataclass(frozen=True, eq=False)
class Prices:
    """What settings cost.

    Attributes
    ----------
    settings
        `learning_rate` and `batch_size`, arrays of shape (candidate,).
    regret
        Nats above the best that could be had in each draw, shape (sample, candidate), single precision; divergence
        included where it has a price.
    p_diverge
        Probability that a run diverges, shape (candidate,).
    """

    settings: dict[str, np.ndarray]
    regret: np.ndarray
    p_diverge: np.ndarray

    def and_one(self, more: "Prices") -> "Prices":
        """These, and others after them."""
        return Prices(
            {name: np.append(self.settings[name], more.settings[name]) for name in HYPERPARAMETERS},
            np.concatenate([self.regret.T, more.regret.T]).T,
            np.append(self.p_diverge, more.p_diverge),
        )


@dataclass(frozen=True, eq=False)
class Pricing:
    """Prices settings at one target.

    Attributes
    ----------
    parts
        Draws of each law.
    diverge_cost
        What a diverged run loses, nats; None where divergence has no price.
    best
        In each draw, what the best of the given candidates loses to the law's optimum; None where the optimum itself
        can be had.
    """

    parts: list[Part]
    diverge_cost: float | None
    best: np.ndarray | None = None

    @property
    def laws(self) -> np.ndarray:
        """Name of the law of each draw."""
        return np.repeat([part.name for part in self.parts], [len(part) for part in self.parts])

    def price(self, settings: Mapping[str, np.ndarray], chunk: int = CHUNK) -> Prices:
        """Prices of settings; `chunk` of them are held in double precision at a time."""
        pairs = {name: np.asarray(settings[name], float) for name in HYPERPARAMETERS}
        count = len(pairs["learning_rate"])
        # Draws of a setting lie side by side: sums and sorts run along them, whatever the chunk.
        regret = np.empty((count, sum(len(part) for part in self.parts)), np.float32)
        p_diverge = np.zeros(count)
        for here, logs in _chunks(pairs, chunk):
            size, column = here.stop - here.start, 0
            for part in self.parts:
                with jax.enable_x64(True):
                    value, diverge = _priced(part.law, (part.p, part.x), logs, self.diverge_cost)
                regret[here, column : column + len(part)] = np.asarray(value)[:size]
                p_diverge[here] += np.asarray(diverge)[:size] / regret.shape[1]
                column += len(part)
        if self.best is not None:
            regret -= self.best
        return Prices(pairs, regret.T, p_diverge)

    def losses(self, settings: Mapping[str, np.ndarray], chunk: int = CHUNK) -> Iterator[np.ndarray]:
        """Losses of one run at each setting (nats, with its scatter), shape (setting, sample), a chunk at a time."""
        pairs = {name: np.asarray(settings[name], float) for name in HYPERPARAMETERS}
        for here, logs in _chunks(pairs, chunk):
            with jax.enable_x64(True):
                losses = [_losses(part.law, (part.p, part.x), logs, part.standardised_noise) for part in self.parts]
            yield np.concatenate(losses, axis=1)[: here.stop - here.start]

    def slopes(self, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Regret in each draw at one point (ln learning rate, ln batch size), and its slopes, shape (sample, 2)."""
        with jax.enable_x64(True):
            found = [_sloped(part.law, (part.p, part.x), point, self.diverge_cost) for part in self.parts]
        return np.concatenate([value for value, _ in found]), np.concatenate([slope for _, slope in found])


def _chunks(pairs: Mapping[str, np.ndarray], chunk: int) -> Iterator[tuple[slice, tuple[np.ndarray, np.ndarray]]]:
    """Places of a chunk of settings and their logs, the last chunk padded: one shape compiles once."""
    rate, batch = (np.log(pairs[name]) for name in HYPERPARAMETERS)
    for start in range(0, len(rate), chunk):
        here = slice(start, min(start + chunk, len(rate)))
        more = (0, chunk - (here.stop - here.start))
        yield here, (np.pad(rate[here], more, mode="edge"), np.pad(batch[here], more, mode="edge"))


@partial(jax.jit, static_argnames="law")
def _priced(law: OptimumLaw, cell: Cell, logs: Any, diverge_cost: float | None) -> tuple[jax.Array, jax.Array]:
    """Regret (setting, sample), and the sum over samples of the probability to diverge."""
    regret, diverge = _regret(_run(law, cell, logs), diverge_cost)
    return regret.astype(jnp.float32), diverge.sum(axis=1)


@partial(jax.jit, static_argnames="law")
def _losses(law: OptimumLaw, cell: Cell, logs: Any, noise: jax.Array) -> jax.Array:
    return _run(law, cell, logs).placed(noise)


@partial(jax.jit, static_argnames="law")
def _sloped(law: OptimumLaw, cell: Cell, point: jax.Array, diverge_cost: float | None) -> tuple[jax.Array, jax.Array]:
    def regret(where: jax.Array) -> jax.Array:
        return _regret(run_loss(law, *cell, where[0], where[1]), diverge_cost)[0]

    return regret(point), jax.jacfwd(regret)(point)


def _run(law: OptimumLaw, cell: Cell, logs: Any) -> RunLoss:
    """What a run measures at each setting and in each draw, shape (setting, sample)."""
    rate, batch = logs
    return run_loss(law, *cell, rate[:, None], batch[:, None])


def _regret(run: RunLoss, diverge_cost: float | None) -> tuple[jax.Array, jax.Array]:
    """Regret, its expectation over diverging or not where that has a price; and the probability to diverge."""
    diverge = jax.nn.sigmoid(run.logit)
    excess = run.excess
    return (excess if diverge_cost is None else excess + diverge * (diverge_cost - excess)), diverge
