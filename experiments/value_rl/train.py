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
EXPLORE = 0.05
EXPLORE_FALLS = 0.25

Replay = dict[str, jax.Array]


def train(
    task: Task, utd: float, batch_size: int, learning_rates: list[float], seeds: list[int], points: int = POINTS
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

    Returns
    -------
    DataFrame
        Columns `task, utd, batch_size, learning_rate, seed, data, performance`: `points` evenly spaced rows a run,
        the mean undiscounted return of `EPISODES` episodes played without random actions.
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
    returns = np.asarray(_curves(task, batch_size, points, plays, updates, jnp.asarray(rates, jnp.float32), keys))
    return pd.DataFrame(
        {
            "task": task.name,
            "utd": utd,
            "batch_size": batch_size,
            "learning_rate": np.repeat(rates, points),
            "seed": np.repeat(names, points),
            "data": np.tile(interval * np.arange(1, points + 1), len(rates)),
            "performance": returns.ravel(),
        }
    )


@functools.partial(jax.jit, static_argnames=("task", "batch_size", "points"))
@functools.partial(jax.vmap, in_axes=(None, None, None, None, None, 0, 0))
def _curves(
    task: Task, batch_size: int, points: int, plays: int, updates: int, rate: jax.Array, key: jax.Array
) -> jax.Array:
    """Returns of a run at its logged points, shape (point,), of all runs at once."""
    interval = task.steps // POINTS
    blocks = interval // plays
    key_weights, key_state, key_play, key_update, key_score = jax.random.split(key, 5)
    state = task.reset(key_state)
    learner = agent.init(key_weights, len(task.observe(state)), task.actions)

    def play(step: jax.Array, carry: Any) -> Any:
        learner, state, replay = carry
        state, replay = _play(task, jax.random.fold_in(key_play, step), learner[0], state, replay, step)
        return learner, state, replay

    def block(i: jax.Array, carry: Any) -> Any:
        """`plays` steps in the environment, then `updates` updates."""
        start = interval + i * plays
        learner, state, replay = jax.lax.fori_loop(start, start + plays, play, carry)

        def improve(u: jax.Array, learner: agent.Agent) -> agent.Agent:
            batch = _sample(jax.random.fold_in(key_update, u), replay, start + plays, batch_size)
            return agent.update(learner, rate, batch)

        return jax.lax.fori_loop(i * updates, (i + 1) * updates, improve, learner), state, replay

    def point(carry: Any, n: jax.Array) -> Any:
        carry = jax.lax.fori_loop((n - 1) * blocks, n * blocks, block, carry)
        return carry, _score(task, jax.random.fold_in(key_score, n), carry[0][0])

    carry = jax.lax.fori_loop(0, interval, play, (learner, state, _empty(task, state, points * interval)))
    untrained = _score(task, jax.random.fold_in(key_score, 0), learner[0])
    _, returns = jax.lax.scan(point, carry, jnp.arange(1, points))
    return jnp.append(untrained, returns)


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


def _sample(key: jax.Array, replay: Replay, filled: jax.Array, batch_size: int) -> Replay:
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
