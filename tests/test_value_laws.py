import inspect
import re

import jax
import numpy as np
import numpyro
import pytest
from conftest import RUNS_LAWS, VALUE_LAWS, example_of
from numpyro.infer.util import log_density
from scipy.special import erf, expit

import hyperlaw as hl
from hyperlaw.models import LAWS
from hyperlaw.models.law import Law
from hyperlaw.models.points import points

RESERVED = {"alpha", "model", "sample", "column", "ci_bound", "row", "cell", "task"}
FAR = np.log(np.geomspace(1e-8, 1e16, 25))
POINTS = [*VALUE_LAWS, *RUNS_LAWS]  # laws of runs are fitted to tables of optima as well


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=POINTS)
def law(request):
    """Every law, for its table of measured values."""
    kind = LAWS[request.param]
    return kind(table=next(name for name in kind.tables if name != "runs"))


def traced(law, tasks=1, seed=0):
    """Arrays of eight rows a task of an example table, and one draw of every site of the model."""
    table = example_of(law, tasks)
    # As many rows for every law, some of them twice, so that all share what JAX compiles.
    rows = [own[np.linspace(0, len(own) - 1, 8).astype(int)] for own in table.frame.groupby("task").indices.values()]
    given = points(table._take(np.concatenate(rows)), law)
    trace = numpyro.handlers.trace(numpyro.handlers.seed(law.model, seed)).get_trace(given)
    return given, {name: site for name, site in trace.items() if site["type"] in ("sample", "deterministic")}


def prior_draw(law, seed=0):
    _, sites = traced(law, seed=seed)
    return {p.name: float(sites[p.name]["value"]) for p in law.own_parameters}


def test_the_laws_of_measured_values():
    assert set(VALUE_LAWS) == {
        "NoiseScale", "SquareRoot", "Surge", "SurgeExact", "BrokenPower", "ByOptimizer", "LossImprovement",
        "StepsExamples", "CriticalBatchLoss", "CriticalBatchData", "CriticalBatchParams", "UTDHyperparameters",
        "UTDHyperparametersBySize", "DataEfficiency", "DataEfficiencyBySize", "OptimalUTD",
    }  # fmt: skip
    assert all(LAWS[name]().table in hl.data.table.TABLES for name in VALUE_LAWS)


def test_the_table_of_laws_lists_all_of_them():
    table = hl.laws.table()
    classes = {name for name, kind in vars(hl.laws).items() if isinstance(kind, type) and issubclass(kind, Law)}
    assert set(table.index) == set(LAWS) == classes
    assert list(table.columns) == ["says", "predicts", "fitted to", "needs"]
    for name in LAWS:
        kind = LAWS[name]
        assert table.loc[name, "says"] == inspect.getdoc(kind).splitlines()[0]
        assert table.loc[name, "fitted to"].split(", ") == list(kind.tables)
        assert table.loc[name, "predicts"].split(", ") == list(kind.predicts)
        needed = [word for word in table.loc[name, "needs"].split(", ") if word]
        assert needed == [*kind.covariates, *(["batch_size"] if kind.needs_batch_size else [])]
    assert table.loc["Surge", "needs"] == "batch_size"
    assert table.loc["DataEfficiency", "fitted to"] == "crossings"


def test_parameter_table_is_complete(law):
    table = law.parameters
    assert list(table.columns) == ["meaning", "unit", "prior", "why", "pooled over"]
    assert table.notna().all(axis=None)
    for column in ("meaning", "prior", "why"):
        assert (table[column].str.strip() != "").all(), column
    assert table.index.is_unique
    assert [p.name for p in law.own_parameters] == list(table.index[: len(law.own_parameters)])
    scatter = {f"scatter_{name}" for name in law.predicts} | ({"spread_cell"} if law.table == "crossings" else set())
    assert set(table.index[len(law.own_parameters) :]) == scatter
    # A logarithm has a unit; what has none is an exponent or a shape.
    logs = table[table.index.str.startswith("log")]
    assert (logs["unit"].str.strip() != "").all()
    assert "task" in set(table["pooled over"])


def test_site_names_avoid_reserved_words(law):
    _, sites = traced(law, tasks=2)
    assert not RESERVED & set(sites)
    assert set(law.parameters.index) <= set(sites)
    assert {name for name in law.predicts if sites.get(name, {}).get("is_observed")} == set(law.predicts)


def test_docstrings_name_a_source(law):
    text = f"{inspect.getdoc(type(law))} {inspect.getmodule(type(law)).__doc__}"
    if law.name != "BrokenPower":
        assert re.search(r"\d{4}\.\d{5}", text)
    else:  # the one that is no published law: it names those that it holds
        assert {"NoiseScale", "Surge", "SquareRoot"} <= set(re.findall(r"\w+", text))


@pytest.mark.parametrize("tasks", [1, 3])
def test_prior_draws_their_density_and_its_gradient_are_finite(law, tasks):
    given, sites = traced(law, tasks, seed=tasks)
    for name, site in sites.items():
        assert np.isfinite(site["value"]).all(), name
    free = {name: s["value"] for name, s in sites.items() if s["type"] == "sample" and not s["is_observed"]}
    density, slopes = jax.value_and_grad(lambda p: log_density(law.model, (given,), {}, p)[0])(free)
    assert np.isfinite(density)
    for name, value in slopes.items():
        assert np.isfinite(value).all(), name
    assert all((np.abs(slopes[p.name]) > 0).all() for p in law.own_parameters)
    pooled = law.parameters.index[law.parameters["pooled over"] == "task"] if tasks > 1 else []
    assert {name for name in sites if name.endswith("_task")} == {f"{name}_task" for name in pooled}
    assert {name for name in sites if name.endswith("_task_spread")} == {f"{name}_task_spread" for name in pooled}


def test_finite_values_and_gradients_everywhere(law):
    def total(p, x, log_batch):
        return sum(law.log_value(name, p, x, log_batch) for name in law.predicts)

    both = jax.jit(jax.vmap(jax.value_and_grad(total, argnums=(0, 1, 2)), in_axes=(None, 0, 0)))
    scale, batch = (a.ravel() for a in np.meshgrid(FAR, FAR))
    place = np.arange(len(scale))
    x = {name: scale[::-1] if name == "params" else scale for name in law.logged}
    x |= {name: np.linspace(-3, 3, len(scale)) for name in law.linear}
    x |= {name: (place % len(law.labels[name])).astype(float) for name in law.labels}
    for seed in range(3):
        values, (of_p, of_x, of_batch) = both(prior_draw(law, seed), x, batch)
        assert values.dtype == np.float64
        assert np.isfinite(values).all()
        for name, slope in (of_p | of_x).items():
            assert np.isfinite(slope).all(), name
            assert (np.abs(slope) > 0).any() == (name not in law.labels), name
        assert np.isfinite(of_batch).all()
        assert (np.abs(of_batch) > 0).any() == (law.needs_batch_size or law.name in RUNS_LAWS)


def test_laws_broadcast(law):
    p = {name: np.full((4, 1), value) for name, value in prior_draw(law).items()}
    x = {name: np.zeros(7) for name in law.covariates}
    for name in law.predicts:
        needs_rows = law.covariates or law.needs_batch_size
        assert np.shape(law.log_value(name, p, x, np.zeros(7))) == ((4, 7) if needs_rows else (4, 1))


# Each law as it is published, in plain numbers: parameters, covariates over their pivots, and the batch size.


def noise_scale(p, x, batch):
    return np.exp(p["log_peak_rate"]) / (1 + np.exp(p["log_noise_scale"]) / batch)


def square_root(p, x, batch):
    return np.exp(p["log_learning_rate"]) * np.sqrt(batch / np.exp(p["log_middle_batch"]))


def surge(p, x, batch):
    noise = np.exp(p["log_noise_scale"])
    return np.exp(p["log_peak_rate"]) / (0.5 * (np.sqrt(noise / batch) + np.sqrt(batch / noise)))


def surge_exact(p, x, batch):
    gamma = np.exp(p["log_gamma"])
    beta = 2 * np.sqrt(gamma) * np.exp(p["log_peak_rate"])
    f = erf(np.sqrt(np.pi) / 2 * np.sqrt(gamma * batch / np.exp(p["log_noise_scale"])))
    return beta * f / (f**2 + gamma)


def by_optimizer(p, x, batch):
    sgd = np.exp(p["log_peak_rate"]) / (1 + np.exp(p["log_noise_scale"]) / batch)
    ratio = batch * np.exp(p["log_turn_ratio"] - p["log_noise_scale"])
    adam = np.exp(p["log_peak_rate"] + p["log_adam_ratio"]) / (0.5 * (np.sqrt(1 / ratio) + np.sqrt(ratio)))
    return np.where(x["optimizer"] == 1, adam, sgd)


def broken_power(p, x, batch):
    ratio, low, high = batch / np.exp(p["log_noise_scale"]), p["ridge_small_batch"], p["ridge_large_batch"]
    return np.exp(p["log_turn_rate"]) * ratio**high * (2 / (1 + 1 / ratio)) ** (low - high)


def loss_improvement(p, x, batch):
    return np.exp(p["log_largest_improvement"]) / (1 + np.exp(p["log_noise_scale"]) / batch)


def steps_examples(p, x, batch, critical=1.0, least=1.0):
    ratio = critical * np.exp(p["log_critical_batch"]) / batch
    return least * np.exp(p["log_least_steps"]) * (1 + ratio ** p["knee"]) ** (1 / p["knee"])


def critical_batch_loss(p, x, batch):
    loss = x["loss"]
    return steps_examples(p, x, batch, loss ** -p["critical_exponent_loss"], loss ** -p["steps_exponent_loss"])


def critical_batch_data(p, x, batch):
    return steps_examples(p, x, batch, x["data"] ** p["critical_exponent_data"], x["data"] ** p["steps_exponent_data"])


def critical_batch_params(p, x, batch):
    critical, least = p["critical_exponent_params"], p["steps_exponent_params"]
    return steps_examples(p, x, batch, x["params"] ** critical, x["params"] ** least)


def utd_batch_size(p, x, batch):
    return np.exp(p["log_batch_size"]) * x["utd"] ** p["exponent_utd"]


def utd_learning_rate(p, x, batch):
    return np.exp(p["log_learning_rate"]) * x["utd"] ** p["rate_exponent_utd"]


def batch_size_by_size(p, x, batch):
    half, beta = np.exp(p["log_half_params"]), p["exponent_params"]
    asymptote = np.exp(p["log_batch_size"]) * (1 + half**beta)
    return asymptote / (x["utd"] ** -p["exponent_utd"] * (1 + (half / x["params"]) ** beta))


def data_and_least(p, x):
    """Data to a performance at the pivot, and those that no update can save."""
    level, bend = x["threshold"], p["data_bend"]
    data = np.exp(p["log_data"] + p["data_slope"] * (np.exp(bend * level) - 1) / bend)
    return data, data * expit(p["logit_least_share"] + p["least_share_slope"] * level)


def data_efficiency(p, x, batch):
    data, least = data_and_least(p, x)
    beta = (data - least) ** (1 / p["exponent_utd"])
    return least + (beta / x["utd"]) ** p["exponent_utd"]


def data_efficiency_by_size(p, x, batch):
    data, least = data_and_least(p, x)
    share = expit(p["logit_update_share"])
    a = (share * (data - least)) ** (1 / p["exponent_utd"])
    b = ((1 - share) * (data - least)) ** (1 / p["exponent_params"])
    return least + (a / x["utd"]) ** p["exponent_utd"] + (b / x["params"]) ** p["exponent_params"]


def optimal_utd(p, x, batch):
    return np.exp(p["log_utd"]) * x["budget"] ** p["exponent_budget"]


PUBLISHED = {
    "NoiseScale": {"learning_rate": noise_scale},
    "SquareRoot": {"learning_rate": square_root},
    "Surge": {"learning_rate": surge},
    "SurgeExact": {"learning_rate": surge_exact},
    "BrokenPower": {"learning_rate": broken_power},
    "ByOptimizer": {"learning_rate": by_optimizer},
    "LossImprovement": {"improvement": loss_improvement},
    "StepsExamples": {"steps": steps_examples},
    "CriticalBatchLoss": {"steps": critical_batch_loss},
    "CriticalBatchData": {"steps": critical_batch_data},
    "CriticalBatchParams": {"steps": critical_batch_params},
    "UTDHyperparameters": {"learning_rate": utd_learning_rate, "batch_size": utd_batch_size},
    "UTDHyperparametersBySize": {"learning_rate": utd_learning_rate, "batch_size": batch_size_by_size},
    "DataEfficiency": {"data": data_efficiency},
    "DataEfficiencyBySize": {"data": data_efficiency_by_size},
    "OptimalUTD": {"utd": optimal_utd},
}


def test_every_law_has_its_published_form_here():
    assert {name: set(LAWS[name].predicts) for name in VALUE_LAWS} == {n: set(forms) for n, forms in PUBLISHED.items()}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", VALUE_LAWS)
def test_law_is_its_equation(name, seed):
    law = LAWS[name]()
    p, rng = prior_draw(law, seed), np.random.default_rng(seed)
    plain = {c: rng.uniform(-1, 1, 40) for c in law.linear} | {c: np.arange(40) % 2 for c in law.labels}
    scales = {c: np.exp(rng.normal(0, 2, 40)) for c in law.logged}
    x, logs = scales | plain, {c: np.log(v) for c, v in scales.items()} | plain
    batch = np.geomspace(1, 1e7, 40)
    for quantity, form in PUBLISHED[name].items():
        found = law.log_value(quantity, p, logs, np.log(batch))
        np.testing.assert_allclose(found, np.log(form(p, x, batch)), rtol=1e-9, err_msg=quantity)


def curve(name, batch, **p):
    """A law of the best learning rate over batch sizes, and its slope in logs."""
    law, logs = LAWS[name](), np.log(np.asarray(batch, float))
    values = np.asarray(law.log_learning_rate(p, {}, logs))
    slopes = jax.vmap(jax.grad(lambda b: law.log_learning_rate(p, {}, b)))(logs)
    return values, np.asarray(slopes)


TURN = {"log_peak_rate": np.log(3e-3), "log_noise_scale": np.log(500.0)}
FAR_BATCHES = 500 * np.array([1e-14, 1e-13, 1e13, 1e14])
BATCHES = np.geomspace(1, 1e6, 61)


@pytest.mark.parametrize(("name", "below", "above"), [("NoiseScale", 1, 0), ("Surge", 0.5, -0.5)])
def test_slopes_far_from_the_noise_scale(name, below, above):
    _, slopes = curve(name, FAR_BATCHES, **TURN)
    np.testing.assert_allclose(slopes, [below, below, above, above], atol=1e-9)
    at_turn, slope = curve(name, [500.0], **TURN)
    assert slope == pytest.approx((below + above) / 2)
    assert np.exp(at_turn) == pytest.approx(3e-3 / (2 if name == "NoiseScale" else 1))


def test_the_surge_is_its_square_root_form_with_the_derivative_of_a_tangent():
    values, slopes = curve("Surge", BATCHES, **TURN)
    ratio = BATCHES / 500
    np.testing.assert_allclose(np.exp(values), 3e-3 * 2 / (np.sqrt(ratio) + 1 / np.sqrt(ratio)))
    np.testing.assert_allclose(slopes, -0.5 * np.tanh(0.5 * np.log(ratio)), atol=1e-12)
    # The peak found from any batch size is the same: eq. 23 of arXiv 2405.14578.
    np.testing.assert_allclose(0.5 * np.exp(values) * (np.sqrt(1 / ratio) + np.sqrt(ratio)), 3e-3)


def test_the_exact_surge_becomes_the_surge_as_its_signs_stay_uncertain():
    simple, _ = curve("Surge", BATCHES, **TURN)
    gaps = []
    for log_gamma in (-4.0, -8.0, -12.0, -20.0):
        exact, _ = curve("SurgeExact", BATCHES, log_gamma=log_gamma, **TURN)
        gaps.append(np.abs(exact - simple).max())
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] > 0.1
    assert gaps[-1] < 1e-5


def test_the_exact_surge_rises_with_the_root_of_small_batches():
    _, slopes = curve("SurgeExact", FAR_BATCHES[:2], log_gamma=-2.0, **TURN)
    np.testing.assert_allclose(slopes, 0.5, atol=1e-9)


@pytest.mark.parametrize("log_gamma", [-5.0, -2.0, -0.5, 0.0, 1.0])
def test_the_exact_surge_has_a_plateau_and_a_peak_only_while_signs_stay_uncertain(log_gamma):
    values, slopes = curve("SurgeExact", np.geomspace(1e-2, 1e10, 121), log_gamma=log_gamma, **TURN)
    gamma = np.exp(log_gamma)
    assert np.exp(values[-1]) == pytest.approx(3e-3 * 2 * np.sqrt(gamma) / (1 + gamma))  # beta / (1 + gamma)
    assert slopes[-1] == pytest.approx(0, abs=1e-12)
    assert np.exp(values.max()) <= 3e-3 * (1 + 1e-12)
    if log_gamma < 0:
        assert np.exp(values.max()) == pytest.approx(3e-3, rel=1e-2)
        assert (slopes < -1e-6).any()
    else:
        assert (np.diff(values) >= -1e-12).all()


def test_the_exact_surge_is_theorem_2_for_equal_coordinates():
    # Sums over n coordinates of equal signal-to-noise r, curvature 1 and coupling h, by arXiv 2405.14578 eqs. 8 and 9.
    n, h, r, mu = 200, 0.2, 0.02, 1e-3
    f = erf(np.sqrt(BATCHES / 2) * r)
    rate = n * f * mu / (n * (1 - f**2) + n * f**2 + n * (n - 1) * f**2 * h)
    gamma = 1 / ((n - 1) * h)
    # beta / (f^2 + gamma) f with beta = mu gamma, and f = erf(sqrt(pi)/2 sqrt(gamma B / B_noise)).
    noise = np.pi * gamma / (2 * r**2)
    p = {
        "log_peak_rate": np.log(mu * gamma / (2 * np.sqrt(gamma))), "log_noise_scale": np.log(noise),
        "log_gamma": np.log(gamma),
    }  # fmt: skip
    values, _ = curve("SurgeExact", BATCHES, **p)
    np.testing.assert_allclose(np.exp(values), rate, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "low", "high", "p", "turn"),
    [
        ("NoiseScale", 1.0, 0.0, TURN, 3e-3 / 2),
        ("Surge", 0.5, -0.5, TURN, 3e-3),
        ("SquareRoot", 0.5, 0.5, {"log_learning_rate": np.log(2e-3), "log_middle_batch": np.log(500.0)}, 2e-3),
    ],
)
def test_the_broken_power_holds_the_other_curves(name, low, high, p, turn):
    nested = {"ridge_small_batch": low, "ridge_large_batch": high}
    broken, _ = curve("BrokenPower", BATCHES, log_turn_rate=np.log(turn), log_noise_scale=np.log(500.0), **nested)
    np.testing.assert_allclose(broken, curve(name, BATCHES, **p)[0], rtol=1e-12)


def test_the_broken_power_has_its_two_slopes():
    p = {"log_turn_rate": -6.0, "log_noise_scale": np.log(500.0), "ridge_small_batch": 0.8, "ridge_large_batch": 0.1}
    _, slopes = curve("BrokenPower", FAR_BATCHES, **p)
    np.testing.assert_allclose(slopes, [0.8, 0.8, 0.1, 0.1], atol=1e-9)


STEPS = {"log_least_steps": np.log(2000.0), "log_critical_batch": np.log(3e4), "knee": 1.0}


def steps(batch, x=None, name="StepsExamples", **p):
    return np.exp(np.asarray(LAWS[name]().log_value("steps", STEPS | p, x or {}, np.log(batch))))


def test_steps_and_examples_are_a_hyperbola():
    batch = np.geomspace(10, 1e8, 50)
    found = steps(batch)
    examples = found * batch
    np.testing.assert_allclose((found / 2000 - 1) * (examples / (2000 * 3e4) - 1), 1, rtol=1e-6)
    assert steps(3e4) == pytest.approx(2 * 2000)
    assert steps(3e4) * 3e4 == pytest.approx(2 * 2000 * 3e4)
    # Eq. 22 of arXiv 2405.14578: 1/S is a line in 1/E, whose slope is minus the critical batch size.
    slope, start = np.polyfit(1 / examples, 1 / found, 1)
    assert slope == pytest.approx(-3e4, rel=1e-6)
    assert start == pytest.approx(1 / 2000, rel=1e-6)


@pytest.mark.parametrize("knee", [0.4, 1.0, 2.5])
def test_no_knee_changes_the_ends_of_the_curve(knee):
    assert steps(3e16, knee=knee) == pytest.approx(2000, rel=1e-4)
    assert steps(3e-8, knee=knee) * 3e-8 == pytest.approx(2000 * 3e4, rel=1e-4)
    assert steps(3e4, knee=knee) == pytest.approx(2000 * 2 ** (1 / knee))
    batch = np.geomspace(1, 1e9, 100)
    found = steps(batch, knee=knee)
    assert (np.diff(found) < 0).all()
    assert (np.diff(found * batch) > 0).all()


def critical(name, x, **p):
    return float(np.exp(LAWS[name]().log_critical_batch(STEPS | p, x)))


def test_published_critical_batch_sizes():
    # Kaplan et al. 2020: B* / L^(1/0.21) with B* = 2e8 tokens is 1.07 million tokens at 3 nats, 2.55 at 2.5.
    kaplan = {"log_critical_batch": np.log(2e8), "critical_exponent_loss": 1 / 0.21}
    for loss, batch in ((3.0, 1.069e6), (2.5, 2.547e6)):
        assert critical("CriticalBatchLoss", {"loss": np.log(loss)}, **kaplan) == pytest.approx(batch, rel=1e-3)
    # arXiv 2410.21676, in millions: 22.91 T^0.47 with data, 93.2 N^0.47 with parameters.
    by_data = {"log_critical_batch": np.log(22.91), "critical_exponent_data": 0.47}
    assert critical("CriticalBatchData", {"data": np.log(3072)}, **by_data) == pytest.approx(998, rel=1e-3)
    assert critical("CriticalBatchData", {"data": np.log(6040)}, **by_data) == pytest.approx(1371, rel=1e-3)
    by_params = {"log_critical_batch": np.log(93.2), "critical_exponent_params": 0.47}
    assert critical("CriticalBatchParams", {"params": np.log(302)}, **by_params) == pytest.approx(1365, rel=1e-3)


@pytest.mark.parametrize("name", ["CriticalBatchLoss", "CriticalBatchData", "CriticalBatchParams"])
def test_twice_the_fewest_steps_at_the_critical_batch_of_every_curve(name):
    law = LAWS[name]()
    (covariate,) = law.covariates
    p = STEPS | {f"critical_exponent_{covariate}": 0.5, f"steps_exponent_{covariate}": 0.7}
    for x in ({covariate: -1.0}, {covariate: 2.0}):
        log_batch = law.log_critical_batch(p, x)
        assert law.log_value("steps", p, x, log_batch) - law.log_least_steps(p, x) == pytest.approx(np.log(2))
    harder = [1.0, -1.0] if covariate == "loss" else [-1.0, 1.0]
    for size in (law.log_critical_batch, law.log_least_steps):
        assert size(p, {covariate: harder[0]}) < size(p, {covariate: harder[1]})


def utd_batch(p, **x):
    return float(np.exp(LAWS["UTDHyperparametersBySize"]().log_batch_size(p, x)))


def test_batches_grow_with_the_critic_to_an_asymptote():
    p = {"log_batch_size": np.log(256.0), "exponent_utd": -0.4, "exponent_params": 0.6, "log_half_params": 1.5}
    asymptote = 256 * (1 + np.exp(0.6 * 1.5))
    assert utd_batch(p, utd=0.0, params=0.0) == pytest.approx(256)
    assert utd_batch(p, utd=0.0, params=60.0) == pytest.approx(asymptote)
    assert utd_batch(p, utd=0.0, params=1.5) == pytest.approx(asymptote / 2)
    assert utd_batch(p, utd=1.0, params=60.0) == pytest.approx(asymptote * np.exp(-0.4))
    small = [utd_batch(p, utd=0.0, params=size) for size in (-40.0, -39.0)]
    assert np.log(small[1] / small[0]) == pytest.approx(0.6)
    grown = [utd_batch(p, utd=0.0, params=size) for size in np.linspace(-5, 5, 30)]
    assert (np.diff(grown) > 0).all()


def test_published_batch_sizes():
    # arXiv 2508.14881, h1-crawl: a_B 54406, b_B 2.66e10, beta_B 0.5545, alpha_B 0.4791 give 73.6 at 1 and 178632.
    half = np.log(2.66e10 / 178632)
    p = {"exponent_utd": -0.4791, "exponent_params": 0.5545, "log_half_params": half, "log_batch_size": np.log(73.5996)}
    assert utd_batch(p, utd=0.0, params=60.0) == pytest.approx(54406, rel=5e-3)
    # arXiv 2502.04327, Gym: B* of Ant is 10^2.61892 sigma^-0.30961, which is 415 at a ratio of 1.
    ant = {"log_batch_size": 2.61892 * np.log(10), "exponent_utd": -0.30961}
    law = LAWS["UTDHyperparameters"]()
    assert int(np.exp(law.log_batch_size(ant, {"utd": 0.0}))) == 415
    assert np.exp(law.log_batch_size(ant, {"utd": np.log(8.0)})) == pytest.approx(10**2.61892 * 8**-0.30961)


LEARN = {
    "log_data": np.log(3e5), "data_slope": 0.7, "data_bend": 0.1, "logit_least_share": 0.4, "least_share_slope": 0.2,
    "exponent_utd": 0.8, "exponent_params": 1.1, "logit_update_share": 0.3,
}  # fmt: skip
EFFICIENCY = [name for name in VALUE_LAWS if name.startswith("DataEfficiency")]


@pytest.mark.parametrize("name", EFFICIENCY)
def test_the_least_data_lie_below_the_law_everywhere_and_are_met_in_the_limit(name):
    law = LAWS[name]()
    for seed in range(5):
        p = prior_draw(law, seed)
        far, level = (a.ravel() for a in np.meshgrid(FAR, np.linspace(-3, 3, 13)))
        x = {"utd": far, "params": far[::-1], "threshold": level}
        least, data = (np.asarray(law.log_least(p, x)), np.asarray(law.log_value("data", p, x, 0.0)))
        assert (least <= data).all()
        near = {"utd": 0 * far, "params": 0 * far, "threshold": level}
        assert (law.log_least(p, near) < law.log_value("data", p, near, 0.0)).all()
        never = {"utd": 0 * far + 90, "params": 0 * far + 90, "threshold": level}
        np.testing.assert_allclose(law.log_value("data", p, never, 0.0), law.log_least(p, never), rtol=1e-6)


@pytest.mark.parametrize("bend", [-1.5, -1e-3, -1e-5, 0.0, 1e-5, 1e-3, 1.5])
def test_more_performance_always_takes_more_data(bend):
    law, level = LAWS["DataEfficiency"](), np.linspace(-1.5, 1.5, 61)
    x = {"utd": 0 * level, "threshold": level}
    p = LEARN | {"data_bend": bend, "logit_least_share": 0.0, "least_share_slope": 0.0}
    found = np.asarray(law.log_value("data", p, x, 0.0))
    grown = 0.7 * (np.expm1(bend * level) / bend if bend else level)
    np.testing.assert_allclose(found - np.log(3e5), grown, atol=1e-7)
    assert (np.diff(found) > 0).all()
    slope = jax.grad(lambda j: law.log_value("data", p, {"utd": 0.0, "threshold": j}, 0.0))
    np.testing.assert_allclose([slope(j) for j in (-1.0, 0.0, 1.0)], 0.7 * np.exp(bend * np.arange(-1, 2)), rtol=1e-4)


@pytest.mark.parametrize("name", EFFICIENCY)
def test_updates_and_parameters_save_data_and_performance_costs_them(name):
    law = LAWS[name]()
    for covariate, sign in (("utd", -1), ("params", -1), ("threshold", 1)):
        if covariate in law.covariates:
            x = dict.fromkeys(law.covariates, 0.0) | {covariate: np.linspace(-1, 1, 41)}
            assert (sign * np.diff(law.log_value("data", LEARN, x, 0.0)) > 0).all(), covariate


# alpha, beta and D_min of the lowest, a middle and the highest performance: fits released with arXiv 2502.04327.
GYM = [(0.757241, 0.118228, 0.319181), (0.691197, 0.669360, 0.565191), (0.700377, 2.289519, 1.030821)]
DMC = [(0.876090, 0.316678, 0.215589), (0.968066, 0.504568, 0.639645), (1.089585, 0.573867, 1.100103)]


@pytest.mark.parametrize(("alpha", "beta", "least"), GYM + DMC)
def test_published_data_efficiency(alpha, beta, least):
    pivot = 2.0
    spent = (beta / pivot) ** alpha
    p = LEARN | {"log_data": np.log(least + spent), "logit_least_share": np.log(least / spent), "exponent_utd": alpha}
    ratio = np.geomspace(0.25, 16, 7)
    x = {"utd": np.log(ratio / pivot), "threshold": 0.0}
    law = LAWS["DataEfficiency"]()
    np.testing.assert_allclose(np.exp(law.log_value("data", p, x, 0.0)), least + (beta / ratio) ** alpha)
    np.testing.assert_allclose(np.exp(law.log_least(p, x)), least)


def test_published_data_efficiency_by_size():
    # arXiv 2508.14881: D = c (1 + (a/sigma)^alpha + (b/N)^beta) takes 665,080 steps at a ratio of 2 and 4.92e6.
    a, alpha, b, beta, least = 1.26059, 1.01039, 6.33198e5, 0.890187, 371869.6
    updates, size = least * (a / 5.0) ** alpha, least * (b / 3e6) ** beta
    p = LEARN | {
        "log_data": np.log(least + updates + size), "logit_least_share": np.log(least / (updates + size)),
        "logit_update_share": np.log(updates / size), "exponent_utd": alpha, "exponent_params": beta,
    }  # fmt: skip
    x = {"utd": np.log(2 / 5.0), "params": np.log(4.92e6 / 3e6), "threshold": 0.0}
    law = LAWS["DataEfficiencyBySize"]()
    assert np.exp(law.log_value("data", p, x, 0.0)) == pytest.approx(665_080, rel=1e-3)
    assert np.exp(law.log_least(p, x)) == pytest.approx(least)


@pytest.mark.parametrize(("constant", "slope"), [(2.62e-9, 0.62), (3.01e11, -0.74)])
def test_published_best_updates_to_data_ratio(constant, slope):
    pivot = 3e15
    p = {"log_utd": np.log(constant * pivot**slope), "exponent_budget": slope}
    budget = np.geomspace(1e14, 1e17, 5)
    found = LAWS["OptimalUTD"]().log_value("utd", p, {"budget": np.log(budget / pivot)}, 0.0)
    np.testing.assert_allclose(np.exp(found), constant * budget**slope)


def test_curves_that_rise_with_the_batch_size():
    rising = {"NoiseScale": TURN, "LossImprovement": {"log_largest_improvement": 0.0, "log_noise_scale": 6.0}}
    for name, p in rising.items():
        law = LAWS[name]()
        values = np.asarray(law.log_value(law.predicts[0], p, {}, np.log(BATCHES)))
        assert (np.diff(values) > 0).all()
        assert (np.diff(values, 2) < 0).all()
    root, _ = curve("SquareRoot", [100.0, 400.0], log_learning_rate=-6.0, log_middle_batch=5.0)
    assert np.exp(root[1] - root[0]) == pytest.approx(2)
