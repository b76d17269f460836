"""Tables of measured values drawn from a law: from its prior, for calibration, and with what could not be read."""

import jax
import numpy as np
import pandas as pd
import pytest
from conftest import made
from made_fit import made_fit
from value_fits import FITTED

import hyperlaw as hl
from hyperlaw.inference.example import example
from hyperlaw.inference.simulate import simulate, simulated_table

LAW = hl.laws.OptimalUTD()


@pytest.mark.parametrize("law", [hl.laws.DataEfficiency(), hl.laws.OptimalUTD(), hl.laws.UTDHyperparameters()])
def test_a_simulated_table_keeps_one_sided_values_at_their_ends(law):
    table, rng = example(law), np.random.default_rng(0)
    frame = table.frame
    ends = rng.uniform(2e6, 9e6, len(frame))  # of many numbers x, some are not the exponential of their log
    if table.kind == "optima":
        for name in law.predicts:
            ends = np.exp(np.log(frame[name]) + 0.5 * rng.random(len(frame)))
            frame[f"{name}_low"], frame[f"{name}_high"] = ends / 3, ends
        table = made(table, frame)
    else:
        table = made(table, frame.assign(start=ends / 3, limit=ends, data=ends, reached=False))
    model = hl.likelihood(law, table)
    design, rows = model.design(table), len(table)
    drawn = {}
    for name in law.predicts:
        low, high = design.low[name][:rows], design.high[name][:rows]
        drawn[name] = np.clip((low + high) / 2 + rng.standard_normal(rows), low, high)
    truth = made_fit(law, table, dict.fromkeys((p.name for p in model.parameter_list), 0.1), draws=1)
    found = simulated_table(truth, model.with_measured(design, drawn))
    again = model.design(found)
    for name, shown in found.points().groupby("quantity"):
        at_end, below = drawn[name] == design.high[name][:rows], drawn[name] == design.low[name][:rows]
        assert at_end.any()
        assert below.any()
        for value, high, low in (
            (shown["value"], shown["high"], shown["low"]),
            (again.value[name][:rows], again.high[name][:rows], again.low[name][:rows]),
        ):
            np.testing.assert_array_equal(value == high, at_end)
            np.testing.assert_array_equal(value == low, below)
        np.testing.assert_allclose(again.value[name][:rows], drawn[name])
        if "reached" in found.frame:
            np.testing.assert_array_equal(found.frame["reached"], ~at_end)


def test_a_simulation_is_one_draw_of_the_model():
    table = example(LAW)
    truth, design = simulate(LAW, table, seed=3)
    assert truth.shape == (1, 1)
    assert simulate(LAW, table, seed=3)[0].draws.equals(truth.draws)
    assert not simulate(LAW, table, seed=4)[0].draws.equals(truth.draws)
    found, model = simulated_table(truth, design), truth.likelihood
    assert type(found) is type(table)
    pd.testing.assert_frame_equal(found.frame.drop(columns="utd"), table.frame.drop(columns="utd"))
    np.testing.assert_allclose(np.log(found.frame["utd"]), design.value["utd"][: len(table)])
    # What was drawn lies as far from the law at the drawn parameters as residuals and errors say.
    p = {n: truth.draws[n].values[0, 0] for n in ("residual_sd_utd", "log_utd_task", "exponent_budget_task")}
    task = design.task[: len(table)]
    with jax.enable_x64(True):
        centre = p["log_utd_task"][task] + p["exponent_budget_task"][task] * design.covariates["budget"][: len(table)]
    scale = np.sqrt(float(model.variance(p, "utd", 0.15)))
    far = (design.value["utd"][: len(table)] - centre) / scale
    assert 0.3 < np.median(np.abs(far)) < 2  # 0.74 is expected


@pytest.mark.parametrize("name", FITTED)
def test_prior_predict(name, value_fit):
    fit = value_fit(name)
    prior = hl.prior_predict(fit.law, fit.table, seed=0)
    assert set(prior.draws.children) == {"prior", "prior_predictive", "observed_data", "constant_data"}
    table = prior.table
    assert len(table) == len(fit.table) * len(fit.law.predicts)
    assert set(table["quantity"]) == set(fit.law.predicts)
    for quantity, rows in table.groupby("quantity"):
        np.testing.assert_allclose(rows["seen"], fit.table.frame[quantity])
        # Wider than the table, and not absurdly so.
        assert rows["prior_lower"].min() < rows["seen"].min()
        assert rows["prior_upper"].max() >= rows["seen"].max() * (1 - 1e-9)  # both may be the limit
        assert rows["prior_median"].between(rows["seen"] / 50, rows["seen"] * 50).all()
    pd.testing.assert_frame_equal(table, hl.prior_predict(fit.law, fit.table, seed=0).table)


def calibrated(simulations):
    """Ranks of OptimalUTD on its example, and that none of it failed."""
    found = hl.calibrate(LAW, example(LAW), simulations=simulations, seed=0, progress=False)
    assert found.at == {"budget": 1e20, "task": None}
    assert len(found.simulations) == simulations
    assert (found.simulations["failed"] == "").all()
    pooled = {f"{p.name}_task_sd" for p in LAW.own_parameters}
    parameters = {p.name for p in hl.likelihood(LAW, "optima").parameter_list}
    assert set(found.table["quantity"]) == parameters | pooled | {"best_utd"}
    assert found.simulations["ess"].median() > 100
    return found


def test_calibration_runs_through():
    calibrated(8)


@pytest.mark.slow
def test_posteriors_mean_what_they_say():
    found = calibrated(100)
    assert (found.table["p_value"] > 0.001).all(), found.table
    assert found.simulations["troubled"].mean() <= 0.05
    assert found.table["coverage_90"].between(0.8, 0.98).all()
