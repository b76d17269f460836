"""What follows from a model, its table and its draws: densities, predictive draws, prior draws.

All of it can be made again from them and the seed, equal to the last bit on one machine. So a saved fit does not hold
it, and a loaded one makes it when it is first looked at.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr
from numpyro import handlers
from numpyro.infer import Predictive
from xarray.backends import BackendArray
from xarray.core import indexing

from hyperlaw.data.table import Table
from hyperlaw.inference.one_draw import drawn_beforehand, one_draw
from hyperlaw.models.likelihoods.base import Arrays, Design, Draws, Likelihood
from hyperlaw.streams import generator, jax_key

AT_ONCE = 50  # draws of each chain: however many there are, they share a program
PRIOR_DRAWS = 500


class _Programs(NamedTuple):
    """Compiled functions of a model; data, priors and draws are arguments."""

    densities: Callable
    predictive: Callable
    prior: Callable


@functools.lru_cache(maxsize=32)
def _programs(likelihood: Likelihood) -> _Programs:
    """Log densities of rows and of priors, predictive draws, prior draws; for a likelihood with default priors."""
    blank = handlers.uncondition(likelihood.model)

    def densities(sites: Any, design: Design) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
        trace = handlers.trace(handlers.substitute(likelihood.model, sites)).get_trace(design)

        def density(names: Any) -> dict[str, jax.Array]:
            return {name: trace[name]["fn"].log_prob(trace[name]["value"]) for name in names}

        outcomes = likelihood.outcome_densities(density(likelihood.measured(design)))
        return outcomes, density(likelihood.prior_sites(design))

    def predictive(key: jax.Array, sites: Any, design: Design) -> dict[str, jax.Array]:
        names = list(likelihood.measured(design))
        return Predictive(blank, sites, return_sites=names, parallel=True)(key, design)

    def prior(key: jax.Array, known: Any, design: Design) -> dict[str, jax.Array]:
        return one_draw(handlers.substitute(blank, known), key, design)

    return _Programs(
        jax.jit(jax.vmap(densities, (0, None))), jax.jit(predictive), jax.jit(jax.vmap(prior, (0, 0, None)))
    )


def densities(likelihood: Likelihood, design: Design, sites: Draws) -> tuple[Arrays, Arrays]:
    """Log densities of the outcome of every row, shape (chain, draw, row), and of every prior, (chain, draw)."""
    program = _programs(likelihood.bare).densities
    parts = [jax.tree.map(_by_chain(sites), program(_flat(some), design)) for some in _blocks(sites)]
    return jax.tree.map(lambda *blocks: np.concatenate(blocks, axis=1), *parts)


def predictive_draws(likelihood: Likelihood, design: Design, sites: Draws, *, seed: int) -> Arrays:
    """Outcome of every row, drawn anew in every draw of the posterior: shape (chain, draw, row)."""
    key = jax_key(seed, likelihood.law.name, "posterior predictive")
    program = _programs(likelihood.bare).predictive
    parts = [
        jax.tree.map(_by_chain(sites), program(jax.random.fold_in(key, block), _flat(some), design))
        for block, some in enumerate(_blocks(sites))
    ]
    return likelihood.outcomes(jax.tree.map(lambda *blocks: np.concatenate(blocks, axis=1), *parts))


def prior_draws(likelihood: Likelihood, design: Design, *, seed: int, draws: int) -> dict[str, jax.Array]:
    """Values of every site, measured ones too, drawn from the prior: each of shape (draw, ...)."""
    law = likelihood.law.name
    known = drawn_beforehand(design.priors, generator(seed, law, "prior, beforehand"), draws)
    keys = jax.random.split(jax_key(seed, law, "prior"), draws)
    return _programs(likelihood.bare).prior(keys, known, likelihood.to_simulate(design))


def prior_groups(
    likelihood: Likelihood, table: Table, design: Design, *, seed: int, draws: int
) -> tuple[Arrays, Arrays]:
    """Prior draws of every site, and of the outcome of every row, as one chain: shape (1, draw, ...)."""
    drawn = {n: np.asarray(v)[None] for n, v in prior_draws(likelihood, design, seed=seed, draws=draws).items()}
    measured = {name: drawn.pop(name) for name in likelihood.measured(design)}
    return drawn, of_rows(table, likelihood.outcomes(measured))


def of_rows(table: Table, values: Arrays) -> Arrays:
    """Values of the table's rows, the last axis, without what fills up the last block."""
    return {name: value[..., : len(table)] for name, value in values.items()}


def _blocks(sites: Draws) -> list[Arrays]:
    draws = next(iter(sites.values())).shape[1]
    return [{n: v[:, start : start + AT_ONCE] for n, v in sites.items()} for start in range(0, draws, AT_ONCE)]


def _flat(sites: Draws) -> Arrays:
    return {name: value.reshape(-1, *value.shape[2:]) for name, value in sites.items()}


def _by_chain(sites: Draws) -> Callable[[Any], np.ndarray]:
    chains = len(next(iter(sites.values())))
    return lambda value: np.asarray(value).reshape(chains, -1, *value.shape[1:])


class Derived:
    """Groups of a tree that follow from the draws of a posterior, computed when one of their variables is looked at.

    Parameters
    ----------
    likelihood, table
        What the posterior is of.
    sites
        Draws of every site, shape (chain, draw, ...).
    seed
        Of the fit.
    """

    def __init__(self, likelihood: Likelihood, table: Table, sites: Draws, seed: int) -> None:
        self._likelihood, self._table, self._sites, self._seed = likelihood, table, sites, seed

    def variable(self, group: str, name: str, dims: tuple[str, ...], shape: tuple[int, ...]) -> xr.Variable:
        """One variable of a group; nothing is computed yet."""
        return xr.Variable(dims, indexing.LazilyIndexedArray(_Later(self, group, name, shape)))

    def values(self, group: str, name: str) -> np.ndarray:
        """Values of that variable."""
        with jax.enable_x64(True):  # the scope is a thread's own
            return {
                "log_likelihood": lambda: self._densities[0],
                "log_prior": lambda: self._densities[1],
                "posterior_predictive": lambda: self._predicted,
                "prior": lambda: self._prior[0],
                "prior_predictive": lambda: self._prior[1],
            }[group]()[name]

    @functools.cached_property
    def _design(self) -> Design:
        return self._likelihood.design(self._table)

    @functools.cached_property
    def _densities(self) -> tuple[Arrays, Arrays]:
        rows, priors = densities(self._likelihood, self._design, self._sites)
        return of_rows(self._table, rows), priors

    @functools.cached_property
    def _predicted(self) -> Arrays:
        return of_rows(self._table, predictive_draws(self._likelihood, self._design, self._sites, seed=self._seed))

    @functools.cached_property
    def _prior(self) -> tuple[Arrays, Arrays]:
        return prior_groups(self._likelihood, self._table, self._design, seed=self._seed, draws=PRIOR_DRAWS)


class _Later(BackendArray):
    """An array of `Derived`, as xarray takes those of files that it has not read yet."""

    def __init__(self, derived: Derived, group: str, name: str, shape: tuple[int, ...]) -> None:
        self._derived, self._group, self._name = derived, group, name
        self.shape, self.dtype = shape, np.dtype(float)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        values = self._derived.values(self._group, self._name)
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, values.__getitem__)
