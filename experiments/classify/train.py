"""Train one (optimizer, batch size) at many learning rates and seeds at once, reading the loss on the way.

The classifier is a network with one hidden layer. Its output weights start at zero, so that it starts at the loss of a
guess, ln 10 nats. The learning rate is constant and the loss is that of the whole training set: steps to a loss are
then a matter of optimization alone.
"""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd

from experiments.classify.digits import CLASSES, PIXELS, Digits

HIDDEN = 32
UNTRAINED_LOSS = float(np.log(CLASSES))
OPTIMIZERS = {"sgd": optax.identity(), "adam": optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8)}

Params = dict[str, jax.Array]


def init(key: jax.Array) -> Params:
    """Draw the weights: variance 1 / PIXELS in the hidden layer, all else zero."""
    return {
        "hidden": jax.random.normal(key, (PIXELS, HIDDEN)) / jnp.sqrt(PIXELS),
        "hidden_bias": jnp.zeros(HIDDEN),
        "output": jnp.zeros((HIDDEN, CLASSES)),
        "output_bias": jnp.zeros(CLASSES),
    }


def loss(params: Params, images: jax.Array, classes: jax.Array) -> jax.Array:
    """Mean cross-entropy in nats. `images`: shape (image, PIXELS); `classes`: shape (image,)."""
    hidden = jax.nn.relu(images @ params["hidden"] + params["hidden_bias"])
    logits = hidden @ params["output"] + params["output_bias"]
    picked = jnp.take_along_axis(logits, classes[:, None], -1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(logits, -1) - picked)


@functools.partial(jax.jit, static_argnames=("optimizer", "batch_size"), donate_argnums=(0, 1))
def _advance(params, state, rates, images, classes, order, first, last, optimizer, batch_size):
    """Steps `first` to `last` of all seeds (the first axis) and learning rates (the second)."""

    def one(params, state, rate, images, classes):
        gradient = jax.grad(loss)(params, images, classes)
        update, state = OPTIMIZERS[optimizer].update(gradient, state)
        return jax.tree.map(lambda weight, change: weight - rate * change, params, update), state

    step = jax.vmap(jax.vmap(one, (0, 0, 0, None, None)), (0, 0, None, 0, 0))

    def body(i, carry):
        rows = jax.lax.dynamic_slice_in_dim(order, i * batch_size, batch_size, axis=1)
        return step(*carry, rates, images[rows], classes[rows])

    return jax.lax.fori_loop(first, last, body, (params, state))


_score = jax.jit(jax.vmap(jax.vmap(loss, (0, None, None)), (0, None, None)))


def trained(
    digits: Digits, optimizer: str, batch_size: int, learning_rates: list[float], horizons: list[int], seeds: list[int]
) -> Iterator[Params]:
    """Weights at all `horizons`, with axes of seeds and learning rates before their own; arguments as of `train`.

    They are of use until the next ones are asked for, which take their place in memory.
    """
    uneven = [horizon for horizon in horizons if horizon % batch_size]
    if uneven:
        raise ValueError(f"horizons must be multiples of the batch size {batch_size}, received {uneven[0]}")
    rates = jnp.asarray(learning_rates, jnp.float32)
    params = jax.vmap(init)(jnp.stack([jax.random.key(seed) for seed in seeds]))
    params = jax.tree.map(lambda x: jnp.repeat(x[:, None], len(rates), 1), params)
    state = jax.vmap(jax.vmap(OPTIMIZERS[optimizer].init))(params)
    order = jnp.asarray(np.stack([digits.order(horizons[-1], seed) for seed in seeds]), jnp.int32)
    images, classes = jnp.asarray(digits.images), jnp.asarray(digits.classes)
    done = 0
    for horizon in horizons:
        until = horizon // batch_size
        params, state = _advance(params, state, rates, images, classes, order, done, until, optimizer, batch_size)
        yield params
        done = until


def train(
    digits: Digits, optimizer: str, batch_size: int, learning_rates: list[float], horizons: list[int], seeds: list[int]
) -> pd.DataFrame:
    """Training losses of all `learning_rates` and `seeds` at all `horizons`.

    Parameters
    ----------
    digits
        Images to train on.
    optimizer
        One of `OPTIMIZERS`.
    batch_size
        Images a step.
    learning_rates
        Constant learning rates.
    horizons
        Images seen at which to score, increasing multiples of `batch_size`; one row of the result per learning rate,
        seed and horizon.
    seeds
        Each draws both the initial weights and the order of the images: runs with equal seeds see the same images in
        the same order, whatever their batch size.

    Returns
    -------
    DataFrame
        Columns `optimizer, batch_size, learning_rate, seed, data, loss, diverged`. A run is marked as diverged where it
        is non-finite or worse than an untrained classifier (ln 10 nats).
    """
    images, classes = jnp.asarray(digits.images), jnp.asarray(digits.classes)
    weights = trained(digits, optimizer, batch_size, learning_rates, horizons, seeds)
    losses = [np.asarray(_score(params, images, classes), float) for params in weights]
    runs = pd.MultiIndex.from_product([horizons, seeds, learning_rates], names=["data", "seed", "learning_rate"])
    table = pd.DataFrame({"loss": np.ravel(losses)}, index=runs).reset_index()
    table = table.assign(optimizer=optimizer, batch_size=batch_size, diverged=~(table["loss"] < UNTRAINED_LOSS))
    table = table.sort_values(["learning_rate", "seed", "data"], ignore_index=True)
    return table[["optimizer", "batch_size", "learning_rate", "seed", "data", "loss", "diverged"]]
