"""Train one (environment, updates-to-data ratio, batch size) at many learning rates and seeds at once.

The ratio counts updates for each environment step: 0.25 is one update every four steps, 4 is four every step. The
first interval between logged points is random play without updates; it fills the replay buffer, which keeps all
that was seen. The share of random actions then falls in a line and stays at `EXPLORE`.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from experiments.value_rl import agent
from experiments.value_rl.tasks import Task

POINTS = 64
EPISODES = 16
PROBE = 1024  # transitions that a TD error is measured on
EXPLORE = 0.05
EXPLORE_FALLS = 0.25

Replay = dict[str, jax.Array]


def train(
    task: Task,
    utd: float,
    batch_size: int,
    learning_rates: list[float],
    seeds: list[int],
    points: int = POINTS,
    *,
    width: int = agent.WIDTH,
    validate: bool = False,
) -> pd.DataFrame:
    """Learning curves of all `learning_rates` and `seeds`.

    Parameters
    ----------
    task
        Environment, and how many steps of it.
    utd
        Updates for each environment step, a whole number, or one over a whole number.
    batch_size
        Transitions of an update.
    learning_rates
        Of Adam, constant.
    seeds
        Each draws the first weights, the play, the batches and the evaluation; equal seeds start alike.
    points
        Logged points of a run. More than `POINTS` make it longer, and the first of them are the same.
    width
        Of both hidden layers.
    validate
        Whether TD errors are logged. For that the same policy plays a second environment, whose transitions no update
        sees; what is trained does not change.

    Returns
    -------
    DataFrame
        Columns `task, utd, batch_size, learning_rate, seed, data, performance`: `points` evenly spaced rows a run,
        the mean undiscounted return of `EPISODES` episodes played without random actions. With `validate` also
        `td_error` and `td_error_validation`, mean squares on `PROBE` transitions of those seen and of those held out.
    """
    rates, names = (grid.ravel() for grid in np.meshgrid(learning_rates, seeds, indexing="ij"))
    keys = jax.vmap(jax.random.key)(jnp.asarray(names))
    plays, updates = max(1, round(1 / utd)), max(1, round(utd))
    interval = task.steps // POINTS
    if updates / plays != utd or interval % plays:
        raise ValueError(
            f"utd must be a whole number, or one over a whole number that divides the {interval} steps between "
            f"points; received {utd}."
        )
    logged = _curves(task, batch_size, points, plays, updates, width, validate, jnp.asarray(rates, jnp.float32), keys)
    return pd.DataFrame(
        {
            "task": task.name,
            "utd": utd,
            "batch_size": batch_size,
            "learning_rate": np.repeat(rates, points),
            "seed": np.repeat(names, points),
            "data": np.tile(interval * np.arange(1, points + 1), len(rates)),
            **{name: np.asarray(values).ravel() for name, values in logged.items()},
        }
    )


@functools.partial(jax.jit, static_argnames=("task", "batch_size", "points", "width", "validate"))
@functools.partial(jax.vmap, in_axes=(None, None, None, None, None, None, None, 0, 0))
def _curves(
    task: Task,
    batch_size: int,
    points: int,
    plays: int,
    updates: int,
    width: int,
    validate: bool,
    rate: jax.Array,
    key: jax.Array,
) -> dict[str, jax.Array]:
    """What a run logs at its points, each of shape (point,), of all runs at once."""
    interval = task.steps // POINTS
    blocks = interval // plays
    key_weights, key_state, key_play, key_update, key_score = jax.random.split(key, 5)
    key_held, key_probe = jax.random.split(jax.random.fold_in(key, 5))
    state = task.reset(key_state)
    learner = agent.init(key_weights, len(task.observe(state)), task.actions, width)

    def play(step: jax.Array, carry: Any) -> Any:
        learner, *seen = carry
        streams = (key_play, key_held) if validate else (key_play,)
        played = [
            _play(task, jax.random.fold_in(stream, step), learner[0], *one, step)
            for stream, one in zip(streams, seen, strict=True)
        ]
        return learner, *played

    def block(i: jax.Array, carry: Any) -> Any:
        """`plays` steps in the environment, then `updates` updates."""
        start = interval + i * plays
        learner, *seen = jax.lax.fori_loop(start, start + plays, play, carry)
        replay = seen[0][1]

        def improve(u: jax.Array, learner: agent.Agent) -> agent.Agent:
            batch = _sample(jax.random.fold_in(key_update, u), replay, start + plays, batch_size)
            return agent.update(learner, rate, batch)

        return jax.lax.fori_loop(i * updates, (i + 1) * updates, improve, learner), *seen

    def logged(carry: Any, n: jax.Array | int) -> dict[str, jax.Array]:
        (weights, target, _), *seen = carry
        found = {"performance": _score(task, jax.random.fold_in(key_score, n), weights)}
        if validate:
            for name, (_, replay) in zip(("td_error", "td_error_validation"), seen, strict=True):
                batch = _sample(jax.random.fold_in(key_probe, n), replay, (n + 1) * interval, PROBE)
                found[name] = agent.td_error(weights, agent.wanted(weights, target, batch), batch)
        return found

    def point(carry: Any, n: jax.Array) -> Any:
        carry = jax.lax.fori_loop((n - 1) * blocks, n * blocks, block, carry)
        return carry, logged(carry, n)

    replay = _empty(task, state, points * interval)
    seen = [(state, replay), (task.reset(jax.random.fold_in(key_state, 1)), replay)] if validate else [(state, replay)]
    carry = jax.lax.fori_loop(0, interval, play, (learner, *seen))
    _, rest = jax.lax.scan(point, carry, jnp.arange(1, points))
    return jax.tree.map(lambda first, later: jnp.append(first, later), logged(carry, 0), rest)


def _empty(task: Task, state: Any, steps: int) -> Replay:
    seen = jnp.zeros((steps, len(task.observe(state))))
    one = jnp.zeros(steps)
    return {"before": seen, "after": seen, "action": one.astype(int), "reward": one, "ended": one.astype(bool)}


def _play(task: Task, key: jax.Array, weights: agent.Weights, state: Any, replay: Replay, step: jax.Array) -> Any:
    key_which, key_random, key_step, key_reset = jax.random.split(key, 4)
    start = task.steps // POINTS
    fallen = jnp.clip((step - start) / (EXPLORE_FALLS * task.steps), 0, 1)
    before = task.observe(state)
    random = jax.random.randint(key_random, (), 0, task.actions)
    greedy = jnp.argmax(agent.values(weights, before))
    action = jnp.where(jax.random.uniform(key_which) < 1 + fallen * (EXPLORE - 1), random, greedy)
    after, reward, ended, over = task.step(key_step, state, action)
    seen = {
        "before": before,
        "after": task.observe(after),
        "action": action,
        "reward": reward * task.reward_scale,
        "ended": ended,
    }
    replay = {name: replay[name].at[step].set(value) for name, value in seen.items()}
    state = jax.tree.map(lambda fresh, old: jnp.where(over, fresh, old), task.reset(key_reset), after)
    return state, replay


def _sample(key: jax.Array, replay: Replay, filled: jax.Array | int, batch_size: int) -> Replay:
    rows = jax.random.randint(key, (batch_size,), 0, filled)
    return {name: values[rows] for name, values in replay.items()}


def _score(task: Task, key: jax.Array, weights: agent.Weights) -> jax.Array:
    """Mean return of `EPISODES` episodes without random actions."""
    key_start, key_play = jax.random.split(key)
    states = jax.vmap(task.reset)(jax.random.split(key_start, EPISODES))

    def going(carry: Any) -> jax.Array:
        _, over, _, _ = carry
        return ~over.all()

    def advance(carry: Any) -> Any:
        states, over, total, step = carry
        actions = jnp.argmax(agent.values(weights, jax.vmap(task.observe)(states)), -1)
        keys = jax.random.split(jax.random.fold_in(key_play, step), EPISODES)
        states, reward, _, ends = jax.vmap(task.step)(keys, states, actions)
        return states, over | ends, total + jnp.where(over, 0.0, reward), step + 1

    start = (states, jnp.zeros(EPISODES, bool), jnp.zeros(EPISODES), 0)
    return jax.lax.while_loop(going, advance, start)[2].mean()
