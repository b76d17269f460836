"""A small decoder-only transformer in the maximal-update parametrisation (muP).

Under muP (Tensor Programs V, arXiv 2203.03466, table 3) the best learning rate should not move with width. With Adam,
hidden and output matrices get their learning rate divided by width / BASE_WIDTH and embeddings keep theirs. With SGD,
whose step follows the size of the gradient, embeddings get it multiplied by that ratio, the output divided by it, and
hidden matrices keep theirs. Attention uses 1 / head size.
"""

import jax
import jax.numpy as jnp

LAYERS = 2
HEAD = 16
CONTEXT = 32
VOCABULARY = 256
BASE_WIDTH = 32

Params = dict[str, jax.Array]


def init(key: jax.Array, width: int) -> Params:
    """Draw the weights: unit-variance embeddings, 1/fan_in hidden matrices, zero output."""
    keys = iter(jax.random.split(key, 6))

    def hidden(rows: int, columns: int) -> jax.Array:
        return jax.random.normal(next(keys), (LAYERS, rows, columns)) / jnp.sqrt(rows)

    return {
        "token": jax.random.normal(next(keys), (VOCABULARY, width)) * 0.3,
        "position": jax.random.normal(next(keys), (CONTEXT, width)) * 0.3,
        "attention_in": hidden(width, 3 * width),
        "attention_out": hidden(width, width),
        "mlp_in": hidden(width, 4 * width),
        "mlp_out": hidden(4 * width, width),
        "output": jnp.zeros((width, VOCABULARY)),
    }


def learning_rate_scale(width: int, optimizer: str = "adam") -> dict[str, float]:
    """Factor on the base learning rate of each weight (muP)."""
    ratio = width / BASE_WIDTH
    embedding, hidden, output = (ratio, 1.0, 1 / ratio) if optimizer == "sgd" else (1.0, 1 / ratio, 1 / ratio)
    scale = dict.fromkeys(("attention_in", "attention_out", "mlp_in", "mlp_out"), hidden)
    return scale | {"token": embedding, "position": embedding, "output": output}


def hidden_params(width: int) -> int:
    """Weights of the hidden matrices: the `params` of the sweep (embeddings and output left out)."""
    return LAYERS * 12 * width**2


def _normalise(x: jax.Array) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6)


def _attend(x: jax.Array, w_in: jax.Array, w_out: jax.Array) -> jax.Array:
    batch, length, width = x.shape
    q, k, v = jnp.split((x @ w_in).reshape(batch, length, -1, HEAD), 3, axis=2)
    score = jnp.einsum("bqhd,bkhd->bhqk", q, k) / HEAD
    score = jnp.where(jnp.tril(jnp.ones((length, length), bool)), score, -1e9)
    mixed = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(score), v)
    return mixed.reshape(batch, length, width) @ w_out


def loss(params: Params, rows: jax.Array) -> jax.Array:
    """Mean cross-entropy in nats per byte. `rows`: integers of shape (batch, CONTEXT + 1)."""
    x = params["token"][rows[:, :-1]] + params["position"]
    for i in range(LAYERS):
        x = x + _attend(_normalise(x), params["attention_in"][i], params["attention_out"][i])
        x = x + jax.nn.gelu(_normalise(x) @ params["mlp_in"][i]) @ params["mlp_out"][i]
    logits = _normalise(x) @ params["output"]
    picked = jnp.take_along_axis(logits, rows[:, 1:, None], -1)[..., 0]
    return jnp.mean(jax.nn.logsumexp(logits, -1) - picked)
