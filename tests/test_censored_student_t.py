import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from hyperlaw.models.likelihoods.censored_student_t import TAIL, CensoredStudentT, log_survival, standard_noise

STUDENT = scipy.stats.t(4)
ENDS = [(-np.inf, np.inf), (-np.inf, 0.4), (-0.3, np.inf), (-0.3, 0.4), (2.0, 3.0)]


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def density(value, loc, scale, low, high):
    return np.asarray(CensoredStudentT(loc, scale, low, high).log_prob(value))


def test_survival_is_that_of_students_t():
    size = np.geomspace(1e-6, 1e6, 200)
    np.testing.assert_allclose(log_survival(size), STUDENT.logsf(size), rtol=1e-10, atol=1e-14)
    below = np.linspace(-1e3, 0, 300)
    np.testing.assert_allclose(log_survival(below), STUDENT.logsf(below), rtol=1e-10, atol=1e-14)
    assert log_survival(jnp.array(0.0)) == pytest.approx(np.log(0.5))
    assert TAIL == 4


def test_survival_falls_and_its_slope_is_the_hazard():
    t = np.concatenate([-np.geomspace(1e3, 1e-3, 60), [0.0], np.geomspace(1e-3, 1e6, 60)])
    assert (np.diff(log_survival(t)) <= 0).all()
    slopes = jax.vmap(jax.grad(log_survival))(t)
    np.testing.assert_allclose(slopes, -np.exp(STUDENT.logpdf(t) - STUDENT.logsf(t)), rtol=1e-6, atol=1e-15)


@pytest.mark.parametrize(("low", "high"), ENDS)
def test_inside_it_is_students_t(low, high):
    value = np.linspace(max(low, -5) + 1e-6, min(high, 5) - 1e-6, 41)
    np.testing.assert_allclose(density(value, 0.1, 0.7, low, high), scipy.stats.t(4, 0.1, 0.7).logpdf(value))


def test_at_an_end_it_is_the_probability_of_all_beyond():
    measured = scipy.stats.t(4, 0.1, 0.7)
    assert density(0.4, 0.1, 0.7, -0.3, 0.4) == pytest.approx(measured.logsf(0.4))
    assert density(-0.3, 0.1, 0.7, -0.3, 0.4) == pytest.approx(measured.logcdf(-0.3))
    # A value beyond an end says no more than one at it.
    assert density(9.0, 0.1, 0.7, -0.3, 0.4) == pytest.approx(measured.logsf(0.4))
    assert density(-9.0, 0.1, 0.7, -0.3, 0.4) == pytest.approx(measured.logcdf(-0.3))


@pytest.mark.parametrize(("low", "high"), ENDS)
def test_all_of_it_is_one(low, high):
    inside, _ = scipy.integrate.quad(lambda v: float(np.exp(density(v, 0.1, 0.7, low, high))), low, high)
    at_ends = sum(float(np.exp(density(end, 0.1, 0.7, low, high))) for end in (low, high) if np.isfinite(end))
    assert inside + at_ends == pytest.approx(1, abs=1e-6)


def with_jax(measured, draws, key):
    return np.asarray(measured.sample(jax.random.key(key), (draws,)))


def with_numpy(measured, draws, seed):
    return measured.placed(standard_noise(np.random.default_rng(seed), (draws, *measured.batch_shape)))


@pytest.mark.parametrize("draw", [with_jax, with_numpy])
def test_draws_stay_inside_and_pile_up_at_the_ends_as_often_as_they_should(draw):
    loc, low, high = np.array([0.0, 0.3, -2.0]), -0.3, np.array([0.4, np.inf, 0.4])
    drawn = draw(CensoredStudentT(loc, 0.7, low, high), 40_000, 0)
    assert drawn.shape == (40_000, 3)
    assert (drawn >= low).all()
    assert (drawn <= high).all()
    measured = scipy.stats.t(4, loc, 0.7)
    counts = [(drawn == low, measured.cdf(low)), (drawn == high, measured.sf(high)), (drawn <= 0.1, measured.cdf(0.1))]
    for seen, share in counts:
        for count, chance in zip(seen.sum(0), share, strict=True):
            assert scipy.stats.binomtest(int(count), 40_000, chance).pvalue > 1e-4


@pytest.mark.parametrize("scale", [0.7, 0.77])
def test_draws_between_the_ends_follow_the_density(scale):
    # 40,000 draws tell a scale that is a tenth off.
    measured = CensoredStudentT(0.1, 0.7, -0.3, 2.0)
    for drawn in (with_jax(measured, 40_000, 1), with_numpy(measured, 40_000, 1)):
        inside = drawn[(drawn > -0.3) & (drawn < 2.0)]
        given = scipy.stats.t(4, 0.1, scale)
        share = (given.cdf(inside) - given.cdf(-0.3)) / (given.cdf(2.0) - given.cdf(-0.3))
        assert (scipy.stats.kstest(share, "uniform").pvalue > 1e-4) == (scale == 0.7)


def test_shapes_broadcast():
    wide = CensoredStudentT(np.zeros((4, 1)), np.ones(3), -np.inf, 1.0)
    assert wide.batch_shape == (4, 3)
    assert wide.sample(jax.random.key(0), (5,)).shape == (5, 4, 3)
    assert wide.log_prob(np.zeros((5, 4, 3))).shape == (5, 4, 3)


@pytest.mark.parametrize("value", ["inside", "low", "high"])
@pytest.mark.parametrize(("low", "high"), ENDS)
@pytest.mark.parametrize("loc", [-40.0, 0.1, 40.0])
def test_gradients_are_finite_and_right(value, low, high, loc):
    at = {"inside": np.clip(0.1, low + 0.05, high - 0.05), "low": low, "high": high}[value]
    if not np.isfinite(at):
        at = 5.0 * np.sign(at)  # where there is no end, any value is inside
    for scale in (1e-3, 0.7):
        slopes = jax.grad(lambda m, s, at=at: CensoredStudentT(m, s, low, high).log_prob(at), (0, 1))(loc, scale)
        step = 1e-6 * np.array([max(abs(loc), scale), scale])
        around = [
            (density(at, loc + step[0], scale, low, high) - density(at, loc - step[0], scale, low, high)) / 2 / step[0],
            (density(at, loc, scale + step[1], low, high) - density(at, loc, scale - step[1], low, high)) / 2 / step[1],
        ]
        assert np.isfinite(slopes).all()
        np.testing.assert_allclose(slopes, around, rtol=1e-3, atol=1e-6)
