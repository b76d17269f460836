"""Every law: that it is listed and documented, that it is its equation, and that its functions are sound."""

import inspect
import re
from functools import cache

import jax
import numpy as np
import pytest
from conftest import RUNS_LAWS, VALUE_LAWS
from scipy.special import erf, expit

import hyperlaw as hl
from hyperlaw.data.table import TABLES
from hyperlaw.inference.example import example
from hyperlaw.models.law import LAWS, Law

FAR = np.log(np.geomspace(1e-8, 1e16, 25))


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=LAWS)
def law(request):
    return LAWS[request.param]()


@cache
def priors(law):
    """The priors of a law's own parameters, placed by its example table."""
    table = example(law)
    placed = hl.likelihood(law, table).design(table).priors
    return {p.name: placed[p.name] for p in law.own_parameters}


def prior_draw(law, seed=0):
    keys = jax.random.split(jax.random.key(seed), len(priors(law)))
    return {name: float(prior.sample(key)) for (name, prior), key in zip(priors(law).items(), keys, strict=True)}


def test_the_laws():
    assert set(RUNS_LAWS) == {"StepLaw", "TimeTransfer", "TimeTransferTied", "ComputeLaw", "ThreeTerm"}
    assert set(VALUE_LAWS) == {
        "NoiseScale", "SquareRoot", "Surge", "SurgeExact", "BrokenPower", "ByOptimizer", "LossImprovement",
        "StepsExamples", "CriticalBatchLoss", "CriticalBatchData", "CriticalBatchParams", "UTDHyperparameters",
        "UTDHyperparametersBySize", "DataEfficiency", "DataEfficiencyBySize", "DataEfficiencyByThreshold", "OptimalUTD",
        "NoiseGrowth", "StepsSmallBatch",
    }  # fmt: skip
    for name, kind in LAWS.items():
        assert kind().name == name
        assert issubclass(kind, hl.OptimumLaw) != issubclass(kind, hl.ValueLaw)
        assert set(kind.tables) <= set(TABLES)
        assert hl.laws.register(kind) is kind  # again, by the same module


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


def test_parameters_are_documented(law):
    table = law.parameters
    assert table.index.name == "name"
    assert list(table.columns) == ["meaning", "unit", "prior", "why", "pooled over"]
    assert table.notna().all(axis=None)
    for column in ("meaning", "prior", "why"):
        assert (table[column].str.strip() != "").all(), column
    assert list(table.index) == [p.name for p in law.own_parameters]
    assert table.index.is_unique
    assert "task" in set(table["pooled over"]) <= {"task", ""}
    # A logarithm has a unit; what has none is an exponent or a shape.
    assert (table.loc[table.index.str.startswith("log_"), "unit"].str.strip() != "").all()
    for p in law.own_parameters:
        assert set(p.informed_by) <= {*law.covariates, "batch_size"}
        assert p.within in ("", *law.covariates, "batch_size")


def test_docstrings_name_a_source(law):
    text = f"{inspect.getdoc(type(law))} {inspect.getmodule(type(law)).__doc__}"
    if law.name != "BrokenPower":
        assert re.search(r"\d{4}\.\d{5}", text)
    else:  # the one that is no published law: it names those that it holds
        assert {"NoiseScale", "Surge", "SquareRoot"} <= set(re.findall(r"\w+", text))


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


def steps_small_batch(p, x, batch):
    small = np.exp(p["log_critical_batch"] + p["log_small_ratio"])
    return steps_examples(p, x, batch) * (1 + small / batch)


def critical_batch_loss(p, x, batch):
    loss = x["loss"]
    return steps_examples(p, x, batch, loss ** -p["critical_exponent_loss"], loss ** -p["steps_exponent_loss"])


def critical_batch_data(p, x, batch):
    return steps_examples(p, x, batch, x["data"] ** p["critical_exponent_data"], x["data"] ** p["steps_exponent_data"])


def critical_batch_params(p, x, batch):
    critical, least = p["critical_exponent_params"], p["steps_exponent_params"]
    return steps_examples(p, x, batch, x["params"] ** critical, x["params"] ** least)


def noise_growth(p, x, batch):
    return np.exp(p["log_noise_scale"]) * (1 / x["loss"]) ** p["noise_exponent_loss"]


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


def ridge(p, batch, best):
    """The learning rate over that at the best batch size: a broken power of the batch size."""
    low, high = p["ridge_small_batch"], p["ridge_large_batch"]
    return (batch / best) ** high * ((1 + best / batch) / 2) ** (high - low)


def step_batch_size(p, x, batch):
    return np.exp(p["log_batch_size"]) * x["params"] ** p["exponent_params"] * x["data"] ** p["exponent_data"]


def step_learning_rate(p, x, batch):
    scaled = x["params"] ** p["rate_exponent_params"] * x["data"] ** p["rate_exponent_data"]
    return np.exp(p["log_learning_rate"]) * scaled * ridge(p, batch, step_batch_size(p, x, batch))


def transfer_batch_size(p, x, batch):
    return np.exp(p["log_batch_size"]) * x["data"] ** p["exponent_data"]


def transfer_learning_rate(p, x, batch):
    critical = np.exp(p["log_batch_size"] + p["log_critical_ratio"]) * x["data"] ** p["critical_exponent_data"]
    peak = np.exp(p["log_peak_rate"]) * x["data"] ** p["rate_exponent_data"] * x["params"] ** p["rate_exponent_params"]
    return peak / np.cosh(0.5 * np.log(batch / critical))


def tied_learning_rate(p, x, batch):
    """As above, of one exponent for both batch sizes."""
    return transfer_learning_rate(p | {"critical_exponent_data": p["exponent_data"]}, x, batch)


def three_term_batch_size(p, x, batch):
    beta, gamma = p["exponent_batch"], p["exponent_steps"]
    return np.exp(p["log_batch_size"]) * x["data"] ** (gamma / (beta + gamma))


def three_term_learning_rate(p, x, batch):
    scaled = x["params"] ** p["rate_exponent_params"] * x["data"] ** p["rate_exponent_data"]
    return np.exp(p["log_learning_rate"]) * scaled * ridge(p, batch, three_term_batch_size(p, x, batch))


def compute_batch_size(p, x, batch):
    return np.exp(p["log_batch_size"]) * (x["params"] * x["data"]) ** p["exponent_compute"]


def compute_learning_rate(p, x, batch):
    scaled = (x["params"] * x["data"]) ** p["rate_exponent_compute"]
    return np.exp(p["log_learning_rate"]) * scaled * ridge(p, batch, compute_batch_size(p, x, batch))


PUBLISHED = {
    "StepLaw": {"learning_rate": step_learning_rate, "batch_size": step_batch_size},
    "TimeTransfer": {"learning_rate": transfer_learning_rate, "batch_size": transfer_batch_size},
    "TimeTransferTied": {"learning_rate": tied_learning_rate, "batch_size": transfer_batch_size},
    "ThreeTerm": {"learning_rate": three_term_learning_rate, "batch_size": three_term_batch_size},
    "ComputeLaw": {"learning_rate": compute_learning_rate, "batch_size": compute_batch_size},
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
    "StepsSmallBatch": {"steps": steps_small_batch},
    "NoiseGrowth": {"noise_scale": noise_growth},
    "UTDHyperparameters": {"learning_rate": utd_learning_rate, "batch_size": utd_batch_size},
    "UTDHyperparametersBySize": {"learning_rate": utd_learning_rate, "batch_size": batch_size_by_size},
    "DataEfficiency": {"data": data_efficiency},
    "DataEfficiencyByThreshold": {"data": data_efficiency},
    "DataEfficiencyBySize": {"data": data_efficiency_by_size},
    "OptimalUTD": {"utd": optimal_utd},
}


def test_every_law_has_its_published_form_here():
    assert {name: set(kind.predicts) for name, kind in LAWS.items()} == {
        n: set(forms) for n, forms in PUBLISHED.items()
    }


@pytest.mark.parametrize("seed", range(3))
def test_law_is_its_equation(law, seed):
    p, rng = prior_draw(law, seed), np.random.default_rng(seed)
    plain = {c: rng.uniform(-1, 1, 40) for c in law.linear} | {c: np.arange(40) % 2 for c in law.labels}
    scales = {c: np.exp(rng.normal(0, 2, 40)) for c in law.logged}
    x, logs = scales | plain, {c: np.log(v) for c, v in scales.items()} | plain
    batch = np.geomspace(1, 1e7, 40)
    for quantity, form in PUBLISHED[law.name].items():
        found = law.log_value(quantity, p, logs, np.log(batch))
        np.testing.assert_allclose(found, np.log(form(p, x, batch)), rtol=1e-9, err_msg=quantity)
