import functools
import re
from dataclasses import replace

import arviz_stats as az
import numpy as np
import pandas as pd
import pytest
import scipy.stats
import xarray as xr
from conftest import VALUE_LAWS, VALUE_TRUTH, example_of, grid, made, measure

import hyperlaw as hl
from hyperlaw.diagnostics import check
from hyperlaw.inference import predict, predict_value, ranks
from hyperlaw.inference import refit as module
from hyperlaw.inference.example import example
from hyperlaw.inference.predict_value import values_at
from hyperlaw.inference.refit import SHORT, quality, refit
from hyperlaw.inference.simulate import simulated_table
from hyperlaw.models import LAWS
from hyperlaw.models.identified import contrasts, identified
from hyperlaw.models.points import _given_batch, centred, points
from hyperlaw.models.prior import resolve

GROUPS = {
    "posterior", "sample_stats", "log_likelihood", "log_prior", "posterior_predictive",
    "prior", "prior_predictive", "observed_data", "constant_data",
}  # fmt: skip
# As refits are here, so that both share their compiled programs.
FAST = {"chains": 2, "draws": 600, "warmup": 400, "target_accept": 0.95, "progress": False}
FITTED = {"StepsExamples": 4, "UTDHyperparameters": 3, "DataEfficiency": 3}  # with hl.fit, and how many tasks
POOLING = {"UTDHyperparameters": {"rate_exponent_utd": "shared", "exponent_utd": "partial"}}
ONE_TASK = [name for name in VALUE_LAWS if name not in {*FITTED, "OptimalUTD"}]
APART = {"log_utd": (-0.3, 0.0, 0.3), "exponent_budget": (-0.25, 0.0, 0.25)}


@pytest.fixture(scope="module", autouse=True)
def _short_chains():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SHORT", SHORT._replace(draws=600))
        patch.setattr(ranks, "SHORT", SHORT._replace(draws=200))
        yield


@functools.cache
def fitted(name):
    """A law of each kind of table, fitted to several tasks with some one-sided values."""
    law = LAWS[name](pooling=POOLING.get(name, {}))
    table = example_of(law, FITTED[name])
    if name == "UTDHyperparameters":
        frame = table.frame.assign(batch_size_high=np.inf)
        frame.loc[frame["utd"] == 1, "batch_size_high"] = 400.0
        table = made(table, frame)
        apart = {"log_batch_size": (-0.3, 0.0, 0.3), "log_learning_rate": (-0.5, 0.0, 0.5)}
    elif name == "DataEfficiency":
        table = made(table, table.frame.assign(limit=1.2e6, start=1e3).set_axis([f"r{i}" for i in range(48)]))
        apart = {"log_data": (-0.5, 0.0, 0.5)}
    else:
        apart = {"log_least_steps": (-0.6, -0.2, 0.2, 0.6), "log_critical_batch": (-0.4, 0.0, 0.0, 0.4)}
    error = 0.1 if name == "UTDHyperparameters" else 0.03
    return hl.fit(law, measure(law, table, 1, apart=apart, error=error), seed=1, **FAST)


@pytest.fixture(params=FITTED)
def fit(request):
    return fitted(request.param)


@functools.cache
def of_budgets(pooling="partial"):
    """OptimalUTD on three tasks that differ, with its parameters pooled in one of the three ways."""
    law = hl.laws.OptimalUTD(pooling=dict.fromkeys(VALUE_TRUTH["OptimalUTD"], pooling))
    table = measure(law, example(law), 3, apart=APART, scatter=0.1)
    return refit(law, table, seed=2)


def prior_widths(law, table):
    """Standard deviation of each own parameter's prior."""
    given = points(table, law)
    return {p.name: float(resolve(p.prior, given).variance) ** 0.5 for p in law.own_parameters}


def recovers(law, fit):
    """Each own parameter lies within 4 posterior standard deviations of its truth, and the table says where it is."""
    own = fit.tree["posterior"].dataset[[p.name for p in law.own_parameters]]
    assert float(az.ess(own).to_array().min()) > 100
    width = {name: float(draws.std()) for name, draws in own.items()}
    far = {name: abs(float(draws.mean()) - VALUE_TRUTH[law.name][name]) / width[name] for name, draws in own.items()}
    assert max(far.values()) < 4, far
    assert np.median(list(far.values())) < 2, far
    prior = prior_widths(law, fit.table)
    told = {name: width[name] / prior[name] for name in width if name != "log_middle_batch"}  # that one is a convention
    assert max(told.values()) < 0.8, told


def test_every_law_has_a_truth_here():
    assert {name: set(VALUE_TRUTH[name]) for name in VALUE_LAWS} == {
        name: {p.name for p in LAWS[name].own_parameters} for name in VALUE_LAWS
    }


@pytest.mark.parametrize("name", ONE_TASK)
def test_every_law_recovers_its_parameters(name):
    law = LAWS[name]()
    one = made(example(law), example(law).frame.assign(task="all"))
    table = one if law.table == "steps_to_loss" else example_of(law, 1)
    recovers(law, refit(law, measure(law, table, 1), seed=0))


def test_fits_of_several_tasks_recover_their_parameters(fit):
    recovers(fit.law, fit)
    assert quality(fit)["divergences"] <= 2


def test_a_task_keeps_its_own_value():
    posterior = of_budgets().tree["posterior"].dataset
    for name, offsets in APART.items():
        truth = VALUE_TRUTH["OptimalUTD"][name] + np.array(offsets)
        draws = posterior[f"{name}_task"]
        far = abs(draws.mean(("chain", "draw")) - truth) / draws.std(("chain", "draw"))
        assert (far < 4).all()
        assert draws.mean(("chain", "draw")).to_series().is_monotonic_increasing


def test_a_full_tree_with_named_dims(fit):
    tree, table = fit.tree, fit.table
    assert set(tree.children) == GROUPS
    dims = {dim for group in tree.children.values() for v in group.data_vars.values() for dim in v.dims}
    assert dims <= {"chain", "draw", "row", "cell", "task"}
    assert tree["log_likelihood"]["value"].dims == ("chain", "draw", "row")
    assert list(tree["constant_data"]["row"].values) == list(table.labels)
    assert list(tree["posterior"]["task"].values) == list(table.tasks)
    pooled = [p.name for p in fit.law.parameter_list if p.spread is not None]
    assert pooled
    for name in pooled:
        assert tree["posterior"][f"{name}_task"].dims == ("chain", "draw", "task")
        assert tree["posterior"][f"{name}_task_spread"].dims == ("chain", "draw")
    assert ("deviation_cell" in tree["posterior"]) == (fit.law.table == "crossings")
    for group in ("posterior_predictive", "prior_predictive", "observed_data"):
        assert set(tree[group].data_vars) == set(fit.law.predicts)
        assert all(v.dims[-1] == "row" for v in tree[group].data_vars.values())
    assert all(v.dtype == np.float64 for group in ("posterior", "log_likelihood") for v in tree[group].values())
    assert {"energy", "n_steps", "diverging", "acceptance_rate", "lp"} <= set(tree["sample_stats"].data_vars)
    for name in fit.law.predicts:
        np.testing.assert_allclose(tree["observed_data"][name], np.log(table.frame[name]))
    attrs = tree.attrs
    assert (attrs["law"], attrs["table"], attrs["data"]) == (fit.law.name, table.kind, table.digest)
    assert repr(fit) == f"Fit of {fit.law.name}: 2 chains x 600 draws. {table!r}"


def test_cells_are_settings_and_their_thresholds_share_a_deviation():
    found = fitted("DataEfficiency")
    assert found.tree["posterior"]["deviation_cell"].sizes["cell"] == 12
    given = points(found.table, found.law)
    assert pd.Series(given.cell).groupby([given.task, given.covariates["utd"]]).nunique().eq(1).all()
    assert len(given.cells) == 12


def test_the_log_likelihood_is_that_of_the_stated_scatter(fit):
    frame, posterior = fit.table.frame, fit.tree["posterior"].dataset
    centres = values_at(fit, frame, scatter=False)
    own = (
        posterior["deviation_cell"].values[..., points(fit.table, fit.law).cell] if "deviation_cell" in posterior else 0
    )
    shift, beyond, total = 0.0, 0, 0.0
    rows = {name: rows.reset_index() for name, rows in fit.table.points().groupby("quantity")}
    for name in ("batch_size", "learning_rate") if len(rows) > 1 else rows:
        row, value = rows[name], np.log(rows[name]["value"].to_numpy())
        error, scatter = row["error"].to_numpy(), posterior[f"scatter_{name}"].values[..., None]
        variance = scatter**2 + error**2
        at_end = (row["value"] >= row["high"]).to_numpy()
        if name == "learning_rate":  # what the batch size's error says of this one's, where it is seen
            seen = (rows["batch_size"]["value"] < rows["batch_size"]["high"]).to_numpy()
            shared = 0.6 * error * rows["batch_size"]["error"].to_numpy() * seen
            slope = shared / (
                posterior["scatter_batch_size"].values[..., None] ** 2 + rows["batch_size"]["error"].to_numpy() ** 2
            )
            shift = slope * (np.log(rows["batch_size"]["value"].to_numpy()) - centres["batch_size"])
            variance = variance - slope * shared
        z = (value - centres[name] - own - shift) / np.sqrt(variance)
        inside = scipy.stats.t.logpdf(z, 4) - 0.5 * np.log(variance)
        total = total + np.where(at_end, scipy.stats.t.logsf(z, 4), inside)
        beyond += at_end.sum()
    np.testing.assert_allclose(fit.tree["log_likelihood"]["value"], total, rtol=1e-6, atol=1e-8)
    assert beyond == {"StepsExamples": 0, "UTDHyperparameters": 1, "DataEfficiency": 4}[fit.law.name]


def test_drawn_values_stay_within_what_can_be_read():
    found = fitted("DataEfficiency")
    for group in ("posterior_predictive", "prior_predictive"):
        drawn = found.tree[group]["data"].values
        high = np.log(found.table.points()["high"].to_numpy())
        assert (drawn <= high).all()
        assert (drawn >= np.log(1e3)).all()
        assert (drawn[..., np.isfinite(high)] == high[np.isfinite(high)]).any()


@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto")
def test_arviz_functions_accept_the_tree(fit):
    assert az.loo(fit.tree, var_name="value").n_data_points == len(fit.table)
    assert az.psense_summary(fit.tree, var_names=[fit.law.own_parameters[0].name])["prior"].notna().all()


def at_target(fit, **change):
    law, row = fit.law, fit.table.frame.iloc[0]
    names = [*law.covariates, *(["batch_size"] if law.needs_batch_size else [])]
    return {name: float(row[name]) for name in names} | {"task": fit.table.tasks[0]} | change


def test_save_and_load(fit, tmp_path):
    fit.save(tmp_path / "fit.nc")
    loaded = hl.load_fit(tmp_path / "fit.nc")
    assert loaded.law == fit.law
    assert (loaded.law.table, loaded.law.pooling) == (fit.law.table, POOLING.get(fit.law.name, {}))
    assert type(loaded.table) is type(fit.table)
    assert loaded.table.digest == fit.table.digest
    pd.testing.assert_frame_equal(loaded.table.frame, fit.table.frame)
    assert loaded.tree.attrs == fit.tree.attrs
    for group in GROUPS:
        assert loaded.tree[group].dataset.equals(fit.tree[group].dataset), group
    for task in (fit.table.tasks[0], None):
        at = at_target(fit, task=task)
        pd.testing.assert_frame_equal(loaded.predict(at).table, fit.predict(at).table)
    pd.testing.assert_frame_equal(loaded.check().table, fit.check().table)


def test_predictions_are_drawn_for_every_quantity(fit):
    at = at_target(fit)
    found = fit.predict(at)
    assert found.at == at
    assert set(found.table.index) == set(found.draws.data_vars) == set(fit.law.predicts)
    assert list(found.table.columns) == ["lower", "median", "upper"]
    for name in fit.law.predicts:
        draws = found.draws[name]
        assert draws.dims == ("chain", "draw")
        assert draws.shape == (2, 600)
        assert found.table.loc[name].tolist() == pytest.approx(np.quantile(draws, [0.05, 0.5, 0.95]))
    pd.testing.assert_frame_equal(found.table, fit.predict(at).table)


def test_a_known_task_is_predicted_as_it_is_and_a_new_one_with_all_that_tasks_differ_in(fit):
    law = fit.law
    known, new = (fit.predict(at_target(fit, task=task)).table for task in (fit.table.tasks[0], None))
    row = fit.table.frame.iloc[[0]]
    x = centred(row, law, fit.pivot)
    for name in law.predicts:
        spans = [np.log(table.loc[name, "upper"] / table.loc[name, "lower"]) for table in (known, new)]
        assert spans[1] > 1.5 * spans[0]
        p = {p.name: fit.tree["posterior"][p.name].mean().item() for p in law.own_parameters}
        batch = law.log_value("batch_size", p, x, 0.0) if len(law.predicts) > 1 else np.log(row.get("batch_size", 1.0))
        middle = float(np.exp(np.ravel(law.log_value(name, p, x, np.asarray(batch)))[0]))
        assert new.loc[name, "lower"] < middle < new.loc[name, "upper"]
        assert new.loc[name, "median"] == pytest.approx(middle, rel=0.1)
        # The first task lies below the population in what differs between tasks.
        assert known.loc[name, "median"] < middle


def test_a_new_task_is_drawn_from_the_population_and_a_known_one_is_not():
    found = fitted("DataEfficiency")
    posterior = found.tree["posterior"].dataset
    p = predict_value.task_parameters(found, [None, "second", None], np.random.default_rng(0))
    for name in ("log_data", "data_slope"):
        of_all, spread = posterior[name].values, posterior[f"{name}_task_spread"].values
        np.testing.assert_array_equal(p[name][..., 1], posterior[f"{name}_task"].sel(task="second"))
        np.testing.assert_array_equal(p[name][..., 0], p[name][..., 2])
        new = p[name][..., 0]
        z = (new - of_all if name == "log_data" else np.log(new / of_all)) / spread
        assert z.mean() == pytest.approx(0, abs=0.1)
        assert z.std() == pytest.approx(1, abs=0.08)
    np.testing.assert_array_equal(p["scatter_data"][..., 0], posterior["scatter_data"])


def test_rows_of_one_new_task_and_one_cell_share_it():
    found = fitted("DataEfficiency")
    frame = pd.DataFrame({"utd": [2.0, 2.0, 4.0], "threshold": [500.0, 500.0, 500.0], "task": [None, None, "other"]})
    law_alone = values_at(found, frame, scatter=False)["data"]
    np.testing.assert_array_equal(law_alone[..., 0], law_alone[..., 1])
    assert np.corrcoef(law_alone[..., 0].ravel(), law_alone[..., 2].ravel())[0, 1] < 0.3
    drawn = values_at(found, frame)["data"] - law_alone
    shared = np.corrcoef(drawn[..., 0].ravel(), drawn[..., 1].ravel())[0, 1]
    spread, scatter = (float((found.tree["posterior"][n] ** 2).mean()) for n in ("spread_cell", "scatter_data"))
    assert shared == pytest.approx(spread / (spread + 2 * scatter), abs=0.15)
    assert abs(np.corrcoef(drawn[..., 0].ravel(), drawn[..., 2].ravel())[0, 1]) < 0.1


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
    for value in (0.0, -1.0, np.nan, "2"):
        refused(f"at['{first}'] must be a finite number above zero, received {value!r}.", at | {first: value})
    with pytest.raises(
        ValueError, match=f"candidates are priced by a fit of Runs; this is one of {type(fit.table).__name__}"
    ):
        fit.predict(at, {"learning_rate": np.ones(2), "batch_size": np.ones(2)})


def test_a_performance_may_be_below_zero():
    found = fitted("DataEfficiency")
    assert np.isfinite(found.predict({"utd": 2.0, "threshold": -100.0, "task": None}).table).all(axis=None)


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
    steps, optima = example(hl.laws.StepsExamples()), example(hl.laws.Surge())
    text = "Surge does not describe 'runs'; it is fitted to optima. hl.laws.table() lists what each law needs."
    for use in (
        lambda: hl.laws.Surge().of("runs"), lambda: hl.laws.Surge(table="runs"),
        lambda: hl.fit(hl.laws.Surge(), runs, seed=0), lambda: hl.prior_predict(hl.laws.Surge(), runs, seed=0),
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
    without = made(optima, optima.frame.drop(columns="batch_size"))
    with pytest.raises(ValueError, match=r"Surge needs batch_size, which this table does not have"):
        hl.fit(hl.laws.Surge(), without, seed=0)


def status(rows, name):
    return next((row[3] for row in rows if row[0] == name), None)


def test_checks_list_the_contrasts(fit):
    table = fit.check().table.set_index("check")
    expected = {
        "StepsExamples": {"range of batch_size (ratio)": 256.0},
        "UTDHyperparameters": {"range of utd (ratio)": 8.0},
        "DataEfficiency": {"range of utd (ratio)": 8.0},
    }[fit.law.name]
    for name, ratio in expected.items():
        assert table.loc[name, ["value", "status"]].tolist() == [ratio, "PASS"]
    assert {"rows inside 90 % posterior predictive", "PSIS-LOO k, largest", "R-hat, largest"} <= set(table.index)
    assert table.loc["rows inside 90 % posterior predictive", "status"] == "PASS"
    informed = [n for n in VALUE_TRUTH[fit.law.name] if any(w in n for w in check.INFORMED)]
    assert informed
    assert {f"contraction of {name}" for name in informed} <= set(table.index)
    if fit.law.name == "StepsExamples":
        assert table.loc["P(log_critical_batch within the batch sizes tried)", "value"] == 1


def test_rows_that_lie_too_close_are_marked():
    found = fitted("UTDHyperparameters")
    near = made(found.table, found.table.frame.assign(utd=lambda f: f["utd"] ** 0.5))
    row = replace(found, table=near).check().table.set_index("check").loc["range of utd (ratio)"]
    assert row["value"] == pytest.approx(np.sqrt(8))
    assert (row["threshold"], row["status"]) == (">= 4", "REVIEW")
    assert row["advice"].startswith("The rows say little of how the law moves with utd: its prior decides.")


def test_rows_that_the_law_does_not_describe_are_marked():
    found = fitted("StepsExamples")
    tree = found.tree.copy()
    tree["observed_data"] = tree["observed_data"].to_dataset() + np.where(np.arange(36) % 3, 1.0, 0.0)
    row = replace(found, tree=tree).check().table.set_index("check").loc["rows inside 90 % posterior predictive"]
    assert row["value"] < 0.4
    assert row["status"] == "FAIL"
    assert row["advice"].startswith("The law does not describe these rows.")


def test_covariates_that_move_together_are_marked():
    law = hl.laws.DataEfficiencyBySize()
    apart = example_of(law, 1)
    together = apart.where(apart.frame["params"] == 1e6 * apart.frame["utd"] ** 2)
    for table, good in ((apart, True), (together, False)):
        found = {c.name: c for c in contrasts(law, table)}
        assert set(found) == {"range of utd (ratio)", "range of params (ratio)", "correlation of utd and params"}
        assert found["correlation of utd and params"].good == good
        assert found["correlation of utd and params"].value == pytest.approx(0 if good else 1, abs=1e-9)
    found = contrasts(hl.laws.Surge(), example(hl.laws.Surge()))
    assert [(c.name, c.value, c.good) for c in found] == [("range of batch_size (ratio)", 128.0, True)]


@pytest.mark.parametrize("noise_scale", [30.0, 150.0, 5e5])
def test_batch_sizes_on_one_side_of_the_noise_scale_are_marked(noise_scale):
    law = hl.laws.Surge()
    table = measure(law, example_of(law, 1), 2, truth={"log_noise_scale": np.log(noise_scale)})
    name = "P(log_noise_scale within the batch sizes tried)"
    assert status(check._contrasts(refit(law, table, seed=0)), name) == ("REVIEW" if noise_scale > 2048 else "PASS")


def test_a_table_without_any_contrast_is_refused():
    surge, optima = hl.laws.Surge(), example(hl.laws.Surge())
    own = optima.frame["task"].map({"first": 64.0, "second": 256.0, "third": 1024.0})
    text = (
        "Surge says how learning_rate moves with the batch size, but every task of this table has a single batch size: "
        "nothing of the curve is known. Add rows at batch sizes a factor of 8 or more apart."
    )
    for batch in (64.0, own):  # batch sizes that differ between tasks alone say no more
        with pytest.raises(ValueError, match=re.escape(text)):
            hl.fit(surge, made(optima, optima.frame.assign(batch_size=batch)), seed=0)
    one_task = optima.frame.assign(batch_size=own.where(optima.frame["task"] != "first", optima.frame["batch_size"]))
    identified(surge, made(optima, one_task))
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
        return {c.name: c for c in contrasts(law, made(example(law), frame.assign(threshold=rescaled)))}[name]

    assert found(1.0).good
    assert not found(1000.0).good
    assert "Scale each task's performance to 0 to 1" in found(1000.0).advice


def test_several_curves_in_a_task_are_refused():
    law = hl.laws.StepsExamples()
    curves = example(law).frame
    steps = made(example(law), curves.assign(task="all"))
    with pytest.raises(ValueError, match="task 'all' holds 4 values of params, whose curves differ"):
        hl.fit(law, steps, seed=0)
    surge, optima = hl.laws.Surge(), example(hl.laws.Surge()).frame
    several = hl.Optima.from_frame(
        optima[optima["task"] == "first"].assign(data=lambda rows: 1e6 * (1 + np.arange(len(rows)) % 2)),
        estimated=("learning_rate",),
    )
    with pytest.raises(ValueError, match=re.escape("task 'first' holds 2 values of data") + ".*as_tasks"):
        hl.fit(surge, several, seed=0)


def test_pooling_makes_the_sites_that_it_says():
    names = {
        how: set(map(str, of_budgets(how).tree["posterior"].data_vars)) for how in ("partial", "shared", "separate")
    }
    own, by_task = {"log_utd", "exponent_budget", "scatter_utd"}, {"log_utd_task", "exponent_budget_task"}
    assert names["shared"] == own
    assert names["separate"] == own | by_task
    assert names["partial"] == own | by_task | {f"{name}_spread" for name in by_task}


def test_shared_and_separate_are_the_limits_of_partial_pooling():
    width, between, scatter = {}, {}, {}
    for how in ("shared", "partial", "separate"):
        law = of_budgets(how).law
        noisy = refit(law, measure(hl.laws.OptimalUTD(), example(law), 4, apart=APART, error=1.0), seed=0)
        name = "exponent_budget" if how == "shared" else "exponent_budget_task"
        draws = noisy.tree["posterior"][name]
        width[how] = float(draws.std(("chain", "draw")).mean())
        between[how] = float(np.std(draws.mean(("chain", "draw")).values))
        scatter[how] = float(of_budgets(how).tree["posterior"]["scatter_utd"].mean())
    assert width["shared"] < 0.9 * width["partial"] < 0.9 * 0.95 * width["separate"]
    assert between["shared"] == 0 < between["partial"] < 0.9 * between["separate"]
    assert scatter["shared"] > 2 * scatter["partial"]  # what tasks differ in must go somewhere


def test_separate_tasks_leave_a_new_one_to_the_prior():
    found = of_budgets("separate")
    unseen = found.tree["posterior"]["exponent_budget"].values
    assert unseen.mean() == pytest.approx(0.0, abs=0.1)
    assert unseen.std() == pytest.approx(0.7, abs=0.1)
    at = {"budget": 1e19, "task": None}
    new, known = (found.predict(at | {"task": task}).table.loc["utd"] for task in (None, "first"))
    assert np.log(new["upper"] / new["lower"]) > 5 * np.log(known["upper"] / known["lower"])
    far = np.exp(VALUE_TRUTH["OptimalUTD"]["log_utd"] - 0.3 + (0.6 - 0.25) * np.log(100))
    assert known["lower"] < far < known["upper"]


def test_the_checks_of_separate_tasks_look_at_the_tasks():
    found = of_budgets("separate")
    tree = found.tree.copy()
    tree["prior"] = tree["posterior"].to_dataset()  # where tasks are separate, the population's draws are the prior's
    rows = check._contraction(replace(found, tree=tree))
    assert [row[0] for row in rows] == ["contraction of exponent_budget"]
    assert rows[0][1] > 0.95
    law = hl.laws.Surge(pooling={"log_noise_scale": "separate"})
    tree["posterior"] = xr.Dataset(
        {
            "log_noise_scale": (("chain", "draw"), np.full((2, 4), 99.0)),
            "log_noise_scale_task": (("chain", "draw", "task"), np.full((2, 4, 3), np.log(150.0))),
        }
    )
    rows = check._contrasts(replace(found, law=law, tree=tree, table=example(law)))
    assert status(rows, "P(log_noise_scale within the batch sizes tried)") == "PASS"


def test_a_new_task_of_runs_is_drawn_from_the_prior_too():
    law = hl.laws.TimeTransfer(pooling={"log_peak_rate": "separate", "exponent_data": "shared"})
    runs = hl.Runs.from_frame(grid(("a", "b")).assign(loss=lambda f: 3 - 0.1 * np.log(f["data"] / 1e8)))
    every, task = {"dims": ("chain", "draw")}, {"dims": ("chain", "draw", "task")}
    posterior = {p.name: xr.Variable(data=np.ones((2, 50)), **every) for p in law.parameter_list}
    for p in law.parameter_list:
        if p.spread is not None:
            posterior[f"{p.name}_task"] = xr.Variable(data=np.full((2, 50, 2), [2.0, 3.0]), **task)
            posterior[f"{p.name}_task_spread"] = xr.Variable(data=np.ones((2, 50)), **every)
    assert "exponent_data_task" not in posterior
    del posterior["log_peak_rate_task_spread"]  # there is none in a fit
    drawn = xr.Dataset(posterior, {"task": ["a", "b"]})
    fit = hl.Fit(law, runs, xr.DataTree(), {})
    found = {task: predict._parameters(fit, drawn, task, np.random.default_rng(0)) for task in ("a", "b", None)}
    assert [float(found[task]["log_peak_rate"].mean()) for task in found] == [2.0, 3.0, 1.0]
    assert found[None]["log_peak_rate"].std() == 0 < found[None]["floor"].std()
    assert all((found[task]["exponent_data"] == 1).all() for task in found)


@pytest.mark.parametrize(
    ("name", "how"),
    [("log_utd", "none"), ("exponent_budget", "Shared"), ("scatter_utd", "shared"), ("log_ut", "shared")],
)
def test_unknown_pooling_is_refused(name, how):
    text = (
        f"pooling[{name!r}] = {how!r}: give partial, shared, separate for a parameter that is pooled over tasks: "
        "log_utd, exponent_budget."
    )
    with pytest.raises(ValueError, match=re.escape(text)):
        hl.laws.OptimalUTD(pooling={name: how})


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


def one_sided(seed, limits=True):
    """Best ratios of which two fifths lie above 4, kept there with their limit or as if they had been measured."""
    law = hl.laws.OptimalUTD()
    frame = measure(law, example(law), seed, scatter=0.1).frame
    frame["utd"] = frame["utd"].clip(upper=4.0)
    return made(example(law), frame.assign(utd_high=4.0) if limits else frame.drop(columns="utd_high"))


def test_one_sided_values_are_not_taken_for_measured_ones():
    law, truth = of_budgets("shared").law, VALUE_TRUTH["OptimalUTD"]["exponent_budget"]
    held = {True: [], False: []}
    for limits, seed in [(limits, seed) for limits in held for seed in range(6)]:
        table = one_sided(seed, limits)
        draws = refit(law, table, seed=seed).tree["posterior"]["exponent_budget"]
        held[limits].append(draws.quantile(0.05) < truth < draws.quantile(0.95))
        assert ((table.points()["value"] >= table.points()["high"]).sum() >= 5) == limits
        assert limits or draws.mean() < truth - 0.15
    assert sum(held[True]) >= 4
    assert sum(held[False]) == 0


def test_a_low_end_is_a_high_one_in_the_mirror():
    law, table = of_budgets("shared").law, one_sided(0)
    frame = table.frame
    mirrored = made(table, frame.assign(utd=1 / frame["utd"], utd_low=1 / frame["utd_high"], utd_high=np.inf))
    assert (mirrored.points()["value"] <= mirrored.points()["low"]).sum() >= 5
    up, down = (refit(law, t, seed=0).tree["posterior"]["exponent_budget"] for t in (table, mirrored))
    assert float(up.mean() + down.mean()) == pytest.approx(0, abs=0.25 * float(up.std()))
    assert float(down.std()) == pytest.approx(float(up.std()), rel=0.2)


def test_the_batch_sizes_error_moves_the_learning_rate_only_where_it_is_seen():
    rows = {"utd": [1.0, 2.0, 4.0], "learning_rate": 1e-3, "batch_size": [90.0, 100.0, 120.0]}
    rows |= {"learning_rate_error": 0.2, "batch_size_error": 0.25, "correlation": [0.6, 0.6, -0.4]}
    rows |= {"batch_size_low": [90.0, 0.0, 0.0], "batch_size_high": [500.0, 100.0, 500.0]}
    table = hl.Optima.from_frame(pd.DataFrame(rows))
    given = points(table, hl.laws.UTDHyperparameters())
    value, own = given.value["batch_size"], {"scatter_batch_size": 0.1}
    slope, variance = _given_batch(own, given, value, 0.3**2 + given.error["learning_rate"] ** 2)
    expected = np.array([0.0, 0.0, -0.4 * 0.2 * 0.25 / (0.1**2 + 0.25**2)])
    np.testing.assert_allclose(slope, expected, rtol=1e-5)
    np.testing.assert_allclose(variance, 0.3**2 + 0.2**2 - expected * -0.4 * 0.2 * 0.25, rtol=1e-5)
    none = given._replace(correlation=np.zeros(3))
    assert (np.asarray(_given_batch(own, none, value, 1.0)[0]) == 0).all()


def test_drawn_learning_rates_follow_the_batch_sizes_drawn_beside_them():
    found = fitted("UTDHyperparameters")
    centres = values_at(found, found.table.frame, scatter=False)
    open_ = np.isinf(found.table.frame["batch_size_high"]).to_numpy()
    gaps = {}
    for name, centre in centres.items():
        thinned = centre[:, :: 600 // 250]
        gaps[name] = (found.tree["posterior_predictive"][name].values - thinned)[..., open_].ravel()
    drawn = scipy.stats.spearmanr(gaps["learning_rate"], gaps["batch_size"]).statistic
    error, scatter = 0.1**2, {n: float((found.tree["posterior"][f"scatter_{n}"] ** 2).mean()) for n in gaps}
    expected = 0.6 * error / np.sqrt((error + scatter["learning_rate"]) * (error + scatter["batch_size"]))
    assert drawn == pytest.approx(expected, abs=0.1)
    assert expected > 0.4


@pytest.mark.parametrize("law", [hl.laws.DataEfficiency(), hl.laws.OptimalUTD(), hl.laws.UTDHyperparameters()])
def test_a_simulated_table_keeps_one_sided_values_at_their_ends(law):
    table, rng = example(law), np.random.default_rng(0)
    frame = table.frame
    ends = rng.uniform(2e6, 9e6, len(frame))  # of many numbers x, some are not the exponential of their log
    if law.table == "optima":
        for name in law.predicts:
            ends = np.exp(np.log(frame[name]) + 0.5 * rng.random(len(frame)))
            frame[f"{name}_low"], frame[f"{name}_high"] = ends / 3, ends
        table = made(table, frame)
    else:
        table = made(table, frame.assign(start=ends / 3, limit=ends, data=ends, reached=False))
    arrays = points(table, law)
    drawn = {}
    for name in law.predicts:
        low, high = arrays.low[name], arrays.high[name]
        drawn[name] = np.clip((low + high) / 2 + rng.standard_normal(len(low)), low, high)
    found = simulated_table(hl.Fit(law, table, xr.DataTree(), {}), arrays._replace(value=drawn))
    again = points(found, law)
    for name, shown in found.points().groupby("quantity"):
        at_end, below = drawn[name] == arrays.high[name], drawn[name] == arrays.low[name]
        assert at_end.any()
        assert below.any()
        for value, high, low in (
            (shown["value"], shown["high"], shown["low"]),
            (again.value[name], again.high[name], again.low[name]),
        ):
            np.testing.assert_array_equal(value == high, at_end)
            np.testing.assert_array_equal(value == low, below)
        np.testing.assert_allclose(again.value[name], drawn[name])
        if "reached" in found.frame:
            np.testing.assert_array_equal(found.frame["reached"], ~at_end)


def test_prior_predict(fit):
    prior = hl.prior_predict(fit.law, fit.table, seed=0)
    assert set(prior.draws.children) == {"prior", "prior_predictive", "observed_data", "constant_data"}
    table = prior.table
    assert len(table) == len(fit.table) * len(fit.law.predicts)
    assert set(table["quantity"]) == set(fit.law.predicts)
    for name, rows in table.groupby("quantity"):
        np.testing.assert_allclose(rows["seen"], fit.table.frame[name])
        # Wider than the table, and not absurdly so.
        assert rows["prior_lower"].min() < rows["seen"].min()
        assert rows["prior_upper"].max() >= rows["seen"].max()
        assert rows["prior_median"].between(rows["seen"] / 50, rows["seen"] * 50).all()
    pd.testing.assert_frame_equal(table, hl.prior_predict(fit.law, fit.table, seed=0).table)


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
    with pytest.raises(ValueError, match="were fitted to different runs"):
        hl.compare({"a": of_budgets(), "b": other})


def test_calibration_runs_through():
    law = hl.laws.OptimalUTD()
    found = hl.calibrate(law, example(law), simulations=16, seed=0, progress=False)
    assert found.at == {"budget": 1e20, "task": None}
    assert (found.simulations["failed"] == "").all()
    spreads = {f"{p.name}_task_spread" for p in law.own_parameters}
    assert set(found.table["quantity"]) == {p.name for p in law.parameter_list} | spreads | {"best_utd"}
    assert (found.table["p_value"] > 0.001).all()
    assert found.table["coverage_90"].mean() > 0.75
    assert found.simulations["ess"].min() > 50
