"""`ThreeTerm`: its loss is the published sum, its best batch size that sum's lowest point, on every path to a user."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.optimize
from conftest import CHECKED, TRUTH, grid, simulate
from made_fit import made_fit

import hyperlaw as hl
from hyperlaw.models.identifiability import contrasts
from hyperlaw.models.likelihoods.surface import best_learning_rate, optimal_loss_trend, run_loss
from hyperlaw.report.ladders import what_if_of
from hyperlaw.report.what_if import _over_batches

LAW = hl.laws.ThreeTerm()
PARAMS, DATA = 3e8, 2e10  # the pivot
BETA, GAMMA, ALPHA = 0.55, 0.8, 0.3
# E, A, B and K of L = E + A / N^alpha + B / batch^beta + K / steps^gamma.
FLOOR, OF_PARAMS, OF_BATCH, OF_STEPS = 1.7, 150.0, 170.0, 900.0
BATCHES = np.geomspace(2e3, 2e8, 60)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def published(params, data, batch):
    """The sum as the paper writes it."""
    return FLOOR + OF_PARAMS / params**ALPHA + OF_BATCH / batch**BETA + OF_STEPS / (data / batch) ** GAMMA


def best_of(data):
    """The best batch size as the paper derives it."""
    return (BETA * OF_BATCH / (GAMMA * OF_STEPS)) ** (1 / (BETA + GAMMA)) * data ** (GAMMA / (BETA + GAMMA))


def parameters():
    """The package's parameters of that sum, without deviations: slopes and lowest loss at the pivot."""
    best = best_of(DATA)
    p = TRUTH | {
        "log_batch_size": np.log(best), "exponent_batch": BETA, "exponent_steps": GAMMA,
        "optimal_loss": published(PARAMS, DATA, best),
        "optimal_loss_slope_params": ALPHA * OF_PARAMS / PARAMS**ALPHA, "optimal_loss_exponent_params": ALPHA,
        "optimal_loss_slope_data": BETA * OF_BATCH / best**BETA,
        **{f"drift_{q}_{c}": 0.0 for q in ("learning_rate", "batch_size") for c in ("params", "data")},
        **{f"deviation_{of}{q}": 0.0 for of in ("", "sharpness_") for q in ("learning_rate", "batch_size")},
    }  # fmt: skip
    return p | LAW.settled(p)


def losses(p, params, data, batch):
    """Loss at the best learning rate, as the surface has it."""
    x = {"params": np.log(params / PARAMS), "data": np.log(data / DATA)}
    p = p | {"cell_optimal_loss": optimal_loss_trend(p, x)}
    rate = best_learning_rate(LAW, p, x, np.log(batch))
    return np.asarray(run_loss(LAW, p, x, rate, np.log(batch)).location)


SCALES = [(PARAMS, DATA), (6e7, 2e9), (7e9, 1e12), (1e8, 1e12)]


@pytest.mark.parametrize(("params", "data"), SCALES)
def test_the_loss_is_the_published_sum(params, data):
    np.testing.assert_allclose(
        losses(parameters(), params, data, BATCHES), published(params, data, BATCHES), rtol=1e-10
    )


@pytest.mark.parametrize(("params", "data"), SCALES)
def test_the_best_batch_size_is_the_derived_one_and_lowest(params, data):
    x = {"params": np.log(params / PARAMS), "data": np.log(data / DATA)}
    found = np.exp(float(LAW.log_batch_size(parameters(), x)))
    assert found == pytest.approx(best_of(data), rel=1e-10)
    lowest = scipy.optimize.minimize_scalar(lambda b: published(params, data, np.exp(b)), (5, 20), tol=1e-10)
    assert np.log(found) == pytest.approx(lowest.x, abs=1e-5)


def test_the_equation_gives_the_sum():
    runs = hl.Runs.from_frame(grid())
    p = parameters()
    model = hl.likelihood(LAW, runs)
    truth = {q.name: p[q.name] for q in model.parameter_list}
    fit = made_fit(LAW, runs, truth, scattered=dict.fromkeys(truth, 1e-6), draws=20)  # written to many figures
    pivot, batch = {name: np.exp(at) for name, at in fit.pivot.items()}, 3e4
    text = re.sub(r" \[[^]]*\]", "", fit.equation()).replace("·", "*").replace("^", "**").replace("B*", "best")
    known = {"B": batch, "N": 3 * pivot["params"], "D": 5 * pivot["data"]}
    for line in text.splitlines()[:-1]:
        name, formula = line.split(" = ")
        known[name.replace("eta*", "eta")] = eval(formula, {}, known)
    # The same numbers, whose pivot is that of the table.
    assert known["L"] == pytest.approx(losses(p, 3 * PARAMS, 5 * DATA, batch), rel=2e-3)
    assert known["best"] == pytest.approx(best_of(5 * DATA), rel=2e-3)


def test_what_the_law_settles_has_no_prior():
    table = hl.likelihood(LAW, "runs").parameters
    settled = set(LAW.settled(dict.fromkeys(table.index, 1.0)))
    assert not settled & set(table.index)
    assert {"sharpness_batch_size", "skew_batch_size", "optimal_loss_exponent_data", "optimal_loss_coupling"} < settled
    assert hl.laws.StepLaw().settled({}) == {}
    over_data = hl.likelihood(hl.laws.ThreeTerm(over=("data",)), "runs").parameters
    assert "optimal_loss_slope_params" not in over_data.index
    with pytest.raises(ValueError, match="ThreeTerm has no parameter 'skew_batch_size'"):
        hl.likelihood(LAW, "runs", priors={"skew_batch_size": hl.laws.StepLaw().own_parameters[0].prior})


@pytest.fixture(scope="module")
def made():
    """A fit made by hand, on five learning rates and four batch sizes a cell."""
    runs = hl.Runs.from_frame(grid(rates=5, batches=4))
    return made_fit(LAW, runs, TRUTH, scattered={"exponent_steps": 0.03, "log_batch_size": 0.2}, draws=200, whole=True)


AT = {"params": 8e6, "data": 6.4e9}


def test_a_choice_prices_batch_sizes_by_the_sum_in_each_draw(made):
    choice = hl.decide(made, at=AT, risk="mean", despite="made by hand")
    (part,) = choice.parts
    batch = np.array([2e4, 2e5])
    rate = np.asarray(best_learning_rate(LAW, part.p, part.x, np.log(batch)[:, None]))
    wide = {name: np.asarray(value) for name, value in part.p.items()}
    excess = np.asarray(run_loss(LAW, wide, part.x, rate, np.log(batch)[:, None]).excess)
    beta, gamma = wide["exponent_batch"], wide["exponent_steps"]
    d = beta * gamma / (beta + gamma)
    v = np.log(batch)[:, None] - part.optimum["batch_size"]
    q = wide["optimal_loss_slope_data"] * np.exp(-d * part.x["data"] + wide["deviation_sharpness_batch_size"])
    expected = q * ((np.exp(-beta * v) - 1) / beta + (np.exp(gamma * v) - 1) / gamma)
    np.testing.assert_allclose(excess, expected, rtol=1e-8, atol=1e-12)


def test_the_page_prices_them_alike(made):
    choice = hl.decide(made, at=AT, risk="mean", despite="made by hand")
    what = what_if_of(choice)
    steps = what.per_draw["skew_batch_size"][:]
    batch = what.per_draw["skew_small_batch"][:]
    assert (batch > 0).all()
    v = np.linspace(-3, 3, 7)[:, None]
    both = ((np.exp(-batch * v) - 1) / batch + (np.exp(steps * v) - 1) / steps) * 2 / (batch + steps)
    np.testing.assert_allclose(_over_batches(v, steps, batch), both, rtol=1e-9, atol=1e-12)
    alone = _over_batches(v, jnp.array([0.3]), jnp.zeros(1))
    np.testing.assert_allclose(alone, 2 * (np.exp(0.3 * v) - 0.3 * v - 1) / 0.3**2, rtol=1e-6, atol=1e-12)


def test_it_says_how_sharp_the_loss_is(made):
    table = hl.sharpness(made)
    d = TRUTH["exponent_batch"] * TRUTH["exponent_steps"] / (TRUTH["exponent_batch"] + TRUTH["exponent_steps"])
    assert table.loc["exponent_batch_size_data", "median"] == pytest.approx(-d, abs=0.01)
    assert table.loc["exponent_batch_size_params", ["lower", "upper"]].tolist() == [0.0, 0.0]


def one_batch_a_cell() -> hl.Runs:
    """Three learning rates at one batch size in each of many cells, the batch size not a power of the data."""
    rows = [
        (n, d, r, 2.0 ** (12 + (3 * i + 2 * j) % 5))
        for i, n in enumerate((1e6, 4e6))
        for j, d in enumerate(1e8 * 4.0 ** np.arange(4))
        for r in (5e-4, 1e-3, 2e-3)
    ]
    frame = pd.DataFrame(rows, columns=["params", "data", "learning_rate", "batch_size"])
    return hl.Runs.from_frame(frame.assign(loss=3 - 0.1 * np.log(frame["data"] / 1e8)))


def test_cells_need_not_try_several_batch_sizes():
    runs = one_batch_a_cell()
    said = {law: hl.likelihood(law, runs) for law in ("StepLaw", "ThreeTerm")}
    assert said["StepLaw"].needs_at(runs) == ("params", "data", "batch_size")
    assert said["ThreeTerm"].needs_at(runs) == ("params", "data")
    assert said["ThreeTerm"].design(runs).given is None
    said["ThreeTerm"].check_table(runs)
    values = {c.name: c for c in contrasts(LAW, runs)}
    assert values["range of batch_size (ratio)"].good
    assert values["correlation of data and batch_size"].good


def test_a_batch_size_that_follows_from_the_data_is_reviewed():
    frame = one_batch_a_cell().frame.drop(columns="cell")
    runs = hl.Runs.from_frame(frame.assign(batch_size=2.0**12 * np.sqrt(frame["data"] / 1e8)), batch_unit=1)
    (contrast,) = (c for c in contrasts(LAW, runs) if c.name == "correlation of data and batch_size")
    assert not contrast.good
    assert contrast.advice.startswith("data and batch_size move together")


def test_a_single_batch_size_is_refused():
    runs = hl.Runs.from_frame(one_batch_a_cell().frame.drop(columns="cell").assign(batch_size=2.0**13), batch_unit=1)
    text = (
        "ThreeTerm tells the best batch size from losses at several, but every task of this table has a single one. "
        "Add runs at batch sizes a factor of 8 or more apart, or fit StepLaw, which is then a law of the learning rate "
        "at that batch size."
    )
    with pytest.raises(ValueError, match=re.escape(text)):
        hl.fit(LAW, runs, seed=0)


def test_optima_are_refused():
    with pytest.raises(ValueError, match="ThreeTerm does not describe 'optima'; it is fitted to runs"):
        hl.likelihood(LAW, "optima")


@pytest.mark.slow
def test_one_batch_size_a_cell_recovers_the_best_one_of_a_true_sum():
    rows = [
        {"params": n, "data": d, "learning_rate": 1e-3 * 2.0**k, "batch_size": 2.0 ** (12 + (3 * i + 2 * j) % 7)}
        for i, n in enumerate((1e6, 2e6, 4e6, 8e6))
        for j, d in enumerate(1e8 * 2.0 ** np.arange(7))
        for k in range(-2, 3)
    ]
    runs = simulate(LAW, pd.DataFrame(rows).assign(loss=0.0), seed=3)
    fit = hl.fit(LAW, runs, seed=3, **CHECKED)
    status = fit.check().table.set_index("check")["status"]
    assert status["batch sizes tried in a cell, most"] == "REVIEW"
    for name in ("log_batch_size", "exponent_batch", "exponent_steps"):
        low, high = np.quantile(fit.draws[name], [0.005, 0.995])
        assert low < TRUTH[name] < high, name
    assert float(fit.draws["log_batch_size"].std()) < 1.0
    best = fit.predict({"params": 8e6, "data": 2.56e10}).table.loc["batch_size"]
    pivot = np.exp(fit.pivot["data"])
    true = np.exp(TRUTH["log_batch_size"]) * (2.56e10 / pivot) ** (0.4 / 0.9)
    assert best["lower"] < true < best["upper"]
