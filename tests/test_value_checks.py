"""Checks of fits of measured values, and the contrasts that a law needs of its table."""

import re
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from conftest import VALUE_LAWS, VALUE_TRUTH, example_of, grid, made, measure
from made_fit import made_fit
from value_fits import FITTED, of_budgets

import hyperlaw as hl
from hyperlaw.diagnostics.check import check, specs_of
from hyperlaw.diagnostics.spec import Looked
from hyperlaw.inference.example import example
from hyperlaw.inference.refit import refit
from hyperlaw.models.identifiability import contrasts, identified
from hyperlaw.models.law import LAWS

INFORMED = {
    "StepsExamples": ["log_critical_batch"],
    "UTDHyperparameters": ["exponent_utd", "rate_exponent_utd"],
    "DataEfficiency": ["exponent_utd"],
    "NoiseGrowth": ["noise_exponent_loss"],
}


@pytest.fixture(params=FITTED)
def fit(request, value_fit):
    return value_fit(request.param)


def rows_of(posterior):
    return check(posterior).table.set_index("check")


def found_in(law, table):
    return {c.name: c for c in contrasts(law, table)}


def test_checks_list_the_contrasts(fit):
    table = rows_of(fit)
    name, ratio = {
        "StepsExamples": ("range of batch_size (ratio)", 256.0),
        "UTDHyperparameters": ("range of utd (ratio)", 8.0),
        "DataEfficiency": ("range of utd (ratio)", 8.0),
        "NoiseGrowth": ("range of loss (ratio)", pytest.approx(0.85**-7)),
    }[fit.law.name]
    assert table.loc[name, ["value", "status"]].tolist() == [ratio, "PASS"]
    assert {"PSIS-LOO k, largest", "R-hat, largest", "ESS bulk, smallest", "divergences"} <= set(table.index)
    assert table.loc["rows inside 90 % posterior predictive", "status"] == "PASS"
    assert [n for n in table.index if n.startswith("contraction")] == [
        f"contraction of {name}" for name in INFORMED[fit.law.name]
    ]
    assert (table.loc[[f"contraction of {name}" for name in INFORMED[fit.law.name]], "status"] == "PASS").all()
    assert not [name for name in table.index if name.startswith(("values of", "runs"))]
    if fit.law.name == "StepsExamples":
        assert table.loc["P(log_critical_batch within the batch sizes tried)", "value"] == 1


def test_rows_that_lie_too_close_are_marked(value_fit):
    found = value_fit("UTDHyperparameters")
    near = made(found.table, found.table.frame.assign(utd=lambda f: f["utd"] ** 0.5))
    row = rows_of(replace(found, table=near)).loc["range of utd (ratio)"]
    assert row["value"] == pytest.approx(np.sqrt(8))
    assert (row["threshold"], row["status"]) == (">= 4", "REVIEW")
    assert row["advice"].startswith("The rows say little of how the law moves with utd: its prior decides.")


def test_rows_that_the_law_does_not_describe_are_marked(value_fit):
    found = value_fit("StepsExamples")
    tree = found.tree.copy()
    tree["observed_data"] = tree["observed_data"].to_dataset() + np.where(np.arange(36) % 3, 1.0, 0.0)
    row = rows_of(replace(found, tree=tree)).loc["rows inside 90 % posterior predictive"]
    assert row["value"] < 0.4
    assert row["status"] == "FAIL"
    assert row["advice"].startswith("The law does not describe these rows.")


def test_covariates_that_move_together_are_marked():
    law = hl.laws.DataEfficiencyBySize()
    apart = example_of(law, 1)
    together = apart.where(apart.frame["params"] == 1e6 * apart.frame["utd"] ** 2)
    for table, good in ((apart, True), (together, False)):
        found = found_in(law, table)
        assert set(found) == {"range of utd (ratio)", "range of params (ratio)", "correlation of utd and params"}
        assert found["correlation of utd and params"].good == good
        assert found["correlation of utd and params"].value == pytest.approx(0 if good else 1, abs=1e-9)
    found = contrasts(hl.laws.Surge(), example(hl.laws.Surge()))
    assert [(c.name, c.value, c.good) for c in found] == [("range of batch_size (ratio)", 128.0, True)]


@pytest.mark.parametrize("noise_scale", [30.0, 150.0, 5e5])
def test_batch_sizes_on_one_side_of_the_noise_scale_are_marked(noise_scale):
    law = hl.laws.Surge()
    table = measure(law, example_of(law, 1), 2, truth={"log_noise_scale": np.log(noise_scale)})
    row = rows_of(refit(law, table, seed=0)).loc["P(log_noise_scale within the batch sizes tried)"]
    assert row["status"] == ("REVIEW" if noise_scale > 2048 else "PASS")
    assert row["value"] < 0.1 if noise_scale > 2048 else row["value"] > 0.99


# What varies among rows that are one to the law.


def test_a_scale_that_the_law_says_nothing_of_is_marked():
    law, rows = hl.laws.UTDHyperparameters(), product((1.0, 2.0, 4.0), (1e6, 4e6, 16e6))
    frame = pd.DataFrame(rows, columns=["utd", "params"]).assign(learning_rate=1e-3, batch_size=256.0)
    name = "values of params in rows that are one to the law"
    found = found_in(law, made(example(law), frame))[name]
    assert (found.value, found.low, found.high, found.good) == (3, 1, 1, False)
    assert found.advice == (
        "Rows differ in params, of which UTDHyperparameters says nothing: it takes that for scatter, and predicts for "
        "no params in particular. Make each value a task of its own, or keep one."
    )
    silent = {
        "one value": frame.iloc[::3].assign(params=1e6),
        "no such column": frame.iloc[::3].drop(columns="params"),
        "each value a task": frame.assign(task=frame["params"].map("{:g}".format)),
        "moves with what the law knows": frame.iloc[::4],
    }
    for why, rows in silent.items():
        assert name not in found_in(law, made(example(law), rows)), why
    by_size = hl.laws.UTDHyperparametersBySize()
    assert name not in found_in(by_size, made(example(by_size), frame))
    one_apart = frame.iloc[[0, 3, 6, 7]]  # a single row is enough
    assert found_in(law, made(example(law), one_apart))[name].value == 2


def test_runs_that_differ_in_a_scale_beyond_the_law_are_marked():
    frame = grid(rates=3, batches=2).assign(loss=lambda f: 3 + np.log(f["learning_rate"] / 1e-3) ** 2)
    wide = pd.concat([frame.assign(width=64), frame.assign(width=128)], ignore_index=True)
    name = "values of width in rows that are one to the law"
    assert found_in(hl.laws.StepLaw(), hl.Runs.from_frame(wide))[name].value == 2
    grows = frame.assign(width=lambda f: np.sqrt(f["params"]))
    assert name not in found_in(hl.laws.StepLaw(), hl.Runs.from_frame(grows))


def test_a_threshold_is_a_condition_and_the_steps_of_a_curve_are_not():
    crossings, steps = example(hl.laws.DataEfficiency()), example(hl.laws.StepsExamples())
    assert crossings.conditions == ("utd", "threshold")
    assert "loss" in steps.conditions
    assert "steps" not in steps.conditions


@pytest.mark.parametrize("name", VALUE_LAWS)
def test_the_examples_of_laws_hold_nothing_that_they_say_nothing_of(name):
    assert not [c for c in contrasts(LAWS[name](), example(LAWS[name]())) if c.name.startswith("values of")]


def test_the_mark_is_a_row_of_the_checks(value_fit):
    found = value_fit("UTDHyperparameters")
    frame = found.table.frame
    sized = made(found.table, pd.concat([frame.assign(params=1e6), frame.assign(params=4e6)], ignore_index=True))
    row = rows_of(replace(found, table=sized)).loc["values of params in rows that are one to the law"]
    assert row[["value", "threshold", "status"]].tolist() == [2, "1", "REVIEW"]


# Refused where nothing can be told.


def test_a_table_without_any_contrast_is_refused():
    surge, optima = hl.laws.Surge(), example(hl.laws.Surge())
    own = optima.frame["task"].map({"first": 64.0, "second": 256.0, "third": 1024.0})
    text = (
        "Surge says how learning_rate moves with the batch size, but every task of this table has a single batch size: "
        "nothing of the curve is known. Add rows at batch sizes a factor of 8 or more apart."
    )
    one_each = optima.frame.drop_duplicates("task")  # rows of one batch size would be one cell
    for batch in (64.0, own[one_each.index]):  # batch sizes that differ between tasks alone say no more
        with pytest.raises(ValueError, match=re.escape(text)):
            hl.fit(surge, made(optima, one_each.assign(batch_size=batch)), seed=0)
    one_task = optima.frame.assign(batch_size=own.where(optima.frame["task"] != "first", optima.frame["batch_size"]))
    identified(surge, made(optima, one_task.drop_duplicates(["task", "batch_size"])))
    by_size = hl.laws.UTDHyperparametersBySize()
    table = example(by_size)
    still = table.where((table.frame["utd"] == 2) & (table.frame["params"] == 4e6))
    text = (
        "UTDHyperparametersBySize says how learning_rate and batch_size move with utd, params, none of which varies in "
        "this table: no exponent is known. Add rows at other values."
    )
    with pytest.raises(ValueError, match=re.escape(text)):
        hl.fit(by_size, still, seed=0)
    identified(by_size, table.where(table.frame["utd"] == 2))
    table = example(hl.laws.DataEfficiency())
    with pytest.raises(ValueError, match="DataEfficiency says how data move with utd, none of which"):
        identified(hl.laws.DataEfficiency(), table.where(table.frame["utd"] == 2))


def test_returns_in_different_units_are_marked():
    law = hl.laws.DataEfficiency()
    frame = example(law).frame
    name = "least range of threshold in a task (share)"

    def found(scale):
        rescaled = frame["threshold"].where(frame["task"] != frame["task"].iloc[0], scale * frame["threshold"])
        return found_in(law, made(example(law), frame.assign(threshold=rescaled)))[name]

    assert found(1.0).good
    assert not found(1000.0).good
    assert "Scale each task's performance to 0 to 1" in found(1000.0).advice


def test_several_curves_in_a_task_are_refused():
    law = hl.laws.StepsExamples()
    steps = made(example(law), example(law).frame.assign(task="all"))
    with pytest.raises(ValueError, match="task 'all' holds 4 values of params, whose curves differ"):
        hl.fit(law, steps, seed=0)
    surge, optima = hl.laws.Surge(), example(hl.laws.Surge()).frame
    several = hl.Optima.from_frame(
        optima[optima["task"] == "first"].assign(data=lambda rows: 1e6 * (1 + np.arange(len(rows)) % 2)),
        estimated=("learning_rate",),
    )
    with pytest.raises(ValueError, match=re.escape("task 'first' holds 2 values of data") + ".*as_tasks"):
        hl.fit(surge, several, seed=0)


# Tasks that have no population.


def test_the_checks_of_separate_tasks_look_at_the_tasks():
    found = of_budgets("separate")
    tree = found.tree.copy()
    # Where tasks are separate, the population's draws are those of the prior.
    tree["prior"] = found.draws[["exponent_budget"]]
    rows = rows_of(replace(found, tree=tree))
    assert [name for name in rows.index if name.startswith("contraction")] == ["contraction of exponent_budget"]
    assert rows.loc["contraction of exponent_budget", "value"] > 0.95


def test_a_curve_of_separate_tasks_turns_where_those_of_the_tasks_do(value_fit):
    found = value_fit("StepsExamples")
    apart = hl.likelihood(found.law, found.table, pooling={"log_critical_batch": "separate"})
    tree = found.tree.copy()
    tree["posterior"] = found.draws.assign(log_critical_batch=found.draws["log_critical_batch"] + 99)
    name = "P(log_critical_batch within the batch sizes tried)"
    assert rows_of(replace(found, likelihood=apart, tree=tree)).loc[name, "value"] == 1
    assert rows_of(replace(found, tree=tree)).loc[name, "value"] == 0


@pytest.mark.parametrize(("one_sided", "status"), [(0, None), (4, None), (6, "REVIEW"), (8, "FAIL")])
def test_rows_that_are_mostly_one_sided_are_marked(one_sided, status):
    windows = pd.DataFrame({"loss": 4 * 0.8 ** np.arange(8), "noise_scale": 100.0, "error": 0.2})
    windows["high"] = np.where(np.arange(8) < one_sided, 100.0, np.inf)
    law, table = hl.laws.NoiseGrowth(), hl.NoiseMeasurements.from_frame(windows)
    made = made_fit(law, table, VALUE_TRUTH["NoiseGrowth"] | {"residual_sd_noise_scale": 0.1}, draws=50)
    name = "rows whose value is not one-sided (share)"
    found = {spec.name: spec.row(Looked(made)) for spec in specs_of(made) if spec.name == name}
    assert list(found) == ([] if status is None else [name])
    if status is not None:
        assert found[name][1] == 1 - one_sided / 8
        assert found[name][3] == status
        assert "how far beyond, the prior decides" in found[name][4]
