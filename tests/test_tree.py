"""The tree of a fit: it holds the rows of its table, and all that a loaded fit needs to be the same."""

import numpy as np
import numpyro.distributions as dist
import pandas as pd
import pytest
import xarray as xr
from conftest import TRUTH, VALUE_TRUTH, example_of, grid
from made_fit import made_fit

import hyperlaw as hl
from hyperlaw.models.likelihoods.base import BLOCK

SCATTER = {f"residual_sd_{name}": 0.1 for name in ("learning_rate", "batch_size", "data")} | {"cell_sd": 0.1}
# Law, kind of table, a law's own parameter and one of the scatter whose priors are replaced, one that tasks share.
MODELS = {
    "runs": (hl.laws.StepLaw(), TRUTH, "exponent_data", "noise", "optimal_loss"),
    "optima": (hl.laws.StepLaw(), TRUTH, "exponent_data", "residual_sd_learning_rate", "ridge_small_batch"),
    "crossings": (hl.laws.DataEfficiency(), VALUE_TRUTH["DataEfficiency"], "exponent_utd", "cell_sd", "data_bend"),
}


@pytest.fixture(scope="module", params=MODELS)
def whole(request):
    """A fit with all groups of its tree, other priors and other pooling."""
    law, truth, own, scatter, shared = MODELS[request.param]
    model = hl.likelihood(
        law, request.param, priors={own: dist.LogNormal(1 / 3, 2.0), scatter: dist.HalfNormal(1 / 7)},
        pooling={own: "separate", shared: "shared"},
    )  # fmt: skip
    runs = hl.Runs.from_frame(grid(rates=3, batches=3))
    table = runs if request.param == "runs" else example_of(model, 2)
    return made_fit(model, table, truth | SCATTER, draws=50, whole=True)


def test_a_tree_holds_the_rows_of_its_table(whole):
    rows, dim = len(whole.table), whole.likelihood.row
    assert rows % BLOCK > 0
    for group in ("log_likelihood", "posterior_predictive", "prior_predictive", "observed_data", "constant_data"):
        for name, values in whole.tree[group].data_vars.items():
            assert values.sizes[dim] == rows, (group, name)
            assert values[dim].values.tolist() == list(whole.table.labels), (group, name)
    for group in ("posterior", "prior", "sample_stats", "log_prior"):
        assert dim not in whole.tree[group].dims
    density = whole.row_densities
    assert np.isfinite(density).all()
    assert (density != 0).all()


def test_a_loaded_fit_has_the_same_likelihood(whole, tmp_path):
    whole.save(tmp_path / "fit.nc")
    again = hl.load_fit(tmp_path / "fit.nc")
    model = whole.likelihood
    assert again.likelihood == model
    assert hash(again.likelihood) == hash(model)
    assert type(again.likelihood) is type(model)
    assert again.law == whole.law
    assert again.likelihood.separate == model.separate == {MODELS[whole.table.kind][2]}
    pd.testing.assert_frame_equal(again.likelihood.parameters, model.parameters)
    assert again.pivot == whole.pivot
    assert again.seed == whole.seed
    assert again.table.digest == whole.table.digest
    pd.testing.assert_frame_equal(again.table.frame, whole.table.frame)
    for group in whole.tree.children:
        xr.testing.assert_identical(again.tree[group].to_dataset(), whole.tree[group].to_dataset())
