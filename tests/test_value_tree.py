"""What a fit of measured values holds: its tree, its densities, and that all of it is stored."""

import subprocess
import sys

import arviz_stats as az
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from conftest import VALUE_LAWS, VALUE_TRUTH
from made_fit import made_fit
from value_fits import FITTED, LABELS, POOLED, at_target, several_tasks

import hyperlaw as hl
from hyperlaw.inference.cells import values_at
from hyperlaw.models.law import LAWS

GROUPS = {
    "posterior", "sample_stats", "log_likelihood", "log_prior", "posterior_predictive",
    "prior", "prior_predictive", "observed_data", "constant_data",
}  # fmt: skip


@pytest.fixture(params=FITTED)
def fit(request, value_fit):
    return value_fit(request.param)


def test_a_fit_of_every_kind_of_table_is_asked():
    assert {LAWS[name].tables for name in FITTED} == {LAWS[name].tables for name in VALUE_LAWS}


def test_a_full_tree_with_named_dims(fit):
    tree, table = fit.tree, fit.table
    assert set(tree.children) == GROUPS
    dims = {dim for group in tree.children.values() for v in group.data_vars.values() for dim in v.dims}
    assert dims <= {"chain", "draw", "row", "cell", "task"}
    assert list(tree["constant_data"]["row"].values) == list(table.labels)
    assert list(fit.draws["task"].values) == list(table.tasks)
    pooled = [p.name for p in fit.likelihood.parameter_list if p.group_sd is not None]
    assert pooled
    for name in pooled:
        assert fit.draws[f"{name}_task"].dims == ("chain", "draw", "task")
        assert fit.draws[f"{name}_task_sd"].dims == ("chain", "draw")
    assert ("deviation_cell" in fit.draws) == (table.kind == "crossings")
    for group in ("log_likelihood", "posterior_predictive", "prior_predictive", "observed_data"):
        assert set(tree[group].data_vars) == set(fit.law.predicts)
        assert all(v.dims[-1] == "row" for v in tree[group].data_vars.values())
    for group in ("posterior_predictive", "prior_predictive", "observed_data", "log_likelihood", "constant_data"):
        assert all(v.sizes["row"] == len(table) for v in tree[group].data_vars.values()), group
    assert all(v.dtype == np.float64 for group in ("posterior", "log_likelihood") for v in tree[group].values())
    assert {"energy", "n_steps", "diverging", "acceptance_rate", "lp"} <= set(tree["sample_stats"].data_vars)
    for name in fit.law.predicts:
        np.testing.assert_allclose(tree["observed_data"][name], np.log(table.frame[name]))
    attrs = tree.attrs
    assert (attrs["law"], attrs["table"], attrs["data"]) == (fit.law.name, table.kind, table.digest)
    assert fit.headline == f"Fit of {fit.law.name}: 4 chains x 1000 draws."
    assert table.headline in " ".join(repr(fit).split())


def test_every_column_of_the_table_is_kept(fit):
    kept, frame = fit.tree["constant_data"], fit.table.frame
    assert {f"{name}_label" if name == "task" else name for name in frame} == set(kept.variables) - {"row"}
    for name in frame.columns.drop("task"):
        np.testing.assert_array_equal(kept[name], frame[name])
    assert kept["task_label"].values.tolist() == frame["task"].tolist()


def test_cells_are_settings_and_their_thresholds_share_a_deviation(value_fit):
    found = value_fit("DataEfficiency")
    assert found.draws["deviation_cell"].sizes["cell"] == 12
    assert found.table.labels == LABELS
    design, rows = found.likelihood.design(found.table), found.table.frame[["task", "utd"]].reset_index(drop=True)
    cell = pd.Series(design.cell[: len(rows)])
    assert cell.groupby([rows["task"], rows["utd"]]).nunique().eq(1).all()
    assert cell.nunique() == len(design.cells) == 12


def test_the_log_likelihood_is_that_of_the_stated_scatter(fit):
    frame, posterior = fit.table.frame, fit.draws
    centres = values_at(fit, frame, scatter=False)
    cell = fit.likelihood.design(fit.table).cell[: len(frame)]
    own = posterior["deviation_cell"].values[..., cell] if "deviation_cell" in posterior else 0
    shift, beyond, total = 0.0, 0, 0.0
    rows = {name: rows.reset_index() for name, rows in fit.table.points().groupby("quantity")}
    for name in ("batch_size", "learning_rate") if len(rows) > 1 else rows:
        row, value = rows[name], np.log(rows[name]["value"].to_numpy())
        error, scatter = row["error"].to_numpy(), posterior[f"residual_sd_{name}"].values[..., None]
        variance = scatter**2 + error**2
        at_end = (row["value"] >= row["high"]).to_numpy()
        if name == "learning_rate":  # what the batch size's error says of this one's, where it is seen
            batch = rows["batch_size"]
            seen = (batch["value"] < batch["high"]).to_numpy()
            shared = 0.6 * error * batch["error"].to_numpy() * seen
            slope = shared / (
                posterior["residual_sd_batch_size"].values[..., None] ** 2 + batch["error"].to_numpy() ** 2
            )
            shift = slope * (np.log(batch["value"].to_numpy()) - centres["batch_size"])
            variance = variance - slope * shared
        z = (value - centres[name] - own - shift) / np.sqrt(variance)
        inside = scipy.stats.t.logpdf(z, 4) - 0.5 * np.log(variance)
        total = total + np.where(at_end, scipy.stats.t.logsf(z, 4), inside)
        beyond += at_end.sum()
    np.testing.assert_allclose(fit.row_densities, total, rtol=1e-6, atol=1e-8)
    assert beyond == {"StepsExamples": 0, "UTDHyperparameters": 1, "DataEfficiency": 4, "NoiseGrowth": 0}[fit.law.name]


def test_drawn_values_stay_within_what_can_be_read(value_fit):
    found = value_fit("DataEfficiency")
    high = np.log(found.table.points()["high"].to_numpy())
    assert np.isfinite(high).sum() == 48
    for group in ("posterior_predictive", "prior_predictive"):
        drawn = found.tree[group]["data"].values
        assert (drawn <= high).all()
        assert (drawn >= np.log(1e3)).all()
        assert (drawn == high).any()


@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto")
def test_arviz_functions_accept_the_tree(fit):
    assert az.loo(fit.by_row).n_data_points == len(fit.table)
    assert az.psense_summary(fit.tree, var_names=[fit.law.own_parameters[0].name])["prior"].notna().all()


def test_what_is_loaded_is_what_was_made(tmp_path):
    law, table = several_tasks("DataEfficiency")
    truth = VALUE_TRUTH[law.name] | {"residual_sd_data": 0.05, "cell_sd": 0.05}
    fit = made_fit(law, table, truth, scattered=dict.fromkeys(truth, 0.01), draws=50, whole=True)
    fit.save(tmp_path / "fit.nc")
    loaded = hl.load_fit(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(loaded.table.frame, table.frame)
    assert set(loaded.tree.children) == set(fit.tree.children) == GROUPS
    for group in GROUPS:
        assert loaded.tree[group].dataset.identical(fit.tree[group].dataset), group
        for name, values in fit.tree[group].data_vars.items():
            assert loaded.tree[group][name].dtype == values.dtype or values.dtype.kind in "OU", name
    assert loaded.tree.attrs == fit.tree.attrs
    assert loaded.pivot == fit.pivot


def test_a_process_that_has_made_no_table_loads_every_kind(value_fit, tmp_path):
    for name in FITTED:
        value_fit(name).save(tmp_path / f"{name}.nc")
    code = "import sys, hyperlaw as hl; print(*(type(hl.load_fit(path).table).__name__ for path in sys.argv[1:]))"
    files = [tmp_path / f"{name}.nc" for name in FITTED]
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [type(value_fit(name).table).__name__ for name in FITTED]


def test_save_and_load(fit, tmp_path):
    fit.save(tmp_path / "fit.nc")
    loaded = hl.load_fit(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(fit.table.frame, several_tasks(fit.law.name)[1].frame)
    assert loaded.likelihood == fit.likelihood
    assert loaded.law.pooling == POOLED.get(fit.law.name, {})
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


def test_the_batch_sizes_error_moves_the_learning_rate_only_where_it_is_seen():
    rows = {"utd": [1.0, 2.0, 4.0], "learning_rate": 1e-3, "batch_size": [90.0, 100.0, 120.0]}
    rows |= {"learning_rate_error": 0.2, "batch_size_error": 0.25, "correlation": [0.6, 0.6, -0.4]}
    rows |= {"batch_size_low": [90.0, 0.0, 0.0], "batch_size_high": [500.0, 100.0, 500.0]}
    table = hl.Optima.from_frame(pd.DataFrame(rows))
    model = hl.likelihood(hl.laws.UTDHyperparameters(), table)
    given, own = model.design(table), {"residual_sd_batch_size": 0.1}
    before = 0.3**2 + given.error["learning_rate"] ** 2
    slope, variance = (np.asarray(v)[:3] for v in model._given_batch(own, given, given.value["batch_size"], before))
    expected = np.array([0.0, 0.0, -0.4 * 0.2 * 0.25 / (0.1**2 + 0.25**2)])
    np.testing.assert_allclose(slope, expected, rtol=1e-5)
    np.testing.assert_allclose(variance, 0.3**2 + 0.2**2 - expected * -0.4 * 0.2 * 0.25, rtol=1e-5)
    none = given._replace(correlation=np.zeros_like(given.correlation))
    assert (np.asarray(model._given_batch(own, none, given.value["batch_size"], 1.0)[0]) == 0).all()
