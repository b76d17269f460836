import jax
import numpy as np
import pandas as pd
import pytest

import hyperlaw as hl
from experiments.value_rl import agent, sweep, train
from experiments.value_rl.tasks import TASKS, Task

CATCH = Task("Catch-bsuite", 2_560)
LEARNS, STANDS, SEEDS = 2.0**-9, 2.0**-20, list(range(8))


@pytest.fixture(scope="module")
def curves():
    """Curves of the easiest environment, at a rate that learns and one too small to."""
    return train.train(CATCH, 1.0, 16, [LEARNS, STANDS], SEEDS)


def test_learning_beats_random_play(curves):
    """By the standard error over seeds: a ball that is always caught counts 1, one that never is -1."""
    last = curves[curves["data"] > 2_000].groupby(["learning_rate", "seed"])["performance"].mean().unstack("seed")
    mean, error = last.mean(axis=1), last.std(axis=1) / np.sqrt(len(SEEDS))
    assert mean[LEARNS] - 4 * error[LEARNS] > mean[STANDS] + 4 * error[STANDS]
    assert mean[LEARNS] > 0.5 > 0 > mean[STANDS]


def test_curves_are_the_table_the_package_reads(curves):
    assert len(curves) == 2 * len(SEEDS) * train.POINTS
    assert curves["data"].max() == CATCH.steps
    crossings = hl.Curves.from_frame(curves).crossings([0.3, 0.8], seed=0).frame
    assert crossings.loc[crossings["learning_rate"] == LEARNS, "reached"].all()
    assert not crossings.loc[crossings["learning_rate"] == STANDS, "reached"].any()


def test_equal_seeds_give_equal_curves(curves):
    again = train.train(CATCH, 1.0, 16, [LEARNS, STANDS], SEEDS)
    pd.testing.assert_frame_equal(curves, again)
    by_seed = curves[curves["learning_rate"] == LEARNS].groupby("seed")["performance"].apply(list)
    assert by_seed[0] != by_seed[1]


def test_number_of_updates_is_the_ratio_times_the_steps(monkeypatch):
    counted = []

    def update(learner, rate, batch):
        jax.debug.callback(lambda reward: counted.append(len(reward)), batch["reward"])
        return learner

    # A length of its own, so that no program compiled with the real update is used.
    task = Task("Catch-bsuite", 256)
    monkeypatch.setattr(agent, "update", update)
    for utd, updates in ((0.25, 63), (2.0, 504)):
        counted.clear()
        train.train(task, utd, 16, [1e-3], [0])
        jax.effects_barrier()
        assert counted == [16] * updates


def test_ratio_that_does_not_fit_the_logged_points_is_refused():
    with pytest.raises(ValueError, match=r"divides the 40 steps between points; received 0.3"):
        train.train(CATCH, 0.3, 16, [1e-3], [0])


# FourRooms-misc asks for integers of 64 bits and gets 32, which hold its actions as well.
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64")
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_environments_are_alike(task):
    key = jax.random.key(0)
    state = task.reset(key)
    entries = task.observe(state)
    assert entries.ndim == 1
    late = state.replace(time=task._made[1].max_steps_in_episode - 1)
    after, reward, ended, over = task.step(key, late, np.int32(task.actions - 1))
    assert task.observe(after).shape == entries.shape
    assert np.isfinite(reward)
    assert over
    assert not ended
    assert (task.steps // train.POINTS) % 8 == 0


def test_groups_are_run_once_and_only_some_are_withheld():
    groups = sweep.groups()
    assert len({g.file for g in groups}) == len(groups)
    assert {g.utd for g in groups if g.scale == "small"} == {0.25, 0.5, 1, 2, 4, 8}
    assert {g.utd for g in groups if g.scale == "withheld"} == {0.05, 0.125}
