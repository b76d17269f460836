"""`Programs`: the compiled functions with which the sampler moves over a model's posterior.

Compiling costs more seconds than sampling, so there are few of them, each is compiled once for tables of one shape,
and what differs between fits (data, priors, how long to warm up, how careful to be) is an argument. A place is one
vector: NUTS handles a vector several times faster than a dictionary of sites.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.distributions.transforms import ExpTransform
from numpyro.infer import NUTS, init_to_mean
from numpyro.infer.util import ParamInfo, constrain_fn, potential_energy

from hyperlaw.inference.space import Sites, Space, seen
from hyperlaw.models.likelihoods.base import Arrays, Design, Likelihood
from hyperlaw.models.pooling import task_supports

CHUNK = 50
LONGEST_WARMUP = 10_000
SHALLOW = 6  # depth of trees in warm-up: deep ones teach little before the mass is known
STATS = {
    "diverging": "diverging",
    "energy": "energy",
    "num_steps": "n_steps",
    "accept_prob": "acceptance_rate",
    "potential_energy": "lp",
}


class Programs:
    """Compiled functions of one model; data and priors are arguments, so that tables of one shape share them.

    A place `z` is the vector of all unconstrained sites in the sampler's coordinates: shifted (`Likelihood.shifts`),
    and members of populations in those of a space (`hyperlaw.inference.space`) around their shifted centre.
    """

    def __init__(self, likelihood: Likelihood, max_tree_depth: int) -> None:
        self._likelihood, self._max_tree_depth = likelihood, max_tree_depth
        self._shapes: dict[Any, Sites] = {}
        self.centre = jax.jit(self._centre)
        self.gradient = jax.jit(jax.value_and_grad(self._energy), static_argnums=2)
        self.unconstrain = jax.jit(jax.vmap(self._centre, (None, 0)))
        self.begin, self.advance = jax.jit(self._begin), jax.jit(self._advance)
        self._constrain_some = jax.jit(jax.vmap(jax.vmap(self._constrain, (0, None)), (0, None)))

    def constrain(self, z: np.ndarray, space: Space) -> tuple[Arrays, Arrays]:
        """Values of every site, deterministic ones too, at places of shape (chain, draw, dimension).

        And what the law says beyond the table (`Likelihood.beyond`).
        """
        starts = range(0, z.shape[1], CHUNK)  # however many draws there are, they share a program
        parts = [jax.device_get(self._constrain_some(z[:, start : start + CHUNK], space)) for start in starts]
        return jax.tree.map(lambda *some: np.concatenate(some, axis=1), *parts)

    def dimensions(self, design: Design) -> int:
        """Length of a place."""
        return sum(site.size for site in self._zeros(design).values())

    def unravel(self, design: Design) -> Callable[[Any], Sites]:
        """From a place to its sites."""
        return ravel_pytree(self._zeros(design))[1]

    def _zeros(self, design: Design) -> Sites:
        """Zeros for every site of a place.

        Asked of the model once for tables of one shape: that runs it through NumPyro, whose handlers all threads share.
        """
        shapes = tuple(np.shape(leaf) for leaf in jax.tree.leaves(design))
        if shapes not in self._shapes:
            known = jax.eval_shape(self._latent, design, {})
            self._shapes[shapes] = {name: np.zeros(site.shape) for name, site in known.items()}
        return self._shapes[shapes]

    def as_sampled(self, design: Design) -> Space:
        """The space in which members are sampled as they are."""
        zeros = self._zeros(design)
        return seen(design, zeros, zeros, self._members(design))

    def seen(self, design: Design, place: np.ndarray, variances: np.ndarray) -> Space:
        """The space for members of these variances, a vector as a place, around the standard deviations at a place."""
        unravel = self.unravel(design)
        return seen(design, unravel(place), unravel(variances), self._members(design))

    def _members(self, design: Design) -> dict[str, str]:
        """Members of populations whose standard deviation has its log as site: not one with a prior bounded above."""
        return {
            name: sd
            for name, sd in self._likelihood.members.items()
            if sd not in design.priors or isinstance(biject_to(design.priors[sd].support), ExpTransform)
        }

    def _values(self, design: Design, sites: Sites) -> Sites:
        """Values of what has priors, and of each task's, from unconstrained sites."""
        model = self._likelihood
        supports = {name: prior.support for name, prior in design.priors.items()}
        supports |= task_supports(model.parameter_list, design.priors, separate=model.separate)
        return {name: biject_to(support)(sites[name]) for name, support in supports.items() if name in sites}

    def _latent(self, design: Design, known: Sites) -> Sites:
        """Unconstrained, shifted values of sites that are known; of those that are not, their prior means.

        Members are as they are.
        """

        def value(site: Any) -> Any:
            return known[site["name"]] if site["name"] in known else init_to_mean(site)

        at_mean = handlers.substitute(handlers.seed(self._likelihood.model, 0), substitute_fn=value)
        trace = handlers.trace(at_mean).get_trace(design)
        latent = {n: s for n, s in trace.items() if s["type"] == "sample" and not s["is_observed"]}
        sites = {name: biject_to(site["fn"].support).inv(site["value"]) for name, site in latent.items()}
        values = self._values(design, sites)
        for shift in self._likelihood.shifts:
            sites |= {name: sites[name] + by for name, by in shift(values, design).items() if name in sites}
        return sites

    def _centre(self, design: Design, known: Sites) -> jax.Array:
        """The place of known values of sites; of sites that are not known, of their prior means."""
        return ravel_pytree(self._latent(design, known))[0]

    def _sites(self, z: jax.Array, space: Space) -> tuple[Sites, jax.Array]:
        """Unconstrained sites at a place, and the log of their volume to its own."""
        design, sites = space.design, self.unravel(space.design)(z)
        centres = self._likelihood.centres(self._values(design, sites), design)
        logs, log_volume = space.log_stretch(sites, self._likelihood.members), jnp.asarray(0.0)
        for name, log in logs.items():
            centre = centres.get(name, 0.0)
            sites[name] = centre + (sites[name] - centre) * jnp.exp(log)
            log_volume += log.sum()
        for shift in self._likelihood.shifts:
            by = shift(self._values(design, sites), design)
            sites |= {name: sites[name] - by[name] for name in by if name in sites}
        return sites, log_volume

    def _potential(self, z: jax.Array, space: Space) -> jax.Array:
        """Minus log posterior density."""
        sites, log_volume = self._sites(z, space)
        return potential_energy(self._likelihood.model, (space.design,), {}, sites) - log_volume

    def _energy(self, z: jax.Array, arrays: list[jax.Array], structure: Any) -> jax.Array:
        """The same of a space that was taken apart."""
        return self._potential(z, jax.tree.unflatten(structure, arrays))

    def _kernel(self, key: jax.Array, place: ParamInfo, potential: Callable, target_accept: Any, mass: Any) -> Any:
        """NUTS with one mass matrix, and a chain's state at a place."""
        depth = self._max_tree_depth
        nuts = NUTS(
            potential_fn=potential,
            dense_mass=True,
            inverse_mass_matrix=mass,
            adapt_mass_matrix=False,
            target_accept_prob=target_accept,
            max_tree_depth=(min(SHALLOW, depth), depth),
        )
        return nuts, nuts.init(key, LONGEST_WARMUP, place, model_args=(), model_kwargs={})

    def _begin(self, key: jax.Array, place: ParamInfo, mass: jax.Array, warmup: jax.Array) -> Any:
        """A chain's state at a place, for a warm-up of so many iterations."""
        _, state = self._kernel(key, place, lambda _: 0.0, 0.0, mass)  # the place holds its potential
        return state._replace(i=LONGEST_WARMUP - warmup)  # so that every length shares one program

    def _advance(self, state: Any, space: Space, target_accept: jax.Array) -> tuple[Any, Any]:
        """The state after a chunk of iterations, with the places and statistics on the way."""
        # A kernel is made ready by `init`; the state that it returns here is unused and compiled away.
        place = ParamInfo(state.z, state.potential_energy, state.z_grad)
        nuts, _ = self._kernel(jax.random.key(0), place, lambda z: self._potential(z, space), target_accept, None)

        def step(state: Any, _: None) -> tuple[Any, Any]:
            state = nuts.sample(state, (), {})
            stats = {ours: getattr(state, theirs) for theirs, ours in STATS.items()}
            stats["lp"] += self._sites(state.z, space)[1]  # the density of sites, whatever the space
            return state, (state.z, stats)

        return jax.lax.scan(step, state, None, length=CHUNK)

    def _constrain(self, z: jax.Array, space: Space) -> tuple[Sites, Sites]:
        sites, _ = self._sites(z, space)
        values = constrain_fn(self._likelihood.model, (space.design,), {}, sites, return_deterministic=True)
        return values, self._likelihood.beyond(values, space.design)


programs_of = functools.lru_cache(maxsize=32)(Programs)
