"""What papers do by hand with measured values, on tables whose answer is known, and how a backtest scores it."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import scoringrules

import hyperlaw as hl
from hyperlaw.diagnostics.baselines.values import (
    VALUE_RECIPES,
    least_squares_data,
    least_squares_steps,
    separate_regression,
    shared_regression,
)
from hyperlaw.diagnostics.score_values import ValueScores


def test_recipes_have_the_names_that_tables_show():
    assert list(VALUE_RECIPES) == [
        "shared regression", "separate regression", "least-squares data", "least-squares steps"
    ]  # fmt: skip


def powers(tasks=("a", "b"), slopes=(0.5, -1.2), scale=2.0):
    """A power of two columns without any scatter, each task `scale` times as high as the one before."""
    rows = [
        {"task": task, "utd": u, "params": n, "value": 7.0 * scale**i * u ** slopes[0] * (n / 1e6) ** slopes[1]}
        for i, task in enumerate(tasks)
        for u in (1.0, 2.0, 4.0, 8.0)
        for n in (1e6, 3e6, 9e6)
    ]
    return pd.DataFrame(rows)


def test_a_shared_regression_is_exact_on_powers():
    table = powers()
    train, test = table[table["utd"] < 8], table[table["utd"] == 8]
    mean, sd = shared_regression(train, test, ["utd", "params"])
    np.testing.assert_allclose(np.exp(mean), test["value"])
    np.testing.assert_allclose(sd, 0, atol=1e-9)


def test_a_shared_regression_gives_a_new_task_the_mean_of_the_others():
    table = powers(("a", "b", "c"))
    train, test = table[table["task"] != "c"], table[table["task"] == "c"]
    mean, sd = shared_regression(train, test, ["utd", "params"])
    np.testing.assert_allclose(np.exp(mean), test["value"] / 2**1.5)  # 1 and 2 are known, 4 is asked
    np.testing.assert_allclose(sd, np.std([0, np.log(2)], ddof=1), rtol=1e-6)


def test_a_shared_regression_of_what_moves_between_tasks_alone_has_one_intercept():
    table = pd.DataFrame({"task": ["a", "b", "c", "d"], "data": [1e8, 2e8, 4e8, 8e8]}).assign(
        value=lambda f: 3 * f["data"] ** 0.4
    )
    mean, sd = shared_regression(table[:3], table[3:], ["data"])
    np.testing.assert_allclose(np.exp(mean), table["value"][3:])
    np.testing.assert_allclose(sd, 0, atol=1e-6)


def test_the_deviation_of_a_regression_is_that_of_what_it_leaves():
    rng = np.random.default_rng(0)
    table = powers(("a",)).assign(value=lambda f: f["value"] * np.exp(0.3 * rng.standard_normal(len(f))))
    _, shared = shared_regression(table, table, ["utd", "params"])
    _, separate = separate_regression(table, table, ["utd", "params"])
    design = np.column_stack([np.ones(12), np.log(table[["utd", "params"]])])
    left = np.log(table["value"]) - design @ np.linalg.lstsq(design, np.log(table["value"]))[0]
    np.testing.assert_allclose(shared, np.sqrt((left**2).sum() / 9))
    np.testing.assert_allclose(separate, shared)


def test_separate_regressions_are_exact_where_tasks_have_rows_enough():
    table = pd.concat([powers(("a",), (0.5, -1.2)), powers(("b",), (-0.3, 0.2)), powers(("c",))], ignore_index=True)
    train = table[(table["utd"] < 8) & ((table["task"] != "c") | (table["utd"] * table["params"] < 3e6))]
    test = table[table["utd"] == 8]
    mean, sd = separate_regression(train, test, ["utd", "params"])
    known = (test["task"] != "c").to_numpy()
    np.testing.assert_allclose(np.exp(mean[known]), test["value"][known])
    np.testing.assert_allclose(sd[known], 0, atol=1e-9)
    assert (train["task"] == "c").sum() == 2  # two rows do not determine three numbers
    assert np.isnan(mean[~known]).all()
    three = train[(train["task"] == "a") & train["utd"].isin([1, 2])].iloc[[0, 1, 3]]
    mean, sd = separate_regression(three, test[test["task"] == "a"], ["utd", "params"])
    np.testing.assert_allclose(np.exp(mean), test["value"][test["task"] == "a"])
    assert np.isnan(sd).all()  # three rows determine three numbers, and say nothing of their scatter
    assert separate_regression(train[:2], test, ["utd", "params"]) is None


def test_regressions_that_do_not_apply():
    table = powers()
    one = table[table["utd"] == 2]
    assert shared_regression(one, table, ["utd", "params"]) is None
    assert separate_regression(one, table, ["utd", "params"]) is None
    below = table.assign(threshold=np.linspace(-300, 900, len(table)))  # a return below zero has no log
    assert shared_regression(below, below, ["utd", "threshold"]) is None
    mean, _ = separate_regression(below, below, ["utd", "threshold"])
    np.testing.assert_array_equal(np.isnan(mean), below["task"] == "a")
    above = table.assign(threshold=np.arange(1.0, len(table) + 1))
    mean, _ = shared_regression(above, below, ["utd", "threshold"])
    np.testing.assert_array_equal(np.isfinite(mean), below["threshold"] > 0)


def efficiency(ratios=(0.5, 1.0, 2.0, 4.0, 16.0)):
    rows = [
        {"task": task, "threshold": j, "utd": u, "value": least + (beta / u) ** alpha}
        for task, j, alpha, beta, least in [
            ("a", 300.0, 0.76, 5e6, 6e4), ("a", 800.0, 0.70, 5e8, 2e5), ("b", 300.0, 1.09, 1e5, 8e4)
        ]
        for u in ratios
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_least_squares_of_data_is_exact_on_the_published_form():
    table = efficiency()
    train, test = table[table["utd"] < 16], table[table["utd"] == 16]
    mean, sd = least_squares_data(train, test, ["utd", "threshold"])
    np.testing.assert_allclose(np.exp(mean), test["value"], rtol=1e-4)
    assert np.isnan(sd).all()


def test_least_squares_of_data_needs_three_ratios_of_each_task_and_threshold():
    table = efficiency()
    train = table[(table["task"] == "a") | (table["utd"] < 2)]
    mean, _ = least_squares_data(train, table, ["utd", "threshold"])
    np.testing.assert_array_equal(np.isnan(mean), table["task"] == "b")
    assert least_squares_data(table[table["utd"] < 2], table, ["utd", "threshold"]) is None
    assert least_squares_data(table, table, ["utd"]) is None
    assert least_squares_data(table, table, ["batch_size"]) is None


def curves(batches=(64.0, 256.0, 1024.0, 8192.0)):
    rows = [
        {"task": task, "batch_size": b, "steps": s * (1 + c / b), "value": s * (1 + c / b)}
        for task, s, c in [("a", 2000.0, 300.0), ("b", 9000.0, 5000.0)]
        for b in batches
    ]
    return pd.DataFrame(rows)


def test_least_squares_of_steps_is_exact_on_the_published_form():
    table = curves()
    train, test = table[table["batch_size"] < 8192], table[table["batch_size"] == 8192]
    mean, sd = least_squares_steps(train, test, ["batch_size"])
    np.testing.assert_allclose(np.exp(mean), test["value"], rtol=1e-6)
    np.testing.assert_allclose(sd, 0, atol=1e-6)
    few = train[(train["task"] == "a") | (train["batch_size"] > 64)]
    np.testing.assert_array_equal(np.isnan(least_squares_steps(few, test, ["batch_size"])[0]), [False, True])
    assert least_squares_steps(train[:2], test, ["batch_size"]) is None
    assert least_squares_steps(train.drop(columns="steps"), test, ["batch_size"]) is None
    assert least_squares_steps(train, test, ["data"]) is None


# How they are scored.


def scored(table, law, out):
    """Scores of every recipe that applies, fitted without the rows `out`."""
    scores = ValueScores({"law": law}, table, sparse=None, repeats=1, risks=None)
    assert scores.baselines is VALUE_RECIPES
    return pd.DataFrame([{"method": n} | row for n in VALUE_RECIPES for row in scores.of_baseline(n, None, out)])


def test_recipes_are_scored_by_a_normal_and_know_both_sides():
    rng = np.random.default_rng(0)
    value = np.exp(0.3 * np.arange(8) + 0.1 * rng.standard_normal(8))
    table = {"budget": np.exp(np.arange(8.0)), "utd": value, "utd_error": 0.0}
    ends = {"utd_low": [0.0] * 6 + [value[6], 0.0], "utd_high": [np.inf] * 7 + [value[7]]}
    optima = hl.Optima.from_frame(pd.DataFrame(table | ends), estimated=("utd",))
    out = np.arange(8) >= 5
    rows = scored(optima, hl.laws.OptimalUTD(), out)
    assert set(rows["method"]) == {"shared regression", "separate regression"}  # what else does not apply
    fitted = np.polynomial.Polynomial.fit(np.arange(5), np.log(value[:5]), 1)
    left = np.log(value[:5]) - fitted(np.arange(5))
    sd, mean = np.sqrt((left**2).sum() / 3), fitted(np.arange(5, 8))
    z, z90 = (np.log(value[5:]) - mean) / sd, scipy.stats.norm.ppf(0.95)
    expected = [scipy.stats.norm.logpdf(z[0]) - np.log(sd), scipy.stats.norm.logcdf(z[1]), scipy.stats.norm.logsf(z[2])]
    for _, found in rows.groupby("method"):
        np.testing.assert_allclose(np.log(found["median"]), mean)
        np.testing.assert_allclose(found["log_score"], expected)
        assert found["one_sided"].tolist() == [False, True, True]
        assert found["covered"].tolist() == [abs(z[0]) <= z90, z[1] >= -z90, z[2] <= z90]
        assert found["error"].isna().tolist() == [False, True, True]
        np.testing.assert_allclose(np.log(found["upper"] / found["lower"]), 2 * z90 * sd)
        assert found["crps"].iloc[0] == pytest.approx(scoringrules.crps_normal(np.log(value[5]), mean[0], sd), rel=1e-3)


@pytest.mark.parametrize(("side", "far"), [("low", 5.0), ("low", -5.0), ("high", 5.0), ("high", -5.0)])
def test_a_recipe_covers_a_one_sided_value_where_its_interval_reaches_beyond(side, far):
    rng = np.random.default_rng(0)
    train = np.exp(0.05 * rng.standard_normal(8))
    value = np.append(train, np.exp(far))
    end = {f"utd_{side}": [0.0 if side == "low" else np.inf] * 8 + [value[8]]}
    table = {"budget": np.exp(np.arange(9.0)), "utd": value, "utd_error": 0.0}
    optima = hl.Optima.from_frame(pd.DataFrame(table | end), estimated=("utd",))
    rows = scored(optima, hl.laws.OptimalUTD(), np.arange(9) == 8)
    assert set(rows["covered"]) == {(far < 0) == (side == "high")}
    assert ((rows["log_score"] > -1e-6) == ((far < 0) == (side == "high"))).all()
    # Beyond the limit every value is alike: nothing is lost there, and all of the way to it elsewhere.
    expected = 0.0 if (far < 0) == (side == "high") else abs(far)
    assert rows["crps"].to_numpy() == pytest.approx(expected, abs=0.2)


def test_recipes_leave_one_sided_values_out_of_what_they_fit():
    exact = np.exp(0.5 * np.arange(6.0))
    table = pd.DataFrame({"budget": np.exp(np.arange(6.0)), "utd": exact, "utd_error": 0.0, "utd_high": np.inf})
    table.loc[2, ["utd", "utd_high"]] = 1.5
    optima = hl.Optima.from_frame(table, estimated=("utd",))
    rows = scored(optima, hl.laws.OptimalUTD(), np.arange(6) == 5)
    assert rows["median"].to_numpy() == pytest.approx(exact[5])


def test_recipes_know_a_batch_size_that_is_given():
    rows = product((1e6, 4e6, 16e6), (1e8, 4e8), (64.0, 256.0, 1024.0))
    table = pd.DataFrame(rows, columns=["params", "data", "batch_size"])
    table["learning_rate"] = 1e-2 * (table["params"] / 1e6) ** -0.3 * (table["batch_size"] / 64) ** 0.5
    optima = hl.Optima.from_frame(table, estimated=("learning_rate",), batch_unit=1)
    rows = scored(optima, hl.laws.StepLaw(), (table["params"] == 16e6).to_numpy())
    assert set(rows["method"]) == {"shared regression", "separate regression"}
    for _, found in rows.groupby("method"):
        np.testing.assert_allclose(found["median"], table["learning_rate"][found["row"]])
