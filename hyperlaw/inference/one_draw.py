"""`one_draw`: every site of a model, drawn from its prior, as a program that compiles fast.

A random generator compiled for each of some fifty sites is most of what a first fit costs. Here one serves all normal
and log-normal sites, which are nearly all. Gammas and betas, which JAX draws by rejection, NumPy draws beforehand.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.primitives import Messenger

from hyperlaw.models.likelihoods.cell_deviations import SharedNormal


def one_draw(model: Callable, key: jax.Array, *args: Any) -> dict[str, jax.Array]:
    """Values of all sample and deterministic sites of `model(*args)`, none of them observed."""
    first, second = jax.random.split(key)
    counting = _Noise(model, None)
    handlers.trace(handlers.seed(counting, second)).get_trace(*args)  # its values are unused and compiled away
    # Behind a barrier: the compiler would write the generator out anew for each site that takes of it.
    noise = jax.lax.optimization_barrier(jax.random.normal(first, (counting.used,)))
    trace = handlers.trace(handlers.seed(_Noise(model, noise), second)).get_trace(*args)
    return {name: site["value"] for name, site in trace.items() if site["type"] in ("sample", "deterministic")}


def drawn_beforehand(
    priors: Mapping[str, dist.Distribution], rng: np.random.Generator, draws: int
) -> dict[str, np.ndarray]:
    """Draws of the parameters with gamma and beta priors, by name: what is known to `one_draw` by `substitute`."""
    drawn = {}
    for name, prior in priors.items():
        if type(prior) is dist.Gamma:
            drawn[name] = rng.gamma(prior.concentration, 1 / np.asarray(prior.rate), draws)
        if type(prior) is dist.Beta:
            drawn[name] = rng.beta(prior.concentration1, prior.concentration0, draws)
    return drawn


class _Noise(Messenger):
    """Makes normal and log-normal sites from standard normals; without them it counts how many are needed."""

    def __init__(self, fn: Callable, noise: jax.Array | None) -> None:
        super().__init__(fn)
        self._noise, self.used = noise, 0

    def process_message(self, msg: dict[str, Any]) -> None:
        """Give a site its value, and spare it a key."""
        if msg["type"] != "sample" or msg["is_observed"]:
            return
        shape, base = msg["fn"].shape(), msg["fn"]
        while isinstance(base, dist.ExpandedDistribution):
            base = base.base_dist
        if type(base) not in (dist.Normal, dist.LogNormal, SharedNormal):
            return
        count = int(np.prod(shape))
        own = jnp.zeros(count) if self._noise is None else self._noise[self.used : self.used + count]
        self.used += count
        standard = own.reshape(shape)
        value = base.placed(standard) if type(base) is SharedNormal else base.loc + base.scale * standard
        msg["value"] = jnp.exp(value) if type(base) is dist.LogNormal else value
        msg["kwargs"]["rng_key"] = jax.random.key(0)  # unused: without one the seed would split its own
