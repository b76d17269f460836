"""NUTS on a law's model: preconditioned, until there are enough draws, one thread a chain.

Parameters differ in scale by a factor of a thousand (losses in millinats beside exponents), which makes the usual
warm-up from a unit mass matrix most of the cost. Here the mass matrix is learned in two steps instead: a Laplace
approximation (`hyperlaw.inference.mode`), then the covariance of a first, discarded stretch of all chains together,
drawn towards the approximation (`hyperlaw.inference.mass`). After each step only the step size is adapted. A matrix
straightens no curved ridge: a likelihood may say which sites to shift by functions of others (`Likelihood.shifts`),
and the sampler moves in the shifted coordinates. Nor does it widen a funnel: tasks and levels, whose scales are not
known, have coordinates of their own (`hyperlaw.inference.space`). The posterior is the same in all of them.

On CPU a batch of chains under `vmap` takes as long as the chains one after the other (every chain waits
for the longest tree), so chains run beside each other in threads; XLA releases Python's lock.
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import numpy as np
from numpyro.infer.util import ParamInfo

from hyperlaw.data.numerals import as_number
from hyperlaw.inference.enough import enough
from hyperlaw.inference.mass import SHARED, mass_matrix, one_thread
from hyperlaw.inference.mode import first_places
from hyperlaw.inference.programs import CHUNK, Programs, programs_of
from hyperlaw.inference.space import Space
from hyperlaw.models.likelihoods.base import Arrays, Design, Draws, Likelihood
from hyperlaw.quote import quote
from hyperlaw.streams import check_seed, generator, jax_key

CARELESS = 0.8  # acceptance while the mass matrix is learned: large steps do, and a divergence costs nothing
# Draws of each chain after which it is asked whether they are enough, when no number is given.
ASKED = (300, 400, 500, 600, 800, 1000, 1500, 2000, 3000)
# Acceptance that the step size aims at, when none is given: the next one where a kept draw has diverged. What is not
# accepted grows with the square of the step, so each halves it.
CARE = (0.9, 0.975, 0.995)
DEEPEST = 20  # tree of a draw: a million steps
MOST = 10_000  # dimensions: a mass matrix of 800 MB
Report = Callable[[float, str], None]


class Settings(NamedTuple):
    """How long and how carefully to sample; `warmup` and `draws` are those of each chain, None for enough draws.

    `target_accept` None begins with 0.9 and takes smaller steps where draws diverge.
    """

    chains: int
    warmup: int
    draws: int | None
    target_accept: float | None
    max_tree_depth: int


def check_settings(seed: object, settings: Settings) -> None:
    """Refuse what cannot be sampled: TypeError of a seed that is no integer, ValueError of lengths."""
    check_seed(seed)
    if settings.chains < 2:
        raise ValueError(
            f"chains must be 2 or more, received {quote(settings.chains)}: one chain cannot show that chains agree."
        )
    for name, value, unit in (("draws", settings.draws, CHUNK), ("warmup", settings.warmup, 2 * CHUNK)):
        if value is not None and (value < unit or value % unit):
            raise ValueError(f"{name} must be a multiple of {unit}, received {quote(value)}.")
    if settings.target_accept is not None and not 0 < as_number(settings.target_accept, "target_accept") < 1:
        raise ValueError(
            f"target_accept must lie between 0 and 1, received {quote(settings.target_accept)}: 0.9 is usual, and "
            "nearer to 1 takes smaller steps."
        )
    depth = settings.max_tree_depth
    if not (isinstance(depth, int) and 1 <= depth <= DEEPEST):
        raise ValueError(f"max_tree_depth must be a whole number from 1 to {DEEPEST}, received {quote(depth)}.")


def sample(
    likelihood: Likelihood,
    design: Design,
    *,
    seed: int,
    settings: Settings,
    report: Report,
    earlier: Draws | None = None,
) -> tuple[Arrays, Arrays]:
    """Posterior draws of every site and sampler statistics, each of shape (chain, draw, ...).

    Must be called inside `jax.enable_x64(True)`. `report` is told the share done and what is being done.
    `earlier` holds draws of the same sites, shape (draw, ...), from a posterior much like this one: chains then start
    at some of them with their covariance as mass matrix, and all of the warm-up goes to the step size.

    Raises
    ------
    ValueError
        When the posterior has more dimensions than can be sampled.
    """
    chains, warmup, draws, _, max_tree_depth = settings
    cares = CARE if settings.target_accept is None else (settings.target_accept,)
    half = warmup // 2 if earlier is None else warmup
    law = likelihood.law.name  # chains of two laws with one seed would move together, and so would their draws
    programs = programs_of(likelihood.bare, max_tree_depth)
    if (size := programs.dimensions(design)) > MOST:
        raise ValueError(
            f"this table makes a posterior of {size:,} dimensions, most of them what its cells and tasks stray by; at "
            f"most {MOST:,} can be sampled, since a mass matrix of so many takes {8 * size**2 / 1e9:.1f} GB. Fit fewer "
            "cells or tasks at a time: take rows with `where`, or make a table of each task for hl.fit_many."
        )
    design = jax.device_put(design)
    follow = _Follow(report, chains)
    follow.begin("warming up", warmup + (draws or ASKED[0]))
    if earlier is None:
        rng = generator(seed, law, "start")
        with one_thread():
            places, first, groups, space = first_places(programs, design, likelihood.scale_sites, chains, rng)
        run = _Stretch(programs, jax.device_put(space), follow)
        states = run.begin(jax_key(seed, law, "warm-up"), places, first, half)
        _, z, _ = run.forth(states, half, min(CARELESS, cares[0]))
        with one_thread():
            mass, places = mass_matrix(z[:, half // 3 :], first, groups), z[:, -1]
    else:
        z = np.asarray(programs.unconstrain(design, earlier))
        with one_thread():
            mass = first = np.cov(z, rowvar=False)
        places, groups = z[:: len(z) // chains][:chains], np.full(len(mass), SHARED)
        run = _Stretch(programs, jax.device_put(programs.as_sampled(design)), follow)
    for i, care in enumerate(cares):
        if i:
            follow.begin(f"{follow.lost}: again with smaller steps", half + (draws or ASKED[0]))
        states = run.begin(jax_key(seed, law, "chains", *map(str, cares[1 : i + 1])), places, mass, half)
        states, _, _ = run.forth(states, half, care)
        follow.divergences = 0
        parts: list[Any] = []
        for length in _lengths(draws):
            kept = sum(part["diverging"].shape[1] for *_, part in parts)
            follow.begin(f"{kept + length:,} draws of each chain", length, kept=True)
            states, z, stats = run.forth(states, length, care)
            parts.append((*programs.constrain(z, run.space), stats))
            sites, beyond, stats = jax.tree.map(lambda *blocks: np.concatenate(blocks, axis=1), *parts)
            # Draws of steps that were too large are all given up: those that did not diverge are no fair sample, though
            # good enough to say how wide the posterior is.
            again = stats["diverging"].any() and i + 1 < len(cares)
            if draws is not None or again or enough(sites | beyond):
                break
        if not again:
            break
        with one_thread():
            mass, places = mass_matrix(z, first, groups), z[:, -1]
    report(1.0, follow.note)
    return sites, stats | {"target_accept": np.full(stats["diverging"].shape, care)}


def _lengths(draws: int | None) -> Iterator[int]:
    """Lengths of the blocks of draws: one where a number is given, else those between being asked."""
    if draws is not None:
        return iter([draws])
    return (later - sooner for sooner, later in pairwise((0, *ASKED)))


class _Stretch:
    """Runs all chains for some iterations."""

    def __init__(self, programs: Programs, space: Space, follow: "_Follow") -> None:
        self._programs, self.space, self._follow = programs, space, follow

    def begin(self, key: jax.Array, places: np.ndarray, mass: np.ndarray, warmup: int) -> list[Any]:
        """A state for each chain, with one mass matrix, whose first iterations find the step size."""
        keys = jax.random.split(key, len(places))
        slopes = [self._programs.gradient(place, *jax.tree.flatten(self.space)) for place in places]
        with one_thread():  # NUTS factors the mass matrix
            return jax.block_until_ready(
                [
                    self._programs.begin(key, ParamInfo(place, *slope), mass, warmup)
                    for key, place, slope in zip(keys, places, slopes, strict=True)
                ]
            )

    def forth(self, states: list[Any], iterations: int, target_accept: float) -> tuple[list[Any], np.ndarray, Arrays]:
        """States after some iterations; places and statistics on the way, each of shape (chain, iteration, ...)."""
        states, drawn = [*states], [list[Any]() for _ in states]

        def chunk(chain: int) -> None:
            with jax.enable_x64(True):  # the scope is a thread's own
                states[chain], values = self._programs.advance(states[chain], self.space, target_accept)
                drawn[chain].append(jax.device_get(values))
            self._follow(int(drawn[chain][-1][1]["diverging"].sum()))

        def run(chain: int) -> None:
            while len(drawn[chain]) < iterations // CHUNK:
                chunk(chain)

        chunk(0)  # compiles, which two threads at once must not
        with ThreadPoolExecutor(min(len(states), os.cpu_count() or 1)) as pool:
            list(pool.map(run, range(len(states))))
        chains = [jax.tree.map(lambda *chunks: np.concatenate(chunks), *chunks) for chunks in drawn]
        return states, *jax.tree.map(lambda *values: np.stack(values), *chains)


class _Follow:
    """Counts iterations, and divergences of kept draws, over threads, and reports them."""

    def __init__(self, report: Report, chains: int) -> None:
        self._report, self._chains = report, chains
        self._stage, self._done, self._expected, self._lock = "", 0, 0, threading.Lock()
        self.divergences, self._kept = 0, False

    def begin(self, stage: str, iterations: int, *, kept: bool = False) -> None:
        """What comes now, of how many iterations of each chain at least, and whether they are kept."""
        self._stage, self._kept = stage, kept
        self._expected = max(self._expected, self._done + self._chains * iterations)

    @property
    def note(self) -> str:
        """The stage, and divergences among the draws that it keeps."""
        return self._stage + (f", {self.lost}" if self._kept and self.divergences else "")

    @property
    def lost(self) -> str:
        """How many of the draws that were kept diverged."""
        return f"{self.divergences} divergence{'s' if self.divergences > 1 else ''}"

    def __call__(self, divergences: int) -> None:
        with self._lock:
            self._done += CHUNK
            self.divergences += divergences if self._kept else 0
            # A bar that was full once stands still: the last thing that is reported is that all is done.
            self._report(self._done / max(self._expected, self._done + CHUNK), self.note)
