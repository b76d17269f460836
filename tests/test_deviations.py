"""Exponents that drift, and deviations that cells of one level share."""

import numpy as np
import pandas as pd
import pytest
from conftest import TRUTH, VALUE_TRUTH, grid, simulate
from made_fit import made_fit

import hyperlaw as hl
from hyperlaw.inference.cells import level_deviations, new_rows
from hyperlaw.inference.example import example
from hyperlaw.models.likelihoods.deviations import drift, level_of, levelled, levels

STILL = {
    f"{of}_sd_{name}": 1e-9
    for of in ("cell", "params", "data")
    for name in ("learning_rate", "batch_size", "optimal_loss")
}
KNOWN, NEW = {"params": 1e6, "data": 6.4e9}, {"params": 6.4e7, "data": 6.4e9}


@pytest.fixture(scope="module")
def runs():
    return simulate(hl.laws.StepLaw(), grid(rates=3, batches=2), seed=0)


def test_drift_changes_exponents():
    p = {"drift_steps_a": 0.2, "drift_steps_b": -0.1}
    at = {"b": 2.0, "a": -1.0}  # in any order
    assert drift(p, "steps", at) == pytest.approx(0.2 / 2 - 0.1 * 4 / 2)
    assert drift(p, "data", at) == 0.0


def test_an_interval_widens_by_more_than_the_error_of_a_line(runs):
    law, sds = hl.laws.StepLaw(), {}
    truth = TRUTH | STILL | {name: 0.0 for name in TRUTH if name.startswith("drift_")}
    drifting = made_fit(law, runs, truth, scattered={"drift_learning_rate_data": 0.05}, draws=4000)
    for octaves in (2, 4, 8):
        at = {"params": 2e6, "data": 4e8 * 2.0**octaves}
        sds[octaves] = float(np.log(drifting.predict(at).draws["best_learning_rate"]).std())
        assert sds[octaves] == pytest.approx(0.05 * (octaves * np.log(2)) ** 2 / 2, rel=0.05)


def test_values_drift_too():
    law, table = hl.laws.CriticalBatchData(), example(hl.laws.CriticalBatchData())
    still = made_fit(law, table, VALUE_TRUTH["CriticalBatchData"] | {"residual_sd_steps": 1e-9}, draws=10)
    moved = made_fit(
        law, table, VALUE_TRUTH["CriticalBatchData"] | {"residual_sd_steps": 1e-9, "drift_steps_data": 0.1}, draws=10
    )
    at = {"data": float(table.frame["data"].max() * 10), "batch_size": 1024.0, "task": table.tasks[0]}
    x = np.log(at["data"]) - still.pivot["data"]
    ratio = np.log(moved.predict(at).draws["steps"] / still.predict(at).draws["steps"])
    np.testing.assert_allclose(ratio, 0.1 * x**2 / 2, rtol=1e-6)


def test_levels_of_a_law():
    assert levelled(hl.laws.StepLaw()) == ("params",)
    assert levelled(hl.laws.UTDHyperparametersBySize()) == ("utd", "params")
    assert levelled(hl.laws.UTDHyperparameters()) == ()  # each cell is its own level
    assert levelled(hl.laws.Surge()) == ()
    frame = pd.DataFrame({"task": ["b", "a", "a"], "params": [2.0, 2.0, 1.0], "data": [1.0, 1.0, 1.0]})
    (known,) = levels(("params",), frame).values()
    assert known.to_dict("list") == {"task": ["a", "a", "b"], "params": [1.0, 2.0, 2.0]}
    asked = pd.DataFrame({"task": ["b", "b", "a", "c"], "params": [2.0 * (1 + 1e-12), 1.0, 1.0, 1.0]})
    np.testing.assert_array_equal(level_of(known, asked, "params"), [2, -1, 0, -1])


def test_horizons_are_levels_where_each_run_is_made_for_one(runs):
    model = hl.likelihood(hl.laws.StepLaw(), runs)
    assert set(model.levels(runs)) == {"params", "data"}
    own = hl.Runs.from_frame(runs.frame.assign(trained=range(len(runs))), batch_unit=1, run="trained")
    assert set(model.levels(own)) == {"params", "data"}
    settings = runs.frame.groupby(["params", "learning_rate", "batch_size"]).ngroup()
    read = hl.Runs.from_frame(runs.frame.assign(trained=settings), batch_unit=1, run="trained")
    along = hl.likelihood(hl.laws.StepLaw(), read)
    assert set(along.levels(read)) == {"params"}
    # What says nothing is not there.
    only_one = {"luck_kept", "data_sd_batch_size"}
    assert only_one.intersection(along.parameters.index) == {"luck_kept"}
    assert only_one.intersection(model.parameters.index) == {"data_sd_batch_size"}
    said = hl.likelihood(hl.LossSurface(hl.laws.StepLaw(), own_horizons=True), read)
    assert set(said.levels(read)) == {"params", "data"}
    assert not hl.likelihood(hl.laws.StepLaw(), runs.optima()).levels(runs.optima()).keys() & {"data"}


def test_a_new_horizon_is_drawn(runs):
    truth = TRUTH | STILL | {"data_sd_learning_rate": 0.3}
    fit = made_fit(hl.laws.StepLaw(), runs, truth, draws=4000)
    new = np.log(fit.predict(KNOWN).draws["best_learning_rate"])
    assert float(new.std()) == pytest.approx(0.3, rel=0.05)
    seen = np.log(fit.predict(KNOWN | {"data": 4e8}).draws["best_learning_rate"])
    own = fit.draws["data_deviation_learning_rate"].values[..., 1]
    np.testing.assert_allclose(seen - seen.mean(), own - own.mean(), atol=1e-3)


def test_a_known_level_keeps_its_deviation_and_a_new_one_is_drawn(runs):
    truth = TRUTH | STILL | {"params_sd_learning_rate": 0.3}
    fit = made_fit(hl.laws.StepLaw(), runs, truth, draws=4000)
    frame = pd.DataFrame([KNOWN, NEW, NEW | {"data": 1e10}, KNOWN | {"params": 3e6}]).assign(task="all")
    of = level_deviations(fit, frame)["params_deviation_learning_rate"]
    np.testing.assert_array_equal(of[..., 0], fit.draws["params_deviation_learning_rate"].values[..., 0])
    np.testing.assert_array_equal(of[..., 1], of[..., 2])  # one new size, two horizons
    assert of[..., 1].std() == pytest.approx(0.3, rel=0.05)
    assert abs(np.corrcoef(of[..., 1].ravel(), of[..., 3].ravel())[0, 1]) < 0.05
    p, _, _ = new_rows(fit, frame)
    np.testing.assert_allclose(p["deviation_learning_rate"], of, atol=1e-7)
    # The interval of a new size is wider by all that sizes differ in.
    known, new = (float(np.log(fit.predict(at).draws["best_learning_rate"]).std()) for at in (KNOWN, NEW))
    assert known == pytest.approx(of[..., 0].std(), rel=1e-3)
    assert new == pytest.approx(0.3, rel=0.05)


def test_the_posterior_of_levels_is_labelled(fit):
    assert fit.draws["params_deviation_batch_size"].dims == ("chain", "draw", "params_level")
    assert fit.draws.sizes["params_level"] == 2
    assert fit.draws["deviation_batch_size"].dims == ("chain", "draw", "cell")
