"""One law for several tasks of measured values: shared, partially pooled, or each on its own."""

import re
from dataclasses import replace

import numpy as np
import pytest
from agreement import agree, alike
from conftest import TRUTH, VALUE_TRUTH, grid, measure
from made_fit import made_fit
from value_fits import APART, long_refit, of_budgets

import hyperlaw as hl
from hyperlaw.inference.cells import task_parameters
from hyperlaw.inference.example import example
from hyperlaw.inference.predict import predict
from hyperlaw.inference.refit import refit

LIMITS = ("shared", "partial", "separate")


def test_pooling_makes_the_sites_that_it_says():
    names = {how: set(map(str, of_budgets(how).draws.data_vars)) for how in LIMITS}
    own, by_task = (
        {"log_utd", "exponent_budget", "residual_sd_utd", "drift_utd_budget"},
        {"log_utd_task", "exponent_budget_task"},
    )
    assert names["shared"] == own
    assert names["separate"] == own | by_task
    assert names["partial"] == own | by_task | {f"{name}_sd" for name in by_task}


def test_shared_and_separate_are_the_limits_of_partial_pooling():
    width, between, scatter = {}, {}, {}
    for how in LIMITS:
        law = of_budgets(how).law
        noisy = long_refit(law, measure(law, example(law), 4, apart=APART["OptimalUTD"], error=1.0))
        draws = noisy.draws["exponent_budget" if how == "shared" else "exponent_budget_task"]
        width[how] = float(draws.std(("chain", "draw")).mean())
        between[how] = float(np.std(draws.mean(("chain", "draw")).values))
        scatter[how] = float(of_budgets(how).draws["residual_sd_utd"].mean())
    assert width["shared"] < 0.9 * width["partial"] < 0.9 * 0.95 * width["separate"]
    assert between["shared"] == 0 < between["partial"] < 0.9 * between["separate"]
    assert scatter["shared"] > 2 * scatter["partial"]  # what tasks differ in must go somewhere


def test_separate_tasks_leave_a_new_one_to_the_prior():
    found = of_budgets("separate")
    unseen, prior = found.draws["exponent_budget"], hl.laws.OptimalUTD.own_parameters[1].prior
    assert hl.laws.OptimalUTD.own_parameters[1].name == "exponent_budget"
    agree(unseen, float(prior.mean))
    agree((unseen - float(prior.mean)) ** 2, float(prior.variance))
    at = {"budget": 1e19}
    new, known = (predict(found, at | {"task": task}).table.loc["utd"] for task in (None, "first"))
    assert np.log(new["upper"] / new["lower"]) > 5 * np.log(known["upper"] / known["lower"])
    far = np.exp(VALUE_TRUTH["OptimalUTD"]["log_utd"] - 0.3 + (0.6 - 0.25) * np.log(100))
    assert known["lower"] < far < known["upper"]


def test_a_new_task_of_runs_is_drawn_from_the_prior_too():
    law = hl.laws.TimeTransfer(pooling={"log_peak_rate": "separate", "exponent_data": "shared"})
    runs = hl.Runs.from_frame(grid(("a", "b"), rates=3, batches=2).assign(loss=lambda f: 3 - 0.1 * np.log(f["data"])))
    fit = made_fit(law, runs, TRUTH, scattered={"log_peak_rate": 0.5}, draws=500)
    assert "exponent_data_task" not in fit.draws
    # A separate parameter has no population: there is no standard deviation between tasks.
    assert "log_peak_rate_task_sd" not in fit.draws
    posterior = fit.draws.copy()
    posterior["log_peak_rate_task"] = posterior["log_peak_rate_task"] * 0 + np.array([2.0, 3.0])
    fit.tree["posterior"] = posterior
    tasks = ["a", "b", None]
    found = task_parameters(fit, tasks)
    np.testing.assert_array_equal(found["log_peak_rate"][..., :2].reshape(-1, 2), [[2.0, 3.0]] * 1000)
    np.testing.assert_array_equal(found["log_peak_rate"][..., 2], posterior["log_peak_rate"])
    new = found["optimal_loss"][..., 2]
    agree((new - TRUTH["optimal_loss"]) / 0.01, 0)
    agree(((new - TRUTH["optimal_loss"]) / 0.01) ** 2, 1)
    assert (found["exponent_data"] == TRUTH["exponent_data"]).all()


@pytest.mark.parametrize(
    ("name", "how"),
    [("log_utd", "none"), ("exponent_budget", "Shared"), ("residual_sd_utd", "shared"), ("log_ut", "shared")],
)
def test_unknown_pooling_is_refused(name, how):
    text = (
        f"pooling[{name!r}] = {how!r}: give partial, shared, separate for a parameter that is pooled over tasks: "
        "log_utd, exponent_budget."
    )
    for owner in (hl.laws.OptimalUTD, lambda pooling: hl.likelihood(hl.laws.OptimalUTD(), "optima", pooling=pooling)):
        with pytest.raises(ValueError, match=re.escape(text)):
            owner(pooling={name: how})


def test_pooling_is_part_of_the_law():
    plain, shared = hl.laws.OptimalUTD(), hl.laws.OptimalUTD(pooling={"log_utd": "shared"})
    assert plain != shared
    assert plain == hl.laws.OptimalUTD(pooling={})
    assert shared.parameters.loc["log_utd", "pooled over"] == ""
    assert plain.parameters.loc["log_utd", "pooled over"] == "task"
    given = {"log_utd": "shared"}
    law = hl.laws.OptimalUTD(pooling=given)
    given["exponent_budget"] = "shared"
    assert law == shared
    assert hl.likelihood(plain, "optima", pooling={"log_utd": "shared"}) == hl.likelihood(shared, "optima")


def test_compare_by_row_and_by_task():
    fits = {how: of_budgets(how) for how in ("shared", "partial")}
    by_row = hl.compare(fits, seed=0)
    assert by_row.table.index[0] == "partial"
    assert by_row.table.loc["shared", "elpd_diff"] < -5
    assert all(len(score.elpd_i) == 15 for score in by_row.scores.values())
    by_task = hl.compare(fits, leave_out="task", seed=0)
    assert list(by_task.by_group.index) == ["first", "second", "third"]
    assert by_task.by_group.notna().all(axis=None)
    assert len(by_task.refits) == 6
    assert (by_task.refits.groupby("left_out")["runs"].first() == 5).all()
    # A task that was not seen is predicted worse than a row of one that was.
    for how in fits:
        assert by_task.table.loc[how, "elpd"] < by_row.table.loc[how, "elpd"]


def test_fits_to_different_tables_are_not_compared():
    other = replace(of_budgets(), table=example(hl.laws.OptimalUTD()))
    with pytest.raises(ValueError, match="were fitted to different"):
        hl.compare({"a": of_budgets(), "b": other}, seed=0)


def test_explicit_partial_pooling_is_the_default():
    plain = refit(hl.laws.OptimalUTD(), of_budgets().table, seed=3)
    for name in ("log_utd", "exponent_budget"):
        alike(plain.draws[f"{name}_task"], of_budgets().draws[f"{name}_task"])
