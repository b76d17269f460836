"""NUTS on a law's model: preconditioned, one compiled program, one thread a chain.

Parameters differ in scale by a factor of a thousand (floors in millinats beside exponents), which makes the usual
warm-up from a unit mass matrix most of the cost. Here the mass matrix is learned in two steps instead: a Laplace
approximation with the scales of scatter held at their prior means, so that it cannot fall into a funnel; then the
covariance of a first, discarded stretch of all chains together. After each step only the step size is adapted.
A matrix straightens no curved ridge: a law may say which sites to shift by functions of others (`Law.shifts`), and the
sampler moves in the shifted coordinates. A shift keeps volumes, so the posterior is the same.

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

from hyperlaw.models.law import Law
from hyperlaw.models.meet import AnyDesign
from hyperlaw.models.prior import support

CHUNK = 50
STATS = {
    "diverging": "diverging",
    "energy": "energy",
    "num_steps": "n_steps",
    "accept_prob": "acceptance_rate",
    "potential_energy": "lp",
}


class Settings(NamedTuple):
    """How long and how carefully to sample; `warmup` and `draws` are those of each chain."""

    chains: int
    warmup: int
    draws: int
    target_accept: float
    max_tree_depth: int


class _Programs:
    """Compiled functions of one law; the data are arguments, so that tables of one shape share them."""

    def __init__(self, law: Law, adapted: int, target_accept: float, max_tree_depth: int) -> None:
        def shifted(design: AnyDesign, z: Any, sign: int) -> Any:
            values = {p.name: biject_to(support(p.prior))(z[p.name]) for p in law.parameter_list if p.name in z}
            shifts = law.shifts(values, design)
            return {name: value + sign * shifts.get(name, 0.0) for name, value in z.items()}

        def potential(z: Any, design: AnyDesign) -> jax.Array:
            return potential_energy(law.model, (design,), {}, shifted(design, z, -1))

        def kernel(design: AnyDesign, key: jax.Array, z: Any, mass: jax.Array | None) -> tuple[NUTS, Any]:
            nuts = NUTS(
                potential_fn=lambda place: potential(place, design),
                dense_mass=True,
                inverse_mass_matrix=mass,
                adapt_mass_matrix=False,
                target_accept_prob=target_accept,
                max_tree_depth=(min(7, max_tree_depth), max_tree_depth),  # trees teach little before the mass is known
            )
            return nuts, nuts.init(key, adapted, z, model_args=(), model_kwargs={})

        def centre(design: AnyDesign, known: Any) -> dict[str, jax.Array]:
            def value(site: Any) -> Any:
                return known[site["name"]] if site["name"] in known else init_to_mean(site)

            at_mean = handlers.substitute(handlers.seed(law.model, 0), substitute_fn=value)
            trace = handlers.trace(at_mean).get_trace(design)
            latent = {n: s for n, s in trace.items() if s["type"] == "sample" and not s["is_observed"]}
            return shifted(design, {n: biject_to(s["fn"].support).inv(s["value"]) for n, s in latent.items()}, 1)

        def energy(flat: jax.Array, design: AnyDesign) -> jax.Array:
            _, unravel = ravel_pytree(centre(design, {}))  # for its structure alone
            return potential(unravel(flat), design)

        def start(key: jax.Array, design: AnyDesign, z: Any, mass: jax.Array) -> Any:
            return kernel(design, key, z, mass)[1]

        def advance(state: Any, design: AnyDesign) -> tuple[Any, Any]:
            # A kernel is made ready by `init`; the state that it returns here is unused and compiled away.
            nuts, _ = kernel(design, jax.random.key(0), state.z, None)

            def step(state: Any, _: None) -> tuple[Any, Any]:
                state = nuts.sample(state, (), {})
                return state, (state.z, {ours: getattr(state, theirs) for theirs, ours in STATS.items()})

            return jax.lax.scan(step, state, None, length=CHUNK)

        def constrain(z: Any, design: AnyDesign) -> Any:
            return constrain_fn(law.model, (design,), {}, shifted(design, z, -1), return_deterministic=True)

        self.centre, self.gradient = jax.jit(centre), jax.jit(jax.value_and_grad(energy))
        self.unconstrain = jax.jit(jax.vmap(centre, (None, 0)))
        self.start, self.advance = jax.jit(start), jax.jit(advance)
        self.constrain = jax.jit(jax.vmap(jax.vmap(constrain, (0, None)), (0, None)))


_programs = functools.lru_cache(maxsize=32)(_Programs)


def sample(
    law: Law,
    design: AnyDesign,
    *,
    seed: int,
    settings: Settings,
    report: Callable[[float, int], None],
    earlier: dict[str, np.ndarray] | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Posterior draws of every site and sampler statistics, each of shape (chain, draw, ...).

    Must be called inside `jax.enable_x64(True)`. `report` is told the share done and the divergences so far.
    `earlier` holds draws of the same sites, shape (draw, ...), from a posterior much like this one: chains then start
    at some of them with their covariance as mass matrix, and all of the warm-up goes to the step size.
    """
    chains, warmup, draws, target_accept, max_tree_depth = settings
    half = warmup // 2 if earlier is None else warmup
    programs = _programs(law, half, target_accept, max_tree_depth)
    follow = _Follow(report, chains * (warmup + draws) // CHUNK)
    keys = jax.random.split(jax.random.key(seed), 2 * chains)

    if earlier is not None:
        _, unravel = ravel_pytree(programs.centre(design, {}))
        leaves = jax.tree.leaves(programs.unconstrain(design, earlier))
        flat = np.concatenate([np.asarray(leaf).reshape(len(leaf), -1) for leaf in leaves], axis=1)
        places = [unravel(place) for place in flat[:: len(flat) // chains][:chains]]
        z, stats = _stretch(programs, design, keys[:chains], places, np.cov(flat, rowvar=False), (half, draws), follow)
        return jax.tree.map(np.asarray, programs.constrain(z, design)), stats
    mode, covariance, unravel = _laplace(programs, design)
    scatter = np.random.default_rng(seed).standard_normal((chains, len(mode)))
    places = [unravel(place) for place in mode + scatter @ np.linalg.cholesky(covariance).T]
    z, _ = _stretch(programs, design, keys[:chains], places, covariance, (0, half), follow)
    flat = np.concatenate([leaf.reshape(chains, half, -1) for leaf in jax.tree.leaves(z)], axis=2)
    covariance = np.cov(flat[:, half // 3 :].reshape(-1, len(mode)), rowvar=False)
    places = [unravel(place) for place in flat[:, -1]]
    z, stats = _stretch(programs, design, keys[chains:], places, covariance, (half, draws), follow)
    return jax.tree.map(np.asarray, programs.constrain(z, design)), stats


def _laplace(programs: _Programs, design: AnyDesign) -> tuple[np.ndarray, np.ndarray, Callable]:
    """Mode and covariance of the unconstrained posterior with all spreads and scatters held at their prior means.

    Free, they would shrink towards zero with what they scale: a mode without mass. Each keeps a standard deviation
    of one half, about that of its prior.
    """
    centre = programs.centre(design, {})
    start, unravel = ravel_pytree(centre)
    scales = {n: np.full(np.shape(z), "spread" in n or "scatter" in n) for n, z in centre.items()}
    held = np.asarray(ravel_pytree(scales)[0], bool)
    free = np.flatnonzero(~held)
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
    covariance = np.diag(np.where(held, 0.25, 0.0))
    # A direction that the mode leaves flat is taken to be as wide as a unit prior.
    covariance[np.ix_(free, free)] = (vectors / np.maximum(values, 1.0)) @ vectors.T
    point[free] = found.x
    return point, covariance, unravel


def _stretch(
    programs: _Programs,
    design: AnyDesign,
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
