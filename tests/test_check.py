import dataclasses

import numpy as np
import numpyro.distributions as dist
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
    checks = hl.fit(hl.laws.StepLaw(), one_size, seed=0, progress=False).check()
    assert status(checks, "contraction of rate_exponent_params") == "REVIEW"
    assert status(checks, "contraction of exponent_data") == "PASS"


def test_compare(fit, rough, small):
    comparison = hl.compare({"step": fit, "time": rough})
    assert {"rank", "elpd_diff", "dse", "elpd", "se", "weight"} <= set(comparison.table.columns)
    assert comparison.table["weight"].sum() == pytest.approx(1)
    assert "predicts a left-out run better than" in comparison.sentence
    with pytest.raises(ValueError, match="compare needs two fits or more, received 1"):
        hl.compare({"step": fit})
    fewer = small.where(small.frame["data"] < 2**20)
    priors = {"exponent_data": dist.Normal(0.5, 0.1)}
    other = hl.fit(hl.laws.StepLaw(), fewer, seed=0, priors=priors, draws=50, warmup=100, progress=False)
    with pytest.raises(ValueError, match="'other' and 'step' were fitted to different runs"):
        hl.compare({"step": fit, "other": other})
