from importlib.resources import as_file, files

import numpy as np
import pandas as pd
import pytest

import hyperlaw as hl
from experiments.classify import noise, sweep
from experiments.classify.digits import CLASSES, IMAGES, PIXELS, Digits
from experiments.classify.train import OPTIMIZERS, UNTRAINED_LOSS, init, loss, train


@pytest.fixture(scope="module")
def digits():
    return Digits.from_sklearn()


def test_digits_are_the_same_every_time(digits):
    assert digits.images.shape == (IMAGES, PIXELS)
    assert (digits.images.min(), digits.images.max()) == (0, 1)
    assert set(digits.classes) == set(range(CLASSES))
    assert digits.digest == Digits.from_sklearn().digest


def test_order_is_of_whole_epochs(digits):
    order = digits.order(2 * IMAGES + 10, seed=0)
    assert len(order) == 2 * IMAGES + 10
    for epoch in (order[:IMAGES], order[IMAGES : 2 * IMAGES]):
        assert sorted(epoch) == list(range(IMAGES))
    assert np.array_equal(order[:300], digits.order(300, seed=0))
    assert not np.array_equal(order[:300], digits.order(300, seed=1))


def test_untrained_loss_is_that_of_a_guess(digits):
    import jax

    start = jax.jit(lambda key: loss(init(key), digits.images, digits.classes))(jax.random.key(0))
    assert float(start) == pytest.approx(UNTRAINED_LOSS)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_learns_and_records_divergence(digits, optimizer):
    arguments = (digits, optimizer, 64, [2.0**-5, 2.0**6], [1024, 4096], [0, 1])
    table = train(*arguments)
    assert table.columns.tolist() == ["optimizer", "batch_size", "learning_rate", "seed", "data", "loss", "diverged"]
    assert len(table) == 8
    good, bad = (table[table["learning_rate"] == rate] for rate in (2.0**-5, 2.0**6))
    curves = good.pivot(index="data", columns="seed", values="loss")
    assert (curves.loc[4096] < curves.loc[1024]).all()
    assert (curves.loc[1024] < UNTRAINED_LOSS).all()
    assert curves.loc[4096, 0] != curves.loc[4096, 1]
    assert not good["diverged"].any()
    assert bad["diverged"].all()
    pd.testing.assert_frame_equal(table, train(*arguments))


def test_full_batch_step_is_gradient_descent(digits):
    import jax

    table = train(digits, "sgd", IMAGES, [0.5], [IMAGES], [3])

    @jax.jit
    def after(key):
        start = init(key)
        gradient = jax.grad(loss)(start, digits.images, digits.classes)
        moved = jax.tree.map(lambda weight, slope: weight - 0.5 * slope, start, gradient)
        return loss(moved, digits.images, digits.classes)

    assert table["loss"].item() == pytest.approx(float(after(jax.random.key(3))), rel=1e-5)


def test_uneven_horizon_is_refused(digits):
    with pytest.raises(ValueError, match="horizons must be multiples of the batch size 64, received 100"):
        train(digits, "sgd", 64, [0.1], [64, 100], [0])


def test_groups_cover_every_batch_size_at_common_horizons():
    made = sweep.groups()
    assert {g.batch_size for g in made} == {2**e for e in range(11)}
    assert len({g.file for g in made}) == len(made) == 22
    common = set.intersection(*(set(g.horizons) for g in made))
    assert {2**e for e in range(10, 16)} <= common
    for group in made:
        assert all(data % group.batch_size == 0 for data in group.horizons)
        assert group.horizons[-1] >= 1024 * group.batch_size
        np.testing.assert_allclose(np.diff(np.log2(group.learning_rates)), 0.5)


def test_shipped_sweep_is_what_the_trainer_makes(digits):
    runs = hl.load_sweep("digits")
    frame = runs.frame
    assert runs.tasks == ("adam", "sgd")
    assert len(runs) == sum(g.rows for g in sweep.groups())
    for group in sweep.groups():
        rows = frame[(frame["task"] == group.optimizer) & (frame["batch_size"] == group.batch_size)]
        assert sorted(rows["learning_rate"].unique()) == pytest.approx(group.learning_rates)
        assert sorted(rows["data"].unique()) == group.horizons
    again = train(digits, "adam", 256, sweep.Group("adam", 256).learning_rates[:2], [256, 1024, 4096], [0])
    shipped = frame.merge(
        again.drop(columns=["diverged"]).rename(columns={"optimizer": "task"}),
        on=["task", "batch_size", "learning_rate", "seed", "data"],
    )
    assert len(shipped) == 6
    np.testing.assert_allclose(shipped["loss_x"], shipped["loss_y"], rtol=1e-3)


def test_best_learning_rate_is_inside_the_grid():
    runs = hl.load_sweep("digits")
    steps = runs.steps_to_loss([0.5, 0.1], seed=0).frame
    assert len(steps) == 44
    assert (steps["error"] > 0).all()
    at = runs.where(runs.frame["data"].isin([2**13, 2**14])).optima(by_batch=True)
    assert "0 one-sided" in repr(at)


def test_noise_is_measured_at_the_weights_of_a_run(digits, monkeypatch):
    """The shipped measurements are what the script makes, and the exact ones are what they are called."""
    monkeypatch.setattr(noise, "HORIZONS", [256])
    monkeypatch.setattr(noise, "SEEDS", [1])
    again = noise.measurements(digits, noise.Group("adam", 32))
    with as_file(files("hyperlaw.data.sweeps") / "digits_noise.parquet") as path:
        shipped = pd.read_parquet(path)
    assert shipped.columns.tolist() == again.columns.tolist()
    there = shipped[(shipped["run"] == "adam 32, seed 1") & (shipped["data"] == 256)]
    assert len(there) == len(again) == noise.REPEATS
    for name in ("loss", "small", "big", "gradient", "trace", "trace_curvature"):
        np.testing.assert_allclose(there[name], again[name], rtol=1e-2)
    estimate = hl.noise_scale(again["small"], again["big"], small_batch=noise.SMALL, big_batch=noise.BIG)
    exact = again["trace"].iloc[0] / again["gradient"].iloc[0]
    assert abs(np.log(estimate.noise_scale / exact)) < 4 * estimate.error


def test_shipped_noise_is_of_every_run():
    table = hl.load_sweep("digits_noise")
    runs = [f"{g.optimizer} {g.batch_size}, seed {seed}" for g in noise.groups() for seed in noise.SEEDS]
    assert set(table.tasks) == set(runs)
    assert len(table) == len(runs) * len(noise.HORIZONS)
