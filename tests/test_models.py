"""Every law with every kind of table that it is fitted to: the model that a fit samples, and its arrays."""

import re

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
from conftest import RUNS_LAWS, example_of
from numpyro.infer.util import log_density

import hyperlaw as hl
from hyperlaw.data.table import TABLES
from hyperlaw.models.law import LAWS
from hyperlaw.models.law import RESERVED as REFUSED
from hyperlaw.models.likelihoods.base import BLOCK, LIKELIHOODS
from hyperlaw.models.likelihoods.deviations import drift_parameters, levelled

RESERVED = {"alpha", "model", "sample", "column", "ci_bound", "row", "cell", "task"}
MODELS = [(name, kind) for name, law in LAWS.items() for kind in law.tables]


def runs(tasks=1):
    rows = [
        {"task": f"t{k}", "params": n, "width": n**0.5, "data": d, "utd": d / 1e6, "batch_size": b, "learning_rate": r}
        for k in range(tasks)
        for n, d in [(1e5, 1e6), (1e6, 1e7), (1e6, 4e7)]
        for b in (32.0, 128.0)
        for r in (1e-3, 4e-3, 1.6e-2)
    ]
    frame = pd.DataFrame(rows)
    distance = np.log(frame["learning_rate"] / 3e-3)
    frame["loss"] = 2 + 10 / np.log(frame["data"]) + 0.1 * distance**2
    frame.loc[5, "loss"] = np.nan
    return hl.Runs.from_frame(frame)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=MODELS, ids="-".join)
def model(request):
    name, kind = request.param
    return hl.likelihood(LAWS[name](), kind)


@pytest.fixture(params=RUNS_LAWS)
def surface(request):
    """A law with the losses of runs around it."""
    return hl.likelihood(LAWS[request.param](), "runs")


def table_for(model, tasks):
    return runs(tasks) if model.kinds == ("runs",) else example_of(model, tasks)


def one_draw(model, given, seed=0):
    """One draw of every site of the model, from its prior."""
    trace = numpyro.handlers.trace(numpyro.handlers.seed(model.model, seed)).get_trace(given)
    return {name: site for name, site in trace.items() if site["type"] in ("sample", "deterministic")}


def free(sites):
    return {name: s["value"] for name, s in sites.items() if s["type"] == "sample" and not s["is_observed"]}


def test_every_kind_of_table_that_is_fitted_has_one_likelihood():
    assert {
        "runs": hl.LossSurface, "optima": hl.MeasuredValues, "steps_to_loss": hl.MeasuredValues,
        "noise_measurements": hl.MeasuredValues, "crossings": hl.CrossingValues,
    } == LIKELIHOODS  # fmt: skip
    assert {kind for _, kind in MODELS} == set(LIKELIHOODS) < set(TABLES)
    assert RESERVED <= REFUSED


def test_parameter_table_is_complete(model):
    table, own = model.parameters, [p.name for p in model.law.own_parameters]
    assert table.index.name == "name"
    assert list(table.columns) == ["meaning", "unit", "prior", "why", "pooled over"]
    assert table.notna().all(axis=None)
    for column in ("meaning", "prior", "why"):
        assert (table[column].str.strip() != "").all(), column
    assert table.index.is_unique
    assert not RESERVED & set(table.index)
    assert set(table["pooled over"]) == {"task", ""}
    assert list(table.index[: len(own)]) == own
    pd.testing.assert_frame_equal(table.loc[own], model.law.parameters)
    scatter = set(table.index[len(own) :])
    assert scatter == {p.name for p in model.scatter_parameters}
    if not model.prices_settings:
        of_cells = {"cell_sd"} if isinstance(model, hl.CrossingValues) else set()
        drifts = {p.name for p in drift_parameters(model.law, model.law.predicts)}
        shared = {f"{x}_sd_{name}" for name in model.law.predicts for x in levelled(model.law)}
        of_thresholds = {f"{name}_threshold_sd" for name in model.law.by_threshold}
        residuals = {f"residual_sd_{name}" for name in model.law.predicts}
        assert scatter == residuals | of_cells | of_thresholds | drifts | shared
        return
    settled = set(model.settled(dict.fromkeys(table.index, 1.0)))
    assert not settled & set(table.index)
    for name in model.law.covariates:
        assert {f"optimal_loss_{of}_{name}" for of in ("slope", "exponent", "bend")} <= scatter | settled
        assert {f"sharpness_{of}_exponent_{name}" for of in ("rate", "batch")} <= scatter | settled


def test_site_names_avoid_reserved_words(model):
    given = model.design(table_for(model, 2))
    sites = one_draw(model, given)
    assert not RESERVED & set(sites)
    assert set(model.parameters.index) <= set(sites)
    observed = {name for name, site in sites.items() if site.get("is_observed")}
    assert observed == set(model.measured(given))
    if not model.prices_settings:
        assert observed == set(model.law.predicts)
    assert model.scale_sites <= {f"{name}{of}" for name in model.parameters.index for of in ("", "_task", "_task_sd")}


@pytest.mark.parametrize("tasks", [1, 3])
def test_prior_draws_their_density_and_its_gradient_are_finite(model, tasks):
    given = model.design(table_for(model, tasks))
    density_and_slopes = jax.jit(jax.value_and_grad(lambda p: log_density(model.model, (given,), {}, p)[0]))
    for seed in range(3):
        sites = one_draw(model, given, seed)
        for name, site in sites.items():
            assert np.isfinite(site["value"]).all(), name
        density, slopes = density_and_slopes(free(sites))
        assert np.isfinite(density)
        for name, value in slopes.items():
            assert np.isfinite(value).all(), name
        assert all((np.abs(slopes[p.name]) > 0).all() for p in model.parameter_list)
    pooled = model.parameters.index[model.parameters["pooled over"] == "task"] if tasks > 1 else []
    assert {name for name in sites if name.endswith("_task")} == {f"{name}_task" for name in pooled}
    assert {name for name in sites if name.endswith("_task_sd")} == {f"{name}_task_sd" for name in pooled}


def test_a_diverged_run_has_no_loss_in_the_density(surface):
    given = surface.design(runs())
    draws = free(one_draw(surface, given))
    lost, kept = given.loss.copy(), given.loss.copy()
    lost[5] += 3.0
    kept[4] += 3.0
    density, of_lost, of_kept = (
        float(log_density(surface.model, (given._replace(loss=loss),), {}, draws)[0])
        for loss in (given.loss, lost, kept)
    )
    assert given.diverged[5] == 1
    assert of_lost == density
    assert of_kept != density


def test_a_design_is_in_logs_and_centred(surface):
    source = runs(tasks=2)
    given = surface.design(source)
    frame, cells, here = source.frame, source.cells, slice(len(source))
    np.testing.assert_allclose(np.exp(given.learning_rate[here]), frame["learning_rate"])
    np.testing.assert_allclose(np.exp(given.batch_size[here]), frame["batch_size"])
    assert set(given.covariates) == set(surface.law.covariates)
    for name, value in given.covariates.items():
        assert value.mean() == pytest.approx(0, abs=1e-12)
        np.testing.assert_allclose(np.diff(value), np.diff(np.log(cells[name])), atol=1e-12)
        np.testing.assert_allclose(np.exp(value + given.pivot[name]), cells[name])
    assert given.task.tolist() == [0, 0, 0, 1, 1, 1]
    assert given.cell[here].tolist() == frame["cell"].tolist()
    assert given.loss[5] == 0
    assert given.diverged.sum() == 1


def test_rows_fill_up_a_block(model):
    table = table_for(model, 2)
    given = model.design(table, pd.Series(np.arange(len(table)) % 2 == 0, table.frame.index))
    assert len(given.present) % BLOCK == 0
    assert len(given.present) - BLOCK < len(table) <= len(given.present)
    assert given.present.tolist() == [i < len(table) for i in range(len(given.present))]
    assert given.observed.tolist() == [i < len(table) and i % 2 == 0 for i in range(len(given.present))]
    for values in model.measured(given).values():
        assert values.shape == given.present.shape
        assert np.isfinite(values).all()


def test_a_design_of_values_is_in_logs_and_scaled():
    model = hl.likelihood(hl.laws.DataEfficiencyBySize(), "crossings")
    table = example_of(model, 2)
    frame, given, here = table.frame, model.design(table), slice(len(table))
    np.testing.assert_allclose(np.exp(given.value["data"][here]), frame["data"])
    np.testing.assert_allclose(given.error["data"][here], frame["error"])
    np.testing.assert_allclose(np.exp(given.high["data"][here]), frame["limit"])
    assert (given.low["data"] == -np.inf).all()
    for name in ("utd", "params"):
        x = given.covariates[name][here]
        assert x.mean() == pytest.approx(0, abs=1e-12)
        np.testing.assert_allclose(np.exp(x + given.pivot[name]), frame[name])
    level = given.covariates["threshold"][here]
    assert (level.min(), level.max()) == (pytest.approx(-1), pytest.approx(1))
    np.testing.assert_allclose(level * given.pivot["threshold_unit"] + given.pivot["threshold"], frame["threshold"])
    cells = frame[["task", "utd", "params"]].drop_duplicates()
    assert len(given.cells) == len(cells)
    assert pd.crosstab(given.cell[here], frame["threshold"].to_numpy()).eq(1).all(axis=None)


def test_a_label_enters_as_its_position():
    model = hl.likelihood(hl.laws.ByOptimizer(), "optima")
    table = example_of(model, 1)
    given = model.design(table)
    expected = (table.frame["optimizer"] == "adam").astype(float)
    np.testing.assert_array_equal(given.covariates["optimizer"][: len(table)], expected)
    np.testing.assert_allclose(np.exp(given.log_batch_size[: len(table)]), table.frame["batch_size"])


def test_missing_covariate_is_named():
    source = hl.Runs.from_frame(runs().frame.drop(columns=["params", "width", "utd", "cell"]))
    text = (
        "ComputeLaw needs params, which this table does not have; its columns are learning_rate, batch_size, data, "
        "task, seed, loss, diverged, cell. Name the column when making the table, or fit StepLaw, ThreeTerm, "
        "TimeTransfer, TimeTransferTied."
    )
    with pytest.raises(ValueError, match=re.escape(text)):
        hl.likelihood(hl.laws.ComputeLaw(), source).design(source)


def test_all_missing_covariates_are_named():
    frame = runs().frame.assign(width=lambda f: f["data"]).drop(columns=["params", "data", "utd", "cell"])
    source = hl.Runs.from_frame(frame)
    text = r"TimeTransfer needs params, data, which this table does not have; .*, width, .* or fit StepLaw\."
    with pytest.raises(ValueError, match=text):
        hl.likelihood(hl.laws.TimeTransfer(), source).design(source)


def test_missing_columns_of_values_are_named():
    table = hl.Optima.from_frame(pd.DataFrame({"learning_rate": [1e-3, 2e-3], "params": [1e6, 1e7]}))
    text = (
        "Surge needs batch_size, which this table does not have; its columns are task, params, learning_rate, "
        "learning_rate_error, learning_rate_low, learning_rate_high. Name the column when making the table, or fit "
        "StepLaw."
    )
    with pytest.raises(ValueError, match=re.escape(text)):
        hl.likelihood(hl.laws.Surge(), table).design(table)


def test_a_law_is_fitted_to_its_own_kinds_of_table():
    law = hl.laws.StepLaw()
    kinds = {"runs": hl.LossSurface, "optima": hl.MeasuredValues}
    for kind, likelihood in kinds.items():
        assert type(hl.likelihood(law, kind)) is likelihood
    for kind in ("crossings", "steps_to_loss", "curves", "loss"):
        text = (
            f"StepLaw does not describe {kind!r}; it is fitted to runs or optima. hl.laws.table() lists what each law "
            "needs."
        )
        with pytest.raises(ValueError, match=re.escape(text)):
            hl.likelihood(law, kind)
    with pytest.raises(ValueError, match="StepLaw does not describe 'optima'"):
        hl.likelihood(hl.likelihood(law, "runs"), "optima")
    with pytest.raises(ValueError, match="DataEfficiency does not describe 'optima'; it is fitted to crossings"):
        hl.likelihood(hl.laws.DataEfficiency(), example_of(hl.likelihood(law, "optima"), 1))


OWN, OWN_PRIOR = "exponent_data", dist.Normal(0.5, 0.05)
SCATTER = {"runs": ("noise", dist.LogNormal(-5.0, 0.5)), "optima": ("residual_sd_learning_rate", dist.HalfNormal(0.1))}


@pytest.mark.parametrize("kind", SCATTER)
def test_names_are_split_between_a_law_and_the_scatter_around_it(kind):
    name, prior = SCATTER[kind]
    law = hl.laws.StepLaw(priors={"log_batch_size": dist.Normal(9.0, 1.0)}, pooling={"exponent_params": "shared"})
    shared = {"exponent_data": "separate"} | ({"optimal_loss": "shared"} if kind == "runs" else {})
    model = hl.likelihood(law, kind, priors={OWN: OWN_PRIOR, name: prior}, pooling=shared)
    assert set(model.law.priors) == {"log_batch_size", OWN}
    assert set(model.priors) == {name}
    assert model.law.pooling == {"exponent_params": "shared", "exponent_data": "separate"}
    assert model.pooling == ({"optimal_loss": "shared"} if kind == "runs" else {})
    assert law == hl.laws.StepLaw(priors=law.priors, pooling=law.pooling)  # the given one is as it was
    told = model.parameters
    assert told.loc[OWN, "prior"] == "Normal(loc=0.5, scale=0.05)"
    assert told.loc["exponent_params", "pooled over"] == ""
    # What a likelihood is given adds to what it has.
    more = hl.likelihood(model, kind, priors={"rate_exponent_data": dist.Normal(0.0, 0.1)})
    assert set(more.law.priors) == {"log_batch_size", OWN, "rate_exponent_data"}
    assert more.priors == model.priors
    with pytest.raises(ValueError, match=r"StepLaw has no parameter 'nothing'\. Its parameters are: log_batch_size"):
        hl.likelihood(law, kind, priors={"nothing": OWN_PRIOR})


@pytest.mark.parametrize("kind", SCATTER)
def test_models_that_are_the_same_are_equal(kind):
    name, prior = SCATTER[kind]
    law = hl.laws.StepLaw
    plain = hl.likelihood(law(), kind)
    ways = [
        hl.likelihood(law(priors={OWN: OWN_PRIOR}), kind, priors={name: prior}),
        hl.likelihood(law(), kind, priors={name: prior, OWN: OWN_PRIOR}),
        plain.with_priors({OWN: OWN_PRIOR}).with_priors({name: prior}),
        type(plain)(law(), {OWN: OWN_PRIOR, name: prior}),
    ]
    assert len({plain, *ways}) == 2
    assert all(one == ways[0] and one.key == ways[0].key and hash(one) == hash(ways[0]) for one in ways)
    assert all(one.bare == plain for one in ways)
    others = [
        plain,
        plain.with_priors({name: prior}),
        ways[0].with_priors({OWN: dist.Normal(0.5, 0.051)}),
        ways[0].with_priors({name: dist.LogNormal(-5.0, 0.501)}),
        hl.likelihood(ways[0], kind, pooling={OWN: "shared"}),
        hl.likelihood(law(), "optima" if kind == "runs" else "runs"),
        hl.likelihood(hl.laws.ComputeLaw(), kind),
    ]
    assert len({ways[0], *others}) == len(others) + 1
    assert plain != law()
