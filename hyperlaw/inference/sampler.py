"""NUTS on a law's model: preconditioned, one compiled program, one thread a chain.

Parameters differ in scale by a factor of a thousand (floors in millinats beside exponents), which makes the usual
warm-up from a unit mass matrix most of the cost. Here the mass matrix is learned in two steps instead: a Laplace
approximation with the scales of scatter held at their prior means, so that it cannot fall into a funnel; then the
covariance of a first, discarded stretch of all chains together. After each step only the step size is adapted.

On CPU a batch of chains under `vmap` takes as long as the chains one after the other (every chain waits
for the longest tree), so chains run beside each other in threads; XLA releases Python's lock.
"""

import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
import scipy.optimize
from jax.flatten_util import ravel_pytree
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.infer import NUTS, init_to_mean
from numpyro.infer.util import constrain_fn, potential_energy

from hyperlaw.models.design import Design
from hyperlaw.models.law import Law

CHUNK = 50
STATS = {
    "diverging": "diverging",
    "energy": "energy",
    "num_steps": "n_steps",
    "accept_prob": "acceptance_rate",
    "potential_energy": "lp",
}


class _Programs:
    """Compiled functions of one law; the data are arguments, so that tables of one shape share them."""

    def __init__(self, law: Law, adapted: int, target_accept: float, max_tree_depth: int) -> None:
        def kernel(design: Design, key: jax.Array, z: Any, mass: jax.Array | None) -> tuple[NUTS, Any]:
            nuts = NUTS(
                law.model,
                dense_mass=True,
                inverse_mass_matrix=mass,
                adapt_mass_matrix=False,
                target_accept_prob=target_accept,
                max_tree_depth=(min(7, max_tree_depth), max_tree_depth),  # trees teach little before the mass is known
            )
            return nuts, nuts.init(key, adapted, z, model_args=(design,), model_kwargs={})

        def centre(design: Design) -> dict[str, jax.Array]:
            at_mean = handlers.substitute(handlers.seed(law.model, 0), substitute_fn=init_to_mean)
            trace = handlers.trace(at_mean).get_trace(design)
            latent = {n: s for n, s in trace.items() if s["type"] == "sample" and not s["is_observed"]}
            return {n: biject_to(s["fn"].support).inv(s["value"]) for n, s in latent.items()}

        def energy(z: Any, design: Design) -> jax.Array:
            return potential_energy(law.model, (design,), {}, z)

        def start(key: jax.Array, design: Design, z: Any, mass: jax.Array) -> Any:
            return kernel(design, key, z, mass)[1]

        def advance(state: Any, design: Design) -> tuple[Any, Any]:
            # A kernel learns its model in `init`; the state that it returns here is unused and compiled away.
            nuts, _ = kernel(design, jax.random.key(0), state.z, None)

            def step(state: Any, _: None) -> tuple[Any, Any]:
                state = nuts.sample(state, (design,), {})
                return state, (state.z, {ours: getattr(state, theirs) for theirs, ours in STATS.items()})

            return jax.lax.scan(step, state, None, length=CHUNK)

        def constrain(z: Any, design: Design) -> Any:
            return constrain_fn(law.model, (design,), {}, z, return_deterministic=True)

        self.centre, self.gradient = jax.jit(centre), jax.jit(jax.value_and_grad(energy))
        self.start, self.advance = jax.jit(start), jax.jit(advance)
        self.constrain = jax.jit(jax.vmap(jax.vmap(constrain, (0, None)), (0, None)))


_programs = functools.lru_cache(maxsize=32)(_Programs)


def sample(
    law: Law,
    design: Design,
    *,
    seed: int,
    chains: int,
    warmup: int,
    draws: int,
    target_accept: float,
    max_tree_depth: int,
    report: Callable[[float, int], None],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Posterior draws of every site and sampler statistics, each of shape (chain, draw, ...).

    Must be called inside `jax.enable_x64(True)`. `report` is told the share done and the divergences so far.
    """
    half = warmup // 2
    programs = _programs(law, half, target_accept, max_tree_depth)
    follow = _Follow(report, chains * (warmup + draws) // CHUNK)
    keys = jax.random.split(jax.random.key(seed), 2 * chains)

    mode, covariance, unravel = _laplace(programs, design)
    scatter = np.random.default_rng(seed).standard_normal((chains, len(mode)))
    places = [unravel(place) for place in mode + scatter @ np.linalg.cholesky(covariance).T]
    z, _ = _stretch(programs, design, keys[:chains], places, covariance, (0, half), follow)
    flat = np.concatenate([leaf.reshape(chains, half, -1) for leaf in jax.tree.leaves(z)], axis=2)
    covariance = np.cov(flat[:, half // 3 :].reshape(-1, len(mode)), rowvar=False)
    places = [unravel(place) for place in flat[:, -1]]
    z, stats = _stretch(programs, design, keys[chains:], places, covariance, (half, draws), follow)
    return jax.tree.map(np.asarray, programs.constrain(z, design)), stats


def _laplace(programs: _Programs, design: Design) -> tuple[np.ndarray, np.ndarray, Callable]:
    """Mode and covariance of the unconstrained posterior with all spreads held at their prior means.

    Each spread keeps a standard deviation of one half, about that of its prior.
    """
    centre = programs.centre(design)
    start, unravel = ravel_pytree(centre)
    held = np.asarray(ravel_pytree({n: np.full(np.shape(z), "spread" in n) for n, z in centre.items()})[0], bool)
    free = np.flatnonzero(~held)
    point = np.array(start)

    def energy(z: np.ndarray) -> tuple[float, np.ndarray]:
        full = point.copy()
        full[free] = z
        value, gradient = programs.gradient(unravel(full), design)
        return float(value), np.asarray(ravel_pytree(gradient)[0])[free]

    found = scipy.optimize.minimize(energy, point[free], jac=True, method="L-BFGS-B", options={"maxiter": 2000})
    step = 1e-4
    shifts = step * np.eye(len(free))
    hessian = np.array([(energy(found.x + d)[1] - energy(found.x - d)[1]) / (2 * step) for d in shifts])
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    covariance = np.diag(np.where(held, 0.25, 0.0))
    # A direction that the mode leaves flat is taken to be as wide as a unit prior.
    covariance[np.ix_(free, free)] = (vectors / np.maximum(values, 1.0)) @ vectors.T
    point[free] = found.x
    return point, covariance, unravel


def _stretch(
    programs: _Programs,
    design: Design,
    keys: jax.Array,
    places: list[Any],
    mass: np.ndarray,
    iterations: tuple[int, int],
    follow: "_Follow",
) -> tuple[Any, dict[str, np.ndarray]]:
    """Run every chain from its place with one mass matrix, for (discarded, kept) `iterations`."""
    discarded, kept = (n // CHUNK for n in iterations)
    states = [programs.start(key, design, z, mass) for key, z in zip(keys, places, strict=True)]
    jax.block_until_ready(programs.advance(states[0], design))  # compiles once, before the threads ask for it

    def chain(state: Any) -> Any:
        out = []
        with jax.enable_x64(True):  # the scope is a thread's own
            for chunk in range(discarded + kept):
                state, drawn = programs.advance(state, design)
                follow(int(np.sum(drawn[1]["diverging"])) if discarded and chunk >= discarded else 0)
                out.append(drawn)
        return jax.tree.map(lambda *parts: np.concatenate(parts), *out[discarded:])

    with ThreadPoolExecutor(min(len(states), os.cpu_count() or 1)) as pool:
        parts = list(pool.map(chain, states))
    return jax.tree.map(lambda *chains: np.stack(chains), *parts)


class _Follow:
    """Counts finished chunks and divergences over threads, and reports them."""

    def __init__(self, report: Callable[[float, int], None], chunks: int) -> None:
        self._report, self._chunks = report, chunks
        self._done, self._divergences, self._lock = 0, 0, threading.Lock()

    def __call__(self, divergences: int) -> None:
        with self._lock:
            self._done += 1
            self._divergences += divergences
            self._report(self._done / self._chunks, self._divergences)
