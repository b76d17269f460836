import dataclasses

import numpy as np
import pytest

import hyperlaw as hl
from hyperlaw.diagnostics.check import check


def status(checks, name):
    return checks.table.set_index("check").loc[name, "status"]


def test_a_good_fit_passes(fit):
    checks = fit.check()
    assert checks.ok, checks
    assert list(checks.table.columns) == ["check", "value", "threshold", "status", "advice"]
    assert set(checks.table["status"]) <= {"PASS", "REVIEW"}
    assert (checks.table.loc[checks.table["status"] == "PASS", "advice"] == "").all()


def test_too_few_draws_fail(rough):
    checks = rough.check()
    assert not checks.ok
    assert status(checks, "ESS bulk, smallest") == "FAIL"
    assert (checks.table.loc[checks.table["status"] != "PASS", "advice"] != "").all()


def changed(fit, group, **values):
    tree = fit.tree.copy()
    tree[group] = tree[group].to_dataset().assign({k: tree[group][k] * 0 + v for k, v in values.items()})
    return dataclasses.replace(fit, tree=tree)


def test_a_check_with_nothing_to_look_at_fails(fit):
    blind = changed(fit, "sample_stats", energy=np.nan)
    checks = check(blind)
    assert status(checks, "BFMI, smallest") == "FAIL"
    assert "Nothing to look at" in checks.table.set_index("check").loc["BFMI, smallest", "advice"]


def test_divergences_fail(fit):
    assert status(check(changed(fit, "sample_stats", diverging=1)), "divergences") == "FAIL"


def test_runs_that_the_law_does_not_describe_fail(fit):
    assert status(check(changed(fit, "observed_data", loss=9.0)), "runs inside 90 % posterior predictive") == "FAIL"


def test_an_exponent_that_the_prior_decides_is_marked(small):
    one_size = small.where(small.frame["params"] == 98304)
    checks = hl.fit(hl.laws.StepLaw(), one_size, seed=0, draws=200, warmup=200, progress=False).check()
    assert status(checks, "contraction of rate_exponent_params") == "REVIEW"
    assert status(checks, "contraction of exponent_data") == "PASS"


def test_sharpness_reports_cost_and_exponents(rough):
    table = hl.sharpness(rough)
    assert list(table.columns) == ["lower", "median", "upper", "p_negative"]
    assert set(table.index) == {"cost_learning_rate", "cost_batch_size"} | {
        f"exponent_{h}_{c}" for h in ("learning_rate", "batch_size") for c in ("params", "data")
    }
    draws = rough.tree["posterior"]["sharpness_rate_exponent_data"].values
    assert table.loc["exponent_learning_rate_data", "median"] == pytest.approx(np.median(draws))
    assert (table.loc[["cost_learning_rate", "cost_batch_size"], "lower"] > 0).all()


def test_values_are_not_drawn_of_runs(rough):
    with pytest.raises(TypeError, match=r"values draws a fit of measured values; for Runs use hl\.plots\.losses"):
        hl.plots.values(rough)
