"""The loss surface of a cell: pure functions of its parameters, against their equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from conftest import RUNS_LAWS, TRUTH, grid

import hyperlaw as hl
from hyperlaw.models.law import LAWS
from hyperlaw.models.likelihoods.surface import (
    RunLoss,
    best_learning_rate,
    bowl,
    cell_shape,
    optimal_loss_trend,
    run_loss,
)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


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


def trend(x, exponent=0.3, coupling=0.0, bend=0.0, early=0.0):
    p = {"optimal_loss": 2.0, "optimal_loss_coupling": coupling, "optimal_loss_early_data": early}
    for name in ("params", "data"):
        p |= {f"optimal_loss_{what}_{name}": v for what, v in (("slope", 0.1), ("exponent", exponent), ("bend", bend))}
    return optimal_loss_trend(p, x)


def test_trend_falls_with_scale_and_levels_off():
    x = np.linspace(-5, 20, 60)
    for value in (trend({"params": x, "data": 0 * x}), trend({"params": 0 * x, "data": x})):
        assert (np.diff(value) < 0).all()
        assert (np.diff(value, 2) > 0).all()
    assert trend({"params": 0.0, "data": 0.0}) == 2.0
    assert trend({"params": 12.0, "data": 0.0}) == pytest.approx(2.0 - 0.1 * (1 - np.exp(-3.6)) / 0.3)


def test_trend_has_its_slope_at_the_pivot():
    fall = jax.grad(lambda x: trend({"params": x, "data": 0.0}))(0.0)
    assert fall == pytest.approx(-0.1)


def test_bend_changes_how_the_trend_levels_off():
    def slope(x, bend):
        return float(jax.grad(lambda t: trend({"params": 0.0, "data": t}, bend=bend))(x))

    for x in (-3.0, 1.0, 4.0):
        for bend in (-0.1, 0.1):
            assert slope(x, bend) == pytest.approx(-0.1 * np.exp(-0.3 * x - bend * x**2 / 2), rel=1e-4)


def test_an_early_exponent_returns_to_the_later_one():
    def slope(x):
        return float(jax.grad(lambda t: trend({"params": 0.0, "data": t}, early=0.5))(x))

    def exponent(x):
        return -(np.log(-slope(x + 1e-3)) - np.log(-slope(x - 1e-3))) / 2e-3

    assert slope(0.0) == pytest.approx(-0.1)
    assert exponent(0.0) == pytest.approx(0.3 - 0.5 / 2, abs=1e-3)
    assert exponent(-6.0) == pytest.approx(0.3 - 0.5, abs=2e-3)
    assert exponent(4.0) == pytest.approx(0.3, abs=0.02)
    # Sizes do not grow in training: they have no early phase.
    assert trend({"params": 3.0, "data": 0.0}, early=0.5) == trend({"params": 3.0, "data": 0.0})


def test_coupling_bends_the_trend_where_both_scales_move():
    both, neither = {"params": 1.0, "data": 2.0}, {"params": 0.0, "data": 2.0}
    fall = {name: 0.1 * (1 - np.exp(-0.3 * both[name])) / 0.3 for name in both}
    assert trend(both) - trend(both, coupling=-2.0) == pytest.approx(2.0 * fall["params"] * fall["data"])
    assert trend(neither, coupling=-2.0) == trend(neither)


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


CELL = TRUTH | {"deviation_learning_rate": 0.2, "deviation_batch_size": -0.3, "cell_optimal_loss": 2.1}
CELL |= {"deviation_sharpness_learning_rate": 0.4, "deviation_sharpness_batch_size": -0.1}
X = {"params": 0.7, "data": -0.4}
DRIFT = {q: sum(CELL[f"drift_{q}_{c}"] * X[c] ** 2 / 2 for c in X) for q in ("learning_rate", "batch_size")}
OFF = [(0.0, 0.0), (1.5, 0.0), (-2.0, 1.0), (0.5, -3.0), (6.0, 6.0)]


def best(law):
    """Best learning rate and batch size of a cell, natural logs: the law's with drift, where it does not deviate."""
    batch = law.log_batch_size(CELL, X)
    rate = float(law.log_learning_rate(CELL, X, batch)) + DRIFT["learning_rate"] + 0.2
    return rate, float(batch) + DRIFT["batch_size"] - 0.3


@pytest.fixture(params=RUNS_LAWS)
def law(request):
    return LAWS[request.param]()


def test_a_cell_deviates_along_the_ridge_of_its_law(law):
    rate, batch = best(law)
    assert float(run_loss(law, CELL, X, rate, batch).excess) == pytest.approx(0, abs=1e-14)
    assert float(best_learning_rate(law, CELL, X, batch)) == pytest.approx(rate, abs=1e-12)
    slope = jax.grad(lambda r, b: run_loss(law, CELL, X, r, b).excess, (0, 1))(rate, batch)
    np.testing.assert_allclose(slope, 0, atol=1e-12)
    # At another batch size the best learning rate is that of the law, moved with the cell.
    along = batch + 1.0 + 0.3 - DRIFT["batch_size"]
    moved = float(law.log_learning_rate(CELL, X, along)) + DRIFT["learning_rate"] + 0.2
    assert float(best_learning_rate(law, CELL, X, batch + 1.0)) == pytest.approx(moved, abs=1e-12)


@pytest.mark.parametrize(("u", "v"), OFF)
def test_a_run_is_its_equations(law, u, v):
    _, batch = best(law)
    along = batch + v + 0.3 - DRIFT["batch_size"]
    ridge = float(law.log_learning_rate(CELL, X, along)) + DRIFT["learning_rate"] + 0.2
    run = run_loss(law, CELL, X, ridge + u, batch + v)
    sharp = [
        CELL[f"sharpness_{of}"] * np.exp(CELL[f"deviation_sharpness_{of}"]) for of in ("learning_rate", "batch_size")
    ]
    sharp = [k * np.exp(sum(CELL[f"sharpness_{of}_exponent_{c}"] * X[c] for c in X))
             for k, of in zip(sharp, ("rate", "batch"), strict=True)]  # fmt: skip
    excess = sharp[0] * closed_form(u, CELL["skew_learning_rate"]) + sharp[1] * closed_form(v, CELL["skew_batch_size"])
    assert float(run.excess) == pytest.approx(excess, abs=1e-9)
    assert float(run.location) == pytest.approx(2.1 + excess)
    assert float(run.scale) == pytest.approx(np.hypot(CELL["noise"], CELL["noise_growth"] * excess))
    assert float(run.logit) == pytest.approx((u - CELL["divergence_threshold"]) / CELL["divergence_width"])


def test_a_shape_worked_out_once_a_cell_says_the_same_of_its_runs(law):
    rate, batch = best(law)
    u, v = (np.array(side) for side in zip(*OFF, strict=True))
    once = run_loss(law, CELL, X, rate + u, batch + v, cell=cell_shape(law, CELL, X))
    for ours, each in zip(once, run_loss(law, CELL, X, rate + u, batch + v), strict=True):
        np.testing.assert_allclose(ours, each)


def test_the_density_of_a_run_holds_its_divergence():
    run = RunLoss(excess=0.5, location=2.5, scale=0.1, logit=np.array([-9.0, -1.0, 2.0]))
    lost = 1 / (1 + np.exp(-run.logit))
    np.testing.assert_allclose(run.log_density(jnp.full(3, np.nan)), np.log(lost))
    measured = scipy.stats.t(4.0, 2.5, 0.1).logpdf(2.7)
    np.testing.assert_allclose(run.log_density(jnp.full(3, 2.7)), measured + np.log1p(-lost))
    np.testing.assert_allclose(np.exp(run.diverged.log_prob(1)), lost)
    assert run.placed(np.array([-2.0, 0.0, 1.0])) == pytest.approx([2.3, 2.5, 2.6])
    beyond = scipy.stats.t(4.0, 2.5, 0.1).logsf(2.6)
    for loss in (2.6, 2.7, 9.0):
        np.testing.assert_allclose(run.log_density(jnp.full(3, loss), 2.6), beyond + np.log1p(-lost))
    np.testing.assert_allclose(run.log_density(jnp.full(3, 2.5), 2.6), run.log_density(jnp.full(3, 2.5)))
    slopes = jax.grad(lambda s: RunLoss(0.5, 2.5, s, 1.0).log_density(jnp.array([np.nan, 2.7])).sum())(0.1)
    assert np.isfinite(slopes)


BENT = {
    "optimal_loss_exponent_params": 0.3, "optimal_loss_bend_params": 0.1, "optimal_loss_exponent_data": 0.5,
    "optimal_loss_bend_data": 0.1, "optimal_loss_early_data": 0.0,
}  # fmt: skip


def test_sampler_moves_in_the_mean_fall_of_the_observed_cells():
    runs = hl.Runs.from_frame(grid(data=(1e8, 2e8, 1.6e9)))
    seen = runs.frame["data"] < 1e9
    model = hl.likelihood(hl.laws.StepLaw(), runs)
    shifts = model.shifts[0](BENT, model.design(runs, seen))
    for name, half in (("params", np.log(2)), ("data", np.log(2) / 2)):
        t = np.linspace(-half, half, 100_001)
        rate = np.exp(-BENT[f"optimal_loss_exponent_{name}"] * t - BENT[f"optimal_loss_bend_{name}"] * t**2 / 2)
        assert np.log(np.mean(rate)) == pytest.approx(float(shifts[f"optimal_loss_slope_{name}"]), abs=1e-5)
        assert shifts[f"optimal_loss_slope_{name}_task"] == shifts[f"optimal_loss_slope_{name}"]


def test_one_value_of_a_covariate_shifts_nothing():
    runs = hl.Runs.from_frame(grid(sizes=(1e6,)))
    model = hl.likelihood(hl.laws.StepLaw(), runs)
    shifts = model.shifts[0](BENT, model.design(runs))
    assert float(shifts["optimal_loss_slope_params"]) == pytest.approx(0, abs=1e-12)


def test_sampler_moves_in_the_mean_of_the_trend_over_the_observed_cells():
    """Losses pin it whatever the exponent; of each task its own cells, with its own slope."""
    frame = grid(("a", "b"), data=(1e8, 2e8, 1.6e9))
    runs = hl.Runs.from_frame(frame[(frame["task"] == "a") | (frame["data"] < 1e9)])
    model = hl.likelihood(hl.laws.StepLaw(), runs)
    design = model.design(runs)
    slopes = {"optimal_loss_slope_params": 0.1, "optimal_loss_slope_data": 0.2}
    own = {f"{name}_task": slope * np.array([1.0, 1.5]) for name, slope in slopes.items()}
    p = {**BENT, **slopes, "optimal_loss": 0.0, "optimal_loss_coupling": 0.0}
    shifts = model.shifts[1]({**p, **own}, design)
    assert set(shifts) == {"optimal_loss", "optimal_loss_task"}
    assert float(shifts["optimal_loss"]) == pytest.approx(float(optimal_loss_trend(p, design.covariates).mean()))
    for task, factor in enumerate((1.0, 1.5)):
        cells = {name: x[design.task == task] for name, x in design.covariates.items()}
        trend = optimal_loss_trend({**p, **{name: factor * slope for name, slope in slopes.items()}}, cells)
        assert float(shifts["optimal_loss_task"][task]) == pytest.approx(float(trend.mean()))
