"""Named streams of random numbers: from one seed, as many independent ones as there are names."""

import zlib

import jax
import numpy as np

from hyperlaw.quote import quote


def check_seed(seed: object, needed_for: str = "") -> int:
    """The seed.

    Raises
    ------
    TypeError
        When it is no integer of 0 or more.
    """
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise TypeError(f"{needed_for}seed must be an integer of 0 or more, received {quote(seed)}.")
    return seed


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """NumPy generator of one stream: equal seeds and names give equal numbers, other names independent ones."""
    return np.random.default_rng(_entropy(seed, names))


def jax_key(seed: int, *names: str | int) -> jax.Array:
    """JAX key of one stream, as `generator`."""
    return jax.random.key(int(np.random.SeedSequence(_entropy(seed, names)).generate_state(1)[0]))


def _entropy(seed: int, names: tuple[str | int, ...]) -> list[int]:
    # How many there are comes first: NumPy takes what is left out for zeros, which may be a name too.
    return [seed, len(names), *(name if isinstance(name, int) else zlib.crc32(name.encode()) for name in names)]
