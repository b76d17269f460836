"""What is known of single laws: their slopes, limits and nesting, and numbers published with them."""

import jax
import numpy as np
import pytest
from conftest import VALUE_LAWS
from scipy.special import erf
from test_laws import FAR, prior_draw

import hyperlaw as hl
from hyperlaw.models.law import LAWS


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("name", ["DataEfficiency", "DataEfficiencyBySize"])
def test_the_sampler_moves_in_the_slopes_at_the_pivot(name):
    law = LAWS[name]()
    p = prior_draw(law, 3)
    at_pivot = dict.fromkeys(law.covariates, 0.0)
    slopes = jax.grad(lambda x: law.log_value("data", p, x, 0.0))(at_pivot)
    shifts = law.shifts(p)
    assert set(shifts) == {f"exponent_{covariate}" for covariate in law.logged}
    for covariate in law.logged:
        exponent = f"exponent_{covariate}"
        assert np.log(p[exponent]) + shifts[exponent] == pytest.approx(np.log(-slopes[covariate]))


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


def slope(law, p, x, log_batch):
    return jax.grad(lambda b: law.log_learning_rate(p, x, b))(log_batch)


def test_step_law_at_the_best_batch_is_the_power_law():
    law, x = hl.laws.StepLaw(), {"params": 1.3, "data": 2.1}
    rate = law.log_learning_rate(STEP, x, law.log_batch_size(STEP, x))
    assert rate == pytest.approx(-6.0 - 0.71 * 1.3 + 0.31 * 2.1)


def test_step_law_ridge_slopes():
    law, x = hl.laws.StepLaw(), {"params": 1.3, "data": 2.1}
    best = law.log_batch_size(STEP, x)
    assert slope(law, STEP, x, best - 30) == pytest.approx(0.9, abs=1e-9)
    assert slope(law, STEP, x, best + 30) == pytest.approx(-0.2, abs=1e-9)
    assert slope(law, STEP, x, best) == pytest.approx((0.9 - 0.2) / 2)


@pytest.mark.parametrize("data", [-2.0, 0.0, 3.0])
def test_time_transfer_has_three_regimes(data):
    law, x = hl.laws.TimeTransfer(), {"params": 0.4, "data": data}
    critical = 9.0 + 1.2 + 0.8 * data
    assert slope(law, TRANSFER, x, critical - 30) == pytest.approx(0.5, abs=1e-9)
    assert slope(law, TRANSFER, x, critical) == pytest.approx(0.0, abs=1e-9)
    assert slope(law, TRANSFER, x, critical + 30) == pytest.approx(-0.5, abs=1e-9)
    peak = -5.5 - 0.15 * data + 0.05 * 0.4
    assert law.log_learning_rate(TRANSFER, x, critical) == pytest.approx(peak)


@pytest.mark.parametrize("data", [-2.0, 0.0, 3.0])
def test_tied_the_best_batch_size_is_one_share_of_the_critical_one(data):
    law, x = hl.laws.TimeTransferTied(), {"params": 0.4, "data": data}
    p = {name: value for name, value in TRANSFER.items() if name != "critical_exponent_data"}
    assert law.log_critical_batch(p, x) - law.log_batch_size(p, x) == pytest.approx(1.2)
    assert set(p) == {parameter.name for parameter in law.own_parameters}


@pytest.mark.parametrize(("offset", "sign"), [(-30.0, -1), (0.0, 0), (30.0, 1)])
def test_time_transfer_regimes_over_the_horizon(offset, sign):
    law = hl.laws.TimeTransfer()
    batch = 9.0 + 1.2 + offset
    rate = jax.grad(lambda t: law.log_learning_rate(TRANSFER, {"params": 0.0, "data": t}, batch))(0.0)
    assert rate == pytest.approx(-0.15 + sign * 0.8 / 2, abs=1e-9)


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


@pytest.mark.parametrize("knee", [0.5, 1.0, 2.5])
def test_examples_rise_on_both_sides_of_the_cheapest_batch(knee):
    batch, p = np.geomspace(1, 1e9, 2001), {"log_small_ratio": np.log(0.01), "knee": knee}
    found = steps(batch, name="StepsSmallBatch", **p)
    examples, falls = found * batch, np.diff(found * batch) < 0
    assert (np.diff(found) < 0).all()
    assert falls[0]
    assert not falls[-1]
    assert np.count_nonzero(np.diff(falls)) == 1
    cheapest = np.exp(LAWS["StepsSmallBatch"]().log_cheapest_batch(STEPS | p, {}))
    assert batch[examples.argmin()] == pytest.approx(cheapest, rel=0.02)
    # Every step wastes 0.01 B_crit examples; without them, the law is StepsExamples.
    np.testing.assert_allclose(examples, (batch + 300) * steps(batch, knee=knee), rtol=1e-5)
    none = steps(batch, name="StepsSmallBatch", knee=knee, log_small_ratio=-60.0)
    np.testing.assert_allclose(none, steps(batch, knee=knee), rtol=1e-6)


@pytest.mark.parametrize("ratio", [1e-3, 0.05])
def test_the_cheapest_batch_is_between_what_is_too_small_and_too_large(ratio):
    """With a knee of 1 examples are E_0 (1 + B_small/B_crit + B/B_crit + B_small/B): least at their geometric mean."""
    p = {"log_small_ratio": np.log(ratio)}
    batch = np.geomspace(30, 3e6, 50)
    expected = 2000 * 3e4 * (1 + ratio + batch / 3e4 + ratio * 3e4 / batch)
    np.testing.assert_allclose(steps(batch, name="StepsSmallBatch", **p) * batch, expected, rtol=1e-5)
    cheapest = LAWS["StepsSmallBatch"]().log_cheapest_batch(STEPS | p, {})
    assert np.exp(cheapest) == pytest.approx(3e4 * ratio**0.5)


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
