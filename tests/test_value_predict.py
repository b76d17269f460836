"""What a fit of measured values predicts: every quantity it measures, for known tasks and for new ones."""

import re

import numpy as np
import pandas as pd
import pytest
import scipy.integrate
import scipy.stats
from agreement import agree
from conftest import grid, made
from value_fits import FITTED, at_target

import hyperlaw as hl
from hyperlaw.inference.cells import task_parameters, values_at
from hyperlaw.inference.example import example


@pytest.fixture(params=FITTED)
def fit(request, value_fit):
    return value_fit(request.param)


def test_predictions_are_drawn_for_every_quantity(fit):
    at = at_target(fit)
    found = fit.predict(at)
    assert found.at == at
    assert set(found.table.index) == set(found.draws.data_vars) == set(fit.law.predicts)
    assert list(found.table.columns) == ["lower", "median", "upper"]
    for name in fit.law.predicts:
        draws = found.draws[name]
        assert draws.dims == ("chain", "draw")
        assert draws.shape == fit.shape == (4, 1000)
        assert found.table.loc[name].tolist() == pytest.approx(np.quantile(draws, [0.05, 0.5, 0.95]))
    pd.testing.assert_frame_equal(found.table, fit.predict(at).table)
    assert (found.extrapolation["decades"] == 0).all()


def test_a_known_task_is_predicted_as_it_is_and_a_new_one_with_all_that_tasks_differ_in(fit):
    law = fit.law
    known, new = (fit.predict(at_target(fit, task=task)).table for task in (fit.table.tasks[0], None))
    row = fit.table.frame.iloc[[0]]
    x = fit.likelihood.centred(row, fit.pivot)
    p = {p.name: fit.draws[p.name].mean().item() for p in law.own_parameters}
    batch = law.log_value("batch_size", p, x, 0.0) if len(law.predicts) > 1 else np.log(row.get("batch_size", 1.0))
    for name in law.predicts:
        spans = [np.log(table.loc[name, "upper"] / table.loc[name, "lower"]) for table in (known, new)]
        assert spans[1] > 1.5 * spans[0]
        middle = float(np.exp(np.ravel(law.log_value(name, p, x, np.asarray(batch)))[0]))
        assert new.loc[name, "lower"] < middle < new.loc[name, "upper"]
        assert new.loc[name, "median"] == pytest.approx(middle, rel=0.1)
        # The first task lies below the population in what differs between tasks.
        assert known.loc[name, "median"] < middle


def test_a_new_task_is_drawn_from_the_population_and_a_known_one_is_not(value_fit):
    found = value_fit("DataEfficiency")
    p = task_parameters(found, [None, "second", None, "other"])
    for name in ("log_data", "data_slope"):
        of_all, sd = found.draws[name].values[..., None], found.draws[f"{name}_task_sd"].values[..., None]
        np.testing.assert_array_equal(p[name][..., 1], found.draws[f"{name}_task"].sel(task="second"))
        np.testing.assert_array_equal(p[name][..., 0], p[name][..., 2])
        new = p[name][..., [0, 3]]
        z = (new - of_all if name == "log_data" else np.log(new / of_all)) / sd
        agree(z, 0)
        agree(z**2, 1)
        agree(z[..., 0] * z[..., 1], 0)  # two new tasks are two
    np.testing.assert_array_equal(p["residual_sd_data"][..., 0], found.draws["residual_sd_data"])


def test_rows_of_one_new_task_and_one_cell_share_it(value_fit):
    found = value_fit("DataEfficiency")
    frame = pd.DataFrame({"utd": [2.0, 2.0, 4.0], "threshold": [500.0, 500.0, 500.0], "task": [None, None, "other"]})
    law_alone = values_at(found, frame, scatter=False)["data"]
    np.testing.assert_array_equal(law_alone[..., 0], law_alone[..., 1])
    assert (law_alone[..., 0] != law_alone[..., 2]).all()
    drawn = values_at(found, frame)["data"] - law_alone
    # What two rows of a cell share is its deviation; what scatters beyond that, as Student's t does, is each row's own.
    agree(drawn[..., 0] * drawn[..., 1] - found.draws["cell_sd"].values ** 2, 0)
    agree(drawn[..., 0] * drawn[..., 2], 0)
    t = scipy.stats.t(4)
    near, _ = scipy.integrate.quad(lambda at: t.pdf(at) * (t.cdf(at + 1) - t.cdf(at - 1)), -np.inf, np.inf)
    agree(np.abs(drawn[..., 0] - drawn[..., 1]) < found.draws["residual_sd_data"].values, near)


def test_what_is_no_target_is_refused(fit):
    def refused(text, at):
        with pytest.raises(ValueError, match=re.escape(text)):
            fit.predict(at)

    at, names = at_target(fit), ", ".join(at_target(fit))
    first = next(iter(at))
    refused(f"at must give exactly {names}: missing {first}.", {n: v for n, v in at.items() if n != first})
    refused(f"at must give exactly {names}: unknown size.", at | {"size": 1.0})
    refused(
        f"at must give exactly {names}: missing task (task: a known label, or None for a new task).",
        {n: v for n, v in at.items() if n != "task"},
    )
    refused(f"task 'sgd' is not among the fitted tasks {', '.join(fit.table.tasks)}. Pass one of", at | {"task": "sgd"})
    refused(f"at['{first}'] must be a number", at | {first: "many"})
    for value in (0.0, -1.0, np.nan):
        refused(f"at['{first}'] must be a finite number above zero, received {value!r}.", at | {first: value})
    with pytest.raises(
        ValueError, match=f"candidates are priced by a fit of Runs; this is one of {type(fit.table).__name__}"
    ):
        fit.predict(at, {"learning_rate": np.ones(2), "batch_size": np.ones(2)})


def test_a_performance_may_be_below_zero(value_fit):
    found = value_fit("DataEfficiency").predict({"utd": 2.0, "threshold": -100.0, "task": None})
    assert np.isfinite(found.table).all(axis=None)
    assert found.extrapolation.index.tolist() == ["utd"]  # what has no logs has no decades


def test_what_needs_runs_says_so(fit):
    text = (
        f"this needs a fit to Runs, received one of {fit.law.name} to {type(fit.table).__name__}, which holds no "
        "losses of single runs. Use fit.table, fit.check() and fit.predict(at)."
    )
    for use in (lambda: fit.runs, lambda: hl.decide(fit, at_target(fit), risk=hl.Mean()), lambda: hl.sharpness(fit)):
        with pytest.raises(TypeError, match=re.escape(text)):
            use()


def test_laws_and_tables_that_do_not_match_are_refused_in_words():
    runs = hl.Runs.from_frame(grid().assign(loss=lambda f: 3 + np.log(f["learning_rate"] / 1e-3) ** 2))
    surge, steps, optima = hl.laws.Surge(), example(hl.laws.StepsExamples()), example(hl.laws.Surge())
    text = "Surge does not describe 'runs'; it is fitted to optima. hl.laws.table() lists what each law needs."
    for use in (
        lambda: hl.likelihood(surge, "runs"), lambda: hl.likelihood(surge, runs), lambda: hl.fit(surge, runs, seed=0),
        lambda: hl.prior_predict(surge, runs, seed=0), lambda: hl.backtest({"law": surge}, runs, seed=0),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=re.escape(text)):
            use()
    with pytest.raises(
        ValueError, match=r"StepLaw does not describe 'steps_to_loss'; it is fitted to runs or optima\."
    ):
        hl.fit(hl.laws.StepLaw(), steps, seed=0)
    budgets = made(optima, optima.frame.assign(budget=1e9))
    with pytest.raises(ValueError, match="OptimalUTD predicts utd, which this table does not hold: it holds learning_"):
        hl.fit(hl.laws.OptimalUTD(), budgets, seed=0)
    with pytest.raises(
        ValueError, match=r"CriticalBatchData needs data, which this table does not have; its columns are"
    ):
        hl.fit(hl.laws.CriticalBatchData(), made(steps, steps.frame.drop(columns="data")), seed=0)
    without = made(optima, optima.frame.drop(columns="batch_size").drop_duplicates("task"))
    with pytest.raises(ValueError, match=r"Surge needs batch_size, which this table does not have"):
        hl.fit(surge, without, seed=0)
