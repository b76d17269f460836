import itertools

import jax
import numpy as np
import pandas as pd
import pytest

import hyperlaw as hl
from experiments import td_error
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


def test_td_errors_are_logged_beside_curves_that_they_do_not_change(curves):
    logged = train.train(CATCH, 1.0, 16, [LEARNS, STANDS], SEEDS, validate=True)
    pd.testing.assert_frame_equal(logged[curves.columns], curves)
    errors = logged[["td_error", "td_error_validation"]]
    assert list(logged.columns) == [*curves.columns, *errors.columns]
    assert (errors >= 0).all(axis=None)
    assert np.isfinite(errors).all(axis=None)
    # What was trained on is fitted better than what was not.
    late = np.log(errors[(logged["learning_rate"] == LEARNS) & (logged["data"] > 2_000)]).mean()
    assert late["td_error"] < late["td_error_validation"]
    # Values of zero, which weights that hardly move give, err as much on both, but for the luck of the rewards.
    still = errors[logged["learning_rate"] == STANDS].mean()
    assert still["td_error"] == pytest.approx(still["td_error_validation"], rel=0.1)


def test_a_td_error_is_that_of_the_greedy_action_by_the_target_network():
    def values(weights, observations):
        (w, b), *_ = weights
        return observations @ w + b

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agent, "values", values)
        weights, target = [(np.eye(2), np.zeros(2))], [(2 * np.eye(2), np.ones(2))]
        batch = {
            "before": np.array([[1.0, 2.0], [3.0, 4.0]]), "after": np.array([[0.0, 5.0], [6.0, 1.0]]),
            "action": np.array([0, 1]), "reward": np.array([0.5, -1.0]), "ended": np.array([False, True]),
        }  # fmt: skip
        aim = agent.wanted(weights, target, batch)
        np.testing.assert_allclose(aim, [0.5 + 0.99 * 11.0, -1.0])
        np.testing.assert_allclose(
            agent.td_error(weights, aim, batch), ((1.0 - 11.39) ** 2 + (4.0 + 1.0) ** 2) / 2, rtol=1e-6
        )


def test_how_errors_move_with_the_batch_size_is_a_slope_in_logs():
    rng, rows = np.random.default_rng(0), []
    for batch, seed, data in itertools.product((8, 32, 128), range(4), (100, 900, 1000)):
        early = 50.0 if data == 100 else 1.0  # which is not averaged
        luck = np.exp(0.01 * rng.standard_normal(2))
        rows.append(
            {
                "task": "t", "width": 8, "batch_size": batch, "seed": seed, "data": data, "performance": 1.0,
                "td_error": early * luck[0] * batch**-0.5, "td_error_validation": early * luck[1] * batch**0.25,
            }
        )  # fmt: skip
    runs = td_error.errors(pd.DataFrame(rows))
    assert len(runs) == 12
    (found,) = td_error.trends(runs)
    assert found["training, slope"].startswith("-0.50 (0.0")
    assert found["validation, slope"].startswith("0.25 (0.0")
    assert found["least validation error at batch size"] == "8"
    table = td_error.by_batch_size(runs)
    assert [row["batch size"] for row in table] == ["8", "32", "128"]
    assert float(table[2]["validation / training"].split()[0]) == pytest.approx(128**0.75, rel=0.02)
