import json

import arviz as az
import jax
import numpy as np
import numpyro.distributions as dist
import pytest
from conftest import TRUTH, grid, simulate
from numpyro.infer import MCMC, NUTS
from numpyro.infer.inspect import get_model_relations

import hyperlaw as hl
from hyperlaw.models.design import design

GROUPS = {
    "posterior", "sample_stats", "log_likelihood", "log_prior", "posterior_predictive",
    "prior", "prior_predictive", "observed_data", "constant_data",
}  # fmt: skip


def test_every_law_makes_a_full_tree_with_named_dims(recovered):
    _, runs, fit = recovered
    tree = fit.tree
    assert set(tree.children) == GROUPS
    dims = {dim for group in tree.children.values() for v in group.data_vars.values() for dim in v.dims}
    assert dims <= {"chain", "draw", "run", "cell", "task"}
    assert tree["log_likelihood"]["loss"].dims == ("chain", "draw", "run")
    assert tree["posterior"]["cell_floor"].dims == ("chain", "draw", "cell")
    assert list(tree["constant_data"]["run"].values) == list(runs.labels)
    assert {"energy", "n_steps", "diverging", "acceptance_rate", "lp"} <= set(tree["sample_stats"].data_vars)
    assert all(v.dtype == np.float64 for v in tree["posterior"].data_vars.values())
    assert all(v.dtype == np.float64 for v in tree["log_likelihood"].data_vars.values())


def test_every_law_recovers_its_parameters(recovered):
    law, _, fit = recovered
    posterior = fit.tree["posterior"].dataset
    summary = az.summary(fit.tree, kind="diagnostics", round_to="none")
    assert summary["ess_bulk"].min() > 400
    distances = {}
    for p in law.own_parameters:
        draws = posterior[p.name].values
        distances[p.name] = abs(draws.mean() - TRUTH[p.name]) / draws.std()
    assert max(distances.values()) < 4, distances
    assert np.median(list(distances.values())) < 1.5, distances


def test_every_law_predicts_the_optimum_of_a_larger_scale(recovered):
    law, _, fit = recovered
    at = {"params": 4e6, "data": 1.6e10}
    x = {name: np.log(at[name]) - fit.pivot[name] for name in law.covariates}
    log_batch = float(law.log_batch_size(TRUTH, x))
    log_rate = float(law.log_learning_rate(TRUTH, x, log_batch))
    draws = fit.predict(at).draws
    for name, truth in (("batch_size", log_batch), ("learning_rate", log_rate)):
        low, high = np.quantile(draws[f"best_{name}"], [0.005, 0.995])
        assert low < np.exp(truth) < high, name


@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto")
def test_arviz_functions_accept_the_tree(fit):
    assert az.loo(fit.tree, var_name="loss").n_data_points == len(fit.runs)
    assert not az.diagnose(fit.tree, return_diagnostics=True, show_diagnostics=False)[0]
    assert az.psense_summary(fit.tree, var_names=["exponent_data"])["prior"].notna().all()


def test_same_seed_same_draws_and_provenance(small):
    short = {"draws": 50, "warmup": 100, "progress": False}
    first = hl.fit(hl.laws.StepLaw(), small, seed=5, **short)
    again = hl.fit(hl.laws.StepLaw(), small, seed=5, **short)
    other = hl.fit(hl.laws.StepLaw(), small, seed=6, **short)
    assert np.array_equal(first.tree["posterior"]["exponent_data"], again.tree["posterior"]["exponent_data"])
    assert not np.array_equal(first.tree["posterior"]["exponent_data"], other.tree["posterior"]["exponent_data"])
    attrs = first.tree.attrs
    assert attrs["law"] == "StepLaw"
    assert attrs["seed"] == 5
    assert attrs["data"] == small.digest
    assert {"hyperlaw", "numpyro", "jax", "arviz", "numpy", "python"} <= set(json.loads(attrs["versions"]))


def test_a_given_prior_is_used_and_recorded(small):
    prior = {"exponent_data": dist.Normal(0.9, 0.001)}
    fit = hl.fit(hl.laws.StepLaw(), small, seed=0, priors=prior, draws=50, warmup=100, progress=False)
    assert abs(float(fit.tree["posterior"]["exponent_data"].mean()) - 0.9) < 0.01
    assert "0.9" in json.loads(fit.tree.attrs["priors"])["exponent_data"]


def test_model_is_plain_numpyro():
    runs = simulate(hl.laws.StepLaw(), grid(sizes=(1e6,), rates=5, batches=3), seed=0)
    law = hl.laws.StepLaw()
    mcmc = MCMC(NUTS(law.model, max_tree_depth=3), num_warmup=5, num_samples=5, progress_bar=False)
    arrays = design(runs, law.covariates)
    assert "cell_floor" in get_model_relations(law.model, (arrays,))["sample_sample"]["loss"]  # what render_model draws
    mcmc.run(jax.random.key(0), arrays)
    assert mcmc.get_samples()["exponent_data"].shape == (5,)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"seed": None}, TypeError, "seed must be an integer of 0 or more, received None"),
        ({"seed": 1.5}, TypeError, "seed must be an integer of 0 or more, received 1.5"),
        ({"seed": 0, "chains": 1}, ValueError, "chains must be 2 or more, received 1"),
        ({"seed": 0, "draws": 70}, ValueError, "draws must be a multiple of 50, received 70"),
        ({"seed": 0, "warmup": 50}, ValueError, "warmup must be a multiple of 100, received 50"),
        ({"seed": 0, "priors": {"exponent_dat": dist.Normal()}}, ValueError, "Did you mean 'exponent_data'"),
    ],
)
def test_bad_settings_are_refused_before_compiling(small, arguments, error, text):
    with pytest.raises(error, match=text):
        hl.fit(hl.laws.StepLaw(), small, progress=False, **arguments)


def test_progress_is_shown_or_silent(small, capsys):
    hl.fit(hl.laws.StepLaw(), small, seed=0, draws=50, warmup=100)
    assert "StepLaw" in capsys.readouterr().out
    hl.fit(hl.laws.StepLaw(), small, seed=0, draws=50, warmup=100, progress=False)
    assert capsys.readouterr().out == ""


def test_prior_predict(small):
    prior = hl.prior_predict(hl.laws.StepLaw(), small, seed=0, draws=200)
    assert set(prior.draws.children) == {"prior", "prior_predictive", "observed_data", "constant_data"}
    assert len(prior.table) == len(small.cells)
    # The prior is wider than the data, and not absurdly so.
    table = prior.table
    assert (table["prior_lower"] < table["lowest_seen"]).all()
    assert (table["prior_median"].between(table["lowest_seen"] - 2, table["highest_seen"] + 2)).all()
    again = hl.prior_predict(hl.laws.StepLaw(), small, seed=0, draws=200)
    assert prior.table.equals(again.table)


def test_save_and_load(fit, tmp_path):
    fit.save(tmp_path / "fit.nc")
    loaded = hl.load_fit(tmp_path / "fit.nc")
    assert loaded.law == fit.law
    assert loaded.runs.digest == fit.runs.digest
    assert loaded.tree.attrs == fit.tree.attrs
    for group in GROUPS:
        assert loaded.tree[group].dataset.equals(fit.tree[group].dataset), group
    at = {"params": 98304, "data": 2**22}
    assert loaded.predict(at).table.equals(fit.predict(at).table)


def test_save_and_load_several_tasks(pooled, tmp_path):
    pooled.save(tmp_path / "fit.nc")
    loaded = hl.load_fit(tmp_path / "fit.nc")
    assert loaded.runs.tasks == ("adam", "lion", "sgd")
    assert loaded.runs.frame.equals(pooled.runs.frame)


def test_loading_refuses_what_is_no_fit(fit, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no fit at .*none\.nc"):
        hl.load_fit(tmp_path / "none.nc")
    az.from_dict({"posterior": {"a": np.zeros((2, 3))}}).to_netcdf(tmp_path / "other.nc")
    with pytest.raises(ValueError, match=r"was not written by fit\.save"):
        hl.load_fit(tmp_path / "other.nc")
    for change, text in (({"law": "Wish"}, "holds a fit of 'Wish'"), ({"data": "0"}, "is damaged: its runs are not")):
        tree = fit.tree.copy()
        tree.attrs = fit.tree.attrs | change
        tree.to_netcdf(tmp_path / "changed.nc")
        with pytest.raises(ValueError, match=text):
            hl.load_fit(tmp_path / "changed.nc")


def test_loading_refuses_a_law_that_had_other_parameters(fit, tmp_path):
    older = fit.tree.copy()
    older["posterior"] = fit.tree["posterior"].to_dataset().drop_vars("floor_coupling")
    older.to_netcdf(tmp_path / "older.nc")
    with pytest.raises(ValueError, match=r"was written by hyperlaw .*, whose StepLaw had no floor_coupling\. Fit its"):
        hl.load_fit(tmp_path / "older.nc")
