import numpy as np
import pandas as pd
import pytest

from hyperlaw.diagnostics.ground_truth import ground_truth

BEST = np.log([3e-3, 100.0])
RATES = 3e-3 * 2.0 ** np.array([-1.7, -0.8, 0.1, 1.2])
BATCHES = 100 * 2.0 ** np.array([-1.3, -0.4, 0.5, 1.6])


def quadratic(rate, batch):
    u, v = np.log(rate) - BEST[0], np.log(batch) - BEST[1]
    return 2.5 + 0.3 * u**2 + 0.1 * v**2 - 0.2 * u * v


def cell(loss=quadratic, rates=RATES, batches=BATCHES):
    rate, batch = (a.ravel() for a in np.meshgrid(rates, batches))
    value = loss(rate, batch)
    return pd.DataFrame({"learning_rate": rate, "batch_size": batch, "loss": value, "diverged": False})


def setting(rate, batch):
    return {"learning_rate": rate, "batch_size": batch}


def test_known_optimum_is_recovered():
    result = ground_truth(cell(), setting(1e-3, 50))
    assert result.optimum == pytest.approx({"learning_rate": 3e-3, "batch_size": 100.0, "loss": 2.5})


@pytest.mark.parametrize("place", [(3e-3, 100), (1e-3, 50), (6e-3, 210)])
def test_regret_on_the_surface_is_exact(place):
    result = ground_truth(cell(), setting(*place))
    assert result.regret_surface == pytest.approx(quadratic(*place) - 2.5, abs=1e-10)


def test_a_cubic_in_the_learning_rate_is_exact():
    def cubic(rate, batch):
        return quadratic(rate, batch) + 0.05 * (np.log(rate) - BEST[0]) ** 3

    result = ground_truth(cell(cubic), setting(5e-3, 150))
    assert result.optimum == pytest.approx({"learning_rate": 3e-3, "batch_size": 100.0, "loss": 2.5})
    assert result.regret_surface == pytest.approx(cubic(5e-3, 150) - 2.5, abs=1e-10)


def test_three_learning_rates_bear_a_quadratic():
    result = ground_truth(cell(rates=RATES[:3]), setting(1e-3, 50))
    assert result.optimum == pytest.approx({"learning_rate": 3e-3, "batch_size": 100.0, "loss": 2.5})


def test_outside_the_settings_used_the_nearest_run_counts():
    result = ground_truth(cell(), setting(3e-3, 1000))
    assert result.regret_surface == pytest.approx(quadratic(RATES[2], BATCHES[3]) - 2.5, abs=1e-10)


def test_an_optimum_beyond_the_settings_is_none():
    result = ground_truth(cell(batches=100 * 2.0 ** np.array([1.0, 2.0, 3.0, 4.0])), setting(3e-3, 400))
    assert np.isnan(result.optimum["learning_rate"])
    assert np.isnan(result.regret_surface)


def test_more_runs_than_sixteen_are_used():
    rates, batches = 3e-3 * 2.0 ** np.linspace(-2, 2, 9), 100 * 2.0 ** np.linspace(-2, 2, 8)
    scatter = np.random.default_rng(0).normal(0, 0.01, (200, 72))
    runs = cell(rates=rates, batches=batches)
    found = [
        ground_truth(runs.assign(loss=runs["loss"] + s), setting(3e-3, 100)).optimum["learning_rate"] for s in scatter
    ]
    assert np.nanstd(np.log(found)) < 0.05


def test_best_and_nearest_are_measured_settings():
    runs = cell()
    result = ground_truth(runs, setting(RATES[3] * 1.1, BATCHES[0] * 0.5))
    best = runs.loc[runs["loss"].idxmin()]
    assert result.best == pytest.approx(best.drop("diverged").to_dict())
    assert result.nearest["learning_rate"] == RATES[3]
    assert result.nearest["batch_size"] == BATCHES[0]
    assert result.nearest["loss"] == pytest.approx(quadratic(RATES[3], BATCHES[0]))
    assert result.regret_nearest == pytest.approx(result.nearest["loss"] - best["loss"])
    assert result.regret_nearest > 0


def test_nearest_is_nearest_in_logs():
    rate = RATES[1] * 1.4
    assert rate - RATES[1] < RATES[2] - rate
    assert ground_truth(cell(), setting(rate, BATCHES[2])).nearest["learning_rate"] == RATES[2]


def test_choosing_the_best_run_costs_nothing():
    runs = cell()
    best = runs.loc[runs["loss"].idxmin()]
    result = ground_truth(runs, best)
    assert result.best == result.nearest
    assert result.regret_nearest == 0


def test_seeds_are_averaged():
    rng = np.random.default_rng(0)
    scatter = rng.normal(0, 0.05, 16)
    up, down = cell(), cell()
    up["loss"] += scatter
    down["loss"] -= scatter
    result = ground_truth(pd.concat([up, down], ignore_index=True), setting(1e-3, 50))
    exact = ground_truth(cell(), setting(1e-3, 50))
    assert result.best == pytest.approx(exact.best)
    assert result.optimum == pytest.approx(exact.optimum)
    assert result.regret_surface == pytest.approx(exact.regret_surface)


def test_diverged_runs_are_left_out():
    dead = cell(rates=[1.0, 2.0]).assign(loss=np.nan, diverged=True)
    result = ground_truth(pd.concat([cell(), dead], ignore_index=True), setting(1.0, 100))
    assert result.nearest["learning_rate"] == RATES[3]
    assert result.optimum == pytest.approx(ground_truth(cell(), setting(1.0, 100)).optimum)


def test_only_the_lowest_losses_shape_the_surface():
    far = cell(rates=3e-3 * 2.0 ** np.array([-8.0, 8.0])).assign(loss=50.0)
    result = ground_truth(pd.concat([far, cell()], ignore_index=True), setting(1e-3, 50))
    assert result.optimum == pytest.approx({"learning_rate": 3e-3, "batch_size": 100.0, "loss": 2.5})


NO_MINIMUM = {
    "saddle": cell(lambda rate, batch: 3 + np.log(rate / 3e-3) ** 2 - np.log(batch / 100) ** 2),
    "hill": cell(lambda rate, batch: 3 - np.log(rate / 3e-3) ** 2 - np.log(batch / 100) ** 2),
    "flat": cell(lambda rate, batch: np.full(rate.shape, 3.0)),
    "one batch size": cell(batches=[100.0]),
    "few runs": cell(rates=RATES[:2], batches=BATCHES[:2]),
    "one run": cell(rates=RATES[:1], batches=BATCHES[:1]),
}


@pytest.mark.parametrize("case", NO_MINIMUM)
def test_without_a_minimum_the_surface_says_nothing(case):
    result = ground_truth(NO_MINIMUM[case], setting(3e-3, 100))
    assert np.isnan(result.regret_surface)
    assert np.isnan(list(result.optimum.values())).all()
    assert np.isfinite(result.regret_nearest)
    assert result.best["loss"] == NO_MINIMUM[case]["loss"].min()


def test_a_cell_without_losses_is_refused():
    with pytest.raises(ValueError, match="no run of this cell has a finite loss: there is nothing to score against"):
        ground_truth(cell().assign(loss=np.nan, diverged=True), setting(3e-3, 100))


def test_runs_are_not_changed():
    runs = cell()
    before = runs.copy()
    ground_truth(runs, setting(3e-3, 100))
    pd.testing.assert_frame_equal(runs, before)
