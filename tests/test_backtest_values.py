import re

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import scoringrules
import xarray as xr
from conftest import VALUE_TRUTH, made, measure

import hyperlaw as hl
from hyperlaw.diagnostics import backtest_values as scoring
from hyperlaw.diagnostics.backtest import backtest
from hyperlaw.diagnostics.value_recipes import (
    VALUE_RECIPES,
    least_squares_data,
    least_squares_steps,
    separate_regression,
    shared_regression,
)
from hyperlaw.inference import refit as module
from hyperlaw.inference.example import example
from hyperlaw.inference.refit import SHORT
from hyperlaw.models.meet import pivot_of

LAW = hl.laws.OptimalUTD()
APART = {"log_utd": (-0.3, 0.0, 0.3)}


@pytest.fixture(scope="module", autouse=True)
def _short_chains():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SHORT", SHORT._replace(draws=600))
        yield


@pytest.fixture(scope="module")
def budgets():
    """Best ratios of three tasks over five budgets."""
    return measure(LAW, example(LAW), 5, apart=APART)


@pytest.fixture(scope="module")
def tested(budgets):
    return backtest({"OptimalUTD": LAW}, budgets, seed=0, progress=False)


# Recipes on exact tables.


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


# Scores, on a fit whose draws are known.


def sure(table, law=LAW, **values):
    """A fit of one task that is sure of its parameters."""
    posterior = {name: (("chain", "draw"), np.full((2, 20_000), value)) for name, value in values.items()}
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(posterior)})
    tree.attrs["seed"] = 0
    return hl.Fit(law, table, tree, pivot_of(law, table))


def three_budgets(ratios, **ends):
    rows = {"budget": [1e15, 1e16, 1e17], "utd": ratios, "utd_error": [0.0, 0.1, 0.4]}
    return hl.Optima.from_frame(pd.DataFrame(rows | ends), estimated=("utd",))


CENTRE = np.log(2) + 0.5 * np.log([0.1, 1.0, 10.0])
SCALE = np.hypot(0.3, [0.0, 0.1, 0.4])


def scored(table):
    fit = sure(table, log_utd=np.log(2), exponent_budget=0.5, scatter_utd=0.3)
    long = table.points().assign(label=table.labels)
    return scoring.score_values(fit, table.frame, long)


def test_a_measured_value_is_scored_by_students_t_with_its_error_taken_in():
    value = np.exp(CENTRE + SCALE * [0.0, 1.2, -3.0])
    rows = scored(three_budgets(value))
    measured = scipy.stats.t(4, CENTRE, SCALE)
    np.testing.assert_allclose(rows["log_score"], measured.logpdf(np.log(value)), rtol=1e-6)
    np.testing.assert_allclose(rows["value"], value)
    np.testing.assert_allclose(np.log(rows["median"]), CENTRE, atol=0.02)
    np.testing.assert_allclose(np.log(rows["lower"]), measured.ppf(0.05), atol=0.05)
    np.testing.assert_allclose(np.log(rows["upper"]), measured.ppf(0.95), atol=0.05)
    np.testing.assert_allclose(rows["error"], np.abs(np.log(value) - CENTRE), atol=0.02)
    np.testing.assert_allclose(rows["crps"], scoringrules.crps_t(np.log(value), 4, CENTRE, SCALE), rtol=0.05)
    assert not rows["one_sided"].any()
    # 0, 1.2 and 3 scales off, where half of Student's t lies within 0.74, 80 % within 1.53 and 90 % within 2.13.
    assert rows[["covered_50", "covered_80", "covered"]].to_numpy().tolist() == [
        [True, True, True], [False, True, True], [False, False, False]
    ]  # fmt: skip


@pytest.mark.parametrize("side", ["high", "low"])
def test_a_one_sided_value_is_scored_by_the_probability_of_lying_beyond(side):
    sign = 1 if side == "high" else -1
    ends = np.exp(CENTRE + sign * SCALE * [-1.0, 1.8, 4.0])
    rows = scored(three_budgets(ends, **{f"utd_{side}": ends}))
    measured = scipy.stats.t(4, CENTRE, SCALE)
    beyond = measured.logsf(np.log(ends)) if side == "high" else measured.logcdf(np.log(ends))
    np.testing.assert_allclose(rows["log_score"], beyond, rtol=1e-6)
    assert rows["one_sided"].all()
    assert rows["error"].isna().all()
    # The interval reaches beyond the limit where that is not too unlikely: 81 %, 7 % and 0.8 % lie beyond.
    assert rows["covered"].tolist() == [True, True, False]
    assert rows["covered_80"].tolist() == [True, False, False]
    reach = rows["upper"] if side == "high" else 1 / rows["lower"]
    assert (reach <= (ends if side == "high" else 1 / ends) * (1 + 1e-12)).all()


def test_a_cells_own_deviation_is_part_of_the_interval_and_shared_by_its_thresholds():
    law = hl.laws.DataEfficiency()
    frame = pd.DataFrame({"utd": [1.0, 1.0, 4.0], "threshold": [300.0, 600.0, 300.0], "data": 1e5})
    table = hl.Crossings.from_frame(frame)
    values = VALUE_TRUTH["DataEfficiency"] | {"scatter_data": 0.02, "spread_cell": 0.5}
    rows, narrow = (
        scoring.score_values(
            sure(table, law, **values | change), table.frame, table.points().assign(label=table.labels)
        )
        for change in ({}, {"spread_cell": 1e-6})
    )
    width, without = (np.log(found["upper"] / found["lower"]) for found in (rows, narrow))
    np.testing.assert_allclose(width, 2 * 1.645 * 0.5, rtol=0.05)
    assert (without < 0.1).all()
    np.testing.assert_allclose(rows["median"][:2] / narrow["median"][:2], rows["median"][0] / narrow["median"][0], 0.01)


def test_recipes_are_scored_by_a_normal_and_know_both_sides():
    rng = np.random.default_rng(0)
    value = np.exp(0.3 * np.arange(8) + 0.1 * rng.standard_normal(8))
    table = {"budget": np.exp(np.arange(8.0)), "utd": value, "utd_error": 0.0}
    ends = {"utd_low": [0.0] * 6 + [value[6], 0.0], "utd_high": [np.inf] * 7 + [value[7]]}
    optima = hl.Optima.from_frame(pd.DataFrame(table | ends), estimated=("utd",))
    out = np.arange(8) >= 5
    rows = pd.concat(scoring._recipes(optima.frame, optima.points().assign(label=range(8)), out, ["budget"]))
    assert set(rows["method"]) == {"shared regression", "separate regression"}  # what else does not apply
    fitted = np.polynomial.Polynomial.fit(np.arange(5), np.log(value[:5]), 1)
    left = np.log(value[:5]) - fitted(np.arange(5))
    sd, mean = np.sqrt((left**2).sum() / 3), fitted(np.arange(5, 8))
    z = (np.log(value[5:]) - mean) / sd
    expected = [scipy.stats.norm.logpdf(z[0]) - np.log(sd), scipy.stats.norm.logcdf(z[1]), scipy.stats.norm.logsf(z[2])]
    for _, found in rows.groupby("method"):
        np.testing.assert_allclose(np.log(found["median"]), mean)
        np.testing.assert_allclose(found["log_score"], expected)
        assert found["one_sided"].tolist() == [False, True, True]
        assert found["covered"].tolist() == [abs(z[0]) <= 1.645, z[1] >= -1.645, z[2] <= 1.645]
        assert found["error"].isna().tolist() == [False, True, True]
        np.testing.assert_allclose(np.log(found["upper"] / found["lower"]), 2 * 1.645 * sd)
        assert found["crps"].iloc[0] == pytest.approx(scoringrules.crps_normal(np.log(value[5]), mean[0], sd), rel=1e-3)


@pytest.mark.parametrize(("side", "far"), [("low", 5.0), ("low", -5.0), ("high", 5.0), ("high", -5.0)])
def test_a_recipe_covers_a_one_sided_value_where_its_interval_reaches_beyond(side, far):
    rng = np.random.default_rng(0)
    train = np.exp(0.05 * rng.standard_normal(8))
    value = np.append(train, np.exp(far))
    end = {f"utd_{side}": [0.0 if side == "low" else np.inf] * 8 + [value[8]]}
    table = {"budget": np.exp(np.arange(9.0)), "utd": value, "utd_error": 0.0}
    optima = hl.Optima.from_frame(pd.DataFrame(table | end), estimated=("utd",))
    measured = optima.points().assign(label=range(9))
    rows = pd.concat(scoring._recipes(optima.frame, measured, np.arange(9) == 8, ["budget"]))
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
    measured = optima.points().assign(label=range(6))
    rows = pd.concat(scoring._recipes(optima.frame, measured, np.arange(6) == 5, ["budget"]))
    assert rows["median"].to_numpy() == pytest.approx(exact[5])


# The whole of it.


def test_one_row_a_method_row_and_quantity(tested, budgets):
    table = tested.table
    assert list(table.columns[:3]) == ["method", "label", "quantity"]
    assert {
        "task", "budget", "value", "one_sided", "median", "lower", "upper", "covered_50", "covered_80", "covered",
        "error", "crps", "log_score", "divergences", "r_hat",
    } <= set(table.columns)  # fmt: skip
    assert list(table["method"].unique()) == ["OptimalUTD", "shared regression", "separate regression"]
    assert not table.duplicated(["method", "label", "quantity"]).any()
    for _, rows in table.groupby("method"):
        assert rows["label"].tolist() == [4, 9, 14]
        assert rows["task"].tolist() == ["first", "second", "third"]
        assert (rows["budget"] == 1e19).all()
        np.testing.assert_allclose(rows["value"], budgets.frame["utd"][[4, 9, 14]])
    assert tested.withheld == "withheld budget 1e+19"


def test_a_law_that_made_the_rows_covers_what_was_withheld(tested):
    rows = tested.table[tested.table["method"] == "OptimalUTD"]
    assert rows["covered"].all()
    assert (rows["covered_50"] <= rows["covered_80"]).all()
    assert (rows["error"] < 0.3).all()
    assert (rows["r_hat"] < 1.1).all()
    assert (rows["lower"] < rows["median"]).all()
    assert (rows["median"] < rows["upper"]).all()


def test_the_summary_averages_the_table(tested):
    for method, rows in tested.table.groupby("method"):
        summary = tested.summary.loc[(method, "utd")]
        assert summary["rows"] == 3
        for name in ("covered", "covered_80", "error", "log_score", "crps"):
            assert summary[name] == pytest.approx(rows[name].astype(float).mean(), nan_ok=True), name
    assert repr(tested).startswith("Backtest, withheld budget 1e+19.\n")


def test_a_withheld_task_is_predicted_as_a_new_one(budgets):
    found = backtest({"OptimalUTD": LAW}, budgets, seed=0, hold_out="task", progress=False)
    assert found.withheld == "each task withheld in turn"
    rows = found.table[found.table["method"] == "OptimalUTD"]
    assert rows["label"].tolist() == list(range(15))
    assert rows["covered"].mean() > 0.75
    # Nothing is known of its level: the interval takes in all that tasks differ in.
    assert (np.log(rows["upper"] / rows["lower"]) > 0.6).all()
    assert "separate regression" not in set(found.table["method"])
    assert set(found.table.loc[found.table["method"] == "shared regression", "label"]) == set(range(15))


def test_withheld_values_leave_no_trace_in_the_refit(budgets):
    frame = budgets.frame
    keep = frame["budget"] < 1e19
    other = made(
        budgets, frame.assign(utd=frame["utd"].where(keep, 1e-6), utd_error=frame["utd_error"].where(keep, 9.0))
    )
    fits = [module.refit(LAW, table, seed=0, keep=keep) for table in (budgets, other)]
    assert fits[0].pivot == fits[1].pivot == {"budget": pytest.approx(np.log(10) * 16.5)}
    for name, draws in fits[0].tree["posterior"].items():
        np.testing.assert_array_equal(draws, fits[1].tree["posterior"][name])
    whole = module.refit(LAW, budgets, seed=0)
    assert whole.pivot["budget"] == pytest.approx(np.log(10) * 17)
    assert (fits[0].tree.attrs["kept"], whole.tree.attrs["kept"]) == (12, 15)


def test_withheld_rows_with_one_sided_values_of_crossings():
    law = hl.laws.DataEfficiency()
    table = made(example(law), example(law).frame.assign(limit=1.2e6))
    apart = {"log_data": (-0.5, 0.0, 0.5)}
    table = measure(law, table, 1, apart=apart)
    found = backtest({"law": law}, table, seed=0, hold_out=lambda frame: frame["utd"] == 1, progress=False)
    assert found.withheld == "rows withheld by a function"
    methods = ["law", "shared regression", "separate regression", "least-squares data"]
    assert list(found.table["method"].unique()) == methods
    never = ~table.frame.query("utd == 1")["reached"].to_numpy()
    assert 2 <= never.sum() <= 6
    for _, rows in found.table.groupby("method"):
        np.testing.assert_array_equal(rows["one_sided"], never)
        assert rows["error"].isna().tolist() == never.tolist()
        np.testing.assert_allclose(rows["value"][never.astype(bool)], 1.2e6)
    rows = found.table[found.table["method"] == "law"]
    assert rows["covered"].mean() > 0.8
    assert rows["log_score"].notna().all()
    assert (rows["upper"] <= 1.2e6 * (1 + 1e-9)).all()


@pytest.mark.parametrize(
    ("hold_out", "words", "numbers"),
    [
        ("largest", "withheld budget 1e+19", [3]),
        ("task", "each task withheld in turn", [5, 5, 5]),
        (lambda frame: frame["budget"] > 2e17, "rows withheld by a function", [6]),
        (lambda frame: (frame["task"] == "first").to_numpy(), "rows withheld by a function", [5]),
    ],
)
def test_what_is_withheld(budgets, hold_out, words, numbers):
    parts, said = scoring._parts({"OptimalUTD": LAW}, budgets, hold_out)
    assert said == words
    assert [int(part.sum()) for part in parts] == numbers
    assert all(part.dtype == bool for part in parts)


def test_largest_is_of_the_first_covariate_that_varies():
    law = hl.laws.DataEfficiencyBySize()
    table = example(law)
    assert scoring._parts({"law": law}, table, "largest")[1] == "withheld utd 8"
    one_ratio = table.where(table.frame["utd"] == 2)
    assert scoring._parts({"law": law}, one_ratio, "largest")[1] == "withheld params 1.6e+07"
    surge = hl.laws.Surge()
    assert scoring._parts({"law": surge}, example(surge), "largest")[1] == "withheld batch_size 2.05e+03"


REFUSALS = {
    "backtest needs a law or more, received none.": {"laws": {}},
    "a law is named 'shared regression', as a recipe is. The recipes are: shared regression, separate": {
        "laws": {"shared regression": LAW}
    },
    "sparse, repeats and risks are for Runs; received Optima, whose rows are predicted without a choice": {"sparse": 5},
    "sparse, repeats and risks are for Runs": {"repeats": 2},
    "are for Runs; received Optima": {"risks": {"mean": hl.Mean()}},
    "cells are named of Runs alone; for Optima pass a function of its frame.": {"hold_out": [0, 3]},
    "hold_out must be 'largest', 'task' or a function of table.frame, received 'largest:2'.": {"hold_out": "largest:2"},
    "hold_out must return booleans, one a row; received float64": {"hold_out": lambda frame: frame["budget"]},
    "hold_out must withhold some rows and leave others: of 15 it withholds 0.": {
        "hold_out": lambda frame: frame["budget"] > 1e20
    },
    "hold_out must withhold some rows and leave others: of 15 it withholds 15.": {
        "hold_out": lambda frame: frame["budget"] > 0
    },
}


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals_come_before_any_sampling(budgets, text, monkeypatch):
    monkeypatch.setattr(scoring, "refit", lambda *_, **__: pytest.fail("sampled"))
    arguments = {"laws": {"OptimalUTD": LAW}} | REFUSALS[text]
    with pytest.raises(ValueError, match=re.escape(text)):
        backtest(arguments.pop("laws"), budgets, seed=0, progress=False, **arguments)


def test_a_single_task_or_scale_cannot_be_withheld(budgets):
    one = budgets.where(budgets.frame["task"] == "first")
    with pytest.raises(ValueError, match=re.escape("of 5 it withholds 5.")):
        backtest({"law": LAW}, one, seed=0, hold_out="task", progress=False)
    alike = budgets.where(budgets.frame["budget"] == 1e16)
    with pytest.raises(ValueError, match="hold_out='largest' needs a scale with two values or more; pass a function"):
        backtest({"law": LAW}, alike, seed=0, progress=False)


def test_recipes_have_the_names_that_tables_show():
    assert list(VALUE_RECIPES) == [
        "shared regression", "separate regression", "least-squares data", "least-squares steps"
    ]  # fmt: skip
