"""The environments: four small ones of gymnax, made alike.

Observations are flat and divided by a fixed scale, actions are numbered, and an end by the clock is told from a true
one: only after a true end is the value of what follows zero.
"""

import functools
from dataclasses import dataclass
from typing import Any

import gymnax
import jax
import jax.numpy as jnp


@dataclass(frozen=True)
class Task:
    """One environment and how it is presented to the agent.

    Attributes
    ----------
    name
        As gymnax registers it.
    steps
        Environment steps of a run.
    moves
        What the numbered actions are, where the environment's own are continuous; else empty.
    observation_scale
        What observations are divided by: one number, or one for each entry.
    cells
        Where above zero, entries are whole numbers below it, and each is seen as that many zeros and ones.
    reward_scale
        What rewards are multiplied by in training; returns are reported without it.
    changed
        Parameters of the environment that are not its defaults.
    """

    name: str
    steps: int
    moves: tuple[float, ...] = ()
    observation_scale: tuple[float, ...] = (1.0,)
    cells: int = 0
    reward_scale: float = 1.0
    changed: tuple[tuple[str, float], ...] = ()

    @functools.cached_property
    def _made(self) -> tuple[Any, Any]:
        # Some environments look at their own arrays when made, which a traced program cannot.
        with jax.ensure_compile_time_eval():
            env, params = gymnax.make(self.name)
        return env, params.replace(**dict(self.changed))

    @property
    def actions(self) -> int:
        """How many actions there are."""
        return len(self.moves) or self._made[0].num_actions

    def reset(self, key: jax.Array) -> Any:
        """State at the start of an episode."""
        env, params = self._made
        return env.reset_env(key, params)[1]

    def observe(self, state: Any) -> jax.Array:
        """What the network sees of a state, shape (entry,)."""
        env, params = self._made
        seen = jnp.ravel(env.get_obs(state, params))
        if self.cells:
            return jnp.ravel(jax.nn.one_hot(seen, self.cells))
        return seen / jnp.asarray(self.observation_scale)

    def step(self, key: jax.Array, state: Any, action: jax.Array) -> tuple[Any, jax.Array, jax.Array, jax.Array]:
        """Next state (not reset), reward, whether it is a true end, whether the episode is over."""
        env, params = self._made
        move = jnp.asarray(self.moves)[action] if self.moves else action
        _, after, reward, over, _ = env.step_env(key, state, move, params)
        ended = env.is_terminal(after.replace(time=0), params)
        return after, jnp.asarray(reward, jnp.float32), ended, over


TORQUES = (-2.0, -1.0, 0.0, 1.0, 2.0)
SHORT_WALKS = (("resample_init_pos", True), ("max_steps_in_episode", 100))

TASKS = (
    Task("Catch-bsuite", 5_120),
    Task("CartPole-v1", 7_680, observation_scale=(1.0, 1.0, 0.2, 1.0)),
    Task("Pendulum-v1", 7_680, moves=TORQUES, observation_scale=(1.0, 1.0, 4.0), reward_scale=0.1),
    Task("FourRooms-misc", 7_680, cells=13, changed=SHORT_WALKS),
)
