import json
from concurrent.futures import ThreadPoolExecutor

import arviz as az
import jax
import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr
from agreement import agree, alike
from agreement import recovered as near
from conftest import CHECKED, TRUTH, grid, simulate
from numpyro.infer import MCMC, NUTS
from numpyro.infer.inspect import get_model_relations

import hyperlaw as hl
from hyperlaw.inference.example import example

GROUPS = {
    "posterior", "sample_stats", "log_likelihood", "log_prior", "posterior_predictive",
    "prior", "prior_predictive", "observed_data", "constant_data",
}  # fmt: skip
# Settings of the fixture `rough`, whose compiled programs these fits share.
FEW = CHECKED | {"draws": 50}
ONE = {"learning_rate": [1e-3], "batch_size": [256]}


def test_every_law_makes_a_full_tree_with_named_dims(recovered):
    _, runs, fit = recovered
    tree = fit.tree
    assert set(tree.children) == GROUPS
    dims = {dim for group in tree.children.values() for v in group.data_vars.values() for dim in v.dims}
    assert dims <= {"chain", "draw", "run", "cell", "task", "params_level", "data_level"}
    assert tree["log_likelihood"]["loss"].dims == ("chain", "draw", "run")
    assert tree["posterior"]["cell_optimal_loss"].dims == ("chain", "draw", "cell")
    assert list(tree["constant_data"]["run"].values) == list(runs.labels)
    assert {"energy", "n_steps", "diverging", "acceptance_rate", "lp"} <= set(tree["sample_stats"].data_vars)
    columns = {f"{name}_label" if name in ("task", "cell") else name for name in runs.frame}
    assert {name for name in tree["constant_data"].variables if name != "run"} == columns
    np.testing.assert_array_equal(tree["constant_data"]["learning_rate"], runs.frame["learning_rate"])
    assert all(v.dtype == np.float64 for v in tree["posterior"].data_vars.values())
    assert all(v.dtype == np.float64 for v in tree["log_likelihood"].data_vars.values())


def test_every_law_recovers_its_parameters(recovered):
    _, _, fit = recovered
    summary = az.summary(fit.tree, kind="diagnostics", round_to="none")
    assert summary["ess_bulk"].min() > 400
    draws = {p.name: fit.draws[p.name].values for p in fit.law.own_parameters}
    for name, values in draws.items():
        near(values, TRUTH[name])
    distances = [abs(values.mean() - TRUTH[name]) / values.std() for name, values in draws.items()]
    assert np.median(distances) < 1.5, distances


def test_every_law_predicts_the_optimum_of_a_larger_scale(recovered):
    law, _, fit = recovered
    at = {"params": 4e6, "data": 1.6e10}
    x = {name: np.log(at[name]) - fit.pivot[name] for name in law.covariates}
    log_batch = float(law.log_batch_size(TRUTH, x))
    log_rate = float(law.log_learning_rate(TRUTH, x, log_batch))
    draws = fit.predict(at, ONE).draws
    for name, truth in (("batch_size", log_batch), ("learning_rate", log_rate)):
        near(np.log(draws[f"best_{name}"].values), truth, sigmas=3)


@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto")
def test_arviz_functions_accept_the_tree(fit):
    assert az.loo(fit.tree, var_name="loss").n_data_points == len(fit.runs)
    assert not az.diagnose(fit.tree, return_diagnostics=True, show_diagnostics=False)[0]
    assert az.psense_summary(fit.tree, var_names=["exponent_data"])["prior"].notna().all()


def test_same_seed_same_draws_and_provenance(small, fit, rough, capsys):
    other = hl.fit(hl.laws.StepLaw(), small, seed=6, **FEW)
    assert capsys.readouterr().out == ""
    # Two fits with one seed, of which one only goes on for longer; a transform may round by its number of draws.
    for name, values in rough.draws.items():
        np.testing.assert_allclose(fit.draws[name].isel(draw=slice(50)), values, rtol=1e-10, atol=1e-12)
    assert not np.isclose(other.draws["exponent_data"], rough.draws["exponent_data"]).any()
    attrs = other.tree.attrs
    assert attrs["law"] == "StepLaw"
    assert attrs["seed"] == 6
    assert attrs["data"] == small.digest
    assert {"hyperlaw", "numpyro", "jax", "arviz", "numpy", "python"} <= set(json.loads(attrs["versions"]))


@pytest.mark.slow
def test_the_order_of_rows_changes_nothing_but_luck(small, fit):
    """Of another seed too: chains that share their luck would agree to the digit, or not at all."""
    shuffled = hl.Runs.from_frame(small.frame.drop(columns="cell").sample(frac=1, random_state=0), batch_unit=1)
    assert shuffled.digest == small.digest
    again = hl.fit(hl.laws.StepLaw(), shuffled, seed=1, **CHECKED)
    for parameter in fit.law.own_parameters:
        alike(fit.draws[parameter.name], again.draws[parameter.name])
    target = {"params": 98304, "data": 2**22}
    for name in ("learning_rate", "batch_size"):
        first, second = (np.log(one.predict(target).draws[f"best_{name}"]) for one in (fit, again))
        alike(first, second)


def test_a_given_prior_is_used_and_recorded(small, capsys):
    """A prior of the law, and one of the scatter around it; a bar shows how far the sampling is."""
    # Of the families of the defaults, so that no program is compiled anew.
    priors = {"exponent_data": dist.Normal(0.9, 1e-4), "skew_learning_rate": dist.Gamma(1e6, 2e6)}
    fit = hl.fit(hl.laws.StepLaw(), small, seed=0, priors=priors, **FEW | {"progress": True})
    assert "StepLaw" in capsys.readouterr().err
    # Both priors are so narrow that the runs say nothing beside them.
    agree(fit.draws["exponent_data"], 0.9)
    agree(fit.draws["skew_learning_rate"], 0.5)
    recorded = json.loads(fit.tree.attrs["priors"])
    assert set(recorded) == set(priors)
    assert "0.9" in recorded["exponent_data"]
    assert set(fit.law.priors) == {"exponent_data"}
    assert set(fit.likelihood.priors) == {"skew_learning_rate"}


def test_model_is_plain_numpyro():
    runs = simulate(hl.laws.StepLaw(), grid(sizes=(1e6,), rates=5, batches=3), seed=0)
    surface = hl.likelihood(hl.laws.StepLaw(), runs)
    mcmc = MCMC(NUTS(surface.model, max_tree_depth=3), num_warmup=5, num_samples=5, progress_bar=False)
    arrays = surface.design(runs)
    # What render_model draws.
    assert "cell_optimal_loss" in get_model_relations(surface.model, (arrays,))["sample_sample"]["loss"]
    mcmc.run(jax.random.key(0), arrays)
    assert mcmc.get_samples()["exponent_data"].shape == (5,)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"seed": None}, TypeError, "seed must be an integer of 0 or more, received None"),
        ({"seed": 1.5}, TypeError, "seed must be an integer of 0 or more, received 1.5"),
        ({"seed": -1}, TypeError, "seed must be an integer of 0 or more, received -1"),
        ({"seed": True}, TypeError, "seed must be an integer of 0 or more, received True"),
        ({"seed": 0, "chains": 1}, ValueError, "chains must be 2 or more, received 1"),
        ({"seed": 0, "draws": 70}, ValueError, "draws must be a multiple of 50, received 70"),
        ({"seed": 0, "target_accept": 1.5}, ValueError, "target_accept must lie between 0 and 1, received 1.5"),
        ({"seed": 0, "target_accept": np.nan}, ValueError, "target_accept must lie between 0 and 1, received nan"),
        ({"seed": 0, "target_accept": "x"}, ValueError, "target_accept must be a number, received 'x'"),
        ({"seed": 0, "max_tree_depth": 0}, ValueError, "max_tree_depth must be a whole number from 1 to 20, rec"),
        ({"seed": 0, "warmup": 50}, ValueError, "warmup must be a multiple of 100, received 50"),
        ({"seed": 0, "priors": {"exponent_dat": dist.Normal()}}, ValueError, "Did you mean 'exponent_data'"),
    ],
)
def test_bad_settings_are_refused_before_compiling(small, arguments, error, text):
    with pytest.raises(error, match=text):
        hl.fit(hl.laws.StepLaw(), small, progress=False, **arguments)


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
    assert loaded.likelihood == fit.likelihood
    assert loaded.pivot == fit.pivot
    assert loaded.runs.digest == fit.runs.digest
    assert loaded.tree.attrs == fit.tree.attrs
    for group in GROUPS:
        assert loaded.tree[group].dataset.equals(fit.tree[group].dataset), group
    at = {"params": 98304, "data": 2**22}
    assert loaded.predict(at, ONE).draws.equals(fit.predict(at, ONE).draws)


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
    for change, text in (
        ({"law": "Wish"}, r"holds a fit of 'Wish'.* define it first and pass laws=\[Wish\], or register it"),
        ({"data": "0"}, "is damaged: its runs are not"),
        ({"columns": None}, "before its parameters had their present names. Fit its table again"),
    ):
        tree = xr.DataTree.from_dict({"constant_data": fit.tree["constant_data"].to_dataset()})
        tree.attrs = {name: value for name, value in (fit.tree.attrs | change).items() if value is not None}
        tree.to_netcdf(tmp_path / "changed.nc")
        with pytest.raises(ValueError, match=text):
            hl.load_fit(tmp_path / "changed.nc")


def test_loading_refuses_a_law_that_had_other_parameters(fit, tmp_path):
    groups = {name: fit.tree[name].to_dataset() for name in ("constant_data", "posterior")}
    older = xr.DataTree.from_dict(groups | {"posterior": groups["posterior"].drop_vars("optimal_loss_coupling")})
    older.attrs = fit.tree.attrs
    older.to_netcdf(tmp_path / "older.nc")
    with pytest.raises(ValueError, match=r"written by hyperlaw .*, whose StepLaw had no optimal_loss_coupling\. Fit"):
        hl.load_fit(tmp_path / "older.nc")


def test_fits_in_several_threads_are_those_of_one():
    """NumPyro has one stack of handlers for all threads: two models at a time would mix."""
    laws = [hl.laws.OptimalUTD(), hl.laws.SquareRoot()]
    few = CHECKED | {"draws": 50, "warmup": 100, "chains": 2}

    def draws(law):
        return hl.fit(law, example(law), seed=0, **few).draws

    jax.clear_caches()
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(draws, laws))
    for law, drawn in zip(laws, together, strict=True):
        xr.testing.assert_equal(drawn, draws(law))
