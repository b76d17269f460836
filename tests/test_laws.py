import re

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
from conftest import RUNS_LAWS, grid
from numpyro.infer.util import log_density

from hyperlaw import Runs
from hyperlaw.models import LAWS, ComputeLaw, StepLaw, TimeTransfer
from hyperlaw.models.design import design
from hyperlaw.models.prior import AtBestLoss, AtGridCentre, InLossSpread, PerBestLoss, from_json, to_json, to_text
from hyperlaw.models.surface import bowl, floor_trend

RESERVED = {"alpha", "model", "sample", "column", "ci_bound"}
FAR = np.log(np.geomspace(1e-8, 1e16, 25))
STEP = {
    "log_batch_size": 9.0,
    "exponent_params": -0.07,
    "exponent_data": 0.57,
    "log_learning_rate": -6.0,
    "rate_exponent_params": -0.71,
    "rate_exponent_data": 0.31,
    "ridge_small_batch": 0.9,
    "ridge_large_batch": -0.2,
}
TRANSFER = {
    "log_batch_size": 9.0,
    "exponent_data": 0.47,
    "log_critical_ratio": 1.2,
    "critical_exponent_data": 0.8,
    "log_peak_rate": -5.5,
    "rate_exponent_data": -0.15,
    "rate_exponent_params": 0.05,
}
COMPUTE = {
    "log_batch_size": 9.0,
    "exponent_compute": 0.33,
    "log_learning_rate": -6.0,
    "rate_exponent_compute": -0.12,
    "ridge_small_batch": 0.9,
    "ridge_large_batch": -0.2,
}
VALUES = {"StepLaw": STEP, "TimeTransfer": TRANSFER, "ComputeLaw": COMPUTE}


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
    return Runs.from_frame(frame)


def prior_draw(law, seed=0):
    given = design(runs(), law.covariates)
    with numpyro.handlers.seed(rng_seed=seed):
        trace = numpyro.handlers.trace(law.model).get_trace(given)
    return {p.name: trace[p.name]["value"] for p in law.own_parameters}


def slope(law, p, x, log_batch):
    return jax.grad(lambda b: law.log_learning_rate(p, x, b))(log_batch)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=RUNS_LAWS)
def law(request):
    return LAWS[request.param]()


def test_there_are_laws():
    assert set(RUNS_LAWS) == {"StepLaw", "TimeTransfer", "ComputeLaw"}
    assert all(LAWS[name]().name == name for name in LAWS)


def test_parameter_table(law):
    table = law.parameters
    assert table.index.name == "name"
    assert list(table.columns) == ["meaning", "unit", "prior", "why", "pooled over"]
    for column in ("meaning", "prior", "why"):
        assert (table[column].str.strip() != "").all()
    assert table.notna().all(axis=None)
    assert table.index.is_unique
    assert not RESERVED & set(table.index)
    assert set(table["pooled over"]) == {"task", ""}
    assert [p.name for p in law.own_parameters] == list(table.index[: len(law.own_parameters)])


def test_site_names_avoid_reserved_words(law):
    given = design(runs(tasks=2), law.covariates)
    with numpyro.handlers.seed(rng_seed=0):
        trace = numpyro.handlers.trace(law.model).get_trace(given)
    assert not RESERVED & set(trace)
    assert set(law.parameters.index) <= set(trace)


def test_law_has_a_docstring_with_a_source(law):
    assert re.search(r"\d{4}\.\d{5}", type(law).__doc__)


def step_law_in_numpy(p, n, d, batch):
    best_batch = np.exp(p["log_batch_size"]) * n ** p["exponent_params"] * d ** p["exponent_data"]
    best_rate = np.exp(p["log_learning_rate"]) * n ** p["rate_exponent_params"] * d ** p["rate_exponent_data"]
    low, high = p["ridge_small_batch"], p["ridge_large_batch"]
    ratio = batch / best_batch
    return best_batch, best_rate * ratio**high * ((1 + 1 / ratio) / 2) ** (high - low)


def time_transfer_in_numpy(p, n, d, batch):
    best_batch = np.exp(p["log_batch_size"]) * d ** p["exponent_data"]
    critical = np.exp(p["log_batch_size"] + p["log_critical_ratio"]) * d ** p["critical_exponent_data"]
    peak = np.exp(p["log_peak_rate"]) * d ** p["rate_exponent_data"] * n ** p["rate_exponent_params"]
    return best_batch, peak / np.cosh(0.5 * np.log(batch / critical))


def compute_law_in_numpy(p, n, d, batch):
    best_batch = np.exp(p["log_batch_size"]) * (n * d) ** p["exponent_compute"]
    best_rate = np.exp(p["log_learning_rate"]) * (n * d) ** p["rate_exponent_compute"]
    low, high = p["ridge_small_batch"], p["ridge_large_batch"]
    ratio = batch / best_batch
    return best_batch, best_rate * ratio**high * ((1 + 1 / ratio) / 2) ** (high - low)


@pytest.mark.parametrize(
    ("law", "formula"),
    [
        (StepLaw(), step_law_in_numpy),
        (TimeTransfer(), time_transfer_in_numpy),
        (ComputeLaw(), compute_law_in_numpy),
    ],
    ids=["step", "time", "compute"],
)
def test_law_is_its_equation(law, formula):
    rng = np.random.default_rng(0)
    n, d, batch = np.exp(rng.normal(0, 2, (3, 50))) * np.array([[1.0], [1.0], [1e4]])
    x = {"params": np.log(n), "data": np.log(d)}
    for _ in range(5):
        p = {name: value + 0.1 * rng.normal() for name, value in VALUES[law.name].items()}
        best_batch, rate = formula(p, n, d, batch)
        np.testing.assert_allclose(law.log_batch_size(p, x), np.log(best_batch), rtol=1e-10)
        np.testing.assert_allclose(law.log_learning_rate(p, x, np.log(batch)), np.log(rate), rtol=1e-10)


@pytest.mark.parametrize("law", [StepLaw(), TimeTransfer(), ComputeLaw()], ids=["step", "time", "compute"])
def test_values_cover_the_law(law):
    assert set(VALUES[law.name]) == {p.name for p in law.own_parameters}


def test_step_law_at_the_best_batch_is_the_power_law():
    law, x = StepLaw(), {"params": 1.3, "data": 2.1}
    rate = law.log_learning_rate(STEP, x, law.log_batch_size(STEP, x))
    assert rate == pytest.approx(-6.0 - 0.71 * 1.3 + 0.31 * 2.1)


def test_step_law_ridge_slopes():
    law, x = StepLaw(), {"params": 1.3, "data": 2.1}
    best = law.log_batch_size(STEP, x)
    assert slope(law, STEP, x, best - 30) == pytest.approx(0.9, abs=1e-9)
    assert slope(law, STEP, x, best + 30) == pytest.approx(-0.2, abs=1e-9)
    assert slope(law, STEP, x, best) == pytest.approx((0.9 - 0.2) / 2)


@pytest.mark.parametrize("data", [-2.0, 0.0, 3.0])
def test_time_transfer_has_three_regimes(data):
    law, x = TimeTransfer(), {"params": 0.4, "data": data}
    critical = 9.0 + 1.2 + 0.8 * data
    assert slope(law, TRANSFER, x, critical - 30) == pytest.approx(0.5, abs=1e-9)
    assert slope(law, TRANSFER, x, critical) == pytest.approx(0.0, abs=1e-9)
    assert slope(law, TRANSFER, x, critical + 30) == pytest.approx(-0.5, abs=1e-9)
    peak = -5.5 - 0.15 * data + 0.05 * 0.4
    assert law.log_learning_rate(TRANSFER, x, critical) == pytest.approx(peak)


@pytest.mark.parametrize(("offset", "sign"), [(-30.0, -1), (0.0, 0), (30.0, 1)])
def test_time_transfer_regimes_over_the_horizon(offset, sign):
    law = TimeTransfer()
    batch = 9.0 + 1.2 + offset
    rate = jax.grad(lambda t: law.log_learning_rate(TRANSFER, {"params": 0.0, "data": t}, batch))(0.0)
    assert rate == pytest.approx(-0.15 + sign * 0.8 / 2, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_finite_values_and_gradients_everywhere(law, seed):
    p = prior_draw(law, seed)

    def total(p, x, log_batch):
        return law.log_learning_rate(p, x, log_batch) + law.log_batch_size(p, x)

    both = jax.jit(jax.vmap(jax.value_and_grad(total, argnums=(0, 1, 2)), in_axes=(None, 0, 0)))
    scale, batch = (a.ravel() for a in np.meshgrid(FAR, FAR))
    values, gradients = both(p, dict.fromkeys(law.covariates, scale), batch)
    assert values.dtype == jnp.float64
    assert np.isfinite(values).all()
    leaves = jax.tree.leaves(gradients)
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    assert any((np.abs(leaf) > 0).any() for leaf in leaves)


def test_laws_broadcast(law):
    p = {name: np.full((4, 1), value) for name, value in prior_draw(law).items()}
    x = {name: np.zeros(7) for name in law.covariates}
    batch = law.log_batch_size(p, x)
    assert law.log_learning_rate(p, x, batch).shape == (4, 7)


def closed_form(u, s):
    return 2 * (np.expm1(s * u) - s * u) / s**2


def test_bowl_is_its_closed_form():
    u, s = np.meshgrid(np.linspace(-6, 6, 41), [-2.0, -0.5, 0.3, 0.8, 3.0])
    np.testing.assert_allclose(bowl(u, s), closed_form(u, s), rtol=1e-7, atol=1e-14)


def test_bowl_is_zero_at_the_optimum_and_positive_elsewhere():
    skews = np.array([-3.0, -0.8, 0.0, 1e-6, 0.8, 3.0])
    assert (bowl(np.zeros(6), skews) == 0).all()
    u, s = np.meshgrid(np.concatenate([-np.geomspace(1e-6, 1e3, 40), np.geomspace(1e-6, 1e3, 40)]), skews)
    value = bowl(u, s)
    assert (value > 0).all()
    assert np.isfinite(value).all()


@pytest.mark.parametrize("skew", [0.0, 1e-12, -1e-9])
def test_bowl_without_skew_is_a_square(skew):
    u = np.linspace(-5, 5, 21)
    np.testing.assert_allclose(bowl(u, skew), u**2, rtol=1e-7)


def test_bowl_rises_faster_on_the_side_of_its_skew():
    u = np.linspace(0.1, 5, 20)
    assert (bowl(u, 0.8) > bowl(-u, 0.8)).all()
    np.testing.assert_allclose(bowl(u, -0.8), bowl(-u, 0.8))
    assert (np.diff(bowl(u, 0.8)) > 0).all()
    assert (np.diff(bowl(-u, 0.8)) > 0).all()


@pytest.mark.parametrize("sign", [-1, 1])
def test_bowl_series_and_closed_form_meet(sign):
    edge = sign * 1e-2
    inside, outside = edge * (1 - 1e-9), edge * (1 + 1e-9)
    below, above = float(bowl(1.0, inside)), float(bowl(1.0, outside))
    assert below == pytest.approx(closed_form(1.0, edge), rel=1e-7)
    assert above == pytest.approx(below, rel=1e-7)
    gradient = jax.grad(bowl, argnums=1)
    assert float(gradient(1.0, inside)) == pytest.approx(float(gradient(1.0, outside)), rel=1e-3)


def test_bowl_has_finite_gradients():
    u, s = (a.ravel() for a in np.meshgrid(np.linspace(-60, 60, 49), [-5.0, -1e-2, 0.0, 1e-9, 1e-2, 0.8, 5.0]))
    for argument in (0, 1):
        first = jax.jit(jax.vmap(jax.grad(bowl, argument)))(u, s)
        second = jax.jit(jax.vmap(jax.grad(jax.grad(bowl, argument), argument)))(u, s)
        assert np.isfinite(first).all()
        assert np.isfinite(second).all()
    assert jax.grad(bowl)(1.5, 0.0) == pytest.approx(3.0)


def floor(x, exponent=0.3, coupling=0.0, bend=0.0):
    p = {"floor": 2.0, "floor_coupling": coupling}
    for name in ("params", "data"):
        p |= {f"floor_slope_{name}": 0.1, f"floor_exponent_{name}": exponent, f"floor_bend_{name}": bend}
    return floor_trend(p, x)


def test_floor_falls_with_scale_and_levels_off():
    x = np.linspace(-5, 20, 60)
    for value in (floor({"params": x, "data": 0 * x}), floor({"params": 0 * x, "data": x})):
        assert (np.diff(value) < 0).all()
        assert (np.diff(value, 2) > 0).all()
    assert floor({"params": 0.0, "data": 0.0}) == 2.0
    assert floor({"params": 12.0, "data": 0.0}) == pytest.approx(2.0 - 0.1 * (1 - np.exp(-3.6)) / 0.3)


def test_floor_has_its_slope_at_the_pivot():
    fall = jax.grad(lambda x: floor({"params": x, "data": 0.0}))(0.0)
    assert fall == pytest.approx(-0.1)


def test_bend_changes_how_the_floor_levels_off():
    def slope(x, bend):
        return float(jax.grad(lambda t: floor({"params": 0.0, "data": t}, bend=bend))(x))

    for x in (-3.0, 1.0, 4.0):
        for bend in (-0.1, 0.1):
            assert slope(x, bend) == pytest.approx(-0.1 * np.exp(-0.3 * x - bend * x**2 / 2), rel=1e-4)


def test_coupling_bends_the_floor_where_both_scales_move():
    both, neither = {"params": 1.0, "data": 2.0}, {"params": 0.0, "data": 2.0}
    fall = {name: 0.1 * (1 - np.exp(-0.3 * both[name])) / 0.3 for name in both}
    assert floor(both) - floor(both, coupling=-2.0) == pytest.approx(2.0 * fall["params"] * fall["data"])
    assert floor(neither, coupling=-2.0) == floor(neither)


def test_coupling_of_kaplans_form():
    # L = ((N_c/N)^(a/b) + D_c/D)^b couples its slopes by (b - 1) / (b L), as the parameter's prior says.
    a, b, x = 0.076, 0.103, np.log(1e8)

    def loss(n, d):
        return (jnp.exp((x - n) * a / b) + jnp.exp(x - d)) ** b

    at = (x + 1.0, x + 2.0)
    n, d = (float(jax.grad(loss, i)(*at)) for i in (0, 1))
    mixed = float(jax.grad(jax.grad(loss, 0), 1)(*at))
    assert mixed / (n * d) == pytest.approx((b - 1) / b / float(loss(*at)), rel=1e-3)
    assert (b - 1) / b == pytest.approx(-8.7, abs=0.05)


PRIORS = (
    dist.Normal(0.5, 0.1),
    dist.LogNormal(-1.2, 0.3),
    dist.Gamma(4.0, 0.5),
    dist.HalfNormal(0.3),
    dist.Uniform(0.1, 0.7),
    dist.StudentT(4.0, 0.1, 0.2),
    dist.Exponential(2.0),
    dist.Beta(2.0, 5.0),
    AtGridCentre("learning_rate", 1.5),
    AtBestLoss(3.0),
    InLossSpread(0.2, 1.2),
    PerBestLoss(-4.5, 4.0),
)


@pytest.mark.parametrize("prior", PRIORS, ids=to_text)
def test_priors_survive_json(prior):
    again = from_json(to_json(prior))
    assert type(again) is type(prior)
    assert to_text(again) == to_text(prior)
    assert to_json(again) == to_json(prior)
    if isinstance(prior, dist.Distribution):
        assert float(again.log_prob(0.3)) == pytest.approx(float(prior.log_prob(0.3)), rel=1e-5)
    else:
        assert again == prior


def test_priors_survive_json_to_the_last_digit():
    again = from_json(to_json(dist.Normal(1 / 3, 0.1)))
    assert (again.loc, again.scale) == (1 / 3, 0.1)


NOT_STORED = {
    "LeftTruncatedDistribution": dist.TruncatedNormal(0.3, 0.1, low=0.0),
    "TransformedDistribution": dist.TransformedDistribution(dist.Normal(0, 1), dist.transforms.ExpTransform()),
    "ImproperUniform": dist.ImproperUniform(dist.constraints.positive, (), ()),
}


@pytest.mark.parametrize("kind", NOT_STORED)
def test_a_prior_that_cannot_be_stored_is_refused(kind):
    text = (
        f"the prior of 'noise' cannot be stored with a fit: {kind} is not a plain distribution class of "
        "numpyro.distributions. Use for instance dist.LogNormal or dist.Gamma."
    )
    with pytest.raises(TypeError, match=re.escape(text)):
        StepLaw(priors={"noise": NOT_STORED[kind]})


def test_replaced_prior_shows_in_the_table(law):
    name = law.own_parameters[0].name
    other = law.with_priors({name: dist.Normal(0.25, 0.125), "tail": dist.Gamma(8.0, 2.0)})
    assert other.parameters.loc[name, "prior"] == "Normal(loc=0.25, scale=0.125)"
    assert other.parameters.loc["tail", "prior"] == "Gamma(concentration=8, rate=2)"
    rest = [p for p in law.parameters.index if p not in (name, "tail")]
    pd.testing.assert_frame_equal(other.parameters.loc[rest], law.parameters.loc[rest])
    assert "Normal(loc=0.25" not in law.parameters.loc[name, "prior"]
    assert type(other) is type(law)


def test_replaced_priors_add_up_and_the_last_wins(law):
    first = law.with_priors({"tail": dist.Gamma(8.0, 2.0), "noise": dist.LogNormal(-5.0, 1.0)})
    second = first.with_priors({"tail": dist.Gamma(9.0, 2.0)})
    assert second.parameters.loc["tail", "prior"] == "Gamma(concentration=9, rate=2)"
    assert second.parameters.loc["noise", "prior"] == "LogNormal(loc=-5, scale=1)"


def test_replaced_prior_reaches_the_model(law):
    given = design(runs(), law.covariates)
    narrow = law.with_priors({"tail": dist.Uniform(7.0, 7.001)})
    with numpyro.handlers.seed(rng_seed=0):
        trace = numpyro.handlers.trace(narrow.model).get_trace(given)
    assert 7.0 <= trace["tail"]["value"] <= 7.001


def test_equal_laws_are_one_key(law):
    kind = type(law)
    assert law == kind()
    assert hash(law) == hash(kind())
    one, same = (kind(priors={"tail": dist.Gamma(8.0, 2.0), "noise": dist.LogNormal(-5.0, 1.0)}) for _ in range(2))
    swapped = kind(priors={"noise": dist.LogNormal(-5.0, 1.0)}).with_priors({"tail": dist.Gamma(8.0, 2.0)})
    assert one == same == swapped
    assert hash(one) == hash(same) == hash(swapped)
    assert one != law
    assert one != kind(priors={"tail": dist.Gamma(8.0, 2.0), "noise": dist.LogNormal(-5.0, 1.5)})


def test_different_laws_differ():
    assert StepLaw() != TimeTransfer()
    assert len({kind() for kind in LAWS.values()}) == len(LAWS)


def test_changing_the_given_priors_later_changes_nothing():
    given = {"tail": dist.Gamma(8.0, 2.0)}
    law = StepLaw(priors=given)
    key = law.key
    given["noise"] = dist.LogNormal(-5.0, 1.0)
    assert law.key == key


def test_unknown_parameter_names_the_nearest(law):
    text = f"{law.name} has no parameter 'nois'. Did you mean 'noise'? Its parameters are: {law.own_parameters[0].name}"
    with pytest.raises(ValueError, match=re.escape(text)):
        law.with_priors({"nois": dist.LogNormal(0, 1)})


def test_unknown_parameter_without_a_near_name(law):
    text = f"{law.name} has no parameter 'zzzzzz'. Its parameters are: "
    with pytest.raises(ValueError, match=re.escape(text)):
        type(law)(priors={"zzzzzz": dist.LogNormal(0, 1)})


@pytest.mark.parametrize("prior", [0.5, "Normal", None, dist.Normal], ids=str)
def test_a_prior_that_is_no_distribution_is_refused(law, prior):
    with pytest.raises(TypeError, match=r"the prior of 'floor' must be a scalar NumPyro distribution .*, received "):
        law.with_priors({"floor": prior})


def test_a_prior_that_is_no_scalar_is_refused(law):
    for prior in (dist.Normal(np.zeros(2), 1), dist.MultivariateNormal(np.zeros(2), np.eye(2))):
        with pytest.raises(TypeError, match=r"the prior of 'floor' must be a scalar NumPyro distribution"):
            law.with_priors({"floor": prior})


@pytest.mark.parametrize(
    ("prior", "text"),
    [
        (dist.Normal(0.1, 0.5), "Normal(loc=0.1, scale=0.5)"),
        (dist.Uniform(-1.0, 1.0), "Uniform(low=-1, high=1)"),
        (AtBestLoss(2.0), "Normal(mean lowest loss, 2 x its spread)"),
    ],
    ids=["normal", "uniform", "relative"],
)
def test_a_positive_parameter_needs_a_positive_prior(law, prior, text):
    message = (
        f"the prior of 'noise' must have positive support ({law.parameters.loc['noise', 'meaning']}), "
        f"received {text}. Use for instance dist.LogNormal."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        law.with_priors({"noise": prior})


@pytest.mark.parametrize("prior", [dist.HalfNormal(1.0), dist.Uniform(0.0, 1.0), InLossSpread(0.1, 1.0)], ids=to_text)
def test_positive_priors_are_taken(law, prior):
    assert law.with_priors({"noise": prior}).parameters.loc["noise", "prior"] == to_text(prior)


@pytest.mark.parametrize("tasks", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_prior_draws_and_their_density_are_finite(law, tasks, seed):
    given = design(runs(tasks), law.covariates)
    seeded = numpyro.handlers.seed(law.model, seed)
    trace = numpyro.handlers.trace(seeded).get_trace(given)
    sites = {name: site for name, site in trace.items() if site["type"] in ("sample", "deterministic")}
    for name, site in sites.items():
        assert np.isfinite(site["value"]).all(), name
    free = {name: s["value"] for name, s in sites.items() if s["type"] == "sample" and not s["is_observed"]}
    density, _ = log_density(law.model, (given,), {}, free)
    assert np.isfinite(density)
    slopes = jax.grad(lambda p: log_density(law.model, (given,), {}, p)[0])(free)
    for name, value in slopes.items():
        assert np.isfinite(value).all(), name
    pooled = law.parameters.index[law.parameters["pooled over"] == "task"] if tasks > 1 else []
    assert {name for name in sites if name.endswith("_task")} == {f"{name}_task" for name in pooled}


def test_a_diverged_run_has_no_loss_in_the_density(law):
    given = design(runs(), law.covariates)
    with numpyro.handlers.seed(rng_seed=0):
        trace = numpyro.handlers.trace(law.model).get_trace(given)
    free = {name: s["value"] for name, s in trace.items() if s["type"] == "sample" and not s["is_observed"]}
    lost, kept = given.loss.copy(), given.loss.copy()
    lost[5] += 3.0
    kept[4] += 3.0
    density, of_lost, of_kept = (
        float(log_density(law.model, (given._replace(loss=loss),), {}, free)[0]) for loss in (given.loss, lost, kept)
    )
    assert given.diverged[5] == 1
    assert of_lost == density
    assert of_kept != density


def test_design_is_in_logs_and_centred(law):
    source = runs(tasks=2)
    given = design(source, law.covariates)
    frame, cells = source.frame, source.cells
    np.testing.assert_allclose(np.exp(given.learning_rate), frame["learning_rate"])
    np.testing.assert_allclose(np.exp(given.batch_size), frame["batch_size"])
    assert set(given.covariates) == set(law.covariates)
    for name, value in given.covariates.items():
        assert value.mean() == pytest.approx(0, abs=1e-12)
        np.testing.assert_allclose(np.diff(value), np.diff(np.log(cells[name])), atol=1e-12)
    assert given.task.tolist() == [0, 0, 0, 1, 1, 1]
    assert given.loss[5] == 0
    assert given.diverged.sum() == 1


def test_missing_covariate_is_named():
    frame = runs().frame.drop(columns=["params", "width", "utd", "cell"])
    text = (
        "the law needs params, which these runs do not have; their scales are data. "
        "Name the column when making the runs, or choose another law."
    )
    with pytest.raises(ValueError, match=re.escape(text)):
        design(Runs.from_frame(frame), StepLaw().covariates)


def test_all_missing_covariates_are_named():
    frame = runs().frame.assign(width=lambda f: f["data"]).drop(columns=["params", "data", "utd", "cell"])
    with pytest.raises(ValueError, match=r"the law needs params, data, which these runs do not have; .* are width"):
        design(Runs.from_frame(frame), TimeTransfer().covariates)


def test_sampler_moves_in_the_mean_fall_of_the_observed_cells():
    runs = Runs.from_frame(grid(data=(1e8, 2e8, 1.6e9)))
    seen = runs.frame["data"] < 1e9
    arrays = design(runs, ("params", "data"), seen)
    p = {"floor_exponent_params": 0.3, "floor_bend_params": 0.0, "floor_exponent_data": 0.5, "floor_bend_data": 0.1}
    shifts = StepLaw().shifts(p, arrays)
    for name, half in (("params", np.log(2)), ("data", np.log(2) / 2)):
        t = np.linspace(-half, half, 100_001)
        rate = np.exp(-p[f"floor_exponent_{name}"] * t - p[f"floor_bend_{name}"] * t**2 / 2)
        assert np.log(np.mean(rate)) == pytest.approx(float(shifts[f"floor_slope_{name}"]), abs=1e-5)
        assert shifts[f"floor_slope_{name}_task"] == shifts[f"floor_slope_{name}"]


def test_one_value_of_a_covariate_shifts_nothing():
    arrays = design(Runs.from_frame(grid(sizes=(1e6,))), ("params", "data"))
    p = {"floor_exponent_params": 0.3, "floor_bend_params": 0.1, "floor_exponent_data": 0.5, "floor_bend_data": 0.1}
    assert float(StepLaw().shifts(p, arrays)["floor_slope_params"]) == pytest.approx(0, abs=1e-12)
