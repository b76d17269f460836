"""Backtests of measured values: withheld rows are predicted, and scored by the density of the model."""

import re

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import scoringrules
from conftest import VALUE_TRUTH, made, measure
from made_fit import made_fit

import hyperlaw as hl
from hyperlaw.diagnostics import backtest as module
from hyperlaw.diagnostics.backtest import backtest
from hyperlaw.diagnostics.score_values import ValueScores, score_values
from hyperlaw.diagnostics.withheld import withheld
from hyperlaw.inference.example import example
from hyperlaw.inference.refit import refit

LAW = hl.laws.OptimalUTD()
APART = {"log_utd": (-0.3, 0.0, 0.3)}


@pytest.fixture(scope="module")
def budgets():
    """Best ratios of three tasks over five budgets."""
    return measure(LAW, example(LAW), 5, apart=APART)


@pytest.fixture(scope="module")
def tested(budgets):
    return backtest(LAW, budgets, seed=0, progress=False)


# Scores, on a fit whose draws are known.


def three_budgets(ratios, **ends):
    rows = {"budget": [1e15, 1e16, 1e17], "utd": ratios, "utd_error": [0.0, 0.1, 0.4]}
    return hl.Optima.from_frame(pd.DataFrame(rows | ends), estimated=("utd",))


CENTRE = np.log(2) + 0.5 * np.log([0.1, 1.0, 10.0])
SCALE = np.hypot(0.3, [0.0, 0.1, 0.4])


def scored(fit):
    """Scores of the rows that the fit was made for."""
    measured = fit.table.points().assign(label=fit.table.labels)
    return pd.DataFrame(score_values(fit, fit.table.frame, measured))


def sure(table, law=LAW, **truth):
    """A fit of one task that is sure of its parameters."""
    values = {"log_utd": np.log(2), "exponent_budget": 0.5, "residual_sd_utd": 0.3} | truth
    return made_fit(law, table, values, draws=20_000)


def test_a_measured_value_is_scored_by_students_t_with_its_error_taken_in():
    value = np.exp(CENTRE + SCALE * [0.0, 1.2, -3.0])
    rows = scored(sure(three_budgets(value)))
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
    rows = scored(sure(three_budgets(ends, **{f"utd_{side}": ends})))
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
    values = VALUE_TRUTH["DataEfficiency"] | {"residual_sd_data": 0.02, "cell_sd": 0.5}
    rows, narrow = (scored(sure(table, law, **values | change)) for change in ({}, {"cell_sd": 1e-6}))
    width, without = (np.log(found["upper"] / found["lower"]) for found in (rows, narrow))
    np.testing.assert_allclose(width, 2 * 1.645 * 0.5, rtol=0.05)
    assert (without < 0.1).all()
    np.testing.assert_allclose(rows["median"][:2] / narrow["median"][:2], rows["median"][0] / narrow["median"][0], 0.01)


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
    assert tested.withheld == "withheld budget 1e19"


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
    assert repr(tested).startswith("Backtest, withheld budget 1e19.\n")


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
    fits = [refit(LAW, table, seed=0, keep=keep) for table in (budgets, other)]
    assert fits[0].pivot == fits[1].pivot == {"budget": pytest.approx(np.log(10) * 16.5)}
    for name, draws in fits[0].tree["posterior"].items():
        np.testing.assert_array_equal(draws, fits[1].tree["posterior"][name])
    whole = refit(LAW, budgets, seed=0)
    assert whole.pivot["budget"] == pytest.approx(np.log(10) * 17)
    assert (fits[0].tree.attrs["kept"], whole.tree.attrs["kept"]) == (12, 15)


def test_withheld_rows_with_one_sided_values_of_crossings():
    law = hl.laws.DataEfficiency()
    table = made(example(law), example(law).frame.assign(limit=1.2e6))
    apart = {"log_data": (-0.5, 0.0, 0.5)}
    table = measure(law, table, 1, apart=apart)
    found = backtest({"law": law}, table, seed=0, hold_out=lambda frame: frame["utd"] == 1, progress=False)
    assert found.withheld == "withheld 12 rows by a function"
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
        ("largest", "withheld budget 1e19", [3]),
        ("task", "each task withheld in turn", [5, 5, 5]),
        ("largest:2", "withheld budget 1e18, 1e19", [6]),
        (lambda frame: frame["budget"] > 2e17, "withheld 6 rows by a function", [6]),
        (lambda frame: (frame["task"] == "first").to_numpy(), "withheld 5 rows by a function", [5]),
    ],
)
def test_what_is_withheld(budgets, hold_out, words, numbers):
    parts, said = withheld_of(LAW, budgets, hold_out)
    assert said == words
    assert [int(part.sum()) for part in parts] == numbers
    assert all(part.dtype == bool for part in parts)


def withheld_of(law, table, hold_out="largest"):
    return withheld(table, hold_out, ValueScores({"law": law}, table, sparse=None, repeats=1, risks=None).scales)


def test_largest_is_of_the_first_covariate_that_varies():
    law = hl.laws.DataEfficiencyBySize()
    table = example(law)
    assert withheld_of(law, table)[1] == "withheld utd 8"
    assert withheld_of(law, table.where(table.frame["utd"] == 2))[1] == "withheld params 16M"
    measured = example(hl.laws.UTDHyperparameters())
    spread = made(measured, measured.frame.assign(batch_size=np.arange(1.0, 13.0)))  # measured, and so no scale
    of_two = spread.where(spread.frame["utd"] <= 2)
    assert withheld_of(hl.laws.UTDHyperparameters(), of_two)[1] == "withheld utd 2"
    surge = hl.laws.Surge()
    assert withheld_of(surge, example(surge))[1] == "withheld batch_size 2048"


REFUSALS = {
    "backtest needs a law or more, received none.": {"laws": {}},
    "a law is named 'shared regression', as a recipe is. The recipes are: shared regression, separate": {
        "laws": {"shared regression": LAW}
    },
    "sparse, repeats and risks are for Runs; received Optima, whose rows are predicted without a choice": {"sparse": 5},
    "sparse, repeats and risks are for Runs": {"repeats": 2},
    "are for Runs; received Optima": {"risks": {"mean": hl.Mean()}},
    "cells are named of Runs alone; for Optima pass a function of its frame.": {"hold_out": [0, 3]},
    "a function of the frame or, of runs, a list of cells; received 'biggest'.": {"hold_out": "biggest"},
    "a function of the frame or, of runs, a list of cells; received 'largest:0'.": {"hold_out": "largest:0"},
    "hold_out must return booleans, one a row of the frame; received float64": {
        "hold_out": lambda frame: frame["budget"]
    },
    "it withholds 0 of 15 rows": {"hold_out": lambda frame: frame["budget"] > 1e20},
    "it withholds 15 of 15 rows": {"hold_out": lambda frame: frame["budget"] > 0},
}


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals_come_before_any_sampling(budgets, text, monkeypatch):
    monkeypatch.setattr(module, "refit", lambda *_, **__: pytest.fail("sampled"))
    arguments = {"laws": {"OptimalUTD": LAW}} | REFUSALS[text]
    with pytest.raises(ValueError, match=re.escape(text)):
        backtest(arguments.pop("laws"), budgets, seed=0, progress=False, **arguments)


def test_a_single_task_or_scale_cannot_be_withheld(budgets):
    one = budgets.where(budgets.frame["task"] == "first")
    with pytest.raises(ValueError, match=re.escape('"task" (where there are several), a function')):
        backtest({"law": LAW}, one, seed=0, hold_out="task", progress=False)
    alike = budgets.where(budgets.frame["budget"] == 1e16)
    with pytest.raises(ValueError, match="hold_out='largest' needs a scale with two values or more; name what to"):
        backtest({"law": LAW}, alike, seed=0, progress=False)
