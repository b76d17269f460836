"""Train one (optimizer, width, batch size, seed) at many learning rates at once, reading every horizon on the way.

The learning rate is constant after warm-up, so one run serves every horizon. What is scored at a
horizon is the average of the weights over its last quarter: the noise of a constant learning rate
averages out, as a decay would have removed it.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd

from experiments.lm import model
from experiments.lm.corpus import Corpus

AVERAGED = 0.25
VALIDATION_ROWS = 1024
UNTRAINED_LOSS = float(np.log(model.VOCABULARY))

_adam = optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam(b1=0.9, b2=0.95, eps=1e-8))
OPTIMIZERS = {
    "adam": _adam,
    "adamw": optax.chain(_adam, optax.add_decayed_weights(0.1)),
    # Not clipped: pilot runs were stable without, and a clipped step no longer follows the size of the gradient.
    "sgd": optax.trace(decay=0.9),
}


def _step(optimizer: str, params: model.Params, state: optax.OptState, rate: jax.Array, rows: jax.Array):
    scale = model.learning_rate_scale(params["output"].shape[0], optimizer)
    gradient = jax.grad(model.loss)(params, rows)
    update, state = OPTIMIZERS[optimizer].update(gradient, state, params)
    return {name: params[name] - rate * scale[name] * update[name] for name in params}, state


@functools.partial(jax.jit, static_argnames=("batch_rows", "optimizer", "warmup"), donate_argnums=(0, 1))
def _advance(params, state, rates, text, first, last, batch_rows, optimizer, warmup):
    """Steps `first` to `last` of all learning rates; also the average of the weights on the way."""
    step = jax.vmap(functools.partial(_step, optimizer), (0, 0, 0, None))

    def body(i, carry):
        params, state, total = carry
        rows = jax.lax.dynamic_slice_in_dim(text, i * batch_rows, batch_rows).astype(jnp.int32)
        warm = jnp.minimum(1.0, (i + 1) * batch_rows * model.CONTEXT / warmup)
        params, state = step(params, state, rates * warm, rows)
        return params, state, jax.tree.map(jnp.add, total, params)

    zero = jax.tree.map(jnp.zeros_like, params)
    params, state, total = jax.lax.fori_loop(first, last, body, (params, state, zero))
    return params, state, jax.tree.map(lambda x: x / (last - first), total)


_score = jax.jit(jax.vmap(model.loss, (0, None)))


def train(
    corpus: Corpus,
    width: int,
    batch_size: int,
    learning_rates: list[float],
    horizons: list[int],
    seed: int,
    optimizer: str = "adam",
    warmup: int = 2**14,
) -> pd.DataFrame:
    """Losses of all `learning_rates` at all `horizons`.

    Parameters
    ----------
    corpus
        Text to train and validate on.
    width
        Model width, a multiple of the head size.
    batch_size
        Bytes a step, a multiple of the context.
    learning_rates
        Base learning rates (muP scales them by width).
    horizons
        Bytes seen at which to score, increasing; one row of the result per learning rate and horizon.
    seed
        Draws both the initial weights and the order of the text: runs with equal seeds see the same
        text in the same order, whatever their batch size.
    optimizer
        A key of `OPTIMIZERS`.
    warmup
        Bytes over which the learning rate rises to its value.

    Returns
    -------
    DataFrame
        Columns `width, params, batch_size, learning_rate, seed, data, steps, loss, diverged`. A run that
        ended non-finite or worse than an untrained model (ln 256 nats per byte) has diverged.
    """
    rates = jnp.asarray(learning_rates, jnp.float32)
    params = model.init(jax.random.key(seed), width)
    params = jax.tree.map(lambda x: jnp.repeat(x[None], len(rates), 0), params)
    state = jax.vmap(OPTIMIZERS[optimizer].init)(params)
    text = jnp.asarray(corpus.sequences(model.CONTEXT, seed))
    held_out = jnp.asarray(corpus.validation_sequences(model.CONTEXT, VALIDATION_ROWS)).astype(jnp.int32)
    if horizons[-1] > text.shape[0] * model.CONTEXT:
        raise ValueError(f"horizon {horizons[-1]} is longer than the text, {text.shape[0] * model.CONTEXT} bytes")

    tables, done = [], 0
    for horizon in horizons:
        for until in (round((1 - AVERAGED) * horizon / batch_size), horizon // batch_size):
            steps = {"first": done, "last": until, "batch_rows": batch_size // model.CONTEXT, "warmup": warmup}
            params, state, average = _advance(params, state, rates, text, optimizer=optimizer, **steps)
            done = until
        loss = np.asarray(_score(average, held_out), float)
        tables.append(
            pd.DataFrame(
                {
                    "width": width,
                    "params": model.hidden_params(width),
                    "batch_size": batch_size,
                    "learning_rate": learning_rates,
                    "seed": seed,
                    "data": horizon,
                    "steps": done,
                    "loss": loss,
                    "diverged": ~(loss < UNTRAINED_LOSS),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)
