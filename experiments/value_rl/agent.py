"""The agent: a double deep Q-network (arXiv 1509.06461) with a slowly following target network."""

import jax
import jax.numpy as jnp
import optax

WIDTH = 32
DISCOUNT = 0.99
FOLLOW = 0.01

Weights = list[tuple[jax.Array, jax.Array]]
Agent = tuple[Weights, Weights, optax.OptState]

_adam = optax.scale_by_adam()


def init(key: jax.Array, entries: int, actions: int, width: int = WIDTH) -> Agent:
    """Weights, target weights equal to them, and the state of Adam; values begin at zero."""
    sizes = [(entries, width), (width, width), (width, actions)]
    gains = [2.0, 2.0, 0.0]
    weights = [
        (jax.random.normal(k, size) * jnp.sqrt(gain / size[0]), jnp.zeros(size[1]))
        for k, size, gain in zip(jax.random.split(key, 3), sizes, gains, strict=True)
    ]
    return weights, weights, _adam.init(weights)


def values(weights: Weights, observations: jax.Array) -> jax.Array:
    """Value of each action, shape (..., action)."""
    x = observations
    for w, b in weights[:-1]:
        x = jax.nn.relu(x @ w + b)
    w, b = weights[-1]
    return x @ w + b


def wanted(weights: Weights, target: Weights, batch: dict[str, jax.Array]) -> jax.Array:
    """What the values of a batch are drawn to: reward and, by the target network, the value of what follows."""
    best = jnp.argmax(values(weights, batch["after"]), -1)
    following = jnp.take_along_axis(values(target, batch["after"]), best[:, None], -1)[:, 0]
    return batch["reward"] + DISCOUNT * jnp.where(batch["ended"], 0.0, following)


def td_error(weights: Weights, aim: jax.Array, batch: dict[str, jax.Array]) -> jax.Array:
    """Mean squared error of the values of a batch against what they are drawn to."""
    taken = jnp.take_along_axis(values(weights, batch["before"]), batch["action"][:, None], -1)[:, 0]
    return jnp.mean((taken - aim) ** 2)


def update(agent: Agent, rate: jax.Array, batch: dict[str, jax.Array]) -> Agent:
    """One step of Adam on the squared error of the values of a batch, and one of the target network."""
    weights, target, state = agent
    change, state = _adam.update(jax.grad(td_error)(weights, wanted(weights, target, batch), batch), state)
    weights = jax.tree.map(lambda w, c: w - rate * c, weights, change)
    target = jax.tree.map(lambda t, w: t + FOLLOW * (w - t), target, weights)
    return weights, target, state
