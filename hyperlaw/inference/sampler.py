"""NUTS on a law's model: preconditioned, one compiled program, one thread a chain.

Parameters differ in scale by a factor of a thousand (losses in millinats beside exponents), which makes the usual
warm-up from a unit mass matrix most of the cost. Here the mass matrix is learned in two steps instead: a Laplace
approximation with the scales of deviations held at their prior means, so that it cannot fall into a funnel; then the
covariance of a first, discarded stretch of all chains together, drawn towards the approximation. After each step only
the step size is adapted. A matrix straightens no curved ridge: a likelihood may say which sites to shift by functions
of others (`Likelihood.shifts`), and the sampler moves in the shifted coordinates. A shift keeps volumes, so the
posterior is the same.

On CPU a batch of chains under `vmap` takes as long as the chains one after the other (every chain waits
for the longest tree), so chains run beside each other in threads; XLA releases Python's lock.
"""

import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.optimize
from jax.flatten_util import ravel_pytree
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.infer import NUTS, init_to_mean
from numpyro.infer.util import constrain_fn, potential_energy
from threadpoolctl import threadpool_limits

from hyperlaw.models.likelihoods.base import Arrays, Design, Draws, Likelihood
from hyperlaw.streams import check_seed, generator, jax_key

CHUNK = 50
STATS = {
    "diverging": "diverging",
    "energy": "energy",
    "num_steps": "n_steps",
    "accept_prob": "acceptance_rate",
    "potential_energy": "lp",
}
Sites = dict[str, Any]
Report = Callable[[float, int], None]


class Settings(NamedTuple):
    """How long and how carefully to sample; `warmup` and `draws` are those of each chain."""

    chains: int
    warmup: int
    draws: int
    target_accept: float
    max_tree_depth: int


def check_settings(seed: object, settings: Settings) -> None:
    """Refuse what cannot be sampled: TypeError of a seed that is no integer, ValueError of lengths."""
    check_seed(seed)
    if settings.chains < 2:
        raise ValueError(
            f"chains must be 2 or more, received {settings.chains}: one chain cannot show that chains agree."
        )
    for name, value, unit in (("draws", settings.draws, CHUNK), ("warmup", settings.warmup, 2 * CHUNK)):
        if value < unit or value % unit:
            raise ValueError(f"{name} must be a multiple of {unit}, received {value}.")


class Programs:
    """Compiled functions of one model; data and priors are arguments, so that tables of one shape share them.

    Places `z` are unconstrained values by site, in the shifted coordinates.
    """

    def __init__(self, likelihood: Likelihood, adapted: int, target_accept: float, max_tree_depth: int) -> None:
        self._likelihood, self._adapted = likelihood, adapted
        self._target_accept, self._max_tree_depth = target_accept, max_tree_depth
        self.centre, self.gradient = jax.jit(self._centre), jax.jit(jax.value_and_grad(self._energy))
        self.unconstrain = jax.jit(jax.vmap(self._centre, (None, 0)))
        self.start, self.advance = jax.jit(self._start), jax.jit(self._advance)
        self.constrain = jax.jit(jax.vmap(jax.vmap(self._constrain, (0, None)), (0, None)))

    def _shifted(self, design: Design, z: Sites, sign: int) -> Sites:
        """Into the sampler's coordinates (sign 1) or back (-1)."""
        values = {n: biject_to(prior.support)(z[n]) for n, prior in design.priors.items() if n in z}
        shifts = self._likelihood.shifts(values, design)
        return {name: value + sign * shifts.get(name, 0.0) for name, value in z.items()}

    def _potential(self, z: Sites, design: Design) -> jax.Array:
        """Minus log posterior density."""
        return potential_energy(self._likelihood.model, (design,), {}, self._shifted(design, z, -1))

    def _energy(self, flat: jax.Array, design: Design) -> jax.Array:
        """The same of a flat place."""
        _, unravel = ravel_pytree(self._centre(design, {}))  # for its structure alone
        return self._potential(unravel(flat), design)

    def _centre(self, design: Design, known: Sites) -> Sites:
        """Place of known values of sites; of sites that are not known, their prior means."""

        def value(site: Any) -> Any:
            return known[site["name"]] if site["name"] in known else init_to_mean(site)

        at_mean = handlers.substitute(handlers.seed(self._likelihood.model, 0), substitute_fn=value)
        trace = handlers.trace(at_mean).get_trace(design)
        latent = {n: s for n, s in trace.items() if s["type"] == "sample" and not s["is_observed"]}
        return self._shifted(design, {n: biject_to(s["fn"].support).inv(s["value"]) for n, s in latent.items()}, 1)

    def _kernel(self, design: Design, key: jax.Array, z: Sites, mass: jax.Array | None) -> tuple[NUTS, Any]:
        """NUTS with one mass matrix, and a chain's state at a place."""
        depth = self._max_tree_depth
        nuts = NUTS(
            potential_fn=lambda place: self._potential(place, design),
            dense_mass=True,
            inverse_mass_matrix=mass,
            adapt_mass_matrix=False,
            target_accept_prob=self._target_accept,
            max_tree_depth=(min(7, depth), depth),  # trees teach little before the mass is known
        )
        return nuts, nuts.init(key, self._adapted, z, model_args=(), model_kwargs={})

    def _start(self, key: jax.Array, design: Design, z: Sites, mass: jax.Array) -> Any:
        """A chain's state at a place."""
        return self._kernel(design, key, z, mass)[1]

    def _advance(self, state: Any, design: Design) -> tuple[Any, Any]:
        """The state after a chunk of iterations, with the places and statistics on the way."""
        # A kernel is made ready by `init`; the state that it returns here is unused and compiled away.
        nuts, _ = self._kernel(design, jax.random.key(0), state.z, None)

        def step(state: Any, _: None) -> tuple[Any, Any]:
            state = nuts.sample(state, (), {})
            return state, (state.z, {ours: getattr(state, theirs) for theirs, ours in STATS.items()})

        return jax.lax.scan(step, state, None, length=CHUNK)

    def _constrain(self, z: Sites, design: Design) -> Sites:
        """Values of every site, deterministic ones too, at a place."""
        back = self._shifted(design, z, -1)
        return constrain_fn(self._likelihood.model, (design,), {}, back, return_deterministic=True)


_programs = functools.lru_cache(maxsize=32)(Programs)


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

    Must be called inside `jax.enable_x64(True)`. `report` is told the share done and the divergences so far.
    `earlier` holds draws of the same sites, shape (draw, ...), from a posterior much like this one: chains then start
    at some of them with their covariance as mass matrix, and all of the warm-up goes to the step size.
    """
    chains, warmup, draws, target_accept, max_tree_depth = settings
    half = warmup // 2 if earlier is None else warmup
    law = likelihood.law.name  # chains of two laws with one seed would move together, and so would their draws
    programs = _programs(likelihood.bare, half, target_accept, max_tree_depth)
    stretch = _Stretch(programs, design, _Follow(report, chains * (warmup + draws) // CHUNK))

    if earlier is None:
        places, mass = _first_places(programs, design, likelihood.scale_sites, chains, generator(seed, law, "start"))
        z, _ = stretch.run(jax_key(seed, law, "warm-up"), places, mass, discarded=0, kept=half)
        flat = np.concatenate([leaf.reshape(chains, half, -1) for leaf in jax.tree.leaves(z)], axis=2)
        mass = _shrunk(flat[:, half // 3 :].reshape(-1, flat.shape[2]), mass)
        last = flat[:, -1]
    else:
        leaves = jax.tree.leaves(programs.unconstrain(design, earlier))
        flat = np.concatenate([np.asarray(leaf).reshape(len(leaf), -1) for leaf in leaves], axis=1)
        mass, last = np.cov(flat, rowvar=False), flat[:: len(flat) // chains][:chains]
    _, unravel = ravel_pytree(programs.centre(design, {}))
    places = [unravel(place) for place in last]
    z, stats = stretch.run(jax_key(seed, law, "chains"), places, mass, discarded=half, kept=draws)
    return jax.tree.map(np.asarray, programs.constrain(z, design)), stats


def _shrunk(places: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """Covariance of places, drawn towards another as if that had been seen in as many places as it has dimensions.

    With many tasks a warm-up has fewer draws than dimensions, and their own covariance is singular.
    """
    count, dimensions = places.shape
    return (count * np.cov(places, rowvar=False) + dimensions * towards) / (count + dimensions)


def _first_places(
    programs: Programs, design: Design, held: frozenset[str], chains: int, rng: np.random.Generator
) -> tuple[list[Sites], np.ndarray]:
    """A place for each chain, drawn from a Laplace approximation, and the covariance of that."""
    mode, covariance, unravel = _laplace(programs, design, held)
    scatter = rng.standard_normal((chains, len(mode)))
    return [unravel(place) for place in mode + scatter @ np.linalg.cholesky(covariance).T], covariance


def _laplace(programs: Programs, design: Design, held: frozenset[str]) -> tuple[np.ndarray, np.ndarray, Callable]:
    """Mode and covariance of the unconstrained posterior with the scales of deviations held at their prior means.

    Free, they would shrink towards zero with what they scale: a mode without mass. Each keeps a standard deviation
    of one half, about that of its prior.
    """
    centre = programs.centre(design, {})
    start, unravel = ravel_pytree(centre)
    fixed = np.asarray(ravel_pytree({n: np.full(np.shape(z), n in held) for n, z in centre.items()})[0], bool)
    free = np.flatnonzero(~fixed)
    point = np.array(start)

    def energy(z: np.ndarray) -> tuple[float, np.ndarray]:
        full = point.copy()
        full[free] = z
        value, gradient = programs.gradient(full, design)
        return float(value), np.asarray(gradient)[free]

    with threadpool_limits(1):  # matrices this small only make the linear algebra's threads wait for each other
        found = scipy.optimize.minimize(energy, point[free], jac=True, method="L-BFGS-B", options={"maxiter": 2000})
    step = 1e-4
    shifts = step * np.eye(len(free))
    hessian = np.array([(energy(found.x + d)[1] - energy(found.x - d)[1]) / (2 * step) for d in shifts])
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    covariance = np.diag(np.where(fixed, 0.25, 0.0))
    # A direction that the mode leaves flat is taken to be as wide as a unit prior.
    covariance[np.ix_(free, free)] = (vectors / np.maximum(values, 1.0)) @ vectors.T
    point[free] = found.x
    return point, covariance, unravel


class _Stretch:
    """Runs all chains for some iterations with one mass matrix."""

    def __init__(self, programs: Programs, design: Design, follow: "_Follow") -> None:
        self._programs, self._design, self._follow = programs, design, follow

    def run(
        self, key: jax.Array, places: list[Sites], mass: np.ndarray, *, discarded: int, kept: int
    ) -> tuple[Any, Any]:
        """Places and statistics of the kept iterations, each of shape (chain, iteration, ...)."""
        keys = jax.random.split(key, len(places))
        states = [self._programs.start(k, self._design, z, mass) for k, z in zip(keys, places, strict=True)]
        # Compiled once, before the threads ask for it.
        jax.block_until_ready(self._programs.advance(states[0], self._design))

        def chain(state: Any) -> Any:
            out = []
            with jax.enable_x64(True):  # the scope is a thread's own
                for chunk in range((discarded + kept) // CHUNK):
                    state, drawn = self._programs.advance(state, self._design)
                    counts = discarded and chunk >= discarded // CHUNK
                    self._follow(int(np.sum(drawn[1]["diverging"])) if counts else 0)
                    out.append(drawn)
            return jax.tree.map(lambda *parts: np.concatenate(parts), *out[discarded // CHUNK :])

        with ThreadPoolExecutor(min(len(states), os.cpu_count() or 1)) as pool:
            parts = list(pool.map(chain, states))
        return jax.tree.map(lambda *chains: np.stack(chains), *parts)


class _Follow:
    """Counts finished chunks and divergences over threads, and reports them."""

    def __init__(self, report: Report, chunks: int) -> None:
        self._report, self._chunks = report, chunks
        self._done, self._divergences, self._lock = 0, 0, threading.Lock()

    def __call__(self, divergences: int) -> None:
        with self._lock:
            self._done += 1
            self._divergences += divergences
            self._report(self._done / self._chunks, self._divergences)
